package resolver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	udpReadBuffer = 1 << 20 // a burst of some thousand questions while a loop is busy

	// brokenPause keeps a loop whose socket or listener errs from spinning.
	brokenPause = 5 * time.Millisecond
)

// udpSocket is one of the sockets of a listening address.
type udpSocket struct {
	conn *net.UDPConn
	// wild: the socket hears more than one address, so each answer must be told
	// which one to leave from: a client that asked 192.168.1.2 takes no answer
	// from 192.168.1.3.
	wild bool
	addr netip.Addr
}

func listenUDP(network string, host netip.AddrPort) (*udpSocket, error) {
	lc := net.ListenConfig{Control: sharePort}
	c, err := lc.ListenPacket(context.Background(), network, host.String())
	if err != nil {
		return nil, err
	}
	u := &udpSocket{conn: c.(*net.UDPConn), wild: host.Addr().IsUnspecified(), addr: host.Addr()}
	growReadBuffer(u.conn)
	if u.wild {
		if err := wantDestination(u.conn); err != nil {
			u.conn.Close()
			return nil, err
		}
	}
	return u, nil
}

// serve answers until the socket's reads are ended by a deadline. What needs no
// waiting is answered in the loop, in buffers that are used again; the rest is
// handed off.
func (u *udpSocket) serve(ctx context.Context, s *Server) error {
	buf := make([]byte, s.limits.Message)
	var oob []byte
	if u.wild {
		oob = make([]byte, oobLen)
	}
	q := &query{out: make([]byte, 0, maxEDNSUDP)}
	for {
		n, oobn, flags, from, err := u.conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			switch {
			case s.closing.Load():
				return nil
			case errors.Is(err, net.ErrClosed):
				return err
			}
			time.Sleep(brokenPause) // what an earlier answer met, or a passing shortage
			continue
		}
		if flags&msgTruncated != 0 || from.Port() == 0 { // longer than any query; or answerable to nobody
			s.metrics.queries[overUDP][outDropped].Inc()
			if flags&msgTruncated != 0 {
				s.metrics.tooLong.Inc()
			}
			continue
		}
		back, msg, client := replyFrom(oob[:oobn]), buf[:n], from
		if set := s.settings.Load(); set.proxied && set.proxies.Lookup(plainAddr(from)) {
			var head int
			if client, head, err = parseProxy(msg, from); err != nil {
				s.metrics.queries[overUDP][outDropped].Inc()
				s.metrics.proxyBroken.Inc()
				continue
			}
			msg = msg[head:]
		}
		q.reset(msg, client, overUDP)
		switch {
		case client != from: // what the client asked is the proxy's
		case u.wild:
			q.local = asked(back)
		default:
			q.local = u.addr
		}
		switch s.answerNear(ctx, q) {
		case pass:
			far, back := q.detach(), bytes.Clone(back)
			s.goFar(ctx, far, func() { u.send(far, back, from) })
		case done:
			u.send(q, back, from)
		}
	}
}

// send sends the answer to whom the question came from. Nobody is told if that fails: the client asks again.
func (u *udpSocket) send(q *query, back []byte, to netip.AddrPort) {
	u.conn.WriteMsgUDPAddrPort(q.out, back, to)
}
