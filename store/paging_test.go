package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
)

// TestReadingOn: pages of any length, and looks of any length, put together are
// the whole list, also where many incidents have the same time.
func TestReadingOn(t *testing.T) {
	db := openNew(t)
	var b journal.Batch
	for i := range 60 {
		r := row(fmt.Sprintf("%032x", i*7%60), noon.Add(time.Duration(i/4)*time.Second), func(_ *journal.Row, d map[string]any) {
			if i%3 == 0 {
				d["category"] = "dating"
			}
		})
		b.Rows = append(b.Rows, r)
	}
	write(t, db, b)
	for category, total := range map[string]int{"": 60, "dating": 20} {
		want := ids(t, db, journal.Filter{Family: 1, Category: category, Limit: 100})
		if len(want) != total {
			t.Fatalf("%d incidents of category %q; want %d", len(want), category, total)
		}
		for _, look := range []int{0, 1, 7, 60} {
			for _, page := range []int{1, 4, 59} {
				var got []string
				f := journal.Filter{Family: 1, Category: category, Look: look}
				for range 200 {
					n := 0
					end, err := db.EachIncident(t.Context(), f, func(i journal.Incident) bool {
						got, f.After = append(got, i.ID), journal.CursorOf(i)
						n++
						return n < page
					})
					if err != nil {
						t.Fatal(err)
					}
					if end != (journal.Cursor{}) {
						f.After = end
					} else if n < page {
						break
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("category %q by %d, %d looked at (-want +got):\n%s", category, page, look, diff)
				}
			}
		}
	}
}

func TestUnreviewedOnly(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(4, noon))
	eva, line := policy.GuardianID(7), policy.GuardianID(0)
	review := func(n int, g policy.GuardianID) {
		t.Helper()
		r := journal.Review{Family: 1, Incident: fmt.Sprintf("%032x", n), Reader: journal.Reader{Guardian: g, Who: "x"}, At: noon}
		if err := db.Review(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	review(1, eva)
	review(2, line)
	for g, want := range map[*policy.GuardianID][]int{nil: {3, 2, 1, 0}, &eva: {3, 2, 0}, &line: {3, 1, 0}} {
		var numbers []string
		for _, n := range want {
			numbers = append(numbers, fmt.Sprintf("%032x", n))
		}
		if got := ids(t, db, journal.Filter{Family: 1, Unreviewed: g}); !slices.Equal(got, numbers) {
			t.Errorf("not reviewed by %v: %v; want %v", g, got, numbers)
		}
	}
}

// TestLooksEnd: what is left out counts as looked at, too: a year that is all
// reviewed is not read through for one page.
func TestLooksEnd(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(40, noon))
	eva := policy.GuardianID(7)
	for n := range 40 {
		if err := db.Review(t.Context(), journal.Review{Family: 1, Incident: fmt.Sprintf("%032x", n), Reader: journal.Reader{Guardian: eva, Who: "x"}, At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		f    journal.Filter
		last int // the oldest that is looked at
	}{
		{"read and not fitting", journal.Filter{Service: "none.example"}, 35},
		{"reviewed: two cost as much as one that is read", journal.Filter{Unreviewed: &eva}, 30},
	} {
		tt.f.Family, tt.f.Look = 1, 5
		end, err := db.EachIncident(t.Context(), tt.f, func(journal.Incident) bool { t.Errorf("%s: one fits", tt.name); return false })
		if want := fmt.Sprintf("%032x", tt.last); err != nil || end.ID != want {
			t.Errorf("%s: ends at %q, %v; want %q", tt.name, end.ID, err, want)
		}
		tt.f.Look = 41
		if end, err := db.EachIncident(t.Context(), tt.f, func(journal.Incident) bool { return false }); err != nil || end != (journal.Cursor{}) {
			t.Errorf("%s: ends at %v, %v; want the end of all", tt.name, end, err)
		}
	}
}

func TestReadingSignalsOn(t *testing.T) {
	db := openNew(t)
	var b signals.Batch
	var want []string
	for i := range 9 { // three at a time
		s := journal.Signal{ID: fmt.Sprintf("%032x", 9-i), Family: 1, Profile: 1, Kind: policy.SignalBypass, At: noon.Add(-time.Duration(i/3) * time.Second)}
		b.Signals, want = append(b.Signals, s.Row()), append(want, s.ID)
	}
	if err := db.WriteSignals(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var got []string
	f := journal.SignalFilter{Family: 1, Limit: 2}
	for range 5 {
		list, err := db.Signals(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			got, f.After = append(got, s.ID), journal.Cursor{At: s.At, ID: s.ID}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("by two: %v; want %v", got, want)
	}
}
