package resolver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tcpListeners are the server's TCP listeners and the connections they took.
type tcpListeners struct {
	s         *Server
	listeners []*net.TCPListener
	conns     sync.WaitGroup

	mu        sync.Mutex // held when a connection comes or goes, never for a query
	active    map[*tcpConn]struct{}
	clients   map[netip.Prefix]int
	strangers int // of active
}

func newTCPListeners(s *Server) *tcpListeners {
	return &tcpListeners{s: s, active: map[*tcpConn]struct{}{}, clients: map[netip.Prefix]int{}}
}

// open returns the number of open connections.
func (t *tcpListeners) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.active)
}

// serve takes connections from l until it is closed.
func (t *tcpListeners) serve(ctx context.Context, l *net.TCPListener) error {
	for {
		c, err := l.AcceptTCP()
		if t.s.closing.Load() {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			t.s.metrics.acceptErrors.Inc()
			time.Sleep(brokenPause) // out of descriptors, or the client left at once
			continue
		}
		conn := t.admit(c)
		if conn == nil {
			t.s.metrics.tcpRefused.Inc()
			c.Close()
			continue
		}
		t.conns.Go(func() {
			defer t.leave(conn)
			conn.serve(ctx)
		})
	}
}

// admit enters a connection, nil where there are too many.
func (t *tcpListeners) admit(c *net.TCPConn) *tcpConn {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	client := clientNetwork(from.Addr())
	t.mu.Lock()
	defer t.mu.Unlock()
	// Who may not ask must not take the place of who may: strangers, who have a zone
	// to ask for at most, share a few places of their own.
	set := t.s.settings.Load()
	stranger := !set.admits(from.Addr())
	open, most, each := len(t.active)-t.strangers, t.s.limits.TCPConns, t.s.limits.TCPConnsPerClient
	if stranger {
		open, most, each = t.strangers, zoneConns, zoneConnsPerClient
	}
	switch {
	case stranger && !set.servesStrangers():
		return nil
	case t.clients[client] >= each && !t.evict(stranger, client):
		return nil
	case open >= most && !t.evict(stranger, netip.Prefix{}):
		return nil
	}
	conn := &tcpConn{
		s: t.s, conn: c, from: from, client: client, stranger: stranger,
		out:   make(chan []byte, t.s.limits.TCPInFlight),
		slots: make(chan struct{}, t.s.limits.TCPInFlight),
	}
	t.active[conn] = struct{}{}
	t.clients[client]++
	if stranger {
		t.strangers++
	}
	return conn
}

// evict closes the connection that has waited longest for its client to say
// something, so that idle ones do not keep others out (RFC 7766 §6.2.3). Strangers
// make room for strangers alone; it is one of client's where that is valid. It
// returns false where all are at work. The caller holds t.mu.
func (t *tcpListeners) evict(stranger bool, client netip.Prefix) bool {
	var victim *tcpConn
	var since int64
	for c := range t.active {
		if c.stranger != stranger || client.IsValid() && c.client != client || len(c.slots) > 0 {
			continue
		}
		if at := c.waiting.Load(); at != 0 && (victim == nil || at < since) {
			victim, since = c, at
		}
	}
	if victim == nil {
		return false
	}
	t.s.metrics.tcpEvicted.Inc()
	t.forget(victim)
	victim.conn.Close()
	return true
}

func (t *tcpListeners) leave(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(c)
}

// forget takes a connection out, once. The caller holds t.mu.
func (t *tcpListeners) forget(c *tcpConn) {
	if _, ok := t.active[c]; !ok {
		return
	}
	delete(t.active, c)
	if c.stranger {
		t.strangers--
	}
	if t.clients[c.client]--; t.clients[c.client] == 0 {
		delete(t.clients, c.client)
	}
}

// clientNetwork returns what counts as one client: an IPv4 address, or the /64
// in which one host can take any IPv6 address it likes.
func clientNetwork(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // no error: the address is of that family
	return p
}

