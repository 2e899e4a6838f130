package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kinward/blocklists"
	"kinward/policy"
)

// zoneStranger is on no allow-list of these tests.
const zoneStranger = "127.0.0.9"

// zoneConfig serves dns.example.org to everybody and the rest to the household.
func zoneConfig(t testing.TB, challenges func() ([]string, error)) Config {
	t.Helper()
	c := config(t, newFake(t))
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix(household + "/32")}
	c.Zone = Zone{
		Name:    blocklists.MustName("dns.example.org"),
		Addrs:   []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
		Issuers: []string{"letsencrypt.org"},
	}
	if challenges != nil {
		c.Zone.Challenges = func(context.Context) ([]string, error) { return challenges() }
	}
	return c
}

// TestZoneAnswers: what the zone holds, byte for byte the same for a stranger and
// for the home, by UDP and by TCP.
func TestZoneAnswers(t *testing.T) {
	s := start(t, zoneConfig(t, func() ([]string, error) { return []string{"one", "two"}, nil }))
	const soa = "dns.example.org. %d IN SOA ns.dns.example.org. hostmaster.dns.example.org. 1 3600 1200 604800 %d"
	none := []string{fmt.Sprintf(soa, 60, 60)}
	for _, tt := range []struct {
		name   string
		qname  string
		qtype  uint16
		rcode  int
		answer []string
		ns     []string
	}{
		{"the name's address", "dns.example.org.", dns.TypeA, 0, []string{"dns.example.org. 300 IN A 192.0.2.7"}, nil},
		{"its IPv6 address", "DNS.example.org.", dns.TypeAAAA, 0, []string{"DNS.example.org. 300 IN AAAA 2001:db8::7"}, nil},
		{"a device's name", "tablet-k5q7.dns.example.org.", dns.TypeA, 0, []string{"tablet-k5q7.dns.example.org. 300 IN A 192.0.2.7"}, nil},
		{"who serves it", "dns.example.org.", dns.TypeNS, 0, []string{"dns.example.org. 3600 IN NS ns.dns.example.org."}, nil},
		{"its glue", "ns.dns.example.org.", dns.TypeA, 0, []string{"ns.dns.example.org. 300 IN A 192.0.2.7"}, nil},
		{"its authority", "dns.example.org.", dns.TypeSOA, 0, []string{fmt.Sprintf(soa, 3600, 60)}, nil},
		{"who may issue", "dns.example.org.", dns.TypeCAA, 0, []string{
			`dns.example.org. 300 IN CAA 0 issue "letsencrypt.org"`, `dns.example.org. 300 IN CAA 0 issuewild "letsencrypt.org"`,
		}, nil},
		{"who may issue for a device's name: look above", "k5q7.dns.example.org.", dns.TypeCAA, 0, nil, none},
		{"a challenge for two names", "_acme-challenge.dns.example.org.", dns.TypeTXT, 0, []string{
			`_acme-challenge.dns.example.org. 0 IN TXT "one"`, `_acme-challenge.dns.example.org. 0 IN TXT "two"`,
		}, nil},
		{"a challenge's address", "_acme-challenge.dns.example.org.", dns.TypeA, 0, nil, []string{fmt.Sprintf(soa, 0, 0)}},
		{"another type", "dns.example.org.", dns.TypeMX, 0, nil, none},
		{"the parent's", "dns.example.org.", dns.TypeDS, 0, nil, none},
		{"ANY", "dns.example.org.", dns.TypeANY, 0, []string{`dns.example.org. 3600 IN HINFO "RFC8482" ""`}, nil},
		{"a label too deep", "a.b.dns.example.org.", dns.TypeA, dns.RcodeNameError, nil, none},
		{"no host", "_tcp.dns.example.org.", dns.TypeA, dns.RcodeNameError, nil, none},
	} {
		for _, from := range []string{household, zoneStranger} {
			for _, network := range []string{"udp", "tcp"} {
				a := askBy(t, s, network, from, msgFor(tt.qname, tt.qtype))
				if a.Rcode != tt.rcode || !a.Authoritative || a.RecursionAvailable || len(a.Extra) != 1 {
					t.Errorf("%s (%s, %s): rcode %d, AA %t, RA %t, %d additional", tt.name, from, network, a.Rcode, a.Authoritative, a.RecursionAvailable, len(a.Extra))
				}
				if d := cmp.Diff([][]string{append([]string{}, tt.answer...), append([]string{}, tt.ns...)}, [][]string{rrs(a.Answer), rrs(a.Ns)}); d != "" {
					t.Errorf("%s (%s, %s) (-want +got):\n%s", tt.name, from, network, d)
				}
			}
		}
	}
}

