package spool

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"kinward/policy"
)

// ring is memory in which many goroutines put frames without waiting and one
// takes them out. Where the memory outlives the process, so does what was put.
//
// Places (seq) count units of the stream that goes through the ring, from base;
// they only grow. From head to tail is in use. A producer reserves its place by
// moving tail, writes its frame there, and stores the frame's word last. Freed
// memory is zeroed before head moves, so a word that is not 0 is a frame's.
type ring struct {
	shared *ringHead
	data   []byte
	base   uint64 // the place of data[0] in the first round
	units  uint64 // len(data) in units
	keep   any    // what data lies in
}

// ringHead is at the beginning of the memory. What is written by different
// threads has cache lines of its own.
type ringHead struct {
	magic [8]byte
	spool uint64
	bytes uint64
	base  uint64
	_     [96]byte
	tail  atomic.Uint64
	_     [120]byte
	head  atomic.Uint64
	_     [120]byte
	lost  atomic.Uint64 // attempts that found no room, not yet told by a frame
	from  atomic.Int64  // Unix ms of the first of them; 0: none
	until atomic.Int64  // and of the last
	_     [104]byte
}

const (
	ringHeadBytes = 4096 // a page
	minRing       = 64 << 10
)

var ringMagic = [8]byte{'K', 'W', 'R', 'I', 'N', 'G', 0, 1}

// newRing makes an empty ring of mem, which is zeroed, aligned to 8 bytes and
// outlives keep.
func newRing(mem []byte, spool, base uint64, keep any) *ring {
	r := ringOf(mem, keep)
	h := r.shared
	h.spool, h.bytes, h.base = spool, uint64(len(mem)), base
	h.tail.Store(base)
	h.head.Store(base)
	r.base = base
	h.magic = ringMagic // last: without it there is no ring
	return r
}

func ringOf(mem []byte, keep any) *ring {
	r := &ring{shared: (*ringHead)(unsafe.Pointer(&mem[0])), data: mem[ringHeadBytes:], keep: keep}
	r.data = r.data[: len(r.data)/unit*unit : len(r.data)/unit*unit]
	r.units = uint64(len(r.data) / unit)
	r.base = r.shared.base
	return r
}

// heapMemory returns zeroed memory of the heap that is aligned to 8 bytes.
func heapMemory(bytes int) []byte {
	words := make([]uint64, bytes/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), bytes/8*8)
}

// openRing takes up a ring that another process left in mem. What that process
// had not finished is made to pads: nobody was told that it is kept.
func openRing(mem []byte, spool uint64, keep any) (*ring, error) {
	if len(mem) < ringHeadBytes+minRing {
		return nil, fmt.Errorf("%d bytes are too few for a ring", len(mem))
	}
	r := ringOf(mem, keep)
	h := r.shared
	head, tail := h.head.Load(), h.tail.Load()
	switch {
	case h.magic != ringMagic:
		return nil, fmt.Errorf("it begins with %q: not a ring of this version", h.magic[:])
	case h.spool != spool:
		return nil, fmt.Errorf("it is another spool's")
	case h.bytes != uint64(len(mem)) || head < h.base || tail < head || tail-head > r.units:
		return nil, fmt.Errorf("%d bytes, from %d to %d: that makes no sense", h.bytes, head, tail)
	}
	r.repair(head, tail)
	return r, nil
}

// repair makes pads of all between head and tail that is no sound frame.
func (r *ring) repair(head, tail uint64) {
	bad := head // from here to seq there is none
	for seq := head; seq < tail; {
		off := r.offset(seq)
		room := min(uint64(len(r.data)-off)/unit, tail-seq)
		kind, size, _, ok := frameAt(r.data[off:off+int(room)*unit], seq)
		if !ok || kind > kindTally {
			seq++
			continue
		}
		r.pad(bad, seq)
		seq += uint64(size / unit)
		bad = seq
	}
	r.pad(bad, tail)
}

func (r *ring) pad(from, to uint64) {
	for from < to {
		off := r.offset(from)
		n := min(to-from, uint64(len(r.data)-off)/unit, maxFrame/unit)
		clear(r.data[off : off+int(n)*unit])
		r.word(off).Store(word(from, kindPad, int(n)*unit))
		from += n
	}
}

