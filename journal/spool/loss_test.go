package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/policy"
)

// A loss of power: the ring is gone, and the last segment ends anywhere.
func TestSegmentTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	want := record(t, s, 0, 12)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	path := s.segments[0].name
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	frame := (len(whole) - segmentHead) / len(want)
	for cut := 0; cut <= len(whole); cut++ {
		for _, tail := range []int{0, len(whole) - cut} { // missing, or never written out: zeros
			os.RemoveAll(filepath.Join(dir, ringName(s.id)))
			if err := os.WriteFile(path, append(whole[:cut:cut], make([]byte, tail)...), 0o600); err != nil {
				t.Fatal(err)
			}
			next := openIn(t, dir, Config{})
			got, _ := drain(t, next)
			n := max(0, cut-segmentHead) / frame
			if cut == len(whole) {
				n = len(want)
			}
			// Zeros may be what was cut off: padding.
			if len(got) != n && !(tail > 0 && len(got) == n+1) || fmt.Sprint(got) != fmt.Sprint(want[:len(got)]) {
				t.Fatalf("cut at %d of %d with %d zeros: read %v, want the first %d", cut, len(whole), tail, got, n)
			}
			more := record(t, next, 500, 503)
			got, _ = drain(t, next)
			if fmt.Sprint(got) != fmt.Sprint(more) {
				t.Fatalf("cut at %d: what came later was read as %v, want %v", cut, got, more)
			}
			for _, seg := range next.segments {
				os.Remove(seg.name)
			}
		}
	}
}

func TestTornInTheMiddleIsTold(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	want := record(t, s, 0, 100)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	s.active = nil
	rest := record(t, s, 100, 200)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.segments[0].f.WriteAt([]byte("torn"), segmentHead+400); err != nil {
		t.Fatal(err)
	}
	next := openIn(t, dir, Config{})
	got, lost := drain(t, next)
	sound := len(got) - len(rest)
	same(t, "read", got, append(want[:sound:sound], rest...))
	if int(lost) < len(want)-sound || sound < 2 || next.Stats().Torn != lost {
		t.Errorf("%d are said to be lost, of %d that are missing", lost, len(want)-sound)
	}
}

// The newest segment is one that a crash may have left half-written. What was spoilt
// before its end is told all the same, however the process before it ended.
func TestTheLastSegmentTornInTheMiddleIsTold(t *testing.T) {
	for _, power := range []bool{true, false} {
		dir := t.TempDir()
		s := openIn(t, dir, Config{})
		var want []string
		for n := 0; n < 5000; n += 500 { // more than is read at once
			want = append(want, record(t, s, n, n+500)...)
			if err := s.Pull(); err != nil {
				t.Fatal(err)
			}
		}
		if power {
			os.Remove(filepath.Join(dir, ringName(s.id)))
		}
		if _, err := s.segments[0].f.WriteAt([]byte("torn"), segmentHead+400); err != nil {
			t.Fatal(err)
		}
		next := openIn(t, dir, Config{})
		rest := record(t, next, 6000, 6010)
		got, lost := drain(t, next)
		sound := len(got) - len(rest)
		same(t, "read", got, append(want[:sound:sound], rest...))
		if int(lost) < len(want)-sound || sound < 2 || next.Stats().Torn != lost {
			t.Errorf("a loss of power %v: %d are said to be lost, of %d that are missing", power, lost, len(want)-sound)
		}
	}
}

func TestOverTheCapDetailsGoFirstAndThenTheOldest(t *testing.T) {
	dir := t.TempDir()
	const limit = 1 << 20
	s := openIn(t, dir, Config{RingBytes: 4 << 20, DiskBytes: limit})
	n := 0
	fill := func(bytes int) {
		for before := n; (n-before)*frameSize(80) < bytes; {
			record(t, s, n, n+1000)
			n += 1000
			if err := s.Pull(); err != nil {
				t.Fatal(err)
			}
			if s.bytes > limit {
				t.Fatalf("%d bytes, over the cap of %d", s.bytes, limit)
			}
		}
	}
	fill(2 * limit)
	restarted := openIn(t, dir, Config{DiskBytes: limit})
	names, lost := drain(t, restarted)
	var tallied, named int
	for _, what := range names {
		var q int
		if k, _ := fmt.Sscanf(what, "%d of category anonymous-chat", &q); k == 1 {
			tallied += q
		} else {
			named++
		}
	}
	if tallied == 0 || named == 0 || lost != 0 || tallied+named != n {
		t.Errorf("%d attempts: %d only counted, %d with their names, %d lost", n, tallied, named, lost)
	}
	if names[len(names)-1] != fmt.Sprintf("n%d.example.com", n-1) {
		t.Error("the newest is not among those with their names")
	}
}

