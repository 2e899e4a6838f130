package resolver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// Who sends the heads of requests alone is refused more of them, and keeps nobody
// else from asking; once the bodies come all are answered.
func TestBodiesThatDoNotCome(t *testing.T) {
	s := startSecure(t)
	from := func(addr string) *http.Client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
		tr := &http.Transport{TLSClientConfig: s.client(serverName), ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, s.addr(DoH))
		}}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: 30 * time.Second}
	}
	wire := packed(msgFor("ok.example.", dns.TypeA, zeroID))
	ask := func(c *http.Client, method string) (status int, err error) {
		url, body := "https://"+serverName+"/dns-query", io.Reader(nil)
		if method == http.MethodGet {
			url += "?dns=" + base64.RawURLEncoding.EncodeToString(wire)
		} else {
			body = bytes.NewReader(wire)
		}
		r, err := http.NewRequest(method, url, body)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", dnsMessage)
		a, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		a.Body.Close()
		return a.StatusCode, nil
	}
	want := func(what string, c *http.Client, method string, status int) {
		t.Helper()
		if got, err := ask(c, method); got != status || err != nil {
			t.Errorf("%s: %d, %v; want %d", what, got, err, status)
		}
	}

	slow, other := from("127.0.0.1"), from("127.0.0.2")
	want("the first", slow, http.MethodGet, http.StatusOK)
	const onOne = 64 // connection, which has room for more
	var waiting sync.WaitGroup
	bodies := make([]*io.PipeWriter, maxBodiesPerClient)
	answers := make(chan string, len(bodies))
	clients := make([]*http.Client, len(bodies)/onOne)
	for i := range bodies {
		c := clients[i/onOne]
		if c == nil {
			c = from("127.0.0.1")
			clients[i/onOne] = c
			want("the first of a connection", c, http.MethodGet, http.StatusOK)
		}
		var body *io.PipeReader
		body, bodies[i] = io.Pipe()
		waiting.Go(func() {
			r, err := c.Post("https://"+serverName+"/dns-query", dnsMessage, body)
			if err != nil {
				answers <- err.Error()
				return
			}
			r.Body.Close()
			answers <- r.Status
		})
	}
	s.waitForBodies(maxBodiesPerClient)
	want("one more", slow, http.MethodPost, http.StatusTooManyRequests)
	want("one without a body", slow, http.MethodGet, http.StatusOK)
	want("another client's", other, http.MethodPost, http.StatusOK)
	for _, b := range bodies {
		go func() { b.Write(wire); b.Close() }()
	}
	waiting.Wait()
	close(answers)
	for a := range answers {
		if a != "200 OK" {
			t.Fatalf("one that was waited for: %s", a)
		}
	}
	s.waitForBodies(0)
	if len(s.bodies.of) != 0 {
		t.Errorf("%d clients are remembered at the end", len(s.bodies.of))
	}
}

