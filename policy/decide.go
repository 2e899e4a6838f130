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

// Decide returns what p does with q. It is pure and total, does not allocate,
// and is the only place that decides. The order is DESIGN.md's; the first step
// that has an opinion settles the matter:
//
//	help → security → plumbing → own rules → service and category → allow
func Decide(p *Policy, q Question) Verdict { return decide(p, q, nil) }

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
	v, about = Decide(p, q), q.Name
	private := false
	for _, h := range x.Unwrap(q.Name) {
		hv := Decide(p, Ask(x, h, qtype, q.Time))
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

// decide is Decide; where t is not nil it notes what each step found.
func decide(p *Policy, q Question, t *trail) Verdict {
	v := Verdict{}
	for i := range q.Labels {
		v.Quiet = v.Quiet || q.Labels[i].Marks&blocklists.Quiet != 0
		v.NoData = v.NoData || q.Labels[i].Marks&blocklists.Above != 0
	}
	for i := range q.Labels {
		if q.Labels[i].Category == blocklists.Help {
			v.Action, v.Reason, v.Label, v.Keep = Allow, ByHelp, q.Labels[i], KeepNothing
			return t.settle("help", v, q)
		}
	}
	t.pass("help", "it is no help line, and none lies above it")

	if c := p.categories[blocklists.Security]; c.Action() == Block {
		for i := range q.Labels {
			if q.Labels[i].Category == blocklists.Security {
				v.block(BySecurity, c, q.Labels[i])
				return t.settle("security", p.finish(v, q), q)
			}
		}
	}
	t.pass("security", "no list calls it dangerous")

	for i := range q.Labels {
		if q.Labels[i].Category != blocklists.Plumbing {
			continue
		}
		if id := p.rules.exactDeny(q.Name, q.Time); id != 0 {
			v.Rule, v.RuleName = id, q.Name
			v.block(ByRule, ChooseBlock, q.Labels[i])
			return t.settle("plumbing", p.finish(v, q), q)
		}
		v.Action, v.Reason, v.Label, v.Keep = Allow, ByPlumbing, q.Labels[i], KeepNothing
		return t.settle("plumbing", v, q)
	}
	t.pass("plumbing", "devices do not need it in order to work")

	if id, name, allow, exact := p.rules.match(q.Name, q.Time); id != 0 {
		v.Rule, v.RuleName = id, name
		if allow {
			v.Action, v.Reason, v.Keep = Allow, ByRule, KeepNothing
			return t.settle("own rules", v, q)
		}
		l := blocklists.Label{Depth: uint8(name.Labels())}
		if exact {
			l.Marks = blocklists.Exact
		}
		v.block(ByRule, ChooseBlock, l)
		return t.settle("own rules", p.finish(v, q), q)
	}
	t.pass("own rules", "no rule of the family speaks of it")

	if best, choice, reason := p.weigh(q.Labels); best >= 0 {
		v.Label, v.Reason, v.Keep, v.Action = q.Labels[best], reason, choice.Keep(), choice.Action()
		if v.Action == Allow {
			return t.settle("services and categories", v, q)
		}
		return t.settle("services and categories", p.finish(v, q), q)
	}
	t.pass("services and categories", "the profile minds nothing that is known of it")

	return t.settle("otherwise", v, q)
}

func (v *Verdict) block(r Reason, c Choice, l blocklists.Label) {
	v.Action, v.Reason, v.Keep, v.Label = Block, r, c.Keep(), l
}

// finish decides whether a blocked name may deny its subtree: not where the
// entry covers the name alone, nor where an allowed name may lie below.
func (p *Policy) finish(v Verdict, q Question) Verdict {
	if v.Label.Marks&blocklists.Exact != 0 {
		v.NoData = true
	}
	if !v.NoData && len(p.rules.above) > 0 {
		_, v.NoData = p.rules.above[q.Name]
	}
	return v
}

// choose returns what the profile does about one label, and by which choice.
func (p *Policy) choose(l blocklists.Label) (Choice, Reason) {
	if l.Group != 0 && p.groups[l.Group/64]&(1<<(l.Group%64)) == 0 {
		return ChooseAllow, ByDefault
	}
	if own := p.serviceChoice(l.Service); own != noChoice {
		return Choice(own - 1), ByService
	}
	if l.Marks&blocklists.Optional != 0 {
		return ChooseAllow, ByDefault
	}
	c, reason := p.categories[l.Category], ByCategory
	if l.Marks&blocklists.KnownRisk != 0 {
		if kr := p.categories[blocklists.KnownRiskCategory]; kr > c {
			c, reason = kr, ByKnownRisk
		}
	}
	return c, reason
}

func (p *Policy) serviceChoice(id blocklists.ServiceID) serviceChoice {
	if int(id) >= len(p.services) {
		return noChoice
	}
	return p.services[id]
}

// weigh finds the label that decides: the strongest choice, shown by the most
// serious category. A service that the family allowed by itself clears every
// label of the same or a shorter entry, so that it opens the service's own
// names and no more. The index is -1 where no label has an opinion.
func (p *Policy) weigh(labels []blocklists.Label) (best int, choice Choice, reason Reason) {
	best = -1
	cleared, clearedBy := uint8(0), -1
	for i := range labels {
		if c, r := p.choose(labels[i]); r == ByService && c == ChooseAllow && labels[i].Depth > cleared {
			cleared, clearedBy = labels[i].Depth, i
		}
	}
	for i := range labels {
		l := &labels[i]
		c, r := p.choose(*l)
		if c == ChooseAllow || l.Depth < cleared || l.Depth == cleared && r != ByService {
			continue
		}
		switch {
		case best < 0,
			c.Action() > choice.Action(),
			c.Action() == choice.Action() && p.moreSerious(*l, labels[best]):
			best, reason = i, r
		}
		// What must not be named stays unnamed whichever label is shown, so the
		// strongest choice holds for the whole verdict.
		choice = max(choice, c)
	}
	if best < 0 && clearedBy >= 0 {
		return clearedBy, ChooseAllow, ByService
	}
	return best, choice, reason
}

// moreSerious orders labels for what a parent is shown: by the seriousness of
// the category, then a known service before a bare list entry, then the more
// specific entry, then the order of lists.
func (p *Policy) moreSerious(a, b blocklists.Label) bool {
	if ra, rb := p.shownRank(a), p.shownRank(b); ra != rb {
		return ra < rb
	}
	if (a.Service != 0) != (b.Service != 0) {
		return a.Service != 0
	}
	if a.Depth != b.Depth {
		return a.Depth > b.Depth
	}
	return a.List < b.List
}

func (p *Policy) shownRank(l blocklists.Label) int {
	r := p.rank[l.Category]
	if l.Marks&blocklists.KnownRisk != 0 {
		r = min(r, p.rank[blocklists.KnownRiskCategory])
	}
	return r
}
