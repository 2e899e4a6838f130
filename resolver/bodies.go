package resolver

import (
	"net/netip"
	"sync"
)

const (
	// maxBodies is how much is waited for at once: bodies of DoH requests, 18 KB each
	// as measured, most of it net/http's, and questions of DoQ, 19 KB, most of it
	// goroutines. A request over HTTP/3 counts until it is answered, since its library
	// does not say when the head is there. So 78 MB at worst, and what newcomers have:
	// nearly five times that again, where each of 10,000 connections is another one's.
	maxBodies = 4096

	// maxBodiesPerClient is that for one client. Bodies come with their heads, so an
	// honest one has a few under way, and a reverse proxy some dozens.
	maxBodiesPerClient = 512

	// bodiesOfNewcomer is what a client may have while all places are taken: it takes
	// eight clients to take them, and nobody else is to be kept from asking by that.
	bodiesOfNewcomer = 2
)

// newBodies has places for what is waited for, so that who sends heads or halves alone,
// a hundred on a connection, takes little memory.
func newBodies() *places {
	return &places{most: maxBodies, perClient: maxBodiesPerClient, ofNewcomer: bodiesOfNewcomer}
}

// places are a bounded number, of which a client has a part.
type places struct {
	most, perClient int
	ofNewcomer      int // for a client while all are taken

	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int
}

// taken returns how many are.
func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// enter returns false where a client, or all of them, have too many. The invalid
// client is not known. Each that has entered must leave.
func (p *places) enter(client netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.of[client]
	if n >= p.perClient || p.all >= p.most && n >= p.ofNewcomer {
		return false
	}
	p.all++
	if !client.IsValid() {
		return true
	}
	if p.of == nil {
		p.of = map[netip.Prefix]int{}
	}
	p.of[client]++
	return true
}

func (p *places) leave(client netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if !client.IsValid() {
		return
	}
	if p.of[client]--; p.of[client] == 0 {
		delete(p.of, client)
	}
}
