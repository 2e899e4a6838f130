package blocklists

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/publicsuffix"
)

var updateParse = flag.Bool("update-parse", false, "write the golden dumps of testdata/parse")

// dump writes an entry as one word: "!" important, "@" taken back, "=" exact.
func dump(e Entry) string {
	if e.Pattern != nil {
		return e.Pattern.String()
	}
	s := e.Name.String()
	if e.Exact {
		s = "=" + s
	}
	if e.Except {
		s = "@" + s
	}
	if e.Important {
		s = "!" + s
	}
	return s
}

func parseAll(text string, o ParseOptions) (names []string, r Report, err error) {
	r, err = Parse(strings.NewReader(text), o, func(e Entry) error {
		names = append(names, dump(e))
		return nil
	})
	return names, r, err
}

// TestParse_golden reads whole lists with the habits of real ones: the dump
// holds every entry, then the reason of every line that was not taken.
func TestParse_golden(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := ParseOptions{Patterns: strings.HasPrefix(filepath.Base(file), "patterns")}
			names, r, err := parseAll(string(text), o)
			if err != nil {
				t.Fatal(err)
			}
			o.Format = r.Format
			got := fmt.Sprintf("%s, %d lines, %d taken, %d back, %d twice\n\n%s\n\n", r.Format, r.Lines, r.Taken, r.TakenBack, r.Duplicates, strings.Join(names, "\n"))
			got += skippedLines(string(text), o)
			golden := strings.TrimSuffix(file, ".txt") + ".golden"
			if *updateParse {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// goodLine is a line of each format that blocks good.example.
var goodLine = map[Format]string{
	FormatHosts: "0.0.0.0 good.example\n", FormatDomains: "good.example\n", FormatAdblock: "||good.example^\n",
	FormatDnsmasq: "local=/good.example/\n", FormatUnbound: "local-zone: good.example deny\n", FormatRPZ: "*.good.example CNAME .\n",
}

// skippedLines tells every line's own reason, which a report's examples do not.
func skippedLines(text string, o ParseOptions) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if strings.HasSuffix(strings.TrimSpace(line), "(") || strings.HasPrefix(strings.TrimSpace(line), ")") {
			continue // a record of a zone that goes on
		}
		// Good names keep the single line from being refused as a whole.
		_, r, err := parseAll(goodLine[o.Format]+line, o)
		if err != nil {
			fmt.Fprintf(&b, "%q: %v\n", strings.TrimSpace(line), err)
		}
		for _, s := range r.Examples {
			fmt.Fprintf(&b, "%s: %s\n", s.Reason, s.Text)
		}
	}
	return b.String()
}

func TestParse_detectsTheFormat(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want Format
	}{
		{"names", "a.example\nb.example\n", FormatDomains},
		{"names and bare addresses", "192.0.2.1\na.example\n192.0.2.2\n192.0.2.3\n", FormatDomains},
		{"hosts", "# list\n0.0.0.0 a.example\n0.0.0.0 b.example\n", FormatHosts},
		{"hosts with lone names", "0.0.0.0 a.example\nb.example\n0.0.0.0 c.example\n", FormatHosts},
		{"hosts without a last newline", "0.0.0.0 a.example", FormatHosts},
		{"adblock header behind a BOM", "\ufeff[Adblock Plus 2.0]\na.example\n", FormatAdblock},
		{"adblock rules among plain lines", strings.Repeat("a.example\n", 10) + "||b.example^\n", FormatAdblock},
		{"adblock by exceptions", "@@||a.example^\n||b.example^\n", FormatAdblock},
		{"browser rules first", "*$removeparam=x\n*$removeparam=y\na.example##.ad\n||b.example^\n", FormatAdblock},
		{"a single stray rule", strings.Repeat("a.example\n", 100) + "||b.example^\n", FormatDomains},
		{"dnsmasq", "# list\naddress=/a.example/#\n server = /b.example/\n", FormatDnsmasq},
		{"dnsmasq among settings", "no-resolv\nlocal=/a.example/\nlocal=/b.example/\n", FormatDnsmasq},
		{"Unbound", "server:\n  local-zone: \"a.example.\" always_null\n", FormatUnbound},
		{"Unbound by its data", "local-data: \"a.example A 0.0.0.0\"\n", FormatUnbound},
		{"a zone by its directive", "; list\n$TTL 60\na.example CNAME .\n", FormatRPZ},
		{"a zone by its records", "a.example CNAME .\n*.a.example\t60 IN CNAME .\n A 0.0.0.0\n", FormatRPZ},
		{"a zone by its SOA", "@ 60 SOA a. b. (\n1 1 1 1 1 )\n  NS localhost.\na.example CNAME *.\n", FormatRPZ},
		{"wildcards", "*.a.example\n*.b.example\n", FormatDomains},
		{"prose with the word A", "a.example\nb.example\nThis A list\n", FormatDomains},
		{"commented-out rules do not count", "#||a.example^\n#0.0.0.0 a.example\nb.example\n", FormatDomains},
	} {
		_, r, err := parseAll(tt.text, ParseOptions{})
		if err != nil || r.Format != tt.want {
			t.Errorf("%s: got %v, %v, want %v", tt.name, r.Format, err, tt.want)
		}
	}
	names, _, err := parseAll("a.example\nb.sub.example\n", ParseOptions{Format: FormatHosts})
	if want := []string{"a.example", "=b.sub.example"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("a format that is given wins: got %q, %v, want %q", names, err, want)
	}
}

