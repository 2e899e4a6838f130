package policy

import (
	"strings"
	"testing"

	"kinward/blocklists"
)

func TestRuleWarnings(t *testing.T) {
	x := newWorld(t).Index
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule Rule
		says string // "" for no warning
	}{
		{Rule{Name: blocklists.MustName("org.uk")}, "lie below org.uk and stay open whatever this says, for example "},
		{Rule{Name: blocklists.MustName("org.uk"), Match: MatchExact}, ""},
		{Rule{Name: blocklists.MustName("co.uk")}, "every site whose name ends in .co.uk"},
		{Rule{Name: blocklists.MustName("co.uk"), Allow: true}, "every site whose name ends in .co.uk"},
		{Rule{Name: blocklists.MustName("connectivitycheck.gstatic.com")}, "devices need connectivitycheck.gstatic.com"},
		{Rule{Name: blocklists.MustName("connectivitycheck.gstatic.com"), Allow: true}, ""},
		{Rule{Name: blocklists.MustName("phish.example"), Allow: true}, "a list calls phish.example dangerous"},
		{Rule{Name: blocklists.MustName("phish.example")}, ""},
		{Rule{Name: c.Shared[0].Name}, "unrelated apps and sites share " + c.Shared[0].Name.String()},
		{Rule{Name: blocklists.MustName("example.com")}, ""},
	} {
		got := strings.Join(RuleWarnings(c, x, tt.rule), "\n")
		if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) || strings.HasSuffix(got, ".") {
			t.Errorf("%s: got %q, want %q", RuleText(tt.rule), got, tt.says)
		}
	}
}
