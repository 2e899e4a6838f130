package resolver

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/miekg/dns"
)

// virtual makes a server tell the time from a clock of the test.
func virtual(c *Config) *clock {
	clk := newClock()
	c.Now = clk.now
	return clk
}

func TestRFC8767_StaleAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		zone   string
		does   behaviour
		edns   bool
		rcode  int
		ede    int
		ttl    uint32
		answer int
	}{
		{"silent upstream", "ok.example. 60 IN A 192.0.2.1", drops, true, dns.RcodeSuccess, 3, staleTTL, 1},
		{"failing upstream", "ok.example. 60 IN A 192.0.2.1", says(dns.RcodeServerFailure), true, dns.RcodeSuccess, 3, staleTTL, 1},
		{"without EDNS nothing tells", "ok.example. 60 IN A 192.0.2.1", drops, false, dns.RcodeSuccess, -1, staleTTL, 1},
		{"a name that did not exist", "example. 60 IN SOA ns.example. h.example. 1 2 3 4 60", drops, true, dns.RcodeNameError, 19, staleTTL, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newFake(t, tt.zone)
			c := config(t, up)
			quick(&c)
			clk := virtual(&c)
			reg := newRegistry(&c)
			s := start(t, c)
			m := func() *dns.Msg { return msgFor("ok.example.", dns.TypeA) }
			if !tt.edns {
				m = func() *dns.Msg { return msgFor("ok.example.", dns.TypeA, plainDNS) }
			}
			ask(t, s, adult, m())
			clk.advance(time.Hour)
			up.does(tt.does)
			for range 2 {
				got := ask(t, s, adult, m())
				code, _ := ede(got)
				if got.Rcode != tt.rcode || code != tt.ede || len(got.Answer) != tt.answer {
					t.Fatalf("got %s", got)
				}
				for _, rr := range append(got.Answer, got.Ns...) {
					if rr.Header().Ttl > tt.ttl {
						t.Errorf("TTL of %s, want %d", rr, tt.ttl)
					}
				}
			}
			if n := metric(t, reg, "kinward_cache_stale_total"); n != 2 {
				t.Errorf("kinward_cache_stale_total = %v, want 2", n)
			}
		})
	}
}

// Upstreams that failed a moment ago are not waited for again; later they are
// asked, and the new answer takes the old one's place.
func TestRFC8767_RecoversAndIsNotAskedForEachTime(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	c := config(t, up)
	quick(&c)
	clk := virtual(&c)
	s := start(t, c)
	q := func() *dns.Msg { return ask(t, s, adult, msgFor("ok.example.", dns.TypeA)) }
	q()
	clk.advance(time.Hour)
	up.does(says(dns.RcodeServerFailure))
	q()
	up.queries()
	for range 5 {
		q()
	}
	if n := asksFor(up, "ok.example."); n != 0 {
		t.Errorf("asked %d times right after a failure", n)
	}
	up.set(t, "ok.example. 60 IN A 192.0.2.2")
	up.does(nil)
	clk.advance(staleRetry)
	if got := q(); len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
		t.Errorf("after the upstream came back got %s", got)
	}
	if code, _ := ede(q()); code != -1 {
		t.Errorf("EDE %d with a new answer", code)
	}
}

// Nothing is served for ever, and what is blocked now is not answered from what
// was allowed once.
func TestRFC8767_EndsAndIsDecidedAnew(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1", "leads.example. 60 IN CNAME www.stranger.example.", "www.stranger.example. 60 IN A 192.0.2.3")
	c := config(t, up)
	quick(&c)
	clk := virtual(&c)
	s := start(t, c)
	for _, name := range []string{"ok.example.", "leads.example."} {
		ask(t, s, adult, msgFor(name, dns.TypeA))
	}
	up.does(drops)
	clk.advance(time.Hour)
	if got := ask(t, s, household, msgFor("leads.example.", dns.TypeA)); len(got.Answer) != 0 {
		t.Errorf("an old answer that leads to a blocked name: %s", got)
	}
	clk.advance(staleFor)
	if got := ask(t, s, adult, msgFor("ok.example.", dns.TypeA)); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("a day after its end: %s", got)
	}
}

