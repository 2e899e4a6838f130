package main

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kinward/blocklists"
	"kinward/policy"
)

// drawFamily makes a family of all that can be declared, with the IDs that a
// store would have given.
func drawFamily(t *rapid.T) *policy.Family {
	f := &policy.Family{Name: "Home", Zone: rapid.SampledFrom([]string{"Europe/Berlin", "Australia/Lord_Howe", "UTC"}).Draw(t, "zone")}
	id := func() int64 { f.LastID++; return f.LastID }
	number := func(most int, what string) int { return rapid.IntRange(0, most).Draw(t, what) }
	yes := func(what string) bool { return rapid.Bool().Draw(t, what) }
	moment := func(what string) time.Time {
		switch number(4, what) {
		case 0:
			return time.Time{}
		case 1:
			return policy.Forever
		}
		// In both passes of a doubled hour too, and between the minutes.
		return time.Unix(1792886400+int64(number(1<<20, what)), int64(number(1, what))).UTC()
	}
	choice := rapid.SampledFrom([]policy.Choice{policy.ChooseAllow, policy.ChooseWatch, policy.ChooseBlock, policy.ChooseCount})
	category := rapid.SampledFrom([]blocklists.Category{blocklists.AnonymousChat, blocklists.Security, blocklists.KnownRiskCategory})
	word := rapid.SampledFrom([]string{"tiktok", "off", "5", "true", "~", "a: b", "#"})
	window := rapid.Custom(func(t *rapid.T) policy.Window {
		return policy.Window{
			Days: policy.Days(rapid.IntRange(1, 127).Draw(t, "days")),
			From: policy.Minutes(rapid.IntRange(0, 1439).Draw(t, "from")), To: policy.Minutes(rapid.IntRange(1, 1440).Draw(t, "to")),
		}
	})
	night := rapid.Map(window, func(w policy.Window) policy.Window { w.Days = 0; return w })
	day := rapid.Custom(func(t *rapid.T) policy.Date {
		return policy.Date{Year: 2026, Month: time.Month(rapid.IntRange(1, 12).Draw(t, "month")), Day: rapid.IntRange(1, 28).Draw(t, "day")}
	})
	name := func(what string, i int) string {
		return rapid.SampledFrom([]string{"Lea", "off", "12", "null", "Mum's", "Ä\"b", "x: y"}).Draw(t, what) + fmt.Sprint(i)
	}
	f.Country = rapid.SampledFrom([]string{"", "DE", "NO"}).Draw(t, "country") // NO is false to old YAML
	f.Retention.Days = policy.KeptDays(number(40, "days"))
	f.Retention.Categories = rapid.MapOfN(category, rapid.Map(rapid.IntRange(1, 99), func(d int) policy.KeptDays { return policy.KeptDays(d) }), 0, 2).Draw(t, "kept")
	for i := range number(2, "guardians") {
		f.Guardians = append(f.Guardians, policy.Guardian{ID: policy.GuardianID(id()), Name: name("guardian", i), Role: policy.Role(number(2, "role"))})
	}
	for i := range number(2, "holidays") {
		f.Holidays = append(f.Holidays, policy.Holiday{Name: name("holiday", i), First: day.Draw(t, "first"), Last: day.Draw(t, "last")})
	}
	for i := range 1 + number(2, "profiles") {
		p := policy.Profile{
			ID: policy.ProfileID(id()), Name: name("profile", i), Preset: policy.Preset(number(5, "preset")), Guests: yes("guests"), Paused: moment("paused"),
			Categories: rapid.MapOfN(category, choice, 0, 2).Draw(t, "categories"), Services: rapid.MapOfN(word, choice, 0, 3).Draw(t, "services"),
			Lists: rapid.MapOfN(word, choice, 0, 2).Draw(t, "lists"),
			Log: rapid.MapOfN(category, rapid.SampledFrom([]policy.Keep{policy.KeepNothing, policy.KeepCount, policy.KeepItem}), 0, 2).
				Draw(t, "log"),
			Search: rapid.MapOfN(word, rapid.SampledFrom([]policy.Search{policy.SearchAny, policy.SearchSafe, policy.SearchModerate}), 0, 2).Draw(t, "search"),
		}
		if yes("response") {
			p.Response = &policy.BlockMode{V4: netip.MustParseAddr("192.0.2.1")}
		}
		if yes("has bypass") {
			b := yes("bypass")
			p.Bypass = &b
		}
		for i := range number(3, "rules") {
			host := blocklists.MustName(fmt.Sprintf("host%d.example", i))
			match := policy.Match(number(3, "match"))
			if match == policy.MatchGlob {
				host = blocklists.MustName(fmt.Sprintf("a*%d.example", i))
			}
			p.Rules = append(p.Rules, policy.Rule{ID: policy.RuleID(id()), Name: host, Match: match, Allow: yes("allow"), Until: moment("until")})
		}
		for i := range number(2, "schedules") {
			s := policy.Schedule{
				ID: policy.ScheduleID(id()), Name: name("schedule", i), Effect: policy.Effect(number(1, "effect")), Off: yes("off"),
				Windows: rapid.SliceOfN(window, 1, 2).Draw(t, "windows"), Holidays: policy.Holidays(number(3, "mode")),
			}
			switch number(3, "what") {
			case 1:
				s.What = policy.Target{Kind: policy.ForCategory, Category: category.Draw(t, "category")}
			case 2:
				s.What = policy.Target{Kind: policy.ForService, Service: word.Draw(t, "service")}
			case 3:
				if len(p.Rules) > 0 {
					s.What = policy.Target{Kind: policy.ForRule, Rule: p.Rules[number(len(p.Rules)-1, "rule")].ID}
				}
			}
			for range number(2, "exceptions") {
				s.Exceptions = append(s.Exceptions, policy.Exception{Day: day.Draw(t, "exception"), Windows: rapid.SliceOfN(night, 0, 1).Draw(t, "windows")})
			}
			p.Schedules = append(p.Schedules, s)
		}
		f.Profiles = append(f.Profiles, p)
	}
	profile := func(none bool) policy.ProfileID {
		i := number(len(f.Profiles), "profile") - 1
		if i < 0 && none {
			return 0
		}
		return f.Profiles[max(i, 0)].ID
	}
	f.Default = profile(true)
	for i := range number(2, "tokens") {
		f.Tokens = append(f.Tokens, fmt.Sprintf("familytoken%05d", 22222+i))
	}
	for i := range number(2, "devices") {
		f.Devices = append(f.Devices, policy.Device{
			ID: policy.DeviceID(id()), Name: name("device", i), Profile: profile(false), Until: moment("until"), Then: profile(true),
			Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)},
			MACs:     []policy.MAC{{2, 0, 0, 0, 0, byte(i)}}, Tokens: []string{fmt.Sprintf("%de1", i)},
		})
	}
	for range number(2, "grants") {
		f.Grants = append(f.Grants, policy.Grant{
			ID: policy.GrantID(id()), Profile: profile(false), From: time.Unix(f.LastID, 0).UTC(), Until: time.Unix(2000000000+f.LastID, 0).UTC(), By: "Eva", Why: word.Draw(t, "why"),
			What: policy.Target{Kind: policy.ForName, Name: blocklists.MustName("example.org")},
		})
	}
	return f
}

