package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestWrittenIsSynced: what was recorded goes to a segment and, with no reader
// and no store, is brought to the disk soon, without anybody asking for it.
func TestWrittenIsSynced(t *testing.T) {
	s := openIn(t, t.TempDir(), Config{SyncEvery: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	record(t, s, 0, 10)
	synced := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.active != nil && s.active.synced && len(s.dirty) == 0
	}
	for limit := time.Now().Add(10 * time.Second); !synced(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("what was written is never synced")
		}
	}
	cancel()
	<-ended
}

// TestFolderThatDoesNotSync: where the folder cannot be brought to the disk, which is
// tried again, what is kept of the segments is what is in them.
func TestFolderThatDoesNotSync(t *testing.T) {
	dir := t.TempDir()
	const limit = 1 << 20
	s := openIn(t, dir, Config{RingBytes: 4 << 20, DiskBytes: limit})
	record(t, s, 0, 10)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	home := s.folder.path
	s.folder.path = filepath.Join(dir, "not there")
	if err := s.sync(); err == nil || s.active.synced {
		t.Errorf("the folder is not there: %v, and the segment is taken for synced: %t", err, s.active.synced)
	}
	s.folder.path = home
	record(t, s, 10, 20)
	if err := s.Pull(); err != nil {
		t.Fatal(err)
	}
	if err := s.sync(); err != nil || !s.active.synced {
		t.Errorf("it is there again: %v, and the segment is taken for synced: %t", err, s.active.synced)
	}
	n, failed := 20, 0
	for written := 0; written < 6*limit; written += 1000 * frameSize(80) {
		record(t, s, n, n+1000)
		n += 1000
		if len(s.segments) > 4 {
			s.folder.path = filepath.Join(dir, "not there") // to the next that is made, which takes the folder
		}
		before := s.stats.errors.Load()
		_ = s.Pull() // who makes room has an error
		failed += int(s.stats.errors.Load() - before)
		s.folder.path = home
		if err := s.Pull(); err != nil {
			t.Fatal(err)
		}
		sum, end := int64(0), s.segments[0].base
		for _, seg := range s.segments {
			if seg.base != end {
				t.Fatalf("a segment begins at %d, and what is before it ends at %d", seg.base, end)
			}
			sum, end = sum+seg.bytes, seg.end
		}
		if sum != s.bytes {
			t.Fatalf("the segments have %d bytes, and %d are counted", sum, s.bytes)
		}
	}
	if failed == 0 {
		t.Fatal("no folder failed to sync")
	}
	restarted := openIn(t, dir, Config{DiskBytes: limit})
	names, lost := drain(t, restarted)
	told := 0
	for _, name := range names {
		var q int
		if k, _ := fmt.Sscanf(name, "%d of category", &q); k == 0 {
			q = 1
		}
		told += q
	}
	if told+int(lost) != n {
		t.Errorf("of %d attempts %d are told, and %d said to be lost", n, told, lost)
	}
}
