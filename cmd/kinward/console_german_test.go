package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/html"

	"kinward/blocklists"
	"kinward/journal/guidance"
	"kinward/setup"
)

// passage is a text of a page, as somebody reads or hears it, in the language that
// the page says it is in.
type passage struct{ lang, text string }

// passages are the texts of a page but those to be copied, and a person's own.
func passages(t *testing.T, page string) (all []passage) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	must(t, err)
	take := func(lang, text string) {
		if text = strings.Join(strings.Fields(text), " "); strings.ContainsFunc(text, unicode.IsLetter) {
			all = append(all, passage{lang, text})
		}
	}
	var walk func(n *html.Node, lang string)
	walk = func(n *html.Node, lang string) {
		if n.Type == html.TextNode {
			take(lang, n.Data)
		}
		if n.Type == html.ElementNode {
			values := map[string]string{}
			for _, a := range n.Attr {
				values[a.Key] = a.Val
			}
			if l, ok := values["lang"]; ok {
				lang = l
			}
			if slices.Contains([]string{"script", "style", "code", "pre", "textarea", "blockquote"}, n.Data) || slices.Contains(strings.Fields(values["class"]), "code") {
				return
			}
			for key, value := range values {
				if slices.Contains([]string{"alt", "title", "aria-label", "placeholder"}, key) || strings.HasPrefix(key, "data-") && strings.Contains(value, " ") || key == "content" && values["name"] == "description" {
					take(lang, value)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, lang)
		}
	}
	walk(root, "")
	return all
}

// englishWords are such as no German sentence has.
var englishWords = regexp.MustCompile(`\b([Tt]he|[Aa]nd|[Ii]s|[Aa]re|[Ww]ere|[Oo]f|[Ii]t|[Tt]hat|[Tt]his|[Ww]ith|[Ff]or|to|from|[Hh]as|[Hh]ave|[Yy]ou|[Yy]our|been|not|[Nn]othing|[Ee]very|which|[Ww]ho|[Ww]hat|when|until|since|once|times|blocked|allowed|[Dd]evice|services|[Ee]verybody|[Ll]ook-ups?|daily|Mon|Tue|Wed|Thu|Sun|Dec|Oct)\b`)

// german finds English in pages.
type german struct {
	t       *testing.T
	texts   map[string]bool   // what English pages say and German ones do not
	holed   []holedText       // those in which something is put in
	known   map[string]bool   // what was read already
	names   *strings.Replacer // takes out what things are called
	read    int
	english map[string][]string // where which was found
}

// holedText is a text with what it holds for sure, so that most need no match.
type holedText struct {
	part  string
	match *regexp.Regexp
}

// unspoken are commands and sources, which are told as they are.
var unspoken = regexp.MustCompile(`\([^()]*(\(\d\)[^()]*)?, gelesen \d{4}-\d{2}\)|kinward [a-z]+( --[a-z-]+,?)*`)

func newGerman(t *testing.T) *german {
	t.Helper()
	g := &german{t: t, texts: map[string]bool{}, known: map[string]bool{}, english: map[string][]string{}}
	var english, other map[string]any
	must(t, yaml.Unmarshal([]byte(readFile(t, "console/texts/en.yaml")), &english))
	must(t, yaml.Unmarshal([]byte(readFile(t, "console/texts/de.yaml")), &other))
	hole := regexp.MustCompile(`\{\{.*?\}\}`)
	same := map[string]bool{}
	for _, text := range other {
		same[fmt.Sprint(text)] = true
	}
	for key, text := range english {
		s, single := text.(string)
		if key == "language.name" { // stands there for whoever reads that one
			continue
		}
		if parts := hole.Split(s, -1); single && !same[s] && len(strings.Join(parts, "")) > 3 {
			g.texts[s] = true
			if len(parts) > 1 {
				longest := slices.MaxFunc(parts, func(a, b string) int { return len(a) - len(b) })
				for i := range parts {
					parts[i] = regexp.QuoteMeta(parts[i])
				}
				g.holed = append(g.holed, holedText{longest, regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `$`)})
			}
		}
	}
	catalogue, err := blocklists.Embedded()
	must(t, err)
	var names []string
	for _, s := range catalogue.Services {
		names = append(names, s.Name, "")
	}
	offers, err := blocklists.Directory()
	must(t, err)
	for _, o := range offers {
		names = append(names, o.Name, "")
	}
	book, err := guidance.Embedded("de")
	must(t, err)
	for _, l := range book.Lines("DE") {
		names = append(names, l.Organisation, "")
	}
	g.names = strings.NewReplacer(names...)
	return g
}

