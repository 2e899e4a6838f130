package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kinward/journal/alerts"
	"kinward/policy"
)

// Position implements [alerts.Store].
func (a *Alerts) Position(ctx context.Context, f alerts.Feed) (at uint64, err error) {
	var n int64
	err = a.db.read.QueryRowContext(ctx, `SELECT position FROM feeds WHERE feed = $1`, string(f)).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading how far alerts have come: %w", explain(err))
	}
	return uint64(n), nil
}

// Note implements [alerts.Store].
func (a *Alerts) Note(ctx context.Context, f alerts.Feed, position uint64, told []alerts.Told) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) error {
		for _, t := range told {
			// A channel that was removed meanwhile is told nothing.
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO told (family_id, channel_id, feed, event_id, profile_id, urgent, at, due_at, message_id)
				SELECT family_id, channel_id, $3, $4, $5, $6, $7, $8, '' FROM channels WHERE family_id = $1 AND channel_id = $2
				ON CONFLICT (family_id, channel_id, feed, event_id) DO NOTHING`,
				int64(t.Family), int64(t.Channel), string(t.Feed), t.Event, int64(t.Profile), number(t.Urgent), t.At.UnixMilli(), t.Due.UnixMilli()); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO feeds (feed, position) VALUES ($1, $2)
			ON CONFLICT (feed) DO UPDATE SET position = excluded.position`, string(f), int64(position))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting %d alerts: %w", len(told), err)
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

const toldColumns = `SELECT family_id, channel_id, feed, event_id, profile_id, urgent, at, due_at FROM told `

func (a *Alerts) told(ctx context.Context, where string, args ...any) (out []alerts.Told, err error) {
	rows, err := a.db.read.QueryContext(ctx, toldColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be told: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var t alerts.Told
		var at, due int64
		if err := rows.Scan(&t.Family, &t.Channel, &t.Feed, &t.Event, &t.Profile, &t.Urgent, &at, &due); err != nil {
			return nil, fmt.Errorf("reading what is to be told: %w", explain(err))
		}
		t.At, t.Due = time.UnixMilli(at).UTC(), time.UnixMilli(due).UTC()
		out = append(out, t)
	}
	return out, explain(rows.Err())
}

// A time further ahead than it can have been set to comes of a clock that was
// ahead and was set back. It counts as due: it may be years until it is there again.
const (
	// longestWait is how far ahead an alert or a try can be due: quiet hours of a day
	// that has 25, and some room.
	longestWait = 26 * time.Hour
	// longestPeriod is the same for digests: of a week, and some room. One for all of
	// them, so that the index finds what is due among those of all families.
	longestPeriod = 8*24*time.Hour + 2*time.Hour
)

// What is due. Each side of OR says all that its index does, so that both ends are
// looked up in it: what is not due yet, as many as families sleep, is not looked at.
const (
	dueTold = `WHERE message_id = '' AND due_at <= $1 OR message_id = '' AND due_at > $2
		ORDER BY family_id, channel_id, at, event_id LIMIT $3`
	dueOutgoing = `WHERE state = 'waiting' AND next_at <= $1 OR state = 'waiting' AND next_at > $2
		ORDER BY next_at, message_id LIMIT $3`
	dueDigests = `SELECT family_id, channel_id, period, from_at, due_at FROM digests WHERE due_at <= $1 OR due_at > $2
		ORDER BY due_at, family_id, channel_id LIMIT $3`
)

// DueTold implements [alerts.Store].
func (a *Alerts) DueTold(ctx context.Context, now time.Time, limit int) ([]alerts.Told, error) {
	return a.told(ctx, dueTold,
		now.UnixMilli(), now.Add(longestWait).UnixMilli(), limit)
}

// Tells implements [alerts.Store].
func (a *Alerts) Tells(ctx context.Context, family policy.FamilyID, message string, limit int) (out []alerts.Told, total int, err error) {
	if err := a.db.read.QueryRowContext(ctx, `SELECT count(*) FROM told WHERE family_id = $1 AND message_id = $2`, int64(family), message).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("reading what is to be told: %w", explain(err))
	}
	out, err = a.told(ctx, `WHERE family_id = $1 AND message_id = $2 ORDER BY at, event_id LIMIT $3`, int64(family), message, limit)
	return out, total, err
}

