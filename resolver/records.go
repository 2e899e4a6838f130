package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"kinward/blocklists"
)

// recordTTL is the TTL of a local record that says none, in seconds.
const recordTTL = 300

// maxRecords bounds the local records: more than that is a zone, and wants a
// name server.
const maxRecords = 10_000

// maxChain bounds how many CNAMEs are followed.
const maxChain = 8

// Records are the operator's own records, an immutable snapshot. Make them with
// ParseRecords; nil holds none.
//
// They stand for the names that they are of, and for no zone: a name without a
// record is asked of the upstreams, unless its zone is reserved.
type Records struct {
	nodes map[blocklists.Name]map[uint16][]dns.RR // an empty one is a name between
	wild  bool
}

// recordTypes are the types of local records.
var recordTypes = map[uint16]bool{typeA: true, typeCNAME: true, typePTR: true, typeTXT: true, typeAAAA: true, typeSRV: true}

// ParseRecords reads records in the syntax of zone files (RFC 1035 §5.1), one a
// line, each with its whole name: "nas.home.arpa 300 IN A 192.168.1.5". The
// first label may be "*" (RFC 4592). The PTR record of an address is made where
// none is given.
func ParseRecords(lines []string) (*Records, error) {
	r := &Records{nodes: map[blocklists.Name]map[uint16][]dns.RR{}}
	if len(lines) > maxRecords {
		return nil, fmt.Errorf("reading records: %d are more than %d; forward the zone to a name server", len(lines), maxRecords)
	}
	for _, line := range lines {
		if err := r.add(line); err != nil {
			return nil, fmt.Errorf("reading record %q: %w", line, err)
		}
	}
	for n, sets := range r.nodes {
		if c := sets[typeCNAME]; len(c) > 0 && len(sets) > 1 {
			return nil, fmt.Errorf("reading records: %s has a CNAME and other records; a CNAME stands alone", n)
		}
		if _, _, err := r.chase(n, typeA); err != nil {
			return nil, fmt.Errorf("reading records: %w", err)
		}
	}
	r.addReverse(lines)
	for n := range r.nodes { // names between, up to the reserved zone
		for p := n.Parent(); p != "" && !reserved[p]; p = p.Parent() {
			if r.nodes[p] == nil {
				r.nodes[p] = map[uint16][]dns.RR{}
			}
		}
	}
	return r, nil
}

func (r *Records) add(line string) error {
	if strings.ContainsAny(line, "\n\r$") {
		return errors.New("give one record, without directives")
	}
	rr, err := parseRecord(line)
	if err != nil {
		return err
	}
	h := rr.Header()
	switch {
	case h.Class != classIN:
		return fmt.Errorf("class %s is not IN", dns.Class(h.Class))
	case !recordTypes[h.Rrtype]:
		return fmt.Errorf("type %s is not A, AAAA, CNAME, PTR, SRV or TXT", dns.Type(h.Rrtype))
	case h.Ttl > maxTTL:
		return fmt.Errorf("TTL %d is more than a day", h.Ttl)
	}
	n, err := blocklists.ParseName(h.Name)
	switch {
	case err != nil:
		return err
	case n == "":
		return errors.New("it has no name")
	case AnswersItself(n):
		return fmt.Errorf("%s is answered by Kinward itself", n)
	case strings.Contains(string(n[1:]), "\x01*"):
		return errors.New("\"*\" stands for the first label only")
	}
	h.Name = absolute(n)
	sets := r.nodes[n]
	if sets == nil {
		sets = map[uint16][]dns.RR{}
		r.nodes[n] = sets
	}
	for _, other := range sets[h.Rrtype] {
		switch {
		case dns.IsDuplicate(rr, other):
			return errors.New("it is given twice")
		case h.Rrtype == typeCNAME:
			return errors.New("the name has a CNAME already")
		case other.Header().Ttl != h.Ttl:
			return fmt.Errorf("another %s record of the name has TTL %d; one set has one (RFC 2181 §5.2)", dns.Type(h.Rrtype), other.Header().Ttl)
		}
	}
	sets[h.Rrtype] = append(sets[h.Rrtype], rr)
	if sum := setSize(sets[h.Rrtype]); sum > maxPacked {
		return fmt.Errorf("the %s records of one name take %d bytes, more than an answer holds", dns.Type(h.Rrtype), sum)
	}
	r.wild = r.wild || n[:2] == "\x01*"
	return nil
}

