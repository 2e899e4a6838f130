package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"kinward/policy"
)

// Record is one thing that was recorded: exactly one of Attempt, Loss and Tally
// is set. It holds until the function that got it returns; its strings hold
// longer.
type Record struct {
	Attempt *policy.Attempt
	Loss    *Loss
	Tally   *Tally
	Encoded Encoded // of Attempt
}

// Encoded is an attempt as it lies in the spool. It holds until the function that
// got it returns. Two attempts that differ in nothing but their time have the same
// Head and Rest.
type Encoded struct {
	Time int64 // Unix milliseconds
	Head [fixedBytes - 8]byte
	Rest []byte
}

// Quiet is the attempt's Verdict.Quiet.
func (e *Encoded) Quiet() bool { return e.Head[0]>>4&1 == 1 }

// encodedOf takes an attempt's payload apart, unless it is none.
func encodedOf(payload []byte) (e Encoded, ok bool) {
	if len(payload) < fixedBytes {
		return e, false
	}
	const at = len(e.Head)
	return Encoded{int64(binary.LittleEndian.Uint64(payload[at:])), [at]byte(payload), payload[fixedBytes:]}, true
}

// Read hands what is next, a bounded number of records, to each, which returns
// false in order to have no more for now. It reports whether there is more to
// read. An error is the disk's; the same records are tried again by the next
// call. One goroutine reads.
//
// Where again is not nil it is handed each attempt first. Where it says that it
// knows what to do with it, each does not get it, which saves decoding it.
func (s *Spool) Read(each func(Record) bool, again func(Encoded) (known, more bool)) (more bool, err error) {
	return s.next(each, again)
}

// Peek returns when the next record was, the zero time where there is none. It
// must not be called while another goroutine reads.
func (s *Spool) Peek() (at time.Time, err error) {
	s.mu.Lock()
	read, torn := s.read, s.stats.torn.Load()
	s.mu.Unlock()
	_, err = s.next(func(r Record) bool {
		if r.Attempt != nil {
			at = r.Attempt.Time
		}
		return at.IsZero()
	}, nil)
	s.advance(read, s.lastTime) // what was missing is told, and counted, by who reads
	s.stats.torn.Store(torn)
	return at, err
}

func (s *Spool) next(each func(Record) bool, again func(Encoded) (known, more bool)) (more bool, err error) {
	chunk, seq, lost, err := s.fetch()
	if err != nil || len(chunk) == 0 && lost == nil {
		return false, err
	}
	if lost != nil && !each(Record{Loss: lost}) {
		s.advance(seq, s.lastTime)
		return true, nil
	}
	var a policy.Attempt
	last := s.lastTime
	for going := true; going; {
		kind, size, payload, ok := frameAt(chunk, seq)
		if !ok {
			break
		}
		switch kind {
		case kindPad:
		case kindAttempt:
			e, whole := encodedOf(payload)
			if whole && again != nil {
				var known bool
				if known, going = again(e); known {
					last = time.UnixMilli(e.Time).UTC()
					break
				}
			}
			if err = decode(string(payload), &a); err == nil {
				last = a.Time
				going = each(Record{Attempt: &a, Encoded: e})
			}
		case kindLoss:
			var l Loss
			if l, err = decodeLoss(string(payload)); err == nil {
				going = each(Record{Loss: &l})
			}
		case kindTally:
			var t Tally
			if t, err = decodeTally(string(payload)); err == nil {
				going = each(Record{Tally: &t})
			}
		default:
			err = errPayload
		}
		if err != nil { // made by another version; it is no reason to stop
			s.stats.torn.Add(1)
			s.log.Error("an attempt was lost: it cannot be read", "error", err)
			going = each(Record{Loss: &Loss{From: last, Until: last, Count: 1}})
			err = nil
		}
		chunk, seq = chunk[size:], seq+uint64(size/unit)
	}
	return s.advance(seq, last), nil
}

// fetch returns what is next, as far as it is sound: at least one whole frame,
// or nothing. Where some of the stream is missing it says so. Until advance is
// called nobody changes the segment that it comes from.
func (s *Spool) fetch() (chunk []byte, seq uint64, lost *Loss, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		if seg.end <= s.read {
			continue
		}
		if seg.base > s.read {
			if s.read > 0 {
				lost = s.missing(lost, (seg.base-s.read)*unit)
			}
			s.read = seg.base
		}
		n, err := s.readAt(seg)
		if err != nil {
			return nil, 0, nil, err
		}
		if _, _, _, ok := frameAt(s.buf[:n], s.read); ok {
			s.reading = seg
			return s.buf[:n], s.read, lost, nil
		}
		if n > 0 || !seg.condensed { // it is torn, or was never written out
			lost = s.missing(lost, (seg.end-s.read)*unit)
		}
		s.read = seg.end
	}
	return nil, s.read, lost, nil
}

func (s *Spool) readAt(seg *segment) (int, error) {
	at := segmentHead + int64(s.read-seg.base)*unit
	end := seg.bytes
	if !seg.condensed {
		end = min(end, segmentHead+int64(seg.end-seg.base)*unit)
	}
	if at >= end {
		return 0, nil
	}
	n, err := seg.f.ReadAt(s.buf[:min(int64(len(s.buf)), end-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading a segment: %w", err)
	}
	return n, nil
}

// missing adds to a loss that bytes of the stream are gone.
func (s *Spool) missing(before *Loss, bytes uint64) *Loss {
	count := max(bytes/smallestFrame, 1)
	s.stats.torn.Add(count)
	s.log.Error("attempts may be lost: a part of the spool is torn or missing", "bytes", bytes, "at_most", count)
	if before != nil {
		count += before.Count
	}
	return &Loss{From: s.lastTime, Until: s.lastTime, Count: count}
}

// advance notes that all up to seq was read, the last of it made at a time, and
// reports whether there is more.
func (s *Spool) advance(seq uint64, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.reading, s.lastTime = seq, nil, at
	if len(s.segments) == 0 {
		return false
	}
	last := s.segments[len(s.segments)-1]
	return last.end > s.read
}
