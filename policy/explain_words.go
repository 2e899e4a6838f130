package policy

import (
	"fmt"
	"strings"
	"time"

	"kinward/blocklists"
)

// words says why a verdict is what it is, with the names that a family gave its
// things.
type words struct {
	index   *blocklists.Index
	policy  *Policy
	family  *Family
	profile *Profile // never nil
	device  string
	qtype   uint16
	zone    *time.Location
}

func newWords(x *blocklists.Index, a Asker, f *Family, qtype uint16, zone *time.Location) *words {
	if f == nil {
		f = &Family{}
	}
	w := &words{index: x, policy: a.Policy, family: f, qtype: qtype, zone: zone}
	for i := range f.Profiles {
		if f.Profiles[i].ID == a.Profile {
			w.profile = &f.Profiles[i]
		}
	}
	if w.profile == nil {
		w.profile = &Profile{ID: a.Profile, Name: fmt.Sprint(a.Profile)}
	}
	for _, d := range f.Devices {
		if d.ID == a.Device && d.ID != 0 {
			w.device = d.Name
		}
	}
	return w
}

// schedule returns a schedule of the profile, nil for one that is not known.
func (w *words) schedule(id ScheduleID) *Schedule {
	for i := range w.profile.Schedules {
		if w.profile.Schedules[i].ID == id && id != 0 {
			return &w.profile.Schedules[i]
		}
	}
	return nil
}

// because says in words why a verdict is what it is.
func (w *words) because(v Verdict, q Question) string {
	x := w.index
	entry := v.Entry(q.Name).String()
	if v.Rule == 0 && v.Label.Depth > 0 {
		entry = entryText(x, v.Label, q.Name, w.qtype)
	}
	category := x.Categories()[v.Label.Category].Name
	ph := w.policy.phaseThen(q.Time.Unix())
	choice := w.policy.choose(v.Label, ph).choice
	thing := fmt.Sprintf("it is in the category %q", category)
	if s := x.Service(v.Label.Service); s != nil {
		thing = fmt.Sprintf("it belongs to %s, in the category %q", s.Name, category)
	}
	list := x.List(v.Label.List).ID
	from := fmt.Sprintf("entry %s of list %s", entry, list)
	switch v.Reason {
	case ByHelp:
		return fmt.Sprintf("it is a help line or the like (%s): open to everybody, and never recorded", entry)
	case BySecurity:
		return fmt.Sprintf("a list calls it dangerous (%s)", from)
	case ByPlumbing:
		if v.Label.Depth == 0 {
			return "it is the family's own Kinward, which stays open"
		}
		return fmt.Sprintf("devices need it in order to work (%s)", entry)
	case ByRule:
		verb := "denies"
		if v.Action == Allow {
			verb = "allows"
		}
		return fmt.Sprintf("a rule of the family %s %s (rule %d)", verb, w.rule(v.Rule, entry), v.Rule)
	case ByService:
		return fmt.Sprintf("%s, and the profile chose %q for this service (%s)", thing, choice, from)
	case ByList:
		return fmt.Sprintf("list %s names it (entry %s), and the profile chose %q for this list", list, entry, choice)
	case ByCategory:
		return fmt.Sprintf("%s, for which the profile says %q (%s)", thing, choice, from)
	case ByKnownRisk:
		return fmt.Sprintf("%s, and is marked as an app with a record of harm, for which the profile says %q (%s)", thing, choice, from)
	case ByGrant:
		return w.granted(v.Grant)
	case ByPause:
		return w.paused()
	case BySchedule:
		return w.scheduled(v)
	case BySafeSearch:
		mode := "safe"
		if w.policy.search[v.Engine] == SearchModerate {
			mode = "moderate"
		}
		return fmt.Sprintf("the profile wants %s in its %s mode, which is at %s", w.policy.basis.presets.safe.Engine(v.Engine).Name, mode, v.Target)
	case ByCanary:
		k := w.policy.Canary(q.Name)
		return fmt.Sprintf("%s: this name is how they ask whether the network filters, and the answer says that it does. %s", k.Who, strings.TrimSuffix(k.Then, "."))
	}
	return "nothing that the profile minds is known of it"
}

