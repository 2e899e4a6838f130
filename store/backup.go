package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Backup writes a copy of the database, as of now, to a new file (mode 0600).
// Reading and writing go on meanwhile. Secrets are left out: whoever has the file
// must not be able to pose as this server. It never overwrites a file: if path
// exists the error wraps [os.ErrExist]. When it returns nil the copy is on the
// disk.
func (db *DB) Backup(ctx context.Context, path string) error {
	if err := db.backup(ctx, path); err != nil {
		return fmt.Errorf("backing up to %s: %w", path, err)
	}
	return nil
}

func (db *DB) backup(ctx context.Context, path string) (err error) {
	// The name is taken first and the copy made beside it, so that a crash never
	// leaves half a copy under the name of a backup.
	if err := touch(path); err != nil {
		return err
	}
	part := path + ".part"
	defer func() {
		if err != nil {
			os.Remove(path)
			os.Remove(part)
		}
	}()
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) { // of a crash
		return err
	}
	if err := touch(part); err != nil {
		return err
	}
	source, err := connect(db.path, 1, pragmas) // not a reader: those may not write
	if err != nil {
		return err
	}
	defer source.Close()
	if _, err := source.ExecContext(ctx, `VACUUM INTO $1`, part); err != nil {
		return explain(err)
	}
	if err := forgetSecrets(ctx, part); err != nil {
		return err
	}
	return publish(part, path)
}

// touch makes an empty file that only its owner can read.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// publish renames a finished file so that it survives a loss of power.
func publish(part, path string) error {
	if err := syncPath(part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// CheckBackup reports whether the file at path is a sound database of ours that
// this program can open. It reads all of it and changes nothing. The error wraps
// [ErrForeign], [ErrNewer] or [ErrDamaged].
func CheckBackup(ctx context.Context, path string) error {
	if err := checkBackup(ctx, path); err != nil {
		return fmt.Errorf("checking backup %s: %w", path, err)
	}
	return nil
}

func checkBackup(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	empty, err := inspect(path)
	if err != nil {
		return err
	}
	if empty {
		return damaged(errors.New("the file is empty"))
	}
	db, err := connect(path, 1, "mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := check(ctx, db, "integrity_check"); err != nil {
		return err
	}
	have, err := version(ctx, db)
	if err != nil {
		return explain(err)
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	switch newest := sources[len(sources)-1].Version; {
	case have > newest:
		return newer(have, newest)
	case have == 0:
		return damaged(errors.New("it has no tables"))
	}
	return nil
}

// Restore puts a backup in the place of the database at path, which nobody may
// have open. It checks the backup first. What was there is kept beside it, with
// its log, under the name that Restore returns ("" if there was nothing).
func Restore(ctx context.Context, backup, path string, now time.Time) (kept string, err error) {
	if kept, err = restore(ctx, backup, path, now); err != nil {
		return kept, fmt.Errorf("restoring %s: %w", backup, err)
	}
	return kept, nil
}

func restore(ctx context.Context, backup, path string, now time.Time) (kept string, err error) {
	if err := CheckBackup(ctx, backup); err != nil {
		return "", err
	}
	part := path + ".part"
	defer os.Remove(part)
	if err := copyFile(backup, part); err != nil {
		return "", err
	}
	// A log beside a database that it does not belong to would destroy it, so
	// the old files move as one.
	if _, err := os.Lstat(path); err == nil {
		kept = path + ".before-restore-" + now.UTC().Format("20060102T150405.000Z")
		if _, err := os.Lstat(kept); err == nil {
			return "", fmt.Errorf("keeping the old database: %s: %w", kept, os.ErrExist)
		}
		if err := os.Rename(path, kept); err != nil {
			return "", err
		}
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if kept == "" {
			err = os.Remove(path + suffix)
		} else {
			err = os.Rename(path+suffix, kept+suffix)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return kept, err
		}
	}
	return kept, publish(part, path)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
