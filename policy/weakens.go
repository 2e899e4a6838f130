package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kinward/blocklists"
)

// Weakening is one way in which a change lowers protection.
type Weakening struct {
	Where string `json:"where"` // such as `profile "Lea"`
	What  string `json:"what"`
}

// String says where and what.
func (w Weakening) String() string { return w.Where + ": " + w.What }

// Weakens returns how a change from before to after lowers protection: what is
// blocked less or less often, what is recorded less, what devices are guarded
// less by, and who may decide more. It is pure; nothing where the families are
// equal.
//
// Schedules are compared by the very minutes that they block: in a week, in a
// week of holidays, and on each day that has an exception or becomes or stops
// being a holiday. Where a choice falls back to one that only the index knows (a
// service to its category, a list to its own), losing a block counts as
// weakening, since the delay of a loosening must not be got round.
func Weakens(before, after *Family, presets *Presets) []Weakening {
	w := &weighing{before: before, after: after, presets: presets, seen: map[Weakening]bool{}}
	w.family()
	for i := range after.Profiles {
		q := &after.Profiles[i]
		if p := before.ProfileByID(q.ID); p != nil {
			w.profile(p, q, func(what string) { w.add(fmt.Sprintf("profile %q", q.Name), "%s", what) })
		}
	}
	w.grants()
	w.devices()
	return w.found
}

// weighing compares two families.
type weighing struct {
	before, after *Family
	presets       *Presets
	found         []Weakening
	seen          map[Weakening]bool
	moves         map[[2]ProfileID]string // from a profile to another: how the second is weaker
}

func (w *weighing) add(where, format string, args ...any) {
	found := Weakening{where, fmt.Sprintf(format, args...)}
	if !w.seen[found] {
		w.seen[found] = true
		w.found = append(w.found, found)
	}
}

func (w *weighing) family() {
	a, b := w.before, w.after
	w.retention()
	if b.Loosening.Delay < a.Loosening.Delay {
		w.add("loosening", "changes that weaken protection wait %s, not %s", b.Loosening.Delay.Span(), a.Loosening.Delay.Span())
	}
	if a.Loosening.Second && !b.Loosening.Second {
		w.add("loosening", "changes that weaken protection need no second guardian any more")
	}
	for _, g := range b.Guardians {
		i := slices.IndexFunc(a.Guardians, func(o Guardian) bool { return o.ID == g.ID })
		switch {
		case i < 0 && g.Role >= Carer:
			w.add(fmt.Sprintf("guardian %q", g.Name), "another adult may change choices (%s)", g.Role)
		case i >= 0 && g.Role > a.Guardians[i].Role:
			w.add(fmt.Sprintf("guardian %q", g.Name), "the role is %s, not %s", g.Role, a.Guardians[i].Role)
		}
	}
	w.fewerAgree()
	if a.Zone != b.Zone {
		for i := range b.Profiles {
			if p := a.ProfileByID(b.Profiles[i].ID); p != nil && len(p.Schedules) > 0 {
				w.add("time zone", "schedules go by another clock: %s, not %s", zoneText(b.Zone), zoneText(a.Zone))
				break
			}
		}
	}
	for _, kind := range b.SignalsOff {
		if a.Signals(kind) {
			w.add("signals", "guardians do not hear of %s any more", kind)
		}
	}
	if what := w.move(a.Default, b.Default); a.Default != b.Default && what != "" {
		w.add("unknown devices", "%s", what)
	}
}

// fewerAgree looks for guardians who could agree to what weakens protection and no
// longer may: who picks the one who is asked has no second guardian.
func (w *weighing) fewerAgree() {
	if !w.before.Loosening.Second {
		return
	}
	for _, g := range w.before.Guardians {
		i := slices.IndexFunc(w.after.Guardians, func(o Guardian) bool { return o.ID == g.ID })
		if g.Role >= Carer && (i < 0 || w.after.Guardians[i].Role < Carer) {
			w.add(fmt.Sprintf("guardian %q", g.Name), "cannot agree any more to what weakens protection")
		}
	}
}

