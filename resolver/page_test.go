package resolver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// TestPageOfABlock: what is blocked leads to the page, by both transports; what
// else is asked of the name is empty, never NXDOMAIN, which would deny the address.
func TestPageOfABlock(t *testing.T) {
	st := state(t, "danger.example")
	c := config(t, newFake(t))
	c.State, c.Page = func() *policy.State { return st }, Page{Served: true}
	s := start(t, c)
	for _, tt := range []struct {
		from, name string
		qtype      uint16
		rcode      int
		want       string
	}{
		{household, "stranger.example.", dns.TypeA, dns.RcodeSuccess, "stranger.example. 10 IN A 127.0.0.1"},
		{household, "danger.example.", dns.TypeA, dns.RcodeSuccess, "danger.example. 10 IN A 127.0.0.1"},
		{household, "stranger.example.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{household, "stranger.example.", dns.TypeHTTPS, dns.RcodeSuccess, ""},
		{household, "stranger.example.", dns.TypeTXT, dns.RcodeSuccess, ""},
		{household, "use-application-dns.net.", dns.TypeA, dns.RcodeNameError, ""}, // an address would be a leave
		{household, "check-x.kinward.home.arpa.", dns.TypeA, dns.RcodeSuccess, "check-x.kinward.home.arpa. 1 IN A 127.0.0.1"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			got := askBy(t, s, network, tt.from, msgFor(tt.name, tt.qtype))
			if diff := cmp.Diff(list(tt.want), rrs(got.Answer)); diff != "" || got.Rcode != tt.rcode {
				t.Errorf("%s %s %s: %s\n%s", network, tt.name, dns.TypeToString[tt.qtype], dns.RcodeToString[got.Rcode], diff)
			}
		}
	}
}

// TestPageOfAProfile: a profile that says how its blocks are answered keeps to it.
func TestPageOfAProfile(t *testing.T) {
	st := home(t, policy.Profile{Preset: policy.BandC, Response: &policy.BlockMode{}, Rules: []policy.Rule{{ID: 1, Name: blocklists.MustName("no.example")}}})
	c := config(t, newFake(t))
	c.State, c.Page = func() *policy.State { return st }, Page{Served: true}
	if got := ask(t, start(t, c), household, msgFor("no.example.", dns.TypeA)); got.Rcode != dns.RcodeNameError {
		t.Errorf("%s", got)
	}
}

// TestPages: nobody is sent to an address that leads to another machine where they
// are.
func TestPages(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, tt := range []struct {
		name, from, asked, page string // page "": as it was asked
		want                    string // a block mode
	}{
		{"at home", "192.168.1.20", "192.168.1.10", "", "192.168.1.10"},
		{"at home, link-local", "fe80::1%eth0", "fd00::10", "", "fd00::10"},
		{"on this machine", "127.0.0.1", "127.0.0.1", "", "127.0.0.1"},
		{"away, behind a port that the router forwards", "203.0.113.5", "192.168.1.10", "", "nxdomain"},
		{"away, at a public server", "203.0.113.5", "198.51.100.1", "", "198.51.100.1"},
		{"the listener does not know", "192.168.1.20", "0.0.0.0", "", "nxdomain"},
		{"link-local needs an interface", "fe80::1%eth0", "fe80::10%eth0", "", "nxdomain"},
		{"in a container", "192.168.1.20", "172.17.0.2", "192.168.1.10", "192.168.1.10"},
		{"in a container, both kinds", "2001:db8:1::20", "2001:db8:1::10", "192.168.1.10,fd00::10", "192.168.1.10,fd00::10"},
		{"in a container, away", "203.0.113.5", "172.17.0.2", "192.168.1.10", "nxdomain"},
		{"loopback is this machine's", "192.168.1.20", "192.168.1.10", "127.0.0.1", "nxdomain"},
	} {
		set := &settings{allow: new(bart.Lite)}
		if err := insertAll(set.allow, nets); err != nil {
			t.Fatal(err)
		}
		if tt.page != "" {
			m, err := policy.ParseBlockMode(tt.page)
			if err != nil {
				t.Fatal(err)
			}
			set.page.V4, set.page.V6 = m.V4, m.V6
		}
		q := &query{set: set, clues: policy.Clues{Addr: netip.MustParseAddr(tt.from)}, local: netip.MustParseAddr(tt.asked)}
		if got := q.pages().String(); got != tt.want {
			t.Errorf("%s: from %s, asked at %s: %s, want %s", tt.name, tt.from, tt.asked, got, tt.want)
		}
	}
}

// TestWhoAt: the page knows whom DNS knows, and nobody else.
func TestWhoAt(t *testing.T) {
	st := state(t)
	c := config(t, newFake(t))
	c.State = func() *policy.State { return st }
	c.Forwarders = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	s := start(t, c)
	for _, tt := range []struct {
		from  string
		known bool
		named bool
	}{
		{household, true, false},
		{adult, true, true},
		{"::ffff:" + adult, true, true},
		{ruled, true, false}, // it forwards for others, so it is not the device of its own address
		{"192.0.2.7", false, false},
	} {
		who, ok := s.WhoAt(netip.MustParseAddr(tt.from))
		if ok != tt.known || (who.Device != 0) != tt.named {
			t.Errorf("%s: device %d, %v", tt.from, who.Device, ok)
			continue
		}
		asked, _ := st.Directory.Identify(policy.Clues{Addr: netip.MustParseAddr(tt.from)}, time.Now())
		if ok && tt.from != ruled && (who.Profile != asked.Profile || who.Family != asked.Family) {
			t.Errorf("%s: the page takes it for profile %d, DNS for %d", tt.from, who.Profile, asked.Profile)
		}
	}
}
