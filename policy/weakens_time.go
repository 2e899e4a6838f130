package policy

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// minutes is a set of minutes of a week, or of a day and the one after it.
type minutes [week/64 + 1]uint64

func (m *minutes) fill(from, to int) {
	for i := from; i < to; {
		word, bit := i/64, i%64
		n := min(64-bit, to-i)
		m[word] |= ^uint64(0) >> (64 - n) << bit
		i += n
	}
}

func (m *minutes) or(o *minutes) {
	for i := range m {
		m[i] |= o[i]
	}
}

// invert turns the first n minutes around.
func (m *minutes) invert(n int) {
	var all minutes
	all.fill(0, n)
	for i := range m {
		m[i] ^= all[i]
	}
}

// without returns the first minute that m has and o has not.
func (m *minutes) without(o *minutes) (int, bool) {
	for i := range m {
		if rest := m[i] &^ o[i]; rest != 0 {
			return i*64 + bits.TrailingZeros64(rest), true
		}
	}
	return 0, false
}

// day is a day as schedules see it.
type day struct {
	weekday time.Weekday
	holiday bool
	date    Date // zero for any
}

// begin returns the windows of s that begin on the day.
func (d day) begin(s *Schedule) []Window {
	if (d.date != Date{}) {
		for _, e := range s.Exceptions {
			if e.Day == d.date {
				return e.Windows
			}
		}
	}
	on := d.weekday
	if d.holiday {
		switch s.Holidays {
		case HolidaysOff:
			return nil
		case HolidaysAsSaturday:
			on = time.Saturday
		case HolidaysAsSunday:
			on = time.Sunday
		}
	}
	var out []Window
	for _, w := range s.Windows {
		if w.Days&(1<<on) != 0 {
			out = append(out, w)
		}
	}
	return out
}

// view is some days that follow each other, as seen before and after a change: a
// whole week, which ends where it begins, or one day.
type view struct{ before, after []day }

func (v view) length() int {
	if len(v.before) == 7 {
		return week
	}
	return 2 * 24 * 60 // what begins on the day ends on the next at the latest
}

func (v view) text(minute int) string {
	if d := v.before[0]; len(v.before) == 1 {
		return fmt.Sprintf("on %s from %s", d.date.next(minute/(24*60)), Minutes(minute%(24*60)))
	}
	if v.before[0].holiday {
		return "on holidays from " + minuteText(minute)
	}
	return "from " + minuteText(minute)
}

// held returns the minutes in which any of the schedules has a window.
func held(days []day, schedules []*Schedule, length int) (m minutes) {
	for i, d := range days {
		for _, s := range schedules {
			for _, w := range d.begin(s) {
				from := i*24*60 + int(w.From)
				to := from + int(w.To) - int(w.From)
				if to <= from {
					to += 24 * 60
				}
				m.fill(from, min(to, length))
				if to > length {
					m.fill(0, to-length)
				}
			}
		}
	}
	return m
}

// times compares when two profiles block.
type times struct {
	p, q   *Profile
	views  []view
	always bool // whether no schedule had a part in the last comparison
}

func newTimes(before, after *Family, p, q *Profile) *times {
	t := &times{p: p, q: q}
	usual, holidays := make([]day, 7), make([]day, 7)
	for i := range 7 {
		usual[i], holidays[i] = day{weekday: time.Weekday(i)}, day{weekday: time.Weekday(i), holiday: true}
	}
	t.views = []view{{usual, usual}}
	special, dates := false, map[Date]bool{}
	for _, list := range [][]Schedule{p.Schedules, q.Schedules} {
		for _, s := range list {
			special = special || s.Holidays != HolidaysAsUsual
			for _, e := range s.Exceptions {
				dates[e.Day] = true
			}
		}
	}
	was, is := holidayDays(before), holidayDays(after)
	if special {
		t.views = append(t.views, view{holidays, holidays})
		// Days that are alike need to be looked at once.
		alike := map[day]bool{}
		for _, days := range []map[Date]bool{was, is} {
			for d := range days {
				if key := (day{weekday: d.weekday(), holiday: was[d]}); was[d] != is[d] && !alike[key] {
					alike[key], dates[d] = true, true
				}
			}
		}
	}
	for d := range dates {
		t.views = append(t.views, view{[]day{{d.weekday(), was[d], d}}, []day{{d.weekday(), is[d], d}}})
	}
	slices.SortStableFunc(t.views, func(a, b view) int { return a.before[0].date.compare(b.before[0].date) })
	return t
}

