package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// leasToken is the token of a child's device.
const leasToken = "k3v5zq7w2mxa4b6e"

// withLeasPhone gives the home a child whose device has a token.
func (h *home) withLeasPhone() {
	h.t.Helper()
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "dns:"+leasToken, "--name", "Lea's phone", "--profile", "Lea")
}

// Stubby asks by DoT under the device's own name, checking the certificate.
func TestProgramStubby(t *testing.T) {
	h, cert := startSecureHome(t)
	h.withLeasPhone()
	_, dot := h.secureAt("DoT")
	port := freePort(t)
	conf := filepath.Join(t.TempDir(), "stubby.yml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list: [GETDNS_TRANSPORT_TLS]
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_ca_file: %q
appdata_dir: %q
round_robin_upstreams: 1
listen_addresses: [127.0.0.1@%d]
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: %s
    tls_auth_name: "%s.dns.example"
`, cert, t.TempDir(), port, dot, leasToken), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd := exec.Command("stubby", "-C", conf)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	ask := func(name string) *dns.Msg {
		c := dns.Client{Timeout: time.Second}
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
			if err == nil && got.Rcode != dns.RcodeServerFailure {
				return got
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("no answer by way of Stubby: %v %v\n%s", got, err, log)
			}
		}
	}
	if got := ask("allowed.example."); len(got.Answer) != 1 || !strings.Contains(got.Answer[0].String(), "192.0.2.1") {
		t.Errorf("an allowed name: %v", got)
	}
	if got := ask("omegle.com."); got.Rcode != dns.RcodeNameError {
		t.Errorf("a blocked name: %v", got)
	}
	wantAll(t, "incidents", h.must("incidents"), "Lea's phone", "Omegle")
}

// Chromium with a DoH template opens a page that is allowed, and none that is not,
// and nobody else is asked for either.
func TestProgramChromium(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		mu.Lock()
		seen[host]++
		mu.Unlock()
		fmt.Fprintln(w, "<p>This is a page of", host)
	}))
	defer web.Close()
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	h := startHome(t, startUpstream(t, "page.example. 60 IN A 127.0.0.1", "tinder.com. 60 IN A 127.0.0.1"), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example, certificate: %s, key: %s}\nrebind-allow: [page.example, tinder.com]\n", cert, key)), "--doh", "127.0.0.1:0")
	h.withLeasPhone()
	_, doh := h.secureAt("DoH, HTTP/3 included")
	person := t.TempDir()
	if err := os.MkdirAll(filepath.Join(person, ".pki", "nssdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	db := "sql:" + filepath.Join(person, ".pki", "nssdb")
	client(t, "certutil", "-d", db, "-N", "--empty-password")
	client(t, "certutil", "-d", db, "-A", "-t", "CP,,", "-n", "test", "-i", cert)
	open := func(name string) string {
		profile := t.TempDir()
		state := fmt.Sprintf(`{"dns_over_https":{"mode":"secure","templates":"https://dns.example:%s/dns-query/%s"}}`, doh, leasToken)
		if err := os.WriteFile(filepath.Join(profile, "Local State"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "chromium",
			"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
			"--disable-sync", "--disable-dev-shm-usage", "--disable-features=HttpsUpgrades", "--user-data-dir="+profile,
			"--host-resolver-rules=MAP dns.example 127.0.0.1", "--virtual-time-budget=2000", "--dump-dom", "http://"+name+":"+port+"/")
		cmd.Env = append(os.Environ(), "HOME="+person) // where it looks for authorities to believe
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("chromium %s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	wantAll(t, "an allowed page", open("page.example"), "This is a page of page.example")
	wantNone(t, "a blocked page", open("tinder.com"), "This is a page of")
	mu.Lock()
	defer mu.Unlock()
	if seen["page.example"] == 0 || seen["tinder.com"] > 0 {
		t.Errorf("the pages that were asked for: %v", seen)
	}
	if n := h.metric(`kinward_queries_total{outcome="allowed",transport="doh"}`); n < 1 {
		t.Errorf("%v questions came by DoH", n)
	}
	wantAll(t, "incidents", h.must("incidents"), "Lea's phone", "Tinder")
}
