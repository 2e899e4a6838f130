package resolver

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
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
	mu    sync.Mutex
	lru   *simplelru.LRU[question, *entry]
	bytes int
	_     [40]byte // no two shards' locks on one cache line
}

// newCache makes a cache that holds about the given number of bytes.
func newCache(bytes int64) *cache {
	n := 1
	for n < maxShards && bytes/int64(2*n) >= minShardBytes {
		n *= 2
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n), budget: int(bytes / int64(n))}
	for i := range c.shards {
		// The count is not what bounds a shard; the only error is a count below 1.
		c.shards[i].lru, _ = simplelru.NewLRU[question, *entry](math.MaxInt, nil)
	}
	return c
}

func (c *cache) shard(k question) *shard {
	h := maphash.String(c.seed, string(k.name)) + uint64(k.qtype)
	return &c.shards[h&uint64(len(c.shards)-1)]
}

// get returns the live entry for k, nil if there is none.
func (c *cache) get(k question, now time.Time) *entry {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.lru.Get(k)
	if !ok {
		return nil
	}
	if !e.alive(now) {
		s.remove(k, e)
		return nil
	}
	return e
}

// put keeps e for as long as it may live, and lets go of what was used longest
// ago where there is no room.
func (c *cache) put(k question, e *entry) {
	size := e.size()
	if e.life <= 0 || size > c.budget {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.lru.Peek(k); ok {
		s.remove(k, old)
	}
	s.lru.Add(k, e)
	s.bytes += size
	for s.bytes > c.budget {
		_, old, _ := s.lru.RemoveOldest()
		s.bytes -= old.size()
		c.evicted.Add(1)
	}
}

func (s *shard) remove(k question, e *entry) {
	s.lru.Remove(k)
	s.bytes -= e.size()
}

// flush forgets everything.
func (c *cache) flush() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.lru.Purge()
		s.bytes = 0
		s.mu.Unlock()
	}
}

// usage returns how many entries there are and the bytes they take.
func (c *cache) usage() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries += s.lru.Len()
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
