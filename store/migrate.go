package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrate brings the schema up to date and returns its version. It fails with
// [ErrNewer], and changes nothing, where the database is ahead of this program.
func migrate(ctx context.Context, db *sql.DB) (int64, error) {
	p, err := provider(db)
	if err != nil {
		return 0, err
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	have, err := version(ctx, db)
	if err != nil {
		return 0, err
	}
	switch {
	case have > newest:
		return 0, newer(have, newest)
	case have == newest: // the usual start
		return have, nil
	}
	if _, err := p.Up(ctx); err != nil {
		return 0, fmt.Errorf("bringing the schema from version %d to %d: %w", have, newest, err)
	}
	return newest, nil
}

func newer(have, newest int64) error {
	return fmt.Errorf("%w: its schema has version %d, this program knows up to %d; install that Kinward again, or restore a backup from before it",
		ErrNewer, have, newest)
}

func provider(db *sql.DB) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: toDocuments}, nil)))
}

// version returns the schema's version, 0 for an empty database. It only reads,
// which goose's own question does not.
func version(ctx context.Context, db *sql.DB) (v int64, err error) {
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v, err
}
