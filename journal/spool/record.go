package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"
	"net/netip"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// What lies in the ring and, byte for byte, in segments are frames:
//
//	8 bytes  word: the place in the stream, the kind, the size (see word)
//	4 bytes  CRC-32C of payload and padding, begun with the place in the stream
//	n bytes  payload
//	         zeros up to a multiple of 8
//
// The word is stored last and at once, so a frame is there whole or not at all.
const (
	unit      = 8  // what places in the stream are counted in
	headBytes = 12 // of a frame, before its payload
	maxString = 255

	// maxFrame bounds a frame: three names, three strings and the numbers.
	maxFrame = headBytes + fixedBytes + 16 + 7*binary.MaxVarintLen64 + 3*(1+blocklists.MaxNameLen) + 3*(2+maxString) + unit
)

// Kinds of frames. The numbers stand in files.
const (
	kindAttempt = 1
	kindPad     = 2 // nothing, and without a checksum: where no frame fits, or where one was erased
	kindLoss    = 3
	kindTally   = 4
)

// mark tells a word from other bytes.
const mark = 0xa7

// word is what makes a frame: the low half of its place, the mark, the kind and
// the size in bytes with padding. It is never 0.
func word(seq uint64, kind byte, size int) uint64 {
	return seq<<32 | mark<<24 | uint64(kind)<<16 | uint64(size)
}

