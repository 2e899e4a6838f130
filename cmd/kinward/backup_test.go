package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive makes a backup with the files given; sums are right unless bent.
func archive(t testing.TB, files map[string]string, bent map[string]bool) string {
	t.Helper()
	m := manifest{Kinward: "test", Files: map[string]string{}}
	for name, text := range files {
		sum := sha256.Sum256([]byte(text))
		if bent[name] {
			sum[0]++
		}
		m.Files[name] = hex.EncodeToString(sum[:])
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	add := func(name string, text []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	add(manifestFile, text)
	for name, text := range files {
		add(name, []byte(text))
	}
	w.Close()
	z.Close()
	path := filepath.Join(t.TempDir(), "backup.tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackRefuses(t *testing.T) {
	whole := map[string]string{databaseFile: "a", "lists/lists.json": "{}"}
	with := func(name string) map[string]string {
		files := map[string]string{name: "x"}
		for k, v := range whole {
			files[k] = v
		}
		return files
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		bent  map[string]bool
		want  string
	}{
		{"whole", whole, nil, ""},
		{"a file that is not what its sum says", whole, map[string]bool{databaseFile: true}, "damaged"},
		{"no database", map[string]string{"lists/lists.json": "{}"}, nil, "no database"},
		{"no lists", map[string]string{databaseFile: "a"}, nil, "no lists"},
		{"a way out of the folder", with("lists/../../out"), nil, "does not speak of"},
		{"an absolute path", with("/etc/kinward"), nil, "does not speak of"},
		{"a folder further down", with("lists/a/b"), nil, "does not speak of"},
		{"another file", with("lock"), nil, "does not speak of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := unpack(archive(t, tt.files, tt.bent), t.TempDir())
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("unpack = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// TestMoveIntoRefuses: whoever answers at the socket cannot choose what is read
// and deleted.
func TestMoveIntoRefuses(t *testing.T) {
	data := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(data, ".backup-link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{victim, "../victim", ".backup-link", ".backup-missing", "kinward.db"} {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		if err := moveInto(out, data, name); err == nil {
			t.Errorf("moveInto takes %q", name)
		} else if strings.Contains(err.Error(), "%!") {
			t.Errorf("%q is refused with %q", name, err)
		}
		out.Close()
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("the victim: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	good, err := os.ReadFile(archive(f, map[string]string{databaseFile: "a", "lists/lists.json": "{}"}, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = unpack(path, t.TempDir())
	})
}
