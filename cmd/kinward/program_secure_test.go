package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// certificateFiles writes a certificate that signs itself, with its key.
func certificateFiles(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// secureAt reads of the banner where a transport is served.
func (h *home) secureAt(what string) (host, port string) {
	h.t.Helper()
	m := regexp.MustCompile(`(?m)^Encrypted, by ` + what + `: (\S+)$`).FindStringSubmatch(h.banner)
	if m == nil {
		h.t.Fatalf("the banner names no address for %s:\n%s", what, h.banner)
	}
	host, port, err := net.SplitHostPort(m[1])
	if err != nil {
		h.t.Fatal(err)
	}
	return host, port
}

func startSecureHome(t *testing.T, args ...string) (h *home, cert string) {
	t.Helper()
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	config := writeConfig(t, fmt.Sprintf("tls:\n  name: dns.example\n  certificate: %s\n  key: %s\n", cert, key))
	return startHome(t, startUpstream(t), append([]string{
		"--config", config, "--dot", "127.0.0.1:0", "--doh", "127.0.0.1:0", "--doq", "127.0.0.1:0",
	}, args...)...), cert
}

// client runs a DNS client and returns what it prints.
func client(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The clients that people have, over each transport, with the certificate checked.
func TestProgramRealClients(t *testing.T) {
	h, cert := startSecureHome(t)
	_, dot := h.secureAt("DoT")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	_, doq := h.secureAt("DoQ")
	kdig := func(port string, args ...string) func(string) string {
		return func(name string) string {
			return client(t, "kdig", append([]string{"@127.0.0.1", "-p", port, "+tls-ca=" + cert, "+tls-hostname=dns.example", name}, args...)...)
		}
	}
	query := func(name string) string {
		wire, err := new(dns.Msg).SetQuestion(name+".", dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "query")
		if err := os.WriteFile(path, wire, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	curl := func(version string) func(string) string {
		return func(name string) string {
			out := client(t, "curl", "-sS", version, "--cacert", cert, "--resolve", "dns.example:"+doh+":127.0.0.1",
				"-H", "content-type: application/dns-message", "--data-binary", "@"+query(name), "https://dns.example:"+doh+"/dns-query")
			m := new(dns.Msg)
			if err := m.Unpack([]byte(out)); err != nil {
				t.Fatalf("curl: %v: %q", err, out)
			}
			return m.String()
		}
	}
	for name, ask := range map[string]func(string) string{
		"kdig +tls":       kdig(dot, "+tls"),
		"kdig +https":     kdig(doh, "+https"),
		"kdig +https-get": kdig(doh, "+https", "+https-get"),
		"kdig +quic":      kdig(doq, "+quic"),
		"curl --http1.1":  curl("--http1.1"),
		"curl --http2":    curl("--http2"),
	} {
		t.Run(name, func(t *testing.T) {
			if out := ask("allowed.example"); !strings.Contains(out, "192.0.2.1") {
				t.Errorf("an allowed name:\n%s", out)
			}
			if out := ask("omegle.com"); !strings.Contains(out, "NXDOMAIN") {
				t.Errorf("a blocked name:\n%s", out)
			}
		})
	}
	// curl resolves by it: the address it then connects to is the answer's.
	out, _ := exec.Command("curl", "-sv", "--max-time", "1", "--connect-timeout", "1", "--cacert", cert, "--doh-insecure",
		"--doh-url", "https://127.0.0.1:"+doh+"/dns-query", "http://allowed.example/").CombinedOutput()
	if !strings.Contains(string(out), "192.0.2.1") {
		t.Errorf("curl --doh-url:\n%s", out)
	}
}

// Unbound asks for a whole home by DoT, checking the certificate.
func TestProgramUnboundByDoT(t *testing.T) {
	h, cert := startSecureHome(t)
	_, dot := h.secureAt("DoT")
	port := fmt.Sprint(freePort(t))
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	text := fmt.Sprintf(`server:
  interface: 127.0.0.1@%s
  do-daemonize: no
  username: ""
  chroot: ""
  directory: ""
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  tls-cert-bundle: %s
forward-zone:
  name: "."
  forward-tls-upstream: yes
  forward-addr: 127.0.0.1@%s#dns.example
`, port, cert, dot)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runUnbound(t, conf, "127.0.0.1:"+port, "allowed.example.")
	if n := h.metric(`kinward_queries_total{outcome="allowed",transport="dot"}`); n < 1 {
		t.Errorf("%v questions came by DoT", n)
	}
}

// dnsperf keeps many connections busy over DoT and DoH; no question is lost.
//
// Over DoH dnsperf has room for one answer at a time: of two that arrive in one piece
// it takes one for lost (DNS-OARC/dnsperf issue 240: all answered with 200, some timed
// out). So there the same is asked twice: by many at once, where the server must have
// answered each, and by some that have one question under way each, where each answer must
// arrive as it should.
func TestProgramDnsperf(t *testing.T) {
	h, _ := startSecureHome(t)
	file := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(file, []byte("allowed.example A\nomegle.com A\nexample.com A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, dot := h.secureAt("DoT")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	perf := func(args ...string) string {
		out, err := exec.Command("dnsperf", append([]string{"-s", "127.0.0.1", "-d", file}, args...)...).CombinedOutput()
		if err != nil {
			return err.Error() + string(out)
		}
		return string(out)
	}
	want := func(what, out string, all ...string) {
		for _, w := range all {
			if !regexp.MustCompile(w).MatchString(out) {
				t.Errorf("%s: want %s\n%s", what, w, out)
			}
		}
	}
	const codes = `Response codes: +NOERROR \d+ \(66.67%\), NXDOMAIN \d+ \(33.33%\)`
	many := []string{"-c", "20", "-q", "50", "-n", "1000", "-t", "2"}
	want("DoT", perf(append(many, "-m", "dot", "-p", dot)...), `Queries completed: +3000 \(100.00%\)`, `Queries lost: +0 `, codes)
	byHTTP := []string{"-m", "doh", "-p", doh, "-O", "doh-uri=https://127.0.0.1/dns-query", "-O"}
	// It may also end before it has read the last answers, so the server counts them.
	want("DoH, many at once", perf(slices.Concat(byHTTP, []string{"doh-method=POST"}, many)...), `HTTP/2 return codes: +200: \d+\s*\n`)
	allowed, blocked := h.metric(`kinward_queries_total{outcome="allowed",transport="doh"}`), h.metric(`kinward_queries_total{outcome="blocked",transport="doh"}`)
	if allowed != 2000 || blocked != 1000 {
		t.Errorf("DoH, many at once: %v questions allowed and %v blocked, want 2000 and 1000", allowed, blocked)
	}
	var asking sync.WaitGroup
	for i := range 8 {
		// It sends POST in two parts, of which the second waits for the first to be
		// acknowledged: some dozen a second.
		method, questions := "GET", 60
		if i == 0 {
			method, questions = "POST", 12
		}
		asking.Go(func() {
			out := perf(slices.Concat(byHTTP, []string{"doh-method=" + method, "-c", "1", "-q", "1", "-n", fmt.Sprint(questions / 3)})...)
			want("DoH, "+method, out, fmt.Sprintf(`Queries completed: +%d \(100.00%%\)`, questions), `Queries lost: +0 `, codes, fmt.Sprintf(`return codes: +200: %d\s`, questions))
		})
	}
	asking.Wait()
}
