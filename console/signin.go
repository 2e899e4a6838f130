package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kinward/store"
)

var signinRoutes = []route{
	{"GET /sign-in", anyone, signInPage},
	{"POST /sign-in", anyone, signIn},
	{"GET /sign-in/code", anyone, codePage},
	{"POST /sign-in/code", anyone, signInCode},
	{"POST /sign-out", anyone, signOut},
	{"GET /confirm", signed, confirmPage},
	{"POST /confirm", signed, confirm},
}

var (
	errTooMany = &Refusal{Kind: TooMany}
	errWrong   = errors.New("the name, the password or the code is wrong")
)

// signInView is what the page of signing in shows.
type signInView struct {
	Next    string
	Name    string
	Problem string // key of a text; "" is none
	Plain   bool   // others on the network can read along
	Nobody  bool   // has an account yet
}

func (v *visit) signInView(next, name, problem string) signInView {
	return signInView{Next: localPath(next), Name: name, Problem: problem, Plain: v.Plain()}
}

// Plain reports whether somebody on the way could read along. What arrives from this
// machine itself may come from elsewhere by a proxy: then it is called by the name
// that the console has outside.
func (v *visit) Plain() bool {
	host := hostOf(v.request)
	outside := v.server.url != nil && host == strings.ToLower(v.server.url.Hostname())
	return !v.secure && host != "localhost" && (outside || !reached(v.request).IsLoopback())
}

func signInPage(v *visit) error {
	next := v.request.URL.Query().Get("next")
	if v.account.ID != 0 {
		return v.see(localPath(next))
	}
	some, err := v.server.accounts.Any(v.request.Context())
	if err != nil {
		return err
	}
	view := v.signInView(next, "", "")
	view.Nobody = !some
	return v.page(http.StatusOK, "sign-in", view)
}

// half is where somebody is who has shown a password, and has a second factor.
type half struct {
	Account store.AccountID `json:"account"`
	Hash    string          `json:"hash"` // of the password: a change of it ends this
	Confirm bool            `json:"confirm"`
	Next    string          `json:"next"`
}

const (
	halfCookie  = "half"
	halfLife    = 5 * time.Minute
	knownCookie = "known"
	knownLife   = 180 * 24 * time.Hour
)

// known is a browser in which somebody has signed in.
type known struct {
	Account store.AccountID `json:"account"`
	Nonce   string          `json:"nonce"`
}

// knownAs names the browser where the account with that name has signed in here.
func (v *visit) knownAs(a store.Account) string {
	var k known
	if !v.server.sealer.open(knownCookie, v.cookie(knownCookie), &k) || a.ID == 0 || k.Account != a.ID {
		return ""
	}
	return k.Nonce
}

// prove finds out whether a password is the one of a name. All that is wrong is
// errWrong, and takes the same time.
func (v *visit) prove(name, password string) (store.Account, error) {
	ctx := v.request.Context()
	account, err := v.server.accounts.ByName(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return account, err
	}
	browser := v.knownAs(account)
	end, err := v.server.door.begin(v.client, aboutName(name), browser)
	if err != nil {
		return account, err
	}
	if len(password) > maxPassword {
		password = ""
	}
	is, old, err := v.server.hasher.check(ctx, account.Password, password)
	end(err == nil && !is)
	if err != nil {
		return account, err
	}
	if !is {
		v.wrongAtDoor(account)
		return store.Account{}, errWrong
	}
	if old {
		if hash, err := v.server.hasher.hash(ctx, password); err == nil { // else at the next time
			if err := v.server.accounts.SetPassword(ctx, account.ID, account.Password, hash); err != nil && !errors.Is(err, store.ErrNotFound) {
				return account, err
			}
			account.Password = hash
		}
	}
	return account, nil
}

// wrongAtDoor keeps that somebody was wrong at the door, of an account or of nobody's.
// What was typed is not kept: people type passwords into the wrong field.
func (v *visit) wrongAtDoor(account store.Account) {
	v.keep(store.Event{Family: account.Family, Account: account.ID, Who: account.Name, What: store.DoorWrong})
}

func signIn(v *visit) error {
	if _, err := v.form(); err != nil {
		return err
	}
	next, name := localPath(v.request.PostForm.Get("next")), v.request.PostForm.Get("name")
	account, err := v.prove(name, v.request.PostForm.Get("password"))
	if problem, status := doorProblem(err); problem != "" {
		return v.page(status, "sign-in", v.signInView(next, name, problem))
	} else if err != nil {
		return err
	}
	if account.TOTP != "" {
		return v.halfway(half{account.ID, account.Password, false, next})
	}
	return v.enter(account, next)
}

// doorProblem returns the text that says what was wrong, with its status; "" where
// err is nothing to do with who is at the door.
func doorProblem(err error) (string, int) {
	switch {
	case errors.Is(err, errWrong):
		return "door.wrong", http.StatusForbidden
	case errors.Is(err, errTooMany):
		return "door.too-many", http.StatusTooManyRequests
	case errors.Is(err, errBusy):
		return "door.busy", http.StatusServiceUnavailable
	}
	return "", 0
}

func (v *visit) halfway(h half) error {
	text, err := v.server.sealer.seal(halfCookie, h, halfLife)
	if err != nil {
		return err
	}
	v.setCookie(halfCookie, text, halfLife)
	return v.see("/sign-in/code")
}

