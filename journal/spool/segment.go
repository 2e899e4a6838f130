package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// A segment is a stretch of the stream in a file, which is called by the place
// that it begins with. The stream in it is what the ring held, byte for byte, so
// a place is an offset in the file; where only tallies are left (condensed), the
// frames are fewer and the header tells where the stretch ended.
type segment struct {
	base, end uint64 // units of the stream
	bytes     int64  // of the file, header included
	condensed bool
	buried    bool // it went whole, by this process
	f         file
	name      string // "" where there is no folder
	synced    bool   // the folder knows of it
}

const (
	segmentHead    = 64
	segmentBytes   = 4 << 20 // when another is begun, at most
	segmentVersion = 1
	segmentSuffix  = ".seg"
)

var segmentMagic = [8]byte{'K', 'W', 'S', 'E', 'G', 0, 0, segmentVersion}

// file is what a segment lies in: on a disk, or in memory.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(int64) error
	Sync() error
	Close() error
}

type diskFile struct{ *os.File }

func (f diskFile) Sync() error { return datasync(f.File) }

// memoryFile is a file for a spool without a folder.
type memoryFile struct {
	mu sync.RWMutex
	b  []byte
}

func (f *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if at >= int64(len(f.b)) {
		return 0, io.EOF
	}
	n := copy(p, f.b[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = append(f.b[:at], p...) // only ever at the end
	return len(p), nil
}

func (f *memoryFile) Truncate(n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = f.b[:n]
	return nil
}

func (f *memoryFile) Sync() error  { return nil }
func (f *memoryFile) Close() error { return nil }

func segmentHeader(spool, base, end uint64) []byte {
	b := make([]byte, segmentHead)
	copy(b, segmentMagic[:])
	binary.LittleEndian.PutUint64(b[8:], spool)
	binary.LittleEndian.PutUint64(b[16:], base)
	binary.LittleEndian.PutUint64(b[24:], end) // 0: as far as the file goes
	binary.LittleEndian.PutUint32(b[segmentHead-4:], crc32.Checksum(b[:segmentHead-4], castagnoli))
	return b
}

var errNewerSegment = errors.New("a newer Kinward made it")

// readHeader reads a segment's header.
func (s *segment) readHeader(spool uint64, size int64) error {
	var b [segmentHead]byte
	if _, err := s.f.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("reading its header: %w", err)
	}
	switch {
	case string(b[:7]) == string(segmentMagic[:7]) && b[7] > segmentVersion:
		return errNewerSegment
	case string(b[:8]) != string(segmentMagic[:]) || binary.LittleEndian.Uint32(b[segmentHead-4:]) != crc32.Checksum(b[:segmentHead-4], castagnoli):
		return errors.New("its header is not whole")
	case binary.LittleEndian.Uint64(b[8:]) != spool:
		return errors.New("it is another spool's")
	}
	s.base, s.end = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	s.bytes = size
	if s.condensed = s.end != 0; !s.condensed {
		s.end = s.base + uint64(size-segmentHead)/unit
	}
	if s.end < s.base {
		return errors.New("it ends before it begins")
	}
	return nil
}

// soundEnd returns how many bytes of the file are sound frames.
func (s *segment) soundEnd(buf []byte) (int64, error) {
	at, seq := int64(segmentHead), s.base
	for {
		n, err := s.f.ReadAt(buf[:min(int64(len(buf)), s.bytes-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, err
		}
		used := 0
		for {
			_, size, _, ok := frameAt(buf[used:n], seq)
			if !ok {
				break
			}
			used += size
			seq += uint64(size / unit)
		}
		at += int64(used)
		if used == 0 {
			return at, nil
		}
	}
}

// soundAfter reports whether a sound frame follows somewhere behind the place where
// sound ones end.
func (s *segment) soundAfter(end int64, buf []byte) (bool, error) {
	for at := end + unit; at < s.bytes; {
		n, err := s.f.ReadAt(buf[:min(int64(len(buf)), s.bytes-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		last := n // what begins later may go on behind the buffer
		if at+int64(n) < s.bytes {
			last = n - maxFrame
		}
		off := 0
		for ; off < last; off += unit {
			kind, _, _, ok := frameAt(buf[off:n], s.base+uint64(at+int64(off)-segmentHead)/unit)
			if ok && kind != kindPad {
				return true, nil
			}
		}
		if off == 0 {
			return false, nil
		}
		at += int64(off)
	}
	return false, nil
}

// folder keeps segments in a folder, or in memory where path is "".
type folder struct{ path string }

func (d folder) create(base uint64, header []byte) (*segment, error) {
	s := &segment{base: base, end: base, bytes: int64(len(header))}
	if d.path == "" {
		s.f = &memoryFile{}
	} else {
		s.name = filepath.Join(d.path, fmt.Sprintf("%016x%s", base, segmentSuffix))
		f, err := os.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		s.f = diskFile{f}
	}
	if _, err := s.f.WriteAt(header, 0); err != nil {
		return nil, errors.Join(err, d.remove(s))
	}
	return s, nil
}

func (d folder) remove(s *segment) error {
	err := s.f.Close()
	if s.name != "" {
		err = os.Remove(s.name)
	}
	return err
}

// sync makes the folder remember what files it has.
func (d folder) sync() error {
	if d.path == "" {
		return nil
	}
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}

// replace writes a segment anew: the file is there whole or as it was. Until sync
// has been called it may be as it was again after the machine went down.
func (d folder) replace(s *segment, content []byte) error {
	if d.path == "" {
		s.f = &memoryFile{b: content}
		s.bytes = int64(len(content))
		return nil
	}
	temp := s.name + ".new"
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = datasync(f)
	}
	if err == nil {
		err = os.Rename(temp, s.name)
	}
	if err != nil {
		f.Close()
		os.Remove(temp)
		return err
	}
	s.f.Close()
	s.f, s.bytes = diskFile{f}, int64(len(content))
	return nil
}

// open returns the segments of a folder in order, and what could not be taken up.
func (d folder) open(spool uint64) (list []*segment, bad []error, err error) {
	entries, err := os.ReadDir(d.path) // in the order of their names, which is that of the stream
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name())
		if strings.HasSuffix(e.Name(), segmentSuffix+".new") {
			if err := os.Remove(path); err != nil {
				return nil, nil, err
			}
		}
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, nil, err
		}
		s := &segment{f: diskFile{f}, name: path, synced: true}
		info, err := f.Stat()
		if err == nil {
			err = s.readHeader(spool, info.Size())
		}
		switch {
		case err == nil:
			list = append(list, s)
			continue
		case errors.Is(err, errNewerSegment):
			f.Close()
		default: // it holds nothing that could be read
			d.remove(s)
		}
		bad = append(bad, fmt.Errorf("segment %s: %w", e.Name(), err))
	}
	return list, bad, nil
}