func TestParse_matchModes(t *testing.T) {
	const (
		hosts   = "0.0.0.0 a.example\n0.0.0.0 www.b.example\n0.0.0.0 c.c.example\n0.0.0.0 www.d.d.example\n"
		adblock = "||a.example^\n|b.example^\n@@||c.example^\n@@|d.example^\n"
	)
	for _, tt := range []struct {
		name string
		text string
		mode MatchMode
		want string
	}{
		{"a hosts line of a whole site covers it", hosts, AutoMatch, "a.example b.example =c.c.example =www.d.d.example"},
		{"exact", hosts, ExactMatch, "=a.example =www.b.example =c.c.example =www.d.d.example"},
		{"suffix", hosts, SuffixMatch, "a.example www.b.example c.c.example www.d.d.example"},
		{"adblock", adblock, AutoMatch, "a.example =b.example @c.example @=d.example"},
		{"exceptions keep their reach when exact", adblock, ExactMatch, "=a.example =b.example @c.example @=d.example"},
		{"exceptions keep their reach when suffix", adblock, SuffixMatch, "a.example b.example @c.example @=d.example"},
		{"domains exact", "*.a.example\nb.example\n", ExactMatch, "=a.example =b.example"},
		{"site and www. of it are one entry", "0.0.0.0 a.example\n0.0.0.0 www.a.example\n", AutoMatch, "a.example"},
		{"www. of a private suffix's site", "0.0.0.0 www.me.github.io\n", AutoMatch, "me.github.io"},
	} {
		names, _, err := parseAll(tt.text, ParseOptions{Match: tt.mode})
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestParse_guardKeepsNamesOut(t *testing.T) {
	guard := func(n Name) SkipReason {
		if n == MustName("cdn.example") {
			return SkipSharedHost
		}
		return SkipNone
	}
	for _, tt := range []struct {
		name, text, want string
	}{
		{"suffix", "cdn.example\nx.example\n", "x.example"},
		{"exact", "0.0.0.0 cdn.example\n0.0.0.0 x.example\n", "x.example"},
		{"a host below stays", "||a.cdn.example^\n", "a.cdn.example"},
		{"www. is not widened into a shared host", "0.0.0.0 www.cdn.example\n", "=www.cdn.example"},
		{"an exception may name it", "||x.example^\n@@||cdn.example^\n", "x.example @cdn.example"},
	} {
		names, _, err := parseAll(tt.text, ParseOptions{Guard: guard})
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestParse_refusesWholeLists(t *testing.T) {
	const good = "good.example\n"
	for _, tt := range []struct {
		name string
		text string
		want error
	}{
		{"a top-level domain", good + "com\n", ErrBlocksTLD},
		{"a top-level domain with a dot", good + ".abb\n", ErrBlocksTLD},
		{"a top-level domain with a star", good + "*.com\n", ErrBlocksTLD},
		{"a top-level domain as a rule", "||good.example^\n||com^\n", ErrBlocksTLD},
		{"a country as a rule", "||good.example^\n||*.tk^\n", ErrBlocksTLD},
		{"a top-level domain with a wildcard in the public suffix list", good + "ck\n", ErrBlocksTLD},
		{"a top-level domain in Unicode", good + "рф\n", ErrBlocksTLD},
		{"a page", "\n<!DOCTYPE html>\n<title>404</title>", ErrWebPage},
		{"a page without doctype", "<HTML><body>a.example</body></HTML>", ErrWebPage},
		{"nothing", "", ErrNoNames},
		{"comments", "# a\n! b\n\n", ErrNoNames},
		{"addresses", "192.0.2.1\n192.0.2.2\n", ErrNoNames},
		{"exceptions only", "@@||a.example^\n", ErrNoNames},
		{"prose", strings.Repeat("It was a dark and stormy night\n", 30) + good, ErrNotAList},
		{"a table", strings.Repeat("1,a.example\n", 30) + good, ErrNotAList},
		{"addresses of pages", strings.Repeat("a.example/b\n", 30) + good, ErrNotAList},
		{"zero bytes at the start", "a\x00.example\n", ErrBinary},
		{"zero bytes later", strings.Repeat(good, 9000) + "a\x00\n", ErrBinary},
		{"UTF-16", "\xff\xfea\x00.\x00b\x00", ErrBinary},
		{"zip", "PK\x03\x04 and so on", ErrArchive},
		{"gzip", "\x1f\x8b and so on", ErrArchive},
		{"tar", "a" + strings.Repeat("\x00", 256) + "ustar\x00", ErrArchive},
		{"dnsmasq that blocks all", "local=/a.example/\naddress=/#/\n", ErrBlocksAll},
		{"dnsmasq that blocks all among others", "address=/a.example/#/0.0.0.0\n", ErrBlocksAll},
		{"dnsmasq that blocks a top-level domain", "address=/a.example/com/#\n", ErrBlocksTLD},
		{"Unbound that blocks all", "local-zone: \"a.example\" deny\nlocal-zone: . refuse\n", ErrBlocksAll},
		{"Unbound that blocks a top-level domain", "local-zone: \"com.\" static\n", ErrBlocksTLD},
		{"a zone that blocks all", "a.example CNAME .\n* CNAME .\n", ErrBlocksAll},
		{"a zone that blocks a top-level domain", "a.example CNAME .\n*.com CNAME .\n", ErrBlocksTLD},
		{"a zone whose parenthesis stays open", "$TTL 1\na.example CNAME .\n@ SOA a. b. ( 1 2\nb.example CNAME .\n", ErrNotAList},
		{"a zone relative to nothing", "$ORIGIN rpz\na.example CNAME .\n", ErrNotAList},
		{"forwarding only", "server=/a.example/192.0.2.1\n", ErrNoNames},
		{"exceptions of zones only", "a.example CNAME rpz-passthru.\n", ErrNoNames},
		{"too many lines", strings.Repeat(good, 10_001), ErrListTooLarge},
	} {
		_, _, err := parseAll(tt.text, ParseOptions{MaxLines: 10_000})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
	_, _, err := parseAll(good+good+"*.com # all\n", ParseOptions{})
	if got := fmt.Sprint(err); !strings.Contains(got, "line 3") || !strings.Contains(got, `"*.com # all"`) || !strings.Contains(got, "under .com") {
		t.Errorf("error %q does not name line, text and domain", got)
	}
}

func TestParse_doesNotRefuse(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"a stray top-level word in a hosts list", "0.0.0.0 a.example\n0.0.0.0 dating\n", "a.example"},
		{"a stray top-level word in an adblock list", "||a.example^\nchat\n", "a.example"},
		{"a brand's top-level domain in an adblock list", "||a.example^\n||skype^\n||*.zip^\n", "a.example"},
		{"an adblock list full of browser rules", strings.Repeat("b.example##.ad\n", 99) + "||a.example^\n", "a.example"},
		{"few lines, most of them bad", "a.example\n" + strings.Repeat("what is this\n", 15), "a.example"},
		{"a top-level domain with two dots", "a.example\ncom..\n.com..\n0.0.0.0 com..\n", "a.example"},
		{"many bare addresses", "a.example\n" + strings.Repeat("192.0.2.1\n", 90), "a.example"},
	} {
		names, _, err := parseAll(tt.text, ParseOptions{})
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestParse_longLinesAreSkipped(t *testing.T) {
	long := strings.Repeat("a", 3*headSize)
	names, r, err := parseAll("a.example\n"+long+"\nb.example\n"+long, ParseOptions{Format: FormatDomains})
	if want := []string{"a.example", "b.example"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v, want %q", names, err, want)
	}
	if r.Lines != 4 || r.Skipped[SkipLongLine] != 2 {
		t.Errorf("got %d lines, %d too long, want 4 and 2", r.Lines, r.Skipped[SkipLongLine])
	}
}

func TestParse_passesErrorsOn(t *testing.T) {
	stop := errors.New("stop")
	_, err := Parse(strings.NewReader("a.example\nb.example\n"), ParseOptions{}, func(Entry) error { return stop })
	if err != stop {
		t.Errorf("emit's error: got %v", err)
	}
	for _, r := range []io.Reader{
		iotest.ErrReader(stop),
		io.MultiReader(strings.NewReader(strings.Repeat("a.example\n", 20_000)), iotest.ErrReader(stop)),
	} {
		if _, err := Parse(r, ParseOptions{}, func(Entry) error { return nil }); !errors.Is(err, stop) {
			t.Errorf("reader's error: got %v", err)
		}
	}
	_, r, err := parseAll("a.example\n", ParseOptions{Format: FormatAdblock})
	if err != nil || r.Taken != 1 {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestParse_boundsBadfilter(t *testing.T) {
	var b strings.Builder
	for i := range maxCancels + 1 {
		fmt.Fprintf(&b, "||a%d.example^$badfilter\n", i)
	}
	if _, _, err := parseAll(b.String(), ParseOptions{}); !errors.Is(err, ErrListTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestReport_String(t *testing.T) {
	_, r, err := parseAll("a.example\n192.0.2.1\nb.example\na.example\n192.0.2.2\nfoo-bar\n", ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "2 names taken, 1 more than once; 3 skipped: 2 bare IP addresses (line 2: 192.0.2.1), 1 single word (line 6: foo-bar)"
	if got := r.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := (Report{Taken: 26029}).String(), "26,029 names taken"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReport_JSONReadsBack(t *testing.T) {
	_, want, err := parseAll("||a.example^\n192.0.2.1\nx##.ad\n||b.example^$badfilter\n||b.example^\n", ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if !bytes.Contains(b, []byte(`"bare IP address":1`)) || !bytes.Contains(b, []byte(`"format":"adblock"`)) {
		t.Errorf("not readable: %s", b)
	}
}

func TestReport_examplesAreFewAndPrintable(t *testing.T) {
	_, r, _ := parseAll("a.example\n"+strings.Repeat("192.0.2.1\n", 50)+"\x1b[31mred\xff\u202e text"+strings.Repeat("long ", 50)+"\n", ParseOptions{})
	if r.Skipped[SkipIP] != 50 || len(r.Examples) != examplesPerReason+1 {
		t.Fatalf("got %d examples of %v", len(r.Examples), r.Skipped)
	}
	last := r.Examples[len(r.Examples)-1].Text
	if !utf8.ValidString(last) || strings.ContainsAny(last, "\x1b\u202e") || len([]rune(last)) > exampleLen {
		t.Errorf("example %q", last)
	}
}

func TestFormatAndMatchMode_keysReadBack(t *testing.T) {
	for f := FormatAuto; f <= FormatRPZ; f++ {
		if got, err := ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("%v: got %v, %v", f, got, err)
		}
	}
	for m := AutoMatch; m <= SuffixMatch; m++ {
		if got, err := ParseMatchMode(m.String()); err != nil || got != m {
			t.Errorf("%v: got %v, %v", m, got, err)
		}
	}
	if _, err := ParseFormat("pac"); err == nil || !strings.Contains(err.Error(), `"pac"`) {
		t.Errorf("unknown format: got %v", err)
	}
	seen := map[string]bool{}
	for s := SkipNone; s < NumSkipReasons; s++ {
		if s.String() == "" || seen[s.String()] {
			t.Errorf("reason %d is %q, which is empty or another's", s, s)
		}
		seen[s.String()] = true
	}
}

// checkEntries is what every list must hold to, whatever it says.
func checkEntries(t *testing.T, text string, f Format, m MatchMode) {
	t.Helper()
	emitted, seen := 0, map[Entry]bool{}
	rules := map[string]bool{}
	r, err := Parse(strings.NewReader(text), ParseOptions{Format: f, Match: m, Patterns: true}, func(e Entry) error {
		emitted++
		if e.Pattern != nil {
			checkPattern(t, e)
			if rules[e.Pattern.String()] {
				t.Errorf("%s came twice", e.Pattern)
			}
			rules[e.Pattern.String()] = true
			return nil
		}
		again, err := ParseName(e.Name.String())
		if err != nil || again != e.Name {
			t.Errorf("%q reads back as %q, %v", e.Name, again, err)
		}
		if strings.ContainsAny(e.Name.String(), "\\/* ") {
			t.Errorf("%q is not a plain host", e.Name)
		}
		if e.Name.Labels() < 2 {
			t.Errorf("%v has a single label", e.Name)
		}
		if s, _ := publicsuffix.PublicSuffix(e.Name.String()); !e.Except && s == e.Name.String() {
			t.Errorf("%v is a public suffix", e.Name)
		}
		if seen[e] {
			t.Errorf("%v came twice", dump(e))
		}
		seen[e] = true
		return nil
	})
	if words := len(strings.Fields(text)) + strings.Count(text, "\u3000"); emitted > words+len(text)/2 {
		t.Errorf("%d entries out of %d bytes", emitted, len(text))
	}
	if emitted != r.Taken+r.TakenBack {
		t.Errorf("%d entries, report says %d and %d", emitted, r.Taken, r.TakenBack)
	}
	if err == nil && r.Taken == 0 {
		t.Error("an empty list was accepted")
	}
	if len(r.Examples) > int(NumSkipReasons)*examplesPerReason {
		t.Errorf("%d examples", len(r.Examples))
	}
	_ = r.String()
}

func fuzzParse(f *testing.F, format Format) {
	files, _ := filepath.Glob("testdata/parse/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f.Add(line, uint8(AutoMatch))
		}
		f.Add(string(text), uint8(SuffixMatch))
	}
	f.Add("0.0.0.0 a.example b.example\n||a.example^$all,badfilter\n", uint8(ExactMatch))
	f.Add("0.0.0.0 00000000..\ncom..\n||com..^\n*.com..\n", uint8(SuffixMatch))
	f.Add("a．example\n\xff\xfe\n*.\n.\n||^\n@@\n$\n|\n#\n", uint8(AutoMatch))
	f.Fuzz(func(t *testing.T, text string, mode uint8) {
		checkEntries(t, text, format, MatchMode(mode%3))
	})
}

func FuzzParseHosts(f *testing.F)   { fuzzParse(f, FormatHosts) }
func FuzzParseDomains(f *testing.F) { fuzzParse(f, FormatDomains) }
func FuzzParseAdblock(f *testing.F) { fuzzParse(f, FormatAdblock) }
func FuzzParseDnsmasq(f *testing.F) { fuzzParse(f, FormatDnsmasq) }
func FuzzParseUnbound(f *testing.F) { fuzzParse(f, FormatUnbound) }
func FuzzParseRPZ(f *testing.F)     { fuzzParse(f, FormatRPZ) }
func FuzzParseAuto(f *testing.F)    { fuzzParse(f, FormatAuto) }

func BenchmarkParse(b *testing.B) {
	const names = 50_000
	for _, bb := range []struct{ name, line string }{
		{"hosts", "0.0.0.0 name-%d.some-site.com\n"},
		{"domains", "name-%d.some-site.com\n"},
		{"adblock", "||name-%d.some-site.com^\n"},
		{"dnsmasq", "address=/name-%d.some-site.com/#\n"},
		{"unbound", "local-zone: \"name-%d.some-site.com.\" always_null\n"},
		{"rpz", "name-%d.some-site.com CNAME .\n"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var text strings.Builder
			for i := range names {
				fmt.Fprintf(&text, bb.line, i*7919%100_003)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(strings.NewReader(text.String()), ParseOptions{}, func(Entry) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*names/b.Elapsed().Seconds(), "names/s")
		})
	}
}
