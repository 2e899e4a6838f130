package console

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kinward/policy"
	"kinward/setup"
)

// homeDesk knows the devices of a home, and what a child may know.
type homeDesk map[string]any

func (d homeDesk) Do(_ context.Context, _ Actor, operation string, _, rep any) error {
	answer, ok := d[operation]
	if !ok {
		return &Refusal{Kind: NotFound}
	}
	if err, ok := answer.(error); ok {
		return err
	}
	b, err := json.Marshal(answer)
	if err != nil || rep == nil {
		return err
	}
	return json.Unmarshal(b, rep)
}

func (homeDesk) Watch(Actor) (<-chan struct{}, func()) { return nil, func() {} }

// ofHome is what the desk of a home answers.
func ofHome() homeDesk {
	until := noon.Add(time.Hour)
	seen := noon.Add(-time.Minute)
	phone := deviceView{ID: 3, Name: `Lea's <b>phone</b>`, Profile: "Lea", Networks: []string{"192.168.1.31"}, MACs: []string{"02:00:5e:10:00:31"}, Private: true, Tokens: []string{"k3v7m2q4x5n6p7ra"}, Until: &until, Then: "Everyone", Seen: &seen}
	values := setup.Values{Family: "1", Device: "3", Name: phone.Name, Token: "k3v7m2q4x5n6p7ra", Secret: "q2w7e5r3t6y4u2aa", Server: "dns.example", Home: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}
	watch := watchReply{Token: "t", Until: until}
	watch.Check.Device, watch.Check.Name, watch.Check.Private = phone.Name, "check-t.kinward.home.arpa", true
	watch.Check.Seen = []watchSeen{{Address: "192.168.1.77", Profile: "Everyone"}, {Device: "Other", Address: "192.168.1.78", Profile: "Lea"}, {}}
	return homeDesk{
		"family": map[string]any{"unknown": "Everyone", "zone": "UTC", "devices": []deviceView{phone}, "profiles": []map[string]any{
			{"name": "Everyone", "preset": "C", "default": true}, {"name": "Lea", "preset": "C"},
		}},
		"devices-seen":    devicesSeen{[]unknownDevice{{"192.168.1.99", "02:00:5e:10:00:99", "", noon.Add(-5 * time.Minute)}, {"192.168.1.98", "", "<i>tv", noon}}},
		"devices-setup":   setupReply{Values: values},
		"devices-apple":   appleProfile{[]byte("signed")},
		"devices-watch":   watch,
		"devices-watched": watch,
		"help-lines":      helpKnown{"DE", []helpLine{{Country: "DE", Organisation: "Nummer gegen Kummer", For: "children", Contact: "116 111"}, {Country: "DE", Organisation: "Line for grown-ups", For: "take-down (adults)"}}},
		"portal-name":     portalName{Name: "omegle.com", Blocked: true, Reason: "service", Category: "anonymous-chat", Service: "Omegle", Until: &until, Askable: true, Band: "C", Zone: "UTC", Known: true, Who: []string{"Eva", "Karl"}, Lag: 60},
		"portal-mine": portalMine{
			Profile: "Lea", Device: phone.Name, Known: true, Band: "C", Zone: "UTC", Blocked: []string{"adult", "dating", "vpn-proxy"}, Named: []string{"adult"}, Counted: []string{"social"},
			Closed: []string{"Roblox"}, Open: []string{"example.org"}, Paused: &until, Days: 90, Who: []string{"Eva", "Karl"}, Lag: 60,
			Times:  []portalTime{{Name: "Bedtime", Kind: "all", Effect: "blocks", Windows: []policy.Window{{Days: 127, From: 1200, To: 420}}}, {Name: "Games", Kind: "thing", About: "Roblox", Effect: "frees", Windows: []policy.Window{{Days: 1, From: 600, To: 720}}}},
			Grants: []portalGrant{{"social", "category", until}, {"", "all", until}},
			Looks:  []portalLook{{noon, "Eva", "list"}, {noon.AddDate(0, 0, -3), "Karl", "show"}},
		},
		"requests-add": requestAdded{Request: requestMine{ID: 7}},
		"requests-my": requestsMine{"UTC", []requestMine{
			{ID: 7, What: "omegle", Name: "Omegle", State: "open"},
			{ID: 6, What: "everything", State: "allowed", Until: &until, Who: "Eva"},
			{ID: 5, What: "a.example", Name: "a.example", State: "refused"},
			{ID: 4, What: "a.example", Name: "a.example", State: "over", Until: &until},
			{ID: 3, What: "a.example", Name: "a.example", State: "expired"},
		}, 10},
	}
}

