package blocklists

import (
	"errors"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, base string
		matches, not  []string
	}{
		{"ads*.example.com", "example.com", []string{"ads.example.com", "ads7.example.com", "ads.x.example.com"}, []string{"xads.example.com", "example.com", "ads.example.com.evil.org"}},
		{"*.example.com", "example.com", []string{"a.example.com", "a.b.example.com"}, []string{"example.com", "xexample.com"}},
		{"*ads*", ".", []string{"ads.org", "my.uploads.net", "x.ads"}, []string{"example.org"}},
		{"www.*", ".", []string{"www.example.com", "www.x"}, []string{"example.com", "xwww.com"}},
		{"a*b.c*d.org", "org", []string{"ab.cd.org", "axb.cyd.org", "a.b.c.d.org"}, []string{"ab.org", "ab.x.cd.org", "ab.cd.net"}},
		{"exact.example", "exact.example", []string{"exact.example"}, []string{"x.exact.example", "exact.example.org"}},
	} {
		g, err := NewGlob(MustName(tt.pattern))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Base().String(); got != tt.base {
			t.Errorf("%s: its base is %s; want %s", tt.pattern, got, tt.base)
		}
		for _, n := range tt.matches {
			if !g.Match(MustName(n)) {
				t.Errorf("%s does not match %s", tt.pattern, n)
			}
		}
		for _, n := range tt.not {
			if g.Match(MustName(n)) {
				t.Errorf("%s matches %s", tt.pattern, n)
			}
		}
		n := MustName("a.long.name.that.matches.nothing.example.com")
		if got := testing.AllocsPerRun(100, func() { g.Match(n) }); got != 0 {
			t.Errorf("%s: matching allocates %v times", tt.pattern, got)
		}
	}
	for _, pattern := range []string{"*", "*.*", "**"} {
		if _, err := NewGlob(MustName(pattern)); !errors.Is(err, ErrWideGlob) {
			t.Errorf("NewGlob(%s) = %v; want that it says nothing", pattern, err)
		}
	}
	if _, err := NewGlob(""); !errors.Is(err, ErrEmptyLabel) {
		t.Errorf("NewGlob of the root = %v", err)
	}
}
