package resolver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Each transport answers, knows a device by its token, and refuses whoever brings
// another.
func TestSecureTransports(t *testing.T) {
	s := startSecure(t)
	ways := map[string]func(token string, m *dns.Msg) *dns.Msg{
		"DoT": func(token string, m *dns.Msg) *dns.Msg {
			return exchange(t, s.dot(s.client(token+serverName, "dot")), m)
		},
		"DoQ": func(token string, m *dns.Msg) *dns.Msg {
			got, err := askStream(t, s.dialQUIC(DoQ, s.client(token+serverName, "doq")), frame(packed(m)), true)
			if err != nil {
				t.Fatal(err)
			}
			return unpacked(t, got[2:])
		},
	}
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
		ways[version+" by name"] = func(token string, m *dns.Msg) *dns.Msg {
			r, got := post(t, s.httpClients(token + serverName)[version], "https://"+token+serverName+"/dns-query", m)
			if r.Proto != version {
				t.Errorf("answered by %s, want %s", r.Proto, version)
			}
			return got
		}
		ways[version+" by path"] = func(token string, m *dns.Msg) *dns.Msg {
			path := strings.TrimSuffix("/dns-query/"+strings.TrimSuffix(token, "."), "/")
			_, got := post(t, s.httpClients(serverName)[version], "https://"+serverName+path, m)
			return got
		}
	}
	for name, by := range ways {
		t.Run(name, func(t *testing.T) {
			if got := by("", msgFor("ok.example.", dns.TypeA, zeroID)); got.Rcode != dns.RcodeSuccess || len(got.Answer) != 2 {
				t.Errorf("without a token: %v", got)
			}
			if got := by("", msgFor("stranger.example.", dns.TypeA, zeroID)); got.Rcode != dns.RcodeSuccess && got.Rcode != dns.RcodeNameError || len(got.Ns) > 0 {
				t.Errorf("a grown-up's question was blocked: %v", got)
			}
			got := by(leasToken+".", msgFor("stranger.example.", dns.TypeA, zeroID))
			if code, _ := ede(got); code != edeFiltered {
				t.Errorf("Lea's question was not blocked: %v", got)
			}
			got = by("aaaaaaaaaaaaaaaa.", msgFor("ok.example.", dns.TypeA, zeroID))
			if code, _ := ede(got); got.Rcode != dns.RcodeRefused || code != edeProhibited {
				t.Errorf("a token that nobody has: %v, want REFUSED and EDE 18", got)
			}
		})
	}
}

// §3.1, §3.4 of RFC 7858: many questions on one connection, answered when they are
// ready; RFC 8310: the name in the certificate is the one that was asked for.
func TestRFC7858_Pipelining(t *testing.T) {
	s := startSecure(t)
	c := s.dot(s.client(serverName))
	const n = 100
	for i := range n {
		writeFrame(t, c, tcpQuestion(uint16(i), "ok.example."))
	}
	got := map[uint16]bool{}
	for range n {
		got[binary.BigEndian.Uint16(readFrameT(t, c))] = true
	}
	if len(got) != n {
		t.Errorf("%d answers, want %d", len(got), n)
	}
}

// Versions before 1.2 are refused (RFC 9325 §3.1.1), and so are clients that want
// to speak something else (RFC 7301 §3.2); who names no protocol is served.
func TestRFC9325_Handshakes(t *testing.T) {
	s := startSecure(t)
	for _, tt := range []struct {
		name   string
		scheme Scheme
		edit   func(*tls.Config)
		proto  string
		fails  bool
	}{
		{"TLS 1.1", DoT, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "", true},
		{"TLS 1.2", DoT, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "", false},
		{"TLS 1.2 without forward secrecy", DoT, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, "", true},
		{"ALPN dot", DoT, func(c *tls.Config) { c.NextProtos = []string{"dot"} }, "dot", false},
		{"ALPN of the web at DoT", DoT, func(c *tls.Config) { c.NextProtos = []string{"h2"} }, "", true},
		{"ALPN h2", DoH, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, "h2", false},
		{"ALPN http/1.1", DoH, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, "http/1.1", false},
	} {
		c := s.client(serverName)
		tt.edit(c)
		conn, err := tls.Dial("tcp", s.addr(tt.scheme), c)
		if (err != nil) != tt.fails {
			t.Errorf("%s: %v, want an error: %v", tt.name, err, tt.fails)
		}
		if err == nil {
			if p := conn.ConnectionState().NegotiatedProtocol; p != tt.proto {
				t.Errorf("%s: protocol %q, want %q", tt.name, p, tt.proto)
			}
			conn.Close()
		}
	}
}

