// Package journal turns attempts into incidents: what a guardian reads.
//
// The data plane hands every decided look-up that is worth keeping to
// [Journal.Record], which never waits. [Journal.Run] merges attempts that belong
// together and writes the incidents to a [Store] in batches. DESIGN.md tells why
// they are merged this way and what is kept.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
)

const (
	// Gap without an attempt ends an incident. Phones retry a blocked app for
	// some minutes after it was left, and a person who comes back after ten has
	// begun something new.
	Gap = 10 * time.Minute

	// Window is how long look-ups count as one try. A page or an app asks A,
	// AAAA and HTTPS of several names at once, and a stub resolver that dislikes
	// the answer asks again within 5 s (resolv.conf's default timeout).
	Window = 5 * time.Second
)

const (
	defaultQueue = 8192   // 2 MB of attempts: more than a second of a busy school
	defaultOpen  = 20_000 // some 10 MB when full, which only a device gone mad fills in a home
	defaultFlush = 250 * time.Millisecond
	maxBatch     = 1000 // incidents a transaction: 10 to 20 ms as measured, so that nobody waits long for the writer
	minuteEvery  = time.Minute
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	writeTimeout = 10 * time.Second // a store that hangs longer counts as away
	stopTimeout  = 5 * time.Second  // systemd gives 90 s, containers 10
	loadTimeout  = 5 * time.Second
)

// ErrStopped is what Flush returns once Run has ended.
var ErrStopped = errors.New("the journal has stopped")

// Config is what a journal is made of. Zero values mean the defaults.
type Config struct {
	Store      Store                 // required
	Seen       SeenStore             // nil: when devices asked last is kept in memory only
	Logger     *slog.Logger          // nil discards; never told a name, a device or a family
	Registerer prometheus.Registerer // nil: the metrics are not exported
	Now        func() time.Time      // default time.Now; says when open incidents have ended
	Queue      int                   // attempts that wait for merging, and incidents that wait for a store that is away; default 8192
	Open       int                   // incidents that can still grow; default 20,000
	FlushEvery time.Duration         // how long a change waits for its batch; default 250 ms
}

// Journal merges attempts and writes incidents. All methods are safe for
// concurrent use.
type Journal struct {
	store      Store
	seenStore  SeenStore
	seen       *seen
	log        *slog.Logger
	now        func() time.Time
	limit      int // see Config.Queue
	open       int
	flushEvery time.Duration
	metrics    *metrics

	queue     chan policy.Attempt
	queueLost atomic.Uint64 // not yet reported in the log
	flushes   chan chan error
	started   atomic.Bool
	stopped   atomic.Bool
	changes   chan struct{}
	done      chan struct{} // closed when Run has ended
}

// New makes a journal. Attempts can be recorded at once; they are merged while
// [Journal.Run] runs.
func New(c Config) (*Journal, error) {
	if c.Store == nil {
		return nil, errors.New("making a journal: it needs a store")
	}
	if c.Queue < 0 || c.Open < 0 || c.FlushEvery < 0 {
		return nil, fmt.Errorf("making a journal: queue %d, open %d and flush %s must not be negative", c.Queue, c.Open, c.FlushEvery)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.Open == 0 {
		c.Open = defaultOpen
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = defaultFlush
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("making a journal: %w", err)
	}
	return &Journal{
		store: c.Store, seenStore: c.Seen, seen: newSeen(), log: c.Logger, now: c.Now,
		limit: c.Queue, open: c.Open, flushEvery: c.FlushEvery,
		metrics: m,
		queue:   make(chan policy.Attempt, c.Queue),
		flushes: make(chan chan error),
		changes: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}, nil
}

// Record hands over one attempt and returns at once: it never waits, does not
// allocate and cannot fail. If the queue is full, or Run has ended, the attempt
// is counted in kinward_journal_lost_total and the count is logged once a
// minute. The strings of a are kept, so they must not lie in a buffer that is
// used again.
func (j *Journal) Record(a policy.Attempt) {
	if j.stopped.Load() {
		j.metrics.lostStopped.Inc()
		return
	}
	select {
	case j.queue <- a:
	default:
		j.metrics.lostQueue.Inc()
		j.queueLost.Add(1)
	}
}

// Changes receives once something was stored since it last did, so that who
// follows incidents need not poll. It is for one receiver, which must look for
// itself what is new, and is never closed.
func (j *Journal) Changes() <-chan struct{} { return j.changes }

// Flush returns when everything that was recorded before the call is in the
// store, lost attempts excepted (they are counted). It tries the store at once
// even while that is being spared after an error, and returns its error if the
// write does not succeed; nothing is lost by that, and the journal goes on
// trying. Before Run has begun Flush waits for it; after Run has ended the error
// wraps [ErrStopped].
func (j *Journal) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case j.flushes <- answer:
	case <-j.done:
		return fmt.Errorf("flushing the journal: %w", ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("flushing the journal: %w", ctx.Err())
	}
	select {
	case err := <-answer: // Run answers every request that it took, even as it ends
		if err != nil {
			return fmt.Errorf("flushing the journal: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flushing the journal: %w", ctx.Err())
	}
}
