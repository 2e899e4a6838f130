package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// These tests start the program as it is shipped, beside a real upstream, and
// use it as a home would: with dig and kdig, and with its own commands.

// binary is the program under test, built once by TestMain.
var binary string

// memoryFolder is where its rings lie, so that those of killed ones are removed.
var memoryFolder string

// zone is what the upstream knows; everything else is NXDOMAIN.
var zone = []string{
	"allowed.example. 3600 IN A 192.0.2.1",
	"allowed.example. 3600 IN AAAA 2001:db8::1",
	"example.com. 3600 IN A 192.0.2.2",
	"omegle.com. 3600 IN A 192.0.2.66",
	"www.childline.org.uk. 3600 IN A 192.0.2.3",
	"innocent.example. 3600 IN CNAME cdn.omegle.com.",
	"cdn.omegle.com. 3600 IN A 192.0.2.67",
	"listed.example. 3600 IN A 192.0.2.4",
	"later.example. 3600 IN A 192.0.2.5",
}

// TestProgramHousehold is a parent's first evening.
func TestProgramHousehold(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	wantAll(t, "the banner", h.banner, h.data, `"Everyone"`, "11–12 years", "Chat with strangers", "adults' devices too",
		"devices exempt 192.168.1.20", "explain omegle.com", "setcap", ":53 --data "+h.data, "--upstream udp://"+u.addr)

	if m := regexp.MustCompile(`(?m).* $`).FindString(h.banner); m != "" {
		t.Errorf("a line of the banner ends with a blank: %q", m)
	}

	// Blocked, over UDP and TCP, with the reason as an extended error.
	for _, transport := range []string{"+notcp", "+tcp"} {
		got := h.tool("kdig", transport, "+edns", "omegle.com", "A")
		wantAll(t, "kdig "+transport, got, "NXDOMAIN", "EDE: 17 (Filtered)", "SOA")
		wantNone(t, "kdig "+transport, got, "192.0.2.66")
		wantAll(t, "dig "+transport, h.tool("dig", transport, "www.omegle.com", "AAAA"), "NXDOMAIN", "EDE: 17")
	}
	// Allowed, with the question's case kept and the time to live cut for a child.
	for _, transport := range []string{"+notcp", "+tcp"} {
		wantAll(t, "dig "+transport, h.tool("dig", transport, "aLLowed.Example", "A"), "NOERROR", ";aLLowed.Example.", "192.0.2.1", "\t60\tIN\tA")
	}
	wantAll(t, "a help line", h.tool("kdig", "www.childline.org.uk"), "192.0.2.3")
	wantAll(t, "a name that leads to a blocked one", h.tool("kdig", "+edns", "innocent.example"), "EDE: 17")
	wantAll(t, "a name that is not", h.tool("kdig", "nothing.example"), "NXDOMAIN")

	// What was attempted, while serve runs.
	var got incidentsReply
	h.into(&got, "incidents")
	byDomain := map[string]incidentView{}
	for _, i := range got.Incidents {
		byDomain[i.Domain] = i
	}
	omegle, hidden := byDomain["omegle.com"], byDomain["innocent.example"]
	if len(got.Incidents) > 2 || omegle.ServiceName != "Omegle" || omegle.Verdict != "block" || omegle.ProfileName != "Everyone" ||
		omegle.DeviceName != "the device at 127.0.0.1" || omegle.Queries < 4 || omegle.Tries != 1 {
		t.Errorf("incidents are %+v", got.Incidents)
	}
	if hidden.Domain != "" && hidden.Hidden != "cdn.omegle.com" {
		t.Errorf("the hidden attempt is %+v", hidden)
	}
	text := h.must("incidents")
	wantAll(t, "incidents", text, "the device at 127.0.0.1 (profile Everyone)", "Omegle", `"Chat with strangers"`, "it was blocked", "why:")
	wantNone(t, "incidents", text, "childline", "allowed.example", "nothing.example")

	// The path to a verdict, from the running server.
	wantAll(t, "explain", h.must("explain", "www.omegle.com", "--device", "192.168.1.20", "--at", "2026-11-23 21:30"),
		"is blocked", "Omegle", "entry omegle.com of list catalogue", "preset C", "23 Nov 2026 21:30", "→")
	var e struct{ Verdict, Reason, Entry, List string }
	h.into(&e, "explain", "www.childline.org.uk")
	if e.Verdict != "allow" || e.Reason != "help" || e.Entry != "childline.org.uk" {
		t.Errorf("explain of a help line is %+v", e)
	}

	// An exemption and a rule, at once and without a restart.
	exempted := h.must("devices", "exempt", "127.0.0.1", "--name", "Laptop")
	wantAll(t, "devices exempt", exempted, "Laptop", "Adults", "devices unexempt")
	if strings.Contains(exempted, "until") {
		t.Errorf("an exemption without --for ends: %s", exempted)
	}
	wantAll(t, "kdig after the exemption", h.tool("kdig", "omegle.com"), "192.0.2.66")
	wantAll(t, "devices unexempt", h.must("devices", "unexempt", "Laptop"), "Everyone")
	wantAll(t, "kdig after its end", h.tool("kdig", "omegle.com"), "NXDOMAIN")
	wantAll(t, "what the laptop tried before it had a name", h.must("incidents", "--device", "Laptop"), "Omegle")
	h.must("devices", "remove", "Laptop")
	h.must("rules", "allow", "omegle.com")
	wantAll(t, "kdig after the rule", h.tool("kdig", "omegle.com"), "192.0.2.66")
	h.must("rules", "remove", "4")
	if _, errs, code := h.run("rules", "deny", "www.childline.org.uk"); code != exitUsage || !strings.Contains(errs, "never blocks") {
		t.Errorf("a rule against a help line: exit code %d, %s", code, errs)
	}

	// Health and metrics.
	if code, body := h.get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz is %d %q", code, body)
	}
	if code, body := h.get("/readyz"); code != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("/readyz is %d %q", code, body)
	}
	_, metrics := h.get("/metrics")
	wantAll(t, "/metrics", metrics, `kinward_list_entries{list="catalogue"} `, "kinward_index_names ", "kinward_build_info{")
	wantNone(t, "/metrics", metrics, "omegle", "Laptop", "127.0.0.1\"} 1\nkinward_device")
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}

	// What works, with an exit code that a monitor can go by.
	out, errs, code := h.run("doctor")
	if code != 0 {
		t.Errorf("doctor of a healthy home: exit code %d\n%s%s", code, out, errs)
	}
	for _, network := range []string{"udp", "tcp"} {
		wantAll(t, "doctor", out, "ok     resolving through "+h.dns+"/"+network+": example.com took", "ok     DNS on "+h.dns+"/"+network)
	}
	wantAll(t, "doctor", out, "ok     upstream udp://"+u.addr, "ok     database: whole", "profile Everyone blocks omegle.com")
	wantNone(t, "doctor", out, "FAULT")

	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Errorf("serve ended with %v\n%s", err, h.log)
	}
	wantNone(t, "the log", h.log.String(), "omegle", "allowed.example", "childline")

	// Nothing of what was allowed lies anywhere in the data folder; what was
	// blocked does, so that the search would have found it.
	found := map[string]bool{}
	err = filepath.WalkDir(h.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		// As text, and as the cache has them.
		for _, name := range []string{"omegle.com", "allowed.example", "\x07allowed\x07example", "childline", "nothing.example", "\x07nothing\x07example"} {
			if bytes.Contains(content, []byte(name)) {
				found[name] = true
			}
		}
		return err
	})
	if err != nil || len(found) != 1 || !found["omegle.com"] {
		t.Errorf("the data folder holds the names %v, %v; want omegle.com alone", found, err)
	}
}

