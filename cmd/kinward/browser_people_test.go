package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// joins has the owner invite somebody, who follows the link and makes an account;
// it returns that person's browser.
func (v *visitor) joins(called, role string) *visitor {
	v.t.Helper()
	v.post("/family/guardians", http.StatusOK, "name", called, "role", role)
	page := v.post("/family/guardians/invite", http.StatusOK, "name", called)
	link := regexp.MustCompile(`/join/[^"<\s]+`).FindString(page)
	if link == "" {
		v.t.Fatalf("the invitation has no link:\n%s", page)
	}
	who := newVisitor(v.t, v.base)
	who.post(link, http.StatusOK, "name", strings.ToLower(called), "password", goodPassword, "again", goodPassword)
	return who
}

// Where a family wants two guardians for what weakens protection, the first one's
// change stays without effect until the second one agrees, and the first cannot.
func TestBrowserSecondGuardian(t *testing.T) {
	h := startHome(t, startUpstream(t))
	owner := h.signIn()
	lea := owner.addLea()
	h.must("devices", "add", "127.0.0.1", "--name", "Phone", "--profile", "Lea")
	owner.post(lea+"/rules", http.StatusOK, "name", "allowed.example", "action", "deny", "match", "suffix", "for", "")
	second := owner.joins("Karl", "guardian")
	h.must("families", "loosening", "--second")
	h.closes("by the rule", "allowed.example")

	eva := h.signedIn(owner)
	eva.open(lea + "/rules")
	eva.click("Remove")
	eva.sees("Your change waits")
	eva.click("See what waits")
	eva.sees("Another guardian has to agree", "Take it back")
	if evaluate[bool](eva, `!!document.querySelector("form[action$='/approve']")`) {
		t.Error("who wants a change is asked to agree to it")
	}
	wait := evaluate[string](eva, `new URL(document.querySelector("form[action$='/reject']").action).pathname.replace(/reject$/, "approve")`)
	owner.post(wait, http.StatusUnprocessableEntity)
	h.closes("while it waits", "allowed.example")

	karl := h.signedIn(second)
	karl.open("/history/waiting")
	karl.sees("Eva wants a change")
	karl.accessible("a change that waits")
	karl.click("Agree")
	karl.sees("Nothing waits")
	h.opens("after Karl agreed", "allowed.example")
	karl.open("/history")
	karl.sees("Eva (Karl agreed)")
}

// A viewer sees what happened, is offered nothing that changes it, and changes
// nothing by forms of their own making either.
func TestBrowserViewer(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.lively()
	owner := h.signIn()
	h.asksFrom("127.0.0.2", "omegle.com.")
	viewer := owner.joins("Oma", "viewer")
	before := h.must("families", "export")

	oma := h.signedIn(viewer)
	oma.expect(`favicon\.ico`) // for what is no page
	oma.open("/")
	oma.sees("Lea", "Omegle")
	// What is a viewer's own: the language, the account, who tells them what.
	own := regexp.MustCompile(`^/(sign-out|language|confirm|account|alerts|programs)(/|$)`)
	pages := oma.walk(func(path string) {
		for _, action := range evaluate[[]string](oma, `[...document.querySelectorAll("form")].filter((f) => f.method === "post").map((f) => new URL(f.action).pathname)`) {
			if !own.MatchString(action) {
				t.Errorf("%s offers a viewer the form %s", path, action)
			}
		}
	}, "/", "/more")
	if !slices.ContainsFunc(pages, regexp.MustCompile(`^/children/\d+$`).MatchString) || !slices.ContainsFunc(pages, regexp.MustCompile(`^/incidents/\w+$`).MatchString) {
		t.Errorf("a viewer comes to %q only", pages)
	}
	for _, path := range pages {
		if !own.MatchString(path) && path != "/" && !strings.Contains(path, "?") && regexp.MustCompile(`^/(children|devices|holidays|lists)(/|$)`).MatchString(path) && !strings.HasSuffix(path, "/times") {
			viewer.post(path, http.StatusForbidden, "do", "pause", "value", "30m", "name", "Nobody", "preset", "A")
		}
	}
	viewer.post("/family/name", http.StatusForbidden, "name", "Elsewhere")
	viewer.post("/history/1/undo", http.StatusForbidden)
	if after := h.must("families", "export"); after != before {
		t.Errorf("a viewer changed the family from\n%s\nto\n%s", before, after)
	}
}

// A guardian of one family, who knows the addresses of another family's pages,
// finds nothing there, and nothing of that family on any page.
func TestBrowserOtherFamily(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.lively()
	owner := h.signIn()
	h.must("families", "add", "Berg")
	h.must("guardians", "add", "Ida", "--role", "owner", "--family", "Berg")
	h.must("profiles", "add", "Max", "C", "--family", "Berg")
	cfg := defaultConfig()
	cfg.Data = h.data
	invited, err := opGuardianInvite.call(t.Context(), &cfg, change[inviteRequest]{about{Family: "Berg"}, inviteRequest{Name: "Ida"}}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	ida := newVisitor(t, owner.base)
	ida.post(invited.Path, http.StatusOK, "name", "ida", "password", goodPassword, "again", goodPassword)

	eva := h.signedIn(owner)
	eva.expect(`favicon\.ico`)
	pages := eva.walk(func(string) {}, "/", "/more")
	b := h.signedIn(ida)
	b.expect(`status of 404`)
	stranger := func(path string) {
		if found := regexp.MustCompile(`\b(Lea|Tom's tablet|Eva)\b`).FindString(b.shown()); found != "" {
			t.Errorf("%s shows the other family %q:\n%s", path, found, b.shown())
		}
	}
	b.walk(stranger, "/", "/more")
	tried := 0
	for _, path := range pages {
		// Children and devices are numbered in each family from one, so there the same
		// address leads to one's own; an incident's number is nobody else's.
		if regexp.MustCompile(`^/(children|devices)/\d+`).MatchString(path) {
			b.open(path)
			stranger(path)
		}
		if regexp.MustCompile(`^/incidents/[0-9a-f]{32}`).MatchString(path) {
			tried++
			b.open(path)
			b.sees("There is no such page")
			stranger(path)
			ida.get(path, http.StatusNotFound)
			ida.post(path+"/allow", http.StatusNotFound, "for", "15")
		}
	}
	if tried == 0 {
		t.Errorf("none of the home's incidents was tried: %q", pages)
	}
	b.open("/children")
	b.sees("Max")
}
