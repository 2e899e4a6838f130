package alerts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"kinward/blocklists"
)

// Message is one delivery to one channel.
type Message struct {
	ID     string // the same at each try: receivers may know by it what they have
	Made   time.Time
	Urgent bool
	Letter Letter
}

// Sender delivers to channels of one kind.
type Sender interface {
	// Send returns what the other side said. It returns soon after ctx ends. The
	// error wraps [ErrGone] where the channel's end has given it up for good.
	// Neither holds a secret.
	Send(ctx context.Context, c Channel, m Message) (said string, err error)
}

var (
	// ErrGone says that whoever is behind a channel wants no more messages.
	ErrGone = errors.New("whoever is behind it wants no more messages")

	// ErrPrivate says that an address must not be sent to.
	ErrPrivate = errors.New("it is not an address of the open internet; who runs this server can open your own network for messages")
	errClear   = errors.New("http is in clear; give an https address, or ask who runs this server to open your own network for messages")

	// ErrNotSet says that the operator has not set up what a channel needs.
	ErrNotSet = errors.New("it is not set up")
)

const (
	sendTimeout = 15 * time.Second
	mostAnswer  = 64 << 10 // of headers that a receiver answers with; what follows them is not read
)

// newHTTP returns a client for addresses that guardians give: they could name
// what only this machine reaches, so that it goes to the open internet alone, by
// https, or also to private networks, even in clear, where allowPrivate. What is
// dialed is looked at, not what a name said before. Redirects are not followed.
func newHTTP(allowPrivate bool) *http.Client {
	guarded := func(check func(netip.Addr) error) *http.Transport {
		d := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return check(ap.Addr())
		}}
		return &http.Transport{
			DialContext: d.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 5 * time.Second,
			IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: mostAnswer,
		}
	}
	return &http.Client{
		Timeout: sendTimeout,
		Transport: &bySchemes{
			https: guarded(func(a netip.Addr) error {
				if !allowPrivate && !blocklists.IsPublic(a) {
					return ErrPrivate
				}
				return nil
			}),
			http: guarded(func(a netip.Addr) error {
				if !allowPrivate || blocklists.IsPublic(a) {
					return errClear
				}
				return nil
			}),
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bySchemes has a transport for each scheme.
type bySchemes struct{ https, http *http.Transport }

func (s *bySchemes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		return s.http.RoundTrip(r)
	}
	return s.https.RoundTrip(r)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (s *bySchemes) CloseIdleConnections() {
	s.https.CloseIdleConnections()
	s.http.CloseIdleConnections()
}

// checkURL reads an address that messages are to go to.
func checkURL(s string, allowPrivate bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("it is not an address like https://alerts.example.org/kinward")
	case u.Scheme == "http" && !allowPrivate:
		return nil, errClear
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is not https", u.Scheme)
	case u.Fragment != "":
		return nil, errors.New("an address for messages has nothing after #")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !blocklists.IsPublic(a) {
		return nil, ErrPrivate
	}
	return u, nil
}

// outward is why somebody cannot be reached, without what only whoever runs this server
// is to know: which server it asks for names, and which address of its own network a
// name leads to.
func outward(err error) error {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return fmt.Errorf("looking up %s: %s", lookup.Name, lookup.Err)
	}
	for _, own := range []error{ErrPrivate, errClear} {
		if errors.Is(err, own) {
			return own
		}
	}
	return err
}

// answered says how a request went, without its address, which can be secret.
func answered(resp *http.Response, err error) (string, error) {
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err
		}
		return "", outward(err)
	}
	defer resp.Body.Close()
	said := oneLine(resp.Status)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return said, fmt.Errorf("the server answered %s", said)
	}
	return said, nil
}

// oneLine is what strangers said, as it may stand in a list or a log.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strings.TrimSpace(s)
}

// expireAfter is how long a message is worth sending.
const expireAfter = 3 * 24 * time.Hour
