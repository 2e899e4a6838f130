package blocklists

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// newCopy is what a fetch brought.
type newCopy struct {
	Version
	validators  Validators
	notModified bool
	temp        string // the file; "" if there is none
}

// updateOne fetches a list and decides what is in force then.
func (l *Library) updateOne(ctx context.Context, id string, progress Progress) (Updated, error) {
	last, ok := (*l.state.Load())[id]
	if !ok {
		return Updated{}, ErrListChanged
	}
	got, err := l.get(ctx, last, progress)
	if got.temp != "" {
		defer os.Remove(got.temp) // in case it is not kept
	}
	if cause := ctx.Err(); err != nil && cause != nil {
		return Updated{}, cause
	}
	next, outcome := last, Failed
	if err == nil {
		next, outcome = last.after(got, got.notModified || l.verify(last, last.SHA256) == nil)
	} else {
		l.stats.failed(err)
		next.Problem = err.Error()
		next.Failures++
	}
	next.CheckedAt = l.opts.Now().Round(0) // by the wall, which refresh compares: the other clock stands still in sleep
	keep := ""
	if outcome == Taken || outcome == WasHeld {
		keep = got.temp
	}
	if outcome == WasHeld && keep != "" {
		l.stats.failed(plausible(last.Entries, got.Entries))
		if next.Held.Changes.none() {
			held := *next.Held
			// What cannot be compared can still be counted, so this is no reason to fail.
			held.Changes, _ = compareCopies(l.versionFile(last, last.Version), copyOnDisk{keep, got.Version, l.parseOptions(last.ListSource)})
			next.Held = &held
		}
	}
	err = l.change(id, keep, got.SHA256, func(now listRecord, ok bool) (listRecord, error) {
		if !ok || !now.sameAs(last) {
			return listRecord{}, ErrListChanged
		}
		return next, nil
	})
	if err != nil {
		return Updated{}, err
	}
	l.stats.count(outcome)
	return Updated{next.status(), outcome}, nil
}

// after returns the record as it stands after an update that brought got. whole
// says that the copy in force can be read.
func (r listRecord) after(got newCopy, whole bool) (listRecord, Outcome) {
	sum := got.SHA256
	if got.notModified {
		if sum = r.Seen; sum == "" {
			sum = r.SHA256
		}
	} else {
		r.Validators, r.Seen = got.validators, sum
	}
	r.Problem, r.Failures = "", 0
	switch {
	case sum == r.SHA256:
		// The server agrees with what is in force, so nothing else is open.
		r.Held, r.Refused = nil, ""
		if got.notModified {
			return r, Unchanged
		}
		if !whole {
			r.Version = got.Version
			return r, Taken
		}
		r.Report, r.Entries, r.Expires = got.Report, got.Entries, got.Expires // read anew, perhaps by a newer program
		return r, Unchanged
	case sum == r.Refused:
		return r, RolledBack
	}
	err := plausible(r.Entries, got.Entries)
	switch {
	case got.notModified: // only ever of a version that is known; see get
		r.Problem = r.Held.Why
		return r, WasHeld
	case err != nil:
		h := Held{Version: got.Version, Why: err.Error()}
		if r.Held != nil && r.Held.SHA256 == sum {
			h.Changes, h.FetchedAt = r.Held.Changes, r.Held.FetchedAt
		}
		r.Held, r.Problem = &h, h.Why
		return r, WasHeld
	}
	before := r.Version
	if whole {
		r.Previous = &before
	}
	r.Version, r.Held, r.Refused = got.Version, nil, ""
	return r, Taken
}

// plausible compares the numbers of entries of the last good and the new copy.
func plausible(last, next int) error {
	switch {
	case next*collapseTimes < last:
		return fmt.Errorf("%s after %s: %w", count(next, "name", "names"), thousands(last), ErrCollapsed)
	case next > explodeTimes*last:
		return fmt.Errorf("%s after %s: %w", count(next, "name", "names"), thousands(last), ErrExploded)
	}
	return nil
}

