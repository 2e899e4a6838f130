package resolver

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
)

// RateLimit bounds how often one client network is answered.
type RateLimit struct {
	PerSecond int            // questions a second that each may ask without end; below 0: no limit
	Burst     int            // questions that each may ask at once
	Slip      int            // every how manyth question above goes to TCP instead of nowhere; below 0: none
	IPv4Bits  int            // what of an IPv4 address is one network
	IPv6Bits  int            // and of an IPv6 one
	Networks  int            // how many are remembered, at least; 18 to 37 bytes each
	Exempt    []netip.Prefix // who is never limited
}

// The defaults of RateLimit. A home's router may ask for all of it, and is one
// client. A page that is heavy asks some hundred names, so that thirty devices
// that open one at the same moment make 3,000 questions; a home asks a few a
// second in the mean. A device that is broken or taken over, and asks as fast as
// it can, asks tens of thousands.
const (
	defaultRate     = 1000
	defaultBurst    = 5000
	defaultSlip     = 2 // as in BIND and NSD: half are answered, so answers never outweigh a forger's questions
	defaultIPv4Bits = 32
	defaultIPv6Bits = 64 // one host can take any address of it
	defaultNetworks = 1 << 16
)

// claim is what a question's source address is worth. The two have buckets of
// their own: whoever floods in a client's name empties only the one, and the
// client comes back by TCP or with a cookie.
type claim uint8

const (
	unproven claim = iota // UDP: anybody can write any address into a packet
	proven                // TCP, or a cookie that was given to this address
)

// limiter has a token bucket for each client network that asks, in a table whose
// size is fixed. It takes no lock, and memory that one core writes is written
// by others only where the same clients ask there.
//
// A bucket is the time at which it will be full again: later than now by as much
// as was taken of it. (This is the generic cell rate algorithm, ITU-T I.371.)
// Who has no bucket gets the fullest of its set, as it is. A full one is as good
// as new; so floods from made-up addresses take buckets from each other and from
// those who ask rarely, who lose nothing, and never from who asks too much, who
// would gain by it. Made-up addresses without number gain nothing either: what is
// answered altogether is bounded by the table, as if there were no more
// networks than buckets.
type limiter struct {
	seed       maphash.Seed
	sets       []bucketSet // a power of two
	cost       int64       // nanoseconds that a question takes from a bucket
	burst      int64       // nanoseconds that a bucket holds
	slip       uint32      // 0: none
	bits4      int
	bits6      int
	exempt     bart.Lite
	anyExempts bool
}

// bucketsPerSet: with the counter they fill two cache lines.
const bucketsPerSet = 7

type bucketSet struct {
	owner [bucketsPerSet]atomic.Uint64 // hash of network and claim, 0 for nobody
	full  [bucketsPerSet]atomic.Int64  // Unix nanoseconds
	over  atomic.Uint32                // questions above the limit
	_     [12]byte
}

// newLimiter returns nil where there is no limit. r has its defaults.
func newLimiter(r RateLimit) *limiter {
	if r.PerSecond < 0 {
		return nil
	}
	l := &limiter{
		seed: maphash.MakeSeed(), bits4: r.IPv4Bits, bits6: r.IPv6Bits,
		cost: int64(time.Second) / int64(r.PerSecond), slip: uint32(max(r.Slip, 0)),
	}
	l.burst = l.cost * int64(r.Burst)
	sets := 1
	for sets*bucketsPerSet < r.Networks {
		sets *= 2
	}
	l.sets = make([]bucketSet, sets)
	for _, p := range r.Exempt {
		l.exempt.Insert(plainNet(p))
		l.anyExempts = true
	}
	return l
}

// take takes a question from the bucket of a's network. It returns false where
// nothing is left, and then whether the question is one of those that slip
// through to TCP.
func (l *limiter) take(c claim, a netip.Addr, now time.Time) (ok, slip bool) {
	a = a.Unmap().WithZone("")
	if l.anyExempts && l.exempt.Lookup(a) {
		return true, false
	}
	h := l.hash(c, a)
	set := &l.sets[(h>>32)&uint64(len(l.sets)-1)]
	full := &set.full[set.find(h)]
	at := now.UnixNano()
	for {
		was := full.Load()
		if l.ahead(was, at) {
			was = at
			full.Store(at)
		}
		next := max(was, at) + l.cost
		if next-at > l.burst {
			break
		}
		if full.CompareAndSwap(was, next) {
			return true, false
		}
	}
	n := set.over.Add(1)
	return false, l.slip > 0 && n%l.slip == 0
}

// ahead reports whether a bucket is of a time before the clock was set back: no asking
// takes that much of it.
func (l *limiter) ahead(full, at int64) bool { return full-at > l.burst+int64(time.Second) }

func (l *limiter) hash(c claim, a netip.Addr) uint64 {
	bits := l.bits4
	if a.Is6() {
		bits = l.bits6
	}
	p, _ := a.Prefix(bits) // no error: the bits were checked
	var key [17]byte
	b := p.Addr().As16()
	copy(key[1:], b[:])
	key[0] = byte(c)
	return maphash.Bytes(l.seed, key[:]) | 1 // 0 is nobody
}

// find returns the bucket of h. Where two come for their first at the same
// moment, one may be counted in the other's, once.
func (s *bucketSet) find(h uint64) int {
	fullest, least := 0, s.full[0].Load()
	for i := range s.owner {
		if s.owner[i].Load() == h {
			return i
		}
		if f := s.full[i].Load(); f < least {
			fullest, least = i, f
		}
	}
	s.owner[fullest].Store(h)
	return fullest
}

// limit bounds how often a network is answered, and looks at cookies. It stands
// above identify and admit: what counts is the address that was received from, and
// strangers are not to be sent refusals without end, either. TCP is paced where
// it is read; see pace.
func (s *Server) limit(_ context.Context, q *query) step {
	s.cookies.check(q)
	if q.via != overUDP || s.limiter == nil {
		return pass
	}
	c := unproven
	if q.proven {
		c = proven
	}
	ok, slip := s.limiter.take(c, q.from.Addr(), q.now)
	switch {
	case ok:
		return pass
	case !slip || !q.admitted():
		s.metrics.limited[limitDropped].Inc()
		return quiet
	case q.cookieLen > 0 && !q.proven:
		// RFC 7873 §5.2.3: whoever asks in earnest comes back with this cookie.
		s.metrics.limited[limitBadCookie].Inc()
		return q.plain(rcodeBadCookie, noError, outLimited)
	}
	s.metrics.limited[limitSlipped].Inc()
	return q.toTCP(outLimited)
}

// What becomes of questions above the rate limit, for the counters.
const (
	limitDropped = iota
	limitSlipped
	limitBadCookie
	limitDelayed
	limitTooMany
	numLimits
)

var limitNames = [numLimits]string{"dropped", "slipped", "badcookie", "delayed", "toomany"}

// paceStep is how long a connection that is above the limit waits before it
// looks again.
const paceStep = 20 * time.Millisecond

// pace waits until a client's network may ask again: a client that asks too fast is
// read from no faster than it may. It returns false where the server stops or
// the client has waited as long as it might be idle.
func (s *Server) pace(from netip.Addr, most time.Duration) bool {
	if s.limiter == nil {
		return true
	}
	for waited := time.Duration(0); ; waited += paceStep {
		if ok, _ := s.limiter.take(proven, from, s.now()); ok {
			return true
		}
		if waited == 0 {
			s.metrics.limited[limitDelayed].Inc()
		}
		if s.closing.Load() || waited > most {
			return false
		}
		time.Sleep(paceStep)
	}
}
