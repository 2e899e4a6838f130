package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"
)

// streamListener takes connections at one address: plain TCP, DoT, or DoH.
type streamListener struct {
	*net.TCPListener
	via   transport
	crowd *crowd
	tls   *tls.Config // nil: in clear
	http  *httpServer // who speaks on the connections, nil: DNS with a length before each message
}

// accept takes connections until the listener is closed. Each is greeted in a
// goroutine of its own, since clients may be slow to say who they are.
func (s *Server) accept(ctx context.Context, l *streamListener) error {
	for {
		c, err := l.AcceptTCP()
		if s.closing.Load() {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			s.metrics.acceptErrors.Inc()
			time.Sleep(brokenPause) // out of descriptors, or the client left at once
			continue
		}
		conn := s.admitConn(l, c)
		if conn == nil {
			c.Close()
			continue
		}
		go s.greet(ctx, l, conn) // ends before the connection does, which its crowd waits for
	}
}

// admitConn enters a connection, nil where it is not to be served.
func (s *Server) admitConn(l *streamListener, c *net.TCPConn) *crowdConn {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	set := s.settings.Load()
	client, crowd := clientNetwork(from.Addr()), l.crowd
	proxied := set.proxies.Lookup(plainAddr(from))
	switch {
	case proxied:
		client = netip.Prefix{} // it will say
	case l.via != overTCP || s.welcomes(from.Addr()):
	case set.servesStrangers():
		crowd = s.strangers // who may not ask must not take the place of who may
	default:
		crowd.metrics.refused.Inc()
		return nil
	}
	m := crowd.admit(client, func() { c.Close() }, func(busy bool) {
		if l.http == nil || !busy { // the HTTP server would take it for the client's leaving
			c.SetReadDeadline(time.Unix(1, 0))
		}
	})
	if m == nil {
		return nil
	}
	return &crowdConn{Conn: c, member: m, from: from, proxied: proxied}
}

// greet does what comes before the first question: a proxy says for whom it
// speaks, keys are agreed on. Then the connection is served in another goroutine,
// so that the memory of the handshake is not kept for as long as it is open.
func (s *Server) greet(ctx context.Context, l *streamListener, c *crowdConn) {
	if !s.hearProxy(l, c) {
		c.Close()
		return
	}
	var conn net.Conn = c
	token := ""
	if l.tls != nil {
		tc := tls.Server(c, l.tls)
		if !s.handshake(l.via, c, tc) {
			c.Close() // not tc, which would wait to say goodbye
			return
		}
		state := tc.ConnectionState()
		token = s.tokenOf(&state, state.ServerName, nil)
		conn = tc
	}
	if l.http != nil {
		l.http.give(conn)
		return
	}
	go newStreamConn(s, l, conn, c, token).serve(ctx, false)
}

// hearProxy lets an allow-listed proxy say who the client is (PROXY v2). It
// returns false where it does not, or that client is not to be served.
func (s *Server) hearProxy(l *streamListener, c *crowdConn) bool {
	if !c.proxied {
		return true
	}
	c.SetReadDeadline(time.Now().Add(s.limits.TCPRead))
	if s.closing.Load() {
		return false
	}
	from, err := readProxy(c, c.from)
	if err != nil {
		s.metrics.proxyBroken.Inc()
		return false
	}
	c.from = from
	if l.via == overTCP && !s.welcomes(from.Addr()) && !s.settings.Load().servesStrangers() {
		l.crowd.metrics.refused.Inc()
		return false
	}
	return l.crowd.name(c.member, clientNetwork(from.Addr()))
}

// handshake agrees on keys within the time for it.
func (s *Server) handshake(via transport, c *crowdConn, tc *tls.Conn) bool {
	c.SetDeadline(time.Now().Add(s.limits.TLSHandshake))
	if s.closing.Load() { // the deadline of the stop may have been set before
		return false
	}
	err := tc.Handshake()
	s.metrics.handshake(via, err == nil, tc.ConnectionState().DidResume)
	if err != nil {
		return false
	}
	c.SetDeadline(time.Time{})
	return true
}

func plainAddr(a netip.AddrPort) netip.Addr { return a.Addr().Unmap().WithZone("") }
