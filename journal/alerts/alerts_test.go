package alerts

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

var berlin = mustZone("Europe/Berlin")

func mustZone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

// evening is a Monday, 21:30 in Berlin.
var evening = time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)

func at(clock string, zone *time.Location) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", clock, zone)
	if err != nil {
		panic(err)
	}
	return t
}

var millers = Home{
	Name: "Miller", Zone: berlin, Guardians: map[policy.GuardianID]string{1: "Eva"},
	Names: journal.Names{
		Profile: func(id policy.ProfileID) string { return map[policy.ProfileID]string{1: "Everyone", 2: "Lea"}[id] },
		Device:  func(id policy.DeviceID) string { return map[policy.DeviceID]string{1: "Tablet", 2: "Lea's phone"}[id] },
		Service: func(id string) string { return map[string]string{"ometv": "OmeTV", "tinder": "Tinder"}[id] },
		Category: func(id string) string {
			return map[string]string{"anonymous-chat": "Chat with strangers", "dating": "Dating & hook-ups", "social": "Social media", "adult": "Pornography & explicit material"}[id]
		},
	},
}

// incident makes an event of Lea's phone.
func incident(id string, first time.Time, category, service, domain string) Event {
	return FromIncident(journal.Incident{
		ID: id, Family: 1, Profile: 2, Device: 2, First: first.UTC(), Last: first.Add(14 * time.Minute).UTC(), Verdict: "block", Reason: "category",
		Service: service, Category: category, Domain: domain, TopName: "www." + domain, Entry: domain, Tries: 4, Queries: 9,
	})
}

