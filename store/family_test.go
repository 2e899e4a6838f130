package store

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/policy"
)

// unused until the next commit
var _ = prefixes

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
			continue
		}
		a := netip.MustParseAddr(s)
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

func wantFamily(t *testing.T, db *DB, want *policy.Family, revision uint64) {
	t.Helper()
	got, r := family(t, db)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" || r != revision {
		t.Errorf("revision %d, want %d; family (-want +got):\n%s", r, revision, d)
	}
}

func newFamily() *policy.Family {
	return &policy.Family{
		ID: 1, Name: "Home", Zone: "Europe/Berlin", Default: 1, LastID: 2,
		Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}, {ID: 2, Name: "Adults", Preset: policy.Adult}},
	}
}

func TestFirstFamily(t *testing.T) {
	db := openNew(t)
	wantFamily(t, db, newFamily(), 1)
	closeDB(t, db)
	wantFamily(t, openAt(t, db.Path(), Options{Zone: "Asia/Tokyo"}), newFamily(), 1)

	e, o := policy.BandE, options()
	o.Preset = &e
	want := newFamily()
	want.Profiles[0].Preset = e
	wantFamily(t, openAt(t, filepath.Join(t.TempDir(), FileName), o), want, 1)

	o.Zone = "Mars/Olympus"
	if db, err := Open(t.Context(), filepath.Join(t.TempDir(), FileName), o); err == nil {
		db.Close()
		t.Error("a zone that does not exist was taken")
	}
}

func TestServerZoneIsAName(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	if z := serverZone(); z != "Asia/Tokyo" {
		t.Errorf("TZ=Asia/Tokyo: %q", z)
	}
	os.Setenv("TZ", "")
	if z := serverZone(); z != "" {
		if _, err := time.LoadLocation(z); err != nil || z == "Local" {
			t.Errorf("%q is no zone", z)
		}
	}
}

// change changes the home family, which must work.
func change(t testing.TB, db *DB, f func(*policy.Family) (string, error)) uint64 {
	t.Helper()
	revision, err := db.Change(t.Context(), Edit{}, f)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}