// Alerts implements [alerts.Store].
func (a *Alerts) Alerts(ctx context.Context, family policy.FamilyID, channel alerts.ChannelID, since time.Time) (out []time.Time, err error) {
	rows, err := a.db.read.QueryContext(ctx, `SELECT made_at FROM outbox WHERE family_id = $1 AND channel_id = $2 AND made_at > $3 AND period = $4 ORDER BY made_at`,
		int64(family), int64(channel), since.UnixMilli(), string(alerts.Immediate))
	if err != nil {
		return nil, fmt.Errorf("counting alerts: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var made int64
		if err := rows.Scan(&made); err != nil {
			return nil, fmt.Errorf("counting alerts: %w", explain(err))
		}
		out = append(out, time.UnixMilli(made).UTC())
	}
	return out, explain(rows.Err())
}

// Delay implements [alerts.Store].
func (a *Alerts) Delay(ctx context.Context, family policy.FamilyID, channel alerts.ChannelID, until time.Time) error {
	_, err := a.db.write.ExecContext(ctx, `UPDATE told SET due_at = $3 WHERE family_id = $1 AND channel_id = $2 AND message_id = '' AND (due_at < $3 OR due_at > $4)`,
		int64(family), int64(channel), until.UnixMilli(), until.Add(longestWait).UnixMilli())
	if err != nil {
		return fmt.Errorf("delaying alerts: %w", explain(err))
	}
	return nil
}

// Bundle implements [alerts.Store].
func (a *Alerts) Bundle(ctx context.Context, o alerts.Outgoing, upTo time.Time) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE told SET message_id = $3 WHERE family_id = $1 AND channel_id = $2 AND message_id = '' AND (due_at <= $4 OR due_at > $5)`,
			int64(o.Family), int64(o.Channel), o.ID, upTo.UnixMilli(), upTo.Add(longestWait).UnixMilli()); err != nil {
			return err
		}
		return putOutgoing(ctx, tx, o)
	})
	if err != nil {
		return fmt.Errorf("making an alert: %w", err)
	}
	return nil
}

func putOutgoing(ctx context.Context, tx *sql.Tx, o alerts.Outgoing) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO outbox (family_id, message_id, channel_id, period, from_at, until_at, urgent, made_at, next_at, tries, state, error)
		SELECT family_id, $3, channel_id, $4, $5, $6, $7, $8, $9, 0, $10, '' FROM channels WHERE family_id = $1 AND channel_id = $2
		ON CONFLICT (family_id, message_id) DO NOTHING`,
		int64(o.Family), int64(o.Channel), o.ID, string(o.Period), millis(o.From), millis(o.Until), number(o.Urgent), o.Made.UnixMilli(), o.Next.UnixMilli(), string(o.State))
	return err
}

// millis writes a time of which 0 is none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// DueDigests implements [alerts.Store].
func (a *Alerts) DueDigests(ctx context.Context, now time.Time, limit int) (out []alerts.Due, err error) {
	rows, err := a.db.read.QueryContext(ctx, dueDigests,
		now.UnixMilli(), now.Add(longestPeriod).UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("reading digests that are due: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var d alerts.Due
		var from, at int64
		if err := rows.Scan(&d.Family, &d.Channel, &d.Period, &from, &at); err != nil {
			return nil, fmt.Errorf("reading digests that are due: %w", explain(err))
		}
		d.From, d.At = time.UnixMilli(from).UTC(), time.UnixMilli(at).UTC()
		out = append(out, d)
	}
	return out, explain(rows.Err())
}

// Turn implements [alerts.Store].
func (a *Alerts) Turn(ctx context.Context, d alerts.Due, now, next time.Time, o *alerts.Outgoing) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) (err error) {
		// Where it was planned anew meanwhile, that plan holds.
		if next.IsZero() {
			_, err = tx.ExecContext(ctx, `DELETE FROM digests WHERE family_id = $1 AND channel_id = $2 AND period = $3 AND due_at = $4`,
				int64(d.Family), int64(d.Channel), string(d.Period), d.At.UnixMilli())
		} else {
			_, err = tx.ExecContext(ctx, `UPDATE digests SET from_at = CASE WHEN due_at < $6 THEN due_at ELSE $6 END, due_at = $5 WHERE family_id = $1 AND channel_id = $2 AND period = $3 AND due_at = $4`,
				int64(d.Family), int64(d.Channel), string(d.Period), d.At.UnixMilli(), next.UnixMilli(), now.UnixMilli())
		}
		if err != nil || o == nil {
			return err
		}
		return putOutgoing(ctx, tx, *o)
	})
	if err != nil {
		return fmt.Errorf("making a digest: %w", err)
	}
	return nil
}

const outgoingColumns = `SELECT family_id, message_id, channel_id, period, from_at, until_at, urgent, made_at, next_at, tries, state, error FROM outbox `

