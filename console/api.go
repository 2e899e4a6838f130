package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// apiPage explains the API to people.
const apiPage = "/api"

// api is the JSON API: its table, with the types of the operations.
type api struct {
	routes []*apiOperation
	mux    *http.ServeMux // for what addresses there are
	doc    []byte         // the document, see [api.document]
	docTag string
	rates  *rates
}

// apiOperation is a row of the table with what its operation takes and replies.
type apiOperation struct {
	apiRoute
	types  OperationTypes
	answer reflect.Type // what is answered: the reply, or the part of it that is
}

// newAPI holds the table against the operations' types: a row that names what is
// not there is a fault that shows before anybody asks.
func newAPI(types map[string]OperationTypes) (*api, error) {
	a := &api{mux: http.NewServeMux(), rates: newRates()}
	if types == nil {
		return a, nil
	}
	for _, r := range apiRoutes {
		t, known := types[r.operation]
		if !known {
			return nil, fmt.Errorf("route %s of the API: there is no operation %q", r.id, r.operation)
		}
		o := &apiOperation{r, t, t.Reply}
		if err := o.check(); err != nil {
			return nil, fmt.Errorf("route %s of the API: %w", r.id, err)
		}
		a.routes = append(a.routes, o)
		a.mux.Handle(r.method+" "+apiPrefix+r.path, http.NotFoundHandler())
	}
	for _, r := range apiOwn {
		a.mux.Handle(r.pattern, http.NotFoundHandler())
	}
	return a, a.describe()
}

func (o *apiOperation) check() error {
	for _, i := range o.allInputs(o.types) {
		if _, err := i.kind(o.types); err != nil {
			return err
		}
		if i.place == inPath && !strings.Contains(o.path, "{"+i.name+"}") {
			return fmt.Errorf("its path has no %q", i.name)
		}
	}
	if o.list != "" {
		m, err := memberAt(o.types.Reply, []string{o.list})
		if err != nil {
			return err
		}
		if m.kind.Kind() != reflect.Slice {
			return fmt.Errorf("%q is no list", o.list)
		}
		if o.key != "" {
			if _, err := memberAt(m.kind.Elem(), []string{o.key}); err != nil {
				return err
			}
		}
	}
	if o.only != "" && o.list == "" {
		m, err := memberAt(o.types.Reply, []string{o.only})
		o.answer = m.kind
		return err
	}
	return nil
}

// apiOwn is what the API answers without the desk.
var apiOwn = []route{
	{"GET " + apiPrefix + "/token", anyone, showToken},
	{"GET " + apiPrefix + "/events", anyone, serveEvents},
	{"GET " + apiPrefix + "/openapi.json", anyone, serveDocument},
}

// table returns the API's part of what the console answers. Anyone may come to
// its addresses: whose token it is, and what for, each of them asks itself.
// A console without operations has none.
func (a *api) table() (table []route) {
	if a == nil {
		return nil
	}
	for _, o := range a.routes {
		table = append(table, route{o.method + " " + apiPrefix + o.path, anyone, o.serve})
	}
	return slices.Concat(table, apiOwn, []route{
		{apiPrefix + "/", anyone, unknownAPI},
		{"GET " + apiPage, anyone, explainAPI},
	})
}

// admitProgram lets in who shows a token for one of scopes, at its pace. A browser
// that is signed in is nobody here: its cookie comes along from wherever a link is,
// a token does not.
func (v *visit) admitProgram(scopes scope) error {
	if v.token == nil || v.account.ID == 0 || !v.actor.Operator && v.actor.Guardian == 0 {
		return noToken.because(noToken.says)
	}
	if wait := v.server.api.rates.take(v.token.ID, v.now); wait > 0 {
		p := tooMany.because(fmt.Sprintf("A token may ask %d times at once and %d times a minute.", rateBurst, ratePerMinute))
		p.header.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		return p
	}
	if scopesOf(v.token.Scopes)&scopes == 0 {
		p := wrongScope.because("It takes a token for " + strings.Join(scopes.words(), " or ") + "; this one is for " + strings.Join(v.token.Scopes, ", ") + ".")
		p.header.Set("WWW-Authenticate", `Bearer realm="kinward", error="insufficient_scope", scope="`+strings.Join(scopes.words(), " ")+`"`)
		return p
	}
	return nil
}

