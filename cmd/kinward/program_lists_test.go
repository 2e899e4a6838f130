package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
)

// listPage serves a list, which a test changes, with an ETag.
type listPage struct {
	*httptest.Server
	text  atomic.Pointer[string]
	stall atomic.Bool // send half of it and wait
	asked atomic.Int64
}

func startListPage(t *testing.T, text string) *listPage {
	t.Helper()
	p := &listPage{}
	p.text.Store(&text)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		text := *p.text.Load()
		if p.stall.Load() {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			io.WriteString(w, text[:len(text)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		tag := fmt.Sprintf(`"%d-%x"`, len(text), text[:min(len(text), 32)])
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *listPage) set(text string) { p.text.Store(&text) }

// listOf is a list with listed.example and n-1 other names.
func listOf(n int) string {
	var b strings.Builder
	b.WriteString("listed.example\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "name-%d.example\n", i)
	}
	return b.String()
}

// startHomeForLists starts a home that may fetch from this machine.
func startHomeForLists(t *testing.T) *home {
	t.Helper()
	config := filepath.Join(t.TempDir(), "kinward.yaml")
	if err := os.WriteFile(config, []byte("lists:\n  allow-private: true\n  refresh: 12h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startHome(t, startUpstream(t), "--config", config)
}

// TestProgramListVersions: a version that cannot be right is held, and a person
// decides.
func TestProgramListVersions(t *testing.T) {
	h := startHomeForLists(t)
	page := startListPage(t, listOf(100))
	h.must("lists", "add", page.URL+"/dating.txt", "--category", "dating")

	page.set("new.example\n" + strings.TrimPrefix(listOf(40), "listed.example\n"))
	out, errs, code := h.run("lists", "update")
	if code != exitFailed {
		t.Errorf("lists update of a collapsed list: exit code %d\n%s%s", code, out, errs)
	}
	wantAll(t, "lists update", out, "40 names after 100", "added: 1 (new.example), removed: 61 (", " lists accept dating")
	wantAll(t, "lists", h.must("lists"), "40 names after 100", "A new version is held", " lists accept dating")
	wantAll(t, "kdig while it is held", h.tool("kdig", "listed.example"), "NXDOMAIN")
	_, metrics := h.get("/metrics")
	wantAll(t, "/metrics", metrics, `kinward_list_held{list="dating"} 1`, `kinward_list_failures_total{reason="collapse"} 1`,
		`kinward_list_updates_total{outcome="held"} 1`, `kinward_list_updates_total{outcome="taken"} 1`,
		`kinward_list_fetched_timestamp_seconds{list="dating"}`, `kinward_list_guarded_entries{list="dating",reason="shared-host"} 0`)

	// What single entries are kept out for is said once, and counted.
	guarded := startListPage(t, "listed2.example\nco.uk\nx.se\nfbcdn.net\nchildline.org.uk\ncaptive.apple.com\nwww.childline.org.uk\n")
	wantAll(t, "lists add of guarded names", h.must("lists", "add", guarded.URL+"/guarded.txt", "--category", "dating"),
		"1 name taken", "2 public suffixes (line 2: co.uk)", "1 shared host (line 4: fbcdn.net)", "3 names that must stay reachable (line 5: childline.org.uk)")
	_, metrics = h.get("/metrics")
	wantAll(t, "/metrics", metrics, `kinward_list_guarded_entries{list="guarded",reason="public-suffix"} 2`,
		`kinward_list_guarded_entries{list="guarded",reason="shared-host"} 1`, `kinward_list_guarded_entries{list="guarded",reason="reachable"} 3`)
	guarded.set("<html>")
	h.run("lists", "update", "guarded")
	guarded.set("")
	h.run("lists", "update", "guarded")
	guarded.set(listOf(4))
	h.run("lists", "update", "guarded")
	_, metrics = h.get("/metrics")
	wantAll(t, "/metrics", metrics, `kinward_list_failures_total{reason="web-page"} 1`, `kinward_list_failures_total{reason="empty"} 1`,
		`kinward_list_failures_total{reason="explosion"} 1`, `kinward_list_held{list="guarded"} 1`)
	h.must("lists", "remove", "guarded")

	wantAll(t, "lists accept", h.must("lists", "accept", "dating"), "40 names", "added: 1 (new.example), removed: 61 (")
	wantAll(t, "kdig after accept", h.tool("kdig", "listed.example"), "192.0.2.4")
	wantAll(t, "lists update of what was accepted", h.must("lists", "update"), "unchanged")
	if _, errs, code := h.run("lists", "accept", "dating"); code != exitNothing || !strings.Contains(errs, "no new copy") {
		t.Errorf("lists accept of nothing: exit code %d, %s", code, errs)
	}

	wantAll(t, "lists rollback", h.must("lists", "rollback", "dating"), "100 names", "added: 61 (", "removed: 1 (new.example)", "lists accept dating")
	wantAll(t, "kdig after rollback", h.tool("kdig", "listed.example"), "NXDOMAIN")
	wantAll(t, "lists update of what was rolled back from", h.must("lists", "update"), "rolled-back")
	wantAll(t, "kdig after that", h.tool("kdig", "listed.example"), "NXDOMAIN")
	if _, errs, code := h.run("lists", "rollback", "dating"); code != exitNothing || !strings.Contains(errs, "no copy from before") {
		t.Errorf("lists rollback to nothing: exit code %d, %s", code, errs)
	}
	var got listsReply
	h.into(&got, "lists")
	if l := got.Lists[1]; l.Held == nil || !l.Held.RolledBack || l.Held.Entries != 40 || l.Entries != 100 || l.From != page.URL+"/dating.txt" {
		t.Errorf("lists --json: %+v", l)
	}
	// Without serve, too.
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatalf("%v\n%s", err, h.log)
	}
	h.must("lists", "accept", "dating")
	h.start()
	wantAll(t, "kdig after a restart", h.tool("kdig", "listed.example"), "192.0.2.4")
}

// TestProgramListPlaces: the directory, mirrors and archives.
func TestProgramListPlaces(t *testing.T) {
	h := startHomeForLists(t)
	wantAll(t, "lists directory", h.must("lists", "directory"), "* sw-dating", "dating\n", "(doc)", "not measured", "To begin with (*): ")
	var dir directoryReply
	h.into(&dir, "lists", "directory", "dating")
	if len(dir.Lists) != 2 || dir.Lists[0].Category != blocklists.Dating || dir.Lists[0].Location == "" {
		t.Errorf("lists directory dating: %+v", dir.Lists)
	}
	wantAll(t, "a category without lists", h.must("lists", "directory", "anonymous-chat"), "No list")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an ID that is not", []string{"lists", "add", "sw-datting"}, exitNothing, `"sw-dating"`},
		{"a category that is not", []string{"lists", "directory", "datting"}, exitNothing, `"dating"`},
		{"too many words", []string{"lists", "directory", "dating", "adult"}, exitUsage, `"adult"`},
		{"a URL without a category", []string{"lists", "add", "https://a.example/list"}, exitUsage, "--category"},
		{"too many mirrors", append([]string{"lists", "add", "https://a.example/list", "--category", "dating"}, strings.Fields(strings.Repeat("--mirror https://b.example/ ", 8))...), exitFailed, "mirrors"},
	} {
		if out, errs, code := h.run(tt.args...); code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", tt.name, code, tt.code, tt.want, out, errs)
		}
	}

	archive := gzippedTar(t, "all/gambling/domains", "listed.example\n", "all/games/domains", "later.example\n")
	file := filepath.Join(t.TempDir(), "all.tar.gz")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	args := []string{"lists", "add", strings.Replace(gone.URL, "//", "//me:secret@", 1) + "/x", "--mirror", file, "--category", "gambling", "--id", "bets"}
	out, errs, code := h.run(args...)
	if code != exitFailed {
		t.Errorf("an archive of two lists: exit code %d\n%s%s", code, out, errs)
	}
	wantAll(t, "an archive of two lists", errs, "all/gambling/domains, all/games/domains", "--member")
	out, errs, code = h.run(append(args, "--member", "all/gambling")...)
	if code != exitOK {
		t.Fatalf("lists add: exit code %d\n%s%s", code, out, errs)
	}
	wantAll(t, "the progress", errs, "bets: trying "+file+" (place 2 of 2)")
	wantAll(t, "kdig with the list", h.tool("kdig", "listed.example"), "NXDOMAIN")
	wantAll(t, "kdig of its neighbour", h.tool("kdig", "later.example"), "192.0.2.5")
	said := out + errs + h.must("lists", "--json")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantNone(t, "what is said", said+h.log.String(), "secret")
}

func gzippedTar(t *testing.T, namesAndTexts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for i := 0; i < len(namesAndTexts); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: namesAndTexts[i], Mode: 0o644, Size: int64(len(namesAndTexts[i+1]))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, namesAndTexts[i+1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestProgramRefreshDropsNothing asks all the time, from several sides, while
// lists come, are held, accepted, rolled back from and go.
func TestProgramRefreshDropsNothing(t *testing.T) {
	h := startHomeForLists(t)
	page := startListPage(t, listOf(20_000))
	h.must("lists", "add", page.URL+"/dating.txt", "--category", "dating")

	questions := []struct {
		name string
		want int
	}{
		{"listed.example.", dns.RcodeNameError}, // on every version of the list
		{"omegle.com.", dns.RcodeNameError},
		{"allowed.example.", dns.RcodeSuccess},
		{"www.childline.org.uk.", dns.RcodeSuccess},
	}
	stop := make(chan struct{})
	var asked, failed atomic.Int64
	var firstFailure sync.Once
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			c := &dns.Client{Timeout: 3 * time.Second}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				q := questions[i%len(questions)]
				r, _, err := c.Exchange(new(dns.Msg).SetQuestion(q.name, dns.TypeA), h.dns)
				asked.Add(1)
				if err != nil || r.Rcode != q.want {
					failed.Add(1)
					firstFailure.Do(func() { t.Errorf("asking for %s: %v, %v", q.name, r, err) })
				}
			}
		})
	}
	for i := range 5 {
		page.set(listOf(20_001 + i))
		h.must("lists", "update")
	}
	page.set(listOf(100))
	h.run("lists", "update")
	h.must("lists", "accept", "dating")
	h.must("lists", "rollback", "dating")
	page.set("<html>")
	h.run("lists", "update")
	page.set("another.example\n" + listOf(10))
	other := startListPage(t, "later.example\n")
	h.must("lists", "add", other.URL+"/other.txt", "--category", "adult")
	h.must("lists", "remove", "other")
	close(stop)
	asking.Wait()
	if failed.Load() != 0 || asked.Load() < 500 {
		t.Errorf("%d of %d questions failed\n%s", failed.Load(), asked.Load(), h.log)
	}
	t.Logf("%d questions, none failed", asked.Load())
}

