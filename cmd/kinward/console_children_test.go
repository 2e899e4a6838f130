package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// addLea adds a child with the form of the page, and returns the path of her
// pages.
func (b *visitor) addLea() string {
	b.t.Helper()
	wantAll(b.t, "a new child", b.post("/children", http.StatusOK, "name", "Lea", "preset", "D"), "Lea", "13–15 years", "Set up a device")
	m := regexp.MustCompile(`href="(/children/\d+)">Lea<`).FindStringSubmatch(b.get("/children", http.StatusOK))
	if m == nil {
		b.t.Fatal("the list of children does not lead to Lea")
	}
	return m[1]
}

// TestConsoleChildren: from a name and an age to a child's phone that is filtered
// as the pages say, by the pages alone.
func TestConsoleChildren(t *testing.T) {
	h := startHome(t, startUpstream(t))
	b := h.signIn()
	lea := b.addLea()
	h.must("devices", "add", "127.0.0.1", "--name", "Phone", "--profile", "Lea")
	h.opens("at first", "allowed.example")
	post := func(path string, pairs ...string) string {
		t.Helper()
		return b.post(lea+path, http.StatusOK, pairs...)
	}

	// Pause, and a grant meanwhile.
	wantAll(t, "a pause", post("", "do", "pause", "value", "30m"), "Changed", "Paused profile Lea until ", "within a second", "End the pause")
	h.closes("in a pause", "allowed.example")
	wantAll(t, "a grant", post("", "do", "grant", "what", "everything", "name", "allowed.example", "for", "15m", "why", "film"), "This weakens protection", "allowed.example", "by Eva", "film")
	h.opens("with a grant", "allowed.example")
	post("", "do", "resume")
	h.opens("after the pause", "later.example")

	// Categories, and services with what is known of them.
	wantAll(t, "categories", b.get(lea+"/categories", http.StatusOK), "Chat with strangers", "Made for adults who want to meet in person", "Why the age has it so")
	h.closes("as the age says", "omegle.com")
	wantAll(t, "an open category", post("/categories", "thing", "anonymous-chat", "choice", "allow"), "This weakens protection", "Your choice")
	post("/categories", "thing", "known-risk", "choice", "allow")
	h.opens("as was chosen", "omegle.com")
	found := b.get(lea+"/services?"+url.Values{"q": {"omegle"}}.Encode(), http.StatusOK)
	wantAll(t, "services", found, "Omegle", "Minimum age", "Blocking", "not verified", "Open, and nothing is kept")
	wantAll(t, "a closed service", post("/services?q=omegle", "thing", "omegle", "choice", "count"), "Closed, and only counted", `value="omegle"`)
	h.closes("by the service", "omegle.com")
	if got := b.get(lea+"/services", http.StatusOK); !regexp.MustCompile(`1 to 30 of 5\d\d`).MatchString(got) {
		t.Errorf("all services are\n%s", got)
	}
	wantAll(t, "no service", b.get(lea+"/services?q=omeglo", http.StatusOK), "Nothing fits", "omegle")

	// A rule, what is wrong with one, and what one may do beyond what is meant.
	wantAll(t, "a rule", post("/rules", "name", "https://allowed.example/page", "action", "deny", "match", "suffix", "for", "", "why", "homework"), "allowed.example", "The name and all below it")
	post("", "do", "revoke", "id", grantID(h))
	h.closes("by the rule", "allowed.example")
	wantAll(t, "a rule for an address", b.post(lea+"/rules", http.StatusUnprocessableEntity, "name", "192.0.2.1", "action", "deny", "match", "suffix", "for", ""), `value="192.0.2.1"`, "is an address")
	wantAll(t, "a rule for a help line", b.post(lea+"/rules", http.StatusUnprocessableEntity, "name", "childline.org.uk", "action", "deny", "match", "suffix", "for", ""), "help line")
	wantAll(t, "a wide rule", post("/rules", "name", "co.uk", "action", "deny", "match", "suffix", "for", ""), "Be aware that", "many owners")

	// Search engines, what is kept, guests, bypass, age, name.
	wantAll(t, "a search engine", post("/search", "thing", "youtube", "choice", "moderate"), "Moderate mode", "Your choice")
	wantAll(t, "what is kept", post("/kept", "thing", "dating", "choice", "none"), "This weakens protection")
	wantAll(t, "guests", post("/kept", "do", "guests", "value", "on"), "for guests")
	post("/kept", "do", "guests", "value", "off")
	wantAll(t, "bypass", post("", "do", "bypass", "value", "off"), "This weakens protection")
	wantAll(t, "another age", post("", "do", "preset", "value", "C"), "11–12 years")
	wantAll(t, "a name that is taken", b.post(lea, http.StatusUnprocessableEntity, "do", "rename", "value", "everyone"), "already", `value="everyone"`)
	wantAll(t, "another name", post("", "do", "rename", "value", "Mia"), "Mia")
	wantAll(t, "why", b.get("/explain?"+url.Values{"name": {"allowed.example"}, "who": {"profile:Mia"}}.Encode(), http.StatusOK), "is blocked", "own rules", "Make a rule for allowed.example")
	if got := b.get("/explain?name=omegle.com&who="+url.QueryEscape("profile:Mia"), http.StatusOK); strings.Contains(got, "kinward ") || !strings.Contains(got, "/services?q=Omegle") {
		t.Errorf("the explanation speaks of commands, or leads nowhere:\n%s", got)
	}
	wantAll(t, "a child whose device is left", b.post(lea, http.StatusConflict, "do", "remove"), "Phone")

	// Times.
	wantAll(t, "times", post("/times/bedtime", "do", "save", "name", "Night", "effect", "block", "target", "everything", "holidays", "usual",
		"row", "0", "days0", "0", "days0", "1", "days0", "2", "days0", "3", "days0", "4", "days0", "5", "days0", "6", "from0", "00:00", "to0", "00:00"), "Night", "Every day, 00:00 to 24:00", `class="week"`)
	h.closes("at all times", "later.example")
	times := regexp.MustCompile(`/times/\d+`).FindString(b.get(lea+"/times", http.StatusOK))
	wantAll(t, "a time for an app that is none", b.post(lea+times, http.StatusUnprocessableEntity, "do", "save", "name", "Night", "effect", "block", "service", "Tikki Takka",
		"row", "0", "days0", "1", "from0", "01:00", "to0", "02:00", "holidays", "usual"), "Tikki Takka", `aria-describedby="f-service-wrong"`)
	wantAll(t, "off", post(times, "do", "off"), "Switched off")
	h.opens("with times off", "later.example")
	wantAll(t, "a day", post(times, "do", "except", "day", "2026-12-31", "day-from", "23:00", "day-to", "08:00"), "2026-12-31", "23:00 to 08:00 on the next day")
	wantAll(t, "holidays", b.post("/holidays", http.StatusOK, "name", "Easter", "first", "2027-03-26", "last", "2027-04-05"), "Easter")
	wantAll(t, "holidays twice", b.post("/holidays", http.StatusConflict, "name", "Easter", "first", "2027-03-27", "last", ""), `value="2027-03-27"`, `class="wrong"`)
	wantAll(t, "lists", b.get("/lists", http.StatusOK), "catalogue", "It is always in force")

	b.get("/children/999", http.StatusNotFound)
	newVisitor(t, b.base).post(lea, http.StatusUnauthorized, "do", "resume")
}

