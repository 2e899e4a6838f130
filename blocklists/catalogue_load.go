package blocklists

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// readCatalogue reads a catalogue from categories.tsv, sources.tsv, groups.txt,
// reachable.tsv, shared-hosts.tsv, quiet.tsv, gateways.tsv and
// catalogue/<category>.txt; other files are not looked at, but in the folder
// catalogue there may be none. It accepts nothing it does not know and nothing
// that breaks a rule between the files. The error names the file and the line;
// no catalogue comes with it. The edition is left empty.
//
// The .txt files are indented by blanks; every part but name, domain and a date
// may be missing, and "-" stands for no source:
//
//	checked 2026-11 (for all services of the file that have no date of their own)
//
//	service meetme
//	  name MeetMe
//	  about a sentence for parents
//	  about-source who says so, where it says more than the rest of the row
//	  min-age 18
//	  min-age-source who says so
//	  checked 2026-12
//	  known-risk the evidence
//	  strength app, website or signal
//	  strength-source who says so
//	  status closed
//	  note a sentence
//	  domain meetme.com suffix high citizenlab,ut1
//	    private-suffix
//	    above-shared
//	    note a sentence
//
// A domain's match is suffix, exact, optional or group:<id>.
func readCatalogue(fsys fs.FS) (*Catalogue, error) {
	files, err := readCatalogueFiles(fsys)
	if err != nil {
		return nil, err
	}
	return loadCatalogue(files)
}

// catalogueFiles are the files of a catalogue beside those of its services, in
// the order they are read in.
var catalogueFiles = []string{
	"sources.tsv", // before the services, which name sources
	"categories.tsv", "reachable.tsv", "shared-hosts.tsv", "quiet.tsv", "gateways.tsv", "groups.txt",
}

const servicesFolder = "catalogue"

// readCatalogueFiles reads a catalogue's files by their paths.
func readCatalogueFiles(fsys fs.FS) (map[string][]byte, error) {
	files := make(map[string][]byte, 32)
	names := slices.Clone(catalogueFiles)
	services, err := fs.ReadDir(fsys, servicesFolder)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", servicesFolder, err)
	}
	for _, f := range services {
		names = append(names, path.Join(servicesFolder, f.Name()))
	}
	for _, name := range names {
		if files[name], err = fs.ReadFile(fsys, name); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return files, nil
}

