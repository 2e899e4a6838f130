package policy

import "kinward/blocklists"

// opinion is what a profile does about a label.
type opinion struct {
	choice   Choice
	reason   Reason
	schedule uint8 // the bit of the schedule that made it so, plus 1; 0 for none
	opens    bool  // a choice for the service, by which it opens its own names
}

// choose returns what the profile does about one label: the choice for its
// service, else for its list, else for its category, each as its schedules have
// it in this phase.
func (p *Policy) choose(l blocklists.Label, ph *phase) opinion {
	if l.Group != 0 && !ph.groups.has(l.Group) {
		return opinion{}
	}
	own, byOwn := ChooseAllow, false
	if l.Service != 0 && len(p.services) > 0 {
		own, byOwn = chosen(p.services, l.Service)
	}
	hours := p.timed.aimAtService(l.Service)
	var o opinion
	if byOwn {
		o = opinion{choice: own, reason: ByService, opens: own == ChooseAllow}
	} else {
		o = p.chooseBroadly(l, ph)
	}
	if hours != nil {
		o = hours.apply(o, ph.mask)
		o.opens = o.choice.Action() != Block && (o.opens || o.reason == BySchedule)
	}
	if p.logged&(1<<l.Category) != 0 && !(byOwn && own == ChooseAllow) {
		o.choice = o.choice.keeping(p.categories[l.Category].Keep())
	}
	return o
}

// chooseBroadly is choose without what is about the service alone.
func (p *Policy) chooseBroadly(l blocklists.Label, ph *phase) opinion {
	if len(p.lists) > 0 && l.List != 0 {
		if c, ok := chosen(p.lists, l.List); ok {
			return opinion{choice: c, reason: ByList}
		}
	}
	if l.Marks&blocklists.Optional != 0 {
		return opinion{}
	}
	o := p.chooseCategory(l.Category, ByCategory, ph)
	if l.Marks&blocklists.KnownRisk != 0 {
		if kr := p.chooseCategory(blocklists.KnownRiskCategory, ByKnownRisk, ph); kr.choice > o.choice {
			return kr
		}
	}
	return o
}

func (p *Policy) chooseCategory(c blocklists.Category, r Reason, ph *phase) opinion {
	o := opinion{choice: p.categories[c], reason: r}
	if hours := p.timed.aimAtCategory(c); hours != nil {
		return hours.apply(o, ph.mask)
	}
	return o
}

// apply changes an opinion as the target's schedules have it.
func (a *aim) apply(o opinion, mask uint64) opinion {
	blocked, freed, bit := a.state(mask)
	switch {
	case blocked:
		o.choice = o.choice.blocking()
	case freed:
		o.choice = o.choice.freed()
	default:
		return o
	}
	o.reason, o.schedule = BySchedule, uint8(bit)+1
	return o
}

// weigh finds the label that decides: the strongest choice, shown by the most
// serious category. A service that the family opened by itself clears every
// label of the same or a shorter entry, so that it opens the service's own
// names and no more. The index is -1 where no label has an opinion.
func (p *Policy) weigh(labels []blocklists.Label, ph *phase) (best int, decided opinion) {
	best = -1
	cleared, clearedBy := uint8(0), -1
	for i := range labels {
		if o := p.choose(labels[i], ph); o.opens && labels[i].Depth > cleared {
			cleared, clearedBy = labels[i].Depth, i
		}
	}
	opened := -1 // a label that a schedule or a choice opened, to be shown where nothing else decides
	for i := range labels {
		l := &labels[i]
		o := p.choose(*l, ph)
		if o.choice == ChooseAllow && o.reason == BySchedule && opened < 0 {
			opened = i
		}
		ofService := o.opens || o.reason == ByService || o.reason == BySchedule && p.timed.aimAtService(l.Service) != nil
		if o.choice == ChooseAllow || l.Depth < cleared || l.Depth == cleared && !ofService {
			continue
		}
		if best < 0 || o.choice.Action() > decided.choice.Action() ||
			o.choice.Action() == decided.choice.Action() && p.moreSerious(*l, labels[best]) {
			o.choice = max(o.choice, decided.choice)
			best, decided = i, o
		}
		// What must not be named stays unnamed whichever label is shown, so the
		// strongest choice holds for the whole verdict.
		decided.choice = max(decided.choice, o.choice)
	}
	if best < 0 && clearedBy >= 0 {
		best = clearedBy
	} else if best < 0 {
		best = opened
	}
	if best >= 0 && decided.reason == ByDefault {
		return best, p.choose(labels[best], ph)
	}
	return best, decided
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

func (p *Policy) shownRank(l blocklists.Label) uint8 {
	r := p.basis.rank[l.Category]
	if l.Marks&blocklists.KnownRisk != 0 {
		r = min(r, p.basis.rank[blocklists.KnownRiskCategory])
	}
	return r
}
