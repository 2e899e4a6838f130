package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A child opens a page that is blocked. Its browser asks Kinward for the name, is
// led to the block page, and the child reads why in words for its age, asks, and
// waits; the guardian sees that at once and allows it for a quarter of an hour.
// Both read how long a device may go by the old answer.
func TestBrowserBlockPage(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	port := fmt.Sprint(freePort(t))
	h := startHome(t, startUpstream(t), "--doh", "127.0.0.1:0", "--block-page", "127.0.0.1:"+port,
		"--config", writeConfig(t, fmt.Sprintf("tls: {name: dns.example, certificate: %s, key: %s}\n", cert, key)))
	eva := h.signIn()
	h.must("profiles", "add", "Lea", "C")
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone", "--profile", "Lea")
	h.must("devices", "clue", "add", "Lea's phone", "dns:"+leasToken)

	_, doh := h.secureAt("DoH, HTTP/3 included")
	browser := trustingChromium(t, cert, map[string]any{"dns_over_https": map[string]string{
		"mode": "secure", "templates": "https://dns.example:" + doh + "/dns-query/" + leasToken,
	}})
	lea := openChromeIn(t, browser, "http://omegle.com:"+port)
	lea.also = []string{"kinward.home.arpa:" + port}
	lea.expect(`Cross-Origin-(Opener|Embedder)-Policy header has been ignored|status of 403`)
	lea.as(phone, "light")
	lea.open("/chat?with=strangers")
	lea.sees("This page stays closed", "omegle.com", "You did nothing wrong", "You can ask Eva", "Somebody who helps")
	lea.seesNot("Lea", "strangers=")
	still := func(where string) { // nothing but words: neither script nor file
		t.Helper()
		if n := evaluate[int](lea, `document.scripts.length + document.querySelectorAll("link, img, iframe, [src], [onclick], [style]").length + performance.getEntriesByType("resource").filter((r) => !r.name.endsWith("/favicon.ico")).length`); n != 0 {
			t.Errorf("%s loads %d things", where, n)
		}
	}
	still("the block page")
	lea.accessible("the block page")
	lea.worded("the block page")
	lea.click("Why do I often see an error")
	lea.sees("never asks you to install a certificate")
	lea.click("Ask for it")
	lea.sees("Your message goes to Eva")
	if at := evaluate[string](lea, `location.origin`); at != "http://kinward.home.arpa:"+port {
		t.Errorf("asking is at %s", at)
	}
	guardian := openChromeIn(t, browser, eva.base)
	guardian.take(eva)
	guardian.open("/requests")
	guardian.sees("Nobody asks")
	lea.fill("What do you need it for?", "My class meets there")
	still("the form")
	lea.click("Send")
	lea.sees("Your question is on its way", "looks by itself every ten seconds")
	still("what was asked")
	guardian.sees("Lea asks for Omegle", "My class meets there", "some browsers for up to a minute")
	guardian.click("15 minutes")
	guardian.sees("answered by Eva", "A device may go by")
	h.opens("after the grant", "omegle.com.")
	lea.sees("It is open", "Answered by Eva", "some browsers for a minute") // by itself, without a script
	lea.click("What is filtered here")
	lea.sees("Hello Lea", "Open for a while")
}

