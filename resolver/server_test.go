package resolver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

func TestNewRefuses(t *testing.T) {
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	// Another program may share its UDP port with ours: it must not come to that.
	lc := net.ListenConfig{Control: sharePort}
	shared, err := lc.ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	up := newFake(t)
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no address", func(c *Config) { c.Listen = nil }, "no address to listen on"},
		{"no state", func(c *Config) { c.State = nil }, "no state"},
		{"no upstream", func(c *Config) { c.Upstreams = nil }, "there is none"},
		{"an empty upstream", func(c *Config) { c.Upstreams = []upstream.Spec{{}} }, "upstream.Parse"},
		{"a host name", func(c *Config) { c.Listen = []string{"localhost:53"} }, `listening on "localhost:53": want an IP address`},
		{"a taken port", func(c *Config) { c.Listen = []string{busy.Addr().String()} }, "address already in use"},
		{"a shared port", func(c *Config) { c.Listen = []string{shared.LocalAddr().String()} }, "address already in use"},
		{"the second address taken", func(c *Config) { c.Listen = append(c.Listen, busy.Addr().String()) }, "address already in use"},
		{"not an address of this host", func(c *Config) { c.Listen = []string{"192.0.2.1:0"} }, "cannot assign"},
		{"addresses of the wrong family", func(c *Config) { c.Block = policy.BlockMode{V6: netip.MustParseAddr("192.0.2.1")} }, "wrong family"},
		{"an invalid network", func(c *Config) { c.AllowNets = []netip.Prefix{{}} }, "not a network"},
	} {
		c := config(t, up)
		tt.edit(&c)
		s, err := New(c)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", tt.name)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Port 0 is the same port for UDP and TCP, and on each address of its own.
func TestListenPortZero(t *testing.T) {
	c := config(t, newFake(t))
	c.Listen = []string{"127.0.0.1:0", "127.0.0.2:0"}
	s := start(t, c)
	if len(s.Addrs()) != 2 || s.Addrs()[0].Port() == 0 || s.Addrs()[1].Addr().String() != adult {
		t.Fatalf("Addrs = %v", s.Addrs())
	}
	for _, addr := range s.Addrs() {
		for _, network := range []string{"udp", "tcp"} {
			r, _, err := (&dns.Client{Net: network}).Exchange(msgFor("stranger.example.", dns.TypeA), addr.String())
			if err != nil || r.Rcode != dns.RcodeNameError {
				t.Errorf("%s %s: %v, %v", network, addr, r, err)
			}
		}
	}
}

// On an unspecified address the answer leaves from the address that was asked:
// a connected socket takes it from nowhere else.
func TestReplyFromAskedAddress(t *testing.T) {
	if !canSharePort {
		t.Skip("only on Linux")
	}
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	for _, listen := range []string{"0.0.0.0:0", ":0"} {
		c := config(t, up)
		c.Listen = []string{listen}
		s := start(t, c)
		port := s.Addrs()[0].Port()
		for _, host := range []string{"127.0.0.1", "127.0.0.77", "::1"} {
			if host == "::1" && (listen != ":0" || !hasIPv6()) {
				continue
			}
			for _, name := range []string{"stranger.example.", "ok.example."} { // inline, and handed off
				s.FlushName("", true)
				to := netip.AddrPortFrom(netip.MustParseAddr(host), port).String()
				r, _, err := (&dns.Client{Timeout: 3 * time.Second}).Exchange(msgFor(name, dns.TypeA), to)
				if err != nil {
					t.Errorf("listening on %s, asked %s for %s: %v", listen, to, name, err)
				} else if host == "::1" && r.Rcode != dns.RcodeRefused {
					t.Errorf("::1 is not on the list, but got %s", r)
				}
			}
		}
	}
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// On an address for both families, IPv4 clients are known by their IPv4 address.
func TestMappedAddresses(t *testing.T) {
	if !hasIPv6() {
		t.Skip("no IPv6 here")
	}
	log := &kept{}
	c := config(t, newFake(t))
	c.Listen, c.Log = []string{":0"}, log
	s := start(t, c)
	to := netip.AddrPortFrom(netip.MustParseAddr(ruled), s.Addrs()[0].Port()).String()
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Dialer: &net.Dialer{}}
		client.Dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(ruled)}
		if network == "tcp" {
			client.Dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(ruled)}
		}
		r, _, err := client.Exchange(msgFor("ruled-out.example.", dns.TypeA), to)
		if err != nil || r.Rcode != dns.RcodeNameError {
			t.Fatalf("%s: %v, %v", network, r, err)
		}
		if a := log.take(); len(a) != 1 || a[0].Device != 21 || a[0].Client.String() != ruled {
			t.Errorf("%s: attempts = %+v", network, a)
		}
	}
}

