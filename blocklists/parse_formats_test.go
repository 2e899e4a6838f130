package blocklists

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// writers write a name, with all below it, in each format; hosts need
// SuffixMatch to mean that.
var writers = []struct {
	name   string
	format Format
	line   string
}{
	{"hosts", FormatHosts, "0.0.0.0 %s\n"},
	{"domains", FormatDomains, "%s\n"},
	{"wildcards", FormatDomains, "*.%s\n"},
	{"dots", FormatDomains, ".%s\n"},
	{"adblock", FormatAdblock, "||%s^\n"},
	{"adblock with modifiers", FormatAdblock, "||%s^$all\n"},
	{"dnsmasq address", FormatDnsmasq, "address=/%s/#\n"},
	{"dnsmasq local", FormatDnsmasq, "local=/%s/\n"},
	{"dnsmasq server", FormatDnsmasq, "server=/%s/\n"},
	{"Unbound zones", FormatUnbound, "local-zone: \"%s.\" always_null\n"},
	{"Unbound redirects", FormatUnbound, "local-zone: \"%[1]s\" redirect\nlocal-data: \"%[1]s A 0.0.0.0\"\n"},
	{"RPZ wildcards", FormatRPZ, "*.%s CNAME .\n"},
	{"RPZ pairs", FormatRPZ, "%[1]s CNAME .\n*.%[1]s CNAME .\n"},
	{"RPZ addresses", FormatRPZ, "*.%s 60 IN A 0.0.0.0\n"},
}

// TestParse_formatsAgree: the same names, written in any format, are the same
// entries in the same order.
func TestParse_formatsAgree(t *testing.T) {
	label := rapid.StringMatching(`[a-z0-9_-]{1,12}`)
	tld := rapid.SampledFrom([]string{"com", "example", "co.uk", "github.io", "xn--p1ai", "ck"})
	rapid.Check(t, func(t *rapid.T) {
		var list []string
		for _, labels := range rapid.SliceOfN(rapid.SliceOfN(label, 1, 4), 1, 30).Draw(t, "names") {
			name := strings.Join(labels, ".") + "." + tld.Draw(t, "tld")
			if rapid.Bool().Draw(t, "upper") {
				name = strings.ToUpper(name)
			}
			list = append(list, name)
		}
		want := ""
		for i, w := range writers {
			var text strings.Builder
			for _, name := range list {
				fmt.Fprintf(&text, w.line, name)
			}
			names, r, err := parseAll(text.String(), ParseOptions{Match: SuffixMatch, Format: w.format})
			if err != nil && !errors.Is(err, ErrNoNames) {
				t.Fatalf("%s: %v", w.name, err)
			}
			if r.Taken != len(names) {
				t.Fatalf("%s: %d entries, %d reported", w.name, len(names), r.Taken)
			}
			got := strings.Join(names, " ")
			if i == 0 {
				want = got
			}
			if got != want {
				t.Fatalf("%s\n%s\nwrong: %s\n%s: %s", w.name, text.String(), got, writers[0].name, want)
			}
		}
	})
}

// TestParse_autoMatchOfFormats: what an entry covers where nobody says.
func TestParse_autoMatchOfFormats(t *testing.T) {
	for _, w := range writers {
		want := "deep.a.example"
		if w.format == FormatHosts {
			want = "=" + want
		}
		names, r, err := parseAll(fmt.Sprintf(w.line, "deep.a.example"), ParseOptions{})
		if got := strings.Join(names, " "); err != nil || got != want || r.Format != w.format {
			t.Errorf("%s: got %v: %s, %v, want %s", w.name, r.Format, got, err, want)
		}
	}
}

// parseCase is a list, or a part of one, and the entries it makes.
type parseCase struct{ name, text, want string }

func runParseCases(t *testing.T, f Format, cases []parseCase) {
	t.Helper()
	for _, tt := range cases {
		names, _, err := parseAll(tt.text, ParseOptions{Format: f})
		if err != nil && !errors.Is(err, ErrNoNames) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s:\n%s got  %s\n want %s", tt.name, tt.text, got, tt.want)
		}
	}
}