func TestWhatCannotBeCountedSmallerGoesAndIsTold(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{RingBytes: 4 << 20, DiskBytes: 1 << 20})
	n := 0
	for s.Stats().Shed == 0 {
		for range 1000 {
			a := attempt(n)
			a.Family = policy.FamilyID(n + 1) // nothing to add up
			if !s.Record(&a) {
				t.Fatal("no room")
			}
			n++
		}
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
	}
	next := openIn(t, dir, Config{DiskBytes: 1 << 20})
	var kept, lost uint64
	for more := true; more; {
		var err error
		more, err = next.Read(func(r Record) bool {
			switch {
			case r.Attempt != nil:
				kept++
			case r.Tally != nil:
				kept += r.Tally.Queries
			case r.Loss != nil:
				lost += r.Loss.Count
				if r.Loss.From.After(r.Loss.Until) || r.Loss.From.Before(noon.Add(-24*time.Hour)) {
					t.Errorf("a loss from %s until %s", r.Loss.From, r.Loss.Until)
				}
			}
			return true
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	if lost == 0 || kept+lost != uint64(n) {
		t.Errorf("%d kept and %d told to be lost, want %d together", kept, lost, n)
	}
}

func TestErasedDoesNotComeBack(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	of := func(n int) policy.Attempt {
		a := attempt(n)
		a.Profile = policy.ProfileID(n % 2)
		return a
	}
	var want []string
	for n := range 300 {
		a := of(n)
		s.Record(&a)
		if n == 200 { // some lie in segments, some in the ring
			if err := s.Pull(); err != nil {
				t.Fatal(err)
			}
		}
		if n%2 == 1 {
			want = append(want, a.Name.String())
		}
	}
	if err := s.Erase(t.Context(), func(f policy.FamilyID, p policy.ProfileID) bool { return f == 1 && p == 0 }); err != nil {
		t.Fatal(err)
	}
	for _, next := range []*Spool{openIn(t, dir, Config{}), s} {
		for _, path := range append(glob(t, filepath.Join(dir, "journal", "*")), glob(t, filepath.Join(dir, "*.ring"))...) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "\x03n10\x07") || strings.Contains(string(b), "\x04n298\x07") {
				t.Errorf("%s still holds what was erased", path)
			}
		}
		if next == s {
			continue
		}
		got, lost := drain(t, next)
		same(t, "after erasing", got, want)
		if lost != 0 {
			t.Errorf("%d are said to be lost", lost)
		}
	}
}

