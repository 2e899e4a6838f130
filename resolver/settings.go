package resolver

import (
	"errors"
	"fmt"
	"net/netip"

	"kinward/policy"

	"github.com/gaissmai/bart"
)

// Settings is what Reconfigure changes.
type Settings struct {
	Upstreams []Upstream
	AllowNets []netip.Prefix
	Block     policy.BlockMode
}

// Reconfigure replaces the upstreams, who may ask, and how blocks are answered,
// all at once and without dropping a query: those under way end as they began.
// Upstreams that stay keep what is known of their health; the cache stays. On an
// error nothing has changed.
func (s *Server) Reconfigure(c Settings) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if len(c.Upstreams) == 0 {
		return errors.New("setting the upstreams: there is none")
	}
	if !c.Block.Valid() {
		return fmt.Errorf("setting how blocks are answered: %s holds an address of the wrong family", c.Block)
	}
	next := &settings{allow: new(bart.Lite), block: c.Block}
	for _, n := range c.AllowNets {
		if !n.IsValid() {
			return fmt.Errorf("setting who may ask: %s is not a network", n)
		}
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		next.allow.Insert(n.Masked())
	}
	was := map[Upstream]*peer{}
	if old := s.settings.Load(); old != nil {
		for _, p := range old.peers {
			was[p.Upstream] = p
		}
	}
	for _, u := range c.Upstreams {
		if u == (Upstream{}) {
			return errors.New("setting the upstreams: an empty one; make them with ParseUpstream")
		}
		if err := s.checkSelf(u); err != nil {
			return err
		}
	}
	added := map[Upstream]bool{}
	for _, u := range c.Upstreams {
		if added[u] {
			continue
		}
		added[u] = true
		p := was[u]
		if p == nil {
			p = &peer{Upstream: u, m: s.metrics.forPeer(u)}
		}
		next.peers = append(next.peers, p)
	}
	s.settings.Store(next)
	select {
	case s.probeNow <- struct{}{}: // a new upstream may lead back here
	default: // a look is due already
	}
	for u := range was {
		if !added[u] {
			s.metrics.forget(u)
		}
	}
	return nil
}

// settings is what can change while the server runs: an immutable snapshot that
// each query takes once.
type settings struct {
	peers []*peer
	allow *bart.Lite
	block policy.BlockMode
}

func (s *settings) admits(a netip.Addr) bool { return s.allow.Lookup(a.Unmap().WithZone("")) }
