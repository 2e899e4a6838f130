package blocklists

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// refreshed is a library of lists in local files, refreshed in the virtual time
// of a synctest bubble.
type refreshed struct {
	t       *testing.T
	lists   *Library
	files   string // folder of the lists' sources
	start   time.Time
	changed timeList    // when Changed was called, after the start
	failing atomic.Bool // whether Changed fails
	log     lockedText
	stop    func()
}

type timeList struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *timeList) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

func (l *timeList) get() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startRefreshing(t *testing.T, every time.Duration, sources map[string]string) *refreshed {
	t.Helper()
	r := &refreshed{t: t, files: t.TempDir()}
	var err error
	if r.lists, err = OpenLibrary(t.TempDir(), LibraryOptions{FetchOptions: FetchOptions{Limits: Limits{Tries: 1}}}); err != nil {
		t.Fatal(err)
	}
	for id, text := range sources {
		r.write(id, text)
		if _, err := r.lists.Add(t.Context(), ListSource{ID: id, Location: filepath.Join(r.files, id), Category: Dating}, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.start = time.Now()
	ended := make(chan error, 1)
	go func() {
		ended <- NewRefresher(r.lists, RefreshOptions{
			Every: every, Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Random: func() float64 { return 0.5 },
			Changed: func(context.Context) error {
				r.changed.add(time.Since(r.start))
				if r.failing.Load() {
					return errors.New("no memory")
				}
				return nil
			},
		}).Run(ctx)
	}()
	r.stop = func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return r
}

func (r *refreshed) write(id, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.files, id), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// checked returns how long after the start a list was last looked for.
func (r *refreshed) checked(id string) time.Duration {
	for _, l := range r.lists.Lists() {
		if l.ID == id {
			return l.CheckedAt.Sub(r.start)
		}
	}
	return -1
}

func TestRefresher_onSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, 24*time.Hour, map[string]string{
			"a": manyNames(100), "b": manyNames(50),
			"quick": "! Expires: 12 hours\n||a.example^\n", "slow": "! Expires: 3 days\n||a.example^\n",
			"eager": "! Expires: 0 days\n||a.example^\n", "hourly": "! Expires: 1 hour\n||a.example^\n", "lazy": "! Expires: 90 days\n||a.example^\n",
		})
		r.write("a", manyNames(101))
		r.write("b", manyNames(51))
		at := func(h float64) { // with a spread of 1.05
			t.Helper()
			time.Sleep(time.Until(r.start.Add(time.Duration(h * 1.05 * float64(time.Hour)))))
			synctest.Wait()
		}
		at(23.8)
		if len(r.changed.get()) != 0 || r.checked("a") != 0 || r.checked("quick") < 12*time.Hour || r.checked("hourly") < 22*time.Hour || r.checked("slow") != 0 {
			t.Errorf("after 23.8 h: changes %v, checked %v %v %v", r.changed.get(), r.checked("quick"), r.checked("hourly"), r.checked("slow"))
		}
		at(24.2)
		if len(r.changed.get()) != 1 || r.checked("a") < 24*time.Hour || r.lists.Lists()[0].Entries != 101 {
			t.Errorf("after 24.2 h: changes %v, checked %v", r.changed.get(), r.checked("a")) // a and b, but one compile
		}
		at(71)
		if r.checked("slow") != 0 {
			t.Errorf("slow is looked for after %v", r.checked("slow"))
		}
		at(73)
		if r.checked("slow") < 72*time.Hour {
			t.Error("slow is not looked for")
		}
		at(7*24 - 1)
		if r.checked("lazy") != 0 {
			t.Errorf("lazy is looked for after %v", r.checked("lazy"))
		}
		at(7*24 + 1)
		if r.checked("lazy") == 0 {
			t.Error("lazy is not looked for within a week")
		}
		if got := r.log.String(); !strings.Contains(got, "took a new version") || strings.Contains(got, "level=WARN") {
			t.Errorf("log\n%s", got)
		}
		r.stop()
	})
}

