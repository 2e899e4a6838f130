package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// pageHome starts a home with a block page, a child's phone at 127.0.0.1 and
// guardians.
func pageHome(t *testing.T, config string, args ...string) *home {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kinward.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), append([]string{"--config", path, "--block-page", "127.0.0.1:0"}, args...)...)
	m := regexp.MustCompile(`blocked: http://(\S+)/,`).FindStringSubmatch(h.banner)
	if m == nil {
		t.Fatalf("the banner tells no block page:\n%s", h.banner)
	}
	h.page = m[1]
	h.must("profiles", "add", "Lea", "C")
	h.must("guardians", "add", "Maria", "--role", "owner")
	h.must("devices", "add", "127.0.0.1", "--name", "Phone", "--profile", "Lea")
	return h
}

// browse asks the block page as a browser on a device does that was led there.
func (h *home) browse(method, link string, form url.Values, header ...string) (*http.Response, string) {
	h.t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		h.t.Fatal(err)
	}
	host := u.Host
	u.Host = h.page
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	q, err := http.NewRequestWithContext(h.t.Context(), method, u.String(), body)
	if err != nil {
		h.t.Fatal(err)
	}
	q.Host = host
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}
	resp, err := c.Do(q)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, string(text)
}

const portalURL = "http://kinward.home.arpa"

// TestProgramBlockPage: a real client asks for a blocked name and is led to the
// page that says why; it asks for the name, a guardian opens it, and it resolves.
func TestProgramBlockPage(t *testing.T) {
	h := pageHome(t, "")
	if got := h.tool("dig", "+short", "omegle.com", "A"); got != "127.0.0.1\n" {
		t.Fatalf("the blocked name leads to %q", got)
	}
	if got := h.tool("dig", "+noall", "+comments", "omegle.com", "AAAA"); !strings.Contains(got, "NOERROR") {
		t.Errorf("its AAAA: %s", got)
	}
	if got := h.tool("dig", "+short", "kinward.home.arpa", "A"); got != "127.0.0.1\n" {
		t.Errorf("the portal is at %q", got)
	}
	resp, page := h.browse("GET", "http://omegle.com/chat?x=1", nil)
	wantAll(t, "the block page", page, "This page stays closed", "omegle.com", "You did nothing wrong", "ask Maria", "Somebody who helps",
		"never asks you to install a certificate", portalURL+"/ask", portalURL+"/my")
	wantNone(t, "the block page", page, "<script", "src=", "<link", "Lea", "Phone")
	if len(page) > 20<<10 || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%d bytes, %s", len(page), resp.Status)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	wantAll(t, "its policy", csp, "default-src 'none'", "frame-ancestors 'none'", "form-action 'self' "+portalURL)
	wantNone(t, "its policy", csp, "unsafe", "script-src")
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff", "Set-Cookie": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	_, page = h.browse("GET", "http://omegle.com/", nil, "Accept-Language", "de")
	wantAll(t, "the block page in German", page, "Diese Seite bleibt zu", "Du hast nichts falsch gemacht", "Du kannst Maria fragen", `lang="de"`)

	_, page = h.browse("GET", portalURL+"/ask?name=omegle.com", nil)
	wantAll(t, "the form", page, `action="/ask"`, `value="omegle.com"`, "Your message goes to Maria")
	resp, _ = h.browse("POST", portalURL+"/ask", url.Values{"name": {"omegle.com"}, "message": {"for school"}}, "Origin", portalURL)
	asked := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(asked, "/asked/") {
		t.Fatalf("asking: %s to %q", resp.Status, asked)
	}
	resp, page = h.browse("GET", portalURL+asked, nil)
	wantAll(t, "after asking", page, "Asked", "Nobody has answered yet")
	if resp.Header.Get("Refresh") == "" {
		t.Error("the page does not look again by itself")
	}
	wantAll(t, "requests", h.must("requests"), "Omegle", "Lea", "Phone", "for school")
	h.must("requests", "answer", strings.TrimPrefix(asked, "/asked/"), "15m")
	resp, page = h.browse("GET", portalURL+asked, nil)
	wantAll(t, "after the answer", page, "It is open", "open until", "seconds")
	if resp.Header.Get("Refresh") != "" {
		t.Error("the page still looks again")
	}
	if got := h.tool("dig", "+short", "omegle.com", "A"); got != "192.0.2.66\n" {
		t.Errorf("the granted name is at %q", got)
	}
	_, page = h.browse("GET", "http://omegle.com/", nil)
	wantAll(t, "the page of a name that is open", page, "This is open", "Try it again")
	_, page = h.browse("GET", portalURL+"/my", nil)
	wantAll(t, "my page", page, "Hello Lea", "This is Phone", "Open for a while", "Omegle", "Who can see it", "Maria, and whoever runs the machine", "Nobody looked")
}

