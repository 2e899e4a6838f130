package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What deploy offers to stand in front of Kinward is started as it is written, but
// for what this machine's test needs: ports, files, and where the program may write.

// put replaces what is offered, each of which must be there.
func put(t *testing.T, text string, oldnew ...string) string {
	t.Helper()
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("the sample has no %q:\n%s", oldnew[i], text)
		}
		text = strings.ReplaceAll(text, oldnew[i], oldnew[i+1])
	}
	return text
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// startFront starts a program that stays in the foreground, and waits until it
// takes connections at port. It returns what the program says.
func startFront(t *testing.T, port int, name string, args ...string) *logBuffer {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // nginx ends its workers, then itself
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", local(port)); err == nil {
			c.Close()
			return log
		}
		select {
		case err := <-ended:
			t.Fatalf("%s ended: %v\n%s", name, err, log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen:\n%s", name, log)
		}
	}
}

// wantSeen asks for a name that nobody is blocked from, and for one that is
// blocked, by a front, and wants the incident to be that device's.
func (h *home) wantSeen(device string, ask func(name string) string) {
	h.t.Helper()
	wantAll(h.t, device+", an allowed name", ask("allowed.example"), "192.0.2.1")
	wantAll(h.t, device+", a blocked name", ask("omegle.com"), "NXDOMAIN")
	h.eventually("an incident of "+device, func() bool { return strings.Contains(h.must("incidents"), device) })
}

// TestProgramReverseProxy: nginx, with the sample in front of DoH, tells who asks;
// who asks cannot say that it is somebody else.
func TestProgramReverseProxy(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example.org", "*.dns.example.org")
	doh, front := freePort(t), freePort(t)
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, put(t, readFile(t, "deploy/reverse-proxy/kinward.yaml"), "127.0.0.1:8054", local(doh))))
	dir := filepath.Dir(cert)
	site := put(t, readFile(t, "deploy/reverse-proxy/nginx.conf"), "127.0.0.1:8054", local(doh),
		"listen 443 ssl", "listen "+local(front)+" ssl", "listen [::]:443 ssl http2;", "",
		"/etc/kinward/dns.example.org.pem", cert, "/etc/kinward/dns.example.org.key", key)
	conf := filepath.Join(dir, "nginx.conf")
	var paths strings.Builder
	for _, p := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "%s_temp_path %s/%s;\n", p, dir, p)
	}
	whole := fmt.Sprintf("daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\n%s%s}\n", dir, &paths, site)
	if os.Getuid() == 0 {
		whole = "user root;\n" + whole // to read this test's files
	}
	if err := os.WriteFile(conf, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	startFront(t, front, "/usr/sbin/nginx", "-e", "stderr", "-p", dir, "-c", conf)

	h.must("devices", "add", "127.0.0.9", "--name", "Tablet")
	h.must("devices", "add", "127.0.0.10", "--name", "Console")
	curl := func(from string, args ...string) func(string) string {
		return func(name string) string {
			wire, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack()
			if err != nil {
				t.Fatal(err)
			}
			query := filepath.Join(t.TempDir(), "query")
			if err := os.WriteFile(query, wire, 0o600); err != nil {
				t.Fatal(err)
			}
			out := client(t, "curl", append([]string{
				"-sS", "--fail-with-body", "--interface", from, "--cacert", cert, "--connect-to", "::127.0.0.1:" + fmt.Sprint(front),
				"-H", "content-type: application/dns-message", "--data-binary", "@" + query,
			}, args...)...)
			m := new(dns.Msg)
			if err := m.Unpack([]byte(out)); err != nil {
				t.Fatalf("curl: %v: %q", err, out)
			}
			return m.String()
		}
	}
	const url = "https://dns.example.org/dns-query"
	h.wantSeen("Tablet", curl("127.0.0.9", "--http2", url, "-H", "X-Forwarded-For: 127.0.0.10", "-H", "Forwarded: for=127.0.0.10"))
	h.wantSeen("Tablet", func(name string) string {
		return client(t, "kdig", "@127.0.0.1", "-b", "127.0.0.9", "-p", fmt.Sprint(front), "+https", "+tls-ca="+cert, "+tls-hostname=dns.example.org", name)
	})
	// By its token it is known from anywhere.
	for device, at := range map[string]string{
		"By path": "https://dns.example.org/dns-query/k3v7m2q4x5n6p7ra",
		"By name": "https://phone-q4x5n6p7rak3v7m2.dns.example.org/dns-query",
	} {
		h.must("devices", "add", map[string]string{"By path": "dns:k3v7m2q4x5n6p7ra", "By name": "dns:q4x5n6p7rak3v7m2"}[device], "--name", device)
		h.wantSeen(device, curl("127.0.0.10", "--http1.1", at))
	}
	wantNone(t, "incidents", h.must("incidents"), "Console")
}

// TestProgramDnsdist: dnsdist, with the sample in front of plain DNS, tells who asks
// over each of its transports, and sees that Kinward is well.
func TestProgramDnsdist(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example.org")
	at, plain, dot, doh := freePort(t), freePort(t), freePort(t), freePort(t)
	config := writeConfig(t, put(t, readFile(t, "deploy/dnsdist/kinward.yaml"), "127.0.0.1:1053", local(at)))
	h := startHome(t, startUpstream(t), "--dns", local(at), "--config", config)
	conf := filepath.Join(filepath.Dir(cert), "dnsdist.conf")
	text := put(t, readFile(t, "deploy/dnsdist/dnsdist.conf"), "127.0.0.1:1053", local(at), "0.0.0.0:53", local(plain),
		"0.0.0.0:853", local(dot), "0.0.0.0:443", local(doh),
		"/etc/kinward/dns.example.org.pem", cert, "/etc/kinward/dns.example.org.key", key)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log := startFront(t, doh, "/usr/bin/dnsdist", "--supervised", "--disable-syslog", "-C", conf)
	for i, ask := range []struct {
		by   string
		port int
		args []string
	}{
		{"UDP", plain, nil},
		{"TCP", plain, []string{"+tcp"}},
		{"DoT", dot, []string{"+tls", "+tls-ca=" + cert, "+tls-hostname=dns.example.org"}},
		{"DoH", doh, []string{"+https", "+tls-ca=" + cert, "+tls-hostname=dns.example.org"}},
	} {
		from := fmt.Sprintf("127.0.0.%d", 9+i)
		h.must("devices", "add", from, "--name", "Over "+ask.by)
		h.wantSeen("Over "+ask.by, func(name string) string {
			return client(t, "kdig", append([]string{"@127.0.0.1", "-b", from, "-p", fmt.Sprint(ask.port), name}, ask.args...)...)
		})
	}
	h.eventually("dnsdist to say that Kinward is up\n"+log.String(), func() bool { return strings.Contains(log.String(), "as 'up'") })
	wantNone(t, "what dnsdist says", log.String(), "as 'down'")
	if err := h.stop(os.Interrupt); err != nil {
		t.Error(err)
	}
	h.eventually("dnsdist to say that Kinward is down\n"+log.String(), func() bool { return strings.Contains(log.String(), "as 'down'") })
}
