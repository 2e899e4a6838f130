package policy

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/blocklists"
)

func weakenings(t interface{ Fatal(...any) }, a, b *Family) string {
	p, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	return Sentences(Weakens(a, b, p))
}

func TestWeakens(t *testing.T) {
	lea := func(f *Family) *Profile { return &f.Profiles[2] }
	s := func(f *Family, i int) *Schedule { return &f.Profiles[2].Schedules[i] }
	christmas, easter := Date{2026, 12, 24}, Date{2027, 3, 28}
	off := false
	for _, tt := range []struct {
		name  string
		do    func(f *Family)
		says  string // "" where nothing is weaker
		back  string // of the way back
		quiet bool   // the way back is not looked at
	}{
		{name: "names", do: func(f *Family) { f.Name, lea(f).Name, f.Devices[0].Name = "X", "Y", "Z" }},
		{name: "a response", do: func(f *Family) { lea(f).Response = nil }},
		{name: "an older preset", do: func(f *Family) { lea(f).Preset = BandE }, says: `profile "Lea": category anonymous-messages is "watch", not "block"`},
		{name: "a category is allowed", do: func(f *Family) { lea(f).Categories[blocklists.Social] = ChooseAllow }, says: `profile "Lea": category social is "allow", not "block"`},
		{name: "a category is blocked", do: func(f *Family) { lea(f).Categories[blocklists.Piracy] = ChooseBlock }, back: `category piracy is "allow", not "block"`},
		{name: "a category is told in the digest", do: func(f *Family) { lea(f).Categories[blocklists.Social] = ChooseDigest }, says: "in the digest, not at once"},
		{name: "a category is hidden", do: func(f *Family) { lea(f).Categories[blocklists.Social] = ChooseHide }, says: "of category social less is recorded (none, not item)"},
		{name: "a log mode is raised", do: func(f *Family) { lea(f).Log[blocklists.Dating] = KeepItem }, back: "of category dating less is recorded"},
		{name: "a service is blocked", do: func(f *Family) { lea(f).Services["tok"] = ChooseBlock }, back: `service tok is not "block" any more`},
		{name: "a service is allowed", do: func(f *Family) { lea(f).Services["tok"] = ChooseAllow }, says: `service tok is "allow", whatever it was`},
		{name: "a list is not blocked", do: func(f *Family) { delete(lea(f).Lists, "ads") }, says: `list ads is not "hide" any more`},
		{name: "a safe mode is off", do: func(f *Family) { lea(f).Search["bing"] = SearchAny }, says: "the safe mode of search engine bing is off"},
		{name: "a moderate mode is strict", do: func(f *Family) { lea(f).Search["youtube"] = SearchSafe }, back: "youtube is moderate"},
		{name: "a preset without safe modes", do: func(f *Family) { lea(f).Preset = Adult }, says: "the safe mode of search engines "},
		{name: "a safe mode that the preset has is off", do: func(f *Family) { lea(f).Search["google"] = SearchAny }, says: "the safe mode of search engine google is off"},
		{name: "a safe mode is that of the preset", do: func(f *Family) { lea(f).Search["google"] = SearchSafe }},
		{name: "a moderate mode is off", do: func(f *Family) { lea(f).Search["youtube"] = SearchAny }, says: "youtube is off"},
		{name: "bypass protection is off", do: func(f *Family) { lea(f).Bypass = &off }, says: "names that lead past the filter are not blocked"},
		{name: "a pause", do: func(f *Family) { lea(f).Paused = monday.Add(time.Hour) }, back: "the pause ends early"},
		{name: "guests", do: func(f *Family) { lea(f).Guests = true }, says: "counted, not named"},
		{name: "a deny rule goes", do: func(f *Family) { lea(f).Rules = lea(f).Rules[1:]; lea(f).Schedules = lea(f).Schedules[:2] }, says: "rule deny example.com and all below it is gone"},
		{name: "a deny rule ends", do: func(f *Family) { lea(f).Rules[0].Until = monday }, says: "rule deny example.com and all below it holds less"},
		{name: "a deny rule for more takes the place of one", do: func(f *Family) {
			lea(f).Rules = append(lea(f).Rules, Rule{ID: 60, Name: blocklists.MustName("com")})
			lea(f).Rules = lea(f).Rules[1:]
			lea(f).Schedules = lea(f).Schedules[:2]
		}, back: "rule deny com and all below it is gone"},
		{name: "an allow rule goes", do: func(f *Family) { lea(f).Rules = lea(f).Rules[:1] }, back: "rule allow example.com alone is new"},
		{name: "a rule holds always", do: func(f *Family) { lea(f).Schedules = lea(f).Schedules[:2] }, back: "holds less"},
		{name: "bedtime is later", do: func(f *Family) { s(f, 0).Windows[0].From += 5 }, says: "everything is blocked at fewer times: not from Mon 21:30"},
		{name: "bedtime is longer", do: func(f *Family) { s(f, 0).Windows[0].From -= 5 }, back: "not from Mon 21:25"},
		{name: "a window is split in two that touch", do: func(f *Family) {
			s(f, 0).Windows = []Window{{62, 1290, 1440}, {124, 0, 390}, {65, 1350, 450}}
		}},
		{name: "bedtime is out of force", do: func(f *Family) { s(f, 0).Off = true }, says: "everything is blocked at fewer times"},
		{name: "free time is longer", do: func(f *Family) { s(f, 1).Windows[0].To += 30 }, says: "service chat is blocked at fewer times: not from Sun 18:00"},
		{name: "free time is shorter", do: func(f *Family) { s(f, 1).Windows[0].To -= 30 }, back: "not from Sun 17:30"},
		{name: "an exception ends", do: func(f *Family) { s(f, 0).Exceptions = nil }, back: "not on 2026-12-24 from 21:30"},
		{name: "another exception", do: func(f *Family) {
			s(f, 0).Exceptions = append(s(f, 0).Exceptions, Exception{Day: easter, Windows: []Window{{0, 1380, 450}}})
		}, says: "not on 2027-03-28 from 22:30"},
		{name: "holidays without bedtime", do: func(f *Family) { s(f, 0).Holidays = HolidaysOff }, says: "not on holidays from Sun 00:00"},
		{name: "more bedtime on holidays", do: func(f *Family) {
			s(f, 0).Holidays = HolidaysAsUsual
			s(f, 0).Windows = append(s(f, 0).Windows, Window{2, 600, 660})
		}, back: "not from Mon 10:00"},
		{name: "a schedule for everything takes the place of a category's", do: func(f *Family) { s(f, 2).What = Target{} }, says: "", quiet: true},
		{name: "another zone", do: func(f *Family) { f.Zone = "Asia/Tokyo" }, says: "another clock: Asia/Tokyo, not Europe/Berlin", back: "another clock: Europe/Berlin, not Asia/Tokyo"},
		{name: "a grant", do: func(f *Family) {
			f.Grants = append(f.Grants, Grant{ID: 61, Profile: 3, From: monday, Until: monday.Add(time.Hour)})
		}, says: `profile "Lea": everything is granted until 2026-11-23T13:00:00Z`},
		{name: "a grant is longer", do: func(f *Family) { f.Grants[0].Until = monday.Add(2 * time.Hour) }, says: "service chat is granted until"},
		{name: "a grant is revoked", do: func(f *Family) { f.Grants = nil }, back: "service chat is granted until"},
		{name: "a device moves to adults", do: func(f *Family) { f.Devices[0].Profile = 2 }, says: `device "Phone": profile Adults applies, not Lea, and that is weaker`},
		{name: "an exemption is longer", do: func(f *Family) { f.Devices[1].Until = monday.Add(time.Hour) }, says: `device "Laptop": profile Adults applies, not Lea`},
		{name: "an exemption without end", do: func(f *Family) { f.Devices[1].Until = time.Time{} }, says: `device "Laptop": profile Adults applies, not Lea`},
		{name: "a device is forgotten", do: func(f *Family) { f.Devices = f.Devices[1:] }, says: `device "Phone": profile Everyone applies, not Lea`, quiet: true},
		{name: "an exempt device is forgotten", do: func(f *Family) { f.Devices[1].Until, f.Devices[1].Then = time.Time{}, 0; f.Devices[1].Profile = 2 }, says: "Adults applies, not Lea", quiet: true},
		{name: "a clue moves to another device", do: func(f *Family) { f.Devices[0].Tokens, f.Devices[1].Tokens = nil, []string{"k7"} }, says: "Adults applies, not Lea", quiet: true},
		{name: "a clue is dropped", do: func(f *Family) { f.Devices[0].Tokens = nil }, says: "profile Everyone applies, not Lea", quiet: true},
		{name: "the default is adults", do: func(f *Family) { f.Default = 2 }, says: "unknown devices: profile Adults applies, not Everyone"},
		{name: "unknown devices are refused", do: func(f *Family) { f.Default = 0 }, back: "unknown devices: profile Everyone applies, and until now nothing was answered"},
		{name: "a shorter delay", do: func(f *Family) { f.Loosening.Delay = 60 }, says: "loosening: changes that weaken protection wait 1 hour, not 24 hours"},
		{name: "no second guardian", do: func(f *Family) { f.Loosening.Second = false }, says: "need no second guardian any more"},
		{name: "a guardian is stronger", do: func(f *Family) { f.Guardians[1].Role = Owner }, says: `guardian "Ben": the role is owner, not guardian`},
		{name: "a guardian goes", do: func(f *Family) { f.Guardians = f.Guardians[:1] }, says: `guardian "Ben": cannot agree any more to what weakens protection`, back: `guardian "Ben": another adult may change choices`},
		{name: "a guardian only looks on", do: func(f *Family) { f.Guardians[1].Role = Viewer }, says: `guardian "Ben": cannot agree any more`, back: "the role is guardian, not viewer"},
		{name: "a guardian goes where one is enough", do: func(f *Family) { f.Loosening.Second, f.Guardians = false, f.Guardians[:1] }, says: "need no second guardian any more", quiet: true},
		{name: "a viewer comes", do: func(f *Family) { f.Guardians = append(f.Guardians, Guardian{62, "Oma", Viewer}) }},
		{name: "a holiday", do: func(f *Family) { f.Holidays = append(f.Holidays, Holiday{"X", christmas, christmas}) }},
	} {
		a, b := fullFamily(t), fullFamily(t)
		tt.do(b)
		if got := weakenings(t, a, b); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: weakens %q, want %q", tt.name, got, tt.says)
		}
		if got := weakenings(t, b, a); tt.says == "" && !tt.quiet && ((got == "") != (tt.back == "") || !strings.Contains(got, tt.back)) {
			t.Errorf("%s, the way back: weakens %q, want %q", tt.name, got, tt.back)
		}
	}
}

