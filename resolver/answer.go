package resolver

import (
	"net/netip"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// How long what Kinward says by itself may be kept, in seconds.
const (
	blockedTTL = 10   // short, so that a guardian's change of mind is felt
	localTTL   = 300  // special names: long enough to be quiet, short enough for an upgrade that serves them
	anyTTL     = 3600 // RFC 8482 §4.2 asks for a long one

	// restrictedTTL caps allowed answers in families where a profile blocks
	// something: a block made now is felt within a minute.
	restrictedTTL = 60
)

// begin starts the answer: the header, and the question as it was asked where
// it could be read.
func (q *query) begin(rcode int) {
	// RD and CD are copied (RFC 1035 §4.1.1, RFC 4035 §3.2.2). AD stays clear:
	// nothing that Kinward says by itself is signed; see addEntry.
	flags := bitQR | bitRA | q.flags&(maskOpcode|bitRD|bitCD) | uint16(rcode&maskRcode)
	if q.opcode() != 0 {
		flags &^= bitRD | bitCD | bitRA // bits of QUERY
	}
	b := appendWord(q.out[:0], q.id)
	b = appendWord(b, flags)
	n := uint16(0)
	if q.asked != nil {
		n = 1
	}
	b = appendWord(b, n)
	b = append(b, 0, 0, 0, 0, 0, 0)
	q.out = append(b, q.asked...)
}

// plain answers with an rcode and no record.
func (q *query) plain(rcode int, e extendedError, o outcome) step {
	q.begin(rcode)
	q.appendOPT(rcode>>4, e)
	q.outcome = o
	return done
}

// negative answers with a SOA record, so that the answer is kept negatively for
// ttl seconds (RFC 2308 §2): with rcodeNoError it is NODATA.
func (q *query) negative(rcode int, owner blocklists.Name, ttl uint32, e extendedError, o outcome) step {
	q.begin(rcode)
	q.addSOA(owner, ttl)
	q.appendOPT(0, e)
	q.outcome = o
	return done
}

// address answers with one address record.
func (q *query) address(a netip.Addr, ttl uint32, e extendedError, o outcome) step {
	q.begin(rcodeNoError)
	t := uint16(typeA)
	if a.Is6() {
		t = typeAAAA
	}
	q.addHeader(q.name, t, ttl)
	q.out = appendWord(q.out, uint16(a.BitLen()/8))
	if a.Is4() {
		v4 := a.As4()
		q.out = append(q.out, v4[:]...)
	} else {
		v6 := a.As16()
		q.out = append(q.out, v6[:]...)
	}
	putWord(q.out, atAN, 1)
	q.appendOPT(0, e)
	q.outcome = o
	return done
}

// addHeader appends a record up to its TTL. The owner must be the asked name
// or a name above it, and becomes a pointer into the question.
func (q *query) addHeader(owner blocklists.Name, rtype uint16, ttl uint32) {
	q.addOwner(owner)
	q.out = appendWord(q.out, rtype)
	q.out = appendWord(q.out, q.class)
	q.out = appendLong(q.out, ttl)
}

func (q *query) addOwner(owner blocklists.Name) {
	if owner == "" {
		q.out = append(q.out, 0)
		return
	}
	q.out = appendWord(q.out, uint16(0xC000|headerLen+len(q.name)-len(owner)))
}

// addSOA appends the SOA record of a zone that is empty, in the shape of RFC
// 6303 §3: its server is the zone, its mailbox nobody's.
func (q *query) addSOA(owner blocklists.Name, ttl uint32) {
	q.addHeader(owner, typeSOA, ttl)
	lenAt := len(q.out)
	q.out = appendWord(q.out, 0)
	q.addOwner(owner)
	q.out = append(q.out, "\x06nobody\x07invalid\x00"...)
	for _, v := range [...]uint32{1, 3600, 1200, 604800, ttl} { // serial, refresh, retry, expire, minimum
		q.out = appendLong(q.out, v)
	}
	putWord(q.out, lenAt, uint16(len(q.out)-lenAt-2))
	putWord(q.out, atNS, 1)
}

// hinfo answers ANY without naming anything (RFC 8482 §4.2).
func (q *query) hinfo() step {
	q.begin(rcodeNoError)
	q.addHeader(q.name, typeHINFO, q.capTTL(anyTTL))
	q.out = append(q.out, "\x00\x09\x07RFC8482\x00"...)
	putWord(q.out, atAN, 1)
	q.appendOPT(0, noError)
	q.outcome = outLocal
	return done
}

// capTTL bounds the TTL of an allowed answer: in a family with children a change
// of mind is felt within a minute by every device, and no answer outlives the
// policy that allowed it.
func (q *query) capTTL(ttl uint32) uint32 {
	if q.asker.Guarded {
		ttl = min(ttl, restrictedTTL)
	}
	if !q.asker.Until.IsZero() {
		left := max(q.asker.Until.Sub(q.now)/time.Second, 0)
		ttl = uint32(min(time.Duration(ttl), left))
	}
	return ttl
}

// signals are names by which programs ask whether the network filters. They want
// no address for an answer: Firefox takes any for a leave to go past the filter,
// and Apple's devices need a clear no to switch Private Relay off.
var signals = map[blocklists.Name]bool{
	blocklists.MustName("use-application-dns.net"):        true,
	blocklists.MustName("mask.icloud.com"):                true,
	blocklists.MustName("mask-h2.icloud.com"):             true,
	blocklists.MustName("mask-canary.icloud.com"):         true,
	blocklists.MustName("mask-api.icloud.com"):            true,
	blocklists.MustName("dns-tunnel-check.googlezip.net"): true,
}

// block answers a question that q.verdict blocks.
func (q *query) block() step {
	ede := errFiltered
	if q.verdict.Reason == policy.BySecurity {
		ede = errDangerous
	}
	if m := q.set.block; m != (policy.BlockMode{}) && !signals[q.name] {
		switch {
		case q.class != classIN:
		case q.qtype == typeA && m.V4.IsValid():
			return q.address(m.V4, blockedTTL, ede, outBlocked)
		case q.qtype == typeAAAA && m.V6.IsValid():
			return q.address(m.V6, blockedTTL, ede, outBlocked)
		}
		return q.negative(rcodeNoError, q.name, blockedTTL, ede, outBlocked)
	}
	if q.hidden != "" {
		// What was asked for exists; only where it leads is blocked. NXDOMAIN
		// would deny its other types and the names below it too (RFC 8020 §2),
		// of which nothing is known. NODATA denies what was asked, no more.
		return q.negative(rcodeNoError, q.name, blockedTTL, ede, outBlocked)
	}
	rcode := rcodeNXDomain
	if q.verdict.NoData {
		rcode = rcodeNoError
	}
	// The SOA record is of the asked name, not of the entry or rule that blocks:
	// that is nobody's business but the guardians'.
	return q.negative(rcode, q.name, blockedTTL, ede, outBlocked)
}