// TestProgramKeepsTheRecord: what was attempted outlives a restart, and a kill
// without a warning leaves the database whole.
func TestProgramKeepsTheRecord(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	h.tool("kdig", "tinder.com")
	if err := h.stop(syscall.SIGTERM); err != nil { // flushes what is not written yet
		t.Fatalf("serve ended with %v\n%s", err, h.log)
	}
	wantAll(t, "incidents without serve", h.must("incidents"), "Tinder")
	h.start()
	wantAll(t, "incidents after a restart", h.must("incidents"), "Tinder")
	h.tool("kdig", "bumble.com")
	wantAll(t, "incidents before the kill", h.must("incidents"), "Bumble") // flushed: on disk from here on
	h.stop(syscall.SIGKILL)
	wantAll(t, "incidents after kill -9", h.must("incidents"), "Tinder", "Bumble")
	h.start()
	wantAll(t, "doctor's word on the database", firstLine(h, "database"), "ok")
	wantAll(t, "kdig after kill -9", h.tool("kdig", "omegle.com"), "NXDOMAIN")
}

// firstLine returns doctor's line about something.
func firstLine(h *home, what string) string {
	out, _, _ := h.run("doctor")
	for line := range strings.SplitSeq(out, "\n") {
		if strings.Contains(line, what) {
			return line
		}
	}
	return out
}

