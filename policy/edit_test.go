package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/blocklists"
)

var monday = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func nets(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
			continue
		}
		a := netip.MustParseAddr(s)
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// did fails the test where an edit failed; it takes what edits return.
func did(t *testing.T) func(what string, err error) {
	return func(what string, err error) {
		t.Helper()
		if err != nil || what == "" {
			t.Fatalf("did %q, error %v", what, err)
		}
	}
}

// got is did for edits that make something.
func got[T any](t *testing.T) func(made T, what string, err error) T {
	return func(made T, what string, err error) T {
		t.Helper()
		did(t)(what, err)
		return made
	}
}

func sameFamily(t *testing.T, got, want *Family) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("family (-want +got):\n%s", d)
	}
}

func testFamily() *Family { return NewFamily("Home", "Europe/Berlin", BandC) }

func TestFamilyIsWhatWasChosen(t *testing.T) {
	f := testFamily()
	do, watch, allow, safe, item, on := did(t), ChooseWatch, ChooseAllow, SearchSafe, KeepItem, true
	emma := got[ProfileID](t)(f.AddProfile(" Emma ", BandA))
	do(f.SetPreset("EMMA", BandB))
	do(f.SetCategory("Emma", blocklists.Social, &watch))
	do(f.SetCategory("Emma", blocklists.Forums, &allow))
	do(f.SetCategory("Emma", blocklists.Forums, nil))
	do(f.SetService("Emma", "tiktok", &allow))
	do(f.SetList("Emma", "ads", &watch))
	do(f.SetLog("Emma", blocklists.Dating, &item))
	do(f.SetSearch("Emma", "bing", &safe))
	do(f.SetBypass("Emma", &on))
	do(f.SetResponse("Emma", &ZeroAddress))
	do(f.Pause("Emma", monday.Add(time.Hour), monday))
	rule := got[RuleID](t)(f.AddRule("Emma", Rule{Name: blocklists.MustName(`x\.y.example.com`), Match: MatchExact, Allow: true, Until: monday.Add(time.Hour)}, monday))
	tablet := got[DeviceID](t)(f.AddDevice("Emma", Device{Name: "Tablet", Networks: nets("fd00::20", "::ffff:192.168.1.21", "192.168.1.20"), Tokens: []string{"K7"}, MACs: []MAC{{2}}}, monday))
	bedtime := got[ScheduleID](t)(f.AddSchedule("Emma", Schedule{Name: "Bedtime", Windows: []Window{{127, 1290, 390}}}))
	do(f.AddException("emma", "bedtime", Exception{Day: Date{2026, 12, 24}}))
	grant := got[GrantID](t)(f.AddGrant("Emma", Grant{What: Target{Kind: ForService, Service: "tiktok"}, Until: monday.Add(time.Hour), By: "anna"}, monday))
	anna := got[GuardianID](t)(f.AddGuardian("Anna", Viewer)) // the first is an owner
	do(f.AddHoliday(Holiday{"Christmas", Date{2026, 12, 24}, Date{2026, 12, 26}}))
	do(f.SetNetworks(nets("203.0.113.7")))
	do(f.SetDefault("emma"))
	do(f.SetLoosening(Loosening{Delay: 60}))
	do(f.RenameProfile("emma", "Emma B."))
	f.Normalize()
	want := testFamily()
	want.LastID, want.Default, want.Loosening, want.Networks = f.LastID, emma, Loosening{Delay: 60}, nets("203.0.113.7")
	want.Profiles = append(want.Profiles, Profile{
		ID: emma, Name: "Emma B.", Preset: BandB,
		Categories: map[blocklists.Category]Choice{blocklists.Social: watch},
		Services:   map[string]Choice{"tiktok": allow},
		Lists:      map[string]Choice{"ads": watch},
		Log:        map[blocklists.Category]Keep{blocklists.Dating: item},
		Search:     map[string]Search{"bing": safe},
		Bypass:     &on, Response: &ZeroAddress, Paused: monday.Add(time.Hour),
		Rules:     []Rule{{ID: rule, Name: blocklists.MustName(`x\.y.example.com`), Match: MatchExact, Allow: true, Until: monday.Add(time.Hour)}},
		Schedules: []Schedule{{ID: bedtime, Name: "Bedtime", Windows: []Window{{127, 1290, 390}}, Exceptions: []Exception{{Day: Date{2026, 12, 24}}}}},
	})
	want.Devices = []Device{{ID: tablet, Name: "Tablet", Profile: emma, Networks: nets("192.168.1.20", "192.168.1.21", "fd00::20"), Tokens: []string{"k7"}, MACs: []MAC{{2}}}}
	want.Grants = []Grant{{ID: grant, Profile: emma, What: Target{Kind: ForService, Service: "tiktok"}, From: monday, Until: monday.Add(time.Hour), By: "anna"}}
	want.Guardians = []Guardian{{anna, "Anna", Owner}}
	want.Holidays = []Holiday{{"Christmas", Date{2026, 12, 24}, Date{2026, 12, 26}}}
	sameFamily(t, f, want)
	if err := validate(f, Known{}); err != nil {
		t.Errorf("what edits make is not valid: %v", err)
	}

	phone, end := "Phone", monday.Add(time.Hour)
	for _, ref := range []string{"192.168.1.21", "K7", "02-00-00-00-00-00", "TABLET"} {
		if d, err := f.Device(ref); err != nil || d.ID != tablet {
			t.Errorf("device %q: %v %v", ref, d, err)
		}
	}
	do(f.UpdateDevice("k7", DeviceChange{Name: &phone, Networks: nets("10.0.0.0/24"), MACs: []MAC{}, Until: &end}, monday))
	do(f.UpdateDevice("phone", DeviceChange{Tokens: []string{}}, monday))
	want.Devices[0] = Device{ID: tablet, Name: phone, Profile: emma, Networks: nets("10.0.0.0/24"), Until: end}
	sameFamily(t, f, want)

	do(f.RemoveDevice("10.0.0.0/24"))
	do(f.RemoveRule(rule))
	do(f.RemoveException("Emma B.", "Bedtime", Date{2026, 12, 24}))
	do(f.SwitchSchedule("Emma B.", "Bedtime", false))
	do(f.RemoveSchedule("Emma B.", "Bedtime"))
	do(f.RevokeGrant(grant))
	do(f.EndPause("Emma B."))
	do(f.SetDefault("Everyone"))
	do(f.RemoveHoliday("christmas", Date{}))
	do(f.SetNetworks(nil))
	do(f.SetLoosening(Loosening{}))
	do(f.RemoveProfile("Emma B."))
	do(f.RemoveGuardian("anna"))
	want = testFamily()
	want.LastID = f.LastID // no ID is used again
	sameFamily(t, f, want)
}

