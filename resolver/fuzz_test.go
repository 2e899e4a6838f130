package resolver

import (
	"bytes"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// still returns a server that is never run: its stages are called by hand. No
// upstream may be used, so nothing waits.
func still(t testing.TB) *Server {
	t.Helper()
	c := config(t)
	c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://127.0.0.1:1")}
	c.Limits.Rate.PerSecond = 1e8 // in its way, but never reached
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.settings.Load().peers[0].looping.Store(true)
	return s
}

// handle takes a message through all stages.
func handle(t testing.TB, s *Server, q *query, msg []byte, via transport) step {
	q.reset(msg, netip.MustParseAddrPort(household+":1053"), via)
	st := s.answerNear(t.Context(), q)
	if st == pass {
		far := q.detach()
		s.answerFar(t.Context(), far)
		far.msg = msg
		*q, st = *far, done
	}
	return st
}

// Whatever bytes come: no panic, and an answer that can be read, has the ID and
// is not longer than the asker can take. What is understood is understood as
// the message library understands it.
func FuzzServePacket(f *testing.F) {
	seeds := []*dns.Msg{
		msgFor("stranger.example.", dns.TypeA), msgFor("WWW.exact.example.", dns.TypeHTTPS, plainDNS),
		msgFor("ok.example.", dns.TypeANY), msgFor("_dns.resolver.arpa.", dns.TypeSVCB), msgFor("localhost.", dns.TypeAAAA),
		msgFor("cached.example.", dns.TypeA), msgFor("cached.example.", dns.TypeA, plainDNS),
		msgFor(".", dns.TypeNS), msgFor(`a\.b\000.example.`, dns.TypeTXT), new(dns.Msg).SetNotify("ok.example."),
	}
	cookie := msgFor("ok.example.", dns.TypeA)
	cookie.IsEdns0().Option = append(cookie.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})
	for _, m := range append(seeds, cookie) {
		f.Add(packed(m), false)
		f.Add(packed(m), true)
	}
	f.Add(append(header(bitRD, 1, 0, 0, 0), "\x01a\xC0\x0C\x00\x01\x00\x01"...), false)
	f.Add(append(header(bitRD, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), okQuestion+okOPT...), false)
	f.Add(append(header(bitRD, 1, 0, 0, 2), okQuestion+okOPT+okOPT...), true)

	s := still(f)
	reg := s.metrics.panics
	var big []string
	for i := range 40 {
		big = append(big, "cached.example. 60 IN A 192.0.2."+string(rune('0'+i%10)))
	}
	k := keyFor("cached.example")
	s.cache.put(k, entryFor(f, k, time.Now().Add(time.Hour), big...))
	junk := packed(msgFor("cached.example.", dns.TypeA, plainDNS))
	putWord(junk, atAR, 1)
	for code := range uint16(20) { // options with too little in them
		f.Add(append(bytes.Clone(junk), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 5, 0, byte(code), 0, 1, 0xff), false)
	}
	f.Add(append(bytes.Clone(junk), 0, 0, byte(dns.TypeNSEC3), 0, 1, 0, 0, 0, 0, 0, 8, 48, 48, 48, 48, 48, 48, 48, 48), false)
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		via := overUDP
		if tcp {
			via = overTCP
		}
		before := counterValue(reg)
		q := looped()
		sent := bytes.Clone(msg)
		st := handle(t, s, q, msg, via)
		if counterValue(reg) != before {
			t.Fatal("a stage panicked")
		}
		if !bytes.Equal(msg, sent) {
			t.Fatal("the message was written to")
		}
		lib := new(dns.Msg)
		libErr := lib.Unpack(msg)
		if st == quiet {
			if len(msg) >= headerLen && msg[2]&0x80 == 0 {
				t.Fatal("a query got no answer")
			}
			return
		}
		a := new(dns.Msg)
		if err := a.Unpack(q.out); err != nil {
			t.Fatalf("answer %x: %v", q.out, err)
		}
		if !bytes.Equal(q.out[:2], msg[:2]) || !a.Response || a.AuthenticatedData {
			t.Fatalf("answer %s to %x", a, msg)
		}
		if len(q.out) > q.limit {
			t.Fatalf("%d bytes, limit %d", len(q.out), q.limit)
		}
		if q.fault == 0 && libErr != nil && q.edns { // options that mean nothing here are passed over, whatever they hold (RFC 6891 §6.1.2)
			lib = new(dns.Msg)
			libErr = lib.Unpack(withoutOptions(msg))
		}
		if q.fault == 0 && libErr != nil {
			t.Fatalf("%x was understood; the library says: %v", msg, libErr)
		}
		if q.fault != 0 || lib.Opcode != 0 || len(lib.Question) != 1 {
			return
		}
		want, err := blocklists.ParseName(lib.Question[0].Name)
		if err != nil || want != q.name || lib.Question[0].Qtype != q.qtype || lib.Question[0].Qclass != q.class {
			t.Fatalf("read %s %d %d, the library %s (%v)", q.name, q.qtype, q.class, lib.Question[0].String(), err)
		}
		if lib.Question[0] != a.Question[0] {
			t.Fatalf("asked %v, answered %v", lib.Question[0], a.Question[0])
		}
		if o := lib.IsEdns0(); (o != nil) != q.edns || o != nil && (o.Do() != q.do || o.Version() != q.vers) {
			t.Fatalf("OPT %v, read %v %v %v", o, q.edns, q.do, q.vers)
		}
	})
}

