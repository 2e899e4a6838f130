package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kinward/policy"
)

// DeviceChange says what to change about a device; nil leaves as it is.
type DeviceChange struct {
	Name     *string
	Profile  *string        // its name; ends an exemption, and until, unless that is given
	Networks []netip.Prefix // all of them
	Until    *time.Time     // when the profile ends; the zero time is never
}

// AddDevice makes a device on a profile, until a time (the zero time is never).
func (db *DB) AddDevice(ctx context.Context, name, profile string, networks []netip.Prefix, until time.Time) (policy.DeviceID, error) {
	var id int64
	err := db.change(ctx, fmt.Sprintf("adding device %q", clip(name)), func(e *edit) (string, error) {
		p, err := e.profile(profile)
		if err != nil {
			return "", err
		}
		d, err := e.insertDevice(name, p.id, 0, networks, until)
		if err != nil {
			return "", err
		}
		id = d.id
		return fmt.Sprintf("added device %s (%s) to profile %s%s", d.name, networksText(d.networks), p.name, untilText(until)), nil
	})
	return policy.DeviceID(id), err
}

// UpdateDevice changes a device, named by its name, its address or its network.
func (db *DB) UpdateDevice(ctx context.Context, device string, c DeviceChange) error {
	return db.change(ctx, fmt.Sprintf("changing device %q", clip(device)), func(e *edit) (string, error) {
		d, err := e.device(device)
		if err != nil {
			return "", err
		}
		var did []string
		was := d.name
		if c.Name != nil {
			if d.name, err = e.freeDeviceName(*c.Name, d.id); err != nil {
				return "", err
			}
			did = append(did, "its name is "+d.name)
		}
		if c.Profile != nil {
			p, err := e.profile(*c.Profile)
			if err != nil {
				return "", err
			}
			d.profile, d.usual, d.until = p.id, 0, time.Time{}
			did = append(did, "its profile is "+p.name)
		}
		if c.Until != nil {
			if err := e.later(*c.Until); err != nil {
				return "", err
			}
			d.until = *c.Until
			did = append(did, "its profile holds"+untilText(d.until))
		}
		if c.Networks != nil {
			if err := e.setNetworks(&d, c.Networks); err != nil {
				return "", err
			}
			did = append(did, "it asks from "+networksText(d.networks))
		}
		if len(did) == 0 {
			return "", errSame
		}
		return fmt.Sprintf("changed device %s: %s", was, strings.Join(did, ", ")), e.updateDevice(d)
	})
}

// RemoveDevice removes a device, named by its name, its address or its network.
// What was recorded of it stays.
func (db *DB) RemoveDevice(ctx context.Context, device string) error {
	return db.change(ctx, fmt.Sprintf("removing device %q", clip(device)), func(e *edit) (string, error) {
		d, err := e.device(device)
		if err != nil {
			return "", err
		}
		for _, table := range []string{"device_networks", "devices"} {
			if err := e.exec(`DELETE FROM `+table+` WHERE family_id = $1 AND device_id = $2`, e.family, d.id); err != nil {
				return "", err
			}
		}
		return "removed device " + d.name, nil
	})
}

// ExemptDevice puts a device on the adults' profile until a time (the zero time
// is never) and returns it. The device is named by its name, its address or its
// network; for an address or network that is no device yet one is made, called
// "Device 192.168.1.20". A name that is not "" becomes the device's. The adults'
// profile is the first with the preset adult;
// where there is none, "Adults" is made.
func (db *DB) ExemptDevice(ctx context.Context, device, name string, until time.Time) (policy.Device, error) {
	var out policy.Device
	err := db.change(ctx, fmt.Sprintf("exempting device %q", clip(device)), func(e *edit) (string, error) {
		if err := e.later(until); err != nil {
			return "", err
		}
		adults, err := e.adults()
		if err != nil {
			return "", err
		}
		d, err := e.device(device)
		if network, bad := ParseNetwork(device); bad == nil && isNotFound(err) {
			d, err = e.insertDevice("Device "+networkText(network), adults.id, e.usual, []netip.Prefix{network}, until)
		}
		if err != nil {
			return "", err
		}
		if name != "" {
			if d.name, err = e.freeDeviceName(name, d.id); err != nil {
				return "", err
			}
		}
		if d.profile != adults.id {
			d.usual = d.profile
		}
		if d.profile, d.until = adults.id, until; d.profile == d.usual {
			d.usual = 0
		}
		out = policy.Device{ID: policy.DeviceID(d.id), Name: d.name, Profile: policy.ProfileID(d.profile), Networks: d.networks}
		if !until.IsZero() {
			out.Until, out.Then = timeOf(millisOf(until)), policy.ProfileID(d.usual)
		}
		return fmt.Sprintf("exempted device %s (%s)%s: it is on profile %s", d.name, networksText(d.networks), untilText(until), adults.name), e.updateDevice(d)
	})
	return out, err
}

// UnexemptDevice ends an exemption: the device goes back to the profile that it
// had, or to the one that applies to everyone.
func (db *DB) UnexemptDevice(ctx context.Context, device string) error {
	return db.change(ctx, fmt.Sprintf("ending the exemption of device %q", clip(device)), func(e *edit) (string, error) {
		d, err := e.device(device)
		if err != nil {
			return "", err
		}
		all, err := e.profiles()
		if err != nil {
			return "", err
		}
		now := all[slices.IndexFunc(all, func(p profileRow) bool { return p.id == d.profile })]
		if d.usual == 0 && now.preset != policy.Adult {
			return "", refuse(ErrInvalid, "it is not exempt: it is on profile %q", now.name)
		}
		if d.profile = d.usual; d.profile == 0 {
			d.profile = e.usual
		}
		d.usual, d.until = 0, time.Time{}
		back := all[slices.IndexFunc(all, func(p profileRow) bool { return p.id == d.profile })]
		return fmt.Sprintf("ended the exemption of device %s: it is on profile %s", d.name, back.name), e.updateDevice(d)
	})
}

// adults finds or makes the profile of exempt devices.
func (e *edit) adults() (profileRow, error) {
	all, err := e.profiles()
	if err != nil {
		return profileRow{}, err
	}
	for _, p := range all {
		if p.preset == policy.Adult {
			return p, nil
		}
	}
	name, err := e.freeProfileName(adultsName, 0)
	if err != nil {
		return profileRow{}, refuse(ErrConflict, "no profile has the preset adult, and profile %q has another; give one of them the preset adult first", adultsName)
	}
	id, err := e.insertProfile(name, policy.Adult)
	return profileRow{id, name, policy.Adult}, err
}
