package policy

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"kinward/blocklists"
)

// ruleSet finds the most specific of a family's own rules for a name.
//
// Of the rules that match a name those for the longest name win: exact before
// pattern, pattern before "all below", that before "the name and all below". A
// pattern counts as long as the labels behind its last star. Deny wins a tie.
//
// Most names have no rule. The filter says so for nearly all of them, so that
// the rules themselves, which lie elsewhere, need not be looked at.
type ruleSet struct {
	filter uint64       // two bits for each name in rules
	rules  []ruleEntry  // by the name's hash, the name, then by what wins
	globs  *[]globEntry // what wins first; nil where there are none
	denies bool
}

var ruleSeed = maphash.MakeSeed()

func hashName(n blocklists.Name) uint64 { return maphash.String(ruleSeed, string(n)) }

// hashAbove is hashName for what says that an allowed name lies below n.
func hashAbove(n blocklists.Name) uint64 { return ^hashName(n) }

// filterBits returns the bits of a name with a hash.
func filterBits(hash uint64) uint64 { return 1<<(hash>>58) | 1<<(hash>>52&63) }

func (s *ruleSet) patterns() []globEntry {
	if s.globs == nil {
		return nil
	}
	return *s.globs
}

// ruleEntry is a rule for a name. One without an ID says that an allowed name
// lies below; it has another hash than rules for that name, so that looking for
// those ends at the filter.
type ruleEntry struct {
	hash  uint64 // hashName, or hashAbove without an ID
	name  blocklists.Name
	id    RuleID
	until int64
	aim   *aim // its hours, nil for always
	match Match
	allow bool
}

type globEntry struct {
	ruleEntry
	glob  *blocklists.Glob
	depth int
}

// holds reports whether the rule holds now.
func (r *ruleEntry) holds(mask uint64, unix int64) bool {
	if unix >= r.until {
		return false
	}
	if r.aim == nil {
		return true
	}
	blocked, _, _ := r.aim.state(mask)
	return blocked != r.allow
}

var matchOrder = [...]int{MatchExact: 0, MatchGlob: 1, MatchBelow: 2, MatchSuffix: 3}

func compareRules(a, b ruleEntry) int {
	deny := func(r ruleEntry) int {
		if r.allow {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(matchOrder[a.match], matchOrder[b.match]), cmp.Compare(deny(a), deny(b)), cmp.Compare(a.id, b.id))
}

func newRuleSet(rules []Rule, t *timed) (s ruleSet, err error) {
	above := map[blocklists.Name]bool{}
	var globs []globEntry
	for _, r := range rules {
		if r.ID == 0 || r.Name == "" || int(r.Match) >= len(matchOrder) {
			return s, fmt.Errorf("rule %d for %s: a rule needs an ID and a name", r.ID, r.Name)
		}
		e := ruleEntry{name: r.Name, id: r.ID, until: math.MaxInt64, aim: t.aim(Target{Kind: ForRule, Rule: r.ID}), match: r.Match, allow: r.Allow}
		if !r.Until.IsZero() {
			e.until = r.Until.Unix()
		}
		s.denies = s.denies || !r.Allow
		top := r.Name
		if r.Match == MatchGlob {
			g, err := blocklists.NewGlob(r.Name)
			if err != nil {
				return s, fmt.Errorf("rule %d: %w", r.ID, err)
			}
			globs = append(globs, globEntry{e, g, g.Base().Labels()})
			top = g.Base()
			above[top] = above[top] || r.Allow && top != ""
		} else {
			e.hash = hashName(r.Name)
			s.rules = append(s.rules, e)
		}
		if r.Match == MatchBelow {
			above[top] = above[top] || r.Allow
		}
		for p := top.Parent(); r.Allow && p != ""; p = p.Parent() {
			above[p] = true
		}
	}
	for n, ok := range above {
		if ok {
			s.rules = append(s.rules, ruleEntry{hash: hashAbove(n), name: n})
		}
	}
	for i := range s.rules {
		s.filter |= filterBits(s.rules[i].hash)
	}
	slices.SortFunc(s.rules, func(a, b ruleEntry) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name), compareRules(a, b))
	})
	if len(globs) == 0 {
		return s, nil
	}
	s.globs = &globs
	slices.SortFunc(globs, func(a, b globEntry) int {
		return cmp.Or(cmp.Compare(b.depth, a.depth), compareRules(a.ruleEntry, b.ruleEntry))
	})
	return s, nil
}

// of returns the entries for exactly this name by its hash, in the order of what
// wins.
func (s *ruleSet) of(n blocklists.Name, hash uint64) []ruleEntry {
	if bits := filterBits(hash); s.filter&bits != bits {
		return nil
	}
	lo, hi := 0, len(s.rules)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if r := &s.rules[m]; r.hash < hash || r.hash == hash && r.name < n {
			lo = m + 1
		} else {
			hi = m
		}
	}
	for hi < len(s.rules) && s.rules[hi].hash == hash && s.rules[hi].name == n {
		hi++
	}
	return s.rules[lo:hi]
}

// match returns the rule that decides about n now, nil where none does.
func (s *ruleSet) match(n blocklists.Name, mask uint64, unix int64) *ruleEntry {
	if s.filter == 0 && s.globs == nil {
		return nil
	}
	glob, globDepth := s.matchGlob(n, mask, unix)
	depth := 0
	if glob != nil {
		depth = n.Labels()
	}
	for at := n; ; at, depth = at.Parent(), depth-1 {
		entries := s.of(at, hashName(at))
		for i := range entries {
			r := &entries[i]
			if !r.holds(mask, unix) || (r.match == MatchExact) && at != n || r.match == MatchBelow && at == n {
				continue
			}
			if glob != nil && globDepth == depth && matchOrder[r.match] > matchOrder[MatchGlob] {
				break
			}
			return r
		}
		if glob != nil && globDepth == depth {
			return glob
		}
		if at == "" {
			return nil
		}
	}
}

func (s *ruleSet) matchGlob(n blocklists.Name, mask uint64, unix int64) (*ruleEntry, int) {
	globs := s.patterns()
	for i := range globs {
		if g := &globs[i]; g.holds(mask, unix) && g.glob.Match(n) {
			return &g.ruleEntry, g.depth
		}
	}
	return nil, 0
}

// denyOf returns the rule that denies exactly n, and not n as one of several;
// nil if there is none.
func (s *ruleSet) denyOf(n blocklists.Name, mask uint64, unix int64) *ruleEntry {
	if !s.denies {
		return nil
	}
	entries := s.of(n, hashName(n))
	for i := range entries {
		r := &entries[i]
		if !r.allow && (r.match == MatchExact || r.match == MatchSuffix) && r.holds(mask, unix) {
			return r
		}
	}
	return nil
}

// allowsBelow reports whether a rule allows a name below n, now or at another
// time.
func (s *ruleSet) allowsBelow(n blocklists.Name) bool {
	if s.filter != 0 && len(s.of(n, hashAbove(n))) > 0 {
		return true
	}
	for _, g := range s.patterns() {
		if g.allow && g.depth == 0 {
			return true
		}
	}
	return false
}
