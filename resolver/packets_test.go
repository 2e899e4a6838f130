package resolver

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// eachPackets runs a test with each way of reading and sending on conn.
func eachPackets(t *testing.T, test func(t *testing.T, make func(*net.UDPConn) (packets, int))) {
	for name, make := range map[string]func(*net.UDPConn) (packets, int){
		"one": func(c *net.UDPConn) (packets, int) { return &onePacket{conn: c}, 1 },
		"many": func(c *net.UDPConn) (packets, int) {
			p, n, err := newPackets(c)
			if err != nil {
				t.Fatal(err)
			}
			return p, n
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, make) })
	}
}

func packetSocket(t *testing.T, at string) *udpSocket {
	t.Helper()
	u, err := listenUDP("udp", netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.conn.Close() })
	u.conn.SetDeadline(time.Now().Add(10 * time.Second))
	return u
}

// packetClient hears only what comes from the address that it asks at.
func packetClient(t *testing.T, host string, u *udpSocket) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(host), Port: u.conn.LocalAddr().(*net.UDPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// What comes is read whole, in order and with its sender; what goes reaches each
// its own, from the address that was asked.
func TestPackets(t *testing.T) {
	eachPackets(t, func(t *testing.T, make func(*net.UDPConn) (packets, int)) {
		all := []string{"127.0.0.1", "127.0.0.3", "::1"}
		listen := "[::]:0"
		if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil { // a system without IPv6
			t.Log(err)
			all, listen = all[:2], "0.0.0.0:0"
		} else {
			c.Close()
		}
		u := packetSocket(t, listen)
		io, size := make(u.conn)
		const longest = 1500
		var clients []*net.UDPConn
		for _, to := range all {
			clients = append(clients, packetClient(t, to, u))
		}
		const each = 50
		sent := map[netip.AddrPort]int{}
		for i := range each {
			for _, c := range clients {
				c.Write(bytes.Repeat([]byte{byte(i)}, 1+i*(longest+40)/each)) // the last are too long
			}
		}
		batch := newBatch(size, longest, oobLen)
		for got := 0; got < each*len(clients); {
			n, err := io.read(batch)
			if err != nil {
				t.Fatal(err)
			}
			for i := range batch[:n] {
				p := &batch[i]
				k := sent[p.from]
				sent[p.from]++
				want := 1 + k*(longest+40)/each
				if p.cut != (want > longest) || len(p.msg) != min(want, longest) || p.msg[0] != byte(k) {
					t.Fatalf("datagram %d of %v: %d bytes of %d, cut %v, wanted %d", k, p.from, len(p.msg), p.msg[0], p.cut, want)
				}
				p.out = p.out[:0]
				if k%2 == 0 { // the others get no answer
					p.out = fmt.Appendf(p.out, "%d for %v", k, p.from)
				}
			}
			io.send(n)
			got += n
		}
		for _, c := range clients { // connected, so that only what comes from the asked address is heard
			local := c.LocalAddr().(*net.UDPAddr).AddrPort()
			seen := local
			if local.Addr().Is4() && listen == "[::]:0" {
				seen = netip.AddrPortFrom(netip.AddrFrom16(local.Addr().As16()), local.Port())
			}
			var got, want []string
			for k := 0; k < each; k += 2 {
				var buf [100]byte
				n, err := c.Read(buf[:])
				if err != nil {
					t.Fatal(err)
				}
				got, want = append(got, string(buf[:n])), append(want, fmt.Sprintf("%d for %v", k, seen))
			}
			slices.Sort(got) // nothing holds the answers to different questions in order
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%v got %q, want %q", local, got, want)
			}
		}
	})
}

