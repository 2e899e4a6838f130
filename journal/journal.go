// Package journal turns attempts into incidents: what a guardian reads.
//
// The data plane hands every decided look-up that is worth keeping to
// [Journal.Record], which never waits and puts it where a killed process does not
// lose it (package spool). [Journal.Run] merges attempts that belong together and
// writes the incidents to a [Store] in batches. DESIGN.md tells why
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

	"kinward/journal/spool"
	"kinward/policy"
)

// Gap without an attempt ends an incident. Phones retry a blocked app for some
// minutes after it was left, and a person who comes back after ten has begun
// something new.
const Gap = 10 * time.Minute

const (
	defaultHeld  = 16_384 // incidents; half of them took the store's one writer some 200 ms
	defaultOpen  = 20_000 // some 10 MB when full, which only a device gone mad fills in a home
	defaultFlush = 250 * time.Millisecond
	maxSeen      = 1000 // devices a transaction
	minuteEvery  = time.Minute
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	writeTimeout = 10 * time.Second // a store that hangs longer counts as away
	stopTimeout  = 5 * time.Second  // systemd gives 90 s, containers 10
	loadTimeout  = 5 * time.Second
	eraseTimeout = 30 * time.Second
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
	Spool      spool.Config          // where attempts wait for the store; without a folder what is not stored ends with the process
	Held       int                   // changed incidents that wait in memory for the store; then the spool holds what comes; default 16,384
	Open       int                   // incidents that can still grow; default 20,000
	FlushEvery time.Duration         // how long a change waits for its batch, longer where batches take long; default 250 ms
}

// Journal merges attempts and writes incidents. All methods are safe for
// concurrent use.
type Journal struct {
	store      Store
	seenStore  SeenStore
	seen       *seen
	log        *slog.Logger
	now        func() time.Time
	held       int // see Config.Held
	open       int
	flushEvery time.Duration
	metrics    *metrics

	spool   *spool.Spool
	flushes chan chan error
	erases  chan erasure
	started atomic.Bool
	stopped atomic.Bool
	changes chan struct{}
	done    chan struct{} // closed when Run has ended
}

// New makes a journal, and opens its spool at the position that the store tells.
// Attempts can be recorded at once; they are merged while [Journal.Run] runs.
func New(c Config) (*Journal, error) {
	if c.Store == nil {
		return nil, errors.New("making a journal: it needs a store")
	}
	if c.Held < 0 || c.Open < 0 || c.FlushEvery < 0 {
		return nil, fmt.Errorf("making a journal: held %d, open %d and flush %s must not be negative", c.Held, c.Open, c.FlushEvery)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Held == 0 {
		c.Held = defaultHeld
	}
	if c.Open == 0 {
		c.Open = defaultOpen
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = defaultFlush
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	var err error
	if c.Spool.Position, err = c.Store.Position(ctx); err != nil {
		return nil, fmt.Errorf("making a journal: %w", err)
	}
	c.Spool.Logger = c.Logger
	s, err := spool.Open(c.Spool)
	if err != nil {
		return nil, fmt.Errorf("making a journal: %w", err)
	}
	m, err := newMetrics(c.Registerer, s)
	if err != nil {
		return nil, fmt.Errorf("making a journal: %w", err)
	}
	return &Journal{
		store: c.Store, seenStore: c.Seen, seen: newSeen(), log: c.Logger, now: c.Now,
		held: c.Held, open: c.Open, flushEvery: c.FlushEvery,
		metrics: m,
		spool:   s,
		flushes: make(chan chan error),
		erases:  make(chan erasure),
		changes: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}, nil
}

// Record keeps one attempt: once it has returned, the attempt survives the end of
// the process, however it comes, and soon the loss of power (see package spool).
// It never waits, does not allocate and cannot fail. Where there is no room, or
// Run has ended, the attempt is counted in kinward_journal_lost_total, and the
// time in which that happened is told by a [Loss].
func (j *Journal) Record(a policy.Attempt) {
	if j.stopped.Load() {
		j.metrics.lostStopped.Inc()
		return
	}
	j.spool.Record(&a)
}

// RingPlace returns the file in which the newest attempts lie, "" where they end
// with the process, and whether recording can never wait for a disk.
func (j *Journal) RingPlace() (path string, memory bool) { return j.spool.RingPlace() }

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

// erasure is a call of Erase.
type erasure struct {
	family  policy.FamilyID
	profile policy.ProfileID
	answer  chan<- error
}

// Erase forgets what was recorded before the call of a profile, or of the whole
// family where profile is 0, and is not in the store yet: in memory and in the
// spool alike. Afterwards the caller erases it from the store, where it may have
// got meanwhile; no later batch brings it back. An incident of the profile that
// was open does not go on: a later attempt opens another. Where it fails it can be
// called again.
func (j *Journal) Erase(ctx context.Context, family policy.FamilyID, profile policy.ProfileID) error {
	answer := make(chan error, 1)
	select {
	case j.erases <- erasure{family, profile, answer}:
	case <-j.done:
		return fmt.Errorf("erasing from the journal: %w", ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("erasing from the journal: %w", ctx.Err())
	}
	select {
	case err := <-answer: // Run answers every request that it took
		if err != nil {
			return fmt.Errorf("erasing from the journal: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("erasing from the journal: %w", ctx.Err())
	}
}
