package blocklists

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// ListInput is one list on its way into an index.
type ListInput struct {
	ID       string
	Name     string
	Category Category
	// Entries calls emit for every entry of the list and returns emit's error.
	Entries func(emit func(Entry) error) error
}

// ListError says which list could not be read.
type ListError struct {
	ID  string
	Err error
}

func (e *ListError) Error() string { return fmt.Sprintf("compiling list %s: %v", e.ID, e.Err) }

func (e *ListError) Unwrap() error { return e.Err }

// generations numbers the indexes of this process.
var generations atomic.Uint64

// Compile makes an index of the catalogue and the lists. A list that cannot be
// read is a *ListError; no partial index is returned. Memory
// while compiling is about 60 bytes a name.
func Compile(c *Catalogue, lists []ListInput) (*Index, error) {
	var key [8]byte
	rand.Read(key[:]) // never fails (crypto/rand)
	return compile(c, lists, binary.LittleEndian.Uint64(key[:]))
}

func compile(c *Catalogue, lists []ListInput, key uint64) (*Index, error) {
	if len(lists)+1 > math.MaxUint16 {
		return nil, fmt.Errorf("compiling the index: %d lists are more than %d", len(lists), math.MaxUint16-1)
	}
	b := builder{}
	if err := b.addCatalogue(c); err != nil {
		return nil, fmt.Errorf("compiling the catalogue: %w", err)
	}
	infos := []ListInfo{{ID: CatalogueID, Name: "Kinward's catalogue", Entries: len(b.entries)}}
	for i, l := range lists {
		before := len(b.entries)
		err := l.Entries(func(e Entry) error {
			if e.Pattern != nil { // covers less than its name
				return nil
			}
			lb := Label{Category: l.Category, List: ListID(i + 1)}
			if e.Exact {
				lb.Marks |= Exact
			}
			if e.Important {
				lb.Marks |= important
			}
			return b.add(e.Name, lb, e.Except)
		})
		if err != nil {
			return nil, &ListError{ID: l.ID, Err: err}
		}
		infos = append(infos, ListInfo{ID: l.ID, Name: l.Name, Category: l.Category, Entries: len(b.entries) - before})
	}
	x := b.build(key)
	x.lists = infos
	x.services = c.Services
	x.groups = c.Groups
	x.categories = c.Categories
	x.generation = generations.Add(1)
	return x, nil
}

// CatalogueID is the ID of list 0: the embedded catalogue and the project's own
// data.
const CatalogueID = "catalogue"

// important marks a label that the same list's exceptions do not take back.
const important Marks = 1 << 7

// builder gathers entries, then folds them into an index. The names lie in one
// arena, so two million of them are three objects to the garbage collector.
type builder struct {
	arena   []byte
	entries []entry
}

type entry struct {
	off   uint64
	size  uint8
	order uint8 // among entries of equal depth: blocks, then exceptions, then important blocks
	label Label
}

const (
	orderBlock = iota
	orderExcept
	orderImportant
)

func (b *builder) add(n Name, l Label, except bool) error {
	depth := n.Labels()
	if depth == 0 {
		return fmt.Errorf("the root of all names cannot be an entry: %w", ErrEmptyLabel)
	}
	l.Depth = uint8(depth)
	e := entry{off: uint64(len(b.arena)), size: uint8(len(n)), label: l}
	switch {
	case except:
		e.order = orderExcept
	case l.Marks&important != 0:
		e.order = orderImportant
	}
	b.arena = append(b.arena, n...)
	b.entries = append(b.entries, e)
	return nil
}

