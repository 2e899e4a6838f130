package signals

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/policy"
)

// weeksOf returns the baseline of a device that asks each hour from 7 to 22 by the
// clock of a zone, for so many days until a Monday noon.
func weeksOf(t testing.TB, days int, zone *time.Location) *Baseline {
	t.Helper()
	b := &Baseline{}
	end := time.Date(2026, 11, 23, 12, 0, 0, 0, zone)
	for at := end.AddDate(0, 0, -days); !at.After(end); at = at.Add(time.Hour) {
		if h := at.In(zone).Hour(); h >= 7 && h < 22 {
			b.Note(at.Add(20*time.Minute), zone)
		}
	}
	return b
}

// TestDue: a device is silent after hours in which it usually asks, of which the
// night is none, and only once enough is known of it.
func TestDue(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, berlin) }
	for _, tt := range []struct {
		name string
		days int
		away bool
		last time.Time
		want time.Time // zero: never
	}{
		{"a phone that should be heard anywhere", 21, true, at(23, 12), at(23, 16)},
		{"one of the home", 21, false, at(23, 12), at(23, 21)},
		{"through the night, which does not count", 21, true, at(23, 20), at(24, 9)},
		{"known for a week, anywhere", 8, true, at(23, 12), at(23, 16)},
		{"known for a week, of the home", 8, false, at(23, 12), time.Time{}},
		{"known for days", 5, true, at(23, 12), time.Time{}},
	} {
		b := weeksOf(t, tt.days, berlin)
		b.Note(tt.last.Add(10*time.Minute), berlin)
		if got := b.Due(tt.last.Add(10*time.Minute), tt.away, berlin); !got.Equal(tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got.In(berlin), tt.want)
		}
	}
	seldom := &Baseline{} // one evening a week
	for k := range 10 {
		seldom.Note(at(23, 20).AddDate(0, 0, 7*(k-10)), berlin)
	}
	if got := seldom.Due(at(23, 20), true, berlin); !got.IsZero() {
		t.Errorf("a device that seldom asks is due at %s", got)
	}
	if got := (&Baseline{}).Due(at(23, 20), true, berlin); !got.IsZero() {
		t.Errorf("one that never asked is due at %s", got)
	}
}

// TestBaselineFollowsTheClock: the change of the clock in autumn moves nothing: seven
// in the morning stays seven.
func TestBaselineFollowsTheClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	b := &Baseline{}
	end := time.Date(2026, 10, 25, 21, 30, 0, 0, berlin) // the Sunday of the change
	for at := end.AddDate(0, 0, -28); !at.After(end); at = at.Add(time.Hour) {
		if h := at.In(berlin).Hour(); h >= 7 && h < 22 {
			b.Note(at, berlin)
		}
	}
	want := time.Date(2026, 10, 26, 10, 0, 0, 0, berlin)
	if got := b.Due(end, true, berlin); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got.In(berlin), want)
	}
}

// TestBaselineForgets: what it did weeks ago does not count for long, and a device
// that was away for long begins anew.
func TestBaselineForgets(t *testing.T) {
	b := weeksOf(t, 60, time.UTC)
	last := noon
	for k := 1; k <= 21; k++ { // holidays: at noon alone
		last = noon.AddDate(0, 0, k)
		b.Note(last, time.UTC)
	}
	if got := b.Due(last, true, time.UTC); !got.IsZero() && got.Sub(last) < 24*time.Hour {
		t.Errorf("after three weeks of holidays it is due %s after noon", got.Sub(last))
	}
	b.Note(last.AddDate(0, 0, 90), time.UTC)
	if b.first != b.last {
		t.Error("after a quarter of a year it does not begin anew")
	}
}

// TestBaselineAfterAClockThatWasAhead: a device that asks after the clock was set back
// is due within the week.
func TestBaselineAfterAClockThatWasAhead(t *testing.T) {
	for _, ahead := range []time.Duration{3 * time.Hour, 10 * 24 * time.Hour, 400 * 24 * time.Hour} {
		b := weeksOf(t, 21, time.UTC)
		b.Note(noon.Add(ahead), time.UTC)
		b.Note(noon, time.UTC)
		if b.last != hourOf(noon) || b.first > b.last {
			t.Errorf("%s ahead: from hour %d to %d, want to %d", ahead, b.first, b.last, hourOf(noon))
		}
		if due := b.Due(noon, true, time.UTC); ahead < forgetAfter*time.Hour && (due.IsZero() || due.Sub(noon) > hoursOfWeek*time.Hour) {
			t.Errorf("%s ahead: due at %s", ahead, due)
		}
	}
}

// TestBaseline: whatever comes in whatever order, the baseline is read as it was
// kept, has the same size, and its due time lies ahead.
func TestBaseline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &Baseline{}
		at := noon
		for range rapid.IntRange(0, 200).Draw(t, "sightings") {
			at = at.Add(time.Duration(rapid.IntRange(-120, 3000).Draw(t, "minutes")) * time.Minute)
			b.Note(at, time.UTC)
		}
		kept := b.Encode()
		back, err := DecodeBaseline(kept)
		if err != nil || *back != *b || len(kept) != 185 {
			t.Fatalf("%d bytes, %v", len(kept), err)
		}
		if due := b.Due(at, rapid.Bool().Draw(t, "away"), time.UTC); !due.IsZero() && (!due.After(at) || due.Sub(at) > 8*24*time.Hour) {
			t.Fatalf("due at %s, seen at %s", due, at)
		}
	})
}

// FuzzBaseline: nothing that is read as a baseline breaks it.
func FuzzBaseline(f *testing.F) {
	f.Add((&Baseline{}).Encode())
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := DecodeBaseline(p)
		if err != nil {
			return
		}
		b.Note(noon, time.UTC)
		b.Due(noon, true, time.UTC)
	})
}

// TestExpected: nothing is kept of adults, guests, devices that are gone, and
// where the family does not want it.
func TestExpected(t *testing.T) {
	f := home(t)
	f.Profiles = append(f.Profiles, policy.Profile{ID: 3, Name: "Guests", Preset: policy.BandC, Guests: true})
	f.Devices = append(f.Devices,
		policy.Device{ID: 8, Name: "Away", Profile: 1, Tokens: []string{"token"}},
		policy.Device{ID: 9, Name: "Mum's", Profile: 2}, policy.Device{ID: 10, Name: "Visitor's", Profile: 3})
	for id, want := range map[policy.DeviceID][2]bool{7: {false, true}, 8: {true, true}, 9: {false, false}, 10: {false, false}, 11: {false, false}} {
		if away, wanted := Expected(f, id); away != want[0] || wanted != want[1] {
			t.Errorf("device %d: away %t, wanted %t", id, away, wanted)
		}
	}
	f.SignalsOff = []string{policy.SignalSilent}
	if _, wanted := Expected(f, 7); wanted {
		t.Error("it is kept although the family does not want it")
	}
}
