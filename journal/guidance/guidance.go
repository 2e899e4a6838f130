// Package guidance holds what guardians are told about kinds of services: what
// they are, why they matter, how to talk about them, and what to do if there was
// contact; and where to report or get help, by country.
//
// Its texts are data of the project's own, one file a language. Everything in them
// that is a fact about somebody else (a number, an address) has a source and a
// date; nothing without one is told.
package guidance

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// English is the language that every text exists in.
const English = "en"

//go:embed data
var data embed.FS

// Text is what a guardian is told about an incident's kind. The JSON keys are
// stable.
type Text struct {
	What   string `json:"what"`   // it is
	Why    string `json:"why"`    // it matters
	Talk   string `json:"talk"`   // about it, with a child of that age
	Done   string `json:"done"`   // what to do if there was contact
	Report []Line `json:"report"` // where to report or get help
}

// Line is a place to report something to, or to get help from.
type Line struct {
	Country      string `json:"country"` // ISO 3166; [Everywhere] and [Union] besides
	Organisation string `json:"organisation"`
	For          string `json:"for"`
	Contact      string `json:"contact,omitempty"` // numbers, or what to text
	Web          string `json:"web,omitempty"`     // a host
	Hours        string `json:"hours,omitempty"`
	Source       string `json:"source"` // who says so
	Date         string `json:"date"`   // when that was looked at, YYYY-MM-DD or YYYY-MM
	Verified     bool   `json:"verified"`
}

// What stands in place of a country.
const (
	Everywhere = "*"
	Union      = "EU" // all states of the European Union
)

// entry is what a category or service has of its own; "" is as its category, and
// for a category's done, as what has no category.
type entry struct {
	what, why, done string
	talk            [bands]string
}

// bands are those of children. Adults are no children; what is said for E holds.
const bands = int(policy.BandE) + 1

// Book is all guidance of a language. It is immutable.
type Book struct {
	categories [blocklists.NumCategories]entry // NoCategory's is for what has none
	services   map[string]entry
	lines      []Line
}

// Languages returns the languages that guidance is written in, English first: those
// of data.
func Languages() []string {
	all := []string{English}
	names, _ := fs.Glob(data, "data/*.txt") // the pattern is well-formed
	for _, name := range names {
		if l := strings.TrimSuffix(path.Base(name), ".txt"); l != English {
			all = append(all, l)
		}
	}
	return all
}

// Embedded returns the guidance that comes with the program. The error names the
// languages that there are where language is none of them.
func Embedded(language string) (*Book, error) {
	read := embedded[language]
	if read == nil {
		return nil, fmt.Errorf("reading guidance in language %q: there is %q", language, Languages())
	}
	return read()
}

var embedded = func() map[string]func() (*Book, error) {
	all := map[string]func() (*Book, error){}
	for _, l := range Languages() {
		all[l] = sync.OnceValues(func() (*Book, error) { return read(l) })
	}
	return all
}()

func read(language string) (*Book, error) {
	text, err := data.ReadFile("data/" + language + ".txt")
	if err != nil {
		return nil, err
	}
	lines, err := data.ReadFile("data/help.tsv")
	if err != nil {
		return nil, err
	}
	b, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading guidance: %s.txt %w", language, err)
	}
	if b.lines, err = parseLines(string(lines)); err != nil {
		return nil, fmt.Errorf("reading guidance: help.tsv %w", err)
	}
	return b, nil
}

// For returns what there is to say about a service ("" is none) of a category to
// the guardian of a child of an age band, with the lines of a country ("" is not
// known; see [Book.Lines]). Every text of it is there, whatever is asked for.
func (b *Book) For(c blocklists.Category, service, country string, band policy.Preset) Text {
	s, e, none := b.services[service], b.categories[c], b.categories[blocklists.NoCategory]
	age := min(int(band), bands-1)
	return Text{
		What: cmp.Or(s.what, e.what, none.what), Why: cmp.Or(s.why, e.why, none.why), Talk: cmp.Or(s.talk[age], e.talk[age], none.talk[age]),
		Done: cmp.Or(s.done, e.done, none.done), Report: b.Lines(country),
	}
}

// members are the states of the European Union (european-union.europa.eu,
// "EU countries").
const members = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"

// Lines returns where to report or get help in a country: first its own, or its
// union's where it has none, then those for everywhere. Of a country that nothing
// is known of, "" among them, those alone.
func (b *Book) Lines(country string) []Line {
	out := []Line{}
	for _, c := range []string{country, Union, Everywhere} {
		if c == Union && country != Union && (len(out) > 0 || len(country) != 2 || !strings.Contains(members, country)) {
			continue // it has its own number, or another
		}
		for _, l := range b.lines {
			if l.Country == c {
				out = append(out, l)
			}
		}
	}
	return out
}

