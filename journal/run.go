package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kinward/policy"
)

// loop is what Run owns while it runs. Its goroutine alone merges; one more at a
// time writes, so that a slow store does not hold up merging.
type loop struct {
	*Journal
	m *merger

	flush  *time.Timer // to write what changed, or to try again
	armed  bool        // flush runs
	minute *time.Timer // to end incidents and to report losses
	ticks  bool        // minute runs; nothing wakes an idle machine

	writing chan error // the result of the write that is under way; nil: none is
	cancel  context.CancelFunc
	backoff time.Duration // 0: the store takes what it is given
	ended   bool          // incidents have ended whose rows still have their key
	closing time.Time     // the write under way takes the keys before this

	waiters   []waiter
	storeLost uint64 // not yet reported in the log
	early     uint64 // merger.closedEarly as counted
}

// waiter is a Flush that waits for the changes numbered up to seq.
type waiter struct {
	seq    uint64
	answer chan<- error
}

// Run merges and writes until ctx ends; then it drains the queue, writes for at
// most five seconds and returns nil if nothing was left over. It takes up the
// incidents that a former run left open; if the store cannot tell them, it goes
// on without. It also writes when devices were seen last, if [Config] has a store
// for that. A store that fails is tried again, with pauses of up to 30 s,
// while incidents wait in memory; attempts beyond Config.Queue incidents are
// counted as lost. Stop recording before ctx ends. Run can run once.
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
		m:       newMerger(j.open, j.limit),
		flush:   time.NewTimer(time.Hour),
		minute:  time.NewTimer(time.Hour),
		ended:   true, // a former run may have left keys behind
	}
	l.flush.Stop()
	l.minute.Stop()
	defer l.flush.Stop()
	defer l.minute.Stop()
	l.load(ctx)
	for {
		l.arm(ctx)
		in := l.queue
		if l.paused() {
			in = nil
		}
		select {
		case a := <-in:
			l.add(&a)
			l.drain(len(l.queue), false)
		case answer := <-l.flushes:
			l.drain(len(l.queue), true)
			l.waiters = append(l.waiters, waiter{l.m.seq, answer})
			l.write(ctx)
		case <-l.flush.C:
			l.armed = false
			l.write(ctx)
		case err := <-l.writing:
			l.written(err)
			if len(l.waiters) > 0 || l.backoff == 0 && len(l.m.dirty) >= maxBatch {
				l.write(ctx)
			}
		case <-l.minute.C:
			l.ticks = false
			l.everyMinute()
		case <-ctx.Done():
			return l.stop(ctx)
		}
	}
}

// paused reports whether the queue must wait, because the store is working and
// as much waits for it as may.
func (l *loop) paused() bool {
	return l.writing != nil && l.backoff == 0 && l.m.held() >= l.limit
}

// drain merges up to n attempts that wait in the queue.
func (l *loop) drain(n int, always bool) {
	for range n {
		if !always && l.paused() {
			return
		}
		select {
		case a := <-l.queue:
			l.add(&a)
		default:
			return
		}
	}
}

func (l *loop) add(a *policy.Attempt) {
	switch l.m.add(a, l.backoff > 0) {
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
	case shed:
		l.metrics.lostStore.Inc()
		l.storeLost++
	}
}

// arm starts what has to happen later, and writes at once where a whole batch
// waits.
func (l *loop) arm(ctx context.Context) {
	if l.writing == nil && l.backoff == 0 && len(l.m.dirty) >= maxBatch {
		l.write(ctx)
	}
	if l.writing == nil && !l.armed && (l.m.waits() || l.backoff > 0) {
		l.armed = true
		l.flush.Reset(max(l.flushEvery, l.backoff))
	}
	if !l.ticks && (len(l.m.open) > 0 || len(l.m.windows) > 0 || l.storeLost > 0 || l.queueLost.Load() > 0 || l.ended) {
		l.ticks = true
		l.minute.Reset(minuteEvery)
	}
	l.metrics.openNow.Set(float64(len(l.m.open)))
	l.metrics.unwritten.Set(float64(l.m.held()))
	l.metrics.closedEarly.Add(float64(l.m.closedEarly - l.early))
	l.early = l.m.closedEarly
}

