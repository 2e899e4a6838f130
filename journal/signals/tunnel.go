package signals

import (
	_ "embed"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// What looks like a tunnel, within an hour, of one device, below one registrable
// domain. The known programs poll their server even when idle: iodine every 4 s by
// default, so 900 times an hour; a page that loads takes hundreds of questions.
const (
	longPayload = 30  // bytes left of the registrable domain that are worth encoding data in
	manyNames   = 400 // different ones
	manyOdd     = 600 // questions for TXT, NULL and the like
	someNames   = 200 // different ones, where so many of those come

	halfHour = 1800 // seconds: two of these halves are the hour that counts
	tellOnce = 48   // half hours: at most one a day

	mostLabels = 6 // of a registrable domain that is looked for; no public suffix has more than five

	ways     = 4
	shards   = 64
	maxCells = 4096 // pairs of device and domain: 0.7 MB
	maxFound = 64
)

// Found is a device that asks as if it sent data inside its questions.
type Found struct {
	At      time.Time
	Family  policy.FamilyID
	Profile policy.ProfileID
	Device  policy.DeviceID
	Client  string          // an unknown device's private address
	Domain  blocklists.Name // registrable
	Names   int             // about so many different ones
}

// Tunnels looks at every question for those that carry data, in memory that does
// not grow. It keeps counts and sketches by a keyed hash of device and domain: no
// name, until one is found, and then the registrable domain alone. It is safe for
// concurrent use.
type Tunnels struct {
	exempt map[blocklists.Name]bool
	seed   maphash.Seed
	sets   uint64 // a shard
	shard  [shards]shard
	found  chan Found
	drops  func()
}

// shard is the part of some devices: who floods it hides no other's tunnel.
type shard struct {
	mu    sync.Mutex
	cells []cell // sets of ways cells
}

// cell is what is counted of one device and domain, in two halves of an hour.
type cell struct {
	key   uint64
	half  int64 // which half hour [0] is of
	told  int64 // until which one it is not told again
	asked [2]uint32
	odd   [2]uint32
	names [2]sketch
}

// NewTunnels makes a detector.
func NewTunnels() *Tunnels {
	t := &Tunnels{exempt: exempt(), seed: maphash.MakeSeed(), found: make(chan Found, maxFound), drops: func() {}}
	t.sets = maxCells / (ways * shards)
	for i := range t.shard {
		t.shard[i].cells = make([]cell, ways*int(t.sets))
	}
	return t
}

//go:embed untunnelled.tsv
var untunnelled string

// exempt returns the domains whose questions are none of a tunnel.
func exempt() map[blocklists.Name]bool {
	out := map[blocklists.Name]bool{}
	for line := range strings.Lines(untunnelled) {
		if domain, _, ok := strings.Cut(line, "\t"); ok {
			out[blocklists.MustName(domain)] = true
		}
	}
	return out
}

// Asked looks at one question. It does not allocate, but for a device's first long
// name below a domain and where it finds a tunnel, and waits for nothing but another question about the same few. Nothing of adults is
// looked at.
func (t *Tunnels) Asked(who policy.Asker, client netip.Addr, name blocklists.Name, qtype uint16, now time.Time) {
	isOdd := odd(qtype)
	if len(name) < longPayload+4 && !isOdd { // nearly always
		return
	}
	if name.Labels() <= 2 { // nothing is left of a registrable domain
		return
	}
	if who.Policy == nil || who.Policy.Preset == policy.Adult {
		return
	}
	if t.exempted(name) {
		return
	}
	client = client.Unmap().WithZone("")
	device := t.device(who, client)
	base, names, found := t.shard[device%shards].asked(t, device, name, isOdd, now.Unix()/halfHour)
	if !found {
		return
	}
	f := Found{At: now, Family: who.Family, Profile: who.Profile, Device: who.Device, Names: names}
	if kept := policy.KeptClient(who.Device, client); kept.IsValid() {
		f.Client = kept.String()
	}
	f.Domain = blocklists.Name(strings.Clone(string(base))) // the question's name belongs to a larger buffer
	select {
	case t.found <- f:
	default:
		t.drops()
	}
}

// Found returns what was found.
func (t *Tunnels) Found() <-chan Found { return t.found }

// odd reports whether a type carries free data and is seldom asked by anything
// else: KEY, TXT, NULL, and those for private use.
func odd(qtype uint16) bool {
	switch qtype {
	case 10, 16, 25: // RFC 1035 §3.2.2; RFC 2535
		return true
	}
	return qtype >= 65280 && qtype < 65535 // RFC 6895 §3.1
}

func (t *Tunnels) exempted(name blocklists.Name) bool {
	for n := name; n != ""; n = n.Parent() {
		if t.exempt[n] {
			return true
		}
	}
	return false
}

// device tells devices apart: who has no name, by the address.
func (t *Tunnels) device(who policy.Asker, client netip.Addr) uint64 {
	var b [8 + 8 + 16]byte
	binary.BigEndian.PutUint64(b[:], uint64(who.Family))
	if who.Device != 0 {
		binary.BigEndian.PutUint64(b[8:], uint64(who.Device))
	} else {
		a := client.As16()
		copy(b[16:], a[:])
	}
	return maphash.Bytes(t.seed, b[:])
}

// asked counts a question of a device and reports what it makes a tunnel below, if
// it does.
func (s *shard) asked(t *Tunnels, device uint64, name blocklists.Name, odd bool, half int64) (base blocklists.Name, names int, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, base := s.known(t, device, name)
	if c == nil {
		base = journal.Registrable(name)
		c = s.add(t, device, base, half)
	}
	payload := name[:len(name)-len(base)]
	if payload == "" || len(payload) < longPayload && !odd {
		return "", 0, false
	}
	c.turn(half)
	if names, found = c.count(maphash.String(t.seed, string(payload)), odd, half); !found {
		return "", 0, false
	}
	if right := journal.Registrable(name); right != base {
		// Many registrable domains below one that is, too, such as those of a host of
		// sites: begin anew, for this one alone.
		*c = cell{}
		s.add(t, device, right, half)
		return "", 0, false
	}
	return base, names, true
}

// known finds the cell of the registrable domain of a name without working that
// out, which allocates: of the domains that are counted for the device, the longest
// that the name is below.
func (s *shard) known(t *Tunnels, device uint64, name blocklists.Name) (*cell, blocklists.Name) {
	for base := name.Suffix(mostLabels); base.Labels() >= 2; base = base.Parent() {
		key, set := t.place(device, base)
		for i := range s.cells[set : set+ways] {
			if c := &s.cells[set+i]; c.key == key {
				return c, base
			}
		}
	}
	return nil, ""
}

// place returns the key of a device and domain, and where their set begins.
func (t *Tunnels) place(device uint64, base blocklists.Name) (key uint64, set int) {
	domain := maphash.String(t.seed, string(base))
	return device ^ domain, int(domain%t.sets) * ways
}

// add makes a cell. Where its set is full, the one that counted least makes room:
// of a flood of other domains each counts one, and a tunnel many.
func (s *shard) add(t *Tunnels, device uint64, base blocklists.Name, half int64) *cell {
	key, set := t.place(device, base)
	cells := s.cells[set : set+ways]
	least := &cells[0]
	for i := range cells {
		if cells[i].weight(half) < least.weight(half) {
			least = &cells[i]
		}
	}
	*least = cell{key: key, half: half}
	return least
}

// weight is what a cell counts that is not over yet.
func (c *cell) weight(half int64) uint64 {
	switch half - c.half {
	case 0:
		return uint64(c.asked[0]) + uint64(c.asked[1])
	case 1:
		return uint64(c.asked[0])
	}
	if c.told > half {
		return 1 // rather than nothing, or it would be told twice
	}
	return 0
}

// turn moves a cell on to a half hour.
func (c *cell) turn(half int64) {
	switch {
	case half == c.half || half < c.half && c.half-half <= 1: // a little late
		return
	case half == c.half+1:
		c.asked[1], c.odd[1], c.names[1] = c.asked[0], c.odd[0], c.names[0]
	default:
		c.asked[1], c.odd[1], c.names[1] = 0, 0, sketch{}
	}
	c.asked[0], c.odd[0], c.names[0] = 0, 0, sketch{}
	c.half = half
}

// count takes one question into c and reports whether that makes a tunnel of it
// that was not told yet.
func (c *cell) count(hash uint64, odd bool, half int64) (names int, found bool) {
	c.names[0].add(hash)
	c.asked[0]++
	if odd {
		c.odd[0]++
	}
	asked, odds := c.asked[0]+c.asked[1], c.odd[0]+c.odd[1]
	if c.told > half || asked < manyNames || asked%16 != 0 { // counting costs, so not each time
		return 0, false
	}
	names = estimate(&c.names[0], &c.names[1])
	if names < manyNames && (odds < manyOdd || names < someNames) {
		return 0, false
	}
	c.told = half + tellOnce
	return names, true
}
