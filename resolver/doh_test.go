package resolver

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"kinward/policy"
)

// RFC 8484 §4.1, §4.2, §5.1, §6.
func TestRFC8484(t *testing.T) {
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) { c.Registerer = reg })
	wire := packed(msgFor("ok.example.", dns.TypeA, zeroID))
	get := base64.RawURLEncoding.EncodeToString(wire)
	for version, c := range s.httpClients(serverName) {
		for _, tt := range []struct {
			name   string
			method string
			path   string
			body   []byte
			header string
			status int
		}{
			{"POST", "POST", "/dns-query", wire, dnsMessage, 200},
			{"POST with a parameter of the media type", "POST", "/dns-query", wire, dnsMessage + "; charset=x", 200},
			{"GET", "GET", "/dns-query?dns=" + get, nil, "", 200},
			{"HEAD", "HEAD", "/dns-query?dns=" + get, nil, "", 200},
			{"GET with padding", "GET", "/dns-query?dns=" + base64.URLEncoding.EncodeToString(append(wire, 0)), nil, "", 400},
			{"GET without a question", "GET", "/dns-query", nil, "", 400},
			{"GET with two", "GET", "/dns-query?dns=" + get + "&dns=" + get, nil, "", 400},
			{"GET of what is no base64url", "GET", "/dns-query?dns=a+b", nil, "", 400},
			{"GET longer than any question", "GET", "/dns-query?dns=" + strings.Repeat("AAAA", 2000), nil, "", 414},
			{"another media type", "POST", "/dns-query", wire, "application/dns-json", 415},
			{"no media type", "POST", "/dns-query", wire, "", 415},
			{"too long", "POST", "/dns-query", make([]byte, 5000), dnsMessage, 413},
			{"half a header", "POST", "/dns-query", wire[:7], dnsMessage, 400},
			{"an answer", "POST", "/dns-query", packed(new(dns.Msg).SetReply(msgFor("ok.example.", dns.TypeA))), dnsMessage, 400},
			{"another method", "PUT", "/dns-query", wire, dnsMessage, 405},
			{"another path", "POST", "/", wire, dnsMessage, 404},
			{"a path that begins alike", "POST", "/dns-queryx", wire, dnsMessage, 404},
		} {
			r, err := http.NewRequest(tt.method, "https://"+serverName+tt.path, bytes.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				r.Header.Set("Content-Type", tt.header)
			}
			a, err := c.Do(r)
			if err != nil {
				t.Fatalf("%s: %s: %v", version, tt.name, err)
			}
			body, err := io.ReadAll(a.Body)
			a.Body.Close()
			if err != nil || a.StatusCode != tt.status {
				t.Errorf("%s: %s: %d %q, want %d; %v", version, tt.name, a.StatusCode, body, tt.status, err)
				continue
			}
			if a.StatusCode != 200 {
				if got := a.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("%s: %s: Cache-Control %q", version, tt.name, got)
				}
				continue
			}
			if got := a.Header.Get("Content-Type"); got != dnsMessage {
				t.Errorf("%s: %s: media type %q", version, tt.name, got)
			}
			if tt.method != "HEAD" && len(unpacked(t, body).Answer) != 2 {
				t.Errorf("%s: %s: %v", version, tt.name, unpacked(t, body))
			}
			if want := "private, max-age=60"; a.Header.Get("Cache-Control") != want { // the smaller of two TTLs
				t.Errorf("%s: %s: Cache-Control %q, want %q", version, tt.name, a.Header.Get("Cache-Control"), want)
			}
			if alt := a.Header.Get("Alt-Svc"); (alt == "") != (version == "HTTP/3.0") {
				t.Errorf("%s: Alt-Svc %q", version, alt)
			}
		}
		// A block, and what is refused: how long they are good for.
		r, _ := post(t, c, "https://"+serverName+"/dns-query/"+leasToken, msgFor("stranger.example.", dns.TypeA))
		if got := r.Header.Get("Cache-Control"); got != "private, max-age=10" {
			t.Errorf("%s: a block: Cache-Control %q", version, got)
		}
		r, _ = post(t, c, "https://"+serverName+"/dns-query", msgFor("ok.example.", dns.TypeAXFR))
		if got := r.Header.Get("Cache-Control"); got != "private, max-age=0" {
			t.Errorf("%s: a refusal: Cache-Control %q", version, got)
		}
	}
	if n := metric(t, reg, "kinward_doh_refused_total", "status=415"); n != 6 {
		t.Errorf("counted %v requests of other media types, want 6", n)
	}
}

