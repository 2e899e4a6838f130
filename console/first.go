package console

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"kinward/policy"
	"kinward/store"
)

// A pass is a link that works once. Its page changes nothing: programs look at
// links before people do (previews of messengers, scanners of mail). What uses it
// up is the form.

var passRoutes = []route{
	{"GET /start/{pass}", anyone, passPage(store.PassFirst)},
	{"POST /start/{pass}", anyone, usePass(store.PassFirst)},
	{"GET /join/{pass}", anyone, passPage(store.PassJoin)},
	{"POST /join/{pass}", anyone, usePass(store.PassJoin)},
	{"GET /operate/{pass}", anyone, passPage(store.PassOperator)},
	{"POST /operate/{pass}", anyone, usePass(store.PassOperator)},
	{"GET /reset/{pass}", anyone, passPage(store.PassReset)},
	{"POST /reset/{pass}", anyone, usePass(store.PassReset)},
	{"GET /welcome", signed, welcome},
}

// PassPath returns the path of a pass's page on the console.
func PassPath(kind store.PassKind, secret string) string { return "/" + passWords[kind] + "/" + secret }

var passWords = map[store.PassKind]string{
	store.PassFirst: "start", store.PassJoin: "join", store.PassOperator: "operate", store.PassReset: "reset",
}

// NewPassSecret returns the secret of a new pass.
func NewPassSecret() string { return newSecret() }

// passView is what the page of a pass shows.
type passView struct {
	Kind   store.PassKind
	Plain  bool
	Family string // join: whose
	Who    string // join: who invites
	Role   policy.Role
	Others bool   // first: the server is run for others
	Called string // what the family calls them
	Name   string // what they type to sign in
	Wrong  wrong
}

func (v *visit) pass(kind store.PassKind) (store.Pass, string, error) {
	secret := v.request.PathValue("pass")
	p, err := v.server.accounts.Pass(v.request.Context(), secret)
	if err == nil && p.Kind != kind {
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) {
		// A pass that is right is too long to be guessed, so it opens in any case: who
		// forgot a password was mostly wrong too often before asking for one.
		if !v.server.door.mayTry(v.client, "") {
			return store.Pass{}, "", errTooMany
		}
		v.server.door.failed(v.client, "")
		return p, "", &Refusal{Kind: Gone, Text: v.lang.text("pass.gone")}
	}
	return p, secret, err
}

func (v *visit) passView(p store.Pass) (passView, error) {
	view := passView{Kind: p.Kind, Plain: v.Plain(), Who: p.Who, Role: p.Role, Called: p.Name}
	ctx := v.request.Context()
	switch p.Kind {
	case store.PassJoin:
		f, err := v.server.accounts.Family(ctx, p.Family)
		if err != nil {
			return view, err
		}
		view.Family = f.Name
		for _, g := range f.Guardians { // as they are now, whatever they were invited as
			if g.ID == p.Guardian {
				view.Role, view.Called = g.Role, g.Name
			}
		}
	case store.PassReset:
		a, err := v.server.accounts.ByID(ctx, p.Account)
		if err != nil {
			return view, err
		}
		view.Name = a.Name
	}
	return view, nil
}

func passPage(kind store.PassKind) func(*visit) error {
	return func(v *visit) error {
		p, _, err := v.pass(kind)
		if err != nil {
			return err
		}
		view, err := v.passView(p)
		if err != nil {
			return err
		}
		return v.page(http.StatusOK, "pass", view)
	}
}

