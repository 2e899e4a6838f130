package blocklists

// Guard says why a list from elsewhere must not block a name: because it is a
// host that unrelated services depend on, a name above one, or one that must
// stay reachable. It returns SkipNone where nothing speaks against it. A name below a shared host
// may be blocked, since it belongs to one of the host's users.
func (c *Catalogue) Guard(n Name) SkipReason {
	if g, ok := c.guarded[n]; ok {
		return g.why
	}
	for p := n.Parent(); p != ""; p = p.Parent() {
		if g := c.guarded[p]; g.below {
			return g.why
		}
	}
	return SkipNone
}

// guarded is why a name must not be blocked, and whether that holds for the
// names below it too.
type guarded struct {
	why   SkipReason
	below bool
}

// guards collects the names that lists must not block. A name above a shared
// host is one of them, since a list's entry covers what lies below it, unless
// the catalogue itself takes the host along on purpose.
func (l *loader) guards() map[Name]guarded {
	g := make(map[Name]guarded, len(l.c.Shared)+len(l.c.Reachable))
	for _, s := range l.c.Shared {
		for p := s.Name; p.Labels() > 1; p = p.Parent() {
			if o, ok := l.domains[p]; ok && l.c.Services[o.service].Domains[o.domain].AboveShared {
				break
			}
			g[p] = guarded{why: SkipSharedHost}
		}
	}
	for _, r := range l.c.Reachable {
		g[r.Name] = guarded{SkipReachable, !r.Exact}
	}
	return g
}

// SharedHosts returns the shared hosts that a block of n would take along: n
// itself, and those below it unless the block is for exactly n.
func (c *Catalogue) SharedHosts(n Name, exact bool) []SharedHost {
	var hit []SharedHost
	for _, s := range c.Shared {
		if s.Name == n || !exact && s.Name.IsBelow(n) {
			hit = append(hit, s)
		}
	}
	return hit
}
