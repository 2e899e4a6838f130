package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"kinward/blocklists"
	"kinward/policy"
)

// Profiles, devices and rules are named by what guardians call them, in any
// case. Every change is one transaction that raises the family's revision and is
// recorded (see [DB.Changes]); one that would change nothing does neither.
// Refusals wrap [ErrNotFound], [ErrConflict] or [ErrInvalid].

// AddProfile makes a profile.
func (db *DB) AddProfile(ctx context.Context, name string, preset policy.Preset) (policy.ProfileID, error) {
	var id int64
	err := db.change(ctx, fmt.Sprintf("adding profile %q", clip(name)), func(e *edit) (string, error) {
		name, err := e.freeProfileName(name, 0)
		if err != nil {
			return "", err
		}
		if id, err = e.insertProfile(name, preset); err != nil {
			return "", err
		}
		return fmt.Sprintf("added profile %s (preset %s)", name, preset), nil
	})
	return policy.ProfileID(id), err
}

// RenameProfile gives a profile another name.
func (db *DB) RenameProfile(ctx context.Context, name, to string) error {
	return db.change(ctx, fmt.Sprintf("renaming profile %q", clip(name)), func(e *edit) (string, error) {
		p, err := e.profile(name)
		if err != nil {
			return "", err
		}
		to, err := e.freeProfileName(to, p.id)
		if err != nil {
			return "", err
		}
		if to == p.name {
			return "", errSame
		}
		return fmt.Sprintf("renamed profile %s to %s", p.name, to),
			e.exec(`UPDATE profiles SET name = $3, name_key = $4 WHERE family_id = $1 AND profile_id = $2`, e.family, p.id, to, nameKey(to))
	})
}

// RemoveProfile removes a profile with its choices and rules. The one that
// applies to everyone stays, and so does one that a device uses or goes back to.
// What was recorded stays.
func (db *DB) RemoveProfile(ctx context.Context, name string) error {
	return db.change(ctx, fmt.Sprintf("removing profile %q", clip(name)), func(e *edit) (string, error) {
		p, err := e.profile(name)
		if err != nil {
			return "", err
		}
		if p.id == e.usual {
			return "", refuse(ErrConflict, "it applies to every device that has no other; it can be renamed or changed, not removed")
		}
		var device string
		err = e.tx.QueryRowContext(e.ctx, `
			SELECT name FROM devices WHERE family_id = $1 AND (profile_id = $2 OR usual_profile_id = $2) ORDER BY device_id LIMIT 1`,
			e.family, p.id).Scan(&device)
		if err == nil {
			return "", refuse(ErrConflict, "device %q uses it; give the device another profile first", device)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return "", err
		}
		for _, table := range []string{"choices", "rules", "profiles"} {
			if err := e.exec(`DELETE FROM `+table+` WHERE family_id = $1 AND profile_id = $2`, e.family, p.id); err != nil {
				return "", err
			}
		}
		return "removed profile " + p.name, nil
	})
}

// SetPreset gives a profile another preset. Its own choices and rules stay.
func (db *DB) SetPreset(ctx context.Context, profile string, preset policy.Preset) error {
	return db.change(ctx, fmt.Sprintf("changing the preset of profile %q", clip(profile)), func(e *edit) (string, error) {
		p, err := e.profile(profile)
		if err != nil {
			return "", err
		}
		if preset > policy.Adult {
			return "", refuse(ErrInvalid, "preset %d does not exist; take A to E or adult", preset)
		}
		if p.preset == preset {
			return "", errSame
		}
		return fmt.Sprintf("changed the preset of profile %s from %s to %s", p.name, p.preset, preset),
			e.exec(`UPDATE profiles SET preset = $3 WHERE family_id = $1 AND profile_id = $2`, e.family, p.id, preset.String())
	})
}

// SetCategory sets a profile's own choice for a category; nil goes back to the
// preset's.
func (db *DB) SetCategory(ctx context.Context, profile string, c blocklists.Category, choice *policy.Choice) error {
	if c <= blocklists.Plumbing || c >= blocklists.NumCategories {
		return fmt.Errorf("choosing for profile %q: %w", clip(profile),
			refuse(ErrInvalid, "category %d cannot be chosen: it must stay reachable or does not exist", c))
	}
	return db.choose(ctx, profile, kindCategory, c.String(), choice)
}

// SetService sets a profile's own choice for a service, named by its ID; nil
// goes back to its category's. Whether the service exists is the caller's to
// check: only an index knows.
func (db *DB) SetService(ctx context.Context, profile, service string, choice *policy.Choice) error {
	service, err := cleanName(service)
	if err != nil {
		return fmt.Errorf("choosing a service for profile %q: %w", clip(profile), err)
	}
	return db.choose(ctx, profile, kindService, service, choice)
}

