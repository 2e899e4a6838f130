package blocklists

import (
	"testing"
)

// checkPattern is what every entry with a pattern must hold to.
func checkPattern(t *testing.T, e Entry) {
	t.Helper()
	again, err := ParsePattern(e.Pattern.String())
	if err != nil {
		t.Errorf("%s does not read back: %v", e.Pattern, err)
		return
	}
	if again.Pattern.String() != e.Pattern.String() || again.Name != e.Name || again.Exact != e.Exact ||
		again.Except != e.Except || again.Important != e.Important {
		t.Errorf("%s reads back as %s", e.Pattern, again.Pattern)
	}
	if (e.Name == "") != (e.Pattern.glob != nil || e.Pattern.re != nil) {
		t.Errorf("%s: name %q", e.Pattern, e.Name)
	}
}
