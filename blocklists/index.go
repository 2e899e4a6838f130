package blocklists

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Index is the compiled form of all lists: it says, for any name, which labels
// it carries. It is immutable and safe for concurrent use; a new one replaces
// it whole.
//
// A name's labels are those of every entry that covers it, from its own entry
// up to the shortest parent's. They are folded together when the index is made,
// so one pass over the name finds one interned set and the deepest entry found
// answers for all its parents.
//
// Entries are found by a keyed 64-bit fingerprint, not by their text. The key
// is random for each index, so nobody can make a name collide on purpose; by
// chance, a look-up of a five-label name in an index of two million names finds
// a wrong entry with a probability of 5·2·10⁶/2⁶⁴, once in 1.8·10¹² different
// names. The flat arrays hold no pointers, so the garbage collector has nothing
// to walk.
type Index struct {
	key      uint64
	slots    []uint64 // fingerprints, open addressing, 0 is free
	node     []uint32 // beside slots: which of nodes
	nodes    []node
	minDepth int // no entry has fewer labels
	maxDepth int // no entry has more

	labels []Label  // the sets, one after the other
	setEnd []uint32 // set i is labels[setEnd[i-1]:setEnd[i]]; set 0 is empty
	marks  []Marks  // per set: which marks hold for the name as a whole

	names      int // entries
	services   []Service
	groups     []Group
	lists      []ListInfo
	categories [NumCategories]CategoryInfo
	generation uint64
}

// node is what an entry's name answers: self for the name, below for every
// name under it that has no entry of its own.
type node struct{ self, below SetID }

// ListInfo says which list a label's List number means and how many names the
// index took from it. The zero list is Kinward's own catalogue.
type ListInfo struct {
	ID       string
	Name     string
	Category Category
	Entries  int
}

// Lookup returns the label set of n, 0 where no entry covers it. It does not
// allocate.
func (x *Index) Lookup(n Name) SetID {
	var at [MaxLabels]uint8 // where each label starts
	k := 0
	for off := 0; off < len(n) && k < MaxLabels; off += int(n[off]) + 1 {
		at[k] = uint8(off)
		k++
	}
	set := SetID(0)
	h := x.key
	for i, depth := k-1, 1; i >= 0 && depth <= x.maxDepth; i, depth = i-1, depth+1 {
		off := int(at[i])
		h = fingerprint(n[off+1:off+1+int(n[off])], h)
		if depth < x.minDepth {
			continue
		}
		if v, ok := x.find(h); ok {
			if i == 0 {
				return x.nodes[v].self
			}
			set = x.nodes[v].below
		}
	}
	return set
}

// fingerprint extends the fingerprint of a parent by one label.
func fingerprint(label Name, parent uint64) uint64 {
	h := xxh3.HashStringSeed(string(label), parent)
	if h == 0 {
		return 1 // 0 marks a free slot
	}
	return h
}

func (x *Index) find(h uint64) (uint32, bool) {
	slots := x.slots
	for i := slotOf(h, len(slots)); ; {
		switch slots[i] {
		case h:
			return x.node[i], true
		case 0:
			return 0, false
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// slotOf maps a fingerprint to its first slot: its rank among n equal parts of
// the range of a uint64, which needs no division and no power of two.
func slotOf(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

// Labels returns the labels of a set, in no order that matters. The slice is
// the index's own: do not change it. It is valid as long as the index.
func (x *Index) Labels(s SetID) []Label {
	if s == 0 {
		return nil
	}
	return x.labels[x.setEnd[s-1]:x.setEnd[s]]
}

// Marks returns the marks of a set that speak about the name as a whole: Quiet
// and Above.
func (x *Index) Marks(s SetID) Marks { return x.marks[s] }

// Service returns the service with that number in this index, nil for 0.
func (x *Index) Service(id ServiceID) *Service {
	if id == 0 || int(id) > len(x.services) {
		return nil
	}
	return &x.services[id-1]
}

// Services returns the number of services; they are numbered from 1.
func (x *Index) Services() int { return len(x.services) }

// ServiceNumber returns the number of the service with that key, 0 if there is
// none.
func (x *Index) ServiceNumber(key string) ServiceID {
	lo, hi := 0, len(x.services)
	for lo < hi {
		m := (lo + hi) / 2
		if x.services[m].ID < key {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(x.services) && x.services[lo].ID == key {
		return ServiceID(lo + 1)
	}
	return 0
}

// Groups returns the groups of services that share domains; GroupID g is
// element g-1.
func (x *Index) Groups() []Group { return x.groups }

// Categories returns what parents are shown of each category.
func (x *Index) Categories() *[NumCategories]CategoryInfo { return &x.categories }

// List returns what the number of a list means.
func (x *Index) List(id ListID) ListInfo {
	if int(id) < len(x.lists) {
		return x.lists[id]
	}
	return ListInfo{}
}

// Lists returns every list of the index, the catalogue first. The slice is the
// index's own.
func (x *Index) Lists() []ListInfo { return x.lists }

// Names returns how many names have an entry.
func (x *Index) Names() int { return x.names }

// Generation numbers the indexes of one process: label sets kept from one
// generation mean nothing in another.
func (x *Index) Generation() uint64 { return x.generation }

// Bytes returns the memory that the index's arrays take.
func (x *Index) Bytes() int {
	return len(x.slots)*8 + len(x.node)*4 + len(x.nodes)*8 + len(x.labels)*8 + len(x.setEnd)*4 + len(x.marks)
}
