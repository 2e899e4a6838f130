package policy

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// policies are the distinct policies of all families, by number, with how many
// profiles use each. Chunks are shared by what was derived from one another.
type policies struct {
	chunks []*policyChunk
	made   uint32 // how many numbers were ever given out
	free   uint32 // a number to use again, +1
}

// policyChunk has the policies themselves, a cache line each, beside one another:
// they are all that a question needs, and no pointer is to be read on the way.
type policyChunk struct {
	policies [chunkPolicies]Policy // without choices where the number is free
	entries  [chunkPolicies]interned
	owner    *owner
}

type interned struct {
	key  string // its source as JSON
	refs uint32
	next uint32 // in a free number: the next one, +1
}

const chunkPolicies = 64 // 6 KiB

func (p *policies) edit() policies {
	c := *p
	c.chunks = slices.Clone(p.chunks)
	return c
}

func (p *policies) at(n uint32) *interned {
	return &p.chunks[n/chunkPolicies].entries[n%chunkPolicies]
}

// policy returns the policy with a number.
func (p *policies) policy(n uint32) *Policy {
	return &p.chunks[n/chunkPolicies].policies[n%chunkPolicies]
}

// own returns an entry that o may change.
func (p *policies) own(o *owner, n uint32) *interned {
	i := int(n / chunkPolicies)
	if i == len(p.chunks) {
		p.chunks = append(p.chunks, &policyChunk{owner: o})
	} else if c := p.chunks[i]; c.owner != o {
		p.chunks[i] = &policyChunk{owner: o, policies: c.policies, entries: c.entries}
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
	*p.own(o, n) = interned{key: key, refs: 1}
	*p.policy(n) = *policy
	return n
}

// intern returns the number of a profile's policy, compiled where nobody else
// has it.
func (e *edit) intern(f *Family, p *Profile) (uint32, error) {
	src := sourceOf(f, p, e.basis.presets)
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
	compiled, err := compilePolicy(e.basis, &src)
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
	*e.policies.policy(n) = Policy{}
	e.policies.free = n + 1
}

// rebased compiles every policy against another index, each once, on all
// processors. changed says whether one restricts now and did not, or the other
// way round.
func (p *policies) rebased(b *basis) (_ policies, changed bool, err error) {
	out := *p
	out.chunks = make([]*policyChunk, len(p.chunks))
	var differs atomic.Bool
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, from := range p.chunks {
		g.Go(func() error {
			to := &policyChunk{entries: from.entries}
			for j := range from.policies {
				old := &from.policies[j]
				if old.choices == nil {
					continue
				}
				var src source
				if err := json.Unmarshal([]byte(to.entries[j].key), &src); err != nil {
					return fmt.Errorf("compiling a policy again: %w", err)
				}
				next, err := compilePolicy(b, &src)
				if err != nil {
					return fmt.Errorf("compiling a policy again: %w", err)
				}
				if next.Restricted != old.Restricted {
					differs.Store(true)
				}
				to.policies[j] = *next
			}
			out.chunks[i] = to
			return nil
		})
	}
	err = g.Wait()
	return out, differs.Load(), err
}