// TestProgramLists adds, refuses, updates, reloads and removes lists under way.
func TestProgramLists(t *testing.T) {
	u := startUpstream(t)
	var page atomic.Value
	page.Store("0.0.0.0 listed.example\n0.0.0.0 www.childline.org.uk\n0.0.0.0 msedge.net\n")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, page.Load().(string))
	}))
	defer web.Close()
	config := filepath.Join(t.TempDir(), "kinward.yaml")
	writeFile := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeFile("lists:\n  allow-private: true\nblock: nxdomain\n")
	h := startHome(t, u, "--config", config)

	wantAll(t, "kdig before the list", h.tool("kdig", "listed.example"), "192.0.2.4")
	wantAll(t, "lists add", h.must("lists", "add", web.URL+"/dating.txt", "--category", "dating"), "1 name taken", "1 shared host", "1 name that must stay reachable")
	wantAll(t, "kdig with the list", h.tool("kdig", "listed.example"), "NXDOMAIN")
	wantAll(t, "the help line that it names", h.tool("kdig", "www.childline.org.uk"), "192.0.2.3")
	wantAll(t, "explain", h.must("explain", "listed.example"), "entry listed.example of list dating", `"Dating`)
	if _, metrics := h.get("/metrics"); !strings.Contains(metrics, `kinward_list_entries{list="dating"} 1`) {
		t.Error("/metrics lacks the list's entries")
	}

	// A list gone bad keeps its last good copy, and says so.
	page.Store("<!doctype html><html><body>Sign in to the hotel's Wi-Fi</body></html>")
	out, errs, code := h.run("lists", "update")
	if code != exitFailed {
		t.Errorf("lists update of a web page: exit code %d\n%s%s", code, out, errs)
	}
	wantAll(t, "lists update", out, "last good copy", "web page")
	wantAll(t, "lists", h.must("lists"), "web page")
	wantAll(t, "kdig with the last good copy", h.tool("kdig", "listed.example"), "NXDOMAIN")
	page.Store("com\nlisted.example\n")
	out, _, _ = h.run("lists", "update", "dating")
	wantAll(t, "lists update with com", out, "com")
	wantAll(t, "kdig still", h.tool("kdig", "listed.example", "+edns"), "EDE: 17")

	// An update in force without a restart; a reload reads configuration too.
	page.Store("listed.example\nlater.example\n")
	h.must("lists", "update")
	wantAll(t, "kdig after the update", h.tool("kdig", "later.example"), "NXDOMAIN")
	writeFile("lists:\n  allow-private: true\nblock: zero\n")
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if strings.Contains(h.tool("kdig", "later.example"), "0.0.0.0") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the reload is not in force\n%s", h.log)
		}
	}
	h.must("lists", "remove", "dating")
	wantAll(t, "kdig without the list", h.tool("kdig", "listed.example"), "192.0.2.4")
	if _, errs, code := h.run("lists", "remove", "dating"); code != exitNothing {
		t.Errorf("removing a list that is not there: exit code %d, %s", code, errs)
	}
}

