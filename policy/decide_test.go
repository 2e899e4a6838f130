package policy

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/blocklists"
)

// at is when the tests' questions are asked.
var at = time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC)

// world is a household to decide in: the embedded catalogue, careless and
// useful lists, and profiles that differ in one thing each.
type world struct {
	*State
	presets  *Presets
	family   *Family
	profiles map[string]Asker
}

// compile compiles a profile of a family without a time zone.
func (w *world) compile(p *Profile) (*Policy, error) {
	src := sourceOf(&Family{}, p, w.presets)
	return compilePolicy(newBasis(w.presets, w.Index), &src)
}

func list(id string, c blocklists.Category, names ...string) blocklists.ListInput {
	return blocklists.ListInput{ID: id, Name: id, Category: c, Entries: func(emit func(blocklists.Entry) error) error {
		for _, n := range names {
			exact := strings.HasPrefix(n, "=")
			if err := emit(blocklists.Entry{Name: blocklists.MustName(strings.TrimPrefix(n, "=")), Exact: exact}); err != nil {
				return err
			}
		}
		return nil
	}}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(c, []blocklists.ListInput{
		list("danger", blocklists.Security, "phish.example", "grindr.com", "childline.org.uk"),
		list("careless", blocklists.Adult, "childline.org.uk", "gstatic.com", "adult.example", "both.example", "=single.example", "reddit.com", "art.reddit.com"),
		list("dating", blocklists.Dating, "both.example", "date.example", "hookup.example"),
		list("escorts", blocklists.SexAds, "hookup.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	rule := func(id RuleID, name string, allow, exact bool, until time.Time) Rule {
		m := MatchSuffix
		if exact {
			m = MatchExact
		}
		return Rule{ID: id, Name: blocklists.MustName(name), Allow: allow, Match: m, Until: until}
	}
	var never time.Time
	f := &Family{ID: 1, Name: "Home", Default: 1, Profiles: []Profile{
		{ID: 1, Name: "A", Preset: BandA},
		{ID: 2, Name: "B", Preset: BandB},
		{ID: 3, Name: "C", Preset: BandC},
		{ID: 4, Name: "D", Preset: BandD},
		{ID: 5, Name: "E", Preset: BandE},
		{ID: 6, Name: "adult", Preset: Adult},
		{ID: 7, Name: "rules", Preset: BandC, Rules: []Rule{
			rule(1, "omegle.com", true, false, never),
			rule(2, "bad.omegle.com", false, false, never),
			rule(3, "wikipedia.org", false, false, never),
			rule(4, "en.wikipedia.org", true, true, never),
			rule(5, "tie.example", true, false, never),
			rule(6, "tie.example", false, false, never),
			rule(7, "captive.apple.com", false, true, never),
			rule(8, "apple.com", false, false, never),
			rule(9, "soon.example", false, false, at.Add(time.Hour)),
			rule(10, "past.example", false, false, at.Add(-time.Hour)),
			rule(11, "childline.org.uk", false, false, never),
			rule(12, "phish.example", true, false, never),
			rule(14, "uk", false, false, never),
			rule(13, "room.tinder.com", true, false, never),
		}},
		{ID: 8, Name: "services", Preset: BandC, Services: map[string]Choice{
			"tiktok": ChooseAllow, "reddit": ChooseAllow, "roblox": ChooseBlock, "facebook": ChooseBlock, "snapchat": ChooseBlock,
			"no-such-service": ChooseBlock,
		}},
		{ID: 9, Name: "meta", Preset: Adult, Services: map[string]Choice{
			"facebook": ChooseBlock, "instagram": ChooseBlock, "messenger": ChooseBlock, "threads": ChooseBlock, "whatsapp": ChooseBlock,
		}},
		{ID: 10, Name: "categories", Preset: BandE, Categories: map[blocklists.Category]Choice{
			blocklists.Dating: ChooseAllow, blocklists.Social: ChooseDigest,
		}},
	}}
	d, err := NewDirectory(f, presets, x, 7)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{State: &State{Index: x, Directory: d}, presets: presets, family: f, profiles: map[string]Asker{}}
	for _, p := range f.Profiles { // each profile in turn as the household's
		f.Default = p.ID
		d, err := NewDirectory(f, presets, x, 7)
		if err != nil {
			t.Fatal(err)
		}
		w.profiles[p.Name], _ = d.Household()
	}
	return w
}

func (w *world) decide(profile, name string) Verdict {
	return Decide(w.profiles[profile].Policy, Ask(w.Index, blocklists.MustName(name), TypeA, at))
}

// TestDecide is the specification of what happens to a name, row by row.
func TestDecide(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name    string
		profile string
		asked   string
		action  Action
		reason  Reason
		keep    Keep
	}{
		// The twelve apps of the parents' guide, at the age Kinward starts with.
		{"Omegle", "C", "omegle.com", Block, ByCategory, KeepItem},
		{"Chatroulette", "C", "chatroulette.com", Block, ByCategory, KeepItem},
		{"MeetMe", "C", "www.meetme.com", Block, ByCategory, KeepItem},
		{"Bumble", "C", "bumble.com", Block, ByCategory, KeepItem},
		{"LiveMe", "C", "liveme.com", Block, ByCategory, KeepItem},
		{"Grindr", "C", "grindr.mobi", Block, ByCategory, KeepItem},
		{"TikTok", "C", "www.tiktok.com", Block, ByKnownRisk, KeepItem},
		{"Holla", "C", "holla.world", Block, ByCategory, KeepItem},
		{"Skout", "C", "skout.com", Block, ByCategory, KeepItem},
		{"Kik", "C", "kik.com", Block, ByKnownRisk, KeepItem},
		{"Hot or Not", "C", "hotornot.com", Block, ByCategory, KeepItem},
		{"Snapchat", "C", "app.snapchat.com", Block, ByKnownRisk, KeepItem},

		{"a name nobody lists", "A", "wikipedia.org", Allow, ByDefault, KeepNothing},
		{"help, though two lists name it", "A", "www.childline.org.uk", Allow, ByHelp, KeepNothing},
		{"help, against a rule of the family", "rules", "childline.org.uk", Allow, ByHelp, KeepNothing},
		{"danger, for an adult too, unrecorded", "adult", "www.phish.example", Block, BySecurity, KeepNothing},
		{"danger, for a child", "C", "phish.example", Block, BySecurity, KeepItem},
		{"danger comes before the category", "C", "grindr.com", Block, BySecurity, KeepItem},
		{"danger is not lifted by a rule", "rules", "phish.example", Block, BySecurity, KeepItem},
		{"plumbing, though a list names its parent", "A", "connectivitycheck.gstatic.com", Allow, ByPlumbing, KeepNothing},
		{"Android's Private DNS probe", "A", "a1b2-dnsotls-ds.metric.gstatic.com", Allow, ByPlumbing, KeepNothing},
		{"plumbing, denied by exactly its name", "rules", "captive.apple.com", Block, ByRule, KeepItem},
		{"plumbing, not denied by a rule for its parent", "rules", "mesu.apple.com", Allow, ByPlumbing, KeepNothing},
		{"the rule for the parent holds elsewhere", "rules", "www.apple.com", Block, ByRule, KeepItem},

		{"a rule against the category", "rules", "omegle.com", Allow, ByRule, KeepNothing},
		{"a rule covers what is below", "rules", "www.omegle.com", Allow, ByRule, KeepNothing},
		{"a more specific rule wins", "rules", "x.bad.omegle.com", Block, ByRule, KeepItem},
		{"an exact rule for its name", "rules", "en.wikipedia.org", Allow, ByRule, KeepNothing},
		{"and not for a name below", "rules", "m.en.wikipedia.org", Block, ByRule, KeepItem},
		{"deny wins a tie", "rules", "tie.example", Block, ByRule, KeepItem},
		{"a rule that has not ended", "rules", "soon.example", Block, ByRule, KeepItem},
		{"a rule that has ended", "rules", "past.example", Allow, ByDefault, KeepNothing},

		{"a service allowed by itself, against known-risk", "services", "www.tiktok.com", Allow, ByService, KeepNothing},
		{"a service blocked by itself", "services", "www.roblox.com", Block, ByService, KeepItem},
		{"a list's more specific entry outlives an allowed service", "services", "art.reddit.com", Block, ByCategory, KeepItem},
		{"the rest of that service", "services", "old.reddit.com", Allow, ByService, KeepNothing},
		{"a shared domain while others of the group are open", "services", "x.fbcdn.net", Allow, ByDefault, KeepNothing},
		{"a shared domain when all of the group are blocked", "meta", "x.fbcdn.net", Block, ByService, KeepItem},
		{"a shared domain of a group with services we do not know", "C", "byteoversea.com", Allow, ByDefault, KeepNothing},
		{"an optional domain of a category's service", "C", "snap.com", Allow, ByDefault, KeepNothing},
		{"an optional domain of a chosen service", "services", "snap.com", Block, ByService, KeepItem},

		{"counted, whichever list is shown first", "E", "hookup.example", Block, ByCategory, KeepCount},
		{"dating at 16: counted, never named", "E", "tinder.com", Block, ByCategory, KeepCount},
		{"dating at 16, though an adult list names it too", "E", "both.example", Block, ByCategory, KeepCount},
		{"known risk at 16 alone: watched", "E", "www.tiktok.com", Watch, ByKnownRisk, KeepItem},
		{"dating at 16, with known risk", "E", "meetme.com", Block, ByCategory, KeepCount},
		{"a category allowed against the preset", "categories", "tinder.com", Allow, ByDefault, KeepNothing},
		{"a category blocked against the preset", "categories", "instagram.com", Block, ByCategory, KeepItem},
		{"messaging at 11: watched", "C", "web.whatsapp.com", Watch, ByCategory, KeepItem},
		{"messaging at 8: blocked", "B", "web.whatsapp.com", Block, ByCategory, KeepItem},
		{"messaging at 13: nothing", "D", "web.whatsapp.com", Allow, ByDefault, KeepNothing},
		{"an adult's own business", "adult", "omegle.com", Allow, ByDefault, KeepNothing},
		{"an exact entry", "C", "single.example", Block, ByCategory, KeepItem},
		{"below an exact entry", "C", "x.single.example", Allow, ByDefault, KeepNothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := w.decide(tt.profile, tt.asked)
			if v.Action != tt.action || v.Reason != tt.reason || v.Keep != tt.keep {
				t.Errorf("%s for %s: %s by %s, kept %d; want %s by %s, kept %d",
					tt.asked, tt.profile, v.Action, v.Reason, v.Keep, tt.action, tt.reason, tt.keep)
			}
			e := Explain(w.State, w.profiles[tt.profile], w.family, blocklists.MustName(tt.asked), TypeA, at)
			if e.Verdict != v.Action.String() || e.Reason != v.Reason.String() {
				t.Errorf("Explain says %s by %s; Decide says %s by %s", e.Verdict, e.Reason, v.Action, v.Reason)
			}
			settled := 0
			for _, s := range e.Steps {
				if s.Settled {
					settled++
				}
			}
			if last := e.Steps[len(e.Steps)-1]; settled != 1 || !last.Settled || !strings.Contains(e.Sentence, last.Found) {
				t.Errorf("Explain's steps do not end with the one that settled: %+v", e.Steps)
			}
		})
	}
}

