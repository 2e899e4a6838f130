package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

type profileShowRequest struct {
	about
	Profile string `json:"profile"`
}

// profileShow is a profile with all that it chooses, and where it differs from
// its preset, why the preset says otherwise.
type profileShow struct {
	profileView
	Categories []categoryChoice `json:"categories"`
	Services   []choiceView     `json:"services"`
	Lists      []choiceView     `json:"lists"`
	Response   string           `json:"response"` // "" is as the server does
	Bypass     string           `json:"bypass"`   // on, off, or "" as the preset does
	Guarded    bool             `json:"guarded"`  // what that comes to: names that lead past the filter are blocked
	Search     []searchView     `json:"search"`
}

type categoryChoice struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	Choice   string `json:"choice"`
	Preset   string `json:"preset"` // what the preset says
	Own      bool   `json:"own"`    // it was chosen for the profile
	Log      string `json:"log,omitempty"`
	Why      string `json:"why"`   // the preset's reason
	About    string `json:"about"` // what the category is, in a sentence
	Rank     int    `json:"rank"`  // how serious, 1 first
}

type choiceView struct {
	ID     string `json:"id"`
	Choice string `json:"choice"`
}

var opProfileShow = operation[profileShowRequest, profileShow]{"profiles-show", showProfile}

func (c *cli) profileShowCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "show PROFILE",
		Short: "Show all that a profile chooses, where it differs from its preset, and the preset's reasons",
		Example: `  kinward profiles show Lea
  kinward profiles show Lea --json`,
		Args: exactArgs("a PROFILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opProfileShow, profileShowRequest{c.about, args[0]}, printProfile)
		},
	})
}

func showProfile(ctx context.Context, n *node, req profileShowRequest, _ progress) (profileShow, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return profileShow{}, err
	}
	p, err := f.Profile(req.Profile)
	if err != nil {
		return profileShow{}, coded(err)
	}
	r := profileShow{profileView: viewProfile(f, p), Services: choiceViews(p.Services), Lists: choiceViews(p.Lists)}
	n.nameThings(&r.profileView, p)
	catalogue := n.catalogue.Load()
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		preset := n.presets.Choice(p.Preset, c)
		choice, own := p.ChoiceOf(c, n.presets)
		info := catalogue.Categories[c]
		v := categoryChoice{c.String(), info.Name, choice.String(), preset.String(), own, "", n.presets.Why(c), info.Reason, info.Rank}
		if keep, ok := p.Log[c]; ok {
			v.Log = keep.String()
		}
		r.Categories = append(r.Categories, v)
	}
	if p.Response != nil {
		r.Response = p.Response.String()
	}
	if p.Bypass != nil {
		r.Bypass = onOff(*p.Bypass)
	}
	r.Guarded, r.Search = p.GuardsBypass(), n.searchViews(p)
	s, err := n.state(ctx)
	if err != nil {
		return profileShow{}, err
	}
	for i, rule := range p.Rules {
		r.Rules[i].Warnings = policy.RuleWarnings(catalogue, s.Index, rule)
	}
	return r, nil
}

func choiceViews(m map[string]policy.Choice) []choiceView {
	out := []choiceView{}
	for _, id := range sortedKeys(m) {
		out = append(out, choiceView{id, m[id].String()})
	}
	return out
}

func printProfile(w io.Writer, r profileShow) {
	printProfiles(w, familyView{Profiles: []profileView{r.profileView}})
	for _, l := range r.Lists {
		fmt.Fprintf(w, "  list %s: %s\n", l.ID, l.Choice)
	}
	if r.Response != "" {
		fmt.Fprintf(w, "  response: %s\n", r.Response)
	}
	if r.Bypass != "" {
		fmt.Fprintf(w, "  bypass protection: %s\n", r.Bypass)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CATEGORY\tCHOICE\tPRESET SAYS\tRECORD\tTHE PRESET'S REASON")
	for _, c := range r.Categories {
		preset, log := "the same", "-"
		if c.Own {
			preset = c.Preset
		}
		if c.Log != "" {
			log = c.Log
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Category, c.Choice, preset, log, c.Why)
	}
	t.Flush()
	fmt.Fprintln(w)
	printSearch(w, r.Search)
}
