package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kinward/blocklists"
)

// Zone is the zone of the server's public name, which Kinward is the authority
// for: the name's parent delegates it here. It holds what phones away from home
// need (the name and every label right below it have the server's addresses) and
// what a certificate authority looks for. It is answered to everybody, before
// filtering, and nothing else is: Kinward stays no open resolver.
type Zone struct {
	Name  blocklists.Name // "": there is none
	Addrs []netip.Addr    // of this server, as the internet sees it
	// NameServers stand in the NS records. Without any, it is the label ns below
	// Name, so the delegation needs glue.
	NameServers []blocklists.Name
	// Issuers are values of CAA issue properties (RFC 8659 §4.2): who alone may
	// issue certificates. None: no CAA record, so everybody may.
	Issuers []string
	// Challenges returns the values of the TXT records at _acme-challenge (RFC 8555
	// §8.4) as of now. It may wait, within its context; nil has none.
	Challenges func(context.Context) ([]string, error)
}

// TTLs of the zone, in seconds.
const (
	zoneAddrTTL = 300  // home addresses change
	zoneNSTTL   = 3600 // RFC 1912 §2.4 wants more for zones that rest; this one moves with its home
	zoneNoTTL   = 60   // what is not there
)

const (
	maxZoneAddrs   = 8
	maxZoneIssuers = 4
	maxChallenges  = 16 // an order of two names has two; what other nodes order, too

	// challengeReads bounds how many questions for challenges are read for at once:
	// anybody may ask them, and each waits for the store.
	challengeReads = 64

	// Strangers' TCP connections, which they open after a truncated answer.
	zoneConns          = 128
	zoneConnsPerClient = 16 // an authority proves several names at once, from one place
)

// zoneRate bounds what one network that is not on the allow-list is answered by
// UDP without a cookie. A resolver that keeps answers asks once in some minutes; a
// forger, who writes another's address into his questions, gets no stream out of
// it. What is above is sent to TCP, every second time (the figures are of BIND's
// response rate limiting in its usual set-up).
var zoneRate = RateLimit{PerSecond: 10, Burst: 50, Slip: 2, IPv4Bits: 24, IPv6Bits: 56, Networks: 1 << 14}

var (
	challengeLabel = blocklists.MustName("_acme-challenge")
	nsLabel        = blocklists.MustName("ns")
	hostmaster     = blocklists.MustName("hostmaster")
)

// CheckZone says what is wrong with a zone.
func CheckZone(z Zone) error {
	_, err := newZone(z)
	return err
}

// zone is a Zone made ready: its records' data, which never changes.
type zone struct {
	Zone
	challenge blocklists.Name // where the TXT records stand
	ns        [][]byte
	caa       [][]byte
	soa       []byte // up to the last field
}

// newZone checks z and makes it ready. It returns nil where there is none.
func newZone(z Zone) (*zone, error) {
	if z.Name == "" {
		return nil, nil
	}
	fail := func(format string, args ...any) (*zone, error) {
		return nil, fmt.Errorf("setting the zone %s: %w", z.Name, fmt.Errorf(format, args...))
	}
	switch {
	case z.Name.Labels() < 2:
		return fail("it is no name that somebody could delegate; give one like dns.example.org")
	case AnswersItself(z.Name) || z.Name.IsBelow(blocklists.MustName("arpa")) || z.Name.IsBelow(blocklists.MustName("local")):
		return fail("the internet knows no such name; give one like dns.example.org")
	case len(z.Addrs) == 0 || len(z.Addrs) > maxZoneAddrs:
		return fail("give it between one and %d addresses of this server", maxZoneAddrs)
	case len(z.Issuers) > maxZoneIssuers:
		return fail("%d certificate authorities are more than %d", len(z.Issuers), maxZoneIssuers)
	case len(z.NameServers) > maxZoneAddrs:
		return fail("%d name servers are more than %d", len(z.NameServers), maxZoneAddrs)
	}
	out := &zone{Zone: z, challenge: challengeLabel + z.Name}
	out.Addrs = nil
	for _, a := range z.Addrs {
		if a = a.Unmap().WithZone(""); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fail("%s is no address of a server", a)
		}
		out.Addrs = append(out.Addrs, a)
	}
	if len(out.NameServers) == 0 {
		out.NameServers = []blocklists.Name{nsLabel + z.Name}
	}
	for _, n := range out.NameServers {
		out.ns = append(out.ns, append([]byte(n), 0))
	}
	for _, issuer := range z.Issuers {
		if len(issuer) > 200 || strings.ContainsFunc(issuer, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fail("certificate authority %q is not a value of a CAA record, as in letsencrypt.org", issuer)
		}
		for _, tag := range [...]string{"issue", "issuewild"} {
			rdata := append([]byte{0, byte(len(tag))}, tag...) // RFC 8659 §4.1
			out.caa = append(out.caa, append(rdata, issuer...))
		}
	}
	out.soa = append(slices.Clone(out.ns[0]), hostmaster+z.Name...)
	out.soa = append(out.soa, 0)
	for _, v := range [...]uint32{1, 3600, 1200, 604800} { // serial: nobody transfers the zone; refresh, retry, expire
		out.soa = appendLong(out.soa, v)
	}
	return out, nil
}

