package blocklists

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
	Format   Format    `json:"format"`
	Category Category  `json:"category"` // what all its names are about
	Match    MatchMode `json:"match"`
	Patterns bool      `json:"patterns,omitempty"` // see [ParseOptions]
}

// ListStatus is a list and what is known of its kept copy.
type ListStatus struct {
	ListSource
	Entries   int       `json:"entries"`
	Report    Report    `json:"report"`
	FetchedAt time.Time `json:"fetchedAt"` // when the kept copy came
	CheckedAt time.Time `json:"checkedAt"` // when it was last looked for, with success or not
	SHA256    string    `json:"sha256"`    // of the kept copy's plain text, in hex
	Bytes     int64     `json:"bytes"`     // of the kept copy's plain text
	// Problem says why the last update failed, while the last good copy is in
	// use; "" if it did not.
	Problem string `json:"problem,omitempty"`
}

// Progress is told how far a download is: bytes so far and in total, -1 where
// the total is not known. It is called from the goroutine that called Add or
// Update.
type Progress func(id string, done, total int64)

// What can go wrong with a library's lists, beside fetching and parsing.
var (
	ErrBadListID   = errors.New("want an ID of 1 to 40 letters a-z, digits and hyphens")
	ErrListExists  = errors.New("there is a list with this ID already: choose another ID, or remove that list")
	ErrNoSuchList  = errors.New("there is no list with this ID")
	ErrListChanged = errors.New("the list was changed or removed meanwhile")
	ErrDamagedCopy = errors.New("the kept copy of the list is damaged: update the list")
	ErrCollapsed   = errors.New("the new copy lost most of its names, so the last one stays in use; if this is right, remove the list and add it again")
	ErrExploded    = errors.New("the new copy has many times the names, so the last one stays in use; if this is right, remove the list and add it again")
)

