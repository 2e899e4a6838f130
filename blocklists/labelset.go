package blocklists

import "encoding/binary"

// Marks of raw sets, whose exceptions are not settled yet: of what is compiled, and of
// an index with patterns (see patternSide).
const (
	// exception marks what an entry takes back, not what it says.
	exception Marks = 1 << 6
	// important marks a label that outranks an exception that is not, as in
	// adblock lists.
	important Marks = 1 << 7
)

// sets keeps each distinct label set once.
type sets struct {
	labels []Label
	end    []uint32
	marks  []Marks
	byKey  map[string]SetID
	key    []byte
}

func newSets() *sets {
	return &sets{end: []uint32{0}, marks: []Marks{0}, byKey: map[string]SetID{}}
}

func (s *sets) get(id SetID) []Label {
	if id == 0 {
		return nil
	}
	return s.labels[s.end[id-1]:s.end[id]]
}

// intern returns the number of a set. The order of labels matters; equal sets
// arise in equal order nearly always.
func (s *sets) intern(labels []Label) SetID {
	if len(labels) == 0 {
		return 0
	}
	s.key = s.key[:0]
	var m Marks
	for _, l := range labels {
		s.key = appendLabel(s.key, l)
		m |= l.Marks & (Quiet | Above)
	}
	if id, ok := s.byKey[string(s.key)]; ok {
		return id
	}
	id := SetID(len(s.end))
	s.labels = append(s.labels, labels...)
	s.end = append(s.end, uint32(len(s.labels)))
	s.marks = append(s.marks, m)
	s.byKey[string(s.key)] = id
	return id
}

// appendLabel appends a label's eight bytes, as they are interned and stored.
func appendLabel(b []byte, l Label) []byte {
	b = append(b, byte(l.Category), byte(l.Marks), l.Depth, byte(l.Group))
	b = binary.LittleEndian.AppendUint16(b, uint16(l.Service))
	return binary.LittleEndian.AppendUint16(b, uint16(l.List))
}

func readLabel(b []byte) Label {
	return Label{
		Category: Category(b[0]), Marks: Marks(b[1]), Depth: b[2], Group: GroupID(b[3]),
		Service: ServiceID(binary.LittleEndian.Uint16(b[4:])), List: ListID(binary.LittleEndian.Uint16(b[6:])),
	}
}

// folder works out what names answer: what their parents' entries say, and then
// their own. Nearly every name repeats an earlier one, so it remembers.
//
// Sets are folded raw, exceptions included, since an exception of a parent also
// lifts what its list says of a name below; effective then settles them.
type folder struct {
	raw     *sets
	own     map[ownStep]SetID // an entry more for the same name
	folded  map[foldStep]node // a name's entries after its parents'
	settled map[SetID][]Label
	work    []Label
}

type ownStep struct {
	own SetID
	l   Label
}

type foldStep struct{ above, own SetID }

func newFolder() *folder {
	return &folder{raw: newSets(), own: map[ownStep]SetID{}, folded: map[foldStep]node{}, settled: map[SetID][]Label{}}
}

// with returns the set own and one label more.
func (f *folder) with(own SetID, l Label) SetID {
	st := ownStep{own, l}
	if id, ok := f.own[st]; ok {
		return id
	}
	f.work = withLabel(append(f.work[:0], f.raw.get(own)...), l)
	id := f.raw.intern(f.work)
	f.own[st] = id
	return id
}

// fold returns what a name with its own entries answers under what its parents
// say of names below them.
func (f *folder) fold(above, own SetID) node {
	st := foldStep{above, own}
	if n, ok := f.folded[st]; ok {
		return n
	}
	gather := func(below bool) SetID {
		f.work = append(f.work[:0], f.raw.get(above)...)
		for _, l := range f.raw.get(own) {
			if !(below && l.Marks&Exact != 0) {
				f.work = withLabel(f.work, l)
			}
		}
		return f.raw.intern(f.work)
	}
	n := node{self: gather(false), below: gather(true)}
	f.folded[st] = n
	return n
}

// withLabel adds a label to a set. Where a parent's entry says the same of the same
// names, the more specific entry is the one that counts. An exact entry does not
// stand for one that covers names below, nor the other way round, since their
// answers differ: marks count.
func withLabel(labels []Label, l Label) []Label {
	for i, have := range labels {
		have.Depth = l.Depth
		if have == l {
			labels[i].Depth = max(labels[i].Depth, l.Depth)
			return labels
		}
	}
	return append(labels, l)
}

// effective settles the exceptions of a raw set.
func (f *folder) effective(raw SetID) []Label {
	if out, ok := f.settled[raw]; ok {
		return out
	}
	out := heed(nil, f.raw.get(raw))
	f.settled[raw] = out
	return out
}

// heed appends to out what is left of labels when the exceptions among them have
// been heard. The rules of one list are weighed against each other wherever they
// stand, in the table or among the patterns, and however specific they are:
//
//	important exception > important block > exception > block
//
// as AdGuard documents for $important and its urlfilter does. Lists do not take back
// what other lists say.
func heed(out, labels []Label) []Label {
	for _, l := range labels {
		if l.Marks&exception == 0 && !takenBack(labels, l) {
			l.Marks &^= important
			out = append(out, l)
		}
	}
	return out
}

func takenBack(all []Label, l Label) bool {
	for _, e := range all {
		if e.List == l.List && e.Marks&exception != 0 && e.Marks&important >= l.Marks&important {
			return true
		}
	}
	return false
}
