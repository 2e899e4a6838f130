package blocklists

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ruleList makes a list of adblock rules, patterns included.
func ruleList(t testing.TB, id string, rules ...string) ListInput {
	return ListInput{ID: id, Name: id, Category: Adult, Version: "v", Entries: func(emit func(Entry) error) error {
		_, err := Parse(strings.NewReader(strings.Join(rules, "\n")+"\n"), ParseOptions{Format: FormatAdblock, Patterns: true}, emit)
		return err
	}}
}

// blockedBy renders which lists still say something of a name for a type.
func blockedBy(x *Index, name string, qtype uint16) string {
	var out []string
	for _, l := range x.Known(MustName(name), qtype) {
		out = append(out, x.List(l.List).ID)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestKnown(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	lists := []ListInput{
		ruleList(t, "a",
			"||plain.example^", "@@||p*n.plain.example^", "||ads.*.example^", "@@||ads.good.example^",
			"||six.example^$dnstype=AAAA", "||most.example^$denyallow=free.most.example",
			"@@||hard.site.example^", "||h*rd.site.example^$important", "/^track[0-9]+\\./"),
		ruleList(t, "b", "||sub.good.example^", "||ads.good.example^", "/^www\\.childline/"),
	}
	x, err := Compile(c, lists)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := x.WriteFile(path, c, lists); err != nil {
		t.Fatal(err)
	}
	kept, err := OpenIndex(path, c, lists)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, asked string
		qtype       uint16
		want        string
	}{
		{"the table alone", "www.plain.example", typeA, "a"},
		{"a pattern's exception lifts the table's entry", "pin.plain.example", typeA, ""},
		{"a wildcard in the middle", "ads.x.example", typeA, "a"},
		{"a table's exception lifts the pattern of its list, not another list's entry", "ads.good.example", typeA, "b"},
		{"a condition that holds", "six.example", typeAAAA, "a"},
		{"a condition that does not", "six.example", typeA, ""},
		{"a name that a rule leaves out", "x.free.most.example", typeA, ""},
		{"the names beside it", "x.most.example", typeA, "a"},
		{"an important pattern against an exception in the table", "hard.site.example", typeA, "a"},
		{"a regular expression", "track12.shop.example", typeA, "a"},
		{"no pattern", "www.shop.example", typeA, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for from, x := range map[string]*Index{"compiled": x, "kept": kept} {
				if got := blockedBy(x, tt.asked, tt.qtype); got != tt.want {
					t.Errorf("%s: %s type %d is listed by %q; want %q", from, tt.asked, tt.qtype, got, tt.want)
				}
			}
		})
	}
	for _, l := range x.Known(MustName("www.childline.org.uk"), typeA) {
		if l.Category != Help {
			t.Errorf("a pattern names a help line: %+v", l)
		}
	}
	if got, want := kept.Rule(1, MustName("ads.x.example"), typeA), "||ads.*.example^"; got != want {
		t.Errorf("Rule = %q; want %q", got, want)
	}
	for _, l := range x.Known(MustName("ads.x.example"), typeA) {
		if l.Marks&(ByPattern|Exact) != ByPattern|Exact {
			t.Errorf("a pattern's label has marks %b", l.Marks)
		}
	}
	n := MustName("www.shop.example")
	if allocs := testing.AllocsPerRun(1000, func() { x.Known(n, typeA) }); allocs != 0 {
		t.Errorf("Known of a name that no pattern matches allocates %v times", allocs)
	}
}

// TestKnownManyHits: a name that meets more rules than are heard is still
// listed, and costs no more.
func TestKnownManyHits(t *testing.T) {
	var rules []string
	for i := range 300 {
		rules = append(rules, fmt.Sprintf("||hit*%c%c.example^", 'a'+i/26%26, 'a'+i%26))
		rules = append(rules, fmt.Sprintf("||h*t%daa.example^", i))
	}
	x := compileLists(t, ruleList(t, "a", rules...))
	if got := blockedBy(x, "hit1aa.example", typeA); !strings.HasPrefix(got, "a") {
		t.Errorf("hit1aa.example is listed by %q", got)
	}
}
