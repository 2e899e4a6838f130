package resolver

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// segmentClients has clients ask a socket in turn, so that it can answer each question.
func segmentClients(tb testing.TB, u *net.UDPConn, clients, questions int) (*manyPackets, []*net.UDPConn) {
	tb.Helper()
	io, _, err := newPackets(u)
	if err != nil {
		tb.Fatal(err)
	}
	var all []*net.UDPConn
	for range clients {
		c, err := net.DialUDP("udp", nil, u.LocalAddr().(*net.UDPAddr))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		all = append(all, c)
	}
	for i := range questions {
		all[i%clients].Write([]byte{byte(i)})
	}
	batch := newBatch(questions, 100, oobLen)
	for got := 0; got < questions; {
		n, err := io.read(batch[got:])
		if err != nil {
			tb.Fatal(err)
		}
		got += n
	}
	m := io.(*manyPackets)
	m.last = batch
	return m, all
}

// Answers to one client leave together, whatever their lengths, and reach it one by
// one; also where the system refuses to cut a message.
func TestAnswersLeaveTogether(t *testing.T) {
	lengths := []int{50, 80, 50, 50, 300, 50, 10, 80, 10, 1232, 50, 10}
	for _, refused := range []bool{false, true} {
		for _, at := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
			t.Run(fmt.Sprintf("%s/refused=%v", at, refused), func(t *testing.T) {
				u := packetSocket(t, at)
				if refused { // without a sum there is nothing to cut (udp(7))
					raw, _ := u.conn.SyscallConn()
					raw.Control(func(fd uintptr) {
						if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
							t.Fatal(err)
						}
					})
				}
				m, clients := segmentClients(t, u.conn, 2, 2*len(lengths))
				want := make([][]string, 2)
				for i := range m.last {
					text := strings.Repeat(string(rune('a'+i)), lengths[i/2])
					m.last[i].out = []byte(text)
					want[i%2] = append(want[i%2], text)
				}
				m.send(2 * len(lengths))
				// 1232+300, 80+80+50, 50+50+50+50+10, 10+10
				if n := len(m.together(2 * len(lengths))); n != 2*4 {
					t.Errorf("%d messages, want 8", n)
				}
				for c := range clients {
					var got []string
					for range lengths {
						buf := make([]byte, 2000)
						n, err := clients[c].Read(buf)
						if err != nil {
							t.Fatalf("after %d answers: %v", len(got), err)
						}
						got = append(got, string(buf[:n]))
					}
					slices.Sort(got)
					slices.Sort(want[c])
					if !slices.Equal(got, want[c]) {
						t.Errorf("client %d got %q, want %q", c, got, want[c])
					}
				}
			})
		}
	}
}

// What goes to one address from two of ours does not leave together, nor what is too
// long for a datagram's length.
func TestAnswersLeaveApart(t *testing.T) {
	u := packetSocket(t, "127.0.0.1:0")
	m, _ := segmentClients(t, u.conn, 1, 4)
	back := bytes.Repeat([]byte{1}, oobLen)
	for i := range m.last {
		m.answers[i] = outgoing{out: make([]byte, 40), to: m.last[i].name}
		if i == 1 {
			m.answers[i].back = back
		}
	}
	if n := len(m.together(4)); n != 3 {
		t.Errorf("answers from two addresses make %d messages, want 3", n)
	}
	for i := range m.last {
		m.answers[i] = outgoing{out: make([]byte, 30_000), to: m.last[i].name}
	}
	if n := len(m.together(4)); n != 2 {
		t.Errorf("answers of 30,000 bytes make %d messages, want 2", n)
	}
}

// BenchmarkSend is what it costs to send 16 answers, an answer. Nobody reads them.
func BenchmarkSend(b *testing.B) {
	const answers = 16
	for _, clients := range []int{1, 4, 16} {
		for _, lengths := range []int{1, 3, answers} {
			for _, together := range []bool{true, false} {
				b.Run(fmt.Sprintf("clients=%d/lengths=%d/together=%v", clients, lengths, together), func(b *testing.B) {
					u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
					if err != nil {
						b.Fatal(err)
					}
					defer u.Close()
					m, _ := segmentClients(b, u, clients, answers)
					m.segments = together
					for i := range m.last {
						m.last[i].out = make([]byte, 100+i/clients%lengths)
					}
					for b.Loop() {
						m.send(answers)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/answers, "ns/answer")
				})
			}
		}
	}
}
