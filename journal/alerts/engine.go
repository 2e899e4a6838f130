package alerts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/journal"
	"kinward/policy"
)

const (
	// pollEvery is how often it is looked whether something was written or is due. Only
	// then the feeds are read, which takes milliseconds of a processor whose caches
	// hold other things, and whoever asks for a name meanwhile waits for them.
	pollEvery = time.Second
	// together is how long an alert waits for what belongs to it: signals come of
	// incidents a moment later, and an app asks for several services at once.
	together     = time.Second
	batch        = 500
	atOnce       = 8 // deliveries at a time, at most one a channel
	firstBackoff = 10 * time.Second
	maxBackoff   = time.Hour
	pruneEvery   = time.Hour
	// keepTold is how long it is known what was told. What is older than
	// expireAfter is not told any more, so that what is read again later, such as a
	// signal that was given again, cannot be told anew.
	keepTold = expireAfter + 24*time.Hour
	rateSpan = time.Hour
)

// Reader reads a feed: what has come or changed after a position, of all
// families, in order, and the position of the last.
type Reader func(ctx context.Context, after uint64, limit int) ([]Event, uint64, error)

// Config is what an engine is made of.
type Config struct {
	Store   Store
	Feeds   map[Feed]Reader
	Senders map[Kind]Sender
	// Home tells of a family what is needed to write to one of its guardians, in
	// their language.
	Home func(context.Context, policy.FamilyID, policy.GuardianID) (Home, error)
	// Event reads one event; the error wraps [ErrForgotten] where it is kept no more.
	Event func(context.Context, policy.FamilyID, Feed, string) (Event, error)
	// Between reads a family's events and counts of a span of time, and whether
	// there were more than it read.
	Between func(ctx context.Context, family policy.FamilyID, from, until time.Time) ([]Event, []journal.Count, bool, error)
	// Muted returns what tells of which events a guardian wants to hear nothing;
	// nil: of none.
	Muted func(context.Context, policy.FamilyID, policy.GuardianID) (func(Event) bool, error)
	// Writes counts what was written to what the feeds, the store and the other
	// functions read; nil: that is not known, and all is read each second.
	Writes func() uint64
	// Link is where the family's pages are, for "what to do"; "" is nowhere.
	Link       string
	Logger     *slog.Logger // nil discards; never told a name, an address or a secret
	Now        func() time.Time
	Registerer prometheus.Registerer
}

// Engine makes messages of events and delivers them.
type Engine struct {
	c       Config
	log     *slog.Logger
	metrics *metrics
	wake    chan struct{}

	mu       sync.Mutex
	busy     map[ChannelID]bool
	sending  sync.WaitGroup
	nextTidy time.Time

	seen uint64    // what Writes said before the last round; of Run alone
	next time.Time // when something is due that is written already; of Run alone
}

// New makes an engine, which does nothing until [Engine.Run].
func New(c Config) (*Engine, error) {
	if c.Store == nil || c.Home == nil || c.Event == nil || c.Between == nil {
		return nil, errors.New("making alerts: they need a store and what reads families and events")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("making alerts: %w", err)
	}
	return &Engine{c: c, log: c.Logger, metrics: m, wake: make(chan struct{}, 1), busy: map[ChannelID]bool{}}, nil
}

// Run works until ctx ends, and returns nil once no delivery is under way.
// Trouble with the store or a receiver is logged and tried again.
func (e *Engine) Run(ctx context.Context) error {
	defer e.sending.Wait()
	wait := time.NewTimer(0)
	defer wait.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-wait.C:
			if !failing && e.calm() {
				wait.Reset(pollEvery)
				continue
			}
		}
		pause, err := pollEvery, e.round(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				e.log.Warn("alerts wait: the store cannot be used; it is tried again", "error", err)
			}
			pause = firstBackoff
		}
		failing = err != nil
		wait.Reset(pause)
	}
}

// calm reports whether a round would find nothing. A next one that lies further
// ahead than any does was set before the clock went back.
func (e *Engine) calm() bool {
	wait := e.next.Sub(e.c.Now())
	return e.c.Writes != nil && e.c.Writes() == e.seen && wait > 0 && wait <= pruneEvery
}

// round is Round, and notes until when it need not be called again.
func (e *Engine) round(ctx context.Context) (err error) {
	if e.c.Writes != nil {
		e.seen = e.c.Writes() // before: what is written meanwhile is the next one's
	}
	if err := e.Round(ctx); err != nil {
		return err
	}
	due, err := e.c.Store.Next(ctx)
	if e.next = e.nextTidy; err == nil && !due.IsZero() && due.Before(e.next) {
		e.next = due
	}
	return err
}

