//go:build perf

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/store"
)

// children of whom a year is kept, and how many attempts of each a day.
var yearsChildren = []string{"Lea", "Tom", "Mia"}

const yearsPerDay = 30

// withYear gives a home a year of what three children attempted, and returns the
// browser of its owner.
func (h *home) withYear() *visitor {
	h.t.Helper()
	h.signIn()
	h.withLife()
	for _, name := range yearsChildren[1:] {
		h.must("profiles", "add", name, "C")
	}
	h.stop(os.Interrupt)
	db, err := store.Open(h.t.Context(), filepath.Join(h.data, store.FileName), store.Options{Who: "test"})
	must(h.t, err)
	f, _, err := db.Family(h.t.Context(), 0)
	must(h.t, err)
	for i, name := range yearsChildren {
		p, err := f.Profile(name)
		must(h.t, err)
		must(h.t, db.Write(h.t.Context(), someYear(h.t, f.ID, p.ID, time.Now().Add(-time.Duration(i)*7*time.Second), yearsPerDay)))
	}
	must(h.t, db.Close())
	h.start()
	base, _ := h.consoleLink()
	eva := newVisitor(h.t, base)
	eva.post("/sign-in", 200, "name", "eva", "password", goodPassword)
	return eva
}

// TestConsoleYear prints how long the server takes for each page, with a year of
// incidents of three children.
func TestConsoleYear(t *testing.T) {
	const rounds = 20
	h := startHome(t, startUpstream(t))
	eva := h.withYear()
	pages := eva.crawl("/")
	t.Logf("%d incidents; %d pages, each %d times: from the request to its last byte, on loopback", 365*yearsPerDay*len(yearsChildren), len(pages), rounds)
	t.Logf("%9s %9s %9s %7s  page", "median ms", "max ms", "CPU ms", "bytes")
	slowest := 0.0
	for _, p := range pages {
		if !strings.HasPrefix(p.kind, "text/html") {
			continue
		}
		var took []float64
		before := cpuSeconds(t, h.cmd.Process.Pid)
		for range rounds {
			took = append(took, eva.fetch(p.path).took.Seconds()*1000)
		}
		cpu := (cpuSeconds(t, h.cmd.Process.Pid) - before) * 1000 / rounds
		slices.Sort(took)
		median := took[len(took)/2]
		slowest = max(slowest, median)
		mark := ""
		if median > 50 {
			mark = "  over 50 ms"
		}
		t.Logf("%9.1f %9.1f %9.1f %7d  %s%s", median, took[len(took)-1], cpu, p.wire, p.path, mark)
	}
	t.Logf("the slowest page: %.1f ms", slowest)
}

// TestPerfConsole measures what somebody who goes through all pages of the console
// costs the resolver. Both are one process, so the console's own CPU has to be told
// apart. The questions come at a pace that is the same in all phases, since CPU a
// question depends on it; and the pages do, too. A round is: questions alone,
// pages alone, neither, both. The resolver's CPU a question beside the crawler is
//
//	(both − (pages alone − neither)) / questions
//
// with pages alone scaled to the pages that were fetched. What is left over, such
// as caches and locks that the two share, counts against the resolver, as it should.
func TestPerfConsole(t *testing.T) {
	const (
		seconds = 5
		rounds  = 5
		pace    = 20_000 // questions a second
		every   = 50 * time.Millisecond
	)
	var records []string
	for i := range 1000 {
		records = append(records, fmt.Sprintf("host%d.allowed.example. 3600 IN A 192.0.2.%d", i, i%250+1))
	}
	h := startHome(t, startUpstream(t, records...))
	eva := h.withYear()
	paths := []string{}
	for _, p := range eva.crawl("/") {
		if p.status == 200 {
			paths = append(paths, p.path)
		}
	}
	pin(t, h.cmd.Process.Pid, 0)
	pin(t, os.Getpid(), 1)
	file := filepath.Join(t.TempDir(), "queries")
	writeLines(t, file, 100_000, func(i int) string {
		if i%10 == 0 {
			return "cdn.omegle.com A"
		}
		return fmt.Sprintf("host%d.allowed.example A", i%1000)
	})
	// phase runs for some seconds what is wanted, and returns the server's CPU.
	phase := func(asks, looks bool) (cpu, questions, pages float64) {
		stop, ended := make(chan struct{}), make(chan int, 1)
		before := cpuSeconds(t, h.cmd.Process.Pid)
		go func() {
			n := 0
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					ended <- n
					return
				case <-tick.C:
					if looks {
						eva.fetch(paths[n%len(paths)])
						n++
					}
				}
			}
		}()
		if asks {
			questions, _ = dnsperf(t, h, file, seconds, "-Q", fmt.Sprint(pace))
		} else {
			time.Sleep(seconds * time.Second)
		}
		close(stop)
		pages = float64(<-ended)
		return cpuSeconds(t, h.cmd.Process.Pid) - before, questions, pages
	}
	phase(true, true) // warm
	var changes []float64
	for range rounds {
		alone, questions, _ := phase(true, false)
		crawl, _, pages := phase(false, true)
		idle, _, _ := phase(false, false)
		both, questionsToo, pagesToo := phase(true, true)
		was := (alone - idle) / questions * 1e6
		is := (both - idle - (crawl-idle)/pages*pagesToo) / questionsToo * 1e6
		changes = append(changes, 100*(is/was-1))
		t.Logf("%.2f µs a question alone, %.2f beside the crawler (%+.1f %%); %.1f ms a page, %.1f pages and %.0f questions a second",
			was, is, 100*(is/was-1), (crawl-idle)/pages*1000, pagesToo/seconds, questionsToo/seconds)
	}
	slices.Sort(changes)
	t.Logf("CPU a question changes by %+.1f %% (median of %d rounds; from %+.1f %% to %+.1f %%)", changes[rounds/2], rounds, changes[0], changes[rounds-1])
}