// TestProgramPortalForm: nobody but the portal's own page has something asked for.
func TestProgramPortalForm(t *testing.T) {
	h := pageHome(t, "")
	form := url.Values{"name": {"omegle.com"}}
	for _, tt := range []struct {
		name, link string
		header     []string
	}{
		{"a page of another site", portalURL + "/ask", []string{"Origin", "http://evil.example"}},
		{"no page", portalURL + "/ask", nil},
		{"a page without an origin", portalURL + "/ask", []string{"Origin", "null"}},
		{"another site, by a browser that says so", portalURL + "/ask", []string{"Origin", portalURL, "Sec-Fetch-Site", "cross-site"}},
		{"a name that leads here", "http://evil.example/ask", []string{"Origin", "http://evil.example"}},
		{"a blocked name", "http://omegle.com/ask", []string{"Origin", "http://omegle.com"}},
		{"a page below the portal", "http://x.kinward.home.arpa/ask", []string{"Origin", "http://x.kinward.home.arpa"}},
		{"through a proxy", portalURL + "/ask", []string{"Origin", portalURL, "X-Forwarded-For", "127.0.0.1"}},
	} {
		if resp, _ := h.browse("POST", tt.link, form, tt.header...); resp.StatusCode < 400 {
			t.Errorf("%s: %s", tt.name, resp.Status)
		}
	}
	for i := range 12 {
		resp, _ := h.browse("POST", portalURL+"/ask", form, "Origin", portalURL)
		if well := resp.StatusCode == http.StatusSeeOther; well != (i < 10) {
			t.Errorf("time %d: %s", i+1, resp.Status)
		}
	}
	wantAll(t, "requests", h.must("requests"), "Omegle")
}

// TestProgramPageIsOnes: a page tells a device about its own family, and one that
// nobody named nothing with a name.
func TestProgramPageIsOnes(t *testing.T) {
	h := pageHome(t, "")
	h.must("devices", "remove", "Phone")
	for _, link := range []string{portalURL + "/my", "http://omegle.com/"} {
		_, page := h.browse("GET", link, nil)
		wantAll(t, link+" for an unknown device", page, "adults of")
		wantNone(t, link+" for an unknown device", page, "Maria", "Lea", "Phone", "Everyone")
	}
	resp, _ := h.browse("POST", portalURL+"/ask", url.Values{"name": {"omegle.com"}}, "Origin", portalURL)
	asked := resp.Header.Get("Location")
	h.must("families", "add", "Other", "--preset", "E")
	h.must("guardians", "add", "Otto", "--role", "owner", "--family", "Other")
	h.must("families", "network", "add", "127.0.0.0/8", "--family", "Other")
	for _, link := range []string{portalURL + "/my", "http://omegle.com/", portalURL + asked} {
		_, page := h.browse("GET", link, nil)
		wantNone(t, link+" for another family", page, "Maria", "Lea", "Omegle")
	}
	if resp, _ := h.browse("GET", portalURL+asked, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("another family's request: %s", resp.Status)
	}
	_, page := h.browse("GET", "http://omegle.com/", nil)
	wantAll(t, "the words for another age", page, "This is closed on your device")
}

// TestProgramPageStranger: who may not ask names may not see pages.
func TestProgramPageStranger(t *testing.T) {
	h := pageHome(t, "", "--allow-net", "192.0.2.0/24", "--allow-net", "127.0.0.2/32")
	for _, link := range []string{portalURL + "/my", "http://omegle.com/", "http://check-x.kinward.home.arpa/"} {
		resp, page := h.browse("GET", link, nil)
		wantNone(t, link, page, "Maria", "Lea", "filtered")
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", link, resp.Status)
		}
	}
}

