package console

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"kinward/policy"
	"kinward/store"
)

// throttle bounds how often somebody may be wrong at the door: from one network,
// about one name, and all together. It asks for no account, so that it behaves the
// same whether there is one. What it remembers is bounded.
//
// Who has signed in from this browser before (see visit.known) is counted apart, so
// that nobody can lock a guardian out by guessing in their name.
type throttle struct {
	mu    sync.Mutex
	now   func() time.Time
	since time.Time
	all   int
	wrong *lru.Cache[string, tally]
	under map[string]int // guesses that are being looked at; see begin
}

type tally struct {
	since time.Time
	count int
}

const (
	wrongWindow     = 15 * time.Minute
	wrongPerPlace   = 20
	wrongPerName    = 20
	wrongPerCode    = 20
	wrongPerKnown   = 10
	wrongAltogether = 2000
	wrongKept       = 1 << 13 // more than can be wrong altogether in two windows, so nothing that counts is pushed out
)

func newThrottle(now func() time.Time) *throttle {
	c, err := lru.New[string, tally](wrongKept)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &throttle{now: now, wrong: c, under: map[string]int{}}
}

// mayTry reports whether somebody at an address may try again in a name ("": none
// is given).
func (t *throttle) mayTry(from netip.Addr, name string) bool { return t.may(from, name, "") }

// failed counts that it was wrong.
func (t *throttle) failed(from netip.Addr, name string) { t.fail(from, name, "") }

// may is mayTry; known names the browser where it has signed in before.
func (t *throttle) may(from netip.Addr, name, known string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open(boundsOf(from, aboutName(name), known)) == nil
}

func (t *throttle) fail(from netip.Addr, name, known string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failing(boundsOf(from, aboutName(name), known))
}

// begin lets somebody guess about something. Until end says whether the
// guess was wrong it counts as if it were, so that many guesses at once are no more
// than as many one after the other. Where those under way leave no room it returns
// errBusy, since they may all be right.
func (t *throttle) begin(from netip.Addr, about bound, known string) (end func(wrong bool), err error) {
	bounds := boundsOf(from, about, known)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.open(bounds); err != nil {
		return nil, err
	}
	for _, b := range bounds {
		if t.under[b.key]+t.count(b.key) >= b.most {
			return nil, errBusy
		}
	}
	for _, b := range bounds {
		t.under[b.key]++
	}
	return func(wrong bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, b := range bounds {
			if t.under[b.key]--; t.under[b.key] == 0 {
				delete(t.under, b.key)
			}
		}
		if wrong {
			t.failing(bounds)
		}
	}, nil
}

// bound is how often something may be wrong.
type bound struct {
	key  string
	most int
}

// altogether is the bound of all who are not known.
var altogether = bound{"all", wrongAltogether}

// aboutName is what a guess at the password of a name is about, and aboutCode one at
// the code of an account: no name that somebody types is the latter.
func aboutName(name string) bound {
	if name == "" {
		return bound{}
	}
	return bound{"name " + policy.NameKey(name), wrongPerName}
}

func aboutCode(id store.AccountID) bound {
	return bound{"code " + strconv.FormatInt(int64(id), 10), wrongPerCode}
}

// boundsOf returns what a guess is held against.
func boundsOf(from netip.Addr, about bound, known string) []bound {
	if known != "" {
		return []bound{{"known " + known, wrongPerKnown}}
	}
	bounds := []bound{altogether, {"place " + networkOf(from).String(), wrongPerPlace}}
	if about.key != "" {
		bounds = append(bounds, about)
	}
	return bounds
}

// open returns errTooMany where one of the bounds is reached.
func (t *throttle) open(bounds []bound) error {
	for _, b := range bounds {
		if t.count(b.key) >= b.most {
			return errTooMany
		}
	}
	return nil
}

func (t *throttle) failing(bounds []bound) {
	for _, b := range bounds {
		t.add(b.key)
	}
}

func (t *throttle) count(key string) int {
	if key == altogether.key {
		if now := t.now(); now.Sub(t.since) >= wrongWindow || now.Before(t.since) {
			return 0
		}
		return t.all
	}
	x, ok := t.wrong.Get(key)
	if !ok || t.now().Sub(x.since) >= wrongWindow {
		return 0
	}
	return x.count
}

func (t *throttle) add(key string) {
	if key == altogether.key { // apart, so that nothing pushes it out
		if now := t.now(); now.Sub(t.since) >= wrongWindow || now.Before(t.since) {
			t.since, t.all = now, 0
		}
		t.all++
		return
	}
	x, ok := t.wrong.Get(key)
	if now := t.now(); !ok || now.Sub(x.since) >= wrongWindow {
		x = tally{since: now}
	}
	x.count++
	t.wrong.Add(key, x)
}

// networkOf returns the network of an address as it is counted and kept. Out in the
// world that is what one home has, no device of it. At home it is the device: there
// are few, and one that guesses should shut out no other.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	own, bits := a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast(), 24
	switch {
	case own && a.Is4():
		bits = 32
	case own:
		bits = 64
	case a.Is6():
		bits = 56
	}
	p, _ := a.Prefix(bits) // no error: the bits are
	return p
}
