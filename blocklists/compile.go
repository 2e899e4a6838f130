package blocklists

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
)

// ListInput is one list on its way into an index.
type ListInput struct {
	ID       string
	Name     string
	Category Category
	// Version tells the list's content and how it is read from any other, for
	// [OpenIndex]. "" is a list that is never the same.
	Version string
	// Count is how many entries the list has, at least about; 0 is not known,
	// and costs a pass to find out.
	Count int
	// Entries calls emit for every entry of the list and returns emit's error.
	// It is called more than once, and must emit the same entries each time.
	Entries func(emit func(Entry) error) error
}

// ListError says which list could not be read.
type ListError struct {
	ID  string
	Err error
}

func (e *ListError) Error() string { return fmt.Sprintf("compiling list %s: %v", e.ID, e.Err) }

func (e *ListError) Unwrap() error { return e.Err }

// CatalogueID is the ID of list 0: the embedded catalogue and the project's own
// data.
const CatalogueID = "catalogue"

// generations numbers the indexes of this process.
var generations atomic.Uint64

// Compile makes an index of the catalogue and the lists. A list that cannot be
// read is a *ListError; no partial index is returned.
//
// The lists are read twice: once to enter every name with what its own entries
// say, and once to fold in what the entries of its parents say. Names are not
// kept, so beside the new table compiling takes next to no memory.
func Compile(c *Catalogue, lists []ListInput) (*Index, error) {
	var key [8]byte
	rand.Read(key[:]) // never fails (crypto/rand)
	return compile(c, lists, binary.LittleEndian.Uint64(key[:]))
}

func compile(c *Catalogue, lists []ListInput, key uint64) (*Index, error) {
	if len(lists)+1 > math.MaxUint16 {
		return nil, fmt.Errorf("compiling the index: %d lists are more than %d", len(lists), math.MaxUint16-1)
	}
	own, err := catalogueEntries(c)
	if err != nil {
		return nil, fmt.Errorf("compiling the catalogue: %w", err)
	}
	size := len(own)
	for _, l := range lists {
		n := l.Count
		if n == 0 {
			if err := l.Entries(func(Entry) error { n++; return nil }); err != nil {
				return nil, &ListError{l.ID, err}
			}
		}
		size += n
	}
	nodeBits := 0
	for {
		b := newBuilder(key, size, nodeBits)
		err := b.run(own, lists)
		var full *fullError
		switch {
		case errors.As(err, &full):
			size, nodeBits = full.size, full.nodeBits
			continue
		case err != nil:
			return nil, err
		case b.names < size*2/3: // many names stand in several lists: make the table fit
			size = b.names
			continue
		}
		x := b.finish()
		if err := b.addPatterns(lists); err != nil {
			return nil, err
		}
		x.lists = make([]ListInfo, 1, len(lists)+1)
		x.lists[0] = ListInfo{ID: CatalogueID, Name: "Kinward's catalogue", Entries: len(own)}
		for i, l := range lists {
			n := b.counts[i] // with those that came again
			if l.Count > 0 {
				n = min(n, l.Count)
			}
			x.lists = append(x.lists, ListInfo{ID: l.ID, Name: l.Name, Category: l.Category, Entries: n})
		}
		x.adopt(c)
		return x, nil
	}
}

// adopt gives x what people are shown of the catalogue, and its generation.
func (x *Index) adopt(c *Catalogue) {
	x.services = c.Services
	x.groups = c.Groups
	x.categories = c.Categories
	x.unwrap = c.Unwrap
	x.generation = generations.Add(1)
	if x.patterns != nil {
		x.patterns.guard = c.Guard
	}
}

// labelled is an entry with what it says.
type labelled struct {
	name  Name
	label Label
}

