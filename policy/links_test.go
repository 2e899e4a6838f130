package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	tokenA, tokenB   = "abcdefghij234567", "zyxwvutsrq765432"
	familyTokenB     = "bbbbbbbbbbbbbbbb"
	netA, netB, away = "198.51.100.7", "203.0.113.9", "192.0.2.77"
)

// twoFamilies returns families 1 and 2, each with the device 10 or 20. None is
// the home family.
func twoFamilies(t testing.TB) *Directory {
	t.Helper()
	w := newWorld(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	family := func(id FamilyID, net, token string, mac byte) *Family {
		return &Family{
			ID: id, Name: "family", Default: 1, Profiles: []Profile{{ID: 1, Name: "Everyone", Preset: BandC}},
			Networks: prefixesOf(net + "/32"),
			Devices: []Device{{
				ID: DeviceID(10 * id), Name: "tablet", Profile: 1, Tokens: []string{token}, MACs: []MAC{{2, 0, 0, 0, 0, mac}},
				Networks: prefixesOf("192.168.1.20/32", "2001:db8:0:1::/64"),
			}},
		}
	}
	b := family(2, netB, tokenB, 2)
	b.Tokens = []string{familyTokenB}
	b.Devices = append(b.Devices, Device{ID: 21, Name: "router", Profile: 1, Networks: prefixesOf(netB + "/32")})
	d, err := LoadDirectory(each(family(1, netA, tokenA, 1), b), presets, w.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIdentifyByTokensAndForwarders(t *testing.T) {
	d := twoFamilies(t)
	macA, macB := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	host := netip.MustParseAddr("192.168.1.20")
	for _, tt := range []struct {
		name   string
		c      Clues
		from   string
		family FamilyID // 0: refused
		device DeviceID
	}{
		{"a device's token", Clues{Token: tokenA}, away, 1, 10},
		{"in upper case", Clues{Token: strings.ToUpper(tokenA)}, away, 1, 10},
		{"behind an alias", Clues{Token: "Annas-Tablet-" + tokenA}, away, 1, 10},
		{"behind another token", Clues{Token: tokenB + "-" + tokenA}, away, 1, 10},
		{"behind a hyphen alone", Clues{Token: "-" + tokenA}, away, 0, 0},
		{"behind no hyphen", Clues{Token: "x" + tokenA}, away, 0, 0},
		{"before something", Clues{Token: tokenA + "-x"}, away, 0, 0},
		{"nobody's, in a family's network", Clues{Token: "aaaaaaaaaaaaaaaa"}, netA, 0, 0},
		{"against the network: it decides alone", Clues{Token: tokenB}, netA, 2, 20},
		{"by a forwarder of another family", Clues{Token: tokenB, Relayed: true}, netA, 0, 0},
		{"by a forwarder of the family's own", Clues{Token: tokenB, Relayed: true}, netB, 2, 20},
		{"by a forwarder that is nobody's", Clues{Token: tokenB, Relayed: true}, away, 2, 20},
		{"the family's token", Clues{Token: familyTokenB, Relayed: true}, away, 2, 0},
		{"and a hardware address", Clues{Token: familyTokenB, MAC: macB, Relayed: true}, away, 2, 20},
		{"and one of another family", Clues{Token: familyTokenB, MAC: macA, Relayed: true}, away, 2, 0},
		{"and the device's address", Clues{Token: familyTokenB, Host: host, Relayed: true}, away, 2, 20},
		{"a hardware address in its network", Clues{MAC: macA, Relayed: true}, netA, 1, 10},
		{"in another family's", Clues{MAC: macA, Relayed: true}, netB, 2, 0},
		{"in nobody's", Clues{MAC: macA, Relayed: true}, away, 0, 0},
		{"an address that is the other family's", Clues{Host: netip.MustParseAddr(netB), Relayed: true}, netA, 1, 0},
		{"the router itself", Clues{}, netB, 2, 21},
		{"an unknown device behind it", Clues{MAC: macA, Relayed: true}, netB, 2, 0},
		{"a privacy address, by its prefix", Clues{Host: netip.MustParseAddr("2001:db8:0:1:abcd::9"), Relayed: true}, netA, 1, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Addr = netip.MustParseAddr(tt.from)
			a, ok := d.Identify(tt.c, at)
			if ok != (tt.family != 0) || a.Family != tt.family || a.Device != tt.device {
				t.Errorf("Identify(%+v) = family %d, device %d, %t; want %d, %d", tt.c, a.Family, a.Device, ok, tt.family, tt.device)
			}
		})
	}
	c := Clues{Addr: netip.MustParseAddr(away), Token: "Annas-Tablet-" + tokenA, Relayed: true}
	if n := testing.AllocsPerRun(1000, func() { d.Identify(c, at) }); n != 0 {
		t.Errorf("Identify allocates %v times a call", n)
	}
	asker, _ := d.Identify(c, at)
	if got := d.TokenOf(asker); got != tokenA {
		t.Errorf("TokenOf = %q, want %q", got, tokenA)
	}
	asker.Device = 0
	if got := d.TokenOf(asker); got != "" {
		t.Errorf("TokenOf somebody unknown = %q", got)
	}
}

// TestLinks: an address is one family's for a while, then nobody's, and what a
// family has for good comes first.
func TestLinks(t *testing.T) {
	d := twoFamilies(t)
	home, v6 := netip.MustParseAddr(away), netip.MustParseAddr("2001:db8:7:7::1")
	link := func(d *Directory, a netip.Addr, f FamilyID, now time.Time) (*Directory, error) {
		return d.WithLink(a, Link{f, at.Add(time.Hour)}, now)
	}
	linked, err := link(d, home, 1, at)
	if err != nil {
		t.Fatal(err)
	}
	if linked, err = link(linked, v6, 1, at); err != nil {
		t.Fatal(err)
	}
	who := func(d *Directory, a netip.Addr, when time.Time) FamilyID {
		asker, _ := d.Identify(Clues{Addr: a}, when)
		return asker.Family
	}
	for _, tt := range []struct {
		name string
		got  FamilyID
		want FamilyID
	}{
		{"before it was linked", who(d, home, at), 0},
		{"linked", who(linked, home, at), 1},
		{"its last second", who(linked, home, at.Add(time.Hour-1)), 1},
		{"its end", who(linked, home, at.Add(time.Hour)), 0},
		{"a privacy address of the same /64", who(linked, netip.MustParseAddr("2001:db8:7:7:aaaa:bbbb:cccc:dddd"), at), 1},
		{"the next /64", who(linked, netip.MustParseAddr("2001:db8:7:8::1"), at), 0},
		{"taken back", who(linked.WithoutLink(netip.MustParsePrefix(away+"/32"), 1), home, at), 0},
		{"taken back by another family", who(linked.WithoutLink(netip.MustParsePrefix(away+"/32"), 2), home, at), 1},
		{"the family is gone", who(linked.Without(1, 2), home, at), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: family %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	for _, tt := range []struct {
		name string
		addr string
		f    FamilyID
		now  time.Time
		want error
	}{
		{"another family's live address", away, 2, at, ErrTaken},
		{"the same once it is over", away, 2, at.Add(2 * time.Hour), nil},
		{"the family's own again", away, 1, at, nil},
		{"another address of a linked /64", "2001:db8:7:7::99", 2, at, ErrTaken},
		{"another family's network", netB, 1, at, ErrTaken},
		{"a private address", "192.168.1.20", 1, at, ErrNotPublic},
		{"one that a carrier shares", "100.64.0.9", 1, at, ErrNotPublic},
		{"a link-local one", "fe80::1", 1, at, ErrNotPublic},
		{"none", "0.0.0.0", 1, at, ErrNotPublic},
		{"no family", "192.0.2.1", 9, at, ErrNotFound},
	} {
		if _, err := link(linked, netip.MustParseAddr(tt.addr), tt.f, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSetTokens(t *testing.T) {
	f := &Family{Devices: []Device{{Name: "tablet", Tokens: []string{tokenA}}}}
	for _, bad := range [][]string{{"short"}, {tokenA}, {tokenB, tokenB}, {strings.ToUpper(tokenB)}, {"0000000000000000"}, slices.Repeat([]string{tokenB}, 17)} {
		if _, err := f.SetTokens(bad); err == nil {
			t.Errorf("SetTokens(%q) is taken", bad)
		}
	}
	if _, err := f.SetTokens([]string{tokenB}); err != nil {
		t.Error(err)
	}
	if _, err := f.SetTokens([]string{tokenB}); !errors.Is(err, ErrSame) {
		t.Errorf("the same again: %v", err)
	}
	if a, b := NewToken(), NewToken(); a == b || !made([]byte(a)) || !made([]byte(b)) {
		t.Errorf("NewToken = %q, %q", a, b)
	}
}
