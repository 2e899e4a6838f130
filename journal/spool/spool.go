// Package spool keeps attempts until they are in the store, through a kill, a
// crash and a full disk.
//
// [Spool.Record] puts an attempt into a ring of memory that outlives the process
// and returns; from then on it survives kill -9. [Spool.Run] brings the ring to
// segment files and those to the disk; what has been there for a moment survives
// the loss of power. [Spool.Read] reads them in order, and [Spool.Committed] says
// up to where the store has them, so that they can go. journal/DESIGN.md tells
// why it is made this way.
package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kinward/policy"
)

// Config is what a spool is made of. Zero values mean the defaults.
type Config struct {
	Folder     string        // made if absent, for this spool alone; "": everything lies on the heap and ends with the process
	RingFolder string        // where the ring lies; default: memory that outlives the process, else Folder
	RingBytes  int           // default 8 MB; without a folder 1 MB
	DiskBytes  int64         // what segments may take; default 256 MB; without a folder 4 MB of memory
	Position   Position      // up to where the store has all; of another spool it counts for nothing
	SyncEvery  time.Duration // how long written data may wait for the disk; default 250 ms
	Logger     *slog.Logger  // nil discards; never told a name, a device or a family
}

const (
	defaultRing     = 8 << 20
	defaultHeapRing = 1 << 20
	defaultDisk     = 256 << 20
	defaultHeapDisk = 4 << 20
	defaultSync     = 250 * time.Millisecond
	maxRingFile     = 1 << 30
	linger          = 10 * time.Millisecond // between two looks at a busy ring: a batch worth a write
	lossEvery       = time.Second           // how often a loss that goes on is told
	firstBackoff    = 250 * time.Millisecond
	maxBackoff      = 30 * time.Second
	readBytes       = 128 << 10
	idFile          = "id"
	populateAfter   = 250 * time.Millisecond // the ring's pages are made present: once a start has other things behind it
	smallestFrame   = 56                     // of an attempt, to tell how many a torn stretch held at most
)

// Position is how far a spool has been read.
type Position struct {
	Spool uint64 // which one; 0: none
	Seq   uint64 // all up to here
}

// Spool keeps attempts. All methods are safe for concurrent use.
type Spool struct {
	id        uint64
	ring      *ring
	ringPath  string // "": on the heap
	folder    folder
	diskBytes int64
	fullAt    int64 // when another segment is begun
	syncEvery time.Duration
	log       *slog.Logger

	asleep atomic.Bool   // Run waits to be woken
	wake   chan struct{} // to Run
	ready  chan struct{} // to the reader

	mu        sync.Mutex // the segments, and the ring's far end
	segments  []*segment // in order; those that the store has are gone
	active    *segment   // the last of them, which is written to; nil: none
	bytes     int64      // of all of them
	read      uint64     // up to here all was handed to the reader
	reading   *segment   // what the reader has in hand comes from it; nil: it has nothing
	committed uint64
	toldLoss  time.Time
	toldShed  time.Time
	dirty     []*segment // written since they were last synced
	buf       []byte
	lastTime  time.Time // of the last attempt that was read; only the reader changes it

	stats stats
}

type stats struct {
	bytes, full, shed, torn, errors atomic.Uint64
}

// Stats tells what became of attempts that could not be kept, and what the spool
// takes.
type Stats struct {
	RingBytes, RingUsed, DiskBytes uint64
	Full                           uint64 // attempts that found no room in the ring
	Shed                           uint64 // attempts that went with a whole segment
	Torn                           uint64 // attempts, at most, that a crash tore or the disk spoilt
	Errors                         uint64 // writes and syncs that failed
}

// Open opens the spool in c.Folder, or makes one. What an earlier process
// recorded and the store does not have is there to be read.
func Open(c Config) (*Spool, error) {
	s, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("opening the spool %s: %w", c.Folder, err)
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.SyncEvery == 0 {
		c.SyncEvery = defaultSync
	}
	ring, disk := defaultRing, int64(defaultDisk)
	if c.Folder == "" {
		ring, disk = defaultHeapRing, defaultHeapDisk
	}
	if c.RingBytes == 0 {
		c.RingBytes = ring
	}
	if c.DiskBytes == 0 {
		c.DiskBytes = disk
	}
	return c
}

