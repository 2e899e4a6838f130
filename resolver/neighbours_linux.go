package resolver

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"kinward/policy"
)

// readNeighbours asks the kernel for its neighbour table (rtnetlink(7)).
func readNeighbours() (map[netip.Addr]policy.MAC, error) {
	raw, err := syscall.NetlinkRIB(unix.RTM_GETNEIGH, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("reading the neighbour table: %w", err)
	}
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces: %w", err)
	}
	zones := map[int]string{}
	for _, l := range links {
		zones[l.Index] = l.Name
	}
	return parseNeighbours(raw, zones)
}

// usable are the states in which an entry's hardware address is or was lately
// right. Others are being looked for, have failed, or need none.
const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT

// parseNeighbours reads a dump of RTM_NEWNEIGH messages. zones are the names of
// interfaces by their index. An address that stands twice, on two links, has
// none: nothing says from which link a question came.
func parseNeighbours(raw []byte, zones map[int]string) (map[netip.Addr]policy.MAC, error) {
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the neighbour table: %w", err)
	}
	out := map[netip.Addr]policy.MAC{}
	for _, m := range messages {
		if m.Header.Type == unix.NLMSG_DONE || len(out) >= maxNeighbours {
			break
		}
		if m.Header.Type != unix.RTM_NEWNEIGH || len(m.Data) < unix.SizeofNdMsg {
			continue
		}
		index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
		state := binary.NativeEndian.Uint16(m.Data[8:])
		a, mac := neighbourOf(m.Data[unix.SizeofNdMsg:])
		if state&usable == 0 || !a.IsValid() || mac == (policy.MAC{}) {
			continue
		}
		if a.IsLinkLocalUnicast() && a.Is6() {
			a = a.WithZone(zones[index])
		}
		if other, ok := out[a]; ok && other != mac {
			mac = policy.MAC{}
		}
		out[a] = mac
	}
	return out, nil
}

// neighbourOf reads the attributes of an entry.
func neighbourOf(b []byte) (a netip.Addr, m policy.MAC) {
	for len(b) >= unix.SizeofRtAttr {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofRtAttr || n > len(b) {
			break
		}
		switch data := b[unix.SizeofRtAttr:n]; kind {
		case unix.NDA_DST:
			a, _ = netip.AddrFromSlice(data)
		case unix.NDA_LLADDR:
			m, _ = macOf(data)
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return a.Unmap(), m
}