// write hands a batch to the store unless one is under way. Where nothing
// changed it answers those who wait for a flush.
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
	l.writing = done
	go func() { done <- l.store.Write(ctx, b) }() // Run waits for it: see stop
}

func (l *loop) take() Batch {
	b := l.m.take(maxBatch)
	if l.ended {
		l.closing = fromMillis(l.now().Add(-Gap - late).UnixMilli())
		b.CloseBefore = l.closing
		l.ended = false
	}
	return b
}

// written takes the store's answer to a batch.
func (l *loop) written(err error) {
	l.cancel()
	l.writing = nil
	if err == nil {
		l.m.committed()
		if l.backoff > 0 {
			l.log.Info("the store takes incidents again")
		}
		l.backoff, l.closing = 0, time.Time{}
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
		l.log.Error("the store does not take incidents; they wait in memory until it does", "error", err)
		l.backoff = firstBackoff / 2
	}
	l.backoff = min(2*l.backoff, maxBackoff)
	l.answer(err)
}

// answer tells those who wait for a flush: all of them an error, otherwise those
// whose changes the store has.
func (l *loop) answer(err error) {
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if err == nil && l.m.misses(w.seq) {
			kept = append(kept, w)
			continue
		}
		w.answer <- err
	}
	l.waiters = kept
}

func (l *loop) everyMinute() {
	if l.m.sweep(l.now().UnixMilli()) > 0 {
		l.ended = true
	}
	if l.ended && l.writing == nil && !l.armed {
		l.armed = true
		l.flush.Reset(l.flushEvery)
	}
	l.report()
}

// report logs what was lost since the last report.
func (l *loop) report() {
	if n := l.queueLost.Swap(0); n > 0 {
		l.log.Warn("attempts were lost: they came faster than they could be merged", "count", n)
	}
	if n := l.storeLost; n > 0 {
		l.log.Warn("attempts were lost: the store is away and too many incidents wait for it", "count", n)
		l.storeLost = 0
	}
}

func (l *loop) load(ctx context.Context) {
	// Also where the end comes at once: what is in the queue may belong to them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	defer cancel()
	rows, err := l.store.OpenIncidents(ctx, l.now().Add(-Gap), l.open)
	if err != nil {
		l.log.Warn("incidents that were open cannot be taken up; they stay as they are", "error", err)
		return
	}
	if bad := l.m.load(rows); bad > 0 {
		l.log.Warn("some incidents that were open cannot be read; they stay as they are", "count", bad)
	}
}

// stop drains and writes, for a bounded time.
func (l *loop) stop(ctx context.Context) error {
	l.stopped.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	l.drain(len(l.queue), true)
	var err error
	if l.writing != nil {
		select {
		case err = <-l.writing:
		case <-ctx.Done():
			l.cancel()
			err = <-l.writing
		}
		l.written(err)
	}
	for pause := firstBackoff; l.m.waits() && ctx.Err() == nil; {
		b := l.take()
		writeCtx, cancelWrite := context.WithCancel(ctx)
		l.cancel = cancelWrite
		if err = l.store.Write(writeCtx, b); err != nil {
			err = fmt.Errorf("writing the last incidents: %w", err)
		}
		l.written(err)
		if err != nil {
			sleep(ctx, pause)
			pause *= 2
		}
	}
	lost := l.m.unsaved()
	l.metrics.lostStopped.Add(float64(lost))
	l.report()
	if lost == 0 {
		l.answer(nil)
		l.refuse()
		return nil
	}
	l.answer(ErrStopped)
	l.refuse()
	l.log.Error("attempts were lost: the store did not take them before the end", "count", lost)
	return err
}

// refuse answers flushes that were asked for while Run ended.
func (l *loop) refuse() {
	for {
		select {
		case answer := <-l.flushes:
			answer <- ErrStopped
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