func open(c Config) (*Spool, error) {
	c = c.withDefaults()
	if c.RingBytes < minRing || c.RingBytes > maxRingFile-ringHeadBytes || c.DiskBytes < 1 {
		return nil, fmt.Errorf("a ring of %d bytes and %d bytes of segments: a ring has %d bytes at least", c.RingBytes, c.DiskBytes, minRing)
	}
	s := &Spool{
		folder: folder{c.Folder}, diskBytes: c.DiskBytes, fullAt: min(segmentBytes, c.DiskBytes/8), syncEvery: c.SyncEvery, log: c.Logger,
		wake: make(chan struct{}, 1), ready: make(chan struct{}, 1), buf: make([]byte, readBytes),
	}
	if c.Folder == "" {
		s.id = newID()
		s.ring = newRing(heapMemory(ringHeadBytes+c.RingBytes), s.id, 0, nil)
		return s, nil
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.id, err = s.readID(); err != nil {
		return nil, err
	}
	if c.Position.Spool == s.id {
		s.read = c.Position.Seq
	}
	s.committed = s.read
	if err := s.openSegments(); err != nil {
		return nil, err
	}
	if err := s.openRing(c); err != nil {
		return nil, err
	}
	s.forget(s.committed)
	return s, nil
}

func newID() uint64 {
	var b [8]byte
	rand.Read(b[:])                                // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(b[:])>>1 | 1 // fits a database's integer
}

func idText(id uint64) string { return fmt.Sprintf("%016x", id) }

// readID returns the spool's number, which tells its positions from another's.
func (s *Spool) readID() (uint64, error) {
	path := filepath.Join(s.folder.path, idFile)
	text, err := os.ReadFile(path)
	if err == nil {
		id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 63)
		if err == nil && id != 0 {
			return id, nil
		}
		s.log.Warn("the spool's number cannot be read; it gets another", "file", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	id := newID()
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.WriteString(idText(id) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := os.Rename(temp, path); err != nil {
		return 0, err
	}
	return id, s.folder.sync()
}

// openSegments takes up the segments that are there, and cuts off what a crash
// left half-written at the end of the last one.
func (s *Spool) openSegments() error {
	list, bad, err := s.folder.open(s.id)
	if err != nil {
		return err
	}
	for _, err := range bad {
		s.log.Error("attempts may be lost: a segment of the spool cannot be read", "error", err)
	}
	for i, seg := range list {
		if i < len(list)-1 && seg.end > list[i+1].base { // a write that failed in the middle; the next one took another file
			seg.end = max(seg.base, list[i+1].base)
		}
		s.segments = append(s.segments, seg)
		s.bytes += seg.bytes
		if i < len(list)-1 || seg.condensed {
			continue
		}
		sound, err := seg.soundEnd(s.buf)
		if err != nil {
			return fmt.Errorf("reading %s: %w", seg.name, err)
		}
		if cut := seg.bytes - sound; cut > 0 {
			spoilt, err := seg.soundAfter(sound, s.buf)
			if err != nil {
				return fmt.Errorf("reading %s: %w", seg.name, err)
			}
			if spoilt { // no crash's half-written end: what follows was kept once, and its loss is told by who reads
				continue
			}
			if err := seg.f.Truncate(sound); err != nil {
				return fmt.Errorf("cutting %s: %w", seg.name, err)
			}
			s.log.Warn("the end of the spool was torn by a crash and is cut off", "bytes", cut)
			s.bytes -= cut
			seg.bytes, seg.end = sound, seg.base+uint64(sound-segmentHead)/unit
		}
	}
	return nil
}

// end returns where the segments end.
func (s *Spool) end() uint64 {
	end := s.committed
	for _, seg := range s.segments {
		end = max(end, seg.end)
	}
	return end
}

// openRing takes up the ring that an earlier process left, or makes one.
func (s *Spool) openRing(c Config) error {
	end, name := s.end(), ringName(s.id)
	places := memoryFolders(c)
	for i, dir := range places {
		path := filepath.Join(dir, name)
		m, err := mapFile(path, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			s.log.Error("attempts may be lost: the ring of an earlier process cannot be taken up", "error", err)
			continue
		}
		r, err := openRing(m.mem, s.id, m)
		if err != nil {
			s.log.Error("attempts may be lost: the ring of an earlier process cannot be read", "file", path, "error", err)
		} else if head, tail := r.span(); tail > max(head, end) || r.shared.lost.Load() > 0 && tail >= end {
			s.log.Info("attempts of a process that was killed are taken up", "bytes", (tail-max(head, end))*unit)
			s.takeUp(r, path, end) // it may have died between writing and freeing
			return nil
		} else if i == 0 && len(m.mem) == ringHeadBytes+c.RingBytes && tail == end { // it is as it would be made
			s.takeUp(r, path, tail)
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for i, dir := range places {
		path := filepath.Join(dir, name)
		m, err := mapFile(path, ringHeadBytes+c.RingBytes)
		if err != nil {
			s.log.Warn("the ring cannot lie here", "folder", dir, "error", err)
			continue
		}
		if i > 0 && i == len(places)-1 || !isMemory(dir) {
			s.log.Warn("there is no memory that outlives this process: the ring lies in a file, so recording may wait for the disk", "folder", dir)
		}
		s.ring, s.ringPath = newRing(m.mem, s.id, end, m), path
		return nil
	}
	s.log.Warn("the ring lies in this process's own memory: what is not written yet ends with it")
	s.ring = newRing(heapMemory(ringHeadBytes+c.RingBytes), s.id, end, nil)
	return nil
}

// takeUp goes on with a ring that another process left, without what is written up
// to a place.
func (s *Spool) takeUp(r *ring, path string, written uint64) {
	s.ring, s.ringPath = r, path
	for {
		head, tail := r.span()
		if head >= min(written, tail) {
			break
		}
		r.free(min(int(min(written, tail)-head)*unit, len(r.data)-r.offset(head)))
	}
	if !isMemory(filepath.Dir(path)) {
		s.clearFree()
	}
}

// clearFree zeroes what is not in use, as a ring must be, where a file's pages came to
// the disk in any order before the power was lost. Memory is as the process left it,
// which zeroes before it frees. Nearly all of it is zero already, and is only looked
// at: the first write to each page takes many times as long.
func (s *Spool) clearFree() {
	r := s.ring
	head, tail := r.span()
	for seq := tail; seq < head+r.units; {
		off := r.offset(seq)
		n := min(head+r.units-seq, uint64(len(r.data)-off)/unit)
		for free := range slices.Chunk(r.data[off:off+int(n)*unit], len(zeros)) {
			if !bytes.Equal(free, zeros[:len(free)]) {
				clear(free)
			}
		}
		seq += n
	}
}

var zeros [4096]byte

// RingPlace returns the file that the ring lies in, "" where it ends with the
// process, and whether recording can never wait for a disk.
func (s *Spool) RingPlace() (path string, memory bool) {
	return s.ringPath, s.ringPath == "" || isMemory(filepath.Dir(s.ringPath))
}

// Lasting reports whether what is recorded outlives the process.
func (s *Spool) Lasting() bool { return s.folder.path != "" }

// Record keeps a, of which it keeps whole milliseconds, the numbers that last
// and the strings up to 255 bytes. It never waits and does not allocate. It
// returns false where there is no room: then the attempt is counted, and told by
// a [Loss] later.
func (s *Spool) Record(a *policy.Attempt) bool {
	ok := s.ring.put(a)
	if !ok {
		s.stats.full.Add(1)
	}
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.nudge()
	}
	runtime.KeepAlive(s) // the ring is unmapped when nobody has it
	return ok
}

func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ready receives when there may be something new to read. It is for one receiver.
func (s *Spool) Ready() <-chan struct{} { return s.ready }

// Recorded returns the position up to which all was recorded that was recorded
// before the call.
func (s *Spool) Recorded() Position {
	_, tail := s.ring.span()
	return Position{s.id, tail}
}

// Position returns up to where records were handed to the reader.
func (s *Spool) Position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Position{s.id, s.read}
}

// Stats returns what the metrics tell.
func (s *Spool) Stats() Stats {
	head, tail := s.ring.span()
	return Stats{
		RingBytes: uint64(len(s.ring.data)), RingUsed: (tail - head) * unit, DiskBytes: s.stats.bytes.Load(),
		Full: s.stats.full.Load(), Shed: s.stats.shed.Load(), Torn: s.stats.torn.Load(), Errors: s.stats.errors.Load(),
	}
}

// Committed says that the store has all up to seq, synced to its disk. Segments
// that nobody needs any more are removed.
func (s *Spool) Committed(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = max(s.committed, seq)
	s.forget(s.committed)
	s.nudge() // it may have waited for room
}

// forget removes the segments up to seq.
func (s *Spool) forget(seq uint64) {
	kept := s.segments[:0]
	for _, seg := range s.segments {
		if seg.end > seq {
			kept = append(kept, seg)
			continue
		}
		s.drop(seg)
	}
	clear(s.segments[len(kept):])
	s.segments = kept
	s.stats.bytes.Store(uint64(s.bytes))
}

// drop removes a segment's file; the caller removes it from the list.
func (s *Spool) drop(seg *segment) {
	if err := s.folder.remove(seg); err != nil {
		s.log.Error("a segment of the spool cannot be removed", "error", err)
	}
	s.bytes -= seg.bytes
	if seg == s.active {
		s.active = nil
	}
}

// Close ends a spool whose Run has ended and which nobody records to any more.
// What the store has is removed; the rest is kept for the next [Open]. What the
// segments do not take, as on a full disk, stays in the ring; it is an error only
// where the ring ends with the process.
func (s *Spool) Close() error {
	err := s.pull(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.ringPath != "" {
		s.log.Error("attempts cannot be written to the spool at the end; the ring keeps them for the next start", "ring", s.ringPath, "error", err)
		err = nil
	}
	for _, seg := range s.segments {
		if seg.end <= s.committed {
			continue
		}
		err = errors.Join(err, seg.f.Sync())
	}
	s.forget(s.committed)
	if s.folder.path != "" {
		err = errors.Join(err, s.folder.sync())
	}
	head, tail := s.ring.span()
	if s.ringPath != "" && head == tail && s.ring.shared.lost.Load() == 0 {
		err = errors.Join(err, os.Remove(s.ringPath))
	}
	for _, seg := range s.segments {
		err = errors.Join(err, seg.f.Close())
	}
	if err != nil {
		return fmt.Errorf("closing the spool: %w", err)
	}
	return nil
}
