package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// looped returns a query as a loop over UDP has it.
func looped() *query { return &query{room: new(nameRoom), front: newFront()} }

// benchmark measures a message's way through the near stages, without sockets.
func benchmark(b *testing.B, prepare func(*Server), msg *dns.Msg, want int) {
	s := still(b)
	if prepare != nil {
		prepare(s)
	}
	wire := packed(msg)
	from := netip.MustParseAddrPort(household + ":1053")
	q := looped()
	spoilNames = false
	defer func() { spoilNames = true }()
	b.ReportAllocs()
	for b.Loop() {
		q.reset(wire, from, overUDP)
		if s.answerNear(b.Context(), q) != done {
			b.Fatal("no answer")
		}
	}
	if got := int(q.out[3] & 0xF); got != want {
		b.Fatalf("rcode %d, want %d", got, want)
	}
}

func BenchmarkBlocked(b *testing.B) {
	benchmark(b, nil, msgFor("www.stranger.example.", dns.TypeA), dns.RcodeNameError)
}

func cached(b *testing.B, name string, records ...string) func(*Server) {
	return func(s *Server) {
		k := keyFor(name)
		s.cache.put(k, entryFor(b, k, time.Now().Add(24*time.Hour), records...))
	}
}

func BenchmarkCached(b *testing.B) {
	benchmark(b, cached(b, "www.fine.example", "www.fine.example. 86400 IN A 192.0.2.1"),
		msgFor("www.fine.example.", dns.TypeA), dns.RcodeSuccess)
}

func BenchmarkCachedChain(b *testing.B) {
	benchmark(b, cached(b, "www.fine.example",
		"www.fine.example. 86400 IN CNAME fine.cdn.example.", "fine.cdn.example. 86400 IN CNAME edge.cdn.example.",
		"edge.cdn.example. 86400 IN A 192.0.2.1", "edge.cdn.example. 86400 IN A 192.0.2.2"),
		msgFor("www.fine.example.", dns.TypeA), dns.RcodeSuccess)
}

func BenchmarkRewritten(b *testing.B) {
	benchmark(b, cached(b, "strict.bing.com",
		"strict.bing.com. 86400 IN CNAME safe.cdn.example.", "safe.cdn.example. 86400 IN A 192.0.2.1"),
		msgFor("www.bing.com.", dns.TypeA), dns.RcodeSuccess)
}

// BenchmarkUDP is the same with a socket and a client on the same machine, one
// question at a time.
func BenchmarkUDP(b *testing.B) {
	c := config(b, newFake(b))
	c.Limits.Rate.PerSecond = 1e8
	benchmarkUDP(b, start(b, c), msgFor("www.stranger.example.", dns.TypeA))
}

// benchmarkUDP asks one question at a time, of a server without a limit.
func benchmarkUDP(b *testing.B, s *Server, m *dns.Msg) {
	c := dial(b, s, "udp", household)
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // a packet can be lost
	wire, buf := packed(m), make([]byte, 1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(wire); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMissed is a question that goes to an upstream on the same machine.
func BenchmarkMissed(b *testing.B) {
	c := config(b, newFake(b, "fine.example. 0 IN A 192.0.2.1"))
	c.Limits.Rate.PerSecond = 1e8
	benchmarkUDP(b, start(b, c), msgFor("fine.example.", dns.TypeA))
}

// What is blocked, cached or rewritten costs no allocation.
func TestAllocationsOfAQuery(t *testing.T) {
	s := still(t)
	k := keyFor("www.fine.example")
	s.cache.put(k, entryFor(t, k, time.Now().Add(time.Hour), "www.fine.example. 60 IN CNAME x.example.", "x.example. 60 IN A 192.0.2.1"))
	k = keyFor("strict.bing.com")
	s.cache.put(k, entryFor(t, k, time.Now().Add(time.Hour), "strict.bing.com. 60 IN CNAME x.example.", "x.example. 60 IN A 192.0.2.1"))
	from := netip.MustParseAddrPort(household + ":1053")
	for _, name := range []string{"www.stranger.example.", "www.fine.example.", "www.bing.com."} {
		wire := packed(msgFor(name, dns.TypeA))
		q := looped()
		ctx := t.Context()
		run := func() {
			q.reset(wire, from, overUDP)
			if s.answerNear(ctx, q) != done {
				t.Fatal("no answer")
			}
		}
		run()
		if n := testing.AllocsPerRun(1000, run); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkSampling is what timing costs: the draw alone, and a blocked question
// whose stages are never, one time in 64, and always timed.
func BenchmarkSampling(b *testing.B) {
	b.Run("draw", func(b *testing.B) {
		s := still(b)
		b.ReportAllocs()
		for b.Loop() {
			s.sample()
		}
	})
	for _, every := range []uint32{1 << 31, sampleEvery, 1} {
		b.Run(fmt.Sprintf("every=%d", every), func(b *testing.B) {
			benchmark(b, func(s *Server) { s.sampleEvery = every }, msgFor("www.stranger.example.", dns.TypeA), dns.RcodeNameError)
		})
	}
}
