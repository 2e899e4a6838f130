package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left. QUIC keeps a connection that was
// closed for some round trips (RFC 9000 §10.2), so they get a while to end.
func TestMain(m *testing.M) {
	code := m.Run()
	err := goleak.Find()
	for end := time.Now().Add(20 * time.Second); code == 0 && err != nil && time.Now().Before(end); err = goleak.Find() {
		time.Sleep(100 * time.Millisecond)
	}
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// authority signs the certificates of the tests' servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert, key, x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue returns a certificate for dns.example and 127.0.0.1, and its pin as it
// stands in a URL.
func (a *authority) issue(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"dns.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pin := pinOf(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, base64.StdEncoding.EncodeToString(pin[:])
}

// server is a resolver of the tests. It speaks every transport, each on its own
// port of 127.0.0.1, and answers A questions with 192.0.2.1.
type server struct {
	t    testing.TB
	auth *authority
	pin  string
	tls  *tls.Config
	addr map[Scheme]netip.AddrPort

	mu     sync.Mutex
	seen   []seen
	behave func(network string, req, answer *dns.Msg) []*dns.Msg // nil: the answer
	conns  map[net.Conn]bool
	lines  []*quic.Conn
	taken  int              // connections over TCP, TLS and QUIC
	http   http.HandlerFunc // answers in place of the server, if set before it is asked
}

type seen struct {
	network string
	msg     *dns.Msg
	size    int
}

// serve starts a server for the schemes named.
func serve(t testing.TB, schemes ...Scheme) *server {
	t.Helper()
	s := &server{t: t, auth: newAuthority(t), addr: map[Scheme]netip.AddrPort{}, conns: map[net.Conn]bool{}}
	var cert tls.Certificate
	cert, s.pin = s.auth.issue(t)
	s.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, scheme := range schemes {
		switch scheme {
		case UDP: // and TCP on the same port
			pc, l := listenBoth(t)
			s.addr[UDP] = pc.LocalAddr().(*net.UDPAddr).AddrPort()
			s.goOn(func() { s.packets(pc) }, pc)
			s.goOn(func() { s.accept("tcp", l) }, l)
		case TCP:
			l := must(net.Listen("tcp4", "127.0.0.1:0"))(t)
			s.addr[TCP] = l.Addr().(*net.TCPAddr).AddrPort()
			s.goOn(func() { s.accept("tcp", l) }, l)
		case TLS:
			l := must(net.Listen("tcp4", "127.0.0.1:0"))(t)
			s.addr[TLS] = l.Addr().(*net.TCPAddr).AddrPort()
			conf := s.tls.Clone()
			conf.NextProtos = []string{"dot"}
			s.goOn(func() { s.accept("tls", tls.NewListener(l, conf)) }, l)
		case HTTPS:
			l := must(net.Listen("tcp4", "127.0.0.1:0"))(t)
			s.addr[HTTPS] = l.Addr().(*net.TCPAddr).AddrPort()
			h := &http.Server{Handler: s.handler("https"), TLSConfig: s.tls.Clone()}
			s.goOn(func() { h.ServeTLS(l, "", "") }, h)
		case HTTP3:
			pc := must(net.ListenPacket("udp4", "127.0.0.1:0"))(t)
			s.addr[HTTP3] = pc.LocalAddr().(*net.UDPAddr).AddrPort()
			h := &http3.Server{Handler: s.handler("h3"), TLSConfig: http3.ConfigureTLSConfig(s.tls.Clone())}
			s.goOn(func() { h.Serve(pc) }, pc, h)
		case QUIC:
			conf := s.tls.Clone()
			conf.NextProtos = []string{"doq"}
			l := must(quic.ListenAddr("127.0.0.1:0", conf, &quic.Config{}))(t)
			s.addr[QUIC] = l.Addr().(*net.UDPAddr).AddrPort()
			s.goOn(func() { s.quic(l) }, l)
		}
	}
	return s
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	for range 20 { // the port of one may be taken for the other
		pc := must(net.ListenPacket("udp4", "127.0.0.1:0"))(t)
		if l, err := net.Listen("tcp4", pc.LocalAddr().String()); err == nil {
			return pc, l
		}
		pc.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// goOn runs f until the test ends, which closes what it serves.
func (s *server) goOn(f func(), close ...io.Closer) {
	go f()
	s.t.Cleanup(func() {
		for i := len(close) - 1; i >= 0; i-- {
			close[i].Close()
		}
		s.cut()
	})
}

// cut breaks the connections that are open.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
		delete(s.conns, c)
	}
	for _, c := range s.lines { // closing their listener leaves them open
		c.CloseWithError(0, "")
	}
	s.lines = nil
}

// does sets what is sent for an answer: any number of messages.
func (s *server) does(f func(network string, req, answer *dns.Msg) []*dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = f
}

func (s *server) asked() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *server) networks() (out []string) {
	for _, a := range s.asked() {
		out = append(out, a.network)
	}
	return out
}

