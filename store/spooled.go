package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"kinward/journal"
)

// numberBatch notes how far the journal has come with b, and returns the
// number of its rows.
func numberBatch(ctx context.Context, tx *sql.Tx, b journal.Batch) (number int64, err error) {
	err = tx.QueryRowContext(ctx, `
		UPDATE journal_state SET
			spool     = CASE WHEN $1 <> 0 THEN $1 ELSE spool END,
			position  = CASE WHEN $1 <> 0 THEN $2 ELSE position END,
			change_no = change_no + $3
		WHERE node = 1 RETURNING change_no`,
		int64(b.Position.Spool), int64(b.Position.Seq), min(len(b.Rows), 1)).Scan(&number)
	return number, err
}

// Position implements [journal.Store].
func (db *DB) Position(ctx context.Context) (journal.Position, error) {
	var spool, seq int64
	err := db.read.QueryRowContext(ctx, `SELECT spool, position FROM journal_state WHERE node = 1`).Scan(&spool, &seq)
	if err != nil {
		return journal.Position{}, fmt.Errorf("reading how far the journal has come: %w", explain(err))
	}
	return journal.Position{Spool: uint64(spool), Seq: uint64(seq)}, nil
}

// Changed returns the incidents of all families that were written by batches
// after the one numbered after, in the order of the batches, and the number of
// the last one that it returns. Batches are never split: it returns as many as
// hold limit rows, the last one whole. A row that was written again since stands
// where it was written last. Where nothing is new, last is after.
func (db *DB) Changed(ctx context.Context, after uint64, limit int) (rows []journal.Row, last uint64, err error) {
	return db.batches(ctx, "change_no", after, limit)
}

// opened is as [DB.Changed], but returns each incident once, where it was written
// first: what goes on and on is not read again and again by who has no use for it.
func (db *DB) opened(ctx context.Context, after uint64, limit int) (rows []journal.Row, last uint64, err error) {
	return db.batches(ctx, "opened_no", after, limit)
}

// batches reads incidents by one of their numbers.
func (db *DB) batches(ctx context.Context, number string, after uint64, limit int) (rows []journal.Row, last uint64, err error) {
	last = after
	err = db.rowsWith(ctx, number, func(r journal.Row, n int64) bool {
		rows, last = append(rows, r), uint64(n)
		return true
	}, wholeBatches(number), int64(after), limit)
	if err != nil {
		return nil, after, fmt.Errorf("reading incidents by %s: %w", number, err)
	}
	return rows, last, nil
}

// wholeBatches is the condition and order of incidents whose number is above $1: $2 of
// them, and what has the last one's number.
func wholeBatches(number string) string {
	return strings.ReplaceAll(`WHERE number > 0 AND number > $1 AND number <= (
			SELECT max(number) FROM (SELECT number FROM incidents WHERE number > 0 AND number > $1 ORDER BY number LIMIT $2) AS newer)
		ORDER BY number, family_id, incident_id`, "number", number)
}

// joinLosses is how close losses lie that are told as one.
const joinLosses = time.Minute

func writeLosses(ctx context.Context, tx *sql.Tx, list []journal.Loss) error {
	for _, l := range list {
		from, until, lost := l.From.UnixMilli(), l.Until.UnixMilli(), int64(l.Count)
		done, err := tx.ExecContext(ctx, `
			UPDATE losses SET
				from_at  = CASE WHEN $1 < from_at THEN $1 ELSE from_at END,
				until_at = CASE WHEN $2 > until_at THEN $2 ELSE until_at END,
				lost     = lost + $3
			WHERE loss_id = (SELECT max(loss_id) FROM losses) AND from_at <= $2 + $4 AND until_at >= $1 - $4`,
			from, until, lost, joinLosses.Milliseconds())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO losses (from_at, until_at, lost) VALUES ($1, $2, $3)`, from, until, lost); err != nil {
			return err
		}
	}
	return nil
}

// Losses returns the times since then in which attempts could not be kept, newest
// first, at most 100.
func (db *DB) Losses(ctx context.Context, since time.Time) ([]journal.Loss, error) {
	rows, err := db.read.QueryContext(ctx,
		`SELECT from_at, until_at, lost FROM losses WHERE until_at >= $1 ORDER BY until_at DESC LIMIT 100`, since.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("reading losses: %w", explain(err))
	}
	defer rows.Close()
	out := []journal.Loss{}
	for rows.Next() {
		var from, until, lost int64
		if err := rows.Scan(&from, &until, &lost); err != nil {
			return nil, fmt.Errorf("reading losses: %w", explain(err))
		}
		out = append(out, journal.Loss{From: time.UnixMilli(from).UTC(), Until: time.UnixMilli(until).UTC(), Count: uint64(lost)})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading losses: %w", explain(err))
	}
	return out, nil
}
