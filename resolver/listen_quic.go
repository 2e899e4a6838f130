package resolver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// All that depends on the QUIC library, as a server, stands in this file.

// DoQ's error codes (RFC 9250 §4.3).
const (
	doqNoError       = 0
	doqProtocolError = 2
	doqExcessiveLoad = 4
)

const (
	// verifyAbove is from how many connections on a client must first show that it
	// reads what is sent to its address (RFC 9000 §8.1.2), which costs a round trip.
	verifyAbove = 256

	// handshakesBeyond is how many clients may be agreeing on keys beside the
	// connections that are open, and handshakesOfClient how many of them are one's own:
	// 70 KB each, before its crowd knows of them.
	handshakesBeyond   = 512
	handshakesOfClient = 64

	// flushPause lets the last answers leave before a connection is closed, which
	// throws away what was not sent.
	flushPause = 20 * time.Millisecond
)

// quicListener takes QUIC connections at one address: DoQ, or HTTP/3.
type quicListener struct {
	s      *Server
	via    transport
	socket *net.UDPConn
	tr     *quic.Transport
	ln     *quic.Listener
	open   places // connections, those whose handshake is under way included
}

func (s *Server) newQUIC(socket *net.UDPConn, via transport) (*quicListener, error) {
	l := &quicListener{s: s, via: via, socket: socket}
	l.open.most, l.open.perClient = s.limits.TLSConns+handshakesBeyond, s.limits.TLSConnsPerClient+handshakesOfClient
	socket.SetReadBuffer(udpReadBuffer) // the system may allow less
	l.tr = &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return l.open.taken() > verifyAbove },
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			var client netip.Prefix
			if info.AddrVerified { // else anybody could take its places
				client = clientNetwork(info.RemoteAddr.(*net.UDPAddr).AddrPort().Addr())
			}
			if !l.open.enter(client) {
				s.secure.metrics.refused.Inc()
				return nil, errors.New("too many connections")
			}
			context.AfterFunc(ctx, func() { l.open.leave(client) })
			return ctx, nil
		},
	}
	c := &quic.Config{
		HandshakeIdleTimeout: s.limits.TLSHandshake / 2, // a whole one may take twice that
		MaxIdleTimeout:       s.limits.TLSIdle,
		// Questions are small.
		InitialStreamReceiveWindow: 8 << 10, MaxStreamReceiveWindow: 16 << 10,
		InitialConnectionReceiveWindow: 64 << 10, MaxConnectionReceiveWindow: 256 << 10,
		MaxIncomingStreams:    streamsPerConn,
		MaxIncomingUniStreams: -1, // RFC 9250 §4.2: there are none
		// No 0-RTT: whoever records a question could play it again and see what
		// follows (RFC 9250 §4.5), and it would save little.
		Allow0RTT: false,
	}
	tc := s.tlsConfig(alpnDoQ)
	if via == overHTTPS {
		tc = s.tlsConfig(http3.NextProtoH3)
		c.MaxIncomingUniStreams = 3 // RFC 9114 §6.2: control, and two for headers
	}
	var err error
	if l.ln, err = l.tr.Listen(tc, c); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *quicListener) port() int { return l.socket.LocalAddr().(*net.UDPAddr).Port }

// serve takes connections until stop is called.
func (l *quicListener) serve(ctx context.Context) error {
	for {
		conn, err := l.ln.Accept(ctx)
		if err != nil {
			if l.s.closing.Load() {
				return nil
			}
			return err
		}
		l.s.metrics.handshake(l.via, true, conn.ConnectionState().TLS.DidResume)
		l.take(ctx, conn)
	}
}

// take serves a connection, unless there are too many.
func (l *quicListener) take(ctx context.Context, conn *quic.Conn) {
	from := conn.RemoteAddr().(*net.UDPAddr).AddrPort()
	reading, stopReading := context.WithCancel(ctx)
	c := &quicConn{s: l.s, conn: conn, from: from, network: clientNetwork(from.Addr()), noError: doqNoError, excessiveLoad: doqExcessiveLoad}
	if l.via == overHTTPS {
		c.noError, c.excessiveLoad = quic.ApplicationErrorCode(http3.ErrCodeNoError), quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad)
	}
	end := func() { conn.CloseWithError(c.excessiveLoad, "") }
	m := l.s.secure.admit(c.network, end, func(bool) { stopReading() })
	if m == nil {
		stopReading()
		end()
		return
	}
	state := conn.ConnectionState().TLS
	c.member, c.token = m, l.s.tokenOf(&state, state.ServerName, nil)
	go func() {
		defer m.crowd.leave(m)
		defer stopReading()
		if l.via == overHTTPS {
			c.serveHTTP3(reading, ctx)
		} else {
			c.serveDoQ(reading, ctx)
		}
	}()
}

// localOf returns the address of this server that a client connected to.
func localOf(conn *quic.Conn) netip.Addr {
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
}

// stop takes no more connections; those that are open go on.
func (l *quicListener) stop() { l.ln.Close() }

// close lets go of the socket.
func (l *quicListener) close() error {
	return errors.Join(l.tr.Close(), l.socket.Close())
}

// quicConn is a client's QUIC connection.
type quicConn struct {
	s *Server
	*member
	conn    *quic.Conn
	from    netip.AddrPort
	network netip.Prefix // of from
	token   string

	noError, excessiveLoad quic.ApplicationErrorCode // as its protocol says them
}

