package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kinward/policy"
)

// Edit says which family is changed, and why.
type Edit struct {
	Family policy.FamilyID // 0 is the home family
	Why    string          // what a guardian gave as the reason; "" is none
	Doing  string          // names the change in an error, e.g. `adding device "Tablet"`
	If     uint64          // the revision that it was decided on; another one is refused, see [ErrStale]. 0: whichever
	undoes uint64          // the revision that this takes back
}

// Proposal is a change that is about to be made.
type Proposal struct {
	Before, After *policy.Family
	What          string             // in a sentence
	Why           string             // as [Edit] has it
	Weakens       []policy.Weakening // how it lowers protection
	Revision      uint64             // that the family will have
}

// Tx makes changes that hold together or not at all. It belongs to one
// goroutine and ends with the function that it was given to.
type Tx struct {
	db  *DB
	ctx context.Context
	tx  *sql.Tx
	now time.Time
}

// Together runs f in one transaction: all of its changes are made, or none where
// f or the disk fails.
func (db *DB) Together(ctx context.Context, f func(*Tx) error) error {
	return db.transact(ctx, func(tx *sql.Tx) error { return f(&Tx{db, ctx, tx, db.now()}) })
}

// errDryRun ends a transaction that is not to be kept.
var errDryRun = errors.New("a dry run")