// loadCatalogue is readCatalogue for files that are in memory. Here every file
// must be one of a catalogue.
func loadCatalogue(files map[string][]byte) (*Catalogue, error) {
	l := loader{
		c:        &Catalogue{},
		domains:  make(map[Name]origin, 2048),
		services: make(map[string]place, 1024),
		groups:   make(map[string]place),
		reach:    make(map[Name]place, 1024),
		help:     make(map[Name]bool, 512),
		shared:   make(map[Name]place, 128),
		quietAt:  make(map[Name]place, 128),
		gateways: make(map[Name]place),
	}
	lines := map[string]func(string) error{
		"sources.tsv":      l.sourceRow,
		"categories.tsv":   l.categoryRow,
		"reachable.tsv":    l.reachableRow,
		"shared-hosts.tsv": l.sharedRow,
		"quiet.tsv":        l.quietRow,
		"gateways.tsv":     l.gatewayRow,
		"groups.txt":       l.groupLine,
	}
	for _, name := range catalogueFiles {
		data, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("reading %s: there is no such file", name)
		}
		if err := l.read(name, data, lines[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if lines[name] != nil {
			continue
		}
		if err := l.servicesFile(name, files[name]); err != nil {
			return nil, err
		}
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l.c, nil
}

// loader builds a Catalogue. It remembers where things stand, so that a rule
// between two files can be reported at a line.
type loader struct {
	c        *Catalogue
	at       place    // the line being read
	category Category // of the services file being read
	last     string   // the id before, to keep ids in order; "" before the first
	checked  string   // the date that the services file gives for all; "" without one

	domains  map[Name]origin
	services map[string]place
	groups   map[string]place
	reach    map[Name]place
	help     map[Name]bool // reachable for help, with all below
	shared   map[Name]place
	quietAt  map[Name]place
	gateways map[Name]place
}

type place struct {
	file string
	line int
}

// origin is where a domain stands and which one it is.
type origin struct {
	place
	service, domain int
}

func (w place) errorf(format string, args ...any) error {
	return fmt.Errorf("reading %s line %d: %w", w.file, w.line, fmt.Errorf(format, args...))
}

// read calls line for every line that is neither blank nor a comment, and says
// where an error arose.
func (l *loader) read(file string, data []byte, line func(string) error) error {
	l.at, l.last = place{file: file}, ""
	for text := range strings.SplitSeq(string(data), "\n") {
		l.at.line++
		switch {
		case !utf8.ValidString(text):
			return l.at.errorf("the line is not UTF-8")
		case text == "" || text[0] == '#':
			continue
		case strings.TrimRight(text, " \t\r") != text:
			return l.at.errorf("blanks at the end of the line")
		}
		if err := line(text); err != nil {
			return l.at.errorf("%w", err)
		}
	}
	return nil
}

// splitColumns splits a row of a TSV file. No column may be empty.
func splitColumns(text string, want int) ([]string, error) {
	cols := strings.Split(text, "\t")
	if len(cols) != want {
		return nil, fmt.Errorf("%d columns, want %d", len(cols), want)
	}
	for i, c := range cols {
		if c == "" || c != strings.TrimSpace(c) {
			return nil, fmt.Errorf("column %d is empty or has blanks around it", i+1)
		}
	}
	return cols, nil
}

// choose returns the place of word among words.
func choose(what, word string, words ...string) (uint8, error) {
	if i := slices.Index(words, word); i >= 0 {
		return uint8(i), nil
	}
	return 0, fmt.Errorf("%s %q is none of %s", what, word, strings.Join(words, ", "))
}

func parseConfidence(word string) (Confidence, error) {
	i, err := choose("confidence", word, "low", "medium", "high")
	return Confidence(i), err
}

// canonical parses a name and insists on its one spelling, so that a search
// through the files finds it.
func canonical(text string) (Name, error) {
	n, err := ParseName(text)
	if err != nil {
		return "", err
	}
	if n == "" || n.String() != text {
		return "", fmt.Errorf("name %q has to be written %q", text, n)
	}
	return n, nil
}

// once enters n into seen, with the line being read.
func (l *loader) once(seen map[Name]place, n Name) error {
	if w, ok := seen[n]; ok {
		return fmt.Errorf("%s stands in line %d already", n, w.line)
	}
	seen[n] = l.at
	return nil
}

// ordered checks the form of an id and that it comes after the one before.
func (l *loader) ordered(id string) error {
	if id == "" || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("id %q: want lower-case letters, digits and hyphens", id)
	}
	if id <= l.last {
		return fmt.Errorf("%s has to stand before %s: ids are sorted, and each stands once", id, l.last)
	}
	l.last = id
	return nil
}

func checkDate(s string) error {
	layout := time.DateOnly
	if len(s) == len("2006-01") {
		layout = "2006-01"
	}
	if _, err := time.Parse(layout, s); err != nil {
		return fmt.Errorf("date %q: want YYYY-MM-DD or YYYY-MM", s)
	}
	return nil
}

func (l *loader) sourceRow(text string) error {
	cols, err := splitColumns(text, 2)
	if err != nil {
		return err
	}
	l.c.Sources = append(l.c.Sources, CatalogueSource{ID: cols[0], What: cols[1]})
	return l.ordered(cols[0])
}

func (l *loader) categoryRow(text string) error {
	cols, err := splitColumns(text, 4)
	if err != nil {
		return err
	}
	cat, err := ParseCategory(cols[0])
	if err != nil {
		return err
	}
	rank, err := strconv.Atoi(cols[3])
	if err != nil || rank < 1 || rank > int(NumCategories-AnonymousChat) {
		return fmt.Errorf("rank %q: want 1 to %d", cols[3], NumCategories-AnonymousChat)
	}
	for _, other := range l.c.Categories {
		if other.ID == cols[0] || other.Rank == rank {
			return fmt.Errorf("%s and %s have the same id or rank", cols[0], other.ID)
		}
	}
	l.c.Categories[cat] = CategoryInfo{ID: cols[0], Name: cols[1], Reason: cols[2], Rank: rank}
	return nil
}

// What kinds of names must stay reachable. Help and broad share theirs.
var (
	helpKinds = []string{
		"child-helpline", "crisis-suicide", "csam-reporting", "domestic-violence", "drugs-advice",
		"eating-disorder-help", "emergency-services", "lgbtq-support", "mental-health", "school-safety",
		"sexual-abuse-reporting", "sexual-health-education", "trafficking-hotline",
	}
	technicalKinds = []string{
		"android-private-dns-probe", "app-store", "captive-portal", "certificate-status",
		"dnssec-root", "emergency-location", "os-update", "push-notification", "time-server",
	}
)

func (l *loader) reachableRow(text string) error {
	cols, err := splitColumns(text, 10)
	if err != nil {
		return err
	}
	r := Reachable{Kind: cols[3], Country: cols[4], Organisation: cols[5], Reason: cols[6], Source: cols[7], Date: cols[8]}
	section, err1 := choose("section", cols[0], "help", "broad", "technical")
	match, err2 := choose("match", cols[1], "suffix", "exact")
	name, err3 := canonical(cols[2])
	kinds := helpKinds
	if Section(section) == SectionTechnical {
		kinds = technicalKinds
	}
	_, err4 := choose("kind", r.Kind, kinds...)
	conf, err5 := parseConfidence(cols[9])
	if err := cmp.Or(err1, err2, err3, err4, checkDate(r.Date), err5); err != nil {
		return err
	}
	if r.Country == "-" {
		r.Country = ""
	} else if len(r.Country) != 2 || strings.ToUpper(r.Country) != r.Country {
		return fmt.Errorf("country %q: want two capital letters or -", r.Country)
	}
	r.Section, r.Exact, r.Name, r.Confidence = Section(section), match == 1, name, conf
	l.help[name] = r.Section == SectionHelp && !r.Exact
	l.c.Reachable = append(l.c.Reachable, r)
	return l.once(l.reach, name)
}

func (l *loader) sharedRow(text string) error {
	cols, err := splitColumns(text, 6)
	if err != nil {
		return err
	}
	name, err1 := canonical(cols[0])
	rule, err2 := choose("rule", cols[2], "never", "exact-only")
	if err := cmp.Or(err1, err2, checkDate(cols[5])); err != nil {
		return err
	}
	l.c.Shared = append(l.c.Shared, SharedHost{Name: name, What: cols[1], Rule: SharedRule(rule), Reason: cols[3], Source: cols[4], Date: cols[5]})
	return l.once(l.shared, name)
}

func (l *loader) quietRow(text string) error {
	cols, err := splitColumns(text, 5)
	if err != nil {
		return err
	}
	name, err1 := canonical(cols[0])
	match, err2 := choose("match", cols[1], "suffix", "exact")
	if err := cmp.Or(err1, err2, checkDate(cols[4])); err != nil {
		return err
	}
	l.c.Quiet = append(l.c.Quiet, QuietName{Name: name, Exact: match == 1, Why: cols[2], Source: cols[3], Date: cols[4]})
	return l.once(l.quietAt, name)
}

func (l *loader) gatewayRow(text string) error {
	cols, err := splitColumns(text, 5)
	if err != nil {
		return err
	}
	name, err1 := canonical(cols[0])
	encoding, err2 := choose("encoding", cols[2], "google-translate", "amp")
	if err := cmp.Or(err1, err2, checkDate(cols[4])); err != nil {
		return err
	}
	if name.Labels() < 2 || cols[3] == "-" || cols[3] == notVerified {
		return fmt.Errorf("gateway %s needs two labels or more, and a source", name)
	}
	l.c.Gateways = append(l.c.Gateways, Gateway{
		Suffix: name, What: cols[1], Encoding: Encoding(encoding), Source: cols[3], Date: cols[4],
	})
	return l.once(l.gateways, name)
}

// splitField splits a line of the indented form: blanks that say what it belongs to,
// a key, and a value behind one blank.
func splitField(text string) (indent int, key, value string, err error) {
	rest := strings.TrimLeft(text, " ")
	key, value, _ = strings.Cut(rest, " ")
	if strings.Contains(text, "\t") || value != strings.TrimSpace(value) {
		err = errors.New("more than one blank, or a tab, between words")
	}
	return len(text) - len(rest), key, value, err
}

// setText fills a text that may be given once and not be empty.
func setText(field *string, key, value string) error {
	if value == "" {
		return fmt.Errorf("%s has no value", key)
	}
	if *field != "" {
		return fmt.Errorf("%s is given twice", key)
	}
	*field = value
	return nil
}

// setFlag turns on what a key without a value stands for.
func setFlag(field *bool, key, value string) error {
	if value != "" || *field {
		return fmt.Errorf("%s stands alone and once", key)
	}
	*field = true
	return nil
}

func (l *loader) groupLine(text string) error {
	indent, key, value, err := splitField(text)
	if err != nil {
		return err
	}
	if indent == 0 && key == "group" {
		l.groups[value] = l.at
		l.c.Groups = append(l.c.Groups, Group{ID: value})
		return l.ordered(value)
	}
	if indent != 2 || len(l.c.Groups) == 0 {
		return fmt.Errorf("%q with %d blanks before it: want group with none, or its parts with 2", key, indent)
	}
	g := &l.c.Groups[len(l.c.Groups)-1]
	switch {
	case key == "why":
		return setText(&g.Why, key, value)
	case key == "member" && value != "":
		if n := len(g.Members); n > 0 && value <= g.Members[n-1] {
			return fmt.Errorf("member %s has to stand before %s", value, g.Members[n-1])
		}
		g.Members = append(g.Members, value)
		return nil
	case key == "also" && value != "":
		g.Also = append(g.Also, value)
		return nil
	}
	return fmt.Errorf("a group has no %q, or it has no value; the nearest is %q", key, Nearest(key, []string{"why", "member", "also"}))
}
