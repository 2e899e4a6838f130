package blocklists

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

// Catalogue is what Kinward itself knows about names: services, what must stay
// reachable, what is shared, what is asked for unasked. It is immutable after
// loading and safe for concurrent use; its slices belong to it.
type Catalogue struct {
	Categories [NumCategories]CategoryInfo // zero for NoCategory, Help and Plumbing
	Services   []Service                   // sorted by ID
	Groups     []Group                     // sorted by ID
	Reachable  []Reachable
	Shared     []SharedHost
	Quiet      []QuietName
	Sources    []CatalogueSource // sorted by ID

	guarded map[Name]guarded // what Guard answers from
}

// CategoryInfo is what parents are shown of a category.
type CategoryInfo struct {
	ID     string // Category.String of its index
	Name   string
	Reason string // one sentence
	Rank   int    // 1 is the most serious; where several fit, the lowest is shown
}

// Service is an app or site that parents know by name.
type Service struct {
	ID             string // lower-case letters, digits, hyphens; lasts
	Name           string
	Category       Category
	KnownRisk      string // the evidence of the mark; "" where the service has none
	Strength       Strength
	StrengthSource string // "" only while Strength is NotVerified
	Closed         bool   // the service has ended; its row explains old records
	Note           string // may be ""
	Domains        []Domain
}

// Domain is a domain of a service.
type Domain struct {
	Name          Name
	Match         Match
	Group         string // a Group's ID for MatchGroup, else ""
	Confidence    Confidence
	Sources       []string // CatalogueSource IDs; empty only with ConfidenceLow
	PrivateSuffix bool     // a public suffix of a private owner, here on purpose
	AboveShared   bool     // takes a shared host below it along, on purpose
	Note          string   // may be ""
}

// Match says which names a domain of a service stands for.
type Match uint8

const (
	MatchSuffix   Match = iota // the name and all below it
	MatchExact                 // the name alone: what lies beside it belongs to others
	MatchOptional              // as MatchSuffix, only where the service itself was chosen: others suffer
	MatchGroup                 // as MatchSuffix, only where all services of the group are blocked
)

// Strength is what blocking a service's names achieves, as far as a source says
// so.
type Strength uint8

const (
	NotVerified Strength = iota
	BlocksApp
	BlocksWebsite // the app works without the names
	SignalOnly    // the look-up shows an attempt, but nothing stops
)

// String returns the strength in the words that parents read.
func (s Strength) String() string {
	switch s {
	case BlocksApp:
		return "blocks the app"
	case BlocksWebsite:
		return "blocks the website"
	case SignalOnly:
		return "signal only"
	}
	return notVerified
}

// Confidence is how sure it is that a name belongs where it stands.
type Confidence uint8

const (
	ConfidenceLow    Confidence = iota // one source or none
	ConfidenceMedium                   // one good source or two
	ConfidenceHigh                     // several agree
)

// Group is a set of services that share domains.
type Group struct {
	ID      string
	Members []string // service IDs, sorted
	Also    []string // who else uses the domains without being in the catalogue
	Why     string
}

// Complete reports whether the members are all who use the group's domains. The
// domains of a group that is not complete are never blocked: nobody can choose
// the services that are missing.
func (g *Group) Complete() bool { return len(g.Also) == 0 }

// Section says why a name must stay reachable.
type Section uint8

const (
	SectionHelp      Section = iota // a child asks for help: never recorded
	SectionBroad                    // holds help and much else: recorded as any other name
	SectionTechnical                // devices break without it: recorded as any other name
)

// Reachable is a name that no category, list or schedule may block.
type Reachable struct {
	Section      Section
	Exact        bool // the name alone, not those below it
	Name         Name
	Kind         string
	Country      string // ISO 3166 code, "" for international
	Organisation string
	Reason       string
	Source       string
	Date         string // YYYY-MM-DD or YYYY-MM, when the source was true
	Confidence   Confidence
}

// SharedRule is what lists may say about a shared host.
type SharedRule uint8

const (
	SharedNever     SharedRule = iota // no entry for the host or for a name above it
	SharedExactOnly                   // the same, but single hosts, itself included, each for exactly that name
)

// SharedHost is a host that many services share.
type SharedHost struct {
	Name   Name
	What   string
	Rule   SharedRule
	Reason string
	Date   string // YYYY-MM-DD or YYYY-MM
}

// QuietName is a name that pages, apps or systems ask for by themselves.
type QuietName struct {
	Name  Name
	Exact bool // the name alone, not those below it
	Why   string
	Date  string // YYYY-MM-DD or YYYY-MM
}

// CatalogueSource is who says that a domain belongs to a service.
type CatalogueSource struct{ ID, What string }

//go:embed data
var embedded embed.FS

// Embedded returns the catalogue in the program. It reads the files anew at
// each call, in about two milliseconds; call it once.
func Embedded() (*Catalogue, error) {
	data, err := fs.Sub(embedded, "data")
	if err != nil {
		return nil, fmt.Errorf("opening the embedded catalogue: %w", err)
	}
	return LoadCatalogue(data)
}

// Service returns the service with that id. The pointer leads into the
// catalogue and must not be written through.
func (c *Catalogue) Service(id string) (*Service, bool) {
	i, ok := slices.BinarySearchFunc(c.Services, id, func(s Service, id string) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return nil, false
	}
	return &c.Services[i], true
}

// Group returns the group with that id, as Service does for services.
func (c *Catalogue) Group(id string) (*Group, bool) {
	i, ok := slices.BinarySearchFunc(c.Groups, id, func(g Group, id string) int { return cmp.Compare(g.ID, id) })
	if !ok {
		return nil, false
	}
	return &c.Groups[i], true
}

// NearestService returns the id of the service whose id is most like id, for
// the text of an error; "" if there are no services.
func (c *Catalogue) NearestService(id string) string {
	ids := make([]string, len(c.Services))
	for i := range c.Services {
		ids[i] = c.Services[i].ID
	}
	return Nearest(id, ids)
}

// LoadCatalogue reads a catalogue from categories.tsv, sources.tsv, groups.txt,
// reachable.tsv, shared-hosts.tsv, quiet.tsv and catalogue/<category>.txt. It
// accepts nothing it does not know and nothing that breaks a rule between the
// files. The error names the file and the line; no catalogue comes with it.
//
// The .txt files are indented by blanks; every part but name and domain may be
// missing, and "-" stands for no source:
//
//	service meetme
//	  name MeetMe
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
func LoadCatalogue(fsys fs.FS) (*Catalogue, error) {
	l := loader{
		c:        &Catalogue{},
		domains:  make(map[Name]origin, 2048),
		services: make(map[string]place, 1024),
		groups:   make(map[string]place),
		reach:    make(map[Name]place, 1024),
		help:     make(map[Name]bool, 512),
		shared:   make(map[Name]place, 128),
		quietAt:  make(map[Name]place, 128),
	}
	for _, f := range []struct {
		file string
		line func(string) error
	}{
		{"sources.tsv", l.sourceRow}, // before the services, which name sources
		{"categories.tsv", l.categoryRow},
		{"reachable.tsv", l.reachableRow},
		{"shared-hosts.tsv", l.sharedRow},
		{"quiet.tsv", l.quietRow},
		{"groups.txt", l.groupLine},
	} {
		if err := l.read(fsys, f.file, f.line); err != nil {
			return nil, err
		}
	}
	if err := l.readServices(fsys); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	l.c.guarded = l.c.guards()
	return l.c, nil
}
