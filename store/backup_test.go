package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kinward/journal"
	"kinward/policy"
)

func TestBackupWhileWriting(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(100, noon))
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := db.Write(t.Context(), journal.Batch{Rows: []journal.Row{row(fmt.Sprint("x", n), noon), row(fmt.Sprint("y", n), noon)}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	path := filepath.Join(t.TempDir(), "backup.db")
	err := db.Backup(t.Context(), path)
	cancel()
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v %v, want mode 600", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files beside the backup, want it alone", len(entries))
	}
	if err := CheckBackup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), FileName)
	if _, err := Restore(t.Context(), path, restored, noon); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, restored, options())
	n := len(ids(t, again, journal.Filter{Family: 1, Limit: journal.MaxLimit}))
	if n < 100 || n%2 != 0 {
		t.Errorf("the backup holds %d incidents, want 100 and whole batches of 2", n)
	}
	var vacuum int
	if err := again.write.QueryRow(`PRAGMA auto_vacuum`).Scan(&vacuum); err != nil || vacuum != 2 {
		t.Errorf("auto_vacuum of a restored database is %d (%v), want 2", vacuum, err)
	}
}

func TestBackupNeverOverwrites(t *testing.T) {
	db := openNew(t)
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), path); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("over a file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file is now %q", b)
	}
	if err := db.Backup(t.Context(), db.Path()); !errors.Is(err, os.ErrExist) {
		t.Errorf("over itself: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := filepath.Join(t.TempDir(), "other.db")
	if err := db.Backup(ended, other); err == nil {
		t.Error("a backup whose context had ended was made")
	}
	if entries, _ := os.ReadDir(filepath.Dir(other)); len(entries) != 0 {
		t.Errorf("a backup that was given up left %d files", len(entries))
	}
	// What a crash left of an earlier one is no obstacle.
	if err := os.WriteFile(other+".part", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), other); err != nil {
		t.Error(err)
	}
}

func TestCheckBackup(t *testing.T) {
	db := openNew(t)
	write(t, db, batch(2000, noon))
	good := filepath.Join(t.TempDir(), "good.db")
	if err := db.Backup(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)`); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := db.Backup(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(change func([]byte) []byte) string {
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, change(bytes.Clone(sound)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name string
		path string
		want error
	}{
		{"a good one", good, nil},
		{"a newer Kinward's", newer, ErrNewer},
		{"an empty file", broken(func([]byte) []byte { return nil }), ErrDamaged},
		{"garbage", broken(func([]byte) []byte { return bytes.Repeat([]byte("x"), 9000) }), ErrForeign},
		{"cut off", broken(func(b []byte) []byte { return b[:len(b)/2] }), ErrDamaged},
		{"one page overwritten", broken(func(b []byte) []byte {
			copy(b[len(b)/2&^4095:], make([]byte, 4096))
			return b
		}), ErrDamaged},
		{"missing", filepath.Join(t.TempDir(), "none.db"), os.ErrNotExist},
	} {
		if err := CheckBackup(t.Context(), tt.path); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(good)); len(entries) != 1 {
		t.Errorf("checking left %d files, want the backup alone", len(entries))
	}
}

// A log beside a database that it does not belong to would be replayed into it.
func TestRestoreKeepsTheOldDatabaseWithItsLog(t *testing.T) {
	db := openNew(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := db.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	write(t, db, batch(5, noon))
	// As kill -9 leaves it: the incidents are in the log alone.
	path := filepath.Join(t.TempDir(), FileName)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(path+suffix, b, 0o600)
	}
	kept, err := Restore(t.Context(), backup, path, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(t, openAt(t, path, options()), journal.Filter{Family: 1}); len(got) != 0 {
		t.Errorf("the restored database has %d incidents, want none", len(got))
	}
	if got := ids(t, openAt(t, kept, options()), journal.Filter{Family: 1}); len(got) != 5 {
		t.Errorf("the kept database has %d incidents, want 5", len(got))
	}
	if _, err := Restore(t.Context(), filepath.Join(t.TempDir(), "none"), path, noon.Add(time.Second)); err == nil {
		t.Error("nothing was restored")
	}
	if got := ids(t, openAt(t, path, options()), journal.Filter{Family: 1}); got == nil {
		t.Error("a restore that failed touched the database")
	}
}

func TestBackupHoldsTheFamily(t *testing.T) {
	db := openNew(t)
	change(t, db, func(f *policy.Family) (string, error) {
		_, what, err := f.AddProfile("Emma", policy.BandA)
		return what, err
	})
	path := filepath.Join(t.TempDir(), "b.db")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if f, revision := family(t, openAt(t, path, options())); len(f.Profiles) != 3 || revision != 2 {
		t.Errorf("%d profiles at revision %d, want 3 at 2", len(f.Profiles), revision)
	}
}
