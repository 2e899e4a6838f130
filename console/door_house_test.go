package console

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// invited names a guardian of the home family and returns the secret of the link
// that invites them, which holds for an hour.
func (h *house) invited(name string, role policy.Role) string {
	h.t.Helper()
	secret := newSecret()
	err := h.db.Together(h.t.Context(), func(tx *store.Tx) error {
		var id policy.GuardianID
		_, err := tx.Change(store.Edit{}, func(f *policy.Family) (what string, err error) {
			id, what, err = f.AddGuardian(name, role)
			return what, err
		})
		if err == nil {
			_, err = tx.Invite(store.Pass{Guardian: id, Who: "Eva", Until: h.clock().Add(time.Hour)}, secret)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

// joined has somebody join the home family, and returns their browser.
func (h *house) joined(name string, role policy.Role) *caller {
	h.t.Helper()
	secret := h.invited(name, role)
	c := h.browser()
	want(h.t, "joining", c.post("/join/"+secret, "name", strings.ToLower(name), "password", password, "again", password), 303, "/welcome")
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

func netip4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }
