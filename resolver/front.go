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
	slots      [frontSlots]frontSlot // first, so that each is one cache line
	seed       maphash.Seed
	generation uint64 // of the index that sets are of
}

// frontSlot has room for the entries of three questions, the later ones first, so that
// those that meet in a slot do not push each other out by turns, and for the label
// sets of two names.
//
// Names whose sets are here are told apart by 64 bits of a hash whose seed nobody
// knows: that one is taken for another is less likely than that the index itself errs
// ([blocklists.Index.FalseMatch]).
type frontSlot struct {
	marks   [3]uint32 // of the entries' questions; others need not be looked at
	sets    [2]blocklists.SetID
	entries [3]*entry
	hashes  [2]uint64 // of the names that sets are of; 0: free
}

const (
	frontSlots = 8192
	// frontBytes is the longest entry that is kept here, since it stays until
	// others take its slot: 13 MB a loop at most.
	frontBytes = 512
)

func newFront() *front { return &front{seed: maphash.MakeSeed()} }

func (f *front) slot(n blocklists.Name) (s *frontSlot, hash uint64) {
	hash = maphash.String(f.seed, string(n)) | 1<<63 // never 0
	return &f.slots[hash%frontSlots], hash
}

func markOf(hash uint64, qtype uint16) uint32 { return uint32(hash>>32) ^ uint32(qtype) }

// know returns the entry for k where it can be given out as it is, and the label set
// of its name, which is x.Lookup(k.name). f may be nil.
func (f *front) know(x *blocklists.Index, k question, now time.Time) (*entry, blocklists.SetID) {
	if f == nil {
		return nil, x.Lookup(k.name)
	}
	s, hash := f.slot(k.name)
	if e := s.get(k, hash, now); e != nil {
		return e, e.setIn(x)
	}
	if f.generation != x.Generation() {
		f.generation = x.Generation()
		for i := range f.slots {
			f.slots[i].hashes = [2]uint64{}
		}
	}
	for i, h := range s.hashes {
		if h == hash {
			return nil, s.sets[i]
		}
	}
	s.hashes[1], s.sets[1] = s.hashes[0], s.sets[0]
	s.hashes[0], s.sets[0] = hash, x.Lookup(k.name)
	return nil, s.sets[0]
}

// get returns the entry for k where it can be given out as it is. f may be nil.
func (f *front) get(k question, now time.Time) *entry {
	if f == nil {
		return nil
	}
	s, hash := f.slot(k.name)
	return s.get(k, hash, now)
}

func (s *frontSlot) get(k question, hash uint64, now time.Time) *entry {
	mark := markOf(hash, k.qtype)
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
	s, hash := f.slot(e.key.name)
	at := 0 // what is there is replaced; else what came longest ago
	for at < len(s.entries)-1 && s.entries[at] != nil && s.entries[at].key != e.key {
		at++
	}
	copy(s.marks[1:at+1], s.marks[:at])
	copy(s.entries[1:at+1], s.entries[:at])
	s.marks[0], s.entries[0] = markOf(hash, e.key.qtype), e
}
