package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/text/unicode/norm"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

// unsafeHosts are names that programs look for and believe, so that a device
// which calls itself so would be trusted with what others do: the proxy of the
// whole home, its tunnel, this very machine.
var unsafeHosts = map[string]bool{"wpad": true, "isatap": true, "localhost": true, "broadcasthost": true}

// hostLabel reports whether s can be the name of a device: one label of letters,
// digits and hyphens (RFC 1123 §2.1), and none that would be believed.
func hostLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' || unsafeHosts[strings.ToLower(s)] {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}

// hostName returns the whole name of a device.
func hostName(label string, domain blocklists.Name) (blocklists.Name, bool) {
	if !hostLabel(label) {
		return "", false
	}
	n, err := blocklists.ParseName(label + "." + domain.String())
	return n, err == nil
}

// deviceLabel makes a label of what guardians call a device: "Emma's Tablet" is
// emmas-tablet. It returns "" where nothing is left.
func deviceLabel(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(name)) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case r == '\'' || r == '’' || unicode.Is(unicode.Mn, r): // and accents
		default:
			if s := b.String(); s != "" && s[len(s)-1] != '-' {
				b.WriteByte('-')
			}
		}
	}
	return strings.Trim(b.String(), "-")
}

// deviceHosts names the devices of a family that have a single address. Two
// devices whose names become the same have none.
func deviceHosts(f *policy.Family, domain blocklists.Name) []resolver.Host {
	var hosts []resolver.Host
	times := map[blocklists.Name]int{}
	for _, d := range f.Devices {
		n, ok := hostName(deviceLabel(d.Name), domain)
		if !ok {
			continue
		}
		times[n]++
		if len(d.Networks) == 1 && d.Networks[0].IsSingleIP() {
			hosts = append(hosts, resolver.Host{Name: n, Addr: d.Networks[0].Addr()})
		}
	}
	var out []resolver.Host
	for _, h := range hosts {
		if times[h.Name] == 1 {
			out = append(out, h)
		}
	}
	return out
}

// maxLeaseFile bounds what is read of a file of leases.
const maxLeaseFile = 4 << 20

// parseLeases reads dnsmasq's file of leases: on each line the end of the lease
// in Unix seconds (0: none), the hardware address, the address, the name and the
// client's identifier. What devices call themselves is what anybody likes, so
// names that are none, or unsafe, are refused and counted, as is what is above
// most. A name is its first holder's, by IPv4 and by IPv6.
func parseLeases(r io.Reader, domain blocklists.Name, most int, now time.Time) (hosts []resolver.Host, refused int, err error) {
	type holding struct {
		name blocklists.Name
		v6   bool
	}
	held := map[holding]bool{}
	lines := bufio.NewScanner(io.LimitReader(r, maxLeaseFile))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 2 && f[0] == "duid" { // the server's own, before leases of IPv6
			continue
		}
		if len(f) < 4 || f[3] == "*" { // without a name
			continue
		}
		ends, err := strconv.ParseInt(f[0], 10, 64)
		a, aerr := netip.ParseAddr(f[2])
		if err != nil || aerr != nil {
			refused++
			continue
		}
		if ends != 0 && time.Unix(ends, 0).Before(now) {
			continue
		}
		a = a.Unmap().WithZone("")
		n, ok := hostName(f[3], domain)
		h := holding{n, a.Is6()}
		if !ok || held[h] || len(hosts) >= most || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
			refused++
			continue
		}
		held[h] = true
		hosts = append(hosts, resolver.Host{Name: n, Addr: a})
	}
	return hosts, refused, lines.Err()
}

// leaseWatcher keeps the names of leases in force.
type leaseWatcher struct {
	file   string
	domain blocklists.Name
	most   int
	log    *slog.Logger
	set    func(*resolver.Hosts)

	seen           os.FileInfo
	silent         bool // that the file cannot be read was said
	names, refused atomic.Int64
}

// leasePause is how often the file is looked at: a new device has its name soon,
// and looking costs next to nothing.
const leasePause = 5 * time.Second

func newLeaseWatcher(w *leaseWatcher, r prometheus.Registerer) (*leaseWatcher, error) {
	gauge := func(name, help string, v *atomic.Int64) error {
		return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) }))
	}
	return w, errors.Join(
		gauge("kinward_lease_names", "Names of devices taken from the file of leases.", &w.names),
		gauge("kinward_lease_names_refused", "Lines of the file of leases whose name was refused: none, unsafe, taken, or too many.", &w.refused))
}

// run looks at the file until ctx ends.
func (w *leaseWatcher) run(ctx context.Context) error {
	if w.file == "" {
		return nil
	}
	tick := time.NewTicker(leasePause)
	defer tick.Stop()
	for {
		w.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads the file if it has changed. Where it cannot be read, what was read
// before stays in force.
func (w *leaseWatcher) look(now time.Time) {
	hosts, refused, err := w.read(now)
	switch {
	case err != nil && !w.silent:
		w.log.Warn("the file of leases cannot be read, so names of devices stay as they were", "error", err)
		w.silent = true
	case err == nil && hosts != nil:
		w.silent = false
		w.set(resolver.NewHosts(hosts))
		w.names.Store(int64(len(hosts)))
		w.refused.Store(int64(refused))
	}
}

// read returns nil where the file is as it was.
func (w *leaseWatcher) read(now time.Time) ([]resolver.Host, int, error) {
	f, err := os.Open(w.file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("reading leases %s: %w", w.file, fs.ErrInvalid)
	case w.seen != nil && os.SameFile(info, w.seen) && info.ModTime().Equal(w.seen.ModTime()) && info.Size() == w.seen.Size():
		return nil, 0, nil
	}
	hosts, refused, err := parseLeases(f, w.domain, w.most, now)
	if err != nil {
		return nil, 0, fmt.Errorf("reading leases %s: %w", w.file, err)
	}
	w.seen = info
	return append([]resolver.Host{}, hosts...), refused, nil
}
