package resolver

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// TestPortal: the family's own Kinward has the address that was asked, by every
// way of listening, while everything is paused too. Nobody else is asked.
func TestPortal(t *testing.T) {
	up := newFake(t)
	st := home(t, policy.Profile{Preset: policy.BandC, Paused: policy.Forever})
	type row struct {
		asked string
		qtype uint16
		rcode int
		want  string // "" for none
	}
	v4 := func(host string) []row {
		return []row{
			{"Kinward.home.arpa.", dns.TypeA, dns.RcodeSuccess, "Kinward.home.arpa. 60 IN A " + host},
			{"kinward.home.arpa.", dns.TypeAAAA, dns.RcodeSuccess, ""},
			{"kinward.home.arpa.", dns.TypeHTTPS, dns.RcodeSuccess, ""},
			{"x.kinward.home.arpa.", dns.TypeA, dns.RcodeNameError, ""},
		}
	}
	v6 := []row{
		{"kinward.home.arpa.", dns.TypeAAAA, dns.RcodeSuccess, "kinward.home.arpa. 60 IN AAAA ::1"},
		{"kinward.home.arpa.", dns.TypeA, dns.RcodeSuccess, ""},
	}
	for _, tt := range []struct {
		listen, host string
		rows         []row
	}{
		{"127.0.0.1:0", "127.0.0.1", v4("127.0.0.1")},
		{"0.0.0.0:0", "127.0.0.1", v4("127.0.0.1")},
		{"0.0.0.0:0", "127.0.0.77", v4("127.0.0.77")},
		{":0", "127.0.0.77", v4("127.0.0.77")},
		{":0", "::1", v6},
		{"[::1]:0", "::1", v6},
	} {
		if tt.host == "::1" && !hasIPv6() || !canSharePort && tt.host == "127.0.0.77" {
			continue // this system has no such address, or does not tell which was asked
		}
		c := config(t, up)
		c.Listen, c.State = []string{tt.listen}, func() *policy.State { return st }
		c.AllowNets = append(slices.Clone(loopbackNets), netip.MustParsePrefix("::1/128"))
		s := start(t, c)
		for _, network := range []string{"udp", "tcp"} {
			for _, r := range tt.rows {
				to := netip.AddrPortFrom(netip.MustParseAddr(tt.host), s.Addrs()[0].Port()).String()
				got, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(msgFor(r.asked, r.qtype), to)
				if err != nil {
					t.Fatalf("listening on %s, asked %s: %v", tt.listen, to, err)
				}
				if diff := cmp.Diff(list(r.want), rrs(got.Answer)); diff != "" || got.Rcode != r.rcode {
					t.Errorf("listening on %s, asked %s %s for %s %s: %s\n%s", tt.listen, network, to, r.asked, dns.TypeToString[r.qtype], dns.RcodeToString[got.Rcode], diff)
				}
			}
		}
	}
	if n := len(up.queries()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

// A guardian may deny it, as all that devices need.
func TestPortalDenied(t *testing.T) {
	st := home(t, policy.Profile{Preset: policy.BandC, Rules: []policy.Rule{{ID: 1, Name: blocklists.MustName("kinward.home.arpa"), Match: policy.MatchExact}}})
	c := config(t, newFake(t))
	c.State = func() *policy.State { return st }
	got := ask(t, start(t, c), household, msgFor("kinward.home.arpa.", dns.TypeA))
	if code, _ := ede(got); len(got.Answer) != 0 || code != int(dns.ExtendedErrorCodeFiltered) {
		t.Errorf("a denied portal: %s", got)
	}
}
