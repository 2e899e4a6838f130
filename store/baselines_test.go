package store

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
)

// quietHome is a home with a phone that asks from 7 to 22 of each day, away or not, and
// a tablet that asks on, for three weeks until a Monday at noon.
type quietHome struct {
	t             *testing.T
	db            *DB
	phone, tablet policy.DeviceID
	at            time.Time
}

func newQuietHome(t *testing.T) *quietHome {
	t.Helper()
	h := &quietHome{t: t, db: openNew(t)}
	h.edit(func(f *policy.Family) (what string, err error) {
		h.phone, what, err = f.AddDevice("Everyone", policy.Device{Name: "Phone", Tokens: []string{"abcdefghijklmnop"}}, noon)
		return what, err
	})
	h.edit(func(f *policy.Family) (what string, err error) {
		h.tablet, what, err = f.AddDevice("Everyone", policy.Device{Name: "Tablet", Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.20/32")}}, noon)
		return what, err
	})
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var all []journal.Sighting
	for h.at = noon.AddDate(0, 0, -21); !h.at.After(noon); h.at = h.at.Add(time.Hour) {
		if hour := h.at.In(berlin).Hour(); hour >= 7 && hour < 22 {
			all = append(all, journal.Sighting{Family: 1, Device: h.phone, Minute: h.at})
		}
		all = append(all, journal.Sighting{Family: 1, Device: h.tablet, Minute: h.at})
	}
	if err := h.db.WriteSeen(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *quietHome) edit(f func(*policy.Family) (string, error)) {
	h.t.Helper()
	if _, err := h.db.Change(h.t.Context(), Edit{}, f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *quietHome) asks(d policy.DeviceID, at time.Time) {
	h.t.Helper()
	if err := h.db.WriteSeen(h.t.Context(), []journal.Sighting{{Family: 1, Device: d, Minute: at.Truncate(time.Minute)}}); err != nil {
		h.t.Fatal(err)
	}
}

// pass lets hours pass, in which the tablet asks or not, and listens after each. It
// returns the silences told so far, the oldest first.
func (h *quietHome) pass(hours int, tabletAsks bool, edits ...func(*signals.Config)) []journal.Signal {
	h.t.Helper()
	for range hours {
		if tabletAsks {
			h.asks(h.tablet, h.at)
		}
		c := signals.Config{Store: h.db, Now: func() time.Time { return h.at }}
		for _, e := range edits {
			e(&c)
		}
		w, err := signals.New(c)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := w.Listen(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		h.at = h.at.Add(time.Hour)
	}
	list, err := h.db.Signals(h.t.Context(), journal.SignalFilter{Family: 1, Kind: policy.SignalSilent})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

func (h *quietHome) baselines() (n int) {
	h.t.Helper()
	if err := h.db.read.QueryRow(`SELECT count(*) FROM baselines WHERE device_id = $1`, int64(h.phone)).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestSilence: a phone that usually asks by now is asked about, once, and that it
// asked again is told with it; the next time is another one.
func TestSilence(t *testing.T) {
	h := newQuietHome(t)
	if got := h.pass(2, true); len(got) != 0 { // 13:00 and 14:00 in UTC; it asked at 12:00
		t.Fatalf("after two hours: %+v", got)
	}
	got := h.pass(10, true)
	if len(got) != 1 || got[0].Device != h.phone || got[0].Profile != 1 || !got[0].Details.Since.Equal(noon) || !got[0].Details.Again.IsZero() {
		t.Fatalf("told %+v", got)
	}
	if early, late := noon.Add(3*time.Hour), noon.Add(5*time.Hour); got[0].At.Before(early) || got[0].At.After(late) {
		t.Errorf("told at %s", got[0].At)
	}
	_, before, err := h.db.signalsChanged(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	again := h.at
	h.asks(h.phone, again)
	if got := h.pass(1, true); len(got) != 1 || !got[0].Details.Again.Equal(again) {
		t.Errorf("after it asked again: %+v", got)
	}
	if list, _, err := h.db.signalsChanged(t.Context(), before, 100); err != nil || len(list) != 1 || list[0].Details.Again.IsZero() {
		t.Errorf("who follows signals hears %+v, %v", list, err)
	}
	if got := h.pass(24, true); len(got) != 2 || !got[1].Details.Since.Equal(again) {
		t.Errorf("silent once more: %+v", got)
	}
}

// TestSilenceAfterAClockThatWasAhead: what was due by a clock that was ahead is
// planned anew when the phone asks after it was set back.
func TestSilenceAfterAClockThatWasAhead(t *testing.T) {
	h := newQuietHome(t)
	ahead := h.at.AddDate(0, 0, 10)
	h.asks(h.phone, ahead)
	h.asks(h.tablet, ahead)
	h.asks(h.phone, h.at)
	h.asks(h.tablet, h.at)
	var due int64
	if err := h.db.read.QueryRow(`SELECT due_at FROM baselines WHERE device_id = $1`, int64(h.phone)).Scan(&due); err != nil {
		t.Fatal(err)
	}
	if due := time.UnixMilli(due); due.Before(h.at) || due.After(h.at.AddDate(0, 0, 7)) {
		t.Errorf("seen at %s, it is due at %s", h.at, due)
	}
}

// TestNightIsNoSilence: a phone that sleeps when it always does is not silent.
func TestNightIsNoSilence(t *testing.T) {
	h := newQuietHome(t)
	for ; h.at.Before(noon.Add(8 * time.Hour)); h.at = h.at.Add(time.Hour) {
		h.asks(h.phone, h.at)
	}
	if got := h.pass(11, true); len(got) != 0 { // until seven in the morning in Berlin
		t.Errorf("through the night: %+v", got)
	}
}

// TestNobodyIsHeard: where the others of the home are silent, too, it is the home's
// internet; where the server itself did not run, or the journal knows better, it is
// not the phone either.
func TestNobodyIsHeard(t *testing.T) {
	h := newQuietHome(t)
	if got := h.pass(12, false); len(got) != 0 {
		t.Errorf("while all are silent: %+v", got)
	}
	h = newQuietHome(t)
	if got := h.pass(12, true, func(c *signals.Config) {
		c.LastSeen = func(policy.FamilyID, policy.DeviceID) time.Time { return h.at }
	}); len(got) != 0 {
		t.Errorf("while the journal hears it: %+v", got)
	}

	h = newQuietHome(t)
	h.at = h.at.Add(6 * time.Hour) // it did not run, and begins now
	h.asks(h.tablet, h.at)
	now := h.at
	w, err := signals.New(signals.Config{Store: h.db, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil { // notes when it began
		t.Fatal(err)
	}
	if err := w.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.pass(0, true); len(got) != 0 {
		t.Errorf("after six hours in which nobody was heard: %+v", got)
	}
	now = now.Add(24 * time.Hour)
	h.asks(h.tablet, now)
	for range 2 { // the first comes after a long sleep, it seems
		if err := w.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	for range 24 * 60 { // and then it is awake for a day
		now = now.Add(time.Minute)
		if now.Minute() == 0 {
			h.asks(h.tablet, now)
		}
		if err := w.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.pass(0, true); len(got) != 1 {
		t.Errorf("after a day awake: %+v", got)
	}
}

// TestSilenceOff: nothing is kept of when a device asks where the family does not
// want it, nor of an adult's, nor of one that is gone.
func TestSilenceOff(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(h *quietHome, f *policy.Family) (string, error)
	}{
		{"switched off", func(_ *quietHome, f *policy.Family) (string, error) {
			return f.SwitchSignal(policy.SignalSilent, false)
		}},
		{"given to an adult", func(h *quietHome, f *policy.Family) (string, error) { f.Devices[0].Profile = 2; return "moved", nil }},
		{"removed", func(h *quietHome, f *policy.Family) (string, error) { f.Devices = f.Devices[1:]; return "removed", nil }},
	} {
		h := newQuietHome(t)
		if h.baselines() != 1 {
			t.Fatal("there is no baseline to begin with")
		}
		h.edit(func(f *policy.Family) (string, error) { return tt.do(h, f) })
		if got := h.pass(12, true); len(got) != 0 || h.baselines() != 0 {
			t.Errorf("%s: told %+v, %d baselines left", tt.name, got, h.baselines())
		}
		h.asks(h.phone, h.at)
		if h.baselines() != 0 {
			t.Errorf("%s: a baseline is kept all the same", tt.name)
		}
	}
}