// reread writes a family and reads it onto base.
func reread(t testing.TB, f, base *policy.Family) *policy.Family {
	text, err := writeFamily(f)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readFamily("test", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got, err := d.onto(base)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return got
}

var sameFamily = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}

// TestDeclaredFamilyRoundTrip: a family that is exported and applied is the
// family that it was, and a copy elsewhere is it but for its IDs.
func TestDeclaredFamilyRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFamily(rt)
		if diff := cmp.Diff(f, reread(t, f, f), sameFamily); diff != "" {
			rt.Fatalf("the export applied (-was +is):\n%s", diff)
		}
		copied := reread(t, f, &policy.Family{})
		if diff := differences(f, copied); len(diff) > 0 {
			rt.Fatalf("the copy differs: %q", diff)
		}
		if back := reread(t, copied, f); cmp.Diff(f, back, sameFamily) != "" {
			rt.Fatalf("the copy's export applied to the first:\n%s", cmp.Diff(f, back, sameFamily))
		}
	})
}

// TestDifferencesTellAll: two families that are not declared alike differ in
// words, and what is new the one way is gone the other.
func TestDifferencesTellAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawFamily(rt), drawFamily(rt)
		one, err1 := writeFamily(a)
		two, err2 := writeFamily(b)
		if err1 != nil || err2 != nil {
			rt.Fatal(err1, err2)
		}
		there, back := differences(a, b), differences(b, a)
		if same := string(one) == string(two); same != (len(there) == 0) || same != (len(back) == 0) {
			rt.Fatalf("alike %v, but the differences are %q and %q\n%s\n%s", same, there, back, one, two)
		}
	})
}

