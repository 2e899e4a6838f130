package blocklists

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// A compiled index can be kept in a file, so that a start does not read all
// lists again. The file is written beside its place and renamed, never changed,
// and read whole into memory, so nothing that happens to it later matters to a
// running server. It holds nothing that cannot be made again: one that is torn,
// foreign or out of date is thrown away.
//
// Layout, all numbers little-endian: magic, length of the header, header (JSON),
// slots, nodes, labels, ends of sets, marks, raw nodes, raw labels, ends of raw
// sets, and a 128-bit XXH3 sum of all of it. What is raw is there only with
// patterns, whose rules stand in the header.

const (
	indexMagic     = "KWINDEX\x01"
	maxIndexHeader = 16 << 20
	maxIndexWords  = 1 << 33 // 64 GiB of slots
)

// Why an index file is of no use. Both are mended by compiling.
var (
	ErrIndexStale   = errors.New("the index was made from other lists or by another version")
	ErrIndexDamaged = errors.New("the index file is damaged")
)

type indexHeader struct {
	Inputs   string `json:"inputs"` // what it was made from, see inputsSum
	Key      uint64 `json:"key"`
	Buckets  int    `json:"buckets"`
	NodeBits uint8  `json:"nodeBits"`
	MinDepth int    `json:"minDepth"`
	MaxDepth int    `json:"maxDepth"`
	Names    int    `json:"names"`
	Nodes    int    `json:"nodes"`
	Labels   int    `json:"labels"`
	Sets     int    `json:"sets"`
	Lists    []struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Category uint8  `json:"category"`
		Entries  int    `json:"entries"`
	} `json:"lists"`
	RawLabels int             `json:"rawLabels,omitempty"`
	RawSets   int             `json:"rawSets,omitempty"`
	Patterns  []headerPattern `json:"patterns,omitempty"`
}

type headerPattern struct {
	List ListID `json:"list"`
	Rule string `json:"rule"`
}

// WriteFile keeps the index in a file that [OpenIndex] reads while the catalogue
// and the lists are those that it was compiled from. The file appears whole or
// not at all, also if power is lost.
func (x *Index) WriteFile(path string, c *Catalogue, lists []ListInput) error {
	inputs, ok := inputsSum(c, lists)
	if !ok {
		return errors.New("keeping the index: a list has no version")
	}
	if err := replaceFile(path, ".index-", func(w io.Writer) error { return x.write(w, inputs) }); err != nil {
		return fmt.Errorf("keeping the index: %w", err)
	}
	return nil
}

