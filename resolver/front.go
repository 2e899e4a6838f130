package resolver

import (
	"hash/maphash"
	"time"

	"kinward/blocklists"
)

// front is a loop's own way into the cache: where the entries are that it gave out
// lately. It takes no lock and writes nothing that other loops read, so that loops do
// not wait for each other at names that everybody asks for. An entry is taken from
// here only while the cache has it, and once a second from the cache itself, so that
// the order of use there stays true.
//
// Of names without an entry, as the blocked ones are, it knows what the index said of
// them lately: that is one read from memory, and the index takes one for each label.
type front struct {
	seed  maphash.Seed
	slots [frontSlots]frontSlot
	sets  [setSlots]setSlot
}

// frontSlot has room for two entries, so that two names that meet in a slot do not
// push each other out by turns.
type frontSlot struct {
	marks   [2]uint32 // of the names' hashes; others need not be looked at
	entries [2]*entry // the later one first
}

const (
	frontSlots = 8192
	// frontBytes is the longest entry that is kept here, since it stays until
	// others take its slot: 8 MB a loop at most.
	frontBytes = 512
)

// setSlot has room for four names, and is one cache line.
type setSlot [4]nameSet

// nameSet is the label set of a name in the index of a generation. Names are told
// apart by 64 bits of a hash whose seed nobody knows: that one is taken for another is
// less likely than that the index itself errs ([blocklists.Index.FalseMatch]).
type nameSet struct {
	hash       uint64
	generation uint32 // one process never makes as many indexes; 0: free
	set        blocklists.SetID
}

const setSlots = 4096

func newFront() *front { return &front{seed: maphash.MakeSeed()} }

func (f *front) slot(k question) (s *frontSlot, mark uint32) {
	h := maphash.String(f.seed, string(k.name)) + uint64(k.qtype)
	return &f.slots[h%frontSlots], uint32(h >> 32)
}

// setIn returns the label set of n, which is x.Lookup(n). f may be nil.
func (f *front) setIn(x *blocklists.Index, n blocklists.Name) blocklists.SetID {
	generation := uint32(x.Generation())
	if f == nil || generation == 0 {
		return x.Lookup(n)
	}
	h := maphash.String(f.seed, string(n))
	s := &f.sets[h%setSlots]
	for i := range s {
		if s[i].hash == h && s[i].generation == generation {
			return s[i].set
		}
	}
	set := x.Lookup(n)
	copy(s[1:], s[:])
	s[0] = nameSet{h, generation, set}
	return set
}

// get returns the entry for k where it can be given out as it is. f may be nil.
func (f *front) get(k question, now time.Time) *entry {
	if f == nil {
		return nil
	}
	s, mark := f.slot(k)
	for i, e := range s.entries {
		if s.marks[i] != mark || e == nil || e.key != k {
			continue
		}
		if e.gone.Load() || !e.alive(now) || e.touched.Load() != now.Unix() {
			s.entries[i] = nil
			return nil
		}
		return e
	}
	return nil
}

// put keeps e, which the cache has.
func (f *front) put(e *entry) {
	if f == nil || len(e.wire) > frontBytes {
		return
	}
	s, mark := f.slot(e.key)
	if s.entries[0] != nil && s.entries[0].key != e.key {
		s.marks[1], s.entries[1] = s.marks[0], s.entries[0]
	}
	s.marks[0], s.entries[0] = mark, e
}
