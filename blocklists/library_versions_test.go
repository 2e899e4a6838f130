package blocklists

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update runs one update of the only list and checks what it came to.
func update(t *testing.T, l *Library, want Outcome, entries int) Updated {
	t.Helper()
	got, err := l.Update(t.Context(), nil, nil)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got[0].Outcome != want || got[0].Entries != entries {
		t.Fatalf("got %v with %d entries (problem %q); want %v with %d", got[0].Outcome, got[0].Entries, got[0].Problem, want, entries)
	}
	if n := entryCount(t, l, "l"); n != entries {
		t.Fatalf("%d entries are in force, want %d", n, entries)
	}
	return got[0]
}

// sendTagged serves a text with a strong ETag, and knows "not modified".
func sendTagged(text string) http.HandlerFunc {
	tag := fmt.Sprintf(`"%d"`, len(text))
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, text)
	}
}

// TestLibrary_holdsWhatIsNotPlausible, with and without the server's help to
// tell versions apart.
func TestLibrary_holdsWhatIsNotPlausible(t *testing.T) {
	for name, send := range map[string]func(string) http.HandlerFunc{"without ETags": sendText, "with ETags": sendTagged} {
		t.Run(name, func(t *testing.T) {
			l, s, dir := newList(t)
			for _, n := range []int{290, 800, 2000} { // from 100: each step is one that a list may take
				s.set(send(manyNames(n)))
				update(t, l, Taken, n)
			}
			good := l.Lists()[0]

			s.set(send(manyNames(900) + "new.example\n"))
			u := update(t, l, WasHeld, 2000)
			if u.Held == nil || u.Held.Entries != 901 || !strings.Contains(u.Problem, "901 names after 2,000") || u.SHA256 != good.SHA256 || u.Failures != 0 {
				t.Fatalf("got %+v", u.ListStatus)
			}
			want := Changes{Added: 1, Removed: 1100, AddedNames: []string{"new.example"}}
			if got := u.Held.Changes; got.Added != want.Added || got.Removed != want.Removed || !slices.Equal(got.AddedNames, want.AddedNames) || len(got.RemovedNames) != changesShown {
				t.Errorf("changes %+v, want %+v", got, want)
			}
			if again := update(t, l, WasHeld, 2000); again.Problem != u.Problem || !again.Held.FetchedAt.Equal(u.Held.FetchedAt) {
				t.Errorf("the same one again: %+v", again)
			}
			l = openTest(t, dir)
			if again := update(t, l, WasHeld, 2000); again.Held.Entries != 901 {
				t.Errorf("after a restart: %+v", again)
			}
			// Another one takes its place.
			s.set(send(manyNames(6001)))
			u = update(t, l, WasHeld, 2000)
			if u.Held.Entries != 6001 || !errors.Is(plausible(2000, 6001), ErrExploded) || len(filesIn(t, dir)) != 4 {
				t.Errorf("got %+v, files %q", u.Held, filesIn(t, dir))
			}
			// A good one ends it.
			s.set(send(manyNames(2001)))
			if u = update(t, l, Taken, 2001); u.Held != nil || u.Problem != "" || u.Previous == nil || u.Previous.Entries != 2000 || len(filesIn(t, dir)) != 3 {
				t.Errorf("got %+v, files %q", u, filesIn(t, dir))
			}
			// And so does the one in force, come back.
			s.set(send(manyNames(10)))
			update(t, l, WasHeld, 2001)
			s.set(send(manyNames(2001)))
			if u = update(t, l, Unchanged, 2001); u.Held != nil || u.Problem != "" || len(filesIn(t, dir)) != 3 {
				t.Errorf("got %+v, files %q", u, filesIn(t, dir))
			}
			stats := l.Stats()
			if stats.Failures["collapse"] == 0 || stats.Failures["explosion"] != 1 || stats.Outcomes[WasHeld] != 3 || stats.Outcomes[Taken] != 1 {
				t.Errorf("stats %+v", stats)
			}
		})
	}
}

func TestLibrary_Accept(t *testing.T) {
	for name, send := range map[string]func(string) http.HandlerFunc{"without ETags": sendText, "with ETags": sendTagged} {
		t.Run(name, func(t *testing.T) {
			l, s, dir := newList(t)
			if _, _, err := l.Accept("l"); !errors.Is(err, ErrNothingHeld) {
				t.Errorf("nothing held: got %v", err)
			}
			if _, _, err := l.Accept("m"); !errors.Is(err, ErrNoSuchList) {
				t.Errorf("unknown: got %v", err)
			}
			s.set(send(manyNames(40)))
			update(t, l, WasHeld, 100)
			got, changes, err := l.Accept("l")
			if err != nil || got.Entries != 40 || got.Held != nil || got.Problem != "" || got.Previous.Entries != 100 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if changes.Added != 0 || changes.Removed != 60 {
				t.Errorf("changes %+v", changes)
			}
			if n := entryCount(t, l, "l"); n != 40 {
				t.Errorf("%d entries", n)
			}
			l = openTest(t, dir)
			update(t, l, Unchanged, 40) // the same one again does not flip it
			update(t, l, Unchanged, 40)
		})
	}
}