// catalogueEntries lists what the catalogue enters: services, always-reachable
// and quiet names, and the names above them.
func catalogueEntries(c *Catalogue) ([]labelled, error) {
	if len(c.Services) > math.MaxUint16-1 || len(c.Groups) >= MaxGroups-1 {
		return nil, fmt.Errorf("%d services and %d groups are more than an index can number", len(c.Services), len(c.Groups))
	}
	groups := make(map[string]GroupID, len(c.Groups))
	for i, g := range c.Groups {
		groups[g.ID] = GroupID(i + 1)
	}
	var out []labelled
	above := map[Name]bool{}
	add := func(n Name, l Label) {
		l.Depth = uint8(n.Labels())
		out = append(out, labelled{n, l})
	}
	// All the way up, public suffixes too: a family's own rule may block those.
	noteAbove := func(n Name) {
		for p := n.Parent(); p != "" && !above[p]; p = p.Parent() {
			above[p] = true
			add(p, Label{Marks: Above | Exact})
		}
	}
	exact := func(yes bool) Marks {
		if yes {
			return Exact
		}
		return 0
	}
	for i, s := range c.Services {
		for _, d := range s.Domains {
			l := Label{Category: s.Category, Service: ServiceID(i + 1), Marks: exact(d.Match == MatchExact)}
			if s.KnownRisk != "" {
				l.Marks |= KnownRisk
			}
			switch d.Match {
			case MatchOptional:
				l.Marks |= Optional
			case MatchGroup:
				l.Group = groups[d.Group]
			}
			add(d.Name, l)
			noteAbove(d.Name)
		}
	}
	for _, r := range c.Reachable {
		l := Label{Category: Plumbing, Marks: exact(r.Exact)}
		if r.Section == SectionHelp {
			l.Category = Help
		}
		add(r.Name, l)
		noteAbove(r.Name)
	}
	for _, q := range c.Quiet {
		add(q.Name, Label{Marks: Quiet | exact(q.Exact)})
	}
	return out, nil
}

// builder fills the table of an index.
type builder struct {
	patterns []Entry // of all lists
	listOf   []ListID
	x        *Index
	size     int // names that the table was made for
	f        *folder
	nodes    map[node]uint32 // raw nodes, numbered from 1
	raw      []node
	folded   []uint64 // a bit a slot: its number is a raw node, no longer a set of own entries
	names    int
	counts   []int // entries of each list
}

// load is how full the table is. At 7 in 8 most looks for a name that is not
// there end in its first bucket.
const load = 0.875

// minNodeBits leaves room for the nodes of a small index with many services.
const minNodeBits = 12

// fullError asks for another try with a larger table, or more bits for nodes.
type fullError struct{ size, nodeBits int }

func (e *fullError) Error() string { return "the table is too small" }

func newBuilder(key uint64, size, nodeBits int) *builder {
	x := &Index{key: key, minDepth: MaxLabels}
	x.buckets = int(float64(size)/(load*slotsPerBucket)) + 1
	// The bits of a fingerprint that choose the bucket need not be in the slot.
	x.nodeBits = uint8(max(minNodeBits, nodeBits, bits.Len(uint(x.buckets))-1))
	x.slots = offHeap(x, x.buckets*slotsPerBucket)
	return &builder{
		x: x, size: size, f: newFolder(), nodes: map[node]uint32{}, raw: make([]node, 1),
		folded: make([]uint64, len(x.slots)/64+1),
	}
}

func (b *builder) run(own []labelled, lists []ListInput) error {
	b.counts = make([]int, len(lists))
	for pass, visit := range []func(Name, Label) error{b.enter, b.fold} {
		for _, e := range own {
			if err := visit(e.name, e.label); err != nil {
				return err
			}
		}
		for i, l := range lists {
			err := l.Entries(func(e Entry) error {
				if pass == 0 {
					b.counts[i]++
				}
				if e.Pattern != nil { // covers less than its name
					if pass == 0 {
						b.patterns = append(b.patterns, e)
						b.listOf = append(b.listOf, ListID(i+1))
					}
					return nil
				}
				if e.Except { // what lies above must not be denied with all below it
					for p := e.Name.Parent(); p != ""; p = p.Parent() {
						if err := visit(p, Label{Marks: Above | Exact, Depth: uint8(p.Labels()), List: ListID(i + 1)}); err != nil {
							return err
						}
					}
				}
				if e.Name == "" {
					return fmt.Errorf("the root of all names cannot be an entry: %w", ErrEmptyLabel)
				}
				return visit(e.Name, e.label(l.Category, ListID(i+1)))
			})
			var full *fullError
			switch {
			case errors.As(err, &full):
				return err
			case err != nil:
				return &ListError{l.ID, err}
			}
		}
	}
	return nil
}

// label returns what an entry of a list says.
func (e Entry) label(c Category, list ListID) Label {
	l := Label{Category: c, List: list, Depth: uint8(e.Name.Labels())}
	if e.Exact {
		l.Marks |= Exact
	}
	if e.Except {
		l.Marks |= exception
	}
	if e.Important {
		l.Marks |= important
	}
	return l
}