// lea is what the tests' device is recognised as.
func lea(netip.Addr) (Actor, bool) {
	return Actor{Family: 1, Child: &Child{Profile: 2, Device: 3}}, true
}

// pagesOf is a server that listens nowhere.
func pagesOf(t testing.TB, d Desk, device func(netip.Addr) (Actor, bool)) *Server {
	t.Helper()
	p, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return &Server{desk: d, device: device, log: slog.New(slog.DiscardHandler), now: func() time.Time { return noon }, texts: p.texts, pages: p.pages}
}

// call runs what a route serves for by.
func (s *Server) call(by Actor, lang, method, path string, form url.Values, routes []route) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) {
			v := &visit{server: s, w: w, request: q, actor: by, lang: s.texts.choose(lang), zone: time.UTC, now: noon}
			if err := r.serve(v); err != nil {
				v.fail(err)
			}
		})
	}
	q := httptest.NewRequest(method, "http://"+portalHost+path, strings.NewReader(form.Encode()))
	q.RemoteAddr = "192.168.1.31:5000"
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	mux.ServeHTTP(w, q)
	return w
}

var noText = regexp.MustCompile(`\[[a-z]+(\.[a-z-]+)+\]|<no value>|%!`)

// TestDevicePages: every page of devices and of the portal, in each language, has
// all its words, and nothing of a device's name becomes markup.
func TestDevicePages(t *testing.T) {
	s := pagesOf(t, ofHome(), lea)
	paths := []string{"/devices", "/devices/3", "/router", "/devices/3/check/t", "/my", "/ask", "/ask?name=omegle.com", "/ask?name=http%3A%2F%2Fomegle.com%2Fx", "/asked/7", "/asked/6", "/asked/5", "/asked/4", "/asked/3"}
	for _, p := range ofDevices {
		paths = append(paths, "/devices/3/setup/"+p)
	}
	for _, p := range ofRouters {
		paths = append(paths, "/router/"+p)
	}
	routes := append(append(append([]route{}, deviceRoutes...), setupRoutes...), portalRoutes...)
	for _, lang := range []string{"en", "de"} {
		for _, p := range paths {
			w := s.call(mother, lang, "GET", p, nil, routes)
			page := w.Body.String()
			if w.Code != http.StatusOK || noText.MatchString(page) || strings.Contains(page, "<b>phone") || strings.Contains(page, "<i>tv") || len(page) > 60<<10 {
				t.Errorf("%s in %s: %d, %d bytes, %v", p, lang, w.Code, len(page), noText.FindAllString(page, -1))
			}
		}
	}
}

// TestMyPageTellsEachTime: a child is told for how long each kind of thing is kept,
// and not the time of most of it for all.
func TestMyPageTellsEachTime(t *testing.T) {
	d := ofHome()
	d["portal-mine"] = portalMine{Profile: "Lea", Known: true, Band: "D", Zone: "UTC", Days: 90, Longer: []portalKept{{"dating", 365}, {"social", 1}}}
	s := pagesOf(t, d, lea)
	for lang, want := range map[string][]string{
		"en": {"kept for 90 days", ": 365 days</li>", ": a day</li>"},
		"de": {"wird 90 Tage aufbewahrt", ": 365 Tage</li>", ": ein Tag</li>"},
	} {
		page := s.call(mother, lang, "GET", "/my", nil, portalRoutes).Body.String()
		for _, w := range want {
			if !strings.Contains(page, w) {
				t.Errorf("in %s the page does not say %q:\n%s", lang, w, page)
			}
		}
	}
}

// TestWholeDays: a child is told of a time of 24 hours that it is one, wherever it begins.
func TestWholeDays(t *testing.T) {
	l := pagesOf(t, ofHome(), lea).texts.choose("en")
	for w, want := range map[policy.Window]string{
		{Days: 127, From: 15 * 60, To: 15 * 60}: "(Every day, 24 hours from 15:00)",
		{Days: 127, From: 0, To: 24 * 60}:       "(Every day, 24 hours from 00:00)",
		{Days: 127, From: 20 * 60, To: 24 * 60}: "(Every day, 20:00 to 00:00)",
	} {
		if got := l.scheduleWords("C", portalTime{Name: "Rest", Kind: "all", Effect: "blocks", Windows: []policy.Window{w}}); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", w, got, want)
		}
	}
}

