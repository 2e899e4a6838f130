package policy

import "slices"

// owner marks what one edit may change in place: it made it, and nobody else has
// seen it yet. It has a size, or two of them could have one address.
type owner struct{ _ byte }

// table finds numbers by a 64-bit hash of something: exactly 8 bytes an entry,
// no pointers but those to its pages. It never compares what was hashed; whoever
// looks something up does. Pages are shared by the tables that were derived from
// one another, and replaced where they differ (extendible hashing: a page that
// is full is split without touching the others).
type table struct {
	depth uint8   // pages has 1<<depth elements, indexed by the hash's first bits
	pages []*page // a page of a smaller depth stands in several places
}

type page struct {
	owner   *owner
	depth   uint8    // how many of its first bits all hashes here have in common
	entries []uint64 // the hash's upper half, then the number; sorted
}

const (
	pageEntries   = 512 // 4 KiB: what a change of one entry copies
	maxTableDepth = 20  // for 300 million entries; the seeds are random, so hashes spread
)

func newTable() table { return table{pages: []*page{{}}} }

// edit returns a table whose pages can be replaced without t seeing it.
func (t *table) edit() table { return table{depth: t.depth, pages: slices.Clone(t.pages)} }

func (t *table) at(hash uint64) int { return int(hash >> (64 - t.depth)) }

// find returns the first number under hash that is what is looked for.
func (t *table) find(hash uint64, is func(uint32) bool) (uint32, bool) {
	p := t.pages[t.at(hash)]
	for i := p.search(hash &^ 0xFFFFFFFF); i < len(p.entries) && p.entries[i]>>32 == hash>>32; i++ {
		if n := uint32(p.entries[i]); is(n) {
			return n, true
		}
	}
	return 0, false
}

// search returns where entry is or would be. Hashes are spread evenly, so it
// begins where the entry should be and is nearly there.
func (p *page) search(entry uint64) int {
	n := len(p.entries)
	i := int(uint64(uint32(entry>>32)<<p.depth) * uint64(n) >> 32)
	for i < n && p.entries[i] < entry {
		i++
	}
	for i > 0 && p.entries[i-1] >= entry {
		i--
	}
	return i
}

// insert adds a number under hash.
func (t *table) insert(o *owner, hash uint64, n uint32) {
	p := t.own(o, hash)
	for len(p.entries) >= pageEntries && p.depth < maxTableDepth {
		t.split(o, hash)
		p = t.own(o, hash)
	}
	entry := hash&^0xFFFFFFFF | uint64(n)
	p.entries = slices.Insert(p.entries, p.search(entry), entry)
}

// remove takes a number away from under hash.
func (t *table) remove(o *owner, hash uint64, n uint32) {
	p := t.own(o, hash)
	entry := hash&^0xFFFFFFFF | uint64(n)
	if i := p.search(entry); i < len(p.entries) && p.entries[i] == entry {
		p.entries = slices.Delete(p.entries, i, i+1)
	}
}

// own returns the page for hash as one that o may change.
func (t *table) own(o *owner, hash uint64) *page {
	p := t.pages[t.at(hash)]
	if p.owner == o {
		return p
	}
	entries := make([]uint64, len(p.entries), len(p.entries)+1)
	copy(entries, p.entries)
	p = &page{owner: o, depth: p.depth, entries: entries}
	t.place(t.at(hash), p)
	return p
}

// place puts p wherever the page at i stands.
func (t *table) place(i int, p *page) {
	span := 1 << (t.depth - p.depth)
	first := i &^ (span - 1)
	for j := range span {
		t.pages[first+j] = p
	}
}

// split puts the entries of the page for hash into two pages.
func (t *table) split(o *owner, hash uint64) {
	i := t.at(hash)
	p := t.pages[i]
	if p.depth == t.depth {
		pages := make([]*page, 2*len(t.pages))
		for j, p := range t.pages {
			pages[2*j], pages[2*j+1] = p, p
		}
		t.pages, t.depth = pages, t.depth+1
		i = t.at(hash)
	}
	// The first entry whose next bit is set begins the second half.
	bit := uint64(1) << (63 - p.depth)
	mid := slices.IndexFunc(p.entries, func(e uint64) bool { return e&bit != 0 })
	if mid < 0 {
		mid = len(p.entries)
	}
	span := 1 << (t.depth - p.depth)
	first := i &^ (span - 1)
	t.place(first, &page{owner: o, depth: p.depth + 1, entries: slices.Clone(p.entries[:mid])})
	t.place(first+span/2, &page{owner: o, depth: p.depth + 1, entries: slices.Clone(p.entries[mid:])})
}

// trim gives back what the pages of o have too much of.
func (t *table) trim(o *owner) {
	for _, p := range t.pages {
		if p.owner == o && cap(p.entries) > len(p.entries)+len(p.entries)/8 {
			p.entries = slices.Clip(slices.Clone(p.entries))
		}
	}
}
