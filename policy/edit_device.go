package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Device finds a device by its name, by an address, network or hardware address
// of its own, or by its private-DNS name's label. An address that only lies
// within a device's network is refused: what is done to it would be done to all
// of that device. What it returns belongs to the family.
func (f *Family) Device(ref string) (*Device, error) {
	network, notNetwork := ParseNetwork(ref)
	if _, err := netip.ParsePrefix(strings.TrimSpace(ref)); err == nil && notNetwork != nil {
		return nil, notNetwork // a network, and what is wrong with it
	}
	var mac MAC
	notMAC := mac.UnmarshalText([]byte(strings.TrimSpace(ref)))
	key := NameKey(ref)
	var known []string
	for i := range f.Devices {
		d := &f.Devices[i]
		if NameKey(d.Name) == key || slices.Contains(d.Tokens, key) || notMAC == nil && slices.Contains(d.MACs, mac) {
			return d, nil
		}
		known = append(known, d.Name)
		if notNetwork != nil {
			continue
		}
		for _, n := range d.Networks {
			switch {
			case n == network:
				return d, nil
			case n.Overlaps(network):
				return nil, refuse(ErrConflict, "%s overlaps %s, which is device %q; name that device, or change its network first",
					NetworkText(network), NetworkText(n), d.Name)
			}
		}
	}
	if len(known) == 0 {
		return nil, refuse(ErrNotFound, "there is no device %q, and none at all yet; give the device's address", clip(ref))
	}
	return nil, refuse(ErrNotFound, "there is no device %q; there are: %s", clip(ref), strings.Join(known, ", "))
}

// freeDeviceName checks a name for a device; self is the one that gets it.
func (f *Family) freeDeviceName(name string, self DeviceID) (string, error) {
	name, err := CleanName(name)
	if err != nil {
		return "", err
	}
	if err := nameIsNoClue(name); err != nil {
		return "", err
	}
	for _, d := range f.Devices {
		if d.ID != self && NameKey(d.Name) == NameKey(name) {
			return "", refuse(ErrConflict, "there is a device %q already (%s); choose another name", d.Name, d.cluesText())
		}
	}
	return name, nil
}

func nameIsNoClue(name string) error {
	var mac MAC
	if _, err := ParseNetwork(name); err == nil || mac.UnmarshalText([]byte(name)) == nil {
		return refuse(ErrInvalid, "the name %q is an address, and would be taken for one; choose another", name)
	}
	return nil
}

// cluesText says what d is recognised by, for texts that everybody in the family
// reads and the history keeps: a private-DNS name is a secret, so only that it has one.
func (d *Device) cluesText() string {
	var parts []string
	for _, n := range d.Networks {
		parts = append(parts, NetworkText(n))
	}
	for _, m := range d.MACs {
		parts = append(parts, m.String())
	}
	if len(d.Tokens) > 0 {
		parts = append(parts, "encrypted DNS")
	}
	return strings.Join(parts, ", ")
}

