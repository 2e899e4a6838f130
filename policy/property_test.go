package policy

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/blocklists"
)

// asked are names of every kind, for the properties to be about.
var asked = []string{
	"wikipedia.org", "www.tiktok.com", "v16.tiktokcdn.com", "byteoversea.com", "omegle.com", "cam.omegle.com", "x.fbcdn.net",
	"www.facebook.com", "old.reddit.com", "art.reddit.com", "both.example", "date.example", "adult.example", "quake.example",
	"stream.example", "phish.example", "childline.org.uk", "captive.apple.com", "kinward.home.arpa", "nordvpn.com", "dns.google",
	"mask.icloud.com", "www.google.com", "www.youtube.com", "duckduckgo.com", "snap.com", "www.roblox.com", "web.whatsapp.com",
}

type drawer struct {
	*rapid.T
	rules RuleID
	times time.Time // about when things happen
}

func pick[T any](t *drawer, what string, all ...T) T { return rapid.SampledFrom(all).Draw(t.T, what) }

func (t *drawer) choice() Choice {
	return pick(t, "choice", ChooseAllow, ChooseWatch, ChooseTally, ChooseHide, ChooseDigest, ChooseBlock, ChooseCount)
}

func (t *drawer) category() blocklists.Category {
	return pick(t, "category", blocklists.AnonymousChat, blocklists.Dating, blocklists.Adult, blocklists.Social, blocklists.Messaging,
		blocklists.VPNProxy, blocklists.EncryptedDNS, blocklists.KnownRiskCategory, blocklists.GamesChat, blocklists.Piracy)
}

func (t *drawer) service() string {
	return pick(t, "service", "tiktok", "reddit", "facebook", "instagram", "roblox", "whatsapp", "snapchat", "apple-private-relay")
}

func (t *drawer) name() blocklists.Name { return blocklists.MustName(pick(t, "name", asked...)) }

// minute draws a whole minute within half a day of t's time.
func (t *drawer) minute() time.Time {
	return t.times.Add(time.Duration(rapid.IntRange(-720, 720).Draw(t.T, "minute")) * time.Minute)
}

func (t *drawer) rule() Rule {
	t.rules++
	r := Rule{ID: t.rules, Name: t.name(), Match: Match(rapid.IntRange(0, 3).Draw(t.T, "match")), Allow: rapid.Bool().Draw(t.T, "allow")}
	if rapid.Bool().Draw(t.T, "parent") {
		r.Name = r.Name.Parent()
	}
	if r.Match == MatchGlob {
		r.Name = blocklists.MustName(pick(t, "pattern", "*tok*", "w*.tiktok.com", "*.com", "ads*.example", "*.example"))
	}
	if rapid.Bool().Draw(t.T, "ends") {
		r.Until = t.minute()
	}
	return r
}

func (t *drawer) target(kinds ...TargetKind) Target {
	what := Target{Kind: pick(t, "target", kinds...)}
	switch what.Kind {
	case ForCategory:
		what.Category = t.category()
	case ForService:
		what.Service = t.service()
	case ForName:
		what.Name = t.name()
	case ForRule:
		what.Rule = RuleID(rapid.IntRange(1, 5).Draw(t.T, "rule"))
	}
	return what
}

func (t *drawer) schedule(id ScheduleID, effect Effect, kinds ...TargetKind) Schedule {
	return Schedule{ID: id, What: t.target(kinds...), Effect: effect, Windows: rapid.SliceOfN(rapid.Custom(drawWindow), 1, 2).Draw(t.T, "windows")}
}

func (t *drawer) grant(id GrantID) Grant {
	g := Grant{ID: id, What: t.target(ForEverything, ForCategory, ForService, ForName), From: t.minute()}
	g.Until = g.From.Add(time.Duration(rapid.IntRange(1, 600).Draw(t.T, "lasts")) * time.Minute)
	return g
}

// family draws a family with one profile, about a time.
func (t *drawer) family() *Family {
	p := Profile{
		ID: 1, Preset: Preset(rapid.IntRange(0, int(numPresets)-1).Draw(t.T, "preset")), Guests: rapid.Bool().Draw(t.T, "guests"),
		Categories: map[blocklists.Category]Choice{}, Services: map[string]Choice{}, Lists: map[string]Choice{}, Log: map[blocklists.Category]Keep{},
	}
	for range rapid.IntRange(0, 3).Draw(t.T, "choices") {
		p.Categories[t.category()] = t.choice()
		p.Services[t.service()] = t.choice()
		p.Lists[pick(t, "list", "careless", "dating", "games", "shows")] = t.choice()
		p.Log[t.category()] = Keep(rapid.IntRange(0, 2).Draw(t.T, "keep"))
	}
	for range rapid.IntRange(0, 4).Draw(t.T, "rules") {
		p.Rules = append(p.Rules, t.rule())
	}
	for i := range rapid.IntRange(0, 3).Draw(t.T, "schedules") {
		p.Schedules = append(p.Schedules, t.schedule(ScheduleID(i+1), Effect(rapid.IntRange(0, 1).Draw(t.T, "effect")), ForEverything, ForCategory, ForService, ForRule))
	}
	if rapid.IntRange(0, 3).Draw(t.T, "paused") == 0 {
		p.Paused = t.minute()
	}
	if rapid.Bool().Draw(t.T, "has bypass") {
		on := rapid.Bool().Draw(t.T, "bypass")
		p.Bypass = &on
	}
	f := &Family{Zone: pick(t, "zone", zones...), Default: 1, Profiles: []Profile{p}}
	for i := range rapid.IntRange(0, 2).Draw(t.T, "grants") {
		g := t.grant(GrantID(i + 1))
		g.Profile = 1
		f.Grants = append(f.Grants, g)
	}
	return f
}

