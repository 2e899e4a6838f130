package blocklists

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
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
	ErrPrivateAddress = errors.New(`the address leads into a private network, which is not allowed for lists: where it is meant, set "lists: allow-private"`)
	ErrTimeout        = errors.New("the server is too slow or silent")
	ErrMember         = errors.New("it is not clear which file of the archive is the list")
	ErrAllowList      = errors.New("the archive says itself that these names are to be allowed, not blocked")
)

// Limits bound what one list may cost. A zero field means its default.
type Limits struct {
	Body     int64         // bytes downloaded; 128 MiB
	Inflated int64         // bytes once unpacked, an archive as a whole; 512 MiB
	Ratio    int64         // bytes unpacked per byte downloaded; 100 (real lists stay below 20)
	Lines    int           // lines; 20 million
	Members  int           // files in an archive; 5,000
	Time     time.Duration // at one place, with all that is tried again there; 10 minutes
	Stall    time.Duration // without a byte; 30 seconds
	Tries    int           // downloads begun at one place; 3
	Resumes  int           // times one download goes on after a cut; 20
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Body:     cmp.Or(l.Body, 128<<20),
		Inflated: cmp.Or(l.Inflated, 512<<20),
		Ratio:    cmp.Or(l.Ratio, 100),
		Lines:    cmp.Or(l.Lines, defaultMaxLines),
		Members:  cmp.Or(l.Members, 5000),
		Time:     cmp.Or(l.Time, 10*time.Minute),
		Stall:    cmp.Or(l.Stall, 30*time.Second),
		Tries:    cmp.Or(l.Tries, 3),
		Resumes:  cmp.Or(l.Resumes, 20),
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
	// Sleep waits between two tries, or returns the ctx's error; nil waits by
	// the clock.
	Sleep func(context.Context, time.Duration) error
	// Random returns numbers from [0, 1), which spread the waits; nil is
	// math/rand/v2.
	Random func() float64
}

// Fetcher fetches block lists. It is safe for concurrent use.
type Fetcher struct {
	limits Limits
	agent  string
	http   http.Client
	refuse func(netip.Addr) bool // addresses not to connect to
	sleep  func(context.Context, time.Duration) error
	random func() float64
}

// NewFetcher makes a Fetcher.
func NewFetcher(o FetchOptions) *Fetcher {
	f := &Fetcher{limits: o.Limits.withDefaults(), agent: "kinward", sleep: o.Sleep, random: o.Random}
	if o.Version != "" {
		f.agent += "/" + o.Version
	}
	if f.sleep == nil {
		f.sleep = sleep
	}
	if f.random == nil {
		f.random = rand.Float64
	}
	f.refuse = func(a netip.Addr) bool { return !o.AllowPrivate && !IsPublic(a) }
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

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Validators are what a server wants to hear to answer "not modified".
type Validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
	// From is the location they came from; servers do not know each other's.
	// "" is the first location.
	From string `json:"from,omitempty"`
}

// known reports whether there is anything to tell a server.
func (v Validators) known() bool { return v.ETag != "" || v.LastModified != "" }

// Event says how a fetch goes on: either bytes came, or Note says what happens
// now, such as "retrying in 2 s".
type Event struct {
	List  string // its ID; "" where a [Fetcher] is used by itself
	Done  int64  // bytes downloaded
	Total int64  // -1 where the server does not tell
	Note  string
}

// Progress is told how a fetch goes on. It is called from one goroutine at a
// time, and must not block.
type Progress func(Event)

func (p Progress) note(format string, args ...any) {
	if p != nil {
		p(Event{Total: -1, Note: fmt.Sprintf(format, args...)})
	}
}

// Request says what to fetch.
type Request struct {
	// Locations are the places of one and the same list, tried in this order:
	// http or https URLs, file URLs, or absolute paths. A caller that serves
	// people who may not read the machine's files refuses [LocalPath] ones
	// itself.
	Locations []string
	// Member is the file wanted of a tar archive, or the folder whose file
	// "domains" it is. "" takes the archive's only file of that name. It says
	// nothing about a place that gives a single file.
	Member string
	// Validators of an earlier Fetch, if any, make it conditional.
	Validators Validators
	// Progress, if not nil, is told how it goes on.
	Progress Progress
}

// Sink takes a list as plain text. An error of a Sink ends the fetch, but if it
// says what is wrong with the list (the Err values of Parse), the next place is
// tried.
type Sink interface {
	io.Writer
	// Start drops what came before; a download begins, perhaps again.
	Start() error
	// Finish is called when all came.
	Finish() error
}

// Fetched says what a fetch brought.
type Fetched struct {
	NotModified bool // the copy that the Validators came with still holds; the rest is zero
	From        string
	Validators  Validators
	SHA256      string // of the plain text, in hex
	Bytes       int64  // of the plain text
}

