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
	Unknown   string          `json:"unknown"`             // the profile of unknown devices, or "refuse"
	Loosening string          `json:"loosening,omitempty"` // what a change that weakens protection waits for
	Networks  []string        `json:"networks"`
	Profiles  []profileView   `json:"profiles"`
	Devices   []deviceView    `json:"devices"`
	Holidays  []policyHoliday `json:"holidays"`
	Grants    []grantView     `json:"grants"`
}

type policyHoliday = policy.Holiday

type profileView struct {
	Name      string            `json:"name"`
	Preset    string            `json:"preset"`
	Ages      string            `json:"ages"`
	Default   bool              `json:"default"` // applies to every device that is not listed
	Guests    bool              `json:"guests"`
	Paused    string            `json:"paused,omitempty"` // until when, in words
	Choices   map[string]string `json:"choices"`          // category or service → choice, where it differs from the preset
	Rules     []ruleView        `json:"rules"`
	Schedules []scheduleView    `json:"schedules"`
}

type ruleView struct {
	ID     int64      `json:"id"`
	Action string     `json:"action"`
	Name   string     `json:"name"`
	Match  string     `json:"match"` // suffix, exact, below or glob
	Words  string     `json:"words"` // which names it is about
	Until  *time.Time `json:"until,omitempty"`
}

type scheduleView struct {
	policy.Schedule
	Profile string `json:"profile"`
	About   string `json:"about"` // what it is about, in words
	Text    string `json:"text"`  // all of it, in words
}

type deviceView struct {
	Name     string     `json:"name"`
	Profile  string     `json:"profile"`
	Networks []string   `json:"networks"`
	MACs     []string   `json:"macs"`
	Tokens   []string   `json:"tokens"`
	Until    *time.Time `json:"until,omitempty"`
	Then     string     `json:"then,omitempty"` // the profile from then on
	Seen     *time.Time `json:"seen,omitempty"` // the minute in which it asked last
}

type grantView struct {
	ID      int64     `json:"id"`
	Profile string    `json:"profile"`
	What    string    `json:"what"`
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
		Networks: networkTexts(f.Networks), Profiles: []profileView{}, Devices: []deviceView{},
		Holidays: append([]policy.Holiday{}, f.Holidays...), Grants: []grantView{},
	}
	for i := range f.Profiles {
		v.Profiles = append(v.Profiles, viewProfile(f, &f.Profiles[i]))
	}
	for _, d := range f.Devices {
		dv := deviceView{
			Name: d.Name, Profile: names[d.Profile], Until: untilIn(d.Until, zone), Networks: networkTexts(d.Networks),
			MACs: texts(d.MACs), Tokens: append([]string{}, d.Tokens...),
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
		Name: p.Name, Preset: p.Preset.String(), Ages: p.Preset.Ages(), Default: p.ID == f.Default, Guests: p.Guests,
		Choices: map[string]string{}, Rules: []ruleView{}, Schedules: []scheduleView{},
	}
	if !p.Paused.IsZero() {
		v.Paused = untilText(p.Paused, zone)
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
		v.Rules = append(v.Rules, rv)
	}
	for _, s := range p.Schedules {
		v.Schedules = append(v.Schedules, scheduleView{s, p.Name, targetText(p, s.What), s.Name + ": " + scheduleText(p, s)})
	}
	return v
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
