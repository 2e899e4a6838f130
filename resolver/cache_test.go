package resolver

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// entryFor makes an entry of records in zone-file syntax.
func entryFor(t testing.TB, k question, now time.Time, records ...string) *entry {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(k.name.String()+".", k.qtype)
	m.Response = true
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	e, err := newEntry(k, m, now)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func keyFor(name string) question {
	return question{name: blocklists.MustName(name), qtype: typeA, class: classIN}
}

// The cache stays within its bytes, and lets go of what was used longest ago.
func TestCacheIsBounded(t *testing.T) {
	now := newClock().now()
	const budget = 100 << 10
	c := newCache(budget)
	if len(c.shards) != 1 {
		t.Fatalf("%d shards for a small cache, want 1", len(c.shards))
	}
	keep := keyFor("keep.example")
	c.put(keep, entryFor(t, keep, now, "keep.example. 60 IN A 192.0.2.1"))
	for i := range 1000 {
		k := keyFor(fmt.Sprintf("n%d.example", i))
		c.put(k, entryFor(t, k, now, k.name.String()+". 60 IN A 192.0.2.1"))
		if c.get(keep, now) == nil {
			t.Fatalf("after %d others, what is used all the time is gone", i)
		}
	}
	n, bytes := c.usage()
	if bytes > budget || bytes < budget*9/10 || n < 100 {
		t.Errorf("%d entries take %d bytes, want nearly %d", n, bytes, budget)
	}
	if c.evicted.Load() != uint64(1001-n) {
		t.Errorf("%d evicted, %d of 1001 left", c.evicted.Load(), n)
	}
	if c.get(keyFor("n0.example"), now) != nil || c.get(keyFor("n999.example"), now) == nil {
		t.Error("the newest went before the oldest")
	}
}

// What is counted stays true when entries are replaced, end, or are flushed.
func TestCacheCountsItsBytes(t *testing.T) {
	clk := newClock()
	c := newCache(1 << 20)
	k := keyFor("a.example")
	small := entryFor(t, k, clk.now(), "a.example. 60 IN A 192.0.2.1")
	large := entryFor(t, k, clk.now(), "a.example. 60 IN A 192.0.2.1", "a.example. 60 IN A 192.0.2.2", "a.example. 60 IN A 192.0.2.3")
	check := func(what string, entries, bytes int) {
		t.Helper()
		if n, b := c.usage(); n != entries || b != bytes {
			t.Errorf("%s: %d entries in %d bytes, want %d in %d", what, n, b, entries, bytes)
		}
	}
	c.put(k, small)
	check("one", 1, small.size())
	c.put(k, large)
	check("replaced", 1, large.size())
	clk.advance(59 * time.Second)
	if c.get(k, clk.now()) != large {
		t.Error("it ended early")
	}
	clk.advance(time.Second)
	if e := c.get(k, clk.now()); e == nil || e.alive(clk.now()) {
		t.Error("it did not end, or is not kept for when there is no better one")
	}
	clk.advance(staleFor)
	if c.get(k, clk.now()) != nil {
		t.Error("it is of use for ever")
	}
	check("ended", 0, 0)
	c.put(k, small)
	c.flushName("", true)
	check("flushed", 0, 0)
	zero := entryFor(t, k, clk.now(), "a.example. 0 IN A 192.0.2.1")
	c.put(k, zero)
	check("TTL 0", 0, 0)
	if len(newCache(defaultCacheBytes).shards) != maxShards {
		t.Error("the default cache does not use all shards")
	}
}

// The clock may be set back; an answer then does not grow older than it is, nor
// younger.
func TestCacheAndClockSetBack(t *testing.T) {
	clk := newClock()
	k := keyFor("a.example")
	e := entryFor(t, k, clk.now(), "a.example. 60 IN A 192.0.2.1")
	clk.advance(-time.Hour)
	if !e.alive(clk.now()) || e.age(clk.now()) != 0 {
		t.Errorf("age %v", e.age(clk.now()))
	}
}

func TestCacheConcurrently(t *testing.T) {
	now := newClock().now()
	c := newCache(1 << 20)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				k := keyFor(fmt.Sprintf("n%d.example", (i+g*7)%50))
				if e := c.get(k, now); e != nil {
					continue
				}
				c.put(k, entryFor(t, k, now, k.name.String()+". 60 IN A 192.0.2.1"))
				if i%100 == 99 {
					c.flushName("", true)
				}
			}
		})
	}
	wg.Wait()
	c.flushName("", true)
	if n, b := c.usage(); n != 0 || b != 0 {
		t.Errorf("after a flush %d entries take %d bytes", n, b)
	}
}

