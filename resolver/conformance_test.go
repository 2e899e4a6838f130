package resolver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// header returns a query's first twelve bytes.
func header(flags, qd, an, ns, ar uint16) []byte {
	b := []byte{0xAB, 0xCD}
	for _, v := range []uint16{flags, qd, an, ns, ar} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

const (
	okQuestion = "\x02Ok\x07example\x00\x00\x01\x00\x01"
	okOPT      = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
)

// Messages that are no good questions get the code that says so, and the ID.
func TestRFC1035_MalformedQueries(t *testing.T) {
	s := start(t, config(t, newFake(t, "ok.example. 60 IN A 192.0.2.1")))
	for _, tt := range []struct {
		name string
		wire string
		want int // rcode
	}{
		{"a good one", string(header(bitRD, 1, 0, 0, 0)) + okQuestion, dns.RcodeSuccess},
		{"a good one with OPT", string(header(bitRD, 1, 0, 0, 1)) + okQuestion + okOPT, dns.RcodeSuccess},
		{"bytes behind the message", string(header(bitRD, 1, 0, 0, 0)) + okQuestion + "xyz", dns.RcodeSuccess},
		{"a signature behind the OPT", string(header(bitRD, 1, 0, 0, 2)) + okQuestion + okOPT + "\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00", dns.RcodeSuccess},
		{"only a header", string(header(bitRD, 1, 0, 0, 0)), dns.RcodeFormatError},
		{"no question", string(header(bitRD, 0, 0, 0, 0)), dns.RcodeFormatError},
		{"no question but its bytes", string(header(bitRD, 0, 0, 0, 0)) + okQuestion, dns.RcodeFormatError},
		{"RFC 9619: two questions", string(header(bitRD, 2, 0, 0, 0)) + okQuestion + okQuestion, dns.RcodeFormatError},
		{"huge counts", string(header(bitRD, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)) + okQuestion, dns.RcodeFormatError},
		{"a count of records that are not there", string(header(bitRD, 1, 0, 0, 1)) + okQuestion, dns.RcodeFormatError},
		{"an answer in a question", string(header(bitRD, 1, 1, 0, 0)) + okQuestion + okOPT, dns.RcodeFormatError},
		{"a name that ends too soon", string(header(bitRD, 1, 0, 0, 0)) + "\x09short", dns.RcodeFormatError},
		{"a question that ends too soon", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\x01\x00", dns.RcodeFormatError},
		{"a pointer to itself", string(header(bitRD, 1, 0, 0, 0)) + "\xC0\x0C\x00\x01\x00\x01", dns.RcodeFormatError},
		{"a pointer into the header", string(header(bitRD, 1, 0, 0, 0)) + "\xC0\x00\x00\x01\x00\x01", dns.RcodeFormatError},
		{"a label and a pointer back to it", string(header(bitRD, 1, 0, 0, 0)) + "\x01a\xC0\x0C\x00\x01\x00\x01", dns.RcodeFormatError},
		{"an extended label", string(header(bitRD, 1, 0, 0, 0)) + "\x41\x01\x00\x00\x01\x00\x01", dns.RcodeFormatError},
		{"a name of 256 bytes", string(header(bitRD, 1, 0, 0, 0)) + strings.Repeat("\x3f"+strings.Repeat("a", 63), 4) + "\x00\x00\x01\x00\x01", dns.RcodeFormatError},
		{"a record longer than the message", string(header(bitRD, 1, 0, 0, 1)) + okQuestion + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x09", dns.RcodeFormatError},
		{"type 0", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\x00\x00\x01", dns.RcodeFormatError},
		{"type OPT", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\x29\x00\x01", dns.RcodeFormatError},
		{"type TKEY", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\xf9\x00\x01", dns.RcodeNotImplemented},
		{"AXFR", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\xfc\x00\x01", dns.RcodeRefused},
		{"IXFR with its SOA", string(header(bitRD, 1, 0, 1, 0)) + "\x02ok\x00\x00\xfb\x00\x01" + "\xC0\x0C\x00\x06\x00\x01\x00\x00\x00\x00\x00\x00", dns.RcodeRefused},
		{"CHAOS", string(header(bitRD, 1, 0, 0, 0)) + "\x07version\x04bind\x00\x00\x10\x00\x03", dns.RcodeRefused},
		{"class NONE", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\x01\x00\xfe", dns.RcodeRefused},
		{"class ANY", string(header(bitRD, 1, 0, 0, 0)) + "\x02ok\x00\x00\x01\x00\xff", dns.RcodeRefused},
		{"opcode IQUERY", string(header(1<<11|bitRD, 1, 0, 0, 0)) + okQuestion, dns.RcodeNotImplemented},
		{"opcode NOTIFY", string(header(4<<11, 1, 0, 0, 0)) + okQuestion, dns.RcodeNotImplemented},
		{"opcode UPDATE", string(header(5<<11, 1, 0, 0, 0)) + okQuestion, dns.RcodeNotImplemented},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				got := askRaw(t, s, network, household, []byte(tt.wire))
				m := new(dns.Msg)
				if err := m.Unpack(got); err != nil {
					t.Fatalf("%s: the answer %x cannot be read: %v", network, got, err)
				}
				if m.Rcode != tt.want || m.Id != 0xABCD || !m.Response {
					t.Errorf("%s: got %s, want rcode %s and the ID", network, m.MsgHdr.String(), dns.RcodeToString[tt.want])
				}
				if op := int(binary.BigEndian.Uint16([]byte(tt.wire)[2:])>>11) & 0xF; m.Opcode != op {
					t.Errorf("%s: opcode = %d, want %d", network, m.Opcode, op)
				}
			}
		})
	}
}

// A message of another kind that has an OPT record gets one back, and no
// option or version changes that it is not served.
func TestRFC6891_OPTOfOtherOpcodes(t *testing.T) {
	s := start(t, config(t, newFake(t)))
	const record = "\xC0\x0C\x00\x06\x00\x01\x00\x00\x00\x00\x00\x00"
	for _, tt := range []struct {
		name string
		wire string
		opt  bool
	}{
		{"STATUS, without a question", string(header(2<<11, 0, 0, 0, 1)) + okOPT, true},
		{"NOTIFY, with the zone's SOA", string(header(4<<11, 1, 1, 0, 1)) + okQuestion + record + okOPT, true},
		{"UPDATE, with a signature behind it", string(header(5<<11, 1, 0, 1, 2)) + okQuestion + record + okOPT + "\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00", true},
		{"without one", string(header(5<<11, 1, 0, 1, 0)) + okQuestion + record, false},
		{"in the wrong place", string(header(5<<11, 1, 0, 1, 0)) + okQuestion + okOPT, false},
		{"cut off", string(header(4<<11, 1, 0, 0, 1)) + okQuestion + okOPT[:8], false},
		{"behind a question that ends too soon", string(header(4<<11, 1, 0, 0, 1)) + "\x09short", false},
		{"behind a question without its type", string(header(4<<11, 1, 0, 0, 1)) + "\x02ok\x00", false},
		{"behind more than is read", string(header(5<<11, 1, 0, 16, 1)) + okQuestion + strings.Repeat(record, 16) + okOPT, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(dns.Msg)
			if err := m.Unpack(askRaw(t, s, "udp", household, []byte(tt.wire))); err != nil {
				t.Fatal(err)
			}
			if m.Rcode != dns.RcodeNotImplemented || (m.IsEdns0() != nil) != tt.opt {
				t.Errorf("got %s, OPT %v; want NOTIMP, OPT %t", m.MsgHdr.String(), m.IsEdns0(), tt.opt)
			}
		})
	}
}

// What is no query gets no answer, or two servers would answer each other for
// ever.
func TestRFC1035_NoAnswerToAnswers(t *testing.T) {
	s := start(t, config(t, newFake(t, "ok.example. 60 IN A 192.0.2.1")))
	good := string(header(bitRD, 1, 0, 0, 0)) + okQuestion
	for _, bad := range []string{
		string(header(bitQR|bitRD, 1, 0, 0, 0)) + okQuestion,
		string(header(bitQR|4<<11, 1, 0, 0, 0)) + okQuestion,
		"", "x", string(header(bitRD, 1, 0, 0, 0)[:11]), strings.Repeat("x", 5000),
	} {
		c := dial(t, s, "udp", household)
		c.Write([]byte(bad))
		c.Write([]byte(good)) // the same socket, so the same loop: it comes second
		buf := make([]byte, 512)
		n, err := c.Read(buf)
		c.Close()
		if err != nil || binary.BigEndian.Uint16(buf) != 0xABCD || n == headerLen {
			t.Errorf("%.20q: got %x, %v, want only the good question answered", bad, buf[:n], err)
		}
	}
}

// The question goes back as it came, byte for byte.
func TestRFC1035_QuestionAndIDEchoed(t *testing.T) {
	up := newFake(t, "mixed.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	for _, name := range []string{"MiXeD.eXaMpLe.", "mixed.EXAMPLE.", "StRaNgEr.example.", "LocalHost.", "missing.Example."} {
		for range 2 { // from upstream, then from the cache
			m := msgFor(name, dns.TypeA)
			wire := packed(m)
			got := askRaw(t, s, "udp", household, wire)
			end := headerLen + len(name) + 1 + 4
			if !bytes.Equal(got[:2], wire[:2]) || !bytes.Equal(got[headerLen:end], wire[headerLen:end]) {
				t.Errorf("asked %x\n got  %x", wire[:end], got[:end])
			}
		}
	}
}

// Types and classes that are unknown here go through.
func TestRFC3597_UnknownTypesAndClasses(t *testing.T) {
	up := newFake(t)
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		q := req.Question[0]
		a.Rcode, a.Ns = 0, nil
		a.Answer = []dns.RR{&dns.RFC3597{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: q.Qclass, Ttl: 30}, Rdata: "c0ffee",
		}}
		return [][]byte{packed(a)}
	})
	s := start(t, config(t, up))
	for _, q := range []dns.Question{
		{Name: "odd.example.", Qtype: 65280, Qclass: dns.ClassINET},
		{Name: "odd.example.", Qtype: 65280, Qclass: dns.ClassHESIOD},
		{Name: "odd.example.", Qtype: 65281, Qclass: 65280},
	} {
		m := msgFor(q.Name, q.Qtype)
		m.Question[0] = q
		got := ask(t, s, household, m)
		want := []string{fmt.Sprintf("odd.example. 30 CLASS%d TYPE%d \\# 3 c0ffee", q.Qclass, q.Qtype)}
		if diff := cmp.Diff(want, rrs(got.Answer)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", q, diff)
		}
	}
}

func TestRFC6891_OPT(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	opt := func(owner string, version byte, do bool, rdata string) string {
		flags := "\x00\x00"
		if do {
			flags = "\x80\x00"
		}
		return owner + "\x00\x29\x04\xd0\x00" + string(version) + flags + "\x00" + string(rune(len(rdata))) + rdata
	}
	ask := func(ar uint16, tail string) *dns.Msg {
		m := new(dns.Msg)
		if err := m.Unpack(askRaw(t, s, "udp", household, []byte(string(header(bitRD, 1, 0, 0, ar))+okQuestion+tail))); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tt := range []struct {
		name  string
		ar    uint16
		tail  string
		rcode int
		opt   bool
		do    bool
	}{
		{"none asked, none given", 0, "", dns.RcodeSuccess, false, false},
		{"one asked, one given", 1, opt("\x00", 0, false, ""), dns.RcodeSuccess, true, false},
		{"RFC 3225: DO is copied", 1, opt("\x00", 0, true, ""), dns.RcodeSuccess, true, true},
		{"§6.1.2: unknown options are passed over", 1, opt("\x00", 0, false, "\xfd\xe9\x00\x02ab\xfd\xea\x00\x00"), dns.RcodeSuccess, true, false},
		{"an option that is not whole", 1, opt("\x00", 0, false, "\xfd\xe9\x00\x09ab"), dns.RcodeFormatError, true, false},
		{"half an option", 1, opt("\x00", 0, false, "\xfd\xe9\x00"), dns.RcodeFormatError, true, false},
		{"§6.1.1: two OPTs", 2, opt("\x00", 0, false, "") + opt("\x00", 0, false, ""), dns.RcodeFormatError, true, false},
		{"§6.1.2: an owner", 1, opt("\x01a\x00", 0, false, ""), dns.RcodeFormatError, false, false},
		{"§6.1.3: version 1", 1, opt("\x00", 1, false, ""), dns.RcodeBadVers, true, false},
		{"§6.1.3: version 255", 1, opt("\x00", 255, true, ""), dns.RcodeBadVers, true, true},
	} {
		got := ask(tt.ar, tt.tail)
		o := got.IsEdns0()
		if got.Rcode != tt.rcode || (o != nil) != tt.opt {
			t.Errorf("%s: got %s, want rcode %s, OPT %v", tt.name, got, dns.RcodeToString[tt.rcode], tt.opt)
			continue
		}
		if o != nil && (o.Version() != 0 || o.UDPSize() != 1232 || o.Do() != tt.do || len(o.Option) > 0) {
			t.Errorf("%s: OPT = %s", tt.name, o)
		}
	}
}

// What the asker's OPT record says is for us. Upstream goes one that says the
// same for everybody, but for DO and CD.
func TestRFC6891_NothingOfTheClientGoesUpstream(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	for _, tt := range []struct{ do, cd bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		up.queries()
		m := msgFor("ok.example.", dns.TypeA)
		m.CheckingDisabled, m.AuthenticatedData = tt.cd, true
		o := m.IsEdns0()
		o.SetUDPSize(4096)
		o.SetDo(tt.do)
		o.Option = append(o.Option,
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.IPv4(192, 0, 2, 9)},
			&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2, 3, 4, 5, 6}},
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})
		for range 2 {
			got := ask(t, s, household, m)
			if len(got.Answer) != 1 || got.CheckingDisabled != tt.cd || got.IsEdns0().Do() != tt.do {
				t.Errorf("%+v: got %s", tt, got)
			}
		}
		sent := up.queries()
		if len(sent) != 1 {
			t.Fatalf("%+v: asked %d times, want once, then from the cache of its DO and CD", tt, len(sent))
		}
		want := new(dns.Msg).SetQuestion("ok.example.", dns.TypeA)
		want.SetEdns0(1232, tt.do)
		want.Id, want.CheckingDisabled = sent[0].msg.Id, tt.cd
		opt := sent[0].msg.IsEdns0()
		if c, ok := opt.Option[0].(*dns.EDNS0_COOKIE); !ok || len(opt.Option) != 1 || c.Cookie == "0011223344556677" {
			t.Errorf("%+v: options sent upstream: %v, want a cookie of our own alone", tt, opt.Option)
		}
		opt.Option = nil
		if diff := cmp.Diff(packed(want), packed(sent[0].msg)); diff != "" {
			t.Errorf("%+v: sent upstream (-want +got):\n%s", tt, diff)
		}
	}
}

