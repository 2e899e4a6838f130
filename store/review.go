package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// Review keeps that adults have dealt with incidents, all of them or none; a later
// word of the same adult replaces the earlier one. The error wraps [ErrNotFound]
// where a family has no such incident.
func (db *DB) Review(ctx context.Context, reviews ...journal.Review) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		for _, r := range reviews {
			var n int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM incidents WHERE family_id = $1 AND incident_id = $2`,
				int64(r.Family), r.Incident).Scan(&n); err != nil {
				return err
			}
			if n == 0 {
				return refuse(ErrNotFound, "the family has no incident %q, or it is forgotten by now; see: kinward incidents", r.Incident)
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO reviews (family_id, incident_id, guardian_id, who, at, details) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (family_id, incident_id, guardian_id) DO UPDATE SET who = excluded.who, at = excluded.at, details = excluded.details`,
				int64(r.Family), r.Incident, int64(r.Guardian), r.Who, r.At.UnixMilli(), r.Sealed()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reviewing %d incidents: %w", len(reviews), err)
	}
	return nil
}

// Unreview takes an adult's review of an incident back. It reports whether there
// was one.
func (db *DB) Unreview(ctx context.Context, family policy.FamilyID, incident string, guardian policy.GuardianID) (bool, error) {
	res, err := db.write.ExecContext(ctx, `DELETE FROM reviews WHERE family_id = $1 AND incident_id = $2 AND guardian_id = $3`,
		int64(family), incident, int64(guardian))
	if err != nil {
		return false, fmt.Errorf("taking back the review of incident %s: %w", incident, explain(err))
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Reviews returns what a family's adults said of some of its incidents, by
// incident, the oldest first.
func (db *DB) Reviews(ctx context.Context, family policy.FamilyID, incidents ...string) (map[string][]journal.Review, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading reviews: %w", errNoFamily)
	}
	out := map[string][]journal.Review{}
	for some := range slices.Chunk(incidents, 500) { // far below what a statement may bind
		args, places := []any{int64(family)}, make([]string, len(some))
		for i, id := range some {
			args, places[i] = append(args, id), "$"+strconv.Itoa(i+2)
		}
		err := db.each(ctx, func(rows *sql.Rows) error {
			r := journal.Review{Family: family}
			var at int64
			var details []byte
			if err := rows.Scan(&r.Incident, &r.Guardian, &r.Who, &at, &details); err != nil {
				return err
			}
			r.At = time.UnixMilli(at).UTC()
			if err := r.Unseal(details); err != nil {
				return err
			}
			out[r.Incident] = append(out[r.Incident], r)
			return nil
		}, `SELECT incident_id, guardian_id, who, at, details FROM reviews
			WHERE family_id = $1 AND incident_id IN (`+strings.Join(places, ", ")+`) ORDER BY at, guardian_id`, args...)
		if err != nil {
			return nil, fmt.Errorf("reading reviews: %w", err)
		}
	}
	return out, nil
}

// AddMute keeps a mute in place of those that its adult has of the same thing,
// and returns its ID.
func (db *DB) AddMute(ctx context.Context, m journal.Mute) (id int64, err error) {
	err = db.transact(ctx, func(tx *sql.Tx) error {
		if is, err := familiesThere(ctx, tx)(m.Family); err != nil || !is {
			return refuse(ErrNotFound, "there is no family %d", m.Family)
		}
		same, err := mutes(ctx, tx, `WHERE family_id = $1 AND guardian_id = $2 AND profile_id = $3`, int64(m.Family), int64(m.Guardian), int64(m.Profile))
		if err != nil {
			return err
		}
		for _, o := range same {
			if o.Service != m.Service || o.Domain != m.Domain {
				continue
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM mutes WHERE family_id = $1 AND mute_id = $2`, int64(m.Family), o.ID); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, `
			INSERT INTO mutes (family_id, guardian_id, profile_id, who, at, until_at, details) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING mute_id`,
			int64(m.Family), int64(m.Guardian), int64(m.Profile), m.Who, m.At.UnixMilli(), millis(m.Until), m.Sealed()).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("muting: %w", err)
	}
	return id, nil
}

// RemoveMute ends a mute and reports whether there was one.
func (db *DB) RemoveMute(ctx context.Context, family policy.FamilyID, id int64) (bool, error) {
	res, err := db.write.ExecContext(ctx, `DELETE FROM mutes WHERE family_id = $1 AND mute_id = $2`, int64(family), id)
	if err != nil {
		return false, fmt.Errorf("ending mute %d: %w", id, explain(err))
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Mutes returns a family's mutes in the order in which they were made, also those
// that are over.
func (db *DB) Mutes(ctx context.Context, family policy.FamilyID) ([]journal.Mute, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading mutes: %w", errNoFamily)
	}
	out, err := mutes(ctx, db.read, `WHERE family_id = $1`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading mutes: %w", explain(err))
	}
	return out, nil
}

func mutes(ctx context.Context, q querier, where string, args ...any) ([]journal.Mute, error) {
	rows, err := q.QueryContext(ctx, `SELECT family_id, mute_id, guardian_id, profile_id, who, at, until_at, details FROM mutes `+where+` ORDER BY mute_id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []journal.Mute{}
	for rows.Next() {
		var m journal.Mute
		var at, until int64
		var details []byte
		if err := rows.Scan(&m.Family, &m.ID, &m.Guardian, &m.Profile, &m.Who, &at, &until, &details); err != nil {
			return nil, err
		}
		m.At = time.UnixMilli(at).UTC()
		if until != 0 {
			m.Until = time.UnixMilli(until).UTC()
		}
		if err := m.Unseal(details); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// Viewed keeps that an adult looked, at v.Last. A look like the one before raises
// that.
func (db *DB) Viewed(ctx context.Context, v journal.View) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		if is, err := familiesThere(ctx, tx)(v.Family); err != nil || !is {
			return err
		}
		at := v.Last.UnixMilli()
		res, err := tx.ExecContext(ctx, `
			UPDATE journal_views SET last_at = $1, times = times + 1, incidents = CASE WHEN incidents > $2 THEN incidents ELSE $2 END
			WHERE family_id = $3 AND guardian_id = $4 AND who = $5 AND action = $6 AND profile_id = $7 AND incident_id = $8 AND last_at > $9 AND last_at <= $1`,
			at, v.Incidents, int64(v.Family), int64(v.Guardian), v.Who, v.Action, int64(v.Profile), v.Incident, at-journal.ViewGap.Milliseconds())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO journal_views (family_id, guardian_id, who, action, profile_id, incident_id, first_at, last_at, times, incidents)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1, $8)`,
			int64(v.Family), int64(v.Guardian), v.Who, v.Action, int64(v.Profile), v.Incident, at, v.Incidents)
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping who looked: %w", err)
	}
	return nil
}

// Views returns who looked at a family's incidents at or after since, newest
// first, at most limit. With a profile those that could show it; with an incident
// those that showed it alone.
func (db *DB) Views(ctx context.Context, family policy.FamilyID, profile policy.ProfileID, incident string, since time.Time, limit int) ([]journal.View, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading who looked: %w", errNoFamily)
	}
	out := []journal.View{}
	err := db.each(ctx, func(rows *sql.Rows) error {
		v := journal.View{Family: family}
		var first, last int64
		if err := rows.Scan(&v.Guardian, &v.Who, &v.Action, &v.Profile, &v.Incident, &first, &last, &v.Times, &v.Incidents); err != nil {
			return err
		}
		v.First, v.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		out = append(out, v)
		return nil
	}, `SELECT guardian_id, who, action, profile_id, incident_id, first_at, last_at, times, incidents FROM journal_views
		WHERE family_id = $1 AND last_at >= $2 AND ($3 = 0 OR profile_id = 0 OR profile_id = $3) AND ($4 = '' OR incident_id = $4)
		ORDER BY last_at DESC, view_id DESC LIMIT $5`,
		int64(family), millis(since), int64(profile), incident, limit)
	if err != nil {
		return nil, fmt.Errorf("reading who looked: %w", err)
	}
	return out, nil
}

// each calls f for every row of a query.
func (db *DB) each(ctx context.Context, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return explain(err)
		}
	}
	return explain(rows.Err())
}
