package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"kinward/journal/spool"
	"kinward/policy"
)

func TestFirstHitIsWrittenAtTheNextFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		j, _ := start(t, Config{Store: s})
		j.Record(try("omegle.com", time.Now()))
		time.Sleep(249 * time.Millisecond)
		synctest.Wait()
		if n := len(s.incidents(t)); n != 0 {
			t.Errorf("after 249 ms %d are stored, want none yet", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n := len(s.incidents(t)); n != 1 {
			t.Errorf("after 250 ms %d are stored, want 1", n)
		}
		j.Record(try("omegle.com", time.Now()))
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if got := s.incidents(t); len(got) != 1 || got[0].Queries != 2 {
			t.Errorf("after a second look-up: %+v, want one incident of 2", got)
		}
	})
}

func TestFlushWaitsForAllThatWasRecordedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		j, _ := start(t, Config{Store: s, FlushEvery: time.Hour, Held: 1000}) // several batches
		if err := j.Flush(t.Context()); err != nil {
			t.Fatalf("flushing nothing: %v", err)
		}
		const n = 3001
		for i := range n {
			j.Record(try(fmt.Sprintf("d%d.com", i), time.Now()))
		}
		j.Record(try("tinder.com", time.Now(), count))
		begun := time.Now()
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d > 0 {
			t.Errorf("it waited %s for a timer", d)
		}
		if got := s.queries(t); got != n+1 {
			t.Errorf("%d stored, want %d", got, n+1)
		}
	})
}

// A flush that begins while a batch is being written must wait for the next one.
func TestFlushDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{wait: make(chan struct{})}
		j, _ := start(t, Config{Store: s})
		j.Record(try("omegle.com", time.Now()))
		time.Sleep(time.Second) // the write hangs now
		j.Record(try("omegle.com", time.Now()))
		j.Record(try("other.com", time.Now()))
		flushed := make(chan error)
		go func() { flushed <- j.Flush(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-flushed:
			t.Fatalf("flush returned %v while the store hangs", err)
		default:
		}
		close(s.wait)
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		if n := s.queries(t); n != 3 {
			t.Errorf("%d stored, want 3", n)
		}
	})
}

func TestFlushGivesUpWithItsContextAndAfterTheEnd(t *testing.T) {
	j, err := New(Config{Store: &memory{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run, with an ended context: %v", err)
	}
	if err := j.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := j.Flush(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("after Run: %v, want ErrStopped", err)
	}
	if err := j.Run(t.Context()); err == nil {
		t.Error("a second Run ran")
	}
}

func TestEndDrainsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg := &memory{}, prometheus.NewRegistry()
		j, stop := start(t, Config{Store: s, FlushEvery: time.Hour, Registerer: reg, Held: 1000})
		for i := range 2000 {
			j.Record(try(fmt.Sprintf("d%d.com", i), time.Now()))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := s.queries(t); n != 2000 {
			t.Errorf("%d stored, want %d", n, 2000)
		}
		j.Record(try("late.com", time.Now()))
		if n := metric(t, reg, "kinward_journal_lost_total", "stopped"); n != 1 {
			t.Errorf("%v lost after the end, want 1", n)
		}
	})
}

func TestEndIsBoundedWhenTheStoreIsAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store *memory
	}{
		{"the store fails", &memory{err: errAway}},
		{"the store hangs", &memory{wait: make(chan struct{})}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.store.wait != nil {
					tt.store.wait = make(chan struct{}) // of this bubble
				}
				reg := prometheus.NewRegistry()
				j, stop := start(t, Config{Store: tt.store, Registerer: reg})
				j.Record(try("omegle.com", time.Now()))
				time.Sleep(time.Second)
				j.Record(try("omegle.com", time.Now()))
				j.Record(try("tinder.com", time.Now(), count))
				begun := time.Now()
				if err := stop(); err == nil {
					t.Error("Run returned no error")
				}
				if d := time.Since(begun); d > stopTimeout {
					t.Errorf("it took %s, want at most %s", d, stopTimeout)
				}
				if n := metric(t, reg, "kinward_journal_lost_total", "stopped"); n != 3 {
					t.Errorf("%v lost, want 3", n)
				}
			})
		})
	}
}

func TestStoreThatFailsForAWhileLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg, log := &memory{err: errAway}, prometheus.NewRegistry(), &logged{}
		j, _ := start(t, Config{Store: s, Registerer: reg, Logger: log.logger()})
		for i := range 500 {
			j.Record(try(fmt.Sprintf("d%d.com", i%100), time.Now()))
			j.Record(try("tinder.com", time.Now(), count))
			time.Sleep(time.Second)
		}
		s.mu.Lock()
		tried := s.writes
		s.mu.Unlock()
		if tried < 10 || tried > 40 {
			t.Errorf("%d tries in 500 s, want about 500/30 and some quick ones at first", tried)
		}
		if err := j.Flush(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("flush while the store is away: %v", err)
		}
		s.set(nil)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if n := s.queries(t); n != 1000 {
			t.Errorf("%d stored once the store is back, want 1000", n)
		}
		if n := metric(t, reg, "kinward_journal_unwritten_incidents"); n != 0 {
			t.Errorf("%v still unwritten", n)
		}
		if n := strings.Count(log.String(), "does not take"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, log)
		}
		if !strings.Contains(log.String(), "takes incidents again") {
			t.Errorf("the end of the trouble is not logged:\n%s", log)
		}
	})
}

// While the store is away memory is bounded, and the spool holds what comes.
func TestStoreThatStaysAwayCostsNothingButTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg := &memory{}, prometheus.NewRegistry()
		j, _ := start(t, Config{Store: s, Registerer: reg, Held: 10})
		s.set(errAway)
		const n = 100
		for i := range n {
			j.Record(try(fmt.Sprintf("d%d.com", i), time.Now()))
			j.Record(try("d0.com", time.Now()))
			j.Record(try("tinder.com", time.Now(), count))
			time.Sleep(time.Second)
		}
		if w := metric(t, reg, "kinward_journal_unwritten_incidents"); w > 10 {
			t.Errorf("%v incidents wait in memory, want at most 10", w)
		}
		if w := metric(t, reg, "kinward_journal_spool_bytes"); w == 0 {
			t.Error("nothing waits in the spool")
		}
		s.set(nil)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if stored := s.queries(t); stored != 3*n {
			t.Errorf("%d stored, want %d", stored, 3*n)
		}
		if w := metric(t, reg, "kinward_journal_spool_bytes"); w != 0 {
			t.Errorf("%v bytes are left in the spool", w)
		}
	})
}

func TestStoreThatHangsIsGivenUpAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{wait: make(chan struct{})}
		j, _ := start(t, Config{Store: s})
		j.Record(try("omegle.com", time.Now()))
		time.Sleep(writeTimeout + time.Second)
		close(s.wait)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := s.queries(t); n != 1 {
			t.Errorf("%d stored, want 1", n)
		}
	})
}

func TestFullSpoolNeverBlocksAndTheLossIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg, log := &memory{}, prometheus.NewRegistry(), &logged{}
		j, stop := start(t, Config{Store: s, Registerer: reg, Logger: log.logger(), Held: 10, Spool: spool.Config{RingBytes: 64 << 10, DiskBytes: 64 << 10}})
		s.set(errAway)
		lost := func() uint64 {
			return uint64(metric(t, reg, "kinward_journal_lost_total", "ring full") + metric(t, reg, "kinward_journal_lost_total", "spool full"))
		}
		n := uint64(0)
		for n < 5000 || lost() == 0 && n < 1_000_000 { // until it comes faster than it can be put away
			j.Record(try(fmt.Sprintf("d%d.com", n), time.Now()))
			if n++; n%2000 == 0 {
				time.Sleep(time.Second)
			}
		}
		s.set(nil)
		time.Sleep(20 * time.Minute) // ten incidents a batch
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		var told uint64
		for _, l := range s.losses {
			told += l.Count
		}
		if got := s.queries(t); lost() == 0 || got+lost() != n || told != lost() {
			t.Errorf("%d stored, %d lost, %d of them told; want %d together and some lost", got, lost(), told, n)
		}
		if !strings.Contains(log.String(), "attempts were lost") {
			t.Errorf("losses are not logged:\n%s", log)
		}
	})
}

// A write that hangs holds merging back, not recording.
func TestSlowStoreHoldsMergingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg := &memory{wait: make(chan struct{})}, prometheus.NewRegistry()
		j, _ := start(t, Config{Store: s, Registerer: reg, Held: 10})
		j.Record(try("first.com", time.Now()))
		time.Sleep(time.Second) // its write hangs now
		const n = 50
		for i := range n {
			j.Record(try(fmt.Sprintf("d%d.com", i), time.Now()))
			synctest.Wait()
		}
		if w := metric(t, reg, "kinward_journal_unwritten_incidents"); w > 10 {
			t.Errorf("%v incidents wait in memory, want at most 10", w)
		}
		close(s.wait)
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.queries(t); got != n+1 {
			t.Errorf("%d stored, want %d", got, n+1)
		}
	})
}

func TestKeysThatAFormerRunLeftAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		j, stop := start(t, Config{Store: s})
		j.Record(try("omegle.com", time.Now()))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		start(t, Config{Store: s})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s.incidents(t)[0].Open {
			t.Error("an incident of yesterday is still open")
		}
	})
}

func TestRunTakesUpWhatAFormerRunLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		for i, pause := range []time.Duration{0, Gap - time.Minute, Gap} {
			time.Sleep(pause)
			j, stop := start(t, Config{Store: s})
			j.Record(try("omegle.com", time.Now()))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if n, want := len(s.incidents(t)), []int{1, 1, 2}[i]; n != want {
				t.Errorf("run %d, %s after the last: %d incidents, want %d", i, pause, n, want)
			}
		}
	})
}

func TestRunGoesOnWithoutWhatItCannotTakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := &memory{err: errAway}, &logged{}
		j, _ := start(t, Config{Store: s, Logger: log.logger()})
		synctest.Wait()
		s.set(nil)
		j.Record(try("omegle.com", time.Now()))
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "cannot be taken up") {
			t.Errorf("not logged:\n%s", log)
		}
	})
}

func TestEndedIncidentsLoseTheirKeyAndAnIdleJournalSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		j, _ := start(t, Config{Store: s})
		j.Record(try("omegle.com", time.Now()))
		time.Sleep(time.Minute)
		synctest.Wait()
		if !s.incidents(t)[0].Open {
			t.Error("closed after a minute")
		}
		time.Sleep(Gap + 3*time.Minute)
		synctest.Wait()
		if s.incidents(t)[0].Open {
			t.Error("still open when it cannot grow any more")
		}
		before := s.writes
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if s.writes != before {
			t.Errorf("%d writes on an idle day, want none", s.writes-before)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a journal without a store was made")
	}
	if _, err := New(Config{Store: &memory{}, Held: -1}); err == nil {
		t.Error("a negative bound was taken")
	}
	reg := prometheus.NewRegistry()
	c := Config{Store: &memory{}, Registerer: reg}
	if _, err := New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Error("two journals share one registry")
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	if _, err := New(Config{Store: &memory{}, Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	j, err := New(Config{Store: &memory{}, Spool: spool.Config{RingBytes: 64 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	a := try("www.omegle.com", noon, omegle)
	if n := testing.AllocsPerRun(1000, func() { j.Record(a) }); n != 0 { // half of them find the ring full
		t.Errorf("Record allocates %v times, want 0", n)
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, bb := range []struct {
		name     string
		services int
		change   []func(*policy.Attempt)
	}{
		{"one service", 1, []func(*policy.Attempt){omegle}},
		{"1000 domains", 1000, nil},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var in []policy.Attempt
			for i := range bb.services {
				in = append(in, try(fmt.Sprintf("www.d%d.com", i), noon, bb.change...))
			}
			m := newMerger(defaultOpen)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				a := in[n%len(in)]
				a.Time = noon.Add(time.Duration(n) * 10 * time.Microsecond)
				m.add(&a, spool.Encoded{})
				if n++; n%25_000 == 0 { // a flush every 250 ms at 100,000 a second
					for m.waits() {
						m.take()
						m.committed()
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "attempts/s")
		})
	}
}

// What an open incident of one name takes, for Config.Open.
func BenchmarkOpenIncident(b *testing.B) {
	const n = 10_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newMerger(n)
		for i := range n {
			a := try(fmt.Sprintf("www.d%d.com", i), noon)
			m.add(&a, spool.Encoded{})
		}
		for m.waits() {
			m.take()
			m.committed()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/incident")
		runtime.KeepAlive(m)
	}
}

// A store that takes long is written to seldom, and not kept busy with the same rows;
// one that is quick is written to at once. Who flushes waits for neither.
func TestStoreRests(t *testing.T) {
	for _, c := range []struct{ takes, between time.Duration }{
		{time.Millisecond, 250 * time.Millisecond},
		{30 * time.Millisecond, 3 * time.Second},
		{time.Second, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &memory{takes: c.takes}
			j, _ := start(t, Config{Store: s})
			const span = time.Minute
			for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				j.Record(try("omegle.com", time.Now()))
			}
			most := int(span/(c.between+c.takes)) + 2
			s.mu.Lock()
			n := s.writes
			s.mu.Unlock()
			if n > most || n < most/2 {
				t.Errorf("%d writes of %v in %v, wanted about one in %v", n, c.takes, span, c.between+c.takes)
			}
			j.Record(try("other.com", time.Now()))
			begun := time.Now()
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 2*c.takes {
				t.Errorf("a flush took %v", took)
			}
		})
	}
}
