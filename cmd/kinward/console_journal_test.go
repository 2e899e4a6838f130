package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// plainText is what a page says, without its markup.
func plainText(page string) string {
	text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(regexp.MustCompile(`\s+`).ReplaceAllString(text, " "))
}

// live opens the page's event stream. next returns the next event's name; "" is
// its end.
func (b *visitor) live() (next func() string) {
	b.t.Helper()
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+"/live", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := b.client.Do(q)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("GET /live: %s, %q", r.Status, r.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(r.Body)
	return func() string {
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return name
			}
		}
		return ""
	}
}

// TestConsoleJournal: what a child's phone tries appears on the page of a guardian,
// who reads why, opens it for a while, closes it again, and keeps evidence of it.
func TestConsoleJournal(t *testing.T) {
	h := child(t)
	eva := h.signIn()
	wantAll(t, "a day on which nothing happened", plainText(eva.get("/", http.StatusOK)), "All calm since", "Lea", "Nothing was attempted.")
	wantAll(t, "the list of it", plainText(eva.get("/incidents", http.StatusOK)), "All calm")

	next := eva.live()
	h.closes("before", "omegle.com")
	if got := next(); got != "change" {
		t.Fatalf("the stream says %q; want a change", got)
	}
	body := eva.get("/", http.StatusOK)
	wantAll(t, "today", plainText(body), "1 new incident since", "Lea", "1 incident, blocked.", `Phone (profile Lea) tried Omegle, "Chat with strangers", once; it was blocked.`)
	page := regexp.MustCompile(`/incidents/[0-9a-f]{32}`).FindString(body)
	if page == "" {
		t.Fatal("the page leads to no incident")
	}
	body = eva.get(page, http.StatusOK)
	wantAll(t, "the incident", plainText(body), "Omegle", "Why it is here", "What happens now", "is blocked for Phone", "How strongly blocking works", "Keep blocked", "Allow 15 minutes")

	eva.post(page+"/allow", http.StatusOK, "for", "15")
	h.opens("after it was allowed", "omegle.com")
	wantAll(t, "the incident when it is open", plainText(eva.get(page, http.StatusOK)), "It is open at the moment.", "End the exception now")
	wantAll(t, "grants", h.must("grants"), "Omegle", "Eva")
	wantAll(t, "the note after it ended", plainText(eva.post(page+"/keep", http.StatusOK)), "marked as reviewed", "reviewed by Eva")
	h.closes("after the exception ended", "omegle.com")
	wantAll(t, "with a note", plainText(eva.post(page+"/note", http.StatusOK, "note", "we talked & all is well")), "“we talked & all is well”")
	wantAll(t, "today when all is dealt with", plainText(eva.get("/", http.StatusOK)), "Nothing new: 1 incident")
	wantAll(t, "what is not dealt with", plainText(eva.get("/incidents?unreviewed=1", http.StatusOK)), "Nothing like that")
	eva.post(page+"/mute", http.StatusOK, "for", "7d")
	wantAll(t, "unmuted", plainText(eva.post(page+"/unmute", http.StatusOK)), "You hear of it again.", "Hear no more of it")
	wantAll(t, "who looked", plainText(eva.get("/incidents/looks", http.StatusOK)), "Eva read the list.", "Eva read one incident.")
	wantAll(t, "a filter", plainText(eva.get("/incidents?category=anonymous-chat&profile=Lea&service=omegle&verdict=block&device=Phone", http.StatusOK)), "tried Omegle", "1 incident")

	bundle := eva.post("/incidents/export", http.StatusOK, "id", strings.TrimPrefix(page, "/incidents/"), "format", "bundle")
	z, err := zip.NewReader(strings.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatalf("the bundle: %v", err)
	}
	f, err := z.Open("incidents.csv")
	if err != nil {
		t.Fatal(err)
	}
	if csv, err := io.ReadAll(f); err != nil || bytes.Count(csv, []byte("\n")) != 2 || !bytes.Contains(csv, []byte("Omegle")) {
		t.Errorf("the bundle's table: %v\n%s", err, csv)
	}
	wantAll(t, "the page after it", plainText(eva.get("/incidents", http.StatusOK)), "checksum (SHA-256): "+sumText([]byte(bundle)))

	// A stream ends with its session.
	gone := eva.live()
	eva.post("/sign-out", http.StatusOK)
	h.asks("ome.tv")
	for range 10 {
		if got := gone(); got == "end" {
			break
		} else if got == "" {
			t.Error("the stream stopped without saying why")
			break
		}
	}
	if got := gone(); got != "" {
		t.Errorf("after its end the stream says %q", got)
	}
}

