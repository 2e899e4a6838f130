package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kinward/blocklists"
)

// The edits of a family. Each changes the family in memory and returns a
// sentence that says what was done, for the record of changes. Things are named
// by what guardians call them, in any case. Where one refuses, the error wraps
// [ErrNotFound], [ErrConflict] or [ErrInvalid] and the family may be half
// changed, so it must be thrown away; [ErrSame] says that nothing would change.
// Whether services, lists and engines exist is [Faults]'s to tell.

// Names of what a family starts with; HomeName is that of the family which a new
// server begins with.
const (
	HomeName     = "Home"
	everyoneName = "Everyone"
	adultsName   = "Adults"
)

// NewFamily returns a family with the profile Everyone, which applies to every
// device, and the profile Adults.
func NewFamily(name, zone string, preset Preset) *Family {
	return &Family{
		Name: name, Zone: zone, Default: 1, LastID: 2,
		Profiles: []Profile{{ID: 1, Name: everyoneName, Preset: preset}, {ID: 2, Name: adultsName, Preset: Adult}},
	}
}

// FirstNames are what a family and the profiles that it starts with are called in
// the language of who sets it up.
type FirstNames struct{ Family, Everyone, Adults string }

// NameAtFirst gives these names to what of the family is still called as a new
// server called it. A name that is none, or that another profile has, is passed over.
func (f *Family) NameAtFirst(to FirstNames) (string, error) {
	everyone, adults := f.ProfileByID(1), f.ProfileByID(2)
	if everyone == nil || adults == nil {
		return "", ErrSame
	}
	was := FirstNames{f.Name, everyone.Name, adults.Name}
	if name, err := CleanName(to.Family); err == nil && f.Name == HomeName {
		f.Name = name
	}
	for _, p := range []struct {
		profile  *Profile
		made, to string
	}{{everyone, everyoneName, to.Everyone}, {adults, adultsName, to.Adults}} {
		if name, err := f.freeProfileName(p.to, p.profile.ID); err == nil && p.profile.Name == p.made {
			p.profile.Name = name
		}
	}
	if was == (FirstNames{f.Name, everyone.Name, adults.Name}) {
		return "", ErrSame
	}
	return fmt.Sprintf("named the family %s, and its profiles %s and %s", f.Name, everyone.Name, adults.Name), nil
}

func (f *Family) nextID() int64 {
	f.LastID++
	return f.LastID
}

// Rename gives the family another name.
func (f *Family) Rename(to string) (string, error) {
	to, err := CleanName(to)
	if err != nil {
		return "", err
	}
	if to == f.Name {
		return "", ErrSame
	}
	was := f.Name
	f.Name = to
	return fmt.Sprintf("renamed the family from %s to %s", was, to), nil
}

// SetZone sets the time zone by which schedules go.
func (f *Family) SetZone(zone string) (string, error) {
	if err := checkZone(zone); err != nil {
		return "", err
	}
	if zone == f.Zone {
		return "", ErrSame
	}
	f.Zone = zone
	if zone == "" {
		zone = "the server's"
	}
	return "set the time zone to " + zone, nil
}

func checkZone(zone string) error {
	if zone == "" {
		return nil
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		return refuse(ErrInvalid, "there is no time zone %q; write an area and a city, for example Europe/Berlin, or nothing for the server's", clip(zone))
	}
	return nil
}

// SetDefault says which profile applies to whoever is no device that is known;
// "" refuses them.
func (f *Family) SetDefault(profile string) (string, error) {
	id, what := ProfileID(0), "unknown devices are refused from now on"
	if profile != "" {
		p, err := f.Profile(profile)
		if err != nil {
			return "", err
		}
		id, what = p.ID, "unknown devices have profile "+p.Name+" from now on"
	}
	if id == f.Default {
		return "", ErrSame
	}
	f.Default = id
	return what, nil
}

// SetNetworks says from which public addresses the family asks.
func (f *Family) SetNetworks(networks []netip.Prefix) (string, error) {
	clean, err := cleanNetworks(networks)
	if err != nil {
		return "", err
	}
	if slices.Equal(clean, f.Networks) {
		return "", ErrSame
	}
	if f.Networks = clean; len(clean) == 0 {
		return "the family is recognised by no network from now on", nil
	}
	return "the family asks from " + networksText(clean), nil
}

// cleanNetworks returns networks as they are stored, in order. They must not
// overlap.
func cleanNetworks(networks []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, n := range networks {
		n, err := cleanNetwork(n)
		if err != nil {
			return nil, err
		}
		for _, own := range out {
			if own.Overlaps(n) {
				return nil, refuse(ErrConflict, "%s and %s overlap; give the larger one alone", NetworkText(own), NetworkText(n))
			}
		}
		out = append(out, n)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out, nil
}

func networksText(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = NetworkText(p)
	}
	return strings.Join(out, ", ")
}

