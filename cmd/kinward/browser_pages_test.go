package main

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/miekg/dns"
)

// signedIn opens a window in which a home's owner is signed in.
func (h *home) signedIn(v *visitor) *chrome {
	h.t.Helper()
	b := openChrome(h.t, v.base)
	b.take(v)
	return b
}

// take gives the window the cookies of a visitor.
func (b *chrome) take(v *visitor) {
	b.t.Helper()
	for _, c := range v.client.Jar.Cookies(mustURL(b.t, v.base)) {
		b.cookie(c.Name, c.Value)
	}
}

// mostPages bounds a walk: more kinds of pages than this mean that paths are not
// told apart as they should be.
const mostPages = 80

// walk opens each page of the console that a visitor comes to by links, from the
// first ones on, each pattern of them once, and has visit look at it. It returns
// their paths.
func (b *chrome) walk(visit func(path string), first ...string) []string {
	b.t.Helper()
	var paths []string
	seen := map[string]bool{}
	for queue := first; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		kind := pathNumber.ReplaceAllString(strings.SplitN(path, "?", 2)[0], "N")
		if seen[kind] {
			continue
		}
		seen[kind] = true
		if len(paths) == mostPages {
			b.t.Fatalf("links lead to more than %d kinds of pages: %s", mostPages, strings.Join(paths, " "))
		}
		b.hasTime(path)
		b.open(path)
		// Null where it is no page but a file or a document of the API.
		links := evaluate[[]string](b, `document.contentType !== "text/html" ? null : [...document.querySelectorAll("a[href]")]
			.filter((a) => a.origin === location.origin && !a.hasAttribute("download")).map((a) => a.pathname + a.search)`)
		if links == nil {
			continue
		}
		paths = append(paths, path)
		queue = append(queue, links...)
		visit(path)
	}
	return paths
}

var pathNumber = regexp.MustCompile(`[0-9a-f]{32}|\d+`)

// hasTime ends the test, and says where it was, before go test's own limit would
// end all tests without a word.
func (b *chrome) hasTime(where string) {
	b.t.Helper()
	if end, ok := b.t.Deadline(); ok && time.Until(end) < 3*patience {
		b.t.Fatalf("no time is left at %s: raise -timeout", where)
	}
}

// TestBrowserLowWindow: in a window lower than the navigation, on a page longer than
// both, each link of it is in view while it has the focus.
func TestBrowserLowWindow(t *testing.T) {
	h := startHome(t, startUpstream(t))
	b := h.signedIn(h.signIn())
	b.as(size{1280, 600}, "light")
	b.open("/children/1/times/bedtime")
	b.tabTo(`!!document.activeElement.closest(".nav")`)
	for evaluate[bool](b, `!!document.activeElement.closest(".nav")`) {
		b.until("what has the focus", `(() => { const r = document.activeElement.getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight; })()`)
		b.press(kb.Tab)
	}
}

// TestBrowserNarrowDevice: how a device is recognised fits into the narrowest phone.
func TestBrowserNarrowDevice(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("devices", "add", "2001:db8:1234:5678:9abc:def0:1234:5678", "--name", "Tablet")
	b := h.signedIn(h.signIn())
	b.as(size{320, 640}, "light")
	b.open("/devices")
	b.click("Tablet")
	b.sees("2001:db8:1234")
	b.fits("a device")
}

// lively gives a home something to show on each page.
func (h *home) lively() {
	h.t.Helper()
	h.must("profiles", "add", "Lea", "C")
	h.must("profiles", "add", "Tom", "A")
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone", "--profile", "Lea")
	h.must("devices", "add", "127.0.0.3", "--name", "Tom's tablet", "--profile", "Tom")
	h.must("schedules", "add", "Lea", "Homework", "block", "games-chat", "Mon-Fri 14:00-16:00")
	for _, from := range []string{"127.0.0.1", "127.0.0.3"} {
		for _, name := range []string{"omegle.com.", "tinder.com.", "allowed.example."} {
			h.asksFrom(from, name)
		}
	}
	h.must("incidents")
}