// enter signs an account in that has shown all that it has to.
func (v *visit) enter(account store.Account, next string) error {
	if err := v.begin(account); err != nil {
		return err
	}
	if err := v.know(account); err != nil {
		return err
	}
	if account.Language == "" { // letters are in the language of the first browser until somebody chooses
		if err := v.server.accounts.SetLanguage(v.request.Context(), account.ID, v.lang.tag); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	v.setCookie(halfCookie, "", -1)
	v.happened(store.DoorIn, "")
	return v.see(localPath(next))
}

// know has the browser keep that an account signed in here.
func (v *visit) know(account store.Account) error {
	text, err := v.server.sealer.seal(knownCookie, known{account.ID, newNonce()}, knownLife)
	if err != nil {
		return err
	}
	v.setCookie(knownCookie, text, knownLife)
	return nil
}

func signOut(v *visit) error {
	if v.session.ID != 0 {
		if err := v.server.accounts.EndSession(v.request.Context(), v.account.ID, v.session.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		v.happened(store.DoorOut, "")
	}
	v.setCookie(sessionCookie, "", -1)
	return v.see("/sign-in")
}

// signInFirst sends whoever is not signed in to the door, and back afterwards.
func (v *visit) signInFirst() error {
	if v.program || v.request.Method != http.MethodGet {
		v.w.Header().Set("WWW-Authenticate", `Bearer realm="Kinward"`)
		return &Refusal{Kind: SignIn}
	}
	to := "/sign-in"
	if next := localPath(v.request.URL.RequestURI()); next != "/" {
		to += "?next=" + url.QueryEscape(next)
	}
	return v.see(to)
}

func codePage(v *visit) error {
	if _, _, err := v.halfOpen(); err != nil {
		return v.see("/sign-in")
	}
	return v.page(http.StatusOK, "sign-in-code", "")
}

var errNotHalfway = errors.New("nobody is half-way in")

// halfOpen returns who is half-way in.
func (v *visit) halfOpen() (h half, account store.Account, err error) {
	if !v.server.sealer.open(halfCookie, v.cookie(halfCookie), &h) {
		return h, account, errNotHalfway
	}
	account, err = v.server.accounts.ByID(v.request.Context(), h.Account)
	if err != nil || account.Password != h.Hash || account.TOTP == "" {
		return h, account, errNotHalfway
	}
	return h, account, nil
}

func signInCode(v *visit) error {
	if _, err := v.form(); err != nil {
		return err
	}
	h, account, err := v.halfOpen()
	if err != nil {
		return v.see("/sign-in")
	}
	err = v.proveCode(account, v.request.PostForm.Get("code"))
	if problem, status := doorProblem(err); problem != "" {
		return v.page(status, "sign-in-code", problem)
	} else if err != nil {
		return err
	}
	if h.Confirm && v.account.ID == account.ID {
		return v.proven(h.Next)
	}
	return v.enter(account, h.Next)
}

// proveCode finds out whether a code is the account's: of its second factor, or
// for its recovery. Guesses are counted under the account, apart from passwords:
// who is here knows the password.
func (v *visit) proveCode(account store.Account, code string) error {
	ctx := v.request.Context()
	end, err := v.server.door.begin(v.client, aboutCode(account.ID), "")
	if err != nil {
		return err
	}
	ok, err := v.totp(ctx, account, code)
	if err == nil && !ok {
		if ok, err = v.recovery(ctx, account, code); ok {
			v.keep(store.Event{Family: account.Family, Account: account.ID, Who: account.Name, What: store.DoorCodeUsed})
		}
	}
	end(err == nil && !ok)
	if err != nil {
		return err
	}
	if !ok {
		v.wrongAtDoor(account)
		return errWrong
	}
	return nil
}

func confirmPage(v *visit) error {
	if v.session.ID == 0 {
		return &Refusal{Kind: Forbidden} // a program
	}
	next := localPath(v.request.URL.Query().Get("next"))
	if v.Proved() {
		return v.see(next)
	}
	return v.page(http.StatusOK, "confirm", v.signInView(next, v.account.Name, ""))
}

func confirm(v *visit) error {
	if v.session.ID == 0 {
		return &Refusal{Kind: Forbidden} // a program
	}
	if _, err := v.form(); err != nil {
		return err
	}
	next := localPath(v.request.PostForm.Get("next"))
	account, err := v.prove(v.account.Name, v.request.PostForm.Get("password"))
	if problem, status := doorProblem(err); problem != "" {
		return v.page(status, "confirm", v.signInView(next, v.account.Name, problem))
	} else if err != nil {
		return err
	}
	if account.TOTP != "" {
		return v.halfway(half{account.ID, account.Password, true, next})
	}
	return v.proven(next)
}

// proven keeps that it was proven who sits there, and goes on.
func (v *visit) proven(next string) error {
	if err := v.prolong(); err != nil {
		return err
	}
	v.setCookie(halfCookie, "", -1)
	return v.see(localPath(next))
}

// prolong keeps that it was proven who sits there. The session has another secret
// then, as whenever it may do more.
func (v *visit) prolong() error {
	secret := newSecret()
	if err := v.server.accounts.Prove(v.request.Context(), v.session.ID, secret); err != nil {
		return err
	}
	_, life := lives(v.account)
	v.setCookie(sessionCookie, secret, life)
	return nil
}
