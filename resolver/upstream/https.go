package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// httpsClient asks by POST (RFC 8484 §4.1), so that no question stands in a URL
// that somebody logs.
type httpsClient struct {
	url   string
	http  *http.Client
	after func() error // closes what the transport leaves open
}

const mediaType = "application/dns-message"

func newHTTPSClient(c *Client) *httpsClient {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := c.dial(ctx, network)
			if err == nil {
				c.stats.dials.Add(1)
			}
			return conn, err
		},
		TLSClientConfig:   c.tlsConfig(),
		ForceAttemptHTTP2: true,
		MaxConnsPerHost:   maxStreams,
		IdleConnTimeout:   c.opt.idle,
		// A connection that died in silence is found by a ping, not by questions.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
		TLSHandshakeTimeout:    c.opt.Timeout,
	}
	t.TLSClientConfig.VerifyConnection = c.countResumed(t.TLSClientConfig.VerifyConnection)
	return &httpsClient{url: c.spec.url(), http: httpClient(t), after: func() error { t.CloseIdleConnections(); return nil }}
}

// countResumed counts TLS sessions that were resumed, and then checks as check
// does.
func (c *Client) countResumed(check func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if s.DidResume {
			c.stats.resumed.Add(1)
		}
		if check != nil {
			return check(s)
		}
		return nil
	}
}

func httpClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: t,
		// An upstream that sends elsewhere is not the one that was chosen.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// url returns the address of the upstream's template.
func (u Spec) url() string {
	host := u.name
	if host == "" {
		host = u.addrs[0].WithZone("").String()
	}
	if u.port == defaultPorts[HTTPS] {
		if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
			host = "[" + host + "]"
		}
	} else {
		host = net.JoinHostPort(host, strconv.Itoa(int(u.port)))
	}
	return "https://" + host + u.path
}

func (h *httpsClient) exchange(ctx context.Context, m *message) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(m.wire()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", mediaType)
	req.Header.Set("User-Agent", "") // nobody's business
	// Not sent, but says that it may be sent again over another connection where
	// the one that was kept turns out to be dead.
	req.Header["Idempotency-Key"] = nil
	resp, err := h.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // it quotes the path, which may say who asks
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		io.CopyN(io.Discard, resp.Body, 4096) // so that the connection can be used again
		return nil, fmt.Errorf("it answered HTTP status %d", resp.StatusCode)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != mediaType {
		return nil, fmt.Errorf("%w: it has the media type %q, not %s", ErrUnreadable, clip(resp.Header.Get("Content-Type")), mediaType)
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	if len(got) > 1<<16-1 {
		return nil, fmt.Errorf("%w: it is longer than 65535 bytes", ErrUnreadable)
	}
	if m.matches(got) == noMatch {
		return nil, fmt.Errorf("%w: it answers another question", ErrUnreadable)
	}
	return got, nil
}

func (h *httpsClient) close() error { return h.after() }
