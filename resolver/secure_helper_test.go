package resolver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"kinward/policy"
)

// The server's name in the tests, and the token of Lea's phone, whose profile is
// band C's.
const (
	serverName = "dns.example"
	leasToken  = "k3v5zq7w2mxa4b6c"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.pool.AddCert(a.cert)
	return a
}

func sign(t testing.TB, c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if c.Subject.CommonName == "" {
		c.Subject = pkix.Name{CommonName: "test"}
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out, key
}

// pair returns a certificate for names.
func (a *authority) pair(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	c, key := sign(t, &x509.Certificate{
		DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

// withLea returns a state in which Lea's phone has a token.
func withLea(t testing.TB) *policy.State {
	t.Helper()
	st := state(t)
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.NewDirectory(&policy.Family{
		ID: 1, Name: "Home", Default: 11,
		Profiles: []policy.Profile{{ID: 11, Name: "Grown-ups", Preset: policy.Adult}, {ID: 12, Name: "Lea", Preset: policy.BandC}},
		Devices:  []policy.Device{{ID: 20, Name: "Lea's phone", Profile: 12, Tokens: []string{leasToken}}},
	}, presets, st.Index, 7)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.State{Index: st.Index, Directory: d}
}

// secured is a server with all transports.
type secured struct {
	*Server
	t     testing.TB
	roots *x509.CertPool
	ca    *authority
}

var allSchemes = []SecureListen{
	{DoT, "127.0.0.1:0"}, {DoH, "127.0.0.1:0"}, {DoQ, "127.0.0.1:0"}, {DoHClear, "127.0.0.1:0"},
}

// secureConfig returns the configuration of one.
func secureConfig(t testing.TB, ca *authority, ups ...*fake) Config {
	c := config(t, ups...)
	st := withLea(t)
	c.State = func() *policy.State { return st }
	c.Secure, c.Name = allSchemes, serverName
	c.TLS = &tls.Config{Certificates: []tls.Certificate{ca.pair(t, serverName, "*."+serverName)}}
	return c
}

func startSecure(t testing.TB, edits ...func(*Config)) *secured {
	t.Helper()
	ca := newAuthority(t)
	c := secureConfig(t, ca, newFake(t, "ok.example. 300 IN A 192.0.2.1", "ok.example. 60 IN A 192.0.2.2"))
	for _, f := range edits {
		f(&c)
	}
	return &secured{start(t, c), t, ca.pool, ca}
}

func (s *secured) addr(scheme Scheme) string {
	for _, a := range s.SecureAddrs() {
		if a.Scheme == scheme {
			return a.Addr.String()
		}
	}
	s.t.Fatalf("%s is not served", scheme)
	return ""
}

func (s *secured) client(name string, alpn ...string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: s.roots, NextProtos: alpn}
}

// dot connects by DoT under a name.
func (s *secured) dot(c *tls.Config) *tls.Conn {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.addr(DoT), c)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func exchange(t testing.TB, c net.Conn, m *dns.Msg) *dns.Msg {
	t.Helper()
	writeFrame(t, c, packed(m))
	return unpacked(t, readFrameT(t, c))
}

func unpacked(t testing.TB, wire []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return m
}

// quicConn connects by QUIC under a name.
func (s *secured) dialQUIC(scheme Scheme, c *tls.Config) *quic.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, s.addr(scheme), c, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// ask sends what a DoQ stream carries, and returns what comes back.
func askStream(t testing.TB, conn *quic.Conn, wire []byte, fin bool) ([]byte, error) {
	t.Helper()
	str, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		return nil, err
	}
	str.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := str.Write(wire); err != nil {
		return nil, err
	}
	if fin {
		str.Close()
	}
	return io.ReadAll(str)
}

// httpClients returns a client for each version of HTTP.
func (s *secured) httpClients(name string) map[string]*http.Client {
	direct := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.addr(DoH))
	}
	h1 := &http.Transport{TLSClientConfig: s.client(name), DialContext: direct}
	h2 := &http.Transport{TLSClientConfig: s.client(name), DialContext: direct, ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: s.client(name), Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddr(ctx, s.addr(DoH), t, q)
	}}
	s.t.Cleanup(func() { h1.CloseIdleConnections(); h2.CloseIdleConnections(); h3.Close() })
	out := map[string]*http.Client{}
	for version, rt := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3} {
		out[version] = &http.Client{Transport: rt, Timeout: 5 * time.Second}
	}
	return out
}

// post asks by HTTP.
func post(t testing.TB, c *http.Client, url string, m *dns.Msg) (*http.Response, *dns.Msg) {
	t.Helper()
	r, err := c.Post(url, dnsMessage, bytes.NewReader(packed(m)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", url, r.Status, body)
	}
	return r, unpacked(t, body)
}

// zeroID makes a question's ID what DoH and DoQ want.
func zeroID(m *dns.Msg) { m.Id = 0 }
