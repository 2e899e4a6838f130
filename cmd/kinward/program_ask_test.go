package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kinward/store"
)

// asksFor has the child's device ask for something on the portal, and returns the
// number of the request.
func (h *home) asksFor(what, message string) int64 {
	h.t.Helper()
	resp, page := h.browse("POST", portalURL+"/ask", url.Values{"name": {what}, "what": {what}, "message": {message}}, "Origin", portalURL)
	id, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Location"), "/asked/"), 10, 64)
	if err != nil {
		h.t.Fatalf("asking for %s: %s to %q\n%s", what, resp.Status, resp.Header.Get("Location"), page)
	}
	return id
}

// refuses runs a command that must not work, with an exit code and words of what it
// says.
func (h *home) refuses(code int, says string, args ...string) {
	h.t.Helper()
	if out, errs, got := h.run(args...); got != code || !strings.Contains(errs, says) {
		h.t.Errorf("kinward %s: exit code %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, says, out, errs)
	}
}

// TestProgramRequests: what a child asks for on its own device is listed and answered
// from the command line, by text and by JSON.
func TestProgramRequests(t *testing.T) {
	h := pageHome(t, "")
	if out := h.must("requests"); out != "Nobody asks for anything.\n" {
		t.Errorf("at first requests prints %q", out)
	}
	h.must("rules", "deny", "allowed.example", "--profile", "Lea")
	h.must("pause", "Lea")
	one, two, three := h.asksFor("omegle.com", "for school"), h.asksFor("allowed.example", ""), h.asksFor("everything", "the film")
	h.must("resume", "Lea")
	wantAll(t, "requests", h.must("requests"), "profile Lea on Phone: Omegle", `says: "for school"`, fmt.Sprintf("requests answer %d 15m|60m|today|always|no", one))

	h.refuses(exitUsage, `"perhaps" is no answer`, "requests", "answer", fmt.Sprint(one), "perhaps")
	h.refuses(exitUsage, "NUMBER", "requests", "answer")
	h.refuses(exitNothing, "request", "requests", "answer", "999", "15m")
	h.refuses(exitUsage, `"some" is not a number`, "requests", "answer", "some", "15m")
	h.refuses(exitUsage, fmt.Sprintf(`"%dx" is not a number`, one), "requests", "answer", fmt.Sprint(one)+"x", "15m")
	h.refuses(exitUsage, "--limit", "requests", "--limit", "0")
	h.refuses(exitUsage, "change the times instead", "requests", "answer", fmt.Sprint(three), "always")

	wantAll(t, "answering", h.must("requests", "answer", fmt.Sprint(one), "60m"), "grant", "grants revoke")
	h.opens("after the answer", "omegle.com")
	wantAll(t, "answering no", h.must("requests", "answer", fmt.Sprint(two), "no", "--why", "after dinner"), "It stays as it is.")
	h.refuses(exitUsage, "answered", "requests", "answer", fmt.Sprint(two), "15m")
	h.refuses(exitUsage, "answered", "requests", "answer", fmt.Sprint(one), "no")

	var r requestsReply
	h.into(&r, "requests", "--limit", "2")
	if len(r.Requests) != 2 || r.Requests[0].ID != three || r.Requests[0].State != "open" || r.Requests[1].State != "refused" || r.Requests[1].Who != "command line" || r.Waiting != 1 {
		t.Errorf("the newest two: %+v", r)
	}
	h.into(&r, "requests", "--open")
	if len(r.Requests) != 1 || r.Requests[0].ID != three || r.Requests[0].Message != "the film" {
		t.Errorf("those that wait: %+v", r)
	}
	wantAll(t, "requests", h.must("requests"), "allowed by command line (60m, until", "refused by command line (no)")
	h.must("families", "add", "Berger")
	if out := h.must("requests", "--family", "Berger"); out != "Nobody asks for anything.\n" {
		t.Errorf("another family's requests: %q", out)
	}
	h.refuses(exitNothing, "request", "requests", "answer", fmt.Sprint(three), "15m", "--family", "Berger")
	var changes struct{ Changes []store.Change }
	h.into(&changes, "changes", "--limit", "1")
	if c := changes.Changes[0]; c.Why != "after dinner" || !strings.Contains(c.What, "said no to request") {
		t.Errorf("the newest change: %+v", c)
	}

	// What was ended early is not told to be open, neither to the child nor to its guardians.
	var granted struct{ Grants []grantView }
	h.into(&granted, "grants")
	h.must("grants", "revoke", fmt.Sprint(granted.Grants[0].ID))
	h.closes("after the grant was revoked", "omegle.com")
	wantAll(t, "requests", h.must("requests"), "over by command line (60m)")
	_, page := h.browse("GET", portalURL+"/asked/"+fmt.Sprint(one), nil)
	wantAll(t, "the child's page", page, "It is over", "was ended before its time")
}

// TestProgramPending: a guardian's change that waits is shown, agreed to and rejected
// from the command line, which may do all.
func TestProgramPending(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	lea := eva.addLea()
	h.must("devices", "add", "127.0.0.1", "--name", "Phone", "--profile", "Lea")
	h.must("rules", "deny", "allowed.example", "--profile", "Lea")
	if out := h.must("changes", "pending"); out != "Nothing waits.\n" {
		t.Errorf("at first changes pending prints %q", out)
	}
	h.must("families", "loosening", "--delay", "24h")
	wants := func(what, part string, form ...string) int64 {
		t.Helper()
		page := eva.post(lea+part, http.StatusOK, form...)
		if !strings.Contains(page, "Your change waits") {
			t.Fatalf("%s does not wait:\n%s", what, page)
		}
		var r pendingReply
		h.into(&r, "changes", "pending", "--limit", "1")
		if len(r.Pending) != 1 || r.Pending[0].State != store.PendingWaits || r.Pending[0].Who != "Eva" || !strings.Contains(r.Pending[0].What, what) || r.Pending[0].Due == nil {
			t.Fatalf("%s waits as %+v", what, r)
		}
		return r.Pending[0].ID
	}
	one := wants("allowed.example", "/rules", "do", "remove", "id", strings.Fields(h.must("rules"))[0])
	wantAll(t, "changes pending", h.must("changes", "pending"), "Eva: ", `profile "Lea": rule `, "allowed.example", "It waits until")
	h.closes("while it waits", "allowed.example")

	h.refuses(exitUsage, "NUMBER", "changes", "approve")
	h.refuses(exitUsage, "some", "changes", "approve", "some")
	h.refuses(exitNothing, "no change 999 waits", "changes", "approve", "999")
	h.refuses(exitNothing, "no change 999 waits", "changes", "reject", "999")
	h.refuses(exitUsage, "--limit", "changes", "pending", "--limit", "0")
	h.must("families", "add", "Berger")
	h.refuses(exitNothing, "waits", "changes", "approve", fmt.Sprint(one), "--family", "Berger")

	wantAll(t, "agreeing", h.must("changes", "approve", fmt.Sprint(one)), "Agreed and done: ", "allowed.example")
	h.opens("after it was agreed to", "allowed.example")
	h.refuses(exitUsage, "does not wait any more", "changes", "approve", fmt.Sprint(one))
	h.refuses(exitUsage, "does not wait any more", "changes", "reject", fmt.Sprint(one))

	two := wants("dating", "/categories", "thing", "dating", "choice", "allow")
	wantAll(t, "rejecting", h.must("changes", "reject", fmt.Sprint(two)), "Rejected: ", "dating")
	h.refuses(exitUsage, "does not wait any more", "changes", "approve", fmt.Sprint(two))
	wantAll(t, "changes pending", h.must("changes", "pending"), "done (command line agreed)", "rejected (command line)")
	var r settledReply
	three := wants("gambling", "/categories", "thing", "gambling", "choice", "allow")
	h.into(&r, "changes", "reject", fmt.Sprint(three))
	if r.Pending.ID != three || r.Pending.State != store.PendingRejected || r.Pending.By != "command line" {
		t.Errorf("rejected by JSON: %+v", r)
	}
	history := h.must("changes")
	if !regexp.MustCompile(`Eva \(command line agreed\)`).MatchString(history) || !strings.Contains(history, "rejected what Eva wanted") {
		t.Errorf("the history:\n%s", history)
	}
}
