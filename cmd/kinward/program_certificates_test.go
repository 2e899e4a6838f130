package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writePair writes a certificate for publicName that holds for some days.
func writePair(t *testing.T, folder string, days int) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(int64(days)), DNSNames: []string{publicName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Duration(days)*24*time.Hour + time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	chain, key = filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

func (h *home) doctorRow(what string) finding {
	h.t.Helper()
	out, _, _ := h.run("doctor", "--config", h.args[len(h.args)-1])
	for line := range strings.SplitSeq(out, "\n") {
		if _, detail, ok := strings.Cut(line, what+": "); ok {
			return finding{What: what, State: strings.ToLower(strings.Fields(line)[0]), Detail: detail}
		}
	}
	return finding{}
}

func (h *home) eventually(what string, is func() bool) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	for !is() {
		select {
		case <-deadline:
			h.t.Fatalf("waiting for %s\n%s", what, h.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestProgramCertificateFiles: files are read again at SIGHUP; a broken pair
// changes nothing and is told; metrics and doctor know.
func TestProgramCertificateFiles(t *testing.T) {
	folder := t.TempDir()
	chain, key := writePair(t, folder, 40)
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: %s, addresses: [203.0.113.7], certificate: %s, key: %s}\n", publicName, chain, key)))
	days := func() string {
		_, text := h.get("/metrics")
		m := regexp.MustCompile(`(?m)^kinward_certificate_remaining_seconds (\S+)$`).FindStringSubmatch(text)
		var left float64
		if m == nil {
			return "none"
		}
		fmt.Sscan(m[1], &left)
		return fmt.Sprint(int(left / 86400))
	}
	if got := days(); got != "40" {
		t.Errorf("the certificate holds for %s days; want 40", got)
	}
	if row := h.doctorRow("certificate"); row.State != "ok" || !strings.Contains(row.Detail, "40 more days") {
		t.Errorf("doctor says %+v", row)
	}
	if row := h.doctorRow("zone " + publicName); row.State != "ok" {
		t.Errorf("doctor says %+v", row)
	}
	if out := h.tool("dig", "+norecurse", "+short", "A", "k5q7."+publicName); strings.TrimSpace(out) != "203.0.113.7" {
		t.Errorf("dig of a device's name: %q", out)
	}

	if err := os.WriteFile(key, []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.cmd.Process.Signal(syscall.SIGHUP)
	h.eventually("the log to tell of the broken pair", func() bool { return strings.Contains(h.log.String(), "the certificate from before is still in force") })
	if got := days(); got != "40" {
		t.Errorf("after a broken pair, the certificate holds for %s days; want the old one's 40", got)
	}
	if row := h.doctorRow("certificate"); row.State != "fault" || !strings.Contains(row.Detail, "another could not be had") {
		t.Errorf("doctor says %+v", row)
	}

	writePair(t, folder, 80)
	h.cmd.Process.Signal(syscall.SIGHUP)
	h.eventually("the new pair", func() bool { return days() == "80" })
	if row := h.doctorRow("certificate"); row.State != "ok" {
		t.Errorf("doctor says %+v", row)
	}
	if out := h.tool("dig", "+norecurse", "+short", "SOA", publicName); !strings.HasPrefix(out, "ns."+publicName) {
		t.Errorf("after SIGHUP the zone says %q", out)
	}
}

// TestProgramCertificateBroken: a certificate that cannot be used does not take
// the home's names away.
func TestProgramCertificateBroken(t *testing.T) {
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf("tls: {name: %s, certificate: /nowhere/chain, key: /nowhere/key}\n", publicName)))
	if out := h.tool("dig", "+short", "allowed.example"); strings.TrimSpace(out) != "192.0.2.1" {
		t.Errorf("dig says %q", out)
	}
	if row := h.doctorRow("certificate"); row.State != "fault" || !strings.Contains(row.Detail, "/nowhere/chain") {
		t.Errorf("doctor says %+v", row)
	}
}

// TestProgramACME: the program as it is shipped orders a certificate for its name
// and its devices' names, answering the authority itself, and has it after a
// restart.
func TestProgramACME(t *testing.T) {
	port := freePort(t)
	p := startPebble(t, net.JoinHostPort("127.0.0.1", fmt.Sprint(port)), 0, 0, 90*24*time.Hour)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, p.rootPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), "--dns", fmt.Sprintf("127.0.0.1:%d", port), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: %s, addresses: [127.0.0.1]}\nacme: {email: owner@example.org, directory: '%s', challenge: [dns-01], roots: %s}\nallow-net: [192.0.2.0/24]\n",
		publicName, p.directory, roots)))
	h.eventually("a certificate", func() bool { return h.doctorRow("certificate").State == "ok" })
	if row := h.doctorRow("certificate"); !strings.Contains(row.Detail, "*."+publicName) || !strings.Contains(row.Detail, "89 more days") {
		t.Errorf("doctor says %+v", row)
	}
	// The same certificate signs profiles, without its key leaving the server.
	h.must("devices", "add", "192.168.1.31", "--name", "Phone")
	out := t.TempDir()
	wantNone(t, "a profile", h.must("devices", "setup", "Phone", "--for", "iphone", "--out", out, "--config", h.args[len(h.args)-1]), "not signed")
	issued := filepath.Join(t.TempDir(), "issued.pem")
	if err := os.WriteFile(issued, p.issuerPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	verified, err := exec.Command("openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any", "-in", filepath.Join(out, "kinward-phone.mobileconfig"), "-CAfile", issued).CombinedOutput()
	if err != nil || !strings.Contains(string(verified), "com.apple.dnsSettings.managed") {
		t.Errorf("openssl: %v\n%s", err, verified)
	}
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Errorf("serve ended with %v", err)
	}
	p.away.Store(true)
	h.start()
	if row := h.doctorRow("certificate"); row.State != "ok" {
		t.Errorf("after a restart, doctor says %+v", row)
	}
	if n := p.orders.Load(); n != 1 {
		t.Errorf("%d orders; want 1", n)
	}
}

