package console

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/policy"
	"kinward/store"
)

// familyDesk is a desk of a family in which something is asked for, something
// waits and something was changed.
func familyDesk() *journalDesk {
	due := evening.Add(24 * time.Hour)
	weak := []weakening{{`profile "Lea"`, `category dating is "allow", not "block"`}}
	return &journalDesk{rings: make(chan struct{}, 1), refuse: map[string]*Refusal{}, replies: map[string]any{
		"requests": requestListView{Zone: "Europe/Berlin", Waiting: 1, Remember: 10, Requests: []askedFor{
			{ID: 4, ProfileName: "Lea", DeviceName: "Tablet", What: "roblox", Name: "Roblox", Message: "<b>please</b>", At: evening, Last: evening, Times: 3, State: "open"},
			{ID: 5, ProfileName: "Tom", What: "everything", Name: "everything", At: evening, Last: evening, Times: 1, State: "open", Waits: "waits", Pending: 9},
			{ID: 3, ProfileName: "Lea", What: "omegle", Name: "Omegle", At: evening, State: "allowed", Answer: "60m", Who: "Eva", Until: &due},
			{ID: 2, ProfileName: "Lea", What: "a.example", Name: "a.example", At: evening, State: "refused", Answer: "no", Who: "Eva"},
			{ID: 1, ProfileName: "Lea", What: "b.example", Name: "b.example", At: evening, State: "expired"},
		}},
		"requests-answer": changed{Revision: 12}, "changes-undo": changed{Revision: 12},
		"changes": historyView{Zone: "Europe/Berlin", Changes: []pastChange{
			{Revision: 12, At: evening, Who: "Eva (Karl agreed)", What: "category dating of profile Lea is allow", Why: "she is 16", Weakens: weak, CanUndo: true},
			{Revision: 11, At: evening, Who: "Karl", What: "erased what was kept of profile Lea"},
		}},
		"changes-show": historyView{Changes: []pastChange{{Revision: 12, What: "undid change 11", Weakens: weak, CanUndo: true}}},
		"changes-pending": waitingView{Zone: "Europe/Berlin", Pending: []heldChange{
			{ID: 9, Who: "Karl", At: evening, Due: &due, Second: true, What: "allowed dating", Why: "why", Weakens: weak, State: "waiting", MayAgree: true},
			{ID: 8, Who: "Eva", At: evening, Second: true, What: "allowed chat", Weakens: weak, State: "waiting", Mine: true, Agreed: "Karl"},
			{ID: 7, Who: "Eva", At: evening, What: "b", State: "failed", Settled: &due, By: "Karl agreed", Note: "there is no such profile"},
			{ID: 6, Who: "Eva", At: evening, What: "c", State: "done", Settled: &due},
		}},
		"changes-approve": settledView{heldChange{State: "done"}}, "changes-reject": settledView{heldChange{State: "rejected"}},
		"family": map[string]any{
			"name": "Miller", "zone": "Europe/Berlin", "country": "DE", "delay": 90, "second": true,
			"profiles": []map[string]any{{"id": 1, "name": "Lea", "preset": "C"}, {"id": 2, "name": "Tom", "preset": "A"}},
		},
		"guardians": guardiansView{[]guardianView{
			{ID: 1, Name: "Eva", Role: "owner", Account: true}, {ID: 2, Name: "Karl", Role: "guardian", Invited: &due}, {ID: 3, Name: "Oma", Role: "viewer"},
		}},
		"guardians-add": changed{Revision: 13}, "guardians-role": changed{Revision: 13}, "guardians-uninvite": nothing{}, "guardians-invite": invitation{"Oma", "/join/secret", due},
		"families-loosening": changed{Revision: 14}, "families-rename": changed{Revision: 14},
		"retention":     retentionView{365, []retentionCategory{{"dating", "Dating", 30}}},
		"retention-set": changed{Revision: 15}, "families-export": choicesView{"family: Miller\n"},
		"categories": map[string]any{"categories": []map[string]string{{"id": "dating", "name": "Dating"}}},
		"erase":      erasedView{"Miller", map[string]int{"incidents": 4, "day counts": 2, "requests": 1}, []int64{9}},
	}}
}

// fullDesk cannot keep that somebody looks.
type fullDesk struct{ Desk }

func (fullDesk) Do(context.Context, Actor, string, any, any) error {
	return fmt.Errorf("keeping who looked: %w", store.ErrFull)
}

