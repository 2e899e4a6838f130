package policy

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"kinward/blocklists"
)

// Policy is a profile compiled against one index: all that [Decide] needs. It
// is immutable and shared by everybody whom an equal profile applies to, in
// whichever family, so it holds no names that people gave.
//
// What a family is most likely to have like nobody else is rules. So a policy
// is one line of the processor's cache that no other question touched, and the
// rest is shared and warm.
type Policy struct {
	*choices
	rules      ruleSet
	Restricted bool // blocks or rewrites something, so its answers must not outlive a change of mind by much
}

// choices is a policy but for its rules, shared by all policies that differ in
// nothing else.
type choices struct {
	Preset   Preset
	Response *BlockMode

	guests     bool // what they try is counted, never named
	bypass     bool // the canaries are answered
	categories [blocklists.NumCategories]Choice
	logged     uint32 // categories whose log mode was chosen, a bit each
	basis      *basis
	services   []numbered[blocklists.ServiceID] // in order of their numbers
	lists      []numbered[blocklists.ListID]
	search     SearchModes
	still      *phase // what holds while no schedule is active
	timed      *timed // nil where nothing ever changes by itself
}

// Category returns what the policy does about a category, where nothing else
// is known of a name and no schedule is active.
func (p *Policy) Category(c blocklists.Category) Choice { return p.categories[c] }

// numbered is a profile's own choice about a service or a list, by its number.
type numbered[ID ~uint16] struct {
	id     ID
	choice Choice
}

// chosen returns the choice for a number.
func chosen[ID ~uint16](all []numbered[ID], id ID) (Choice, bool) {
	for i := range all { // a handful
		if all[i].id == id {
			return all[i].choice, true
		}
	}
	return ChooseAllow, false
}

// compilePolicy compiles a source. The error says what in it is wrong.
func compilePolicy(b *basis, s *source) (*Policy, error) {
	c, err := b.choicesOf(s)
	if err != nil {
		return nil, err
	}
	out := &Policy{choices: c}
	if out.rules, err = newRuleSet(s.Profile.Rules, c.timed); err != nil {
		return nil, err
	}
	out.Restricted = out.restricted()
	return out, nil
}

func compileChoices(b *basis, s *source) (*choices, error) {
	p := &s.Profile
	for _, choices := range []iter.Seq[blocklists.Category]{maps.Keys(p.Categories), maps.Keys(p.Log)} {
		for c := range choices {
			if !categoryChosen(c) {
				return nil, fmt.Errorf("category %d cannot be chosen", c)
			}
		}
	}
	out := &choices{Preset: p.Preset, Response: p.Response, guests: p.Guests, bypass: p.guardsBypass(), basis: b}
	for c := range out.categories {
		out.categories[c] = p.choice(blocklists.Category(c), b.presets)
	}
	for c := range p.Log {
		out.logged |= 1 << c
	}
	for id, choice := range p.Services {
		if n := b.index.ServiceNumber(id); n != 0 {
			out.services = append(out.services, numbered[blocklists.ServiceID]{n, choice})
		}
	}
	for i, l := range b.index.Lists() {
		if choice, ok := p.Lists[l.ID]; ok && i != 0 {
			out.lists = append(out.lists, numbered[blocklists.ListID]{blocklists.ListID(i), choice})
		}
	}
	slices.SortFunc(out.services, func(a, b numbered[blocklists.ServiceID]) int { return cmp.Compare(a.id, b.id) })
	out.search = b.presets.safe.Modes(p.Preset, p.Search)
	var err error
	if out.timed, err = newTimed(b, s); err != nil {
		return nil, err
	}
	out.still = b.stillPhase(b.blockedGroups(&Policy{choices: out}, 0))
	return out, nil
}

// restricted reports whether the policy does anything but block what is
// dangerous to everybody.
func (p *Policy) restricted() bool {
	for c, choice := range p.categories {
		if choice.Action() == Block && blocklists.Category(c) != blocklists.Security {
			return true
		}
	}
	for _, c := range p.services {
		if c.choice.Action() == Block {
			return true
		}
	}
	for _, c := range p.lists {
		if c.choice.Action() == Block {
			return true
		}
	}
	return p.rules.denies || p.bypass || p.search != (SearchModes{}) || p.timed != nil && (len(p.timed.schedules) > 0 || p.timed.paused != math.MinInt64)
}