// Round does once what Run does all the time: it reads the feeds, makes the
// messages that are due, and begins to deliver. It is not for concurrent use.
func (e *Engine) Round(ctx context.Context) error {
	now := e.c.Now()
	for _, f := range feeds {
		if err := e.read(ctx, f, now); err != nil {
			return fmt.Errorf("reading %s for alerts: %w", f, err)
		}
	}
	if err := e.bundle(ctx, now); err != nil {
		return fmt.Errorf("making alerts: %w", err)
	}
	if err := e.turn(ctx, now); err != nil {
		return fmt.Errorf("making digests: %w", err)
	}
	if err := e.deliver(ctx, now); err != nil {
		return fmt.Errorf("reading the outbox: %w", err)
	}
	if n, err := e.c.Store.Backlog(ctx); err == nil {
		e.metrics.waiting.Set(float64(n))
	}
	if now.Before(e.nextTidy) {
		return nil
	}
	e.nextTidy = now.Add(pruneEvery)
	return e.c.Store.Prune(ctx, now.Add(-keepTold))
}

// Settle waits until what Round began is delivered or given back.
func (e *Engine) Settle() { e.sending.Wait() }

// family is what a round needs to know of one.
type family struct {
	home        Home
	channels    []Channel
	preferences map[policy.GuardianID]Preferences
}

func (f family) of(g policy.GuardianID) Preferences {
	if p, ok := f.preferences[g]; ok {
		return p
	}
	return DefaultPreferences()
}

func (f family) channel(id ChannelID) (Channel, bool) {
	for _, c := range f.channels {
		if c.ID == id && !c.Gone {
			return c, true
		}
	}
	return Channel{}, false
}

func (e *Engine) family(ctx context.Context, id policy.FamilyID) (f family, err error) {
	if f.channels, err = e.c.Store.Channels(ctx, id); err != nil || len(f.channels) == 0 {
		return f, err
	}
	if f.preferences, err = e.c.Store.Preferences(ctx, id); err != nil {
		return f, err
	}
	f.home, err = e.c.Home(ctx, id, Household)
	return f, err
}

// read notes what is new in a feed and to be told at once.
func (e *Engine) read(ctx context.Context, feed Feed, now time.Time) error {
	next := e.c.Feeds[feed]
	if next == nil {
		return nil
	}
	at, err := e.c.Store.Position(ctx, feed)
	if err != nil {
		return err
	}
	for {
		events, last, err := next(ctx, at, batch)
		if err != nil || last == at {
			return err
		}
		families := map[policy.FamilyID]family{}
		var told []Told
		for _, ev := range events {
			f, known := families[ev.Family]
			if !known {
				if f, err = e.family(ctx, ev.Family); err != nil {
					return err
				}
				families[ev.Family] = f
			}
			told = append(told, f.tell(ev, now)...)
		}
		if err := e.c.Store.Note(ctx, feed, last, told); err != nil {
			return err
		}
		at = last
	}
}

// tell returns which channels are to be told of an event at once.
func (f family) tell(ev Event, now time.Time) (out []Told) {
	if now.Sub(ev.At) > expireAfter {
		return nil
	}
	for _, c := range f.channels {
		p := f.of(c.Guardian)
		// What began before a channel was there is no news for it.
		if c.Gone || c.Settings.Only == OnlyDigests || ev.At.Before(c.Made) || p.When(ev) != Immediate {
			continue
		}
		out = append(out, Told{
			Family: ev.Family, Channel: c.ID, Feed: ev.Feed, Event: ev.ID, Profile: ev.Profile,
			Urgent: ev.Urgent(), At: ev.At, Due: p.Due(ev, now.Add(together), zone(f.home)),
		})
	}
	return out
}

// bundle makes a message for each channel that is due to be told something,
// unless it was told as much as its guardian wants in an hour.
func (e *Engine) bundle(ctx context.Context, now time.Time) error {
	due, err := e.c.Store.DueTold(ctx, now, batch)
	if err != nil {
		return err
	}
	for i := 0; i < len(due); {
		first, urgent := due[i], false
		for ; i < len(due) && due[i].Family == first.Family && due[i].Channel == first.Channel; i++ {
			urgent = urgent || due[i].Urgent
		}
		f, err := e.family(ctx, first.Family)
		if err != nil {
			return err
		}
		c, _ := f.channel(first.Channel) // one that is gone gets a message that is dropped
		made, err := e.c.Store.Alerts(ctx, first.Family, first.Channel, now.Add(-rateSpan))
		if err != nil {
			return err
		}
		made = slices.DeleteFunc(made, func(at time.Time) bool { return at.After(now) }) // before the clock was set back
		if p := f.of(c.Guardian); len(made) >= p.PerHour {
			until := made[len(made)-p.PerHour].Add(rateSpan)
			if err := e.c.Store.Delay(ctx, first.Family, first.Channel, until); err != nil {
				return err
			}
			e.metrics.delayed.Inc()
			continue
		}
		if err := e.c.Store.Bundle(ctx, Outgoing{
			Family: first.Family, ID: messageID("alert", first.Family, first.Channel, string(first.Feed)+first.Event), Channel: first.Channel,
			Period: Immediate, Urgent: urgent, Made: now, Next: now, State: Waiting,
		}, now.Add(together)); err != nil {
			return err
		}
	}
	return nil
}

