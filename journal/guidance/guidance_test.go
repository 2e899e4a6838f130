package guidance

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kinward/blocklists"
	"kinward/policy"
)

func book(t *testing.T) *Book {
	t.Helper()
	return in(t, English)
}

func in(t *testing.T, language string) *Book {
	t.Helper()
	b, err := Embedded(language)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLanguages: each language says what English says, of the same things and to
// the same ages.
func TestLanguages(t *testing.T) {
	said := map[string]bool{}
	texts(book(t), func(where, text string) { said[where] = said[where] || text != "" })
	for _, l := range Languages()[1:] {
		also := map[string]bool{}
		texts(in(t, l), func(where, text string) { also[where] = also[where] || text != "" })
		if diff := cmp.Diff(said, also); diff != "" {
			t.Errorf("%s (-English +%s):\n%s", l, l, diff)
		}
	}
}

// texts calls f for every text that a guardian can read, with where it stands.
func texts(b *Book, f func(where, text string)) {
	each := func(where string, e entry) {
		f(where+" what", e.what)
		f(where+" why", e.why)
		f(where+" done", e.done)
		for _, t := range e.talk {
			f(where+" talk", t)
		}
	}
	for c, e := range b.categories {
		each("category "+blocklists.Category(c).String(), e)
	}
	for id, e := range b.services {
		each("service "+id, e)
	}
}

// TestEveryCategoryForEveryBand: whatever an incident is of, there is something to
// say to the guardian of a child of any age.
func TestEveryCategoryForEveryBand(t *testing.T) {
	b := book(t)
	for c := blocklists.NoCategory; c < blocklists.NumCategories; c++ {
		for band := policy.BandA; band <= policy.Adult; band++ {
			for _, service := range []string{"", "omegle", "nobody-knows-it"} {
				g := b.For(c, service, "DE", band)
				if g.What == "" || g.Why == "" || g.Talk == "" || g.Done == "" || len(g.Report) == 0 {
					t.Errorf("category %s, service %q, band %s: %+v", c, service, band, g)
				}
			}
		}
	}
}

// mission are the services that the guides for parents warn of, which Kinward was
// begun for; game chat and VPNs are categories.
var mission = []string{
	"omegle", "chatroulette", "meetme", "bumble", "liveme", "grindr", "tiktok", "holla", "skout", "kik", "hotornot", "snapchat",
	"facebook", "instagram", "dropbox",
}

// TestServices: each service of the mission has words of its own, and no service
// is spoken of that the catalogue does not have, with what it is.
func TestServices(t *testing.T) {
	b := book(t)
	catalogue, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range mission {
		if _, ok := b.services[id]; !ok {
			t.Errorf("%s has no words of its own", id)
		}
	}
	for id := range b.services {
		s, ok := catalogue.Service(id)
		if !ok {
			t.Errorf("the catalogue has no service %q", id)
			continue
		}
		if catalogue.About(s) == "" {
			t.Errorf("the catalogue does not say what %s is", id)
		}
		own, of := b.For(s.Category, id, "", policy.BandC), b.For(s.Category, "", "", policy.BandC)
		if own.What == of.What && own.Why == of.Why && own.Talk == of.Talk && own.Done == of.Done {
			t.Errorf("%s says no more than its category", id)
		}
	}
}

// TestWording: short, plain, calm. Words that frighten or blame stand nowhere.
func TestWording(t *testing.T) {
	blames := regexp.MustCompile(`(?i)\b(täter\w*|gefährlich\w*|schrecklich\w*|furchtbar\w*|entsetzlich\w*|schockierend\w*|alarmierend\w*|opfer|ungezogen|ungehorsam|bestraf\w*|schuldig|sünd\w*|schmutzig|süchtig|ertappt|verdächtig\w*|ausspionier\w*)\b|!`)
	texts(in(t, "de"), func(where, text string) {
		if text == "" {
			return
		}
		if n := utf8.RuneCountInString(text); n < 40 || n > 440 {
			t.Errorf("%s has %d characters in German; want 40 to 440: %s", where, n, text)
		}
		if m := blames.FindString(text); m != "" {
			t.Errorf("%s says %q: %s", where, m, text)
		}
		if strings.TrimSpace(text) != text || !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
			t.Errorf("%s does not end as a sentence: %q", where, text)
		}
	})
	harsh := regexp.MustCompile(`(?i)\b(predators?|dangerous|terrible|horrible|shocking|epidemic|alarming|victims?|naughty|disobe\w+|punish(ed)?|guilty|sins?|sinful|dirty|addict\w*|must never|should be ashamed|caught|suspicious|spy\w*)\b|!`)
	texts(book(t), func(where, text string) {
		if text == "" {
			return
		}
		if n := len(text); n < 40 || n > 420 {
			t.Errorf("%s has %d characters; want 40 to 420: %s", where, n, text)
		}
		if m := harsh.FindString(text); m != "" {
			t.Errorf("%s says %q: %s", where, m, text)
		}
		if strings.TrimSpace(text) != text || !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
			t.Errorf("%s does not end as a sentence: %q", where, text)
		}
		sentences := regexp.MustCompile(`[.?]( |$)`).Split(strings.TrimRight(text, ".?"), -1)
		letters, words := 0, 0
		for _, s := range sentences {
			n := len(strings.Fields(s))
			words += n
			letters += len(s)
			if n > 30 {
				t.Errorf("%s has a sentence of %d words; want 30 at most: %s", where, n, s)
			}
		}
		if mean := float64(letters) / float64(words); mean > 6.9 { // with the blank: longer words are harder to read
			t.Errorf("%s has words of %.1f letters on average: %s", where, mean, text)
		}
	})
}

