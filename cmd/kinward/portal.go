package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

// What a device may learn of itself, at the portal and on the block page.

// portalRequest asks why a name is closed for the device that asks.
type portalRequest struct {
	Name string `json:"name"`
}

// portalReply says what is closed and why: no more than whoever holds the device
// may know. Its words are made where it is shown.
type portalReply struct {
	Name     string     `json:"name"`
	Blocked  bool       `json:"blocked"`
	Reason   string     `json:"reason,omitempty"`   // of the verdict
	Category string     `json:"category,omitempty"` // its ID
	Service  string     `json:"service,omitempty"`  // its name
	Until    *time.Time `json:"until,omitempty"`    // when it opens by itself, within a day
	Askable  bool       `json:"askable"`            // a guardian can open it
	Band     string     `json:"band"`               // A to E, or adult
	Guests   bool       `json:"guests"`             // the profile is for visitors
	Zone     string     `json:"zone"`
	// Known: guardians named the device. To one that they did not nobody's name is
	// told.
	Known bool     `json:"known"`
	Who   []string `json:"who"` // guardians who can open it
	Lag   int      `json:"lag"` // for how many seconds a device may go by an old answer
}

var (
	opPortalName = operation[portalRequest, portalReply]{"portal-name", portalName}
	opPortalMine = operation[struct{}, portalMine]{"portal-mine", mineOf}
)

// answerLag is for how long a device of a child keeps an answer at most, in
// seconds: see the resolver's bounds.
const answerLag = 60

// childAsks returns the child that acts in ctx, with its family and who it is for
// the policy now.
func (n *node) childAsks(ctx context.Context, now time.Time) (*policy.Family, policy.Asker, *policy.State, error) {
	a := actor(ctx)
	if a == nil || a.Child == nil {
		return nil, policy.Asker{}, nil, usageError(errors.New("only a device asks this, for itself"))
	}
	f, _, err := n.family(ctx, "")
	if err != nil {
		return nil, policy.Asker{}, nil, coded(err)
	}
	s, err := n.state(ctx)
	if err != nil {
		return nil, policy.Asker{}, nil, err
	}
	who, ok := s.Directory.Device(f.ID, a.Child.Device, now)
	if !ok || f.ProfileByID(who.Profile) == nil { // gone since the device was recognised
		return nil, policy.Asker{}, nil, errForbidden
	}
	return f, who, s, nil
}

