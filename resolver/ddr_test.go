package resolver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"kinward/blocklists"
	"kinward/policy"
)

// TestRFC9462_Discovery: a device is told its own names, in the forms of the
// standard; whoever is refused, or asks through another, is told nothing.
func TestRFC9462_Discovery(t *testing.T) {
	st := state(t)
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	const token = "k3v5zq7w2mxa4b6c"
	prefix := func(a string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(a + "/32")} }
	f := &policy.Family{
		ID: 1, Name: "Home", Default: 1, Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}},
		Devices: []policy.Device{
			{ID: 2, Name: "Tablet", Profile: 1, Networks: prefix("127.0.0.2"), Tokens: []string{"anna", token}},
			{ID: 3, Name: "Laptop", Profile: 1, Networks: prefix("127.0.0.3"), Tokens: []string{"laptop"}},
		},
	}
	d, err := policy.NewDirectory(f, presets, st.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	all := designated{name: blocklists.MustName("dns.example"), dot: 853, doh: 443, doq: 8853}
	away := all
	away.addrs = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}
	nothing := []string{"resolver.arpa. 300 IN SOA resolver.arpa. nobody.invalid. 1 3600 1200 604800 300"}
	form := func(target string) []string {
		const head = "_dns.resolver.arpa. 60 IN SVCB "
		return []string{
			head + "1 " + target + ` alpn="h2,h3" port="443" ipv4hint="127.0.0.1" dohpath="/dns-query{?dns}"`,
			head + "2 " + target + ` alpn="dot" port="853" ipv4hint="127.0.0.1"`,
			head + "3 " + target + ` alpn="doq" port="8853" ipv4hint="127.0.0.1"`,
			target + " 60 IN A 127.0.0.1",
		}
	}
	for _, tt := range []struct {
		name    string
		offered designated
		from    string
		qname   string
		qtype   uint16
		relayed bool
		want    []string
	}{
		{"a device with a token", all, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, false, form(token + ".dns.example.")},
		{"one without a token that Kinward made", all, "127.0.0.3", "_dns.resolver.arpa.", dns.TypeSVCB, false, form("dns.example.")},
		{"an unknown device", all, "127.0.0.4", "_DNS.Resolver.ARPA.", dns.TypeSVCB, false, form("dns.example.")},
		{"only DoT", designated{name: all.name, dot: 853}, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, false, []string{
			"_dns.resolver.arpa. 60 IN SVCB 1 " + token + `.dns.example. alpn="dot" port="853" ipv4hint="127.0.0.1"`,
			token + ".dns.example. 60 IN A 127.0.0.1",
		}},
		{"at home the public address is not told", away, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, false, form(token + ".dns.example.")},
		{"through a forwarder", all, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, true, nothing},
		{"another type", all, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeA, false, nothing},
		{"the name above", all, "127.0.0.2", "resolver.arpa.", dns.TypeSVCB, false, nothing},
		{"nothing to offer", designated{}, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, false, nothing},
		{"no listener", designated{name: all.name}, "127.0.0.2", "_dns.resolver.arpa.", dns.TypeSVCB, false, nothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, newFake(t))
			c.State = func() *policy.State { return &policy.State{Index: st.Index, Directory: d} }
			if tt.relayed {
				c.Forwarders = loopbackNets
			}
			for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} { // what was asked is told, not what is listened on
				c.Listen, c.Registerer = []string{listen}, prometheus.NewRegistry()
				s := startOffering(t, c, tt.offered)
				got := ask(t, s, tt.from, msgFor(tt.qname, tt.qtype))
				if diff := cmp.Diff(got.Answer, askBy(t, s, "tcp", tt.from, msgFor(tt.qname, tt.qtype)).Answer, cmp.Comparer(dns.IsDuplicate)); diff != "" {
					t.Errorf("TCP answers otherwise:\n%s", diff)
				}
				want := slices.Clone(tt.want)
				if listen == "0.0.0.0:0" { // the system takes the client's own for it
					for i := range want {
						want[i] = strings.ReplaceAll(want[i], "127.0.0.1", tt.from)
					}
				}
				found := slices.Concat(rrs(got.Answer), rrs(got.Ns), rrs(got.Extra))
				for i := range found {
					found[i] = lowered(found[i])
				}
				if diff := cmp.Diff(want, found); diff != "" || got.Rcode != 0 {
					t.Errorf("listening on %s: %s (-want +got):\n%s", listen, dns.RcodeToString[got.Rcode], diff)
				}
			}
		})
	}

	t.Run("who is refused", func(t *testing.T) {
		c := config(t, newFake(t))
		nobody, err := d.WithHome(0)
		if err != nil {
			t.Fatal(err)
		}
		c.State = func() *policy.State { return &policy.State{Index: st.Index, Directory: nobody} }
		if got := ask(t, startOffering(t, c, all), "127.0.0.2", msgFor("_dns.resolver.arpa.", dns.TypeSVCB)); got.Rcode != dns.RcodeRefused || len(got.Answer)+len(got.Ns) > 0 {
			t.Errorf("the answer is %s", got)
		}
	})

	t.Run("away from home", func(t *testing.T) {
		q := &query{clues: policy.Clues{Addr: netip.MustParseAddr("192.0.2.7")}, local: netip.MustParseAddr("10.0.0.2")}
		if diff := cmp.Diff(away.addrs, away.addrsFor(q), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("at home by a link-local address", func(t *testing.T) {
		here := netip.MustParseAddr("fe80::2")
		q := &query{clues: policy.Clues{Addr: netip.MustParseAddr("fe80::7%eth0")}, local: here.WithZone("eth0")}
		if got := away.addrsFor(q); len(got) != 1 || got[0] != here {
			t.Errorf("it is told %v, want the address that it asked", got)
		}
	})
}

// TestRFC9462_DiscoveryEncrypted: whoever asks by an encrypted transport already, as
// clients do to see whether what plain DNS said holds, is told the address, too.
func TestRFC9462_DiscoveryEncrypted(t *testing.T) {
	for _, any := range []bool{false, true} {
		s := startSecure(t, func(c *Config) {
			if any { // the address is the connection's, not the listener's
				c.Secure = []SecureListen{{DoT, "0.0.0.0:0"}, {DoH, "0.0.0.0:0"}, {DoQ, "0.0.0.0:0"}}
			}
		})
		at := func(scheme Scheme) string {
			return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort(s.addr(scheme)).Port()).String()
		}
		m := msgFor("_dns.resolver.arpa.", dns.TypeSVCB)
		zeroID(m)
		answers := map[string]*dns.Msg{}
		dot, err := tls.Dial("tcp", at(DoT), s.client(serverName))
		if err != nil {
			t.Fatal(err)
		}
		defer dot.Close()
		answers["DoT"] = exchange(t, dot, m)
		doq, err := quic.DialAddr(t.Context(), at(DoQ), s.client(serverName, alpnDoQ), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer doq.CloseWithError(0, "")
		framed := append([]byte{0, byte(len(packed(m)))}, packed(m)...)
		got, err := askStream(t, doq, framed, true)
		if err != nil || len(got) < 2 {
			t.Fatal(err)
		}
		answers["DoQ"] = unpacked(t, got[2:])
		h1 := &http.Transport{TLSClientConfig: s.client(serverName), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, at(DoH))
		}}
		h3 := &http3.Transport{TLSClientConfig: s.client(serverName), Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, at(DoH), t, q)
		}}
		for name, rt := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/3": h3} {
			_, answers[name] = post(t, &http.Client{Transport: rt, Timeout: 5 * time.Second}, "https://"+serverName+dohPath, m)
		}
		h1.CloseIdleConnections()
		h3.Close()
		for by, got := range answers {
			if len(got.Answer) != 3 || len(got.Extra) == 0 || !strings.Contains(got.Answer[0].String(), `ipv4hint="127.0.0.1"`) {
				t.Errorf("by %s, listening on any address: %t: %v", by, any, got)
			}
		}
	}
}

// lowered spells the discovery's own name one way, whatever its case was.
func lowered(s string) string {
	const name = "_dns.resolver.arpa."
	if len(s) > len(name) && dns.CanonicalName(s[:len(name)]) == name {
		return name + s[len(name):]
	}
	return s
}

// startOffering starts a server that offers something else than its listeners.
func startOffering(t *testing.T, c Config, d designated) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.designated = d
	return run(t, s)
}

func TestDesignatedAreTheListeners(t *testing.T) {
	at := netip.MustParseAddrPort
	s := &Server{name: "dns.example", secureAddrs: []SecureAddr{
		{DoT, at("127.0.0.1:853")}, {DoT, at("127.0.0.1:8853")}, {DoHClear, at("127.0.0.1:80")}, {DoQ, at("[::1]:784")},
	}}
	if got := s.offers(nil); got.name.String() != "dns.example" || got.dot != 853 || got.doh != 0 || got.doq != 784 {
		t.Errorf("%+v", got)
	}
	s.name = ""
	if got := s.offers(nil); got.name != "" {
		t.Errorf("without a name: %+v", got)
	}
}
