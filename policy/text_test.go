package policy

import "testing"

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
