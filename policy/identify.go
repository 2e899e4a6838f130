package policy

import (
	"net/netip"
	"time"
)

// Asker is who asks a question and which policy applies to them.
type Asker struct {
	Family  FamilyID
	Profile ProfileID
	Device  DeviceID // 0: not a device we know
	Policy  *Policy  // never nil where the asker is known
	// Revision numbers the state of the family's choices that decides; it is kept
	// with every attempt.
	Revision uint64
	// Guarded says that somebody in the family is restricted. Then nobody's
	// answers may live long: an exemption ends, a device changes hands.
	Guarded bool
	// Until is when another policy begins to apply; the zero time is never.
	Until time.Time
}

// Clues is what the wire tells about an asker.
type Clues struct {
	// Addr is the address that the question came from: a forwarder's where Relayed
	// says so. It tells the family, and the device within it.
	Addr netip.Addr
	// Token is the label of the private-DNS name that was asked, "" where there is
	// none. It decides alone, in upper or lower case; one that was made by [NewToken]
	// may have an alias and a hyphen before it.
	Token string
	// MAC is the hardware address that the link or a trusted forwarder told, zero
	// where none did. It tells a device only within the family that Addr or Token
	// tells.
	MAC MAC
	// Host is the device's own address as a trusted forwarder told it. It tells a
	// device as MAC does, and never a family.
	Host netip.Addr
	// Relayed says that a forwarder told Token, MAC or Host. Addr is its own then,
	// and tells no device: a device that it does not know must not get the
	// forwarder's profile.
	Relayed bool
}

// maxToken is the length of a DNS label (RFC 1035 §2.3.4).
const maxToken = 63

// Identify returns who asks at a time; false says that the question is to be
// refused, and that nothing is known of the asker.
//
// A device's token decides alone, one of a family as a whole tells the family, and
// one that nobody has is refused, as is one by which a forwarder in one family's
// network names another family. Without a token the address tells the family: the
// narrowest network that a family asks from holds it, or else a device has it for
// its own public address, or else it is linked to a family ([Directory.WithLink]),
// or else the home family is meant. A device is looked for within that family and
// nowhere else, by its hardware address, then by the narrowest of the devices'
// networks; what no device has gets the family's default profile. It is refused
// where the family has none, and where no family was told.
//
// It compares clues byte by byte and does not allocate.
func (d *Directory) Identify(c Clues, now time.Time) (Asker, bool) {
	c.Addr = plain(c.Addr)
	if c.Token != "" {
		return d.identifyToken(c, now)
	}
	var r record
	if _, ok := d.ownerAt(&r, c.Addr, now); !ok {
		if d.home == 0 {
			return Asker{}, false
		}
		r = openRecord(d.slabs.record(d.home - 1))
	}
	return d.within(&r, c, now)
}

// IdentifyIn is [Directory.Identify] where the family is known already, whatever
// the address tells. It takes no token.
func (d *Directory) IdentifyIn(family FamilyID, c Clues, now time.Time) (Asker, bool) {
	slot, ok := d.slot(family)
	if !ok || c.Token != "" {
		return Asker{}, false
	}
	c.Addr = plain(c.Addr)
	r := openRecord(d.slabs.record(slot))
	return d.within(&r, c, now)
}

// plain returns an address as the directory compares them.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// within returns who asks in a family.
func (d *Directory) within(r *record, c Clues, now time.Time) (Asker, bool) {
	device, ok := noDevice, false
	if c.MAC != (MAC{}) {
		device, ok = r.byMAC(c.MAC)
	}
	switch {
	case ok:
	case c.Host.IsValid():
		device, ok = r.byAddr(plain(c.Host))
	case !c.Relayed:
		device, ok = r.byAddr(c.Addr)
	}
	if !ok {
		device = noDevice
	}
	return d.asker(r, device, now)
}

func (d *Directory) identifyToken(c Clues, now time.Time) (Asker, bool) {
	if len(c.Token) > maxToken {
		return Asker{}, false
	}
	var folded [maxToken]byte
	for i := range len(c.Token) {
		folded[i] = c.Token[i]
		if 'A' <= c.Token[i] && c.Token[i] <= 'Z' {
			folded[i] += 'a' - 'A'
		}
	}
	token := folded[:len(c.Token)]
	var r record
	slot, device, ok := d.byToken(&r, token, nobody)
	if !ok {
		if token, ok = withoutAlias(token); ok {
			slot, device, ok = d.byToken(&r, token, nobody)
		}
		if !ok {
			return Asker{}, false
		}
	}
	if c.Relayed {
		var at record
		if own, ok := d.ownerAt(&at, c.Addr, now); ok && own != slot {
			return Asker{}, false
		}
	}
	if device == r.whole() {
		return d.within(&r, c, now)
	}
	return d.asker(&r, device, now)
}

