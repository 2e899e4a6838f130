package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// fakeDesk answers operations from a table and notes what was asked.
type fakeDesk struct {
	t       *testing.T
	answers map[string]any // operation → reply, or error
	asked   []string       // "operation request"
}

func (d *fakeDesk) Do(_ context.Context, _ Actor, operation string, req, rep any) error {
	d.t.Helper()
	sent, err := json.Marshal(req)
	if err != nil {
		return err
	}
	d.asked = append(d.asked, operation+" "+string(sent))
	switch answer := d.answers[operation].(type) {
	case nil:
		d.t.Errorf("the page asked for %s %s", operation, sent)
		return &Refusal{Kind: NotFound}
	case error:
		return answer
	default:
		b, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, rep)
	}
}

func (d *fakeDesk) Watch(Actor) (<-chan struct{}, func()) { return nil, func() {} }

// changes returns what was asked for but the reading of pages.
func (d *fakeDesk) changes() []string {
	return slices.DeleteFunc(slices.Clone(d.asked), func(s string) bool {
		name, _, _ := strings.Cut(s, " ")
		return slices.Contains([]string{"family", "profiles-show", "profiles-services", "lists"}, name)
	})
}

// room is the console before a fake desk.
type room struct {
	t    *testing.T
	desk *fakeDesk
	s    *Server
	by   Actor
	lang string
}

// noon is the time of the tests.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// family is a household with Lea, who is 13, and everyone else.
func family() household {
	bedtime := schedule{ID: 7, Name: "Bedtime", About: "everything", Windows: []policy.Window{{Days: 0b0011111, From: 20*60 + 30, To: 6*60 + 30}}, Exceptions: []policy.Exception{{Day: policy.Date{Year: 2026, Month: 12, Day: 31}}}}
	games := schedule{ID: 8, Name: "Games", About: "Roblox", What: policy.Target{Kind: policy.ForService, Service: "roblox"}, Effect: policy.Frees, Holidays: policy.HolidaysAsSaturday, Windows: []policy.Window{{Days: 0b1000001, From: 600, To: 1440}}}
	return household{
		Zone: "Europe/Berlin", Unknown: "Everyone",
		Profiles: []childProfile{
			{ID: 1, Name: "Everyone", Preset: "B", Default: true},
			{
				ID: 2, Name: "Lea <3", Preset: "D", Schedules: []schedule{bedtime, games}, Choices: map[string]string{"roblox": "block"}, ListChoices: map[string]string{"school": "block"},
				Rules: []childRule{{ID: 3, Action: "deny", Name: "example.com", Match: "suffix"}},
			},
		},
		Devices:  []childDevice{{Name: "Phone", Profile: "Lea <3"}},
		Grants:   []childGrant{{ID: 9, Profile: "Lea <3", What: "name:forum.example.org", About: "forum.example.org", Until: noon.Add(time.Hour), By: "Maria"}, {ID: 10, Profile: "Lea <3", About: "over", Over: true, Until: noon}},
		Holidays: []holiday{{"Christmas", policy.Date{Year: 2026, Month: 12, Day: 21}, policy.Date{Year: 2027, Month: 1, Day: 6}}},
	}
}

// parsed is a server with texts and pages, which are read once for all tests.
var parsed = sync.OnceValues(func() (*Server, error) {
	var s Server
	var err error
	if s.texts, err = loadTexts(); err == nil {
		s.pages, err = loadPages(s.texts)
	}
	return &s, err
})

