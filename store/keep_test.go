package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// TestEveryTableIsKeptOrChosen: a new table of families that an erasure does not
// know of fails here. Add it to keptTables if anything in it comes of what was
// attempted.
func TestEveryTableIsKeptOrChosen(t *testing.T) {
	db := openNew(t)
	err := db.each(t.Context(), func(rows *sql.Rows) error {
		var table string
		if err := rows.Scan(&table); err != nil {
			return err
		}
		if !slices.Contains(familyTables(), table) {
			t.Errorf("table %s is neither in keptTables nor in chosenTables", table)
		}
		return nil
	}, `SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'family_id'`)
	if err != nil {
		t.Fatal(err)
	}
}

// of gives an incident a category.
func of(c blocklists.Category) func(*journal.Row, map[string]any) {
	return func(_ *journal.Row, d map[string]any) { d["category"] = c.String() }
}

func inProfile(p policy.ProfileID) func(*journal.Row, map[string]any) {
	return func(r *journal.Row, _ map[string]any) { r.Profile = p }
}

// TestExpireNothing: a family of which nothing is old does not wait for who writes.
func TestExpireNothing(t *testing.T) {
	db := openNew(t)
	write(t, db, journal.Batch{
		Rows:   []journal.Row{row("young", noon)},
		Counts: []journal.Count{{Family: 1, Profile: 1, Category: "dating", Day: noon.Format(time.DateOnly), Tries: 1}},
	})
	f, _, err := db.Family(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, keep := range map[string]policy.Retention{"all alike": {}, "a category shorter": {Categories: map[blocklists.Category]policy.KeptDays{blocklists.Dating: 1}}} {
		f.Retention = keep
		err = db.Together(t.Context(), func(*Tx) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			e, err := db.Expire(ctx, f, noon.Add(time.Hour))
			if e != (Expired{}) {
				t.Errorf("%s: forgot %+v", name, e)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNextKeeping(t *testing.T) {
	db := openNew(t)
	want := []policy.FamilyID{0}
	for i, kept := range []journal.Batch{
		{Rows: []journal.Row{row("d1", noon)}},
		{},
		{Counts: []journal.Count{{Profile: 1, Category: "dating", Day: noon.Format(time.DateOnly), Tries: 1}}},
		{},
	} {
		f := policy.NewFamily(fmt.Sprintf("Family %d", i), "UTC", policy.BandC)
		if _, err := db.AddFamily(t.Context(), f, ""); err != nil {
			t.Fatal(err)
		}
		for i := range kept.Rows {
			kept.Rows[i].Family = f.ID
		}
		for i := range kept.Counts {
			kept.Counts[i].Family = f.ID
		}
		if len(kept.Rows)+len(kept.Counts) > 0 {
			write(t, db, kept)
			want = append(want, f.ID)
		}
	}
	want = append(want, 0)
	for i, after := range want[:len(want)-1] {
		if next, err := db.NextKeeping(t.Context(), after); err != nil || next != want[i+1] {
			t.Errorf("after %d comes %d, %v; want %d", after, next, err, want[i+1])
		}
	}
}

func TestExpire(t *testing.T) {
	days := func(n int) time.Time { return noon.AddDate(0, 0, -n) }
	own := func(c blocklists.Category, d policy.KeptDays) map[blocklists.Category]policy.KeptDays {
		return map[blocklists.Category]policy.KeptDays{c: d}
	}
	for _, tt := range []struct {
		name string
		keep policy.Retention
		want []string // newest first
	}{
		{"as it comes", policy.Retention{}, []string{"d1", "g1", "d89", "g89"}},
		{"a week", policy.Retention{Days: 7}, []string{"d1", "g1"}},
		{"a category for a week", policy.Retention{Categories: own(blocklists.Dating, 7)}, []string{"d1", "g1", "g89"}},
		{"a category for a year", policy.Retention{Days: 7, Categories: own(blocklists.Gambling, 365)}, []string{"d1", "g1", "g89", "g91"}},
		{"for long", policy.Retention{Days: 365}, []string{"d1", "g1", "d89", "g89", "d91", "g91"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openNew(t)
			var b journal.Batch
			for _, n := range []int{1, 89, 91} {
				b.Rows = append(b.Rows,
					row(fmt.Sprintf("d%d", n), days(n), of(blocklists.Dating)),
					row(fmt.Sprintf("g%d", n), days(n).Add(-time.Second), of(blocklists.Gambling)))
				for _, c := range []string{"dating", "gambling"} {
					b.Counts = append(b.Counts, journal.Count{Family: 1, Profile: 1, Category: c, Day: days(n).Format(time.DateOnly), Tries: 1})
				}
			}
			write(t, db, b)
			for _, r := range b.Rows {
				if err := db.Review(t.Context(), journal.Review{Family: 1, Incident: r.ID, At: noon}); err != nil {
					t.Fatal(err)
				}
			}
			f, _ := family(t, db)
			f.Retention = tt.keep
			if err := db.Viewed(t.Context(), journal.View{Family: 1, Action: "list", Last: noon.AddDate(0, 0, -int(tt.keep.Default())-1)}); err != nil {
				t.Fatal(err)
			}
			e, err := db.Expire(t.Context(), f, noon)
			if err != nil {
				t.Fatal(err)
			}
			got := ids(t, db, journal.Filter{Family: 1})
			if diff := cmp.Diff(tt.want, got); diff != "" || e.Incidents != 6-len(tt.want) {
				t.Errorf("%d are forgotten; left (-want +got):\n%s", e.Incidents, diff)
			}
			counts, err := db.Counts(t.Context(), journal.Filter{Family: 1})
			var left []string
			for _, c := range counts {
				for _, n := range []int{1, 89, 91} {
					if c.Day == days(n).Format(time.DateOnly) {
						left = append(left, fmt.Sprintf("%c%d", c.Category[0], n))
					}
				}
			}
			if diff := cmp.Diff(tt.want, left); err != nil || diff != "" || e.Counts != 6-len(tt.want) {
				t.Errorf("%v; %d counts are forgotten; left (-want +got):\n%s", err, e.Counts, diff)
			}
			reviews := 0
			if err := db.read.QueryRow(`SELECT count(DISTINCT incident_id) FROM reviews WHERE family_id = 1`).Scan(&reviews); err != nil || reviews != len(tt.want) {
				t.Errorf("%d reviews are left, %v; want %d", reviews, err, len(tt.want))
			}
			if views, err := db.Views(t.Context(), 1, 0, "", time.Time{}, 10); err != nil || len(views) != 0 {
				t.Errorf("an old look is still kept: %v %v", views, err)
			}
			if again, err := db.Expire(t.Context(), f, noon); err != nil || again != (Expired{}) {
				t.Errorf("a second time forgets %+v, %v", again, err)
			}
		})
	}
}

// TestExpireLeavesWritersAlone: while a long record is forgotten, others write:
// no transaction of it holds more than a chunk.
func TestExpireLeavesWritersAlone(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(5*chunk, noon.AddDate(-1, 0, 0)))
	f, _ := family(t, db)
	done := make(chan error, 1)
	go func() {
		e, err := db.Expire(t.Context(), f, noon)
		if err == nil && e.Incidents != 5*chunk {
			err = fmt.Errorf("%d were forgotten, want %d", e.Incidents, 5*chunk)
		}
		done <- err
	}()
	between := 0
	for n := 0; ; n++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(t, db, journal.Filter{Family: 1, Limit: journal.MaxLimit}); len(got) != n {
				t.Errorf("%d incidents are left, want the %d new ones", len(got), n)
			}
			if between == 0 {
				t.Error("nobody could write before all was forgotten")
			}
			return
		default:
		}
		write(t, db, journal.Batch{Rows: []journal.Row{row(fmt.Sprintf("new%d", n), noon)}})
		var old int
		if err := db.read.QueryRow(`SELECT count(*) FROM incidents WHERE last_at < $1`, noon.UnixMilli()).Scan(&old); err != nil {
			t.Fatal(err)
		}
		if old > 0 && old < 5*chunk {
			between++
		}
	}
}

func TestExpireStaysInItsFamily(t *testing.T) {
	db := openNew(t)
	other, err := db.AddFamily(t.Context(), policy.NewFamily("Miller", "UTC", policy.BandC), "")
	if err != nil {
		t.Fatal(err)
	}
	old := noon.AddDate(-1, 0, 0)
	write(t, db, journal.Batch{Rows: []journal.Row{
		row("a", old), row("a", old, func(r *journal.Row, _ map[string]any) { r.Family = other }),
	}})
	f, _ := family(t, db)
	if _, err := db.Expire(t.Context(), f, noon); err != nil {
		t.Fatal(err)
	}
	if mine, others := ids(t, db, journal.Filter{Family: 1}), ids(t, db, journal.Filter{Family: other}); len(mine) != 0 || len(others) != 1 {
		t.Errorf("left: %v of the family, %v of the other", mine, others)
	}
	if _, err := db.Erase(t.Context(), f, 0, "erased", ""); err != nil {
		t.Fatal(err)
	}
	if others := ids(t, db, journal.Filter{Family: other}); len(others) != 1 {
		t.Errorf("an erasure left %v of the other family", others)
	}
}

// holds says in which files of a folder a text stands, in any case.
func holds(t *testing.T, dir, text string) (in []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(text))) {
			in = append(in, filepath.Base(path))
		}
	}
	return in
}

