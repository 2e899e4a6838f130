package resolver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// house is a family as the table of attacks sees it. What is secret of it an
// attacker does not know; the rest anybody can find out.
type house struct {
	id       policy.FamilyID
	home     string // its public address
	lan6     string // an address of its IPv6 network
	linked   string // the address that its router reported
	mac      policy.MAC
	own      string // a name that this family alone blocks
	device   string // secret: the token of its tablet
	family   string // secret: the token of the family as a whole
	handmade string // a token that a guardian chose
}

var houses = [2]house{
	{
		id: 1, home: "198.51.100.7", lan6: "2001:db8:a::20", linked: "192.0.2.101", mac: policy.MAC{2, 0, 0, 0, 0, 0xa},
		own: "only-a.example", device: "aaaabbbbccccdddd", family: "aaaaaaaaaaaaaaaa", handmade: "annas-phone",
	},
	{
		id: 2, home: "203.0.113.9", lan6: "2001:db8:b::20", linked: "192.0.2.202", mac: policy.MAC{2, 0, 0, 0, 0, 0xb},
		own: "only-b.example", device: "bbbbccccddddeeee", family: "bbbbbbbbbbbbbbbb", handmade: "bens-phone",
	},
}

const (
	relay    = "192.0.2.53" // a trusted forwarder that is in nobody's home
	stranger = "192.0.2.99"
	inside   = "192.168.1.20" // every tablet's address at home
)

// twoHouses returns a state with both families. Where home is 0 nobody is the home
// family.
func twoHouses(t testing.TB, x *blocklists.Index, home policy.FamilyID, now *clock) *policy.State {
	t.Helper()
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix
	families := func(yield func(policy.Versioned, error) bool) {
		for _, h := range houses {
			p := policy.Profile{ID: 1, Name: "Everyone", Preset: policy.BandC, Rules: []policy.Rule{{ID: 2, Name: blocklists.MustName(h.own)}}}
			f := &policy.Family{
				ID: h.id, Name: "Family", Default: 1, Profiles: []policy.Profile{p}, Tokens: []string{h.family},
				Networks: []netip.Prefix{prefix(h.home + "/32"), netip.PrefixFrom(netip.MustParseAddr(h.lan6), 48).Masked()},
				Devices: []policy.Device{
					{ID: 10, Name: "Tablet", Profile: 1, Tokens: []string{h.device}, MACs: []policy.MAC{h.mac}, Networks: []netip.Prefix{prefix(inside + "/32")}},
					{ID: 11, Name: "Phone", Profile: 1, Tokens: []string{h.handmade}},
				},
			}
			if !yield(policy.Versioned{Family: f, Revision: 1}, nil) {
				return
			}
		}
	}
	d, err := policy.LoadDirectory(families, presets, x)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range houses {
		if d, err = d.WithLink(netip.MustParseAddr(h.linked), policy.Link{Family: h.id, Until: now.now().AddDate(0, 0, 7)}, now.now()); err != nil {
			t.Fatal(err)
		}
	}
	if d, err = d.WithHome(home); err != nil {
		t.Fatal(err)
	}
	return &policy.State{Index: x, Directory: d}
}

