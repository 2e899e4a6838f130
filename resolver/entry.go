package resolver

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

// How long answers live.
const (
	maxTTL      = 86400 // seconds; a longer one is a mistake more often than a wish (RFC 8767 §4 caps too)
	maxNegative = 3600  // seconds; RFC 2308 §5 bounds them at one to three hours
	failureLife = 5 * time.Second
)

// errUnreadable: an upstream's answer is not one.
var errUnreadable = upstream.ErrUnreadable

// entry is an answer, made ready to be given to anybody. It is immutable, but
// for the label sets, which are swapped whole, and what the cache notes of it.
type entry struct {
	// What every question looks at comes first, in as few cache lines as it needs.
	key     question      // what it answers, once it is in the cache
	touched atomic.Int64  // Unix seconds of when the cache last moved it to the front
	set     atomic.Uint64 // see [entry.setIn]
	life    time.Duration // 0: good for the questions that wait for it, not to be kept
	gone    atomic.Bool   // it is in the cache no more
	home    bool          // an address among the answers leads into the asker's own network
	old     bool          // it was made of an entry that was over
	used    atomic.Uint32 // how often it was given out, up to prefetchUses
	stored  time.Time
	wire    []byte            // header, question in lower case, records; no OPT
	leads   []blocklists.Name // what the answer leads to, besides the asked name; each once
	ttlAt   []uint16          // where each record's TTL stands in wire, in order
	sets    atomic.Pointer[labelSets]
	failed  atomic.Int64 // its age, in nanoseconds, at the latest failure to replace it; 0: none
}

// labelSets are the label sets of an entry's leads in one index.
type labelSets struct {
	generation uint64
	ids        []blocklists.SetID
}

// newEntry makes an entry of an upstream's answer to k. It takes m over.
func newEntry(k question, m *dns.Msg, now time.Time) (*entry, error) {
	if m.Rcode > maskRcode { // its OPT record, which tells the rest, goes no further
		return nil, fmt.Errorf("upstream answered rcode %d: %w", m.Rcode, errUnreadable)
	}
	if len(m.Question) == 0 { // an error that does not repeat it
		e := &entry{wire: k.header(), stored: now}
		putWord(e.wire, atFlags, bitQR|bitRA|uint16(m.Rcode))
		return e, nil
	}
	extra := m.Extra[:0]
	for _, rr := range m.Extra {
		switch rr.Header().Rrtype { // what is between two servers only
		case dns.TypeOPT, dns.TypeTSIG, dns.TypeSIG:
		default:
			if !additionalHome(rr) {
				extra = append(extra, rr)
			}
		}
	}
	m.Extra = extra
	for _, section := range [...][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			rr.Header().Ttl = boundTTL(rr.Header().Ttl, 0, maxTTL)
		}
	}
	e := &entry{stored: now, life: lifetime(k, m)}
	m.MsgHdr = dns.MsgHdr{Response: true, RecursionAvailable: true, Truncated: m.Truncated, AuthenticatedData: m.AuthenticatedData, Rcode: m.Rcode}
	m.Compress = true
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing an upstream's answer: %w: %w", errUnreadable, err)
	}
	e.wire = append(make([]byte, 0, len(wire)), wire...)
	if err := e.scan(k); err != nil {
		return nil, err
	}
	return e, nil
}

// lifetime says how long an answer may be kept, and gives a negative one's SOA
// record the TTL that it then has (RFC 2308 §5).
func lifetime(k question, m *dns.Msg) time.Duration {
	switch {
	case m.Truncated:
		return 0
	case m.Rcode == dns.RcodeServerFailure:
		return failureLife // RFC 9520 §3.2: failures are kept, too, so that retries do not pile up
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return 0
	}
	least := uint32(maxTTL)
	positive := false
	for _, rr := range m.Answer {
		least = min(least, rr.Header().Ttl)
		positive = positive || rr.Header().Rrtype == k.qtype
	}
	for _, rr := range m.Ns {
		least = min(least, rr.Header().Ttl)
	}
	if m.Rcode == dns.RcodeSuccess && positive {
		return time.Duration(least) * time.Second
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl, maxNegative)
			return time.Duration(min(least, soa.Hdr.Ttl)) * time.Second
		}
	}
	return 0 // RFC 2308 §5: without a SOA record nothing says how long
}

// scan notes where the TTLs stand and which names the answer leads to.
func (e *entry) scan(k question) error {
	name, off, ok := readName(e.wire, headerLen)
	if !ok || name != k.name || word(e.wire, atQD) != 1 {
		return fmt.Errorf("reading the question: %w", errUnreadable)
	}
	off += 4
	answers := int(word(e.wire, atAN))
	total := answers + int(word(e.wire, atNS)) + int(word(e.wire, atAR))
	e.ttlAt = make([]uint16, 0, total)
	seen := map[blocklists.Name]bool{"": true, k.name: true}
	lead := func(n blocklists.Name) {
		if !seen[n] {
			seen[n] = true
			e.leads = append(e.leads, n)
		}
	}
	for i := range total {
		r, ok := readRecord(e.wire, off)
		if !ok {
			return fmt.Errorf("reading record %d: %w", i, errUnreadable)
		}
		off = r.next
		e.ttlAt = append(e.ttlAt, uint16(r.ttlAt))
		if i >= answers {
			continue
		}
		if r.rtype != typeDNAME && r.rtype != typeRRSIG {
			// A DNAME's owner lies above the asked name; only its target counts.
			lead(r.owner)
		}
		e.home = e.home || r.leadsHome(e.wire)
		if n, ok := r.target(e.wire); ok {
			lead(n)
		}
	}
	return nil
}