func TestSameIsNoChange(t *testing.T) {
	f := testFamily()
	block := ChooseBlock
	did(t)(f.SetCategory("Everyone", blocklists.Social, &block))
	for name, err := range map[string]error{
		"category": second(f.SetCategory("Everyone", blocklists.Social, &block)), "no category": second(f.SetCategory("Everyone", blocklists.Forums, nil)),
		"preset": second(f.SetPreset("Everyone", BandC)), "name": second(f.RenameProfile("Everyone", "Everyone")), "family": second(f.Rename("Home")),
		"default": second(f.SetDefault("everyone")), "zone": second(f.SetZone("Europe/Berlin")), "pause": second(f.EndPause("Everyone")),
		"bypass": second(f.SetBypass("Everyone", nil)), "response": second(f.SetResponse("Everyone", nil)), "guests": second(f.SetGuests("Everyone", false)),
		"loosening": second(f.SetLoosening(Loosening{})), "networks": second(f.SetNetworks(nil)),
	} {
		if !errors.Is(err, ErrSame) {
			t.Errorf("%s: got %v, want that nothing changes", name, err)
		}
	}
}

func second(_ string, err error) error            { return err }
func third[T any](_ T, _ string, err error) error { return err }

// What a change says is read by viewers and kept in the history. The label of a
// private-DNS name is the device's key, and stands in none of it.
func TestChangesNameNoToken(t *testing.T) {
	const secret = "k7secret"
	f := testFamily()
	_, added, err := f.AddDevice("Everyone", Device{Name: "Phone", Tokens: []string{secret}}, monday)
	if err != nil {
		t.Fatal(err)
	}
	_, _, conflict := f.AddDevice("Everyone", Device{Name: "Phone", Networks: nets("192.168.1.20")}, monday)
	changed, err := f.UpdateDevice("Phone", DeviceChange{Networks: nets("192.168.1.20")}, monday)
	if err != nil {
		t.Fatal(err)
	}
	_, exempted, err := f.ExemptDevice("Phone", "", time.Time{}, monday)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{added, conflict.Error(), changed, exempted} {
		if strings.Contains(got, secret) || !strings.Contains(got, "encrypted DNS") {
			t.Errorf("got %q, want that it has a name for encrypted DNS, and not which", got)
		}
	}
}