// TestZoneOpensNothingElse: a stranger gets nothing but the zone.
func TestZoneOpensNothingElse(t *testing.T) {
	up := newFake(t)
	c := zoneConfig(t, nil)
	c.Upstreams = config(t, up).Upstreams
	s := start(t, c)
	for _, name := range []string{"allowed.example.", "org.", "example.org.", "xdns.example.org.", "localhost.", "resolver.arpa.", "."} {
		for _, network := range []string{"udp", "tcp"} {
			if a := askBy(t, s, network, zoneStranger, msgFor(name, dns.TypeA)); a.Rcode != dns.RcodeRefused || len(a.Answer)+len(a.Ns) > 0 {
				t.Errorf("%s over %s: %v; want REFUSED", name, network, a)
			}
		}
	}
	for _, qtype := range []uint16{dns.TypeAXFR, dns.TypeIXFR, dns.TypeTKEY} {
		if a := ask(t, s, zoneStranger, msgFor("dns.example.org.", qtype)); a.Rcode != dns.RcodeRefused {
			t.Errorf("type %d: %s; want REFUSED", qtype, dns.RcodeToString[a.Rcode])
		}
	}
	if a := ask(t, s, zoneStranger, msgFor("dns.example.org.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })); a.Rcode != dns.RcodeRefused {
		t.Errorf("class CH: %s; want REFUSED", dns.RcodeToString[a.Rcode])
	}
}

// TestZoneWithout: without a zone, strangers have no TCP and no answer.
func TestZoneWithout(t *testing.T) {
	c := zoneConfig(t, nil)
	c.Zone = Zone{}
	s := start(t, c)
	if a := ask(t, s, zoneStranger, msgFor("dns.example.org.", dns.TypeA)); a.Rcode != dns.RcodeRefused {
		t.Errorf("rcode %s; want REFUSED", dns.RcodeToString[a.Rcode])
	}
	conn := dial(t, s, "tcp", zoneStranger)
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a stranger's TCP connection gave %d bytes; want it closed", n)
	}
}

// TestZoneBoundsAmplification: what a forger can have sent to somebody else is
// bounded: 512 bytes an answer, no more than ten times the question at worst, and
// a few answers a second for each network.
func TestZoneBoundsAmplification(t *testing.T) {
	clk := newClock()
	c := zoneConfig(t, func() ([]string, error) { return slices.Repeat([]string{strings.Repeat("x", 43)}, maxChallenges), nil })
	c.Now = clk.now
	s := start(t, c)
	big := msgFor("_acme-challenge.dns.example.org.", dns.TypeTXT)
	if a := ask(t, s, zoneStranger, big); !a.Truncated || len(a.Answer) > 0 {
		t.Errorf("a large answer to a stranger by UDP: TC %t with %d records; want it sent to TCP, empty", a.Truncated, len(a.Answer))
	}
	if a := ask(t, s, household, big); a.Truncated || len(a.Answer) != maxChallenges {
		t.Errorf("to the home: TC %t with %d records; want all %d", a.Truncated, len(a.Answer), maxChallenges)
	}
	if a := askBy(t, s, "tcp", zoneStranger, big); len(a.Answer) != maxChallenges {
		t.Errorf("to a stranger by TCP: %d records; want %d", len(a.Answer), maxChallenges)
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeCAA, dns.TypeANY, dns.TypeMX} {
		q := msgFor("dns.example.org.", qtype, plainDNS)
		wire, _ := q.Pack()
		if got := len(askRaw(t, s, "udp", zoneStranger, wire)); got > 4*len(wire) {
			t.Errorf("type %d: %d bytes for %d; want at most four times as many", qtype, got, len(wire))
		}
	}
	answered, truncated := 0, 0
	before := testutil.ToFloat64(s.metrics.limited[limitDropped])
	q := newQuery(t, msgFor("dns.example.org.", dns.TypeA), netip.MustParseAddrPort("198.51.100.9:4000"))
	for range 200 {
		q.reset(q.msg, q.from, overUDP)
		if s.answerNear(t.Context(), q) != done {
			continue
		}
		answered++
		if word(q.out, atFlags)&bitTC != 0 {
			truncated++
			if len(q.out) > len(q.msg) {
				t.Fatalf("a truncated answer has %d bytes for %d", len(q.out), len(q.msg))
			}
		}
	}
	if full := answered - truncated; full != zoneRate.Burst {
		t.Errorf("%d full answers at one moment; want %d", full, zoneRate.Burst)
	}
	if dropped := testutil.ToFloat64(s.metrics.limited[limitDropped]) - before; dropped != 75 || truncated != 75 {
		t.Errorf("of 150 above the limit, %d were sent to TCP and %.0f dropped; want half each", truncated, dropped)
	}
	clk.advance(time.Second)
	q.reset(q.msg, q.from, overUDP)
	if s.answerNear(t.Context(), q); word(q.out, atFlags)&bitTC != 0 {
		t.Error("a second later, the answer is still truncated")
	}
}