// A holiday that is added counts where a schedule rests on holidays.
func TestWeakensSeesHolidays(t *testing.T) {
	a, b := fullFamily(t), fullFamily(t)
	a.Profiles[2].Schedules[0].Holidays, b.Profiles[2].Schedules[0].Holidays = HolidaysOff, HolidaysOff
	b.Holidays = append(b.Holidays, Holiday{"X", Date{2027, 5, 3}, Date{2027, 5, 4}})
	if got := weakenings(t, a, b); !strings.Contains(got, "on 2027-05-03 from 21:30") {
		t.Errorf("a holiday more: %q", got)
	}
	if got := weakenings(t, b, a); got != "" {
		t.Errorf("a holiday less: %q", got)
	}
}

// aFamily draws a family that differs from the full one in many ways.
func aFamily(t *rapid.T) *Family {
	f := NewFamily("F", "Europe/Berlin", Preset(rapid.IntRange(0, 5).Draw(t, "preset")))
	f.LastID = 1000
	f.Retention.Days = KeptDays(rapid.IntRange(0, 3).Draw(t, "days"))
	for range rapid.IntRange(0, 2).Draw(t, "kept") {
		c := blocklists.Category(rapid.IntRange(int(blocklists.AnonymousChat), int(blocklists.Dating)).Draw(t, "category"))
		f.Retention.Categories = map[blocklists.Category]KeptDays{c: KeptDays(rapid.IntRange(1, 200).Draw(t, "days"))}
	}
	if rapid.Bool().Draw(t, "third profile") {
		f.Profiles = append(f.Profiles, Profile{ID: 3, Name: "Lea", Preset: BandA})
	}
	for i := range f.Profiles {
		p := &f.Profiles[i]
		p.Categories = map[blocklists.Category]Choice{}
		for range rapid.IntRange(0, 4).Draw(t, "categories") {
			c := blocklists.Category(rapid.IntRange(int(blocklists.AnonymousChat), int(blocklists.NumCategories)-1).Draw(t, "category"))
			p.Categories[c] = Choice(rapid.IntRange(0, 6).Draw(t, "choice"))
		}
		p.Services = map[string]Choice{}
		for _, s := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3).Draw(t, "services") {
			p.Services[s] = Choice(rapid.IntRange(0, 6).Draw(t, "choice"))
		}
		for j, n := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a.com", "b.a.com", "com", "x.org"}), 0, 4, rapid.ID).Draw(t, "rules") {
			p.Rules = append(p.Rules, Rule{
				ID: RuleID(100*(i+1) + j), Name: blocklists.MustName(n),
				Match: Match(rapid.IntRange(0, 2).Draw(t, "match")), Allow: rapid.Bool().Draw(t, "allow"),
			})
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "schedules") {
			s := Schedule{ID: ScheduleID(100*(i+1) + 50 + j), Name: string(rune('A' + j)), Effect: Effect(rapid.IntRange(0, 1).Draw(t, "effect"))}
			s.What = rapid.SampledFrom([]Target{{}, {Kind: ForCategory, Category: blocklists.Social}, {Kind: ForService, Service: "a"}}).Draw(t, "what")
			s.Holidays = Holidays(rapid.IntRange(0, 3).Draw(t, "holidays"))
			s.Windows = []Window{{Days(rapid.IntRange(1, 127).Draw(t, "days")), Minutes(rapid.IntRange(0, 1439).Draw(t, "from")), Minutes(rapid.IntRange(1, 1440).Draw(t, "to"))}}
			p.Schedules = append(p.Schedules, s)
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "devices") {
		f.Devices = append(f.Devices, Device{
			ID: DeviceID(10 + i), Name: string(rune('A' + i)), Tokens: []string{string(rune('a' + i))},
			Profile: f.Profiles[rapid.IntRange(0, len(f.Profiles)-1).Draw(t, "device's profile")].ID,
		})
	}
	f.Normalize()
	return f
}

