package policy

import (
	"fmt"
	"slices"
	"time"

	"kinward/blocklists"
)

// Profile finds a profile by name. What it returns belongs to the family.
func (f *Family) Profile(name string) (*Profile, error) {
	var known []string
	for i := range f.Profiles {
		if NameKey(f.Profiles[i].Name) == NameKey(name) {
			return &f.Profiles[i], nil
		}
		known = append(known, f.Profiles[i].Name)
	}
	return nil, notThere("profile", name, known)
}

// ProfileByID finds a profile, nil where there is none. What it returns belongs
// to the family.
func (f *Family) ProfileByID(id ProfileID) *Profile {
	for i := range f.Profiles {
		if f.Profiles[i].ID == id {
			return &f.Profiles[i]
		}
	}
	return nil
}

func (f *Family) profileName(id ProfileID) string {
	if p := f.ProfileByID(id); p != nil {
		return p.Name
	}
	return fmt.Sprint(id)
}

// freeProfileName checks a name for a profile; self is the one that gets it.
func (f *Family) freeProfileName(name string, self ProfileID) (string, error) {
	name, err := CleanName(name)
	if err != nil {
		return "", err
	}
	if p, err := f.Profile(name); err == nil && p.ID != self {
		return "", refuse(ErrConflict, "there is a profile %q already; choose another name", p.Name)
	}
	return name, nil
}

func checkPreset(preset Preset) error {
	if preset >= numPresets {
		return refuse(ErrInvalid, "preset %d does not exist; take A to E or adult", preset)
	}
	return nil
}

// AddProfile makes a profile.
func (f *Family) AddProfile(name string, preset Preset) (ProfileID, string, error) {
	name, err := f.freeProfileName(name, 0)
	if err != nil {
		return 0, "", err
	}
	if err := checkPreset(preset); err != nil {
		return 0, "", err
	}
	p := Profile{ID: ProfileID(f.nextID()), Name: name, Preset: preset}
	f.Profiles = append(f.Profiles, p)
	return p.ID, fmt.Sprintf("added profile %s (preset %s)", name, preset), nil
}

// RenameProfile gives a profile another name.
func (f *Family) RenameProfile(name, to string) (string, error) {
	p, err := f.Profile(name)
	if err != nil {
		return "", err
	}
	if to, err = f.freeProfileName(to, p.ID); err != nil {
		return "", err
	}
	if to == p.Name {
		return "", ErrSame
	}
	was := p.Name
	p.Name = to
	return fmt.Sprintf("renamed profile %s to %s", was, to), nil
}

// RemoveProfile removes a profile with all that is its own. The one that
// applies to everyone stays, and so does one that a device uses or goes back to.
func (f *Family) RemoveProfile(name string) (string, error) {
	p, err := f.Profile(name)
	if err != nil {
		return "", err
	}
	id, name := p.ID, p.Name
	if id == f.Default {
		return "", refuse(ErrConflict, "it applies to every device that has no other; it can be renamed or changed, not removed")
	}
	for _, d := range f.Devices {
		if d.Profile == id || d.Then == id {
			return "", refuse(ErrConflict, "device %q uses it; give the device another profile first", d.Name)
		}
	}
	f.Profiles = slices.DeleteFunc(f.Profiles, func(p Profile) bool { return p.ID == id })
	f.Grants = slices.DeleteFunc(f.Grants, func(g Grant) bool { return g.Profile == id })
	return "removed profile " + name, nil
}

// SetPreset gives a profile another preset. Its own choices and rules stay.
func (f *Family) SetPreset(profile string, preset Preset) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if err := checkPreset(preset); err != nil {
		return "", err
	}
	if preset == p.Preset {
		return "", ErrSame
	}
	was := p.Preset
	p.Preset = preset
	return fmt.Sprintf("changed the preset of profile %s from %s to %s", p.Name, was, preset), nil
}

// SetGuests says whether a profile is for visitors.
func (f *Family) SetGuests(profile string, guests bool) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if guests == p.Guests {
		return "", ErrSame
	}
	if p.Guests = guests; guests {
		return fmt.Sprintf("profile %s is for guests: what they try is counted, not named", p.Name), nil
	}
	return fmt.Sprintf("profile %s is no longer for guests", p.Name), nil
}

// setChoice sets or, with nil, takes back an entry of one of a profile's maps.
func setChoice[K comparable, V interface {
	comparable
	fmt.Stringer
}](f *Family, profile, kind string, of func(*Profile) *map[K]V, key K, v *V,
) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	m := of(p)
	was, had := (*m)[key]
	switch {
	case v == nil && !had, v != nil && had && was == *v:
		return "", ErrSame
	case v == nil:
		delete(*m, key)
		return fmt.Sprintf("took back %q for %s %v in profile %s", was, kind, key, p.Name), nil
	case *m == nil:
		*m = map[K]V{}
	}
	(*m)[key] = *v
	return fmt.Sprintf("chose %q for %s %v in profile %s", *v, kind, key, p.Name), nil
}

// SetCategory sets a profile's own choice for a category; nil goes back to the
// preset's.
func (f *Family) SetCategory(profile string, c blocklists.Category, choice *Choice) (string, error) {
	if !categoryChosen(c) {
		return "", refuse(ErrInvalid, "category %d cannot be chosen: it must stay reachable or does not exist", c)
	}
	return setChoice(f, profile, "category", func(p *Profile) *map[blocklists.Category]Choice { return &p.Categories }, c, choice)
}

// SetService sets a profile's own choice for a service, named by its ID; nil
// goes back to its category's.
func (f *Family) SetService(profile, service string, choice *Choice) (string, error) {
	service, err := CleanName(service)
	if err != nil {
		return "", err
	}
	return setChoice(f, profile, "service", func(p *Profile) *map[string]Choice { return &p.Services }, service, choice)
}

