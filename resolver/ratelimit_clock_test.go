package resolver

import (
	"net/netip"
	"testing"
	"time"
)

// A clock that is set back, as on a machine without one that runs on, locks
// nobody out.
func TestLimiterAndClockSetBack(t *testing.T) {
	clk := newClock()
	r := Limits{}.withDefaults().Rate
	l := newLimiter(r)
	from := netip.MustParseAddr("192.168.1.20")
	for range r.Burst {
		l.take(unproven, from, clk.now())
	}
	if ok, _ := l.take(unproven, from, clk.now()); ok {
		t.Fatal("the bucket is not empty")
	}
	clk.advance(-time.Hour)
	if ok, _ := l.take(unproven, from, clk.now()); !ok {
		t.Error("refused after the clock was set back by an hour")
	}
}
