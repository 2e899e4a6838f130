package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	wirebytes "encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// mumsToken is the token of an adult's device, so that a name that is blocked
// tells whether it was recognised.
const mumsToken = "k3v5zq7w2mxa4b6c"

// clientAuthority signs certificates for clients.
type clientAuthority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newClientAuthority(t *testing.T) *clientAuthority {
	t.Helper()
	a := &clientAuthority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "the family"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.file = a.write("authority.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *clientAuthority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	by, with := a.cert, a.key
	if by == nil {
		by, with = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), with)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

func (a *clientAuthority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// client returns the files of a client's certificate.
func (a *clientAuthority) client(name string) (cert, key string) {
	a.t.Helper()
	c, k := a.sign(&x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", c.Raw), a.write(name+".key", "PRIVATE KEY", der)
}

// TestProgramUsersAndCertificates: a device is known by HTTP's basic authentication
// and by a certificate of its own, to clients that people have; a user or a
// certificate that is nobody's is refused, and so is one that says otherwise than
// the path.
func TestProgramUsersAndCertificates(t *testing.T) {
	ours, theirs := newClientAuthority(t), newClientAuthority(t)
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example, certificate: %s, key: %s, client-roots: %s}\n", cert, key, ours.file,
	)), "--dot", "127.0.0.1:0", "--doh", "127.0.0.1:0", "--doq", "127.0.0.1:0")
	h.must("profiles", "add", "Mum", "adult")
	h.must("devices", "add", "dns:"+mumsToken, "--name", "Mum's laptop", "--profile", "Mum")
	_, dot := h.secureAt("DoT")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	_, doq := h.secureAt("DoQ")
	question := filepath.Join(t.TempDir(), "question")
	m := new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA)
	m.SetEdns0(1232, false)
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(question, wire, 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(path string, args ...string) string {
		out, err := exec.Command("curl", append([]string{
			"-sS", "--cacert", cert, "--resolve", "dns.example:" + doh + ":127.0.0.1", "-H", "content-type: application/dns-message",
			"--data-binary", "@" + question, "https://dns.example:" + doh + "/dns-query" + path,
		}, args...)...).CombinedOutput()
		got := new(dns.Msg)
		if err != nil || got.Unpack(out) != nil {
			return string(out)
		}
		return got.String()
	}
	kdig := func(port, by string, args ...string) string {
		out, _ := exec.Command("kdig", append([]string{
			"@127.0.0.1", "-p", port, "+edns", "+tls-ca=" + cert, "+tls-hostname=dns.example", "+retry=0", "+timeout=3", "omegle.com",
		}, append(args, by)...)...).CombinedOutput()
		return string(out)
	}
	mine, minesKey := ours.client(mumsToken + ".dns.example")
	nobodys, nobodysKey := ours.client("k3v5zq7w2mxa4b6d.dns.example")
	forged, forgedKey := theirs.client(mumsToken + ".dns.example")
	const opened, shut, nobody = "192.0.2.66", "NXDOMAIN", "REFUSED"
	for _, tt := range []struct{ name, got, want string }{
		{"nothing", curl(""), shut},
		{"a user", curl("", "-u", mumsToken+":"), opened},
		{"a user and any password", curl("", "-u", mumsToken+":x"), opened},
		{"a password alone", curl("", "-u", ":"+mumsToken), opened},
		{"nobody's user", curl("", "-u", "k3v5zq7w2mxa4b6d:"), nobody},
		{"a user and another's path", curl("/k3v5zq7w2mxa4b6d", "-u", mumsToken+":"), nobody},
		{"a certificate, DoH", curl("", "--cert", mine, "--key", minesKey), opened},
		{"a certificate, DoH over HTTP/1.1", curl("", "--http1.1", "--cert", mine, "--key", minesKey), opened},
		{"a certificate, DoT", kdig(dot, "+tls", "+tls-certfile="+mine, "+tls-keyfile="+minesKey), opened},
		{"no certificate, DoT", kdig(dot, "+tls"), shut},
		{"a certificate, DoQ", kdig(doq, "+quic", "+tls-certfile="+mine, "+tls-keyfile="+minesKey), opened},
		{"nobody's certificate", curl("", "--cert", nobodys, "--key", nobodysKey), nobody},
		{"a certificate and another's path", curl("/k3v5zq7w2mxa4b6d", "--cert", mine, "--key", minesKey), nobody},
		{"a certificate by somebody else", curl("", "--cert", forged, "--key", forgedKey), "curl: ("},
		{"a certificate by somebody else, DoT", kdig(dot, "+tls", "+tls-certfile="+forged, "+tls-keyfile="+forgedKey), "WARNING"},
	} {
		if !strings.Contains(tt.got, tt.want) || tt.want != opened && strings.Contains(tt.got, opened) {
			t.Errorf("%s: want %s:\n%s", tt.name, tt.want, tt.got)
		}
		if tt.want == nobody && !strings.Contains(tt.got, "EDE: 18") {
			t.Errorf("%s: it is not said why:\n%s", tt.name, tt.got)
		}
	}
}

