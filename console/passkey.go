package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"kinward/store"
)

var passkeyRoutes = []route{
	{"POST /sign-in/passkey/options", anyone, scripted(passkeyOptions)},
	{"POST /sign-in/passkey", anyone, scripted(signInPasskey)},
	{"GET /account/passkeys/new", signed, confirmed(newPasskeyPage)},
	{"POST /account/passkeys/options", signed, confirmed(scripted(newPasskeyOptions))},
	{"POST /account/passkeys", signed, confirmed(scripted(newPasskey))},
	{"POST /account/passkeys/remove", signed, confirmed(removePasskey)},
}

// A passkey is shown in two steps: the browser asks what to sign, and sends what
// was signed. What was asked for is kept by the browser, sealed.
const (
	ceremonyCookie = "passkey"
	ceremonyLife   = 5 * time.Minute
)

type ceremony struct {
	Session webauthn.SessionData `json:"session"`
	Account store.AccountID      `json:"account"` // whose passkey is made, or who confirms; 0: who signs in
}

// passkeysAt returns what checks passkeys at the address that a visit came to;
// nil where there can be none: browsers want an encrypted page under a name, or
// this machine itself (WebAuthn §5, "secure context"; §5.1.2, "effective domain").
func (s *Server) passkeysAt(v *visit) *webauthn.WebAuthn {
	host, scheme := hostOf(v.request), "http"
	if v.secure {
		scheme = "https"
	}
	if _, err := netip.ParseAddr(host); err == nil || host != "localhost" && !v.secure {
		return nil
	}
	w, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: "Kinward", RPOrigins: []string{scheme + "://" + v.request.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired, // it stands for the password and the second factor alike
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
			Registration: webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
		},
	})
	if err != nil { // a name that is none
		return nil
	}
	return w
}

// Passkeys reports whether there can be passkeys at this address.
func (v *visit) Passkeys() bool { return v.server.passkeysAt(v) != nil }

// passkeyOwner is an account as package webauthn wants it.
type passkeyOwner struct {
	account     store.Account
	credentials []webauthn.Credential
}

func (o *passkeyOwner) WebAuthnID() []byte                         { return o.account.Handle }
func (o *passkeyOwner) WebAuthnName() string                       { return o.account.Name }
func (o *passkeyOwner) WebAuthnDisplayName() string                { return o.account.Name }
func (o *passkeyOwner) WebAuthnCredentials() []webauthn.Credential { return o.credentials }

func (v *visit) passkeyOwner(account store.Account) (*passkeyOwner, error) {
	o := &passkeyOwner{account: account}
	all, err := v.server.accounts.Passkeys(v.request.Context(), account.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		var c webauthn.Credential
		if err := json.Unmarshal(p.Document, &c); err != nil {
			return nil, err
		}
		o.credentials = append(o.credentials, c)
	}
	return o, nil
}

// data answers a script.
func (v *visit) data(status int, x any) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b) // the browser may be gone
	return nil
}

// passkeyWrong tells a script what went wrong, for its page to show.
type passkeyWrong struct {
	Wrong string `json:"wrong"`
}

// scripted has a handler answer what went wrong to the script that asked, in the
// page's language, and not with a page that nobody sees.
func scripted(serve func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		err := serve(v)
		if err == nil {
			return nil
		}
		status, text := v.fault(err)
		return v.data(status, passkeyWrong{text})
	}
}

func (v *visit) ask(options any, s *webauthn.SessionData, account store.AccountID) error {
	text, err := v.server.sealer.seal(ceremonyCookie, ceremony{*s, account}, ceremonyLife)
	if err != nil {
		return err
	}
	v.setCookie(ceremonyCookie, text, ceremonyLife)
	return v.data(http.StatusOK, options)
}

// challenged returns what was asked for, once.
func (v *visit) challenged(account store.AccountID) (*webauthn.SessionData, error) {
	var c ceremony
	ok := v.server.sealer.open(ceremonyCookie, v.cookie(ceremonyCookie), &c)
	v.setCookie(ceremonyCookie, "", -1)
	if !ok || c.Account != account || !v.server.challenges.use(c.Session.Challenge) {
		return nil, errWrong
	}
	return &c.Session, nil
}

// passkeyOptions asks for a passkey of anybody's, or of who is signed in.
func passkeyOptions(v *visit) error {
	w := v.server.passkeysAt(v)
	if w == nil {
		return &Refusal{Kind: NotFound}
	}
	options, session, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return err
	}
	return v.ask(options, session, v.account.ID)
}

// passkeyAnswer is where the browser goes from here.
type passkeyAnswer struct {
	Next string `json:"next"`
}

