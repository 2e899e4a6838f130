package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinward/policy"
)

// journalDesk answers operations with what stands in it, and keeps what it was asked.
type journalDesk struct {
	replies map[string]any
	refuse  map[string]*Refusal
	asked   []string // operation and request
	rings   chan struct{}
}

func (d *journalDesk) Do(_ context.Context, _ Actor, operation string, req, rep any) error {
	b, err := json.Marshal(req)
	if err != nil {
		return err
	}
	d.asked = append(d.asked, operation+" "+string(b))
	if r := d.refuse[operation]; r != nil {
		return r
	}
	answer, ok := d.replies[operation]
	if !ok {
		return &Refusal{Kind: NotFound}
	}
	if b, err = json.Marshal(answer); err != nil {
		return err
	}
	return json.Unmarshal(b, rep)
}

func (d *journalDesk) Watch(Actor) (<-chan struct{}, func()) { return d.rings, func() {} }

// evening is when the tests' pages are looked at.
var evening = time.Date(2026, 11, 27, 20, 15, 0, 0, berlin)

var berlin = func() *time.Location { z, _ := time.LoadLocation("Europe/Berlin"); return z }()

const someID = "0199aa9c7f01a2b3c4d5e6f708192a3b"

func someIncident(change ...func(*incidentView)) incidentView {
	i := incidentView{
		ID: someID, Profile: 2, First: evening.Add(-23 * time.Hour), Last: evening.Add(-22 * time.Hour), Verdict: "block", Reason: "category",
		Service: "omegle", ServiceName: "Omegle", Category: "anonymous-chat", CategoryName: "Chat with strangers", Domain: "omegle.com", TopName: "www.omegle.com",
		Tries: 4, Queries: 12, ProfileName: "Lea", DeviceName: "Tablet", List: "base", Entry: "omegle.com", Types: []string{"A", "HTTPS"},
		Why:      "the profile's choice about the category; entry omegle.com of list base",
		Sentence: `Thu 26 Nov 21:15–22:15  Tablet (profile Lea) tried Omegle, "Chat with strangers", 4 times; it was blocked.`,
	}
	for _, c := range change {
		c(&i)
	}
	return i
}

