package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kinward/policy"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("KINWARD_TEST_CRASH"); path != "" {
		crashChild(path)
	}
	if path := os.Getenv("KINWARD_TEST_SIGNALS"); path != "" {
		signalsChild(path)
	}
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func options() Options {
	return Options{Zone: "Europe/Berlin", Now: func() time.Time { return noon }}
}

// openNew opens a new database that the test's end closes.
func openNew(t testing.TB) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), FileName), options())
}

func openAt(t testing.TB, path string, o Options) *DB {
	t.Helper()
	db, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func closeDB(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func family(t testing.TB, db *DB) (*policy.Family, uint64) {
	t.Helper()
	f, revision, err := db.Family(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return f, revision
}

func TestOpenMakesAPrivateFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20é") // nothing in a path may be taken for a parameter
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, filepath.Join(dir, FileName), options())
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", f.Name(), info.Mode().Perm())
		}
		names = append(names, f.Name())
	}
	if got := strings.Join(names, " "); got != "kinward.db kinward.db-shm kinward.db-wal" {
		t.Errorf("files: %s", got)
	}
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2", "foreign_keys": "1", "busy_timeout": "5000", "application_id": "1265200759",
	} {
		var got string
		if err := db.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("the writer's %s is %s (%v), want %s", pragma, got, err, want)
		}
	}
	if _, err := db.read.Exec(`UPDATE families SET name = 'x'`); err == nil {
		t.Error("a reader can write")
	}
	closeDB(t, db)
	if isUnclean(db.Path()) {
		t.Error("a closed database looks as if it had not been closed")
	}
}

func TestOpenAgainChangesNothing(t *testing.T) {
	db := openNew(t)
	closeDB(t, db)
	before, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	closeDB(t, openAt(t, db.Path(), Options{}))
	after, err := os.ReadFile(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("opening and closing changed the file")
	}
}

func TestMigrationsApplyOnceAndTwice(t *testing.T) {
	db := openNew(t)
	for range 2 {
		v, err := migrate(t.Context(), db.write.DB)
		if err != nil || v != db.schema || v < 1 {
			t.Errorf("migrating an up-to-date database: version %d, %v; want %d", v, err, db.schema)
		}
	}
	rows, err := db.read.Query(`SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%' AND c.cid = 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var table, first string
		if err := rows.Scan(&table, &first); err != nil {
			t.Fatal(err)
		}
		nobodys := slices.Contains([]string{"secrets", "leases", "journal_state", "losses", "feeds", "signal_state"}, table) // these belong to no family
		if first != "family_id" && !nobodys {
			t.Errorf("table %s leads with %s, want family_id", table, first)
		}
	}
	if n < len(familyTables()) {
		t.Errorf("%d tables, want at least %d", n, len(familyTables()))
	}
}

// An Open that was killed half-way must not leave a file that cannot be opened.
func TestOpenFinishesWhatACrashLeft(t *testing.T) {
	t.Run("an empty file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		family(t, openAt(t, path, options()))
	})
	t.Run("a file without tables", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), FileName)
		if err := prepare(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		family(t, openAt(t, path, options()))
	})
	t.Run("tables without a family", func(t *testing.T) {
		db := openNew(t)
		for _, table := range []string{"changes", "families"} {
			if _, err := db.write.Exec(`DELETE FROM ` + table); err != nil {
				t.Fatal(err)
			}
		}
		closeDB(t, db)
		family(t, openAt(t, db.Path(), options()))
	})
}

func TestOpenRefusesAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, options())
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got error %v, want one that names it and says what to do", err)
	}
}

func TestOpenRefusesWhatIsNotOurs(t *testing.T) {
	filled := func(t *testing.T) string {
		db := openNew(t)
		if err := db.Write(t.Context(), batch(2000, noon)); err != nil {
			t.Fatal(err)
		}
		closeDB(t, db)
		return db.Path()
	}
	tests := []struct {
		name string
		make func(t *testing.T) string
		want error
		says string
	}{
		{"garbage", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), FileName)
			os.WriteFile(path, bytes.Repeat([]byte("garbage "), 5000), 0o600)
			return path
		}, ErrForeign, "kinward restore"},
		{"a short text", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), FileName)
			os.WriteFile(path, []byte("hello"), 0o600)
			return path
		}, ErrForeign, "kinward restore"},
		{"another program's database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), FileName)
			other, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if _, err := other.Exec(`CREATE TABLE bookmarks (url TEXT)`); err != nil {
				t.Fatal(err)
			}
			return path
		}, ErrForeign, "--data"},
		{"a newer Kinward's", func(t *testing.T) string {
			db := openNew(t)
			if _, err := db.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (4711, 1)`); err != nil {
				t.Fatal(err)
			}
			closeDB(t, db)
			return db.Path()
		}, ErrNewer, "version 4711, this program knows up to "},
		{"overwritten pages", func(t *testing.T) string {
			path := filled(t)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.WriteAt(bytes.Repeat([]byte{0xa5}, 64<<10), 4096)
			return path
		}, ErrDamaged, "kinward restore"},
		{"overwritten incidents", func(t *testing.T) string {
			path := filled(t)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.WriteAt(bytes.Repeat([]byte{0xa5}, 64<<10), 512<<10)
			return path
		}, ErrDamaged, "kinward restore"},
		{"a truncated file", func(t *testing.T) string {
			path := filled(t)
			if err := os.Truncate(path, 20<<10); err != nil {
				t.Fatal(err)
			}
			return path
		}, ErrDamaged, "kinward restore"},
		{"overwritten incidents, not closed", func(t *testing.T) string {
			path := filled(t)
			db := openAt(t, path, options())
			if err := db.Write(t.Context(), batch(1, noon)); err != nil {
				t.Fatal(err)
			}
			crashed := filepath.Join(t.TempDir(), FileName)
			for _, suffix := range []string{"", "-wal"} {
				b, err := os.ReadFile(path + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if suffix == "" {
					copy(b[len(b)/2:], bytes.Repeat([]byte{0xa5}, 64<<10))
				}
				os.WriteFile(crashed+suffix, b, 0o600)
			}
			return crashed
		}, ErrDamaged, "kinward restore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.make(t)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), path, options())
			if err == nil {
				db.Close()
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got error %v, want one that is %q, says %q and names the file", err, tt.want, tt.says)
			}
			if tt.want != ErrDamaged {
				if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
					t.Error("the file was changed")
				}
				if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
					t.Errorf("%d files in the folder, want the one that was there", len(entries))
				}
			}
		})
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "none", FileName), options()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

