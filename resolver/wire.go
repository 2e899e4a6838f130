package resolver

import (
	"encoding/binary"

	"kinward/blocklists"
)

// Where things stand in a DNS message (RFC 1035 §4.1.1).
const (
	headerLen = 12
	atFlags   = 2
	atQD      = 4
	atAN      = 6
	atNS      = 8
	atAR      = 10
)

// Bits of the header's second word (RFC 1035 §4.1.1, RFC 4035 §3.2).
const (
	bitQR      = 1 << 15
	maskOpcode = 0xF << 11
	bitAA      = 1 << 10
	bitTC      = 1 << 9
	bitRD      = 1 << 8
	bitRA      = 1 << 7
	bitAD      = 1 << 5
	bitCD      = 1 << 4
	maskRcode  = 0xF
)

// Types and classes that the data plane speaks of. They are spelled out here,
// so that only what comes from upstreams needs the message library.
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeHINFO = 13
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
	typeDNAME = 39
	typeOPT   = 41
	typeDS    = 43
	typeRRSIG = 46
	typeSVCB  = 64
	typeHTTPS = 65
	typeTKEY  = 249
	typeTSIG  = 250
	typeIXFR  = 251
	typeAXFR  = 252
	typeANY   = 255
	typeCAA   = 257

	classIN   = 1
	classCH   = 3
	classNONE = 254
	classANY  = 255
)

// Response codes (RFC 1035 §4.1.1, RFC 6891 §9).
const (
	rcodeNoError   = 0
	rcodeFormErr   = 1
	rcodeServFail  = 2
	rcodeNXDomain  = 3
	rcodeNotImp    = 4
	rcodeRefused   = 5
	rcodeBadVers   = 16
	rcodeBadCookie = 23 // RFC 7873 §8
)

// readName reads the domain name at off and returns it in canonical form with
// the offset behind it. Every name that the resolver decides about, asked or
// answered, is read here, so no two spellings reach the filter.
//
// A compression pointer must lead backwards to a name after the header (RFC
// 1035 §4.1.4): that ends every chain of pointers, and makes any pointer in a
// question, the first name of a message, an error.
func readName(msg []byte, off int) (n blocklists.Name, next int, ok bool) {
	var buf [blocklists.MaxNameLen]byte
	size, next, ok := readNameTo(&buf, msg, off)
	return blocklists.Name(buf[:size]), next, ok
}

// readNameTo is readName into buf.
func readNameTo(buf *[blocklists.MaxNameLen]byte, msg []byte, off int) (size, next int, ok bool) {
	start := off // of the piece that is being read
	for {
		if off >= len(msg) {
			return 0, 0, false
		}
		c := int(msg[off])
		switch c >> 6 {
		case 0:
			if c == 0 {
				if next == 0 {
					next = off + 1
				}
				return size, next, true
			}
			end := off + 1 + c
			if end > len(msg) || size+1+c > len(buf) {
				return 0, 0, false
			}
			buf[size] = byte(c)
			for i, b := range msg[off+1 : end] {
				if 'A' <= b && b <= 'Z' {
					b += 'a' - 'A'
				}
				buf[size+1+i] = b
			}
			size += 1 + c
			off = end
		case 3:
			if off+1 >= len(msg) {
				return 0, 0, false
			}
			if next == 0 {
				next = off + 2
			}
			to := (c&0x3F)<<8 | int(msg[off+1])
			if to < headerLen || to >= start {
				return 0, 0, false
			}
			off, start = to, to
		default: // RFC 6891 §5: extended label types are gone
			return 0, 0, false
		}
	}
}

// record is one resource record of a message, as offsets into it.
type record struct {
	owner      blocklists.Name
	rtype      uint16
	class      uint16
	ttlAt      int
	data, next int // the record's data is msg[data:next]
}

// ttl returns the word that is the TTL of all records but OPT.
func (r record) ttl(msg []byte) uint32 { return binary.BigEndian.Uint32(msg[r.ttlAt:]) }

// readRecord reads the record at off.
func readRecord(msg []byte, off int) (r record, ok bool) {
	r.owner, off, ok = readName(msg, off)
	if !ok || off+10 > len(msg) {
		return r, false
	}
	r.rtype = binary.BigEndian.Uint16(msg[off:])
	r.class = binary.BigEndian.Uint16(msg[off+2:])
	r.ttlAt = off + 4
	r.data = off + 10
	r.next = r.data + int(binary.BigEndian.Uint16(msg[off+8:]))
	return r, r.next <= len(msg)
}

// target returns the name that a record of an answer leads to: CNAME, DNAME,
// and the TargetName of SVCB and HTTPS, where the root means the owner itself
// (RFC 9460 §2.5) or nothing at all.
func (r record) target(msg []byte) (n blocklists.Name, ok bool) {
	at := r.data
	switch r.rtype {
	case typeCNAME, typeDNAME:
	case typeSVCB, typeHTTPS:
		at += 2 // SvcPriority
	default:
		return "", false
	}
	n, next, ok := readName(msg[:r.next], at)
	return n, ok && next <= r.next
}

func word(msg []byte, at int) uint16       { return binary.BigEndian.Uint16(msg[at:]) }
func putWord(msg []byte, at int, v uint16) { binary.BigEndian.PutUint16(msg[at:], v) }
func appendWord(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendLong(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