// aHome is a desk of a family with a child that tried something and one that did not.
func aHome() *journalDesk {
	spans, bars := []time.Time{}, []int{}
	for h := range 25 {
		spans, bars = append(spans, evening.Truncate(time.Hour).Add(time.Duration(h-24)*time.Hour)), append(bars, 0)
	}
	bars[1] = 3
	bars[2] = 1
	today := todayView{
		Family: "Home", Zone: "Europe/Berlin", Now: evening, Since: evening.Add(-24 * time.Hour), Spans: spans,
		Profiles: []todayProfile{
			{ID: 1, Name: "Tom", Devices: 1, Bars: make([]int, 25)},
			{
				ID: 2, Name: "Lea", Incidents: 4, Fresh: 2, Urgent: 1, Blocked: 4, Bars: bars, Closed: 2, Counted: 3, Worth: []incidentView{someIncident()},
				Categories: []todayCategory{{ID: "anonymous-chat", Name: "Chat with strangers", Incidents: 4, Services: []string{"Omegle", "OmeTV"}, Urgent: true}},
			},
		},
		Signals: []signalView{{
			ID: "s", Kind: "night", Incident: someID, ProfileName: "Lea", Sentence: "Thu 26 Nov 22:40  Tablet (profile Lea) looked up Omegle, in the hours that the family calls night.",
		}},
		Unknown: 2,
	}
	shown := incidentShow{
		incidentView: someIncident(), Zone: "Europe/Berlin", About: "Omegle put strangers into a chat.", Country: "DE", Strength: "blocks the app", StrengthSource: "a test",
		Guidance: guidanceView{
			What: "A chat.", Why: "Nobody knows who is there.", Talk: "Ask what friends say.", Done: "Stay calm.",
			Report: []helpLine{{Country: "DE", Organisation: "Nummer gegen Kummer", For: "child helpline", Contact: "116 111", Web: "www.nummergegenkummer.de", Source: "a directory", Date: "2026-04"}},
		},
		ToOpen: "omegle", Now: &nowView{Verdict: "block", Reason: "category", Sentence: "Tablet may not reach omegle.com."},
		Looks: []lookView{{Who: "Maria", Action: "show", First: evening, Last: evening.Add(time.Minute), Times: 2, Incidents: 1, ProfileName: "Lea"}},
	}
	family := map[string]any{"zone": "Europe/Berlin", "profiles": []map[string]string{{"name": "Lea"}, {"name": "Tom"}}, "devices": []map[string]string{{"name": "Tablet"}}}
	return &journalDesk{rings: make(chan struct{}, 1), refuse: map[string]*Refusal{}, replies: map[string]any{
		"today": today, "family": family, "incidents-show": shown,
		"categories": map[string]any{"categories": []map[string]string{{"id": "anonymous-chat", "name": "Chat with strangers"}}},
		"incidents": incidentsView{
			Zone: "Europe/Berlin", Since: evening.AddDate(0, 0, -7), Incidents: []incidentView{someIncident()}, More: true, Next: "1-a",
			Counted: []countView{{"adult", "2026-11-26", 3, "Lea", "Adult"}}, Lost: []lossView{{evening, evening.Add(time.Hour), 7}},
		},
		"incidents-views": looksView{Zone: "Europe/Berlin", Views: []lookView{{Who: "Maria", Action: "list", First: evening, Last: evening, Times: 1, Incidents: 4}}},
		"signals":         signalsView{Zone: "Europe/Berlin", Since: evening, Signals: today.Signals, Off: []string{"bypass"}, Night: "21:00-06:30"},
		"alerts": alertsView{
			Zone: "Europe/Berlin", PushKey: "key", Mail: true,
			Channels: []channelView{
				{ID: 1, Guardian: "Maria", Kind: "email", To: "maria@example.org", State: "ok", LastSent: &evening},
				{ID: 2, Guardian: "Maria", Kind: "webhook", To: "hooks.example.org", State: "failing", LastError: "refused", Brief: true, Only: "alerts"},
				{ID: 3, Guardian: "Oma", Kind: "ntfy", To: "ntfy.example.org", State: "new"},
			},
			Preferences: []preferencesView{{Guardian: "Maria", Quiet: "22:00-07:00", DigestAt: "19:00", DigestDay: "Sunday", PerHour: 6, Rules: []alertWhen{{"Lea", "anonymous-chat", "immediate"}, {"", "", "weekly"}}}},
			Messages:    []messageView{{What: "alert", Made: evening, Tries: 3, Next: &evening, Error: "refused"}},
		},
		"digest": map[string]any{
			"zone": "Europe/Berlin", "from": evening.AddDate(0, 0, -1), "until": evening, "total": 2, "subject": "Kinward: your day, Fri 27 Nov", "text": "Family Home",
			"profiles": []any{map[string]any{"name": "Lea", "total": 2, "categories": []any{map[string]any{"name": "Chat with strangers", "total": 2, "services": []string{"Omegle"}, "devices": []string{"Tablet"}, "watched": 1}}}},
			"signals":  []string{"Something stood out."}, "chart": []any{map[string]any{"label": "Thu 18:00", "n": 0}, map[string]any{"label": "Thu 21:00", "n": 2}},
			"offline": 1, "counted": []any{map[string]any{"profile": "Lea", "name": "Adult", "tries": 3}},
		},
		"requests": map[string]any{"waiting": 1}, "changes-pending": map[string]any{"pending": []any{map[string]any{"id": 1, "state": "waiting"}, map[string]any{"id": 2, "state": "done", "settled": evening}}},
		"incidents-review": saying{}, "incidents-unreview": saying{}, "incidents-mute": saying{}, "incidents-unmute": saying{},
		"incidents-mutes": map[string]any{"mutes": []any{
			map[string]any{"id": 7, "guardian": 1, "profile": 2, "service": "omegle"},
			map[string]any{"id": 8, "guardian": 2, "profile": 2, "service": "omegle"},
			map[string]any{"id": 9, "guardian": 1, "profile": 2, "service": "ometv"},
		}},
		"incidents-file": fileView{Name: "kinward.zip", Type: "application/zip", Content: []byte("PK"), SHA256: "abc", Incidents: 1},
		"grants-add":     changed{Revision: 12}, "grants-revoke": changed{Revision: 12}, "profiles-choose": changed{Revision: 12}, "rules-add": changed{Revision: 12},
		"changes-show": changesView{[]did{{Revision: 12, What: "chose allow", Weakens: []weakening{{"Lea", "chat is blocked no longer"}}, CanUndo: true}}},
		"alerts-add":   alertAddView{Channel: 4, Key: "kinward-signs"}, "alerts-set": saying{}, "alerts-remove": saying{},
		"alerts-test":    map[string]any{"tests": []any{map[string]any{"ok": true, "to": "maria@example.org"}}},
		"signals-switch": changed{Revision: 12}, "signals-night": changed{Revision: 13},
	}}
}

