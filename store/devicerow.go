package store

import (
	"database/sql"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// deviceRow is a stored device.
type deviceRow struct {
	id, profile, usual int64
	name               string
	until              time.Time
	networks           []netip.Prefix
}

// device finds a device by its name, or by an address or network that is its
// own. One that only lies within a device's network is refused by name: what is
// done to it would be done to all of that device.
func (e *edit) device(s string) (deviceRow, error) {
	all, err := e.devices()
	if err != nil {
		return deviceRow{}, err
	}
	network, notNetwork := ParseNetwork(s)
	if _, err := netip.ParsePrefix(strings.TrimSpace(s)); err == nil && notNetwork != nil {
		return deviceRow{}, notNetwork // a network, and what is wrong with it
	}
	clean, _ := cleanName(s)
	var known []string
	for _, d := range all {
		if nameKey(d.name) == nameKey(clean) {
			return d, nil
		}
		known = append(known, d.name)
		for _, n := range d.networks {
			switch {
			case notNetwork != nil:
			case n == network:
				return d, nil
			case n.Overlaps(network):
				return deviceRow{}, refuse(ErrConflict, "%s overlaps %s, which is device %q; name that device, or change its network first",
					networkText(network), networkText(n), d.name)
			}
		}
	}
	if len(known) == 0 {
		return deviceRow{}, refuse(ErrNotFound, "there is no such device, and none at all yet; give the device's address")
	}
	return deviceRow{}, refuse(ErrNotFound, "there is no such device; there are: %s", strings.Join(known, ", "))
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

func (e *edit) devices() ([]deviceRow, error) {
	rows, err := e.tx.QueryContext(e.ctx, `
		SELECT d.device_id, d.profile_id, d.usual_profile_id, d.name, d.until_at, n.network
		FROM devices d LEFT JOIN device_networks n ON n.family_id = d.family_id AND n.device_id = d.device_id
		WHERE d.family_id = $1 ORDER BY d.device_id, n.network`, e.family)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []deviceRow
	for rows.Next() {
		var d deviceRow
		var until int64
		var text sql.NullString
		if err := rows.Scan(&d.id, &d.profile, &d.usual, &d.name, &until, &text); err != nil {
			return nil, err
		}
		d.until = timeOf(until)
		if n := len(out); n == 0 || out[n-1].id != d.id {
			out = append(out, d)
		}
		if !text.Valid {
			continue
		}
		network, err := netip.ParsePrefix(text.String)
		if err != nil {
			return nil, err
		}
		last := &out[len(out)-1]
		last.networks = append(last.networks, network)
	}
	return out, rows.Err()
}

// freeDeviceName checks a name for a device; self is the one that gets it.
func (e *edit) freeDeviceName(name string, self int64) (string, error) {
	name, err := cleanName(name)
	if err != nil {
		return "", err
	}
	if _, err := ParseNetwork(name); err == nil {
		return "", refuse(ErrInvalid, "the name %q is an address, and would be taken for one; choose another", name)
	}
	all, err := e.devices()
	if err != nil {
		return "", err
	}
	for _, d := range all {
		if d.id != self && nameKey(d.name) == nameKey(name) {
			return "", refuse(ErrConflict, "there is a device %q already (%s); choose another name", d.name, networksText(d.networks))
		}
	}
	return name, nil
}

func (e *edit) insertDevice(name string, profile, usual int64, networks []netip.Prefix, until time.Time) (deviceRow, error) {
	d := deviceRow{profile: profile, usual: usual, until: until}
	var err error
	if d.name, err = e.freeDeviceName(name, 0); err != nil {
		return d, err
	}
	if err := e.later(until); err != nil {
		return d, err
	}
	if err := e.tx.QueryRowContext(e.ctx, `
		INSERT INTO devices (family_id, profile_id, usual_profile_id, name, name_key, until_at)
		VALUES ($1, $2, $3, $4, $5, $6) RETURNING device_id`,
		e.family, profile, usual, d.name, nameKey(d.name), millisOf(until)).Scan(&d.id); err != nil {
		return d, err
	}
	return d, e.setNetworks(&d, networks)
}

func (e *edit) updateDevice(d deviceRow) error {
	return e.exec(`UPDATE devices SET profile_id = $3, usual_profile_id = $4, name = $5, name_key = $6, until_at = $7
		WHERE family_id = $1 AND device_id = $2`,
		e.family, d.id, d.profile, d.usual, d.name, nameKey(d.name), millisOf(d.until))
}

// setNetworks replaces a device's networks. Networks of two devices must not
// overlap: an address belongs to one device, and to the one its guardian thinks.
func (e *edit) setNetworks(d *deviceRow, networks []netip.Prefix) error {
	if len(networks) == 0 {
		return refuse(ErrInvalid, "it needs at least one address or network to be recognised by, e.g. 192.168.1.20")
	}
	all, err := e.devices()
	if err != nil {
		return err
	}
	d.networks = nil
	for _, n := range networks {
		if n, err = cleanNetwork(n); err != nil {
			return err
		}
		for _, own := range d.networks {
			if own.Overlaps(n) {
				return refuse(ErrConflict, "%s and %s overlap; give the larger one alone", networkText(own), networkText(n))
			}
		}
		for _, other := range all {
			for _, o := range other.networks {
				if other.id != d.id && o.Overlaps(n) {
					return refuse(ErrConflict, "%s already belongs to device %q (%s); remove it there first", networkText(n), other.name, networkText(o))
				}
			}
		}
		d.networks = append(d.networks, n)
	}
	if err := e.exec(`DELETE FROM device_networks WHERE family_id = $1 AND device_id = $2`, e.family, d.id); err != nil {
		return err
	}
	for _, n := range d.networks {
		if err := e.exec(`INSERT INTO device_networks (family_id, network, device_id) VALUES ($1, $2, $3)`, e.family, n.String(), d.id); err != nil {
			return err
		}
	}
	return nil
}
