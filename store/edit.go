package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"kinward/policy"
)

// Kinds of choices.
const (
	kindCategory = "category"
	kindService  = "service"
)

// errSame ends a change that would change nothing.
var errSame = errors.New("nothing to change")

// edit is one change of the family, within its transaction.
type edit struct {
	ctx    context.Context
	tx     *sql.Tx
	family int64
	usual  int64 // the default profile
	now    time.Time
}

// change runs f in a transaction that raises the revision and records what f
// says it did. If f fails nothing changes; doing names the change in the error.
func (db *DB) change(ctx context.Context, doing string, f func(*edit) (what string, err error)) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		e := &edit{ctx: ctx, tx: tx, now: db.now()}
		if err := tx.QueryRowContext(ctx, `SELECT family_id, default_profile_id FROM families ORDER BY family_id LIMIT 1`).
			Scan(&e.family, &e.usual); err != nil {
			return err
		}
		what, err := f(e)
		if err != nil {
			return err
		}
		return e.record(db.who, what)
	})
	if err == nil || errors.Is(err, errSame) {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (e *edit) exec(query string, args ...any) error {
	_, err := e.tx.ExecContext(e.ctx, query, args...)
	return err
}

// record raises the revision and notes the change.
func (e *edit) record(who, what string) error {
	var revision int64
	if err := e.tx.QueryRowContext(e.ctx, `UPDATE families SET revision = revision + 1 WHERE family_id = $1 RETURNING revision`, e.family).
		Scan(&revision); err != nil {
		return err
	}
	return e.exec(`INSERT INTO changes (family_id, revision, at, who, what) VALUES ($1, $2, $3, $4, $5)`,
		e.family, revision, e.now.UnixMilli(), who, what)
}

// later checks the end of something that is to begin now.
func (e *edit) later(until time.Time) error {
	if !until.IsZero() && !until.After(e.now) {
		return refuse(ErrInvalid, "%s is over already; give a time to come, or none for ever", until.Format(time.RFC3339))
	}
	return nil
}

func untilText(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return " until " + until.UTC().Format(time.RFC3339)
}

// profileRow is a stored profile.
type profileRow struct {
	id     int64
	name   string
	preset policy.Preset
}

// profile finds a profile by its name.
func (e *edit) profile(name string) (profileRow, error) {
	all, err := e.profiles()
	if err != nil {
		return profileRow{}, err
	}
	var known []string
	clean, _ := cleanName(name)
	for _, p := range all {
		if nameKey(p.name) == nameKey(clean) {
			return p, nil
		}
		known = append(known, p.name)
	}
	return profileRow{}, refuse(ErrNotFound, "there is no profile %q; there are: %s", clip(name), strings.Join(known, ", "))
}

func (e *edit) profiles() ([]profileRow, error) {
	rows, err := e.tx.QueryContext(e.ctx, `SELECT profile_id, name, preset FROM profiles WHERE family_id = $1 ORDER BY profile_id`, e.family)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []profileRow
	for rows.Next() {
		var p profileRow
		var preset string
		if err := rows.Scan(&p.id, &p.name, &preset); err != nil {
			return nil, err
		}
		if p.preset, err = policy.ParsePreset(preset); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// freeProfileName checks a name for a profile; self is the one that gets it.
func (e *edit) freeProfileName(name string, self int64) (string, error) {
	name, err := cleanName(name)
	if err != nil {
		return "", err
	}
	all, err := e.profiles()
	if err != nil {
		return "", err
	}
	for _, p := range all {
		if p.id != self && nameKey(p.name) == nameKey(name) {
			return "", refuse(ErrConflict, "there is a profile %q already; choose another name", p.name)
		}
	}
	return name, nil
}

func (e *edit) insertProfile(name string, preset policy.Preset) (id int64, err error) {
	if preset > policy.Adult {
		return 0, refuse(ErrInvalid, "preset %d does not exist; take A to E or adult", preset)
	}
	err = e.tx.QueryRowContext(e.ctx, `
		INSERT INTO profiles (family_id, name, name_key, preset) VALUES ($1, $2, $3, $4) RETURNING profile_id`,
		e.family, name, nameKey(name), preset.String()).Scan(&id)
	return id, err
}
