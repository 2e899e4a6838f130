package journal

import (
	"encoding/binary"
	"hash/maphash"

	"kinward/journal/spool"
)

// lately tells which incident an attempt belongs to that is equal to an earlier one
// but for its time: an app that is blocked asks for the same name again and again,
// and to find its incident anew costs more than to record the attempt.
type lately struct {
	seed  maphash.Seed
	known map[uint64]*repeat // by hash
}

// repeat is what an attempt did that may come again.
type repeat struct {
	head  [8]byte // of [spool.Encoded]; so is rest
	rest  string
	i     *incident
	place int    // of the name in i.Names, noName where it is not counted
	name  string // to see whether another took the place
}

// maxRepeats bounds what is remembered; then it begins anew. About 5 MB.
const maxRepeats = 16_384

func (l *lately) hash(e *spool.Encoded) uint64 {
	return maphash.Bytes(l.seed, e.Rest) ^ binary.LittleEndian.Uint64(e.Head[:])
}

// remember notes that an attempt went into i, which counted its name at place.
func (l *lately) remember(e spool.Encoded, i *incident, place int) {
	if e.Rest == nil {
		return
	}
	if len(l.known) >= maxRepeats {
		clear(l.known)
	}
	r := &repeat{head: e.Head, rest: string(e.Rest), i: i, place: place}
	if place != noName {
		r.name = i.Names[place].Name
	}
	l.known[l.hash(&e)] = r
}

// tidy forgets what belongs to incidents that have ended.
func (l *lately) tidy() {
	for h, r := range l.known {
		if r.i.next == nil {
			delete(l.known, h)
		}
	}
}

// again merges an attempt into the incident that one equal to it went into, and
// reports whether there is such an incident: what it then does is what
// [merger.add] would.
func (m *merger) again(e spool.Encoded) bool {
	r := m.lately.known[m.lately.hash(&e)]
	if r == nil || r.head != e.Head || r.rest != string(e.Rest) {
		return false
	}
	i := r.i
	if i.next == nil || i.ended(e.Time) || r.place != noName && i.Names[r.place].Name != r.name {
		return false
	}
	i.at(e.Time)
	i.Queries++
	if r.place != noName {
		i.Names[r.place].Queries++
		if e.Quiet() {
			i.Embedded++
		}
	}
	if i.last-i.moved >= moveEvery {
		m.touch(i)
	}
	m.change(i)
	return true
}

// moveEvery is how true the order is, in ms, in which incidents were touched: what is
// asked for a thousand times a second is not moved as often.
const moveEvery = 1000