func TestOpenChecksADatabaseThatWasNotClosed(t *testing.T) {
	db := openNew(t)
	if err := db.Write(t.Context(), batch(100, noon)); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), FileName)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(crashed+suffix, b, 0o600)
	}
	var log bytes.Buffer
	o := options()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	again := openAt(t, crashed, o)
	if !strings.Contains(log.String(), "was not closed") {
		t.Errorf("log: %q", log.String())
	}
	if h, err := again.Health(t.Context(), true); err != nil || h.Incidents != 100 {
		t.Errorf("health: %+v %v, want 100 incidents", h, err)
	}
	closeDB(t, again)
	log.Reset()
	closeDB(t, openAt(t, crashed, o))
	if log.Len() > 0 {
		t.Errorf("log after a proper close: %q", log.String())
	}
}

func TestHealth(t *testing.T) {
	db := openNew(t)
	if h, err := db.Health(t.Context(), true); err != nil || !h.Oldest.IsZero() {
		t.Errorf("of a new database: %+v %v", h, err)
	}
	if err := db.Write(t.Context(), batch(10, noon)); err != nil {
		t.Fatal(err)
	}
	h, err := db.Health(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if h.Path != db.Path() || h.Mode != 0o600 || h.Schema != db.schema || h.Bytes == 0 || h.WAL == 0 || h.Incidents != 10 || !h.Oldest.Equal(noon) || h.Revision != 1 {
		t.Errorf("health: %+v", h)
	}
}

// BenchmarkOpen is a part of the start-up time: opening what is there.
func BenchmarkOpen(b *testing.B) {
	db := openNew(b)
	if err := db.Write(b.Context(), batch(1000, noon)); err != nil {
		b.Fatal(err)
	}
	closeDB(b, db)
	for b.Loop() {
		closeDB(b, openAt(b, db.Path(), options()))
	}
}

func BenchmarkOpenNew(b *testing.B) {
	for b.Loop() {
		closeDB(b, openAt(b, filepath.Join(b.TempDir(), FileName), options()))
	}
}