// TestProgramTLSALPN: the program proves its name where acme: tls-alpn says, be it an
// address of its own or one that answers DoH, too.
func TestProgramTLSALPN(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared with DoH: %t", shared), func(t *testing.T) {
			port, alpn := freePort(t), freePort(t)
			p := startPebble(t, local(port), 0, alpn, 90*24*time.Hour)
			roots := filepath.Join(t.TempDir(), "roots.pem")
			if err := os.WriteFile(roots, p.rootPEM, 0o600); err != nil {
				t.Fatal(err)
			}
			doh := "127.0.0.1:0"
			if shared {
				doh = local(alpn)
			}
			h := startHome(t, startUpstream(t), "--dns", local(port), "--doh", doh, "--config", writeConfig(t, fmt.Sprintf(
				"tls: {name: %s, addresses: [127.0.0.1]}\nacme: {directory: '%s', challenge: [tls-alpn-01], tls-alpn: '%s', roots: %s}\n",
				publicName, p.directory, local(alpn), roots)))
			h.eventually("a certificate", func() bool { return h.doctorRow("certificate").State == "ok" })
			_, at := h.secureAt("DoH, HTTP/3 included")
			if _, err := leaf(t, "127.0.0.1:"+at, publicName, p.issuers); err != nil {
				t.Errorf("a handshake for %s: %v", publicName, err)
			}
		})
	}
}

// TestCheckReadsTheCertificate: a configuration may be checked where its files are not,
// so it is valid; but check says that nobody would be answered.
func TestCheckReadsTheCertificate(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example")
	h := &home{t: t, data: t.TempDir()}
	for _, tt := range []struct{ name, cert, key, says string }{
		{"dns.example", cert, key, ""},
		{"dns.example", cert + "x", key, "no such file"},
		{"dns.example", cert, cert, "reading a certificate and its key"},
		{"other.example", cert, key, "dns.example, not other.example"},
	} {
		out := h.must("check", "--config", writeConfig(t, fmt.Sprintf("tls: {name: %s, certificate: %s, key: %s}\n", tt.name, tt.cert, tt.key)))
		if tt.says == "" {
			wantNone(t, "check", out, "Be aware")
		} else {
			wantAll(t, "check", out, "# The configuration is valid", "# Be aware: tls: ", tt.says)
		}
	}
}
