package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kinward/setup"
)

// away starts a home with a public name, and a device.
func awayHome(t *testing.T) *home {
	t.Helper()
	cfg := filepath.Join(t.TempDir(), "kinward.yaml")
	if err := os.WriteFile(cfg, []byte("tls:\n  name: dns.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), "--config", cfg)
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone")
	return h
}

// TestProgramSetup: from a device to its name, its steps and its files; the name
// stays until it is renewed, and then the old one is nobody's.
func TestProgramSetup(t *testing.T) {
	h := awayHome(t)
	var first, again, renewed setupView
	h.into(&first, "devices", "setup", "Lea's phone", "--for", "android")
	m := regexp.MustCompile(`^([a-z2-7]{16})\.dns\.example$`).FindStringSubmatch(first.Host)
	if m == nil || first.Changed == nil || first.Changed.Revision == 0 {
		t.Fatalf("the first set-up is %+v", first)
	}
	h.into(&again, "devices", "setup", "Lea's phone", "--for", "android")
	if again.Host != first.Host || again.Changed != nil {
		t.Errorf("the second set-up is %+v, after %s", again, first.Host)
	}
	wantAll(t, "devices", h.must("devices"), "dns:"+m[1])
	wantAll(t, "the steps", h.must("devices", "setup", "Lea's phone", "--for", "android"), first.Host, "Private DNS", "devices check")
	wantAll(t, "an alias", h.must("devices", "setup", "Lea's phone", "--for", "android", "--alias", "Lea"), "lea-"+first.Host)
	for _, p := range setup.Platforms() {
		out := t.TempDir()
		wantAll(t, p, h.must("devices", "setup", "Lea's phone", "--for", p, "--out", out), "Written: "+filepath.Join(out, "kinward-leas-phone-"+p+".txt"))
	}
	h.into(&renewed, "devices", "setup", "Lea's phone", "--renew")
	if renewed.Host == first.Host || renewed.Changed == nil {
		t.Errorf("renewed, it is %+v", renewed)
	}
	if got := h.must("devices"); strings.Contains(got, m[1]) {
		t.Errorf("the old name leads to the device still:\n%s", got)
	}
	wantAll(t, "the change", h.must("changes", "--limit", "1"), "Lea's phone")
	looked, _, _ := h.run("doctor")
	wantAll(t, "doctor", looked, "note   at home: it answers this machine alone", "note   away from home: dns.example is its public name")
}

// TestProgramSetupProfile: the profile is written for its owner alone, and signed
// where there is a certificate.
func TestProgramSetupProfile(t *testing.T) {
	h := awayHome(t)
	out := filepath.Join(t.TempDir(), "new")
	wantAll(t, "without a certificate", h.must("devices", "setup", "Lea's phone", "--for", "iphone", "--out", out), "not signed")
	path := filepath.Join(out, "kinward-leas-phone.mobileconfig")
	plain, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(plain), "<string>https://dns.example/dns-query/") || strings.Contains(string(plain), "ProhibitDisablement") {
		t.Errorf("the profile is %s (%v)", plain, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("everybody on this machine may read the device's key: %v, %v", info.Mode(), err)
	}
	pair, _ := certificateFor(t, time.Now().AddDate(0, 1, 0), "dns.example")
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := h.must("devices", "setup", "Lea's phone", "--for", "mac", "--over-tls", "--out", out, "--certificate", filepath.Join(dir, "cert"), "--key", filepath.Join(dir, "key"))
	wantNone(t, "with a certificate", said, "not signed")
	verified, err := exec.Command("openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any", "-in", path, "-CAfile", filepath.Join(dir, "cert")).CombinedOutput()
	if err != nil || !strings.Contains(string(verified), "<string>TLS</string>") {
		t.Errorf("openssl: %v\n%s", err, verified)
	}
	if _, errs, code := h.run("devices", "setup", "Lea's phone", "--for", "mac", "--out", out, "--certificate", filepath.Join(dir, "cert"), "--key", path); code == 0 {
		t.Errorf("a key that is none signs: %s", errs)
	}
}

// TestProgramSetupWithoutName: what cannot work is said before anything is made.
func TestProgramSetupWithoutName(t *testing.T) {
	h := child(t)
	for _, args := range [][]string{{"--for", "android"}, {"--for", "iphone"}, {}} {
		_, errs, code := h.run(append([]string{"devices", "setup", "Phone"}, args...)...)
		if code != exitUsage {
			t.Errorf("%q: exit code %d", args, code)
		}
		wantAll(t, "without a public name", errs, "no public name", "853 and 443", " doctor", "--for router")
	}
	wantNone(t, "devices", h.must("devices"), "dns:")
	wantAll(t, "a router", h.must("devices", "setup", "--for", "openwrt"), "add-cpe-id=", "addmac")
	wantAll(t, "a router", h.must("devices", "setup", "--for", "unifi"), "not verified")
	for _, args := range [][]string{{"devices", "setup", "--for", "android"}, {"devices", "setup"}, {"devices", "setup", "Phone", "--for", "toaster"}} {
		if _, errs, code := h.run(args...); code != exitUsage {
			t.Errorf("%q: exit code %d, %s", args, code, errs)
		}
	}
	if _, errs, code := h.run("devices", "setup", "Nobody", "--for", "router"); code != exitNothing {
		t.Errorf("a device that there is none of: exit code %d, %s", code, errs)
	}
}

// check runs "devices check" and calls ask with the name that it waits for.
func (h *home) check(device, wait string, ask func(name string)) (stdout string, code int) {
	h.t.Helper()
	cmd := exec.Command(binary, "devices", "check", device, "--for", wait, "--data", h.data)
	var out strings.Builder
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	for lines := bufio.NewScanner(errs); lines.Scan(); {
		if m := regexp.MustCompile(`http://(\S+)/`).FindStringSubmatch(lines.Text()); m != nil {
			ask(m[1])
		}
	}
	cmd.Wait()
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestProgramCheck: a device that asks is recognised, and that it asked is kept;
// one that does not, or does otherwise than it should, is told.
func TestProgramCheck(t *testing.T) {
	h := child(t)
	wantAll(t, "devices before", h.must("devices"), "Phone", "never seen")
	got, code := h.check("Phone", "1m", func(name string) { h.asks(name) })
	wantAll(t, "check", got, "This device:  yes, Phone, at 127.0.0.1", "Encrypted:    no (udp)", "Filtered:     yes, by the profile Lea")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, "devices after", h.must("devices"), "Phone", "last seen "+time.Now().Format("Mon"))

	h.must("devices", "clue", "add", "Phone", "dns:k3v7m2q4x5n6p7ra") // so it should ask encrypted
	got, code = h.check("Phone", "1m", func(name string) { h.asks(name) })
	wantAll(t, "check of a private-DNS name that is not used", got, "Encrypted:    NO")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}

	h.must("devices", "add", "192.0.2.77", "--name", "Other")
	got, code = h.check("Other", "2s", func(name string) { h.asks(name) })
	wantAll(t, "check of another device", got, "Other was not seen", "asked for by Phone at 127.0.0.1", `devices clue add Other 127.0.0.1`)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	got, _ = h.check("Other", "100ms", func(string) {})
	wantAll(t, "check of a silent device", got, "Nobody asked", "doctor")

	// What was seen outlives the program.
	h.stop(os.Interrupt)
	wantAll(t, "devices of a stopped server", h.must("devices"), "last seen ")
	if _, errs, code := h.run("devices", "check", "Phone"); code != exitFailed || !strings.Contains(errs, " serve") {
		t.Errorf("check without a server: exit code %d, %s", code, errs)
	}
}
