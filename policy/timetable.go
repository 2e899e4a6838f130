package policy

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// timetable is a profile's schedules, compiled. Wall time decides: whether a
// schedule is active depends on what the clock on the family's wall shows and on
// nothing else, so in the hour that autumn repeats a window holds twice, and in
// the hour that spring leaves out not at all.
//
// Wall time is counted here in seconds from the midnight with which 1970 began
// on that wall, days in days from there.
type timetable struct {
	zone     *time.Location
	holidays []daySpan
	rows     []row // row i is bit i of a mask
}

type row struct {
	windows    []Window
	holidays   Holidays
	exceptions []exceptionDay
}

type exceptionDay struct {
	day     int64
	windows []Window
}

type daySpan struct{ first, last int64 }

const secondsPerDay = 24 * 60 * 60

// lookAhead is how far a timetable looks for the next change. Where none comes
// sooner it says when to look again.
const lookAhead = 8 * secondsPerDay

// newTimetable compiles the schedules that are in force; bit i of its masks is
// schedules[i]. It returns nil for none.
func newTimetable(zone *time.Location, holidays []Holiday, schedules []Schedule) (*timetable, error) {
	if len(schedules) == 0 {
		return nil, nil
	}
	if len(schedules) > MaxSchedules {
		return nil, fmt.Errorf("compiling %d schedules: a profile can have %d", len(schedules), MaxSchedules)
	}
	t := &timetable{zone: zone}
	for _, h := range holidays {
		t.holidays = append(t.holidays, daySpan{h.First.number(), h.Last.number()})
	}
	for i := range schedules {
		s := &schedules[i]
		r := row{windows: s.Windows, holidays: s.Holidays}
		for _, e := range s.Exceptions {
			r.exceptions = append(r.exceptions, exceptionDay{e.Day.number(), e.Windows})
		}
		t.rows = append(t.rows, r)
	}
	return t, nil
}

// number counts the day from 1970-01-01.
func (d Date) number() int64 {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay
}

// span returns when a window that begins on a day holds: from is in it, to not.
func (w Window) span(day int64) (from, to int64) {
	from, to = day*secondsPerDay+int64(w.From)*60, day*secondsPerDay+int64(w.To)*60
	if to <= from {
		to += secondsPerDay
	}
	return from, to
}

// each calls visit for the windows of a row that begin on a day.
func (t *timetable) each(r *row, day int64, visit func(from, to int64)) {
	excepted := false
	for i := range r.exceptions {
		if r.exceptions[i].day == day {
			excepted = true
			for _, w := range r.exceptions[i].windows {
				visit(w.span(day))
			}
		}
	}
	if excepted {
		return
	}
	weekday := (day%7 + 7 + int64(time.Thursday)) % 7 // 1970-01-01
	if r.holidays != HolidaysAsUsual && t.holiday(day) {
		switch r.holidays {
		case HolidaysOff:
			return
		case HolidaysAsSaturday:
			weekday = int64(time.Saturday)
		case HolidaysAsSunday:
			weekday = int64(time.Sunday)
		}
	}
	for _, w := range r.windows {
		if w.Days&(1<<weekday) != 0 {
			visit(w.span(day))
		}
	}
}

func (t *timetable) holiday(day int64) bool {
	return slices.ContainsFunc(t.holidays, func(s daySpan) bool { return s.first <= day && day <= s.last })
}

// mask returns which schedules are active at a wall time.
func (t *timetable) mask(wall int64) (m uint64) {
	day := floorDay(wall)
	for i := range t.rows {
		for d := day - 1; d <= day; d++ { // a window is a day long at most
			t.each(&t.rows[i], d, func(from, to int64) {
				if from <= wall && wall < to {
					m |= 1 << i
				}
			})
		}
	}
	return m
}

// around returns the last boundary of a window at or before a wall time and the
// first one after it, neither further away than lookAhead.
func (t *timetable) around(wall int64) (before, after int64) {
	day := floorDay(wall)
	before, after = (day-1)*secondsPerDay, wall+lookAhead
	for d := day - 2; d <= day+lookAhead/secondsPerDay && d*secondsPerDay < after; d++ { // those of the day before yesterday end yesterday
		for i := range t.rows {
			t.each(&t.rows[i], d, func(from, to int64) {
				for _, b := range [...]int64{from, to} {
					if b <= wall {
						before = max(before, b)
					} else {
						after = min(after, b)
					}
				}
			})
		}
	}
	return before, after
}

func floorDay(wall int64) int64 {
	day := wall / secondsPerDay
	if wall%secondsPerDay < 0 {
		day--
	}
	return day
}

// at returns which schedules are active at a Unix time, and a span of time
// [from, until) around it in which it stays so. until is when that changes; where
// it does not within lookAhead, it is then.
func (t *timetable) at(unix int64) (mask uint64, from, until int64) {
	start, end, offset := t.bounds(unix)
	before, after := t.around(unix + offset)
	mask = t.mask(unix + offset)
	from = max(start, before-offset)
	for until = min(end, after-offset); until < unix+lookAhead; until = min(end, after-offset) {
		if _, end, offset = t.bounds(until); t.mask(until+offset) != mask {
			return mask, from, until
		}
		_, after = t.around(until + offset)
	}
	return mask, from, unix + lookAhead
}

// bounds returns the span of time [start, end) around a Unix time in which the
// zone's clocks are not changed, and how far they are ahead of UTC.
func (t *timetable) bounds(unix int64) (start, end, offset int64) {
	at := time.Unix(unix, 0).In(t.zone)
	_, seconds := at.Zone()
	start, end = math.MinInt64, math.MaxInt64
	first, next := at.ZoneBounds()
	if !first.IsZero() {
		start = first.Unix()
	}
	if !next.IsZero() {
		end = next.Unix()
	}
	return start, end, int64(seconds)
}
