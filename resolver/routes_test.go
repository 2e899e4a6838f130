package resolver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

func stateOf(st *policy.State) func() *policy.State { return func() *policy.State { return st } }

func routeTo(t testing.TB, domain string, ups ...*fake) Route {
	t.Helper()
	r := Route{Domain: blocklists.MustName(domain)}
	for _, u := range ups {
		r.Upstreams = append(r.Upstreams, mustUpstream(t, "udp://"+u.addr.String()))
	}
	return r
}

// The longest domain decides who is asked, and nobody else is, even where it fails.
func TestForwardingByDomain(t *testing.T) {
	world, router, office := newFake(t), newFake(t), newFake(t)
	for i, u := range []*fake{world, router, office} {
		u.does(func(_ string, req, a *dns.Msg) [][]byte {
			a.Rcode = dns.RcodeSuccess
			a.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeTXT, Class: 1, Ttl: 60}, Txt: []string{fmt.Sprint(i)}}}
			return [][]byte{packed(a)}
		})
	}
	c := config(t, world)
	quick(&c)
	c.Forward = []Route{routeTo(t, "lan", router), routeTo(t, "168.192.in-addr.arpa", router), routeTo(t, "office.lan", office), routeTo(t, "test", router)}
	s := start(t, c)
	who := func(name string) string {
		t.Helper()
		got := ask(t, s, adult, msgFor(name, dns.TypeTXT))
		if len(got.Answer) != 1 {
			return dns.RcodeToString[got.Rcode]
		}
		return got.Answer[0].(*dns.TXT).Txt[0]
	}
	for name, want := range map[string]string{
		"lan.": "1", "printer.lan.": "1", "PRINTER2.LAN.": "1", "xlan.": "0", "lan.example.": "0",
		"office.lan.": "2", "a.b.office.lan.": "2", "notoffice.lan.": "1",
		"20.1.168.192.in-addr.arpa.": "1", "1.169.192.in-addr.arpa.": "0",
		"host.test.": "1", // never asked of strangers, but the home may have such a zone
		".":          "0",
	} {
		if got := who(name); got != want {
			t.Errorf("%s was asked of %s, want %s", name, got, want)
		}
	}
	world.queries()
	router.does(drops)
	if got := who("new.lan."); got != "SERVFAIL" {
		t.Errorf("with the router down: %s", got)
	}
	if q := world.queries(); len(q) > 0 {
		t.Errorf("a name of the home went to %s", "strangers")
	}
	var health []string
	for _, h := range s.Health() {
		health = append(health, h.Domain)
	}
	if got := strings.Join(health, " "); got != " lan 168.192.in-addr.arpa office.lan test" {
		t.Errorf("health is of the domains %q", got)
	}
}

