package policy

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kinward/blocklists"
)

// source is what a policy is compiled from: a profile and what its family says
// about time, without anybody's name, so that all who chose alike share one
// policy. Its JSON form is the key under which the policy is found again, and
// what it is compiled from against another index.
type source struct {
	Profile  Profile   `json:"profile"`
	Grants   []Grant   `json:"grants,omitempty"`
	Zone     string    `json:"zone,omitempty"`
	Holidays []Holiday `json:"holidays,omitempty"`
}

// sourceOf returns what the policy of one of a family's profiles is compiled
// from.
func sourceOf(f *Family, p *Profile) source {
	s := source{Profile: *p}
	s.Profile.ID, s.Profile.Name = 0, ""
	for _, g := range f.Grants {
		if g.Profile == p.ID {
			g.Profile, g.By, g.Why = 0, "", ""
			s.Grants = append(s.Grants, g)
		}
	}
	if len(p.Schedules) > 0 {
		s.Zone, s.Holidays = f.Zone, make([]Holiday, len(f.Holidays))
		for i, h := range f.Holidays {
			s.Holidays[i] = Holiday{First: h.First, Last: h.Last}
		}
	}
	return s
}

// compile is the one place where the directory has a policy compiled.
func (s *source) compile(presets *Presets, x *blocklists.Index) (*Policy, error) {
	return compilePolicy(&s.Profile, presets, x)
}

// policies are the distinct policies of all families, by number, with how many
// profiles use each. Chunks are shared by what was derived from one another.
type policies struct {
	chunks []*policyChunk
	made   uint32 // how many numbers were ever given out
	free   uint32 // a number to use again, +1
}

type policyChunk struct {
	owner   *owner
	entries [chunkPolicies]interned
}

type interned struct {
	policy *Policy // nil where the number is free
	key    string  // its source as JSON
	refs   uint32
	next   uint32 // in a free number: the next one, +1
}

const chunkPolicies = 128 // 4 KiB

func (p *policies) edit() policies {
	c := *p
	c.chunks = slices.Clone(p.chunks)
	return c
}

func (p *policies) at(n uint32) *interned {
	return &p.chunks[n/chunkPolicies].entries[n%chunkPolicies]
}

// own returns an entry that o may change.
func (p *policies) own(o *owner, n uint32) *interned {
	i := int(n / chunkPolicies)
	if i == len(p.chunks) {
		p.chunks = append(p.chunks, &policyChunk{owner: o})
	} else if c := p.chunks[i]; c.owner != o {
		p.chunks[i] = &policyChunk{owner: o, entries: c.entries}
	}
	return p.at(n)
}

// add gives a policy a number.
func (p *policies) add(o *owner, policy *Policy, key string) uint32 {
	n := p.made
	if p.free != 0 {
		n = p.free - 1
		p.free = p.at(n).next
	} else {
		p.made++
	}
	*p.own(o, n) = interned{policy: policy, key: key, refs: 1}
	return n
}

// intern returns the number of a profile's policy, compiled where nobody else
// has it.
func (e *edit) intern(f *Family, p *Profile) (uint32, error) {
	src := sourceOf(f, p)
	key, err := json.Marshal(&src)
	if err != nil {
		return 0, fmt.Errorf("compiling profile %q: %w", p.Name, err)
	}
	h := e.hash(hashPolicy, key)
	if n, ok := e.index.find(h, func(n uint32) bool { return n&isPolicy != 0 && e.policies.at(n&^isPolicy).key == string(key) }); ok {
		n &^= isPolicy
		e.policies.own(e.owner, n).refs++
		return n, nil
	}
	compiled, err := src.compile(e.presets, e.x)
	if err != nil {
		return 0, fmt.Errorf("compiling profile %q: %w", p.Name, err)
	}
	n := e.policies.add(e.owner, compiled, string(key))
	e.index.insert(e.owner, h, n|isPolicy)
	return n, nil
}

// release gives up one use of a policy.
func (e *edit) release(n uint32) {
	p := e.policies.own(e.owner, n)
	if p.refs--; p.refs > 0 {
		return
	}
	e.index.remove(e.owner, e.hash(hashPolicy, []byte(p.key)), n|isPolicy)
	*p = interned{next: e.policies.free}
	e.policies.free = n + 1
}

// rebased compiles every policy against another index, each once, on all
// processors. changed says whether one restricts now and did not, or the other
// way round.
func (p *policies) rebased(presets *Presets, x *blocklists.Index) (_ policies, changed bool, err error) {
	out := *p
	out.chunks = make([]*policyChunk, len(p.chunks))
	var differs atomic.Bool
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, from := range p.chunks {
		g.Go(func() error {
			to := &policyChunk{entries: from.entries}
			for j := range to.entries {
				e := &to.entries[j]
				if e.policy == nil {
					continue
				}
				var src source
				if err := json.Unmarshal([]byte(e.key), &src); err != nil {
					return fmt.Errorf("compiling a policy again: %w", err)
				}
				next, err := src.compile(presets, x)
				if err != nil {
					return fmt.Errorf("compiling a policy again: %w", err)
				}
				if next.Restricted != e.policy.Restricted {
					differs.Store(true)
				}
				e.policy = next
			}
			out.chunks[i] = to
			return nil
		})
	}
	err = g.Wait()
	return out, differs.Load(), err
}