// TestTwoFamiliesNeverMeet is the table of attacks: whoever stands in one family's
// place and forges every clue of the other that can be forged is answered by their
// own family's policy, kept in their own family's record, or refused; and learns no
// secret of the other's.
func TestTwoFamiliesNeverMeet(t *testing.T) {
	const refused = false
	type attack struct {
		name   string
		from   string
		token  string // by SNI, path, user or certificate
		told   []dns.EDNS0
		served bool // by the attacker's own family; refused otherwise
	}
	attacks := func(me, other house) []attack {
		mac := func(m policy.MAC) dns.EDNS0 { return local(optMAC, string(m[:])) }
		macText := local(optDeviceID, other.mac.String())
		umbrella := local(optUmbrella, "ODNS\x01\x00\x00\x10"+string(netip.MustParseAddr(other.home).AsSlice())+"\x00\x08\x00\x00\x00\x01")
		cpe := func(s string) dns.EDNS0 { return local(optCPEID, s) }
		all := []dns.EDNS0{mac(other.mac), macText, ecs(1, 32, other.home), umbrella}
		list := []attack{
			{"nothing forged", me.home, "", nil, true},
			{"nothing forged, by IPv6", me.lan6, "", nil, true},
			{"nothing forged, linked", me.linked, "", nil, true},
			{"my token, away", stranger, me.device, nil, true},
			{"my token from the other's home", other.home, me.device, nil, true},
			{"my token from the other's linked address", other.linked, me.device, nil, true},
			{"no clue, away", stranger, "", nil, refused},
			{"the other's device's hardware address", me.home, "", []dns.EDNS0{mac(other.mac)}, true},
			{"and as text", me.home, "", []dns.EDNS0{macText}, true},
			{"the other's home as client subnet", me.home, "", []dns.EDNS0{ecs(1, 32, other.home)}, true},
			{"the other's linked address as client subnet", me.home, "", []dns.EDNS0{ecs(1, 32, other.linked)}, true},
			{"the other's IPv6 address as client subnet", me.home, "", []dns.EDNS0{ecs(2, 128, other.lan6)}, true},
			{"the other's home as Umbrella tells it", me.home, "", []dns.EDNS0{umbrella}, true},
			{"all at once", me.home, "", all, true},
			{"all at once with my token", stranger, me.device, all, true},
			{"all at once from an untrusted address", stranger, "", all, refused},
			{"the other's very token by my router", me.home, "", []dns.EDNS0{cpe(other.device)}, refused},
			{"the other's family token by my router", me.home, "", []dns.EDNS0{cpe(other.family)}, refused},
			{"my token and then the other's by my router", me.home, "", []dns.EDNS0{cpe(me.family), cpe(other.family)}, refused},
			{"the other's and then mine", me.home, "", []dns.EDNS0{cpe(other.family), cpe(me.family)}, refused},
			{"my name and the other's token by my router", me.home, me.device, []dns.EDNS0{cpe(other.device)}, refused},
			{"the other's name and my token by my router", me.home, other.device, []dns.EDNS0{cpe(me.device)}, refused},
			{"my family's token by a relay, the other's device", relay, "", []dns.EDNS0{cpe(me.family), mac(other.mac)}, true},
			{"my family's token by a relay, the other's home", relay, "", []dns.EDNS0{cpe(me.family), ecs(1, 32, other.home)}, true},
			{"no token by a relay, the other's home", relay, "", []dns.EDNS0{ecs(1, 32, other.home), mac(other.mac)}, refused},
			{"a token option of a stranger", stranger, "", []dns.EDNS0{cpe(other.family)}, refused},
			{"a token option that is no forwarder's, over TLS", stranger, me.device, []dns.EDNS0{cpe(other.device)}, true},
			{"nobody's token in my home", me.home, "zzzzzzzzzzzzzzzz", nil, refused},
			{"nobody's token in the other's home", other.home, "zzzzzzzzzzzzzzzz", nil, refused},
			{"a name that cannot be", other.home, nobodysToken, nil, refused},
			{"the other's device's name", stranger, "tablet", nil, refused},
			{"the other's family's number", stranger, fmt.Sprint(other.id), nil, refused},
			{"the other's address as a token", stranger, strings.ReplaceAll(other.home, ".", "-"), nil, refused},
			{"the other's hardware address as a token", stranger, strings.ReplaceAll(other.mac.String(), ":", "-"), nil, refused},
			{"the other's token but for its end", stranger, other.device[:15], nil, refused},
			{"the other's token and more", stranger, other.device + "a", nil, refused},
			{"the other's token before mine", stranger, other.device + "-" + me.device, nil, true},
			{"an alias of the other's before mine", stranger, other.handmade + "-" + me.device, nil, true},
			{"mine before a short token of the other's", stranger, me.device + "-" + other.handmade, nil, refused},
			{"a token of dots", stranger, other.device + ".x", nil, refused},
		}
		return list
	}
	st, now := state(t), newClock()
	for _, home := range []policy.FamilyID{0, 1, 2} {
		for i := range houses {
			me, other := houses[i], houses[1-i]
			for _, a := range attacks(me, other) {
				believed := a.from == me.home || a.from == relay
				clueless := a.token == "" && (!believed || !slices.ContainsFunc(a.told, isCPE))
				// Whoever nothing tells is of the home: that is what a home family means.
				served := a.served || clueless && home == me.id
				if !served && clueless && home == other.id {
					continue
				}
				t.Run(fmt.Sprintf("home %d/%d/%s", home, me.id, a.name), func(t *testing.T) {
					log := &kept{}
					c := config(t)
					c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://127.0.0.1:1")}
					c.Log, c.Now = log, now.now
					with := twoHouses(t, st.Index, home, now)
					c.State = func() *policy.State { return with }
					c.AllowNets = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
					c.Forwarders = []netip.Prefix{netip.MustParsePrefix(me.home + "/32"), netip.MustParsePrefix(relay + "/32")}
					s, err := New(c)
					if err != nil {
						t.Fatal(err)
					}
					defer s.Close()
					s.designated = designated{name: blocklists.MustName("dns.example"), dot: 853, doh: 443, doq: 853}
					s.settings.Load().peers[0].looping.Store(true) // so that nothing waits
					ask := func(name string, qtype uint16) *query {
						m := msgFor(name+".", qtype)
						m.IsEdns0().Option = a.told
						q := &query{}
						q.reset(packed(m), netip.AddrPortFrom(netip.MustParseAddr(a.from), 1053), overTCP)
						q.clues.Token = a.token
						if s.answerNear(t.Context(), q) == pass { // allowed, and nobody to ask
							s.answerFar(t.Context(), q)
						}
						return q
					}
					rcode := func(q *query) int { return int(q.out[3] & maskRcode) }
					mine, theirs := ask(me.own, dns.TypeA), ask(other.own, dns.TypeA)
					if served {
						if rcode(mine) != rcodeNXDomain || rcode(theirs) != rcodeServFail {
							t.Errorf("%s: rcode %d, %s: %d; want my own family's policy", me.own, rcode(mine), other.own, rcode(theirs))
						}
					} else if rcode(mine) != rcodeRefused || rcode(theirs) != rcodeRefused {
						t.Errorf("rcodes %d and %d, want refusals", rcode(mine), rcode(theirs))
					}
					for _, l := range log.take() {
						if l.Family != me.id {
							t.Errorf("family %d's record has %+v", l.Family, l)
						}
					}
					found := ask("_dns.resolver.arpa", dns.TypeSVCB)
					for _, secret := range []string{other.device, other.family, other.handmade} {
						if a.token != "" && strings.Contains(a.token, secret) {
							continue // the attacker's own words come back
						}
						if bytes.Contains(found.out, []byte(secret)) {
							t.Errorf("discovery tells %q", secret)
						}
					}
					if found.asker.Family == other.id {
						t.Error("discovery is answered for the other family")
					}
					if n := len(s.Unknown(other.id)); n > 0 {
						t.Errorf("%d unknown devices are noted for the other family", n)
					}
				})
			}
		}
	}
}

func isCPE(o dns.EDNS0) bool {
	l, ok := o.(*dns.EDNS0_LOCAL)
	return ok && l.Code == optCPEID
}
