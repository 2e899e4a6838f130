package resolver

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// FuzzAlike: a loop's query, which has its name, its cache and its counters in the
// loop's own memory and is used again and again, is answered and recorded as one
// that has nothing of that: whatever is asked, by whomever.
func FuzzAlike(f *testing.F) {
	froms := []string{household, adult, ruled, "127.0.0.9", "192.168.77.2", "203.0.113.9"}
	option := func(code uint16, data ...byte) []byte {
		m := msgFor("www.stranger.example.", dns.TypeA)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: code, Data: data})
		return packed(m)
	}
	cookie := msgFor("www.fine.example.", dns.TypeA)
	cookie.IsEdns0().Option = append(cookie.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"})
	seeds := [][]byte{
		packed(msgFor("www.fine.example.", dns.TypeA)), packed(msgFor("WWW.Fine.Example.", dns.TypeA, plainDNS)), packed(cookie),
		packed(msgFor("www.stranger.example.", dns.TypeAAAA)), packed(msgFor("www.stranger.example.", dns.TypeHTTPS)),
		packed(msgFor("www.bing.com.", dns.TypeA)), packed(msgFor("www.bing.com.", dns.TypeTXT)), packed(msgFor("chain.example.", dns.TypeA)),
		packed(msgFor("help.example.", dns.TypeA)), packed(msgFor("use-application-dns.net.", dns.TypeA)), packed(msgFor("_dns.resolver.arpa.", dns.TypeSVCB)),
		packed(msgFor("www-stranger-example.translate.goog.", dns.TypeA)), packed(msgFor(".", dns.TypeNS)), packed(msgFor("www.fine.example.", dns.TypeANY)),
		option(optMAC, 2, 0, 0x5e, 0x10, 0, 0x31), option(optCPEID, []byte("r0uter")...), option(optECS, 0, 1, 32, 0, 192, 168, 1, 31),
		append(header(bitRD, 1, 0, 0, 0), "\x01a\xC0\x0C\x00\x01\x00\x01"...),
	}
	for i, s := range seeds {
		f.Add(s, uint8(i))
		f.Add(s, uint8(4))
	}
	log := &kept{}
	c := config(f)
	c.Upstreams = []upstream.Spec{mustUpstream(f, "udp://127.0.0.1:1")}
	c.Limits.Rate.PerSecond = -1 // the clock stands still
	c.Log = log
	c.Forwarders = []netip.Prefix{netip.MustParsePrefix("192.168.77.0/24")}
	c.AllowNets = append(c.AllowNets, netip.MustParsePrefix("192.168.0.0/16"))
	now := newClock()
	c.Now = now.now
	s, err := New(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	for name, records := range map[string][]string{
		"www.fine.example": {"www.fine.example. 600 IN A 192.0.2.1"},
		"strict.bing.com":  {"strict.bing.com. 600 IN A 192.0.2.2"},
		"help.example":     {"help.example. 600 IN A 192.0.2.3"},
		"chain.example":    {"chain.example. 600 IN CNAME www.stranger.example.", "www.stranger.example. 600 IN A 192.0.2.4"},
	} {
		s.cache.put(keyFor(name), entryFor(f, keyFor(name), now.now(), records...))
	}
	loop := looped()
	f.Fuzz(func(t *testing.T, msg []byte, who uint8) {
		from := netip.AddrPortFrom(netip.MustParseAddr(froms[int(who)%len(froms)]), 1053)
		answer := func(q *query) (step, []byte, []policy.Attempt) {
			q.reset(msg, from, overUDP)
			st := s.answerNear(t.Context(), q)
			return st, bytes.Clone(q.out), log.take()
		}
		st, out, attempts := answer(&query{})
		for range 2 { // the second time by the loop's own way into the cache
			lst, lout, lattempts := answer(loop)
			if lst != st || !bytes.Equal(lout, out) || !reflect.DeepEqual(lattempts, attempts) {
				t.Fatalf("%x from %v: %v %x %v, by a loop %v %x %v", msg, from, st, out, attempts, lst, lout, lattempts)
			}
		}
		if st == pass { // what goes on does not change when the loop goes on
			far := loop.detach()
			name, fetch := far.name.String(), far.fetch.name.String()
			loop.reset(seeds[0], from, overUDP)
			s.answerNear(t.Context(), loop)
			if far.name.String() != name || far.fetch.name.String() != fetch {
				t.Fatalf("%x: %s became %s", msg, name, far.name)
			}
		}
	})
}

// The cache keeps no name of a loop, which the next question is written over.
func TestCacheKeepsNoNameOfALoop(t *testing.T) {
	s := still(t)
	k := keyFor("www.fine.example")
	s.cache.put(k, entryFor(t, k, time.Now(), "www.fine.example. 600 IN A 192.0.2.1"))
	loop, from := looped(), netip.MustParseAddrPort(household+":1053")
	for _, name := range []string{"www.fine.example.", "www.stranger.example."} {
		loop.reset(packed(msgFor(name, dns.TypeA)), from, overUDP)
		if st := s.answerNear(t.Context(), loop); st != done {
			t.Fatalf("%s: %v, wanted an answer", name, st)
		}
	}
	if s.cache.get(k, time.Now()) == nil || s.FlushName(k.name, false) != 1 {
		t.Error("the answer lies in the cache under another name")
	}
}

// A loop knows of names what the index knows that is asked, not one of before, and
// whichever names came in between.
func TestLoopKnowsWhatTheIndexKnows(t *testing.T) {
	var indexes []*blocklists.Index
	for _, listed := range []string{"a.example", "b.example"} {
		x, err := blocklists.Compile(&blocklists.Catalogue{}, []blocklists.ListInput{{
			ID: "l", Name: "List", Category: blocklists.Dating,
			Entries: func(emit func(blocklists.Entry) error) error {
				return emit(blocklists.Entry{Name: blocklists.MustName(listed)})
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, x)
	}
	names := []blocklists.Name{blocklists.MustName("a.example"), blocklists.MustName("www.a.example"), blocklists.MustName("b.example"), ""}
	for i := range 3 * frontSlots {
		names = append(names, blocklists.MustName(fmt.Sprintf("n%d.b.example", i)))
	}
	f := newFront()
	for round := range 4 {
		x := indexes[round/2]
		for _, n := range names {
			if _, got := f.know(x, question{name: n}, time.Time{}); got != x.Lookup(n) {
				t.Fatalf("round %d, %q: set %d, want %d", round, n, got, x.Lookup(n))
			}
		}
	}
	if s, hash := f.slot(names[len(names)-1]); s.hashes[0] != hash {
		t.Error("of the name that was asked for last nothing is known")
	}
	if size := unsafe.Sizeof(frontSlot{}); size != 64 || unsafe.Offsetof(f.slots) != 0 {
		t.Errorf("a slot takes %d bytes: it is to be one cache line", size)
	}
}
