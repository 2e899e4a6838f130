package journal

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kinward/policy"
)

// Sighting says in which minute a device last asked for anything. It tells
// neither what for nor from where.
type Sighting struct {
	Family policy.FamilyID
	Device policy.DeviceID
	Minute time.Time // UTC
}

// SeenStore keeps when devices asked last.
type SeenStore interface {
	// WriteSeen keeps sightings, in one transaction. One that is older than what is
	// kept changes nothing, unless that lies more than [SetBack] ahead of it, nor does
	// one of a family that is gone.
	WriteSeen(context.Context, []Sighting) error
}

// SetBack is how far ahead of a new sighting the last one can be and still be right:
// what lies further ahead was seen by a clock that was set back since.
const SetBack = time.Hour

// seenEvery is how long a sighting waits for the store: a device that asks all the
// time is written once a minute, and an SD card lives.
const seenEvery = time.Minute

// seen holds the last minute of every device that asked since the start.
type seen struct {
	seed   maphash.Seed
	table  atomic.Pointer[[]atomic.Pointer[seenDevice]] // open addressing; its length a power of two
	adding sync.Mutex
	n      int           // devices in the table, guarded by adding
	news   chan struct{} // something was seen that the store does not have
}

// seenDevice is a device's entry: it stays the same when the table grows.
type seenDevice struct {
	family  policy.FamilyID
	device  policy.DeviceID
	minute  atomic.Int64 // since the Unix epoch
	written atomic.Int64 // what the store has; 0: nothing
}

func newSeen() *seen {
	s := &seen{seed: maphash.MakeSeed(), news: make(chan struct{}, 1)}
	table := make([]atomic.Pointer[seenDevice], 64)
	s.table.Store(&table)
	return s
}

// Seen keeps that a device asked for something at a time. It never waits and does
// not allocate, but for a device's first time since the start.
func (j *Journal) Seen(family policy.FamilyID, device policy.DeviceID, at time.Time) {
	minute := at.Unix() / 60
	d := j.seen.entry(family, device)
	if ahead := d.minute.Load() - minute; ahead >= 0 && ahead <= int64(SetBack/time.Minute) {
		return
	}
	d.minute.Store(minute) // of two that come at once either is right
	select {
	case j.seen.news <- struct{}{}:
	default:
	}
}

// LastSeen returns the minute in which a device of a family asked last, as far as
// this journal saw since its start; the zero time is never.
func (j *Journal) LastSeen(family policy.FamilyID, device policy.DeviceID) time.Time {
	d := find(*j.seen.table.Load(), j.seen.hash(family, device), family, device)
	if d == nil {
		return time.Time{}
	}
	return time.Unix(60*d.minute.Load(), 0).UTC()
}

func (s *seen) hash(family policy.FamilyID, device policy.DeviceID) uint64 {
	return maphash.Comparable(s.seed, [2]int64{int64(family), int64(device)})
}

// find looks a device up. Entries are never taken out, so a free place ends the
// search.
func find(table []atomic.Pointer[seenDevice], hash uint64, family policy.FamilyID, device policy.DeviceID) *seenDevice {
	for i := hash; ; i++ {
		d := table[i&uint64(len(table)-1)].Load()
		if d == nil || d.family == family && d.device == device {
			return d
		}
	}
}

// entry returns the entry of a device, which it makes where there is none.
func (s *seen) entry(family policy.FamilyID, device policy.DeviceID) *seenDevice {
	hash := s.hash(family, device)
	if d := find(*s.table.Load(), hash, family, device); d != nil {
		return d
	}
	s.adding.Lock()
	defer s.adding.Unlock()
	table := *s.table.Load()
	if d := find(table, hash, family, device); d != nil { // another was faster
		return d
	}
	if s.n*4 >= len(table)*3 { // a quarter stays free, or searches get long
		grown := make([]atomic.Pointer[seenDevice], 2*len(table))
		for i := range table {
			if d := table[i].Load(); d != nil {
				put(grown, s.hash(d.family, d.device), d)
			}
		}
		s.table.Store(&grown)
		table = grown
	}
	d := &seenDevice{family: family, device: device}
	put(table, hash, d)
	s.n++
	return d
}

func put(table []atomic.Pointer[seenDevice], hash uint64, d *seenDevice) {
	for i := hash; ; i++ {
		if place := &table[i&uint64(len(table)-1)]; place.Load() == nil {
			place.Store(d)
			return
		}
	}
}

// keepSeen writes sightings until ctx ends, at most once a minute, and what is
// left when it ends. Nothing wakes an idle machine.
func (j *Journal) keepSeen(ctx context.Context, store SeenStore) {
	for {
		select {
		case <-j.seen.news:
		case <-ctx.Done():
			j.writeSeen(ctx, store)
			return
		}
		sleep(ctx, seenEvery)
		if ctx.Err() == nil && !j.writeSeen(ctx, store) {
			select { // again in a minute
			case j.seen.news <- struct{}{}:
			default:
			}
		}
	}
}

// writeSeen writes what the store does not have, in batches that do not keep
// others from the writer, and reports whether it has everything now.
func (j *Journal) writeSeen(ctx context.Context, store SeenStore) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	var fresh []*seenDevice
	table := *j.seen.table.Load()
	for i := range table {
		if d := table[i].Load(); d != nil && d.minute.Load() != d.written.Load() {
			fresh = append(fresh, d)
		}
	}
	for part := range slices.Chunk(fresh, maxSeen) {
		batch := make([]Sighting, len(part))
		for i, d := range part {
			batch[i] = Sighting{d.family, d.device, time.Unix(60*d.minute.Load(), 0).UTC()}
		}
		if err := store.WriteSeen(ctx, batch); err != nil {
			j.metrics.storeErrors.Inc()
			j.log.Warn("the store does not take when devices were seen; it is tried again", "error", err)
			return false
		}
		for i, d := range part {
			d.written.Store(batch[i].Minute.Unix() / 60)
		}
	}
	return true
}
