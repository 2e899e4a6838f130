package signals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// shelf is a Store in memory of one family, whose incidents are VPN look-ups.
type shelf struct {
	mu      sync.Mutex
	family  *policy.Family
	rows    []journal.Row // each a batch of its own
	cursor  uint64
	memory  []byte
	signals map[string]journal.SignalRow
	err     error
	writes  int
	looks   int
	follows int
	takes   time.Duration // Changed does
}

func (s *shelf) Changed(_ context.Context, after uint64, limit int) ([]journal.Row, uint64, error) {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follows++
	end := min(uint64(len(s.rows)), after+uint64(limit))
	return s.rows[after:end], end, s.err
}

func (s *shelf) SignalCursor(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor, s.err
}

func (s *shelf) SignalMemory(context.Context, policy.FamilyID, policy.ProfileID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory, s.err
}

func (s *shelf) SignalHistory(context.Context, policy.FamilyID, policy.ProfileID, uint64) (time.Time, []journal.Incident, error) {
	return time.Time{}, nil, nil
}

func (s *shelf) Family(_ context.Context, id policy.FamilyID) (*policy.Family, uint64, error) {
	if id != s.family.ID {
		return nil, 0, fmt.Errorf("reading family %d: %w", id, policy.ErrNotFound)
	}
	return s.family, 1, nil
}

func (s *shelf) Seen(context.Context, policy.FamilyID) (map[policy.DeviceID]time.Time, error) {
	return nil, nil
}

func (s *shelf) Silences(context.Context, time.Time, int) ([]Silence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return nil, s.err
}

func (s *shelf) WriteSignals(_ context.Context, b Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.writes++
	if b.Cursor != b.After {
		if b.After != s.cursor {
			return errors.New("out of order")
		}
		s.cursor = b.Cursor
	}
	for _, m := range b.Memories {
		s.memory = m.Memory
	}
	for _, r := range b.Signals {
		if _, ok := s.signals[r.ID]; !ok {
			s.signals[r.ID] = r
		}
	}
	return nil
}

func (s *shelf) add(id string, family policy.FamilyID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, journal.Row{
		Family: family, ID: id, Profile: 1, Device: 7, First: at, Last: at,
		Details: fmt.Appendf(nil, `{"v":1,"verdict":"block","reason":"category","category":"vpn-proxy","bypass":"attempt","domain":"%s.com","names":[],"types":[]}`, id),
	})
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) told() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.signals)
}

