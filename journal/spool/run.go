package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errFull is why the ring is not emptied: the segments have reached their cap,
// and all of them are needed.
var errFull = errors.New("the spool has reached its cap, and the store does not take what is in it")

// Run brings what is recorded to segments and those to the disk until ctx ends.
// An error of the disk is logged and tried again with pauses of up to 30 s;
// meanwhile the ring holds what it can. Nothing wakes an idle spool.
func (s *Spool) Run(ctx context.Context) {
	if m, ok := s.ring.keep.(*mapped); ok && m != nil {
		defer time.AfterFunc(populateAfter, m.populate).Stop()
	}
	look := time.NewTimer(time.Hour) // when to look at the ring again
	look.Stop()
	defer look.Stop()
	sync := time.NewTimer(time.Hour)
	sync.Stop()
	defer sync.Stop()
	armed, backoff := false, time.Duration(0)
	var syncing chan error
	defer func() {
		if syncing != nil {
			<-syncing
		}
	}()
	for {
		head, _ := s.ring.span()
		err := s.pull(false)
		now, tail := s.ring.span()
		switch {
		case err != nil:
			s.stats.errors.Add(1)
			if backoff == 0 {
				s.log.Error("attempts cannot be written to the spool; they wait in memory", "error", err)
				backoff = firstBackoff / 2
			}
			backoff = min(2*backoff, maxBackoff)
			look.Reset(backoff)
		case now != head:
			if backoff > 0 {
				s.log.Info("attempts are written to the spool again")
			}
			backoff = 0
			look.Reset(linger)
		case now != tail: // somebody is about to finish a frame
			look.Reset(time.Millisecond)
		case s.ring.shared.lost.Load() > 0:
			look.Reset(lossEvery)
		default:
			s.asleep.Store(true)
			if _, tail := s.ring.span(); tail != now && s.asleep.CompareAndSwap(true, false) {
				continue // it came before the flag was up
			}
		}
		if !armed && syncing == nil && s.isDirty() {
			armed = true
			sync.Reset(s.syncEvery)
		}
		select {
		case <-s.wake:
		case <-look.C:
		case <-sync.C:
			armed = false
			syncing = make(chan error, 1)
			go func() { syncing <- s.sync() }()
		case err := <-syncing:
			syncing = nil
			if err != nil {
				s.stats.errors.Add(1)
				s.log.Error("the spool cannot be brought to the disk: a loss of power would lose what is not in the store yet", "error", err)
			}
		case <-ctx.Done():
			s.asleep.Store(false)
			return
		}
	}
}

// Pull writes what was recorded to segments now, so that it can be read.
func (s *Spool) Pull() error { return s.pull(true) }

// pull empties the ring as far as it is ready. A loss is told now and then, at
// once if always.
func (s *Spool) pull(always bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := false
	defer func() {
		if moved {
			s.stats.bytes.Store(uint64(s.bytes))
			select {
			case s.ready <- struct{}{}:
			default:
			}
		}
	}()
	for {
		if s.ring.shared.lost.Load() > 0 && (always || time.Since(s.toldLoss) >= lossEvery) {
			if l, ok := s.ring.tellLoss(); ok { // otherwise there will be room soon
				s.toldLoss = time.Now()
				s.log.Warn("attempts were lost: there was no room for them", "count", l.Count, "from", l.From, "until", l.Until)
			}
		}
		b, _ := s.ring.ready(max(min(readBytes, int(s.fullAt)), maxFrame))
		if len(b) == 0 {
			return nil
		}
		if err := s.write(b); err != nil {
			return err
		}
		s.ring.free(len(b))
		moved = true
	}
}

// write appends a stretch of the stream to the segments.
func (s *Spool) write(b []byte) error {
	head, _ := s.ring.span()
	if s.active != nil && s.active.bytes+int64(len(b)) > max(s.fullAt, segmentHead+int64(len(b))) {
		s.active = nil
	}
	need := int64(len(b))
	if s.active == nil {
		need += segmentHead
	}
	if s.bytes+need > s.diskBytes && !s.shed(need) {
		return errFull
	}
	if s.active == nil {
		seg, err := s.folder.create(head, segmentHeader(s.id, head, 0))
		if err != nil {
			return fmt.Errorf("making a segment: %w", err)
		}
		s.segments, s.active = append(s.segments, seg), seg
		s.bytes += seg.bytes
	}
	seg := s.active
	if _, err := seg.f.WriteAt(b, seg.bytes); err != nil {
		if cut := seg.f.Truncate(seg.bytes); cut != nil || !errors.Is(err, syscall.ENOSPC) {
			s.active = nil // who knows what is in it: the next try takes another file
		}
		if seg.end == seg.base { // nothing is in it, and its name will be needed
			s.segments = s.segments[:len(s.segments)-1]
			s.drop(seg)
		}
		return fmt.Errorf("writing a segment: %w", err)
	}
	if len(s.dirty) == 0 || s.dirty[len(s.dirty)-1] != seg {
		s.dirty = append(s.dirty, seg)
	}
	seg.bytes += int64(len(b))
	seg.end += uint64(len(b) / unit)
	s.bytes += int64(len(b))
	return nil
}

func (s *Spool) isDirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dirty) > 0
}

// sync brings to the disk what was written, as far as the store does not have
// it. A segment that the disk would not take is not written to again.
func (s *Spool) sync() error {
	s.mu.Lock()
	type written struct {
		seg *segment
		f   file // the segment's own may be another meanwhile, which was synced when it was made
	}
	var list []written
	var unnamed []*segment
	for _, seg := range s.dirty {
		if seg.end > s.committed {
			list = append(list, written{seg, seg.f})
			if !seg.synced {
				unnamed = append(unnamed, seg)
			}
		}
	}
	s.dirty = nil
	s.mu.Unlock()
	var errs []error
	for _, w := range list {
		if err := w.f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // closed: the store has it meanwhile
			errs = append(errs, err)
			s.mu.Lock()
			if s.active == w.seg {
				s.active = nil
			}
			s.mu.Unlock()
		}
	}
	if len(unnamed) > 0 {
		err := s.folder.sync()
		s.mu.Lock()
		for _, seg := range unnamed {
			seg.synced = err == nil
		}
		s.mu.Unlock()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
