package console

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"sync"
	"time"

	"kinward/policy"
)

// A ticket lets a device that is set up open its own steps without a sign-in. It
// is for one device and one platform, for a short while, and works while whoever
// made it may still do so: the desk is asked each time.

const (
	ticketLife  = 30 * time.Minute
	ticketsEach = 16 // of a family at a time
)

type ticketFor struct {
	family   policy.FamilyID
	device   int64
	platform string
}

type ticket struct {
	secret string
	by     Actor
	device string
	until  time.Time
}

type tickets struct {
	mu  sync.Mutex
	all map[ticketFor]ticket
}

// make makes a ticket; one that was out for the same is worth nothing any more.
func (t *tickets) make(id ticketFor, by Actor, device string, now time.Time) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[ticketFor]ticket{}
	}
	own, oldest := 0, id
	for k, x := range t.all {
		if !now.Before(x.until) {
			delete(t.all, k)
		} else if k.family == id.family && k != id {
			if own++; oldest == id || x.until.Before(t.all[oldest].until) {
				oldest = k
			}
		}
	}
	if own >= ticketsEach {
		delete(t.all, oldest)
	}
	t.all[id] = ticket{base64.RawURLEncoding.EncodeToString(b[:]), by, device, now.Add(ticketLife)}
}

// of returns the ticket that is out for something.
func (t *tickets) of(id ticketFor, now time.Time) (secret string, until time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.all[id]
	return x.secret, x.until, ok && now.Before(x.until)
}

// find returns what a ticket is for.
func (t *tickets) find(secret string, now time.Time) (id ticketFor, found ticket, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, x := range t.all {
		if x.secret == secret && now.Before(x.until) { // 128 bits of chance: nobody times a guess
			return k, x, true
		}
	}
	return id, found, false
}

// holder makes the visit that of whoever made the ticket in the path, for what the
// ticket is for.
func (v *visit) holder() (ticketFor, ticket, error) {
	id, t, ok := v.server.tickets.find(v.request.PathValue("ticket"), v.now)
	if !ok {
		return id, t, &Refusal{Kind: NotFound, Text: v.lang.text("setup.ticket.over")}
	}
	t.by.Lang = v.lang.tag
	v.actor = t.by
	return id, t, nil
}

// ticketPage shows a device the steps for itself.
func ticketPage(v *visit) error {
	id, t, err := v.holder()
	if err != nil {
		return err
	}
	s := setupView{Platform: id.platform, Self: v.request.URL.Path, Only: true, Device: &deviceView{Name: t.device}}
	err = v.guide(&s, setupRequest{Device: t.device, Platform: id.platform, Look: true})
	v.actor = Actor{} // the page shows nothing else of theirs
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "setup", s)
}

func ticketProfile(v *visit) error {
	id, t, err := v.holder()
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"iphone", "mac"}, id.platform) {
		return &Refusal{Kind: NotFound}
	}
	return v.profile(t.device)
}
