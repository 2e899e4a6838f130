package main

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"kinward/blocklists"
	"kinward/policy"
)

// readFamily reads a declared family. What the file is called stands in errors.
func readFamily(path string, text []byte) (declaredFamily, error) {
	var d declaredFamily
	err := strictYAML(text, reflect.TypeFor[declaredFamily](), "the family")
	if err == nil {
		err = yaml.Unmarshal(text, &d)
	}
	if err == nil && d.Family == "" {
		err = errors.New(`line 1: the file names no family; write, for example, "family: Home"`)
	}
	if err != nil {
		return d, fmt.Errorf("reading family %s: %w", path, err)
	}
	return d, nil
}

// onto returns the family that the declaration makes of base. What bears the
// name of something in base keeps its ID, and a device is also known by a clue,
// so that a new name is not a new device. base is only read; shared parts of the
// result are replaced, never written to. Every fault is reported.
func (d declaredFamily) onto(base *policy.Family) (*policy.Family, error) {
	f := &policy.Family{
		ID: base.ID, Name: d.Family, Zone: d.Zone, Country: d.Country, Retention: policy.Retention(d.Retention), Loosening: policy.Loosening(d.Loosening),
		Networks: networks[netip.Prefix](d.Networks), Tokens: d.Tokens, LastID: base.LastID,
		SignalsOff: d.Signals.Off, Night: d.Signals.Night,
	}
	r := &declaring{base: base, f: f, zone: zoneOf(f), devices: d.Devices}
	for _, g := range d.Guardians {
		id := keep(r, base.Guardians, func(b policy.Guardian) (policy.GuardianID, bool) { return b.ID, sameName(b.Name, g.Name) })
		f.Guardians = append(f.Guardians, policy.Guardian{ID: id, Name: g.Name, Role: g.Role})
	}
	for _, h := range d.Holidays {
		if h.Last == (policy.Date{}) {
			h.Last = h.First
		}
		f.Holidays = append(f.Holidays, policy.Holiday(h))
	}
	for _, p := range d.Profiles {
		f.Profiles = append(f.Profiles, r.profile(p))
	}
	if d.Unknown.text != refused {
		f.Default = r.reference(d.Unknown, "unknown")
	}
	for _, dev := range d.Devices {
		f.Devices = append(f.Devices, r.device(dev))
	}
	r.grants(d.Grants)
	return f, errors.Join(r.faults...)
}

// declaring is a declaration on its way to a family.
type declaring struct {
	base, f *policy.Family
	zone    *time.Location
	devices []declaredDevice
	faults  []error
}

func (r *declaring) fault(at ref, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("line %d: "+format, append([]any{at.line}, args...)...))
}

// keep returns the ID of the first of old that is the same thing, or a new one.
func keep[ID ~int64, T any](r *declaring, old []T, same func(T) (ID, bool)) ID {
	for _, o := range old {
		if id, ok := same(o); ok {
			return id
		}
	}
	r.f.LastID++
	return ID(r.f.LastID)
}

// sameName compares names that people give, as the family itself does.
func sameName(a, b string) bool { return policy.NameKey(a) == policy.NameKey(b) }

// reference finds a profile that the file declares.
func (r *declaring) reference(at ref, key string) policy.ProfileID {
	id, err := findProfile(r.f, at.text)
	if err != nil {
		if at.line == 0 {
			at.line = 1
		}
		r.fault(at, "%s: %w", key, err)
	}
	return id
}

// moment reads a time, the zero time where there is none.
func (r *declaring) moment(at ref, key string) time.Time {
	switch at.text {
	case "":
		return time.Time{}
	case forever:
		return policy.Forever
	}
	t, err := parseTime(at.text, r.zone)
	if err != nil {
		r.fault(at, "%s: %w", key, err)
	}
	return t.UTC()
}

func (r *declaring) profile(d declaredProfile) policy.Profile {
	var base policy.Profile
	id := keep(r, r.base.Profiles, func(b policy.Profile) (policy.ProfileID, bool) {
		if !sameName(b.Name, d.Name) {
			return 0, false
		}
		base = b
		return b.ID, true
	})
	p := policy.Profile{
		ID: id, Name: d.Name, Preset: d.Preset, Guests: d.Guests,
		Categories: d.Categories, Services: d.Services, Lists: d.Lists, Log: d.Log,
		Response: d.Response, Search: d.Search, Bypass: d.Bypass, Paused: base.Paused,
	}
	if d.Paused.text == "no" {
		p.Paused = time.Time{}
	} else if !d.Paused.IsZero() {
		p.Paused = r.moment(d.Paused, "paused")
	}
	for _, dr := range d.Rules {
		p.Rules = append(p.Rules, r.rule(dr, base.Rules))
	}
	for _, ds := range d.Schedules {
		p.Schedules = append(p.Schedules, r.schedule(&p, ds, base.Schedules))
	}
	return p
}

// oneOf returns which of two keys, of which one must be there, stands in the
// file.
func (r *declaring) oneOf(a, b ref, what string) (at ref, first bool) {
	if a.IsZero() == b.IsZero() {
		at := a
		at.line = max(a.line, b.line, 1)
		r.fault(at, "%s", what)
	}
	if a.IsZero() {
		return b, false
	}
	return a, true
}

