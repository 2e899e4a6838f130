package resolver

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// Settings is what Reconfigure changes.
type Settings struct {
	Upstreams []upstream.Spec
	Forward   []Route // domains with upstreams of their own
	AllowNets []netip.Prefix
	Block     policy.BlockMode
	Home      Home
	Proxies   Proxies
	// Forwarders are routers and relays that tell which of their devices asks.
	Forwarders []netip.Prefix
	Zone       Zone // of the server's public name
	Page       Page
}

// Home is what Kinward knows of the home by itself.
type Home struct {
	Records     *Records          // the operator's own; nil: none
	Domain      blocklists.Name   // in which devices have their names; it is answered here alone. "": none
	RebindAllow []blocklists.Name // these, and names below, may have addresses of the home
}

// Reconfigure replaces the upstreams, who is asked for which domain, who may ask, and how blocks are answered,
// all at once and without dropping a query: those under way end as they began.
// Upstreams that stay keep what is known of their health; the cache stays,
// but for domains that are asked elsewhere now. On an error nothing
// has changed.
func (s *Server) Reconfigure(c Settings) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	next, err := newSettings(c)
	if err != nil {
		return err
	}
	all := append([]Route{{Upstreams: c.Upstreams}}, c.Forward...) // the root first
	if err := s.checkUpstreams(all); err != nil {
		return err
	}
	was := map[peerKey]*peer{}
	var before routes
	if old := s.settings.Load(); old != nil {
		before = old.routes
		for _, p := range old.all {
			was[p.key()] = p
		}
	}
	next.routes = routes{}
	for _, r := range all {
		peers := s.peersOf(r, was)
		next.all = append(next.all, peers...)
		if r.Domain == "" {
			next.peers = peers
		} else {
			next.routes[r.Domain] = peers
		}
	}
	s.settings.Store(next)
	for _, d := range next.routes.changed(before) {
		s.cache.flushName(d, true) // the others knew nothing of it, or something else
	}
	select {
	case s.probeNow <- struct{}{}: // a new upstream may lead back here
	default: // a look is due already
	}
	s.retire(was, next.all)
	return nil
}

// newSettings reads all settings but the upstreams.
func newSettings(c Settings) (*settings, error) {
	if !c.Block.Valid() {
		return nil, fmt.Errorf("setting how blocks are answered: %s holds an address of the wrong family", c.Block)
	}
	if page := (policy.BlockMode{V4: c.Page.V4, V6: c.Page.V6}); !page.Valid() {
		return nil, fmt.Errorf("setting where the pages are: %s holds an address of the wrong family", page)
	}
	next := &settings{allow: new(bart.Lite), block: c.Block, records: c.Home.Records, domain: c.Home.Domain, rebindAllow: map[blocklists.Name]bool{}, page: c.Page}
	var err error
	if next.zone, err = newZone(c.Zone); err != nil {
		return nil, err
	}
	for _, n := range c.Home.RebindAllow {
		next.rebindAllow[n] = true
	}
	for _, l := range []struct {
		what string
		nets []netip.Prefix
		to   *bart.Lite
	}{
		{"who may ask", c.AllowNets, next.allow},
		{"the proxies", c.Proxies.V2, &next.proxies},
		{"the reverse proxies", c.Proxies.Web, &next.web},
		{"whose clues are believed", c.Forwarders, &next.forwarders.Lite},
	} {
		if err := insertAll(l.to, l.nets); err != nil {
			return nil, fmt.Errorf("setting %s: %w", l.what, err)
		}
	}
	next.proxied = len(c.Proxies.V2) > 0
	next.forwarders.some = len(c.Forwarders) > 0
	return next, nil
}

// checkUpstreams refuses routes that cannot be. The first is the root's.
func (s *Server) checkUpstreams(all []Route) error {
	if len(all[0].Upstreams) == 0 {
		return errors.New("setting the upstreams: there is none")
	}
	if err := CheckRoutes(all[1:]); err != nil {
		return fmt.Errorf("setting the upstreams of domains: %w", err)
	}
	for _, r := range all {
		for _, u := range r.Upstreams {
			if u.IsZero() {
				return errors.New("setting the upstreams: an empty one; make them with upstream.Parse")
			}
			if err := s.checkSelf(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// retire puts aside the peers that are not used any more, and closes those that
// were put aside long ago. The caller holds s.changing.
func (s *Server) retire(was map[peerKey]*peer, now []*peer) {
	kept, named := map[peerKey]bool{}, map[string]bool{}
	for _, p := range now {
		kept[p.key()], named[p.label] = true, true
	}
	for key, p := range was {
		if !kept[key] {
			s.retired = append(s.retired, retiredPeer{p.client, s.now()})
		}
		if !named[p.label] {
			s.metrics.forget(p.label)
		}
	}
	if err := s.closeRetired(s.now().Add(-s.limits.QueryDeadline)); err != nil {
		s.log.Warn("closing upstreams that are no longer used", "error", err) // the new settings are in force
	}
}

func insertAll(to *bart.Lite, networks []netip.Prefix) error {
	for _, n := range networks {
		if !n.IsValid() {
			return fmt.Errorf("%s is not a network", n)
		}
		to.Insert(plainNet(n))
	}
	return nil
}

// plainNet returns a network as it is looked up: one of IPv4 addresses mapped into IPv6
// is that of the addresses.
func plainNet(n netip.Prefix) netip.Prefix {
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	return n.Masked()
}

// peersOf returns the peers of a route, each once: those that were there, and new
// ones.
func (s *Server) peersOf(r Route, was map[peerKey]*peer) (out []*peer) {
	added := map[string]bool{}
	for _, u := range r.Upstreams {
		key := peerKey{u.String(), r.Domain}
		if added[key.name] {
			continue
		}
		added[key.name] = true
		p := was[key]
		if p == nil {
			o := upstream.Options{Timeout: s.limits.AttemptTimeout, Roots: s.roots, Dial: s.dial}
			p = &peer{name: key.name, label: u.Label(), zone: key.zone, client: upstream.New(u, o), m: s.metrics.forPeer(u.Label())}
		}
		out = append(out, p)
	}
	return out
}

// retiredPeer is an upstream that is no longer used. Questions that were under
// way when it was taken out end as they began.
type retiredPeer struct {
	client io.Closer
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
		for _, p := range set.all {
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
	peers  []*peer
	routes routes
	all    []*peer // of peers and routes
	allow  *bart.Lite

	proxies, web bart.Lite // see Proxies
	proxied      bool      // there are proxies

	block policy.BlockMode
	page  Page

	records     *Records
	domain      blocklists.Name
	zone        *zone // nil: none
	rebindAllow map[blocklists.Name]bool

	forwarders forwarders
}

func (s *settings) admits(a netip.Addr) bool { return s.allow.Lookup(a.Unmap().WithZone("")) }
