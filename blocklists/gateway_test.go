package blocklists

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/idna"
	"pgregory.net/rapid"
)

func TestUnwrap(t *testing.T) {
	c := mustEmbedded(t)
	for _, tt := range []struct{ name, in, want string }{
		{"a dot", "omegle-com.translate.goog", "omegle.com"},
		{"dots", "www-omegle-com.translate.goog", "www.omegle.com"},
		{"a hyphen", "foo--bar-example-com.translate.goog", "foo-bar.example.com"},
		{"two hyphens", "a----b-com.translate.goog", "a--b.com"},
		{"an internationalised label", "www-xn----e1a-com.translate.goog", "www.xn--e1a.com"},
		{"a label that ends in a hyphen", "preview---example-com.translate.goog", "preview-.example.com"},
		{"a mark of the encoding, or a label of its own", "1-cn--sec-com.translate.goog", "1.cn-sec.com cn-sec.com"},
		{"an internationalised name, or a label of its own", "0-e1a-com.translate.goog", "0.e1a.com xn--e1a.com"},
		{"labels in front", "x.y.omegle-com.translate.goog", "omegle.com"},
		{"a hyphen in front", "-omegle-com.translate.goog", ""},
		{"a hyphen at the end", "omegle-com-.translate.goog", ""},
		{"hyphens alone", "---.translate.goog", ""},
		{"no dot inside", "www.translate.goog", ""},
		{"a hyphen but no dot inside", "foo--bar.translate.goog", ""},
		{"the gateway itself", "translate.goog", ""},
		{"a name that ends alike", "omegle-com.xtranslate.goog", ""},
		{"no gateway", "www-omegle-com.example.com", ""},
		{"the root", ".", ""},
		{"a gateway behind a gateway", "omegle--com-translate-goog.translate.goog", "omegle-com.translate.goog omegle.com"},
		{"a cached page", "www-omegle-com.cdn.ampproject.org", "www.omegle.com"},
		{"a cached page with marks around", "0-en--us-example-com-0.cdn.ampproject.org", "0.en-us.example.com.0 en-us.example.com"},
		{"a cached page of an internationalised name", ampLabel("bücher-laden.example") + ".cdn.ampproject.org", "xn--bcher-laden-thb.example"},
		{"a hash", "ksp3hjyqkmnrsbnqdwojlgy2cdckmbe5v4ewvkpxz4p3msrnpmhq.cdn.ampproject.org", ""},
		{"Punycode that is none", "xn--99999999.cdn.ampproject.org", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, n := range c.Unwrap(MustName(tt.in)) {
				got = append(got, n.String())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("Unwrap(%s) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// ampLabel writes a name as caches of AMP pages do, marks aside.
func ampLabel(host string) string {
	a, err := idna.Punycode.ToASCII(dash(host))
	if err != nil {
		panic(err)
	}
	return a
}

// dash writes a host into one label.
func dash(host string) string {
	return strings.ReplaceAll(strings.ReplaceAll(host, "-", "--"), ".", "-")
}

// Whatever a gateway can write into a label is read again.
func TestUnwrap_readsWhatGatewaysWrite(t *testing.T) {
	c := mustEmbedded(t)
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.StringMatching(`[a-z0-9_]([a-z0-9-]{0,9}[a-z0-9])?`), 2, 4).Draw(t, "labels")
		host := strings.Join(labels, ".")
		if len(dash(host)) > 63 {
			t.Skip("too long for a label")
		}
		front := rapid.SampledFrom([]string{"", "x.", "a.b."}).Draw(t, "front")
		in := MustName(front + dash(host) + ".translate.goog")
		if got := c.Unwrap(in); !slices.Contains(got, MustName(host)) {
			t.Fatalf("Unwrap(%s) = %v, want it to hold %s", in, got, host)
		}
	})
}

// A name costs nothing but a look at its end unless it lies below a gateway.
func TestUnwrapDoesNotAllocate(t *testing.T) {
	c := mustEmbedded(t)
	names := []Name{MustName("www.example.com"), MustName("translate.google.com"), MustName("goog"), ""}
	if n := testing.AllocsPerRun(1000, func() {
		for _, name := range names {
			c.Unwrap(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkUnwrap(b *testing.B) {
	c := mustEmbedded(b)
	for _, n := range []Name{MustName("www.example.com"), MustName("www-example-com.translate.goog")} {
		b.Run(n.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Unwrap(n)
			}
		})
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, s := range []string{"www-example-com", "0-e1a-com", "1-cn--sec-com", "xn--bcher-kva", "0-a--b-com-0", "---", "a.b-c", "\x00", strings.Repeat("a-", 31) + "a"} {
		f.Add(s)
	}
	c := mustEmbedded(f)
	f.Fuzz(func(t *testing.T, label string) {
		if label == "" || len(label) > 63 {
			return
		}
		for _, g := range c.Gateways {
			n := Name(string([]byte{byte(len(label))})+label) + g.Suffix
			got := c.Unwrap(n)
			if len(got) > MaxHidden {
				t.Errorf("Unwrap(%q): %d names", n, len(got))
			}
			for _, h := range got {
				back, err := ParseName(h.String())
				if err != nil || back != h || h.Labels() < 2 || len(h) > MaxNameLen {
					t.Errorf("Unwrap(%q) holds %q, which reads back as %q, %v", n, h, back, err)
				}
			}
		}
	})
}