// Nobody waits for staleRetry after a failure, however the clock on the wall is set
// meanwhile: an answer that is over would be given out until that has caught up.
func TestFailureAndClockSetBack(t *testing.T) {
	now := time.Now()
	e := &entry{stored: now}
	if e.recently(now) || e.recently(now.Add(time.Hour)) {
		t.Error("what never failed failed a moment ago")
	}
	now = now.Add(time.Minute)
	e.fail(now)
	for _, step := range []time.Duration{0, time.Second, -time.Second, 7 * time.Second, -7 * time.Second, time.Hour, -time.Hour} {
		for after, want := range map[time.Duration]bool{
			-time.Second: true, 0: true, staleRetry - 1: true, staleRetry: false, time.Hour: false, // a question may be older than the failure
		} {
			if got := e.recently(onTheWall(t, now.Add(after), step)); got != want {
				t.Errorf("%v after a failure, the clock set by %v meanwhile: a moment ago is %v, want %v", after, step, got, want)
			}
		}
	}
}

// onTheWall returns now as time.Now does after the clock was set by step: another time
// of day, and the same monotonic reading. Only the runtime makes such a one, so this
// goes by how [time.Time] is laid out, and looks whether that still holds.
func onTheWall(t *testing.T, now time.Time, step time.Duration) time.Time {
	t.Helper()
	set := now
	wall := (*uint64)(unsafe.Pointer(&set)) // the first field; seconds above 30 bits of nanoseconds
	*wall += uint64(step/time.Second) << 30
	if set.Sub(now) != 0 || set.Round(0).Sub(now.Round(0)) != step {
		t.Fatalf("%v, set by %v, is %v: time.Time is laid out in another way", now, step, set)
	}
	return set
}

func asksFor(up *fake, name string) (n int) {
	for _, q := range up.queries() {
		if q.msg.Question[0].Name == name {
			n++
		}
	}
	return n
}

// What is asked for often is asked anew before it ends; what is not, is not.
func TestPrefetch(t *testing.T) {
	for _, tt := range []struct {
		name string
		uses int
		at   time.Duration
		ttl  int
		want int
	}{
		{"wanted, and about to end", prefetchUses + 2, 95 * time.Second, 100, 1},
		{"wanted, but young", prefetchUses + 2, 80 * time.Second, 100, 0},
		{"asked for now and then", 1, 95 * time.Second, 100, 0},
		{"too short a life", prefetchUses + 2, 4900 * time.Millisecond, 5, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newFake(t, fmt.Sprintf("ok.example. %d IN A 192.0.2.1", tt.ttl))
			c := config(t, up)
			clk := virtual(&c)
			s := start(t, c)
			q := func() { ask(t, s, adult, msgFor("ok.example.", dns.TypeA)) }
			for range tt.uses + 1 {
				q()
			}
			up.queries()
			clk.advance(tt.at)
			q()
			settle(t, s)
			if n := asksFor(up, "ok.example."); n != tt.want {
				t.Errorf("asked upstream %d times, want %d", n, tt.want)
			}
			if tt.want > 0 {
				clk.advance(50 * time.Second)
				q()
				if n := asksFor(up, "ok.example."); n != 0 {
					t.Errorf("the answer that was fetched ahead is not used")
				}
			}
		})
	}
}

// A flood of names that are asked once does not push out what is in use.
func TestCacheResistsScans(t *testing.T) {
	now := newClock().now()
	c := newCache(256 << 10)
	var used []question
	for i := range 50 {
		k := keyFor(fmt.Sprintf("used%d.example", i))
		used = append(used, k)
		c.put(k, entryFor(t, k, now, k.name.String()+". 3600 IN A 192.0.2.1"))
		c.get(k, now)
	}
	for i := range 5000 {
		k := keyFor(fmt.Sprintf("random%d.example", i))
		c.put(k, entryFor(t, k, now, k.name.String()+". 3600 IN A 192.0.2.1"))
	}
	for _, k := range used {
		if c.get(k, now) == nil {
			t.Errorf("%s was pushed out", k.name)
		}
	}
	if _, bytes := c.usage(); bytes > 256<<10 {
		t.Errorf("%d bytes", bytes)
	}
}

func TestCacheFlushName(t *testing.T) {
	now := newClock().now()
	c := newCache(defaultCacheBytes)
	for _, n := range []string{"a.example", "www.a.example", "ba.example"} {
		for _, typ := range []uint16{typeA, typeAAAA} {
			k := keyFor(n)
			k.qtype = typ
			e := entryFor(t, keyFor(n), now, n+". 60 IN A 192.0.2.1")
			c.put(k, e)
		}
	}
	c.get(keyFor("a.example"), now) // one of them proven
	if n := c.flushName(keyFor("a.example").name, false); n != 2 {
		t.Errorf("%d answers for the name alone, want 2", n)
	}
	if n := c.flushName(keyFor("a.example").name, true); n != 2 {
		t.Errorf("%d answers below it, want 2", n)
	}
	if n, bytes := c.usage(); n != 2 || bytes == 0 {
		t.Errorf("%d answers left, want the two of ba.example", n)
	}
}
