package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// errNoFamily guards the one thing that must not happen: a reader who sees
// another family's incidents.
var errNoFamily = errors.New("it must say which family's")

// Write implements [journal.Store]: one transaction, synced to the disk before
// it returns. What is of a family that was removed meanwhile is not written.
// All rows of one batch get its number; see [DB.Changed].
func (db *DB) Write(ctx context.Context, b journal.Batch) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		there := familiesThere(ctx, tx)
		number, err := numberBatch(ctx, tx, b)
		if err != nil {
			return err
		}
		if err := writeRows(ctx, tx, b.Rows, number, there); err != nil {
			return err
		}
		if err := writeCounts(ctx, tx, b.Counts, there); err != nil {
			return err
		}
		if err := writeLosses(ctx, tx, b.Losses); err != nil {
			return err
		}
		if b.CloseBefore.IsZero() {
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE incidents SET open_key = '' WHERE open_key <> '' AND last_at < $1`, b.CloseBefore.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %d incidents and %d counts: %w", len(b.Rows), len(b.Counts), err)
	}
	return nil
}

// familiesThere returns what tells whether a family exists.
func familiesThere(ctx context.Context, tx *sql.Tx) func(policy.FamilyID) (bool, error) {
	seen := map[policy.FamilyID]bool{}
	return func(id policy.FamilyID) (bool, error) {
		if is, ok := seen[id]; ok {
			return is, nil
		}
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM families WHERE family_id = $1`, int64(id)).Scan(&n)
		seen[id] = n > 0
		return n > 0, err
	}
}

func writeRows(ctx context.Context, tx *sql.Tx, rows []journal.Row, number int64, there func(policy.FamilyID) (bool, error)) error {
	if len(rows) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, `
		INSERT INTO incidents (family_id, incident_id, profile_id, device_id, first_at, last_at, open_key, details, change_no, opened_no)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
		ON CONFLICT (family_id, incident_id) DO UPDATE SET
			first_at = excluded.first_at, last_at = excluded.last_at,
			open_key = excluded.open_key, details = excluded.details, change_no = excluded.change_no`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, r := range rows {
		if is, err := there(r.Family); err != nil {
			return err
		} else if !is {
			continue
		}
		if _, err := stmt.ExecContext(ctx, int64(r.Family), r.ID, int64(r.Profile), int64(r.Device),
			r.First.UnixMilli(), r.Last.UnixMilli(), r.Key, r.Details, number); err != nil {
			return err
		}
	}
	return nil
}

