package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// holder is a program that holds port 53 of this machine.
type holder struct {
	Address string `json:"address"` // as the kernel shows it, e.g. 127.0.0.53
	Program string `json:"program"` // "" where we may not look
}

func (h holder) who() string {
	if h.Program == "" {
		return "A program that only root may look at"
	}
	return h.Program
}

// port53Holders finds who holds port 53 (UDP or TCP) on Linux; elsewhere it
// finds nobody. Programs of other users are named only for root.
func port53Holders(proc string) []holder {
	inodes := map[string]string{} // socket inode → address
	for _, table := range []string{"udp", "udp6", "tcp", "tcp6"} {
		readSocketTable(filepath.Join(proc, "net", table), strings.HasPrefix(table, "tcp"), inodes)
	}
	if len(inodes) == 0 {
		return nil
	}
	programs := socketPrograms(proc, inodes)
	var found []holder
	for inode, addr := range inodes {
		h := holder{Address: addr, Program: programs[inode]}
		if h.Program == "" && (addr == "127.0.0.53" || addr == "127.0.0.54") {
			h.Program = "systemd-resolve" // those two addresses are its own (systemd-resolved(8))
		}
		if !slices.Contains(found, h) {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b holder) int { return strings.Compare(a.Address, b.Address) })
	return found
}

// others are the holders but for the addresses, as "127.0.0.1:53", at which a
// server itself answers. Its name alone does not tell: of a program that has a
// file capability, the system shows its own user no sockets.
func others(holders []holder, own []string) (rest []holder) {
	for _, h := range holders {
		if !slices.Contains(own, net.JoinHostPort(h.Address, "53")) {
			rest = append(rest, h)
		}
	}
	return rest
}

// readSocketTable reads a table of /proc/net: which sockets are bound to local
// port 53, and, for TCP, listening (state 0A).
func readSocketTable(path string, tcp bool, inodes map[string]string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || tcp && fields[3] != "0A" {
			continue
		}
		host, port, ok := strings.Cut(fields[1], ":")
		if addr, valid := kernelAddr(host); ok && valid && port == "0035" {
			inodes[fields[9]] = addr.String()
		}
	}
}

// kernelAddr reads an address as /proc/net writes it: 32-bit words in the
// machine's byte order (little-endian on every machine we build for).
func kernelAddr(hex string) (netip.Addr, bool) {
	var b []byte
	for ; len(hex) >= 8; hex = hex[8:] {
		var w [4]byte
		if _, err := fmt.Sscanf(hex[:8], "%02X%02X%02X%02X", &w[3], &w[2], &w[1], &w[0]); err != nil {
			return netip.Addr{}, false
		}
		b = append(b, w[:]...)
	}
	a, ok := netip.AddrFromSlice(b)
	return a.Unmap(), ok
}

// socketPrograms finds the programs that hold the sockets, as far as we may
// look.
func socketPrograms(proc string, inodes map[string]string) map[string]string {
	programs := map[string]string{}
	links, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, l := range links {
		target, err := os.Readlink(l)
		if err != nil || !strings.HasPrefix(target, "socket:[") {
			continue
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
		if _, ours := inodes[inode]; ours {
			comm, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(l)), "comm"))
			programs[inode] = strings.TrimSpace(string(comm))
		}
	}
	return programs
}

// letGo says how to make a program give up port 53.
func letGo(h holder) string {
	switch {
	case strings.HasPrefix(h.Program, "systemd-resolve"):
		return "put DNSStubListener=no under [Resolve] in /etc/systemd/resolved.conf, point /etc/resolv.conf at\n" +
			"     /run/systemd/resolve/resolv.conf, then: sudo systemctl restart systemd-resolved"
	case h.Program == "dnsmasq":
		return "put port=0 in its configuration (it goes on handing out addresses), then restart it;\n" +
			"     if libvirt or LXD started it, it serves their own networks alone and may stay"
	case h.Program == "named" || h.Program == "unbound" || h.Program == "pihole-FTL" || h.Program == "AdGuardHome":
		return "stop it, or have it listen on another address, and use it as an --upstream of Kinward"
	case h.Program == "":
		return "see which program it is with: sudo ss -lnptu 'sport = :53'"
	}
	return "stop it, or have it listen on another address"
}

// homeAddress returns the address of this machine in its home network, for
// printing: the first private IPv4 address of an interface that is up.
func homeAddress() (netip.Addr, bool) {
	for _, a := range machineAddrs() {
		if a.Is4() && a.IsPrivate() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// machineAddrs are the addresses of this machine; nil where they cannot be had.
func machineAddrs() (out []netip.Addr) {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
