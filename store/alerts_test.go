package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinward/journal"
	"kinward/journal/alerts"
	"kinward/policy"
)

// mailbox is a sender that keeps what it is given, by channel.
type mailbox struct {
	mu   sync.Mutex
	fail error
	got  map[alerts.ChannelID][]alerts.Message
}

func (m *mailbox) Send(_ context.Context, c alerts.Channel, message alerts.Message) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return "", m.fail
	}
	m.got[c.ID] = append(m.got[c.ID], message)
	return "ok", nil
}

func (m *mailbox) break_(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// subjects returns what a channel got, in order.
func (m *mailbox) subjects(c alerts.ChannelID) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, g := range m.got[c] {
		out = append(out, g.Letter.Subject)
	}
	return out
}

// bell is a database with an engine, on a clock of its own.
type bell struct {
	t      *testing.T
	db     *DB
	box    *mailbox
	now    time.Time
	clock  func() time.Time // nil: now
	looks  atomic.Int64     // at incidents
	engine *alerts.Engine
	muted  func(alerts.Event) bool // nil: nothing
}

func newBell(t *testing.T) *bell {
	b := &bell{t: t, box: &mailbox{got: map[alerts.ChannelID][]alerts.Message{}}, now: noon}
	b.db = openAt(t, filepath.Join(t.TempDir(), FileName), Options{Now: func() time.Time { return b.now }, Zone: "UTC"})
	b.restart()
	return b
}

