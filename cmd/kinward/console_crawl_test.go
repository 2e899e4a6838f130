package main

import (
	"compress/gzip"
	"html"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/console"
)

// fetched is a page as it came over the wire.
type fetched struct {
	path    string
	pattern string // of the page that it is
	status  int
	kind    string
	wire    int // bytes of the answer, its head included
	text    string
	took    time.Duration
}

// fetch gets one address as a browser does that takes compressed answers. It
// follows nowhere.
func (b *visitor) fetch(path string) fetched {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	must(b.t, err)
	q.Header.Set("Accept-Encoding", "gzip")
	q.Header.Set("Sec-Fetch-Site", "same-origin")
	client := *b.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	began := time.Now()
	r, err := client.Do(q)
	must(b.t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(b.t, err)
	took := time.Since(began)
	head, err := httputil.DumpResponse(r, false)
	must(b.t, err)
	f := fetched{path: path, status: r.StatusCode, kind: r.Header.Get("Content-Type"), wire: len(head) + len(body), text: string(body), took: took}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(strings.NewReader(f.text))
		must(b.t, err)
		plain, err := io.ReadAll(z)
		must(b.t, err)
		f.text = string(plain)
	}
	return f
}

var (
	linked  = regexp.MustCompile(`<a\b[^>]*\bhref="([^"]*)"`)
	loaded  = regexp.MustCompile(`<(?:link|script|img|source|use|iframe|object|embed|video|audio)\b[^>]*\b(?:href|src)="([^"]*)"`)
	forms   = regexp.MustCompile(`<form\b[^>]*\baction="([^"]*)"`)
	numbers = regexp.MustCompile(`[0-9a-f]{12,}|\d+`)
)

// maxPages ends a crawl that goes round in circles.
const maxPages = 400

// crawl fetches every page that links lead to from the first one, of those that
// only a number tells apart a single one.
func (b *visitor) crawl(from ...string) (pages []fetched) {
	b.t.Helper()
	mux := pagesMux()
	todo, known := from, map[string]bool{}
	for len(todo) > 0 && len(pages) < maxPages {
		path := todo[0]
		todo = todo[1:]
		f := b.fetch(path)
		q, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, path, nil)
		must(b.t, err)
		_, f.pattern = mux.Handler(q)
		pages = append(pages, f)
		for _, m := range linked.FindAllStringSubmatch(f.text, -1) {
			to, err := url.Parse(html.UnescapeString(m[1]))
			if err != nil || to.IsAbs() || to.Host != "" || !strings.HasPrefix(to.Path, "/") || strings.HasPrefix(to.Path, "/api/v1") || to.Query().Has("look") {
				continue
			}
			to.Fragment = ""
			if kind := numbers.ReplaceAllString(to.Path, "N") + "?" + strings.Join(slices.Sorted(keys(to.Query())), "&"); !known[kind] {
				known[kind] = true
				todo = append(todo, to.String())
			}
		}
	}
	if len(pages) == maxPages {
		b.t.Errorf("there is no end to the pages; the last: %s", pages[maxPages-1].path)
	}
	return pages
}

func keys(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range v {
			if !yield(k) {
				return
			}
		}
	}
}

func pagesMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, p := range console.PagePatterns() {
		mux.Handle(p, http.NotFoundHandler())
	}
	return mux
}

// withLife gives a home what its pages have something to show of.
func (h *home) withLife() {
	h.t.Helper()
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "127.0.0.1", "--name", "Tablet", "--profile", "Lea")
	h.must("schedules", "bedtime", "Lea", "20:30-06:30", "--holidays", "saturday")
	h.must("schedules", "off", "Lea", "Bedtime")
	h.must("rules", "deny", "example.net", "--profile", "Lea")
	h.must("grants", "add", "roblox", "--profile", "Lea", "--for", "60m")
	h.asks("omegle.com")
	h.eventually("an incident", func() bool {
		var r incidentsReply
		h.into(&r, "incidents")
		return len(r.Incidents) > 0
	})
}

