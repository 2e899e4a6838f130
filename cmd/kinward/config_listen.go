package main

import (
	"fmt"
	"net/netip"

	"kinward/resolver"
)

// listener is one address that a setting has the server listen on.
type listener struct {
	key      string // as in the file
	addr     string // IP:PORT
	tcp, udp bool
	web      bool // by net.Listen, for which 0.0.0.0 is all there is, IPv6 too
}

// port is what the listener takes.
func (l listener) port() netip.AddrPort {
	at := netip.MustParseAddrPort(l.addr)
	if l.web && at.Addr() == netip.IPv4Unspecified() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	}
	return at
}

func checkListenAddr(key, s string) error {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return fmt.Errorf("%s: %q is not an address with a port; write it like 127.0.0.1:1053 or [::1]:1053", key, s)
	}
	return nil
}

// listeners are all that s listens on, each address checked. Where tls-alpn-01 is
// answered is none of its own: a listener with the certificate answers it, too.
func (c *config) listeners(s *settings) (out []listener) {
	for _, a := range c.DNS {
		out = append(out, listener{key: "dns", addr: a, tcp: true, udp: true})
	}
	for _, l := range s.secure {
		switch l.Scheme {
		case resolver.DoT:
			out = append(out, listener{key: "dot", addr: l.Addr, tcp: true})
		case resolver.DoQ:
			out = append(out, listener{key: "doq", addr: l.Addr, udp: true})
		default:
			out = append(out, listener{key: "doh", addr: l.Addr, tcp: true, udp: l.Scheme == resolver.DoH}) // in clear without HTTP/3
		}
	}
	pages := []listener{{key: "metrics", addr: c.Metrics}}
	if s.certs != nil && s.certs.ACME != nil {
		pages = append(pages, listener{key: "acme: http", addr: s.certs.ACME.HTTP})
	}
	for _, l := range append(pages, listener{key: "console", addr: c.Console}, listener{key: "block-page", addr: s.blockPage}) {
		if l.tcp, l.web = true, true; l.addr != "" {
			out = append(out, l)
		}
	}
	return out
}

// checkTaken refuses two addresses that one port cannot have both.
func checkTaken(all []listener) error {
	for i, l := range all {
		for _, other := range all[:i] {
			if (l.tcp && other.tcp || l.udp && other.udp) && sharePort(l.port(), other.port()) {
				do := "give each its own port"
				if l.key == other.key {
					do = "[::] alone answers on all addresses, IPv4 too"
				}
				return fmt.Errorf("%s: %s is taken already, by %s: %s; %s", l.key, l.addr, other.key, other.addr, do)
			}
		}
	}
	return nil
}

// sharePort reports whether one port cannot have both addresses: the same one, or
// all beside one of them. [::] takes IPv4 too, 0.0.0.0 nothing else.
func sharePort(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	within := func(all, one netip.Addr) bool { return all.IsUnspecified() && (all.Is6() || one.Is4()) }
	return a.Port() == b.Port() && a.Port() != 0 && (x == y || within(x, y) || within(y, x))
}