// TestConsoleDevices: a guardian adds a device on the console, sets it up, and sees
// by a real question that it works; an unknown one is named where it was seen.
func TestConsoleDevices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kinward.yaml")
	if err := os.WriteFile(path, []byte("tls:\n  name: dns.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), "--config", path, "--block-page", "127.0.0.1:0")
	h.page = regexp.MustCompile(`blocked: http://(\S+)/,`).FindStringSubmatch(h.banner)[1]
	eva := h.signIn()
	h.must("profiles", "add", "Lea", "C")
	eva.post("/devices", http.StatusOK, "name", "Lea's phone", "profile", "Lea", "clue", "127.0.0.2")
	page := eva.post("/devices", http.StatusOK, "name", "Tablet", "profile", "Lea")
	wantAll(t, "a device without a clue", page, "Added device Tablet", "In force within a second", "encrypted DNS", "never seen")
	wantAll(t, "devices", h.must("devices"), "Tablet", "dns:", "Lea's phone", "127.0.0.2")
	page = eva.post("/devices", http.StatusUnprocessableEntity, "name", "Console", "profile", "Lea", "clue", "somewhere")
	wantAll(t, "a clue that is none", page, `id="f-clue-wrong"`, `value="Lea" selected`, `value="Console"`)
	wantNone(t, "a clue that is none", page, `id="f-name-wrong"`)
	id := regexp.MustCompile(`/devices/(\d+)">Lea`).FindStringSubmatch(eva.get("/devices", http.StatusOK))
	if id == nil {
		t.Fatal("the list does not lead to the phone")
	}
	own := "/devices/" + id[1]

	// Looking makes nothing; the button does, once.
	wantAll(t, "before", eva.get(own+"/setup/android", http.StatusOK), "name of its own")
	wantNone(t, "devices", h.must("devices"), "127.0.0.2, dns:")
	page = eva.post(own+"/setup/android", http.StatusOK)
	host := regexp.MustCompile(`[a-z2-7]{16}\.dns\.example`).FindString(page)
	wantAll(t, "the steps", page, "Private DNS provider hostname", "<svg", "not verified")
	if host == "" || !strings.Contains(h.must("devices"), "127.0.0.2, dns:"+strings.TrimSuffix(host, ".dns.example")) {
		t.Errorf("the steps name %q", host)
	}
	eva.post(own+"/setup/iphone", http.StatusOK)
	page = eva.get(own+"/setup/iphone", http.StatusOK)
	code := regexp.MustCompile(`/setup/[A-Za-z0-9_-]{22}\b`).FindString(page)
	if code == "" {
		t.Fatalf("there is no code for the device:\n%s", page)
	}
	device := newVisitor(t, eva.base)
	wantAll(t, "what the device sees", device.get(code, http.StatusOK), code+"/profile", "iPhone")
	wantAll(t, "the profile", device.get(code+"/profile", http.StatusOK), "com.apple.dnsSettings.managed", host[:16])
	wantAll(t, "the profile", eva.get(own+"/profile", http.StatusOK), "https://dns.example/dns-query/"+host[:16])

	// The check, with a real question, and the page that the device sees then.
	page = eva.post(own+"/check", http.StatusOK)
	name := regexp.MustCompile(`check-[a-z2-7]{16}\.kinward\.home\.arpa`).FindString(page)
	watch := regexp.MustCompile(`check-([a-z2-7]{16})`).FindStringSubmatch(name)
	wantAll(t, "the check", page, "Waiting for it", `data-waits="yes"`)
	h.asksFrom("127.0.0.9", name+".")
	page = eva.get(own+"/check/"+watch[1], http.StatusOK)
	wantAll(t, "after another device asked", page, "A device without a name asked, at 127.0.0.9", "Waiting for it")
	h.asksFrom("127.0.0.2", name+".")
	page = eva.get(own+"/check/"+watch[1], http.StatusOK)
	wantAll(t, "after it asked", page, "It asks here, but not encrypted", "127.0.0.2", "yes, by the rules of Lea")
	wantNone(t, "after it asked", page, "data-waits")
	_, page = h.browse("GET", "http://"+name+"/", nil)
	wantAll(t, "what the device shows", page, "This device asks Kinward")
	wantAll(t, "devices", eva.get("/devices", http.StatusOK), "Last seen: just now")

	// What one may not.
	wantNone(t, "who is not signed in", newVisitor(t, eva.base).get(own, http.StatusOK), "phone")
	eva.get("/devices/99999", http.StatusNotFound)
	eva.get(own+"/check/"+strings.Repeat("a", 16), http.StatusNotFound)
	eva.get(own+"/setup/toaster", http.StatusNotFound)
	eva.post(own, http.StatusUnprocessableEntity, "do", "clue-add", "clue", "nonsense")
	eva.post(own, http.StatusOK, "do", "rename", "name", "Lea's old phone")
	eva.post(own, http.StatusOK, "do", "remove")
	wantNone(t, "devices at the end", h.must("devices"), "Lea's")
}
