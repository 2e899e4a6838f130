//go:build unix

package blocklists

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The process that is killed, or runs out of disk, is this test binary once
// more, with these variables set.
const (
	childDir   = "KINWARD_TEST_CHILD_DIR"   // of the library whose lists it updates
	childStage = "KINWARD_TEST_CHILD_STAGE" // where it says so and waits for its end
	childLimit = "KINWARD_TEST_CHILD_LIMIT" // bytes that a file may have
)

// TestLibraryChild is the other process; in a run of the tests it is nothing.
func TestLibraryChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	stop := func(stage string) {
		if stage == os.Getenv(childStage) {
			fmt.Println("at", stage)
			select {}
		}
	}
	l, err := OpenLibrary(dir, LibraryOptions{FetchOptions: FetchOptions{AllowPrivate: true, Limits: Limits{Tries: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	l.step = stop
	if text := os.Getenv(childLimit); text != "" {
		signal.Ignore(syscall.SIGXFSZ) // so that a write fails as on a full disk
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(text, &limit.Cur)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.Update(t.Context(), nil, func(e Event) {
		if e.Done > 50_000 {
			stop("downloading")
		}
	})
	for _, u := range got {
		fmt.Println("outcome", u.Outcome, u.Problem)
	}
	fmt.Println("error", err)
	n := 0
	if err := l.Entries("l", func(Entry) error { n++; return nil }); err != nil {
		fmt.Println("entries", err)
	}
	fmt.Println("entries", n)
}

// bigNames is a list of n names that does not compress well.
func bigNames(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "x%x%x.x%x%x.example\n", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	}
	return b.String()
}

// startChild runs the other process.
func startChild(t *testing.T, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestLibraryChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestLibrary_killedAnywhere ends the process without a warning in the middle
// of a fetch and between any two files: the list has the version it had or the
// new one, whole, and nothing is left behind.
func TestLibrary_killedAnywhere(t *testing.T) {
	for stage, want := range map[string]int{
		"downloading": 100, // the last good one
		"fetched":     100,
		"copied":      100, // its file is there, lists.json does not know it
		"recorded":    290, // the old ones are not cleared away yet
	} {
		t.Run(stage, func(t *testing.T) {
			l, s, dir := newList(t)
			for _, n := range []int{101, 102} {
				s.set(sendText(manyNames(n)))
				update(t, l, Taken, n)
			}
			if _, _, err := l.Rollback("l"); err != nil { // so that there is a held one too
				t.Fatal(err)
			}
			s.set(sendText(manyNames(100)))
			update(t, l, Taken, 100)
			text := bigNames(290) + strings.Repeat("# so that the download takes several packets\n", 20_000)
			s.set(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, text[:len(text)/2])
				w.(http.Flusher).Flush()
				if stage == "downloading" {
					<-r.Context().Done()
					return
				}
				io.WriteString(w, text[len(text)/2:])
			})
			cmd, out := startChild(t, childDir+"="+dir, childStage+"="+stage)
			for out.Scan() && out.Text() != "at "+stage {
				t.Log(out.Text())
			}
			if out.Text() != "at "+stage {
				t.Fatalf("it ended before: %v", out.Err())
			}
			if stage == "downloading" && len(filesIn(t, dir)) != 4 {
				t.Errorf("no half list is there to be left: %q", filesIn(t, dir))
			}
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()

			again := openTest(t, dir)
			status := again.Lists()[0]
			if status.Entries != want || entryCount(t, again, "l") != want {
				t.Errorf("%d entries, want %d", status.Entries, want)
			}
			if files := filesIn(t, dir); len(files) != 3 {
				t.Errorf("files %q", files)
			}
			s.set(sendText(text))
			outcome := Taken
			if want == 290 {
				outcome = Unchanged
			}
			update(t, again, outcome, 290)
			if _, _, err := again.Rollback("l"); err != nil || entryCount(t, again, "l") != 100 {
				t.Errorf("rollback: %v", err)
			}
		})
	}
}

// TestLibrary_killedAtRandom does so at moments of chance, many times.
func TestLibrary_killedAtRandom(t *testing.T) {
	_, s, dir := newList(t)
	n := 0
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		n++
		io.WriteString(w, manyNames(1000+n))
	})
	for i := range 12 {
		cmd, out := startChild(t, childDir+"="+dir)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for out.Scan() {
			}
		}()
		select {
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		case <-done:
		}
		cmd.Process.Kill()
		<-done
		cmd.Wait()
		again := openTest(t, dir)
		if got := again.Lists(); len(got) != 1 || entryCount(t, again, "l") != got[0].Entries || len(filesIn(t, dir)) > 4 {
			t.Fatalf("kill %d: %+v, files %q", i, got, filesIn(t, dir))
		}
	}
}

// TestLibrary_fullDisk: writes fail, for the copy alone or for lists.json too.
// The last good version stays, and a disk with room again is used.
func TestLibrary_fullDisk(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit string
		says  []string
	}{
		{"no room for the copy", "6000", []string{"outcome failed", ErrNoRoom.Error(), "error <nil>", "entries 100"}},
		{"no room for anything", "10", []string{"error updating list", ErrNoRoom.Error(), "entries 100"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, s, dir := newList(t)
			s.set(sendText(bigNames(290)))
			cmd, out := startChild(t, childDir+"="+dir, childLimit+"="+tt.limit)
			var text strings.Builder
			for out.Scan() {
				fmt.Fprintln(&text, out.Text())
			}
			cmd.Wait()
			for _, want := range tt.says {
				if !strings.Contains(text.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, text.String())
				}
			}
			if files := filesIn(t, dir); len(files) != 2 {
				t.Errorf("files %q", files)
			}
			l := openTest(t, dir)
			update(t, l, Taken, 290)
			if got := l.Lists()[0]; got.Failures != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestLibrary_fullDiskBetweenFiles: the copy found room, lists.json does not.
func TestLibrary_fullDiskBetweenFiles(t *testing.T) {
	l, s, dir := newList(t)
	s.set(sendText(manyNames(120)))
	l.step = func(stage string) {
		if stage == "copied" {
			l.dir = filepath.Join(dir, "gone")
		}
	}
	_, err := l.Update(t.Context(), nil, nil)
	l.dir = dir
	if !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v", err)
	}
	if n := entryCount(t, l, "l"); n != 100 || l.Lists()[0].Entries != 100 {
		t.Errorf("%d entries", n)
	}
	l = openTest(t, dir)
	if files := filesIn(t, dir); len(files) != 2 {
		t.Errorf("files %q", files)
	}
	update(t, l, Taken, 120)
}
