package policy

import (
	"net/netip"
	"strings"
	"testing"

	"kinward/blocklists"
)

// The families of the tests about clues: a home, two customers who use the same
// private addresses, and one that knows its devices by their own public address.
func clueFamilies() []*Family {
	family := func(id FamilyID, networks []netip.Prefix, devices ...Device) *Family {
		return &Family{
			ID: id, Name: "family", Default: 1, Networks: networks,
			Profiles: []Profile{{ID: 1, Name: "all", Preset: BandC}, {ID: 2, Name: "adults", Preset: Adult}},
			Devices:  devices,
		}
	}
	mac := func(n byte) []MAC { return []MAC{{2, 0, 0, 0, 0, n}} }
	return []*Family{
		family(1, nil,
			Device{ID: 10, Name: "home laptop", Profile: 2, Networks: prefixesOf("192.168.1.20/32"), MACs: mac(1), Tokens: []string{"home-laptop"}}),
		family(2, prefixesOf("198.51.100.0/28", "2001:db8:2::/56"),
			Device{ID: 20, Name: "their laptop", Profile: 2, Networks: prefixesOf("192.168.1.20/32", "2001:db8:2::20/128"), MACs: mac(1), Tokens: []string{"their-laptop"}},
			Device{ID: 21, Name: "their tablet", Profile: 2, MACs: mac(2)}),
		family(3, prefixesOf("198.51.100.99/32", "10.3.0.0/16", "100.64.3.1/32"),
			Device{ID: 30, Name: "server room", Profile: 2, Networks: prefixesOf("10.3.0.5/32", "10.3.1.0/24")},
			// Claims one of family 2's addresses, and everything, for a device.
			Device{ID: 31, Name: "greedy", Profile: 2, Networks: prefixesOf("198.51.100.3/32", "0.0.0.0/0", "::/0"), MACs: mac(3)}),
		family(4, nil,
			Device{ID: 40, Name: "mobile", Profile: 2, Networks: prefixesOf("203.0.113.40/32", "192.168.1.77/32")}),
		{
			ID: 5, Name: "family", Networks: prefixesOf("203.0.113.128/25"), Profiles: []Profile{{ID: 1, Name: "all", Preset: Adult}},
			Devices: []Device{{ID: 50, Name: "phone", Profile: 1, Networks: prefixesOf("203.0.113.129/32"), Tokens: []string{"phone"}}},
		},
	}
}

