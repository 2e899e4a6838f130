package resolver

import (
	"net/netip"
	"sync"
)

const (
	// maxBodies is how much is waited for at once: bodies of DoH requests, 18 KB each
	// as measured, most of it net/http's, questions of DoQ and requests over HTTP/3, 19
	// KB, most of it goroutines. So 78 MB at worst, and what newcomers have.
	maxBodies = 4096

	// maxBodiesPerClient is that for one client. Bodies come with their heads, so an
	// honest one has a few under way, and a reverse proxy some dozens.
	maxBodiesPerClient = 512

	// bodiesOfNewcomer is what a client may have while all places are taken: it takes
	// eight clients to take them, and nobody else is to be kept from asking by that.
	bodiesOfNewcomer = 2
)

// bodies counts what is waited for, so that who sends heads or halves alone, a hundred
// on a connection, takes little memory. The zero value has none.
type bodies struct {
	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int
}

// enter returns false where a client, or all of them, have too many. Each that has
// entered must leave.
func (b *bodies) enter(client netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.of[client]
	if n >= maxBodiesPerClient || b.all >= maxBodies && n >= bodiesOfNewcomer {
		return false
	}
	if b.of == nil {
		b.of = map[netip.Prefix]int{}
	}
	b.all++
	b.of[client]++
	return true
}

func (b *bodies) leave(client netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[client]--; b.of[client] == 0 {
		delete(b.of, client)
	}
}