// One address has many names, each with a certificate of its own.
func TestManyNamesOnOneAddress(t *testing.T) {
	ca := newAuthority(t)
	names := map[string]tls.Certificate{"one.example": ca.pair(t, "one.example"), "two.example": ca.pair(t, "two.example")}
	s := startSecure(t, func(c *Config) {
		c.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if pair, ok := names[h.ServerName]; ok {
				return &pair, nil
			}
			return nil, errors.New("no such name")
		}}
	})
	s.roots = ca.pool
	for name := range names {
		if got := exchange(t, s.dot(s.client(name)), msgFor("ok.example.", dns.TypeA)); len(got.Answer) != 2 {
			t.Errorf("%s: %v", name, got)
		}
		s.dialQUIC(DoQ, s.client(name, "doq"))
	}
}

// RFC 8446 §2.2: who comes back need not agree on keys anew.
func TestRFC8446_Resumption(t *testing.T) {
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) { c.Registerer = reg })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := s.client(serverName)
		c.MaxVersion, c.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		for _, want := range []bool{false, true, true} {
			conn := s.dot(c)
			exchange(t, conn, msgFor("ok.example.", dns.TypeA)) // the ticket comes with it
			if got := conn.ConnectionState().DidResume; got != want {
				t.Errorf("%s: resumed: %v, want %v", tls.VersionName(version), got, want)
			}
		}
	}
	c := s.client(serverName, "doq")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for _, want := range []bool{false, true} {
		conn := s.dialQUIC(DoQ, c)
		if _, err := askStream(t, conn, frame(packed(msgFor("ok.example.", dns.TypeA, zeroID))), true); err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().TLS.DidResume; got != want {
			t.Errorf("QUIC: resumed: %v, want %v", got, want)
		}
	}
	if n := metric(t, reg, "kinward_tls_handshakes_total", "transport=dot", "outcome=resumed"); n != 4 {
		t.Errorf("counted %v resumed handshakes of DoT, want 4", n)
	}
	if n := metric(t, reg, "kinward_tls_handshakes_total", "transport=doq", "outcome=resumed"); n != 1 {
		t.Errorf("counted %v resumed handshakes of DoQ, want 1", n)
	}
}

// A session is resumed under the name that is asked for now: Lea's ticket makes
// nobody Lea.
func TestResumptionTakesNoIdentityAlong(t *testing.T) {
	s := startSecure(t)
	cache := tls.NewLRUClientSessionCache(4)
	c := s.client(leasToken + "." + serverName)
	c.ClientSessionCache = oneSession{cache}
	exchange(t, s.dot(c), msgFor("stranger.example.", dns.TypeA))
	c = s.client(serverName)
	c.ClientSessionCache = oneSession{cache}
	conn := s.dot(c)
	got := exchange(t, conn, msgFor("stranger.example.", dns.TypeA))
	if code, _ := ede(got); code == edeFiltered {
		t.Errorf("resumed: %v; who asks without a token was taken for Lea: %v", conn.ConnectionState().DidResume, got)
	}
}

// oneSession offers a session to every name.
type oneSession struct{ tls.ClientSessionCache }

func (o oneSession) Get(string) (*tls.ClientSessionState, bool) {
	return o.ClientSessionCache.Get("any")
}

func (o oneSession) Put(_ string, s *tls.ClientSessionState) { o.ClientSessionCache.Put("any", s) }

