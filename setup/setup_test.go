package setup

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is made to testdata")

// family are the values of the golden files.
func family() Values {
	return Values{
		Family: "7", Device: "12", Name: `Lea's <phone> & "more"`, Token: "k3v7m2q4x5n6p7ra", Secret: "q2w7e5r3t6y4u2aa", Server: "dns.example",
		Home:   []netip.Addr{netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("fd00:1234::10")},
		Public: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got; -update writes it):\n%s", path, d)
	}
}

// TestGuides: each guide as the family reads it.
func TestGuides(t *testing.T) {
	for _, p := range Platforms() {
		t.Run(p, func(t *testing.T) {
			g, err := For(p, family())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, p+".txt", g.Text())
		})
	}
}

// TestGuidesAreWhole: every instruction says where it comes from and when that was
// read, or that nobody verified it; every guide has a file, and every file a guide.
func TestGuidesAreWhole(t *testing.T) {
	date := regexp.MustCompile(`^20\d\d-(0[1-9]|1[0-2])$`)
	for _, p := range Platforms() {
		g, err := For(p, family())
		if err != nil {
			t.Fatal(err)
		}
		if g.Title == "" || len(g.Steps) == 0 {
			t.Errorf("%s has no title or no steps", p)
		}
		for _, x := range slices.Concat(g.Steps, g.Notes) {
			if (x.Source == "") != (x.Date == "") || x.Date != "" && !date.MatchString(x.Date) {
				t.Errorf("%s: %q has the source %q of %q", p, x.Text, x.Source, x.Date)
			}
			if x.Source == "" && !strings.Contains(g.Text(), x.Text+" (not verified)\n") {
				t.Errorf("%s: %q has no source, and the text does not say so", p, x.Text)
			}
		}
	}
	files, err := guideFiles.ReadDir("guides")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() { // of a language: see TestGuidesInLanguages
			continue
		}
		if name := strings.TrimSuffix(f.Name(), ".txt"); name != "shared" && !slices.Contains(platforms, name) {
			t.Errorf("the guide %s can be asked for by nobody", f.Name())
		}
	}
}

// TestGuidesWithoutAnAddress: while Kinward answers at no address of the home, whoever
// sets up a router for it is told so before anything else, and not afterwards.
func TestGuidesWithoutAnAddress(t *testing.T) {
	for _, language := range []string{"en", "de"} {
		for _, p := range Platforms() {
			there, gone := family(), family()
			gone.Home = nil
			with, err := ForIn(language, p, there)
			if err != nil {
				t.Fatal(err)
			}
			without, err := ForIn(language, p, gone)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(with.Text(), "192.168.1.10") != strings.Contains(without.Text(), "ADDRESS-OF-KINWARD") {
				t.Errorf("%s, %s: nothing stands for the address of the home:\n%s", language, p, without.Text())
			}
			if !strings.Contains(with.Text(), "192.168.1.10") {
				continue // it needs none
			}
			const line = "kinward serve"
			if got := without.Steps[0].Text; !strings.Contains(got, line) {
				t.Errorf("%s, %s: the first step without an address of the home is %q", language, p, got)
			}
			if strings.Contains(with.Text(), line) {
				t.Errorf("%s, %s: with an address of the home it says to start Kinward:\n%s", language, p, with.Text())
			}
		}
	}
}

// TestGuidesInLanguages: a guide in another language says the same: as many steps
// and notes, the same lines to copy, the same sources.
func TestGuidesInLanguages(t *testing.T) {
	folders, err := guideFiles.ReadDir("guides")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		language := folder.Name()
		for _, p := range Platforms() {
			for _, v := range []Values{family(), {Server: "dns.example", Token: "a"}} {
				want, err := For(p, v)
				if err != nil {
					t.Fatal(err)
				}
				got, err := ForIn(language, p, v)
				if err != nil {
					t.Fatal(err)
				}
				if got.Title == "" || got.Steps[0].Text == want.Steps[0].Text {
					t.Errorf("%s in %s is in English", p, language)
				}
				for _, g := range []*Guide{&want, &got} {
					g.Title = ""
					for _, list := range [][]Point{g.Steps, g.Notes} {
						for i := range list {
							list[i].Text = ""
						}
					}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s in %s differs (-en +%[2]s):\n%[3]s", p, language, d)
				}
			}
		}
	}
	if g, err := ForIn("../de", "android", family()); err != nil || g.Title != "Android 9 and newer" {
		t.Errorf("a language that there is none of: %q, %v", g.Title, err)
	}
}

// TestGuidesWithoutPublicName: what works at home alone is told without a public
// name; what does not is refused, and never half-made.
func TestGuidesWithoutPublicName(t *testing.T) {
	v := family()
	v.Server = ""
	for _, p := range Platforms() {
		g, err := For(p, v)
		needs := errors.Is(err, ErrNoPublicName)
		if err != nil && !needs {
			t.Errorf("%s: %v", p, err)
		}
		if home := slices.Contains([]string{"openwrt", "fritzbox", "unifi", "mikrotik", "router", "gameconsole"}, p); home == needs {
			t.Errorf("%s: needs a public name: %t", p, needs)
		}
		if err == nil && strings.Contains(g.Text(), "https:///") {
			t.Errorf("%s shows an address without a name:\n%s", p, g.Text())
		}
	}
	if _, err := MobileConfig(v, Profile{}); !errors.Is(err, ErrNoPublicName) {
		t.Errorf("a profile without a public name: %v", err)
	}
	if _, err := For("toaster", v); !errors.Is(err, ErrNoPlatform) || !strings.Contains(err.Error(), "android") {
		t.Errorf("a platform that there is none of: %v", err)
	}
}

// TestValuesAreChecked: nothing gets into commands that is no name or address.
func TestValuesAreChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Values)
	}{
		{"a server with a quote", func(v *Values) { v.Server = "dns.example'; reboot" }},
		{"a server with a line", func(v *Values) { v.Server = "dns.example\nstep x" }},
		{"a server with a dot at the end", func(v *Values) { v.Server = "dns.example." }},
		{"a token with a dot", func(v *Values) { v.Token = "a.b" }},
		{"a token in capitals", func(v *Values) { v.Token = "ABC" }},
		{"a token longer than a label", func(v *Values) { v.Token = strings.Repeat("a", 64) }},
		{"a secret with a quote", func(v *Values) { v.Secret = "a'b" }},
		{"a name longer than DNS takes", func(v *Values) { v.Server = strings.TrimSuffix(strings.Repeat("a23456789.", 25), ".") }},
		{"an address with a zone", func(v *Values) { v.Home = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }},
		{"no address", func(v *Values) { v.Public = []netip.Addr{{}} }},
	} {
		v := family()
		tt.edit(&v)
		if _, err := For("openwrt", v); err == nil {
			t.Errorf("%s is put into a guide", tt.name)
		}
		if _, err := MobileConfig(v, Profile{}); err == nil {
			t.Errorf("%s is put into a profile", tt.name)
		}
	}
}
