package blocklists

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// RefreshOptions configure a [Refresher].
type RefreshOptions struct {
	// Every is how long a version of a list is taken to hold, if its header does
	// not say it; 0 is for ever: nothing is refreshed.
	Every time.Duration
	// Changed puts the lists in force as they are now. It is called once after a
	// round that brought new versions, and again later after an error.
	Changed func(context.Context) error
	// Logger hears what came and what did not; nil is slog.Default.
	Logger *slog.Logger
	// Random returns numbers from [0, 1), which spread the rounds of many homes;
	// nil is math/rand/v2.
	Random func() float64
}

// A list's own word about how long it holds counts between these.
const (
	shortestRefresh = time.Hour
	longestRefresh  = 7 * 24 * time.Hour
)

const (
	settle     = time.Minute      // after the start, which has better things to do
	together   = 10 * time.Minute // lists due so soon join a round, since each round costs a compile
	lookAgain  = 10 * time.Minute // lists may be added meanwhile
	retryFirst = 15 * time.Minute // after a failure; twice as long after each further one
)

// Refresher keeps the lists of a [Library] fresh: one list at a time, off the
// path of any query.
type Refresher struct {
	lists *Library
	opts  RefreshOptions

	start   time.Time // nothing is fetched before
	spread  float64   // from 1 to 1.1: how much later than due the next round is
	changed bool      // new versions wait to be put in force
	trouble int       // rounds in a row that failed as a whole
}

// NewRefresher makes a Refresher of a library's lists.
func NewRefresher(l *Library, o RefreshOptions) *Refresher {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return &Refresher{lists: l, opts: o}
}

// Run refreshes lists until ctx is done, and returns nil then. What goes wrong
// is logged, and tried again later.
func (r *Refresher) Run(ctx context.Context) error {
	if r.opts.Every <= 0 {
		r.opts.Logger.Info("lists are not refreshed by themselves", "do", "kinward lists update, or set lists: refresh")
		<-ctx.Done()
		return nil
	}
	r.start = r.lists.opts.Now().Add(settle + time.Duration(r.opts.Random()*float64(settle)))
	r.spread = r.draw()
	for {
		now := r.lists.opts.Now()
		ids, next := r.due(now)
		if len(ids) == 0 && !(r.changed && !now.Before(r.start)) {
			if sleep(ctx, min(max(next.Sub(now), time.Second), lookAgain)) != nil {
				return nil
			}
			continue
		}
		err := r.round(ctx, ids)
		if ctx.Err() != nil {
			return nil
		}
		r.spread = r.draw()
		if err == nil {
			r.trouble = 0
			continue
		}
		r.trouble++
		r.opts.Logger.Error("refreshing lists: trying again later; what was in force stays", "error", err)
		r.start = r.lists.opts.Now().Add(r.backoff(r.trouble))
	}
}

func (r *Refresher) draw() float64 { return 1 + r.opts.Random()/10 }

func (r *Refresher) backoff(failures int) time.Duration {
	return min(retryFirst<<min(failures-1, 10), r.opts.Every)
}

// due returns the lists to look for now, or when the first of them will be due.
func (r *Refresher) due(now time.Time) (ids []string, next time.Time) {
	next = now.Add(lookAgain)
	if now.Before(r.start) {
		return nil, r.start
	}
	var soon []string
	for _, l := range r.lists.Lists() {
		at := l.CheckedAt.Add(r.holds(l))
		if l.CheckedAt.After(now.Add(together)) { // the clock was set back; it may be years until it is there again
			at = now
		}
		if at.Before(next) {
			next = at
		}
		switch {
		case !at.After(now):
			ids = append(ids, l.ID)
		case !at.After(now.Add(together)):
			soon = append(soon, l.ID)
		}
	}
	if len(ids) > 0 {
		ids = append(ids, soon...)
	}
	return ids, next
}

// holds is how long after its last check a list is looked for again.
func (r *Refresher) holds(l ListStatus) time.Duration {
	d := r.opts.Every
	if l.Expires > 0 {
		d = min(max(l.Expires, shortestRefresh), longestRefresh)
	}
	if l.Failures > 0 {
		d = min(d, r.backoff(l.Failures))
	}
	return time.Duration(float64(d) * r.spread)
}

// round looks for lists, one after the other, and then puts the new versions in
// force, all at once. One list's failure is no error; a disk's is.
func (r *Refresher) round(ctx context.Context, ids []string) error {
	var failed error
	for _, id := range ids {
		updated, err := r.lists.Update(ctx, []string{id}, nil)
		switch {
		case errors.Is(err, ErrNoSuchList): // removed meanwhile
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed = errors.Join(failed, err)
			continue
		}
		for _, u := range updated {
			r.tell(u)
			r.changed = r.changed || u.Outcome == Taken
		}
	}
	if r.changed {
		if err := r.opts.Changed(ctx); err != nil {
			return errors.Join(failed, err)
		}
		r.changed = false
	}
	return failed
}

// tell logs what an update came to. Problems name no credentials.
func (r *Refresher) tell(u Updated) {
	log := r.opts.Logger.With("list", u.ID)
	switch u.Outcome {
	case Taken:
		log.Info("took a new version of a list", "entries", u.Entries, "from", u.From)
	case WasHeld:
		log.Warn("holding a new version of a list", "problem", u.Problem, "do", "kinward lists accept "+u.ID+", if this is right")
	case Failed:
		log.Warn("keeping the last good version of a list", "problem", u.Problem, "failures", u.Failures)
	default:
		log.Debug("looked for a new version of a list", "outcome", u.Outcome.String())
	}
}
