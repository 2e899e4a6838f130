package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// command runs the program without a data folder.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// signer makes catalogues as their publisher does.
type signer struct {
	t         *testing.T
	dir, data string
	key       string // public
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t, dir: t.TempDir()}
	s.data = filepath.Join(s.dir, "data")
	if err := os.CopyFS(s.data, os.DirFS("../../blocklists/data")); err != nil {
		t.Fatal(err)
	}
	out, errs, code := command(t, "lists", "catalogue", "keygen", filepath.Join(s.dir, "key.pem"), "--json")
	if code != 0 {
		t.Fatal(errs)
	}
	var rep keyReply
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(rep.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
	s.key = rep.Key
	return s
}

// replace changes a file of the data folder.
func (s *signer) replace(file, old, with string) {
	s.t.Helper()
	path := filepath.Join(s.data, filepath.FromSlash(file))
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), old) {
		s.t.Fatalf("%s holds no %q: %v", file, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// pack signs the data folder as it is.
func (s *signer) pack(version string) string {
	s.t.Helper()
	out := filepath.Join(s.dir, "catalogue-"+version)
	if _, errs, code := command(s.t, "lists", "catalogue", "pack", out, "--key", filepath.Join(s.dir, "key.pem"),
		"--version", version, "--from", s.data, "--date", "2026-12-01"); code != 0 {
		s.t.Fatal(errs)
	}
	return out
}

// TestProgramCatalogue updates the catalogue under a running serve, from a file
// and from a URL, and goes back.
func TestProgramCatalogue(t *testing.T) {
	sign := newSigner(t)
	sign.replace("catalogue/anonymous-chat.txt", "\nservice 321chat\n", "\nservice 123new\n  name New Chat\n  domain later.example suffix low -\n\nservice 321chat\n")
	v2 := sign.pack("2")
	sign.replace("reachable.tsv", "\tmaennerinfo.at\t", "\tmaennerinfo2.example\t")
	v3 := sign.pack("3")

	var served atomic.Value
	served.Store(v3)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, served.Load().(string))
	}))
	defer web.Close()
	config := filepath.Join(t.TempDir(), "kinward.yaml")
	text := "lists:\n  allow-private: true\ncatalogue:\n  source: " + web.URL + "/catalogue.txt\n  key: " + sign.key + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KINWARD_CONFIG", config)
	h := startHome(t, startUpstream(t))

	wantAll(t, "lists catalogue", h.must("lists", "catalogue"), "version 1 of", "came with the program", "signed by key")
	wantAll(t, "kdig before the update", h.tool("kdig", "later.example"), "192.0.2.5")
	wantAll(t, "catalogue update", h.must("lists", "catalogue", "update", v2),
		"Version 2 of 2026-12-01 is in force", "services added: 123new", "domains added: later.example")
	wantAll(t, "kdig after the update", h.tool("kdig", "+edns", "later.example"), "NXDOMAIN", "EDE: 17")
	wantAll(t, "explain", h.must("explain", "later.example"), "New Chat")
	h.must("profiles", "choose", "Everyone", "123new", "allow")
	wantAll(t, "kdig with the service allowed", h.tool("kdig", "later.example"), "192.0.2.5")
	h.must("profiles", "choose", "Everyone", "123new", "preset")

	wantAll(t, "update from the source", h.must("lists", "catalogue", "update"), "Version 3", "help added: maennerinfo2.example", "help removed: maennerinfo.at")
	wantAll(t, "the same again", h.must("lists", "catalogue", "update"), "in force already")
	if _, errs, code := h.run("lists", "catalogue", "update", v2); code != exitFailed || !strings.Contains(errs, "not newer") {
		t.Errorf("an older version: exit code %d, %s", code, errs)
	}
	other := newSigner(t).pack("9")
	if _, errs, code := h.run("lists", "catalogue", "update", other); code != exitFailed || !strings.Contains(errs, "another key") {
		t.Errorf("another key: exit code %d, %s", code, errs)
	}

	// A backup holds it; a restart and a rollback find it.
	backup := filepath.Join(t.TempDir(), "backup.tar.gz")
	h.must("backup", backup)
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("serve ended with %v\n%s", err, h.log)
	}
	h.start()
	wantAll(t, "lists catalogue after a restart", h.must("lists", "catalogue"), "version 3 of", "rollback")
	wantAll(t, "kdig after a restart", h.tool("kdig", "later.example"), "NXDOMAIN")
	wantAll(t, "rollback", h.must("lists", "catalogue", "rollback"), "Version 2", "help added: maennerinfo.at")
	if _, errs, code := h.run("lists", "catalogue", "update"); code != exitFailed || !strings.Contains(errs, "rolled back") {
		t.Errorf("what was rolled back: exit code %d, %s", code, errs)
	}
	wantAll(t, "rollback", h.must("lists", "catalogue", "rollback"), "Version 1")
	wantAll(t, "kdig after the rollbacks", h.tool("kdig", "later.example"), "192.0.2.5")
	if _, errs, code := h.run("lists", "catalogue", "rollback"); code != exitNothing {
		t.Errorf("a rollback too many: exit code %d, %s", code, errs)
	}
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.must("restore", backup)
	wantAll(t, "lists catalogue after the restore", h.must("lists", "catalogue"), "version 3 of")

	// A damaged file leaves the program's own catalogue in force, and says so.
	files, err := filepath.Glob(filepath.Join(h.data, "lists", "catalogue-3.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the data folder holds %v, %v", files, err)
	}
	if err := os.Truncate(files[0], 1000); err != nil {
		t.Fatal(err)
	}
	h.start()
	wantAll(t, "kdig with a damaged update", h.tool("kdig", "omegle.com"), "NXDOMAIN")
	wantAll(t, "lists catalogue", h.must("lists", "catalogue"), "version 1 of", "cannot be read", "kinward lists catalogue update")
	wantAll(t, "lists", h.must("lists"), "catalogue: the update of the catalogue")
	wantAll(t, "doctor", firstLine(h, "list catalogue"), "FAULT")
	served.Store(sign.pack("4"))
	wantAll(t, "the next update", h.must("lists", "catalogue", "update"), "Version 4")
	wantAll(t, "doctor", firstLine(h, "list catalogue"), "ok")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("serve ended with %v\n%s", err, h.log)
	}
	wantAll(t, "the log", h.log.String(), "level=ERROR", "in the place of an update")
}