func TestWhenByTheNarrowestRule(t *testing.T) {
	p := DefaultPreferences()
	for _, r := range []Rule{
		{When: Weekly},
		{Profile: 2, When: Hourly},
		{About: "social", When: Never},
		{Profile: 2, About: "social", When: Immediate},
		{About: AllSignals, When: Daily},
		{About: "night", When: Never},
		{About: "known-risk", When: Daily},
	} {
		p.Set(r)
	}
	for _, tt := range []struct {
		name string
		p    Preferences
		e    Event
		want When
	}{
		{"nothing chosen: chat with strangers", DefaultPreferences(), Event{Category: "anonymous-chat"}, Immediate},
		{"nothing chosen: a service with a record of harm", DefaultPreferences(), Event{Category: "social", Risk: true}, Immediate},
		{"nothing chosen: social media", DefaultPreferences(), Event{Category: "social"}, Daily},
		{"nothing chosen: a signal", DefaultPreferences(), Event{Kind: "tunnel"}, Immediate},
		{"what devices do by themselves", DefaultPreferences(), Event{Category: "anonymous-chat", Routine: true}, Never},
		{"of everything", p, Event{Profile: 1, Category: "dating"}, Weekly},
		{"of a profile", p, Event{Profile: 2, Category: "dating"}, Hourly},
		{"of a category", p, Event{Profile: 1, Category: "social"}, Never},
		{"of both", p, Event{Profile: 2, Category: "social"}, Immediate},
		{"of all signals", p, Event{Profile: 2, Kind: "tunnel"}, Daily},
		{"of one signal", p, Event{Profile: 2, Kind: "night"}, Never},
		{"of a record of harm", p, Event{Profile: 1, Category: "messaging", Risk: true}, Daily},
		{"of a category before that of a record of harm", p, Event{Profile: 1, Category: "social", Risk: true}, Never},
	} {
		if got := tt.p.When(tt.e); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	p.Set(Rule{Profile: 2, About: "social", When: Daily})
	if n := len(p.Rules); n != 7 {
		t.Errorf("%d rules, want 7: the last takes another's place", n)
	}
}

func TestQuietHours(t *testing.T) {
	night := Preferences{QuietFrom: 22 * 60, QuietUntil: 7 * 60}
	noon := Preferences{QuietFrom: 12 * 60, QuietUntil: 14 * 60}
	for _, tt := range []struct {
		name, now string
		p         Preferences
		want      string
	}{
		{"before", "2026-11-23 21:59", night, ""},
		{"in the evening", "2026-11-23 22:00", night, "2026-11-24 07:00"},
		{"after midnight", "2026-11-24 03:00", night, "2026-11-24 07:00"},
		{"at the end", "2026-11-24 07:00", night, ""},
		{"within a day", "2026-11-23 13:00", noon, "2026-11-23 14:00"},
		{"none", "2026-11-23 03:00", Preferences{}, ""},
		{"the clock goes back", "2026-10-24 23:00", night, "2026-10-25 07:00"},
		{"the clock goes forward", "2026-03-28 23:00", night, "2026-03-29 07:00"},
	} {
		until, quiet := tt.p.Quiet(at(tt.now, berlin), berlin)
		got := ""
		if quiet {
			got = until.In(berlin).Format("2006-01-02 15:04")
		}
		if got != tt.want {
			t.Errorf("%s: quiet until %q, want %q", tt.name, got, tt.want)
		}
	}
	urgent, calm := Event{Category: "dating"}, Event{Category: "social"}
	now := at("2026-11-24 03:00", berlin)
	if got := night.Due(urgent, now, berlin); got.Equal(now) {
		t.Error("an urgent thing passes quiet hours though its guardian did not want that")
	}
	night.UrgentPasses = true
	if got := night.Due(urgent, now, berlin); !got.Equal(now) {
		t.Errorf("an urgent thing waits until %s", got)
	}
	if got := night.Due(calm, now, berlin); !got.Equal(at("2026-11-24 07:00", berlin)) {
		t.Errorf("another thing waits until %s", got)
	}
}

func TestNextDigest(t *testing.T) {
	p := Preferences{DigestAt: 19 * 60, DigestDay: time.Sunday}
	kolkata := mustZone("Asia/Kolkata") // 5:30 ahead
	for _, tt := range []struct {
		period When
		zone   *time.Location
		after  string
		want   string
	}{
		{Hourly, berlin, "2026-11-23 21:30", "2026-11-23 22:00"},
		{Hourly, berlin, "2026-11-23 22:00", "2026-11-23 23:00"},
		{Hourly, kolkata, "2026-11-23 21:30", "2026-11-23 22:00"},
		{Daily, berlin, "2026-11-23 18:59", "2026-11-23 19:00"},
		{Daily, berlin, "2026-11-23 19:00", "2026-11-24 19:00"},
		{Daily, berlin, "2026-10-24 20:00", "2026-10-25 19:00"}, // 24 hours and one
		{Daily, berlin, "2026-03-28 20:00", "2026-03-29 19:00"},
		{Weekly, berlin, "2026-11-23 12:00", "2026-11-29 19:00"},
		{Weekly, berlin, "2026-11-29 19:00", "2026-12-06 19:00"},
	} {
		if got := p.Next(tt.period, at(tt.after, tt.zone), tt.zone).In(tt.zone).Format("2006-01-02 15:04"); got != tt.want {
			t.Errorf("%s after %s in %s: %s, want %s", tt.period, tt.after, tt.zone, got, tt.want)
		}
	}
}

func TestPeriods(t *testing.T) {
	for _, tt := range []struct {
		rules []Rule
		want  string
	}{
		{nil, "[daily]"},
		{[]Rule{{When: Weekly}}, "[weekly]"},
		{[]Rule{{When: Never}}, "[]"},
		{[]Rule{{About: "social", When: Hourly}}, "[hourly daily]"},
	} {
		if got := fmt.Sprint(Preferences{Rules: tt.rules}.Periods()); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.rules, got, tt.want)
		}
	}
}

