package policy

import (
	_ "embed"
	"strings"
	"testing"

	"kinward/blocklists"
)

//go:embed testdata/popular.txt
var popular string

// TestPopularNamesStayOpen: names that nearly every home asks for, and that are
// about nothing a family would block, stay open for the youngest.
func TestPopularNamesStayOpen(t *testing.T) {
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDirectory(&Family{ID: 1, Default: 1, Profiles: []Profile{{ID: 1, Name: "p", Preset: BandA}}}, presets, x, 1)
	if err != nil {
		t.Fatal(err)
	}
	household, _ := d.Household()
	asked := 0
	for line := range strings.Lines(popular) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		asked++
		if v := Decide(household.Policy, Ask(x, blocklists.MustName(line), TypeA, at)); v.Action != Allow && v.Action != Rewrite {
			t.Errorf("%s: %s by %s, category %s, entry %s", line, v.Action, v.Reason, v.Label.Category, v.Entry(blocklists.MustName(line)))
		}
	}
	if asked < 150 {
		t.Errorf("only %d names were asked", asked)
	}
}
