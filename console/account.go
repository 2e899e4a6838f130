package console

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	"kinward/policy"
	"kinward/store"
)

var accountRoutes = []route{
	{"GET /account", signed, accountPage},
	{"POST /account/sessions", signed, endSessions},
	{"POST /account/language", signed, setAccountLanguage},
	{"GET /account/password", signed, passwordPage},
	{"POST /account/password", signed, changePassword},
	{"GET /account/factor", signed, confirmed(factorPage)},
	{"POST /account/factor", signed, confirmed(setFactor)},
	{"POST /account/factor/remove", signed, confirmed(removeFactor)},
	{"GET /account/codes", signed, confirmed(codesPage)},
	{"POST /account/codes", signed, confirmed(makeCodes)},
	{"GET /account/door", signed, doorPage},
}

// id returns a number that a form names something by.
func (v *visit) id(field string) (int64, error) {
	if _, err := v.form(); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(v.request.PostForm.Get(field), 10, 64)
	if err != nil || n <= 0 {
		return 0, &Refusal{Kind: NotFound}
	}
	return n, nil
}

// missing makes a refusal of what is not there, or is somebody else's.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &Refusal{Kind: NotFound}
	}
	return err
}

// accountView is what the page of an account shows.
type accountView struct {
	Name     string
	Called   string
	Role     policy.Role
	Family   bool
	Operator bool
	TOTP     bool
	Codes    int
	Passkeys []store.Passkey
	Sessions []store.Session
	Here     store.SessionID
	Log      bool // may see what happened at the door
	Plain    bool
	Language string // of letters
	Letters  []option
}

func accountPage(v *visit) error {
	ctx := v.request.Context()
	view := accountView{
		Name: v.account.Name, Called: v.actor.Name, Role: v.actor.Role, Family: v.actor.Guardian != 0, Operator: v.actor.Operator,
		TOTP: v.account.TOTP != "", Here: v.session.ID, Log: v.mayReadDoor(), Plain: v.Plain(),
		Language: cmp.Or(v.account.Language, "en"),
	}
	for _, l := range v.Languages() {
		view.Letters = append(view.Letters, option{l.Tag, l.Name})
	}
	var err error
	if view.Codes, err = v.server.accounts.CodesLeft(ctx, v.account.ID); err != nil {
		return err
	}
	if view.Passkeys, err = v.server.accounts.Passkeys(ctx, v.account.ID); err != nil {
		return err
	}
	if view.Sessions, err = v.server.accounts.Sessions(ctx, v.account.ID); err != nil {
		return err
	}
	return v.page(http.StatusOK, "account", view)
}

// setAccountLanguage keeps the language of an account's letters, which its pages
// are in, too, in this browser.
func setAccountLanguage(v *visit) error {
	if _, err := v.form(); err != nil {
		return err
	}
	l := v.server.languageOf(v.request.PostForm.Get("lang"))
	if l == nil {
		return &Refusal{Kind: Invalid}
	}
	if err := v.server.accounts.SetLanguage(v.request.Context(), v.account.ID, l.tag); err != nil {
		return missing(err)
	}
	v.keepLanguage(l)
	v.note("account.language-set")
	return v.see("/account")
}

// AccountName is what whoever is signed in types to sign in.
func (v *visit) AccountName() string { return v.account.Name }

// endSessions ends one of the account's sessions, or all others. It needs no
// proof: it can only shut out.
func endSessions(v *visit) error {
	if _, err := v.form(); err != nil {
		return err
	}
	if v.request.PostForm.Get("which") == "others" {
		if _, err := v.server.accounts.EndSessions(v.request.Context(), v.account.ID, v.session.ID); err != nil {
			return err
		}
	} else {
		id, err := v.id("id")
		if err != nil {
			return err
		}
		if err := v.server.accounts.EndSession(v.request.Context(), v.account.ID, store.SessionID(id)); err != nil {
			return missing(err)
		}
	}
	v.happened(store.DoorEnded, "")
	v.note("account.session-ended")
	return v.see("/account")
}

func passwordPage(v *visit) error { return v.page(http.StatusOK, "password", wrong(nil)) }

// changePassword asks for the password from before, not for a proof of a while
// ago: whoever knows it may.
func changePassword(v *visit) error {
	if v.token != nil {
		return &Refusal{Kind: Forbidden}
	}
	if _, err := v.form(); err != nil {
		return err
	}
	problem, status := v.chosen(v.account.Name, v.actor.Name), http.StatusUnprocessableEntity
	if problem == "" {
		_, err := v.prove(v.account.Name, v.request.PostForm.Get("old"))
		if problem, status = doorProblem(err); problem == "" && err != nil {
			return err
		}
	}
	if problem == "" {
		hash, err := v.server.hasher.hash(v.request.Context(), v.request.PostForm.Get("password"))
		if problem, status = doorProblem(err); problem == "" && err != nil {
			return err
		}
		if problem == "" {
			if err := v.server.accounts.ChangePassword(v.request.Context(), v.account.ID, hash, v.session.ID); err != nil {
				return err
			}
		}
	}
	if problem != "" {
		return v.page(status, "password", v.beside(problem))
	}
	if err := v.prolong(); err != nil {
		return err
	}
	v.happened(store.DoorPassword, "")
	v.note("password.changed")
	return v.see("/account")
}

