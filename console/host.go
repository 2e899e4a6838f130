package console

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// ownNames are names of this server that need no setting: of this machine, and of
// Kinward in the home's own domain.
var ownNames = []string{"localhost", portalHost}

// hostOf returns the host that a request is for, without its port.
func hostOf(q *http.Request) string {
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// isOurs reports whether a host is this server. A page elsewhere can have its own
// name lead here (DNS rebinding), and would then be a page of this server to the
// browser; it cannot have an address as its name. Addresses of this home and the
// one that was reached are ours, others are not: nobody has them in a link.
func (s *Server) isOurs(q *http.Request) bool {
	host := hostOf(q)
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a == reached(q)
	}
	return host != "" && (slices.Contains(ownNames, host) || slices.Contains(s.hosts, host))
}

// reached returns the address of this machine that a request came to.
func reached(q *http.Request) netip.Addr {
	a, _ := q.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if a == nil {
		return netip.Addr{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap().WithZone("")
}

// ToSecure answers, at an address without encryption, who asks for the console
// by its public name: it is to be asked for by https. Everybody else gets
// next's answer (nil: 404), and all do where u is not https.
func ToSecure(u *url.URL, next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	if u == nil || u.Scheme != "https" {
		return next
	}
	name := strings.ToLower(u.Hostname())
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hostOf(q) != name || q.Method != http.MethodGet && q.Method != http.MethodHead {
			next.ServeHTTP(w, q) // a form that came this way was read along already
			return
		}
		// Made of its parts: what stands in a request must not become another host.
		to := url.URL{Scheme: "https", Host: u.Host, Path: q.URL.Path, RawPath: q.URL.RawPath, RawQuery: q.URL.RawQuery}
		setHeaders(w.Header(), false)
		http.Redirect(w, q, to.String(), http.StatusMovedPermanently)
	})
}

// isSecure reports whether what is between the browser and this server is
// encrypted: by us, or by the reverse proxy before us, under the public name.
func (s *Server) isSecure(q *http.Request) bool {
	return q.TLS != nil || s.url != nil && s.url.Scheme == "https" && hostOf(q) == strings.ToLower(s.url.Hostname())
}

var errForeignOrigin = errors.New("the request says not where it comes from, or comes from another site")

// fromHere refuses a change that another site's page may have sent. Browsers of
// today say where a request comes from, and [http.CrossOriginProtection] reads
// that; what says nothing at all is refused where it comes with a browser's
// cookies or without a program's token.
func (v *visit) fromHere() error {
	switch v.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if v.program || v.request.Header.Get("Sec-Fetch-Site") != "" || v.request.Header.Get("Origin") != "" {
		return nil
	}
	return errForeignOrigin
}

// clientOf returns the address that a request is from: the connection's, or what a
// reverse proxy that is trusted says last of whom it asks for.
func (s *Server) clientOf(q *http.Request) netip.Addr {
	p, err := netip.ParseAddrPort(q.RemoteAddr)
	if err != nil {
		return netip.IPv4Unspecified()
	}
	from := p.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(q.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.isProxy(from); i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		from = a.Unmap().WithZone("")
	}
	return from
}

func (s *Server) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
