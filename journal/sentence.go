package journal

import (
	"fmt"
	"strings"
	"time"

	"kinward/policy"
)

// Names tells what guardians call things. A nil function, and one that returns
// "", means that the thing has no name any more. Now decides whether the year is
// written: where it is zero, only a span of two years has its years.
type Names struct {
	Profile  func(policy.ProfileID) string
	Device   func(policy.DeviceID) string
	Service  func(id string) string
	Category func(id string) string
	Schedule func(policy.ScheduleID) string
	// Client tells what the device that has an address now calls itself, "" for
	// nothing; nil knows nothing of the kind.
	Client func(addr string) string
	Now    time.Time
	// Say returns a text of the sentences in another language: it is given the
	// English one, a format of package fmt for the most part, whose verbs it keeps
	// (by number, where their order changes). nil, and "", mean English.
	Say func(english string) string
}

// Text returns an English text as n says it, Textf a format that is filled in.
func (n Names) Text(english string) string {
	if n.Say != nil {
		if s := n.Say(english); s != "" {
			return s
		}
	}
	return english
}

// Textf is described at [Names.Text].
func (n Names) Textf(format string, args ...any) string {
	return fmt.Sprintf(n.Text(format), args...)
}

// Time writes a time by an English layout, whose order and names of days and
// months the language may change.
func (n Names) Time(t time.Time, layout string) string {
	s := t.Format(n.Text(layout))
	if n.Say == nil {
		return s
	}
	day, month := t.Format("Mon"), t.Format("Jan")
	return strings.NewReplacer(day, n.Text(day), month, n.Text(month)).Replace(s)
}

// DeviceAt names a device that has no name by its address.
func (n Names) DeviceAt(addr string) string {
	if n.Client != nil {
		if name := n.Client(addr); name != "" {
			return n.Textf("the device at %s (where %q is now)", addr, name)
		}
	}
	return n.Textf("the device at %s", addr)
}

// Sentence tells an incident in one plain line, with times in zone (nil is UTC):
//
//	Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.
//
// It says that a device looked something up, never that somebody visited it or
// meant to. What people do not ask for themselves, harmful addresses in a
// message or a page, was not tried but looked up; nor was what could lead past
// the filter, since VPNs have many uses and systems ask for a filter by
// themselves.
func Sentence(i Incident, names Names, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	when := names.span(i.First.In(zone), i.Last.In(zone), names.Now.In(zone))
	return fmt.Sprintf("%s  %s %s", when, who(i, names), what(i, names))
}

func what(i Incident, names Names) string {
	switch {
	case i.Reason == policy.ByCanary.String():
		return names.Textf("looked up names by which browsers and systems ask whether a filter is there, %s. This is routine.", names.times(i.Tries))
	case i.Domain == "":
		return names.Textf("looked up names %s, %s; they were blocked. Devices also do so by themselves.", duringText(i, names), names.times(i.Tries))
	}
	sentence := "tried %s, %s; %s."
	if i.Verdict != policy.Block.String() || i.Reason == policy.BySecurity.String() || i.Bypass != "" {
		sentence = "looked up %s, %s; %s."
	}
	thing := i.Domain
	if strings.HasSuffix(i.Entry, "."+i.Domain) && i.Hidden == "" {
		// Only something below the domain was blocked, a host of many sites say.
		thing = i.TopName
	}
	if i.Service != "" {
		thing = call(names.Service, i.Service, i.Service)
	}
	if i.Category != "" {
		thing = names.Textf("%s, %q", thing, call(names.Category, i.Category, i.Category))
	}
	s := names.Textf(sentence, thing, names.times(i.Tries), outcomeText(i, names))
	switch i.Bypass {
	case Routine:
		return s + names.Text(" Browsers and systems do so by themselves: this is routine.")
	case Attempt:
		return s + names.Text(" VPNs and proxies have many everyday uses.")
	}
	return s
}

// duringText says when everything was blocked.
func duringText(i Incident, names Names) string {
	if i.Reason == policy.ByPause.String() {
		return names.Text("while everything was paused")
	}
	if name := call(names.Schedule, i.Schedule, ""); name != "" {
		return names.Textf("during %q", name)
	}
	return names.Text("at a time when everything is blocked")
}

func who(i Incident, names Names) string {
	device := names.Text("an unknown device")
	switch {
	case i.Device != 0:
		device = call(names.Device, i.Device, names.Text("a removed device"))
	case i.Client != "":
		device = names.DeviceAt(i.Client)
	}
	profile := call(names.Profile, i.Profile, "")
	if profile == "" {
		return names.Textf("%s (a removed profile)", device)
	}
	return names.Textf("%s (profile %s)", device, profile)
}

func outcomeText(i Incident, names Names) string {
	switch {
	case i.Verdict == policy.Watch.String():
		return names.Text("it was allowed and recorded")
	case i.Verdict == policy.Rewrite.String():
		return names.Text("it was answered with its safe mode")
	case i.Hidden != "":
		return names.Textf("it led to %s, which was blocked", i.Hidden)
	case i.Reason == policy.ByRule.String():
		return names.Text("it was blocked by the family's own rule")
	case i.Reason == policy.ByPause.String():
		return names.Text("it was blocked while everything was paused") + ruleText(i, names)
	case i.Reason == policy.BySchedule.String():
		if name := call(names.Schedule, i.Schedule, ""); name != "" {
			return names.Textf("it was blocked during %q", name) + ruleText(i, names)
		}
		return names.Text("it was blocked at these hours") + ruleText(i, names)
	}
	return names.Text("it was blocked")
}

// ruleText says that a rule of the family blocks at other times, too.
func ruleText(i Incident, names Names) string {
	if i.Rule == 0 {
		return ""
	}
	return names.Text(", and is at other times by the family's own rule")
}

func call[K any](f func(K) string, id K, otherwise string) string {
	if f != nil {
		if s := f(id); s != "" {
			return s
		}
	}
	return otherwise
}

func (n Names) times(k uint64) string {
	if k == 1 {
		return n.Text("once")
	}
	return n.Textf("%d times", k)
}

// span writes a range of times as briefly as it can be understood.
func (n Names) span(first, last, now time.Time) string {
	const day, clock = "Mon 2 Jan", "15:04"
	date := day
	if first.Year() != last.Year() || !now.IsZero() && first.Year() != now.Year() {
		date += " 2006"
	}
	if first.Format(date) != last.Format(date) {
		return n.Time(first, date+" "+clock) + " – " + n.Time(last, date+" "+clock)
	}
	from, to := first.Format(clock), last.Format(clock)
	var b strings.Builder
	b.WriteString(n.Time(first, date) + " ")
	_, east := first.Zone()
	if _, e := last.Zone(); e != east { // the clock was changed meanwhile: 02:50 CEST–02:10 CET
		return b.String() + first.Format(clock+" MST") + "–" + last.Format(clock+" MST")
	}
	b.WriteString(from)
	if to != from {
		b.WriteString("–" + to)
	}
	return b.String()
}