// Behind a reverse proxy the client is who the proxy says, and nobody else may
// ask in clear.
func TestReverseProxy(t *testing.T) {
	keep := &kept{}
	s := startSecure(t, func(c *Config) {
		c.Log = keep
		c.Proxies.Web = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.9.0.0/16")}
		c.AllowNets = append(c.AllowNets, netip.MustParsePrefix("192.0.2.0/24"))
		st := state(t)
		c.State = func() *policy.State { return st }
	})
	for _, tt := range []struct {
		name   string
		from   string
		header http.Header
		status int
		client string
	}{
		{"X-Forwarded-For", household, http.Header{"X-Forwarded-For": {"192.0.2.7"}}, 200, "192.0.2.7"},
		{"what the client wrote before it", household, http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.7"}}, 200, "192.0.2.7"},
		{"two proxies", household, http.Header{"X-Forwarded-For": {"192.0.2.1", "192.0.2.7, 10.9.8.7"}}, 200, "192.0.2.7"},
		{"Forwarded", household, http.Header{"Forwarded": {`proto=https;For="[::ffff:192.0.2.7]:80";by=x`}}, 200, "192.0.2.7"},
		{"both alike", household, http.Header{"Forwarded": {"for=192.0.2.7"}, "X-Forwarded-For": {"192.0.2.7"}}, 200, "192.0.2.7"},
		{"both, of which the client wrote one", household, http.Header{"Forwarded": {"for=192.0.2.1"}, "X-Forwarded-For": {"192.0.2.7"}}, 400, ""},
		{"nothing", household, http.Header{}, 400, ""},
		{"only itself", household, http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 400, ""},
		{"a hidden client", household, http.Header{"Forwarded": {"for=_hidden"}}, 400, ""},
		{"no proxy at all", adult, http.Header{"X-Forwarded-For": {"192.0.2.7"}}, 403, ""},
	} {
		tr := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tt.from)}}).DialContext}
		r, err := http.NewRequest("POST", "http://"+s.addr(DoHClear)+"/dns-query", bytes.NewReader(packed(msgFor("stranger.example.", dns.TypeA))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = tt.header
		r.Header.Set("Content-Type", dnsMessage)
		a, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		got := ""
		for _, k := range keep.take() {
			got = k.Client.String()
		}
		if a.StatusCode != tt.status || got != tt.client {
			t.Errorf("%s: %d for %q, want %d for %q", tt.name, a.StatusCode, got, tt.status, tt.client)
		}
	}
}

// Whatever stands in the parameter of a GET: no more than there is room for, and
// what is taken is read back as it was written.
func FuzzDecodeQuestion(f *testing.F) {
	f.Add(base64.RawURLEncoding.EncodeToString(packed(msgFor("ok.example.", dns.TypeA))))
	f.Add("AAA=")
	f.Add("a+/b")
	f.Add("AB\r\n")
	f.Add(strings.Repeat("A", 3000))
	f.Fuzz(func(t *testing.T, s string) {
		buf := make([]byte, 512)
		n, status := decodeQuestion(s, buf)
		if (n > 0) == (status != 0) || n > len(buf) {
			t.Fatalf("%q: %d bytes, status %d", s, n, status)
		}
		if status == 0 && base64.RawURLEncoding.EncodeToString(buf[:n]) != s {
			t.Errorf("%q is read as what is written %q", s, base64.RawURLEncoding.EncodeToString(buf[:n]))
		}
	})
}

// Whatever an answer is: no panic, and no longer than its records say.
func FuzzFreshness(f *testing.F) {
	f.Add(packed(new(dns.Msg).SetReply(msgFor("ok.example.", dns.TypeA))))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < headerLen {
			return
		}
		got := freshness(msg)
		m := new(dns.Msg)
		if got == 0 || m.Unpack(msg) != nil || len(m.Answer) == 0 {
			return
		}
		for _, rr := range m.Answer {
			if got > rr.Header().Ttl {
				t.Fatalf("fresh for %d s, longer than %v", got, rr)
			}
		}
	})
}
