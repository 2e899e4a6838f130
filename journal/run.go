package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kinward/journal/spool"
	"kinward/policy"
)

// loop is what Run owns while it runs. Its goroutine alone reads the spool and
// merges; one more at a time writes, so that a slow store does not hold up
// merging.
type loop struct {
	*Journal
	m *merger

	flush  *time.Timer // to write what changed, or to try again
	armed  bool        // flush runs
	minute *time.Timer // to end incidents
	ticks  bool        // minute runs; nothing wakes an idle machine

	more     bool      // the spool holds more to read
	pos      uint64    // all up to here is merged
	merged   time.Time // when the last attempt that is merged was
	written  uint64    // the store was told of all up to here
	position uint64    // the write under way takes all up to here

	writing chan error // the result of the write that is under way; nil: none is
	cancel  context.CancelFunc
	began   time.Time     // when it began
	rest    time.Duration // until the next one; see restAfter
	backoff time.Duration // 0: the store takes what it is given
	ended   bool          // incidents have ended whose rows still have their key
	closing time.Time     // the write under way takes the keys before this

	waiters []waiter
	erasing []erasure
	early   uint64 // merger.closedEarly as counted
}

// waiter is a Flush that waits for what was recorded up to seq.
type waiter struct {
	seq    uint64
	answer chan<- error
}

// Run merges and writes until ctx ends; then it reads what is left, writes for at
// most five seconds and returns nil if nothing was left over, or if the spool
// keeps the rest for the next run. It takes up the incidents that a former run
// left open; if the store cannot tell them, it goes on without. It also writes
// when devices were seen last, if [Config] has a store for that. A store that
// fails is tried again, with pauses of up to 30 s; beyond Config.Held changed
// incidents merging waits, and the spool holds what comes. Stop recording before
// ctx ends. Run can run once.
func (j *Journal) Run(ctx context.Context) error {
	if !j.started.CompareAndSwap(false, true) {
		return errors.New("running the journal: it was run already")
	}
	defer close(j.done)
	if j.seenStore != nil {
		kept := make(chan struct{})
		go func() { j.keepSeen(ctx, j.seenStore); close(kept) }()
		defer func() { <-kept }()
	}
	l := &loop{
		Journal: j,
		m:       newMerger(j.open),
		flush:   time.NewTimer(time.Hour),
		minute:  time.NewTimer(time.Hour),
		ended:   true, // a former run may have left keys behind
		more:    true, // or attempts
		pos:     j.spool.Position().Seq,
	}
	l.written = l.pos
	l.flush.Stop()
	l.minute.Stop()
	defer l.flush.Stop()
	defer l.minute.Stop()
	l.load(ctx)
	spooling, stopSpooling := context.WithCancel(context.WithoutCancel(ctx))
	spooled := make(chan struct{})
	go func() { j.spool.Run(spooling); close(spooled) }()
	for ctx.Err() == nil {
		l.step(ctx)
	}
	stopSpooling()
	<-spooled
	return l.stop(ctx)
}

// now and then a step reads at once; otherwise it waits for something to do.
var always = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (l *loop) step(ctx context.Context) {
	l.arm(ctx)
	ready, at := l.spool.Ready(), (<-chan struct{})(nil)
	switch {
	case l.paused():
		ready = nil
	case l.more:
		at = always
	}
	select {
	case <-ready:
		l.read()
	case <-at:
		l.read()
	case answer := <-l.flushes:
		l.waiters = append(l.waiters, waiter{l.spool.Recorded().Seq, answer})
		l.hurry(ctx)
	case e := <-l.erases:
		l.erasing = append(l.erasing, e)
	case <-l.flush.C:
		l.armed = false
		l.write(ctx)
	case err := <-l.writing:
		l.wrote(err)
	case <-l.minute.C:
		l.ticks = false
		l.everyMinute()
	case <-ctx.Done():
	}
}

// paused reports whether merging must wait, because as much waits for the store
// as may.
func (l *loop) paused() bool { return l.m.held() >= l.held }

// read merges what is next, a bounded number of records.
func (l *loop) read() {
	var err error
	l.more, err = l.spool.Read(func(r spool.Record) bool {
		switch {
		case r.Attempt != nil:
			l.add(&r)
		case r.Tally != nil:
			l.m.addTally(r.Tally)
			l.metrics.counted.Add(float64(r.Tally.Queries))
		case r.Loss != nil:
			l.m.losses = append(l.m.losses, *r.Loss)
		}
		return !l.paused()
	}, func(e spool.Encoded) (known, more bool) {
		if !l.m.again(e) {
			return false, true
		}
		l.merged = time.UnixMilli(e.Time)
		l.metrics.merged.Inc()
		return true, !l.paused()
	})
	if err != nil {
		l.log.Error("the spool cannot be read; it is tried again", "error", err)
		l.more = false // the minute tries again, and so does whatever comes
	}
	l.pos = l.spool.Position().Seq
}

