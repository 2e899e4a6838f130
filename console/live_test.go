package console

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTell: a page is told of changes, once a second at most, hears from the server
// while nothing changes, and is told when the session ends.
func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &heard{ResponseRecorder: httptest.NewRecorder()}
		v := &visit{w: w, request: httptest.NewRequestWithContext(ctx, "GET", "/live", nil)}
		changes, ended := make(chan struct{}, 1), make(chan bool, 1)
		var in atomic.Bool
		in.Store(true)
		done := make(chan struct{})
		go func() { defer close(done); v.tell(changes, ended, in.Load) }()
		said := func() string {
			synctest.Wait()
			return strings.NewReplacer("\n\n", "|", "\ndata:", "").Replace(w.take())
		}
		if got := said(); got != "retry: 5000|" || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("it begins with %q, %v", got, w.Header())
		}
		changes <- struct{}{}
		if got := said(); got != "event: change|" {
			t.Errorf("a change is told as %q", got)
		}
		changes <- struct{}{} // the next one rings too soon
		if got := said(); got != "" {
			t.Errorf("within the second it says %q", got)
		}
		time.Sleep(liveEvery)
		if got := said(); got != "event: change|" {
			t.Errorf("after the second it says %q", got)
		}
		time.Sleep(heartbeat)
		if got := said(); got != ": still here|" {
			t.Errorf("the heartbeat is %q", got)
		}
		in.Store(false)
		time.Sleep(heartbeat)
		if got := said(); got != "event: end|" {
			t.Errorf("after the session it says %q", got)
		}
		<-done
	})
}

// TestStreams: a guardian's streams are bounded, and the newest one is kept.
func TestStreams(t *testing.T) {
	var s streams
	isOver := func(c <-chan bool) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	eva, karl := streamOwner{1, 1}, streamOwner{1, 2}
	var open []<-chan bool
	var leave []func()
	for range maxStreams + 1 {
		c, l := s.open(eva)
		open, leave = append(open, c), append(leave, l)
	}
	other, _ := s.open(karl)
	for i, c := range open {
		if isOver(c) != (i == 0) {
			t.Errorf("stream %d of %d is over: %v", i, len(open), isOver(c))
		}
	}
	for _, l := range leave {
		l()
	}
	if len(s.of) != 1 || isOver(other) {
		t.Errorf("streams are left after all of Eva's went: %v", s.of)
	}
	s.close()
	if late, _ := s.open(eva); !isOver(other) || !isOver(late) {
		t.Error("a stream outlives the server")
	}
}

// TestTellEnds: a page learns of an end that lasts, and hears nothing of a server that
// stops, so that it connects again by itself.
func TestTellEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*streams)
		want string
	}{
		{"another page takes its place", func(s *streams) {
			for range maxStreams {
				s.open(streamOwner{1, 1})
			}
		}, "retry: 5000\n\nevent: end\ndata:\n\n"},
		{"the server stops", (*streams).close, "retry: 5000\n\n"},
	} {
		var s streams
		ended, leave := s.open(streamOwner{1, 1})
		tt.end(&s)
		w := httptest.NewRecorder()
		v := &visit{w: w, request: httptest.NewRequest("GET", "/live", nil)}
		v.tell(nil, ended, func() bool { return true })
		leave()
		if got := w.Body.String(); got != tt.want {
			t.Errorf("%s: the page is told %q, want %q", tt.name, got, tt.want)
		}
	}
}

// heard is what a stream said, which is taken while the stream goes on.
type heard struct {
	mu sync.Mutex
	*httptest.ResponseRecorder
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ResponseRecorder.Write(b)
}

func (h *heard) WriteString(s string) (int, error) { return h.Write([]byte(s)) }

func (h *heard) Flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ResponseRecorder.Flush()
}

// take returns what was said since the last time.
func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.Body.Reset()
	return h.Body.String()
}
