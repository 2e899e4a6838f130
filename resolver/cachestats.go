package resolver

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kinward/blocklists"
)

// CacheStats says what the cache holds, and what it did since the start.
type CacheStats struct {
	Entries    int    `json:"entries"`
	Bytes      int    `json:"bytes"`
	Budget     int64  `json:"budget"` // bytes
	Hits       uint64 `json:"hits"`
	Misses     uint64 `json:"misses"`
	Stale      uint64 `json:"stale"`      // given out after their end, for want of new ones
	Prefetched uint64 `json:"prefetched"` // asked for anew before their end
	Evicted    uint64 `json:"evicted"`    // let go to make room
}

// CacheStats returns the figures of the cache.
func (s *Server) CacheStats() CacheStats {
	entries, bytes := s.cache.usage()
	return CacheStats{
		Entries: entries, Bytes: bytes, Budget: s.cache.most(),
		Hits: s.metrics.lanes.hits(), Misses: s.metrics.lanes.misses(),
		Stale: counted(s.metrics.stale), Prefetched: counted(s.metrics.prefetched), Evicted: s.cache.evicted.Load(),
	}
}

func counted(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}

// FlushName forgets the answers for a name, and for all below it where below is
// set. It returns how many there were. Answers on their way are kept when they
// come.
func (s *Server) FlushName(n blocklists.Name, below bool) int { return s.cache.flushName(n, below) }
