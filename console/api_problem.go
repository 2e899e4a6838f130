package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// problem is what the API says where it does not do what was asked (RFC 9457). Its
// types are part of the API: they stay.
type problem struct {
	Type    string         `json:"type"` // an address of this server that says what it means
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail,omitempty"`
	Errors  []problemField `json:"errors,omitempty"`  // which inputs are wrong, where that is known
	Pending int64          `json:"pending,omitempty"` // the number of the change that waits

	header http.Header
}

// problemField is an input that is wrong.
type problemField struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// problemKind is a kind of problem: what its type is called, and what it means.
type problemKind struct {
	name   string
	status int
	title  string
	says   string
}

var (
	badRequest    = problemKind{"bad-request", 400, "The request cannot be read", "The body is no JSON object, or an input stands twice."}
	noToken       = problemKind{"no-token", 401, "No valid token", "Send a token that is not over: Authorization: Bearer kw_…. It is made on the page \"access for programs\"."}
	forbidden     = problemKind{"forbidden", 403, "Not allowed", "The person whose token it is may not do that."}
	wrongScope    = problemKind{"wrong-scope", 403, "The token is not for that", "Make a token with the scope that the route names."}
	notFound      = problemKind{"not-found", 404, "Not found", "There is no such thing, or it is not this family's."}
	wrongMethod   = problemKind{"method-not-allowed", 405, "Wrong method", "The header Allow says which methods there are."}
	conflict      = problemKind{"conflict", 409, "Conflict", "It stands in the way of what is there already, or somebody changed that meanwhile."}
	gone          = problemKind{"gone", 410, "Gone", "It was there, and its time is over."}
	changedSince  = problemKind{"changed-since", 412, "Changed since", "The family's choices are no longer those that If-Match names: read them again."}
	tooLarge      = problemKind{"too-large", 413, "Too large", "A body may have 64 KiB."}
	wrongType     = problemKind{"unsupported-media-type", 415, "Wrong media type", "A body is application/json."}
	misdirected   = problemKind{"misdirected", 421, "Wrong name", "The request came under a name that is not this server's."}
	invalid       = problemKind{"invalid", 422, "Invalid", "An input is wrong: errors names it, where that is known."}
	tooMany       = problemKind{"too-many-requests", 429, "Too many requests", "Wait for as many seconds as the header Retry-After says."}
	fault         = problemKind{"fault", 500, "Fault", "Something went wrong on the server. The cause is in its log."}
	problemKinds  = []problemKind{badRequest, noToken, forbidden, wrongScope, notFound, wrongMethod, conflict, gone, changedSince, tooLarge, wrongType, misdirected, invalid, tooMany, fault}
	refusalKindOf = map[RefusalKind]problemKind{
		Forbidden: forbidden, NotFound: notFound, Invalid: invalid, Conflict: conflict, Stale: changedSince,
		SignIn: noToken, TooMany: tooMany, Gone: gone, Misdirected: misdirected,
	}
)

// because makes a problem of a kind.
func (k problemKind) because(detail string, errors ...problemField) *problem {
	return &problem{Type: apiPage + "#" + k.name, Title: k.title, Status: k.status, Detail: detail, Errors: errors, header: http.Header{}}
}

// isAPI reports whether a request is for the API, whose errors are documents.
func isAPI(q *http.Request) bool {
	return strings.HasPrefix(q.URL.Path, apiPrefix+"/") || q.URL.Path == apiPrefix
}

// failAPI answers with what went wrong.
func (v *visit) failAPI(err error) {
	var p *problem
	var large *http.MaxBytesError
	r := refused(err)
	switch {
	case errors.As(err, &p):
	case r != nil && r.Kind == Waits:
		v.waits(r)
		return
	case r != nil:
		kind, known := refusalKindOf[r.Kind]
		if !known {
			kind = conflict
		}
		p = kind.because(cmp.Or(r.Text, kind.says))
	case errors.As(err, &large):
		p = tooLarge.because(tooLarge.says)
	default:
		p = fault.because(fault.says)
		if !errors.Is(err, v.request.Context().Err()) {
			v.server.log.LogAttrs(v.request.Context(), slog.LevelError, "the API could not answer",
				slog.String("route", pattern(v.request)), slog.Any("error", err))
		}
	}
	h := v.w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="kinward"`)
	case http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", strconv.Itoa(60))
		}
	}
	v.json(p.Status, "application/problem+json", p)
}

// waitingChange is the answer to a change that waits for its time or for another
// guardian.
type waitingChange struct {
	Detail  string `json:"detail"`
	Pending int64  `json:"pending"` // the number of the change that waits
}

func (v *visit) waits(r *Refusal) {
	v.json(http.StatusAccepted, "application/json", waitingChange{cmp.Or(r.Text, v.lang.text("error.waits")), r.Pending})
}

// json answers with a document.
func (v *visit) json(status int, kind string, doc any) {
	b, err := json.Marshal(doc)
	if err != nil { // of our own making, so a fault of ours
		v.server.log.LogAttrs(v.request.Context(), slog.LevelError, "an answer of the API could not be written", slog.Any("error", err))
		status, kind, b = http.StatusInternalServerError, "application/problem+json", []byte(`{"type":"`+apiPage+`#fault","title":"Fault","status":500}`)
	}
	v.document(status, kind, b)
}

func (v *visit) document(status int, kind string, b []byte) {
	v.w.Header().Set("Content-Type", kind)
	v.send(status, b)
}

// unknownAPI answers what no row of the table is about.
func unknownAPI(v *visit) error {
	if allowed := v.server.api.methods(v.request); len(allowed) > 0 {
		p := wrongMethod.because("This address takes " + strings.Join(allowed, ", ") + ".")
		p.header.Set("Allow", strings.Join(allowed, ", "))
		return p
	}
	return notFound.because("The API has no such address; see " + apiPage + ".")
}

// methods returns the methods that the address of a request takes.
func (a *api) methods(q *http.Request) (allowed []string) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		other := q.Clone(q.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return slices.Clip(allowed)
}
