package resolver

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"kinward/blocklists"
)

const (
	maxShards = 256
	// minShardBytes keeps a shard larger than the largest answer, so that one
	// answer never empties several.
	minShardBytes = 256 << 10
	// entryOverhead is what an entry costs besides its bytes: the LRU's list
	// element and map slot (about 118 bytes, measured), the key, the entry and
	// its slices' headers.
	entryOverhead = 400
)

// cache keeps answers for everybody. It knows nothing of families: what is in
// it was asked by anyone, and whether the next asker may have it is decided
// each time.
//
// A shard has its own mutex, held for one map look-up.
type cache struct {
	seed   maphash.Seed
	shards []shard
	budget int // bytes a shard

	evicted atomic.Uint64
}

type shard struct {
	mu sync.Mutex
	// An answer begins on trial, and is proven when it is used again. Random names
	// asked for by the thousand only push out each other (scan resistance).
	trial, proven segment
	_             [24]byte // no two shards' locks on one cache line
}

// segment is a part of a shard, in the order of the latest use.
type segment struct {
	lru   *simplelru.LRU[question, *entry]
	bytes int
}

func newSegment() segment {
	// The count is not what bounds a segment; the only error is a count below 1.
	l, _ := simplelru.NewLRU[question, *entry](math.MaxInt, nil)
	return segment{lru: l}
}

func (s *segment) add(k question, e *entry) {
	s.lru.Add(k, e)
	s.bytes += e.size()
	e.gone.Store(false)
}

func (s *segment) remove(k question) {
	if e, ok := s.lru.Peek(k); ok {
		s.lru.Remove(k)
		s.bytes -= e.size()
		e.gone.Store(true)
	}
}

func (s *segment) removeOldest() (question, *entry, bool) {
	k, e, ok := s.lru.RemoveOldest()
	if ok {
		s.bytes -= e.size()
		e.gone.Store(true)
	}
	return k, e, ok
}

// provenShare is the part of a shard, in percent, that answers which were used
// again may take.
const provenShare = 80

// newCache makes a cache that holds about the given number of bytes.
func newCache(bytes int64) *cache {
	n := 1
	for n < maxShards && bytes/int64(2*n) >= minShardBytes {
		n *= 2
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n), budget: int(bytes / int64(n))}
	for i := range c.shards {
		c.shards[i].trial, c.shards[i].proven = newSegment(), newSegment()
	}
	return c
}

func (c *cache) shard(k question) *shard {
	h := maphash.String(c.seed, string(k.name)) + uint64(k.qtype)
	return &c.shards[h&uint64(len(c.shards)-1)]
}

// get returns the entry for k, nil if there is none. It may be over: see
// [entry.alive]. What is too old to be of any use is let go of.
func (c *cache) get(k question, now time.Time) *entry {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, proven := s.proven.lru.Get(k)
	if !proven {
		var ok bool
		if e, ok = s.trial.lru.Peek(k); !ok {
			return nil
		}
	}
	if !e.useful(now) {
		s.remove(k)
		return nil
	}
	e.touched.Store(now.Unix())
	if !proven {
		s.trial.remove(k)
		s.proven.add(e.key, e) // k's name may not last
		for s.proven.bytes > c.budget*provenShare/100 {
			k, e, ok := s.proven.removeOldest()
			if !ok {
				break
			}
			s.trial.add(k, e) // another chance, before those that were never used
		}
	}
	return e
}

// put keeps e for as long as it may be of use, and lets go of what was used
// longest ago where there is no room.
func (c *cache) put(k question, e *entry) {
	size := e.size()
	if e.life <= 0 || size > c.budget {
		return
	}
	e.key = k
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &s.trial
	if _, ok := s.proven.lru.Peek(k); ok { // a newer answer to what is asked often
		in = &s.proven
	}
	s.remove(k)
	in.add(k, e)
	for s.trial.bytes+s.proven.bytes > c.budget {
		if _, _, ok := s.trial.removeOldest(); !ok {
			s.proven.removeOldest()
		}
		c.evicted.Add(1)
	}
}

// remove lets go of the entry for k.
func (c *cache) remove(k question) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(k)
}

func (s *shard) remove(k question) {
	s.trial.remove(k)
	s.proven.remove(k)
}

// flushName forgets the answers for a name, and for the names below it where
// below is set. It returns how many there were.
func (c *cache) flushName(n blocklists.Name, below bool) (gone int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, part := range [...]*segment{&s.trial, &s.proven} {
			for _, k := range part.lru.Keys() {
				if k.name == n || below && k.name.IsBelow(n) {
					part.remove(k)
					gone++
				}
			}
		}
		s.mu.Unlock()
	}
	return gone
}

// most returns the bytes that the cache may take.
func (c *cache) most() int64 { return int64(c.budget) * int64(len(c.shards)) }

// usage returns how many entries there are and the bytes they take.
func (c *cache) usage() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries += s.trial.lru.Len() + s.proven.lru.Len()
		bytes += s.trial.bytes + s.proven.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