// holds reads a page, and keeps what English is in it.
func (g *german) holds(where, page string) {
	g.t.Helper()
	for _, p := range passages(g.t, page) {
		if !strings.HasPrefix(p.lang, "de") {
			continue
		}
		g.read++
		if g.known[p.text] {
			continue
		}
		g.known[p.text] = true
		text := g.names.Replace(unspoken.ReplaceAllString(p.text, ""))
		found := englishWords.MatchString(text) || g.texts[text]
		for _, h := range g.holed {
			found = found || strings.Contains(text, h.part) && h.match.MatchString(text)
		}
		if found || strings.Contains(text, "[") && textKey.MatchString(text) {
			g.english[p.text] = append(g.english[p.text], where)
		}
	}
}

// plain is holds for a text that is no page.
func (g *german) plain(where, text string) {
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "kinward ") { // a command is one
			g.holds(where, `<p lang="de">`+html.EscapeString(line)+`</p>`)
		}
	}
}

// report fails for all that was found.
func (g *german) report() {
	for text, where := range g.english {
		g.t.Errorf("%s says in English: %s", where[0], text)
	}
	g.t.Logf("%d texts were read", g.read)
}

// speaks has a visitor's browser ask for German pages.
func (b *visitor) speaksGerman() *visitor {
	b.client.Jar.SetCookies(mustURL(b.t, b.base), []*http.Cookie{{Name: "kinward-lang", Value: "de"}})
	return b
}

