package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
)

// habits keeps in which hours devices usually ask, in the transaction that keeps
// when they asked last: what lies between both is all that a baseline needs.
type habits struct {
	ctx      context.Context
	tx       *sql.Tx
	now      time.Time
	zones    *zones
	families map[policy.FamilyID]*policy.Family
	write    signalWriter
}

func (db *DB) habits(ctx context.Context, tx *sql.Tx) *habits {
	return &habits{ctx, tx, db.now(), db.zones, map[policy.FamilyID]*policy.Family{}, signalWriter{ctx: ctx, tx: tx, there: familiesThere(ctx, tx)}}
}

// note takes a sighting into the device's baseline: once an hour, since nothing
// changes in between.
func (h *habits) note(s journal.Sighting) error {
	var last int64
	err := h.tx.QueryRowContext(h.ctx, `SELECT at FROM seen WHERE family_id = $1 AND device_id = $2`, int64(s.Family), int64(s.Device)).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	const hour = int64(time.Hour / time.Millisecond)
	at := s.Minute.UnixMilli()
	if ahead := last - at; err == nil && at/hour <= last/hour && ahead <= journal.SetBack.Milliseconds() {
		return nil
	}
	f, err := h.family(s.Family)
	if err != nil {
		return err
	}
	var kept []byte
	var told string
	err = h.tx.QueryRowContext(h.ctx, `SELECT baseline, signal_id FROM baselines WHERE family_id = $1 AND device_id = $2`, int64(s.Family), int64(s.Device)).Scan(&kept, &told)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case told != "":
		if err := h.write.again(s.Family, told, s.Minute); err != nil {
			return err
		}
	}
	away, wanted := signals.Expected(f, s.Device)
	if !wanted {
		_, err := h.tx.ExecContext(h.ctx, `DELETE FROM baselines WHERE family_id = $1 AND device_id = $2`, int64(s.Family), int64(s.Device))
		return err
	}
	b, err := signals.DecodeBaseline(kept)
	if err != nil {
		b = &signals.Baseline{} // a newer program's, or damaged: it learns anew
	}
	zone := h.zones.of(f.Zone)
	b.Note(s.Minute, zone)
	due := int64(0)
	if at := b.Due(s.Minute, away, zone); !at.IsZero() {
		due = at.UnixMilli()
	}
	_, err = h.tx.ExecContext(h.ctx, `
		INSERT INTO baselines (family_id, device_id, baseline, due_at, signal_id) VALUES ($1, $2, $3, $4, '')
		ON CONFLICT (family_id, device_id) DO UPDATE SET baseline = excluded.baseline, due_at = excluded.due_at, signal_id = ''`,
		int64(s.Family), int64(s.Device), b.Encode(), due)
	return err
}

func (h *habits) family(id policy.FamilyID) (*policy.Family, error) {
	if f := h.families[id]; f != nil {
		return f, nil
	}
	s, err := load(h.ctx, h.tx, id)
	if err != nil {
		return nil, err
	}
	f, err := s.family(h.now)
	h.families[id] = f
	return f, err
}

// zones remembers time zones, which are read from files otherwise.
type zones struct{ known sync.Map }

// of returns a family's zone, the server's where it names none.
func (z *zones) of(name string) *time.Location {
	if known, ok := z.known.Load(name); ok {
		return known.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" {
		zone = time.Local
	}
	z.known.Store(name, zone)
	return zone
}