func TestExempt(t *testing.T) {
	adults := ProfileID(2)
	t.Run("an address that is no device yet", func(t *testing.T) {
		f := testFamily()
		d := got[Device](t)(f.ExemptDevice("192.168.1.20", "", time.Time{}, monday))
		want := Device{ID: d.ID, Name: "Device 192.168.1.20", Profile: adults, Then: 1, Networks: nets("192.168.1.20")}
		if d := cmp.Diff(want, d, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); d != "" {
			t.Errorf("device (-want +got):\n%s", d)
		}
		did(t)(f.UnexemptDevice("192.168.1.20"))
		if f.Devices[0].Profile != 1 || f.Devices[0].Then != 0 {
			t.Errorf("after it: %+v", f.Devices[0])
		}
	})
	t.Run("for a time, a device goes back to its own profile", func(t *testing.T) {
		f, now := testFamily(), monday
		emma := got[ProfileID](t)(f.AddProfile("Emma", BandA))
		got[DeviceID](t)(f.AddDevice("Emma", Device{Name: "Tablet", Networks: nets("192.168.1.20")}, now))
		for range 2 { // again: a longer time, and still its own profile after it
			d := got[Device](t)(f.ExemptDevice("tablet", "", now.Add(time.Hour), now))
			if d.Profile != adults || d.Then != emma || !d.Until.Equal(now.Add(time.Hour)) {
				t.Errorf("during: %+v", d)
			}
			now = now.Add(30 * time.Minute)
		}
		if err := second(f.RemoveProfile("Emma")); !errors.Is(err, ErrConflict) {
			t.Errorf("removing the profile that it goes back to: %v", err)
		}
		f.Settle(now.Add(time.Hour))
		if d := f.Devices[0]; d.Profile != emma || !d.Until.IsZero() || d.Then != 0 {
			t.Errorf("after its end: %+v", d)
		}
		if err := second(f.UnexemptDevice("Tablet")); !errors.Is(err, ErrInvalid) {
			t.Errorf("ending what has ended: %v", err)
		}
	})
	t.Run("a device that visits a profile goes back to what was to follow", func(t *testing.T) {
		f := testFamily()
		emma := got[ProfileID](t)(f.AddProfile("Emma", BandA))
		guests := got[ProfileID](t)(f.AddProfile("Guests", BandA))
		got[DeviceID](t)(f.AddDevice("Guests", Device{Name: "Tablet", Networks: nets("192.168.1.20"), Until: monday.Add(24 * time.Hour)}, monday))
		f.Devices[0].Then = emma
		got[Device](t)(f.ExemptDevice("Tablet", "", monday.Add(time.Hour), monday))
		if f.Settle(monday.Add(2 * time.Hour)); f.Devices[0].Profile != emma {
			t.Errorf("after it: %+v; want profile %d, not %d for good", f.Devices[0], emma, guests)
		}
	})
	t.Run("without an adults' profile one is made", func(t *testing.T) {
		f := testFamily()
		did(t)(f.RemoveProfile("Adults"))
		d := got[Device](t)(f.ExemptDevice("fe80::1%eth0", "", time.Time{}, monday))
		if p := f.Profiles[1]; p.Name != "Adults" || p.Preset != Adult || d.Profile != p.ID || d.Name != "Device fe80::1" {
			t.Errorf("device %+v, profile %+v", d, p)
		}
	})
	t.Run("a name that is taken by another preset", func(t *testing.T) {
		f := testFamily()
		did(t)(f.SetPreset("Adults", BandE))
		if err := third(f.ExemptDevice("192.168.1.20", "", time.Time{}, monday)); !errors.Is(err, ErrConflict) {
			t.Errorf("error %v", err)
		}
	})
}

