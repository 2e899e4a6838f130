package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

// fullFamily has one of everything, and nothing is wrong with it.
func fullFamily(t testing.TB) *Family {
	f := &Family{
		ID: 1, Name: "Home", Zone: "Europe/Berlin", Default: 1, LastID: 100,
		Guardians: []Guardian{{10, "Anna", Owner}, {11, "Ben", Carer}},
		Loosening: Loosening{Delay: 1440, Second: true},
		Country:   "DE", Retention: Retention{30, map[blocklists.Category]KeptDays{blocklists.Gambling: 365}},
		Networks: nets("203.0.113.0/28"),
		Holidays: []Holiday{{"Christmas", Date{2026, 12, 23}, Date{2027, 1, 6}}},
		Profiles: []Profile{
			{ID: 1, Name: "Everyone", Preset: BandC},
			{ID: 2, Name: "Adults", Preset: Adult},
			{
				ID: 3, Name: "Lea", Preset: BandB,
				Categories: map[blocklists.Category]Choice{blocklists.Social: ChooseBlock},
				Services:   map[string]Choice{"chat": ChooseAllow},
				Lists:      map[string]Choice{"ads": ChooseHide},
				Log:        map[blocklists.Category]Keep{blocklists.Dating: KeepNothing},
				Search:     map[string]Search{"bing": SearchSafe, "youtube": SearchModerate},
				Response:   &BlockMode{V4: netip.MustParseAddr("192.168.1.1")},
				Rules: []Rule{
					{ID: 20, Name: blocklists.MustName("example.com")},
					{ID: 21, Name: blocklists.MustName("example.com"), Match: MatchExact, Allow: true},
				},
				Schedules: []Schedule{
					{ID: 30, Name: "Bedtime", Windows: []Window{{62, 1290, 390}, {65, 1350, 450}}, Exceptions: []Exception{{Day: Date{2026, 12, 24}}}},
					{ID: 31, Name: "Chat", What: Target{Kind: ForService, Service: "chat"}, Effect: Frees, Windows: []Window{{127, 900, 1080}}},
					{ID: 32, Name: "School", What: Target{Kind: ForRule, Rule: 20}, Windows: []Window{{62, 480, 780}}},
				},
			},
		},
		Devices: []Device{
			{ID: 40, Name: "Phone", Profile: 3, Networks: nets("192.168.1.20"), MACs: []MAC{{2}}, Tokens: []string{"k7"}},
			{ID: 41, Name: "Laptop", Profile: 2, Networks: nets("192.168.2.0/24"), Until: monday, Then: 3},
		},
		Grants: []Grant{{ID: 50, Profile: 3, What: Target{Kind: ForService, Service: "chat"}, From: monday, Until: monday.Add(time.Hour), By: "Anna"}},
	}
	if err := validate(f, testKnown); err != nil {
		t.Fatalf("what tests start from is not valid: %v", err)
	}
	return f
}

var testKnown = Known{
	Services: []string{"chat", "tok"}, Lists: []string{"ads"}, Engines: []string{"bing", "youtube"},
	Help: func(r Rule) string {
		if r.Name == blocklists.MustName("help.example") {
			return "help.example"
		}
		return ""
	},
}

// validate says everything that is wrong with a family, as who stores it does.
func validate(f *Family, known Known) error { return Join(Faults(f, known)) }