// TestLines: every line says who, what for, where from and when; what is not
// verified is marked.
func TestLines(t *testing.T) {
	b := book(t)
	catalogue, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	open := func(host string) bool {
		n := blocklists.MustName(host)
		return slices.ContainsFunc(catalogue.Reachable, func(r blocklists.Reachable) bool {
			return r.Section == blocklists.SectionHelp && (r.Name == n || !r.Exact && n.IsBelow(r.Name))
		})
	}
	// Sites of whole governments, of which help is a part.
	whole := []string{"www.dia.govt.nz", "www.gov.br", "www.gob.mx", "digital-strategy.ec.europa.eu"}
	if len(b.lines) < 100 {
		t.Fatalf("%d lines", len(b.lines))
	}
	seen := map[string]bool{}
	unverified := 0
	for _, l := range b.lines {
		key := l.Country + " " + l.Organisation
		if seen[key] {
			t.Errorf("%s stands twice", key)
		}
		seen[key] = true
		if l.Source == "" || l.Date == "" || strings.Contains(strings.Join([]string{l.For, l.Contact, l.Hours, l.Source}, " "), "memory") {
			t.Errorf("%s has no source and date: %+v", key, l)
		}
		if !l.Verified {
			unverified++
		}
		if l.Web != "" && !slices.Contains(whole, l.Web) && !open(l.Web) {
			t.Errorf("%s: %s is no help line of the catalogue, so a list could block it and a look-up be kept", key, l.Web)
		}
		if strings.ContainsAny(l.Web, "/: ") {
			t.Errorf("%s: %q is no host", key, l.Web)
		}
	}
	if unverified == 0 {
		t.Error("everything is verified; nobody would believe that")
	}
	for _, c := range b.Countries() {
		var emergency, other bool
		for _, l := range b.Lines(c) {
			emergency = emergency || strings.Contains(l.For, "emergency")
			other = other || l.Country == c && !strings.Contains(l.For, "emergency")
		}
		if !emergency && c != "CH" { // for which no source is at hand
			t.Errorf("%s has no emergency number", c)
		}
		if !other && c != Union {
			t.Errorf("%s has nothing but an emergency number", c)
		}
	}
	for country, first := range map[string]string{"": Everywhere, "ZZ": Everywhere, "T B": Everywhere, "GR": Union, "EU": Union} {
		lines := b.Lines(country)
		if len(lines) < 3 || lines[0].Country != first || lines[len(lines)-1].Country != Everywhere {
			t.Errorf("of country %q the lines are %+v", country, lines)
		}
	}
	if de := b.Lines("DE"); de[0].Country != "DE" || de[len(de)-1].Country != Everywhere || slices.ContainsFunc(de, func(l Line) bool { return l.Country == Union }) {
		t.Errorf("of DE the lines are %+v", de)
	}
}

func TestParseRefuses(t *testing.T) {
	whole, err := data.ReadFile("data/en.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a category that is not", "category datng\nwhat x\n", "datng"},
		{"a word that is not", "category dating\nhow x\n", `line 2: "how" is no part`},
		{"nobody's text", "what x\n", "line 1: it belongs to no category"},
		{"a band that is not", "category dating\ntalk F x\n", `line 2: talk "F"`},
		{"a band twice", "category dating\ntalk AB x\ntalk B y\n", "line 3: talk says nothing, or stands twice"},
		{"nothing said", "category dating\nwhat\n", "line 2: what says nothing"},
		{"a category twice", "category dating\ncategory dating\n", "line 2: category dating stands twice"},
		{"a category that lacks a band", strings.Replace(string(whole), "\ntalk DE ", "\ntalk D ", 1), "lacks what, why, or how to talk"},
		{"a category that is left out", strings.Replace(string(whole), "category own\n", "service own\n", 1), "category own lacks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v; want one with %q", err, tt.want)
			}
		})
	}
	const good = "DE\tA\thelp\t116 111\ta.example\t24/7\tits page\t2026-10\tverified"
	for _, tt := range []struct{ name, from, to, want string }{
		{"as it should be", "DE", "DE", ""},
		{"a column less", "\t24/7", "", "want 9 columns, have 8"},
		{"no country", "DE", "Germany", `"Germany" is no country's code`},
		{"no source", "its page", "-", "must not be told"},
		{"no date", "2026-10", "-", `"-" is no date`},
		{"a year alone", "2026-10", "2026", `"2026" is no date`},
		{"nowhere to turn to", "116 111\ta.example", "-\t-", "can be reached nowhere"},
		{"no word on verification", "\tverified", "\tyes", `but "yes"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseLines("# head\n" + strings.Replace(good, tt.from, tt.to, 1))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the error is %v; want one with %q", err, tt.want)
			}
		})
	}
	if _, err := Embedded("xx"); err == nil || !strings.Contains(err.Error(), `"en"`) {
		t.Errorf("a language that is not: %v", err)
	}
}
