package blocklists

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ListSource is a block list the owner chose: where it comes from and how it is
// to be read.
type ListSource struct {
	ID       string    `json:"id"`   // a-z, 0-9 and hyphens, at most 40
	Name     string    `json:"name"` // as people are shown it
	Location string    `json:"location"`
	Mirrors  []string  `json:"mirrors,omitempty"` // other places of the same list, at most 7, tried in this order
	Member   string    `json:"member,omitempty"`  // [Request.Member]
	Format   Format    `json:"format"`
	Category Category  `json:"category"` // what all its names are about
	Match    MatchMode `json:"match"`
	Patterns bool      `json:"patterns,omitempty"` // see [ParseOptions]
}

// locations returns the places of the list in the order to try.
func (s ListSource) locations() []string { return append([]string{s.Location}, s.Mirrors...) }

const maxMirrors = 7

// Version is one copy of a list.
type Version struct {
	Entries   int       `json:"entries"`
	Report    Report    `json:"report"`
	FetchedAt time.Time `json:"fetchedAt"`
	From      string    `json:"from,omitempty"` // the place it came from, without credentials
	SHA256    string    `json:"sha256"`         // of its plain text, in hex
	Bytes     int64     `json:"bytes"`          // of its plain text
	// Expires is how long its header says that it holds; 0 if it does not.
	Expires time.Duration `json:"expires,omitempty"`
}

// Held is a version that is not in force, for a person to decide about.
type Held struct {
	Version
	Why string `json:"why"`
	// RolledBack says that it was in force and was taken out of it by Rollback;
	// a guard stopped it otherwise.
	RolledBack bool `json:"rolledBack,omitempty"`
	// Changes is what it would change, put in force.
	Changes Changes `json:"changes,omitzero"`
}

// ListStatus is a list and what is known of its kept copies: the one in force,
// the one before, and at most one that is held.
type ListStatus struct {
	ListSource
	Version             // in force
	CheckedAt time.Time `json:"checkedAt"` // when it was last looked for, with success or not
	// Problem says why the last update failed or was held, while the last good
	// copy is in use; "" if it did not.
	Problem  string   `json:"problem,omitempty"`
	Failures int      `json:"failures,omitempty"` // updates in a row that failed
	Previous *Version `json:"previous,omitempty"`
	Held     *Held    `json:"held,omitempty"`
}

// Outcome is what an update came to.
type Outcome uint8

// The outcomes.
const (
	Unchanged  Outcome = iota // what is in force is what there is
	Taken                     // a new version is in force
	WasHeld                   // a guard stopped the new version; the last good one stays in force
	RolledBack                // the new version is the one that was rolled back from, and stays out of force
	Failed                    // nothing came; the last good version stays in force
	NumOutcomes
)

var outcomeWords = [NumOutcomes]string{"unchanged", "taken", "held", "rolled-back", "failed"}

// String returns the outcome's word: "unchanged", "taken", "held",
// "rolled-back" or "failed".
func (o Outcome) String() string { return keyOf(outcomeWords[:], int(o)) }

// Updated is a list after an update.
type Updated struct {
	ListStatus
	Outcome Outcome
}

// What can go wrong with a library's lists, beside fetching and parsing.
var (
	ErrBadListID      = errors.New("want an ID of 1 to 40 letters a-z, digits and hyphens")
	ErrReservedID     = errors.New("this ID is Kinward's own catalogue's: choose another ID")
	ErrDamagedLibrary = errors.New("the record of the lists is damaged")
	ErrListExists     = errors.New("there is a list with this ID already: choose another ID, or remove that list")
	ErrNoSuchList     = errors.New("there is no list with this ID")
	ErrListChanged    = errors.New("the list was changed or removed meanwhile")
	ErrDamagedCopy    = errors.New("the kept copy of the list is damaged: update the list")
	ErrCollapsed      = errors.New("the new copy lost most of its names, so it is held and the last one stays in use; accept it if this is right")
	ErrExploded       = errors.New("the new copy has many times the names, so it is held and the last one stays in use; accept it if this is right")
	ErrNothingHeld    = errors.New("no new copy of the list is held")
	ErrNoPrevious     = errors.New("no copy from before is kept")
	ErrNoRoom         = errors.New("the copy cannot be written: see that the disk of the data folder has room")
)

// A new copy is held if it has less than a collapseTimes-th of the last good
// one's entries, or more than explodeTimes as many, however short the list is: a
// few names can be the ones that everybody asks for. BlocklistProject published
// its list of 500,282 names with 2 in June 2026.
const (
	collapseTimes = 2
	explodeTimes  = 3
)

