package policy

import (
	"time"

	"kinward/blocklists"
)

// Question is what a decision is about: a name, the labels that the index has
// for it, and when it is asked.
type Question struct {
	Name   blocklists.Name
	Labels []blocklists.Label // of the index that the policy was compiled against
	Time   time.Time
}

// Ask makes the question for a name, asked with a type at a time, from an index.
func Ask(x *blocklists.Index, n blocklists.Name, qtype uint16, at time.Time) Question {
	return Question{Name: n, Labels: x.Known(n, qtype), Time: at}
}

// TypeA is the type of a question for an address (RFC 1035 §3.2.2), which
// explanations are about.
const TypeA = 1

// Portal is the name at which a family reaches its own Kinward. Devices need it
// like any other name that lets them work: at bedtime a child sees there why
// nothing opens. home.arpa is for names within a home (RFC 8375).
var Portal = blocklists.MustName("kinward.home.arpa")

// Decide returns what p does with q. It is pure and total, does not allocate
// but where a schedule begins or ends, and is the only place that decides. The
// order is DESIGN.md's; the first step that has an opinion settles the matter:
//
//	help → security → plumbing → grants → pause and bedtime → own rules →
//	canaries → services, lists and categories → SafeSearch → allow
func Decide(p *Policy, q Question) Verdict {
	return decide(p, q, p.phaseAt(q.Time.Unix()), nil)
}

// DecideName decides about a name asked with a type, and about every name that
// it hides behind a gateway such as a translation service, each as if it had
// been asked; the strictest verdict holds. about is the name that the verdict is
// about. Where one of the hidden names is a help line nothing is recorded, and
// where one is only to be counted no name is.
func DecideName(x *blocklists.Index, p *Policy, n blocklists.Name, qtype uint16, at time.Time) (v Verdict, about blocklists.Name) {
	return DecideKnown(x, p, Ask(x, n, qtype, at), qtype)
}

// DecideKnown is [DecideName] for a question whose labels are known already.
func DecideKnown(x *blocklists.Index, p *Policy, q Question, qtype uint16) (v Verdict, about blocklists.Name) {
	return decideKnown(x, p, q, qtype, func(q Question) Verdict { return Decide(p, q) })
}

func decideKnown(x *blocklists.Index, p *Policy, q Question, qtype uint16, one func(Question) Verdict) (v Verdict, about blocklists.Name) {
	v, about = one(q), q.Name
	private := false
	for _, h := range x.Unwrap(q.Name) {
		hv := one(Ask(x, h, qtype, q.Time))
		if hv.Action == Rewrite { // the gateway cannot be sent to a search engine's safe mode
			hv.Action, hv.Target = Allow, ""
		}
		private = private || hv.Reason == ByHelp
		if hv.Action > v.Action || hv.Action == v.Action && hv.Keep == KeepCount {
			v, about = hv, h
		}
	}
	if private {
		v.Keep = KeepNothing
	}
	return v, about
}

