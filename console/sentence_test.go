package console

import "testing"

// What happened begins like a sentence, also where the journal has it behind a time.
func TestHalves(t *testing.T) {
	for _, c := range []struct{ sentence, when, what string }{
		{"Mon 23 Nov 21:30  an unknown device tried Omegle.", "Mon 23 Nov 21:30", "An unknown device tried Omegle."},
		{"Mo 23. Nov 21:30  öfter als sonst.", "Mo 23. Nov 21:30", "Öfter als sonst."},
		{"the device at 192.168.1.23 tried Omegle.", "", "The device at 192.168.1.23 tried Omegle."},
		{"", "", ""},
	} {
		if when, what := halves(c.sentence); when != c.when || what != c.what {
			t.Errorf("%q: %q and %q, want %q and %q", c.sentence, when, what, c.when, c.what)
		}
	}
}
