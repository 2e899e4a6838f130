package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kinward/journal"
	"kinward/journal/spool"
)

// runJournal runs a journal on db until stop.
func runJournal(t *testing.T, db journal.Store, c spool.Config) (j *journal.Journal, stop func() error) {
	t.Helper()
	j, err := journal.New(journal.Config{Store: db, Held: 100, Spool: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	return j, func() error { cancel(); return <-done }
}

// lockDatabase has the database for itself, as another process would, until
// unlock is called.
func lockDatabase(t *testing.T, path string) (unlock func()) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `BEGIN EXCLUSIVE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
			t.Fatal(err)
		}
	}
}

func keptQueries(t *testing.T, db *DB) (n uint64) {
	t.Helper()
	for i, err := range allRows(t, db) {
		if err != nil {
			t.Fatal(err)
		}
		n += i.Queries
	}
	return n
}

// Another connection has the database for itself: that costs nothing but disk,
// also when the process ends meanwhile.
func TestLockedDatabaseCostsNothingButDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	db := openAt(t, path, Options{})
	unlock := lockDatabase(t, path)
	j, stop := runJournal(t, db, crashSpool(path))
	const n = 3000
	for i := range n {
		j.Record(crashAttempt(fmt.Sprintf("d%d.com", i)))
	}
	if err := stop(); err != nil { // after five seconds, with all of it in the spool
		t.Errorf("the end: %v", err)
	}
	if got := keptQueries(t, db); got != 0 {
		t.Fatalf("%d are stored in a database that is locked", got)
	}
	unlock()
	j, stop = runJournal(t, db, crashSpool(path))
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := keptQueries(t, db); got != n {
		t.Errorf("%d attempts are kept, want %d", got, n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// The spool's disk is full: the ring holds what it can, what it cannot is counted
// and told, and afterwards all goes on, also over an end of the process while the
// disk is full and the database is another's.
func TestFullDiskIsWaitedFor(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		// Whoever may not mount has a limit of their own: a file that fills up is another test's.
		t.Logf("no disk of its own (%v): trying with a cap instead", err)
	} else {
		defer unix.Unmount(disk, unix.MNT_DETACH)
	}
	ballast := filepath.Join(disk, "ballast")
	fill := func(bytes int) { // as much of it as there is room for
		os.WriteFile(ballast, make([]byte, bytes), 0o600)
	}
	fill(200 << 10)
	path := filepath.Join(t.TempDir(), FileName)
	db := openAt(t, path, Options{})
	c := spool.Config{Folder: filepath.Join(disk, "journal"), RingFolder: t.TempDir(), RingBytes: 256 << 10, DiskBytes: 64 << 20}
	j, stop := runJournal(t, db, c)
	record := func(from, to int) {
		for i := from; i < to; i++ {
			j.Record(crashAttempt(fmt.Sprintf("d%d.com", i)))
		}
	}
	flush := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for err := j.Flush(ctx); err != nil; err = j.Flush(ctx) {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // it says at once that there is no room
		}
	}
	record(0, 2000)
	os.Remove(ballast)
	flush()
	record(2000, 10_000)
	flush()

	unlock := lockDatabase(t, path)
	fill(256 << 10)
	record(10_000, 12_000)
	if err := stop(); err != nil { // after five seconds, with what is left in the ring
		t.Errorf("the end on a full disk: %v", err)
	}
	os.Remove(ballast)
	unlock()
	j, stop = runJournal(t, db, c)
	flush()
	if err := stop(); err != nil {
		t.Error(err)
	}
	losses, err := db.Losses(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var lost uint64
	for _, l := range losses {
		lost += l.Count
	}
	if got := keptQueries(t, db); got+lost != 12_000 || got < 4000 {
		t.Errorf("%d attempts are kept and %d told to be lost, want 12000 together", got, lost)
	}
	t.Logf("%d told to be lost", lost)
}