// An entry takes about the memory that it is counted with.
func TestEntryOverhead(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	settled := func() int64 { // what other tests left is freed, too
		bytes := heap()
		for range 100 {
			last := bytes
			if bytes = heap(); bytes == last {
				break
			}
		}
		return int64(bytes)
	}
	now := newClock().now()
	const n = 20000
	c := newCache(1 << 30)
	for i := range n {
		k := keyFor(fmt.Sprintf("host%d.some-site.example", i))
		c.put(k, entryFor(t, k, now, k.name.String()+". 60 IN A 192.0.2.1"))
	}
	_, counted := c.usage()
	with := settled()
	runtime.KeepAlive(c)
	c = nil
	took := with - settled()
	if ratio := float64(took) / float64(counted); ratio < 0.6 || ratio > 1.3 {
		t.Errorf("%d bytes an entry, counted as %d", took/n, counted/n)
	}
}

func TestRFC2308_NegativeAnswers(t *testing.T) {
	long := "long.example. 86400 IN SOA ns.long.example. root.long.example. 1 2 3 4 86400"
	for _, tt := range []struct {
		name  string
		zone  []string
		asked string
		rcode int
		ttl   uint32 // of the SOA record
		lives time.Duration
	}{
		{"NXDOMAIN, by the SOA's minimum", []string{"zone.example. 300 IN SOA ns. root. 1 2 3 4 120"}, "a.zone.example.", 3, 120, 120 * time.Second},
		{"NXDOMAIN, by the SOA's TTL", []string{"zone.example. 90 IN SOA ns. root. 1 2 3 4 120"}, "a.zone.example.", 3, 90, 90 * time.Second},
		{"NODATA", []string{"zone.example. 300 IN SOA ns. root. 1 2 3 4 120", "a.zone.example. 300 IN TXT x"}, "a.zone.example.", 0, 120, 120 * time.Second},
		{"an hour at most", []string{long}, "a.long.example.", 3, 3600, time.Hour},
		{"behind a CNAME, no longer than that", []string{"zone.example. 300 IN SOA ns. root. 1 2 3 4 120", "a.zone.example. 40 IN CNAME b.zone.example."}, "a.zone.example.", 3, 120, 40 * time.Second},
		{"without a SOA record, not at all", nil, "a.zone.example.", 3, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clk := newClock()
			up := newFake(t, tt.zone...)
			c := config(t, up)
			c.Now = clk.now
			st := grownUps(t)
			c.State = func() *policy.State { return st }
			s := start(t, c)
			ask1 := func() *dns.Msg { return ask(t, s, adult, msgFor(tt.asked, dns.TypeA)) }
			got := ask1()
			if got.Rcode != tt.rcode {
				t.Errorf("rcode = %d, want %d", got.Rcode, tt.rcode)
			}
			if len(got.Ns) > 0 && got.Ns[0].Header().Ttl != tt.ttl || len(got.Ns) == 0 && tt.ttl > 0 {
				t.Errorf("authority = %v, want a TTL of %d", rrs(got.Ns), tt.ttl)
			}
			if tt.lives > 0 {
				clk.advance(tt.lives - time.Second)
				got := ask1()
				if want := tt.ttl - uint32(tt.lives/time.Second) + 1; got.Rcode != tt.rcode || got.Ns[0].Header().Ttl != want {
					t.Errorf("before its end: %v, want a TTL of %d", rrs(got.Ns), want)
				}
				if n := countFor(up, tt.asked); n != 1 {
					t.Errorf("asked upstream %d times before its end, want once", n)
				}
				clk.advance(time.Second)
			}
			up.queries()
			ask1()
			if n := countFor(up, tt.asked); n != 1 {
				t.Errorf("asked upstream %d times after its end, want once", n)
			}
		})
	}
}
