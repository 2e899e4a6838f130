package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"kinward/policy"
)

// A database that may be read and not written is no sound one: nothing is kept.
func TestDatabaseThatCannotBeWrittenIsTold(t *testing.T) {
	db := openNew(t)
	if _, err := db.Health(context.Background(), true); err != nil {
		t.Fatalf("as it was made: %v", err)
	}
	if err := db.write.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if db.write.DB, err = connect(db.path, 1, pragmas+"&_txlock=immediate&mode=ro"); err != nil { // root may write to every file
		t.Fatal(err)
	}
	if _, err := db.Health(context.Background(), true); !errors.Is(err, ErrSealed) {
		t.Errorf("its health: %v", err)
	}
	_, err = db.Change(context.Background(), Edit{}, func(f *policy.Family) (string, error) {
		f.Name = "Elsewhere"
		return "renamed", nil
	})
	if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "see that who runs Kinward may write") {
		t.Errorf("a change: %v", err)
	}
}

func TestFullDiskIsToldInWords(t *testing.T) {
	db := openNew(t)
	if _, err := db.write.Exec("PRAGMA max_page_count = 1"); err != nil { // SQLite takes the size that it has
		t.Fatal(err)
	}
	err := db.Together(context.Background(), func(tx *Tx) error {
		_, err := tx.tx.Exec("CREATE TABLE filler AS SELECT zeroblob(1000000)")
		return err
	})
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("writing to a full disk: %v", err)
	}
}
