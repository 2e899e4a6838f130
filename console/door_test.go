package console

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"kinward/policy"
	"kinward/store"
)

// house is a console on a database of its own, with a clock that stands still.
type house struct {
	t       *testing.T
	db      *store.DB
	server  *Server
	handler http.Handler
	log     *bytes.Buffer
	worked  int // how often a password was worked on

	mu  sync.Mutex
	now time.Time
}

func newHouse(t *testing.T, change ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 3, 2, 20, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{Now: h.clock, Zone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.db = db
	key, err := db.Accounts().Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Listen: "127.0.0.1:0", Desk: noDesk{}, Accounts: db.Accounts(), Key: key, Now: h.clock,
		Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	if h.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.server.listener.Close() })
	h.server.hasher = newHasher(cost{memory: 8, time: 1, lanes: 1})
	h.server.hasher.derive = func(c cost, password string, salt []byte) []byte {
		h.worked++
		return c.key(password, salt)
	}
	h.handler = h.server.handler()
	return h
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// caller is somebody with a browser.
type caller struct {
	*house
	jar  http.CookieJar
	base string // scheme and host
	from string // address and port
}

func (h *house) browser() *caller {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &caller{h, jar, "http://localhost:8053", "127.0.0.1:40000"}
}

// send makes a request as a browser's page of this console would; change may make
// it another's.
func (c *caller) send(method, path string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	c.t.Helper()
	q := httptest.NewRequest(method, c.base+path, strings.NewReader(form.Encode()))
	if method != http.MethodGet {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q.Header.Set("Origin", c.base)
	}
	q.RemoteAddr = c.from
	q.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0")
	for _, cookie := range c.jar.Cookies(q.URL) {
		q.AddCookie(cookie)
	}
	for _, f := range change {
		f(q)
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, q)
	u, _ := url.Parse(c.base)
	c.jar.SetCookies(u, w.Result().Cookies())
	return w
}

func (c *caller) get(path string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.send("GET", path, nil)
}

func (c *caller) post(path string, pairs ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return c.send("POST", path, form)
}

// want holds an answer's status and where it leads.
func want(t *testing.T, what string, w *httptest.ResponseRecorder, status int, location string) {
	t.Helper()
	if got := w.Header().Get("Location"); w.Code != status || got != location {
		t.Errorf("%s: %d to %q, want %d to %q\n%s", what, w.Code, got, status, location, w.Body)
	}
}

const password = "four plain words here"

// first makes the owner "eva" of the home family, who is called Eva, and returns
// her browser.
func (h *house) first() *caller {
	h.t.Helper()
	secret := newSecret()
	if err := h.db.Accounts().First(h.t.Context(), secret, h.clock().Add(time.Hour)); err != nil {
		h.t.Fatal(err)
	}
	eva := h.browser()
	want(h.t, "setting up", eva.post("/start/"+secret, "for", "home", "called", "Eva", "name", "eva", "password", password, "again", password), 303, "/welcome")
	return eva
}