// bigZone is a name with n TXT records of 100 bytes each.
func bigZone(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("big.example. 60 IN TXT %q", fmt.Sprintf("%03d%s", i, strings.Repeat("x", 96))))
	}
	return out
}

func TestRFC2181_Truncation(t *testing.T) {
	up := newFake(t, bigZone(30)...)
	up.does(truncates)
	s := start(t, config(t, up))
	for _, tt := range []struct {
		name    string
		network string
		size    uint16 // 0: no EDNS
		most    int
		tc      bool
	}{
		{"without EDNS", "udp", 0, 512, true},
		{"§6.2.3 of RFC 6891: sizes below 512 are 512", "udp", 100, 512, true},
		{"a size between", "udp", 900, 900, true},
		{"our own limit", "udp", 4096, 1232, true},
		{"TCP", "tcp", 0, 65535, false},
	} {
		for _, round := range []string{"from upstream", "from the cache"} {
			if round == "from upstream" {
				s.FlushName("", true)
			}
			m := msgFor("big.example.", dns.TypeTXT, plainDNS)
			if tt.size > 0 {
				m.SetEdns0(tt.size, false)
			}
			wire := askRaw(t, s, tt.network, household, packed(m))
			got := new(dns.Msg)
			if err := got.Unpack(wire); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if got.Truncated != tt.tc || len(wire) > tt.most {
				t.Errorf("%s %s: TC %v, %d bytes, want %v, at most %d", tt.name, round, got.Truncated, len(wire), tt.tc, tt.most)
			}
			if tt.tc && (len(got.Answer) == 0 || len(wire) < tt.most-130) {
				t.Errorf("%s %s: %d records in %d bytes: what has room should be there", tt.name, round, len(got.Answer), len(wire))
			}
			if !tt.tc && len(got.Answer) != 30 {
				t.Errorf("%s %s: %d records, want 30", tt.name, round, len(got.Answer))
			}
			if (got.IsEdns0() != nil) != (tt.size > 0) {
				t.Errorf("%s %s: OPT %v", tt.name, round, got.IsEdns0())
			}
		}
	}
}

