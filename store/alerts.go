package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/journal"
	"kinward/journal/alerts"
	"kinward/policy"
)

// Alerts keeps channels to guardians and what is on its way to them. It
// implements [alerts.Store].
type Alerts struct{ db *DB }

var _ alerts.Store = (*Alerts)(nil)

// Alerts returns the database's alerts.
func (db *DB) Alerts() *Alerts { return &Alerts{db} }

// channelSecret is where a channel's secret stands; without a channel, all of a family.
func channelSecret(family policy.FamilyID, channel alerts.ChannelID) string {
	name := "alerts/" + strconv.FormatInt(int64(family), 10)
	if channel != 0 {
		name += "/" + strconv.FormatInt(int64(channel), 10)
	}
	return name
}

// maxChannels bounds how many ways lead to one guardian, or to a household: each is
// an address anywhere, to which this server then writes.
const maxChannels = 20

// AddChannel keeps a channel, with its secret apart, and when its digests are due.
// The family must exist. The error wraps [ErrConflict] where as many lead to the
// guardian as may.
func (a *Alerts) AddChannel(ctx context.Context, c alerts.Channel, plan map[alerts.When]time.Time) (id alerts.ChannelID, err error) {
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		return 0, err
	}
	err = a.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := load(ctx, tx, c.Family); err != nil {
			return err
		}
		var n int64
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM channels WHERE family_id = $1 AND guardian_id = $2`, int64(c.Family), int64(c.Guardian)).Scan(&n); err != nil {
			return err
		}
		if n >= maxChannels {
			return refuse(ErrConflict, "messages go %d ways already; remove one first", n)
		}
		if err := tx.QueryRowContext(ctx, `
			INSERT INTO channels (family_id, guardian_id, kind, settings, made_at, sent_at, failed_at, error, gone)
			VALUES ($1, $2, $3, $4, $5, 0, 0, '', 0) RETURNING channel_id`,
			int64(c.Family), int64(c.Guardian), string(c.Kind), string(settings), c.Made.UnixMilli()).Scan(&n); err != nil {
			return err
		}
		id = alerts.ChannelID(n)
		if err := putSecret(ctx, tx, channelSecret(c.Family, id), c.Secret.Encode(), a.db.now()); err != nil {
			return err
		}
		c.ID = id
		return planDigests(ctx, tx, c, c.Made, plan)
	})
	if err != nil {
		return 0, fmt.Errorf("adding a channel for family %d: %w", c.Family, err)
	}
	return id, nil
}

// RemoveChannel removes a channel with its secret and what is on its way. The
// error wraps [ErrNotFound] where the family has none such.
func (a *Alerts) RemoveChannel(ctx context.Context, family policy.FamilyID, id alerts.ChannelID) error {
	err := a.db.transact(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM channels WHERE family_id = $1 AND channel_id = $2`, int64(family), int64(id))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, refuse(ErrNotFound, "there is no such channel; see: kinward alerts"))
		}
		return dropChannel(ctx, tx, family, id)
	})
	if err != nil {
		return fmt.Errorf("removing channel %d: %w", id, err)
	}
	return nil
}