// LibraryOptions configure a [Library].
type LibraryOptions struct {
	FetchOptions
	// Guard is [ParseOptions.Guard] for all lists; may be nil.
	Guard func(Name) SkipReason
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Library keeps block lists in a folder: lists.json says which and in what
// state, and each copy of a list stands in a file of its own, compressed, named
// for the list and its content. Files are written beside and renamed, the copy
// before lists.json, so a crash at any moment leaves every list with the copies
// it had or the new ones.
//
// A Library is safe for concurrent use; Lists and Entries never wait for a
// fetch. The folder must belong to one Library at a time, and to it alone.
type Library struct {
	dir   string
	opts  LibraryOptions
	fetch *Fetcher
	stats libraryStats
	step  func(string) // told where a change is, for tests that end the process there

	commit sync.Mutex // held while the files and the state change; never while fetching
	state  atomic.Pointer[map[string]listRecord]
}

// listRecord is a list as lists.json holds it. Records, and what they point at,
// are never changed in place.
type listRecord struct {
	ListStatus
	Validators Validators `json:"validators,omitzero"`
	// Seen is the SHA-256 of the version that the Validators came with; "" is
	// the one in force.
	Seen string `json:"seen,omitempty"`
	// Refused is the SHA-256 of the version that was rolled back from. It is not
	// taken again before another one was in force.
	Refused string `json:"refused,omitempty"`
}

// copyName is the name of a copy's file. The content is part of it, so a new
// copy never overwrites one that lists.json still speaks of.
func copyName(id, sum string) string { return id + "." + sum[:16] + copySuffix }

func (r listRecord) copyName() string { return copyName(r.ID, r.SHA256) }

// versions returns the versions of which the record keeps copies.
func (r listRecord) versions() []Version {
	if r.ID == "" {
		return nil
	}
	all := []Version{r.Version}
	if r.Previous != nil {
		all = append(all, *r.Previous)
	}
	if r.Held != nil {
		all = append(all, r.Held.Version)
	}
	return all
}

const (
	stateFile  = "lists.json"
	copySuffix = ".list"
	tempPrefix = ".tmp-"
)

// These are no regular expressions since each start of the program would compile
// them, in a millisecond.

func isListID(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isHex reports whether s is n digits in base 16, none of them a capital letter.
func isHex(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" }

// isCopyFile reports whether a file is called as the kept copies are:
// ads.0123456789abcdef.list.
func isCopyFile(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) == 3 && isListID(parts[0]) && isHex(parts[1], 16) && "."+parts[2] == copySuffix
}

// OpenLibrary opens the library in a folder, which is made if missing, and
// removes what an interrupted update left there. The kept copies are checked
// when they are read, not here.
func OpenLibrary(dir string, o LibraryOptions) (*Library, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the lists folder: %w", err)
	}
	l := &Library{dir: dir, opts: o, fetch: NewFetcher(o.FetchOptions), step: func(string) {}}
	records, err := readState(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	l.state.Store(&records)
	if err := l.sweep(records); err != nil {
		return nil, fmt.Errorf("clearing the lists folder: %w", err)
	}
	return l, nil
}

// Lists returns all lists, by ID. The caller owns the result.
func (l *Library) Lists() []ListStatus {
	records := *l.state.Load()
	all := make([]ListStatus, 0, len(records))
	for _, id := range slices.Sorted(maps.Keys(records)) {
		all = append(all, records[id].status())
	}
	return all
}

// status returns a copy that shares nothing with the record.
func (r listRecord) status() ListStatus {
	s := r.ListStatus
	s.Mirrors = slices.Clone(s.Mirrors)
	s.Version = s.clone()
	if s.Previous != nil {
		v := s.Previous.clone()
		s.Previous = &v
	}
	if s.Held != nil {
		h := *s.Held
		h.Version, h.Changes = h.clone(), h.Changes.clone()
		s.Held = &h
	}
	return s
}

func (v Version) clone() Version {
	v.Report.Skipped = maps.Clone(v.Report.Skipped)
	v.Report.Examples = slices.Clone(v.Report.Examples)
	return v
}

// Add fetches a list, checks it, and keeps it. An empty ID is made from the
// location, an empty name is the ID. After an error nothing of the list is kept.
func (l *Library) Add(ctx context.Context, s ListSource, progress Progress) (ListStatus, error) {
	if s.ID == "" {
		s.ID = idFromLocation(s.Location)
	}
	if !isListID(s.ID) {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", clip(s.ID), ErrBadListID)
	}
	if s.ID == CatalogueID {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, ErrReservedID)
	}
	if s.Name == "" {
		s.Name = s.ID
	}
	if len(s.Mirrors) > maxMirrors {
		return ListStatus{}, fmt.Errorf("adding list %q: %d mirrors are more than %d: %w", s.ID, len(s.Mirrors), maxMirrors, ErrBadLocation)
	}
	s.Mirrors = slices.Clone(s.Mirrors)
	if _, ok := (*l.state.Load())[s.ID]; ok { // before the download, and again after it
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, ErrListExists)
	}
	got, err := l.get(ctx, listRecord{ListStatus: ListStatus{ListSource: s}}, progress)
	defer os.Remove(got.temp)
	if err != nil {
		l.stats.failed(err)
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, err)
	}
	next := listRecord{
		ListStatus: ListStatus{ListSource: s, Version: got.Version, CheckedAt: got.FetchedAt},
		Validators: got.validators,
		Seen:       got.SHA256,
	}
	err = l.change(next.ID, got.temp, got.SHA256, func(_ listRecord, ok bool) (listRecord, error) {
		if ok {
			return listRecord{}, ErrListExists
		}
		return next, nil
	})
	if err != nil {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, err)
	}
	l.stats.count(Taken)
	return next.status(), nil
}

