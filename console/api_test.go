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