func newRoom(t *testing.T, answers map[string]any) *room {
	t.Helper()
	age := 13
	all := map[string]any{
		"family": family(),
		"profiles-show": childShow{
			Categories: []categoryChoice{
				{Category: "social", Name: "Social media", Choice: "watch", Preset: "watch", Why: "most services ask for 13 years", About: "Public profiles.", Rank: 16},
				{Category: "security", Name: "Scams", Choice: "digest", Preset: "digest", About: "Steals money.", Rank: 22},
				{Category: "dating", Name: "Dating", Choice: "count", Preset: "block", Own: true, Log: "count", About: "Made for adults.", Rank: 5},
			},
			Guarded: true,
			Search:  []engineChoice{{Engine: "google", Name: "Google", Mode: "safe", Preset: "safe", Why: "small children", Limits: "Pictures may slip through."}, {Engine: "youtube", Name: "YouTube", Mode: "moderate", Preset: "safe", Own: true}},
			Rules:   []childRule{{ID: 3, Action: "deny", Name: "example.com", Match: "suffix", Warnings: []string{"unrelated sites share it"}}},
		},
		"profiles-services": servicesView{[]serviceChoice{
			{ID: "old", Name: "Old", Category: "social", CategoryName: "Social media", Closed: true, Strength: "blocks the app", About: "It was.", Choice: "watch"},
			{ID: "tiktok", Name: "TikTok", Category: "social", CategoryName: "Social media", Strength: "blocks the website", About: "Short videos.", MinAge: &age, Choice: "watch"},
			{ID: "roblox", Name: "Roblox", Category: "games-chat", CategoryName: "Games", Strength: "not verified", KnownRisk: true, About: "Games of others.", Choice: "block", Own: true},
			{ID: "signal", Name: "Signal", Category: "messaging", CategoryName: "Messaging", Strength: "signal only", About: "Messages.", Choice: "allow"},
		}},
		"lists": listsView{[]listInForce{{ID: "catalogue", Name: "Catalogue", Entries: 2400}, {ID: "school", Name: "School", Category: "social", Entries: 12, Checked: noon, Problem: "it was not found"}}},
	}
	for name, answer := range all {
		if _, ok := answers[name]; !ok {
			if answers == nil {
				answers = map[string]any{}
			}
			answers[name] = answer
		}
	}
	d := &fakeDesk{t: t, answers: answers}
	s, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	own := &Server{texts: s.texts, pages: s.pages, desk: d, log: slog.New(slog.DiscardHandler)}
	return &room{t: t, desk: d, s: own, by: mother, lang: "en"}
}

// visit makes a visit by the table of routes; who may come in is another test's.
func (r *room) visit(method, path string, form url.Values) *httptest.ResponseRecorder {
	r.t.Helper()
	mux := http.NewServeMux()
	for _, route := range r.s.routes() {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, q *http.Request) {
			v := &visit{server: r.s, w: w, request: q, actor: r.by, lang: r.s.texts.choose(r.lang), zone: time.UTC, now: noon}
			if err := route.serve(v); err != nil {
				v.fail(err)
			}
		})
	}
	q := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, q)
	if strings.Contains(w.Body.String(), "[") && strings.Contains(w.Header().Get("Content-Type"), "html") {
		for _, word := range strings.FieldsFunc(w.Body.String(), func(c rune) bool { return c == '<' || c == '>' || c == '"' || c == ' ' }) {
			if strings.HasPrefix(word, "[") && strings.Contains(word, "]") && !strings.HasPrefix(word, "[nav.") { // the frame is another test's
				r.t.Errorf("%s: there is no text %s", path, word)
			}
		}
	}
	return w
}

// shows holds what a page must say.
func (r *room) shows(path string, status int, want ...string) string {
	r.t.Helper()
	return r.says(r.visit("GET", path, nil), path, status, want...)
}

func (r *room) says(w *httptest.ResponseRecorder, what string, status int, want ...string) string {
	r.t.Helper()
	body := w.Body.String()
	if w.Code != status {
		r.t.Errorf("%s: status %d, want %d:\n%s", what, w.Code, status, body)
	}
	for _, s := range want {
		if !strings.Contains(body, s) {
			r.t.Errorf("%s: it does not say %q:\n%s", what, s, body)
		}
	}
	return body
}

