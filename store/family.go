package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"kinward/policy"
)

// Why a change of a family is refused; see package policy, whose edits say so.
var (
	ErrNotFound = policy.ErrNotFound
	ErrConflict = policy.ErrConflict
	// ErrStale is a change that was decided on another revision of the family.
	ErrStale   = fmt.Errorf("%w: changed meanwhile", ErrConflict)
	ErrInvalid = policy.ErrInvalid
)

// makeFamily makes the first family of a new database.
func (db *DB) makeFamily(ctx context.Context, o Options) error {
	var have int
	if err := db.read.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT family_id FROM families LIMIT 1) AS f`).Scan(&have); err != nil || have > 0 {
		return err
	}
	zone, preset := o.Zone, policy.BandC
	if zone == "" {
		zone = serverZone()
	}
	if o.Preset != nil {
		preset = *o.Preset
	}
	if _, err := db.AddFamily(ctx, policy.NewFamily(policy.HomeName, zone, preset), ""); err != nil {
		return fmt.Errorf("making the first family: %w", err)
	}
	return nil
}

// Home returns the first family, which is that of the server's own home.
func (db *DB) Home(ctx context.Context) (policy.FamilyID, error) {
	var id int64
	if err := db.read.QueryRowContext(ctx, homeQuery).Scan(&id); err != nil {
		return 0, fmt.Errorf("looking for the home family: %w", explain(err))
	}
	return policy.FamilyID(id), nil
}

const homeQuery = `SELECT family_id FROM families ORDER BY family_id LIMIT 1`

// Family returns a family as its guardians chose, and its revision; 0 is the
// home family. The caller owns it. What has ended by now is over in it (see
// [policy.Family.Settle]). The error wraps [ErrNotFound] where there is none.
func (db *DB) Family(ctx context.Context, id policy.FamilyID) (f *policy.Family, revision uint64, err error) {
	if id == 0 {
		if id, err = db.Home(ctx); err != nil {
			return nil, 0, err
		}
	}
	s, err := load(ctx, db.read, id)
	if err == nil {
		f, err = s.family(db.now())
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading family %d: %w", id, explain(err))
	}
	return f, s.revision, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// stored is a family as a row holds it.
type stored struct {
	id       policy.FamilyID
	revision uint64
	document []byte
}

func load(ctx context.Context, q querier, id policy.FamilyID) (stored, error) {
	s := stored{id: id}
	err := q.QueryRowContext(ctx, `SELECT revision, document FROM families WHERE family_id = $1`, int64(id)).Scan(&s.revision, &s.document)
	if errors.Is(err, sql.ErrNoRows) {
		return s, refuse(ErrNotFound, "there is no family %d; see: kinward families", id)
	}
	return s, err
}

// family reads the document as it is now.
func (s stored) family(now time.Time) (*policy.Family, error) {
	f := &policy.Family{}
	if err := json.Unmarshal(s.document, f); err != nil {
		return nil, fmt.Errorf("reading the document of family %d: %w", s.id, err)
	}
	f.ID = s.id
	f.Settle(now)
	return f, nil
}

// Families returns all families in order of their IDs, as of one moment and read
// one at a time; each is the caller's. The first error ends it.
func (db *DB) Families(ctx context.Context) iter.Seq2[policy.Versioned, error] {
	return func(yield func(policy.Versioned, error) bool) {
		if err := db.families(ctx, yield); err != nil {
			yield(policy.Versioned{}, fmt.Errorf("reading families: %w", explain(err)))
		}
	}
}

func (db *DB) families(ctx context.Context, yield func(policy.Versioned, error) bool) error {
	rows, err := db.read.QueryContext(ctx, `SELECT family_id, revision, document FROM families ORDER BY family_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	now := db.now()
	for rows.Next() {
		var s stored
		var document sql.RawBytes // decoded before the next row overwrites it
		if err := rows.Scan(&s.id, &s.revision, &document); err != nil {
			return err
		}
		s.document = document
		f, err := s.family(now)
		if err != nil {
			return err
		}
		if !yield(policy.Versioned{Family: f, Revision: s.revision}, nil) {
			return nil
		}
	}
	return rows.Err()
}

// FamilyInfo is a line of a list of families.
type FamilyInfo struct {
	ID       policy.FamilyID `json:"id"`
	Name     string          `json:"name"`
	Revision uint64          `json:"revision"`
}

// FamilyList returns up to limit families in order of their IDs, those after a
// given one.
func (db *DB) FamilyList(ctx context.Context, after policy.FamilyID, limit int) ([]FamilyInfo, error) {
	return db.familyInfos(ctx, `WHERE family_id > $1 ORDER BY family_id LIMIT $2`, int64(after), limit)
}

// FindFamily returns the family of that name, in any case. The error wraps
// [ErrNotFound] where there is none, and [ErrConflict] where there are several,
// which only their numbers tell apart.
func (db *DB) FindFamily(ctx context.Context, name string) (policy.FamilyID, error) {
	found, err := db.familyInfos(ctx, `WHERE name_key = $1 ORDER BY family_id LIMIT 2`, policy.NameKey(name))
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, refuse(ErrNotFound, "there is no family %q; see: kinward families", clip(name))
	case len(found) > 1:
		return 0, refuse(ErrConflict, "several families are called %q, for example %d and %d; give the number", clip(name), found[0].ID, found[1].ID)
	}
	return found[0].ID, nil
}

func (db *DB) familyInfos(ctx context.Context, where string, args ...any) ([]FamilyInfo, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT family_id, name, revision FROM families `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("listing families: %w", explain(err))
	}
	defer rows.Close()
	out := []FamilyInfo{}
	for rows.Next() {
		var i FamilyInfo
		if err := rows.Scan(&i.ID, &i.Name, &i.Revision); err != nil {
			return nil, fmt.Errorf("listing families: %w", explain(err))
		}
		out = append(out, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing families: %w", explain(err))
	}
	return out, nil
}

// refusal is an error for a person, with its kind for the program.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

func clip(s string) string { return policy.Clip(s, 40) }
