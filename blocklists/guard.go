package blocklists

// Guard says why a list from elsewhere must not block a name: because it is a
// host that unrelated services depend on, or one that must stay reachable. It
// returns SkipNone where nothing speaks against it. A name below a shared host
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

// guards collects the names that lists must not block.
func (c *Catalogue) guards() map[Name]guarded {
	g := make(map[Name]guarded, len(c.Shared)+len(c.Reachable))
	for _, s := range c.Shared {
		g[s.Name] = guarded{why: SkipSharedHost}
	}
	for _, r := range c.Reachable {
		g[r.Name] = guarded{SkipReachable, !r.Exact}
	}
	return g
}