func (x *Index) write(out io.Writer, inputs string) error {
	h := indexHeader{
		Inputs: inputs, Key: x.key, Buckets: x.buckets, NodeBits: x.nodeBits, MinDepth: x.minDepth, MaxDepth: x.maxDepth,
		Names: x.names, Nodes: len(x.nodes), Labels: len(x.labels), Sets: len(x.setEnd),
	}
	h.Lists = slices.Grow(h.Lists, len(x.lists))[:len(x.lists)]
	for i, l := range x.lists {
		to := &h.Lists[i]
		to.ID, to.Name, to.Category, to.Entries = l.ID, l.Name, uint8(l.Category), l.Entries
	}
	p := x.patterns
	if p != nil {
		h.RawLabels, h.RawSets = len(p.raw), len(p.setEnd)
		for i, e := range p.entries {
			h.Patterns = append(h.Patterns, headerPattern{p.labels[i].List, e.Pattern.String()})
		}
	}
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sum := xxh3.New()
	w := bufio.NewWriterSize(io.MultiWriter(out, sum), 256<<10)
	w.WriteString(indexMagic) // a bufio.Writer keeps its first error for Flush
	_ = binary.Write(w, binary.LittleEndian, uint32(len(header)))
	w.Write(header)
	var word [8]byte
	for _, s := range x.slots {
		binary.LittleEndian.PutUint64(word[:], s)
		w.Write(word[:])
	}
	writeSets(w, x.nodes, x.labels, x.setEnd)
	for _, m := range x.marks {
		w.WriteByte(byte(m))
	}
	if p != nil {
		writeSets(w, p.nodes, p.raw, p.setEnd)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	runtime.KeepAlive(x)
	b := sum.Sum128().Bytes()
	_, err = out.Write(b[:])
	return err
}

func writeSets(w *bufio.Writer, nodes []node, labels []Label, ends []uint32) {
	var word [8]byte
	for _, n := range nodes {
		binary.LittleEndian.PutUint32(word[:4], uint32(n.self))
		binary.LittleEndian.PutUint32(word[4:], uint32(n.below))
		w.Write(word[:])
	}
	for _, l := range labels {
		w.Write(appendLabel(word[:0], l))
	}
	for _, e := range ends {
		binary.LittleEndian.PutUint32(word[:4], e)
		w.Write(word[:4])
	}
}

// OpenIndex is [ReadIndex] and [KeptIndex.For].
func OpenIndex(path string, c *Catalogue, lists []ListInput) (*Index, error) {
	k, err := ReadIndex(path)
	if err != nil {
		return nil, err
	}
	return k.For(c, lists)
}

// KeptIndex is an index that was read, and is as it was written, and of which
// nobody knows yet whether it is the one to use.
type KeptIndex struct {
	path   string
	inputs string
	x      *Index
}

// ReadIndex reads an index that WriteFile kept. That takes longer than all else
// that a start does with it, and needs neither the catalogue nor the lists, which
// can be opened meanwhile. The error wraps [ErrIndexStale] where the file is of
// another version, [ErrIndexDamaged] where it is not whole, or [os.ErrNotExist].
func ReadIndex(path string) (*KeptIndex, error) {
	x, inputs, err := openIndex(path)
	if err != nil {
		return nil, fmt.Errorf("reading index %s: %w", path, err)
	}
	return &KeptIndex{path, inputs, x}, nil
}

// For returns the index for the catalogue and the lists, once: it belongs to the
// caller then. The error wraps [ErrIndexStale] where it was made from any others,
// or [ErrIndexDamaged] where it makes no sense with them.
func (k *KeptIndex) For(c *Catalogue, lists []ListInput) (*Index, error) {
	err := ErrIndexStale
	if inputs, ok := inputsSum(c, lists); ok && inputs == k.inputs {
		err = k.x.check(c)
	}
	if err != nil {
		return nil, fmt.Errorf("reading index %s: %w", k.path, err)
	}
	k.x.adopt(c)
	return k.x, nil
}

func openIndex(path string) (_ *Index, inputs string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	r := &summing{r: f, sum: xxh3.New(), left: info.Size()}
	x, inputs, err := readIndex(r)
	if err != nil {
		return nil, "", err
	}
	want := r.sum.Sum128().Bytes()
	var got [16]byte
	if _, err := io.ReadFull(f, got[:]); err != nil || got != want {
		return nil, "", fmt.Errorf("its sum is wrong: %w", ErrIndexDamaged)
	}
	if n, _ := f.Read(make([]byte, 1)); n != 0 {
		return nil, "", fmt.Errorf("it goes on after its end: %w", ErrIndexDamaged)
	}
	return x, inputs, nil
}

// summing reads a file and sums up what it read. It knows how much there can be,
// so that a number in a damaged file cannot ask for more memory than the file is
// long.
type summing struct {
	r    io.Reader
	sum  *xxh3.Hasher
	left int64
}

func (s *summing) fill(b []byte) error {
	if int64(len(b)) > s.left {
		return fmt.Errorf("it is cut short: %w", ErrIndexDamaged)
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		return fmt.Errorf("%w: %w", ErrIndexDamaged, err)
	}
	s.left -= int64(len(b))
	s.sum.Write(b)
	return nil
}

func (s *summing) bytes(n int) ([]byte, error) {
	if n < 0 || int64(n) > s.left {
		return nil, fmt.Errorf("it is cut short: %w", ErrIndexDamaged)
	}
	b := make([]byte, n)
	return b, s.fill(b)
}

func readIndex(r *summing) (_ *Index, inputs string, err error) {
	head, err := r.bytes(len(indexMagic) + 4)
	if err != nil {
		return nil, "", err
	}
	n := binary.LittleEndian.Uint32(head[len(indexMagic):])
	if string(head[:len(indexMagic)]) != indexMagic || n > maxIndexHeader {
		return nil, "", fmt.Errorf("it is not an index of this version: %w", ErrIndexStale)
	}
	text, err := r.bytes(int(n))
	if err != nil {
		return nil, "", err
	}
	var h indexHeader
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrIndexDamaged, err)
	}
	if h.Buckets < 1 || h.Buckets > maxIndexWords/slotsPerBucket || int64(h.Buckets)*slotsPerBucket*8 > r.left {
		return nil, "", fmt.Errorf("it is cut short: %w", ErrIndexDamaged)
	}
	x := &Index{
		key: h.Key, buckets: h.Buckets, nodeBits: h.NodeBits, minDepth: h.MinDepth, maxDepth: h.MaxDepth,
		names: h.Names,
	}
	for _, l := range h.Lists {
		x.lists = append(x.lists, ListInfo{l.ID, l.Name, Category(l.Category), l.Entries})
	}
	x.slots = offHeap(x, h.Buckets*slotsPerBucket)
	if err := fillWords(r, x.slots); err != nil {
		return nil, "", err
	}
	if x.nodes, x.labels, x.setEnd, err = readSets(r, h.Nodes, h.Labels, h.Sets); err != nil {
		return nil, "", err
	}
	marks, err := r.bytes(h.Sets)
	if err != nil {
		return nil, "", err
	}
	for _, b := range marks {
		x.marks = append(x.marks, Marks(b))
	}
	if len(h.Patterns) == 0 {
		return x, h.Inputs, nil
	}
	p := &patternSide{}
	if p.nodes, p.raw, p.setEnd, err = readSets(r, h.Nodes, h.RawLabels, h.RawSets); err != nil {
		return nil, "", err
	}
	for _, hp := range h.Patterns {
		e, err := parsePattern(hp.Rule)
		if err != nil || int(hp.List) >= len(x.lists) {
			return nil, "", fmt.Errorf("its pattern %q is wrong: %w", clip(hp.Rule), errors.Join(err, ErrIndexDamaged))
		}
		p.entries = append(p.entries, e)
		p.labels = append(p.labels, e.label(x.lists[hp.List].Category, hp.List))
	}
	if p.set, err = compilePatterns(p.entries); err != nil {
		return nil, "", errors.Join(err, ErrIndexDamaged)
	}
	x.patterns = p
	return x, h.Inputs, nil
}