func clone(t *rapid.T, f *Family) *Family {
	out, err := f.Clone()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What only strengthens is never told, and taking it back always is.
func TestStrengtheningNeverWeakens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aFamily(t)
		if got := weakenings(t, a, a); got != "" {
			t.Fatalf("a family weakens itself: %s", got)
		}
		b := clone(t, a)
		p := &b.Profiles[rapid.IntRange(0, len(b.Profiles)-1).Draw(t, "profile")]
		kind := rapid.SampledFrom([]string{"category", "service", "rule", "window", "pause", "grant", "delay"}).Draw(t, "kind")
		switch kind {
		case "category":
			c := rapid.SampledFrom([]blocklists.Category{blocklists.Piracy, blocklists.AIChat}).Draw(t, "blocked")
			if p.Categories[c] >= ChooseDigest { // it may be blocked already, and count for more
				t.Skip()
			}
			p.Categories = mapWith(p.Categories, c, ChooseBlock)
		case "service":
			if p.Services["z"] != 0 {
				t.Skip()
			}
			p.Services = mapWith(p.Services, "z", ChooseBlock)
		case "rule":
			p.Rules = append(p.Rules, Rule{ID: 900, Name: blocklists.MustName("never.example")})
		case "window":
			p.Schedules = append(p.Schedules, Schedule{ID: 901, Name: "New", What: Target{}, Windows: []Window{{127, Minutes(rapid.IntRange(0, 1439).Draw(t, "new from")), Minutes(rapid.IntRange(1, 1440).Draw(t, "new to"))}}})
		case "pause":
			p.Paused = Forever
		case "grant":
			a.Grants = []Grant{{ID: 902, Profile: p.ID, From: monday, Until: monday.Add(time.Hour)}}
		case "delay":
			b.Loosening.Delay = 60
		}
		if got := weakenings(t, a, b); got != "" {
			t.Fatalf("%s more weakens: %s", kind, got)
		}
		back := weakenings(t, b, a)
		always := len(p.Schedules) > 0 && kind != "grant" && kind != "delay" // they may block everything, all the time
		if back == "" && kind != "window" && kind != "category" && !always { // those may have been blocked already
			t.Fatalf("%s less does not weaken", kind)
		}
	})
}

