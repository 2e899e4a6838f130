package upstream

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// sockets are UDP sockets to the addresses of one upstream, each connected, so that
// only that address is heard, and each on a port that the system chose at random
// (RFC 5452 §9.2). A socket has one question at a time. It is used again a few
// times, since making one costs more than asking does, but is closed before anybody
// who looks for open ports could find it. Where anything came that was not the
// answer, while a question was there or while none was, it has no other question.
type sockets struct {
	dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	now  func() time.Time

	mu     sync.Mutex
	idle   []*socket // the one used last is the last
	sweep  *time.Timer
	closed bool
}

// socket is one of them.
type socket struct {
	net.Conn
	to     netip.AddrPort
	made   time.Time
	asked  int  // questions
	failed bool // it must not be used again
}

const (
	socketUses = 16          // questions a socket
	socketLife = time.Second // since it was made; scanning for it takes a minute and more
	socketIdle = 64          // sockets that wait for their next question
)

// get returns a socket to addr. Whoever gets it puts it back.
func (s *sockets) get(ctx context.Context, addr netip.AddrPort) (*socket, error) {
	if c := s.waiting(addr); c != nil {
		c.asked++
		return c, nil
	}
	conn, err := s.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &socket{Conn: conn, to: addr, made: s.now(), asked: 1}, nil
}

// waiting returns a socket to addr that was used before, nil for none. Nobody waits
// for the lock while the system is asked.
func (s *sockets) waiting(addr netip.AddrPort) *socket {
	for c := s.take(); c != nil; c = s.take() {
		if c.to == addr && s.now().Sub(c.made) < socketLife && !hasHeard(c.Conn) {
			return c
		}
		c.Close()
	}
	return nil
}

// take returns the socket used last of those that wait, nil for none.
func (s *sockets) take() *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	c := s.idle[n-1]
	s.idle[n-1], s.idle = nil, s.idle[:n-1]
	return c
}

// put takes a socket back.
func (s *sockets) put(c *socket) {
	left := socketLife - s.now().Sub(c.made)
	if c.failed || c.asked >= socketUses || left <= 0 || !s.keep(c, left) {
		c.Close()
	}
}

// keep lets c wait, at most as long as is left, unless there are enough.
func (s *sockets) keep(c *socket, left time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) >= socketIdle || s.closed {
		return false
	}
	s.idle = append(s.idle, c)
	if s.sweep == nil {
		s.sweep = time.AfterFunc(left, s.tidy)
	} else if len(s.idle) == 1 {
		s.sweep.Reset(left)
	}
	return true
}

// tidy closes all that wait: no port is open for long where nothing is asked. Nobody
// waits for the lock meanwhile.
func (s *sockets) tidy() {
	var idle [socketIdle]*socket
	s.mu.Lock()
	n := copy(idle[:], s.idle)
	clear(s.idle)
	s.idle = s.idle[:0]
	s.mu.Unlock()
	for _, c := range idle[:n] {
		c.Close()
	}
}

// close closes what waits, and what comes back later.
func (s *sockets) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.tidy()
}