// asksFrom asks for a name's address as a device with an address of its own.
func (h *home) asksFrom(from, name string) *dns.Msg {
	h.t.Helper()
	c := dns.Client{Timeout: 5 * time.Second, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}}
	m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), h.dns)
	if err != nil {
		h.t.Fatalf("%s asks for %s: %v", from, name, err)
	}
	return m
}

// Each page that a guardian, a guest or a child comes to is accessible, on a phone
// in light and on a desktop in dark, and the other way round for its colours; it
// asks nobody else for anything, and breaks no rule of its own policy.
func TestBrowserPages(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.lively()
	base, link := h.consoleLink()
	looks := func(b *chrome, name string) {
		b.accessible(name)
		b.worded(name)
		b.pressable(name)
	}

	guest := openChrome(t, base)
	guest.expect(`Failed to load resource: the server responded with a status of 4`)
	for name, path := range map[string]string{"sign-in": "/sign-in", "not-found": "/nothing-here", "start": link} {
		guest.open(path)
		looks(guest, name)
	}

	owner := h.signIn()
	_, port, _ := net.SplitHostPort(mustURL(t, base).Host)
	lea := openChrome(t, "http://kinward.home.arpa:"+port)
	lea.expect(`Cross-Origin-Opener-Policy header has been ignored`) // by plain HTTP under a name
	lea.open("/my")
	looks(lea, "child/my")
	lea.open("/ask?name=omegle.com")
	looks(lea, "child/ask")
	lea.fill("What do you need it for?", "Only to see what it is")
	lea.click("Send")
	lea.sees("Your question is on its way")
	looks(lea, "child/asked")

	b := h.signedIn(owner)
	pages := b.walk(func(path string) { looks(b, path) }, "/", "/more")
	t.Logf("%d pages: %s", len(pages), strings.Join(pages, " "))
	if len(pages) < 30 {
		t.Errorf("links lead to %q alone", pages)
	}
	b.open("/")
	b.click("Deutsch")
	b.sees("Heute")
	b.as(phone, "light")
	for _, path := range pages {
		b.hasTime(path)
		b.open(path)
		b.worded(path + " in German")
		b.fits(path + " in German") // German words are longer
		b.pressable(path + " in German")
	}
}

// worded fails where a page shows a text's key, or a template's hole.
func (b *chrome) worded(where string) {
	b.t.Helper()
	r := evaluate[struct {
		Text, Title, Lang string
		Headings, Mains   int
	}](b, `({ Text: document.body.innerText, Title: document.title.trim(), Lang: document.documentElement.lang,
		Headings: document.querySelectorAll("h1").length, Mains: document.querySelectorAll("main").length })`)
	if m := textKey.FindString(r.Title + "\n" + r.Text); m != "" {
		b.t.Errorf("%s shows %s", where, m)
	}
	if r.Title == "" || r.Lang == "" || r.Headings != 1 || r.Mains != 1 {
		b.t.Errorf("%s has title %q, language %q, %d headings of the first level and %d main parts", where, r.Title, r.Lang, r.Headings, r.Mains)
	}
}

var textKey = regexp.MustCompile(`\[[a-z][a-z0-9-]*(\.[a-z0-9-]+)+\]|<no value>|%!|\{kinward\}|\{\{`)

// pressable fails where something to press is too low for a finger: links within a
// text and the half hours of a week, of which many are painted at once, aside.
func (b *chrome) pressable(where string) {
	b.t.Helper()
	low := evaluate[[]string](b, `[...document.querySelectorAll("button, .button, summary, select, textarea, input:not([type=hidden], [type=checkbox], [type=radio]), label:has(input), .nav a, .tabs a, .list > li > a:only-child")]
		.filter((e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().height < 43.9).map((e) => e.getBoundingClientRect().height + " px: " + e.outerHTML.slice(0, 120))`)
	if len(low) > 0 {
		b.t.Errorf("%s: to press, but not 44 px high:\n%s", where, strings.Join(low, "\n"))
	}
}