// restart is what a process that was killed leaves: the database alone.
func (b *bell) restart() {
	b.t.Helper()
	kept := b.db.Alerts()
	var err error
	b.engine, err = alerts.New(alerts.Config{
		Store: kept, Writes: b.db.Writes,
		Feeds: map[alerts.Feed]alerts.Reader{
			alerts.Incidents: func(ctx context.Context, after uint64, limit int) ([]alerts.Event, uint64, error) {
				b.looks.Add(1)
				return kept.NewIncidents(ctx, after, limit)
			},
			alerts.Signals: kept.ChangedSignals,
		},
		Senders: map[alerts.Kind]alerts.Sender{alerts.Email: b.box},
		Home: func(ctx context.Context, id policy.FamilyID, _ policy.GuardianID) (alerts.Home, error) {
			f, _, err := b.db.Family(ctx, id)
			if err != nil {
				return alerts.Home{}, err
			}
			return alerts.Home{Name: f.Name, Zone: time.UTC, Names: journal.Names{Profile: func(policy.ProfileID) string { return "of " + f.Name }}}, nil
		},
		Event: kept.Event,
		Between: func(ctx context.Context, family policy.FamilyID, from, until time.Time) (out []alerts.Event, _ []journal.Count, _ bool, err error) {
			found, err := b.db.Incidents(ctx, journal.Filter{Family: family, Since: from, Until: until})
			for _, i := range found {
				out = append(out, alerts.FromIncident(i))
			}
			return out, nil, false, err
		},
		Muted: func(context.Context, policy.FamilyID, policy.GuardianID) (func(alerts.Event) bool, error) {
			return func(e alerts.Event) bool { return b.muted != nil && b.muted(e) }, nil
		},
		Now: func() time.Time {
			if b.clock != nil {
				return b.clock()
			}
			return b.now
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// later lets time pass and does what is due then.
func (b *bell) later(d time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(d)
	b.round()
}

func (b *bell) round() {
	b.t.Helper()
	for range 2 { // an alert waits a moment for what belongs to it
		if err := b.engine.Round(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		b.engine.Settle()
		b.now = b.now.Add(time.Second)
	}
}

// channel adds one for a guardian who wants no quiet hours, unless change says so.
func (b *bell) channel(family policy.FamilyID, g policy.GuardianID, change func(*alerts.Preferences)) alerts.ChannelID {
	b.t.Helper()
	c, err := alerts.NewEmail("eva@example.org")
	if err != nil {
		b.t.Fatal(err)
	}
	c.Family, c.Guardian, c.Made = family, g, b.now
	p := alerts.DefaultPreferences()
	p.QuietFrom, p.QuietUntil = 0, 0
	if change != nil {
		change(&p)
	}
	plan := alerts.Plan(p, b.now, time.UTC)
	if err := b.db.Alerts().SetPreferences(b.t.Context(), family, g, p, plan); err != nil {
		b.t.Fatal(err)
	}
	id, err := b.db.Alerts().AddChannel(b.t.Context(), c, plan)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// tried writes an incident of a family that begins now, or a later hit of it.
func (b *bell) tried(family policy.FamilyID, id string) {
	b.t.Helper()
	write(b.t, b.db, journal.Batch{Rows: []journal.Row{row(id, b.now, func(r *journal.Row, d map[string]any) {
		r.Family, r.Key, d["category"] = family, "", "anonymous-chat"
	})}})
}

func (b *bell) state(id alerts.ChannelID) alerts.Channel {
	b.t.Helper()
	all, err := readChannels(b.t.Context(), b.db.read, `WHERE channel_id = $1`, int64(id))
	if err != nil || len(all) != 1 {
		b.t.Fatalf("channel %d: %v, %v", id, all, err)
	}
	return all[0]
}

func (b *bell) want(c alerts.ChannelID, want ...string) {
	b.t.Helper()
	if got := b.box.subjects(c); !slices.Equal(got, want) {
		b.t.Errorf("channel %d got %q, want %q", c, got, want)
	}
}

const chat = `Kinward: profile of Home, "anonymous-chat"`

// TestAlertsTellOnce: an incident that grows is told once, whenever the process is
// killed: before it was read, before it was sent, and after.
func TestAlertsTellOnce(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, nil)
	b.tried(1, "a")
	b.restart()
	b.round()
	b.want(c, chat)
	b.tried(1, "a")
	b.restart()
	b.later(time.Minute)
	b.want(c, chat)

	b.box.break_(errors.New("away"))
	b.tried(1, "b")
	b.round() // it is in the outbox
	b.restart()
	b.tried(1, "b")
	b.box.break_(nil)
	b.later(time.Minute)
	b.want(c, chat, chat)

	// One that still grows when what was told is forgotten is not told anew.
	b.later(alertsKept)
	b.tried(1, "c")
	old := b.now
	for range 5 {
		b.now = b.now.Add(24 * time.Hour)
		if _, err := b.db.write.Exec(`UPDATE incidents SET opened_no = (SELECT max(opened_no) + 1 FROM incidents), first_at = $1 WHERE incident_id = 'c'`, old.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		b.round()
	}
	n := 0
	for _, s := range b.box.subjects(c) {
		if s == chat {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d alerts, want 3", n)
	}
}

// TestAlertsRestWhileNothingIsWritten: the feeds are read when something was written or
// falls due, and not each second.
func TestAlertsRestWhileNothingIsWritten(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, nil)
	begun := time.Now()
	b.clock = func() time.Time { return noon.Add(time.Since(begun)) }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.engine.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); running.Wait() }()
	eventually := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not seen: %s", what)
			}
		}
	}
	rests := func() {
		t.Helper()
		eventually("a rest", func() bool {
			before := b.looks.Load()
			time.Sleep(2500 * time.Millisecond)
			return b.looks.Load() == before
		})
	}
	rests()
	b.tried(1, "a")
	eventually("an alert, which waits a moment after it was read", func() bool { return len(b.box.subjects(c)) == 1 })
	b.want(c, chat)
	rests()

	// What falls due is seen without that anything is written.
	b.box.break_(errors.New("away"))
	b.tried(1, "b")
	eventually("a try that fails", func() bool { return b.state(c).LastError != "" })
	b.box.break_(nil)
	eventually("the next try", func() bool { return len(b.box.subjects(c)) == 2 })
}

// alertsKept is longer than it is known what was told.
const alertsKept = 5 * 24 * time.Hour

// TestAlertsCursorAndOutboxTogether: where a part of what is to be told cannot be
// kept, the position stays, and all of it comes again.
func TestAlertsCursorAndOutboxTogether(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, nil)
	if _, err := b.db.write.Exec(`CREATE TRIGGER no BEFORE INSERT ON told WHEN NEW.event_id = 'b' BEGIN SELECT RAISE(ABORT, 'full'); END`); err != nil {
		t.Fatal(err)
	}
	b.tried(1, "a")
	b.tried(1, "b")
	if err := b.engine.Round(t.Context()); err == nil {
		t.Fatal("no error")
	}
	b.engine.Settle()
	if at, err := b.db.Alerts().Position(t.Context(), alerts.Incidents); err != nil || at != 0 {
		t.Errorf("position %d, %v; want 0", at, err)
	}
	b.want(c)
	if _, err := b.db.write.Exec(`DROP TRIGGER no`); err != nil {
		t.Fatal(err)
	}
	b.round()
	b.want(c, "Kinward: profile of Home, 2 things to know")
}

// TestAlertsAreBundled: above what a guardian wants in an hour, the others wait
// and come in one.
func TestAlertsAreBundled(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.PerHour = 2 })
	for i := range 9 {
		b.tried(1, fmt.Sprint(i))
		b.later(time.Minute)
	}
	b.want(c, chat, chat)
	b.later(time.Hour)
	b.want(c, chat, chat, "Kinward: profile of Home, 7 things to know")
	if text := b.box.got[c][2].Letter.Text; !strings.Contains(text, "And 2 more.") {
		t.Errorf("the bundle says\n%s", text)
	}
}

