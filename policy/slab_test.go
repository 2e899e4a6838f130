package policy

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestSlabs adds, changes and drops records of all sizes, and looks whether the
// slabs and all before them hold what they should, whether what was given back
// is used again, and whether every shard knows its room.
func TestSlabs(t *testing.T) {
	type snapshot struct {
		s    slabs
		want map[uint32][]byte
	}
	rng := rand.New(rand.NewPCG(5, 6))
	made := uint32(0)
	record := func() []byte {
		size := 20 + rng.IntN(200)
		switch rng.IntN(100) {
		case 0:
			size = granule*shardGranules + rng.IntN(100_000) // has a shard for itself
		case 1, 2, 3:
			size = 480 + rng.IntN(64) // what says how large the block is grows
		}
		made++
		return binary.LittleEndian.AppendUint32(make([]byte, size-4), made)
	}
	now := snapshot{want: map[uint32][]byte{}}
	var all []snapshot
	largest := 0
	for range 40 {
		next := snapshot{now.s.edit(), maps.Clone(now.want)}
		o := new(owner)
		for range 100 {
			if len(next.want) < 1500 {
				r := record()
				slot := next.s.add(o, r)
				if next.want[slot] != nil {
					t.Fatalf("slot %d is given out twice", slot)
				}
				next.want[slot] = r
			}
			for slot := range next.want { // any one
				if delete(next.want, slot); rng.IntN(4) == 0 {
					next.s.drop(o, slot)
				} else {
					r := record()
					next.want[next.s.set(o, slot, r)] = r
				}
				break
			}
		}
		now = next
		all = append(all, now)
	}
	for i, s := range all {
		live, free, total := 0, 0, 0
		for slot, b := range s.s.all {
			r, ok := s.want[slot]
			if !ok || !bytes.HasPrefix(b, r) || !bytes.Equal(b, s.s.record(slot)) {
				t.Fatalf("slabs %d: slot %d holds something else", i, slot)
			}
			live++
		}
		if live != len(s.want) {
			t.Fatalf("slabs %d: %d records, want %d", i, live, len(s.want))
		}
		for n := range s.s.shards.n {
			sh := s.s.shards.at(n)
			room := max(shardGranules-len(sh.slab)/granule, 0)
			for at := 0; at < len(sh.slab); {
				size, _, isFree := block(sh.slab[at:])
				if isFree {
					free, room = free+size, max(room, size)
				}
				at += size * granule
			}
			if total += len(sh.slab); sh.room != room {
				t.Fatalf("slabs %d: shard %d has room for %d, not %d", i, n, room, sh.room)
			}
		}
		largest = max(largest, free*granule*100/max(total, 1))
	}
	if largest > 50 {
		t.Errorf("%d %% of the slabs were free", largest)
	}
}
