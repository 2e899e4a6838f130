package blocklists

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type tarFile struct {
	name, text string
	link       string // not "": a symbolic link
}

func tarOf(t testing.TB, format tar.Format, files ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Typeflag: tar.TypeReg, Format: format}
		if f.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// family is an archive of the shape of UT1's: a folder a category.
func family(t testing.TB) []byte {
	return tarOf(t, tar.FormatGNU,
		tarFile{name: "lists/"},
		tarFile{name: "lists/usage", text: "words about all of it\n"},
		tarFile{name: "lists/gambling/domains", text: "bet.example\n"},
		tarFile{name: "lists/gambling/urls", text: "a.example/bet\n"},
		tarFile{name: "lists/gambling/usage", text: "# for bets\nblack\n"},
		tarFile{name: "lists/games/domains", text: "games.example\n"},
		tarFile{name: "lists/games/usage", text: "black\nwhite\n"},
		tarFile{name: "lists/spiele", link: "games"},
		tarFile{name: "lists/school/domains", text: "school.example\n"},
		tarFile{name: "lists/school/usage", text: "# to be let through\n  White\n"},
	)
}

func TestFetch_takesAMemberOfATar(t *testing.T) {
	many := make([]tarFile, 60)
	for i := range many {
		many[i] = tarFile{name: strings.Repeat("d", i+1) + "/urls", text: "x"}
	}
	one := []tarFile{{name: "dating/domains", text: "date.example\n"}, {name: "dating/urls", text: "x.example/y\n"}, {name: "dating/usage", text: "black\n"}}
	v7 := tarOf(t, tar.FormatUSTAR, tarFile{name: "domains", text: "date.example\n"})
	withoutMark(v7)
	for _, tt := range []struct {
		name    string
		archive []byte
		member  string
		want    string // the text, or
		err     error
		says    string
	}{
		{"the only list", tarOf(t, tar.FormatGNU, one...), "", "date.example\n", nil, ""},
		{"a list by its folder", tarOf(t, tar.FormatPAX, one...), "dating", "date.example\n", nil, ""},
		{"an old archive without a mark", v7, "", "date.example\n", nil, ""},
		{"of many", family(t), "lists/gambling", "bet.example\n", nil, ""},
		{"by its file", family(t), "./lists/gambling/domains", "bet.example\n", nil, ""},
		{"by its folder below a top folder", family(t), "gambling", "bet.example\n", nil, ""},
		{"a list that may also allow", family(t), "lists/games", "games.example\n", nil, ""},
		{"a list to allow", family(t), "lists/school", "", ErrAllowList, "school"},
		{"which of many?", family(t), "", "", ErrMember, "inside are lists/gambling/domains, lists/games/domains:"},
		{"by another name", family(t), "lists/spiele", "", ErrMember, "another name for lists/games"},
		{"by another name, a file", family(t), "lists/spiele/domains", "", ErrMember, "another name for lists/games"},
		{"one that is not there", family(t), "lists/chat", "", ErrMember, "no lists/chat"},
		{"no list at all", tarOf(t, tar.FormatGNU, many...), "", "", ErrMember, "and 20 more"},
		{"nothing", tarOf(t, tar.FormatGNU, tarFile{name: "d/"}), "", "", ErrMember, "no files"},
		{"a page in it", tarOf(t, tar.FormatGNU, tarFile{name: "domains", text: "<html>"}), "", "", ErrWebPage, ""},
		{"a way out", tarOf(t, tar.FormatGNU, tarFile{name: "../domains", text: "a.example"}), "", "", ErrArchive, "leads out"},
		{"a way out further in", tarOf(t, tar.FormatGNU, tarFile{name: "a/../domains", text: "a.example"}), "", "", ErrArchive, "leads out"},
		{"the root", tarOf(t, tar.FormatGNU, tarFile{name: "/etc/domains", text: "a.example"}), "", "", ErrArchive, "leads out"},
		{"a backslash", tarOf(t, tar.FormatGNU, tarFile{name: `a\domains`, text: "a.example"}), "", "", ErrArchive, "leads out"},
		{"a way out, asked for", family(t), "../lists", "", ErrArchive, "leads out"},
		{"too many files", tarOf(t, tar.FormatGNU, tooManyFiles()...), "", "", ErrArchive, "more than 100 files"},
		{"cut", family(t)[:3000], "lists/gambling", "", ErrTruncated, "came"},
		{"changed", flipped(family(t), 5*512+3), "lists/gambling", "", ErrTruncated, "came"},
	} {
		for form, pack := range map[string]func([]byte) []byte{
			"tar":    func(b []byte) []byte { return b },
			"tar.gz": func(b []byte) []byte { return gzipped(t, string(b)) },
		} {
			t.Run(tt.name+" "+form, func(t *testing.T) {
				q := from(serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(pack(tt.archive)) }))
				q.Member = tt.member
				var out textSink
				_, err := testFetcher(FetchOptions{Limits: Limits{Members: 100}}).Fetch(t.Context(), q, &out)
				if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.says) || err == nil && out.String() != tt.want {
					t.Errorf("got %q, %v; want %q, %v that says %q", out.String(), err, tt.want, tt.err, tt.says)
				}
				if (err == nil) != (out.finishes == 1) {
					t.Errorf("%v, but %d times finished", err, out.finishes)
				}
			})
		}
	}
}

