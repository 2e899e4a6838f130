// Package signals tells what incidents show together: a service that is new to a
// profile, several to chat with strangers, a VPN after a new service, a device that
// nobody knows, or that has gone silent; and it finds tunnels, which show in no
// single question. A signal is a hint for a talk and never a finding.
//
// The [Watcher] follows the journal's batches by their numbers and keeps how far it
// has come in the transaction that keeps the signals, so a signal is neither missed
// nor told twice, whatever happens in between. DESIGN.md tells the rest.
package signals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/journal"
	"kinward/policy"
)

const (
	batchRows  = 500 // incidents that are looked at in one transaction, at least where there are so many
	batchDue   = 200 // silent devices, the same
	everyTick  = time.Minute
	overslept  = 5 * time.Minute // a machine that slept for so long heard nobody
	lookAgain  = time.Hour
	ioTimeout  = 10 * time.Second
	maxBatches = 1000 // in a row, before silence has its turn
)

// Config is what a watcher is made of.
type Config struct {
	Store Store // required
	// Changes wakes the watcher when the journal stored something; nil: it looks once
	// a minute.
	Changes <-chan struct{}
	// LastSeen returns when a device asked last, as far as the journal knows and the
	// store may not yet; nil: the store knows all.
	LastSeen   func(policy.FamilyID, policy.DeviceID) time.Time
	Tunnels    *Tunnels              // nil: none are found
	Logger     *slog.Logger          // nil discards; never told a name
	Registerer prometheus.Registerer // nil: the metrics are not exported
	Now        func() time.Time      // default time.Now
}

// Watcher follows incidents and writes signals.
type Watcher struct {
	c       Config
	metrics *metrics

	found  []Found // tunnels that are not told yet
	cursor uint64
	began  bool      // cursor was read
	awake  time.Time // everybody has been heard since then
	ticked time.Time
	failed bool // the last round did, and that was logged
}

// New makes a watcher.
func New(c Config) (*Watcher, error) {
	if c.Store == nil {
		return nil, errors.New("making a watcher: it needs a store")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tunnels == nil {
		c.Tunnels = &Tunnels{}
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("making a watcher: %w", err)
	}
	c.Tunnels.drops = m.dropped.Inc
	return &Watcher{c: c, metrics: m}, nil
}

// Run follows incidents until ctx ends, looks each minute for silence, and returns
// nil. A store that fails is tried again at the next change, or in a minute. Run can
// run once.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(everyTick)
	defer tick.Stop()
	w.awake = w.c.Now()
	w.ticked = w.awake
	rested := time.NewTimer(w.follow(ctx)) // what came before the start
	defer rested.Stop()
	var changes <-chan struct{} // nil while it rests
	for {
		select {
		case <-rested.C:
			changes = w.c.Changes
		case <-changes:
			changes = nil
			rested.Reset(w.follow(ctx))
		case f := <-w.c.Tunnels.Found():
			w.found = append(w.found, f)
			w.round(ctx, w.dig)
		case <-tick.C:
			w.round(ctx, w.Follow)
			w.round(ctx, w.dig)
			w.round(ctx, w.Listen)
		case <-ctx.Done():
			return nil
		}
	}
}

// follow is a round of Follow. It returns how long to rest after it, so that no more
// than a hundredth of the time goes into signals: at home a few milliseconds, but where
// thousands of incidents grow all the time each would be looked at after each write.
func (w *Watcher) follow(ctx context.Context) time.Duration {
	began := time.Now()
	w.round(ctx, w.Follow)
	return min(100*time.Since(began), everyTick)
}

// round does one piece of work, and tells once that it fails.
func (w *Watcher) round(ctx context.Context, work func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	err := work(ctx)
	switch {
	case err != nil && ctx.Err() == nil || errors.Is(err, context.DeadlineExceeded):
		w.metrics.errors.Inc()
		if !w.failed {
			w.c.Logger.Error("signals cannot be told; they are later", "error", err)
		}
		w.failed = true
	case err == nil && w.failed:
		w.c.Logger.Info("signals are told again")
		w.failed = false
	}
}

