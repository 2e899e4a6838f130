package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kinward/policy"
)

// PassID identifies a pass, for those who list and revoke it. It opens nothing.
type PassID int64

// PassKind says what a pass is for.
type PassKind string

// The kinds of passes.
const (
	PassFirst    PassKind = "first"    // sets the server up: makes the first account
	PassJoin     PassKind = "join"     // makes the account of a guardian
	PassOperator PassKind = "operator" // makes an account that runs this server
	PassReset    PassKind = "reset"    // gives an account a new password
)

// Pass is what one visit may do without an account, until a time and once.
type Pass struct {
	ID       PassID
	Kind     PassKind
	Family   policy.FamilyID   // join: which
	Guardian policy.GuardianID // join: who gets the account
	Name     string            // join: of the guardian
	Role     policy.Role       // join: of the guardian
	Account  AccountID         // reset: whose password
	Who      string            // made it; join: "" is who runs this server
	Made     time.Time
	Until    time.Time
}

// Invite makes the pass with which a guardian who is named already gets an
// account; see [Tx.Invite].
func (a *Accounts) Invite(ctx context.Context, p Pass, secret string) (id PassID, err error) {
	err = a.transact(ctx, "inviting a guardian", func(t *Tx) error {
		id, err = t.Invite(p, secret)
		return err
	})
	return id, err
}

// Invite makes the pass with which a guardian of a family gets an account, in the
// place of one that was made before. secret must be one that nobody can guess. Nobody is named by an invitation: who may name
// guardians, and what has to wait, is decided where a family is changed.
//
// The error wraps [ErrNotFound] where there is no such guardian, [ErrConflict]
// where they have an account.
func (t *Tx) Invite(p Pass, secret string) (PassID, error) {
	f, _, err := t.Family(p.Family)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(f.Guardians, func(g policy.Guardian) bool { return g.ID == p.Guardian })
	if i < 0 {
		return 0, refuse(ErrNotFound, "there is no such guardian; see: kinward guardians")
	}
	p.Kind, p.Family, p.Name, p.Role = PassJoin, f.ID, f.Guardians[i].Name, f.Guardians[i].Role
	if err := t.withoutAccount(f.ID, p.Guardian, p.Name); err != nil {
		return 0, err
	}
	if _, err := t.dropInvitations(f.ID, p.Guardian); err != nil {
		return 0, err
	}
	return t.addPass(p, secret)
}

// Uninvite revokes the invitation of a guardian of a family; where none waits, the
// error wraps [ErrNotFound].
func (t *Tx) Uninvite(family policy.FamilyID, g policy.Guardian) error {
	n, err := t.dropInvitations(family, g.ID)
	if err == nil && n == 0 {
		err = refuse(ErrNotFound, "no invitation of %s waits", clip(g.Name))
	}
	return err
}

// dropInvitations removes the passes of a guardian, and returns how many of them
// were worth something.
func (t *Tx) dropInvitations(family policy.FamilyID, guardian policy.GuardianID) (n int, err error) {
	if err := t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM passes WHERE family_id = $1 AND guardian_id = $2 AND kind = $3 AND until_at > $4`,
		int64(family), int64(guardian), string(PassJoin), t.now.UnixMilli()).Scan(&n); err != nil {
		return 0, err
	}
	return n, t.exec(`DELETE FROM passes WHERE family_id = $1 AND guardian_id = $2 AND kind = $3`, int64(family), int64(guardian), string(PassJoin))
}

// withoutAccount refuses a guardian who has an account.
func (t *Tx) withoutAccount(family policy.FamilyID, guardian policy.GuardianID, name string) error {
	switch _, err := oneAccount(t.ctx, t.tx, `WHERE family_id = $1 AND guardian_id = $2`, int64(family), int64(guardian)); {
	case err == nil:
		return refuse(ErrConflict, "%s can sign in already", clip(name))
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return nil
}

// maxPasses bounds how many invitations of a family wait at a time.
const maxPasses = 20

func (t *Tx) addPass(p Pass, secret string) (id PassID, err error) {
	var waiting int
	if err := t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM passes WHERE family_id = $1 AND kind = $2 AND until_at > $3`,
		int64(p.Family), string(p.Kind), t.now.UnixMilli()).Scan(&waiting); err != nil {
		return 0, err
	}
	if waiting >= maxPasses {
		return 0, refuse(ErrConflict, "%d invitations wait already; revoke one first", waiting)
	}
	role, err := p.Role.MarshalText()
	if err != nil {
		return 0, err
	}
	err = t.tx.QueryRowContext(t.ctx, `INSERT INTO passes (family_id, kind, hash, account_id, guardian_id, name, role, who, made_at, until_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING pass_id`,
		int64(p.Family), string(p.Kind), hashSecret(secret), int64(p.Account), int64(p.Guardian), p.Name, string(role), p.Who,
		t.now.UnixMilli(), p.Until.UnixMilli()).Scan(&id)
	return id, err
}

