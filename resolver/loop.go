package resolver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

// checkSelf refuses an upstream that is one of the server's own addresses.
// Roundabout ways home are found by probes.
func (s *Server) checkSelf(u upstream.Spec) error { return CheckSelf(s.addrs, u) }

// CheckSelf refuses an upstream that is one of the addresses listened on.
func CheckSelf(listen []netip.AddrPort, u upstream.Spec) error {
	for _, at := range u.Addrs() {
		if isAmong(listen, at) {
			return fmt.Errorf("using upstream %s: %w", u, ErrUpstreamIsSelf)
		}
	}
	return nil
}

func isAmong(listen []netip.AddrPort, at netip.AddrPort) bool {
	for _, l := range listen {
		if l.Port() != at.Port() {
			continue
		}
		ip, up := l.Addr().Unmap().WithZone(""), at.Addr().WithZone("")
		if ip == up || ip.IsUnspecified() && (up.IsLoopback() || isOfThisHost(up)) {
			return true
		}
	}
	return false
}

// isOfThisHost reports whether a is an address of one of the interfaces.
func isOfThisHost(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false // the probe will find it
	}
	for _, n := range addrs {
		if n, ok := n.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a {
				return true
			}
		}
	}
	return false
}

// probeLoops looks for upstreams that lead back here, at the start, when there
// are new ones, and at every interval, until ctx ends.
func (s *Server) probeLoops(ctx context.Context) {
	t := time.NewTicker(s.limits.ProbeInterval)
	defer t.Stop()
	for {
		s.probe(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-s.probeNow:
		}
	}
}

// probeTries is how often a probe without an answer is tried again: where a loop
// has filled everybody's hands with questions that go round, one may be lost.
const probeTries = 3

// probe asks each upstream for a name that nobody else asks for. If our own
// listener hears that question, the upstream leads back to us: it is not used
// until a later probe is answered without coming back.
func (s *Server) probe(ctx context.Context) {
	s.probing.Lock() // a peer has one token at a time
	defer s.probing.Unlock()
	var wg sync.WaitGroup
	for _, p := range s.settings.Load().all {
		wg.Go(func() {
			for range probeTries {
				if s.probePeer(ctx, p) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

// probePeer probes one upstream, and reports whether that proved anything.
func (s *Server) probePeer(ctx context.Context, p *peer) bool {
	var b [tokenLen / 2]byte
	rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	p.caught.Store(false)
	p.token.Store(&token)
	defer p.token.Store(nil)
	m, err := s.ask(ctx, p, question{name: probeName(token, p.zone), qtype: typeTXT, class: classIN})
	if err != nil || m.Rcode != dns.RcodeNameError && m.Rcode != dns.RcodeSuccess {
		// Proves nothing either way: a loop may be too slow to close, and another
		// Kinward that left us out for looping says SERVFAIL.
		return p.caught.Load()
	}
	if !p.caught.Load() && p.looping.Swap(false) {
		s.log.Info("an upstream no longer leads back to Kinward and is used again", "upstream", p.label)
	}
	return true
}

const tokenLen = 32 // characters of a probe's random label

const noToken = "00000000000000000000000000000000"

// probeLabels stand between a probe's token and the zone that it is sent into.
const probeLabels = "\x0aloop-probe\x07kinward"

// probeName returns the name that a probe with this token asks for. An upstream of
// one domain is probed in that domain: a router that knows the home's names, and
// asks Kinward for all others, is no loop.
func probeName(token string, zone blocklists.Name) blocklists.Name {
	if zone == "" {
		zone = "\x07invalid"
	}
	return blocklists.Name(rune(tokenLen)) + blocklists.Name(token) + probeLabels + zone
}

// isProbe reports whether n is the name of a probe, of ours or another Kinward's.
func isProbe(n blocklists.Name) bool {
	const at = 1 + tokenLen
	return len(n) > at+len(probeLabels) && n[0] == tokenLen && n[at:at+len(probeLabels)] == probeLabels
}

// ownProbe reports whether q asks for the name of one of our own probes, and
// marks the upstream that it came back through.
func (s *Server) ownProbe(q *query) bool {
	for _, p := range q.set.all {
		token := p.token.Load()
		if token == nil || q.name != probeName(*token, p.zone) {
			continue
		}
		p.caught.Store(true)
		if !p.looping.Swap(true) {
			s.metrics.loops.Inc()
			zone := ""
			if p.zone != "" {
				zone = p.zone.String()
			}
			s.log.Error("an upstream leads back to Kinward, so it is not used any more: "+
				"set another upstream, or make that server ask somebody else than Kinward",
				"upstream", p.label, "domain", zone, "returned_by", q.from.Addr().Unmap().String())
		}
		return true
	}
	return false
}
