package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kinward/policy"
)

// fact is one thing that is so in a family: "profile Lea, category social" is
// "watch". The facts of two families, held against each other, are what a
// change does.
type fact struct {
	about string // unique within a family
	is    string // "": that it is there at all
	of    string // the fact without which this one cannot be, "" for the family's own
}

// differences says in sentences what becomes of before, in the order of after.
// It is empty exactly where the declared forms of both are the same.
func differences(before, after *policy.Family) []string {
	old, now := facts(before), facts(after)
	find := func(list []fact, about string) (string, bool) {
		i := slices.IndexFunc(list, func(f fact) bool { return f.about == about })
		if i < 0 {
			return "", false
		}
		return list[i].is, true
	}
	var out []string
	for _, f := range now {
		was, ok := find(old, f.about)
		switch {
		case !ok && f.is == "":
			out = append(out, "new: "+f.about)
		case !ok:
			out = append(out, fmt.Sprintf("new: %s: %s", f.about, f.is))
		case was != f.is:
			out = append(out, fmt.Sprintf("changed: %s: %s (was %s)", f.about, f.is, was))
		}
	}
	for _, f := range old {
		if _, ok := find(now, f.about); ok {
			continue
		}
		if _, ok := find(now, f.of); f.of != "" && !ok {
			continue // goes with what it belongs to
		}
		gone := "gone: " + f.about
		if f.is != "" {
			gone += fmt.Sprintf(" (was %s)", f.is)
		}
		out = append(out, gone)
	}
	return out
}

// What stands before the secrets among facts.
const (
	aFamilyToken = "the family's token "
	aDeviceToken = ", private-DNS name "
)

var tokenFact = regexp.MustCompile(`(` + aFamilyToken + `|` + aDeviceToken + `)[a-z0-9-]+`)

// hiddenToken stands for a secret.
const hiddenToken = "dns:…"

// withoutTokens takes the secrets out of differences, for the record of changes.
func withoutTokens(differences string) string {
	return tokenFact.ReplaceAllString(differences, "${1}"+hiddenToken)
}

// factList collects facts. Of several that are about the same the later ones are
// numbered.
type factList struct {
	list []fact
	seen map[string]int
	of   string
}

func (l *factList) add(about, is string) string {
	l.seen[about]++
	if k := l.seen[about]; k > 1 {
		about = fmt.Sprintf("%s (%d)", about, k)
	}
	l.list = append(l.list, fact{about, is, l.of})
	return about
}

// some adds a fact where there is something to say.
func (l *factList) some(about, is string) {
	if is != "" {
		l.add(about, is)
	}
}

// choices adds a fact for every key of a map, in order.
func choices[K comparable, V fmt.Stringer](l *factList, about string, m map[K]V) {
	var keys []string
	values := map[string]string{}
	for k, v := range m {
		keys = append(keys, fmt.Sprint(k))
		values[fmt.Sprint(k)] = v.String()
	}
	slices.Sort(keys)
	for _, k := range keys {
		l.add(about+" "+k, values[k])
	}
}

func facts(f *policy.Family) []fact {
	d := declare(f)
	l := &factList{seen: map[string]int{}}
	l.add("the family's name", d.Family)
	l.some("time zone", d.Zone)
	l.add("profile of unknown devices", d.Unknown.text)
	l.some("country", d.Country)
	if d.Retention.Days != 0 {
		l.add("incidents are kept for", d.Retention.Days.String())
	}
	choices(l, "kept for, category", d.Retention.Categories)
	l.some("loosening", looseningText(f.Loosening))
	for _, kind := range f.SignalsOff {
		l.add("signal "+kind, "off")
	}
	if f.Night != (policy.Hours{}) {
		l.add("night hours of signals", f.Night.String())
	}
	for _, n := range f.Networks {
		l.add("the family's network "+networkText(n), "")
	}
	for _, t := range f.Tokens {
		l.add(aFamilyToken+t, "")
	}
	for _, g := range d.Guardians {
		l.add("guardian "+g.Name, g.Role.String())
	}
	for _, h := range d.Holidays {
		l.add("holiday "+h.Name, spanText(policy.Holiday(h)))
	}
	for _, p := range d.Profiles {
		l.profile(p)
	}
	for _, dev := range d.Devices {
		l.device(dev)
	}
	for _, g := range d.Grants {
		l.add(fmt.Sprintf("grant of %s to %s, %s to %s", g.What.text, g.Profile.text, g.From.text, g.Until.text), by(g.By, g.Why))
	}
	return l.list
}