func (l *loop) add(r *spool.Record) {
	l.merged = r.Attempt.Time
	switch l.m.add(r.Attempt, r.Encoded) {
	case opened:
		l.metrics.incidents.Inc()
		l.metrics.merged.Inc()
	case merged:
		l.metrics.merged.Inc()
	case quiet:
		l.metrics.quiet.Inc()
	case counted:
		l.metrics.counted.Inc()
	case unkept:
		l.metrics.unkept.Inc()
	}
}

// clock returns the time that attempts are merged at: while old ones are read,
// theirs.
func (l *loop) clock() time.Time {
	if now := l.now(); !l.more || l.merged.IsZero() || l.merged.After(now) {
		return now
	}
	return l.merged
}

// hurry brings to the store what a Flush waits for.
func (l *loop) hurry(ctx context.Context) {
	if len(l.waiters) == 0 {
		return
	}
	if err := l.spool.Pull(); err != nil {
		l.answer(err)
		return
	}
	for l.pos < l.waiters[len(l.waiters)-1].seq && !l.paused() {
		before := l.pos
		if l.read(); l.pos == before {
			break // somebody is about to finish a record; then it is ready
		}
	}
	l.write(ctx)
}

// arm starts what has to happen later, and writes at once where merging waits for it.
func (l *loop) arm(ctx context.Context) {
	if l.writing == nil {
		l.erase(ctx)
		if len(l.waiters) > 0 && l.pos >= l.waiters[0].seq || l.backoff == 0 && l.paused() {
			l.write(ctx)
		}
	}
	if l.writing == nil && !l.armed && (l.m.waits() || l.backoff > 0) {
		l.armed = true
		l.flush.Reset(max(l.flushEvery, l.backoff, l.rest))
	}
	if !l.ticks && (len(l.m.open) > 0 || len(l.m.windows) > 0 || l.pos > l.written || l.ended) {
		l.ticks = true
		l.minute.Reset(minuteEvery)
	}
	l.metrics.openNow.Set(float64(len(l.m.open)))
	l.metrics.unwritten.Set(float64(len(l.m.dirty) + len(l.m.flight)))
	l.metrics.closedEarly.Add(float64(l.m.closedEarly - l.early))
	l.early = l.m.closedEarly
}

// write hands all that changed to the store unless a write is under way. Where
// nothing changed it answers those who wait for a flush.
func (l *loop) write(ctx context.Context) {
	if l.writing != nil {
		return
	}
	if !l.m.waits() && !l.ended && l.backoff == 0 {
		l.answer(nil)
		return
	}
	b := l.take()
	ctx, l.cancel = context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	done := make(chan error, 1)
	l.writing, l.began = done, time.Now()
	go func() { done <- l.store.Write(ctx, b) }() // Run waits for it: see stop
}

// restAfter returns how long the store is left alone after a write that took that
// long, if nobody waits for a flush and there is room to merge. A home's writes take
// milliseconds, so that it sees at once what happens. Where thousands of incidents
// go on at the same time each write takes long, and their rows would be written
// again and again: then a row takes more attempts at once, and writing takes a
// hundredth of the time. Who reads has all the same what is not stored yet: see Flush.
func restAfter(took time.Duration) time.Duration { return min(100*took, maxRest) }

// maxRest is how old what is stored may be under load.
const maxRest = 10 * time.Second

func (l *loop) take() Batch {
	b := l.m.take()
	l.position = l.pos
	b.Position = Position{Spool: l.spool.Position().Spool, Seq: l.pos}
	if l.ended {
		l.closing = fromMillis(l.clock().Add(-Gap - late).UnixMilli())
		b.CloseBefore = l.closing
		l.ended = false
	}
	return b
}

// wrote takes the store's answer to a batch.
func (l *loop) wrote(err error) {
	l.cancel()
	l.writing = nil
	if err == nil {
		l.m.committed()
		l.written = l.position
		l.spool.Committed(l.written)
		if l.backoff > 0 {
			l.log.Info("the store takes incidents again")
		}
		l.backoff, l.closing, l.rest = 0, time.Time{}, restAfter(time.Since(l.began))
		select {
		case l.changes <- struct{}{}:
		default: // it will look anyway
		}
		l.answer(nil)
		return
	}
	l.m.failed()
	l.metrics.storeErrors.Inc()
	l.ended = l.ended || !l.closing.IsZero()
	l.closing = time.Time{}
	if l.backoff == 0 {
		l.log.Error("the store does not take incidents; what comes waits in the spool until it does", "error", err)
		l.backoff = firstBackoff / 2
	}
	l.backoff = min(2*l.backoff, maxBackoff)
	l.answer(err)
}

