package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"kinward/policy"
)

// AccountID identifies an account of the console. 0 is none.
type AccountID int64

// Account is who signs in to the console: a guardian of a family, or somebody who
// runs this server, or both.
type Account struct {
	ID       AccountID
	Family   policy.FamilyID   // 0: of no family
	Guardian policy.GuardianID // 0: of no family
	Operator bool              // runs this server
	Name     string            // what is typed to sign in; unique on this server
	Password string            // its hash; "": none opens it
	TOTP     string            // the secret in base 32; "": none
	Handle   []byte            // how passkeys name it
	Language string            // BCP 47: that they are written to; "": not known
	Made     time.Time
}

// Accounts keeps who signs in to the console, and with what: passwords as hashes
// that the caller makes, what is random and long (sessions, tokens, passes) as its
// SHA-256. What it keeps of a family goes with the family, and what of a guardian
// with the guardian. Safe for concurrent use.
type Accounts struct{ db *DB }

// Accounts returns the database's accounts.
func (db *DB) Accounts() *Accounts { return &Accounts{db} }

// accountTables are all tables that have rows of an account, without itself.
var accountTables = []string{"recovery_codes", "passkeys", "sessions", "api_tokens", "passes"}

const accountColumns = `family_id, account_id, guardian_id, operator, name, password, totp, handle, made_at, language`

func readAccounts(ctx context.Context, q querier, where string, args ...any) (out []Account, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+accountColumns+` FROM accounts `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var a Account
		var made int64
		var handle string
		if err := rows.Scan(&a.Family, &a.ID, &a.Guardian, &a.Operator, &a.Name, &a.Password, &a.TOTP, &handle, &made, &a.Language); err != nil {
			return nil, fmt.Errorf("reading accounts: %w", explain(err))
		}
		if a.Handle, err = hex.DecodeString(handle); err != nil {
			return nil, fmt.Errorf("reading account %d: %w", a.ID, err)
		}
		a.Made = time.UnixMilli(made)
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading accounts: %w", explain(err))
	}
	return out, nil
}

func oneAccount(ctx context.Context, q querier, where string, args ...any) (Account, error) {
	all, err := readAccounts(ctx, q, where, args...)
	if err == nil && len(all) == 0 {
		err = refuse(ErrNotFound, "there is no such account; see: kinward console")
	}
	if err != nil {
		return Account{}, err
	}
	return all[0], nil
}

// Any reports whether there is an account at all.
func (a *Accounts) Any(ctx context.Context) (bool, error) {
	var n int
	err := a.db.read.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM accounts LIMIT 1) AS one`).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for accounts: %w", explain(err))
	}
	return n > 0, nil
}

// List returns all accounts in order of their names, at most limit.
func (a *Accounts) List(ctx context.Context, limit int) ([]Account, error) {
	return readAccounts(ctx, a.db.read, `ORDER BY name_key LIMIT $1`, limit)
}

// ByName returns the account that signs in with a name, in any case, ByID the one
// with an ID, ByHandle the one that passkeys name so, and OfGuardian a
// guardian's. The error wraps [ErrNotFound] where there is none.
func (a *Accounts) ByName(ctx context.Context, name string) (Account, error) {
	return oneAccount(ctx, a.db.read, `WHERE name_key = $1`, policy.NameKey(name))
}

// ByID is described at [Accounts.ByName].
func (a *Accounts) ByID(ctx context.Context, id AccountID) (Account, error) {
	return oneAccount(ctx, a.db.read, `WHERE account_id = $1`, int64(id))
}

// ByHandle is described at [Accounts.ByName].
func (a *Accounts) ByHandle(ctx context.Context, handle []byte) (Account, error) {
	return oneAccount(ctx, a.db.read, `WHERE handle = $1`, hex.EncodeToString(handle))
}

// OfGuardian is described at [Accounts.ByName].
func (a *Accounts) OfGuardian(ctx context.Context, family policy.FamilyID, guardian policy.GuardianID) (Account, error) {
	return oneAccount(ctx, a.db.read, `WHERE family_id = $1 AND guardian_id = $2 AND guardian_id <> 0`, int64(family), int64(guardian))
}

// Guardian returns the family and the guardian that an account is of, as they are
// now. The error wraps [ErrNotFound] where there is no such guardian.
func (a *Accounts) Guardian(ctx context.Context, of Account) (*policy.Family, policy.Guardian, error) {
	none := refuse(ErrNotFound, "account %d is of no guardian", of.ID)
	if of.Family == 0 { // which would be the home family
		return nil, policy.Guardian{}, none
	}
	f, _, err := a.db.Family(ctx, of.Family)
	if err != nil {
		return nil, policy.Guardian{}, err
	}
	for _, g := range f.Guardians {
		if g.ID == of.Guardian {
			return f, g, nil
		}
	}
	return nil, policy.Guardian{}, none
}

// Family returns a family, for its name.
func (a *Accounts) Family(ctx context.Context, id policy.FamilyID) (*policy.Family, error) {
	f, _, err := a.db.Family(ctx, id)
	return f, err
}

// Key returns what the console seals with what it gives to browsers to keep. It is
// made at the first call, and is in no backup.
func (a *Accounts) Key(ctx context.Context) (key [32]byte, err error) {
	const name = "console/key"
	kept, err := a.db.Secrets().Get(ctx, name)
	if err == nil && len(kept) == len(key) {
		return [32]byte(kept), nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return key, err
	}
	rand.Read(key[:])
	return key, a.db.Secrets().Put(ctx, name, key[:])
}

// addAccount adds an account with the name, the password and the belonging of a.
func (t *Tx) addAccount(a Account) (Account, error) {
	name, err := policy.CleanName(a.Name)
	if err != nil {
		return a, err
	}
	var taken int
	if err := t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM accounts WHERE name_key = $1`, policy.NameKey(name)).Scan(&taken); err != nil {
		return a, err
	}
	if taken > 0 {
		return a, refuse(ErrConflict, "somebody signs in as %q already; choose another name to sign in", clip(name))
	}
	if a.Guardian != 0 {
		if err := t.withoutAccount(a.Family, a.Guardian, name); err != nil {
			return a, err
		}
	}
	a.Name, a.Made = name, t.now
	a.Handle = make([]byte, 32)
	rand.Read(a.Handle)
	err = t.tx.QueryRowContext(t.ctx, `INSERT INTO accounts (family_id, guardian_id, operator, name, name_key, password, totp, totp_step, handle, made_at)
		VALUES ($1, $2, $3, $4, $5, $6, '', 0, $7, $8) RETURNING account_id`,
		int64(a.Family), int64(a.Guardian), number(a.Operator), a.Name, policy.NameKey(a.Name), a.Password, hex.EncodeToString(a.Handle), t.now.UnixMilli()).Scan(&a.ID)
	return a, err
}

