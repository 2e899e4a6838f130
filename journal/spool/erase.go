package spool

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"

	"kinward/policy"
)

// Erase makes what was recorded before the call of those families and profiles
// that match unreadable, in the ring and in segments alike, so that it does not
// come back after a restart either. What is erased already needs no store. It
// must not run while another goroutine reads; where it fails it can be called
// again.
func (s *Spool) Erase(ctx context.Context, match func(policy.FamilyID, policy.ProfileID) bool) error {
	if err := s.erase(ctx, match); err != nil {
		return fmt.Errorf("erasing from the spool: %w", err)
	}
	return nil
}

func (s *Spool) erase(ctx context.Context, match func(policy.FamilyID, policy.ProfileID) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.eraseRing(ctx, match); err != nil {
		return err
	}
	if len(s.segments) > 0 {
		s.active = nil // what comes now goes into another file
	}
	erased := false
	for _, seg := range s.segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		content, err := s.content(seg)
		if err != nil {
			return err
		}
		if !eraseFrames(content[segmentHead:], seg.base, match) {
			continue
		}
		if err := s.replace(seg, content); err != nil {
			return err
		}
		erased = true
	}
	if !erased {
		return nil
	}
	return s.folder.sync()
}

// eraseRing makes pads of what matches in the ring.
func (s *Spool) eraseRing(ctx context.Context, match func(policy.FamilyID, policy.ProfileID) bool) error {
	r := s.ring
	head, tail := r.span()
	for seq := head; seq < tail; {
		off := r.offset(seq)
		kind, size, ok := readWord(r.word(off).Load(), seq)
		if !ok { // somebody is about to finish it; what follows may be from before the call
			if err := ctx.Err(); err != nil {
				return err
			}
			runtime.Gosched()
			continue
		}
		b := r.data[off : off+size : off+size]
		if matches(kind, b, match) {
			clear(b[unit:])
			r.word(off).Store(word(seq, kindPad, size))
		}
		seq += uint64(size / unit)
	}
	return nil
}

// eraseFrames makes pads of the frames in b that match, and reports whether there
// were any.
func eraseFrames(b []byte, seq uint64, match func(policy.FamilyID, policy.ProfileID) bool) (changed bool) {
	for {
		kind, size, _, ok := frameAt(b, seq)
		if !ok {
			return changed
		}
		if matches(kind, b[:size], match) {
			clear(b[unit:size])
			binary.LittleEndian.PutUint64(b, word(seq, kindPad, size))
			changed = true
		}
		b, seq = b[size:], seq+uint64(size/unit)
	}
}

func matches(kind byte, frame []byte, match func(policy.FamilyID, policy.ProfileID) bool) bool {
	switch kind {
	case kindAttempt:
		var a policy.Attempt
		return decode(string(frame[headBytes:]), &a) == nil && match(a.Family, a.Profile)
	case kindTally:
		t, err := decodeTally(string(frame[headBytes:]))
		return err == nil && match(t.Family, t.Profile)
	}
	return false
}