// From a child's page, the forms for devices begin with that child, and not with
// the profile of devices that are nobody's.
func TestDevicesOfTheChild(t *testing.T) {
	r := newRoom(t, map[string]any{"devices-seen": devicesSeen{Devices: []unknownDevice{{Address: "192.0.2.9"}}}})
	at := "/devices?profile=Lea+%3C3"
	r.shows("/children/2?new=1", http.StatusOK, `href="/devices?profile=Lea&#43;%3C3"`)
	for path, want := range map[string]int{at: 2, "/devices": 0} {
		if got := strings.Count(r.shows(path, http.StatusOK), `<option value="Lea &lt;3" selected>`); got != want {
			t.Errorf("%s: %d forms begin with the child, want %d", path, got, want)
		}
	}
}

// Every page about children renders in each language, in each role, and escapes
// what people named.
func TestChildrenPages(t *testing.T) {
	explained := explained{
		Name: "roblox.com", At: noon, Profile: "Lea <3", Verdict: "block", Category: "Games", Service: "Roblox", Strength: "not verified", List: "catalogue",
		Schedule: "Bedtime", Changes: &noon, Sentence: "roblox.com is blocked for profile Lea: bedtime.",
	}
	for path, want := range map[string][]string{
		"/children":                       {"Lea &lt;3", `href="/children/2"`, `name="preset"`},
		"/children/2":                     {"Lea &lt;3", "forum.example.org", `value="revoke"`, "Phone"},
		"/children/2/categories":          {"Public profiles.", "most services ask", `id="c-dating"`},
		"/children/2/services":            {"TikTok", "Short videos.", "13", `id="s-roblox"`},
		"/children/2/rules":               {"example.com", "unrelated sites share it"},
		"/children/2/search":              {"YouTube", "Pictures may slip through."},
		"/children/2/kept":                {"Dating"},
		"/children/2/times":               {"Bedtime", "20:30", `class="week"`, `class="week free"`, "Europe/Berlin"},
		"/children/2/times/7":             {`name="days0"`, `value="20:30"`, `value="06:30"`, "2026-12-31", `data-script="week"`},
		"/children/2/times/8":             {`value="Roblox"`, `value="10:00"`, `value="00:00"`},
		"/children/2/times/new":           {`name="from0"`},
		"/children/2/times/bedtime":       {`value="22:00"`, `value="08:00"`},
		"/holidays":                       {"Christmas", "2026-12-21", "Games"},
		"/lists":                          {"School", "it was not found", "Lea &lt;3"},
		"/explain":                        {`value="child:2"`, `value="device:Phone"`},
		"/explain?name=x.com":             {`value="child:1" selected`}, // who is not named is asked about as anybody
		"/explain?name=x.com&who=child:2": {"roblox.com", "/children/2/services?q=Roblox"},
	} {
		for _, lang := range []string{"en", "de"} {
			r := newRoom(t, map[string]any{"explain": explained})
			r.lang = lang
			r.shows(path, http.StatusOK, want...)
			r.by = Actor{Family: 1, Guardian: 2, Name: "Oma", Role: policy.Viewer}
			if body := r.shows(path, http.StatusOK); strings.Contains(strings.ReplaceAll(body, `action="/sign-out"`, ""), `method="post"`) && strings.Count(body, `method="post"`) > 2 {
				t.Errorf("%s offers a viewer a change:\n%s", path, body)
			}
		}
	}
	r := newRoom(t, nil)
	for _, path := range []string{"/children/3", "/children/x", "/children/2/times/99", "/children?name=Nobody"} {
		r.shows(path, http.StatusNotFound)
	}
	if w := r.visit("GET", "/children?name="+url.QueryEscape("Lea <3"), nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/children/2" {
		t.Errorf("by name: %d %s", w.Code, w.Header().Get("Location"))
	}
}

// Where nobody set a zone on a server that goes by UTC, as containers do, bedtimes
// begin hours off: the page of times says so.
func TestTimesByNoHomesClock(t *testing.T) {
	for zone, want := range map[string]bool{"UTC": true, "Etc/UTC": true, "Europe/Berlin": false} {
		f := family()
		f.Zone = zone
		body := newRoom(t, map[string]any{"family": f}).shows("/children/2/times", http.StatusOK)
		if strings.Contains(body, "No home lives by that clock") != want {
			t.Errorf("%s: it is said: %v, want %v", zone, !want, want)
		}
	}
}

