package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLicences: docs/licences.md has each module of go.mod, those that others bring
// along too, with the licences that its own files state; CONTRIBUTING.md says the same
// of the direct ones. A module whose licence is not known here fails the test.
func TestLicences(t *testing.T) {
	args := []string{"list", "-m", "-json"}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(readFile(t, "go.mod"), -1) {
		args = append(args, m[1])
		direct[m[1]] = m[2] == ""
	}
	if len(direct) < 60 {
		t.Fatalf("go.mod has %d dependencies", len(direct))
	}
	shipped := map[string]bool{}
	for path := range strings.SplitSeq(goSays(t, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/kinward"), "\n") {
		shipped[path] = true
	}
	said := map[string]string{}
	for _, m := range moduleRow.FindAllStringSubmatch(readFile(t, "CONTRIBUTING.md"), -1) {
		said[m[1]] = m[3]
	}

	var rows []string
	for d := json.NewDecoder(strings.NewReader(goSays(t, args...))); ; {
		var m struct{ Path, Version, Dir string }
		if err := d.Decode(&m); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Dir == "" { // nothing needed it on this machine until now
			if err := json.Unmarshal([]byte(goSays(t, "mod", "download", "-json", m.Path+"@"+m.Version)), &m); err != nil {
				t.Fatal(err)
			}
		}
		found := strings.Join(licencesOf(t, m.Dir), " and ")
		if found == "" {
			t.Errorf("%s: no licence that is known here in %s", m.Path, m.Dir)
		}
		if direct[m.Path] && said[m.Path] != found {
			t.Errorf("%s: CONTRIBUTING.md says %q, its files say %q", m.Path, said[m.Path], found)
		}
		where := "tests, or other systems"
		if shipped[m.Path] {
			where = "the program"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", m.Path, found, where))
	}
	slices.Sort(rows)
	holdDocument(t, "docs/licences.md", `# Licences

<!-- Made by make docs. Change what it says of: go.mod, and not this file. -->

Kinward is under the [Apache License 2.0](../LICENSE). These are the modules of others that it is built or tested with, the
licence that the files of each state, and whether any of its code is in the program (linux/amd64). Go itself and its standard library are
under BSD-3-Clause. Why there is each direct one is in [CONTRIBUTING.md](../CONTRIBUTING.md#dependencies). Who passes on
the program passes on their notices with it: `+"`go mod vendor`"+` gathers their files.

| module | licence | in |
|---|---|---|
`+strings.Join(rows, ""))
}

// TestLibcIsTheDatabases: modernc.org/sqlite is C that was translated for one version of
// modernc.org/libc, and its makers want that very version (their issue 177).
// Another module that asks for a later one must not move it.
func TestLibcIsTheDatabases(t *testing.T) {
	var module struct{ GoMod string }
	if err := json.Unmarshal([]byte(goSays(t, "list", "-m", "-json", "modernc.org/sqlite")), &module); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(module.GoMod)
	if err != nil {
		t.Fatal(err)
	}
	libc := regexp.MustCompile(`(?m)^\s*modernc\.org/libc (v\S+)`)
	want, got := libc.FindStringSubmatch(string(theirs)), libc.FindStringSubmatch(readFile(t, "go.mod"))
	if want == nil || got == nil {
		t.Fatalf("no version of libc: %q, %q", want, got)
	}
	if want[1] != got[1] {
		t.Errorf("go.mod has modernc.org/libc %s, modernc.org/sqlite wants %s: go get modernc.org/libc@%[2]s, and hold back what asks for another", got[1], want[1])
	}
}

// goSays runs the go command at the top of the tree.
func goSays(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64") // what others leave out or add does not change the document
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// licenceWords are what only the text of a licence says, and all of it has to be
// there; the first that fits is it.
var licenceWords = []struct {
	id    string
	words []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0, January 2004"}},
	{"MPL-2.0", []string{"Mozilla Public License Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License, version 2.0"}},
	{"CC0-1.0", []string{"CC0 1.0 Universal"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "may be used to endorse or promote products derived from"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"MIT", []string{"Permission is hereby granted, free of charge"}},
}

// licencesOf returns the licences in the topmost folder of a module, in the order
// of their names.
func licencesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range files {
		if !regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.(md|txt))?$`).MatchString(f.Name()) || f.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(b)), " ")
		for _, l := range licenceWords {
			if !slices.ContainsFunc(l.words, func(w string) bool { return !strings.Contains(text, w) }) {
				ids = append(ids, l.id)
				// Some files have one licence, and then another for what was added to it.
				if l.id != "Apache-2.0" && strings.Contains(text, "Licensed under the Apache License, Version 2.0") {
					ids = append(ids, "Apache-2.0")
				}
				break
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