// TestSeriousness: of several reasons a parent is shown the most serious.
func TestSeriousness(t *testing.T) {
	w := newWorld(t)
	v := w.decide("C", "both.example")
	if v.Label.Category != blocklists.Dating || w.Index.List(v.Label.List).ID != "dating" {
		t.Errorf("both.example is shown as %s of %s; want dating, which is more serious than adult", v.Label.Category, w.Index.List(v.Label.List).ID)
	}
	if got := v.Entry(blocklists.MustName("x.both.example")).String(); got != "both.example" {
		t.Errorf("Entry = %s; want both.example", got)
	}
}

// TestRFC8020_BlockDeniesNoAllowedName: NXDOMAIN for a name says that nothing is
// below it, so a block of a name above an allowed one must answer NODATA.
func TestRFC8020_BlockDeniesNoAllowedName(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, profile, asked string
		want                 bool
	}{
		{"a suffix", "C", "omegle.com", false},
		{"an exact entry", "C", "single.example", true},
		{"above plumbing", "C", "gstatic.com", true},
		{"a public suffix above a help line", "rules", "org.uk", true},
		{"between an entry and plumbing below it", "C", "metric.gstatic.com", false}, // itself plumbing: allowed
		{"beside plumbing", "C", "other.gstatic.com", false},
		{"above a rule that allows", "rules", "tinder.com", true},
		{"the same without the rule", "C", "tinder.com", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := w.decide(tt.profile, tt.asked); v.NoData != tt.want {
				t.Errorf("%s for %s: NoData = %v; want %v", tt.asked, tt.profile, v.NoData, tt.want)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string]bool{"analytics.tiktok.com": true, "www.tiktok.com": false, "sc-static.net": true, "mask.icloud.com": true} {
		if v := w.decide("C", name); v.Quiet != want || v.Action != Block {
			t.Errorf("%s: quiet = %v, %s; want %v, block", name, v.Quiet, v.Action, want)
		}
	}
}

func TestRestricted(t *testing.T) {
	w := newWorld(t)
	for name, want := range map[string]bool{"C": true, "E": true, "adult": false, "meta": true, "rules": true} {
		if got := w.profiles[name].Policy.Restricted; got != want {
			t.Errorf("profile %s: Restricted = %v; want %v", name, got, want)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	p := w.profiles["rules"].Policy
	names := []blocklists.Name{blocklists.MustName("a.b.bad.omegle.com"), blocklists.MustName("www.tiktok.com"), blocklists.MustName("www.wikipedia.org")}
	if n := testing.AllocsPerRun(1000, func() {
		for _, name := range names {
			Decide(p, Ask(w.Index, name, TypeA, at))
		}
	}); n != 0 {
		t.Errorf("Decide allocates %v times for three names", n)
	}
}

// TestDecideDoesNotAllocateWithEverything: nor with grants, patterns, schedules
// and safe search.
func TestDecideDoesNotAllocateWithEverything(t *testing.T) {
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	b := newBasis(presets, decisionIndex(t))
	f := readFamily(t)
	for i := range f.Profiles {
		src := sourceOf(f, &f.Profiles[i], presets)
		p, err := compilePolicy(b, &src)
		if err != nil {
			t.Fatal(err)
		}
		q := Question{Time: at}
		decideAll := func() {
			for _, name := range askedNames {
				q.Name = name
				q.Labels = b.index.Known(name, TypeA)
				Decide(p, q)
			}
		}
		decideAll()
		if n := testing.AllocsPerRun(100, decideAll); n != 0 {
			t.Errorf("Decide for profile %s allocates %v times", f.Profiles[i].Name, n)
		}
	}
}

// askedNames are asked, parsed.
var askedNames = func() (out []blocklists.Name) {
	for _, s := range asked {
		out = append(out, blocklists.MustName(s))
	}
	return out
}()

// TestBlockingMoreNeverAllowsMore: a stricter choice for any category or service
// leaves every blocked name blocked.
func TestBlockingMoreNeverAllowsMore(t *testing.T) {
	w := newWorld(t)
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		choice := rapid.SampledFrom([]Choice{ChooseAllow, ChooseWatch, ChooseHide, ChooseDigest, ChooseBlock, ChooseCount})
		category := rapid.Map(rapid.IntRange(int(blocklists.AnonymousChat), int(blocklists.NumCategories)-1), func(i int) blocklists.Category { return blocklists.Category(i) })
		service := rapid.Map(rapid.IntRange(0, len(c.Services)-1), func(i int) string { return c.Services[i].ID })
		p := Profile{ID: 1, Name: "p", Preset: Preset(rapid.IntRange(0, int(numPresets)-1).Draw(t, "preset"))}
		p.Categories = rapid.MapOfN(category, choice, 0, 5).Draw(t, "categories")
		p.Services = rapid.MapOfN(service, choice, 0, 5).Draw(t, "services")
		stricter := p
		stricter.Categories, stricter.Services = map[blocklists.Category]Choice{}, map[string]Choice{}
		for k, v := range p.Categories {
			stricter.Categories[k] = max(v, ChooseBlock)
		}
		for k, v := range p.Services {
			stricter.Services[k] = max(v, ChooseBlock)
		}
		before, err := w.compile(&p)
		if err != nil {
			t.Fatal(err)
		}
		after, err := w.compile(&stricter)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s := c.Services[rapid.IntRange(0, len(c.Services)-1).Draw(t, "service asked")]
			q := Ask(w.Index, s.Domains[rapid.IntRange(0, len(s.Domains)-1).Draw(t, "domain")].Name, TypeA, at)
			if Decide(before, q).Action == Block && Decide(after, q).Action != Block {
				t.Fatalf("%s is blocked by %+v and not by %+v", q.Name, p, stricter)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	w := newWorld(b)
	p := w.profiles["C"].Policy
	for _, name := range []string{"www.tiktok.com", "www.example.org"} {
		n := blocklists.MustName(name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(p, Ask(w.Index, n, TypeA, at))
			}
		})
	}
}

// BenchmarkDecideTimed decides with a bedtime, hours, grants, patterns and rules.
func BenchmarkDecideTimed(b *testing.B) {
	presets, err := EmbeddedPresets()
	if err != nil {
		b.Fatal(err)
	}
	basis := newBasis(presets, decisionIndex(b))
	f := readFamily(b)
	for _, profile := range []string{"pupil", "granted", "ruled"} {
		for i := range f.Profiles {
			if f.Profiles[i].Name != profile {
				continue
			}
			src := sourceOf(f, &f.Profiles[i], presets)
			p, err := compilePolicy(basis, &src)
			if err != nil {
				b.Fatal(err)
			}
			n := blocklists.MustName("www.tiktok.com")
			b.Run(profile, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Decide(p, Ask(basis.index, n, TypeA, at))
				}
			})
		}
	}
}

