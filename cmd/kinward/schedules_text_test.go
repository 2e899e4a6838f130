package main

import (
	"testing"

	"kinward/policy"
)

// TestScheduleTextOfWholeDays: a list of schedules says of a time of 24 hours that it is one.
func TestScheduleTextOfWholeDays(t *testing.T) {
	s := policy.Schedule{
		Name: "Rest", Windows: []policy.Window{{Days: 62, From: 15 * 60, To: 15 * 60}, {Days: 1, From: 600, To: 1440}},
		Exceptions: []policy.Exception{{Day: policy.Date{Year: 2026, Month: 12, Day: 24}, Windows: []policy.Window{{Days: 127, From: 0, To: 1440}}}, {Day: policy.Date{Year: 2026, Month: 12, Day: 25}}},
	}
	const want = "blocks everything Mon-Fri 15:00 for 24 hours; Sun 10:00-24:00, on 2026-12-24: 00:00 for 24 hours, on 2026-12-25: none"
	if got := scheduleText(&policy.Profile{}, s); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
