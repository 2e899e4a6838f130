package main

import (
	"net/http"
	"strings"
	"testing"

	"kinward/store"
)

// invitedBy is what "guardians invite --json" prints.
type invitedBy struct {
	Name, Role, Family, Path, URL string
}

// TestProgramInvite: on a node with two families the second one's owner comes into
// the console by a link of the command line, and sees their own family alone.
func TestProgramInvite(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	eva.addLea()
	h.must("families", "add", "Berger")
	h.must("profiles", "add", "Max", "C", "--family", "Berger")

	for _, tt := range []struct {
		name, says string
		args       []string
	}{
		{"who is not named yet", "--role", []string{"Mia", "--family", "Berger"}},
		{"a role that is none", "captain", []string{"Mia", "--family", "Berger", "--role", "captain"}},
		{"a family that is none", "Bergen", []string{"Mia", "--family", "Bergen", "--role", "owner"}},
		{"who signs in already", "can sign in already", []string{"Eva"}},
		{"with another role", "is owner already", []string{"Eva", "--role", "viewer"}},
	} {
		if out, errs, code := h.run(append([]string{"guardians", "invite"}, tt.args...)...); code == 0 || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: exit code %d\n%s%s", tt.name, code, out, errs)
		}
	}
	if out := h.must("guardians", "--family", "Berger"); !strings.Contains(out, "Nobody is named yet") {
		t.Errorf("a refused invitation named somebody:\n%s", out)
	}

	var first, mia invitedBy
	h.into(&first, "guardians", "invite", "Mia", "--family", "Berger", "--role", "viewer", "--why", "moved in")
	if first.Role != "owner" || first.Family != "Berger" || first.URL != eva.base+first.Path {
		t.Errorf("the first guardian of a family is invited as %+v", first)
	}
	text := h.must("guardians", "invite", "Mia", "--family", "Berger")
	if !strings.Contains(text, "works once, until") || !strings.Contains(text, eva.base+"/join/") || !strings.Contains(text, "It opens on this machine alone.") {
		t.Errorf("invite prints\n%s", text)
	}
	visitor := newVisitor(t, eva.base)
	visitor.get(first.Path, http.StatusGone) // the second link took its place
	if out := h.must("guardians", "--family", "Berger"); !strings.Contains(out, "invited; the link holds until") {
		t.Errorf("guardians prints\n%s", out)
	}
	h.must("guardians", "revoke", "Mia", "--family", "Berger")
	visitor.get(strings.TrimSpace(text[strings.Index(text, "/join/"):][:strings.Index(text[strings.Index(text, "/join/"):], "\n")]), http.StatusGone)
	if _, errs, code := h.run("guardians", "revoke", "Mia", "--family", "Berger"); code != exitNothing || !strings.Contains(errs, "no invitation of Mia waits") {
		t.Errorf("revoking again: exit code %d, %s", code, errs)
	}

	h.into(&mia, "guardians", "invite", "Mia", "--family", "Berger")
	if got := plainText(visitor.get(mia.Path, http.StatusOK)); !strings.Contains(got, "family Berger") || strings.Contains(got, "command line") {
		t.Errorf("the link shows\n%s", got)
	}
	visitor.post(mia.Path, http.StatusOK, "name", "mia", "password", goodPassword, "again", goodPassword)
	visitor.get(mia.Path, http.StatusGone)
	for path, own := range map[string]string{"/": "Max", "/children": "Max", "/family": "Mia", "/history": "moved in"} {
		got := plainText(visitor.get(path, http.StatusOK))
		if !strings.Contains(got, own) {
			t.Errorf("%s does not show the own %q:\n%s", path, own, got)
		}
		for _, theirs := range []string{"Lea", "Eva"} {
			if strings.Contains(got, theirs) {
				t.Errorf("%s shows the other family's %q:\n%s", path, theirs, got)
			}
		}
	}
	var changes struct{ Changes []store.Change }
	h.into(&changes, "changes", "--family", "Berger")
	for _, c := range changes.Changes {
		if c.Who != "command line" {
			t.Errorf("%q is recorded as by %q", c.What, c.Who)
		}
	}
	if c := changes.Changes[0]; c.What != "invited Mia to sign in" {
		t.Errorf("the newest change: %+v", c)
	}
	if got := plainText(visitor.get("/account/door", http.StatusOK)); !strings.Contains(got, "command line") || !strings.Contains(got, "took an invitation back") {
		t.Errorf("the door tells of no invitation:\n%s", got)
	}
	if out := h.must("guardians", "--family", "Berger"); !strings.Contains(out, "can sign in") {
		t.Errorf("guardians prints\n%s", out)
	}
}
