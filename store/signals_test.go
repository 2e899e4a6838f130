package store

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
)

func watcher(t testing.TB, db *DB, now time.Time) *signals.Watcher {
	t.Helper()
	w, err := signals.New(signals.Config{Store: db, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func follow(t testing.TB, db *DB) {
	t.Helper()
	if err := watcher(t, db, noon).Follow(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// about makes a row one of a service.
func about(service, category string) func(*journal.Row, map[string]any) {
	return func(_ *journal.Row, d map[string]any) {
		d["service"], d["category"], d["domain"] = service, category, service+".com"
	}
}

func kindsTold(t testing.TB, db *DB, f journal.SignalFilter) []string {
	t.Helper()
	list, err := db.Signals(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, s := range list {
		out = append(out, strings.TrimSuffix(s.Kind+" "+s.Service, " "))
	}
	return out
}

// TestSignalsAreToldOnce: a watcher that begins again goes on where the last one
// ended; who looks at the same incidents again changes nothing; and what was tried
// before there were signals is not new.
func TestSignalsAreToldOnce(t *testing.T) {
	db := openNew(t)
	ctx := t.Context()
	later := noon.Add(30 * 24 * time.Hour)
	write(t, db, journal.Batch{Rows: []journal.Row{row("old", noon, about("tiktok", "social"))}})
	if _, err := db.write.Exec(`UPDATE incidents SET change_no = 0`); err != nil { // as of before
		t.Fatal(err)
	}
	rows := []journal.Row{row("a", later, about("tiktok", "social")), row("b", later, about("ometv", "anonymous-chat"))}
	write(t, db, journal.Batch{Rows: rows})
	follow(t, db)
	want := []string{"first-time ometv"}
	if got := kindsTold(t, db, journal.SignalFilter{Family: 1}); !slices.Equal(got, want) {
		t.Fatalf("told %q, want %q", got, want)
	}
	list, last, err := db.signalsChanged(ctx, 0, 10)
	if err != nil || len(list) != 1 || list[0].Incident != "b" {
		t.Fatalf("changed: %+v, %v", list, err)
	}

	follow(t, db) // a second watcher
	if _, err := db.write.Exec(`UPDATE signal_state SET cursor = 0; DELETE FROM signal_memory`); err != nil {
		t.Fatal(err)
	}
	write(t, db, journal.Batch{Rows: rows}) // and one that lost its place and all that it knew
	follow(t, db)
	if got := kindsTold(t, db, journal.SignalFilter{Family: 1}); !slices.Equal(got, want) {
		t.Errorf("told again: %q", got)
	}
	if list, again, err := db.signalsChanged(ctx, last, 10); err != nil || len(list) != 0 || again != last {
		t.Errorf("changed after all: %+v, %d, %v", list, again, err)
	}
	if err := db.WriteSignals(ctx, signals.Batch{After: 99, Cursor: 100}); err == nil {
		t.Error("a batch that follows on none was taken")
	}
	kept, err := db.SignalMemory(ctx, 1, 1)
	if err != nil || kept == nil {
		t.Fatalf("nothing is remembered, %v", err)
	}
	if _, err := db.write.Exec(`DELETE FROM signal_memory`); err != nil {
		t.Fatal(err)
	}
	if err := db.WriteSignals(ctx, signals.Batch{Memories: []signals.Remembered{{Family: 1, Profile: 1, Before: kept, Memory: kept}}}); err == nil {
		t.Error("what was erased meanwhile came back")
	}
}

// TestSignalsBelongToTheirFamily: a reader sees its own, by profile, kind and time,
// and all of them go with the family.
func TestSignalsBelongToTheirFamily(t *testing.T) {
	db := openNew(t)
	other := addFamily(t, db, "Other")
	later := noon.Add(30 * 24 * time.Hour)
	of := func(f policy.FamilyID, p policy.ProfileID) func(*journal.Row, map[string]any) {
		return func(r *journal.Row, _ map[string]any) { r.Family, r.Profile = f, p }
	}
	write(t, db, journal.Batch{Rows: []journal.Row{
		row("a", later, about("ometv", "anonymous-chat"), of(1, 1)), row("b", later.Add(time.Hour), about("tiktok", "social"), of(1, 2)),
		row("c", later, about("monkey", "anonymous-chat"), of(other, 1)), row("d", later, about("x", "social"), of(99, 1)),
	}})
	follow(t, db)
	for _, tt := range []struct {
		f    journal.SignalFilter
		want []string
	}{
		{journal.SignalFilter{Family: 1}, []string{"first-time tiktok", "first-time ometv"}},
		{journal.SignalFilter{Family: 1, Profile: 2}, []string{"first-time tiktok"}},
		{journal.SignalFilter{Family: 1, Kind: "night"}, []string{}},
		{journal.SignalFilter{Family: 1, Since: later.Add(time.Minute)}, []string{"first-time tiktok"}},
		{journal.SignalFilter{Family: 1, Limit: 1}, []string{"first-time tiktok"}},
		{journal.SignalFilter{Family: other}, []string{"first-time monkey"}},
	} {
		if got := kindsTold(t, db, tt.f); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.f, got, tt.want)
		}
	}
	if _, err := db.Signals(t.Context(), journal.SignalFilter{}); err == nil {
		t.Error("whoever names no family sees signals")
	}
	if err := db.RemoveFamily(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"signals", "signal_memory", "baselines"} {
		var n int
		if err := db.read.QueryRow(`SELECT count(*) FROM `+table+` WHERE family_id = $1`, int64(other)).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows of %s are left of a family that was removed, %v", n, table, err)
		}
	}
}

// TestProfileOfTodayLearns: a profile that was made a while ago has been learnt
// about since then, also where it never tried anything; one of today has not.
func TestProfileOfTodayLearns(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	db := openAt(t, t.TempDir()+"/"+FileName, o)
	now = noon.Add(30 * 24 * time.Hour)
	var lea policy.ProfileID
	if _, err := db.Change(t.Context(), Edit{}, func(f *policy.Family) (what string, err error) {
		lea, what, err = f.AddProfile("Lea", policy.BandC)
		return what, err
	}); err != nil {
		t.Fatal(err)
	}
	of := func(p policy.ProfileID) func(*journal.Row, map[string]any) {
		return func(r *journal.Row, _ map[string]any) { r.Profile = p }
	}
	write(t, db, journal.Batch{Rows: []journal.Row{
		row("a", now.Add(time.Hour), about("ometv", "anonymous-chat")), row("b", now.Add(time.Hour), about("monkey", "anonymous-chat"), of(lea)),
	}})
	follow(t, db)
	if got := kindsTold(t, db, journal.SignalFilter{Family: 1}); !slices.Equal(got, []string{"first-time ometv"}) {
		t.Errorf("told %q", got)
	}
}

// signalsChild is what the re-executed test binary does until it is killed: it
// writes incidents, each at another VPN, and follows them.
func signalsChild(path string) {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	db, err := Open(ctx, path, Options{})
	die(err)
	changes := make(chan struct{}, 1)
	w, err := signals.New(signals.Config{Store: db, Changes: changes})
	die(err)
	go w.Run(ctx)
	for n := 0; ; n++ {
		var rows []journal.Row
		for k := range 5 {
			id := fmt.Sprintf("%d-%d-%d", os.Getpid(), n, k)
			rows = append(rows, row(id, time.Now(), func(_ *journal.Row, d map[string]any) {
				d["bypass"], d["category"], d["domain"] = "attempt", "vpn-proxy", id+".com"
			}))
		}
		die(db.Write(ctx, journal.Batch{Rows: rows}))
		select {
		case changes <- struct{}{}:
		default:
		}
		fmt.Println(n)
	}
}

// TestKillTellsEachSignalOnce: whenever the process is killed, each incident's
// signal is there exactly once when it has been followed again.
func TestKillTellsEachSignalOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "KINWARD_TEST_SIGNALS="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, out, int64(20+rand.IntN(60))); err != nil {
			t.Fatal(err)
		}
		child.Process.Kill() // SIGKILL, in the middle of whatever it does
		io.Copy(io.Discard, out)
		child.Wait()
	}
	db := openAt(t, path, Options{})
	follow(t, db)
	incidents, err := db.Incidents(t.Context(), journal.Filter{Family: 1, Limit: journal.MaxLimit})
	if err != nil || len(incidents) == 0 {
		t.Fatalf("%d incidents, %v", len(incidents), err)
	}
	list, err := db.Signals(t.Context(), journal.SignalFilter{Family: 1, Kind: policy.SignalBypass, Limit: journal.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, s := range list {
		times[s.Incident]++
	}
	for _, i := range incidents {
		if times[i.ID] != 1 {
			t.Errorf("incident %s was told %d times", i.ID, times[i.ID])
		}
	}
	if len(list) != len(incidents) {
		t.Errorf("%d signals of %d incidents", len(list), len(incidents))
	}
	// In order, by their numbers, every one comes once, too.
	seen, after := map[string]bool{}, uint64(0)
	for {
		some, last, err := db.signalsChanged(t.Context(), after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if last == after {
			break
		}
		for _, s := range some {
			if seen[s.ID] {
				t.Errorf("signal %s comes twice", s.ID)
			}
			seen[s.ID] = true
		}
		after = last
	}
	if len(seen) != len(list) {
		t.Errorf("%d signals come by number, %d are there", len(seen), len(list))
	}
	t.Logf("%d processes killed, %d incidents, as many signals", rounds, len(incidents))
}
