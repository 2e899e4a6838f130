package console

import (
	"io"
	"net/http"
	"sync"
	"time"

	"kinward/store"
)

var liveRoutes = []route{
	{"GET /live", viewers, live},
}

const (
	// maxStreams is how many pages of one guardian are told of changes; a further
	// one takes the place of the oldest, which shows what is new when it is looked
	// at again. A phone that was out of reach leaves streams that nobody reads.
	maxStreams = 8
	// heartbeat is often enough for what stands between (a minute is common), and is
	// when a session that has ended is noticed.
	heartbeat = 25 * time.Second
	// liveEvery is how often a page is told at most: each time it asks for itself.
	liveEvery = time.Second
	// liveWrite is how long a browser may take to read a line.
	liveWrite = 10 * time.Second
)

// streams are the open event streams, of each guardian the oldest first. The zero
// value is ready, and safe for concurrent use.
type streams struct {
	mu     sync.Mutex
	of     map[streamOwner][]chan bool
	closed bool
}

// streamOwner is whose streams are counted together.
type streamOwner struct {
	family, guardian int64
}

// open adds a stream. ended holds true where another takes its place, and is closed
// where the server stops; leave takes the stream away.
func (s *streams) open(who streamOwner) (ended <-chan bool, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan bool, 1)
	if s.closed {
		close(c)
		return c, func() {}
	}
	if s.of == nil {
		s.of = map[streamOwner][]chan bool{}
	}
	if list := s.of[who]; len(list) == maxStreams {
		list[0] <- true
		s.of[who] = list[1:]
	}
	s.of[who] = append(s.of[who], c)
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		var left []chan bool
		for _, other := range s.of[who] {
			if other != c {
				left = append(left, other)
			}
		}
		if len(left) == 0 {
			delete(s.of, who) // also where close has forgotten all
			return
		}
		s.of[who] = left
	}
}

// close ends all streams, those to come included.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, list := range s.of {
		for _, c := range list {
			close(c)
		}
	}
	s.of = nil
}

// live tells a page that something of the family may have changed, by server-sent
// events. It says no more than that: the page asks for itself, as whoever it is by
// then. It ends with the session, with the server, and where the browser goes. A
// page is told of an end that lasts; where the server stops it is not, and so
// connects again by itself, to the server that starts next.
func live(v *visit) error {
	changes, stop := v.server.desk.Watch(v.actor)
	defer stop()
	ended, leave := v.server.streams.open(streamOwner{int64(v.actor.Family), int64(v.actor.Guardian)})
	defer leave()
	v.tell(changes, ended, v.stillIn)
	return nil
}

// tell writes the stream until it ends; in says whether the session still lasts.
func (v *visit) tell(changes <-chan struct{}, ended <-chan bool, in func() bool) {
	c := http.NewResponseController(v.w)
	_ = c.SetReadDeadline(time.Time{}) // that of requests would end it; where it cannot be set there is none
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy that gathers lines would hold them back
	send := func(text string) bool {
		_ = c.SetWriteDeadline(time.Now().Add(liveWrite))
		if _, err := io.WriteString(v.w, text); err != nil {
			return false
		}
		return c.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for alive := send("retry: 5000\n\n"); alive; {
		next := ": still here\n\n"
		select {
		case <-v.request.Context().Done():
			return
		case replaced := <-ended:
			if replaced {
				send("event: end\ndata:\n\n")
			}
			return
		case <-beat.C:
		case <-changes:
			next = "event: change\ndata:\n\n"
		}
		if !in() {
			send("event: end\ndata:\n\n")
			return
		}
		if alive = send(next); next[0] == ':' {
			continue
		}
		select {
		case <-v.request.Context().Done():
			return
		case <-time.After(liveEvery): // what rings meanwhile is told together
		}
	}
}

// stillIn reports whether whoever made the visit could still make it: their session
// or token has not ended, and they still belong to the family.
func (v *visit) stillIn() bool {
	ctx := v.request.Context()
	var account store.Account
	var err error
	if secret, ok := bearer(v.request); ok {
		_, account, err = v.server.accounts.Token(ctx, secret)
	} else {
		_, account, err = v.server.accounts.Session(ctx, v.cookie(sessionCookie))
	}
	if err != nil || account.ID != v.account.ID {
		return false
	}
	_, _, err = v.server.accounts.Guardian(ctx, account)
	return err == nil
}
