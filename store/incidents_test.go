package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// row makes an incident as the journal would.
func row(id string, at time.Time, change ...func(*journal.Row, map[string]any)) journal.Row {
	r := journal.Row{Family: 1, ID: id, Profile: 1, Device: 0, First: at, Last: at, Key: "0123456789abcdef0123456789abcdef"}
	d := map[string]any{
		"v": 1, "verdict": "block", "reason": "category", "domain": "omegle.com", "revision": 1,
		"names": []any{map[string]any{"name": "omegle.com", "n": 1}}, "types": []int{1}, "tries": 1, "queries": 1,
	}
	for _, c := range change {
		c(&r, d)
	}
	r.Details, _ = json.Marshal(d)
	return r
}

// batch makes n incidents, a second apart.
func batch(n int, at time.Time) (b journal.Batch) {
	for i := range n {
		b.Rows = append(b.Rows, row(fmt.Sprintf("%032x", i), at.Add(time.Duration(i)*time.Second)))
	}
	return b
}

func write(t testing.TB, db *DB, b journal.Batch) {
	t.Helper()
	if err := db.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func ids(t testing.TB, db *DB, f journal.Filter) []string {
	t.Helper()
	list, err := db.Incidents(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, i := range list {
		out = append(out, i.ID)
	}
	return out
}

func TestWriteInsertsOnceAndReplacesLater(t *testing.T) {
	db := openNew(t)
	first := row("a", noon)
	b := journal.Batch{Rows: []journal.Row{first}}
	write(t, db, b)
	write(t, db, b) // a batch whose success was not heard of
	later := row("a", noon, func(r *journal.Row, d map[string]any) {
		r.Last = noon.Add(time.Minute)
		d["queries"], d["tries"] = 5, 3
	})
	write(t, db, journal.Batch{Rows: []journal.Row{later}})
	got, err := db.Incidents(t.Context(), journal.Filter{Family: 1})
	if err != nil || len(got) != 1 {
		t.Fatalf("%d incidents, %v; want 1", len(got), err)
	}
	if i := got[0]; i.Queries != 5 || i.Tries != 3 || !i.First.Equal(noon) || !i.Last.Equal(noon.Add(time.Minute)) || !i.Open {
		t.Errorf("incident: %+v", i)
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	db := openNew(t)
	b := batch(3, noon)
	b.Rows[2].Details = nil // NOT NULL
	if err := db.Write(t.Context(), b); err == nil {
		t.Fatal("a bad row was written")
	}
	if got := ids(t, db, journal.Filter{Family: 1}); len(got) != 0 {
		t.Errorf("%q were written in spite of the error", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Write(ended, batch(1, noon)); err == nil {
		t.Error("written though the context had ended")
	}
}

func TestIncidentsFilter(t *testing.T) {
	db := openNew(t)
	addFamily(t, db, "Other")
	type details = map[string]any
	write(t, db, journal.Batch{Rows: []journal.Row{
		row("a", noon, func(r *journal.Row, d details) { r.Profile, r.Device = 2, 7 }),
		row("b", noon.Add(time.Minute), func(r *journal.Row, d details) { d["service"] = "omegle" }),
		row("c", noon.Add(2*time.Minute), func(r *journal.Row, d details) {
			r.First, d["client"] = noon.Add(-time.Hour), "192.168.1.23"
		}),
		row("d", noon.Add(3*time.Minute), func(r *journal.Row, d details) { r.Family = 2 }),
		row("e", noon.Add(3*time.Minute), func(r *journal.Row, d details) { r.Profile, d["service"] = 2, "kik" }),
		row("f", noon.Add(3*time.Minute), func(r *journal.Row, d details) { d["v"] = 99 }), // cannot be read: left out
	}})
	tests := []struct {
		name   string
		filter journal.Filter
		want   string
	}{
		{"all, newest first", journal.Filter{}, "e c b a"},
		{"since is inclusive and looks at the last attempt", journal.Filter{Since: noon.Add(2 * time.Minute)}, "e c"},
		{"until is exclusive and looks at the first attempt", journal.Filter{Until: noon.Add(time.Minute)}, "c a"},
		{"profile", journal.Filter{Profile: 2}, "e a"},
		{"device", journal.Filter{Device: 7}, "a"},
		{"service", journal.Filter{Service: "omegle"}, "b"},
		{"an unknown device's address", journal.Filter{Client: "192.168.1.23"}, "c"},
		{"limit", journal.Filter{Limit: 2}, "e c"},
		{"limit counts what matches", journal.Filter{Limit: 1, Service: "omegle"}, "b"},
		{"another family sees its own", journal.Filter{Family: 2}, "d"},
		{"a third family sees nothing", journal.Filter{Family: 3}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.filter.Family == 0 {
				tt.filter.Family = 1
			}
			if got := strings.Join(ids(t, db, tt.filter), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if _, err := db.Incidents(t.Context(), journal.Filter{}); err == nil {
		t.Error("incidents of no family in particular were read")
	}
}

func TestOpenIncidentsAndTheirClosing(t *testing.T) {
	db := openNew(t)
	b := batch(5, noon)
	b.Rows[4].Key = ""
	write(t, db, b)
	read := func(since time.Time, limit int) (out []string) {
		rows, err := db.OpenIncidents(t.Context(), since, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, r.ID[31:])
		}
		return out
	}
	if got := read(noon.Add(time.Second), 2); !slices.Equal(got, []string{"3", "2"}) {
		t.Errorf("open: %q, want 3 and 2", got)
	}
	rows, _ := db.OpenIncidents(t.Context(), noon.Add(3*time.Second), 1)
	if d := cmp.Diff(b.Rows[3], rows[0]); d != "" {
		t.Errorf("a row comes back otherwise (-want +got):\n%s", d)
	}
	write(t, db, journal.Batch{CloseBefore: noon.Add(2 * time.Second)})
	if got := read(noon, 10); !slices.Equal(got, []string{"3", "2"}) {
		t.Errorf("open after closing: %q, want 3 and 2", got)
	}
}

func TestCounts(t *testing.T) {
	db := openNew(t)
	count := func(family policy.FamilyID, profile policy.ProfileID, day string, n uint64) journal.Count {
		return journal.Count{Family: family, Profile: profile, Category: "dating", Day: day, Tries: n, Queries: 3 * n}
	}
	write(t, db, journal.Batch{Counts: []journal.Count{count(1, 1, "2026-11-22", 1), count(1, 1, "2026-11-23", 1), count(2, 1, "2026-11-23", 9)}})
	write(t, db, journal.Batch{Counts: []journal.Count{count(1, 1, "2026-11-23", 2), count(1, 2, "2026-11-23", 1)}})
	read := func(f journal.Filter) []journal.Count {
		t.Helper()
		got, err := db.Counts(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := []journal.Count{count(1, 1, "2026-11-23", 3), count(1, 2, "2026-11-23", 1), count(1, 1, "2026-11-22", 1)}
	for _, tt := range []struct {
		name   string
		filter journal.Filter
		want   []journal.Count
	}{
		{"all", journal.Filter{Family: 1}, all},
		{"profile", journal.Filter{Family: 1, Profile: 2}, all[1:2]},
		{"since a moment is since its day", journal.Filter{Family: 1, Since: noon}, all[:2]},
		{"until midnight excludes the day", journal.Filter{Family: 1, Until: noon.Truncate(24 * time.Hour)}, all[2:]},
		{"limit", journal.Filter{Family: 1, Limit: 1}, all[:1]},
	} {
		if d := cmp.Diff(tt.want, read(tt.filter)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	for _, f := range []journal.Filter{{}, {Family: 1, Device: 1}, {Family: 1, Service: "x"}, {Family: 1, Client: "x"}} {
		if _, err := db.Counts(t.Context(), f); err == nil {
			t.Errorf("counts by %+v were read", f)
		}
	}
}

// Readers see whole batches and never an error, while batches are written and
// the family is changed.
func TestConcurrentReadersAndWriters(t *testing.T) {
	db := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				list, err := db.Incidents(t.Context(), journal.Filter{Family: 1, Limit: journal.MaxLimit})
				if err != nil || len(list)%10 != 0 {
					t.Errorf("%d incidents, %v; want whole batches of 10", len(list), err)
					return
				}
				if _, _, err := db.Family(t.Context(), 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Go(func() {
		for n := range 40 {
			var b journal.Batch
			for i := range 10 {
				b.Rows = append(b.Rows, row(fmt.Sprintf("%d-%d", n, i), noon))
			}
			if err := db.Write(t.Context(), b); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() {
		for n := range 20 {
			_, err := db.Change(t.Context(), Edit{}, func(f *policy.Family) (string, error) {
				_, what, err := f.AddRule("Everyone", policy.Rule{Name: blocklists.MustName(fmt.Sprintf("d%d.com", n))}, noon)
				return what, err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	cancel()
	readers.Wait()
	if got := len(ids(t, db, journal.Filter{Family: 1, Limit: journal.MaxLimit})); got != 400 {
		t.Errorf("%d incidents, want 400", got)
	}
	if f, revision := family(t, db); len(f.Profiles[0].Rules) != 20 || revision != 21 {
		t.Errorf("%d rules at revision %d, want 20 at 21", len(f.Profiles[0].Rules), revision)
	}
}

// A page of incidents must not look at all that is stored.
func TestIncidentsUseTheIndex(t *testing.T) {
	db := openNew(t)
	got := planOf(t, db, `SELECT details FROM incidents
		WHERE family_id = $1 AND last_at >= $2 AND first_at < $3 AND ($4 = 0 OR profile_id = $4) AND ($5 = 0 OR device_id = $5)
		ORDER BY last_at DESC, incident_id DESC`, 1, 0, 1, 0, 0)
	if !strings.Contains(got, "incidents_newest") || strings.Contains(got, "TEMP B-TREE") {
		t.Errorf("plan: %s", got)
	}
}

// planOf returns how the database would answer a query.
func planOf(t *testing.T, db *DB, query string, args ...any) string {
	t.Helper()
	rows, err := db.read.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var a, b, c int
		var s string
		if err := rows.Scan(&a, &b, &c, &s); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, s)
	}
	return strings.Join(plan, "; ")
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			db := openNew(b)
			n := 0
			for b.Loop() {
				var batch journal.Batch
				for range size {
					n++
					batch.Rows = append(batch.Rows, row(fmt.Sprintf("%032x", n), noon))
				}
				write(b, db, batch)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "incidents/s")
		})
	}
}