// size returns the bytes that the entry takes.
func (e *entry) size() int {
	n := entryOverhead + cap(e.wire) + 2*cap(e.ttlAt)
	for _, l := range e.leads {
		n += len(l) + 16 + 4
	}
	return n
}

// age returns how long ago the answer came, never less than nothing.
func (e *entry) age(now time.Time) time.Duration { return max(now.Sub(e.stored), 0) }

// alive reports whether e may be given out as it is.
func (e *entry) alive(now time.Time) bool { return e.age(now) < e.life }

// over reports whether e was to be kept, and no longer is. What lives for nothing is
// good for the questions that waited for it.
func (e *entry) over(now time.Time) bool { return e.life > 0 && !e.alive(now) }

// useful reports whether e may be given out at least where there is nothing
// better (RFC 8767 §5). Failures are not: that they once happened helps nobody.
func (e *entry) useful(now time.Time) bool {
	if e.isFailure() {
		return e.alive(now)
	}
	return e.age(now) < e.life+staleFor
}

// setIn returns the label set of the name that e answers, which is in the cache. It
// is kept, with the index that it is of, until another index asks.
func (e *entry) setIn(x *blocklists.Index) blocklists.SetID {
	generation := x.Generation() << 32 // one process never makes as many indexes
	if kept := e.set.Load(); kept>>32<<32 == generation {
		return blocklists.SetID(kept)
	}
	set := x.Lookup(e.key.name)
	e.set.Store(generation | uint64(set))
	return set
}

// labels returns the label sets of e.leads in x. They are kept until another
// index asks: a set's number means nothing in another generation.
func (e *entry) labels(x *blocklists.Index) []blocklists.SetID {
	if s := e.sets.Load(); s != nil && s.generation == x.Generation() {
		return s.ids
	}
	s := &labelSets{generation: x.Generation(), ids: make([]blocklists.SetID, len(e.leads))}
	for i, n := range e.leads {
		s.ids[i] = x.Lookup(n)
	}
	e.sets.Store(s)
	return s.ids
}

// addEntry answers with e: the ID, the flags and the question are q's, the TTLs
// are counted down and capped, and what does not fit is cut off.
func (q *query) addEntry(e *entry) {
	q.begin(int(word(e.wire, atFlags) & maskRcode))
	age, ede, stale := uint32(e.age(q.now)/time.Second), noError, e.over(q.now)
	if stale || e.old {
		if ede = errStale; word(e.wire, atFlags)&maskRcode == rcodeNXDomain {
			ede = errStaleNXDomain
		}
	}
	if word(e.wire, atFlags)&bitAD != 0 && !stale && (q.do || q.flags&bitAD != 0) {
		// RFC 6840 §5.7, §5.8: for those who say that they know what it means. What
		// is over was validated once, which says nothing about now.
		putWord(q.out, atFlags, word(q.out, atFlags)|bitAD)
	}
	start := len(q.out) // in e.wire too, since a name's case does not change its length
	records, end := e.fit(start, q.limit-q.optLen(ede))
	q.out = append(q.out, e.wire[start:end]...)

	an, ns, ar := int(word(e.wire, atAN)), int(word(e.wire, atNS)), int(word(e.wire, atAR))
	if records < an+ns || word(e.wire, atFlags)&bitTC != 0 {
		// RFC 2181 §9: what is missing was required. Additional records are not.
		putWord(q.out, atFlags, word(q.out, atFlags)|bitTC)
	}
	putWord(q.out, atAN, uint16(min(records, an)))
	putWord(q.out, atNS, uint16(min(max(records-an, 0), ns)))
	putWord(q.out, atAR, uint16(min(max(records-an-ns, 0), ar)))

	for _, at := range e.ttlAt[:records] {
		ttl := binary.BigEndian.Uint32(e.wire[at:])
		ttl -= min(age, ttl)
		if stale {
			ttl = staleTTL
		}
		binary.BigEndian.PutUint32(q.out[at:], q.capTTL(ttl))
	}
	q.outcome = outAllowed
	if e.isFailure() {
		q.outcome = outFailed
	}
	q.appendOPT(0, ede)
}

// fit returns how many records of e, which begin at start, have room, and where
// the last of them ends.
func (e *entry) fit(start, room int) (records, end int) {
	if len(e.wire) <= room {
		return len(e.ttlAt), len(e.wire)
	}
	end = start
	for _, at := range e.ttlAt {
		next := int(at) + 6 + int(word(e.wire, int(at)+4))
		if next > room {
			break
		}
		end = next
		records++
	}
	return records, end
}

// header returns a message that holds the question alone.
func (k question) header() []byte {
	b := make([]byte, headerLen, headerLen+len(k.name)+5)
	putWord(b, atQD, 1)
	b = append(append(b, k.name...), 0)
	return appendWord(appendWord(b, k.qtype), k.class)
}

// isFailure reports whether the upstream itself could not answer.
func (e *entry) isFailure() bool { return word(e.wire, atFlags)&maskRcode == rcodeServFail }

// isFinal reports whether e says all there is to say: that there are such records,
// or none.
func (e *entry) isFinal() bool {
	flags := word(e.wire, atFlags)
	return flags&bitTC == 0 && (flags&maskRcode == rcodeNoError || flags&maskRcode == rcodeNXDomain)
}