// grantID is the number of the home's one grant.
func grantID(h *home) string {
	h.t.Helper()
	m := regexp.MustCompile(`(?m)^(\d+)\s`).FindStringSubmatch(h.must("grants"))
	if m == nil {
		h.t.Fatal("there is no grant")
	}
	return m[1]
}

// TestBrowserSchedule: a week is edited with keys alone, with the mouse and with
// a finger, and each says what it did; the form below says the same.
func TestBrowserSchedule(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	lea := eva.addLea()
	b := h.signedIn(eva)
	b.open(lea + "/times")
	b.click("Add a bedtime")
	b.sees("Paint with a finger")
	windows := func() string {
		t.Helper()
		return evaluate[string](b, `[...document.querySelectorAll("[data-window]")].map((w) => [...w.querySelectorAll("input:checked")].map((i) => i.value).join("") + " " + [...w.querySelectorAll("input[type=time]")].map((i) => i.value).join("-")).join("; ")`)
	}
	wants := func(when, want string) {
		t.Helper()
		if got := windows(); got != want {
			t.Errorf("%s: the form has %q, want %q", when, got, want)
		}
	}
	wants("at first", "12340 20:30-06:30; 56 22:00-08:00;  -;  -")

	// Keys. The focus comes to the grid with the tabulator, and to half an hour with
	// the arrows.
	evaluate[bool](b, `(document.querySelector("[name=service]").focus(), true)`)
	b.press(kb.Tab)
	focus := func() string {
		t.Helper()
		return evaluate[string](b, `document.activeElement.getAttribute("aria-label") ?? document.activeElement.outerHTML`)
	}
	if got := focus(); got != "Monday, 00:00 to 00:30: closed" {
		t.Fatalf("the focus is at %q", got)
	}
	b.press(slices.Repeat([]string{kb.PageDown}, 5)...)
	b.press(kb.ArrowRight)
	if got := focus(); got != "Tuesday, 20:00 to 20:30: not closed" {
		t.Fatalf("the focus is at %q", got)
	}
	b.press(" ")
	b.until("what the space bar did", `document.querySelector("[aria-live]").textContent === "Tuesday, 20:00 to 20:30: now closed"`)
	wants("after the space bar", "1340 20:30-06:30; 2 20:00-06:30; 56 22:00-08:00;  -")
	for range 2 {
		b.do(chromedp.KeyEvent(kb.ArrowUp, chromedp.KeyModifiers(kb.ModifierShift)))
	}
	b.do(chromedp.KeyEvent(kb.ArrowRight, chromedp.KeyModifiers(kb.ModifierShift)))
	b.until("what shift with arrows did", `document.querySelector("[aria-live]").textContent === "Tuesday – Wednesday, 19:00 to 20:30: now closed"`)
	wants("after shift with arrows", "140 20:30-06:30; 23 19:00-06:30; 56 22:00-08:00;  -")
	b.press(kb.Enter)
	wants("after enter", "140 20:30-06:30; 2 19:00-06:30; 3 19:30-06:30; 56 22:00-08:00;  -")

	// What the mouse drags over, from Saturday 12:00 to Sunday 13:30.
	// scroll brings half an hour into the middle of the window, at tells where it is.
	scroll := func(cell string) {
		t.Helper()
		b.until("the cell "+cell, `(() => { const e = document.querySelector('td[aria-label^="`+cell+`"]'); e?.scrollIntoView({ block: "center" }); return e; })()`)
		evaluate[bool](b, `new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(() => shown(true))))`)
	}
	at := func(cell string) (x, y float64) {
		t.Helper()
		r := evaluate[[]float64](b, `(() => { const r = document.querySelector('td[aria-label^="`+cell+`"]').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`)
		return r[0], r[1]
	}
	scroll("Saturday, 12:00")
	x1, y1 := at("Saturday, 12:00")
	x2, y2 := at("Sunday, 13:00")
	mouse := func(kind input.DispatchMouseEventType, x, y float64, says string) {
		t.Helper()
		b.do(chromedp.MouseEvent(kind, x, y, chromedp.Button("left"), chromedp.ClickCount(1)))
		b.until("what the mouse did: "+says, `document.querySelector("[aria-live]").textContent === "`+says+`: now closed"`)
	}
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x1, y1))
	mouse(input.DispatchMouseEventTypeMousePressed, x1, y1, "Saturday, 12:00 to 12:30")
	mouse(input.DispatchMouseEventTypeMouseMoved, x1, y2, "Saturday, 12:00 to 13:30")
	mouse(input.DispatchMouseEventTypeMouseMoved, x2, y2, "Saturday – Sunday, 12:00 to 13:30")
	mouse(input.DispatchMouseEventTypeMouseReleased, x2, y2, "Saturday – Sunday, 12:00 to 13:30")

	// A finger on a phone.
	b.as(phone, "dark")
	scroll("Friday, 15:00")
	x1, y1 = at("Friday, 15:00")
	touch := func(kind input.DispatchTouchEventType, points ...*input.TouchPoint) {
		t.Helper()
		if _, err := chromedp.Call(b.ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind, TouchPoints: points}); err != nil {
			t.Fatal(err)
		}
	}
	touch(input.DispatchTouchEventTypeTouchStart, &input.TouchPoint{X: x1, Y: y1})
	touch(input.DispatchTouchEventTypeTouchMove, &input.TouchPoint{X: x1, Y: y1 + 15})
	touch(input.DispatchTouchEventTypeTouchMove, &input.TouchPoint{X: x1, Y: y1 + 20})
	touch(input.DispatchTouchEventTypeTouchEnd)
	b.until("what the finger did", `document.querySelector("[aria-live]").textContent.startsWith("Friday, 15:00 to 16:")`)

	// The form writes into the grid, and what is saved is what it says.
	b.until("the form in the grid", `(() => { const i = document.querySelector("[name=from0]"); i.value = "20:45"; i.dispatchEvent(new Event("change", { bubbles: true }));
		return document.querySelector('td[aria-label^="Monday, 20:30"]').getAttribute("aria-label").endsWith("partly"); })()`)
	b.click("Save")
	b.sees("Changed", "20:45 to 06:30 on the next day", "12:00 to 13:30")
	wantAll(t, "schedules", h.must("schedules"), "Bedtime", "Sun,Mon,Thu 20:45-06:30", "Wed 19:30-06:30", "Tue 19:00-06:30", "Sat,Sun 12:00-13:30", "Fri 15:00-16:")
}
