package resolver

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"github.com/miekg/dns"
	"github.com/pires/go-proxyproto"

	"kinward/policy"
)

// PROXY v2 (haproxy.org, proxy-protocol.txt §2.2) from allow-listed senders, over
// every transport that has it, and nothing without it from them.
func TestProxyProtocol(t *testing.T) {
	const device = "192.0.2.77"
	keep := &kept{}
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) {
		c.Registerer, c.Log, c.Limits.TCPRead = reg, keep, 300*time.Millisecond
		c.AllowNets = append(c.AllowNets, netip.MustParsePrefix("192.0.2.0/24"))
		c.Proxies.V2 = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		st := state(t)
		c.State = func() *policy.State { return st }
	})
	client := netip.MustParseAddrPort(device + ":4711")
	head := proxyHeader(client)
	m := msgFor("stranger.example.", dns.TypeA)

	u := dial(t, s.Server, "udp", household)
	defer u.Close()
	u.Write(packed(m))                                                                   // without one: no answer
	u.Write(append(proxyHeader(netip.MustParseAddrPort("203.0.113.1:5")), packed(m)...)) // for somebody who may not ask
	buf := make([]byte, 4096)
	n, err := u.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, buf[:n]); got.Rcode != dns.RcodeRefused {
		t.Errorf("for a stranger: %v", got)
	}
	u.Write(append(bytes.Clone(head), packed(m)...))
	if n, err = u.Read(buf); err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, buf[:n]); got.Rcode != dns.RcodeNameError {
		t.Errorf("by UDP: %v", got)
	}

	tcp := dial(t, s.Server, "tcp", household)
	defer tcp.Close()
	tcp.Write(head)
	if got := exchange(t, tcp, m); got.Rcode != dns.RcodeNameError {
		t.Errorf("by TCP: %v", got)
	}

	raw, err := net.Dial("tcp", s.addr(DoT))
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(head)
	sc := tls.Client(raw, s.client(serverName))
	defer sc.Close()
	if got := exchange(t, sc, m); got.Rcode != dns.RcodeNameError {
		t.Errorf("by DoT: %v", got)
	}

	for _, a := range keep.take() {
		if a.Client.String() != device {
			t.Errorf("the client is %s, want %s", a.Client, device)
		}
	}
	bare := dial(t, s.Server, "tcp", household)
	defer bare.Close()
	writeFrame(t, bare, packed(m))
	if _, err := bare.Read(buf); err == nil {
		t.Error("answered a proxy that says nothing, by TCP")
	}
	if n := metric(t, reg, "kinward_proxy_broken_total"); n != 2 {
		t.Errorf("kinward_proxy_broken_total = %v, want 2", n)
	}
	// Who is not allow-listed is not believed: the header is no message.
	other := dial(t, s.Server, "tcp", adult)
	defer other.Close()
	other.Write(head)
	writeFrame(t, other, packed(m))
	if _, err := other.Read(buf); err == nil {
		t.Error("believed a client that plays the proxy")
	}
}

// Whether a connection has to begin with a proxy's header is settled when it comes,
// whatever the settings are when the header is read: the bounds for clients and for
// strangers go by the one answer.
func TestProxiesThatChange(t *testing.T) {
	c := config(t, newFake(t))
	c.Limits.TCPRead = 300 * time.Millisecond
	s := start(t, c)
	l := &streamListener{via: overTCP, crowd: s.plain}
	proxies := func(list ...netip.Prefix) {
		t.Helper()
		if err := s.Reconfigure(Settings{Upstreams: c.Upstreams, AllowNets: loopbackNets, Proxies: Proxies{V2: list}}); err != nil {
			t.Fatal(err)
		}
	}
	come := func() (server *crowdConn, client net.Conn) {
		t.Helper()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		accepted, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if server = s.admitConn(l, accepted.(*net.TCPConn)); server == nil {
			t.Fatal("it was not let in")
		}
		t.Cleanup(func() { server.Close() })
		return server, client
	}
	device := netip.MustParseAddrPort("127.0.0.77:4711")

	proxies(loopbackNets...)
	server, client := come()
	proxies()
	client.Write(proxyHeader(device))
	if ok := s.hearProxy(l, server); !ok || server.from != device || server.client != clientNetwork(device.Addr()) {
		t.Errorf("a proxy that is none any more: heard %t, from %s, counted as %s", ok, server.from, server.client)
	}

	server, client = come()
	proxies(loopbackNets...)
	if ok := s.hearProxy(l, server); !ok || server.from.String() != client.LocalAddr().String() {
		t.Errorf("a client that is a proxy now: heard %t, from %s", ok, server.from)
	}
}

