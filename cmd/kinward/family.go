package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"kinward/policy"
)

// familyView is the family as commands print it.
type familyView struct {
	Name     string        `json:"name"`
	Zone     string        `json:"zone"`
	Revision uint64        `json:"revision"`
	Profiles []profileView `json:"profiles"`
	Devices  []deviceView  `json:"devices"`
}

type profileView struct {
	Name    string            `json:"name"`
	Preset  string            `json:"preset"`
	Ages    string            `json:"ages"`
	Default bool              `json:"default"` // applies to every device that is not listed
	Choices map[string]string `json:"choices"` // category or service → choice, where it differs from the preset
	Rules   []ruleView        `json:"rules"`
}

type ruleView struct {
	ID     int64      `json:"id"`
	Action string     `json:"action"`
	Name   string     `json:"name"`
	Exact  bool       `json:"exact"`
	Until  *time.Time `json:"until,omitempty"`
}

type deviceView struct {
	Name     string     `json:"name"`
	Profile  string     `json:"profile"`
	Networks []string   `json:"networks"`
	Until    *time.Time `json:"until,omitempty"`
}

var opFamily = operation[struct{}, familyView]{"family", family}

func family(ctx context.Context, n *node, _ struct{}, _ progress) (familyView, error) {
	f, revision, err := n.db.Family(ctx, 0)
	if err != nil {
		return familyView{}, err
	}
	zone := n.zone(f)
	v := familyView{Name: f.Name, Zone: zone.String(), Revision: revision, Profiles: []profileView{}, Devices: []deviceView{}}
	until := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(zone)
		return &t
	}
	names := profileNames(f)
	for _, p := range f.Profiles {
		pv := profileView{
			Name: p.Name, Preset: p.Preset.String(), Ages: p.Preset.Ages(), Default: p.ID == f.Default,
			Choices: map[string]string{}, Rules: []ruleView{},
		}
		for c, choice := range p.Categories {
			pv.Choices[c.String()] = choice.String()
		}
		for s, choice := range p.Services {
			pv.Choices[s] = choice.String()
		}
		for _, r := range p.Rules {
			rv := ruleView{ID: int64(r.ID), Action: "deny", Name: r.Name.String(), Exact: r.Match == policy.MatchExact, Until: until(r.Until)}
			if r.Allow {
				rv.Action = "allow"
			}
			pv.Rules = append(pv.Rules, rv)
		}
		v.Profiles = append(v.Profiles, pv)
	}
	for _, d := range f.Devices {
		dv := deviceView{Name: d.Name, Profile: names[d.Profile], Until: until(d.Until), Networks: []string{}}
		for _, net := range d.Networks {
			dv.Networks = append(dv.Networks, networkText(net))
		}
		v.Devices = append(v.Devices, dv)
	}
	return v, nil
}

// networkText writes a single address without its length.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// done is the reply of an operation that changed something: a sentence.
type done struct {
	Done string `json:"done"`
}

func printDone(w io.Writer, d done) { fmt.Fprintln(w, d.Done) }

// lag is said with every change: what was asked before the change lives on at
// the device for as long as the answer may be kept there.
const lag = "A device may go by an answer that it has already for up to a minute."

func untilText(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "until you change it"
	}
	return "until " + t.In(zone).Format("Mon 2 Jan 15:04")
}
