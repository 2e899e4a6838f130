package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kinward/policy"
)

// SessionID identifies a session, for those who list and end it. 0 is none. It
// opens nothing.
type SessionID int64

// Session is a browser that is signed in.
type Session struct {
	ID      SessionID
	Account AccountID
	Agent   string    // the kind of browser
	Made    time.Time // signed in
	Seen    time.Time // to some minutes
	Proved  time.Time // when it was last proven who sits there
	Idle    time.Time // it ends then, unless it is used
	Until   time.Time // it ends then
}

// AddSession keeps a session of an account. secret is what the browser shows; it
// must be one that nobody can guess.
func (a *Accounts) AddSession(ctx context.Context, s Session, secret string) (id SessionID, err error) {
	err = a.transact(ctx, "keeping a session", func(t *Tx) error {
		id, err = t.addSession(s, secret)
		return err
	})
	return id, err
}

func (t *Tx) addSession(s Session, secret string) (id SessionID, err error) {
	err = t.tx.QueryRowContext(t.ctx, `INSERT INTO sessions (family_id, account_id, hash, agent, made_at, seen_at, proved_at, idle_at, until_at)
		SELECT family_id, account_id, $2, $3, $4, $4, $5, $6, $7 FROM accounts WHERE account_id = $1 RETURNING session_id`,
		int64(s.Account), hashSecret(secret), s.Agent, t.now.UnixMilli(), s.Proved.UnixMilli(), s.Idle.UnixMilli(), s.Until.UnixMilli()).Scan(&id)
	return id, err
}

const sessionColumns = `session_id, account_id, agent, made_at, seen_at, proved_at, idle_at, until_at`

func (a *Accounts) sessions(ctx context.Context, where string, args ...any) (out []Session, err error) {
	rows, err := a.db.read.QueryContext(ctx, `SELECT `+sessionColumns+` FROM sessions `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var s Session
		var made, seen, proved, idle, until int64
		if err := rows.Scan(&s.ID, &s.Account, &s.Agent, &made, &seen, &proved, &idle, &until); err != nil {
			return nil, fmt.Errorf("reading sessions: %w", explain(err))
		}
		s.Made, s.Seen, s.Proved = time.UnixMilli(made), time.UnixMilli(seen), time.UnixMilli(proved)
		s.Idle, s.Until = time.UnixMilli(idle), time.UnixMilli(until)
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading sessions: %w", explain(err))
	}
	return out, nil
}

// Session returns the session that a secret opens, with its account. The error
// wraps [ErrNotFound] where there is none, or it has ended.
func (a *Accounts) Session(ctx context.Context, secret string) (Session, Account, error) {
	now := a.db.now().UnixMilli()
	found, err := a.sessions(ctx, `WHERE hash = $1 AND idle_at > $2 AND until_at > $2`, hashSecret(secret), now)
	if err == nil && len(found) == 0 {
		err = refuse(ErrNotFound, "there is no such session, or it has ended; sign in again")
	}
	if err != nil {
		return Session{}, Account{}, err
	}
	account, err := a.ByID(ctx, found[0].Account)
	return found[0], account, err
}

// Sessions returns the sessions of an account that have not ended, the newest
// first.
func (a *Accounts) Sessions(ctx context.Context, id AccountID) ([]Session, error) {
	return a.sessions(ctx, `WHERE account_id = $1 AND idle_at > $2 AND until_at > $2 ORDER BY seen_at DESC, session_id DESC`, int64(id), a.db.now().UnixMilli())
}

// Seen keeps that a session was used, and until when it may be idle.
func (a *Accounts) Seen(ctx context.Context, id SessionID, idle time.Time) error {
	return a.set(ctx, `UPDATE sessions SET seen_at = $2, idle_at = $3 WHERE session_id = $1`, int64(id), a.db.now().UnixMilli(), idle.UnixMilli())
}

// Prove keeps that it was proven again who sits there, and gives the session
// another secret.
func (a *Accounts) Prove(ctx context.Context, id SessionID, secret string) error {
	return a.set(ctx, `UPDATE sessions SET proved_at = $2, hash = $3 WHERE session_id = $1`, int64(id), a.db.now().UnixMilli(), hashSecret(secret))
}

// EndSession ends a session of an account; where it has none such, the error
// wraps [ErrNotFound].
func (a *Accounts) EndSession(ctx context.Context, account AccountID, id SessionID) error {
	return a.set(ctx, `DELETE FROM sessions WHERE account_id = $1 AND session_id = $2`, int64(account), int64(id))
}

