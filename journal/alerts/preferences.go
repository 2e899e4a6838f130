package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// When says how soon a guardian hears of something. The words last.
type When string

const (
	Never     When = "never"
	Immediate When = "immediate"
	Hourly    When = "hourly"
	Daily     When = "daily"
	Weekly    When = "weekly"
)

// Whens are all there are, soonest first.
var Whens = []When{Immediate, Hourly, Daily, Weekly, Never}

// Periods are those that make a digest.
var Periods = []When{Hourly, Daily, Weekly}

// ParseWhen reads the word for one.
func ParseWhen(s string) (When, error) {
	if w := When(strings.ToLower(s)); slices.Contains(Whens, w) {
		return w, nil
	}
	return "", fmt.Errorf("%q is not immediate, hourly, daily, weekly or never", s)
}

// rank orders by how soon; Never is after all others.
func (w When) rank() int { return slices.Index(Whens, w) }

// AllSignals is what a rule is about that is about every signal.
const AllSignals = "signals"

// Rule is one choice of a guardian.
type Rule struct {
	Profile policy.ProfileID `json:"profile,omitempty"` // 0: every one
	About   string           `json:"about,omitempty"`   // a category, a signal, [AllSignals]; "": everything
	When    When             `json:"when"`
}

// Preferences are how a guardian wants to hear of things. Times are of the
// family's clock. Its JSON form is what the store keeps.
type Preferences struct {
	Rules []Rule `json:"rules,omitempty"`
	// Quiet hours; none where both are the same. Past midnight where From is later.
	QuietFrom  policy.Minutes `json:"quiet_from"`
	QuietUntil policy.Minutes `json:"quiet_until"`
	// UrgentPasses lets urgent events (see [Event.Urgent]) through quiet hours.
	UrgentPasses bool           `json:"urgent_passes,omitempty"`
	DigestAt     policy.Minutes `json:"digest_at"`
	DigestDay    time.Weekday   `json:"digest_day"`
	// PerHour is how many alerts reach each of a guardian's channels in any hour;
	// what is above waits and comes in one.
	PerHour int `json:"per_hour"`
}

// DefaultPreferences are those of a guardian who chose nothing: urgent things and
// signals at once, all else in the evening, and nothing at night.
func DefaultPreferences() Preferences {
	return Preferences{QuietFrom: 22 * 60, QuietUntil: 7 * 60, DigestAt: 19 * 60, DigestDay: time.Sunday, PerHour: 6}
}

// Check refuses preferences that mean nothing.
func (p Preferences) Check() error {
	const day = 24 * 60
	switch {
	case p.QuietFrom >= day || p.QuietUntil >= day:
		return fmt.Errorf("quiet hours: %d and %d are not both minutes of a day", p.QuietFrom, p.QuietUntil)
	case p.DigestAt >= day:
		return fmt.Errorf("digest time: minute %d is not one of a day", p.DigestAt)
	case p.DigestDay < time.Sunday || p.DigestDay > time.Saturday:
		return fmt.Errorf("digest day: %d is not a day of the week", p.DigestDay)
	case p.PerHour < 1 || p.PerHour > 60:
		return fmt.Errorf("alerts an hour: %d is not between 1 and 60", p.PerHour)
	}
	for _, r := range p.Rules {
		if _, err := ParseWhen(string(r.When)); err != nil {
			return err
		}
		if err := CheckAbout(r.About); err != nil {
			return err
		}
	}
	return nil
}

// CheckAbout refuses what a rule cannot be about.
func CheckAbout(s string) error {
	if s == "" || s == AllSignals || s == AskedKind || s == WaitsKind || slices.Contains(policy.SignalKinds(), s) {
		return nil
	}
	if _, err := blocklists.ParseCategory(s); err != nil {
		return fmt.Errorf("%w, nor is it a signal: %s, or %s for all of them", err, strings.Join(policy.SignalKinds(), ", "), AllSignals)
	}
	return nil
}

// Set puts a rule in the place of one about the same.
func (p *Preferences) Set(r Rule) {
	p.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(have Rule) bool { return have.Profile == r.Profile && have.About == r.About })
	p.Rules = append(p.Rules, r)
}

// When returns how soon e is to be told: what the narrowest rule says, of a
// profile and a kind, then of a kind, then of a profile, then of everything.
func (p Preferences) When(e Event) When {
	if e.Routine {
		return Never
	}
	best, score := When(""), -1
	for _, r := range p.Rules {
		s, ok := r.narrow(e)
		if ok && s > score {
			best, score = r.When, s
		}
	}
	switch {
	case score >= 0:
		return best
	case e.Urgent(), e.Kind != "":
		return Immediate
	}
	return Daily
}

// narrow returns how narrowly r is about e, and whether it is at all.
func (r Rule) narrow(e Event) (int, bool) {
	score := 0
	switch {
	case r.Profile == e.Profile:
		score = 1
	case r.Profile != 0:
		return 0, false
	}
	switch {
	case r.About == "":
		return score, true
	case e.Kind != "":
		if r.About == e.Kind {
			return score + 6, true
		}
		return score + 4, r.About == AllSignals && attempted(e)
	case r.About == e.Category:
		return score + 4, true
	case r.About == blocklists.KnownRiskCategory.String():
		return score + 2, e.Risk // the category that parents chose by name goes first
	}
	return 0, false
}

// Quiet returns when the quiet hours end that t is in; false where it is in none.
func (p Preferences) Quiet(t time.Time, zone *time.Location) (until time.Time, quiet bool) {
	if p.QuietFrom == p.QuietUntil {
		return t, false
	}
	local := t.In(zone)
	for days := -1; days <= 0; days++ { // those that began yesterday, and today
		from, to := wall(local, days, p.QuietFrom, zone), wall(local, days, p.QuietUntil, zone)
		if p.QuietUntil < p.QuietFrom {
			to = wall(local, days+1, p.QuietUntil, zone)
		}
		if !t.Before(from) && t.Before(to) {
			return to.UTC(), true
		}
	}
	return t, false
}

// Due returns when e may be told that happened now.
func (p Preferences) Due(e Event, now time.Time, zone *time.Location) time.Time {
	if until, quiet := p.Quiet(now, zone); quiet && !(p.UrgentPasses && e.Urgent()) {
		return until
	}
	return now
}

// Next returns the first end of a period after t. Hours are those of the clock;
// days and weeks end at the guardian's time of digests.
func (p Preferences) Next(period When, t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	if period == Hourly {
		// A zone may be off by 30 or 45 minutes, so it is counted on the wall.
		into := time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
		return t.Add(time.Hour - into).UTC()
	}
	for days := 0; ; days++ {
		at := wall(local, days, p.DigestAt, zone)
		if at.After(t) && (period != Weekly || at.In(zone).Weekday() == p.DigestDay) {
			return at.UTC()
		}
	}
}

// wall returns a time of day so many days after that of t.
func wall(t time.Time, days int, at policy.Minutes, zone *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, 0, int(at), 0, 0, zone)
}

// Periods returns the digests that come of p, the shortest first.
func (p Preferences) Periods() []When {
	used := map[When]bool{Daily: true}
	for _, r := range p.Rules {
		if r.Profile == 0 && r.About == "" {
			delete(used, Daily)
		}
	}
	for _, r := range p.Rules {
		used[r.When] = true
	}
	return slices.DeleteFunc(slices.Clone(Periods), func(w When) bool { return !used[w] })
}
