package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Secret is a value with a name, without the value.
type Secret struct {
	Name     string
	Size     int64
	Modified time.Time
}

// Secrets keeps what the server must keep to itself, such as private keys: by
// names whose levels are separated by slashes. Values are never logged, errors
// name names alone, and backups leave all of it out. Safe for concurrent use, by
// many nodes of one database.
type Secrets struct{ db *DB }

// Secrets returns the database's secrets.
func (db *DB) Secrets() *Secrets { return &Secrets{db} }

// Put keeps a value under a name, in the place of what was there. When it returns
// nil, it is on the disk.
func (s *Secrets) Put(ctx context.Context, name string, value []byte) error {
	return putSecret(ctx, s.db.write, name, value, s.db.now())
}

// execer is a database or a transaction that can be written to.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func putSecret(ctx context.Context, q execer, name string, value []byte, now time.Time) error {
	if value == nil {
		value = []byte{}
	}
	_, err := q.ExecContext(ctx, `INSERT INTO secrets (name, value, modified_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, modified_at = excluded.modified_at`, name, value, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keeping secret %q: %w", name, err)
	}
	return nil
}

// Get returns the value under a name. The error wraps [ErrNotFound] where there
// is none.
func (s *Secrets) Get(ctx context.Context, name string) (value []byte, err error) {
	err = s.db.read.QueryRowContext(ctx, `SELECT value FROM secrets WHERE name = $1`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %q: %w", name, err)
	}
	return value, nil
}

// Delete removes what is under a name and all below it. Nothing there is no error.
func (s *Secrets) Delete(ctx context.Context, name string) error {
	return dropSecrets(ctx, s.db.write, name)
}

func dropSecrets(ctx context.Context, q execer, name string) error {
	below, end := levels(name)
	if _, err := q.ExecContext(ctx, `DELETE FROM secrets WHERE name = $1 OR name >= $2 AND name < $3`, name, below, end); err != nil {
		return fmt.Errorf("removing secret %q: %w", name, err)
	}
	return nil
}

// List returns what is under a name and all below it, in order of names; "" is
// everything.
func (s *Secrets) List(ctx context.Context, name string) (out []Secret, err error) {
	query, args := `SELECT name, length(value), modified_at FROM secrets`, []any(nil)
	if name != "" {
		below, end := levels(name)
		query, args = query+` WHERE name = $1 OR name >= $2 AND name < $3`, []any{name, below, end}
	}
	rows, err := s.db.read.QueryContext(ctx, query+` ORDER BY name`, args...)
	if err != nil {
		return nil, fmt.Errorf("listing secrets under %q: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var one Secret
		var modified int64
		if err := rows.Scan(&one.Name, &one.Size, &modified); err != nil {
			return nil, fmt.Errorf("listing secrets under %q: %w", name, err)
		}
		one.Modified = time.UnixMilli(modified)
		out = append(out, one)
	}
	return out, rows.Err()
}

// levels returns the bounds of the names below one: '0' follows '/'.
func levels(name string) (from, to string) {
	name = strings.TrimSuffix(name, "/")
	return name + "/", name + "0"
}

// Lease gives a name to holder for a while, or prolongs the holder's own. It
// returns false where another holds it. What somebody who crashed held is free
// when its time is over, by this node's clock. A time that is much further ahead
// than a lease lasts was written before the clock was set back, and counts as over.
func (s *Secrets) Lease(ctx context.Context, name, holder string, d time.Duration) (bool, error) {
	now := s.db.now()
	r, err := s.db.write.ExecContext(ctx, `INSERT INTO leases (name, holder, until_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at
		WHERE leases.holder = excluded.holder OR leases.until_at <= $4 OR leases.until_at > $5`,
		name, holder, now.Add(d).UnixMilli(), now.UnixMilli(), now.Add(2*d).UnixMilli())
	if err != nil {
		return false, fmt.Errorf("leasing %q: %w", name, err)
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Release gives a holder's lease back. What it does not hold, it does not free.
func (s *Secrets) Release(ctx context.Context, name, holder string) error {
	if _, err := s.db.write.ExecContext(ctx, `DELETE FROM leases WHERE name = $1 AND holder = $2`, name, holder); err != nil {
		return fmt.Errorf("giving lease %q back: %w", name, err)
	}
	return nil
}

// forgetSecrets takes the secrets out of a copy of the database, also of its
// free pages.
func forgetSecrets(ctx context.Context, path string) (err error) {
	db, err := connect(path, 1, pragmas+"&_pragma=secure_delete(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, table := range []string{"secrets", "leases"} {
		if _, err := db.ExecContext(ctx, `DELETE FROM `+table); err != nil {
			return fmt.Errorf("leaving secrets out: %w", err)
		}
	}
	return forgetOpen(ctx, db)
}
