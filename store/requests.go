package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"kinward/policy"
)

// What a child may ask for is bounded: by the hour and device, since it may lean
// on the button, and by what lies open, so that guardians see the newest.
const (
	requestsAnHour  = 10
	openRequests    = 50 // of a family
	keptRequests    = 500
	requestExpires  = 24 * time.Hour
	requestsOfChild = 20 // of one profile that are open
)

// Request is what somebody asks their guardians to allow.
type Request struct {
	Family  policy.FamilyID
	ID      int64
	Profile policy.ProfileID
	Device  policy.DeviceID // 0: none that is known by name
	What    string          // a service's ID, or a name
	Message string
	At      time.Time
	Last    time.Time // when it was asked last
	Times   int
	Expires time.Time // from then on it is open no longer

	Answer   string    // "" while nobody has answered
	Answered time.Time // zero while nobody has
	Guardian policy.GuardianID
	Who      string
	Until    time.Time // until when it is allowed; zero is for good, or not at all
}

// Open reports whether r still waits for an answer.
func (r Request) Open(now time.Time) bool { return r.Answer == "" && now.Before(r.Expires) }

// requestDetails are what stands in a request's details.
type requestDetails struct {
	What    string `json:"what"`
	Message string `json:"message,omitempty"`
}

// AddRequest keeps that somebody asks for something, and returns it with its ID.
// The same, asked again by the same while it is open, is one: merged. The error
// wraps [ErrConflict] where more is open, or was asked within the hour, than may be.
func (db *DB) AddRequest(ctx context.Context, r Request) (_ Request, merged bool, err error) {
	details, err := json.Marshal(requestDetails{r.What, r.Message})
	if err != nil {
		return Request{}, false, err
	}
	now := db.now()
	err = db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := load(ctx, tx, r.Family); err != nil {
			return err
		}
		recent, err := requests(ctx, tx, `WHERE family_id = $1 AND (answer = '' AND expires_at > $2 OR last_at > $3) ORDER BY request_id DESC`,
			int64(r.Family), now.UnixMilli(), now.Add(-time.Hour).UnixMilli())
		if err != nil {
			return err
		}
		open, ofChild, inHour := 0, 0, 0
		for _, o := range recent {
			mine := o.Profile == r.Profile && o.Device == r.Device
			if mine && o.Last.After(now.Add(-time.Hour)) {
				inHour += o.Times
			}
			if !o.Open(now) {
				continue
			}
			if open++; o.Profile == r.Profile {
				ofChild++
			}
			if mine && o.What == r.What {
				r.ID, merged = o.ID, true
			}
		}
		switch {
		case inHour >= requestsAnHour:
			return refuse(ErrConflict, "that was asked often within the hour; what was asked is kept, and a guardian will see it")
		case merged:
			_, err := tx.ExecContext(ctx, `UPDATE requests SET last_at = $3, times = times + 1, details = CASE WHEN $5 THEN $4 ELSE details END
				WHERE family_id = $1 AND request_id = $2`, int64(r.Family), r.ID, now.UnixMilli(), details, r.Message != "")
			return err
		case ofChild >= requestsOfChild, open >= openRequests:
			return refuse(ErrConflict, "enough is asked for already; wait until a guardian has answered")
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM requests WHERE family_id = $1 AND request_id <= coalesce(
			(SELECT request_id FROM requests WHERE family_id = $1 ORDER BY request_id DESC LIMIT 1 OFFSET $2), 0)`, int64(r.Family), keptRequests-1); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `
			INSERT INTO requests (family_id, profile_id, device_id, at, last_at, times, expires_at, details, answer, answered_at, guardian_id, who, until_at)
			VALUES ($1, $2, $3, $4, $4, 1, $5, $6, '', 0, 0, '', 0) RETURNING request_id`,
			int64(r.Family), int64(r.Profile), int64(r.Device), now.UnixMilli(), now.Add(requestExpires).UnixMilli(), details).Scan(&r.ID)
	})
	if err == nil {
		r, err = db.Request(ctx, r.Family, r.ID)
	}
	if err != nil {
		return Request{}, false, fmt.Errorf("asking: %w", err)
	}
	return r, merged, nil
}

// Requests returns what a family's profile (0: all) asked for, the newest first.
func (db *DB) Requests(ctx context.Context, family policy.FamilyID, profile policy.ProfileID, limit int) ([]Request, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading requests: %w", errNoFamily)
	}
	out, err := requests(ctx, db.read, `WHERE family_id = $1 AND ($2 = 0 OR profile_id = $2) ORDER BY request_id DESC LIMIT $3`, int64(family), int64(profile), limit)
	if err != nil {
		return nil, fmt.Errorf("reading requests: %w", explain(err))
	}
	return out, nil
}

// Request returns one request of a family. The error wraps [ErrNotFound] where the
// family has none such.
func (db *DB) Request(ctx context.Context, family policy.FamilyID, id int64) (Request, error) {
	return oneRequest(ctx, db.read, family, id)
}

func oneRequest(ctx context.Context, q querier, family policy.FamilyID, id int64) (Request, error) {
	out, err := requests(ctx, q, `WHERE family_id = $1 AND request_id = $2`, int64(family), id)
	switch {
	case err != nil:
		return Request{}, fmt.Errorf("reading request %d: %w", id, explain(err))
	case len(out) == 0:
		return Request{}, refuse(ErrNotFound, "there is no request %d", id)
	}
	return out[0], nil
}

// requestsAfter returns requests of all families after a number, in order.
func (db *DB) requestsAfter(ctx context.Context, after uint64, limit int) ([]Request, error) {
	out, err := requests(ctx, db.read, `WHERE request_id > $1 ORDER BY request_id LIMIT $2`, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("reading requests: %w", explain(err))
	}
	return out, nil
}

// Request is [DB.Request] within t.
func (t *Tx) Request(family policy.FamilyID, id int64) (Request, error) {
	return oneRequest(t.ctx, t.tx, family, id)
}

// Answer keeps what a guardian answered. The error wraps [ErrConflict] where
// somebody has answered already.
func (t *Tx) Answer(family policy.FamilyID, id int64, answer string, until time.Time, by policy.GuardianID, who string) error {
	res, err := t.tx.ExecContext(t.ctx, `UPDATE requests SET answer = $3, answered_at = $4, guardian_id = $5, who = $6, until_at = $7
		WHERE family_id = $1 AND request_id = $2 AND answer = ''`, int64(family), id, answer, t.now.UnixMilli(), int64(by), who, millis(until))
	if err != nil {
		return fmt.Errorf("answering request %d: %w", id, explain(err))
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = refuse(ErrConflict, "request %d was answered meanwhile", id)
	}
	return err
}

func requests(ctx context.Context, q querier, where string, args ...any) ([]Request, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT family_id, request_id, profile_id, device_id, at, last_at, times, expires_at, details, answer, answered_at, guardian_id, who, until_at FROM requests `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Request{}
	for rows.Next() {
		var r Request
		var at, last, expires, answered, until int64
		var details []byte
		if err := rows.Scan(&r.Family, &r.ID, &r.Profile, &r.Device, &at, &last, &r.Times, &expires, &details, &r.Answer, &answered, &r.Guardian, &r.Who, &until); err != nil {
			return nil, err
		}
		var d requestDetails
		if err := json.Unmarshal(details, &d); err != nil {
			return nil, fmt.Errorf("reading what request %d is about: %w", r.ID, err)
		}
		r.What, r.Message = d.What, d.Message
		r.At, r.Last, r.Expires, r.Answered, r.Until = instant(at), instant(last), instant(expires), instant(answered), instant(until)
		out = append(out, r)
	}
	return out, rows.Err()
}
