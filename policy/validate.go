package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kinward/blocklists"
)

// How much a family may have. Its document and what is compiled of it are read
// whole, so that one family cannot take the memory of all others.
const (
	MaxGuardians  = 20
	MaxProfiles   = 50
	MaxDevices    = 500
	MaxClues      = 16 // of a device, of each kind
	MaxNetworks   = 64 // of a family
	MaxRules      = 10_000
	MaxChoices    = 2_000 // of a profile, of each kind
	MaxSchedules  = 64    // of a profile: each has a bit of a word
	MaxWindows    = 50    // of a schedule, or of one day of it
	MaxExceptions = 400   // of a schedule
	MaxHolidays   = 200
	MaxGrants     = 200
	MaxGrant      = 31 * 24 * time.Hour // what is meant for longer is a choice, and should stand among the choices
	MaxText       = 300                 // characters of a reason
	MaxDelay      = 7 * 1440            // minutes that a loosening can wait
)

// Known is what a family's choices can be about. Where a field is nil, what it
// would tell is not checked.
type Known struct {
	Services []string            // IDs
	Lists    []string            // IDs
	Engines  []string            // IDs of search engines
	Help     func(r Rule) string // the help line that a rule names, "" for none
}

// KnownBy returns what a catalogue knows: services and help lines.
func KnownBy(c *blocklists.Catalogue) Known {
	k := Known{Help: func(r Rule) string { return helpNamed(c, r) }}
	for i := range c.Services {
		k.Services = append(k.Services, c.Services[i].ID)
	}
	return k
}

// helpNamed returns the help line that a rule is about, "" where it is about
// none. A rule for a name above one is not: it stays open whatever that says.
func helpNamed(c *blocklists.Catalogue, r Rule) string {
	if r.Match == MatchGlob {
		return ""
	}
	for _, h := range c.Reachable {
		if h.Section == blocklists.SectionHelp && (r.Name == h.Name && r.Match != MatchBelow || !h.Exact && (r.Name == h.Name || r.Name.IsBelow(h.Name))) {
			return h.Name.String()
		}
	}
	return ""
}

// Fault is one thing that is wrong with a family.
type Fault struct {
	Where string // such as `profile "Lea", schedule "Bedtime"`
	What  string // what is wrong, and what to do
	Kind  error  // [ErrInvalid], or [ErrConflict] where two things contradict each other
}

// Error says where and what.
func (f Fault) Error() string {
	if f.Where == "" {
		return f.What
	}
	return f.Where + ": " + f.What
}

// Unwrap returns the kind.
func (f Fault) Unwrap() error { return f.Kind }

// Join returns faults as one error with a line a fault, nil where there are none.
func Join(faults []Fault) error {
	var errs []error
	for _, f := range faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// Faults returns everything that is wrong with a family at once, nothing where it
// can be kept. Each wraps [ErrInvalid] or [ErrConflict].
func Faults(f *Family, known Known) []Fault {
	v := &validation{f: f, known: known}
	v.family()
	v.retention()
	v.guardians()
	v.profiles()
	v.devices()
	v.grants()
	v.signals()
	return v.faults
}

// validation collects faults. Its path says where it is.
type validation struct {
	f      *Family
	known  Known
	path   []string
	faults []Fault
}

// in runs f within a part of the family.
func (v *validation) in(where string, f func()) {
	v.path = append(v.path, where)
	f()
	v.path = v.path[:len(v.path)-1]
}

func (v *validation) fault(kind error, format string, args ...any) {
	v.faults = append(v.faults, Fault{strings.Join(v.path, ", "), fmt.Sprintf(format, args...), kind})
}

// err notes a refusal as a fault.
func (v *validation) err(err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrConflict):
		v.fault(ErrConflict, "%s", err)
	default:
		v.fault(ErrInvalid, "%s", err)
	}
}

func (v *validation) atMost(n, most int, what string) {
	if n > most {
		v.fault(ErrInvalid, "there are %d %s; at most %d are allowed", n, what, most)
	}
}

// name checks a name that people gave.
func (v *validation) name(name string) {
	clean, err := CleanName(name)
	if err == nil && clean != name {
		err = refuse(ErrInvalid, "the name %q is not written as it is stored; write %q", clip(name), clean)
	}
	v.err(err)
}

// text checks a reason or the like, which may be empty.
func (v *validation) text(s, what string) {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxText {
		v.fault(ErrInvalid, "the %s is no text of up to %d characters", what, MaxText)
		return
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			v.fault(ErrInvalid, "the %s holds the character %U, which cannot be shown; leave it out", what, r)
			return
		}
	}
}

// names tells names that are one to people.
type names map[string]string

