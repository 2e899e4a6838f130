//go:build screenshots

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"kinward/journal"
	"kinward/store"
)

// pageName makes of a path the name of its pictures.
func pageName(path string) string {
	path = pathNumber.ReplaceAllString(strings.SplitN(path, "?", 2)[0], "n")
	if name := strings.Trim(regexp.MustCompile(`[^a-z]+`).ReplaceAllString(path, "-"), "-"); name != "" {
		return name
	}
	return "today"
}

// TestScreenshots pictures every page of the console, and those that a child sees,
// into the folder that SCREENSHOTS names: see `make screenshots`. It judges nothing;
// what can be judged without eyes, TestBrowserPages does.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Fatal("SCREENSHOTS names no folder for the pictures")
	}
	must(t, os.MkdirAll(dir, 0o755))
	a := &album{dir: dir}
	for _, part := range []struct {
		name string
		take func()
	}{{"first day", a.firstDay}, {"family", a.family}, {"operator", a.operator}, {"readme", a.readme}} {
		t.Run(part.name, func(t *testing.T) { a.t = t; part.take() })
	}
	a.t = t
	a.index()
	t.Logf("%d pages; %s shows them all", len(a.pages), filepath.Join(dir, "index.html"))
}

// firstDay is a home that begins: the link of the first run, and pages that have
// nothing to show yet.
func (a *album) firstDay() {
	h := startHome(a.t, startUpstream(a.t))
	base, link := h.consoleLink()
	guest := openChrome(a.t, base)
	guest.expect(`status of 4`)
	a.take(guest, "first-sign-in", "/sign-in")
	a.take(guest, "first-start", link)
	a.take(guest, "error-used-link", "/start/nothing")
	owner := h.signIn()
	b := h.signedIn(owner)
	for _, path := range []string{"/welcome", "/", "/children", "/devices", "/requests", "/incidents", "/signals", "/history", "/history/waiting", "/lists", "/holidays", "/alerts", "/programs"} {
		a.take(b, "first-"+pageName(path), path)
	}
}

// operator is who runs a server for other families.
func (a *album) operator() {
	h := startHome(a.t, startUpstream(a.t))
	base, link := h.consoleLink()
	v := newVisitor(a.t, base)
	v.post(strings.TrimPrefix(link, base), http.StatusOK, "for", "others", "name", "otto", "password", goodPassword, "again", goodPassword)
	h.must("families", "add", "Berg")
	h.must("families", "add", "Tal")
	b := h.signedIn(v)
	for _, path := range []string{"/", "/more", "/operator", "/operator/families", "/operator/health"} {
		a.take(b, "provider-"+pageName(path), path)
	}
}

// livedHome is a home that has been used for a while, with its owner.
func (a *album) livedHome() (*home, *visitor) {
	t := a.t
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	config := writeConfig(t, fmt.Sprintf("tls:\n  name: dns.example\n  certificate: %s\n  key: %s\n", cert, key))
	h := startHome(t, startUpstream(t), "--config", config, "--dot", "127.0.0.1:0", "--doh", "127.0.0.1:0", "--block-page", "127.0.0.1:0")
	h.signIn()
	h.lived()
	base, _ := h.consoleLink()
	owner := newVisitor(t, base)
	owner.post("/sign-in", http.StatusOK, "name", "eva", "password", goodPassword)
	return h, owner
}

// readme are the pictures that README.md shows.
func (a *album) readme() {
	h, owner := a.livedHome()
	blocked, lea := h.leasBrowser()
	a.portrait(blocked, "blocked", "/", phone, "light")
	lea.asksForOmegle()
	b := h.signedIn(owner)
	a.portrait(b, "today", "/?span=week", desktop, "light")
	a.portrait(b, "today-phone", "/?span=week", phone, "dark")
	a.portrait(b, "requests", "/requests", phone, "light")
	a.portrait(b, "times", b.childOf("Lea")+"/times", phone, "dark")
}

// childOf is where the pages of a child are.
func (b *chrome) childOf(name string) string {
	b.t.Helper()
	b.open("/children?name=" + name)
	b.sees(name)
	return evaluate[string](b, `location.pathname`)
}

