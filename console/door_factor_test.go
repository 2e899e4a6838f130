package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

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
	for i := range wrongAltogether {
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