func TestPreferencesRefuse(t *testing.T) {
	good := DefaultPreferences()
	for name, spoil := range map[string]func(*Preferences){
		"an hour that is none":     func(p *Preferences) { p.QuietFrom = 24 * 60 },
		"no alert an hour":         func(p *Preferences) { p.PerHour = 0 },
		"an unknown category":      func(p *Preferences) { p.Set(Rule{About: "datting", When: Daily}) },
		"an unknown way of timing": func(p *Preferences) { p.Set(Rule{When: "soon"}) },
	} {
		p := good
		if spoil(&p); p.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := good.Check(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// TestNoDomainWhereOthersRead: no subject, push, ntfy, webhook or digest holds a
// name that was asked for, whatever incident it is about.
func TestNoDomainWhereOthersRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`zq[a-z0-9]{4,10}`)
		pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		var events []Event
		var secret []string
		for n := range rapid.IntRange(1, 8).Draw(t, "n") {
			domain := label.Draw(t, "domain") + ".example"
			top, hidden := label.Draw(t, "label")+"."+domain, label.Draw(t, "hidden")+".example"
			secret = append(secret, domain, top, hidden)
			e := FromIncident(journal.Incident{
				ID: fmt.Sprint(n), Family: 1, Profile: policy.ProfileID(rapid.IntRange(0, 3).Draw(t, "profile")), Device: policy.DeviceID(rapid.IntRange(0, 3).Draw(t, "device")),
				Client: pick("client", "", "192.168.1.20"), First: evening, Last: evening.Add(time.Minute),
				Verdict: pick("verdict", "block", "watch", "rewrite"), Reason: pick("reason", "category", "rule", "list", "service", "known-risk", "security", "pause", "schedule", "canary"),
				Service: pick("service", "", "ometv"), Category: pick("category", "", "anonymous-chat", "social"), List: pick("list", "", "catalogue"),
				Entry: pick("entry", domain, top, ""), Bypass: pick("bypass", "", "routine", "attempt"), Rule: policy.RuleID(rapid.IntRange(0, 1).Draw(t, "rule")),
				Domain: pick("kept", domain, ""), TopName: top, Hidden: pick("led", "", hidden), Tries: 3, Queries: 9,
			})
			if rapid.Bool().Draw(t, "signal") {
				e.Kind, e.Feed = pick("kind", append(policy.SignalKinds(), "another")...), Signals
				e.Signal = journal.Signal{
					Family: 1, Profile: e.Profile, Device: e.Device, Kind: e.Kind, At: evening, Service: e.Service, Category: e.Category, Domain: domain,
					Details: journal.SignalDetails{Client: e.Incident.Client, Others: []string{"ometv", top, hidden}, Since: evening.Add(-time.Hour), Names: 700},
				}
			}
			events = append(events, e)
		}
		told := events[:min(len(events), mostTold)]
		l := alertLetter(millers, told, len(events), "https://kinward.example.org")
		d := makeDigest(millers, Weekly, evening.Add(-time.Hour), evening.Add(time.Hour), events, nil, func(Event) bool { return true }).letter(millers, "")
		for what, letter := range map[string]Letter{"alert": l, "digest": d, "brief": l.brief(millers)} {
			fields, err := json.Marshal(letter.Fields)
			if err != nil {
				t.Fatal(err)
			}
			for form, text := range map[string]string{"subject": letter.Subject, "push": letter.Short, "text": letter.Text, "HTML": letter.HTML, "webhook": string(fields)} {
				for _, s := range secret {
					if strings.Contains(text, s) {
						t.Fatalf("the %s of the %s holds %s:\n%s", form, what, s, text)
					}
				}
			}
			if letter.HTML == "" {
				t.Fatalf("the %s has no page", what)
			}
		}
	})
}

func TestAlertLetter(t *testing.T) {
	a, b := incident("a", evening, "anonymous-chat", "ometv", "ome.example"), incident("b", evening.Add(time.Hour), "", "", "own.example")
	b.Incident.Reason = "rule"
	other := b
	other.Profile = 1
	signal, several := Event{Kind: "silent", Profile: 2, Device: 2, At: evening}, Event{Kind: "several-stranger-chats", Profile: 2, At: evening}
	for _, tt := range []struct {
		name           string
		events         []Event
		total          int
		subject, short string
	}{
		{"one", []Event{a}, 1, `Kinward: profile Lea, "Chat with strangers"`, `Mon 21:30, Lea's phone: "Chat with strangers" was looked up; it was blocked`},
		{"one of a rule", []Event{b}, 1, `Kinward: profile Lea, one of the family's own rules`, `Mon 22:30, Lea's phone: one of the family's own rules was looked up; it was blocked`},
		{"a signal", []Event{signal}, 1, `Kinward: profile Lea, a device that has gone quiet`, `Mon 21:30, Lea's phone: a device that has gone quiet`},
		{"a signal of a profile", []Event{several}, 1, `Kinward: profile Lea, several services of chat with strangers`, `Mon 21:30, profile Lea: several services of chat with strangers`},
		{"many", []Event{a, b}, 9, `Kinward: profile Lea, 9 things to know`, "and 7 more"},
		{"of several", []Event{a, other}, 2, `Kinward: 2 things to know`, "Mon 22:30"},
	} {
		l := alertLetter(millers, tt.events, tt.total, "")
		if l.Subject != tt.subject || !strings.Contains(l.Short, tt.short) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, l.Subject, l.Short, tt.subject, tt.short)
		}
		if fields, err := json.Marshal(l.Fields); err != nil || strings.Contains(string(fields), `"device":"an unknown device"`) {
			t.Errorf("%s: %s, %v", tt.name, fields, err)
		}
	}
	l := alertLetter(millers, []Event{a}, 3, "https://kinward.example.org")
	for _, want := range []string{"Mon 23 Nov 21:30–21:44  Lea's phone (profile Lea) tried OmeTV, \"Chat with strangers\", 4 times; it was blocked.", "And 2 more.", lookUp, "See it in Kinward: https://kinward.example.org"} {
		if !strings.Contains(l.Text, want) {
			t.Errorf("the text lacks %q:\n%s", want, l.Text)
		}
	}
	// Commands stand there only where no page can be named.
	for link, commands := range map[string]bool{"https://kinward.example.org": false, "": true} {
		l := alertLetter(millers, []Event{a}, 1, link)
		if strings.Contains(l.Text, "kinward incidents") != commands || strings.Contains(l.HTML, "kinward incidents") != commands {
			t.Errorf("with the link %q:\n%s\n%s", link, l.Text, l.HTML)
		}
	}
}

