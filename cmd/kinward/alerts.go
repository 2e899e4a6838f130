package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kinward/console"
	"kinward/journal/alerts"
	"kinward/policy"
)

// channelView is a channel as it may be shown.
type channelView struct {
	ID         alerts.ChannelID `json:"id"`
	Guardian   string           `json:"guardian"`
	Kind       alerts.Kind      `json:"kind"`
	To         string           `json:"to"` // an address, or the host that messages go to
	Only       string           `json:"only,omitempty"`
	Brief      bool             `json:"brief"`
	Priority   int              `json:"priority,omitempty"`
	State      string           `json:"state"` // new, ok, failing or gone
	Made       time.Time        `json:"made"`
	LastSent   *time.Time       `json:"last_sent,omitempty"`
	LastFailed *time.Time       `json:"last_failed,omitempty"`
	LastError  string           `json:"last_error,omitempty"`
	Problem    string           `json:"problem,omitempty"` // why nothing can be sent at all
}

// preferencesView is how a guardian hears of things.
type preferencesView struct {
	Guardian     string         `json:"guardian"`
	Rules        []ruleOfAlerts `json:"rules"`
	Quiet        string         `json:"quiet,omitempty"` // "22:00-07:00"
	UrgentPasses bool           `json:"urgent_passes"`
	DigestAt     string         `json:"digest_at"`
	DigestDay    string         `json:"digest_day"`
	PerHour      int            `json:"per_hour"`
}

type ruleOfAlerts struct {
	Profile string      `json:"profile,omitempty"`
	About   string      `json:"about,omitempty"`
	When    alerts.When `json:"when"`
}

type messageView struct {
	Channel alerts.ChannelID `json:"channel"`
	What    string           `json:"what"`
	Made    time.Time        `json:"made"`
	State   alerts.State     `json:"state"`
	Tries   int              `json:"tries"`
	Next    *time.Time       `json:"next,omitempty"`
	Error   string           `json:"error,omitempty"`
}

type alertsReply struct {
	Family      string            `json:"family"`
	Zone        string            `json:"zone"`
	Channels    []channelView     `json:"channels"`
	Preferences []preferencesView `json:"preferences"`
	Messages    []messageView     `json:"messages"` // that wait or were given up
	// PushKey is what browsers subscribe with; "" where the operator set no contact.
	PushKey string `json:"push_key,omitempty"`
	Mail    bool   `json:"mail"` // the operator set a mail server
}

var (
	opAlerts      = operation[about, alertsReply]{"alerts", alertsShow}
	opAlertAdd    = operation[alertAddRequest, alertAddReply]{"alerts-add", alertAdd}
	opAlertSet    = operation[alertSetRequest, done]{"alerts-set", alertSet}
	opAlertRemove = operation[alertRequest, done]{"alerts-remove", alertRemove}
	opAlertTest   = operation[alertRequest, alertTestReply]{"alerts-test", alertTest}
)

// alertRequest names a channel; 0 is all of the family's.
type alertRequest struct {
	about
	Channel alerts.ChannelID `json:"channel"`
}

// household is what the guardian is called of a family that names none.
const household = "the household"

func guardianName(f *policy.Family, id policy.GuardianID) string {
	for _, g := range f.Guardians {
		if g.ID == id {
			return g.Name
		}
	}
	return household
}

// findGuardian finds who gets messages: "" is the only one, or the household
// where nobody is named.
func findGuardian(f *policy.Family, name string) (policy.GuardianID, error) {
	g, err := f.Guardian(name)
	switch {
	case err == nil:
		return g.ID, nil
	case name == household, name == "" && len(f.Guardians) == 0:
		return alerts.Household, nil
	case name == "" && len(f.Guardians) == 1:
		return f.Guardians[0].ID, nil
	case name == "":
		return 0, usageError(fmt.Errorf("say whose with --guardian; there are: %s", strings.Join(guardianNames(f, policy.Viewer), ", ")))
	case len(f.Guardians) == 0:
		return 0, &codedError{exitNothing, errors.New("no guardian is named yet; leave --guardian out, or add one with: {kinward} guardians add")}
	}
	return 0, coded(err)
}

