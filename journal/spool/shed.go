package spool

import (
	"errors"
	"fmt"
	"io"
	"time"

	"kinward/policy"
)

// TryWindow is how long look-ups count as one try. A page or an app asks A, AAAA
// and HTTPS of several names at once, and a stub resolver that dislikes the answer
// asks again within 5 s (resolv.conf's default timeout).
const TryWindow = 5 * time.Second

// shed makes room for need bytes under the cap. The oldest segments lose their
// details first: of their attempts the numbers a day stay. Where that is not
// enough the oldest goes whole, and is told as a loss unless the reader has it
// in memory. What is being read, and what is being written, stays.
func (s *Spool) shed(need int64) bool {
	if need > s.diskBytes {
		return false
	}
	for _, seg := range s.segments {
		if s.bytes+need <= s.diskBytes {
			return true
		}
		if !s.spare(seg) || seg.condensed {
			continue
		}
		if err := s.condense(seg); err != nil {
			s.stats.errors.Add(1)
			s.log.Error("a segment of the spool cannot be made smaller", "error", err)
		}
	}
	for i := 0; i < len(s.segments) && s.bytes+need > s.diskBytes; i++ {
		seg := s.segments[i]
		if !s.spare(seg) || seg.bytes <= tombstoneBytes {
			continue
		}
		if err := s.lose(seg); err != nil {
			s.stats.errors.Add(1)
			s.log.Error("a segment of the spool cannot be dropped", "error", err)
			return false
		}
		if i > 0 && s.spare(s.segments[i-1]) && s.segments[i-1].buried && (s.segments[i-1].base >= s.read) == (seg.base >= s.read) {
			if err := s.join(i - 1); err != nil {
				return false
			}
			i--
		}
	}
	return s.bytes+need <= s.diskBytes
}

// tombstoneBytes is what is left of a segment that went whole: that it did.
const tombstoneBytes = segmentHead + (headBytes+3*8+unit-1)/unit*unit

// spare reports whether seg may be changed: it is not written to, and read not at
// all, or whole without that the store has a part of it: places in it would mean
// something else to the next process.
func (s *Spool) spare(seg *segment) bool {
	return seg != s.active && seg != s.reading && (seg.base >= s.read || seg.end <= s.read && seg.base >= s.committed)
}

// frames calls each for the sound frames of a segment.
func (s *Spool) frames(seg *segment, each func(seq uint64, kind byte, frame, payload []byte)) error {
	content, err := s.content(seg)
	if err != nil {
		return err
	}
	for seq, b := seg.base, content[segmentHead:]; ; {
		kind, size, payload, ok := frameAt(b, seq)
		if !ok {
			return nil
		}
		each(seq, kind, b[:size], payload)
		b, seq = b[size:], seq+uint64(size/unit)
	}
}

func (s *Spool) content(seg *segment) ([]byte, error) {
	b := make([]byte, max(seg.bytes, segmentHead))
	n, err := seg.f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a segment: %w", err)
	}
	if n < segmentHead {
		return nil, errors.New("reading a segment: it has no header")
	}
	return b[:n], nil
}

// condense leaves of a segment how many attempts there were of each profile and
// category on each day, and what was lost.
func (s *Spool) condense(seg *segment) error {
	type of struct {
		family   policy.FamilyID
		profile  policy.ProfileID
		category uint8
		day      int64
	}
	tallies, windows := map[of]*Tally{}, map[of]time.Time{}
	var order []*Tally
	var losses []Loss
	err := s.frames(seg, func(_ uint64, kind byte, _, payload []byte) {
		switch kind {
		case kindLoss:
			if l, err := decodeLoss(string(payload)); err == nil {
				losses = append(losses, l)
			}
		case kindAttempt:
			var a policy.Attempt
			if decode(string(payload), &a) != nil || a.Verdict.Quiet || a.Verdict.Action == policy.Allow || a.Verdict.Keep == policy.KeepNothing {
				return
			}
			day := a.Time.Unix() / (24 * 60 * 60)
			k := of{a.Family, a.Profile, uint8(a.Verdict.Label.Category), day}
			t := tallies[k]
			if t == nil {
				t = &Tally{Family: a.Family, Profile: a.Profile, Category: a.Verdict.Label.Category, Day: day}
				tallies[k] = t
				order = append(order, t)
			}
			if w, ok := windows[k]; !ok || a.Time.Sub(w).Abs() >= TryWindow {
				windows[k] = a.Time
				t.Tries++
			}
			t.Queries++
		}
	})
	if err != nil {
		return err
	}
	b := segmentHeader(s.id, seg.base, seg.end)
	place := func() uint64 { return seg.base + uint64(len(b)-segmentHead)/unit }
	for _, t := range order {
		b = appendFrame(b, place(), kindTally, t.encode(nil))
	}
	for _, l := range losses {
		b = appendFrame(b, place(), kindLoss, l.encode(nil))
	}
	if place() > seg.end || int64(len(b)) >= seg.bytes {
		seg.condensed = true // there is nothing to win
		return nil
	}
	if err := s.replace(seg, b); err != nil {
		return err
	}
	seg.condensed = true
	if time.Since(s.toldShed) >= time.Minute {
		s.toldShed = time.Now()
		s.log.Warn("the spool is full: of its oldest attempts only numbers are kept; this is said once a minute")
	}
	return s.folder.sync()
}

