package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
)

var _ signals.Store = (*DB)(nil)

// SignalCursor implements [signals.Store].
func (db *DB) SignalCursor(ctx context.Context) (uint64, error) {
	var cursor int64
	if err := db.read.QueryRowContext(ctx, `SELECT cursor FROM signal_state WHERE node = 1`).Scan(&cursor); err != nil {
		return 0, fmt.Errorf("reading how far signals have come: %w", explain(err))
	}
	return uint64(cursor), nil
}

// SignalMemory implements [signals.Store].
func (db *DB) SignalMemory(ctx context.Context, family policy.FamilyID, profile policy.ProfileID) ([]byte, error) {
	var b []byte
	err := db.read.QueryRowContext(ctx, `SELECT memory FROM signal_memory WHERE family_id = $1 AND profile_id = $2`, int64(family), int64(profile)).Scan(&b)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading what is remembered of profile %d: %w", profile, explain(err))
	}
	return b, nil
}

// SignalHistory implements [signals.Store]. A profile was made by the change whose
// delta has it first, or with its family.
func (db *DB) SignalHistory(ctx context.Context, family policy.FamilyID, profile policy.ProfileID, upTo uint64) (time.Time, []journal.Incident, error) {
	fail := func(err error) (time.Time, []journal.Incident, error) {
		return time.Time{}, nil, fmt.Errorf("reading the history of profile %d: %w", profile, explain(err))
	}
	made, err := db.profileMade(ctx, family, profile)
	if err != nil {
		return fail(err)
	}
	var past []journal.Incident
	err = db.rows(ctx, func(r journal.Row) bool {
		if i, err := r.Incident(); err == nil { // one that cannot be read is not known
			past = append(past, i)
		}
		return true
	}, `WHERE family_id = $1 AND profile_id = $2 AND change_no <= $3 ORDER BY last_at DESC LIMIT $4`,
		int64(family), int64(profile), int64(upTo), journal.MaxLimit)
	if err != nil {
		return fail(err)
	}
	return made, past, nil
}