// oneServer is what these tests share: reading all pages takes a moment.
var oneServer = sync.OnceValue(func() *Server {
	s, err := New(Config{Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return evening }})
	if err != nil {
		panic(err)
	}
	s.listener.Close()
	return s
})

// answer runs the handler of a route as by, and returns what the browser gets.
func answer(t *testing.T, d Desk, by Actor, lang, method, address string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	s := oneServer()
	s.desk = d
	q := httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	v := &visit{server: s, w: w, request: q, actor: by, lang: s.texts.choose(lang), zone: berlin, now: evening}
	for _, r := range slices.Concat(todayRoutes, incidentRoutes, singleIncidentRoutes, signalRoutes, alertRoutes) {
		want, path, _ := strings.Cut(r.pattern, " ")
		re := regexp.MustCompile("^" + strings.ReplaceAll(strings.ReplaceAll(path, "{$}", ""), "{id}", "([^/]+)") + "$")
		m := re.FindStringSubmatch(v.request.URL.Path)
		if want != method || m == nil || strings.Contains(path, "{id}") && v.request.URL.Path == "/incidents/looks" {
			continue
		}
		if len(m) > 1 {
			v.request.SetPathValue("id", m[1])
		}
		if !r.who.allows(by) {
			v.fail(&Refusal{Kind: Forbidden})
		} else if err := r.serve(v); err != nil {
			v.fail(err)
		}
		return w
	}
	t.Fatalf("nothing answers %s %s", method, address)
	return nil
}

var journalPages = []string{
	"/", "/?span=week", "/incidents", "/incidents?profile=Lea&unreviewed=1&since=30d&after=1-b", "/incidents/looks", "/incidents/" + someID,
	"/signals", "/signals?kind=night", "/alerts", "/alerts/digest", "/alerts/digest?period=week",
}

// TestLooksAreKept: the page of who looked shows a part of what is kept, and does
// not take that for how long it is kept.
func TestLooksAreKept(t *testing.T) {
	for lang, want := range map[string]string{"en": "The last 30 days are shown here.", "de": "Hier stehen die letzten 30 Tage."} {
		if body := answer(t, aHome(), mother, lang, http.MethodGet, "/incidents/looks", nil).Body.String(); !strings.Contains(body, want) {
			t.Errorf("in %s nothing says %q:\n%s", lang, want, body)
		}
	}
}

