package policy

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"kinward/blocklists"
)

// timed is what of a policy changes by itself as time goes by. Its times are Unix
// seconds, as questions are decided by: what is below a second is cut off, so that
// a rule, a grant or a pause ends by less than one early rather than late.
type timed struct {
	paused    int64        // until when everything is paused, MinInt64 for not
	grants    []grant      // the one that ends last first
	schedules []ScheduleID // by their bit
	table     *timetable   // nil without schedules
	aims      []aim
	edges     []int64 // when grants, rules and the pause begin or end, in order
	memo      atomic.Pointer[phase]
}

// phase is a span of time [from, until) in which the same schedules are active.
// It is immutable.
type phase struct {
	from, until int64 // Unix seconds
	mask        uint64
	groups      groupSet // groups of services that are blocked whole
}

// aim is a target of schedules, with the bits of those that block and free it.
type aim struct {
	what          Target
	number        uint16 // of the service
	blocks, frees uint64
}

// state returns what the schedules of a mask do to the target, and the bit of
// the one that does. Blocking wins.
func (a *aim) state(mask uint64) (blocked, freed bool, bit int) {
	if hit := a.blocks & mask; hit != 0 {
		return true, false, bits.TrailingZeros64(hit)
	}
	if hit := a.frees & mask; hit != 0 {
		return false, true, bits.TrailingZeros64(hit)
	}
	if a.frees != 0 {
		return true, false, bits.TrailingZeros64(a.frees)
	}
	return false, false, 0
}

type grant struct {
	id          GrantID
	from, until int64
	what        Target
	service     blocklists.ServiceID
	groups      groupSet // those that the service, or one of the category, belongs to
}

func newTimed(b *basis, s *source) (*timed, error) {
	p := &s.Profile
	t := &timed{paused: math.MinInt64}
	if !p.Paused.IsZero() {
		t.paused = p.Paused.Unix()
		t.edges = append(t.edges, t.paused)
	}
	for _, r := range p.Rules {
		if !r.Until.IsZero() {
			t.edges = append(t.edges, r.Until.Unix())
		}
	}
	for _, g := range s.Grants {
		t.edges = append(t.edges, g.From.Unix(), g.Until.Unix())
		t.grants = append(t.grants, b.grant(g))
	}
	slices.SortFunc(t.grants, func(a, b grant) int { return cmp.Or(cmp.Compare(b.until, a.until), cmp.Compare(a.id, b.id)) })
	slices.Sort(t.edges)
	t.edges = slices.Compact(t.edges)

	for i := range p.Schedules {
		t.schedules = append(t.schedules, p.Schedules[i].ID)
	}
	zone, err := b.zone(s.Zone)
	if err != nil {
		return nil, err
	}
	if t.table, err = newTimetable(zone, s.Holidays, p.Schedules); err != nil {
		return nil, err
	}
	for i := range p.Schedules {
		t.add(b, &p.Schedules[i], 1<<i)
	}
	if t.table == nil && len(t.edges) == 0 {
		return nil, nil
	}
	return t, nil
}

func (t *timed) add(b *basis, s *Schedule, bit uint64) {
	a := t.aim(s.What)
	if a == nil {
		t.aims = append(t.aims, aim{what: s.What})
		a = &t.aims[len(t.aims)-1]
		if s.What.Kind == ForService {
			a.number = uint16(b.index.ServiceNumber(s.What.Service))
		}
	}
	if s.Effect == Frees {
		a.frees |= bit
	} else {
		a.blocks |= bit
	}
}

// aim returns the schedules for a target, nil for none. All aims must have been
// added before one is kept.
func (t *timed) aim(what Target) *aim {
	if t == nil {
		return nil
	}
	for i := range t.aims {
		if t.aims[i].what == what {
			return &t.aims[i]
		}
	}
	return nil
}

func (t *timed) aimAtCategory(c blocklists.Category) *aim {
	if t == nil {
		return nil
	}
	for i := range t.aims {
		if a := &t.aims[i]; a.what.Kind == ForCategory && a.what.Category == c {
			return a
		}
	}
	return nil
}

func (t *timed) aimAtService(id blocklists.ServiceID) *aim {
	if t == nil || id == 0 {
		return nil
	}
	for i := range t.aims {
		if a := &t.aims[i]; a.what.Kind == ForService && a.number == uint16(id) {
			return a
		}
	}
	return nil
}

