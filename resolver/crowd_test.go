package resolver

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// crowdOf makes a crowd whose clock stands at *now.
func crowdOf(most, perClient int, now *time.Time) *crowd {
	c := newCrowd(most, perClient, func() time.Time { return *now })
	count := func() prometheus.Counter { return prometheus.NewCounter(prometheus.CounterOpts{Name: "c"}) }
	c.metrics = &crowdMetrics{refused: count(), evicted: count()}
	return c
}

// enter admits a connection of the nth client, and says in ended when it is closed.
func (c *crowd) enter(n int, ended map[string]bool, name string) *member {
	client := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
	return c.admit(client, func() { ended[name] = true }, func(bool) {})
}

func (m *member) ask() { m.begin(); m.done() }

// Who makes room. The crowd has 8 places, so newcomers have 2 to themselves.
func TestCrowd_whoMakesRoom(t *testing.T) {
	const later = 2 * freshGrace
	for _, tt := range []struct {
		name  string
		steps string // a: its connection comes; a?: it asks; a!: it begins to ask; a.: that is answered; +: time passes
		gone  string // in any order
	}{
		{"of those that asked, the least recently used", "a a? b b? c c? d d? e e? f f? g g? h h? a? c? i j", "bd"},
		{"not who asks on, however often others come", "a a? b b? c c? d d? e e? f f? g g? h h? a? i i? a? j j? a? k k? a?", "bcd"},
		{"one that asked, rather than who just came", "a a? b b? c c? d d? e e? f f? g g? h i", "a"},
		{"who never asked, once there was time for it", "a a? b b? c c? d d? e e? f f? g g? h + i", "h"},
		{"the first of those who just came, where they are many", "a a? b b? c c? d d? e e? f g h i j", "fg"},
		{"who never asked, before who asked", "a b c d e f g h h? i + j k", "abc"},
		{"nobody at work", "a a! b b! c c! d d! e e! f f! g g! h h! i", ""},
		{"who was at work, when it is done", "a a! b b! c c! d d! e e! f f! g g! h h! i b. j", "b"},
		{"who just came, where all others are at work", "a a! b b! c c! d d! e e! f f! g g! h i", "h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			c := crowdOf(8, 8, &now)
			ended, members := map[string]bool{}, map[string]*member{}
			for step := range strings.FieldsSeq(tt.steps) {
				who := step[:1]
				switch m := members[who]; step {
				case "+":
					now = now.Add(later)
				case who:
					members[who] = c.enter(len(members), ended, who)
				case who + "?":
					m.ask()
				case who + "!":
					m.begin()
				case who + ".":
					m.done()
				}
			}
			for who := range members {
				want := strings.Contains(tt.gone, who)
				if ended[who] != want {
					t.Errorf("%s: %q was closed: %t, want %t", tt.steps, who, ended[who], want)
				}
			}
			if c.open() > 8 {
				t.Errorf("%d are open", c.open())
			}
		})
	}
}

// Making room costs the same in a small crowd as in a large one: two looks at
// members for each that came, and two for each question.
func TestCrowd_costOfMakingRoom(t *testing.T) {
	for _, size := range []int{100, 10000} {
		now := time.Unix(1e9, 0)
		c := crowdOf(size, size, &now)
		ended := map[string]bool{}
		var members []*member
		for n := range size {
			members = append(members, c.enter(n, ended, ""))
			members[n].ask()
		}
		const newcomers = 50
		come := func(what string, most int) {
			t.Helper()
			before := c.looks
			for n := range newcomers {
				if m := c.enter(size+n, ended, ""); m != nil {
					m.ask()
				}
			}
			if looks := c.looks - before; looks > most {
				t.Errorf("%d connections, %s: %d looks for %d newcomers, want %d at most", size, what, looks, newcomers, most)
			}
		}
		come("all idle", 2*newcomers)
		now = now.Add(time.Minute)
		for _, m := range members {
			m.ask()
		}
		come("all asked again", 2*newcomers+2*size)
		for _, m := range members {
			m.begin()
		}
		come("most at work", 2*newcomers+2*size)
		come("most at work, and known to be", 2*newcomers)
	}
}

// Connections that come, ask and go at once leave nothing behind.
func TestCrowd_atOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := crowdOf(16, 4, &now)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			for range 500 {
				m := c.admit(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 3)}), 32), func() {}, func(bool) {})
				if m == nil {
					continue
				}
				var asked sync.WaitGroup
				for range 3 {
					asked.Go(m.ask)
				}
				asked.Wait()
				c.leave(m)
			}
		})
	}
	clients.Wait()
	if c.wait.Wait(); c.open() != 0 || len(c.clients) != 0 {
		t.Errorf("%d connections of %d clients are left", c.open(), len(c.clients))
	}
}

// Where all places are taken by idle connections, newcomers that are in their
// handshake at the same time do not end each other.
func TestSecureNewcomersBesideIdle(t *testing.T) {
	const places, newcomers = 64, 64 / freshShare
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) {
		c.Registerer = reg
		c.Limits.TLSConns, c.Limits.TLSConnsPerClient = places, places
	})
	for range places {
		exchange(t, s.dot(s.client(serverName)), msgFor("ok.example.", dns.TypeA))
	}
	// Handshakes begin when all have connected.
	var came []net.Conn
	for range newcomers {
		c, err := net.Dial("tcp", s.addr(DoT))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		came = append(came, c)
	}
	for metric(t, reg, "kinward_tls_connections_evicted_total") < newcomers {
		time.Sleep(time.Millisecond)
	}
	for i, c := range came {
		tc := tls.Client(c, s.client(serverName))
		if err := tc.Handshake(); err != nil {
			t.Fatalf("newcomer %d: %v", i, err)
		}
		if got := exchange(t, tc, msgFor("ok.example.", dns.TypeA)); got.Rcode != dns.RcodeSuccess {
			t.Errorf("newcomer %d: %s", i, dns.RcodeToString[got.Rcode])
		}
	}
	if n := metric(t, reg, "kinward_tls_connections_evicted_total"); n != newcomers {
		t.Errorf("%v connections made room, want %d", n, newcomers)
	}
}
