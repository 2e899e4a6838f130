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
	"kinward/policy"
)

// crashChild is what the re-executed test binary does until it is killed: it
// records attempts, each at another domain, and says which are in the store.
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
	j, err := journal.New(journal.Config{Store: db, FlushEvery: time.Millisecond})
	die(err)
	go j.Run(ctx)
	for n := 0; ; n++ {
		j.Record(policy.Attempt{
			Time: time.Now(), Family: 1, Profile: 1, Client: netip.MustParseAddr("192.168.1.23"), Type: 1,
			Name:    blocklists.MustName(fmt.Sprintf("www.p%d-n%d.com", os.Getpid(), n)),
			Verdict: policy.Verdict{Action: policy.Block, Keep: policy.KeepItem},
		})
		if n%7 == 6 {
			die(j.Flush(ctx))
			fmt.Println(n + 1)
		}
	}
}

func TestKillLosesNoCommittedIncident(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	committed := map[int]int{} // by process
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
		for n := 3 + rand.IntN(30); n > 0 && lines.Scan(); n-- {
			committed[child.Process.Pid] = atoi(lines.Text())
		}
		child.Process.Kill() // SIGKILL, in the middle of whatever it does
		for lines.Scan() {   // said before the kill arrived
			committed[child.Process.Pid] = atoi(lines.Text())
		}
		child.Wait()
		if committed[child.Process.Pid] == 0 {
			t.Fatal("the child committed nothing")
		}
		if _, err := os.Stat(path + "-wal"); err != nil {
			t.Errorf("the child seems to have closed the database: %v", err)
		}
	}
	db := openAt(t, path, Options{})
	if _, err := db.Health(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	list, err := db.Incidents(t.Context(), journal.Filter{Family: 1, Limit: journal.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if stored[i.Domain] {
			t.Errorf("%s is stored twice", i.Domain)
		}
		stored[i.Domain] = true
	}
	total := 0
	for pid, n := range committed {
		total += n
		for i := range n {
			if name := fmt.Sprintf("p%d-n%d.com", pid, i); !stored[name] {
				t.Errorf("%s was committed and is missing", name)
			}
		}
	}
	t.Logf("%d processes killed, %d incidents committed, %d stored", rounds, total, len(stored))
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
