package resolver

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

// A question that many ask at once is sent once, and each gets the answer.
func TestEqualQuestionsFlyOnce(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	held := make(chan struct{})
	up.does(func(_ string, _, a *dns.Msg) [][]byte { <-held; return [][]byte{packed(a)} })
	c := config(t, up)
	c.Limits.AttemptTimeout, c.Limits.QueryDeadline = 8*time.Second, 8*time.Second
	s := start(t, c)
	const many = 40
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if got := ask(t, s, adult, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
				t.Errorf("got %s", got)
			}
		})
	}
	for s.inFlight.Load() < many || s.fetching.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := s.fetching.count.Load(); n != 1 {
		t.Errorf("%d flights for one question", n)
	}
	close(held)
	wg.Wait()
	seen := map[string]int{} // a plain question may be sent again where it seems lost
	for _, q := range up.queries() {
		seen[q.msg.Question[0].Name]++
	}
	if n := seen["ok.example."]; n < 1 || n > 2 {
		t.Errorf("sent %d times", n)
	}
}

// Who comes just after a flight has ended takes what it brought; a prefetch does not.
func TestFlightAfterFlight(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	s := start(t, config(t, up))
	set, k := s.settings.Load(), keyFor("ok.example")
	for i, c := range []struct {
		anew  bool
		asked int
	}{{false, 1}, {false, 0}, {true, 1}} {
		f := s.fetch(t.Context(), set, k, c.anew)
		if <-f.done; f.err != nil || f.e == nil {
			t.Fatalf("flight %d: %v", i, f.err)
		}
		asked := 0
		for _, q := range up.queries() { // since the last look
			if q.msg.Question[0].Name == "ok.example." {
				asked++
			}
		}
		if asked != c.asked {
			t.Errorf("flight %d asked %d times, want %d", i, asked, c.asked)
		}
	}
}

// Who shares a flight shares the answer, never the verdict.
func TestFlightsShareNoVerdicts(t *testing.T) {
	up := newFake(t, "leads.example. 60 IN CNAME www.stranger.example.", "www.stranger.example. 60 IN A 192.0.2.3")
	held := make(chan struct{})
	up.does(func(_ string, _, a *dns.Msg) [][]byte { <-held; return [][]byte{packed(a)} })
	c := config(t, up)
	c.Limits.AttemptTimeout, c.Limits.QueryDeadline = 8*time.Second, 8*time.Second
	s := start(t, c)
	var wg sync.WaitGroup
	for who, answers := range map[string]int{adult: 2, household: 0} {
		wg.Go(func() {
			got := ask(t, s, who, msgFor("leads.example.", dns.TypeA))
			if code, _ := ede(got); len(got.Answer) != answers || (answers == 0) != (code == edeFiltered) {
				t.Errorf("%s got %s", who, got)
			}
		})
	}
	for s.inFlight.Load() < 2 || s.fetching.count.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := s.fetching.count.Load(); n != 1 {
		t.Errorf("%d flights", n)
	}
	close(held)
	wg.Wait()
}

// A fault while an answer is fetched is SERVFAIL for those who wait, and the end
// of nothing else.
func TestPanicInAFlight(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	reg := newRegistry(&c)
	s := start(t, c)
	set := s.settings.Load()
	broken := &settings{peers: []*peer{nil}}
	f := s.fetch(context.Background(), broken, keyFor("broken.example"), false)
	<-f.done
	if f.err == nil || f.e != nil {
		t.Errorf("a flight with a fault ends with %v, %v", f.e, f.err)
	}
	broken.peers = []*peer{{name: "faulty", client: new(upstream.Client), m: set.peers[0].m}}
	f = s.fetch(context.Background(), broken, keyFor("broken.example"), false)
	<-f.done
	if f.err == nil {
		t.Error("a try with a fault ends well")
	}
	if n := metric(t, reg, "kinward_panics_total"); n != 2 {
		t.Errorf("kinward_panics_total = %v, want 2", n)
	}
	if got := ask(t, s, adult, msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("afterwards: %s", got)
	}
}

// Flights are bounded, also those that nobody waits for any more.
func TestFlightsAreBounded(t *testing.T) {
	const most = 5
	f := newFlights(most)
	var wg sync.WaitGroup
	land := make(chan struct{})
	fly := func(i int) *flight {
		return f.join(&wg, keyFor(fmt.Sprintf("n%d.example", i)), func() (*entry, error) { <-land; return nil, nil })
	}
	for i := range most {
		if fly(i) == nil {
			t.Fatalf("flight %d does not start", i)
		}
	}
	if fly(most) != nil {
		t.Error("one too many starts")
	}
	if a, b := fly(0), fly(0); a == nil || a != b {
		t.Error("those under way cannot be joined any more")
	}
	close(land)
	wg.Wait()
	if f.count.Load() != 0 {
		t.Errorf("%d left", f.count.Load())
	}
}

// Prefetches take no more than half of what may fly: people's questions go first.
func TestPrefetchLeavesRoom(t *testing.T) {
	up := newFake(t)
	up.does(drops)
	c := config(t, up)
	quick(&c)
	c.Limits.InFlight = 4
	s := start(t, c)
	for i := range 10 {
		s.prefetch(context.Background(), s.settings.Load(), keyFor(fmt.Sprintf("n%d.example", i)))
	}
	if n := s.fetching.count.Load(); n > 2 {
		t.Errorf("%d prefetches under way, want room for questions", n)
	}
	s.flights.Wait()
}