// TestConsoleAlerts: the page's choices are those of the command line.
func TestConsoleAlerts(t *testing.T) {
	h := child(t)
	eva := h.signIn()
	eva.post("/alerts/add", http.StatusOK, "kind", "email", "to", "eva@example.org", "only", "digests", "brief", "1")
	eva.post("/alerts/add", http.StatusUnprocessableEntity, "kind", "email", "to", "eva")
	eva.post("/alerts/set", http.StatusOK, "quiet-from", "21:00", "quiet-until", "07:00", "quiet", "1", "digest-at", "18:30", "digest-day", "Friday", "per-hour", "3")
	eva.post("/alerts/set", http.StatusUnprocessableEntity, "quiet-from", "x", "quiet-until", "07:00", "quiet", "1", "digest-at", "18:30", "digest-day", "Friday", "per-hour", "3")
	eva.post("/alerts/rule", http.StatusOK, "about", "social", "profile", "Lea", "when", "weekly")
	eva.post("/alerts/signals", http.StatusOK, "kind", "night", "was", "night", "was", "bypass", "was", "silent")
	eva.post("/alerts/night", http.StatusOK, "from", "20:00", "until", "06:00")
	wantAll(t, "alerts", h.must("alerts"), "eva@example.org", "digests only", "brief", "quiet 21:00-07:00", "digests at 18:30", "Friday", "at most 3", "social of Lea: weekly")
	wantAll(t, "signals", h.must("signals"), "Switched off:", "bypass", "silent")
	wantNone(t, "signals", h.must("signals"), "night")
	wantAll(t, "the page", plainText(eva.get("/alerts", http.StatusOK)), "eva@example.org", "Digests only", "says only that there is something", "Lea: weekly")
	wantAll(t, "a preview", plainText(eva.get("/alerts/digest?period=week", http.StatusOK)), "Kinward: your week", "All calm")
	eva.post("/alerts/remove", http.StatusOK, "channel", "1")
	wantNone(t, "alerts", h.must("alerts"), "eva@example.org")
}

// TestConsoleIsPrivate: an incident of one family is not there for another, by its
// number, in a list, or in a file.
func TestConsoleIsPrivate(t *testing.T) {
	h := newDeskHouse(t)
	other := h.guardian(2, "Eva")
	home := h.guardian(1, "Eva")
	must(t, h.n.db.Write(t.Context(), someYear(t, 1, 1, time.Now(), 3)))
	var mine incidentsReply
	must(t, h.desk.Do(t.Context(), home, "incidents", incidentsRequest{incidentsQuery{Since: "400d"}, 10, "", 0}, &mine))
	if len(mine.Incidents) == 0 {
		t.Fatal("the home's guardian sees nothing")
	}
	id := mine.Incidents[0].ID
	for op, req := range map[string]any{
		"incidents-show": incidentRequest{IDs: []string{id}}, "incidents-review": incidentRequest{IDs: []string{id}}, "incidents-mute": incidentRequest{IDs: []string{id}},
		"incidents-file": exportFileRequest{incidentsQuery{ID: id}, "json"},
	} {
		if err := h.desk.Do(t.Context(), other, op, req, nil); kindOf(err) != "not-found" {
			t.Errorf("%s of another family's incident: %v; want not found", op, err)
		}
	}
	for _, op := range []string{"today", "incidents"} {
		var rep map[string]any
		req := any(todayRequest{Family: "Home", Since: "400d"})
		if op == "incidents" {
			req = incidentsRequest{incidentsQuery{Family: "Home", Since: "400d"}, 10, "", 0}
		}
		must(t, h.desk.Do(t.Context(), other, op, req, &rep))
		if text := url.QueryEscape(strings.ReplaceAll(mine.Incidents[0].Domain, " ", "")); strings.Contains(toJSON(t, rep), text) {
			t.Errorf("%s tells another family's %s", op, text)
		}
	}
}
