package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kinward/policy"
)

// familyView is the family as commands print it.
type familyView struct {
	Name      string          `json:"name"`
	Zone      string          `json:"zone"`
	Revision  uint64          `json:"revision"`
	Unknown   string          `json:"unknown"` // the profile of unknown devices, or "refuse"
	Country   string          `json:"country,omitempty"`
	Loosening string          `json:"loosening,omitempty"` // what a change that weakens protection waits for
	Delay     int             `json:"delay,omitempty"`     // for so many minutes
	Second    bool            `json:"second,omitempty"`    // for another guardian
	Networks  []string        `json:"networks"`
	Profiles  []profileView   `json:"profiles"`
	Devices   []deviceView    `json:"devices"`
	Holidays  []policyHoliday `json:"holidays"`
	Grants    []grantView     `json:"grants"`
}

type policyHoliday = policy.Holiday

type profileView struct {
	ID          int64             `json:"id"` // never another profile's
	Name        string            `json:"name"`
	Preset      string            `json:"preset"`
	Ages        string            `json:"ages"`
	Default     bool              `json:"default"` // applies to every device that is not listed
	Guests      bool              `json:"guests"`
	Paused      string            `json:"paused,omitempty"`      // until when, in words
	PausedUntil *time.Time        `json:"pausedUntil,omitempty"` // the year 9999: until somebody ends it
	Choices     map[string]string `json:"choices"`               // category or service → choice, where it differs from the preset
	ListChoices map[string]string `json:"listChoices"`           // list → choice, where one was made
	Rules       []ruleView        `json:"rules"`
	Schedules   []scheduleView    `json:"schedules"`
}

