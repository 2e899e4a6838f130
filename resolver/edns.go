package resolver

import "time"

// Sizes of messages.
const (
	maxPlainUDP = 512   // RFC 1035 §4.2.1, for clients without EDNS
	maxEDNSUDP  = 1232  // IPv6's least MTU of 1280 less 48 bytes of headers: never a fragment (DNS flag day 2020)
	maxMessage  = 65535 // TCP's length field
)

const bitDO = 1 << 15 // of OPT's TTL field, second half (RFC 3225 §3)

// EDE info codes (RFC 8914 §4).
const (
	edeNone             = -1
	edeOther            = 0
	edeStale            = 3
	edeForged           = 4
	edeBlocked          = 15
	edeFiltered         = 17
	edeProhibited       = 18
	edeStaleNXDomain    = 19
	edeNotAuthoritative = 20
	edeNotSupported     = 21
	edeNoReachable      = 22
	edeNetworkError     = 23
	edeInvalidData      = 24
)

// extendedError is an Extended DNS Error: a code, and a text for people. The
// texts are fixed: no profile, device, rule, list or schedule ever stands in
// one, since they travel in clear.
type extendedError struct {
	code int
	text string
}

var (
	noError          = extendedError{code: edeNone}
	errStale         = extendedError{edeStale, ""}
	errStaleNXDomain = extendedError{edeStaleNXDomain, ""}
	errFiltered      = extendedError{edeFiltered, "Filtered by the family's settings"}
	errDangerous     = extendedError{edeBlocked, "Blocked as dangerous"}
	errRebinding     = extendedError{edeBlocked, "An address of a home network behind a public name"}
	errRewritten     = extendedError{edeForged, "Answered with the safe mode"} // 4 where there is an answer (RFC 8914 §4.5)
	errNoSafeMode    = extendedError{edeOther, "The safe mode was not found"}
	errProhibited    = extendedError{edeProhibited, ""} // short: it goes to strangers
	errSnooping      = extendedError{edeNotAuthoritative, ""}
	errNotSupported  = extendedError{edeNotSupported, ""}
	errBusy          = extendedError{edeOther, "Too many questions at once"}
	errUnreachable   = extendedError{edeNoReachable, "No upstream answered"}
	errNetwork       = extendedError{edeNetworkError, "The network to the upstream failed"}
	errInvalid       = extendedError{edeInvalidData, "The upstream's answer could not be read"}
)

// parseOPT reads the asker's OPT record (RFC 6891 §6.1). Options that Kinward
// does not know are passed over (§6.1.2), but must be whole.
func (q *query) parseOPT(r record) bool {
	q.edns = true
	ttl := r.ttl(q.msg)
	q.vers = uint8(ttl >> 16)
	q.do = ttl&bitDO != 0
	if q.via == overUDP { // elsewhere it means nothing
		// §6.2.3: sizes below 512 are 512.
		q.limit = min(max(int(r.class), maxPlainUDP), maxEDNSUDP)
	}
	q.options = q.msg[r.data:r.next]
	for at := r.data; at < r.next; {
		if at+4 > r.next {
			return false
		}
		code, data := word(q.msg, at), at+4
		at = data + int(word(q.msg, at+2))
		if at > r.next {
			return false
		}
		switch code {
		case optCookie:
			if q.cookieLen == 0 && !q.readCookie(q.msg[data:at]) {
				return false
			}
		case optKeepalive:
			if q.via != overUDP && at > data { // RFC 7828 §3.2.1: clients say nothing but that they want to know
				return false
			}
			q.keepalive = q.via != overUDP // §3.2.1: passed over there
		case optPadding:
			q.pads = q.via.encrypted() // RFC 7830 §6: never in clear
		}
	}
	return true
}

// optKeepalive and optPadding are the codes of two options (RFC 7828, RFC 7830).
const (
	optKeepalive = 11
	optPadding   = 12
)

// padBlock: the length of every padded answer is a multiple (RFC 8467 §4.1).
const padBlock = 468

var zeros [padBlock]byte

// padding returns the length of the option that pads a message of n bytes, 0 where
// none fits.
func padding(n, limit int) int {
	pad := (padBlock - (n+4)%padBlock) % padBlock
	if n+4 > limit {
		return 0
	}
	return min(4+pad, limit-n)
}

// findOPT looks for an OPT record in a message of another opcode than QUERY,
// which is answered with one too (RFC 6891 §6.1.1). What cannot be read, or
// holds more than such a message needs, is taken to have none.
func (q *query) findOPT() {
	const most = 16 // records: strangers get here
	qd, ar := int(word(q.msg, atQD)), int(word(q.msg, atAR))
	before := int(word(q.msg, atAN)) + int(word(q.msg, atNS))
	if qd+before+ar > most {
		return
	}
	off, ok := headerLen, true
	for range qd {
		if _, off, ok = readName(q.msg, off); !ok {
			return
		}
		off += 4
	}
	for i := range before + ar {
		r, ok := readRecord(q.msg, off)
		if !ok {
			return
		}
		off = r.next
		if i >= before && r.rtype == typeOPT && r.owner == "" {
			q.edns = q.parseOPT(r)
			return
		}
	}
}

// optLen returns the room that the OPT record of an answer takes.
func (q *query) optLen(e extendedError) int {
	if !q.edns {
		return 0
	}
	return 11 + q.optionsLen(e)
}

// optionsLen returns the room that the options in it take.
func (q *query) optionsLen(e extendedError) (n int) {
	if q.cookieLen > 0 {
		n = 4 + q.cookieLen
	}
	if e.code != edeNone {
		n += 6 + len(e.text)
	}
	if q.keepalive && q.via.keepsAlive() {
		n += 6
	}
	return n
}

// appendOPT ends the answer with an OPT record if the asker sent one (RFC 6891
// §7). extended is the upper part of the rcode.
func (q *query) appendOPT(extended int, e extendedError) {
	if !q.edns {
		return
	}
	var do uint32
	if q.do { // RFC 3225 §3: copied to the answer
		do = bitDO
	}
	b := append(q.out, 0) // the root
	b = appendWord(b, typeOPT)
	b = appendWord(b, maxEDNSUDP)
	b = appendLong(b, uint32(extended)<<24|do)
	options := q.optionsLen(e)
	pad := 0
	if q.pads { // to be last: its length is what the rest leaves
		pad = padding(len(b)+2+options, q.limit)
	}
	b = appendWord(b, uint16(options+pad))
	if q.cookieLen > 0 {
		b = appendWord(b, optCookie)
		b = appendWord(b, uint16(q.cookieLen))
		b = append(b, q.cookie[:q.cookieLen]...)
	}
	if e.code != edeNone {
		b = appendWord(b, 15) // the option EDE
		b = appendWord(b, uint16(2+len(e.text)))
		b = appendWord(b, uint16(e.code))
		b = append(b, e.text...)
	}
	if q.keepalive && q.via.keepsAlive() {
		b = appendWord(b, optKeepalive)
		b = appendWord(b, 2)
		b = appendWord(b, uint16(min(q.idle/(100*time.Millisecond), 1<<16-1)))
	}
	if pad > 0 {
		b = appendWord(b, optPadding)
		b = appendWord(b, uint16(pad-4))
		b = append(b, zeros[:pad-4]...)
	}
	q.out = b
	putWord(q.out, atAR, word(q.out, atAR)+1)
}
