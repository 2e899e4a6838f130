package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"kinward/blocklists"
	"kinward/policy"
)

// A family as a file declares it: with names where the store has IDs, and in
// the words of the commands. deploy/family.yaml shows every key.

type declaredFamily struct {
	Family    string             `yaml:"family"`
	Zone      string             `yaml:"zone,omitempty"`
	Country   string             `yaml:"country,omitempty"`
	Retention declaredRetention  `yaml:"retention,omitempty"`
	Unknown   ref                `yaml:"unknown"` // a profile, or "refuse"
	Loosening declaredLoosening  `yaml:"loosening,omitempty"`
	Networks  []network          `yaml:"networks,omitempty"`
	Tokens    []string           `yaml:"tokens,omitempty"`
	Signals   declaredSignals    `yaml:"signals,omitempty"`
	Guardians []declaredGuardian `yaml:"guardians,omitempty"`
	Holidays  []declaredHoliday  `yaml:"holidays,omitempty"`
	Profiles  []declaredProfile  `yaml:"profiles"`
	Devices   []declaredDevice   `yaml:"devices,omitempty"`
	// Grants are acts of a day. Left out, those that are there stay; [] ends them.
	Grants []declaredGrant `yaml:"grants,omitempty"`
}

type declaredRetention struct {
	Days       policy.KeptDays                         `yaml:"days,omitempty"`
	Categories map[blocklists.Category]policy.KeptDays `yaml:"categories,omitempty"`
}

type declaredLoosening struct {
	Delay  policy.Minutes `yaml:"delay,omitempty"`
	Second bool           `yaml:"second,omitempty"`
}

// declaredSignals says which kinds are not given, and which hours are night.
type declaredSignals struct {
	Off   []string     `yaml:"off,omitempty"`
	Night policy.Hours `yaml:"night,omitempty"`
}

type declaredGuardian struct {
	Name string      `yaml:"name"`
	Role policy.Role `yaml:"role"`
}

type declaredHoliday struct {
	Name  string      `yaml:"name"`
	First policy.Date `yaml:"first"`
	Last  policy.Date `yaml:"last,omitempty"` // First where it is left out
}

type declaredProfile struct {
	Name       string                                `yaml:"name"`
	Preset     policy.Preset                         `yaml:"preset"`
	Guests     bool                                  `yaml:"guests,omitempty"`
	Categories map[blocklists.Category]policy.Choice `yaml:"categories,omitempty"`
	Services   map[string]policy.Choice              `yaml:"services,omitempty"`
	Lists      map[string]policy.Choice              `yaml:"lists,omitempty"`
	Log        map[blocklists.Category]policy.Keep   `yaml:"log,omitempty"`
	Response   *policy.BlockMode                     `yaml:"response,omitempty"`
	Search     map[string]policy.Search              `yaml:"search,omitempty"`
	Bypass     *bool                                 `yaml:"bypass,omitempty"`
	// Paused is a time, "forever" or "no". Left out, a pause that is there stays.
	Paused    ref                `yaml:"paused,omitempty"`
	Rules     []declaredRule     `yaml:"rules,omitempty"`
	Schedules []declaredSchedule `yaml:"schedules,omitempty"`
}

// declaredRule has one of Allow and Deny.
type declaredRule struct {
	Allow ref `yaml:"allow,omitempty"`
	Deny  ref `yaml:"deny,omitempty"`
	Until ref `yaml:"until,omitempty"`
}

// declaredSchedule has one of Block and Free: everything, category:ID,
// service:ID, or rule:NAME with the name as the rule has it.
type declaredSchedule struct {
	Name       string              `yaml:"name"`
	Block      ref                 `yaml:"block,omitempty"`
	Free       ref                 `yaml:"free,omitempty"`
	Windows    []policy.Window     `yaml:"windows"`
	Holidays   policy.Holidays     `yaml:"holidays,omitempty"`
	Exceptions []declaredException `yaml:"exceptions,omitempty"`
	Off        bool                `yaml:"off,omitempty"`
}

type declaredException struct {
	Day     policy.Date `yaml:"day"`
	Windows []hours     `yaml:"windows,omitempty"` // none: the schedule rests
}

type declaredDevice struct {
	Name     string       `yaml:"name"`
	Profile  ref          `yaml:"profile"`
	Networks []network    `yaml:"networks,omitempty"`
	MACs     []policy.MAC `yaml:"macs,omitempty"`
	Tokens   []string     `yaml:"tokens,omitempty"`
	Until    ref          `yaml:"until,omitempty"`
	Then     ref          `yaml:"then,omitempty"` // a profile; left out, that of unknown devices
}

type declaredGrant struct {
	Profile ref    `yaml:"profile"`
	What    ref    `yaml:"what"`
	From    ref    `yaml:"from"`
	Until   ref    `yaml:"until"`
	By      string `yaml:"by"`
	Why     string `yaml:"why,omitempty"`
}

// refused is said of unknown devices in place of a profile.
const refused = "refuse"

// ref is a text that is understood only with the rest of the file, so it
// remembers its line for an error.
type ref struct {
	text string
	line int
}

func (r ref) IsZero() bool              { return r.text == "" }
func (r ref) MarshalYAML() (any, error) { return r.text, nil }

func (r *ref) UnmarshalYAML(n *yaml.Node) error {
	*r = ref{n.Value, n.Line}
	return nil
}

