package console

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kinward/store"
)

// How long a session lasts. A guardian looks in on a phone that is theirs, now and
// then; what can do harm asks again who sits there (see confirmed). Who runs the
// server for others works at it and leaves.
const (
	sessionIdle   = 14 * 24 * time.Hour
	sessionLife   = 90 * 24 * time.Hour
	operatorIdle  = time.Hour
	operatorLife  = 12 * time.Hour
	seenEvery     = 5 * time.Minute // a page a second must not be a write a second
	proofLasts    = 10 * time.Minute
	sessionCookie = "session"
)

// newSecret returns 256 random bits in letters that stand in a cookie and a URL.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// cookieName returns the name of a cookie: on https one that no other host and no
// plain connection can have set (RFC 6265bis §4.1.3.2).
func (v *visit) cookieName(name string) string {
	if v.secure {
		return "__Host-kinward-" + name
	}
	return "kinward-" + name
}

// cookie returns the value of a cookie, "" where there is none.
func (v *visit) cookie(name string) string {
	c, err := v.request.Cookie(v.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie gives the browser a cookie for a while; 0 until it is closed, less
// takes it back.
func (v *visit) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{Name: v.cookieName(name), Value: value, Path: "/", HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode}
	if c.MaxAge = int(life.Seconds()); life < 0 {
		c.MaxAge = -1
	}
	http.SetCookie(v.w, c)
}

// recognise finds out who makes the visit. Who shows a session that has ended is
// nobody, as who shows none.
func (v *visit) recognise() error {
	ctx := v.request.Context()
	if secret, ok := bearer(v.request); ok {
		return v.recogniseProgram(ctx, secret)
	}
	secret := v.cookie(sessionCookie)
	if secret == "" {
		return nil
	}
	s, account, err := v.server.accounts.Session(ctx, secret)
	if errors.Is(err, store.ErrNotFound) {
		v.setCookie(sessionCookie, "", -1)
		return nil
	} else if err != nil {
		return err
	}
	if err := v.act(ctx, account); err != nil {
		return err
	}
	v.session = s
	if v.now.Sub(s.Seen) >= seenEvery {
		idle, _ := lives(account)
		if err := v.server.accounts.Seen(ctx, s.ID, v.now.Add(idle)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// bearer returns the token that a program shows (RFC 6750 §2.1).
func bearer(q *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(q.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// recogniseProgram finds out whose token a program shows. It does in the account's
// name what its scopes let it.
func (v *visit) recogniseProgram(ctx context.Context, secret string) error {
	v.program = true
	k, account, err := v.server.accounts.Token(ctx, secret)
	if errors.Is(err, store.ErrNotFound) {
		// One that is right opens in any case, as a pass does: it is too long to be
		// guessed, and who guesses at home must not shut out the home's programs.
		if !v.server.door.mayTry(v.client, "") {
			return errTooMany
		}
		v.server.door.failed(v.client, "")
		return nil
	} else if err != nil {
		return err
	}
	if err := v.act(ctx, account); err != nil {
		return err
	}
	v.token, v.actor.Reader = &k, scopesOf(k.Scopes)&scopeWrite == 0
	if v.now.Sub(k.Used) >= time.Hour {
		v.happened(store.DoorTokenUsed, k.Name)
	}
	if v.now.Sub(k.Used) >= seenEvery {
		if err := v.server.accounts.TokenUsed(ctx, k.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// act makes the visit one of an account. Role and name are read each time, so that
// who lost them has lost them at once.
func (v *visit) act(ctx context.Context, account store.Account) error {
	by := Actor{Operator: account.Operator, Name: account.Name}
	if account.Guardian != 0 {
		f, g, err := v.server.accounts.Guardian(ctx, account)
		if errors.Is(err, store.ErrNotFound) { // removed this moment
			return nil
		} else if err != nil {
			return err
		}
		by.Family, by.Guardian, by.Role, by.Name = f.ID, g.ID, g.Role, g.Name
		if f.Zone != "" {
			v.inZone(f.Zone)
		}
	}
	by.Lang = v.lang.tag
	v.actor, v.account = by, account
	return nil
}

// lives returns how long a session of an account may be idle, and last.
func lives(a store.Account) (idle, life time.Duration) {
	if a.Guardian == 0 {
		return operatorIdle, operatorLife
	}
	return sessionIdle, sessionLife
}

// begin signs an account in: with a session that is new, whatever the browser
// showed before.
func (v *visit) begin(account store.Account) error {
	ctx := v.request.Context()
	if old := v.session; old.ID != 0 {
		if err := v.server.accounts.EndSession(ctx, old.Account, old.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	secret := newSecret()
	idle, life := lives(account)
	_, err := v.server.accounts.AddSession(ctx, store.Session{
		Account: account.ID, Agent: agentOf(v.request), Proved: v.now, Idle: v.now.Add(idle), Until: v.now.Add(life),
	}, secret)
	if err != nil {
		return err
	}
	v.setCookie(sessionCookie, secret, life)
	return v.act(ctx, account)
}

// happened keeps what happened at the door to who is signed in. That it cannot be
// kept is no reason to refuse what was asked.
func (v *visit) happened(what, detail string) {
	v.keep(store.Event{Family: v.account.Family, Account: v.account.ID, Who: v.actor.Name, What: what, Detail: detail})
}

func (v *visit) keep(e store.Event) {
	e.Network, e.Agent = networkOf(v.client).String(), agentOf(v.request)
	if err := v.server.accounts.Happened(context.WithoutCancel(v.request.Context()), e); err != nil {
		v.server.log.LogAttrs(v.request.Context(), slog.LevelError, "what happened at the door could not be kept", slog.Any("error", err))
	}
}

// Proved reports whether it was proven a short while ago who sits there.
func (v *visit) Proved() bool {
	return v.session.ID != 0 && v.now.Sub(v.session.Proved) < proofLasts
}

// confirmed lets to a handler only who has proven a short while ago who they are:
// for what would do harm in the hands of a child who finds the phone unlocked.
// Others are asked first, and come back to the page. A program never may.
func confirmed(serve func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		switch {
		case v.token != nil:
			return &Refusal{Kind: Forbidden}
		case !v.Proved():
			return v.see("/confirm?next=" + url.QueryEscape(v.cameFrom()))
		}
		return serve(v)
	}
}

// cameFrom returns the page to come back to: this one, or the one whose form was
// sent here.
func (v *visit) cameFrom() string {
	if v.request.Method == http.MethodGet {
		return v.request.URL.RequestURI()
	}
	if from, err := url.Parse(v.request.Referer()); err == nil && from.Host == v.request.Host {
		return localPath(from.RequestURI())
	}
	return "/"
}

// agentOf names the kind of browser, never what would tell one from another of
// its kind.
func agentOf(q *http.Request) string {
	agent := q.UserAgent()
	find := func(words ...string) string {
		for i := 0; i+1 < len(words); i += 2 {
			if strings.Contains(agent, words[i]) {
				return words[i+1]
			}
		}
		return ""
	}
	browser := find("Firefox/", "Firefox", "FxiOS/", "Firefox", "Edg", "Edge", "OPR/", "Opera", "SamsungBrowser/", "Samsung Internet",
		"CriOS/", "Chrome", "Chromium/", "Chromium", "Chrome/", "Chrome", "Safari/", "Safari", "curl/", "curl", "python", "Python", "HomeAssistant", "Home Assistant")
	system := find("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "CrOS", "ChromeOS", "Mac OS X", "Mac", "Linux", "Linux")
	switch {
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return browser + ", " + system
}