// family is every page of such a home.
func (a *album) family() {
	h, owner := a.livedHome()
	a.children(h)
	b := h.signedIn(owner)
	b.expect(`status of 4`)
	b.walk(func(path string) {
		name := pageName(path)
		a.take(b, name, path)
		a.unfolded(b, name, path)
	}, "/", "/more")
	a.take(b, "today-week", "/?span=week")
	a.take(b, "explain-answer", "/explain?name=omegle.com")
	lea := b.childOf("Lea")
	for _, part := range []string{"", "/times", "/categories", "/rules"} { // the walk came to another child's
		a.take(b, "lea"+strings.ReplaceAll(part, "/", "-"), lea+part)
	}
	a.forms(b)
	a.door(h, owner)
}

// leasBrowser is the browser of a child's phone: as it is led to the page that says
// why something is blocked, and at the portal.
func (h *home) leasBrowser() (blocked, portal *chrome) {
	h.t.Helper()
	const plainHTTP = `Cross-Origin-Opener-Policy header has been ignored|status of 4|favicon`
	_, port, _ := net.SplitHostPort(mustURL(h.t, h.consoleBase()).Host)
	_, blockPort, _ := net.SplitHostPort(regexp.MustCompile(`blocked: http://(\S+)/,`).FindStringSubmatch(h.banner)[1])
	blocked, portal = openChrome(h.t, "http://omegle.com:"+blockPort), openChrome(h.t, "http://kinward.home.arpa:"+port)
	blocked.expect(plainHTTP)
	portal.expect(plainHTTP)
	return blocked, portal
}

// children are the pages of the children's devices.
func (a *album) children(h *home) {
	blocked, lea := h.leasBrowser()
	a.take(blocked, "child-blocked", "/")
	a.take(lea, "child-my", "/my")
	a.take(lea, "child-ask-name", "/ask")
	a.take(lea, "child-ask", "/ask?name=omegle.com")
	a.take(lea, "child-ask-open", "/ask?name=allowed.example")
	a.take(lea, "child-asked", lea.asksForOmegle())
	a.take(lea, "child-not-found", "/asked/nothing")
}

// asksForOmegle asks as a child, and returns the page of the question.
func (b *chrome) asksForOmegle() string {
	b.t.Helper()
	b.open("/ask?name=omegle.com")
	b.fill("What do you need it for?", "My class chats there about the trip")
	b.click("Send")
	b.sees("Your question is on its way")
	return evaluate[string](b, `location.pathname`)
}

// forms are pages that stand behind a form: what was wrong, and what was done.
func (a *album) forms(b *chrome) {
	b.open("/devices")
	b.fill("Name of the device", "Lea's laptop")
	b.fill("Recognised by (may be left empty)", "somewhere")
	b.click("Add")
	b.sees("somewhere")
	b.until("the wrong field, focused", `document.activeElement.getAttribute("aria-invalid") === "true"`)
	a.here(b, "devices-wrong")
	b.open(b.childOf("Lea") + "/rules")
	b.fill("Name", "forum.example.org")
	b.press("\r")
	b.until("what was done", `document.querySelector(".notice")`)
	a.here(b, "rules-done")
	b.open("/devices")
	b.click("Lea's phone")
	b.click("Check it")
	b.sees("Waiting for it")
	a.here(b, "device-check")
	for _, platform := range []string{"Android phone or tablet", "iPhone or iPad"} {
		b.open("/devices")
		b.click("Lea's phone")
		b.click(platform)
		b.until("the steps or a button", `location.pathname.includes("/setup/") && document.querySelector("main ol, main form button")`)
		if evaluate[bool](b, `!document.querySelector("main ol")`) {
			b.click("Make it and show the steps")
			b.until("the steps", `document.querySelector("main ol")`)
		}
		a.here(b, "device-steps-"+pageName(strings.ToLower(platform)))
	}
	b.open("/nothing-here")
	a.here(b, "error-not-found")
}

// here pictures what the window shows, which cannot be opened again, in English.
func (a *album) here(b *chrome, name string) {
	a.t.Helper()
	for _, look := range albumLooks[:4] {
		a.write(name+"-"+look.name, b.picture(look.size, look.scheme, 6000))
	}
	a.pages = append(a.pages, name)
	a.t.Logf("%2d  %s", len(a.pages), name)
}

