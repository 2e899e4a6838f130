package blocklists

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
)

// patternSet finds the patterns that match a name. It is immutable and safe for
// concurrent use; nil is the set without patterns.
//
// Every rule but a few is filed under three bytes that stand in each name it can
// match (the rarest and least used that it offers), so a name meets only rules
// that share three bytes with it. A bitmap of 8 KiB answers nearly all of a
// name's places at once.
type patternSet struct {
	rules      []filedPattern
	bits       [1 << 10]uint64     // which hashes of keys are in use
	buckets    map[trigram][]int32 // rules by key
	unfiltered []int32             // rules that have no key
}

// trigram is three bytes of text.
type trigram uint32

func trigramAt[T []byte | string](b T) trigram {
	return trigram(b[0])<<16 | trigram(b[1])<<8 | trigram(b[2])
}

func (t trigram) hash() uint32 { return uint32(t) * 0x9e3779b1 >> 16 }

type filedPattern struct {
	*Pattern
	name  Name
	exact bool
	keys  []trigram
}

// patternLimitError says which rule was one too many for an index.
type patternLimitError struct {
	rule  int
	limit string
}

func (e *patternLimitError) Error() string {
	return fmt.Sprintf("compiling patterns: rule %d is beyond the limit of %s: take out a list, or its patterns", e.rule, e.limit)
}

// compilePatterns makes a set of entries that have a Pattern; the set calls them
// by their place in rules. The error is a *patternLimitError; there is no set
// then. No rules make a nil set.
func compilePatterns(rules []Entry) (*patternSet, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	if len(rules) > maxPatterns {
		return nil, &patternLimitError{maxPatterns, thousands(maxPatterns) + " patterns"}
	}
	s := &patternSet{buckets: make(map[trigram][]int32), rules: make([]filedPattern, len(rules))}
	use := make(map[trigram]int)
	size, denied := 0, 0
	for i, e := range rules {
		s.rules[i] = filedPattern{Pattern: e.Pattern, name: e.Name, exact: e.Exact}
		denied += len(e.Pattern.denyAllow)
		if e.Pattern.re != nil {
			size += e.Pattern.re.size
		}
		needs := s.rules[i].needs()
		switch {
		case size > maxRegexpTotal:
			return nil, &patternLimitError{i, thousands(maxRegexpTotal) + " instructions of regular expressions"}
		case denied > maxDenyAllowAll:
			return nil, &patternLimitError{i, thousands(maxDenyAllowAll) + " names that rules do not hold for"}
		case len(needs) == 0 && len(s.unfiltered) == maxUnfiltered:
			return nil, &patternLimitError{i, thousands(maxUnfiltered) + " regular expressions without three fixed letters in a row"}
		case len(needs) == 0:
			s.unfiltered = append(s.unfiltered, int32(i))
		}
		for _, text := range slices.Concat(needs...) {
			for at := 0; at+3 <= len(text); at++ {
				use[trigramAt(text[at:])]++
			}
		}
	}
	for at := 0; at+3 <= len(alike); at++ {
		use[trigramAt(alike[at:])] += 100
	}
	for i := range s.rules {
		s.file(int32(i), use)
	}
	return s, nil
}

// alike is where names are alike. Keys are taken from it only where a rule offers
// no other.
const alike = ".com. .net. .org. .www. .api. .cdn. .de. .co.uk. .io. .google .amazon .cloud ing. ers. prod video media"

// needs returns what every name that matches holds: of each element at least one
// text.
func (f *filedPattern) needs() (all [][]string) {
	switch {
	case f.re != nil:
		return f.re.needs
	case f.glob != nil:
		for _, p := range f.glob.pieces {
			if len(p) >= minLiteral {
				all = append(all, []string{string(p)})
			}
		}
		return all
	}
	var buf [maxText]byte
	return [][]string{{string(appendText(buf[:0], f.name))}}
}

// file enters a rule under the keys that are used least, given how often each
// occurs in all rules: what is common in rules is common in names.
func (s *patternSet) file(rule int32, use map[trigram]int) {
	f := &s.rules[rule]
	best := -1
	for _, texts := range f.needs() {
		var keys []trigram
		worst := 0
		for _, text := range texts {
			key, cost := trigramAt(text), use[trigramAt(text)]
			for at := 1; at+3 <= len(text); at++ {
				if c := use[trigramAt(text[at:])]; c < cost {
					key, cost = trigramAt(text[at:]), c
				}
			}
			worst += cost
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		if best < 0 || worst < best {
			f.keys, best = keys, worst
		}
	}
	for _, key := range f.keys {
		use[key]++
		s.buckets[key] = append(s.buckets[key], rule)
		h := key.hash()
		s.bits[h>>6] |= 1 << (h & 63)
	}
}

// texts lends buffers to regular expressions, through which they would escape.
var texts = sync.Pool{New: func() any { return new([maxText]byte) }}

// match calls hit for every rule that matches n in a question of that type, each
// once, in no order. n is the name asked for; a name met in an answer's CNAME is
// matched with the type CNAME, as AdGuard reads $dnstype.
//
// A rule that matches says so of this name only, never of those below it, so a
// block must not deny the subtree; under a condition on types it must not deny
// the name's other types either. What lists from elsewhere must not block is for
// the caller to check ([Catalogue.Guard] with n): a pattern is not checked when
// it is read, but for its Name.
//
// match does not allocate. It takes time in proportion to the length of n and
// the rules that share three letters with it; even a name made to meet every
// expression runs at most maxRegexpTotal instructions per byte.
func (s *patternSet) match(n Name, qtype uint16, hit func(rule int)) {
	if s == nil {
		return
	}
	var buf [maxText]byte
	text := appendText(buf[:0], n)
	for _, i := range s.unfiltered {
		if s.rules[i].match(n, text, qtype) {
			hit(int(i))
		}
	}
	for at := 0; at+3 <= len(text); at++ {
		key := trigramAt(text[at:])
		if h := key.hash(); s.bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, i := range s.buckets[key] {
			f := &s.rules[i]
			if f.firstAt(text, at) && f.match(n, text, qtype) {
				hit(int(i))
			}
		}
	}
}

// firstAt reports whether none of the rule's keys stands before at, where one
// does: the rule was met there already.
func (f *filedPattern) firstAt(text []byte, at int) bool {
	for _, k := range f.keys {
		key := [3]byte{byte(k >> 16), byte(k >> 8), byte(k)}
		if bytes.Contains(text[:at+2], key[:]) {
			return false
		}
	}
	return true
}

func (f *filedPattern) match(n Name, text []byte, qtype uint16) bool {
	if !f.holdForType(qtype) {
		return false
	}
	ok := false
	switch {
	case f.glob != nil:
		ok = f.glob.match(text)
	case f.re != nil:
		if f.re.mayMatch(text) {
			lent := texts.Get().(*[maxText]byte)
			ok = f.re.match(append(lent[:0], text...))
			texts.Put(lent)
		}
	case f.exact:
		ok = n == f.name
	default:
		ok = n.IsBelow(f.name)
	}
	return ok && f.holdForName(n)
}
