package policy

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
)

// A record is what the directory knows of one family, in bytes:
//
//	flags, family ID, revision, the default profile's place
//	how many profiles, devices, ends, MACs, IPv4, IPv6, prefixes, tokens, networks
//	profiles   ID, number of its policy
//	devices    ID, place of its profile
//	ends       place of the device, Unix seconds, place of the profile that follows
//	MACs       6 bytes, place of the device; sorted
//	IPv4, IPv6 4 or 16 bytes, place of the device; sorted
//	prefixes   kind, bytes, place of the device; the longest first
//	tokens     length, bytes, place of the device, or all ones for the whole family
//	networks   kind, bytes: where the family asks from
//
// The family ID, the revision and counts are varints, places and IDs as wide as the family needs.
type record struct {
	family   FamilyID
	revision uint64
	guarded  bool
	standard int // the default profile's place +1; 0 refuses unknown devices
	place    int // the width of a place
	id       int // the width of an ID
	n        [numSections]int
	rest     []byte // the sections
}

const (
	atProfiles = iota
	atDevices
	atEnds
	atMACs
	atIPv4
	atIPv6
	atPrefixes
	atTokens
	atNetworks
	numSections
)

const (
	flagGuarded = 1 << iota
	flagWidePlaces
	shiftIDWidth = 2 // two bits: 1, 2, 4 or 8 bytes
	policyWidth  = 4
	maxPlaces    = math.MaxUint16 - 1
)

// openRecord reads a record's head.
func openRecord(b []byte) record {
	flags := b[0]
	r := record{guarded: flags&flagGuarded != 0, place: 1, id: 1 << (flags >> shiftIDWidth & 3)}
	if flags&flagWidePlaces != 0 {
		r.place = 2
	}
	family, n := binary.Uvarint(b[1:])
	r.family, b = FamilyID(family), b[1+n:]
	r.revision, n = binary.Uvarint(b)
	b = b[n:]
	r.standard, b = int(number(b[:r.place])), b[r.place:]
	for i := range r.n {
		if b[0] < 0x80 { // nearly always
			r.n[i], b = int(b[0]), b[1:]
			continue
		}
		v, n := binary.Uvarint(b)
		r.n[i], b = int(v), b[n:]
	}
	r.rest = b
	return r
}

// number reads a little-endian number of 1, 2, 4 or 8 bytes.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func appendNumber(b []byte, v uint64, width int) []byte {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], v)
	return append(b, n[:width]...)
}

// width returns the size of an entry of a section where all have the same.
func (r *record) width(section int) int {
	switch section {
	case atProfiles:
		return r.id + policyWidth
	case atDevices:
		return r.id + r.place
	case atEnds:
		return r.place + 8 + r.place
	case atMACs:
		return 6 + r.place
	case atIPv4:
		return 4 + r.place
	}
	return 16 + r.place
}

// section returns the entries of a section where all have the same size, or
// what begins with those that have not.
func (r *record) section(s int) []byte {
	off := 0
	for i := atProfiles; i < s && i < atPrefixes; i++ {
		off += r.n[i] * r.width(i)
	}
	if s >= atPrefixes {
		return r.rest[off:]
	}
	return r.rest[off : off+r.n[s]*r.width(s)]
}

// profile returns a profile's ID and the number of its policy.
func (r *record) profile(place int) (ProfileID, uint32) {
	e := r.rest[place*(r.id+policyWidth):]
	return ProfileID(number(e[:r.id])), binary.LittleEndian.Uint32(e[r.id:])
}

// device returns a device's ID and the place of its profile.
func (r *record) device(place int) (DeviceID, int) {
	e := r.section(atDevices)[place*r.width(atDevices):]
	return DeviceID(number(e[:r.id])), int(number(e[r.id : r.id+r.place]))
}

// end returns when a device's profile ends and the place of the one that
// follows (+1; 0 is none, so that the device is refused).
func (r *record) end(device int) (until int64, then int, ok bool) {
	w := r.width(atEnds)
	for e := r.section(atEnds); len(e) > 0; e = e[w:] {
		if int(number(e[:r.place])) == device {
			return int64(binary.LittleEndian.Uint64(e[r.place:])), int(number(e[r.place+8 : w])), true
		}
	}
	return 0, 0, false
}

