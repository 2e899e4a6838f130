package store

import (
	"context"
	"fmt"
	"time"

	"kinward/policy"
)

// What happens at the door, as words that last.
const (
	DoorIn          = "signed-in"
	DoorOut         = "signed-out"
	DoorWrong       = "wrong" // a password, a code or a passkey
	DoorMade        = "account-made"
	DoorReset       = "reset"
	DoorPassword    = "password-changed"
	DoorInvited     = "invited"
	DoorUninvited   = "uninvited"
	DoorPasskey     = "passkey-added"
	DoorPasskeyGone = "passkey-removed"
	DoorTOTP        = "totp-on"
	DoorTOTPGone    = "totp-off"
	DoorCodes       = "codes-made"
	DoorCodeUsed    = "code-used"
	DoorToken       = "token-made"
	DoorTokenUsed   = "token-used"
	DoorTokenGone   = "token-revoked"
	DoorEnded       = "sessions-ended"
)

// Event is something that happened at the door. It holds no secret.
type Event struct {
	Family  policy.FamilyID // 0: nobody knows whose
	Account AccountID
	Who     string
	What    string // one of the words above
	Detail  string // a name that somebody gave to what it is about
	Network string // of the client, see [policy]; "" is the command line
	Agent   string // the kind of browser
	At      time.Time
	Times   int
}

const (
	// keptAtTheDoor is how long it is kept what happened there.
	keptAtTheDoor = 365 * 24 * time.Hour

	// keptEvents bounds how many rows that may be, of a family.
	keptEvents = 2000

	// sameEvent is within which time what happens again is no row of its own: who
	// guesses passwords must not be able to push out what happened before.
	sameEvent = time.Hour
)

// Happened keeps what happened at the door. What happens again within an hour is
// counted.
func (a *Accounts) Happened(ctx context.Context, e Event) error {
	return a.transact(ctx, "keeping what happened at the door", func(t *Tx) error { return t.happened(e) })
}

func (t *Tx) happened(e Event) error {
	r, err := t.tx.ExecContext(t.ctx, `UPDATE door SET at = $8, times = times + 1 WHERE event_id = (
			SELECT event_id FROM door WHERE family_id = $1 AND account_id = $2 AND who = $3 AND what = $4 AND detail = $5 AND network = $6 AND agent = $7 AND at > $9
			ORDER BY event_id DESC LIMIT 1)`,
		int64(e.Family), int64(e.Account), e.Who, e.What, e.Detail, e.Network, e.Agent, t.now.UnixMilli(), t.now.Add(-sameEvent).UnixMilli())
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	if err := t.exec(`INSERT INTO door (family_id, account_id, who, what, detail, network, agent, at, times) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)`,
		int64(e.Family), int64(e.Account), e.Who, e.What, e.Detail, e.Network, e.Agent, t.now.UnixMilli()); err != nil {
		return err
	}
	return t.exec(`DELETE FROM door WHERE family_id = $1 AND event_id <= (
		SELECT event_id FROM door WHERE family_id = $1 ORDER BY event_id DESC LIMIT 1 OFFSET $2)`, int64(e.Family), keptEvents)
}

// Events returns what happened at the door to a family's accounts (0: to those
// of no family, and what nobody knows whose it is), the newest first, at most
// limit.
func (a *Accounts) Events(ctx context.Context, family policy.FamilyID, limit int) (out []Event, err error) {
	rows, err := a.db.read.QueryContext(ctx, `SELECT family_id, account_id, who, what, detail, network, agent, at, times FROM door
		WHERE family_id = $1 ORDER BY at DESC, event_id DESC LIMIT $2`, int64(family), limit)
	if err != nil {
		return nil, fmt.Errorf("reading what happened at the door: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var e Event
		var at int64
		if err := rows.Scan(&e.Family, &e.Account, &e.Who, &e.What, &e.Detail, &e.Network, &e.Agent, &at, &e.Times); err != nil {
			return nil, fmt.Errorf("reading what happened at the door: %w", explain(err))
		}
		e.At = time.UnixMilli(at)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what happened at the door: %w", explain(err))
	}
	return out, nil
}