// SetList sets a profile's own choice for a list, named by its ID; nil goes
// back to its category's.
func (f *Family) SetList(profile, list string, choice *Choice) (string, error) {
	list, err := CleanName(list)
	if err != nil {
		return "", err
	}
	return setChoice(f, profile, "list", func(p *Profile) *map[string]Choice { return &p.Lists }, list, choice)
}

// SetLog says what is kept of a category's attempts; nil goes back to what the
// choice for it says.
func (f *Family) SetLog(profile string, c blocklists.Category, keep *Keep) (string, error) {
	if !categoryChosen(c) {
		return "", refuse(ErrInvalid, "of category %d nothing is ever kept, or it does not exist", c)
	}
	return setChoice(f, profile, "the log of category", func(p *Profile) *map[blocklists.Category]Keep { return &p.Log }, c, keep)
}

// SetSearch says what is done about a search engine, named by its ID; nil goes
// back to the preset's.
func (f *Family) SetSearch(profile, engine string, mode *Search) (string, error) {
	return setChoice(f, profile, "search engine", func(p *Profile) *map[string]Search { return &p.Search }, engine, mode)
}

// SetResponse says how blocked questions are answered; nil as the server does.
func (f *Family) SetResponse(profile string, mode *BlockMode) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if mode == nil && p.Response == nil || mode != nil && p.Response != nil && *mode == *p.Response {
		return "", ErrSame
	}
	p.Response = nil
	if mode == nil {
		return fmt.Sprintf("profile %s is answered as the server does", p.Name), nil
	}
	m := *mode
	p.Response = &m
	return fmt.Sprintf("blocked questions of profile %s are answered with %s", p.Name, m), nil
}

// SetBypass says whether names that lead past the filter are blocked; nil as
// the preset does.
func (f *Family) SetBypass(profile string, on *bool) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if on == nil && p.Bypass == nil || on != nil && p.Bypass != nil && *on == *p.Bypass {
		return "", ErrSame
	}
	p.Bypass = nil
	if on == nil {
		return fmt.Sprintf("bypass protection of profile %s is the preset's", p.Name), nil
	}
	v := *on
	p.Bypass = &v
	return fmt.Sprintf("bypass protection of profile %s is %s", p.Name, map[bool]string{true: "on", false: "off"}[v]), nil
}

// Pause pauses everything for a profile until a time; the zero time is until
// somebody ends it.
func (f *Family) Pause(profile string, until, now time.Time) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if err := later(until, now); err != nil {
		return "", err
	}
	if until.IsZero() {
		until = Forever
	}
	if p.Paused.Equal(until) {
		return "", ErrSame
	}
	p.Paused = until
	return fmt.Sprintf("paused profile %s%s", p.Name, untilText(until)), nil
}

// EndPause ends a profile's pause.
func (f *Family) EndPause(profile string) (string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return "", err
	}
	if p.Paused.IsZero() {
		return "", ErrSame
	}
	p.Paused = time.Time{}
	return "ended the pause of profile " + p.Name, nil
}

func ruleVerb(allow bool) string {
	if allow {
		return "allow"
	}
	return "deny"
}

// RuleText returns a rule in words: "deny example.com and all below it".
func RuleText(r Rule) string {
	scope := " and all below it"
	switch r.Match {
	case MatchExact:
		scope = " alone"
	case MatchBelow:
		scope = ", what lies below it alone"
	case MatchGlob:
		scope = " (a pattern)"
	}
	return ruleVerb(r.Allow) + " " + r.Name.String() + scope
}

// AddRule adds a rule to a profile; r.ID is not looked at. The name is taken as
// given, whatever it would block.
func (f *Family) AddRule(profile string, r Rule, now time.Time) (RuleID, string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return 0, "", err
	}
	if r.Name == "" {
		return 0, "", refuse(ErrInvalid, "the root of all names cannot be a rule; change the preset instead")
	}
	if err := later(r.Until, now); err != nil {
		return 0, "", err
	}
	for i, o := range p.Rules {
		if o.Name != r.Name || o.Match != r.Match {
			continue
		}
		if o.Until.IsZero() || now.Before(o.Until) {
			return 0, "", refuse(ErrConflict, "rule %d of profile %q says %s for that name already; remove it first", o.ID, p.Name, ruleVerb(o.Allow))
		}
		p.Rules = slices.Delete(p.Rules, i, i+1) // it has ended: the new one takes its place
		break
	}
	r.ID = RuleID(f.nextID())
	p.Rules = append(p.Rules, r)
	return r.ID, fmt.Sprintf("added rule %d to profile %s: %s%s", r.ID, p.Name, RuleText(r), untilText(r.Until)), nil
}

// RemoveRule removes a rule. One that a schedule is about stays.
func (f *Family) RemoveRule(id RuleID) (string, error) {
	for i := range f.Profiles {
		p := &f.Profiles[i]
		at := slices.IndexFunc(p.Rules, func(r Rule) bool { return r.ID == id })
		if at < 0 {
			continue
		}
		for _, s := range p.Schedules {
			if s.What.Kind == ForRule && s.What.Rule == id {
				return "", refuse(ErrConflict, "schedule %q is about it; remove the schedule first", s.Name)
			}
		}
		name := p.Rules[at].Name
		p.Rules = slices.Delete(p.Rules, at, at+1)
		return fmt.Sprintf("removed rule %d for %s from profile %s", id, name, p.Name), nil
	}
	return "", refuse(ErrNotFound, "there is no rule %d; look again at the rules that there are", id)
}