const uniqueName = "unmistakable-secret.example"

// fill writes incidents of profiles 1 and 2 in random order, which grow, so that
// pages split and cells move. Those of profile 1 hold uniqueName.
func fill(t *testing.T, db *DB, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 3 {
		var b journal.Batch
		for _, i := range r.Perm(n) {
			profile := policy.ProfileID(1 + i%2)
			b.Rows = append(b.Rows, row(fmt.Sprintf("%032x", i*7919), noon.Add(time.Duration(i)*time.Minute), inProfile(profile), func(_ *journal.Row, d map[string]any) {
				d["domain"] = "other.example"
				if profile == 1 {
					d["domain"] = uniqueName
				}
				d["entry"] = strings.Repeat(d["domain"].(string)+" ", r.IntN(40*(round+1)))
			}))
		}
		for part := range slices.Chunk(b.Rows, 500) {
			write(t, db, journal.Batch{Rows: part})
		}
	}
	for _, p := range []policy.ProfileID{1, 2} {
		if _, err := db.AddMute(t.Context(), journal.Mute{Family: 1, Profile: p, At: noon, Domain: map[policy.ProfileID]string{1: uniqueName, 2: "other.example"}[p]}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.write.ExecContext(t.Context(), `INSERT INTO signals (family_id, signal_id, profile_id, device_id, kind, at, incident_id, again_at, details, change_no)
			VALUES (1, $1, $1, 0, 'tunnel', $2, '', 0, $3, 1)`, int64(p), noon.UnixMilli(), map[policy.ProfileID]string{1: uniqueName, 2: "other.example"}[p]); err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.AddRequest(t.Context(), Request{Family: 1, Profile: p, What: map[policy.ProfileID]string{1: uniqueName, 2: "other.example"}[p]}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			id := fmt.Sprintf("%032x", (2*i+int(p)-1)*7919)
			note := map[policy.ProfileID]string{1: "we spoke of " + uniqueName, 2: "we spoke of it"}[p]
			if err := db.Review(t.Context(), journal.Review{Family: 1, Incident: id, At: noon, Note: note}); err != nil {
				t.Fatal(err)
			}
			if err := db.Viewed(t.Context(), journal.View{Family: 1, Action: "show", Profile: p, Incident: id, Last: noon}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, db, journal.Batch{Counts: []journal.Count{{Family: 1, Profile: 1, Category: "dating", Day: "2026-11-23", Tries: 1}, {Family: 1, Profile: 2, Category: "dating", Day: "2026-11-23", Tries: 1}}})
}

// TestEraseLeavesNoByte: after an erasure the folder's raw bytes do not hold what
// was erased, neither the file nor its log, while all else is there.
func TestEraseLeavesNoByte(t *testing.T) {
	db := openNew(t)
	f, before := family(t, db)
	fill(t, db, 2000)
	dir := filepath.Dir(db.Path())
	if in := holds(t, dir, uniqueName); len(in) == 0 {
		t.Fatal("the name was never there")
	}
	would, err := db.Erasable(t.Context(), f, 1)
	want := Erased{"incidents": 1000, "reviews": 20, "mutes": 1, "looks": 20, "day counts": 1, "signals": 1, "requests": 1}
	if diff := cmp.Diff(want, would); err != nil || diff != "" {
		t.Errorf("what would be erased (-want +got): %v\n%s", err, diff)
	}
	revision, err := db.Erase(t.Context(), f, 1, "erased what was kept of profile Everyone", "moved out")
	if err != nil {
		t.Fatal(err)
	}
	if in := holds(t, dir, uniqueName); len(in) != 0 {
		t.Errorf("the name is still in %v", in)
	}
	if left, err := db.Erasable(t.Context(), f, 1); err != nil || left["incidents"]+left["reviews"]+left["mutes"]+left["looks"]+left["day counts"]+left["signals"]+left["requests"] != 0 {
		t.Errorf("left of the profile: %v %v", left, err)
	}
	if left, err := db.Erasable(t.Context(), f, 2); err != nil || !cmp.Equal(want, left) {
		t.Errorf("left of the other profile: %v %v", left, err)
	}
	changes, err := db.Changes(t.Context(), 1, 1)
	if err != nil || revision != before+1 || changes[0].Revision != revision || changes[0].What != "erased what was kept of profile Everyone" || changes[0].Why != "moved out" || changes[0].CanUndo {
		t.Errorf("kept of the erasure: %+v %v", changes, err)
	}
	if _, err := db.Undo(t.Context(), 1, revision, ""); err == nil {
		t.Error("an erasure can be undone")
	}
	if err := check(t.Context(), db.read, "integrity_check"); err != nil {
		t.Error(err)
	}
	if _, err := db.Erase(t.Context(), f, 0, "erased all", ""); err != nil {
		t.Fatal(err)
	}
	if in := holds(t, dir, "other.example"); len(in) != 0 {
		t.Errorf("after an erasure of all, a name is still in %v", in)
	}
}

// TestEraseReachesWhatOthersLeft: an earlier Kinward did not overwrite what it
// deleted; its traces go too.
func TestEraseReachesWhatOthersLeft(t *testing.T) {
	db := openNew(t)
	fill(t, db, 200)
	if _, err := db.write.Exec(`PRAGMA secure_delete = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.Exec(`DELETE FROM incidents WHERE profile_id = 1 AND details LIKE '%' || $1 || '%'`, uniqueName); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{`PRAGMA wal_checkpoint(TRUNCATE)`, `PRAGMA secure_delete = 1`} {
		if _, err := db.write.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Dir(db.Path())
	if len(holds(t, dir, uniqueName)) == 0 {
		t.Fatal("nothing was left to reach")
	}
	f, _ := family(t, db)
	if _, err := db.Erase(t.Context(), f, 1, "erased", ""); err != nil {
		t.Fatal(err)
	}
	if in := holds(t, dir, uniqueName); len(in) != 0 {
		t.Errorf("the name is still in %v", in)
	}
}

// TestScrubWaitsForReaders: who reads an older state holds the log; scrub waits
// until that has ended.
func TestScrubWaitsForReaders(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(10, noon))
	tx, err := db.read.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM incidents`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	write(t, db, journal.Batch{Rows: []journal.Row{row("later", noon)}})
	done := make(chan error, 1)
	go func() { done <- db.scrub(t.Context()) }()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(db.Path() + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log: %v %v", info, err)
	}
}

// BenchmarkErase measures the erasure of one of two profiles of a large record.
func BenchmarkErase(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		db := openNew(b)
		for n := range 200 {
			batch := journal.Batch{}
			for i := range 1000 {
				batch.Rows = append(batch.Rows, row(fmt.Sprintf("%032x", n*1000+i), noon.Add(time.Duration(i)*time.Second), inProfile(policy.ProfileID(1+i%2))))
			}
			write(b, db, batch)
		}
		f, _ := family(b, db)
		b.StartTimer()
		if _, err := db.Erase(context.Background(), f, 1, "erased", ""); err != nil {
			b.Fatal(err)
		}
	}
}