func mapWith[K comparable](m map[K]Choice, k K, v Choice) map[K]Choice {
	if m == nil {
		m = map[K]Choice{}
	}
	m[k] = v
	return m
}

// Taking a block away that nothing else makes always weakens.
func TestRemovingABlockWeakens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aFamily(t)
		p := &a.Profiles[rapid.IntRange(0, len(a.Profiles)-1).Draw(t, "profile")]
		p.Schedules = nil
		p.Categories = mapWith(p.Categories, blocklists.Piracy, ChooseBlock)
		b := clone(t, a)
		delete(b.ProfileByID(p.ID).Categories, blocklists.Piracy)
		if weakenings(t, a, b) == "" {
			t.Fatal("a category that is blocked no more does not weaken")
		}
	})
}

// A change can be taken apart, undone and done again.
func TestDeltaUndoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := aFamily(t), aFamily(t)
		d, err := DeltaOf(a, b)
		if err != nil {
			t.Fatal(err)
		}
		back, since, err := d.Undo(b, monday)
		if err != nil || len(since) > 0 {
			t.Fatalf("undoing: %v %v", since, err)
		}
		if rest, err := DeltaOf(back, a); err != nil || len(rest) > 0 {
			t.Fatalf("what an undo left: %+v %v", rest, err)
		}
		if len(d) > 0 && !d.Touches(func(path string) bool { return path == d[0].Path }) {
			t.Fatal("a change does not touch what it changed")
		}
	})
	full := fullFamily(t)
	p, err := split(full)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.join()
	if err != nil {
		t.Fatal(err)
	}
	again.ID, again.LastID = full.ID, full.LastID
	full.Normalize()
	sameFamily(t, again, full)
}
