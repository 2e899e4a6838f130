package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdnetwork "github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// secureConsole is a home whose console has a public name and a certificate.
type secureConsole struct {
	*home
	base string // https://dns.example:PORT
	at   string // where it answers
	cert string // the file of the certificate
}

func startSecureConsole(t *testing.T, config string, args ...string) secureConsole {
	t.Helper()
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	s := secureConsole{at: fmt.Sprintf("127.0.0.1:%d", freePort(t)), cert: cert}
	_, port, _ := net.SplitHostPort(s.at)
	s.base = "https://dns.example:" + port
	config += fmt.Sprintf("tls: {name: dns.example, certificate: %s, key: %s}\n", cert, key)
	// Loopback alone is for this machine, in the clear.
	s.home = startHome(t, startUpstream(t), append([]string{"--config", writeConfig(t, config), "--console", "0.0.0.0:" + port}, args...)...)
	return s
}

// owner is the browser of the owner, who has set the console up by the banner's link.
func (s secureConsole) owner() *visitor {
	s.t.Helper()
	base, link := s.consoleLink()
	if base != s.base || !strings.HasPrefix(link, s.base+"/start/") {
		s.t.Fatalf("the banner tells %q and %q, want %s", base, link, s.base)
	}
	v := newVisitor(s.t, s.base)
	v.client.Transport = s.transport()
	v.post(strings.TrimPrefix(link, base), http.StatusOK, "for", "home", "called", "Eva", "name", "eva", "password", goodPassword, "again", goodPassword)
	return v
}

// transport finds the public name here, and believes its certificate.
func (s secureConsole) transport() *http.Transport {
	s.t.Helper()
	pem, err := os.ReadFile(s.cert)
	must(s.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	t := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.at)
		},
	}
	s.t.Cleanup(t.CloseIdleConnections)
	return t
}

// trustingChromium starts a browser of its own, which believes a certificate and
// finds dns.example on this machine. state is what it remembers of settings.
func trustingChromium(t *testing.T, cert string, state map[string]any, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	person, profile := t.TempDir(), t.TempDir()
	db := filepath.Join(person, ".pki", "nssdb")
	must(t, os.MkdirAll(db, 0o700))
	client(t, "certutil", "-d", "sql:"+db, "-N", "--empty-password")
	client(t, "certutil", "-d", "sql:"+db, "-A", "-t", "CP,,", "-n", "test", "-i", cert)
	text, err := json.Marshal(state)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(profile, "Local State"), text, 0o600))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.UserDataDir(profile), chromedp.Env("HOME="+person), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("host-resolver-rules", "MAP dns.example 127.0.0.1"),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,HttpsUpgrades"))
	all, endAll := chromedp.NewExecAllocator(context.Background(), append(options, flags...)...)
	t.Cleanup(endAll)
	first, endFirst := chromedp.NewContext(all, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(endFirst)
	if err := chromedp.Do(first, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return first
}

// Under a public name the console is https: a guardian sets it up, adds a passkey
// and signs in with it; what the browser keeps of it no other host and no plain
// connection can have set or will see.
func TestBrowserSecure(t *testing.T) {
	s := startSecureConsole(t, "")
	wantAll(t, "the banner", s.banner, "Phones reach it there, encrypted, at home and away.")
	wantNone(t, "the banner", s.banner, "plain HTTP: whoever")
	_, link := s.consoleLink()
	b := openChromeIn(t, trustingChromium(t, s.cert, nil), s.base)
	b.authenticator()
	b.as(phone, "light")
	b.open(link)
	if !evaluate[bool](b, `isSecureContext && location.protocol === "https:"`) {
		t.Fatal("the page is not secure")
	}
	b.seesNot("read along")
	b.fill("What does the family call you?", "Eva")
	b.fill("Name or e-mail address to sign in with", "eva")
	b.fill("Password", goodPassword)
	b.fill("Password, once more", goodPassword)
	b.click("Make my account")
	b.sees("Welcome", s.base)
	b.accessible("the welcome under a public name")
	b.open("/account/passkeys/new")
	b.fill("What is this device called?", "Eva's phone")
	b.click("Make the passkey")
	b.sees("The passkey is made", "Eva's phone")
	b.click("Sign out")
	b.sees("Use a passkey")
	b.click("Use a passkey")
	b.until("the first page", `location.pathname === "/"`)
	b.click("Deutsch")
	b.sees("Heute")
	b.open("/children")
	b.fill("Name", "Lea")
	b.click("11–12 Jahre")
	b.click("Hinzufügen")
	b.sees("Ein Gerät einrichten")

	r, err := chromedp.Call(b.ctx, cdnetwork.GetCookies, cdnetwork.GetCookiesParams{URLs: []string{s.base}})
	must(t, err)
	if len(r.Cookies) < 2 {
		t.Errorf("the browser keeps %d cookies, want that of the session and of the language at least", len(r.Cookies))
	}
	for _, c := range r.Cookies {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HTTPOnly || c.Path != "/" || c.Domain != "dns.example" || c.SameSite == "" {
			t.Errorf("the browser keeps the cookie %s: %+v", c.Name, c)
		}
	}
}

// Each page over https, and what is loaded with it, has the best marks of the
// checkers that people ask; so do the answers that refuse.
func TestConsoleSecureHeaders(t *testing.T) {
	s := startSecureConsole(t, "")
	guest := newVisitor(t, s.base)
	guest.client.Transport = s.transport()
	eva := s.owner()
	s.withLife()
	pages := eva.crawl("/", "/welcome", "/confirm?next=/")
	if len(pages) < 40 {
		t.Errorf("links lead to %d pages only", len(pages))
	}
	paths := []string{
		"/static/app.js", "/static/style.css", "/sw.js", "/manifest.webmanifest", "/icon-192.png", "/favicon.ico",
		"/api", "/api/v1/openapi.json", "/api/v1/family", "/no/such/page", "/start/gone", "/children/999999", "/operator",
	}
	for _, p := range pages {
		paths = append(paths, p.path)
	}
	for _, v := range []*visitor{guest, eva} {
		client := *v.client
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, path := range paths {
			for _, method := range []string{http.MethodGet, http.MethodOptions} {
				q, err := http.NewRequestWithContext(t.Context(), method, s.base+path, nil)
				must(t, err)
				q.Header.Set("Origin", "https://http-observatory.example") // who may read it (CORS)
				if method == http.MethodOptions {
					q.Header.Set("Access-Control-Request-Method", "GET")
				}
				r, err := client.Do(q)
				must(t, err)
				r.Body.Close()
				if r.ProtoMajor != 2 {
					t.Errorf("%s comes by %s", path, r.Proto)
				}
				checkHeaders(t, method+" "+path, r.Header, true)
				checkStrictest(t, method+" "+path, r)
			}
		}
	}
	for _, p := range pages { // what a checker reads of the page itself
		if strings.HasPrefix(p.kind, "text/html") && regexp.MustCompile(`(?i)<meta[^>]+(http-equiv|name="referrer")|<script(>| [^>]*src="(http|//))|\son[a-z]+=`).MatchString(p.text) {
			t.Errorf("%s has a script of its own or another's, or a policy in its markup", p.path)
		}
	}
}

// checkStrictest holds an answer over https against what checkers ask for beyond
// [checkHeaders]: half a year of HSTS and more (Mozilla), Permissions-Policy
// (securityheaders.com), isolation of the page from all other sites (OWASP).
func checkStrictest(t *testing.T, what string, r *http.Response) {
	t.Helper()
	var age int64
	if _, err := fmt.Sscanf(r.Header.Get("Strict-Transport-Security"), "max-age=%d", &age); err != nil || time.Duration(age)*time.Second < 182*24*time.Hour {
		t.Errorf("%s: Strict-Transport-Security is %q", what, r.Header.Get("Strict-Transport-Security"))
	}
	for name, want := range map[string]string{
		"Cross-Origin-Embedder-Policy": "require-corp", "X-Permitted-Cross-Domain-Policies": "none", "X-XSS-Protection": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	for _, feature := range []string{"camera", "microphone", "geolocation", "payment", "usb", "serial", "hid", "midi", "display-capture", "browsing-topics"} {
		if !strings.Contains(r.Header.Get("Permissions-Policy"), feature+"=()") {
			t.Errorf("%s: Permissions-Policy lets pages use %s: %q", what, feature, r.Header.Get("Permissions-Policy"))
		}
	}
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("%s: the cookie %s is not bound to the host", what, c.Name)
		}
	}
}

