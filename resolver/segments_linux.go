package resolver

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Answers of one length to one client leave as one message that the kernel cuts
// (UDP_SEGMENT, udp(7), Linux 4.18): it finds the way and passes its filters once. A
// forwarder in front of many homes asks from few sockets; a home's devices, each by
// its own, lose a comparison by it.

const (
	maxSegments = 64     // UDP_MAX_SEGMENTS of older kernels
	maxTogether = 65_000 // bytes; a datagram's length has 16 bits
)

const _ = uint(maxSegments - batchSize) // a batch holds no more than one message may be cut into

// outgoing is an answer, whom it goes to as the system writes it, and the control
// message that it is sent with.
type outgoing struct {
	out, back, to []byte
	key           uint64 // of to; equal ones still have to be compared
}

// before is the order in which answers lie beside those that they can leave with.
func (a *outgoing) before(b *outgoing) bool {
	return a.key < b.key || a.key == b.key && len(a.out) > len(b.out)
}

// sameWay reports whether b goes where a goes, from the same address.
func (a *outgoing) sameWay(b *outgoing) bool {
	return a.key == b.key && bytes.Equal(a.to, b.to) && bytes.Equal(a.back, b.back)
}

// segmentLen has room for the control message that tells the length of the parts.
var segmentLen = unix.CmsgSpace(2)

// segmented reports whether the system cuts messages.
func segmented(fd uintptr) bool {
	_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	return err == nil
}

// answer makes m of the answer a, or of all that leave with it, whose bytes lie where
// vectors say.
func (m *message) answer(a *outgoing, vectors []unix.Iovec) {
	h := &m.head
	h.Name, h.Namelen = &a.to[0], uint32(len(a.to))
	h.Iov = &vectors[0]
	h.SetIovlen(len(vectors))
	h.Control = nil
	h.SetControllen(len(a.back))
	if len(a.back) > 0 {
		h.Control = &a.back[0]
	}
}

// together makes messages of the first n answers, in which those to one client are
// the longest first.
func (m *manyPackets) together(n int) []message {
	order := m.order[:0]
	for i := range m.answers[:n] {
		a := &m.answers[i]
		a.key = binary.NativeEndian.Uint64(a.to) // family, port, and IPv4's address
		at := len(order)
		order = append(order, a)
		for ; at > 0 && a.before(order[at-1]); at-- {
			order[at] = order[at-1]
		}
		order[at] = a
	}
	for i, a := range order {
		m.vectors[i].Base = &a.out[0]
		m.vectors[i].SetLen(len(a.out))
	}
	messages := 0
	for at := 0; at < n; messages++ {
		first, size, last := order[at], len(order[at].out), at+1
		for last < n && (last-at+1)*size <= maxTogether && first.sameWay(order[last]) {
			last++
			if len(order[last-1].out) < size { // only the last may be shorter
				break
			}
		}
		m.out[messages].answer(first, m.vectors[at:last])
		if last-at > 1 {
			m.out[messages].cut(size, m.controls[messages])
		}
		at = last
	}
	return m.out[:messages]
}

// cut has a message cut into answers of that size. room takes its control message.
func (m *message) cut(size int, room []byte) {
	n := copy(room, unsafe.Slice(m.head.Control, m.head.Controllen))
	c := (*unix.Cmsghdr)(unsafe.Pointer(&room[n]))
	c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(room[n+unix.CmsgLen(0):], uint16(size))
	m.head.Control = &room[0]
	m.head.SetControllen(n + segmentLen)
}

// parts makes messages of the answers of one that is cut.
func (m *manyPackets) parts(whole *message) []message {
	vectors := unsafe.Slice(whole.head.Iov, whole.head.Iovlen)
	for i := range vectors {
		h := &m.single[i].head
		*h = whole.head
		h.Iov = &vectors[i]
		h.SetIovlen(1)
		if h.SetControllen(int(h.Controllen) - segmentLen); h.Controllen == 0 {
			h.Control = nil
		}
	}
	return m.single[:len(vectors)]
}
