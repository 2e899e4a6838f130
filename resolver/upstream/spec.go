// Package upstream asks other resolvers: over UDP, TCP, TLS (RFC 7858), HTTPS
// (RFC 8484, HTTP/2 and HTTP/3) and QUIC (RFC 9250).
//
// A [Client] asks one upstream. It builds each message anew from a [Question],
// so no option, no spelling and no ID of a client's ever leaves the house, and
// takes only an answer with the ID and question that it sent. DESIGN.md of the
// room above tells the story of a query.
package upstream

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Scheme is how an upstream is asked.
type Scheme uint8

const (
	UDP   Scheme = iota // TCP where an answer is cut off
	TCP                 // RFC 7766
	TLS                 // RFC 7858, strict: the certificate must be right
	HTTPS               // RFC 8484 over HTTP/2
	HTTP3               // RFC 8484 over HTTP/3
	QUIC                // RFC 9250
)

var (
	schemeWords  = [...]string{"udp", "tcp", "tls", "https", "h3", "quic"}
	defaultPorts = [...]uint16{53, 53, 853, 443, 443, 853}
)

// Encrypted reports whether what is asked cannot be read or changed on the way.
func (s Scheme) Encrypted() bool { return s >= TLS }

// String returns the scheme as it stands in a URL.
func (s Scheme) String() string { return schemeWords[s] }

// pin is the SHA-256 of a certificate's public key (its SubjectPublicKeyInfo).
type pin [sha256.Size]byte

// Spec says where questions are sent and how. Make it with [Parse]; it is
// immutable, and the zero value is none. Two that are equal have the same String.
type Spec struct {
	scheme Scheme
	name   string // of the certificate; "" where it must name the address
	port   uint16
	path   string
	addrs  []netip.Addr
	pins   []pin
	trust  bool
}

// What can be wrong with an upstream. Errors from Parse wrap one of these where
// it applies.
var (
	errHostName = errors.New("a host name needs a resolver to find it, and this is the resolver; add its addresses, for example ?ip=9.9.9.9")
	errNotPlain = errors.New("this belongs to encrypted upstreams (tls, https, h3, quic)")
	errTrust    = errors.New("dnssec=trust: anybody on the way could say that an answer was validated; it belongs to encrypted upstreams, and to those on this machine")
)

var errUser = errors.New("neither a user nor a # belongs to the URL of an upstream")

const maxAddrs = 8

// Parse reads the URL of an upstream:
//
//	udp://9.9.9.9             plain, port 53; asked again over TCP where an answer is cut off
//	tcp://[2620:fe::fe]:53
//	tls://dns.quad9.net?ip=9.9.9.9&ip=149.112.112.112
//	https://dns.quad9.net/dns-query?ip=9.9.9.9
//	h3://dns.example/dns-query?ip=192.0.2.1
//	quic://dns.example:8853?ip=192.0.2.1
//
// A bare address is udp://. A host is an IP literal, or a name with its
// addresses as ip=. The path of https and h3 is /dns-query unless given.
// pin=BASE64 is the SHA-256 of the only public key to be talked to (RFC 7858
// §4.2; it then takes the place of the certificate authorities). dnssec=trust
// passes its word that an answer was validated (AD) on to clients; see [Spec.Trusted].
func Parse(s string) (Spec, error) {
	u, err := parse(s)
	if err != nil {
		if at := strings.LastIndexByte(s, '@'); at >= 0 { // what stands before it may be a password
			s = "***" + s[at:]
		}
		return Spec{}, fmt.Errorf("reading upstream %q: %w", clip(s), err)
	}
	return u, nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

func parse(s string) (Spec, error) {
	if !strings.Contains(s, "://") {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
			s = "[" + s + "]"
		}
		s = "udp://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		if strings.Contains(s, "@") { // the error would quote a part of a password
			return Spec{}, errUser
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return Spec{}, err
	}
	i := slices.Index(schemeWords[:], u.Scheme)
	if i < 0 {
		return Spec{}, fmt.Errorf("scheme %q is unknown; use udp, tcp, tls, https, h3 or quic, for example tls://dns.quad9.net?ip=9.9.9.9", u.Scheme)
	}
	out := Spec{scheme: Scheme(i), port: defaultPorts[i]}
	if u.User != nil || u.Fragment != "" {
		return Spec{}, errUser
	}
	switch {
	case out.scheme == HTTPS || out.scheme == HTTP3:
		if out.path = u.EscapedPath(); out.path == "" || out.path == "/" {
			out.path = dnsPath
		}
	case u.Path != "" && u.Path != "/":
		return Spec{}, errors.New("a path belongs to https and h3 alone")
	}
	if p := u.Port(); p != "" {
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil || port == 0 {
			return Spec{}, fmt.Errorf("port %q is not between 1 and 65535", p)
		}
		out.port = uint16(port)
	}
	if err := out.readParameters(u.RawQuery); err != nil {
		return Spec{}, err
	}
	if err := out.readHost(u.Hostname()); err != nil {
		return Spec{}, err
	}
	if out.trust && !out.Trusted() {
		return Spec{}, errTrust
	}
	return out, nil
}

