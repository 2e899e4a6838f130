package main

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	evening := time.Date(2026, 11, 23, 21, 30, 0, 0, berlin)
	for text, want := range map[string]time.Time{
		"2026-11-23 21:30":     evening,
		"2026-11-23 21:30:15":  evening.Add(15 * time.Second),
		"2026-11-23T21:30":     evening,
		"2026-11-23T21:30:15":  evening.Add(15 * time.Second),
		"2026-11-23":           time.Date(2026, 11, 23, 0, 0, 0, 0, berlin),
		"2026-11-23T20:30:00Z": evening,
	} {
		if got, err := parseTime(text, berlin); err != nil || !got.Equal(want) {
			t.Errorf("%q is read as %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]time.Time{
		"21:31":            evening.Add(time.Minute),
		"21:30":            evening.AddDate(0, 0, 1),
		"07:00":            time.Date(2026, 11, 24, 7, 0, 0, 0, berlin),
		"2026-11-23 07:00": time.Date(2026, 11, 23, 7, 0, 0, 0, berlin), // and is over
	} {
		if got, err := parseEnd(text, berlin, evening); err != nil || !got.Equal(want) {
			t.Errorf("the end %q is read as %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "2026-11-31", "2026-11-23T21", "21:30 "} {
		if got, err := parseTime(text, berlin); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
