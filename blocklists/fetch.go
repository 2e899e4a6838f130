package blocklists

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What can go wrong while a list is fetched, beside the Err values of Parse.
var (
	ErrBadLocation    = errors.New("want an http or https address, or the absolute path of a file")
	ErrBadStatus      = errors.New("the server did not send the list")
	ErrTruncated      = errors.New("the list arrived incomplete or damaged; the next update may bring it whole")
	ErrBomb           = errors.New("the compressed list unpacks to far more than a list would")
	ErrRedirects      = errors.New("the address leads on and on, or to a place Kinward does not follow")
	ErrPrivateAddress = errors.New("the address leads into a private network, which is not allowed for lists")
	ErrTimeout        = errors.New("the server is too slow or silent")
)

// Limits bound what one list may cost. A zero field means its default.
type Limits struct {
	Body     int64         // bytes downloaded; 128 MiB
	Inflated int64         // bytes once unpacked; 512 MiB
	Ratio    int64         // bytes unpacked per byte downloaded; 100 (real lists stay below 20)
	Lines    int           // lines; 20 million
	Time     time.Duration // the whole download; 10 minutes
	Stall    time.Duration // without a byte; 30 seconds
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Body:     cmp.Or(l.Body, 128<<20),
		Inflated: cmp.Or(l.Inflated, 512<<20),
		Ratio:    cmp.Or(l.Ratio, 100),
		Lines:    cmp.Or(l.Lines, defaultMaxLines),
		Time:     cmp.Or(l.Time, 10*time.Minute),
		Stall:    cmp.Or(l.Stall, 30*time.Second),
	}
}

// FetchOptions configure a [Fetcher]. The zero value fetches from public
// addresses with the default limits.
type FetchOptions struct {
	// AllowPrivate permits addresses of private networks and of the machine
	// itself. Without it, someone who may add a list could make Kinward ask
	// devices behind the firewall.
	AllowPrivate bool
	// Version is told to servers as "kinward/<Version>", and nothing else.
	Version string
	// Resolver looks up the servers' names; nil is the system's. It matters
	// where the system asks Kinward itself.
	Resolver *net.Resolver
	Limits   Limits
}

// Fetcher fetches block lists. It is safe for concurrent use.
type Fetcher struct {
	limits Limits
	agent  string
	http   http.Client
	refuse func(netip.Addr) bool // addresses not to connect to
}

// NewFetcher makes a Fetcher.
func NewFetcher(o FetchOptions) *Fetcher {
	f := &Fetcher{limits: o.Limits.withDefaults(), agent: "kinward"}
	if o.Version != "" {
		f.agent += "/" + o.Version
	}
	f.refuse = func(a netip.Addr) bool { return !o.AllowPrivate && !isPublic(a) }
	dialer := &net.Dialer{
		Timeout:  10 * time.Second,
		Resolver: o.Resolver,
		// Here the name is resolved already, so what is checked is what is
		// connected to, for each redirect again.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("checking address %q: %w", address, err)
			}
			if f.refuse(ap.Addr()) {
				return fmt.Errorf("connecting to %s: %w", ap.Addr(), ErrPrivateAddress)
			}
			return nil
		},
	}
	f.http = http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  f.limits.Stall,
			MaxResponseHeaderBytes: 256 << 10,
			ForceAttemptHTTP2:      true,
			// Lists come once a day from many servers; and the body is inflated
			// here, where its size is watched.
			DisableKeepAlives:  true,
			DisableCompression: true,
		},
	}
	return f
}

const maxRedirects = 5

func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("following more than %d redirects: %w", maxRedirects, ErrRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("following a redirect to %s: %w", req.URL.Redacted(), ErrRedirects)
	case via[0].URL.Scheme == "https" && req.URL.Scheme == "http":
		return fmt.Errorf("following a redirect from https to plain %s: %w", req.URL.Redacted(), ErrRedirects)
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
}

