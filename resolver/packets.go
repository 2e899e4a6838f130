package resolver

import (
	"net"
	"net/netip"
)

// packet is one datagram of a batch, and the answer to it.
type packet struct {
	buf  []byte         // room for what comes
	oob  []byte         // room for its control message; nil where none is wanted
	msg  []byte         // what came: the first part of buf
	cut  bool           // it was longer than buf
	from netip.AddrPort // where it came from
	name []byte         // that as the system writes it; nil where a call takes from
	back []byte         // the control message that the answer is sent with; part of oob
	out  []byte         // the answer; empty: none is due
}

// packets reads and sends datagrams, several at a time where the system can. One
// goroutine uses it.
type packets interface {
	// read waits until something came and fills the first n of batch. It says
	// nothing of their out. It ends with the socket's deadline.
	read(batch []packet) (n int, err error)
	// send sends the answers of the n packets that were read last, in any order. Of
	// one that cannot be sent nobody is told: the client asks again.
	send(n int)
	// sendTo sends answers to whom they name, in the same way.
	sendTo(list []lateAnswer)
}

// newBatch makes room for n messages of up to the given number of bytes.
func newBatch(n, bytes, oob int) []packet {
	batch := make([]packet, n)
	for i := range batch {
		p := &batch[i]
		p.buf = make([]byte, bytes)
		p.out = make([]byte, 0, maxEDNSUDP)
		if oob > 0 {
			p.oob = make([]byte, oob)
		}
	}
	return batch
}

// onePacket is packets on every system: a call for each.
type onePacket struct {
	conn *net.UDPConn
	last []packet
}

func (o *onePacket) read(batch []packet) (int, error) {
	o.last = batch[:1]
	p := &batch[0]
	n, oobn, flags, from, err := o.conn.ReadMsgUDPAddrPort(p.buf, p.oob)
	if err != nil {
		return 0, err
	}
	p.msg, p.from, p.cut, p.back = p.buf[:n], from, flags&msgTruncated != 0, replyFrom(p.oob[:oobn])
	return 1, nil
}

func (o *onePacket) send(n int) {
	for i := range o.last[:n] {
		if p := &o.last[i]; len(p.out) > 0 {
			o.conn.WriteMsgUDPAddrPort(p.out, p.back, p.from)
		}
	}
}

func (o *onePacket) sendTo(list []lateAnswer) {
	for _, a := range list {
		o.conn.WriteMsgUDPAddrPort(a.out, a.back, a.to)
	}
}
