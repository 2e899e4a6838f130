package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kinward/policy"
)

// KeptChanges is how many of its newest changes are kept of a family. Older ones
// are forgotten, and cannot be undone any more.
const KeptChanges = 500

// Change is one row of the record of what guardians changed.
type Change struct {
	Family   policy.FamilyID    `json:"family"`
	Revision uint64             `json:"revision"` // of the family, after the change
	At       time.Time          `json:"at"`
	Who      string             `json:"who"`
	What     string             `json:"what"`
	Why      string             `json:"why,omitempty"`
	Weakens  []policy.Weakening `json:"weakens,omitempty"` // how it lowers protection
	Undoes   uint64             `json:"undoes,omitempty"`  // the revision that it takes back
	CanUndo  bool               `json:"canUndo"`           // what it changed was kept, and who asks may undo it; a later change may be in the way
}

// record notes a change and forgets those that are too old.
func (t *Tx) record(id policy.FamilyID, revision uint64, c Change, delta policy.Delta) error {
	weakens, parts := "", ""
	if len(c.Weakens) > 0 {
		b, err := json.Marshal(c.Weakens)
		if err != nil {
			return err
		}
		weakens = string(b)
	}
	if len(delta) > 0 {
		b, err := json.Marshal(delta)
		if err != nil {
			return err
		}
		parts = string(b)
	}
	if _, err := t.tx.ExecContext(t.ctx, `
		INSERT INTO changes (family_id, revision, at, who, what, why, weakens, undoes, delta) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		int64(id), int64(revision), t.now.UnixMilli(), c.Who, c.What, c.Why, weakens, int64(c.Undoes), parts); err != nil {
		return err
	}
	_, err := t.tx.ExecContext(t.ctx, `DELETE FROM changes WHERE family_id = $1 AND revision <= $2`, int64(id), int64(revision)-KeptChanges)
	return err
}

// Changes returns the newest changes of a family, newest first, at most limit.
func (db *DB) Changes(ctx context.Context, family policy.FamilyID, limit int) ([]Change, error) {
	out, err := changes(ctx, db.read, `WHERE family_id = $1 ORDER BY revision DESC LIMIT $2`, int64(family), limit)
	if err != nil {
		return nil, fmt.Errorf("reading changes: %w", explain(err))
	}
	return out, nil
}

// Changes returns what [DB.Changes] would, with the changes of t.
func (t *Tx) Changes(family policy.FamilyID, limit int) ([]Change, error) {
	return changes(t.ctx, t.tx, `WHERE family_id = $1 ORDER BY revision DESC LIMIT $2`, int64(family), limit)
}

func changes(ctx context.Context, q querier, where string, args ...any) ([]Change, error) {
	rows, err := q.QueryContext(ctx, `
		SELECT family_id, revision, at, who, what, why, weakens, undoes, CASE WHEN delta = '' THEN 0 ELSE 1 END FROM changes `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Change{}
	for rows.Next() {
		var c Change
		var at int64
		var weakens string
		if err := rows.Scan(&c.Family, &c.Revision, &at, &c.Who, &c.What, &c.Why, &weakens, &c.Undoes, &c.CanUndo); err != nil {
			return nil, err
		}
		if c.At = time.UnixMilli(at).UTC(); weakens != "" {
			if err := json.Unmarshal([]byte(weakens), &c.Weakens); err != nil {
				return nil, fmt.Errorf("reading how revision %d weakens: %w", c.Revision, err)
			}
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// ChangesOf returns the newest changes of a family that changed a part of it that is
// asked for, by the path that [policy.Delta] gives it, newest first, at most limit. Of
// a change that did not keep what it changed nobody knows.
func (db *DB) ChangesOf(ctx context.Context, family policy.FamilyID, part func(path string) bool, limit int) ([]Change, error) {
	touched := map[uint64]bool{}
	err := db.each(ctx, func(rows *sql.Rows) error {
		var revision uint64
		var parts string
		var delta policy.Delta
		if err := rows.Scan(&revision, &parts); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(parts), &delta); err != nil {
			return fmt.Errorf("reading change %d: %w", revision, err)
		}
		touched[revision] = delta.Touches(part)
		return nil
	}, `SELECT revision, delta FROM changes WHERE family_id = $1 AND delta <> ''`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading changes: %w", err)
	}
	all, err := db.Changes(ctx, family, KeptChanges)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c Change) bool { return !touched[c.Revision] })
	return all[:min(limit, len(all))], nil
}

// Undo takes back what a change changed, as a change of its own; what was
// changed since stays. Where a later change was about the same thing the error
// wraps [ErrConflict] and names it. What has ended by now does not come back,
// and a thing that does has the ID that it had.
func (db *DB) Undo(ctx context.Context, family policy.FamilyID, revision uint64, why string) (now uint64, err error) {
	err = db.Together(ctx, func(t *Tx) error {
		now, err = t.Undo(family, revision, why)
		return err
	})
	return now, err
}

// Undo is [DB.Undo] within t.
func (t *Tx) Undo(family policy.FamilyID, revision uint64, why string) (uint64, error) {
	s, err := t.load(family)
	if err == nil {
		var now uint64
		if now, err = t.undo(s, revision, why); err == nil {
			return now, nil
		}
	}
	return 0, fmt.Errorf("undoing change %d: %w", revision, err)
}

// asBefore ends the record of an undo.
const asBefore = "; what it changed is as it was before"

func (t *Tx) undo(s stored, revision uint64, why string) (uint64, error) {
	var what, parts string
	err := t.tx.QueryRowContext(t.ctx, `SELECT what, delta FROM changes WHERE family_id = $1 AND revision = $2`, int64(s.id), int64(revision)).Scan(&what, &parts)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, refuse(ErrNotFound, "there is no such change, or it is older than the %d that are kept; see: kinward changes", KeptChanges)
	case err != nil:
		return 0, err
	case parts == "":
		return 0, refuse(ErrInvalid, "it cannot be undone: it made the family, or was made by a Kinward that did not keep how; change it by hand")
	}
	var delta policy.Delta
	if err := json.Unmarshal([]byte(parts), &delta); err != nil {
		return 0, err
	}
	now, err := t.change(Edit{Family: s.id, Why: why, undoes: revision}, func(f *policy.Family) (string, error) {
		undone, since, err := delta.Undo(f, t.now)
		if err != nil {
			return "", err
		}
		if len(since) > 0 {
			return "", t.inTheWay(s.id, revision, since)
		}
		*f = *undone
		what, _ = strings.CutSuffix(what, asBefore) // of an undo that is taken back it is said once
		return fmt.Sprintf("took back change %d (%s)"+asBefore, revision, what), nil
	})
	if err == nil && now == s.revision {
		return 0, refuse(ErrConflict, "nothing of it is left to undo: it was taken back or is over")
	}
	return now, err
}

// inTheWay names the newest change since revision that touched one of the paths.
func (t *Tx) inTheWay(id policy.FamilyID, revision uint64, paths []string) error {
	rows, err := t.tx.QueryContext(t.ctx, `SELECT revision, who, what, delta FROM changes WHERE family_id = $1 AND revision > $2 ORDER BY revision DESC`,
		int64(id), int64(revision))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var later uint64
		var who, what, parts string
		if err := rows.Scan(&later, &who, &what, &parts); err != nil {
			return err
		}
		var delta policy.Delta
		if err := json.Unmarshal([]byte(parts), &delta); parts != "" && err != nil {
			return err
		}
		if delta.Touches(func(path string) bool { return slices.Contains(paths, path) }) {
			return refuse(ErrConflict, "change %d (%s: %s) was about the same since; undo that first, or change it by hand", later, who, what)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return refuse(ErrConflict, "what it changed is another by now (%s); change it by hand", paths[0])
}