// A connection whose question does not come, or not whole, makes room, as one does
// that is idle.
func TestWhoIsWaitedForMakesRoom(t *testing.T) {
	for name, begin := range map[string]func(*secured){
		"a body over HTTP/1.1": func(s *secured) {
			c, err := tls.Dial("tcp", s.addr(DoH), s.client(serverName, "http/1.1"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := fmt.Fprintf(c, "POST /dns-query HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: 40\r\n\r\n", serverName, dnsMessage); err != nil {
				t.Fatal(err)
			}
		},
		"a question over DoQ": func(s *secured) { openHalf(t, s.dialQUIC(DoQ, s.client(serverName, "doq")), 0, 40) },
		"a head over HTTP/3":  func(s *secured) { openHalf(t, s.dialQUIC(DoH, s.client(serverName, "h3")), 1, 40) },
		"a body over HTTP/3": func(s *secured) {
			body, end := io.Pipe()
			t.Cleanup(func() { end.Close() })
			go s.httpClients(serverName)["HTTP/3.0"].Post("https://"+serverName+"/dns-query", dnsMessage, body)
		},
	} {
		s := startSecure(t, func(c *Config) { c.Limits.TLSConnsPerClient = 2 })
		begin(s)
		begin(s)
		s.waitForBodies(2)
		c := s.httpClients(serverName)["HTTP/2.0"]
		r, err := c.Get("https://" + serverName + "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(packed(msgFor("ok.example.", dns.TypeA, zeroID))))
		if err != nil {
			t.Errorf("beside two who are waited for, %s: %v", name, err)
			continue
		}
		r.Body.Close()
	}
}

// A connection whose questions never come whole has asked nothing, so it is among the
// first to make room. One that asked has.
func TestWhoFailsHasNotAsked(t *testing.T) {
	s := startSecure(t)
	url := "https://" + serverName + "/dns-query"
	wire := packed(msgFor("ok.example.", dns.TypeA, zeroID))
	doq := func() *quic.Conn { return s.dialQUIC(DoQ, s.client(serverName, "doq")) }
	steps := map[string]func(whole bool){
		"DoQ": func(whole bool) {
			conn := doq()
			if whole {
				if _, err := askStream(t, conn, frame(wire), true); err != nil {
					t.Fatal(err)
				}
				return
			}
			str := openHalf(t, conn, 0, 40)
			str.CancelWrite(doqNoError)
			str.SetReadDeadline(time.Now().Add(5 * time.Second))
			var reset *quic.StreamError
			if _, err := str.Read(make([]byte, 1)); !errors.As(err, &reset) {
				t.Errorf("half a question over DoQ: %v, want the stream's end", err)
			}
		},
	}
	for version, client := range s.httpClients(serverName) {
		steps[version] = func(whole bool) {
			kind, status := "text/plain", http.StatusUnsupportedMediaType
			if whole {
				kind, status = dnsMessage, http.StatusOK
			}
			r, err := client.Post(url, kind, bytes.NewReader(wire))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, r.Body) // so that the connection stays
			if r.Body.Close(); r.StatusCode != status {
				t.Errorf("%s: %s, want %d", version, r.Status, status)
			}
		}
	}
	answered := func() (n uint32) {
		s.secure.each(func(m *member) {
			for m.busy.Load() > 0 {
				time.Sleep(time.Millisecond)
			}
			n += m.answered.Load()
		})
		return n
	}
	for name, step := range steps {
		before := answered()
		step(false)
		if n := answered() - before; n != 0 {
			t.Errorf("%s: what is no question counts as %d", name, n)
		}
		step(true)
		if n := answered() - before; n != 1 {
			t.Errorf("%s: a question counts as %d", name, n)
		}
	}
}

// openHalf sends what a message begins with on a stream of its own.
func openHalf(t testing.TB, conn *quic.Conn, begin ...byte) *quic.Stream {
	t.Helper()
	str, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := str.Write(begin); err != nil {
		t.Fatal(err)
	}
	return str
}

// waitForBodies returns once so many are waited for.
func (s *secured) waitForBodies(want int) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		n := s.bodies.taken()
		if n == want {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d are waited for, want %d", n, want)
		}
	}
}

// Who opens streams and ends none is refused more of them.
func TestStreamsThatDoNotEnd(t *testing.T) {
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) { c.Registerer = reg })
	for scheme, alpn := range map[Scheme]string{DoQ: "doq", DoH: "h3"} {
		before := metric(t, reg, "kinward_rate_limited_total", "outcome=toomany")
		for sent := 0; sent < maxBodiesPerClient; sent += 64 { // as many as a connection has room for, and more
			conn := s.dialQUIC(scheme, s.client(serverName, alpn))
			for range 64 {
				openHalf(t, conn, 1)
			}
		}
		s.waitForBodies(maxBodiesPerClient)
		over := openHalf(t, s.dialQUIC(scheme, s.client(serverName, alpn)), 1)
		over.SetReadDeadline(time.Now().Add(3 * time.Second)) // sooner than half a message ends by itself
		var reset *quic.StreamError
		if _, err := over.Read(make([]byte, 1)); !errors.As(err, &reset) {
			t.Errorf("%s: one stream more: %v, want its end", alpn, err)
		}
		if n := metric(t, reg, "kinward_rate_limited_total", "outcome=toomany") - before; n != 1 {
			t.Errorf("%s: counted %v refused, want 1", alpn, n)
		}
		s.waitForBodies(0)
	}
}

