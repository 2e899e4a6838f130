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
	late lateAnswers
}

// packets returns what reads and sends on the socket, and how many datagrams at a
// time.
func (u *udpSocket) packets(s *Server) (packets, int, error) {
	if s.plainPackets {
		return &onePacket{conn: u.conn}, 1, nil
	}
	return newPackets(u.conn)
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
func (u *udpSocket) serve(ctx context.Context, s *Server, l *lane) error {
	io, size, err := u.packets(s)
	if err != nil {
		return err
	}
	if u.late.io, _, err = u.packets(s); err != nil {
		return err
	}
	oob := 0
	if u.wild {
		oob = oobLen
	}
	batch := newBatch(size, s.limits.Message, oob)
	q := &query{room: new(nameRoom), front: newFront(), lane: l}
	if s.starting.Add(-1) == 0 {
		close(s.reading)
	}
	for {
		n, err := io.read(batch)
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
		now := s.now() // a clock is as dear as a decision, and these came together
		for i := range batch[:n] {
			p := &batch[i]
			q.out = p.out[:0]
			u.answer(ctx, s, q, p, now)
			p.out = q.out
		}
		io.send(n)
	}
}

// answer answers p in q.out, which is empty where no answer is due, or not yet.
func (u *udpSocket) answer(ctx context.Context, s *Server, q *query, p *packet, now time.Time) {
	if p.cut || p.from.Port() == 0 { // longer than any query; or answerable to nobody
		q.lane.queries[overUDP][outDropped].Add(1)
		if p.cut {
			s.metrics.tooLong.Inc()
		}
		return
	}
	msg, client := p.msg, p.from
	if set := s.settings.Load(); set.proxied && set.proxies.Lookup(plainAddr(p.from)) {
		var head int
		var err error
		if client, head, err = parseProxy(msg, p.from); err != nil {
			q.lane.queries[overUDP][outDropped].Add(1)
			s.metrics.proxyBroken.Inc()
			return
		}
		msg = msg[head:]
	}
	q.reset(msg, client, overUDP)
	q.now = now
	switch {
	case client != p.from: // what the client asked is the proxy's
	case u.wild:
		q.local = sentAt(p.back)
	default:
		q.local = u.addr
	}
	switch s.answerNear(ctx, q) {
	case pass:
		far, a := q.detach(), lateAnswer{back: bytes.Clone(p.back), to: p.from, name: bytes.Clone(p.name)}
		q.out = q.out[:0]
		if !s.goFar(ctx, far, func() {
			a.out = far.out
			u.late.send(a)
		}) {
			q.out = append(q.out, far.out...) // leaves with the batch
		}
	case quiet:
		q.out = q.out[:0]
	}
}
