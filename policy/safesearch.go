package policy

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"kinward/blocklists"
)

var (
	//go:embed search-engines.tsv
	searchEnginesTSV string
	//go:embed safesearch.tsv
	safeSearchTSV string
)

// EngineID numbers the search engines of one [SafeSearch], from 1 in the order
// of their ids; 0 is none. Numbers hold within one program only; ids ("google")
// are what lasts.
type EngineID uint8

// MaxEngines bounds the engines of a [SafeSearch], so that a profile's modes are
// a small array without a pointer.
const MaxEngines = 15

// Engine is a search engine that has a safe mode.
type Engine struct {
	ID       string // lower-case letters; lasts
	Name     string // as parents read it
	Moderate bool   // it has a milder mode beside the safe one
	Why      string // why the default changes with age as it does
	Limits   string // what a parent should know of the safe mode, "" for nothing known

	byPreset [numPresets]Search
}

// Default returns what a preset starts with.
func (e *Engine) Default(p Preset) Search { return e.byPreset[p] }

// Has reports whether the engine has that mode.
func (e *Engine) Has(m Search) bool {
	return m == SearchAny || m == SearchSafe || m == SearchModerate && e.Moderate
}

// Modes returns the modes that the engine has.
func (e *Engine) Modes() []Search {
	if e.Moderate {
		return []Search{SearchAny, SearchModerate, SearchSafe}
	}
	return []Search{SearchAny, SearchSafe}
}

// SafeHost is a host of a search engine and where its safe mode is.
type SafeHost struct {
	Name     blocklists.Name
	Engine   EngineID
	Strict   blocklists.Name // the target of [SearchSafe]
	Moderate blocklists.Name // the target of [SearchModerate], "" where the engine has none
	// Flatten: the answer carries the target's addresses under the host's own name,
	// since a CNAME would hide the mail and other records that people need there
	// (RFC 1034 §3.6.2).
	Flatten bool
	Source  string // who says so
	Date    string // YYYY-MM-DD or YYYY-MM, when that was looked up
}

// SafeSearch knows the search engines and their hosts. It is immutable and safe
// for concurrent use; its slices belong to it.
type SafeSearch struct {
	engines []Engine
	hosts   []SafeHost                 // sorted by name
	at      map[blocklists.Name]uint16 // index in hosts
}

// SearchModes is what one profile does about every engine, by EngineID. The zero
// value leaves all engines as they are. Values can be compared.
type SearchModes [MaxEngines + 1]Search

// Target returns the name whose addresses a question for n is answered with,
// where n is a host of an engine for which modes asks for a safe mode. flatten
// says that the answer must not show a CNAME. It does not allocate; it looks n
// up once, and not at all where modes leaves every engine as it is.
func (s *SafeSearch) Target(n blocklists.Name, modes *SearchModes) (target blocklists.Name, engine EngineID, flatten, ok bool) {
	if *modes == (SearchModes{}) {
		return "", 0, false, false
	}
	i, ok := s.at[n]
	if !ok {
		return "", 0, false, false
	}
	h := &s.hosts[i]
	switch modes[h.Engine] {
	case SearchAny:
		return "", 0, false, false
	case SearchModerate:
		if h.Moderate != "" {
			return h.Moderate, h.Engine, h.Flatten, true
		}
	}
	return h.Strict, h.Engine, h.Flatten, true
}

// Engines returns the engines in the order of their ids; the first one has
// EngineID 1.
func (s *SafeSearch) Engines() []Engine { return s.engines }

// Engine returns an engine, nil for 0 and for a number that is none.
func (s *SafeSearch) Engine(id EngineID) *Engine {
	if id == 0 || int(id) > len(s.engines) {
		return nil
	}
	return &s.engines[id-1]
}

// Hosts returns all hosts in the order of their names.
func (s *SafeSearch) Hosts() []SafeHost { return s.hosts }

// Number returns the number of the engine with that id, 0 if there is none.
func (s *SafeSearch) Number(id string) EngineID {
	i, ok := slices.BinarySearchFunc(s.engines, id, func(e Engine, id string) int { return strings.Compare(e.ID, id) })
	if !ok {
		return 0
	}
	return EngineID(i + 1)
}

// Check reports what is wrong with choosing mode for the engine with that id: an
// engine that is not known, or a mode that it does not have.
func (s *SafeSearch) Check(id string, mode Search) error {
	e := s.Engine(s.Number(id))
	if e == nil {
		ids := make([]string, len(s.engines))
		for i := range s.engines {
			ids[i] = s.engines[i].ID
		}
		return fmt.Errorf("no search engine with a safe mode is called %q; the nearest is %q", id, blocklists.Nearest(id, ids))
	}
	if !e.Has(mode) {
		words := make([]string, 0, len(searchWords))
		for _, m := range e.Modes() {
			words = append(words, m.String())
		}
		return fmt.Errorf("%s has no mode %q; choose one of %q", e.ID, mode, words)
	}
	return nil
}

