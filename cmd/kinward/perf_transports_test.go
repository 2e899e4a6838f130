//go:build perf

package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/miekg/dns"
)

// TestPerfTransports measures the CPU that a cached answer costs the server over each
// transport, asked by turns: four connections, a hundred questions under way.
// Connecting is in it, which tens of thousands of questions pay for. What asks is
// dnsperf, and h2load over HTTP/2, since dnsperf's own HTTP keeps no server busy.
func TestPerfTransports(t *testing.T) {
	rounds, seconds := envNumber(t, "COUNT", 5), envNumber(t, "SECONDS", 2)
	describeMachine(t)
	pin(t, os.Getpid(), 1)
	for i := range 1000 {
		zone = append(zone, fmt.Sprintf("way%d.allowed.example. 3600 IN A 192.0.2.%d", i, i%250+1))
	}
	cert, key := certificateFiles(t, "dns.example")
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example, certificate: %s, key: %s}\n", cert, key)), "--dot", "127.0.0.1:0", "--doh", "127.0.0.1:0")
	h.stop(os.Interrupt)
	h.under = onOneCore
	h.start()
	pid := h.cmd.Process.Pid
	_, dot := h.secureAt("DoT")
	_, doh := h.secureAt("DoH, HTTP/3 included")
	questions := filepath.Join(t.TempDir(), "cached")
	writeLines(t, questions, 1000, func(i int) string { return fmt.Sprintf("way%d.allowed.example A", i) })
	wire, err := new(dns.Msg).SetQuestion("way1.allowed.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	body := writeIn(t, t.TempDir(), "question", string(wire))
	perf := func(port string, more ...string) func() (done, rate float64) {
		return func() (done, rate float64) { return dnsperf(t, &home{port: port}, questions, seconds, more...) }
	}
	url := "https://127.0.0.1:" + doh + "/dns-query"
	ways := []struct {
		name string
		ask  func() (done, rate float64)
	}{
		{"UDP", perf(h.port)},
		{"TCP", perf(h.port, "-m", "tcp")},
		{"DoT", perf(dot, "-m", "dot")},
		{"DoH, POST", func() (done, rate float64) {
			return h2load(t, 15_000*seconds, "-d", body, "-H", "content-type: application/dns-message", url)
		}},
		{"DoH, GET", func() (done, rate float64) {
			return h2load(t, 15_000*seconds, url+"?dns="+base64.RawURLEncoding.EncodeToString(wire))
		}},
	}
	micros, rates := make([][]float64, len(ways)), make([][]float64, len(ways))
	for round := range rounds + 1 {
		for i, w := range ways {
			before := cpuSeconds(t, pid)
			done, rate := w.ask()
			if done == 0 {
				t.Fatalf("%s: nothing was answered", w.name)
			}
			if round > 0 { // the first one fills the cache
				micros[i] = append(micros[i], (cpuSeconds(t, pid)-before)*1e6/done)
				rates[i] = append(rates[i], rate)
			}
		}
	}
	t.Log("cached: CPU µs a question, median (from, to); questions a second")
	for i, w := range ways {
		t.Logf("  %-10s %5.1f (%.1f to %.1f)  %.0f", w.name, median(micros[i]), slices.Min(micros[i]), slices.Max(micros[i]), median(rates[i]))
	}
}

// h2load asks that many times over four connections of HTTP/2, and returns how many
// answers came with status 200, and how many a second.
func h2load(t *testing.T, times int, more ...string) (done, rate float64) {
	t.Helper()
	out, err := exec.Command("taskset", append([]string{"-c", "1", "h2load", "-n", strconv.Itoa(times), "-c", "4", "-m", "25"}, more...)...).CombinedOutput()
	m := regexp.MustCompile(`(?s)finished in [^,]+, ([0-9.]+) req/s.*status codes: ([0-9]+) 2xx`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("h2load: %v\n%s", err, out)
	}
	rate, _ = strconv.ParseFloat(string(m[1]), 64)
	done, _ = strconv.ParseFloat(string(m[2]), 64)
	return done, rate
}
