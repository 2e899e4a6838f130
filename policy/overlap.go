package policy

import "time"

// WeekTime is a minute of the week.
type WeekTime struct {
	Weekday time.Weekday
	Time    Minutes
}

// Overlap returns the first minute of the week, from Sunday on, that both windows
// hold.
func Overlap(a, b Window) (WeekTime, bool) {
	at, ok := meet(spans([]Window{a}), spans([]Window{b}))
	return WeekTime{time.Weekday(at / (24 * 60)), Minutes(at % (24 * 60))}, ok
}
