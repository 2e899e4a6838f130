package journal

import (
	"maps"
	"slices"
	"time"

	"kinward/blocklists"
	"kinward/journal/spool"
	"kinward/policy"
)

const (
	gapMillis    = int64(Gap / time.Millisecond)
	windowMillis = int64(spool.TryWindow / time.Millisecond)
	dayMillis    = int64(24 * time.Hour / time.Millisecond)

	maxNames = 8 // an incident; enough that the most asked one is among them
	maxTypes = 8

	// late is how much longer an incident stays in memory than it can grow, for
	// attempts that come late.
	late = time.Minute
)

// outcome is what became of an attempt.
type outcome uint8

const (
	merged  outcome = iota // it is in an incident
	opened                 // it is in a new incident
	quiet                  // asked for without the person's doing, and nothing to raise
	counted                // it is in a day's count
	unkept                 // the verdict says to keep nothing
)

// merger holds the incidents that can still grow and all that the store does
// not have yet. It knows no goroutines and no clock: [Journal.Run] owns it.
type merger struct {
	open    map[key]*incident
	oldest  incident // sentinel of a ring through open, next is touched longest ago
	maxOpen int

	dirty  []*incident // changed since they were last taken, in the order of the change
	flight []*incident // taken, and neither committed nor failed yet

	counts       map[countKey]tally
	countsFlight map[countKey]tally
	windows      map[ofDay]int64 // when the last window of what is only counted opened

	losses, lossesFlight []Loss

	lately lately

	closedEarly uint64
	buf         []byte
}

// incident is one that is open, or that the store does not have completely.
type incident struct {
	id      string
	key     key
	family  policy.FamilyID
	profile policy.ProfileID
	device  policy.DeviceID

	first, last int64 // Unix ms
	details

	saved  uint64 // queries that the store has
	taken  uint64 // queries that are in flight
	queued bool   // it is in dirty

	repeats uint16 // the first in lately.known of which it lacks repetitions, from 1; 0: none

	prev, next *incident // the ring; nil once it cannot grow any more
	moved      int64     // Unix ms of when it was last put to the ring's end
}

// ofDay is what is counted, countKey when.
type ofDay struct {
	family   policy.FamilyID
	profile  policy.ProfileID
	category blocklists.Category
}

type countKey struct {
	ofDay
	day int64 // since 1970, UTC
}

type tally struct{ tries, queries uint64 }

func newMerger(maxOpen int) *merger {
	m := &merger{
		lately: newLately(),
		open:   map[key]*incident{}, maxOpen: maxOpen,
		counts: map[countKey]tally{}, windows: map[ofDay]int64{},
	}
	m.oldest.prev, m.oldest.next = &m.oldest, &m.oldest
	return m
}

// add merges one attempt. e is its encoding, empty where it is not known.
func (m *merger) add(a *policy.Attempt, e spool.Encoded) outcome {
	v := &a.Verdict
	if v.Action == policy.Allow || v.Keep == policy.KeepNothing {
		return unkept
	}
	ms := a.Time.UnixMilli()
	if v.Keep == policy.KeepCount {
		return m.count(a, ms)
	}
	var domain blocklists.Name
	if a.Service == "" {
		domain = registrable(about(a))
	}
	client := clientText(a)
	var k key
	k, m.buf = keyOf(a, domain, client, m.buf)

	i := m.open[k]
	if i != nil {
		if m.settle(i); i.ended(ms) {
			m.drop(i)
			i = nil
		}
	}
	if i == nil {
		if v.Quiet && v.Bypass != policy.BypassRoutine { // what is routine anyway is told apart from the rest
			return quiet
		}
		i = newIncident(a, k, ms, client)
		m.remember(e, i, i.look(a))
		m.insert(i)
		return opened
	}
	i.at(ms)
	m.remember(e, i, i.look(a))
	m.touch(i)
	m.change(i)
	return merged
}

// count notes an attempt at what must not be named. A quiet one is no attempt
// of anybody, and there is no incident that it could raise.
func (m *merger) count(a *policy.Attempt, ms int64) outcome {
	if a.Verdict.Quiet {
		return quiet
	}
	of := ofDay{a.Family, a.Profile, a.Verdict.Label.Category}
	k := countKey{of, floorDiv(ms, dayMillis)}
	t := m.counts[k]
	if w, ok := m.windows[of]; !ok || outside(ms, w) {
		t.tries++
		m.windows[of] = ms
	}
	t.queries++
	m.counts[k] = t
	return counted
}

// addTally notes what is left of attempts whose details the spool had to give up.
func (m *merger) addTally(t *spool.Tally) {
	k := countKey{ofDay{t.Family, t.Profile, t.Category}, t.Day}
	have := m.counts[k]
	m.counts[k] = tally{have.tries + t.Tries, have.queries + t.Queries}
}