// setClues cleans what d is recognised by, and refuses what is another's: an
// address belongs to one device, and to the one that its guardian thinks.
func (f *Family) setClues(d *Device) (err error) {
	if len(d.Networks)+len(d.MACs)+len(d.Tokens) == 0 {
		return refuse(ErrInvalid, "it needs at least one address, network, hardware address or private-DNS label to be recognised by, e.g. 192.168.1.20")
	}
	if d.Networks, err = cleanNetworks(d.Networks); err != nil {
		return err
	}
	d.MACs, d.Tokens = slices.Clone(d.MACs), slices.Clone(d.Tokens)
	for i, t := range d.Tokens {
		d.Tokens[i] = strings.ToLower(t)
		if err := checkToken(d.Tokens[i]); err != nil {
			return err
		}
	}
	slices.SortFunc(d.MACs, func(a, b MAC) int { return strings.Compare(string(a[:]), string(b[:])) })
	d.MACs = slices.Compact(d.MACs)
	slices.Sort(d.Tokens)
	d.Tokens = slices.Compact(d.Tokens)
	for i := range f.Devices {
		if o := &f.Devices[i]; o.ID != d.ID {
			if err := sharedClue(d, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// sharedClue says which clue of d is another device's.
func sharedClue(d, other *Device) error {
	for _, n := range d.Networks {
		for _, o := range other.Networks {
			if o.Overlaps(n) {
				return refuse(ErrConflict, "%s already belongs to device %q (%s); remove it there first", NetworkText(n), other.Name, NetworkText(o))
			}
		}
	}
	for _, m := range d.MACs {
		if slices.Contains(other.MACs, m) {
			return refuse(ErrConflict, "%s already belongs to device %q; remove it there first", m, other.Name)
		}
	}
	for _, t := range d.Tokens {
		if slices.Contains(other.Tokens, t) {
			return refuse(ErrConflict, "the private-DNS label %q already belongs to device %q; remove it there first", t, other.Name)
		}
	}
	return nil
}

// checkToken checks that a token can be the first label of a private-DNS name.
func checkToken(t string) error {
	ok := len(t) >= 1 && len(t) <= 63 && t[0] != '-' && t[len(t)-1] != '-'
	for i := range len(t) {
		ok = ok && (t[i] >= 'a' && t[i] <= 'z' || t[i] >= '0' && t[i] <= '9' || t[i] == '-')
	}
	if !ok {
		return refuse(ErrInvalid, "%q cannot be the label of a private-DNS name; use up to 63 letters a to z, digits and hyphens", clip(t))
	}
	return nil
}

// AddDevice makes a device on a profile; d.ID, d.Profile and d.Then are not
// looked at.
func (f *Family) AddDevice(profile string, d Device, now time.Time) (DeviceID, string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return 0, "", err
	}
	d.ID, d.Profile, d.Then = 0, p.ID, 0
	if err := f.insertDevice(&d, now); err != nil {
		return 0, "", err
	}
	return d.ID, fmt.Sprintf("added device %s (%s) to profile %s%s", d.Name, d.cluesText(), p.Name, untilText(d.Until)), nil
}

func (f *Family) insertDevice(d *Device, now time.Time) (err error) {
	if d.Name, err = f.freeDeviceName(d.Name, 0); err != nil {
		return err
	}
	if err := later(d.Until, now); err != nil {
		return err
	}
	if err := f.setClues(d); err != nil {
		return err
	}
	d.ID = DeviceID(f.nextID())
	f.Devices = append(f.Devices, *d)
	return nil
}

// DeviceChange says what to change about a device; nil leaves as it is.
type DeviceChange struct {
	Name     *string
	Profile  *string        // its name; ends an exemption, and until, unless that is given
	Networks []netip.Prefix // all of them; empty but not nil: none
	MACs     []MAC
	Tokens   []string
	Until    *time.Time // when the profile ends; the zero time is never
}

// UpdateDevice changes a device, which is named as for [Family.Device].
func (f *Family) UpdateDevice(ref string, c DeviceChange, now time.Time) (string, error) {
	d, err := f.Device(ref)
	if err != nil {
		return "", err
	}
	var did []string
	was := d.Name
	if c.Name != nil {
		if d.Name, err = f.freeDeviceName(*c.Name, d.ID); err != nil {
			return "", err
		}
		did = append(did, "its name is "+d.Name)
	}
	if c.Profile != nil {
		p, err := f.Profile(*c.Profile)
		if err != nil {
			return "", err
		}
		d.Profile, d.Then, d.Until = p.ID, 0, time.Time{}
		did = append(did, "its profile is "+p.Name)
	}
	if c.Until != nil {
		if err := later(*c.Until, now); err != nil {
			return "", err
		}
		d.Until = *c.Until
		did = append(did, "its profile holds"+untilText(d.Until))
	}
	if c.Networks != nil || c.MACs != nil || c.Tokens != nil {
		if c.Networks != nil {
			d.Networks = c.Networks
		}
		if c.MACs != nil {
			d.MACs = c.MACs
		}
		if c.Tokens != nil {
			d.Tokens = c.Tokens
		}
		if err := f.setClues(d); err != nil {
			return "", err
		}
		did = append(did, "it is recognised by "+d.cluesText())
	}
	if len(did) == 0 {
		return "", ErrSame
	}
	return fmt.Sprintf("changed device %s: %s", was, strings.Join(did, ", ")), nil
}

// RemoveDevice removes a device, which is named as for [Family.Device]. What
// was recorded of it stays.
func (f *Family) RemoveDevice(ref string) (string, error) {
	d, err := f.Device(ref)
	if err != nil {
		return "", err
	}
	id, name := d.ID, d.Name
	f.Devices = slices.DeleteFunc(f.Devices, func(d Device) bool { return d.ID == id })
	return "removed device " + name, nil
}

// ExemptDevice puts a device on the adults' profile until a time (the zero time
// is never) and returns it. The device is named as for [Family.Device]; for an
// address or network that is no device yet one is made, called "Device
// 192.168.1.20". A name that is not "" becomes the device's. The adults' profile
// is the first with the preset adult; where there is none, "Adults" is made.
func (f *Family) ExemptDevice(ref, name string, until, now time.Time) (Device, string, error) {
	if err := later(until, now); err != nil {
		return Device{}, "", err
	}
	adults, err := f.adults()
	if err != nil {
		return Device{}, "", err
	}
	d, err := f.Device(ref)
	if network, bad := ParseNetwork(ref); bad == nil && isNotFound(err) {
		made := Device{
			Name: "Device " + NetworkText(network), Networks: []netip.Prefix{network},
			Profile: adults.ID, Then: f.Default, Until: until,
		}
		if err := f.insertDevice(&made, now); err != nil {
			return Device{}, "", err
		}
		d, err = &f.Devices[len(f.Devices)-1], nil
	}
	if err != nil {
		return Device{}, "", err
	}
	if name != "" {
		if d.Name, err = f.freeDeviceName(name, d.ID); err != nil {
			return Device{}, "", err
		}
	}
	if d.Profile != adults.ID && d.Until.IsZero() { // after a profile that is for a while follows what was to follow it
		d.Then = d.Profile
	}
	if d.Profile, d.Until = adults.ID, until; d.Profile == d.Then {
		d.Then = 0
	}
	return *d, fmt.Sprintf("exempted device %s (%s)%s: it is on profile %s", d.Name, d.cluesText(), untilText(until), adults.Name), nil
}

// UnexemptDevice ends an exemption: the device goes back to the profile that it
// had, or to the one that applies to everyone.
func (f *Family) UnexemptDevice(ref string) (string, error) {
	d, err := f.Device(ref)
	if err != nil {
		return "", err
	}
	now := f.ProfileByID(d.Profile)
	if d.Then == 0 && (now == nil || now.Preset != Adult) {
		return "", refuse(ErrInvalid, "it is not exempt: it is on profile %q", f.profileName(d.Profile))
	}
	back := f.ProfileByID(d.Then)
	if back == nil {
		back = f.ProfileByID(f.Default)
	}
	if back == nil {
		return "", refuse(ErrConflict, "there is no profile for it to go back to, since unknown devices are refused; give it a profile")
	}
	d.Profile, d.Then, d.Until = back.ID, 0, time.Time{}
	return fmt.Sprintf("ended the exemption of device %s: it is on profile %s", d.Name, back.Name), nil
}

// adults finds or makes the profile of exempt devices.
func (f *Family) adults() (*Profile, error) {
	for i := range f.Profiles {
		if f.Profiles[i].Preset == Adult && !f.Profiles[i].Guests {
			return &f.Profiles[i], nil
		}
	}
	if _, _, err := f.AddProfile(adultsName, Adult); err != nil {
		return nil, refuse(ErrConflict, "no profile has the preset adult, and profile %q has another; give one of them the preset adult first", adultsName)
	}
	return &f.Profiles[len(f.Profiles)-1], nil
}
