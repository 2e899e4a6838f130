package main

import (
	"bytes"
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
	"strings"
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
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(pc.LocalAddr().String())
	pc.Close()
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
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/unbound", "-d", "-c", conf)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	c := dns.Client{Timeout: time.Second}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion("allowed.example.", dns.TypeA), "127.0.0.1:"+port)
		if err == nil && len(got.Answer) == 1 {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("no answer by way of Unbound: %v %v", got, err)
		}
	}
	if n := h.metric(`kinward_queries_total{outcome="allowed",transport="dot"}`); n < 1 {
		t.Errorf("%v questions came by DoT", n)
	}
}

// dnsperf keeps many connections busy over DoT and DoH; no question is lost.
func TestProgramDnsperf(t *testing.T) {
	h, _ := startSecureHome(t)
	file := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(file, []byte("allowed.example A\nomegle.com A\nexample.com A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, what := range map[string]string{"dot": "DoT", "doh": "DoH, HTTP/3 included"} {
		_, port := h.secureAt(what)
		all := regexp.MustCompile(`Queries completed:\s+3000 \(100.00%\)`)
		args := []string{"-m", mode, "-s", "127.0.0.1", "-p", port, "-d", file, "-c", "20", "-n", "1000", "-q", "50"}
		if mode == "doh" {
			args = append(args, "-O", "doh-uri=https://127.0.0.1/dns-query", "-O", "doh-method=POST")
			// dnsperf 2.10 takes some answers that it received for lost: what counts is
			// that each request was answered.
			all = regexp.MustCompile(`HTTP/2 return codes:\s+200: 3000\s`)
		}
		out := client(t, "dnsperf", args...)
		t.Log(regexp.MustCompile(`Queries per second:.*`).FindString(out))
		if !all.MatchString(out) {
			t.Errorf("%s:\n%s", mode, out)
		}
	}
}
