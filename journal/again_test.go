package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kinward/journal/spool"
	"kinward/policy"
)

// Whatever comes, attempts that are merged as repetitions leave what they would
// leave if each were merged by itself.
func TestRepetitionsMergeAlike(t *testing.T) {
	known := 0
	rapid.Check(t, func(t *rapid.T) {
		sp, err := spool.Open(spool.Config{})
		if err != nil {
			t.Fatal(err)
		}
		quick, plain := newMerger(1000), newMerger(1000)
		var quickly, plainly memory
		settle := func(m *merger, s *memory) {
			if err := s.Write(t.Context(), m.take()); err != nil {
				t.Fatal(err)
			}
			m.committed()
		}
		var pool []policy.Attempt // that come again and again
		for range rapid.IntRange(1, 30).Draw(t, "pool") {
			a := try(rapid.SampledFrom([]string{"", "a.", "b.", "c.", "d.", "e.", "f.", "g.", "h.", "i."}).Draw(t, "host")+"a.com", noon)
			odd := func(what string) bool { return rapid.IntRange(0, 19).Draw(t, what) == 0 }
			v := &a.Verdict
			if odd("device") {
				a.Device = 9
			}
			if odd("profile") {
				a.Profile = 2
			}
			if odd("service") {
				a.Service = "s"
			}
			if odd("type") {
				a.Type = typeAAAA
			}
			v.Quiet = odd("quiet")
			if odd("keep") {
				v.Keep = policy.KeepCount
			}
			if odd("action") {
				v.Action = policy.Watch
			}
			if odd("reason") {
				v.Reason, v.Label.Depth = rapid.SampledFrom([]policy.Reason{policy.BySchedule, policy.ByCanary}).Draw(t, "why"), 0
			}
			if odd("bypass") {
				v.Bypass = policy.Bypass(rapid.IntRange(0, 2).Draw(t, "kind"))
			}
			pool = append(pool, a)
		}
		now := noon
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 2, 3, 300, 400, 500, 600, 4000, 5000, 6000, 700_000, -1, -200, -300, -700_000}).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 19).Draw(t, "step") {
			case 0:
				settle(quick, &quickly)
				settle(plain, &plainly)
			case 3:
				quick.take() // which the store does not take
				quick.failed()
				plain.take()
				plain.failed()
			case 1:
				quick.sweep(now.UnixMilli())
				plain.sweep(now.UnixMilli())
			case 2:
				settle(quick, &quickly) // nothing may be in flight, or come later
				settle(plain, &plainly)
				quick.erase(1, 2)
				plain.erase(1, 2)
			default:
				a := rapid.SampledFrom(pool).Draw(t, "attempt")
				a.Time = now
				sp.Record(&a)
				if err := sp.Pull(); err != nil {
					t.Fatal(err)
				}
				if _, err := sp.Read(func(r spool.Record) bool {
					quick.add(r.Attempt, r.Encoded)
					plain.add(r.Attempt, spool.Encoded{})
					return true
				}, func(e spool.Encoded) (bool, bool) {
					if !quick.again(e) {
						return false, true
					}
					known++
					plain.add(&a, spool.Encoded{})
					return true, true
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		settle(quick, &quickly)
		settle(plain, &plainly)
		if d := cmp.Diff(told(t, &plainly), told(t, &quickly)); d != "" {
			t.Fatalf("merged one by one and as repetitions (-want +got):\n%s", d)
		}
	})
	if known == 0 {
		t.Error("nothing was a repetition")
	}
}

// told returns what is stored, without the incidents' IDs, which are chance.
func told(t *rapid.T, s *memory) (out []string) {
	for _, r := range s.rows {
		i, err := r.Incident()
		if err != nil {
			t.Fatal(err)
		}
		i.ID = ""
		text, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s", text, r.Details))
	}
	for c, n := range s.counts {
		out = append(out, fmt.Sprint(c, n))
	}
	slices.Sort(out)
	return out
}

// Where another name has taken the place that a repetition would raise, it is no
// repetition any more: the names' counts would lie.
func TestRepetitionOfANameThatLostItsPlace(t *testing.T) {
	sp, err := spool.Open(spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, known := newMerger(10), 0
	ask := func(host string) {
		a := try(host+".a.com", noon)
		sp.Record(&a)
		if err := sp.Pull(); err != nil {
			t.Fatal(err)
		}
		if _, err := sp.Read(func(r spool.Record) bool { m.add(r.Attempt, r.Encoded); return true }, func(e spool.Encoded) (bool, bool) {
			if !m.again(e) {
				return false, true
			}
			known++
			return true, true
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range maxNames + 1 { // the last takes the first one's place
		ask(fmt.Sprintf("n%d", n))
	}
	if ask("n0"); known != 0 {
		t.Error("a name without a place is raised at another's")
	}
	if ask("n2"); known != 1 {
		t.Error("a name that has its place is no repetition")
	}
}
