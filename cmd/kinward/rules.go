package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/publicsuffix"

	"kinward/blocklists"
	"kinward/policy"
)

type ruleRequest struct {
	Profile string `json:"profile"`
	Name    string `json:"name"`
	Allow   bool   `json:"allow"`
	Exact   bool   `json:"exact"`
	For     string `json:"for"`
	ID      int64  `json:"id"`
}

var (
	opRuleAdd    = operation[ruleRequest, done]{"rules-add", ruleAdd}
	opRuleRemove = operation[ruleRequest, done]{"rules-remove", ruleRemove}
)

func (c *cli) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show the family's own allow and deny rules",
		Example: `  kinward rules
  kinward rules allow forum.example.org
  kinward rules deny example.com --profile Everyone
  kinward rules remove 3`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamily, struct{}{}, printRules)
		},
	}
	c.addJSON(cmd)
	for _, verb := range []struct {
		word, short string
		allow       bool
	}{
		{"allow", "Allow a name and the names below it, whatever lists say", true},
		{"deny", "Block a name and the names below it", false},
	} {
		req := ruleRequest{Allow: verb.allow}
		sub := c.addJSON(&cobra.Command{
			Use:   verb.word + " NAME",
			Short: verb.short,
			Example: fmt.Sprintf(`  kinward rules %[1]s example.com
  kinward rules %[1]s www.example.com --exact --for 2h`, verb.word),
			Args: exactArgs("a NAME, for example example.com"),
			RunE: func(cmd *cobra.Command, args []string) error {
				req.Name = args[0]
				return do(cmd.Context(), c, cmd, opRuleAdd, req, printDone)
			},
		})
		sub.Flags().StringVar(&req.Profile, "profile", "", "for this profile (default: the household's)")
		sub.Flags().BoolVar(&req.Exact, "exact", false, "this name alone, not the names below it")
		sub.Flags().StringVar(&req.For, "for", "", "only for this long, for example 2h or 7d (default: for good)")
		cmd.AddCommand(sub)
	}
	cmd.AddCommand(c.addJSON(&cobra.Command{
		Use:     "remove NUMBER",
		Short:   "Remove a rule; \"kinward rules\" shows the numbers",
		Example: `  kinward rules remove 3`,
		Args:    exactArgs("the NUMBER of a rule"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usageError(fmt.Errorf("%q is not the number of a rule; see: kinward rules", args[0]))
			}
			return do(cmd.Context(), c, cmd, opRuleRemove, ruleRequest{ID: id}, printDone)
		},
	}))
	return cmd
}

func printRules(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	none := true
	for _, p := range f.Profiles {
		for _, r := range p.Rules {
			none = false
			scope := "and all below it"
			if r.Exact {
				scope = "alone"
			}
			until := ""
			if r.Until != nil {
				until = "until " + r.Until.Format("Mon 2 Jan 15:04")
			}
			fmt.Fprintf(t, "%d\t%s\t%s %s\tprofile %s\t%s\n", r.ID, r.Action, r.Name, scope, p.Name, until)
		}
	}
	t.Flush()
	if none {
		fmt.Fprintln(w, "The family has no rules of its own. Make one with: kinward rules allow NAME, or: kinward rules deny NAME")
	}
}

func ruleAdd(ctx context.Context, n *node, req ruleRequest, _ progress) (done, error) {
	name, err := n.parseHost(req.Name)
	if err != nil {
		return done{}, usageError(err)
	}
	r := policy.Rule{Name: name, Allow: req.Allow}
	if req.Exact {
		r.Match = policy.MatchExact
	}
	if req.For != "" {
		d, err := parseSpan(req.For)
		if err != nil {
			return done{}, usageError(fmt.Errorf("--for: %w", err))
		}
		r.Until = time.Now().Add(d)
	}
	s, err := n.state(ctx)
	if err != nil {
		return done{}, err
	}
	warning, err := checkRule(n.catalogue.Load(), s.Index, r)
	if err != nil {
		return done{}, usageError(err)
	}
	profile, err := n.profileOr(ctx, req.Profile)
	if err != nil {
		return done{}, err
	}
	err = n.edit(ctx, "adding a rule for "+name.String(), func(f *policy.Family) (what string, err error) {
		r.ID, what, err = f.AddRule(profile, r, time.Now())
		return what, err
	})
	if err != nil {
		return done{}, err
	}
	f, _, err := n.db.Family(ctx, 0)
	if err != nil {
		return done{}, err
	}
	verb := "denied"
	if r.Allow {
		verb = "allowed"
	}
	scope := " and every name below it"
	if r.Match == policy.MatchExact {
		scope = " alone"
	}
	text := fmt.Sprintf("%s%s is %s for profile %s %s (rule %d). %s", name, scope, verb, profile, untilText(r.Until, n.zone(f)), r.ID, lag)
	if warning != "" {
		text += "\n" + warning
	}
	return done{text}, nil
}

// checkRule refuses a rule that must not be, and warns of one that may do more
// than is meant.
func checkRule(c *blocklists.Catalogue, x *blocklists.Index, r policy.Rule) (warning string, err error) {
	if r.Name == "" {
		return "", fmt.Errorf("a rule for the root would decide about every name; name a domain")
	}
	for _, l := range x.Known(r.Name, policy.TypeA) {
		if l.Category == blocklists.Help && !r.Allow {
			return "", fmt.Errorf("%s is a help line or the like, which Kinward never blocks", r.Name)
		}
		if l.Category == blocklists.Plumbing && !r.Allow {
			warning = "Be aware that devices need this name in order to work."
		}
		if l.Category == blocklists.Security && r.Allow {
			warning = "Be aware that a list calls this name dangerous; it stays blocked for everybody."
		}
	}
	if hosts := c.SharedHosts(r.Name, r.Match == policy.MatchExact); len(hosts) > 0 && !r.Allow {
		h := hosts[0]
		warning = fmt.Sprintf("Be aware that unrelated apps and sites share %s (%s), and that they may stop working: %s\n"+
			"To undo it, see: {kinward} rules remove", h.Name, h.What, h.Reason)
	}
	if suffix, _ := publicsuffix.PublicSuffix(r.Name.String()); suffix == r.Name.String() && r.Match != policy.MatchExact {
		warning = fmt.Sprintf("Be aware that this decides about every site whose name ends in .%s; they belong to many owners.", r.Name)
	}
	return warning, nil
}

func ruleRemove(ctx context.Context, n *node, req ruleRequest, _ progress) (done, error) {
	err := n.edit(ctx, fmt.Sprintf("removing rule %d", req.ID), func(f *policy.Family) (string, error) {
		return f.RemoveRule(policy.RuleID(req.ID))
	})
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("Rule %d is removed. %s", req.ID, lag)}, nil
}
