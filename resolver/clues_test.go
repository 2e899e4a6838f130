package resolver

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"kinward/policy"
	"kinward/resolver/upstream"
)

func TestTokens(t *testing.T) {
	const name = "dns.example"
	long := strings.Repeat("a", 63)
	certificate := func(cn string, names ...string) string {
		return tokenOfCertificate(&x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: names}, name)
	}
	for _, tt := range []struct{ what, got, want string }{
		{"no server name", tokenOfName("", name), ""},
		{"the server's own", tokenOfName("DNS.example", name), ""},
		{"another server's", tokenOfName("phone.dns.example.net", name), ""},
		{"one that only ends alike", tokenOfName("phone-dns.example", name), ""},
		{"a server without a name", tokenOfName("phone.dns.example", ""), ""},
		{"a token", tokenOfName("phone.dns.example", name), "phone"},
		{"with a dot at its end", tokenOfName("Phone.DNS.Example.", name), "Phone"},
		{"an alias", tokenOfName("tablet-abcdefghij234567.dns.example", name), "tablet-abcdefghij234567"},
		{"two labels", tokenOfName("a.phone.dns.example", name), nobodysToken},
		{"an empty label", tokenOfName(".dns.example", name), nobodysToken},
		{"a label with a zero", tokenOfName("ph\x00ne.dns.example", name), nobodysToken},
		{"the longest label", tokenOfName(long+".dns.example", name), long},
		{"a longer one", tokenOfName(long+"a.dns.example", name), nobodysToken},

		{"DoH without a token", tokenOfPath("/dns-query"), ""},
		{"and with a slash", tokenOfPath("/dns-query/"), ""},
		{"another path", tokenOfPath("/dns-queryphone"), nobodysToken},
		{"a token in the path", tokenOfPath("/dns-query/phone"), "phone"},
		{"and a slash", tokenOfPath("/dns-query/phone/"), "phone"},
		{"two parts", tokenOfPath("/dns-query/phone/more"), nobodysToken},
		{"what climbs", tokenOfPath("/dns-query/../phone"), nobodysToken},

		{"no user", tokenOfUser("", ""), ""},
		{"a user", tokenOfUser("phone", "anything"), "phone"},
		{"a password alone", tokenOfUser("", "phone"), "phone"},
		{"a user that cannot be one", tokenOfUser("ph ne", "phone"), nobodysToken},

		{"a certificate's name", certificate("Tablet", "phone.dns.example"), "phone"},
		{"its common name", certificate("phone"), "phone"},
		{"a whole common name", certificate("phone.dns.example"), "phone"},
		{"a common name of elsewhere", certificate("phone.example.net"), ""},
		{"two names that differ", certificate("", "phone.dns.example", "tablet.dns.example"), nobodysToken},
		{"one of elsewhere", certificate("", "phone.dns.example", "www.example.net"), "phone"},

		{"agreement", oneToken("phone", "", "PHONE"), "phone"},
		{"none", oneToken("", ""), ""},
		{"disagreement", oneToken("phone", "tablet"), nobodysToken},
		{"disagreement that is mended", oneToken("phone", "tablet", "tablet"), nobodysToken},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

func options(all ...dns.EDNS0) []byte {
	m := msgFor("ok.example.", dns.TypeA)
	m.IsEdns0().Option = all
	q := &query{msg: packed(m)}
	q.parse()
	return bytes.Clone(q.options)
}

func local(code uint16, data string) dns.EDNS0 {
	return &dns.EDNS0_LOCAL{Code: code, Data: []byte(data)}
}

func ecs(family uint16, bits uint8, a string) dns.EDNS0 {
	return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: bits, Address: netip.MustParseAddr(a).AsSlice()}
}

