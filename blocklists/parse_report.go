package blocklists

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// SkipReason says why a line of a list was not taken.
type SkipReason uint8

// The reasons. SkipNone means that nothing speaks against a name.
const (
	SkipNone         SkipReason = iota
	SkipIP                      // an address, or a network
	SkipNotAName                // something no name can be
	SkipSingleLabel             // a lone word
	SkipTLD                     // a top-level domain, where the rest of the list can still be trusted
	SkipPublicSuffix            // co.uk, github.io: under it live sites of many owners
	SkipSharedHost              // a guard's word: many services depend on it
	SkipReachable               // a guard's word: it must stay reachable
	SkipBrowser                 // an adblock rule about parts of pages or kinds of requests
	SkipModifier                // an adblock rule with a modifier Kinward does not obey
	SkipPath                    // an address of a page; the host was not meant
	SkipRegexp                  // an adblock rule that is a regular expression
	SkipWildcard                // a * elsewhere than at the front
	SkipOpen                    // an adblock rule that could match inside other names
	SkipTooWide                 // a pattern that matches a public suffix, or next to everything
	SkipPatternLimit            // a pattern that is too large, or one too many
	SkipOption                  // a setting that is not about blocking
	SkipRewrite                 // an answer, or a server to ask, of the list's own
	SkipTrigger                 // a policy about addresses or name servers
	SkipNested                  // a block below an exception below a block below an exception
	SkipLocal                   // localhost and its like
	SkipCancelled               // taken back by a $badfilter rule of the same list
	SkipLongLine                // a line of 64 KiB or more
	NumSkipReasons
)

// skipTexts holds, per reason, its name, and how one and many of it are
// counted.
var skipTexts = [NumSkipReasons][3]string{
	SkipNone:         {"not skipped", "not skipped", "not skipped"},
	SkipIP:           {"bare IP address", "bare IP address", "bare IP addresses"},
	SkipNotAName:     {"not a domain name", "line that is not a domain name", "lines that are not domain names"},
	SkipSingleLabel:  {"single label", "single word", "single words"},
	SkipTLD:          {"top-level domain", "top-level domain", "top-level domains"},
	SkipPublicSuffix: {"public suffix", "public suffix", "public suffixes"},
	SkipSharedHost:   {"shared host", "shared host", "shared hosts"},
	SkipReachable:    {"must stay reachable", "name that must stay reachable", "names that must stay reachable"},
	SkipBrowser:      {"rule needs a browser", "rule that needs a browser", "rules that need a browser"},
	SkipModifier:     {"modifier not supported", "rule with a modifier that is not supported", "rules with a modifier that is not supported"},
	SkipPath:         {"path", "address of a page", "addresses of pages"},
	SkipRegexp:       {"regular expression", "regular expression", "regular expressions"},
	SkipWildcard:     {"wildcard inside", "name with a wildcard inside", "names with a wildcard inside"},
	SkipOpen:         {"open-ended rule", "open-ended rule", "open-ended rules"},
	SkipTooWide:      {"pattern too wide", "pattern that is too wide", "patterns that are too wide"},
	SkipPatternLimit: {"pattern beyond the limits", "pattern beyond the limits", "patterns beyond the limits"},
	SkipOption:       {"other setting", "setting that is not about blocking", "settings that are not about blocking"},
	SkipRewrite:      {"own answer or server", "answer or server of the list's own", "answers or servers of the list's own"},
	SkipTrigger:      {"policy not about names", "policy that is not about names", "policies that are not about names"},
	SkipNested:       {"exceptions too deep", "block between too many exceptions", "blocks between too many exceptions"},
	SkipLocal:        {"local name", "local name", "local names"},
	SkipCancelled:    {"cancelled by the list itself", "rule cancelled by the list itself", "rules cancelled by the list itself"},
	SkipLongLine:     {"line too long", "line that is too long", "lines that are too long"},
}