// TestProgramReloadDropsNothing asks all the time while configuration and lists
// are read again and again.
func TestProgramReloadDropsNothing(t *testing.T) {
	h := startHome(t, startUpstream(t))
	stop := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		c := &dns.Client{Timeout: 3 * time.Second}
		for i := 0; ; i++ {
			select {
			case <-stop:
				if i < 100 {
					result <- fmt.Errorf("only %d questions were asked", i)
				}
				result <- nil
				return
			default:
			}
			m := new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA)
			want := dns.RcodeNameError
			if i%2 == 0 {
				m.SetQuestion("allowed.example.", dns.TypeA)
				want = dns.RcodeSuccess
			}
			r, _, err := c.Exchange(m, h.dns)
			if err != nil || r.Rcode != want {
				result <- fmt.Errorf("question %d for %s: %v, %v", i, m.Question[0].Name, r, err)
				return
			}
		}
	}()
	for range 20 {
		if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	if err := <-result; err != nil {
		t.Errorf("%v\n%s", err, h.log)
	}
}

// TestProgramUpstreamDown: a question gets an answer when no upstream does.
func TestProgramUpstreamDown(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	u.down.Store(true)
	wantAll(t, "kdig", h.tool("kdig", "+edns", "+timeout=8", "+retry=0", "allowed.example"), "SERVFAIL", "EDE: 22")
	wantAll(t, "a blocked name meanwhile", h.tool("kdig", "omegle.com"), "NXDOMAIN")
	out, _, code := h.run("doctor")
	if code != exitFailed {
		t.Errorf("doctor without an upstream: exit code %d\n%s", code, out)
	}
	wantAll(t, "doctor", out, "FAULT  upstream udp://"+u.addr+": no answer within 2 seconds\n       what to do: check the line to the internet", "ok     DNS on "+h.dns)
}

// TestProgramBackup goes back to a backup and finds what was there.
func TestProgramBackup(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.tool("kdig", "omegle.com")
	h.must("rules", "deny", "allowed.example")
	file := filepath.Join(t.TempDir(), "backup.tar.gz")
	wantAll(t, "backup", h.must("backup", file), " restore "+file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if _, errs, code := h.run("backup", file); code != exitUsage || !strings.Contains(errs, "exists already") {
		t.Errorf("backup over a file: exit code %d, %s", code, errs)
	}
	h.must("rules", "remove", "3")
	if _, errs, code := h.run("restore", file); code != exitFailed || !strings.Contains(errs, "in use") {
		t.Errorf("restore under serve: exit code %d, %s", code, errs)
	}
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// A damaged backup is refused before anything is touched.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"cut": whole[:len(whole)/2], "changed": append(append([]byte{}, whole[:len(whole)/2]...), make([]byte, len(whole)/2)...), "foreign": []byte("hello")} {
		bent := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bent, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := h.run("restore", bent); code != exitFailed {
			t.Errorf("restore of a %s backup: exit code %d, %s", name, code, errs)
		}
	}
	wantNone(t, "rules before the restore", h.must("rules"), "allowed.example")
	wantAll(t, "restore", h.must("restore", file), "before-restore-")
	wantAll(t, "rules after the restore", h.must("rules"), "allowed.example")
	wantAll(t, "incidents after the restore", h.must("incidents"), "Omegle")
	h.start()
	wantAll(t, "kdig after the restore", h.tool("kdig", "allowed.example"), "NXDOMAIN")
	wantAll(t, "erasing after a restore", h.must("erase", "all", "--yes"), "What a restore put aside", "kinward.db.before-restore-")
}