// addCatalogue enters services, always-reachable names and quiet names.
func (b *builder) addCatalogue(c *Catalogue) error {
	if len(c.Services) > math.MaxUint16-1 || len(c.Groups) > math.MaxUint8-1 {
		return fmt.Errorf("%d services and %d groups are more than an index can number", len(c.Services), len(c.Groups))
	}
	groups := make(map[string]GroupID, len(c.Groups))
	for i, g := range c.Groups {
		groups[g.ID] = GroupID(i + 1)
	}
	above := map[Name]bool{}
	noteAbove := func(n Name) {
		for p := n.Parent(); p.Labels() > 1; p = p.Parent() {
			if suffix, _ := publicsuffix.PublicSuffix(p.String()); suffix == p.String() {
				return
			}
			above[p] = true
		}
	}
	for i, s := range c.Services {
		for _, d := range s.Domains {
			l := Label{Category: s.Category, Service: ServiceID(i + 1)}
			if s.KnownRisk != "" {
				l.Marks |= KnownRisk
			}
			switch d.Match {
			case MatchExact:
				l.Marks |= Exact
			case MatchOptional:
				l.Marks |= Optional
			case MatchGroup:
				l.Group = groups[d.Group]
			}
			if err := b.add(d.Name, l, false); err != nil {
				return err
			}
			noteAbove(d.Name)
		}
	}
	for _, r := range c.Reachable {
		l := Label{Category: Plumbing}
		if r.Section == SectionHelp {
			l.Category = Help
		}
		if r.Exact {
			l.Marks |= Exact
		}
		if err := b.add(r.Name, l, false); err != nil {
			return err
		}
		noteAbove(r.Name)
	}
	for _, q := range c.Quiet {
		l := Label{Marks: Quiet}
		if q.Exact {
			l.Marks |= Exact
		}
		if err := b.add(q.Name, l, false); err != nil {
			return err
		}
	}
	for n := range above {
		if err := b.add(n, Label{Marks: Above | Exact}, false); err != nil {
			return err
		}
	}
	return nil
}

// build folds the entries into an index, parents before children, so that a
// child starts from what its parents already say.
func (b *builder) build(key uint64) *Index {
	x := &Index{
		key:      key,
		minDepth: MaxLabels,
		nodes:    make([]node, 1, len(b.entries)+1),
	}
	const load = 0.85 // of the slots are taken: about seven probes a miss at most, and 14 bytes a name
	size := int(float64(len(b.entries))/load) + 8
	x.slots = make([]uint64, size)
	x.node = make([]uint32, size)
	sets := newInterner()
	for _, i := range b.byDepth() {
		x.fold(sets, b.name(i), &b.entries[i])
	}
	x.names = len(x.nodes) - 1
	x.internNodes()
	if x.names*5 < size*3 { // many duplicates: make the table fit
		x.shrink(int(float64(x.names)/load) + 8)
	}
	x.labels, x.setEnd, x.marks = sets.labels, sets.end, sets.marks
	return x
}

func (b *builder) name(i uint32) Name {
	e := &b.entries[i]
	return Name(b.arena[e.off : e.off+uint64(e.size)])
}

// byDepth returns the entries' numbers sorted by depth, then by order, in the
// order of their arrival otherwise (a counting sort).
func (b *builder) byDepth() []uint32 {
	const orders = 3
	var start [(MaxLabels + 1) * orders]int
	at := func(e *entry) int { return int(e.label.Depth)*orders + int(e.order) }
	for i := range b.entries {
		start[at(&b.entries[i])]++
	}
	sum := 0
	for i, n := range start {
		start[i] = sum
		sum += n
	}
	sorted := make([]uint32, len(b.entries))
	for i := range b.entries {
		k := at(&b.entries[i])
		sorted[start[k]] = uint32(i)
		start[k]++
	}
	return sorted
}

// fold enters one entry.
func (x *Index) fold(sets *interner, n Name, e *entry) {
	var at [MaxLabels]uint8
	k := 0
	for off := 0; off < len(n); off += int(n[off]) + 1 {
		at[k] = uint8(off)
		k++
	}
	inherited := SetID(0)
	h := x.key
	var own uint32
	for i := k - 1; i >= 0; i-- {
		off := int(at[i])
		h = fingerprint(n[off+1:off+1+int(n[off])], h)
		v, ok := x.find(h)
		switch {
		case ok && i == 0:
			own = v
		case ok:
			inherited = x.nodes[v].below
		}
	}
	was := node{inherited, inherited}
	if own != 0 {
		was = x.nodes[own]
	}
	now := node{self: sets.apply(was.self, e), below: was.below}
	if e.label.Marks&Exact == 0 {
		now.below = sets.apply(was.below, e)
	}
	if now == was { // its parents say all this already
		return
	}
	if own == 0 {
		own = uint32(len(x.nodes))
		x.nodes = append(x.nodes, node{})
		x.insert(h, own)
		x.minDepth = min(x.minDepth, k)
		x.maxDepth = max(x.maxDepth, k)
	}
	x.nodes[own] = now
}