// Update looks for new versions of the lists with these IDs, of all if ids is
// nil, one after the other, and returns how they stand then. A list that cannot
// be updated, or whose new version a guard holds, keeps its last good version,
// and its Problem says why; that is no error of Update. Errors are an unknown
// ID, a done ctx, and a folder that cannot be written; the lists before it are
// updated then.
func (l *Library) Update(ctx context.Context, ids []string, progress Progress) ([]Updated, error) {
	known := *l.state.Load()
	if ids == nil {
		ids = slices.Sorted(maps.Keys(known))
	}
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			return nil, fmt.Errorf("updating list %q: %w", clip(id), ErrNoSuchList)
		}
	}
	var done []Updated
	for _, id := range ids {
		u, err := l.updateOne(ctx, id, progress)
		if errors.Is(err, ErrListChanged) { // by a concurrent Update or Remove, which knew better
			if now, ok := (*l.state.Load())[id]; ok {
				done = append(done, Updated{now.status(), Unchanged})
			}
			continue
		}
		if err != nil {
			return done, fmt.Errorf("updating list %q: %w", id, err)
		}
		done = append(done, u)
	}
	return done, nil
}

// Remove forgets a list and deletes its copies.
func (l *Library) Remove(id string) error {
	err := l.change(id, "", "", func(_ listRecord, ok bool) (listRecord, error) {
		if !ok {
			return listRecord{}, ErrNoSuchList
		}
		return listRecord{}, nil
	})
	if err != nil {
		return fmt.Errorf("removing list %q: %w", clip(id), err)
	}
	return nil
}

// Entries reads the kept copy of a list and calls emit for each entry, under
// the rules of [Parse]: after an error, the entries emitted must be dropped. A
// copy that is missing or not what was fetched gives ErrDamagedCopy.
func (l *Library) Entries(id string, emit func(Entry) error) error {
	for {
		r, ok := (*l.state.Load())[id]
		if !ok {
			return fmt.Errorf("reading list %q: %w", clip(id), ErrNoSuchList)
		}
		err := l.EntriesOf(id, r.SHA256, l.opts.Guard, emit)
		if !errors.Is(err, ErrListChanged) {
			return err
		}
	}
}

// EntriesOf is [Library.Entries] for the copy with one hash and with one guard,
// for callers that read a list twice and must read the same. Where another copy
// is in force, or comes into force meanwhile, the error wraps [ErrListChanged].
func (l *Library) EntriesOf(id, sum string, guard func(Name) SkipReason, emit func(Entry) error) error {
	inForce := func() (listRecord, bool) {
		r, ok := (*l.state.Load())[id]
		return r, ok && r.SHA256 == sum
	}
	r, ok := inForce()
	if !ok {
		return fmt.Errorf("reading list %q: %w", clip(id), ErrListChanged)
	}
	err := l.read(filepath.Join(l.dir, r.copyName()), sum, r.ListSource, guard, emit)
	if errors.Is(err, fs.ErrNotExist) {
		if _, ok := inForce(); !ok { // replaced between the look and the opening
			return fmt.Errorf("reading list %q: %w", clip(id), ErrListChanged)
		}
		err = fmt.Errorf("%w: %w", ErrDamagedCopy, err)
	}
	if err != nil {
		return fmt.Errorf("reading list %q: %w", id, err)
	}
	return nil
}

// sameAs reports whether nobody changed the list since last was read.
func (r listRecord) sameAs(last listRecord) bool {
	return reflect.DeepEqual(r.ListSource, last.ListSource) && r.SHA256 == last.SHA256 && r.CheckedAt.Equal(last.CheckedAt) &&
		r.Previous == last.Previous && r.Held == last.Held
}
