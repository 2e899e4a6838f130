package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/certs"
)

// certificateFor makes a certificate that is its own authority.
func certificateFor(t *testing.T, until time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: until.AddDate(0, 0, -90), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// TestDoctorReach: a server that only this machine, or no phone, can ask is told of,
// since all else about it may be well.
func TestDoctorReach(t *testing.T) {
	for _, tt := range []struct {
		what      string
		addresses []string
		name      string
		encrypted bool
		want      string // of what the notes are
	}{
		{"loopback alone", []string{"127.0.0.1:1053", "[::1]:1053"}, "", false, "at home"},
		{"an address of the home", []string{"127.0.0.1:53", "192.168.1.10:53"}, "", false, ""},
		{"all addresses", []string{"0.0.0.0:53"}, "", false, ""},
		{"a name, and nothing for phones", []string{"[::]:53"}, "dns.example", false, awayWhat},
		{"a name, and something for phones", []string{"[::]:53"}, "dns.example", true, ""},
		{"neither", []string{"127.0.0.1:53"}, "dns.example", false, "at home, " + awayWhat},
	} {
		e := &examination{}
		e.reach(statusReply{Addresses: tt.addresses, Name: tt.name, Encrypted: tt.encrypted})
		var got []string
		for _, f := range e.findings {
			if f.State != "note" || f.Do == "" || f.Detail == "" {
				t.Errorf("%s: %+v", tt.what, f)
			}
			got = append(got, f.What)
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: notes about %q; want %q", tt.what, got, tt.want)
		}
	}
}

// TestDoctorAway: each thing that keeps a phone away from home from asking is
// found, and nothing is found where all is well.
func TestDoctorAway(t *testing.T) {
	now := time.Now()
	const name, public = "dns.example", "203.0.113.5"
	both := []string{name, "*." + name}
	for _, tt := range []struct {
		what    string
		name    string
		records map[string]string // name → addresses; the names below where "*" stands
		mine    string
		until   time.Duration
		covers  []string
		strange bool // the certificate's authority is nobody's
		deaf    bool // nobody answers
		plain   bool // what answers speaks no TLS
		broken  bool // the upstreams fail
		faults  []string
		notes   []string
	}{
		{what: "all is well", mine: public},
		{what: "behind a router", notes: []string{"address " + public}},
		{what: "no name", name: "-", notes: []string{awayWhat}},
		{what: "no record", records: map[string]string{}, faults: []string{"name dns.example"}},
		{what: "no upstream", broken: true, faults: []string{"name dns.example"}},
		{what: "no wildcard", mine: public, records: map[string]string{name: public}, faults: []string{"names below dns.example"}},
		{what: "a wildcard that leads elsewhere", mine: public, records: map[string]string{name: public, "*": "203.0.113.6"}, faults: []string{"names below dns.example"}},
		{what: "the provider's address", records: map[string]string{name: "100.64.1.2", "*": "100.64.1.2"}, faults: []string{"address 100.64.1.2"}},
		{what: "the home's address", records: map[string]string{name: "192.168.1.10", "*": "192.168.1.10"}, faults: []string{"address 192.168.1.10"}},
		{what: "behind a shared address", mine: "100.64.1.2", notes: []string{"address " + public, "provider"}},
		{what: "a certificate that ends soon", mine: public, until: 10 * 24 * time.Hour, notes: []string{certificateShown}},
		{what: "a certificate that ended", mine: public, until: -time.Hour, faults: []string{certificateShown}},
		{what: "a certificate without the names below", mine: public, covers: []string{name}, faults: []string{certificateShown}},
		{what: "a certificate that nobody knows", mine: public, strange: true, faults: []string{certificateShown}},
		{what: "ports that are closed", deaf: true, notes: []string{"address " + public, "port 203.0.113.5:853", "port 203.0.113.5:443"}},
		{what: "nobody listens here", deaf: true, mine: public, faults: []string{"port 203.0.113.5:853", "port 203.0.113.5:443"}},
		{what: "another server answers", plain: true, mine: public, faults: []string{"port 203.0.113.5:853", "port 203.0.113.5:443"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			if tt.name == "" {
				tt.name = name
			}
			if tt.until == 0 {
				tt.until = 60 * 24 * time.Hour
			}
			if tt.covers == nil {
				tt.covers = both
			}
			if tt.records == nil {
				tt.records = map[string]string{name: public, "*": public}
			}
			pair, roots := certificateFor(t, now.Add(tt.until), tt.covers...)
			if tt.strange {
				roots = x509.NewCertPool()
			}
			a := &away{examination: &examination{}, name: strings.Trim(tt.name, "-"), roots: roots, now: now}
			if tt.mine != "" {
				a.mine = []netip.Addr{netip.MustParseAddr(tt.mine)}
			}
			a.lookup = func(_ context.Context, n string, qtype uint16) ([]netip.Addr, error) {
				if tt.broken {
					return nil, errors.New("asking udp://192.0.2.1 for a name: no answer")
				}
				text := tt.records[n]
				if n != name {
					text = tt.records["*"]
				}
				if text == "" || qtype != dns.TypeA {
					return nil, nil
				}
				return []netip.Addr{netip.MustParseAddr(text)}, nil
			}
			a.dial = func(context.Context, string, string) (net.Conn, error) {
				if tt.deaf {
					return nil, errors.New("connection refused")
				}
				here, there := net.Pipe()
				go func() {
					defer there.Close()
					if tt.plain {
						io.CopyN(io.Discard, there, 5)
						io.WriteString(there, "SSH-2.0-OpenSSH\r\n")
						return
					}
					tls.Server(there, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
					io.Copy(io.Discard, there)
				}()
				return here, nil
			}
			a.examine(t.Context())
			got := map[string][]string{}
			for _, f := range a.findings {
				got[f.State] = append(got[f.State], f.What)
				if f.State != "ok" && f.Do == "" {
					t.Errorf("%s: %s, and nothing to do about it", f.What, f.Detail)
				}
				if strings.Contains(f.Detail, "\n") {
					t.Errorf("%s is said on more than one line: %q", f.What, f.Detail)
				}
			}
			for state, want := range map[string][]string{"fault": tt.faults, "note": tt.notes} {
				if strings.Join(got[state], "; ") != strings.Join(want, "; ") {
					t.Errorf("%ss: %q, want %q\n%+v", state, got[state], want, a.findings)
				}
			}
		})
	}
}

// TestDoctorCountsNetworks: one network is not many.
func TestDoctorCountsNetworks(t *testing.T) {
	for want, nets := range map[string][]netip.Prefix{
		"1 network":  {netip.MustParsePrefix("192.168.1.0/24")},
		"2 networks": {netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/8")},
	} {
		e := &examination{}
		e.networks(nets)
		if len(e.findings) != 1 || e.findings[0].Detail != want {
			t.Errorf("%+v; want %q", e.findings, want)
		}
	}
}

// TestDoctorCertificate: what the server has is called another thing than what a
// phone is shown, and ends soon by the same measure.
func TestDoctorCertificate(t *testing.T) {
	for days, want := range map[int]string{-1: "fault", 10: "note", 60: "ok"} {
		e := &examination{}
		e.certificate(&certs.Status{Source: "files", Names: []string{"dns.example"}, NotAfter: time.Now().Add(time.Duration(days) * 24 * time.Hour)})
		if len(e.findings) != 1 || e.findings[0].State != want {
			t.Errorf("%d days before its end: %+v; want %s", days, e.findings, want)
		} else if what := e.findings[0].What; what == certificateShown || what == certificateKept {
			t.Errorf("it is called %q, as what a phone meets", what)
		}
	}
}

// TestLookupThrough: addresses come from the first upstream that answers.
func TestLookupThrough(t *testing.T) {
	u := startUpstream(t)
	specs, err := parseUpstreams("upstream", []string{"udp://127.0.0.1:1", "udp://" + u.addr})
	if err != nil {
		t.Fatal(err)
	}
	got, err := lookupThrough(t.Context(), specs, "allowed.example", dns.TypeA)
	if err != nil || len(got) != 1 || !strings.HasPrefix(got[0].String(), "192.0.2.") {
		t.Errorf("addresses %v, %v", got, err)
	}
	if _, err := lookupThrough(t.Context(), specs[:1], "allowed.example", dns.TypeA); err == nil || !strings.Contains(err.Error(), "udp://127.0.0.1:1") {
		t.Errorf("where no upstream answers: %v", err)
	}
}
