package console

import (
	"net"
	"net/netip"
	"sync"
)

// crowd bounds how many connections a listener has at a time, in all and from an
// address. One too many is closed at once, without a word.
type crowd struct {
	net.Listener
	most, each int

	mu    sync.Mutex
	total int
	of    map[netip.Addr]int
}

func newCrowd(l net.Listener, most, each int) *crowd {
	return &crowd{Listener: l, most: most, each: each, of: map[netip.Addr]int{}}
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if a := from.Addr(); c.enter(a) {
			return &crowdConn{Conn: conn, leave: sync.OnceFunc(func() { c.leave(a) })}, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.most || c.of[a] >= c.each {
		return false
	}
	c.total++
	c.of[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.of[a]--; c.of[a] == 0 {
		delete(c.of, a)
	}
}

type crowdConn struct {
	net.Conn
	leave func()
}

func (c *crowdConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
