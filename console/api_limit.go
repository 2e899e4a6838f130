package console

import (
	"sync"
	"time"

	"kinward/store"
)

// How often a program may ask: a script that reads everything once, and one that
// looks every second, are let through; one that runs wild is not.
const (
	rateBurst     = 60
	ratePerMinute = 120
)

// rates keep the pace of programs, each with a bucket that fills by itself. They
// are safe for concurrent use.
type rates struct {
	mu sync.Mutex
	of map[store.TokenID]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newRates() *rates { return &rates{of: map[store.TokenID]*bucket{}} }

// take lets a program ask now, or says how long it has to wait.
func (r *rates) take(id store.TokenID, now time.Time) time.Duration {
	const perSecond = ratePerMinute / 60.0
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.of[id]
	if b == nil {
		if len(r.of) > 1000 { // those that are full again are as good as new ones
			for other, b := range r.of {
				if now.Sub(b.at).Seconds()*perSecond >= rateBurst {
					delete(r.of, other)
				}
			}
		}
		b = &bucket{rateBurst, now}
		r.of[id] = b
	}
	b.left = min(rateBurst, b.left+max(0, now.Sub(b.at).Seconds())*perSecond)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / perSecond * float64(time.Second))
	}
	b.left--
	return 0
}