// Each form asks for what it says, and leads to the page that shows it.
func TestChildrenForms(t *testing.T) {
	done := changed{Revision: 12}
	for _, tt := range []struct{ name, path, form, asks, to string }{
		{"add", "/children", "name=Mia&preset=D", `profiles-add {"do":{"profile":"Mia","preset":"D"}}`, "/children?changed=12"},
		{"pause", "/children/2", "do=pause&value=30m", `pause {"do":{"profile":"Lea \u003c3","for":"30m"}}`, "/children/2?changed=12"},
		{"resume", "/children/2", "do=resume", `resume {"do":{"profile":"Lea \u003c3"}}`, "/children/2?changed=12"},
		{"grant an app", "/children/2", "do=grant&what=everything&name=Roblox&for=15m&why=film", `grants-add {"why":"film","do":{"what":"Roblox","profile":"Lea \u003c3","for":"15m","by":"Maria","why":"film"}}`, "/children/2?changed=12"},
		{"revoke", "/children/2", "do=revoke&id=9", `grants-revoke {"do":{"id":9}}`, "/children/2?changed=12"},
		{"age", "/children/2", "do=preset&value=E", `profiles-preset {"do":{"profile":"Lea \u003c3","preset":"E"}}`, "/children/2?changed=12"},
		{"bypass", "/children/2", "do=bypass&value=off", `profiles-bypass {"do":{"profile":"Lea \u003c3","choice":"off"}}`, "/children/2?changed=12"},
		{"rename", "/children/2", "do=rename&value=Mia", `profiles-rename {"do":{"profile":"Lea \u003c3","to":"Mia"}}`, "/children/2?changed=12"},
		{"remove", "/children/2", "do=remove", `profiles-remove {"do":{"profile":"Lea \u003c3"}}`, "/children?changed=12"},
		{"a category", "/children/2/categories", "thing=social&choice=block", `profiles-choose {"do":{"profile":"Lea \u003c3","thing":"social","choice":"block"}}`, "/children/2/categories?changed=12"},
		{"a service, where it was searched", "/children/2/services?q=tik", "thing=tiktok&choice=allow", `profiles-choose {"do":{"profile":"Lea \u003c3","thing":"tiktok","choice":"allow"}}`, "/children/2/services?changed=12&q=tik"},
		{"a rule", "/children/2/rules", "name=a.example&action=deny&match=below&for=7d", `rules-add {"do":{"profile":"Lea \u003c3","name":"*.a.example","for":"7d"}}`, "/children/2/rules?changed=12"},
		{"a rule for a name alone", "/children/2/rules", "name=a.example&action=allow&match=exact&for=", `rules-add {"do":{"profile":"Lea \u003c3","name":"a.example","allow":true,"exact":true}}`, "/children/2/rules?changed=12"},
		{"no rule", "/children/2/rules", "do=remove&id=3", `rules-remove {"do":{"id":3}}`, "/children/2/rules?changed=12"},
		{"a search engine", "/children/2/search", "thing=google&choice=off", `search-set {"do":{"profile":"Lea \u003c3","thing":"google","choice":"off"}}`, "/children/2/search?changed=12"},
		{"what is kept", "/children/2/kept", "thing=dating&choice=none", `profiles-log {"do":{"profile":"Lea \u003c3","thing":"dating","choice":"none"}}`, "/children/2/kept?changed=12"},
		{"guests", "/children/2/kept", "do=guests&value=on", `profiles-guests {"do":{"profile":"Lea \u003c3","choice":"on"}}`, "/children/2/kept?changed=12"},
		{
			"other windows", "/children/2/times/7", "do=save&name=Night&effect=block&target=everything&row=0&days0=1&days0=2&from0=21:00&to0=06:30&row=4&from4=&to4=&holidays=off",
			`schedules-set {"do":{"profile":"Lea \u003c3","name":"Bedtime","to":"Night","effect":"block","target":"everything","windows":["Mon,Tue 21:00-06:30"],"holidays":"off"}}`, "/children/2/times?changed=12",
		},
		{
			"a service stays the one it was", "/children/2/times/8", "do=save&name=Games&effect=free&target=everything&service=Roblox&row=0&days0=6&from0=10:00&to0=00:00&holidays=usual",
			`schedules-set {"do":{"profile":"Lea \u003c3","name":"Games","effect":"free","target":"service:roblox","windows":["Sat 10:00-24:00"],"holidays":"usual"}}`, "/children/2/times?changed=12",
		},
		{
			"new times", "/children/2/times/new", "do=save&name=Homework&effect=block&target=category:social&row=0&days0=5&from0=14:00&to0=16:00&holidays=usual",
			`schedules-add {"do":{"profile":"Lea \u003c3","name":"Homework","effect":"block","target":"category:social","windows":["Fri 14:00-16:00"],"holidays":"usual"}}`, "/children/2/times?changed=12",
		},
		{"off", "/children/2/times/7", "do=off", `schedules-switch {"do":{"profile":"Lea \u003c3","name":"Bedtime"}}`, "/children/2/times/7?changed=12"},
		{"a day off", "/children/2/times/7", "do=except&day=2026-12-24&day-from=&day-to=", `schedules-except {"do":{"profile":"Lea \u003c3","name":"Bedtime","day":"2026-12-24"}}`, "/children/2/times/7?changed=12"},
		{"another day", "/children/2/times/7", "do=except&day=2026-12-24&day-from=23:00&day-to=08:00", `schedules-except {"do":{"profile":"Lea \u003c3","name":"Bedtime","windows":["23:00-08:00"],"day":"2026-12-24"}}`, "/children/2/times/7?changed=12"},
		{"as usual", "/children/2/times/7", "do=usual&day=2026-12-31", `schedules-except {"do":{"profile":"Lea \u003c3","name":"Bedtime","day":"2026-12-31","usual":true}}`, "/children/2/times/7?changed=12"},
		{"no bedtime", "/children/2/times/7", "do=remove", `schedules-remove {"do":{"profile":"Lea \u003c3","name":"Bedtime"}}`, "/children/2/times?changed=12"},
		{"holidays", "/holidays", "name=Easter&first=2027-03-26&last=2027-04-05", `holidays-add {"do":{"name":"Easter","first":"2027-03-26","last":"2027-04-05"}}`, "/holidays?changed=12"},
		{"a list", "/lists", "child=2&thing=school&choice=preset", `profiles-list {"do":{"profile":"Lea \u003c3","thing":"school","choice":"preset"}}`, "/lists?changed=12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op, _, _ := strings.Cut(tt.asks, " ")
			r := newRoom(t, map[string]any{op: done})
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			w := r.visit("POST", tt.path, form)
			if got := r.desk.changes(); len(got) != 1 || got[0] != tt.asks {
				t.Errorf("it asked for\n%s\nwant\n%s", strings.Join(got, "\n"), tt.asks)
			}
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != tt.to {
				t.Errorf("it leads to %d %s, want %s:\n%s", w.Code, w.Header().Get("Location"), tt.to, w.Body)
			}
		})
	}
}

