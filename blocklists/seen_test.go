package blocklists

import (
	"math/rand/v2"
	"testing"
)

func TestSeenSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name      string
		distinct  int
		exact     bool
		tolerance float64
	}{
		{"a short list: every one that comes again", 1000, true, 0},
		{"as many as are kept whole", seenLimit / 2, true, 0},
		{"a long list: about as many", 4 * seenLimit, false, 0.05},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s seenSet
			hashes := make([]uint64, tt.distinct)
			for i := range hashes {
				hashes[i] = r.Uint64()
				if again, _ := s.add(hashes[i]); again {
					t.Fatal("a hash is found that was not added")
				}
			}
			found := 0
			for _, h := range hashes[:tt.distinct/2] {
				_, weight := s.add(h)
				found += weight
			}
			want := tt.distinct / 2
			if off := float64(found-want) / float64(want); off > tt.tolerance || off < -tt.tolerance {
				t.Errorf("%d came again; found %d", want, found)
			}
			if len(s.table) > 2*seenLimit {
				t.Errorf("the table has %d places; want at most %d", len(s.table), 2*seenLimit)
			}
		})
	}
}

func TestSeenSetZero(t *testing.T) {
	var s seenSet
	s.add(0)
	if again, _ := s.add(0); !again {
		t.Error("the hash 0 is not found again")
	}
}
