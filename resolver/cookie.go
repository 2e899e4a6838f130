package resolver

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// DNS cookies as a server gives them (RFC 7873, in the shape of RFC 9018). One
// that comes back proves that its sender reads what is sent to its address, so
// that whoever floods in its name does it no harm.

const (
	optCookie = 10

	clientCookieLen = 8  // RFC 7873 §4.1
	serverCookieLen = 16 // RFC 9018 §4
	cookieLen       = clientCookieLen + serverCookieLen
	minForeignLen   = clientCookieLen + 8  // RFC 7873 §4.2: a server's part has 8 to
	maxForeignLen   = clientCookieLen + 32 // 32 bytes, whatever made it

	// RFC 9018 §4.3.
	cookieLife    = 3600 // seconds that a cookie is good for
	cookieRenewal = 1800 // seconds after which another is given
	cookieAhead   = 300  // seconds that a cookie may come from the future

	// secretLife is how long a secret makes cookies: RFC 7873 §7.1 asks for at
	// most 36 days, and it costs nothing.
	secretLife = 24 * time.Hour
)

// cookies makes and reads server cookies. The secrets live in memory alone: after
// a restart a client's old cookie is as good as none, and what that costs it is
// one more packet, if the limits bite just then.
type cookies struct {
	secrets atomic.Pointer[secrets]
}

// secrets are the one that makes cookies and the one before, whose cookies are
// still good for as long as they live.
type secrets struct {
	now, before [16]byte
	since       time.Time
}

func newCookies(now time.Time) *cookies {
	c := &cookies{}
	s := &secrets{since: now}
	rand.Read(s.now[:])
	rand.Read(s.before[:])
	c.secrets.Store(s)
	return c
}

// current returns the secrets that hold now.
func (c *cookies) current(now time.Time) *secrets {
	s := c.secrets.Load()
	if now.Sub(s.since) < secretLife {
		return s
	}
	next := &secrets{before: s.now, since: now}
	rand.Read(next.now[:])
	if c.secrets.CompareAndSwap(s, next) {
		return next
	}
	return c.secrets.Load()
}

// check reads q's cookie, if it has one, and completes it to the one that goes
// back with the answer.
func (c *cookies) check(q *query) {
	if q.cookieLen == 0 {
		return
	}
	s := c.current(q.now)
	now := uint32(q.now.Unix())
	if q.cookieLen == cookieLen {
		age := int32(now - binary.BigEndian.Uint32(q.cookie[12:])) // RFC 1982
		timely := -cookieAhead <= age && age <= cookieLife
		fresh := timely && q.cookie == sealCookie(q.cookie, &s.now, q.from.Addr())
		q.proven = fresh || timely && q.cookie == sealCookie(q.cookie, &s.before, q.from.Addr())
		if fresh && age <= cookieRenewal {
			return
		}
	}
	q.cookieLen = cookieLen
	copy(q.cookie[clientCookieLen:], []byte{1, 0, 0, 0}) // version, reserved
	binary.BigEndian.PutUint32(q.cookie[12:], now)
	q.cookie = sealCookie(q.cookie, &s.now, q.from.Addr())
}

// sealCookie returns a cookie with the hash that belongs to it (RFC 9018 §4.4).
func sealCookie(cookie [cookieLen]byte, secret *[16]byte, client netip.Addr) [cookieLen]byte {
	var b [clientCookieLen + 8 + 16]byte
	copy(b[:16], cookie[:16])
	n := 16
	if client = client.Unmap(); client.Is4() {
		a := client.As4()
		n += copy(b[n:], a[:])
	} else {
		a := client.As16()
		n += copy(b[n:], a[:])
	}
	binary.LittleEndian.PutUint64(cookie[16:], siphash24(secret, b[:n]))
	return cookie
}

// readCookie notes the cookie in an option's data. It returns false where its
// length is impossible (RFC 7873 §5.2.2). A server's part of another length than
// ours was made by another server.
func (q *query) readCookie(data []byte) bool {
	switch n := len(data); {
	case n == clientCookieLen || n == cookieLen:
		q.cookieLen = copy(q.cookie[:], data)
	case minForeignLen <= n && n <= maxForeignLen:
		q.cookieLen = copy(q.cookie[:], data[:clientCookieLen])
	default:
		return false
	}
	return true
}
