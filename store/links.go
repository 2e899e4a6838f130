package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"kinward/policy"
)

// Link is how a family's router reports the address of its home, and what it
// reported.
type Link struct {
	Family    policy.FamilyID
	Token     string // what the router calls itself; no secret
	Made      time.Time
	Addresses []Linked // at most one of each IP version, over ones included

	secret string
}

// Linked is what is linked to a family until a time.
type Linked struct {
	Network netip.Prefix
	Until   time.Time
}

// Is reports whether a password is the link's. It takes the same time for every
// wrong one; a link that is nil has none.
func (l *Link) Is(password string) bool {
	want := hashSecret("") // of nobody
	if l != nil {
		want = l.secret
	}
	same := subtle.ConstantTimeCompare([]byte(want), []byte(hashSecret(password))) == 1
	return same && l != nil && password != ""
}

// hashSecret is what is kept of a secret. The secrets are random and long, so that
// no slow hash is needed to keep them from being guessed.
func hashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// MakeLink gives a family's router a token and a password, and takes those back
// that it had, with what was linked by them, which is returned. The password must
// be one that nobody can guess.
func (db *DB) MakeLink(ctx context.Context, family policy.FamilyID, token, password string) (before []Linked, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := load(ctx, tx, family); err != nil {
			return err
		}
		if before, err = dropLink(ctx, tx, family); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO links (family_id, token, secret, made_at, v4, v4_until, v6, v6_until) VALUES ($1, $2, $3, $4, '', 0, '', 0)`,
			int64(family), token, hashSecret(password), db.now().UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a link for family %d: %w", family, err)
	}
	return before, nil
}

// RevokeLink takes a family's link away, and returns what was linked by it. The
// error wraps [ErrNotFound] where there was none.
func (db *DB) RevokeLink(ctx context.Context, family policy.FamilyID) (before []Linked, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		before, err = dropLink(ctx, tx, family)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("revoking the link of family %d: %w", family, err)
	}
	return before, nil
}

func dropLink(ctx context.Context, tx *sql.Tx, family policy.FamilyID) ([]Linked, error) {
	l, err := oneLink(ctx, tx, `WHERE family_id = $1`, int64(family))
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM links WHERE family_id = $1`, int64(family))
	return l.Addresses, err
}

// LinkOf returns a family's link, and LinkByToken the one with a token. The error
// wraps [ErrNotFound] where there is none.
func (db *DB) LinkOf(ctx context.Context, family policy.FamilyID) (*Link, error) {
	return oneLink(ctx, db.read, `WHERE family_id = $1`, int64(family))
}

// LinkByToken is described at [DB.LinkOf].
func (db *DB) LinkByToken(ctx context.Context, token string) (*Link, error) {
	return oneLink(ctx, db.read, `WHERE token = $1`, token)
}

// SetLinked links a network to the family whose link has a token until a time, in
// place of the one of the same IP version that it had, which is returned. The
// error wraps [policy.ErrTaken] where it is linked to another family now, and
// [ErrNotFound] where the token is nobody's.
func (db *DB) SetLinked(ctx context.Context, token string, to Linked) (before Linked, err error) {
	column, bits := "v4", 32
	if to.Network.Addr().Is6() {
		column, bits = "v6", 64
	}
	if to.Network.Bits() != bits {
		return before, fmt.Errorf("linking %s: it is no address of IPv4 and no /64 of IPv6", to.Network)
	}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		l, err := oneLink(ctx, tx, `WHERE token = $1`, token)
		if err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM links WHERE `+column+` = $1 AND `+column+`_until > $2 AND family_id <> $3`,
			to.Network.String(), db.now().UnixMilli(), int64(l.Family)).Scan(&others); err != nil {
			return err
		}
		if others > 0 {
			return policy.ErrTaken
		}
		for _, had := range l.Addresses {
			if had.Network.Addr().Is6() == to.Network.Addr().Is6() {
				before = had
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE links SET `+column+` = $1, `+column+`_until = $2 WHERE token = $3`,
			to.Network.String(), to.Until.UnixMilli(), token)
		return err
	})
	if err != nil {
		return Linked{}, fmt.Errorf("linking an address: %w", err)
	}
	return before, nil
}

// Links returns all links.
func (db *DB) Links(ctx context.Context) ([]*Link, error) { return links(ctx, db.read, ``) }

func oneLink(ctx context.Context, q querier, where string, arg any) (*Link, error) {
	all, err := links(ctx, q, where, arg)
	if err == nil && len(all) == 0 {
		return nil, refuse(ErrNotFound, "there is no such link; make one with: kinward families link make")
	}
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func links(ctx context.Context, q querier, where string, args ...any) (out []*Link, err error) {
	rows, err := q.QueryContext(ctx, `SELECT family_id, token, secret, made_at, v4, v4_until, v6, v6_until FROM links `+where+` ORDER BY family_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading links: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		l := &Link{}
		var made, until4, until6 int64
		var v4, v6 string
		if err := rows.Scan(&l.Family, &l.Token, &l.secret, &made, &v4, &until4, &v6, &until6); err != nil {
			return nil, fmt.Errorf("reading links: %w", explain(err))
		}
		l.Made = time.UnixMilli(made)
		for _, a := range []struct {
			text  string
			until int64
		}{{v4, until4}, {v6, until6}} {
			if a.text == "" {
				continue
			}
			p, err := netip.ParsePrefix(a.text)
			if err != nil {
				return nil, fmt.Errorf("reading the link of family %d: %w", l.Family, err)
			}
			l.Addresses = append(l.Addresses, Linked{p, time.UnixMilli(a.until)})
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading links: %w", explain(err))
	}
	return out, nil
}
