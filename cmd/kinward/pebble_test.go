package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/policy"
	"kinward/resolver"
	"kinward/resolver/upstream"
	"kinward/store"
)

// The certificate authority of these tests is Pebble, the one that Let's Encrypt
// tests ACME clients with. It resolves names by asking Kinward, as a stranger.

const publicName = "dns.kinward-test.example.org"

// pebble is a certificate authority in this process.
type pebble struct {
	t         *testing.T
	directory string
	roots     *x509.CertPool // of its directory
	rootPEM   []byte
	issuers   *x509.CertPool // of what it issues
	issuerPEM []byte
	manage    string
	away      atomic.Bool // it answers 503
	orders    atomic.Int64
}

// startPebble starts a certificate authority that asks resolver for names, and
// certificates of which hold for life.
func startPebble(t *testing.T, resolver string, httpPort, tlsPort int, life time.Duration) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	quiet := log.New(io.Discard, "", 0)
	if testing.Verbose() {
		quiet = log.New(os.Stderr, "pebble: ", 0)
	}
	memory := db.NewMemoryStore()
	authority := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: uint64(life / time.Second)}})
	front := wfe.New(quiet, memory, va.New(quiet, httpPort, tlsPort, false, resolver, memory), authority, []string{"pebble.example"}, false, false, 0, 0)
	p := &pebble{t: t, issuers: x509.NewCertPool(), roots: x509.NewCertPool()}
	handler := front.Handler()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if strings.Contains(r.URL.Path, "order-plz") {
			p.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	manage := httptest.NewServer(front.ManagementHandler())
	t.Cleanup(manage.Close)
	p.directory, p.manage = server.URL+"/dir", manage.URL
	p.roots.AddCert(server.Certificate())
	p.rootPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	p.issuerPEM = authority.GetRootCert(0).PEM()
	if !p.issuers.AppendCertsFromPEM(p.issuerPEM) {
		t.Fatal("pebble has no root certificate")
	}
	return p
}

// wantsRenewed has the authority ask for a certificate's renewal (RFC 9773).
func (p *pebble) wantsRenewed(c *x509.Certificate) {
	p.t.Helper()
	window := map[string]any{"suggestedWindow": map[string]time.Time{"start": time.Now().Add(-2 * time.Hour), "end": time.Now().Add(-time.Hour)}}
	ari, _ := json.Marshal(window)
	body, _ := json.Marshal(map[string]string{
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})), "ariResponse": string(ari),
	})
	resp, err := http.Post(p.manage+"/set-renewal-info/", "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		p.t.Fatalf("setting renewal info: %s %s", resp.Status, text)
	}
}

// site is a server with a public name: a resolver with its zone, a database and a
// keeper of certificates.
type site struct {
	t        *testing.T
	db       *store.DB
	dns      string
	keeper   atomic.Pointer[certs.Keeper]
	wrong    atomic.Bool // challenges are answered wrongly
	log      *logBuffer
	registry *prometheus.Registry
	stopRun  func()
}

func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, log: &logBuffer{}}
	var err error
	if s.db, err = store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	away, err := upstream.Parse("udp://127.0.0.1:9") // nobody is to be asked
	if err != nil {
		t.Fatal(err)
	}
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(&blocklists.Catalogue{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.LoadDirectory(func(func(policy.Versioned, error) bool) {}, presets, x)
	if err != nil {
		t.Fatal(err)
	}
	nobody := &policy.State{Index: x, Directory: d} // whoever asks in these tests is a stranger
	server, err := resolver.New(resolver.Config{
		Listen: []string{"127.0.0.1:0"}, Upstreams: []upstream.Spec{away},
		AllowNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		State:     func() *policy.State { return nobody },
		Zone: resolver.Zone{
			Name: blocklists.MustName(publicName), Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
			Challenges: func(ctx context.Context) ([]string, error) {
				if s.wrong.Load() {
					return []string{"not what was asked for"}, nil
				}
				return s.keeper.Load().Challenges(ctx)
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.dns = server.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("resolver: %v", err)
		}
	})
	return s
}

// keep starts a keeper; stop, or the test's end, ends it.
func (s *site) keep(a certs.ACME) *certs.Keeper {
	s.t.Helper()
	s.registry = prometheus.NewRegistry()
	k, err := certs.New(s.t.Context(), certs.Config{
		Name: publicName, ACME: &a, Secrets: s.db.Secrets(), Registerer: s.registry,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.keeper.Store(k)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	stopped := false
	s.stopRun = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("keeper: %v", err)
		}
	}
	s.t.Cleanup(s.stopRun)
	return k
}

// waitFor waits until the keeper's status is as wanted.
func waitFor(t *testing.T, k *certs.Keeper, what string, is func(certs.Status) bool) certs.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := k.Status(); is(s) {
			return s
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: the status is %+v", what, k.Status())
		case <-tick.C:
		}
	}
}

func obtained(s certs.Status) bool { return !s.NotAfter.IsZero() && !s.Next.IsZero() }

// serve opens a listener with the keeper's certificates, as those of DoT and DoH
// do.
func (s *site) serve(l net.Listener, k *certs.Keeper) {
	c := k.TLSConfig().Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	tl := tls.NewListener(l, c)
	s.t.Cleanup(func() { tl.Close() })
	go func() {
		for {
			conn, err := tl.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				_ = conn.(*tls.Conn).Handshake()
			}()
		}
	}()
}

// leaf returns the certificate that a device gets which asks for a name.
func leaf(t *testing.T, addr, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}