// ownerAt returns the slot of the family that has an address for its own, and
// reads its record into r.
func (d *Directory) ownerAt(r *record, a netip.Addr, now time.Time) (uint32, bool) {
	single, whole, found := d.byAddr(r, a, nobody)
	if whole {
		return single, true
	}
	slot, ok := d.networks.Lookup(a)
	if !ok {
		if found {
			return single, true
		}
		if slot, ok = d.linkAt(a, now); !ok {
			return 0, false
		}
	}
	*r = openRecord(d.slabs.record(slot))
	return slot, true
}

// byToken returns the slot of the family, other than the one in slot except,
// that has a token, and the place of the device in its record, which it reads
// into r.
func (d *Directory) byToken(r *record, token []byte, except uint32) (slot uint32, place int, ok bool) {
	slot, ok = d.index.find(d.hash(hashToken, token), func(n uint32) (ok bool) {
		if n&isPolicy != 0 || n == except {
			return false
		}
		*r = openRecord(d.slabs.record(n))
		place, ok = r.byToken(token)
		return ok
	})
	return slot, place, ok
}

// byAddr returns the slot of the family, other than the one in slot except, that
// has an address, and whether it has it as a whole or as one device's own. It
// reads the record into r.
func (d *Directory) byAddr(r *record, a netip.Addr, except uint32) (slot uint32, whole, ok bool) {
	slot, ok = d.index.find(d.hashAddr(a), func(n uint32) bool {
		if n&isPolicy != 0 || n == except {
			return false
		}
		*r = openRecord(d.slabs.record(n))
		if whole = r.owns(a); whole || !public(a) {
			return whole
		}
		_, has := r.bySingle(a)
		return has
	})
	return slot, whole, ok
}

// Household returns who asks at home when nothing tells: the home family's
// default profile. It is false where whoever nothing tells of is refused.
func (d *Directory) Household() (Asker, bool) {
	if d.home == 0 {
		return Asker{}, false
	}
	r := openRecord(d.slabs.record(d.home - 1))
	return d.asker(&r, noDevice, time.Time{})
}

// Device returns who asks from a device of a family at a time, whatever its
// clues; device 0 is whoever is no known device. It is false where there is no
// such family or device, or where they are refused.
func (d *Directory) Device(family FamilyID, device DeviceID, now time.Time) (Asker, bool) {
	slot, ok := d.slot(family)
	if !ok {
		return Asker{}, false
	}
	r := openRecord(d.slabs.record(slot))
	if device == 0 {
		return d.asker(&r, noDevice, now)
	}
	for place := range r.n[atDevices] {
		if id, _ := r.device(place); id == device {
			return d.asker(&r, place, now)
		}
	}
	return Asker{}, false
}

// Profile returns an asker to whom a profile of a family applies, whatever device
// they ask from. It is false where there is no such family or profile.
func (d *Directory) Profile(family FamilyID, profile ProfileID) (Asker, bool) {
	slot, ok := d.slot(family)
	if !ok {
		return Asker{}, false
	}
	r := openRecord(d.slabs.record(slot))
	for place := range r.n[atProfiles] {
		if id, n := r.profile(place); id == profile {
			return Asker{Family: r.family, Profile: id, Policy: d.policies.policy(n), Revision: r.revision, Guarded: r.guarded}, true
		}
	}
	return Asker{}, false
}

const noDevice = -1

// asker returns who asks from the device at a place.
func (d *Directory) asker(r *record, device int, now time.Time) (Asker, bool) {
	a := Asker{Family: r.family, Revision: r.revision, Guarded: r.guarded}
	profile := r.standard - 1
	if device != noDevice {
		a.Device, profile = r.device(device)
		if until, then, ok := r.end(device); ok {
			if end := time.Unix(until, 0); now.Before(end) {
				a.Until = end
			} else {
				profile = then - 1
			}
		}
	}
	if profile < 0 {
		return Asker{}, false
	}
	var n uint32
	a.Profile, n = r.profile(profile)
	a.Policy = d.policies.policy(n)
	return a, true
}

// carrierNAT is the range that carriers share among customers (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// public reports whether an address is one machine's in the whole world, so that
// it can tell a family. The others mean something in one home only: those of
// IsPrivate, and what no machine has for itself, such as groups.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierNAT.Contains(a)
}