// decide is Decide in a given phase; where t is not nil it notes what each step
// found.
func decide(p *Policy, q Question, ph *phase, t *trail) Verdict {
	unix := q.Time.Unix()
	v := Verdict{}
	for i := range q.Labels {
		v.Quiet = v.Quiet || q.Labels[i].Marks&blocklists.Quiet != 0
		v.NoData = v.NoData || q.Labels[i].Marks&blocklists.Above != 0
	}
	if i := find(q.Labels, blocklists.Help); i >= 0 {
		v.Action, v.Reason, v.Label, v.Keep = Allow, ByHelp, q.Labels[i], KeepNothing
		return t.settle("help", v, q)
	}
	t.pass("help", "it is no help line, and none lies above it")

	if c := p.categories[blocklists.Security]; c.Action() == Block {
		if i := find(q.Labels, blocklists.Security); i >= 0 {
			v.block(BySecurity, c, q.Labels[i])
			return t.settle("security", p.finish(v, q, unix), q)
		}
	}
	t.pass("security", "no list calls it dangerous")

	g, at := p.granted(q, ph, unix)
	if i := find(q.Labels, blocklists.Plumbing); i >= 0 || q.Name.IsBelow(Portal) {
		if i >= 0 {
			v.Label = q.Labels[i]
		}
		if r := p.rules.denyOf(q.Name, ph.mask, unix); r != nil && g == nil {
			v.Rule, v.RuleName = r.id, q.Name
			v.block(ByRule, ChooseBlock, v.Label)
			return t.settle("plumbing", p.finish(v, q, unix), q)
		}
		v.Action, v.Reason, v.Keep = Allow, ByPlumbing, KeepNothing
		return t.settle("plumbing", v, q)
	}
	t.pass("plumbing", "devices do not need it in order to work")

	if g != nil {
		v.Action, v.Reason, v.Grant, v.Keep = Allow, ByGrant, g.id, KeepNothing
		if at >= 0 {
			v.Label = q.Labels[at]
		}
		if g.what.Kind == ForName || !p.safer(&v, q) {
			return t.settle("grants", v, q)
		}
		t.pass("grants", "a guardian opened it for a while, in its safe mode")
		return t.settle("safe search", v, q)
	}
	t.pass("grants", "no guardian opened it for a while")

	reason, schedule := p.stopped(ph, unix)
	lifted := GrantID(0)
	if reason != ByDefault {
		if lifted = p.lifted(unix); lifted == 0 {
			// A schedule changes what happens, never what is kept, but that a child's
			// device asked at all while everything is closed, which is told without names.
			switch usual := p.usual(v, q, ph, unix, nil); {
			case usual.Action == Allow || usual.Action == Rewrite:
				if !p.guests && p.Preset != Adult {
					v.Keep = KeepItem
				}
			case usual.Reason == ByRule:
				v.Label, v.Rule, v.RuleName, v.Keep = usual.Label, usual.Rule, usual.RuleName, usual.Keep
			default:
				v.Label, v.Keep, v.Bypass = usual.Label, usual.Keep, usual.Bypass
			}
			v.Action, v.Reason, v.Schedule = Block, reason, schedule
			v.NoData = true // names below may be open: help, plumbing, what a grant opens
			return t.settle("pause and bedtime", v, q)
		}
		t.pass("pause and bedtime", "everything is closed, but a guardian lifted that for a while")
	} else {
		t.pass("pause and bedtime", "nothing is paused, and it is no bedtime")
	}
	v = p.usual(v, q, ph, unix, t)
	if lifted != 0 && v.Reason == ByDefault {
		v.Reason, v.Grant = ByGrant, lifted
	}
	return t.settle(t.last(), v, q)
}

// find returns the first label of a category, -1 for none.
func find(labels []blocklists.Label, c blocklists.Category) int {
	for i := range labels {
		if labels[i].Category == c {
			return i
		}
	}
	return -1
}

// stopped returns why everything is closed at the moment: a pause, or a schedule.
func (p *Policy) stopped(ph *phase, unix int64) (Reason, ScheduleID) {
	t := p.timed
	if t == nil {
		return ByDefault, 0
	}
	if unix < t.paused {
		return ByPause, 0
	}
	for i := range t.aims {
		if a := &t.aims[i]; a.what.Kind == ForEverything {
			if blocked, _, bit := a.state(ph.mask); blocked {
				return BySchedule, t.schedules[bit]
			}
		}
	}
	return ByDefault, 0
}

// lifted returns the grant that lifts pause and bedtime, 0 for none.
func (p *Policy) lifted(unix int64) GrantID {
	for i := range p.timed.grants {
		g := &p.timed.grants[i]
		if unix >= g.until {
			break
		}
		if g.from <= unix && g.what.Kind == ForEverything {
			return g.id
		}
	}
	return 0
}

// granted returns the grant that opens q's name, nil for none, and which label
// it is about, -1 for none. A grant for a name comes first. One for a service or
// a category opens no name for which a list has a more specific entry that is
// blocked.
func (p *Policy) granted(q Question, ph *phase, unix int64) (found *grant, label int) {
	if p.timed == nil {
		return nil, -1
	}
	label = -1
	for i := range p.timed.grants {
		g := &p.timed.grants[i]
		if unix >= g.until {
			break
		}
		if g.from > unix {
			continue
		}
		switch g.what.Kind {
		case ForName:
			if q.Name.IsBelow(g.what.Name) {
				return g, -1
			}
		case ForService, ForCategory:
			if found != nil {
				continue
			}
			for k := range q.Labels {
				if l := &q.Labels[k]; g.covers(l) && (label < 0 || l.Depth > q.Labels[label].Depth) {
					found, label = g, k
				}
			}
			if found != nil && p.outdone(q.Labels, q.Labels[label].Depth, ph) {
				found, label = nil, -1
			}
		}
	}
	return found, label
}

// outdone reports whether a label of a longer entry is blocked.
func (p *Policy) outdone(labels []blocklists.Label, depth uint8, ph *phase) bool {
	for i := range labels {
		if labels[i].Depth > depth && p.choose(labels[i], ph).choice.Action() == Block {
			return true
		}
	}
	return false
}