func zoneText(zone string) string {
	if zone == "" {
		return "the server's time zone"
	}
	return zone
}

// move says how a device that goes from a profile of before to one of after is
// guarded less, "" where it is not. Profile 0 is refused.
func (w *weighing) move(from, to ProfileID) string {
	if from == to || to == 0 {
		return ""
	}
	if from == 0 {
		return fmt.Sprintf("profile %s applies, and until now nothing was answered", w.after.profileName(to))
	}
	if what, ok := w.moves[[2]ProfileID{from, to}]; ok {
		return what
	}
	p, q := w.before.ProfileByID(from), w.after.ProfileByID(to)
	if p == nil || q == nil {
		return ""
	}
	var ways []string
	w.profile(p, q, func(what string) { ways = append(ways, what) })
	what := ""
	if len(ways) > 0 {
		what = fmt.Sprintf("profile %s applies, not %s, and that is weaker: %s", q.Name, p.Name, ways[0])
		if len(ways) > 1 {
			what += fmt.Sprintf(", and %d more", len(ways)-1)
		}
	}
	if w.moves == nil {
		w.moves = map[[2]ProfileID]string{}
	}
	w.moves[[2]ProfileID{from, to}] = what
	return what
}

// tenure is which profile a device has, until when, and which follows.
type tenure struct {
	now, later ProfileID
	until      time.Time // zero is never
}

func (f *Family) tenureOf(d *Device) tenure {
	switch {
	case d == nil:
		return tenure{now: f.Default, later: f.Default}
	case d.Until.IsZero():
		return tenure{now: d.Profile, later: d.Profile}
	case d.Then == 0:
		return tenure{d.Profile, f.Default, d.Until}
	}
	return tenure{d.Profile, d.Then, d.Until}
}

// devices compares who applies: device by device, and clue by clue where a
// device's clues changed, so that what moves to another device or to none is
// seen too.
func (w *weighing) devices() {
	for i := range w.after.Devices {
		d := &w.after.Devices[i]
		if o := w.before.deviceByID(d.ID); o != nil && sameClues(o, d) {
			w.tenures(d.Name, w.before.tenureOf(o), w.after.tenureOf(d))
		}
	}
	for _, f := range []*Family{w.before, w.after} {
		for i := range f.Devices {
			d := &f.Devices[i]
			o, n := w.before.deviceByID(d.ID), w.after.deviceByID(d.ID)
			if o != nil && n != nil && sameClues(o, n) {
				continue
			}
			for _, clue := range d.single() {
				for _, o := range w.before.known(&clue) {
					for _, n := range w.after.known(&clue) {
						w.tenures(d.Name, w.before.tenureOf(o), w.after.tenureOf(n))
					}
				}
			}
		}
	}
}

func (f *Family) deviceByID(id DeviceID) *Device {
	for i := range f.Devices {
		if f.Devices[i].ID == id {
			return &f.Devices[i]
		}
	}
	return nil
}

// single returns d once for each of its clues.
func (d *Device) single() (out []Device) {
	for _, n := range d.Networks {
		out = append(out, Device{Networks: []netip.Prefix{n}})
	}
	for _, m := range d.MACs {
		out = append(out, Device{MACs: []MAC{m}})
	}
	for _, t := range d.Tokens {
		out = append(out, Device{Tokens: []string{t}})
	}
	return out
}

// known returns the devices that a single clue leads to, nil among them where it,
// or an address of it, leads to none.
func (f *Family) known(clue *Device) (out []*Device) {
	whole := false
	for i := range f.Devices {
		d := &f.Devices[i]
		if sharedClue(clue, d) == nil {
			continue
		}
		out = append(out, d)
		whole = whole || len(clue.Networks) == 0 || slices.ContainsFunc(d.Networks, func(n netip.Prefix) bool {
			return n.Bits() <= clue.Networks[0].Bits()
		})
	}
	if !whole {
		out = append(out, nil)
	}
	return out
}

func sameClues(a, b *Device) bool {
	return slices.Equal(a.Networks, b.Networks) && slices.Equal(a.MACs, b.MACs) && slices.Equal(a.Tokens, b.Tokens)
}

