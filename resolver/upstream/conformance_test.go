package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// What no transport may do wrong, by RFC. TestEveryTransport sees the rest of them
// do it right: padding (RFC 8467), IDs of zero (RFC 8484 §4.1, RFC 9250 §4.2.1).

// RFC 8467 §4.1: however long the name, a query's length is a multiple of 128.
func TestRFC8467_EveryLengthIsPadded(t *testing.T) {
	for n := 1; n <= 63; n++ {
		q := Question{Name: string(rune(n)) + strings.Repeat("a", n) + "\x07example", Type: dns.TypeA, Class: dns.ClassINET, DO: n%2 == 0}
		m := q.message(shape{edns: true, pad: true})
		if size := len(m.wire()); size%padBlock != 0 {
			t.Errorf("a label of %d bytes: %d bytes", n, size)
		}
		if err := new(dns.Msg).Unpack(m.wire()); err != nil {
			t.Errorf("a label of %d bytes: %v", n, err)
		}
	}
}

// RFC 7858 §3.3, RFC 7766 §8: length and message leave together, so that they are
// not sent in two records.
func TestRFC7766_LengthAndMessageInOneWrite(t *testing.T) {
	m := wwwExample.message(shape{edns: true})
	if got := int(binary.BigEndian.Uint16(m.framed)); got != len(m.wire()) {
		t.Errorf("length %d, message %d", got, len(m.wire()))
	}
	writes := make(chan int, 8)
	c := New(mustSpec(t, "tcp://127.0.0.1:1"), Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			buf := make([]byte, 4096)
			n, err := theirs.Read(buf) // one write of a pipe is one read
			if err == nil {
				writes <- n
			}
			theirs.Close()
		}()
		return ours, nil
	}})
	defer c.Close()
	c.Ask(t.Context(), wwwExample)
	if n := <-writes; n < headerLen+2 {
		t.Errorf("the first write has %d bytes", n)
	}
}

func mustSpec(t testing.TB, s string) Spec {
	t.Helper()
	u, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// RFC 8484 §4.1, §5: POST, the media type both ways, no cookie, and nothing that
// tells who asks.
func TestRFC8484_Request(t *testing.T) {
	s := serve(t, HTTPS, HTTP3)
	for _, scheme := range []Scheme{HTTPS, HTTP3} {
		heard := make(chan *http.Request, 4)
		s.mu.Lock()
		s.http = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			heard <- r
			w.Header().Set("Content-Type", mediaType+"; charset=utf-8")
			w.Header().Set("Set-Cookie", "who=you")
			m := new(dns.Msg)
			if err := m.Unpack(body); err != nil {
				t.Error(err)
			}
			b, _ := new(dns.Msg).SetReply(m).Pack()
			w.Write(b)
		}
		s.mu.Unlock()
		c := s.client(scheme, "")
		for range 2 {
			if _, err := c.Ask(t.Context(), wwwExample); err != nil {
				t.Fatal(err)
			}
			r := <-heard
			if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.Header.Get("Accept") != mediaType || r.Header.Get("Content-Type") != mediaType {
				t.Errorf("%s: %s %s %v", scheme, r.Method, r.URL, r.Header)
			}
			for _, tells := range []string{"Cookie", "User-Agent", "Referer", "Accept-Language", "Authorization", "Idempotency-Key"} {
				if v := r.Header.Get(tells); v != "" {
					t.Errorf("%s: %s: %s", scheme, tells, v)
				}
			}
		}
	}
}

// RFC 9250 §4.2: a stream a question, its end after the question (the test's server
// reads to it), and §4.2.1: an answer with an ID is none.
func TestRFC9250_AnswerWithAnID(t *testing.T) {
	s := serve(t, QUIC)
	c := s.client(QUIC, "")
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg { a.Id = 7; return []*dns.Msg{a} })
	if _, err := c.Ask(t.Context(), wwwExample); !errors.Is(err, ErrUnreadable) {
		t.Errorf("error is %v", err)
	}
	s.does(nil)
	ask(t, c)
}

// RFC 9250 §4.5, RFC 8446 §8: a question is never sent as early data, which could be
// replayed: the TLS configuration offers none, also where a session is resumed.
func TestRFC9250_ConnectionsAreResumedWithoutEarlyData(t *testing.T) {
	s := serve(t, QUIC)
	c := s.client(QUIC, "")
	ask(t, c)
	q := c.via.(*quicClient)
	for range 2 {
		q.line.conn.CloseWithError(doqNoError, "")
		ask(t, c)
		if state := q.line.conn.ConnectionState(); state.Used0RTT {
			t.Error("early data was sent")
		}
	}
	if c.Stats().Resumed == 0 {
		t.Error("no session was resumed")
	}
}

