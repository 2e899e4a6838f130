package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

func TestUpstreamIsSelf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		listen string
		up     string
		self   bool
	}{
		{"the same address", "127.0.0.1", "udp://127.0.0.1", true},
		{"by TCP", "127.0.0.1", "tcp://127.0.0.1", true},
		{"loopback of a wildcard", "0.0.0.0", "udp://127.0.0.53", true},
		{"an interface of a wildcard", "0.0.0.0", "udp://" + anInterface(t), true},
		{"another address", "127.0.0.1", "udp://127.0.0.2", false},
		{"not an interface of a wildcard", "0.0.0.0", "udp://192.0.2.1", false},
	} {
		c := config(t, newFake(t))
		c.Listen = []string{tt.listen + ":0"}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		use := func(port uint16) error {
			return s.Reconfigure(Settings{Upstreams: append(c.Upstreams, mustUpstream(t, fmt.Sprintf("%s:%d", tt.up, port)))})
		}
		err = use(s.Addrs()[0].Port())
		if errors.Is(err, ErrUpstreamIsSelf) != tt.self || err != nil && !tt.self {
			t.Errorf("%s: %v, want refused %v", tt.name, err, tt.self)
		}
		if tt.self && err != nil && !strings.Contains(err.Error(), tt.up) {
			t.Errorf("%s: %v does not say which", tt.name, err)
		}
		if err := use(1); err != nil { // the same host on another port is another server
			t.Errorf("%s, on another port: %v", tt.name, err)
		}
	}
}

// New refuses what Reconfigure refuses. The port must be known beforehand, as
// port 53 is.
func TestNewRefusesItself(t *testing.T) {
	c := config(t, newFake(t))
	for range 20 {
		addr := closedPort(t).String()
		c.Listen, c.Upstreams = []string{addr}, []upstream.Spec{mustUpstream(t, "udp://"+addr)}
		s, err := New(c)
		if err == nil {
			s.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) { // taken meanwhile
			continue
		}
		if !errors.Is(err, ErrUpstreamIsSelf) {
			t.Errorf("error %v, want %v", err, ErrUpstreamIsSelf)
		}
		return
	}
	t.Error("found no free port")
}

// anInterface returns an IPv4 address of this host.
func anInterface(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	best := "127.0.0.1"
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			best = n.IP.String()
		}
	}
	return best
}

// forwardTo makes a fake upstream ask another server, as a home router does.
func forwardTo(addr string) behaviour {
	return func(network string, req, _ *dns.Msg) [][]byte {
		r, _, err := (&dns.Client{Net: network}).Exchange(req, addr)
		if err != nil {
			return nil
		}
		return [][]byte{packed(r)}
	}
}

// An upstream that leads back is found, said, and used again only when a probe
// stays away.
func TestLoopsAreFound(t *testing.T) {
	var b lockedBuilder
	router, other := newFake(t, "ok.example. 60 IN A 192.0.2.1"), newFake(t, "ok.example. 60 IN A 192.0.2.2")
	c := config(t, router, other)
	quick(&c)
	c.Logger = logTo(&b, slog.LevelInfo)
	reg := newRegistry(&c)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	router.does(forwardTo(s.Addrs()[0].String()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	s.probe(ctx)
	s.probe(ctx) // it is said once
	h := s.Health()
	if !h[0].Looping || h[0].Usable || h[1].Looping || !h[1].Usable {
		t.Fatalf("health = %+v, want the first looping, the second well", h)
	}
	if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); !strings.HasSuffix(got.Answer[0].String(), "192.0.2.2") {
		t.Errorf("got %s, want the other upstream's answer", got)
	}
	if len(router.queries()) > 0 {
		t.Error("the looping upstream was asked")
	}
	if n := strings.Count(b.String(), "leads back to Kinward, so it is not used"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, b.String())
	}
	if metric(t, reg, "kinward_loops_total") != 1 || metric(t, reg, "kinward_upstream_looping", "upstream=udp://"+router.addr.String()) != 1 {
		t.Error("the loop is not in the metrics")
	}

	// With no other upstream there is no answer, and no hang.
	if err := s.Reconfigure(Settings{Upstreams: c.Upstreams[:1], AllowNets: loopbackNets}); err != nil {
		t.Fatal(err)
	}
	got := ask(t, s, household, msgFor("other.example.", dns.TypeA))
	if code, _ := ede(got); got.Rcode != dns.RcodeServerFailure || code != 22 {
		t.Errorf("with no upstream left: %s", got)
	}

	for what, does := range map[string]behaviour{"silence": drops, "SERVFAIL": says(dns.RcodeServerFailure)} {
		router.does(does)
		s.probe(ctx)
		if !s.Health()[0].Looping {
			t.Errorf("%s, which proves nothing, clears a loop", what)
		}
	}
	router.does(nil)
	s.probe(ctx)
	if s.Health()[0].Looping || metric(t, reg, "kinward_upstream_looping", "upstream=udp://"+router.addr.String()) != 0 {
		t.Error("a probe that stays away does not clear a loop")
	}
	if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("afterwards: %s", got)
	}
}

// Two Kinwards that ask each other find it out: a probe of the other's is
// passed on, not answered.
func TestLoopThroughAnotherKinward(t *testing.T) {
	up := newFake(t)
	a, err := New(config(t, up))
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://"+a.Addrs()[0].String())}
	b := start(t, c)
	if err := a.Reconfigure(Settings{Upstreams: []upstream.Spec{mustUpstream(t, "udp://"+b.Addrs()[0].String())}, AllowNets: loopbackNets}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	// Either finds it, and stops asking the other; then the circle is open. Once
	// found it stays found, though the other now answers SERVFAIL.
	for range 3 {
		a.probe(ctx)
		b.probe(ctx)
		if !a.Health()[0].Looping && !b.Health()[0].Looping {
			t.Error("neither found the loop")
		}
	}
	got := ask(t, b, household, msgFor("ok.example.", dns.TypeA))
	if got.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %s", got)
	}
}

// TestLoopThroughReconfigure: an upstream that is set while the server runs and
// leads back to it is found at once, not a minute later.
func TestLoopThroughReconfigure(t *testing.T) {
	up := newFake(t)
	a := start(t, config(t, up))
	c := config(t)
	c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://"+a.Addrs()[0].String())}
	b := start(t, c)
	if err := a.Reconfigure(Settings{Upstreams: []upstream.Spec{mustUpstream(t, "udp://"+b.Addrs()[0].String())}, AllowNets: loopbackNets}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !a.Health()[0].Looping && !b.Health()[0].Looping; {
		if time.Now().After(deadline) {
			t.Fatal("nobody found the loop")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
