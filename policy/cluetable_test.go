package policy

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestTable fills a table until its pages split many times, with hashes of which
// some are equal, and looks whether it and every table before hold what they
// should.
func TestTable(t *testing.T) {
	seed := maphash.MakeSeed()
	hash := func(n uint32) uint64 { return maphash.Comparable(seed, n/3) } // three numbers under each
	rng := rand.New(rand.NewPCG(1, 2))
	type snapshot struct {
		t    table
		want map[uint32]bool
	}
	now := snapshot{newTable(), map[uint32]bool{}}
	all := []snapshot{now}
	for range 30 {
		next := snapshot{now.t.edit(), maps.Clone(now.want)}
		o := new(owner)
		for range 2000 {
			n := rng.Uint32N(40_000)
			if next.want[n] {
				next.t.remove(o, hash(n), n)
				delete(next.want, n)
			} else {
				next.t.insert(o, hash(n), n)
				next.want[n] = true
			}
		}
		if len(all)%2 == 0 {
			next.t.trim(o)
		}
		now = next
		all = append(all, now)
	}
	for i, s := range all {
		for n := range uint32(40_000) {
			if got, ok := s.t.find(hash(n), func(m uint32) bool { return m == n }); ok != s.want[n] || ok && got != n {
				t.Fatalf("table %d: find(%d) = %d, %t; want %t", i, n, got, ok, s.want[n])
			}
		}
	}
	if now.t.depth < 4 {
		t.Errorf("the pages have split %d times only", now.t.depth)
	}
}

// TestTableOfEqualHashes: what never spreads is still found, and takes no more
// pages than it must.
func TestTableOfEqualHashes(t *testing.T) {
	tab, o := newTable(), new(owner)
	for n := range uint32(3 * pageEntries) {
		tab.insert(o, 1<<20, n)
	}
	for n := range uint32(3 * pageEntries) {
		if _, ok := tab.find(1<<20, func(m uint32) bool { return m == n }); !ok {
			t.Fatalf("%d is not found", n)
		}
	}
}

// TestDirectoryOfThousands changes families among enough others for shards and
// pages to be many, and finds every one of them afterwards.
func TestDirectoryOfThousands(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	const n = 3000
	family := func(id FamilyID, round int) *Family {
		return &Family{
			ID: id, Name: "family", Default: 1, Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(round), byte(id >> 8), byte(id)}), 32)},
			Profiles: []Profile{{ID: 1, Name: "all", Preset: BandC}},
			Devices:  []Device{{ID: 2, Name: "phone", Profile: 1, Tokens: []string{fmt.Sprintf("token-%d-%d", id, round)}}},
		}
	}
	var families []*Family
	rounds := map[FamilyID]int{}
	for id := range FamilyID(n) {
		families = append(families, family(id+1, 0))
		rounds[id+1] = 0
	}
	d, err := LoadDirectory(each(families...), presets, w.Index)
	if err != nil {
		t.Fatal(err)
	}
	before := slabBytes(d)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		id := FamilyID(rng.IntN(n) + 1)
		if _, ok := rounds[id]; ok && rng.IntN(3) == 0 {
			d = d.Without(id)
			delete(rounds, id)
			continue
		}
		rounds[id]++
		if d, err = d.With(family(id, rounds[id]), 2); err != nil {
			t.Fatal(err)
		}
	}
	for id := range FamilyID(n) {
		id++
		round, there := rounds[id]
		for r := range 3 {
			f := family(id, r)
			for _, c := range []Clues{{Token: f.Devices[0].Tokens[0]}, {Addr: f.Networks[0].Addr()}} {
				a, ok := d.Identify(c, at)
				if want := there && r == round; ok != want || ok && a.Family != id {
					t.Fatalf("%v: family %d, %t; want %d, %t", c, a.Family, ok, id, want)
				}
			}
		}
	}
	if size := slabBytes(d); d.Families() != len(rounds) || size > before {
		t.Errorf("%d families for %d, in %d bytes; there were %d", d.Families(), len(rounds), size, before)
	}
}

func slabBytes(d *Directory) (n int) {
	for i := range d.slabs.shards.n {
		n += len(d.slabs.shards.at(i).slab)
	}
	return n
}