// Who asks for the public name without encryption is led to it, wherever Kinward
// listens for others there: at the block page, and where it answers an authority of
// certificates. What a request says never makes that another host.
func TestConsoleToSecure(t *testing.T) {
	acme := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	page := startSecureConsole(t, "", "--block-page", "127.0.0.1:0")
	page.page = regexp.MustCompile(`blocked: http://(\S+)/,`).FindStringSubmatch(page.banner)[1]
	ordering := startHome(t, startUpstream(t), "--console", "0.0.0.0:0", "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example}\nconsole-url: %s\nacme: {challenge: [http-01], http: \"%s\", directory: \"https://127.0.0.1:9/dir\"}\n", page.base, acme)))
	ordering.page = acme
	for name, h := range map[string]*home{"block page": page.home, "http-01": ordering} {
		for path, want := range map[string]string{
			"/": "/", "/children?x=1": "/children?x=1", "/start/a%2Fb": "/start/a%2Fb", "//evil.example/": "//evil.example/", "/%5Cevil.example": "/%5Cevil.example",
		} {
			resp, _ := h.browse("GET", "http://dns.example"+path, nil)
			if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusMovedPermanently || got != page.base+want {
				t.Errorf("%s: %s leads to %q (%s), want %s", name, path, got, resp.Status, page.base+want)
			}
			if got := resp.Header.Get("Strict-Transport-Security"); got != "" {
				t.Errorf("%s: HSTS in the clear: %q", name, got) // RFC 6797 §7.2
			}
		}
		for _, tt := range [][2]string{{"POST", "http://dns.example/sign-in"}, {"GET", "http://evil.example/"}, {"GET", "http://x.dns.example/"}} {
			if resp, _ := h.browse(tt[0], tt[1], nil, "Accept", "text/html"); resp.Header.Get("Location") != "" {
				t.Errorf("%s: %s %s leads to %q", name, tt[0], tt[1], resp.Header.Get("Location"))
			}
		}
	}
}
