package resolver

import (
	"net/netip"
	"sync"
)

const (
	// maxBodies is how many bodies of DoH requests are waited for at once: 18 KB each
	// as measured, most of it net/http's, so 74 MB at worst.
	maxBodies = 4096

	// maxBodiesPerClient is that for one client. Bodies come with their heads, so an
	// honest one has a few under way, and a reverse proxy some dozens.
	maxBodiesPerClient = 512
)

// bodies counts requests whose bodies are waited for, so that who sends heads alone, a
// hundred on a connection, takes little memory. The zero value has none.
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
	if b.all >= maxBodies || b.of[client] >= maxBodiesPerClient {
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
