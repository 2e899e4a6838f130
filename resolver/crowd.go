package resolver

import (
	linked "container/list"
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
	now             func() time.Time
	metrics         *crowdMetrics
	wait            sync.WaitGroup // for the members

	// mu is held when a connection comes, goes or has its first answer, and when one
	// that was passed over for its work is done with it; for no other question.
	mu      sync.Mutex
	all     line
	clients map[netip.Prefix]*line
	looks   int // at members, to find one that makes room
}

// A line has connections in the order in which they are to make room, by what they do.
type line [numStandings]linked.List

// standing is what a connection does, as far as its crowd has noticed.
type standing uint8

const (
	fresh   standing = iota // never asked, in the order of arrival
	idle                    // asked, the least recently used first; see oldest
	working                 // has questions without an answer, and was passed over for it
	numStandings
)

func (l *line) size() int { return l[fresh].Len() + l[idle].Len() + l[working].Len() }

const (
	// freshShare is the part of a crowd, or of a client's places, that newcomers may
	// take from connections that asked: who only connects has a quarter at most.
	freshShare = 4

	// freshGrace is how long a newcomer within that share is left in peace: time for
	// the round trips of TCP, TLS and a question on a bad mobile network.
	freshGrace = 2 * time.Second
)

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

	answered atomic.Uint32 // questions
	busy     atomic.Int32  // questions without an answer
	passed   atomic.Bool   // over, for being busy: its standing is working; written under crowd.mu

	// Guarded by crowd.mu.
	gone     bool
	standing standing
	placed   uint32             // answered, when it was put where it stands
	since    time.Time          // it is here
	lines    [2]*line           // the crowd's, and its client's if that is known
	places   [2]*linked.Element // in them
}

func newCrowd(most, perClient int, now func() time.Time) *crowd {
	return &crowd{most: most, perClient: perClient, now: now, clients: map[netip.Prefix]*line{}}
}

// open returns the number of open connections.
func (c *crowd) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.size()
}

// admit enters a connection of a client, nil where there are too many. The
// invalid client is not known yet; see name. Each that is entered must leave.
func (c *crowd) admit(client netip.Prefix, end func(), hurry func(busy bool)) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.room(client) || c.all.size() >= c.most && !c.evict(&c.all, c.most) {
		c.metrics.refused.Inc()
		return nil
	}
	m := &member{crowd: c, end: end, hurry: hurry, since: c.now()}
	m.lines[0], m.places[0] = &c.all, c.all[fresh].PushBack(m)
	c.joinClient(m, client)
	c.wait.Add(1)
	return m
}

// name notes whose connection m is, which a proxy told. It returns false where
// that client has too many, or m was let go meanwhile.
func (c *crowd) name(m *member, client netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.gone {
		return false
	}
	if !c.room(client) {
		c.metrics.refused.Inc()
		return false
	}
	c.leaveClient(m)
	c.joinClient(m, client)
	return true
}

// room says whether a client may have one more, if need be for another of its
// own. The caller holds c.mu.
func (c *crowd) room(client netip.Prefix) bool {
	l := c.clients[client]
	return l == nil || l.size() < c.perClient || c.evict(l, c.perClient)
}

// joinClient puts m among those of its client. The caller holds c.mu.
func (c *crowd) joinClient(m *member, client netip.Prefix) {
	m.client = client
	if !client.IsValid() {
		return
	}
	l := c.clients[client]
	if l == nil {
		l = &line{}
		c.clients[client] = l
	}
	m.lines[1], m.places[1] = l, l[m.standing].PushBack(m)
}

// leaveClient takes m from those of its client. The caller holds c.mu.
func (c *crowd) leaveClient(m *member) {
	l := m.lines[1]
	if l == nil {
		return
	}
	l[m.standing].Remove(m.places[1])
	m.lines[1], m.places[1] = nil, nil
	if l.size() == 0 {
		delete(c.clients, m.client)
	}
}

// evict closes a connection of a line that waits for its client, so that idle ones
// do not keep others out (RFC 7766 §6.2.3). Those that never asked anything go
// first, but not while they are few and just came: they are in their handshake. Most
// is how many the line may have. It returns false where all are at work. The caller
// holds c.mu.
func (c *crowd) evict(l *line, most int) bool {
	victim := c.oldest(l, fresh)
	if victim == nil || l[fresh].Len() <= most/freshShare && c.now().Sub(victim.since) < freshGrace {
		if m := c.oldest(l, idle); m != nil {
			victim = m
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

// oldest returns the connection of a standing that is the first to make room, nil
// for none. Questions do not move their connection, so those that stand in the wrong
// place are put right on the way: one that is at work aside, one that asked since it
// was placed to the end of the idle. Each question causes two such looks at most,
// and all others find what they look for: evicting takes the same time however many
// there are. The caller holds c.mu.
func (c *crowd) oldest(l *line, s standing) *member {
	for l[s].Len() > 0 {
		c.looks++
		m := l[s].Front().Value.(*member)
		switch {
		case m.busy.Load() > 0:
			m.passed.Store(true)
			if m.busy.Load() > 0 {
				c.place(m, working)
				continue
			}
			// It was done between, and may not have seen that it was passed over.
			c.place(m, idle)
		case m.answered.Load() != m.placed:
			c.place(m, idle)
		default:
			return m
		}
	}
	return nil
}

// place puts m at the end of those of a standing. The caller holds c.mu.
func (c *crowd) place(m *member, s standing) {
	m.passed.Store(s == working)
	m.placed = m.answered.Load()
	for i, l := range m.lines {
		if l != nil {
			l[m.standing].Remove(m.places[i])
			m.places[i] = l[s].PushBack(m)
		}
	}
	m.standing = s
}

// settle puts m, which was fresh or passed over, among the idle.
func (c *crowd) settle(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !m.gone && (m.standing != working || m.busy.Load() == 0) {
		c.place(m, idle)
	}
}

// leave takes m out once its connection is closed.
func (c *crowd) leave(m *member) {
	c.mu.Lock()
	c.forget(m)
	c.mu.Unlock()
	c.wait.Done()
}

// forget makes m's place free, once. The caller holds c.mu.
func (c *crowd) forget(m *member) {
	if m.gone {
		return
	}
	m.gone = true
	c.leaveClient(m)
	c.all[m.standing].Remove(m.places[0])
}

// each calls f for every member.
func (c *crowd) each(f func(*member)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.all {
		for e := c.all[s].Front(); e != nil; e = e.Next() {
			f(e.Value.(*member))
		}
	}
}

// begin and done stand around the work for a question.
func (m *member) begin() { m.busy.Add(1) }

func (m *member) done() {
	first := m.answered.Add(1) == 1
	if left := m.busy.Add(-1); first || left == 0 && m.passed.Load() {
		m.crowd.settle(m)
	}
}

// crowdConn is a connection that leaves its crowd when it is closed.
type crowdConn struct {
	net.Conn
	*member
	from netip.AddrPort // the client, which may stand behind a proxy
	// proxied: it came from a proxy, which has to say who the client is. Settings
	// change, so what was found when it came holds.
	proxied bool
	once    sync.Once
}

// local returns the address of this server that the client connected to; none where
// somebody stands between.
func (c *crowdConn) local() netip.Addr {
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
