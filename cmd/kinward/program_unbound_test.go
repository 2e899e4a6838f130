package main

import (
	"crypto"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"
)

// signedZone writes a signed zone in which the signature over "bogus" is wrong,
// and returns its file and its trust anchor.
func signedZone(t *testing.T, zone string) (file, anchor string) {
	t.Helper()
	key := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	set := func(lines ...string) []dns.RR {
		var rrs []dns.RR
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				t.Fatal(err)
			}
			rrs = append(rrs, rr)
		}
		return rrs
	}
	sign := func(rrs []dns.RR) *dns.RRSIG {
		s := &dns.RRSIG{
			Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: zone,
			Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(24 * time.Hour).Unix()),
		}
		if err := s.Sign(private.(crypto.Signer), rrs); err != nil {
			t.Fatal(err)
		}
		return s
	}
	write := func(rrs []dns.RR) {
		for _, rr := range append(rrs, sign(rrs)) {
			out.WriteString(rr.String() + "\n")
		}
	}
	write(set(zone + " 300 IN SOA ns." + zone + " root." + zone + " 1 3600 1200 604800 300"))
	write(set(zone + " 300 IN NS ns." + zone))
	write([]dns.RR{key})
	write(set(zone + " 300 IN NSEC bogus." + zone + " NS SOA RRSIG NSEC DNSKEY"))
	write(set("ns." + zone + " 300 IN A 192.0.2.53"))
	write(set("ns." + zone + " 300 IN NSEC www." + zone + " A RRSIG NSEC"))
	write(set("www."+zone+" 300 IN A 192.0.2.80", "www."+zone+" 300 IN A 192.0.2.81"))
	write(set("www." + zone + " 300 IN NSEC " + zone + " A RRSIG NSEC"))
	bogus := set("bogus." + zone + " 300 IN A 192.0.2.66")
	wrong := sign(bogus)
	bogus[0].(*dns.A).A = net.IPv4(192, 0, 2, 67)
	out.WriteString(bogus[0].String() + "\n" + wrong.String() + "\n")
	write(set("bogus." + zone + " 300 IN NSEC ns." + zone + " A RRSIG NSEC"))
	file = filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, key.ToDS(dns.SHA256).String()
}

// startUnbound starts a real Unbound with the configuration that is offered, but
// for what this machine's test needs: its port, its user, and a zone that it knows
// without the internet. It returns its address.
func startUnbound(t *testing.T, zone string) string {
	t.Helper()
	port := fmt.Sprint(freePort(t))
	offered := readFile(t, "deploy/unbound/unbound.conf")
	text := regexp.MustCompile(`(?m)^    port: 5335$`).ReplaceAllString(offered, "    port: "+port)
	if text == offered {
		t.Fatal("the configuration that is offered has no port to replace")
	}
	file, anchor := signedZone(t, zone)
	dir := filepath.Dir(file)
	text += fmt.Sprintf(`
    username: ""
    chroot: ""
    directory: "%s"
    pidfile: ""
    use-syslog: no
    trust-anchor: "%s"
remote-control:
    control-enable: no
auth-zone:
    name: "%s"
    zonefile: "%s"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
`, dir, strings.ReplaceAll(anchor, "\t", " "), zone, file)
	conf := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", port)
	runUnbound(t, conf, addr, "www."+zone)
	return addr
}