// replace writes a segment anew. What is kept of it in memory, and the folder, is the
// caller's.
func (s *Spool) replace(seg *segment, content []byte) error {
	before := seg.bytes
	err := s.folder.replace(seg, content)
	s.bytes += seg.bytes - before
	return err
}

// lose leaves of a segment what went with it. Where it was read already that is
// told only if the process is killed before the store has it.
func (s *Spool) lose(seg *segment) error {
	l, before, err := s.holds(seg)
	if err != nil {
		l = Loss{From: s.lastTime, Until: s.lastTime, Count: (seg.end - seg.base) * unit / smallestFrame}
	}
	if err := s.bury(seg, seg.end, l); err != nil {
		return err
	}
	if seg.end > s.read {
		s.stats.shed.Add(l.Count - before)
		s.log.Error("attempts were lost: the spool is full, and its oldest segment had to go", "count", l.Count)
	}
	return s.folder.sync()
}

// bury leaves of a segment that something went with it. The folder is the caller's.
func (s *Spool) bury(seg *segment, end uint64, l Loss) error {
	err := s.replace(seg, appendFrame(segmentHeader(s.id, seg.base, end), seg.base, kindLoss, l.encode(nil)))
	if err != nil {
		return err
	}
	seg.end, seg.condensed, seg.buried = end, true, true
	return nil
}

// join makes one of two tombstones that follow each other, the first of which is
// number i.
func (s *Spool) join(i int) error {
	first, second := s.segments[i], s.segments[i+1]
	a, _, err := s.holds(first)
	if err != nil {
		return err
	}
	b, _, err := s.holds(second)
	if err != nil {
		return err
	}
	if err := s.bury(first, second.end, a.and(b)); err != nil {
		return err
	}
	err = s.folder.sync() // before the second goes
	s.segments = append(s.segments[:i+1], s.segments[i+2:]...)
	s.drop(second)
	return err
}

func (l Loss) and(m Loss) Loss {
	if l.Count == 0 {
		return m
	}
	if m.From.Before(l.From) {
		l.From = m.From
	}
	if m.Until.After(l.Until) {
		l.Until = m.Until
	}
	l.Count += m.Count
	return l
}

// holds returns what would be lost with a segment, and how many of them were lost,
// and counted, before they came into it.
func (s *Spool) holds(seg *segment) (all Loss, before uint64, err error) {
	err = s.frames(seg, func(_ uint64, kind byte, _, payload []byte) {
		switch kind {
		case kindAttempt:
			var a policy.Attempt
			if decode(string(payload), &a) == nil {
				all = all.and(Loss{From: a.Time, Until: a.Time, Count: 1})
			}
		case kindTally:
			if t, err := decodeTally(string(payload)); err == nil {
				day := time.Unix(t.Day*24*60*60, 0).UTC()
				all = all.and(Loss{From: day, Until: day.Add(24*time.Hour - time.Second), Count: t.Queries})
			}
		case kindLoss:
			if l, err := decodeLoss(string(payload)); err == nil {
				all = all.and(l)
				before += l.Count
			}
		}
	})
	return all, before, err
}