func (x *Index) insert(h uint64, v uint32) {
	i := slotOf(h, len(x.slots))
	for x.slots[i] != 0 {
		if i++; i == len(x.slots) {
			i = 0
		}
	}
	x.slots[i], x.node[i] = h, v
}

// internNodes keeps each distinct pair of answers once. Nearly all entries of a
// list answer the same, so what is left is tiny.
func (x *Index) internNodes() {
	ids := map[node]uint32{}
	to := make([]uint32, len(x.nodes))
	var kept []node
	for i, n := range x.nodes {
		id, ok := ids[n]
		if !ok {
			id = uint32(len(kept))
			ids[n] = id
			kept = append(kept, n)
		}
		to[i] = id
	}
	for i := range x.node {
		x.node[i] = to[x.node[i]]
	}
	x.nodes = kept
}

func (x *Index) shrink(size int) {
	slots, values := x.slots, x.node
	x.slots, x.node = make([]uint64, size), make([]uint32, size)
	for i, h := range slots {
		if h != 0 {
			x.insert(h, values[i])
		}
	}
}

// interner keeps each distinct label set once.
type interner struct {
	labels []Label
	end    []uint32
	marks  []Marks
	byKey  map[string]SetID
	done   map[step]SetID // what apply found before: nearly every entry repeats one
	key    []byte
	work   []Label
}

type step struct {
	set    SetID
	label  Label
	except bool
}

func newInterner() *interner {
	return &interner{
		end: []uint32{0}, marks: []Marks{0},
		byKey: map[string]SetID{}, done: map[step]SetID{},
	}
}

// apply returns the set that follows from s by an entry.
func (in *interner) apply(s SetID, e *entry) SetID {
	st := step{s, e.label, e.order == orderExcept}
	if next, ok := in.done[st]; ok {
		return next
	}
	in.work = in.work[:0]
	if s != 0 {
		in.work = append(in.work, in.labels[in.end[s-1]:in.end[s]]...)
	}
	switch {
	case st.except:
		in.take(e.label.List)
	case !in.says(e.label):
		in.work = append(in.work, e.label)
	}
	next := in.intern()
	in.done[st] = next
	return next
}

// take removes what a list says, except what it marked important.
func (in *interner) take(l ListID) {
	kept := in.work[:0]
	for _, lb := range in.work {
		if lb.List != l || lb.Marks&important != 0 {
			kept = append(kept, lb)
		}
	}
	in.work = kept
}

// says reports whether the working set already holds l from this entry or from
// a parent that covers the same names. An exact block must not hide behind a
// parent (its answer differs) nor the other way round, so marks count.
func (in *interner) says(l Label) bool {
	for _, have := range in.work {
		have.Depth = l.Depth
		if have == l {
			return true
		}
	}
	return false
}

func (in *interner) intern() SetID {
	if len(in.work) == 0 {
		return 0
	}
	in.key = in.key[:0]
	var m Marks
	for _, l := range in.work {
		in.key = append(in.key, byte(l.Category), byte(l.Marks), l.Depth, byte(l.Group))
		in.key = binary.LittleEndian.AppendUint16(in.key, uint16(l.Service))
		in.key = binary.LittleEndian.AppendUint16(in.key, uint16(l.List))
		m |= l.Marks & (Quiet | Above)
	}
	if s, ok := in.byKey[string(in.key)]; ok {
		return s
	}
	s := SetID(len(in.end))
	in.labels = append(in.labels, in.work...)
	in.end = append(in.end, uint32(len(in.labels)))
	in.marks = append(in.marks, m)
	in.byKey[string(in.key)] = s
	return s
}
