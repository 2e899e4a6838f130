package console

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"kinward/store"
)

// visit is one request on its way. It belongs to one goroutine.
type visit struct {
	server  *Server
	w       http.ResponseWriter
	request *http.Request
	actor   Actor // who is signed in; the zero value: nobody
	account store.Account
	session store.Session // zero: no browser that is signed in
	token   *store.Token  // of the program that asks; nil: none, see bearer
	program bool          // it shows a token, though maybe a wrong one
	client  netip.Addr
	secure  bool // encrypted up to the browser
	lang    *textLanguage
	zone    *time.Location // the family's
	now     time.Time
}

// maxForm bounds what a page may send.
const maxForm = 64 << 10

// visit answers one request.
func (s *Server) visit(w http.ResponseWriter, q *http.Request, r route) {
	q.Body = http.MaxBytesReader(w, q.Body, maxForm)
	v := &visit{
		server: s, w: w, request: q, zone: time.Local, now: s.now(),
		client: s.clientOf(q), secure: s.isSecure(q),
	}
	v.lang = v.language()
	setHeaders(w.Header(), v.secure)
	if err := v.answer(r); err != nil {
		v.fail(err)
	}
}

func (v *visit) answer(r route) error {
	if !v.server.isOurs(v.request) {
		return &Refusal{Kind: Misdirected}
	}
	if strings.HasPrefix(v.request.URL.Path, "/static/") { // the same for everybody
		return r.serve(v)
	}
	if err := v.recognise(); err != nil { // before fromHere, which asks for less of programs
		return err
	}
	if err := v.fromHere(); err != nil && !isAPI(v.request) { // the API goes by no cookie
		return &Refusal{Kind: Forbidden, Text: v.lang.text("error.origin")}
	}
	if v.request.ContentLength > maxForm {
		return &http.MaxBytesError{Limit: maxForm}
	}
	switch {
	case v.program && !isAPI(v.request): // a token is worth what its scopes say, which pages do not ask for
		return &Refusal{Kind: Forbidden}
	case v.actor.Operator && v.actor.Guardian == 0 && (r.pattern == "GET /{$}" || r.pattern == "GET /welcome"):
		return v.see("/operator")
	case r.who.allows(v.actor):
		return r.serve(v)
	case v.account.ID == 0:
		return v.signInFirst()
	}
	return &Refusal{Kind: Forbidden}
}

// form reads what a page sent.
func (v *visit) form() (url.Values, error) {
	if err := v.request.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, &Refusal{Kind: Invalid}
	}
	return v.request.PostForm, nil
}

// setHeaders sets what every answer carries. Pages run nothing but what this
// server gave them, and nobody may frame them or learn where one came from.
func setHeaders(h http.Header, secure bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types kinward")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not "no-referrer": forms would then come from the origin "null" (Fetch §3.1), as
	// those of other sites do.
	h.Set("Referrer-Policy", "same-origin")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Permissions-Policy", permissions)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Permitted-Cross-Domain-Policies", "none")
	h.Set("Cache-Control", "no-store")
}

// permissions are what no page of ours may use, whatever got into it. What they do
// use is passkeys, push, and writing to the clipboard.
const permissions = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), clipboard-read=(), display-capture=(), encrypted-media=(), " +
	"fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), " +
	"payment=(), picture-in-picture=(), screen-wake-lock=(), serial=(), usb=(), window-management=(), xr-spatial-tracking=()"

// page answers with a page, whole or not at all.
func (v *visit) page(status int, name string, data any) error {
	return v.render(status, name, "layout", data)
}

// render is page in another frame than the layout.
func (v *visit) render(status int, name, frame string, data any) error {
	var b bytes.Buffer
	if err := v.server.pages.render(&b, v, name, frame, data); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", v.lang.tag)
	v.send(status, b.Bytes())
	return nil
}

// see sends the browser on after a change (RFC 9110 §15.4.4), with a note that
// the next page shows.
func (v *visit) see(path string) error {
	http.Redirect(v.w, v.request, path, http.StatusSeeOther)
	return nil
}

// statusOf gives each kind of refusal its status.
var statusOf = map[RefusalKind]int{
	Forbidden: http.StatusForbidden, NotFound: http.StatusNotFound, Invalid: http.StatusUnprocessableEntity,
	Conflict: http.StatusConflict, Stale: http.StatusPreconditionFailed, Waits: http.StatusAccepted,
	SignIn: http.StatusUnauthorized, TooMany: http.StatusTooManyRequests, Gone: http.StatusGone, Misdirected: http.StatusMisdirectedRequest,
}

// fail answers with what went wrong: a refusal in its own words, anything else
// as a fault whose cause is in the log alone.
func (v *visit) fail(err error) {
	if isAPI(v.request) {
		v.failAPI(err)
		return
	}
	status, text := v.fault(err)
	// Where somebody else was first, what they did stands there.
	changed := v.actor.Guardian != 0 && v.request.Method == http.MethodPost && (status == http.StatusConflict || status == http.StatusPreconditionFailed)
	if err := v.page(status, "error", errorPage{v.errorTitle(status, err), text, changed}); err != nil {
		http.Error(v.w, text, status)
	}
}

// errorPage is what stands in the place of a page.
type errorPage struct {
	Title, Text string
	Changed     bool // what is in the way stands in the history
}

// errorTitle is the key of the heading over what went wrong. Where something was to
// be done, it was not the page that was missing; and what says itself why it stands in
// the way of what is there has not been changed meanwhile.
func (v *visit) errorTitle(status int, err error) string {
	switch status {
	case http.StatusForbidden:
		return "error.title-forbidden"
	case http.StatusNotFound:
		if v.request.Method == http.MethodPost {
			return "error.title"
		}
		return "error.title-not-found"
	case http.StatusConflict:
		if r := refused(err); r != nil && r.Text != "" {
			return "error.title"
		}
		return "error.title-conflict"
	case http.StatusPreconditionFailed:
		return "error.title-conflict"
	case http.StatusAccepted:
		return "error.title-waits"
	}
	return "error.title"
}

// fault says what went wrong; see fail.
func (v *visit) fault(err error) (status int, text string) {
	status, text = http.StatusInternalServerError, v.lang.text("error.fault")
	var tooLarge *http.MaxBytesError
	if r := refused(err); r != nil {
		if status, text = statusOf[r.Kind], r.Text; text == "" {
			text = v.lang.text("error." + string(r.Kind))
		}
	} else if errors.As(err, &tooLarge) {
		status, text = http.StatusRequestEntityTooLarge, v.lang.text("error.too-large")
	} else if !errors.Is(err, v.request.Context().Err()) {
		v.server.log.LogAttrs(v.request.Context(), slog.LevelError, "a page could not be made",
			slog.String("page", pattern(v.request)), slog.Any("error", err))
		if errors.Is(err, store.ErrFull) {
			text = v.lang.text("error.full")
		}
	}
	return status, text
}

// pattern names a route for the log: a path may hold a secret.
func pattern(q *http.Request) string {
	if q.Pattern != "" {
		return q.Pattern
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	return "/" + first
}

// CanChange is whether the visitor may change something of the family.
func (v *visit) CanChange() bool { return carers.allows(v.actor) }
