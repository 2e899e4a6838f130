package main

import (
	"testing"

	"kinward/journal"
	"kinward/policy"
)

// TestNamesAreFoundAlike: a name that is typed in another case or another form of
// Unicode, as some keyboards and files have it, is found by every command alike, and
// is no other thing to a declared family.
func TestNamesAreFoundAlike(t *testing.T) {
	f := policy.NewFamily("Home", "", policy.BandC)
	f.Profiles[0].Name = "Zo\u00eb Strau\u00df"
	f.Guardians = []policy.Guardian{{ID: 7, Name: "Zo\u00eb Strau\u00df"}, {ID: 8, Name: "Karl"}}
	f.Devices = []policy.Device{{ID: 9, Name: "Zo\u00eb Strau\u00df", Profile: f.Profiles[0].ID}}
	for _, typed := range []string{"Zo\u00eb Strau\u00df", "zoe\u0308 strauss", " ZO\u00cb STRAUSS "} {
		if _, err := f.Profile(typed); err != nil {
			t.Fatal(err)
		}
		if id, err := findProfile(f, typed); err != nil || id != f.Profiles[0].ID {
			t.Errorf("profile %q: %v, %v", typed, id, err)
		}
		if id, err := findGuardian(f, typed); err != nil || id != 7 {
			t.Errorf("guardian %q: %v, %v", typed, id, err)
		}
		if filters, err := deviceFilters(f, journal.Filter{}, typed); err != nil || filters[0].Device != 9 {
			t.Errorf("device %q: %v, %v", typed, filters, err)
		}
		if !sameName(f.Profiles[0].Name, typed) {
			t.Errorf("a declared %q is another", typed)
		}
	}
}
