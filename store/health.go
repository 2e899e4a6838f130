package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// Health is what the doctor command says about the database.
type Health struct {
	Path      string      `json:"path"`
	Mode      os.FileMode `json:"mode"` // 0600 as it was made
	Schema    int64       `json:"schema"`
	Bytes     int64       `json:"bytes"`      // of the file
	WAL       int64       `json:"wal_bytes"`  // of its log
	Free      int64       `json:"free_bytes"` // within the file, left by what was removed
	Incidents int64       `json:"incidents"`
	Oldest    time.Time   `json:"oldest"` // last attempt of the oldest incident; zero: there is none
	Revision  uint64      `json:"revision"`
}

// Health measures the database, and with quick checks its structure too: a
// second for some hundred megabytes. The error wraps [ErrDamaged] where it is
// not sound, and [ErrSealed] where nothing can be written to it.
func (db *DB) Health(ctx context.Context, quick bool) (Health, error) {
	h := Health{Path: db.path, Schema: db.schema}
	if err := db.health(ctx, quick, &h); err != nil {
		return h, fmt.Errorf("looking at database %s: %w", db.path, explain(err))
	}
	return h, nil
}

// sealed returns [ErrSealed] where nothing can be written to the database, and
// writes nothing. Whoever writes at the time does not matter.
func (db *DB) sealed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sealedAtMost)
	defer cancel()
	// The beginning of a transaction does not tell: SQLite makes one that reads.
	_, err := db.write.ExecContext(ctx, `UPDATE families SET revision = revision WHERE 1 = 0`)
	if err = explain(err); errors.Is(err, ErrSealed) {
		return err
	}
	return nil
}

const sealedAtMost = 2 * time.Second

func (db *DB) health(ctx context.Context, quick bool, h *Health) error {
	info, err := os.Stat(db.path)
	if err != nil {
		return err
	}
	h.Mode, h.Bytes = info.Mode().Perm(), info.Size()
	if info, err := os.Stat(db.path + "-wal"); err == nil {
		h.WAL = info.Size()
	}
	var free, page, revision int64
	var oldest sql.NullInt64
	for query, to := range map[string]any{
		`PRAGMA freelist_count`:              &free,
		`PRAGMA page_size`:                   &page,
		`SELECT count(*) FROM incidents`:     &h.Incidents,
		`SELECT min(last_at) FROM incidents`: &oldest,
		`SELECT max(revision) FROM families`: &revision,
	} {
		if err := db.read.QueryRowContext(ctx, query).Scan(to); err != nil {
			return fmt.Errorf("asking %q: %w", query, err)
		}
	}
	if err := db.sealed(ctx); err != nil {
		return err
	}
	h.Free, h.Revision = free*page, uint64(revision)
	if oldest.Valid {
		h.Oldest = time.UnixMilli(oldest.Int64).UTC()
	}
	if quick {
		return check(ctx, db.read, "quick_check")
	}
	return nil
}
