package console

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"kinward/store"
)

const (
	// linesPerToken is how many programs may listen with one token at a time.
	linesPerToken = 4
	// heartbeat keeps what lies between from closing a line on which nothing happens.
	heartbeat = 20 * time.Second
	// lineLife is how long a line is open before the program has to come back, and so
	// show again that its token is not over.
	lineLife = 30 * time.Minute
)

// lines counts who listens. It is safe for concurrent use.
type lines struct {
	mu sync.Mutex
	of map[store.TokenID]int
}

func newLines() *lines { return &lines{of: map[store.TokenID]int{}} }

func (l *lines) open(id store.TokenID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[id] >= linesPerToken {
		return false
	}
	l.of[id]++
	return true
}

func (l *lines) close(id store.TokenID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[id]--; l.of[id] <= 0 {
		delete(l.of, id)
	}
}

// serveEvents tells a program when something of the family may have changed, as
// server-sent events. It tells nothing of what: the program reads that, by its
// scopes.
func serveEvents(v *visit) error {
	if err := v.admitProgram(scopeRead | scopeRequests); err != nil {
		return err
	}
	if v.actor.Guardian == 0 {
		return &Refusal{Kind: Forbidden}
	}
	lines := v.server.api.lines
	if !lines.open(v.token.ID) {
		p := tooMany.because(fmt.Sprintf("A token may listen %d times at once.", linesPerToken))
		p.header.Set("Retry-After", strconv.Itoa(int(heartbeat.Seconds())))
		return p
	}
	defer lines.close(v.token.ID)
	changes, stop := v.server.desk.Watch(v.actor)
	defer stop()
	control := http.NewResponseController(v.w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // it outlives what a request may take
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	v.w.WriteHeader(http.StatusOK)
	return listen(v, control, changes)
}

func listen(v *visit, control *http.ResponseController, changes <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	over := time.NewTimer(lineLife)
	defer over.Stop()
	say := func(text string) bool {
		if control.SetWriteDeadline(time.Now().Add(heartbeat)) != nil {
			return false
		}
		_, err := fmt.Fprint(v.w, text)
		return err == nil && control.Flush() == nil
	}
	for n, ok := 1, say("retry: 5000\n: listening\n\n"); ok; {
		select {
		case <-v.request.Context().Done():
			return nil
		case <-over.C:
			return nil
		case <-beat.C:
			ok = say(": still here\n\n")
		case <-changes:
			ok = say(fmt.Sprintf("id: %d\nevent: changed\ndata: {}\n\n", n))
			n++
		}
	}
	return nil
}
