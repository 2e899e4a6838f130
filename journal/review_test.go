package journal

import (
	"testing"
	"time"
)

func TestMuteMutes(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	omegle := Incident{Family: 1, Profile: 2, Service: "omegle", Domain: "omegle.com"}
	site := Incident{Family: 1, Profile: 2, Domain: "example.com"}
	for _, tt := range []struct {
		name string
		m    Mute
		i    Incident
		want bool
	}{
		{"the same service", MuteOf(omegle, Reader{}, at, time.Time{}), omegle, true},
		{"another domain of the service", MuteOf(omegle, Reader{}, at, time.Time{}), Incident{Family: 1, Profile: 2, Service: "omegle", Domain: "omegle.tv"}, true},
		{"another service", MuteOf(omegle, Reader{}, at, time.Time{}), Incident{Family: 1, Profile: 2, Service: "kik"}, false},
		{"the domain alone", MuteOf(site, Reader{}, at, time.Time{}), site, true},
		{"another domain", MuteOf(site, Reader{}, at, time.Time{}), Incident{Family: 1, Profile: 2, Domain: "example.org"}, false},
		{"another profile", MuteOf(omegle, Reader{}, at, time.Time{}), Incident{Family: 1, Profile: 3, Service: "omegle"}, false},
		{"another family", MuteOf(omegle, Reader{}, at, time.Time{}), Incident{Family: 2, Profile: 2, Service: "omegle"}, false},
		{"before it ends", MuteOf(omegle, Reader{}, at, at.Add(time.Second)), omegle, true},
		{"when it has ended", MuteOf(omegle, Reader{}, at, at), omegle, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.m.Mutes(tt.i, at); got != tt.want {
				t.Errorf("%+v mutes %+v: %v, want %v", tt.m, tt.i, got, tt.want)
			}
		})
	}
}

func TestFilterMatches(t *testing.T) {
	i := Incident{Verdict: "block", Reason: "category", Category: "dating", Domain: "example.com"}
	for _, tt := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"no condition", Filter{}, true},
		{"its category", Filter{Category: "dating"}, true},
		{"another category", Filter{Category: "social"}, false},
		{"its domain as a service", Filter{Service: "example.com"}, true},
		{"another service", Filter{Service: "omegle"}, false},
		{"its verdict", Filter{Verdict: "block"}, true},
		{"another verdict", Filter{Verdict: "watch"}, false},
		{"another reason", Filter{Reason: "rule"}, false},
		{"a condition of one's own", Filter{Only: func(i Incident) bool { return i.Verdict != "block" }}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.f.Matches(i); got != tt.want {
				t.Errorf("Matches is %v, want %v", got, tt.want)
			}
		})
	}
}