// door is what stands before the console: signing in, invitations, a second
// factor, and those who may not do something.
func (a *album) door(h *home, owner *visitor) {
	base := h.consoleBase()
	guest := openChrome(a.t, base)
	guest.expect(`status of 4`)
	a.take(guest, "sign-in", "/sign-in")
	a.take(guest, "error-not-found-guest", "/nothing-here")
	guest.open("/sign-in")
	guest.fill("Name or e-mail address", "eva")
	guest.fill("Password", "four wrong words here")
	guest.click("Sign in")
	guest.until("what was wrong", `document.querySelector(".notice.bad")`)
	a.here(guest, "sign-in-wrong")

	owner.post("/family/guardians", http.StatusOK, "name", "Oma", "role", "viewer")
	page := owner.post("/family/guardians/invite", http.StatusOK, "name", "Oma")
	link := regexp.MustCompile(`/join/[^"<\s]+`).FindString(page)
	a.take(guest, "join", link)
	viewer := newVisitor(a.t, base)
	viewer.post(link, http.StatusOK, "name", "oma", "password", goodPassword, "again", goodPassword)
	oma := h.signedIn(viewer)
	oma.expect(`status of 4`)
	a.take(oma, "error-forbidden", "/operator")
	a.take(oma, "viewer-today", "/")

	reset := h.must("console", "reset", "oma")
	a.take(guest, "reset", regexp.MustCompile(`http\S+/reset/\S+`).FindString(reset))

	again := newVisitor(a.t, base) // who signed in a while ago would have to say who they are
	again.post("/sign-in", http.StatusOK, "name", "eva", "password", goodPassword)
	b := h.signedIn(again)
	b.open("/account/factor")
	code, err := totp.GenerateCode(strings.ReplaceAll(evaluate[string](b, `document.querySelector("#secret").textContent.trim()`), " ", ""), time.Now())
	must(a.t, err)
	b.fill("The six digits", code)
	b.press("\r")
	b.until("the codes", `location.pathname === "/account/codes"`)
	a.here(b, "codes")
	a.take(b, "account-codes", "/account/codes")
	guest.open("/sign-in")
	guest.fill("Name or e-mail address", "eva")
	guest.fill("Password", goodPassword)
	guest.click("Sign in")
	guest.until("the code", `location.pathname === "/sign-in/code"`)
	a.take(guest, "sign-in-code", "/sign-in/code")

	for range 25 {
		guess := newVisitor(a.t, base)
		q, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, base+"/sign-in", strings.NewReader("name=nobody&password=four+wrong+words+here"))
		must(a.t, err)
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q.Header.Set("Origin", base)
		r, err := guess.client.Do(q)
		must(a.t, err)
		r.Body.Close()
		if r.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	last := openChrome(a.t, base)
	last.expect(`status of 4`)
	last.open("/sign-in")
	last.fill("Name or e-mail address", "nobody")
	last.fill("Password", goodPassword)
	last.click("Sign in")
	last.until("what was wrong", `document.querySelector(".notice.bad")`)
	a.here(last, "sign-in-throttled")
}

// consoleBase is where the console of a home is.
func (h *home) consoleBase() string {
	base, _ := h.consoleLink()
	return base
}

