package resolver

import (
	"context"
	"net/netip"

	"kinward/blocklists"
	"kinward/policy"
)

// resolverArpa, and what lies below it, is never asked of an upstream.
var resolverArpa = blocklists.MustName("resolver.arpa")

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// AnswersItself reports whether no policy decides about a name, and, but for the
// probes with which other Kinwards look for loops, no upstream is asked for it.
func AnswersItself(n blocklists.Name) bool {
	switch n.Suffix(1) {
	case "\x09localhost", "\x07invalid", "\x04test", "\x05onion":
		return true
	}
	return n.IsBelow(resolverArpa) || isCheck(n)
}

// local answers names that mean the same everywhere, and no policy decides about.
// Names of the home are home's.
func (s *Server) local(_ context.Context, q *query) step {
	if isProbe(q.name) && s.ownProbe(q) {
		return q.negative(rcodeNXDomain, q.name.Suffix(1), localTTL, noError, outLocal)
	}
	top := q.name.Suffix(1)
	switch top {
	case "\x09localhost": // RFC 6761 §6.3
		switch {
		case q.class != classIN:
		case q.qtype == typeA:
			return q.address(loopback4, localTTL, noError, outLocal)
		case q.qtype == typeAAAA:
			return q.address(loopback6, localTTL, noError, outLocal)
		}
		return q.negative(rcodeNoError, top, localTTL, noError, outLocal)
	case "\x07invalid": // RFC 6761 §6.4
		if isProbe(q.name) {
			// Another Kinward looks for a loop through this one: only if the
			// probe goes on can it find its way back.
			return pass
		}
		return q.negative(rcodeNXDomain, top, localTTL, noError, outLocal)
	case "\x04test", "\x05onion": // RFC 6761 §6.2, RFC 7686 §2
		if q.set.routed(q.name) {
			return pass
		}
		return q.negative(rcodeNXDomain, top, localTTL, noError, outLocal)
	case "\x04arpa":
		if isCheck(q.name) {
			return s.checked(q) // at bedtime, too: a device shows who it is, and nothing else
		}
		if q.name.IsBelow(resolverArpa) {
			if st := s.designate(q); st != pass {
				return st
			}
			// RFC 9462 §6.4: what another resolver designates is not ours to pass
			// on, since it would lead past the filter.
			return q.negative(rcodeNoError, resolverArpa, localTTL, noError, outLocal)
		}
	}
	return pass
}

// portal answers the name of the family's own Kinward with its address; see Page.
// Devices that know it by IPv4 alone get no AAAA record, and the other way round.
func (s *Server) portal(_ context.Context, q *query) step {
	if q.qtype == typeANY || !q.name.IsBelow(policy.Portal) {
		return pass
	}
	ttl := q.capTTL(localTTL)
	if q.name != policy.Portal {
		return q.negative(rcodeNXDomain, policy.Portal, ttl, noError, outLocal)
	}
	return q.toPages(ttl)
}
