package journal

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"kinward/blocklists"
	"kinward/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store that can be broken.
type memory struct {
	mu     sync.Mutex
	rows   map[string]Row
	counts map[Count]tally // by its key fields
	writes int
	pos    Position
	losses []Loss
	err    error         // of every call
	wait   chan struct{} // where set, a write waits for it or its context
	takes  time.Duration // how long a write takes
}

func (s *memory) OpenIncidents(_ context.Context, since time.Time, limit int) ([]Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	var out []Row
	for _, r := range s.rows {
		if r.Key != "" && !r.Last.Before(since) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Row) int { return b.Last.Compare(a.Last) })
	return out[:min(limit, len(out))], nil
}

func (s *memory) Position(context.Context) (Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos, nil
}

func (s *memory) Write(ctx context.Context, b Batch) error {
	s.mu.Lock()
	wait, takes := s.wait, s.takes
	s.mu.Unlock()
	time.Sleep(takes)
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return s.err
	}
	if s.rows == nil {
		s.rows, s.counts = map[string]Row{}, map[Count]tally{}
	}
	for _, r := range b.Rows {
		s.rows[r.ID] = r
	}
	for _, c := range b.Counts {
		k := Count{Family: c.Family, Profile: c.Profile, Category: c.Category, Day: c.Day}
		t := s.counts[k]
		s.counts[k] = tally{t.tries + c.Tries, t.queries + c.Queries}
	}
	s.losses = append(s.losses, b.Losses...)
	if b.Position != (Position{}) {
		s.pos = b.Position
	}
	for id, r := range s.rows {
		if r.Last.Before(b.CloseBefore) {
			r.Key = ""
			s.rows[id] = r
		}
	}
	return nil
}

func (s *memory) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// incidents returns what is stored, oldest first.
func (s *memory) incidents(t testing.TB) (out []Incident) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		i, err := r.Incident()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Incident) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		if c := strings.Compare(a.Verdict+a.Domain+a.Service, b.Verdict+b.Domain+b.Service); c != 0 {
			return c
		}
		return cmp.Compare(a.Queries, b.Queries)
	})
	return out
}

func (s *memory) queries(t testing.TB) (n uint64) {
	t.Helper()
	for _, i := range s.incidents(t) {
		n += i.Queries
	}
	for _, c := range s.counts {
		n += c.queries
	}
	return n
}

// start runs a journal until the test or stop ends it.
func start(t testing.TB, c Config) (j *Journal, stop func() error) {
	t.Helper()
	j, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	return j, stop
}

// metric returns the value of a counter or gauge; labels are its values.
func metric(t testing.TB, g prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("metric %s%q is not exported", name, labels)
	return 0
}

// logged is a log that tests read.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

const (
	typeA     = 1
	typeAAAA  = 28
	typeHTTPS = 65
)

var (
	errAway = errors.New("disk on fire")
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// try makes an attempt that was blocked and is recorded.
func try(name string, at time.Time, change ...func(*policy.Attempt)) policy.Attempt {
	a := policy.Attempt{
		Time: at, Family: 1, Profile: 2, Device: 3,
		Client: netip.MustParseAddr("192.168.1.20"),
		Name:   blocklists.MustName(name), Type: typeA,
		Verdict: policy.Verdict{
			Action: policy.Block, Reason: policy.ByCategory, Keep: policy.KeepItem,
			Label: blocklists.Label{Category: blocklists.AnonymousChat, Depth: 2},
		},
		List: "catalogue", Revision: 7,
	}
	for _, c := range change {
		c(&a)
	}
	return a
}

func omegle(a *policy.Attempt)  { a.Service = "omegle" }
func watched(a *policy.Attempt) { a.Verdict.Action = policy.Watch }
func asQuiet(a *policy.Attempt) { a.Verdict.Quiet = true }
func count(a *policy.Attempt) {
	a.Verdict.Keep = policy.KeepCount
	a.Verdict.Label.Category = blocklists.Dating
}

func typed(t uint16) func(*policy.Attempt) { return func(a *policy.Attempt) { a.Type = t } }

func device(id policy.DeviceID) func(*policy.Attempt) {
	return func(a *policy.Attempt) { a.Device = id }
}

func from(addr string) func(*policy.Attempt) {
	return func(a *policy.Attempt) { a.Device, a.Client = 0, netip.MustParseAddr(addr) }
}
