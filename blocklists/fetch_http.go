package blocklists

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// download is one list at one URL.
type download struct {
	f          *Fetcher
	url        *url.URL
	validators Validators
	where      string // for notes: " (place 2 of 3)"
	q          Request
}

// run downloads the list from its beginning, once.
func (d *download) run(ctx context.Context, sink Sink) (Fetched, error) {
	b := &body{d: d, ctx: ctx}
	defer b.close()
	resp, err := b.open()
	if err != nil {
		return Fetched{}, err
	}
	if resp.StatusCode == http.StatusNotModified && d.validators.known() {
		return Fetched{NotModified: true}, nil
	}
	if err := d.f.checkResponse(resp); err != nil {
		return Fetched{}, err
	}
	b.total = resp.ContentLength
	b.encoding = resp.Header.Get("Content-Encoding")
	// A weak tag promises the same names, not the same bytes (RFC 9110 §8.8.1).
	if tag := header(resp, "ETag"); strings.HasPrefix(tag, `"`) {
		b.etag = tag
	}
	got, err := d.f.unpack(&meter{r: b, most: d.f.limits.Body, total: b.total, progress: d.q.Progress}, d.q.Member, sink)
	if err != nil {
		return Fetched{}, plainError(b.ctx, err)
	}
	got.Validators = Validators{ETag: header(resp, "ETag"), LastModified: header(resp, "Last-Modified")}
	return got, nil
}

// errChanged says that what a server sends now is not the rest of what it sent
// before.
var errChanged = errors.New("the list changed while it was fetched")

// body reads the body of an answer, and goes on where a connection was cut, if
// the server has a strong ETag for what it sends.
type body struct {
	d     *download
	ctx   context.Context
	etag  string // strong, or ""
	total int64  // -1: not known
	at    int64  // bytes read

	encoding string
	conn     io.ReadCloser // of the connection that is open; nil if none is
	cut      func()        // ends that connection
	stall    *time.Timer
	connCtx  context.Context

	broken    error // there will be no more bytes
	resumed   int   // times it went on
	fruitless int   // of these, the last ones without a byte
}

// open asks for the list, or for the rest of it.
func (b *body) open() (*http.Response, error) {
	b.close()
	f := b.d.f
	ctx, cancel := context.WithCancelCause(b.ctx)
	b.connCtx, b.cut = ctx, func() { cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.d.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", ErrBadLocation)
	}
	req.Header.Set("User-Agent", f.agent)
	req.Header.Set("Accept-Encoding", "gzip")
	if b.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.at))
		req.Header.Set("If-Range", b.etag) // RFC 9110 §13.1.5: all of it, if it is another one
	} else {
		if tag := b.d.validators.ETag; tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		if date := b.d.validators.LastModified; date != "" {
			req.Header.Set("If-Modified-Since", date)
		}
	}
	b.stall = time.AfterFunc(f.limits.Stall, func() {
		cancel(fmt.Errorf("no byte for %v: %w", f.limits.Stall, ErrTimeout))
	})
	resp, err := f.http.Do(req)
	if err != nil {
		return nil, plainError(ctx, err)
	}
	b.conn = resp.Body
	return resp, nil
}

func (b *body) close() {
	if b.stall != nil {
		b.stall.Stop()
	}
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
	if b.cut != nil {
		b.cut()
	}
}

func (b *body) Read(p []byte) (int, error) {
	for {
		if b.broken != nil {
			return 0, b.broken
		}
		n, err := b.conn.Read(p)
		b.at += int64(n)
		if n > 0 {
			b.fruitless = 0
			b.stall.Reset(b.d.f.limits.Stall)
		}
		switch {
		case err == nil, err == io.EOF && (b.total < 0 || b.at == b.total):
			return n, err
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		default:
			err = plainError(b.connCtx, err)
		}
		b.broken = b.resume(err)
		if n > 0 {
			return n, nil
		}
	}
}

// resume opens the rest of the list after cause cut it. The error is cause
// where that cannot be done.
func (b *body) resume(cause error) error {
	f := b.d.f
	for b.etag != "" && b.at > 0 && b.resumed < f.limits.Resumes && b.fruitless < f.limits.Tries && b.ctx.Err() == nil {
		b.resumed++
		b.fruitless++
		if f.pause(b.ctx, b.fruitless, cause, b.d) != nil {
			return cause
		}
		resp, err := b.open()
		switch {
		case err != nil && !isPassing(err):
			return err
		case err != nil:
			cause = err
			continue
		}
		if status := (&statusError{code: resp.StatusCode}); status.passing() {
			cause = status
			continue
		}
		return b.checkRest(resp)
	}
	return cause
}

// checkRest refuses an answer that is not the rest of what came before.
func (b *body) checkRest(resp *http.Response) error {
	if resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("going on at byte %d: answer %d: %w", b.at, resp.StatusCode, errChanged)
	}
	first, total, err := contentRange(resp.Header.Get("Content-Range"))
	switch tag := resp.Header.Get("ETag"); {
	case err != nil:
		return fmt.Errorf("going on at byte %d: %w: %w", b.at, err, errChanged)
	case first != b.at, b.total >= 0 && total >= 0 && total != b.total,
		tag != "" && tag != b.etag, resp.Header.Get("Content-Encoding") != b.encoding:
		return fmt.Errorf("going on at byte %d of %d: byte %d of %d came: %w", b.at, b.total, first, total, errChanged)
	}
	if b.total < 0 {
		b.total = total
	}
	return nil
}

// contentRange reads "bytes 7-9/10" (RFC 9110 §14.4); total is -1 for "*".
func contentRange(s string) (first, total int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	from, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("reading Content-Range %q: want bytes FIRST-LAST/ALL", clip(s))
	}
	total = -1
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
			return 0, 0, fmt.Errorf("reading Content-Range %q: %q is no size", clip(s), clip(size))
		}
	}
	if first, err = strconv.ParseInt(from, 10, 64); err != nil || first < 0 {
		return 0, 0, fmt.Errorf("reading Content-Range %q: %q is no byte", clip(s), clip(from))
	}
	return first, total, nil
}

// statusError is an answer that is not the list.
type statusError struct {
	code  int
	after time.Duration // the server wants to be left alone for so long
}

func (e *statusError) Error() string {
	hint := "try again later"
	switch e.code {
	case http.StatusNotFound, http.StatusGone:
		hint = "check the address; the list may have moved"
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "the list is not open to everybody"
	}
	return fmt.Sprintf("answer %d %s: %s: %v", e.code, http.StatusText(e.code), hint, ErrBadStatus)
}

func (e *statusError) Unwrap() error { return ErrBadStatus }

func (e *statusError) passing() bool {
	return e.code >= 500 && e.code != http.StatusNotImplemented ||
		e.code == http.StatusTooManyRequests || e.code == http.StatusRequestTimeout
}

// checkResponse refuses an answer that cannot be a list, before its body.
func (f *Fetcher) checkResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		e := &statusError{code: resp.StatusCode}
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
			e.after = time.Duration(min(s, 3600)) * time.Second
		}
		return e
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