// TestGateways: what a translation service shows is decided as if it had been
// asked for itself.
func TestGateways(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name, asked string
		action      Action
		about       string
		keep        Keep
	}{
		{"a blocked site through a translator", "www-omegle-com.translate.goog", Block, "www.omegle.com", KeepItem},
		{"an open one", "en-wikipedia-org.translate.goog", Allow, "en-wikipedia-org.translate.goog", KeepNothing},
		{"a help line, unrecorded", "www-childline-org-uk.translate.goog", Allow, "www-childline-org-uk.translate.goog", KeepNothing},
		{"the translator itself", "translate.goog", Allow, "translate.goog", KeepNothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, about := DecideName(w.Index, w.profiles["C"].Policy, blocklists.MustName(tt.asked), TypeA, at)
			if v.Action != tt.action || about.String() != tt.about || v.Keep != tt.keep {
				t.Errorf("%s: %s about %s, kept %d; want %s about %s, kept %d", tt.asked, v.Action, about, v.Keep, tt.action, tt.about, tt.keep)
			}
			e := Explain(w.State, w.profiles["C"], w.family, blocklists.MustName(tt.asked), TypeA, at)
			if e.Verdict != tt.action.String() || (e.Hidden != "") != (tt.about != tt.asked) {
				t.Errorf("Explain says %s, hidden %q", e.Verdict, e.Hidden)
			}
		})
	}
	// Nothing is recorded of who was on the way to help, whatever stops the translator.
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFamily("Paused", "", BandC)
	f.ID, f.Profiles[0].Paused = 1, Forever
	d, err := NewDirectory(f, presets, w.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	paused, _ := d.Household()
	asked := blocklists.MustName("www-childline-org-uk.translate.goog")
	v, _ := DecideName(w.Index, paused.Policy, asked, TypeA, at)
	if e := Explain(&State{Index: w.Index, Directory: d}, paused, f, asked, TypeA, at); v.Action != Block || v.Keep != KeepNothing || e.Recorded != "nothing" {
		t.Errorf("a help line while everything is paused: %s, kept %d; Explain says that %s is recorded", v.Action, v.Keep, e.Recorded)
	}
}