// TestProgramSeen: a device that nobody named yet is shown with what the network
// tells of it, until it has a name.
func TestProgramSeen(t *testing.T) {
	leases := filepath.Join(t.TempDir(), "leases")
	if err := os.WriteFile(leases, []byte("0 02:00:5e:10:00:31 192.168.1.31 emmas-tablet *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "leases: {file: "+leases+"}\nproxy: {trust: ["+balancer+"/32]}\n"))
	wantAll(t, "before anybody asked", h.must("devices", "seen"), "No unknown device: whatever asked since Kinward started has a name in family Home, or nothing but this machine asked yet.")
	for _, from := range []string{"192.168.1.31", "192.168.1.32"} {
		h.askFor("udp", from, "omegle.com")
		h.askFor("tcp", from, "allowed.example")
	}
	got := h.must("devices", "seen")
	wantAll(t, "devices seen", got, "192.168.1.31  02:00:5e:10:00:31  emmas-tablet", "192.168.1.32  -", "devices add 02:00:5e:10:00:31 --name NAME --profile PROFILE")
	wantNone(t, "devices seen", got, "omegle", "allowed")
	h.must("devices", "add", "192.168.1.31", "--name", "Emma's tablet")
	var r seenReply
	h.into(&r, "devices", "seen")
	if len(r.Devices) != 1 || r.Devices[0].Address != "192.168.1.32" || time.Since(r.Devices[0].Last) > time.Hour {
		t.Errorf("when one of two has a name, seen are %+v", r.Devices)
	}
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := h.run("devices", "seen"); code != exitFailed || !strings.Contains(errs, "does not run") {
		t.Errorf("without serve: exit code %d, %s", code, errs)
	}
}

// balancer is the address of a load balancer: it says by PROXY v2 who the client is.
const balancer = "127.0.0.9"

// dialFor connects as the balancer does.
func dialFor(t *testing.T, network, to string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(balancer)}}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(balancer)}
	}
	c, err := d.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// headFor is the header that begins a connection, or a packet.
func headFor(client, network string) []byte {
	kind := byte(0x11) // IPv4, TCP
	if network == "udp" {
		kind = 0x12
	}
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, kind, 0, 12)
	a := netip.MustParseAddr(client).As4()
	b = append(b, a[:]...)
	b = append(b, 127, 0, 0, 1)
	return wirebytes.BigEndian.AppendUint16(append(b, 0x12, 0x67), 53)
}

// askFor asks as the balancer does for a client.
func (h *home) askFor(network, from, name string) *dns.Msg {
	h.t.Helper()
	c := dialFor(h.t, network, h.dns)
	defer c.Close()
	wire, err := new(dns.Msg).SetQuestion(name+".", dns.TypeA).Pack()
	if err != nil {
		h.t.Fatal(err)
	}
	head, buf, n := headFor(from, network), make([]byte, 4096), 0
	if network == "tcp" {
		if _, err = c.Write(append(wirebytes.BigEndian.AppendUint16(head, uint16(len(wire))), wire...)); err == nil {
			if _, err = io.ReadFull(c, buf[:2]); err == nil {
				buf = buf[:wirebytes.BigEndian.Uint16(buf)]
				n, err = io.ReadFull(c, buf)
			}
		}
	} else if _, err = c.Write(append(head, wire...)); err == nil {
		n, err = c.Read(buf)
	}
	got := new(dns.Msg)
	if err == nil {
		err = got.Unpack(buf[:n])
	}
	if err != nil {
		h.t.Fatalf("asking over %s for %s: %v", network, from, err)
	}
	return got
}

