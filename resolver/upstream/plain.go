package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// errUseTCP: the answer has to be asked for again over TCP.
var errUseTCP = errors.New("asked again over TCP")

// plainClient asks over UDP. Somebody who forges an answer has to guess the ID,
// the source port, the case of each letter of the name, and the cookie where the
// upstream has one.
type plainClient struct {
	c      *Client
	cookie [8]byte                // RFC 7873 §4.1: the client's part, random, for this upstream alone
	server atomic.Pointer[[]byte] // the upstream's part, nil while it has given none

	sockets sockets

	folds    atomic.Int32 // answers in a row that spelled the name otherwise
	spellsAt atomic.Int64 // Unix seconds from which the case is mixed again; 0: it is mixed
}

const (
	// foldsUntilPlain is how many answers in another case show that the upstream
	// does not keep the case, and no attack.
	foldsUntilPlain = 3
	// plainFor is how long such an upstream is spared: every answer costs it a
	// TCP connection.
	plainFor = time.Hour
)

func newPlainClient(c *Client) *plainClient {
	p := &plainClient{c: c, sockets: sockets{dial: c.dialUDP, now: c.opt.now}}
	rand.Read(p.cookie[:])
	return p
}

// ask returns errUseTCP where the answer was cut off, or cannot be believed.
func (p *plainClient) ask(ctx context.Context, q *Question, edns bool) (*dns.Msg, error) {
	for range 2 { // a second time for the cookie that the first answer brought
		s := shape{edns: edns, ad: p.c.spec.Trusted(), mix: p.mixes()}
		if edns {
			s.cookie = p.cookieToSend()
		}
		got, how, err := p.exchange(ctx, q.message(s))
		if err != nil {
			return nil, err
		}
		if s.mix && how == foldMatch {
			p.folded()
			return nil, errUseTCP
		}
		m, err := unpack(got)
		if err != nil {
			p.sockets.tidy()
		}
		if err != nil || m.Truncated {
			// RFC 1035 §4.2.1, RFC 7766 §5: cut off, so TCP. What looks like the
			// answer but cannot be read was most likely cut off on its way.
			return nil, errUseTCP
		}
		if s.mix {
			p.folds.Store(0)
		}
		if edns && !p.checkCookie(m) {
			p.sockets.tidy() // somebody may have found one: the next question has another
			return nil, errUseTCP
		}
		if m.Rcode == dns.RcodeBadCookie {
			continue
		}
		if s.mix {
			unmix(m)
		}
		return m, nil
	}
	return nil, errUseTCP // RFC 7873 §5.3
}

func (p *plainClient) mixes() bool {
	at, now := p.spellsAt.Load(), p.c.opt.now()
	return at == 0 || now.Unix() >= at || now.Add(plainFor).Unix() < at // the latter after the clock was set back
}

func (p *plainClient) folded() {
	p.c.stats.folded.Add(1)
	if p.folds.Add(1) >= foldsUntilPlain {
		p.folds.Store(0)
		p.spellsAt.Store(p.c.opt.now().Add(plainFor).Unix())
	}
}

// cookieToSend returns the client's part, followed by the upstream's if it gave
// one (RFC 7873 §4).
func (p *plainClient) cookieToSend() []byte {
	out := append(make([]byte, 0, 40), p.cookie[:]...)
	if s := p.server.Load(); s != nil {
		out = append(out, *s...)
	}
	return out
}

// checkCookie reports whether an answer may be believed: a cookie must be ours, and
// an upstream that gave one once puts it into every answer (RFC 7873 §5.3). Where
// it does not, that one question goes over TCP, which nobody can forge from afar,
// and the upstream is taken for one without cookies until it gives one again.
func (p *plainClient) checkCookie(m *dns.Msg) bool {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			c, ok := o.(*dns.EDNS0_COOKIE)
			if !ok {
				continue
			}
			b, err := hex.DecodeString(c.Cookie)
			if err != nil || len(b) < 8 || [8]byte(b) != p.cookie {
				p.c.stats.cookieless.Add(1)
				return false
			}
			if server := b[8:]; len(server) >= 8 && len(server) <= 32 {
				if old := p.server.Load(); old == nil || string(*old) != string(server) {
					p.server.Store(&server)
				}
			}
			return true
		}
	}
	if p.server.Swap(nil) != nil {
		p.c.stats.cookieless.Add(1)
		return false
	}
	return true
}

// exchange sends m from a socket that has no other question.
func (p *plainClient) exchange(ctx context.Context, m *message) (_ []byte, _ match, err error) {
	addr, i := p.c.addr()
	conn, err := p.sockets.get(ctx, addr)
	if err != nil {
		p.c.skip(i)
		return nil, noMatch, err
	}
	defer p.sockets.put(conn)
	if t, ok := ctx.Deadline(); ok {
		conn.SetDeadline(t)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() || err != nil { // an answer may come late
			conn.failed = true
		}
	}()
	if _, err := conn.Write(m.wire()); err != nil {
		p.c.skip(i)
		return nil, noMatch, err
	}
	buf := rooms.Get().(*room)
	defer rooms.Put(buf)
	for {
		n, err := conn.Read(buf[:])
		if err != nil {
			if !errors.Is(ctx.Err(), context.Canceled) {
				p.c.skip(i)
			}
			return nil, noMatch, err
		}
		how := m.matches(buf[:n])
		if how == noMatch { // a forged one, or one that comes too late: wait on
			p.c.stats.mismatches.Add(1)
			conn.failed = true
			continue
		}
		conn.failed = conn.failed || how != fullMatch
		return bytes.Clone(buf[:n]), how, nil
	}
}

// room is for an answer: more than what is asked for, since some send what they like.
type room [4096]byte

var rooms = sync.Pool{New: func() any { return new(room) }}

// unmix writes the asked name in lower case wherever the answer repeats it as it
// was sent: the case was ours, and nobody else's business.
func unmix(m *dns.Msg) {
	if len(m.Question) == 0 {
		return
	}
	sent := m.Question[0].Name
	name := strings.ToLower(sent) // ASCII: everything else is escaped
	m.Question[0].Name = name
	for _, section := range [...][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			h := rr.Header()
			switch {
			case h.Name == sent:
				h.Name = name
			case strings.HasSuffix(sent, "."+h.Name): // an owner above it, by a pointer into it
				h.Name = strings.ToLower(h.Name)
			}
		}
	}
}
