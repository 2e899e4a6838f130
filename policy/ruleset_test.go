package policy

import (
	"testing"

	"kinward/blocklists"
)

// Whoever asks for a name above an allowed one is told so, and no rule is looked
// at that is not for the name.
func TestRulesAboveAllowed(t *testing.T) {
	s, err := newRuleSet([]Rule{{ID: 1, Name: blocklists.MustName("school.example"), Allow: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	above := blocklists.MustName("example")
	if !s.allowsBelow(above) {
		t.Errorf("nothing allowed lies below %q", above)
	}
	if got := s.of(above, hashName(above)); len(got) != 0 {
		t.Errorf("of(%q) returns %d rules, want none", above, len(got))
	}
}
