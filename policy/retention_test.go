package policy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

func TestRetention(t *testing.T) {
	f := NewFamily("Home", "UTC", BandC)
	if got := f.Retention.For(blocklists.Dating); got != 90 {
		t.Errorf("without a word incidents are kept for %s; want 90 days", got)
	}
	for _, tt := range []struct {
		name     string
		category blocklists.Category
		days     KeptDays
		want     string // "": it is so already
	}{
		{"as it is", blocklists.NoCategory, 0, ""},
		{"the default by its number", blocklists.NoCategory, 90, ""},
		{"shorter", blocklists.NoCategory, 30, "incidents are kept for 30 days"},
		{"again", blocklists.NoCategory, 30, ""},
		{"a category for longer", blocklists.Gambling, 365, "incidents of category gambling are kept for 365 days"},
		{"a category for a day", blocklists.Security, 1, "incidents of category security are kept for 1 day"},
		{"a category as all", blocklists.Security, 0, "incidents of category security are kept as all others are, for 30 days"},
		{"a category as all again", blocklists.Security, 0, ""},
		{"the default again", blocklists.NoCategory, 0, "incidents are kept for 90 days"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			what, err := f.SetRetention(tt.category, tt.days)
			if tt.want == "" && !errors.Is(err, ErrSame) || tt.want != "" && err != nil || what != tt.want {
				t.Errorf("SetRetention(%s, %d) says %q, %v; want %q", tt.category, tt.days, what, err, tt.want)
			}
		})
	}
	f.Retention.Days = 7
	if f.Retention.For(blocklists.Gambling) != 365 || f.Retention.For(blocklists.Dating) != 7 || f.Retention.Shortest() != 7 {
		t.Errorf("kept: %+v", f.Retention)
	}
	if got, want := KeptDays(7).Before(time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)), time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("7 days before: %s; want %s", got, want)
	}
}

func TestRetentionRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Retention
		want string
	}{
		{"the default", Retention{}, ""},
		{"the longest", Retention{Days: MaxRetention}, ""},
		{"too long", Retention{Days: MaxRetention + 1}, "retention: 3651 days is no time"},
		{"nothing at all", Retention{Categories: map[blocklists.Category]KeptDays{blocklists.Dating: 0}}, "category dating: 0 days is no time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fullFamily(t)
			f.Retention = tt.r
			err := validate(f, Known{})
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the error is %v; want one with %q", err, tt.want)
			}
		})
	}
}

func TestCountry(t *testing.T) {
	f := fullFamily(t)
	for _, tt := range []struct{ code, want string }{
		{"gb", "the family lives in GB"}, {" AT ", "the family lives in AT"}, {"EU", "the family lives in EU"}, {"", "the family lives in no country that is known"},
	} {
		if what, err := f.SetCountry(tt.code); err != nil || what != tt.want {
			t.Errorf("SetCountry(%q) says %q, %v; want %q", tt.code, what, err, tt.want)
		}
	}
	for _, code := range []string{"Germany", "D", "1A", "ÄÖ", "DEU", "XX", "ZZ", "UK", "SU", "AC"} {
		if _, err := f.SetCountry(code); !errors.Is(err, ErrInvalid) {
			t.Errorf("SetCountry(%q) is refused with %v; want ErrInvalid", code, err)
		}
		f.Country = code
		if err := validate(f, Known{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("country %q is valid: %v", code, err)
		}
	}
}

// TestWeakensRetention: what is forgotten earlier weakens, what is kept longer
// does not.
func TestWeakensRetention(t *testing.T) {
	own := func(days KeptDays) map[blocklists.Category]KeptDays {
		return map[blocklists.Category]KeptDays{blocklists.Dating: days}
	}
	for _, tt := range []struct {
		name string
		a, b Retention
		want string
	}{
		{"shorter", Retention{}, Retention{Days: 7}, "retention: incidents are kept for 7 days, not 90 days"},
		{"longer", Retention{}, Retention{Days: 365}, ""},
		{"a category shorter", Retention{}, Retention{Categories: own(1)}, "retention: incidents of category dating are kept for 1 day, not 90 days"},
		{"a category longer", Retention{}, Retention{Categories: own(100)}, ""},
		{"a category as all, which is less", Retention{Categories: own(100)}, Retention{}, "retention: incidents of category dating are kept for 90 days, not 100 days"},
		{"a category as all, which is more", Retention{Categories: own(1)}, Retention{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := NewFamily("F", "UTC", BandC), NewFamily("F", "UTC", BandC)
			a.Retention, b.Retention = tt.a, tt.b
			presets, err := EmbeddedPresets()
			if err != nil {
				t.Fatal(err)
			}
			if got := Sentences(Weakens(a, b, presets)); got != tt.want {
				t.Errorf("it weakens by %q; want %q", got, tt.want)
			}
		})
	}
}