// DryRun runs f as [DB.Together] does and takes everything back. f sees what it
// changed.
func (db *DB) DryRun(ctx context.Context, f func(*Tx) error) error {
	err := db.Together(ctx, func(t *Tx) error {
		if err := f(t); err != nil {
			return err
		}
		return errDryRun
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	return err
}

// Change changes a family: f edits it in memory and says in a sentence what it
// did. The result is checked as a whole (see [policy.Faults]: what was wrong
// before does not count), stored, and recorded with its time, who, why, and how
// it weakens protection, in one transaction. It returns the family's revision,
// which stays as it was where f changed nothing or returned [policy.ErrSame].
//
// A refusal wraps [ErrNotFound], [ErrConflict] or [ErrInvalid]; nothing was
// changed then.
func (db *DB) Change(ctx context.Context, e Edit, f func(*policy.Family) (what string, err error)) (revision uint64, err error) {
	err = db.Together(ctx, func(t *Tx) error {
		revision, err = t.Change(e, f)
		return err
	})
	return revision, err
}

// Change is [DB.Change] within t.
func (t *Tx) Change(e Edit, f func(*policy.Family) (what string, err error)) (revision uint64, err error) {
	revision, err = t.change(e, f)
	if err != nil && e.Doing != "" {
		err = fmt.Errorf("%s: %w", e.Doing, err)
	}
	return revision, err
}

func (t *Tx) change(e Edit, f func(*policy.Family) (string, error)) (uint64, error) {
	s, err := t.load(e.Family)
	if err != nil {
		return 0, err
	}
	if e.If != 0 && e.If != s.revision {
		return 0, refuse(ErrStale, "the family's choices are at revision %d by now, and no longer at %d", s.revision, e.If)
	}
	before, err := s.family(t.now)
	if err != nil {
		return 0, err
	}
	after, err := s.family(t.now)
	if err != nil {
		return 0, err
	}
	what, err := f(after)
	if errors.Is(err, policy.ErrSame) {
		return s.revision, nil
	}
	if err != nil {
		return 0, err
	}
	after.ID = s.id
	after.Normalize()
	delta, err := policy.DeltaOf(before, after)
	if err != nil || len(delta) == 0 {
		return s.revision, err
	}
	if err := t.check(before, after); err != nil {
		return 0, err
	}
	if err := t.moveClues(before, after); err != nil {
		return 0, err
	}
	if err := t.dropGuardians(before, after); err != nil {
		return 0, err
	}
	if err := t.dropDoor(before, after); err != nil {
		return 0, err
	}
	s.revision++
	weakens := policy.Weakens(before, after, t.db.presets)
	if t.db.guard != nil {
		if err := t.db.guard(t.ctx, t, Proposal{before, after, what, e.Why, weakens, s.revision}); err != nil {
			return 0, err
		}
	}
	if err := t.save(s.revision, after); err != nil {
		return 0, err
	}
	return s.revision, t.record(s.id, s.revision, Change{Who: t.db.whoIn(t.ctx), What: what, Why: e.Why, Undoes: e.undoes, Weakens: weakens}, delta)
}

func (t *Tx) load(id policy.FamilyID) (stored, error) {
	if id == 0 {
		var home int64
		if err := t.tx.QueryRowContext(t.ctx, homeQuery).Scan(&home); err != nil {
			return stored{}, err
		}
		id = policy.FamilyID(home)
	}
	return load(t.ctx, t.tx, id)
}

// check refuses what is wrong with a family. What was wrong with it before is
// let be: a service that left the catalogue must not lock a family's choices.
func (t *Tx) check(before, after *policy.Family) error {
	var known policy.Known
	if t.db.known != nil {
		known = t.db.known()
	}
	faults := policy.Faults(after, known)
	if len(faults) > 0 && before != nil {
		old := policy.Faults(before, known)
		faults = slices.DeleteFunc(faults, func(f policy.Fault) bool { return slices.Contains(old, f) })
	}
	return policy.Join(faults)
}

// Family returns a family as t has changed it; 0 is the home family.
func (t *Tx) Family(id policy.FamilyID) (*policy.Family, uint64, error) {
	s, err := t.load(id)
	if err != nil {
		return nil, 0, err
	}
	f, err := s.family(t.now)
	return f, s.revision, err
}

// AddFamily makes a family, whose ID is given to f and returned. f must have IDs
// for all that it has, as from [policy.NewFamily] and edits of it.
func (db *DB) AddFamily(ctx context.Context, f *policy.Family, why string) (id policy.FamilyID, err error) {
	err = db.Together(ctx, func(t *Tx) error {
		id, err = t.AddFamily(f, why)
		return err
	})
	return id, err
}

// AddFamily is [DB.AddFamily] within t.
func (t *Tx) AddFamily(f *policy.Family, why string) (policy.FamilyID, error) {
	id, err := t.addFamily(f, why)
	if err != nil {
		return 0, fmt.Errorf("making family %q: %w", clip(f.Name), err)
	}
	return id, nil
}

func (t *Tx) addFamily(f *policy.Family, why string) (policy.FamilyID, error) {
	f.Settle(t.now)
	f.Normalize()
	if err := t.check(nil, f); err != nil {
		return 0, err
	}
	var id int64
	if err := t.tx.QueryRowContext(t.ctx, `INSERT INTO families (name, name_key, revision, document) VALUES ($1, $2, 0, '') RETURNING family_id`,
		f.Name, policy.NameKey(f.Name)).Scan(&id); err != nil {
		return 0, err
	}
	f.ID = policy.FamilyID(id)
	if err := t.moveClues(&policy.Family{}, f); err != nil {
		return 0, err
	}
	if err := t.save(1, f); err != nil {
		return 0, err
	}
	return f.ID, t.record(f.ID, 1, Change{Who: t.db.whoIn(t.ctx), What: madeText(f), Why: why}, nil)
}

func madeText(f *policy.Family) string {
	text := "made the family " + f.Name
	for i, p := range f.Profiles {
		switch {
		case i == 0:
			text += " with profile "
		default:
			text += ", and profile "
		}
		text += fmt.Sprintf("%s (preset %s)", p.Name, p.Preset)
		if p.ID == f.Default {
			text += " for every device"
		}
	}
	return text
}

// RemoveFamily removes a family and all that was kept of it: its choices and
// their versions, incidents and counts. The home family stays.
func (db *DB) RemoveFamily(ctx context.Context, id policy.FamilyID) error {
	return db.Together(ctx, func(t *Tx) error { return t.RemoveFamily(id) })
}

// RemoveFamily is [DB.RemoveFamily] within t.
func (t *Tx) RemoveFamily(id policy.FamilyID) error {
	if err := t.removeFamily(id); err != nil {
		return fmt.Errorf("removing family %d: %w", id, err)
	}
	return nil
}

func (t *Tx) removeFamily(id policy.FamilyID) error {
	home, err := t.load(0)
	if err != nil {
		return err
	}
	if home.id == id {
		return refuse(ErrConflict, "it is the home family, which unknown devices belong to; rename or change it instead")
	}
	if _, err := t.load(id); err != nil {
		return err
	}
	for _, table := range familyTables() {
		if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM `+table+` WHERE family_id = $1`, int64(id)); err != nil {
			return err
		}
	}
	if err := dropSecrets(t.ctx, t.tx, channelSecret(id, 0)); err != nil {
		return err
	}
	t.db.log.Info("a family was removed with all that was kept of it", "family", int64(id))
	return nil
}

func (t *Tx) save(revision uint64, f *policy.Family) error {
	document, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(t.ctx, `UPDATE families SET name = $2, name_key = $3, revision = $4, document = $5 WHERE family_id = $1`,
		int64(f.ID), f.Name, policy.NameKey(f.Name), int64(revision), string(document))
	return err
}
