package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// An owner who lost the password gets in again by the server's command line: the
// old password and session end, the link works, and the history says so.
func TestProgramConsoleReset(t *testing.T) {
	h := startHome(t, startUpstream(t))
	b := h.signIn()
	wantAll(t, "before", b.get("/", http.StatusOK), "Sign out")
	link := regexp.MustCompile(`http\S+/reset/\S+`).FindString(h.must("console", "reset", "eva"))
	if link == "" {
		t.Fatal("no link")
	}
	wantNone(t, "after the reset", b.get("/", http.StatusOK), "Sign out")
	other := newVisitor(t, b.base)
	other.post("/sign-in", http.StatusForbidden, "name", "eva", "password", goodPassword)
	const another = "four other words here"
	other.post(strings.TrimPrefix(link, b.base), http.StatusOK, "password", another, "again", another)
	wantAll(t, "by the link", other.get("/", http.StatusOK), "Sign out")
	wantAll(t, "the history", h.must("changes"), "reset the password of eva", "command line")
	if _, errs, code := h.run("console", "reset", "karl"); code != exitNothing || !strings.Contains(errs, "karl") {
		t.Errorf("an account that is not there: exit code %d, %s", code, errs)
	}
}
