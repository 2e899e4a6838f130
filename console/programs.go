package console

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/policy"
	"kinward/store"
)

// A program gets a token, which a person makes who has just proven who they are,
// and sees this once.

var programRoutes = []route{
	{"GET /programs", anyone, signedIn(programs)},
	{"POST /programs", anyone, signedIn(confirmed(addProgram))},
	{"POST /programs/{token}/revoke", anyone, signedIn(revokeProgram)},
}

// tokenPrefix has whoever finds a token, and programs that look for secrets in
// what is published, see what it is.
const tokenPrefix = "kw_"

// signedIn lets in whoever has an account, a family's or not.
func signedIn(serve func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		if !v.SignedIn() {
			return v.signInFirst()
		}
		return serve(v)
	}
}

// programsView is the page of the programs that have access.
type programsView struct {
	Tokens  []store.Token
	Scopes  []scopeChoice
	Lives   []lifeChoice
	Name    string
	Made    string // the token that was just made, shown this once
	Problem string // key of a text
	Full    bool
	Max     int
	Base    string // what the API's addresses begin with
	Now     time.Time
	Proved  bool
}

type scopeChoice struct {
	Word string
	On   bool
}

type lifeChoice struct {
	Value string // days, "" for good
	Label string
	On    bool
}

// tokenDays are how long a token may be for; 0 is for good.
var tokenDays = []int{30, 90, 365, 0}

// mayScopes are the scopes that somebody can give away: what they may do.
func mayScopes(by Actor) (s scope) {
	if by.Guardian != 0 {
		s |= scopeRead
		if by.Role >= policy.Carer {
			s |= scopeWrite | scopeRequests
		}
	}
	if by.Operator {
		s |= scopeOperator
	}
	return s
}

func (v *visit) programsView() (programsView, error) {
	tokens, err := v.server.accounts.Tokens(v.request.Context(), v.account.ID)
	scheme := "http"
	if v.secure {
		scheme = "https"
	}
	view := programsView{Tokens: tokens, Max: store.MaxTokens, Full: len(tokens) >= store.MaxTokens, Base: scheme + "://" + v.request.Host + apiPrefix, Now: v.now, Proved: v.Proved()}
	for _, w := range mayScopes(v.actor).words() {
		view.Scopes = append(view.Scopes, scopeChoice{w, w == "read"})
	}
	for _, days := range tokenDays {
		c := lifeChoice{Value: strconv.Itoa(days), Label: v.lang.text("programs.for-good"), On: days == 365}
		if days > 0 {
			c.Label = v.lang.count("programs.days", days)
		}
		view.Lives = append(view.Lives, c)
	}
	return view, err
}

func programs(v *visit) error {
	view, err := v.programsView()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "programs", view)
}

func addProgram(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	may := mayScopes(v.actor)
	scopes := scopesOf(form["scope"]) & may
	days, err := strconv.Atoi(form.Get("days"))
	if err != nil || !slices.Contains(tokenDays, days) {
		return &Refusal{Kind: Invalid}
	}
	k := store.Token{Account: v.account.ID, Name: strings.TrimSpace(form.Get("name")), Scopes: scopes.words()}
	if days > 0 {
		k.Until = v.now.AddDate(0, 0, days)
	}
	problem := ""
	secret := tokenPrefix + newSecret()
	if scopes == 0 {
		problem = "programs.scope-missing"
	} else {
		_, err = v.server.accounts.AddToken(v.request.Context(), k, secret)
		switch {
		case errors.Is(err, store.ErrInvalid):
			problem = "programs.name-bad"
		case errors.Is(err, store.ErrConflict):
			problem = "programs.full"
		case err != nil:
			return err
		}
	}
	view, err := v.programsView()
	if err != nil {
		return err
	}
	if problem != "" {
		view.Problem, view.Name = problem, k.Name
		for i := range view.Scopes {
			view.Scopes[i].On = slices.Contains(k.Scopes, view.Scopes[i].Word)
		}
		return v.page(http.StatusUnprocessableEntity, "programs", view)
	}
	v.happened(store.DoorToken, k.Name)
	view.Made = secret
	return v.page(http.StatusOK, "programs", view) // not a redirection: the token is shown this once, and never stands in an address
}

// revokeProgram asks for no proof: it takes away, and may have to be quick.
func revokeProgram(v *visit) error {
	id, err := strconv.ParseInt(v.request.PathValue("token"), 10, 64)
	if err != nil {
		return &Refusal{Kind: NotFound}
	}
	tokens, err := v.server.accounts.Tokens(v.request.Context(), v.account.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(tokens, func(k store.Token) bool { return k.ID == store.TokenID(id) })
	if i < 0 {
		return &Refusal{Kind: NotFound}
	}
	if err := v.server.accounts.RevokeToken(v.request.Context(), v.account.ID, tokens[i].ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	v.happened(store.DoorTokenGone, tokens[i].Name)
	v.note("programs.revoked", "Name", tokens[i].Name)
	return v.see("/programs")
}
