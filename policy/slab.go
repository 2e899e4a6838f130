package policy

import (
	"encoding/binary"
	"slices"
)

// slabs hold the families' records: bytes, so that the garbage collector has
// nothing to walk in a million families, and one change copies one shard. A
// record has a slot, which says where it is, so that nothing has to be looked
// up on the way there; it keeps it while it does not grow.
type slabs struct {
	shards vector[shard]
	loose  int // how many granules were given back and not used since
}

// shard is blocks one after another. Each begins with a varint, twice its size in
// granules, plus one where it is free.
type shard struct {
	owner *owner
	slab  []byte
	room  int // the largest block that fits, in granules
}

const (
	granule       = 8
	shardBits     = 12
	shardGranules = 1 << shardBits // 32 KiB: what a change copies. A larger record has a shard for itself.
)

// edit returns slabs whose shards can be replaced without s seeing it.
func (s *slabs) edit() slabs { return slabs{s.shards.edit(), s.loose} }

// block returns the size of the block that b begins with, in granules, and of
// what says so, in bytes.
func block(b []byte) (size, head int, free bool) {
	if b[0] < 0x80 { // nearly always
		return int(b[0] >> 1), 1, b[0]&1 != 0
	}
	v, head := binary.Uvarint(b)
	return int(v >> 1), head, v&1 != 0
}

// granules returns the size of the block that a record needs.
func granules(record []byte) int {
	for head := 1; ; head++ {
		n := (head + len(record) + granule - 1) / granule
		if n<<1 < 1<<(7*head) {
			return n
		}
	}
}

// record returns the record in a slot, and whatever fills its block. It must not
// be changed.
func (s *slabs) record(slot uint32) []byte {
	b := s.shards.at(int(slot >> shardBits)).slab[slot%shardGranules*granule:]
	size, head, _ := block(b)
	return b[head : size*granule]
}

// all calls yield for each slot that holds a family.
func (s *slabs) all(yield func(slot uint32, record []byte) bool) {
	for i := range s.shards.n {
		slab := s.shards.at(i).slab
		for at := 0; at < len(slab); {
			size, head, free := block(slab[at:])
			if !free && !yield(uint32(i<<shardBits+at/granule), slab[at+head:at+size*granule]) {
				return
			}
			at += size * granule
		}
	}
}

// own returns a shard that o may change.
func (s *slabs) own(o *owner, i int) *shard {
	sh := s.shards.own(o, i)
	if sh.owner != o {
		sh.owner, sh.slab = o, slices.Clone(sh.slab)
	}
	return sh
}

// add gives a record a slot.
func (s *slabs) add(o *owner, record []byte) uint32 {
	need := granules(record)
	i := s.shards.n - 1 // while families are loaded, one follows the other
	if s.loose >= need {
		for j := range s.shards.n {
			if s.shards.at(j).room >= need {
				i = j
				break
			}
		}
	}
	if i < 0 || s.shards.at(i).room < need {
		if last := i; last >= 0 && s.shards.at(last).owner == o { // it is as large as it gets
			sh := s.own(o, last)
			sh.slab = slices.Clone(sh.slab)
		}
		i = s.shards.n
		*s.shards.own(o, i) = shard{owner: o, room: shardGranules}
	}
	sh := s.own(o, i)
	at := sh.gap(need)
	slot := uint32(i<<shardBits + at/granule)
	if at == len(sh.slab) {
		sh.slab = append(sh.slab, make([]byte, need*granule)...)
		sh.write(at, need, record)
		if s.loose == 0 { // there are no free blocks
			sh.room = max(shardGranules-len(sh.slab)/granule, 0)
			return slot
		}
	} else {
		size, _, _ := block(sh.slab[at:])
		sh.write(at, need, record)
		if size > need {
			sh.release(at+need*granule, size-need)
		}
		s.loose -= need
	}
	sh.tidy()
	return slot
}

// drop frees a slot.
func (s *slabs) drop(o *owner, slot uint32) {
	sh, at := s.own(o, int(slot>>shardBits)), int(slot%shardGranules*granule)
	size, _, _ := block(sh.slab[at:])
	sh.release(at, size)
	sh.tidy()
	s.loose += size
}

// set replaces the record in a slot, and returns the slot where it is then.
func (s *slabs) set(o *owner, slot uint32, record []byte) uint32 {
	size, _, _ := block(s.shards.at(int(slot >> shardBits)).slab[slot%shardGranules*granule:])
	need := granules(record)
	if need > size {
		s.drop(o, slot)
		return s.add(o, record)
	}
	sh, at := s.own(o, int(slot>>shardBits)), int(slot%shardGranules*granule)
	sh.write(at, need, record)
	if size > need {
		sh.release(at+need*granule, size-need)
		sh.tidy()
		s.loose += size - need
	}
	return slot
}

// write makes a block of a record.
func (sh *shard) write(at, size int, record []byte) {
	b := sh.slab[at : at+size*granule]
	head := binary.PutUvarint(b, uint64(size)<<1)
	clear(b[head+copy(b[head:], record):])
}

// release makes a free block.
func (sh *shard) release(at, size int) {
	b := sh.slab[at : at+size*granule]
	clear(b)
	binary.PutUvarint(b, uint64(size)<<1|1)
}

// gap returns where a block of a size fits: in a free one, or at the end.
func (sh *shard) gap(need int) int {
	for at := 0; at < len(sh.slab) && sh.room != shardGranules-len(sh.slab)/granule; {
		size, _, free := block(sh.slab[at:])
		if free && size >= need {
			return at
		}
		at += size * granule
	}
	return len(sh.slab)
}

// tidy makes one block of free ones that follow one another, drops those at the
// end, and measures the room.
func (sh *shard) tidy() {
	free, room := -1, 0 // where the free blocks before at begin
	at := 0
	for at < len(sh.slab) {
		size, _, isFree := block(sh.slab[at:])
		switch {
		case isFree && free < 0:
			free = at
		case !isFree && free >= 0:
			room = max(room, (at-free)/granule)
			sh.release(free, (at-free)/granule)
			free = -1
		}
		at += size * granule
	}
	if free >= 0 {
		sh.slab = sh.slab[:free]
	}
	sh.room = max(room, shardGranules-len(sh.slab)/granule)
}
