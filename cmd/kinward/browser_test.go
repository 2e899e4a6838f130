package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdemulation "github.com/chromedp/cdproto/emulation"
	cdlog "github.com/chromedp/cdproto/log"
	cdnetwork "github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	cdruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// These tests walk the console as people do, in Debian's Chromium. One browser
// serves all; each visitor has a profile of their own in it, as in a window of
// its own, without the others' cookies.

// chromium starts the browser when the first test needs it, and stopChromium ends it.
var (
	stopChromium = func() {}
	chromium     = sync.OnceValues(func() (context.Context, error) {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"),
			chromedp.Flag("host-resolver-rules", "MAP kinward.home.arpa 127.0.0.1, MAP omegle.com 127.0.0.1"), // as devices of the home resolve them
			chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,HttpsUpgrades"))
		all, endAll := chromedp.NewExecAllocator(context.Background(), options...)
		first, endFirst := chromedp.NewContext(all, chromedp.WithErrorf(func(string, ...any) {})) // events that it does not know
		stopChromium = func() { endFirst(); endAll() }
		return first, chromedp.Do(first, chromedp.Navigate("about:blank"))
	})
)

// patience bounds how long a page may take to show something, on a busy machine.
const patience = 20 * time.Second

// chrome is a visitor's window.
type chrome struct {
	t    *testing.T
	base string // the console's own URL
	ctx  context.Context
	also []string // further hosts, with their ports, that the visitor goes to

	mu       sync.Mutex
	foreign  []string // requests to others than the console
	wrong    []string // what the browser complained about
	expected *regexp.Regexp
}

// openChrome opens a window of a new visitor. At its end, the test fails if a
// page asked anybody but the console for anything, or the browser complained: of
// a script, of something that the policy of the page refused.
func openChrome(t *testing.T, base string) *chrome {
	t.Helper()
	first, err := chromium()
	if err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return openChromeIn(t, first, base)
}

// openChromeIn is openChrome in a browser other than that of most tests.
func openChromeIn(t *testing.T, first context.Context, base string) *chrome {
	t.Helper()
	b := &chrome{t: t, base: strings.TrimSuffix(base, "/")}
	ctx, err := newWindow(t, first)
	if err != nil {
		t.Fatalf("opening a window of Chromium: %v", err)
	}
	b.ctx = ctx
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.foreign) > 0 {
			t.Errorf("pages asked others than the console: %q", b.foreign)
		}
		if len(b.wrong) > 0 {
			t.Errorf("the browser complained:\n%s", strings.Join(b.wrong, "\n"))
		}
	})
	return b
}

// newWindow opens a window that lives until the test's end. Once, on a busy machine,
// a new window's first command was never answered; why is not known. A window lives
// as long as the context of its first action, so that one cannot have a deadline: a
// window that is not there in time is given up for another.
func newWindow(t *testing.T, first context.Context) (ctx context.Context, err error) {
	for range 3 {
		ctx, cancel := chromedp.NewContext(first, chromedp.WithNewBrowserContext())
		t.Cleanup(cancel)
		late := time.AfterFunc(patience, cancel)
		err = chromedp.Do(ctx, chromedp.Navigate("about:blank"))
		if late.Stop() && err == nil {
			return ctx, nil
		}
		cancel()
	}
	return nil, fmt.Errorf("three times no window within %v: %w", patience, err)
}

func (b *chrome) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(s string) {
		if b.expected == nil || !b.expected.MatchString(s) {
			b.wrong = append(b.wrong, s)
		}
	}
	switch e := event.(type) {
	case *cdnetwork.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if own, _ := url.Parse(b.base); err != nil || u.Scheme != "data" && u.Scheme != "about" && u.Scheme != "blob" && u.Host != own.Host && !slices.Contains(b.also, u.Host) {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	case *cdlog.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			complain(fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *cdruntime.EventExceptionThrown:
		complain(fmt.Sprintf("exception: %s (%s)", e.ExceptionDetails.Text, e.ExceptionDetails.URL))
	}
}

// expect lets the browser complain of what matches, such as the status of a page
// that refuses.
func (b *chrome) expect(pattern string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = regexp.MustCompile(pattern)
}

// do runs actions in the window, again where the page was numbered anew between
// chromedp's look for an element and its use: nothing was done then.
func (b *chrome) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for _, a := range actions {
		err := chromedp.Do(ctx, a)
		for again := 0; again < 5 && err != nil && strings.Contains(err.Error(), "Could not find node with given id"); again++ {
			err = chromedp.Do(ctx, a)
		}
		if err != nil {
			b.t.Fatalf("in the browser: %v\n%s", err, b.shown())
		}
	}
}

