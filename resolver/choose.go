package resolver

import (
	"sync/atomic"
	"time"
)

// Upstreams are chosen by what was measured of them: the one that answers
// soonest goes first. Now and then another is asked beside it, so that what is
// known of the others does not grow old; and where an answer takes longer than
// it usually does, the next one is asked too, and the first answer counts.

const (
	// exploreEvery is how many questions go by between two that are asked of
	// another upstream too.
	exploreEvery = 50

	patienceUnknown = 200 * time.Millisecond // before anything was measured
	patienceLeast   = 15 * time.Millisecond  // below, the system's own delays count
	patienceMost    = 400 * time.Millisecond // above, a person waits

	// hedgeCost and hedgeEarned bound what hedging adds to the load: a second
	// question for one in ten at most, however slow all upstreams are.
	hedgeCost   = 10
	hedgeEarned = 1
	hedgeSaved  = 20 * hedgeCost // what may be saved up for a bad moment
)

// latency is a smoothed round-trip time and its variation, as RFC 6298 §2
// computes them. Two answers that come at once may lose one of them, which
// matters to nobody.
type latency struct{ srtt, rttvar atomic.Int64 } // ns; srtt 0: nothing measured

func (l *latency) observe(d time.Duration) {
	r := max(int64(d), 1)
	s := l.srtt.Load()
	if s == 0 {
		l.srtt.Store(r)
		l.rttvar.Store(r / 2)
		return
	}
	v := l.rttvar.Load()
	l.rttvar.Store(v + (abs(s-r)-v)/4)
	l.srtt.Store(s + (r-s)/8)
}

func abs(n int64) int64 { return max(n, -n) }

// patience returns how long an answer may take before another upstream is asked
// beside: what nearly all answers need less than.
func (l *latency) patience() time.Duration {
	s := l.srtt.Load()
	if s == 0 {
		return patienceUnknown
	}
	return min(max(time.Duration(s+4*l.rttvar.Load()), patienceLeast), patienceMost)
}

// muchSooner reports whether l answers so much sooner than other that it is
// worth leaving the order of the configuration for. One that was never measured
// is worth a try.
func (l *latency) muchSooner(other *latency) bool {
	a, b := l.srtt.Load(), other.srtt.Load()
	return b != 0 && a < b*3/4-int64(5*time.Millisecond)
}

// inOrder appends the peers that may be asked: healthy ones first, of them the
// soonest first, and otherwise in the order of the configuration.
func inOrder(to, peers []*peer, now time.Time) []*peer {
	var rest [8]*peer
	spared := rest[:0]
	for _, p := range peers {
		switch {
		case p.looping.Load():
		case p.healthy(now):
			to = append(to, p)
		default:
			spared = append(spared, p)
		}
	}
	best := 0
	for i := 1; i < len(to); i++ {
		if to[i].latency.muchSooner(&to[best].latency) {
			best = i
		}
	}
	if best > 0 {
		first := to[best]
		copy(to[1:best+1], to[:best])
		to[0] = first
	}
	return append(to, spared...)
}

// hedger decides when a question is asked of a second upstream before the first
// one failed.
type hedger struct {
	saved   atomic.Int64
	counted atomic.Uint64
}

// earn saves a little for a question. explore says that it is the turn of
// another upstream to be measured with it, the nth time.
func (h *hedger) earn() (explore bool, nth uint64) {
	if h.saved.Load() < hedgeSaved {
		h.saved.Add(hedgeEarned)
	}
	n := h.counted.Add(1)
	return n%exploreEvery == 0, n / exploreEvery
}

// spend reports whether there is enough saved for a second question.
func (h *hedger) spend() bool {
	if h.saved.Add(-hedgeCost) >= 0 {
		return true
	}
	h.saved.Add(hedgeCost)
	return false
}
