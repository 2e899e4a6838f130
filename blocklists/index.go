package blocklists

import (
	"math"
	"math/bits"
	"runtime"

	"github.com/zeebo/xxh3"
)

// Index is the compiled form of all lists: it says, for any name, which labels
// it carries. It is immutable and safe for concurrent use; a new one replaces
// it whole.
//
// A name's labels are those of every entry that covers it, from its own entry
// up to the shortest parent's. They are folded together when the index is made,
// so one pass over the name finds one interned set, and the deepest entry found
// answers for all its parents.
//
// Entries are found by a keyed 64-bit fingerprint, not by their text; see
// [Index.FalseMatch] for what that means. The table lies outside the garbage
// collector's heap, and what else the index holds is small.
type Index struct {
	key      uint64
	slots    []uint64 // the table: buckets of slotsPerBucket slots, each filled from its front
	buckets  int
	nodeBits uint8 // how many low bits of a slot number its node
	nodes    []node
	minDepth int // no entry that covers the names below it has fewer labels
	maxDepth int // no entry has more

	labels []Label  // the sets, one after the other
	setEnd []uint32 // set i is labels[setEnd[i-1]:setEnd[i]]; set 0 is empty
	marks  []Marks  // per set: which marks hold for the name as a whole

	patterns *patternSide // nil where no list has patterns
	unwrap   func(Name) []Name

	names      int // entries
	services   []Service
	groups     []Group
	lists      []ListInfo
	categories [NumCategories]CategoryInfo
	generation uint64
}

// A slot holds the low bits of a fingerprint above the number of a node; 0 is
// free. The high bits of the fingerprint choose the bucket, so that in a table of
// more than a few thousand buckets the two together hold all 64. A bucket is one
// cache line.
const slotsPerBucket = 8

// node is what an entry's name answers: self for the name, below for every name
// under it that has no entry of its own. Node 0 is not used.
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
// allocate. [Index.Known] adds what patterns say.
func (x *Index) Lookup(n Name) SetID {
	v, self := x.lookup(n)
	if self {
		return x.nodes[v].self
	}
	return x.nodes[v].below
}

// lookup returns the node of the deepest entry that covers n, 0 where none does,
// and whether that is n's own.
//
// What a look-up takes is mostly waiting for memory. So the buckets of several
// parents are asked for at once, before the first of them is looked at, and the
// deepest is looked at first, since it answers for all above it.
func (x *Index) lookup(n Name) (v uint32, self bool) {
	var at [MaxLabels]uint8 // where each label starts
	k := 0
	for off := 0; off < len(n) && k < MaxLabels; off += int(n[off]) + 1 {
		at[k] = uint8(off)
		k++
	}
	h := x.key
	var hashes [8]uint64 // of this many parents at a time, which is nearly always all
	for from, last := 1, min(k, x.maxDepth); from <= last; {
		asked := 0
		for depth := from; asked < len(hashes) && depth <= last; depth++ {
			off := int(at[k-depth])
			h = fingerprint(n[off+1:off+1+int(n[off])], h)
			hashes[asked] = h
			asked++
			if depth >= x.minDepth || depth == k {
				x.fetch(h)
			}
		}
		for i := asked - 1; i >= 0 && (from+i >= x.minDepth || from+i == k); i-- {
			if found := x.find(hashes[i]); found != 0 {
				v, self = found, from+i == k
				break
			}
		}
		from += asked
	}
	runtime.KeepAlive(x) // the table is given back when x is garbage
	return v, self
}

// fingerprint extends the fingerprint of a parent by one label.
func fingerprint(label Name, parent uint64) uint64 {
	return xxh3.HashStringSeed(string(label), parent)
}

// fetch brings the bucket of a fingerprint into the processor's caches, which
// goes on while the program does. It must not become part of its caller, where
// what is read would be dropped as unused.
//
//go:noinline
func (x *Index) fetch(h uint64) uint64 { return x.slots[bucketOf(h, x.buckets)*slotsPerBucket] }

// find returns the node of a fingerprint, 0 where there is none.
func (x *Index) find(h uint64) uint32 {
	want := h << x.nodeBits
	mask := uint64(1)<<x.nodeBits - 1
	for at := bucketOf(h, x.buckets) * slotsPerBucket; ; {
		// No branch for each slot: which of them it is cannot be foreseen.
		bucket := (*[slotsPerBucket]uint64)(x.slots[at:])
		found := uint64(0)
		for _, s := range bucket {
			if s&^mask != want {
				s = 0
			}
			found |= s
		}
		if found != 0 {
			return uint32(found & mask)
		}
		if bucket[slotsPerBucket-1] == 0 { // a bucket fills from its front, and overflows only when it is full
			return 0
		}
		if at += slotsPerBucket; at == len(x.slots) {
			at = 0
		}
	}
}

// bucketOf maps a fingerprint to one of n buckets by its rank in the range of a
// uint64, which needs no division and no power of two.
func bucketOf(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

// FalseMatch returns the probability that a name which no entry covers, with the
// given number of labels, is taken for one that is. The fingerprints are keyed
// with a random number that never leaves the index, so nobody can look for such
// a name; with two million names it is about one in 10¹² for a name of five
// labels.
func (x *Index) FalseMatch(labels int) float64 {
	// Each label is one look at a bucket of candidates, rarely more than two
	// buckets, and each candidate agrees by chance in the bits that a slot holds.
	return float64(labels) * 2 * slotsPerBucket * math.Exp2(-float64(64-x.nodeBits))
}

// Labels returns the labels of a set, in no order that matters. The slice is
// the index's own: do not change it.
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

// ServiceNumber returns the number of the service with that ID, 0 if there is
// none.
func (x *Index) ServiceNumber(id string) ServiceID {
	lo, hi := 0, len(x.services)
	for lo < hi {
		m := (lo + hi) / 2
		if x.services[m].ID < id {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(x.services) && x.services[lo].ID == id {
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

// Unwrap is [Catalogue.Unwrap] of the catalogue that the index was made from.
func (x *Index) Unwrap(n Name) []Name { return x.unwrap(n) }

// Names returns how many names have an entry.
func (x *Index) Names() int { return x.names }

// Generation numbers the indexes of one process: label sets kept from one
// generation mean nothing in another.
func (x *Index) Generation() uint64 { return x.generation }

// Bytes returns the memory that the index takes, what people are shown of
// services and lists excepted.
func (x *Index) Bytes() int {
	n := len(x.slots)*8 + len(x.nodes)*8 + len(x.labels)*8 + len(x.setEnd)*4 + len(x.marks)
	if p := x.patterns; p != nil {
		n += len(p.nodes)*8 + len(p.labels)*8 + len(p.setEnd)*4
	}
	return n
}
