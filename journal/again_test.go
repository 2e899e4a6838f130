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
// leave if each were merged by itself, as long as an incident has room for its names.
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
			a := try(rapid.SampledFrom([]string{"", "a.", "b.", "c.", "d.", "e.", "f.", "g."}).Draw(t, "host")+"a.com", noon)
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
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 2, 3, 300, 400, 500, 600, 4000, 5000, 6000, 597_000, 657_000, 700_000, -1, -200, -300, -700_000}).Draw(t, "ms")) * time.Millisecond)
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

// replayed is a merger that gets what is recorded through a spool, as [loop] does it.
type replayed struct {
	t     *testing.T
	spool *spool.Spool
	m     *merger
	known int // repetitions
}

func replay(t *testing.T, mostOpen int) *replayed {
	t.Helper()
	sp, err := spool.Open(spool.Config{RingBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return &replayed{t: t, spool: sp, m: newMerger(mostOpen)}
}

// merge merges all that was recorded.
func (r *replayed) merge() {
	r.t.Helper()
	err := r.spool.Pull()
	for more := true; more && err == nil; {
		more, err = r.spool.Read(func(rec spool.Record) bool { r.m.add(rec.Attempt, rec.Encoded); return true }, func(e spool.Encoded) (bool, bool) {
			known := r.m.again(e)
			if known {
				r.known++
			}
			return known, true
		})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// stored returns the details of all incidents.
func (r *replayed) stored() (all []*details) {
	r.t.Helper()
	var s memory
	settle(r.t, r.m, &s)
	for _, row := range s.rows {
		d, err := decodeDetails(row.Details)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// Where an incident has more names than it keeps, repetitions count for their own
// names: what is asked for often is kept, and no count is below the truth.
func TestRepetitionsOfMoreNamesThanAreKept(t *testing.T) {
	r := replay(t, 10)
	ask := func(host string, times int) {
		a := try(host+".a.com", noon)
		for range times {
			r.spool.Record(&a)
		}
		r.merge()
	}
	for n := range maxNames + 1 { // the last takes the first one's place
		ask(fmt.Sprintf("n%d", n), 1)
	}
	ask("n0", 100)
	ask("n5", 50)
	ask("n0", 1)
	for n := range maxNames { // these take others' places, not theirs
		ask(fmt.Sprintf("m%d", n), 1)
	}
	if r.known < 150 {
		t.Errorf("%d were repetitions, want 150 at least", r.known)
	}
	all := r.stored()
	if len(all) != 1 {
		t.Fatalf("%d incidents, want 1", len(all))
	}
	if total := uint64(2*maxNames + 1 + 151); all[0].Queries != total {
		t.Errorf("%d questions, want %d", all[0].Queries, total)
	}
	counts := map[string]uint64{}
	for _, n := range all[0].Names {
		counts[n.Name] = n.Queries
	}
	if len(counts) != maxNames || counts["n0.a.com"] < 102 || counts["n5.a.com"] < 51 {
		t.Errorf("names %v: n0 was asked 102 times, n5 51 times", all[0].Names)
	}
}

// What looks at an incident finds it with its repetitions, though they are only
// counted until then.
func TestRepetitionsAreThereForWhoLooks(t *testing.T) {
	of := func(family policy.FamilyID, host string, after time.Duration) policy.Attempt {
		a := try(host, noon.Add(after))
		a.Family = family
		return a
	}
	for _, c := range []struct {
		name     string
		most     int // open
		attempts []policy.Attempt
		erase    policy.FamilyID // before the last attempt; 0: nobody
		sweep    time.Duration   // when, before the last attempt; 0: never
		want     []string
	}{
		{"another name, within the gap of the last one", 10, []policy.Attempt{
			of(1, "a.com", 0), of(1, "a.com", 1), of(1, "a.com", 4*time.Second), of(1, "www.a.com", Gap+3*time.Second),
		}, 0, 0, []string{"a.com 4"}},
		{"too many are open: the oldest ends, and what comes later is another", 1, []policy.Attempt{
			of(1, "a.com", 0), of(1, "a.com", 1), of(1, "a.com", 2), of(1, "b.com", 3), of(1, "a.com", 4),
		}, 0, 0, []string{"a.com 1", "a.com 3", "b.com 1"}},
		{"an earlier one is erased", 10, []policy.Attempt{
			of(2, "b.com", 0), of(1, "a.com", 0), of(1, "a.com", 1), of(1, "c.com", 2), of(1, "c.com", 3), of(1, "a.com", 4),
		}, 2, 0, []string{"a.com 3", "c.com 2"}},
		{"one comes late, when what has ended was forgotten", 10, []policy.Attempt{
			of(1, "a.com", 0), of(1, "a.com", 1), of(1, "a.com", 4*time.Second), of(1, "a.com", Gap),
		}, 0, Gap + late + 2*time.Second, []string{"a.com 4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := replay(t, c.most)
			for n, a := range c.attempts {
				if last := n == len(c.attempts)-1; last && c.erase != 0 {
					r.m.erase(c.erase, 0)
				} else if last && c.sweep != 0 {
					r.m.sweep(noon.Add(c.sweep).UnixMilli())
				}
				r.spool.Record(&a)
				r.merge()
			}
			var got []string
			for _, d := range r.stored() {
				got = append(got, fmt.Sprint(d.Domain, " ", d.Queries))
			}
			slices.Sort(got)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("incidents (-want +got):\n%s", d)
			}
		})
	}
}

// Beyond what is remembered it begins anew, and nothing that was counted is lost.
func TestMoreRepetitionsThanAreRemembered(t *testing.T) {
	r := replay(t, 3*maxRepeats)
	const each = 3
	for range each {
		for n := range maxRepeats + 10 {
			a := try(fmt.Sprintf("n%d.com", n%(maxRepeats+5)), noon)
			r.spool.Record(&a)
			r.spool.Record(&a)
		}
		r.merge()
	}
	if n := len(r.m.lately.known); n == 0 || n > maxRepeats {
		t.Errorf("%d are remembered, at most %d may be", n, maxRepeats)
	}
	if r.known < each*maxRepeats {
		t.Errorf("%d were repetitions: each second one is", r.known)
	}
	all := r.stored()
	if len(all) != maxRepeats+5 {
		t.Errorf("%d incidents, want %d", len(all), maxRepeats+5)
	}
	total := uint64(0)
	for _, d := range all {
		total += d.Queries
	}
	if want := uint64(each * 2 * (maxRepeats + 10)); total != want {
		t.Errorf("%d questions in all, want %d", total, want)
	}
}