// What ends is settled, and what has no end stays.
func TestSettleKeepsWhatIsRefusedAfterwards(t *testing.T) {
	f := testFamily()
	got[DeviceID](t)(f.AddDevice("Everyone", Device{Name: "Guest", Networks: nets("192.168.1.20"), Until: monday.Add(time.Hour)}, monday))
	did(t)(f.Pause("Everyone", time.Time{}, monday))
	did(t)(f.SetDefault(""))
	f.Settle(monday.Add(48 * time.Hour))
	if d := f.Devices[0]; d.Profile != 1 || d.Until.IsZero() || f.Profiles[0].Paused != Forever {
		t.Errorf("device %+v, paused until %s", d, f.Profiles[0].Paused)
	}
	if err := validate(f, Known{}); err != nil {
		t.Error(err)
	}
}

// What is refused says what and what to do.
func TestRefusals(t *testing.T) {
	base := testFamily()
	got[DeviceID](t)(base.AddDevice("Everyone", Device{Name: "Tablet", Networks: nets("192.168.1.20"), MACs: []MAC{{2}}, Tokens: []string{"k7"}}, monday))
	got[DeviceID](t)(base.AddDevice("Everyone", Device{Name: "Guests", Networks: nets("192.168.2.0/24")}, monday))
	name := blocklists.MustName("example.com")
	rule := got[RuleID](t)(base.AddRule("Everyone", Rule{Name: name}, monday))
	got[ScheduleID](t)(base.AddSchedule("Everyone", Schedule{Name: "School", What: Target{Kind: ForRule, Rule: rule}, Windows: []Window{{62, 480, 780}}}))
	got[GuardianID](t)(base.AddGuardian("Anna", Owner))
	got[GuardianID](t)(base.AddGuardian("Ben", Carer))
	got[DeviceID](t)(base.AddDevice("Adults", Device{Name: "Laptop", Networks: nets("192.168.1.9")}, monday))
	empty, guests, past, nobody, block := "", "GUESTS", monday, "nobody", ChooseBlock
	add := func(name, profile string, networks ...string) func(*Family) error {
		return func(f *Family) error {
			return third(f.AddDevice(profile, Device{Name: name, Networks: nets(networks...)}, monday))
		}
	}
	update := func(ref string, c DeviceChange) func(*Family) error {
		return func(f *Family) error { return second(f.UpdateDevice(ref, c, monday)) }
	}
	exempt := func(ref string, until time.Time) func(*Family) error {
		return func(f *Family) error { return third(f.ExemptDevice(ref, "", until, monday)) }
	}
	addRule := func(profile string, r Rule) func(*Family) error {
		return func(f *Family) error { return third(f.AddRule(profile, r, monday)) }
	}
	grant := func(g Grant) func(*Family) error {
		return func(f *Family) error { return third(f.AddGrant("Everyone", g, monday)) }
	}
	profile := func(name string, p Preset) func(*Family) error {
		return func(f *Family) error { return third(f.AddProfile(name, p)) }
	}
	long := strings.Repeat("ä", 101)
	for _, tt := range []struct {
		name string
		do   func(*Family) error
		kind error
		says string
	}{
		{"device: address taken", add("B", "Everyone", "192.168.1.20"), ErrConflict, `192.168.1.20 already belongs to device "Tablet"`},
		{"device: address within a network", add("B", "Everyone", "192.168.2.7"), ErrConflict, `already belongs to device "Guests" (192.168.2.0/24)`},
		{"device: network over an address", add("B", "Everyone", "192.168.1.16/28"), ErrConflict, `already belongs to device "Tablet" (192.168.1.20)`},
		{"device: an IPv4 address in IPv6", add("B", "Everyone", "::ffff:192.168.1.20"), ErrConflict, `already belongs to device "Tablet"`},
		{"device: the same network twice", add("B", "Everyone", "10.0.0.1", "10.0.0.0/8"), ErrConflict, "10.0.0.1 and 10.0.0.0/8 overlap"},
		{"device: a network with the bits of an address", add("B", "Everyone", "10.0.0.7/24"), ErrInvalid, "10.0.0.0/24 for the whole network"},
		{"device: everybody", add("B", "Everyone", "0.0.0.0/0"), ErrInvalid, "everybody"},
		{"device: no clue", add("B", "Everyone"), ErrInvalid, "at least one"},
		{"device: unknown profile", add("B", "Emma", "10.0.0.1"), ErrNotFound, `no profile "Emma"; there are: Everyone, Adults`},
		{"device: name taken in other case", add("TABLET", "Everyone", "10.0.0.1"), ErrConflict, `a device "Tablet" already (192.168.1.20`},
		{"device: empty name", add(" \t", "Everyone", "10.0.0.1"), ErrInvalid, "empty"},
		{"device: name of 101 characters", add(long, "Everyone", "10.0.0.1"), ErrInvalid, "101 characters; at most 100"},
		{"device: a name that steers a terminal", add("a\x1b[31mb", "Everyone", "10.0.0.1"), ErrInvalid, "U+001B"},
		{"device: a name that turns text around", add("a\u202eb", "Everyone", "10.0.0.1"), ErrInvalid, "U+202E"},
		{"device: a name that is no text", add("a\xff", "Everyone", "10.0.0.1"), ErrInvalid, ""},
		{"device: a name that is an address", add("10.0.0.9", "Everyone", "10.0.0.1"), ErrInvalid, "is an address"},
		{"device: a name that is a hardware address", add("aa:bb:cc:dd:ee:ff", "Everyone", "10.0.0.1"), ErrInvalid, "is an address"},
		{"device: hardware address taken", update("Guests", DeviceChange{MACs: []MAC{{2}}}), ErrConflict, `02:00:00:00:00:00 already belongs to device "Tablet"`},
		{"device: token taken", update("Guests", DeviceChange{Tokens: []string{"K7"}}), ErrConflict, `"k7" already belongs to device "Tablet"`},
		{"device: a token with a dot", update("Guests", DeviceChange{Tokens: []string{"a.b"}}), ErrInvalid, "private-DNS"},
		{"update: nobody", update("nobody", DeviceChange{}), ErrNotFound, "there are: Tablet, Guests"},
		{"update: name taken", update("Tablet", DeviceChange{Name: &guests}), ErrConflict, `"Guests" already`},
		{"update: empty name", update("Tablet", DeviceChange{Name: &empty}), ErrInvalid, "empty"},
		{"update: unknown profile", update("Tablet", DeviceChange{Profile: &nobody}), ErrNotFound, "nobody"},
		{"update: a time that is over", update("Tablet", DeviceChange{Until: &past}), ErrInvalid, "over already"},
		{"update: no clue", update("Guests", DeviceChange{Networks: []netip.Prefix{}}), ErrInvalid, "at least one"},
		{"update: taken network", update("Tablet", DeviceChange{Networks: nets("192.168.2.0/23")}), ErrConflict, "Guests"},
		{"remove: nobody", func(f *Family) error { return second(f.RemoveDevice("10.9.9.9")) }, ErrNotFound, "there are: Tablet, Guests"},
		{"exempt: nobody", exempt("nobody", time.Time{}), ErrNotFound, "there are: Tablet, Guests"},
		{"exempt: an address within a device's network", exempt("192.168.2.7", time.Time{}), ErrConflict, `device "Guests"`},
		{"exempt: a time that is over", exempt("10.0.0.1", monday.Add(-time.Second)), ErrInvalid, "over already"},
		{"exempt: everybody", exempt("::/0", time.Time{}), ErrInvalid, "everybody"},
		{"exempt: a network with the bits of an address", exempt("192.168.1.20/24", time.Time{}), ErrInvalid, "write 192.168.1.20 for the one device"},
		{"unexempt: not exempt", func(f *Family) error { return second(f.UnexemptDevice("Tablet")) }, ErrInvalid, `on profile "Everyone"`},
		{"rule: twice", addRule("everyone", Rule{Name: name}), ErrConflict, "says deny"},
		{"rule: the opposite", addRule("Everyone", Rule{Name: name, Allow: true}), ErrConflict, "remove it first"},
		{"rule: the root", addRule("Everyone", Rule{}), ErrInvalid, "root"},
		{"rule: over already", addRule("Everyone", Rule{Name: "\x01a", Until: monday}), ErrInvalid, "over already"},
		{"rule: unknown profile", addRule("Emma", Rule{Name: name}), ErrNotFound, "Emma"},
		{"rule: none to remove", func(f *Family) error { return second(f.RemoveRule(999)) }, ErrNotFound, "no rule 999; look"},
		{"rule: a schedule is about it", func(f *Family) error { return second(f.RemoveRule(rule)) }, ErrConflict, `schedule "School"`},
		{"profile: twice", profile("everyone", BandA), ErrConflict, `"Everyone" already`},
		{"profile: empty", profile("", BandA), ErrInvalid, "empty"},
		{"profile: too long", profile(long, BandA), ErrInvalid, "101"},
		{"profile: no such preset", profile("X", Adult+1), ErrInvalid, "preset"},
		{"profile: renamed to another's", func(f *Family) error { return second(f.RenameProfile("Adults", "EVERYONE")) }, ErrConflict, "Everyone"},
		{"profile: rename nobody", func(f *Family) error { return second(f.RenameProfile("Emma", "X")) }, ErrNotFound, "Emma"},
		{"profile: remove everyone's", func(f *Family) error { return second(f.RemoveProfile("Everyone")) }, ErrConflict, "applies to every device"},
		{"profile: remove a device's", func(f *Family) error { return second(f.RemoveProfile("Adults")) }, ErrConflict, `"Laptop"`},
		{"profile: remove nobody", func(f *Family) error { return second(f.RemoveProfile("Emma")) }, ErrNotFound, "Emma"},
		{"preset: no such", func(f *Family) error { return second(f.SetPreset("Everyone", Adult+1)) }, ErrInvalid, "preset"},
		{"category: help", func(f *Family) error { return second(f.SetCategory("Everyone", blocklists.Help, &block)) }, ErrInvalid, "cannot be chosen"},
		{"category: none", func(f *Family) error { return second(f.SetCategory("Everyone", blocklists.NumCategories, &block)) }, ErrInvalid, "cannot be chosen"},
		{"service: empty", func(f *Family) error { return second(f.SetService("Everyone", "", &block)) }, ErrInvalid, "empty"},
		{"choice: unknown profile", func(f *Family) error { return second(f.SetService("Emma", "tiktok", &block)) }, ErrNotFound, "Emma"},
		{"schedule: name taken", func(f *Family) error { return third(f.AddSchedule("Everyone", Schedule{Name: "SCHOOL"})) }, ErrConflict, `"School" already`},
		{"schedule: none", func(f *Family) error { return second(f.SwitchSchedule("Everyone", "Bedtime", false)) }, ErrNotFound, "there are: School"},
		{"grant: no end", grant(Grant{}), ErrInvalid, "needs an end"},
		{"grant: over already", grant(Grant{Until: monday}), ErrInvalid, "over already"},
		{"grant: begins after its end", grant(Grant{From: monday.Add(2 * time.Hour), Until: monday.Add(time.Hour)}), ErrInvalid, "before it begins"},
		{"grant: a rule", grant(Grant{Until: monday.Add(time.Hour), What: Target{Kind: ForRule, Rule: rule}}), ErrInvalid, "remove the rule"},
		{"grant: none to revoke", func(f *Family) error { return second(f.RevokeGrant(999)) }, ErrNotFound, "no grant 999"},
		{"guardian: twice", func(f *Family) error { return third(f.AddGuardian("ANNA", Viewer)) }, ErrConflict, `"Anna" already`},
		{"guardian: the last owner's role", func(f *Family) error { return second(f.SetRole("Anna", Carer)) }, ErrConflict, "only owner"},
		{"guardian: the last owner goes", func(f *Family) error { return second(f.RemoveGuardian("Anna")) }, ErrConflict, "only owner"},
		{"zone", func(f *Family) error { return second(f.SetZone("Mars/Olympus")) }, ErrInvalid, "Europe/Berlin"},
		{"holiday: none", func(f *Family) error { return second(f.RemoveHoliday("Easter", Date{})) }, ErrNotFound, "none at all yet"},
		{"pause: over already", func(f *Family) error { return second(f.Pause("Everyone", monday, monday)) }, ErrInvalid, "over already"},
	} {
		f, err := base.Clone()
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.do(f); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want one that is %q and says %q", tt.name, err, tt.kind, tt.says)
		}
	}
}

