// Package store keeps what lasts: families with their choices, and incidents.
//
// A [DB] is one SQLite file. It implements [journal.Store] and is the source of
// truth for [policy.Family]. DESIGN.md tells why it is made as it is.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// FileName is what the database is called in the data folder.
const FileName = "kinward.db"

// Options say how a database is opened. Zero values mean the defaults.
type Options struct {
	Logger *slog.Logger     // nil discards; never told a name
	Now    func() time.Time // default time.Now
	Zone   string           // the first family's time zone; default the server's, as far as it can be told
	Preset *policy.Preset   // of the first family's profile Everyone; default band C
	Who    string           // who makes the changes, for the record; default "the operator"
	// Acting tells who makes a change, by its context, where that is not Who; "" is
	// Who. Nil is always Who.
	Acting func(context.Context) string
	// Guard may refuse a change of a family, in the very transaction that would make
	// it; nil refuses nothing. What it does with t is done with the change.
	Guard func(ctx context.Context, t *Tx, p Proposal) error
	// Known tells what choices can be about. It is called for each change that is
	// not the first; nil checks nothing of the kind.
	Known func() policy.Known
}

// DB is an open database. All methods are safe for concurrent use. Readers do
// not wait for writers; writers take turns.
type DB struct {
	path   string
	write  *writer // one connection
	read   *sql.DB
	log    *slog.Logger
	now    func() time.Time
	who    string
	acting func(context.Context) string
	schema int64

	presets *policy.Presets
	known   func() policy.Known
	guard   func(context.Context, *Tx, Proposal) error
	zones   *zones
}

var _ journal.Store = (*DB)(nil)

// As returns the same database with another name for the record of changes. It
// shares everything else: closing one closes both.
func (db *DB) As(who string) *DB {
	other := *db
	other.who = who
	return &other
}

// whoIn is who makes the changes of a context.
func (db *DB) whoIn(ctx context.Context) string {
	if db.acting != nil {
		if who := db.acting(ctx); who != "" {
			return who
		}
	}
	return db.who
}

// Path returns the file's path.
func (db *DB) Path() string { return db.path }

// Open opens the database at path, or makes it (mode 0600, with the family
// "Home") where there is none; its folder must exist. A database of an older
// Kinward is brought up to date. One process at a time may have it open for
// writing; the caller sees to that.
//
// The error wraps [ErrForeign], [ErrNewer] or [ErrDamaged] where the file is not
// what it should be, and says what to do; the file is left as it is.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	db, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", path, err)
	}
	return db, nil
}

func open(ctx context.Context, path string, o Options) (_ *DB, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Who == "" {
		o.Who = "the operator"
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := prepare(ctx, path); err != nil {
		return nil, err
	}
	unclean := isUnclean(path)
	db := &DB{path: path, log: o.Logger, now: o.Now, who: o.Who, acting: o.Acting, guard: o.Guard, zones: &zones{}}
	if db.presets, err = policy.EmbeddedPresets(); err != nil {
		return nil, err
	}
	one, err := connect(path, 1, pragmas+"&_txlock=immediate", "synchronous(FULL)", "journal_mode(WAL)", "secure_delete(1)")
	if err != nil {
		return nil, err
	}
	db.write = &writer{DB: one}
	defer func() {
		if err != nil {
			db.Close()
			err = explain(err)
		}
	}()
	if db.schema, err = migrate(ctx, db.write.DB); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if unclean || info.Size() <= alwaysCheck {
		if err := db.checkQuickly(ctx, unclean); err != nil {
			return nil, err
		}
	}
	if db.read, err = connect(path, 4, pragmas, "query_only(1)"); err != nil {
		return nil, err
	}
	if err := db.makeFamily(ctx, o); err != nil {
		return nil, err
	}
	if err := db.sealed(ctx); err != nil { // what it holds is gone by all the same
		db.log.Error("nothing can be kept in the database; what is attempted waits beside it", "file", path, "error", err)
	}
	db.known = o.Known
	return db, nil
}

const (
	// alwaysCheck is how large a file is checked at every start: a check takes
	// 1 ms a megabyte as measured, and start-up has 200 ms in all.
	alwaysCheck = 4 << 20

	// checkAtMost bounds the check of a database that was not closed. SQLite has
	// repaired by then what a crash leaves behind, so a large file may be served
	// before it is looked through (the doctor command does that).
	checkAtMost = 2 * time.Second
)

func (db *DB) checkQuickly(ctx context.Context, unclean bool) error {
	limited, cancel := context.WithTimeout(ctx, checkAtMost)
	defer cancel()
	begun := time.Now()
	err := check(limited, db.write.DB, "quick_check")
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		db.log.Warn("the database takes too long to be checked at start; run kinward doctor", "after", time.Since(begun))
		return nil
	case err == nil && unclean:
		db.log.Info("the database was not closed; it was checked and is sound", "took", time.Since(begun))
	}
	return err
}

// isUnclean reports whether the last process did not close the database: the
// last to close it removes its log.
func isUnclean(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}

// Close closes the database when running calls are done.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil { // first: the last connection to close tidies up, and must be able to write
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing database %s: %w", db.path, err)
	}
	return nil
}
