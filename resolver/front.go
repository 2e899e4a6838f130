package resolver

import (
	"hash/maphash"
	"time"
)

// front is a loop's own way into the cache: where the entries are that it gave out
// lately. It takes no lock and writes nothing that other loops read, so that loops do
// not wait for each other at names that everybody asks for. An entry is taken from
// here only while the cache has it, and once a second from the cache itself, so that
// the order of use there stays true.
type front struct {
	seed  maphash.Seed
	slots [frontSlots]*entry
}

const (
	frontSlots = 2048
	// frontBytes is the longest entry that is kept here, since it stays until
	// another takes its slot.
	frontBytes = maxEDNSUDP
)

func newFront() *front { return &front{seed: maphash.MakeSeed()} }

func (f *front) slot(k question) **entry {
	return &f.slots[(maphash.String(f.seed, string(k.name))+uint64(k.qtype))%frontSlots]
}

// get returns the entry for k where it can be given out as it is. f may be nil.
func (f *front) get(k question, now time.Time) *entry {
	if f == nil {
		return nil
	}
	at := f.slot(k)
	e := *at
	if e == nil || e.key != k {
		return nil
	}
	if e.gone.Load() || !e.alive(now) || e.touched.Load() != now.Unix() {
		*at = nil
		return nil
	}
	return e
}

// put keeps e, which the cache has.
func (f *front) put(e *entry) {
	if f != nil && len(e.wire) <= frontBytes {
		*f.slot(e.key) = e
	}
}
