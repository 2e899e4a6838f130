package policy

import (
	"strings"
	"testing"

	"kinward/blocklists"
)

func mustCanaries(tb testing.TB) *Canaries {
	tb.Helper()
	c, err := embeddedCanaries()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// The names that programs ask for, written down a second time, and names beside
// them that are none.
func TestCanaries(t *testing.T) {
	c := mustCanaries(t)
	want := map[string]string{
		"use-application-dns.net":        "Firefox",
		"mask.icloud.com":                "Apple devices",
		"mask-h2.icloud.com":             "Apple devices",
		"mask-canary.icloud.com":         "Apple devices",
		"mask-api.icloud.com":            "Apple devices",
		"dns-tunnel-check.googlezip.net": "Chrome",
	}
	for host, who := range want {
		k := c.Lookup(blocklists.MustName(host))
		if k == nil || k.Who != who || k.Answer != CanaryNXDomain {
			t.Errorf("Lookup(%s) = %+v, want NXDOMAIN for %s", host, k, who)
		}
	}
	n := 0
	for k := range c.All() {
		n++
		if want[k.Name.String()] == "" {
			t.Errorf("%s is not expected", k.Name)
		}
		if !strings.HasSuffix(k.Then, ".") || len(k.Source) < 5 || len(k.Date) < len("2006-01") {
			t.Errorf("%s lacks a sentence, a source or a date: %+v", k.Name, k)
		}
	}
	if n != len(want) {
		t.Errorf("%d canaries, want %d", n, len(want))
	}
	for _, host := range []string{
		"icloud.com", "x.mask.icloud.com", "mozilla.org", "resolver.arpa", "tunnel.googlezip.net",
		"connectivitycheck.gstatic.com", "captive.apple.com",
	} {
		if k := c.Lookup(blocklists.MustName(host)); k != nil {
			t.Errorf("%s is taken for a canary: %+v", host, k)
		}
	}
}

func TestCanaries_suffix(t *testing.T) {
	c, err := parseCanaries("a.example\tsuffix\tX\tnodata\tS.\twho\t2026-11\nb.a.example\texact\tY\tnxdomain\tS.\twho\t2026-11\n")
	if err != nil {
		t.Fatal(err)
	}
	for host, who := range map[string]string{"a.example": "X", "z.a.example": "X", "b.a.example": "Y", "c.b.a.example": "X", "example": "", "aa.example": ""} {
		k := c.Lookup(blocklists.MustName(host))
		if got := ""; k != nil {
			got = k.Who
			if got != who || (k.Answer == CanaryNoData) != (who == "X") {
				t.Errorf("%s is %+v, want %q", host, k, who)
			}
		} else if who != "" {
			t.Errorf("%s is no canary, want %q", host, who)
		}
	}
}

// The catalogue agrees: whoever asks for a canary did not do so on purpose, it
// belongs to what leads past the filter, and nothing holds it open.
func TestCanaries_catalogueAgrees(t *testing.T) {
	x := mustIndex(t)
	for k := range mustCanaries(t).All() {
		quiet := false
		for _, l := range x.Known(k.Name, TypeA) {
			quiet = quiet || l.Marks&blocklists.Quiet != 0
			switch l.Category {
			case blocklists.NoCategory, blocklists.VPNProxy, blocklists.EncryptedDNS:
			default:
				t.Errorf("%s is about %s", k.Name, l.Category)
			}
		}
		if !quiet {
			t.Errorf("%s is not quiet", k.Name)
		}
	}
}

// Names by which programs learn whether the network works, or whether to look
// for a filter at all, have to resolve for everybody, at bedtime too.
func TestCanaries_probesArePlumbing(t *testing.T) {
	x := mustIndex(t)
	for _, host := range []string{
		"connectivitycheck.gstatic.com", "captive.apple.com", "www.msftconnecttest.com", "detectportal.firefox.com",
		"a1b2c3d4-dnsotls-ds.metric.gstatic.com", "a1b2c3d4-dnsohttps-ds.metric.gstatic.com",
		"firefox.com", "mozilla.org", // Firefox believes its canary only where both resolve
	} {
		plumbing := false
		for _, l := range x.Known(blocklists.MustName(host), TypeA) {
			plumbing = plumbing || l.Category == blocklists.Plumbing
		}
		if !plumbing {
			t.Errorf("%s is not plumbing", host)
		}
	}
}

func TestCanaries_doNotAllocate(t *testing.T) {
	c := mustCanaries(t)
	names := []blocklists.Name{blocklists.MustName("mask.icloud.com"), blocklists.MustName("www.example.com")}
	if n := testing.AllocsPerRun(1000, func() {
		for _, name := range names {
			c.Lookup(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestParseCanaries_refuses(t *testing.T) {
	const row = "a.example\texact\tX\tnxdomain\tS.\twho\t2026-11\n"
	for _, tt := range []struct{ name, tsv, want string }{
		{"a name twice", row + row, "canaries.tsv line 2: a.example stands twice"},
		{"another spelling", strings.Replace(row, "a.example", "A.example", 1), "has to be written"},
		{"an unknown match", strings.Replace(row, "exact", "below", 1), `match "below"`},
		{"an unknown answer", strings.Replace(row, "nxdomain", "refused", 1), `answer "refused"`},
		{"a column too few", "a.example\texact\n", "want 7 columns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseCanaries(tt.tsv); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseCanaries = %v; want an error with %q", err, tt.want)
			}
		})
	}
}