// isPublic reports whether an address can be one of the open internet.
func isPublic(a netip.Addr) bool {
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

// Validators are what a server wants to hear to answer "not modified".
type Validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

// Fetched says what a fetch brought.
type Fetched struct {
	NotModified bool // the copy that the Validators came with still holds; the rest is zero
	Validators  Validators
	SHA256      string // of the plain text, in hex
	Bytes       int64  // of the plain text
}

// Fetch writes the list at a location to w as plain text: gzip is undone. The
// location is an http or https URL, a file URL, or an absolute path; a caller
// that serves people who may not read the machine's files refuses [LocalPath]
// ones itself. Validators of an earlier Fetch, if any, make it conditional.
// progress, if not nil, is called with the bytes downloaded so far and the
// total, or -1 where the server does not tell.
//
// After an error, what was written to w is worthless.
func (f *Fetcher) Fetch(ctx context.Context, location string, v Validators, w io.Writer, progress func(done, total int64)) (Fetched, error) {
	got, err := f.fetch(ctx, location, v, w, progress)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetching %s: %w", redacted(location), err)
	}
	return got, nil
}

func (f *Fetcher) fetch(ctx context.Context, location string, v Validators, w io.Writer, progress func(done, total int64)) (Fetched, error) {
	if path, ok := LocalPath(location); ok {
		return f.readFile(path, w, progress)
	}
	u, err := url.Parse(location)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return Fetched{}, ErrBadLocation
	}
	u.Fragment = ""
	return f.download(ctx, u, v, w, progress)
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

// redacted hides a password in a location.
func redacted(location string) string {
	if u, err := url.Parse(location); err == nil {
		return u.Redacted()
	}
	return clip(location)
}

func (f *Fetcher) readFile(path string, w io.Writer, progress func(done, total int64)) (Fetched, error) {
	info, err := os.Stat(path) // before opening: opening a pipe waits
	if err != nil {
		return Fetched{}, fmt.Errorf("opening the file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Fetched{}, fmt.Errorf("opening %s: not a regular file: %w", path, ErrBadLocation)
	}
	file, err := os.Open(path)
	if err != nil {
		return Fetched{}, fmt.Errorf("opening the file: %w", err)
	}
	defer file.Close()
	return f.unpack(&meter{r: file, most: f.limits.Body, total: info.Size(), progress: progress}, w)
}

func (f *Fetcher) download(ctx context.Context, u *url.URL, v Validators, w io.Writer, progress func(done, total int64)) (Fetched, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := time.AfterFunc(f.limits.Time, func() {
		cancel(fmt.Errorf("not done after %v: %w", f.limits.Time, ErrTimeout))
	})
	defer deadline.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Fetched{}, fmt.Errorf("making the request: %w", ErrBadLocation)
	}
	req.Header.Set("User-Agent", f.agent)
	req.Header.Set("Accept-Encoding", "gzip")
	if v.ETag != "" {
		req.Header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		req.Header.Set("If-Modified-Since", v.LastModified)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return Fetched{}, plainError(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && v != (Validators{}) {
		return Fetched{NotModified: true}, nil
	}
	if err := f.checkResponse(resp); err != nil {
		return Fetched{}, err
	}
	stall := time.AfterFunc(f.limits.Stall, func() {
		cancel(fmt.Errorf("no byte for %v: %w", f.limits.Stall, ErrTimeout))
	})
	defer stall.Stop()
	got, err := f.unpack(&meter{
		r: resp.Body, most: f.limits.Body, total: resp.ContentLength, progress: progress,
		beat: func() { stall.Reset(f.limits.Stall) },
	}, w)
	if err != nil {
		return Fetched{}, plainError(ctx, err)
	}
	got.Validators = Validators{ETag: header(resp, "ETag"), LastModified: header(resp, "Last-Modified")}
	return got, nil
}

// checkResponse refuses an answer that cannot be a list, before its body.
func (f *Fetcher) checkResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		hint := "try again later"
		switch resp.StatusCode {
		case http.StatusNotFound, http.StatusGone:
			hint = "check the address; the list may have moved"
		case http.StatusUnauthorized, http.StatusForbidden:
			hint = "the list is not open to everybody"
		}
		return fmt.Errorf("answer %d %s: %s: %w", resp.StatusCode, http.StatusText(resp.StatusCode), hint, ErrBadStatus)
	}
	if t := resp.Header.Get("Content-Type"); strings.HasPrefix(strings.ToLower(strings.TrimSpace(t)), "text/html") {
		return fmt.Errorf("content type %q: use the address of the list itself, often called raw or download: %w", clip(t), ErrWebPage)
	}
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity", "gzip", "x-gzip":
	default:
		return fmt.Errorf("content encoding %q, which was not asked for: %w", clip(enc), ErrBadStatus)
	}
	if resp.ContentLength > f.limits.Body {
		return fmt.Errorf("%s bytes to download, the most is %s: %w",
			thousands(int(resp.ContentLength)), thousands(int(f.limits.Body)), ErrListTooLarge)
	}
	return nil
}

