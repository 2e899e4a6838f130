package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
)

// portTries bounds how often another port is picked where port 0 was asked for
// and the one that the system gave for UDP is taken for TCP.
const portTries = 20

// listen binds UDP and TCP sockets to one address.
func (s *Server) listen(addr string) error {
	network, host, err := parseListen(addr)
	if err != nil {
		return fmt.Errorf("listening on %q: %w", addr, err)
	}
	tries := 1
	if host.Port() == 0 {
		tries = portTries
	}
	for range tries {
		if err = s.bind(network, host); err == nil {
			return nil
		}
	}
	return fmt.Errorf("listening on %q: %w", addr, err)
}

// parseListen reads IP:PORT or :PORT. Without an address it is all of them,
// IPv4 and IPv6 where the host has it.
func parseListen(addr string) (network string, host netip.AddrPort, err error) {
	if strings.HasPrefix(addr, ":") {
		addr = "[::]" + addr
	}
	host, err = netip.ParseAddrPort(addr)
	if err != nil {
		return "", host, errors.New("want an IP address and a port, as in 127.0.0.1:53, [::1]:53 or :53")
	}
	if host.Addr().Is4() {
		return "4", host, nil
	}
	return "", host, nil // an unspecified IPv6 address takes IPv4 too
}

// bind binds the sockets for one address, or none.
func (s *Server) bind(network string, host netip.AddrPort) (err error) {
	var bound []func() error
	defer func() {
		if err != nil {
			for _, undo := range bound {
				undo()
			}
		}
	}()
	// First without sharing: where another program holds the port, this fails,
	// while a shared socket would be let in and quietly take half its questions.
	probe, err := net.ListenUDP("udp"+network, net.UDPAddrFromAddrPort(host))
	if err != nil {
		return err
	}
	at := probe.LocalAddr().(*net.UDPAddr).AddrPort()
	probe.Close()
	host = netip.AddrPortFrom(host.Addr(), at.Port())

	tcp, err := net.ListenTCP("tcp"+network, net.TCPAddrFromAddrPort(host))
	if err != nil {
		return err
	}
	bound = append(bound, tcp.Close)
	sockets := 1
	if canSharePort {
		sockets = runtime.GOMAXPROCS(0) // one loop a core, the kernel spreads clients over them
	}
	var udp []*udpSocket
	for range sockets {
		u, err := listenUDP("udp"+network, host)
		if err != nil {
			return err
		}
		bound = append(bound, u.conn.Close)
		udp = append(udp, u)
	}
	s.addrs = append(s.addrs, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	s.udp = append(s.udp, udp...)
	s.streams = append(s.streams, &streamListener{TCPListener: tcp, via: overTCP, crowd: s.plain})
	return nil
}