// When it stops, what was asked is answered, and nothing is left behind (goleak
// looks at the end of all tests).
func TestStopDrains(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	hold := make(chan struct{})
	up.does(func(_ string, _, a *dns.Msg) [][]byte { <-hold; return [][]byte{packed(a)} })
	s, err := New(config(t, up))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var answers sync.WaitGroup
	for _, network := range []string{"udp", "tcp"} {
		answers.Go(func() {
			if got := askBy(t, s, network, household, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
				t.Errorf("%s: %s", network, got)
			}
		})
	}
	for s.inFlight.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	stop()
	for !s.closing.Load() {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	answers.Wait()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addrs()[0].String()); err == nil {
		c.Close()
		t.Error("it still takes connections")
	}
	if err := s.Run(context.Background()); err == nil {
		t.Error("it ran twice")
	}
}

// Stopping takes no longer than the drain: what is still waiting is answered
// SERVFAIL, idle and unread connections are closed.
func TestStopIsBounded(t *testing.T) {
	up := newFake(t)
	up.does(drops)
	c := config(t, up)
	c.Limits.Drain = 50 * time.Millisecond
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	idle := dial(t, s, "tcp", household)
	defer idle.Close()
	waiting := dial(t, s, "udp", household)
	defer waiting.Close()
	waiting.Write(tcpQuestion(5, "ok.example."))
	for s.inFlight.Load() < 1 || s.plain.open() < 1 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	buf := make([]byte, 512)
	if n, err := waiting.Read(buf); err != nil || buf[3]&0xF != dns.RcodeServerFailure {
		t.Errorf("what was waiting got %x, %v, want SERVFAIL", buf[:n], err)
	}
}