func readSets(r *summing, nodeCount, labelCount, setCount int) (nodes []node, labels []Label, ends []uint32, err error) {
	var sections [3][]byte
	for i, size := range [...]int{nodeCount * 8, labelCount * 8, setCount * 4} {
		if sections[i], err = r.bytes(size); err != nil {
			return nil, nil, nil, err
		}
	}
	for b := sections[0]; len(b) > 0; b = b[8:] {
		nodes = append(nodes, node{SetID(binary.LittleEndian.Uint32(b)), SetID(binary.LittleEndian.Uint32(b[4:]))})
	}
	for b := sections[1]; len(b) > 0; b = b[8:] {
		labels = append(labels, readLabel(b))
	}
	for b := sections[2]; len(b) > 0; b = b[4:] {
		ends = append(ends, binary.LittleEndian.Uint32(b))
	}
	return nodes, labels, ends, nil
}

// fillWords reads words in the file's byte order, straight into their place
// where that is the machine's.
func fillWords(r *summing, words []uint64) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	const piece = 1 << 20
	for from := 0; from < len(b); from += piece {
		if err := r.fill(b[from:min(from+piece, len(b))]); err != nil {
			return err
		}
	}
	if one := [2]byte{1, 0}; binary.NativeEndian.Uint16(one[:]) == 1 {
		return nil
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return nil
}

