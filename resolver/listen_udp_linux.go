package resolver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// canSharePort: several sockets may be bound to one address, and the kernel
// gives each client's questions to one of them.
const canSharePort = true

const msgTruncated = unix.MSG_TRUNC

// oobLen has room for the control messages that wantDestination asks for: on a
// socket for both families, one of either.
var oobLen = unix.CmsgSpace(unix.SizeofInet4Pktinfo) + unix.CmsgSpace(unix.SizeofInet6Pktinfo)

// sharePort lets the socket share its address with others of ours.
func sharePort(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// growReadBuffer makes room for a burst: as much as is wanted where the program
// may (CAP_NET_ADMIN), otherwise as much as the system lets anybody have
// (net.core.rmem_max).
func growReadBuffer(c *net.UDPConn) {
	forced := false
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			forced = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpReadBuffer) == nil
		})
	}
	if !forced {
		c.SetReadBuffer(udpReadBuffer)
	}
}

// wantDestination asks the kernel to tell with each packet which address it was
// sent to.
func wantDestination(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) {
		domain, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		switch {
		case e != nil:
			err = e
		case domain == unix.AF_INET:
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		default:
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}); e != nil {
		return e
	}
	return err
}

// replyFrom makes of the control message that came with a packet the one that
// sends the answer from the address asked, in place. What it does not know it
// drops.
func replyFrom(oob []byte) []byte {
	const header = unix.SizeofCmsghdr
	if len(oob) < header {
		return nil
	}
	// Both structures are in the byte order of the machine.
	level := int32(binary.NativeEndian.Uint32(oob[header-8:]))
	kind := int32(binary.NativeEndian.Uint32(oob[header-4:]))
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(oob) >= header+unix.SizeofInet4Pktinfo:
		// ifindex, spec_dst, addr: spec_dst is ours and becomes the source. The
		// interface is left to the routes: the way back may be another.
		clear(oob[header : header+4])
		return oob[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(oob) >= header+unix.SizeofInet6Pktinfo:
		// addr, ifindex: a link-local address needs its interface.
		if a := netip.AddrFrom16([16]byte(oob[header : header+16])); !a.IsLinkLocalUnicast() {
			clear(oob[header+16 : header+20])
		}
		return oob[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
	}
	return nil
}

// sentAt returns the address that a packet was sent to, of what replyFrom made of
// its control message.
func sentAt(back []byte) netip.Addr {
	const header = unix.SizeofCmsghdr
	switch {
	case len(back) == unix.CmsgSpace(unix.SizeofInet4Pktinfo):
		return netip.AddrFrom4([4]byte(back[header+4 : header+8]))
	case len(back) >= header+unix.SizeofInet6Pktinfo:
		return netip.AddrFrom16([16]byte(back[header : header+16])).Unmap()
	}
	return netip.Addr{}
}