func (t *tcpListeners) closeListeners() error {
	var errs []error
	for _, l := range t.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// stopReading ends the reads of all connections; answers still go out.
func (t *tcpListeners) stopReading() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.active {
		c.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// closeConns closes what a client does not let end.
func (t *tcpListeners) closeConns() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.active {
		c.conn.Close()
	}
}

// tcpConn is one connection (RFC 7766): questions may come one behind the
// other, and answers go out in the order in which they are ready. One goroutine
// reads, one writes; questions that wait for an upstream have one each, at most
// as many as there are slots. A client that does not read its answers is not
// read from either, and loses the connection in the end.
type tcpConn struct {
	s      *Server
	conn   *net.TCPConn
	from   netip.AddrPort
	client netip.Prefix
	// stranger: who is on no allow-list, and may ask for the zone alone.
	stranger bool
	out      chan []byte   // answers with their length before them; never full, since slots bounds it
	slots    chan struct{} // one is held for each question until its answer is written

	waiting atomic.Int64 // Unix nanoseconds since which nothing whole came from the client; 0 while it is served
}

// serve answers until the client leaves, is idle or does wrong, then sends what
// is still due (RFC 7766 §6.2.4) and closes.
func (c *tcpConn) serve(ctx context.Context) {
	var writer sync.WaitGroup
	writer.Go(c.write)
	var asked sync.WaitGroup
	if err := c.read(ctx, &asked); err != nil {
		c.s.metrics.tcpBroken.Inc()
	}
	asked.Wait()
	close(c.out)
	writer.Wait()
	c.conn.Close()
}

var (
	errFrame   = errors.New("message of an impossible length")
	errTooLong = fmt.Errorf("%w: more than is read", errFrame)
)

// slot takes the place of one more question on the connection, and waits where
// there is none: the client reads its answers too slowly, or asks too much at once.
func (c *tcpConn) slot() {
	select {
	case c.slots <- struct{}{}:
	default:
		c.s.metrics.tcpPipelined.Inc()
		c.slots <- struct{}{}
	}
}

// read answers questions until none follows. An error says that the client did
// wrong; leaving or being idle between two messages is not wrong.
func (c *tcpConn) read(ctx context.Context, asked *sync.WaitGroup) error {
	r := bufio.NewReaderSize(c.conn, 1024)
	buf := make([]byte, max(c.s.limits.Message, 2))
	q := &query{}
	for {
		c.waiting.Store(time.Now().UnixNano())
		if !c.await(c.s.limits.TCPIdle) {
			return nil
		}
		if _, err := r.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && !c.s.closing.Load() {
				c.s.metrics.tcpIdle.Inc()
			}
			return nil
		}
		// From the first byte on the clock runs for the whole message, so that
		// one sent a byte at a time holds the connection no longer.
		if !c.await(c.s.limits.TCPRead) {
			return nil
		}
		n, err := readFrame(r, buf)
		if err != nil {
			if c.s.closing.Load() || errors.Is(err, net.ErrClosed) { // by us: evicted
				return nil
			}
			if errors.Is(err, errTooLong) {
				c.s.metrics.tooLong.Inc()
			}
			return err
		}
		c.waiting.Store(0)
		if !c.pace() {
			return nil
		}
		c.slot()
		q.reset(buf[:n], c.from, overTCP)
		switch c.s.answerNear(ctx, q) {
		case quiet:
			<-c.slots
		case pass:
			far := q.detach()
			asked.Add(1)
			c.s.goFar(ctx, far, func() { c.send(far); asked.Done() })
		case done:
			c.send(q)
		}
	}
}

// await gives the next read its time. It returns false where the server stops.
func (c *tcpConn) await(d time.Duration) bool {
	c.conn.SetReadDeadline(time.Now().Add(d))
	return !c.s.closing.Load() // after the deadline was set: stopReading sets it after closing
}

// readFrame reads one message with its length before it (RFC 1035 §4.2.2).
func readFrame(r io.Reader, buf []byte) (int, error) {
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	switch {
	case n < headerLen: // nothing to answer to
		return 0, errFrame
	case n > len(buf): // nothing that is a query
		return 0, errTooLong
	}
	_, err := io.ReadFull(r, buf[:n])
	return n, err
}

// send hands an answer to the writer. It does not wait.
func (c *tcpConn) send(q *query) {
	frame := make([]byte, 0, 2+len(q.out))
	frame = appendWord(frame, uint16(len(q.out)))
	c.out <- append(frame, q.out...) // length and message in one write (RFC 7766 §8)
}

// write writes answers until there are no more. After an error the rest is
// thrown away, so that nobody waits for it.
func (c *tcpConn) write() {
	broken := false
	for frame := range c.out {
		if !broken {
			c.conn.SetWriteDeadline(time.Now().Add(c.s.limits.TCPWrite))
			if _, err := c.conn.Write(frame); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					c.s.metrics.tcpUnread.Inc()
				}
				broken = true
				c.conn.Close() // ends the reader too
			}
		}
		<-c.slots
	}
}
