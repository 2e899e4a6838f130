package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"

	"kinward/blocklists"
	"kinward/policy"
)

// toDocuments is migration 2: what was spread over a table a kind of thing
// becomes one document a family, and a change keeps what it changed. Changes
// from before keep their sentences, and cannot be undone.
func toDocuments(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range documentSchema {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	r := &oldReader{ctx: ctx, tx: tx}
	families, err := r.families()
	if err != nil {
		return err
	}
	for i := range families {
		if err := r.move(&families[i]); err != nil {
			return fmt.Errorf("moving family %d: %w", families[i].family.ID, err)
		}
	}
	for _, statement := range dropOldSchema {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

var documentSchema = []string{
	// An ID is never used again (AUTOINCREMENT): nothing of a removed family may
	// turn up in another one.
	`CREATE TABLE families2 (
		family_id INTEGER PRIMARY KEY AUTOINCREMENT,
		name      TEXT    NOT NULL,
		name_key  TEXT    NOT NULL, -- what names are compared by
		revision  INTEGER NOT NULL, -- counts the changes
		document  TEXT    NOT NULL  -- JSON of policy.Family
	)`,
	// What a family is told from all others by.
	`CREATE TABLE clues (
		family_id INTEGER NOT NULL,
		kind      TEXT    NOT NULL, -- 'network' or 'token'
		first     TEXT    NOT NULL, -- first address in hexadecimal digits, or the token
		last      TEXT    NOT NULL, -- last address, or the token
		PRIMARY KEY (family_id, kind, first),
		UNIQUE (kind, first)
	)`,
	`CREATE TABLE changes2 (
		family_id INTEGER NOT NULL,
		revision  INTEGER NOT NULL, -- of the family, after the change
		at        INTEGER NOT NULL,
		who       TEXT    NOT NULL,
		what      TEXT    NOT NULL,
		why       TEXT    NOT NULL,
		weakens   TEXT    NOT NULL, -- JSON of []policy.Weakening; '' is not at all
		undoes    INTEGER NOT NULL, -- the revision that it takes back; 0 is none
		delta     TEXT    NOT NULL, -- JSON of policy.Delta; '' cannot be undone
		PRIMARY KEY (family_id, revision)
	)`,
}

var dropOldSchema = []string{
	`INSERT INTO changes2 (family_id, revision, at, who, what, why, weakens, undoes, delta)
		SELECT family_id, revision, at, who, what, '', '', 0, '' FROM changes`,
	`DROP TABLE changes`,
	`DROP TABLE device_networks`,
	`DROP TABLE devices`,
	`DROP TABLE rules`,
	`DROP TABLE choices`,
	`DROP TABLE profiles`,
	`DROP TABLE families`,
	`ALTER TABLE families2 RENAME TO families`,
	`ALTER TABLE changes2 RENAME TO changes`,
	`CREATE INDEX families_name ON families (name_key)`,
}

// oldReader reads the tables of schema 1.
type oldReader struct {
	ctx context.Context
	tx  *sql.Tx
}

type oldFamily struct {
	family   policy.Family
	revision int64
}

// each calls scan for every row of a query.
func (r *oldReader) each(query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := r.tx.QueryContext(r.ctx, query, args...)
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

func (r *oldReader) families() (out []oldFamily, err error) {
	var last int64 // the largest ID that was ever given, removed things' too
	if err := r.tx.QueryRowContext(r.ctx,
		`SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name IN ('profiles', 'rules', 'devices')`).Scan(&last); err != nil {
		return nil, err
	}
	err = r.each(`SELECT family_id, name, zone, default_profile_id, revision FROM families ORDER BY family_id`, func(rows *sql.Rows) error {
		var o oldFamily
		o.family.LastID = last
		if err := rows.Scan(&o.family.ID, &o.family.Name, &o.family.Zone, &o.family.Default, &o.revision); err != nil {
			return err
		}
		out = append(out, o)
		return nil
	})
	return out, err
}

func (r *oldReader) move(o *oldFamily) error {
	f := &o.family
	for _, step := range []func(*policy.Family) error{r.profiles, r.choices, r.rules, r.devices, r.networks} {
		if err := step(f); err != nil {
			return err
		}
	}
	f.Normalize()
	document, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if _, err := r.tx.ExecContext(r.ctx, `INSERT INTO families2 (family_id, name, name_key, revision, document) VALUES ($1, $2, $3, $4, $5)`,
		int64(f.ID), f.Name, policy.NameKey(f.Name), o.revision, string(document)); err != nil {
		return err
	}
	t := &Tx{ctx: r.ctx, tx: r.tx}
	return t.moveClues(&policy.Family{}, f)
}

func (r *oldReader) profiles(f *policy.Family) error {
	return r.each(`SELECT profile_id, name, preset FROM profiles WHERE family_id = $1`, func(rows *sql.Rows) error {
		var p policy.Profile
		var preset string
		err := rows.Scan(&p.ID, &p.Name, &preset)
		if err == nil {
			p.Preset, err = policy.ParsePreset(preset)
		}
		f.Profiles = append(f.Profiles, p)
		return err
	}, int64(f.ID))
}

func (r *oldReader) choices(f *policy.Family) error {
	return r.each(`SELECT profile_id, kind, subject, choice FROM choices WHERE family_id = $1`, func(rows *sql.Rows) error {
		var id policy.ProfileID
		var kind, subject, word string
		if err := rows.Scan(&id, &kind, &subject, &word); err != nil {
			return err
		}
		choice, err := policy.ParseChoice(word)
		if err != nil {
			return err
		}
		p := f.ProfileByID(id)
		if kind == "service" {
			if p.Services == nil {
				p.Services = map[string]policy.Choice{}
			}
			p.Services[subject] = choice
			return nil
		}
		c, err := blocklists.ParseCategory(subject)
		if p.Categories == nil {
			p.Categories = map[blocklists.Category]policy.Choice{}
		}
		p.Categories[c] = choice
		return err
	}, int64(f.ID))
}

func (r *oldReader) rules(f *policy.Family) error {
	return r.each(`SELECT profile_id, rule_id, name, exact, allow, until_at FROM rules WHERE family_id = $1`, func(rows *sql.Rows) error {
		var id policy.ProfileID
		var rule policy.Rule
		var name string
		var until int64
		if err := rows.Scan(&id, &rule.ID, &name, &rule.Match, &rule.Allow, &until); err != nil {
			return err
		}
		var err error
		rule.Name, err = blocklists.ParseName(name)
		rule.Until = instant(until)
		p := f.ProfileByID(id)
		p.Rules = append(p.Rules, rule)
		return err
	}, int64(f.ID))
}

func (r *oldReader) devices(f *policy.Family) error {
	return r.each(`SELECT device_id, profile_id, usual_profile_id, name, until_at FROM devices WHERE family_id = $1`, func(rows *sql.Rows) error {
		var d policy.Device
		var until int64
		err := rows.Scan(&d.ID, &d.Profile, &d.Then, &d.Name, &until)
		d.Until = instant(until)
		f.Devices = append(f.Devices, d)
		return err
	}, int64(f.ID))
}

func (r *oldReader) networks(f *policy.Family) error {
	at := make(map[policy.DeviceID]*policy.Device, len(f.Devices))
	for i := range f.Devices {
		at[f.Devices[i].ID] = &f.Devices[i]
	}
	return r.each(`SELECT device_id, network FROM device_networks WHERE family_id = $1`, func(rows *sql.Rows) error {
		var id policy.DeviceID
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		p, err := netip.ParsePrefix(text)
		at[id].Networks = append(at[id].Networks, p)
		return err
	}, int64(f.ID))
}