// network is a prefix that is written as an address where it is one.
type network netip.Prefix

func (n network) String() string { return networkText(netip.Prefix(n)) }

func (n network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

func (n *network) UnmarshalText(text []byte) error {
	p, err := policy.ParseNetwork(string(text))
	*n = network(p)
	return err
}

// hours is a window of a single day, which needs no week days.
type hours policy.Window

func (h hours) String() string               { return h.From.String() + "-" + h.To.String() }
func (h hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

func (h *hours) UnmarshalText(text []byte) error {
	var w policy.Window
	if err := w.UnmarshalText(text); err != nil {
		return err
	}
	if strings.ContainsAny(strings.TrimSpace(string(text)), " \t") {
		return fmt.Errorf("reading window %q: it is for a single day; leave the week days out", text)
	}
	w.Days = 0 // they do not count
	*h = hours(w)
	return nil
}

// writeFamily writes a family as readFamily reads it.
func writeFamily(f *policy.Family) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(declare(f)); err != nil {
		return nil, fmt.Errorf("writing family %q: %w", f.Name, err)
	}
	return b.Bytes(), nil
}

// declare returns the declared form of a family.
func declare(f *policy.Family) declaredFamily {
	names, zone := profileNames(f), zoneOf(f)
	at := func(t time.Time) ref { return ref{text: momentText(t, zone)} }
	d := declaredFamily{
		Family: f.Name, Zone: f.Zone, Unknown: ref{text: names[f.Default]}, Country: f.Country, Retention: declaredRetention(f.Retention),
		Loosening: declaredLoosening(f.Loosening), Networks: networks[network](f.Networks), Tokens: f.Tokens,
		Signals: declaredSignals{f.SignalsOff, f.Night},
	}
	if f.Default == 0 {
		d.Unknown.text = refused
	}
	for _, g := range f.Guardians {
		d.Guardians = append(d.Guardians, declaredGuardian{g.Name, g.Role})
	}
	for _, h := range f.Holidays {
		d.Holidays = append(d.Holidays, declaredHoliday(h))
	}
	for i := range f.Profiles {
		d.Profiles = append(d.Profiles, declareProfile(&f.Profiles[i], zone))
	}
	for _, dev := range f.Devices {
		dd := declaredDevice{
			Name: dev.Name, Profile: ref{text: names[dev.Profile]}, Networks: networks[network](dev.Networks),
			MACs: dev.MACs, Tokens: dev.Tokens, Until: at(dev.Until), Then: ref{text: names[dev.Then]},
		}
		d.Devices = append(d.Devices, dd)
	}
	for _, g := range f.Grants {
		d.Grants = append(d.Grants, declaredGrant{
			Profile: ref{text: names[g.Profile]}, What: ref{text: g.What.String()}, From: at(g.From), Until: at(g.Until), By: g.By, Why: g.Why,
		})
	}
	return d
}

func declareProfile(p *policy.Profile, zone *time.Location) declaredProfile {
	d := declaredProfile{
		Name: p.Name, Preset: p.Preset, Guests: p.Guests,
		Categories: p.Categories, Services: p.Services, Lists: p.Lists, Log: p.Log,
		Response: p.Response, Search: p.Search, Bypass: p.Bypass, Paused: ref{text: momentText(p.Paused, zone)},
	}
	for _, r := range p.Rules {
		dr := declaredRule{Until: ref{text: momentText(r.Until, zone)}}
		if name := (ref{text: patternText(r.Name, r.Match)}); r.Allow {
			dr.Allow = name
		} else {
			dr.Deny = name
		}
		d.Rules = append(d.Rules, dr)
	}
	for _, s := range p.Schedules {
		ds := declaredSchedule{Name: s.Name, Windows: s.Windows, Holidays: s.Holidays, Off: s.Off}
		if what := (ref{text: targetText(p, s.What)}); s.Effect == policy.Frees {
			ds.Free = what
		} else {
			ds.Block = what
		}
		for _, e := range s.Exceptions {
			de := declaredException{Day: e.Day}
			for _, w := range e.Windows {
				de.Windows = append(de.Windows, hours(w))
			}
			ds.Exceptions = append(ds.Exceptions, de)
		}
		d.Schedules = append(d.Schedules, ds)
	}
	return d
}

// networks converts between prefixes and their declared form.
func networks[To, From interface{ network | netip.Prefix }](list []From) []To {
	var out []To
	for _, p := range list {
		out = append(out, To(p))
	}
	return out
}

// targetText is what a target is called in a file: a rule by its pattern, since
// numbers are the store's.
func targetText(p *policy.Profile, t policy.Target) string {
	if t.Kind == policy.ForRule {
		for _, r := range p.Rules {
			if r.ID == t.Rule {
				return "rule:" + patternText(r.Name, r.Match)
			}
		}
	}
	return t.String()
}

// forever is the word for a time that somebody has to end.
const forever = "forever"

// momentText writes a time as parseTime reads it: by the family's clock where
// that says it exactly, "" for none.
func momentText(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	if t.Equal(policy.Forever) {
		return forever
	}
	s := t.In(zone).Format("2006-01-02 15:04")
	if back, err := parseTime(s, zone); err == nil && back.Equal(t) {
		return s
	}
	return t.In(zone).Format(time.RFC3339Nano)
}
