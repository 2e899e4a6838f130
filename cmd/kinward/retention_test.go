package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kinward/journal"
	"kinward/policy"
	"kinward/store"
)

// TestForgetter: at its start and at every tick each family loses what is old
// enough by its own word, and a store that fails does not end it.
func TestForgetter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{Zone: "UTC", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := policy.NewFamily("Miller", "UTC", policy.BandC)
	other.Retention.Days = 7
	if _, err := db.AddFamily(t.Context(), other, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := db.AddFamily(t.Context(), policy.NewFamily("Quiet", "UTC", policy.BandC), ""); err != nil { // costs nothing
		t.Fatal(err)
	}
	var rows []journal.Row
	for _, family := range []policy.FamilyID{1, other.ID} {
		for _, days := range []int{1, 10, 89, 100} {
			at := now.AddDate(0, 0, -days)
			rows = append(rows, journal.Row{Family: family, ID: fmt.Sprintf("%d-%d", family, days), Profile: 1, First: at, Last: at, Details: []byte(`{"v":1}`)})
		}
	}
	if err := db.Write(t.Context(), journal.Batch{Rows: rows}); err != nil {
		t.Fatal(err)
	}
	count := func(id policy.FamilyID) int {
		t.Helper()
		list, err := db.Incidents(t.Context(), journal.Filter{Family: id})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	ticks := make(chan time.Time)
	looked := make(chan time.Time) // asked for the time once a family of which something is kept
	x := &forgetter{db, slog.New(slog.DiscardHandler), func() time.Time { return <-looked }, ticks}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.run(ctx) }()
	looked <- now
	looked <- now
	ticks <- now // taken when the first time is done
	if home, millers := count(1), count(other.ID); home != 3 || millers != 1 {
		t.Errorf("left: %d of the home's, %d of the Millers'; want 3 and 1", home, millers)
	}
	looked <- now.AddDate(0, 0, 2)
	looked <- now.AddDate(0, 0, 2)
	close(looked) // from here on it is the year 1, and nothing is old
	ticks <- now
	if home := count(1); home != 2 {
		t.Errorf("left two days later: %d of the home's, want 2", home)
	}
	db.Close()
	ticks <- now // a closed store is no reason to end
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