func usePass(kind store.PassKind) func(*visit) error {
	return func(v *visit) error {
		p, secret, err := v.pass(kind)
		if err != nil {
			return err
		}
		if _, err := v.form(); err != nil {
			return err
		}
		view, err := v.passView(p)
		if err != nil {
			return err
		}
		form := v.request.PostForm
		if kind != store.PassReset {
			view.Name = strings.TrimSpace(form.Get("name"))
		}
		view.Others = kind == store.PassFirst && form.Get("for") == "others"
		if kind == store.PassFirst {
			view.Called = strings.TrimSpace(form.Get("called"))
		}
		who := store.Newcomer{Guardian: view.Called, Name: view.Name, Names: policy.FirstNames{
			Family: v.lang.text("pass.first.family"), Everyone: v.lang.text("pass.first.everyone"), Adults: v.lang.text("pass.first.adults"),
		}}
		problem := ""
		if view.Others || kind == store.PassOperator {
			who.Guardian = ""
		} else if who.Guardian == "" && kind != store.PassReset {
			problem = "pass.called-missing"
		}
		if problem == "" {
			problem = v.chosen(view.Name, who.Guardian)
		}
		if problem == "" {
			if who.Password, err = v.server.hasher.hash(v.request.Context(), form.Get("password")); err == nil {
				var account store.Account
				if account, err = v.server.accounts.Enter(v.request.Context(), secret, who); err == nil {
					return v.entered(kind, account)
				}
			}
			switch {
			case errors.Is(err, errBusy):
				problem = "door.busy"
			case errors.Is(err, store.ErrConflict):
				problem = "pass.taken"
			case errors.Is(err, store.ErrInvalid):
				problem = "pass.name-bad"
			case errors.Is(err, store.ErrNotFound):
				return &Refusal{Kind: Gone, Text: v.lang.text("pass.gone")}
			default:
				return err
			}
		}
		view.Wrong = v.beside(problem)
		return v.page(http.StatusUnprocessableEntity, "pass", view)
	}
}

// chosen returns the text that says what is wrong with a password that somebody
// chose, "" where nothing is.
func (v *visit) chosen(names ...string) string {
	password := v.request.PostForm.Get("password")
	if w := weak(password, names...); w != "" {
		return w
	}
	if password != v.request.PostForm.Get("again") {
		return "password.differs"
	}
	return ""
}

// besideOf are the fields that what is wrong with an account or a password stands
// beside, by the text's key; all else stands above the form.
var besideOf = map[string]string{
	"pass.called-missing": "called", "pass.taken": "name", "pass.name-bad": "name", "door.wrong": "old",
	"password.short": "password", "password.long": "password", "password.simple": "password", "password.differs": "again",
}

// beside puts what is wrong beside its field, or under "" above the form.
func (v *visit) beside(problem string) wrong {
	return wrong{besideOf[problem]: v.lang.text(problem)}
}

// entered signs in who has used a pass.
func (v *visit) entered(kind store.PassKind, account store.Account) error {
	if kind == store.PassReset {
		// A second factor is asked for all the same: whoever has the link alone has it
		// from a message.
		v.keep(store.Event{Family: account.Family, Account: account.ID, Who: account.Name, What: store.DoorPassword})
		if account.TOTP != "" {
			return v.halfway(half{account.ID, account.Password, false, "/"})
		}
		return v.enter(account, "/")
	}
	if account.Family != 0 {
		if err := v.server.changed(v.request.Context(), account.Family); err != nil {
			return err
		}
	}
	v.keep(store.Event{Family: account.Family, Account: account.ID, Who: account.Name, What: store.DoorMade})
	return v.enter(account, "/welcome")
}

// welcomeView is what the page after the first steps shows.
type welcomeView struct {
	Reach Reach
	QR    template.HTML // of Reach.Here; "" where there is none
	Runs  bool          // the visitor runs the server, and can change how it is reached
}

// Reach says how a phone comes to the console.
type Reach struct {
	Here   string // the URL by which the console can be reached from elsewhere; "": from this machine alone
	Secure bool   // it is encrypted, and passkeys work there
	Home   string // how serve is started to answer the home's network; "" where it does, or no network is known
}

func welcome(v *visit) error {
	view := welcomeView{Reach: v.server.reach, Runs: v.actor.Operator}
	if view.Reach.Here != "" {
		view.QR = code(view.Reach.Here, view.Reach.Here)
	}
	return v.page(http.StatusOK, "welcome", view)
}