func TestReadTold(t *testing.T) {
	mac := policy.MAC{2, 0, 0x5e, 0x10, 0, 0x31}
	raw := string(mac[:])
	for _, tt := range []struct {
		name string
		in   []dns.EDNS0
		want told
	}{
		{"nothing", nil, told{}},
		{"options of others", []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 9)}, local(65002, raw)}, told{}},
		{"dnsmasq --add-mac", []dns.EDNS0{local(optMAC, raw)}, told{any: true, mac: mac}},
		{"--add-mac=text", []dns.EDNS0{local(optDeviceID, "02:00:5E:10:00:31")}, told{any: true, mac: mac}},
		{"--add-mac=base64", []dns.EDNS0{local(optDeviceID, "AgBeEAAx")}, told{any: true, mac: mac}},
		{"the same twice", []dns.EDNS0{local(optMAC, raw), local(optDeviceID, "AgBeEAAx")}, told{any: true, mac: mac}},
		{"two that differ", []dns.EDNS0{local(optMAC, raw), local(optMAC, "\x02\x00\x00\x00\x00\x01")}, told{any: true, badMAC: true}},
		{"and a third", []dns.EDNS0{local(optMAC, raw), local(optMAC, "\x02\x00\x00\x00\x00\x01"), local(optMAC, raw)}, told{any: true, badMAC: true}},
		{"too short", []dns.EDNS0{local(optMAC, raw[:5])}, told{any: true, badMAC: true}},
		{"too long", []dns.EDNS0{local(optMAC, raw+"x")}, told{any: true, badMAC: true}},
		{"zeros", []dns.EDNS0{local(optMAC, "\x00\x00\x00\x00\x00\x00")}, told{any: true, badMAC: true}},
		{"a group", []dns.EDNS0{local(optMAC, "\xff\xff\xff\xff\xff\xff")}, told{any: true, badMAC: true}},
		{"text that is none", []dns.EDNS0{local(optDeviceID, "02:00:5E:10:00:3x")}, told{any: true, badMAC: true}},
		{"text without colons", []dns.EDNS0{local(optDeviceID, "02x00x5ex10x00x31")}, told{any: true, badMAC: true}},
		{"a name", []dns.EDNS0{local(optDeviceID, "Anna's tablet")}, told{any: true, badMAC: true}},
		{"--add-cpe-id", []dns.EDNS0{local(optCPEID, "abcdefghij234567")}, told{any: true, token: "abcdefghij234567"}},
		{"two that differ", []dns.EDNS0{local(optCPEID, "abc"), local(optCPEID, "abd")}, told{any: true, token: nobodysToken}},
		{"an empty one", []dns.EDNS0{local(optCPEID, "")}, told{any: true, token: nobodysToken}},
		{"a long one", []dns.EDNS0{local(optCPEID, strings.Repeat("a", 64))}, told{any: true, token: nobodysToken}},
		{"one that is no label", []dns.EDNS0{local(optCPEID, "a b")}, told{any: true, token: nobodysToken}},
		{"--add-subnet=32,128", []dns.EDNS0{ecs(1, 32, "192.168.1.20")}, told{any: true, host: netip.MustParseAddr("192.168.1.20")}},
		{"and IPv6", []dns.EDNS0{ecs(2, 128, "fd00::20")}, told{any: true, host: netip.MustParseAddr("fd00::20")}},
		{"a region", []dns.EDNS0{ecs(1, 24, "192.168.1.0"), ecs(2, 56, "2001:db8::")}, told{}},
		{"nothing of an address", []dns.EDNS0{ecs(1, 0, "0.0.0.0")}, told{}},
		{"loopback", []dns.EDNS0{ecs(1, 32, "127.0.0.1")}, told{}},
		{"another family number", []dns.EDNS0{local(optECS, "\x00\x03\x20\x00\xc0\xa8\x01\x14")}, told{}},
		{"cut", []dns.EDNS0{local(optECS, "\x00\x01\x20\x00\xc0\xa8\x01")}, told{}},
		{"two addresses", []dns.EDNS0{ecs(1, 32, "192.168.1.20"), ecs(1, 32, "192.168.1.21")}, told{any: true, badHost: true}},
		{
			"dnsmasq --umbrella",
			[]dns.EDNS0{local(optUmbrella, "ODNS\x01\x00\x00\x08\x00\x00\x00\x07\x00\x10\xc0\xa8\x01\x14\x00\x40\x01\x23\x45\x67\x89\xab\xcd\xef")},
			told{any: true, token: "0123456789abcdef", host: netip.MustParseAddr("192.168.1.20")},
		},
		{"IPv6", []dns.EDNS0{local(optUmbrella, "ODNS\x01\x00\x00\x20"+string(netip.MustParseAddr("fd00::20").AsSlice()))}, told{any: true, host: netip.MustParseAddr("fd00::20")}},
		{"another version", []dns.EDNS0{local(optUmbrella, "ODNS\x02\x00\x00\x40\x01\x23\x45\x67\x89\xab\xcd\xef")}, told{any: true}},
		{"another mark", []dns.EDNS0{local(optUmbrella, "ODNX\x01\x00\x00\x40\x01\x23\x45\x67\x89\xab\xcd\xef")}, told{any: true}},
		{"cut", []dns.EDNS0{local(optUmbrella, "ODNS\x01\x00\x00\x40\x01\x23\x45\x67\x89\xab\xcd")}, told{any: true}},
		{"a type whose length is not known", []dns.EDNS0{local(optUmbrella, "ODNS\x01\x00\x01\x00\x00\x40\x01\x23\x45\x67\x89\xab\xcd\xef")}, told{any: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readTold(options(tt.in...))
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(told{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever bytes come: no panic, and only what can be a clue is one.
func FuzzReadTold(f *testing.F) {
	f.Add(options(local(optMAC, "\x02\x00\x5e\x10\x00\x31"), local(optCPEID, "abcdefghij234567"), ecs(1, 32, "192.168.1.20")))
	f.Add(options(local(optDeviceID, "02:00:5e:10:00:31"), local(optDeviceID, "AgBeEAAx"), ecs(2, 128, "fd00::20")))
	f.Add(options(local(optUmbrella, "ODNS\x01\x00\x00\x08\x00\x00\x00\x07\x00\x40\x01\x23\x45\x67\x89\xab\xcd\xef")))
	f.Add([]byte{0xfd, 0xe9, 0xff, 0xff, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := readTold(b)
		switch {
		case got.token != "" && got.token != nobodysToken && asToken(got.token) != got.token,
			got.mac != (policy.MAC{}) && got.mac[0]&1 != 0,
			got.badMAC && got.mac != (policy.MAC{}), got.badHost && got.host.IsValid(),
			!got.any && got != (told{}):
			t.Fatalf("%x is read as %+v", b, got)
		}
	})
}

func FuzzTokenOfName(f *testing.F) {
	for _, s := range []string{"", "dns.example", "x.dns.example", "a.b.dns.example", ".dns.example", "x.DNS.example.", "\x00.dns.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, token := range []string{tokenOfName(s, "dns.example"), tokenOfPath(s), tokenOfPath("/dns-query/" + s), tokenOfUser(s, s)} {
			if token != nobodysToken && (asToken(token) != token || strings.ContainsAny(token, "./\x00 ")) {
				t.Fatalf("%q has the token %q", s, token)
			}
		}
	})
}

// TestRFC7871_CluesStopHere: nothing that a forwarder tells goes to an upstream
// or back to the asker.
func TestRFC7871_CluesStopHere(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	c.Forwarders = loopbackNets
	s := start(t, c)
	m := msgFor("ok.example.", dns.TypeA)
	secrets := []string{"\x02\x00\x5e\x10\x00\x31", "AgBeEAAx", "\xc0\xa8\x01\x14", "ODNS\x01\x00\x00\x10\xc0\xa8\x01\x14"}
	m.IsEdns0().Option = []dns.EDNS0{local(optMAC, secrets[0]), local(optDeviceID, secrets[1]), ecs(1, 32, "192.168.1.20"), local(optUmbrella, secrets[3])}
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer := askRaw(t, s, "udp", household, wire)
	sent := up.queries()
	if len(sent) == 0 || answer[3]&maskRcode != rcodeNoError {
		t.Fatalf("%d questions upstream, answer %x", len(sent), answer)
	}
	for _, secret := range secrets {
		for _, q := range sent {
			if bytes.Contains(q.wire, []byte(secret)) {
				t.Errorf("%x is in the question to the upstream: %x", secret, q.wire)
			}
		}
		if bytes.Contains(answer, []byte(secret)) {
			t.Errorf("%x is in the answer: %x", secret, answer)
		}
	}
}

// TestCluesCostNothing: who asks is found without allocating.
func TestCluesCostNothing(t *testing.T) {
	s := still(t)
	if err := s.Reconfigure(Settings{Upstreams: []upstream.Spec{mustUpstream(t, "udp://127.0.0.1:1")}, AllowNets: loopbackNets, Forwarders: loopbackNets}); err != nil {
		t.Fatal(err)
	}
	m := msgFor("www.stranger.example.", dns.TypeA)
	m.IsEdns0().Option = []dns.EDNS0{local(optMAC, "\x02\x00\x5e\x10\x00\x31"), ecs(1, 32, "192.168.1.20")}
	wire, from, q := packed(m), netip.MustParseAddrPort(household+":1053"), &query{}
	q.now, q.set, q.state = s.now(), s.settings.Load(), s.state()
	gathered := func() {
		q.msg, q.from, q.clues, q.edns = wire, from, policy.Clues{}, false
		q.parse()
		s.gather(q)
		s.identify(t.Context(), q)
	}
	gathered() // notes the unknown device
	before := testing.AllocsPerRun(1000, func() {
		q.msg, q.from, q.clues, q.edns = wire, from, policy.Clues{}, false
		q.parse()
	})
	if n := testing.AllocsPerRun(1000, gathered); n > before {
		t.Errorf("%v allocations a question, %v of them to read it", n, before)
	}
	if q.clues.MAC != (policy.MAC{2, 0, 0x5e, 0x10, 0, 0x31}) {
		t.Errorf("clues %+v", q.clues)
	}
}

// TestGuessing: a network that guesses is slowed, what it had is not, and what is
// old costs nothing.
func TestGuessing(t *testing.T) {
	g, clock := newGuesses(), newClock()
	tries := func(from, token string, found bool) bool {
		try := g.of(policy.Clues{Addr: netip.MustParseAddr(from), Token: token})
		ok := g.mayTry(try, clock.now())
		if ok {
			g.note(try, found, clock.now())
		}
		return ok
	}
	token := func(i int) string { return hex.EncodeToString([]byte{byte(i >> 8), byte(i)}) }
	if !tries("192.0.2.1", "phone", true) {
		t.Fatal("a first token is not looked at")
	}
	for range 1000 {
		if !tries("192.0.2.1", "removed", false) {
			t.Fatal("a removed phone is shut out, and its home with it")
		}
	}
	n := 1 // the removed phone's
	for i := range 1000 {
		if !tries("192.0.2.1", token(i), false) {
			break
		}
		n++
	}
	if n != guessBurst {
		t.Errorf("%d guesses at once, want %d", n, guessBurst)
	}
	for _, tt := range []struct {
		name, from, token string
		want              bool
	}{
		{"a phone of the home", "192.0.2.1", "phone", true},
		{"in other letters", "192.0.2.1", "PHONE", true},
		{"the removed one", "192.0.2.1", "removed", true},
		{"one that is new there", "192.0.2.1", "tablet", false},
		{"another network", "192.0.2.2", "tablet", true},
	} {
		if got := tries(tt.from, tt.token, true); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	clock.advance(guessEvery + time.Second)
	if !tries("192.0.2.1", token(2000), false) || tries("192.0.2.1", token(2001), false) {
		t.Error("after a while it is one more guess")
	}
	clock.advance(-24 * time.Hour)
	if !tries("192.0.2.1", "tablet", true) {
		t.Error("after the clock was set back, a network that guessed is shut out until it is there again")
	}
	c := policy.Clues{Addr: netip.MustParseAddr("192.0.2.1"), Token: "phone"}
	if n := testing.AllocsPerRun(1000, func() { g.note(g.of(c), true, clock.now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestUnknownDevices: a guardian finds devices that have no name, no more of them
// than fit, and nobody's public address.
func TestUnknownDevices(t *testing.T) {
	u, clock := newUnknowns(), newClock()
	note := func(family policy.FamilyID, c policy.Clues) {
		q := &query{clues: c, now: clock.now()}
		q.asker.Family = family
		u.note(q)
	}
	a := netip.MustParseAddr
	mac := policy.MAC{2, 0, 0, 0, 0, 1}
	note(1, policy.Clues{Addr: a("192.168.1.20")})
	clock.advance(61 * time.Second)
	note(1, policy.Clues{Addr: a("198.51.100.7")}) // a home
	note(1, policy.Clues{Addr: a("192.168.1.1"), MAC: mac, Relayed: true})
	note(1, policy.Clues{Addr: a("192.168.1.1"), Host: a("192.168.1.21"), Relayed: true})
	note(1, policy.Clues{Addr: a("192.168.1.1"), Relayed: true})
	note(2, policy.Clues{Addr: a("192.168.1.20")})
	st := withLea(t)
	s := &Server{unknown: u, state: func() *policy.State { return st }, now: clock.now}
	late, early := clock.now().Truncate(time.Minute), clock.now().Add(-61*time.Second).Truncate(time.Minute)
	want := []Unknown{{1, netip.Addr{}, mac, late}, {1, a("192.168.1.21"), policy.MAC{}, late}, {1, a("192.168.1.20"), policy.MAC{}, early}}
	sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	if diff := cmp.Diff(want, s.Unknown(1), cmpopts.EquateComparable(netip.Addr{}), sameTime); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 2 * maxUnknown {
		clock.advance(time.Minute)
		note(3, policy.Clues{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	if n := len(s.Unknown(3)); n != maxUnknownPerFamily {
		t.Errorf("%d are kept of one family", n)
	}
	if len(s.Unknown(1)) != 3 {
		t.Error("another family's flood took them")
	}
	for i := range 2 * maxUnknown { // many families, each with a device
		note(policy.FamilyID(100+i), policy.Clues{Addr: a("192.168.1.20")})
	}
	kept := 0
	for _, own := range u.families {
		kept += own.Len()
	}
	if kept != maxUnknown || u.all.Len() != kept {
		t.Errorf("%d are kept by family, %d of all, want %d", kept, u.all.Len(), maxUnknown)
	}
	if len(s.Unknown(100)) != 0 || len(s.Unknown(100+2*maxUnknown-1)) != 1 {
		t.Error("of many families not the latest are kept")
	}
	note(3, policy.Clues{Addr: a("10.0.31.255")})
	same := &query{clues: policy.Clues{Addr: a("10.0.31.255")}, now: clock.now()}
	same.asker.Family = 3
	if n := testing.AllocsPerRun(1000, func() { u.note(same) }); n != 0 {
		t.Errorf("%v allocations for who was seen already", n)
	}
}
