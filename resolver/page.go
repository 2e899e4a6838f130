package resolver

import (
	"net/netip"

	"kinward/policy"
)

// Page says where devices reach this server's pages: the portal, and the page that
// says why something is blocked.
type Page struct {
	// Served: a web server answers at the address, whatever name it is asked for. Then
	// blocked questions for an address are answered with it, where the asker can reach
	// it and their profile does not say otherwise.
	Served bool
	// V4 and V6 are the address, as devices see it. Where neither is given it is the
	// one at which a device asked: the one of which it knows that it leads here.
	V4, V6 netip.Addr
}

// pages returns the addresses of the pages that the asker can reach, the zero value
// where there is none. An address that is given is for all who may ask in plain;
// one that a device asked at is for whoever is as near to it: a home's address
// leads to another machine elsewhere.
func (q *query) pages() (m policy.BlockMode) {
	p, from := &q.set.page, q.clues.Addr.Unmap()
	if p.V4.IsValid() || p.V6.IsValid() {
		if near := from.IsLoopback(); near || q.set.admits(from) {
			m = policy.BlockMode{V4: p.V4, V6: p.V6}
			if m.V4.IsLoopback() && !near {
				m.V4 = netip.Addr{}
			}
			if m.V6.IsLoopback() && !near {
				m.V6 = netip.Addr{}
			}
		}
		return m
	}
	switch to := q.local.Unmap().WithZone(""); {
	case !to.IsValid(), to.IsUnspecified(), to.IsLinkLocalUnicast(): // that one needs an interface beside it
	case to.IsLoopback() && !from.IsLoopback():
	case to.IsPrivate() && !from.IsPrivate() && !from.IsLoopback() && !from.IsLinkLocalUnicast():
	case to.Is4():
		m.V4 = to
	default:
		m.V6 = to
	}
	return m
}

// toPages answers with the address of the pages, or that there is none of the type
// that was asked for.
func (q *query) toPages(ttl uint32) step {
	switch m := q.pages(); {
	case q.class != classIN:
	case q.qtype == typeA && m.V4.IsValid():
		return q.address(m.V4, ttl, noError, outLocal)
	case q.qtype == typeAAAA && m.V6.IsValid():
		return q.address(m.V6, ttl, noError, outLocal)
	}
	return q.negative(rcodeNoError, policy.Portal, ttl, noError, outLocal)
}

// explains returns the addresses with which a block is answered so that the asker
// sees the page that says why. Who asks by a token from anywhere has none: the page
// knows devices by their address alone.
func (q *query) explains() policy.BlockMode {
	if a := q.clues.Addr; !q.set.page.Served || !q.set.admits(a) && !q.set.forwards(a) && !q.state.Directory.Linked(a, q.now) {
		return policy.BlockMode{}
	}
	return q.pages()
}

// WhoAt returns who has an address, by the rules of a question in plain. It is for
// addresses that a connection has proven. False says that nothing is to be
// answered. Behind a forwarder's own address there may be any device of the
// family, so none is named.
func (s *Server) WhoAt(from netip.Addr) (policy.Asker, bool) {
	set, st, now := s.settings.Load(), s.state(), s.now()
	c := policy.Clues{Addr: from.Unmap()}
	if c.Relayed = set.forwards(from); !c.Relayed {
		c.MAC = s.neighbours.mac(from, now)
	}
	if !set.admits(from) && !c.Relayed && !st.Directory.Linked(c.Addr, now) {
		return policy.Asker{}, false
	}
	return st.Directory.Identify(c, now)
}
