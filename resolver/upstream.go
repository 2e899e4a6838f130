package resolver

import (
	"errors"
	"sync/atomic"
	"time"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

// ErrUpstreamIsSelf: New and Reconfigure refuse an upstream that is the server.
var ErrUpstreamIsSelf = errors.New("this is an address that Kinward itself listens on, so questions would go round in circles; give the address of another resolver")

// UpstreamHealth is what is known of an upstream just now.
type UpstreamHealth struct {
	Upstream    string    `json:"upstream"`
	Domain      string    `json:"domain,omitempty"` // it is asked for this domain alone
	Usable      bool      `json:"usable"`           // it is asked first; otherwise it is asked last, or not at all
	Looping     bool      `json:"looping"`          // it leads back to Kinward, so it is not used
	Failures    int       `json:"failures"`         // since its last answer
	LastAnswer  time.Time `json:"last_answer"`      // zero: none yet
	LastFailure string    `json:"last_failure"`     // in words, "" for none
}

// How a failing upstream is spared. One lost packet is no reason; from the
// second failure in a row others go first, for a time that doubles. When it is
// over, one question tries again; the others wait for what it finds.
const (
	sparedAfter  = 2
	spareFirst   = time.Second
	spareLongest = 30 * time.Second

	// poorInARow is how many answers without content, one after the other, are no
	// longer the fault of what was asked.
	poorInARow = 8
)

// peer is an upstream in use, with its health. All fields change by atomic
// operations; nothing waits for another's question.
type peer struct {
	name   string          // its URL
	label  string          // that without what may be a secret, for metrics and the log
	zone   blocklists.Name // the domain that it is asked for; "" is all that no other is
	client *upstream.Client
	m      *peerMetrics

	latency latency

	failures atomic.Int64
	poor     atomic.Int64 // answers in a row that were SERVFAIL or REFUSED
	retryAt  atomic.Int64 // Unix nanoseconds before which others go first; 0 is healthy
	looping  atomic.Bool
	token    atomic.Pointer[string] // of the loop probe under way
	caught   atomic.Bool            // the probe under way came back to us

	lastAnswer  atomic.Int64 // Unix nanoseconds
	lastFailure atomic.Pointer[string]
}

// peerKey tells peers apart: a server may be asked for several domains, and lead
// back here for one of them alone.
type peerKey struct {
	name string
	zone blocklists.Name
}

func (p *peer) key() peerKey { return peerKey{p.name, p.zone} }

// healthy reports whether p goes first. Where p was spared long enough, one
// caller is told so, and the others only after it succeeded.
func (p *peer) healthy(now time.Time) bool {
	at := p.retryAt.Load()
	if at == 0 {
		return true
	}
	left := at - now.UnixNano()
	if left > int64(spareLongest) { // the clock was set back
		left = 0
	}
	return left <= 0 && p.retryAt.CompareAndSwap(at, now.Add(p.pause()).UnixNano())
}

// pause says for how long p is spared after its latest failure.
func (p *peer) pause() time.Duration {
	n := p.failures.Load() - sparedAfter
	if n > 5 { // 2⁵ s is past the longest
		return spareLongest
	}
	return min(spareFirst<<max(n, 0), spareLongest)
}

// answered notes that p answered; it reports whether p had been given up.
func (p *peer) answered(now time.Time) (back bool) {
	p.lastAnswer.Store(now.UnixNano())
	if p.failures.Load() == 0 { // the common case writes nothing shared
		return false
	}
	p.failures.Store(0)
	return p.retryAt.Swap(0) != 0
}

// failed notes that p failed; it reports whether p is given up from now on.
func (p *peer) failed(now time.Time, err error) (gone bool) {
	text := err.Error()
	p.lastFailure.Store(&text)
	if p.failures.Add(1) < sparedAfter {
		return false
	}
	return p.retryAt.Swap(now.Add(p.pause()).UnixNano()) == 0
}

func (p *peer) health() UpstreamHealth {
	h := UpstreamHealth{
		Upstream: p.name,
		Looping:  p.looping.Load(),
		Failures: int(p.failures.Load()),
	}
	if p.zone != "" {
		h.Domain = p.zone.String()
	}
	h.Usable = !h.Looping && p.retryAt.Load() == 0
	if t := p.lastAnswer.Load(); t != 0 {
		h.LastAnswer = time.Unix(0, t)
	}
	if f := p.lastFailure.Load(); f != nil && h.Failures > 0 {
		h.LastFailure = *f
	}
	return h
}