func TestDifferences(t *testing.T) {
	base, err := sample(t).onto(&policy.Family{})
	if err != nil {
		t.Fatal(err)
	}
	d := sample(t)
	lea := slices.IndexFunc(d.Profiles, func(p declaredProfile) bool { return p.Name == "Lea" })
	p := &d.Profiles[lea]
	p.Categories = maps.Clone(p.Categories)
	p.Categories[blocklists.Social] = policy.ChooseBlock
	p.Rules = p.Rules[1:]
	p.Schedules[0].Off = true
	d.Profiles = slices.Delete(d.Profiles, 2, 3) // Guests
	d.Devices[0].Name = "Lea's old phone"        // known by its address
	d.Devices = append(d.Devices, declaredDevice{Name: "TV", Profile: ref{text: "Everyone"}})
	after, err := d.onto(base)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.Devices[0].ID, base.Devices[0].ID; got != want {
		t.Errorf("the renamed phone is device %d; it was %d", got, want)
	}
	got := strings.Join(differences(base, after), "\n")
	wantAll(t, "the differences", got,
		"changed: profile Lea, category social: block (was watch)",
		"gone: profile Lea, rule for forum.example.org (was allow)",
		"changed: profile Lea, schedule Bedtime: blocks everything Sun-Thu 20:30-06:30; Fri,Sat 22:00-08:00, holidays: saturday, on 2026-12-31: none, switched off (was ",
		"gone: profile Guests (was preset C)", "new: device TV: profile Everyone", "new: device Lea's old phone: profile Lea")
	wantNone(t, "the differences", got, "Guests, for guests", "Mum's laptop", "time zone")
}

