package main

import (
	"strings"
	"testing"

	"kinward/blocklists"
)

// TestListAddedSays: a list that holds for nobody yet says so when it is added, and
// with what words it holds; another does not.
func TestListAddedSays(t *testing.T) {
	for category, want := range map[blocklists.Category]bool{blocklists.OwnLists: true, blocklists.Dating: false} {
		var b strings.Builder
		printListAdded(&b, listsReply{Lists: []listView{{ID: "school", Category: category.String(), Report: &blocklists.Report{}}}})
		if got := strings.Contains(b.String(), "profiles list PROFILE school block"); got != want {
			t.Errorf("after a list of the category %s was added:\n%s", category, b.String())
		}
	}
}

// TestFetchProgress: bytes are said in a unit in which they are not nothing.
func TestFetchProgress(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        string
	}{
		{94, 94, "fetching school: 94 bytes of 94 bytes"},
		{94, -1, "fetching school: 94 bytes"},
		{5e6, 1.25e7, "fetching school: 5.0 MB of 12.5 MB"},
	} {
		var got string
		fetchProgress(func(s string) { got = s })(blocklists.Event{List: "school", Done: tt.done, Total: tt.total})
		if got != tt.want {
			t.Errorf("%d of %d: %q; want %q", tt.done, tt.total, got, tt.want)
		}
	}
}