// notCrawled are pages that no link of a signed-in guardian's leads to.
var notCrawled = map[string]string{
	"GET /live":                       "it never ends",
	"GET /sign-in":                    "whoever is signed in is sent on",
	"GET /sign-in/code":               "half-way through signing in",
	"GET /join/{pass}":                "a link that works once",
	"GET /operate/{pass}":             "a link that works once",
	"GET /reset/{pass}":               "a link that works once",
	"GET /start/{pass}":               "a link that works once",
	"GET /asked/{id}":                 "what a child asked for, shown after it asked",
	"GET /devices/{id}/check/{token}": "a check that somebody began",
	"GET /devices/{id}/profile":       "a file to download",
	"GET /setup/{ticket}":             "a link that is made for one device",
	"GET /setup/{ticket}/profile":     "a file to download, by such a link",
	"GET /account/codes":              "for whoever has a second factor",
	"GET /my":                         "a child's, under the portal's own name",
	"GET /ask":                        "a child's, under the portal's own name",
	"GET /sw.js":                      "what a script loads",
	"GET /icon-512.png":               "of the manifest",
	"GET /favicon.ico":                "what browsers ask for by themselves",
}

const maxWire = 60 << 10 // of a page with all that it loads, over the wire

// TestConsoleWire fetches every page as a browser does that has nothing yet: with
// all that it loads it is small, and all of it is this server's own.
func TestConsoleWire(t *testing.T) {
	h := startHome(t, startUpstream(t))
	guest := newVisitor(t, "")
	base, link := h.consoleLink()
	guest.base = base
	pages := guest.crawl("/sign-in", strings.TrimPrefix(link, base), "/api")
	eva := h.signIn()
	h.withLife()
	pages = append(pages, eva.crawl("/", "/welcome", "/confirm?next=/")...)
	sizes := map[string]int{}
	seen := map[string]bool{}
	heaviest := fetched{}
	for _, p := range pages {
		seen[p.pattern] = true
		if p.status >= 500 || p.status == http.StatusNotFound {
			t.Errorf("%s: %d", p.path, p.status)
		}
		if !strings.HasPrefix(p.kind, "text/html") {
			continue
		}
		total := p.wire
		for _, m := range loaded.FindAllStringSubmatch(p.text, -1) {
			at := html.UnescapeString(m[1])
			if strings.HasPrefix(at, "#") || strings.HasPrefix(at, "data:") {
				continue
			}
			if !strings.HasPrefix(at, "/") || strings.HasPrefix(at, "//") {
				t.Errorf("%s loads %q, which is not this server's", p.path, at)
				continue
			}
			if _, known := sizes[at]; !known {
				f := eva.fetch(at)
				seen["GET "+at] = true
				if f.status != http.StatusOK {
					t.Errorf("%s loads %s: %d", p.path, at, f.status)
				}
				sizes[at] = f.wire
			}
			total += sizes[at]
		}
		for _, m := range forms.FindAllStringSubmatch(p.text, -1) {
			if to := html.UnescapeString(m[1]); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
				t.Errorf("a form of %s goes to %q", p.path, to)
			}
		}
		if strings.Contains(p.text, "style=\"") || strings.Contains(p.text, "<style") {
			t.Errorf("%s styles itself, which its own policy forbids", p.path)
		}
		if total > maxWire {
			t.Errorf("%s: %d bytes over the wire, %d of them its own", p.path, total, p.wire)
		}
		if total > heaviest.wire {
			heaviest = p
			heaviest.wire = total
		}
	}
	t.Logf("%d pages; the heaviest with all that it loads: %s, %d bytes", len(pages), heaviest.path, heaviest.wire)
	for _, p := range console.PagePatterns() {
		if !seen[p] && notCrawled[p] == "" {
			t.Errorf("no link leads to %s", p)
		}
	}
}