func (db *DB) choose(ctx context.Context, profile, kind, subject string, choice *policy.Choice) error {
	return db.change(ctx, fmt.Sprintf("choosing %s %s for profile %q", kind, subject, clip(profile)), func(e *edit) (string, error) {
		p, err := e.profile(profile)
		if err != nil {
			return "", err
		}
		var was string
		err = e.tx.QueryRowContext(e.ctx, `
			SELECT choice FROM choices WHERE family_id = $1 AND profile_id = $2 AND kind = $3 AND subject = $4`,
			e.family, p.id, kind, subject).Scan(&was)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", err
		}
		if choice == nil {
			if was == "" {
				return "", errSame
			}
			return fmt.Sprintf("took back %q for %s %s in profile %s", was, kind, subject, p.name),
				e.exec(`DELETE FROM choices WHERE family_id = $1 AND profile_id = $2 AND kind = $3 AND subject = $4`, e.family, p.id, kind, subject)
		}
		if *choice > policy.ChooseCount {
			return "", refuse(ErrInvalid, "choice %d does not exist", *choice)
		}
		if was == choice.String() {
			return "", errSame
		}
		return fmt.Sprintf("chose %q for %s %s in profile %s", choice, kind, subject, p.name), e.exec(`
			INSERT INTO choices (family_id, profile_id, kind, subject, choice) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (family_id, profile_id, kind, subject) DO UPDATE SET choice = excluded.choice`,
			e.family, p.id, kind, subject, choice.String())
	})
}

// AddRule adds a rule to a profile and returns its ID; r.ID is not looked at.
// The name is stored as given, whatever it would block.
func (db *DB) AddRule(ctx context.Context, profile string, r policy.Rule) (policy.RuleID, error) {
	var id int64
	verb := map[bool]string{true: "allow", false: "deny"}
	err := db.change(ctx, fmt.Sprintf("adding a rule for %s", r.Name), func(e *edit) (string, error) {
		p, err := e.profile(profile)
		if err != nil {
			return "", err
		}
		if r.Name == "" {
			return "", refuse(ErrInvalid, "the root of all names cannot be a rule; change the preset instead")
		}
		if err := e.later(r.Until); err != nil {
			return "", err
		}
		var old, until int64
		var allow bool
		err = e.tx.QueryRowContext(e.ctx, `
			SELECT rule_id, allow, until_at FROM rules WHERE family_id = $1 AND profile_id = $2 AND name = $3 AND exact = $4`,
			e.family, p.id, r.Name.String(), int64(r.Match)).Scan(&old, &allow, &until)
		switch {
		case err == nil && until != 0 && until <= e.now.UnixMilli(): // it has ended: the new one takes its place
			if err := e.exec(`DELETE FROM rules WHERE family_id = $1 AND rule_id = $2`, e.family, old); err != nil {
				return "", err
			}
		case err == nil:
			return "", refuse(ErrConflict, "rule %d of profile %q says %s for that name already; remove it first", old, p.name, verb[allow])
		case !errors.Is(err, sql.ErrNoRows):
			return "", err
		}
		if err := e.tx.QueryRowContext(e.ctx, `
			INSERT INTO rules (family_id, profile_id, name, exact, allow, until_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING rule_id`,
			e.family, p.id, r.Name.String(), int64(r.Match), number(r.Allow), millisOf(r.Until)).Scan(&id); err != nil {
			return "", err
		}
		scope := " and all below it"
		if r.Match == policy.MatchExact {
			scope = " alone"
		}
		return fmt.Sprintf("added rule %d to profile %s: %s %s%s%s", id, p.name, verb[r.Allow], r.Name, scope, untilText(r.Until)), nil
	})
	return policy.RuleID(id), err
}

// RemoveRule removes a rule.
func (db *DB) RemoveRule(ctx context.Context, id policy.RuleID) error {
	return db.change(ctx, fmt.Sprintf("removing rule %d", id), func(e *edit) (string, error) {
		var name, profile string
		err := e.tx.QueryRowContext(e.ctx, `
			SELECT r.name, p.name FROM rules r JOIN profiles p ON p.family_id = r.family_id AND p.profile_id = r.profile_id
			WHERE r.family_id = $1 AND r.rule_id = $2`, e.family, int64(id)).Scan(&name, &profile)
		if errors.Is(err, sql.ErrNoRows) {
			return "", refuse(ErrNotFound, "there is no such rule")
		}
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("removed rule %d for %s from profile %s", id, name, profile),
			e.exec(`DELETE FROM rules WHERE family_id = $1 AND rule_id = $2`, e.family, int64(id))
	})
}

// number is a truth value as it is stored.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
