package policy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"kinward/blocklists"
)

// basis is what all policies of one index are compiled against, and what is
// equal for all of them. It is immutable but for what it remembers, and safe for
// concurrent use.
type basis struct {
	index   *blocklists.Index
	presets *Presets
	rank    [blocklists.NumCategories]uint8 // seriousness, smaller is shown first
	members [][]blocklists.ServiceID        // of each group; nil where services outside the catalogue share it

	mu    sync.Mutex
	zones map[string]*time.Location
	still map[groupSet]*phase // phases without schedules, each kept once
	made  map[[sha256.Size]byte]weak.Pointer[choices]
}

func newBasis(presets *Presets, x *blocklists.Index) *basis {
	b := &basis{index: x, presets: presets, zones: map[string]*time.Location{}, still: map[groupSet]*phase{}, made: map[[sha256.Size]byte]weak.Pointer[choices]{}}
	for c := range blocklists.NumCategories {
		b.rank[c] = uint8(min(x.Categories()[c].Rank, math.MaxUint8))
	}
	b.members = make([][]blocklists.ServiceID, len(x.Groups()))
	for i, g := range x.Groups() {
		if !g.Complete() { // services outside the catalogue share it: never blocked
			continue
		}
		for _, id := range g.Members {
			b.members[i] = append(b.members[i], x.ServiceNumber(id))
		}
	}
	return b
}

// zone returns a time zone by its name, read once; "" is the server's.
func (b *basis) zone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if z, ok := b.zones[name]; ok {
		return z, nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("reading time zone %q: %w; write one like Europe/Berlin", name, err)
	}
	b.zones[name] = z
	return z, nil
}

// choicesOf returns a source's choices. They are compiled once for all sources
// that differ in rules only, and kept for as long as a policy has them. A rule
// that ends is a matter of time like a schedule, so what it belongs to is not
// shared.
func (b *basis) choicesOf(s *source) (*choices, error) {
	if slices.ContainsFunc(s.Profile.Rules, func(r Rule) bool { return !r.Until.IsZero() }) {
		return compileChoices(b, s)
	}
	rest := *s
	rest.Profile.Rules = nil
	text, err := json.Marshal(&rest)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(text)
	b.mu.Lock()
	c := b.made[key].Value()
	b.mu.Unlock()
	if c != nil {
		return c, nil
	}
	made, err := compileChoices(b, s)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.made[key].Value(); c != nil {
		return c, nil
	}
	b.made[key] = weak.Make(made)
	runtime.AddCleanup(made, b.unmake, key)
	return made, nil
}

// unmake forgets choices that are gone, but not those that were made again since.
func (b *basis) unmake(key [sha256.Size]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made[key].Value() == nil {
		delete(b.made, key)
	}
}

// groupSet is a set of groups of services.
type groupSet [blocklists.MaxGroups / 64]uint64

func (s *groupSet) has(g blocklists.GroupID) bool { return s[g/64]&(1<<(g%64)) != 0 }
func (s *groupSet) add(g blocklists.GroupID)      { s[g/64] |= 1 << (g % 64) }

// blockedGroups returns the groups all of whose services p blocks while the
// schedules of a mask are active.
func (b *basis) blockedGroups(p *Policy, mask uint64) (s groupSet) {
	for i, members := range b.members {
		all := len(members) > 0
		for _, id := range members {
			svc := b.index.Service(id)
			all = all && svc != nil && p.blocksService(id, svc, mask)
		}
		if all {
			s.add(blocklists.GroupID(i + 1))
		}
	}
	return s
}

// blocksService reports whether p blocks a service as a whole.
func (p *Policy) blocksService(id blocklists.ServiceID, s *blocklists.Service, mask uint64) bool {
	l := blocklists.Label{Category: s.Category, Service: id}
	if s.KnownRisk != "" {
		l.Marks = blocklists.KnownRisk
	}
	return p.choose(l, &phase{mask: mask}).choice.Action() == Block
}

// stillPhase returns the phase of a policy in which no schedule is active.
func (b *basis) stillPhase(groups groupSet) *phase {
	b.mu.Lock()
	defer b.mu.Unlock()
	ph, ok := b.still[groups]
	if !ok {
		ph = &phase{from: math.MinInt64, until: math.MaxInt64, groups: groups}
		b.still[groups] = ph
	}
	return ph
}