func portalName(ctx context.Context, n *node, req portalRequest, _ progress) (portalReply, error) {
	name, err := blocklists.ParseName(req.Name)
	if err != nil || name == "" {
		return portalReply{}, usageError(errors.New("this is no name of a site"))
	}
	now := time.Now()
	f, who, s, err := n.childAsks(ctx, now)
	if err != nil {
		return portalReply{}, err
	}
	zone := zoneOf(f)
	r := portalReply{
		Name: name.String(), Band: who.Policy.Preset.String(), Guests: f.ProfileByID(who.Profile).Guests,
		Zone: zone.String(), Known: who.Device != 0, Who: []string{}, Lag: answerLag,
	}
	if r.Known {
		r.Who = guardianNames(f, policy.Carer)
	}
	if resolver.AnswersItself(name) || name.IsBelow(policy.Portal) {
		return r, nil
	}
	e := policy.Explain(s, who, f, name, policy.TypeA, now)
	if e.Verdict != policy.Block.String() {
		return r, nil
	}
	v, _ := policy.DecideName(s.Index, who.Policy, name, policy.TypeA, now)
	r.Blocked, r.Reason, r.Service = true, e.Reason, e.Service
	if c := v.Label.Category; c != blocklists.NoCategory {
		r.Category = c.String()
	}
	r.Until = untilIn(deref(e.Changes), zone)
	r.Askable = v.Reason != policy.BySecurity && v.Reason != policy.ByCanary && !r.Guests
	return r, nil
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// guardianNames are those of the guardians who have a role, or one that may do more.
func guardianNames(f *policy.Family, least policy.Role) []string {
	names := []string{}
	for _, g := range f.Guardians {
		if g.Role >= least {
			names = append(names, g.Name)
		}
	}
	return names
}

// portalMine is what whoever a profile is for may know of it: everything that is
// filtered and kept, and who can see it.
type portalMine struct {
	Profile string        `json:"profile,omitempty"` // "" to a device that nobody named
	Device  string        `json:"device,omitempty"`
	Known   bool          `json:"known"`
	Band    string        `json:"band"`
	Guests  bool          `json:"guests"`
	Zone    string        `json:"zone"`
	Blocked []string      `json:"blocked"` // IDs of categories
	Named   []string      `json:"named"`   // kept with name and time
	Counted []string      `json:"counted"` // only counted
	Closed  []string      `json:"closed"`  // services, names and lists that the family chose to close
	Open    []string      `json:"open"`    // that it chose to leave open
	Times   []portalTime  `json:"times"`
	Paused  *time.Time    `json:"paused,omitempty"` // until when
	Forever bool          `json:"forever"`          // paused until somebody ends it
	Grants  []portalGrant `json:"grants"`
	Days    int           `json:"days"` // for how long attempts are kept
	Longer  []portalKept  `json:"longer"`
	Who     []string      `json:"who"`   // can see it
	Looks   []portalLook  `json:"looks"` // in the last 30 days
	Lag     int           `json:"lag"`
}

// portalTime is a schedule.
type portalTime struct {
	Name    string          `json:"name"`
	About   string          `json:"about"` // "" is everything; else a service, a name, or a category's ID
	Kind    string          `json:"kind"`  // all, category or thing
	Effect  string          `json:"effect"`
	Windows []policy.Window `json:"windows"`
}

// portalGrant is what a guardian opened for a while.
type portalGrant struct {
	About string    `json:"about"`
	Kind  string    `json:"kind"`
	Until time.Time `json:"until"`
}

// portalKept is how long attempts at a category are kept, where that differs.
type portalKept struct {
	Category string `json:"category"`
	Days     int    `json:"days"`
}

// portalLook is somebody who looked at what was kept.
type portalLook struct {
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	Action string    `json:"action"` // list, show, follow or export
}

// lookedAt is how far back a child is told who looked.
const lookedAt = policy.KeptDays(30)

func mineOf(ctx context.Context, n *node, _ struct{}, _ progress) (portalMine, error) {
	now := time.Now()
	f, who, _, err := n.childAsks(ctx, now)
	if err != nil {
		return portalMine{}, err
	}
	p, zone := f.ProfileByID(who.Profile), zoneOf(f)
	m := portalMine{Known: who.Device != 0, Device: deviceName(f, who.Device), Lag: answerLag}
	m.Band, m.Guests, m.Zone, m.Days = p.Preset.String(), p.Guests, zone.String(), int(f.Retention.Default())
	n.mineCategories(&m, f, p)
	n.mineChoices(&m, p)
	switch {
	case p.Paused.Equal(policy.Forever):
		m.Forever = true
	case now.Before(p.Paused):
		m.Paused = untilIn(p.Paused, zone)
	}
	m.Grants = []portalGrant{}
	for _, g := range f.Grants {
		if g.Profile == p.ID && !now.Before(g.From) && now.Before(g.Until) {
			about, kind := n.thing(p, g.What)
			m.Grants = append(m.Grants, portalGrant{about, kind, g.Until.In(zone)})
		}
	}
	m.Who, m.Looks = []string{}, []portalLook{}
	if !m.Known {
		return m, nil
	}
	m.Profile, m.Who = p.Name, guardianNames(f, policy.Viewer)
	views, err := n.db.Views(ctx, f.ID, p.ID, "", lookedAt.Before(now), maxViews)
	if err != nil {
		return m, err
	}
	for _, v := range views {
		m.Looks = append(m.Looks, portalLook{v.First.In(zone), v.Who, v.Action})
	}
	return m, nil
}

// mineCategories says what is closed and what is kept, by category.
func (n *node) mineCategories(m *portalMine, f *policy.Family, p *policy.Profile) {
	m.Blocked, m.Named, m.Counted, m.Longer = []string{}, []string{}, []string{}, []portalKept{}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		choice, keep := n.keptOf(p, c)
		if choice.Action() == policy.Block {
			m.Blocked = append(m.Blocked, c.String())
		}
		switch keep {
		case policy.KeepItem:
			m.Named = append(m.Named, c.String())
		case policy.KeepCount:
			m.Counted = append(m.Counted, c.String())
		}
		if d := f.Retention.For(c); d != f.Retention.Default() {
			m.Longer = append(m.Longer, portalKept{c.String(), int(d)})
		}
	}
}

// mineChoices says what the family chose besides, and when.
func (n *node) mineChoices(m *portalMine, p *policy.Profile) {
	m.Closed, m.Open, m.Times = []string{}, []string{}, []portalTime{}
	add := func(what string, open bool) {
		if open {
			m.Open = append(m.Open, what)
		} else {
			m.Closed = append(m.Closed, what)
		}
	}
	for _, id := range sortedKeys(p.Services) {
		name, _ := n.thing(p, policy.Target{Kind: policy.ForService, Service: id})
		add(name, p.Services[id].Action() != policy.Block)
	}
	for _, id := range sortedKeys(p.Lists) {
		add(id, p.Lists[id].Action() != policy.Block)
	}
	for _, r := range p.Rules {
		add(patternWords(r.Name, r.Match), r.Allow)
	}
	for _, s := range p.Schedules {
		if s.Off {
			continue
		}
		about, kind := n.thing(p, s.What)
		m.Times = append(m.Times, portalTime{s.Name, about, kind, s.Effect.String(), slices.Clone(s.Windows)})
	}
}

// thing names what a schedule or a grant is about.
func (n *node) thing(p *policy.Profile, t policy.Target) (about, kind string) {
	switch t.Kind {
	case policy.ForCategory:
		return t.Category.String(), "category"
	case policy.ForService:
		for _, s := range n.catalogue.Load().Services {
			if s.ID == t.Service {
				return s.Name, "thing"
			}
		}
		return t.Service, "thing"
	case policy.ForName:
		return t.Name.String(), "thing"
	case policy.ForRule:
		for _, r := range p.Rules {
			if r.ID == t.Rule {
				return patternWords(r.Name, r.Match), "thing"
			}
		}
		return "", "thing"
	}
	return "", "all"
}
