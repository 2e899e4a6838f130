package main

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// events opens the stream of the API and returns the name of the next event each
// time it is called; "" where the stream has ended.
func (p *apiClient) events() (next func() string) {
	p.t.Helper()
	q, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+"/api/v1/events", nil)
	must(p.t, err)
	q.Header.Set("Authorization", "Bearer "+p.token)
	r, err := http.DefaultClient.Do(q)
	must(p.t, err)
	p.t.Cleanup(func() { r.Body.Close() })
	if kind := r.Header.Get("Content-Type"); r.StatusCode != http.StatusOK || kind != "text/event-stream" {
		p.t.Fatalf("GET /events: %s, %q", r.Status, kind)
	}
	lines := bufio.NewScanner(r.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "retry:") { // so it listens by now
		p.t.Fatalf("the stream begins with %q", lines.Text())
	}
	return func() string {
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return name
			}
		}
		return ""
	}
}

// TestAPIEvents: a program hears that something of its own family changed, and
// nothing of what happens in another, and its stream ends with its token.
func TestAPIEvents(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	h.must("families", "add", "Berger")
	h.must("profiles", "add", "Max", "C", "--family", "Berger")
	var invited invitedBy
	h.into(&invited, "guardians", "invite", "Mia", "--family", "Berger", "--role", "owner")
	mia := newVisitor(t, eva.base)
	mia.post(invited.Path, http.StatusOK, "name", "mia", "password", goodPassword, "again", goodPassword)

	ours, theirs := eva.token("ours", "read"), mia.token("theirs", "requests")
	own, other := ours.events(), theirs.events()
	h.must("pause", "Max", "--family", "Berger")
	if got := other(); got != "change" {
		t.Errorf("who belongs there hears %q", got)
	}
	// Had the other stream been told of that, too, it would say so before it ends.
	ours.must("GET", "/token", nil)
	eva.post("/programs/"+between(eva.get("/programs", http.StatusOK), "/programs/", "/revoke")+"/revoke", http.StatusOK)
	h.must("profiles", "add", "Lea", "D")
	if got := own(); got != "end" {
		t.Errorf("after a change in another family, and without its token, a program hears %q", got)
	}
	if got := own(); got != "" {
		t.Errorf("after the end a program hears %q", got)
	}

	again := eva.token("again", "read").events()
	h.must("profiles", "rename", "Lea", "Mona")
	if got := again(); got != "change" {
		t.Errorf("of its own family a program hears %q", got)
	}
	if a := eva.token("writes", "write").ask("GET", "/events", nil); a.status != http.StatusForbidden || problemOf(t, a).Type != "/api#wrong-scope" {
		t.Errorf("a token for something else: %d %s", a.status, a.body)
	}
	link := between(h.must("console", "link", "--operator"), eva.base, "\n")
	olga := newVisitor(t, eva.base)
	olga.post(link, http.StatusOK, "name", "olga", "password", goodPassword, "again", goodPassword)
	if a := olga.token("health", "operator").ask("GET", "/events", nil); a.status != http.StatusForbidden {
		t.Errorf("who runs the server listens: %d %s", a.status, a.body)
	}
}