// SetLoosening says what a change that weakens protection has to wait for.
func (f *Family) SetLoosening(l Loosening) (string, error) {
	if l == f.Loosening {
		return "", ErrSame
	}
	f.Loosening = l
	switch {
	case l == Loosening{}:
		return "changes that weaken protection hold at once", nil
	case l.Delay == 0:
		return "changes that weaken protection need a second guardian", nil
	case l.Second:
		return fmt.Sprintf("changes that weaken protection need a second guardian and wait %s", l.Delay.Span()), nil
	}
	return fmt.Sprintf("changes that weaken protection wait %s", l.Delay.Span()), nil
}

// AddHoliday adds a span of holidays.
func (f *Family) AddHoliday(h Holiday) (string, error) {
	var err error
	if h.Name, err = CleanName(h.Name); err != nil {
		return "", err
	}
	for _, o := range f.Holidays {
		if o == h {
			return "", ErrSame
		}
		if NameKey(o.Name) == NameKey(h.Name) && o.First == h.First {
			return "", refuse(ErrConflict, "there is a holiday %q from %s already; remove it first", o.Name, o.First)
		}
	}
	f.Holidays = append(f.Holidays, h)
	return fmt.Sprintf("added the holiday %s, %s to %s", h.Name, h.First, h.Last), nil
}

// RemoveHoliday removes the holidays of a name; first, where it is not zero,
// says which of them.
func (f *Family) RemoveHoliday(name string, first Date) (string, error) {
	var known []string
	for _, h := range f.Holidays {
		known = append(known, h.Name)
	}
	before := len(f.Holidays)
	f.Holidays = slices.DeleteFunc(f.Holidays, func(h Holiday) bool {
		return NameKey(h.Name) == NameKey(name) && (first == Date{} || h.First == first)
	})
	if len(f.Holidays) == before {
		return "", notThere("holiday", name, known)
	}
	return "removed the holiday " + clip(name), nil
}

// notThere says that nothing has the name, and what does.
func notThere(what, name string, known []string) error {
	if len(known) == 0 {
		return refuse(ErrNotFound, "there is no %s %q, and none at all yet", what, clip(name))
	}
	return refuse(ErrNotFound, "there is no %s %q; there are: %s", what, clip(name), strings.Join(known, ", "))
}

// Guardian finds a guardian by name. What it returns belongs to the family.
func (f *Family) Guardian(name string) (*Guardian, error) {
	var known []string
	for i := range f.Guardians {
		if NameKey(f.Guardians[i].Name) == NameKey(name) {
			return &f.Guardians[i], nil
		}
		known = append(known, f.Guardians[i].Name)
	}
	return nil, notThere("guardian", name, known)
}

// AddGuardian adds an adult. The first is an owner, whatever role says, since a
// family with guardians needs one.
func (f *Family) AddGuardian(name string, role Role) (GuardianID, string, error) {
	name, err := CleanName(name)
	if err != nil {
		return 0, "", err
	}
	if g, err := f.Guardian(name); err == nil {
		return 0, "", refuse(ErrConflict, "there is a guardian %q already; choose another name", g.Name)
	}
	if len(f.Guardians) == 0 {
		role = Owner
	}
	g := Guardian{ID: GuardianID(f.nextID()), Name: name, Role: role}
	f.Guardians = append(f.Guardians, g)
	return g.ID, fmt.Sprintf("added guardian %s (%s)", name, role), nil
}

// RenameGuardian gives a guardian another name.
func (f *Family) RenameGuardian(name, to string) (string, error) {
	g, err := f.Guardian(name)
	if err != nil {
		return "", err
	}
	if to, err = CleanName(to); err != nil {
		return "", err
	}
	if o, err := f.Guardian(to); err == nil && o != g {
		return "", refuse(ErrConflict, "there is a guardian %q already; choose another name", o.Name)
	}
	if to == g.Name {
		return "", ErrSame
	}
	was := g.Name
	g.Name = to
	return fmt.Sprintf("renamed guardian %s to %s", was, to), nil
}

// SetRole gives a guardian another role. An owner must remain.
func (f *Family) SetRole(name string, role Role) (string, error) {
	g, err := f.Guardian(name)
	if err != nil {
		return "", err
	}
	if role == g.Role {
		return "", ErrSame
	}
	was := g.Role
	if g.Role = role; !f.hasOwner() {
		return "", refuse(ErrConflict, "%s is the only owner; make another guardian an owner first", g.Name)
	}
	return fmt.Sprintf("changed the role of guardian %s from %s to %s", g.Name, was, role), nil
}