// search finds a key in a sorted section, and returns the place beside it.
func (r *record) search(section int, key []byte) (int, bool) {
	e, w := r.section(section), r.width(section)
	lo, hi := 0, r.n[section]
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch bytes.Compare(e[mid*w:mid*w+len(key)], key) {
		case 0:
			return int(number(e[mid*w+len(key) : (mid+1)*w])), true
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// byMAC returns the place of the device with a hardware address.
func (r *record) byMAC(m MAC) (int, bool) {
	if r.n[atMACs] == 0 {
		return 0, false
	}
	return r.search(atMACs, m[:])
}

// byAddr returns the place of the device with the narrowest network that holds
// an address.
func (r *record) byAddr(a netip.Addr) (int, bool) {
	if d, ok := r.bySingle(a); ok || r.n[atPrefixes] == 0 {
		return d, ok
	}
	b := r.section(atPrefixes)
	for range r.n[atPrefixes] {
		p, size := readPrefix(b)
		if p.Contains(a) {
			return int(number(b[size : size+r.place])), true
		}
		b = b[size+r.place:]
	}
	return 0, false
}

// bySingle returns the place of the device with an address of its own.
func (r *record) bySingle(a netip.Addr) (int, bool) {
	switch {
	case a.Is4() && r.n[atIPv4] > 0:
		k := a.As4()
		return r.search(atIPv4, k[:])
	case a.Is6() && r.n[atIPv6] > 0:
		k := a.As16()
		return r.search(atIPv6, k[:])
	}
	return 0, false
}

// whole is the place that stands beside a token of the family as a whole; no
// device has it (see makeRecord).
func (r *record) whole() int { return 1<<(8*r.place) - 1 }

// tokenOf returns the first token of a device that [NewToken] made, "" where it
// has none.
func (r *record) tokenOf(device int) string {
	b, _ := r.prefixes(nil)
	for range r.n[atTokens] {
		n := int(b[0])
		if token := b[1 : 1+n]; int(number(b[1+n:1+n+r.place])) == device && made(token) {
			return string(token)
		}
		b = b[1+n+r.place:]
	}
	return ""
}

// byToken returns the place of the device with a token, or whole.
func (r *record) byToken(token []byte) (place int, ok bool) {
	b, _ := r.prefixes(nil)
	for range r.n[atTokens] {
		n := int(b[0])
		if string(b[1:1+n]) == string(token) {
			return int(number(b[1+n : 1+n+r.place])), true
		}
		b = b[1+n+r.place:]
	}
	return 0, false
}

// tokens returns what follows the tokens; each gets them, where it is not nil.
func (r *record) tokens(each func(token []byte)) []byte {
	b, _ := r.prefixes(nil)
	for range r.n[atTokens] {
		n := int(b[0])
		if each != nil {
			each(b[1 : 1+n])
		}
		b = b[1+n+r.place:]
	}
	return b
}

// prefixes returns what follows the devices' networks, and whether one is p.
func (r *record) prefixes(p *netip.Prefix) (rest []byte, found bool) {
	b := r.section(atPrefixes)
	for range r.n[atPrefixes] {
		q, size := readPrefix(b)
		found = found || p != nil && q == *p
		b = b[size+r.place:]
	}
	return b, found
}

// networks calls each for the networks that the family asks from.
func (r *record) networks(each func(netip.Prefix)) {
	b := r.tokens(nil)
	for range r.n[atNetworks] {
		p, size := readPrefix(b)
		each(p)
		b = b[size:]
	}
}

// owns reports whether the family as a whole asks from an address of its own.
func (r *record) owns(a netip.Addr) bool {
	if r.n[atNetworks] == 0 {
		return false
	}
	b := r.tokens(nil)
	for range r.n[atNetworks] {
		p, size := readPrefix(b)
		if p.IsSingleIP() && p.Addr() == a {
			return true
		}
		b = b[size:]
	}
	return false
}

// kindIPv6 is added to the length of a prefix of IPv6.
const kindIPv6 = 64

func appendPrefix(b []byte, p netip.Prefix) []byte {
	kind := p.Bits()
	if p.Addr().Is6() {
		kind += kindIPv6
	}
	return append(append(b, byte(kind)), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

// readPrefix reads a prefix and says how many bytes it takes.
func readPrefix(b []byte) (netip.Prefix, int) {
	if bits := int(b[0]); bits < kindIPv6 {
		var a [4]byte
		n := copy(a[:], b[1:1+(bits+7)/8])
		return netip.PrefixFrom(netip.AddrFrom4(a), bits), 1 + n
	}
	bits := int(b[0]) - kindIPv6
	var a [16]byte
	n := copy(a[:], b[1:1+(bits+7)/8])
	return netip.PrefixFrom(netip.AddrFrom16(a), bits), 1 + n
}

// addrs calls each for the single addresses that tell the family: those that it
// asks from, and its devices' public ones. Each comes once.
func (r *record) addrs(each func(netip.Addr)) {
	r.networks(func(p netip.Prefix) {
		if p.IsSingleIP() {
			each(p.Addr())
		}
	})
	for _, s := range [...]int{atIPv4, atIPv6} {
		w := r.width(s)
		for b := r.section(s); len(b) > 0; b = b[w:] {
			if a, _ := netip.AddrFromSlice(b[:w-r.place]); public(a) && !r.owns(a) {
				each(a)
			}
		}
	}
}
