package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kinward/journal/alerts"
)

// TestRequestEvents: what a child asks for is told once, without its domain and
// its message, and not at all once somebody has answered.
func TestRequestEvents(t *testing.T) {
	db := openNew(t)
	add := func(what string) Request {
		r, _, err := db.AddRequest(t.Context(), Request{Family: 1, Profile: 1, Device: 1, What: what, Message: "see secret.example"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	name, service := add("secret.example"), add("roblox")
	events, last, err := db.Alerts().NewRequests(t.Context(), 0, 10)
	if err != nil || len(events) != 2 || events[0].Service != "" || events[1].Service != "roblox" || last != uint64(service.ID) {
		t.Fatalf("%+v, %d, %v", events, last, err)
	}
	if more, at, err := db.Alerts().NewRequests(t.Context(), last, 10); err != nil || len(more) != 0 || at != last {
		t.Errorf("again: %+v, %d, %v", more, at, err)
	}
	if e, err := db.Alerts().Event(t.Context(), 1, alerts.Requests, events[0].ID); err != nil || e.Kind != alerts.AskedKind {
		t.Errorf("while it is open: %+v, %v", e, err)
	}
	if err := db.Together(t.Context(), func(tx *Tx) error { return tx.Answer(1, name.ID, "no", time.Time{}, 1, "Eva") }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Alerts().Event(t.Context(), 1, alerts.Requests, events[0].ID); !errors.Is(err, alerts.ErrForgotten) {
		t.Errorf("once it is answered: %v, want that it is forgotten", err)
	}
	if _, err := db.Alerts().Event(t.Context(), 2, alerts.Requests, events[1].ID); err == nil {
		t.Error("another family reads it")
	}
}

// TestPendingBounds: so many wait of a family and no more, and the same waits once.
func TestPendingBounds(t *testing.T) {
	db := openNew(t)
	p := Pending{Family: 1, Guardian: 1, Who: "Eva", At: noon, Second: true, Operation: "pause", What: "paused"}
	for i := range MaxPending + 1 {
		p.Request = []byte(`{"n":` + strings.Repeat("1", i+1) + `}`)
		kept, err := db.AddPending(t.Context(), p)
		if full := i == MaxPending; errors.Is(err, ErrConflict) != full {
			t.Fatalf("change %d: %v", i, err)
		} else if full {
			continue
		}
		if again, err := db.AddPending(t.Context(), p); err != nil || again.ID != kept.ID {
			t.Fatalf("the same again: %d, %v; want %d", again.ID, err, kept.ID)
		}
	}
	settle := func() error {
		return db.Together(t.Context(), func(tx *Tx) error { return tx.Settle(1, 1, PendingRejected, "Karl", "", 0) })
	}
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	if err := settle(); !errors.Is(err, ErrConflict) {
		t.Errorf("settled twice: %v", err)
	}
	if err := db.Agree(t.Context(), 1, 1, 2, "Karl"); !errors.Is(err, ErrConflict) {
		t.Errorf("agreed to what is settled: %v", err)
	}
	if _, err := db.Pending(t.Context(), 2, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("another family's: %v", err)
	}
	for _, tt := range []struct {
		name         string
		due          time.Duration // from noon; 0 is none
		second       bool
		agreed       bool
		ripe, ripe2h bool
	}{
		{"a time", time.Hour, false, false, false, true},
		{"a time, and somebody agreed", time.Hour, false, true, true, true},
		{"a second guardian", 0, true, false, false, false},
		{"a second guardian who agreed", 0, true, true, true, true},
		{"both, agreed", time.Hour, true, true, false, true},
		{"both, not agreed", time.Hour, true, false, false, false},
	} {
		p := Pending{State: PendingWaits, Second: tt.second}
		if tt.due != 0 {
			p.Due = noon.Add(tt.due)
		}
		if tt.agreed {
			p.AgreedWho = "Karl"
		}
		if p.Ripe(noon) != tt.ripe || p.Ripe(noon.Add(2*time.Hour)) != tt.ripe2h {
			t.Errorf("%s: ripe %t and after two hours %t", tt.name, p.Ripe(noon), p.Ripe(noon.Add(2*time.Hour)))
		}
		// The database finds the same ones, after a restart between a word and its deed, too.
		p.Family, p.At, p.Operation, p.Request = 1, noon, "pause", []byte(`{}`)
		db := openNew(t)
		kept, err := db.AddPending(t.Context(), p)
		if err == nil && tt.agreed {
			err = db.Agree(t.Context(), 1, kept.ID, 2, "Karl")
		}
		if err != nil {
			t.Fatal(err)
		}
		for at, ripe := range map[time.Time]bool{noon: tt.ripe, noon.Add(2 * time.Hour): tt.ripe2h} {
			if found, err := db.RipePendings(t.Context(), at, noon.Add(-time.Hour), 10); err != nil || (len(found) == 1) != ripe {
				t.Errorf("%s: found at %s: %v, %v; want %t", tt.name, at, found, err, ripe)
			}
		}
	}
}
