package blocklists

import (
	"cmp"
	"embed"
	"fmt"
	"slices"
)

// Catalogue is what Kinward itself knows about names: services, what must stay
// reachable, what is shared, what is asked for unasked. It is immutable after
// loading and safe for concurrent use; its slices belong to it.
type Catalogue struct {
	Edition    Edition
	Categories [NumCategories]CategoryInfo // zero for NoCategory, Help and Plumbing
	Services   []Service                   // sorted by ID
	Groups     []Group                     // sorted by ID
	Reachable  []Reachable
	Shared     []SharedHost
	Quiet      []QuietName
	Gateways   []Gateway
	Sources    []CatalogueSource // sorted by ID

	guarded map[Name]guarded // what Guard answers from
}

// Edition says which catalogue it is. A higher version replaces a lower one.
type Edition struct {
	Version int    `json:"version"`          // from 1; 0 for files loaded without a number
	Date    string `json:"date"`             // YYYY-MM-DD
	Key     string `json:"key,omitempty"`    // KeyFingerprint of who signed it; "" for the embedded one
	SHA256  string `json:"sha256,omitempty"` // of the signed file, in hex; "" for the embedded one
}

// The edition in the program. A release whose data changed raises both, or an
// update that an operator took before would win over the release.
const (
	EmbeddedVersion = 1
	EmbeddedDate    = "2026-11-24"
)

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
	About          string // what it is, for parents; "" where there is no more to say than Catalogue.About composes
	AboutSource    string // who says so; "" where About says no more than the rest of the row
	MinAge         int    // what the service itself demands, in years; 0: not verified
	MinAgeSource   string // "" only while MinAge is 0
	Checked        string // YYYY-MM-DD or YYYY-MM, when the evidence was looked at
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

// String returns the word that the catalogue's files use.
func (m Match) String() string {
	return [...]string{"suffix", "exact", "optional", "group"}[m]
}

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

// String returns the word that the catalogue's files use.
func (c Confidence) String() string {
	return [...]string{"low", "medium", "high"}[c]
}

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
	Source string // what shows that it is shared
	Date   string // YYYY-MM-DD or YYYY-MM
}

// QuietName is a name that pages, apps or systems ask for by themselves.
type QuietName struct {
	Name   Name
	Exact  bool // the name alone, not those below it
	Why    string
	Source string
	Date   string // YYYY-MM-DD or YYYY-MM
}

// CatalogueSource is who says that a domain belongs to a service.
type CatalogueSource struct{ ID, What string }

//go:embed data
var embedded embed.FS

// Embedded returns the catalogue in the program. It reads the files anew at
// each call, in about two milliseconds; call it once.
func Embedded() (*Catalogue, error) {
	c, err := readCatalogue(EmbeddedFiles())
	if err != nil {
		return nil, err
	}
	c.Edition = Edition{Version: EmbeddedVersion, Date: EmbeddedDate}
	return c, nil
}

// About returns a sentence or two for parents: what a service of the catalogue
// is and why it matters. Where the data holds no sentence of its own, it is
// composed of the name, the status and the category's reason, and claims nothing
// beyond them.
func (c *Catalogue) About(s *Service) string {
	if s.About != "" {
		return s.About
	}
	info := c.Categories[s.Category]
	text := fmt.Sprintf("%s is listed as %q: %s", s.Name, info.Name, lowerFirst(info.Reason))
	if s.Closed {
		text += " The service has ended; its names are kept to explain old records, and in case somebody uses them again."
	}
	return text
}

// lowerFirst lowers the first letter of a sentence, unless it begins with an
// abbreviation.
func lowerFirst(s string) string {
	if len(s) < 2 || s[1] < 'a' || s[1] > 'z' {
		return s
	}
	return string(lower(s[0])) + s[1:]
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

// NearService returns the id of the service whose id is much like id, for the
// text of an error; "" if there is none.
func (c *Catalogue) NearService(id string) string {
	ids := make([]string, len(c.Services))
	for i := range c.Services {
		ids[i] = c.Services[i].ID
	}
	return Near(id, ids)
}
