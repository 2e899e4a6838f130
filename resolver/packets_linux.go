package resolver

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams a system call takes at most. The first answer
// waits for the last; a full batch there is only under load.
const batchSize = 32

// manyPackets reads and sends with recvmmsg(2) and sendmmsg(2): a question that
// comes alone costs what it costs otherwise, and one of many a fraction of a call.
type manyPackets struct {
	raw  syscall.RawConn
	last []packet

	in       [batchSize]message  // in the order of last
	answers  [batchSize]outgoing // to those that have one
	order    []*outgoing         // room to sort them
	out      [batchSize]message  // which take them
	vectors  []unix.Iovec        // what out points at
	controls [][]byte            // the same, of those that are cut
	segments bool                // messages can be cut
	single   [batchSize]message  // the parts of one that could not be sent

	// The calls wait in the runtime's poller, which takes a function; these are made once.
	reading, writing func(fd uintptr) bool
	pending          []message // to send
	n                int       // messages that the last call took
	errno            syscall.Errno

	zones zoneNames
}

// message is the kernel's struct mmsghdr, with what it points at.
type message struct {
	head unix.Msghdr
	size uint32 // bytes received or sent
}

// socketAddress is a struct sockaddr_in or sockaddr_in6.
type socketAddress = unix.RawSockaddrInet6

// newPackets returns what reads and sends on conn, and how many datagrams at a
// time.
func newPackets(conn *net.UDPConn) (packets, int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	m := &manyPackets{raw: raw, order: make([]*outgoing, 0, batchSize), vectors: make([]unix.Iovec, batchSize), controls: make([][]byte, batchSize)}
	addrs, vectors := make([]socketAddress, batchSize), make([]unix.Iovec, batchSize)
	for i := range batchSize {
		m.in[i].head.Name = (*byte)(unsafe.Pointer(&addrs[i]))
		m.in[i].head.Iov = &vectors[i]
		m.in[i].head.SetIovlen(1)
		m.controls[i] = make([]byte, oobLen+segmentLen)
	}
	if err := raw.Control(func(fd uintptr) { m.segments = segmented(fd) }); err != nil {
		return nil, 0, err
	}
	m.reading = func(fd uintptr) bool {
		m.n, m.errno = batchCall(unix.SYS_RECVMMSG, fd, m.in[:len(m.last)])
		return m.errno != unix.EAGAIN
	}
	m.writing = func(fd uintptr) bool {
		m.n, m.errno = batchCall(unix.SYS_SENDMMSG, fd, m.pending)
		return m.errno != unix.EAGAIN
	}
	return m, batchSize, nil
}

// batchCall makes a system call that takes messages and returns how many of them
// it took. The socket never blocks, so the scheduler is not told: what takes longer
// than 20 µs, as a full batch does, would have this thread's place given away each
// time, and the runtime's watcher awake for it (proc.go, retake and sysmon).
func batchCall(number, fd uintptr, list []message) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&list[0])), uintptr(len(list)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func (m *manyPackets) read(batch []packet) (int, error) {
	m.last = batch[:min(len(batch), batchSize)]
	for i := range m.last {
		p, h := &batch[i], &m.in[i].head
		h.Namelen = unix.SizeofSockaddrInet6
		h.Iov.Base = &p.buf[0]
		h.Iov.SetLen(len(p.buf))
		if len(p.oob) > 0 {
			h.Control = &p.oob[0]
			h.SetControllen(len(p.oob))
		}
		h.Flags = 0
	}
	if err := m.raw.Read(m.reading); err != nil {
		return 0, err
	}
	if m.errno != 0 {
		return 0, m.errno
	}
	for i := range m.n {
		p, h := &batch[i], &m.in[i].head
		p.msg = p.buf[:min(int(m.in[i].size), len(p.buf))]
		p.cut = h.Flags&unix.MSG_TRUNC != 0
		p.from = m.address((*socketAddress)(unsafe.Pointer(h.Name)))
		p.name = unsafe.Slice(h.Name, h.Namelen)
		p.back = nil
		if len(p.oob) > 0 {
			p.back = replyFrom(p.oob[:h.Controllen])
		}
	}
	return m.n, nil
}

func (m *manyPackets) send(n int) {
	due := 0
	for i := range m.last[:n] {
		if p := &m.last[i]; len(p.out) > 0 {
			m.answers[due] = outgoing{out: p.out, back: p.back, to: p.name}
			due++
		}
	}
	m.sendAll(due)
}

func (m *manyPackets) sendTo(list []lateAnswer) {
	for part := range slices.Chunk(list, batchSize) {
		for i, a := range part {
			m.answers[i] = outgoing{out: a.out, back: a.back, to: a.name}
		}
		m.sendAll(len(part))
	}
}

// sendAll sends the first n of m.answers.
func (m *manyPackets) sendAll(n int) {
	if m.segments && n > 1 {
		m.sendOut(m.together(n))
		return
	}
	for i := range m.answers[:n] {
		m.vectors[i].Base = &m.answers[i].out[0]
		m.vectors[i].SetLen(len(m.answers[i].out))
		m.out[i].answer(&m.answers[i], m.vectors[i:i+1])
	}
	m.sendOut(m.out[:n])
}

// sendOut sends messages. A call stops at one that cannot be sent: it is passed over,
// or tried in its parts.
func (m *manyPackets) sendOut(list []message) {
	for len(list) > 0 {
		m.pending = list
		if m.raw.Write(m.writing) != nil { // the socket is closed
			return
		}
		list = list[m.n:]
		if m.errno == 0 {
			continue
		}
		if list[0].head.Iovlen > 1 {
			m.segments = m.segments && m.errno != unix.EIO // no sum can be made of the parts
			m.sendOut(m.parts(&list[0]))
		}
		list = list[1:]
	}
}

// address reads what the kernel wrote.
func (m *manyPackets) address(a *socketAddress) netip.AddrPort {
	if a.Family == unix.AF_INET {
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), hostOrder(a.Port))
	}
	addr := netip.AddrFrom16(a.Addr)
	if a.Scope_id != 0 {
		addr = addr.WithZone(m.zones.of(a.Scope_id))
	}
	return netip.AddrPortFrom(addr, hostOrder(a.Port))
}

// hostOrder reads a port, which lies in memory as it does in a packet.
func hostOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// zoneNames are the names of interfaces, by which addresses of a link are told
// apart (RFC 4007 §11.2). Interfaces come and go: what is known is looked up anew
// now and then, as package net does it.
type zoneNames struct {
	names map[uint32]string
	since time.Time
}

const zonesLive = time.Minute

func (z *zoneNames) of(index uint32) string {
	if name, ok := z.names[index]; ok && time.Since(z.since) < zonesLive {
		return name
	}
	links, err := net.Interfaces()
	z.names, z.since = map[uint32]string{index: strconv.Itoa(int(index))}, time.Now()
	if err != nil {
		return z.names[index]
	}
	for _, l := range links {
		z.names[uint32(l.Index)] = l.Name
	}
	return z.names[index]
}