func TestParse_dnsmasq(t *testing.T) {
	runParseCases(t, FormatDnsmasq, []parseCase{
		{"an empty target", "address=/a.example/\n", "a.example"},
		{"the null address", "address=/a.example/#\naddress=/b.example/::\n", "a.example b.example"},
		{"several names", "address=/a.example/b.example/0.0.0.0\n", "a.example b.example"},
		{"an address of somebody", "address=/a.example/192.0.2.1\n", ""},
		{"forwarding", "server=/a.example/192.0.2.1\nserver=/b.example/192.0.2.1@eth0\n", ""},
		{"the standard servers except", "address=/a.example/#\nserver=/ok.a.example/#\n", "a.example @ok.a.example"},
		{"server with # alone is no block", "server=/a.example/#\n", "@a.example"},
		{"unqualified names", "local=//\n", ""},
		{"a star glued to a name", "local=/*a.example/\n", ""},
		{"a dot or a star before a name", "local=/.a.example/\nlocal=/*.b.example/\n", "a.example b.example"},
		{
			"the more specific wins, three deep", "local=/a.example/\nserver=/b.a.example/#\nlocal=/c.b.a.example/\nserver=/d.c.b.a.example/#\n",
			"a.example @b.a.example !c.b.a.example !@d.c.b.a.example",
		},
		{
			"a block too deep to say is left out", "server=/a.example/#\nlocal=/b.a.example/\nserver=/c.b.a.example/#\nlocal=/d.c.b.a.example/\n",
			"@a.example !b.a.example !@c.b.a.example",
		},
		{"an exception may come first", "server=/b.a.example/#\nlocal=/a.example/\nlocal=/c.b.a.example/\n", "@b.a.example a.example !c.b.a.example"},
	})
}

func TestParse_unbound(t *testing.T) {
	runParseCases(t, FormatUnbound, []parseCase{
		{"a redirect to nowhere", "local-zone: \"a.example\" redirect\nlocal-data: \"a.example A 127.0.0.1\"\n", "a.example"},
		{"a redirect to somebody", "local-zone: \"a.example\" redirect\nlocal-data: \"a.example A 192.0.2.1\"\n", ""},
		{"data before its zone", "local-data: 'a.example. 60 IN AAAA 2001:db8::1'\nlocal-zone: a.example static\n", ""},
		{"data alone covers its name", "local-data: \"a.example A 0.0.0.0\"\n", "=a.example"},
		{
			"an excepted zone", "local-zone: a.example deny\nlocal-zone: b.a.example always_transparent\nlocal-zone: c.b.a.example deny\n",
			"a.example @b.a.example !c.b.a.example",
		},
		{"types without meaning here", "local-zone: a.example nodefault\nlocal-zone: b.example noview\n", ""},
		{"the root excepted", "local-zone: . transparent\nlocal-zone: a.example deny\n", "a.example"},
	})
}

