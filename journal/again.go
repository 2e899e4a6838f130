package journal

import (
	"encoding/binary"
	"hash/maphash"
	"slices"

	"kinward/journal/spool"
)

// lately tells which incident an attempt belongs to that is equal to an earlier one
// but for its time: an app that is blocked asks for the same name again and again,
// and to find its incident anew costs more than to record the attempt.
//
// Repetitions within a window change nothing of an incident but how much was asked,
// and when last. So they are only counted here, next to each other in memory, until
// something else looks at the incident: see [merger.settle]. An incident with
// repetitions that it does not have yet is always in merger.dirty.
type lately struct {
	seeds [2]maphash.Seed
	index [2 * maxRepeats]uint16 // by hash, open addressing: where it is in known, from 1; 0: free
	known []repeat
	about []repeated // of known, in the same order
}

// repeat is an attempt that may come again. Two attempts are told apart by 128 bits of
// hashes whose seeds nobody knows.
type repeat struct {
	hashes [2]uint64
	window int64  // the incident's, while more is not 0
	more   uint32 // repetitions that the incident does not have yet
	// When the first and the last of them were, in ms from window.
	first, last int16
}

// repeated is what a repetition raises.
type repeated struct {
	i     *incident
	name  string // "" where it is not counted
	quiet bool
	next  uint16 // the next repeat of i that has more, from 1
}

// maxRepeats bounds what is remembered; then it begins anew. About 2 MB.
const maxRepeats = 16_384

func newLately() lately {
	return lately{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (l *lately) hash(e *spool.Encoded) (h [2]uint64) {
	for n := range h {
		h[n] = maphash.Bytes(l.seeds[n], e.Rest) ^ binary.LittleEndian.Uint64(e.Head[:])
	}
	return h
}

// find returns where an attempt is in known, or where in index it would be noted.
func (l *lately) find(h [2]uint64) (place, free int) {
	for at := int(h[0] % uint64(len(l.index))); ; at = (at + 1) % len(l.index) {
		n := int(l.index[at]) - 1
		if n < 0 || l.known[n].hashes == h {
			return n, at
		}
	}
}

// remember notes that an attempt went into i, which has all its repetitions, and by
// which name it is counted, "" for none.
func (m *merger) remember(e spool.Encoded, i *incident, name string) {
	if e.Rest == nil {
		return
	}
	l := &m.lately
	if len(l.known) >= maxRepeats {
		m.settleAll()
		l.keep(func(*incident) bool { return false })
	}
	h := l.hash(&e)
	n, free := l.find(h)
	if n < 0 {
		n = len(l.known)
		l.known, l.about = append(l.known, repeat{hashes: h}), append(l.about, repeated{})
		l.index[free] = uint16(n + 1)
	}
	l.about[n] = repeated{i: i, name: name, quiet: e.Quiet()}
}

// keep forgets what belongs to other incidents than those. None must have more.
func (l *lately) keep(those func(*incident) bool) {
	known, about := l.known, l.about
	l.known, l.about = known[:0], about[:0]
	clear(l.index[:])
	for n := range known {
		if those(about[n].i) {
			l.known, l.about = append(l.known, known[n]), append(l.about, about[n])
			_, free := l.find(known[n].hashes)
			l.index[free] = uint16(len(l.known))
		}
	}
	clear(about[len(l.about):])
}

// tidy forgets what belongs to incidents that have ended.
func (m *merger) tidy() {
	ended := func(of repeated) bool { return of.i.next == nil }
	if slices.ContainsFunc(m.lately.about, ended) {
		m.settleAll()
		m.lately.keep(func(i *incident) bool { return i.next != nil })
	}
}

// again merges an attempt into the incident that one equal to it went into, and
// reports whether there is such an incident: what it then does is what
// [merger.add] would.
func (m *merger) again(e spool.Encoded) bool {
	l := &m.lately
	n, _ := l.find(l.hash(&e))
	if n < 0 {
		return false
	}
	r := &l.known[n]
	if r.more > 0 && !outside(e.Time, r.window) {
		at := int16(e.Time - r.window)
		r.more, r.first, r.last = r.more+1, min(r.first, at), max(r.last, at)
		return true
	}
	i := l.about[n].i
	if i.repeats != 0 && !outside(e.Time, i.Window) { // i goes on with others
		m.begin(n, int16(e.Time-i.Window))
		return true
	}
	m.settle(i)
	if i.next == nil || i.ended(e.Time) {
		return false
	}
	i.at(e.Time)
	m.begin(n, 0) // of this one i knows when it was
	if i.last-i.moved >= moveEvery {
		m.touch(i)
	}
	m.change(i)
	return true
}

// begin counts the first repetition of the nth attempt, at ms in its incident's window.
func (m *merger) begin(n int, at int16) {
	r, of := &m.lately.known[n], &m.lately.about[n]
	r.window, r.more, r.first, r.last = of.i.Window, 1, at, at
	of.next, of.i.repeats = of.i.repeats, uint16(n+1)
}

// settle gives i the repetitions that it does not have yet.
func (m *merger) settle(i *incident) {
	for i.repeats != 0 {
		r, of := &m.lately.known[i.repeats-1], &m.lately.about[i.repeats-1]
		i.first, i.last = min(i.first, r.window+int64(r.first)), max(i.last, r.window+int64(r.last))
		i.Queries += uint64(r.more)
		if of.name != "" {
			i.addName(of.name, of.quiet, uint64(r.more))
			if of.quiet {
				i.Embedded += uint64(r.more)
			}
		}
		i.repeats, of.next, r.more = of.next, 0, 0
	}
}

// settleAll gives every incident the repetitions that it does not have yet.
func (m *merger) settleAll() {
	for _, i := range m.dirty {
		m.settle(i)
	}
}

// moveEvery is how true the order is, in ms, in which incidents were touched, but for
// repetitions within a window: what is asked for a thousand times a second is not moved
// as often.
const moveEvery = 1000
