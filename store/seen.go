package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kinward/journal"
	"kinward/policy"
)

var _ journal.SeenStore = (*DB)(nil)

// WriteSeen implements [journal.SeenStore].
func (db *DB) WriteSeen(ctx context.Context, sightings []journal.Sighting) error {
	err := db.transact(ctx, func(tx *sql.Tx) error {
		there := familiesThere(ctx, tx)
		stmt, err := tx.PrepareContext(ctx, `
			INSERT INTO seen (family_id, device_id, at) VALUES ($1, $2, $3)
			ON CONFLICT (family_id, device_id) DO UPDATE SET at = excluded.at WHERE excluded.at > seen.at OR seen.at > excluded.at + $4`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		habits := db.habits(ctx, tx)
		for _, s := range sightings {
			if is, err := there(s.Family); err != nil {
				return err
			} else if !is {
				continue
			}
			if err := habits.note(s); err != nil {
				return err
			}
			if _, err := stmt.ExecContext(ctx, int64(s.Family), int64(s.Device), s.Minute.UnixMilli(), journal.SetBack.Milliseconds()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing when %d devices were seen: %w", len(sightings), err)
	}
	return nil
}

// Seen returns the minute in which each device of a family asked last, as far as
// it was written. A device that never did is not in it.
func (db *DB) Seen(ctx context.Context, family policy.FamilyID) (map[policy.DeviceID]time.Time, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading when devices were seen: %w", errNoFamily)
	}
	rows, err := db.read.QueryContext(ctx, `SELECT device_id, at FROM seen WHERE family_id = $1`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading when devices of family %d were seen: %w", family, err)
	}
	defer rows.Close()
	out := map[policy.DeviceID]time.Time{}
	for rows.Next() {
		var device, at int64
		if err := rows.Scan(&device, &at); err != nil {
			return nil, fmt.Errorf("reading when devices of family %d were seen: %w", family, err)
		}
		out[policy.DeviceID(device)] = time.UnixMilli(at).UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading when devices of family %d were seen: %w", family, err)
	}
	return out, nil
}