// maxPacked leaves room for the rest of a message.
const maxPacked = 32 << 10

func setSize(rrs []dns.RR) (n int) {
	for _, rr := range rrs {
		n += dns.Len(rr)
	}
	return n
}

// parseRecord reads one line. Names are whole with or without a closing dot.
func parseRecord(line string) (dns.RR, error) {
	p := dns.NewZoneParser(strings.NewReader(line+"\n"), ".", "")
	p.SetDefaultTTL(recordTTL)
	rr, ok := p.Next()
	if err := p.Err(); err != nil {
		var syntax *dns.ParseError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("it is no record; write it like nas.home.arpa A 192.168.1.5 (%w)", err)
		}
		return nil, err
	}
	if !ok {
		return nil, errors.New("it is empty; write it like nas.home.arpa A 192.168.1.5")
	}
	return rr, nil
}

// addReverse gives addresses their PTR records, in the order of the lines, to
// those that have none.
func (r *Records) addReverse(lines []string) {
	for _, line := range lines {
		rr, err := parseRecord(line)
		if err != nil {
			continue // add has refused it
		}
		var a netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			a, _ = netip.AddrFromSlice(rr.A)
			a = a.Unmap()
		case *dns.AAAA:
			a, _ = netip.AddrFromSlice(rr.AAAA)
		}
		owner, _ := blocklists.ParseName(rr.Header().Name)
		if !a.IsValid() || strings.HasPrefix(string(owner), "\x01*") {
			continue
		}
		n := reverseName(a)
		if n == "" || len(r.nodes[n]) > 0 {
			continue
		}
		ptr := &dns.PTR{Hdr: dns.RR_Header{Name: absolute(n), Rrtype: typePTR, Class: classIN, Ttl: rr.Header().Ttl}, Ptr: absolute(owner)}
		r.nodes[n] = map[uint16][]dns.RR{typePTR: {ptr}}
	}
}

// has reports whether n may have an answer here: it has a record, lies above one
// or below a wildcard.
func (r *Records) has(n blocklists.Name) bool {
	return r != nil && (r.nodes[n] != nil || r.wild && r.wildcard(n) != nil)
}

// exists reports whether n has a record of any type, its own or a wildcard's.
func (r *Records) exists(n blocklists.Name) bool { return len(r.at(n)) > 0 }

// at returns the records of n.
func (r *Records) at(n blocklists.Name) map[uint16][]dns.RR {
	if sets := r.nodes[n]; sets != nil || !r.wild {
		return sets
	}
	return r.wildcard(n)
}

// wildcard returns the records of the wildcard at the closest encloser of n (RFC
// 4592 §3.3.1), where n does not exist itself.
func (r *Records) wildcard(n blocklists.Name) map[uint16][]dns.RR {
	for p := n; p != ""; p = p.Parent() {
		above := p.Parent()
		if sets := r.nodes["\x01*"+above]; sets != nil {
			return sets
		}
		if r.nodes[above] != nil {
			return nil
		}
	}
	return nil
}

// find returns the records of a type that n has, behind the CNAMEs that lead to
// them, and the name at which they leave the home, "" if they do not.
func (r *Records) find(n blocklists.Name, qtype uint16) (rrs []dns.RR, end blocklists.Name) {
	rrs, end, _ = r.chase(n, qtype) // ParseRecords found no loop
	return rrs, end
}

func (r *Records) chase(n blocklists.Name, qtype uint16) (rrs []dns.RR, end blocklists.Name, err error) {
	for range maxChain {
		sets := r.at(n)
		if set := sets[qtype]; len(set) > 0 {
			return appendOwned(rrs, set, n), "", nil
		}
		c := sets[typeCNAME]
		if len(c) == 0 {
			return rrs, "", nil
		}
		rrs = appendOwned(rrs, c, n)
		if n, err = blocklists.ParseName(c[0].(*dns.CNAME).Target); err != nil {
			return nil, "", err
		}
		if r.at(n) == nil {
			return rrs, n, nil
		}
	}
	return nil, "", fmt.Errorf("%s leads through more than %d CNAMEs, or round in circles", n, maxChain)
}

// appendOwned appends set with n for its owner, which is not that of a
// wildcard's records.
func appendOwned(to, set []dns.RR, n blocklists.Name) []dns.RR {
	for _, rr := range set {
		c := dns.Copy(rr) // newEntry changes TTLs
		c.Header().Name = absolute(n)
		to = append(to, c)
	}
	return to
}
