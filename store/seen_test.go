package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/journal"
	"kinward/policy"
)

// TestSeen: each family sees when its own devices asked last, and nobody's older
// word goes before a newer one, unless that came of a clock that was set back since.
func TestSeen(t *testing.T) {
	db := openNew(t)
	ctx := t.Context()
	other := addFamily(t, db, "Other")
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	write := func(s ...journal.Sighting) {
		t.Helper()
		if err := db.WriteSeen(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	write(journal.Sighting{Family: 1, Device: 2, Minute: noon}, journal.Sighting{Family: other, Device: 2, Minute: noon.Add(time.Hour)},
		journal.Sighting{Family: 99, Device: 2, Minute: noon}) // which there is not
	write(journal.Sighting{Family: 1, Device: 2, Minute: noon.Add(-time.Hour)}, journal.Sighting{Family: 1, Device: 3, Minute: noon})
	write(journal.Sighting{Family: 1, Device: 4, Minute: noon.AddDate(1, 0, 0)})
	write(journal.Sighting{Family: 1, Device: 4, Minute: noon})
	for id, want := range map[policy.FamilyID]map[policy.DeviceID]time.Time{
		1: {2: noon, 3: noon, 4: noon}, other: {2: noon.Add(time.Hour)}, 99: {},
	} {
		got, err := db.Seen(ctx, id)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("family %d (-want +got): %v\n%s", id, err, d)
		}
	}
	if _, err := db.Seen(ctx, 0); err == nil {
		t.Error("whoever names no family sees devices")
	}
	if err := db.RemoveFamily(ctx, other); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Seen(ctx, other); err != nil || len(got) != 0 {
		t.Errorf("of a family that was removed there is left %v, %v", got, err)
	}
}
