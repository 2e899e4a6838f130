package blocklists

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const maxRedirects = 5

func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("following more than %d redirects: %w", maxRedirects, ErrRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("following a redirect to %s: %w", redacted(req.URL.String()), ErrRedirects)
	case via[0].URL.Scheme == "https" && req.URL.Scheme == "http":
		return fmt.Errorf("following a redirect from https to plain %s: %w", redacted(req.URL.String()), ErrRedirects)
	}
	return nil
}

// nat64 is where IPv6-only networks show IPv4 addresses (RFC 6052); the last
// four bytes are the address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network (RFC 1122)
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments (RFC 6890)
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation (RFC 5737), also the next two
	netip.MustParsePrefix("198.51.100.0/24"), //
	netip.MustParsePrefix("203.0.113.0/24"),  //
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks (RFC 2544)
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved (RFC 1112), broadcast
	netip.MustParsePrefix("2001:db8::/32"),   // documentation (RFC 3849)
	netip.MustParsePrefix("64:ff9b:1::/48"),  // local NAT64 (RFC 8215)
	netip.MustParsePrefix("2002::/16"),       // 6to4 (RFC 3056): may wrap any IPv4 address
	netip.MustParsePrefix("fec0::/10"),       // site-local (RFC 3879)
	netip.MustParsePrefix("::/96"),           // IPv4-compatible (RFC 4291 §2.5.5.1): wraps any IPv4 address
}

// IsPublic reports whether an address can be one of the open internet, so that Kinward
// may connect to it at somebody's word. It leaves out more than the program's other
// lists of networks, also what is nobody's: which addresses an answer may have is the
// resolver's matter (isHome), whom an address tells is policy's (IsPrivate).
func IsPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// LocalPath returns the path of a location that is a file on this machine, and
// whether it is one.
func LocalPath(location string) (string, bool) {
	if filepath.IsAbs(location) {
		return location, true
	}
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "file" || (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path) {
		return "", false
	}
	return u.Path, true
}

// redacted hides what may be secret in a location: who asks, with what
// password, and what stands behind the question mark.
func redacted(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		// It may hold a password all the same.
		return "an address that cannot be read"
	}
	if u.User == nil && u.RawQuery == "" {
		return clip(location)
	}
	text := u.Scheme + "://"
	if u.User != nil {
		text += "***@"
	}
	text += u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		text += "?***"
	}
	return clip(text)
}

// idFromLocation makes an ID from the file name of a location. File names that
// many lists share ("hosts", "domains") get the folder or server before them.
// The result is "" if nothing usable stands there.
func idFromLocation(location string) string {
	host, file := "", location
	if u, err := url.Parse(location); err == nil {
		host, file = u.Hostname(), u.Path
	}
	parts := []string{host}
	for p := range strings.SplitSeq(path.Clean("/"+file), "/") {
		if p != "" {
			parts = append(parts, p)
		}
	}
	last := len(parts) - 1
	id := toID(stripExt(parts[last]))
	if last > 0 && slices.Contains(commonFiles, id) {
		id = toID(parts[last-1] + "-" + id)
	}
	return id
}

var commonFiles = []string{"", "block", "blocklist", "domain", "domains", "download", "filter", "hosts", "index", "list", "raw", "urls"}

func stripExt(file string) string {
	for {
		switch ext := strings.ToLower(path.Ext(file)); ext {
		case ".gz", ".txt", ".list", ".hosts", ".domains", ".csv", ".conf":
			file = file[:len(file)-len(ext)]
		default:
			return file
		}
	}
}

func toID(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := lower(s[i]); {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b.WriteByte(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	id := b.String()
	return strings.Trim(id[:min(len(id), 40)], "-")
}