// What is blocked is blocked, whoever knows the name.
func TestForwardedNamesAreDecided(t *testing.T) {
	world, router := newFake(t), newFake(t, "www.stranger.example. 60 IN A 192.168.1.9", "pc.lan. 60 IN CNAME www.stranger.example.")
	c := config(t, world)
	c.Forward = []Route{routeTo(t, "stranger.example", router), routeTo(t, "lan", router)}
	s := start(t, c)
	for _, name := range []string{"www.stranger.example.", "pc.lan."} {
		if got := ask(t, s, household, msgFor(name, dns.TypeA)); len(got.Answer) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A router that asks Kinward for what it does not know is no loop for the names
// that it knows; one that asks Kinward for those too is.
func TestLoopsOfADomain(t *testing.T) {
	world, router := newFake(t, "ok.example. 60 IN A 192.0.2.1"), newFake(t, "pc.lan. 60 IN A 192.168.1.9")
	c := config(t, world)
	quick(&c)
	c.Forward = []Route{routeTo(t, "lan", router), routeTo(t, "guests", router)}
	reg := newRegistry(&c)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	back := forwardTo(s.Addrs()[0].String())
	router.does(func(network string, req, a *dns.Msg) [][]byte {
		if dns.IsSubDomain("lan.", strings.ToLower(req.Question[0].Name)) {
			return [][]byte{packed(a)}
		}
		return back(network, req, a)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	s.probe(ctx)
	for _, h := range s.Health() {
		if h.Looping != (h.Domain == "guests") {
			t.Errorf("%s for %q: looping is %t", h.Upstream, h.Domain, h.Looping)
		}
	}
	if got := ask(t, s, adult, msgFor("pc.lan.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("a name that the router knows: %s", got)
	}
	if got := ask(t, s, adult, msgFor("tv.guests.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("a name that goes round: %s", got)
	}
	if n := metric(t, reg, "kinward_upstream_looping", "upstream=udp://"+router.addr.String()); n != 1 {
		t.Errorf("kinward_upstream_looping = %v, want one series that says 1", n)
	}
}

// Domains that are asked elsewhere from now on are not answered from what the
// others said of them.
func TestReconfigureOfDomains(t *testing.T) {
	world, router := newFake(t, ". 60 IN SOA a. b. 1 2 3 4 60"), newFake(t, "pc.lan. 60 IN A 192.168.1.9")
	c := config(t, world)
	s := start(t, c)
	set := Settings{Upstreams: c.Upstreams, AllowNets: loopbackNets}
	rcode := func() int { return ask(t, s, adult, msgFor("pc.lan.", dns.TypeA)).Rcode }
	if got := rcode(); got != dns.RcodeNameError {
		t.Fatalf("the world says %d", got)
	}
	other := ask(t, s, adult, msgFor("other.example.", dns.TypeA))
	set.Forward = []Route{routeTo(t, "lan", router)}
	if err := s.Reconfigure(set); err != nil {
		t.Fatal(err)
	}
	if got := rcode(); got != dns.RcodeSuccess {
		t.Errorf("after the router was named: %d", got)
	}
	world.queries()
	if got := ask(t, s, adult, msgFor("other.example.", dns.TypeA)); got.Rcode != other.Rcode || len(world.queries()) > 0 {
		t.Error("other answers were forgotten too")
	}
	if err := s.Reconfigure(set); err != nil { // the same again
		t.Fatal(err)
	}
	router.queries()
	if rcode(); len(router.queries()) > 0 {
		t.Error("a reload without a change forgets answers")
	}
	set.Forward = nil
	if err := s.Reconfigure(set); err != nil {
		t.Fatal(err)
	}
	if got := rcode(); got != dns.RcodeNameError {
		t.Errorf("after the router was left out again: %d", got)
	}
	for _, bad := range []Route{{}, {Domain: "\x03lan"}, routeTo(t, "localhost", router), {Domain: "\x03lan", Upstreams: []upstream.Spec{{}}}, {Domain: "\x03lan", Upstreams: []upstream.Spec{mustUpstream(t, "udp://"+s.Addrs()[0].String())}}} {
		set.Forward = []Route{bad}
		if err := s.Reconfigure(set); err == nil {
			t.Errorf("takes %+v", bad)
		}
	}
}

func TestTTLBounds(t *testing.T) {
	zone := []string{
		"example. 100000 IN SOA ns.example. h.example. 1 2 3 4 100000", "short.example. 5 IN A 192.0.2.1", "once.example. 0 IN A 192.0.2.1",
		"long.example. 604800 IN A 192.0.2.1", "fine.example. 200 IN A 192.0.2.1", "brief.example. 3 IN CNAME fine.example.",
	}
	for _, tt := range []struct {
		asked       string
		least, most time.Duration
		do          bool
		want        uint32
	}{
		{"short.example.", 0, 0, false, 5},
		{"short.example.", time.Minute, 0, false, 60},
		{"short.example.", time.Minute, 0, true, 5}, // whoever checks signatures would see it
		{"once.example.", time.Minute, 0, false, 0},
		{"brief.example.", time.Minute, 0, false, 60},
		{"fine.example.", time.Minute, 0, false, 200},
		{"fine.example.", time.Minute, 100 * time.Second, false, 100},
		{"long.example.", 0, 0, false, 86400},
		{"long.example.", 0, time.Hour, true, 3600},
		{"none.example.", time.Minute, 10 * time.Minute, false, 600},
		{"none.example.", 0, 0, false, 3600},
	} {
		up := newFake(t, zone...)
		c := config(t, up)
		c.State = stateOf(grownUps(t))
		c.MinTTL, c.MaxTTL = tt.least, tt.most
		virtual(&c)
		s := start(t, c)
		for range 2 {
			m := msgFor(tt.asked, dns.TypeA)
			if tt.do {
				wantsDO(m)
			}
			got := ask(t, s, adult, m)
			for _, rr := range append(got.Answer, got.Ns...) {
				if ttl := rr.Header().Ttl; rr.Header().Name == tt.asked && ttl != tt.want || len(got.Answer) == 0 && ttl != tt.want {
					t.Errorf("%s, bounds %v and %v, DO %t: TTL %d, want %d", tt.asked, tt.least, tt.most, tt.do, ttl, tt.want)
				}
			}
		}
	}
	for _, bad := range [][2]time.Duration{{-time.Second, 0}, {2 * time.Hour, 0}, {time.Minute, time.Second}} {
		c := config(t, newFake(t))
		c.MinTTL, c.MaxTTL = bad[0], bad[1]
		if s, err := New(c); err == nil {
			s.Close()
			t.Errorf("takes bounds %v", bad)
		}
	}
}