// get fetches and reads a list, unless the server says that nothing is new.
// After an error there is no file.
func (l *Library) get(ctx context.Context, r listRecord, progress Progress) (_ newCopy, err error) {
	q := Request{Locations: r.locations(), Member: r.Member, Validators: r.Validators}
	if progress != nil {
		q.Progress = func(e Event) { e.List = r.ID; progress(e) }
	}
	if !r.knows(r.Seen) || q.Validators.known() && l.verify(r, r.SHA256) != nil {
		q.Validators = Validators{} // "not modified" would keep a damaged copy, or one that is gone
	}
	file, err := os.CreateTemp(l.dir, tempPrefix)
	if err != nil {
		return newCopy{}, fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	sink := &copySink{file: file, parse: l.parseOptions(r.ListSource)}
	defer func() {
		sink.stop()
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	got, err := l.fetch.Fetch(ctx, q, sink)
	if err != nil {
		return newCopy{}, err
	}
	if got.NotModified {
		os.Remove(file.Name())
		return newCopy{notModified: true}, nil
	}
	l.step("fetched")
	return newCopy{
		Version: Version{
			Entries: sink.report.Taken, Report: sink.report, FetchedAt: l.opts.Now().Round(0), From: redacted(got.From),
			SHA256: got.SHA256, Bytes: got.Bytes, Expires: expires(sink.head),
		},
		validators: got.Validators,
		temp:       file.Name(),
	}, nil
}

// knows reports whether a version, "" for the one in force, is kept or refused.
func (r listRecord) knows(sum string) bool {
	return sum == "" || sum == r.SHA256 || sum == r.Refused || r.Held != nil && sum == r.Held.SHA256
}

func (l *Library) parseOptions(s ListSource) ParseOptions {
	return ParseOptions{Format: s.Format, Match: s.Match, Patterns: s.Patterns, Guard: l.opts.Guard, MaxLines: l.opts.Limits.Lines}
}

// copySink writes a list to a file, compressed, and reads it at the same time.
type copySink struct {
	file   *os.File
	parse  ParseOptions
	report Report // after Finish
	head   []byte // the list's first bytes

	disk *bufio.Writer
	zip  *gzip.Writer
	text *io.PipeWriter // to the reader, which is a goroutine; nil if none runs
	ends chan error     // how it ended
}

const headerSize = 4 << 10 // where a list's own words about it stand

// Start empties the file.
func (s *copySink) Start() error {
	s.stop()
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	if err := s.file.Truncate(0); err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	s.disk = bufio.NewWriterSize(s.file, 64<<10)
	var err error
	if s.zip, err = gzip.NewWriterLevel(s.disk, gzip.BestSpeed); err != nil {
		return err
	}
	s.head, s.report = nil, Report{}
	r, w := io.Pipe()
	s.text, s.ends = w, make(chan error, 1)
	ends, report := s.ends, &s.report
	go func() {
		got, err := Parse(r, s.parse, func(Entry) error { return nil })
		*report = got
		r.CloseWithError(err) // whoever writes on learns it; nil: Parse read all
		ends <- err
	}()
	return nil
}

func (s *copySink) Write(b []byte) (int, error) {
	if n := headerSize - len(s.head); n > 0 {
		s.head = append(s.head, b[:min(n, len(b))]...)
	}
	if _, err := s.zip.Write(b); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return s.text.Write(b)
}

// Finish waits for the reader's judgement, and for the disk.
func (s *copySink) Finish() error {
	s.text.Close()
	s.text = nil
	if err := <-s.ends; err != nil {
		return err
	}
	if err := errors.Join(s.zip.Close(), s.disk.Flush(), s.file.Sync()); err != nil {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return nil
}

// stop ends the reader, if one runs.
func (s *copySink) stop() {
	if s.text != nil {
		s.text.CloseWithError(errors.New("the download begins again"))
		s.text = nil
		<-s.ends
	}
}

// expiresLine is how lists say for how long they hold: "! Expires: 4 days
// (update frequency)", "# Expires: 12 hours", "! Expires: 2" for days.
var expiresLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^[!#;]+\s*expires\s*:\s*(\d{1,4})\s*(h|d|hours?|days?)?\b`)
})

// expires reads the span from a list's header; 0 if there is none that makes
// sense.
func expires(head []byte) time.Duration {
	for line := range bytes.Lines(bytes.TrimPrefix(head, utf8BOM)) {
		m := expiresLine().FindSubmatch(trimBlank(line))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return 0
		}
		unit := 24 * time.Hour
		if strings.HasPrefix(strings.ToLower(string(m[2])), "h") {
			unit = time.Hour
		}
		return time.Duration(n) * unit
	}
	return 0
}
