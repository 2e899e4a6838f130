package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
)

// searchView is what is done about a search engine in a profile.
type searchView struct {
	Engine string `json:"engine"`
	Name   string `json:"name"`
	Mode   string `json:"mode"`   // off, safe or moderate
	Preset string `json:"preset"` // what the preset says
	Own    bool   `json:"own"`
	Why    string `json:"why"`    // the preset's reason
	Limits string `json:"limits"` // what a parent should know of the mode
}

type searchProfile struct {
	Profile string       `json:"profile"`
	Engines []searchView `json:"engines"`
}

type searchReply struct {
	Profiles []searchProfile `json:"profiles"`
}

var (
	opSearch    = operation[about, searchReply]{"search", search}
	opSearchSet = changing("search-set", searchSet)
)

func (c *cli) searchCommand() *cobra.Command {
	show := func(cmd *cobra.Command) *cobra.Command { return showCommand(c, opSearch, cmd, printSearches) }
	group := show(&cobra.Command{
		Use:   "search",
		Short: "Show the safe modes of search engines",
		Long: `A search engine's safe mode leaves explicit pictures and pages out. Kinward switches it
on by answering the engine's name with the address of its safe twin. YouTube has two:
safe ("restricted") and moderate. An engine without a safe mode is a service or a name
like any other, and can be blocked.`,
		Example: `  kinward search
  kinward search set Lea youtube moderate
  kinward search set Lea google preset`,
	})
	return c.aboutFamily(group,
		show(&cobra.Command{Use: "show", Short: "Show the safe modes of search engines", Example: `  kinward search show --json`}),
		changeCommand(c, opSearchSet, &cobra.Command{
			Use: "set PROFILE ENGINE safe|moderate|off|preset", Short: "Choose the mode of a search engine",
			Example: `  kinward search set Lea youtube moderate
  kinward search set Lea google off
  kinward search set Lea google preset`,
			Args: exactArgs("a PROFILE", "an ENGINE; see: kinward search", "safe, moderate, off or preset"),
		}, func(args []string) profileRequest {
			return profileRequest{Profile: args[0], Thing: args[1], Choice: args[2]}
		}))
}

func search(ctx context.Context, n *node, who about, _ progress) (searchReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return searchReply{}, err
	}
	var r searchReply
	for i := range f.Profiles {
		r.Profiles = append(r.Profiles, searchProfile{f.Profiles[i].Name, n.searchViews(&f.Profiles[i])})
	}
	return r, nil
}

func (n *node) searchViews(p *policy.Profile) []searchView {
	out := []searchView{}
	for _, e := range n.safe.Engines() {
		preset := e.Default(p.Preset)
		mode, own := p.Search[e.ID]
		if !own {
			mode = preset
		}
		out = append(out, searchView{e.ID, e.Name, mode.String(), preset.String(), own, e.Why, e.Limits})
	}
	return out
}

func printSearches(w io.Writer, r searchReply) {
	for i, p := range r.Profiles {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s:\n", p.Profile)
		printSearch(w, p.Engines)
	}
}

func printSearch(w io.Writer, engines []searchView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENGINE\tMODE\tPRESET SAYS\tGOOD TO KNOW")
	for _, e := range engines {
		preset, limits := "the same", "-"
		if e.Own {
			preset = e.Preset
		}
		if e.Limits != "" {
			limits = e.Limits
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Engine, e.Mode, preset, limits)
	}
	t.Flush()
}

func searchSet(e *edit, r profileRequest) (string, error) {
	mode, err := ownChoice(r.Choice, readWord[policy.Search])
	if err != nil {
		return "", err
	}
	check := policy.SearchAny
	if mode != nil {
		check = *mode
	}
	if err := e.n.safe.Check(r.Thing, check); err != nil {
		if e.n.safe.Engine(e.n.safe.Number(r.Thing)) == nil {
			return "", unknownThing(err.Error())
		}
		return "", usageError(err)
	}
	return e.f.SetSearch(r.Profile, r.Thing, mode)
}
