package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
	"kinward/journal"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/policy"
)

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

func addRule(f *policy.Family, name string, until time.Time) (string, error) {
	_, what, err := f.AddRule("Everyone", policy.Rule{Name: blocklists.MustName(name), Until: until}, noon)
	return what, err
}

func exempt(f *policy.Family) (string, error) {
	_, what, err := f.ExemptDevice("192.168.1.20", "", noon.Add(time.Hour), noon)
	return what, err
}

func choose(thing blocklists.Category, c policy.Choice) func(*policy.Family) (string, error) {
	return func(f *policy.Family) (string, error) { return f.SetCategory("Everyone", thing, &c) }
}

func TestChangesAreRecorded(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	if _, err := db.As("anna").Change(ctx, Edit{Why: "homework"}, exempt); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if r := change(t, db, choose(blocklists.AIChat, policy.ChooseBlock)); r != 3 {
			t.Errorf("revision %d, want 3", r)
		}
	}
	got, err := db.Changes(ctx, 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{Family: 1, Revision: 3, At: noon, Who: "the operator", What: `chose "block" for category ai-chat in profile Everyone`, CanUndo: true},
		{
			Family: 1, Revision: 2, At: noon, Who: "anna", Why: "homework", CanUndo: true,
			What: "exempted device Device 192.168.1.20 (192.168.1.20) until 2026-11-23T13:00:00Z: it is on profile Adults",
		},
		{Family: 1, Revision: 1, At: noon, Who: "the operator", What: "made the family Home with profile Everyone (preset C) for every device, and profile Adults (preset adult)"},
	}
	if len(got) == 3 && len(got[1].Weakens) != 1 {
		t.Errorf("an exemption weakens %v, want one way", got[1].Weakens)
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Change{}, "Weakens")); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	if other, err := db.Changes(ctx, 2, 10); err != nil || len(other) != 0 {
		t.Errorf("another family's changes: %v %v", other, err)
	}
}