func TestDigestGolden(t *testing.T) {
	week := at("2026-11-22 19:00", berlin)
	events := []Event{
		incident("a", week.Add(3*time.Hour), "anonymous-chat", "ometv", "ome.example"),
		incident("b", week.Add(26*time.Hour), "anonymous-chat", "ometv", "ome.example"),
		incident("c", week.Add(27*time.Hour), "dating", "tinder", "tinder.example"),
		incident("d", week.Add(28*time.Hour), "", "", "own.example"),
		incident("e", week.Add(29*time.Hour), "", "", ""),
		FromSignal(journal.Signal{ID: "f", Kind: policy.SignalNight, Profile: 2, Device: 2, Service: "tinder", Category: "dating", At: week.Add(30 * time.Hour)}),
	}
	events[3].Incident.Reason, events[4].Incident.Reason = "rule", "schedule"
	events[4].Routine = true
	events[2].Profile, events[2].Device, events[2].Incident.Verdict = 1, 0, "watch"
	counts := []journal.Count{{Family: 1, Profile: 2, Category: "adult", Day: "2026-11-23", Tries: 2}, {Family: 1, Profile: 2, Category: "adult", Day: "2026-11-24", Tries: 1}}
	not := func(e Event) bool { return !e.Routine }
	day := func(d int) time.Time { return at(fmt.Sprintf("2026-11-%d 19:00", d), berlin) }
	for name, d := range map[string]Digest{
		"week":    makeDigest(millers, Weekly, week, day(29), events, counts, not),
		"day":     makeDigest(millers, Daily, day(23), day(24), events[1:4], nil, not),
		"calm":    makeDigest(millers, Daily, day(23), day(24), nil, nil, not),
		"special": makeDigest(Home{Name: `<b>"x"</b>`, Zone: berlin, Names: millers.Names}, Daily, day(23), day(24), events[1:2], nil, not),
	} {
		l := d.letter(millers, "https://kinward.example.org")
		text := "Subject: " + l.Subject + "\n\n" + l.Text + "\n" + l.HTML
		file := filepath.Join("testdata", "digest-"+name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// The order in which things are read does not matter.
	turned := []Event{events[5], events[2], events[4], events[0], events[3], events[1]}
	if diff := cmp.Diff(makeDigest(millers, Weekly, week, day(29), events, counts, not), makeDigest(millers, Weekly, week, day(29), turned, counts, not)); diff != "" {
		t.Errorf("another order, another digest:\n%s", diff)
	}
}

// TestUrgentAreThings: a guardian can choose about each, and the urgent
// ones exist.
func TestUrgentAreThings(t *testing.T) {
	for id := range urgent {
		if err := CheckAbout(id); err != nil {
			t.Error(err)
		}
	}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		if _, err := blocklists.ParseCategory(c.String()); err == nil && CheckAbout(c.String()) != nil {
			t.Errorf("nothing can be chosen about %s", c)
		}
	}
	for _, kind := range policy.SignalKinds() {
		if signalTopic(kind) == signalTopic("another") {
			t.Errorf("there are no words for %s", kind)
		}
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := Secret{"https://verysecret", "verysecret", "verysecret", "verysecret", "verysecret", "verysecret"}
	c := Channel{Kind: Webhook, Secret: s}
	shown, err := json.Marshal(struct {
		C Channel
		S Secret
	}{c, s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "channel", c)
	for _, text := range []string{string(shown), log.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %x %q", c, c, c, s, s, s), fmt.Sprint(errors.New(s.url[:0]))} {
		if strings.Contains(text, "verysecret") || strings.Contains(text, "76657279") {
			t.Errorf("a secret is shown: %s", text)
		}
	}
	back, err := DecodeSecret(s.Encode())
	if err != nil || back != s {
		t.Errorf("it was kept as another (%v)", err)
	}
	if _, err := DecodeSecret([]byte("verysecret")); err == nil || strings.Contains(err.Error(), "verysecret") {
		t.Errorf("reading what is no secret: %v", err)
	}
}
