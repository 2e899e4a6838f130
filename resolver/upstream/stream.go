package upstream

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// streamPool keeps connections over which questions go one behind the other, and
// answers come back in any order (RFC 7766 §6.2.1.1, RFC 7858 §3.3).
type streamPool struct {
	c   *Client
	tls *tls.Config // nil: plain TCP

	mu     sync.Mutex // held when a connection is chosen, comes or goes; never while waiting
	conns  []*stream
	closed bool
	work   sync.WaitGroup
}

const (
	maxStreams = 4   // connections to one upstream
	perStream  = 256 // questions on one before another is opened
)

// ErrCrowded: as many questions wait for the upstream as may.
var ErrCrowded = errors.New("too many questions wait for this upstream")

var (
	errClosed = errors.New("the client is closed")
	errLost   = errors.New("the connection broke before the answer came")
	errSilent = fmt.Errorf("not a word came since a question: %w", os.ErrDeadlineExceeded)
)

func newStreamPool(c *Client, t *tls.Config) *streamPool { return &streamPool{c: c, tls: t} }

// exchange sends m over a connection that is there, or a new one. Where one that
// was there turns out to be dead, which is usual after an idle time, a new one
// gets a second chance.
func (p *streamPool) exchange(ctx context.Context, m *message) ([]byte, error) {
	for {
		s, fresh, err := p.take()
		if err != nil {
			return nil, err
		}
		got, err := s.exchange(ctx, m)
		if err == nil || fresh || !errors.Is(err, errLost) || ctx.Err() != nil {
			return got, err
		}
	}
}

// take returns the connection with the fewest questions, or a new one. Opening
// it goes on beside; who uses it waits for it.
func (p *streamPool) take() (s *stream, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, errClosed
	}
	least := int64(perStream)
	for _, c := range p.conns {
		if n := c.waiting.Load(); n < least && !c.dead.Load() {
			s, least = c, n
		}
	}
	if s != nil {
		s.waiting.Add(1)
		return s, false, nil
	}
	if len(p.conns) >= maxStreams {
		return nil, false, ErrCrowded
	}
	s = &stream{pool: p, ready: make(chan struct{}), byID: map[uint16]*waiter{}}
	s.waiting.Add(1)
	p.conns = append(p.conns, s)
	p.work.Go(s.run)
	return s, true, nil
}

func (p *streamPool) drop(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.conns {
		if c == s {
			p.conns = append(p.conns[:i], p.conns[i+1:]...)
			return
		}
	}
}

func (p *streamPool) close() error {
	p.mu.Lock()
	p.closed = true
	open := append([]*stream(nil), p.conns...)
	p.mu.Unlock()
	for _, s := range open {
		s.end(errClosed)
	}
	p.work.Wait()
	return nil
}

// stream is one connection. One goroutine opens and reads it; whoever asks
// writes by themselves, in turns.
type stream struct {
	pool    *streamPool
	ready   chan struct{} // closed when it is open, or will never be
	waiting atomic.Int64  // questions on it
	dead    atomic.Bool   // takes no more
	heard   atomic.Uint64 // how often something came

	mu   sync.Mutex // guards what follows, and is never held while waiting
	conn net.Conn   // nil before ready
	byID map[uint16]*waiter
	err  error

	writing sync.Mutex
}

type waiter struct {
	m   *message
	got chan []byte // nil for a broken connection; room for one
}

// run opens the connection, reads answers, and ends it.
func (s *stream) run() {
	defer s.pool.drop(s)
	ctx, cancel := context.WithTimeout(context.Background(), s.pool.c.opt.Timeout)
	conn, err := s.open(ctx)
	cancel()
	s.mu.Lock()
	if err == nil && s.err != nil { // ended meanwhile
		conn.Close()
		err = s.err
	}
	if s.conn, s.err = conn, err; err != nil {
		s.conn = nil
	}
	s.mu.Unlock()
	close(s.ready)
	if err != nil {
		s.end(err)
		return
	}
	s.end(s.read())
}

