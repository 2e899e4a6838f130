package blocklists

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
)

// versioned gives lists a version, so that their index can be kept.
func versioned(lists ...ListInput) []ListInput {
	for i := range lists {
		lists[i].Version = fmt.Sprint("v", i)
	}
	return lists
}

func sampleLists() []ListInput {
	return versioned(
		listOf("a", Dating, "example.com", "=host.shared.net", "a.b.c.d.e.example.org"),
		listOf("b", Adult, "chat.example.com", "@good.example.com", "!bad.example.com"),
	)
}

func TestIndexFile(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	lists := sampleLists()
	x, err := Compile(c, lists)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if _, err := OpenIndex(path, c, lists); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenIndex of no file = %v; want ErrNotExist", err)
	}
	if err := x.WriteFile(path, c, lists); err != nil {
		t.Fatal(err)
	}
	y, err := OpenIndex(path, c, lists)
	if err != nil {
		t.Fatal(err)
	}
	asked := []string{
		"example.com", "www.example.com", "good.example.com", "x.bad.example.com", "host.shared.net", "x.host.shared.net",
		"a.b.c.d.e.example.org", "omegle.com", "www.childline.org.uk", "nothing.example",
	}
	for _, s := range c.Services {
		asked = append(asked, s.Domains[0].Name.String())
	}
	for _, name := range asked {
		if got, want := known(y, name), known(x, name); got != want {
			t.Errorf("%s is known as %q from the file; want %q", name, got, want)
		}
	}
	if y.Names() != x.Names() || y.Bytes() != x.Bytes() || !slices.Equal(y.Lists(), x.Lists()) || y.Generation() == x.Generation() {
		t.Errorf("the file's index has %d names in %d bytes of lists %v; want %d, %d, %v, and a generation of its own",
			y.Names(), y.Bytes(), y.Lists(), x.Names(), x.Bytes(), x.Lists())
	}

	// What happens to the file later is nothing to an index that was read.
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if got := known(y, "www.example.com"); got == "" {
		t.Error("after the file was cut short, its index knows nothing")
	}
	if leftover, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".index-*")); len(leftover) > 0 {
		t.Errorf("left over: %q", leftover)
	}
}

func TestIndexFileStale(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	lists := sampleLists()
	x, err := Compile(c, lists)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := x.WriteFile(path, c, lists); err != nil {
		t.Fatal(err)
	}
	other := *c
	other.Reachable = other.Reachable[1:]
	for _, tt := range []struct {
		name  string
		c     *Catalogue
		lists func([]ListInput) []ListInput
	}{
		{"another version of a list", c, func(l []ListInput) []ListInput { l[0].Version = "v9"; return l }},
		{"a list in another category", c, func(l []ListInput) []ListInput { l[0].Category = Gambling; return l }},
		{"another name of a list", c, func(l []ListInput) []ListInput { l[0].Name = "other"; return l }},
		{"a list less", c, func(l []ListInput) []ListInput { return l[:1] }},
		{"another order", c, func(l []ListInput) []ListInput { slices.Reverse(l); return l }},
		{"a list without a version", c, func(l []ListInput) []ListInput { l[1].Version = ""; return l }},
		{"another catalogue", &other, func(l []ListInput) []ListInput { return l }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := OpenIndex(path, tt.c, tt.lists(sampleLists())); !errors.Is(err, ErrIndexStale) {
				t.Errorf("OpenIndex = %v; want ErrIndexStale", err)
			}
		})
	}
	if err := x.WriteFile(path, c, []ListInput{listOf("a", Dating)}); err == nil {
		t.Error("WriteFile keeps an index of a list without a version")
	}
}

// TestIndexFileDamaged cuts and changes a file at every place that means
// something, and many that do not.
func TestIndexFileDamaged(t *testing.T) {
	lists := sampleLists()
	c := &Catalogue{}
	x, err := Compile(c, lists)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := x.WriteFile(path, c, lists); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIndex(path, c, lists); !errors.Is(err, ErrIndexDamaged) && !errors.Is(err, ErrIndexStale) {
			t.Errorf("%s: OpenIndex = %v; want a damaged or a stale index", what, err)
		}
	}
	for n := 0; n < len(whole); n += 1 + n/40 {
		try(fmt.Sprintf("cut at %d", n), whole[:n])
		bent := slices.Clone(whole)
		bent[n] ^= 0x10
		try(fmt.Sprintf("changed at %d", n), bent)
	}
	try("longer", append(slices.Clone(whole), 0))
	try("of zeros", make([]byte, len(whole)))
	try("a text", bytes.Repeat([]byte("example.com\n"), 100))
}

// A table in which no bucket ends is refused, also where slots are free: a search for a name that is not there would not end.
func TestIndexFileWithoutAnEnd(t *testing.T) {
	c := &Catalogue{}
	x, err := Compile(c, sampleLists())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.check(c); err != nil {
		t.Fatal(err)
	}
	clear(x.slots)
	x.names = x.buckets
	for last := slotsPerBucket - 1; last < len(x.slots); last += slotsPerBucket {
		x.slots[last] = 1 << x.nodeBits
	}
	if err := x.check(c); !errors.Is(err, ErrIndexDamaged) {
		t.Errorf("got %v, want a damaged index", err)
	}
}

func FuzzOpenIndex(f *testing.F) {
	lists := sampleLists()
	x, err := Compile(&Catalogue{}, lists)
	if err != nil {
		f.Fatal(err)
	}
	inputs, _ := inputsSum(&Catalogue{}, lists)
	var b bytes.Buffer
	if err := x.write(&b, inputs); err != nil {
		f.Fatal(err)
	}
	whole := b.Bytes()[:b.Len()-16] // but for the sum
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(indexMagic))
	path := filepath.Join(f.TempDir(), "index")
	f.Fuzz(func(t *testing.T, content []byte) {
		sum := xxh3.Hash128(content).Bytes() // else nothing is read behind it
		if err := os.WriteFile(path, slices.Concat(content, sum[:]), 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := OpenIndex(path, &Catalogue{}, lists); err == nil {
			x.Lookup(MustName("www.example.com"))
		}
	})
}