func (n names) add(v *validation, name string) {
	key := NameKey(name)
	if other, ok := n[key]; ok {
		v.fault(ErrConflict, "%q has the same name; choose another for one of them", clip(other))
	}
	n[key] = name
}

// ids tells IDs that were given twice or never.
type ids map[int64]bool

func (n ids) add(v *validation, id int64) {
	switch {
	case id <= 0 || id > v.f.LastID:
		v.fault(ErrInvalid, "its ID %d was never given; IDs go from 1 to %d here", id, v.f.LastID)
	case n[id]:
		v.fault(ErrConflict, "its ID %d is another's too", id)
	}
	n[id] = true
}

// member checks a word against those that are known.
func (v *validation) member(what, id string, known []string) {
	if known == nil || slices.Contains(known, id) {
		return
	}
	if near := blocklists.Nearest(id, known); near != "" {
		v.fault(ErrInvalid, "there is no %s %q; did you mean %q?", what, clip(id), near)
		return
	}
	v.fault(ErrInvalid, "there is no %s %q, and none at all", what, clip(id))
}

func (v *validation) family() {
	f := v.f
	v.in("family", func() { v.name(f.Name) })
	v.in("time zone", func() { v.err(checkZone(f.Zone)) })
	v.in("default", func() {
		if f.Default != 0 && f.ProfileByID(f.Default) == nil {
			v.fault(ErrInvalid, "its profile %d does not exist; name one, or none to refuse unknown devices", f.Default)
		}
	})
	v.in("networks", func() {
		v.atMost(len(f.Networks), MaxNetworks, "networks")
		_, err := cleanNetworks(f.Networks)
		v.err(err)
	})
	v.in("tokens", func() { v.err(f.checkTokens(f.Tokens)) })
	v.in("loosening", func() {
		if f.Loosening.Delay > MaxDelay {
			v.fault(ErrInvalid, "a delay of %s is too long; at most %d hours are allowed", f.Loosening.Delay.Span(), MaxDelay/60)
		}
		deciding := 0
		for _, g := range f.Guardians {
			if g.Role >= Carer {
				deciding++
			}
		}
		if f.Loosening.Second && deciding < 2 {
			v.fault(ErrConflict, "a second guardian has to agree, but %d can; add another owner or guardian first", deciding)
		}
	})
	v.atMost(len(f.Holidays), MaxHolidays, "holidays")
	for i, h := range f.Holidays {
		v.in(fmt.Sprintf("holiday %q", clip(h.Name)), func() {
			v.name(h.Name)
			v.day(h.First)
			v.day(h.Last)
			switch {
			case h.Last.Before(h.First):
				v.fault(ErrInvalid, "it ends on %s, before it begins on %s", h.Last, h.First)
			case h.First.next(366).Before(h.Last):
				v.fault(ErrInvalid, "it is longer than a year; use a schedule, or switch one off")
			}
			for _, o := range f.Holidays[:i] {
				if NameKey(o.Name) == NameKey(h.Name) && !o.Last.Before(h.First) && !h.Last.Before(o.First) {
					v.fault(ErrConflict, "it stands twice, and overlaps itself from %s; remove one", maxDate(o.First, h.First))
				}
			}
		})
	}
}

func maxDate(a, b Date) Date {
	if a.Before(b) {
		return b
	}
	return a
}

// day checks that a day exists, in years that somebody may mean.
func (v *validation) day(d Date) {
	var back Date
	if back.UnmarshalText([]byte(d.String())) != nil || back != d || d.Year < 2000 || d.Year > 2200 {
		v.fault(ErrInvalid, "there is no day %s; write one like 2026-12-24, from 2000 to 2200", d)
	}
}

func (v *validation) guardians() {
	v.atMost(len(v.f.Guardians), MaxGuardians, "guardians")
	seen, given := names{}, ids{}
	for _, g := range v.f.Guardians {
		v.in(fmt.Sprintf("guardian %q", clip(g.Name)), func() {
			v.name(g.Name)
			seen.add(v, g.Name)
			given.add(v, int64(g.ID))
			if int(g.Role) >= len(roleWords) {
				v.fault(ErrInvalid, "there is no role %d; take owner, guardian or viewer", g.Role)
			}
		})
	}
	if len(v.f.Guardians) > 0 && !v.f.hasOwner() {
		v.in("guardians", func() { v.fault(ErrConflict, "none of them is an owner; make one of them an owner") })
	}
}

