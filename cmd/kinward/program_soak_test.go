package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A soak is long, steady load on the whole program, with what changes in a home's
// life beside it: reloads, lists that are replaced, choices that are made. What
// leaks, shows. "make soak" takes ten minutes; the tests take soakShort.
const (
	soakShort = 20 * time.Second
	soakRate  = 1500 // questions a second over UDP
	soakTCP   = 50   // and over TCP

	// Bounds. Memory and descriptors are read every second; of three thirds of the
	// time, the first is for warming up, and the last is compared with the second.
	// Of memory the highest readings are compared, since that is what must be there.
	// Of descriptors those in the middle: a machine that stands still for a moment
	// has a crowd of questions that wait, each with a socket, and that is no leak.
	soakMemoryMB    = 16
	soakDescriptors = 16
	soakLeft        = 4 // descriptors above those of the start, when the load is over
)

// soakReading is what the program takes at a moment.
type soakReading struct{ kb, descriptors int }

func (h *home) reading() soakReading {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	kb, err := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)[1]))
	if err != nil {
		h.t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	return soakReading{kb, len(open)}
}

func (r soakReading) String() string {
	return fmt.Sprintf("VmRSS %.1f MB, %d descriptors", float64(r.kb)/1024, r.descriptors)
}

// sum returns the highest memory of some readings, and the descriptors of the one
// in the middle.
func sum(rs []soakReading) (m soakReading) {
	var open []int
	for _, r := range rs {
		m.kb = max(m.kb, r.kb)
		open = append(open, r.descriptors)
	}
	slices.Sort(open)
	m.descriptors = open[len(open)/2]
	return m
}

// grown says what grows in readings taken over a soak, and what was compared.
func grown(rs []soakReading) (compared string, problems []string) {
	third := len(rs) / 3
	before, after := sum(rs[third:2*third]), sum(rs[2*third:])
	if after.kb > before.kb+soakMemoryMB<<10 {
		problems = append(problems, fmt.Sprintf("memory grows by more than %d MB", soakMemoryMB))
	}
	if after.descriptors > before.descriptors+soakDescriptors {
		problems = append(problems, fmt.Sprintf("descriptors grow by more than %d", soakDescriptors))
	}
	return fmt.Sprintf("the second third: %v; the last: %v (of memory the most, of descriptors the median)", before, after), problems
}

func TestSoakSeesLeaks(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   func(second int) soakReading
		want string
	}{
		{"flat", func(int) soakReading { return soakReading{50 << 10, 20} }, ""},
		{"up and down", func(s int) soakReading { return soakReading{(40 + s%20) << 10, 20 + s%15} }, ""},
		{"warming up", func(s int) soakReading { return soakReading{min(30+s, 80) << 10, 20} }, ""},
		{"a crowd for a moment", func(s int) soakReading {
			if s == 500 {
				return soakReading{50 << 10, 400}
			}
			return soakReading{50 << 10, 20}
		}, ""},
		{"memory that leaks", func(s int) soakReading { return soakReading{(50 << 10) + s*100, 20} }, "memory grows"},
		{"descriptors that leak", func(s int) soakReading { return soakReading{50 << 10, 20 + s/10} }, "descriptors grow"},
	} {
		var rs []soakReading
		for s := range 600 {
			rs = append(rs, tt.at(s))
		}
		compared, problems := grown(rs)
		if got := strings.Join(problems, ", "); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q; %s", tt.name, got, tt.want, compared)
		}
	}
}

// soakLoad is one dnsperf.
type soakLoad struct {
	cmd *exec.Cmd
	out strings.Builder
}

func startSoakLoad(t *testing.T, h *home, file, network string, rate int, length time.Duration) *soakLoad {
	t.Helper()
	l := &soakLoad{}
	l.cmd = exec.Command("dnsperf", "-s", "127.0.0.1", "-p", h.port, "-d", file, "-m", network, "-e",
		"-l", strconv.Itoa(int(length.Seconds())), "-Q", strconv.Itoa(rate), "-c", "4")
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.out
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.cmd.Process.Kill() })
	return l
}

// check waits for the end, and wants every question to have its answer: what
// dnsperf had to give up after its five seconds, it calls lost.
func (l *soakLoad) check(t *testing.T, what string) {
	t.Helper()
	if err := l.cmd.Wait(); err != nil {
		t.Fatalf("dnsperf over %s: %v\n%s", what, err, l.out.String())
	}
	find := func(re string) string {
		m := regexp.MustCompile(re).FindStringSubmatch(l.out.String())
		if m == nil {
			t.Fatalf("dnsperf over %s says nothing like %s\n%s", what, re, l.out.String())
		}
		return m[1]
	}
	sent, lost, codes := find(`Queries sent:\s+(\d+)`), find(`Queries lost:\s+(\d+)`), find(`Response codes:\s+(.*)`)
	t.Logf("over %s: %s questions, %s lost, %s a second; %s", what, sent, lost, find(`Queries per second:\s+(\S+)`), codes)
	if lost != "0" {
		t.Errorf("over %s: %s of %s questions were lost", what, lost, sent)
	}
	for _, bad := range []string{"SERVFAIL", "REFUSED", "FORMERR"} {
		if strings.Contains(codes, bad) {
			t.Errorf("over %s: the answers were %s", what, codes)
		}
	}
}

