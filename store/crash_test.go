package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/journal/spool"
	"kinward/policy"
)

// crashChild is what the re-executed test binary does until it is killed: it
// records attempts, some at another domain each, and says which are recorded.
func crashChild(path string) {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	db, err := Open(ctx, path, Options{})
	die(err)
	j, err := journal.New(journal.Config{Store: db, FlushEvery: 5 * time.Millisecond, Spool: crashSpool(path)})
	die(err)
	go j.Run(ctx)
	out := bufio.NewWriterSize(os.Stdout, 16)
	for n := 0; ; n++ {
		a := crashAttempt(fmt.Sprintf("www.p%d-n%d.com", os.Getpid(), n))
		switch n % 4 {
		case 1: // one incident that only grows
			a.Service = "omegle"
		case 2:
			a.Verdict.Keep, a.Verdict.Label.Category = policy.KeepCount, blocklists.Dating
		}
		j.Record(a)
		fmt.Fprintln(out, n+1)
		out.Flush()
	}
}

func crashSpool(path string) spool.Config {
	dir := filepath.Join(filepath.Dir(path), "journal")
	return spool.Config{Folder: dir, RingFolder: filepath.Dir(path), RingBytes: 1 << 20}
}

func crashAttempt(name string) policy.Attempt {
	return policy.Attempt{
		Time: time.Now(), Family: 1, Profile: 1, Client: netip.MustParseAddr("192.168.1.23"), Type: 1,
		Name: blocklists.MustName(name), Verdict: policy.Verdict{Action: policy.Block, Keep: policy.KeepItem},
	}
}

// What Record has returned for is kept once, whenever the process is killed: in
// an incident of its own, in one that grows, or in a count.
func TestKillLosesNothingThatIsRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	recorded := map[int]int{} // by process
	for range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "KINWARD_TEST_CRASH="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 3 + rand.IntN(4000); n > 0 && lines.Scan(); n-- {
			recorded[child.Process.Pid] = atoi(lines.Text())
		}
		child.Process.Kill() // SIGKILL, in the middle of whatever it does
		for lines.Scan() {   // said before the kill arrived
			recorded[child.Process.Pid] = max(recorded[child.Process.Pid], atoi(lines.Text()))
		}
		child.Wait()
		if recorded[child.Process.Pid] == 0 {
			t.Fatal("the child recorded nothing")
		}
	}
	db := openAt(t, path, Options{})
	if _, err := db.Health(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(journal.Config{Store: db, Spool: crashSpool(path)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	if err := j.Flush(t.Context()); err != nil { // it takes up what is left, however long that takes
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	stored := map[string]uint64{}
	var grown, counted uint64
	for rows, err := range allRows(t, db) {
		if err != nil {
			t.Fatal(err)
		}
		if rows.Service != "" {
			grown += rows.Queries
		} else {
			stored[rows.Domain] += rows.Queries
		}
	}
	counts, err := db.Counts(t.Context(), journal.Filter{Family: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		counted += c.Queries
	}
	total, grow, count := 0, uint64(0), uint64(0)
	for pid, n := range recorded {
		total += n
		for i := range n {
			switch i % 4 {
			case 1:
				grow++
			case 2:
				count++
			default:
				if name := fmt.Sprintf("p%d-n%d.com", pid, i); stored[name] != 1 {
					t.Fatalf("%s was recorded and is kept %d times", name, stored[name])
				}
			}
		}
	}
	// The kill may have come between a record and the word of it: one a round.
	most := uint64(rounds)
	if grown < grow || grown > grow+most || counted < count || counted > count+most {
		t.Errorf("the incident that grows has %d, want %d; the count has %d, want %d; or one more a kill", grown, grow, counted, count)
	}
	t.Logf("%d processes killed, %d attempts recorded, %d incidents stored", rounds, total, len(stored))
}

// allRows returns all incidents of all families.
func allRows(t *testing.T, db *DB) func(func(journal.Incident, error) bool) {
	return func(yield func(journal.Incident, error) bool) {
		rows, _, err := db.Changed(t.Context(), 0, 1<<30)
		if err != nil {
			yield(journal.Incident{}, err)
			return
		}
		for _, r := range rows {
			if i, err := r.Incident(); !yield(i, err) {
				return
			}
		}
	}
}

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

// A journal on the real store, restarted in the middle of an incident.
func TestRestartGoesOnMerging(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	for range 2 {
		db := openAt(t, path, Options{})
		j, err := journal.New(journal.Config{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- j.Run(ctx) }()
		for _, keep := range []policy.Keep{policy.KeepItem, policy.KeepCount} {
			j.Record(policy.Attempt{
				Time: time.Now(), Family: 1, Profile: 1, Name: blocklists.MustName("omegle.com"), Service: "omegle", Type: 1,
				Verdict: policy.Verdict{Action: policy.Block, Keep: keep, Label: blocklists.Label{Category: blocklists.Dating}},
			})
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		closeDB(t, db)
	}
	db := openAt(t, path, Options{})
	list, err := db.Incidents(t.Context(), journal.Filter{Family: 1})
	if err != nil || len(list) != 1 || list[0].Queries != 2 || list[0].Service != "omegle" {
		t.Errorf("incidents: %+v %v, want one of 2 look-ups", list, err)
	}
	counts, err := db.Counts(t.Context(), journal.Filter{Family: 1})
	var n uint64
	for _, c := range counts {
		n += c.Queries
	}
	if err != nil || n != 2 {
		t.Errorf("counts: %+v %v, want 2 look-ups", counts, err)
	}
}
