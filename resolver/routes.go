package resolver

import (
	"fmt"
	"maps"
	"slices"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

// Route sends the questions for a domain, and all below it, to upstreams of their
// own: the home's names and its reverse zones to the router. The longest domain
// decides. Where its upstreams fail the question fails: a name of the home is
// nobody else's business.
type Route struct {
	Domain    blocklists.Name
	Upstreams []upstream.Spec
}

// maxRoutes bounds what the probes for loops cost.
const maxRoutes = 64

// CheckRoutes reports what is wrong with routes.
func CheckRoutes(routes []Route) error {
	if len(routes) > maxRoutes {
		return fmt.Errorf("%d domains have upstreams of their own; at most %d can", len(routes), maxRoutes)
	}
	seen := map[blocklists.Name]bool{}
	for _, r := range routes {
		switch {
		case r.Domain == "":
			return fmt.Errorf("the root is no domain to forward: that is what upstream is for")
		case seen[r.Domain]:
			return fmt.Errorf("domain %s stands twice; give it once, with all its upstreams", r.Domain)
		case len(r.Upstreams) == 0:
			return fmt.Errorf("domain %s has no upstream", r.Domain)
		case len(probeName(noToken, r.Domain)) > blocklists.MaxNameLen:
			return fmt.Errorf("domain %s is too long", r.Domain)
		}
		switch r.Domain.Suffix(1) {
		case "\x09localhost", "\x07invalid", "\x05onion":
			return fmt.Errorf("domain %s is one that no server is ever asked for (RFC 6761, RFC 7686)", r.Domain)
		}
		if r.Domain.IsBelow(resolverArpa) {
			return fmt.Errorf("domain %s would let devices be led past the filter (RFC 9462)", r.Domain)
		}
		seen[r.Domain] = true
	}
	return nil
}

// routes finds the upstreams of a name.
type routes map[blocklists.Name][]*peer

// of returns the upstreams of the longest domain that holds n, nil if none does.
func (r routes) of(n blocklists.Name) []*peer {
	if len(r) == 0 {
		return nil
	}
	for {
		if peers, ok := r[n]; ok {
			return peers
		}
		if n == "" {
			return nil
		}
		n = n.Parent()
	}
}

// changed lists the domains whose answers may differ from those kept before.
func (r routes) changed(old routes) (out []blocklists.Name) {
	for _, d := range slices.Sorted(maps.Keys(r)) {
		if !slices.Equal(r[d], old[d]) {
			out = append(out, d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(old)) {
		if _, still := r[d]; !still {
			out = append(out, d)
		}
	}
	return out
}

// peersFor returns the upstreams that are asked for a name.
func (s *settings) peersFor(n blocklists.Name) []*peer {
	if peers := s.routes.of(n); peers != nil {
		return peers
	}
	return s.peers
}

// routed reports whether n has upstreams of its own. What is answered locally only
// because nobody can know it is then asked of them.
func (s *settings) routed(n blocklists.Name) bool { return s.routes.of(n) != nil }
