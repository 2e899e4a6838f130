package blocklists

// Guard says why a list from elsewhere must not block a name: because it is a
// host that unrelated services depend on, or one that must stay reachable. It
// returns SkipNone where nothing speaks against it. A name below a shared host
// may be blocked, since it belongs to one of the host's users.
func (c *Catalogue) Guard(n Name) SkipReason { return c.guarded[n] }

// guards collects the names that lists must not block.
func (c *Catalogue) guards() map[Name]SkipReason {
	g := make(map[Name]SkipReason, len(c.Shared)+len(c.Reachable))
	for _, s := range c.Shared {
		g[s.Name] = SkipSharedHost
	}
	for _, r := range c.Reachable {
		g[r.Name] = SkipReachable
	}
	return g
}
