package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// problemOf reads what the API said was wrong.
func problemOf(t *testing.T, a answer) (p struct {
	Type, Title, Detail string
	Status              int
	Errors              []struct{ Field, Detail string }
},
) {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("a problem comes as %q: %s", kind, a.body)
		return p
	}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.status {
		t.Errorf("status %d says %s", a.status, a.body)
	}
	return p
}

// TestAPIGuard holds who is let in to what, route by route: nobody without a token,
// no token to what it is not for, no program to another family.
func TestAPIGuard(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	d := fetchDocument(t, eva.base)
	cookie := &apiClient{t: t, base: eva.base}
	tokens := map[string][]*apiClient{}
	next := func(scope string) *apiClient { // one after the other, for their pace
		if len(tokens[scope]) == 0 {
			for _, n := range []string{"1", "2", "3"} {
				tokens[scope] = append(tokens[scope], eva.token(scope+" "+n, scope))
			}
		}
		p := tokens[scope][0]
		tokens[scope] = append(tokens[scope][1:], p)
		return p
	}
	for _, id := range slices.Sorted(maps.Keys(d.routes)) {
		r := d.routes[id]
		if len(r.Scopes) == 0 {
			continue
		}
		path, _ := r.example(nil)
		a := cookie.ask(r.Method, path, nil)
		if p := problemOf(t, a); a.status != http.StatusUnauthorized || p.Type != "/api#no-token" || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s without a token: %d %s", id, a.status, a.body)
		}
		if a := signedInAsk(t, eva, r.Method, path); a != http.StatusUnauthorized && a != http.StatusForbidden {
			t.Errorf("%s with a browser's cookie: %d", id, a)
		}
		for _, other := range []string{"read", "write", "requests", "operator"} {
			if slices.Contains(r.Scopes, other) {
				continue
			}
			a := next(other).ask(r.Method, path, nil)
			if p := problemOf(t, a); a.status != http.StatusForbidden || p.Type != "/api#wrong-scope" {
				t.Errorf("%s with a token for %s: %d %s", id, other, a.status, a.body)
			}
			break
		}
	}
}

// signedInAsk asks the API as a browser that is signed in.
func signedInAsk(t *testing.T, b *visitor, method, path string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, b.base+"/api/v1"+path, nil)
	must(t, err)
	q.Header.Set("Origin", b.base)
	r, err := b.client.Do(q)
	must(t, err)
	r.Body.Close()
	return r.StatusCode
}

