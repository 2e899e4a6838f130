package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// What the first family is made of.
const (
	homeName     = "Home"
	everyoneName = "Everyone"
	adultsName   = "Adults"
)

// makeFamily makes the first family of a new database.
func (db *DB) makeFamily(ctx context.Context, o Options) error {
	var have int
	if err := db.read.QueryRowContext(ctx, `SELECT count(*) FROM families`).Scan(&have); err != nil || have > 0 {
		return err
	}
	zone, preset := o.Zone, policy.BandC
	if zone == "" {
		zone = serverZone()
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return fmt.Errorf("making the first family: time zone %q: %w", zone, err)
	}
	if o.Preset != nil {
		preset = *o.Preset
	}
	return db.transact(ctx, func(tx *sql.Tx) error {
		var family, everyone int64
		if err := tx.QueryRowContext(ctx, `
			INSERT INTO families (name, zone, default_profile_id, revision) VALUES ($1, $2, 0, 0) RETURNING family_id`,
			homeName, zone).Scan(&family); err != nil {
			return err
		}
		e := &edit{ctx: ctx, tx: tx, family: family, now: db.now()}
		everyone, err := e.insertProfile(everyoneName, preset)
		if err != nil {
			return err
		}
		if _, err := e.insertProfile(adultsName, policy.Adult); err != nil {
			return err
		}
		if err := e.exec(`UPDATE families SET default_profile_id = $2 WHERE family_id = $1`, family, everyone); err != nil {
			return err
		}
		return e.record(db.who, fmt.Sprintf("made the family %s with profile %s (preset %s) for every device, and profile %s", homeName, everyoneName, preset, adultsName))
	})
}

// Family returns the first family (there is one today) as its guardians chose,
// and its revision. The caller owns it. A device whose exemption has ended is
// shown on the profile that it goes back to.
func (db *DB) Family(ctx context.Context) (f *policy.Family, revision uint64, err error) {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one moment for all tables
	if err != nil {
		return nil, 0, fmt.Errorf("reading the family: %w", explain(err))
	}
	defer tx.Rollback()
	r := &reader{ctx: ctx, tx: tx, now: db.now()}
	if f, revision, err = r.load(); err != nil {
		return nil, 0, fmt.Errorf("reading the family: %w", explain(err))
	}
	return f, revision, nil
}

// reader reads one family in one transaction.
type reader struct {
	ctx context.Context
	tx  *sql.Tx
	now time.Time
}

func (r *reader) load() (*policy.Family, uint64, error) {
	f := &policy.Family{}
	var revision int64
	if err := r.tx.QueryRowContext(r.ctx, `
		SELECT family_id, name, zone, default_profile_id, revision FROM families ORDER BY family_id LIMIT 1`).
		Scan(&f.ID, &f.Name, &f.Zone, &f.Default, &revision); err != nil {
		return nil, 0, err
	}
	for _, step := range []func(*policy.Family) error{r.profiles, r.choices, r.rules, r.devices, r.networks} {
		if err := step(f); err != nil {
			return nil, 0, err
		}
	}
	return f, uint64(revision), nil
}

// each calls scan for every row that a family has.
func (r *reader) each(f *policy.Family, query string, scan func(*sql.Rows) error) error {
	rows, err := r.tx.QueryContext(r.ctx, query, int64(f.ID))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *reader) profiles(f *policy.Family) error {
	return r.each(f, `SELECT profile_id, name, preset FROM profiles WHERE family_id = $1 ORDER BY profile_id`, func(rows *sql.Rows) error {
		p := policy.Profile{Categories: map[blocklists.Category]policy.Choice{}, Services: map[string]policy.Choice{}}
		var preset string
		err := rows.Scan(&p.ID, &p.Name, &preset)
		if err == nil {
			p.Preset, err = policy.ParsePreset(preset)
		}
		if err != nil {
			return fmt.Errorf("profile %q: %w", p.Name, err)
		}
		f.Profiles = append(f.Profiles, p)
		return nil
	})
}

func (r *reader) choices(f *policy.Family) error {
	return r.each(f, `SELECT profile_id, kind, subject, choice FROM choices WHERE family_id = $1`, func(rows *sql.Rows) error {
		var id policy.ProfileID
		var kind, subject, word string
		if err := rows.Scan(&id, &kind, &subject, &word); err != nil {
			return err
		}
		p, err := profileOf(f, id)
		if err != nil {
			return err
		}
		choice, err := policy.ParseChoice(word)
		if err != nil {
			return fmt.Errorf("profile %q, %s %q: %w", p.Name, kind, subject, err)
		}
		if kind == kindService {
			p.Services[subject] = choice
			return nil
		}
		c, err := blocklists.ParseCategory(subject)
		if err != nil {
			return fmt.Errorf("profile %q: %w", p.Name, err)
		}
		p.Categories[c] = choice
		return nil
	})
}

func (r *reader) rules(f *policy.Family) error {
	return r.each(f, `SELECT profile_id, rule_id, name, exact, allow, until_at FROM rules WHERE family_id = $1 ORDER BY rule_id`, func(rows *sql.Rows) error {
		var id policy.ProfileID
		var rule policy.Rule
		var name string
		var until int64
		if err := rows.Scan(&id, &rule.ID, &name, &rule.Match, &rule.Allow, &until); err != nil {
			return err
		}
		p, err := profileOf(f, id)
		if err != nil {
			return err
		}
		if rule.Name, err = blocklists.ParseName(name); err != nil {
			return fmt.Errorf("profile %q, rule %d: %w", p.Name, rule.ID, err)
		}
		rule.Until = timeOf(until)
		p.Rules = append(p.Rules, rule)
		return nil
	})
}

func (r *reader) devices(f *policy.Family) error {
	return r.each(f, `SELECT device_id, profile_id, usual_profile_id, name, until_at FROM devices WHERE family_id = $1 ORDER BY device_id`, func(rows *sql.Rows) error {
		var d policy.Device
		var usual policy.ProfileID
		var until int64
		if err := rows.Scan(&d.ID, &d.Profile, &usual, &d.Name, &until); err != nil {
			return err
		}
		if until != 0 {
			d.Until, d.Then = timeOf(until), usual
		}
		if d.Then != 0 && !r.now.Before(d.Until) {
			d.Profile, d.Until, d.Then = usual, time.Time{}, 0
		}
		f.Devices = append(f.Devices, d)
		return nil
	})
}

func (r *reader) networks(f *policy.Family) error {
	at := make(map[policy.DeviceID]*policy.Device, len(f.Devices))
	for i := range f.Devices {
		at[f.Devices[i].ID] = &f.Devices[i]
	}
	return r.each(f, `SELECT device_id, network FROM device_networks WHERE family_id = $1 ORDER BY network`, func(rows *sql.Rows) error {
		var id policy.DeviceID
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || at[id] == nil {
			return fmt.Errorf("network %q of device %d: %w", text, id, err)
		}
		at[id].Networks = append(at[id].Networks, p)
		return nil
	})
}

func profileOf(f *policy.Family, id policy.ProfileID) (*policy.Profile, error) {
	for i := range f.Profiles {
		if f.Profiles[i].ID == id {
			return &f.Profiles[i], nil
		}
	}
	return nil, fmt.Errorf("profile %d does not exist", id)
}

// timeOf returns the time that is stored as ms, the zero time for 0.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// millisOf is the reverse of timeOf.
func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