// TestProgramLinkedHome: a family's router reports its address, as to a dynamic
// DNS service, and plain DNS from there is the family's from then on, and nobody
// else's.
func TestProgramLinkedHome(t *testing.T) {
	const homes, elsewhere = "198.51.100.7", "198.51.100.8"
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example, certificate: %s, key: %s}\nproxy: {trust: [%s/32]}\n", cert, key, balancer)), "--doh", "127.0.0.1:0")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	h.must("families", "add", "Miller", "--preset", "C")
	var link linkReply
	h.into(&link, "families", "link", "make", "--family", "Miller")
	update, err := url.Parse(link.URL)
	if err != nil || update.Host != "dns.example" {
		t.Fatalf("the update URL is %q (%v)", link.URL, err)
	}
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(cert); err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	report := func(from, password, more string) string {
		c := dialFor(t, "tcp", "127.0.0.1:"+doh)
		if _, err := c.Write(headFor(from, "tcp")); err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "dns.example"})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL+more, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(link.Token, password)
		tr := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return secure, nil }}
		defer tr.CloseIdleConnections()
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body))
	}
	ask := func(network, from string) int { return h.askFor(network, from, "omegle.com").Rcode }
	if got := ask("udp", homes); got != dns.RcodeRefused {
		t.Errorf("before the report: %s", dns.RcodeToString[got])
	}
	for _, tt := range []struct{ name, from, password, more, want string }{
		{"a wrong password", homes, "wrong", "", "badauth"},
		{"the report", homes, link.Password, "", "good " + homes},
		{"again, with another address in it", homes, link.Password, "&myip=" + elsewhere, "nochg " + homes},
	} {
		if got := report(tt.from, tt.password, tt.more); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name, network, from string
		want                int
	}{
		{"from home", "udp", homes, dns.RcodeNameError},
		{"from home by TCP", "tcp", homes, dns.RcodeNameError},
		{"from elsewhere", "udp", elsewhere, dns.RcodeRefused},
	} {
		if got := ask(tt.network, tt.from); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, dns.RcodeToString[got], dns.RcodeToString[tt.want])
		}
	}
	wantAll(t, "the family's record", h.must("incidents", "--family", "Miller"), "Omegle")
	wantNone(t, "another family's record", h.must("incidents"), "Omegle")
	wantAll(t, "families link", h.must("families", "link", "--family", "Miller"), homes+" is linked until")
	if n := h.metric(`kinward_link_reports_total{outcome="good"}`); n != 1 {
		t.Errorf("%v reports are counted as good", n)
	}
	// It stays over a restart, and ends when it is revoked.
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.start()
	if got := ask("udp", homes); got != dns.RcodeNameError {
		t.Errorf("after a restart: %s", dns.RcodeToString[got])
	}
	h.must("families", "link", "revoke", "--family", "Miller")
	if got := ask("udp", homes); got != dns.RcodeRefused {
		t.Errorf("when it is revoked: %s", dns.RcodeToString[got])
	}
	wantNone(t, "the log", h.log.String(), homes, elsewhere, link.Password, "omegle")
}

// TestProgramCheckEncrypted: a phone that asks under its private-DNS name is shown
// to be recognised, encrypted and filtered.
func TestProgramCheckEncrypted(t *testing.T) {
	h, cert := startSecureHome(t)
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "dns:"+mumsToken, "--name", "Lea's phone", "--profile", "Lea")
	_, dot := h.secureAt("DoT")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	_, doq := h.secureAt("DoQ")
	for _, tt := range []struct{ by, port, flag, want string }{
		{"DoT", dot, "+tls", "yes (DoT)"},
		{"DoH", doh, "+https", "yes (DoH)"},
		{"DoQ", doq, "+quic", "yes (DoQ)"},
	} {
		got, code := h.check("Lea's phone", "1m", func(name string) {
			client(t, "kdig", "@127.0.0.1", "-p", tt.port, "+tls-ca="+cert, "+tls-hostname="+mumsToken+".dns.example", tt.flag, name)
		})
		wantAll(t, "check by "+tt.by, got, "This device:  yes, Lea's phone, at 127.0.0.1", "Encrypted:    "+tt.want, "Filtered:     yes, by the profile Lea, which blocks")
		if code != 0 {
			t.Errorf("%s: exit code %d", tt.by, code)
		}
	}
	// In plain, from the same machine, it is not taken for the phone.
	got, code := h.check("Lea's phone", "1s", func(name string) { h.asks(name) })
	wantAll(t, "check by plain DNS", got, "Lea's phone was not seen", "a device that is not listed at 127.0.0.1 (udp, profile Everyone)")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, "devices", h.must("devices"), "Lea's phone", "last seen "+time.Now().Format("Mon"))
}
