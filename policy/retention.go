package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"kinward/blocklists"
)

// KeptDays is for how many days something is kept.
type KeptDays uint16

const (
	// DefaultRetention is how long incidents are kept where a family says nothing:
	// a school term, so that what happened can be talked about and is then over.
	DefaultRetention KeptDays = 90

	// MaxRetention is the longest that a family can choose.
	MaxRetention KeptDays = 3650
)

// String writes "1 day" or "90 days".
func (d KeptDays) String() string {
	if d == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", uint16(d))
}

// Retention says for how many days after their last attempt incidents and counts
// are kept. The zero value is [DefaultRetention] for all.
type Retention struct {
	Days KeptDays `json:"days,omitempty"` // 0 is DefaultRetention
	// Categories are kept otherwise than the rest.
	Categories map[blocklists.Category]KeptDays `json:"categories,omitempty"`
}

// Default returns how long is kept what no category says otherwise of.
func (r Retention) Default() KeptDays {
	if r.Days == 0 {
		return DefaultRetention
	}
	return r.Days
}

// For returns how long a category is kept.
func (r Retention) For(c blocklists.Category) KeptDays {
	if d, ok := r.Categories[c]; ok {
		return d
	}
	return r.Default()
}

// Shortest returns the shortest that anything is kept.
func (r Retention) Shortest() KeptDays {
	d := r.Default()
	for _, other := range r.Categories {
		d = min(d, other)
	}
	return d
}

// Before returns the time before which what is kept for d is forgotten.
func (d KeptDays) Before(now time.Time) time.Time { return now.AddDate(0, 0, -int(d)) }

// SetRetention says how long incidents are kept: those of a category, or with
// [blocklists.NoCategory] all that no category says otherwise of. 0 days goes
// back to what holds without it.
func (f *Family) SetRetention(c blocklists.Category, days KeptDays) (string, error) {
	if c == blocklists.NoCategory {
		if days == DefaultRetention {
			days = 0
		}
		if days == f.Retention.Days {
			return "", ErrSame
		}
		f.Retention.Days = days
		return fmt.Sprintf("incidents are kept for %s", f.Retention.Default()), nil
	}
	have, ok := f.Retention.Categories[c]
	if ok && have == days || !ok && days == 0 {
		return "", ErrSame
	}
	own := maps.Clone(f.Retention.Categories)
	if own == nil {
		own = map[blocklists.Category]KeptDays{}
	}
	own[c] = days
	if days == 0 {
		delete(own, c)
	}
	if f.Retention.Categories = own; days == 0 {
		return fmt.Sprintf("incidents of category %s are kept as all others are, for %s", c, f.Retention.Default()), nil
	}
	return fmt.Sprintf("incidents of category %s are kept for %s", c, days), nil
}

// SetCountry says in which country the family lives, by its ISO 3166 code: whose
// help lines it is shown. "" is none.
func (f *Family) SetCountry(code string) (string, error) {
	code = strings.ToUpper(strings.TrimSpace(code))
	if err := checkCountry(code); err != nil {
		return "", err
	}
	if code == f.Country {
		return "", ErrSame
	}
	if f.Country = code; code == "" {
		return "the family lives in no country that is known", nil
	}
	return "the family lives in " + code, nil
}

// noCountries are codes that CLDR takes for a country's and ISO 3166-1 assigns to
// none: reserved for parts of countries and for treaties, and those of countries
// that are no more. XK is not among them: it is what is written for Kosovo.
var noCountries = []string{"AC", "AN", "CP", "CQ", "CS", "DG", "EA", "EZ", "FQ", "IC", "NT", "PC", "SU", "TA", "UN", "YU"}

func checkCountry(code string) error {
	if code == "" {
		return nil
	}
	if code == "EU" { // reserved in ISO 3166-1, and with help lines of its own
		return nil
	}
	r, err := language.ParseRegion(code)
	if err != nil || !r.IsCountry() || r.String() != code || r.Canonicalize() != r || slices.Contains(noCountries, code) {
		return refuse(ErrInvalid, "%q is no country's code; write the two letters of ISO 3166, such as DE", clip(code))
	}
	return nil
}

func (v *validation) retention() {
	v.in("country", func() { v.err(checkCountry(v.f.Country)) })
	v.in("retention", func() {
		days := func(d KeptDays) {
			if d < 1 || d > MaxRetention {
				v.fault(ErrInvalid, "%s is no time to keep something for; give 1 to %d days (what is kept at all is said by the choices and by \"log\")", d, MaxRetention)
			}
		}
		if v.f.Retention.Days != 0 {
			days(v.f.Retention.Days)
		}
		for _, c := range slices.Sorted(maps.Keys(v.f.Retention.Categories)) {
			v.in("category "+c.String(), func() { days(v.f.Retention.Categories[c]) })
		}
	})
}

// retention says what is forgotten earlier: a shorter time empties the record of
// what happened before it.
func (w *weighing) retention() {
	a, b := w.before.Retention, w.after.Retention
	if b.Default() < a.Default() {
		w.add("retention", "incidents are kept for %s, not %s", b.Default(), a.Default())
	}
	own := map[blocklists.Category]bool{}
	for c := range a.Categories {
		own[c] = true
	}
	for c := range b.Categories {
		own[c] = true
	}
	for _, c := range slices.Sorted(maps.Keys(own)) {
		if b.For(c) < a.For(c) {
			w.add("retention", "incidents of category %s are kept for %s, not %s", c, b.For(c), a.For(c))
		}
	}
}

// retention puts the parts of how long something is kept, and the country.
func (s *splitter) retention(f *Family) {
	putIf(s, "country", f.Country)
	putIf(s, "retention", f.Retention.Days)
	for c, d := range f.Retention.Categories {
		s.put("retention/"+c.String(), d)
	}
}