// What is wrong stands beside the field, and what was written is kept.
func TestChildrenMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, path, form string
		want             []string
	}{
		{"no name", "/children", "name= &preset=D", []string{`id="f-name-wrong"`, "Give a name.", `value="D" checked`}},
		{"no age", "/children", "name=Mia", []string{`value="Mia"`, "Choose an age."}},
		{"a name that is taken", "/children", "name=LEA <3&preset=D", []string{"Lea &lt;3” already", `value="LEA &lt;3"`}},
		{"a rename to nothing", "/children/2", "do=rename&value=", []string{`id="rename-wrong"`}},
		{"a grant without an end", "/children/2", "do=grant&what=everything&for=1y&why=film", []string{`id="grant-for-wrong"`, `value="film"`}},
		{"a rule without a name", "/children/2/rules", "name=&action=allow&why=school", []string{"Give a name, for example", `value="allow" checked`, `value="school"`}},
		{"times without days", "/children/2/times/7", "do=save&name=Night&effect=block&target=everything&row=0&from0=21:00&to0=06:30", []string{"Choose the days.", `value="Night"`, `value="21:00"`, `id="windows-wrong"`}},
		{"times without an end", "/children/2/times/7", "do=save&name=Night&effect=block&row=0&days0=1&from0=21:00&to0=", []string{"Give a beginning and an end"}},
		{"times that meet", "/children/2/times/7", "do=save&name=Night&effect=block&row=0&days0=1&from0=21:00&to0=06:30&row=1&days1=2&from1=06:00&to1=07:00", []string{"Tuesday, 06:00", `id="row1-wrong"`}},
		{"no times", "/children/2/times/new", "do=save&name=&effect=block&target=everything", []string{"at least one day", "Give it a name."}},
		{"no day", "/children/2/times/7", "do=except&day=tomorrow", []string{`id="f-day-wrong"`}},
		{"holidays that end first", "/holidays", "name=Easter&first=2027-03-26&last=2027-03-01", []string{"before the first day", `value="2027-03-26"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			r.says(r.visit("POST", tt.path, form), tt.name, http.StatusUnprocessableEntity, tt.want...)
			if got := r.desk.changes(); len(got) != 0 {
				t.Errorf("it asked for %q", got)
			}
		})
	}
	for _, path := range []string{"/explain?name=", "/explain?name=x.com&who=child:77"} {
		newRoom(t, nil).shows(path, http.StatusUnprocessableEntity, `class="wrong"`)
	}
}

// What the desk refuses stands beside the field too; what waits is said to wait,
// and what weakens is said before all else.
func TestChildrenRefusals(t *testing.T) {
	choose := url.Values{"thing": {"social"}, "choice": {"allow"}}
	r := newRoom(t, map[string]any{"profiles-choose": &Refusal{Kind: Invalid, Text: "It stays blocked."}})
	r.says(r.visit("POST", "/children/2/categories", choose), "invalid", http.StatusUnprocessableEntity, `id="choice-social-wrong">It stays blocked.`)

	r = newRoom(t, map[string]any{"profiles-choose": &Refusal{Kind: Waits, Text: "It waits.", Pending: 5}})
	if to := r.visit("POST", "/children/2/categories", choose).Header().Get("Location"); to != "/children/2/categories?waits=5" {
		t.Errorf("what waits leads to %s", to)
	}
	r.shows("/children/2/categories?waits=5", http.StatusOK, "Your change waits")

	r = newRoom(t, map[string]any{"changes-show": changesView{[]did{{Revision: 12, What: "chose allow", CanUndo: true, Weakens: []weakening{{"profile Lea", "social is blocked no longer"}}}}}})
	r.shows("/children/2/categories?changed=12", http.StatusOK, "Chose allow.", "This weakens protection:", "social is blocked no longer", "within a second", "/history")
	r = newRoom(t, map[string]any{"changes-show": &Refusal{Kind: NotFound}})
	r.shows("/children/2/categories?changed=12", http.StatusOK, "Public profiles.")

	r = newRoom(t, map[string]any{"profiles-choose": changed{Unchanged: true}})
	if w := r.visit("POST", "/children/2/categories", choose); w.Header().Get("Location") != "/children/2/categories" || len(w.Result().Cookies()) != 1 {
		t.Errorf("what was so already: %v", w.Header())
	}
	r = newRoom(t, map[string]any{"profiles-choose": fmt.Errorf("a fault")})
	r.says(r.visit("POST", "/children/2/categories", choose), "a fault", http.StatusInternalServerError)
	r = newRoom(t, map[string]any{"rules-remove": changed{Revision: 1}, "grants-revoke": changed{Revision: 1}})
	r.says(r.visit("POST", "/children/1/rules", url.Values{"do": {"remove"}, "id": {"3"}}), "another child's rule", http.StatusNotFound, "<h1>That did not work</h1>")
	r.says(r.visit("POST", "/children/1", url.Values{"do": {"revoke"}, "id": {"9"}}), "another child's grant", http.StatusNotFound)
}

// Services can be found among hundreds, a page at a time, by what they are and by
// what blocking them achieves.
func TestServicesPage(t *testing.T) {
	r := newRoom(t, nil)
	body := r.shows("/children/2/services?strength=unknown", http.StatusOK, "Roblox")
	if strings.Contains(body, "TikTok") {
		t.Error("a service of another strength is shown")
	}
	body = r.shows("/children/2/services?state=blocked", http.StatusOK, "Roblox", "not verified")
	if strings.Contains(body, `id="s-signal"`) {
		t.Error("an open service is shown among the closed")
	}
	r.shows("/children/2/services?q=tik&category=social&state=own", http.StatusOK)
	if got := r.desk.asked[len(r.desk.asked)-1]; got != `profiles-services {"category":"social","knownRisk":false,"search":"tik","profile":"Lea \u003c3","own":true}` {
		t.Errorf("it asked for %s", got)
	}
	var many servicesView
	for i := range 100 {
		many.Services = append(many.Services, serviceChoice{ID: fmt.Sprint("s", i), Name: fmt.Sprint("Service ", i), Choice: "allow"})
	}
	r = newRoom(t, map[string]any{"profiles-services": many})
	r.shows("/children/2/services?q=a", http.StatusOK, "1 to 30 of 100", `href="/children/2/services?page=1&amp;q=a"`)
	r.shows("/children/2/services?q=a&page=3", http.StatusOK, "91 to 100 of 100", `href="/children/2/services?page=2&amp;q=a"`)
	r.shows("/children/2/services?page=99", http.StatusOK, "91 to 100 of 100")
	r = newRoom(t, map[string]any{"profiles-services": &Refusal{Kind: NotFound, Text: "The nearest is tiktok."}})
	r.shows("/children/2/services?q=tiktak", http.StatusOK, "The nearest is tiktok.")
}

// A window that crosses midnight is drawn in two days, on Sunday in Monday's.
func TestWeek(t *testing.T) {
	r := newRoom(t, nil)
	l := r.s.texts.choose("en")
	w := l.week(schedule{Windows: []policy.Window{{Days: 1 << time.Sunday, From: 22 * 60, To: 6 * 60}}})
	want := []weekBlock{{264, 196, 34, 16}, {36, 20, 34, 48}}
	if !slices.Equal(w.Blocks, want) {
		t.Errorf("the blocks are %v, want %v", w.Blocks, want)
	}
	if w.Label != "Sunday, 22:00 to 06:00 on the next day" {
		t.Errorf("it is read out as %q", w.Label)
	}
	for w, want := range map[policy.Window]string{
		{Days: 127, From: 15 * 60, To: 15 * 60}: "Every day, 15:00 to 15:00 on the next day (24 hours)",
		{Days: 127, From: 0, To: 24 * 60}:       "Every day, 00:00 to 24:00",
	} {
		if got := l.window(w); got != want {
			t.Errorf("%s is %q, want %q", w, got, want)
		}
	}
	for days, want := range map[policy.Days]string{
		0b0111110: "Monday to Friday", 0b1000001: "Saturday, Sunday", 0b1111111: "Every day", 0b0011111: "Monday to Thursday, Sunday", 1 << time.Wednesday: "Wednesday",
	} {
		if got := l.days(days); got != want {
			t.Errorf("days %b are %q, want %q", days, got, want)
		}
	}
}

// Whoever runs the server sees how much of a list was not taken.
func TestSkippedLines(t *testing.T) {
	r := newRoom(t, map[string]any{"lists": serverLists{[]serverList{
		{ID: "ours", Name: "Ours", Location: "/srv/ours", Category: "own", Entries: 12, Report: &blocklists.Report{Taken: 12, Skipped: map[blocklists.SkipReason]int{blocklists.SkipIP: 4, blocklists.SkipLocal: 3}}},
	}}})
	r.shows("/operator/lists", http.StatusOK, `<dt>Lines skipped</dt><dd class="num">7</dd>`)
}

// TestListNames: what a person called a list is shown as it is, though it may be a
// sentence that the program says.
func TestListNames(t *testing.T) {
	r := newRoom(t, map[string]any{"lists": listsView{[]listInForce{{ID: "catalogue", Name: "Kinward catalogue"}, {ID: "ours", Name: "Social media", Category: "social"}}}})
	r.lang = "de"
	r.shows("/lists", http.StatusOK, `<h2 id="l-ours">Social media</h2>`)
}

// TestListClock: when a list was last checked is told by the family's clock, whatever
// the server's is.
func TestListClock(t *testing.T) {
	body := newRoom(t, map[string]any{"family": family()}).shows("/lists", http.StatusOK, "23 November, 13:00")
	if strings.Contains(body, "12:00") {
		t.Errorf("noon in UTC is shown as 12:00 to a family in Berlin:\n%s", body)
	}
}

// TestErrorHeadings: the heading over what went wrong says what that is, in each
// language.
func TestErrorHeadings(t *testing.T) {
	for _, tt := range []struct {
		kind   RefusalKind
		text   string
		status int
		en, de string
	}{
		{NotFound, "", http.StatusNotFound, "There is no such page", "Diese Seite gibt es nicht"},
		{Forbidden, "", http.StatusForbidden, "You may not do this", "Das dürfen Sie nicht"},
		{Conflict, "", http.StatusConflict, "This has changed meanwhile", "Das hat sich inzwischen geändert"},
		{Stale, "Device \"Phone\" has changed.", http.StatusPreconditionFailed, "This has changed meanwhile", "Das hat sich inzwischen geändert"},
		{Conflict, "Device \"Phone\" uses it.", http.StatusConflict, "That did not work", "Das hat nicht geklappt"}, // and nobody changed anything
		{Invalid, "", http.StatusUnprocessableEntity, "That did not work", "Das hat nicht geklappt"},
	} {
		for lang, want := range map[string]string{"en": tt.en, "de": tt.de} {
			r := newRoom(t, map[string]any{"lists": &Refusal{Kind: tt.kind, Text: tt.text}})
			r.lang = lang
			r.shows("/lists", tt.status, "<h1>"+want+"</h1>", "<title>"+want)
		}
	}
}

// TestSomebodyWasFirst: who could not change something because somebody else did first
// is led to what they did.
func TestSomebodyWasFirst(t *testing.T) {
	for kind, status := range map[RefusalKind]int{Conflict: http.StatusConflict, Stale: http.StatusPreconditionFailed, Invalid: http.StatusUnprocessableEntity} {
		r := newRoom(t, map[string]any{"changes-undo": &Refusal{Kind: kind, Text: "It is not so any more."}})
		said := r.says(r.visit("POST", "/history/3/undo", url.Values{}), string(kind), status, "It is not so any more.")
		if led := strings.Contains(said, `<a href="/history">See who changed what</a>`); led != (kind != Invalid) {
			t.Errorf("%s: led there: %v\n%s", kind, led, said)
		}
	}
}

// What waits is counted among all that is kept: many changes can have been settled
// since.
func TestWaitingIsCountedAmongAll(t *testing.T) {
	answers := map[string]any{
		"changes":         historyView{Zone: "UTC"},
		"changes-pending": waitingView{Pending: []heldChange{{State: "rejected"}, {State: "waiting"}}},
		"today":           todayView{Zone: "UTC"},
		"requests":        waitingRequests{},
	}
	for _, path := range []string{"/", "/history"} {
		r := newRoom(t, answers)
		r.shows(path, http.StatusOK, `href="/history/waiting"`)
		if want := `changes-pending {"limit":500}`; !slices.Contains(r.desk.asked, want) {
			t.Errorf("%s asked %q, want %s", path, r.desk.asked, want)
		}
	}
}
