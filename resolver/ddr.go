package resolver

import (
	"net/netip"

	"github.com/miekg/dns"

	"kinward/blocklists"
)

// designated is what this server offers to those who ask it in plain, by
// discovery (RFC 9462): its encrypted listeners, under its public name. The zero
// value offers nothing.
type designated struct {
	name          blocklists.Name // "": nothing
	dot, doh, doq uint16          // ports, 0: not offered
	// addrs are the addresses of the name for those outside the home. Others are
	// told the address that they asked: only that one can they verify (§4.2, §4.3).
	addrs []netip.Addr
}

// offers returns what is offered once the listeners are bound. DoH behind a
// reverse proxy is not: where that listens, nobody here knows.
func (s *Server) offers(addrs []netip.Addr) (d designated) {
	d.name, _ = blocklists.ParseName(s.name) // none: nothing is offered
	d.addrs = addrs
	for _, l := range s.secureAddrs {
		var port *uint16
		switch l.Scheme {
		case DoT:
			port = &d.dot
		case DoH:
			port = &d.doh
		case DoQ:
			port = &d.doq
		default:
			continue
		}
		if *port == 0 { // of several the first
			*port = l.Addr.Port()
		}
	}
	return d
}

// ddrTTL is how long what is offered may be kept, in seconds: a token can be taken
// from a device.
const ddrTTL = 60

// discovery is what clients ask for (§4).
var discovery = blocklists.MustName("_dns.resolver.arpa")

// designate answers a discovery with the asking device's own names. It is NODATA
// for types other than SVCB, where nothing is offered, and through a forwarder: a
// forwarder may keep the answer, and give one device's name to another.
func (s *Server) designate(q *query) step {
	d := &s.designated
	if d.name == "" || q.name != discovery || q.qtype != typeSVCB || q.class != classIN || q.forwarder || d.dot|d.doh|d.doq == 0 {
		return pass
	}
	target := d.name.String() + "."
	if token := q.state.Directory.TokenOf(q.asker); token != "" {
		target = token + "." + target
	}
	if _, ok := dns.IsDomainName(target); !ok {
		return pass
	}
	m := new(dns.Msg)
	m.SetQuestion(absolute(q.name), typeSVCB)
	m.Response, m.RecursionAvailable, m.Compress = true, true, true
	addrs := d.addrsFor(q)
	// DoH first: of its forms alone Windows takes a name, and what is preferred
	// is tried first everywhere. Each has its port written out and, as RFC 9461
	// wants it for DoH, the path.
	for _, offer := range []struct {
		port uint16
		alpn []string
		path string
	}{
		{d.doh, []string{alpnH2, "h3"}, dohPath + "{?dns}"},
		{d.dot, []string{alpnDoT}, ""},
		{d.doq, []string{alpnDoQ}, ""},
	} {
		if offer.port == 0 {
			continue
		}
		rr := &dns.SVCB{
			Hdr:      dns.RR_Header{Name: absolute(q.name), Rrtype: typeSVCB, Class: classIN, Ttl: ddrTTL},
			Priority: uint16(len(m.Answer) + 1), Target: target,
			Value: []dns.SVCBKeyValue{&dns.SVCBAlpn{Alpn: offer.alpn}, &dns.SVCBPort{Port: offer.port}},
		}
		rr.Value = append(rr.Value, hints(addrs)...)
		if offer.path != "" {
			rr.Value = append(rr.Value, &dns.SVCBDoHPath{Template: offer.path})
		}
		m.Answer = append(m.Answer, rr)
	}
	for _, a := range addrs {
		h := dns.RR_Header{Name: target, Rrtype: typeA, Class: classIN, Ttl: ddrTTL}
		if a.Is4() {
			m.Extra = append(m.Extra, &dns.A{Hdr: h, A: a.AsSlice()})
			continue
		}
		h.Rrtype = typeAAAA
		m.Extra = append(m.Extra, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
	}
	wire, err := m.Pack()
	if err != nil {
		return q.plain(rcodeServFail, noError, outFailed)
	}
	e := &entry{wire: wire, stored: q.now}
	if err := e.scan(q.question); err != nil {
		return q.plain(rcodeServFail, noError, outFailed)
	}
	q.addEntry(e)
	q.outcome = outLocal
	return done
}

// addrsFor returns the addresses that are told to an asker.
func (d *designated) addrsFor(q *query) []netip.Addr {
	if a := q.client(); len(d.addrs) > 0 && !isHome(a) {
		return d.addrs
	}
	if a := q.local.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() {
		return []netip.Addr{a}
	}
	return nil
}

// hints returns the parameters that save asking for addresses.
func hints(addrs []netip.Addr) (out []dns.SVCBKeyValue) {
	v4, v6 := &dns.SVCBIPv4Hint{}, &dns.SVCBIPv6Hint{}
	for _, a := range addrs {
		if a.Is4() {
			v4.Hint = append(v4.Hint, a.AsSlice())
		} else {
			v6.Hint = append(v6.Hint, a.AsSlice())
		}
	}
	if len(v4.Hint) > 0 {
		out = append(out, v4)
	}
	if len(v6.Hint) > 0 {
		out = append(out, v6)
	}
	return out
}
