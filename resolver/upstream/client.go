package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Options say how a client works. Zero values mean the defaults.
type Options struct {
	Timeout time.Duration  // to connect, and for an answer where the caller sets no deadline; default 1.5 s
	Roots   *x509.CertPool // who is believed about certificates; nil: the system's authorities

	// Dial makes the connections over UDP ("udp") and TCP ("tcp"); nil: a
	// net.Dialer. HTTP/3 and QUIC have sockets of their own.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// What tests alone set.
	idle time.Duration    // a connection without a question is closed after it; default 20 s
	now  func() time.Time // default time.Now
}

// Client asks one upstream. It is safe for concurrent use. Make it with [New],
// and close it: it keeps connections.
type Client struct {
	spec  Spec
	opt   Options
	at    atomic.Uint32 // which of the addresses is used
	stats counters
	plain *plainClient // UDP alone
	via   exchanger    // everything else; TCP for plain's second try

	dialUDP func(context.Context, netip.AddrPort) (net.Conn, error)
}

func dialUDP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	c, err := new(net.Dialer).DialUDP(ctx, "udp", netip.AddrPort{}, addr)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// exchanger sends a message and returns what came back, its ID checked. The
// answer is the caller's.
type exchanger interface {
	exchange(ctx context.Context, m *message) ([]byte, error)
	close() error
}

type counters struct {
	mismatches, folded, cookieless, dials, resumed, lost atomic.Uint64
}

// Stats counts what happened to a client since it was made.
type Stats struct {
	Mismatches uint64 // answers that were no answer to what was asked: forged, or late
	Folded     uint64 // answers that spelled the name otherwise, so that they had to be asked for over TCP
	Cookieless uint64 // answers without the cookie that the upstream gave before
	Dials      uint64 // connections made
	Resumed    uint64 // of them with a TLS session that was there
	Lost       uint64 // connections that broke while an answer was due
}

// New makes a client. It opens nothing before the first question.
func New(spec Spec, o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 1500 * time.Millisecond
	}
	if o.idle <= 0 {
		o.idle = 20 * time.Second
	}
	if o.now == nil {
		o.now = time.Now
	}
	c := &Client{spec: spec, opt: o, dialUDP: dialUDP}
	if o.Dial == nil {
		c.opt.Dial = (&net.Dialer{}).DialContext
	} else {
		c.dialUDP = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return o.Dial(ctx, "udp", addr.String())
		}
	}
	switch spec.scheme {
	case UDP:
		c.plain = newPlainClient(c)
		c.via = newStreamPool(c, nil)
	case TCP:
		c.via = newStreamPool(c, nil)
	case TLS:
		c.via = newStreamPool(c, c.tlsConfig("dot"))
	case HTTPS:
		c.via = newHTTPSClient(c)
	case HTTP3:
		c.via = newHTTP3Client(c)
	case QUIC:
		c.via = newQUICClient(c)
	}
	return c
}

// Close closes the connections; what is under way fails. It returns when all
// goroutines of the client have ended.
func (c *Client) Close() error {
	if c.plain != nil {
		c.plain.sockets.close()
	}
	if err := c.via.close(); err != nil {
		return fmt.Errorf("closing the connections to %s: %w", c.spec.Label(), err)
	}
	return nil
}

// Spec returns where the client asks.
func (c *Client) Spec() Spec { return c.spec }

// Plus adds up what two clients counted.
func (s Stats) Plus(o Stats) Stats {
	s.Mismatches += o.Mismatches
	s.Folded += o.Folded
	s.Cookieless += o.Cookieless
	s.Dials += o.Dials
	s.Resumed += o.Resumed
	s.Lost += o.Lost
	return s
}

// Stats returns what was counted.
func (c *Client) Stats() Stats {
	return Stats{
		Mismatches: c.stats.mismatches.Load(), Folded: c.stats.folded.Load(), Cookieless: c.stats.cookieless.Load(),
		Dials: c.stats.dials.Load(), Resumed: c.stats.resumed.Load(), Lost: c.stats.lost.Load(),
	}
}

// Ask sends q and returns its answer, whatever its rcode: one whose ID and
// question are those sent. AD is set only where the upstream is trusted for it
// ([Spec.Trusted]). It waits until ctx ends, and for Options.Timeout where
// ctx has no deadline. The error wraps [ErrUnreadable] where something came that is no message.
func (c *Client) Ask(ctx context.Context, q Question) (*dns.Msg, error) {
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opt.Timeout)
		defer cancel()
	}
	m, err := c.ask(ctx, &q, true)
	if err == nil && m.IsEdns0() == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		// RFC 6891 §7: such a server knows no EDNS.
		m, err = c.ask(ctx, &q, false)
	}
	if err == nil && m.Rcode == dns.RcodeBadVers {
		err = errors.New("it refuses EDNS version 0")
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", c.spec.Label(), err)
	}
	m.AuthenticatedData = m.AuthenticatedData && c.spec.Trusted()
	return m, nil
}

func (c *Client) ask(ctx context.Context, q *Question, edns bool) (*dns.Msg, error) {
	if c.plain != nil {
		m, err := c.plain.ask(ctx, q, edns)
		if !errors.Is(err, errUseTCP) {
			return m, err
		}
	}
	encrypted := c.spec.scheme.Encrypted()
	got, err := c.via.exchange(ctx, q.message(shape{edns: edns, ad: c.spec.Trusted(), pad: encrypted, zeroID: c.spec.scheme >= HTTPS}))
	if err != nil {
		return nil, err
	}
	return unpack(got)
}

// addr returns the address in use, and which one it is.
func (c *Client) addr() (netip.AddrPort, uint32) {
	i := c.at.Load()
	return netip.AddrPortFrom(c.spec.addrs[int(i)%len(c.spec.addrs)], c.spec.port), i
}

// skip lets the next address be used instead of address i, which failed.
func (c *Client) skip(i uint32) {
	if len(c.spec.addrs) > 1 {
		c.at.CompareAndSwap(i, i+1)
	}
}

// dial connects to the upstream's first address that takes the connection.
func (c *Client) dial(ctx context.Context, network string) (net.Conn, error) {
	var first error
	for range c.spec.addrs {
		addr, i := c.addr()
		conn, err := c.opt.Dial(ctx, network, addr.String())
		if err == nil {
			return conn, nil
		}
		c.skip(i)
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// tlsConfig returns what a connection to the upstream needs. Sessions are
// resumed, so that a connection after an idle time costs one round trip less.
func (c *Client) tlsConfig(alpn ...string) *tls.Config {
	name := c.spec.name
	if name == "" {
		name = c.spec.addrs[0].WithZone("").String()
	}
	t := &tls.Config{
		ServerName: name, NextProtos: alpn, MinVersion: tls.VersionTLS12,
		RootCAs: c.opt.Roots, Time: c.opt.now, ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}
	if len(c.spec.pins) > 0 {
		// RFC 7858 §4.2: the pinned key alone says who it is, so that a resolver of
		// one's own needs no authority. Called for resumed sessions too.
		t.InsecureSkipVerify = true
		t.VerifyConnection = c.checkPin
	}
	return t
}

var errPin = errors.New("its public key is none of those pinned: either its key was changed, or somebody else answers")

func (c *Client) checkPin(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errPin
	}
	got := pinOf(s.PeerCertificates[0])
	for _, p := range c.spec.pins {
		if p == got {
			return nil
		}
	}
	return errPin
}
