package main

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"kinward/policy"
)

// lease is what a DHCP server knows of a device.
type lease struct {
	addr netip.Addr
	mac  policy.MAC // zero where it is not known
	name string     // what the device calls itself; "" is nothing. It may be anything
}

// maxLeaseFile bounds what is read of a file of leases.
const maxLeaseFile = 4 << 20

// readLeases reads a file of leases, in the form that its lines have, and returns
// those that hold now, with the number of lines that cannot be read:
//
//	dnsmasq  END MAC ADDRESS NAME CLIENT-ID; the end in Unix seconds, 0 is never; "*" is no name
//	odhcpd   # INTERFACE MAC ipv4 NAME END HEX 32 ADDRESS/32, and with a DUID and an IAID
//	         for IPv6, where several addresses may follow; the end -1 is never
//	Kea      comma-separated, with a line of titles; the last line about an address holds
func readLeases(r io.Reader, now time.Time) (out []lease, bad int, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxLeaseFile))
	var titles map[string]int // of Kea
	kea, order := map[netip.Addr]lease{}, []netip.Addr(nil)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "address,"):
			titles = map[string]int{}
			for i, t := range strings.Split(line, ",") {
				titles[t] = i
			}
		case titles != nil:
			l, live, ok := keaLease(strings.Split(line, ","), titles, now)
			if !ok {
				bad++
				continue
			}
			if _, seen := kea[l.addr]; !seen {
				order = append(order, l.addr)
			}
			if kea[l.addr] = l; !live { // released since
				kea[l.addr] = lease{}
			}
		case strings.HasPrefix(line, "# "):
			some, ok := odhcpdLeases(strings.Fields(line), now)
			if out = append(out, some...); !ok {
				bad++
			}
		default:
			l, live, ok := dnsmasqLease(strings.Fields(line), now)
			if !ok {
				bad++
			} else if live {
				out = append(out, l)
			}
		}
	}
	for _, a := range order {
		if l := kea[a]; l.addr.IsValid() {
			out = append(out, l)
		}
	}
	return out, bad, lines.Err()
}

// dnsmasqLease reads a line of dnsmasq. Lines that are no leases are passed over:
// the server's own identifier, and what is too short.
func dnsmasqLease(f []string, now time.Time) (l lease, live, ok bool) {
	if len(f) < 4 {
		return l, false, true
	}
	ends, err := strconv.ParseInt(f[0], 10, 64)
	a, aerr := netip.ParseAddr(f[2])
	if err != nil || aerr != nil {
		return l, false, f[3] == "*"
	}
	l = lease{addr: a.Unmap().WithZone(""), name: f[3]}
	if l.name == "*" {
		l.name = ""
	}
	_ = l.mac.UnmarshalText([]byte(f[1])) // an IAID for IPv6
	return l, ends == 0 || !time.Unix(ends, 0).Before(now), true
}

// odhcpdLeases reads a line of OpenWrt's odhcpd.
func odhcpdLeases(f []string, now time.Time) (out []lease, ok bool) {
	if len(f) < 8 {
		return nil, false
	}
	ends, err := strconv.ParseInt(f[5], 10, 64)
	if err != nil {
		return nil, false
	}
	if ends >= 0 && time.Unix(ends, 0).Before(now) {
		return nil, true
	}
	l := lease{name: f[4]}
	if l.name == "-" || strings.HasPrefix(l.name, "broken") { // odhcpd's word for a name that is none
		l.name = ""
	}
	if f[3] == "ipv4" {
		_ = l.mac.UnmarshalText([]byte(padMAC(f[2])))
	}
	for _, text := range f[8:] {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return out, false
		}
		if p.IsSingleIP() { // others are delegated to routers
			l.addr = p.Addr().Unmap()
			out = append(out, l)
		}
	}
	return out, true
}

// padMAC writes a hardware address with two digits a byte, as ether_ntoa does not.
func padMAC(s string) string {
	parts := strings.Split(s, ":")
	for i, p := range parts {
		if len(p) == 1 {
			parts[i] = "0" + p
		}
	}
	return strings.Join(parts, ":")
}

// keaLease reads a line of ISC Kea's memfile. A name may be a whole one.
func keaLease(f []string, titles map[string]int, now time.Time) (l lease, live, ok bool) {
	get := func(title string) string {
		if i, ok := titles[title]; ok && i < len(f) {
			return f[i]
		}
		return ""
	}
	a, err := netip.ParseAddr(get("address"))
	ends, eerr := strconv.ParseInt(get("expire"), 10, 64)
	if err != nil || eerr != nil {
		return l, false, false
	}
	l.addr = a.Unmap().WithZone("")
	l.name, _, _ = strings.Cut(get("hostname"), ".")
	_ = l.mac.UnmarshalText([]byte(get("hwaddr"))) // empty for many of IPv6
	// State 0 is a lease; 1 was declined, 2 is over. Type 2 of IPv6 is a prefix.
	live = get("state") == "0" && get("lease_type") != "2" && !time.Unix(ends, 0).Before(now)
	return l, live, true
}

// leasesOf returns leasesNow for the home family, and nothing for another: the file
// is of this house, and others have the same addresses.
func (n *node) leasesOf(ctx context.Context, family policy.FamilyID) map[netip.Addr]lease {
	if home, err := n.db.Home(ctx); err != nil || home != family {
		return nil
	}
	return n.leasesNow(time.Now())
}

// leasesNow returns the leases of the configured file by address. Where there is
// none, or it cannot be read, it is empty: nothing depends on it.
func (n *node) leasesNow(now time.Time) map[netip.Addr]lease {
	out := map[netip.Addr]lease{}
	if n.cfg.Leases.File == "" {
		return out
	}
	f, err := os.Open(n.cfg.Leases.File)
	if err != nil {
		return out
	}
	defer f.Close()
	leases, _, _ := readLeases(f, now)
	for _, l := range leases {
		if !hostLabel(l.name) {
			l.name = ""
		}
		out[l.addr] = l
	}
	return out
}