// sample is deploy/family.yaml.
func sample(t *testing.T) declaredFamily {
	t.Helper()
	d, err := readFamily("deploy/family.yaml", []byte(readFile(t, "deploy/family.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSampleFamily: the sample is right as a whole, and shows every key.
func TestSampleFamily(t *testing.T) {
	f, err := sample(t).onto(&policy.Family{})
	if err != nil {
		t.Fatal(err)
	}
	if again := reread(t, f, f); cmp.Diff(f, again, sameFamily) != "" {
		t.Errorf("the sample's export differs: %s", cmp.Diff(f, again, sameFamily))
	}
	for _, key := range declaredKeys() {
		if key != "then" && key != "grants" && key != "what" && key != "from" && key != "by" && key != "why" && key != "paused" && key != "off" {
			wantAll(t, "deploy/family.yaml", readFile(t, "deploy/family.yaml"), key+":")
		}
	}
}

// TestReadFamilyRefuses: each fault is named with its line and what is right.
func TestReadFamilyRefuses(t *testing.T) {
	const head = "family: Home\nunknown: Everyone\nprofiles:\n  - {name: Everyone, preset: C}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"a key that is not", head + "devises: []", `line 5: there is no key "devises" in the family; did you mean "devices"?`},
		{"a key of a profile that is not", "family: Home\nprofiles:\n  - {name: Lea, preset: D, catgories: {}}", `line 3: there is no key "catgories" in "profiles"; did you mean "categories"?`},
		{"a key twice", head + "zone: UTC\nZone: UTC", `line 6: key "Zone" stands already on line 5`},
		{"a category twice", "family: Home\nprofiles:\n  - name: Lea\n    preset: D\n    categories:\n      social: block\n      social: watch", "line 7: key \"social\" stands already on line 6"},
		{"a number for a name", "family: 5", "line 1: family: \"5\" is not a text"},
		{"nothing for a name", "family:", "line 1: family"},
		{"a text for a list", head + "devices: Tablet", "line 5: devices must be a list"},
		{"a word for yes or no", head + "loosening: {second: maybe}", `line 5: second: "maybe" is not true or false`},
		{"a word for a number of days", head + "retention: {days: long}", `line 5: days: "long" is not a whole number`},
		{"a category that is not, to be kept", head + "retention: {categories: {datng: 5}}", `"datng"`},
		{"a preset that is not", "family: Home\nprofiles:\n  - {name: Lea, preset: F}", `line 3: preset: reading preset "F"`},
		{"a category that is not", "family: Home\nprofiles:\n  - {name: Lea, preset: D, categories: {socail: block}}", `"social"`},
		{"a choice that is not", "family: Home\nprofiles:\n  - {name: Lea, preset: D, categories: {social: forbid}}", `line 3: categories social: reading choice "forbid"`},
		{"a window that is none", "family: Home\nprofiles:\n  - {name: Lea, preset: D, schedules: [{name: Bed, block: everything, windows: [evening]}]}", "Mon-Fri 21:30-06:30"},
		{"an address that is none", head + "devices: [{name: TV, profile: Everyone, networks: [192.168.1]}]", "line 5: networks"},
		{"a second document", head + "---\nfamily: Other", "a second document"},
		{"no family", "profiles: []", "names no family"},
		{"a profile that is not, for the unknown", strings.Replace(head, "unknown: Everyone", "unknown: Everybody", 1), `line 2: unknown: there is no profile "Everybody"`},
		{"no word on the unknown", strings.Replace(head, "unknown: Everyone\n", "", 1), "unknown"},
		{"a device of no profile", head + "devices:\n  - name: TV\n    profile: Lea", `line 7: device "TV", profile: there is no profile "Lea"`},
		{"a rule that does nothing", "family: Home\nunknown: Lea\nprofiles:\n  - name: Lea\n    preset: D\n    rules:\n      - until: 2030-01-01", `either "allow" or "deny"`},
		{"a rule that does both", "family: Home\nunknown: Lea\nprofiles:\n  - {name: Lea, preset: D, rules: [{allow: a.example, deny: a.example}]}", `line 4: a rule has either "allow" or "deny"`},
		{"a schedule for no rule", "family: Home\nunknown: Lea\nprofiles:\n  - {name: Lea, preset: D, rules: [{deny: a.example}], schedules: [{name: Bed, block: 'rule:b.example', windows: [20:00-21:00]}]}", "did you mean rule:a.example?"},
		{"a time that is none", head + "devices: [{name: TV, profile: Everyone, until: soon}]", `line 5: until: "soon" is not a time`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := readFamily("family.yaml", []byte(tt.text))
			if err == nil {
				_, err = d.onto(&policy.Family{})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v; want one with %q", err, tt.want)
			}
		})
	}
}

// declaredKeys lists every key of a declared family.
func declaredKeys() (keys []string) {
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || isText(reflect.New(t).Interface()) {
			return
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			keys = append(keys, name)
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[declaredFamily]())
	return keys
}