func (s *server) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *server) replies(network string, wire []byte) (out [][]byte) {
	req := new(dns.Msg)
	if err := req.Unpack(wire); err != nil {
		s.t.Errorf("%s: query cannot be read: %v", network, err)
		return nil
	}
	s.mu.Lock()
	s.seen = append(s.seen, seen{network, req, len(wire)})
	behave := s.behave
	s.mu.Unlock()
	a := new(dns.Msg)
	a.SetReply(req)
	a.Question = slices.Clone(req.Question)
	a.RecursionAvailable = true
	if o := req.IsEdns0(); o != nil {
		a.SetEdns0(1232, o.Do())
	}
	if q := req.Question[0]; q.Qtype == dns.TypeA {
		a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: 1, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}}
	}
	all := []*dns.Msg{a}
	if behave != nil {
		all = behave(network, req, a)
	}
	for _, m := range all {
		b, err := m.Pack()
		if err != nil {
			s.t.Errorf("%s: packing an answer: %v", network, err)
			continue
		}
		out = append(out, b)
	}
	return out
}

func (s *server) packets(pc net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, b := range s.replies("udp", buf[:n]) {
			pc.WriteTo(b, from)
		}
	}
}

func (s *server) accept(network string, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.taken++
		s.conns[c] = true
		s.mu.Unlock()
		go s.stream(network, c)
	}
}

func (s *server) stream(network string, c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		go func() { // out of order, as it comes
			for _, b := range s.replies(network, buf) {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			}
		}()
	}
}

func (s *server) handler(network string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		own := s.http
		s.mu.Unlock()
		if own != nil {
			own(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/dns-query" ||
			r.Header.Get("Content-Type") != mediaType || r.Header.Get("User-Agent") != "" {
			s.t.Errorf("%s: request is not as it should be: %v %s %s %v", network, err, r.Method, r.URL, r.Header)
		}
		if r.ProtoMajor < 2 {
			s.t.Errorf("%s: asked over %s", network, r.Proto)
		}
		w.Header().Set("Content-Type", mediaType)
		for _, b := range s.replies(network, body) {
			w.Write(b)
		}
	})
}

func (s *server) quic(l *quic.Listener) {
	for {
		conn, err := l.Accept(context.Background())
		if err != nil {
			return
		}
		s.mu.Lock()
		s.taken++
		s.lines = append(s.lines, conn)
		s.mu.Unlock()
		go func() {
			for {
				st, err := conn.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					buf, err := io.ReadAll(st) // to the end: nothing may follow (RFC 9250 §4.2)
					if err != nil || len(buf) < 2 {
						return
					}
					for _, b := range s.replies("quic", buf[2:]) {
						st.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
					}
					st.Close()
				}()
			}
		}()
	}
}

// client returns a client of s over a scheme, closed when the test ends.
func (s *server) client(scheme Scheme, params string, edits ...func(*Options)) *Client {
	s.t.Helper()
	url := scheme.String() + "://" + s.addr[scheme].String()
	if scheme.Encrypted() {
		_, port, _ := net.SplitHostPort(s.addr[scheme].String())
		url = scheme.String() + "://dns.example:" + port + "?ip=127.0.0.1"
	}
	spec, err := Parse(url + params)
	if err != nil {
		s.t.Fatal(err)
	}
	o := Options{Roots: s.auth.pool}
	for _, e := range edits {
		e(&o)
	}
	c := New(spec, o)
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// wwwExample is what the tests ask.
var wwwExample = Question{Name: "\x03www\x07example", Type: dns.TypeA, Class: dns.ClassINET}

func ask(t testing.TB, c *Client) *dns.Msg {
	t.Helper()
	m, err := c.Ask(t.Context(), wwwExample)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Answer) != 1 {
		t.Fatalf("answer is %v, want one record", m)
	}
	return m
}
