package resolver

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/blocklists"
)

// The vectors of the RFC's appendix: what it calls a fresh cookie, and what
// becomes of one that comes back.
func TestRFC9018_A_TestVectors(t *testing.T) {
	secret := func(s string) (k [16]byte) {
		hex.Decode(k[:], []byte(s))
		return k
	}
	const first, old, rolled = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, tt := range []struct {
		name, now, before, client, sent string
		at                              int64
		want                            string
		proven                          bool
	}{
		{"A.1 learning", first, old, "198.51.100.100", "2464c4abcf10c957", 1559731985, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", false},
		{
			"A.2 the same comes back, and is renewed when half an hour is over", first, old, "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559734385, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", true,
		},
		{
			"A.2, within half an hour", first, old, "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559733000, "2464c4abcf10c957010000005cf79f111f8130c3eee29480", true,
		},
		{
			"A.3 reserved bits that are set", first, old, "203.0.113.203",
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559729000, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", true,
		},
		{"A.3, renewed", first, old, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 1559734700, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", false},
		{
			"A.4 IPv6, a secret that rolled over", rolled, old, "2001:db8:220:1:59de:d0f4:8769:82b8",
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741961, "22681ab97d52c298010000005cf7c609a6bb79d16625507a", true,
		},
		{
			"another client's", first, old, "198.51.100.101",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985, "", false,
		},
		{
			"from the future", first, old, "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 - 301, "", false,
		},
		{
			"over", first, old, "198.51.100.100",
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985 + 3601, "", false,
		},
	} {
		now := time.Unix(tt.at, 0)
		c := newCookies(now)
		c.secrets.Store(&secrets{now: secret(tt.now), before: secret(tt.before), since: now})
		q := &query{now: now, from: netip.AddrPortFrom(netip.MustParseAddr(tt.client), 53)}
		data, _ := hex.DecodeString(tt.sent)
		if !q.readCookie(data) {
			t.Fatalf("%s: the cookie is not read", tt.name)
		}
		c.check(q)
		if got := hex.EncodeToString(q.cookie[:]); tt.want != "" && got != tt.want || q.proven != tt.proven {
			t.Errorf("%s: %s, proven %v, want %s, %v", tt.name, got, q.proven, tt.want, tt.proven)
		}
	}
}

func TestSipHash(t *testing.T) {
	var key [16]byte
	var msg [15]byte
	for i := range key {
		key[i] = byte(i)
	}
	for i := range msg {
		msg[i] = byte(i)
	}
	if got := siphash24(&key, msg[:]); got != 0xa129ca6149be45e5 { // the paper's appendix A
		t.Errorf("siphash24 = %x", got)
	}
}

// Secrets change by themselves, and the one before is still good.
func TestCookieSecretsRotate(t *testing.T) {
	now := time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC)
	c := newCookies(now)
	first := *c.current(now.Add(secretLife - time.Second))
	next := *c.current(now.Add(secretLife))
	if next.before != first.now || next.now == first.now {
		t.Error("after its life a secret is not the one before a new one")
	}
}

// withCookie adds a cookie, in hex.
func withCookie(cookie string) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	}
}

func cookieOf(m *dns.Msg) string {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if c, ok := opt.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

const clientCookie = "0011223344556677"

func TestRFC7873_Cookies(t *testing.T) {
	c := config(t, newFake(t, "ok.example. 60 IN A 192.0.2.1"))
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := start(t, c)
	for _, network := range []string{"udp", "tcp"} {
		for _, name := range []string{"ok.example.", "stranger.example.", "localhost."} {
			got := cookieOf(askBy(t, s, network, household, msgFor(name, dns.TypeA, withCookie(clientCookie))))
			if len(got) != 48 || !strings.HasPrefix(got, clientCookie+"01000000") {
				t.Fatalf("%s, %s: the cookie is %q", network, name, got)
			}
			if again := cookieOf(askBy(t, s, network, household, msgFor(name, dns.TypeA, withCookie(got)))); again != got {
				t.Errorf("%s, %s: %s came back as %s", network, name, got, again)
			}
			foreign := clientCookie + strings.Repeat("ab", 32)
			if got := cookieOf(askBy(t, s, network, household, msgFor(name, dns.TypeA, withCookie(foreign)))); len(got) != 48 {
				t.Errorf("%s, %s: for another server's cookie came %q", network, name, got)
			}
		}
	}
	if got := ask(t, s, household, msgFor("ok.example.", dns.TypeA)); cookieOf(got) != "" {
		t.Errorf("a cookie for whoever sent none: %s", got)
	}
	if got := ask(t, s, "127.9.9.9", msgFor("ok.example.", dns.TypeA, withCookie(clientCookie))); cookieOf(got) != "" {
		t.Errorf("a cookie for a stranger: %s", got)
	}
	for n := range 44 { // §5.2.2
		got := ask(t, s, household, msgFor("ok.example.", dns.TypeA, func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: optCookie, Data: make([]byte, n)})
		}))
		want := dns.RcodeFormatError
		if n == 8 || 16 <= n && n <= 40 {
			want = dns.RcodeSuccess
		}
		if got.Rcode != want {
			t.Errorf("a cookie of %d bytes: %s, want %s", n, dns.RcodeToString[got.Rcode], dns.RcodeToString[want])
		}
	}
}

