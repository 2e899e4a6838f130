package resolver

import (
	"context"
	"strings"
	"time"

	"kinward/blocklists"
)

// Old answers where there is no new one (RFC 8767), and new ones before the old
// ones end.
const (
	// staleFor is how long after its end an answer is kept for when the upstreams
	// fail (RFC 8767 §5: one to three days).
	staleFor = 24 * time.Hour

	// staleTTL is the TTL of such an answer, in seconds (RFC 8767 §4).
	staleTTL = 30

	// staleAfter is how long an asker waits for a new answer before an old one is
	// given (RFC 8767 §5: 1.8 s, just before stub resolvers ask again).
	staleAfter = 1800 * time.Millisecond

	// staleRetry is how long after a failure nobody waits again for upstreams that
	// failed just now (RFC 8767 §5 asks for at most every 30 s).
	staleRetry = 10 * time.Second

	// An answer that was given out prefetchUses times is asked for anew when less
	// than a tenth of its life is left, if it has a life worth it.
	prefetchUses  = 3
	prefetchWorth = 10 * time.Second
)

// fail notes that an attempt to replace e failed. It is an age, since ages go by the
// monotonic clock: one by the clock on the wall would last as much longer as that is
// set back.
func (e *entry) fail(now time.Time) { e.failed.Store(int64(max(e.age(now), 1))) }

// recently reports whether an attempt to replace e failed a moment ago.
func (e *entry) recently(now time.Time) bool {
	at := time.Duration(e.failed.Load())
	return at != 0 && e.age(now)-at < staleRetry
}

// use counts that e is given out and reports whether it should be asked for
// anew: it is wanted, and ends soon.
func (e *entry) use(now time.Time) (prefetch bool) {
	n := e.used.Load()
	if n < prefetchUses {
		e.used.Add(1)
		return false
	}
	return e.life >= prefetchWorth && e.life-e.age(now) < e.life/10 && !e.recently(now)
}

// prefetch asks for k anew beside the way of a query, unless there is enough to
// do.
func (s *Server) prefetch(ctx context.Context, set *settings, k question) {
	if s.fetching.count.Load() >= s.fetching.most/2 || s.closing.Load() {
		return
	}
	s.metrics.prefetched.Inc()
	k.name = blocklists.Name(strings.Clone(string(k.name))) // it outlives the question that wants it
	s.fetch(ctx, set, k, true)
}