func (b *basis) grant(g Grant) grant {
	out := grant{id: g.ID, from: g.From.Unix(), until: g.Until.Unix(), what: g.What}
	if g.What.Kind == ForService {
		out.service = b.index.ServiceNumber(g.What.Service)
	}
	for i, shared := range b.index.Groups() {
		for _, id := range shared.Members {
			n := b.index.ServiceNumber(id)
			s := b.index.Service(n)
			if s == nil {
				continue
			}
			if g.What.Kind == ForService && n == out.service || g.What.Kind == ForCategory && s.Category == g.What.Category {
				out.groups.add(blocklists.GroupID(i + 1))
			}
		}
	}
	return out
}

// covers reports whether the grant is about a label's names.
func (g *grant) covers(l *blocklists.Label) bool {
	switch {
	case l.Group != 0:
		return g.groups.has(l.Group)
	case g.what.Kind == ForService:
		return g.service != 0 && l.Service == g.service
	case g.what.Kind == ForCategory && g.what.Category == blocklists.KnownRiskCategory:
		return l.Marks&blocklists.KnownRisk != 0
	case g.what.Kind == ForCategory:
		return l.Category == g.what.Category
	}
	return false
}

// phaseAt returns the phase of a Unix time. The last one asked for is kept, so
// that time which goes by costs nothing until a schedule begins or ends.
func (p *Policy) phaseAt(unix int64) *phase {
	t := p.timed
	if t == nil || t.table == nil {
		return p.still
	}
	if ph := t.memo.Load(); ph != nil && ph.from <= unix && unix < ph.until {
		return ph
	}
	ph := p.computePhase(unix)
	t.memo.Store(ph)
	return ph
}

// phaseThen is phaseAt for another time than now: it keeps nothing.
func (p *Policy) phaseThen(unix int64) *phase {
	t := p.timed
	if t == nil || t.table == nil {
		return p.still
	}
	if ph := t.memo.Load(); ph != nil && ph.from <= unix && unix < ph.until {
		return ph
	}
	return p.computePhase(unix)
}

func (p *Policy) computePhase(unix int64) *phase {
	ph := &phase{}
	ph.mask, ph.from, ph.until = p.timed.table.at(unix)
	ph.groups = p.basis.blockedGroups(p, ph.mask)
	return ph
}

// Lifts reports whether a grant is for everything: it lifts pause and bedtime,
// and opens no name that is closed at other hours.
func (p *Policy) Lifts(id GrantID) bool {
	if p.timed == nil {
		return false
	}
	i := slices.IndexFunc(p.timed.grants, func(g grant) bool { return g.id == id })
	return i >= 0 && p.timed.grants[i].what.Kind == ForEverything
}

// NextChange returns the first time after t at which p may decide otherwise
// than at t: a schedule, a grant, a pause or a rule begins or ends. The zero
// time is never.
func (p *Policy) NextChange(t time.Time) time.Time {
	if p.timed == nil {
		return time.Time{}
	}
	unix := t.Unix()
	next := p.phaseThen(unix).until
	if i, found := slices.BinarySearch(p.timed.edges, unix); found {
		i++
		if i < len(p.timed.edges) {
			next = min(next, p.timed.edges[i])
		}
	} else if i < len(p.timed.edges) {
		next = min(next, p.timed.edges[i])
	}
	if next == math.MaxInt64 {
		return time.Time{}
	}
	return time.Unix(next, 0)
}

// maxSteps bounds how many changes of a policy ChangesAt looks at. Real ones are
// an hour apart, not seconds.
const maxSteps = 32

// ChangesAt returns the first time after q's, and not after horizon, at which
// what happens to q's name changes by itself; the zero time if it does not. An
// answer must not live longer than that. Where a policy changes more often than
// anybody looks it may be too early, never too late.
func ChangesAt(x *blocklists.Index, p *Policy, q Question, qtype uint16, horizon time.Time) time.Time {
	at := p.NextChange(q.Time)
	if at.IsZero() || at.After(horizon) {
		return time.Time{}
	}
	now, _ := decideThen(x, p, q, qtype)
	for range maxSteps {
		q.Time = at
		if v, _ := decideThen(x, p, q, qtype); v.Action != now.Action || v.Target != now.Target {
			return at
		}
		if at = p.NextChange(at); at.IsZero() || at.After(horizon) {
			return time.Time{}
		}
	}
	return at
}

// decideThen is DecideKnown for another time than now.
func decideThen(x *blocklists.Index, p *Policy, q Question, qtype uint16) (Verdict, blocklists.Name) {
	return decideKnown(x, p, q, qtype, func(q Question) Verdict { return decide(p, q, p.phaseThen(q.Time.Unix()), nil) })
}