// Modes returns what applies to a profile: the preset's modes, and own ones, by
// the engines' ids, where they differ. An engine that is not known has no
// effect.
func (s *SafeSearch) Modes(p Preset, own map[string]Search) SearchModes {
	var m SearchModes
	for i := range s.engines {
		m[i+1] = s.engines[i].byPreset[p]
	}
	for id, mode := range own {
		if n := s.Number(id); n != 0 {
			m[n] = mode
		}
	}
	return m
}

// EmbeddedSafeSearch returns the table that comes with the program, read at the
// first call.
func EmbeddedSafeSearch() (*SafeSearch, error) { return embeddedSafeSearch() }

var embeddedSafeSearch = sync.OnceValues(func() (*SafeSearch, error) {
	return parseSafeSearch(searchEnginesTSV, safeSearchTSV)
})

func parseSafeSearch(engines, hosts string) (*SafeSearch, error) {
	s := &SafeSearch{at: map[blocklists.Name]uint16{}}
	if err := readTSV("search-engines.tsv", engines, int(numPresets)+5, s.engineRow); err != nil {
		return nil, err
	}
	if err := readTSV("safesearch.tsv", hosts, 7, s.hostRow); err != nil {
		return nil, err
	}
	slices.SortFunc(s.hosts, func(a, b SafeHost) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	used := map[EngineID]bool{}
	for i := range s.hosts {
		s.at[s.hosts[i].Name] = uint16(i)
		used[s.hosts[i].Engine] = true
	}
	for i := range s.engines {
		if !used[EngineID(i+1)] {
			return nil, fmt.Errorf("reading safesearch.tsv: engine %s has no host", s.engines[i].ID)
		}
	}
	// A target that is rewritten itself would send the resolver around in circles.
	for _, h := range s.hosts {
		for _, t := range []blocklists.Name{h.Strict, h.Moderate} {
			if _, ok := s.at[t]; ok {
				return nil, fmt.Errorf("reading safesearch.tsv: %s is a target and a host", t)
			}
		}
	}
	return s, nil
}

func (s *SafeSearch) engineRow(cols []string) error {
	e := Engine{ID: cols[0], Name: cols[1], Why: cols[len(cols)-2], Limits: dash(cols[len(cols)-1])}
	if n := len(s.engines); n == MaxEngines {
		return fmt.Errorf("more than %d engines", MaxEngines)
	} else if n > 0 && e.ID <= s.engines[n-1].ID {
		return fmt.Errorf("%s has to stand before %s: ids are sorted, and each stands once", e.ID, s.engines[n-1].ID)
	}
	switch cols[2] {
	case "safe":
	case "safe,moderate":
		e.Moderate = true
	default:
		return fmt.Errorf("modes %q: want safe or safe,moderate", cols[2])
	}
	for p := range numPresets {
		if err := e.byPreset[p].UnmarshalText([]byte(cols[3+p])); err != nil {
			return err
		}
		if !e.Has(e.byPreset[p]) {
			return fmt.Errorf("%s has no mode %q", e.ID, cols[3+p])
		}
	}
	s.engines = append(s.engines, e)
	return nil
}

func (s *SafeSearch) hostRow(cols []string) error {
	h := SafeHost{Engine: s.Number(cols[0]), Flatten: cols[4] == "flatten", Source: cols[5], Date: cols[6]}
	e := s.Engine(h.Engine)
	if e == nil {
		return fmt.Errorf("engine %q is not in search-engines.tsv", cols[0])
	}
	var err error
	if h.Name, err = rowName(cols[1]); err != nil {
		return err
	}
	if h.Strict, err = rowName(cols[2]); err != nil {
		return err
	}
	if dash(cols[3]) != "" {
		if h.Moderate, err = rowName(cols[3]); err != nil {
			return err
		}
	}
	if e.Moderate != (h.Moderate != "") {
		return fmt.Errorf("moderate %q: it is given for engines with that mode, and for those alone", cols[3])
	}
	if !h.Flatten && cols[4] != "-" {
		return fmt.Errorf("flatten %q: want flatten or -", cols[4])
	}
	if _, ok := s.at[h.Name]; ok {
		return fmt.Errorf("%s stands twice", h.Name)
	}
	s.at[h.Name] = 0
	s.hosts = append(s.hosts, h)
	return nil
}
