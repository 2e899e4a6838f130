package resolver

import (
	"context"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// hostTTL is the TTL of a device's name and address, in seconds: either can be
// another soon.
const hostTTL = 60

// home answers what the home knows by itself: the operator's records, the names
// of its devices, and reserved zones. A family's policy stands above it, so that
// no local name is a way past it.
func (s *Server) home(ctx context.Context, q *query) step {
	if q.class != classIN || q.qtype == typeANY {
		return pass
	}
	if r := q.set.records; r.has(q.name) {
		if st := s.recorded(q, r); st != pass || q.alias != nil {
			return st
		}
	}
	apex, ours := q.set.reservedZone(q.name)
	if ours || q.name.Suffix(1) == "\x04arpa" { // a device may have a public address
		if st := s.hosted(q, apex); st != pass {
			return st
		}
	}
	switch {
	case !ours || q.set.routed(q.name):
		return pass
	case q.qtype == typeDS && q.name == apex && apex.Suffix(1) == "\x04arpa":
		// The parent's, which says that the zone is not signed (RFC 8375 §4).
		return pass
	}
	return q.empty(apex, q.set.records.has(q.name))
}

// recorded answers with a record of the operator's.
func (s *Server) recorded(q *query, r *Records) step {
	rrs, end := r.find(q.name, q.qtype)
	switch {
	case end != "" && q.qtype != typeCNAME: // a CNAME leads out of the home
		if !q.hasRec {
			return pass
		}
		q.alias, q.target = rrs, end
		return pass
	case len(rrs) == 0:
		if !r.exists(q.name) { // a name between
			return pass
		}
		apex, ours := q.set.reservedZone(q.name)
		if !ours {
			apex = q.name
		}
		return q.empty(apex, true)
	}
	return q.records(rrs)
}

// records answers with records of the home's own.
func (q *query) records(rrs []dns.RR) step {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: absolute(q.name), Qtype: q.qtype, Qclass: q.class}}
	m.Answer = rrs
	e, err := newEntry(q.question, m, q.now)
	if err != nil { // more than a message holds; ParseRecords bounds each
		return q.plain(rcodeServFail, noError, outFailed)
	}
	q.addEntry(e)
	q.outcome = outLocal
	return done
}

// absolute returns n as the message library writes it.
func absolute(n blocklists.Name) string {
	if n == "" {
		return "."
	}
	return n.String() + "."
}

// hosted answers with a device's name or address, if both belong to the asker's
// own family.
func (s *Server) hosted(q *query, apex blocklists.Name) step {
	known := false
	for _, h := range [...]*Hosts{s.devices.Load(), s.leases.Load()} {
		if h == nil {
			continue
		}
		if a, ok := h.reverse[q.name]; ok && s.sameFamily(q, a) {
			known = true
			if q.qtype == typePTR {
				return q.records([]dns.RR{&dns.PTR{Hdr: hostHeader(q.name, typePTR), Ptr: absolute(h.names[a])}})
			}
		}
		var rrs []dns.RR
		for _, a := range h.addrs[q.name] {
			if !s.sameFamily(q, a) {
				continue
			}
			known = true
			switch {
			case q.qtype == typeA && a.Is4():
				rrs = append(rrs, &dns.A{Hdr: hostHeader(q.name, typeA), A: a.AsSlice()})
			case q.qtype == typeAAAA && a.Is6():
				rrs = append(rrs, &dns.AAAA{Hdr: hostHeader(q.name, typeAAAA), AAAA: a.AsSlice()})
			}
		}
		if len(rrs) > 0 {
			return q.records(rrs)
		}
		if known { // what a device says of itself adds nothing to what guardians say
			break
		}
	}
	if !known {
		return pass
	}
	if apex == "" {
		apex = q.name
	}
	return q.negative(rcodeNoError, apex, hostTTL, noError, outLocal)
}

func hostHeader(n blocklists.Name, rtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: absolute(n), Rrtype: rtype, Class: classIN, Ttl: hostTTL}
}

