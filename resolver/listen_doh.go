package resolver

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	dnsMessage = "application/dns-message" // RFC 8484 §6

	// streamsPerConn is how many questions of one HTTP/2, HTTP/3 or QUIC connection
	// wait at once: the least that RFC 9113 §6.5.2 recommends.
	streamsPerConn = 100

	// maxHTTPHeader is far more than any DoH client's headers and the longest GET.
	maxHTTPHeader = 16 << 10
)

// httpServer speaks HTTP/1.1 and HTTP/2 on connections that were greeted.
type httpServer struct {
	server  *http.Server
	conns   *handoff
	drained chan struct{}
}

// newHTTP makes a server. h3 is where HTTP/3 is spoken, nil for nowhere.
func (s *Server) newHTTP(at net.Addr, h3 *quicListener) *httpServer {
	l := s.limits
	h := &httpServer{conns: newHandoff(at), drained: make(chan struct{})}
	handler := s.DoH()
	if h3 != nil {
		handler = h3.advertise(handler)
	}
	h.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: l.TCPRead,
		ReadTimeout:       2 * l.TCPRead,
		WriteTimeout:      2*l.TCPRead + l.QueryDeadline + l.TCPWrite,
		IdleTimeout:       l.TLSIdle,
		MaxHeaderBytes:    maxHTTPHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsPerConn,
			// Questions are small.
			MaxReceiveBufferPerConnection: 1 << 16,
			MaxReceiveBufferPerStream:     1 << 14,
			WriteByteTimeout:              l.TCPWrite,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			peer := c.(*crowdConn)
			return withPeer(ctx, httpPeer{peer.member, peer.from, peer.local()})
		},
		ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong is counted, and nobody's business
	}
	return h
}

func (h *httpServer) serve(ctx context.Context) error {
	h.server.BaseContext = func(net.Listener) context.Context { return withWork(ctx) }
	err := h.server.Serve(h.conns)
	if errors.Is(err, http.ErrServerClosed) {
		<-h.drained
		return nil
	}
	return err
}

// give lets h speak on a connection.
func (h *httpServer) give(c net.Conn) { h.conns.give(c) }

// drain lets requests under way end, and closes the connections then. serve
// returns when all are closed.
func (h *httpServer) drain() {
	go func() {
		defer close(h.drained)
		h.server.Shutdown(context.Background()) // bounded by the members' end
	}()
}

// handoff is a listener whose connections come from another one.
type handoff struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandoff(at net.Addr) *handoff {
	return &handoff{at: at, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handoff) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return h.at }

// httpPeer is the connection that a request came by.
type httpPeer struct {
	*member
	from  netip.AddrPort
	local netip.Addr // of this server; none where somebody stands between
}

// work notes that a question is worked at until what it returns is called.
func (p httpPeer) work() (done func()) {
	if p.member == nil {
		return func() {}
	}
	p.begin()
	return p.done
}

type peerOfRequest struct{} // a key of a context

func withPeer(ctx context.Context, p httpPeer) context.Context {
	return context.WithValue(ctx, peerOfRequest{}, p)
}

type workKey struct{}

// withWork notes the context of the server's work, which goes on when a client leaves.
func withWork(ctx context.Context) context.Context { return context.WithValue(ctx, workKey{}, ctx) }

func workOf(ctx context.Context) context.Context {
	if w, ok := ctx.Value(workKey{}).(context.Context); ok {
		return w
	}
	return context.WithoutCancel(ctx)
}

// DoH returns what answers DNS over HTTP (RFC 8484) at /dns-query and below it. It may
// be mounted beside other pages; requests count as encrypted where they came over
// TLS, and are otherwise taken from the reverse proxies of Proxies.Web alone.
func (s *Server) DoH() http.Handler { return http.HandlerFunc(s.serveDoH) }

func (s *Server) serveDoH(w http.ResponseWriter, r *http.Request) {
	a, status, why := s.whoAsks(r)
	switch {
	case status != 0:
		s.refuse(w, status, why)
	case isDoH(r.URL.Path):
		s.answerDoH(w, r, a)
	case s.pages == nil:
		s.refuse(w, http.StatusNotFound, "questions go to "+dohPath)
	default:
		defer a.work()()
		page := r.Clone(r.Context())
		page.RemoteAddr = a.client.Addr().Unmap().String()
		s.pages.ServeHTTP(w, page)
	}
}

// httpAsker is who a request over HTTP is from.
type httpAsker struct {
	httpPeer
	client netip.AddrPort // which may stand behind a reverse proxy
	behind bool           // it does
}

// whoAsks finds out whom a request is from. A status other than 0 says that it is not
// to be served, and why.
func (s *Server) whoAsks(r *http.Request) (a httpAsker, status int, why string) {
	a.httpPeer, _ = r.Context().Value(peerOfRequest{}).(httpPeer)
	if !a.from.IsValid() {
		a.from, _ = netip.ParseAddrPort(r.RemoteAddr)
	}
	a.client = a.from
	proxies := &s.settings.Load().web
	switch a.behind = proxies.Lookup(plainAddr(a.from)); {
	case a.behind:
		client, err := forwardedFor(r.Header, proxies)
		if err != nil {
			return a, http.StatusBadRequest, err.Error()
		}
		a.client = netip.AddrPortFrom(client, 0)
	case r.TLS == nil:
		return a, http.StatusForbidden, "only allow-listed reverse proxies may ask in clear"
	}
	return a, 0, ""
}