// withoutOptions returns a query's message with an empty OPT record.
func withoutOptions(msg []byte) []byte {
	q := &query{msg: bytes.Clone(msg)}
	q.parse()
	at := cap(q.msg) - cap(q.options) // where the options begin
	bare := append(bytes.Clone(q.msg[:at]), q.msg[at+len(q.options):]...)
	putWord(bare, at-2, 0)
	return bare
}

// Whatever an upstream answers: no panic, and what is made of it can be read
// and is no longer than the asker can take.
func FuzzUpstreamAnswer(f *testing.F) {
	k := keyFor("a.example")
	add := func(records ...string) { f.Add(entryFor(f, k, time.Now(), records...).wire, uint16(512)) }
	add("a.example. 60 IN A 192.0.2.1")
	add("a.example. 60 IN CNAME b.example.", "b.example. 5 IN A 192.0.2.1")
	add("a.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1")
	add("a.example. 60 IN TXT "+strings.Repeat(`"xxxxxxxxxxxxxxxxxxxx" `, 40), "a.example. 60 IN DNAME c.example.")
	f.Add([]byte{}, uint16(0))
	s := still(f)
	f.Fuzz(func(t *testing.T, wire []byte, size uint16) {
		m := new(dns.Msg)
		if err := m.Unpack(wire); err != nil || !m.Response || len(m.Question) > 1 {
			return
		}
		if len(m.Question) == 1 { // as package upstream sees to
			if n, err := blocklists.ParseName(m.Question[0].Name); err != nil || n != k.name {
				return
			}
		}
		e, err := newEntry(k, m, time.Now())
		if err != nil {
			return
		}
		ask := msgFor("A.example.", dns.TypeA)
		ask.IsEdns0().SetUDPSize(size)
		q := &query{}
		handle(t, s, q, packed(ask), overUDP)
		if q.limit > maxEDNSUDP || q.limit < maxPlainUDP {
			t.Fatalf("limit %d", q.limit)
		}
		s.release(q, e)
		a := new(dns.Msg)
		if err := a.Unpack(q.out); err != nil {
			t.Fatalf("made %x of %x: %v", q.out, wire, err)
		}
		if len(q.out) > q.limit || a.Id != ask.Id || a.Question[0] != ask.Question[0] {
			t.Fatalf("made %s of %x", a, wire)
		}
		for _, rr := range a.Answer {
			if rr.Header().Ttl > restrictedTTL {
				t.Fatalf("TTL of %s", rr)
			}
		}
	})
}