func (a *Alerts) outgoing(ctx context.Context, where string, args ...any) (out []alerts.Outgoing, err error) {
	rows, err := a.db.read.QueryContext(ctx, outgoingColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var o alerts.Outgoing
		var from, until, made, next int64
		if err := rows.Scan(&o.Family, &o.ID, &o.Channel, &o.Period, &from, &until, &o.Urgent, &made, &next, &o.Tries, &o.State, &o.Error); err != nil {
			return nil, fmt.Errorf("reading the outbox: %w", explain(err))
		}
		o.From, o.Until, o.Made, o.Next = instant(from), instant(until), instant(made), instant(next)
		out = append(out, o)
	}
	return out, explain(rows.Err())
}

// Outbox implements [alerts.Store].
func (a *Alerts) Outbox(ctx context.Context, now time.Time, limit int) ([]alerts.Outgoing, error) {
	return a.outgoing(ctx, dueOutgoing,
		now.UnixMilli(), now.Add(longestWait).UnixMilli(), limit)
}

// Messages returns a family's newest messages, whatever became of them.
func (a *Alerts) Messages(ctx context.Context, family policy.FamilyID, limit int) ([]alerts.Outgoing, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading the outbox: %w", errNoFamily)
	}
	return a.outgoing(ctx, `WHERE family_id = $1 ORDER BY made_at DESC, message_id LIMIT $2`, int64(family), limit)
}

// Settle implements [alerts.Store].
func (a *Alerts) Settle(ctx context.Context, o alerts.Outgoing, at time.Time, gone bool) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE outbox SET next_at = $3, tries = $4, state = $5, error = $6 WHERE family_id = $1 AND message_id = $2`,
			int64(o.Family), o.ID, o.Next.UnixMilli(), o.Tries, string(o.State), o.Error); err != nil {
			return err
		}
		return tried(ctx, tx, o.Family, o.Channel, at, o.State == alerts.Sent, o.Error, gone)
	})
	if err != nil {
		return fmt.Errorf("keeping what became of a message: %w", err)
	}
	return nil
}

// Tried keeps how a test of a channel went.
func (a *Alerts) Tried(ctx context.Context, c alerts.Channel, at time.Time, problem string, gone bool) error {
	return a.db.transact(ctx, func(tx *sql.Tx) error {
		return tried(ctx, tx, c.Family, c.ID, at, problem == "", problem, gone)
	})
}

func tried(ctx context.Context, tx *sql.Tx, family policy.FamilyID, channel alerts.ChannelID, at time.Time, sent bool, problem string, gone bool) (err error) {
	switch {
	case problem != "":
		_, err = tx.ExecContext(ctx, `UPDATE channels SET failed_at = $3, error = $4, gone = CASE WHEN $5 > gone THEN $5 ELSE gone END WHERE family_id = $1 AND channel_id = $2`,
			int64(family), int64(channel), at.UnixMilli(), problem, number(gone))
	case sent:
		_, err = tx.ExecContext(ctx, `UPDATE channels SET sent_at = $3, error = '' WHERE family_id = $1 AND channel_id = $2`,
			int64(family), int64(channel), at.UnixMilli())
	}
	return err
}

// Prune implements [alerts.Store].
func (a *Alerts) Prune(ctx context.Context, before time.Time) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE made_at < $1 AND state <> 'waiting'`, before.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM told WHERE at < $1 AND message_id <> ''
			AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.family_id = told.family_id AND o.message_id = told.message_id)`, before.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("tidying the outbox: %w", err)
	}
	return nil
}

// Next implements [alerts.Store].
func (a *Alerts) Next(ctx context.Context) (time.Time, error) {
	var at sql.NullInt64
	err := a.db.read.QueryRowContext(ctx, `SELECT min(at) FROM (SELECT min(due_at) AS at FROM told WHERE message_id = ''
		UNION ALL SELECT min(due_at) FROM digests UNION ALL SELECT min(next_at) FROM outbox WHERE state = 'waiting') AS due`).Scan(&at)
	if err != nil || !at.Valid {
		return time.Time{}, explain(err)
	}
	return time.UnixMilli(at.Int64).UTC(), nil
}

// Backlog implements [alerts.Store].
func (a *Alerts) Backlog(ctx context.Context) (n int, err error) {
	if err := a.db.read.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE state = 'waiting'`).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the outbox: %w", explain(err))
	}
	return n, nil
}

// Ailing returns how many channels there are in all, and how many of them failed
// at their last try.
func (a *Alerts) Ailing(ctx context.Context) (all, failing int, err error) {
	if err := a.db.read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(CASE WHEN error <> '' THEN 1 ELSE 0 END), 0) FROM channels`).Scan(&all, &failing); err != nil {
		return 0, 0, fmt.Errorf("counting channels: %w", explain(err))
	}
	return all, failing, nil
}