// TestProgramSoak is the soak. SOAK is how long it takes, as a Go duration.
func TestProgramSoak(t *testing.T) {
	length := soakShort
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < soakShort {
			t.Fatalf("SOAK=%q is not a time of %v at least; write it like 10m", text, soakShort)
		}
		length = d
	}
	h := startHome(t, startAny(t), "--config", writeConfig(t, "cache:\n  megabytes: 8\nlists:\n  allow-private: true\n"))
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	soakList(t, list, 0)
	h.must("lists", "add", list, "--id", "soak", "--category", "adult")

	// A third blocked (by the catalogue and by the list), a half from the cache, a
	// sixth new: as many new names as the time needs, or enough to be forgotten.
	questions := filepath.Join(dir, "questions")
	writeQuestions(t, questions, min(int(length.Seconds())*soakRate, 600_000))
	begun := time.Now()
	first := h.reading()
	t.Logf("at the start: %v", first)
	loads := map[string]*soakLoad{
		"udp": startSoakLoad(t, h, questions, "udp", soakRate, length),
		"tcp": startSoakLoad(t, h, questions, "tcp", soakTCP, length),
	}

	changes := make(chan int)
	stop := make(chan struct{})
	go func() { changes <- soakChanges(h, list, max(length/60, 2*time.Second), stop) }()
	var readings []soakReading
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	end := time.After(length)
	for running := true; running; {
		select {
		case <-second.C:
			readings = append(readings, h.reading())
		case <-minute.C:
			t.Logf("after %v: %v", time.Since(begun).Round(time.Second), h.reading())
		case <-end:
			running = false
		}
	}
	close(stop)
	changed := <-changes
	for _, network := range []string{"udp", "tcp"} {
		loads[network].check(t, network)
	}
	if changed < 6 {
		t.Errorf("only %d changes fell into the time of the load", changed)
	}
	compared, problems := grown(readings)
	t.Logf("%s; %d changes", compared, changed)
	for _, p := range problems {
		t.Errorf("%s; %s", p, compared)
	}
	last := h.reading()
	for deadline := time.Now().Add(15 * time.Second); last.descriptors > first.descriptors+soakLeft && time.Now().Before(deadline); last = h.reading() {
		time.Sleep(100 * time.Millisecond) // idle connections end by themselves
	}
	t.Logf("at the end: %v", last)
	if last.descriptors > first.descriptors+soakLeft {
		t.Errorf("%d descriptors are left, %d were there at the start; want at most %d more", last.descriptors, first.descriptors, soakLeft)
	}
	if n := h.metric("kinward_panics_total"); n != 0 {
		t.Errorf("%v questions met a fault in the program\n%s", n, h.log)
	}
	if err := h.stop(os.Interrupt); err != nil {
		t.Errorf("serve ended with %v\n%s", err, h.log)
	}
}

// soakList writes a list whose last names differ each time, so that it is read
// and compiled anew.
func soakList(t *testing.T, file string, round int) {
	t.Helper()
	f, err := os.Create(file + ".new")
	if err != nil {
		t.Error(err)
		return
	}
	w := bufio.NewWriter(f)
	for i := range 20_000 {
		fmt.Fprintf(w, "site-%x.listed%d.example\n", i*2654435761, i%977)
	}
	fmt.Fprintf(w, "round%d.listed.example\n", round)
	for _, err := range []error{w.Flush(), f.Close(), os.Rename(file+".new", file)} {
		if err != nil {
			t.Error(err)
		}
	}
}

func writeQuestions(t *testing.T, file string, n int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		switch i % 6 {
		case 0:
			fmt.Fprintln(w, "www.omegle.com A")
		case 1:
			k := i % 20_000
			fmt.Fprintf(w, "site-%x.listed%d.example A\n", k*2654435761, k%977)
		case 2:
			fmt.Fprintf(w, "new%d.soak.example A\n", i)
		default:
			fmt.Fprintf(w, "host%d.often.example A\n", i%500)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// soakChanges changes something every so often, in turn, until stop is closed,
// and returns how often it did.
func soakChanges(h *home, list string, every time.Duration, stop <-chan struct{}) (n int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	do := func(args ...string) {
		if out, errs, code := h.run(args...); code != 0 {
			h.t.Errorf("kinward %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
	}
	for ; ; n++ {
		select {
		case <-stop:
			return n
		case <-tick.C:
		}
		switch n % 4 {
		case 0:
			if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				h.t.Error(err)
			}
		case 1:
			soakList(h.t, list, n)
			do("lists", "update", "soak")
		case 2:
			do("profiles", "choose", "Everyone", "roblox", []string{"block", "allow"}[n/4%2])
		case 3:
			do("rules", "deny", fmt.Sprintf("round%d.example", n), "--for", "1m")
		}
	}
}