// TestPortalFails: a child is not sent to owners and operators with what went wrong.
func TestPortalFails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		says   map[string]string
	}{
		{&Refusal{Kind: Forbidden}, 403, map[string]string{"en": "Ask a parent", "de": "Frag deine Eltern"}},
		{errors.New("no disk"), 500, map[string]string{"en": "not your fault", "de": "du kannst nichts dafür"}},
	} {
		d := ofHome()
		d["portal-mine"] = tt.err
		s := pagesOf(t, d, lea)
		for lang, want := range tt.says {
			w := s.call(mother, lang, "GET", "/my", nil, portalRoutes)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%v in %s: %d, which does not say %q:\n%s", tt.err, lang, w.Code, want, w.Body)
			}
		}
	}
}

// TestBlockWords: each reason has words for each age, in each language; what is not
// for a child's age is not named to it.
func TestBlockWords(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		for _, band := range []string{"A", "C", "E", "adult"} {
			for _, reason := range []string{"security", "rule", "service", "category", "known-risk", "pause", "schedule", "list", "canary", ""} {
				d := ofHome()
				d["portal-name"] = portalName{Name: "x.example", Blocked: true, Reason: reason, Category: "adult", Service: "X", Askable: true, Band: band, Zone: "UTC"}
				s := pagesOf(t, d, lea)
				b := &BlockPage{server: s}
				w := httptest.NewRecorder()
				q := httptest.NewRequest("GET", "http://x.example:8080/", nil)
				q.RemoteAddr = "192.168.1.31:5000"
				q.Header.Set("Accept-Language", lang)
				b.handler().ServeHTTP(w, q)
				page := w.Body.String()
				if w.Code != http.StatusForbidden || noText.MatchString(page) || len(page) > 20<<10 {
					t.Errorf("%s, band %s, %s: %d, %d bytes, %v", reason, band, lang, w.Code, len(page), noText.FindAllString(page, -1))
				}
				if !strings.Contains(page, `action="http://kinward.home.arpa:8080/ask"`) {
					t.Errorf("the form does not lead to the portal:\n%s", page)
				}
				if told := strings.Contains(page, "Line for grown-ups"); told != (band == "adult") {
					t.Errorf("%s, band %s: a line for adults alone is told: %v", reason, band, told)
				}
				if named := strings.Contains(page, "pages for adults"); lang == "en" && reason == "category" && named != (tone(band) != "small") {
					t.Errorf("band %s: the category is named: %v", band, named)
				}
			}
		}
	}
}

// TestBlockPageQuiet: programs that show nobody a page get none, and nobody is told
// anything by a name that is none.
func TestBlockPageQuiet(t *testing.T) {
	b := &BlockPage{server: pagesOf(t, ofHome(), lea)}
	get := func(method, host, accept string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		q := httptest.NewRequest(method, "http://x.example/", nil)
		q.Host, q.RemoteAddr = host, "192.168.1.31:5000"
		q.Header.Set("Accept", accept)
		b.handler().ServeHTTP(w, q)
		return w
	}
	for _, w := range []*httptest.ResponseRecorder{get("GET", "x.example", "image/png"), get("POST", "x.example", "text/html"), get("HEAD", "x.example", "image/*")} {
		if w.Body.Len() != 0 || w.Code != http.StatusForbidden {
			t.Errorf("%d, %q", w.Code, w.Body)
		}
	}
	for _, host := range []string{"", "<b>", "192.0.2.1", "[2001:db8::1]", "a b", "x.example:0", "x.example:99999", strings.Repeat("a", 600)} {
		if w := get("GET", host, "text/html"); w.Code < 400 || strings.Contains(w.Body.String(), "Omegle") || host != "" && strings.Contains(w.Body.String(), host) {
			t.Errorf("%q: %d, %s", host, w.Code, w.Body)
		}
	}
}

