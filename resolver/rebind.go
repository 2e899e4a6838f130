package resolver

import (
	"net/netip"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// The guard against DNS rebinding: a page from outside makes its own name lead to
// an address of the home, and the browser then lets it talk to the router or the
// camera as if they were its own server. So an answer that leads there is kept
// back, whole, for every name that is not known to be meant so.

// homeNets are addresses that mean something only where the asker is, and so
// have no business behind a name of the Internet. What is nobody's, as documentation
// and reserved networks are, is none of them, though Kinward itself does not connect
// there ([blocklists.IsPublic]): such an answer leads nowhere, and is passed on.
var homeNets = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), // RFC 1122 §3.2.1.3; many systems take 0.0.0.0 for themselves
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // RFC 6598: carriers' and VPNs' inside
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 8215: translators' inside
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fec0::/10"), // RFC 3879: deprecated, and still somebody's
}

// embeds4 are the networks of IPv6 addresses that lead to the IPv4 address in
// their last 32 bits.
var embeds4 = []netip.Prefix{
	netip.MustParsePrefix("::/96"),         // :: and ::1, too
	netip.MustParsePrefix("::ffff:0:0/96"), // RFC 4291 §2.5.5.2
	netip.MustParsePrefix("64:ff9b::/96"),  // RFC 6052
}

// isHome reports whether a leads into the asker's own network.
func isHome(a netip.Addr) bool {
	a = a.WithZone("") // no prefix contains an address that has one
	if a.Is6() {
		for _, p := range embeds4 {
			if p.Contains(a) {
				b := a.As16()
				a = netip.AddrFrom4([4]byte(b[12:]))
				break
			}
		}
	}
	for _, p := range homeNets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// leadsHome reports whether an address in a record leads into the asker's own
// network: that of A and AAAA, and the hints of SVCB and HTTPS (RFC 9460 §7.3),
// which browsers connect to without asking further.
func (r record) leadsHome(msg []byte) bool {
	data := msg[r.data:r.next]
	switch r.rtype {
	case typeA, typeAAAA:
		return anyHome(data, len(data))
	case typeSVCB, typeHTTPS:
		_, at, ok := readName(msg[:r.next], r.data+2)
		for ok && at+4 <= r.next {
			key, from := word(msg, at), at+4
			if at = from + int(word(msg, at+2)); at > r.next {
				break
			}
			switch {
			case key == 4 && anyHome(msg[from:at], 4), key == 6 && anyHome(msg[from:at], 16):
				return true
			}
		}
	}
	return false
}

// anyHome looks at addresses of size bytes each.
func anyHome(b []byte, size int) bool {
	for ; size > 0 && len(b) >= size; b = b[size:] {
		if a, ok := netip.AddrFromSlice(b[:size]); ok && isHome(a) {
			return true
		}
	}
	return false
}

// additionalHome reports whether an additional record is left out: it leads into
// the asker's network, or could. Nothing needs it, and whom the answer is for is
// not known yet.
func additionalHome(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return ok && isHome(a)
	case *dns.AAAA:
		a, ok := netip.AddrFromSlice(rr.AAAA)
		return ok && isHome(a)
	case *dns.SVCB, *dns.HTTPS:
		return true
	}
	return false
}

// mayLeadHome reports whether the asked name may have addresses of the home: the
// operator says so, the home's own server was asked for it, a guardian allowed
// the name, or devices need it to work at all (the answer by which Windows knows
// that it is online has such an address). Only the name that was asked counts,
// not where it leads: the browser goes by the former.
func (q *query) mayLeadHome() bool {
	switch q.verdict.Reason {
	case policy.ByRule, policy.ByPlumbing:
		if q.verdict.Action == policy.Allow {
			return true
		}
	}
	return q.set.routed(q.fetched()) || belowAny(q.set.rebindAllow, q.fetched())
}

// belowAny reports whether n or a name above it is in set.
func belowAny(set map[blocklists.Name]bool, n blocklists.Name) bool {
	if len(set) == 0 {
		return false
	}
	for ; n != ""; n = n.Parent() {
		if set[n] {
			return true
		}
	}
	return false
}