// newQuery packs m as it would come from an address.
func newQuery(t testing.TB, m *dns.Msg, from netip.AddrPort) *query {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := &query{}
	q.reset(wire, from, overUDP)
	return q
}

// TestZoneChallengesAreFresh: each question reads the challenges, none is kept.
func TestZoneChallengesAreFresh(t *testing.T) {
	var n atomic.Int64
	s := start(t, zoneConfig(t, func() ([]string, error) {
		switch n.Add(1) {
		case 1:
			return nil, nil
		case 2:
			return []string{"value"}, nil
		}
		return nil, errors.New("the disk is gone")
	}))
	q := msgFor("_acme-challenge.dns.example.org.", dns.TypeTXT)
	first, second, third := ask(t, s, zoneStranger, q), ask(t, s, zoneStranger, q), ask(t, s, zoneStranger, q)
	if len(first.Answer) != 0 || len(first.Ns) != 1 || first.Ns[0].Header().Ttl != 0 {
		t.Errorf("before the challenge: %v; want NODATA that nobody keeps", first)
	}
	if len(second.Answer) != 1 {
		t.Errorf("with the challenge: %v", second)
	}
	if third.Rcode != dns.RcodeServerFailure {
		t.Errorf("where it cannot be read: %s; want SERVFAIL", dns.RcodeToString[third.Rcode])
	}
}

// TestZoneBeforeFiltering: no list and no policy stands before the zone, and
// nothing of it is recorded.
func TestZoneBeforeFiltering(t *testing.T) {
	log := &kept{}
	c := zoneConfig(t, nil)
	st := state(t, "example.org")
	c.State, c.Log = func() *policy.State { return st }, log
	s := start(t, c)
	if a := ask(t, s, household, msgFor("dns.example.org.", dns.TypeA)); len(a.Answer) != 1 {
		t.Errorf("with example.org listed as dangerous: %v", a)
	}
	if a := ask(t, s, household, msgFor("www.example.org.", dns.TypeA)); a.Rcode != dns.RcodeNameError {
		t.Errorf("www.example.org: %s; want it blocked", dns.RcodeToString[a.Rcode])
	}
	for _, at := range log.take() {
		if at.Name.IsBelow(c.Zone.Name) {
			t.Errorf("recorded %s", at.Name)
		}
	}
}

// TestZoneHomeRecords: at home the name may lead straight to the server; nobody
// else hears of that.
func TestZoneHomeRecords(t *testing.T) {
	c := zoneConfig(t, nil)
	var err error
	if c.Home.Records, err = ParseRecords([]string{"*.dns.example.org A 192.168.1.10"}); err != nil {
		t.Fatal(err)
	}
	s := start(t, c)
	for from, want := range map[string]string{household: "192.168.1.10", zoneStranger: "192.0.2.7"} {
		if a := ask(t, s, from, msgFor("k5q7.dns.example.org.", dns.TypeA)); len(a.Answer) != 1 || a.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("from %s: %v; want %s", from, a.Answer, want)
		}
	}
}

// TestZoneStrangersByTCP: strangers have places of their own, which they cannot
// take more of, and take none of the home's.
func TestZoneStrangersByTCP(t *testing.T) {
	c := zoneConfig(t, nil)
	c.Limits.TCPConns = 2
	s := start(t, c)
	q := msgFor("dns.example.org.", dns.TypeA)
	wire, _ := q.Pack()
	for i := range zoneConnsPerClient + 2 { // the oldest idle one makes room
		conn := dial(t, s, "tcp", zoneStranger)
		defer conn.Close()
		writeFrame(t, conn, wire)
		if got := readFrameT(t, conn); len(got) == 0 {
			t.Fatalf("connection %d has no answer", i)
		}
	}
	strangers := s.strangers.open()
	if strangers > zoneConnsPerClient {
		t.Errorf("%d connections of one zoneStranger; want at most %d", strangers, zoneConnsPerClient)
	}
	for range 2 {
		conn := dial(t, s, "tcp", household)
		defer conn.Close()
		writeFrame(t, conn, wire)
		readFrameT(t, conn)
	}
}

func TestZoneRefuses(t *testing.T) {
	addr := []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	name := blocklists.MustName("dns.example.org")
	for want, z := range map[string]Zone{
		"could delegate":       {Name: blocklists.MustName("dns"), Addrs: addr},
		"no such name":         {Name: blocklists.MustName("dns.home.arpa"), Addrs: addr},
		"between one and":      {Name: name},
		"no address":           {Name: name, Addrs: []netip.Addr{netip.IPv4Unspecified()}},
		"CAA record":           {Name: name, Addrs: addr, Issuers: []string{"a\nb"}},
		"certificate authorit": {Name: name, Addrs: addr, Issuers: make([]string, maxZoneIssuers+1)},
	} {
		if _, err := newZone(z); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("newZone(%v): %v; want an error with %q", z, err, want)
		}
	}
}