// answer tells those who wait for a flush: all of them an error, otherwise those
// for whom nothing waits any more.
func (l *loop) answer(err error) {
	stored := l.written
	if !l.m.waits() && l.writing == nil {
		stored = l.pos // the rest of it needs no store
	}
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if err == nil && w.seq > stored {
			kept = append(kept, w)
			continue
		}
		w.answer <- err
	}
	l.waiters = kept
}

// erase forgets what it is asked to. No write is under way, so no batch can bring
// it back.
func (l *loop) erase(ctx context.Context) {
	for _, e := range l.erasing {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eraseTimeout)
		err := l.spool.Erase(ctx, func(f policy.FamilyID, p policy.ProfileID) bool {
			return f == e.family && (e.profile == 0 || p == e.profile)
		})
		cancel()
		l.m.erase(e.family, e.profile)
		e.answer <- err
	}
	l.erasing = nil
}

func (l *loop) everyMinute() {
	if l.m.sweep(l.clock().UnixMilli()) > 0 || l.pos > l.written {
		l.ended = true // what needed no row frees its place in the spool with that
	}
	if l.ended && l.writing == nil && !l.armed {
		l.armed = true
		l.flush.Reset(l.flushEvery)
	}
	l.more = true // in case that reading failed
}

func (l *loop) load(ctx context.Context) {
	// Also where the end comes at once: what is in the spool may belong to them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	since := l.now()
	if err := l.spool.Pull(); err != nil {
		l.log.Error("attempts of an earlier run cannot be written to the spool yet", "error", err)
	}
	if first, err := l.spool.Peek(); err == nil && !first.IsZero() && first.Before(since) {
		since = first
	}
	rows, err := l.store.OpenIncidents(ctx, since.Add(-Gap), l.open)
	if err != nil {
		l.log.Warn("incidents that were open cannot be taken up; they stay as they are", "error", err)
		return
	}
	if bad := l.m.load(rows); bad > 0 {
		l.log.Warn("some incidents that were open cannot be read; they stay as they are", "count", bad)
	}
}

// stop reads and writes what is left, for a bounded time.
func (l *loop) stop(ctx context.Context) error {
	l.stopped.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var err error
	if l.writing != nil {
		var failed error
		select {
		case failed = <-l.writing:
		case <-ctx.Done():
			l.cancel()
			failed = <-l.writing
		}
		l.wrote(failed)
		err = failed
	}
	l.erase(ctx)
	for pause := firstBackoff; ctx.Err() == nil; {
		full := l.spool.Pull() // again after each write, which makes room
		l.more = true
		for l.more && !l.paused() && ctx.Err() == nil {
			l.read()
		}
		if !l.m.waits() && l.pos == l.written {
			err = full
			break
		}
		b := l.take()
		writeCtx, cancelWrite := context.WithCancel(ctx)
		l.cancel = cancelWrite
		failed := l.store.Write(writeCtx, b)
		l.wrote(failed)
		if failed != nil {
			err = fmt.Errorf("writing the last incidents: %w", failed)
			sleep(ctx, pause)
			pause *= 2
		}
	}
	if !l.spool.Lasting() { // what is left ends here: count it
		l.spool.Pull()
		for l.more = true; l.more; {
			l.read()
		}
	}
	lost := l.m.unsaved()
	complete := lost == 0 && !l.more && l.pos >= l.spool.Recorded().Seq
	if complete {
		l.answer(nil)
	}
	l.refuse()
	if !complete && l.spool.Lasting() {
		l.log.Warn("the store did not take all attempts before the end; the next start goes on with them", "error", err)
		err = nil
	} else if lost > 0 {
		l.metrics.lostStopped.Add(float64(lost))
		l.log.Error("attempts were lost: the store did not take them before the end", "count", lost)
	}
	return errors.Join(err, l.spool.Close())
}

// refuse answers what was asked for while Run ended.
func (l *loop) refuse() {
	l.answer(ErrStopped)
	for {
		select {
		case answer := <-l.flushes:
			answer <- ErrStopped
		case e := <-l.erases:
			e.answer <- ErrStopped
		default:
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