// properties runs check on drawn families, about the days on which clocks change.
func properties(t *testing.T, check func(*drawer, *basis, *Family)) {
	x := decisionIndex(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	b := newBasis(presets, x)
	rapid.Check(t, func(t *rapid.T) {
		day := rapid.SampledFrom([]time.Time{
			time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
			time.Date(2026, 10, 3, 15, 30, 0, 0, time.UTC), time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC),
		}).Draw(t, "day")
		d := &drawer{T: t, times: day}
		check(d, b, d.family())
	})
}

func compiled(t *drawer, b *basis, f *Family) *Policy {
	src := sourceOf(f, &f.Profiles[0], b.presets)
	p, err := compilePolicy(b, &src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func cloned(f *Family) *Family {
	c := *f
	c.Profiles = []Profile{f.Profiles[0]}
	c.Grants = slices.Clone(f.Grants)
	p := &c.Profiles[0]
	p.Rules, p.Schedules = slices.Clone(p.Rules), slices.Clone(p.Schedules)
	return &c
}

// TestMoreBlockingNeverAllowsMore: whatever is blocked stays so when a guardian
// adds a deny rule, a bedtime, hours in which a category or a service is closed,
// or a pause, takes a grant back, or drops a rule that allows.
func TestMoreBlockingNeverAllowsMore(t *testing.T) {
	properties(t, func(t *drawer, b *basis, f *Family) {
		stricter := cloned(f)
		p := &stricter.Profiles[0]
		switch kind := pick(t, "added", "rule", "schedule", "pause", "grant", "allow"); kind {
		case "rule":
			r := t.rule()
			r.ID, r.Allow = 100, false
			p.Rules = append(p.Rules, r)
		case "schedule":
			p.Schedules = append(p.Schedules, t.schedule(100, Blocks, ForEverything, ForCategory, ForService))
		case "pause":
			if until := t.minute(); until.After(p.Paused) {
				p.Paused = until
			}
		case "grant":
			stricter.Grants = nil
		case "allow":
			p.Rules = slices.DeleteFunc(p.Rules, func(r Rule) bool { return r.Allow })
		}
		before, after := compiled(t, b, f), compiled(t, b, stricter)
		for range 10 {
			q := Ask(b.index, t.name(), TypeA, t.minute())
			was, is := Decide(before, q), Decide(after, q)
			if was.Action == Block && is.Action != Block {
				t.Fatalf("%s at %s is blocked by %s, and with more blocking: %s by %s", q.Name, q.Time, was.Reason, is.Action, is.Reason)
			}
		}
	})
}

// TestOrderDoesNotMatter: rules, schedules and grants are sets.
func TestOrderDoesNotMatter(t *testing.T) {
	properties(t, func(t *drawer, b *basis, f *Family) {
		other := cloned(f)
		p := &other.Profiles[0]
		p.Rules = rapid.Permutation(p.Rules).Draw(t.T, "other order of rules")
		slices.Reverse(p.Schedules)
		slices.Reverse(other.Grants)
		one, two := compiled(t, b, f), compiled(t, b, other)
		for range 10 {
			q := Ask(b.index, t.name(), TypeA, t.minute())
			v, w := Decide(one, q), Decide(two, q)
			v.Schedule, w.Schedule = 0, 0 // of several that say the same, one is shown
			v.Grant, w.Grant = 0, 0
			if v != w {
				t.Fatalf("%s at %s: %+v in one order, %+v in another", q.Name, q.Time, v, w)
			}
		}
	})
}

// TestDecideIsTotal: whatever the labels and the time, there is a verdict, it is
// pure, and Explain tells the same.
func TestDecideIsTotal(t *testing.T) {
	properties(t, func(t *drawer, b *basis, f *Family) {
		p := compiled(t, b, f)
		d, err := NewDirectory(f, b.presets, b.index, 1)
		if err != nil {
			t.Fatal(err)
		}
		s := &State{Index: b.index, Directory: d}
		for range 5 {
			q := Question{Name: t.name(), Time: t.minute()}
			for range rapid.IntRange(0, 4).Draw(t.T, "labels") {
				q.Labels = append(q.Labels, blocklists.Label{
					Category: blocklists.Category(rapid.IntRange(0, int(blocklists.NumCategories)-1).Draw(t.T, "label")),
					Marks:    blocklists.Marks(rapid.IntRange(0, 63).Draw(t.T, "marks")), Depth: uint8(rapid.IntRange(0, 4).Draw(t.T, "depth")),
					Group: blocklists.GroupID(rapid.IntRange(0, 255).Draw(t.T, "group")), Service: blocklists.ServiceID(rapid.IntRange(0, 65535).Draw(t.T, "service")),
					List: blocklists.ListID(rapid.IntRange(0, 9).Draw(t.T, "list")),
				})
			}
			v := Decide(p, q)
			if again := decide(p, q, p.phaseThen(q.Time.Unix()), &trail{words: func(Verdict, Question) string { return "" }}); again != v {
				t.Fatalf("deciding twice: %+v, %+v", v, again)
			}
			if (v.Action == Rewrite) != (v.Target != "") || v.Keep == KeepItem && f.Profiles[0].Guests {
				t.Fatalf("%+v", v)
			}
			v = Decide(p, Ask(b.index, q.Name, TypeA, q.Time))
			if e := Explain(s, Asker{Family: f.ID, Profile: 1, Policy: p}, f, q.Name, TypeA, q.Time); e.Verdict != v.Action.String() || e.Reason != v.Reason.String() {
				t.Fatalf("Explain says %s by %s, Decide %s by %s", e.Verdict, e.Reason, v.Action, v.Reason)
			}
		}
	})
}

// TestGrantNeverOutlivesItsEnd: before it begins and from its end on a grant
// changes nothing.
func TestGrantNeverOutlivesItsEnd(t *testing.T) {
	properties(t, func(t *drawer, b *basis, f *Family) {
		f.Grants = f.Grants[:min(len(f.Grants), 1)]
		g := t.grant(50)
		g.Profile = 1
		with := cloned(f)
		with.Grants = append(with.Grants, g)
		plain, granted := compiled(t, b, f), compiled(t, b, with)
		for _, at := range []time.Time{g.From.Add(-time.Second), g.Until, g.Until.Add(time.Hour), t.minute()} {
			if !at.Before(g.From) && at.Before(g.Until) {
				continue
			}
			q := Ask(b.index, t.name(), TypeA, at)
			v, w := Decide(plain, q), Decide(granted, q)
			if v.Action == Block { // a grant to come below the name keeps it from being denied with all below
				v.NoData, w.NoData = false, false
			}
			if v != w {
				t.Fatalf("%s at %s, with a grant from %s until %s: %+v; without: %+v", q.Name, at, g.From, g.Until, w, v)
			}
		}
	})
}

// TestChangesAtAgreesWithEveryMinute walks from minute to minute to the first one
// at which a name's action is another.
func TestChangesAtAgreesWithEveryMinute(t *testing.T) {
	properties(t, func(t *drawer, b *basis, f *Family) {
		p := compiled(t, b, f)
		start, n := t.minute(), t.name()
		q := Ask(b.index, n, TypeA, start)
		horizon := start.Add(6 * time.Hour)
		got := ChangesAt(b.index, p, q, TypeA, horizon)
		now := Decide(p, q)
		var want time.Time
		for at := start; !at.After(horizon); at = at.Add(time.Minute) {
			if v := Decide(p, Ask(b.index, n, TypeA, at)); v.Action != now.Action || v.Target != now.Target {
				want = at
				break
			}
			if next := p.NextChange(at); !next.IsZero() && !next.After(at) {
				t.Fatalf("after %s the next change is at %s", at, next)
			}
		}
		if !got.Equal(want) {
			t.Fatalf("%s at %s is %s by %s: it changes at %s; ChangesAt says %s", n, start, now.Action, now.Reason, want, got)
		}
	})
}

// TestSourceLeavesOutWhatHasNoEffect: what has no effect
// keeps nobody from sharing a policy.
func TestSourceLeavesOutWhatHasNoEffect(t *testing.T) {
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	on := true
	plain := &Family{ID: 1, Profiles: []Profile{{ID: 1, Preset: BandC}}}
	same := &Family{ID: 2, Name: "others", Zone: "Asia/Tokyo", Holidays: []Holiday{{Name: "a day"}}, Profiles: []Profile{{
		ID: 9, Name: "Ann", Preset: BandC, Bypass: &on, Schedules: []Schedule{{ID: 3, Name: "rests", Off: true}},
		Categories: map[blocklists.Category]Choice{blocklists.Dating: ChooseBlock},
	}}, Grants: []Grant{{ID: 4, Profile: 8}}}
	if got, want := keyOf(t, same, presets), keyOf(t, plain, presets); got != want {
		t.Errorf("the source is %s; want %s", got, want)
	}
	same.Profiles[0].Categories[blocklists.Dating] = ChooseCount
	if keyOf(t, same, presets) == keyOf(t, plain, presets) {
		t.Error("another choice makes no other source")
	}
}

func keyOf(t *testing.T, f *Family, presets *Presets) string {
	t.Helper()
	src := sourceOf(f, &f.Profiles[0], presets)
	key, err := json.Marshal(&src)
	if err != nil {
		t.Fatal(err)
	}
	return string(key)
}
