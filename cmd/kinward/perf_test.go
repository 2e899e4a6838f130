//go:build perf

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
	"testing"
)

// TestPerf measures the whole program under dnsperf: CPU of the server a query,
// with a list of a million names, a family, and the record on. The server is
// pinned to one core and dnsperf to another where the machine has two, so that
// the figures of two runs can be compared; absolute rates depend on the machine.
func TestPerf(t *testing.T) {
	const (
		names   = 1_000_000
		seconds = 5
		rounds  = 5
	)
	var records []string
	for i := range 1000 {
		records = append(records, fmt.Sprintf("host%d.allowed.example. 3600 IN A 192.0.2.%d", i, i%250+1))
	}
	zone = append(zone, records...)
	u := startUpstream(t)
	dir := t.TempDir()
	list := filepath.Join(dir, "names.txt")
	writeLines(t, list, names, func(i int) string { return fmt.Sprintf("site-%x.listed%d.com", i*2654435761, i%977) })

	h := startHome(t, u)
	t.Log(strings.TrimSpace(h.must("lists", "add", list, "--category", "dating")))
	h.stop(os.Interrupt)
	h.under = onOneCore
	h.start()
	t.Logf("resident memory: %d MB", residentKB(t, h.cmd.Process.Pid)/1024)

	cached := func(i int) string { return fmt.Sprintf("host%d.allowed.example A", i%1000) }
	blocked := func(i int) string { return fmt.Sprintf("site-%x.listed%d.com A", i*2654435761, i%977) }
	for _, load := range []struct {
		name  string
		query func(i int) string
	}{
		{"cached", cached},
		{"blocked", blocked},
		{"10 % blocked, 80 % cached, 10 % missed", func(i int) string {
			switch i % 10 {
			case 0:
				return blocked(i)
			case 5:
				return fmt.Sprintf("miss%d.nothing.example A", i)
			}
			return cached(i)
		}},
	} {
		file := filepath.Join(dir, "queries")
		writeLines(t, file, 50_000, load.query)
		dnsperf(t, h, file, 1) // warm
		var micros, rates []float64
		for range rounds {
			before := cpuSeconds(t, h.cmd.Process.Pid)
			done, rate := dnsperf(t, h, file, seconds)
			micros = append(micros, (cpuSeconds(t, h.cmd.Process.Pid)-before)*1e6/done)
			rates = append(rates, rate)
		}
		slices.Sort(micros)
		slices.Sort(rates)
		t.Logf("%-40s CPU µs a query: median %.1f (%.1f to %.1f); queries a second: median %.0f (%.0f to %.0f)",
			load.name, micros[rounds/2], micros[0], micros[rounds-1], rates[rounds/2], rates[0], rates[rounds-1])
	}
	t.Logf("resident memory after: %d MB", residentKB(t, h.cmd.Process.Pid)/1024)
	_, metrics := h.get("/metrics")
	for line := range strings.SplitSeq(metrics, "\n") {
		if strings.HasPrefix(line, "kinward_journal_lost_total") {
			t.Log(line)
		}
	}
}

func writeLines(t *testing.T, file string, n int, line func(i int) string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintln(w, line(i))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// dnsperf asks the queries of a file for some seconds, over UDP. more are flags of
// its own.
func dnsperf(t *testing.T, h *home, file string, seconds int, more ...string) (done, rate float64) {
	t.Helper()
	args := []string{"-s", "127.0.0.1", "-p", h.port, "-d", file, "-l", strconv.Itoa(seconds), "-c", "4", "-q", "100", "-e"}
	args = append(args, more...)
	name := "dnsperf"
	if _, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{"-c", "1", "dnsperf"}, args...)
		name = "taskset"
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dnsperf: %v\n%s", err, out)
	}
	number := func(what string) float64 {
		m := regexp.MustCompile(what + `:\s+([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("dnsperf says nothing of %q\n%s", what, out)
		}
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		return v
	}
	if lost := number("Queries lost"); lost > 0 {
		t.Logf("%v queries lost", lost)
	}
	return number("Queries completed"), number("Queries per second")
}

// onOneCore starts a server on the first core, so that it knows of no other.
var onOneCore = []string{"taskset", "-c", "0"}

func pin(t *testing.T, pid, core int) {
	t.Helper()
	if out, err := exec.Command("taskset", "-a", "-cp", strconv.Itoa(core), strconv.Itoa(pid)).CombinedOutput(); err != nil {
		t.Logf("not pinned: %v %s", err, out)
	}
}

// cpuSeconds returns the CPU time of a process, in the kernel and outside
// (proc(5), in ticks of 10 ms).
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func residentKB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	kb, _ := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(text)[1]))
	return kb
}