func (w *weighing) tenures(name string, a, b tenure) {
	type step struct{ from, to ProfileID }
	steps := []step{{a.now, b.now}, {a.later, b.later}}
	switch {
	case a.until.Equal(b.until):
	case b.until.IsZero(), !a.until.IsZero() && a.until.Before(b.until):
		steps = append(steps, step{a.later, b.now})
	default:
		steps = append(steps, step{a.now, b.later})
	}
	for _, s := range steps {
		if what := w.move(s.from, s.to); what != "" {
			w.add(fmt.Sprintf("device %q", name), "%s", what)
		}
	}
}

func (w *weighing) grants() {
	for _, g := range w.after.Grants {
		i := slices.IndexFunc(w.before.Grants, func(o Grant) bool { return o.ID == g.ID })
		if i >= 0 {
			if o := w.before.Grants[i]; o.What == g.What && o.Profile == g.Profile && !g.Until.After(o.Until) && !g.From.Before(o.From) {
				continue
			}
		}
		w.add(fmt.Sprintf("profile %q", w.after.profileName(g.Profile)), "%s is granted until %s", w.after.targetText(g.What), g.Until.UTC().Format(time.RFC3339))
	}
}

// profile says how q, a profile of after, is weaker than p, one of before.
func (w *weighing) profile(p, q *Profile, say func(string)) {
	if q.Paused.Before(p.Paused) {
		say("the pause ends early")
	}
	if q.Guests && !p.Guests {
		say("what is tried is counted, not named, since it is for guests")
	}
	if p.guardsBypass() && !q.guardsBypass() {
		say("names that lead past the filter are not blocked any more")
	}
	w.search(p, q, say)
	t := newTimes(w.before, w.after, p, q)
	if at, lost := t.loses(Target{}, false, false); lost {
		say("everything is blocked at fewer times: not " + at)
	}
	w.categories(p, q, t, say)
	w.own(p.Services, q.Services, "service", func(id string) Target { return Target{Kind: ForService, Service: id} }, t, say)
	w.own(p.Lists, q.Lists, "list", nil, t, say)
	w.rules(p, q, t, say)
}

// search compares safe modes, engine by engine.
func (w *weighing) search(p, q *Profile, say func(string)) {
	safe := w.presets.safe
	was, is := safe.Modes(p.Preset, p.Search), safe.Modes(q.Preset, q.Search)
	weaker := map[Search][]string{}
	for i, e := range safe.Engines() {
		if mode := is[i+1]; mode.strength() < was[i+1].strength() {
			weaker[mode] = append(weaker[mode], e.ID)
		}
	}
	for _, mode := range slices.Sorted(maps.Keys(weaker)) {
		engines := "search engine "
		if len(weaker[mode]) > 1 {
			engines = "search engines "
		}
		say(fmt.Sprintf("the safe mode of %s%s is %s", engines, strings.Join(weaker[mode], ", "), mode))
	}
}

func (w *weighing) categories(p, q *Profile, t *times, say func(string)) {
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		a, b := p.choice(c, w.presets), q.choice(c, w.presets)
		target := Target{Kind: ForCategory, Category: c}
		if at, lost := t.loses(target, a.Action() == Block, b.Action() == Block); lost {
			if t.always {
				say(fmt.Sprintf("category %s is %q, not %q", c, b, a))
			} else {
				say(fmt.Sprintf("category %s is blocked at fewer times: not %s", c, at))
			}
			continue
		}
		switch {
		case b.Action() > a.Action():
		case b.Action() < a.Action() && a.Action() != Block, b.Action() == a.Action() && b.Keep() < a.Keep():
			say(fmt.Sprintf("of category %s less is recorded (%s, not %s)", c, b.Keep(), a.Keep()))
		case a == ChooseBlock && b == ChooseDigest:
			say(fmt.Sprintf("attempts at category %s are told in the digest, not at once", c))
		}
	}
}