// messageID is the idempotency key of a message: the same whenever it is made of
// the same.
func messageID(kind string, family policy.FamilyID, channel ChannelID, of string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %s", kind, family, channel, of))
	return hex.EncodeToString(sum[:16])
}

// turn makes the digests that are due.
func (e *Engine) turn(ctx context.Context, now time.Time) error {
	due, err := e.c.Store.DueDigests(ctx, now, batch)
	if err != nil {
		return err
	}
	for _, d := range due {
		f, err := e.family(ctx, d.Family)
		if err != nil {
			return err
		}
		var next time.Time
		var message *Outgoing
		if c, ok := f.channel(d.Channel); ok && c.Settings.Only != OnlyAlerts {
			next = f.of(c.Guardian).Next(d.Period, now, zone(f.home))
			at := d.At
			if at.After(now) { // the clock was set back
				at = now
			}
			// What a server that was off has missed is summed up in one.
			o := Outgoing{
				Family: d.Family, ID: messageID("digest", d.Family, d.Channel, fmt.Sprint(d.Period, d.From.Unix(), at.Unix())), Channel: d.Channel,
				Period: d.Period, From: d.From, Until: at, Made: now, Next: now, State: Waiting,
			}
			if until, quiet := f.of(c.Guardian).Quiet(now, zone(f.home)); quiet {
				o.Next = until
			}
			wanted := o.From.Before(o.Until) // or all of it lies ahead, and this would say that all was calm
			if wanted {
				if wanted, err = e.worth(ctx, f, c, o); err != nil {
					return err
				}
			}
			if wanted {
				message = &o
			}
		}
		if err := e.c.Store.Turn(ctx, d, now, next, message); err != nil {
			return err
		}
	}
	return nil
}

// worth reports whether a digest is sent. One of an hour is only where it has
// something new; one of a day or week also says that all is calm.
func (e *Engine) worth(ctx context.Context, f family, c Channel, o Outgoing) (bool, error) {
	if o.Period != Hourly {
		return true, nil
	}
	events, _, _, err := e.c.Between(ctx, o.Family, o.From, o.Until)
	if err != nil {
		return false, err
	}
	for _, ev := range events {
		if f.of(c.Guardian).When(ev) == Hourly {
			return true, nil
		}
	}
	return false, nil
}

// Plan returns when a guardian's digests are due that begin now.
func Plan(p Preferences, now time.Time, zone *time.Location) map[When]time.Time {
	plan := map[When]time.Time{}
	for _, period := range p.Periods() {
		plan[period] = p.Next(period, now, zone)
	}
	return plan
}

// Digest makes a guardian's digest of a span of time. It holds all that the
// guardian hears of at least as often: one that left out what was told at once
// could say that all was calm. The letter is how it would come.
func (e *Engine) Digest(ctx context.Context, id policy.FamilyID, g policy.GuardianID, period When, from, until time.Time) (Digest, Letter, error) {
	f := family{}
	var err error
	if f.preferences, err = e.c.Store.Preferences(ctx, id); err != nil {
		return Digest{}, Letter{}, err
	}
	if f.home, err = e.c.Home(ctx, id, g); err != nil {
		return Digest{}, Letter{}, err
	}
	d, err := e.digest(ctx, f, id, g, period, from, until)
	return d, d.letter(f.home, e.c.Link), err
}

// muted returns what tells of which events a guardian wants to hear nothing.
func (e *Engine) muted(ctx context.Context, family policy.FamilyID, g policy.GuardianID) (func(Event) bool, error) {
	if e.c.Muted == nil {
		return func(Event) bool { return false }, nil
	}
	return e.c.Muted(ctx, family, g)
}

func (e *Engine) digest(ctx context.Context, f family, id policy.FamilyID, g policy.GuardianID, period When, from, until time.Time) (Digest, error) {
	events, counts, more, err := e.c.Between(ctx, id, from, until)
	if err != nil {
		return Digest{}, err
	}
	muted, err := e.muted(ctx, id, g)
	if err != nil {
		return Digest{}, err
	}
	events = slices.DeleteFunc(events, muted)
	p := f.of(g)
	d := makeDigest(f.home, period, from, until, events, counts, func(ev Event) bool { return p.When(ev).rank() <= period.rank() })
	d.More = more
	return d, nil
}