// TestFullDisk: who meets a full disk is told that, not to try again.
func TestFullDisk(t *testing.T) {
	d := fullDesk{familyDesk()}
	for lang, want := range map[string]string{"en": "disk of this server is full", "de": "Festplatte dieses Servers ist voll"} {
		if w := familyAnswer(t, d, owner, lang, http.MethodGet, "/data", nil); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), want) {
			t.Errorf("in %s: %d\n%s", lang, w.Code, w.Body)
		}
	}
}

// familyAnswer runs the handler of an address as by, who has just proven who that is.
func familyAnswer(t *testing.T, d Desk, by Actor, lang, method, address string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	return familyVisit(t, d, by, evening, lang, method, address, form)
}

// familyVisit runs the handler of an address as by, who proved at a time who that is.
func familyVisit(t *testing.T, d Desk, by Actor, proved time.Time, lang, method, address string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	s := oneServer()
	s.desk = d
	if method == http.MethodPost { // what is done at the door is kept
		db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{Zone: "Europe/Berlin"})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s.accounts = db.Accounts()
	}
	q := httptest.NewRequest(method, address, strings.NewReader(form.Encode()))
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	for _, r := range slices.Concat(requestRoutes, historyRoutes, familyRoutes, dataRoutes) {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) {
			v := &visit{server: s, w: w, request: q, actor: by, client: netip4(192, 168, 1, 7), lang: s.texts.choose(lang), zone: berlin, now: evening}
			v.session = store.Session{ID: 1, Proved: proved}
			if !r.who.allows(by) {
				v.fail(&Refusal{Kind: Forbidden})
			} else if err := r.serve(v); err != nil {
				v.fail(err)
			}
		})
	}
	mux.ServeHTTP(w, q)
	return w
}

var (
	owner  = Actor{Family: 1, Guardian: 1, Name: "Eva", Role: policy.Owner}
	viewer = Actor{Family: 1, Guardian: 3, Name: "Oma", Role: policy.Viewer}
)

// TestFamilyPages: each page says all its texts in each language, carries nothing
// that the CSP refuses, and offers a viewer nothing to change.
func TestFamilyPages(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		for _, page := range []string{
			"/requests", "/requests?changed=12", "/history", "/history?waits=9", "/history?limit=500", "/history/waiting", "/family", "/data", "/data/erase", "/data/erase?profile=Lea", "/data/erase?profile=9",
		} {
			for _, by := range []Actor{owner, viewer} {
				w := familyAnswer(t, familyDesk(), by, lang, http.MethodGet, page, nil)
				body := w.Body.String()
				if by == viewer && strings.HasPrefix(page, "/data/erase") {
					if w.Code != http.StatusForbidden {
						t.Errorf("%s for a viewer: %d", page, w.Code)
					}
					continue
				}
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
				if has := strings.Contains(body, `href="/data/erase?profile=9"`); page == "/data" && has != (by == owner) {
					t.Errorf("%s leads %s to the erasure of a removed child's record: %v", page, by.Role, has)
				}
				if says := strings.Contains(body, "9)</h1>"); page == "/data/erase?profile=9" && !says {
					t.Errorf("%s in %s does not say that the child was removed", page, lang)
				}
				if by == viewer && strings.Count(body, `method="post"`) > 2 {
					t.Errorf("%s offers a viewer forms beside those of the frame", page)
				}
				if strings.Contains(body, "<b>please") {
					t.Errorf("%s shows a child's markup", page)
				}
			}
		}
	}
}

