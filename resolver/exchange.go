package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

// exchanger asks upstreams. It is safe for concurrent use.
type exchanger struct {
	timeout time.Duration // for one attempt
}

// ask sends k to p and returns its answer: one whose ID and question are those
// sent, whatever its rcode. It waits for at most the attempt's time, or until
// ctx ends. The message asked with is made anew, so no option, no spelling and
// no ID of a client's ever leaves the house.
func (x *exchanger) ask(ctx context.Context, p *peer, k question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	m, err := x.askWith(ctx, p, k, true)
	if err == nil && m.IsEdns0() == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		// RFC 6891 §7: such a server knows no EDNS.
		m, err = x.askWith(ctx, p, k, false)
	}
	if err == nil && m.Rcode == dns.RcodeBadVers {
		err = errors.New("it refuses EDNS version 0")
	}
	return m, err
}

func (x *exchanger) askWith(ctx context.Context, p *peer, k question, edns bool) (*dns.Msg, error) {
	msg := k.message(edns)
	if p.scheme == "udp" {
		m, err := p.exchange(ctx, "udp", k, msg)
		if err == nil && !m.Truncated || err != nil && !errors.Is(err, errUnreadable) {
			return m, err
		}
		// RFC 1035 §4.2.1, RFC 7766 §5: cut off, so TCP. What looks like the
		// answer but cannot be read was most likely cut off on its way.
	}
	return p.exchange(ctx, "tcp", k, msg)
}

// message returns the query for k, with two bytes before it for TCP's length.
func (k question) message(edns bool) []byte {
	b := make([]byte, 2+headerLen, 2+headerLen+len(k.name)+5+11)
	// A wrong guess of 16 bits of ID and the source port is what keeps forged
	// answers out (RFC 5452 §9.2), so they come from the system's generator.
	rand.Read(b[2:4])
	flags := uint16(bitRD)
	if k.cd {
		flags |= bitCD
	}
	putWord(b[2:], atFlags, flags)
	putWord(b[2:], atQD, 1)
	b = append(b, k.name...)
	b = append(b, 0)
	b = appendWord(b, k.qtype)
	b = appendWord(b, k.class)
	if edns {
		putWord(b[2:], atAR, 1)
		var do uint32
		if k.do {
			do = bitDO
		}
		b = append(b, 0)
		b = appendWord(b, typeOPT)
		b = appendWord(b, maxEDNSUDP)
		b = appendLong(b, do)
		b = appendWord(b, 0)
	}
	putWord(b, 0, uint16(len(b)-2))
	return b
}

// exchange sends msg over a socket of its own, so that every question leaves
// from a port that the system chose at random (RFC 5452 §9.2), connected, so
// that only the upstream's address is heard.
func (p *peer) exchange(ctx context.Context, network string, k question, msg []byte) (*dns.Msg, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, p.addr.String())
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", p, err)
	}
	defer c.Close()
	if t, ok := ctx.Deadline(); ok {
		c.SetDeadline(t)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var m *dns.Msg
	if network == "tcp" {
		m, err = p.overStream(c, k, msg)
	} else {
		m, err = p.overPackets(c, k, msg[2:])
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", p, err)
	}
	return m, nil
}

func (p *peer) overPackets(c net.Conn, k question, msg []byte) (*dns.Msg, error) {
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	var buf [4096]byte // more than what is asked for: some send what they like
	for {
		n, err := c.Read(buf[:])
		if err != nil {
			return nil, err
		}
		if !k.answeredBy(buf[:n], msg) {
			p.m.mismatches.Inc() // a forged one, or one that comes too late: wait on
			continue
		}
		return unpack(buf[:n])
	}
}

func (p *peer) overStream(c net.Conn, k question, msg []byte) (*dns.Msg, error) {
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return nil, err
		}
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, buf); err != nil {
			return nil, err
		}
		if k.answeredBy(buf, msg[2:]) {
			return unpack(buf)
		}
		p.m.mismatches.Inc()
	}
}

// answeredBy reports whether got is an answer to the query that was sent: its
// ID and its question are the same (RFC 5452 §9.1).
func (k question) answeredBy(got, sent []byte) bool {
	if len(got) < headerLen || got[0] != sent[0] || got[1] != sent[1] || word(got, atFlags)&(bitQR|maskOpcode) != bitQR {
		return false
	}
	switch word(got, atQD) {
	case 0: // servers that could not, or would not, read the question
		rcode := word(got, atFlags) & maskRcode
		return rcode == rcodeFormErr || rcode == rcodeNotImp
	case 1:
		n, off, ok := readName(got, headerLen)
		return ok && off+4 <= len(got) && n == k.name && word(got, off) == k.qtype && word(got, off+2) == k.class
	}
	return false
}

// unpack reads an answer whole: malformed ones are kept from clients.
func unpack(b []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if len(m.Answer) != int(word(b, atAN)) || len(m.Ns) != int(word(b, atNS)) || len(m.Extra) != int(word(b, atAR)) {
		// The library takes a message that ends early for a whole one.
		return nil, fmt.Errorf("%w: records are missing", errUnreadable)
	}
	return m, nil
}
