package resolver

import (
	"net/netip"

	"kinward/blocklists"
	"kinward/policy"
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
// ttl seconds (RFC 2308 §2): with rcodeNoError it is NODATA. The record's owner
// is the asked name or a name above it.
func (q *query) negative(rcode int, owner blocklists.Name, ttl uint32, e extendedError, o outcome) step {
	q.begin(rcode)
	q.addSOA(headerLen+len(q.name)-len(owner), ttl)
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
	q.addHeader(headerLen, t, ttl)
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

// addHeader appends a record up to its TTL. Its owner is the name that stands at
// an offset of the answer: headerLen is the asked name.
func (q *query) addHeader(owner int, rtype uint16, ttl uint32) {
	q.addPointer(owner)
	q.out = appendWord(q.out, rtype)
	q.out = appendWord(q.out, q.class)
	q.out = appendLong(q.out, ttl)
}

// addPointer appends the name that stands at an offset of the answer.
func (q *query) addPointer(at int) {
	if q.out[at] == 0 { // the root is shorter than a pointer to it
		q.out = append(q.out, 0)
		return
	}
	q.out = appendWord(q.out, uint16(0xC000|at))
}

// addSOA appends the SOA record of a zone that is empty, in the shape of RFC
// 6303 §3: its server is the zone, its mailbox nobody's. The zone's name stands
// at an offset of the answer.
func (q *query) addSOA(owner int, ttl uint32) {
	q.addHeader(owner, typeSOA, ttl)
	lenAt := len(q.out)
	q.out = appendWord(q.out, 0)
	q.addPointer(owner)
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
	q.addHeader(headerLen, typeHINFO, q.capTTL(anyTTL))
	q.out = append(q.out, "\x00\x09\x07RFC8482\x00"...)
	putWord(q.out, atAN, 1)
	q.appendOPT(0, noError)
	q.outcome = outLocal
	return done
}

// block answers a question that q.verdict blocks.
func (q *query) block() step {
	ede := errFiltered
	if q.verdict.Reason == policy.BySecurity {
		ede = errDangerous
	}
	ttl := q.blockTTL()
	rcode := rcodeNXDomain
	switch m, c := q.blockMode(), q.asker.Policy.Canary(q.name); {
	case c != nil && c.Answer == policy.CanaryNXDomain && q.qtype != typeHTTPS && q.qtype != typeSVCB:
		// Whatever blocks it, a name by which programs ask whether the network
		// filters has no address: Firefox takes any for a leave to go past the
		// filter, and Apple's devices need a clear no to switch Private Relay off.
	case c != nil:
		rcode = rcodeNoError
	case q.qtype == typeHTTPS || q.qtype == typeSVCB:
		rcode = rcodeNoError // one answer in every mode: there is no such record
	case m != (policy.BlockMode{}):
		switch {
		case q.class != classIN:
		case q.qtype == typeA && m.V4.IsValid():
			return q.address(m.V4, ttl, ede, outBlocked)
		case q.qtype == typeAAAA && m.V6.IsValid():
			return q.address(m.V6, ttl, ede, outBlocked)
		}
		rcode = rcodeNoError
	case q.hidden != "", q.verdict.NoData:
		// What was asked for exists; only where it leads, or a part of it, is
		// blocked. NXDOMAIN would deny its other types and the names below it too
		// (RFC 8020 §2), of which nothing is known. NODATA denies what was asked, no more.
		rcode = rcodeNoError
	}
	// The SOA record is of the asked name, not of the entry or rule that blocks:
	// that is nobody's business but the guardians'.
	return q.negative(rcode, q.name, ttl, ede, outBlocked)
}

// blockMode returns how a block is answered: as the profile says, else with the
// page that says why, else as the server does.
func (q *query) blockMode() policy.BlockMode {
	if m := q.asker.Policy.Response; m != nil {
		return *m
	}
	if m := q.explains(); m != (policy.BlockMode{}) {
		return m
	}
	return q.set.block
}
