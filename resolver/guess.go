package resolver

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"kinward/policy"
)

// guesses bounds how many tokens that nobody has a network may try. Only what
// fails counts. What was tried from there before does not: a phone that a family
// has removed asks all day with its old token, and must not shut out the others
// in its home; and theirs, which were found, go on while somebody there guesses.
//
// A guess among 2^80 does not succeed at any rate; this keeps guessing from being
// work, and tells of it.
type guesses struct {
	seed   maphash.Seed
	failed *limiter
	seen   [1 << 14]atomic.Uint64 // hashes of network and token
}

const (
	guessBurst = 30
	guessEvery = 10 * time.Second // one more
	guessNets  = 1 << 14
)

func newGuesses() *guesses {
	l := newLimiter(RateLimit{PerSecond: 1, Burst: 1, IPv4Bits: defaultIPv4Bits, IPv6Bits: defaultIPv6Bits, Networks: guessNets})
	l.cost = int64(guessEvery)
	l.burst = guessBurst * l.cost
	return &guesses{seed: maphash.MakeSeed(), failed: l}
}

// Why a token is refused, for the counters.
const (
	tokenUnknown = iota
	tokenLimited
	numTokenRefusals
)

var tokenRefusals = [numTokenRefusals]string{"unknown", "limited"}

// guess is one token from one network.
type guess struct {
	from netip.Addr
	slot *atomic.Uint64
	hash uint64
}

func (g *guesses) of(c policy.Clues) guess {
	var h maphash.Hash
	h.SetSeed(g.seed)
	bits := g.failed.bits4
	from := c.Addr.Unmap().WithZone("")
	if from.Is6() {
		bits = g.failed.bits6
	}
	p, _ := from.Prefix(bits) // no error: the bits are
	b := p.Addr().As16()
	h.Write(b[:])
	for i := range len(c.Token) {
		ch := c.Token[i]
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		h.WriteByte(ch)
	}
	sum := h.Sum64() | 1
	return guess{from, &g.seen[(sum>>32)&uint64(len(g.seen)-1)], sum}
}

// mayTry reports whether a token is looked at.
func (g *guesses) mayTry(t guess, now time.Time) bool {
	return t.slot.Load() == t.hash || !g.failed.spent(proven, t.from, now)
}

// note says whether a token was somebody's.
func (g *guesses) note(t guess, found bool, now time.Time) {
	if t.slot.Load() == t.hash {
		return
	}
	if !found {
		g.failed.take(proven, t.from, now)
	}
	t.slot.Store(t.hash)
}

// spent reports whether a's network has nothing left, and takes nothing.
func (l *limiter) spent(c claim, a netip.Addr, now time.Time) bool {
	h := l.hash(c, a)
	set := &l.sets[(h>>32)&uint64(len(l.sets)-1)]
	for i := range set.owner {
		if set.owner[i].Load() == h {
			at := now.UnixNano()
			full := set.full[i].Load()
			return max(full, at)+l.cost-at > l.burst && !l.ahead(full, at)
		}
	}
	return false
}