// EndSessions ends all sessions of an account but one (0: all), and returns how
// many there were.
func (a *Accounts) EndSessions(ctx context.Context, account AccountID, but SessionID) (int, error) {
	r, err := a.db.write.ExecContext(ctx, `DELETE FROM sessions WHERE account_id = $1 AND session_id <> $2`, int64(account), int64(but))
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", explain(err))
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// TokenID identifies the access of a program. It opens nothing.
type TokenID int64

// Token is the access of a program to the API, in the name of an account.
type Token struct {
	ID      TokenID
	Account AccountID
	Name    string // what the person calls the program
	Scopes  []string
	Made    time.Time
	Used    time.Time // to some minutes; the zero time is never
	Until   time.Time // the zero time is for good
}

// MaxTokens is how many tokens an account may have.
const MaxTokens = 20

// AddToken keeps a token of an account, which has [MaxTokens] in force at most. secret is what the program shows; it
// must be one that nobody can guess.
func (a *Accounts) AddToken(ctx context.Context, k Token, secret string) (id TokenID, err error) {
	name, err := policy.CleanName(k.Name)
	if err != nil {
		return 0, err
	}
	until := int64(0)
	if !k.Until.IsZero() {
		until = k.Until.UnixMilli()
	}
	err = a.transact(ctx, "keeping a token", func(t *Tx) error {
		var have int
		if err := t.tx.QueryRowContext(ctx, `SELECT count(*) FROM api_tokens WHERE account_id = $1 AND (until_at = 0 OR until_at > $2)`, int64(k.Account), t.now.UnixMilli()).Scan(&have); err != nil {
			return err
		}
		if have >= MaxTokens {
			return refuse(ErrConflict, "%d programs have access already; revoke one first", have)
		}
		return t.tx.QueryRowContext(ctx, `INSERT INTO api_tokens (family_id, account_id, hash, name, scopes, made_at, used_at, until_at)
			SELECT family_id, account_id, $2, $3, $4, $5, 0, $6 FROM accounts WHERE account_id = $1 RETURNING token_id`,
			int64(k.Account), hashSecret(secret), name, strings.Join(k.Scopes, " "), t.now.UnixMilli(), until).Scan(&id)
	})
	return id, err
}

func (a *Accounts) tokens(ctx context.Context, where string, args ...any) (out []Token, err error) {
	rows, err := a.db.read.QueryContext(ctx, `SELECT token_id, account_id, name, scopes, made_at, used_at, until_at FROM api_tokens `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var k Token
		var scopes string
		var made, used, until int64
		if err := rows.Scan(&k.ID, &k.Account, &k.Name, &scopes, &made, &used, &until); err != nil {
			return nil, fmt.Errorf("reading tokens: %w", explain(err))
		}
		k.Scopes, k.Made, k.Used, k.Until = strings.Fields(scopes), time.UnixMilli(made), timeOrNone(used), timeOrNone(until)
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading tokens: %w", explain(err))
	}
	return out, nil
}

// Token returns the token that a secret is of, with its account. The error wraps
// [ErrNotFound] where there is none, or it has ended.
func (a *Accounts) Token(ctx context.Context, secret string) (Token, Account, error) {
	found, err := a.tokens(ctx, `WHERE hash = $1 AND (until_at = 0 OR until_at > $2)`, hashSecret(secret), a.db.now().UnixMilli())
	if err == nil && len(found) == 0 {
		err = refuse(ErrNotFound, "there is no such token, or it has ended; make a new one")
	}
	if err != nil {
		return Token{}, Account{}, err
	}
	account, err := a.ByID(ctx, found[0].Account)
	return found[0], account, err
}

// Tokens returns the tokens of an account, the newest first.
func (a *Accounts) Tokens(ctx context.Context, account AccountID) ([]Token, error) {
	return a.tokens(ctx, `WHERE account_id = $1 ORDER BY token_id DESC`, int64(account))
}

// TokenUsed keeps that a token was used now.
func (a *Accounts) TokenUsed(ctx context.Context, id TokenID) error {
	return a.set(ctx, `UPDATE api_tokens SET used_at = $2 WHERE token_id = $1`, int64(id), a.db.now().UnixMilli())
}

// RevokeToken ends a token of an account; where it has none such, the error
// wraps [ErrNotFound].
func (a *Accounts) RevokeToken(ctx context.Context, account AccountID, id TokenID) error {
	return a.set(ctx, `DELETE FROM api_tokens WHERE account_id = $1 AND token_id = $2`, int64(account), int64(id))
}
