package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

// mine is what a child may know of its own profile.
type mine struct {
	Profile string     `json:"profile"`
	Blocked []string   `json:"blocked"` // categories, as people call them
	Named   []string   `json:"named"`   // what is kept with name and time
	Counted []string   `json:"counted"` // what is only counted
	Days    int        `json:"days"`    // how long
	Longer  []string   `json:"longer"`  // what is kept otherwise, in words
	Own     []string   `json:"own"`     // rules, services and lists chosen for the profile
	Times   []string   `json:"times"`   // schedules
	Who     []string   `json:"who"`     // can see it
	Looks   viewsReply `json:"looks"`
}

var opProfileMine = operation[profileShowRequest, mine]{"profiles-my", showMine}

// profileMyCommand is the view that belongs to the child.
func (c *cli) profileMyCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "my PROFILE",
		Short: "Tell a child what is filtered, what is kept, how long, and who can see it",
		Long: `Tells, in words for the person whose profile it is, what is filtered, what is kept and
for how long, who can see it and who looked. Show it to your child: what is open is
easier to talk about.`,
		Example: `  kinward profiles my Lea`,
		Args:    exactArgs("a PROFILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opProfileMine, profileShowRequest{c.about, args[0]}, printMine)
		},
	})
}

func showMine(ctx context.Context, n *node, req profileShowRequest, _ progress) (mine, error) {
	r, err := n.readFamily(ctx, incidentsQuery{Family: req.Family})
	if err != nil {
		return mine{}, err
	}
	p, err := r.f.Profile(req.Profile)
	if err != nil {
		return mine{}, coded(err)
	}
	m := mine{
		Profile: p.Name, Blocked: []string{}, Named: []string{}, Counted: []string{}, Days: int(r.f.Retention.Default()), Longer: []string{}, Own: []string{}, Times: []string{}, Who: []string{},
	}
	catalogue := n.catalogue.Load()
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		choice, keep := n.keptOf(p, c)
		name := catalogue.Categories[c].Name
		if choice.Action() == policy.Block {
			m.Blocked = append(m.Blocked, name)
		}
		switch keep {
		case policy.KeepItem:
			m.Named = append(m.Named, name)
		case policy.KeepCount:
			m.Counted = append(m.Counted, name)
		}
		if d := r.f.Retention.For(c); d != r.f.Retention.Default() {
			m.Longer = append(m.Longer, fmt.Sprintf("%s: %s", name, d))
		}
	}
	for _, list := range [][]string{m.Blocked, m.Named, m.Counted, m.Longer} {
		slices.Sort(list)
	}
	for _, rule := range p.Rules {
		m.Own = append(m.Own, policy.RuleText(rule))
	}
	for _, id := range sortedKeys(p.Services) {
		m.Own = append(m.Own, r.names.Service(id)+": "+p.Services[id].String())
	}
	for _, id := range sortedKeys(p.Lists) {
		m.Own = append(m.Own, "list "+id+": "+p.Lists[id].String())
	}
	for _, s := range p.Schedules {
		m.Times = append(m.Times, s.Name+": "+scheduleText(p, s))
	}
	for _, g := range r.f.Guardians {
		m.Who = append(m.Who, g.Name)
	}
	r.filter.Since = policy.KeptDays(30).Before(r.now)
	m.Looks, err = r.viewsReply(ctx, p.ID, "")
	return m, err
}

// keptOf is what a profile does about a category, and what is kept of attempts at it.
func (n *node) keptOf(p *policy.Profile, c blocklists.Category) (policy.Choice, policy.Keep) {
	choice, _ := p.ChoiceOf(c, n.presets)
	keep := choice.Keep()
	if p.Guests {
		keep = min(keep, policy.KeepCount)
	}
	return choice, keep
}

func printMine(w io.Writer, m mine) {
	list := func(title, none string, things []string) {
		if len(things) == 0 {
			fmt.Fprintf(w, "%s\n%s\n", title, paragraph(none))
			return
		}
		fmt.Fprintf(w, "%s\n%s\n", title, paragraph(strings.Join(things, "; ")+"."))
	}
	fmt.Fprintf(w, "Hello %s. This is what Kinward does on your devices.\n\n", m.Profile)
	list("It closes pages and apps of these kinds:", "None.", m.Blocked)
	list("If your device tries one of these, the adults of your family can read when and which:", "Nothing is kept with its name.", m.Named)
	if len(m.Counted) > 0 {
		list("Of these only a number a day is kept, never a name:", "", m.Counted)
	}
	if len(m.Own) > 0 {
		list("Your family has also chosen, and attempts at what it closed can be read too:", "", m.Own)
	}
	if len(m.Times) > 0 {
		list("At these times more is closed. Then it is kept that your device asked, not what for:", "", m.Times)
	}
	fmt.Fprintf(w, "What is never kept\n%s\n", paragraph("Everything else that is open: what you look at, search or write. And help lines: nobody can see that you called for help, and nobody can close them."))
	fmt.Fprintf(w, "How long\n%s", paragraph(fmt.Sprintf("%s, and then it is deleted.", policy.KeptDays(m.Days))))
	if len(m.Longer) > 0 {
		fmt.Fprint(w, paragraph("But "+strings.Join(m.Longer, ", ")+"."))
	}
	who := "The adults of your family, and whoever runs the machine that Kinward is on."
	if len(m.Who) > 0 {
		who = strings.Join(m.Who, ", ") + ", and whoever runs the machine that Kinward is on."
	}
	fmt.Fprintf(w, "\nWho can see it\n%s\nWho looked in the last 30 days\n", paragraph(who))
	if len(m.Looks.Views) == 0 {
		fmt.Fprintln(w, "  Nobody.")
	}
	for _, v := range m.Looks.Views {
		fmt.Fprintf(w, "  %s  %s %s\n", v.First.Format("Mon 2 Jan 15:04"), v.Who, viewWords[v.Action])
	}
	fmt.Fprintf(w, "\n%s", paragraph("A device also looks things up by itself, so something in the list is no proof that you did anything. If you need something that is closed, ask. If something made you feel bad, tell somebody you trust."))
	fmt.Fprintln(w, "  Places that help: {kinward} help-lines")
}
