package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinward/store"
)

// longList writes a list that takes a while to compile.
func longList(t *testing.T, names int) string {
	t.Helper()
	var b strings.Builder
	for i := range names {
		fmt.Fprintf(&b, "site-%x.listed%d.example\n", i*2654435761, i%977)
	}
	file := filepath.Join(t.TempDir(), "long.txt")
	if err := os.WriteFile(file, []byte(b.String()+"last.listed.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestProgramKilledWhileCompiling ends the program without a warning at random
// moments while it adds a list. Whatever it had done by then, the next start
// has all of the list or none of it, and nothing half-made is left.
func TestProgramKilledWhileCompiling(t *testing.T) {
	u := startUpstream(t)
	h := &home{t: t, data: t.TempDir(), args: []string{"--upstream", "udp://" + u.addr}}
	file := longList(t, 150_000)
	h.start() // makes the folder: a command that is killed before it would leave none to ask
	h.stop(os.Interrupt)
	added := false
	for round := range 8 {
		cmd := exec.Command(binary, "lists", "add", file, "--id", "long", "--category", "adult", "--data", h.data)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		var e struct{ Verdict, Entry string }
		h.into(&e, "explain", "x.last.listed.example")
		var l listsReply
		h.into(&l, "lists")
		switch {
		case len(l.Lists) == 2:
			added = true
			if e.Verdict != "block" || e.Entry != "last.listed.example" || l.Lists[1].Entries != 150_001 || l.Lists[1].Problem != "" {
				t.Errorf("round %d: the list is there, and explain says %+v of %+v", round, e, l.Lists[1])
			}
			h.must("lists", "remove", "long")
		case e.Verdict != "allow":
			t.Errorf("round %d: the list is not there, and explain says %+v", round, e)
		}
		for _, pattern := range []string{".index-*", ".backup-*", ".restore-*", "lists/.tmp-*"} {
			if left, _ := filepath.Glob(filepath.Join(h.data, pattern)); len(left) > 0 {
				t.Errorf("round %d left %q", round, left)
			}
		}
	}
	if !added { // the machine is slow: once without the kill
		h.must("lists", "add", file, "--id", "long", "--category", "adult")
		h.must("lists", "remove", "long")
	}
	h.start()
	wantAll(t, "kdig", h.tool("kdig", "omegle.com"), "NXDOMAIN")
}

// TestProgramIndexFile: a kept index that is damaged, foreign or cut short
// under a running server is noticed and made anew, and never changes an answer.
func TestProgramIndexFile(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("lists", "add", longList(t, 1000), "--id", "long", "--category", "adult")
	index := filepath.Join(h.data, indexFile)
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(index, 4096); err != nil {
		t.Fatal(err)
	}
	wantAll(t, "kdig with the file cut short", h.tool("kdig", "last.listed.example"), "NXDOMAIN")
	for name, content := range map[string][]byte{
		"cut":     whole[:len(whole)/2],
		"bent":    append(append([]byte{}, whole[:len(whole)-100]...), make([]byte, 100)...),
		"foreign": []byte("hello"),
		"empty":   {},
	} {
		h.stop(os.Interrupt)
		if err := os.WriteFile(index, content, 0o600); err != nil {
			t.Fatal(err)
		}
		h.start()
		wantAll(t, "kdig after a start with a file that is "+name, h.tool("kdig", "last.listed.example"), "NXDOMAIN")
		wantAll(t, "the log", h.log.String(), "making the index anew")
		if again, err := os.ReadFile(index); err != nil || len(again) < len(whole)/2 {
			t.Errorf("the file that was %s is not made anew: %d bytes, %v", name, len(again), err)
		}
	}
	h.stop(os.Interrupt)
	h.start()
	wantNone(t, "the log of a start with a sound file", h.log.String(), "making the index anew")
}

// TestProgramDamagedLists: a record of the lists that cannot be read costs the
// home those lists, not its names nor its filter, and is said everywhere.
func TestProgramDamagedLists(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("lists", "add", longList(t, 10), "--id", "long", "--category", "adult")
	h.stop(os.Interrupt)
	if err := os.WriteFile(filepath.Join(h.data, "lists", "lists.json"), []byte("banana"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	wantAll(t, "kdig", h.tool("kdig", "omegle.com"), "NXDOMAIN")
	wantAll(t, "the log", h.log.String(), "damaged", "put_aside")
	out, _, code := h.run("doctor")
	if code != exitFailed {
		t.Errorf("doctor: exit code %d", code)
	}
	wantAll(t, "doctor", out, "put aside")
	if _, errs, code := h.run("lists", "add", longList(t, 10), "--id", "catalogue", "--category", "adult"); code == 0 || !strings.Contains(errs, "another ID") {
		t.Errorf("a list called catalogue: exit code %d, %s", code, errs)
	}
}

// TestProgramEmptiedDatabase: a database that was cut to nothing is no new home.
func TestProgramEmptiedDatabase(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("profiles", "add", "Lea", "B")
	h.stop(os.Interrupt)
	file := filepath.Join(h.data, store.FileName)
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	_, errs, code := h.run("profiles")
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, "what is said", errs, file+" is empty", "restore the last backup with "+binary, "move the file away")
	if err := os.WriteFile(file, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, _ := h.run("doctor", "--config", writeConfig(t, "upstream: ['udp://127.0.0.1:9']\n"))
	wantAll(t, "doctor", out, "restore a backup with "+binary, " --data "+h.data+" restore")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.start()
	wantAll(t, "kdig after the file is moved away", h.tool("kdig", "omegle.com"), "NXDOMAIN")
	h.stop(os.Interrupt)
	if err := errors.Join(os.RemoveAll(filepath.Join(h.data, journalFolder)), os.Truncate(file, 0)); err != nil {
		t.Fatal(err)
	}
	h.start() // as a first start that was killed leaves it
}

// TestProgramStoppedServe: a serve that does not run on holds no command up for ever.
func TestProgramStoppedServe(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.cmd.Process.Signal(syscall.SIGSTOP)
	_, errs, code := h.run("profiles")
	h.cmd.Process.Signal(syscall.SIGCONT)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	wantAll(t, "what is said", errs, "said nothing for 10s", "start it again")
	h.must("profiles")
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"bin/kinward": "bin/kinward", "[::1]:53": "[::1]:53", "": "''",
		"/srv/my data": "'/srv/my data'", "it's": `'it'\''s'`, "a;b": "'a;b'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s; want %s", in, got, want)
		}
	}
}
