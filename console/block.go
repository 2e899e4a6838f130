package console

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// BlockPage answers, in plain HTTP, whatever name a device asks it for: a name that
// is blocked leads here. It tells the device why, shows the portal at its own name,
// leads who asks for the console's public name (c.URL) there, and knows no sessions: nobody signs in at it, and it neither sets nor reads a
// cookie.
//
// The name that a request is for is what any device may write, so it is looked at
// as a name or not at all. A page of a blocked name changes nothing: asking for
// access is a form of the portal's, at the portal's own name, which no page from
// elsewhere can send and none can read.
type BlockPage struct {
	server   *Server
	listener net.Listener
	http     *http.Server
}

// What strangers and broken programs can make the listener hold.
const (
	blockConns          = 512
	blockConnsOfAddress = 32
	blockHeader         = 8 << 10
	blockTime           = 10 * time.Second // for reading, and for writing
)

// NewBlockPage opens the address of the block page, c.Listen; nobody is answered
// before [BlockPage.Run].
func NewBlockPage(c Config) (*BlockPage, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	b := &BlockPage{server: s}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for the block page (another address: --block-page ADDR): %w", err)
	}
	b.listener = newCrowd(l, blockConns, blockConnsOfAddress)
	b.http = &http.Server{
		Handler: b.handler(), ReadHeaderTimeout: blockTime / 2, ReadTimeout: blockTime, WriteTimeout: blockTime,
		IdleTimeout: blockTime, MaxHeaderBytes: blockHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return b, nil
}

// Addr is where the page answers.
func (b *BlockPage) Addr() string { return b.listener.Addr().String() }

// Close lets go of the address of a page that was never run.
func (b *BlockPage) Close() error { return b.listener.Close() }

// Run serves until ctx ends.
func (b *BlockPage) Run(ctx context.Context) error {
	return run(ctx, b.http, b.listener, "the block page")
}

// handler tells the names apart.
func (b *BlockPage) handler() http.Handler {
	portal := http.NewServeMux()
	for _, r := range append(slices.Clone(portalRoutes), route{"GET /{$}", anyone, myPage}) {
		portal.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { b.visit(w, q, r.serve) })
	}
	portal.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		b.visit(w, q, func(v *visit) error { return v.portalFail(&Refusal{Kind: NotFound}) })
	})
	return ToSecure(b.server.url, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		host, port := splitHost(q.Host)
		switch a, err := netip.ParseAddr(host); {
		case host == portalHost, err == nil && isLocal(q, a):
			if !sameOrigin(q) {
				b.visit(w, q, func(v *visit) error { return v.portalFail(&Refusal{Kind: Forbidden}) })
				return
			}
			portal.ServeHTTP(w, q)
		case strings.HasSuffix(host, "."+portalHost):
			b.visit(w, q, func(v *visit) error { return v.seenPage(host) })
		default:
			b.visit(w, q, func(v *visit) error { return v.blockedPage(host, port) })
		}
	}))
}

// isLocal reports whether a is the address at which q arrived: then nobody was led
// here by a name.
func isLocal(q *http.Request, a netip.Addr) bool {
	local, _ := q.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local != nil && local.AddrPort().Addr().Unmap().WithZone("") == a
}

// sameOrigin reports whether a request that changes something comes from a page of
// this very host. Without encryption browsers send no Sec-Fetch-Site, so the origin
// is what counts, and who sends neither is refused.
func sameOrigin(q *http.Request) bool {
	if q.Method == http.MethodGet || q.Method == http.MethodHead {
		return true
	}
	if site := q.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	o, err := url.Parse(q.Header.Get("Origin"))
	return err == nil && o.Host != "" && strings.EqualFold(o.Host, q.Host)
}

// visit answers one request. Cookies, which may be another site's, are not looked
// at.
func (b *BlockPage) visit(w http.ResponseWriter, q *http.Request, serve func(*visit) error) {
	q.Header.Del("Cookie")
	q.Body = http.MaxBytesReader(w, q.Body, maxChildForm)
	s := b.server
	v := &visit{server: s, w: w, request: q, lang: s.texts.choose(q.Header.Get("Accept-Language")), zone: time.Local, now: s.now()}
	setHeaders(w.Header(), false)
	if err := serve(v); err != nil {
		s.log.LogAttrs(q.Context(), slog.LevelError, "a page for a child could not be made", slog.Any("error", err))
		http.Error(w, v.lang.text("error.fault"), http.StatusInternalServerError)
	}
}

// maxChildForm bounds what a child's form may send.
const maxChildForm = 4 << 10

// blockedPage says why a name is closed for the device that asks.
func (v *visit) blockedPage(host, port string) error {
	if m := v.request.Method; m != http.MethodGet && m != http.MethodHead {
		v.w.WriteHeader(http.StatusForbidden) // a program's, with nobody who reads
		return nil
	}
	if !reads(v.request.Header.Get("Accept")) {
		v.w.WriteHeader(http.StatusForbidden)
		return nil
	}
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	if host == "" {
		return v.portalFail(&Refusal{Kind: NotFound})
	}
	if _, err := netip.ParseAddr(host); err == nil { // of another machine
		return v.portalFail(&Refusal{Kind: NotFound})
	}
	p, err := callPortalName.do(v, portalNameRequest{host})
	if err != nil {
		return v.portalFail(err)
	}
	portal := "http://" + portalHost
	if port != "" && port != "80" {
		portal += ":" + port
	}
	view, err := v.block(p, portal)
	if err != nil {
		return v.portalFail(err)
	}
	status := http.StatusForbidden
	if !p.Blocked {
		status = http.StatusOK
	}
	return v.portalPage(status, "portal-block", view, portal)
}

// reads reports whether who sends an Accept header shows pages to somebody.
func reads(accept string) bool {
	return accept == "" || accept == "*/*" || strings.Contains(accept, "text/html")
}

// seenPage tells whoever holds a device that its question arrived. That it did is
// told where the check was begun; here it is said that it asks Kinward at all.
func (v *visit) seenPage(host string) error {
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	if !strings.HasPrefix(host, "check-") {
		return v.portalFail(&Refusal{Kind: NotFound})
	}
	return v.portalPage(http.StatusOK, "portal-seen", nil)
}