// Additional records may be missing without a word.
func TestRFC2181_AdditionalRecordsAreNotRequired(t *testing.T) {
	up := newFake(t, "mail.example. 60 IN MX 1 mx.example.")
	up.does(func(_ string, _, a *dns.Msg) [][]byte {
		for i := range 30 {
			rr, _ := dns.NewRR(fmt.Sprintf("host%02d.mx.example. 60 IN AAAA 2001:db8::%d", i, i))
			a.Extra = append(a.Extra, rr)
		}
		return [][]byte{packed(a)}
	})
	s := start(t, config(t, up))
	got := ask(t, s, household, msgFor("mail.example.", dns.TypeMX, plainDNS))
	if got.Truncated || len(got.Answer) != 1 || len(got.Extra) == 0 || len(got.Extra) == 30 {
		t.Errorf("TC %v, %d answers, %d additional records", got.Truncated, len(got.Answer), len(got.Extra))
	}
}

func TestRFC8482_ANY(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	for from, ttl := range map[string]int{household: 60, adult: 60} {
		got := ask(t, s, from, msgFor("Ok.example.", dns.TypeANY))
		want := []string{fmt.Sprintf(`Ok.example. %d IN HINFO "RFC8482" ""`, ttl)}
		if diff := cmp.Diff(want, rrs(got.Answer)); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", from, diff)
		}
	}
	if n := countFor(up, "ok.example."); n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
}

