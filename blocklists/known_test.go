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

// TestKnownManyHits: of however many rules that match a name, none is left
// unheard; the exception that comes last still lifts what its list says, and no
// more.
func TestKnownManyHits(t *testing.T) {
	const label = "abcdefghijklmnopqrstuvwxyz0123456789zyxwvutsrqponmlkjihg9end"
	var blocks []string
	for size := 3; size <= 5; size++ {
		for i := 0; i+size <= len(label); i++ {
			blocks = append(blocks, fmt.Sprintf("||*%s*.example^", label[i:i+size]))
		}
	}
	x := compileLists(t,
		ruleList(t, "a", append(blocks, "@@||*9end.example^")...),
		ruleList(t, "b", blocks...),
		ruleList(t, "c", append(blocks, "@@||*9end.example^", "||*g9end.example^$important")...),
		ruleList(t, "d", append(blocks, "@@||*9end.example^", "||*g9end.example^$important", "@@||*9end.ex*mple^$important")...),
	)
	met := 0
	x.patterns.set.match(MustName(label+".example"), typeA, func(int) { met++ })
	if met < 4*len(blocks) {
		t.Fatalf("%d rules match, want %d and more", met, 4*len(blocks))
	}
	if got := blockedBy(x, label+".example", typeA); got != "b c" {
		t.Errorf("%s.example is listed by %q; want b and c", label, got)
	}
}
