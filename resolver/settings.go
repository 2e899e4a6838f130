package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"

	"github.com/gaissmai/bart"
)

// Settings is what Reconfigure changes.
type Settings struct {
	Upstreams []upstream.Spec
	AllowNets []netip.Prefix
	Block     policy.BlockMode
	Home      Home
}

// Home is what Kinward knows of the home by itself.
type Home struct {
	Records     *Records          // the operator's own; nil: none
	Domain      blocklists.Name   // in which devices have their names; it is answered here alone. "": none
	RebindAllow []blocklists.Name // these, and names below, may have addresses of the home
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
	next := &settings{allow: new(bart.Lite), block: c.Block, records: c.Home.Records, domain: c.Home.Domain, rebindAllow: map[blocklists.Name]bool{}}
	for _, n := range c.Home.RebindAllow {
		next.rebindAllow[n] = true
	}
	for _, n := range c.AllowNets {
		if !n.IsValid() {
			return fmt.Errorf("setting who may ask: %s is not a network", n)
		}
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		next.allow.Insert(n.Masked())
	}
	was := map[string]*peer{}
	if old := s.settings.Load(); old != nil {
		for _, p := range old.peers {
			was[p.name] = p
		}
	}
	for _, u := range c.Upstreams {
		if u.IsZero() {
			return errors.New("setting the upstreams: an empty one; make them with upstream.Parse")
		}
		if err := s.checkSelf(u); err != nil {
			return err
		}
	}
	added := map[string]bool{}
	for _, u := range c.Upstreams {
		name := u.String()
		if added[name] {
			continue
		}
		added[name] = true
		p := was[name]
		if p == nil {
			o := upstream.Options{Timeout: s.limits.AttemptTimeout, Roots: s.roots}
			p = &peer{name: name, client: upstream.New(u, o), m: s.metrics.forPeer(name)}
		}
		next.peers = append(next.peers, p)
	}
	s.settings.Store(next)
	select {
	case s.probeNow <- struct{}{}: // a new upstream may lead back here
	default: // a look is due already
	}
	for name, p := range was {
		if !added[name] {
			s.metrics.forget(name)
			s.retired = append(s.retired, retiredPeer{p.client, s.now()})
		}
	}
	return s.closeRetired(s.now().Add(-s.limits.QueryDeadline))
}

// retiredPeer is an upstream that is no longer used. Questions that were under
// way when it was taken out end as they began.
type retiredPeer struct {
	client *upstream.Client
	since  time.Time
}

// closeRetired closes the clients that nobody can be asking any more. The caller
// holds s.changing.
func (s *Server) closeRetired(before time.Time) error {
	var errs []error
	s.retired = slices.DeleteFunc(s.retired, func(r retiredPeer) bool {
		if r.since.After(before) {
			return false
		}
		errs = append(errs, r.client.Close())
		return true
	})
	return errors.Join(errs...)
}

// closeClients closes all connections to upstreams. Nothing may be asked any
// more.
func (s *Server) closeClients() error {
	s.changing.Lock()
	defer s.changing.Unlock()
	var errs []error
	if set := s.settings.Load(); set != nil {
		for _, p := range set.peers {
			errs = append(errs, p.client.Close())
		}
	}
	for _, r := range s.retired {
		errs = append(errs, r.client.Close())
	}
	s.retired = nil
	return errors.Join(errs...)
}

// settings is what can change while the server runs: an immutable snapshot that
// each query takes once.
type settings struct {
	peers []*peer
	allow *bart.Lite
	block policy.BlockMode

	records     *Records
	domain      blocklists.Name
	rebindAllow map[blocklists.Name]bool
}

func (s *settings) admits(a netip.Addr) bool { return s.allow.Lookup(a.Unmap().WithZone("")) }

// peersFor returns the upstreams that are asked for a name.
func (s *settings) peersFor(blocklists.Name) []*peer { return s.peers }

// routed reports whether a name is asked of upstreams of its own.
func (s *settings) routed(blocklists.Name) bool { return false }