// outside reports whether ms does not belong to the window that opened at w.
// Attempts may arrive a little out of order, so one from just before belongs.
func outside(ms, w int64) bool { return ms-w >= windowMillis || w-ms >= windowMillis }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func newIncident(a *policy.Attempt, k key, ms int64, client string) *incident {
	v := &a.Verdict
	i := &incident{
		id: newID(ms), key: k,
		family: a.Family, profile: a.Profile, device: a.Device,
		first: ms, last: ms,
		details: details{
			Verdict: v.Action.String(), Reason: v.Reason.String(),
			Service: a.Service, List: a.List, Rule: v.Rule,
			Schedule: v.Schedule, Grant: v.Grant, Client: client,
			Revision: a.Revision, Window: ms, Tries: 1,
		},
	}
	kind := kindOf(a)
	if kind == offline {
		return i
	}
	i.Domain = registrable(a.Name).String()
	switch {
	case kind == routine || kind == probe:
		i.Bypass = Routine
	case v.Bypass != policy.NoBypass:
		i.Bypass = Attempt
	}
	if c := v.Label.Category; c != blocklists.NoCategory {
		i.Category = c.String()
	}
	if a.Hidden != "" {
		i.Hidden = a.Hidden.String()
	}
	if e := v.Entry(about(a)); e != "" {
		i.Entry = e.String()
	}
	if a.Pattern != "" {
		i.Entry = a.Pattern
	}
	return i
}

// ended reports whether an attempt at ms is no part of i any more.
func (i *incident) ended(ms int64) bool {
	return ms-i.last >= gapMillis || i.first-ms >= gapMillis // the latter after the clock was set back
}

// at notes that an open incident goes on. Why it was blocked stays as it was when
// it opened.
func (i *incident) at(ms int64) {
	i.first, i.last = min(i.first, ms), max(i.last, ms)
	if outside(ms, i.Window) {
		i.Tries++
		i.Window = ms
	}
}

// look counts what was asked for, and returns its name as it is counted, "" where it
// is not.
func (i *incident) look(a *policy.Attempt) string {
	i.Queries++
	if kindOf(a) == offline {
		return "" // what was asked for is nobody's business: it was not why it was blocked
	}
	if a.Verdict.Quiet {
		i.Embedded++
	}
	if !slices.Contains(i.Types, a.Type) && len(i.Types) < maxTypes {
		i.Types = append(i.Types, a.Type)
	}
	return i.addName(a.Name.String(), a.Verdict.Quiet, 1)
}

// addName counts a name in bounded memory (Metwally's space saving): where all
// places are taken, the new name inherits the place and count of the rarest.
// Counts are then upper bounds, and a name asked for more than an eighth of the
// time is never pushed out. It returns the name as it is kept.
func (i *incident) addName(name string, quiet bool, queries uint64) string {
	rarest := 0
	for n := range i.Names {
		if i.Names[n].Name == name {
			i.Names[n].Queries += queries
			return i.Names[n].Name
		}
		if i.Names[n].Queries < i.Names[rarest].Queries {
			rarest = n
		}
	}
	if len(i.Names) < maxNames {
		i.Names = append(i.Names, nameCount{name, queries, quiet})
		return name
	}
	i.Names[rarest].Name, i.Names[rarest].Quiet = name, quiet
	i.Names[rarest].Queries += queries
	return name
}

// insert makes i open, at the cost of the one touched longest ago if there are
// too many. What the store lacks of that one is still written.
func (m *merger) insert(i *incident) {
	if len(m.open) >= m.maxOpen {
		m.drop(m.oldest.next)
		m.closedEarly++
	}
	m.open[i.key] = i
	m.link(i)
	m.change(i)
}

func (m *merger) link(i *incident) {
	i.moved = i.last
	i.prev, i.next = m.oldest.prev, &m.oldest
	i.prev.next, i.next.prev = i, i
}

func (m *merger) unlink(i *incident) {
	i.prev.next, i.next.prev = i.next, i.prev
	i.prev, i.next = nil, nil
}

func (m *merger) touch(i *incident) {
	m.unlink(i)
	m.link(i)
}

func (m *merger) drop(i *incident) {
	m.settle(i)
	delete(m.open, i.key)
	m.unlink(i)
}

func (m *merger) change(i *incident) {
	if !i.queued {
		i.queued = true
		m.dirty = append(m.dirty, i)
	}
}

// held returns how much waits for the store.
func (m *merger) held() int { return len(m.dirty) + len(m.flight) + len(m.counts) }

