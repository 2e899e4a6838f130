package policy

import (
	"strings"
	"testing"
)

// Days are written with the longest spans, also over the end of the week, and
// read back as they were.
func TestDaysText(t *testing.T) {
	for d, want := range map[Days]string{
		0b111_1111: "daily",
		0b011_1110: "Mon-Fri",
		0b100_0001: "Sat,Sun",
		0b001_1111: "Sun-Thu",
		0b000_0011: "Sun,Mon",
		0b100_0011: "Sat-Mon",
		0b101_1111: "Sat-Thu",
		0b110_0000: "Fri,Sat",
		0b010_1010: "Mon,Wed,Fri",
		0b000_1011: "Sun,Mon,Wed",
		0b000_0001: "Sun",
	} {
		if got := d.String(); got != want {
			t.Errorf("%07b is written %q, want %q", d, got, want)
		}
	}
	for d := Days(1); d < 128; d++ {
		var back Days
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%q is read as %07b, %v; want %07b", d, back, err, d)
		}
	}
}

func TestMinutesSpan(t *testing.T) {
	for m, want := range map[Minutes]string{0: "0 hours", 45: "00:45 hours", 60: "1 hour", 90: "01:30 hours", 1440: "24 hours"} {
		if got := m.Span(); got != want {
			t.Errorf("%d minutes are %q, want %q", uint16(m), got, want)
		}
	}
}

// TestWholeDays: what lasts 24 hours is said so in sentences, and written as before.
func TestWholeDays(t *testing.T) {
	for _, tt := range []struct {
		w                   Window
		written, said, span string
	}{
		{Window{127, 15 * 60, 15 * 60}, "daily 15:00-15:00", "daily 15:00 for 24 hours", "15:00 for 24 hours"},
		{Window{127, 0, 24 * 60}, "daily 00:00-24:00", "daily 00:00 for 24 hours", "00:00 for 24 hours"},
		{Window{62, 20 * 60, 24 * 60}, "Mon-Fri 20:00-24:00", "Mon-Fri 20:00-24:00", "20:00-24:00"},
		{Window{62, 21 * 60, 6 * 60}, "Mon-Fri 21:00-06:00", "Mon-Fri 21:00-06:00", "21:00-06:00"},
		{Window{1, 15 * 60, 15*60 + 1}, "Sun 15:00-15:01", "Sun 15:00-15:01", "15:00-15:01"},
	} {
		if tt.w.String() != tt.written || tt.w.Text() != tt.said || tt.w.HoursText() != tt.span {
			t.Errorf("%+v is written %q, said %q and %q; want %q, %q and %q", tt.w, tt.w, tt.w.Text(), tt.w.HoursText(), tt.written, tt.said, tt.span)
		}
	}
	f := NewFamily(HomeName, "", BandC)
	rest := Schedule{Name: "Rest", Windows: []Window{{1, 15 * 60, 15 * 60}, {2, 600, 660}}}
	_, added, err1 := f.AddSchedule("Everyone", rest)
	set, err2 := f.SetSchedule("Everyone", "Rest", rest)
	day, err3 := f.AddException("Everyone", "Rest", Exception{Day: Date{2026, 12, 24}, Windows: []Window{{0, 600, 660}, {0, 15 * 60, 15 * 60}}})
	for _, want := range []struct{ got, text string }{
		{added, "Sun 15:00 for 24 hours, Mon 10:00-11:00"},
		{set, "Sun 15:00 for 24 hours, Mon 10:00-11:00"},
		{day, "holds 10:00-11:00 15:00 for 24 hours on 2026-12-24"},
		{titled(&f.Profiles[0].Schedules[0]), `"Rest" (Sun 15:00 for 24 hours; Mon 10:00-11:00)`},
	} {
		if !strings.HasSuffix(want.got, want.text) {
			t.Errorf("%q (%v %v %v), want %q at its end", want.got, err1, err2, err3, want.text)
		}
	}
}
