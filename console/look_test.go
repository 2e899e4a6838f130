package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"kinward/policy"
)

// noDesk is a desk that knows nothing.
type noDesk struct{}

func (noDesk) Do(context.Context, Actor, string, any, any) error { return &Refusal{Kind: NotFound} }
func (noDesk) Watch(Actor) (<-chan struct{}, func())             { return nil, func() {} }

// testVisit is a visit of by to path, with its answer.
func testVisit(t *testing.T, by Actor, method, path string, form url.Values) (*visit, *httptest.ResponseRecorder) {
	t.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Desk: noDesk{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listener.Close() })
	q := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	v := &visit{server: s, w: w, request: q, actor: by}
	v.lang = v.language()
	return v, w
}

var mother = Actor{Family: 1, Guardian: 1, Name: "Maria", Role: policy.Owner}

// A note is said once, by the next page, and only by the console itself.
func TestNote(t *testing.T) {
	v, w := testVisit(t, mother, "POST", "/", nil)
	v.note("error.conflict")
	sent := w.Result().Cookies()
	if len(sent) != 1 || !sent[0].HttpOnly {
		t.Fatalf("cookies: %v", sent)
	}
	next := func(c *http.Cookie) (*visit, *httptest.ResponseRecorder) {
		w := httptest.NewRecorder()
		q := httptest.NewRequest("GET", "/", nil)
		q.AddCookie(c)
		return &visit{server: v.server, w: w, request: q, actor: mother, lang: v.lang}, w
	}
	after, w := next(sent[0])
	if got := after.Note(); got != "Somebody changed this meanwhile. Look at it again." {
		t.Errorf("the note says %q", got)
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("after it was said: %v", c)
	}
	forged := *sent[0]
	forged.Value = "A" + forged.Value[1:]
	if after, _ := next(&forged); forged.Value != sent[0].Value && after.Note() != "" {
		t.Errorf("a forged note says %q", after.Note())
	}
}

// The language switch keeps a language that there is, and leads nowhere else.
func TestSetLanguage(t *testing.T) {
	for _, c := range []struct{ lang, back, cookie, to string }{
		{"de", "/children/3?day=1", "de", "/children/3?day=1"},
		{"xx", "/", "", "/"},
		{"de", "//elsewhere.example/", "de", "/"},
		{"de", "https://elsewhere.example/", "de", "/"},
		{"de", "/\\elsewhere.example", "de", "/"},
	} {
		v, w := testVisit(t, Actor{}, "POST", "/language", url.Values{"lang": {c.lang}, "back": {c.back}})
		if err := setLanguage(v); err != nil {
			t.Fatal(err)
		}
		cookie := ""
		for _, k := range w.Result().Cookies() {
			cookie = k.Value
		}
		if to := w.Header().Get("Location"); to != c.to || cookie != c.cookie {
			t.Errorf("%q from %q: cookie %q, to %q", c.lang, c.back, cookie, to)
		}
	}
}

// What a note and the language are kept in is bound to this host wherever the
// browser's connection is encrypted, also where a proxy before us does that.
func TestCookiesAreOfHost(t *testing.T) {
	v, w := testVisit(t, mother, "POST", "/language", url.Values{"lang": {"de"}, "back": {"/"}})
	v.secure = true
	v.note("error.conflict")
	if err := setLanguage(v); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %v", c)
		}
	}
	if len(cookies) != 2 {
		t.Errorf("cookies: %v", cookies)
	}
}