// dropChannel removes what belongs to a channel that was removed.
func dropChannel(ctx context.Context, tx *sql.Tx, family policy.FamilyID, id alerts.ChannelID) error {
	for _, table := range []string{"digests", "told", "outbox"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE family_id = $1 AND channel_id = $2`, int64(family), int64(id)); err != nil {
			return err
		}
	}
	return dropSecrets(ctx, tx, channelSecret(family, id))
}

// dropGuardians removes the channels and preferences of guardians who are no
// longer there.
func (t *Tx) dropGuardians(before, after *policy.Family) error {
	for _, g := range before.Guardians {
		if slices.ContainsFunc(after.Guardians, func(still policy.Guardian) bool { return still.ID == g.ID }) {
			continue
		}
		channels, err := readChannels(t.ctx, t.tx, `WHERE family_id = $1 AND guardian_id = $2`, int64(after.ID), int64(g.ID))
		if err != nil {
			return err
		}
		for _, c := range channels {
			if err := dropChannel(t.ctx, t.tx, c.Family, c.ID); err != nil {
				return err
			}
		}
		for _, table := range []string{"channels", "preferences"} {
			if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM `+table+` WHERE family_id = $1 AND guardian_id = $2`, int64(after.ID), int64(g.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetPreferences keeps a guardian's preferences. plan says when the digests of
// their channels are due; those that are due already stay so.
func (a *Alerts) SetPreferences(ctx context.Context, family policy.FamilyID, guardian policy.GuardianID, p alerts.Preferences, plan map[alerts.When]time.Time) error {
	document, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = a.db.transact(ctx, func(tx *sql.Tx) error {
		if _, err := load(ctx, tx, family); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO preferences (family_id, guardian_id, document) VALUES ($1, $2, $3)
			ON CONFLICT (family_id, guardian_id) DO UPDATE SET document = excluded.document`, int64(family), int64(guardian), string(document)); err != nil {
			return err
		}
		channels, err := readChannels(ctx, tx, `WHERE family_id = $1 AND guardian_id = $2`, int64(family), int64(guardian))
		if err != nil {
			return err
		}
		for _, c := range channels {
			if err := planDigests(ctx, tx, c, a.db.now(), plan); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping preferences of family %d: %w", family, err)
	}
	return nil
}

// planDigests keeps when a channel's digests are due. A period that it has goes
// on from where the last one ended.
func planDigests(ctx context.Context, tx *sql.Tx, c alerts.Channel, now time.Time, plan map[alerts.When]time.Time) error {
	for _, period := range alerts.Periods {
		due, want := plan[period]
		var err error
		if want && c.Settings.Only != alerts.OnlyAlerts {
			_, err = tx.ExecContext(ctx, `INSERT INTO digests (family_id, channel_id, period, from_at, due_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (family_id, channel_id, period) DO UPDATE SET due_at = excluded.due_at`,
				int64(c.Family), int64(c.ID), string(period), now.UnixMilli(), due.UnixMilli())
		} else {
			_, err = tx.ExecContext(ctx, `DELETE FROM digests WHERE family_id = $1 AND channel_id = $2 AND period = $3`, int64(c.Family), int64(c.ID), string(period))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Channels implements [alerts.Store].
func (a *Alerts) Channels(ctx context.Context, family policy.FamilyID) ([]alerts.Channel, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading channels: %w", errNoFamily)
	}
	out, err := readChannels(ctx, a.db.read, `WHERE family_id = $1`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading channels: %w", explain(err))
	}
	for i := range out {
		text, err := a.db.Secrets().Get(ctx, channelSecret(family, out[i].ID))
		switch {
		case errors.Is(err, ErrNotFound): // restored from a backup, which holds none
			continue
		case err != nil:
			return nil, err
		}
		if out[i].Secret, err = alerts.DecodeSecret(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readChannels(ctx context.Context, q querier, where string, args ...any) (out []alerts.Channel, err error) {
	rows, err := q.QueryContext(ctx, `SELECT family_id, channel_id, guardian_id, kind, settings, made_at, sent_at, failed_at, error, gone FROM channels `+where+` ORDER BY channel_id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c alerts.Channel
		var settings string
		var made, sent, failed int64
		if err := rows.Scan(&c.Family, &c.ID, &c.Guardian, &c.Kind, &settings, &made, &sent, &failed, &c.LastError, &c.Gone); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(settings), &c.Settings); err != nil {
			return nil, fmt.Errorf("reading the settings of channel %d: %w", c.ID, err)
		}
		c.Made, c.LastSent, c.LastFailed = time.UnixMilli(made).UTC(), instant(sent), instant(failed)
		out = append(out, c)
	}
	return out, rows.Err()
}

// instant reads a time of which 0 is none.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Preferences implements [alerts.Store].
func (a *Alerts) Preferences(ctx context.Context, family policy.FamilyID) (map[policy.GuardianID]alerts.Preferences, error) {
	if family == 0 {
		return nil, fmt.Errorf("reading preferences: %w", errNoFamily)
	}
	rows, err := a.db.read.QueryContext(ctx, `SELECT guardian_id, document FROM preferences WHERE family_id = $1`, int64(family))
	if err != nil {
		return nil, fmt.Errorf("reading preferences: %w", explain(err))
	}
	defer rows.Close()
	out := map[policy.GuardianID]alerts.Preferences{}
	for rows.Next() {
		var g policy.GuardianID
		var document string
		if err := rows.Scan(&g, &document); err != nil {
			return nil, fmt.Errorf("reading preferences: %w", explain(err))
		}
		p := alerts.DefaultPreferences()
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			return nil, fmt.Errorf("reading preferences of family %d: %w", family, err)
		}
		out[g] = p
	}
	return out, explain(rows.Err())
}

// incidentEvent reads an incident as an event. The error wraps
// [alerts.ErrForgotten] where there is none.
func (a *Alerts) incidentEvent(ctx context.Context, family policy.FamilyID, id string) (e alerts.Event, err error) {
	if family == 0 {
		return e, fmt.Errorf("reading an incident: %w", errNoFamily)
	}
	found := false
	err = a.db.rows(ctx, func(r journal.Row) bool {
		found = true
		var i journal.Incident
		if i, err = r.Incident(); err == nil {
			e = alerts.FromIncident(i)
		}
		return false
	}, `WHERE family_id = $1 AND incident_id = $2`, int64(family), id)
	if err == nil && !found {
		err = alerts.ErrForgotten
	}
	if err != nil {
		return e, fmt.Errorf("reading an incident: %w", err)
	}
	return e, nil
}

// signalEvent reads a signal as an event. The error wraps [alerts.ErrForgotten]
// where there is none.
func (a *Alerts) signalEvent(ctx context.Context, family policy.FamilyID, id string) (alerts.Event, error) {
	if family == 0 {
		return alerts.Event{}, fmt.Errorf("reading a signal: %w", errNoFamily)
	}
	list, _, err := a.db.signals(ctx, `WHERE family_id = $1 AND signal_id = $2`, int64(family), id)
	if err == nil && len(list) == 0 {
		err = alerts.ErrForgotten
	}
	if err != nil {
		return alerts.Event{}, fmt.Errorf("reading a signal: %w", err)
	}
	return alerts.FromSignal(list[0]), nil
}

// Event reads an event of a feed; see incidentEvent and signalEvent.
func (a *Alerts) Event(ctx context.Context, family policy.FamilyID, feed alerts.Feed, id string) (alerts.Event, error) {
	switch feed {
	case alerts.Signals:
		return a.signalEvent(ctx, family, id)
	case alerts.Requests, alerts.Waits:
		return a.openEvent(ctx, family, feed, id)
	}
	return a.incidentEvent(ctx, family, id)
}

// openEvent reads what waits for a guardian; the error wraps
// [alerts.ErrForgotten] where it waits no more.
func (a *Alerts) openEvent(ctx context.Context, family policy.FamilyID, feed alerts.Feed, id string) (e alerts.Event, err error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return e, alerts.ErrForgotten
	}
	open := false
	if feed == alerts.Requests {
		var r Request
		r, err = a.db.Request(ctx, family, n)
		open, e = r.Open(a.db.now()), requestEvent(r)
	} else {
		var p Pending
		p, err = a.db.Pending(ctx, family, n)
		open, e = p.State == PendingWaits, pendingEvent(p)
	}
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !open:
		return e, alerts.ErrForgotten
	}
	return e, err
}

func requestEvent(r Request) alerts.Event {
	e := alerts.Event{
		Family: r.Family, ID: strconv.FormatInt(r.ID, 10), Feed: alerts.Requests, Kind: alerts.AskedKind, Profile: r.Profile, Device: r.Device, At: r.At,
	}
	if !strings.Contains(r.What, ".") { // no service's ID has a dot, and no message has a domain
		e.Service = r.What
	}
	return e
}

func pendingEvent(p Pending) alerts.Event {
	return alerts.Event{Family: p.Family, ID: strconv.FormatInt(p.ID, 10), Feed: alerts.Waits, Kind: alerts.WaitsKind, At: p.At, Who: p.Who}
}

// NewRequests reads what children ask for as events.
func (a *Alerts) NewRequests(ctx context.Context, after uint64, limit int) (out []alerts.Event, last uint64, err error) {
	list, err := a.db.requestsAfter(ctx, after, limit)
	last = after
	for _, r := range list {
		out, last = append(out, requestEvent(r)), uint64(r.ID)
	}
	return out, last, err
}

// NewPendings reads changes that wait as events.
func (a *Alerts) NewPendings(ctx context.Context, after uint64, limit int) (out []alerts.Event, last uint64, err error) {
	list, err := a.db.pendingsAfter(ctx, after, limit)
	last = after
	for _, p := range list {
		out, last = append(out, pendingEvent(p)), uint64(p.ID)
	}
	return out, last, err
}

// Muted returns what reports whether a guardian muted what an event is about, or
// the household did for all.
func (a *Alerts) Muted(ctx context.Context, family policy.FamilyID, g policy.GuardianID) (func(alerts.Event) bool, error) {
	list, err := a.db.Mutes(ctx, family)
	if err != nil {
		return nil, err
	}
	now := a.db.now()
	list = slices.DeleteFunc(list, func(m journal.Mute) bool { return m.Guardian != g && m.Guardian != alerts.Household })
	return func(e alerts.Event) bool {
		about := e.Incident
		switch e.Feed {
		case alerts.Requests, alerts.Waits: // nobody mutes a question
			return false
		case alerts.Signals:
			about = journal.Incident{Family: e.Family, Profile: e.Profile, Service: e.Service, Domain: e.Signal.Domain}
		}
		return (about.Service != "" || about.Domain != "") && slices.ContainsFunc(list, func(m journal.Mute) bool { return m.Mutes(about, now) })
	}, nil
}

// ChangedSignals reads signals as events.
func (a *Alerts) ChangedSignals(ctx context.Context, after uint64, limit int) ([]alerts.Event, uint64, error) {
	list, last, err := a.db.signalsChanged(ctx, after, limit)
	if err != nil {
		return nil, after, err
	}
	var out []alerts.Event
	for _, s := range list {
		out = append(out, alerts.FromSignal(s))
	}
	return out, last, nil
}

// NewIncidents reads incidents as events, once each; see DB.opened. One whose
// details cannot be read is left out.
func (a *Alerts) NewIncidents(ctx context.Context, after uint64, limit int) ([]alerts.Event, uint64, error) {
	rows, last, err := a.db.opened(ctx, after, limit)
	if err != nil {
		return nil, after, err
	}
	var out []alerts.Event
	for _, r := range rows {
		if i, err := r.Incident(); err == nil {
			out = append(out, alerts.FromIncident(i))
		}
	}
	return out, last, nil
}
