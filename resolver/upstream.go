package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Upstream says where allowed questions are sent. It is a plain value; make it
// with ParseUpstream.
type Upstream struct {
	scheme string // "udp" or "tcp"
	addr   netip.AddrPort
}

// What can be wrong with an upstream. Errors from ParseUpstream, New and
// Reconfigure wrap one of these where it applies.
var (
	ErrEncryptedUpstream = errors.New("encrypted upstreams (tls, https, quic) come in a later version; use udp://ADDRESS or tcp://ADDRESS")
	ErrUpstreamHostName  = errors.New("a host name needs a resolver to find it, and this is the resolver; give its IP address")
	ErrUpstreamIsSelf    = errors.New("this is an address that Kinward itself listens on, so questions would go round in circles; give the address of another resolver")
)

var errOnlyAddress = errors.New("only an address and a port may follow the scheme")

// ParseUpstream reads udp://ADDRESS[:PORT] (asked again over TCP where an
// answer is cut off) or tcp://ADDRESS[:PORT]; the port is 53 unless given. The
// address is an IP literal, IPv6 in brackets. A bare address is udp://.
func ParseUpstream(s string) (Upstream, error) {
	u, err := parseUpstream(s)
	if err != nil {
		if at := strings.LastIndexByte(s, '@'); at >= 0 { // what stands before it may be a password
			s = "***" + s[at:]
		}
		return Upstream{}, fmt.Errorf("reading upstream %q: %w", s, err)
	}
	return u, nil
}

func parseUpstream(s string) (Upstream, error) {
	if !strings.Contains(s, "://") {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
			s = "[" + s + "]"
		}
		s = "udp://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		if strings.Contains(s, "@") { // the error would quote a part of a password
			return Upstream{}, errOnlyAddress
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return Upstream{}, err
	}
	switch u.Scheme {
	case "udp", "tcp":
	case "tls", "dot", "https", "h2", "h3", "doh", "quic", "doq":
		return Upstream{}, ErrEncryptedUpstream
	default:
		return Upstream{}, fmt.Errorf("scheme %q is unknown; use udp://ADDRESS or tcp://ADDRESS", u.Scheme)
	}
	if u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return Upstream{}, errOnlyAddress
	}
	if u.Hostname() == "" {
		return Upstream{}, errors.New("the address is missing")
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return Upstream{}, ErrUpstreamHostName
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return Upstream{}, fmt.Errorf("%s is not the address of a server", a)
	}
	port := uint64(53)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return Upstream{}, fmt.Errorf("port %q is not between 1 and 65535", p)
		}
	}
	return Upstream{scheme: u.Scheme, addr: netip.AddrPortFrom(a, uint16(port))}, nil
}

// String returns the form that ParseUpstream reads, port included.
func (u Upstream) String() string { return u.scheme + "://" + u.addr.String() }

// Addr returns where the upstream listens.
func (u Upstream) Addr() netip.AddrPort { return u.addr }

// UpstreamHealth is what is known of an upstream just now.
type UpstreamHealth struct {
	Upstream    string    `json:"upstream"`
	Usable      bool      `json:"usable"`       // it is asked first; otherwise it is asked last, or not at all
	Looping     bool      `json:"looping"`      // it leads back to Kinward, so it is not used
	Failures    int       `json:"failures"`     // since its last answer
	LastAnswer  time.Time `json:"last_answer"`  // zero: none yet
	LastFailure string    `json:"last_failure"` // in words, "" for none
}

// How a failing upstream is spared. One lost packet is no reason; from the
// second failure in a row others go first, for a time that doubles. When it is
// over, one question tries again; the others wait for what it finds.
const (
	sparedAfter  = 2
	spareFirst   = time.Second
	spareLongest = 30 * time.Second
)

// peer is an upstream in use, with its health. All fields change by atomic
// operations; nothing waits for another's question.
type peer struct {
	Upstream
	m *peerMetrics

	failures atomic.Int64
	retryAt  atomic.Int64 // Unix nanoseconds before which others go first; 0 is healthy
	looping  atomic.Bool
	token    atomic.Pointer[string] // of the loop probe under way
	caught   atomic.Bool            // the probe under way came back to us

	lastAnswer  atomic.Int64 // Unix nanoseconds
	lastFailure atomic.Pointer[string]
}

// healthy reports whether p goes first. Where p was spared long enough, one
// caller is told so, and the others only after it succeeded.
func (p *peer) healthy(now time.Time) bool {
	at := p.retryAt.Load()
	if at == 0 {
		return true
	}
	return now.UnixNano() >= at && p.retryAt.CompareAndSwap(at, now.Add(p.pause()).UnixNano())
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
		Upstream: p.String(),
		Looping:  p.looping.Load(),
		Failures: int(p.failures.Load()),
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