// TestAPITokens holds that a token is worth what its person is, and no longer.
func TestAPITokens(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	all := []string{"read", "write", "requests", "operator"}
	p := eva.token("script", all...)
	if got := p.must("GET", "/token", nil); got["name"] != "script" || got["role"] != "owner" || len(got["scopes"].([]any)) != 4 {
		t.Errorf("the token says %v", got)
	}
	// A page takes no token.
	q, err := http.NewRequestWithContext(t.Context(), "GET", eva.base+"/", nil)
	must(t, err)
	q.Header.Set("Authorization", "Bearer "+p.token)
	r, err := http.DefaultClient.Do(q)
	must(t, err)
	r.Body.Close()
	if r.StatusCode != http.StatusForbidden {
		t.Errorf("a page with a token: %d", r.StatusCode)
	}
	// The role is the person's of this moment.
	h.must("guardians", "add", "Otto", "--role", "owner")
	h.must("guardians", "role", "Eva", "viewer")
	if a := p.ask("PUT", "/profiles/Everyone/pause", map[string]any{}); a.status != http.StatusForbidden || problemOf(t, a).Type != "/api#forbidden" {
		t.Errorf("a viewer's token pauses: %d %s", a.status, a.body)
	}
	if a := p.ask("GET", "/family", nil); a.status != http.StatusOK {
		t.Errorf("a viewer's token reads: %d %s", a.status, a.body)
	}
	// Taking it back holds at once.
	page := eva.get("/programs", http.StatusOK)
	id := between(page, "/programs/", "/revoke")
	eva.post("/programs/"+id+"/revoke", http.StatusOK)
	if a := p.ask("GET", "/family", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a token that was taken back: %d %s", a.status, a.body)
	}
	// It ends with the account.
	other := eva.token("other", "read")
	h.must("guardians", "remove", "Eva")
	if a := other.ask("GET", "/family", nil); a.status != http.StatusUnauthorized {
		t.Errorf("the token of who was removed: %d %s", a.status, a.body)
	}
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// TestAPIAnswers holds how the API says what is wrong, pages through lists, and
// makes a change only where nobody made another.
func TestAPIAnswers(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	p := eva.token("script", "read", "write")
	h.must("profiles", "add", "Lea", "D")
	h.must("families", "add", "Miller", "--preset", "C")
	h.must("profiles", "add", "Secret", "D", "--family", "Miller")
	for _, tt := range []struct {
		name, method, path string
		body               any
		status             int
		kind               string
		field              string
	}{
		{"no such address", "GET", "/nothing", nil, 404, "not-found", ""},
		{"no such method", "DELETE", "/family", nil, 405, "method-not-allowed", ""},
		{"no such profile", "GET", "/profiles/Nobody", nil, 404, "not-found", ""},
		{"another family's profile", "GET", "/profiles/Secret", nil, 404, "not-found", ""},
		{"another family's profile, to change", "PUT", "/profiles/Secret/bypass", object{"choice": "off"}, 404, "not-found", ""},
		{"a family that is named", "GET", "/family?family=Miller", nil, 422, "invalid", "family"},
		{"a family that is named in the body", "PUT", "/profiles/Lea/bypass", object{"choice": "off", "family": "Miller"}, 422, "invalid", "family"},
		{"an unknown field", "POST", "/profiles", object{"name": "Tom", "preset": "B", "colour": "red"}, 422, "invalid", "colour"},
		{"a missing field", "POST", "/profiles", object{"name": "Tom"}, 422, "invalid", "preset"},
		{"a word that is none", "POST", "/profiles", object{"name": "Tom", "preset": "Z"}, 422, "invalid", "preset"},
		{"a wrong type", "POST", "/profiles/Lea/schedules", object{"name": "X", "effect": "block", "target": "tiktok", "windows": "Mon 10:00-11:00"}, 422, "invalid", "windows"},
		{"what the desk refuses", "POST", "/profiles/Lea/schedules", object{"name": "X", "effect": "block", "target": "tiktok", "windows": []string{"never"}}, 422, "invalid", ""},
		{"a zone that is none", "PUT", "/family/zone", object{"zone": "Europe/Nowhere"}, 422, "invalid", "zone"},
		{"a limit that is too high", "GET", "/incidents?limit=5000", nil, 422, "invalid", "limit"},
		{"a limit that is no number", "GET", "/changes?limit=many", nil, 422, "invalid", "limit"},
		{"a cursor that is none", "GET", "/incidents?cursor=bm90aGluZw", nil, 422, "invalid", "cursor"},
		{"a cursor that is no text", "GET", "/incidents?cursor=abc", nil, 422, "invalid", "cursor"},
		{"beside a cursor", "GET", "/incidents?cursor=MS14&since=whenever", nil, 422, "invalid", "since"},
		{"a cursor of another list", "GET", "/changes?cursor=bm90aGluZw", nil, 422, "invalid", "cursor"},
		{"twice the same", "GET", "/incidents?limit=1&limit=2", nil, 422, "invalid", "limit"},
		{"no object", "POST", "/profiles", []string{"Tom"}, 400, "bad-request", ""},
		{"a name that stands twice", "POST", "/profiles", json.RawMessage(`{"name": "Tom", "preset": "B", "preset": "E"}`), 400, "bad-request", ""},
		{"a name that stands twice, once escaped", "POST", "/profiles", json.RawMessage(`{"name": "Tom", "preset": "B", "p\u0072eset": "E"}`), 400, "bad-request", ""},
		{"a name that stands twice within", "PUT", "/family/declaration", json.RawMessage(`{"text": ["name", {"a": [1], "a": {}}]}`), 400, "bad-request", ""},
		{"names that stand in several places", "POST", "/profiles", json.RawMessage(`{"name": "Tom", "preset": {"name": ["name", "name", {"name": 1}, {"name": 1}]}}`), 422, "invalid", "preset"},
		{"other letters than UTF-8", "POST", "/profiles", json.RawMessage("{\"name\": \"J\xf6rg\", \"preset\": \"B\"}"), 400, "bad-request", ""},
		{"too much", "POST", "/profiles", object{"name": strings.Repeat("x", 70<<10)}, 413, "too-large", ""},
	} {
		a := p.ask(tt.method, tt.path, tt.body)
		got := problemOf(t, a)
		if a.status != tt.status || got.Type != "/api#"+tt.kind {
			t.Errorf("%s: %d %s, want %d %s", tt.name, a.status, a.body, tt.status, tt.kind)
		}
		if tt.field != "" && (len(got.Errors) != 1 || got.Errors[0].Field != tt.field) {
			t.Errorf("%s: %s; want the field %q named", tt.name, a.body, tt.field)
		}
	}
	for _, path := range []string{"/today", "/incidents", "/incidents?limit=1", "/views", "/export?format=csv", "/signals"} {
		if a := p.ask("GET", path, nil); a.status != http.StatusOK {
			t.Errorf("GET %s, which need not say since when: %d %s", path, a.status, a.body)
		}
	}
	if a := p.ask("DELETE", "/family", nil); a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
	if a := p.ask("POST", "/profiles", object{"name": "Tom"}, "Content-Type", "text/plain"); a.status != 415 || problemOf(t, a).Type != "/api#unsupported-media-type" {
		t.Errorf("text/plain: %d %s", a.status, a.body)
	}
	cut, err := net.Dial("tcp", strings.TrimPrefix(eva.base, "http://"))
	must(t, err)
	defer cut.Close()
	_, err = fmt.Fprintf(cut, "POST /api/v1/profiles HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{", cut.RemoteAddr(), p.token)
	must(t, err)
	must(t, cut.(*net.TCPConn).CloseWrite())
	if said, err := io.ReadAll(cut); err != nil || !strings.HasPrefix(string(said), "HTTP/1.1 400 ") {
		t.Errorf("a body that is cut off: %v\n%s", err, said)
	}
	if a := p.ask("GET", "/family", nil, "Host", "elsewhere.example"); a.status != http.StatusOK {
		t.Errorf("the header Host by itself: %d", a.status) // Go's client sends that of the URL
	}

	// What is read is sent once, and what was read is what is changed.
	family := p.ask("GET", "/family", nil)
	tag := family.header.Get("ETag")
	if a := p.ask("GET", "/family", nil, "If-None-Match", tag); a.status != http.StatusNotModified || len(a.body) > 0 {
		t.Errorf("with the ETag that it has: %d %s", a.status, a.body)
	}
	first := p.ask("PUT", "/profiles/Lea/bypass", object{"choice": "off"}, "If-Match", tag)
	if first.status != http.StatusOK {
		t.Errorf("with the ETag that was read: %d %s", first.status, first.body)
	}
	if a := p.ask("PUT", "/profiles/Lea/bypass", object{"choice": "on"}, "If-Match", tag); a.status != http.StatusPreconditionFailed || problemOf(t, a).Type != "/api#changed-since" {
		t.Errorf("with an ETag of before: %d %s", a.status, a.body)
	}
	if a := p.ask("PUT", "/profiles/Lea/bypass", object{"choice": "on"}, "If-Match", strconv.Quote(string(mustJSON(t, first.object(t)["revision"])))); a.status != http.StatusOK {
		t.Errorf("with the revision that a change answered: %d %s", a.status, a.body)
	}

	// A list is the same in pages as in one.
	whole := p.must("GET", "/services?limit=200", nil)["items"].([]any)[:25]
	var paged []any
	path := "/services?limit=10"
	for range 3 {
		a := p.ask("GET", path, nil)
		o := a.object(t)
		paged = append(paged, o["items"].([]any)...)
		path = "/services?limit=10&cursor=" + o["next"].(string)
		if link := a.header.Get("Link"); !strings.Contains(link, `rel="next"`) || !strings.Contains(link, o["next"].(string)) {
			t.Errorf("Link is %q", link)
		}
	}
	if string(mustJSON(t, paged[:25])) != string(mustJSON(t, whole)) {
		t.Errorf("ten at a time are others than all at once")
	}

	// Whoever runs wild has to wait, and is told for how long.
	wild := eva.token("wild", "read")
	var last answer
	for range 80 {
		if last = wild.ask("GET", "/token", nil); last.status != http.StatusOK {
			break
		}
	}
	if wait, err := strconv.Atoi(last.header.Get("Retry-After")); last.status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 60 || problemOf(t, last).Type != "/api#too-many-requests" {
		t.Errorf("after 80 requests at once: %d, Retry-After %q", last.status, last.header.Get("Retry-After"))
	}
	if a := p.ask("GET", "/token", nil); a.status != http.StatusOK {
		t.Errorf("another token waits, too: %d", a.status)
	}
}

type object = map[string]any

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

// TestAPIWaits: a change that weakens protection waits where the family wants that,
// and the answer says so.
func TestAPIWaits(t *testing.T) {
	h := startHome(t, startUpstream(t))
	p := h.signIn().token("script", "read", "write")
	d := fetchDocument(t, p.base)
	h.must("profiles", "add", "Lea", "D")
	h.must("families", "loosening", "--delay", "24h")
	a := p.ask("PUT", "/profiles/Lea/choices/dating", object{"choice": "allow"})
	if a.status != http.StatusAccepted || a.object(t)["pending"] == nil {
		t.Errorf("a change that weakens: %d %s", a.status, a.body)
	}
	d.hold(d.routes["choose"], a)
	if items := p.must("GET", "/changes/pending", nil)["items"].([]any); len(items) != 1 || items[0].(object)["who"] != "Eva" {
		t.Errorf("what waits: %v", items)
	}
}

// TestAPIOperator: who runs the server sees families, and nothing of them.
func TestAPIOperator(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	h.must("profiles", "add", "Rumpelstiltskin", "D")
	h.must("families", "unknown", "Rumpelstiltskin")
	h.asks("omegle.com")
	link := between(h.must("console", "link", "--operator"), eva.base, "\n")
	olga := newVisitor(t, eva.base)
	olga.post(link, http.StatusOK, "name", "olga", "password", goodPassword, "again", goodPassword)
	for _, path := range []string{"/operator", "/operator/families", "/operator/health", "/operator/upstreams", "/operator/lists", "/operator/catalogue", "/operator/certificates", "/operator/health?look=1", "/programs"} {
		page := olga.get(path, http.StatusOK)
		for _, secret := range []string{"Rumpelstiltskin", "omegle.com"} {
			if strings.Contains(page, secret) {
				t.Errorf("%s names %s", path, secret)
			}
		}
	}
	olga.get("/incidents", http.StatusForbidden)
	olga.post("/operator/families", http.StatusOK, "name", "Smith", "preset", "C")
	if page := olga.get("/operator/families", http.StatusOK); !strings.Contains(page, "Smith") {
		t.Errorf("the family is not there:\n%s", page)
	}
	p := olga.token("script", "read", "write", "operator")
	if got := p.must("GET", "/token", nil)["scopes"].([]any); len(got) != 1 || got[0] != "operator" {
		t.Errorf("an operator's token is for %v", got)
	}
	for _, path := range []string{"/server", "/server/health", "/families", "/lists"} {
		if body := string(p.ask("GET", path, nil).body); strings.Contains(body, "Rumpelstiltskin") || strings.Contains(body, `"omegle.com`) {
			t.Errorf("%s tells of a family:\n%s", path, body)
		}
	}
	eva.post("/sign-out", http.StatusOK)
}
