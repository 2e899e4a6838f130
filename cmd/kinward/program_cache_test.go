package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramCache: answers are kept, shown and forgotten, and names of the home
// come from the router alone.
func TestProgramCache(t *testing.T) {
	world, router := startUpstream(t), startUpstream(t)
	config := filepath.Join(t.TempDir(), "kinward.yaml")
	text := "cache:\n  min-ttl: 1m\nforward:\n  - domain: later.example\n    upstream: [" + router.addr + "]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, world, "--config", config)
	wantAll(t, "check", h.must("check", "--config", config), "domain: later.example", "- "+router.addr, "min-ttl: 1m")

	for range 3 {
		h.tool("kdig", "allowed.example")
	}
	wantAll(t, "cache with one answer", h.must("cache"), "1 answer takes ")
	h.tool("kdig", "example.com")
	asked := world.asked.Load()
	wantAll(t, "later.example", h.tool("kdig", "later.example"), "192.0.2.5")
	if world.asked.Load() != asked || router.asked.Load() == 0 {
		t.Error("a name of a domain with its own upstream went to another")
	}
	wantAll(t, "cache", h.must("cache"), "3 answers take", "of 64 MB", "from the cache       2 (40.0 %)", "asked for       3 (60.0 %)")
	wantAll(t, "cache --json", h.must("cache", "--json"), `"entries": 3`, `"hits": 2`)

	wantAll(t, "flush", h.must("cache", "flush", "Allowed.EXAMPLE."), "Forgot 1 answer for allowed.example.")
	wantAll(t, "flush of what is not there", h.must("cache", "flush", "allowed.example"), "Forgot 0 answers")
	asked = world.asked.Load()
	h.tool("kdig", "allowed.example")
	if world.asked.Load() == asked {
		t.Error("the answer was not forgotten")
	}
	wantAll(t, "flush --below", h.must("cache", "flush", "example", "--below"), "Forgot 2 answers for example and all names below it.")
	if _, errs, code := h.run("cache", "flush", "a..b"); code != exitUsage || !strings.Contains(errs, "empty label") {
		t.Errorf("flush of no name: exit code %d, %s", code, errs)
	}
	wantAll(t, "doctor", h.must("doctor", "--config", config), "ok     upstream udp://"+world.addr+": answers", "ok     upstream udp://"+router.addr+" for later.example: answers",
		binary+" --config "+config+" --data "+h.data+" serve says when it starts")
}
