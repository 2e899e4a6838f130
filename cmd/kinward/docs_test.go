package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Documents that are made of the program: make docs writes them, and these tests
// hold what is in the repository against what would be written now.

var updateDocs = flag.Bool("update-docs", false, "write the documents that are made of the program anew")

// madeBy stands at the head of what is made.
const madeBy = "<!-- Made by make docs. Change what it says of: its source, and not this file. -->"

// holdDocument compares a document with what is made now, or writes it.
func holdDocument(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join(top, name)
	if *updateDocs {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make docs writes it", err)
	}
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s is not what is made now (make docs writes it; -made +there):\n%s", name, d)
	}
}
