package store

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/blocklists"
	"kinward/policy"
)

func prefixes(list ...string) (out []netip.Prefix) {
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

func wantFamily(t *testing.T, db *DB, want *policy.Family, revision uint64) {
	t.Helper()
	got, r := family(t, db)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" || r != revision {
		t.Errorf("revision %d, want %d; family (-want +got):\n%s", r, revision, d)
	}
}

func newFamily() *policy.Family {
	return &policy.Family{
		ID: 1, Name: "Home", Zone: "Europe/Berlin", Default: 1,
		Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}, {ID: 2, Name: "Adults", Preset: policy.Adult}},
	}
}

func TestFirstFamily(t *testing.T) {
	db := openNew(t)
	wantFamily(t, db, newFamily(), 1)
	closeDB(t, db)
	wantFamily(t, openAt(t, db.Path(), Options{Zone: "Asia/Tokyo"}), newFamily(), 1)

	e, o := policy.BandE, options()
	o.Preset = &e
	want := newFamily()
	want.Profiles[0].Preset = e
	wantFamily(t, openAt(t, filepath.Join(t.TempDir(), FileName), o), want, 1)

	o.Zone = "Mars/Olympus"
	if db, err := Open(t.Context(), filepath.Join(t.TempDir(), FileName), o); err == nil {
		db.Close()
		t.Error("a zone that does not exist was taken")
	}
}

func TestServerZoneIsAName(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	if z := serverZone(); z != "Asia/Tokyo" {
		t.Errorf("TZ=Asia/Tokyo: %q", z)
	}
	os.Setenv("TZ", "")
	if z := serverZone(); z != "" {
		if _, err := time.LoadLocation(z); err != nil || z == "Local" {
			t.Errorf("%q is no zone", z)
		}
	}
}

func TestFamilyIsWhatWasChosen(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	watch, block, allow := policy.ChooseWatch, policy.ChooseBlock, policy.ChooseAllow
	emma, err := db.AddProfile(ctx, " Emma ", policy.BandA)
	must(err)
	must(db.SetPreset(ctx, "EMMA", policy.BandB))
	must(db.SetCategory(ctx, "Emma", blocklists.Social, &watch))
	must(db.SetCategory(ctx, "Emma", blocklists.Social, &block))
	must(db.SetCategory(ctx, "Emma", blocklists.Forums, &allow))
	must(db.SetCategory(ctx, "Emma", blocklists.Forums, nil))
	must(db.SetService(ctx, "Emma", "tiktok", &allow))
	rule, err := db.AddRule(ctx, "Emma", policy.Rule{Name: blocklists.MustName(`x\.y.example.com`), Match: policy.MatchExact, Allow: true, Until: noon.Add(time.Hour)})
	must(err)
	tablet, err := db.AddDevice(ctx, "Tablet", "Emma", prefixes("192.168.1.20", "fd00::20", "::ffff:192.168.1.21"), time.Time{})
	must(err)
	must(db.RenameProfile(ctx, "emma", "Emma B."))
	want := newFamily()
	want.Profiles = append(want.Profiles, policy.Profile{
		ID: emma, Name: "Emma B.", Preset: policy.BandB,
		Categories: map[blocklists.Category]policy.Choice{blocklists.Social: block},
		Services:   map[string]policy.Choice{"tiktok": allow},
		Rules:      []policy.Rule{{ID: rule, Name: blocklists.MustName(`x\.y.example.com`), Match: policy.MatchExact, Allow: true, Until: noon.Add(time.Hour)}},
	})
	want.Devices = []policy.Device{{ID: tablet, Name: "Tablet", Profile: emma, Networks: prefixes("192.168.1.20", "192.168.1.21", "fd00::20")}}
	wantFamily(t, db, want, 11)

	phone := "Phone"
	end := noon.Add(time.Hour)
	must(db.UpdateDevice(ctx, "192.168.1.21", DeviceChange{Name: &phone, Networks: prefixes("10.0.0.0/24"), Until: &end}))
	want.Devices[0].Name, want.Devices[0].Networks, want.Devices[0].Until = phone, prefixes("10.0.0.0/24"), end
	wantFamily(t, db, want, 12)

	must(db.RemoveDevice(ctx, "10.0.0.0/24"))
	must(db.RemoveRule(ctx, rule))
	must(db.RemoveProfile(ctx, "Emma B."))
	wantFamily(t, db, newFamily(), 15)

	again, err := db.AddProfile(ctx, "Emma", policy.BandA)
	must(err)
	if again == emma {
		t.Error("a profile's ID was used again: old incidents would be the new profile's")
	}
}

