package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
)

type grantRequest struct {
	ID      int64  `json:"id,omitempty"`
	What    string `json:"what,omitempty"`
	Profile string `json:"profile,omitempty"`
	For     string `json:"for,omitempty"`
	Until   string `json:"until,omitempty"`
	By      string `json:"by,omitempty"`
	Why     string `json:"why,omitempty"`
}

var (
	opGrantAdd    = changing("grants-add", grantAdd)
	opGrantRevoke = changing("grants-revoke", func(e *edit, r grantRequest) (string, error) { return e.f.RevokeGrant(policy.GrantID(r.ID)) })
)

func (c *cli) grantsCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "grants",
		Short: "Show what a guardian allowed for a while",
		Long: `A grant allows something for a while, at bedtime and during a pause too: a category, a
service, a name and all below it, or with "everything" an end to bedtime and pause. What
is dangerous to everybody stays blocked. It ends by itself and can be revoked.`,
		Example: `  kinward grants
  kinward grants add youtube.com --profile Lea --for 60m
  kinward grants add everything --profile Lea --for 15m --why "finishing the film"
  kinward grants revoke 12`,
	}, printGrants)
	var req grantRequest
	add := changeCommand(c, opGrantAdd, &cobra.Command{
		Use: "add CATEGORY|SERVICE|NAME|everything", Short: "Allow something for a while",
		Example: `  kinward grants add roblox --profile Lea --for 15m
  kinward grants add social --profile Lea --for today
  kinward grants add forum.example.org --profile Lea --until 21:30`,
		Args: exactArgs("a CATEGORY, a SERVICE, a NAME, or everything"),
	}, func(args []string) grantRequest { r := req; r.What, r.Why = args[0], c.about.Why; return r })
	add.Flags().StringVar(&req.Profile, "profile", "", "for this profile (default: the household's)")
	add.Flags().StringVar(&req.For, "for", "", "for how long: 15m, 60m, 2h, or today (until midnight)")
	add.Flags().StringVar(&req.Until, "until", "", "until this time of the family's clock, for example 21:30: the next one")
	add.Flags().StringVar(&req.By, "by", "command line", "the guardian who gives it")
	return c.aboutFamily(group, add, c.numbered("revoke NUMBER", "End a grant early", "  kinward grants revoke 12",
		func(cmd *cobra.Command, id int64) error {
			return do(cmd.Context(), c, cmd, opGrantRevoke, change[grantRequest]{c.about, grantRequest{ID: id}}, printChanged)
		}))
}

// numbered makes a command that takes a number.
func (c *cli) numbered(use, short, example string, run func(*cobra.Command, int64) error) *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use: use, Short: short, Example: example,
		Args: exactArgs("the NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := numberArg(cmd, args[0])
			if err != nil {
				return err
			}
			return run(cmd, id)
		},
	})
}

// numberArg reads the number of one of those that the group of cmd shows.
func numberArg(cmd *cobra.Command, arg string) (int64, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || id < 1 {
		return 0, usageError(fmt.Errorf("%q is not a number; see: %s", arg, calledPath(cmd.Parent())))
	}
	return id, nil
}

func printGrants(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range f.Grants {
		until := "until " + g.Until.Format(timeLayout)
		if g.Over {
			until = "over since " + g.Until.Format(timeLayout)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", g.ID, g.Profile, g.About, until, by(g.By, g.Why))
	}
	t.Flush()
	if len(f.Grants) == 0 {
		fmt.Fprintln(w, "Nothing is granted. Allow something for a while with: {kinward} grants add NAME --profile PROFILE --for 60m")
	}
}

func grantAdd(e *edit, r grantRequest) (string, error) {
	profile, err := e.orDefault(r.Profile)
	if err != nil {
		return "", err
	}
	p, err := e.f.Profile(profile)
	if err != nil {
		return "", err
	}
	if r.For == "" && r.Until == "" {
		return "", usageError(errors.New("a grant ends by itself: say when, with --for 15m, --for 60m, --for today or --until 21:30"))
	}
	g := policy.Grant{By: r.By, Why: r.Why}
	if by := guardian(e.ctx); by != nil {
		g.By = by.Name
	}
	if g.Until, err = e.ending(r.For, r.Until); err != nil {
		return "", err
	}
	if g.What, err = e.grantable(p, r.What); err != nil {
		return "", err
	}
	id, what, err := e.f.AddGrant(profile, g, e.now)
	if err != nil {
		return "", err
	}
	e.noteGrant(id, g.What)
	return what, nil
}

// noteGrant says what a grant does not lift, and how to end it.
func (e *edit) noteGrant(id policy.GrantID, what policy.Target) {
	if what.Kind == policy.ForEverything {
		e.note("It lifts bedtime and pause alone: what is blocked at other times stays blocked.")
	}
	e.note("To end it early: {kinward} grants revoke %d", id)
}

// grantable reads what is granted: a name where it is nothing else.
func (e *edit) grantable(p *policy.Profile, text string) (policy.Target, error) {
	t, err := e.target(p, text)
	if err == nil || !strings.Contains(text, ".") || strings.Contains(text, ":") && !strings.Contains(text, "://") {
		return t, err
	}
	name, err := e.n.parseHost(text)
	if err != nil {
		return t, usageError(err)
	}
	return policy.Target{Kind: policy.ForName, Name: name}, nil
}
