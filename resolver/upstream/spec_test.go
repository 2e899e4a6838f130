package upstream

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const pin = "pin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, tt := range []struct{ in, want string }{
		{"9.9.9.9", "udp://9.9.9.9:53"},
		{"2620:fe::fe", "udp://[2620:fe::fe]:53"},
		{"udp://[2620:fe::fe]:5353", "udp://[2620:fe::fe]:5353"},
		{"tcp://192.0.2.1/", "tcp://192.0.2.1:53"},
		{"::ffff:192.0.2.1", "udp://192.0.2.1:53"},
		{"tls://9.9.9.9", "tls://9.9.9.9:853"},
		{"tls://DNS.Quad9.net.?ip=9.9.9.9&ip=2620:fe::fe", "tls://dns.quad9.net:853?ip=9.9.9.9&ip=2620:fe::fe"},
		{"https://dns.quad9.net?ip=9.9.9.9", "https://dns.quad9.net:443/dns-query?ip=9.9.9.9"},
		{"https://dns.example:8443/q/a%20b?ip=192.0.2.1&dnssec=trust", "https://dns.example:8443/q/a%20b?ip=192.0.2.1&dnssec=trust"},
		{"tls://[fe80::1%25eth0]", "tls://[fe80::1%25eth0]:853"},
		{"h3://192.0.2.1", "h3://192.0.2.1:443/dns-query"},
		{"quic://dns.example:8853?ip=192.0.2.1&" + pin, "quic://dns.example:8853?ip=192.0.2.1&" + pin},
	} {
		u, err := Parse(tt.in)
		if err != nil || u.String() != tt.want {
			t.Errorf("Parse(%q) = %q, %v; want %q", tt.in, u, err, tt.want)
			continue
		}
		if again, err := Parse(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("Parse(%q) = %q, %v; want itself", u, again, err)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		is       error
	}{
		{"tls://dns.quad9.net", "?ip=", errHostName},
		{"udp://dns.quad9.net", "?ip=", errHostName},
		{"udp://dns.quad9.net?ip=9.9.9.9", "write the address alone", errNotPlain},
		{"tls://9.9.9.9?ip=9.9.9.9", "a host that is a name", nil},
		{"udp://9.9.9.9?pin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "pin=", errNotPlain},
		{"tls://9.9.9.9?pin=abc", "base64 of a SHA-256", nil},
		{"tls://9.9.9.9?dnssec=yes", "dnssec=trust", nil},
		{"udp://9.9.9.9?dnssec=trust", "on this machine", errTrust},
		{"tcp://[2620:fe::fe]?dnssec=trust", "on this machine", errTrust},
		{"tls://9.9.9.9?ips=1", `"ips" is unknown`, nil},
		{"tls://dns.example?ip=no", "ip=no is no address", nil},
		{"tls://9.9.9.9/path", "a path belongs to https", nil},
		{"gopher://9.9.9.9", `"gopher" is unknown`, nil},
		{"tls://user@9.9.9.9", "neither a user nor", nil},
		{"udp://user:secret@9.9.9.9", `reading upstream "***@9.9.9.9"`, nil},
		{"udp://user:sec/ret@9.9.9.9", `reading upstream "***@9.9.9.9": neither a user`, nil},
		{"tls://9.9.9.9#x", "neither a user nor", nil},
		{"tls://9.9.9.9:0", "between 1 and 65535", nil},
		{"udp://", "address is missing", nil},
		{"udp://0.0.0.0", "not the address of a server", nil},
		{"tls://dns.example?ip=224.0.0.1", "not the address of a server", nil},
		{"tls://dns.example?" + strings.Repeat("ip=192.0.2.1&", 9), "at most 8", nil},
		{"tls://" + strings.Repeat("a", 300) + "?ip=192.0.2.1", "not the name of a host", nil},
	} {
		_, err := Parse(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("Parse(%q): error is %v, want %q in it", tt.in, err, tt.want)
		}
	}
}

func TestSpec_addrs(t *testing.T) {
	u, err := Parse("tls://dns.example?ip=192.0.2.1&ip=2001:db8::1")
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:853"), netip.MustParseAddrPort("[2001:db8::1]:853")}
	if got := u.Addrs(); !slices.Equal(got, want) {
		t.Errorf("Addrs() = %v, want %v", got, want)
	}
}

func TestSpec_Trusted(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want bool
	}{
		{"tls://9.9.9.9", false},
		{"tls://9.9.9.9?dnssec=trust", true},
		{"quic://9.9.9.9?dnssec=trust", true},
		{"udp://127.0.0.1:5335?dnssec=trust", true}, // a resolver on this machine
		{"udp://127.0.0.1:5335", false},
	} {
		u, err := Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Trusted(); got != tt.want {
			t.Errorf("%s: Trusted() = %t, want %t", tt.in, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"9.9.9.9", "tls://dns.quad9.net?ip=9.9.9.9", "https://[::1]/x?pin=A+B/", "udp://[fe80::1%25eth0]:53", "h3://a?ip=::1&dnssec=trust"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if err != nil || again.String() != u.String() {
			t.Errorf("Parse(%q) = %q; read again: %q, %v", s, u, again, err)
		}
	})
}

// TestSpec_Label: metrics and logs hold no path that may say who asks.
func TestSpec_Label(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"udp://192.0.2.1", "udp://192.0.2.1:53"},
		{"https://192.0.2.1", "https://192.0.2.1:443/dns-query"},
		{"https://192.0.2.1/dns-query/k3v5zq7w2mxa4b6c", "https://192.0.2.1:443/…"},
		{"h3://dns.example/abc123?ip=192.0.2.1", "h3://dns.example:443/…?ip=192.0.2.1"},
	} {
		u, err := Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Label(); got != tt.want {
			t.Errorf("Parse(%q).Label() = %q, want %q", tt.url, got, tt.want)
		}
	}
}
