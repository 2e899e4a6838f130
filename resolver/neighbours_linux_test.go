package resolver

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"kinward/policy"
)

// neighbour writes an entry as the kernel dumps it.
func neighbour(kind uint16, index int32, state uint16, addr string, mac string) []byte {
	attr := func(b []byte, kind uint16, data []byte) []byte {
		b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), data...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	body := make([]byte, unix.SizeofNdMsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	binary.NativeEndian.PutUint16(body[8:], state)
	body = attr(body, unix.NDA_DST, netip.MustParseAddr(addr).AsSlice())
	body = attr(body, unix.NDA_CACHEINFO, make([]byte, 16))
	if mac != "" {
		body = attr(body, unix.NDA_LLADDR, []byte(mac))
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, make([]byte, unix.SizeofNlMsghdr-6)...)
	return append(b, body...)
}

func TestParseNeighbours(t *testing.T) {
	const one, two = "\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x02"
	var dump []byte
	for _, m := range [][]byte{
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_REACHABLE, "192.168.1.20", one),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_STALE, "fd00::20", one),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_STALE, "fe80::20", one),
		neighbour(unix.RTM_NEWNEIGH, 3, unix.NUD_STALE, "fe80::20", two),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_FAILED, "192.168.1.21", one),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_INCOMPLETE, "192.168.1.22", ""),
		neighbour(unix.RTM_NEWNEIGH, 1, unix.NUD_NOARP, "192.168.1.23", one),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_REACHABLE, "192.168.1.24", "\x00\x00\x00\x00\x00\x00"),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_REACHABLE, "192.168.1.25", "\x02\x00"),
		neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_REACHABLE, "192.168.1.26", one), // on two links
		neighbour(unix.RTM_NEWNEIGH, 3, unix.NUD_REACHABLE, "192.168.1.26", two),
		neighbour(unix.RTM_NEWLINK, 2, unix.NUD_REACHABLE, "192.168.1.27", one),
	} {
		dump = append(dump, m...)
	}
	got, err := parseNeighbours(dump, map[int]string{2: "eth0", 3: "wlan0"})
	a := netip.MustParseAddr
	want := map[netip.Addr]policy.MAC{
		a("192.168.1.20"): {2, 0, 0, 0, 0, 1}, a("fd00::20"): {2, 0, 0, 0, 0, 1},
		a("fe80::20%eth0"): {2, 0, 0, 0, 0, 1}, a("fe80::20%wlan0"): {2, 0, 0, 0, 0, 2}, a("192.168.1.26"): {},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := readNeighbours(); err != nil { // the kernel's own, whatever is in it
		t.Error(err)
	}
}

func FuzzParseNeighbours(f *testing.F) {
	f.Add(neighbour(unix.RTM_NEWNEIGH, 2, unix.NUD_REACHABLE, "192.168.1.20", "\x02\x00\x00\x00\x00\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := parseNeighbours(b, nil)
		if len(got) > maxNeighbours {
			t.Fatalf("%d neighbours", len(got))
		}
	})
}
