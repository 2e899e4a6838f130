package policy

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"kinward/blocklists"
)

// Preset names an age band, or adult. Its choices are data: presets.tsv.
type Preset uint8

const (
	BandA Preset = iota // 0–7
	BandB               // 8–10
	BandC               // 11–12
	BandD               // 13–15
	BandE               // 16–17
	Adult
	numPresets
)

var (
	presetNames = [numPresets]string{"A", "B", "C", "D", "E", "adult"}
	presetAges  = [numPresets]string{"0–7 years", "8–10 years", "11–12 years", "13–15 years", "16–17 years", "adult"}
)

// String returns "A" to "E" or "adult".
func (p Preset) String() string { return presetNames[p] }

// Ages returns the ages in words, e.g. "11–12 years".
func (p Preset) Ages() string { return presetAges[p] }

// ParsePreset reads "A" to "E" or "adult", in either case.
func ParsePreset(s string) (Preset, error) {
	for i, n := range presetNames {
		if strings.EqualFold(n, s) {
			return Preset(i), nil
		}
	}
	return 0, fmt.Errorf("reading preset %q: want A (0–7), B (8–10), C (11–12), D (13–15), E (16–17) or adult", s)
}

//go:embed presets.tsv
var presetsTSV string

// Presets holds the choices of every age band, with a reason a category. It is
// immutable and safe for concurrent use.
type Presets struct {
	choice [numPresets][blocklists.NumCategories]Choice
	why    [blocklists.NumCategories]string

	safe     *SafeSearch
	canaries *Canaries
}

// EmbeddedPresets returns the presets that come with the program, and the search
// engines and canaries with them. They are read at the first call.
func EmbeddedPresets() (*Presets, error) { return embeddedPresets() }

var embeddedPresets = sync.OnceValues(func() (*Presets, error) {
	p, err := parsePresets(presetsTSV)
	if err != nil {
		return nil, err
	}
	if p.safe, err = EmbeddedSafeSearch(); err != nil {
		return nil, err
	}
	if p.canaries, err = embeddedCanaries(); err != nil {
		return nil, err
	}
	return p, nil
})

// SafeSearch returns the search engines that have a safe mode.
func (p *Presets) SafeSearch() *SafeSearch { return p.safe }

// Choice returns what a band starts with for a category.
func (p *Presets) Choice(band Preset, c blocklists.Category) Choice { return p.choice[band][c] }

// Why returns the reason why a category's choice changes with age as it does.
func (p *Presets) Why(c blocklists.Category) string { return p.why[c] }

func parsePresets(tsv string) (*Presets, error) {
	p := &Presets{}
	seen := map[blocklists.Category]bool{}
	err := readTSV("presets.tsv", tsv, int(numPresets)+2, func(cols []string) error {
		c, err := blocklists.ParseCategory(cols[0])
		if err != nil {
			return err
		}
		if seen[c] {
			return fmt.Errorf("category %s stands twice", c)
		}
		seen[c] = true
		for band := range numPresets {
			if p.choice[band][c], err = ParseChoice(cols[1+band]); err != nil {
				return err
			}
		}
		p.why[c] = cols[len(cols)-1]
		return nil
	})
	if err != nil {
		return nil, err
	}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		if !seen[c] {
			return nil, fmt.Errorf("reading presets.tsv: category %s has no line", c)
		}
	}
	return p, nil
}