// A new copy is refused if it has less than half of the last one's entries, or
// more than ten times as many; lists below these sizes change as they like.
// BlocklistProject published its list of 500,282 names with 2 in June 2026.
const (
	collapseFrom = 20
	explodeFrom  = 1000
	explodeTimes = 10
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
// state, and each list's last good copy stands in a file of its own, compressed,
// named for the list and its content. Files are written beside and renamed, the
// copy before lists.json, so a crash at any moment leaves every list with the
// copy it had or the new one.
//
// A Library is safe for concurrent use; Lists and Entries never wait for a
// fetch. The folder must belong to one Library at a time, and to it alone.
type Library struct {
	dir   string
	opts  LibraryOptions
	fetch *Fetcher

	commit sync.Mutex // held while the files and the state change; never while fetching
	state  atomic.Pointer[map[string]listRecord]
}

// listRecord is a list as lists.json holds it. Records are never changed in
// place.
type listRecord struct {
	ListStatus
	Validators Validators `json:"validators,omitzero"`
}

// copyName is the name of the kept copy's file. The content is part of it, so a
// new copy never overwrites the one that lists.json still speaks of.
func (r listRecord) copyName() string { return r.ID + "." + r.SHA256[:16] + copySuffix }

const (
	stateFile  = "lists.json"
	copySuffix = ".list"
	tempPrefix = ".tmp-"
)

var (
	listID   = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	copyFile = regexp.MustCompile(`^[a-z0-9-]{1,40}\.[0-9a-f]{16}\.list$`)
	hexSum   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

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
	l := &Library{dir: dir, opts: o, fetch: NewFetcher(o.FetchOptions)}
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

// sweep removes temporary files and copies that no list refers to.
func (l *Library) sweep(records map[string]listRecord) error {
	wanted := make(map[string]bool, len(records))
	for _, r := range records {
		wanted[r.copyName()] = true
	}
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if n := f.Name(); strings.HasPrefix(n, tempPrefix) || copyFile.MatchString(n) && !wanted[n] {
			if err := os.Remove(filepath.Join(l.dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
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
	s.Report.Skipped = maps.Clone(s.Report.Skipped)
	s.Report.Examples = slices.Clone(s.Report.Examples)
	return s
}

// Add fetches a list, checks it, and keeps it. An empty ID is made from the
// location, an empty name is the ID. After an error nothing of the list is kept.
func (l *Library) Add(ctx context.Context, s ListSource, progress Progress) (ListStatus, error) {
	if s.ID == "" {
		s.ID = IDFromLocation(s.Location)
	}
	if !listID.MatchString(s.ID) {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", clip(s.ID), ErrBadListID)
	}
	if s.Name == "" {
		s.Name = s.ID
	}
	if _, ok := (*l.state.Load())[s.ID]; ok { // before the download, and again after it
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, ErrListExists)
	}
	next, temp, err := l.get(ctx, listRecord{ListStatus: ListStatus{ListSource: s}}, progress)
	if err != nil {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, err)
	}
	defer os.Remove(temp)
	err = l.change(next.ID, temp, func(_ listRecord, ok bool) (listRecord, error) {
		if ok {
			return listRecord{}, ErrListExists
		}
		return next, nil
	})
	if err != nil {
		return ListStatus{}, fmt.Errorf("adding list %q: %w", s.ID, err)
	}
	return next.status(), nil
}

// Update looks for new copies of the lists with these IDs, of all if ids is
// nil, one after the other, and returns how they stand then. A list that cannot
// be updated keeps its last good copy, and its Problem says why; that is no
// error of Update. Errors are an unknown ID, a done ctx, and a folder that
// cannot be written; the lists before it are updated then.
func (l *Library) Update(ctx context.Context, ids []string, progress Progress) ([]ListStatus, error) {
	known := *l.state.Load()
	if ids == nil {
		ids = slices.Sorted(maps.Keys(known))
	}
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			return nil, fmt.Errorf("updating list %q: %w", clip(id), ErrNoSuchList)
		}
	}
	var done []ListStatus
	for _, id := range ids {
		s, err := l.updateOne(ctx, id, progress)
		if errors.Is(err, ErrListChanged) {
			continue // by a concurrent Update or Remove, which knew better
		}
		if err != nil {
			return done, fmt.Errorf("updating list %q: %w", id, err)
		}
		done = append(done, s)
	}
	return done, nil
}

func (l *Library) updateOne(ctx context.Context, id string, progress Progress) (ListStatus, error) {
	last, ok := (*l.state.Load())[id]
	if !ok {
		return ListStatus{}, ErrListChanged
	}
	next, temp, err := l.get(ctx, last, progress)
	if temp != "" {
		defer os.Remove(temp)
	}
	if cause := ctx.Err(); err != nil && cause != nil {
		return ListStatus{}, cause
	}
	if err == nil {
		err = plausible(last.Entries, next.Entries)
	}
	if err != nil {
		next, temp = last, ""
		next.CheckedAt, next.Problem = l.opts.Now(), err.Error()
	}
	err = l.change(id, temp, func(now listRecord, ok bool) (listRecord, error) {
		if !ok || now.ListSource != last.ListSource || now.SHA256 != last.SHA256 || !now.CheckedAt.Equal(last.CheckedAt) {
			return listRecord{}, ErrListChanged
		}
		return next, nil
	})
	return next.status(), err
}

// plausible compares the numbers of entries of the last and the new copy.
func plausible(last, next int) error {
	switch {
	case last >= collapseFrom && next*2 < last:
		return fmt.Errorf("%s names after %s: %w", thousands(next), thousands(last), ErrCollapsed)
	case last >= explodeFrom && next > explodeTimes*last:
		return fmt.Errorf("%s names after %s: %w", thousands(next), thousands(last), ErrExploded)
	}
	return nil
}

// get fetches and checks a list. It returns the record with the new state, and
// a temporary file with the new copy, or "" if the last copy still holds. After
// an error there is no file.
func (l *Library) get(ctx context.Context, r listRecord, progress Progress) (_ listRecord, temp string, err error) {
	var told func(done, total int64)
	if progress != nil {
		told = func(done, total int64) { progress(r.ID, done, total) }
	}
	validators := r.Validators
	if validators != (Validators{}) && l.verify(r) != nil {
		validators = Validators{} // "not modified" would keep a damaged copy
	}
	var got Fetched
	temp, err = l.writeTemp(func(w io.Writer) error {
		zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return err
		}
		if got, err = l.fetch.Fetch(ctx, r.Location, validators, zw, told); err != nil {
			return err
		}
		return zw.Close()
	})
	if err != nil {
		return r, "", err
	}
	now := l.opts.Now()
	r.CheckedAt, r.Problem = now, ""
	if got.NotModified {
		os.Remove(temp)
		return r, "", nil
	}
	r.Report, err = l.read(temp, got.SHA256, r.ListSource, func(Entry) error { return nil })
	if err != nil {
		os.Remove(temp)
		return r, "", fmt.Errorf("reading %s: %w", redacted(r.Location), err)
	}
	r.Entries = r.Report.Taken
	r.FetchedAt, r.SHA256, r.Bytes, r.Validators = now, got.SHA256, got.Bytes, got.Validators
	return r, temp, nil
}

