package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A stepped clock is the program's wall clock, set forward and back by a test. The
// program reads the time in many places, and so do the libraries in it, so it is not
// told: it is built once more over a standard library whose time.Now adds what stands
// in a page of memory that the test writes (go build -overlay). Nothing of it is in
// the source of the program, nor in what is shipped. As when a system's clock is set,
// monotonic time and timers go on as before; times of files stay as they are.
type steppedClock struct {
	file       string
	step       *int64       // nanoseconds that the program's clock is ahead
	generation atomic.Int64 // odd while it is set
}

// steppedVariable names the file of the page, to the program that is built for it.
const steppedVariable = "STEPPED_CLOCK"

// These replace the beginning of time.Now, and the import that it needs.
const (
	nowBegins  = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	nowStepped = nowBegins + `	if Step != nil {
		ns := int64(nsec) + atomic.LoadInt64(Step)
		sec += ns / 1e9
		if ns %= 1e9; ns < 0 {
			ns, sec = ns+1e9, sec-1
		}
		nsec = int32(ns)
	}
`
	importBegins  = "import (\n"
	importStepped = importBegins + "\t\"sync/atomic\"\n"

	steppedMain = `package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

func init() {
	f, err := os.Open(os.Getenv("` + steppedVariable + `"))
	if err != nil {
		panic(err)
	}
	page, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	f.Close()
	time.Step = (*int64)(unsafe.Pointer(&page[0]))
}
`
)

// buildStepped builds the program for a stepped clock, once, with the race detector in
// it where that is wanted. The first time on a machine that takes minutes, since all
// packages are compiled anew.
func buildStepped(t *testing.T, race bool) (program string) {
	t.Helper()
	dir := filepath.Join(filepath.Dir(binary), fmt.Sprintf("stepped-%v", race))
	program = filepath.Join(dir, "kinward")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct{ old, new string }{{nowBegins, nowStepped}, {importBegins, importStepped}} {
		if bytes.Count(source, []byte(part.old)) != 1 {
			t.Fatalf("%s does not hold %q once: time.Now of this Go is another, and so must be the stepped one", original, part.old)
		}
		source = bytes.Replace(source, []byte(part.old), []byte(part.new), 1)
	}
	source = append(source, "\n// Step is what Now adds, in nanoseconds.\nvar Step *int64\n"...)
	over := map[string]string{}
	for path, text := range map[string][]byte{original: source, filepath.Join(here, "stepped.go"): []byte(steppedMain)} {
		over[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(over[path], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": over})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	args, cgo := []string{"build", "-trimpath", "-ldflags", "-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program}, "CGO_ENABLED=0"
	if race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	build := exec.Command("go", append(args, ".")...)
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program for a stepped clock: %v\n%s", err, out)
	}
	return program
}

// newSteppedClock makes a clock that shows now.
func newSteppedClock(t *testing.T, now time.Time) *steppedClock {
	t.Helper()
	c := &steppedClock{file: filepath.Join(t.TempDir(), "clock")}
	if err := os.WriteFile(c.file, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(c.file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(page) })
	c.step = (*int64)(unsafe.Pointer(&page[0]))
	c.set(now)
	return c
}

// environment is what the program needs to find the clock.
func (c *steppedClock) environment() string { return steppedVariable + "=" + c.file }

// now returns what the program's clock shows, and a number that is another after a
// step; odd is in the middle of one.
func (c *steppedClock) now() (now time.Time, generation int64) {
	before := c.generation.Load()
	now = time.Now().Round(0).Add(time.Duration(atomic.LoadInt64(c.step)))
	if c.generation.Load() != before {
		return now, -1
	}
	return now, before
}

// set makes the program's clock show now, at once.
func (c *steppedClock) set(now time.Time) {
	c.generation.Add(1)
	atomic.StoreInt64(c.step, int64(now.Sub(time.Now().Round(0))))
	c.generation.Add(1)
}

// TestSteppedClock: the program goes by it, and the one that is shipped does not.
func TestSteppedClock(t *testing.T) {
	u := startUpstream(t)
	c := newSteppedClock(t, time.Date(2031, 2, 3, 4, 5, 0, 0, time.UTC))
	for _, tt := range []struct {
		program string
		want    []int
	}{
		{buildStepped(t, false), []int{2031, 2029}},
		{binary, []int{time.Now().Year(), time.Now().Year()}},
	} {
		h := &home{t: t, data: t.TempDir(), program: tt.program, env: []string{c.environment()}, args: []string{"--upstream", "udp://" + u.addr}}
		c.set(time.Date(2031, 2, 3, 4, 5, 0, 0, time.UTC))
		h.start()
		for i, want := range tt.want {
			if i == 1 {
				c.set(time.Date(2029, 2, 3, 4, 5, 0, 0, time.UTC))
			}
			h.tool("kdig", fmt.Sprintf("try%d.omegle.com", i))
			var r incidentsReply
			h.into(&r, "incidents", "--since", "9d")
			found := false
			for _, i := range r.Incidents {
				found = found || i.First.Year() == want
			}
			if !found {
				t.Errorf("step %d: there is no incident of %d: %+v", i, want, r.Incidents)
			}
		}
		if err := h.stop(syscall.SIGTERM); err != nil {
			t.Errorf("serve ended with %v\n%s", err, h.log)
		}
	}
}