// FuzzHost: whatever stands in a request's host, what is read of it is a name or an
// address and a port, or nothing.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"a.example", "A.Example.:80", "[::1]:80", "[fe80::1%25eth0]", "::1", "a..b", "a:b:c", "1.2.3.4", "xn--a", "ä.example", "a\x00b", `a"b`, "[a]"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^[a-z0-9._:-]*$`)
	f.Fuzz(func(t *testing.T, s string) {
		host, port := splitHost(s)
		if !plain.MatchString(host) || !regexp.MustCompile(`^([1-9][0-9]{0,4})?$`).MatchString(port) || len(host) > 255 || host == "" && port != "" {
			t.Errorf("%q: host %q, port %q", s, host, port)
		}
		if again, _ := splitHost(host); host != "" && !strings.Contains(host, ":") && again != host {
			t.Errorf("%q: %q becomes %q", s, host, again)
		}
		if n := nameIn(s); !plain.MatchString(n) {
			t.Errorf("%q: the name %q", s, n)
		}
	})
}

// TestTickets: a code opens one device's steps for a while, and nothing else.
func TestTickets(t *testing.T) {
	s := pagesOf(t, ofHome(), nil)
	made := s.call(mother, "en", "POST", "/devices/3/setup/iphone", url.Values{}, setupRoutes)
	if made.Code != http.StatusSeeOther {
		t.Fatalf("making a code: %d", made.Code)
	}
	secret, _, ok := s.tickets.of(ticketFor{1, 3, "iphone"}, noon)
	if !ok || len(secret) < 22 {
		t.Fatalf("the code is %q", secret)
	}
	page := s.call(mother, "en", "GET", "/devices/3/setup/iphone", nil, setupRoutes).Body.String()
	if !strings.Contains(page, "/setup/"+secret) || !strings.Contains(page, "<svg") {
		t.Errorf("the page does not show the code")
	}
	page = s.call(Actor{}, "en", "GET", "/setup/"+secret, nil, setupRoutes).Body.String()
	if !strings.Contains(page, "/setup/"+secret+"/profile") || strings.Contains(page, "/devices/3") {
		t.Errorf("what the device sees:\n%s", page)
	}
	w := s.call(Actor{}, "en", "GET", "/setup/"+secret+"/profile", nil, setupRoutes)
	if w.Header().Get("Content-Type") != "application/x-apple-aspen-config" || w.Body.String() != "signed" {
		t.Errorf("the profile: %v", w.Result())
	}
	for _, other := range []string{"x", secret + "x", ""} {
		if w := s.call(Actor{}, "en", "GET", "/setup/"+other, nil, setupRoutes); w.Code != http.StatusNotFound {
			t.Errorf("the code %q: %d", other, w.Code)
		}
	}
	if _, _, ok := s.tickets.find(secret, noon.Add(ticketLife)); ok {
		t.Error("the code does not end")
	}
	s.tickets.make(ticketFor{1, 3, "iphone"}, mother, "x", noon)
	if _, _, ok := s.tickets.find(secret, noon); ok {
		t.Error("the code of before still works")
	}
	for i := range int64(3 * ticketsEach) {
		s.tickets.make(ticketFor{1, i, "mac"}, mother, "x", noon)
	}
	s.tickets.make(ticketFor{2, 1, "mac"}, mother, "x", noon)
	if n := len(s.tickets.all); n > ticketsEach+1 {
		t.Errorf("%d codes are out", n)
	}
}

// TestAsDevice: a proxy is no device of the home, whatever it says.
func TestAsDevice(t *testing.T) {
	s := pagesOf(t, ofHome(), lea)
	s.proxies = []netip.Prefix{netip.MustParsePrefix("192.168.1.2/32")}
	for _, tt := range []struct {
		host, from string
		header     []string
		well       bool
	}{
		{portalHost, "192.168.1.31:5", nil, true},
		{portalHost + ":8053", "192.168.1.31:5", nil, true},
		{"192.168.1.10:8053", "192.168.1.31:5", nil, false},
		{"console.example", "127.0.0.1:5", nil, false},
		{portalHost, "192.168.1.2:5", nil, false},
		{portalHost, "127.0.0.1:5", []string{"X-Forwarded-For", "192.168.1.31"}, false},
		{portalHost, "127.0.0.1:5", []string{"Forwarded", "for=192.168.1.31"}, false},
	} {
		w := httptest.NewRecorder()
		q := httptest.NewRequest("GET", "http://x/my", nil)
		q.Host, q.RemoteAddr = tt.host, tt.from
		if tt.header != nil {
			q.Header.Set(tt.header[0], tt.header[1])
		}
		v := &visit{server: s, w: w, request: q, lang: s.texts.choose("en"), zone: time.UTC, now: noon}
		if err := childRoutes[0].serve(v); err != nil {
			v.fail(err)
		}
		if well := strings.Contains(w.Body.String(), "Hello Lea"); well != tt.well {
			t.Errorf("%+v: %d\n%s", tt, w.Code, w.Body)
		}
	}
}

