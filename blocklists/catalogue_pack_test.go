package blocklists

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// testKey is the same in every run.
func testKey(seed byte) (ed25519.PublicKey, ed25519.PrivateKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return private.Public().(ed25519.PublicKey), private
}

func mustPack(t testing.TB, files fstest.MapFS, version int, key ed25519.PrivateKey) []byte {
	t.Helper()
	file, err := PackCatalogue(files, version, "2026-12-01", key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPackCatalogue_opensAgain(t *testing.T) {
	public, private := testKey(1)
	file, err := PackCatalogue(EmbeddedFiles(), 7, "2026-12-01", private)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCatalogue(file, public)
	if err != nil {
		t.Fatal(err)
	}
	if d := DiffCatalogues(mustEmbedded(t), c); !d.Empty() {
		t.Errorf("the packed catalogue differs: %+v", d)
	}
	if e := c.Edition; e.Version != 7 || e.Date != "2026-12-01" || e.Key != KeyFingerprint(public) || len(e.SHA256) != 64 {
		t.Errorf("edition %+v", e)
	}
	again, err := PackCatalogue(EmbeddedFiles(), 7, "2026-12-01", private)
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("packing twice gives different bytes, %v", err)
	}
	t.Logf("%d bytes", len(file))
}

func TestPackCatalogue_refuses(t *testing.T) {
	_, private := testKey(1)
	bad := tree(t)
	bad["groups.txt"].Data = []byte("group g\n")
	large := tree(t)
	large["groups.txt"].Data = append([]byte(strings.Repeat("# long\n", MaxCatalogueFile/7)), large["groups.txt"].Data...)
	for _, tt := range []struct {
		name, date string
		version    int
		files      fstest.MapFS
		want       string
	}{
		{"version 0", "2026-12-01", 0, tree(t), "version 0"},
		{"a date that is none", "2026-13-01", 1, tree(t), `date "2026-13-01"`},
		{"a folder that does not load", "2026-12-01", 1, bad, "social.txt line 3"},
		{"a folder that is too large", "2026-12-01", 1, large, "larger than a catalogue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := PackCatalogue(tt.files, tt.version, tt.date, private); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("PackCatalogue = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOpenCatalogue_refuses(t *testing.T) {
	public, private := testKey(1)
	other, otherPrivate := testKey(2)
	file := mustPack(t, tree(t), 3, private)
	// signed makes a file of a body that says what it likes, with a right signature.
	signed := func(body []byte) []byte { return appendSignature(body, ed25519.Sign(private, body)) }
	body := file[:len(file)-sigLineLength]
	replace := func(old, with string) []byte {
		if !bytes.Contains(body, []byte(old)) {
			t.Fatalf("the file holds no %q", old)
		}
		return signed(bytes.Replace(body, []byte(old), []byte(with), 1))
	}
	repack := func(change func(map[string][]byte)) []byte {
		p, err := parsePack(body)
		if err != nil {
			t.Fatal(err)
		}
		p.files = maps.Clone(p.files)
		change(p.files)
		return signed(encodePack(p))
	}
	for _, tt := range []struct {
		name string
		file []byte
		key  ed25519.PublicKey
		want error
	}{
		{"another key", file, other, ErrWrongKey},
		{"signed by another key", mustPack(t, tree(t), 3, otherPrivate), public, ErrWrongKey},
		{"no key", file, nil, ErrBadKey},
		{"nothing", nil, public, ErrNotCatalogue},
		{"a list", []byte("0.0.0.0 example.com\n"), public, ErrNotCatalogue},
		{"a web page", []byte("<!doctype html>"), public, ErrNotCatalogue},
		{"a newer form", bytes.Replace(file, []byte("kinward-catalogue 1\n"), []byte("kinward-catalogue 2\n"), 1), public, ErrNewFormat},
		{"the magic alone", []byte("kinward-catalogue 1\n"), public, ErrPackDamaged},
		{"cut short", file[:len(file)/2], public, ErrPackDamaged},
		{"without its last byte", file[:len(file)-1], public, ErrPackDamaged},
		{"something behind its end", append(slices.Clone(file), '\n'), public, ErrPackDamaged},
		{"two files joined", append(slices.Clone(file), file...), public, ErrPackDamaged},
		{"too large", append(slices.Clone(file), make([]byte, MaxCatalogueFile)...), public, ErrPackTooLarge},
		{"signed, a version with zeros", replace("version 3", "version 03"), public, ErrPackDamaged},
		{"signed, version 0", replace("version 3", "version 0"), public, ErrPackDamaged},
		{"signed, a date that is none", replace("2026-12-01", "2026-12-41"), public, ErrPackDamaged},
		{"signed, another key's fingerprint", replace(KeyFingerprint(public), KeyFingerprint(other)), public, ErrPackDamaged},
		{"signed, a wrong hash", replace("sha256 ", "sha256 0"), public, ErrPackDamaged},
		{"signed, more files than there are", replace("\nfiles 9\n", "\nfiles 10\n"), public, ErrPackDamaged},

		{"signed, too many files that are there", repack(func(f map[string][]byte) {
			for i := range maxPackFiles {
				f[fmt.Sprintf("catalogue/%d.txt", i)] = nil
			}
		}), public, ErrPackDamaged},
		{"signed, a file longer than the rest", replace("file gateways.tsv ", "file gateways.tsv 9"), public, ErrPackDamaged},
		{"signed, a file of negative length", replace("file gateways.tsv ", "file gateways.tsv -"), public, ErrPackDamaged},
		{"signed, an unknown file", repack(func(f map[string][]byte) { f["passwords.txt"] = nil }), public, ErrPackDamaged},
		{"signed, a file outside", repack(func(f map[string][]byte) { f["../groups.txt"] = nil }), public, ErrPackDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := OpenCatalogue(tt.file, tt.key)
			if !errors.Is(err, tt.want) || c != nil {
				t.Errorf("OpenCatalogue = %v, %v, want %v", c, err, tt.want)
			}
		})
	}
	for name, file := range map[string][]byte{
		"catalogue/passwords.txt": repack(func(f map[string][]byte) { f["catalogue/passwords.txt"] = nil }),
		"catalogue/x/dating.txt":  repack(func(f map[string][]byte) { f["catalogue/x/dating.txt"] = nil }),
		"quiet.tsv":               repack(func(f map[string][]byte) { delete(f, "quiet.tsv") }),
		"social.txt line 3":       repack(func(f map[string][]byte) { f["groups.txt"] = []byte("group g\n") }),
	} {
		if _, err := OpenCatalogue(file, public); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("OpenCatalogue = %v, want an error about %s", err, name)
		}
	}
}

// A single changed bit, wherever it is, makes the file worthless.
func TestOpenCatalogue_everyBitCounts(t *testing.T) {
	public, private := testKey(1)
	file := mustPack(t, tree(t), 3, private)
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(file); i += step {
		bent := slices.Clone(file)
		bent[i] ^= 1 << (i % 8)
		if c, err := OpenCatalogue(bent, public); err == nil || c != nil {
			t.Fatalf("byte %d (%q) changed, and the catalogue opens", i, file[i])
		}
	}
}

func TestParseCatalogueKey(t *testing.T) {
	public, _ := testKey(1)
	text := base64.StdEncoding.EncodeToString(public)
	if got, err := ParseCatalogueKey(text); err != nil || !got.Equal(public) {
		t.Errorf("ParseCatalogueKey(%q) = %x, %v", text, got, err)
	}
	for _, bad := range []string{"", "AAAA", text[:43], text + "=", strings.Repeat("!", 44), base64.StdEncoding.EncodeToString(make([]byte, 64))} {
		if _, err := ParseCatalogueKey(bad); !errors.Is(err, ErrBadKey) {
			t.Errorf("ParseCatalogueKey(%q) = %v", bad, err)
		}
	}
	if got := KeyFingerprint(nil); got != "" {
		t.Errorf("KeyFingerprint(nil) = %q", got)
	}
}

// What the parser accepts is written in the one way; and it never reads beyond
// the file.
func FuzzParsePack(f *testing.F) {
	_, private := testKey(1)
	file := mustPack(f, tree(f), 3, private)
	body := file[:len(file)-sigLineLength]
	f.Add(body)
	f.Add(body[:200])
	f.Add([]byte("kinward-catalogue 1\nversion 1\ndate 2026-12-01\nkey \nsha256 \nfiles 0\n"))
	f.Add([]byte(fmt.Sprintf("kinward-catalogue 1\nversion 1\ndate 2026-12-01\nkey k\nsha256 x\nfiles %d\n", maxPackFiles)))
	f.Add([]byte("kinward-catalogue 1\nversion 1\ndate 2026-12-01\nkey k\nsha256 x\nfiles 1\nfile quiet.tsv 99999999999\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePack(body)
		if err != nil {
			return
		}
		if !bytes.Equal(encodePack(p), body) {
			t.Errorf("%q is accepted, but written in another way", body)
		}
		for name := range p.files {
			if !slices.Contains(catalogueFiles, name) && !strings.HasPrefix(name, servicesFolder+"/") {
				t.Errorf("file %q is accepted", name)
			}
		}
	})
}

// FuzzOpenCatalogue opens whatever an operator's URL may give.
func FuzzOpenCatalogue(f *testing.F) {
	public, private := testKey(1)
	file := mustPack(f, tree(f), 3, private)
	f.Add(file)
	f.Add(file[:len(file)-1])
	f.Add([]byte("kinward-catalogue 1\n"))
	f.Add([]byte("kinward-catalogue 999999999999999999999\nsignature \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := OpenCatalogue(data, public); err == nil && !bytes.Equal(data, file) {
			t.Errorf("%q opens", data)
		}
	})
}
