package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

// quick makes attempts and deadlines short, for upstreams that do not answer.
func quick(c *Config) {
	c.Limits.AttemptTimeout = 150 * time.Millisecond
	c.Limits.QueryDeadline = time.Second
}

// Only an answer with our ID and our question is taken; the others are counted.
func TestRFC5452_WrongAnswersIgnored(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	up.does(forges)
	for _, scheme := range []string{"udp", "tcp"} {
		c := config(t, up)
		c.Upstreams = []upstream.Spec{mustUpstream(t, scheme+"://"+up.addr.String())}
		reg := newRegistry(&c)
		s := start(t, c)
		got := ask(t, s, household, msgFor("ok.example.", dns.TypeA))
		if len(got.Answer) != 1 || !strings.HasSuffix(got.Answer[0].String(), "192.0.2.1") {
			t.Errorf("%s: got %s", scheme, got)
		}
		if n := metric(t, reg, "kinward_upstream_mismatches_total"); n < 7 {
			t.Errorf("%s: %v mismatches counted, want all 7", scheme, n)
		}
	}
}

// Each question has an ID of its own, and none can know the port that it leaves
// from: it serves few questions, one at a time.
func TestRFC5452_PortsAndIDs(t *testing.T) {
	up := newFake(t)
	s := start(t, config(t, up))
	const n, most = 40, 16
	for i := range n {
		ask(t, s, household, msgFor(fmt.Sprintf("n%d.example.", i), dns.TypeA))
	}
	ports, ids := map[uint16]int{}, map[uint16]bool{}
	for _, q := range up.queries() {
		ports[q.from.Port()]++
		ids[q.msg.Id] = true
	}
	for port, questions := range ports {
		if questions > most {
			t.Errorf("%d questions left from port %d, want at most %d", questions, port, most)
		}
	}
	if len(ids) < n*3/4 {
		t.Errorf("%d questions had %d IDs", n, len(ids))
	}
}

func TestUpstreamAnswers(t *testing.T) {
	zone := []string{"ok.example. 60 IN A 192.0.2.1"}
	garbage := func(network string, req, a *dns.Msg) [][]byte {
		b := packed(a)
		copy(b[len(b)-25:], strings.Repeat("\xff", 25)) // ID and question stay right
		return [][]byte{b}
	}
	onlyTCP := func(network string, req, a *dns.Msg) [][]byte {
		if network == "udp" {
			return garbage(network, req, a)
		}
		return [][]byte{packed(a)}
	}
	cutAtRecord := func(network string, _, a *dns.Msg) [][]byte {
		b := packed(a)
		if network == "udp" {
			b = b[:len(b)-27] // OPT and the address
		}
		return [][]byte{b}
	}
	withoutEDNS := func(rcode int) behaviour {
		return func(_ string, req, a *dns.Msg) [][]byte {
			if req.IsEdns0() != nil {
				a = new(dns.Msg).SetRcode(req, rcode)
				a.Question = nil
			}
			return [][]byte{packed(a)}
		}
	}
	bareError := func(_ string, req, _ *dns.Msg) [][]byte {
		a := new(dns.Msg).SetRcode(req, dns.RcodeFormatError)
		a.Question = nil
		return [][]byte{packed(a)}
	}
	badVersion := func(_ string, req, a *dns.Msg) [][]byte {
		a.Rcode, a.Answer = dns.RcodeBadVers, nil
		return [][]byte{packed(a)}
	}
	for _, tt := range []struct {
		name   string
		scheme string
		does   behaviour
		rcode  int
		ede    int
		answer int
	}{
		{"well", "udp", nil, dns.RcodeSuccess, -1, 1},
		{"well, by TCP", "tcp", nil, dns.RcodeSuccess, -1, 1},
		{"cut off: asked again by TCP", "udp", truncates, dns.RcodeSuccess, -1, 1},
		{"unreadable by UDP: asked again by TCP", "udp", onlyTCP, dns.RcodeSuccess, -1, 1},
		{"cut between two records: asked again by TCP", "udp", cutAtRecord, dns.RcodeSuccess, -1, 1},
		{"unreadable", "udp", garbage, dns.RcodeServerFailure, 24, 0},
		{"no EDNS, says FORMERR", "udp", withoutEDNS(dns.RcodeFormatError), dns.RcodeSuccess, -1, 1},
		{"no EDNS, says NOTIMP", "tcp", withoutEDNS(dns.RcodeNotImplemented), dns.RcodeSuccess, -1, 1},
		{"FORMERR without a question, whatever is asked", "udp", bareError, dns.RcodeFormatError, -1, 0},
		{"SERVFAIL passes through", "udp", says(dns.RcodeServerFailure), dns.RcodeServerFailure, -1, 0},
		{"REFUSED passes through", "udp", says(dns.RcodeRefused), dns.RcodeRefused, -1, 0},
		{"NOTAUTH passes through", "udp", says(dns.RcodeNotAuth), dns.RcodeNotAuth, -1, 0},
		{"BADVERS is between it and us", "udp", badVersion, dns.RcodeServerFailure, 23, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newFake(t, zone...)
			up.does(tt.does)
			c := config(t, up)
			c.Upstreams = []upstream.Spec{mustUpstream(t, tt.scheme+"://"+up.addr.String())}
			s := start(t, c)
			got := ask(t, s, household, msgFor("ok.example.", dns.TypeA))
			code, _ := ede(got)
			if got.Rcode != tt.rcode || code != tt.ede || len(got.Answer) != tt.answer || got.Truncated {
				t.Errorf("got %s", got)
			}
		})
	}
}