func TestExempt(t *testing.T) {
	ctx := t.Context()
	adults := policy.ProfileID(2)
	t.Run("an address that is no device yet", func(t *testing.T) {
		db := openNew(t)
		got, err := db.ExemptDevice(ctx, "192.168.1.20", "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want := policy.Device{ID: got.ID, Name: "Device 192.168.1.20", Profile: adults, Networks: prefixes("192.168.1.20")}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("device (-want +got):\n%s", d)
		}
		f := newFamily()
		f.Devices = []policy.Device{want}
		wantFamily(t, db, f, 2)
		if err := db.UnexemptDevice(ctx, "192.168.1.20"); err != nil {
			t.Fatal(err)
		}
		f.Devices[0].Profile = 1
		wantFamily(t, db, f, 3)
	})
	t.Run("for a time, a device goes back to its own profile", func(t *testing.T) {
		now := noon
		o := options()
		o.Now = func() time.Time { return now }
		db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
		emma, err := db.AddProfile(ctx, "Emma", policy.BandA)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.AddDevice(ctx, "Tablet", "Emma", prefixes("192.168.1.20"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		profile := func() (policy.ProfileID, time.Time) {
			f, _ := family(t, db)
			return f.Devices[0].Profile, f.Devices[0].Until
		}
		for range 2 { // again: a longer time, and still its own profile after it
			got, err := db.ExemptDevice(ctx, "tablet", "", now.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			f, _ := family(t, db)
			if d := cmp.Diff(f.Devices[0], got, cmpopts.EquateComparable(netip.Prefix{})); d != "" || got.Then != emma {
				t.Errorf("then profile %d, want %d; device (-stored +returned):\n%s", got.Then, emma, d)
			}
			if p, until := profile(); p != adults || !until.Equal(now.Add(time.Hour)) {
				t.Errorf("during: profile %d until %s", p, until)
			}
			now = now.Add(30 * time.Minute)
		}
		now = now.Add(time.Hour)
		if p, until := profile(); p != emma || !until.IsZero() {
			t.Errorf("after: profile %d until %s, want %d for ever", p, until, emma)
		}
		if err := db.RemoveProfile(ctx, "Emma"); !errors.Is(err, ErrConflict) {
			t.Errorf("removing the profile that it goes back to: %v", err)
		}
		if err := db.UnexemptDevice(ctx, "Tablet"); err != nil {
			t.Fatal(err)
		}
		if p, _ := profile(); p != emma {
			t.Errorf("after its end: profile %d, want %d", p, emma)
		}
		if err := db.UnexemptDevice(ctx, "Tablet"); !errors.Is(err, ErrInvalid) {
			t.Errorf("ending what has ended: %v", err)
		}
	})
	t.Run("without an adults' profile one is made", func(t *testing.T) {
		db := openNew(t)
		if err := db.RemoveProfile(ctx, "Adults"); err != nil {
			t.Fatal(err)
		}
		d, err := db.ExemptDevice(ctx, "fe80::1%eth0", "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		f, _ := family(t, db)
		if p := f.Profiles[1]; p.Name != "Adults" || p.Preset != policy.Adult || d.Profile != p.ID || d.Name != "Device fe80::1" {
			t.Errorf("device %+v, profile %+v", d, p)
		}
	})
	t.Run("a name that is taken by another preset", func(t *testing.T) {
		db := openNew(t)
		if err := db.SetPreset(ctx, "Adults", policy.BandE); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExemptDevice(ctx, "192.168.1.20", "", time.Time{}); !errors.Is(err, ErrConflict) {
			t.Errorf("error %v", err)
		}
	})
}

// What is refused says what, where and what to do, and changes nothing.
func TestRefusals(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	if _, err := db.AddDevice(ctx, "Tablet", "Everyone", prefixes("192.168.1.20"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.AddDevice(ctx, "Guests", "Everyone", prefixes("192.168.2.0/24"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	name := blocklists.MustName("example.com")
	ended, err := db.AddRule(ctx, "Everyone", policy.Rule{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	before, revision := family(t, db)
	empty, guests, past, nobody := "", "GUESTS", noon, "nobody"
	block := policy.ChooseBlock
	add := func(name, profile string, networks ...string) error {
		_, err := db.AddDevice(ctx, name, profile, prefixes(networks...), time.Time{})
		return err
	}
	exempt := func(device string, until time.Time) error {
		_, err := db.ExemptDevice(ctx, device, "", until)
		return err
	}
	rule := func(profile string, r policy.Rule) error {
		_, err := db.AddRule(ctx, profile, r)
		return err
	}
	profile := func(name string, p policy.Preset) error {
		_, err := db.AddProfile(ctx, name, p)
		return err
	}
	long := strings.Repeat("ä", 101)
	tests := []struct {
		name string
		err  error
		kind error
		says string
	}{
		{"device: address taken", add("B", "Everyone", "192.168.1.20"), ErrConflict, `192.168.1.20 already belongs to device "Tablet"`},
		{"device: address within a network", add("B", "Everyone", "192.168.2.7"), ErrConflict, `already belongs to device "Guests" (192.168.2.0/24)`},
		{"device: network over an address", add("B", "Everyone", "192.168.1.0/24"), ErrConflict, `already belongs to device "Tablet" (192.168.1.20)`},
		{"device: an IPv4 address in IPv6", add("B", "Everyone", "::ffff:192.168.1.20"), ErrConflict, `already belongs to device "Tablet"`},
		{"device: the same network twice", add("B", "Everyone", "10.0.0.1", "10.0.0.0/8"), ErrConflict, "10.0.0.1 and 10.0.0.0/8 overlap"},
		{"device: a network with the bits of an address", add("B", "Everyone", "10.0.0.7/24"), ErrInvalid, "10.0.0.0/24 for the whole network"},
		{"device: everybody", add("B", "Everyone", "0.0.0.0/0"), ErrInvalid, "everybody"},
		{"device: no network", add("B", "Everyone"), ErrInvalid, "at least one"},
		{"device: unknown profile", add("B", "Emma", "10.0.0.1"), ErrNotFound, `no profile "Emma"; there are: Everyone, Adults`},
		{"device: name taken in other case", add("TABLET", "Everyone", "10.0.0.1"), ErrConflict, `a device "Tablet" already (192.168.1.20)`},
		{"device: empty name", add(" \t", "Everyone", "10.0.0.1"), ErrInvalid, "empty"},
		{"device: name of 101 characters", add(long, "Everyone", "10.0.0.1"), ErrInvalid, "101 characters; at most 100"},
		{"device: a name that steers a terminal", add("a\x1b[31mb", "Everyone", "10.0.0.1"), ErrInvalid, "U+001B"},
		{"device: a name that turns text around", add("a\u202eb", "Everyone", "10.0.0.1"), ErrInvalid, "U+202E"},
		{"device: a name that is no text", add("a\xff", "Everyone", "10.0.0.1"), ErrInvalid, ""},
		{"device: a name that is an address", add("10.0.0.9", "Everyone", "10.0.0.1"), ErrInvalid, "is an address"},
		{"update: nobody", db.UpdateDevice(ctx, "nobody", DeviceChange{}), ErrNotFound, "there are: Tablet, Guests"},
		{"update: name taken", db.UpdateDevice(ctx, "Tablet", DeviceChange{Name: &guests}), ErrConflict, `"Guests" already`},
		{"update: empty name", db.UpdateDevice(ctx, "Tablet", DeviceChange{Name: &empty}), ErrInvalid, "empty"},
		{"update: unknown profile", db.UpdateDevice(ctx, "Tablet", DeviceChange{Profile: &nobody}), ErrNotFound, "nobody"},
		{"update: a time that is over", db.UpdateDevice(ctx, "Tablet", DeviceChange{Until: &past}), ErrInvalid, "over already"},
		{"update: no network", db.UpdateDevice(ctx, "Tablet", DeviceChange{Networks: []netip.Prefix{}}), ErrInvalid, "at least one"},
		{"update: taken network", db.UpdateDevice(ctx, "Tablet", DeviceChange{Networks: prefixes("192.168.0.0/16")}), ErrConflict, "Guests"},
		{"remove: nobody", db.RemoveDevice(ctx, "10.9.9.9"), ErrNotFound, "there are: Tablet, Guests"},
		{"exempt: nobody", exempt("nobody", time.Time{}), ErrNotFound, "there are: Tablet, Guests"},
		{"exempt: an address within a device's network", exempt("192.168.2.7", time.Time{}), ErrConflict, `device "Guests"`},
		{"exempt: a time that is over", exempt("10.0.0.1", noon.Add(-time.Second)), ErrInvalid, "over already"},
		{"exempt: everybody", exempt("::/0", time.Time{}), ErrInvalid, "everybody"},
		{"exempt: a network with the bits of an address", exempt("192.168.1.20/24", time.Time{}), ErrInvalid, "write 192.168.1.20 for the one device"},
		{"unexempt: not exempt", db.UnexemptDevice(ctx, "Tablet"), ErrInvalid, `on profile "Everyone"`},
		{"rule: twice", rule("everyone", policy.Rule{Name: name}), ErrConflict, "says deny"},
		{"rule: the opposite", rule("Everyone", policy.Rule{Name: name, Allow: true}), ErrConflict, "remove it first"},
		{"rule: the root", rule("Everyone", policy.Rule{}), ErrInvalid, "root"},
		{"rule: over already", rule("Everyone", policy.Rule{Name: "\x01a", Until: noon}), ErrInvalid, "over already"},
		{"rule: unknown profile", rule("Emma", policy.Rule{Name: name}), ErrNotFound, "Emma"},
		{"rule: none to remove", db.RemoveRule(ctx, ended+1), ErrNotFound, "no such rule"},
		{"profile: twice", profile("everyone", policy.BandA), ErrConflict, `"Everyone" already`},
		{"profile: empty", profile("", policy.BandA), ErrInvalid, "empty"},
		{"profile: too long", profile(long, policy.BandA), ErrInvalid, "101"},
		{"profile: no such preset", profile("X", policy.Adult+1), ErrInvalid, "preset"},
		{"profile: renamed to another's", db.RenameProfile(ctx, "Adults", "EVERYONE"), ErrConflict, "Everyone"},
		{"profile: rename nobody", db.RenameProfile(ctx, "Emma", "X"), ErrNotFound, "Emma"},
		{"profile: remove everyone's", db.RemoveProfile(ctx, "Everyone"), ErrConflict, "applies to every device"},
		{"profile: remove nobody", db.RemoveProfile(ctx, "Emma"), ErrNotFound, "Emma"},
		{"preset: no such", db.SetPreset(ctx, "Everyone", policy.Adult+1), ErrInvalid, "preset"},
		{"category: help", db.SetCategory(ctx, "Everyone", blocklists.Help, &block), ErrInvalid, "cannot be chosen"},
		{"category: none", db.SetCategory(ctx, "Everyone", blocklists.NumCategories, &block), ErrInvalid, "cannot be chosen"},
		{"service: empty", db.SetService(ctx, "Everyone", "", &block), ErrInvalid, "empty"},
		{"choice: unknown profile", db.SetService(ctx, "Emma", "tiktok", &block), ErrNotFound, "Emma"},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.kind) || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: got %v, want one that is %q and says %q", tt.name, tt.err, tt.kind, tt.says)
		}
	}
	wantFamily(t, db, before, revision)
}

func TestWhatIsUsedIsNotRemoved(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	if _, err := db.AddDevice(ctx, "Tablet", "Adults", prefixes("192.168.1.20"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := db.RemoveProfile(ctx, "Adults"); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "Tablet") {
		t.Errorf("removing a profile in use: %v", err)
	}
}

func TestARuleThatEndedMakesRoom(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
	r := policy.Rule{Name: blocklists.MustName("example.com"), Allow: true, Until: noon.Add(time.Minute)}
	if _, err := db.AddRule(t.Context(), "Everyone", r); err != nil {
		t.Fatal(err)
	}
	now, r.Until = noon.Add(time.Minute), time.Time{}
	if _, err := db.AddRule(t.Context(), "Everyone", r); err != nil {
		t.Error(err)
	}
	if f, _ := family(t, db); len(f.Profiles[0].Rules) != 1 {
		t.Errorf("rules: %+v, want the new one alone", f.Profiles[0].Rules)
	}
}

func TestChangesAreRecorded(t *testing.T) {
	db, ctx := openNew(t), t.Context()
	if _, err := db.As("anna").ExemptDevice(ctx, "192.168.1.20", "", noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	block := policy.ChooseBlock
	for range 2 { // the second changes nothing
		if err := db.SetCategory(ctx, "Everyone", blocklists.AIChat, &block); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Changes(ctx, 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{1, 3, noon, "the operator", `chose "block" for category ai-chat in profile Everyone`},
		{1, 2, noon, "anna", "exempted device Device 192.168.1.20 (192.168.1.20) until 2026-11-23T13:00:00Z: it is on profile Adults"},
		{1, 1, noon, "the operator", "made the family Home with profile Everyone (preset C) for every device, and profile Adults"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	if other, err := db.Changes(ctx, 2, 10); err != nil || len(other) != 0 {
		t.Errorf("another family's changes: %v %v", other, err)
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
