package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kinward/policy"
	"kinward/store"
)

// program returns who speaks the API with the token that a person makes on the page
// of programs, for so many days; 0 is for good.
func (c *caller) program(name string, days int) func(path string) *httptest.ResponseRecorder {
	c.t.Helper()
	made := c.post("/programs", "name", name, "scope", "read", "days", strconv.Itoa(days))
	want(c.t, "making a token", made, http.StatusOK, "")
	token := regexp.MustCompile(`kw_[A-Za-z0-9_-]{43}`).FindString(made.Body.String())
	other := c.browser()
	return func(path string) *httptest.ResponseRecorder {
		return other.send(http.MethodGet, apiPrefix+path, nil, func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+token) })
	}
}

// TestAPITokenExpires: a token is worth something to the very second that it was
// made for, and one for good goes on.
func TestAPITokenExpires(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	month, good := eva.program("a month", 30), eva.program("for good", 0)
	h.later(30*24*time.Hour - time.Second)
	want(t, "a second before its end", month("/token"), http.StatusOK, "")
	h.later(time.Second)
	for _, path := range []string{"/token", "/events"} {
		w := month(path)
		want(t, "at its end, "+path, w, http.StatusUnauthorized, "")
		if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") || !strings.Contains(w.Body.String(), "/api#no-token") {
			t.Errorf("%s at its end: %q, %s", path, got, w.Body)
		}
	}
	want(t, "for good", good("/token"), http.StatusOK, "")
	if err := h.db.Accounts().Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := h.db.Accounts().Tokens(t.Context(), h.account("eva").ID); err != nil || len(left) != 1 || left[0].Name != "for good" {
		t.Errorf("kept are %+v, %v", left, err)
	}
	want(t, "for good, after the other is forgotten", good("/token"), http.StatusOK, "")
}

// TestAPITokenBesideGuesses: who guesses tokens is told to wait, and the home's programs,
// which ask from the same address, go on.
func TestAPITokenBesideGuesses(t *testing.T) {
	h := newHouse(t)
	right := h.first().program("script", 30)
	guesser := h.browser()
	guess := func() *httptest.ResponseRecorder {
		return guesser.send(http.MethodGet, apiPrefix+"/token", nil, func(q *http.Request) {
			q.Header.Set("Authorization", "Bearer kw_"+strings.Repeat("A", 43))
		})
	}
	for range wrongPerPlace {
		want(t, "a guess", guess(), http.StatusUnauthorized, "")
	}
	want(t, "one guess more", guess(), http.StatusTooManyRequests, "")
	want(t, "the right one, from there", right("/token"), http.StatusOK, "")
}

// TestAPITokenLimit: a person lets in so many programs and no more, whoever else has
// some, and one more in the place of one that was taken back.
func TestAPITokenLimit(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	karl := h.joined("Karl", policy.Viewer)
	for range store.MaxTokens {
		eva.program("script", 365)
	}
	add := []string{"name", "one more", "scope", "read", "days", "30"}
	over := eva.post("/programs", add...)
	want(t, "one too many", over, http.StatusUnprocessableEntity, "")
	if strings.Contains(over.Body.String(), "kw_") {
		t.Error("a token is shown that was not made")
	}
	id := h.account("eva").ID
	tokens, err := h.db.Accounts().Tokens(t.Context(), id)
	if err != nil || len(tokens) != store.MaxTokens {
		t.Errorf("%d tokens are kept, %v; want %d", len(tokens), err, store.MaxTokens)
	}
	want(t, "somebody else's first", karl.program("script", 30)("/token"), http.StatusOK, "")
	want(t, "taking one back", eva.post("/programs/"+strconv.FormatInt(int64(tokens[0].ID), 10)+"/revoke"), http.StatusSeeOther, "/programs")
	want(t, "one more in its place", eva.post("/programs", add...), http.StatusOK, "")
	h.later(31 * 24 * time.Hour) // that one is worth nothing any more, and is not swept away yet
	for i, refused := range []bool{false, true} {
		_, err := h.db.Accounts().AddToken(t.Context(), store.Token{Account: id, Name: "another", Scopes: []string{"read"}}, "a secret "+strconv.Itoa(i))
		if errors.Is(err, store.ErrConflict) != refused {
			t.Errorf("program %d in the place of one that is over: %v", i+1, err)
		}
	}
}