func (r *declaring) rule(d declaredRule, old []policy.Rule) policy.Rule {
	at, allow := r.oneOf(d.Allow, d.Deny, `a rule has either "allow" or "deny", with the name that it is about`)
	name, match, err := parsePattern(at.text)
	if err != nil && !at.IsZero() {
		r.fault(at, "rule %q: %w", at.text, err)
	}
	id := keep(r, old, func(b policy.Rule) (policy.RuleID, bool) { return b.ID, b.Name == name && b.Match == match })
	return policy.Rule{ID: id, Name: name, Match: match, Allow: allow, Until: r.moment(d.Until, "until")}
}

func (r *declaring) schedule(p *policy.Profile, d declaredSchedule, old []policy.Schedule) policy.Schedule {
	s := policy.Schedule{Name: d.Name, Windows: d.Windows, Holidays: d.Holidays, Off: d.Off}
	s.ID = keep(r, old, func(b policy.Schedule) (policy.ScheduleID, bool) { return b.ID, sameName(b.Name, d.Name) })
	at, blocks := r.oneOf(d.Block, d.Free, fmt.Sprintf(`schedule %q has either "block" or "free", with what it is about`, d.Name))
	if !blocks {
		s.Effect = policy.Frees
	}
	if !at.IsZero() {
		what, err := parseTarget(p, at.text)
		if err != nil {
			r.fault(at, "schedule %q: %w", d.Name, err)
		}
		s.What = what
	}
	for _, e := range d.Exceptions {
		pe := policy.Exception{Day: e.Day}
		for _, w := range e.Windows {
			pe.Windows = append(pe.Windows, policy.Window(w))
		}
		s.Exceptions = append(s.Exceptions, pe)
	}
	return s
}

// parseTarget reads what a schedule is about: as targetText writes it, or with
// the number of a rule.
func parseTarget(p *policy.Profile, text string) (t policy.Target, err error) {
	rest, ok := strings.CutPrefix(text, "rule:")
	if !ok || rest != "" && strings.Trim(rest, "0123456789") == "" {
		err := t.UnmarshalText([]byte(text))
		return t, err
	}
	name, match, err := parsePattern(rest)
	if err != nil {
		return t, err
	}
	var have []string
	for _, r := range p.Rules {
		if r.Name == name && r.Match == match {
			return policy.Target{Kind: policy.ForRule, Rule: r.ID}, nil
		}
		have = append(have, patternText(r.Name, r.Match))
	}
	if len(have) == 0 {
		return t, fmt.Errorf("profile %q has no rules; make the rule for %s first", p.Name, rest)
	}
	return t, fmt.Errorf("profile %q has no rule for %s; did you mean rule:%s?", p.Name, rest, blocklists.Nearest(rest, have))
}

func (r *declaring) device(d declaredDevice) policy.Device {
	dev := policy.Device{
		Name: d.Name, Profile: r.reference(d.Profile, fmt.Sprintf("device %q, profile", d.Name)),
		Networks: networks[netip.Prefix](d.Networks), MACs: d.MACs, Tokens: d.Tokens, Until: r.moment(d.Until, "until"),
	}
	if !d.Then.IsZero() {
		dev.Then = r.reference(d.Then, "then")
	}
	dev.ID = keep(r, r.base.Devices, func(b policy.Device) (policy.DeviceID, bool) { return b.ID, r.sameDevice(b, dev) })
	return dev
}

// sameDevice reports whether a declared device is one that is there: by its
// name, or by a clue where no device of the file has the old name.
func (r *declaring) sameDevice(old, dev policy.Device) bool {
	if sameName(old.Name, dev.Name) {
		return true
	}
	named := slices.ContainsFunc(r.devices, func(d declaredDevice) bool { return sameName(d.Name, old.Name) })
	taken := slices.ContainsFunc(r.f.Devices, func(d policy.Device) bool { return d.ID == old.ID })
	return !named && !taken && (overlap(old.Networks, dev.Networks) || overlap(old.MACs, dev.MACs) || overlap(old.Tokens, dev.Tokens))
}

func overlap[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(x T) bool { return slices.Contains(b, x) })
}

// grants takes those of the file, or leaves those that are there, of profiles
// that still are.
func (r *declaring) grants(list []declaredGrant) {
	if list == nil {
		for _, g := range r.base.Grants {
			if slices.ContainsFunc(r.f.Profiles, func(p policy.Profile) bool { return p.ID == g.Profile }) {
				r.f.Grants = append(r.f.Grants, g)
			}
		}
		return
	}
	for _, d := range list {
		g := policy.Grant{
			Profile: r.reference(d.Profile, "grant, profile"), From: r.moment(d.From, "from"), Until: r.moment(d.Until, "until"), By: d.By, Why: d.Why,
		}
		if err := g.What.UnmarshalText([]byte(d.What.text)); err != nil {
			r.fault(d.What, "grant: %w", err)
		}
		g.ID = keep(r, r.base.Grants, func(b policy.Grant) (policy.GrantID, bool) {
			taken := slices.ContainsFunc(r.f.Grants, func(o policy.Grant) bool { return o.ID == b.ID })
			return b.ID, !taken && b.Profile == g.Profile && b.What == g.What && b.From.Equal(g.From) && b.Until.Equal(g.Until)
		})
		r.f.Grants = append(r.f.Grants, g)
	}
}
