package main

import (
	"sync"
	"time"
)

// tally counts what each has done within a window of time, after which it begins anew.
// The zero value is ready, and safe for concurrent use.
type tally[K comparable] struct {
	mu    sync.Mutex
	since time.Time
	count map[K]int
}

const (
	tallyWindow = 10 * time.Minute
	maxTallied  = 1 << 14 // that are remembered in a window; others may go on
)

// take reports whether k has done fewer than most, and if so counts n more: to ask and
// to count are one, so that many at once are no more than many one after the other.
func (t *tally[K]) take(k K, n, most int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil || now.Sub(t.since) >= tallyWindow || now.Before(t.since) {
		t.count, t.since = map[K]int{}, now
	}
	if t.count[k] >= most {
		return false
	}
	if n > 0 && (t.count[k] > 0 || len(t.count) < maxTallied) {
		t.count[k] += n
	}
	return true
}