func TestLibrary_Rollback(t *testing.T) {
	for name, send := range map[string]func(string) http.HandlerFunc{"without ETags": sendText, "with ETags": sendTagged} {
		t.Run(name, func(t *testing.T) {
			l, s, dir := newList(t)
			if _, _, err := l.Rollback("l"); !errors.Is(err, ErrNoPrevious) {
				t.Errorf("nothing before: got %v", err)
			}
			s.set(send(manyNames(100) + "wrong.example\n"))
			update(t, l, Taken, 101)
			got, changes, err := l.Rollback("l")
			if err != nil || got.Entries != 100 || got.Previous != nil || got.Held == nil || !got.Held.RolledBack || got.Problem != "" {
				t.Fatalf("got %+v, %v", got, err)
			}
			if d := cmp.Diff(Changes{Removed: 1, RemovedNames: []string{"wrong.example"}}, changes); d != "" {
				t.Errorf("changes (-want +got)\n%s", d)
			}
			if d := cmp.Diff(Changes{Added: 1, AddedNames: []string{"wrong.example"}}, got.Held.Changes); d != "" {
				t.Errorf("the held one's changes (-want +got)\n%s", d)
			}
			update(t, l, RolledBack, 100) // not taken again
			l = openTest(t, dir)
			if u := update(t, l, RolledBack, 100); u.Held == nil || len(filesIn(t, dir)) != 3 {
				t.Errorf("got %+v, files %q", u, filesIn(t, dir))
			}
			// It can be undone.
			if got, _, err = l.Accept("l"); err != nil || got.Entries != 101 || got.Previous.Entries != 100 {
				t.Fatalf("got %+v, %v", got, err)
			}
			update(t, l, Unchanged, 101)
			if _, _, err = l.Rollback("l"); err != nil {
				t.Fatal(err)
			}
			// A different one is taken; after that the refused one may come again.
			s.set(send(manyNames(105)))
			if u := update(t, l, Taken, 105); u.Held != nil || u.Previous.Entries != 100 || len(filesIn(t, dir)) != 3 {
				t.Errorf("got %+v, files %q", u, filesIn(t, dir))
			}
			s.set(send(manyNames(100) + "wrong.example\n"))
			update(t, l, Taken, 101)
		})
	}
}

// TestLibrary_RollbackWhileOneIsHeld: what a guard held gives way to what was
// rolled back from, and comes back by itself.
func TestLibrary_RollbackWhileOneIsHeld(t *testing.T) {
	l, s, dir := newList(t)
	s.set(sendTagged(manyNames(110)))
	update(t, l, Taken, 110)
	s.set(sendTagged(manyNames(10)))
	update(t, l, WasHeld, 110)
	got, _, err := l.Rollback("l")
	if err != nil || got.Entries != 100 || got.Held.Entries != 110 || len(filesIn(t, dir)) != 3 {
		t.Fatalf("got %+v, %v, files %q", got, err, filesIn(t, dir))
	}
	if u := update(t, l, WasHeld, 100); u.Held.Entries != 10 { // the server's "not modified" would hide it
		t.Errorf("got %+v", u.Held)
	}
	s.set(sendTagged(manyNames(110)))
	update(t, l, RolledBack, 100)
}

func TestLibrary_damagedVersions(t *testing.T) {
	l, s, dir := newList(t)
	spoil := func(sum string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, copyName("l", sum)), gzipped(t, "other.example\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.set(sendText(manyNames(110)))
	update(t, l, Taken, 110)
	spoil(l.Lists()[0].Previous.SHA256)
	if _, _, err := l.Rollback("l"); !errors.Is(err, ErrDamagedCopy) || entryCount(t, l, "l") != 110 {
		t.Errorf("rollback to a damaged copy: got %v", err)
	}
	s.set(sendText(manyNames(10)))
	held := update(t, l, WasHeld, 110).Held.SHA256
	spoil(held)
	if _, _, err := l.Accept("l"); !errors.Is(err, ErrDamagedCopy) || entryCount(t, l, "l") != 110 {
		t.Errorf("accepting a damaged copy: got %v", err)
	}
	update(t, l, WasHeld, 110) // brings it whole
	// The way out of a damaged copy in force needs nothing of it.
	spoil(l.Lists()[0].SHA256)
	if got, changes, err := l.Accept("l"); err != nil || got.Entries != 10 || !changes.none() && changes.Removed != 100 || entryCount(t, l, "l") != 10 {
		t.Errorf("got %+v, %+v, %v", got, changes, err)
	}
	// A damaged copy is nothing to go back to.
	spoil(l.Lists()[0].SHA256)
	s.set(sendText(manyNames(11)))
	got, err := l.Update(t.Context(), nil, nil)
	if err != nil || got[0].Outcome != Taken || got[0].Previous == nil || got[0].Previous.Entries != 110 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestLibrary_readsVersionOne: a folder of the program before this one.
func TestLibrary_readsVersionOne(t *testing.T) {
	l, s, dir := newList(t)
	sum := l.Lists()[0].SHA256
	text := `{"version":1,"lists":[{"id":"l","name":"l","location":"` + l.Lists()[0].Location + `","format":"auto","category":"dating","match":"auto",
		"entries":100,"report":{"format":"domains","lines":100,"taken":100},"fetchedAt":"2026-09-01T00:00:00Z","checkedAt":"2026-09-01T00:00:00Z",
		"sha256":"` + sum + `","bytes":9,"validators":{"etag":"\"1\""}}]}`
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, dir)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != `"1"` {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(http.StatusNotModified)
	})
	update(t, l, Unchanged, 100)
	if again := openTest(t, dir).Lists()[0]; again.Entries != 100 || again.Category != Dating {
		t.Errorf("got %+v", again)
	}
}