func (r *ring) offset(seq uint64) int { return int((seq-r.base)%r.units) * unit }

func (r *ring) word(off int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&r.data[off]))
}

// reserve returns a place of size bytes in one piece, or false where there is no
// room. It looks at head first: who is stopped between the two looks may find that
// tail went on, but never that head overtook it.
func (r *ring) reserve(size int) (seq uint64, off int, ok bool) {
	n := uint64(size / unit)
	for {
		head := r.shared.head.Load()
		tail := r.shared.tail.Load()
		off = r.offset(tail)
		pad := uint64(0)
		if off+size > len(r.data) { // a frame does not go round the end
			pad = uint64(len(r.data)-off) / unit
		}
		if tail+pad+n-head > r.units {
			if head != r.shared.head.Load() {
				continue
			}
			return 0, 0, false
		}
		if !r.shared.tail.CompareAndSwap(tail, tail+pad+n) {
			continue
		}
		if pad > 0 {
			r.word(off).Store(word(tail, kindPad, int(pad)*unit))
			return tail + pad, 0, true
		}
		return tail, off, true
	}
}

// put puts an attempt. It returns false where there is no room, and then the
// attempt is counted as lost.
func (r *ring) put(a *policy.Attempt) bool {
	addr, addrLen := client(a)
	payload := sizeOf(a, addrLen)
	size := frameSize(payload)
	if !fits(a) {
		r.lose(a.Time)
		return false
	}
	seq, off, ok := r.reserve(size)
	if !ok {
		r.lose(a.Time)
		return false
	}
	b := r.data[off : off+size : off+size]
	encode(b[headBytes:headBytes], a, addr[:addrLen])
	binary.LittleEndian.PutUint32(b[unit:], sum(seq, b[headBytes:size])) // the padding is 0 and part of it
	r.word(off).Store(word(seq, kindAttempt, size))
	return true
}

func (r *ring) lose(at time.Time) {
	ms := max(at.UnixMilli(), 1)
	r.shared.lost.Add(1)
	r.shared.from.CompareAndSwap(0, ms)
	r.shared.until.Store(ms)
}

// tellLoss puts a frame for what was lost, where there is room by now. A crash in
// the middle counts it twice rather than not at all.
func (r *ring) tellLoss() (Loss, bool) {
	if r.shared.lost.Load() == 0 {
		return Loss{}, false
	}
	until := r.shared.until.Load()
	from := r.shared.from.Load()
	if from == 0 {
		from = until
	}
	size := frameSize(3 * 8)
	seq, off, ok := r.reserve(size)
	if !ok {
		return Loss{}, false
	}
	r.shared.from.Store(0)
	l := Loss{From: time.UnixMilli(from).UTC(), Until: time.UnixMilli(max(until, from)).UTC(), Count: r.shared.lost.Load()}
	b := r.data[off : off+size : off+size]
	l.encode(b[headBytes:headBytes])
	binary.LittleEndian.PutUint32(b[unit:], sum(seq, b[headBytes:size]))
	r.word(off).Store(word(seq, kindLoss, size))
	r.shared.lost.Add(-l.Count)
	return l, true
}

// ready returns the frames that lie ready in one piece from head on, at most
// most bytes of them, and their number. They stay until they are freed.
func (r *ring) ready(most int) (b []byte, frames int) {
	head, tail := r.shared.head.Load(), r.shared.tail.Load()
	off := r.offset(head)
	end := off
	for seq := head; seq < tail && end < len(r.data) && end-off < most; {
		kind, size, ok := readWord(r.word(end).Load(), seq)
		if !ok {
			break // it is being written
		}
		if kind != kindPad {
			frames++
		}
		end += size
		seq += uint64(size / unit)
	}
	return r.data[off:end], frames
}

// free gives back the first n bytes from head on, as ready returned them.
func (r *ring) free(n int) {
	head := r.shared.head.Load()
	off := r.offset(head)
	clear(r.data[off : off+n])
	r.shared.head.Store(head + uint64(n/unit))
}

// span returns what is in use.
func (r *ring) span() (head, tail uint64) { return r.shared.head.Load(), r.shared.tail.Load() }