// usual decides as if nothing were paused.
func (p *Policy) usual(v Verdict, q Question, ph *phase, unix int64, t *trail) Verdict {
	if r := p.rules.match(q.Name, ph.mask, unix); r != nil {
		v.Rule, v.RuleName = r.id, r.name
		if r.allow {
			v.Action, v.Reason, v.Keep = Allow, ByRule, KeepNothing
			t.reach("own rules")
			if r.match != MatchExact && p.safer(&v, q) {
				t.pass("own rules", "a rule of the family allows it, in its safe mode")
				t.reach("safe search")
			}
			return v
		}
		l := blocklists.Label{Depth: uint8(r.name.Labels())}
		if r.match == MatchExact || r.match == MatchGlob {
			l.Marks = blocklists.Exact
		}
		v.block(ByRule, ChooseBlock, l)
		t.reach("own rules")
		return p.finish(v, q, unix)
	}
	t.pass("own rules", "no rule of the family speaks of it")

	best, o := p.weigh(q.Labels, ph)
	if k := p.Canary(q.Name); k != nil && p.bypass && !(best >= 0 && o.opens) {
		v.block(ByCanary, ChooseHide, blocklists.Label{})
		if best >= 0 {
			v.Label, v.Keep = q.Labels[best], o.choice.Keep()
		}
		v.NoData, v.Bypass = k.Answer == CanaryNoData, BypassRoutine
		if p.guests {
			v.Keep = min(v.Keep, KeepCount)
		}
		t.reach("canaries")
		return v
	}
	t.pass("canaries", "no program asks for it to learn whether the network filters")

	step := "otherwise"
	if best >= 0 {
		v.Label, v.Reason, v.Keep, v.Action = q.Labels[best], o.reason, o.choice.Keep(), o.choice.Action()
		if o.schedule != 0 {
			v.Schedule = p.timed.schedules[o.schedule-1]
		}
		if v.Action == Block {
			t.reach("services, lists and categories")
			return p.finish(v, q, unix)
		}
		v = p.finish(v, q, unix)
		step = "services, lists and categories"
	} else {
		t.pass("services, lists and categories", "the profile minds nothing that is known of it")
	}
	if p.safer(&v, q) {
		if best >= 0 {
			t.pass(step, "what is known of it is not blocked")
		}
		t.reach("safe search")
		return v
	}
	t.reach(step)
	return v
}

// Canary returns the canary that n is, nil for none, whether or not the profile
// has them answered.
func (p *Policy) Canary(n blocklists.Name) *Canary { return p.basis.presets.canaries.Lookup(n) }

// safer makes v a rewrite where q's name belongs to a search engine that the
// profile wants in its safe mode.
func (p *Policy) safer(v *Verdict, q Question) bool {
	target, engine, flatten, ok := p.basis.presets.safe.Target(q.Name, &p.search)
	if ok {
		v.Action, v.Reason, v.Target, v.Engine, v.Flatten = Rewrite, BySafeSearch, target, engine, flatten
	}
	return ok
}

func (v *Verdict) block(r Reason, c Choice, l blocklists.Label) {
	v.Action, v.Reason, v.Keep, v.Label = Block, r, c.Keep(), l
}

// finish completes a verdict: a blocked name may deny its subtree, but not where
// the entry covers the name alone, nor where an allowed name may lie below; what
// guests do is only counted; and whether the name leads past the filter is told.
func (p *Policy) finish(v Verdict, q Question, unix int64) Verdict {
	if v.Label.Marks&blocklists.Exact != 0 || p.rules.allowsBelow(q.Name) || p.grantsBelow(q.Name, unix) {
		v.NoData = true
	}
	if p.guests {
		v.Keep = min(v.Keep, KeepCount)
	}
	v.Bypass = bypassOf(v.Label, v.Quiet)
	if v.Label.Category == blocklists.NoCategory {
		for i := range q.Labels {
			v.Bypass = max(v.Bypass, bypassOf(q.Labels[i], v.Quiet))
		}
	}
	return v
}

func bypassOf(l blocklists.Label, quiet bool) Bypass {
	switch {
	case l.Category == blocklists.EncryptedDNS, l.Category == blocklists.VPNProxy && quiet:
		return BypassRoutine
	case l.Category == blocklists.VPNProxy:
		return BypassAttempt
	}
	return NoBypass
}

// grantsBelow reports whether a grant that has not ended opens a name below n.
func (p *Policy) grantsBelow(n blocklists.Name, unix int64) bool {
	if p.timed == nil {
		return false
	}
	for i := range p.timed.grants {
		g := &p.timed.grants[i]
		if unix >= g.until {
			break
		}
		if g.what.Kind == ForName && g.what.Name != n && g.what.Name.IsBelow(n) {
			return true
		}
	}
	return false
}
