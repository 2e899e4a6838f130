package console

import "time"

// inZone sets the clock by which the page tells times: a family's, as replies name it.
func (v *visit) inZone(name string) {
	if z, err := time.LoadLocation(name); err == nil {
		v.zone = z
	}
}

// at writes a day and a time of the family's clock.
func (v *visit) at(t time.Time) string {
	t = t.In(v.zone)
	return v.lang.text("date.at", "Day", v.lang.day(t), "Clock", v.lang.clock(t))
}

// At is at, for pages.
func (v *visit) At(t time.Time) string { return v.at(t) }

// moment tells a time of today by the clock, another with its day.
func (v *visit) moment(t time.Time) string {
	t = t.In(v.zone)
	if t.YearDay() == v.now.In(v.zone).YearDay() && t.Year() == v.now.In(v.zone).Year() {
		return v.lang.text("portal.at", "Clock", v.lang.clock(t))
	}
	return v.lang.text("portal.on", "Day", v.lang.day(t), "Clock", v.lang.clock(t))
}

// Moment is moment for the pages.
func (v *visit) Moment(t time.Time) string { return v.moment(t) }

// Ago says how long ago something was, in words.
func (v *visit) Ago(t time.Time) string {
	switch age := v.now.Sub(t); {
	case age < 2*time.Minute:
		return v.lang.text("devices.now")
	case age < time.Hour:
		return v.lang.count("devices.minutes", int(age/time.Minute))
	}
	return v.moment(t)
}

// Zone is the clock that the pages go by.
func (v *visit) Zone() *time.Location { return v.zone }