// sameFamily reports whether whoever has an address belongs to the asker's
// family. Nobody learns of another family's devices, not even that they exist.
func (s *Server) sameFamily(q *query, a netip.Addr) bool {
	who, ok := q.state.Directory.Identify(policy.Clues{Addr: a}, q.now)
	return ok && who.Family == q.asker.Family
}

// follow answers a name of the operator's that leads out of the home: with the
// CNAME and what is found where it leads, which the policy decides about like
// any other answer.
func (s *Server) follow(ctx context.Context, q *query) step {
	if q.alias == nil {
		return pass
	}
	k := q.question
	k.name = q.target
	v, about := policy.DecideName(q.state.Index, q.asker.Policy, k.name, k.qtype, q.now)
	if v.Action == policy.Block {
		q.verdict, q.hidden = v, about
		return q.block()
	}
	e := s.cache.get(k, q.now)
	if e == nil || !e.alive(q.now) {
		// As in forward, an old answer is better than none (RFC 8767).
		old, wait := e, s.limits.QueryDeadline
		if old != nil {
			wait = min(wait, staleAfter)
		}
		if old == nil || !old.recently(q.now) {
			var err error
			e, err = s.await(ctx, q.set, k, wait)
			switch failed := err != nil || e.isFailure(); {
			case old == nil && err != nil:
				return q.plain(rcodeServFail, failure(err), outFailed)
			case old != nil && failed:
				old.fail(q.now)
				e = old
			}
		}
		if e == old {
			s.metrics.stale.Inc()
		}
	}
	m := new(dns.Msg)
	if err := m.Unpack(e.wire); err != nil {
		return q.plain(rcodeServFail, errInvalid, outFailed)
	}
	age, stale := uint32(e.age(q.now)/time.Second), e.over(q.now)
	for _, section := range [...][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Ttl -= min(age, rr.Header().Ttl); stale {
				rr.Header().Ttl = staleTTL
			}
		}
	}
	m.AuthenticatedData = false // nobody signed the first step
	m.Question = []dns.Question{{Name: absolute(q.name), Qtype: q.qtype, Qclass: q.class}}
	m.Answer = append(append([]dns.RR(nil), q.alias...), m.Answer...)
	whole, err := newEntry(q.question, m, q.now)
	if err != nil {
		return q.plain(rcodeServFail, errInvalid, outFailed)
	}
	whole.old = stale
	return s.release(q, whole)
}

// fetched returns the name that the upstreams are asked for.
func (q *query) fetched() blocklists.Name {
	if q.alias != nil {
		return q.target
	}
	return q.name
}

// Host is a device of the home under its name.
type Host struct {
	Name blocklists.Name // whole, as in tablet.home.arpa
	Addr netip.Addr
}

// Hosts are the names of devices, an immutable snapshot. Two families may use
// one name: each address belongs to one family, and answers only that one.
type Hosts struct {
	addrs   map[blocklists.Name][]netip.Addr
	names   map[netip.Addr]blocklists.Name
	reverse map[blocklists.Name]netip.Addr
}

// NewHosts takes the names of devices. Of two names for one address the first
// is what its PTR record says.
func NewHosts(all []Host) *Hosts {
	h := &Hosts{map[blocklists.Name][]netip.Addr{}, map[netip.Addr]blocklists.Name{}, map[blocklists.Name]netip.Addr{}}
	for _, host := range all {
		a := host.Addr.Unmap().WithZone("")
		if !a.IsValid() || host.Name == "" {
			continue
		}
		h.addrs[host.Name] = append(h.addrs[host.Name], a)
		if _, ok := h.names[a]; !ok {
			h.names[a] = host.Name
			h.reverse[reverseName(a)] = a
		}
	}
	return h
}

// SetDevices puts the names that families gave to devices in force.
func (s *Server) SetDevices(h *Hosts) { s.devices.Store(h) }

// SetLeases puts the names that devices gave themselves in force. Others win.
func (s *Server) SetLeases(h *Hosts) { s.leases.Store(h) }

// reverseName returns the name at which an address's PTR record stands.
func reverseName(a netip.Addr) blocklists.Name {
	text, err := dns.ReverseAddr(a.String())
	if err != nil {
		return ""
	}
	n, _ := blocklists.ParseName(text)
	return n
}
