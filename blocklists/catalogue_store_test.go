package blocklists

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// embeddedTree is the embedded data folder, to be changed.
func embeddedTree(t testing.TB) fstest.MapFS {
	t.Helper()
	files, err := readCatalogueFiles(EmbeddedFiles())
	if err != nil {
		t.Fatal(err)
	}
	m := fstest.MapFS{}
	for name, data := range files {
		m[name] = &fstest.MapFile{Data: data}
	}
	return m
}

// edit replaces the first old in a file.
func edit(files fstest.MapFS, file, old, with string) fstest.MapFS {
	data := string(files[file].Data)
	if !strings.Contains(data, old) {
		panic(fmt.Sprintf("%s holds no %q", file, old))
	}
	files[file] = &fstest.MapFile{Data: []byte(strings.Replace(data, old, with, 1))}
	return files
}

const zzz = "\nservice zzz-new\n  name New Chat\n  domain newchat.example.com suffix low -\n"

func withNew(t testing.TB) fstest.MapFS {
	files := embeddedTree(t)
	f := files["catalogue/anonymous-chat.txt"]
	files["catalogue/anonymous-chat.txt"] = &fstest.MapFile{Data: append(slices.Clone(f.Data), zzz...)}
	return files
}

// dropLines removes the lines that drop tells.
func dropLines(files fstest.MapFS, file string, drop func(i int, line string) bool) fstest.MapFS {
	var kept []string
	for i, line := range strings.Split(string(files[file].Data), "\n") {
		if !drop(i, line) {
			kept = append(kept, line)
		}
	}
	files[file] = &fstest.MapFile{Data: []byte(strings.Join(kept, "\n"))}
	return files
}