// lived gives a home children of three ages and what a week of theirs left behind.
func (h *home) lived() {
	h.t.Helper()
	for _, c := range [][3]string{{"Lea", "C", "Lea's phone"}, {"Tom", "A", "Tom's tablet"}, {"Mia", "E", "Mia's laptop"}} {
		h.must("profiles", "add", c[0], c[1])
	}
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone", "--profile", "Lea")
	h.must("devices", "add", "127.0.0.3", "--name", "Tom's tablet", "--profile", "Tom")
	h.must("devices", "add", "127.0.0.5", "--name", "Mia's laptop", "--profile", "Mia")
	h.must("devices", "exempt", "127.0.0.8", "--name", "Mum's laptop")
	h.must("families", "zone", "Europe/London")
	h.must("families", "country", "GB")
	h.must("schedules", "add", "Lea", "Homework", "block", "games-chat", "Mon-Fri 14:00-16:00", "Sat 10:00-11:30")
	h.must("schedules", "bedtime", "Lea", "Sun-Thu 20:30-06:30", "Fri,Sat 22:00-08:00")
	h.must("schedules", "off", "Lea", "Bedtime") // so that what is asked is blocked by its kind at any hour
	h.must("holidays", "add", "Christmas holidays", "2026-12-21", "2027-01-06")
	h.must("rules", "deny", "forum.example.net", "--profile", "Lea", "--why", "quarrels in class")
	h.must("profiles", "choose", "Lea", "roblox", "block")
	h.must("grants", "add", "roblox", "--profile", "Lea", "--for", "60m", "--why", "Mia's birthday")
	h.must("alerts", "add", "email", "eva@example.org", "--guardian", "Eva")
	h.stop(os.Interrupt)

	db, err := store.Open(h.t.Context(), filepath.Join(h.data, store.FileName), store.Options{Who: "test"})
	must(h.t, err)
	f, _, err := db.Family(h.t.Context(), 0)
	must(h.t, err)
	lea, err := f.Profile("Lea")
	must(h.t, err)
	mia, err := f.Profile("Mia")
	must(h.t, err)
	phone, err := f.Device("Lea's phone")
	must(h.t, err)
	now := time.Now()
	var week journal.Batch
	for i, x := range []struct {
		ago                       time.Duration
		service, category, domain string
		tries                     int
	}{
		{22 * time.Hour, "roblox", "games-chat", "roblox.com", 3},
		{20 * time.Hour, "discord", "messaging", "discord.com", 1},
		{5 * time.Hour, "tiktok", "social", "tiktok.com", 4},
		{4 * time.Hour, "tiktok", "social", "tiktok.com", 2},
		{3 * time.Hour, "snapchat", "social", "snapchat.com", 1},
		{50 * time.Hour, "roblox", "games-chat", "roblox.com", 2},
		{75 * time.Hour, "", "gambling", "casino.example", 1},
		{76 * time.Hour, "reddit", "social", "reddit.com", 2},
		{120 * time.Hour, "tiktok", "social", "tiktok.com", 6},
	} {
		at := now.Add(-x.ago).Truncate(time.Millisecond)
		week.Rows = append(week.Rows, journal.Row{
			Family: f.ID, ID: fmt.Sprintf("%012x%020x", at.UnixMilli(), i), Profile: lea.ID, Device: phone.ID, First: at.Add(-time.Duration(x.tries) * time.Minute), Last: at,
			Details: []byte(toJSON(h.t, map[string]any{
				"v": 1, "verdict": "block", "reason": "category", "service": x.service, "category": x.category, "domain": x.domain, "list": "catalogue", "entry": x.domain,
				"revision": 1, "names": []any{map[string]any{"name": "www." + x.domain, "n": x.tries}}, "types": []int{1, 28}, "tries": x.tries, "queries": 2 * x.tries,
			})),
		})
	}
	week.Rows = append(week.Rows, journal.Row{
		Family: f.ID, ID: fmt.Sprintf("%012x%020x", now.Add(-30*time.Hour).UnixMilli(), 99), Profile: mia.ID, First: now.Add(-30 * time.Hour).Truncate(time.Millisecond), Last: now.Add(-30 * time.Hour).Truncate(time.Millisecond),
		Details: []byte(toJSON(h.t, map[string]any{
			"v": 1, "verdict": "block", "reason": "category", "category": "vpn-proxy", "domain": "tunnel.example", "list": "catalogue", "entry": "tunnel.example",
			"revision": 1, "names": []any{map[string]any{"name": "tunnel.example", "n": 1}}, "types": []int{1}, "tries": 1, "queries": 1,
		})),
	})
	must(h.t, db.Write(h.t.Context(), week))
	must(h.t, db.Close())
	h.start()
	for _, name := range []string{"omegle.com.", "tinder.com.", "allowed.example."} {
		h.asksFrom("127.0.0.1", name)
	}
	h.asksFrom("127.0.0.3", "allowed.example.")
	h.asksFrom("127.0.0.5", "allowed.example.")
	h.asksFrom("127.0.0.77", "allowed.example.")
	h.must("incidents")
}
