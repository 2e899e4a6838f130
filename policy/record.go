package policy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
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

// used finds clues that two devices of a family have.
type used map[string]*Device

func (u used) by(d *Device, what, clue string) (again bool, err error) {
	other, ok := u[what+clue]
	if ok && other != d {
		return false, fmt.Errorf("compiling device %q: %s %s already belongs to %q; a %s is one device", d.Name, what, clue, other.Name, what)
	}
	u[what+clue] = d
	return ok, nil
}

// canonical returns a network as the directory compares them.
func canonical(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	} else if a.Zone() != "" {
		p = netip.PrefixFrom(a.WithZone(""), p.Bits())
	}
	return p.Masked()
}

type placed[T any] struct {
	clue  T
	place int
}

// makeRecord writes a family's record. policies are the numbers of its
// profiles' policies.
func makeRecord(f *Family, revision uint64, policies []uint32, guarded bool) ([]byte, error) {
	if len(f.Profiles) > maxPlaces || len(f.Devices) > maxPlaces {
		return nil, fmt.Errorf("compiling family %q: it has %d profiles and %d devices; at most %d can be known", f.Name, len(f.Profiles), len(f.Devices), maxPlaces)
	}
	places := make(map[ProfileID]int, len(f.Profiles))
	largest := uint64(0)
	for i, p := range f.Profiles {
		places[p.ID] = i
		largest = max(largest, uint64(p.ID))
	}
	for _, d := range f.Devices {
		largest = max(largest, uint64(d.ID))
	}
	flags, place, id := byte(0), 1, 1
	if guarded {
		flags |= flagGuarded
	}
	if max(len(f.Profiles), len(f.Devices)) >= math.MaxUint8 {
		flags, place = flags|flagWidePlaces, 2
	}
	for i, limit := range []uint64{math.MaxUint8, math.MaxUint16, math.MaxUint32} {
		if largest > limit {
			flags, id = flags&^(3<<shiftIDWidth)|byte(i+1)<<shiftIDWidth, 2<<i
		}
	}
	standard, ok := places[f.Default]
	if !ok && f.Default != 0 {
		return nil, fmt.Errorf("compiling family %q: its default profile %d does not exist", f.Name, f.Default)
	}
	if ok {
		standard++
	}

	var devices, ends, tokens, networks []byte
	var macs []placed[MAC]
	var ipv4, ipv6, prefixes []placed[netip.Prefix]
	var n [numSections]int
	seen := make(used, 4*len(f.Devices))
	addTokens := func(d *Device, at int) error {
		for _, t := range d.Tokens {
			t = strings.ToLower(t)
			if t == "" || len(t) > maxToken {
				return fmt.Errorf("compiling device %q: its token %q is none; it has 1 to %d bytes", d.Name, clip(t), maxToken)
			}
			again, err := seen.by(d, "token", t)
			if err != nil {
				return err
			}
			if !again {
				tokens = appendNumber(append(append(tokens, byte(len(t))), t...), uint64(at), place)
				n[atTokens]++
			}
		}
		return nil
	}
	for i := range f.Devices {
		d := &f.Devices[i]
		profile, ok := places[d.Profile]
		if !ok {
			return nil, fmt.Errorf("compiling device %q: its profile %d does not exist", d.Name, d.Profile)
		}
		devices = appendNumber(appendNumber(devices, uint64(d.ID), id), uint64(profile), place)
		then := standard
		if d.Then != 0 {
			p, ok := places[d.Then]
			if !ok {
				return nil, fmt.Errorf("compiling device %q: profile %d, which is to follow, does not exist", d.Name, d.Then)
			}
			then = p + 1
		}
		if !d.Until.IsZero() {
			ends = appendNumber(ends, uint64(i), place)
			ends = appendNumber(ends, uint64(endOf(d.Until)), 8)
			ends = appendNumber(ends, uint64(then), place)
			n[atEnds]++
		}
		for _, p := range d.Networks {
			if !p.IsValid() {
				return nil, fmt.Errorf("compiling device %q: its network %s is none", d.Name, p)
			}
			p = canonical(p)
			again, err := seen.by(d, "network", p.String())
			if err != nil {
				return nil, err
			}
			switch {
			case again:
			case !p.IsSingleIP():
				prefixes = append(prefixes, placed[netip.Prefix]{p, i})
			case p.Addr().Is4():
				ipv4 = append(ipv4, placed[netip.Prefix]{p, i})
			default:
				ipv6 = append(ipv6, placed[netip.Prefix]{p, i})
			}
		}
		for _, m := range d.MACs {
			again, err := seen.by(d, "hardware address", m.String())
			if err != nil {
				return nil, err
			}
			if !again {
				macs = append(macs, placed[MAC]{m, i})
			}
		}
		if err := addTokens(d, i); err != nil {
			return nil, err
		}
	}
	whole := &Device{Name: "the family as a whole", Tokens: f.Tokens}
	if err := addTokens(whole, 1<<(8*place)-1); err != nil {
		return nil, err
	}
	family := map[netip.Prefix]bool{}
	for _, p := range f.Networks {
		if !p.IsValid() {
			return nil, fmt.Errorf("compiling family %q: its network %s is none", f.Name, p)
		}
		if p = canonical(p); !family[p] {
			family[p] = true
			networks = appendPrefix(networks, p)
			n[atNetworks]++
		}
	}

	byAddr := func(a, b placed[netip.Prefix]) int { return a.clue.Addr().Compare(b.clue.Addr()) }
	slices.SortFunc(ipv4, byAddr)
	slices.SortFunc(ipv6, byAddr)
	slices.SortFunc(macs, func(a, b placed[MAC]) int { return bytes.Compare(a.clue[:], b.clue[:]) })
	slices.SortStableFunc(prefixes, func(a, b placed[netip.Prefix]) int { return cmp.Compare(b.clue.Bits(), a.clue.Bits()) })
	n[atProfiles], n[atDevices] = len(f.Profiles), len(f.Devices)
	n[atMACs], n[atIPv4], n[atIPv6], n[atPrefixes] = len(macs), len(ipv4), len(ipv6), len(prefixes)

	b := binary.AppendUvarint([]byte{flags}, uint64(f.ID))
	b = binary.AppendUvarint(b, revision)
	b = appendNumber(b, uint64(standard), place)
	for _, n := range n {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for i, p := range f.Profiles {
		b = appendNumber(appendNumber(b, uint64(p.ID), id), uint64(policies[i]), policyWidth)
	}
	b = append(append(b, devices...), ends...)
	for _, m := range macs {
		b = appendNumber(append(b, m.clue[:]...), uint64(m.place), place)
	}
	for _, a := range append(ipv4, ipv6...) {
		b = appendNumber(append(b, a.clue.Addr().AsSlice()...), uint64(a.place), place)
	}
	for _, p := range prefixes {
		b = appendNumber(appendPrefix(b, p.clue), uint64(p.place), place)
	}
	return append(append(b, tokens...), networks...), nil
}

// endOf returns the first whole second that is not before a device's end: a clock
// is held against it to the nanosecond (see asker), and no choice of profile ends
// early. Those of rules, grants and pauses are held against whole seconds, and cut
// off; see timed.
func endOf(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
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
