package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

func TestIdentify(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	f := &Family{
		ID: 1, Name: "Home", Default: 1,
		Profiles: []Profile{{ID: 1, Name: "Everyone", Preset: BandC}, {ID: 2, Name: "Adults", Preset: Adult}},
		Devices: []Device{
			{ID: 1, Name: "laptop", Profile: 2, Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.20/32"), netip.MustParsePrefix("fd00::20/128")}},
			{ID: 2, Name: "guests", Profile: 1, Networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}},
			{ID: 3, Name: "visitor", Profile: 2, Networks: []netip.Prefix{netip.MustParsePrefix("192.168.2.5/32")}, Until: at},
			{ID: 4, Name: "loaned", Profile: 1, Networks: []netip.Prefix{netip.MustParsePrefix("192.168.2.6/32")}, Until: at, Then: 2},
		},
	}
	d, err := NewDirectory(f, presets, w.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, addr string
		when       time.Time
		device     DeviceID
		profile    ProfileID
	}{
		{"a device by its address", "192.168.1.20", at, 1, 2},
		{"the same, written as IPv6", "::ffff:192.168.1.20", at, 1, 2},
		{"its other address", "fd00::20", at, 1, 2},
		{"the narrowest network wins", "192.168.1.21", at, 2, 1},
		{"nobody we know", "10.0.0.1", at, 0, 1},
		{"before the end", "192.168.2.5", at.Add(-time.Second), 3, 2},
		{"after the end the household's profile", "192.168.2.5", at, 3, 1},
		{"after the end its own profile", "192.168.2.6", at, 4, 2},
		{"an address with a zone", "fd00::20%eth0", at, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, ok := d.Identify(Clues{Addr: netip.MustParseAddr(tt.addr)}, tt.when)
			if !ok || a.Device != tt.device || a.Profile != tt.profile || a.Family != 1 || a.Policy == nil {
				t.Errorf("Identify(%s) = device %d, profile %d; want %d, %d", tt.addr, a.Device, a.Profile, tt.device, tt.profile)
			}
		})
	}
	addr := Clues{Addr: netip.MustParseAddr("192.168.1.21")}
	if n := testing.AllocsPerRun(1000, func() { d.Identify(addr, at) }); n != 0 {
		t.Errorf("Identify allocates %v times a call", n)
	}
}

func TestNewDirectoryRefuses(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	one := netip.MustParsePrefix("192.168.1.20/32")
	for _, tt := range []struct {
		name string
		f    Family
		want string
	}{
		{"no default profile", Family{Name: "Home", Default: 9}, "default profile 9"},
		{"a device without a profile", Family{Default: 1, Profiles: []Profile{{ID: 1}}, Devices: []Device{{Name: "tablet", Profile: 5}}}, `device "tablet": its profile 5`},
		{
			"one network for two devices",
			Family{Default: 1, Profiles: []Profile{{ID: 1}}, Devices: []Device{{ID: 1, Name: "a", Profile: 1, Networks: []netip.Prefix{one}}, {ID: 2, Name: "b", Profile: 1, Networks: []netip.Prefix{one}}}},
			`192.168.1.20/32 already belongs to "a"`,
		},
		{"a rule without a name", Family{Default: 1, Profiles: []Profile{{ID: 1, Rules: []Rule{{ID: 1}}}}}, "a rule needs an ID and a name"},
		{"a choice about help", Family{Default: 1, Profiles: []Profile{{ID: 1, Categories: map[blocklists.Category]Choice{blocklists.Help: ChooseBlock}}}}, "cannot be chosen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDirectory(&tt.f, presets, w.Index, 1)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewDirectory = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// What tells a family, and what many households have at once, are each other's
// opposite, up to the ends of each network.
func TestPublicOrPrivate(t *testing.T) {
	for _, p := range privateSpaces {
		first, last := p.Addr(), p.Addr().AsSlice()
		for bit := p.Bits(); bit < len(last)*8; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		end, _ := netip.AddrFromSlice(last)
		for _, a := range []netip.Addr{first.Prev(), first, end, end.Next()} {
			private := IsPrivate(netip.PrefixFrom(a, a.BitLen()))
			if got, want := public(a), !private && a.IsGlobalUnicast(); got != want {
				t.Errorf("%s: public %t, private %t", a, got, private)
			}
		}
	}
}
