package main

import (
	"fmt"
	"time"

	"kinward/policy"
)

// zoneOf returns a family's time zone, the server's where it names none.
func zoneOf(f *policy.Family) *time.Location {
	if z, err := time.LoadLocation(f.Zone); err == nil && f.Zone != "" {
		return z
	}
	return time.Local
}

// sinceText reads how far back to look: "24h", "7d", or a date with or without
// a time in zone.
func sinceText(s string, now time.Time, zone *time.Location) (time.Time, error) {
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	t, err := parseTime(s, zone)
	if err != nil {
		err = fmt.Errorf("%w; or how far back: 24h or 7d", err)
	}
	return t, err
}

// parseSpan reads a span of time: "15m", "2h", "7d".
func parseSpan(s string) (time.Duration, error) {
	var days int
	if k, err := fmt.Sscanf(s, "%dd", &days); err == nil && k == 1 && s == fmt.Sprintf("%dd", days) && days < 36500 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a span of time; write it like 15m, 2h or 7d", s)
	}
	return d, nil
}

// parseTime reads a wall-clock time in zone, as people write it, or as the forms of
// browsers do (with a T; with seconds where some are given).
func parseTime(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", s, zone); err == nil { // today
		now := time.Now().In(zone)
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, zone), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.In(zone), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write it like \"2026-11-23 21:30\", or 21:30 for today", s)
}

// parseEnd reads a time to come. One of the clock alone is the next: who pauses at ten in
// the evening until 7:00 means tomorrow's.
func parseEnd(s string, zone *time.Location, now time.Time) (time.Time, error) {
	clock, err := time.Parse("15:04", s)
	if err != nil {
		return parseTime(s, zone)
	}
	now = now.In(zone)
	for day := now.Day(); ; day++ {
		if t := time.Date(now.Year(), now.Month(), day, clock.Hour(), clock.Minute(), 0, 0, zone); t.After(now) {
			return t, nil
		}
	}
}