// runUnbound runs Unbound with a configuration until the test ends, and returns when it
// has an address for a name.
func runUnbound(t *testing.T, conf, addr, name string) {
	t.Helper()
	if out, err := exec.Command("/usr/sbin/unbound-checkconf", conf).CombinedOutput(); err != nil {
		t.Fatalf("unbound-checkconf: %v\n%s", err, out)
	}
	log, ended := &logBuffer{}, make(chan struct{})
	cmd := exec.Command("/usr/sbin/unbound", "-d", "-p", "-c", conf)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var end error
	go func() { end = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	c := dns.Client{Timeout: time.Second}
	for deadline := time.After(20 * time.Second); ; {
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), addr)
		if err == nil && len(got.Answer) > 0 {
			return
		}
		select {
		case <-ended:
			t.Fatalf("Unbound ended: %v\n%s", end, log)
		case <-deadline:
			t.Fatalf("Unbound has no address for %s: %v %v\n%s", name, got, err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestProgramUnbound: the companion that deploy offers works, and its word that an
// answer was validated reaches those who ask for it, and nobody else.
func TestProgramUnbound(t *testing.T) {
	const zone = "signed.example."
	addr := startUnbound(t, zone)
	u := &dnsServer{addr: addr + "?dnssec=trust"}
	trusting := startHome(t, u)
	doubting := startHome(t, &dnsServer{addr: addr})
	const (
		do = 1 << iota
		ad
		cd
	)
	for _, tt := range []struct {
		name   string
		h      *home
		asked  string
		flags  int
		rcode  int
		wantAD bool
		sigs   bool
	}{
		{"signed, DO", trusting, "www." + zone, do, dns.RcodeSuccess, true, true},
		{"signed, DO, from the cache", trusting, "www." + zone, do, dns.RcodeSuccess, true, true},
		{"signed, AD", trusting, "www." + zone, ad, dns.RcodeSuccess, true, false},
		{"signed, neither", trusting, "www." + zone, 0, dns.RcodeSuccess, false, false},
		{"signed, of an upstream that is not trusted", doubting, "www." + zone, do | ad, dns.RcodeSuccess, false, true},
		{"denied, signed", trusting, "nothing." + zone, do, dns.RcodeNameError, true, true},
		{"bogus", trusting, "bogus." + zone, do | ad, dns.RcodeServerFailure, false, false},
		{"bogus, but the asker checks by itself", trusting, "bogus." + zone, do | cd, dns.RcodeSuccess, false, true},
		{"blocked", trusting, "omegle.com.", do | ad, dns.RcodeNameError, false, false},
		{"answered locally", trusting, "localhost.", do | ad, dns.RcodeSuccess, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(dns.Msg).SetQuestion(tt.asked, dns.TypeA)
			if tt.flags&do != 0 {
				m.SetEdns0(1232, true)
			}
			m.AuthenticatedData, m.CheckingDisabled = tt.flags&ad != 0, tt.flags&cd != 0
			got, _, err := (&dns.Client{Timeout: 8 * time.Second}).Exchange(m, tt.h.dns)
			if err != nil {
				t.Fatal(err)
			}
			sigs := false
			for _, rr := range append(got.Answer, got.Ns...) {
				sigs = sigs || rr.Header().Rrtype == dns.TypeRRSIG
			}
			if got.Rcode != tt.rcode || got.AuthenticatedData != tt.wantAD || sigs != tt.sigs {
				t.Errorf("%s, AD %t, signatures %t; want %s, %t, %t\n%s", dns.RcodeToString[got.Rcode], got.AuthenticatedData, sigs,
					dns.RcodeToString[tt.rcode], tt.wantAD, tt.sigs, got)
			}
		})
	}
}

// TestComposeOfUnbound: the compose file starts what the configuration expects.
func TestComposeOfUnbound(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Build       string            `yaml:"build"`
			NetworkMode string            `yaml:"network_mode"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/unbound/compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	kinward := compose.Services["kinward"]
	var environ []string
	for k, v := range kinward.Environment {
		environ = append(environ, k+"="+v)
	}
	c, err := loadConfig("", settingFlags(t), environ)
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if u := set.upstreams[0]; !u.Trusted() || u.String() != "udp://127.0.0.1:5335?dnssec=trust" {
		t.Errorf("Kinward asks %s, trusted: %t", u, u.Trusted())
	}
	if compose.Services["unbound"].NetworkMode != "service:kinward" {
		t.Error("Unbound is not on Kinward's loopback")
	}
	for dir, build := range map[string]string{".": "deploy/unbound/" + kinward.Build, "deploy/unbound": "deploy/unbound/" + compose.Services["unbound"].Build} {
		if filepath.Clean(build) != dir {
			t.Errorf("builds %s, want %s", filepath.Clean(build), dir)
		}
		readFile(t, filepath.Join(dir, "Dockerfile"))
	}
}
