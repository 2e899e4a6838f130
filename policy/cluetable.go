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
	depth uint8        // pages has 1<<depth elements, indexed by the hash's first bits
	pages vector[page] // a page of a smaller depth stands in several places
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

func newTable() (t table) {
	t.pages.own(new(owner), 0)
	return t
}

// edit returns a table whose pages can be replaced without t seeing it.
func (t *table) edit() table { return table{depth: t.depth, pages: t.pages.edit()} }

func (t *table) at(hash uint64) int { return int(hash >> (64 - t.depth)) }

// find returns the first number under hash that is what is looked for.
func (t *table) find(hash uint64, is func(uint32) bool) (uint32, bool) {
	p := t.pages.at(t.at(hash))
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
	t.place(o, t.at(hash), p)
}

// remove takes a number away from under hash.
func (t *table) remove(o *owner, hash uint64, n uint32) {
	p := t.own(o, hash)
	entry := hash&^0xFFFFFFFF | uint64(n)
	if i := p.search(entry); i < len(p.entries) && p.entries[i] == entry {
		p.entries = slices.Delete(p.entries, i, i+1)
	}
	t.place(o, t.at(hash), p)
}

// own returns the page for hash with entries that o may change. It counts once
// it is placed.
func (t *table) own(o *owner, hash uint64) page {
	p := *t.pages.at(t.at(hash))
	if p.owner == o {
		return p
	}
	entries := make([]uint64, len(p.entries), len(p.entries)+1)
	copy(entries, p.entries)
	return page{owner: o, depth: p.depth, entries: entries}
}

// place puts p wherever a page of its depth at i stands.
func (t *table) place(o *owner, i int, p page) {
	span := 1 << (t.depth - p.depth)
	first := i &^ (span - 1)
	for j := range span {
		*t.pages.own(o, first+j) = p
	}
}

// split puts the entries of the page for hash into two pages.
func (t *table) split(o *owner, hash uint64) {
	i := t.at(hash)
	p := *t.pages.at(i)
	if p.depth == t.depth {
		var pages vector[page]
		for j := range 2 * t.pages.n {
			*pages.own(o, j) = *t.pages.at(j / 2)
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
	t.place(o, first, page{owner: o, depth: p.depth + 1, entries: slices.Clone(p.entries[:mid])})
	t.place(o, first+span/2, page{owner: o, depth: p.depth + 1, entries: slices.Clone(p.entries[mid:])})
}

// trim gives back what the pages of o have too much of.
func (t *table) trim(o *owner) {
	for i := 0; i < t.pages.n; i += 1 << (t.depth - t.pages.at(i).depth) {
		p := *t.pages.at(i)
		if p.owner == o && cap(p.entries) > len(p.entries)+len(p.entries)/8 {
			p.entries = slices.Clone(p.entries)
			t.place(o, i, p)
		}
	}
}
