package policy

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/blocklists"
)

// zones are those that the tests change clocks in: an hour north and south of
// the equator, half an hour, a day at midnight, and never.
var zones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "UTC"}

// onTheWall says whether a schedule is active, from what the clock on the wall shows
// and the calendar, and nothing else.
func onTheWall(s *Schedule, holidays []Holiday, wall time.Time) bool {
	minute := wall.Hour()*60 + wall.Minute()
	for back := range 2 { // a window of today, or one that began yesterday
		day := time.Date(wall.Year(), wall.Month(), wall.Day()-back, 12, 0, 0, 0, time.UTC)
		for _, w := range windowsBegun(s, holidays, day) {
			from, to := int(w.From), int(w.To)
			if to <= from {
				to += 1440
			}
			if at := minute + back*1440; from <= at && at < to {
				return true
			}
		}
	}
	return false
}

func windowsBegun(s *Schedule, holidays []Holiday, day time.Time) (out []Window) {
	excepted := false
	for _, e := range s.Exceptions {
		if e.Day == dateOf(day) {
			out, excepted = append(out, e.Windows...), true
		}
	}
	if excepted {
		return out
	}
	weekday := day.Weekday()
	for _, h := range holidays {
		if d := dateOf(day); d.Before(h.First) || h.Last.Before(d) {
			continue
		}
		switch s.Holidays {
		case HolidaysOff:
			return nil
		case HolidaysAsSaturday:
			weekday = time.Saturday
		case HolidaysAsSunday:
			weekday = time.Sunday
		}
	}
	for _, w := range s.Windows {
		if w.Days&(1<<weekday) != 0 {
			out = append(out, w)
		}
	}
	return out
}

func drawWindow(t *rapid.T) Window {
	return Window{
		Days: Days(rapid.IntRange(1, 127).Draw(t, "days")),
		From: Minutes(rapid.IntRange(0, 1439).Draw(t, "from")),
		To:   Minutes(rapid.IntRange(1, 1440).Draw(t, "to")),
	}
}

// drawSchedule draws one with exceptions about a day.
func drawSchedule(t *rapid.T, about time.Time) Schedule {
	s := Schedule{
		Windows:  rapid.SliceOfN(rapid.Custom(drawWindow), 0, 3).Draw(t, "windows"),
		Holidays: Holidays(rapid.IntRange(0, 3).Draw(t, "holidays")),
	}
	for range rapid.IntRange(0, 2).Draw(t, "exceptions") {
		s.Exceptions = append(s.Exceptions, Exception{
			Day:     dateOf(about.AddDate(0, 0, rapid.IntRange(-2, 3).Draw(t, "day"))),
			Windows: rapid.SliceOfN(rapid.Custom(drawWindow), 0, 2).Draw(t, "its windows"),
		})
	}
	return s
}

// drawStart draws a time at most a day before a zone's clocks are changed, or
// any time of the year where they never are.
func drawStart(t *rapid.T, zone *time.Location) time.Time {
	at := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 365*24*60).Draw(t, "minute of the year"), 0, 0, time.UTC).In(zone)
	if _, end := at.ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "near a change of clocks") {
		at = end.Add(-time.Duration(rapid.IntRange(0, 24*60).Draw(t, "minutes before")) * time.Minute)
	}
	return at
}