// Follow looks at all incidents that changed since it last did. Run calls it; who
// drives a watcher by hand must not run it.
func (w *Watcher) Follow(ctx context.Context) error {
	if !w.began {
		var err error
		if w.cursor, err = w.c.Store.SignalCursor(ctx); err != nil {
			return err
		}
		w.began = true
	}
	for range maxBatches {
		rows, last, err := w.c.Store.Changed(ctx, w.cursor, batchRows)
		if err != nil || last == w.cursor {
			return err
		}
		b, err := w.batch(ctx, rows)
		if err != nil {
			return err
		}
		b.After, b.Cursor = w.cursor, last
		if err := w.write(ctx, b); err != nil {
			w.began = false // it may have been written all the same
			return err
		}
		w.cursor = last
		w.metrics.followed.Add(float64(len(rows)))
	}
	return nil
}

// write writes a batch and counts what it tells.
func (w *Watcher) write(ctx context.Context, b Batch) error {
	if err := w.c.Store.WriteSignals(ctx, b); err != nil {
		return err
	}
	for _, s := range b.Signals {
		w.metrics.told(s.Kind)
	}
	for _, s := range b.Settled {
		if s.Signal != nil {
			w.metrics.told(s.Signal.Kind)
		}
	}
	return nil
}

// profileOf is a profile of a family.
type profileOf struct {
	family  policy.FamilyID
	profile policy.ProfileID
}

// batch says what rows show.
func (w *Watcher) batch(ctx context.Context, rows []journal.Row) (b Batch, err error) {
	var order []profileOf
	of := map[profileOf][]journal.Incident{}
	for _, r := range rows {
		i, err := r.Incident()
		if err != nil {
			w.c.Logger.Warn("an incident cannot be read and shows nothing", "error", err)
			continue
		}
		k := profileOf{i.Family, i.Profile}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], i)
	}
	families := map[policy.FamilyID]*policy.Family{}
	for _, k := range order {
		f, ok := families[k.family]
		if !ok {
			f, _, err = w.c.Store.Family(ctx, k.family)
			if err != nil && !errors.Is(err, policy.ErrNotFound) {
				return b, err
			}
			families[k.family] = f
		}
		if f == nil { // removed meanwhile
			continue
		}
		m, before, err := w.memory(ctx, k)
		if err != nil {
			return b, err
		}
		for _, s := range (rules{f, zoneOf(f)}).apply(m, of[k]) {
			b.Signals = append(b.Signals, s.Row())
		}
		b.Memories = append(b.Memories, Remembered{k.family, k.profile, before, m.encode()})
	}
	return b, nil
}

// memory returns what is remembered of a profile, and how it is kept. At its first incident that is
// what the store has from before there were signals.
func (w *Watcher) memory(ctx context.Context, k profileOf) (m *memory, kept []byte, err error) {
	if kept, err = w.c.Store.SignalMemory(ctx, k.family, k.profile); err != nil {
		return nil, nil, err
	}
	if kept != nil {
		if m, err = decodeMemory(kept); err == nil {
			return m, kept, nil
		}
		w.c.Logger.Warn("what was remembered of a profile is made anew", "error", err)
	}
	made, past, err := w.c.Store.SignalHistory(ctx, k.family, k.profile, w.cursor)
	if err != nil {
		return nil, nil, err
	}
	if made.IsZero() {
		made = w.c.Now()
	}
	m = newMemory(made)
	for _, i := range past {
		m.learn(i)
	}
	return m, kept, nil
}

// dig tells of the tunnels that were found. What the store does not take waits: a
// tunnel is found but once a day.
func (w *Watcher) dig(ctx context.Context) error {
	for len(w.found) > 0 {
		if err := w.tunnel(ctx, w.found[0]); err != nil {
			w.found = w.found[max(0, len(w.found)-maxFound):]
			return err
		}
		w.found = w.found[1:]
	}
	return nil
}