func TestLibrary_mirrorsAndMembers(t *testing.T) {
	archive := gzipped(t, string(family(t)))
	good := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(archive) })
	bad := serve(t, http.NotFound)
	l := openTest(t, t.TempDir())
	got, err := l.Add(t.Context(), ListSource{ID: "l", Location: bad, Mirrors: []string{good}, Member: "lists/gambling", Category: Gambling}, nil)
	if err != nil || got.Entries != 1 || got.From != good {
		t.Fatalf("got %+v, %v", got, err)
	}
	update(t, l, Unchanged, 1)
	if _, err := l.Add(t.Context(), ListSource{ID: "m", Location: bad, Mirrors: make([]string, 8)}, nil); !errors.Is(err, ErrBadLocation) {
		t.Errorf("too many mirrors: got %v", err)
	}
	if got := l.Stats(); got.Outcomes[Taken] != 1 || got.Outcomes[Unchanged] != 1 {
		t.Errorf("stats %+v", got)
	}
	if _, err := l.Add(t.Context(), ListSource{ID: "m", Location: good}, nil); !errors.Is(err, ErrMember) || l.Stats().Failures["archive"] != 1 {
		t.Errorf("got %v, %+v", err, l.Stats())
	}
}

// TestLibrary_patterns: only a list that opts in has them, also when it is
// compared.
func TestLibrary_patterns(t *testing.T) {
	s := &listServer{handler: sendText("||ads*.a.example^\n||b.example^\n")}
	url := serve(t, s.ServeHTTP)
	for _, on := range []bool{false, true} {
		l := openTest(t, t.TempDir())
		got, err := l.Add(t.Context(), ListSource{ID: "l", Location: url, Patterns: on}, nil)
		if err != nil || (got.Report.Patterns == 1) != on {
			t.Fatalf("patterns %v: got %+v, %v", on, got.Report, err)
		}
	}
	l := openTest(t, t.TempDir())
	s.set(sendText("||ads*.a.example^\n||b.example^\n"))
	if _, err := l.Add(t.Context(), ListSource{ID: "l", Location: url, Patterns: true}, nil); err != nil {
		t.Fatal(err)
	}
	s.set(sendText("||ads*.c.example^\n||b.example^\n"))
	update(t, l, Taken, 2)
	if _, ch, err := l.Rollback("l"); err != nil || ch.Added != 1 || ch.Removed != 1 || !strings.Contains(ch.AddedNames[0], "a.example") {
		t.Errorf("got %+v, %v", ch, err)
	}
}

func TestCompareCopies(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	add := func(id, text string) copyOnDisk {
		file := filepath.Join(t.TempDir(), id)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Add(t.Context(), ListSource{ID: id, Location: file}, nil); err != nil {
			t.Fatal(err)
		}
		r := (*l.state.Load())[id]
		return l.versionFile(r, r.Version)
	}
	base := manyNames(1000)
	from := add("from", base)
	to := add("to", strings.Join(strings.SplitAfter(base, "\n")[10:], "")+"x.example\ny.example\n")
	same := add("same", base)
	for _, share := range []int{20, 300, compareShare} {
		got, err := compareInShares(from, to, share)
		slices.Sort(got.AddedNames)
		if err != nil || got.Added != 2 || got.Removed != 10 || !slices.Equal(got.AddedNames, []string{"x.example", "y.example"}) || len(got.RemovedNames) != changesShown {
			t.Errorf("in shares of %d: %+v, %v", share, got, err)
		}
		for _, name := range got.RemovedNames {
			if !strings.Contains(strings.Join(strings.SplitAfter(base, "\n")[:10], ""), name+"\n") {
				t.Errorf("%s is not gone", name)
			}
		}
		if got, err := compareInShares(from, same, share); err != nil || !got.none() {
			t.Errorf("with itself in shares of %d: %+v, %v", share, got, err)
		}
	}
}
