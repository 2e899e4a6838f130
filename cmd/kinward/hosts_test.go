package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

var homeArpa = blocklists.MustName("home.arpa")

func hostLines(hosts []resolver.Host) []string {
	out := []string{}
	for _, h := range hosts {
		out = append(out, h.Name.String()+" "+h.Addr.String())
	}
	return out
}

func TestParseLeases(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	text := strings.Join([]string{
		"1700000100 aa:bb:cc:dd:ee:01 192.168.1.20 Tablet 01:aa:bb:cc:dd:ee:01",
		"0 aa:bb:cc:dd:ee:02 192.168.1.21 nas *", // for ever
		"1699999999 aa:bb:cc:dd:ee:03 192.168.1.22 gone *",
		"1700000100 aa:bb:cc:dd:ee:04 192.168.1.23 * *", // without a name
		"1700000100 aa:bb:cc:dd:ee:05 192.168.1.24 tablet *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 wpad *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 ISATAP *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 localhost *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 www.bank.example *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 -a *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 a_b *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 *.x *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 \\000 *",
		"1700000100 aa:bb:cc:dd:ee:06 192.168.1.25 " + strings.Repeat("a", 64) + " *",
		"1700000100 aa:bb:cc:dd:ee:06 127.0.0.1 own *",
		"soon aa:bb:cc:dd:ee:06 192.168.1.25 x *",
		"1700000100 aa:bb:cc:dd:ee:06 here x *",
		"", "junk",
		"duid 00:01:00:01:2c:aa:bb:cc:dd:ee:ff:00:11:22",
		"1700000100 13400000 fd00::20 tablet 00:01:00:01",
	}, "\n")
	got, refused, err := parseLeases(strings.NewReader(text), homeArpa, 10, now)
	want := []string{"tablet.home.arpa 192.168.1.20", "nas.home.arpa 192.168.1.21", "tablet.home.arpa fd00::20"}
	if diff := cmp.Diff(want, hostLines(got)); diff != "" || err != nil || refused != 13 {
		t.Errorf("refused %d, %v (-want +got):\n%s", refused, err, diff)
	}
	if got, refused, _ := parseLeases(strings.NewReader(text), homeArpa, 2, now); len(got) != 2 || refused != 14 {
		t.Errorf("of at most two: %d, refused %d", len(got), refused)
	}
}

func FuzzParseLeases(f *testing.F) {
	f.Add("1700000100 aa:bb:cc:dd:ee:01 192.168.1.20 tablet *\nduid 00\n0 1 fd00::1 x *")
	f.Fuzz(func(t *testing.T, s string) {
		hosts, _, _ := parseLeases(strings.NewReader(s), homeArpa, 10, time.Unix(0, 0))
		if len(hosts) > 10 {
			t.Errorf("%d names", len(hosts))
		}
		for _, h := range hosts {
			if h.Name.Labels() != 3 || h.Name.Parent() != homeArpa {
				t.Errorf("%s is no device's", h.Name)
			}
		}
	})
}

func TestDeviceHosts(t *testing.T) {
	device := func(name string, nets ...string) policy.Device {
		d := policy.Device{Name: name}
		for _, n := range nets {
			d.Networks = append(d.Networks, netip.MustParsePrefix(n))
		}
		return d
	}
	f := &policy.Family{Devices: []policy.Device{
		device("Emma's Tablet", "192.168.1.20/32"), device("Zoë  (Laptop)", "fd00::20/128"), device("Guests", "192.168.3.0/24"),
		device("Two", "192.168.1.21/32", "192.168.1.22/32"), device("Twin", "192.168.1.23/32"), device("twin!", "192.168.1.24/32"),
		device("WPAD", "192.168.1.25/32"), device("手机", "192.168.1.26/32"), device("none"),
	}}
	want := []string{"emmas-tablet.home.arpa 192.168.1.20", "zoe-laptop.home.arpa fd00::20"}
	if diff := cmp.Diff(want, hostLines(deviceHosts(f, homeArpa))); diff != "" {
		t.Errorf("deviceHosts (-want +got):\n%s", diff)
	}
}

func TestLeaseWatcher(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leases")
	var log logBuffer
	var in *resolver.Hosts
	sets := 0
	w, err := newLeaseWatcher(&leaseWatcher{
		file: file, domain: homeArpa, most: 10, log: slog.New(slog.NewTextHandler(&log, nil)),
		set: func(h *resolver.Hosts) { in = h; sets++ },
	}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	w.look(now)
	w.look(now)
	if got := log.String(); in != nil || strings.Count(got, "level=WARN") != 1 {
		t.Errorf("without a file: %v, said\n%s", in, got)
	}
	write := func(n int) {
		t.Helper()
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "0 aa:bb:cc:dd:ee:01 192.168.1.%d host%d *\n", i+1, i)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(2)
	w.look(now)
	w.look(now)
	if sets != 1 || w.names.Load() != 2 {
		t.Errorf("an unchanged file was put in force %d times, with %d names", sets, w.names.Load())
	}
	write(12)
	w.look(now)
	if sets != 2 || w.names.Load() != 10 || w.refused.Load() != 2 {
		t.Errorf("a changed file: put in force %d times, %d names, %d refused", sets, w.names.Load(), w.refused.Load())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if w.look(now); sets != 2 {
		t.Error("a file that is gone took the names with it")
	}
	write(0)
	if w.look(now); sets != 3 || w.names.Load() != 0 {
		t.Error("an empty file left names")
	}
}
