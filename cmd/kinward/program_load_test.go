package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProgramRefreshUnderLoad asks with dnsperf, steadily, while a long list is
// added, replaced and removed: no question is lost, and none fails.
func TestProgramRefreshUnderLoad(t *testing.T) {
	h := startHome(t, startUpstream(t))
	queries := filepath.Join(t.TempDir(), "queries")
	if err := os.WriteFile(queries, []byte("omegle.com A\nallowed.example A\nwww.tiktok.com AAAA\nwww.childline.org.uk A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const seconds, rate = 6, 1500
	load := exec.Command("dnsperf", "-s", "127.0.0.1", "-p", h.port, "-d", queries, "-l", fmt.Sprint(seconds), "-Q", fmt.Sprint(rate), "-c", "4", "-t", "3", "-e")
	var out strings.Builder
	load.Stdout, load.Stderr = &out, &out
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- load.Wait() }()
	changes := 0
	list := longList(t, 60_000)
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("dnsperf: %v\n%s", err, out.String())
			}
			number := func(what string) string {
				m := regexp.MustCompile(what).FindStringSubmatch(out.String())
				if m == nil {
					t.Fatalf("dnsperf says nothing like %s\n%s", what, out.String())
				}
				return m[1]
			}
			if lost := number(`Queries lost:\s+(\d+)`); lost != "0" {
				t.Errorf("%s questions were lost\n%s", lost, out.String())
			}
			if codes := number(`Response codes:\s+(.*)`); strings.Contains(codes, "SERVFAIL") || strings.Contains(codes, "REFUSED") ||
				!strings.Contains(codes, "NOERROR") || !strings.Contains(codes, "NXDOMAIN") {
				t.Errorf("the answers were %s", codes)
			}
			if changes < 3 {
				t.Errorf("only %d changes of lists fell into the time of the load", changes)
			}
			return
		default:
		}
		h.must("lists", "add", list, "--id", "long", "--category", "adult")
		h.must("lists", "update", "long")
		h.must("lists", "remove", "long")
		changes += 3
	}
}
