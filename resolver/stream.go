package resolver

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// streamConn is one connection that carries DNS messages with their length
// before them: plain TCP (RFC 7766) or DoT (RFC 7858). Questions may come one
// behind the other, and answers go out in the order in which they are ready. One
// goroutine reads; one writes while there is something to write; questions that
// wait for an upstream have one each, at most as many as there are slots. A
// client that does not read its answers is not read from either, and loses the
// connection in the end.
//
// It is made so that an idle one holds little: the buffers for a message are
// taken when its first byte is there.
type streamConn struct {
	s *Server
	*member
	conn    net.Conn
	peer    *crowdConn
	via     transport
	token   string
	local   netip.Addr // see query
	idle    time.Duration
	slots   chan struct{}  // one is held for each question until its answer is written
	in      *bufio.Reader  // of conn
	pending sync.WaitGroup // questions that others answer

	mu      sync.Mutex
	out     []byte // answers with their lengths before them
	due     int    // how many
	writing bool
	writers sync.WaitGroup
}

const (
	// settleAfter is how long a connection is idle until another goroutine waits on
	// it, whose stack holds half of what answering made of the one before.
	settleAfter = 3 * time.Second

	// readAhead is what is read of a connection in clear at once: some questions.
	readAhead = 1024

	// readHead is what is read ahead of an encrypted one, which keeps what it has
	// deciphered itself: as little as bufio does.
	readHead = 16
)

// writeStep is how much of its answers a client must take in Limits.TCPWrite.
const writeStep = 64 << 10

// scratch is what a question needs while it is read and answered near.
type scratch struct {
	buf []byte
	q   query
}

func newStreamConn(s *Server, l *streamListener, conn net.Conn, peer *crowdConn, token string) *streamConn {
	ahead := readAhead
	if _, encrypted := conn.(*tls.Conn); encrypted {
		ahead = readHead
	}
	return &streamConn{
		s: s, in: bufio.NewReaderSize(conn, ahead), member: peer.member, conn: conn, peer: peer, via: l.via, token: token, local: peer.local(),
		idle: s.limits.idle(l.via), slots: make(chan struct{}, s.limits.TCPInFlight),
	}
}

// serve answers until the client leaves, is idle or does wrong, then sends what
// is still due (RFC 7766 §6.2.4) and closes.
func (c *streamConn) serve(ctx context.Context, settled bool) {
	settles, err := c.read(ctx, settled)
	if settles {
		go c.serve(ctx, true)
		return
	}
	if err != nil {
		c.crowd.metrics.broken.Inc()
	}
	c.pending.Wait()
	c.writers.Wait()
	c.conn.Close()
}

var (
	errFrame   = errors.New("message of an impossible length")
	errTooLong = fmt.Errorf("%w: more than is read", errFrame)
)

// slot takes the place of one more question on the connection, and waits where
// there is none: the client reads its answers too slowly, or asks too much at once.
func (c *streamConn) slot() {
	select {
	case c.slots <- struct{}{}:
	default:
		c.crowd.metrics.pipelined.Inc()
		c.slots <- struct{}{}
	}
}

// free gives n slots back.
func (c *streamConn) free(n int) {
	for range n {
		c.done()
		<-c.slots
	}
}

// read answers questions until none follows. An error says that the client did
// wrong; leaving or being idle between two messages is not wrong. Where it settles it
// is to be called again, for what is left of the time that a connection may be idle.
func (c *streamConn) read(ctx context.Context, settled bool) (settles bool, err error) {
	for {
		wait := min(c.idle, settleAfter)
		if settled {
			wait = c.idle - settleAfter
		}
		if !c.await(wait) {
			return false, nil
		}
		if _, err := c.in.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && !c.s.closing.Load() {
				if !settled && c.idle > settleAfter {
					return true, nil
				}
				c.crowd.metrics.idle.Inc()
			}
			return false, nil
		}
		// From the first byte on the clock runs for the whole message, so that
		// one sent a byte at a time holds the connection no longer.
		if !c.await(c.s.limits.TCPRead) {
			return false, nil
		}
		if more, err := c.readOne(ctx); !more {
			return false, err
		}
		settled = false
	}
}

// readOne reads a question and sees to its answer. It returns false where no
// other is to be read.
func (c *streamConn) readOne(ctx context.Context) (more bool, err error) {
	mem := c.s.scratch.Get().(*scratch)
	defer c.s.giveBack(mem)
	n, err := readFrame(c.in, mem.buf)
	if err != nil {
		if c.s.closing.Load() || errors.Is(err, net.ErrClosed) { // by us: evicted
			return false, nil
		}
		if errors.Is(err, errTooLong) {
			c.s.metrics.tooLong.Inc()
		}
		return false, err
	}
	c.begin() // until free: it is not idle
	if !c.s.pace(c.peer.from.Addr(), c.idle) {
		c.done()
		return false, nil
	}
	c.slot()
	q := &mem.q
	q.reset(mem.buf[:n], c.peer.from, c.via)
	q.clues.Token, q.local = c.token, c.local
	q.idle = c.idle
	switch c.s.answerNear(ctx, q) {
	case quiet:
		c.free(1)
	case pass:
		far := q.detach()
		c.pending.Add(1)
		send := func() { c.send(far); c.pending.Done() }
		if !c.s.goFar(ctx, far, send) {
			send()
		}
	case done:
		c.send(q)
	}
	return true, nil
}

// giveBack returns a question's memory, unless a large answer made it large.
func (s *Server) giveBack(mem *scratch) {
	out := mem.q.out
	if cap(out) > 4096 {
		out = nil
	}
	mem.q = query{out: out[:0]} // what was asked is not kept
	s.scratch.Put(mem)
}

// await gives the next read its time. It returns false where the server stops.
func (c *streamConn) await(d time.Duration) bool {
	c.conn.SetReadDeadline(time.Now().Add(d))
	return !c.s.closing.Load() // after the deadline was set: a stop sets it after closing
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

// send hands an answer to the writer, and starts one where there is none. It does
// not wait.
func (c *streamConn) send(q *query) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Length and message go in one write (RFC 7766 §8), with others that are due.
	c.out = appendWord(c.out, uint16(len(q.out)))
	c.out = append(c.out, q.out...)
	c.due++
	if !c.writing {
		c.writing = true
		c.writers.Go(c.write)
	}
}

// write writes answers until there are no more. After an error they are thrown
// away, so that nobody waits for them.
func (c *streamConn) write() {
	for {
		c.mu.Lock()
		out, due := c.out, c.due
		c.out, c.due = nil, 0
		c.writing = due > 0
		c.mu.Unlock()
		if due == 0 {
			return
		}
		for len(out) > 0 {
			n := min(len(out), writeStep)
			c.conn.SetWriteDeadline(time.Now().Add(c.s.limits.TCPWrite))
			if _, err := c.conn.Write(out[:n]); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					c.crowd.metrics.unread.Inc()
				}
				c.end() // ends the reader, and all later writes, too
				break
			}
			out = out[n:]
		}
		c.free(due)
	}
}