func TestParse_rpz(t *testing.T) {
	runParseCases(t, FormatRPZ, []parseCase{
		{"an apex alone", "a.example CNAME .\n", "=a.example"},
		{"a wildcard alone covers the apex too", "*.a.example CNAME .\n", "a.example"},
		{"a pair, in both orders", "a.example CNAME .\n*.a.example CNAME .\n*.b.example CNAME .\nb.example CNAME .\n", "a.example b.example"},
		{"an apex and its names excepted", "a.example CNAME .\n*.a.example CNAME rpz-passthru.\n", "!=a.example @a.example"},
		{"an apex excepted", "a.example CNAME rpz-passthru.\n*.a.example CNAME .\n", "@=a.example a.example"},
		{"a blank owner is the last one", "a.example A 127.0.0.1\n\tAAAA ::1\n CNAME rpz-passthru.\n", "=a.example @=a.example"},
		{"an origin that is the zone", "$ORIGIN z.example.\n@ SOA a. b. 1 1 1 1 1\na.example CNAME .\nb.example.z.example. CNAME .\n", "=a.example =b.example"},
		{"an origin below the zone", "$ORIGIN z.example.\n$ORIGIN example.z.example.\na CNAME .\n@ CNAME .\n$ORIGIN z.example.\nb.example CNAME .\n", "=a.example =b.example"},
		{"a relative origin", "$ORIGIN z.example.\n$ORIGIN example\na CNAME .\n", "=a.example"},
		{"the root as origin", "$ORIGIN .\nz.example SOA a. b. 1 1 1 1 1\na.example.z.example CNAME .\n$ORIGIN example.z.example.\nb CNAME .\n", "=a.example =b.example"},
		{"an SOA that names the zone", "z.example. SOA a. b. 1 1 1 1 1\na.example.z.example. CNAME .\nb.example CNAME .\n", "=a.example =b.example"},
		{"a closing dot in a zone without a name", "a.example. CNAME .\n", "=a.example"},
		{"a name outside the zone", "$ORIGIN z.example.\na.example. CNAME .\nb.example CNAME .\n", "=b.example"},
		{"a record in parentheses", "a.example (\n CNAME\n . )\nb.example CNAME ( . )\n", "=b.example"},
		{"names that only look like triggers", "my-rpz-ip.example CNAME .\nrpz.ip.example CNAME .\n", "=my-rpz-ip.example =rpz.ip.example"},
		{"passthru of all", "a.example CNAME .\n* CNAME rpz-passthru.\n", "=a.example"},
		{"safe search", "www.search.example CNAME safe.search.example.\n", ""},
		{"a rewritten wildcard", "*.a.example CNAME *.garden.example.\n", ""},
	})
}

// TestParse_adblockCancels: $badfilter cancels the rule that it repeats, and no
// other.
func TestParse_adblockCancels(t *testing.T) {
	runParseCases(t, FormatAdblock, []parseCase{
		{"a block, before or after", "||a.example^$badfilter\n||a.example^\n||b.example^\n||b.example^$badfilter\n", ""},
		{"an exception", "||a.example^\n@@||a.example^\n@@||a.example^$badfilter\n", "a.example"},
		{"not the important one", "||a.example^$important\n||a.example^$badfilter\n", "!a.example"},
		{"a condition", "||a.example^$dnstype=A|AAAA\n||a.example^$badfilter,dnstype=aaaa|a\n", ""},
		{"not another condition", "||a.example^$dnstype=A\n||a.example^$dnstype=AAAA,badfilter\n||a.example^$badfilter\n", "||a.example^$dnstype=A"},
		{"a rule that is not taken", "||a.example^\n||a.example^$popup,badfilter\n||com^$badfilter\n", "a.example"},
	})
}

// TestParse_conditionsAreNoPlainEntries: with a condition that is understood the
// entry has a pattern, with one that is not there is no entry.
func TestParse_conditionsAreNoPlainEntries(t *testing.T) {
	runParseCases(t, FormatAdblock, []parseCase{
		{"types", "||a.example^$dnstype=A\n|b.example|$dnstype=~AAAA\n", "||a.example^$dnstype=A |b.example^$dnstype=~AAAA"},
		{"names", "||a.example^$denyallow=b.a.example\n", "||a.example^$denyallow=b.a.example"},
		{"an exception", "@@||a.example^$dnstype=A,important\n", "@@||a.example^$important,dnstype=A"},
		{"a whole top-level domain less some", "||*.top^$denyallow=a.top\n||com^$dnstype=A\n", ""},
		{"a public suffix", "||co.uk^$dnstype=A\n", ""},
		{"a type there is not", "||a.example^$dnstype=A|B\n", ""},
		{"a list cut at its commas", "||a.example^$denyallow=b.a.example,c.a.example\n", ""},
		{"a wildcard that did not opt in", "||a*.example^$dnstype=A\n||a.example$denyallow=x.example\n", ""},
		{"important with a value", "||a.example^$important=1\n", ""},
	})
	guard := func(Name) SkipReason { return SkipSharedHost }
	_, r, _ := parseAll("||a.example^$dnstype=A\n", ParseOptions{Guard: guard})
	if r.Skipped[SkipSharedHost] != 1 {
		t.Errorf("the guard is not asked about conditions: %v", r)
	}
}