// First makes the pass that sets the server up, in the place of one before. Where
// there is an account already, the error wraps [ErrConflict].
func (a *Accounts) First(ctx context.Context, secret string, until time.Time) error {
	return a.transact(ctx, "making the link that sets the console up", func(t *Tx) error {
		if err := t.nobodyYet(); err != nil {
			return err
		}
		if err := t.exec(`DELETE FROM passes WHERE kind = $1`, string(PassFirst)); err != nil {
			return err
		}
		_, err := t.addPass(Pass{Kind: PassFirst, Who: t.db.who, Until: until}, secret)
		return err
	})
}

func (t *Tx) nobodyYet() error {
	var n int
	if err := t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return refuse(ErrConflict, "the console is set up already; who forgot a password is helped by: kinward console reset NAME")
	}
	return nil
}

// MakeOperator makes a pass with which somebody who runs this server makes an
// account.
func (a *Accounts) MakeOperator(ctx context.Context, who, secret string, until time.Time) error {
	return a.transact(ctx, "inviting an operator", func(t *Tx) error {
		_, err := t.addPass(Pass{Kind: PassOperator, Who: who, Until: until}, secret)
		return err
	})
}

// Reset takes an account's password back, ends its sessions and its programs'
// access, and makes the pass that gives it another password. bare also removes
// its passkeys, its codes and the second factor. It stands in the family's history
// and in the door's.
func (a *Accounts) Reset(ctx context.Context, id AccountID, secret string, until time.Time, bare bool) error {
	return a.transact(ctx, "resetting a password", func(t *Tx) error {
		account, err := oneAccount(ctx, t.tx, `WHERE account_id = $1`, int64(id))
		if err != nil {
			return err
		}
		if err := t.setPassword(id, "", 0); err != nil {
			return err
		}
		if err := t.exec(`DELETE FROM api_tokens WHERE account_id = $1`, int64(id)); err != nil {
			return err
		}
		what := "reset the password of " + account.Name
		if bare {
			what += ", and removed what else opened the account"
			if err := t.bare(id); err != nil {
				return err
			}
		}
		if _, err := t.addPass(Pass{Kind: PassReset, Account: id, Family: account.Family, Who: t.db.who, Until: until}, secret); err != nil {
			return err
		}
		if err := t.happened(Event{Family: account.Family, Account: id, Who: t.db.who, What: DoorReset, Detail: account.Name}); err != nil {
			return err
		}
		if account.Family == 0 {
			return nil
		}
		_, err = t.note(account.Family, what, "")
		return err
	})
}

// bare removes all that opens an account but its password.
func (t *Tx) bare(id AccountID) error {
	for _, table := range []string{"passkeys", "recovery_codes"} {
		if err := t.exec(`DELETE FROM `+table+` WHERE account_id = $1`, int64(id)); err != nil {
			return err
		}
	}
	return t.exec(`UPDATE accounts SET totp = '', totp_step = 0 WHERE account_id = $1`, int64(id))
}

// Pass returns the pass that a secret is of. The error wraps [ErrNotFound] where
// there is none, it was used, or its time is over. Looking uses nothing up.
func (a *Accounts) Pass(ctx context.Context, secret string) (Pass, error) {
	return onePass(ctx, a.db.read, `WHERE hash = $1 AND until_at > $2`, hashSecret(secret), a.db.now().UnixMilli())
}

// Invitations returns the passes with which guardians join a family that wait,
// the newest first.
func (a *Accounts) Invitations(ctx context.Context, family policy.FamilyID) ([]Pass, error) {
	return readPasses(ctx, a.db.read, `WHERE family_id = $1 AND kind = $2 AND until_at > $3 ORDER BY pass_id DESC`, int64(family), string(PassJoin), a.db.now().UnixMilli())
}

func onePass(ctx context.Context, q querier, where string, args ...any) (Pass, error) {
	all, err := readPasses(ctx, q, where, args...)
	if err == nil && len(all) == 0 {
		err = refuse(ErrNotFound, "this link was used, or its time is over; ask for another one")
	}
	if err != nil {
		return Pass{}, err
	}
	return all[0], nil
}

