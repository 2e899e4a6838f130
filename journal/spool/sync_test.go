package spool

import (
	"context"
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