// TestProgramRefuses: what is wrong ends with the right exit code and a word
// about what to do.
func TestProgramRefuses(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	h.must("devices", "add", "192.168.1.31", "--name", "Tablet")
	free := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	nowhere, kept := filepath.Join(t.TempDir(), "nowhere"), t.TempDir()
	(&home{t: t, data: kept}).must("profiles", "add", "Lea", "D")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a second serve on the folder", []string{"serve", "--dns", "127.0.0.1:0", "--metrics", "", "--console", ""}, exitFailed, "in use by another kinward"},
		{"an upstream that is Kinward itself", []string{"serve", "--data", t.TempDir(), "--dns", free, "--metrics", "", "--console", "", "--upstream", "udp://" + free}, exitFailed, "Kinward itself listens on"},
		{"a taken port", []string{"serve", "--data", t.TempDir(), "--dns", h.dns, "--upstream", "udp://" + u.addr}, exitFailed, "Another program has this address"},
		{"an upstream whose address nobody knows", []string{"serve", "--upstream", "tls://dns.quad9.net"}, exitUsage, "?ip=9.9.9.9"},
		{"the cache of a server that does not run", []string{"cache", "--data", kept}, exitFailed, "does not run"},
		{"the cache of a folder that is not", []string{"cache", "--data", t.TempDir()}, exitNothing, "no Kinward data in"},
		{"a flag that is not", []string{"serve", "--upsteam", "x"}, exitUsage, "(did you mean --upstream?); see: " + binary + " --data "},
		{"a short flag that is not", []string{"serve", "-x"}, exitUsage, " serve --help"},
		{"a command that is not", []string{"explian", "x"}, exitUsage, "explain"},
		{"a shell that is not", []string{"completion", "frob"}, exitUsage, "frob"},
		{"a missing argument", []string{"explain"}, exitUsage, "NAME"},
		{"a name that is none", []string{"explain", "a..b"}, exitUsage, "empty label"},
		{"a rule for a page", []string{"rules", "deny", "example.com/page"}, exitUsage, "no name of a host"},
		{"a rule for an address", []string{"rules", "deny", "192.168.1.1"}, exitUsage, "names"},
		{"a rule for a service", []string{"rules", "deny", "Omegle"}, exitUsage, "profiles choose"},
		{"phishing allowed", []string{"profiles", "choose", "Everyone", "security", "allow"}, exitUsage, "stays blocked"},
		{"incidents of a device that is not", []string{"incidents", "--device", "Tablt"}, exitNothing, "Tablt"},
		{"incidents of the future", []string{"incidents", "--since", "2999-01-01"}, exitUsage, "still to come"},
		{"incidents of a folder that is not", []string{"incidents", "--data", t.TempDir()}, exitNothing, "there is no Kinward data in"},
		{"the health of a folder that is not", []string{"doctor", "--data", nowhere}, exitFailed, "there is no Kinward data in " + nowhere},
		{"an exemption under a name that is taken", []string{"devices", "exempt", "192.168.1.40", "--name", "Tablet"}, exitUsage, "Tablet"},
		{"a device that is not", []string{"explain", "omegle.com", "--device", "Phone"}, exitNothing, "Phone"},
		{"a time that is none", []string{"explain", "omegle.com", "--at", "soon"}, exitUsage, "2026-11-23 21:30"},
		{"a category that is not", []string{"lists", "add", "names.txt", "--category", "datting"}, exitNothing, `"dating"; there are: anonymous-chat, `},
		{"a category by the name that is shown", []string{"lists", "add", "names.txt", "--category", "porn"}, exitNothing, `did you mean "adult" (Pornography`},
		{"a backup into a folder that is not", []string{"backup", "/nonexistent/kinward.tar.gz"}, exitNothing, "/nonexistent/kinward.tar.gz"},
		{"a file that is not", []string{"lists", "add", "/nonexistent/list", "--category", "dating"}, exitNothing, "/nonexistent/list"},
		{"a private address without leave", []string{"lists", "add", "http://127.0.0.1:9/x", "--category", "dating"}, exitFailed, "private"},
		{"a profile that is not", []string{"profiles", "preset", "Nobody", "D"}, exitNothing, "Nobody"},
		{"a service that is not", []string{"profiles", "choose", "Everyone", "tikttok", "allow"}, exitNothing, `"tiktok"`},
		{"a rule that is not", []string{"rules", "remove", "77"}, exitNothing, "77"},
		{"a configuration that is not", []string{"check", "--config", "/nonexistent/kinward.yaml"}, exitNothing, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs string
			var code int
			if slices.Contains(tt.args, "--data") { // its own folder
				cmd := exec.Command(binary, tt.args...)
				combined, _ := cmd.CombinedOutput()
				errs, code = string(combined), cmd.ProcessState.ExitCode()
			} else {
				out, errs, code = h.run(tt.args...)
			}
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, tt.code, tt.want, out, errs)
			}
		})
	}
}
