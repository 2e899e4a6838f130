package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// question on the wire with an ID.
func tcpQuestion(id uint16, name string) []byte {
	m := msgFor(name, dns.TypeA)
	m.Id = id
	return packed(m)
}

func frame(wire []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
}

// §6.2.1.1 and §7: many questions at once, each answered when its answer is
// there, on one connection.
func TestRFC7766_PipeliningOutOfOrder(t *testing.T) {
	up := newFake(t, "slow.example. 60 IN A 192.0.2.1", "fast.example. 60 IN A 192.0.2.2")
	slow := make(chan struct{})
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		if req.Question[0].Name == "slow.example." {
			<-slow
		}
		return [][]byte{packed(a)}
	})
	s := start(t, config(t, up))
	c := dial(t, s, "tcp", household)
	defer c.Close()
	var all []byte
	all = append(all, frame(tcpQuestion(1, "slow.example."))...)
	all = append(all, frame(tcpQuestion(2, "fast.example."))...)
	all = append(all, frame(tcpQuestion(3, "stranger.example."))...)
	c.Write(all) // in one segment
	got := map[uint16]bool{}
	for range 2 {
		got[binary.BigEndian.Uint16(readFrameT(t, c))] = true
	}
	if !got[2] || !got[3] {
		t.Errorf("first came the answers %v, want 2 and 3", got)
	}
	close(slow)
	m := new(dns.Msg)
	if err := m.Unpack(readFrameT(t, c)); err != nil || m.Id != 1 || len(m.Answer) != 1 {
		t.Errorf("last came %v, %v, want the slow one", m, err)
	}
}

// §8: a message may come in any number of pieces.
func TestRFC7766_PiecesOfMessages(t *testing.T) {
	s := start(t, config(t, newFake(t)))
	c := dial(t, s, "tcp", household)
	defer c.Close()
	for i, b := range frame(tcpQuestion(9, "stranger.example.")) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if id := binary.BigEndian.Uint16(readFrameT(t, c)); id != 9 {
		t.Errorf("ID = %d", id)
	}
}

// §6.2.4: who closes their half early still gets what they asked for.
func TestRFC7766_HalfClose(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	c := dial(t, s, "tcp", household)
	defer c.Close()
	for i := range 5 {
		writeFrame(t, c, tcpQuestion(uint16(i), "ok.example."))
	}
	c.(*net.TCPConn).CloseWrite()
	for range 5 {
		readFrameT(t, c)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the last answer: %v, want EOF", err)
	}
}

// ended reports how the server ended a connection, within a second.
func ended(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(3 * time.Second))
	_, err := io.ReadAll(c)
	return err
}

func TestRFC7766_ConnectionsThatEnd(t *testing.T) {
	c := config(t, newFake(t))
	c.Limits.TCPIdle, c.Limits.TCPRead = 80*time.Millisecond, 80*time.Millisecond
	reg := newRegistry(&c)
	s := start(t, c)
	for _, tt := range []struct {
		name   string
		bytes  []byte
		broken float64
	}{
		{"idle from the start", nil, 0}, // the idle ones are counted apart, below
		{"idle after a question", frame(tcpQuestion(1, "stranger.example.")), 0},
		{"half a length", []byte{0}, 1},
		{"half a message", frame(tcpQuestion(1, "stranger.example."))[:20], 1},
		{"a length of nothing", []byte{0, 0}, 1},
		{"less than a header", []byte{0, 3, 1, 2, 3}, 1},
		{"longer than any query", append([]byte{0xff, 0xff}, make([]byte, 100)...), 1},
	} {
		before := metric(t, reg, "kinward_tcp_connections_broken_total")
		conn := dial(t, s, "tcp", household)
		conn.Write(tt.bytes)
		if err := ended(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", tt.name)
		}
		conn.Close()
		for s.plain.open() > 0 {
			time.Sleep(time.Millisecond)
		}
		if n := metric(t, reg, "kinward_tcp_connections_broken_total") - before; n != tt.broken {
			t.Errorf("%s: counted %v broken connections, want %v", tt.name, n, tt.broken)
		}
	}
	if n := metric(t, reg, "kinward_tcp_connections_idle_total"); n != 2 {
		t.Errorf("kinward_tcp_connections_idle_total = %v, want 2", n)
	}
}

// A client that sends a byte now and then does not keep its connection.
func TestRFC7766_SlowSenders(t *testing.T) {
	c := config(t, newFake(t))
	c.Limits.TCPIdle, c.Limits.TCPRead = 10*time.Second, 60*time.Millisecond
	s := start(t, c)
	conn := dial(t, s, "tcp", household)
	defer conn.Close()
	f := frame(tcpQuestion(1, "stranger.example."))
	began := time.Now()
	for i := 0; time.Since(began) < 2*time.Second; i++ {
		if _, err := conn.Write(f[i%10 : i%10+1]); err != nil {
			return // closed, as it should be
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the connection was held for 2 s")
}

// A client that reads no answers is read from no more, and its connection ends.
func TestRFC7766_SlowReaders(t *testing.T) {
	up := newFake(t, bigZone(200)...)
	c := config(t, up)
	c.Limits.TCPWrite = 50 * time.Millisecond
	c.Limits.TCPInFlight = 8
	reg := newRegistry(&c)
	defer func() {
		for _, name := range []string{"kinward_tcp_connections_unread_total", "kinward_tcp_pipeline_waits_total"} {
			if metric(t, reg, name) == 0 {
				t.Errorf("%s = 0", name)
			}
		}
	}()
	s := start(t, c)
	conn := dial(t, s, "tcp", household)
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(1 << 12)
	for i := range 2000 { // 40 MB of answers, which nobody reads
		if _, err := conn.Write(frame(append([]byte{byte(i >> 8), byte(i)}, packed(msgFor("big.example.", dns.TypeTXT))[2:]...))); err != nil {
			if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
				return
			}
			t.Fatal(err)
		}
	}
	for began := time.Now(); s.plain.open() > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 3*time.Second {
			t.Fatal("the connection stays open")
		}
	}
}