func TestRefresher_overdueButNotAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, 24*time.Hour, map[string]string{"a": manyNames(100)})
		r.stop()
		time.Sleep(72 * time.Hour) // the program was off
		r.write("a", manyNames(101))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		from := time.Now()
		var changed atomic.Int64
		go func() {
			ended <- NewRefresher(r.lists, RefreshOptions{
				Every: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler),
				Changed: func(context.Context) error { changed.Store(int64(time.Since(from))); return nil },
			}).Run(ctx)
		}()
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if changed.Load() != 0 {
			t.Errorf("refreshed after %v", time.Duration(changed.Load()))
		}
		time.Sleep(time.Minute + 2*time.Second)
		synctest.Wait()
		if changed.Load() < int64(time.Minute) || r.lists.Lists()[0].Entries != 101 {
			t.Errorf("refreshed after %v", time.Duration(changed.Load()))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRefresher_clockSetBack: a list that was looked for at a time still to come is due.
func TestRefresher_clockSetBack(t *testing.T) {
	l, err := OpenLibrary(t.TempDir(), LibraryOptions{}) // with the system's clock
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(file, []byte(manyNames(100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(t.Context(), ListSource{ID: "a", Location: file, Category: Dating}, nil); err != nil {
		t.Fatal(err)
	}
	r := NewRefresher(l, RefreshOptions{Every: 24 * time.Hour})
	r.spread = 1
	if _, err := l.Update(t.Context(), []string{"a"}, nil); err != nil {
		t.Fatal(err)
	}
	checked := l.Lists()[0].CheckedAt
	if checked != checked.Round(0) {
		t.Error("when a list was looked for is not kept by the wall's clock")
	}
	for _, tt := range []struct {
		name string
		now  time.Time
		want int
	}{
		{"just now", checked, 0},
		{"by some seconds", checked.Add(-5 * time.Second), 0},
		{"by a year", checked.AddDate(-1, 0, 0), 1},
	} {
		if ids, next := r.due(tt.now); len(ids) != tt.want || next.After(tt.now.Add(lookAgain)) {
			t.Errorf("%s: due are %v, the next at %v, want %d lists", tt.name, ids, next, tt.want)
		}
	}
}

func TestRefresher_failuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, 24*time.Hour, map[string]string{"a": manyNames(100), "b": manyNames(100)})
		if err := os.Remove(filepath.Join(r.files, "a")); err != nil {
			t.Fatal(err)
		}
		var tries []time.Duration
		for last := r.checked("a"); time.Since(r.start) < 60*time.Hour; time.Sleep(time.Minute) {
			synctest.Wait()
			if now := r.checked("a"); now != last {
				tries = append(tries, (now - last).Round(10*time.Minute))
				last = now
			}
		}
		// 24 h, then 15 min, 30 min, 1, 2, 4, 8, 16 h, all 5 % later.
		want := []time.Duration{25*time.Hour + 10*time.Minute, 20 * time.Minute, 30 * time.Minute, 60 * time.Minute, 130 * time.Minute, 250 * time.Minute, 500 * time.Minute, 1010 * time.Minute}
		if !slices.Equal(tries, want) {
			t.Errorf("tried after %v, want %v", tries, want)
		}
		s := r.lists.Lists()[0]
		if s.Failures != len(tries) || s.Problem == "" || s.Entries != 100 || r.lists.Stats().Failures["unreachable"] != uint64(len(tries)) {
			t.Errorf("got %+v, %+v", s, r.lists.Stats())
		}
		if len(r.changed.get()) != 0 || !strings.Contains(r.log.String(), "keeping the last good version") {
			t.Errorf("changes %v, log\n%s", r.changed.get(), r.log.String())
		}
		r.write("a", manyNames(101))
		time.Sleep(36 * time.Hour)
		synctest.Wait()
		if s := r.lists.Lists()[0]; s.Failures != 0 || s.Problem != "" || s.Entries != 101 {
			t.Errorf("got %+v", s)
		}
		r.stop()
	})
}

func TestRefresher_heldVersionsAreNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, time.Hour, map[string]string{"a": manyNames(100)})
		r.write("a", manyNames(3))
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if s := r.lists.Lists()[0]; len(r.changed.get()) != 0 || s.Held == nil || !strings.Contains(r.log.String(), "kinward lists accept a") {
			t.Errorf("changes %v, %+v\n%s", r.changed.get(), s, r.log.String())
		}
		if _, _, err := r.lists.Accept("a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if s := r.lists.Lists()[0]; s.Entries != 3 || s.Held != nil {
			t.Errorf("got %+v", s)
		}
		r.stop()
	})
}

// TestRefresher_compilesAgainLater: a version that came but could not be put in
// force is not forgotten.
func TestRefresher_compilesAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, 24*time.Hour, map[string]string{"a": manyNames(100)})
		r.write("a", manyNames(101))
		r.failing.Store(true)
		time.Sleep(27 * time.Hour)
		synctest.Wait()
		if n := len(r.changed.get()); n < 3 || n > 6 || !strings.Contains(r.log.String(), "no memory") {
			t.Errorf("tried at %v\n%s", r.changed.get(), r.log.String())
		}
		r.failing.Store(false)
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		n := len(r.changed.get())
		time.Sleep(20 * time.Hour)
		synctest.Wait()
		if len(r.changed.get()) != n {
			t.Errorf("compiled for nothing, at %v", r.changed.get())
		}
		r.stop()
	})
}

// TestRefresher_aDiskThatIsFull is no reason to try without a pause.
func TestRefresher_aDiskThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, time.Hour, map[string]string{"a": manyNames(100)})
		if err := os.Rename(r.lists.dir, r.lists.dir+"-gone"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if n := strings.Count(r.log.String(), "trying again later"); n < 3 || n > 10 {
			t.Errorf("%d times\n%s", n, r.log.String())
		}
		r.stop()
	})
}

func TestRefresher_off(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startRefreshing(t, 0, map[string]string{"a": "! Expires: 1 day\n||a.example^\n"})
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		if r.checked("a") != 0 {
			t.Errorf("looked for after %v", r.checked("a"))
		}
		r.stop()
	})
}

// TestRefresher_namesNoSecrets: problems stand in logs.
func TestRefresher_namesNoSecrets(t *testing.T) {
	url := serve(t, sendText(manyNames(100)))
	l := openTest(t, t.TempDir())
	secret := strings.Replace(url, "//", "//user:password@", 1) + "/l?token=abc"
	if _, err := l.Add(t.Context(), ListSource{ID: "l", Location: secret, Mirrors: []string{secret + "d"}}, nil); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := NewRefresher(l, RefreshOptions{Every: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, problem := range []string{"", "gone"} {
		if problem != "" {
			l.fetch = NewFetcher(FetchOptions{Sleep: noWait})
		}
		u, err := l.Update(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []Outcome{Taken, u[0].Outcome} {
			u[0].Outcome = o
			r.tell(u[0])
		}
		text := log.String() + fmt.Sprint(u[0].Problem, u[0].From)
		for _, bad := range []string{"password", "user:", "abc"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q stands in\n%s", bad, text)
			}
		}
	}
	if !strings.Contains(log.String(), "private network") {
		t.Errorf("log\n%s", log.String())
	}
}
