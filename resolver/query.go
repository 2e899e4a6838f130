package resolver

import (
	"bytes"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// transport is what a question came by.
type transport uint8

const (
	overUDP transport = iota
	overTCP
	overTLS
	overHTTPS
	overQUIC
	numTransports
)

var transportNames = [numTransports]string{"udp", "tcp", "dot", "doh", "doq"}

// encrypted says that nobody on the way can read along.
func (t transport) encrypted() bool { return t >= overTLS }

// keepsAlive says that the transport has the option edns-tcp-keepalive (RFC 7828
// §3.2.1; RFC 9250 §5.5.2 and HTTP have means of their own).
func (t transport) keepsAlive() bool { return t == overTCP || t == overTLS }

// outcome is what became of a question, for the counters.
type outcome uint8

const (
	outAllowed   outcome = iota // answered from the cache or an upstream
	outRewritten                // answered with what a safer name has
	outBlocked                  // answered with a block
	outLocal                    // answered by Kinward itself: special names, ANY
	outRefused                  // the asker or the question is not served
	outMalformed                // FORMERR, NOTIMP or BADVERS
	outFailed                   // SERVFAIL
	outDropped                  // not answered at all
	outLimited                  // sent to TCP, or for a cookie, by the rate limit
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"allowed", "rewritten", "blocked", "local", "refused", "malformed", "failed", "dropped", "limited"}

// question is what is asked of an upstream, and the cache's key: all that an
// answer can depend on, and nothing about who asks.
type question struct {
	name   blocklists.Name
	qtype  uint16
	class  uint16
	do, cd bool // RFC 4035 §3.2.1, §3.2.2
}

// query is one question on its way through the stages. The listener that read
// it owns it; stages write the answer to out, and only listeners send.
type query struct {
	msg  []byte         // the message as it came; belongs to the listener
	from netip.AddrPort // the client, which may stand behind a proxy
	via  transport
	idle time.Duration // after which the connection is closed, where it has such an end

	// clues are who the listener says it is; see gather. local is the address that
	// was asked, none where the listener does not know.
	clues policy.Clues
	local netip.Addr

	// What the message says, filled by the stage read.
	question
	id     uint16
	flags  uint16
	asked  []byte // the question as it came: its name's case goes back byte for byte
	fault  int    // the rcode of what is wrong with the message, 0 for nothing
	edns   bool
	vers   uint8 // EDNS version
	limit  int   // the most bytes that the answer may have
	hasRec bool  // RD

	options   []byte // of the OPT record; part of msg
	forwarder bool   // it came by a forwarder whose clues are believed

	cookie    [cookieLen]byte // the client's, and behind it the server's
	cookieLen int             // 0: the client sent none
	proven    bool            // the cookie was given to this address

	keepalive bool // the client wants to know how long its connection may be idle
	pads      bool // the client padded its question

	// What was found out about it.
	now     time.Time
	set     *settings
	state   *policy.State
	asker   policy.Asker
	verdict policy.Verdict
	hidden  blocklists.Name // the blocked name that the asked one led to
	fetch   question        // what the cache and the upstreams are asked: not the question where it is rewritten

	leads  []blocklists.Name // of the answer, those that its verdict depends on
	ends   time.Time         // see lasts
	timed  bool              // ends is known
	alias  []dns.RR          // local CNAMEs that lead from the asked name to target, outside
	target blocklists.Name
	stale  *entry // an answer that is over, for where there is none better
	recent *entry // what front has for the question

	out     []byte
	outcome outcome

	// room is where a loop's questions have their names, one after the other: what
	// keeps a name beyond its question copies it. nil: each name has its own memory.
	room  *nameRoom
	front *front // the loop's own way into the cache; nil: it has none
	lane  *lane  // what the loop counts in; nil: everybody's
}

// nameRoom has room for any name.
type nameRoom [blocklists.MaxNameLen]byte

// spoilNames, for tests, makes the names of questions that are over unreadable, so
// that whoever kept one finds out.
var spoilNames = false

// reset makes q the query for a message. Only the memory of its name and of its
// answer stays.
func (q *query) reset(msg []byte, from netip.AddrPort, via transport) {
	if spoilNames && q.room != nil {
		for i := range q.room {
			q.room[i] = 0xFF
		}
	}
	*q = query{msg: msg, from: from, via: via, out: q.out[:0], room: q.room, front: q.front, lane: q.lane, clues: policy.Clues{Addr: from.Addr()}}
}

// detach returns a copy of q that does not use the listener's buffers, so that
// it can be answered while the listener reads on.
func (q *query) detach() *query {
	c := *q
	c.msg, c.out, c.options = nil, nil, nil
	c.room, c.front, c.lane = nil, nil, nil
	c.asked = bytes.Clone(q.asked)
	for _, n := range [...]*blocklists.Name{&c.name, &c.fetch.name, &c.hidden, &c.verdict.RuleName} {
		*n = blocklists.Name(strings.Clone(string(*n)))
	}
	return &c
}

// opcode returns the header's opcode; 0 is QUERY.
func (q *query) opcode() int { return int(q.flags&maskOpcode) >> 11 }

// parse reads the message. It returns false where no answer is due: without a
// header there is no ID to answer, and answering answers lets two servers talk
// to each other for ever. Anything else wrong with the message is left in
// q.fault, so that who may ask is decided before what they get to know.
func (q *query) parse() bool {
	msg := q.msg
	if len(msg) < headerLen {
		return false
	}
	q.id, q.flags = word(msg, 0), word(msg, atFlags)
	if q.flags&bitQR != 0 {
		return false
	}
	q.limit = maxPlainUDP
	if q.via != overUDP {
		q.limit = maxMessage
	}
	if q.opcode() != 0 { // its sections may mean something else (RFC 1996, RFC 2136)
		q.fault = rcodeNotImp
		q.findOPT()
		return true
	}
	q.hasRec = q.flags&bitRD != 0
	q.cd = q.flags&bitCD != 0
	q.fault = rcodeFormErr
	if word(msg, atQD) != 1 { // RFC 9619
		return true
	}
	name, off, ok := q.readName()
	if !ok || off+4 > len(msg) {
		return true
	}
	q.name, q.qtype, q.class = name, word(msg, off), word(msg, off+2)
	q.asked = msg[headerLen : off+4]
	if q.parseRest(off + 4) {
		q.fault = rcodeNoError
	}
	return true
}

// readName reads the name that is asked.
func (q *query) readName() (n blocklists.Name, next int, ok bool) {
	if q.room == nil {
		return readName(q.msg, headerLen)
	}
	size, next, ok := readNameTo((*[blocklists.MaxNameLen]byte)(q.room), q.msg, headerLen)
	return blocklists.Name(unsafe.String(&q.room[0], size)), next, ok
}

// parseRest reads what follows the question: in a query that is an OPT record
// and perhaps a signature (TSIG, SIG(0)), which a forwarder need not check. An
// IXFR also carries the SOA record that the asker has (RFC 1995 §3).
func (q *query) parseRest(off int) bool {
	an, ns, ar := word(q.msg, atAN), word(q.msg, atNS), word(q.msg, atAR)
	if an > 0 || ar > 2 || ns > 1 || ns == 1 && q.qtype != typeIXFR {
		return false
	}
	for i := range ns + ar {
		r, ok := readRecord(q.msg, off)
		if !ok {
			return false
		}
		if r.rtype != typeOPT { // rare, so that the library may look whether it is well made
			if _, _, err := dns.UnpackRR(q.msg, off); err != nil {
				return false
			}
		}
		off = r.next
		if r.rtype == typeOPT {
			if i < ns || q.edns || r.owner != "" { // RFC 6891 §6.1.1
				return false
			}
			if !q.parseOPT(r) {
				return false
			}
		}
	}
	return true
}

// attempt returns what is worth keeping of q. It is called once the verdict is
// final; q.verdict is about q.hidden where that is set.
func (q *query) attempt() policy.Attempt {
	a := policy.Attempt{
		Time:     q.now,
		Family:   q.asker.Family,
		Profile:  q.asker.Profile,
		Device:   q.asker.Device,
		Client:   q.client(),
		Name:     q.name,
		Type:     q.qtype,
		Verdict:  q.verdict,
		Hidden:   q.hidden,
		Revision: q.asker.Revision,
	}
	x := q.state.Index
	if svc := x.Service(q.verdict.Label.Service); svc != nil {
		a.Service = svc.ID
	}
	if q.verdict.Rule == 0 && q.verdict.Label.Depth > 0 {
		a.List = x.List(q.verdict.Label.List).ID
		if q.verdict.Label.Marks&blocklists.ByPattern != 0 {
			about := q.name
			if q.hidden != "" {
				about = q.hidden
			}
			a.Pattern = x.Rule(q.verdict.Label.List, about, q.qtype)
		}
	}
	return a
}
