package journal

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/policy"
)

// sightings is a SeenStore in memory.
type sightings struct {
	mu      sync.Mutex
	err     error
	batches [][]Sighting
}

func (s *sightings) WriteSeen(_ context.Context, batch []Sighting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.batches = append(s.batches, batch)
	return nil
}

func (s *sightings) take() [][]Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.batches
	s.batches = nil
	return out
}

func (s *sightings) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// TestSeenIsWrittenOnceAMinute: whatever a device asks, the store hears of it once
// a minute, and of nothing while nobody asks.
func TestSeenIsWrittenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sightings{}
		j, stop := start(t, Config{Store: &memory{}, Seen: s})
		begin := time.Now().Truncate(time.Minute).Add(time.Minute)
		time.Sleep(time.Until(begin))
		for time.Since(begin) < 2*time.Minute {
			j.Seen(1, 2, time.Now())
			time.Sleep(700 * time.Millisecond) // never at the moment of a write
		}
		synctest.Wait()
		got := s.take()
		want := [][]Sighting{{{1, 2, begin.UTC()}}, {{1, 2, begin.Add(time.Minute).UTC()}}}
		if len(got) == 1 { // the second minute's is due a minute after it began
			time.Sleep(time.Minute)
			synctest.Wait()
			got = append(got, s.take()...)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the store got (-want +got):\n%s", d)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := s.take(); len(got) != 0 {
			t.Errorf("on a quiet day the store got %v", got)
		}
		if got := j.LastSeen(1, 2); !got.Equal(begin.Add(time.Minute)) {
			t.Errorf("last seen %v, want %v", got, begin.Add(time.Minute))
		}
		if got := j.LastSeen(2, 2); !got.IsZero() {
			t.Errorf("another family's device 2 was seen at %v", got)
		}
		j.Seen(1, 3, time.Now())
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := s.take(); len(got) != 1 || got[0][0].Device != 3 {
			t.Errorf("at the end the store got %v, want device 3", got)
		}
	})
}

// TestSeenWaitsForItsStore: what a store did not take is offered again, as it is by
// then.
func TestSeenWaitsForItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sightings{err: errors.New("away")}
		j, _ := start(t, Config{Store: &memory{}, Seen: s})
		j.Seen(1, 2, time.Now())
		time.Sleep(5 * time.Minute)
		later := time.Now()
		j.Seen(1, 2, later)
		s.fail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want := [][]Sighting{{{1, 2, later.Truncate(time.Minute).UTC()}}}
		if d := cmp.Diff(want, s.take()); d != "" {
			t.Errorf("the store got (-want +got):\n%s", d)
		}
	})
}

// TestSeenAfterAClockThatWasAhead: a device that asks after a clock was set back is
// seen then, and the store hears of it.
func TestSeenAfterAClockThatWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sightings{}
		j, stop := start(t, Config{Store: &memory{}, Seen: s})
		now := time.Now().Truncate(time.Minute)
		j.Seen(1, 2, now.AddDate(1, 0, 0))
		time.Sleep(2 * time.Minute)
		j.Seen(1, 2, now)
		if got := j.LastSeen(1, 2); !got.Equal(now) {
			t.Errorf("last seen %v, want %v", got, now)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := [][]Sighting{{{1, 2, now.AddDate(1, 0, 0).UTC()}}, {{1, 2, now.UTC()}}}
		if d := cmp.Diff(want, s.take()); d != "" {
			t.Errorf("the store got (-want +got):\n%s", d)
		}
	})
}

// TestSeenByMany: the table grows under questions without losing a device, and a
// clock that goes back by an hour changes nothing.
func TestSeenByMany(t *testing.T) {
	j, err := New(Config{Store: &memory{}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(60*1000, 0)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for f := range policy.FamilyID(100) {
				for d := range policy.DeviceID(50) {
					j.Seen(f, d, at)
					j.Seen(f, d, at.Add(-time.Hour))
				}
			}
		})
	}
	all.Wait()
	for f := range policy.FamilyID(100) {
		for d := range policy.DeviceID(50) {
			if got := j.LastSeen(f, d); !got.Equal(at) {
				t.Fatalf("device %d of family %d was seen at %v, want %v", d, f, got, at)
			}
		}
	}
	if j.seen.n != 5000 {
		t.Errorf("%d entries for 5,000 devices", j.seen.n)
	}
}

func TestSeenDoesNotAllocate(t *testing.T) {
	j, err := New(Config{Store: &memory{}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(0, 0)
	j.Seen(1, 2, at)
	if n := testing.AllocsPerRun(1000, func() { at = at.Add(time.Minute); j.Seen(1, 2, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	j, err := New(Config{Store: &memory{}})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Unix(6000, 0)
	b.ReportAllocs()
	for b.Loop() {
		j.Seen(1, 2, at)
	}
}
