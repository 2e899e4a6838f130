package console

import (
	"testing"

	"kinward/store"
)

// TestAPIListsAreWhole: a list that the API cuts into pages by itself is read to its
// end, or a program would be told at some page that there is no more.
func TestAPIListsAreWhole(t *testing.T) {
	for _, r := range apiRoutes {
		limit, bounded := r.fixed["limit"]
		if bounded && r.list != "" && !r.paged && limit != store.KeptChanges {
			t.Errorf("%s: it reads %v of a list of which up to %d are kept", r.id, limit, store.KeptChanges)
		}
	}
}

// A character that is written as two halves is one; half of one is refused.
func TestHalfLetter(t *testing.T) {
	for body, want := range map[string]bool{
		`{"name":"a\ud83d\ude00b\u00e9"}`:     false,
		`{"name":"a\\ud83d","b":"\\\\udc00"}`: false,
		`{"name":"a\ud800b"}`:                 true,
		`{"name":"\ude00"}`:                   true,
		`{"name":"\ud83d\ud83d"}`:             true,
		`{"name":"\ud83d\\ude00"}`:            true,
		`{"\udbff":1}`:                        true,
	} {
		if got := halfLetter([]byte(body)); got != want {
			t.Errorf("%s: %t, want %t", body, got, want)
		}
	}
}