func readPasses(ctx context.Context, q querier, where string, args ...any) (out []Pass, err error) {
	rows, err := q.QueryContext(ctx, `SELECT pass_id, kind, family_id, guardian_id, name, role, account_id, who, made_at, until_at FROM passes `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading passes: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var p Pass
		var role string
		var made, until int64
		if err := rows.Scan(&p.ID, &p.Kind, &p.Family, &p.Guardian, &p.Name, &role, &p.Account, &p.Who, &made, &until); err != nil {
			return nil, fmt.Errorf("reading passes: %w", explain(err))
		}
		if err := p.Role.UnmarshalText([]byte(role)); err != nil {
			return nil, fmt.Errorf("reading pass %d: %w", p.ID, err)
		}
		p.Made, p.Until = time.UnixMilli(made), time.UnixMilli(until)
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading passes: %w", explain(err))
	}
	return out, nil
}

// Newcomer is who uses a pass that makes an account.
type Newcomer struct {
	Guardian string // what the family calls them; "": they run this server for others
	Name     string // what they type to sign in
	Password string // its hash
	// Names are for the family that they set up, see [policy.Family.NameAtFirst];
	// without them it stays as it was made.
	Names policy.FirstNames
}

// Enter uses a pass up, and does what it is for, all or nothing: it makes the
// account with its guardian, or gives the account its new password. The error wraps
// [ErrNotFound] where the pass is worth nothing by now, [ErrConflict] where a name
// is taken.
func (a *Accounts) Enter(ctx context.Context, secret string, who Newcomer) (account Account, err error) {
	err = a.transact(ctx, "using a link", func(t *Tx) error {
		p, err := onePass(ctx, t.tx, `WHERE hash = $1 AND until_at > $2`, hashSecret(secret), t.now.UnixMilli())
		if err != nil {
			return err
		}
		if err := t.exec(`DELETE FROM passes WHERE pass_id = $1`, int64(p.ID)); err != nil {
			return err
		}
		account, err = t.enter(p, who)
		return err
	})
	return account, err
}

func (t *Tx) enter(p Pass, who Newcomer) (Account, error) {
	account := Account{Name: who.Name, Password: who.Password}
	switch p.Kind {
	case PassReset:
		account, err := oneAccount(t.ctx, t.tx, `WHERE account_id = $1`, int64(p.Account))
		if err != nil {
			return account, err
		}
		account.Password = who.Password
		return account, t.setPassword(account.ID, who.Password, 0)
	case PassOperator:
		account.Operator = true
		return t.addAccount(account)
	case PassFirst:
		if err := t.nobodyYet(); err != nil {
			return account, err
		}
		account.Operator = true
		if who.Guardian == "" {
			return t.addAccount(account)
		}
		p.Name, p.Role = who.Guardian, policy.Owner
		f, _, err := t.Family(0)
		if err != nil {
			return account, err
		}
		p.Family = f.ID
		if who.Names != (policy.FirstNames{}) {
			own := &Tx{t.db.As(account.Name), t.ctx, t.tx, t.now}
			if _, err := own.Change(Edit{Family: f.ID}, func(f *policy.Family) (string, error) { return f.NameAtFirst(who.Names) }); err != nil {
				return account, err
			}
		}
		if g, err := f.Guardian(who.Guardian); err == nil && g.Role == policy.Owner { // named on the command line before
			p.Guardian = g.ID
		}
	}
	return t.join(p, account)
}

// join makes the account of a guardian. Whoever sets the server up becomes one.
func (t *Tx) join(p Pass, account Account) (Account, error) {
	account.Family, account.Guardian = p.Family, p.Guardian
	if p.Guardian == 0 && p.Kind == PassFirst {
		by := t.db.As(account.Name)
		own := &Tx{by, t.ctx, t.tx, t.now}
		_, err := own.Change(Edit{Family: p.Family}, func(f *policy.Family) (what string, err error) {
			account.Guardian, what, err = f.AddGuardian(p.Name, p.Role)
			return what, err
		})
		if err != nil {
			return account, err
		}
	} else {
		f, _, err := t.Family(p.Family)
		if err != nil {
			return account, err
		}
		if !slices.ContainsFunc(f.Guardians, func(g policy.Guardian) bool { return g.ID == p.Guardian }) {
			return account, refuse(ErrNotFound, "this guardian was removed meanwhile")
		}
	}
	return t.addAccount(account)
}