// RFC 7873 §5.3: a cookie that is not ours is a sign of forgery, whether or not the
// upstream ever gave one.
func TestRFC7873_ForeignCookieIsNotBelieved(t *testing.T) {
	for name, cookie := range map[string]string{"another's": strings.Repeat("ab", 16), "too short": "abcd"} {
		s := serve(t, UDP)
		c := s.client(UDP, "")
		s.does(func(network string, _, a *dns.Msg) []*dns.Msg {
			if network == "udp" {
				a.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
			}
			return []*dns.Msg{a}
		})
		ask(t, c)
		if got := strings.Join(s.networks(), " "); got != "udp tcp" {
			t.Errorf("%s: asked over %s, want the answer asked for over TCP", name, got)
		}
	}
}

// RFC 6840 §5.7, §5.8: AD is asked for and believed where the upstream is trusted.
func TestRFC6840_ADOfTrustedUpstreams(t *testing.T) {
	for _, scheme := range allSchemes {
		s := serve(t, scheme)
		s.does(func(_ string, _, a *dns.Msg) []*dns.Msg { a.AuthenticatedData = true; return []*dns.Msg{a} })
		for _, trust := range []bool{false, true} {
			params := ""
			if trust {
				params = map[bool]string{true: "&", false: "?"}[scheme.Encrypted()] + "dnssec=trust"
			}
			m := ask(t, s.client(scheme, params))
			asked := s.asked()
			if got := asked[len(asked)-1].msg.AuthenticatedData; got != trust || m.AuthenticatedData != trust {
				t.Errorf("%s, trusted %t: asked with AD %t, answered with AD %t", scheme, trust, got, m.AuthenticatedData)
			}
		}
	}
}

// Those who wait for a connection that never opens fail with it: they do not each
// dial again.
func TestOneDialForAllWhoWait(t *testing.T) {
	dialled, refuse := make(chan bool, 64), make(chan bool)
	c := New(mustSpec(t, "tcp://127.0.0.1:1"), Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		dialled <- true
		<-refuse
		return nil, errors.New("refused")
	}})
	defer c.Close()
	const many = 20
	errs := make(chan error, many)
	for range many {
		go func() { _, err := c.Ask(t.Context(), wwwExample); errs <- err }()
	}
	pool := c.via.(*streamPool)
	waiting := func() (n int64) {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		for _, s := range pool.conns {
			n += s.waiting.Load()
		}
		return n
	}
	for waiting() < many {
		time.Sleep(time.Millisecond)
	}
	close(refuse)
	for range many {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("error is %v", err)
		}
	}
	if n := len(dialled); n != 1 {
		t.Errorf("dialled %d times", n)
	}
}

// FuzzStream reads whatever a server may send over a stream: nothing of it ends the
// program, hangs, or is taken for an answer to another question.
func FuzzStream(f *testing.F) {
	answer := wwwExample.message(shape{edns: true})
	answer.wire()[2] |= 0x80
	f.Add(answer.framed, true)
	f.Add(answer.framed[:9], true)
	f.Add([]byte{0, 0, 0, 1, 2, 0xff, 0xff}, false)
	f.Add(append(append([]byte{}, answer.framed...), answer.framed...), true)
	spec := mustSpec(f, "tcp://127.0.0.1:1")
	f.Fuzz(func(t *testing.T, sent []byte, fixID bool) {
		c := New(spec, Options{Timeout: time.Second, Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				buf := make([]byte, 4096)
				n, err := theirs.Read(buf)
				if err != nil || n < 4 {
					return
				}
				out := bytes.Clone(sent)
				if fixID && len(out) >= 4 {
					copy(out[2:4], buf[2:4])
				}
				theirs.Write(out)
			}()
			return ours, nil
		}})
		defer c.Close()
		m, err := c.Ask(t.Context(), wwwExample)
		if err == nil && len(m.Question) == 1 && !strings.EqualFold(m.Question[0].Name, "www.example.") {
			t.Errorf("took an answer for %v", m.Question)
		}
	})
}

// FuzzPacket does the same over UDP, cookies included.
func FuzzPacket(f *testing.F) {
	answer := wwwExample.message(shape{edns: true, cookie: bytes.Repeat([]byte{1}, 24)})
	answer.wire()[2] |= 0x80
	f.Add(answer.wire())
	f.Add(answer.wire()[:14])
	f.Add([]byte{})
	spec := mustSpec(f, "udp://127.0.0.1:1")
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := New(spec, Options{Timeout: time.Second, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			if network == "tcp" {
				return nil, errors.New("refused")
			}
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				buf := make([]byte, 4096)
				n, err := theirs.Read(buf)
				if err != nil {
					return
				}
				out := bytes.Clone(sent)
				if len(out) >= len(wwwExample.Name)+headerLen+5 { // ID and question as asked
					copy(out[:2], buf[:2])
					copy(out[headerLen:], buf[headerLen:min(n, headerLen+len(wwwExample.Name)+5)])
				}
				theirs.Write(out)
			}()
			return ours, nil
		}})
		defer c.Close()
		m, err := c.Ask(t.Context(), wwwExample)
		if err == nil && len(m.Question) == 1 && !strings.EqualFold(m.Question[0].Name, "www.example.") {
			t.Errorf("took an answer for %v", m.Question)
		}
	})
}