// Countries returns the codes of all countries that lines are known of, in order.
func (b *Book) Countries() []string {
	var out []string
	for _, l := range b.lines {
		if l.Country != Everywhere {
			out = append(out, l.Country)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// talkBands are the words for bands of which a text is.
var talkBands = map[string][]policy.Preset{
	"A": {policy.BandA}, "B": {policy.BandB}, "C": {policy.BandC}, "D": {policy.BandD}, "E": {policy.BandE},
	"AB": {policy.BandA, policy.BandB}, "DE": {policy.BandD, policy.BandE},
}

// parse reads a language's file: see the head of data/en.txt.
func parse(text string) (*Book, error) {
	b := &Book{services: map[string]entry{}}
	seen := map[string]bool{}
	var at *entry
	var done func()
	finish := func() {
		if done != nil {
			done()
		}
	}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if word == "category" || word == "service" {
			if seen[line] {
				return nil, fmt.Errorf("line %d: %s stands twice", i+1, line)
			}
			seen[line] = true
			finish()
			e := entry{}
			at = &e
			if word == "service" {
				done = func() { b.services[rest] = e }
				continue
			}
			c, err := category(rest)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			done = func() { b.categories[c] = e }
			continue
		}
		if at == nil {
			return nil, fmt.Errorf("line %d: it belongs to no category and no service", i+1)
		}
		if err := at.set(word, rest); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	finish()
	return b, b.complete()
}

func category(id string) (blocklists.Category, error) {
	if id == blocklists.NoCategory.String() {
		return blocklists.NoCategory, nil
	}
	return blocklists.ParseCategory(id)
}

// set reads one line of an entry.
func (e *entry) set(word, text string) error {
	put := func(to *string, text string) error {
		if text == "" || *to != "" {
			return fmt.Errorf("%s says nothing, or stands twice", word)
		}
		*to = text
		return nil
	}
	switch word {
	case "what":
		return put(&e.what, text)
	case "why":
		return put(&e.why, text)
	case "done":
		return put(&e.done, text)
	case "talk":
		which, text, _ := strings.Cut(text, " ")
		if talkBands[which] == nil {
			return fmt.Errorf("talk %q: there are no such bands; give AB, C, DE or one of A to E", which)
		}
		for _, band := range talkBands[which] {
			if err := put(&e.talk[band], text); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%q is no part of guidance; there are what, why, talk and done", word)
}

// complete says which category lacks a text.
func (b *Book) complete() error {
	for c := blocklists.NoCategory; c < blocklists.NumCategories; c++ {
		if c == blocklists.Help || c == blocklists.Plumbing { // nothing of them is kept
			continue
		}
		e := b.categories[c]
		if e.what == "" || e.why == "" || slices.Contains(e.talk[:], "") {
			return fmt.Errorf("category %s lacks what, why, or how to talk with an age band", c)
		}
	}
	if b.categories[blocklists.NoCategory].done == "" {
		return fmt.Errorf("category %s lacks what to do", blocklists.NoCategory)
	}
	return nil
}

// parseLines reads help.tsv.
func parseLines(tsv string) ([]Line, error) {
	var out []Line
	for i, row := range strings.Split(tsv, "\n") {
		if row == "" || strings.HasPrefix(row, "#") {
			continue
		}
		f := strings.Split(row, "\t")
		if len(f) != 9 {
			return nil, fmt.Errorf("line %d: want 9 columns, have %d", i+1, len(f))
		}
		l := Line{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8] == "verified"}
		for _, p := range []*string{&l.Contact, &l.Web, &l.Hours} {
			if *p == "-" {
				*p = ""
			}
		}
		if err := l.check(f[8]); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func (l Line) check(verified string) error {
	day := "2006-01-02"
	_, err := time.Parse(day[:min(len(l.Date), len(day))], l.Date)
	switch {
	case l.Country != Everywhere && (len(l.Country) != 2 || strings.ToUpper(l.Country) != l.Country):
		return fmt.Errorf("%q is no country's code", l.Country)
	case l.Organisation == "" || l.For == "":
		return fmt.Errorf("it does not say who does what")
	case l.Contact == "" && l.Web == "":
		return fmt.Errorf("%s can be reached nowhere", l.Organisation)
	case l.Source == "" || l.Source == "-":
		return fmt.Errorf("%s has no source, and must not be told", l.Organisation)
	case err != nil || len(l.Date) < len("2006-01"):
		return fmt.Errorf("%s: %q is no date like 2026-11-23 or 2026-11", l.Organisation, l.Date)
	case verified != "verified" && verified != "not verified":
		return fmt.Errorf("%s is neither verified nor not verified but %q", l.Organisation, verified)
	}
	return nil
}