// TestForgedCluesStayInTheirFamily: whatever somebody claims to be, they never
// become a device of a family whose network they do not ask from.
func TestForgedCluesStayInTheirFamily(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	isp, err := LoadDirectory(each(clueFamilies()...), presets, w.Index)
	if err != nil {
		t.Fatal(err)
	}
	home, err := isp.WithHome(1)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(n byte) MAC { return MAC{2, 0, 0, 0, 0, n} }
	for _, tt := range []struct {
		name   string
		d      *Directory
		addr   string
		mac    MAC
		token  string
		family FamilyID // 0: refused
		device DeviceID
	}{
		{"no home: a private address is nobody's", isp, "192.168.1.20", MAC{}, "", 0, 0},
		{"no home: a hardware address alone is nobody's", isp, "192.168.9.9", mac(2), "", 0, 0},
		{"no home: a public address that nobody has", isp, "192.0.2.1", mac(2), "", 0, 0},
		{"no home: no address", isp, "", mac(2), "", 0, 0},
		{"home: a private address is the home's", home, "192.168.1.20", MAC{}, "", 1, 10},
		{"home: what another family calls a device is unknown", home, "192.168.1.77", MAC{}, "", 1, 0},
		{"home: another family's hardware address is unknown", home, "192.168.1.30", mac(2), "", 1, 0},
		{"home: its own hardware address", home, "192.168.1.30", mac(1), "", 1, 10},
		{"home: an address on the way out is no customer's", home, "192.0.2.1", MAC{}, "", 1, 0},
		{"a customer by its network", home, "198.51.100.7", MAC{}, "", 2, 0},
		{"a customer by its IPv6 network", home, "2001:db8:2:1::9", MAC{}, "", 2, 0},
		{"the same hardware address is each family's own", home, "198.51.100.7", mac(1), "", 2, 20},
		{"a hardware address goes before an address", home, "2001:db8:2::20", mac(2), "", 2, 21},
		{"a device's address in the customer's network", home, "2001:db8:2::20", MAC{}, "", 2, 20},
		{"another family's hardware address in a customer's network", home, "198.51.100.7", mac(3), "", 2, 0},
		{"another family's device does not take an address out of a network", home, "198.51.100.3", mac(3), "", 2, 0},
		{"a device that claims everything has what its family has", home, "198.51.100.99", MAC{}, "", 3, 31},
		{"and no more", isp, "192.0.2.77", MAC{}, "", 0, 0},
		{"a private network that a family was given", isp, "10.3.0.5", MAC{}, "", 3, 30},
		{"its devices by their network", isp, "10.3.1.77", MAC{}, "", 3, 30},
		{"an address that a carrier gave", isp, "100.64.3.1", MAC{}, "", 3, 31},
		{"the next customer's, which nobody has", isp, "100.64.3.2", MAC{}, "", 0, 0},
		{"a device's own public address tells its family", isp, "203.0.113.40", MAC{}, "", 4, 40},
		{"it does not bring the family's private ones along", isp, "192.168.1.77", MAC{}, "", 0, 0},
		{"a family without a default: a known device", isp, "203.0.113.129", MAC{}, "", 5, 50},
		{"a family without a default: anything else", isp, "203.0.113.130", MAC{}, "", 0, 0},
		{"a token tells who it is from anywhere", isp, "192.0.2.1", MAC{}, "their-laptop", 2, 20},
		{"in any case of letters", isp, "192.0.2.1", MAC{}, "Their-LAPTOP", 2, 20},
		{"a token goes before every other clue", home, "192.168.1.20", mac(1), "their-laptop", 2, 20},
		{"a wrong token is refused, whoever asks", home, "192.168.1.20", mac(1), "their-laptob", 0, 0},
		{"part of a token", home, "192.168.1.20", MAC{}, "their", 0, 0},
		{"more than a token can be", home, "192.168.1.20", MAC{}, strings.Repeat("a", 200), 0, 0},
		{"a token with a NUL", home, "192.168.1.20", MAC{}, "phone\x00", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Clues{MAC: tt.mac, Token: tt.token}
			if tt.addr != "" {
				c.Addr = netip.MustParseAddr(tt.addr)
			}
			a, ok := tt.d.Identify(c, at)
			if ok != (tt.family != 0) || a.Family != tt.family || a.Device != tt.device || ok != (a.Policy != nil) {
				t.Errorf("family %d, device %d, %t; want family %d, device %d", a.Family, a.Device, ok, tt.family, tt.device)
			}
			if n := testing.AllocsPerRun(100, func() { tt.d.Identify(c, at) }); n != 0 {
				t.Errorf("Identify allocates %v times a call", n)
			}
		})
	}
	if a, ok := isp.IdentifyIn(4, Clues{Addr: netip.MustParseAddr("192.168.1.77")}, at); !ok || a.Device != 40 {
		t.Errorf("in its own family: device %d, %t", a.Device, ok)
	}
}