// TestProgramCatalogueRefuses: what is wrong ends with the right exit code, and
// nothing is taken without a key.
func TestProgramCatalogueRefuses(t *testing.T) {
	sign := newSigner(t)
	file := sign.pack("2")
	key := filepath.Join(sign.dir, "key.pem")
	public := filepath.Join(t.TempDir(), "open.pem")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(public, text, 0o644); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	out := filepath.Join(t.TempDir(), "out")
	for _, tt := range []struct {
		name string
		env  string
		args []string
		code int
		want string
	}{
		{"no key", "", []string{"lists", "catalogue", "update", file, "--data", data}, exitUsage, "catalogue: key is not set"},
		{"a key that is none", "AAAA", []string{"lists", "catalogue", "--data", data}, exitUsage, "catalogue: key"},
		{"no file and no source", sign.key, []string{"lists", "catalogue", "update", "--data", data}, exitUsage, "catalogue: source"},
		{"a list", sign.key, []string{"lists", "catalogue", "update", "program_catalogue_test.go", "--data", data}, exitFailed, "no catalogue file"},
		{"two files", sign.key, []string{"lists", "catalogue", "update", file, file}, exitUsage, "--help"},
		{"nothing to go back to", sign.key, []string{"lists", "catalogue", "rollback", "--data", data}, exitNothing, "nothing to go back to"},
		{"pack without a version", "", []string{"lists", "catalogue", "pack", out, "--key", key}, exitUsage, "--version"},
		{"pack with a key that others may read", "", []string{"lists", "catalogue", "pack", out, "--key", public, "--version", "2"}, exitFailed, "chmod 600"},
		{"pack over a file", "", []string{"lists", "catalogue", "pack", file, "--key", key, "--version", "2"}, exitUsage, "exists already"},
		{"pack of a folder that is none", "", []string{"lists", "catalogue", "pack", out, "--key", key, "--version", "2", "--from", data}, exitFailed, "reading"},
		{"keygen over a file", "", []string{"lists", "catalogue", "keygen", key}, exitUsage, "exists already"},
		{"a service that is not", "", []string{"lists", "services", "show", "tikttok", "--data", data}, exitNothing, `"tiktok"`},
		{"a search for nothing", "", []string{"lists", "services", "qqqqqq", "--data", data}, exitNothing, "qqqqqq"},
		{"a category that is not", "", []string{"lists", "services", "--category", "datting", "--data", data}, exitNothing, `"dating"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("KINWARD_CATALOGUE_KEY", tt.env)
			}
			out, errs, code := command(t, tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, tt.code, tt.want, out, errs)
			}
		})
	}
}

// TestProgramServices shows the catalogue, with and without a running serve.
func TestProgramServices(t *testing.T) {
	h := &home{t: t, data: t.TempDir()}
	h.must("profiles", "add", "Lea", "D") // begins the data folder
	wantAll(t, "services", h.must("lists", "services"), "omegle ", "closed", "known risk", "not verified", "tinder")
	wantNone(t, "services of a category", h.must("lists", "services", "--category", "dating"), "omegle", "anonymous-chat")
	wantNone(t, "services with the mark", h.must("lists", "services", "--known-risk"), "bazoocam")
	wantAll(t, "a search by domain", h.must("lists", "services", "gotinder"), "tinder")
	wantAll(t, "a service", h.must("lists", "services", "show", "omegle"),
		`Omegle (omegle), "Chat with strangers"`, "closed on 8 November 2023", "minimum age  not verified", "evidence of  2026-11", "omegle.com", "suffix", "ut1")
	var v serviceView
	h.into(&v, "lists", "services", "show", "tiktok")
	if v.Name != "TikTok" || v.MinAge == nil || *v.MinAge != 13 || v.AboutSource == "" || v.KnownRisk == "" || v.Checked != "2026-11" || len(v.Domains) < 5 || v.Edition.Version < 1 ||
		v.Strength != "not verified" || v.About == "" {
		t.Errorf("tiktok is %+v", v)
	}
	var r servicesReply
	h.into(&r, "lists", "services")
	if len(r.Services) < 500 {
		t.Errorf("%d services", len(r.Services))
	}
}

// TestProgramRulesWarn: a guardian may deny what lists may not, after a warning;
// but never help.
func TestProgramRulesWarn(t *testing.T) {
	h := &home{t: t, data: t.TempDir()}
	for _, tt := range []struct {
		name string
		args []string
		want string // "" for no warning
	}{
		{"a shared host", []string{"deny", "giphy.com"}, "share giphy.com"},
		{"a name above shared hosts", []string{"deny", "facebook.com"}, "facebook.com ("},
		{"the name above alone", []string{"deny", "facebook.com", "--exact"}, ""},
		{"a customer of a shared host", []string{"deny", "x.cloudfront.net"}, ""},
		{"what devices need", []string{"deny", "captive.apple.com"}, "devices need captive.apple.com in order to work"},
		{"a shared host, allowed", []string{"allow", "tenor.com"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := h.must(append([]string{"rules"}, tt.args...)...)
			if strings.Contains(out, "Be aware") != (tt.want != "") || !strings.Contains(out, tt.want) {
				t.Errorf("rules %s says\n%s\nwant a warning with %q", strings.Join(tt.args, " "), out, tt.want)
			}
		})
	}
	for _, name := range []string{"childline.org.uk", "www.childline.org.uk"} {
		if _, errs, code := h.run("rules", "deny", name); code != exitUsage || !strings.Contains(errs, "never blocks") {
			t.Errorf("rules deny %s: exit code %d, %s", name, code, errs)
		}
	}
}
