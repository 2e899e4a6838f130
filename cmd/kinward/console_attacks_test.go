package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/console"
	"kinward/journal"
	"kinward/policy"
	"kinward/store"
)

// The table of attacks: what somebody may try at the console, against every route
// that there is. A new route is in it by itself.

// siege is a console before two families, of which the second has what nobody else
// may ever see, marked with the word canary.
type siege struct {
	*deskHouse
	base     string
	patterns []string
	sessions map[string]string // the cookie of each who is signed in
	ids      []string          // of things of the second family
}

// at home: eva (owner), karl (guardian) and oma (viewer); theirs is the owner of
// the second family, and ops runs the server.
func laySiege(t *testing.T) *siege {
	t.Helper()
	h := newDeskHouse(t)
	if _, err := h.n.state(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &siege{deskHouse: h, sessions: map[string]string{}}
	accounts := h.n.db.Accounts()
	until := time.Now().Add(time.Hour)
	enter := func(name, secret string) {
		a, err := accounts.Enter(t.Context(), secret, store.Newcomer{Name: name, Password: "no hash"})
		must(t, err)
		s.sessions[name] = s.signIn(a.ID, until, until)
	}
	for _, g := range []struct {
		family policy.FamilyID
		called string
		name   string
	}{{1, "Eva", "eva"}, {1, "Karl", "karl"}, {1, "Oma", "oma"}, {2, "Eva", "canary-eva"}} {
		secret := console.NewPassSecret()
		_, err := accounts.Invite(t.Context(), store.Pass{Family: g.family, Guardian: h.guardian(g.family, g.called).Guardian, Until: until}, secret)
		must(t, err)
		enter(g.name, secret)
	}
	secret := console.NewPassSecret()
	must(t, accounts.MakeOperator(t.Context(), "test", secret, until))
	enter("ops", secret)

	about2 := about{Family: "2"}
	must(t, h.command("profiles-add", change[profileRequest]{about2, profileRequest{Profile: "canary-child", Preset: "A"}}))
	must(t, h.command("rules-add", change[ruleRequest]{about2, ruleRequest{Profile: "canary-child", Name: "canary-rule.example"}}))
	must(t, h.command("guardians-add", change[guardianRequest]{about2, guardianRequest{Name: "canary-grandma", Role: "viewer"}}))
	theirs, _, err := h.n.db.Family(t.Context(), 2)
	must(t, err)
	child, err := theirs.Profile("canary-child")
	must(t, err)
	details, err := json.Marshal(map[string]any{
		"v": 1, "verdict": "block", "reason": "rule", "domain": "canary-incident.example", "revision": 1,
		"names": []any{map[string]any{"name": "canary-incident.example", "n": 1}}, "types": []int{1}, "tries": 1, "queries": 1,
	})
	must(t, err)
	incident := "00000000000000000000000000c0ffee"
	now := time.Now().Truncate(time.Millisecond)
	must(t, h.n.db.Write(t.Context(), journal.Batch{Rows: []journal.Row{{Family: 2, ID: incident, Profile: child.ID, First: now, Last: now, Details: details}}}))
	s.ids = []string{incident, fmt.Sprint(child.ID), "canary-child", "canary-grandma", "2", "1", "3"}
	for i := range theirs.LastID {
		s.ids = append(s.ids, fmt.Sprint(i+1))
	}
	slices.Sort(s.ids)
	s.ids = slices.Compact(s.ids)

	key, err := accounts.Key(t.Context())
	must(t, err)
	server, err := console.New(console.Config{
		Listen: "127.0.0.1:0", Accounts: accounts, Key: key, Desk: h.desk, Changed: h.n.refresh, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	s.base, s.patterns = "http://"+server.Addr(), server.Patterns()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *siege) signIn(account store.AccountID, idle, until time.Time) string {
	s.t.Helper()
	secret := console.NewPassSecret()
	_, err := s.n.db.Accounts().AddSession(s.t.Context(), store.Session{Account: account, Agent: "test", Proved: time.Now(), Idle: idle, Until: until}, secret)
	must(s.t, err)
	return secret
}

// walk returns all requests of a method that the routes know, with each of the
// values in the place of what a path leaves open.
func (s *siege) walk(values []string, methods ...string) (out [][2]string) {
	open := regexp.MustCompile(`\{[^}]*\}`)
	for _, p := range s.patterns {
		method, path, _ := strings.Cut(p, " ")
		if !slices.Contains(methods, method) || strings.HasPrefix(path, "/static/") {
			continue
		}
		path = strings.ReplaceAll(path, "{$}", "")
		if !open.MatchString(path) {
			out = append(out, [2]string{method, path})
			continue
		}
		for _, v := range values {
			out = append(out, [2]string{method, open.ReplaceAllString(path, url.PathEscape(v))})
		}
	}
	if len(out) < 5 {
		s.t.Fatalf("%d requests of %v; want more", len(out), methods)
	}
	return out
}

// try makes one request, follows nothing, and reads at most some of a page that
// never ends.
func (s *siege) try(method, path, session string, change func(*http.Request)) (*http.Response, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if method != http.MethodGet {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q.Header.Set("Origin", s.base)
	}
	if session != "" {
		q.AddCookie(&http.Cookie{Name: "kinward-session", Value: session})
	}
	if change != nil {
		change(q)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Do(q)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer r.Body.Close()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r, string(body)
}

// openRoutes may be used by whoever comes: the door, and what devices meet.
var openRoutes = regexp.MustCompile(`^/(sign-in|sign-out|language|start|join|operate|reset|static|my|ask|help|manifest|icons?|sw\.js|api$|api/v1/openapi|more|favicon|setup/)`)

// Whoever is not signed in is sent to the door, and so is who shows a session that
// has ended, was revoked, or never was.
func TestAttackWithoutSession(t *testing.T) {
	s := laySiege(t)
	accounts := s.n.db.Accounts()
	eva, err := accounts.ByName(t.Context(), "eva")
	must(t, err)
	past := time.Now().Add(-time.Second)
	revoked := s.signIn(eva.ID, time.Now().Add(time.Hour), time.Now().Add(time.Hour))
	idle := s.signIn(eva.ID, past, time.Now().Add(time.Hour))
	over := s.signIn(eva.ID, time.Now().Add(time.Hour), past)
	_, err = accounts.EndSessions(t.Context(), eva.ID, 0)
	must(t, err)
	idle2 := s.signIn(eva.ID, past, time.Now().Add(time.Hour))
	for what, session := range map[string]string{"none": "", "revoked": revoked, "idle": idle, "idle, kept": idle2, "over": over, "made up": "AAAA", "a hash": strings.Repeat("0", 64), "SQL": "' OR 1=1 --"} {
		for _, q := range s.walk([]string{"1"}, "GET", "POST", "PUT", "PATCH", "DELETE") {
			if openRoutes.MatchString(q[1]) {
				continue
			}
			r, body := s.try(q[0], q[1], session, nil)
			shut := r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusSeeOther && strings.HasPrefix(r.Header.Get("Location"), "/sign-in")
			if !shut {
				t.Errorf("session %s: %s %s: %s\n%.300s", what, q[0], q[1], r.Status, body)
			}
		}
	}
}

// Every answer, whatever it is about, carries the strictest headers, and none may
// be kept by a cache between.
func TestAttackHeaders(t *testing.T) {
	s := laySiege(t)
	for _, session := range []string{"", s.sessions["eva"]} {
		for _, q := range append(s.walk([]string{"1"}, "GET", "POST"), [2]string{"GET", "/no/such/page"}, [2]string{"DELETE", "/"}) {
			r, _ := s.try(q[0], q[1], session, nil)
			checkHeaders(t, q[0]+" "+q[1], r.Header, false)
			if strings.HasPrefix(q[1], "/manifest") || strings.HasPrefix(q[1], "/worker") || strings.HasPrefix(q[1], "/api/v1/openapi") {
				continue
			}
			if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") && r.Header.Get("ETag") == "" {
				t.Errorf("%s %s: Cache-Control %q", q[0], q[1], got)
			}
		}
	}
}

// checkHeaders holds an answer against the rules of Mozilla's HTTP Observatory
// (its tests "csp", "x-frame-options", "hsts", …), each at its best mark.
func checkHeaders(t *testing.T, what string, h http.Header, secure bool) {
	t.Helper()
	csp := map[string]string{}
	for part := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		csp[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
	} {
		if csp[name] != want {
			t.Errorf("%s: CSP %s is %q, want %q", what, name, csp[name], want)
		}
	}
	for name, value := range csp {
		if strings.Contains(value, "unsafe") || strings.Contains(value, "http:") || strings.Contains(value, "*") || name == "script-src" && strings.Contains(value, "data:") {
			t.Errorf("%s: CSP %s allows %s", what, name, value)
		}
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Access-Control-Allow-Origin": "", "Server": "", "X-Powered-By": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	if got := h.Get("Strict-Transport-Security"); secure != (got == "max-age=31536000") {
		t.Errorf("%s: Strict-Transport-Security is %q", what, got)
	}
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode || c.Secure != secure || c.Domain != "" ||
			secure && strings.Contains(c.Name, "session") && !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("%s: cookie %v", what, c)
		}
	}
}

// A page of another site can neither send a form here, nor be this server to the
// browser under a name of its own.
func TestAttackFromElsewhere(t *testing.T) {
	s := laySiege(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.base, "http://"))
	before := s.content()
	for _, tt := range []struct {
		name    string
		methods []string
		change  func(*http.Request)
		status  int
	}{
		{"a name that leads here", []string{"GET", "POST"}, func(q *http.Request) { q.Host = "evil.example:" + port; q.Header.Set("Origin", "http://"+q.Host) }, 421},
		{"this machine in a longer name", []string{"GET"}, func(q *http.Request) { q.Host = "localhost.evil.example" }, 421},
		{"an address that is not ours", []string{"GET"}, func(q *http.Request) { q.Host = "203.0.113.1" }, 421},
		{"a name with a trick", []string{"GET"}, func(q *http.Request) { q.Host = "localhost@evil.example" }, 421},
		{"a form of another site", []string{"POST"}, func(q *http.Request) {
			q.Header.Set("Origin", "https://evil.example")
			q.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"a form of another port", []string{"POST"}, func(q *http.Request) { q.Header.Set("Origin", "http://127.0.0.1:1") }, 403},
		{"a form of a sister site", []string{"POST"}, func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"a form of a sandbox", []string{"POST"}, func(q *http.Request) { q.Header.Set("Origin", "null") }, 403},
		{"a form from nowhere", []string{"POST"}, func(q *http.Request) { q.Header.Del("Origin") }, 403},
		{"a form that hides where it comes from", []string{"POST"}, func(q *http.Request) { q.Header.Del("Origin"); q.Header.Set("Referer", s.base+"/account") }, 403},
	} {
		for _, q := range s.walk([]string{"1"}, tt.methods...) {
			r, _ := s.try(q[0], q[1], s.sessions["eva"], tt.change)
			if r.StatusCode != tt.status && !(tt.status == 421 && r.StatusCode == 403) && !(tt.status == 421 && r.StatusCode == 400) {
				t.Errorf("%s: %s %s: %s, want %d", tt.name, q[0], q[1], r.Status, tt.status)
			}
		}
	}
	if after := s.content(); after != before {
		t.Errorf("something was changed: %s, before %s", after, before)
	}
}

// content sums up the database: each table with its rows.
func (s *siege) content() string {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.cfg.Data, store.FileName)+"?mode=ro")
	must(s.t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	must(s.t, err)
	var tables []string
	for rows.Next() {
		var name string
		must(s.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	must(s.t, rows.Err())
	rows.Close()
	var b strings.Builder
	for _, table := range tables {
		switch table {
		case "journal_views", "door": // that somebody looked or tried is what they keep
			continue
		}
		all, err := db.Query(`SELECT * FROM "` + table + `"`)
		must(s.t, err)
		columns, err := all.Columns()
		must(s.t, err)
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		fmt.Fprintf(&b, "\n%s:", table)
		for all.Next() {
			must(s.t, all.Scan(into...))
			fmt.Fprintf(&b, "\n  %v", values)
		}
		must(s.t, all.Err())
		all.Close()
	}
	return b.String()
}

// Looking changes nothing, whoever looks at whatever.
func TestAttackGetChangesNothing(t *testing.T) {
	s := laySiege(t)
	before := s.content()
	for _, who := range []string{"eva", "oma", "ops"} {
		for _, q := range s.walk([]string{"1", s.ids[0]}, "GET") {
			s.try(q[0], q[1]+"?do=1&remove=1&id=1&confirm=1", s.sessions[who], nil)
		}
	}
	if after := s.content(); after != before {
		t.Errorf("looking has changed the database from\n%s\nto\n%s", before, after)
	}
}

// No page shows anything of another family, by whatever ID of theirs it is asked
// for, and no form does anything to it.
func TestAttackAnotherFamily(t *testing.T) {
	s := laySiege(t)
	theirs := func() string {
		f, revision, err := s.n.db.Family(t.Context(), 2)
		must(t, err)
		b, err := json.Marshal(f)
		must(t, err)
		return fmt.Sprintf("%d %s", revision, b)
	}
	before := theirs()
	names := []string{"", "?family=2&family=1", "?profile=canary-child&child=canary-child&device=1&id=00000000000000000000000000c0ffee"}
	for _, who := range []string{"eva", "karl", "oma", "ops"} {
		for _, q := range s.walk(s.ids, "GET") {
			for _, query := range names {
				r, body := s.try(q[0], q[1]+query, s.sessions[who], nil)
				for _, part := range []string{body, fmt.Sprint(r.Header)} {
					for id := range strings.SplitSeq(q[1]+query, "/") { // what was asked for may be said again
						part = strings.ReplaceAll(part, id, "")
					}
					for _, asked := range []string{"canary-child", "canary-grandma", "00000000000000000000000000c0ffee", url.QueryEscape(q[1] + query)} {
						part = strings.ReplaceAll(part, asked, "")
					}
					if who == "ops" { // that a family is there, operators may know
						continue
					}
					if i := strings.Index(part, "canary"); i >= 0 {
						t.Errorf("%s sees of another family at %s: …%s…", who, q[1]+query, part[max(0, i-80):min(len(part), i+80)])
					}
				}
				if who == "ops" && (strings.Contains(body, "canary-incident") || strings.Contains(body, "canary-rule")) {
					t.Errorf("who runs the server sees what a family's child did, at %s", q[1]+query)
				}
				if r.StatusCode >= 500 {
					t.Errorf("%s: GET %s: %s\n%.300s", who, q[1]+query, r.Status, body)
				}
			}
		}
		form := url.Values{"family": {"2"}, "id": {"1"}, "profile": {"canary-child"}, "child": {"canary-child"}, "name": {"canary-rule.example"}, "guardian": {"canary-grandma"}}
		for _, q := range s.walk(s.ids, "POST", "PUT", "PATCH", "DELETE") {
			if strings.HasPrefix(q[1], "/sign-out") {
				continue
			}
			r, body := s.try(q[0], q[1], s.sessions[who], func(q *http.Request) {
				q.Body = io.NopCloser(strings.NewReader(form.Encode()))
				q.ContentLength = int64(len(form.Encode()))
			})
			if r.StatusCode >= 500 {
				t.Errorf("%s: %s %s: %s\n%.300s", who, q[0], q[1], r.Status, body)
			}
			if strings.Contains(body, "canary-incident") {
				t.Errorf("%s sees an incident of another family at %s %s", who, q[0], q[1])
			}
		}
	}
	if after := theirs(); after != before {
		t.Errorf("the other family was changed:\n%s\nbefore:\n%s", after, before)
	}
}

// Who may only look changes nothing, by no form: what is theirs is their account
// alone.
func TestAttackByViewer(t *testing.T) {
	s := laySiege(t)
	before, revision, err := s.n.db.Family(t.Context(), 0)
	must(t, err)
	form := url.Values{"profile": {"Everyone"}, "name": {"example.com"}, "preset": {"E"}, "action": {"allow"}, "choice": {"allow"}, "for": {"15m"}, "role": {"owner"}, "guardian": {"Oma"}, "days": {"1"}}
	for _, q := range s.walk([]string{"1", "Everyone", "Oma"}, "POST", "PUT", "PATCH", "DELETE") {
		if strings.HasPrefix(q[1], "/sign-out") {
			continue
		}
		s.try(q[0], q[1], s.sessions["oma"], func(q *http.Request) {
			q.Body = io.NopCloser(strings.NewReader(form.Encode()))
			q.ContentLength = int64(len(form.Encode()))
		})
	}
	after, now, err := s.n.db.Family(t.Context(), 0)
	must(t, err)
	if revision != now {
		t.Errorf("a viewer has changed the family from revision %d to %d: %+v, before %+v", revision, now, after, before)
	}
	for _, q := range s.walk([]string{"1"}, "GET") {
		if r, _ := s.try(q[0], q[1], s.sessions["oma"], nil); strings.Contains(q[1], "/operator") && r.StatusCode != http.StatusForbidden {
			t.Errorf("a viewer at %s: %s", q[1], r.Status)
		}
	}
}

// What is too large is refused before it is read, and what is put into headers and
// addresses stays there.
func TestAttackInputs(t *testing.T) {
	s := laySiege(t)
	large := strings.Repeat("a=b&", 1<<19)
	for _, q := range s.walk([]string{"1"}, "POST") {
		r, _ := s.try(q[0], q[1], s.sessions["eva"], func(q *http.Request) {
			q.Body = io.NopCloser(strings.NewReader(large))
			q.ContentLength = int64(len(large))
		})
		if r.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %s with %d bytes: %s", q[0], q[1], len(large), r.Status)
		}
	}
	for _, next := range []string{
		"https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "/\t/evil.example", "/\r\nSet-Cookie: x=y",
		"http:evil.example", "///evil.example", "/%0d%0aSet-Cookie:x=y", "evil.example", " //evil.example", "/ok?next=//evil.example",
	} {
		r, _ := s.try("GET", "/sign-in?next="+url.QueryEscape(next), s.sessions["eva"], nil)
		to, err := r.Location()
		if err != nil || "http://"+to.Host != s.base {
			t.Errorf("next %q leads to %v, %v", next, to, err)
		}
		if r.Header.Get("Set-Cookie") != "" && strings.Contains(r.Header.Get("Set-Cookie"), "x=y") {
			t.Errorf("next %q sets a cookie", next)
		}
	}
	for _, session := range []string{strings.Repeat("a", 8000), s.sessions["eva"] + "=", strings.ToUpper(s.sessions["eva"])} {
		if r, _ := s.try("GET", "/account", "", func(q *http.Request) { q.Header.Set("Cookie", "kinward-session="+session) }); r.StatusCode == http.StatusOK {
			t.Errorf("a session that is nearly right opens the console: %q", session)
		}
	}
	if r, _ := s.try("GET", "/", "", func(q *http.Request) { q.Header.Set("Cookie", strings.Repeat("a=b; ", 8000)) }); r.StatusCode < 400 {
		t.Errorf("40 kB of header: %s", r.Status)
	}
	for _, path := range []string{"/../../etc/passwd", "/static/../texts/en.yaml", "/static/%2e%2e/texts/en.yaml", "/static/..%2ftexts%2fen.yaml", "/static//etc/passwd"} {
		if r, body := s.try("GET", path, "", nil); r.StatusCode == http.StatusOK && strings.Contains(body, "error.title") {
			t.Errorf("%s: %s\n%.100s", path, r.Status, body)
		}
	}
}

// What is named at the door and is another's is not there: a session or a passkey
// of somebody else, in the same family too.
func TestAttackAnotherAccount(t *testing.T) {
	s := laySiege(t)
	accounts := s.n.db.Accounts()
	for _, name := range []string{"karl", "canary-eva", "ops"} {
		a, err := accounts.ByName(t.Context(), name)
		must(t, err)
		sessions, err := accounts.Sessions(t.Context(), a.ID)
		must(t, err)
		must(t, accounts.AddPasskey(t.Context(), store.Passkey{Account: a.ID, Credential: []byte(name), Document: []byte(`{}`), Name: "phone"}))
		passkeys, err := accounts.Passkeys(t.Context(), a.ID)
		must(t, err)
		for path, id := range map[string]any{"/account/sessions": sessions[0].ID, "/account/passkeys/remove": passkeys[0].ID} {
			body := fmt.Sprint("id=", id)
			r, _ := s.try("POST", path, s.sessions["eva"], func(q *http.Request) {
				q.Body, q.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			})
			if r.StatusCode != http.StatusNotFound {
				t.Errorf("%s of %s: %s", path, name, r.Status)
			}
		}
		if r, _ := s.try("GET", "/account", s.sessions[name], nil); r.StatusCode != http.StatusOK {
			t.Errorf("%s afterwards: %s", name, r.Status)
		}
	}
}