// streams handles each stream that the client opens in a goroutine of its own,
// streamsPerConn at most, until reading ends, and closes the connection when all
// are done. Each has a place among the bodies, which handle gives back.
func (c *quicConn) streams(reading context.Context, handle func(*quic.Stream)) {
	var under sync.WaitGroup
	for {
		str, err := c.conn.AcceptStream(reading)
		if err != nil {
			var idle *quic.IdleTimeoutError
			if errors.As(err, &idle) {
				c.crowd.metrics.idle.Inc()
			}
			break
		}
		if !c.s.bodies.enter(c.network) {
			c.s.metrics.limited[limitTooMany].Inc()
			c.drop(str)
			continue
		}
		under.Go(func() { handle(str) })
	}
	under.Wait()
	if c.conn.Context().Err() == nil {
		time.Sleep(flushPause)
	}
	c.conn.CloseWithError(c.noError, "")
}

// serveDoQ answers questions, one a stream (RFC 9250 §4.2).
func (c *quicConn) serveDoQ(reading, work context.Context) {
	c.streams(reading, func(str *quic.Stream) { c.answer(work, str) })
}

var errProtocol = errors.New("the client does not keep to RFC 9250")

// answer answers the question of a stream.
func (c *quicConn) answer(work context.Context, str *quic.Stream) {
	mem := c.s.scratch.Get().(*scratch)
	defer c.s.giveBack(mem)
	str.SetDeadline(time.Now().Add(c.s.limits.TCPRead))
	n, err := readQuestion(str, mem.buf)
	c.s.bodies.leave(c.network)
	switch {
	case errors.Is(err, errProtocol):
		c.crowd.metrics.broken.Inc()
		c.conn.CloseWithError(doqProtocolError, err.Error())
		return
	case err != nil:
		if errors.Is(err, errTooLong) {
			c.s.metrics.tooLong.Inc()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.crowd.metrics.broken.Inc()
		}
		c.drop(str)
		return
	}
	c.begin() // not before: who is waited for makes room, and what is no question is no work for one
	defer c.done()
	if !c.s.pace(c.from.Addr(), c.s.limits.TLSIdle) {
		c.drop(str)
		return
	}
	q := &mem.q
	q.reset(mem.buf[:n], c.from, overQUIC)
	q.clues.Token, q.local = c.token, localOf(c.conn)
	st := c.s.answerNear(work, q)
	switch {
	case st == quiet, q.keepalive: // §5.5.2 has no use for that option
		c.crowd.metrics.broken.Inc()
		c.conn.CloseWithError(doqProtocolError, "")
		return
	case st == pass:
		q = q.detach()
		sent := make(chan struct{})
		if c.s.goFar(work, q, func() { close(sent) }) {
			<-sent
		}
	}
	str.SetWriteDeadline(time.Now().Add(c.s.limits.TCPWrite))
	if _, err := str.Write(append(appendWord(nil, uint16(len(q.out))), q.out...)); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.crowd.metrics.unread.Inc()
		}
		c.drop(str)
		return
	}
	str.Close()
}

// drop ends a stream without an answer.
func (c *quicConn) drop(str *quic.Stream) {
	str.CancelRead(quic.StreamErrorCode(c.excessiveLoad))
	str.CancelWrite(quic.StreamErrorCode(c.excessiveLoad))
}

// readQuestion reads the one message that a stream has (§4.2), whose ID is 0
// (§4.2.1), and the stream's end.
func readQuestion(r io.Reader, buf []byte) (int, error) {
	n, err := readFrame(r, buf)
	switch {
	case errors.Is(err, errTooLong):
		return 0, err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errFrame):
		return 0, errProtocol
	case err != nil:
		return 0, err
	}
	if word(buf, 0) != 0 {
		return 0, errProtocol
	}
	var more [1]byte
	switch k, err := r.Read(more[:]); {
	case k > 0:
		return 0, errProtocol
	case errors.Is(err, io.EOF):
		return n, nil
	case err == nil:
		return 0, io.ErrNoProgress
	default:
		return 0, err
	}
}

// serveHTTP3 answers requests, one a stream.
func (c *quicConn) serveHTTP3(reading, work context.Context) {
	h3 := &http3.Server{Handler: c.s.DoH(), MaxHeaderBytes: maxHTTPHeader}
	h3.ConnContext = func(ctx context.Context, _ *quic.Conn) context.Context {
		return context.WithValue(withPeer(ctx, httpPeer{c.member, c.from, localOf(c.conn)}), workKey{}, work)
	}
	raw, err := h3.NewRawServerConn(c.conn)
	if err != nil {
		c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeInternalError), "")
		return
	}
	var control sync.WaitGroup
	control.Go(func() {
		for {
			str, err := c.conn.AcceptUniStream(context.Background()) // until the connection ends
			if err != nil {
				return
			}
			control.Go(func() { raw.HandleUnidirectionalStream(str) })
		}
	})
	l := c.s.limits
	c.streams(reading, func(str *quic.Stream) {
		defer c.s.bodies.leave(c.network) // not sooner, see maxBodies
		now := time.Now()
		str.SetReadDeadline(now.Add(2 * l.TCPRead))
		str.SetWriteDeadline(now.Add(2*l.TCPRead + l.QueryDeadline + l.TCPWrite))
		raw.HandleRequestStream(str)
	})
	control.Wait()
}

// advertise is what handlers of HTTP/1.1 and HTTP/2 at the same port say of l.
func (l *quicListener) advertise(next http.Handler) http.Handler { return advertise(l.port(), next) }
