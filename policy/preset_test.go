package policy

import (
	"strings"
	"testing"

	"kinward/blocklists"
)

func TestPresetsLoosenWithAge(t *testing.T) {
	p, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		for band := BandA; band < Adult; band++ {
			younger, older := p.Choice(band, c).Action(), p.Choice(band+1, c).Action()
			if older > younger {
				t.Errorf("%s: %s at %s and %s at %s", c, younger, band.Ages(), older, (band + 1).Ages())
			}
		}
		if p.Why(c) == "" {
			t.Errorf("%s has no reason", c)
		}
	}
}

func TestPresetsKeepNothingOfAdults(t *testing.T) {
	p, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		choice := p.Choice(Adult, c)
		if choice.Keep() != KeepNothing || choice.Action() == Block && c != blocklists.Security {
			t.Errorf("an adult's %s is %s", c, choice)
		}
	}
}

func TestParsePresetsRefuses(t *testing.T) {
	good := strings.Split(strings.TrimSpace(presetsTSV), "\n")
	last := good[len(good)-1]
	for _, tt := range []struct{ name, tsv, want string }{
		{"a category left out", strings.Join(good[:len(good)-1], "\n"), "piracy has no line"},
		{"a category twice", presetsTSV + last, "stands twice"},
		{"an unknown category", presetsTSV + strings.Replace(last, "piracy", "pirates", 1), `nearest is "piracy"`},
		{"an unknown choice", strings.Replace(presetsTSV, "piracy\tallow", "piracy\tperhaps", 1), `choice "perhaps"`},
		{"a column too few", presetsTSV + "piracy\tallow", "columns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parsePresets(tt.tsv); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parsePresets = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, s := range []string{"A", "e", "Adult"} {
		if p, err := ParsePreset(s); err != nil || !strings.EqualFold(p.String(), s) {
			t.Errorf("ParsePreset(%q) = %s, %v", s, p, err)
		}
	}
	if _, err := ParsePreset("F"); err == nil {
		t.Error("ParsePreset takes F")
	}
	for c := ChooseAllow; c <= ChooseCount; c++ {
		if got, err := ParseChoice(c.String()); err != nil || got != c {
			t.Errorf("ParseChoice(%q) = %s, %v", c, got, err)
		}
	}
}