func (u *Spec) readHost(host string) error {
	if host == "" {
		return errors.New("the address is missing")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if len(u.addrs) > 0 {
			return errors.New("ip= belongs to a host that is a name")
		}
		u.addrs = []netip.Addr{a.Unmap()}
	} else if len(u.addrs) == 0 {
		return errHostName
	} else if !u.scheme.Encrypted() {
		return fmt.Errorf("a name and ip=: %w; write the address alone", errNotPlain)
	} else if u.name = strings.TrimSuffix(strings.ToLower(host), "."); len(u.name) > 253 || strings.ContainsAny(u.name, " /\\%") {
		return fmt.Errorf("%q is not the name of a host", clip(host))
	}
	for _, a := range u.addrs {
		if a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("%s is not the address of a server", a)
		}
	}
	return nil
}

func (u *Spec) readParameters(raw string) error {
	q, err := url.ParseQuery(strings.ReplaceAll(raw, "+", "%2B")) // base64 holds +
	if err != nil {
		return err
	}
	for key, values := range q {
		for _, v := range values {
			switch key {
			case "ip":
				a, err := netip.ParseAddr(v)
				if err != nil {
					return fmt.Errorf("ip=%s is no address", clip(v))
				}
				u.addrs = append(u.addrs, a.Unmap())
			case "pin":
				b, err := base64.StdEncoding.DecodeString(v)
				if err != nil || len(b) != sha256.Size {
					return fmt.Errorf("pin=%s is not the base64 of a SHA-256; see \"openssl x509 -pubkey … | openssl dgst -sha256 -binary | base64\"", clip(v))
				}
				u.pins = append(u.pins, pin(b))
			case "dnssec":
				if v != "trust" {
					return fmt.Errorf("dnssec=%s is unknown; write dnssec=trust", clip(v))
				}
				u.trust = true
			default:
				return fmt.Errorf("parameter %q is unknown; there are ip=, pin= and dnssec=trust", clip(key))
			}
		}
	}
	if len(u.addrs) > maxAddrs || len(u.pins) > maxAddrs {
		return fmt.Errorf("%d addresses and %d pins; at most %d of each", len(u.addrs), len(u.pins), maxAddrs)
	}
	if len(u.pins) > 0 && !u.scheme.Encrypted() {
		return fmt.Errorf("pin=: %w", errNotPlain)
	}
	return nil
}

// IsZero reports whether u is the zero value, which is no upstream.
func (u Spec) IsZero() bool { return len(u.addrs) == 0 }

// Scheme returns how the upstream is asked.
func (u Spec) Scheme() Scheme { return u.scheme }

// Addrs returns where the upstream listens; at least one.
func (u Spec) Addrs() []netip.AddrPort {
	out := make([]netip.AddrPort, len(u.addrs))
	for i, a := range u.addrs {
		out[i] = netip.AddrPortFrom(a, u.port)
	}
	return out
}

// Trusted reports whether the upstream's AD bit may reach clients: the operator
// trusts it for that, and nobody on the way can set it (RFC 6840 §5.7): the
// transport is authenticated, or does not leave this machine.
func (u Spec) Trusted() bool {
	local := !slices.ContainsFunc(u.addrs, func(a netip.Addr) bool { return !a.IsLoopback() })
	return u.trust && (u.scheme.Encrypted() || local)
}

// dnsPath is the path of DoH that everybody uses, and which tells nothing.
const dnsPath = "/dns-query"

// Label returns String for metrics and logs: without a path that is not everybody's,
// in which many services write who asks. Different upstreams may have the same.
func (u Spec) Label() string {
	if u.path != "" && u.path != dnsPath {
		u.path = "/…"
	}
	return u.String()
}

// String returns the canonical form that Parse reads, port included.
func (u Spec) String() string {
	if u.IsZero() {
		return ""
	}
	host := u.name
	var params []string
	if host == "" {
		host = escapeZone(u.addrs[0])
	} else {
		for _, a := range u.addrs {
			params = append(params, "ip="+escapeZone(a))
		}
	}
	for _, p := range u.pins {
		params = append(params, "pin="+base64.StdEncoding.EncodeToString(p[:]))
	}
	if u.trust {
		params = append(params, "dnssec=trust")
	}
	s := u.scheme.String() + "://" + net.JoinHostPort(host, strconv.Itoa(int(u.port))) + u.path
	if len(params) > 0 {
		s += "?" + strings.Join(params, "&")
	}
	return s
}

// escapeZone writes an address as it stands in a URL (RFC 6874 §2).
func escapeZone(a netip.Addr) string { return strings.ReplaceAll(a.String(), "%", "%25") }