// Remove forgets a list and deletes its copy.
func (l *Library) Remove(id string) error {
	err := l.change(id, "", func(_ listRecord, ok bool) (listRecord, error) {
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

// change replaces the record of id by what decide makes of it, on disk and in
// memory. temp, if not "", becomes the kept copy. The zero record removes the
// list.
func (l *Library) change(id, temp string, decide func(now listRecord, ok bool) (listRecord, error)) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	records := maps.Clone(*l.state.Load())
	last, ok := records[id]
	next, err := decide(last, ok)
	if err != nil {
		return err
	}
	if next.ID == "" {
		delete(records, id)
	} else {
		records[id] = next
	}
	if temp != "" {
		if err := os.Rename(temp, filepath.Join(l.dir, next.copyName())); err != nil {
			return fmt.Errorf("keeping the new copy: %w", err)
		}
		// The copy must be on disk under its name before lists.json speaks of it.
		if err := syncDir(l.dir); err != nil {
			return err
		}
	}
	if err := l.writeState(records); err != nil {
		return err
	}
	l.state.Store(&records)
	if ok && (next.ID == "" || next.copyName() != last.copyName()) {
		os.Remove(filepath.Join(l.dir, last.copyName())) // else the next start sweeps it
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
		_, err := l.read(filepath.Join(l.dir, r.copyName()), r.SHA256, r.ListSource, emit)
		if errors.Is(err, fs.ErrNotExist) {
			if now, ok := (*l.state.Load())[id]; !ok || now.SHA256 != r.SHA256 {
				continue // an update replaced it between the look and the opening
			}
			err = fmt.Errorf("%w: %w", ErrDamagedCopy, err)
		}
		if err != nil {
			return fmt.Errorf("reading list %q: %w", id, err)
		}
		return nil
	}
}

// read parses a kept copy and checks that it is the one with this hash.
func (l *Library) read(path, sum string, s ListSource, emit func(Entry) error) (report Report, err error) {
	err = readCopy(path, sum, func(r io.Reader) error {
		report, err = Parse(r, ParseOptions{
			Format: s.Format, Match: s.Match, Patterns: s.Patterns, Guard: l.opts.Guard, MaxLines: l.opts.Limits.Lines,
		}, emit)
		return err
	})
	return report, err
}

// verify reports whether the kept copy is whole.
func (l *Library) verify(r listRecord) error {
	return readCopy(filepath.Join(l.dir, r.copyName()), r.SHA256, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

// readCopy gives the plain text of a copy to use, which reads it to its end, and
// then checks its hash.
func readCopy(path, sum string, use func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
	if err != nil {
		return fmt.Errorf("opening %s: %w: %w", filepath.Base(path), ErrDamagedCopy, err)
	}
	h := sha256.New()
	in := &failing{r: zr}
	err = use(io.TeeReader(in, h))
	if in.err != nil {
		return fmt.Errorf("reading %s: %w: %w", filepath.Base(path), ErrDamagedCopy, in.err)
	}
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("reading %s: SHA-256 is %s, not %s: %w", filepath.Base(path), got, sum, ErrDamagedCopy)
	}
	return nil
}

// failing remembers an error of its reader, so that what the file did can be
// told from what its content did.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// savedState is what lists.json holds.
type savedState struct {
	Version int          `json:"version"`
	Lists   []listRecord `json:"lists"`
}

const stateVersion = 1

// readState reads lists.json; none is an empty library. It is strict: a field
// that this program does not know was written by a newer one, or mistyped.
func readState(file string) (map[string]listRecord, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]listRecord{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lists: %w", err)
	}
	var saved savedState
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&saved); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("reading %s: something follows its end", file)
	}
	if saved.Version != stateVersion {
		return nil, fmt.Errorf("reading %s: version %d, this program reads %d", file, saved.Version, stateVersion)
	}
	records := make(map[string]listRecord, len(saved.Lists))
	for _, r := range saved.Lists {
		// ID and hash name files, so they must be what they seem.
		if !listID.MatchString(r.ID) {
			return nil, fmt.Errorf("reading %s: list %q: %w", file, clip(r.ID), ErrBadListID)
		}
		if !hexSum.MatchString(r.SHA256) {
			return nil, fmt.Errorf("reading %s: list %q: sha256 %q is not 64 hex digits", file, r.ID, clip(r.SHA256))
		}
		if _, twice := records[r.ID]; twice {
			return nil, fmt.Errorf("reading %s: list %q: %w", file, r.ID, ErrListExists)
		}
		records[r.ID] = r
	}
	return records, nil
}

func (l *Library) writeState(records map[string]listRecord) error {
	saved := savedState{Version: stateVersion, Lists: []listRecord{}}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		saved.Lists = append(saved.Lists, records[id])
	}
	b, err := json.MarshalIndent(saved, "", "\t")
	if err != nil {
		return fmt.Errorf("writing %s: %w", stateFile, err)
	}
	temp, err := l.writeTemp(func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", stateFile, err)
	}
	if err := os.Rename(temp, filepath.Join(l.dir, stateFile)); err != nil {
		os.Remove(temp)
		return fmt.Errorf("writing %s: %w", stateFile, err)
	}
	return syncDir(l.dir)
}

// writeTemp writes a temporary file in the library's folder and syncs it. After
// an error there is no file.
func (l *Library) writeTemp(write func(io.Writer) error) (name string, err error) {
	f, err := os.CreateTemp(l.dir, tempPrefix)
	if err != nil {
		return "", err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := write(w); err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// syncDir makes renames in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing the lists folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing the lists folder: %w", err)
	}
	return nil
}