// waits reports whether there is something to take.
func (m *merger) waits() bool { return len(m.dirty) > 0 || len(m.counts) > 0 || len(m.losses) > 0 }

// take returns all that changed, for the store. The caller says
// [merger.committed] or [merger.failed] before it takes more.
func (m *merger) take() Batch {
	b := Batch{Rows: make([]Row, 0, len(m.dirty)), Losses: m.losses}
	m.flight, m.dirty = m.dirty, nil
	m.lossesFlight, m.losses = m.losses, nil
	for _, i := range m.flight {
		m.settle(i)
		i.queued = false
		i.taken = i.Queries
		b.Rows = append(b.Rows, Row{
			Family: i.family, ID: i.id, Profile: i.profile, Device: i.device,
			First: fromMillis(i.first), Last: fromMillis(i.last),
			Key: i.key.String(), Details: i.encode(),
		})
	}
	if len(m.counts) > 0 {
		m.countsFlight, m.counts = m.counts, map[countKey]tally{}
		for k, t := range m.countsFlight {
			b.Counts = append(b.Counts, Count{
				Family: k.family, Profile: k.profile, Category: k.category.String(),
				Day:   fromMillis(k.day * dayMillis).Format(time.DateOnly),
				Tries: t.tries, Queries: t.queries,
			})
		}
	}
	return b
}

// committed notes that the store has what was taken.
func (m *merger) committed() {
	for _, i := range m.flight {
		i.saved = i.taken
	}
	m.flight, m.countsFlight, m.lossesFlight = nil, nil, nil
}

// failed puts back what was taken. An incident that changed again meanwhile has
// its place in dirty already.
func (m *merger) failed() {
	back := make([]*incident, 0, len(m.flight)+len(m.dirty))
	for _, i := range m.flight {
		if !i.queued {
			i.queued = true
			back = append(back, i)
		}
	}
	m.dirty = append(back, m.dirty...)
	for k, t := range m.countsFlight {
		now := m.counts[k]
		m.counts[k] = tally{now.tries + t.tries, now.queries + t.queries}
	}
	m.losses = append(m.lossesFlight, m.losses...)
	m.flight, m.countsFlight, m.lossesFlight = nil, nil, nil
}

// erase forgets what there is of a profile, or of a family where profile is 0.
// Nothing must be in flight.
func (m *merger) erase(family policy.FamilyID, profile policy.ProfileID) {
	of := func(f policy.FamilyID, p policy.ProfileID) bool { return f == family && (profile == 0 || p == profile) }
	for _, i := range m.open {
		if of(i.family, i.profile) {
			m.drop(i)
		}
	}
	m.dirty = slices.DeleteFunc(m.dirty, func(i *incident) bool { return of(i.family, i.profile) })
	maps.DeleteFunc(m.counts, func(k countKey, _ tally) bool { return of(k.family, k.profile) })
	maps.DeleteFunc(m.windows, func(k ofDay, _ int64) bool { return of(k.family, k.profile) })
	m.tidy()
}

// unsaved returns how many attempts the store does not have.
func (m *merger) unsaved() (n uint64) {
	m.settleAll()
	for _, i := range m.dirty {
		n += i.Queries - i.saved
	}
	for _, i := range m.flight {
		if !i.queued {
			n += i.Queries - i.saved
		}
	}
	for _, c := range [...]map[countKey]tally{m.counts, m.countsFlight} {
		for _, t := range c {
			n += t.queries
		}
	}
	return n
}

// sweep forgets the incidents that have ended by now, or that lie so far ahead
// that the clock was set back, and returns how many.
func (m *merger) sweep(now int64) (n int) {
	m.settleAll()
	for _, i := range m.open {
		if since := now - i.last; since >= gapMillis+late.Milliseconds() || -since >= gapMillis {
			m.drop(i)
			n++
		}
	}
	for of, w := range m.windows {
		if outside(now, w) {
			delete(m.windows, of)
		}
	}
	m.tidy()
	return n
}

// load takes up the incidents that a former run left open. rows come newest
// first. It returns how many could not be read.
func (m *merger) load(rows []Row) (bad int) {
	for _, r := range slices.Backward(rows) {
		d, err := decodeDetails(r.Details)
		k, ok := parseKey(r.Key)
		if err != nil || !ok {
			bad++
			continue
		}
		i := &incident{
			id: r.ID, key: k, family: r.Family, profile: r.Profile, device: r.Device,
			first: r.First.UnixMilli(), last: r.Last.UnixMilli(),
			details: *d, saved: d.Queries,
		}
		if old := m.open[k]; old != nil {
			m.drop(old)
		}
		if len(m.open) < m.maxOpen {
			m.open[k] = i
			m.link(i)
		}
	}
	return bad
}
