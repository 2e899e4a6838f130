package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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

// pagesOf returns the paths of all pages of the console that a visitor comes to by
// links, from the first one on, each pattern of them once.
func (b *chrome) pagesOf(first ...string) []string {
	b.t.Helper()
	number := regexp.MustCompile(`[0-9a-f]{32}|\d+`)
	var paths []string
	seen := map[string]bool{}
	for queue := first; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		kind := number.ReplaceAllString(strings.SplitN(path, "?", 2)[0], "N")
		if seen[kind] {
			continue
		}
		seen[kind] = true
		b.open(path)
		if !evaluate[bool](b, `document.contentType === "text/html"`) {
			continue
		}
		paths = append(paths, path)
		queue = append(queue, evaluate[[]string](b, `[...document.querySelectorAll("a[href]")].filter((a) => a.origin === location.origin && !a.hasAttribute("download"))
			.map((a) => a.pathname + a.search)`)...)
	}
	return paths
}

// lively gives a home something to show on each page.
func (h *home) lively() {
	h.t.Helper()
	h.must("profiles", "add", "Lea", "C")
	h.must("profiles", "add", "Tom", "A")
	h.must("devices", "add", "127.0.0.2", "--name", "Lea's phone", "--profile", "Lea")
	h.must("devices", "add", "127.0.0.3", "--name", "Tom's tablet", "--profile", "Tom")
	h.must("schedules", "add", "Lea", "Homework", "block", "games-chat", "Mon-Fri 14:00-16:00")
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
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

// Each page that a guardian comes to is accessible on phone and desktop, in light
// and dark, asks nobody else for anything, and breaks no rule of its own policy.
func TestBrowserPages(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.lively()
	owner := h.signIn()
	_, link := h.consoleLink()
	guest := openChrome(t, owner.base)
	guest.expect(`Failed to load resource: the server responded with a status of 4`)
	for _, path := range []string{"/sign-in", "/nothing-here", link} {
		guest.open(path)
		guest.accessible("as a guest, " + path)
	}
	b := h.signedIn(owner)
	pages := b.pagesOf("/", "/more")
	if len(pages) < 5 {
		t.Errorf("links lead to %q alone", pages)
	}
	t.Logf("%d pages: %s", len(pages), strings.Join(pages, " "))
	for _, path := range pages {
		b.open(path)
		b.accessible(path)
		b.worded(path)
	}
	b.open("/")
	b.click("Deutsch")
	b.sees("Heute")
	for _, path := range pages {
		b.open(path)
		b.worded(path + " in German")
		b.fits(path + " in German") // German words are longer
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		b.open("/")
		b.click("English")
		for _, path := range pages {
			b.open(path)
			b.pictures(dir, path)
		}
	}
}

// worded fails where a page shows a text's key, or a template's hole.
func (b *chrome) worded(where string) {
	b.t.Helper()
	text := evaluate[string](b, `document.title + "\n" + document.body.innerText`)
	if m := regexp.MustCompile(`\[[a-z][a-z0-9-]*(\.[a-z0-9-]+)+\]|<no value>|%!|\{kinward\}|\{\{`).FindString(text); m != "" {
		b.t.Errorf("%s shows %s", where, m)
	}
	for _, what := range []string{`document.title.trim()`, `document.documentElement.lang`, `document.querySelectorAll("h1").length === 1 ? "one" : ""`, `document.querySelector("main") ? "main" : ""`} {
		if evaluate[string](b, what) == "" {
			b.t.Errorf("%s has no %s", where, what)
		}
	}
}

// pictures keeps what a page looks like in each size and scheme.
func (b *chrome) pictures(dir, path string) {
	b.t.Helper()
	name := strings.Trim(regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.SplitN(path, "?", 2)[0], "-"), "-")
	if name == "" {
		name = "today"
	}
	for what, s := range map[string]size{"phone": phone, "desktop": desktop} {
		for _, scheme := range []string{"light", "dark"} {
			if err := os.WriteFile(filepath.Join(dir, name+"-"+what+"-"+scheme+".png"), b.picture(s, scheme, 4000), 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