func (db *DB) profileMade(ctx context.Context, family policy.FamilyID, profile policy.ProfileID) (time.Time, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT revision, at, delta FROM changes WHERE family_id = $1 ORDER BY revision`, int64(family))
	if err != nil {
		return time.Time{}, err
	}
	defer rows.Close()
	var oldest time.Time
	path := fmt.Sprintf("profile/%d", profile)
	for rows.Next() {
		var revision, at int64
		var delta string
		if err := rows.Scan(&revision, &at, &delta); err != nil {
			return time.Time{}, err
		}
		if oldest.IsZero() { // it made the family, or is the oldest that is kept
			oldest = time.UnixMilli(at).UTC()
		}
		var d policy.Delta
		if delta == "" || json.Unmarshal([]byte(delta), &d) != nil {
			continue
		}
		for _, p := range d {
			if p.Path == path && p.Before == nil {
				return time.UnixMilli(at).UTC(), rows.Err()
			}
		}
	}
	return oldest, rows.Err()
}

// Silences implements [signals.Store].
func (db *DB) Silences(ctx context.Context, now time.Time, limit int) ([]signals.Silence, error) {
	rows, err := db.read.QueryContext(ctx, `
		SELECT b.family_id, b.device_id, b.baseline, b.due_at, s.at FROM baselines b
		JOIN seen s ON s.family_id = b.family_id AND s.device_id = b.device_id
		WHERE b.due_at > 0 AND b.due_at <= $1 ORDER BY b.due_at LIMIT $2`, now.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("reading which devices are due: %w", explain(err))
	}
	defer rows.Close()
	var out []signals.Silence
	for rows.Next() {
		var s signals.Silence
		var due, last int64
		if err := rows.Scan(&s.Family, &s.Device, &s.Baseline, &due, &last); err != nil {
			return nil, fmt.Errorf("reading which devices are due: %w", explain(err))
		}
		s.Due, s.Last = time.UnixMilli(due).UTC(), time.UnixMilli(last).UTC()
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading which devices are due: %w", explain(err))
	}
	return out, nil
}

// WriteSignals implements [signals.Store]. What is of a family that was removed
// meanwhile is not written.
func (db *DB) WriteSignals(ctx context.Context, b signals.Batch) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		if b.Cursor != b.After {
			done, err := tx.ExecContext(ctx, `UPDATE signal_state SET cursor = $2 WHERE node = 1 AND cursor = $1`, int64(b.After), int64(b.Cursor))
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n != 1 {
				return errors.Join(err, fmt.Errorf("the incidents up to %d were looked at already, or not yet", b.After))
			}
		}
		w := signalWriter{ctx: ctx, tx: tx, there: familiesThere(ctx, tx)}
		for _, s := range b.Settled {
			if err := w.settle(s); err != nil {
				return err
			}
		}
		for _, r := range b.Signals {
			if err := w.add(r); err != nil {
				return err
			}
		}
		for _, m := range b.Memories {
			if is, err := w.there(m.Family); err != nil {
				return err
			} else if !is {
				continue
			}
			if err := w.remember(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing %d signals: %w", len(b.Signals), err)
	}
	return nil
}

// signalWriter writes signals in one transaction, all with its number.
type signalWriter struct {
	ctx    context.Context
	tx     *sql.Tx
	there  func(policy.FamilyID) (bool, error)
	number int64 // 0: none was needed yet
}

func (w *signalWriter) numbered() (int64, error) {
	if w.number != 0 {
		return w.number, nil
	}
	err := w.tx.QueryRowContext(w.ctx, `UPDATE signal_state SET change_no = change_no + 1 WHERE node = 1 RETURNING change_no`).Scan(&w.number)
	return w.number, err
}

func (w *signalWriter) add(r journal.SignalRow) error {
	if is, err := w.there(r.Family); err != nil || !is {
		return err
	}
	number, err := w.numbered()
	if err != nil {
		return err
	}
	_, err = w.tx.ExecContext(w.ctx, `
		INSERT INTO signals (family_id, signal_id, profile_id, device_id, kind, at, incident_id, again_at, details, change_no)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9)
		ON CONFLICT (family_id, signal_id) DO NOTHING`,
		int64(r.Family), r.ID, int64(r.Profile), int64(r.Device), r.Kind, r.At.UnixMilli(), r.Incident, r.Details, number)
	return err
}

// remember replaces what is remembered of a profile. It fails where that is not
// what it was: what was erased meanwhile must not come back.
func (w *signalWriter) remember(m signals.Remembered) error {
	query, args := `INSERT INTO signal_memory (family_id, profile_id, memory) VALUES ($1, $2, $3) ON CONFLICT (family_id, profile_id) DO NOTHING`,
		[]any{int64(m.Family), int64(m.Profile), m.Memory}
	if m.Before != nil {
		query, args = `UPDATE signal_memory SET memory = $3 WHERE family_id = $1 AND profile_id = $2 AND memory = $4`, append(args, m.Before)
	}
	done, err := w.tx.ExecContext(w.ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("what was remembered of profile %d is another by now", m.Profile)
}

func (w *signalWriter) settle(s signals.Settled) error {
	if s.Forget {
		_, err := w.tx.ExecContext(w.ctx, `DELETE FROM baselines WHERE family_id = $1 AND device_id = $2`, int64(s.Family), int64(s.Device))
		return err
	}
	due, id := int64(0), ""
	if !s.Next.IsZero() {
		due = s.Next.UnixMilli()
	}
	if s.Signal != nil {
		id = s.Signal.ID
	}
	done, err := w.tx.ExecContext(w.ctx, `UPDATE baselines SET due_at = $4, signal_id = $5 WHERE family_id = $1 AND device_id = $2 AND due_at = $3`,
		int64(s.Family), int64(s.Device), s.Due.UnixMilli(), due, id)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 || s.Signal == nil {
		return err
	}
	return w.add(*s.Signal)
}

// again notes that a device whose silence was told asked again.
func (w *signalWriter) again(family policy.FamilyID, id string, at time.Time) error {
	number, err := w.numbered()
	if err != nil {
		return err
	}
	_, err = w.tx.ExecContext(w.ctx, `UPDATE signals SET again_at = $3, change_no = $4 WHERE family_id = $1 AND signal_id = $2`,
		int64(family), id, at.UnixMilli(), number)
	return err
}

// Signals returns the signals that f describes, newest first. One whose details
// cannot be read is left out and logged.
func (db *DB) Signals(ctx context.Context, f journal.SignalFilter) ([]journal.Signal, error) {
	if f.Family == 0 {
		return nil, fmt.Errorf("reading signals: %w", errNoFamily)
	}
	since := int64(-1 << 62)
	if !f.Since.IsZero() {
		since = f.Since.UnixMilli()
	}
	after := int64(1 << 62)
	if !f.After.At.IsZero() {
		after = f.After.At.UnixMilli()
	}
	out, _, err := db.signals(ctx, `WHERE family_id = $1 AND at >= $2 AND ($3 = 0 OR profile_id = $3) AND ($4 = '' OR kind = $4)
			AND at <= $5 AND (at, signal_id) < ($5, $6)
		ORDER BY at DESC, signal_id DESC LIMIT $7`, int64(f.Family), since, int64(f.Profile), f.Kind, after, f.After.ID, f.Max())
	return out, err
}

// signalsChanged returns the signals of all families that were written after the
// number after, or changed, in order of that, and the last one's number; whole
// transactions, as [DB.Changed] does. Where nothing is new, last is after.
func (db *DB) signalsChanged(ctx context.Context, after uint64, limit int) (list []journal.Signal, last uint64, err error) {
	list, last, err = db.signals(ctx, `WHERE change_no > $1 AND change_no <= (
			SELECT max(change_no) FROM (SELECT change_no FROM signals WHERE change_no > $1 ORDER BY change_no LIMIT $2) AS newer)
		ORDER BY change_no, family_id, signal_id`, int64(after), limit)
	return list, max(last, after), err
}

func (db *DB) signals(ctx context.Context, where string, args ...any) (out []journal.Signal, last uint64, err error) {
	rows, err := db.read.QueryContext(ctx,
		`SELECT family_id, signal_id, profile_id, device_id, kind, at, incident_id, again_at, details, change_no FROM signals `+where, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("reading signals: %w", explain(err))
	}
	defer rows.Close()
	out = []journal.Signal{}
	for rows.Next() {
		var r journal.SignalRow
		var at, again, number int64
		if err := rows.Scan(&r.Family, &r.ID, &r.Profile, &r.Device, &r.Kind, &at, &r.Incident, &again, &r.Details, &number); err != nil {
			return nil, 0, fmt.Errorf("reading signals: %w", explain(err))
		}
		r.At, last = time.UnixMilli(at).UTC(), uint64(number)
		if again != 0 {
			r.Again = time.UnixMilli(again).UTC()
		}
		s, err := r.Signal()
		if err != nil {
			db.log.Warn("a signal cannot be read and is left out", "error", err)
			continue
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("reading signals: %w", explain(err))
	}
	return out, last, nil
}