// chain works out the fingerprints of a name and all its parents, the name's
// own last.
func (b *builder) chain(n Name, to *[MaxLabels]uint64) []uint64 {
	var at [MaxLabels]uint8
	k := 0
	for off := 0; off < len(n); off += int(n[off]) + 1 {
		at[k] = uint8(off)
		k++
	}
	h := b.x.key
	for i := range k {
		off := int(at[k-1-i])
		h = fingerprint(n[off+1:off+1+int(n[off])], h)
		to[i] = h
	}
	return to[:k]
}

// slot returns where a fingerprint stands, or, with free set, where it would.
func (b *builder) slot(h uint64) (at int, free bool) {
	x := b.x
	want := h << x.nodeBits
	mask := uint64(1)<<x.nodeBits - 1
	for at = bucketOf(h, x.buckets) * slotsPerBucket; ; {
		switch s := x.slots[at]; {
		case s == 0:
			return at, true
		case s&^mask == want:
			return at, false
		}
		if at++; at == len(x.slots) {
			at = 0
		}
	}
}

func (b *builder) number(at int) uint32 { return uint32(b.x.slots[at] & (1<<b.x.nodeBits - 1)) }

// set stores a number beside a fingerprint. Numbers begin at 1, so that a slot
// in use is never 0.
func (b *builder) set(at int, h uint64, number uint32) error {
	if number >= 1<<b.x.nodeBits {
		return &fullError{b.size, int(b.x.nodeBits) + 4}
	}
	b.x.slots[at] = h<<b.x.nodeBits | uint64(number)
	return nil
}

// enter is the first pass: a name with what its own entries say.
func (b *builder) enter(n Name, l Label) error {
	var buf [MaxLabels]uint64
	chain := b.chain(n, &buf)
	h := chain[len(chain)-1]
	at, free := b.slot(h)
	own := SetID(0)
	if free {
		if b.names+b.names/32+1 >= len(b.x.slots) { // more entries than were promised
			return &fullError{b.size*2 + 1, int(b.x.nodeBits)}
		}
		b.names++
		b.x.maxDepth = max(b.x.maxDepth, len(chain))
	} else {
		own = SetID(b.number(at))
	}
	if l.Marks&Exact == 0 {
		b.x.minDepth = min(b.x.minDepth, len(chain))
	}
	return b.set(at, h, uint32(b.f.with(own, l)))
}

// fold is the second pass: what a name answers, its parents' entries included.
// Which of them come first does not matter: a parent that is folded already
// answers for its own parents, one that is not is folded on the way.
func (b *builder) fold(n Name, _ Label) error {
	var buf [MaxLabels]uint64
	chain := b.chain(n, &buf)
	h := chain[len(chain)-1]
	at, free := b.slot(h)
	if free {
		return fmt.Errorf("entry %s was not there when the list was read before", n)
	}
	if b.isFolded(at) {
		return nil
	}
	above := SetID(0)
	from := 0
	for i := len(chain) - 2; i >= 0; i-- {
		if p, free := b.slot(chain[i]); !free && b.isFolded(p) {
			above, from = b.raw[b.number(p)].below, i+1
			break
		}
	}
	for _, parent := range chain[from : len(chain)-1] {
		if p, free := b.slot(parent); !free {
			above = b.f.fold(above, SetID(b.number(p))).below
		}
	}
	answer := b.f.fold(above, SetID(b.number(at)))
	id, ok := b.nodes[answer]
	if !ok {
		id = uint32(len(b.raw))
		b.nodes[answer] = id
		b.raw = append(b.raw, answer)
	}
	b.folded[at/64] |= 1 << (at % 64)
	return b.set(at, h, id)
}

func (b *builder) isFolded(at int) bool { return b.folded[at/64]&(1<<(at%64)) != 0 }

// finish settles the exceptions and returns the index.
func (b *builder) finish() *Index {
	x := b.x
	final := newSets()
	x.nodes = make([]node, len(b.raw))
	for i, n := range b.raw {
		x.nodes[i] = node{final.intern(b.f.effective(n.self)), final.intern(b.f.effective(n.below))}
	}
	x.labels, x.setEnd, x.marks = final.labels, final.end, final.marks
	x.names = b.names
	return x
}