// SetPassword keeps the hash of a password that was proven to be the account's,
// when the cost of hashes has changed.
func (a *Accounts) SetPassword(ctx context.Context, id AccountID, was, hash string) error {
	return a.set(ctx, `UPDATE accounts SET password = $2 WHERE account_id = $1 AND password = $3`, int64(id), hash, was)
}

// SetLanguage keeps the language (BCP 47) that whoever signs in is written to.
func (a *Accounts) SetLanguage(ctx context.Context, id AccountID, language string) error {
	return a.set(ctx, `UPDATE accounts SET language = $2 WHERE account_id = $1`, int64(id), language)
}

// ChangePassword gives an account another password and ends its sessions but
// one.
func (a *Accounts) ChangePassword(ctx context.Context, id AccountID, hash string, keep SessionID) error {
	return a.transact(ctx, "changing a password", func(t *Tx) error { return t.setPassword(id, hash, keep) })
}

func (t *Tx) setPassword(id AccountID, hash string, keep SessionID) error {
	if err := t.exec(`UPDATE accounts SET password = $2 WHERE account_id = $1`, int64(id), hash); err != nil {
		return err
	}
	if err := t.exec(`DELETE FROM passes WHERE account_id = $1`, int64(id)); err != nil {
		return err
	}
	return t.exec(`DELETE FROM sessions WHERE account_id = $1 AND session_id <> $2`, int64(id), int64(keep))
}

// Remove removes an account with all that opens it. A guardian stays one.
func (a *Accounts) Remove(ctx context.Context, id AccountID) error {
	return a.transact(ctx, "removing an account", func(t *Tx) error { return t.dropAccounts(`account_id = $1`, int64(id)) })
}

// dropAccounts removes the accounts of a condition with all that opens them.
func (t *Tx) dropAccounts(where string, args ...any) error {
	for _, table := range accountTables {
		if err := t.exec(`DELETE FROM `+table+` WHERE account_id IN (SELECT account_id FROM accounts WHERE `+where+`)`, args...); err != nil {
			return err
		}
	}
	return t.exec(`DELETE FROM accounts WHERE `+where, args...)
}

// dropDoor removes what opens the console to guardians who are no longer there.
func (t *Tx) dropDoor(before, after *policy.Family) error {
	for _, g := range before.Guardians {
		if slices.ContainsFunc(after.Guardians, func(still policy.Guardian) bool { return still.ID == g.ID }) {
			continue
		}
		if err := t.dropAccounts(`family_id = $1 AND guardian_id = $2`, int64(after.ID), int64(g.ID)); err != nil {
			return err
		}
		if err := t.exec(`DELETE FROM passes WHERE family_id = $1 AND guardian_id = $2`, int64(after.ID), int64(g.ID)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return err
}

func (a *Accounts) transact(ctx context.Context, doing string, f func(*Tx) error) error {
	if err := a.db.Together(ctx, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// set runs a statement that is to change one row; where it changes none, the
// error wraps [ErrNotFound].
func (a *Accounts) set(ctx context.Context, query string, args ...any) error {
	r, err := a.db.write.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("changing an account: %w", explain(err))
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return refuse(ErrNotFound, "it is not there any more; look again at what there is")
}

// Expire forgets what has ended by now: sessions, passes, tokens, and what
// happened at the door long ago.
func (a *Accounts) Expire(ctx context.Context) error {
	now := a.db.now()
	return a.transact(ctx, "forgetting what has ended at the door", func(t *Tx) error {
		return errors.Join(
			t.exec(`DELETE FROM sessions WHERE idle_at <= $1 OR until_at <= $1`, now.UnixMilli()),
			t.exec(`DELETE FROM passes WHERE until_at <= $1`, now.UnixMilli()),
			t.exec(`DELETE FROM api_tokens WHERE until_at <> 0 AND until_at <= $1`, now.UnixMilli()),
			t.exec(`DELETE FROM door WHERE at < $1`, now.Add(-keptAtTheDoor).UnixMilli()),
		)
	})
}

// timeOrNone reads a time that is 0 where there is none.
func timeOrNone(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// forgetOpen takes out of a copy of the database what opens the console without a
// password: what was revoked since must not come back with it.
func forgetOpen(ctx context.Context, db *sql.DB) error {
	for _, table := range []string{"sessions", "api_tokens", "passes"} {
		if _, err := db.ExecContext(ctx, `DELETE FROM `+table); err != nil {
			return fmt.Errorf("leaving sessions out: %w", err)
		}
	}
	return nil
}
