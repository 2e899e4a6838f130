package blocklists

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

// TestParse_quirks: what was counted in real lists, a row each, in the words of
// a made-up list, with what has to become of it. good.example stands in each so
// that the list as a whole can be taken; it is left out of what is wanted.
func TestParse_quirks(t *testing.T) {
	type skips map[SkipReason]int
	for _, tt := range []struct {
		name   string
		format Format
		text   string
		want   string
		skips  skips
	}{
		// The file.
		{"a byte order mark before the header", FormatAdblock, "\ufeff[Adblock Plus]\n||a.example^\n", "a.example", nil},
		{"a byte order mark before a name", FormatDomains, "\ufeffa.example\n", "a.example", nil},
		{"carriage returns", FormatHosts, "0.0.0.0 a.example\r\n\r\n0.0.0.0 b.example\r\n", "a.example b.example", nil},
		{"no final newline", FormatDomains, "a.example\nb.example", "a.example b.example", nil},
		{"bytes that are no UTF-8", FormatDomains, "a.example\nb\xe9b\xe9.example\n# caf\xe9\nc.example\n", "a.example c.example", skips{SkipNotAName: 1}},
		{"a header that counts with commas", FormatDomains, "# Entries: 26,029\na.example\n", "a.example", nil},
		{"a header that counts the broken list right", FormatHosts, "# Entries: 2\n0.0.0.0 a.example\n0.0.0.0 b.example\n", "a.example b.example", nil},
		{"lines that come twice", FormatDomains, "a.example\na.example\nA.example.\n", "a.example", nil},

		// A line.
		{"a bare address", FormatDomains, "a.example\n193.0.2.62\n2001:db8::1\n", "a.example", skips{SkipIP: 2}},
		{"an address with zeros in front", FormatDomains, "127.000.000.001\n", "", skips{SkipIP: 1}},
		{"a comment behind a name", FormatDomains, "a.example           #Game about that\n", "a.example", nil},
		{"a comment behind a hosts line", FormatHosts, "0.0.0.0 a.example # why\n", "a.example", nil},
		{"an entry that is commented out", FormatHosts, "#0.0.0.0 auto.example\n0.0.0.0 a.example\n", "a.example", nil},
		{"a ruler", FormatDomains, strings.Repeat("=", 30) + "\n", "", skips{SkipNotAName: 1}},
		{"a ruler longer than a label", FormatDomains, strings.Repeat("-", 70) + "\n", "", skips{SkipNotAName: 1}},
		{"a single word", FormatDomains, "apkcafe-vn\ncracksnet\n", "", skips{SkipSingleLabel: 2}},
		{"a dot in front", FormatDomains, ".a.example\n", "a.example", nil},
		{"a star in front covers the name too", FormatDomains, "*.0.0.0.0.a.example\n", "0.0.0.0.a.example", nil},
		{"a star inside is not cut at the star", FormatDomains, "p16-*.a.example\na.*.example\n", "", skips{SkipWildcard: 2}},
		{"a dot at the end", FormatDomains, "www.a.example.\n", "www.a.example", nil},
		{"a dot at the end of a word", FormatDomains, "dhl-commx.\n", "", skips{SkipSingleLabel: 1}},
		{"upper case", FormatDomains, "SIX1.A.example\n", "six1.a.example", nil},
		{"an underscore", FormatDomains, "_214.example\nhard_a.b.x-c.example\n", "_214.example hard_a.b.x-c.example", nil},
		{"a hyphen at the edge", FormatDomains, "preview-.a.example\n32-.b.example\n-c.example\n", "preview-.a.example 32-.b.example -c.example", nil},
		{"a label of 64", FormatDomains, strings.Repeat("a", 64) + ".example\n" + strings.Repeat("b", 63) + ".example\n", strings.Repeat("b", 63) + ".example", skips{SkipNotAName: 1}},
		{"a name of 256 bytes", FormatDomains, strings.Repeat("a.", 124) + "example\n", "", skips{SkipNotAName: 1}},
		{"Punycode stays", FormatDomains, "xn--80aafsqmek2ak.example\n", "xn--80aafsqmek2ak.example", nil},
		{"Unicode", FormatDomains, "bücher.example\ncg\u2011dialup.example\n", "xn--bcher-kva.example cg-dialup.example", nil},
		{"Unicode in a rule", FormatAdblock, "||bücher.example^\n", "xn--bcher-kva.example", nil},
		{"a stray sign", FormatDomains, "hdgaytube.example!\n", "", skips{SkipNotAName: 1}},
		{"an address of a page does not block its host", FormatDomains, "a.example/user/x\nhttps://b.example/\n", "", skips{SkipPath: 2}},
		{"a scheme, an address and a port", FormatDomains, "://[2604:2dc0::]\n192.0.2.1:8080\n", "", skips{SkipPath: 1, SkipIP: 1}},
		{"padding", FormatHosts, "0.0.0.0   a.example\n0.0.0.0\tb.example\n\t0.0.0.0 c.example  \n", "a.example b.example c.example", nil},
		{"an empty label", FormatDomains, "a..example\n..b.example\n", "", skips{SkipNotAName: 2}},
		{"an escaped dot", FormatDomains, "a\\.b.example\n", "", skips{SkipNotAName: 1}},

		// Hosts lists.
		{"any address means block", FormatHosts, "127.0.0.1 a.example\n127.0.0.7 b.example\n:: c.example\n", "a.example b.example c.example", nil},
		{"the machine's own names", FormatHosts, "127.0.0.1 localhost\n127.0.0.1 localhost.localdomain\n127.0.0.1 local\n255.255.255.255 broadcasthost\n::1 localhost\nfe80::1%lo0 localhost\nff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\n0.0.0.0 0.0.0.0\n", "", skips{SkipLocal: 9}},
		{"several names on a line", FormatHosts, "0.0.0.0 a.example b.example\n", "a.example b.example", nil},
		{"a word behind a name", FormatHosts, "0.0.0.0 a.example en\n", "a.example", skips{SkipSingleLabel: 1}},
		{"a line without an address", FormatHosts, "a.example\n", "a.example", nil},
		{"a host that is no whole site stays alone", FormatHosts, "0.0.0.0 x.a.example\n", "=x.a.example", nil},

		// Adblock rules: those that would block much if half of them were read.
		{"a cancelled rule does not block", FormatAdblock, "||com.br^$badfilter\n||bing.example^$badfilter\n||aws.example^$all,badfilter\n", "", nil},
		{"a rule and what cancels it", FormatAdblock, "||aws.example^\n||aws.example^$badfilter\n", "", skips{SkipCancelled: 1}},
		{"a top-level domain less some", FormatAdblock, "||*.top^$dnstype=~CNAME,denyallow=a.top|b.top\n", "", skips{SkipTLD: 1}},
		{"the pages of a browser", FormatAdblock, "||google.*^$domain=a.example\n||cloud.example^$third-party,domain=a.example\n", "", skips{SkipBrowser: 2}},
		{"a comment inside a rule", FormatAdblock, "||chip.example^\n||chip.example^$badfilter  # \"news\"$third-party\n", "", skips{SkipCancelled: 1}},
		{"a modifier behind a comment", FormatAdblock, "||chip.example^ # \"news\"$third-party\n", "", skips{SkipModifier: 1}},
		{"one @ too few", FormatAdblock, "@||fonts.example^$badfilter\n", "", skips{SkipNotAName: 1}},
		{"a script by its name", FormatAdblock, "|adex.js$badfilter\n", "", skips{SkipOpen: 1}},
		{"denyallow cut by commas", FormatAdblock, "||sales.example^$important,denyallow=a.example,b.example\n", "", skips{SkipModifier: 1}},
		{"important and all", FormatAdblock, "||a.example^$important\n||b.example^$all\n", "!a.example b.example", nil},
		{"an important exception", FormatAdblock, "@@||a.example^$important\n", "!@a.example", nil},
		{"kinds of requests", FormatAdblock, "||a.example^$document\n||a.example^$doc\n||a.example^$popup\n||a.example^$image\n||a.example^$script\n||a.example^$removeparam=x\n", "", skips{SkipBrowser: 6}},
		{"rewriting", FormatAdblock, "||a.example^$dnsrewrite=NXDOMAIN;;\n||a.example^$client=kid\n", "", skips{SkipModifier: 2}},
		{"a modifier nobody knows", FormatAdblock, "||a.example^$brand-new\n", "", skips{SkipModifier: 1}},
		{"a path", FormatAdblock, "||a.example/ads/*\n||a.example^ads\n", "", skips{SkipPath: 2}},
		{"no ending", FormatAdblock, "||snapkit.co\n||get-me-wow.\n", "", skips{SkipOpen: 2}},
		{"one bar", FormatAdblock, "|a.example^\n", "=a.example", nil},
		{"an address", FormatAdblock, "||192.0.2.1^\n192.0.2.2\n", "", skips{SkipIP: 2}},
		{"cosmetic rules", FormatAdblock, "a.example##.ad\na.example#@#.ad\na.example#?#div\n##.ad\n", "", skips{SkipBrowser: 4}},
		{"a regular expression that nobody opted in for", FormatAdblock, "/^ads[0-9]+/\n", "", skips{SkipRegexp: 1}},
		{"a plain line", FormatAdblock, "a.example\n", "a.example", nil},
		{"a wildcard inside a host", FormatAdblock, "||ads1.a.*.com^\n||*-gdprlock^\n", "", skips{SkipWildcard: 2}},
		{"a single label", FormatAdblock, "||skype^\n", "", skips{SkipTLD: 1}},
		{"a blank in a host", FormatAdblock, "||slack.example ^\n", "", skips{SkipNotAName: 1}},
		{"conditions of a preprocessor", FormatAdblock, "!#if env_x\n||a.example^\n!#endif\n", "a.example", nil},

		// Configurations and zones.
		{"dnsmasq's ways to deny", FormatDnsmasq, "address=/a.example/#\nserver=/b.example/\nlocal=/c.example/\naddress=/d.example/0.0.0.0\naddress=/e.example/\n", "a.example b.example c.example d.example e.example", nil},
		{"Unbound's ways to deny", FormatUnbound, "local-zone: \"a.example\" always_nxdomain\nlocal-zone: \"b.example\" refuse\nlocal-zone: \"c.example\" static\nlocal-zone: \"d.example\" redirect\n", "a.example b.example c.example d.example", nil},
		{"a zone's head", FormatRPZ, "$TTL 2h\n$ORIGIN z.example.\n@ IN SOA a. b. (\n 1 ; serial\n 2 3\n 4 5 )\n NS localhost.\na.example CNAME .\n", "=a.example", nil},
		{"a zone's actions", FormatRPZ, "a.example CNAME .\nb.example CNAME *.\nc.example CNAME rpz-drop.\nd.example CNAME rpz-passthru.\ne.example CNAME rpz-tcp-only.\n", "=a.example =b.example =c.example @=d.example", skips{SkipRewrite: 1}},
		{"a zone's other triggers", FormatRPZ, "24.0.2.0.192.rpz-ip CNAME .\n24.0.247.18.71.rpz.ip CNAME .\nns.a.example.rpz-nsdname CNAME .\n24.0.2.0.192.rpz-nsip CNAME .\n32.1.2.0.192.rpz-client-ip CNAME .\n48.2404:9dc0:c002::.rpz.ip CNAME .\n", "", skips{SkipTrigger: 6}},
		{"a zone's pairs", FormatRPZ, "a.example CNAME .\n*.a.example CNAME .\n", "a.example", nil},
		{"a zone's apex alone", FormatRPZ, "a.example CNAME .\n", "=a.example", nil},
		{"local data to nowhere and to somebody", FormatRPZ, "a.example A 0.0.0.0\nb.example A 192.0.2.7\n", "=a.example", skips{SkipRewrite: 1}},

		// Entries that are suffixes.
		{"a country's suffix", FormatDomains, "bet.br\nx.se\nme.uk\nac.uk\n", "", skips{SkipPublicSuffix: 4}},
		{"a company's suffix", FormatDomains, "blogspot.com\nappspot.com\ns3.amazonaws.com\n", "", skips{SkipPublicSuffix: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			names, r, err := parseAll(tt.text+"\n"+goodLine[tt.format], ParseOptions{Format: tt.format})
			if err != nil {
				t.Fatal(err)
			}
			var rest []string
			for _, n := range names {
				if n != "good.example" {
					rest = append(rest, n)
				}
			}
			if got := strings.Join(rest, " "); got != tt.want {
				t.Errorf("%q gives %q, want %q", tt.text, got, tt.want)
			}
			if !maps.Equal(r.Skipped, map[SkipReason]int(tt.skips)) {
				t.Errorf("%q: skipped %v, want %v", tt.text, r.Skipped, tt.skips)
			}
		})
	}
	for name, tt := range map[string]struct {
		format Format
		text   string
		want   error
	}{
		"dnsmasq for every name":      {FormatDnsmasq, "address=/#/\n", ErrBlocksAll},
		"a list of top-level domains": {FormatDomains, ".abb\n", ErrBlocksTLD},
		"a web page":                  {FormatAuto, "<!DOCTYPE html><html>\n", ErrWebPage},
		"addresses of pages":          {FormatAuto, strings.Repeat("a.example/x\n", 30), ErrNotAList},
	} {
		if _, _, err := parseAll(goodLine[tt.format]+tt.text, ParseOptions{Format: tt.format}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
