package main

import (
	"context"
	"strings"
	"testing"

	cdwebauthn "github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// authenticator gives the window a device that keeps passkeys, as phones do.
func (b *chrome) authenticator() cdwebauthn.AuthenticatorID {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, cdwebauthn.Enable, cdwebauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	r, err := chromedp.Call(ctx, cdwebauthn.AddVirtualAuthenticator, cdwebauthn.AddVirtualAuthenticatorParams{Options: &cdwebauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Ctap2version: "ctap2_1", Transport: "internal", HasResidentKey: true, HasUserVerification: true,
		IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.AuthenticatorID
}

// knows sets whether the device finds out who holds it.
func (b *chrome) knows(device cdwebauthn.AuthenticatorID, who bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, cdwebauthn.SetUserVerified, cdwebauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: who}); err != nil {
		b.t.Fatal(err)
	}
}

// A guardian sets the console up by its link, adds a passkey, and signs in with it;
// a device that does not know who holds it opens nothing, and what the server does
// not take it gives its reason for.
func TestBrowserPasskey(t *testing.T) {
	h := startHome(t, startUpstream(t))
	base, link := h.consoleLink()
	base, link = strings.Replace(base, "127.0.0.1", "localhost", 1), strings.Replace(link, "127.0.0.1", "localhost", 1)
	b := openChrome(t, base)
	device := b.authenticator()
	b.open(link)
	b.accessible("the link of the first run")
	b.fill("What does the family call you?", "Eva")
	b.fill("Name or e-mail address to sign in with", "eva")
	b.fill("Password", goodPassword)
	b.fill("Password, once more", goodPassword)
	b.click("Make my account")
	b.sees("Welcome", "From your phone")
	b.accessible("the welcome")
	b.open("/account")
	b.accessible("the account")
	b.click("Add a passkey")
	b.sees("What is this device called?")
	b.accessible("a new passkey")
	unfit := func() {
		evaluate[bool](b, `(() => { document.querySelector("input[name=passkey]").value = "Eva\u200b's phone"; return true; })()`)
	}
	b.expect(`status of 422`)
	b.cookie("kinward-lang", "de")
	b.open("/account/passkeys/new")
	unfit() // keys do not make such a character
	b.click("Passkey anlegen")
	b.sees("Der Name enthält ein Zeichen, das nicht gezeigt werden kann")
	b.accessible("a passkey that was refused")
	b.cookie("kinward-lang", "en")
	b.open("/account/passkeys/new")
	unfit()
	b.click("Make the passkey")
	b.sees("holds the character U+200B, which cannot be shown")
	b.fill("What is this device called?", "Eva's phone")
	b.click("Make the passkey")
	b.sees("The passkey is made", "Eva's phone")
	b.click("Sign out")
	b.sees("Use a passkey")
	b.accessible("signing in")
	b.expect(`status of 403`)
	b.knows(device, false)
	b.click("Use a passkey")
	b.sees("That did not work") // says the browser: it is asked to find out
	b.open("/sign-in")
	evaluate[bool](b, `(() => { const get = navigator.credentials.get.bind(navigator.credentials);
		navigator.credentials.get = (o) => get({ ...o, publicKey: { ...o.publicKey, userVerification: "discouraged" } }); return true; })()`)
	b.click("Use a passkey")
	b.sees("That did not work") // says the server to a browser that did not ask
	b.knows(device, true)
	b.open("/sign-in")
	b.click("Use a passkey")
	b.until("the first page", `location.pathname === "/"`)
	b.open("/account/door")
	b.sees("added a passkey: Eva's phone", "signed in", "tried to sign in")
	b.accessible("what happened at the door")
	out, _, _ := h.run("console")
	wantAll(t, "console", out, "Eva of family Home (owner)", "passkeys: 1")
}

// On plain HTTP in the home's network browsers tell less of where a form comes
// from, and have no passkeys; forms must work all the same.
func TestBrowserPlainHTTP(t *testing.T) {
	h := startHome(t, startUpstream(t))
	base, link := h.consoleLink()
	base, link = strings.Replace(base, "127.0.0.1", "kinward.home.arpa", 1), strings.Replace(link, "127.0.0.1", "kinward.home.arpa", 1)
	b := openChrome(t, base)
	b.expect(`Cross-Origin-Opener-Policy header has been ignored`)
	b.open(link)
	if evaluate[bool](b, `window.isSecureContext`) {
		t.Fatal("the page is a secure context, so this test shows nothing")
	}
	b.fill("What does the family call you?", "Eva")
	b.fill("Name or e-mail address to sign in with", "eva")
	b.fill("Password", goodPassword)
	b.fill("Password, once more", goodPassword)
	b.click("Make my account")
	b.sees("Welcome")
	b.open("/account/passkeys/new")
	b.sees("Browsers make passkeys on encrypted pages with a name only")
	b.click("Sign out")
	b.sees("Password forgotten?")
	b.seesNot("Use a passkey")
	b.fill("Name or e-mail address", "eva")
	b.fill("Password", goodPassword)
	b.click("Sign in")
	b.until("the first page", `location.pathname === "/"`)
}
