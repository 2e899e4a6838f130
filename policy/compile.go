package policy

import (
	"fmt"
	"time"

	"kinward/blocklists"
)

// Policy is a profile compiled against one index: all that [Decide] needs. It
// is immutable and shared by everybody whom the profile applies to.
type Policy struct {
	Name       string // the profile's
	Preset     Preset
	Response   *BlockMode // how its blocks are answered; nil as the server does
	Restricted bool       // blocks something, so its answers must not outlive a change of mind by much

	categories [blocklists.NumCategories]Choice
	rank       [blocklists.NumCategories]int // seriousness, smaller is shown first
	services   []serviceChoice               // by service number; nil where the profile chose none
	groups     [blocklists.MaxGroups / 64]uint64
	rules      ruleSet
}

// Category returns what the policy does about a category, where nothing else
// is known of a name.
func (p *Policy) Category(c blocklists.Category) Choice { return p.categories[c] }

// serviceChoice is a profile's own choice about a service.
type serviceChoice uint8

const noChoice serviceChoice = 0 // otherwise Choice+1

func compilePolicy(p *Profile, presets *Presets, x *blocklists.Index) (*Policy, error) {
	out := &Policy{Name: p.Name, Preset: p.Preset, Response: p.Response}
	for c := range blocklists.NumCategories {
		out.categories[c] = presets.Choice(p.Preset, c)
		out.rank[c] = x.Categories()[c].Rank
	}
	for c, choice := range p.Categories {
		if c <= blocklists.Plumbing || c >= blocklists.NumCategories {
			return nil, fmt.Errorf("compiling profile %q: category %d cannot be chosen", p.Name, c)
		}
		out.categories[c] = choice
	}
	if len(p.Services) > 0 {
		out.services = make([]serviceChoice, x.Services()+1)
		for id, choice := range p.Services {
			out.services[x.ServiceNumber(id)] = serviceChoice(choice) + 1
		}
		out.services[0] = noChoice // a service that the index does not know
	}
	for i, g := range x.Groups() {
		if !g.Complete() { // services outside the catalogue share it: never blocked
			continue
		}
		all := true
		for _, id := range g.Members {
			s := x.Service(x.ServiceNumber(id))
			all = all && s != nil && out.blocksService(x, id, s)
		}
		if all {
			out.groups[(i+1)/64] |= 1 << ((i + 1) % 64)
		}
	}
	if err := out.rules.compile(p.Rules); err != nil {
		return nil, fmt.Errorf("compiling profile %q: %w", p.Name, err)
	}
	out.Restricted = out.restricted()
	return out, nil
}

// restricted reports whether the policy blocks anything but what is dangerous
// to everybody.
func (p *Policy) restricted() bool {
	for c, choice := range p.categories {
		if choice.Action() == Block && blocklists.Category(c) != blocklists.Security {
			return true
		}
	}
	for _, c := range p.services {
		if c != noChoice && Choice(c-1).Action() == Block {
			return true
		}
	}
	return p.rules.denies
}

// blocksService reports whether the profile blocks a service as a whole.
func (p *Policy) blocksService(x *blocklists.Index, id string, s *blocklists.Service) bool {
	l := blocklists.Label{Category: s.Category, Service: x.ServiceNumber(id)}
	if s.KnownRisk != "" {
		l.Marks = blocklists.KnownRisk
	}
	c, _ := p.choose(l)
	return c.Action() == Block
}

// ruleSet finds the most specific rule for a name.
type ruleSet struct {
	byName map[blocklists.Name]ruleNode
	above  map[blocklists.Name]struct{} // names that an allowed name lies below
	denies bool
}

// ruleNode holds a name's rules: for the name alone and for all below it.
type ruleNode struct{ exact, suffix rulePair }

// rulePair is a deny and an allow rule for the same names; ID 0 is none.
type rulePair struct{ deny, allow timedRule }

type timedRule struct {
	id    RuleID
	until int64 // Unix seconds; 0 is never
}

func (r timedRule) holds(now int64) bool { return r.id != 0 && (r.until == 0 || now < r.until) }

func (s *ruleSet) compile(rules []Rule) error {
	if len(rules) == 0 {
		return nil
	}
	s.byName = make(map[blocklists.Name]ruleNode, len(rules))
	s.above = map[blocklists.Name]struct{}{}
	for _, r := range rules {
		if r.ID == 0 || r.Name == "" {
			return fmt.Errorf("rule %d for %s: a rule needs an ID and a name", r.ID, r.Name)
		}
		n := s.byName[r.Name]
		pair := &n.suffix
		if r.Match == MatchExact {
			pair = &n.exact
		}
		t := timedRule{id: r.ID}
		if !r.Until.IsZero() {
			t.until = r.Until.Unix()
		}
		if r.Allow {
			pair.allow = t
			for p := r.Name.Parent(); p != ""; p = p.Parent() {
				s.above[p] = struct{}{}
			}
		} else {
			pair.deny = t
			s.denies = true
		}
		s.byName[r.Name] = n
	}
	return nil
}

// match returns the most specific rule that holds for n now; deny wins over
// allow for the same name.
func (s *ruleSet) match(n blocklists.Name, now time.Time) (id RuleID, name blocklists.Name, allow, exact bool) {
	if len(s.byName) == 0 {
		return 0, "", false, false
	}
	unix := now.Unix()
	for at := n; at != ""; at = at.Parent() {
		node, ok := s.byName[at]
		if !ok {
			continue
		}
		if at == n {
			if node.exact.deny.holds(unix) {
				return node.exact.deny.id, at, false, true
			}
			if node.exact.allow.holds(unix) {
				return node.exact.allow.id, at, true, true
			}
		}
		if node.suffix.deny.holds(unix) {
			return node.suffix.deny.id, at, false, false
		}
		if node.suffix.allow.holds(unix) {
			return node.suffix.allow.id, at, true, false
		}
	}
	return 0, "", false, false
}

// exactDeny returns the rule that denies exactly n, 0 if there is none.
func (s *ruleSet) exactDeny(n blocklists.Name, now time.Time) RuleID {
	node, ok := s.byName[n]
	if !ok {
		return 0
	}
	for _, r := range [...]timedRule{node.exact.deny, node.suffix.deny} {
		if r.holds(now.Unix()) {
			return r.id
		}
	}
	return 0
}