// signInPasskey signs in by passkey, or confirms who is signed in.
func signInPasskey(v *visit) error {
	w := v.server.passkeysAt(v)
	if w == nil {
		return &Refusal{Kind: NotFound}
	}
	if !v.server.door.may(v.client, "", "") {
		return errTooMany
	}
	account, err := v.provePasskey(w)
	if err != nil {
		if !errors.Is(err, errWrong) {
			return err
		}
		v.server.door.fail(v.client, "", "")
		v.wrongAtDoor(store.Account{})
		return &Refusal{Kind: Forbidden, Text: v.lang.text("passkey.wrong")}
	}
	next := localPath(v.request.URL.Query().Get("next"))
	if v.account.ID == 0 {
		if err := v.begin(account); err != nil {
			return err
		}
		if err := v.know(account); err != nil {
			return err
		}
		v.happened(store.DoorIn, "")
	} else if err := v.prolong(); err != nil {
		return err
	}
	return v.data(http.StatusOK, passkeyAnswer{next})
}

// provePasskey returns whose passkey was shown. All that is wrong with it is
// errWrong.
func (v *visit) provePasskey(w *webauthn.WebAuthn) (account store.Account, err error) {
	session, err := v.challenged(v.account.ID)
	if err != nil {
		return account, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBody(v.request.Body)
	if err != nil {
		return account, errWrong
	}
	var failed error
	_, credential, err := w.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if account, failed = v.server.accounts.ByHandle(v.request.Context(), handle); failed != nil {
			return nil, failed
		}
		var o *passkeyOwner
		o, failed = v.passkeyOwner(account)
		return o, failed
	}, *session, parsed)
	switch {
	case failed != nil && !errors.Is(failed, store.ErrNotFound):
		return account, failed
	case err != nil, credential.Authenticator.CloneWarning, v.account.ID != 0 && v.account.ID != account.ID:
		return account, errWrong
	}
	document, err := json.Marshal(credential)
	if err != nil {
		return account, err
	}
	return account, v.server.accounts.PasskeyUsed(v.request.Context(), account.ID, credential.ID, document)
}

func newPasskeyPage(v *visit) error {
	return v.page(http.StatusOK, "passkey", v.Passkeys())
}

func newPasskeyOptions(v *visit) error {
	w := v.server.passkeysAt(v)
	if w == nil {
		return &Refusal{Kind: NotFound}
	}
	switch err := v.server.accounts.RoomForPasskey(v.request.Context(), v.account.ID); {
	case errors.Is(err, store.ErrConflict):
		return &Refusal{Kind: Invalid, Text: v.lang.refusal(err.Error())}
	case err != nil:
		return err
	}
	owner, err := v.passkeyOwner(v.account)
	if err != nil {
		return err
	}
	options, session, err := w.BeginRegistration(owner, webauthn.WithExclusions(webauthn.Credentials(owner.credentials).CredentialDescriptors()))
	if err != nil {
		return err
	}
	return v.ask(options, session, v.account.ID)
}

func newPasskey(v *visit) error {
	w := v.server.passkeysAt(v)
	if w == nil {
		return &Refusal{Kind: NotFound}
	}
	session, err := v.challenged(v.account.ID)
	if err != nil {
		return &Refusal{Kind: Forbidden, Text: v.lang.text("passkey.wrong")}
	}
	owner, err := v.passkeyOwner(v.account)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBody(v.request.Body)
	if err != nil {
		return &Refusal{Kind: Invalid, Text: v.lang.text("passkey.wrong")}
	}
	credential, err := w.CreateCredential(owner, *session, parsed)
	if err != nil {
		return &Refusal{Kind: Invalid, Text: v.lang.text("passkey.wrong")}
	}
	document, err := json.Marshal(credential)
	if err != nil {
		return err
	}
	name := v.request.URL.Query().Get("name")
	if name == "" {
		name = agentOf(v.request)
	}
	err = v.server.accounts.AddPasskey(v.request.Context(), store.Passkey{Account: v.account.ID, Credential: credential.ID, Document: document, Name: name})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrInvalid) {
		return &Refusal{Kind: Invalid, Text: v.lang.refusal(err.Error())}
	} else if err != nil {
		return err
	}
	v.happened(store.DoorPasskey, name)
	v.note("passkey.added")
	return v.data(http.StatusOK, passkeyAnswer{"/account"})
}

func removePasskey(v *visit) error {
	id, err := v.id("id")
	if err != nil {
		return err
	}
	if err := v.server.accounts.RemovePasskey(v.request.Context(), v.account.ID, store.PasskeyID(id)); err != nil {
		return missing(err)
	}
	v.happened(store.DoorPasskeyGone, "")
	v.note("passkey.removed")
	return v.see("/account")
}
