package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kinward/policy"
)

const (
	// MaxPending is how many changes of a family may wait at a time.
	MaxPending = 50
	// keptPending is how many of a family's settled ones are kept to be shown. What
	// became of each stands in the record of changes, too.
	keptPending = 200
)

// PendingState is what became of a change that waits. The words last.
type PendingState string

// The states. All but the first are final.
const (
	PendingWaits     PendingState = "waiting"
	PendingDone      PendingState = "done"
	PendingRejected  PendingState = "rejected"  // by another guardian
	PendingWithdrawn PendingState = "withdrawn" // by who wanted it
	PendingFailed    PendingState = "failed"    // when its time came it could not be made any more
	PendingExpired   PendingState = "expired"   // nobody agreed
)

// Pending is a change that weakens protection and waits for its time, for another
// guardian, or for both.
type Pending struct {
	Family   policy.FamilyID
	ID       int64
	Guardian policy.GuardianID // who wants it
	Who      string
	At       time.Time
	Due      time.Time // zero: no time brings it
	Second   bool      // another guardian has to agree
	// Operation and Request are run when it is made.
	Operation string
	Request   json.RawMessage
	What, Why string
	Weakens   []policy.Weakening
	Agreed    policy.GuardianID
	AgreedWho string // "": nobody has agreed

	State      PendingState
	Settled    time.Time // zero while it waits
	SettledWho string
	Note       string // why it failed
	Revision   uint64 // of the family, that it led to; 0 is none
}

// Ripe reports whether nothing is in the way of p at a time.
func (p Pending) Ripe(now time.Time) bool {
	agreed, due := p.AgreedWho != "", !p.Due.IsZero() && !now.Before(p.Due)
	switch {
	case p.State != PendingWaits:
		return false
	case p.Second:
		return agreed && (p.Due.IsZero() || due)
	}
	return agreed || due
}

// AddPending keeps a change that waits and returns it with its ID. Where the same
// waits already, that one is returned. The error wraps [ErrConflict] where
// [MaxPending] wait.
func (db *DB) AddPending(ctx context.Context, p Pending) (Pending, error) {
	weakens, err := json.Marshal(p.Weakens)
	if err != nil {
		return Pending{}, err
	}
	err = db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := load(ctx, tx, p.Family); err != nil {
			return err
		}
		same, err := pendings(ctx, tx, `WHERE family_id = $1 AND state = 'waiting' AND operation = $2 AND request = $3 AND guardian_id = $4`,
			int64(p.Family), p.Operation, string(p.Request), int64(p.Guardian))
		if err != nil {
			return err
		}
		if len(same) > 0 {
			p = same[0]
			return nil
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM pending WHERE family_id = $1 AND state = 'waiting'`, int64(p.Family)).Scan(&n); err != nil {
			return err
		}
		if n >= MaxPending {
			return refuse(ErrConflict, "%d changes wait already; agree to some of them or reject them first", n)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM pending WHERE family_id = $1 AND state <> 'waiting' AND pending_id NOT IN
			(SELECT pending_id FROM pending WHERE family_id = $1 AND state <> 'waiting' ORDER BY pending_id DESC LIMIT $2)`, int64(p.Family), keptPending); err != nil {
			return err
		}
		p.State = PendingWaits
		return tx.QueryRowContext(ctx, `
			INSERT INTO pending (family_id, guardian_id, who, at, due_at, second, operation, request, what, why, weakens, agreed_id, agreed_who, state, settled_at, settled_who, note, revision)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '', 'waiting', 0, '', '', 0) RETURNING pending_id`,
			int64(p.Family), int64(p.Guardian), p.Who, p.At.UnixMilli(), millis(p.Due), number(p.Second), p.Operation, string(p.Request), p.What, p.Why, string(weakens)).Scan(&p.ID)
	})
	if err != nil {
		return Pending{}, fmt.Errorf("keeping a change that waits: %w", err)
	}
	return p, nil
}

// Pendings returns a family's changes that wait or waited, the newest first.
func (db *DB) Pendings(ctx context.Context, family policy.FamilyID, limit int) ([]Pending, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading changes that wait: %w", errNoFamily)
	}
	out, err := pendings(ctx, db.read, `WHERE family_id = $1 ORDER BY pending_id DESC LIMIT $2`, int64(family), limit)
	if err != nil {
		return nil, fmt.Errorf("reading changes that wait: %w", explain(err))
	}
	return out, nil
}

