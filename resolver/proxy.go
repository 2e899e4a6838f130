package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Proxies are those whose word is taken for who the client is.
type Proxies struct {
	// V2 must begin each connection, and each packet over UDP, with a header of the
	// PROXY protocol, version 2. What comes from them without one is dropped. It is
	// not for QUIC.
	V2 []netip.Prefix
	// Web must say in each request over HTTP for whom it is, in Forwarded (RFC 7239)
	// or X-Forwarded-For. Only they may ask over HTTP in clear.
	Web []netip.Prefix
}

// The PROXY protocol, version 2:
// https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, §2.2.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyHeaderLen = len(proxySignature) + 4

	// maxProxy bounds what follows the header: addresses, and what the proxy knows
	// of the client besides, which is passed over. dnsdist sends some dozen bytes.
	maxProxy = 1024
)

var (
	errNoProxy  = errors.New("no header of the PROXY protocol, version 2")
	errBadProxy = errors.New("header of the PROXY protocol is malformed")
)

// proxyLen returns the length of a whole header, of which b has the first
// proxyHeaderLen bytes.
func proxyLen(b []byte) (int, error) {
	if len(b) < proxyHeaderLen || string(b[:len(proxySignature)]) != proxySignature || b[12]>>4 != 2 {
		return 0, errNoProxy
	}
	n := int(binary.BigEndian.Uint16(b[14:]))
	if n > maxProxy {
		return 0, errBadProxy
	}
	return proxyHeaderLen + n, nil
}

// parseProxy reads the header with which b begins, and returns its length and for
// whom the sender speaks. That is the sender itself where it says so (a look
// whether we are there), or speaks for what has no address.
func parseProxy(b []byte, sender netip.AddrPort) (client netip.AddrPort, n int, err error) {
	if n, err = proxyLen(b); err != nil {
		return client, 0, err
	}
	if n > len(b) {
		return client, 0, errBadProxy
	}
	body := b[proxyHeaderLen:n]
	switch command, family := b[12]&0xf, b[13]; {
	case command == 0: // LOCAL
		return sender, n, nil
	case command != 1, family&0xf > 2:
		return client, 0, errBadProxy
	case family>>4 == 0: // unspecified
		return sender, n, nil
	case family>>4 == 1 && len(body) >= 12:
		return checkProxied(netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:])), n)
	case family>>4 == 2 && len(body) >= 36:
		return checkProxied(netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:])), n)
	}
	return client, 0, errBadProxy // a socket of one machine, which no client has
}

// checkProxied refuses an address that nobody can send from.
func checkProxied(client netip.AddrPort, n int) (netip.AddrPort, int, error) {
	if a := client.Addr(); a.IsUnspecified() || a.IsMulticast() {
		return netip.AddrPort{}, 0, errBadProxy
	}
	return client, n, nil
}

// readProxy reads the header with which a connection begins, and not a byte more.
func readProxy(r io.Reader, sender netip.AddrPort) (netip.AddrPort, error) {
	var b [proxyHeaderLen + maxProxy]byte
	if _, err := io.ReadFull(r, b[:proxyHeaderLen]); err != nil {
		return netip.AddrPort{}, err
	}
	n, err := proxyLen(b[:])
	if err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := io.ReadFull(r, b[proxyHeaderLen:n]); err != nil {
		return netip.AddrPort{}, err
	}
	client, _, err := parseProxy(b[:n], sender)
	return client, err
}

// maxHops bounds how many proxies a request may have come through.
const maxHops = 16

// forwardedFor returns for whom a request of an allow-listed proxy is: the last
// that its headers name and that is no such proxy. What stands before that anybody
// can write. Where it has both headers they must agree, since a proxy that writes
// the one may pass on the other from the client.
func forwardedFor(h http.Header, proxies *bart.Lite) (netip.Addr, error) {
	x, errX := lastForeign(h["X-Forwarded-For"], proxies, func(s string) (string, bool) { return s, true })
	f, errF := lastForeign(h["Forwarded"], proxies, forParameter)
	switch {
	case errX != nil, errF != nil:
		return netip.Addr{}, errors.Join(errX, errF)
	case !x.IsValid() && !f.IsValid():
		return netip.Addr{}, errors.New("the reverse proxy does not say for whom it asks; let it set X-Forwarded-For or Forwarded")
	case x.IsValid() && f.IsValid() && x != f:
		return netip.Addr{}, errors.New("X-Forwarded-For and Forwarded differ; let the reverse proxy set one and remove the other")
	case x.IsValid():
		return x, nil
	}
	return f, nil
}

// lastForeign returns the last address of a list that is not one of proxies; the
// zero one where there is no list. node finds the address in an element.
func lastForeign(lines []string, proxies *bart.Lite, node func(string) (string, bool)) (netip.Addr, error) {
	if len(lines) == 0 {
		return netip.Addr{}, nil
	}
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-maxHops); i-- {
		text, ok := node(strings.TrimSpace(hops[i]))
		if !ok {
			return netip.Addr{}, fmt.Errorf("%q names no client", hops[i])
		}
		a, err := parseNode(text)
		if err != nil {
			return a, err
		}
		if !proxies.Lookup(a) {
			return a, nil
		}
	}
	return netip.Addr{}, errors.New("only proxies are named")
}

// forParameter returns the parameter "for" of an element of Forwarded (RFC 7239
// §4). Commas within quotes do not stand in addresses, so that the list can be
// cut at each.
func forParameter(element string) (string, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(k, "for") {
			return strings.Trim(v, `"`), true
		}
	}
	return "", false
}

// parseNode reads an address with or without a port. Names that hide it (RFC 7239
// §6.3) tell nothing.
func parseNode(s string) (netip.Addr, error) {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(p), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return a, fmt.Errorf("%q is no address", s)
	}
	return a.Unmap().WithZone(""), nil
}