func TestARuleThatEndedMakesRoom(t *testing.T) {
	f := testFamily()
	r := Rule{Name: blocklists.MustName("example.com"), Allow: true, Until: monday.Add(time.Minute)}
	first := got[RuleID](t)(f.AddRule("Everyone", r, monday))
	r.Until = time.Time{}
	second := got[RuleID](t)(f.AddRule("Everyone", r, monday.Add(time.Minute)))
	if len(f.Profiles[0].Rules) != 1 || second == first {
		t.Errorf("rules: %+v, want the new one alone", f.Profiles[0].Rules)
	}
}

func TestParseNetwork(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"192.168.1.20", "192.168.1.20/32"},
		{" 192.168.1.20 ", "192.168.1.20/32"},
		{"::ffff:192.168.1.20", "192.168.1.20/32"},
		{"::ffff:192.168.1.0/120", "192.168.1.0/24"},
		{"fe80::1%eth0", "fe80::1/128"},
		{"FD00::/64", "fd00::/64"},
		{"192.168.1.0/24", "192.168.1.0/24"},
		{"192.168.1.20/24", ""},
		{"::/0", ""},
		{"::ffff:0.0.0.0/96", ""},
		{"", ""},
		{"tablet", ""},
		{"192.168.1.300", ""},
		{"1.2.3.4/33", ""},
	} {
		got, err := ParseNetwork(tt.in)
		if tt.want == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v %v, want it refused", tt.in, got, err)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("%q: %v %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

// TestNameAtFirst: a new family is named as who sets it up says, and nothing in it is ever
// called as something else is, or by what is no name.
func TestNameAtFirst(t *testing.T) {
	german := FirstNames{"Zuhause", "Alle", "Erwachsene"}
	for _, tt := range []struct {
		name   string
		before func(*Family)
		to     FirstNames
		want   FirstNames
		same   bool
	}{
		{name: "a new one", to: german, want: german},
		{name: "one that was named", before: func(f *Family) { f.Name, f.Profiles[1].Name = "Miller", "Us" }, to: german, want: FirstNames{"Miller", "Alle", "Us"}},
		{
			name: "another profile has the name", before: func(f *Family) { f.AddProfile("ALLE", BandA) },
			to: german, want: FirstNames{"Zuhause", "Everyone", "Erwachsene"},
		},
		{name: "both are to be called the same", to: FirstNames{"Zuhause", "Alle", "alle"}, want: FirstNames{"Zuhause", "Alle", "Adults"}},
		{name: "not as names are stored", to: FirstNames{" Zuhause", "Alle ", "Großa\u0308ltere"}, want: FirstNames{"Zuhause", "Alle", "Groß\u00e4ltere"}},
		{name: "some are none", to: FirstNames{"", "Alle", "\n"}, want: FirstNames{"Home", "Alle", "Adults"}},
		{name: "as it is called", to: FirstNames{HomeName, everyoneName, adultsName}, want: FirstNames{"Home", "Everyone", "Adults"}, same: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFamily(HomeName, "", BandC)
			if tt.before != nil {
				tt.before(f)
			}
			what, err := f.NameAtFirst(tt.to)
			if got := (FirstNames{f.Name, f.Profiles[0].Name, f.Profiles[1].Name}); got != tt.want || errors.Is(err, ErrSame) != tt.same {
				t.Errorf("%q, %v makes %q, want %q", what, err, got, tt.want)
			}
			if f.ID, f.Default = 1, 1; len(Faults(f, Known{})) > 0 {
				t.Errorf("faults: %v", Faults(f, Known{}))
			}
		})
	}
}