// recipient finds who gets messages; where a guardian acts it is them, whomever the
// request names.
func recipient(ctx context.Context, f *policy.Family, name string) (policy.GuardianID, error) {
	if g := guardian(ctx); g != nil {
		return g.Guardian, nil
	}
	return findGuardian(f, name)
}

// mayTouch reports whether whoever acts may see and change how somebody gets
// messages: one's own, who decides the household's, and an owner all.
func mayTouch(ctx context.Context, whose policy.GuardianID) bool {
	g := guardian(ctx)
	return g == nil || whose == g.Guardian || g.Role >= policy.Owner || whose == alerts.Household && g.Role >= policy.Carer
}

func alertsShow(ctx context.Context, n *node, who about, _ progress) (alertsReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return alertsReply{}, err
	}
	zone := zoneOf(f)
	r := alertsReply{Family: f.Name, Zone: zone.String(), Channels: []channelView{}, Preferences: []preferencesView{}, Messages: []messageView{}}
	channels, err := n.db.Alerts().Channels(ctx, f.ID)
	if err != nil {
		return r, err
	}
	channels = slices.DeleteFunc(channels, func(c alerts.Channel) bool { return !mayTouch(ctx, c.Guardian) })
	preferences, err := n.db.Alerts().Preferences(ctx, f.ID)
	if err != nil {
		return r, err
	}
	var whose []policy.GuardianID
	for _, c := range channels {
		r.Channels = append(r.Channels, n.viewChannel(f, c, zone))
		if !slices.Contains(whose, c.Guardian) {
			whose = append(whose, c.Guardian)
		}
	}
	if g := guardian(ctx); g != nil && !slices.Contains(whose, g.Guardian) {
		whose = append(whose, g.Guardian) // their defaults, where they chose nothing
	}
	for g := range preferences {
		if mayTouch(ctx, g) && !slices.Contains(whose, g) {
			whose = append(whose, g)
		}
	}
	slices.Sort(whose)
	for _, g := range whose {
		p, ok := preferences[g]
		if !ok {
			p = alerts.DefaultPreferences()
		}
		r.Preferences = append(r.Preferences, viewPreferences(f, g, p))
	}
	messages, err := n.db.Alerts().Messages(ctx, f.ID, 100)
	if err != nil {
		return r, err
	}
	for _, m := range messages {
		mine := slices.ContainsFunc(channels, func(c alerts.Channel) bool { return c.ID == m.Channel })
		if mine && (m.State == alerts.Waiting || m.State == alerts.Expired) {
			r.Messages = append(r.Messages, viewMessage(m, zone))
		}
	}
	r.Mail = n.cfg.Alerts.SMTP.Host != ""
	if n.cfg.Alerts.Push.Contact != "" {
		keys, err := n.vapid(ctx)
		if err != nil {
			return r, err
		}
		r.PushKey = keys.Public
	}
	return r, nil
}

func (n *node) viewChannel(f *policy.Family, c alerts.Channel, zone *time.Location) channelView {
	v := channelView{
		ID: c.ID, Guardian: guardianName(f, c.Guardian), Kind: c.Kind, To: c.Settings.To, Only: c.Settings.Only, Brief: c.Settings.Brief,
		Priority: c.Settings.Priority, State: "ok", Made: c.Made.In(zone), LastSent: untilIn(c.LastSent, zone), LastFailed: untilIn(c.LastFailed, zone), LastError: c.LastError,
	}
	switch {
	case c.Gone:
		v.State = "gone"
	case c.LastError != "":
		v.State = "failing"
	case c.LastSent.IsZero():
		v.State = "new"
	}
	switch {
	case c.Kind == alerts.Email && n.cfg.Alerts.SMTP.Host == "":
		v.Problem = "the operator has to give a mail server: alerts: smtp in the configuration"
	case c.Kind == alerts.Push && n.cfg.Alerts.Push.Contact == "":
		v.Problem = "the operator has to give a contact: alerts: push in the configuration"
	case needsItsSecret(c):
		v.Problem = "its secret is in no backup; remove it and add it again"
	}
	return v
}