// TestJournalPages: each page says all its texts in each language, carries nothing
// that the CSP refuses, and has each id once.
func TestJournalPages(t *testing.T) {
	grandmother := Actor{Family: 1, Guardian: 3, Name: "Oma", Role: policy.Viewer}
	for _, by := range []Actor{mother, grandmother} {
		for _, lang := range []string{"en", "de"} {
			for _, page := range journalPages {
				w := answer(t, aHome(), by, lang, http.MethodGet, page, nil)
				body := w.Body.String()
				if w.Code != http.StatusOK {
					t.Errorf("%s in %s: %d\n%s", page, lang, w.Code, body)
				}
				if m := regexp.MustCompile(`\[[a-z]+(\.[a-z0-9-]+)+\]|<no value>|ZgotmplZ|%!`).FindString(body); m != "" {
					t.Errorf("%s in %s shows %q", page, lang, m)
				}
				if m := regexp.MustCompile(`\sstyle=|\son[a-z]+="|<style|<script[^>]*>[^<]`).FindString(body); m != "" {
					t.Errorf("%s holds %q, which the CSP refuses", page, m)
				}
				seen := map[string]bool{}
				for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(body, -1) {
					if seen[m[1]] || m[1] == "" {
						t.Errorf("%s has the id %q twice", page, m[1])
					}
					seen[m[1]] = true
				}
				for _, m := range regexp.MustCompile(`\sfor="([^"]*)"`).FindAllStringSubmatch(body, -1) {
					if !seen[m[1]] {
						t.Errorf("%s has a label for %q, which is not there", page, m[1])
					}
				}
				if forms := strings.Count(body, `method="post"`); by.Role == policy.Viewer && !strings.HasPrefix(page, "/alerts") && forms > 2 {
					t.Errorf("%s offers a viewer %d forms; those of the frame alone are 2", page, forms)
				}
			}
		}
	}
}

// says fails unless the page holds each of want, in this order.
func says(t *testing.T, what, page string, want ...string) {
	t.Helper()
	text := regexp.MustCompile(`\s+`).ReplaceAllString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "), " ")
	text = strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(text)
	at := 0
	for _, w := range want {
		i := strings.Index(text[at:], w)
		if i < 0 {
			t.Errorf("%s does not say %q after %q:\n%s", what, w, text[:at], text[at:])
			return
		}
		at += i + len(w)
	}
}

// TestNoMailServer: where the operator set no mail server, the page says so and takes
// no address.
func TestNoMailServer(t *testing.T) {
	d := aHome()
	for _, mail := range []bool{true, false} {
		r := d.replies["alerts"].(alertsView)
		r.Mail = mail
		d.replies["alerts"] = r
		body := answer(t, d, mother, "en", http.MethodGet, "/alerts", nil).Body.String()
		if strings.Contains(body, `name="kind" value="email"`) != mail || strings.Contains(body, "has to give it a mail server first") == mail {
			t.Errorf("a mail server is set: %v\n%s", mail, body)
		}
	}
}

func TestToday(t *testing.T) {
	d := aHome()
	body := answer(t, d, mother, "en", http.MethodGet, "/", nil).Body.String()
	says(t, "today", body, "2 new incidents since Thursday, 26 November, 20:15.", "Read 1 of them first.",
		"1 request waits for your answer", "1 change waits for its time", "2 devices without a name asked",
		"Lea", "1 to read first", "4 incidents, all blocked.", "devices asked at 2 times", "3 attempts were counted", "Chat with strangers", "Omegle, OmeTV",
		"Thu 26 Nov 21:15–22:15", "Tablet (profile Lea) tried Omegle", "Tom", "All calm", "Nothing was attempted.")
	if n := len(d.asked); n > 4 {
		t.Errorf("the page asks the desk %d times: %v", n, d.asked)
	}
	calm := aHome()
	calm.replies["today"] = todayView{Zone: "Europe/Berlin", Since: evening.Add(-24 * time.Hour), Profiles: []todayProfile{{ID: 1, Name: "Tom"}}}
	says(t, "a calm day", answer(t, calm, mother, "en", http.MethodGet, "/", nil).Body.String(), "All calm since Thursday, 26 November, 20:15.", "Tom", "All calm")
	alone := aHome()
	alone.replies["today"] = todayView{Zone: "Europe/Berlin", Since: evening.Add(-24 * time.Hour), Profiles: []todayProfile{{ID: 1, Name: "Tom", Incidents: 1, Fresh: 1, Urgent: 1}}}
	if body := answer(t, alone, mother, "en", http.MethodGet, "/", nil).Body.String(); !strings.Contains(body, "1 new incident since Thursday, 26 November, 20:15.") || strings.Contains(body, "of them first") {
		t.Errorf("the only incident, an urgent one:\n%s", body)
	}
	says(t, "a calm day", answer(t, calm, mother, "de", http.MethodGet, "/", nil).Body.String(), "Alles ruhig seit Donnerstag, 26. November, 20:15 Uhr.")
}