// More questions at once than a connection may have wait; none is lost.
func TestRFC7766_InFlightOfAConnection(t *testing.T) {
	up := newFake(t)
	c := config(t, up)
	c.Limits.TCPInFlight = 3
	s := start(t, c)
	conn := dial(t, s, "tcp", household)
	defer conn.Close()
	const n = 50
	for i := range n {
		writeFrame(t, conn, tcpQuestion(uint16(i), fmt.Sprintf("n%d.example.", i)))
	}
	got := map[uint16]bool{}
	for range n {
		got[binary.BigEndian.Uint16(readFrameT(t, conn))] = true
	}
	if len(got) != n {
		t.Errorf("%d different answers, want %d", len(got), n)
	}
}

// Connections whose clients wait for an answer keep their place; of those that
// wait for their client the oldest makes room (RFC 7766 §6.2.3).
func TestRFC7766_TooManyConnections(t *testing.T) {
	up := newFake(t)
	up.does(func(string, *dns.Msg, *dns.Msg) [][]byte { return nil })
	c := config(t, up)
	c.Limits.TCPConns, c.Limits.TCPConnsPerClient = 3, 2
	c.Limits.Drain = time.Millisecond // nobody waits for the silent upstream at the end
	reg := newRegistry(&c)
	s := start(t, c)
	works := func(conn net.Conn) bool {
		conn.Write(frame(tcpQuestion(1, "stranger.example.")))
		_, err := io.ReadFull(conn, make([]byte, 2))
		return err == nil
	}
	var open []net.Conn
	connect := func(from string, want bool) {
		t.Helper()
		conn := dial(t, s, "tcp", from)
		t.Cleanup(func() { conn.Close() })
		if got := works(conn); got != want {
			t.Errorf("connection %d from %s works: %v, want %v", len(open), from, got, want)
		}
		open = append(open, conn)
		for want && !allWait(s) { // its answer came before the server turned to it again
			time.Sleep(time.Millisecond)
		}
	}
	gone := func(i int) {
		t.Helper()
		if _, err := io.Copy(io.Discard, open[i]); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d: %v, want it closed", i, err)
		}
	}
	connect(household, true)
	connect(household, true)
	connect(household, true) // for the first of its client
	gone(0)
	connect(adult, true)
	connect(ruled, true) // for the oldest of all
	gone(1)
	if n := metric(t, reg, "kinward_tcp_connections"); n != 3 {
		t.Errorf("kinward_tcp_connections = %v, want 3", n)
	}
	if n := metric(t, reg, "kinward_tcp_connections_evicted_total"); n != 2 {
		t.Errorf("kinward_tcp_connections_evicted_total = %v, want 2", n)
	}
	for _, conn := range open[2:] { // the upstream is silent
		writeFrame(t, conn, tcpQuestion(2, "slow.example."))
	}
	for metric(t, reg, "kinward_queries_in_flight") < 3 {
		time.Sleep(time.Millisecond)
	}
	connect(household, false)
	if n := metric(t, reg, "kinward_tcp_connections_refused_total"); n != 1 {
		t.Errorf("kinward_tcp_connections_refused_total = %v, want 1", n)
	}
}

// What is longer than any question is not read, over neither transport, and counted.
func TestMessagesThatAreTooLong(t *testing.T) {
	c := config(t, newFake(t))
	c.Limits.Message = 600
	reg := newRegistry(&c)
	s := start(t, c)
	long := packed(msgFor("stranger.example.", dns.TypeA, func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 600)})
	}))
	u := dial(t, s, "udp", household)
	defer u.Close()
	for _, wire := range [][]byte{long, tcpQuestion(7, "stranger.example.")} {
		if _, err := u.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	var id [2]byte
	if u.Read(id[:]); binary.BigEndian.Uint16(id[:]) != 7 {
		t.Errorf("the answer's ID is %d; want that to the short question, 7", binary.BigEndian.Uint16(id[:]))
	}
	conn := dial(t, s, "tcp", household)
	defer conn.Close()
	writeFrame(t, conn, long)
	if err := ended(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	if n := metric(t, reg, "kinward_messages_too_long_total"); n != 2 {
		t.Errorf("kinward_messages_too_long_total = %v, want 2", n)
	}
}

func TestClientNetwork(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	} {
		if got := clientNetwork(netip.MustParseAddr(tt.in)).String(); got != tt.want {
			t.Errorf("clientNetwork(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// allWait reports whether all connections wait for their clients.
func allWait(s *Server) bool {
	all := true
	s.plain.each(func(m *member) { all = all && m.answered.Load() > 0 && m.busy.Load() == 0 })
	return all
}