// String returns the reason in a few words, such as "bare IP address".
func (s SkipReason) String() string {
	if s >= NumSkipReasons {
		return "unknown (" + strconv.Itoa(int(s)) + ")"
	}
	return skipTexts[s][0]
}

// MarshalText writes the words of String.
func (s SkipReason) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *SkipReason) UnmarshalText(b []byte) error {
	for i := range skipTexts {
		if skipTexts[i][0] == string(b) {
			*s = SkipReason(i)
			return nil
		}
	}
	return fmt.Errorf("reading skip reason %q: no such reason", clip(string(b)))
}

// Skipped is one line that was not taken, as an example.
type Skipped struct {
	Line   int        `json:"line"` // from 1
	Text   string     `json:"text"` // clipped, printable
	Reason SkipReason `json:"reason"`
}

// Report says what Parse made of a list.
type Report struct {
	Format     Format             `json:"format"` // as given or as detected
	Lines      int                `json:"lines"`  // read, comments and blank ones included
	Taken      int                `json:"taken"`  // entries that block, each counted once
	TakenBack  int                `json:"takenBack,omitempty"`
	Patterns   int                `json:"patterns,omitempty"`   // of these entries, those with a Pattern
	Duplicates int                `json:"duplicates,omitempty"` // entries that came again
	Skipped    map[SkipReason]int `json:"skipped,omitempty"`    // lines, or names of hosts lines
	Examples   []Skipped          `json:"examples,omitempty"`   // the first three of each reason
}

const (
	examplesPerReason = 3
	exampleLen        = 80
)

func (r *Report) fill(skipped *[NumSkipReasons]int) {
	for why, n := range skipped {
		if n > 0 {
			if r.Skipped == nil {
				r.Skipped = make(map[SkipReason]int)
			}
			r.Skipped[SkipReason(why)] = n
		}
	}
}

// NumSkipped returns how many lines, or names of hosts lines, were not taken.
func (r Report) NumSkipped() int {
	total := 0
	for _, n := range r.Skipped {
		total += n
	}
	return total
}

// String tells the report in one line: "26,029 names taken; 12 skipped: 8 bare
// IP addresses (line 3: 192.0.2.1), 4 single words (line 9: porn)".
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(count(r.Taken, "name taken", "names taken"))
	if r.TakenBack > 0 {
		fmt.Fprintf(&b, ", %s taken back", thousands(r.TakenBack))
	}
	if r.Patterns > 0 {
		fmt.Fprintf(&b, ", %s", count(r.Patterns, "of these a pattern", "of these patterns"))
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(&b, ", %s more than once", thousands(r.Duplicates))
	}
	if len(r.Skipped) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "; %s skipped: ", thousands(r.NumSkipped()))
	whys := make([]SkipReason, 0, len(r.Skipped))
	for why := range r.Skipped {
		whys = append(whys, why)
	}
	slices.SortFunc(whys, func(x, y SkipReason) int {
		return cmp.Or(cmp.Compare(r.Skipped[y], r.Skipped[x]), cmp.Compare(x, y))
	})
	for i, why := range whys {
		if i > 0 {
			b.WriteString(", ")
		}
		texts := skipTexts[min(why, NumSkipReasons-1)]
		b.WriteString(count(r.Skipped[why], texts[1], texts[2]))
		if j := slices.IndexFunc(r.Examples, func(s Skipped) bool { return s.Reason == why }); j >= 0 {
			fmt.Fprintf(&b, " (line %d: %s)", r.Examples[j].Line, r.Examples[j].Text)
		}
	}
	return b.String()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands writes a number that is not negative as 26,029.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// exampleText makes a line fit for a report: it comes from a stranger, and may
// end in a terminal or a page.
func exampleText(line []byte) string {
	const most = exampleLen * 4 // bytes that could matter
	if len(line) > most {
		line = line[:most]
	}
	s := strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(string(line), "\ufffd"))
	if runes := []rune(s); len(runes) > exampleLen {
		return string(runes[:exampleLen-1]) + "…"
	}
	return s
}