// needsItsSecret reports whether a channel lacks the secret that it sends with.
func needsItsSecret(c alerts.Channel) bool {
	return c.Kind != alerts.Email && c.Secret == (alerts.Secret{})
}

func viewPreferences(f *policy.Family, g policy.GuardianID, p alerts.Preferences) preferencesView {
	v := preferencesView{
		Guardian: guardianName(f, g), Rules: []ruleOfAlerts{}, UrgentPasses: p.UrgentPasses,
		DigestAt: p.DigestAt.String(), DigestDay: p.DigestDay.String(), PerHour: p.PerHour,
	}
	if p.QuietFrom != p.QuietUntil {
		v.Quiet = p.QuietFrom.String() + "-" + p.QuietUntil.String()
	}
	names := profileNames(f)
	for _, r := range p.Rules {
		if r.Profile != 0 && names[r.Profile] == "" {
			continue // of a profile that was removed
		}
		v.Rules = append(v.Rules, ruleOfAlerts{names[r.Profile], r.About, r.When})
	}
	return v
}

func viewMessage(m alerts.Outgoing, zone *time.Location) messageView {
	v := messageView{Channel: m.Channel, What: "alert", Made: m.Made.In(zone), State: m.State, Tries: m.Tries, Error: m.Error}
	if m.Period != alerts.Immediate {
		v.What = string(m.Period) + " digest"
	}
	if m.State == alerts.Waiting {
		v.Next = untilIn(m.Next, zone)
	}
	return v
}

func printAlerts(w io.Writer, r alertsReply) {
	if len(r.Channels) == 0 {
		fmt.Fprintln(w, "Nobody gets messages yet. Add a way with: {kinward} alerts add email ADDRESS (or webhook, ntfy, push)")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Channels {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", c.ID, c.Kind, c.To, c.Guardian, channelText(c))
	}
	t.Flush()
	for _, p := range r.Preferences {
		fmt.Fprintf(w, "\n%s\n", sentenceCase(preferencesText(p)))
		for _, rule := range p.Rules {
			fmt.Fprintf(w, "  %s\n", ruleText(rule))
		}
	}
	for i, m := range r.Messages {
		if i == 0 {
			fmt.Fprintln(w, "\nNot delivered:")
		}
		next := "given up"
		if m.Next != nil {
			next = "tried again " + m.Next.Format("Mon 15:04:05")
		}
		fmt.Fprintf(w, "  %s of %s to channel %d, %d tries, %s: %s\n", m.What, m.Made.Format("Mon 2 Jan 15:04"), m.Channel, m.Tries, next, m.Error)
	}
	if len(r.Channels) > 0 {
		fmt.Fprintf(w, "\nTimes are of %s. To try a channel out: {kinward} alerts test\n", r.Zone)
	}
}

func channelText(c channelView) string {
	var parts []string
	switch {
	case c.Problem != "":
		parts = append(parts, "CANNOT SEND: "+c.Problem)
	case c.State == "gone":
		parts = append(parts, "GONE: "+c.LastError)
	case c.State == "failing":
		parts = append(parts, "FAILED "+c.LastFailed.Format("Mon 2 Jan 15:04")+": "+c.LastError)
	}
	if c.LastSent != nil {
		parts = append(parts, "last delivered "+c.LastSent.Format("Mon 2 Jan 15:04"))
	} else if len(parts) == 0 {
		parts = append(parts, "nothing sent yet")
	}
	if c.Only != "" {
		parts = append(parts, c.Only+" only")
	}
	if c.Brief {
		parts = append(parts, "brief")
	}
	return strings.Join(parts, "; ")
}

func preferencesText(p preferencesView) string {
	quiet := "no quiet hours"
	if p.Quiet != "" {
		quiet = "quiet " + p.Quiet
		if p.UrgentPasses {
			quiet += ", urgent things pass"
		}
	}
	return fmt.Sprintf("%s: %s; digests at %s (weekly on %s); at most %d alerts an hour. Unless chosen otherwise, urgent things and signals at once, the rest daily", p.Guardian, quiet, p.DigestAt, p.DigestDay, p.PerHour)
}

func ruleText(r ruleOfAlerts) string {
	what := "everything"
	if r.About != "" {
		what = r.About
	}
	if r.Profile != "" {
		what += " of " + r.Profile
	}
	return what + ": " + string(r.When)
}

func alertRemove(ctx context.Context, n *node, req alertRequest, _ progress) (done, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return done{}, err
	}
	channels, err := n.db.Alerts().Channels(ctx, f.ID)
	if err != nil {
		return done{}, err
	}
	if slices.ContainsFunc(channels, func(c alerts.Channel) bool { return c.ID == req.Channel && !mayTouch(ctx, c.Guardian) }) {
		return done{}, errForbidden
	}
	if err := n.db.Alerts().RemoveChannel(ctx, f.ID, req.Channel); err != nil {
		return done{}, coded(err)
	}
	return done{fmt.Sprintf("Channel %d gets no more messages, and what it was sent with is forgotten.", req.Channel)}, nil
}