// zoneNode is what a name of the zone is.
type zoneNode uint8

const (
	zoneNothing   zoneNode = iota
	zoneApex               // the zone's own name
	zoneHost               // a label below it: ns, or what a device's private-DNS name begins with
	zoneChallenge          // _acme-challenge
)

// node returns what n is. Every label of a host exists, so that nobody learns
// which devices there are.
func (z *zone) node(n blocklists.Name) zoneNode {
	switch {
	case n == z.Name:
		return zoneApex
	case n == z.challenge:
		return zoneChallenge
	case n.Parent() == z.Name && n[1] != '_':
		return zoneHost
	}
	return zoneNothing
}

// own answers for the zone of the server's public name, whoever asks. The home's
// own records stand above it for who may ask at all: at home, the name may lead
// straight to the server.
func (s *Server) own(_ context.Context, q *query) step {
	z := q.set.zone
	if z == nil || q.fault != 0 || q.vers != 0 || q.class != classIN || !q.name.IsBelow(z.Name) {
		return pass
	}
	switch q.qtype {
	case 0, typeOPT, typeTKEY, typeTSIG, typeAXFR, typeIXFR:
		return pass // check says what is wrong with them
	}
	known := q.set.admits(q.from.Addr())
	if known && q.name != z.challenge && q.set.records.has(q.name) {
		return pass
	}
	if !known && q.via == overUDP && !q.proven {
		q.limit = min(q.limit, maxPlainUDP)
		switch ok, slip := s.zoneLimiter.take(unproven, q.from.Addr(), q.now); {
		case ok:
		case !slip:
			s.metrics.limited[limitDropped].Inc()
			return quiet
		default:
			s.metrics.limited[limitSlipped].Inc()
			return q.toTCP(outLimited)
		}
	}
	if q.name == z.challenge && q.qtype == typeTXT && z.Challenges != nil {
		return away // only who asks for them waits for the store
	}
	return q.zoned(z)
}

// challenge answers for the challenges of a certificate order, from the store
// and never from a cache: any node may have ordered, a moment ago.
func (s *Server) challenge(ctx context.Context, q *query) step {
	z := q.set.zone
	if z == nil || q.name != z.challenge || q.qtype != typeTXT || q.class != classIN || z.Challenges == nil {
		return pass
	}
	select {
	case s.challenges <- struct{}{}:
		defer func() { <-s.challenges }()
	default:
		s.metrics.overload.Inc()
		return q.plain(rcodeServFail, errBusy, outFailed)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.QueryDeadline)
	defer cancel()
	values, err := z.Challenges(ctx)
	if err != nil {
		s.log.Error("a challenge of the certificate authority could not be answered", "error", err)
		return q.plain(rcodeServFail, noError, outFailed)
	}
	if len(values) == 0 {
		return q.zoneNone(z, rcodeNoError, 0)
	}
	q.zoneBegin(rcodeNoError)
	for _, v := range values[:min(len(values), maxChallenges)] {
		if len(v) <= 255 {
			q.zoneRecord(headerLen, typeTXT, 0, append([]byte{byte(len(v))}, v...))
		}
	}
	return q.zoneEnd()
}