// One answer that cannot be sent does not keep the others.
func TestPacketsBesideOneThatFails(t *testing.T) {
	eachPackets(t, func(t *testing.T, make func(*net.UDPConn) (packets, int)) {
		u := packetSocket(t, "127.0.0.1:0")
		io, size := make(u.conn)
		c := packetClient(t, "127.0.0.1", u)
		const each = 8
		for i := range each {
			c.Write([]byte{byte(i)})
		}
		batch := newBatch(size, 100, 0)
		for got := 0; got < each; {
			n, err := io.read(batch)
			if err != nil {
				t.Fatal(err)
			}
			for i := range batch[:n] {
				p := &batch[i]
				p.out = append(p.out[:0], p.msg[0])
				if p.msg[0]%2 == 1 {
					p.out = append(p.out, bytes.Repeat([]byte{0}, 70_000)...) // more than a datagram holds
				}
			}
			io.send(n)
			got += n
		}
		for i := 0; i < each; i += 2 {
			var buf [10]byte
			if n, err := c.Read(buf[:]); err != nil || n != 1 || buf[0] != byte(i) {
				t.Fatalf("answer %d: %v %v", i, buf[:n], err)
			}
		}
	})
}

func TestPacketsDoNotAllocate(t *testing.T) {
	eachPackets(t, func(t *testing.T, make func(*net.UDPConn) (packets, int)) {
		u := packetSocket(t, "127.0.0.1:0")
		io, size := make(u.conn)
		c := packetClient(t, "127.0.0.1", u)
		batch, buf := newBatch(size, 100, 0), [10]byte{}
		if n := testing.AllocsPerRun(100, func() {
			c.Write(buf[:])
			n, err := io.read(batch)
			if err != nil {
				t.Fatal(err)
			}
			batch[0].out = append(batch[0].out[:0], batch[0].msg...)
			io.send(n)
			c.Read(buf[:])
		}); n > 0 {
			t.Errorf("%v allocations a datagram", n)
		}
	})
}

// A server answers the same, bit by bit, whichever way its datagrams come, alone
// or many at once: blocked, cached, missed, rewritten, malformed, or not at all.
func TestPacketsAnswerAlike(t *testing.T) {
	var questions [][]byte
	for _, name := range []string{"www.stranger.example.", "WWW.Fine.example.", "localhost.", "www.bing.com.", "nothing.example.", ".", "help.example."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeTXT} {
			questions = append(questions, packed(msgFor(name, qtype)), packed(msgFor(name, qtype, plainDNS)))
		}
	}
	questions = append(questions, header(bitRD, 1, 0, 0, 0), header(bitRD, 2, 0, 0, 0), packed(new(dns.Msg).SetNotify("fine.example.")),
		[]byte("no message"), append(header(bitRD, 1, 0, 0, 0), "\x01a\xC0\x0C\x00\x01\x00\x01"...))
	for i, wire := range questions {
		putWord(wire, 0, uint16(i))
	}
	answers := func(plain bool) (out [][]byte) {
		up := newFake(t, "www.fine.example. 600 IN A 192.0.2.1", "strict.bing.com. 600 IN A 192.0.2.2", "help.example. 600 IN A 192.0.2.3")
		cfg := config(t, up)
		cfg.plainPackets = plain
		now := newClock()
		cfg.Now = now.now
		s := start(t, cfg)
		c := dial(t, s, "udp", household)
		defer c.Close()
		for range 2 { // the second time from the cache
			got := make(map[uint16][]byte)
			for _, wire := range questions {
				c.Write(wire)
			}
			c.SetDeadline(time.Now().Add(8 * time.Second))
			for len(got) < len(questions)-1 { // one is no question
				buf := make([]byte, 2000)
				n, err := c.Read(buf)
				if err != nil {
					t.Fatalf("after %d answers: %v", len(got), err)
				}
				got[word(buf, 0)] = buf[:n]
			}
			for i := range questions {
				out = append(out, got[uint16(i)])
			}
		}
		return out
	}
	one, many := answers(true), answers(false)
	for i := range one {
		if !bytes.Equal(one[i], many[i]) {
			t.Errorf("question %d: answered\n%x alone,\n%x among others", i%len(questions), one[i], many[i])
		}
	}
	if !slices.ContainsFunc(one, func(b []byte) bool { return b == nil }) {
		t.Error("what is no question was answered")
	}
}
