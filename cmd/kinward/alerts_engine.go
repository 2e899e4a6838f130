package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/journal"
	"kinward/journal/alerts"
	"kinward/policy"
	"kinward/store"
)

// vapidName is where the key pair for web push is kept.
const vapidName = "web-push/vapid"

// openAlerts makes what tells guardians.
func (n *node) openAlerts(set *settings, registry prometheus.Registerer) (*alerts.Engine, error) {
	a, agent := n.cfg.Alerts, "Kinward/"+version()
	kept := n.db.Alerts()
	return alerts.New(alerts.Config{
		Store: kept,
		Feeds: map[alerts.Feed]alerts.Reader{
			alerts.Incidents: kept.NewIncidents, alerts.Signals: kept.ChangedSignals, alerts.Requests: kept.NewRequests, alerts.Waits: kept.NewPendings,
		},
		Senders: map[alerts.Kind]alerts.Sender{
			alerts.Email:   alerts.NewMailer(set.smtp),
			alerts.Push:    alerts.NewPusher(n.vapid, a.Push.Contact, a.AllowPrivate),
			alerts.Webhook: alerts.NewWebhooks(a.AllowPrivate, agent, time.Now),
			alerts.Ntfy:    alerts.NewNtfy(a.AllowPrivate, agent, a.Link),
		},
		Home: n.alertHome, Event: kept.Event, Between: n.alertEvents, Muted: kept.Muted, Writes: n.db.Writes,
		Link: a.Link, Logger: n.log, Registerer: registry,
	})
}

// alertEngine is what serve runs, or one for a command alone.
func (n *node) alertEngine() (*alerts.Engine, error) {
	if n.alerts != nil {
		return n.alerts, nil
	}
	set, err := n.cfg.resolve()
	if err != nil {
		return nil, err
	}
	return n.openAlerts(set, nil)
}

// vapid returns the key pair for web push, made at the first call.
func (n *node) vapid(ctx context.Context) (v alerts.VAPID, err error) {
	n.mu.Lock() // two pairs at once would make one subscription worthless
	defer n.mu.Unlock()
	text, err := n.db.Secrets().Get(ctx, vapidName)
	switch {
	case err == nil:
		if json.Unmarshal(text, &v) != nil {
			return v, errors.New("reading the key pair for web push: it is damaged")
		}
		return v, nil
	case !errors.Is(err, store.ErrNotFound):
		return v, err
	}
	if v, err = alerts.NewVAPID(); err != nil {
		return v, err
	}
	if text, err = json.Marshal(v); err != nil {
		return v, err
	}
	return v, n.db.Secrets().Put(ctx, vapidName, text)
}

// alertHome tells what is needed of a family to write to a guardian: in the language
// of whoever looks at it here, else in the one that the guardian's account is kept
// in; English where neither is known.
func (n *node) alertHome(ctx context.Context, id policy.FamilyID, guardian policy.GuardianID) (alerts.Home, error) {
	s, err := n.state(ctx)
	if err != nil {
		return alerts.Home{}, err
	}
	f, _, err := n.db.Family(ctx, id)
	if err != nil {
		return alerts.Home{}, err
	}
	lang := language(ctx)
	if actor(ctx) == nil && guardian != alerts.Household {
		account, err := n.db.Accounts().OfGuardian(ctx, id, guardian)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return alerts.Home{}, err
		}
		lang = account.Language
	}
	h := alerts.Home{Name: f.Name, Zone: zoneOf(f), Lang: lang, Names: n.namesIn(ctx, lang, s.Index, f), Guardians: map[policy.GuardianID]string{}}
	for _, g := range f.Guardians {
		h.Guardians[g.ID] = g.Name
	}
	return h, nil
}

// alertEvents reads what began in a span of time, by one question, and the counts
// of the days (UTC) that ended in it, so that no two spans count one twice.
func (n *node) alertEvents(ctx context.Context, family policy.FamilyID, from, until time.Time) ([]alerts.Event, []journal.Count, bool, error) {
	found, err := n.db.Incidents(ctx, journal.Filter{Family: family, Since: from, Until: until, Limit: journal.MaxLimit})
	if err != nil {
		return nil, nil, false, err
	}
	var events []alerts.Event
	for _, i := range found {
		if !i.First.Before(from) {
			events = append(events, alerts.FromIncident(i))
		}
	}
	noticed, err := n.db.Signals(ctx, journal.SignalFilter{Family: family, Since: from, Limit: journal.MaxLimit})
	if err != nil {
		return nil, nil, false, err
	}
	for _, s := range noticed {
		if s.At.Before(until) {
			events = append(events, alerts.FromSignal(s))
		}
	}
	const day = 24 * time.Hour
	first, end := from.UTC().Truncate(day), until.UTC().Truncate(day)
	if !first.Before(end) {
		return events, nil, len(found) >= journal.MaxLimit, nil
	}
	counts, err := n.db.Counts(ctx, journal.Filter{Family: family, Since: first, Until: end, Limit: journal.MaxLimit})
	return events, counts, len(found) >= journal.MaxLimit, err
}

// alertsStatus is what doctor says of channels.
type alertsStatus struct {
	Channels int `json:"channels"`
	Failing  int `json:"failing"`
	Waiting  int `json:"waiting"`
}

func (n *node) alertsStatus(ctx context.Context) (s alertsStatus, err error) {
	if s.Channels, s.Failing, err = n.db.Alerts().Ailing(ctx); err != nil {
		return s, err
	}
	s.Waiting, err = n.db.Alerts().Backlog(ctx)
	return s, err
}

// waits counts the messages on their way in words.
func (s alertsStatus) waits() string {
	if s.Waiting == 1 {
		return "1 message waits"
	}
	return fmt.Sprintf("%d messages wait", s.Waiting)
}

func (e *examination) alerts(s alertsStatus) {
	switch {
	case s.Failing > 0:
		e.fault("alerts", "see which, and what the other side said, with: {kinward} alerts", "%d of %d channels to guardians failed at their last try; %s", s.Failing, s.Channels, s.waits())
	case s.Channels == 0:
		e.note("alerts", "if somebody is to be told, see: {kinward} alerts add --help", "no guardian gets messages")
	default:
		e.ok("alerts", "%s to guardians; %s", plural(s.Channels, "channel"), s.waits())
	}
}