// What is refused says so and changes nothing, also where the edit was half done.
func TestARefusedChangeChangesNothing(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	before, revision := family(t, db)
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		f    func(*policy.Family) (string, error)
		want error
	}{
		{"the edit fails", func(f *policy.Family) (string, error) { f.Name = "x"; return "", boom }, boom},
		{"what comes out is wrong", func(f *policy.Family) (string, error) { f.Default = 99; return "x", nil }, ErrInvalid},
		{"a category that cannot be chosen", choose(blocklists.Help, policy.ChooseBlock), ErrInvalid},
	} {
		if _, err := db.Change(ctx, Edit{Doing: "trying"}, tt.f); !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "trying: ") {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := db.Change(ctx, Edit{Family: 7}, exempt); !errors.Is(err, ErrNotFound) {
		t.Errorf("a family that does not exist: %v", err)
	}
	err := db.Together(ctx, func(tx *Tx) error {
		if _, err := tx.Change(Edit{}, exempt); err != nil {
			return err
		}
		_, err := tx.Change(Edit{}, func(*policy.Family) (string, error) { return "", boom })
		return err
	})
	if !errors.Is(err, boom) {
		t.Errorf("two changes, the second fails: %v", err)
	}
	err = db.DryRun(ctx, func(tx *Tx) error {
		r, err := tx.Change(Edit{}, exempt)
		if f, _, _ := tx.Family(0); len(f.Devices) != 1 || r != 2 {
			t.Errorf("a dry run does not see its change: %d devices, revision %d", len(f.Devices), r)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantFamily(t, db, before, revision)
}

// A service that left the catalogue must not lock what a family chose long ago.
func TestAnOldFaultDoesNotLockAFamily(t *testing.T) {
	known := policy.Known{Services: []string{"chat", "gone"}}
	o := options()
	o.Known = func() policy.Known { return known }
	db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
	block := policy.ChooseBlock
	service := func(id string) func(*policy.Family) (string, error) {
		return func(f *policy.Family) (string, error) { return f.SetService("Everyone", id, &block) }
	}
	change(t, db, service("gone"))
	known.Services = []string{"chat"}
	change(t, db, service("chat"))
	if _, err := db.Change(t.Context(), Edit{}, service("chart")); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `did you mean "chat"`) {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestUndo(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
	ctx := t.Context()
	undo := func(revision uint64, want error, says string) {
		t.Helper()
		_, err := db.Undo(ctx, 1, revision, "")
		if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("undo %d: got %v, want %v that says %q", revision, err, want, says)
		}
	}
	change(t, db, choose(blocklists.Social, policy.ChooseAllow))                                                    // 2
	change(t, db, choose(blocklists.Forums, policy.ChooseAllow))                                                    // 3
	change(t, db, func(f *policy.Family) (string, error) { return addRule(f, "example.com", time.Time{}) })         // 4
	change(t, db, func(f *policy.Family) (string, error) { return addRule(f, "example.org", noon.Add(time.Hour)) }) // 5
	rules := func() (ids []policy.RuleID) {
		f, _ := family(t, db)
		for _, r := range f.Profiles[0].Rules {
			ids = append(ids, r.ID)
		}
		return ids
	}
	had := rules()
	change(t, db, func(f *policy.Family) (string, error) { return f.RemoveRule(had[0]) }) // 6
	undo(2, nil, "")                                                                      // 7: later changes stay
	if f, _ := family(t, db); len(f.Profiles[0].Categories) != 1 || f.Profiles[0].Categories[blocklists.Forums] != policy.ChooseAllow {
		t.Errorf("categories after undoing one choice: %v", f.Profiles[0].Categories)
	}
	undo(6, nil, "") // 8
	if got := rules(); !cmp.Equal(got, had) {
		t.Errorf("rules %v, want the IDs %v back", got, had)
	}
	undo(8, nil, "") // 9: an undo is a change like others
	if got := rules(); !cmp.Equal(got, had[1:]) {
		t.Errorf("rules %v after the undo was undone, want %v", got, had[1:])
	}
	undo(2, ErrConflict, "nothing of it is left")
	change(t, db, choose(blocklists.Forums, policy.ChooseWatch)) // 10
	undo(3, ErrConflict, `change 10 (the operator: chose "watch" for category forums`)
	undo(1, ErrInvalid, "made the family")
	undo(99, ErrNotFound, "no such change")

	change(t, db, func(f *policy.Family) (string, error) { return f.RemoveRule(had[1]) }) // 11
	now = noon.Add(2 * time.Hour)
	undo(11, ErrConflict, "is over")
	if got := rules(); len(got) != 0 {
		t.Errorf("a rule that has ended came back: %v", got)
	}

	// A thing that was given more since does not go by an undo.
	change(t, db, func(f *policy.Family) (string, error) { // 12
		_, what, err := f.AddProfile("Lea", policy.BandA)
		return what, err
	})
	change(t, db, func(f *policy.Family) (string, error) { return f.SetGuests("Lea", true) }) // 13
	undo(12, ErrConflict, "change 13")
	undo(13, nil, "")
	undo(12, nil, "")
	list, err := db.Changes(ctx, 1, 1)
	if err != nil || len(list) != 1 || list[0].Undoes != 12 || list[0].What != "took back change 12 (added profile Lea (preset A)); what it changed is as it was before" {
		t.Errorf("record of the undo: %+v %v", list, err)
	}
	undo(list[0].Revision, nil, "")
	again, err := db.Changes(ctx, 1, 1)
	if want := fmt.Sprintf("took back change %d (took back change 12 (added profile Lea (preset A))); what it changed is as it was before", list[0].Revision); err != nil || len(again) != 1 || again[0].What != want {
		t.Errorf("record of the undo of an undo: %+v %v, want %s", again, err, want)
	}
}

// What is stored of a single day's hours is what is read back: its change can be undone, and
// the same again is none.
func TestUndoOfASingleDay(t *testing.T) {
	db := openAt(t, filepath.Join(t.TempDir(), FileName), options())
	change(t, db, func(f *policy.Family) (string, error) {
		_, what, err := f.AddSchedule("Everyone", policy.Schedule{Name: "Bedtime", Windows: []policy.Window{{Days: 127, From: 20 * 60, To: 6 * 60}}})
		return what, err
	})
	late := func(f *policy.Family) (string, error) {
		return f.AddException("Everyone", "Bedtime", policy.Exception{
			Day: policy.Date{Year: 2026, Month: 12, Day: 31}, Windows: []policy.Window{{From: 23 * 60, To: 8 * 60}},
		})
	}
	change(t, db, late)
	_, revision := family(t, db)
	if again, err := db.Change(t.Context(), Edit{}, late); err != nil || again != revision {
		t.Errorf("the same day again makes revision %d, %v; want %d as it was", again, err, revision)
	}
	if _, err := db.Undo(t.Context(), 1, revision, ""); err != nil {
		t.Errorf("undoing it: %v", err)
	}
	if f, _ := family(t, db); len(f.Profiles[0].Schedules[0].Exceptions) != 0 {
		t.Errorf("exceptions after the undo: %v", f.Profiles[0].Schedules[0].Exceptions)
	}
}

func TestWhatEndedIsPrunedByTheNextChange(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
	change(t, db, func(f *policy.Family) (string, error) { return addRule(f, "example.org", noon.Add(time.Hour)) })
	change(t, db, func(f *policy.Family) (string, error) {
		_, what, err := f.AddGrant("Everyone", policy.Grant{Until: noon.Add(time.Hour), By: "anna"}, noon)
		return what, err
	})
	change(t, db, exempt)
	now = noon.Add(2 * time.Hour)
	if f, _ := family(t, db); len(f.Profiles[0].Rules) != 1 || len(f.Grants) != 1 || f.Devices[0].Profile != 1 {
		t.Errorf("soon after their end: %+v", f)
	}
	now = noon.Add(9 * 24 * time.Hour)
	change(t, db, choose(blocklists.Social, policy.ChooseAllow))
	if f, _ := family(t, db); len(f.Profiles[0].Rules) != 0 || len(f.Grants) != 0 {
		t.Errorf("days after their end: %+v", f)
	}
	if _, err := db.Undo(t.Context(), 1, 5, ""); err != nil {
		t.Fatal(err)
	}
	if f, _ := family(t, db); len(f.Profiles[0].Rules) != 0 || len(f.Grants) != 0 {
		t.Errorf("an undo of the change that pruned brought back: %+v", f)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	err := db.Together(ctx, func(tx *Tx) error {
		for n := range KeptChanges + 10 {
			if _, err := tx.Change(Edit{}, choose(blocklists.Social, policy.Choice(n%2))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := db.Changes(ctx, 1, 10*KeptChanges)
	if err != nil || len(list) != KeptChanges || list[0].Revision != KeptChanges+11 {
		t.Errorf("%d changes (%v), want the newest %d", len(list), err, KeptChanges)
	}
}

func addFamily(t testing.TB, db *DB, name string, edits ...func(*policy.Family) (string, error)) policy.FamilyID {
	t.Helper()
	id, err := addFamilyErr(db, name, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func addFamilyErr(db *DB, name string, edits ...func(*policy.Family) (string, error)) (policy.FamilyID, error) {
	f := policy.NewFamily(name, "Europe/Berlin", policy.BandB)
	for _, edit := range edits {
		if _, err := edit(f); err != nil {
			return 0, err
		}
	}
	return db.AddFamily(context.Background(), f, "")
}

func device(d policy.Device) func(*policy.Family) (string, error) {
	return func(f *policy.Family) (string, error) {
		_, what, err := f.AddDevice("Everyone", d, noon)
		return what, err
	}
}

func networks(list ...string) func(*policy.Family) (string, error) {
	return func(f *policy.Family) (string, error) { return f.SetNetworks(prefixes(list...)) }
}

// A clue leads to one family; whose it is another family is not told.
func TestCluesAreUniqueAcrossFamilies(t *testing.T) {
	db := openNew(t)
	addFamily(t, db, "Secret", networks("203.0.113.0/28"),
		device(policy.Device{Name: "Phone", Tokens: []string{"k7f3"}, MACs: []policy.MAC{{2}}, Networks: prefixes("192.168.1.20")}),
		device(policy.Device{Name: "Out", Networks: prefixes("198.51.100.7", "203.0.113.3")}))
	for _, tt := range []struct {
		name string
		edit func(*policy.Family) (string, error)
		ok   bool
	}{
		{"its network", networks("203.0.113.0/28"), false},
		{"a part of its network", networks("203.0.113.14"), false},
		{"a network over its network", networks("203.0.0.0/16"), false},
		{"its device's public address as a network", networks("198.51.100.0/24"), false},
		{"its device's public address", device(policy.Device{Name: "D", Networks: prefixes("198.51.100.7")}), false},
		{"its token", device(policy.Device{Name: "D", Tokens: []string{"K7F3"}}), false},
		{"a private address, which every home has", device(policy.Device{Name: "D", Networks: prefixes("192.168.1.20")}), true},
		{"a hardware address", device(policy.Device{Name: "D", MACs: []policy.MAC{{2}}}), true},
		{"the network after its network", networks("203.0.113.16/28"), true},
		{"the address before its network", networks("203.0.112.255"), true},
	} {
		err := db.DryRun(t.Context(), func(tx *Tx) error {
			_, err := tx.Change(Edit{}, tt.edit)
			return err
		})
		switch {
		case tt.ok && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case !tt.ok && (!errors.Is(err, ErrConflict) || strings.Contains(err.Error(), "Secret") || strings.Contains(err.Error(), "Phone") || strings.Contains(err.Error(), "Out")):
			t.Errorf("%s: got %v, want a conflict that names nothing of the other family", tt.name, err)
		}
	}
	// A clue that is given up can be used at once.
	two, err := db.FindFamily(t.Context(), "SECRET")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change(t.Context(), Edit{Family: two}, networks("198.51.100.128/25")); err != nil {
		t.Fatal(err)
	}
	change(t, db, networks("203.0.113.8/29"))
}

func TestRemovingAFamilyRemovesAllItHas(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	id := addFamily(t, db, "Other", networks("203.0.113.0/28"), device(policy.Device{Name: "Phone", Tokens: []string{"k7f3"}}))
	b := batch(3, noon)
	for i := range b.Rows {
		b.Rows[i].Family = id
	}
	b.Counts = []journal.Count{{Family: id, Profile: 1, Day: "2026-11-23", Category: "dating", Tries: 1, Queries: 1}}
	if err := db.Write(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := db.RemoveFamily(ctx, 1); !errors.Is(err, ErrConflict) {
		t.Errorf("removing the home family: %v", err)
	}
	if err := db.RemoveFamily(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(ctx, b); err != nil { // what the journal still had in memory
		t.Fatal(err)
	}
	for _, table := range []string{"families", "changes", "clues", "incidents", "counts", "channels", "preferences", "digests", "told", "outbox"} {
		var n int
		if err := db.read.QueryRow(`SELECT count(*) FROM `+table+` WHERE family_id = $1`, int64(id)).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows are left (%v)", table, n, err)
		}
	}
	if err := db.RemoveFamily(ctx, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing it again: %v", err)
	}
	if again := addFamily(t, db, "Other"); again == id {
		t.Error("a family's ID was used again")
	}
}

func TestManyFamilies(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	for n := range 3 {
		addFamily(t, db, fmt.Sprintf("Family %d", n%2))
	}
	var names []string
	for f, err := range db.Families(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(f.ID, f.Name))
	}
	if got := strings.Join(names, ", "); got != "1Home, 2Family 0, 3Family 1, 4Family 0" {
		t.Errorf("families: %s", got)
	}
	for range db.Families(ctx) {
		break // gives its connection back
	}
	if _, err := db.FindFamily(ctx, "family 0"); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "2 and 4") {
		t.Errorf("a name of two: %v", err)
	}
	if _, err := db.FindFamily(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a name of none: %v", err)
	}
	page, err := db.FamilyList(ctx, 2, 1)
	if d := cmp.Diff([]FamilyInfo{{3, "Family 1", 1}}, page); d != "" || err != nil {
		t.Errorf("page (-want +got): %s %v", d, err)
	}
	if _, err := db.write.Exec(`UPDATE families SET document = '{' WHERE family_id = 3`); err != nil {
		t.Fatal(err)
	}
	var failed error
	n := 0
	for _, err := range db.Families(ctx) {
		if n++; err != nil {
			failed = err
		}
	}
	if failed == nil || n != 3 {
		t.Errorf("a document that cannot be read: %v after %d", failed, n)
	}
}

// BenchmarkFamilies reads families as a start does: a million take this times
// ten thousand.
func BenchmarkFamilies(b *testing.B) {
	const n = 100
	db := openNew(b)
	for i := range n - 1 {
		addFamily(b, db, fmt.Sprint("Family ", i),
			device(policy.Device{Name: "Phone", Tokens: []string{fmt.Sprint("t", i)}}),
			device(policy.Device{Name: "Tablet", Networks: prefixes("192.168.1.20"), MACs: []policy.MAC{{2}}}))
	}
	for b.Loop() {
		got := 0
		for range db.Families(b.Context()) {
			got++
		}
		if got != n {
			b.Fatal(got)
		}
	}
}

// BenchmarkChange is one change of a family on the disk.
func BenchmarkChange(b *testing.B) {
	db, n := openNew(b), 0
	for b.Loop() {
		n++
		change(b, db, choose(blocklists.Social, policy.Choice(n%2)))
	}
}