func TestValidate(t *testing.T) {
	lea := func(f *Family) *Profile { return &f.Profiles[2] }
	bedtime := func(f *Family) *Schedule { return &f.Profiles[2].Schedules[0] }
	const inLea, inBedtime, inPhone = `profile "Lea": `, `profile "Lea", schedule "Bedtime": `, `device "Phone": `
	for _, tt := range []struct {
		name string
		do   func(f *Family)
		says string // "" where nothing is wrong
	}{
		{"no guardians at all", func(f *Family) { f.Guardians, f.Loosening = nil, Loosening{} }, ""},
		{"no default", func(f *Family) { f.Default = 0 }, ""},
		{"the server's zone", func(f *Family) { f.Zone = "" }, ""},
		{"a zone with half an hour of summer time", func(f *Family) { f.Zone = "Australia/Lord_Howe" }, ""},
		{"a name without an owner", func(f *Family) { f.Name = "" }, "family: the name is empty"},
		{"a zone that does not exist", func(f *Family) { f.Zone = "Europe/Atlantis" }, `time zone: there is no time zone "Europe/Atlantis"; write`},
		{"the zone of the machine", func(f *Family) { f.Zone = "Local" }, `time zone: there is no time zone "Local"`},
		{"a path as a zone", func(f *Family) { f.Zone = "../../etc/passwd" }, "time zone: "},
		{"a default that does not exist", func(f *Family) { f.Default = 9 }, "default: its profile 9 does not exist"},
		{"networks that overlap", func(f *Family) { f.Networks = nets("203.0.113.0/28", "203.0.113.1") }, "networks: 203.0.113.0/28 and 203.0.113.1 overlap"},
		{"a delay of years", func(f *Family) { f.Loosening.Delay = 60000 }, "loosening: a delay of 1000 hours is too long"},
		{"nobody can agree", func(f *Family) { f.Guardians[1].Role = Viewer }, "loosening: a second guardian has to agree, but 1 can"},
		{"no owner", func(f *Family) { f.Guardians[0].Role = Carer }, "guardians: none of them is an owner"},
		{"guardians of one name", func(f *Family) { f.Guardians[1].Name = "ANNA" }, `guardian "ANNA": "Anna" has the same name`},
		{"a holiday that ends before it begins", func(f *Family) { f.Holidays[0].Last = Date{2026, 12, 1} }, `holiday "Christmas": it ends on 2026-12-01, before`},
		{"a holiday on no day", func(f *Family) { f.Holidays[0].First = Date{2026, 2, 30} }, `holiday "Christmas": there is no day 2026-02-30`},
		{"a holiday of years", func(f *Family) { f.Holidays[0].Last = Date{2029, 1, 1} }, "longer than a year"},
		{"a holiday twice", func(f *Family) { f.Holidays = append(f.Holidays, f.Holidays[0]) }, "overlaps itself from 2026-12-23"},
		{"a profile's name twice, folded", func(f *Family) { f.Profiles[0].Name, f.Profiles[1].Name = "Straße", "STRASSE" }, `profile "STRASSE": "Straße" has the same name`},
		{"a profile's ID twice", func(f *Family) { f.Profiles[1].ID = 3 }, "its ID 3 is another's too"},
		{"an ID that was never given", func(f *Family) { f.LastID = 2 }, `profile "Lea": its ID 3 was never given`},
		{"a preset that does not exist", func(f *Family) { lea(f).Preset = 9 }, inLea + "preset 9 does not exist"},
		{"a category that cannot be chosen", func(f *Family) { lea(f).Categories[blocklists.Help] = ChooseBlock }, inLea + "category 1 cannot be chosen"},
		{"a choice that does not exist", func(f *Family) { lea(f).Categories[blocklists.Social] = 9 }, `profile "Lea", category "social": choice 9 does not exist`},
		{"danger is allowed", func(f *Family) { lea(f).Categories[blocklists.Security] = ChooseWatch }, `category "security": what is dangerous`},
		{"a service that does not exist", func(f *Family) { lea(f).Services["chatt"] = ChooseBlock }, inLea + `there is no service "chatt"; did you mean "chat"?`},
		{"a list that does not exist", func(f *Family) { lea(f).Lists["add"] = ChooseBlock }, inLea + `there is no list "add"; did you mean "ads"?`},
		{"an engine that does not exist", func(f *Family) { lea(f).Search["bong"] = SearchSafe }, inLea + `there is no search engine "bong"; did you mean "bing"?`},
		{"a moderate mode that does not exist", func(f *Family) { lea(f).Search["bing"] = SearchModerate }, `"bing" has no moderate mode`},
		{"a log mode that does not exist", func(f *Family) { lea(f).Log[blocklists.Dating] = 9 }, "log mode 9"},
		{"a response to everybody", func(f *Family) { lea(f).Response = &BlockMode{V4: netip.MustParseAddr("224.0.0.1")} }, `profile "Lea", response: 224.0.0.1 is an address of many`},
		{"a response of the wrong kind", func(f *Family) { lea(f).Response = &BlockMode{V4: netip.MustParseAddr("fd00::1")} }, "is not an IPv4"},
		{"a rule for the root", func(f *Family) { lea(f).Rules[0].Name = "" }, "the root of all names"},
		{"a rule twice", func(f *Family) { lea(f).Rules[1].Match = MatchSuffix }, `rule 21 (example.com): rule 20 is for the same name`},
		{"a rule against a help line", func(f *Family) { lea(f).Rules[0].Name = blocklists.MustName("help.example") }, "rule 20 (help.example): help.example is a help line"},
		{"a rule for a help line", func(f *Family) { lea(f).Rules[1].Name = blocklists.MustName("help.example") }, ""},
		{"a schedule without windows", func(f *Family) { bedtime(f).Windows = nil }, inBedtime + "it never applies"},
		{"a schedule of exceptions alone", func(f *Family) {
			bedtime(f).Windows = nil
			bedtime(f).Exceptions[0].Windows = []Window{{0, 600, 660}}
		}, ""},
		{"a window without days", func(f *Family) { bedtime(f).Windows[0].Days = 0 }, inBedtime + "window 21:30-06:30 never applies"},
		{"a window past the day", func(f *Family) { bedtime(f).Windows[0].From = 1440 }, "a day goes from 00:00 to 24:00"},
		{"a window to no time", func(f *Family) { bedtime(f).Windows[0].To = 0 }, "a day goes from 00:00 to 24:00"},
		{"windows that overlap", func(f *Family) { bedtime(f).Windows[0].Days = 127 }, inBedtime + "two of its windows overlap at Sun 00:00"},
		{"windows that overlap past the end of the week", func(f *Family) { bedtime(f).Windows = []Window{{64, 1200, 600}, {1, 540, 660}} }, "overlap at Sun 09:00"},
		{"windows that touch", func(f *Family) { bedtime(f).Windows = []Window{{64, 1200, 600}, {1, 600, 660}} }, ""},
		{"a window of a whole day, every day", func(f *Family) { bedtime(f).Windows = []Window{{127, 0, 1440}} }, ""},
		{"schedules that overlap", func(f *Family) {
			lea(f).Schedules[1].What, lea(f).Schedules[1].Effect = Target{}, Blocks
			lea(f).Schedules[1].Windows = []Window{{2, 360, 420}}
		}, `schedule "Chat": schedule "Bedtime" does the same at Mon 06:00`},
		{"schedules that overlap, one out of force", func(f *Family) {
			lea(f).Schedules[1].What, lea(f).Schedules[1].Effect, lea(f).Schedules[1].Off = Target{}, Blocks, true
			lea(f).Schedules[1].Windows = []Window{{2, 360, 420}}
		}, ""},
		{"a schedule for a name", func(f *Family) { bedtime(f).What = Target{Kind: ForName, Name: "\x01a"} }, inBedtime + "it is for a name"},
		{"a schedule for a rule that is not there", func(f *Family) { lea(f).Schedules[2].What.Rule = 99 }, "rule 99, which the profile does not have"},
		{"a schedule that frees a deny rule", func(f *Family) { lea(f).Schedules[2].Effect = Frees }, "it frees, but rule 20 denies"},
		{"a schedule that blocks an allow rule", func(f *Family) { lea(f).Schedules[2].What.Rule = 21 }, "it blocks, but rule 21 allows"},
		{"a schedule for a service that does not exist", func(f *Family) { lea(f).Schedules[1].What.Service = "chad" }, `schedule "Chat": there is no service "chad"; did you mean "chat"?`},
		{"a day with two exceptions", func(f *Family) {
			bedtime(f).Exceptions = append(bedtime(f).Exceptions, bedtime(f).Exceptions[0])
		}, `schedule "Bedtime", exception 2026-12-24: the day has two exceptions`},
		{"an exception's windows overlap", func(f *Family) { bedtime(f).Exceptions[0].Windows = []Window{{0, 600, 660}, {0, 659, 700}} }, "overlap at 10:59"},
		{"a schedule's name twice", func(f *Family) { lea(f).Schedules[1].Name = "bedtime" }, `"Bedtime" has the same name`},
		{"a device on no profile", func(f *Family) { f.Devices[0].Profile = 9 }, inPhone + "its profile 9 does not exist"},
		{"a device that goes back to no profile", func(f *Family) { f.Devices[1].Then = 9 }, "the profile 9 that it goes back to does not exist"},
		{"a device without clues", func(f *Family) { f.Devices[0] = Device{ID: 40, Name: "Phone", Profile: 3} }, inPhone + "nothing says how to recognise it"},
		{"an address used twice", func(f *Family) { f.Devices[0].Networks = nets("192.168.2.7") }, `device "Laptop": 192.168.2.0/24 already belongs to device "Phone" (192.168.2.7)`},
		{"a hardware address used twice", func(f *Family) { f.Devices[1].MACs = []MAC{{2}} }, `device "Laptop": 02:00:00:00:00:00 already belongs to device "Phone"`},
		{"a token used twice", func(f *Family) { f.Devices[1].Tokens = []string{"k7"} }, `device "Laptop": the private-DNS label "k7" already belongs`},
		{"a token in capitals", func(f *Family) { f.Devices[0].Tokens = []string{"K7"} }, inPhone + `"K7" cannot be the label`},
		{"a device called like an address", func(f *Family) { f.Devices[0].Name = "10.0.0.1" }, `the name "10.0.0.1" is an address`},
		{"a grant that ends before it begins", func(f *Family) { f.Grants[0].Until = monday }, "grant 50: it ends before it begins"},
		{"a grant without an end", func(f *Family) { f.Grants[0].Until = time.Time{} }, "grant 50: it never ends"},
		{"a grant that lasts longer than anybody remembers it", func(f *Family) { f.Grants[0].Until = monday.Add(MaxGrant + time.Hour) }, "grant 50: it lasts longer than 31 days"},
		{"a grant for a rule", func(f *Family) { f.Grants[0].What = Target{Kind: ForRule, Rule: 20} }, "grant 50: it is for a rule"},
		{"a grant of no profile", func(f *Family) { f.Grants[0].Profile = 9 }, "grant 50: its profile 9 does not exist"},
		{"a grant with a reason that steers a terminal", func(f *Family) { f.Grants[0].Why = "\x1b[2J" }, "grant 50: the reason holds the character U+001B"},
	} {
		f := fullFamily(t)
		tt.do(f)
		err := validate(f, testKnown)
		switch {
		case tt.says == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrConflict)):
			t.Errorf("%s: got %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}

// Everything is said at once, a line each.
func TestValidateSaysEverything(t *testing.T) {
	f := fullFamily(t)
	f.Zone, f.Default, f.Profiles[2].Services["x"] = "x", 9, ChooseBlock
	f.Devices[0].Profile, f.Grants[0].Until = 9, monday
	if err := validate(f, testKnown); err == nil || len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("got:\n%v\nwant five lines", err)
	}
}

func TestLimits(t *testing.T) {
	many := func(n int, add func(i int)) {
		for i := range n {
			add(i)
		}
	}
	for _, tt := range []struct {
		most int
		what string
		add  func(f *Family, i int)
	}{
		{MaxGuardians, "guardians", func(f *Family, i int) {
			f.Guardians = append(f.Guardians, Guardian{GuardianID(i + 1000), fmt.Sprint("G", i), Viewer})
		}},
		{MaxProfiles, "profiles", func(f *Family, i int) {
			f.Profiles = append(f.Profiles, Profile{ID: ProfileID(i + 1000), Name: fmt.Sprint("P", i)})
		}},
		{MaxDevices, "devices", func(f *Family, i int) {
			f.Devices = append(f.Devices, Device{ID: DeviceID(i + 1000), Name: fmt.Sprint("D", i), Profile: 1, Tokens: []string{fmt.Sprint("t", i)}})
		}},
		{MaxRules, "rules", func(f *Family, i int) {
			f.Profiles[0].Rules = append(f.Profiles[0].Rules, Rule{ID: RuleID(i + 1000), Name: blocklists.MustName(fmt.Sprintf("d%d.com", i))})
		}},
		{MaxSchedules, "schedules", func(f *Family, i int) {
			f.Profiles[0].Schedules = append(f.Profiles[0].Schedules, Schedule{
				ID: ScheduleID(i + 1000), Name: fmt.Sprint("S", i), Windows: []Window{{1, Minutes(i), Minutes(i + 1)}},
			})
		}},
		{MaxWindows, "windows", func(f *Family, i int) {
			if i == 0 {
				f.Profiles[0].Schedules = []Schedule{{ID: 1000, Name: "S"}}
			}
			s := &f.Profiles[0].Schedules[0]
			s.Windows = append(s.Windows, Window{1, Minutes(i), Minutes(i + 1)})
		}},
		{MaxGrants, "grants", func(f *Family, i int) {
			f.Grants = append(f.Grants, Grant{ID: GrantID(i + 1000), Profile: 1, From: monday, Until: monday.Add(time.Hour)})
		}},
		{MaxHolidays, "holidays", func(f *Family, i int) {
			f.Holidays = append(f.Holidays, Holiday{fmt.Sprint("H", i), Date{2026, 1, 1}, Date{2026, 1, 1}})
		}},
	} {
		f := fullFamily(t)
		f.LastID = 1 << 20
		f.Guardians = f.Guardians[:2]
		have := map[string]int{"guardians": 2, "profiles": 3, "devices": 2, "grants": 1, "holidays": 1}[tt.what]
		many(tt.most-have, func(i int) { tt.add(f, i) })
		if err := validate(f, Known{}); err != nil {
			t.Errorf("%d %s: %v", tt.most, tt.what, err)
		}
		tt.add(f, tt.most)
		if err := validate(f, Known{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("there are %d %s; at most %d", tt.most+1, tt.what, tt.most)) {
			t.Errorf("%d %s: got %v", tt.most+1, tt.what, err)
		}
	}
}

// What the catalogue knows of help lines: the line itself is refused, what lies
// above it is not, since the line stays open whatever that says.
func TestKnownByTheCatalogue(t *testing.T) {
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	k := KnownBy(c)
	for _, tt := range []struct {
		name string
		m    Match
		want bool
	}{
		{"www.childline.org.uk", MatchExact, true},
		{"childline.org.uk", MatchSuffix, true},
		{"org.uk", MatchSuffix, false},
		{"example.com", MatchSuffix, false},
	} {
		if got := k.Help(Rule{Name: blocklists.MustName(tt.name), Match: tt.m}); (got != "") != tt.want {
			t.Errorf("%s %s: help line %q, want one: %v", tt.name, tt.m, got, tt.want)
		}
	}
	f := fullFamily(t)
	f.Profiles[2].Services = map[string]Choice{"tiktokk": ChooseBlock}
	f.Profiles[2].Schedules = f.Profiles[2].Schedules[:1]
	f.Grants = nil
	if err := validate(f, k); err == nil || !strings.Contains(err.Error(), `did you mean "tiktok"?`) {
		t.Errorf("got %v, want the nearest service", err)
	}
}