// factorView is what the page of the second factor shows.
type factorView struct {
	On      bool
	Seal    string // the secret, until a code of it was shown
	Secret  string
	QR      template.HTML
	Problem string
}

const (
	factorSeal = "factor"
	factorLife = 15 * time.Minute
)

// newFactor is a secret on its way to an authenticator app.
type newFactor struct {
	Account store.AccountID `json:"account"`
	Secret  string          `json:"secret"`
}

func (v *visit) factorView(f newFactor, problem string) (view factorView, err error) {
	if view.Seal, err = v.server.sealer.seal(factorSeal, f, factorLife); err != nil {
		return view, err
	}
	view.Secret, view.QR, view.Problem = grouped(f.Secret), code(totpURL(v.account.Name, f.Secret), v.lang.text("factor.qr")), problem
	view.On = v.account.TOTP != ""
	return view, nil
}

func factorPage(v *visit) error {
	view, err := v.factorView(newFactor{v.account.ID, newTOTPSecret()}, "")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "factor", view)
}

func setFactor(v *visit) error {
	if _, err := v.form(); err != nil {
		return err
	}
	var f newFactor
	if !v.server.sealer.open(factorSeal, v.request.PostForm.Get("seal"), &f) || f.Account != v.account.ID {
		return v.see("/account/factor")
	}
	step, ok := totpStep(f.Secret, v.request.PostForm.Get("code"), v.now)
	if !ok {
		view, err := v.factorView(f, "factor.wrong")
		if err != nil {
			return err
		}
		return v.page(http.StatusUnprocessableEntity, "factor", view)
	}
	if err := v.server.accounts.SetTOTP(v.request.Context(), v.account.ID, f.Secret, step); err != nil {
		return err
	}
	v.happened(store.DoorTOTP, "")
	v.note("factor.on")
	return v.see("/account/codes")
}

func removeFactor(v *visit) error {
	if err := v.server.accounts.SetTOTP(v.request.Context(), v.account.ID, "", 0); err != nil {
		return err
	}
	v.happened(store.DoorTOTPGone, "")
	v.note("factor.off")
	return v.see("/account")
}

// codesView is what the page of the recovery codes shows: new ones this once.
type codesView struct {
	Left  int
	Codes []string
}

func codesPage(v *visit) error {
	if v.account.TOTP == "" { // they stand for its codes alone
		return v.see("/account")
	}
	left, err := v.server.accounts.CodesLeft(v.request.Context(), v.account.ID)
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "codes", codesView{Left: left})
}

func makeCodes(v *visit) error {
	if v.account.TOTP == "" {
		return v.see("/account")
	}
	plain, shown := newRecoveryCodes()
	if err := v.server.accounts.SetCodes(v.request.Context(), v.account.ID, plain); err != nil {
		return err
	}
	v.happened(store.DoorCodes, "")
	return v.page(http.StatusOK, "codes", codesView{len(shown), shown})
}

// mayReadDoor reports whether somebody may read what happened at the door: owners
// of their family, operators of those accounts that are of none.
func (v *visit) mayReadDoor() bool {
	return v.token == nil && (v.actor.Operator || v.actor.Guardian != 0 && v.actor.Role == policy.Owner)
}

// doorView is a row of what happened at the door.
type doorView struct {
	store.Event
	Nobody bool // nobody knows whose account it was about
}

const doorRows = 200

func doorPage(v *visit) error {
	if !v.mayReadDoor() {
		return &Refusal{Kind: Forbidden}
	}
	var rows []doorView
	read := func(family policy.FamilyID) error {
		events, err := v.server.accounts.Events(v.request.Context(), family, doorRows)
		for _, e := range events {
			rows = append(rows, doorView{e, e.Account == 0})
		}
		return err
	}
	if v.account.Family != 0 && v.actor.Role == policy.Owner {
		if err := read(v.account.Family); err != nil {
			return err
		}
	}
	if v.actor.Operator {
		if err := read(0); err != nil {
			return err
		}
	}
	sortNewest(rows)
	return v.page(http.StatusOK, "door", rows)
}

// sortNewest orders what happened at the door, the newest first.
func sortNewest(rows []doorView) {
	slices.SortStableFunc(rows, func(a, b doorView) int { return b.At.Compare(a.At) })
}
