package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// hidden returns the value of a hidden field of a page.
func hidden(t *testing.T, page, name string) string {
	t.Helper()
	m := regexp.MustCompile(`<input type="hidden" name="` + name + `" value="([^"]*)">`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("there is no hidden %q in\n%s", name, page)
	}
	return m[1]
}

// TestConsoleMeanwhile: of two guardians who have the same week open, the second to
// save overwrites nothing unseen: they are told who changed it, see what is there by
// now, keep what they entered, and may save it then.
func TestConsoleMeanwhile(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	lea := eva.addLea()
	karl := eva.joins("Karl", "guardian")
	h.must("schedules", "add", "Lea", "Bedtime", "block", "everything", "Sun-Thu 20:30-06:30")
	at := lea + regexp.MustCompile(`/times/\d+`).FindString(eva.get(lea+"/times", http.StatusOK))
	form := func(version, from, to string) []string {
		return []string{
			"do", "save", "version", version, "name", "Bedtime", "effect", "block", "target", "everything", "holidays", "usual",
			"row", "0", "days0", "1", "days0", "2", "from0", from, "to0", to,
		}
	}
	opened := hidden(t, eva.get(at, http.StatusOK), "version")
	holds := func(when, windows string) {
		t.Helper()
		if out := h.must("schedules"); !strings.Contains(out, windows) {
			t.Errorf("%s: not %s\n%s", when, windows, out)
		}
	}

	// What else is changed is in nobody's way.
	h.must("grants", "add", "roblox", "--profile", "Lea", "--for", "15m")
	h.must("schedules", "except", "Lea", "Bedtime", "2026-12-24")
	h.must("schedules", "off", "Lea", "Bedtime")
	karl.post(at, http.StatusOK, form(hidden(t, karl.get(at, http.StatusOK), "version"), "21:15", "06:45")...)
	holds("after Karl saved", "Mon,Tue 21:15-06:45")

	page := eva.post(at, http.StatusConflict, form(opened, "22:00", "07:00")...)
	wantAll(t, "what Eva is told", page, "Karl changed this schedule while", "What is there now", "21:15", `value="22:00"`, `value="07:00"`, `href="`+at+`"`)
	holds("while Eva looks", "Mon,Tue 21:15-06:45")

	// A mistake does not make what is old new.
	broken := form(opened, "22:00", "")
	if got := hidden(t, eva.post(at, http.StatusUnprocessableEntity, broken...), "version"); got != opened {
		t.Errorf("after a mistake the form is of version %q, want %q", got, opened)
	}
	eva.post(at, http.StatusOK, form(hidden(t, page, "version"), "22:00", "07:00")...)
	holds("after Eva saved again", "Mon,Tue 22:00-07:00")
	if out := h.must("schedules"); !strings.Contains(out, "off") {
		t.Errorf("what was switched off came back:\n%s", out)
	}

	// Removed meanwhile: what was entered makes a new one.
	karl.post(at, http.StatusOK, "do", "remove")
	gone := eva.post(at, http.StatusConflict, form(hidden(t, page, "version"), "22:30", "07:00")...)
	wantAll(t, "what Eva is told", gone, "Karl removed this schedule while", `value="22:30"`, `action="`+lea+`/times/new"`)
	eva.post(lea+"/times/new", http.StatusOK, form("", "22:30", "07:00")...)
	holds("after Eva made it again", "Mon,Tue 22:30-07:00")
	eva.get(at, http.StatusNotFound)
}
