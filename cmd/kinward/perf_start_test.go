//go:build perf

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestPerfStart measures from the start of the program to its first answer, to
// a name that it blocks, with the embedded catalogue alone, and with the list
// that LIST names, if it does, compiled and kept.
func TestPerfStart(t *testing.T) {
	const rounds = 9
	kept := func(int) string { return "kept" }
	loads := []struct {
		name   string
		list   string
		folder func(round int) string
	}{
		{"new data folder", "", func(round int) string { return "new" + strconv.Itoa(round) }},
		{"data folder that is there", "", kept},
		{"with the list", os.Getenv("LIST"), kept},
	}
	if os.Getenv("LIST") == "" {
		loads = loads[:2]
	}
	for _, load := range loads {
		dir := t.TempDir()
		firstAnswer(t, filepath.Join(dir, "kept")) // makes that one, and warms the system's caches
		if load.list != "" {
			out, err := exec.Command(binary, "lists", "add", load.list, "--id", "long", "--category", "adult", "--data", filepath.Join(dir, "kept")).CombinedOutput()
			if err != nil {
				t.Fatalf("adding %s: %v\n%s", load.list, err, out)
			}
		}
		var took []time.Duration
		for round := range rounds {
			took = append(took, firstAnswer(t, filepath.Join(dir, load.folder(round))))
		}
		slices.Sort(took)
		t.Logf("%-26s median %v (%v to %v, of %d)", load.name, took[rounds/2], took[0], took[rounds-1], rounds)
	}
}

// firstAnswer starts the program and asks it again and again until it answers.
func firstAnswer(t *testing.T, data string) time.Duration {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	question, err := new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data", data, "--dns", addr, "--metrics", "", "--console", "127.0.0.1:0", "--upstream", "udp://192.0.2.1")
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	client, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer := make([]byte, 512)
	for time.Since(began) < 10*time.Second {
		client.Write(question)
		client.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := client.Read(answer)
		if err != nil {
			time.Sleep(500 * time.Microsecond) // nobody listens yet, which is known at once
			continue
		}
		took := time.Since(began)
		var m dns.Msg
		if err := m.Unpack(answer[:n]); err != nil || m.Rcode != dns.RcodeNameError {
			t.Fatalf("the first answer is %v, %v; want NXDOMAIN", m.MsgHdr, err)
		}
		return took.Round(100 * time.Microsecond)
	}
	t.Fatal("no answer within 10 s")
	return 0
}