// asks sends a question over UDP on one socket, times times, and then one of
// another type; it returns the answers to the first, by then all there are.
func asks(t *testing.T, s *Server, from string, times int, m *dns.Msg) (answers []*dns.Msg) {
	t.Helper()
	conn := dial(t, s, "udp", from)
	defer conn.Close()
	for range times {
		q := new(query)
		q.reset(packed(m), conn.LocalAddr().(*net.UDPAddr).AddrPort(), overUDP)
		if s.answerNear(t.Context(), q) == done {
			a := new(dns.Msg)
			if err := a.Unpack(q.out); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, a)
		}
	}
	return answers
}

// count sums up what answers are.
func sumUp(answers []*dns.Msg) string {
	served, slipped, cookie, other := 0, 0, 0, 0
	for _, a := range answers {
		switch {
		case a.Rcode == dns.RcodeBadCookie:
			cookie++
		case a.Truncated:
			slipped++
		case a.Rcode == dns.RcodeNameError:
			served++
		default:
			other++
		}
	}
	return fmt.Sprintf("served %d slipped %d badcookie %d other %d", served, slipped, cookie, other)
}

func TestRateLimit(t *testing.T) {
	c := config(t, newFake(t))
	clk := newClock()
	c.Now = clk.now
	c.AllowNets = append(c.AllowNets, netip.MustParsePrefix("::/0"))
	c.Limits.Rate = RateLimit{PerSecond: 10, Burst: 20, Slip: 3, IPv4Bits: 24, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24"), netip.MustParsePrefix("::ffff:127.0.10.0/120")}}
	reg := newRegistry(&c)
	s := start(t, c)
	m := msgFor("stranger.example.", dns.TypeA)
	step := func(what, from string, times int, m *dns.Msg, want string) {
		t.Helper()
		if got := sumUp(asks(t, s, from, times, m)); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	cookie := cookieOf(ask(t, s, "127.0.3.1", msgFor("stranger.example.", dns.TypeA, withCookie(clientCookie))))
	step("a burst, then every third goes to TCP", household, 32, m, "served 20 slipped 4 badcookie 0 other 0")
	step("another address of the network", adult, 3, m, "served 0 slipped 1 badcookie 0 other 0")
	step("another network", "127.0.1.1", 3, m, "served 3 slipped 0 badcookie 0 other 0")
	step("who is exempt", "127.0.9.1", 50, m, "served 50 slipped 0 badcookie 0 other 0")
	step("who is exempt, written as IPv6", "127.0.10.1", 50, m, "served 50 slipped 0 badcookie 0 other 0")
	clk.advance(500 * time.Millisecond)
	step("half a second later", household, 8, m, "served 5 slipped 1 badcookie 0 other 0")

	// Somebody floods in a client's name: it is served by its cookie, and learns
	// one where it has none; TCP is open to it as well.
	step("the flood", "127.0.3.1", 60, m, "served 20 slipped 13 badcookie 0 other 0")
	step("with its cookie", "127.0.3.1", 10, msgFor("stranger.example.", dns.TypeA, withCookie(cookie)), "served 10 slipped 0 badcookie 0 other 0")
	learns := msgFor("stranger.example.", dns.TypeA, withCookie(clientCookie))
	step("without a server's", "127.0.3.1", 3, learns, "served 0 slipped 0 badcookie 1 other 0")
	step("a forged one", "127.0.3.1", 3, msgFor("stranger.example.", dns.TypeA, withCookie(cookie[:46]+"00")), "served 0 slipped 0 badcookie 1 other 0")
	if got := askBy(t, s, "tcp", "127.0.3.1", m); got.Rcode != dns.RcodeNameError {
		t.Errorf("over TCP: %s", got)
	}
	// A cookie is no licence to flood.
	step("a flood with a cookie", "127.0.3.1", 60, msgFor("stranger.example.", dns.TypeA, withCookie(cookie)), "served 9 slipped 17 badcookie 0 other 0")

	for label, want := range map[string]float64{"slipped": 4 + 1 + 1 + 13 + 17, "badcookie": 2} {
		if got := metric(t, reg, "kinward_rate_limited_total", "outcome="+label); got != want {
			t.Errorf("kinward_rate_limited_total{%s} = %v, want %v", label, got, want)
		}
	}
	checkMetricNames(t, reg)
}

// Strangers' refusals are counted, too, and above the limit nothing goes out.
func TestRateLimitOfStrangers(t *testing.T) {
	c := config(t, newFake(t))
	c.Now = newClock().now
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	c.Limits.Rate = RateLimit{PerSecond: 1, Burst: 5, Slip: 1}
	s := start(t, c)
	if got := sumUp(asks(t, s, adult, 20, msgFor("ok.example.", dns.TypeA))); got != "served 0 slipped 0 badcookie 0 other 5" {
		t.Error(got)
	}
}

// A TCP client that asks too fast is answered as fast as it may ask.
func TestRateLimitPacesTCP(t *testing.T) {
	c := config(t, newFake(t))
	clk := newClock()
	c.Now = clk.now
	c.Limits.Rate = RateLimit{PerSecond: 1, Burst: 2}
	reg := newRegistry(&c)
	s := start(t, c)
	conn := dial(t, s, "tcp", household)
	defer conn.Close()
	for i := range 3 {
		writeFrame(t, conn, tcpQuestion(uint16(i), "stranger.example."))
	}
	readFrameT(t, conn)
	readFrameT(t, conn)
	for metric(t, reg, "kinward_rate_limited_total", "outcome=delayed") == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := metric(t, reg, "kinward_queries_total", "transport=tcp"); n != 2 {
		t.Errorf("%v answered before their time", n)
	}
	clk.advance(time.Second)
	if id := binary.BigEndian.Uint16(readFrameT(t, conn)); id != 2 {
		t.Errorf("answer %d, want 2", id)
	}
}

// A flood from made-up addresses neither frees who is above the limit nor hits
// who is not, and takes no memory.
func TestRateLimitUnderSpoofedSources(t *testing.T) {
	l := newLimiter(Limits{Rate: RateLimit{PerSecond: 10, Burst: 20, Networks: 1000}}.withDefaults().Rate)
	now := time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC)
	greedy, steady := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	before := heap()
	served, lost := 0, 0
	const seconds, spoofed = 10, 5000
	for i := range seconds * spoofed {
		now = now.Add(time.Second / spoofed)
		made := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.take(unproven, made, now)
		if ok, _ := l.take(unproven, greedy, now); ok {
			served++
		}
		if i%(spoofed/5) == 0 {
			if ok, _ := l.take(unproven, steady, now); !ok {
				lost++
			}
		}
	}
	if most := 20 + 10*seconds; served > most {
		t.Errorf("%d of the one above the limit were served, want at most %d", served, most)
	}
	if lost > 0 {
		t.Errorf("%d of the steady one were not served", lost)
	}
	if grown := int64(heap()) - int64(before); grown > 100_000 {
		t.Errorf("the table grew by %d bytes", grown)
	}
	runtime.KeepAlive(l)
}

func TestRateLimitDoesNotAllocate(t *testing.T) {
	l := newLimiter(Limits{}.withDefaults().Rate)
	now := time.Now()
	c := newCookies(now)
	q := &query{now: now, from: netip.MustParseAddrPort("192.0.2.1:53")}
	a6 := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(1000, func() {
		l.take(unproven, q.from.Addr(), now)
		l.take(proven, a6, now)
		q.cookieLen = clientCookieLen
		c.check(q)
		c.check(q)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever a stranger sends, the refusal is no longer.
func TestRefusalsDoNotAmplify(t *testing.T) {
	c := config(t, newFake(t))
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := start(t, c)
	edits := map[string]func(*dns.Msg){
		"plain": plainDNS, "with EDNS": func(*dns.Msg) {}, "with a cookie": withCookie(clientCookie),
		"with DO": func(m *dns.Msg) { m.IsEdns0().SetDo() }, "padded": padded,
		"version 1": func(m *dns.Msg) { m.IsEdns0().SetVersion(1) },
		"notify":    func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, "update": func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate },
		"chaos": func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, "no question": func(m *dns.Msg) { m.Question = nil },
		"bad cookie": func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: optCookie, Data: []byte{1}})
		},
		"two questions": func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
	}
	for what, edit := range edits {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeANY, dns.TypeAXFR, dns.TypeTSIG, dns.TypeOPT} {
			for _, name := range []string{".", "ok.example.", strings.Repeat("aaaaaaa.", 31)} {
				wire := packed(msgFor(name, qtype, edit))
				got := askRaw(t, s, "udp", "127.9.9.9", wire)
				if len(got) > len(wire) || got[3]&maskRcode != rcodeRefused {
					t.Errorf("%s, %s %s: %d bytes for %d, rcode %d", what, name, dns.Type(qtype), len(got), len(wire), got[3]&maskRcode)
				}
			}
		}
	}
}

