package resolver

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// crowd is a bounded number of clients' connections: those of plain TCP are one,
// the encrypted ones of all kinds another, so that neither takes the other's
// place.
type crowd struct {
	most, perClient int
	metrics         *crowdMetrics
	all             sync.WaitGroup // of the members

	mu      sync.Mutex // held when a connection comes or goes, never for a query
	active  map[*member]struct{}
	clients map[netip.Prefix]int
}

// crowdMetrics count what became of a crowd's connections.
type crowdMetrics struct {
	refused, broken, idle, unread, evicted, pipelined prometheus.Counter
}

// member is a connection of a crowd.
type member struct {
	crowd  *crowd
	client netip.Prefix // invalid while a proxy has not said who it is, guarded by crowd.mu
	end    func()       // closes the connection at once; it does not wait for the client

	// hurry ends what waits for the client to say something; answers still go out.
	// It is told whether questions have no answer yet.
	hurry func(busy bool)

	waiting atomic.Int64 // Unix nanoseconds since which nothing whole came from the client
	asked   atomic.Bool  // a question was answered
	busy    atomic.Int32 // questions without an answer
}

func newCrowd(most, perClient int) *crowd {
	return &crowd{most: most, perClient: perClient, active: map[*member]struct{}{}, clients: map[netip.Prefix]int{}}
}

// open returns the number of open connections.
func (c *crowd) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.active)
}

// admit enters a connection of a client, nil where there are too many. The
// invalid client is not known yet; see name. Each that is entered must leave.
func (c *crowd) admit(client netip.Prefix, end func(), hurry func(busy bool)) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.room(client) || len(c.active) >= c.most && !c.evict(netip.Prefix{}) {
		c.metrics.refused.Inc()
		return nil
	}
	m := &member{crowd: c, client: client, end: end, hurry: hurry}
	m.touch()
	c.active[m] = struct{}{}
	c.count(client, 1)
	c.all.Add(1)
	return m
}

// name notes whose connection m is, which a proxy told. It returns false where
// that client has too many, or m was let go meanwhile.
func (c *crowd) name(m *member, client netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.active[m]; !ok {
		return false
	}
	if !c.room(client) {
		c.metrics.refused.Inc()
		return false
	}
	c.count(m.client, -1)
	m.client = client
	c.count(client, 1)
	return true
}

// room says whether a client may have one more, if need be for another of its
// own. The caller holds c.mu.
func (c *crowd) room(client netip.Prefix) bool {
	return !client.IsValid() || c.clients[client] < c.perClient || c.evict(client)
}

func (c *crowd) count(client netip.Prefix, n int) {
	if !client.IsValid() {
		return
	}
	if c.clients[client] += n; c.clients[client] == 0 {
		delete(c.clients, client)
	}
}

// evict closes the connection that has waited longest for its client to say
// something, so that idle ones do not keep others out (RFC 7766 §6.2.3); those
// that never asked anything go first. It is one of client's where that is valid.
// It returns false where all are at work. The caller holds c.mu.
func (c *crowd) evict(client netip.Prefix) bool {
	var victim *member
	var since int64
	var asked bool
	for m := range c.active {
		if client.IsValid() && m.client != client || m.busy.Load() > 0 {
			continue
		}
		at, a := m.waiting.Load(), m.asked.Load()
		if victim == nil || !a && asked || a == asked && at < since {
			victim, since, asked = m, at, a
		}
	}
	if victim == nil {
		return false
	}
	c.metrics.evicted.Inc()
	c.forget(victim)
	victim.end()
	return true
}

// leave takes m out once its connection is closed.
func (c *crowd) leave(m *member) {
	c.mu.Lock()
	c.forget(m)
	c.mu.Unlock()
	c.all.Done()
}

// forget makes m's place free, once. The caller holds c.mu.
func (c *crowd) forget(m *member) {
	if _, ok := c.active[m]; !ok {
		return
	}
	delete(c.active, m)
	c.count(m.client, -1)
}

// each calls f for every member.
func (c *crowd) each(f func(*member)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.active {
		f(m)
	}
}

// touch notes that the connection now waits for its client.
func (m *member) touch() { m.waiting.Store(time.Now().UnixNano()) }

// begin and done stand around the work for a question.
func (m *member) begin() { m.busy.Add(1) }

func (m *member) done() {
	m.asked.Store(true)
	m.touch()
	m.busy.Add(-1)
}

// crowdConn is a connection that leaves its crowd when it is closed.
type crowdConn struct {
	net.Conn
	*member
	from netip.AddrPort // the client, which may stand behind a proxy
	once sync.Once
}

// asked returns the address of this server that the client connected to; none where
// somebody stands between.
func (c *crowdConn) asked() netip.Addr {
	to, ok := c.LocalAddr().(*net.TCPAddr)
	if from, tcp := c.RemoteAddr().(*net.TCPAddr); !ok || !tcp || from.AddrPort() != c.from {
		return netip.Addr{}
	}
	return to.AddrPort().Addr()
}

// Close implements net.Conn.
func (c *crowdConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.crowd.leave(c.member) })
	return err
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
