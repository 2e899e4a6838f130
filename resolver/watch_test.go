package resolver

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// watched is a Watch that remembers.
type watched struct {
	mu    sync.Mutex
	names []string
	who   []policy.Asker
}

func (w *watched) Asked(who policy.Asker, client netip.Addr, name blocklists.Name, _ uint16, _ time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = append(w.names, client.String()+" "+name.String())
	w.who = append(w.who, who)
}

// TestWatch: it is shown every question once, allowed or blocked, cached or not,
// and who asks, but neither help lines nor what devices need.
func TestWatch(t *testing.T) {
	w := &watched{}
	c := config(t, newFake(t, "fine.example. 60 IN A 192.0.2.1", "help.example. 60 IN A 192.0.2.2", "plumbing.example. 60 IN A 192.0.2.3"))
	c.Watch = w
	s := start(t, c)
	for _, name := range []string{"fine.example.", "fine.example.", "www.stranger.example.", "help.example.", "plumbing.example."} {
		ask(t, s, ruled, msgFor(name, dns.TypeA))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if want := []string{ruled + " fine.example", ruled + " fine.example", ruled + " www.stranger.example"}; !slices.Equal(w.names, want) {
		t.Errorf("shown %q, want %q", w.names, want)
	}
	for _, a := range w.who {
		if a.Device != 21 || a.Policy == nil {
			t.Errorf("asked by %+v", a)
		}
	}
}
