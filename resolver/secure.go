package resolver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// Scheme is a way to ask over an encrypted transport.
type Scheme string

// The schemes.
const (
	DoT Scheme = "dot" // RFC 7858
	DoH Scheme = "doh" // RFC 8484, over HTTP/1.1, HTTP/2 and HTTP/3, so TCP and UDP
	DoQ Scheme = "doq" // RFC 9250
	// DoHClear is DoH without encryption, for the reverse proxies of Proxies.Web.
	DoHClear Scheme = "doh-clear"
)

// SecureListen is an address for a scheme.
type SecureListen struct {
	Scheme Scheme
	Addr   string // IP:PORT or :PORT; port 0 picks one
}

// SecureAddr is an address that a scheme is served on.
type SecureAddr struct {
	Scheme Scheme
	Addr   netip.AddrPort
}

// The names by which protocols are agreed on (ALPN).
const (
	alpnDoT = "dot" // IANA's registry of ALPN protocol IDs, for RFC 7858
	alpnDoQ = "doq" // RFC 9250 §4.1.1
	alpnH2  = "h2"
	alpnH1  = "http/1.1"
)

// SecureAddrs returns where the encrypted transports are served, in the order of
// Config.Secure.
func (s *Server) SecureAddrs() []SecureAddr { return slices.Clone(s.secureAddrs) }

// tlsConfig returns how connections of a protocol are encrypted. Certificates are
// found for the name that the client asks for (SNI), so that one address has many
// names. Suites and groups are the library's, which leaves out what is weak.
// Session tickets let clients come back without a whole handshake; their keys are
// made at the start and changed every day.
func (s *Server) tlsConfig(alpn ...string) *tls.Config {
	c := s.tls.Clone()
	c.NextProtos = alpn
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12) // RFC 9325 §3.1.1
	return c
}

// listenSecure binds the sockets of an encrypted transport.
func (s *Server) listenSecure(l SecureListen) error {
	network, host, err := parseListen(l.Addr)
	if err != nil {
		return fmt.Errorf("listening on %q: %w", l.Addr, err)
	}
	if s.tls == nil && l.Scheme != DoHClear {
		return fmt.Errorf("listening on %q: %s needs a certificate", l.Addr, l.Scheme)
	}
	tries := 1
	if host.Port() == 0 {
		tries = portTries
	}
	for range tries {
		if err = s.bindSecure(l.Scheme, network, host); err == nil {
			return nil
		}
	}
	return fmt.Errorf("listening on %q: %w", l.Addr, err)
}

func (s *Server) bindSecure(scheme Scheme, network string, host netip.AddrPort) error {
	var at netip.AddrPort
	switch scheme {
	case DoQ:
		pc, err := net.ListenUDP("udp"+network, net.UDPAddrFromAddrPort(host))
		if err != nil {
			return err
		}
		at = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		l, err := s.newQUIC(pc, overQUIC)
		if err != nil {
			return err
		}
		s.quic = append(s.quic, l)
	case DoT, DoH, DoHClear:
		tcp, err := net.ListenTCP("tcp"+network, net.TCPAddrFromAddrPort(host))
		if err != nil {
			return err
		}
		at = tcp.Addr().(*net.TCPAddr).AddrPort()
		l := &streamListener{TCPListener: tcp, via: overTLS, crowd: s.secure}
		switch scheme {
		case DoT:
			l.tls = s.tlsConfig(alpnDoT)
		case DoHClear:
			l.via, l.http = overHTTPS, s.newHTTP(tcp.Addr(), nil)
		case DoH:
			pc, err := net.ListenUDP("udp"+network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host.Addr(), at.Port())))
			if err != nil {
				return errors.Join(err, tcp.Close())
			}
			h3, err := s.newQUIC(pc, overHTTPS)
			if err != nil {
				return errors.Join(err, tcp.Close())
			}
			s.quic = append(s.quic, h3)
			l.via, l.tls, l.http = overHTTPS, s.tlsConfig(alpnH2, alpnH1), s.newHTTP(tcp.Addr(), h3)
		}
		s.streams = append(s.streams, l)
	default:
		return fmt.Errorf("there is no scheme %q", scheme)
	}
	s.secureAddrs = append(s.secureAddrs, SecureAddr{scheme, netip.AddrPortFrom(at.Addr().Unmap(), at.Port())})
	return nil
}

// tokenOf returns the token that the asker brings over an encrypted transport, ""
// for none: in the name that was asked for, in the path and the user of an HTTP
// request, in a certificate. r is nil but for HTTP. Where they differ it is
// nobody's.
func (s *Server) tokenOf(c *tls.ConnectionState, name string, r *http.Request) string {
	token := tokenOfName(name, s.name)
	if r != nil {
		user, password, _ := r.BasicAuth()
		token = oneToken(token, tokenOfPath(r.URL.Path), tokenOfUser(user, password))
	}
	if c != nil && len(c.VerifiedChains) > 0 {
		token = oneToken(token, tokenOfCertificate(c.PeerCertificates[0], s.name))
	}
	return token
}