// RFC 8467 §4.1, RFC 7830 §6: padded questions are answered in blocks of 468
// bytes over encrypted transports, others never.
func TestRFC8467_Padding(t *testing.T) {
	s := startSecure(t)
	c := s.dot(s.client(serverName))
	for _, tt := range []struct {
		name string
		edit func(*dns.Msg)
		size int // 0: none is added
	}{
		{"ok.example.", padded, 468},
		{"stranger.example.", padded, 468},
		{"ok.example.", func(m *dns.Msg) { padded(m); m.IsEdns0().SetDo() }, 468},
		{"ok.example.", func(*dns.Msg) {}, 0},
		{"ok.example.", plainDNS, 0},
	} {
		m := msgFor(tt.name, dns.TypeA, tt.edit)
		writeFrame(t, c, packed(m))
		wire := readFrameT(t, c)
		got := unpacked(t, wire)
		if has := hasPadding(got); has != (tt.size > 0) || has && len(wire) != tt.size {
			t.Errorf("%s: %d bytes, padded: %v, want %d", m.Question[0].Name, len(wire), has, tt.size)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		if hasPadding(askBy(t, s.Server, network, household, msgFor("ok.example.", dns.TypeA, padded))) {
			t.Errorf("padded in clear over %s", network)
		}
	}
}

// However long the rest is: blocks, and never above the limit.
func TestRFC8467_Blocks(t *testing.T) {
	for n := range 3000 {
		pad := padding(n, maxMessage)
		if (n+pad)%padBlock != 0 || pad < 4 || pad >= padBlock+4 {
			t.Fatalf("%d bytes get %d", n, pad)
		}
	}
	for n := maxMessage - 500; n <= maxMessage; n++ {
		if pad := padding(n, maxMessage); n+pad > maxMessage || pad > 0 && pad < 4 {
			t.Fatalf("%d bytes get %d, above the limit", n, pad)
		}
	}
}

func hasPadding(m *dns.Msg) bool {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if opt.Option() == dns.EDNS0PADDING {
				return true
			}
		}
	}
	return false
}

// RFC 7828 §3.2: who wants to know how long a connection may be idle is told, over
// TCP and DoT alone.
func TestRFC7828_Keepalive(t *testing.T) {
	s := startSecure(t)
	wants := func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE})
	}
	timeout := func(m *dns.Msg) int {
		for _, opt := range m.IsEdns0().Option {
			if k, ok := opt.(*dns.EDNS0_TCP_KEEPALIVE); ok {
				return int(k.Timeout)
			}
		}
		return -1
	}
	m := msgFor("ok.example.", dns.TypeA, wants)
	for _, tt := range []struct {
		by   string
		got  *dns.Msg
		want int
	}{
		{"dot", exchange(t, s.dot(s.client(serverName)), m), 300},
		{"dot, not asked", exchange(t, s.dot(s.client(serverName)), msgFor("ok.example.", dns.TypeA)), -1},
		{"tcp", askBy(t, s.Server, "tcp", household, m), 100},
		{"udp", askBy(t, s.Server, "udp", household, m), -1},
	} {
		if got := timeout(tt.got); got != tt.want {
			t.Errorf("%s: timeout %d, want %d", tt.by, got, tt.want)
		}
	}
	if got := exchange(t, s.dot(s.client(serverName)), msgFor("ok.example.", dns.TypeA, func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE, Data: []byte{0, 9}})
	})); got.Rcode != dns.RcodeFormatError {
		t.Errorf("a client that names a timeout: %s, want FORMERR (§3.2.1)", dns.RcodeToString[got.Rcode])
	}
}

// The limits of encrypted connections: each refuses, ends and counts.
func TestSecureLimits(t *testing.T) {
	reg := newRegistry(&Config{})
	s := startSecure(t, func(c *Config) {
		c.Registerer = reg
		c.Limits.TLSConns, c.Limits.TLSConnsPerClient = 4, 3
		c.Limits.TLSIdle, c.Limits.TLSHandshake, c.Limits.TCPRead = 700*time.Millisecond, 500*time.Millisecond, 200*time.Millisecond
	})
	silent := func() net.Conn {
		c, err := net.Dial("tcp", s.addr(DoT))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	if err := ended(silent()); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who never shakes hands keeps the connection")
	}
	if n := metric(t, reg, "kinward_tls_handshakes_total", "outcome=failed"); n != 1 {
		t.Errorf("counted %v failed handshakes, want 1", n)
	}
	// Those that never asked make room first, though another has waited longer.
	asked := s.dot(s.client(serverName))
	exchange(t, asked, msgFor("ok.example.", dns.TypeA))
	var crowd []net.Conn
	for range 3 {
		crowd = append(crowd, silent())
	}
	for metric(t, reg, "kinward_tls_connections_evicted_total") < 1 {
		time.Sleep(time.Millisecond)
	}
	exchange(t, asked, msgFor("ok.example.", dns.TypeA))
	if err := ended(crowd[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first silent one stays")
	}
	if err := ended(asked); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("an idle connection stays")
	}
	if n := metric(t, reg, "kinward_tls_connections_idle_total"); n != 1 {
		t.Errorf("kinward_tls_connections_idle_total = %v, want 1", n)
	}
	slow := s.dot(s.client(serverName))
	slow.Write([]byte{0})
	if err := ended(slow); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("half a message keeps the connection")
	}
	if n := metric(t, reg, "kinward_tls_connections_broken_total"); n != 1 {
		t.Errorf("kinward_tls_connections_broken_total = %v, want 1", n)
	}
	before := metric(t, reg, "kinward_tls_connections_idle_total")
	s.dialQUIC(DoQ, s.client(serverName, "doq")) // which is not told when it ends
	for began := time.Now(); metric(t, reg, "kinward_tls_connections_idle_total") == before; time.Sleep(time.Millisecond) {
		if time.Since(began) > 3*time.Second {
			t.Fatal("an idle QUIC connection stays")
		}
	}
}