// TestFamilyForms: what each form asks the desk for, and where the browser goes.
func TestFamilyForms(t *testing.T) {
	for _, tt := range []struct {
		name, address string
		form          url.Values
		by            Actor
		status        int
		asked         string // of the desk; "": nothing
		to            string
	}{
		{"an answer", "/requests/4", url.Values{"answer": {"15m"}}, owner, 303, `requests-answer {"do":{"id":4,"answer":"15m"}}`, "/requests?changed=12"},
		{"an answer of a viewer", "/requests/4", url.Values{"answer": {"15m"}}, viewer, 403, "", ""},
		{"no request", "/requests/x", url.Values{"answer": {"15m"}}, owner, 404, "", ""},
		{"undo", "/history/12/undo", url.Values{}, owner, 303, `changes-undo {"revision":12}`, "/history?changed=12"},
		{"agree", "/history/waiting/9/approve", url.Values{}, owner, 303, `changes-approve {"id":9}`, "/history/waiting"},
		{"reject", "/history/waiting/9/reject", url.Values{}, owner, 303, `changes-reject {"id":9}`, "/history/waiting"},
		{"something else", "/history/waiting/9/else", url.Values{}, owner, 404, "", ""},
		{"loosening", "/family/loosening", url.Values{"delay": {"24h"}, "second": {"yes"}}, owner, 303, `families-loosening {"do":{"delay":"24h","second":true}}`, "/family?changed=14"},
		{"one wish alone", "/family/loosening", url.Values{"delay": {"24h"}, "was-delay": {"0"}, "was-second": {"false"}}, owner, 303, `families-loosening {"do":{"delay":"24h"}}`, "/family?changed=14"},
		{"the other wish", "/family/loosening", url.Values{"delay": {"0"}, "was-delay": {"0"}, "was-second": {"true"}}, owner, 303, `families-loosening {"do":{"second":false}}`, "/family?changed=14"},
		{"no wish", "/family/loosening", url.Values{"delay": {"0"}, "was-delay": {"0"}, "was-second": {"true"}, "second": {"yes"}}, owner, 303, "", "/family"},
		{"invite", "/family/guardians", url.Values{"name": {" Oma "}, "role": {"viewer"}}, owner, 200, `guardians-invite {"do":{"name":"Oma"}}`, ""},
		{"invitation back", "/family/guardians/uninvite", url.Values{"name": {"Karl"}}, owner, 303, `guardians-uninvite {"do":{"name":"Karl"}}`, "/family"},
		{"retention", "/data/retention", url.Values{"days": {"30"}, "category": {"dating"}}, owner, 303, `retention-set {"do":{"days":"30","category":"dating"}}`, "/data?changed=15"},
		{"the default", "/data/retention", url.Values{"days": {""}}, owner, 303, `retention-set {"do":{"days":"default"}}`, "/data?changed=15"},
		{"choices", "/data/choices", url.Values{}, owner, 200, `families-export {}`, ""},
		{"erase", "/data/erase", url.Values{"profile": {"Lea"}, "typed": {"Lea"}}, owner, 303, `erase {"profile":"Lea"}`, "/data"},
		{"erase by a slip", "/data/erase", url.Values{"profile": {"Lea"}, "typed": {"lea"}}, owner, 422, `erase {"profile":"Lea","dryRun":true}`, ""},
		{"erase all", "/data/erase", url.Values{"typed": {"Miller"}}, owner, 303, `erase {}`, "/data"},
		{"erase by a carer", "/data/erase", url.Values{"typed": {"Miller"}}, Actor{Family: 1, Guardian: 2, Role: policy.Carer}, 403, "", ""},
	} {
		d := familyDesk()
		w := familyAnswer(t, d, tt.by, "en", http.MethodPost, tt.address, tt.form)
		last := ""
		if len(d.asked) > 0 {
			last = d.asked[len(d.asked)-1]
		}
		if w.Code != tt.status || last != tt.asked || w.Header().Get("Location") != tt.to {
			t.Errorf("%s: %d, %s, to %q; want %d, %s, %q", tt.name, w.Code, last, w.Header().Get("Location"), tt.status, tt.asked, tt.to)
		}
	}
	d := familyDesk()
	d.refuse["guardians-add"] = &Refusal{Kind: Waits, Pending: 9}
	if w := familyAnswer(t, d, owner, "en", http.MethodPost, "/family/guardians", url.Values{"name": {"Puppet"}, "role": {"guardian"}}); w.Header().Get("Location") != "/family?waits=9" {
		t.Errorf("an invitation that has to wait: %d to %q", w.Code, w.Header().Get("Location"))
	}
	if slices.ContainsFunc(d.asked, func(s string) bool { return strings.HasPrefix(s, "guardians-invite") }) {
		t.Error("who is not named yet was invited")
	}
	for _, address := range []string{"/family/guardians", "/family/guardians/invite"} {
		d := familyDesk()
		w := familyVisit(t, d, owner, evening.Add(-time.Hour), "en", http.MethodPost, address, url.Values{"name": {"Oma"}, "role": {"viewer"}})
		if to := w.Header().Get("Location"); !strings.HasPrefix(to, "/confirm") || len(d.asked) > 0 {
			t.Errorf("%s by who signed in an hour ago: to %q, asked %v", address, to, d.asked)
		}
	}
	d = familyDesk()
	d.refuse["guardians-invite"] = &Refusal{Kind: Waits, Pending: 9}
	if w := familyAnswer(t, d, owner, "en", http.MethodPost, "/family/guardians/invite", url.Values{"name": {"Oma"}}); w.Header().Get("Location") != "/family?waits=9" {
		t.Errorf("a link that has to wait: %d to %q", w.Code, w.Header().Get("Location"))
	}
}
