package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPort53Holders reads a /proc made by hand: systemd-resolved and dnsmasq on
// port 53, a program on another port, a client that asks a server's port 53.
func TestPort53Holders(t *testing.T) {
	proc := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write("net/udp", head+
		"   1: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1001 2 0 0\n"+
		"   2: 0100A8C0:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1002 2 0 0\n"+
		"   3: 0100007F:0400 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1003 2 0 0\n")
	write("net/tcp", head+
		"   1: 0100007F:1F90 09090909:0035 01 00000000:00000000 00:00000000 00000000     0        0 1004 2 0 0\n"+
		"   2: 0100007F:0035 01010101:9999 06 00000000:00000000 00:00000000 00000000     0        0 1005 2 0 0\n")
	write("net/udp6", head+
		"   1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1006 2 0 0\n")
	write("77/comm", "dnsmasq\n")
	write("77/fd/none", "")
	if err := os.Symlink("socket:[1002]", filepath.Join(proc, "77/fd/4")); err != nil {
		t.Fatal(err)
	}
	want := []holder{
		{Address: "127.0.0.53", Program: "systemd-resolve"},
		{Address: "192.168.0.1", Program: "dnsmasq"},
		{Address: "::1"},
	}
	got := port53Holders(proc)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("port53Holders (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want[:1], others(got, []string{"192.168.0.1:53", "[::1]:53", "127.0.0.53:1053"})); d != "" {
		t.Errorf("others (-want +got):\n%s", d)
	}
	for _, h := range got {
		if letGo(h) == "" {
			t.Errorf("no word on how %q lets go", h.Program)
		}
	}
	if got := port53Holders(filepath.Join(proc, "missing")); got != nil {
		t.Errorf("without /proc: %v", got)
	}
}

// TestBindError: who holds port 53 is told about port 53 alone; for another port that
// would be advice to break something else.
func TestBindError(t *testing.T) {
	proc := t.TempDir()
	if err := os.MkdirAll(filepath.Join(proc, "net"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "net/udp"), []byte("head\n"+
		"   1: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1001 2 0 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for port, want := range map[uint16]string{53: "DNSStubListener=no", 9153: "sport = :9153"} {
		taken := &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), port)), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		got := explainBind(fmt.Errorf("listening: %w", taken), proc).Error()
		if !strings.Contains(got, "Another program has this address") || !strings.Contains(got, want) || strings.Contains(got, "systemd-resolve") != (port == 53) {
			t.Errorf("port %d: %s", port, got)
		}
	}
}

// TestProgramFile: the line with setcap names a file, however the program was
// called: setcap does not look along PATH.
func TestProgramFile(t *testing.T) {
	if _, err := os.Stat(programFile("kinward")); err != nil {
		t.Errorf("called by its name alone: %v", err)
	}
	if got := programFile("bin/kinward"); got != "bin/kinward" {
		t.Errorf("called as bin/kinward it is %q", got)
	}
}
