package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/resolver/upstream"
)

const (
	awayWhat = "away from home"
	// What the server says that it has is "certificate"; these are what a phone meets,
	// which may be another's, and what nobody showed.
	certificateShown, certificateKept = "certificate shown", "certificate files"
	// Let's Encrypt's certificates are renewed 30 days before they end; below three
	// weeks something is wrong.
	certificateSoon = 21 * 24 * time.Hour
	awayTimeout     = 3 * time.Second
)

// carrierNAT is the range that providers put between themselves and homes that
// share an address (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// away looks at what a phone away from home needs. What it asks of the world
// stands in fields, so that tests can be the world.
type away struct {
	*examination
	name   string
	lookup func(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	mine   []netip.Addr // this machine's addresses
	roots  *x509.CertPool
	now    time.Time
	shown  bool // a certificate was looked at
}

// examineAway adds what a phone away from home needs to what doctor found.
func (e *examination) examineAway(ctx context.Context, cfg *config, upstreams []upstream.Spec) {
	a := &away{
		examination: e, name: cfg.TLS.Name, now: time.Now(),
		lookup: func(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error) {
			return lookupThrough(ctx, upstreams, name, qtype)
		},
		dial: (&net.Dialer{Timeout: awayTimeout}).DialContext,
		mine: machineAddrs(),
	}
	a.examine(ctx)
	if !a.shown && cfg.TLS.Certificate != "" { // nobody showed it; it may be good all the same
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Certificate, cfg.TLS.Key)
		if err != nil {
			a.fault(certificateKept, "mend tls: certificate and key", "%v", err)
			return
		}
		var chain []*x509.Certificate
		for _, der := range pair.Certificate {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
		a.certificate(certificateKept, chain)
	}
}

func (a *away) examine(ctx context.Context) {
	if a.name == "" {
		a.note(awayWhat, "get a name that leads here, and a certificate for it and *.NAME; then set tls: name", "no public name is set, so only devices at home can ask: no Android Private DNS, no Apple profile, nothing on mobile data")
		return
	}
	addrs := a.records(ctx)
	if len(addrs) == 0 {
		return
	}
	a.carrier(addrs)
	for _, addr := range addrs {
		for _, port := range []uint16{853, 443} {
			a.port(ctx, netip.AddrPortFrom(addr, port))
		}
	}
}

// records looks at the name's addresses, and at those of names below it.
func (a *away) records(ctx context.Context) []netip.Addr {
	find := func(name string) (all []netip.Addr, err error) {
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			some, failed := a.lookup(ctx, name, t)
			all, err = append(all, some...), joinOnce(err, failed)
		}
		slices.SortFunc(all, netip.Addr.Compare)
		return slices.Compact(all), err
	}
	addrs, err := find(a.name)
	if len(addrs) == 0 {
		detail := "it has no address in the world's DNS"
		if err != nil {
			detail = err.Error()
		}
		a.fault("name "+a.name, "make an A record for it (and AAAA, with IPv6), at whoever manages the domain", "%s", detail)
		return nil
	}
	below := "check." + a.name
	wild, err := find(below)
	switch {
	case len(wild) == 0 && err != nil:
		a.fault("names below "+a.name, "see upstream above", "%v", err)
	case !slices.Equal(addrs, wild):
		a.fault("names below "+a.name, "make the records *."+a.name+" with the same addresses: each device has a name of its own there",
			"%s leads to %s, but %s to %s", below, addrTexts(wild), a.name, addrTexts(addrs))
	default:
		a.ok("name "+a.name, "it and the names below lead to %s", addrTexts(addrs))
	}
	return addrs
}

func addrTexts(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "nothing"
	}
	return strings.Join(texts(addrs), ", ")
}

// carrier tells what cannot be reached from outside, whatever the router does.
func (a *away) carrier(addrs []netip.Addr) {
	shared := func(x netip.Addr) bool { return carrierNAT.Contains(x) }
	for _, x := range addrs {
		switch {
		case shared(x):
			a.fault("address "+x.String(), "ask the provider for a public address, use IPv6, or run Kinward on a rented server", "it is the provider's own (100.64.0.0/10, CGNAT): nobody outside reaches it")
		case x.IsPrivate() || x.IsLoopback() || x.IsLinkLocalUnicast():
			a.fault("address "+x.String(), "put the router's public address into the records of "+a.name, "it means something in one home only: nobody outside reaches it")
		case slices.Contains(a.mine, x):
			a.ok("address "+x.String(), "it is this machine's own")
		case x.Is4():
			a.note("address "+x.String(), "in the router's pages, look for its Internet (WAN) address: it must be "+x.String()+". If it begins with 10., 172.16 to 172.31, 192.168. or 100.64 to 100.127, the provider shares addresses (CGNAT), and forwarding ports cannot help",
				"it is not this machine's, so the router must forward the ports 853 and 443 (TCP) to here")
		default:
			a.note("address "+x.String(), "see that the records follow when the provider changes the network", "it is not this machine's")
		}
	}
	if slices.ContainsFunc(a.mine, shared) {
		a.note("provider", "see address", "this machine has an address of 100.64.0.0/10 itself: a provider that shares addresses, or a VPN such as Tailscale")
	}
}

