package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"kinward/policy"
)

// When a device counts as silent.
const (
	usual = 179 // of 255: it asked in seven of ten weeks, lately

	// Away is a device that has a private-DNS name: it should be heard wherever it
	// is. Any other one is heard at home alone, where it need not be.
	minAgeAway, minHoursAway = 7 * 24, 3
	minAgeHome, minHoursHome = 14 * 24, 8

	hoursOfWeek  = 7 * 24
	forgetAfter  = 8 * hoursOfWeek // a device that is away for longer begins anew
	longestSight = 6               // weeks that count, roughly
)

// Baseline is in which hours of the week a device usually asks: for each hour an
// average over the weeks in which the newest weighs a sixth. It tells nothing of
// what is asked for.
type Baseline struct {
	first, last int64 // hours since the Unix epoch, in which the device asked
	usual       [hoursOfWeek]uint8
}

const baselineVersion = 1

// errNoBaseline is what an unreadable baseline wraps.
var errNoBaseline = errors.New("not a baseline")

// Encode returns b in the 185 bytes in which it is kept.
func (b *Baseline) Encode() []byte {
	out := binary.BigEndian.AppendUint64([]byte{baselineVersion}, uint64(b.first))
	return append(binary.BigEndian.AppendUint64(out, uint64(b.last)), b.usual[:]...)
}

// DecodeBaseline reads what Encode returns; nothing at all is a new baseline.
func DecodeBaseline(p []byte) (*Baseline, error) {
	b := &Baseline{}
	if len(p) == 0 {
		return b, nil
	}
	if len(p) != 1+8+8+hoursOfWeek || p[0] != baselineVersion {
		return nil, fmt.Errorf("%w: %d bytes", errNoBaseline, len(p))
	}
	b.first, b.last = int64(binary.BigEndian.Uint64(p[1:])), int64(binary.BigEndian.Uint64(p[9:]))
	if b.first < 0 || b.last < b.first || b.last > 1<<40 {
		return nil, fmt.Errorf("%w: from hour %d to %d", errNoBaseline, b.first, b.last)
	}
	copy(b.usual[:], p[17:])
	return b, nil
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// weekHour is the hour of the week by the family's clock, so that a change of the
// clock does not move a child's evening.
func weekHour(hour int64, zone *time.Location) int {
	t := time.Unix(hour*3600, 0).In(zone)
	return int(t.Weekday())*24 + t.Hour()
}

// Note takes into b that the device asked at a time, and did not between the last
// time and this. It reports whether that changed anything: once an hour at most. A
// last time that lies more than an hour ahead comes of a clock that was set back.
func (b *Baseline) Note(at time.Time, zone *time.Location) bool {
	hour := hourOf(at)
	if b.first == 0 || hour-b.last > forgetAfter {
		*b = Baseline{first: hour, last: hour}
		b.usual[weekHour(hour, zone)] = 255
		return true
	}
	if b.last-hour > 1 { // the clock was ahead: what it did by then is not known
		if b.first > hour {
			b.first = hour
		}
		b.last = hour
		b.weigh(hour, true, zone)
		return true
	}
	if hour <= b.last {
		return false
	}
	for h := b.last + 1; h <= hour; h++ {
		b.weigh(h, h == hour, zone)
	}
	b.last = hour
	return true
}

func (b *Baseline) weigh(hour int64, asked bool, zone *time.Location) {
	c := &b.usual[weekHour(hour, zone)]
	is := 0
	if asked {
		is = 255
	}
	weeks := min(int((hour-b.first)/hoursOfWeek), longestSight-1)
	*c = uint8(int(*c) + (is-int(*c))/(weeks+1))
}

// Due returns when a device that asks no more is silent: at the end of the third
// hour after from (at home the eighth) in which it usually asks. Hours in which it
// usually does not, such as the night, do not count. The zero time is never:
// there is no such hour, or the baseline is too young to know.
func (b *Baseline) Due(from time.Time, away bool, zone *time.Location) time.Time {
	age, need := int64(minAgeHome), minHoursHome
	if away {
		age, need = minAgeAway, minHoursAway
	}
	if b.first == 0 || b.last-b.first < age {
		return time.Time{}
	}
	start := max(hourOf(from), b.last)
	for h := start + 1; h <= start+hoursOfWeek; h++ {
		if b.usual[weekHour(h, zone)] < usual {
			continue
		}
		if need--; need == 0 {
			return time.Unix((h+1)*3600, 0).UTC()
		}
	}
	return time.Time{}
}

// Expected reports whether it is kept when a device usually asks, and whether it is
// one that should be heard away from home, too. Nothing is kept of adults and
// guests, nor where the family does not want to hear of silence.
func Expected(f *policy.Family, device policy.DeviceID) (away, wanted bool) {
	if !f.Signals(policy.SignalSilent) {
		return false, false
	}
	for _, d := range f.Devices {
		if d.ID != device {
			continue
		}
		p := f.ProfileByID(d.Profile)
		return len(d.Tokens) > 0, p != nil && p.Preset != policy.Adult && !p.Guests
	}
	return false, false
}
