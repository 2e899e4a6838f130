package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// chunk is how many incidents one transaction deletes: some ten milliseconds, so
// that writers do not wait.
const chunk = 1000

// eraseChunk is the same for an erasure, for which somebody waits.
const eraseChunk = 5000

// keptTable is a table of what was attempted, or of what was made of that.
type keptTable struct {
	name    string
	profile string // its column; "": rows belong to incidents and go with them
	at      string // the column by which its rows grow old, in Unix ms; "": with their incidents, or never
	// counted is what the rows are called where an erasure says how many there
	// were; "" says nothing.
	counted string
}

// keptTables are all of them but incidents themselves. Every table of families is
// either here or in chosenTables: a test sees to it, so that no new one is
// forgotten by an erasure.
var keptTables = []keptTable{
	{"reviews", "", "", "reviews"},
	{"mutes", "profile_id", "", "mutes"},
	{"journal_views", "profile_id", "last_at", "looks"},
	{"counts", "profile_id", "", "day counts"}, // by their day, see expireCounts
	{"signals", "profile_id", "at", "signals"},
	{"signal_memory", "profile_id", "", ""},
	{"requests", "profile_id", "at", "requests"},
	{"told", "profile_id", "", ""}, // grows old by itself; earlier, and an incident that goes on would be told anew
	{"outbox", "0", "made_at", ""}, // of no profile: what it would tell stands in told
}

// chosenTables are what guardians chose, and how a family is recognised. The
// tables seen and baselines are by device, see eraseSeen.
var chosenTables = []string{
	"families", "changes", "clues", "links", "seen", "channels", "preferences", "digests", "baselines", "pending",
	"accounts", "recovery_codes", "passkeys", "sessions", "api_tokens", "passes", "door",
}

// familyTables are all tables with rows of families.
func familyTables() []string {
	all := append([]string{"incidents"}, chosenTables...)
	for _, t := range keptTables {
		all = append(all, t.name)
	}
	return all
}

// Expired says how much was forgotten because of its age.
type Expired struct {
	Incidents int `json:"incidents"`
	Counts    int `json:"counts"`
}

// Expire forgets what a family has kept for longer than it wants (see
// [policy.Retention]), in transactions so small that writers do not wait for it.
// What is interrupted goes on at the next call.
func (db *DB) Expire(ctx context.Context, f *policy.Family, now time.Time) (Expired, error) {
	var e Expired
	err := db.expire(ctx, f, now, &e)
	if err != nil {
		err = fmt.Errorf("forgetting what family %d has kept for long enough: %w", f.ID, explain(err))
	}
	return e, err
}

func (db *DB) expire(ctx context.Context, f *policy.Family, now time.Time, e *Expired) error {
	if f.ID == 0 {
		return errNoFamily
	}
	keep := f.Retention
	from, id := int64(-1<<62), ""
	for {
		rows, err := db.oldRows(ctx, f.ID, from, id, keep.Shortest().Before(now))
		if err != nil || len(rows) == 0 {
			if err != nil {
				return err
			}
			break
		}
		var over []string
		for _, r := range rows {
			if r.Last.Before(keep.For(categoryOf(r, keep)).Before(now)) {
				over = append(over, r.ID)
			}
		}
		last := rows[len(rows)-1]
		from, id = last.Last.UnixMilli(), last.ID
		if len(over) == 0 {
			continue
		}
		if err := db.transact(ctx, func(tx *sql.Tx) error { return deleteIncidents(ctx, tx, f.ID, over) }); err != nil {
			return err
		}
		e.Incidents += len(over)
	}
	if old, err := db.hasOld(ctx, f, now); err != nil || !old {
		return err
	}
	return db.transact(ctx, func(tx *sql.Tx) error {
		before := keep.Default().Before(now)
		for _, t := range keptTables {
			if t.at == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+t.name+` WHERE family_id = $1 AND `+t.at+` < $2`, int64(f.ID), before.UnixMilli()); err != nil {
				return err
			}
		}
		var err error
		e.Counts, err = expireCounts(ctx, tx, f, now)
		return err
	})
}

// hasOld reports whether there may be more than incidents to forget, so that a family
// of which there is nothing takes no turn among those that write.
func (db *DB) hasOld(ctx context.Context, f *policy.Family, now time.Time) (old bool, err error) {
	query := `SELECT EXISTS (SELECT 1 FROM counts WHERE family_id = $1 AND day < $3)`
	for _, t := range keptTables {
		if t.at != "" {
			query += ` OR EXISTS (SELECT 1 FROM ` + t.name + ` WHERE family_id = $1 AND ` + t.at + ` < $2)`
		}
	}
	err = db.read.QueryRowContext(ctx, query, int64(f.ID), f.Retention.Default().Before(now).UnixMilli(),
		f.Retention.Shortest().Before(now).UTC().Format(time.DateOnly)).Scan(&old)
	return old, err
}

