package console

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"kinward/policy"
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
}

type tally struct {
	since time.Time
	count int
}

const (
	wrongWindow     = 15 * time.Minute
	wrongPerPlace   = 20
	wrongPerName    = 20
	wrongPerKnown   = 10
	wrongAltogether = 2000
	wrongKept       = 1 << 13 // more than can be wrong altogether in two windows, so nothing that counts is pushed out
)

func newThrottle(now func() time.Time) *throttle {
	c, err := lru.New[string, tally](wrongKept)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &throttle{now: now, wrong: c}
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
	if known != "" {
		return t.count("known "+known) < wrongPerKnown
	}
	if t.now().Sub(t.since) < wrongWindow && t.all >= wrongAltogether {
		return false
	}
	return t.count("place "+networkOf(from).String()) < wrongPerPlace && (name == "" || t.count("name "+policy.NameKey(name)) < wrongPerName)
}

func (t *throttle) fail(from netip.Addr, name, known string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known != "" {
		t.add("known " + known)
		return
	}
	now := t.now()
	if now.Sub(t.since) >= wrongWindow || now.Before(t.since) {
		t.since, t.all = now, 0
	}
	t.all++
	t.add("place " + networkOf(from).String())
	if name != "" {
		t.add("name " + policy.NameKey(name))
	}
}

func (t *throttle) count(key string) int {
	x, ok := t.wrong.Get(key)
	if !ok || t.now().Sub(x.since) >= wrongWindow {
		return 0
	}
	return x.count
}

func (t *throttle) add(key string) {
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