// TestIncidentsFilter: an address says what is asked of the desk, and the page
// leads on with the same filter.
func TestIncidentsFilter(t *testing.T) {
	d := aHome()
	body := answer(t, d, mother, "en", http.MethodGet, "/incidents?profile=Lea&category=anonymous-chat&unreviewed=1&since=30d&verdict=block&device=10.0.0.9&after=5-x", nil).Body.String()
	want := `incidents {"since":"30d","device":"10.0.0.9","profile":"Lea","category":"anonymous-chat","verdict":"block","unreviewed":true,"limit":40,"after":"5-x","look":2000}`
	if d.asked[0] != want {
		t.Errorf("asked %s\nwant  %s", d.asked[0], want)
	}
	for _, part := range []string{
		`href="/incidents?after=1-a&amp;category=anonymous-chat&amp;device=10.0.0.9&amp;profile=Lea&amp;since=30d&amp;unreviewed=1&amp;verdict=block"`,
		`<option value="Lea" selected>`, `<option value="10.0.0.9" selected>`, `name="unreviewed" value="1" checked`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	answer(t, d, mother, "en", http.MethodGet, "/incidents?since=1000y", nil)
	if last := d.asked[len(d.asked)-3]; !strings.Contains(last, `"since":"7d"`) {
		t.Errorf("a span that the page does not offer: asked %s", last)
	}
}

// TestIncidentActions: each button asks the desk for what it says.
func TestIncidentActions(t *testing.T) {
	id := `{"ids":["` + someID + `"]`
	show := "incidents-show " + id + "}"
	always := url.Values{"for": {"always"}}
	noService := func(i *incidentShow) { i.Service, i.ServiceName, i.ToOpen = "", "", "forum.example.org" }
	watched := func(i *incidentShow) { i.Verdict, i.ToOpen, i.ToClose, i.Now = "watch", "", "omegle", nil }
	closed := func(i *incidentShow) { i.Domain, i.Service, i.ToOpen, i.Now = "", "", "everything", nil }
	granted := func(i *incidentShow) { i.Now = &nowView{Verdict: "allow", Grant: 5} }
	why := `{"why":"from the page of an incident","do":`
	tests := []struct {
		name, action string
		form         url.Values
		change       func(*incidentShow)
		status       int
		want         []string
	}{
		{"15 minutes", "allow", url.Values{"for": {"15"}}, nil, 303, []string{show, `grants-add ` + why + `{"what":"omegle","profile":"Lea","for":"15m","by":"Maria"}}`}},
		{"an hour", "allow", url.Values{"for": {"60"}}, nil, 303, []string{show, `grants-add ` + why + `{"what":"omegle","profile":"Lea","for":"60m","by":"Maria"}}`}},
		{"today", "allow", url.Values{"for": {"today"}}, closed, 303, []string{show, `grants-add ` + why + `{"what":"everything","profile":"Lea","for":"today","by":"Maria"}}`}},
		{"always", "allow", always, nil, 303, []string{show, `profiles-choose ` + why + `{"profile":"Lea","thing":"omegle","choice":"allow"}}`}},
		{"always, a name", "allow", always, noService, 303, []string{show, `rules-add ` + why + `{"profile":"Lea","name":"forum.example.org","allow":true}}`}},
		{"always, everything", "allow", always, closed, 422, []string{show}},
		{"for how long?", "allow", url.Values{"for": {"9h"}}, nil, 422, []string{show}},
		{"what is dangerous", "allow", always, func(i *incidentShow) { i.ToOpen = "" }, 422, []string{show}},
		{"block what is watched", "block", nil, watched, 303, []string{show, `profiles-choose ` + why + `{"profile":"Lea","thing":"omegle","choice":"block"}}`}},
		{"block again", "block", nil, nil, 303, []string{show, `profiles-choose ` + why + `{"profile":"Lea","thing":"omegle","choice":"block"}}`}},
		{"keep", "keep", nil, nil, 303, []string{show, "incidents-review " + id + "}"}},
		{"keep a note", "keep", nil, func(i *incidentShow) {
			i.Reviews = []reviewView{{Guardian: 1, Who: "Maria", Note: "mine"}, {Guardian: 3, Note: "hers"}}
		}, 303, []string{show, "incidents-review " + id + `,"note":"mine"}`}},
		{"end a grant", "keep", nil, granted, 303, []string{show, `grants-revoke ` + why + `{"id":5}}`, "incidents-review " + id + "}"}},
		{"note", "note", url.Values{"note": {" we\r\ntalked "}}, nil, 303, []string{"incidents-review " + id + `,"note":"we talked"}`}},
		{"unreview", "unreview", nil, nil, 303, []string{"incidents-unreview " + id + "}"}},
		{"mute", "mute", url.Values{"for": {"7d"}}, nil, 303, []string{"incidents-mute " + id + `,"for":"7d"}`}},
		{"mute for a span that is not offered", "mute", url.Values{"for": {"100y"}}, nil, 422, nil},
		{"unmute, one's own alone", "unmute", nil, nil, 303, []string{show, "incidents-mutes {}", `incidents-unmute {"mute":7}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := aHome()
			shown := d.replies["incidents-show"].(incidentShow)
			if tt.change != nil {
				tt.change(&shown)
			}
			d.replies["incidents-show"] = shown
			w := answer(t, d, mother, "en", http.MethodPost, "/incidents/"+someID+"/"+tt.action, tt.form)
			if w.Code != tt.status || !slices.Equal(d.asked, tt.want) {
				t.Errorf("%d, asked %q; want %d, %q", w.Code, d.asked, tt.status, tt.want)
			}
			told := ""
			if tt.action == "allow" || tt.action == "block" {
				told = "?changed=12"
			}
			if to := w.Header().Get("Location"); tt.status == 303 && to != "/incidents/"+someID+told {
				t.Errorf("leads to %q", to)
			}
			grandmother := Actor{Family: 1, Guardian: 3, Name: "Oma", Role: policy.Viewer}
			d.asked = nil
			if w := answer(t, d, grandmother, "en", http.MethodPost, "/incidents/"+someID+"/"+tt.action, tt.form); w.Code != http.StatusForbidden || len(d.asked) > 0 {
				t.Errorf("a viewer: %d, asked %q", w.Code, d.asked)
			}
		})
	}
	d := aHome()
	d.refuse["profiles-choose"] = &Refusal{Kind: Waits, Pending: 3}
	if w := answer(t, d, mother, "en", http.MethodPost, "/incidents/"+someID+"/allow", always); w.Code != 303 || w.Header().Get("Location") != "/incidents/"+someID+"?waits=3" {
		t.Errorf("what waits: %d, leads to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestIncidentPage(t *testing.T) {
	body := answer(t, aHome(), mother, "en", http.MethodGet, "/incidents/"+someID, nil).Body.String()
	says(t, "the page", body, "Omegle", "blocked", "Chat with strangers", "tried Omegle", "Why it is here", "The profile's choice about the category",
		"What happens now", "Tablet may not reach omegle.com.", "What it is", "Omegle put strangers into a chat.", "Nobody knows who is there.",
		"stops the app and the website", "Ask what friends say.", "Stay calm.", "Nummer gegen Kummer", "116 111", "not verified",
		"Keep blocked", "Allow 15 minutes", "Allow 60 minutes", "Allow today", "Allow always", "Mark as reviewed", "Save as evidence", "Maria read one incident.")
	for _, path := range []string{"/incidents/" + someID, "/alerts"} { // what weakens protection is said, and what waits
		body = answer(t, aHome(), mother, "en", http.MethodGet, path+"?changed=12&waits=3", nil).Body.String()
		says(t, path+" after a change", body, "This weakens protection:", "chat is blocked no longer", "Your change waits")
	}
	dangerous := aHome()
	shown := dangerous.replies["incidents-show"].(incidentShow)
	shown.ToOpen, shown.Reason = "", "security"
	dangerous.replies["incidents-show"] = shown
	body = answer(t, dangerous, mother, "en", http.MethodGet, "/incidents/"+someID, nil).Body.String()
	says(t, "the page of something dangerous", body, "nobody can open it here")
	if strings.Contains(body, "/allow") {
		t.Error("something dangerous can be opened")
	}
}

// TestExport: a file is saved, never shown, and its checksum is told.
func TestExport(t *testing.T) {
	d := aHome()
	w := answer(t, d, mother, "en", http.MethodPost, "/incidents/export", url.Values{"format": {"bundle"}, "since": {"30d"}, "profile": {"Lea"}})
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="kinward.zip"` || w.Body.String() != "PK" {
		t.Errorf("%q %q", got, w.Body)
	}
	answer(t, d, mother, "en", http.MethodPost, "/incidents/export", url.Values{"format": {"bundle"}, "id": {someID}, "since": {"30d"}})
	want := []string{`incidents-file {"since":"30d","profile":"Lea","format":"bundle"}`, fmt.Sprintf(`incidents-file {"id":%q,"format":"bundle"}`, someID)}
	if !slices.Equal(d.asked, want) {
		t.Errorf("asked %q; want %q", d.asked, want)
	}
}

// TestAlertForms: each form asks the desk for what it says, in the visitor's name.
func TestAlertForms(t *testing.T) {
	tests := []struct {
		path   string
		form   url.Values
		status int
		want   []string
	}{
		{"/alerts/add", url.Values{"kind": {"email"}, "to": {" maria@example.org "}, "brief": {"1"}, "only": {"digests"}}, 200, []string{`alerts-add {"guardian":"Maria","kind":"email","to":"maria@example.org","only":"digests","brief":true}`}},
		{"/alerts/add", url.Values{"kind": {"ntfy"}, "to": {"https://ntfy.example.org/x"}, "token": {"t"}, "priority": {"4"}}, 200, []string{`alerts-add {"guardian":"Maria","kind":"ntfy","to":"https://ntfy.example.org/x","token":"t","priority":4}`}},
		{"/alerts/test", url.Values{"channel": {"2"}}, 303, []string{`alerts-test {"channel":2}`}},
		{"/alerts/test", url.Values{"channel": {"all"}}, 422, nil},
		{"/alerts/remove", url.Values{"channel": {"2"}}, 303, []string{`alerts-remove {"channel":2}`}},
		{"/alerts/set", url.Values{"quiet": {"1"}, "quiet-from": {"21:30"}, "quiet-until": {"06:30"}, "digest-at": {"18:00"}, "digest-day": {"Friday"}, "per-hour": {"3"}}, 303, []string{`alerts-set {"guardian":"Maria","quiet":"21:30-06:30","urgent":false,"digest_at":"18:00","digest_day":"Friday","per_hour":3}`}},
		{"/alerts/set", url.Values{"quiet-from": {"21:30"}, "quiet-until": {"06:30"}, "urgent": {"1"}, "digest-at": {"18:00"}, "digest-day": {"Friday"}, "per-hour": {"3"}}, 303, []string{`alerts-set {"guardian":"Maria","quiet":"none","urgent":true,"digest_at":"18:00","digest_day":"Friday","per_hour":3}`}},
		{"/alerts/rule", url.Values{"profile": {"Lea"}, "about": {"night"}, "when": {"weekly"}}, 303, []string{`alerts-set {"guardian":"Maria","profile":"Lea","category":"night","when":"weekly"}`}},
		{"/alerts/signals", url.Values{"kind": {"first-time", "unknown-device", "tunnel", "night", "new-then-vpn", "bypass", "silent"}, "was": {"first-time", "unknown-device", "several-stranger-chats", "tunnel", "night", "new-then-vpn", "silent"}}, 303, []string{
			`signals {"since":"24h","profile":"","kind":"","limit":1}`, `signals-switch {"do":{"kind":"several-stranger-chats"}}`, `signals-switch {"do":{"kind":"bypass","on":true}}`,
		}},
		// What somebody else switched since the page was shown stays as they switched it.
		{"/alerts/signals", url.Values{"kind": {"bypass"}, "was": {"bypass"}}, 303, []string{`signals {"since":"24h","profile":"","kind":"","limit":1}`}},
		{"/alerts/night", url.Values{"from": {"21:00"}, "until": {"06:00"}}, 303, []string{`signals-night {"do":{"hours":"21:00-06:00"}}`}},
	}
	for _, tt := range tests {
		d := aHome()
		w := answer(t, d, mother, "en", http.MethodPost, tt.path, tt.form)
		if w.Code != tt.status || len(d.asked) < len(tt.want) || !slices.Equal(d.asked[:len(tt.want)], tt.want) {
			t.Errorf("%s %v: %d, asked %q; want %d, %q", tt.path, tt.form, w.Code, d.asked, tt.status, tt.want)
		}
	}
	d := aHome()
	switched := url.Values{"kind": {"bypass"}, "was": {"silent", "night"}}
	for _, to := range []string{"/alerts?changed=12&changed=12&changed=12", "/alerts?waits=3&waits=3&waits=3"} {
		if got := answer(t, d, mother, "en", http.MethodPost, "/alerts/signals", switched).Header().Get("Location"); got != to {
			t.Errorf("switching leads to %q; want %q", got, to)
		}
		d.refuse["signals-switch"] = &Refusal{Kind: Waits, Pending: 3}
	}
	if to := answer(t, d, mother, "en", http.MethodPost, "/alerts/night", url.Values{"from": {"21:00"}, "until": {"06:00"}}).Header().Get("Location"); to != "/alerts?changed=13" {
		t.Errorf("another night leads to %q", to)
	}
	says(t, "a new webhook", answer(t, d, mother, "en", http.MethodPost, "/alerts/add", url.Values{"kind": {"webhook"}, "to": {"https://x.example"}}).Body.String(), "shown this once", "kinward-signs")
	d.refuse["alerts-add"] = &Refusal{Kind: Invalid, Text: "That is no address."}
	w := answer(t, d, mother, "en", http.MethodPost, "/alerts/add", url.Values{"kind": {"email"}, "to": {"maria"}})
	if says(t, "a wrong address", w.Body.String(), "That is no address."); w.Code != 422 || !strings.Contains(w.Body.String(), `value="maria" aria-invalid="true"`) {
		t.Errorf("%d; what was filled in is gone", w.Code)
	}
}

func TestChart(t *testing.T) {
	c := chart{ID: "c", Bars: []bar{{"a", "a", 0}, {"b", "", 1}, {"c", "", 1000}, {"d", "d", 500}}}
	drawn := c.Drawn()
	if drawn[0].H != 0 || drawn[1].H < 3 || drawn[2].H != chartHeight-2 || drawn[2].H != 2*drawn[3].H {
		t.Errorf("heights %v %v %v %v", drawn[0].H, drawn[1].H, drawn[2].H, drawn[3].H)
	}
	for _, d := range drawn {
		if d.X < 0 || d.X+d.W > chartWidth || d.Y < 0 || d.Y+d.H != chartHeight {
			t.Errorf("bar %q leaves the drawing: %+v", d.Label, d)
		}
	}
	if told := c.Told(); len(told) != 3 || told[0].Label != "b" {
		t.Errorf("the table tells %v", told)
	}
	if n := len((chart{}).Drawn()); n != 0 {
		t.Errorf("a chart of nothing has %d bars", n)
	}
}
