package console

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kinward/blocklists"
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

// localPath returns p where it is an address of this server, "/" otherwise:
// neither another scheme nor //host, which browsers take for another server's, and
// nothing that must not stand in a header (RFC 9110 §5.5).
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) {
		return "/"
	}
	return p
}

// base is how this console is reached, for links.
func (v *visit) base() string {
	if v.server.url != nil {
		return v.server.url.String()
	}
	scheme := "http://"
	if v.secure {
		scheme = "https://"
	}
	return scheme + v.request.Host // a host of ours: see isOurs
}

// loopback reports whether no other device can open what this one has open.
func (v *visit) loopback() bool {
	if v.server.url != nil {
		return false
	}
	host := hostOf(v.request)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// nameIn reads the name of a site from what a person, a link or a browser sent: a
// name or an address of a page. It returns "" for what is none.
func nameIn(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 2048 {
		return ""
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return ""
		}
		text = u.Host
	} else {
		text, _, _ = strings.Cut(text, "/")
	}
	host, _ := splitHost(text)
	return host
}

// splitHost takes the host of a request apart: a name in lower case without a dot
// at its end, or an address without brackets, and the port, "" for none. What is
// no name and no address is "". It is what any device may write there.
func splitHost(s string) (host, port string) {
	if len(s) > 512 {
		return "", ""
	}
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") && (strings.Count(s, ":") == 1 || strings.HasPrefix(s, "[")) {
		host, port = s[:i], s[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", ""
		}
	}
	if strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") {
		return "", ""
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		if a.Zone() != "" {
			return "", ""
		}
		return a.Unmap().String(), port
	}
	n, err := blocklists.ParseName(host)
	if err != nil || n == "" {
		return "", ""
	}
	if host = n.String(); strings.ContainsFunc(host, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		return "", ""
	}
	return host, port
}
