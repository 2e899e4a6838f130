package blocklists

import (
	"fmt"
	"path/filepath"
)

// Accept puts the held version of a list in force, and keeps the one before for
// [Library.Rollback]. It returns the list as it stands then, and what changed.
// Errors are ErrNoSuchList, ErrNothingHeld, ErrDamagedCopy, and those of the
// disk.
func (l *Library) Accept(id string) (ListStatus, Changes, error) {
	s, ch, err := l.swap(id, func(r listRecord) (listRecord, Version, error) {
		if r.Held == nil {
			return r, Version{}, ErrNothingHeld
		}
		before, seen := r.Version, r.seen()
		r.Version, r.Previous, r.Held = r.Held.Version, &before, nil
		r.Refused, r.Problem, r.Seen = "", "", seen
		return r, r.Version, nil
	})
	if err != nil {
		return s, ch, fmt.Errorf("accepting the held copy of list %q: %w", clip(id), err)
	}
	return s, ch, nil
}

// Rollback puts the version of a list that was in force before in force again.
// The one that was in force until now is held, so that [Library.Accept] undoes
// it; updates do not take it again before another one was in force. A version
// that a guard held is dropped. It returns the list as it stands then, and what
// changed. Errors are ErrNoSuchList, ErrNoPrevious, ErrDamagedCopy, and those
// of the disk.
func (l *Library) Rollback(id string) (ListStatus, Changes, error) {
	s, ch, err := l.swap(id, func(r listRecord) (listRecord, Version, error) {
		if r.Previous == nil {
			return r, Version{}, ErrNoPrevious
		}
		from, seen := r.Version, r.seen()
		r.Version, r.Previous = *r.Previous, nil
		r.Held = &Held{Version: from, RolledBack: true, Why: "it was in force and was rolled back; accept it to undo that"}
		r.Refused, r.Problem, r.Seen = from.SHA256, "", seen
		return r, r.Version, nil
	})
	if err != nil {
		return s, ch, fmt.Errorf("rolling back list %q: %w", clip(id), err)
	}
	return s, ch, nil
}

// swap puts a kept version in force, as choose says.
func (l *Library) swap(id string, choose func(listRecord) (listRecord, Version, error)) (ListStatus, Changes, error) {
	last, ok := (*l.state.Load())[id]
	if !ok {
		return ListStatus{}, Changes{}, ErrNoSuchList
	}
	next, chosen, err := choose(last)
	if err != nil {
		return ListStatus{}, Changes{}, err
	}
	if err := l.verify(last, chosen.SHA256); err != nil {
		return ListStatus{}, Changes{}, err
	}
	var changes Changes
	if last.Held != nil && chosen.SHA256 == last.Held.SHA256 {
		changes = last.Held.Changes.clone() // found when it was held
	}
	if changes.none() {
		// The copy that goes may be damaged, which is a reason more to leave it.
		changes, _ = compareCopies(l.versionFile(last, last.Version), l.versionFile(last, chosen))
	}
	if next.Held != nil && next.Held.RolledBack {
		held := *next.Held
		held.Changes = changes.reverse()
		next.Held = &held
	}
	err = l.change(id, "", "", func(now listRecord, ok bool) (listRecord, error) {
		if !ok || !now.sameAs(last) {
			return listRecord{}, ErrListChanged
		}
		return next, nil
	})
	return next.status(), changes, err
}

// seen is the hash of the newest version that the server gave.
func (r listRecord) seen() string {
	if r.Seen == "" {
		return r.SHA256
	}
	return r.Seen
}

// versionFile is a kept version of a list, for comparing.
func (l *Library) versionFile(r listRecord, v Version) copyOnDisk {
	return copyOnDisk{filepath.Join(l.dir, copyName(r.ID, v.SHA256)), v, l.parseOptions(r.ListSource)}
}