// own compares choices whose fallback only the index knows.
func (w *weighing) own(p, q map[string]Choice, kind string, target func(string) Target, t *times, say func(string)) {
	ids := map[string]bool{}
	for id := range p {
		ids[id] = true
	}
	for id := range q {
		ids[id] = true
	}
	if target != nil {
		for _, id := range t.services() {
			ids[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		a, had := p[id]
		b, has := q[id]
		blockedA, blockedB := had && a.Action() == Block, has && b.Action() == Block
		at, lost := "", blockedA && !blockedB
		if target != nil {
			if at, lost = t.loses(target(id), blockedA, blockedB); lost && !t.always {
				say(fmt.Sprintf("%s %s is blocked at fewer times: not %s", kind, id, at))
				continue
			}
		}
		switch {
		case lost && has:
			say(fmt.Sprintf("%s %s is %q, not %q", kind, id, b, a))
		case lost:
			say(fmt.Sprintf("%s %s is not %q any more", kind, id, a))
		case has && !had && !blockedB:
			say(fmt.Sprintf("%s %s is %q, whatever it was", kind, id, b))
		case !has || !had || b.Action() > a.Action():
		case b.Action() < a.Action() && !blockedA, b.Action() == a.Action() && b.Keep() < a.Keep():
			say(fmt.Sprintf("of %s %s less is recorded (%s, not %s)", kind, id, b.Keep(), a.Keep()))
		case a == ChooseBlock && b == ChooseDigest:
			say(fmt.Sprintf("attempts at %s %s are told in the digest, not at once", kind, id))
		}
	}
}

// rules compares rules by what they are about: a deny rule that goes or holds
// less, and an allow rule that comes or holds more.
func (w *weighing) rules(p, q *Profile, t *times, say func(string)) {
	denies := ruleIndex(q.Rules, false)
	for i := range p.Rules {
		r := &p.Rules[i]
		switch {
		case r.Allow || denies.cover(r, func(o *Rule) bool { return t.within(r, o, false) }):
		case denies[aboutOf(r)] != nil:
			say("rule " + RuleText(*r) + " holds less")
		default:
			say("rule " + RuleText(*r) + " is gone")
		}
	}
	allows := ruleIndex(p.Rules, true)
	for i := range q.Rules {
		r := &q.Rules[i]
		switch {
		case !r.Allow || allows.cover(r, func(o *Rule) bool { return t.within(o, r, true) }):
		case allows[aboutOf(r)] != nil:
			say("rule " + RuleText(*r) + " holds more")
		default:
			say("rule " + RuleText(*r) + " is new")
		}
	}
}

// ruleKey is what two rules that are about the same have in common.
type ruleKey struct {
	name  blocklists.Name
	match Match
}

func aboutOf(r *Rule) ruleKey { return ruleKey{r.Name, r.Match} }

// ruleTable holds a profile's allow or deny rules by what they are about.
type ruleTable map[ruleKey]*Rule

func ruleIndex(rules []Rule, allow bool) ruleTable {
	t := ruleTable{}
	for i := range rules {
		if r := &rules[i]; r.Allow == allow {
			t[aboutOf(r)] = r
		}
	}
	return t
}

// cover reports whether one of the rules is about all that r is about, for as
// long, and holds whenever r does.
func (t ruleTable) cover(r *Rule, whenever func(o *Rule) bool) bool {
	holds := func(name blocklists.Name, m Match) bool {
		o := t[ruleKey{name, m}]
		return o != nil && (o.Until.IsZero() || !r.Until.IsZero() && !o.Until.Before(r.Until)) && whenever(o)
	}
	if holds(r.Name, r.Match) {
		return true
	}
	if r.Match == MatchGlob {
		return false
	}
	if r.Match != MatchSuffix && holds(r.Name, MatchSuffix) {
		return true
	}
	for n := r.Name.Parent(); n != ""; n = n.Parent() {
		if holds(n, MatchSuffix) || holds(n, MatchBelow) {
			return true
		}
	}
	return false
}

// Sentences returns weakenings as one text, a line each.
func Sentences(list []Weakening) string {
	lines := make([]string, len(list))
	for i, w := range list {
		lines[i] = w.String()
	}
	return strings.Join(lines, "\n")
}