// serve answers a request for the row: it makes the operation's request of it, has
// the desk run that, and answers with what the row says of the reply.
func (o *apiOperation) serve(v *visit) error {
	if err := v.admitProgram(o.scopes); err != nil {
		return err
	}
	asked, err := o.read(v, o.types)
	if err != nil {
		return err
	}
	if err := o.expect(v, asked); err != nil {
		return err
	}
	if o.paged {
		if err := o.askPage(asked); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := v.server.desk.Do(v.request.Context(), v.actor, o.operation, asked.request, &raw); err != nil {
		return o.refusal(v, asked, err)
	}
	reply, err := decode(raw)
	if err != nil {
		return err
	}
	revision := reply["revision"]
	answer, err := o.shape(asked, reply)
	if err != nil {
		return err
	}
	o.linkNext(v, answer)
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if o.changes() {
		v.document(http.StatusOK, "application/json", b)
		return nil
	}
	tag := ""
	if o.revision {
		tag = fmt.Sprint(revision) + "."
	}
	v.cached(tag, b)
	return nil
}

// decode reads an object with its numbers as they are.
func decode(raw json.RawMessage) (o object, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return o, d.Decode(&o)
}

// expect has a change made only where the family's choices are those that the
// program read (RFC 9110 §13.1.1).
func (o *apiOperation) expect(v *visit, a *apiRequest) error {
	match := v.request.Header.Get("If-Match")
	if match == "" || match == "*" || !o.changes() {
		return nil
	}
	if _, err := memberAt(o.types.Request, []string{"do"}); err != nil {
		return badRequest.because("If-Match means nothing here: what this changes has no revision.")
	}
	text, _, _ := strings.Cut(strings.Trim(match, `"`), ".")
	revision, err := strconv.ParseUint(text, 10, 64)
	if err != nil || revision == 0 {
		return badRequest.because("If-Match has to be an ETag that the family's choices had, or their revision.")
	}
	a.request["if"] = revision
	return nil
}

func wrongCursor() *problem {
	return invalid.because("The cursor is none that this list gave.", problemField{"cursor", "it is none that this list gave"})
}

// askPage has the operation read the page that is wanted.
func (o *apiOperation) askPage(a *apiRequest) error {
	a.request["limit"] = a.limit
	if a.cursor == "" {
		return nil
	}
	if o.key == "" {
		a.request["after"] = a.cursor
		return nil
	}
	after, err := strconv.ParseInt(a.cursor, 10, 64)
	if err != nil {
		return wrongCursor()
	}
	a.request["after"] = after
	return nil
}

// refusal says which input it is about, where its text does.
func (o *apiOperation) refusal(v *visit, a *apiRequest, err error) error {
	r := refused(err)
	switch {
	case r == nil || r.Kind == Waits:
		return err
	case r.Kind == Invalid && a.cursor != "" && strings.Contains(r.Text, strconv.Quote(a.cursor)): // which nobody sent like that
		return wrongCursor()
	case r.Kind == Invalid:
		return invalid.because(cmp.Or(r.Text, invalid.says), a.blame(r.Text)...)
	}
	return err
}

// shape makes the answer of a reply.
func (o *apiOperation) shape(a *apiRequest, reply object) (any, error) {
	for _, field := range o.without {
		delete(reply, field)
	}
	if o.list == "" {
		if o.only != "" {
			return reshape(o.answer, reply[o.only]), nil
		}
		return reshape(o.types.Reply, reply), nil
	}
	m, err := memberAt(o.types.Reply, []string{o.list})
	if err != nil {
		return nil, err
	}
	items, _ := reply[o.list].([]any)
	answer := object{}
	if o.only == "" {
		delete(reply, o.list)
		answer = reshape(o.types.Reply, reply).(object)
	}
	next := ""
	switch {
	case !o.paged:
		if items, next, err = o.page(a, items); err != nil {
			return nil, err
		}
	case o.key != "":
		if more, _ := reply["more"].(bool); more && len(items) > 0 {
			next = keyOf(items[len(items)-1], o.key)
		}
	default:
		next, _ = reply["next"].(string)
	}
	delete(answer, "more")
	delete(answer, "next")
	if next != "" {
		answer["next"] = base64.RawURLEncoding.EncodeToString([]byte(next))
	}
	answer["items"] = reshape(m.kind, any(append([]any{}, items...)))
	return answer, nil
}

// page cuts a page out of a list that is read whole: what comes after the thing
// that the cursor names.
func (o *apiOperation) page(a *apiRequest, items []any) (page []any, next string, err error) {
	if a.cursor != "" {
		i := slices.IndexFunc(items, func(x any) bool { return keyOf(x, o.key) == a.cursor })
		if i < 0 {
			return nil, "", invalid.because("What the page before ended with is no longer there: begin again.", problemField{"cursor", "it is none of this list, or no longer"})
		}
		items = items[i+1:]
	}
	if len(items) > a.limit {
		items = items[:a.limit]
		next = keyOf(items[a.limit-1], o.key)
	}
	return items, next, nil
}

func keyOf(item any, key string) string {
	o, _ := item.(object)
	return fmt.Sprint(o[key])
}

// linkNext says where the next page is, as programs that know no cursors go on
// (RFC 8288).
func (o *apiOperation) linkNext(v *visit, answer any) {
	page, _ := answer.(object)
	next, _ := page["next"].(string)
	if next == "" || o.list == "" {
		return
	}
	u := *v.request.URL
	q := u.Query()
	q.Set("cursor", next)
	u.RawQuery = q.Encode()
	v.w.Header().Set("Link", "<"+u.RequestURI()+`>; rel="next"`)
}

// cached answers with a document that a program may keep and ask about again.
func (v *visit) cached(prefix string, b []byte) {
	sum := sha256.Sum256(b)
	tag := `"` + prefix + hex.EncodeToString(sum[:8]) + `"`
	h := v.w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Authorization")
	for _, have := range strings.Split(v.request.Header.Get("If-None-Match"), ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == tag || have == "*" {
			v.w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	v.document(http.StatusOK, "application/json", b)
}

// serveDocument answers with the document of the API. It says nothing of anybody.
func serveDocument(v *visit) error {
	h := v.w.Header()
	h.Set("ETag", v.server.api.docTag)
	h.Set("Cache-Control", "no-cache")
	if v.request.Header.Get("If-None-Match") == v.server.api.docTag {
		v.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	v.document(http.StatusOK, "application/json", v.server.api.doc)
	return nil
}

// APIOperations returns the operations of the desk that the API offers.
func APIOperations() (names []string) {
	for _, r := range apiRoutes {
		if !slices.Contains(names, r.operation) {
			names = append(names, r.operation)
		}
	}
	return names
}