func TestRebindingGuard(t *testing.T) {
	homes := []string{"10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "0.0.0.0", "0.1.2.3", "100.64.0.1"}
	homes6 := []string{"::", "::1", "fe80::1", "fd00::1", "fc00::1", "::ffff:192.168.1.1", "::ffff:127.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "fec0::1", "64:ff9b:1::1"}
	outside := []string{"192.0.2.1", "172.32.0.1", "100.128.0.1", "11.0.0.1"}
	outside6 := []string{"2001:db8::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1"}
	c := config(t)
	var zone []string
	add := func(prefix string, rtype string, addrs []string) (names []string) {
		for i, a := range addrs {
			n := fmt.Sprintf("%s%d.example.", prefix, i)
			if rtype == "AAAA" && strings.HasPrefix(a, "::ffff:") { // the library writes these only raw
				b := netip.MustParseAddr(a).As16()
				zone = append(zone, fmt.Sprintf("%s 60 IN TYPE28 \\# 16 %x", n, b))
			} else {
				zone = append(zone, fmt.Sprintf("%s 60 IN %s %s", n, rtype, a))
			}
			names = append(names, n)
		}
		return names
	}
	bad4, bad6, good4, good6 := add("b", "A", homes), add("c", "AAAA", homes6), add("g", "A", outside), add("h", "AAAA", outside6)
	zone = append(zone,
		"mixed.example. 60 IN A 192.0.2.1", "mixed.example. 60 IN A 192.168.1.1",
		"hint4.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1,192.168.1.1", "hint6.example. 60 IN SVCB 1 . ipv6hint=fd00::1",
		"clean.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1",
		"away.example. 60 IN CNAME b0.example.", "b0.example. 60 IN A 10.1.2.3",
		"ruled-in.example. 60 IN A 192.168.1.9", "www.plumbing.example. 60 IN A 192.168.1.9",
		"nas.trusted.example. 60 IN A 192.168.1.9", "trusted.example. 60 IN A 192.168.1.9", "nottrusted.example. 60 IN A 192.168.1.9",
	)
	up := newFake(t, zone...)
	c.Upstreams = append(c.Upstreams, mustUpstream(t, "udp://"+up.addr.String()))
	c.Home.RebindAllow = []blocklists.Name{blocklists.MustName("trusted.example")}
	reg := newRegistry(&c)
	s := start(t, c)
	blocked := 0
	check := func(from, name string, qtype uint16, kept bool) {
		t.Helper()
		for range 2 { // from the upstream, from the cache
			got := ask(t, s, from, msgFor(name, qtype))
			code, _ := ede(got)
			if kept {
				blocked++
				if got.Rcode != dns.RcodeSuccess || len(got.Answer) > 0 || code != edeBlocked || len(got.Ns) != 1 {
					t.Errorf("%s from %s: %s\nwant NODATA, EDE 15", name, from, got)
				}
			} else if len(got.Answer) == 0 || code != -1 {
				t.Errorf("%s from %s: %s\nwant the answer", name, from, got)
			}
		}
	}
	for _, n := range bad4 {
		check(household, n, dns.TypeA, true)
	}
	for _, n := range bad6 {
		check(household, n, dns.TypeAAAA, true)
	}
	for _, n := range good4 {
		check(household, n, dns.TypeA, false)
	}
	for _, n := range good6 {
		check(household, n, dns.TypeAAAA, false)
	}
	check(household, "mixed.example.", dns.TypeA, true)
	check(household, "hint4.example.", dns.TypeHTTPS, true)
	check(household, "hint6.example.", dns.TypeSVCB, true)
	check(household, "clean.example.", dns.TypeHTTPS, false)
	check(household, "away.example.", dns.TypeA, true)
	check(household, "trusted.example.", dns.TypeA, false)
	check(household, "nas.trusted.example.", dns.TypeA, false)
	check(household, "nottrusted.example.", dns.TypeA, true)
	check(household, "www.plumbing.example.", dns.TypeA, false)
	check(household, "ruled-in.example.", dns.TypeA, true)
	check(ruled, "ruled-in.example.", dns.TypeA, false) // the guardian's rule, though the cache is shared
	check(household, "ruled-in.example.", dns.TypeA, true)
	if n := metric(t, reg, "kinward_rebindings_total"); n != float64(blocked) {
		t.Errorf("kinward_rebindings_total = %v, want %d", n, blocked)
	}
}

// Additional records of the home's are left out for everybody.
func TestRebindingGuardOfAdditionalRecords(t *testing.T) {
	k := keyFor("mail.example")
	m := new(dns.Msg).SetQuestion("mail.example.", dns.TypeA)
	for i, rr := range []string{"mail.example. 60 IN A 192.0.2.1", "x.example. 60 IN A 192.168.1.1", "y.example. 60 IN AAAA fd00::1", "z.example. 60 IN A 192.0.2.2"} {
		r, err := dns.NewRR(rr)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			m.Answer = append(m.Answer, r)
		} else {
			m.Extra = append(m.Extra, r)
		}
	}
	e, err := newEntry(k, m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if e.home || word(e.wire, atAR) != 1 {
		t.Errorf("home %v, %d additional records", e.home, word(e.wire, atAR))
	}
}

// Every zone of RFC 6303 §4, and of the RFCs after it, is answered here.
func TestRFC6303_LocallyServedZones(t *testing.T) {
	up := newFake(t)
	s := start(t, config(t, up))
	zones := []string{
		"10.in-addr.arpa.", "168.192.in-addr.arpa.", "0.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.",
		"2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		strings.Repeat("0.", 32) + "ip6.arpa.", "1." + strings.Repeat("0.", 31) + "ip6.arpa.",
		"d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
		"home.arpa.", "local.", // RFC 8375, RFC 6762
	}
	for i := 16; i <= 31; i++ {
		zones = append(zones, fmt.Sprintf("%d.172.in-addr.arpa.", i))
	}
	for i := 64; i <= 127; i++ { // RFC 7793
		zones = append(zones, fmt.Sprintf("%d.100.in-addr.arpa.", i))
	}
	if len(zones) != len(reserved) {
		t.Errorf("%d zones are reserved, want %d", len(reserved), len(zones))
	}
	up.queries()
	for _, z := range zones {
		soa := z + " 300 IN SOA " + z + " nobody.invalid. 1 3600 1200 604800 300"
		for _, tt := range []struct {
			name       string
			qtype      uint16
			rcode      int
			answer, ns []string
		}{
			{z, dns.TypeSOA, dns.RcodeSuccess, []string{soa}, []string{}},
			{z, dns.TypeNS, dns.RcodeSuccess, []string{z + " 300 IN NS " + z}, []string{}},
			{z, dns.TypeA, dns.RcodeSuccess, []string{}, []string{soa}},
			{"1.2." + z, dns.TypePTR, dns.RcodeNameError, []string{}, []string{soa}},
		} {
			got := ask(t, s, household, msgFor(tt.name, tt.qtype))
			if diff := cmp.Diff(tt.answer, rrs(got.Answer)); got.Rcode != tt.rcode || diff != "" {
				t.Errorf("%s %s: %s, answer (-want +got):\n%s", tt.name, dns.Type(tt.qtype), dns.RcodeToString[got.Rcode], diff)
			}
			if diff := cmp.Diff(tt.ns, rrs(got.Ns)); diff != "" {
				t.Errorf("%s %s: authority (-want +got):\n%s", tt.name, dns.Type(tt.qtype), diff)
			}
		}
	}
	if n := len(up.queries()); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
	for _, n := range []string{"15.172.in-addr.arpa.", "32.172.in-addr.arpa.", "63.100.in-addr.arpa.", "169.192.in-addr.arpa.", "notlocal.", "c.e.f.ip6.arpa.", "arpa."} {
		ask(t, s, household, msgFor(n, dns.TypePTR))
		if countFor(up, n) == 0 {
			t.Errorf("%s was not asked of the upstream", n)
		}
	}
	// RFC 8375 §4: DS belongs to the parent, whose signed denial says that the
	// zone may be unsigned.
	ask(t, s, household, msgFor("home.arpa.", dns.TypeDS))
	if countFor(up, "home.arpa.") == 0 {
		t.Error("home.arpa. DS was not asked of the upstream")
	}
}
