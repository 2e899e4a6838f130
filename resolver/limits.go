package resolver

import "time"

// Limits bounds what strangers and broken networks can make the server hold. A
// zero field is its default.
type Limits struct {
	InFlight        int           // questions that wait for upstreams; above, SERVFAIL at once
	UpstreamSockets int           // sockets to upstreams at once; above, questions wait their turn
	QueryDeadline   time.Duration // for a question that goes to upstreams
	AttemptTimeout  time.Duration // for one upstream to answer
	ProbeInterval   time.Duration // between two looks for loops
	Drain           time.Duration // for questions in flight when the server stops

	TCPConns          int           // open connections
	TCPConnsPerClient int           // from one IPv4 address or IPv6 /64
	TCPInFlight       int           // questions of one connection at once
	TCPIdle           time.Duration // without a question
	TCPRead           time.Duration // for the rest of a message that has begun
	TCPWrite          time.Duration // for the client to take an answer

	TLSConns          int           // open connections of DoT, DoH and DoQ together
	TLSConnsPerClient int           // from one IPv4 address or IPv6 /64
	TLSIdle           time.Duration // without a question
	TLSHandshake      time.Duration // for a client to agree on keys

	Message int // the longest question that is read, in bytes
	Rate    RateLimit

	patience time.Duration // least time before an answer counts as late; tests on busy machines need more than none
}

// The defaults of Limits.
const (
	defaultInFlight        = 1536                    // 20 to 30 KB each where the machine is busy, so 46 MB at worst
	defaultUpstreamSockets = 1024                    // 50,000 questions a second at 20 ms each, and within usual limits of descriptors
	defaultQueryDeadline   = 4 * time.Second         // stub resolvers ask again after 5 s (resolv.conf(5))
	defaultAttemptTimeout  = 1500 * time.Millisecond // room for a second upstream, and a third try, before the deadline
	defaultProbeInterval   = time.Minute
	defaultDrain           = 3 * time.Second // shorter than any supervisor's patience

	defaultTCPConns          = 1024
	defaultTCPConnsPerClient = 128              // a whole household or office may share one address
	defaultTCPInFlight       = 64               // a page asks some dozen names at once
	defaultTCPIdle           = 10 * time.Second // RFC 7766 §6.2.3 leaves it to us: a few seconds
	defaultTCPRead           = 5 * time.Second
	defaultTCPWrite          = 5 * time.Second

	// What agreeing on keys costs makes it worth to keep a connection for longer
	// than TCP's. Phones come from behind their carriers' few addresses.
	defaultTLSConns          = 10_000 // 130 to 170 MB, idle (DESIGN.md)
	defaultTLSConnsPerClient = 512
	defaultTLSIdle           = 30 * time.Second // RFC 7858 §3.4 leaves it to us; clients come back by resumption
	defaultTLSHandshake      = 5 * time.Second

	// The longest question that makes sense, a name, an OPT record with padding
	// and a signature, is far below.
	defaultMessage = 4096
)

// DefaultLimits returns the limits that hold where none are given.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) withDefaults() Limits {
	or := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&l.InFlight, defaultInFlight)
	or(&l.UpstreamSockets, defaultUpstreamSockets)
	orTime(&l.QueryDeadline, defaultQueryDeadline)
	orTime(&l.AttemptTimeout, defaultAttemptTimeout)
	orTime(&l.ProbeInterval, defaultProbeInterval)
	orTime(&l.Drain, defaultDrain)
	or(&l.TCPConns, defaultTCPConns)
	or(&l.TCPConnsPerClient, defaultTCPConnsPerClient)
	or(&l.TCPInFlight, defaultTCPInFlight)
	orTime(&l.TCPIdle, defaultTCPIdle)
	orTime(&l.TCPRead, defaultTCPRead)
	orTime(&l.TCPWrite, defaultTCPWrite)
	or(&l.TLSConns, defaultTLSConns)
	or(&l.TLSConnsPerClient, defaultTLSConnsPerClient)
	orTime(&l.TLSIdle, defaultTLSIdle)
	orTime(&l.TLSHandshake, defaultTLSHandshake)
	or(&l.Message, defaultMessage)
	if l.Rate.PerSecond == 0 {
		l.Rate.PerSecond = defaultRate
	}
	or(&l.Rate.Burst, defaultBurst)
	if l.Rate.Slip == 0 {
		l.Rate.Slip = defaultSlip
	}
	or(&l.Rate.IPv4Bits, defaultIPv4Bits)
	or(&l.Rate.IPv6Bits, defaultIPv6Bits)
	or(&l.Rate.Networks, defaultNetworks)
	return l
}

// idle returns how long a connection may be idle.
func (l *Limits) idle(t transport) time.Duration {
	if t == overTCP {
		return l.TCPIdle
	}
	return l.TLSIdle
}