// joined has somebody join the home family, and returns their browser.
func (h *house) joined(name string, role policy.Role) *caller {
	h.t.Helper()
	secret := newSecret()
	home, err := h.db.Home(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.db.Accounts().Invite(h.t.Context(), store.Pass{Family: home, Name: name, Role: role, Who: "Eva", Until: h.clock().Add(time.Hour)}, secret); err != nil {
		h.t.Fatal(err)
	}
	c := h.browser()
	want(h.t, "joining", c.post("/join/"+secret, "called", name, "name", strings.ToLower(name), "password", password, "again", password), 303, "/welcome")
	return c
}

func (h *house) account(name string) store.Account {
	h.t.Helper()
	a, err := h.db.Accounts().ByName(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (c *caller) signedIn() bool { return c.get("/account").Code == http.StatusOK }

// A link that works once is not used up by those who look at it: programs do so
// before people.
func TestPassIsUsedOnce(t *testing.T) {
	h := newHouse(t)
	secret := newSecret()
	if err := h.db.Accounts().First(t.Context(), secret, h.clock().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c := h.browser()
	for range 3 {
		want(t, "looking", c.get("/start/"+secret), 200, "")
	}
	fill := []string{"for", "home", "called", "Eva", "name", "eva", "password", password, "again", password}
	for _, tt := range []struct{ name, field, value, says string }{
		{"no name for the family", "called", " ", "what the family calls you"},
		{"no name to sign in", "name", "", "cannot be used"},
		{"a short password", "password", "short", "too short"},
		{"a simple password", "password", "111111111111", "easily guessed"},
		{"the name as password", "password", "eva eva eva eva", "easily guessed"},
		{"two passwords", "again", password + "x", "differ"},
	} {
		form := append([]string{}, fill...)
		for i := 0; i < len(form); i += 2 {
			if form[i] == tt.field || tt.field == "password" && form[i] == "again" {
				form[i+1] = tt.value
			}
		}
		if w := c.post("/start/"+secret, form...); w.Code != 422 || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d, want 422 and %q\n%s", tt.name, w.Code, tt.says, w.Body)
		}
	}
	want(t, "using it", c.post("/start/"+secret, fill...), 303, "/welcome")
	other := h.browser()
	want(t, "looking again", other.get("/start/"+secret), 410, "")
	want(t, "using it again", other.post("/start/"+secret, fill...), 410, "")
	want(t, "under another word", other.get("/join/"+secret), 410, "")
	if err := h.db.Accounts().First(t.Context(), newSecret(), h.clock().Add(time.Hour)); err == nil {
		t.Error("a second link to set up what is set up")
	}
	a := h.account("EVA")
	f, g, err := h.db.Accounts().Guardian(t.Context(), a)
	if err != nil || g.Name != "Eva" || g.Role != policy.Owner || !a.Operator || f.ID == 0 {
		t.Errorf("account %+v of guardian %+v, %v", a, g, err)
	}
	late := newSecret()
	if _, err := h.db.Accounts().Invite(t.Context(), store.Pass{Family: f.ID, Name: "Karl", Role: policy.Viewer, Until: h.clock().Add(time.Hour)}, late); err != nil {
		t.Fatal(err)
	}
	h.later(time.Hour)
	want(t, "after its time", other.get("/join/"+late), 410, "")
}

// Who set the server up for others is of no family.
func TestOperatorOfOthers(t *testing.T) {
	h := newHouse(t)
	secret := newSecret()
	if err := h.db.Accounts().First(t.Context(), secret, h.clock().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want(t, "setting up", h.browser().post("/start/"+secret, "for", "others", "called", "Ops", "name", "ops", "password", password, "again", password), 303, "/welcome")
	if a := h.account("ops"); a.Family != 0 || a.Guardian != 0 || !a.Operator {
		t.Errorf("account %+v", a)
	}
	f, _, err := h.db.Family(t.Context(), 0)
	if err != nil || len(f.Guardians) != 0 {
		t.Errorf("guardians %v, %v", f.Guardians, err)
	}
}

// Who guesses learns nothing: the answer and the work are the same for a name that
// is nobody's, a wrong password, and an account whose password was taken back.
func TestSignInTellsNothing(t *testing.T) {
	h := newHouse(t)
	h.first()
	h.joined("Kai", policy.Carer)
	if err := h.db.Accounts().Reset(t.Context(), h.account("kai").ID, newSecret(), h.clock().Add(time.Hour), false); err != nil {
		t.Fatal(err)
	}
	var answers []string
	for _, name := range []string{"eva", "zoe", "kai"} {
		before := h.worked
		w := h.browser().post("/sign-in", "name", name, "password", "four wrong words here")
		if w.Code != 403 || h.worked != before+1 {
			t.Errorf("%s: %d after working on %d passwords, want 403 after 1", name, w.Code, h.worked-before)
		}
		answers = append(answers, fmt.Sprint(w.Header(), strings.ReplaceAll(w.Body.String(), name, "NAME")))
	}
	if answers[0] != answers[1] || answers[0] != answers[2] {
		t.Errorf("answers differ:\n%s\n%s\n%s", answers[0], answers[1], answers[2])
	}
	c, _, _, err := decodeHash(h.server.hasher.dummy)
	if err != nil || c != h.server.hasher.cost {
		t.Errorf("nobody's hash costs %v, %v; want %v", c, err, h.server.hasher.cost)
	}
}

// Until somebody has an account, the sign-in says how there comes to be one.
func TestSignInOfNobody(t *testing.T) {
	h := newHouse(t)
	const says = "kinward console link"
	if page := h.browser().get("/sign-in").Body.String(); !strings.Contains(page, says) {
		t.Errorf("the sign-in of an empty house does not say %q:\n%s", says, page)
	}
	h.first()
	if page := h.browser().get("/sign-in").Body.String(); strings.Contains(page, says) {
		t.Errorf("the sign-in says %q to those who have an account", says)
	}
}

// A session is new at each sign-in, whatever the browser showed before, and what it
// showed opens nothing any more.
func TestSessionIsNewAtSignIn(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	u, _ := url.Parse(eva.base)
	before := eva.jar.Cookies(u)
	planted := h.browser()
	planted.jar.SetCookies(u, []*http.Cookie{{Name: "kinward-session", Value: "chosen-by-an-attacker", Path: "/"}})
	want(t, "signing in", planted.post("/sign-in", "name", "eva", "password", password), 303, "/")
	for _, c := range planted.jar.Cookies(u) {
		if c.Name == "kinward-session" && c.Value == "chosen-by-an-attacker" {
			t.Error("the session is the one that was planted")
		}
	}
	want(t, "signing in again", eva.post("/sign-in", "name", "eva", "password", password), 303, "/")
	old := h.browser()
	old.jar.SetCookies(u, before)
	if old.signedIn() {
		t.Error("the session from before still opens the console")
	}
	if !eva.signedIn() {
		t.Error("the new one does not")
	}
}

// Sessions end by themselves: unused, and however much they are used.
func TestSessionEnds(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	h.later(sessionIdle - time.Minute)
	if !eva.signedIn() {
		t.Error("it ended before its time")
	}
	h.later(sessionIdle)
	if eva.signedIn() {
		t.Error("it was idle for long enough")
	}
	want(t, "signing in", eva.post("/sign-in", "name", "eva", "password", password), 303, "/")
	for range int(sessionLife/sessionIdle) + 1 {
		h.later(sessionIdle - time.Hour)
		eva.signedIn()
	}
	if eva.signedIn() {
		t.Error("it lasts for ever where it is used")
	}
	if err := h.db.Accounts().Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A new password ends every session but this one, and a reset all of them; a
// guardian who is removed is out at once.
func TestWhatEndsSessions(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	phone := h.browser()
	want(t, "the phone", phone.post("/sign-in", "name", "eva", "password", password), 303, "/")
	w := eva.post("/account/password", "old", "four wrong words here", "password", "five other plain words here", "again", "five other plain words here")
	if w.Code != 403 || !phone.signedIn() {
		t.Errorf("the wrong password before: %d", w.Code)
	}
	want(t, "changing it", eva.post("/account/password", "old", password, "password", "five other plain words here", "again", "five other plain words here"), 303, "/account")
	if phone.signedIn() || !eva.signedIn() {
		t.Errorf("signed in: phone %t, here %t; want only here", phone.signedIn(), eva.signedIn())
	}
	secret := newSecret()
	if _, err := h.db.Accounts().AddToken(t.Context(), store.Token{Account: h.account("eva").ID, Name: "script"}, "token"); err != nil {
		t.Fatal(err)
	}
	if err := h.db.As("command line").Accounts().Reset(t.Context(), h.account("eva").ID, secret, h.clock().Add(time.Hour), false); err != nil {
		t.Fatal(err)
	}
	if eva.signedIn() {
		t.Error("after a reset the session still opens the console")
	}
	if _, _, err := h.db.Accounts().Token(t.Context(), "token"); err == nil {
		t.Error("after a reset the token still opens the API")
	}
	want(t, "the password before", phone.post("/sign-in", "name", "eva", "password", "five other plain words here"), 403, "")
	want(t, "the new one", phone.post("/reset/"+secret, "password", password, "again", password), 303, "/")
	want(t, "the link again", phone.post("/reset/"+secret, "password", password, "again", password), 410, "")
	changes, err := h.db.Changes(t.Context(), 1, 1)
	if err != nil || len(changes) != 1 || changes[0].Who != "command line" || !strings.Contains(changes[0].What, "reset the password of eva") {
		t.Errorf("the family's history: %v, %v", changes, err)
	}
	karl := h.joined("Karl", policy.Carer)
	if _, err := h.db.Change(t.Context(), store.Edit{}, func(f *policy.Family) (string, error) { return f.RemoveGuardian("Karl") }); err != nil {
		t.Fatal(err)
	}
	if karl.signedIn() {
		t.Error("a guardian who was removed is still signed in")
	}
	want(t, "signing in", karl.post("/sign-in", "name", "karl", "password", password), 403, "")
}

func digits(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	c, err := totp.GenerateCodeCustom(secret, at, totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// factor sets up codes for eva, and returns the secret.
func (c *caller) factor() string {
	c.t.Helper()
	page := c.get("/account/factor").Body.String()
	secret := strings.ReplaceAll(regexp.MustCompile(`id="secret">([A-Z2-7 ]+)<`).FindStringSubmatch(page)[1], " ", "")
	seal := regexp.MustCompile(`name="seal" value="([^"]+)"`).FindStringSubmatch(page)[1]
	want(c.t, "a wrong code", c.post("/account/factor", "seal", seal, "code", "000000"), 422, "")
	want(c.t, "the code", c.post("/account/factor", "seal", seal, "code", digits(c.t, secret, c.clock())), 303, "/account/codes")
	return secret
}

// The second factor: a password alone does not open, a code works once, within a
// step of the clock, and so does each recovery code.
func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	secret := eva.factor()
	shown := eva.post("/account/codes").Body.String()
	codes := regexp.MustCompile(`[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}`).FindAllString(shown, -1)
	if len(codes) != recoveryCodes {
		t.Fatalf("%d recovery codes are shown, want %d", len(codes), recoveryCodes)
	}
	used := digits(t, secret, h.clock())
	h.later(time.Minute)
	half := func() *caller {
		c := h.browser()
		want(t, "the password", c.post("/sign-in", "name", "eva", "password", password, "next", "/account"), 303, "/sign-in/code")
		if c.signedIn() {
			t.Fatal("a password alone opens the console")
		}
		return c
	}
	for _, tt := range []struct {
		name, code string
		status     int
	}{
		{"nothing", "", 403},
		{"a code of long ago", digits(t, secret, h.clock().Add(-5*time.Minute)), 403},
		{"the code that switched it on", used, 403},
		{"the code of now", digits(t, secret, h.clock())[:3] + " " + digits(t, secret, h.clock())[3:], 303},
		{"the same again", digits(t, secret, h.clock()), 403},
		{"one before it", digits(t, secret, h.clock().Add(-30*time.Second)), 403},
		{"one of a clock that is ahead", digits(t, secret, h.clock().Add(30*time.Second)), 303},
		{"a recovery code", strings.ToUpper(codes[3]), 303},
		{"the same recovery code", codes[3], 403},
		{"another, as it was kept", strings.ReplaceAll(codes[4], "-", ""), 303},
	} {
		c := half()
		w := c.post("/sign-in/code", "code", tt.code)
		if w.Code != tt.status || c.signedIn() != (tt.status == 303) {
			t.Errorf("%s: %d and signed in %t, want %d", tt.name, w.Code, c.signedIn(), tt.status)
		}
	}
	c := half()
	h.later(halfLife)
	want(t, "half-way for too long", c.post("/sign-in/code", "code", digits(t, secret, h.clock())), 303, "/sign-in")
	c = half()
	if err := h.db.Accounts().ChangePassword(t.Context(), h.account("eva").ID, h.account("eva").Password+"x", 0); err != nil {
		t.Fatal(err)
	}
	want(t, "half-way with a password of before", c.post("/sign-in/code", "code", digits(t, secret, h.clock())), 303, "/sign-in")
}

// What would do harm asks again who sits there, and comes back.
func TestConfirm(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	want(t, "just signed in", eva.get("/account/factor"), 200, "")
	h.later(proofLasts)
	want(t, "later", eva.get("/account/factor"), 303, "/confirm?next=%2Faccount%2Ffactor")
	w := eva.send("POST", "/account/factor/remove", nil, func(q *http.Request) { q.Header.Set("Referer", eva.base+"/account/factor") })
	want(t, "a form", w, 303, "/confirm?next=%2Faccount%2Ffactor")
	u, _ := url.Parse(eva.base)
	before := eva.jar.Cookies(u)
	want(t, "the wrong password", eva.post("/confirm", "next", "/account/factor", "password", "four wrong words here"), 403, "")
	want(t, "the right one", eva.post("/confirm", "next", "/account/factor", "password", password), 303, "/account/factor")
	want(t, "then", eva.get("/account/factor"), 200, "")
	old := h.browser()
	old.jar.SetCookies(u, before)
	if old.signedIn() {
		t.Error("the session's secret from before it could do more still opens it")
	}
	secret := eva.factor()
	h.later(proofLasts)
	want(t, "with a second factor", eva.post("/confirm", "next", "/account/factor", "password", password), 303, "/sign-in/code")
	want(t, "not yet", eva.get("/account/factor"), 303, "/confirm?next=%2Faccount%2Ffactor")
	want(t, "the code", eva.post("/sign-in/code", "code", digits(t, secret, h.clock())), 303, "/account/factor")
	want(t, "then", eva.get("/account/factor"), 200, "")
}

// Guessing is slow: for a place, for a name, and for all; who has signed in here
// before is not shut out by who guesses elsewhere.
func TestGuessingIsSlow(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	eva.post("/sign-out")
	guess := func(from, name string) int {
		c := h.browser()
		c.from = from
		return c.post("/sign-in", "name", name, "password", "four wrong words here").Code
	}
	for i := range wrongPerPlace {
		if got := guess("198.51.100.7:1000", fmt.Sprintf("name%d", i)); got != 403 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	worked := h.worked
	if got := guess("198.51.100.200:1000", "eva"); got != 429 || h.worked != worked {
		t.Errorf("one too many from a network: %d", got)
	}
	if got := guess("203.0.113.7:1000", "eva"); got != 403 {
		t.Errorf("from another network: %d", got)
	}
	for i := range wrongPerName {
		guess(fmt.Sprintf("203.0.%d.7:1000", i), "Mallory")
		guess(fmt.Sprintf("192.0.%d.7:1000", i), "eva")
	}
	for _, name := range []string{"mallory", "eva"} { // whether there is an account or not
		if got := guess("100.64.0.1:1000", name); got != 429 {
			t.Errorf("one too many for the name %s: %d", name, got)
		}
	}
	want(t, "in the browser that knows her", eva.post("/sign-in", "name", "eva", "password", password), 303, "/")
	h.later(wrongWindow)
	if got := guess("198.51.100.7:1000", "eva"); got != 403 {
		t.Errorf("after a while: %d", got)
	}
	for i := range wrongAltogther {
		h.server.door.failed(netip4(10, 0, byte(i>>8), byte(i)), fmt.Sprint(i))
	}
	if got := guess("100.64.0.9:1000", "somebody"); got != 429 {
		t.Errorf("one too many altogether: %d", got)
	}
	if n := h.server.door.wrong.Len(); n > wrongKept {
		t.Errorf("%d are remembered, want at most %d", n, wrongKept)
	}
}

// Passwords are worked on a few at a time, and few may wait.
func TestPasswordsTakeTurns(t *testing.T) {
	h := newHasher(cost{memory: 8, time: 1, lanes: 1})
	var ends []func()
	for range hashing {
		done, err := h.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, done)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.hash(ctx, "x"); err != errBusy {
		t.Errorf("one more who does not wait: %v", err)
	}
	for range waiting {
		h.queue <- struct{}{}
	}
	if _, err := h.hash(t.Context(), "x"); err != errBusy {
		t.Errorf("one more than may wait: %v", err)
	}
	for range waiting {
		<-h.queue
	}
	for _, end := range ends {
		end()
	}
	if _, err := h.hash(t.Context(), "x"); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// A hash of another cost is made anew when its password comes, and in no other way.
func TestPasswordIsHashedAnew(t *testing.T) {
	h := newHouse(t)
	h.first()
	before := h.account("eva").Password
	h.server.hasher.cost.time++
	h.browser().post("/sign-in", "name", "eva", "password", "four wrong words here")
	if h.account("eva").Password != before {
		t.Error("a wrong password changed the hash")
	}
	want(t, "signing in", h.browser().post("/sign-in", "name", "eva", "password", password), 303, "/")
	after := h.account("eva").Password
	if c, _, _, err := decodeHash(after); err != nil || c != h.server.hasher.cost {
		t.Errorf("the hash costs %v, %v; want %v", c, err, h.server.hasher.cost)
	}
	want(t, "signing in", h.browser().post("/sign-in", "name", "eva", "password", password), 303, "/")
	if h.account("eva").Password != after {
		t.Error("a hash of today's cost was made anew")
	}
}

// What happened at the door is kept without what was typed, and shown to owners.
func TestDoor(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	karl := h.joined("Karl", policy.Carer)
	guess := h.browser()
	guess.from = "203.0.113.77:1000"
	for range 3 {
		guess.post("/sign-in", "name", "eva", "password", "a-guess-of-hers")
	}
	guess.post("/sign-in", "name", "typed-into-the-wrong-field", "password", "another-guess")
	page := eva.get("/account/door").Body.String()
	for _, wants := range []string{"made the account", "tried to sign in, and was wrong", "3 times within the hour", "203.0.113.0/24", "Firefox, Linux", "Karl"} {
		if !strings.Contains(page, wants) {
			t.Errorf("the page lacks %q", wants)
		}
	}
	want(t, "a guardian", karl.get("/account/door"), 403, "")
	events, err := h.db.Accounts().Events(t.Context(), 0, 100)
	if err != nil || len(events) != 1 || events[0].Who != "" {
		t.Errorf("what was about nobody: %v, %v", events, err)
	}
	for _, secret := range []string{"a-guess-of-hers", "typed-into-the-wrong-field", "another-guess", "203.0.113.77", password} {
		if strings.Contains(page, secret) || strings.Contains(h.log.String(), secret) {
			t.Errorf("page or log holds %q", secret)
		}
	}
}

func netip4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// Each page can be read, in each language.
func TestPagesCanBeRead(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	p, err := loadPages(texts)
	if err != nil {
		t.Fatal(err)
	}
	for tag, pages := range p.of {
		for name, read := range pages {
			if _, err := read(); err != nil {
				t.Errorf("%s in %s: %v", name, tag, err)
			}
		}
	}
}