// Pending returns one change of a family that waits or waited. The error wraps
// [ErrNotFound] where the family has none such.
func (db *DB) Pending(ctx context.Context, family policy.FamilyID, id int64) (Pending, error) {
	out, err := pendings(ctx, db.read, `WHERE family_id = $1 AND pending_id = $2`, int64(family), id)
	switch {
	case err != nil:
		return Pending{}, fmt.Errorf("reading change %d that waits: %w", id, explain(err))
	case len(out) == 0:
		return Pending{}, refuse(ErrNotFound, "no change %d waits", id)
	}
	return out[0], nil
}

// RipePendings returns changes of all families that nothing is in the way of, the
// oldest first, and those that have waited for longer than since without anybody
// agreeing.
func (db *DB) RipePendings(ctx context.Context, now, since time.Time, limit int) ([]Pending, error) {
	out, err := pendings(ctx, db.read, `WHERE state = 'waiting' AND (
		(due_at > 0 AND due_at <= $1 AND (second = 0 OR agreed_who <> '')) OR (agreed_who <> '' AND (due_at = 0 OR second = 0)) OR (second = 1 AND agreed_who = '' AND at < $2))
		ORDER BY pending_id LIMIT $3`, now.UnixMilli(), since.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("reading changes whose time has come: %w", explain(err))
	}
	return out, nil
}

// pendingsAfter returns changes of all families that began to wait after a number,
// in order.
func (db *DB) pendingsAfter(ctx context.Context, after uint64, limit int) ([]Pending, error) {
	out, err := pendings(ctx, db.read, `WHERE pending_id > $1 ORDER BY pending_id LIMIT $2`, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("reading changes that wait: %w", explain(err))
	}
	return out, nil
}

// Agree keeps that somebody agreed to a change that waits. The error wraps
// [ErrConflict] where it does not wait any more.
func (db *DB) Agree(ctx context.Context, family policy.FamilyID, id int64, by policy.GuardianID, who string) error {
	res, err := db.write.ExecContext(ctx, `UPDATE pending SET agreed_id = $3, agreed_who = $4 WHERE family_id = $1 AND pending_id = $2 AND state = 'waiting'`,
		int64(family), id, int64(by), who)
	return oneRow(res, err, id)
}

// Settle keeps what became of a change that waited. The error wraps [ErrConflict]
// where that is settled already.
func (t *Tx) Settle(family policy.FamilyID, id int64, s PendingState, who, note string, revision uint64) error {
	res, err := t.tx.ExecContext(t.ctx, `UPDATE pending SET state = $3, settled_at = $4, settled_who = $5, note = $6, revision = $7
		WHERE family_id = $1 AND pending_id = $2 AND state = 'waiting'`,
		int64(family), id, string(s), t.now.UnixMilli(), who, note, int64(revision))
	return oneRow(res, err, id)
}

func oneRow(res sql.Result, err error, id int64) error {
	if err != nil {
		return fmt.Errorf("keeping what became of change %d that waits: %w", id, explain(err))
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = refuse(ErrConflict, "change %d does not wait any more", id)
	}
	return err
}

// Note keeps in a family's history something that changed none of its choices,
// and returns the family's revision.
func (t *Tx) Note(id policy.FamilyID, what, why string) (uint64, error) { return t.note(id, what, why) }

func pendings(ctx context.Context, q querier, where string, args ...any) ([]Pending, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT family_id, pending_id, guardian_id, who, at, due_at, second, operation, request, what, why, weakens, agreed_id, agreed_who, state, settled_at, settled_who, note, revision
		FROM pending `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Pending{}
	for rows.Next() {
		var p Pending
		var at, due, settled int64
		var request, weakens string
		if err := rows.Scan(&p.Family, &p.ID, &p.Guardian, &p.Who, &at, &due, &p.Second, &p.Operation, &request, &p.What, &p.Why, &weakens,
			&p.Agreed, &p.AgreedWho, &p.State, &settled, &p.SettledWho, &p.Note, &p.Revision); err != nil {
			return nil, err
		}
		p.At, p.Due, p.Settled, p.Request = instant(at), instant(due), instant(settled), json.RawMessage(request)
		if err := json.Unmarshal([]byte(weakens), &p.Weakens); err != nil {
			return nil, errors.Join(fmt.Errorf("reading how change %d that waits weakens", p.ID), err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}