// refuse answers a request that is no question, or one too many. why is for people; ""
// is the status in words.
func (s *Server) refuse(w http.ResponseWriter, status int, why string) {
	s.metrics.httpRefused.WithLabelValues(strconv.Itoa(status)).Inc()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusTooManyRequests:
		s.metrics.limited[limitTooMany].Inc()
		h.Set("Retry-After", "1")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST")
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong:
		s.metrics.tooLong.Inc()
	}
	http.Error(w, cmp.Or(why, http.StatusText(status)), status)
}

// answerDoH answers the question of a request.
func (s *Server) answerDoH(w http.ResponseWriter, r *http.Request, a httpAsker) {
	mem := s.scratch.Get().(*scratch)
	defer s.giveBack(mem)
	n, status := s.readRequest(r, mem.buf, a.client.Addr())
	if status != 0 {
		s.refuse(w, status, "")
		return
	}
	defer a.work()() // not before: who is waited for makes room, and what is no question is no work for one
	if s.limiter != nil {
		if ok, _ := s.limiter.take(proven, a.client.Addr(), s.now()); !ok {
			s.refuse(w, http.StatusTooManyRequests, "")
			return
		}
	}
	q := &mem.q
	q.reset(mem.buf[:n], a.client, overHTTPS)
	q.clues.Token = s.tokenOf(r.TLS, askedName(r, a.behind), r)
	if !a.behind {
		q.local = a.local
	}
	work := workOf(r.Context())
	switch s.answerNear(work, q) {
	case quiet:
		s.refuse(w, http.StatusBadRequest, "that is no question")
		return
	case pass:
		q = q.detach()
		sent := make(chan struct{})
		if !s.goFar(work, q, func() { close(sent) }) {
			close(sent)
		}
		select {
		case <-sent:
		case <-r.Context().Done(): // the client left; the answer is for the cache
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", dnsMessage)
	h.Set("Content-Length", strconv.Itoa(len(q.out)))
	// Private: another asker's answer may be another.
	h.Set("Cache-Control", "private, max-age="+strconv.FormatUint(uint64(freshness(q.out)), 10))
	w.Write(q.out)
}

// isDoH says whether a path is for questions.
func isDoH(path string) bool {
	rest, ok := strings.CutPrefix(path, dohPath)
	return ok && (rest == "" || rest[0] == '/')
}

// askedName returns the name by which the server was asked. A reverse proxy keeps
// the one of the handshake to itself, and passes the other on.
func askedName(r *http.Request, behind bool) string {
	if !behind {
		return r.TLS.ServerName
	}
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		return h
	}
	return r.Host
}

// readRequest reads the question of a client's request into buf. A status other than
// 0 says why there is none.
func (s *Server) readRequest(r *http.Request, buf []byte, client netip.Addr) (n, status int) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		values := r.URL.Query()["dns"]
		if len(values) != 1 {
			return 0, http.StatusBadRequest
		}
		return decodeQuestion(values[0], buf)
	case http.MethodPost:
		if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(t), dnsMessage) {
			return 0, http.StatusUnsupportedMediaType
		}
		if r.ProtoMajor < 3 { // a stream of HTTP/3 was counted as it came
			network := clientNetwork(client)
			if !s.bodies.enter(network) {
				return 0, http.StatusTooManyRequests
			}
			defer s.bodies.leave(network)
		}
		n, err := io.ReadFull(r.Body, buf)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, 0
		case err != nil:
			return 0, http.StatusBadRequest
		}
		var more [1]byte
		if k, err := r.Body.Read(more[:]); k > 0 || !errors.Is(err, io.EOF) {
			return 0, http.StatusRequestEntityTooLarge
		}
		return n, 0
	}
	return 0, http.StatusMethodNotAllowed
}

// decodeQuestion decodes the parameter of a GET request: base64url without padding
// (RFC 8484 §6).
func decodeQuestion(s string, buf []byte) (n, status int) {
	if base64.RawURLEncoding.DecodedLen(len(s)) > len(buf) {
		return 0, http.StatusRequestURITooLong
	}
	if strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return 0, http.StatusBadRequest
	}
	n, err := base64.RawURLEncoding.Strict().Decode(buf, []byte(s))
	if err != nil || n == 0 {
		return 0, http.StatusBadRequest
	}
	return n, 0
}

// freshness returns for how many seconds an answer may be kept (RFC 8484 §5.1):
// the smallest TTL of the answer section, or where it is empty, how long a
// negative answer may.
func freshness(msg []byte) uint32 {
	if rcode := word(msg, atFlags) & maskRcode; rcode != rcodeNoError && rcode != rcodeNXDomain || word(msg, atQD) != 1 {
		return 0
	}
	_, off, ok := readName(msg, headerLen)
	if !ok {
		return 0
	}
	off += 4
	records := int(word(msg, atAN))
	negative := records == 0
	if negative {
		records = int(word(msg, atNS))
	}
	least, found := uint32(maxTTL), false
	for range records {
		r, ok := readRecord(msg, off)
		if !ok {
			return 0
		}
		off = r.next
		if negative && r.rtype != typeSOA {
			continue
		}
		least, found = min(least, r.ttl(msg)), true
		if negative {
			least = min(least, binary.BigEndian.Uint32(msg[r.next-4:])) // RFC 2308 §5
		}
	}
	if !found {
		return 0
	}
	return least
}

// advertise tells clients of HTTP/1.1 and HTTP/2 that the same port has HTTP/3.
func advertise(port int, next http.Handler) http.Handler {
	value := `h3=":` + strconv.Itoa(port) + `"; ma=` + strconv.Itoa(int(time.Hour/time.Second))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", value)
		next.ServeHTTP(w, r)
	})
}
