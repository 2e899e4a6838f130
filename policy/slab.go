package policy

import (
	"encoding/binary"
	"slices"
)

// slabs hold the families' records: bytes, so that the garbage collector has
// nothing to walk in a million families, and one change copies one shard. A
// family has a slot, a number that it keeps while it is there.
type slabs struct {
	shards []*shard
	slots  uint32 // how many were ever given out
	free   uint32 // a slot to use again, +1; its record says which is next
}

type shard struct {
	owner *owner
	off   []uint32 // where each record begins, and where the last one ends
	slab  []byte
}

// shardFamilies is how many families share a shard: few enough that copying
// them takes microseconds, enough that the list of shards stays short.
const shardFamilies = 256

// freeRecord is the size of a free slot's record: the next free slot, +1.
const freeRecord = 4

// edit returns slabs whose shards can be replaced without s seeing it.
func (s *slabs) edit() slabs {
	c := *s
	c.shards = slices.Clone(s.shards)
	return c
}

// record returns the record in a slot. It must not be changed.
func (s *slabs) record(slot uint32) []byte {
	sh := s.shards[slot/shardFamilies]
	i := slot % shardFamilies
	return sh.slab[sh.off[i]:sh.off[i+1]]
}

// all calls yield for each slot that holds a family.
func (s *slabs) all(yield func(slot uint32, record []byte) bool) {
	for slot := range s.slots {
		if r := s.record(slot); len(r) > freeRecord && !yield(slot, r) {
			return
		}
	}
}

// add gives a record a slot.
func (s *slabs) add(o *owner, record []byte) uint32 {
	slot := s.slots
	if s.free != 0 {
		slot = s.free - 1
		s.free = binary.LittleEndian.Uint32(s.record(slot))
	} else {
		s.slots++
	}
	s.set(o, slot, record)
	return slot
}

// drop frees a slot.
func (s *slabs) drop(o *owner, slot uint32) {
	s.set(o, slot, binary.LittleEndian.AppendUint32(nil, s.free))
	s.free = slot + 1
}

// set replaces the record in a slot. A slot is first set in order.
func (s *slabs) set(o *owner, slot uint32, record []byte) {
	n := slot / shardFamilies
	if int(n) == len(s.shards) {
		s.shards = append(s.shards, &shard{owner: o, off: []uint32{0}})
	}
	sh, i := s.shards[n], int(slot%shardFamilies)
	if i == len(sh.off)-1 && sh.owner == o { // loading: all records come in order
		sh.slab = append(sh.slab, record...)
		sh.off = append(sh.off, uint32(len(sh.slab)))
		if len(sh.off) == shardFamilies+1 {
			sh.slab, sh.off = slices.Clone(sh.slab), slices.Clone(sh.off)
		}
		return
	}
	tail := sh.off[i:]
	from, to := tail[0], tail[0]
	if len(tail) > 1 {
		to, tail = tail[1], tail[1:]
	}
	slab := make([]byte, 0, len(sh.slab)-int(to-from)+len(record))
	slab = append(append(append(slab, sh.slab[:from]...), record...), sh.slab[to:]...)
	off := append(make([]uint32, 0, max(len(sh.off), i+2)), sh.off[:i+1]...)
	for _, end := range tail {
		off = append(off, end-to+from+uint32(len(record)))
	}
	s.shards[n] = &shard{owner: o, off: off, slab: slab}
}