// evaluate runs an expression of JavaScript in the page, as its tools would:
// what the policy of a page forbids to the page does not bind them.
func evaluate[T any](b *chrome, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("asking the page %.120s: %v", expression, err)
	}
	return v
}

// open goes to a page of the console.
func (b *chrome) open(path string) {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.base + path
	}
	b.do(chromedp.Navigate(path))
}

// shown is where the window is and what can be read there.
func (b *chrome) shown() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	return s
}

// until waits for the page to fulfil a condition. It survives that another page
// comes meanwhile.
func (b *chrome) until(what, condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!(document.body && (`+condition+`))`))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("the page never shows %s; it shows\n%s", what, b.shown())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sees waits until a text can be read in the page.
func (b *chrome) sees(texts ...string) {
	b.t.Helper()
	for _, s := range texts {
		b.until(fmt.Sprintf("%q", s), `document.body.innerText.includes(`+quoteJS(s)+`)`)
	}
}

// seesNot fails where a text can be read in the page.
func (b *chrome) seesNot(texts ...string) {
	b.t.Helper()
	for _, s := range texts {
		if strings.Contains(b.shown(), s) {
			b.t.Errorf("the page shows %q:\n%s", s, b.shown())
		}
	}
}

func quoteJS(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// finders tell elements by what people read: what a thing is called, or its label.
const finders = `
window.kinwardFind = (text, kinds) => {
  const clean = (s) => (s || "").replace(/\s+/g, " ").trim();
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled;
  const all = [...document.querySelectorAll(kinds)].filter(seen);
  const said = (e) => [clean(e.innerText), clean(e.getAttribute("aria-label")), clean(e.value && e.tagName === "INPUT" && e.type === "submit" ? e.value : "")];
  return all.find((e) => said(e).includes(text)) || all.find((e) => said(e).some((s) => s.startsWith(text))) || all.find((e) => said(e).some((s) => s.includes(text)));
};
window.kinwardField = (text) => {
  const clean = (s) => (s || "").replace(/\s+/g, " ").trim();
  const labels = [...document.querySelectorAll("label")].filter((l) => l.checkVisibility());
  const label = labels.find((l) => clean(l.innerText) === text) || labels.find((l) => clean(l.innerText).startsWith(text));
  return label && (label.control || document.getElementById(label.htmlFor)) || [...document.querySelectorAll("input,select,textarea")].find((e) => clean(e.getAttribute("aria-label")) === text);
};
`

// found marks the element that a finder returns, so that it can be used as a
// person would.
func (b *chrome) found(what, finder string) chromedp.CSS {
	b.t.Helper()
	b.until(what, `(() => { `+finders+`
		document.querySelectorAll("[data-found]").forEach((e) => e.removeAttribute("data-found"));
		const e = `+finder+`; if (e) e.setAttribute("data-found", ""); return e; })()`)
	return chromedp.CSS("[data-found]")
}

// click presses the link, button, summary or choice with a text.
func (b *chrome) click(text string) {
	b.t.Helper()
	b.do(chromedp.Click(b.found(fmt.Sprintf("%q to press", text), `kinwardFind(`+quoteJS(text)+`, "a, button, summary, label, [role=button], input[type=submit]")`)))
}

// fill writes into the field with a label, instead of what stands there.
func (b *chrome) fill(label, text string) {
	b.t.Helper()
	field := b.found("the field "+label, `kinwardField(`+quoteJS(label)+`)`)
	b.do(chromedp.Focus(field))
	evaluate[bool](b, `(() => { document.querySelector("[data-found]").value = ""; return true; })()`)
	b.do(chromedp.SendKeys(field, text))
}

// pick chooses in the select with a label the option with a text.
func (b *chrome) pick(label, option string) {
	b.t.Helper()
	field := b.found("the choice "+label, `kinwardField(`+quoteJS(label)+`)`)
	value := evaluate[string](b, `[...document.querySelector("[data-found]").options].find((o) => o.text.trim().startsWith(`+quoteJS(option)+`))?.value ?? ""`)
	b.do(chromedp.SetValue(field, value))
	evaluate[bool](b, `document.querySelector("[data-found]").dispatchEvent(new Event("change", { bubbles: true }))`)
}

// press presses keys of the keyboard, one after another.
func (b *chrome) press(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// size is how large a window is.
type size struct{ width, height int64 }

var (
	phone   = size{360, 780}
	desktop = size{1280, 900}
)

// as shows the page on a screen of a size and in a colour scheme.
func (b *chrome) as(s size, scheme string) {
	b.t.Helper()
	options := []chromedp.EmulateViewportOption{}
	if s.width < 600 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	b.do(chromedp.EmulateViewport(s.width, s.height, options...))
	_, err := chromedp.Call(b.ctx, cdemulation.SetEmulatedMedia, cdemulation.SetEmulatedMediaParams{Features: []*cdemulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// axeFile is where .ci/install-tools puts axe-core.
func axeFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "kinward", "axe-core-4.14.1.min.js")
}

var axeSource = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile(axeFile())
	return string(b), err
})

// accessible fails where axe finds something serious or critical in the page, on a
// phone in light or a desktop in dark, or in the colours of the other two, or
// where the page is wider than a phone.
func (b *chrome) accessible(where string) {
	b.t.Helper()
	axe, err := axeSource()
	if err != nil {
		b.t.Fatalf("reading axe-core, which `make tools` fetches: %v", err)
	}
	evaluate[bool](b, axe+"; true")
	const colours = `runOnly: ["color-contrast", "link-in-text-block"], `
	for _, look := range []struct {
		size   size
		scheme string
		rules  string // all of them where empty
	}{
		{phone, "light", ""}, {phone, "dark", colours}, {desktop, "light", colours}, {desktop, "dark", ""},
	} {
		b.as(look.size, look.scheme)
		found := evaluate[string](b, `axe.run(document, { `+look.rules+`resultTypes: ["violations"], iframes: false, preload: false }).then((r) => r.violations
			.filter((v) => v.impact === "serious" || v.impact === "critical")
			.map((v) => v.impact + " " + v.id + ": " + v.help + "\n" + v.nodes.slice(0, 3).map((n) => "    " + n.html.slice(0, 200) + "\n    " + n.any.map((a) => a.message).join("; ")).join("\n")).join("\n"))`)
		if found != "" {
			b.t.Errorf("%s (%d px wide, %s): axe finds\n%s", where, look.size.width, look.scheme, found)
		}
	}
	b.as(phone, "light")
	b.fits(where)
}

// fits fails where a page is wider than the window.
func (b *chrome) fits(where string) {
	b.t.Helper()
	if over := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		b.t.Errorf("%s: the page is %d px wider than a phone", where, over)
	}
}

// picture is what the page looks like, as a PNG, down to at most so many pixels.
func (b *chrome) picture(s size, scheme string, most float64) []byte {
	b.t.Helper()
	b.as(s, scheme)
	height := min(evaluate[float64](b, `document.documentElement.scrollHeight`), most)
	b.do(chromedp.EmulateViewport(s.width, int64(max(height, float64(s.height)))))
	evaluate[bool](b, `new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	r, err := chromedp.Call(b.ctx, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{Format: cdpage.CaptureScreenshotFormatPng})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Data
}

// cookie gives the window a cookie of the console.
func (b *chrome) cookie(name, value string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cdnetwork.SetCookie, cdnetwork.SetCookieParams{Name: name, Value: value, URL: b.base}); err != nil {
		b.t.Fatal(err)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
