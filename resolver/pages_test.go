package resolver

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestPagesKnowTheClient: what is asked beside DoH gets the address that was
// proven, and nothing in clear or in somebody else's name.
func TestPagesKnowTheClient(t *testing.T) {
	got := ""
	c := config(t, newFake(t))
	c.Pages = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })
	c.Proxies.Web = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct{ name, url, from, forwarded, want string }{
		{"over TLS", "https://dns.example/nic/update", "198.51.100.7:1234", "", "198.51.100.7"},
		{"in clear", "http://dns.example/nic/update", "198.51.100.7:1234", "", ""},
		{"in clear by the reverse proxy", "http://dns.example/nic/update", "192.0.2.1:1234", "198.51.100.7", "198.51.100.7"},
		{"in another's name", "https://dns.example/nic/update", "198.51.100.7:1234", "203.0.113.9", "198.51.100.7"},
		{"in another's name, by the proxy", "http://dns.example/nic/update", "192.0.2.1:1234", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"a question is no page", "https://dns.example/dns-query", "198.51.100.7:1234", "", ""},
	} {
		got = ""
		r := httptest.NewRequest(http.MethodGet, tt.url, nil)
		r.RemoteAddr = tt.from
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		s.DoH().ServeHTTP(httptest.NewRecorder(), r)
		if got != tt.want {
			t.Errorf("%s: the page is told %q, want %q", tt.name, got, tt.want)
		}
	}
}