// RemoveGuardian removes a guardian. An owner must remain, unless nobody does.
func (f *Family) RemoveGuardian(name string) (string, error) {
	g, err := f.Guardian(name)
	if err != nil {
		return "", err
	}
	name, id := g.Name, g.ID
	f.Guardians = slices.DeleteFunc(f.Guardians, func(g Guardian) bool { return g.ID == id })
	if len(f.Guardians) > 0 && !f.hasOwner() {
		return "", refuse(ErrConflict, "%s is the only owner; make another guardian an owner first", name)
	}
	return "removed guardian " + name, nil
}

func (f *Family) hasOwner() bool {
	return slices.ContainsFunc(f.Guardians, func(g Guardian) bool { return g.Role == Owner })
}

// targetText says what a schedule or a grant is about as sentences say it: "service
// tiktok", "category social", a name as it is, a rule with its name.
func (f *Family) targetText(t Target) string {
	switch t.Kind {
	case ForCategory:
		return "category " + t.Category.String()
	case ForService:
		return "service " + t.Service
	case ForName:
		return t.Name.String()
	}
	for i := range f.Profiles {
		for _, r := range f.Profiles[i].Rules {
			if r.ID == t.Rule {
				return fmt.Sprintf("rule %d (%s)", r.ID, r.Name)
			}
		}
	}
	return t.String()
}

// AddGrant gives a profile a time-boxed exception; From before now means now.
func (f *Family) AddGrant(profile string, g Grant, now time.Time) (GrantID, string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return 0, "", err
	}
	if g.Until.IsZero() {
		return 0, "", refuse(ErrInvalid, "a grant needs an end; for good, make an allow rule or another choice")
	}
	if err := later(g.Until, now); err != nil {
		return 0, "", err
	}
	if g.From.Before(now) {
		g.From = now.Truncate(time.Second)
	}
	if !g.From.Before(g.Until) {
		return 0, "", refuse(ErrInvalid, "the grant ends at %s, before it begins; give a later end", g.Until.Format(time.RFC3339))
	}
	if g.What.Kind == ForRule {
		return 0, "", refuse(ErrInvalid, "a grant is for everything, a category, a service or a name; remove the rule, or grant its name")
	}
	g.ID, g.Profile = GrantID(f.nextID()), p.ID
	f.Grants = append(f.Grants, g)
	return g.ID, fmt.Sprintf("granted %s to profile %s%s", f.targetText(g.What), p.Name, untilText(g.Until)), nil
}

// RevokeGrant ends a grant early.
func (f *Family) RevokeGrant(id GrantID) (string, error) {
	i := slices.IndexFunc(f.Grants, func(g Grant) bool { return g.ID == id })
	if i < 0 {
		return "", refuse(ErrNotFound, "there is no grant %d, or it is over", id)
	}
	g := f.Grants[i]
	f.Grants = slices.Delete(f.Grants, i, i+1)
	return fmt.Sprintf("revoked grant %d of profile %s for %s", id, f.profileName(g.Profile), f.targetText(g.What)), nil
}

// Settle brings what time has ended to its end, as of now: exemptions and
// pauses that are over, and rules and grants that have been over for a week. It
// is not a change that anybody made, so it is no part of one.
func (f *Family) Settle(now time.Time) { f.end(now, keepEnded) }

// Retire is [Family.Settle] for a family that is to be compiled: it also removes
// the rules and grants that are over and stay only to be seen, so that the family
// shares its policies with others again.
func (f *Family) Retire(now time.Time) { f.end(now, 0) }

func (f *Family) end(now time.Time, keep time.Duration) {
	for i := range f.Devices {
		d := &f.Devices[i]
		if d.Until.IsZero() || now.Before(d.Until) {
			continue
		}
		next := d.Then
		if next == 0 {
			next = f.Default
		}
		if next != 0 { // otherwise it is refused from its end on, and shown as it was
			d.Profile, d.Until, d.Then = next, time.Time{}, 0
		}
	}
	old := now.Add(-keep)
	for i := range f.Profiles {
		p := &f.Profiles[i]
		if !p.Paused.IsZero() && !now.Before(p.Paused) {
			p.Paused = time.Time{}
		}
		timed := map[RuleID]bool{}
		for _, s := range p.Schedules {
			timed[s.What.Rule] = true
		}
		p.Rules = slices.DeleteFunc(p.Rules, func(r Rule) bool { return !r.Until.IsZero() && !r.Until.After(old) && !timed[r.ID] })
	}
	f.Grants = slices.DeleteFunc(f.Grants, func(g Grant) bool { return !g.Until.After(old) })
}

// keepEnded is how long rules and grants that are over stay to be seen.
const keepEnded = 7 * 24 * time.Hour

// categoryChosen reports whether a category can be chosen about.
func categoryChosen(c blocklists.Category) bool {
	return c > blocklists.Plumbing && c < blocklists.NumCategories
}
