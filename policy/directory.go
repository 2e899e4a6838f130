package policy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"

	"kinward/blocklists"
)

// State is what a question is decided with: an index, and a directory that was
// compiled against it. The two are swapped together, so that the numbers of
// services in a policy always mean the services of the index.
type State struct {
	Index     *blocklists.Index
	Directory *Directory
}

// Directory is the immutable snapshot of who is who and which policy applies.
type Directory struct {
	revision  uint64
	devices   bart.Table[int32] // network → index in askers
	askers    []deviceAsker
	household Asker // who asks when nothing tells
	names     map[ProfileID]string
	device    map[DeviceID]string
}

type deviceAsker struct {
	asker Asker
	until time.Time
	then  Asker // from until on
}

// Asker is who asks a question and which policy applies to them.
type Asker struct {
	Family  FamilyID
	Profile ProfileID
	Device  DeviceID // 0: not a device we know
	Policy  *Policy  // never nil
	// Guarded says that somebody in the family is restricted. Then nobody's
	// answers may live long: an exemption ends, a device changes hands.
	Guarded bool
	// Until is when another policy begins to apply; the zero time is never.
	Until time.Time
}

// Clues is what the wire tells about an asker.
type Clues struct {
	Addr netip.Addr // the source address
}

// NewDirectory compiles one family against an index. The error says which
// profile or device is wrong and what would be right.
func NewDirectory(f *Family, presets *Presets, x *blocklists.Index, revision uint64) (*Directory, error) {
	d := &Directory{revision: revision, names: map[ProfileID]string{}, device: map[DeviceID]string{}}
	policies := make(map[ProfileID]*Policy, len(f.Profiles))
	b := newBasis(presets, x)
	guarded := false
	for i := range f.Profiles {
		p := &f.Profiles[i]
		src := sourceOf(f, p, presets)
		compiled, err := compilePolicy(b, &src)
		if err != nil {
			return nil, fmt.Errorf("compiling profile %q: %w", p.Name, err)
		}
		policies[p.ID] = compiled
		guarded = guarded || compiled.Restricted
		d.names[p.ID] = p.Name
	}
	household, ok := policies[f.Default]
	if !ok {
		return nil, fmt.Errorf("compiling family %q: its default profile %d does not exist", f.Name, f.Default)
	}
	d.household = Asker{Family: f.ID, Profile: f.Default, Policy: household, Guarded: guarded}
	for _, dev := range f.Devices {
		p, ok := policies[dev.Profile]
		if !ok {
			return nil, fmt.Errorf("compiling device %q: its profile %d does not exist", dev.Name, dev.Profile)
		}
		d.device[dev.ID] = dev.Name
		for _, n := range dev.Networks {
			if other, ok := d.devices.Get(n.Masked()); ok {
				return nil, fmt.Errorf("compiling device %q: network %s already belongs to %q; a network is one device",
					dev.Name, n, d.device[d.askers[other].asker.Device])
			}
			d.devices.Insert(n.Masked(), int32(len(d.askers)))
		}
		then := dev.Then
		if then == 0 {
			then = f.Default
		}
		after, ok := policies[then]
		if !ok {
			return nil, fmt.Errorf("compiling device %q: profile %d, which is to follow, does not exist", dev.Name, then)
		}
		d.askers = append(d.askers, deviceAsker{
			asker: Asker{Family: f.ID, Profile: dev.Profile, Device: dev.ID, Policy: p, Guarded: guarded, Until: dev.Until},
			until: dev.Until,
			then:  Asker{Family: f.ID, Profile: then, Device: dev.ID, Policy: after, Guarded: guarded},
		})
	}
	return d, nil
}

// Identify returns who asks. A device is found by the narrowest network that
// holds its address; without one the family's default profile applies. It does
// not allocate.
func (d *Directory) Identify(c Clues, now time.Time) Asker {
	i, ok := d.devices.Lookup(c.Addr.Unmap().WithZone(""))
	if !ok {
		return d.household
	}
	a := &d.askers[i]
	if !a.until.IsZero() && !now.Before(a.until) {
		return a.then
	}
	return a.asker
}

// Household returns who asks when nothing tells: the family's default profile.
func (d *Directory) Household() Asker { return d.household }

// Revision numbers the state of the families' choices; it is kept with every
// attempt.
func (d *Directory) Revision() uint64 { return d.revision }

// ProfileName returns what guardians call a profile.
func (d *Directory) ProfileName(id ProfileID) string { return d.names[id] }

// DeviceName returns what guardians call a device, "" for one unknown.
func (d *Directory) DeviceName(id DeviceID) string { return d.device[id] }
