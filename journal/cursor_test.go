package journal

import (
	"testing"
	"time"
)

func TestCursor(t *testing.T) {
	at := time.Date(2026, 11, 23, 21, 30, 0, 123e6, time.UTC)
	for _, c := range []Cursor{{}, {at, "0199aa9c7f01"}, {time.UnixMilli(0).UTC(), "b-c"}} {
		if got, err := ParseCursor(c.String()); err != nil || got != c {
			t.Errorf("%q reads as %v, %v; want %v", c.String(), got, err, c)
		}
	}
	for _, s := range []string{"x", "12", "12-", "-1-a", "1e3-a", "12-" + string(make([]byte, 65))} {
		if c, err := ParseCursor(s); err == nil {
			t.Errorf("%q reads as %v; want an error", s, c)
		}
	}
	a, b := Cursor{at, "b"}, Cursor{at, "a"}
	if a.Compare(b) >= 0 || b.Compare(Cursor{at.Add(-1), "z"}) >= 0 || a.Compare(a) != 0 {
		t.Error("the newest is not the first")
	}
}
