package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

type ruleRequest struct {
	ID      int64  `json:"id,omitempty"`
	Profile string `json:"profile,omitempty"`
	Name    string `json:"name,omitempty"`
	Allow   bool   `json:"allow,omitempty"`
	Exact   bool   `json:"exact,omitempty"`
	For     string `json:"for,omitempty"`
}

var (
	opRuleAdd    = changing("rules-add", ruleAdd)
	opRuleRemove = changing("rules-remove", ruleRemove)
)

func (c *cli) rulesCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "rules",
		Short: "Show the family's own allow and deny rules",
		Long: `A rule is about a name and all below it (example.com), a name alone (=www.example.com),
what lies below a name (*.example.com), or what fits a pattern (ads*.example.com). Of
several rules for a name the most specific holds, and deny where they are alike.`,
		Example: `  kinward rules
  kinward rules allow forum.example.org
  kinward rules deny example.com --profile Everyone
  kinward rules deny "*.example.net"
  kinward rules remove 3`,
	}, printRules)
	c.aboutFamily(group)
	for _, verb := range []struct {
		word, short string
		allow       bool
	}{
		{"allow", "Allow a name and the names below it, whatever lists say", true},
		{"deny", "Block a name and the names below it", false},
	} {
		req := ruleRequest{Allow: verb.allow}
		sub := changeCommand(c, opRuleAdd, &cobra.Command{
			Use:   verb.word + " NAME",
			Short: verb.short,
			Example: fmt.Sprintf(`  kinward rules %[1]s example.com
  kinward rules %[1]s =www.example.com --for 2h
  kinward rules %[1]s "*.example.com"
  kinward rules %[1]s "ads*.example.com" --profile Everyone`, verb.word),
			Args: exactArgs("a NAME, for example example.com"),
		}, func(args []string) ruleRequest { r := req; r.Name = args[0]; return r })
		sub.Flags().StringVar(&req.Profile, "profile", "", "for this profile (default: the household's)")
		sub.Flags().BoolVar(&req.Exact, "exact", false, "this name alone, not the names below it; the same as = before it")
		sub.Flags().StringVar(&req.For, "for", "", "only for this long, for example 2h, 7d or today (default: for good)")
		group.AddCommand(sub)
	}
	group.AddCommand(c.numbered("remove NUMBER", "Remove a rule; \"kinward rules\" shows the numbers", "  kinward rules remove 3",
		func(cmd *cobra.Command, id int64) error {
			return do(cmd.Context(), c, cmd, opRuleRemove, change[ruleRequest]{c.about, ruleRequest{ID: id}}, printChanged)
		}))
	return group
}

func printRules(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	none := true
	for _, p := range f.Profiles {
		for _, r := range p.Rules {
			none = false
			until := ""
			if r.Until != nil {
				until = "until " + r.Until.Format(timeLayout)
			}
			fmt.Fprintf(t, "%d\t%s\t%s\tprofile %s\t%s\n", r.ID, r.Action, r.Words, p.Name, until)
		}
	}
	t.Flush()
	if none {
		fmt.Fprintln(w, "The family has no rules of its own. Make one with: {kinward} rules allow NAME, or: {kinward} rules deny NAME")
	}
}

// pattern reads the name of a rule as people give it: a pattern, or what
// parseHost takes.
func (n *node) pattern(s string) (blocklists.Name, policy.Match, error) {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s), "="); ok && !strings.Contains(rest, "*") {
		name, err := n.parseHost(rest)
		return name, policy.MatchExact, err
	}
	name, match, err := parsePattern(s)
	switch {
	case strings.ContainsAny(s, " /@:?#"), err == nil && match == policy.MatchSuffix:
		name, err = n.parseHost(s)
		return name, policy.MatchSuffix, err
	case err == nil && match == policy.MatchBelow:
		name, err = n.parseHost(name.String())
	}
	return name, match, err
}

func ruleAdd(e *edit, r ruleRequest) (string, error) {
	name, match, err := e.n.pattern(r.Name)
	if err == nil && r.Exact && match != policy.MatchSuffix && match != policy.MatchExact {
		err = errors.New("--exact means one name, and * stands for many; give one of the two")
	}
	if err != nil {
		return "", usageError(err)
	}
	if r.Exact {
		match = policy.MatchExact
	}
	rule := policy.Rule{Name: name, Match: match, Allow: r.Allow}
	if rule.Until, err = e.ending(r.For, ""); err != nil {
		return "", err
	}
	s, err := e.n.state(e.ctx)
	if err != nil {
		return "", err
	}
	profile, err := e.orDefault(r.Profile)
	if err != nil {
		return "", err
	}
	id, what, err := e.f.AddRule(profile, rule, e.now)
	if err != nil {
		return "", about1("adding a rule for", r.Name, err)
	}
	for _, w := range policy.RuleWarnings(e.n.catalogue.Load(), s.Index, rule) {
		e.note("Be aware that %s.", strings.TrimSuffix(w, "."))
	}
	verb := "denied"
	if rule.Allow {
		verb = "allowed"
	}
	e.say = fmt.Sprintf("rule %d: %s is %s for profile %s %s", id, patternWords(name, match), verb, profile, untilText(rule.Until, e.zone))
	return what, nil
}

func ruleRemove(e *edit, r ruleRequest) (string, error) {
	what, err := e.f.RemoveRule(policy.RuleID(r.ID))
	if err != nil && !errors.Is(err, policy.ErrSame) {
		err = fmt.Errorf("removing rule %d: %w", r.ID, err)
	}
	return what, err
}
