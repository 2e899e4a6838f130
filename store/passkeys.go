package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"kinward/policy"
)

// PasskeyID identifies a passkey, for those who list and remove it.
type PasskeyID int64

// Passkey is a credential of WebAuthn. It holds no secret: that stays on the
// device.
type Passkey struct {
	ID         PasskeyID
	Account    AccountID
	Credential []byte // its ID
	Document   []byte // JSON, of package console
	Name       string
	Made, Used time.Time
}

// maxPasskeys bounds how many an account may have.
const maxPasskeys = 20

// AddPasskey adds a passkey to an account. The error wraps [ErrConflict] where it has
// as many as it may, or where the passkey is somebody's already (WebAuthn §7.1).
func (a *Accounts) AddPasskey(ctx context.Context, p Passkey) error {
	name, err := policy.CleanName(p.Name)
	if err != nil {
		return err
	}
	return a.transact(ctx, "adding a passkey", func(t *Tx) error {
		if err := roomForPasskey(ctx, t.tx, p.Account); err != nil {
			return err
		}
		credential, taken := hex.EncodeToString(p.Credential), 0
		if err := t.tx.QueryRowContext(ctx, `SELECT count(*) FROM passkeys WHERE credential = $1`, credential).Scan(&taken); err != nil {
			return fmt.Errorf("looking for the passkey: %w", explain(err))
		}
		if taken > 0 {
			return refuse(ErrConflict, "this passkey is in use already; make another one")
		}
		return t.exec(`INSERT INTO passkeys (family_id, account_id, credential, document, name, made_at, used_at)
			SELECT family_id, account_id, $2, $3, $4, $5, $5 FROM accounts WHERE account_id = $1`,
			int64(p.Account), credential, string(p.Document), name, t.now.UnixMilli())
	})
}

// RoomForPasskey reports whether an account may have one more: what a device has made
// stays in it, so it is asked before. The error wraps [ErrConflict] where it may not.
func (a *Accounts) RoomForPasskey(ctx context.Context, id AccountID) error {
	if err := roomForPasskey(ctx, a.db.read, id); err != nil {
		return fmt.Errorf("adding a passkey: %w", err)
	}
	return nil
}

func roomForPasskey(ctx context.Context, q querier, id AccountID) error {
	var n int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM passkeys WHERE account_id = $1`, int64(id)).Scan(&n); err != nil {
		return fmt.Errorf("counting passkeys: %w", explain(err))
	}
	if n >= maxPasskeys {
		return refuse(ErrConflict, "there are %d passkeys already; remove one first", n)
	}
	return nil
}

// Passkeys returns the passkeys of an account, the oldest first.
func (a *Accounts) Passkeys(ctx context.Context, account AccountID) (out []Passkey, err error) {
	rows, err := a.db.read.QueryContext(ctx, `SELECT passkey_id, account_id, credential, document, name, made_at, used_at FROM passkeys
		WHERE account_id = $1 ORDER BY passkey_id`, int64(account))
	if err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var p Passkey
		var credential string
		var made, used int64
		if err := rows.Scan(&p.ID, &p.Account, &credential, &p.Document, &p.Name, &made, &used); err != nil {
			return nil, fmt.Errorf("reading passkeys: %w", explain(err))
		}
		if p.Credential, err = hex.DecodeString(credential); err != nil {
			return nil, fmt.Errorf("reading passkey %d: %w", p.ID, err)
		}
		p.Made, p.Used = time.UnixMilli(made), time.UnixMilli(used)
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", explain(err))
	}
	return out, nil
}

// PasskeyUsed keeps what is kept of a passkey after it was used.
func (a *Accounts) PasskeyUsed(ctx context.Context, account AccountID, credential, document []byte) error {
	return a.set(ctx, `UPDATE passkeys SET document = $3, used_at = $4 WHERE account_id = $1 AND credential = $2`,
		int64(account), hex.EncodeToString(credential), string(document), a.db.now().UnixMilli())
}

// RemovePasskey removes a passkey of an account; where it has none such, the
// error wraps [ErrNotFound].
func (a *Accounts) RemovePasskey(ctx context.Context, account AccountID, id PasskeyID) error {
	return a.set(ctx, `DELETE FROM passkeys WHERE account_id = $1 AND passkey_id = $2`, int64(account), int64(id))
}

// SetTOTP gives an account a second factor, the secret in base 32 ("": none), of
// which the code of a step was shown. Without one, its recovery codes go too.
func (a *Accounts) SetTOTP(ctx context.Context, account AccountID, secret string, step int64) error {
	return a.transact(ctx, "setting the second factor", func(t *Tx) error {
		if secret == "" {
			if err := t.exec(`DELETE FROM recovery_codes WHERE account_id = $1`, int64(account)); err != nil {
				return err
			}
		}
		return t.exec(`UPDATE accounts SET totp = $2, totp_step = $3 WHERE account_id = $1`, int64(account), secret, step)
	})
}

// UseTOTP uses the code of a step up. It returns false where that, or a later one,
// was used before.
func (a *Accounts) UseTOTP(ctx context.Context, account AccountID, step int64) (bool, error) {
	r, err := a.db.write.ExecContext(ctx, `UPDATE accounts SET totp_step = $2 WHERE account_id = $1 AND totp <> '' AND totp_step < $2`, int64(account), step)
	if err != nil {
		return false, fmt.Errorf("using a code: %w", explain(err))
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// SetCodes gives an account recovery codes in the place of those before.
func (a *Accounts) SetCodes(ctx context.Context, account AccountID, codes []string) error {
	return a.transact(ctx, "making recovery codes", func(t *Tx) error {
		if err := t.exec(`DELETE FROM recovery_codes WHERE account_id = $1`, int64(account)); err != nil {
			return err
		}
		for _, c := range codes {
			if err := t.exec(`INSERT INTO recovery_codes (family_id, account_id, hash) SELECT family_id, account_id, $2 FROM accounts WHERE account_id = $1`,
				int64(account), hashSecret(c)); err != nil {
				return err
			}
		}
		return nil
	})
}

// UseCode uses a recovery code up. It returns false where it is none.
func (a *Accounts) UseCode(ctx context.Context, account AccountID, code string) (bool, error) {
	r, err := a.db.write.ExecContext(ctx, `DELETE FROM recovery_codes WHERE account_id = $1 AND hash = $2`, int64(account), hashSecret(code))
	if err != nil {
		return false, fmt.Errorf("using a recovery code: %w", explain(err))
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// CodesLeft returns how many recovery codes an account has.
func (a *Accounts) CodesLeft(ctx context.Context, account AccountID) (n int, err error) {
	if err := a.db.read.QueryRowContext(ctx, `SELECT count(*) FROM recovery_codes WHERE account_id = $1`, int64(account)).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting recovery codes: %w", explain(err))
	}
	return n, nil
}