// tries sends a form, whatever comes of it, and returns the page that it leads to.
func (b *visitor) tries(path string, pairs ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	q, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	must(b.t, err)
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("Origin", b.base)
	r, err := b.client.Do(q)
	must(b.t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(b.t, err)
	return string(body)
}

// germanLife gives a family something to show on each page, in German as far as
// people write it.
func (h *home) germanLife() {
	h.t.Helper()
	list := filepath.Join(h.t.TempDir(), "spiele.txt")
	must(h.t, os.WriteFile(list, []byte("spiel.example\n"), 0o600))
	for _, words := range [][]string{
		{"families", "country", "DE"},
		{"profiles", "add", "Lea", "C"},
		{"profiles", "add", "Tom", "A"},
		{"profiles", "add", "Max", "E"},
		{"devices", "add", "127.0.0.1", "--name", "Leas Handy", "--profile", "Lea"},
		{"devices", "add", "127.0.0.3", "--name", "Toms Tablet", "--profile", "Tom"},
		{"devices", "add", "127.0.0.4", "--name", "Max' Laptop", "--profile", "Max"},
		{"devices", "exempt", "127.0.0.7", "--name", "Mamas Laptop"},
		{"lists", "add", list, "--category", "gambling"},
		{"schedules", "bedtime", "Lea", "20:30-06:30", "--holidays", "saturday"},
		{"schedules", "off", "Lea", "Bedtime"},
		{"schedules", "add", "Lea", "Hausaufgaben", "block", "games-chat", "Mon-Fri 14:00-16:00"},
		{"schedules", "add", "Lea", "Kurz", "free", "tiktok", "daily 17:00-18:00"},
		{"holidays", "add", "Ferien", "2030-07-01", "2030-08-10"},
		{"rules", "deny", "example.net", "--profile", "Lea"},
		{"rules", "allow", "wikipedia.org", "--profile", "Lea", "--for", "2h"},
		{"rules", "deny", "co.uk", "--profile", "Lea"},
		{"rules", "deny", "gstatic.com", "--profile", "Lea"},
		{"grants", "add", "roblox", "--profile", "Lea", "--for", "60m"},
		{"profiles", "choose", "Lea", "messaging", "watch"},
		{"profiles", "choose", "Lea", "instagram", "allow"},
		{"profiles", "choose", "Lea", "snapchat", "block"},
		{"profiles", "log", "Lea", "dating", "count"},
		{"profiles", "preset", "Tom", "B"},
		{"retention", "set", "60"},
		{"retention", "set", "30", "dating"},
		{"alerts", "add", "ntfy", "https://ntfy.example/thema", "--guardian", "Eva"},
		{"alerts", "set", "--guardian", "Eva", "--category", "social", "--when", "weekly"},
		{"alerts", "set", "--guardian", "Eva", "--quiet", "none"},
	} {
		h.must(words...)
	}
	for _, name := range []string{
		"omegle.com.", "tinder.com.", "whatsapp.com.", "www.expressvpn.com.", "use-application-dns.net.", "example.net.", "google.com.", "www.google.com.", "spiel.example.", "coomer.su.",
	} {
		for _, from := range []string{"127.0.0.1", "127.0.0.3", "127.0.0.4", "127.0.0.8"} {
			h.asksFrom(from, name)
		}
	}
	h.must("pause", "Tom")
	h.must("pause", "Max", "--for", "2h")
	h.asksFrom("127.0.0.3", "allowed.example.")
	h.signalsUntil(func(s []signalView) bool { return len(s) > 1 })
}

// TestGermanPages: whatever a guardian, a child or an operator reads in German is
// German, or says in the page that it is English: every page that links lead to,
// what is refused, what waits, set-up instructions, evidence and letters.
func TestGermanPages(t *testing.T) {
	cert, key := certificateFiles(t, "dns.example", "*.dns.example")
	box := startLetterbox(t, false)
	h := pageHome(t, fmt.Sprintf("tls:\n  name: dns.example\n  certificate: %s\n  key: %s\nalerts:\n%s", cert, key, box.config()),
		"--dot", "127.0.0.1:0", "--doh", "127.0.0.1:0", "--doq", "127.0.0.1:0")
	g := newGerman(t)
	defer g.report()

	// At the door.
	base, link := h.consoleLink()
	link = strings.TrimPrefix(link, base)
	guest := newVisitor(t, base).speaksGerman()
	for _, p := range guest.crawl("/sign-in", link) {
		g.holds(p.path, p.text)
	}
	g.holds("a wrong link", guest.fetch(link[:len(link)-3]+"abc").text)
	g.holds("a wrong password", guest.tries("/sign-in", "name", "eva", "password", "falsch falsch falsch"))
	eva := newVisitor(t, base).speaksGerman()
	g.holds("a weak password", eva.tries(link, "for", "home", "called", "Eva", "name", "eva", "password", "kurz", "again", "kurz"))
	eva.post(link, http.StatusOK, "for", "home", "called", "Eva", "name", "eva", "password", goodPassword, "again", goodPassword)
	h.must("guardians", "remove", "Maria")
	h.must("profiles", "rename", "Lea", "Ida")
	h.must("devices", "remove", "Phone")
	h.must("alerts", "add", "email", "eva@example.org", "--guardian", "Eva")
	h.germanLife()

	// Children: what is closed, and why, for each age.
	for _, name := range []string{"omegle.com", "tinder.com", "example.net"} {
		_, page := h.browse("GET", "http://"+name+"/", nil, "Accept-Language", "de")
		g.holds("the block page for "+name, page)
	}
	for _, path := range []string{"/my", "/ask?name=omegle.com", "/ask", "/nothing"} {
		_, page := h.browse("GET", portalURL+path, nil, "Accept-Language", "de")
		g.holds("the portal's "+path, page)
	}
	resp, _ := h.browse("POST", portalURL+"/ask", url.Values{"name": {"omegle.com"}, "message": {"Schule"}}, "Origin", portalURL, "Accept-Language", "de")
	_, page := h.browse("GET", portalURL+resp.Header.Get("Location"), nil, "Accept-Language", "de")
	g.holds("what a child asked", page)

	// What is refused.
	karl := eva.joins("Karl", "guardian").speaksGerman()
	lea := regexp.MustCompile(`href="(/children/\d+)"[^>]*>(?:<[^>]*>|\s)*Lea`).FindStringSubmatch(eva.get("/children", http.StatusOK))[1]
	device := regexp.MustCompile(`/devices/\d+`).FindString(eva.get("/devices", http.StatusOK))
	for _, form := range [][]string{
		{"/children", "name", "", "preset", "C"},
		{"/children", "name", "Lea", "preset", "C"},
		{lea, "do", "rename", "value", "Tom"},
		{lea, "do", "rename", "name", "Tom"},
		{lea, "do", "grant", "what", "everything", "name", "omegel", "for", "15m"},
		{lea, "do", "response", "value", "nirgends"},
		{lea + "/rules", "name", "co..uk", "action", "deny", "match", "suffix", "for", ""},
		{lea + "/rules", "name", "example.net", "action", "deny", "match", "suffix", "for", ""},
		{lea + "/rules", "name", "nummergegenkummer.de", "action", "deny", "match", "suffix", "for", ""},
		{lea + "/categories", "thing", "security", "choice", "allow"},
		{lea + "/categories", "thing", "nichts", "choice", "allow"},
		{lea + "/services", "thing", "nichts", "choice", "allow"},
		{lea + "/search", "thing", "nichts", "choice", "off"},
		{lea + "/kept", "thing", "dating", "choice", "irgendwie"},
		{"/devices", "name", "Leas Handy", "profile", "Lea", "clue", "127.0.0.1"},
		{"/devices", "name", "Neu", "profile", "Lea", "clue", "irgendwo"},
		{"/devices", "name", "Neu", "profile", "Lea", "clue", "203.0.113.9"},
		{"/devices", "name", "Neu", "profile", "Niemand", "clue", ""},
		{device, "do", "clue-remove", "clue", "192.0.2.1"},
		{device, "do", "rename", "name", "Toms Tablet"},
		{"/holidays", "name", "Ferien", "first", "2030-07-05", "last", "2030-07-01"},
		{"/holidays", "name", "Ferien", "first", "2030-07-05", "last", "2030-07-09"},
		{"/family/zone", "zone", "Nirgendwo"},
		{"/family/country", "country", "Deutschland"},
		{"/family/loosening", "delay", "9999h"},
		{"/family/loosening", "delay", "0", "second", "on"},
		{"/family/guardians", "name", "Eva", "role", "guardian"},
		{"/family/guardians/role", "name", "Eva", "role", "viewer"},
		{"/family/guardians/invite", "name", "Eva"},
		{"/alerts/add", "kind", "email", "to", "niemand"},
		{"/alerts/add", "kind", "ntfy", "to", "http://ntfy.example"},
		{"/alerts/add", "kind", "webhook", "to", "https://127.0.0.1/"},
		{"/alerts/set", "quiet-from", "25:00", "quiet-until", "07:00", "quiet", "on", "digest-at", "19:00", "digest-day", "Sunday", "per-hour", "6"},
		{"/alerts/set", "digest-at", "19:00", "digest-day", "Sunday", "per-hour", "99"},
		{"/alerts/night", "from", "25:00", "until", "03:00"},
		{"/data/retention", "days", "9999", "category", ""},
		{"/history/1/undo"},
		{"/history/9999/undo"},
		{"/requests/99", "answer", "15m"},
		{"/operator/families", "name", "Zuhause", "zone", "", "preset", "C"},
		{"/operator/families", "name", "Berg", "zone", "Nirgendwo", "preset", "C"},
		{"/operator/families/1/remove", "yes", "yes"},
		{"/operator/lists", "location", "nirgends.txt", "category", "gambling"},
		{"/operator/lists/nichts", "do", "update"},
		{"/operator/catalogue", "do", "update"},
	} {
		g.holds("refused: "+strings.Join(form, " "), eva.tries(form[0], form[1:]...))
	}

	// What waits.
	h.must("families", "loosening", "--second", "--delay", "24h")
	g.holds("a change that waits", eva.tries(lea, "do", "preset", "value", "E"))
	g.holds("another that waits", eva.tries(lea+"/categories", "thing", "dating", "choice", "allow"))
	waits := eva.get("/history/waiting", http.StatusOK)
	g.holds("what waits", waits)
	for i, m := range regexp.MustCompile(`/history/waiting/\d+`).FindAllString(waits, -1) {
		if i%2 == 0 {
			g.holds("agreeing to one's own", eva.tries(m+"/approve"))
			g.holds("rejecting", karl.tries(m+"/reject"))
		} else {
			g.holds("agreeing", karl.tries(m+"/approve"))
		}
	}
	h.must("families", "loosening", "--second=false", "--delay", "0")

	// Explanations, and instructions for each system.
	for _, name := range []string{"tiktok.com", "omegle.com", "wikipedia.org", "unknown.example", "nummergegenkummer.de", "connectivitycheck.gstatic.com", "spiel.example", "www.google.com", "kinward.home.arpa", "expressvpn.com", "use-application-dns.net"} {
		for _, who := range []string{"profile:Lea", "profile:Max", "profile:Tom", "device:Leas Handy"} {
			g.holds("explaining "+name, eva.get("/explain?name="+name+"&who="+url.QueryEscape(who), http.StatusOK))
		}
	}
	for _, platform := range setup.Platforms() {
		at := device + "/setup/" + platform
		if eva.fetch(at).status != http.StatusOK {
			at = "/router/" + platform
		}
		g.holds(at, eva.get(at, http.StatusOK))
		g.holds(at+" made", eva.tries(at))
	}

	// All else that links lead to, with all services.
	for _, p := range append(eva.crawl("/", "/welcome", "/confirm?next=/", "/more", "/operator", "/account"), karl.crawl("/", "/more")...) {
		if strings.HasPrefix(p.kind, "text/html") && !strings.HasPrefix(p.path, "/api") {
			g.holds(p.path, p.text)
		}
	}
	for at := 1; ; at++ {
		p := eva.fetch(fmt.Sprintf("%s/services?page=%d", lea, at))
		g.holds("services", p.text)
		if p.status != http.StatusOK || !strings.Contains(p.text, `rel="next"`) {
			if at < 5 {
				t.Errorf("only %d pages of services: %d", at, p.status)
			}
			break
		}
	}

	// Evidence, and letters.
	bundle := []byte(eva.post("/incidents/export", http.StatusOK, "format", "bundle", "since", "30d"))
	file, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	must(t, err)
	evidence, err := file.Open("incidents.html")
	must(t, err)
	text, err := io.ReadAll(evidence)
	must(t, err)
	g.holds("the evidence", string(text))
	h.must("alerts", "test", "1")
	for range 2 {
		l := box.next(t)
		g.plain("a letter's subject", l.subject)
		g.plain("a letter", l.plain)
		g.holds("a letter's page", l.html)
		wantAll(t, "a letter's page", l.html, `<html lang="de">`)
	}
	for _, period := range []string{"hour", "day", "week"} {
		g.plain("a digest", h.must("digest", "preview", "--guardian", "Eva", "--period", period))
		g.holds("a digest's page", h.must("digest", "preview", "--guardian", "Eva", "--period", period, "--html"))
	}
	if g.read < 5000 {
		t.Errorf("only %d texts were read", g.read)
	}
}
