package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// oldDatabase makes a database of an earlier schema with what its users could have.
func oldDatabase(t *testing.T, schema int64, statements string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	if err := prepare(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, 1, pragmas)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	return path
}

// noon is 1795435200000 ms, and an hour later 1795438800000.
const oldHome = `
	INSERT INTO families VALUES (1, 'Home', 'Europe/Berlin', 1, 9);
	INSERT INTO profiles (family_id, profile_id, name, name_key, preset) VALUES
		(1, 1, 'Everyone', 'everyone', 'C'), (1, 2, 'Adults', 'adults', 'adult'), (1, 5, 'Léa', 'léa', 'A');
	INSERT INTO choices VALUES
		(1, 5, 'category', 'social', 'watch'), (1, 5, 'service', 'tiktok', 'allow'), (1, 1, 'category', 'dating', 'count');
	INSERT INTO rules (family_id, rule_id, profile_id, name, exact, allow, until_at) VALUES
		(1, 1, 5, 'x\.y.example.com', 1, 1, 1795438800000), (1, 4, 1, 'example.org', 0, 0, 0);
	INSERT INTO devices (family_id, device_id, profile_id, usual_profile_id, name, name_key, until_at) VALUES
		(1, 1, 2, 5, 'Tablet', 'tablet', 1795438800000), (1, 2, 2, 1, 'Mum''s laptop', 'mum''s laptop', 0), (1, 9, 5, 0, 'Phone', 'phone', 0);
	DELETE FROM devices WHERE device_id = 9;
	INSERT INTO devices (family_id, device_id, profile_id, usual_profile_id, name, name_key, until_at) VALUES (1, 7, 5, 0, 'Phone', 'phone', 0);
	INSERT INTO device_networks VALUES (1, '192.168.1.20/32', 1), (1, '2001:db8::20/128', 1), (1, '192.168.1.30/32', 2), (1, '10.0.0.0/24', 7);
	INSERT INTO changes (family_id, revision, at, who, what) VALUES
		(1, 8, 1795435200000, 'anna', 'removed device Phone'), (1, 9, 1795435200000, 'the operator', 'added rule 4');
	INSERT INTO incidents VALUES (1, 'i1', 5, 1, 1795435200000, 1795435200000, '', '{}');
	INSERT INTO counts VALUES (1, 5, '2026-11-23', 'dating', 3, 4);`

func TestSchema1LosesNothing(t *testing.T) {
	path := oldDatabase(t, 1, oldHome)
	db := openAt(t, path, options())
	want := &policy.Family{
		ID: 1, Name: "Home", Zone: "Europe/Berlin", Default: 1, LastID: 9, // a removed device had 9
		Profiles: []policy.Profile{
			{
				ID: 1, Name: "Everyone", Preset: policy.BandC,
				Categories: map[blocklists.Category]policy.Choice{blocklists.Dating: policy.ChooseCount},
				Rules:      []policy.Rule{{ID: 4, Name: blocklists.MustName("example.org")}},
			},
			{ID: 2, Name: "Adults", Preset: policy.Adult},
			{
				ID: 5, Name: "Léa", Preset: policy.BandA,
				Categories: map[blocklists.Category]policy.Choice{blocklists.Social: policy.ChooseWatch},
				Services:   map[string]policy.Choice{"tiktok": policy.ChooseAllow},
				Rules:      []policy.Rule{{ID: 1, Name: blocklists.MustName(`x\.y.example.com`), Match: policy.MatchExact, Allow: true, Until: noon.Add(time.Hour)}},
			},
		},
		Devices: []policy.Device{
			{ID: 1, Name: "Tablet", Profile: 2, Then: 5, Until: noon.Add(time.Hour), Networks: prefixes("192.168.1.20", "2001:db8::20")},
			{ID: 2, Name: "Mum's laptop", Profile: 2, Then: 1, Networks: prefixes("192.168.1.30")},
			{ID: 7, Name: "Phone", Profile: 5, Networks: prefixes("10.0.0.0/24")},
		},
	}
	wantFamily(t, db, want, 9)
	changes, err := db.Changes(t.Context(), 1, 10)
	if d := cmp.Diff([]Change{
		{Family: 1, Revision: 9, At: noon, Who: "the operator", What: "added rule 4"},
		{Family: 1, Revision: 8, At: noon, Who: "anna", What: "removed device Phone"},
	}, changes); d != "" || err != nil {
		t.Errorf("changes (-want +got): %s %v", d, err)
	}
	if h, err := db.Health(t.Context(), true); err != nil || h.Incidents != 1 {
		t.Errorf("%d incidents (%v), want 1", h.Incidents, err)
	}
	if c, err := db.Counts(t.Context(), journal.Filter{Family: 1}); err != nil || len(c) != 1 || c[0].Tries != 3 {
		t.Errorf("counts: %+v %v", c, err)
	}
	if err := policy.Join(policy.Faults(want, policy.Known{})); err != nil {
		t.Errorf("what was moved is not valid: %v", err)
	}

	// It goes on: an exemption ends, IDs go on, an old change cannot be undone, and
	// the public address is in the index.
	if _, err := db.Undo(t.Context(), 1, 8, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("undoing a change that was not kept: %v", err)
	}
	change(t, db, func(f *policy.Family) (string, error) { return f.UnexemptDevice("Tablet") })
	change(t, db, func(f *policy.Family) (string, error) { return f.UnexemptDevice("Mum's laptop") })
	change(t, db, func(f *policy.Family) (string, error) { return addRule(f, "example.net", time.Time{}) })
	f, _ := family(t, db)
	if f.Devices[0].Profile != 5 || f.Devices[1].Profile != 1 || f.Profiles[0].Rules[1].ID != 10 {
		t.Errorf("after ending the exemptions: %+v", f)
	}
	if _, err := addFamilyErr(db, "Other", networks("2001:db8::/64")); !errors.Is(err, ErrConflict) {
		t.Errorf("a network over the tablet's: %v", err)
	}
	closeDB(t, db)
	closeDB(t, openAt(t, path, options()))
}

// A migration that fails half-way leaves the old database.
func TestSchema1StaysWhereItCannotBeMoved(t *testing.T) {
	path := oldDatabase(t, 1, oldHome+`UPDATE profiles SET preset = 'Z' WHERE profile_id = 5;`)
	if db, err := Open(t.Context(), path, options()); err == nil {
		db.Close()
		t.Fatal("a preset that does not exist was moved")
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n, version int
	if err := db.QueryRow(`SELECT (SELECT count(*) FROM profiles) + (SELECT count(*) FROM rules), (SELECT max(version_id) FROM goose_db_version)`).Scan(&n, &version); err != nil || n != 5 || version != 1 {
		t.Errorf("%d profiles and rules in schema %d (%v), want 5 in 1", n, version, err)
	}
}