// TestDeviceOfEncryptedNameAlone: of a device that has no address here, its page does
// not say that it needs nothing at home.
func TestDeviceOfEncryptedNameAlone(t *testing.T) {
	for _, tt := range []struct {
		networks []string
		says     string
	}{{nil, "counts as a device without a name, at home too"}, {[]string{"192.168.1.31"}, "At home a device needs nothing"}} {
		d := ofHome()
		d["family"] = map[string]any{"unknown": "Everyone", "zone": "UTC", "devices": []deviceView{{ID: 3, Name: "Phone", Profile: "Everyone", Networks: tt.networks, Private: true}}}
		page := pagesOf(t, d, nil).call(mother, "en", "GET", "/devices/3", nil, deviceRoutes).Body.String()
		if strings.Contains(page, "Where it is empty") {
			t.Errorf("%v: it says that one more clue may be left out:\n%s", tt.networks, page)
		}
		if !strings.Contains(page, tt.says) {
			t.Errorf("%v: it does not say %q:\n%s", tt.networks, tt.says, page)
		}
		d["devices-setup"] = &Refusal{Kind: Invalid, Text: "give it a name"}
		page = pagesOf(t, d, nil).call(mother, "en", "GET", "/devices/3/setup/android", nil, setupRoutes).Body.String()
		if strings.Contains(page, "At home it needs no set-up") != (tt.networks != nil) || strings.Contains(page, `href="/devices/3#clues"`) == (tt.networks != nil) {
			t.Errorf("%v, with a server without a name:\n%s", tt.networks, page)
		}
	}
}

// TestUnknownDevicePage: to a device that nobody named, only what devices without
// a name asked for is shown.
func TestUnknownDevicePage(t *testing.T) {
	d := ofHome()
	d["portal-mine"] = portalMine{Band: "C", Zone: "UTC", Days: 90}
	s := pagesOf(t, d, func(netip.Addr) (Actor, bool) { return Actor{Family: 1, Child: &Child{Profile: 1}}, true })
	if w := s.call(Actor{}, "en", "GET", "/asked/8", nil, portalRoutes); w.Code != http.StatusNotFound {
		t.Errorf("what it is not told of: %d", w.Code)
	}
	page := s.call(Actor{}, "en", "GET", "/asked/6", nil, portalRoutes).Body.String()
	if strings.Contains(page, "Eva") || !strings.Contains(page, "It is open") {
		t.Errorf("its own: %s", page)
	}
}

// TestAskedInZone: a child reads until when something is open by the family's clock,
// not by that of the machine, and reads it once.
func TestAskedInZone(t *testing.T) {
	d := ofHome()
	mine := d["requests-my"].(requestsMine)
	mine.Zone = "Asia/Tokyo"
	d["requests-my"] = mine
	s := pagesOf(t, d, func(netip.Addr) (Actor, bool) { return Actor{Family: 1, Child: &Child{Profile: 2, Device: 3}}, true })
	for _, path := range []string{"/asked/6", "/my"} {
		page := s.call(Actor{}, "en", "GET", path, nil, portalRoutes).Body.String()
		if want := "open until " + noon.Add(10*time.Hour).Format("15:04"); !strings.Contains(page, want) || strings.Contains(page, "It is open (") {
			t.Errorf("%s does not say %q:\n%s", path, want, page)
		}
	}
}

// TestCrowd: one address cannot take all connections.
func TestCrowd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, 3, 2)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, tt := range []struct {
		from netip.Addr
		well bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}} {
		if got := c.enter(tt.from); got != tt.well {
			t.Errorf("%s: %v", tt.from, got)
		}
	}
	c.leave(a)
	if !c.enter(b) || len(c.of) != 2 {
		t.Errorf("after one left: %v", c.of)
	}
	l.Close()
}