// What is cut off even over TCP is said to be, and not kept.
func TestRFC2181_TruncatedUpstream(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	up.does(func(_ string, _, a *dns.Msg) [][]byte { a.Truncated = true; return [][]byte{packed(a)} })
	s := start(t, config(t, up))
	for range 2 {
		if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); !got.Truncated || len(got.Answer) != 1 {
			t.Errorf("got %s", got)
		}
		if n := countFor(up, "ok.example."); n != 2 { // UDP and TCP
			t.Errorf("asked %d times, want twice", n)
		}
	}
}

// What the upstream says of itself stays there.
func TestAnswersAreMadeOurOwn(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	up.does(func(_ string, _, a *dns.Msg) [][]byte {
		a.AuthenticatedData, a.Authoritative, a.RecursionAvailable, a.Zero = true, true, false, true
		a.IsEdns0().Option = append(a.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "aa"})
		return [][]byte{packed(a)}
	})
	s := start(t, config(t, up))
	for range 2 {
		m := msgFor("ok.example.", dns.TypeA)
		m.AuthenticatedData = true
		got := ask(t, s, household, m)
		if got.AuthenticatedData || got.Authoritative || got.Zero || !got.RecursionAvailable || len(got.IsEdns0().Option) > 0 {
			t.Errorf("got %s", got)
		}
	}
}

// RFC 9520: a failure is kept for a few seconds, so that retries do not pile up.
func TestRFC9520_FailuresCached(t *testing.T) {
	up := newFake(t)
	up.does(says(dns.RcodeServerFailure))
	clk := newClock()
	c := config(t, up)
	c.Now = clk.now
	s := start(t, c)
	for i, want := range []int{1, 0, 0} {
		ask(t, s, household, msgFor("bogus.example.", dns.TypeA))
		if n := countFor(up, "bogus.example."); n != want {
			t.Errorf("question %d was sent %d times, want %d", i, n, want)
		}
	}
	clk.advance(5 * time.Second)
	ask(t, s, household, msgFor("bogus.example.", dns.TypeA))
	if n := countFor(up, "bogus.example."); n != 1 {
		t.Errorf("after 5 s it was sent %d times, want once", n)
	}
}