func writeCounts(ctx context.Context, tx *sql.Tx, counts []journal.Count, there func(policy.FamilyID) (bool, error)) error {
	for _, c := range counts {
		if is, err := there(c.Family); err != nil {
			return err
		} else if !is {
			continue
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO counts (family_id, profile_id, day, category, tries, queries)
			VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (family_id, profile_id, day, category) DO UPDATE SET
				tries = counts.tries + excluded.tries, queries = counts.queries + excluded.queries`,
			int64(c.Family), int64(c.Profile), c.Day, c.Category, int64(c.Tries), int64(c.Queries)); err != nil {
			return err
		}
	}
	return nil
}

// OpenIncidents implements [journal.Store].
func (db *DB) OpenIncidents(ctx context.Context, since time.Time, limit int) ([]journal.Row, error) {
	var out []journal.Row
	err := db.rows(ctx, func(r journal.Row) bool {
		out = append(out, r)
		return true
	}, `WHERE open_key <> '' AND last_at >= $1 ORDER BY last_at DESC LIMIT $2`, since.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("reading open incidents: %w", err)
	}
	return out, nil
}

// Incidents returns the incidents that f describes, newest first. One whose
// details cannot be read is left out and logged. A filter by service or address
// looks at every incident of its time, since only the details tell those.
func (db *DB) Incidents(ctx context.Context, f journal.Filter) ([]journal.Incident, error) {
	if f.Family == 0 {
		return nil, fmt.Errorf("reading incidents: %w", errNoFamily)
	}
	out := []journal.Incident{}
	_, err := db.EachIncident(ctx, f, func(i journal.Incident) bool {
		out = append(out, i)
		return len(out) < f.Max()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// EachIncident calls each for the incidents that f describes, newest first, until
// it returns false. f.Limit does not count. A reader is busy meanwhile, so each
// must not wait for anything. Where f.Look ended it, end is the place of the last
// incident looked at; otherwise it is the zero value.
func (db *DB) EachIncident(ctx context.Context, f journal.Filter, each func(journal.Incident) bool) (end journal.Cursor, err error) {
	if f.Family == 0 {
		return end, fmt.Errorf("reading incidents: %w", errNoFamily)
	}
	since, until := bounds(f)
	args := []any{int64(f.Family), since, until, int64(f.Profile), int64(f.Device)}
	// Each condition stands there only where it is asked for: otherwise it could be
	// taken for the way to find the newest.
	where := ""
	bind := func(text string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			text = strings.Replace(text, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where += " AND " + text
	}
	last := "last_at"
	if f.ID != "" {
		last = "+last_at" // the way by time leads through all of them, and is taken otherwise
		bind("incident_id >= ? AND incident_id < ?", f.ID, f.ID+"~")
	}
	if f.After != (journal.Cursor{}) {
		bind("last_at <= ? AND (last_at, incident_id) < (?, ?)", f.After.At.UnixMilli(), f.After.At.UnixMilli(), f.After.ID)
	}
	reviewed := "0"
	if f.Unreviewed != nil { // no condition: what is left out is looked at, too
		args = append(args, int64(*f.Unreviewed))
		reviewed = fmt.Sprintf(`EXISTS (SELECT 1 FROM reviews AS r
			WHERE r.family_id = incidents.family_id AND r.incident_id = incidents.incident_id AND r.guardian_id = $%d)`, len(args))
	}
	const skips, reads = 1, 2 // what a row costs that is not decoded, and one that is
	left, cut := f.Look*reads, false
	err = db.rowsWith(ctx, reviewed, func(r journal.Row, reviewed int64) bool {
		if cut = f.Look > 0 && left <= 0; cut {
			return false
		}
		end = journal.Cursor{At: r.Last, ID: r.ID}
		if left -= skips; reviewed != 0 {
			return true
		}
		left -= reads - skips
		i, err := r.Incident()
		if err != nil {
			db.log.Warn("an incident cannot be read and is left out", "error", err)
			return true
		}
		return !f.Matches(i) || each(i)
	}, `WHERE family_id = $1 AND `+last+` >= $2 AND first_at < $3
			AND ($4 = 0 OR profile_id = $4) AND ($5 = 0 OR device_id = $5)`+where+`
		ORDER BY `+last+` DESC, incident_id DESC`, args...)
	if err != nil {
		return journal.Cursor{}, fmt.Errorf("reading incidents: %w", err)
	}
	if !cut {
		end = journal.Cursor{}
	}
	return end, nil
}

// bounds returns the times of f in milliseconds.
func bounds(f journal.Filter) (since, until int64) {
	since, until = -1<<62, 1<<62
	if !f.Since.IsZero() {
		since = f.Since.UnixMilli()
	}
	if !f.Until.IsZero() {
		until = f.Until.UnixMilli()
	}
	return since, until
}

// rows calls each for the incidents of a query until it returns false.
func (db *DB) rows(ctx context.Context, each func(journal.Row) bool, where string, args ...any) error {
	return db.rowsWith(ctx, "0", func(r journal.Row, _ int64) bool { return each(r) }, where, args...)
}

// rowsWith also tells a number that an expression of SQL makes of each row.
func (db *DB) rowsWith(ctx context.Context, expression string, each func(r journal.Row, value int64) bool, where string, args ...any) error {
	rows, err := db.read.QueryContext(ctx,
		`SELECT family_id, incident_id, profile_id, device_id, first_at, last_at, open_key, details, `+expression+` FROM incidents `+where, args...)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r journal.Row
		var first, last, value int64
		if err := rows.Scan(&r.Family, &r.ID, &r.Profile, &r.Device, &first, &last, &r.Key, &r.Details, &value); err != nil {
			return explain(err)
		}
		r.First, r.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		if !each(r, value) {
			return nil
		}
	}
	return explain(rows.Err())
}

// Counts returns how often what must not be named was tried, newest day first:
// of f's family, profile and days (UTC) alone. The other fields of f must be
// empty, since a count has no device, name or time.
func (db *DB) Counts(ctx context.Context, f journal.Filter) ([]journal.Count, error) {
	if f.Family == 0 {
		return nil, fmt.Errorf("reading counts: %w", errNoFamily)
	}
	if f.Device != 0 || f.Client != "" || f.Service != "" {
		return nil, errors.New("reading counts: a count has no device and no service")
	}
	since, until := "", "~" // before and after all days
	if !f.Since.IsZero() {
		since = f.Since.UTC().Format(time.DateOnly)
	}
	if !f.Until.IsZero() {
		until = f.Until.Add(-time.Millisecond).UTC().Format(time.DateOnly)
	}
	rows, err := db.read.QueryContext(ctx, `
		SELECT family_id, profile_id, category, day, tries, queries FROM counts
		WHERE family_id = $1 AND ($2 = 0 OR profile_id = $2) AND day >= $3 AND day <= $4
		ORDER BY day DESC, profile_id, category LIMIT $5`,
		int64(f.Family), int64(f.Profile), since, until, f.Max())
	if err != nil {
		return nil, fmt.Errorf("reading counts: %w", explain(err))
	}
	defer rows.Close()
	out := []journal.Count{}
	for rows.Next() {
		var c journal.Count
		if err := rows.Scan(&c.Family, &c.Profile, &c.Category, &c.Day, &c.Tries, &c.Queries); err != nil {
			return nil, fmt.Errorf("reading counts: %w", explain(err))
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading counts: %w", explain(err))
	}
	return out, nil
}

// transact runs f in a transaction of the one writer.
func (db *DB) transact(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer tx.Rollback() // does nothing once committed
	if err := f(tx); err != nil {
		return explain(err)
	}
	return explain(db.write.commit(tx))
}
