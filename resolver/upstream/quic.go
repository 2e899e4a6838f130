package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// All that depends on the QUIC library stands in this file.

func (c *Client) quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout: c.opt.Timeout,
		MaxIdleTimeout:       c.opt.idle,
		// Answers are small, and an upstream opens no streams to us.
		InitialStreamReceiveWindow: 1 << 16, MaxStreamReceiveWindow: 1 << 17,
		InitialConnectionReceiveWindow: 1 << 18, MaxConnectionReceiveWindow: 1 << 20,
		MaxIncomingStreams: -1,
	}
}

// dialQUIC connects to the upstream's first address that answers.
func (c *Client) dialQUIC(ctx context.Context, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
	var first error
	for range c.spec.addrs {
		addr, i := c.addr()
		conn, err := quic.DialAddr(ctx, addr.String(), t, q)
		if err == nil {
			c.stats.dials.Add(1)
			if conn.ConnectionState().TLS.DidResume {
				c.stats.resumed.Add(1)
			}
			return conn, nil
		}
		c.skip(i)
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// newHTTP3Client asks as httpsClient does, over HTTP/3.
func newHTTP3Client(c *Client) *httpsClient {
	t := &http3.Transport{
		TLSClientConfig: c.tlsConfig(http3.NextProtoH3), QUICConfig: c.quicConfig(),
		DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
		Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return c.dialQUIC(ctx, t, q)
		},
	}
	return &httpsClient{url: c.spec.url(), http: httpClient(t), after: t.Close}
}

// quicClient asks over DoQ (RFC 9250): one connection, a stream a question.
// Nothing is sent as early data, since it could be replayed (§4.5).
type quicClient struct {
	c   *Client
	tls *tls.Config

	mu     sync.Mutex
	line   *quicLine
	closed bool
	work   sync.WaitGroup
}

// quicLine is a connection that is open, opens, or failed to.
type quicLine struct {
	ready  chan struct{}
	cancel context.CancelFunc
	conn   *quic.Conn
	err    error
}

// doqNoError ends a connection or a stream without a fault (RFC 9250 §4.3).
const (
	doqNoError          = 0
	doqRequestCancelled = 3
)

func newQUICClient(c *Client) *quicClient { return &quicClient{c: c, tls: c.tlsConfig("doq")} }

func (q *quicClient) exchange(ctx context.Context, m *message) ([]byte, error) {
	for {
		l, fresh, err := q.take()
		if err != nil {
			return nil, err
		}
		got, err := l.exchange(ctx, m)
		if err == nil || fresh || ctx.Err() != nil || !l.over() || l.err != nil {
			return got, err
		}
		// It was there and turns out to be dead, which is usual after an idle
		// time: take lets go of it and makes a new one.
	}
}

func (q *quicClient) take() (l *quicLine, fresh bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, false, errClosed
	}
	if l := q.line; l != nil && !l.over() {
		return l, false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), q.c.opt.Timeout)
	l = &quicLine{ready: make(chan struct{}), cancel: cancel}
	q.line = l
	q.work.Go(func() {
		defer cancel()
		l.conn, l.err = q.c.dialQUIC(ctx, q.tls, q.c.quicConfig())
		close(l.ready)
	})
	return l, true, nil
}

// over reports whether the connection can take no more questions.
func (l *quicLine) over() bool {
	select {
	case <-l.ready:
		return l.err != nil || l.conn.Context().Err() != nil
	default:
		return false
	}
}

func (l *quicLine) end() {
	l.cancel()
	<-l.ready
	if l.conn != nil {
		l.conn.CloseWithError(doqNoError, "")
	}
}

func (q *quicClient) close() error {
	q.mu.Lock()
	q.closed = true
	l := q.line
	q.line = nil
	q.mu.Unlock()
	if l != nil {
		l.end()
	}
	q.work.Wait()
	return nil
}

func (l *quicLine) exchange(ctx context.Context, m *message) ([]byte, error) {
	select {
	case <-l.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.err != nil {
		return nil, l.err
	}
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() {
		s.CancelRead(doqRequestCancelled)
		s.SetDeadline(time.Unix(1, 0))
	})()
	if _, err := s.Write(m.framed); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // §4.2: nothing follows
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(s, size[:]); err != nil {
		return nil, err
	}
	got := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(s, got); err != nil {
		return nil, err
	}
	s.CancelRead(doqNoError)
	if m.matches(got) == noMatch {
		return nil, fmt.Errorf("%w: it answers another question", ErrUnreadable)
	}
	return got, nil
}