// TestWatcher: it follows at once what the journal stored, goes on after a store
// that was away, passes over families that are gone and rows that cannot be read,
// tells tunnels, wakes who follows it, and ends when it is told to.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{family: home(t), signals: map[string]journal.SignalRow{}}
		changes := make(chan struct{}, 1)
		tunnels := NewTunnels()
		registry := prometheus.NewPedanticRegistry()
		w, err := New(Config{Store: s, Changes: changes, Tunnels: tunnels, Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		s.add("before", 1, time.Now()) // what came before the start
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if s.told() != 1 {
			t.Fatalf("at the start %d were told", s.told())
		}

		s.add("a", 1, time.Now())
		s.add("gone", 99, time.Now())
		s.rows = append(s.rows, journal.Row{Family: 1, ID: "unreadable", Profile: 1, Details: []byte("{")})
		s.add("b", 1, time.Now())
		changes <- struct{}{}
		synctest.Wait()
		if s.told() != 3 {
			t.Errorf("after a change %d were told", s.told())
		}

		s.fail(errors.New("the disk is full"))
		s.add("c", 1, time.Now())
		changes <- struct{}{}
		tunnels.found <- Found{At: time.Now(), Family: 1, Profile: 1, Device: 7, Domain: blocklists.MustName("example.com"), Names: 500}
		synctest.Wait()
		s.fail(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s.told() != 5 {
			t.Errorf("after the store was away %d were told, want one more and a tunnel", s.told())
		}
		s.mu.Lock()
		writes, looks := s.writes, s.looks
		s.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		s.mu.Lock()
		if s.writes != writes || s.looks != looks+60 {
			t.Errorf("in an idle hour it wrote %d times and looked %d times for silence", s.writes-writes, s.looks-looks)
		}
		s.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}

		want := `# HELP kinward_signals_followed_total Incidents that were looked at, once for each time that they changed.
# TYPE kinward_signals_followed_total counter
kinward_signals_followed_total 6
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "kinward_signals_followed_total"); err != nil {
			t.Error(err)
		}
	})
}

// TestListenKnowsThatTheMachineSlept: the time between two looks is the wall's, since
// the other clock stands still while a machine sleeps. A clock that was set back counts
// as sleep too: nobody was heard in the time that it says.
func TestListenKnowsThatTheMachineSlept(t *testing.T) {
	now := time.Now()
	s := &shelf{family: home(t), signals: map[string]journal.SignalRow{}}
	w, err := New(Config{Store: s, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	listen := func() {
		t.Helper()
		if err := w.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	listen()
	if w.ticked != now.Round(0) {
		t.Error("the last look is not kept by the wall's clock")
	}
	for _, tt := range []struct {
		by    time.Duration
		slept bool
	}{{time.Minute, false}, {time.Hour, true}, {-time.Minute, false}, {-time.Hour, true}} {
		before := w.awake
		now = now.Add(tt.by)
		if listen(); w.awake.Equal(before) == tt.slept {
			t.Errorf("%v later: slept %t, want %t", tt.by, !tt.slept, tt.slept)
		}
	}
}

// TestWatcherRests: where looking at what changed takes long it looks seldom, and still
// once a minute; what changed meanwhile is told.
func TestWatcherRests(t *testing.T) {
	for _, tt := range []struct {
		takes    time.Duration
		min, max int // times that it looks in ten minutes of a change each 100 ms
	}{
		{0, 5900, 6100},
		{time.Millisecond, 5000, 6100},    // it and its rest are 101 ms
		{20 * time.Millisecond, 250, 400}, // 2 s
		{2 * time.Second, 8, 60},          // a minute; and the tick's, and each may look twice, whether that was all
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{family: home(t), signals: map[string]journal.SignalRow{}, takes: tt.takes}
			changes := make(chan struct{}, 1)
			w, err := New(Config{Store: s, Changes: changes})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- w.Run(ctx) }()
			for range 6000 {
				select {
				case changes <- struct{}{}:
				default:
				}
				time.Sleep(100 * time.Millisecond)
			}
			s.add("last", 1, time.Now())
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if s.told() != 1 {
				t.Errorf("%v: what changed last was not told", tt.takes)
			}
			cancel()
			<-ended
			if s.follows < tt.min || s.follows > tt.max {
				t.Errorf("looking takes %v: it looked %d times, want %d to %d", tt.takes, s.follows, tt.min, tt.max)
			}
		})
	}
}

// TestTunnelIsToldOnceAcrossRestarts: a detector that forgot what it told finds the
// tunnel again, and the store has it already; a family that does not want to hear of
// tunnels does not.
func TestTunnelIsToldOnceAcrossRestarts(t *testing.T) {
	s := &shelf{family: home(t), signals: map[string]journal.SignalRow{}}
	f := Found{At: noon, Family: 1, Profile: 1, Device: 7, Domain: blocklists.MustName("example.com"), Names: 500}
	for k := range 3 {
		w, err := New(Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		f.At = noon.Add(time.Duration(k) * time.Hour)
		w.found = append(w.found, f)
		if err := w.dig(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.told() != 1 {
		t.Errorf("%d were told", s.told())
	}
	s = &shelf{family: home(t), signals: map[string]journal.SignalRow{}}
	s.family.SignalsOff = []string{policy.SignalTunnel}
	w, _ := New(Config{Store: s})
	w.found = append(w.found, f)
	if err := w.dig(t.Context()); err != nil || s.told() != 0 {
		t.Errorf("switched off, %d were told, %v", s.told(), err)
	}
}
