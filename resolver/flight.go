package resolver

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// flights has the questions that are under way to upstreams, so that a question
// that many ask at once is sent once. A family never waits for another's verdict
// here: what is shared is the answer, as in the cache.
type flights struct {
	seed   maphash.Seed
	most   int64        // flights at once
	count  atomic.Int64 // flights under way
	shards [64]struct {
		mu    sync.Mutex // held for one map look-up
		under map[question]*flight
	}
}

// flight is one question under way. e and err are set when done is closed.
type flight struct {
	done chan struct{}
	e    *entry
	err  error
}

func newFlights(most int) *flights {
	f := &flights{seed: maphash.MakeSeed(), most: int64(most)}
	for i := range f.shards {
		f.shards[i].under = map[question]*flight{}
	}
	return f
}

// join returns the flight of k, and starts it with start, in a goroutine of its
// own, where there is none. It returns nil where there are as many as may be.
func (f *flights) join(wg *sync.WaitGroup, k question, start func() (*entry, error)) *flight {
	s := &f.shards[maphash.String(f.seed, string(k.name))%uint64(len(f.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if fl := s.under[k]; fl != nil {
		return fl
	}
	if f.count.Add(1) > f.most {
		f.count.Add(-1)
		return nil
	}
	fl := &flight{done: make(chan struct{})}
	s.under[k] = fl
	wg.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.under, k)
			s.mu.Unlock()
			f.count.Add(-1)
			close(fl.done)
		}()
		fl.e, fl.err = start()
	})
	return fl
}

// fetch asks the upstreams for k, or waits for those who do already. The answer
// is in the cache when the flight is done. ctx is the server's, not the query's:
// an answer that comes too late for who asked is there for the next. It returns
// nil where too much is under way. An answer that another flight brought just
// before is taken, unless anew is set.
func (s *Server) fetch(ctx context.Context, set *settings, k question, anew bool) *flight {
	return s.fetching.join(&s.flights, k, func() (e *entry, err error) {
		defer s.recoverFlight(k, &err)
		if now := s.now(); !anew {
			if e := s.cache.get(k, now); e != nil && e.alive(now) {
				return e, nil
			}
		}
		ctx, cancel := context.WithTimeout(ctx, s.limits.QueryDeadline)
		defer cancel()
		e, err = s.resolve(ctx, set.peersFor(k.name), k)
		if err != nil || e.isFailure() {
			if old := s.cache.get(k, s.now()); old != nil { // a failure does not take its place
				old.fail(s.now())
				return e, err
			}
		}
		switch {
		case err != nil:
		case e.life <= 0 && e.isFinal():
			s.cache.remove(k) // what was true before is not, though what is true now is not to be kept
		default:
			s.cache.put(k, e)
		}
		return e, err
	})
}