// A broken listener ends Run with its error, rather than serve half the house.
func TestRunReportsBrokenListeners(t *testing.T) {
	s, err := New(config(t, newFake(t)))
	if err != nil {
		t.Fatal(err)
	}
	s.udp[0].conn.Close()
	if err := s.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

func TestReconfigure(t *testing.T) {
	first := newFake(t, "a.example. 60 IN A 192.0.2.1", "b.example. 60 IN A 192.0.2.1")
	second := newFake(t, "b.example. 60 IN A 192.0.2.2", "c.example. 60 IN A 192.0.2.2")
	c := config(t, first)
	reg := newRegistry(&c)
	s := start(t, c)
	ask(t, s, household, msgFor("a.example.", dns.TypeA))
	peer := s.settings.Load().peers[0]

	bad := Settings{Upstreams: []upstream.Spec{mustUpstream(t, "udp://"+s.Addrs()[0].String())}}
	if err := s.Reconfigure(bad); !errors.Is(err, ErrUpstreamIsSelf) {
		t.Errorf("an upstream that is Kinward: %v", err)
	}
	if got := ask(t, s, household, msgFor("a.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("after a refused change nothing is as it was: %s", got)
	}

	u1, u2 := mustUpstream(t, "udp://"+first.addr.String()), mustUpstream(t, "tcp://"+second.addr.String())
	if err := s.Reconfigure(Settings{Upstreams: []upstream.Spec{u2, u1, u2}, AllowNets: loopbackNets, Block: policy.ZeroAddress}); err != nil {
		t.Fatal(err)
	}
	if now := s.settings.Load().peers; len(now) != 2 || now[1] != peer {
		t.Error("an upstream that stayed lost its health, or one that stands twice is asked twice")
	}
	if got := ask(t, s, household, msgFor("b.example.", dns.TypeA)); !strings.HasSuffix(got.Answer[0].String(), "192.0.2.2") {
		t.Errorf("the new upstream was not asked first: %s", got)
	}
	if got := ask(t, s, household, msgFor("stranger.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("blocks are answered as before: %s", got)
	}
	if err := s.Reconfigure(Settings{Upstreams: []upstream.Spec{u2}, AllowNets: []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.2/128")}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, household, msgFor("b.example.", dns.TypeA)); got.Rcode != dns.RcodeRefused {
		t.Errorf("who may no longer ask got %s", got)
	}
	if got := ask(t, s, adult, msgFor("b.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("who may ask got %s", got)
	}
	if n := metric(t, reg, "kinward_upstream_queries_total", "upstream="+u1.String()); n != 0 {
		t.Error("an upstream that went keeps its metrics")
	}
}

// closer counts how often it was closed, and fails.
type closer struct{ closed int }

func (c *closer) Close() error {
	c.closed++
	return errors.New("the line is stuck")
}

// A change holds although an upstream that is no longer used does not close: that is logged,
// the others are closed, and none is closed again.
func TestReconfigureThoughAnUpstreamDoesNotClose(t *testing.T) {
	var b lockedBuilder
	up := newFake(t, "a.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	c.Logger = logTo(&b, slog.LevelInfo)
	s := start(t, c)
	same := Settings{Upstreams: c.Upstreams, AllowNets: loopbackNets}
	old, other, young := &closer{}, &closer{}, &closer{}
	s.changing.Lock()
	s.retired = append(s.retired, retiredPeer{old, time.Time{}}, retiredPeer{other, time.Time{}}, retiredPeer{young, s.now().Add(time.Hour)})
	s.changing.Unlock()
	for range 2 {
		if err := s.Reconfigure(same); err != nil {
			t.Errorf("the change is refused: %v", err)
		}
	}
	if old.closed != 1 || other.closed != 1 || young.closed != 0 {
		t.Errorf("closed %d and %d times, and %d times what may still be asked; want once, once and not yet", old.closed, other.closed, young.closed)
	}
	if n := strings.Count(b.String(), "the line is stuck"); n != 2 || strings.Count(b.String(), "closing upstreams that are no longer used") != 1 {
		t.Errorf("the log has it %d times, want each once in one line:\n%s", n, b.String())
	}
	s.changing.Lock()
	s.retired = nil // what fails at the end is another matter
	s.changing.Unlock()
}

// Reloading drops no query.
func TestReconfigureUnderLoad(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	same := Settings{Upstreams: []upstream.Spec{mustUpstream(t, "udp://"+up.addr.String())}, AllowNets: loopbackNets}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Reconfigure(same); err != nil {
				t.Error(err)
			}
			s.FlushName("", true)
			runtime.Gosched()
		}
	})
	for range 200 {
		if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
			t.Errorf("got %s", got)
		}
	}
	close(stop)
	wg.Wait()
}

// A fault in the program costs one answer, not the process, and the log does
// not say who asked for what.
func TestPanicIsServfail(t *testing.T) {
	var b lockedBuilder
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	c.Logger = logTo(&b, slog.LevelInfo)
	c.Log = panics{}
	reg := newRegistry(&c)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	far := s.far.stages
	s.far = s.newWay("far", true, []namedStage{{"forward", func(ctx context.Context, q *query) step {
		if q.name == blocklists.MustName("far.example") {
			panic("far " + q.name)
		}
		return far[len(far)-1](ctx, q)
	}}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for _, name := range []string{"near.stranger.example.", "far.example."} { // blocked: the log panics
		for _, network := range []string{"udp", "tcp"} {
			got := askBy(t, s, network, household, msgFor(name, dns.TypeA))
			if got.Rcode != dns.RcodeServerFailure {
				t.Errorf("%s %s: %s", network, name, got)
			}
		}
	}
	if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("afterwards: %s", got)
	}
	if n := metric(t, reg, "kinward_panics_total"); n != 4 {
		t.Errorf("kinward_panics_total = %v, want 4", n)
	}
	if log := b.String(); strings.Contains(log, "near.stranger") || strings.Contains(log, "far.example") || !strings.Contains(log, "stack") {
		t.Errorf("log:\n%s", log)
	}
}

type panics struct{}

func (panics) Record(a policy.Attempt) { panic("about " + a.Name) }

func (panics) Seen(policy.FamilyID, policy.DeviceID, time.Time) {}

// Who may ask is a matter of networks, IPv4 in IPv6 and zones included.
func TestAllowNets(t *testing.T) {
	c := config(t, newFake(t))
	c.AllowNets = nil
	for _, n := range []string{"192.168.0.0/16", "fe80::/10", "::ffff:10.0.0.0/104", "2001:db8::1/32"} {
		c.AllowNets = append(c.AllowNets, netip.MustParsePrefix(n))
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for addr, want := range map[string]bool{
		"192.168.1.2": true, "::ffff:192.168.1.2": true, "10.1.2.3": true, "fe80::1%eth0": true, "2001:db8:ffff::1": true,
		"192.169.1.2": false, "::ffff:192.169.1.2": false, "2001:db9::1": false, "127.0.0.1": false, "::1": false,
	} {
		if got := s.settings.Load().admits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s may ask: %v, want %v", addr, got, want)
		}
	}
}

// Reading is closed when questions are read, and not before.
func TestReading(t *testing.T) {
	c := config(t, newFake(t, "ok.example. 300 IN A 192.0.2.1"))
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Reading():
		t.Error("before it runs")
	default:
	}
	run(t, s)
	select {
	case <-s.Reading():
	case <-time.After(10 * time.Second):
		t.Error("not once it runs")
	}
}
