package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// crashReply is what of the incidents a crash trial counts.
type crashReply struct {
	Incidents []struct {
		Domain  string `json:"domain"`
		Queries int    `json:"queries"`
	} `json:"incidents"`
	Lost []struct{ Count int } `json:"lost"`
}

// askBlocked asks for blocked names over UDP until the server does not answer any
// more, from several sockets, and returns how many answers it got of each. Every
// question is asked once.
func askBlocked(t *testing.T, addr, round string, stop <-chan struct{}) (answered, asked map[string]int) {
	t.Helper()
	answered, asked = map[string]int{}, map[string]int{}
	var mu sync.Mutex
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			conn, err := dns.Dial("udp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				domain := fmt.Sprintf("w%d-%s-%d.test", worker, round, n%17) // many attempts of few incidents
				q := new(dns.Msg).SetQuestion("a."+domain+".omegle.com.", dns.TypeA)
				mu.Lock()
				asked[domain]++
				mu.Unlock()
				conn.SetDeadline(time.Now().Add(time.Second))
				if conn.WriteMsg(q) != nil {
					return
				}
				if r, err := conn.ReadMsg(); err != nil || r.Id != q.Id || r.Rcode != dns.RcodeNameError {
					return
				}
				mu.Lock()
				answered[domain]++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return answered, asked
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// From the moment a blocked answer leaves, its attempt survives kill -9: what was
// answered is counted after the next start, and nothing twice.
func TestProgramKilledLosesNoAnswer(t *testing.T) {
	h := startHome(t, startUpstream(t))
	answers, questions := 0, 0
	for round := range 4 {
		stop := make(chan struct{})
		go func() {
			time.Sleep(time.Duration(100+rand.IntN(500)) * time.Millisecond)
			h.cmd.Process.Signal(syscall.SIGKILL)
			<-h.ended
			close(stop)
		}()
		got, asked := askBlocked(t, h.dns, fmt.Sprint(round), stop)
		<-stop
		answers, questions = answers+total(got), questions+total(asked)
		h.start()
	}
	var r crashReply
	h.into(&r, "incidents", "--limit", "9000")
	kept := 0
	for _, i := range r.Incidents {
		kept += i.Queries
	}
	// A question whose answer the kill took may have been recorded.
	if kept < answers || kept > questions || len(r.Lost) > 0 || answers < 100 {
		t.Errorf("%d answers, %d questions, %d attempts kept, %v lost", answers, questions, kept, r.Lost)
	}
	t.Logf("%d answers before 4 kills, %d questions, %d attempts kept", answers, questions, kept)
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.data, journalFolder, "*.seg")); len(left) > 0 {
		t.Errorf("after a clean end %v are left", left)
	}
	if _, err := os.Stat(filepath.Join(h.data, journalFolder, "id")); err != nil {
		t.Error(err)
	}
}
