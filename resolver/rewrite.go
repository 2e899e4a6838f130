package resolver

import (
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// rewrittenTTL caps what is answered from a safer name, in seconds: a change of
// the family's mind, or of the engine's addresses, is felt within a minute.
const rewrittenTTL = 60

// rewrite says what is to be fetched for a name that is answered with what a
// safer one has, and answers what needs no fetching.
//
// Addresses are those of the target. What could lead past them is denied: HTTPS
// and SVCB records, which hold addresses, keys and names of the unsafe one, and
// the name's own CNAME. Its other types (MX, TXT, NS) are its own, as they are
// nobody's way to the engine; see release.
func (q *query) rewrite() step {
	v := q.verdict
	if q.class == classIN {
		switch q.qtype {
		case typeA, typeAAAA:
			// Who leads the target's name astray harms everybody whom it is to protect.
			if tv, about := policy.DecideName(q.state.Index, q.asker.Policy, v.Target, q.qtype, q.now); tv.Action == policy.Block && tv.Reason == policy.BySecurity {
				q.verdict, q.hidden = tv, about
				return q.block()
			}
			q.fetch.name = v.Target
			return pass
		case typeCNAME:
			if v.Flatten {
				break
			}
			q.begin(rcodeNoError)
			q.addCNAME()
			putWord(q.out, atAN, 1)
			q.appendOPT(0, errRewritten)
			q.outcome = outRewritten
			return done
		case typeHTTPS, typeSVCB:
		default:
			return pass
		}
	}
	return q.negative(rcodeNoError, q.name, q.capTTL(rewrittenTTL), errFiltered, outRewritten)
}

// addCNAME appends the CNAME record that leads to the target, and returns where
// the target's name stands.
func (q *query) addCNAME() int {
	t := q.verdict.Target
	q.addHeader(headerLen, typeCNAME, q.capTTL(rewrittenTTL))
	q.out = appendWord(q.out, uint16(len(t)+1))
	at := len(q.out)
	q.out = append(append(q.out, t...), 0)
	return at
}

// addRewritten answers with e, which is the target's: its addresses behind a
// CNAME record, or as the asked name's own where that cannot be one (the apex of
// a zone, RFC 1034 §3.6.2). Without an address of the type it is NODATA, also
// where the target is gone: the asked name is not. Nothing but addresses and how
// they were come by is taken over, so no proof of the target's zone and no
// additional record is.
func (q *query) addRewritten(e *entry) step {
	if rcode := word(e.wire, atFlags) & maskRcode; rcode != rcodeNoError && rcode != rcodeNXDomain {
		return q.plain(rcodeServFail, errNoSafeMode, outFailed)
	}
	q.begin(rcodeNoError)
	q.outcome = outRewritten
	target, records := headerLen, uint16(0)
	if !q.verdict.Flatten {
		target = q.addCNAME()
		records = 1
	}
	room := q.limit - q.optLen(errRewritten)
	age := uint32(e.age(q.now) / time.Second)
	addresses, cut := 0, word(e.wire, atFlags)&bitTC != 0
	off := headerLen + len(q.fetch.name) + 1 + 4 // behind the question
	for _, at := range e.ttlAt[:word(e.wire, atAN)] {
		r := record{ttlAt: int(at), data: int(at) + 6, rtype: word(e.wire, int(at)-4), class: word(e.wire, int(at)-2)}
		r.next = r.data + int(word(e.wire, r.data-2))
		owner := off
		off = r.next
		if r.rtype != q.qtype && (q.verdict.Flatten || r.rtype != typeCNAME && r.rtype != typeRRSIG) {
			continue
		}
		before := len(q.out)
		q.copyRecord(e, owner, r, target, age)
		if len(q.out) > room {
			q.out, cut = q.out[:before], true
			break
		}
		records++
		if r.rtype == q.qtype {
			addresses++
		}
	}
	putWord(q.out, atAN, records)
	if !cut && addresses == 0 {
		before := len(q.out)
		left := max(e.life-e.age(q.now), 0) / time.Second
		q.addSOA(target, q.capTTL(min(uint32(left), rewrittenTTL)))
		if cut = len(q.out) > room; cut {
			q.out = q.out[:before]
			putWord(q.out, atNS, 0)
		}
	}
	if cut {
		putWord(q.out, atFlags, word(q.out, atFlags)|bitTC)
	}
	q.appendOPT(0, errRewritten)
	return done
}

// copyRecord appends a CNAME, RRSIG or address record of e, whose owner stands at
// an offset of it; the fetched name stands at target in the answer. Other names
// are written whole, since e's pointers mean nothing here; an RRSIG's is never
// compressed (RFC 4034 §3.1.7).
func (q *query) copyRecord(e *entry, owner int, r record, target int, age uint32) {
	if q.verdict.Flatten {
		q.addPointer(target)
	} else {
		q.copyName(e, owner, target)
	}
	ttl := r.ttl(e.wire)
	q.out = appendWord(q.out, r.rtype)
	q.out = appendWord(q.out, r.class)
	q.out = appendLong(q.out, q.capTTL(min(ttl-min(age, ttl), rewrittenTTL)))
	lenAt := len(q.out)
	q.out = appendWord(q.out, 0)
	if r.rtype == typeCNAME {
		q.copyName(e, r.data, target)
	} else {
		q.out = append(q.out, e.wire[r.data:r.next]...)
	}
	putWord(q.out, lenAt, uint16(len(q.out)-lenAt-2))
}

// copyName appends the name at an offset of e, which newEntry found to be one.
func (q *query) copyName(e *entry, off, target int) {
	var buf [blocklists.MaxNameLen]byte
	size, _, _ := readNameTo(&buf, e.wire, off)
	if string(buf[:size]) == string(q.fetch.name) {
		q.addPointer(target)
		return
	}
	q.out = append(append(q.out, buf[:size]...), 0)
}
