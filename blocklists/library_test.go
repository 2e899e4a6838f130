package blocklists

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listServer serves one list, which a test changes.
type listServer struct {
	mu      sync.Mutex
	handler http.HandlerFunc
	asked   int
}

func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	h := s.handler
	s.mu.Unlock()
	h(w, r)
}

func (s *listServer) set(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func sendText(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// newList returns a library with one list, "l", of 100 names.
func newList(t *testing.T) (*Library, *listServer, string) {
	t.Helper()
	s := &listServer{handler: sendText(manyNames(100))}
	url := serve(t, s.ServeHTTP) + "/l.txt"
	dir := t.TempDir()
	l := openTest(t, dir)
	if _, err := l.Add(t.Context(), ListSource{Location: url, Category: Dating}, nil); err != nil {
		t.Fatal(err)
	}
	return l, s, dir
}

func openTest(t *testing.T, dir string) *Library {
	t.Helper()
	tick := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	l, err := OpenLibrary(dir, LibraryOptions{
		FetchOptions: FetchOptions{AllowPrivate: true, Limits: Limits{Stall: 5 * time.Second}, Sleep: noWait},
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			tick = tick.Add(time.Hour)
			return tick
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func entryCount(t *testing.T, l *Library, id string) int {
	t.Helper()
	n := 0
	if err := l.Entries(id, func(Entry) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestLibrary_keepsListsAcrossRestarts(t *testing.T) {
	l, _, dir := newList(t)
	want := l.Lists()
	if len(want) != 1 || want[0].ID != "l" || want[0].Name != "l" || want[0].Entries != 100 || want[0].Category != Dating || want[0].Problem != "" {
		t.Fatalf("got %+v", want)
	}
	again := openTest(t, dir)
	if d := cmp.Diff(want, again.Lists()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if n := entryCount(t, again, "l"); n != 100 {
		t.Errorf("%d entries", n)
	}
	if files := filesIn(t, dir); len(files) != 2 {
		t.Errorf("files %q", files)
	}
}

func TestLibrary_AddRefusesAndKeepsNothing(t *testing.T) {
	l, s, dir := newList(t)
	location := l.Lists()[0].Location
	for _, tt := range []struct {
		name   string
		source ListSource
		text   string
		want   error
	}{
		{"the same ID", ListSource{ID: "l", Location: location}, "a.example\n", ErrListExists},
		{"a bad ID", ListSource{ID: "../l", Location: location}, "a.example\n", ErrBadListID},
		{"a top-level domain", ListSource{ID: "m", Location: location}, "a.example\ncom\n", ErrBlocksTLD},
		{"a page", ListSource{ID: "m", Location: location}, "<html>", ErrWebPage},
		{"no names", ListSource{ID: "m", Location: location}, "# soon\n", ErrNoNames},
		{"no place", ListSource{ID: "m", Location: "lists/porn.txt"}, "", ErrBadLocation},
	} {
		s.set(sendText(tt.text))
		if _, err := l.Add(t.Context(), tt.source, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if lists := l.Lists(); len(lists) != 1 || len(filesIn(t, dir)) != 2 {
			t.Errorf("%s: kept %+v, files %q", tt.name, lists, filesIn(t, dir))
		}
	}
}

func TestLibrary_UpdateTakesANewCopy(t *testing.T) {
	l, s, dir := newList(t)
	before := l.Lists()[0]
	s.set(sendText(manyNames(120)))
	var told int64
	got, err := l.Update(t.Context(), nil, func(e Event) {
		if e.List == "l" {
			told = e.Done
		}
	})
	if err != nil || len(got) != 1 || got[0].Entries != 120 || got[0].Problem != "" || !got[0].FetchedAt.After(before.FetchedAt) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if told == 0 {
		t.Error("no progress was told")
	}
	if n := entryCount(t, l, "l"); n != 120 {
		t.Errorf("%d entries", n)
	}
	if files := filesIn(t, dir); len(files) != 3 {
		t.Errorf("want the copy in force and the one before: %q", files)
	}
}

func TestLibrary_UpdateOfWhatIsNotModified(t *testing.T) {
	l, s, dir := newList(t)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, manyNames(100))
	})
	first, err := l.Update(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := l.Update(t.Context(), nil, nil)
	if err != nil || second[0].Problem != "" || !second[0].FetchedAt.Equal(first[0].FetchedAt) || !second[0].CheckedAt.After(first[0].CheckedAt) {
		t.Fatalf("got %+v after %+v, %v", second, first, err)
	}
	if n := entryCount(t, l, "l"); n != 100 {
		t.Errorf("%d entries", n)
	}
	// "Not modified" must not keep a copy that went bad.
	damage(t, dir)
	third, err := l.Update(t.Context(), nil, nil)
	if err != nil || !third[0].FetchedAt.After(first[0].FetchedAt) || entryCount(t, l, "l") != 100 {
		t.Errorf("got %+v, %v", third, err)
	}
}

// damage flips a bit in the kept copy.
func damage(t *testing.T, dir string) {
	t.Helper()
	copies, _ := filepath.Glob(filepath.Join(dir, "*"+copySuffix))
	if len(copies) != 1 {
		t.Fatalf("copies %q", copies)
	}
	b, err := os.ReadFile(copies[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(copies[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLibrary_aFailedUpdateKeepsTheLastGoodCopy(t *testing.T) {
	bomb := gzipped(t, strings.Repeat("a.example\n", 400_000)) // not while a client waits
	for _, tt := range []struct {
		name    string
		problem string
		handler http.HandlerFunc
	}{
		{"page", "web page", sendText("<!doctype html>")},
		{"404", "404", http.NotFound},
		{"redirect loop", "redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }},
		{"cut", "incomplete", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			io.WriteString(w, manyNames(99))
		}},
		{"bomb", "unpacks", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(bomb)
		}},
		{"top-level domain", ".com", sendText(manyNames(99) + "com\n")},
		{"empty", "no name", sendText("")},
		{"server gone", "connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, s, dir := newList(t)
			before := l.Lists()[0]
			s.set(tt.handler)
			got, err := l.Update(t.Context(), []string{"l"}, nil)
			if err != nil || len(got) != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if tt.name != "server gone" && !strings.Contains(got[0].Problem, tt.problem) || got[0].Problem == "" {
				t.Errorf("problem %q does not say %q", got[0].Problem, tt.problem)
			}
			if got[0].Entries != 100 || got[0].SHA256 != before.SHA256 || !got[0].FetchedAt.Equal(before.FetchedAt) || !got[0].CheckedAt.After(before.CheckedAt) {
				t.Errorf("got %+v", got[0])
			}
			if n := entryCount(t, l, "l"); n != 100 {
				t.Errorf("%d entries", n)
			}
			again := openTest(t, dir)
			if p := again.Lists()[0].Problem; p != got[0].Problem || entryCount(t, again, "l") != 100 || len(filesIn(t, dir)) != 2 {
				t.Errorf("after a restart: problem %q, files %q", p, filesIn(t, dir))
			}
			s.set(sendText(manyNames(101)))
			if got, err := again.Update(t.Context(), nil, nil); err != nil || got[0].Problem != "" || got[0].Entries != 101 {
				t.Errorf("a good update later: got %+v, %v", got, err)
			}
		})
	}
}

func TestPlausible(t *testing.T) {
	for _, tt := range []struct {
		last, next int
		want       error
	}{
		{500_282, 2, ErrCollapsed},
		{100, 50, nil},
		{100, 49, ErrCollapsed},
		{101, 50, ErrCollapsed},
		{2, 1, nil},
		{3, 1, ErrCollapsed},
		{1000, 3000, nil},
		{1000, 3001, ErrExploded},
		{1, 3, nil},
		{1, 4, ErrExploded},
		{999, 1_000_000, ErrExploded},
	} {
		if err := plausible(tt.last, tt.next); !errors.Is(err, tt.want) {
			t.Errorf("%d to %d: got %v", tt.last, tt.next, err)
		}
	}
}

// TestLibrary_survivesAKill: whatever an interrupted update left, the last good
// copy is used and the rest is cleared away.
func TestLibrary_survivesAKill(t *testing.T) {
	l, _, dir := newList(t)
	left := []string{
		".tmp-123", // before the copy's rename, or before that of lists.json
		"l." + strings.Repeat("0", 16) + copySuffix, // between the two renames
	}
	for _, f := range left {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("half a li"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := l.Lists()
	again := openTest(t, dir)
	if d := cmp.Diff(want, again.Lists()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if n := entryCount(t, again, "l"); n != 100 {
		t.Errorf("%d entries", n)
	}
	for _, f := range filesIn(t, dir) {
		if slices.Contains(left, f) {
			t.Errorf("%s is still there", f)
		}
	}
}

func TestLibrary_EntriesTellsDamage(t *testing.T) {
	l, s, dir := newList(t)
	damage(t, dir)
	if err := l.Entries("l", func(Entry) error { return nil }); !errors.Is(err, ErrDamagedCopy) {
		t.Errorf("damaged: got %v", err)
	}
	copies, _ := filepath.Glob(filepath.Join(dir, "*"+copySuffix))
	if err := os.WriteFile(copies[0], gzipped(t, manyNames(99)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Entries("l", func(Entry) error { return nil }); !errors.Is(err, ErrDamagedCopy) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another content: got %v", err)
	}
	if err := os.Remove(copies[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.Entries("l", func(Entry) error { return nil }); !errors.Is(err, ErrDamagedCopy) {
		t.Errorf("missing: got %v", err)
	}
	if err := l.Entries("m", func(Entry) error { return nil }); !errors.Is(err, ErrNoSuchList) {
		t.Errorf("unknown: got %v", err)
	}
	s.set(sendText(manyNames(100)))
	if _, err := l.Update(t.Context(), nil, nil); err != nil || entryCount(t, l, "l") != 100 {
		t.Errorf("an update mends it: got %v", err)
	}
	stop := errors.New("stop")
	if err := l.Entries("l", func(Entry) error { return stop }); !errors.Is(err, stop) || errors.Is(err, ErrDamagedCopy) {
		t.Errorf("emit's error: got %v", err)
	}
}

func TestLibrary_Remove(t *testing.T) {
	l, _, dir := newList(t)
	if err := l.Remove("m"); !errors.Is(err, ErrNoSuchList) {
		t.Errorf("unknown: got %v", err)
	}
	if err := l.Remove("l"); err != nil {
		t.Fatal(err)
	}
	if len(l.Lists()) != 0 || len(openTest(t, dir).Lists()) != 0 || !slices.Equal(filesIn(t, dir), []string{stateFile}) {
		t.Errorf("left: %+v, %q", l.Lists(), filesIn(t, dir))
	}
	if _, err := l.Update(t.Context(), []string{"l"}, nil); !errors.Is(err, ErrNoSuchList) {
		t.Errorf("update: got %v", err)
	}
	if got, err := l.Update(t.Context(), nil, nil); err != nil || len(got) != 0 {
		t.Errorf("update of nothing: got %v, %v", got, err)
	}
}

// TestLibrary_readsWhileFetching: a server that keeps an update waiting keeps
// nobody else waiting, and a list removed meanwhile stays removed.
func TestLibrary_readsWhileFetching(t *testing.T) {
	l, s, _ := newList(t)
	reached, release := make(chan bool), make(chan bool)
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		io.WriteString(w, manyNames(100))
	})
	done := make(chan error, 1)
	go func() {
		got, err := l.Update(context.WithoutCancel(t.Context()), nil, nil)
		if err == nil && len(got) != 0 {
			err = fmt.Errorf("a removed list came back: %+v", got)
		}
		done <- err
	}()
	<-reached
	if len(l.Lists()) != 1 || entryCount(t, l, "l") != 100 {
		t.Error("the last good copy is not usable during an update")
	}
	if err := l.Remove("l"); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := l.Lists(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestLibrary_concurrentUse(t *testing.T) {
	l, s, dir := newList(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				s.set(sendText(manyNames(100 + i*10 + j)))
				if _, err := l.Update(t.Context(), nil, nil); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if err := l.Entries("l", func(Entry) error { return nil }); err != nil {
					t.Error(err)
				}
				l.Lists()
			}
		})
	}
	wg.Wait()
	if files := filesIn(t, dir); len(files) != 3 { // lists.json, the copy in force, the one before
		t.Errorf("files %q", files)
	}
}

func TestLibrary_aDoneContextIsNoProblemOfTheList(t *testing.T) {
	l, _, _ := newList(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Update(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if p := l.Lists()[0].Problem; p != "" {
		t.Errorf("problem %q", p)
	}
}

func TestOpenLibrary_isStrict(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for name, text := range map[string]string{
		"a field it does not know":    `{"version":1,"lists":[],"colour":"red"}`,
		"a list's field":              `{"version":1,"lists":[{"id":"l","sha256":"` + sum + `","colour":"red"}]}`,
		"another version":             `{"version":3,"lists":[]}`,
		"something behind":            `{"version":1,"lists":[]} {}`,
		"an ID that leads elsewhere":  `{"version":1,"lists":[{"id":"../l","sha256":"` + sum + `"}]}`,
		"a hash that leads elsewhere": `{"version":1,"lists":[{"id":"l","sha256":"../../../../etc/passwd"}]}`,
		"an ID twice":                 `{"version":1,"lists":[{"id":"l","sha256":"` + sum + `"},{"id":"l","sha256":"` + sum + `"}]}`,
		"a format it does not know":   `{"version":1,"lists":[{"id":"l","format":"pac","sha256":"` + sum + `"}]}`,
		"half a file":                 `{"version":1,`,
		"nothing":                     ``,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, stateFile)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLibrary(dir, LibraryOptions{}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
}

func TestLibrary_ListsAreTheCallers(t *testing.T) {
	l, s, _ := newList(t)
	s.set(sendText("192.0.2.1\n" + manyNames(100)))
	if _, err := l.Update(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	got := l.Lists()[0]
	got.Report.Skipped[SkipIP] = 99
	got.Report.Examples[0].Line = 99
	if again := l.Lists()[0]; again.Report.Skipped[SkipIP] != 1 || again.Report.Examples[0].Line != 1 {
		t.Errorf("got %+v", again.Report)
	}
}