// tunnel tells of one that was found, once a day and device.
func (w *Watcher) tunnel(ctx context.Context, f Found) error {
	family, _, err := w.c.Store.Family(ctx, f.Family)
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p := family.ProfileByID(f.Profile)
	if p == nil || p.Guests || !family.Signals(policy.SignalTunnel) {
		return nil
	}
	at := f.At.UTC().Truncate(time.Millisecond)
	s := journal.Signal{
		ID:     newID(at.Truncate(24*time.Hour), policy.SignalTunnel, fmt.Sprintf("%d/%d/%s", f.Family, f.Device, f.Client)),
		Family: f.Family, Profile: f.Profile, Device: f.Device, Kind: policy.SignalTunnel, At: at, Domain: f.Domain.String(),
		Details: journal.SignalDetails{Client: f.Client, Names: uint64(f.Names)},
	}
	return w.write(ctx, Batch{Signals: []journal.SignalRow{s.Row()}})
}

// Listen looks for devices that have not asked for longer than they usually do. Run
// calls it, as Follow.
func (w *Watcher) Listen(ctx context.Context) error {
	now := w.c.Now().Round(0) // by the wall: the other clock stands still while a machine sleeps
	if !w.ticked.IsZero() && now.Sub(w.ticked).Abs() > overslept {
		w.awake = now
	}
	w.ticked = now
	due, err := w.c.Store.Silences(ctx, now, batchDue)
	if err != nil || len(due) == 0 {
		return err
	}
	var b Batch
	for _, s := range due {
		settled, err := w.settle(ctx, s, now)
		if err != nil {
			return err
		}
		b.Settled = append(b.Settled, settled)
	}
	return w.write(ctx, b)
}

// settle says what becomes of one device that is due.
func (w *Watcher) settle(ctx context.Context, s Silence, now time.Time) (Settled, error) {
	f, _, err := w.c.Store.Family(ctx, s.Family)
	if err != nil && !errors.Is(err, policy.ErrNotFound) {
		return Settled{}, err
	}
	if f == nil {
		return Settled{Silence: s, Forget: true}, nil
	}
	away, wanted := Expected(f, s.Device)
	base, err := DecodeBaseline(s.Baseline)
	if !wanted || err != nil {
		return Settled{Silence: s, Forget: true}, nil
	}
	zone := zoneOf(f)
	if w.awake.After(s.Last) { // nobody was heard before: the wait begins here
		if next := base.Due(w.awake, away, zone); next.After(now) {
			return Settled{Silence: s, Next: next}, nil
		}
	}
	if w.c.LastSeen != nil && w.c.LastSeen(s.Family, s.Device).After(s.Last) {
		return Settled{Silence: s, Next: now.Add(2 * everyTick)}, nil // the store hears of it in a moment
	}
	seen, err := w.c.Store.Seen(ctx, s.Family)
	if err != nil {
		return Settled{}, err
	}
	others, heard := 0, false
	for id, at := range seen {
		if id != s.Device && now.Sub(at) < 14*24*time.Hour {
			others++
			heard = heard || at.After(s.Last.Add(time.Hour))
		}
	}
	if others > 0 && !heard { // the home's internet, or ours, rather than this device
		return Settled{Silence: s, Next: now.Add(lookAgain)}, nil
	}
	var profile policy.ProfileID
	for _, d := range f.Devices {
		if d.ID == s.Device {
			profile = d.Profile
		}
	}
	at := now.UTC().Truncate(time.Millisecond)
	row := journal.Signal{
		ID:     newID(s.Last, policy.SignalSilent, fmt.Sprintf("%d/%d", s.Family, s.Device)),
		Family: s.Family, Profile: profile, Device: s.Device, Kind: policy.SignalSilent, At: at,
		Details: journal.SignalDetails{Since: s.Last},
	}.Row()
	return Settled{Silence: s, Signal: &row}, nil
}

func zoneOf(f *policy.Family) *time.Location {
	if z, err := time.LoadLocation(f.Zone); err == nil && f.Zone != "" {
		return z
	}
	return time.Local
}