// rule says which names a rule is about.
func (w *words) rule(id RuleID, name string) string {
	for _, r := range w.profile.Rules {
		if r.ID != id {
			continue
		}
		text := name
		switch r.Match {
		case MatchExact:
			text += " alone"
		case MatchBelow:
			text = "all below " + name
		case MatchGlob:
			text = "what matches " + name
		case MatchSuffix:
			text += " and all below it"
		}
		if !r.Until.IsZero() {
			text += " until " + w.clock(r.Until)
		}
		for i := range w.profile.Schedules {
			if s := &w.profile.Schedules[i]; !s.Off && s.What == (Target{Kind: ForRule, Rule: id}) {
				text += ", by the hours of " + titled(s)
			}
		}
		return text
	}
	return name
}

func (w *words) granted(id GrantID) string {
	for _, g := range w.family.Grants {
		if g.ID != id {
			continue
		}
		by := ""
		if g.By != "" {
			by = g.By + " "
		}
		text := fmt.Sprintf("%sopened %s until %s (grant %d)", by, w.target(g.What), w.clock(g.Until), id)
		if by == "" {
			text = fmt.Sprintf("%s is open until %s (grant %d)", w.target(g.What), w.clock(g.Until), id)
		}
		if g.Why != "" {
			text += ": " + g.Why
		}
		return text
	}
	return fmt.Sprintf("a guardian opened it for a while (grant %d)", id)
}

func (w *words) paused() string {
	switch until := w.profile.Paused; {
	case until.IsZero():
		return "everything is paused"
	case !until.Before(Forever):
		return "everything is paused until a guardian ends the pause"
	default:
		return "everything is paused until " + w.clock(until)
	}
}

func (w *words) scheduled(v Verdict) string {
	s := w.schedule(v.Schedule)
	if s == nil {
		return fmt.Sprintf("the profile's schedule %d says so", v.Schedule)
	}
	blocked := v.Action == Block
	what := w.target(s.What)
	switch {
	case s.What.Kind == ForEverything && s.Effect == Frees:
		return fmt.Sprintf("everything is closed outside %s", titled(s))
	case s.What.Kind == ForEverything:
		return fmt.Sprintf("%s closes everything", titled(s))
	case s.Effect == Frees && blocked:
		return fmt.Sprintf("%s is closed outside %s", what, titled(s))
	case s.Effect == Frees:
		return fmt.Sprintf("%s opens %s", titled(s), what)
	}
	return fmt.Sprintf("%s closes %s", titled(s), what)
}

// titled returns a schedule's name with its hours: "bedtime" (Mon-Fri
// 21:30-06:30).
func titled(s *Schedule) string {
	var hours []string
	for _, w := range s.Windows {
		hours = append(hours, w.Text())
	}
	text := fmt.Sprintf("%q (%s)", s.Name, strings.Join(hours, "; "))
	if s.Name == "" {
		text = fmt.Sprintf("schedule %d (%s)", s.ID, strings.Join(hours, "; "))
	}
	if len(hours) == 0 {
		text = fmt.Sprintf("%q", s.Name)
	}
	return text
}

// target says what a schedule or a grant is about.
func (w *words) target(t Target) string {
	switch t.Kind {
	case ForCategory:
		return fmt.Sprintf("the category %q", w.index.Categories()[t.Category].Name)
	case ForService:
		if s := w.index.Service(w.index.ServiceNumber(t.Service)); s != nil {
			return s.Name
		}
		return t.Service
	case ForName:
		return t.Name.String()
	case ForRule:
		return fmt.Sprintf("rule %d", t.Rule)
	}
	return "everything"
}

func (w *words) clock(t time.Time) string { return t.In(w.zone).Format("Mon 2 Jan 15:04") }