// channelTest is how a test of one channel went.
type channelTest struct {
	ID    alerts.ChannelID `json:"id"`
	Kind  alerts.Kind      `json:"kind"`
	To    string           `json:"to"`
	OK    bool             `json:"ok"`
	Said  string           `json:"said,omitempty"` // by the other side
	Error string           `json:"error,omitempty"`
	Took  string           `json:"took"`
}

type alertTestReply struct {
	Tests []channelTest `json:"tests"`
}

// tester is who sends tests: a test goes to whatever address they give.
type tester struct {
	family   policy.FamilyID
	guardian policy.GuardianID
}

// maxTests is how many a guardian sends in a window; all of their channels at once are
// let through, too.
const maxTests = 10

func alertTest(ctx context.Context, n *node, req alertRequest, p progress) (r alertTestReply, err error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	engine, err := n.alertEngine()
	if err != nil {
		return r, err
	}
	channels, err := n.db.Alerts().Channels(ctx, f.ID)
	if err != nil {
		return r, err
	}
	channels = slices.DeleteFunc(channels, func(c alerts.Channel) bool {
		return req.Channel != 0 && c.ID != req.Channel || !mayTouch(ctx, c.Guardian)
	})
	if g := guardian(ctx); g != nil && !n.tests.take(tester{g.Family, g.Guardian}, len(channels), maxTests, time.Now()) {
		return r, &console.Refusal{Kind: console.TooMany, Text: "You sent many tests just now. Wait some minutes, then send another."}
	}
	r.Tests = []channelTest{}
	byItself := context.WithValue(ctx, actingKey{}, (*acting)(nil)) // in the language that messages will have, whatever the page's is
	for _, c := range channels {
		if p != nil {
			p(fmt.Sprintf("sending to channel %d …", c.ID))
		}
		began := time.Now()
		said, err := engine.Test(byItself, c)
		one := channelTest{ID: c.ID, Kind: c.Kind, To: c.Settings.To, OK: err == nil, Said: said, Took: time.Since(began).Round(time.Millisecond).String()}
		if err != nil {
			one.Error = err.Error()
		}
		if err := n.db.Alerts().Tried(ctx, c, time.Now(), one.Error, errors.Is(err, alerts.ErrGone)); err != nil {
			return r, err
		}
		r.Tests = append(r.Tests, one)
	}
	if len(r.Tests) == 0 {
		return r, &codedError{exitNothing, errors.New("there is no such channel; see: {kinward} alerts")}
	}
	return r, nil
}

func printAlertTest(w io.Writer, r alertTestReply) {
	for _, t := range r.Tests {
		if t.OK {
			fmt.Fprintf(w, "%d %s to %s: delivered in %s; the server said: %s\n", t.ID, t.Kind, t.To, t.Took, t.Said)
			continue
		}
		fmt.Fprintf(w, "%d %s to %s: NOT delivered: %s\n", t.ID, t.Kind, t.To, t.Error)
	}
}