// zoned answers with what the zone holds, and no more: no record that was not
// asked for, so that the answer is little longer than the question.
func (q *query) zoned(z *zone) step {
	node := z.node(q.name)
	q.zoneBegin(rcodeNoError)
	switch {
	case node == zoneNothing:
		return q.zoneNone(z, rcodeNXDomain, zoneNoTTL)
	case node == zoneChallenge:
		return q.zoneNone(z, rcodeNoError, 0) // an order may begin at any moment
	case q.qtype == typeANY: // RFC 8482 §4.2
		q.zoneRecord(headerLen, typeHINFO, anyTTL, []byte("\x07RFC8482\x00"))
	case q.qtype == typeA || q.qtype == typeAAAA:
		for _, a := range z.Addrs {
			if a.Is4() == (q.qtype == typeA) {
				q.zoneRecord(headerLen, q.qtype, zoneAddrTTL, a.AsSlice())
			}
		}
	case node != zoneApex:
	case q.qtype == typeNS:
		for _, data := range z.ns {
			q.zoneRecord(headerLen, typeNS, zoneNSTTL, data)
		}
	case q.qtype == typeCAA:
		for _, data := range z.caa {
			q.zoneRecord(headerLen, typeCAA, zoneAddrTTL, data)
		}
	case q.qtype == typeSOA:
		q.zoneRecord(headerLen, typeSOA, zoneNSTTL, appendLong(slices.Clone(z.soa), zoneNoTTL))
	}
	if word(q.out, atAN) == 0 {
		return q.zoneNone(z, rcodeNoError, zoneNoTTL)
	}
	return q.zoneEnd()
}

// zoneBegin starts an answer with authority. Whether recursion is to be had is
// nothing that strangers are told.
func (q *query) zoneBegin(rcode int) {
	q.begin(rcode)
	putWord(q.out, atFlags, word(q.out, atFlags)&^bitRA|bitAA)
}

// zoneRecord appends a record to the answer section.
func (q *query) zoneRecord(owner int, rtype uint16, ttl uint32, data []byte) {
	q.addHeader(owner, rtype, ttl)
	q.out = appendWord(q.out, uint16(len(data)))
	q.out = append(q.out, data...)
	putWord(q.out, atAN, word(q.out, atAN)+1)
}

// zoneNone answers that there is no such name (rcodeNXDomain) or no such record,
// to be kept for ttl seconds.
func (q *query) zoneNone(z *zone, rcode int, ttl uint32) step {
	q.zoneBegin(rcode)
	q.zoneRecord(headerLen+len(q.name)-len(z.Name), typeSOA, ttl, appendLong(slices.Clone(z.soa), ttl))
	putWord(q.out, atAN, 0)
	putWord(q.out, atNS, 1)
	return q.zoneEnd()
}

// zoneEnd ends an answer. One that does not fit is left out whole, and TCP asked
// for: half a set of challenges would be the wrong one.
func (q *query) zoneEnd() step {
	if len(q.out)+q.optLen(noError) > q.limit {
		q.toTCP(outLocal)
		putWord(q.out, atFlags, word(q.out, atFlags)&^bitRA|bitAA)
		return done
	}
	q.appendOPT(0, noError)
	q.outcome = outLocal
	return done
}

// toTCP answers with nothing but the wish that the question come by TCP.
func (q *query) toTCP(o outcome) step {
	q.plain(rcodeNoError, noError, o)
	putWord(q.out, atFlags, word(q.out, atFlags)|bitTC)
	return done
}

// servesStrangers reports whether who is on no allow-list has anything to ask
// for: the zone.
func (s *settings) servesStrangers() bool { return s.zone != nil }