// Fetch gives the list to sink as plain text: gzip is undone, and of a tar
// archive the file wanted is taken. What fails for a while is tried again after
// a wait, and a cut download goes on where it stopped, if the server can prove
// that it is the same file. Then the next place is tried.
//
// After an error, what came to the sink is worthless.
func (f *Fetcher) Fetch(ctx context.Context, q Request, sink Sink) (Fetched, error) {
	if len(q.Locations) == 0 {
		return Fetched{}, ErrBadLocation
	}
	var failed error
	for i, location := range q.Locations {
		where := ""
		if len(q.Locations) > 1 {
			where = fmt.Sprintf(" (place %d of %d)", i+1, len(q.Locations))
		}
		if i > 0 {
			q.Progress.note("trying %s%s", redacted(location), where)
		}
		got, err := f.fromPlace(ctx, i, where, q, sink)
		if err == nil {
			got.From = location
			return got, nil
		}
		err = fmt.Errorf("fetching %s: %w%s", redacted(location), err, remedy(err))
		if failed != nil {
			err = fmt.Errorf("%w; then %w", failed, err)
		}
		failed = err
		if ctx.Err() != nil || isSinkTrouble(err) {
			break
		}
	}
	return Fetched{}, failed
}

// remedy says what to do about err, where the error does not.
func remedy(err error) string {
	if missing := (*net.DNSError)(nil); errors.As(err, &missing) {
		return "; see that the address is spelled right, and that this machine can look names up"
	}
	return ""
}

// fromPlace fetches from one location, which it may try several times.
func (f *Fetcher) fromPlace(ctx context.Context, i int, where string, q Request, sink Sink) (Fetched, error) {
	location := q.Locations[i]
	if path, ok := LocalPath(location); ok {
		return f.readFile(path, q, sink)
	}
	u, err := url.Parse(location)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return Fetched{}, ErrBadLocation
	}
	u.Fragment = ""
	v := q.Validators
	if v.From != location && (v.From != "" || i > 0) {
		v = Validators{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := time.AfterFunc(f.limits.Time, func() {
		cancel(fmt.Errorf("not done after %v: %w", f.limits.Time, ErrTimeout))
	})
	defer deadline.Stop()
	d := &download{f: f, url: u, validators: v, where: where, q: q}
	for try := 1; ; try++ {
		got, err := d.run(ctx, sink)
		if err == nil {
			got.Validators.From = location
			return got, nil
		}
		if try >= f.limits.Tries || !isPassing(err) || ctx.Err() != nil {
			return Fetched{}, err
		}
		if f.pause(ctx, try, err, d) != nil {
			return Fetched{}, plainError(ctx, err)
		}
	}
}

const (
	firstPause = 2 * time.Second
	longest    = time.Minute // also where a server asks for more
)

// pause waits before the next try: twice as long each time, a quarter more or
// less, so that a server that comes back is not asked by everybody at once.
func (f *Fetcher) pause(ctx context.Context, try int, err error, d *download) error {
	wait := min(firstPause<<min(try-1, 10), longest)
	wait = time.Duration(float64(wait) * (0.75 + f.random()/2))
	if busy := (*statusError)(nil); errors.As(err, &busy) {
		wait = min(max(wait, busy.after), longest)
	}
	d.q.Progress.note("retrying in %v%s: %v", wait.Round(100*time.Millisecond), d.where, err)
	return f.sleep(ctx, wait)
}

func (f *Fetcher) readFile(path string, q Request, sink Sink) (Fetched, error) {
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
	return f.unpack(&meter{r: file, most: f.limits.Body, total: info.Size(), progress: q.Progress}, q.Member, sink)
}

// isPassing reports whether trying again may help.
func isPassing(err error) bool {
	if status := (*statusError)(nil); errors.As(err, &status) {
		return status.passing()
	}
	if sink := (*sinkError)(nil); errors.As(err, &sink) {
		return false
	}
	for _, lasting := range []error{
		ErrPrivateAddress, ErrRedirects, ErrBadStatus, ErrWebPage, ErrBinary, ErrArchive, ErrMember,
		ErrAllowList, ErrBomb, ErrListTooLarge, ErrBadLocation,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true // refused, reset, cut, silent, or without an address just now
}

// sinkError is an error of the Sink.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

func (e *sinkError) Unwrap() error { return e.err }

// isSinkTrouble reports whether the sink failed for a reason of its own, which
// another place would not mend.
func isSinkTrouble(err error) bool {
	sink := (*sinkError)(nil)
	return errors.As(err, &sink) && !isListFault(sink.err)
}

// isListFault reports whether an error says that a list is not fit to be used.
func isListFault(err error) bool {
	for _, fault := range []error{
		ErrBlocksAll, ErrBlocksTLD, ErrWebPage, ErrBinary, ErrArchive, ErrNotAList, ErrNoNames, ErrListTooLarge,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