// NextKeeping returns the next family after one of which anything is kept that grows
// old, 0 where there is none. Most of a provider's families have nothing.
func (db *DB) NextKeeping(ctx context.Context, after policy.FamilyID) (next policy.FamilyID, err error) {
	query := `SELECT coalesce(min(id), 0) FROM (SELECT min(family_id) AS id FROM incidents WHERE family_id > $1
		UNION ALL SELECT min(family_id) FROM counts WHERE family_id > $1`
	for _, t := range keptTables {
		if t.at != "" {
			query += ` UNION ALL SELECT min(family_id) FROM ` + t.name + ` WHERE family_id > $1`
		}
	}
	var id int64
	if err := db.read.QueryRowContext(ctx, query+`) AS kept`, int64(after)).Scan(&id); err != nil {
		return 0, fmt.Errorf("looking for families of which something is kept: %w", explain(err))
	}
	return policy.FamilyID(id), nil
}

// oldRows returns the next rows of a family after one, the oldest first, up to a
// time.
func (db *DB) oldRows(ctx context.Context, family policy.FamilyID, from int64, id string, before time.Time) (out []journal.Row, err error) {
	err = db.rows(ctx, func(r journal.Row) bool { out = append(out, r); return true },
		`WHERE family_id = $1 AND last_at < $2 AND (last_at > $3 OR last_at = $3 AND incident_id > $4) ORDER BY last_at, incident_id LIMIT $5`,
		int64(family), before.UnixMilli(), from, id, chunk)
	return out, err
}

// categoryOf opens a row only where categories are kept differently. One that
// cannot be read is kept as those without a category.
func categoryOf(r journal.Row, keep policy.Retention) blocklists.Category {
	if len(keep.Categories) == 0 {
		return blocklists.NoCategory
	}
	i, err := r.Incident()
	if err != nil {
		return blocklists.NoCategory
	}
	c, err := blocklists.ParseCategory(i.Category)
	if err != nil {
		return blocklists.NoCategory
	}
	return c
}

func deleteIncidents(ctx context.Context, tx *sql.Tx, family policy.FamilyID, ids []string) error {
	for _, id := range ids {
		for _, table := range []string{"incidents", "reviews"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE family_id = $1 AND incident_id = $2`, int64(family), id); err != nil {
				return err
			}
		}
	}
	return nil
}

// expireCounts forgets days that are over for long enough: as a whole, so at the
// end of the day.
func expireCounts(ctx context.Context, tx *sql.Tx, f *policy.Family, now time.Time) (n int, err error) {
	gone := func(where string, args ...any) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM counts WHERE family_id = $1 AND day < $2`+where, args...)
		if err != nil {
			return err
		}
		k, err := res.RowsAffected()
		n += int(k)
		return err
	}
	day := func(d policy.KeptDays) string { return d.Before(now).UTC().Format(time.DateOnly) }
	but := ""
	args := []any{int64(f.ID), day(f.Retention.Default())}
	for c, d := range f.Retention.Categories {
		if err := gone(` AND category = $3`, int64(f.ID), day(d), c.String()); err != nil {
			return n, err
		}
		args = append(args, c.String())
		but += fmt.Sprintf(" AND category <> $%d", len(args))
	}
	return n, gone(but, args...)
}

// Erased says how much an erasure is about, by what it is called.
type Erased map[string]int

// Erasable counts what [DB.Erase] would delete.
func (db *DB) Erasable(ctx context.Context, f *policy.Family, profile policy.ProfileID) (Erased, error) {
	out := Erased{}
	count := func(what, query string) error {
		var n int
		err := db.read.QueryRowContext(ctx, query, int64(f.ID), int64(profile)).Scan(&n)
		out[what] += n
		return err
	}
	err := count("incidents", `SELECT count(*) FROM incidents WHERE family_id = $1 AND ($2 = 0 OR profile_id = $2)`)
	for _, t := range keptTables {
		if err != nil || t.counted == "" {
			continue
		}
		err = count(t.counted, `SELECT count(*) FROM `+t.name+` WHERE family_id = $1 AND `+t.ofProfile())
	}
	if err != nil {
		return nil, fmt.Errorf("counting what would be erased: %w", explain(err))
	}
	return out, nil
}