func (s *stream) open(ctx context.Context) (net.Conn, error) {
	conn, err := s.pool.c.dial(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	s.pool.c.stats.dials.Add(1)
	if s.pool.tls == nil {
		return conn, nil
	}
	t := tls.Client(conn, s.pool.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if t.ConnectionState().DidResume {
		s.pool.c.stats.resumed.Add(1)
	}
	return t, nil
}

// read hands answers to those who wait until nothing was asked for the idle
// time, or the connection breaks.
func (s *stream) read() error {
	var size [2]byte
	have := 0 // bytes of size: its two may come apart
	for {
		s.conn.SetReadDeadline(time.Now().Add(s.pool.c.opt.idle))
		n, err := io.ReadFull(s.conn, size[have:])
		if have += n; err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && s.busy() {
				continue // questions came meanwhile; each has a time of its own
			}
			return err
		}
		have = 0
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		s.conn.SetReadDeadline(time.Now().Add(s.pool.c.opt.Timeout))
		if _, err := io.ReadFull(s.conn, buf); err != nil {
			return err
		}
		s.heard.Add(1)
		s.deliver(buf)
	}
}

// busy reports whether somebody waits; otherwise nobody will any more.
func (s *stream) busy() bool {
	s.pool.mu.Lock() // so that nobody takes it between the look and its end
	defer s.pool.mu.Unlock()
	if s.waiting.Load() > 0 {
		return true
	}
	s.dead.Store(true)
	return false
}

func (s *stream) deliver(got []byte) {
	if len(got) < headerLen {
		s.pool.c.stats.mismatches.Add(1)
		return
	}
	id := binary.BigEndian.Uint16(got)
	s.mu.Lock()
	defer s.mu.Unlock()
	// The case of the name does not count here: nobody else can write into the
	// stream.
	w := s.byID[id]
	if w == nil || w.m.matches(got) == noMatch {
		s.pool.c.stats.mismatches.Add(1)
		return
	}
	delete(s.byID, id)
	w.got <- got
}

// end closes the connection; whoever waits is told.
func (s *stream) end(err error) {
	s.dead.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if len(s.byID) > 0 {
		s.pool.c.stats.lost.Add(1)
	}
	for id, w := range s.byID {
		delete(s.byID, id)
		w.got <- nil
	}
}

func (s *stream) exchange(ctx context.Context, m *message) ([]byte, error) {
	defer s.waiting.Add(-1)
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w := &waiter{m: m, got: make(chan []byte, 1)}
	if err := s.enter(w); err != nil {
		return nil, err
	}
	heard := s.heard.Load()
	if err := s.write(ctx, m.framed); err != nil {
		s.end(err)
		return nil, fmt.Errorf("%w: %w", errLost, err)
	}
	select {
	case got := <-w.got:
		if got == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", errLost, s.err)
		}
		return got, nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.byID, m.id())
		s.mu.Unlock()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && s.heard.Load() == heard {
			s.end(errSilent) // the other end is gone, so the next one opens another
		}
		return nil, ctx.Err()
	}
}

// enter gives the question an ID that nobody else has on this connection.
func (s *stream) enter(w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn == nil:
		return s.err // it never opened: who waited for that need not try again, each one
	case s.err != nil:
		return fmt.Errorf("%w: %w", errLost, s.err)
	}
	for s.byID[w.m.id()] != nil {
		var b [2]byte
		rand.Read(b[:])
		w.m.setID(binary.BigEndian.Uint16(b[:]))
	}
	s.byID[w.m.id()] = w
	return nil
}

func (s *stream) write(ctx context.Context, framed []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	until, _ := ctx.Deadline() // Ask sets one
	s.conn.SetWriteDeadline(until)
	_, err := s.conn.Write(framed) // length and message in one write (RFC 7766 §8)
	return err
}