func TestFullRingIsCountedAndTold(t *testing.T) {
	s, err := Open(Config{RingBytes: minRing})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	const n = 2000
	for i := range n {
		a := attempt(i)
		if s.Record(&a) {
			kept++
		}
	}
	if kept == 0 || kept == n {
		t.Fatalf("%d of %d found room", kept, n)
	}
	var losses []Loss
	var names int
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		more, err = s.Read(func(r Record) bool {
			if r.Loss != nil {
				losses = append(losses, *r.Loss)
			} else {
				names++
			}
			return true
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []Loss{{From: attempt(kept).Time, Until: attempt(n - 1).Time, Count: uint64(n - kept)}}
	if d := cmp.Diff(want, losses); d != "" || names != kept {
		t.Errorf("%d read, want %d; losses (-want +got):\n%s", names, kept, d)
	}
}

// Where a segment went whole beside one of which the numbers are left, those stay;
// and what is told as lost is what is counted as lost, once.
func TestNumbersStayBesideWhatGoesWhole(t *testing.T) {
	s, err := Open(Config{RingBytes: minRing, DiskBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	put := func(profile policy.ProfileID) {
		a := attempt(n)
		a.Profile = profile
		if !s.Record(&a) {
			t.Fatalf("attempt %d finds no room", n)
		}
		if n++; n%50 == 0 {
			if err := s.Pull(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 300 {
		put(1)
	}
	for p := range policy.ProfileID(3000) { // of whose segments there is nothing to be summed up
		put(2 + p)
	}
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	read, told := map[policy.ProfileID]uint64{}, uint64(0)
	for more := true; more; {
		more, err = s.Read(func(r Record) bool {
			switch {
			case r.Attempt != nil:
				read[r.Attempt.Profile]++
			case r.Tally != nil:
				read[r.Tally.Profile] += r.Tally.Queries
			default:
				told += r.Loss.Count
			}
			return true
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	all := told
	for _, queries := range read {
		all += queries
	}
	if stats := s.Stats(); read[1] != 300 || told == 0 || told != stats.Full+stats.Shed || all != uint64(n) {
		t.Errorf("of the first profile %d are left, want 300; %d are told as lost, %d counted; %d of %d are accounted for",
			read[1], told, stats.Full+stats.Shed, all, n)
	}
}

// What the store has a part of stays as it is: the next process begins in the
// middle of it.
func TestWhatIsStoredInPartIsNotChanged(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{RingBytes: minRing, DiskBytes: 64 << 10})
	all := record(t, s, 0, 100)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	var half Position
	for read := 0; read < len(all); {
		if _, err := s.Read(func(Record) bool { read++; return read%30 != 0 }, nil); err != nil {
			t.Fatal(err)
		}
		if half == (Position{}) {
			half = s.Position()
		}
	}
	s.Committed(half.Seq)
	if err := s.Erase(t.Context(), func(policy.FamilyID, policy.ProfileID) bool { return false }); err != nil { // ends the segment
		t.Fatal(err)
	}
	for n := 1000; n < 4000; n += 50 {
		for i := range 50 {
			a := attempt(n + i)
			a.Profile = policy.ProfileID(n + i)
			s.Record(&a)
		}
		if err := s.Pull(); err != nil {
			break // full
		}
	}
	next := openIn(t, dir, Config{RingBytes: minRing, DiskBytes: 64 << 10, Position: half})
	var left int
	var told uint64
	for more := true; more; {
		var err error
		if more, err = next.Read(func(r Record) bool {
			switch {
			case r.Attempt != nil && r.Attempt.Profile < 1000:
				left++
			case r.Loss != nil:
				told += r.Loss.Count
			}
			return true
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if left+30 < len(all) {
		t.Errorf("of %d attempts 30 are stored and %d left (%d are told as lost)", len(all), left, told)
	}
}

// Who looks ahead takes nothing away, not even a loss.
func TestPeekLeavesALoss(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	record(t, s, 0, 10)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	seg := s.segments[0]
	if _, err := seg.f.WriteAt([]byte("torn"), segmentHead+20); err != nil {
		t.Fatal(err)
	}
	seg.end = seg.base + uint64(seg.bytes-segmentHead)/unit
	if _, err := s.Peek(); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Torn; n != 0 {
		t.Errorf("%d are counted by a look", n)
	}
	if _, lost := drain(t, s); lost == 0 || lost != s.Stats().Torn {
		t.Errorf("%d are told, %d counted", lost, s.Stats().Torn)
	}
}

// unreadable is a segment's file that the disk does not give back.
type unreadable struct{ file }

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("the disk does not read") }

// slow is a segment's file that takes its time to come to the disk.
type slow struct{ file }

func (f slow) Sync() error {
	time.Sleep(100 * time.Millisecond)
	return f.file.Sync()
}

// TestSegmentsShrinkWhileTheyAreReadAndSynced: who writes makes room beside who reads
// and who syncs. The race detector is what fails here; so nobody waits for anybody.
func TestSegmentsShrinkWhileTheyAreReadAndSynced(t *testing.T) {
	s := openIn(t, t.TempDir(), Config{RingBytes: 4 << 20, DiskBytes: 8 << 20})
	for n := 0; n < 30_000; n += 3000 {
		record(t, s, n, n+3000)
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.segments) < 3 {
		t.Fatalf("there are %d segments", len(s.segments))
	}
	s.segments[0].f = slow{s.segments[0].f}
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.sync(); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		first := true
		_, err := s.Read(func(Record) bool {
			if first {
				time.Sleep(100 * time.Millisecond)
			}
			first = false
			return true
		}, nil)
		if err != nil {
			t.Error(err)
		}
	})
	time.Sleep(50 * time.Millisecond)
	s.mu.Lock()
	seg := s.segments[1]
	err := s.condense(seg)
	seg.f = unreadable{seg.f}
	err = errors.Join(err, s.lose(seg))
	s.mu.Unlock()
	all.Wait()
	if err != nil {
		t.Error(err)
	}
}
