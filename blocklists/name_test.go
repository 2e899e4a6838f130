package blocklists

import (
	"errors"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Name
	}{
		{"plain", "www.example.com", "\x03www\x07example\x03com"},
		{"upper case", "WWW.eXample.COM", "\x03www\x07example\x03com"},
		{"closing dot", "example.com.", "\x07example\x03com"},
		{"the root", ".", ""},
		{"nothing", "", ""},
		{"service label", "_dmarc.example.com", "\x06_dmarc\x07example\x03com"},
		{"three hyphens", "r3---sn-a.googlevideo.com", "\x09r3---sn-a\x0bgooglevideo\x03com"},
		{"an escaped dot is no separator", `a\.b.example`, "\x03a.b\x07example"},
		{"an escaped byte", `a\046b\255.example`, "\x04a.b\xff\x07example"},
		{"a U-label becomes an A-label", "münchen.de", "\x0exn--mnchen-3ya\x02de"},
		{"upper-case U-label", "MÜNCHEN.de", "\x0exn--mnchen-3ya\x02de"},
		{"an A-label stays", "xn--mnchen-3ya.de", "\x0exn--mnchen-3ya\x02de"},
		{"a pasted hyphen", "cg\u2011dialup.net", "\x09cg-dialup\x03net"},
		{"an ideographic full stop", "例え。jp", "\x0bxn--r8jz45g\x02jp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseName(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("ParseName(%q) = %q, %v; want %q", tt.in, string(got), err, string(tt.want))
			}
		})
	}
}

func TestParseNameRefuses(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"empty label", "a..b", ErrEmptyLabel},
		{"leading dot", ".example.com", ErrEmptyLabel},
		{"two closing dots", "example.com..", ErrEmptyLabel},
		{"label of 64", long + "a.com", ErrLabelTooLong},
		{"256 bytes on the wire", strings.Join([]string{long, long, long, long[:62]}, "."), ErrNameTooLong},
		{"a backslash at the end", `example\`, ErrBadEscape},
		{"an escape over 255", `a\256.com`, ErrBadEscape},
		{"a short escape", `a\25`, ErrBadEscape},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParseName(tt.in); !errors.Is(err, tt.want) {
				t.Errorf("ParseName(%q) = %q, %v; want %v", tt.in, string(got), err, tt.want)
			}
		})
	}
	// The longest name there is: 255 bytes on the wire (RFC 1035 §2.3.4).
	longest := strings.Join([]string{long, long, long, long[:61]}, ".")
	if n, err := ParseName(longest); err != nil || len(n) != MaxNameLen {
		t.Errorf("ParseName of 255 bytes = %d bytes, %v; want %d", len(n), err, MaxNameLen)
	}
}

func TestNameString(t *testing.T) {
	for in, want := range map[Name]string{
		"":                          ".",
		"\x03www\x07example\x03com": "www.example.com",
		"\x03a.b\x07example":        `a\.b.example`,
		"\x03a\x00b\x02\xff ":       `a\000b.\255\032`,
	} {
		if got := in.String(); got != want {
			t.Errorf("%q.String() = %s; want %s", string(in), got, want)
		}
	}
}

func TestNameParts(t *testing.T) {
	n := MustName("a.b.example.com")
	if got := n.Labels(); got != 4 {
		t.Errorf("Labels = %d; want 4", got)
	}
	for k, want := range map[int]string{0: ".", 1: "com", 2: "example.com", 4: "a.b.example.com", 9: "a.b.example.com"} {
		if got := n.Suffix(k).String(); got != want {
			t.Errorf("Suffix(%d) = %s; want %s", k, got, want)
		}
	}
	for p, want := range map[string]bool{
		"example.com": true, "a.b.example.com": true, ".": true,
		"xample.com": false, "x.a.b.example.com": false, "b.com": false,
	} {
		if got := n.IsBelow(MustName(p)); got != want {
			t.Errorf("%s.IsBelow(%s) = %v; want %v", n, p, got, want)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"www.example.com.", `a\.b\000.c`, "münchen.de", "..", strings.Repeat("a.", 127), "\x03www", strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 62) + "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			return
		}
		if len(n) > MaxNameLen {
			t.Fatalf("ParseName(%q) has %d bytes", s, len(n))
		}
		again, err := ParseName(n.String())
		if err != nil || again != n {
			t.Fatalf("ParseName(%q) = %q, printed %s, read back as %q, %v", s, string(n), n, string(again), err)
		}
	})
}