func (l *factList) profile(p declaredProfile) {
	name := "profile " + p.Name
	l.add(name, "preset "+p.Preset.String())
	l.of = name
	defer func() { l.of = "" }()
	name += ", "
	if p.Guests {
		l.add(name+"for guests", "yes")
	}
	choices(l, name+"category", p.Categories)
	choices(l, name+"service", p.Services)
	choices(l, name+"list", p.Lists)
	choices(l, name+"record of", p.Log)
	choices(l, name+"search engine", p.Search)
	if p.Response != nil {
		l.add(name+"response", p.Response.String())
	}
	if p.Bypass != nil {
		l.add(name+"bypass protection", onOff(*p.Bypass))
	}
	l.some(name+"paused", p.Paused.text)
	for _, r := range p.Rules {
		text, is := "rule for "+r.Allow.text, "allow"
		if r.Allow.IsZero() {
			text, is = "rule for "+r.Deny.text, "deny"
		}
		if !r.Until.IsZero() {
			is += " until " + r.Until.text
		}
		l.add(name+text, is)
	}
	for _, s := range p.Schedules {
		is := "blocks " + s.Block.text
		if s.Block.IsZero() {
			is = "frees " + s.Free.text
		}
		is += " " + joined(s.Windows, "; ", policy.Window.String)
		if s.Holidays != policy.HolidaysAsUsual {
			is += ", holidays: " + s.Holidays.String()
		}
		for _, e := range s.Exceptions {
			is += fmt.Sprintf(", on %s: %s", e.Day, windowsText(e.Windows, hours.String))
		}
		if s.Off {
			is += ", switched off"
		}
		l.add(name+"schedule "+s.Name, is)
	}
}

func (l *factList) device(d declaredDevice) {
	name := "device " + d.Name
	is := "profile " + d.Profile.text
	if !d.Until.IsZero() {
		is += " until " + d.Until.text
	}
	if !d.Then.IsZero() {
		is += ", then " + d.Then.text
	}
	l.add(name, is)
	l.of = name
	defer func() { l.of = "" }()
	for _, n := range d.Networks {
		l.add(name+", address "+n.String(), "")
	}
	for _, m := range d.MACs {
		l.add(name+", hardware address "+m.String(), "")
	}
	for _, t := range d.Tokens {
		l.add(name+aDeviceToken+t, "")
	}
}

// windowsText says which windows a day has.
func windowsText[W any](w []W, text func(W) string) string {
	if len(w) == 0 {
		return "none"
	}
	return joined(w, "; ", text)
}

func joined[T any](list []T, sep string, text func(T) string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = text(v)
	}
	return strings.Join(parts, sep)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func spanText(h policy.Holiday) string {
	if h.First == h.Last {
		return h.First.String()
	}
	return h.First.String() + " to " + h.Last.String()
}

func looseningText(l policy.Loosening) string {
	var parts []string
	if l.Delay > 0 {
		parts = append(parts, "waits "+l.Delay.Span())
	}
	if l.Second {
		parts = append(parts, "needs a second guardian")
	}
	return strings.Join(parts, " and ")
}

// by says who did something and why.
func by(who, why string) string {
	if why != "" {
		return fmt.Sprintf("by %s: %s", who, why)
	}
	return "by " + who
}
