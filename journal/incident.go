package journal

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kinward/journal/spool"
	"kinward/policy"
)

// Incident is what a guardian reads: attempts of one profile and device at one
// service or domain, with no pause of [Gap] between them. While everything is
// blocked (pause, bedtime) there is one for all names together, and no name is
// kept; names by which programs ask for a filter are one, too. The JSON keys are
// stable.
type Incident struct {
	ID       string            `json:"id"` // 32 hexadecimal digits that begin with the time, so they sort by it
	Family   policy.FamilyID   `json:"family"`
	Profile  policy.ProfileID  `json:"profile"`
	Device   policy.DeviceID   `json:"device"`           // 0: not a device we know
	Client   string            `json:"client,omitempty"` // an unknown device's address, if it is one of a home
	First    time.Time         `json:"first"`            // UTC, in milliseconds
	Last     time.Time         `json:"last"`
	Open     bool              `json:"open"`    // may still grow
	Verdict  string            `json:"verdict"` // "block" or "watch"
	Reason   string            `json:"reason"`  // see policy.Reason
	Service  string            `json:"service,omitempty"`
	Category string            `json:"category,omitempty"`
	List     string            `json:"list,omitempty"`
	Entry    string            `json:"entry,omitempty"`    // of the list or rule that settled the verdict
	Rule     policy.RuleID     `json:"rule,omitempty"`     // the family's own rule that did
	Schedule policy.ScheduleID `json:"schedule,omitempty"` // the schedule that did
	Grant    policy.GrantID    `json:"grant,omitempty"`    // the grant that did
	Bypass   string            `json:"bypass,omitempty"`   // "routine" or "attempt", where the names could lead past the filter
	Domain   string            `json:"domain"`             // registrable domain of the name that opened the incident; "" where no names are kept
	TopName  string            `json:"top_name"`           // the name asked most, of those that are not quiet where there is one
	Hidden   string            `json:"hidden,omitempty"`   // the blocked name that the asked one led to
	Types    []string          `json:"types"`              // of the questions, e.g. "A", "HTTPS"
	Tries    uint64            `json:"tries"`              // windows of [spool.TryWindow] with at least one look-up
	Queries  uint64            `json:"queries"`            // all look-ups
	Embedded uint64            `json:"embedded,omitempty"` // of the look-ups, those of quiet names, which pages and apps ask for by themselves
	Revision uint64            `json:"revision"`           // of the family's choices when the incident opened
}

// The kinds of incidents whose names could lead past the filter.
const (
	Routine = "routine" // what browsers, systems and apps ask for by themselves
	Attempt = "attempt" // what somebody has to want, for whatever reason
)

// Filter says which incidents to read. The zero value of a field, Family and
// Routine excepted, does not filter.
type Filter struct {
	Family  policy.FamilyID // required: no reader sees another family's incidents
	Since   time.Time       // last attempt at or after
	Until   time.Time       // first attempt before
	Profile policy.ProfileID
	Device  policy.DeviceID
	Client  string // an unknown device's address
	Service string // its ID, or a domain where there is no service
	// Category, Verdict and Reason are words as an [Incident] has them.
	Category, Verdict, Reason string
	ID                        string // the beginning of an incident's ID
	Routine                   bool   // also those of kind "routine"; otherwise they are left out
	// Unreviewed leaves out what this adult has reviewed; nil is nobody.
	Unreviewed *policy.GuardianID
	// After leaves out all up to a place in the order, newest first: where an
	// earlier reading ended.
	After Cursor
	// Look bounds how many stored incidents are looked at, whether or not they
	// match; 0 is all of them. What only the details tell can be far away.
	Look int
	// Only is one more condition; nil is none.
	Only  func(Incident) bool
	Limit int // newest first; 0 is 100, and no more than MaxLimit are returned
}

// Cursor is a place in the order of incidents or signals, newest first: that of
// one of them. The zero value is before all.
type Cursor struct {
	At time.Time // of the last attempt, or of the signal; whole milliseconds
	ID string
}

// CursorOf returns i's place.
func CursorOf(i Incident) Cursor { return Cursor{i.Last, i.ID} }

// String writes c so that [ParseCursor] reads it; "" is the zero value.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	return fmt.Sprintf("%d-%s", c.At.UnixMilli(), c.ID)
}

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	at, id, _ := strings.Cut(s, "-")
	milli, err := strconv.ParseInt(at, 10, 64)
	if err != nil || milli < 0 || id == "" || len(id) > 64 {
		return Cursor{}, fmt.Errorf("%q is not where a list ended; leave it out to begin with the newest", s)
	}
	return Cursor{time.UnixMilli(milli).UTC(), id}, nil
}

// Compare orders c and d newest first, as the store does: what comes earlier in
// a list is less.
func (c Cursor) Compare(d Cursor) int {
	return cmp.Or(d.At.Compare(c.At), cmp.Compare(d.ID, c.ID))
}

// MaxLimit is the largest number of incidents that one reading returns.
const MaxLimit = 10_000

// Max returns the limit that holds.
func (f Filter) Max() int {
	switch {
	case f.Limit <= 0:
		return 100
	case f.Limit > MaxLimit:
		return MaxLimit
	}
	return f.Limit
}

// Matches reports whether i passes the conditions that only the decoded details
// tell, and Only. The store tests the rest.
func (f Filter) Matches(i Incident) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return (f.Routine || i.Bypass != Routine) && (f.Client == "" || i.Device == 0 && i.Client == f.Client) &&
		(is(f.Service, i.Service) || i.Service == "" && i.Domain == f.Service) &&
		is(f.Category, i.Category) && is(f.Verdict, i.Verdict) && is(f.Reason, i.Reason) &&
		(f.Only == nil || f.Only(i))
}

// Count is how often a category that must not be named was tried on one day:
// no name, no device, no finer time.
type Count struct {
	Family   policy.FamilyID  `json:"family"`
	Profile  policy.ProfileID `json:"profile"`
	Category string           `json:"category"`
	Day      string           `json:"day"`   // UTC, "2026-11-23"
	Tries    uint64           `json:"tries"` // as Incident.Tries
	Queries  uint64           `json:"queries"`
}

// Position is how far a spool has been read.
type Position = spool.Position

// Loss is a time in which attempts could not be kept: of this node, of no family.
type Loss = spool.Loss

// Store keeps incidents. All methods return soon after ctx ends.
type Store interface {
	// Position returns that of the last batch which had one.
	Position(ctx context.Context) (Position, error)

	// OpenIncidents returns the rows with a key whose last attempt is at or
	// after since, newest first, at most limit.
	OpenIncidents(ctx context.Context, since time.Time, limit int) ([]Row, error)

	// Write applies b in one durable transaction: all of it or, with an error,
	// nothing.
	Write(ctx context.Context, b Batch) error
}

// Batch is all that changed since the last one. No incident stands in it twice,
// nor any count.
type Batch struct {
	Rows   []Row   // inserted, or replaced where the family has that ID
	Counts []Count // added to what is stored
	// CloseBefore, where set, takes the key from all rows whose last attempt is
	// before it: they cannot grow any more.
	CloseBefore time.Time
	Losses      []Loss   // added; the store may join those that lie together
	Position    Position // stored with the rest; the zero value leaves what is stored
}

// Row is an incident as it is stored. What the incident is about stands in
// Details alone, so that it can be sealed; the store neither reads nor makes it.
type Row struct {
	Family      policy.FamilyID
	ID          string
	Profile     policy.ProfileID
	Device      policy.DeviceID
	First, Last time.Time // whole milliseconds
	Key         string    // tells what merges with it while it can grow; "" later
	Details     []byte
}