// What anybody may send to the block page's listener, which answers any name: it
// says no more than the device may know, keeps nothing and asks nobody.
func TestProgramBlockPageHostile(t *testing.T) {
	h := pageHome(t, "")
	long := strings.Repeat("a", 13<<10)
	for _, tt := range []struct {
		name, method, link string
		form               url.Values
		header             []string
		most               int // the status is no less than 300, and at most this
	}{
		{"a name that nobody knows", "GET", "http://nobody.example/", nil, nil, 0},
		{"an address that is not here", "GET", "http://203.0.113.9/", nil, nil, 404},
		{"a name of many labels", "GET", "http://" + strings.Repeat("a.", 120) + "com/", nil, nil, 0},
		{"a name that is too long", "GET", "http://" + strings.Repeat("a.", 200) + "com/", nil, nil, 404},
		{"a long path", "GET", "http://omegle.com/" + long, nil, nil, 431},
		{"a long header", "GET", "http://omegle.com/", nil, []string{"Cookie", long}, 431},
		{"a form to a blocked name", "POST", "http://omegle.com/ask", url.Values{"name": {"omegle.com"}}, []string{"Origin", "http://omegle.com"}, 403},
		{"a long form", "POST", portalURL + "/ask", url.Values{"name": {"omegle.com"}, "message": {long}}, []string{"Origin", portalURL}, 413},
		{"a long name", "POST", portalURL + "/ask", url.Values{"name": {long[:3000]}}, []string{"Origin", portalURL}, 422},
		{"a name that is none", "POST", portalURL + "/ask", url.Values{"name": {"<b>"}}, []string{"Origin", portalURL}, 422},
		{"an address", "POST", portalURL + "/ask", url.Values{"name": {"192.0.2.66"}}, []string{"Origin", portalURL}, 422},
		{"what a guardian does", "POST", portalURL + "/requests/1", url.Values{"answer": {"always"}}, []string{"Origin", portalURL}, 405},
		{"signing in", "GET", portalURL + "/sign-in", nil, nil, 404},
		{"the API", "GET", portalURL + "/api/v1/incidents", nil, []string{"Authorization", "Bearer kinward_x"}, 404},
	} {
		link := tt.link
		resp, page := h.browse(tt.method, link, tt.form, tt.header...)
		if tt.most == 0 && resp.StatusCode != http.StatusOK || tt.most > 0 && (resp.StatusCode < 400 || resp.StatusCode > tt.most) {
			t.Errorf("%s: %s, want %d at most", tt.name, resp.Status, tt.most)
		}
		if len(resp.Cookies()) > 0 || len(page) > 20<<10 {
			t.Errorf("%s: %d bytes, cookies %v", tt.name, len(page), resp.Cookies())
		}
		wantNone(t, tt.name, page, "<script", "<b>", long[:500])
	}
	for _, host := range []string{`"><script>alert(1)</script>`, "omegle.com:80:80", "[::1", "omegle.com\r\nX-Evil: 1", "a@omegle.com", strings.Repeat("x", 600)} {
		conn, err := net.Dial("tcp", h.page)
		must(t, err)
		_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		must(t, err)
		answer, err := io.ReadAll(conn)
		must(t, err)
		conn.Close()
		wantNone(t, "the host "+host, string(answer), "<script", "X-Evil", "HTTP/1.1 5", "xxxxxx")
	}
	if got := h.must("requests"); strings.Contains(got, "Lea") {
		t.Errorf("something is asked for:\n%s", got)
	}

	// Another family's device sees its own family's page, and none of this one's.
	h.must("families", "add", "Berg")
	h.must("families", "network", "add", "127.0.0.8/32", "--family", "Berg")
	h.must("guardians", "add", "Ida", "--role", "owner", "--family", "Berg")
	resp, _ := h.browse("POST", portalURL+"/ask", url.Values{"name": {"omegle.com"}, "message": {"for school"}}, "Origin", portalURL)
	asked := resp.Header.Get("Location")
	if !strings.HasPrefix(asked, "/asked/") {
		t.Fatalf("Lea's question: %s to %q", resp.Status, asked)
	}
	for _, from := range []string{"127.0.0.8", "127.0.0.1"} {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.page+asked, nil)
		must(t, err)
		q.Host = "kinward.home.arpa"
		r, err := client.Do(q)
		must(t, err)
		r.Body.Close()
		if own := from == "127.0.0.1"; own != (r.StatusCode == http.StatusOK) {
			t.Errorf("%s reads what Lea asked for: %s", from, r.Status)
		}
	}
}