func TestRFC8914_ExtendedErrors(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("127.0.0.2/32")}
	s := start(t, c)
	noRD := func(m *dns.Msg) { m.RecursionDesired = false }
	for _, tt := range []struct {
		name  string
		from  string
		msg   *dns.Msg
		rcode int
		code  int
	}{
		{"a stranger gets no more bytes than were sent", "127.9.9.9", msgFor("ok.example.", dns.TypeA), dns.RcodeRefused, -1},
		{"a stranger who sent enough", "127.9.9.9", msgFor("ok.example.", dns.TypeA, padded), dns.RcodeRefused, 18},
		{"a stranger with a bad message", "127.9.9.9", msgFor("ok.example.", dns.TypeOPT, padded), dns.RcodeRefused, 18},
		{"a transfer", household, msgFor("ok.example.", dns.TypeAXFR), dns.RcodeRefused, 21},
		{"§4.21: no recursion", household, msgFor("ok.example.", dns.TypeA, noRD), dns.RcodeRefused, 20},
		{"a blocked name without recursion is blocked", household, msgFor("stranger.example.", dns.TypeA, noRD), dns.RcodeNameError, 17},
		{"nothing wrong", household, msgFor("ok.example.", dns.TypeA), dns.RcodeSuccess, -1},
		{"§4.21, cached: nobody learns what others asked", adult, msgFor("ok.example.", dns.TypeA, noRD), dns.RcodeRefused, 20},
	} {
		got := ask(t, s, tt.from, tt.msg)
		if code, _ := ede(got); got.Rcode != tt.rcode || code != tt.code {
			t.Errorf("%s: %s, EDE %d, want %s, EDE %d", tt.name, dns.RcodeToString[got.Rcode], code, dns.RcodeToString[tt.rcode], tt.code)
		}
		tt.msg.Extra = nil
		if got := ask(t, s, tt.from, tt.msg); got.Rcode != tt.rcode || len(got.Extra) > 0 {
			t.Errorf("%s, without OPT: %s", tt.name, got)
		}
	}
}

