package store

import (
	"net/netip"
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

// TestEraseSeen: what is kept of a child's devices goes with the child's record, also
// of one that is exempt for a while.
func TestEraseSeen(t *testing.T) {
	db := openNew(t)
	ctx := t.Context()
	var exempt, others policy.DeviceID
	change(t, db, func(f *policy.Family) (string, error) {
		for _, name := range []string{"Lea", "Tom"} {
			if _, _, err := f.AddProfile(name, policy.BandC); err != nil {
				return "", err
			}
		}
		var err error
		if exempt, _, err = f.AddDevice("Lea", policy.Device{Name: "Tablet", Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.20/32")}}, noon); err != nil {
			return "", err
		}
		if others, _, err = f.AddDevice("Tom", policy.Device{Name: "Phone", Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.21/32")}}, noon); err != nil {
			return "", err
		}
		_, what, err := f.ExemptDevice("Tablet", "", time.Time{}, noon)
		return what, err
	})
	if err := db.WriteSeen(ctx, []journal.Sighting{{Family: 1, Device: exempt, Minute: noon}, {Family: 1, Device: others, Minute: noon}}); err != nil {
		t.Fatal(err)
	}
	f, _ := family(t, db)
	lea, err := f.Profile("Lea")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Erase(ctx, f, lea.ID, "erased", ""); err != nil {
		t.Fatal(err)
	}
	got, err := db.Seen(ctx, 1)
	if d := cmp.Diff(map[policy.DeviceID]time.Time{others: noon}, got); err != nil || d != "" {
		t.Errorf("seen after Lea's was erased (-want +got): %v\n%s", err, d)
	}
}