// A request over HTTP/3 whose head does not come whole ends, and one whose body does
// not is answered, however lively its connection is.
func TestHalfRequestsOverHTTP3End(t *testing.T) {
	s := startSecure(t, func(c *Config) { c.Limits.TCPRead = 100 * time.Millisecond })
	str := openHalf(t, s.dialQUIC(DoH, s.client(serverName, "h3")), 1, 40)
	str.SetReadDeadline(time.Now().Add(5 * time.Second))
	var reset *quic.StreamError
	if _, err := str.Read(make([]byte, 1)); !errors.As(err, &reset) {
		t.Errorf("half a head: %v, want the stream's end", err)
	}
	body, end := io.Pipe()
	defer end.Close()
	r, err := s.httpClients(serverName)["HTTP/3.0"].Post("https://"+serverName+"/dns-query", dnsMessage, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("a body that does not come: %s, want 400", r.Status)
	}
}

// deaf is a socket that hears nothing but where to begin anew (RFC 9000 §17.2.5).
type deaf struct{ net.PacketConn }

func (d deaf) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if n, from, err := d.PacketConn.ReadFrom(b); err != nil || n > 0 && b[0]&0xf0 == 0xf0 {
			return n, from, err
		}
	}
}

// Who begins handshakes over QUIC and ends none does not keep others out.
func TestHandshakesThatDoNotEnd(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) {
		c.Registerer = reg
		c.Limits.TLSConns, c.Limits.TLSConnsPerClient, c.Limits.TLSHandshake = 4, 1, time.Minute
	})
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.addr(DoQ)))
	dial := func(ctx context.Context, from string, hears func(net.PacketConn) net.PacketConn) (*quic.Conn, error) {
		c, err := net.ListenPacket("udp", from+":0")
		if err != nil {
			return nil, err
		}
		tr := &quic.Transport{Conn: hears(c)}
		t.Cleanup(func() { tr.Close(); c.Close() })
		return tr.Dial(ctx, to, s.client(serverName, "doq"), &quic.Config{HandshakeIdleTimeout: 30 * time.Second})
	}
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	var under sync.WaitGroup
	defer under.Wait()
	defer stop()
	for range s.limits.TLSConns + handshakesBeyond + 100 {
		under.Go(func() { dial(ctx, "127.0.0.1", func(c net.PacketConn) net.PacketConn { return deaf{c} }) })
	}
	for end := time.Now().Add(time.Minute); metric(t, reg, "kinward_tls_connections_refused_total") < 20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("none is refused")
		}
	}
	if _, err := dial(ctx, "127.0.0.2", func(c net.PacketConn) net.PacketConn { return c }); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// Clients that take all places do not keep another from asking.
func TestBodiesOfNewcomers(t *testing.T) {
	b := newBodies()
	client := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32) }
	for i := range maxBodies / maxBodiesPerClient {
		for range maxBodiesPerClient {
			if !b.enter(client(i)) {
				t.Fatal("refused below the limits")
			}
		}
	}
	if b.enter(client(0)) {
		t.Error("one client has more than it may")
	}
	for i := range bodiesOfNewcomer + 1 {
		if got, want := b.enter(client(200)), i < bodiesOfNewcomer; got != want {
			t.Errorf("a newcomer's body %d beside a crowd: %v, want %v", i+1, got, want)
		}
	}
}