// proxyHeader writes a header for a client.
func proxyHeader(client netip.AddrPort) []byte {
	b := append([]byte(proxySignature), 0x21, 0x11, 0, 12)
	a := client.Addr().As4()
	b = append(b, a[:]...)
	b = append(b, 127, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, client.Port())
	return append(b, 0, 53)
}

// Our reading of a header and go-proxyproto's are the same, where ours takes one.
func FuzzProxy(f *testing.F) {
	f.Add(proxyHeader(netip.MustParseAddrPort("192.0.2.1:53")))
	f.Add(append([]byte(proxySignature), 0x20, 0, 0, 0))
	six := append([]byte(proxySignature), 0x21, 0x22, 0, 40)
	f.Add(append(append(six, make([]byte, 35)...), 1, 4, 0, 1, 9))
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"))
	sender := netip.MustParseAddrPort("127.0.0.1:1")
	f.Fuzz(func(t *testing.T, b []byte) {
		client, n, err := parseProxy(b, sender)
		again, errAgain := readProxy(bytes.NewReader(b), sender)
		if (err == nil) != (errAgain == nil) || client != again {
			t.Fatalf("of a packet %v, %v; of a connection %v, %v", client, err, again, errAgain)
		}
		if err != nil {
			return
		}
		if n < proxyHeaderLen || n > len(b) {
			t.Fatalf("a header of %d bytes in %d", n, len(b))
		}
		rest := bufio.NewReader(bytes.NewReader(b))
		want, err := proxyproto.Read(rest)
		if err != nil {
			return // it looks into what is passed over here
		}
		if left, _ := io.ReadAll(rest); len(left) != len(b)-n {
			t.Fatalf("a header of %d bytes; the library says %d", n, len(b)-len(left))
		}
		var addr netip.AddrPort
		switch a := want.SourceAddr.(type) {
		case *net.TCPAddr:
			addr = a.AddrPort()
		case *net.UDPAddr:
			addr = a.AddrPort()
		}
		if want.Command == proxyproto.PROXY && addr.IsValid() {
			if got := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()); client != got {
				t.Fatalf("%v; the library says %v", client, got)
			}
		} else if client != sender {
			t.Fatalf("%v, want the sender", client)
		}
	})
}

// Whatever headers come: an address that is no proxy's, or an error.
func FuzzForwarded(f *testing.F) {
	f.Add("192.0.2.1, 192.0.2.2", "for=192.0.2.2")
	f.Add("[2001:db8::1]:5", `For="[2001:db8::1]:5";proto=https, for=127.0.0.1`)
	f.Add("", "for=_x;for=unknown")
	var proxies bart.Lite
	proxies.Insert(netip.MustParsePrefix("127.0.0.0/8"))
	f.Fuzz(func(t *testing.T, x, forwarded string) {
		h := http.Header{}
		if x != "" {
			h.Set("X-Forwarded-For", x)
		}
		if forwarded != "" {
			h.Set("Forwarded", forwarded)
		}
		a, err := forwardedFor(h, &proxies)
		if err == nil && (!a.IsValid() || proxies.Lookup(a) || a.Zone() != "" || a.Is4In6()) {
			t.Errorf("%q and %q are for %v", x, forwarded, a)
		}
	})
}