func (v *validation) devices() {
	f := v.f
	v.atMost(len(f.Devices), MaxDevices, "devices")
	seen, given := names{}, ids{}
	for i := range f.Devices {
		d := &f.Devices[i]
		v.in(fmt.Sprintf("device %q", clip(d.Name)), func() {
			v.name(d.Name)
			v.err(nameIsNoClue(d.Name))
			seen.add(v, d.Name)
			given.add(v, int64(d.ID))
			if f.ProfileByID(d.Profile) == nil {
				v.fault(ErrInvalid, "its profile %d does not exist; give it another", d.Profile)
			}
			if d.Then != 0 && f.ProfileByID(d.Then) == nil {
				v.fault(ErrInvalid, "the profile %d that it goes back to does not exist; give it another", d.Then)
			}
			v.atMost(len(d.Networks), MaxClues, "networks")
			v.atMost(len(d.MACs), MaxClues, "hardware addresses")
			v.atMost(len(d.Tokens), MaxClues, "private-DNS labels")
			if len(d.Networks)+len(d.MACs)+len(d.Tokens) == 0 {
				v.fault(ErrInvalid, "nothing says how to recognise it; give it an address, a hardware address or a private-DNS label")
			}
			_, err := cleanNetworks(d.Networks)
			v.err(err)
			for _, t := range d.Tokens {
				v.err(checkToken(t))
			}
			for j := range f.Devices[:i] {
				v.err(sharedClue(d, &f.Devices[j]))
			}
		})
	}
}

func (v *validation) grants() {
	v.atMost(len(v.f.Grants), MaxGrants, "grants")
	given := ids{}
	for _, g := range v.f.Grants {
		v.in(fmt.Sprintf("grant %d", g.ID), func() {
			given.add(v, int64(g.ID))
			if v.f.ProfileByID(g.Profile) == nil {
				v.fault(ErrInvalid, "its profile %d does not exist", g.Profile)
			}
			switch {
			case g.Until.IsZero():
				v.fault(ErrInvalid, "it never ends; give it an end, or make an allow rule or another choice")
			case !g.From.Before(g.Until):
				v.fault(ErrInvalid, "it ends before it begins; give it a later end")
			case g.Until.Sub(g.From) > MaxGrant:
				v.fault(ErrInvalid, "it lasts longer than %d days; for longer, make an allow rule or another choice", MaxGrant/(24*time.Hour))
			}
			if g.What.Kind == ForRule {
				v.fault(ErrInvalid, "it is for a rule; a grant is for everything, a category, a service or a name")
			}
			v.target(g.What)
			v.text(g.By, "name of who gave it")
			v.text(g.Why, "reason")
		})
	}
}

// target checks what a grant or a schedule is about, rules aside.
func (v *validation) target(t Target) {
	switch t.Kind {
	case ForCategory:
		if !categoryChosen(t.Category) {
			v.fault(ErrInvalid, "category %d cannot be chosen: it must stay reachable or does not exist", t.Category)
		}
	case ForService:
		v.member("service", t.Service, v.known.Services)
	case ForName:
		if t.Name == "" {
			v.fault(ErrInvalid, "it is for the root of all names; name a domain")
		}
	case ForEverything, ForRule:
	default:
		v.fault(ErrInvalid, "it is for a thing of kind %d, which does not exist", t.Kind)
	}
}

// interval is a span of minutes of a week.
type interval struct{ from, to int }

const week = 7 * 24 * 60

// spans returns when windows hold in a week, in order; what goes past its end
// goes on at its beginning.
func spans(windows []Window) []interval {
	var out []interval
	for _, w := range windows {
		length := int(w.To) - int(w.From)
		if length <= 0 {
			length += 24 * 60
		}
		for day := range 7 {
			if w.Days&(1<<day) == 0 {
				continue
			}
			from := day*24*60 + int(w.From)
			if to := from + length; to <= week {
				out = append(out, interval{from, to})
			} else {
				out = append(out, interval{from, week}, interval{0, to - week})
			}
		}
	}
	slices.SortFunc(out, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	return out
}

// meet returns the first minute of the week that spans of both, which are in
// order and each without overlaps, hold.
func meet(a, b []interval) (minute int, ok bool) {
	for len(a) > 0 && len(b) > 0 {
		if at := max(a[0].from, b[0].from); at < min(a[0].to, b[0].to) {
			return at, true
		}
		if a[0].to <= b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return 0, false
}

// overlap returns the first minute of the week that two of the spans, which are
// in order, hold.
func overlap(s []interval) (minute int, ok bool) {
	end := 0
	for _, i := range s {
		if i.from < end {
			return i.from, true
		}
		end = max(end, i.to)
	}
	return 0, false
}

// next returns the day n days after d.
func (d Date) next(n int) Date {
	return dateOf(time.Date(d.Year, d.Month, d.Day+n, 12, 0, 0, 0, time.UTC))
}

func minuteText(m int) string {
	return fmt.Sprintf("%s %s", weekdayWords[m/(24*60)], Minutes(m%(24*60)))
}
