package resolver

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kinward/policy"
)

// TestNeighbours: the table is read beside the questions, seldom, and only while
// somebody near asks.
func TestNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mac := policy.MAC{2, 0, 0, 0, 0, 1}
		reads, broken := 0, error(nil)
		n := newNeighbours(func() (map[netip.Addr]policy.MAC, error) {
			reads++
			return map[netip.Addr]policy.MAC{
				netip.MustParseAddr("192.168.1.20"):  mac,
				netip.MustParseAddr("fe80::20%eth0"): mac,
				netip.MustParseAddr("198.51.100.7"):  mac,
			}, broken
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failed := 0
		go n.run(ctx, time.Now, func(error) { failed++ })
		ask := func(a string) policy.MAC { return n.mac(netip.MustParseAddr(a), time.Now()) }

		if ask("198.51.100.7") != (policy.MAC{}) || ask("127.0.0.1") != (policy.MAC{}) {
			t.Error("somebody far has a hardware address")
		}
		if synctest.Wait(); reads != 0 {
			t.Error("somebody far makes the table be read")
		}
		if ask("192.168.1.20") != (policy.MAC{}) {
			t.Error("the first question waited")
		}
		synctest.Wait()
		for _, a := range []string{"192.168.1.20", "::ffff:192.168.1.20", "192.168.1.20", "fe80::20%eth0"} {
			if got := ask(a); got != mac {
				t.Errorf("%s has %v", a, got)
			}
		}
		if got := ask("fe80::20%eth1"); got != (policy.MAC{}) {
			t.Errorf("the same address on another link has %v", got)
		}
		for range 100 {
			ask("192.168.1.99") // a stranger to the link, again and again
			time.Sleep(neighbourPause / 100)
		}
		if synctest.Wait(); reads > 2 {
			t.Errorf("%d reads in %v", reads, neighbourPause)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		before := reads
		time.Sleep(time.Hour)
		if synctest.Wait(); reads != before {
			t.Error("the table is read while nobody asks")
		}
		n.mac(netip.MustParseAddr("192.168.1.20"), time.Now().Add(-4*time.Hour)) // the clock was set back to before it was read
		if synctest.Wait(); reads != before+1 {
			t.Errorf("%d reads after the clock was set back, want one: an address may be another device's by then", reads-before)
		}
		time.Sleep(neighbourPause)
		broken = errors.New("no table")
		time.Sleep(time.Hour)
		ask("192.168.1.20") // too old: asked for anew
		if synctest.Wait(); failed != 1 || ask("192.168.1.20") != (policy.MAC{}) {
			t.Errorf("%d failures told; an old hardware address stays in force", failed)
		}
	})
	n := newNeighbours(nil)
	if n.mac(netip.MustParseAddr("192.168.1.20"), time.Now()) != (policy.MAC{}) {
		t.Error("a system without a table tells something")
	}
	n.run(t.Context(), time.Now, nil) // returns at once
	a, now := netip.MustParseAddr("192.168.1.20"), time.Now()
	if n := testing.AllocsPerRun(1000, func() { n.mac(a, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
