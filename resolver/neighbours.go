package resolver

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"kinward/policy"
)

// neighbours tells the hardware address of whoever is on the same link, from the
// system's neighbour table (ARP, RFC 826; neighbour discovery, RFC 4861). The
// table is read beside the questions, at most every neighbourPause, and only
// while somebody on a private or link-local address asks; a question never waits
// for it. A device that nobody has seen yet is for a moment one that is known by
// its address alone.
type neighbours struct {
	table atomic.Pointer[neighbourTable]
	read  func() (map[netip.Addr]policy.MAC, error) // nil: this system tells none
	wake  chan struct{}
}

type neighbourTable struct {
	macs map[netip.Addr]policy.MAC // link-local addresses with their zone
	at   int64                     // Unix nanoseconds
}

const (
	maxNeighbours  = 8192 // above the kernel's own bound (gc_thresh3, 1024)
	neighbourPause = 2 * time.Second
	neighbourAge   = 5 * time.Second // an older table is read anew: an address goes to another device
)

func newNeighbours(read func() (map[netip.Addr]policy.MAC, error)) *neighbours {
	n := &neighbours{read: read, wake: make(chan struct{}, 1)}
	n.table.Store(&neighbourTable{})
	return n
}

// mac returns the hardware address of a neighbour, zero where none is known.
func (n *neighbours) mac(a netip.Addr, now time.Time) policy.MAC {
	a = a.Unmap()
	if n.read == nil || !a.IsPrivate() && !a.IsLinkLocalUnicast() {
		return policy.MAC{}
	}
	if !a.IsLinkLocalUnicast() {
		a = a.WithZone("")
	}
	t := n.table.Load()
	m, ok := t.macs[a]
	if age := time.Duration(now.UnixNano() - t.at); !ok || age.Abs() > neighbourAge { // one from ahead was read before the clock was set back
		select {
		case n.wake <- struct{}{}:
		default: // it is due already
		}
	}
	return m
}

// run reads the table when it is wanted, until ctx ends. An error leaves no
// hardware address in force: an old one could be another device's by now.
func (n *neighbours) run(ctx context.Context, now func() time.Time, failed func(error)) {
	for n.read != nil {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		macs, err := n.read()
		if err != nil {
			failed(err)
			macs = nil
		}
		n.table.Store(&neighbourTable{macs, now().UnixNano()})
		pause := time.NewTimer(neighbourPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}