// port connects to an address as a phone would, and looks at the certificate the
// first time that there is one.
func (a *away) port(ctx context.Context, at netip.AddrPort) {
	what := "port " + at.String()
	ctx, cancel := context.WithTimeout(ctx, 2*awayTimeout)
	defer cancel()
	raw, err := a.dial(ctx, "tcp", at.String())
	if err != nil {
		// Many routers do not lead a home's own connection back in by its public
		// address, so that this proves nothing unless the address is ours.
		if slices.Contains(a.mine, at.Addr()) {
			a.fault(what, "see that Kinward listens there, and that the firewall lets it", "%v", err)
		} else {
			a.note(what, "try from outside, with a phone on mobile data: open https://"+a.name+"/ ; look at the port forwarding", "it cannot be reached from here (%v), which some routers never allow", err)
		}
		return
	}
	defer raw.Close()
	// The name of a device, as phones send it. What is wrong with the certificate is
	// told below, in words.
	conn := tls.Client(raw, &tls.Config{ServerName: "check." + a.name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		a.fault(what, "see the server's log; is it Kinward that answers there?", "it answers, but not with TLS: %v", err)
		return
	}
	a.ok(what, "answers with TLS")
	if !a.shown {
		a.certificate(certificateShown, conn.ConnectionState().PeerCertificates)
	}
}

// joinOnce is errors.Join for two errors, of which the same is said once.
func joinOnce(a, b error) error {
	if a != nil && b != nil && a.Error() == b.Error() {
		return a
	}
	return errors.Join(a, b)
}

// certificate looks at a chain, under the name of what.
func (a *away) certificate(what string, chain []*x509.Certificate) {
	a.shown = true
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	left := leaf.NotAfter.Sub(a.now)
	days := int(left.Hours() / 24)
	var wrong error
	for _, name := range []string{a.name, "check." + a.name} {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Intermediates: between, Roots: a.roots, CurrentTime: a.now})
		wrong = joinOnce(wrong, err)
	}
	var host x509.HostnameError
	switch {
	case left <= 0:
		a.fault(what, "renew it; until then no phone away from home has internet", "it ended on %s", leaf.NotAfter.Format("2 Jan 2006"))
	case errors.As(wrong, &host):
		a.fault(what, "get one for "+a.name+" and *."+a.name, "it is for %s only", strings.Join(leaf.DNSNames, ", "))
	case wrong != nil:
		a.fault(what, "get one from an authority that phones know, such as Let's Encrypt, with all certificates in between", "%v", wrong)
	case left < certificateSoon:
		a.note(what, "see why it was not renewed", "it ends in %d days, on %s", days, leaf.NotAfter.Format("2 Jan 2006"))
	default:
		a.ok(what, "good for %s and names below it, for %d days", a.name, days)
	}
}

// lookupThrough asks the upstreams in turn, since the machine's own resolver may be
// Kinward, or lead back to it.
func lookupThrough(ctx context.Context, upstreams []upstream.Spec, name string, qtype uint16) ([]netip.Addr, error) {
	n, err := blocklists.ParseName(name)
	if err != nil {
		return nil, err
	}
	err = errors.New("there is no upstream to ask")
	for _, u := range upstreams {
		c := upstream.New(u, upstream.Options{Timeout: 2 * time.Second})
		reply, failed := c.Ask(ctx, upstream.Question{Name: string(n), Type: qtype, Class: dns.ClassINET})
		c.Close()
		switch {
		case failed != nil:
			err = fmt.Errorf("looking up %s: %w", name, failed)
			continue
		case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
			err = fmt.Errorf("asking %s for %s: it answers %s", u, name, dns.RcodeToString[reply.Rcode])
			continue
		}
		var out []netip.Addr
		for _, rr := range reply.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				if x, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					out = append(out, x)
				}
			case *dns.AAAA:
				if x, ok := netip.AddrFromSlice(rr.AAAA); ok {
					out = append(out, x)
				}
			}
		}
		return out, nil
	}
	return nil, err
}