// check makes sure that no number in the index leads out of it. The sum has
// already shown that the file is what WriteFile wrote; this guards against one
// that was made to look so.
func (x *Index) check(c *Catalogue) error {
	bad := func(what string) error { return fmt.Errorf("%s lead out of it: %w", what, ErrIndexDamaged) }
	if x.nodeBits < minNodeBits || x.nodeBits > 40 || len(x.setEnd) == 0 || len(x.marks) != len(x.setEnd) ||
		x.minDepth < 1 || x.maxDepth > MaxLabels || len(x.lists) == 0 {
		return bad("its measures")
	}
	mask := uint64(1)<<x.nodeBits - 1
	used, ends := 0, false
	for i, s := range x.slots {
		if s&mask >= uint64(len(x.nodes)) {
			return bad("its slots")
		}
		if s != 0 {
			used++
		} else if i%slotsPerBucket == slotsPerBucket-1 {
			ends = true
		}
	}
	if used != x.names || !ends { // where every bucket goes on in the next one, find would search for ever
		return bad("its slots")
	}
	if err := checkSets(x.nodes, x.labels, x.setEnd, len(x.lists), c); err != nil {
		return err
	}
	if p := x.patterns; p != nil {
		return checkSets(p.nodes, p.raw, p.setEnd, len(x.lists), c)
	}
	return nil
}

func checkSets(nodes []node, labels []Label, ends []uint32, lists int, c *Catalogue) error {
	bad := func(what string) error { return fmt.Errorf("%s lead out of it: %w", what, ErrIndexDamaged) }
	for _, n := range nodes {
		if int(n.self) >= len(ends) || int(n.below) >= len(ends) {
			return bad("its nodes")
		}
	}
	last := uint32(0)
	for _, e := range ends {
		if e < last || int(e) > len(labels) {
			return bad("its sets")
		}
		last = e
	}
	for _, l := range labels {
		if l.Category >= NumCategories || int(l.Service) > len(c.Services) || int(l.Group) > len(c.Groups) || int(l.List) >= lists {
			return bad("its labels")
		}
	}
	return nil
}

// inputsSum tells what an index is made from: the catalogue's content, and each
// list's version and meaning, in order. It is false where a list has no version.
func inputsSum(c *Catalogue, lists []ListInput) (string, bool) {
	h := sha256.New()
	c.sum(h)
	for _, l := range lists {
		if l.Version == "" {
			return "", false
		}
		fmt.Fprintf(h, "list %q %q %d %q\n", l.ID, l.Name, l.Category, l.Version)
	}
	return hex.EncodeToString(h.Sum(nil)), true
}

// sum writes what of the catalogue the index depends on.
func (c *Catalogue) sum(h hash.Hash) {
	for _, s := range c.Services {
		fmt.Fprintf(h, "service %q %d %t\n", s.ID, s.Category, s.KnownRisk != "")
		for _, d := range s.Domains {
			fmt.Fprintf(h, "domain %q %d %q %t\n", string(d.Name), d.Match, d.Group, d.AboveShared)
		}
	}
	for _, g := range c.Groups {
		fmt.Fprintf(h, "group %q\n", g.ID)
	}
	for _, r := range c.Reachable {
		fmt.Fprintf(h, "reachable %d %q %t\n", r.Section, string(r.Name), r.Exact)
	}
	for _, s := range c.Shared { // what lists must not name decides what is taken from them
		fmt.Fprintf(h, "shared %q %d\n", string(s.Name), s.Rule)
	}
	for _, q := range c.Quiet {
		fmt.Fprintf(h, "quiet %q %t\n", string(q.Name), q.Exact)
	}
}