// TestClueErrors: two devices of one family are both named, and nothing of
// another family ever is.
func TestClueErrors(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	d, err := LoadDirectory(each(clueFamilies()...), presets, w.Index)
	if err != nil {
		t.Fatal(err)
	}
	f := func(networks []netip.Prefix, devices ...Device) *Family {
		for i := range devices {
			devices[i].ID, devices[i].Profile = DeviceID(i+1), 1
		}
		return &Family{ID: 9, Name: "Ours", Default: 1, Networks: networks, Profiles: []Profile{{ID: 1, Name: "all", Preset: BandC}}, Devices: devices}
	}
	for _, tt := range []struct {
		name  string
		f     *Family
		wants []string
	}{
		{"a network twice", f(nil, Device{Name: "a", Networks: prefixesOf("192.168.1.20/24")}, Device{Name: "b", Networks: prefixesOf("192.168.1.0/24")}), []string{`device "b"`, `network 192.168.1.0/24`, `belongs to "a"`}},
		{"an address twice, written otherwise", f(nil, Device{Name: "a", Networks: prefixesOf("10.0.0.1/32")}, Device{Name: "b", Networks: prefixesOf("::ffff:10.0.0.1/128")}), []string{`"a"`, `"b"`}},
		{"a hardware address twice", f(nil, Device{Name: "a", MACs: []MAC{{1}}}, Device{Name: "b", MACs: []MAC{{1}}}), []string{`"a"`, `"b"`, "01:00:00:00:00:00"}},
		{"a token twice", f(nil, Device{Name: "a", Tokens: []string{"tok"}}, Device{Name: "b", Tokens: []string{"TOK"}}), []string{`"a"`, `"b"`, "token tok"}},
		{"a token that is too long", f(nil, Device{Name: "a", Tokens: []string{strings.Repeat("x", 64)}}), []string{`"a"`, "1 to 63"}},
		{"a network that is none", f(nil, Device{Name: "a", Networks: []netip.Prefix{{}}}), []string{`"a"`, "network"}},
		{"another family's token", f(nil, Device{Name: "a", Tokens: []string{"their-laptop"}}), []string{`"Ours"`, "token their-laptop", "another family"}},
		{"another family's network", f(prefixesOf("198.51.100.0/28")), []string{`"Ours"`, "network 198.51.100.0/28", "another family"}},
		{"another family's address", f(prefixesOf("198.51.100.99/32")), []string{`"Ours"`, "address 198.51.100.99", "another family"}},
		{"another device's public address", f(nil, Device{Name: "a", Networks: prefixesOf("203.0.113.40/32")}), []string{`"Ours"`, "address 203.0.113.40", "another family"}},
		{"a family that is there", clueFamilies()[0], nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := d.Families()
			_, err := d.With(tt.f, 2)
			if (err != nil) != (tt.wants != nil) {
				t.Fatalf("With: %v", err)
			}
			for _, want := range tt.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q in it", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "their laptop") || strings.Contains(err.Error(), "mobile") || strings.Contains(err.Error(), "server room")) {
				t.Errorf("%v tells of another family", err)
			}
			if d.Families() != before {
				t.Error("the directory has changed")
			}
		})
	}
	if _, err := LoadDirectory(each(clueFamilies()[0], clueFamilies()[0]), presets, w.Index); err == nil || !strings.Contains(err.Error(), "ID 1") {
		t.Errorf("a family twice: %v", err)
	}
}

// TestIdentifyAndDecideDoNotAllocate: the whole of what a question costs here.
func TestIdentifyAndDecideDoNotAllocate(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	d, err := LoadDirectory(each(clueFamilies()...), presets, w.Index)
	if err != nil {
		t.Fatal(err)
	}
	q := Ask(w.Index, blocklists.MustName("omegle.com"), TypeA, at)
	for _, c := range []Clues{
		{Token: "THEIR-laptop"},
		{Addr: netip.MustParseAddr("198.51.100.7"), MAC: MAC{2, 0, 0, 0, 0, 1}},
		{Addr: netip.MustParseAddr("10.3.1.77")},
		{Addr: netip.MustParseAddr("2001:db8:2::20%eth0").Unmap()},
	} {
		n := testing.AllocsPerRun(1000, func() {
			if a, ok := d.Identify(c, at); ok {
				Decide(a.Policy, q)
			}
		})
		if n != 0 {
			t.Errorf("%v: %v allocations a question", c, n)
		}
	}
}
