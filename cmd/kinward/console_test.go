package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// consoleLink finds where the console of a home is, and the link that sets it up;
// "" where it is.
func (h *home) consoleLink() (base, link string) {
	h.t.Helper()
	m := regexp.MustCompile(`The console, for guardians: (\S+)`).FindStringSubmatch(h.banner)
	if m == nil {
		h.t.Fatalf("the banner names no console:\n%s", h.banner)
	}
	if l := regexp.MustCompile(`http\S+/start/\S+`).FindString(h.banner); l != "" {
		return m[1], l
	}
	return m[1], ""
}

// visitor is somebody who uses the console as a browser does.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, base, &http.Client{Jar: jar}}
}

const goodPassword = "four plain words here"

// signIn sets a home's console up, by the link of its banner, and returns the
// browser of its owner, whose family calls them Eva and who signs in as "eva".
func (h *home) signIn() *visitor {
	h.t.Helper()
	base, link := h.consoleLink()
	if link == "" {
		h.t.Fatal("the console is set up already")
	}
	b := newVisitor(h.t, base)
	b.post(strings.TrimPrefix(link, base), http.StatusOK, "for", "home", "called", "Eva", "name", "eva", "password", goodPassword, "again", goodPassword)
	return b
}

// get fetches a page, following where it leads.
func (b *visitor) get(path string, want int) string {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(q, want)
}

// post sends a form as a page of the console would, and follows where it leads.
func (b *visitor) post(path string, want int, pairs ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", b.base)
	return b.do(q, want)
}

func (b *visitor) do(q *http.Request, want int) string {
	b.t.Helper()
	r, err := b.client.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if r.StatusCode != want {
		b.t.Errorf("%s %s: %s, want %d\n%s", q.Method, q.URL.Path, r.Status, want, bytes.TrimSpace(body))
	}
	return string(body)
}

// TestConsoleSetUp: the link of the banner makes the owner's account once, and the
// password opens the console again, here and after a restart.
func TestConsoleSetUp(t *testing.T) {
	h := startHome(t, startUpstream(t))
	_, link := h.consoleLink()
	eva := h.signIn()
	if got := eva.get("/", http.StatusOK); !strings.Contains(got, "Eva") {
		t.Errorf("the first page does not greet its owner:\n%s", got)
	}
	other := newVisitor(t, eva.base)
	other.get(strings.TrimPrefix(link, eva.base), http.StatusGone)
	other.post("/sign-in", http.StatusForbidden, "name", "eva", "password", "four wrong words here")
	other.post("/sign-in", http.StatusOK, "name", " EVA", "password", goodPassword)
	if got := other.get("/", http.StatusOK); !strings.Contains(got, "Eva") {
		t.Errorf("who signed in by password sees\n%s", got)
	}
	if out, _, _ := h.run("guardians"); !strings.Contains(out, "Eva") || !strings.Contains(out, "owner") {
		t.Errorf("guardians prints\n%s", out)
	}
}