// readWord returns what a word says, and whether it is one of the place seq.
func readWord(w, seq uint64) (kind byte, size int, ok bool) {
	size = int(w & 0xffff)
	return byte(w >> 16), size, w>>32 == seq&0xffffffff && byte(w>>24) == mark && size >= unit && size%unit == 0 && size <= maxFrame
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is a frame's checksum. It depends on the place, so that what was left at a
// place by an earlier round is never taken for a frame.
func sum(seq uint64, payload []byte) uint32 {
	return crc32.Update(uint32(seq)^uint32(seq>>32)*0x9e3779b9, castagnoli, payload)
}

// fixedBytes is what an attempt's payload begins with: action, keep, quiet and
// bypass; reason; category; marks; depth; length of the address; type; time.
const fixedBytes = 6 + 2 + 8

func varintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

func clipString(s string) string {
	if len(s) > maxString {
		return s[:maxString]
	}
	return s
}

// client is what is kept of an asker's address, in n bytes.
func client(a *policy.Attempt) (b [16]byte, n int) {
	addr := policy.KeptClient(a.Device, a.Client)
	if !addr.IsValid() {
		return b, 0
	}
	if addr.Is4() {
		four := addr.As4()
		return [16]byte{four[0], four[1], four[2], four[3]}, 4
	}
	return addr.As16(), 16
}

// sizeOf returns the bytes of a's payload.
func sizeOf(a *policy.Attempt, addr int) int {
	return fixedBytes + addr + varintLen(uint64(a.Family)) + varintLen(uint64(a.Profile)) + varintLen(uint64(a.Device)) +
		varintLen(a.Revision) + varintLen(uint64(a.Verdict.Rule)) + varintLen(uint64(a.Verdict.Schedule)) + varintLen(uint64(a.Verdict.Grant)) +
		3 + len(a.Name) + len(a.Hidden) + len(a.Verdict.RuleName) +
		3 + min(len(a.Service), maxString) + min(len(a.List), maxString) + min(len(a.Pattern), maxString)
}

// encode appends a's payload, which is sizeOf bytes, to b.
func encode(b []byte, a *policy.Attempt, addr []byte) []byte {
	v := &a.Verdict
	flags := byte(v.Action) | byte(v.Keep)<<2 | byte(v.Bypass)<<5
	if v.Quiet {
		flags |= 1 << 4
	}
	b = append(b, flags, byte(v.Reason), byte(v.Label.Category), byte(v.Label.Marks), v.Label.Depth, byte(len(addr)))
	b = binary.LittleEndian.AppendUint16(b, a.Type)
	b = binary.LittleEndian.AppendUint64(b, uint64(a.Time.UnixMilli()))
	b = append(b, addr...)
	b = binary.AppendUvarint(b, uint64(a.Family))
	b = binary.AppendUvarint(b, uint64(a.Profile))
	b = binary.AppendUvarint(b, uint64(a.Device))
	b = binary.AppendUvarint(b, a.Revision)
	b = binary.AppendUvarint(b, uint64(v.Rule))
	b = binary.AppendUvarint(b, uint64(v.Schedule))
	b = binary.AppendUvarint(b, uint64(v.Grant))
	b = append(append(b, byte(len(a.Name))), a.Name...)
	b = append(append(b, byte(len(a.Hidden))), a.Hidden...)
	b = append(append(b, byte(len(v.RuleName))), v.RuleName...)
	for _, s := range [...]string{a.Service, a.List, a.Pattern} {
		s = clipString(s)
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

// fits reports whether a's names are as long as names can be.
func fits(a *policy.Attempt) bool {
	return len(a.Name) <= blocklists.MaxNameLen && len(a.Hidden) <= blocklists.MaxNameLen && len(a.Verdict.RuleName) <= blocklists.MaxNameLen
}

// errPayload is a payload that no encode made.
var errPayload = errors.New("not a record of this version")

// cursor reads a payload. Strings are parts of the one that it was made of.
type cursor struct {
	s   string
	bad bool
}

func (c *cursor) take(n int) string {
	if n < 0 || n > len(c.s) {
		c.bad, c.s = true, ""
		return ""
	}
	s := c.s[:n]
	c.s = c.s[n:]
	return s
}

func (c *cursor) byte() byte {
	if s := c.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (c *cursor) uint64() (x uint64) {
	for i, s := 0, c.take(8); i < len(s); i++ {
		x |= uint64(s[i]) << (8 * i)
	}
	return x
}

func (c *cursor) uvarint() (x uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := c.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	c.bad = true
	return 0
}

// name reads a name and sees that its labels are in order, since whoever walks
// them later does not.
func (c *cursor) name() blocklists.Name {
	s := c.take(int(c.byte()))
	if len(s) > blocklists.MaxNameLen {
		c.bad = true
		return ""
	}
	for off := 0; off < len(s); off += int(s[off]) + 1 {
		if l := int(s[off]); l == 0 || l > 63 || off+l >= len(s) {
			c.bad = true
			return ""
		}
	}
	return blocklists.Name(s)
}

// decode reads an attempt's payload.
func decode(payload string, a *policy.Attempt) error {
	c := cursor{s: payload}
	flags := c.byte()
	*a = policy.Attempt{}
	v := &a.Verdict
	v.Action, v.Keep, v.Quiet, v.Bypass = policy.Action(flags&3), policy.Keep(flags>>2&3), flags>>4&1 == 1, policy.Bypass(flags>>5)
	v.Reason, v.Label.Category = policy.Reason(c.byte()), blocklists.Category(c.byte())
	v.Label.Marks, v.Label.Depth = blocklists.Marks(c.byte()), c.byte()
	addr := int(c.byte())
	a.Type = uint16(c.byte()) | uint16(c.byte())<<8
	a.Time = time.UnixMilli(int64(c.uint64())).UTC()
	raw := c.take(addr)
	if addr > 0 {
		var ok bool
		if a.Client, ok = netip.AddrFromSlice([]byte(raw)); !ok {
			return errPayload
		}
	}
	a.Family, a.Profile, a.Device = policy.FamilyID(c.uvarint()), policy.ProfileID(c.uvarint()), policy.DeviceID(c.uvarint())
	a.Revision = c.uvarint()
	v.Rule, v.Schedule, v.Grant = policy.RuleID(c.uvarint()), policy.ScheduleID(c.uvarint()), policy.GrantID(c.uvarint())
	a.Name, a.Hidden, v.RuleName = c.name(), c.name(), c.name()
	a.Service, a.List, a.Pattern = c.take(int(c.byte())), c.take(int(c.byte())), c.take(int(c.byte()))
	if c.bad || v.Keep > policy.KeepItem || v.Bypass > policy.BypassAttempt || v.Reason >= policy.NumReasons || v.Label.Category >= blocklists.NumCategories {
		return errPayload
	}
	return nil
}

// Loss is a time in which attempts could not be kept: of this node, of no family.
type Loss struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Count uint64    `json:"count"` // at most so many
}

func (l Loss) encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(l.From.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.Until.UnixMilli()))
	return binary.LittleEndian.AppendUint64(b, l.Count)
}

func decodeLoss(payload string) (Loss, error) {
	c := cursor{s: payload}
	l := Loss{From: time.UnixMilli(int64(c.uint64())).UTC(), Until: time.UnixMilli(int64(c.uint64())).UTC(), Count: c.uint64()}
	if c.bad {
		return Loss{}, errPayload
	}
	return l, nil
}

// Tally is what is left of attempts whose details had to go: how many there were
// of one profile and category on one day.
type Tally struct {
	Family   policy.FamilyID
	Profile  policy.ProfileID
	Category blocklists.Category
	Day      int64 // since 1970, UTC
	Tries    uint64
	Queries  uint64
}

func (t Tally) encode(b []byte) []byte {
	b = append(b, byte(t.Category))
	for _, x := range [...]uint64{uint64(t.Family), uint64(t.Profile), uint64(t.Day), t.Tries, t.Queries} {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func decodeTally(payload string) (Tally, error) {
	c := cursor{s: payload}
	t := Tally{Category: blocklists.Category(c.byte())}
	t.Family, t.Profile, t.Day, t.Tries, t.Queries = policy.FamilyID(c.uvarint()), policy.ProfileID(c.uvarint()), int64(c.uvarint()), c.uvarint(), c.uvarint()
	if c.bad || t.Category >= blocklists.NumCategories {
		return Tally{}, errPayload
	}
	return t, nil
}

// appendFrame appends a whole frame to b: what is not put into the ring by Record.
func appendFrame(b []byte, seq uint64, kind byte, payload []byte) []byte {
	size := frameSize(len(payload))
	b = binary.LittleEndian.AppendUint64(b, word(seq, kind, size))
	at := len(b)
	b = append(append(b, 0, 0, 0, 0), payload...)
	b = append(b, make([]byte, size-headBytes-len(payload))...)
	binary.LittleEndian.PutUint32(b[at:], sum(seq, b[at+4:])) // the padding is part of it
	return b
}

func frameSize(payload int) int { return (headBytes + payload + unit - 1) / unit * unit }

// frameAt returns the kind, size and padded payload of the frame that b begins
// with, which is one of the place seq.
func frameAt(b []byte, seq uint64) (kind byte, size int, payload []byte, ok bool) {
	if len(b) < unit {
		return 0, 0, nil, false
	}
	kind, size, ok = readWord(binary.LittleEndian.Uint64(b), seq)
	if !ok || size > len(b) {
		return 0, 0, nil, false
	}
	if kind == kindPad {
		return kind, size, nil, true
	}
	if size < headBytes+unit-headBytes%unit {
		return 0, 0, nil, false
	}
	payload = b[headBytes:size]
	return kind, size, payload, binary.LittleEndian.Uint32(b[unit:]) == sum(seq, payload)
}