func (d Date) weekday() time.Weekday {
	return time.Date(d.Year, d.Month, d.Day, 12, 0, 0, 0, time.UTC).Weekday()
}

func holidayDays(f *Family) map[Date]bool {
	out := map[Date]bool{}
	for _, h := range f.Holidays {
		for d, n := h.First, 0; !h.Last.Before(d) && n <= 366; d, n = d.next(1), n+1 {
			out[d] = true
		}
	}
	return out
}

// of returns a profile's schedules in force for a target with an effect.
func (p *Profile) of(target Target, e Effect) (out []*Schedule) {
	for i := range p.Schedules {
		if s := &p.Schedules[i]; !s.Off && s.What == target && s.Effect == e {
			out = append(out, s)
		}
	}
	return out
}

// blocked returns when a profile blocks a target; choice says whether it would
// without schedules.
func (p *Profile) blocked(target Target, choice bool, days []day, length int) (m minutes, timed bool) {
	free, block := p.of(target, Frees), p.of(target, Blocks)
	switch {
	case len(free) > 0:
		m = held(days, free, length)
		m.invert(length)
	case choice:
		m.invert(length)
	}
	if len(block) > 0 {
		b := held(days, block, length)
		m.or(&b)
	}
	return m, len(free)+len(block) > 0
}

// loses returns the first time at which q does not block a target that p blocks.
// The choices are what the profiles do about it without schedules.
func (t *times) loses(target Target, choiceP, choiceQ bool) (at string, lost bool) {
	t.always = true
	if len(t.p.Schedules)+len(t.q.Schedules) == 0 {
		return "", choiceP && !choiceQ
	}
	for _, v := range t.views {
		n := v.length()
		had, timedP := t.p.blocked(target, choiceP, v.before, n)
		has, timedQ := t.q.blocked(target, choiceQ, v.after, n)
		t.always = t.always && !timedP && !timedQ
		if target.Kind != ForEverything { // what is blocked with everything is blocked
			all, _ := t.q.blocked(Target{}, false, v.after, n)
			has.or(&all)
		}
		if minute, ok := had.without(&has); ok && !lost {
			at, lost = v.text(minute), true
		}
	}
	return at, lost
}

// services returns the services that schedules are about.
func (t *times) services() (ids []string) {
	for _, p := range []*Profile{t.p, t.q} {
		for _, s := range p.Schedules {
			if s.What.Kind == ForService {
				ids = append(ids, s.What.Service)
			}
		}
	}
	return ids
}

// within reports for two rules, one of p and one of q, whether p's holds only
// when q's does, or with turned the other way round.
func (t *times) within(p, q *Rule, turned bool) bool {
	effect := Blocks
	if p.Allow {
		effect = Frees
	}
	ofP, ofQ := t.p.of(Target{Kind: ForRule, Rule: p.ID}, effect), t.q.of(Target{Kind: ForRule, Rule: q.ID}, effect)
	if len(ofP)+len(ofQ) == 0 {
		return true
	}
	hold := func(days []day, schedules []*Schedule, n int) (m minutes) {
		if len(schedules) == 0 { // always
			m.invert(n)
			return m
		}
		return held(days, schedules, n)
	}
	for _, v := range t.views {
		n := v.length()
		a, b := hold(v.before, ofP, n), hold(v.after, ofQ, n)
		if turned {
			a, b = b, a
		}
		if _, more := a.without(&b); more {
			return false
		}
	}
	return true
}