// KeptProfiles returns the profiles that a family has incidents of, in order, those
// included that it has no more.
func (db *DB) KeptProfiles(ctx context.Context, family policy.FamilyID) (list []policy.ProfileID, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT DISTINCT profile_id FROM incidents WHERE family_id = $1 ORDER BY profile_id`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading whose incidents are kept: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading whose incidents are kept: %w", err)
		}
		list = append(list, policy.ProfileID(id))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading whose incidents are kept: %w", explain(err))
	}
	return list, nil
}

// ofProfile is the condition that a row is of the profile $2, or of any where
// that is 0.
func (t keptTable) ofProfile() string {
	if t.profile == "" {
		return `($2 = 0 OR incident_id IN (SELECT incident_id FROM incidents WHERE family_id = $1 AND profile_id = $2))`
	}
	return `($2 = 0 OR ` + t.profile + ` = $2)`
}

// Erase deletes what was kept of a profile of a family (0: of all), from the file
// and its log alike, so that not even the raw bytes hold it afterwards, and keeps
// in the family's history that it did: not what. what is the sentence for that.
// It is done in small transactions; only the last steps make writers wait. The
// caller has seen to what the journal holds.
func (db *DB) Erase(ctx context.Context, f *policy.Family, profile policy.ProfileID, what, why string) (revision uint64, err error) {
	if revision, err = db.erase(ctx, f, profile, what, why); err != nil {
		return 0, fmt.Errorf("erasing: %w", explain(err))
	}
	return revision, nil
}

func (db *DB) erase(ctx context.Context, f *policy.Family, profile policy.ProfileID, what, why string) (revision uint64, err error) {
	if f.ID == 0 {
		return 0, errNoFamily
	}
	// What belongs to incidents goes before them: afterwards nobody could tell.
	err = db.transact(ctx, func(tx *sql.Tx) error {
		for _, t := range keptTables {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+t.name+` WHERE family_id = $1 AND `+t.ofProfile(), int64(f.ID), int64(profile)); err != nil {
				return err
			}
		}
		return eraseSeen(ctx, tx, f, profile)
	})
	for after := ""; err == nil; {
		var last string
		if last, err = db.chunkEnd(ctx, f.ID, profile, after); err != nil || last == "" {
			break
		}
		err = db.transact(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM incidents WHERE family_id = $1 AND ($2 = 0 OR profile_id = $2) AND incident_id > $3 AND incident_id <= $4`,
				int64(f.ID), int64(profile), after, last)
			return err
		})
		after = last
	}
	if err != nil {
		return 0, err
	}
	err = db.Together(ctx, func(t *Tx) error {
		revision, err = t.note(f.ID, what, why)
		return err
	})
	if err != nil {
		return 0, err
	}
	return revision, db.scrub(ctx)
}

// chunkEnd returns the last ID of the next incidents of a profile after one, ""
// where there are none.
func (db *DB) chunkEnd(ctx context.Context, family policy.FamilyID, profile policy.ProfileID, after string) (last string, err error) {
	err = db.read.QueryRowContext(ctx, `SELECT coalesce(max(incident_id), '') FROM (
			SELECT incident_id FROM incidents WHERE family_id = $1 AND incident_id > $2 AND ($3 = 0 OR profile_id = $3) ORDER BY incident_id LIMIT $4) AS next`,
		int64(family), after, int64(profile), eraseChunk).Scan(&last)
	return last, err
}

// eraseSeen forgets when the devices of a profile asked last, also of those that are on
// another for a while.
func eraseSeen(ctx context.Context, tx *sql.Tx, f *policy.Family, profile policy.ProfileID) error {
	for _, table := range []string{"seen", "baselines"} {
		if profile == 0 {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE family_id = $1`, int64(f.ID)); err != nil {
				return err
			}
			continue
		}
		for _, d := range f.Devices {
			if d.Profile != profile && d.Then != profile {
				continue
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE family_id = $1 AND device_id = $2`, int64(f.ID), int64(d.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// note keeps in a family's history something that changed none of its choices.
func (t *Tx) note(id policy.FamilyID, what, why string) (uint64, error) {
	s, err := t.load(id)
	if err != nil {
		return 0, err
	}
	f, err := s.family(t.now)
	if err != nil {
		return 0, err
	}
	s.revision++
	if err := t.save(s.revision, f); err != nil {
		return 0, err
	}
	return s.revision, t.record(s.id, s.revision, Change{Who: t.db.whoIn(t.ctx), What: what, Why: why}, nil)
}

// scrub takes out of the file and its log what is no row any more. secure_delete
// overwrites rows where they lay last, but not where they lay before SQLite moved
// them within a page or to another, so the file is written anew; then the log,
// which still has all of it, is written back and cut to nothing. It needs as much
// free space as the file is large, and writers wait for it.
func (db *DB) scrub(ctx context.Context) error {
	if _, err := db.write.ExecContext(ctx, `VACUUM`); err != nil {
		return fmt.Errorf("writing the database anew without what was deleted (traces may be left in it; see that there is as much free space as it is large, and do it again): %w", explain(err))
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var busy, inLog, moved int
		if err := db.write.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &inLog, &moved); err != nil {
			return fmt.Errorf("emptying the database's log: %w", explain(err))
		}
		if busy == 0 {
			return nil
		}
		select { // a reader is still in the log
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("emptying the database's log: %w", ctx.Err())
		}
	}
}
