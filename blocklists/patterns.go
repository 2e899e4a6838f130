package blocklists

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Pattern is the part of a rule that a table of names cannot hold: a wildcard,
// a regular expression, or a condition. It is immutable and safe for concurrent
// use.
//
// There are three kinds. A condition narrows the entry's Name, which it shares
// with plain entries: "||x.example^$dnstype=A". A glob ("||ads.*.example^") or a
// regular expression ("/^ads?[0-9]/") has no Name, and may have conditions.
type Pattern struct {
	text string
	glob *glob
	re   *expression
	conditions
}

// String returns the whole rule in adblock syntax, exceptions and modifiers
// included, in one canonical spelling: equal rules have equal texts, and
// parsePattern reads it back.
func (p *Pattern) String() string { return p.text }

// parsePattern reads one rule in adblock syntax that makes an entry with a
// Pattern. It is subject to the same limits as rules of lists.
func parsePattern(rule string) (Entry, error) {
	var got []Entry
	p := newListParser(ParseOptions{Format: FormatAdblock, Patterns: true}, func(e Entry) error {
		got = append(got, e)
		return nil
	})
	p.format = FormatAdblock
	err := p.oneLine([]byte(rule), false)
	if err == nil {
		err = p.release()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("reading pattern %q: %w", clip(rule), err)
	}
	if len(got) != 1 || got[0].Pattern == nil {
		why := "it is no pattern"
		if len(p.report.Examples) > 0 {
			why = p.report.Examples[0].Reason.String()
		}
		return Entry{}, fmt.Errorf("reading pattern %q: %s", clip(rule), why)
	}
	return got[0], nil
}

// The limits of patterns, of one list and of one index. Real lists hold at most
// a few hundred.
const (
	maxPatterns     = 10_000 // of a list, and of an index
	maxRegexpLen    = 500    // bytes
	maxRegexpSize   = 250    // instructions of one compiled expression
	maxRegexpTotal  = 10_000 // instructions of an index
	maxRegexpTried  = 50_000 // instructions looked at in one list, taken or not
	maxUnfiltered   = 16     // expressions of an index that no literal keeps from being run
	maxDenyAllow    = 2_000  // names of one rule
	maxDenyAllowAll = 50_000 // names of an index
)

// conditions narrow a rule.
type conditions struct {
	types     []uint16          // the question types it holds for; all if empty
	notTypes  []uint16          // those it does not hold for; only without types
	denyAllow map[Name]struct{} // it does not hold for these names and those below
}

// conditional reports whether there are any.
func (c *conditions) conditional() bool {
	return len(c.types)+len(c.notTypes)+len(c.denyAllow) > 0
}

// readTypes reads the value of $dnstype: A|AAAA or ~A|~AAAA. Where both forms
// meet, the excluded types say nothing more, as AdGuard documents it.
func (c *conditions) readTypes(value []byte) bool {
	for word := range bytes.SplitSeq(value, []byte("|")) {
		name, not := bytes.CutPrefix(trimBlank(word), []byte("~"))
		number, ok := typeNumber(strings.ToUpper(string(name)))
		switch {
		case !ok:
			return false
		case not && !slices.Contains(c.notTypes, number):
			c.notTypes = append(c.notTypes, number)
		case !not && !slices.Contains(c.types, number):
			c.types = append(c.types, number)
		}
	}
	if len(c.types) > 0 {
		c.notTypes = nil
	}
	slices.Sort(c.types)
	slices.Sort(c.notTypes)
	return true
}

func (c *conditions) holdForType(qtype uint16) bool {
	if len(c.types) > 0 {
		return slices.Contains(c.types, qtype)
	}
	return !slices.Contains(c.notTypes, qtype)
}

func (c *conditions) holdForName(n Name) bool {
	if len(c.denyAllow) == 0 {
		return true
	}
	for ; n != ""; n = n.Parent() {
		if _, ok := c.denyAllow[n]; ok {
			return false
		}
	}
	return true
}

// conditional takes a host for which a rule may hold only at times.
func (p *listParser) conditional(host []byte, m modifiers) error {
	if !m.conditional() {
		return p.take(host, m.flags)
	}
	return p.takeIf(host, m.flags, &m.conditions)
}

func conditionalEntry(e Entry, c *conditions) Entry {
	body := "||" + e.Name.String() + "^"
	if e.Exact {
		body = body[1:]
	}
	e.Pattern = &Pattern{text: ruleText(e, body, c), conditions: *c}
	return e
}

// ruleText writes a rule in its canonical spelling.
func ruleText(e Entry, body string, c *conditions) string {
	var mods []string
	if e.Important {
		mods = append(mods, "important")
	}
	if len(c.denyAllow) > 0 {
		names := slices.SortedFunc(maps.Keys(c.denyAllow), func(a, b Name) int { return cmp.Compare(a.String(), b.String()) })
		mods = append(mods, "denyallow="+joinFunc(names, Name.String))
	}
	if len(c.types) > 0 {
		mods = append(mods, "dnstype="+joinFunc(c.types, typeName))
	}
	if len(c.notTypes) > 0 {
		mods = append(mods, "dnstype="+joinFunc(c.notTypes, func(t uint16) string { return "~" + typeName(t) }))
	}
	if e.Except {
		body = "@@" + body
	}
	if len(mods) == 0 {
		return body
	}
	return body + "$" + strings.Join(mods, ",")
}

func joinFunc[T any](list []T, text func(T) string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = text(v)
	}
	return strings.Join(words, "|")
}

// rrTypes are the types that lists may name (IANA, "DNS Parameters"); others
// are written TYPE123 (RFC 3597).
var rrTypes = map[string]uint16{
	"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29,
	"SRV": 33, "NAPTR": 35, "CERT": 37, "DNAME": 39, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48,
	"NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52, "SMIMEA": 53, "CDS": 59, "CDNSKEY": 60, "OPENPGPKEY": 61, "CSYNC": 62,
	"ZONEMD": 63, "SVCB": 64, "HTTPS": 65, "SPF": 99, "ANY": 255, "URI": 256, "CAA": 257,
}

// typeNumber returns the number of a type, given in upper case.
func typeNumber(name string) (uint16, bool) {
	if n, ok := rrTypes[name]; ok {
		return n, true
	}
	digits, ok := strings.CutPrefix(name, "TYPE")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), ok && err == nil
}

func typeName(number uint16) string {
	for name, n := range rrTypes {
		if n == number {
			return name
		}
	}
	return "TYPE" + strconv.Itoa(int(number))
}