// header returns a header that is going to be kept and sent back.
func header(resp *http.Response, name string) string {
	if v := resp.Header.Get(name); len(v) <= 256 {
		return v
	}
	return ""
}

// plainError prefers the reason a request was cancelled for, and drops the
// address that net/http repeats.
func plainError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		if ue.Timeout() {
			return fmt.Errorf("%w: %w", ErrTimeout, ue.Err)
		}
		return ue.Err
	}
	return err
}

// unpack copies a list to w, undoing gzip as often as transport and file were
// compressed, and measures it.
func (f *Fetcher) unpack(m *meter, w io.Writer) (Fetched, error) {
	in := bufio.NewReaderSize(m, 32<<10)
	for depth := 0; ; depth++ {
		head, err := in.Peek(2)
		if err != nil && err != io.EOF {
			return Fetched{}, broken(m, err)
		}
		if !bytes.Equal(head, []byte{0x1f, 0x8b}) {
			break
		}
		if depth == 2 {
			return Fetched{}, fmt.Errorf("unpacking: compressed more than twice: %w", ErrArchive)
		}
		zr, err := gzip.NewReader(in)
		if err != nil {
			return Fetched{}, broken(m, err)
		}
		in = bufio.NewReaderSize(&inflated{r: zr, meter: m, most: f.limits.Inflated, ratio: f.limits.Ratio}, 32<<10)
	}
	head, err := in.Peek(1024)
	if err != nil && err != io.EOF {
		return Fetched{}, broken(m, err)
	}
	if err := sniff(bytes.TrimPrefix(head, utf8BOM)); err != nil {
		return Fetched{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), in)
	if err != nil {
		return Fetched{}, broken(m, err)
	}
	return Fetched{SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: n}, nil
}

// broken tells a download that was cut or damaged from other errors.
func broken(m *meter, err error) error {
	corrupt := flate.CorruptInputError(0)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		if m.total >= 0 {
			return fmt.Errorf("reading the list: %s of %s bytes came: %w: %w", thousands(int(m.done)), thousands(int(m.total)), ErrTruncated, err)
		}
		return fmt.Errorf("reading the list: %s bytes came: %w: %w", thousands(int(m.done)), ErrTruncated, err)
	}
	return err
}

// meter counts and limits the bytes downloaded.
type meter struct {
	r        io.Reader
	done     int64
	most     int64
	total    int64 // -1: not known
	progress func(done, total int64)
	beat     func() // called when bytes come
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.done += int64(n)
	if m.done > m.most {
		return 0, fmt.Errorf("more than %s bytes to download: %w", thousands(int(m.most)), ErrListTooLarge)
	}
	if n > 0 && m.beat != nil {
		m.beat()
	}
	if n > 0 && m.progress != nil {
		m.progress(m.done, m.total)
	}
	return n, err
}

// inflated limits what a compressed list may become.
type inflated struct {
	r     io.Reader
	meter *meter
	done  int64
	most  int64
	ratio int64
}

// ratioFrom is the size from which the ratio counts: small lists may be very
// regular.
const ratioFrom = 1 << 20

func (z *inflated) Read(b []byte) (int, error) {
	n, err := z.r.Read(b)
	z.done += int64(n)
	switch {
	case z.done > z.most:
		return 0, fmt.Errorf("unpacking: more than %s bytes: %w", thousands(int(z.most)), ErrBomb)
	case z.done > ratioFrom && z.done > z.ratio*z.meter.done:
		return 0, fmt.Errorf("unpacking: %s bytes out of %s: %w", thousands(int(z.done)), thousands(int(z.meter.done)), ErrBomb)
	}
	return n, err
}

// IDFromLocation makes an ID from the file name of a location. File names that
// many lists share ("hosts", "domains") get the folder or server before them.
// The result is "" if nothing usable stands there.
func IDFromLocation(location string) string {
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