func TestAlertsKeepQuietHours(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.QuietFrom, p.QuietUntil = 11*60, 14*60 })
	b.tried(1, "a")
	b.later(time.Minute)
	b.tried(1, "b")
	b.later(time.Minute)
	b.want(c)
	b.restart()
	b.later(2 * time.Hour)
	b.want(c, "Kinward: profile of Home, 2 things to know")
}

// TestAlertsStayInTheFamily: nobody hears of another family's incidents, whatever
// their IDs.
func TestAlertsStayInTheFamily(t *testing.T) {
	b := newBell(t)
	other := addFamily(t, b.db, "Other")
	mine, theirs := b.channel(1, 0, nil), b.channel(other, 0, nil)
	b.tried(1, "same")
	b.tried(other, "same")
	b.tried(1, "mine")
	b.later(time.Minute)
	b.later(8 * time.Hour) // past the digests of the day
	for _, id := range []alerts.ChannelID{mine, theirs} {
		for _, m := range b.box.got[id] {
			if wrong := map[alerts.ChannelID]string{mine: "Other", theirs: "Home"}[id]; strings.Contains(m.Letter.Subject+m.Letter.Text+fmt.Sprint(m.Letter.Fields), wrong) {
				t.Errorf("channel %d was told of %s:\n%s", id, wrong, m.Letter.Text)
			}
		}
	}
	b.want(theirs, `Kinward: profile of Other, "anonymous-chat"`, "Kinward: your day, Mon 23 Nov")
	for what, err := range map[string]error{
		"channels":    second(b.db.Alerts().Channels(t.Context(), 0)),
		"preferences": second(b.db.Alerts().Preferences(t.Context(), 0)),
		"messages":    second(b.db.Alerts().Messages(t.Context(), 0, 1)),
		"an incident": second(b.db.Alerts().incidentEvent(t.Context(), 0, "same")),
	} {
		if !errors.Is(err, errNoFamily) {
			t.Errorf("reading %s of no family: %v", what, err)
		}
	}
	if err := b.db.Alerts().RemoveChannel(t.Context(), 1, theirs); !errors.Is(err, ErrNotFound) {
		t.Errorf("one family removes the other's channel: %v", err)
	}
	if err := b.db.RemoveFamily(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if left, err := b.db.Secrets().List(t.Context(), "alerts"); err != nil || len(left) != 1 {
		t.Errorf("secrets that are left: %v, %v", left, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestAlertsForgetWithTheirGuardian: who is a guardian no longer is told nothing
// more, also not what waits.
func TestAlertsForgetWithTheirGuardian(t *testing.T) {
	b := newBell(t)
	var eva, karl policy.GuardianID
	if _, err := b.db.Change(t.Context(), Edit{Family: 1}, func(f *policy.Family) (string, error) {
		eva, _, _ = f.AddGuardian("Eva", policy.Owner)
		var err error
		karl, _, err = f.AddGuardian("Karl", policy.Viewer)
		return "named guardians", err
	}); err != nil {
		t.Fatal(err)
	}
	hers, his := b.channel(1, eva, nil), b.channel(1, karl, nil)
	b.box.break_(errors.New("away"))
	b.tried(1, "a")
	b.round()
	if _, err := b.db.Change(t.Context(), Edit{Family: 1}, func(f *policy.Family) (string, error) { return f.RemoveGuardian("Karl") }); err != nil {
		t.Fatal(err)
	}
	b.box.break_(nil)
	b.later(time.Hour)
	b.want(hers, chat)
	b.want(his)
	for _, table := range []string{"channels", "preferences", "digests", "told", "outbox"} {
		column, who := "channel_id", int64(his)
		if table == "preferences" {
			column, who = "guardian_id", int64(karl)
		}
		var n int
		if err := b.db.read.QueryRow(`SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, who).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows are left (%v)", table, n, err)
		}
	}
	if left, err := b.db.Secrets().List(t.Context(), "alerts"); err != nil || len(left) != 1 {
		t.Errorf("secrets that are left: %v, %v", left, err)
	}
}

// TestAlertsGiveUp: what cannot be delivered for three days is given up, for all
// to see.
func TestAlertsGiveUp(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.Set(alerts.Rule{When: alerts.Immediate}) })
	b.box.break_(errors.New("the mail server is away"))
	b.tried(1, "a")
	b.round()
	tries := 1
	for range 80 {
		b.later(time.Hour)
		tries++
	}
	messages, err := b.db.Alerts().Messages(t.Context(), 1, 10)
	if err != nil || len(messages) != 1 || messages[0].State != alerts.Expired || !strings.Contains(messages[0].Error, "away") {
		t.Fatalf("the outbox holds %+v (%v)", messages, err)
	}
	if n := messages[0].Tries; n < 70 || n > tries {
		t.Errorf("%d tries in three days", n)
	}
	if s := b.state(c); !strings.Contains(s.LastError, "away") || s.LastFailed.IsZero() || !s.LastSent.IsZero() {
		t.Errorf("the channel shows %+v", s)
	}
	all, failing, err := b.db.Alerts().Ailing(t.Context())
	if err != nil || all != 1 || failing != 1 {
		t.Errorf("%d channels, %d fail (%v)", all, failing, err)
	}
	b.box.break_(nil)
	b.later(time.Hour)
	b.want(c) // it is too late for that one
	b.tried(1, "b")
	b.later(time.Minute)
	b.want(c, chat)
	if s := b.state(c); s.LastError != "" {
		t.Errorf("the channel still shows %q", s.LastError)
	}
}

func TestAlertsStopWhereTheBrowserDid(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, nil)
	b.box.break_(fmt.Errorf("410: %w", alerts.ErrGone))
	b.tried(1, "a")
	b.round()
	b.box.break_(nil)
	b.tried(1, "b")
	b.later(time.Hour)
	b.want(c)
	if !b.state(c).Gone {
		t.Error("the channel goes on")
	}
}

// TestAlertsDoNotTellWhatWasErasedOrMuted: what a message says is read when it is
// sent.
func TestAlertsDoNotTellWhatWasErasedOrMuted(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.QuietFrom, p.QuietUntil = 11*60, 14*60 })
	for _, id := range []string{"a", "b", "c"} {
		b.tried(1, id)
	}
	b.round()
	if _, err := b.db.write.Exec(`DELETE FROM incidents WHERE incident_id = 'a'`); err != nil {
		t.Fatal(err)
	}
	b.muted = func(e alerts.Event) bool { return e.ID == "b" }
	b.later(3 * time.Hour)
	b.want(c, chat)
	b.muted = func(alerts.Event) bool { return true }
	b.tried(1, "d")
	b.later(time.Hour)
	b.want(c, chat)
}

func TestMutedIsOfTheGuardianAndTheService(t *testing.T) {
	b := newBell(t)
	other := addFamily(t, b.db, "Other")
	for _, m := range []journal.Mute{
		{Family: 1, Reader: journal.Reader{Guardian: 7}, Profile: 1, At: noon, Service: "ometv"},
		{Family: 1, Reader: journal.Reader{Guardian: 7}, Profile: 1, At: noon, Service: "tinder", Until: noon.Add(-time.Hour)},
		{Family: 1, Profile: 1, At: noon, Domain: "own.example"},
	} {
		if _, err := b.db.AddMute(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	event := func(family policy.FamilyID, profile policy.ProfileID, service, domain string) alerts.Event {
		return alerts.FromIncident(journal.Incident{Family: family, Profile: profile, Service: service, Domain: domain})
	}
	signal := alerts.FromSignal(journal.Signal{Family: 1, Profile: 1, Kind: policy.SignalFirstTime, Service: "ometv"})
	for _, tt := range []struct {
		name     string
		guardian policy.GuardianID
		e        alerts.Event
		want     bool
	}{
		{"the service", 7, event(1, 1, "ometv", "ome.example"), true},
		{"a signal of the service", 7, signal, true},
		{"of another guardian", 8, event(1, 1, "ometv", "ome.example"), false},
		{"of another profile", 7, event(1, 2, "ometv", "ome.example"), false},
		{"of another family", 7, event(other, 1, "ometv", "ome.example"), false},
		{"that is over", 7, event(1, 1, "tinder", "tinder.example"), false},
		{"by the household, for all", 8, event(1, 1, "", "own.example"), true},
		{"a signal about nothing", 7, alerts.FromSignal(journal.Signal{Family: 1, Profile: 1, Kind: policy.SignalSilent}), false},
	} {
		muted, err := b.db.Alerts().Muted(t.Context(), tt.e.Family, tt.guardian)
		if err != nil {
			t.Fatal(err)
		}
		if got := muted(tt.e); got != tt.want {
			t.Errorf("%s: muted %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestChannelSecretsAreApart: neither the table nor a backup holds them.
func TestChannelSecretsAreApart(t *testing.T) {
	b := newBell(t)
	c, key, err := alerts.NewWebhook("https://hooks.example.org/verysecret", false)
	if err != nil {
		t.Fatal(err)
	}
	c.Family, c.Made = 1, b.now
	id, err := b.db.Alerts().AddChannel(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.db.Alerts().Channels(t.Context(), 1)
	if err != nil || len(all) != 1 || all[0].Secret != c.Secret {
		t.Errorf("the channel is kept as %+v (%v)", all, err)
	}
	var row string
	if err := b.db.read.QueryRow(`SELECT settings || error || kind FROM channels WHERE channel_id = $1`, int64(id)).Scan(&row); err != nil || strings.Contains(row, "verysecret") || strings.Contains(row, key) {
		t.Errorf("the row holds %s (%v)", row, err)
	}
}
