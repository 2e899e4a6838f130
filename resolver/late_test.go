package resolver

import (
	"net"
	"slices"
	"sync"
	"testing"
)

// heldPackets sends nothing before it may, and notes what each call was to send.
type heldPackets struct {
	packets
	calls chan int
	may   chan bool
}

func (h *heldPackets) sendTo(list []lateAnswer) {
	h.calls <- len(list)
	<-h.may
}

// Answers that are ready while others are sent go together in the next call, and
// none stays behind.
func TestLateAnswersGoTogether(t *testing.T) {
	h := &heldPackets{calls: make(chan int), may: make(chan bool)}
	l := lateAnswers{io: h}
	l.send(lateAnswer{}) // none is due
	var all sync.WaitGroup
	all.Go(func() { l.send(lateAnswer{out: []byte{1}}) })
	first := <-h.calls
	for range 40 {
		l.send(lateAnswer{out: []byte{2}}) // returns: the first takes it along
	}
	h.may <- true
	second := <-h.calls
	h.may <- true
	all.Wait()
	if first != 1 || second != 40 {
		t.Errorf("%d and %d answers went in a call, want 1 and 40", first, second)
	}
	all.Go(func() { l.send(lateAnswer{out: []byte{3}}) }) // nobody sends any more
	if third := <-h.calls; third != 1 {
		t.Errorf("%d answers went in the third call", third)
	}
	h.may <- true
	all.Wait()
}

// Each answer reaches who asked, from the address that was asked.
func TestLateAnswersReachTheirOwn(t *testing.T) {
	eachPackets(t, func(t *testing.T, make func(*net.UDPConn) (packets, int)) {
		u := packetSocket(t, "0.0.0.0:0")
		io, size := make(u.conn)
		u.late.io, _ = make(u.conn)
		batch := newBatch(size, 512, oobLen)
		var clients []*net.UDPConn
		var late []lateAnswer
		for i := range 48 {
			c := packetClient(t, []string{"127.0.0.1", "127.0.0.3"}[i%2], u)
			if _, err := c.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
			n, err := io.read(batch)
			if err != nil || n != 1 {
				t.Fatal(n, err)
			}
			p := &batch[0]
			late = append(late, lateAnswer{out: slices.Clone(p.msg), back: slices.Clone(p.back), to: p.from, name: slices.Clone(p.name)})
		}
		u.late.io.sendTo(late)
		for i, c := range clients {
			var b [8]byte
			if n, err := c.Read(b[:]); err != nil || n != 1 || b[0] != byte(i) {
				t.Errorf("client %d got %v, %v", i, b[:n], err)
			}
		}
	})
}
