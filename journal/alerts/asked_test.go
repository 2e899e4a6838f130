package alerts

import (
	"strings"
	"testing"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// TestAskedLetter: a message that a child asks for something, or that a change
// waits, tells no domain and nothing of look-ups, and comes at once.
func TestAskedLetter(t *testing.T) {
	at := time.Date(2026, 11, 27, 20, 15, 0, 0, time.UTC)
	h := Home{Name: "Miller", Zone: time.UTC, Names: journal.Names{
		Profile: func(policy.ProfileID) string { return "Lea" }, Device: func(policy.DeviceID) string { return "Tablet" },
		Service: func(id string) string { return strings.ToUpper(id) },
	}}
	for _, tt := range []struct {
		name, subject, line string
		event               Event
	}{
		{"a service", "profile Lea, a request to answer", "Tablet (profile Lea): asks for ROBLOX.", Event{Feed: Requests, Kind: AskedKind, Profile: 2, Device: 1, Service: "roblox", At: at}},
		{"a name", "profile Lea, a request to answer", "Tablet (profile Lea): asks for something.", Event{Feed: Requests, Kind: AskedKind, Profile: 2, Device: 1, At: at}},
		{"a change", "a change that waits", "Eva wants a change that weakens protection.", Event{Feed: Waits, Kind: WaitsKind, Who: "Eva", At: at}},
	} {
		l := alertLetter(h, []Event{tt.event}, 1, "https://kinward.example")
		if l.Subject != "Kinward: "+tt.subject || !strings.Contains(l.Text, tt.line) || strings.Contains(l.Text, lookUp) || !strings.Contains(l.Text, "answer it in Kinward") {
			t.Errorf("%s: %q\n%s", tt.name, l.Subject, l.Text)
		}
		if p := DefaultPreferences(); p.When(tt.event) != Immediate {
			t.Errorf("%s is told %s", tt.name, p.When(tt.event))
		}
		signalsOff := Preferences{Rules: []Rule{{About: AllSignals, When: Never}}}
		if signalsOff.When(tt.event) != Immediate {
			t.Errorf("%s is not told where signals are not", tt.name)
		}
		off := Preferences{Rules: []Rule{{About: tt.event.Kind, When: Never}}}
		if off.When(tt.event) != Never || CheckAbout(tt.event.Kind) != nil {
			t.Errorf("%s is told where it is not wanted", tt.name)
		}
	}
}