// closedPort returns an address at which nothing listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// An upstream that is down makes SERVFAIL that says so, and never a hang.
func TestRFC8914_UpstreamDown(t *testing.T) {
	silent := newFake(t)
	silent.does(drops)
	for _, tt := range []struct {
		name string
		ups  []string
		code int
	}{
		{"silent", []string{"udp://" + silent.addr.String()}, 22},
		{"silent by TCP", []string{"tcp://" + silent.addr.String()}, 22},
		{"closed", []string{"udp://" + closedPort(t).String()}, 23},
		{"closed by TCP", []string{"tcp://" + closedPort(t).String()}, 23},
		{"both silent", []string{"udp://" + silent.addr.String(), "tcp://" + silent.addr.String()}, 22},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t)
			quick(&c)
			for _, u := range tt.ups {
				c.Upstreams = append(c.Upstreams, mustUpstream(t, u))
			}
			s := start(t, c)
			began := time.Now()
			got := ask(t, s, household, msgFor("ok.example.", dns.TypeA))
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if code, text := ede(got); got.Rcode != dns.RcodeServerFailure || code != tt.code || text == "" {
				t.Errorf("%s, EDE %d %q, want SERVFAIL, EDE %d", dns.RcodeToString[got.Rcode], code, text, tt.code)
			}
			if got := ask(t, s, household, msgFor("stranger.example.", dns.TypeA)); got.Rcode != dns.RcodeNameError {
				t.Errorf("a blocked name: %s", got)
			}
			h := s.Health()[0]
			if h.Failures == 0 || h.LastFailure == "" || strings.Contains(h.LastFailure, "ok.example") {
				t.Errorf("health = %+v", h)
			}
		})
	}
}

// The next upstream is asked where one fails, and then goes first, until the
// first one answers again.
func TestFailover(t *testing.T) {
	for _, tt := range []struct {
		name string
		does behaviour
	}{
		{"silent", drops},
		{"refuses us", says(dns.RcodeRefused)},
		{"unreadable", func(_ string, _, a *dns.Msg) [][]byte { return [][]byte{append(packed(a)[:20], 0xff)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, second := newFake(t), newFake(t)
			first.does(tt.does)
			second.does(says(dns.RcodeNameError))
			c := config(t, first, second)
			quick(&c)
			s := start(t, c)
			if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); got.Rcode != dns.RcodeNameError {
				t.Errorf("got %s, want the second upstream's answer", got)
			}
			if len(first.queries()) == 0 {
				t.Error("the first upstream was not asked first")
			}
		})
	}
}

// Who says SERVFAIL to everything is no judge of a question: once that is known, the
// question by which it is tried again is taken to the next upstream.
func TestServfailToEverything(t *testing.T) {
	first, second := newFake(t), newFake(t)
	first.does(says(dns.RcodeServerFailure))
	second.does(says(dns.RcodeNameError))
	clk := newClock()
	c := config(t, first, second)
	quick(&c)
	c.Now = clk.now
	s := start(t, c)
	name := func(i int) string { return fmt.Sprintf("n%d.example.", i) }
	for i := range 2 * poorInARow {
		ask(t, s, household, msgFor(name(i), dns.TypeA))
	}
	tried := 0
	for i := range 5 {
		clk.advance(spareLongest)
		n := name(100 + i)
		if got := ask(t, s, household, msgFor(n, dns.TypeA)); got.Rcode != dns.RcodeNameError {
			t.Errorf("%s, want the second upstream's answer", dns.RcodeToString[got.Rcode])
		}
		tried += countFor(first, n)
	}
	if tried == 0 {
		t.Error("the first upstream was never tried again")
	}
}

func TestFailingUpstreamIsSpared(t *testing.T) {
	clk := newClock()
	p := &peer{}
	lost := context.DeadlineExceeded
	if p.failed(clk.now(), lost) || !p.healthy(clk.now()) {
		t.Error("one lost packet gives an upstream up")
	}
	if !p.failed(clk.now(), lost) || p.healthy(clk.now()) {
		t.Error("the second failure in a row does not give it up")
	}
	if p.failed(clk.now(), lost) {
		t.Error("it is given up twice")
	}
	clk.advance(1999 * time.Millisecond)
	if p.healthy(clk.now()) {
		t.Error("it is tried again too soon")
	}
	clk.advance(time.Millisecond)
	if !p.healthy(clk.now()) || p.healthy(clk.now()) {
		t.Error("want one question to try it again, and the others to wait")
	}
	for range 20 {
		p.failed(clk.now(), lost)
	}
	if clk.advance(-time.Hour); !p.healthy(clk.now()) || p.healthy(clk.now()) {
		t.Error("after the clock was set back by an hour, nobody tries it")
	}
	if p.pause() != spareLongest {
		t.Errorf("it is spared for %v, want %v at most", p.pause(), spareLongest)
	}
	if !p.answered(clk.now()) || !p.healthy(clk.now()) || p.answered(clk.now()) {
		t.Error("an answer does not bring it back, once")
	}
}

