package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What can be wrong with a database file.
var (
	ErrForeign = errors.New("not a Kinward database")
	ErrNewer   = errors.New("made by a newer Kinward")
	ErrDamaged = errors.New("the database is damaged")
	ErrFull    = errors.New("the disk that holds the database is full: make room there")
	ErrSealed  = errors.New("the database cannot be written: see that who runs Kinward may write to its file, those beside it (-wal, -shm), its folder and their disk")
)

// applicationID marks a file as ours (PRAGMA application_id): "Kinw".
const applicationID = 0x4b696e77

// pragmas hold for every connection. A writer waits up to 5 s for another
// process (a backup, sqlite3 by hand); the log is cut back to 16 MB after a
// large transaction.
const pragmas = "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=journal_size_limit(16777216)"

// connect opens a pool of up to n connections. Nothing is touched before the
// first use.
func connect(path string, n int, params string, more ...string) (*sql.DB, error) {
	for _, p := range more {
		params += "&_pragma=" + p
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// writer is the one connection that writes. It counts what it did, once that can be read.
type writer struct {
	*sql.DB
	writes atomic.Uint64
}

func (w *writer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	defer w.writes.Add(1)
	return w.DB.ExecContext(ctx, query, args...)
}

func (w *writer) commit(tx *sql.Tx) error {
	defer w.writes.Add(1)
	return tx.Commit()
}

// Writes counts what was written by this process, which alone writes: where it stands
// still, reading anew finds what it found before. It costs next to nothing.
func (db *DB) Writes() uint64 { return db.write.writes.Load() }

// prepare makes sure that path is a database of ours, if an empty one.
func prepare(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return err
		}
		return create(ctx, path)
	case !errors.Is(err, os.ErrExist):
		return err
	}
	empty, err := inspect(path)
	if err == nil && empty { // as a crash between the two steps above leaves it
		return create(ctx, path)
	}
	return err
}

// create writes the first page while the file is not yet in WAL mode: then what
// marks it as ours is in the file itself, and auto_vacuum can still be chosen.
func create(ctx context.Context, path string) error {
	db, err := connect(path, 1, "")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, stmt := range []string{
		"PRAGMA auto_vacuum = INCREMENTAL",
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
	} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("making the file: %w", err)
		}
	}
	return nil
}

// inspect reads the file's header, without SQLite, which would write beside a
// file that is not ours (sqlite.org/fileformat.html §1.3).
func inspect(path string) (empty bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return false, fmt.Errorf("%w but a folder: choose another folder with --data, or move it away to start anew", ErrForeign)
	}
	header := make([]byte, 100)
	switch _, err := io.ReadFull(f, header); {
	case err == io.EOF:
		return true, nil
	case err == io.ErrUnexpectedEOF || err == nil && !bytes.HasPrefix(header, []byte("SQLite format 3\x00")):
		return false, fmt.Errorf("%w, or its beginning was overwritten: restore a backup with kinward restore, or move the file away to start anew", ErrForeign)
	case err != nil:
		return false, err
	}
	if binary.BigEndian.Uint32(header[68:]) != applicationID {
		return false, fmt.Errorf("%w but another program's: choose another folder with --data, or move the file away to start anew", ErrForeign)
	}
	return false, nil
}

// check runs PRAGMA quick_check or integrity_check.
func check(ctx context.Context, db *sql.DB, pragma string) error {
	rows, err := db.QueryContext(ctx, "PRAGMA "+pragma+"(3)")
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	var problems []error
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return explain(err)
		}
		if s != "ok" {
			problems = append(problems, errors.New(s))
		}
	}
	if err := rows.Err(); err != nil {
		return explain(err)
	}
	if len(problems) > 0 {
		return damaged(errors.Join(problems...))
	}
	return nil
}

func damaged(err error) error {
	return fmt.Errorf("%w: restore the last backup with kinward restore, or move the file away to start anew (%w)", ErrDamaged, err)
}

// explain turns SQLite's words for what a person can mend into ours.
func explain(err error) error {
	var e *sqlite.Error
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrFull) || errors.Is(err, ErrSealed) || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return damaged(err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w (%w)", ErrSealed, err)
	}
	return err
}
