package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kinward/blocklists"
)

func (v *validation) profiles() {
	v.atMost(len(v.f.Profiles), MaxProfiles, "profiles")
	seen, given := names{}, ids{}
	for i := range v.f.Profiles {
		p := &v.f.Profiles[i]
		v.in(fmt.Sprintf("profile %q", clip(p.Name)), func() {
			v.name(p.Name)
			seen.add(v, p.Name)
			given.add(v, int64(p.ID))
			v.err(checkPreset(p.Preset))
			v.choices(p)
			if p.Response != nil {
				v.response(*p.Response)
			}
			v.rules(p)
			v.schedules(p)
		})
	}
}

func (v *validation) choices(p *Profile) {
	choice := func(where string, c Choice) {
		if c > ChooseCount {
			v.in(where, func() { v.fault(ErrInvalid, "choice %d does not exist; take one of %q", c, choiceNames) })
		}
	}
	category := func(c blocklists.Category) {
		if !categoryChosen(c) {
			v.fault(ErrInvalid, "category %d cannot be chosen: it must stay reachable or does not exist", c)
		}
	}
	for _, c := range slices.Sorted(maps.Keys(p.Categories)) {
		category(c)
		choice(fmt.Sprintf("category %q", c), p.Categories[c])
		if c == blocklists.Security && p.Categories[c].Action() != Block {
			v.in(`category "security"`, func() {
				v.fault(ErrInvalid, "what is dangerous to everybody stays blocked; take block, digest, hide or count")
			})
		}
	}
	for _, c := range slices.Sorted(maps.Keys(p.Log)) {
		if category(c); p.Log[c] > KeepItem {
			v.fault(ErrInvalid, "log mode %d of category %q does not exist; take none, count or item", p.Log[c], c)
		}
	}
	v.atMost(len(p.Services), MaxChoices, "choices about services")
	for _, id := range slices.Sorted(maps.Keys(p.Services)) {
		v.member("service", id, v.known.Services)
		choice(fmt.Sprintf("service %q", clip(id)), p.Services[id])
	}
	v.atMost(len(p.Lists), MaxChoices, "choices about lists")
	for _, id := range slices.Sorted(maps.Keys(p.Lists)) {
		v.member("list", id, v.known.Lists)
		choice(fmt.Sprintf("list %q", clip(id)), p.Lists[id])
	}
	v.atMost(len(p.Search), MaxChoices, "choices about search engines")
	for _, id := range slices.Sorted(maps.Keys(p.Search)) {
		v.member("search engine", id, v.known.Engines)
		switch mode := p.Search[id]; {
		case mode > SearchModerate:
			v.fault(ErrInvalid, "search mode %d of %q does not exist; take off, safe or moderate", mode, clip(id))
		case mode == SearchModerate && !hasModerate(id):
			v.fault(ErrInvalid, "search engine %q has no moderate mode; take off or safe", clip(id))
		}
	}
}

// hasModerate reports whether a search engine has a milder mode beside the safe one.
func hasModerate(id string) bool {
	s, err := EmbeddedSafeSearch()
	if err != nil {
		return false
	}
	e := s.Engine(s.Number(id))
	return e != nil && e.Moderate
}

func (v *validation) response(m BlockMode) {
	v.in("response", func() {
		if !m.Valid() {
			v.fault(ErrInvalid, "%s is not an IPv4 and an IPv6 address; write nxdomain, zero or addresses", m)
		}
		for _, a := range []netip.Addr{m.V4, m.V6} {
			if a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
				v.fault(ErrInvalid, "%s is an address of many; give the one of a page, or nxdomain or zero", a)
			}
		}
	})
}

func (v *validation) rules(p *Profile) {
	v.atMost(len(p.Rules), MaxRules, "rules")
	type key struct {
		name  blocklists.Name
		match Match
	}
	seen, given := make(map[key]RuleID, len(p.Rules)), ids{}
	for _, r := range p.Rules {
		v.in(fmt.Sprintf("rule %d (%s)", r.ID, clip(r.Name.String())), func() {
			given.add(v, int64(r.ID))
			if r.Name == "" {
				v.fault(ErrInvalid, "the root of all names cannot be a rule; change the preset instead")
			}
			if int(r.Match) >= len(matchWords) {
				v.fault(ErrInvalid, "there is no match %d; take one of %q", r.Match, matchWords)
			}
			if _, err := blocklists.NewGlob(r.Name); r.Match == MatchGlob && err != nil && r.Name != "" {
				v.fault(ErrInvalid, "%v; write a part of the names that are meant, for example ads*.example.com", err)
			}
			if other, ok := seen[key{r.Name, r.Match}]; ok {
				v.fault(ErrConflict, "rule %d is for the same name; remove one", other)
			}
			seen[key{r.Name, r.Match}] = r.ID
			if v.known.Help == nil || r.Allow {
				return
			}
			if help := v.known.Help(r); help != "" {
				v.fault(ErrInvalid, "%s is a help line or the like, which Kinward never blocks; leave the rule out", help)
			}
		})
	}
}

