package blocklists

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLibraryCopy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names.txt")
	if err := os.WriteFile(file, []byte("one.example\ntwo.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLibrary(t.TempDir(), LibraryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(t.Context(), ListSource{ID: "names", Location: file, Category: Dating}, nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := l.Copy(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Copy(dir); err == nil {
		t.Error("Copy writes into a folder that is there")
	}
	again, err := OpenLibrary(dir, LibraryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := again.Entries("names", func(e Entry) error { got = append(got, e.Name.String()); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one.example", "two.example"}; !slices.Equal(got, want) {
		t.Errorf("the copy holds %q; want %q", got, want)
	}
	if s := again.Lists(); len(s) != 1 || s[0].Category != Dating {
		t.Errorf("the copy's lists are %+v", s)
	}
}
