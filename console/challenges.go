package console

import (
	"sync"
	"time"
)

// challenges remembers what was signed, so that nobody shows the same again. Only
// what was sealed here comes this far, and it is forgotten when the seal's time is
// over.
type challenges struct {
	mu   sync.Mutex
	now  func() time.Time
	used map[string]time.Time
}

// maxChallenges bounds what is remembered. Where it is full, nobody is let in by
// passkey until some are over: better than twice by the same.
const maxChallenges = 1 << 14

func newChallenges(now func() time.Time) *challenges {
	return &challenges{now: now, used: map[string]time.Time{}}
}

// use returns false where a challenge was used before.
func (c *challenges) use(challenge string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if _, ok := c.used[challenge]; ok {
		return false
	}
	if len(c.used) >= maxChallenges {
		for k, at := range c.used {
			if now.Sub(at) > ceremonyLife {
				delete(c.used, k)
			}
		}
	}
	if len(c.used) >= maxChallenges {
		return false
	}
	c.used[challenge] = now
	return true
}
