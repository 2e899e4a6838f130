package upstream

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/miekg/dns"
)

// Question is what is asked: all that an answer may depend on. Name is in wire
// form and lower case, without the root label.
type Question struct {
	Name   string
	Type   uint16
	Class  uint16
	DO, CD bool // RFC 4035 §3.2.1, §3.2.2
}

// ErrUnreadable: what came looks like the answer, but is malformed.
var ErrUnreadable = errors.New("answer cannot be read")

const (
	headerLen = 12
	typeOPT   = 41

	// bufferSize is the UDP size that is offered: what passes every link without
	// being cut into fragments, which can be forged (RFC 9715).
	bufferSize = 1232

	// padBlock is what encrypted queries are padded to, so that their length
	// tells little (RFC 8467 §4.1).
	padBlock = 128

	optionCookie  = 10
	optionPadding = 12
)

// shape says how a message for a question is made.
type shape struct {
	edns   bool
	ad     bool // say that AD is wanted (RFC 6840 §5.7)
	pad    bool
	mix    bool   // spell the name with random case ("0x20")
	cookie []byte // RFC 7873; nil sends none
	zeroID bool   // RFC 8484 §4.1, RFC 9250 §4.2.1
}

// message is a query as it is sent: two bytes of length for streams, then the
// message.
type message struct {
	framed   []byte
	question []byte // the question's bytes within framed
}

// wire returns the message without its length.
func (m *message) wire() []byte { return m.framed[2:] }

func (m *message) id() uint16 { return binary.BigEndian.Uint16(m.framed[2:]) }

// setID gives the message an ID.
func (m *message) setID(id uint16) { binary.BigEndian.PutUint16(m.framed[2:], id) }

// message makes the query for q.
func (q *Question) message(s shape) *message {
	b := make([]byte, 2+headerLen, 2+headerLen+len(q.Name)+5+11+4+40+4+padBlock)
	if !s.zeroID {
		// A wrong guess of 16 bits of ID and the source port is what keeps forged
		// answers out (RFC 5452 §9.2), so they come from the system's generator.
		rand.Read(b[2:4])
	}
	flags := uint16(1 << 8) // RD
	if s.ad {
		flags |= 1 << 5
	}
	if q.CD {
		flags |= 1 << 4
	}
	binary.BigEndian.PutUint16(b[4:], flags)
	binary.BigEndian.PutUint16(b[6:], 1)
	at := len(b)
	b = append(b, q.Name...)
	b = append(b, 0)
	if s.mix {
		mixCase(b[at:])
	}
	b = binary.BigEndian.AppendUint16(b, q.Type)
	b = binary.BigEndian.AppendUint16(b, q.Class)
	m := &message{question: b[at:len(b):len(b)]}
	if s.edns {
		b = q.appendOPT(b, s)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	m.framed = b
	return m
}

func (q *Question) appendOPT(b []byte, s shape) []byte {
	binary.BigEndian.PutUint16(b[2+10:], 1) // ARCOUNT
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, typeOPT)
	b = binary.BigEndian.AppendUint16(b, bufferSize)
	var do uint32
	if q.DO {
		do = 1 << 15
	}
	b = binary.BigEndian.AppendUint32(b, do)
	size := len(b)
	b = binary.BigEndian.AppendUint16(b, 0)
	if s.cookie != nil {
		b = binary.BigEndian.AppendUint16(b, optionCookie)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.cookie)))
		b = append(b, s.cookie...)
	}
	if s.pad {
		fill := (padBlock - (len(b)-2+4)%padBlock) % padBlock
		b = binary.BigEndian.AppendUint16(b, optionPadding)
		b = binary.BigEndian.AppendUint16(b, uint16(fill))
		b = append(b, make([]byte, fill)...)
	}
	binary.BigEndian.PutUint16(b[size:], uint16(len(b)-size-2))
	return b
}

// mixCase gives each letter of a name in wire form a random case: bits that
// somebody who forges an answer has to guess too (draft-vixie-dnsext-dns0x20).
func mixCase(name []byte) {
	var r uint64
	bits := 0
	for i := 0; i < len(name) && name[i] != 0; i += int(name[i]) + 1 {
		for j := i + 1; j <= i+int(name[i]); j++ {
			if c := name[j]; c < 'a' || c > 'z' {
				continue
			}
			if bits == 0 {
				r, bits = mathrand.Uint64(), 64 // ChaCha8, seeded by the system
			}
			name[j] -= byte(r&1) << 5
			r >>= 1
			bits--
		}
	}
}

// match says how an answer fits a query.
type match uint8

const (
	noMatch   match = iota // another question's, or a forged one
	foldMatch              // the question in another case
	fullMatch
)

// matches compares an answer with the query that was sent: ID and question
// (RFC 5452 §9.1).
func (m *message) matches(got []byte) match {
	sent := m.wire()
	if len(got) < headerLen || got[0] != sent[0] || got[1] != sent[1] || got[2]&0xF8 != 0x80 { // QR, and opcode QUERY
		return noMatch
	}
	switch binary.BigEndian.Uint16(got[4:]) {
	case 0: // servers that could not, or would not, read the question
		if rcode := got[3] & 0xF; rcode == dns.RcodeFormatError || rcode == dns.RcodeNotImplemented {
			return fullMatch
		}
	case 1:
		if len(got) < headerLen+len(m.question) {
			return noMatch
		}
		q := got[headerLen : headerLen+len(m.question)]
		if string(q) == string(m.question) {
			return fullMatch
		}
		name := len(q) - 4
		if equalFold(q[:name], m.question[:name]) && string(q[name:]) == string(m.question[name:]) {
			return foldMatch
		}
	}
	return noMatch
}

func equalFold(a, b []byte) bool {
	for i := range a {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x |= 0x20
		}
		if y >= 'A' && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}

// unpack reads an answer whole: malformed ones are kept from clients.
func unpack(b []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	if len(m.Answer) != count(6) || len(m.Ns) != count(8) || len(m.Extra) != count(10) {
		// The library takes a message that ends early for a whole one.
		return nil, fmt.Errorf("%w: records are missing", ErrUnreadable)
	}
	return m, nil
}
