package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinward/journal"
	"kinward/store"
)

// holds says in which files of the data folder a text stands, in any case.
func (h *home) holds(text string) (in []string) {
	h.t.Helper()
	err := filepath.WalkDir(h.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(b), []byte(text)) {
			in = append(in, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return in
}

// TestProgramIncidents: from what was attempted to what a guardian made of it, and
// who looked.
func TestProgramIncidents(t *testing.T) {
	h := child(t)
	h.must("families", "country", "de")
	h.must("guardians", "add", "Eva", "--role", "owner")
	h.tool("kdig", "omegle.com", "A")
	h.tool("kdig", "tinder.com", "A")
	var all incidentsReply
	find := func(service string) incidentView {
		t.Helper()
		h.into(&all, "incidents", "--service", service)
		if len(all.Incidents) != 1 {
			t.Fatalf("of service %s there are %d incidents", service, len(all.Incidents))
		}
		return all.Incidents[0]
	}
	omegle, tinder := find("omegle"), find("Tinder")
	for _, tt := range []struct {
		filter    []string
		one, both bool // whether Omegle's is there, and Tinder's too
	}{
		{nil, true, true},
		{[]string{"--category", "anonymous-chat"}, true, false},
		{[]string{"--category", "Dating & hook-ups"}, false, false},
		{[]string{"--verdict", "block"}, true, true},
		{[]string{"--verdict", "watch"}, false, false},
		{[]string{"--profile", "Lea", "--device", "Phone"}, true, true},
		{[]string{"--profile", "Adults"}, false, false},
		{[]string{"--until", "1h"}, false, false},
	} {
		out := h.must(append([]string{"incidents"}, tt.filter...)...)
		if strings.Contains(out, "Omegle") != tt.one || strings.Contains(out, "Omegle") && strings.Contains(out, "Tinder") != tt.both {
			t.Errorf("incidents %q shows\n%s", tt.filter, out)
		}
	}
	for _, args := range [][]string{
		{"incidents", "--category", "datng"},
		{"incidents", "--service", "nobodyknowsit"},
		{"incidents", "--verdict", "forbid"},
		{"incidents", "--since", "1h", "--until", "2h"},
		{"incidents", "--as", "Nobody"},
		{"incidents", "show", "0123456789abcdef"},
		{"incidents", "show", "tinder"},
		{"incidents", "review", omegle.ID, "--note", "a\nb"},
		{"incidents", "mute", omegle.ID, "--until", "2020-01-01"},
		{"incidents", "mutes", "end", "9"},
		{"incidents", "export", "--format", "pdf"},
		{"incidents", "export", "--format", "bundle"},
		{"families", "country", "Germany"},
		{"retention", "set", "0"},
		{"retention", "set", "30", "omegle"},
		{"erase", "Nobody", "--yes"},
	} {
		if out, errs, code := h.run(args...); code != exitUsage && code != exitNothing || errs == "" {
			t.Errorf("kinward %q: exit code %d\n%s%s", args, code, out, errs)
		}
	}

	wantAll(t, "show", h.must("incidents", "show", shortID(omegle.ID)), "Omegle", omegle.ID, "Why it was blocked", "category", "closed on 8 November 2023",
		"How to talk about it", "If there was contact", "Nummer gegen Kummer", "116 111", "2026-", "not verified", "not a visit")

	// What one guardian says is not said for another.
	h.must("incidents", "review", shortID(omegle.ID), "--note", "we talked about it", "--as", "eva")
	wantAll(t, "incidents", h.must("incidents"), `reviewed by Eva: "we talked about it"`)
	wantNone(t, "Eva's unreviewed", h.must("incidents", "--unreviewed", "--as", "Eva"), "Omegle")
	wantAll(t, "another's unreviewed", h.must("incidents", "--unreviewed"), "Omegle", "Tinder")
	h.must("incidents", "mute", tinder.ID, "--as", "Eva", "--for", "7d")
	wantAll(t, "Eva's unreviewed", h.must("incidents", "--unreviewed", "--as", "Eva"), "All calm")
	wantAll(t, "Eva's incidents", h.must("incidents", "--as", "Eva"), "muted until")
	wantNone(t, "another's incidents", h.must("incidents"), "muted until")
	wantAll(t, "mutes", h.must("incidents", "mutes"), "1  Tinder of profile Lea, for Eva, until")
	h.must("incidents", "mutes", "end", "1")
	wantAll(t, "Eva's unreviewed", h.must("incidents", "--unreviewed", "--as", "Eva"), "Tinder")
	h.must("incidents", "unreview", omegle.ID, "--as", "Eva")
	wantAll(t, "Eva's unreviewed", h.must("incidents", "--unreviewed", "--as", "Eva"), "Omegle", "Tinder")

	// Who looked is kept.
	wantAll(t, "views", h.must("incidents", "views"), "Eva read the list of all profiles", "command line as ", "read one incident of profile Lea")
	wantAll(t, "the child's view", h.must("profiles", "my", "Lea"), "Hello Lea", "Chat with strangers", "90 days", "Eva", "help lines", "read the list", "help-lines")

	// Exports.
	out := filepath.Join(t.TempDir(), "b.zip")
	wantAll(t, "export", h.must("incidents", "export", "--format", "bundle", "--out", out), "2 incidents", "SHA-256: ")
	if _, errs, code := h.run("incidents", "export", "--format", "bundle", "--out", out); code != exitUsage {
		t.Errorf("an export overwrites: exit code %d, %s", code, errs)
	}
	wantAll(t, "CSV", h.must("incidents", "export"), "id,first_utc", "Tinder", "Omegle")
	var x exportData
	if err := json.Unmarshal([]byte(h.must("incidents", "export", "--format", "json")), &x); err != nil || len(x.Incidents) != 2 || x.Policy < 2 || x.Catalogue.Version == 0 {
		t.Errorf("JSON: %v %+v", err, x)
	}
	wantAll(t, "views", h.must("incidents", "views"), "exported of all profiles")
}

// TestProgramFollow: what is attempted is told while it happens.
func TestProgramFollow(t *testing.T) {
	h := child(t)
	cmd := exec.Command(binary, "incidents", "follow", "--data", h.data)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for !strings.Contains(h.must("incidents", "views"), "watched live") { // until it has begun
	}
	h.tool("kdig", "omegle.com", "A")
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "Phone (profile Lea) tried Omegle") {
		t.Errorf("told: %q %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	h.stop(syscall.SIGTERM)
	if _, errs, code := h.run("incidents", "follow"); code != exitFailed || !strings.Contains(errs, "no kinward serve runs") {
		t.Errorf("following without serve: exit code %d, %s", code, errs)
	}
}

// TestProgramErase: what was attempted is in the data folder, and then it is not,
// down to the bytes; what was chosen stays.
func TestProgramErase(t *testing.T) {
	h := child(t)
	h.must("rules", "deny", "unmistakable.example", "--profile", "Lea")
	h.tool("kdig", "secret-thing.unmistakable.example", "A")
	h.must("incidents", "review", h.only().ID, "--note", "noted-words")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if len(h.holds("secret-thing")) == 0 || len(h.holds("noted-words")) == 0 {
		t.Fatal("it was never there")
	}
	wantAll(t, "the dry run", h.must("erase", "Lea", "--dry-run"), "Would be erased, of profile Lea", "incidents: 1", "reviews: 1")
	if _, errs, code := h.run("erase", "Lea"); code == 0 {
		t.Errorf("it is erased without a word: %s", errs)
	}
	wantAll(t, "erasing another profile", h.must("erase", "Adults", "--yes"), "incidents: 0")
	if len(h.holds("secret-thing")) == 0 {
		t.Error("a dry run, a missing word or another profile erased it")
	}
	wantAll(t, "erase", h.must("erase", "Lea", "--yes", "--why", "new term"), "Erased, of profile Lea", "Backups and exports")
	for _, text := range []string{"secret-thing", "noted-words"} {
		if in := h.holds(text); len(in) != 0 {
			t.Errorf("%q is still in %v", text, in)
		}
	}
	wantAll(t, "incidents", h.must("incidents"), "All calm")
	wantAll(t, "the history", h.must("changes", "--limit", "1"), "erased what was kept of profile Lea")
	wantAll(t, "the history", h.must("changes", "--limit", "1", "--json"), "new term")
	wantAll(t, "the rules", h.must("rules"), "unmistakable.example")
	h.start()
	h.closes("after an erasure", "unmistakable.example")
	wantAll(t, "incidents after it", h.must("incidents"), "unmistakable.example")
}

// TestProgramEraseRemoved: what was kept of a profile that is no more can be erased
// without all else, by its number.
func TestProgramEraseRemoved(t *testing.T) {
	h := child(t)
	h.must("rules", "deny", "unmistakable.example", "--profile", "Lea")
	h.tool("kdig", "secret-thing.unmistakable.example", "A")
	number := strconv.Itoa(int(h.only().Profile))
	if _, _, code := h.run("erase", number, "--yes"); code == 0 {
		t.Error("a number stands for a profile that has a name")
	}
	wantNone(t, "what all is", h.must("erase", "all", "--dry-run"), "removed")
	h.must("devices", "profile", "Phone", "Adults")
	wantAll(t, "removing", h.must("profiles", "remove", "Lea"), "To delete it now: ", "erase "+number)
	wantAll(t, "what all is", h.must("erase", "all", "--dry-run"), "profile "+number+", which was removed", "erase "+number)
	for _, other := range []string{"0", "-1", "999", "Lea"} {
		if _, errs, code := h.run("erase", other, "--yes"); code == 0 {
			t.Errorf("erase %s: exit code 0, %s", other, errs)
		}
	}
	wantAll(t, "erase", h.must("erase", number, "--yes"), "of profile "+number+", which was removed", "incidents: 1")
	if in := h.holds("secret-thing"); len(in) != 0 {
		t.Errorf("the name is still in %v", in)
	}
}

// TestProgramEraseWhileServing: what is in memory and under way goes too, and
// nothing of it comes back with a later attempt, a restart or a kill.
func TestProgramEraseWhileServing(t *testing.T) {
	h := child(t)
	h.must("rules", "deny", "unmistakable.example", "--profile", "Lea")
	h.tool("kdig", "secret-thing.unmistakable.example", "A") // its incident is open
	wantAll(t, "erase", h.must("erase", "Lea", "--yes"), "Erased")
	if in := h.holds("secret-thing"); len(in) != 0 {
		t.Errorf("the name is still in %v", in)
	}
	h.tool("kdig", "later-thing.unmistakable.example", "A")
	if i := h.only(); i.Tries != 1 || i.TopName != "later-thing.unmistakable.example" {
		t.Errorf("the attempt after it: %+v", i)
	}
	if in := h.holds("secret-thing"); len(in) != 0 {
		t.Errorf("after another attempt the name is in %v", in)
	}
	h.tool("kdig", "third-thing.unmistakable.example", "A") // perhaps not stored yet
	h.stop(syscall.SIGKILL)
	h.must("erase", "all", "--yes")
	h.start()
	wantAll(t, "incidents after a kill and an erasure", h.must("incidents"), "All calm")
	for _, text := range []string{"secret-thing", "later-thing", "third-thing"} {
		if in := h.holds(text); len(in) != 0 {
			t.Errorf("%q is in %v", text, in)
		}
	}
}

// only returns the home's only incident.
func (h *home) only() incidentView {
	h.t.Helper()
	var r incidentsReply
	h.into(&r, "incidents")
	if len(r.Incidents) != 1 {
		h.t.Fatalf("there are %d incidents, want 1", len(r.Incidents))
	}
	return r.Incidents[0]
}

// TestProgramHelpIsNeverKept: no byte of the data folder tells that somebody
// looked for help, at any hour and in any profile, while what is beside it is kept.
func TestProgramHelpIsNeverKept(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	for _, about := range [][]string{{"pause", "all"}, {"resume", "all"}, {"profiles", "choose", "Everyone", "self-harm", "watch"}, {"profiles", "guests", "Everyone", "on"}} {
		h.must(about...)
		h.tool("kdig", "looking-for-help.www.childline.org.uk", "A")
		h.tool("kdig", "www.childline.org.uk", "A")
		h.tool("kdig", "omegle.com", "A")
	}
	h.must("incidents")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"looking-for-help", "www.childline"} {
		for _, file := range h.holds(name) {
			if file != "index" { // the catalogue: whom it keeps open, not who asked
				t.Errorf("%s holds %q", file, name)
			}
		}
	}
	if len(h.holds("omegle.com")) == 0 {
		t.Error("nothing at all is kept")
	}
}

// TestProgramRetention: a shorter time holds at once, is undone like any change,
// and what is old is forgotten when serve starts.
func TestProgramRetention(t *testing.T) {
	h := child(t)
	h.tool("kdig", "omegle.com", "A")
	h.must("incidents")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(h.data, store.FileName), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	young, err := db.OpenIncidents(t.Context(), time.Time{}, 1)
	if err != nil || len(young) != 1 {
		t.Fatal(young, err)
	}
	aged := func(id string, days int) journal.Row {
		r := young[0]
		r.ID, r.Key = id, ""
		r.First, r.Last = r.First.AddDate(0, 0, -days), r.Last.AddDate(0, 0, -days)
		return r
	}
	if err := db.Write(t.Context(), journal.Batch{Rows: []journal.Row{aged("aaaaaaaaaaaaaaaa", 40), aged("bbbbbbbbbbbbbbbb", 80), aged("cccccccccccccccc", 200)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		var r incidentsReply
		h.into(&r, "incidents", "--since", "365d")
		return len(r.Incidents)
	}
	if n := count(); n != 4 {
		t.Fatalf("%d incidents, want 4", n)
	}
	wantAll(t, "retention", h.must("retention"), "90 days")
	wantAll(t, "a longer time", h.must("retention", "set", "100", "anonymous-chat"), "kept for 100 days", "Forgotten now: 1 incident")
	if n := count(); n != 3 {
		t.Errorf("%d incidents after 100 days, want 3", n)
	}
	out := h.must("retention", "set", "60", "Chat with strangers")
	wantAll(t, "a shorter time", out, "kept for 60 days", "weakens protection", "Forgotten now: 1 incident")
	wantAll(t, "retention", h.must("retention"), "anonymous-chat (Chat with strangers): 60 days")
	wantAll(t, "the export", h.must("families", "export"), "retention:", "anonymous-chat: 60")
	h.must("changes", "undo", "5")
	wantAll(t, "retention after an undo", h.must("retention"), "100 days")

	// Serve forgets by itself.
	h.must("families", "apply", h.write("family.yaml", strings.Replace(h.must("families", "export"), "anonymous-chat: 100", "anonymous-chat: 20", 1)))
	if n := count(); n != 2 {
		t.Errorf("%d incidents; a file alone forgets nothing", n)
	}
	h.start()
	for count() != 1 { // at its start, beside answering
	}
}

// write makes a file beside the data folder.
func (h *home) write(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}
