package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func names(t *testing.T, s *Secrets, under string) []string {
	t.Helper()
	all, err := s.List(t.Context(), under)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, one := range all {
		out = append(out, one.Name)
	}
	return out
}

func TestSecrets(t *testing.T) {
	s := openNew(t).Secrets()
	for _, name := range []string{"acme/ca/a.key", "acme/ca/b.key", "acme/cab", "acme/ca0", "acme"} {
		if err := s.Put(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "acme/ca/a.key", []byte("another")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(t.Context(), "acme/ca/a.key"); string(v) != "another" || err != nil {
		t.Errorf("Get: %q, %v; want what was put last", v, err)
	}
	if _, err := s.Get(t.Context(), "acme/ca"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a level: %v; want ErrNotFound", err)
	}
	if d := cmp.Diff([]string{"acme/ca/a.key", "acme/ca/b.key"}, names(t, s, "acme/ca")); d != "" {
		t.Errorf("List of a level (-want +got):\n%s", d)
	}
	all, _ := s.List(t.Context(), "acme/ca/a.key")
	if len(all) != 1 || all[0].Size != 7 || !all[0].Modified.Equal(noon) {
		t.Errorf("List of one: %+v; want 7 bytes of %v", all, noon)
	}
	if err := s.Delete(t.Context(), "acme/ca"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"acme", "acme/ca0", "acme/cab"}, names(t, s, "")); d != "" {
		t.Errorf("after Delete (-want +got):\n%s", d)
	}
	if err := s.Delete(t.Context(), "nothing"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
}

// TestSecretsLease: of many that want it, one has a lease, until it gives it back
// or its time is over.
func TestSecretsLease(t *testing.T) {
	now := noon
	var mu sync.Mutex
	o := options()
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s := openAt(t, filepath.Join(t.TempDir(), FileName), o).Secrets()
	lease := func(holder string) bool {
		t.Helper()
		ok, err := s.Lease(t.Context(), "order", holder, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	var got atomic.Int64
	var all sync.WaitGroup
	for _, holder := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			if ok, err := s.Lease(t.Context(), "crowd", holder, time.Minute); ok && err == nil {
				got.Add(1)
			}
		})
	}
	if all.Wait(); got.Load() != 1 {
		t.Errorf("%d hold one lease; want one", got.Load())
	}
	if !lease("one") || lease("two") || !lease("one") {
		t.Error("a lease is not one's alone, or cannot be prolonged")
	}
	if err := s.Release(t.Context(), "order", "two"); err != nil || lease("two") {
		t.Errorf("who does not hold a lease gave it back (%v)", err)
	}
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	if !lease("two") || lease("one") {
		t.Error("a lease that is over is still somebody's")
	}
	if err := s.Release(t.Context(), "order", "two"); err != nil || !lease("one") {
		t.Errorf("a lease that was given back is still somebody's (%v)", err)
	}
	mu.Lock()
	now = now.Add(-30 * time.Second) // clocks of two nodes differ
	mu.Unlock()
	if lease("two") {
		t.Error("half a minute between two clocks took a lease away")
	}
	mu.Lock()
	now = now.Add(-time.Hour)
	mu.Unlock()
	if !lease("two") || lease("one") {
		t.Error("after the clock was set back a lease does not end for an hour")
	}
}

// TestSecretsPrivate: nobody else can read the files, and no backup has them, not
// even in free pages.
func TestSecretsPrivate(t *testing.T) {
	db := openNew(t)
	secret := bytes.Repeat([]byte("a very private key "), 2000)
	if err := db.Secrets().Put(t.Context(), "key", secret); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(db.Path() + "*")
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 600", f, info.Mode(), err)
		}
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("very private")) {
		t.Error("the backup holds a secret")
	}
	restored := filepath.Join(t.TempDir(), FileName)
	if _, err := Restore(t.Context(), path, restored, noon); err != nil {
		t.Fatal(err)
	}
	if got := names(t, openAt(t, restored, options()).Secrets(), ""); len(got) != 0 {
		t.Errorf("restored secrets: %v", got)
	}
	if v, err := db.Secrets().Get(t.Context(), "key"); err != nil || !bytes.Equal(v, secret) {
		t.Errorf("after a backup, the secret itself is %d bytes, %v", len(v), err)
	}
}