// A failing upstream goes last, a looping one nowhere.
func TestOrderOfUpstreams(t *testing.T) {
	now := newClock().now()
	well, failing, looping, second := &peer{}, &peer{}, &peer{}, &peer{}
	for range sparedAfter {
		failing.failed(now, context.DeadlineExceeded)
	}
	looping.looping.Store(true)
	got := inOrder(nil, []*peer{failing, looping, well, second}, now)
	if len(got) != 3 || got[0] != well || got[1] != second || got[2] != failing {
		t.Errorf("got %v", got)
	}
}

// Above the bound questions are refused help at once; below it they go on.
func TestBoundedInFlight(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	hold := make(chan struct{})
	up.does(func(_ string, _, a *dns.Msg) [][]byte { <-hold; return [][]byte{packed(a)} })
	c := config(t, up)
	c.Limits.InFlight = 3
	reg := newRegistry(&c)
	s := start(t, c)
	var wg sync.WaitGroup
	var well atomic.Int32
	for i := range 3 {
		wg.Go(func() {
			m := msgFor("ok.example.", dns.TypeA)
			m.Id = uint16(i)
			if got := ask(t, s, household, m); len(got.Answer) == 1 {
				well.Add(1)
			}
		})
	}
	for s.inFlight.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	for _, network := range []string{"udp", "tcp"} {
		got := askBy(t, s, network, household, msgFor("other.example.", dns.TypeA))
		if code, _ := ede(got); got.Rcode != dns.RcodeServerFailure || code != 0 {
			t.Errorf("%s: %s", network, got)
		}
	}
	if got := ask(t, s, household, msgFor("stranger.example.", dns.TypeA)); got.Rcode != dns.RcodeNameError {
		t.Errorf("a blocked name needs no upstream, but got %s", got)
	}
	close(hold)
	wg.Wait()
	if well.Load() != 3 {
		t.Errorf("%d of 3 questions below the bound were answered", well.Load())
	}
	if n := metric(t, reg, "kinward_overload_total"); n != 2 {
		t.Errorf("kinward_overload_total = %v, want 2", n)
	}
}

// Questions wait their turn for sockets, not longer than their deadline.
func TestBoundedSockets(t *testing.T) {
	up := newFake(t)
	var at, most atomic.Int32
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		if req.Question[0].Qtype != dns.TypeA { // a loop probe, which waits for nobody
			return nil
		}
		most.Store(max(most.Load(), at.Add(1)))
		time.Sleep(5 * time.Millisecond)
		at.Add(-1)
		return [][]byte{packed(a)}
	})
	c := config(t, up)
	c.Limits.UpstreamSockets = 2
	s := start(t, c)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { ask(t, s, household, msgFor(fmt.Sprintf("n%d.example.", i), dns.TypeA)) })
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Errorf("%d questions at once, want 2 at most", most.Load())
	}
}

// Nobody learns from the log at info level what was asked.
func TestLogsNameNobody(t *testing.T) {
	var b lockedBuilder
	up := newFake(t)
	up.does(says(dns.RcodeServerFailure))
	c := config(t, up)
	quick(&c)
	c.Upstreams = append(c.Upstreams, mustUpstream(t, "udp://"+closedPort(t).String()))
	c.Logger = logTo(&b, slog.LevelInfo)
	s := start(t, c)
	up.does(drops)
	for i := range 4 {
		ask(t, s, household, msgFor(fmt.Sprintf("secret%d.example.", i), dns.TypeA))
	}
	ask(t, s, household, msgFor("secret.stranger.example.", dns.TypeA))
	if log := b.String(); strings.Contains(log, "secret") || !strings.Contains(log, "does not answer") {
		t.Errorf("log:\n%s", log)
	}
}

// lockedBuilder is a strings.Builder that may be written to at once.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