// TestProgramRefreshOff: "0" turns the schedule off, and serve says so.
func TestProgramRefreshOff(t *testing.T) {
	t.Setenv("KINWARD_LISTS_REFRESH", "0")
	h := startHome(t, startUpstream(t))
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantAll(t, "the log", h.log.String(), "lists are not refreshed by themselves")
}

// TestProgramKilledWhileFetching: kill -9 in the middle of an update costs
// nothing but that update.
func TestProgramKilledWhileFetching(t *testing.T) {
	h := startHomeForLists(t)
	page := startListPage(t, listOf(100))
	h.must("lists", "add", page.URL+"/dating.txt", "--category", "dating")
	page.set(listOf(101))
	page.stall.Store(true)
	before := page.asked.Load()
	updated := make(chan int, 1)
	go func() {
		_, _, code := h.run("lists", "update")
		updated <- code
	}()
	for deadline := time.Now().Add(10 * time.Second); page.asked.Load() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the list is not fetched")
		}
	}
	h.stop(syscall.SIGKILL)
	if code := <-updated; code == exitOK {
		t.Error("lists update says that all is well")
	}
	page.stall.Store(false)
	h.start()
	wantAll(t, "kdig after kill -9", h.tool("kdig", "listed.example"), "NXDOMAIN")
	left, err := filepath.Glob(filepath.Join(h.data, "lists", ".tmp-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	wantAll(t, "lists update", h.must("lists", "update"), "101 names taken")
}
