package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/policy"
	"kinward/store"
)

const password = "four plain words here"

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
		w := c.post("/start/"+secret, form...)
		beside := regexp.MustCompile(`aria-invalid="true" aria-describedby="f-` + tt.field + `-wrong">\s*<p class="wrong" id="f-` + tt.field + `-wrong">[^<]*` + tt.says)
		if w.Code != 422 || !beside.MatchString(w.Body.String()) {
			t.Errorf("%s: %d, want 422 and %q beside its field\n%s", tt.name, w.Code, tt.says, w.Body)
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
	late := h.invited("Karl", policy.Viewer)
	h.later(time.Hour)
	want(t, "after its time", other.get("/join/"+late), 410, "")
}

// What nobody named of the family that a server begins with is called in the language
// of who sets it up.
func TestFirstNames(t *testing.T) {
	for _, tt := range []struct {
		name, lang, renamed string
		want                []string
	}{
		{"in German", "de", "", []string{"Zuhause", "Alle zu Hause", "Erwachsene"}},
		{"in English", "en", "", []string{"Home", "Everyone", "Adults"}},
		{"named before", "de", "Miller", []string{"Miller", "Alle zu Hause", "Erwachsene"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			if tt.renamed != "" {
				if _, err := h.db.Change(t.Context(), store.Edit{}, func(f *policy.Family) (string, error) { return f.Rename(tt.renamed) }); err != nil {
					t.Fatal(err)
				}
			}
			secret := newSecret()
			if err := h.db.Accounts().First(t.Context(), secret, h.clock().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			c := h.browser()
			c.post("/language", "lang", tt.lang, "back", "/")
			want(t, "setting up", c.post("/start/"+secret, "for", "home", "called", "Eva", "name", "eva", "password", password, "again", password), 303, "/welcome")
			f, _, err := h.db.Family(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := []string{f.Name, f.Profiles[0].Name, f.Profiles[1].Name}; !slices.Equal(got, tt.want) {
				t.Errorf("the names are %q, want %q", got, tt.want)
			}
		})
	}
}

// Who has all passkeys that an account may have is told before the device makes one,
// in the words that refused it afterwards.
func TestPasskeysAreFull(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	id := h.account("eva").ID
	var full error
	for i := 0; full == nil; i++ {
		if w := eva.post("/account/passkeys/options"); w.Code != 200 {
			t.Fatalf("with %d passkeys: %d\n%s", i, w.Code, w.Body)
		}
		full = h.db.Accounts().AddPasskey(t.Context(), store.Passkey{Account: id, Credential: []byte{byte(i)}, Document: []byte("{}"), Name: "phone"})
		if i == 19 {
			full = h.db.Accounts().AddPasskey(t.Context(), store.Passkey{Account: id, Credential: []byte("one more"), Document: []byte("{}"), Name: "phone"})
		}
	}
	w := eva.post("/account/passkeys/options")
	if want := h.server.texts.choose("en").refusal(full.Error()); w.Code != 422 || !strings.Contains(w.Body.String(), want) || !strings.Contains(want, "remove one first") {
		t.Errorf("with all passkeys: %d, want 422 and %q\n%s", w.Code, want, w.Body)
	}
}

// A passkey is one account's: what is somebody's already is refused in words, whoever
// has it.
func TestPasskeyIsOfOneAccount(t *testing.T) {
	h := newHouse(t)
	h.first()
	h.joined("Karl", policy.Viewer)
	for i, name := range []string{"eva", "karl", "eva"} {
		err := h.db.Accounts().AddPasskey(t.Context(), store.Passkey{Account: h.account(name).ID, Credential: []byte("one"), Document: []byte("{}"), Name: "phone"})
		if errors.Is(err, store.ErrConflict) != (i > 0) || i == 0 && err != nil {
			t.Errorf("as passkey of %s: %v", name, err)
		}
		if i > 0 && !strings.Contains(h.server.texts.choose("de").refusal(err.Error()), "Diesen Passkey gibt es schon") {
			t.Errorf("in German: %q", h.server.texts.choose("de").refusal(err.Error()))
		}
	}
}

// An invitation says what whoever opens it will be, though their role or name was
// changed since it was made.
func TestInvitationSaysTheRoleOfNow(t *testing.T) {
	h := newHouse(t)
	h.first()
	link := "/join/" + h.invited("Karl", policy.Owner)
	before := h.browser().get(link).Body.String()
	err := h.db.Together(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Change(store.Edit{}, func(f *policy.Family) (string, error) {
			g, err := f.Guardian("Karl")
			if err == nil {
				g.Role, g.Name = policy.Viewer, "Grandpa"
			}
			return "changed Karl", err
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	after := h.browser().get(link).Body.String()
	for page, owner := range map[string]bool{before: true, after: false} {
		if strings.Contains(page, "As an owner") != owner || strings.Contains(page, "As a viewer") == owner || strings.Contains(page, "Grandpa") == owner {
			t.Errorf("want the page of an owner %t:\n%s", owner, page)
		}
	}
}

// Whoever signs in goes on to a page of this server, and nothing that a link brings
// gets into the header that says so.
func TestLocalPath(t *testing.T) {
	for _, to := range []string{"", "x", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "/\t/evil.example", "/x\r\ny", "/x\x00y", "/x\x1fy", "/x\x7fy"} {
		if got := localPath(to); got != "/" {
			t.Errorf("%q leads to %q", to, got)
		}
	}
	for _, to := range []string{"/", "/incidents?since=7d&device=Lea%27s", "/children/Jörg", "/%2F/x"} {
		if got := localPath(to); got != to {
			t.Errorf("%q leads to %q", to, got)
		}
	}
}

// What only the server's operator can do is told to nobody else.
func TestWelcomeToParents(t *testing.T) {
	h := newHouse(t)
	eva, tom := h.first(), h.joined("Tom", policy.Carer)
	for _, c := range []struct {
		name    string
		reach   Reach
		runs    string // what the operator is told
		parents string // what a guardian is told
	}{
		{"this machine alone", Reach{Home: "192.168.1.5:8080"}, "kinward serve --console 192.168.1.5:8080", "Whoever set Kinward up"},
		{"the home", Reach{Here: "http://192.168.1.5:8080"}, "a certificate", "http://192.168.1.5:8080"},
	} {
		h.server.reach = c.reach
		if body := eva.get("/welcome").Body.String(); !strings.Contains(body, c.runs) {
			t.Errorf("%s: the operator does not read %q\n%s", c.name, c.runs, body)
		}
		if body := tom.get("/welcome").Body.String(); strings.Contains(body, c.runs) || strings.Contains(body, "configuration") || !strings.Contains(body, c.parents) {
			t.Errorf("%s: a guardian does not read %q, or reads what only the operator can do\n%s", c.name, c.parents, body)
		}
	}
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
	tablet := h.browser()
	tablet.from = "10.0.0.9:40000"
	for range wrongPerPlace {
		h.server.door.failed(netip4(10, 0, 0, 9), "")
	}
	want(t, "the link where a password was wrong too often", tablet.get("/reset/"+secret), 200, "")
	want(t, "a wrong link there", tablet.get("/reset/"+secret[1:]), 429, "")
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
