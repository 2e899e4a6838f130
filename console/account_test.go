package console

import (
	"net/http"
	"strings"
	"testing"
)

// The language of letters is that of the browser at sign-up, stays when another
// browser signs in, and is what the account's page says from then on. The pages of
// that browser follow.
func TestAccountLanguage(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	kept := func() string {
		t.Helper()
		a, err := h.db.Accounts().ByName(t.Context(), "eva")
		if err != nil {
			t.Fatal(err)
		}
		of, err := h.db.Accounts().OfGuardian(t.Context(), a.Family, a.Guardian)
		if err != nil || of.Language != a.Language {
			t.Fatalf("the guardian's account says %q, %v", of.Language, err)
		}
		return a.Language
	}
	if got := kept(); got != "en" {
		t.Errorf("at sign-up: %q", got)
	}
	german := func(q *http.Request) { q.Header.Set("Accept-Language", "de") }
	other := h.browser()
	want(t, "another browser", other.send("POST", "/sign-in", map[string][]string{"name": {"eva"}, "password": {password}}, german), 303, "/")
	if got := kept(); got != "en" {
		t.Errorf("after another browser: %q", got)
	}
	want(t, "a language that is none", eva.post("/account/language", "lang", "tlh"), 422, "")
	want(t, "German", eva.post("/account/language", "lang", "de"), 303, "/account")
	if got := kept(); got != "de" {
		t.Errorf("after it was chosen: %q", got)
	}
	page := eva.get("/account").Body.String()
	if !strings.Contains(page, `<html lang="de">`) || !strings.Contains(page, `<option value="de" selected>Deutsch`) || !strings.Contains(page, "Nachrichten kommen ab jetzt in dieser Sprache") {
		t.Errorf("the account's page:\n%s", page)
	}
}
