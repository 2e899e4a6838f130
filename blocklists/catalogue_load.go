package blocklists

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// loader builds a Catalogue. It remembers where things stand, so that a rule
// between two files can be reported at a line.
type loader struct {
	c        *Catalogue
	at       place    // the line being read
	category Category // of the services file being read
	last     string   // the id before, to keep ids in order; "" before the first

	domains  map[Name]origin
	services map[string]place
	groups   map[string]place
	reach    map[Name]place
	help     map[Name]bool // reachable for help, with all below
	shared   map[Name]place
	quietAt  map[Name]place
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
func (l *loader) read(fsys fs.FS, file string, line func(string) error) error {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
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
	cols, err := splitColumns(text, 5)
	if err != nil {
		return err
	}
	name, err1 := canonical(cols[0])
	rule, err2 := choose("rule", cols[2], "never", "exact-only")
	if err := cmp.Or(err1, err2, checkDate(cols[4])); err != nil {
		return err
	}
	l.c.Shared = append(l.c.Shared, SharedHost{Name: name, What: cols[1], Rule: SharedRule(rule), Reason: cols[3], Date: cols[4]})
	return l.once(l.shared, name)
}

func (l *loader) quietRow(text string) error {
	cols, err := splitColumns(text, 4)
	if err != nil {
		return err
	}
	name, err1 := canonical(cols[0])
	match, err2 := choose("match", cols[1], "suffix", "exact")
	if err := cmp.Or(err1, err2, checkDate(cols[3])); err != nil {
		return err
	}
	l.c.Quiet = append(l.c.Quiet, QuietName{Name: name, Exact: match == 1, Why: cols[2], Date: cols[3]})
	return l.once(l.quietAt, name)
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

// readServices reads the files of the folder catalogue, each named for its
// category.
func (l *loader) readServices(fsys fs.FS) error {
	files, err := fs.ReadDir(fsys, "catalogue")
	if err != nil {
		return fmt.Errorf("reading catalogue: %w", err)
	}
	for _, f := range files {
		file := path.Join("catalogue", f.Name())
		id, ok := strings.CutSuffix(f.Name(), ".txt")
		if !ok {
			return fmt.Errorf("reading %s: want a file <category>.txt", file)
		}
		if l.category, err = ParseCategory(id); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if l.category == KnownRiskCategory {
			return fmt.Errorf("reading %s: known-risk is a mark on services, not a category of its own", file)
		}
		if err := l.read(fsys, file, l.serviceLine); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) serviceLine(text string) error {
	indent, key, value, err := splitField(text)
	switch {
	case err != nil:
		return err
	case indent == 0 && key == "service":
		if w, ok := l.services[value]; ok {
			return fmt.Errorf("service %s stands in %s line %d already", value, w.file, w.line)
		}
		l.services[value] = l.at
		l.c.Services = append(l.c.Services, Service{ID: value, Category: l.category})
		return l.ordered(value)
	case l.last == "" || indent != 2 && indent != 4:
		return fmt.Errorf("%q with %d blanks before it: want service with none, its parts with 2, a domain's with 4", key, indent)
	}
	s := &l.c.Services[len(l.c.Services)-1]
	if indent == 2 {
		return l.servicePart(s, key, value)
	}
	if len(s.Domains) == 0 {
		return fmt.Errorf("%s belongs to a domain, and there is none yet", key)
	}
	d := &s.Domains[len(s.Domains)-1]
	switch key {
	case "private-suffix":
		return setFlag(&d.PrivateSuffix, key, value)
	case "above-shared":
		return setFlag(&d.AboveShared, key, value)
	case "note":
		return setText(&d.Note, key, value)
	}
	return fmt.Errorf("a domain has no %q; the nearest is %q", key, Nearest(key, []string{"private-suffix", "above-shared", "note"}))
}

var serviceKeys = []string{"name", "known-risk", "strength", "strength-source", "status", "note", "domain"}

func (l *loader) servicePart(s *Service, key, value string) error {
	switch key {
	case "name":
		return setText(&s.Name, key, value)
	case "known-risk":
		return setText(&s.KnownRisk, key, value)
	case "strength":
		i, err := choose("strength", value, "app", "website", "signal")
		if err == nil && s.Strength != NotVerified {
			err = errors.New("strength is given twice")
		}
		s.Strength = Strength(i + 1)
		return err
	case "strength-source":
		return setText(&s.StrengthSource, key, value)
	case "status":
		if value != "closed" {
			return fmt.Errorf("status %q: the only one is closed", value)
		}
		return setFlag(&s.Closed, key, "")
	case "note":
		return setText(&s.Note, key, value)
	case "domain":
		return l.domain(s, value)
	}
	return fmt.Errorf("a service has no %q; the nearest is %q", key, Nearest(key, serviceKeys))
}

// domain reads "meetme.com suffix high citizenlab,ut1".
func (l *loader) domain(s *Service, value string) error {
	words := strings.Split(value, " ")
	if len(words) != 4 {
		return fmt.Errorf("domain has %d words, want name, match, confidence and sources", len(words))
	}
	var d Domain
	var err error
	if d.Name, err = canonical(words[0]); err != nil {
		return err
	}
	match, group, _ := strings.Cut(words[1], ":")
	i, err := choose("match", match, "suffix", "exact", "optional", "group")
	if err != nil {
		return err
	}
	d.Match, d.Group = Match(i), group
	if (d.Match == MatchGroup) != (group != "") {
		return fmt.Errorf("match %q: a group, and nothing else, is named behind a colon", words[1])
	}
	if d.Confidence, err = parseConfidence(words[2]); err != nil {
		return err
	}
	if words[3] != "-" {
		d.Sources = strings.Split(words[3], ",")
	} else if d.Confidence != ConfidenceLow {
		return fmt.Errorf("%s has no source: its confidence is low", words[0])
	}
	for i, id := range d.Sources {
		k, ok := slices.BinarySearchFunc(l.c.Sources, id, func(s CatalogueSource, id string) int { return cmp.Compare(s.ID, id) })
		if !ok || slices.Contains(d.Sources[:i], id) {
			return fmt.Errorf("source %q is not in sources.tsv, or is named twice", id)
		}
		d.Sources[i] = l.c.Sources[k].ID
	}
	if o, ok := l.domains[d.Name]; ok {
		return fmt.Errorf("%s stands in %s line %d already", words[0], o.file, o.line)
	}
	l.domains[d.Name] = origin{l.at, len(l.c.Services) - 1, len(s.Domains)}
	s.Domains = append(s.Domains, d)
	return nil
}

// check applies the rules between rows and files, then sorts the services.
func (l *loader) check() error {
	for cat := AnonymousChat; cat < NumCategories; cat++ {
		if l.c.Categories[cat].ID == "" {
			return fmt.Errorf("reading categories.tsv: no row for %s", cat)
		}
	}
	for i := range l.c.Services {
		if err := l.checkService(&l.c.Services[i]); err != nil {
			return err
		}
	}
	for _, g := range l.c.Groups {
		for _, m := range g.Members {
			if _, ok := l.services[m]; !ok {
				return l.groups[g.ID].errorf("group %s has a member %q that is no service", g.ID, m)
			}
		}
		if g.Why == "" || len(g.Members) == 0 {
			return l.groups[g.ID].errorf("group %s needs a why and members", g.ID)
		}
	}
	for _, h := range l.c.Shared {
		if err := l.checkShared(h.Name); err != nil {
			return err
		}
	}
	for _, r := range l.c.Reachable {
		if r.Section == SectionHelp {
			if err := l.checkHelp(r); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(l.c.Services, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (l *loader) checkService(s *Service) error {
	at := l.services[s.ID]
	switch {
	case s.Name == "":
		return at.errorf("service %s has no name", s.ID)
	case len(s.Domains) == 0:
		return at.errorf("service %s has no domain", s.ID)
	case (s.Strength == NotVerified) != (s.StrengthSource == ""):
		return at.errorf("service %s: strength and strength-source need each other", s.ID)
	}
	for i := range s.Domains {
		if err := l.checkDomain(s, &s.Domains[i]); err != nil {
			return l.domains[s.Domains[i].Name].errorf("%s: %w", s.Domains[i].Name, err)
		}
	}
	return nil
}

func (l *loader) checkDomain(s *Service, d *Domain) error {
	text := d.Name.String()
	suffix, icann := publicsuffix.PublicSuffix(text)
	private := suffix == text && !icann && d.Name.Labels() > 1
	switch {
	case suffix == text && !private:
		return errors.New("everybody registers names below it (public suffix list)")
	case private != d.PrivateSuffix:
		return errors.New("private-suffix must be said of private public suffixes, and only of them")
	case (d.PrivateSuffix || d.AboveShared) && d.Note == "":
		return errors.New("private-suffix and above-shared need a note that says why")
	case d.AboveShared && !slices.ContainsFunc(l.c.Shared, func(h SharedHost) bool { return h.Name != d.Name && h.Name.IsBelow(d.Name) }):
		return errors.New("above-shared, but no shared host lies below it")
	}
	if d.Match == MatchGroup {
		i := slices.IndexFunc(l.c.Groups, func(g Group) bool { return g.ID == d.Group })
		if i < 0 || !slices.Contains(l.c.Groups[i].Members, s.ID) {
			return fmt.Errorf("no group %q with the member %s in groups.txt", d.Group, s.ID)
		}
	}
	if w, ok := l.reach[d.Name]; ok {
		return fmt.Errorf("it must stay reachable (%s line %d)", w.file, w.line)
	}
	for p := d.Name.Parent(); p != ""; p = p.Parent() {
		if l.help[p] {
			return fmt.Errorf("%s above it is help and stays reachable (%s line %d)", p, l.reach[p].file, l.reach[p].line)
		}
		o, ok := l.domains[p]
		if !ok {
			continue
		}
		above := &l.c.Services[o.service]
		switch {
		case above.Domains[o.domain].Match == MatchExact:
		case above.ID == s.ID && above.Domains[o.domain].Match == MatchSuffix:
			return fmt.Errorf("%s in line %d covers it already", p, o.line)
		case above.ID != s.ID && d.Note == "":
			return fmt.Errorf("%s of %s covers it too: a note has to say why it is here", p, above.ID)
		}
	}
	return nil
}

// checkShared looks for domains that would take a shared host along.
func (l *loader) checkShared(host Name) error {
	for p := host; p != ""; p = p.Parent() {
		o, ok := l.domains[p]
		if !ok {
			continue
		}
		d := &l.c.Services[o.service].Domains[o.domain]
		if d.Match == MatchExact || d.Match == MatchGroup || d.AboveShared && p != host {
			continue
		}
		return o.errorf("%s takes the shared host %s along: match it exactly or with its group", p, host)
	}
	return nil
}

// checkHelp looks for domains that would block help, and for what a row of help
// owes: a mistake there hides look-ups.
func (l *loader) checkHelp(r Reachable) error {
	if r.Organisation == "-" || r.Source == "-" || r.Source == notVerified {
		return l.reach[r.Name].errorf("%s: help needs an organisation and a source", r.Name)
	}
	for p := r.Name.Parent(); p != ""; p = p.Parent() {
		if o, ok := l.domains[p]; ok && l.c.Services[o.service].Domains[o.domain].Match != MatchExact {
			return o.errorf("%s blocks the help at %s", p, r.Name)
		}
	}
	return nil
}

// notVerified stands in a column source that has none.
const notVerified = "not verified"