// TestTimetableAgainstTheClock walks minute by minute over two days, clocks that
// are changed included, and holds the compiled timetable against what the wall
// shows: the mask always, and until to the minute.
func TestTimetableAgainstTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		start := drawStart(t, zone)
		schedules := make([]Schedule, rapid.IntRange(1, 4).Draw(t, "schedules"))
		for i := range schedules {
			schedules[i] = drawSchedule(t, start)
		}
		first := rapid.IntRange(-2, 3).Draw(t, "first holiday")
		holidays := []Holiday{{First: dateOf(start.AddDate(0, 0, first)), Last: dateOf(start.AddDate(0, 0, first+1))}}
		table, err := newTimetable(zone, holidays, schedules)
		if err != nil {
			t.Fatal(err)
		}
		var mask uint64
		var from, until int64
		for m := range 2 * 24 * 60 {
			at := start.Add(time.Duration(m) * time.Minute)
			var want uint64
			for i := range schedules {
				if onTheWall(&schedules[i], holidays, at) {
					want |= 1 << i
				}
			}
			unix := at.Unix()
			if m > 0 && unix < until {
				if want != mask {
					t.Fatalf("%s: schedules %b are active; the timetable says %b from %d until %d", at, want, mask, from, until)
				}
				continue
			}
			if m > 0 && want == mask {
				t.Fatalf("%s: the timetable said that schedules %b would change", at, mask)
			}
			if mask, from, until = table.at(unix); mask != want || from > unix || until <= unix {
				t.Fatalf("%s: schedules %b are active; the timetable says %b from %d until %d", at, want, mask, from, until)
			}
			if before, _, _ := table.at(from); before != mask {
				t.Fatalf("%s: the timetable says %b from %d, and there %b", at, mask, from, before)
			}
		}
	})
}

// TestTimetableLooksAgain: where nothing changes for long, a timetable says when
// to look again, and what lies far away is found in time.
func TestTimetableLooksAgain(t *testing.T) {
	day := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	far := Date{2026, time.December, 24}
	table, err := newTimetable(time.UTC, nil, []Schedule{{Exceptions: []Exception{{Day: far, Windows: []Window{{From: 600, To: 660}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	at := day.Unix()
	for ; looks < 10; looks++ {
		mask, _, until := table.at(at)
		if mask == 1 {
			break
		}
		at = until
	}
	if want := time.Date(2026, 12, 24, 10, 0, 0, 0, time.UTC).Unix(); at != want {
		t.Errorf("after %d looks the window begins at %s; want %s", looks, time.Unix(at, 0).UTC(), time.Unix(want, 0).UTC())
	}
}

func TestTimetableRefusesMoreThanItCanHold(t *testing.T) {
	if _, err := newTimetable(time.UTC, nil, make([]Schedule, MaxSchedules+1)); err == nil {
		t.Errorf("%d schedules are taken", MaxSchedules+1)
	}
}

// TestPhaseIsKept: as long as no schedule begins or ends, deciding with
// schedules allocates nothing; looking at another time disturbs nothing.
func TestPhaseIsKept(t *testing.T) {
	w := newWorld(t)
	p, err := w.compile(&Profile{Preset: BandC, Schedules: []Schedule{
		{ID: 1, Windows: []Window{{Days: 127, From: 21 * 60, To: 6 * 60}}},
		{ID: 2, What: Target{Kind: ForService, Service: "tiktok"}, Windows: []Window{{Days: 127, From: 8 * 60, To: 9 * 60}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	q := Ask(w.Index, blocklists.MustName("www.tiktok.com"), TypeA, noon)
	Decide(p, q)
	if n := testing.AllocsPerRun(1000, func() {
		q.Time = q.Time.Add(time.Second)
		Decide(p, q)
	}); n != 0 {
		t.Errorf("Decide allocates %v times while no schedule changes", n)
	}
	kept := p.timed.memo.Load()
	night := noon.Add(12 * time.Hour)
	ChangesAt(w.Index, p, q, TypeA, night)
	Explain(w.State, Asker{Policy: p}, nil, q.Name, TypeA, night)
	if p.timed.memo.Load() != kept {
		t.Error("looking at another time forgets the phase of now")
	}
	if n := testing.AllocsPerRun(1000, func() { p.NextChange(noon) }); n != 0 {
		t.Errorf("NextChange allocates %v times", n)
	}
}

func BenchmarkTimetable(b *testing.B) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	schedules := make([]Schedule, 8)
	for i := range schedules {
		schedules[i].Windows = []Window{{Days: 62, From: Minutes(60 * i), To: Minutes(60*i + 600)}, {Days: 65, From: Minutes(60*i + 30), To: Minutes(60 * i)}}
	}
	table, err := newTimetable(zone, nil, schedules)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		table.at(1795000000 + r.Int64N(365*secondsPerDay))
	}
}
