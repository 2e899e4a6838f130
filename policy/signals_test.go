package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSwitchSignals: every kind can be switched off and on, by its word alone; it
// is a change in words that can be undone without the others, and switching off
// weakens protection.
func TestSwitchSignals(t *testing.T) {
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range SignalKinds() {
		f := NewFamily("Home", "UTC", BandC)
		f.SignalsOff = []string{SignalNight}
		if kind == SignalNight {
			f.SignalsOff = []string{SignalTunnel}
		}
		before, _ := f.Clone()
		what, err := f.SwitchSignal(kind, false)
		if err != nil || !strings.Contains(what, kind) || f.Signals(kind) {
			t.Fatalf("%s: %q, %v, still given: %t", kind, what, err, f.Signals(kind))
		}
		f.Normalize()
		if err := validate(f, Known{}); err != nil {
			t.Errorf("%s off is refused: %v", kind, err)
		}
		if found := Weakens(before, f, presets); len(found) != 1 || !strings.Contains(found[0].What, kind) {
			t.Errorf("%s off weakens: %v", kind, found)
		}
		if _, err := f.SwitchSignal(kind, false); !errors.Is(err, ErrSame) {
			t.Errorf("%s off again: %v", kind, err)
		}
		delta, err := DeltaOf(before, f)
		if err != nil || len(delta) != 1 {
			t.Fatalf("%s: delta %v, %v", kind, delta, err)
		}
		f.SwitchSignal(SignalUnknown, false) // a later change, which an undo leaves alone
		f.Normalize()
		undone, since, err := delta.Undo(f, time.Now())
		if kind != SignalUnknown {
			if err != nil || len(since) > 0 || !undone.Signals(kind) || undone.Signals(SignalUnknown) {
				t.Errorf("%s undone: %+v, %v, %v", kind, undone, since, err)
			}
		}
		if _, err := f.SwitchSignal(kind, true); err != nil || !f.Signals(kind) {
			t.Errorf("%s on again: %v", kind, err)
		}
	}
}

// TestUnknownSignal: what is no kind is refused with the nearest that is.
func TestUnknownSignal(t *testing.T) {
	f := NewFamily("Home", "UTC", BandC)
	_, err := f.SwitchSignal("tunel", false)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `did you mean "tunnel"?`) {
		t.Errorf("tunel: %v", err)
	}
	f.SignalsOff = []string{"nihgt", SignalTunnel, SignalTunnel}
	var said []string
	for _, fault := range Faults(f, Known{}) {
		said = append(said, fault.Error())
	}
	if len(said) != 2 || !strings.Contains(said[0], `did you mean "night"?`) || !strings.Contains(said[1], "twice") {
		t.Errorf("faults: %q", said)
	}
}

// TestNight: the hours are 22 to 6 unless the family says otherwise, and may
// cross midnight or not.
func TestNight(t *testing.T) {
	f := NewFamily("Home", "UTC", BandC)
	if got := f.NightHours(); got != defaultNight {
		t.Errorf("of a new family: %s", got)
	}
	var h Hours
	if err := h.UnmarshalText([]byte("13:00-15:00")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetNight(h); err != nil || f.NightHours() != h {
		t.Fatalf("%s, %v", f.NightHours(), err)
	}
	again, err := f.Clone()
	if d := cmp.Diff(f, again); err != nil || d != "" {
		t.Errorf("stored and read (-want +got): %s, %v", d, err)
	}
	if _, err := f.SetNight(defaultNight); err != nil || f.Night != (Hours{}) {
		t.Errorf("the default is stored as %s, %v", f.Night, err)
	}
	for _, tt := range []struct {
		hours string
		in    []string
		out   []string
	}{
		{"22:00-06:00", []string{"22:00", "23:59", "00:00", "05:59"}, []string{"06:00", "12:00", "21:59"}},
		{"13:00-15:00", []string{"13:00", "14:59"}, []string{"12:59", "15:00", "00:00"}},
		{"20:00-00:00", []string{"20:00", "23:59"}, []string{"00:00", "19:59"}},
	} {
		var h Hours
		if err := h.UnmarshalText([]byte(tt.hours)); err != nil {
			t.Fatal(err)
		}
		for _, at := range slices.Concat(tt.in, tt.out) {
			var m Minutes
			if err := m.UnmarshalText([]byte(at)); err != nil {
				t.Fatal(err)
			}
			if got, want := h.Contains(m), slices.Contains(tt.in, at); got != want {
				t.Errorf("%s contains %s: %t", tt.hours, at, got)
			}
		}
	}
	for _, bad := range []string{"", "22:00", "Mon-Fri 22:00-06:00", "25:00-06:00", "22-6"} {
		if err := h.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %s", bad, h)
		}
	}
	f.Night = Hours{From: 60, To: 60}
	if len(Faults(f, Known{})) != 1 {
		t.Error("hours that are no span are not refused")
	}
}