func (v *validation) schedules(p *Profile) {
	v.atMost(len(p.Schedules), MaxSchedules, "schedules")
	seen, given := names{}, ids{}
	times := make([][]interval, len(p.Schedules))
	for i := range p.Schedules {
		s := &p.Schedules[i]
		times[i] = spans(s.Windows)
		v.in(fmt.Sprintf("schedule %q", clip(s.Name)), func() {
			v.name(s.Name)
			seen.add(v, s.Name)
			given.add(v, int64(s.ID))
			v.schedule(p, s)
			for j := range p.Schedules[:i] {
				v.twoSchedules(s, &p.Schedules[j], times[i], times[j])
			}
		})
	}
}

func (v *validation) schedule(p *Profile, s *Schedule) {
	if int(s.Effect) >= len(effectWords) {
		v.fault(ErrInvalid, "there is no effect %d; take block or free", s.Effect)
	}
	if int(s.Holidays) >= len(holidayWords) {
		v.fault(ErrInvalid, "there is no holiday mode %d; take one of %q", s.Holidays, holidayWords)
	}
	v.target(s.What)
	switch s.What.Kind {
	case ForName:
		v.fault(ErrInvalid, "it is for a name; make a rule for the name, and a schedule for the rule")
	case ForRule:
		at := slices.IndexFunc(p.Rules, func(r Rule) bool { return r.ID == s.What.Rule })
		switch {
		case at < 0:
			v.fault(ErrInvalid, "it is for rule %d, which the profile does not have; add the rule first", s.What.Rule)
		case p.Rules[at].Allow && s.Effect == Blocks:
			v.fault(ErrInvalid, "it blocks, but rule %d allows; a schedule for an allow rule is free in its windows", s.What.Rule)
		case !p.Rules[at].Allow && s.Effect == Frees:
			v.fault(ErrInvalid, "it frees, but rule %d denies; a schedule for a deny rule blocks in its windows", s.What.Rule)
		}
	}
	v.windows(s.Windows, true)
	v.atMost(len(s.Exceptions), MaxExceptions, "exceptions")
	holds := len(s.Windows) > 0
	days := map[Date]bool{}
	for _, e := range s.Exceptions {
		v.in("exception "+e.Day.String(), func() {
			v.day(e.Day)
			if days[e.Day] {
				v.fault(ErrConflict, "the day has two exceptions; remove one")
			}
			days[e.Day], holds = true, holds || len(e.Windows) > 0
			v.windows(e.Windows, false)
		})
	}
	if !holds {
		v.fault(ErrInvalid, "it never applies: it has no window; give it one, for example Mon-Fri 21:30-06:30")
	}
}

// windows checks the windows of a week, or of one day.
func (v *validation) windows(windows []Window, ofWeek bool) {
	v.atMost(len(windows), MaxWindows, "windows")
	sound := make([]Window, 0, len(windows))
	for _, w := range windows {
		switch {
		case w.From >= 24*60 || w.To == 0 || w.To > 24*60:
			v.fault(ErrInvalid, "window %q: a day goes from 00:00 to 24:00, and a window ends at 24:00 or before", w)
		case ofWeek && w.Days&127 == 0:
			v.fault(ErrInvalid, "window %s-%s never applies: it has no days; give it some, for example Mon-Fri", w.From, w.To)
		case w.Days > 127:
			v.fault(ErrInvalid, "window %q is on a day that does not exist", w)
		default:
			if !ofWeek {
				w.Days = 1
			}
			sound = append(sound, w)
		}
	}
	if at, ok := overlap(spans(sound)); ok {
		when := minuteText(at)
		if !ofWeek {
			when = Minutes(at % (24 * 60)).String()
		}
		v.fault(ErrConflict, "two of its windows overlap at %s; make them one", when)
	}
}

// twoSchedules refuses schedules that say the same of the same at the same time.
// Those that differ on holidays may be meant to share the days.
func (v *validation) twoSchedules(s, other *Schedule, a, b []interval) {
	if s.Off || other.Off || s.What != other.What || s.Effect != other.Effect || s.Holidays != other.Holidays {
		return
	}
	if at, ok := meet(a, b); ok {
		v.fault(ErrConflict, "schedule %q does the same at %s; change the windows of one, or make them one schedule", clip(other.Name), minuteText(at))
	}
}
