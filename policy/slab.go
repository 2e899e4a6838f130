package policy

import (
	"encoding/binary"
	"slices"
)

// slabs hold the families' records: bytes, so that the garbage collector has
// nothing to walk in a million families, and one change copies one shard. A
// family has a slot, a number that it keeps while it is there.
type slabs struct {
	shards []shard
	slots  uint32 // how many were ever given out
	free   uint32 // a slot to use again, +1; its record says which is next
}

// shard begins with where each record begins and where the last one ends, 4
// bytes each, so that finding a record touches little memory.
type shard struct {
	owner   *owner
	records int
	slab    []byte
}

const shardHead = 4 * (shardFamilies + 1)

func (sh *shard) off(i int) uint32 { return binary.LittleEndian.Uint32(sh.slab[4*i:]) }

func (sh *shard) setOff(i int, off uint32) { binary.LittleEndian.PutUint32(sh.slab[4*i:], off) }

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
	sh := &s.shards[slot/shardFamilies]
	i := int(slot % shardFamilies)
	return sh.slab[sh.off(i):sh.off(i+1)]
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
	n, i := int(slot/shardFamilies), int(slot%shardFamilies)
	if n == len(s.shards) {
		s.shards = append(s.shards, shard{owner: o, slab: make([]byte, shardHead)})
		s.shards[n].setOff(0, shardHead)
	}
	sh := &s.shards[n]
	if i == sh.records && sh.owner == o { // loading: all records come in order
		sh.slab = append(sh.slab, record...)
		sh.records++
		sh.setOff(sh.records, uint32(len(sh.slab)))
		if sh.records == shardFamilies { // it is as large as it gets
			sh.slab = slices.Clone(sh.slab)
		}
		return
	}
	from, to := sh.off(i), sh.off(i)
	if i < sh.records {
		to = sh.off(i + 1)
	}
	next := shard{owner: o, records: max(sh.records, i+1)}
	next.slab = make([]byte, 0, len(sh.slab)-int(to-from)+len(record))
	next.slab = append(append(append(next.slab, sh.slab[:from]...), record...), sh.slab[to:]...)
	next.setOff(i+1, from+uint32(len(record)))
	for j := i + 2; j <= sh.records; j++ {
		next.setOff(j, sh.off(j)-to+from+uint32(len(record)))
	}
	*sh = next
}
