package spool

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"kinward/blocklists"
	"kinward/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func attempt(n int) policy.Attempt {
	return policy.Attempt{
		Time: noon.Add(time.Duration(n) * time.Millisecond), Family: 1, Profile: 2, Device: policy.DeviceID(1 + n%3),
		Name: blocklists.MustName(fmt.Sprintf("n%d.example.com", n)), Type: 28, Service: "omegle", List: "catalogue", Revision: 7,
		Verdict: policy.Verdict{
			Action: policy.Block, Reason: policy.ByCategory, Keep: policy.KeepItem,
			Label: blocklists.Label{Category: blocklists.AnonymousChat, Depth: 2},
		},
	}
}

// openIn opens a spool whose ring lies in the test's own folder.
func openIn(t testing.TB, dir string, c Config) *Spool {
	t.Helper()
	c.Folder, c.RingFolder = filepath.Join(dir, "journal"), dir
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	if c.RingBytes == 0 {
		c.RingBytes = minRing
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drain pulls and reads all there is: the names, and the losses.
func drain(t testing.TB, s *Spool) (names []string, lost uint64) {
	t.Helper()
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	for {
		more, err := s.Read(func(r Record) bool {
			switch {
			case r.Attempt != nil:
				names = append(names, r.Attempt.Name.String())
			case r.Loss != nil:
				lost += r.Loss.Count
			case r.Tally != nil:
				names = append(names, fmt.Sprintf("%d of category %s", r.Tally.Queries, r.Tally.Category))
			}
			return true
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return names, lost
		}
	}
}

func record(t testing.TB, s *Spool, from, to int) (names []string) {
	t.Helper()
	for n := from; n < to; n++ {
		a := attempt(n)
		if !s.Record(&a) {
			t.Fatalf("no room for attempt %d", n)
		}
		names = append(names, a.Name.String())
	}
	return names
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestWhatIsRecordedIsReadInOrder(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s, err := Open(Config{Folder: dir, RingFolder: dir, RingBytes: minRing})
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for round := range 50 { // the ring is gone round several times
			want = append(want, record(t, s, round*100, round*100+100)...)
			names, _ := drain(t, s)
			got = append(got, names...)
		}
		same(t, "read", got, want)
		s.Committed(s.Position().Seq)
		if s.Stats().DiskBytes != 0 {
			t.Errorf("%d bytes are left of what the store has", s.Stats().DiskBytes)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if dir == "" {
			continue
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 { // the number
			t.Errorf("left behind: %v", left)
		}
	}
}

// Whatever an attempt holds, what the journal needs of it comes back.
func TestRecordsComeBackAsTheyWere(t *testing.T) {
	s, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	name := rapid.Custom(func(t *rapid.T) blocklists.Name {
		var n []byte
		for range rapid.IntRange(0, 6).Draw(t, "labels") {
			l := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "label")
			n = append(append(n, byte(len(l))), l...)
		}
		return blocklists.Name(n)
	})
	number := rapid.Int64Range(0, 1<<62)
	text := rapid.StringN(0, 60, maxString)
	rapid.Check(t, func(t *rapid.T) {
		a := policy.Attempt{
			Time:   time.UnixMilli(number.Draw(t, "time") >> 20).UTC(),
			Family: policy.FamilyID(number.Draw(t, "family")), Profile: policy.ProfileID(number.Draw(t, "profile")),
			Device: policy.DeviceID(rapid.SampledFrom([]int64{0, 1, 1 << 40}).Draw(t, "device")),
			Client: netip.MustParseAddr(rapid.SampledFrom([]string{"192.168.1.2", "fe80::1", "203.0.113.9", "::1"}).Draw(t, "client")),
			Name:   name.Draw(t, "name"), Hidden: name.Draw(t, "hidden"), Type: rapid.Uint16().Draw(t, "type"),
			Service: text.Draw(t, "service"), List: text.Draw(t, "list"), Pattern: text.Draw(t, "pattern"),
			Revision: rapid.Uint64().Draw(t, "revision"),
			Verdict: policy.Verdict{
				Action: policy.Action(rapid.IntRange(0, 3).Draw(t, "action")), Keep: policy.Keep(rapid.IntRange(0, 2).Draw(t, "keep")),
				Reason: policy.Reason(rapid.IntRange(0, int(policy.NumReasons)-1).Draw(t, "reason")),
				Quiet:  rapid.Bool().Draw(t, "quiet"), Bypass: policy.Bypass(rapid.IntRange(0, 2).Draw(t, "bypass")),
				Rule: policy.RuleID(number.Draw(t, "rule")), RuleName: name.Draw(t, "rule name"),
				Schedule: policy.ScheduleID(number.Draw(t, "schedule")), Grant: policy.GrantID(number.Draw(t, "grant")),
				Label: blocklists.Label{
					Category: blocklists.Category(rapid.IntRange(0, int(blocklists.NumCategories)-1).Draw(t, "category")),
					Marks:    blocklists.Marks(rapid.Byte().Draw(t, "marks")), Depth: rapid.Byte().Draw(t, "depth"),
				},
			},
		}
		if !s.Record(&a) {
			t.Fatal("no room")
		}
		want := a
		if a.Device != 0 || a.Client == netip.MustParseAddr("203.0.113.9") { // a public address is not kept
			want.Client = netip.Addr{}
		}
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
		n := 0
		if _, err := s.Read(func(r Record) bool {
			n++
			if d := cmp.Diff(want, *r.Attempt, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Fatalf("attempt (-want +got):\n%s", d)
			}
			return true
		}, nil); err != nil || n != 1 {
			t.Fatalf("%d records, %v", n, err)
		}
		s.Committed(s.Position().Seq)
	})
}

func TestCategoriesAndReasonsHaveTheNumbersThatSegmentsHold(t *testing.T) {
	var got []string
	for c := range blocklists.NumCategories {
		got = append(got, c.String())
	}
	for r := range policy.NumReasons {
		got = append(got, r.String())
	}
	const want = "none help plumbing anonymous-chat anonymous-messages dating adult adult-creators sex-ads live-streaming social messaging " +
		"games-chat forums ai-companions ai-chat file-sharing vpn-proxy encrypted-dns gambling drugs violence self-harm security known-risk " +
		"piracy search-unsafe own " +
		"default help security plumbing rule service category known-risk grant pause schedule list safe-search canary"
	if got := strings.Join(got, " "); !strings.HasPrefix(got, want[:strings.Index(want, " own ")]) || !strings.HasSuffix(got, want[strings.Index(want, "default"):]) {
		t.Errorf("numbers have another meaning now; add new ones at the end, or raise segmentVersion:\n%s", got)
	}
}

// Many producers, one reader, a small ring: all that was told to be kept is read
// once, in each producer's order, and all the rest is counted.
func TestManyProducers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		producers, each := rapid.IntRange(1, 6).Draw(t, "producers"), rapid.IntRange(1, 1500).Draw(t, "each")
		s, err := Open(Config{RingBytes: minRing, DiskBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running, recording sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		kept := make([][]int, producers)
		for p := range producers {
			recording.Go(func() {
				for n := range each {
					a := attempt(n)
					a.Revision, a.Pattern = uint64(p), strings.Repeat("x", n%97)
					if s.Record(&a) {
						kept[p] = append(kept[p], n)
					} else {
						runtime.Gosched()
					}
				}
			})
		}
		got := make([][]int, producers)
		total, lost := 0, uint64(0)
		read := func() {
			for more := true; more; {
				more, err = s.Read(func(r Record) bool {
					if r.Loss != nil {
						lost += r.Loss.Count
						return true
					}
					total++
					got[r.Attempt.Revision] = append(got[r.Attempt.Revision], int(r.Attempt.Time.Sub(noon).Milliseconds()))
					return true
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		done := make(chan struct{})
		go func() { recording.Wait(); close(done) }()
		for going := true; going; {
			select {
			case <-s.Ready():
				read()
			case <-done:
				going = false
			}
		}
		cancel()
		running.Wait()
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
		read()
		if d := cmp.Diff(kept, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("kept and read (-want +got):\n%s", d)
		}
		if total+int(lost) != producers*each {
			t.Fatalf("%d read and %d lost, want %d together", total, lost, producers*each)
		}
	})
}

// Where there is always room, nothing is lost: not either where a producer is stopped
// for a while, and meanwhile others record and all of it is freed.
func TestWhoIsStoppedFindsRoom(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8)) // so that threads are stopped by the system
	const each, waiting = 400_000, 100
	r := newRing(heapMemory(ringHeadBytes+minRing), 1, 0, nil)
	room := make(chan struct{}, waiting) // far less than the ring holds
	var producers, freeing sync.WaitGroup
	done := make(chan struct{})
	freeing.Go(func() {
		for {
			b, frames := r.ready(minRing)
			r.free(len(b))
			for range frames {
				<-room
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 6 {
		producers.Go(func() {
			a := attempt(1)
			for range each {
				room <- struct{}{}
				if !r.put(&a) {
					<-room
				}
			}
		})
	}
	producers.Wait()
	close(done)
	freeing.Wait()
	if lost := r.shared.lost.Load(); lost > 0 {
		t.Errorf("%d attempts found no room in a ring that was never half full", lost)
	}
}

// The process is gone at once: what lies in the ring, what is written already and
// what is half-written are told from each other by the next one.
func TestTheNextProcessTakesUpTheRing(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	want := record(t, s, 0, 100)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	want = append(want, record(t, s, 100, 200)...)
	if _, _, ok := s.ring.reserve(160); !ok { // somebody was about to write this
		t.Fatal("no room")
	}
	want = append(want, record(t, s, 200, 300)...)
	if _, _, ok := s.ring.reserve(80); !ok {
		t.Fatal("no room")
	}
	next := openIn(t, dir, Config{RingBytes: 2 * minRing}) // another size; the old ring is taken up all the same
	want = append(want, record(t, next, 300, 400)...)
	got, lost := drain(t, next)
	same(t, "read by the next process", got, want)
	if lost != 0 {
		t.Errorf("%d are said to be lost", lost)
	}
	next.Committed(next.Position().Seq)
	last := openIn(t, dir, Config{Position: next.Position()})
	if got, _ := drain(t, last); len(got) != 0 {
		t.Errorf("read again: %v", got)
	}
}

func TestWrittenButNotFreedIsNotReadTwice(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	want := record(t, s, 0, 100)
	b, _ := s.ring.ready(1 << 20)
	if err := s.write(b[:len(b)/unit*unit]); err != nil { // and the process dies here
		t.Fatal(err)
	}
	next := openIn(t, dir, Config{})
	got, lost := drain(t, next)
	same(t, "read", got, want)
	if lost != 0 {
		t.Errorf("%d are said to be lost", lost)
	}
}

// Whatever a process was at when it died, and whatever a loss of power left in a file,
// what a ring does not use is zero when it is taken up.
func TestWhatIsNotInUseIsZero(t *testing.T) {
	rings := map[string]string{"a file": t.TempDir()}
	if memory, err := os.MkdirTemp("/dev/shm", "kinward-test-"); err == nil && isMemory(memory) {
		rings["memory"] = memory
		t.Cleanup(func() { os.RemoveAll(memory) })
	}
	for name, ring := range rings {
		for _, recorded := range []int{0, 7} { // meanwhile
			dir := t.TempDir()
			c := Config{RingFolder: ring, RingBytes: 2 * minRing}
			s, err := Open(withFolder(c, dir))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // it has gone round
				record(t, s, 0, 500)
				if err := s.Pull(); err != nil {
					t.Fatal(err)
				}
			}
			record(t, s, 0, 100)
			b, _ := s.ring.ready(1 << 20)
			if err := s.write(b); err != nil {
				t.Fatal(err)
			}
			clear(b[:len(b)/2/unit*unit]) // and here it dies, as it frees
			record(t, s, 0, recorded)
			if name != "memory" {
				_, tail := s.ring.span()
				copy(s.ring.data[s.ring.offset(tail+s.ring.units/2):], "what the disk had")
			}
			next, err := Open(withFolder(c, dir))
			if err != nil {
				t.Fatal(err)
			}
			if next.ringPath != s.ringPath {
				t.Fatalf("%s: it was not taken up", name)
			}
			head, tail := next.ring.span()
			for seq := tail; seq < head+next.ring.units; seq++ {
				if w := next.ring.word(next.ring.offset(seq)).Load(); w != 0 {
					t.Fatalf("%s, %d recorded meanwhile: %x at place %d of %d to %d", name, recorded, w, seq, tail, head+next.ring.units)
				}
			}
			runtime.KeepAlive(s)
			if _, lost := drain(t, next); lost != 0 {
				t.Errorf("%s: %d are said to be lost", name, lost)
			}
			os.Remove(next.ringPath)
		}
	}
}

func withFolder(c Config, dir string) Config {
	c.Folder = dir
	return c
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v %v", pattern, paths, err)
	}
	return paths
}

func TestPositionsOfAnotherSpoolCountForNothing(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	want := record(t, s, 0, 10)
	next := openIn(t, dir, Config{Position: Position{Spool: s.id + 2, Seq: 1 << 40}})
	got, _ := drain(t, next)
	same(t, "read", got, want)
}

// The store is ahead of what the disk kept: a loss of power after a commit.
func TestPlacesBehindTheStoreAreNotUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	ahead := Position{Spool: s.id, Seq: s.Recorded().Seq + 1<<20}
	os.Remove(s.ringPath)
	next := openIn(t, dir, Config{Position: ahead})
	want := record(t, next, 0, 10)
	got, lost := drain(t, next)
	same(t, "read", got, want)
	if lost != 0 {
		t.Errorf("%d are said to be lost", lost)
	}
}

func TestOthersFileIsNoRing(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, Config{})
	os.Remove(s.ringPath)
	if err := os.Symlink("/etc/passwd", s.ringPath); err != nil {
		t.Fatal(err)
	}
	next := openIn(t, dir, Config{})
	if path, _ := next.RingPlace(); path == s.ringPath {
		t.Error("it followed a link")
	}
	want := record(t, next, 0, 10)
	got, _ := drain(t, next)
	same(t, "read", got, want)
}

func TestRecordDoesNotAllocateOrWait(t *testing.T) {
	s, err := Open(Config{RingBytes: minRing})
	if err != nil {
		t.Fatal(err)
	}
	a := attempt(1)
	if n := testing.AllocsPerRun(2000, func() { s.Record(&a) }); n != 0 { // many of them find it full
		t.Errorf("Record allocates %v times, want 0", n)
	}
}

func FuzzDecode(f *testing.F) {
	a := attempt(1)
	f.Add(encode(nil, &a, nil))
	a.Device, a.Hidden, a.Verdict.RuleName = 0, blocklists.MustName("h.example"), blocklists.MustName("r.example")
	f.Add(encode(nil, &a, []byte{192, 168, 1, 2}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a policy.Attempt
		if decode(string(b), &a) == nil {
			_ = a.Name.String() + a.Hidden.String() + a.Verdict.RuleName.String() + a.Verdict.Action.String() + a.Verdict.Reason.String()
			_ = a.Verdict.Entry(a.Name)
		}
		decodeLoss(string(b))
		decodeTally(string(b))
	})
}

// A ring and a segment may hold anything: opening and reading end, and give
// nothing that was not sound.
func FuzzStream(f *testing.F) {
	a := attempt(1)
	frame := appendFrame(nil, 0, kindAttempt, encode(nil, &a, nil))
	f.Add(frame, uint16(3))
	f.Add(append(frame, appendPad(nil, uint64(len(frame)/unit), 64)...), uint16(20))
	f.Add([]byte{1}, uint16(0))
	f.Fuzz(func(t *testing.T, stream []byte, tail uint16) {
		mem := heapMemory(ringHeadBytes + minRing)
		r := newRing(mem, 1, 0, nil)
		copy(r.data, stream)
		r.shared.tail.Store(uint64(tail) % r.units)
		r, err := openRing(mem, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{RingBytes: minRing})
		if err != nil {
			t.Fatal(err)
		}
		s.ring = r
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
		if head, tail := r.span(); head != tail {
			t.Fatalf("the ring is not emptied: %d of %d", head, tail)
		}
		for more := true; more; {
			if more, err = s.Read(func(Record) bool { return true }, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, bb := range []struct{ name, folder string }{{"heap", ""}, {"shared memory", b.TempDir()}} {
		b.Run(bb.name, func(b *testing.B) {
			s, err := Open(Config{Folder: bb.folder, RingBytes: 8 << 20})
			if err != nil {
				b.Fatal(err)
			}
			a := attempt(1)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%50_000 == 0 { // never the cheaper way of a full ring
					b.StopTimer()
					for {
						got, _ := s.ring.ready(1 << 20)
						if len(got) == 0 {
							break
						}
						s.ring.free(len(got))
					}
					b.StartTimer()
				}
				if !s.Record(&a) {
					b.Fatal("no room")
				}
			}
			if s.ringPath != "" {
				os.Remove(s.ringPath)
			}
		})
	}
}

// appendPad appends pads of size bytes to b.
func appendPad(b []byte, seq uint64, size int) []byte {
	for size > 0 {
		n := min(size, maxFrame/unit*unit)
		b = binary.LittleEndian.AppendUint64(b, word(seq, kindPad, n))
		b = append(b, make([]byte, n-unit)...)
		seq, size = seq+uint64(n/unit), size-n
	}
	return b
}
