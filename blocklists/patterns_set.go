package blocklists

import (
	"bytes"
	"fmt"
	"strings"
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

func trigramAt(b []byte) trigram { return trigram(b[0])<<16 | trigram(b[1])<<8 | trigram(b[2]) }

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
	s := &patternSet{buckets: make(map[trigram][]int32)}
	size, denied := 0, 0
	for i, e := range rules {
		f := filedPattern{Pattern: e.Pattern, name: e.Name, exact: e.Exact}
		denied += len(f.denyAllow)
		if f.re != nil {
			size += f.re.size
		}
		pieces := f.pieces()
		switch {
		case size > maxRegexpTotal:
			return nil, &patternLimitError{i, thousands(maxRegexpTotal) + " instructions of regular expressions"}
		case denied > maxDenyAllowAll:
			return nil, &patternLimitError{i, thousands(maxDenyAllowAll) + " names that rules do not hold for"}
		case len(pieces) == 0 && len(s.unfiltered) == maxUnfiltered:
			return nil, &patternLimitError{i, thousands(maxUnfiltered) + " regular expressions without three fixed letters in a row"}
		case len(pieces) == 0:
			s.unfiltered = append(s.unfiltered, int32(i))
		}
		for _, alternatives := range pieces {
			s.file(&f, int32(i), alternatives)
		}
		s.rules = append(s.rules, f)
	}
	return s, nil
}

// pieces returns texts to choose keys from, one key of each element: every name
// that matches holds all texts of at least one element.
func (f *filedPattern) pieces() (all [][]string) {
	switch {
	case f.re != nil:
		for _, l := range f.re.literals {
			all = append(all, []string{l})
		}
	case f.glob != nil:
		var texts []string
		for _, p := range f.glob.pieces {
			texts = append(texts, string(p))
		}
		all = append(all, texts)
	default:
		var buf [maxText]byte
		all = append(all, []string{string(appendText(buf[:0], f.name))})
	}
	return all
}

// alike is where names are alike. Keys are taken from it only where a rule offers
// no other.
const alike = ".com. .net. .org. .www. .api. .cdn. .de. .co.uk. .io. .google .amazon .cloud ing. ers. "

// file enters a rule under the best key that texts offer.
func (s *patternSet) file(f *filedPattern, rule int32, texts []string) {
	var best trigram
	cost := -1
	for _, text := range texts {
		for i := 0; i+3 <= len(text); i++ {
			c := len(s.buckets[trigramAt([]byte(text[i:i+3]))])
			if strings.Contains(alike, text[i:i+3]) {
				c += 50
			}
			if cost < 0 || c < cost {
				best, cost = trigramAt([]byte(text[i:i+3])), c
			}
		}
	}
	f.keys = append(f.keys, best)
	s.buckets[best] = append(s.buckets[best], rule)
	h := best.hash()
	s.bits[h>>6] |= 1 << (h & 63)
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
