package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramExitCodes: one rule for all commands, as README and --help say it.
func TestProgramExitCodes(t *testing.T) {
	h := &home{t: t, data: t.TempDir()} // without serve: the same operations
	folder := t.TempDir()
	there, missing, list := filepath.Join(folder, "there"), filepath.Join(folder, "missing"), filepath.Join(folder, "list")
	for name, text := range map[string]string{there: "a file that was there", list: "strangers.example\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "192.168.1.31", "--name", "Phone", "--profile", "Lea")
	h.must("guardians", "add", "Eva")
	h.must("lists", "add", list, "--category", "dating", "--id", "ours")
	for code, commands := range map[int][][]string{
		exitUsage: { // what is to be made is there already
			{"backup", there},
			{"incidents", "export", "--out", there},
			{"lists", "catalogue", "keygen", there},
			{"lists", "add", list, "--category", "dating", "--id", "ours"},
			{"profiles", "add", "Lea", "D"},
			{"devices", "add", "192.168.1.32", "--name", "Phone"},
			{"guardians", "add", "Eva"},
			{"families", "add", "Home"},
			// The command line is wrong.
			{"nope"},
			{"help", "nope"},
			{"help", "devices", "nope"},
			{"devices", "nope"},
			{"devices", "add"},
			{"today", "--nope"},
			{"profiles", "add", "Tom", "Z"},
			{"lists", "verify", list, "--format", "nope"},
		},
		exitNothing: { // what was named does not exist
			{"restore", missing},
			{"lists", "add", missing, "--category", "dating"},
			{"lists", "verify", missing},
			{"lists", "catalogue", "pack", missing, "--key", missing, "--version", "9"},
			{"families", "apply", missing},
			{"alerts", "add", "push", missing, "--guardian", "Eva"},
			{"check", "--config", missing},
			{"today", "--config", missing},
			{"lists", "add", list, "--category", "nope"},
			{"lists", "services", "--category", "nope"},
			{"lists", "services", "show", "nope"},
			{"lists", "directory", "nope"},
			{"lists", "update", "nope"},
			{"lists", "remove", "nope"},
			{"incidents", "--category", "nope"},
			{"incidents", "show", "0199aa9c7f01"},
			{"retention", "set", "14", "nope"},
			{"profiles", "choose", "Lea", "nope", "block"},
			{"profiles", "log", "Lea", "nope", "count"},
			{"profiles", "show", "Nope"},
			{"search", "set", "Lea", "nope", "safe"},
			{"grants", "add", "nope", "--profile", "Lea", "--for", "15m"},
			{"schedules", "add", "Lea", "X", "block", "nope", "20:00-21:00"},
			{"devices", "remove", "Nope"},
			{"guardians", "remove", "Nope"},
			{"rules", "remove", "77"},
			{"changes", "undo", "77"},
			{"requests", "answer", "77", "15m"},
		},
	} {
		for _, args := range commands {
			out, errs, got := h.run(args...)
			if got != code {
				t.Errorf("kinward %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
			}
			if errs == "" {
				t.Errorf("kinward %s says nothing of why it failed", strings.Join(args, " "))
			}
		}
	}
	if out := h.must("help", "devices", "add"); !strings.Contains(out, "devices add CLUE") {
		t.Errorf("help of a command is\n%s", out)
	}
}

// TestProgramNoDataFolder: a command that only looks makes no data folder, and
// says what to do; one that begins something makes the one that was named.
func TestProgramNoDataFolder(t *testing.T) {
	run := func(data string, args ...string) (string, int) {
		cmd := exec.Command(binary, append(args, "--data", data)...)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	mistyped := filepath.Join(t.TempDir(), "mistyped")
	empty := t.TempDir()
	for _, data := range []string{mistyped, empty} {
		for _, args := range [][]string{
			{"today"},
			{"incidents"},
			{"incidents", "follow"},
			{"incidents", "export"},
			{"incidents", "views"},
			{"profiles"},
			{"profiles", "show", "Lea"},
			{"profiles", "my", "Lea"},
			{"devices"},
			{"devices", "seen"},
			{"devices", "check", "Phone"},
			{"signals"},
			{"changes"},
			{"changes", "undo", "2"},
			{"changes", "pending"},
			{"requests"},
			{"alerts"},
			{"digest", "preview"},
			{"guardians"},
			{"families"},
			{"families", "export"},
			{"rules"},
			{"search"},
			{"schedules"},
			{"holidays"},
			{"grants"},
			{"retention"},
			{"erase", "all", "--dry-run"},
			{"console"},
			{"cache"},
			{"lists"},
			{"lists", "services"},
			{"explain", "omegle.com"},
			{"backup", filepath.Join(t.TempDir(), "b")},
			{"devices", "remove", "Phone"},
			{"devices", "rename", "Phone", "Tablet"},
			{"guardians", "role", "Eva", "viewer"},
			{"grants", "revoke", "3"},
			{"resume", "all"},
			{"devices", "unexempt", "Phone"},
		} {
			out, code := run(data, args...)
			if code != exitNothing || !strings.Contains(out, "there is no Kinward data in "+data) || !strings.Contains(out, binary+" --data "+data+" serve") {
				t.Errorf("kinward %s: exit code %d\n%s", strings.Join(args, " "), code, out)
			}
		}
	}
	if out, code := run(mistyped, "doctor"); code != exitFailed || !strings.Contains(out, "there is no Kinward data in "+mistyped) { // a check that found a fault
		t.Errorf("doctor: exit code %d\n%s", code, out)
	}
	if out, code := run(mistyped, "restore", filepath.Join(empty, "no-such-file")); code != exitNothing {
		t.Errorf("restore of nothing: exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(mistyped); !os.IsNotExist(err) {
		t.Errorf("a data folder was made by commands that only look: %v", err)
	}
	if made, err := fs.Glob(os.DirFS(empty), "*"); err != nil || len(made) > 0 {
		t.Errorf("commands that only look made %q (%v)", made, err)
	}
	family := filepath.Join(t.TempDir(), "family.yaml")
	if err := os.WriteFile(family, []byte("family: Home\nunknown: Kids\nprofiles:\n  - {name: Kids, preset: C}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run(mistyped, "families", "apply", family, "--dry-run"); code != exitNothing {
		t.Errorf("a dry run: exit code %d\n%s", code, out)
	}
	for _, args := range [][]string{{"profiles", "add", "Lea", "D"}, {"families", "apply", family}, {"alerts", "add", "ntfy", "https://ntfy.example.org/kinward"}} {
		data := filepath.Join(t.TempDir(), "new")
		if out, code := run(data, args...); code != exitOK || !strings.Contains(out, "There was no Kinward data in "+data+" yet; it begins there.") {
			t.Errorf("kinward %s: exit code %d\n%s", strings.Join(args, " "), code, out)
		}
		if out, code := run(data, args...); strings.Contains(out, "begins there") {
			t.Errorf("kinward %s the second time: exit code %d\n%s", strings.Join(args, " "), code, out)
		}
	}
}

// TestProgramHintsWork: a command that a text names works when it is pasted.
func TestProgramHintsWork(t *testing.T) {
	h := &home{t: t, data: t.TempDir()}
	h.must("profiles", "add", "Lea", "D")
	for _, tt := range []struct {
		args []string
		want string // behind the program and its data folder
	}{
		{[]string{"changes", "show", "77"}, "changes"},
		{[]string{"changes", "undo", "77"}, "changes"}, // said by a package that knows no folder
		{[]string{"devices", "setup"}, "devices"},
		{[]string{"devices", "add"}, "devices add --help"},
		{[]string{"devices", "add", "--nope"}, "devices add --help"},
		{[]string{"lists", "remove"}, "lists"},
		{[]string{"grants", "revoke", "x"}, "grants"},
		{[]string{"alerts", "remove", "x"}, "alerts"},
		{[]string{"nope"}, "--help"},
		{[]string{"help", "devices", "nope"}, "devices --help"},
		{[]string{"today", "--family", "Nobody"}, "families"},
		{[]string{"rules"}, "rules allow NAME"},
	} {
		out, errs, _ := h.run(tt.args...)
		if want := binary + " --data " + h.data + " " + tt.want; !strings.Contains(out+errs, want) {
			t.Errorf("kinward %s does not name %q:\n%s%s", strings.Join(tt.args, " "), want, out, errs)
		}
	}
}