// A stop lets questions under way be answered on every transport.
func TestSecureStop(t *testing.T) {
	up := newFake(t, "slow.example. 60 IN A 192.0.2.1")
	release, asked := make(chan struct{}), make(chan struct{}, 16)
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		if req.Question[0].Name == "slow.example." {
			asked <- struct{}{}
			<-release
		}
		return [][]byte{packed(a)}
	})
	ca := newAuthority(t)
	srv, err := New(secureConfig(t, ca, up))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	s := &secured{srv, t, ca.pool, ca}
	m := packed(msgFor("slow.example.", dns.TypeA, zeroID))
	results := make(chan error, 5)
	check := func(wire []byte, err error) {
		if err == nil && len(wire) < 20 {
			err = errors.New("no answer")
		}
		results <- err
	}
	c := s.dot(s.client(serverName))
	idle := s.dot(s.client(serverName))
	writeFrame(t, c, m)
	go func() { check(io.ReadAll(c)) }()
	for _, hc := range s.httpClients(serverName) {
		go func() {
			r, err := hc.Post("https://"+serverName+"/dns-query", dnsMessage, bytes.NewReader(m))
			if err != nil {
				results <- err
				return
			}
			defer r.Body.Close()
			check(io.ReadAll(r.Body))
		}()
	}
	go func() { check(askStream(t, s.dialQUIC(DoQ, s.client(serverName, "doq")), frame(m), true)) }()
	<-asked
	for srv.inFlight.Load() < 5 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := ended(idle); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("an idle connection outlives the stop")
	}
	close(release)
	for range 5 {
		if err := <-results; err != nil {
			t.Errorf("a question under way: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A connection that has settled is answered as before, and ends when its time is over
// and no sooner.
func TestSettledConnection(t *testing.T) {
	const rest = 1500 * time.Millisecond
	s := startSecure(t, func(c *Config) { c.Limits.TLSIdle = settleAfter + rest })
	c := s.dot(s.client(serverName))
	for range 2 {
		exchange(t, c, msgFor("ok.example.", dns.TypeA))
		time.Sleep(settleAfter + rest/3)
	}
	began := time.Now()
	c.SetReadDeadline(began.Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is not ended")
	}
	if took := time.Since(began); took < rest/3 {
		t.Errorf("it ended %v after it settled, want %v", took, 2*rest/3)
	}
}

// What an idle connection of DoT holds, on this side: 10,000 are to fit in 300 MB,
// with the kernel's part and the rest of the program beside them.
func TestIdleDoTMemory(t *testing.T) {
	const conns = 400
	most := int64(18 << 10)
	if underRace {
		most *= 2 // the shipped program is held to it by the run without the detector
	}
	s := startSecure(t, func(c *Config) { c.Limits.TLSConnsPerClient = conns })
	// The client's side of a handshake is not kept: only its socket is.
	hold := make([]net.Conn, 0, conns)
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC() // stacks shrink, pools are let go
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	connect := func() {
		c, err := net.Dial("tcp", s.addr(DoT))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		exchange(t, tls.Client(c, s.client(serverName)), msgFor("ok.example.", dns.TypeA))
		hold = append(hold, c)
	}
	for range 20 { // what is made once
		connect()
	}
	before := inUse()
	for len(hold) < conns {
		connect()
	}
	time.Sleep(settleAfter + time.Second)
	each := (int64(inUse()) - int64(before)) / (conns - 20)
	t.Logf("%d bytes a connection", each)
	if each > most {
		t.Errorf("an idle connection holds %d bytes, want %d at most", each, most)
	}
}
