package resolver

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"kinward/policy"
)

// Unknown is a device of a family that it has not named.
type Unknown struct {
	Family policy.FamilyID
	Addr   netip.Addr // private or link-local, or none
	MAC    policy.MAC // zero where none is known
	Last   time.Time  // when it last asked, to the minute
}

// unknowns remembers devices that no family has named, so that a guardian finds
// them. It is kept in memory alone, tells no more than that a device is there,
// and takes no lock but for a device's first question in a minute. Public
// addresses are not kept: there it is the home that asks, and not a device.
type unknowns struct {
	seed maphash.Seed
	seen [4096]atomic.Uint64 // the hash of a device, its minute added

	mu       sync.Mutex
	all      *simplelru.LRU[unknownKey, time.Time] // the latest of all families
	families map[policy.FamilyID]*simplelru.LRU[unknownKey, struct{}]
}

type unknownKey struct {
	family policy.FamilyID
	addr   netip.Addr
	mac    policy.MAC
}

const (
	maxUnknown          = 4096
	maxUnknownPerFamily = 256
)

func newUnknowns() *unknowns {
	u := &unknowns{seed: maphash.MakeSeed(), families: map[policy.FamilyID]*simplelru.LRU[unknownKey, struct{}]{}}
	u.all, _ = simplelru.NewLRU[unknownKey, time.Time](maxUnknown, func(k unknownKey, _ time.Time) { // the only error is a size below 1
		own := u.families[k.family]
		own.Remove(k)
		if own.Len() == 0 {
			delete(u.families, k.family)
		}
	})
	return u
}

// note remembers who asks, if it is a device that its family has not named.
func (u *unknowns) note(q *query) {
	k := unknownKey{family: q.asker.Family, mac: q.clues.MAC}
	if a := q.client().WithZone(""); (!q.clues.Relayed || q.clues.Host.IsValid()) && (a.IsPrivate() || a.IsLinkLocalUnicast()) {
		k.addr = a
	}
	if k.mac == (policy.MAC{}) && !k.addr.IsValid() {
		return
	}
	minute := q.now.Unix() / 60
	h := maphash.Comparable(u.seed, k)
	at := &u.seen[h%uint64(len(u.seen))]
	if stamp := h + uint64(minute); at.Swap(stamp) != stamp {
		u.keep(k, time.Unix(minute*60, 0))
	}
}

// keep notes a device. Where there is no room the one that has not asked for the
// longest time is forgotten, of the same family first.
func (u *unknowns) keep(k unknownKey, minute time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	own := u.families[k.family]
	if own != nil && own.Len() >= maxUnknownPerFamily && !own.Contains(k) {
		oldest, _, _ := own.GetOldest()
		u.all.Remove(oldest)
	}
	if own = u.families[k.family]; own == nil {
		own, _ = simplelru.NewLRU[unknownKey, struct{}](maxUnknownPerFamily, nil)
		u.families[k.family] = own
	}
	own.Add(k, struct{}{})
	u.all.Add(k, minute)
}

// Unknown returns the devices that asked for a family since the start and that it
// has not named until now, the latest first.
func (s *Server) Unknown(family policy.FamilyID) []Unknown {
	directory, now := s.state().Directory, s.now()
	s.unknown.mu.Lock()
	defer s.unknown.mu.Unlock()
	out := []Unknown{}
	own := s.unknown.families[family]
	if own == nil {
		return out
	}
	for _, k := range own.Keys() {
		t, _ := s.unknown.all.Peek(k)
		if a, ok := directory.IdentifyIn(family, policy.Clues{Addr: k.addr, MAC: k.mac}, now); !ok || a.Device == 0 {
			out = append(out, Unknown{k.family, k.addr, k.mac, t})
		}
	}
	slices.SortFunc(out, func(a, b Unknown) int {
		return cmp.Or(b.Last.Compare(a.Last), a.Addr.Compare(b.Addr), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	return out
}