func openStore(t testing.TB, dir string) *CatalogueStore {
	t.Helper()
	public, _ := testKey(1)
	s, err := OpenCatalogueStore(dir, public)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// take checks and takes an update that must be good.
func take(t testing.TB, s *CatalogueStore, file []byte) *CatalogueUpdate {
	t.Helper()
	u, err := s.Check(file, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Take(u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCatalogueStore_takesAndRollsBack(t *testing.T) {
	_, private := testKey(1)
	dir := t.TempDir()
	s := openStore(t, dir)
	if e := s.Current().Edition; e.Version != EmbeddedVersion || e.Key != "" || s.Problem() != nil {
		t.Fatalf("a new folder holds %+v, %v", e, s.Problem())
	}
	if _, err := s.Rollback(); !errors.Is(err, ErrNothingToUndo) {
		t.Errorf("Rollback of nothing = %v", err)
	}
	v2, v3, v4 := mustPack(t, withNew(t), 2, private), mustPack(t, withNew(t), 3, private), mustPack(t, embeddedTree(t), 4, private)
	u := take(t, s, v2)
	if want := []string{"zzz-new"}; !slices.Equal(u.Diff.Services.Added, want) || !slices.Equal(u.Diff.Domains.Added, []string{"newchat.example.com"}) {
		t.Errorf("diff %+v, want %v added", u.Diff, want)
	}
	take(t, s, v3)
	wantVersion := func(what string, s *CatalogueStore, version int) {
		t.Helper()
		if got := s.Current().Edition.Version; got != version || s.Problem() != nil {
			t.Errorf("%s: version %d, %v, want %d", what, got, s.Problem(), version)
		}
	}
	wantVersion("after two updates", s, 3)
	s = openStore(t, dir)
	wantVersion("after a restart", s, 3)
	if _, ok := s.Current().Service("zzz-new"); !ok {
		t.Error("the service of the update is gone after a restart")
	}

	for _, tt := range []struct {
		name string
		file []byte
		want error
	}{
		{"an older version", v2, ErrNotNewer},
		{"the same version with other content", mustPack(t, embeddedTree(t), 3, private), ErrNotNewer},
		{"a version that the program has itself", mustPack(t, withNew(t), EmbeddedVersion, private), ErrNotNewer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := s.Check(tt.file, true); !errors.Is(err, tt.want) {
				t.Errorf("Check = %v, want %v", err, tt.want)
			}
		})
	}
	if u, err := s.Check(v3, false); err != nil || !u.Same {
		t.Errorf("Check of what is in force = %+v, %v; want Same", u, err)
	}

	late, err := s.Check(v4, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	wantVersion("after the rollback", s, 2)
	wantVersion("after the rollback and a restart", openStore(t, dir), 2)
	s = openStore(t, dir)
	if _, err := s.Check(v3, true); !errors.Is(err, ErrNotNewer) || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("Check of what was rolled back = %v", err)
	}
	if err := s.Take(late); err != nil {
		t.Errorf("Take of a newer one = %v", err)
	}
	for range 2 {
		if _, err := s.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	wantVersion("after all rollbacks", s, EmbeddedVersion)
	if _, err := s.Check(v4, true); !errors.Is(err, ErrNotNewer) {
		t.Errorf("Check of what was rolled back = %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "catalogue-*"))
	if err != nil || len(files) != 0 {
		t.Errorf("files %v stay behind", files)
	}
}

// An update that was overtaken between its check and its taking is refused.
func TestCatalogueStore_Take_overtaken(t *testing.T) {
	_, private := testKey(1)
	s := openStore(t, t.TempDir())
	slow, err := s.Check(mustPack(t, withNew(t), 2, private), false)
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, mustPack(t, withNew(t), 3, private))
	if err := s.Take(slow); !errors.Is(err, ErrNotNewer) {
		t.Errorf("Take = %v", err)
	}
}

// Whatever happens to the files, a catalogue is in force, and what happened is
// said.
func TestCatalogueStore_damage(t *testing.T) {
	public, private := testKey(1)
	other, _ := testKey(2)
	v2 := mustPack(t, withNew(t), 2, private)
	stored := func(dir string) string {
		files, err := filepath.Glob(filepath.Join(dir, "catalogue-2.*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files %v, %v", files, err)
		}
		return files[0]
	}
	write := func(file string, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		key    []byte
		damage func(dir string)
		want   error
	}{
		{"no key", nil, func(string) {}, ErrNoCatalogueKey},
		{"another key", other, func(string) {}, ErrWrongKey},
		{"the file is gone", public, func(dir string) { os.Remove(stored(dir)) }, os.ErrNotExist},
		{"the file is cut", public, func(dir string) { write(stored(dir), v2[:1000]) }, ErrPackDamaged},
		{"a bit is changed", public, func(dir string) {
			write(stored(dir), bytes.Replace(v2, []byte("New Chat"), []byte("New Cha4"), 1))
		}, ErrPackDamaged},
		{"the file is huge", public, func(dir string) { write(stored(dir), make([]byte, MaxCatalogueFile+1)) }, ErrPackTooLarge},
		{"the state is no JSON", public, func(dir string) { write(filepath.Join(dir, catalogueStateFile), []byte("{")) }, ErrLostCatalogue},
		{"the state leads elsewhere", public, func(dir string) {
			write(filepath.Join(dir, catalogueStateFile), []byte(`{"format":1,"current":{"version":2,"date":"","sha256":"../../etc/passwd"}}`))
		}, ErrLostCatalogue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			take(t, openStore(t, dir), v2)
			tt.damage(dir)
			s, err := OpenCatalogueStore(dir, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Problem(); !errors.Is(err, tt.want) || !errors.Is(err, ErrLostCatalogue) || s.Current().Edition.Version != EmbeddedVersion {
				t.Errorf("version %d, %v; want the program's own, and %v", s.Current().Edition.Version, err, tt.want)
			}
			if len(tt.key) == 0 {
				return
			}
			if bytes.Equal(tt.key, public) { // the very file mends it
				take(t, s, v2)
				s = openStore(t, dir)
				if s.Problem() != nil || s.Current().Edition.Version != 2 {
					t.Errorf("after taking it again: version %d, %v", s.Current().Edition.Version, s.Problem())
				}
				if e, ok := s.Previous(); !ok || e.Version != EmbeddedVersion { // what was damaged is nothing to go back to
					t.Errorf("after taking it again: a rollback leads to %+v, %t", e, ok)
				}
				return
			}
			if _, err := s.Rollback(); err != nil || s.Problem() != nil {
				t.Errorf("Rollback = %v, %v", err, s.Problem())
			}
		})
	}
}

func TestCatalogueStore_Copy(t *testing.T) {
	_, private := testKey(1)
	from, to := t.TempDir(), t.TempDir()
	s := openStore(t, from)
	if err := s.Copy(to); err != nil { // nothing yet
		t.Fatal(err)
	}
	take(t, s, mustPack(t, withNew(t), 2, private))
	if err := s.Copy(to); err != nil {
		t.Fatal(err)
	}
	if c := openStore(t, to); c.Current().Edition != s.Current().Edition || c.Problem() != nil {
		t.Errorf("the copy holds %+v, %v", c.Current().Edition, c.Problem())
	}
}

func TestCatalogueStore_Check_guards(t *testing.T) {
	_, private := testKey(1)
	const chat = "catalogue/anonymous-chat.txt"
	half := func(file string) fstest.MapFS {
		n := strings.Count(string(embeddedTree(t)[file].Data), "\n")
		return dropLines(embeddedTree(t), file, func(i int, _ string) bool { return i > n/3 })
	}
	noDating := embeddedTree(t)
	delete(noDating, "catalogue/dating.txt")
	manyQuiet := embeddedTree(t)
	var rows strings.Builder
	rows.Write(manyQuiet["quiet.tsv"].Data)
	for i := range 200 {
		fmt.Fprintf(&rows, "q%d.example.net\tsuffix\tWhy.\ts\t2026-12\n", i)
	}
	manyQuiet["quiet.tsv"] = &fstest.MapFile{Data: []byte(rows.String())}
	dropHelp := func(files fstest.MapFS, host string) fstest.MapFS {
		return dropLines(files, "reachable.tsv", func(_ int, line string) bool { return strings.Contains(line, "\t"+host+"\t") })
	}
	blocked := func(files fstest.MapFS, domain string) fstest.MapFS {
		return edit(files, chat, "domain newchat.example.com", "domain "+domain)
	}
	for _, tt := range []struct {
		name   string
		files  fstest.MapFS
		accept bool
		want   error
	}{
		{"a help name is withdrawn", dropHelp(embeddedTree(t), "maennerinfo.at"), false, nil},
		{"help is mostly gone", half("reachable.tsv"), false, ErrCatalogueShrunk},
		{"help is mostly gone, accepted", half("reachable.tsv"), true, nil},
		{"a category is gone", noDating, false, ErrCatalogueShrunk},
		{"shared hosts are mostly gone", dropLines(embeddedTree(t), "shared-hosts.tsv", func(i int, line string) bool { return i > 20 && !strings.HasPrefix(line, "graph") }), false, ErrCatalogueShrunk},
		{"many more quiet names", manyQuiet, false, ErrCatalogueGrown},
		{"many more quiet names, accepted", manyQuiet, true, nil},
		{"a help name is withdrawn and blocked at once", blocked(dropHelp(withNew(t), "maennerinfo.at"), "maennerinfo.at"), true, ErrBlocksProtected},
		{"a name below one", blocked(dropHelp(withNew(t), "maennerinfo.at"), "www.maennerinfo.at"), true, ErrBlocksProtected},
		{"a name above one", blocked(dropHelp(withNew(t), "goaskalice.columbia.edu"), "columbia.edu"), true, ErrBlocksProtected},
		{"a shared host is withdrawn and blocked at once", blocked(dropLines(withNew(t), "shared-hosts.tsv", func(_ int, line string) bool { return strings.HasPrefix(line, "giphy.com") }), "giphy.com"), true, ErrBlocksProtected},
		{"a shared host is withdrawn and matched exactly", edit(dropLines(withNew(t), "shared-hosts.tsv", func(_ int, line string) bool { return strings.HasPrefix(line, "giphy.com") }), chat, "domain newchat.example.com suffix", "domain giphy.com exact"), true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			_, err := s.Check(mustPack(t, tt.files, 2, private), tt.accept)
			if !errors.Is(err, tt.want) {
				t.Errorf("Check = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDiffCatalogues(t *testing.T) {
	old := mustEmbedded(t)
	files := edit(withNew(t), "catalogue/dating.txt", "name Tinder\n", "name Tinder!\n")
	files = edit(files, "catalogue/dating.txt", "domain tinder.com suffix", "domain tinder.com optional")
	files = dropLines(files, "reachable.tsv", func(_ int, line string) bool { return strings.Contains(line, "\tmaennerinfo.at\t") })
	files = dropLines(files, "quiet.tsv", func(_ int, line string) bool { return strings.HasPrefix(line, "t.co") })
	files = edit(files, "shared-hosts.tsv", "giphy.com\t", "giphy.com\tPictures: ")
	next, err := readCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	d := DiffCatalogues(old, next)
	for _, tt := range []struct {
		what      string
		got, want []string
	}{
		{"services added", d.Services.Added, []string{"zzz-new"}},
		{"services changed", d.Services.Changed, []string{"tinder"}},
		{"services removed", d.Services.Removed, nil},
		{"domains added", d.Domains.Added, []string{"newchat.example.com"}},
		{"domains changed", d.Domains.Changed, []string{"tinder.com"}},
		{"help removed", d.Help.Removed, []string{"maennerinfo.at"}},
		{"quiet removed", d.Quiet.Removed, []string{"t.co"}},
		{"shared changed", d.Shared.Changed, []string{"giphy.com"}},
		{"gateways added", d.Gateways.Added, nil},
		{"categories changed", d.Categories.Changed, nil},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	if !DiffCatalogues(old, old).Empty() || d.Empty() {
		t.Error("Empty is wrong")
	}
}

func TestIsCatalogueFile(t *testing.T) {
	e := Edition{Version: 2147483647, SHA256: strings.Repeat("0123456789abcdef", 4)}
	if !isCatalogueFile(e.fileName()) {
		t.Errorf("%s is none", e.fileName())
	}
	for _, name := range []string{
		"", "catalogue.json", "catalogue-.0123456789abcdef.signed", "catalogue-1x.0123456789abcdef.signed",
		"catalogue-12345678901.0123456789abcdef.signed", "catalogue-1.0123456789ABCDEF.signed", "catalogue-1.0123.signed",
		"catalogue-1.0123456789abcdef.list", "catalogue-1.0123456789abcdef.signed.old", "a-1.0123456789abcdef.signed",
	} {
		if isCatalogueFile(name) {
			t.Errorf("%q is one", name)
		}
	}
}
