package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kinward/journal/alerts"
)

// TestDigestsAreSentOnce: at its time, with what was told at once, and when all
// was calm; after days without the program, one for all of them.
func TestDigestsAreSentOnce(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.Set(alerts.Rule{About: "anonymous-chat", When: alerts.Never}) })
	b.later(8 * time.Hour)
	b.later(time.Hour)
	b.want(c, "Kinward: your day, Mon 23 Nov: all calm")

	if err := b.db.Alerts().SetPreferences(t.Context(), 1, 0, func() alerts.Preferences {
		p := alerts.DefaultPreferences()
		p.QuietFrom, p.QuietUntil = 0, 0
		p.Set(alerts.Rule{When: alerts.Daily})
		return p
	}(), map[alerts.When]time.Time{alerts.Daily: noon.Add(31 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	b.tried(1, "a")
	b.restart()
	b.later(3 * 24 * time.Hour)
	b.want(c, "Kinward: your day, Mon 23 Nov: all calm", "Kinward: your day, Tue 24 Nov")
	if m := b.box.got[c][1]; !strings.Contains(m.Letter.Text, "1  anonymous-chat") {
		t.Errorf("the digest says\n%s", m.Letter.Text)
	}
	b.later(time.Minute)
	if n := len(b.box.subjects(c)); n != 2 {
		t.Errorf("%d digests, want 2", n)
	}
}

func TestHourlyDigestOnlyWithNews(t *testing.T) {
	b := newBell(t)
	c := b.channel(1, 0, func(p *alerts.Preferences) { p.Set(alerts.Rule{When: alerts.Hourly}) })
	b.later(time.Hour)
	b.want(c)
	b.tried(1, "a")
	b.later(time.Hour)
	b.later(time.Hour)
	b.want(c, "Kinward: your hour, Mon 23 Nov")
}

// TestAlertsAfterAClockThatWasAhead: what was planned by a clock that was ahead comes
// once it is set back, and not when that time is there again.
func TestAlertsAfterAClockThatWasAhead(t *testing.T) {
	const year = 365 * 24 * time.Hour
	b := newBell(t)
	quiet := b.channel(1, 0, func(p *alerts.Preferences) {
		p.PerHour, p.QuietFrom, p.QuietUntil = 1, 11*60, 14*60
		p.Set(alerts.Rule{When: alerts.Daily})
		p.Set(alerts.Rule{About: "anonymous-chat", When: alerts.Immediate})
	})
	b.later(4 * time.Hour) // 16:00
	b.now = b.now.Add(year)
	b.tried(1, "a")
	b.later(time.Minute) // the one of an hour, and so the next is delayed
	b.want(quiet, "Kinward: your day, Mon 23 Nov: all calm", chat)
	b.tried(1, "b")
	b.later(time.Minute)
	b.box.break_(errors.New("away"))
	b.later(time.Hour)
	if b.state(quiet).LastError == "" {
		t.Fatal("nothing was tried and failed")
	}
	b.tried(1, "c")
	b.later(time.Minute)
	b.box.break_(nil)

	b.now = b.now.Add(-year - time.Hour)
	b.later(time.Minute)
	b.later(time.Minute)
	b.want(quiet, "Kinward: your day, Mon 23 Nov: all calm", chat, chat, chat) // what failed, and what waited
	var far int
	if err := b.db.read.QueryRow(`SELECT (SELECT count(*) FROM digests WHERE from_at > $1 OR due_at > $2)
		+ (SELECT count(*) FROM told WHERE message_id = '') + (SELECT count(*) FROM outbox WHERE state = 'waiting')`,
		b.now.UnixMilli(), b.now.Add(25*time.Hour).UnixMilli()).Scan(&far); err != nil || far != 0 {
		t.Errorf("%d wait for a clock that was ahead, %v", far, err)
	}
	before := len(b.box.subjects(quiet))
	b.later(24 * time.Hour)
	if got := b.box.subjects(quiet)[before:]; len(got) != 1 || !strings.Contains(got[0], "your day") {
		t.Errorf("a day later there came %q, want a digest", got)
	}
}

// What waits, of all families, must not be looked at each time for what is due.
func TestWhatIsDueIsFoundByTheIndex(t *testing.T) {
	db := openNew(t)
	for index, query := range map[string]string{
		"told_due": toldColumns + dueTold, "outbox_next": outgoingColumns + dueOutgoing, "digests_due": dueDigests,
	} {
		got := planOf(t, db, query, 1, 2, 10)
		if strings.Contains(got, "SCAN") || strings.Count(got, "USING INDEX "+index) != 2 {
			t.Errorf("plan: %s; want both ends from %s", got, index)
		}
	}
}