type ruleView struct {
	ID     int64      `json:"id"`
	Action string     `json:"action"`
	Name   string     `json:"name"`
	Match  string     `json:"match"` // suffix, exact, below or glob
	Words  string     `json:"words"` // which names it is about
	Until  *time.Time `json:"until,omitempty"`
	// Hours are the schedules outside of which it does not hold; none: it always
	// does. Warnings are what it may do beyond what is meant ("profiles show").
	Hours    []string `json:"hours,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

type scheduleView struct {
	policy.Schedule
	Profile string `json:"profile"`
	About   string `json:"about"` // what it is about, in words
	Text    string `json:"text"`  // all of it, in words
}

type deviceView struct {
	ID       int64      `json:"id"`
	Name     string     `json:"name"`
	Profile  string     `json:"profile"`
	Networks []string   `json:"networks"`
	MACs     []string   `json:"macs"`
	Private  bool       `json:"private"`         // it has a private-DNS name
	Tokens   []string   `json:"tokens,omitzero"` // nil: whoever asks may not know them, see knowsSecrets
	Until    *time.Time `json:"until,omitempty"`
	Then     string     `json:"then,omitempty"` // the profile from then on
	Seen     *time.Time `json:"seen,omitempty"` // the minute in which it asked last
}

type grantView struct {
	ID      int64     `json:"id"`
	Profile string    `json:"profile"`
	What    string    `json:"what"`
	About   string    `json:"about"` // the same in words
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Over    bool      `json:"over"`
	By      string    `json:"by"`
	Why     string    `json:"why,omitempty"`
}

var opFamily = operation[about, familyView]{"family", family}

func family(ctx context.Context, n *node, who about, _ progress) (familyView, error) {
	f, revision, err := n.family(ctx, who.Family)
	if err != nil {
		return familyView{}, err
	}
	v := viewFamily(f, revision, time.Now())
	if !knowsSecrets(ctx) {
		for i := range v.Devices {
			v.Devices[i].Tokens = nil
		}
	}
	for i := range f.Profiles {
		n.nameThings(&v.Profiles[i], &f.Profiles[i])
	}
	for i, g := range f.Grants {
		v.Grants[i].About = n.aboutText(f.ProfileByID(g.Profile), g.What)
	}
	seen, err := n.db.Seen(ctx, f.ID)
	if err != nil {
		return familyView{}, err
	}
	for i, d := range f.Devices {
		last := seen[d.ID]
		if n.serving != nil { // it knows the minutes that are not written yet
			if now := n.serving.journal.LastSeen(f.ID, d.ID); now.After(last) {
				last = now
			}
		}
		v.Devices[i].Seen = untilIn(last, zoneOf(f))
	}
	return v, nil
}

func viewFamily(f *policy.Family, revision uint64, now time.Time) familyView {
	zone, names := zoneOf(f), profileNames(f)
	v := familyView{
		Name: f.Name, Zone: zone.String(), Revision: revision, Unknown: cmp.Or(names[f.Default], refused), Loosening: looseningText(f.Loosening),
		Country: f.Country, Delay: int(f.Loosening.Delay), Second: f.Loosening.Second,
		Networks: networkTexts(f.Networks), Profiles: []profileView{}, Devices: []deviceView{},
		Holidays: append([]policy.Holiday{}, f.Holidays...), Grants: []grantView{},
	}
	for i := range f.Profiles {
		v.Profiles = append(v.Profiles, viewProfile(f, &f.Profiles[i]))
	}
	for _, d := range f.Devices {
		dv := deviceView{
			ID: int64(d.ID), Name: d.Name, Profile: names[d.Profile], Until: untilIn(d.Until, zone), Networks: networkTexts(d.Networks),
			MACs: texts(d.MACs), Private: len(d.Tokens) > 0, Tokens: append([]string{}, d.Tokens...),
		}
		if dv.Until != nil {
			dv.Then = names[cmp.Or(d.Then, f.Default)]
		}
		v.Devices = append(v.Devices, dv)
	}
	for _, g := range f.Grants {
		v.Grants = append(v.Grants, grantView{
			ID: int64(g.ID), Profile: names[g.Profile], What: g.What.String(), From: g.From.In(zone), Until: g.Until.In(zone),
			Over: !now.Before(g.Until), By: g.By, Why: g.Why,
		})
	}
	return v
}

func viewProfile(f *policy.Family, p *policy.Profile) profileView {
	zone := zoneOf(f)
	v := profileView{
		ID: int64(p.ID), Name: p.Name, Preset: p.Preset.String(), Ages: p.Preset.Ages(), Default: p.ID == f.Default, Guests: p.Guests,
		Choices: map[string]string{}, ListChoices: map[string]string{}, Rules: []ruleView{}, Schedules: []scheduleView{},
	}
	if !p.Paused.IsZero() {
		v.Paused, v.PausedUntil = untilText(p.Paused, zone), untilIn(p.Paused, zone)
	}
	for id, choice := range p.Lists {
		v.ListChoices[id] = choice.String()
	}
	for c, choice := range p.Categories {
		v.Choices[c.String()] = choice.String()
	}
	for s, choice := range p.Services {
		v.Choices[s] = choice.String()
	}
	for _, r := range p.Rules {
		rv := ruleView{
			ID: int64(r.ID), Action: "deny", Name: r.Name.String(), Match: r.Match.String(), Words: patternWords(r.Name, r.Match), Until: untilIn(r.Until, zone),
		}
		if r.Allow {
			rv.Action = "allow"
		}
		for _, s := range p.Schedules {
			if s.What.Kind == policy.ForRule && s.What.Rule == r.ID && !s.Off {
				rv.Hours = append(rv.Hours, s.Name)
			}
		}
		v.Rules = append(v.Rules, rv)
	}
	for _, s := range p.Schedules {
		v.Schedules = append(v.Schedules, scheduleView{s, p.Name, targetText(p, s.What), s.Name + ": " + scheduleText(p, s)})
	}
	return v
}

// nameThings says what schedules are about as people call it.
func (n *node) nameThings(v *profileView, p *policy.Profile) {
	for i, s := range p.Schedules {
		v.Schedules[i].About = n.aboutText(p, s.What)
	}
}

// aboutText says what a schedule or a grant of a profile is about, as people call
// it. p may be nil.
func (n *node) aboutText(p *policy.Profile, t policy.Target) string {
	c := n.catalogue.Load()
	switch t.Kind {
	case policy.ForCategory:
		return c.Categories[t.Category].Name
	case policy.ForService:
		if s, ok := c.Service(t.Service); ok {
			return s.Name
		}
		return t.Service
	case policy.ForName:
		return t.Name.String()
	case policy.ForRule:
		if p == nil {
			break
		}
		for _, r := range p.Rules {
			if r.ID == t.Rule {
				return patternWords(r.Name, r.Match)
			}
		}
	}
	return t.String()
}

func untilIn(t time.Time, zone *time.Location) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.In(zone)
	return &t
}

// networkText writes a single address without its length.
func networkText(p netip.Prefix) string { return policy.NetworkText(p) }

func networkTexts(list []netip.Prefix) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, networkText(p))
	}
	return out
}

func texts[T fmt.Stringer](list []T) []string {
	out := []string{}
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func profileNames(f *policy.Family) map[policy.ProfileID]string {
	names := map[policy.ProfileID]string{}
	for _, p := range f.Profiles {
		names[p.ID] = p.Name
	}
	return names
}

// done is the reply of an operation that changed something: a sentence.
type done struct {
	Done string `json:"done"`
}

func printDone(w io.Writer, d done) { fmt.Fprintln(w, d.Done) }

func untilText(t time.Time, zone *time.Location) string {
	if t.IsZero() || t.Equal(policy.Forever) {
		return "until you change it"
	}
	return "until " + shown(t, zone)
}