func tooManyFiles() []tarFile {
	files := make([]tarFile, 101)
	for i := range files {
		files[i].name = strings.Repeat("f", i+1)
	}
	return files
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// withoutMark makes a header one of before POSIX.
func withoutMark(b []byte) {
	clear(b[257:265])
	var sum int
	copy(b[148:156], "        ")
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], []byte{'0', byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
}

// TestFetch_bombInATar: an archive that unpacks to far more than a list would,
// by gzip or by holes.
func TestFetch_bombInATar(t *testing.T) {
	zeros := strings.Repeat("a.example\n", 400_000)
	bomb := gzipped(t, string(tarOf(t, tar.FormatGNU, tarFile{name: "domains", text: zeros})))
	beside := gzipped(t, string(tarOf(t, tar.FormatGNU, tarFile{name: "domains", text: "a.example\n"}, tarFile{name: "other", text: zeros})))
	for name, body := range map[string][]byte{"the list": bomb, "beside the list": beside, "in gzip twice": gzipped(t, string(bomb))} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
		if _, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(url), &textSink{}); !errors.Is(err, ErrBomb) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := io.Copy(io.Discard, &capped{r: strings.NewReader(zeros), left: 1000}); !errors.Is(err, ErrBomb) {
		t.Errorf("a file with holes: got %v", err)
	}
}

// FuzzUnpack: no bytes of a stranger end the program or get past the limits.
func FuzzUnpack(f *testing.F) {
	small := tarOf(f, tar.FormatGNU, tarFile{name: "d/domains", text: "a.example\n"}, tarFile{name: "d/usage", text: "black\n"})
	for _, b := range [][]byte{
		[]byte("a.example\n"), gzipped(f, "a.example\n"), small, gzipped(f, string(small)), family(f),
		gzipped(f, string(gzipped(f, "x"))), []byte("\x1f\x8b"),
		{},
		small[:700],
	} {
		f.Add(b, "d")
		f.Add(b, "")
	}
	fetcher := NewFetcher(FetchOptions{Limits: Limits{Inflated: 1 << 20, Members: 50}})
	f.Fuzz(func(t *testing.T, b []byte, member string) {
		var out textSink
		got, err := fetcher.unpack(&meter{r: bytes.NewReader(b), most: 1 << 20, total: int64(len(b))}, member, &out)
		switch {
		case err == nil && (got.Bytes != int64(out.Len()) || out.finishes != 1):
			t.Errorf("got %+v, %d bytes, finished %d times", got, out.Len(), out.finishes)
		case err != nil && out.finishes != 0:
			t.Errorf("%v, but finished", err)
		case out.Len() > 1<<20:
			t.Errorf("%d bytes came through", out.Len())
		}
	})
}
