package resolver

import (
	"fmt"

	"kinward/blocklists"
)

// reserved are the zones that mean something only in the home. Nobody outside
// can answer for them, and what is asked there tells of the home; so they are
// answered here, empty but for local records and the names of devices, unless a
// route says who knows better. Each is served in the shape of RFC 6303 §3.
var reserved = reservedZones()

func reservedZones() map[blocklists.Name]bool {
	zones := map[blocklists.Name]bool{}
	add := func(format string, values ...int) {
		if len(values) == 0 {
			zones[blocklists.MustName(format)] = true
		}
		for _, v := range values {
			zones[blocklists.MustName(fmt.Sprintf(format, v))] = true
		}
	}
	span := func(from, to int) (out []int) {
		for i := from; i <= to; i++ {
			out = append(out, i)
		}
		return out
	}
	// RFC 6303 §4.1: private networks (RFC 1918).
	add("10.in-addr.arpa")
	add("%d.172.in-addr.arpa", span(16, 31)...)
	add("168.192.in-addr.arpa")
	// §4.2: this network, loopback, link-local, examples, broadcast.
	add("0.in-addr.arpa")
	add("127.in-addr.arpa")
	add("254.169.in-addr.arpa")
	add("2.0.192.in-addr.arpa")
	add("100.51.198.in-addr.arpa")
	add("113.0.203.in-addr.arpa")
	add("255.255.255.255.in-addr.arpa")
	// §4.3: the unspecified address and loopback.
	const nibbles31 = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
	add("%d."+nibbles31+".ip6.arpa", 0, 1)
	// §4.4 to §4.6: unique local, link-local, examples.
	add("d.f.ip6.arpa")
	for _, nibble := range "89ab" {
		add(string(nibble) + ".e.f.ip6.arpa")
	}
	add("8.b.d.0.1.0.0.2.ip6.arpa")
	// RFC 7793: what carriers share.
	add("%d.100.in-addr.arpa", span(64, 127)...)
	add("home.arpa") // RFC 8375
	add("local")     // RFC 6762 §22.1: asked by multicast, or by nobody
	return zones
}

// reservedZone returns the zone of ours that n lies in.
func (s *settings) reservedZone(n blocklists.Name) (apex blocklists.Name, ok bool) {
	switch n.Suffix(1) {
	case "\x04arpa", "\x05local":
		for ; n != ""; n = n.Parent() {
			if reserved[n] || n == s.domain {
				return n, true
			}
		}
		return "", false
	}
	if s.domain != "" && n.IsBelow(s.domain) {
		return s.domain, true
	}
	return "", false
}

// empty answers for a name in a zone of ours that has no record of the type.
// exists says that the name, or one below it, has others.
func (q *query) empty(apex blocklists.Name, exists bool) step {
	at := headerLen + len(q.name) - len(apex) // where its name stands in the answer
	switch {
	case q.name == apex && q.qtype == typeSOA:
		q.begin(rcodeNoError)
		q.addSOA(at, localTTL)
		putWord(q.out, atAN, 1)
		putWord(q.out, atNS, 0)
	case q.name == apex && q.qtype == typeNS:
		q.begin(rcodeNoError)
		q.addHeader(at, typeNS, localTTL)
		q.out = appendWord(q.out, 2)
		q.addPointer(at)
		putWord(q.out, atAN, 1)
	case q.name == apex || exists:
		return q.negative(rcodeNoError, apex, localTTL, noError, outLocal)
	default:
		return q.negative(rcodeNXDomain, apex, localTTL, noError, outLocal)
	}
	q.appendOPT(0, noError)
	q.outcome = outLocal
	return done
}
