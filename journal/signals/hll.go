package signals

import (
	"math"
	"math/bits"
)

// sketch counts different hashes in 64 bytes (Flajolet et al., HyperLogLog, 2007,
// with its correction for few): within some 13 of a hundred.
type sketch [64]uint8

func (s *sketch) add(hash uint64) {
	i := hash >> 58
	if rank := uint8(bits.LeadingZeros64(hash<<6|1<<5) + 1); rank > s[i] {
		s[i] = rank
	}
}

// estimate returns about how many different hashes are in either of two.
func estimate(a, b *sketch) int {
	const m = float64(len(a))
	sum, empty := 0.0, 0
	for i := range a {
		r := max(a[i], b[i])
		sum += 1 / float64(uint64(1)<<r)
		if r == 0 {
			empty++
		}
	}
	e := 0.709 * m * m / sum
	if e <= 2.5*m && empty > 0 {
		e = m * math.Log(m/float64(empty))
	}
	return int(e + 0.5)
}