// Names that are never looked up elsewhere.
func TestRFC6761_SpecialNames(t *testing.T) {
	up := newFake(t, "example.com. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	soa := func(n string) []string {
		return []string{n + " 300 IN SOA " + n + " nobody.invalid. 1 3600 1200 604800 300"}
	}
	for _, tt := range []struct {
		asked  string
		qtype  uint16
		rcode  int
		answer string
		soa    []string
		local  bool
	}{
		{"localhost.", dns.TypeA, dns.RcodeSuccess, "localhost. 300 IN A 127.0.0.1", []string{}, true},
		{"a.LocalHost.", dns.TypeAAAA, dns.RcodeSuccess, "a.LocalHost. 300 IN AAAA ::1", []string{}, true},
		{"localhost.", dns.TypeMX, dns.RcodeSuccess, "", soa("localhost."), true},
		{"a.invalid.", dns.TypeA, dns.RcodeNameError, "", soa("invalid."), true},
		{"a.test.", dns.TypeA, dns.RcodeNameError, "", soa("test."), true},
		{"abc.onion.", dns.TypeA, dns.RcodeNameError, "", soa("onion."), true}, // RFC 7686
		{"resolver.arpa.", dns.TypeA, dns.RcodeSuccess, "", soa("resolver.arpa."), true},
		{"_dns.resolver.arpa.", dns.TypeSVCB, dns.RcodeSuccess, "", soa("resolver.arpa."), true}, // RFC 9462 §6.4
		{"loop-probe.kinward.invalid.", dns.TypeTXT, dns.RcodeNameError, "", soa("invalid."), true},
		{"example.com.", dns.TypeA, dns.RcodeSuccess, "example.com. 60 IN A 192.0.2.1", []string{}, false},
		{"notresolver.arpa.", dns.TypeA, dns.RcodeNameError, "", []string{}, false},
		{"localhost.example.", dns.TypeA, dns.RcodeNameError, "", []string{}, false},
	} {
		up.queries()
		got := ask(t, s, household, msgFor(tt.asked, tt.qtype))
		if got.Rcode != tt.rcode {
			t.Errorf("%s: %s, want %s", tt.asked, dns.RcodeToString[got.Rcode], dns.RcodeToString[tt.rcode])
		}
		if diff := cmp.Diff(list(tt.answer), rrs(got.Answer)); diff != "" {
			t.Errorf("%s: answer (-want +got):\n%s", tt.asked, diff)
		}
		if diff := cmp.Diff(tt.soa, rrs(got.Ns)); diff != "" {
			t.Errorf("%s: authority (-want +got):\n%s", tt.asked, diff)
		}
		if n := countFor(up, strings.ToLower(tt.asked)); (n == 0) != tt.local {
			t.Errorf("%s: asked upstream %d times", tt.asked, n)
		}
	}
}
