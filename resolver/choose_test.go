package resolver

import (
	"testing"
	"time"
)

func TestRFC6298_Latency(t *testing.T) {
	var l latency
	if l.patience() != patienceUnknown {
		t.Errorf("before anything is measured it waits %v", l.patience())
	}
	l.observe(100 * time.Millisecond)
	if got, want := l.patience(), 300*time.Millisecond; got != want { // §2.2: R + 4·R/2
		t.Errorf("after one answer it waits %v, want %v", got, want)
	}
	l.observe(100 * time.Millisecond)
	if got, want := l.patience(), 250*time.Millisecond; got != want { // §2.3: the variation shrinks by a quarter
		t.Errorf("after two it waits %v, want %v", got, want)
	}
	for range 100 {
		l.observe(100 * time.Microsecond)
	}
	if got := l.patience(); got != patienceLeast {
		t.Errorf("a very near upstream is given %v, want %v", got, patienceLeast)
	}
	for range 100 {
		l.observe(3 * time.Second)
	}
	if got := l.patience(); got != patienceMost {
		t.Errorf("a very slow upstream is given %v, want %v", got, patienceMost)
	}
}

// measured returns a peer that answers in d; 0 is one that was never asked.
func measured(name string, d time.Duration) *peer {
	p := &peer{name: name}
	if d > 0 {
		p.latency.observe(d)
	}
	return p
}

func TestSoonestGoesFirst(t *testing.T) {
	const ms = time.Millisecond
	now := newClock().now()
	for _, tt := range []struct {
		name  string
		took  []time.Duration // of a, b, c
		order string
	}{
		{"nothing known: as configured", []time.Duration{0, 0, 0}, "abc"},
		{"about as soon: as configured", []time.Duration{20 * ms, 17 * ms, 16 * ms}, "abc"},
		{"much sooner", []time.Duration{60 * ms, 20 * ms, 50 * ms}, "bac"},
		{"the soonest of several", []time.Duration{90 * ms, 40 * ms, 10 * ms}, "cab"},
		{"near by: some milliseconds are no reason", []time.Duration{6 * ms, 2 * ms, 2 * ms}, "abc"},
		{"one that was never measured is tried", []time.Duration{20 * ms, 0, 20 * ms}, "bac"},
	} {
		var peers []*peer
		for i, d := range tt.took {
			peers = append(peers, measured(string(rune('a'+i)), d))
		}
		got := ""
		for _, p := range inOrder(nil, peers, now) {
			got += p.name
		}
		if got != tt.order {
			t.Errorf("%s: order %s, want %s", tt.name, got, tt.order)
		}
	}
}

// A second question goes out for one in ten, however slow everybody is, and for
// some more at a bad moment after a good time.
func TestHedgingHasABudget(t *testing.T) {
	var h hedger
	h.saved.Store(hedgeSaved)
	spent := 0
	for h.spend() {
		spent++
	}
	if spent != hedgeSaved/hedgeCost {
		t.Errorf("%d second questions at once, want %d", spent, hedgeSaved/hedgeCost)
	}
	spent = 0
	for range 10_000 {
		h.earn()
		if h.spend() {
			spent++
		}
	}
	if spent != 1000 {
		t.Errorf("%d second questions for 10,000, want 1,000", spent)
	}
	for range 10 * hedgeSaved {
		h.earn()
	}
	if got := h.saved.Load(); got != hedgeSaved {
		t.Errorf("%d saved in good times, want %d at most", got, hedgeSaved)
	}
}

// One question in exploreEvery is another upstream's turn, each of them in turn.
func TestExplorationTakesTurns(t *testing.T) {
	var h hedger
	var turns []uint64
	for range 4 * exploreEvery {
		if explore, nth := h.earn(); explore {
			turns = append(turns, nth%3)
		}
	}
	if len(turns) != 4 || turns[0] == turns[1] || turns[1] == turns[2] || turns[0] != turns[3] {
		t.Errorf("turns of three others: %v", turns)
	}
}
