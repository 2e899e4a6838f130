package blocklists

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/publicsuffix"
)

func mustEmbedded(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An update that was taken costs its signature and its hash beside the loading.
func BenchmarkOpenCatalogueStore(b *testing.B) {
	_, private := testKey(1)
	dir := b.TempDir()
	take(b, openStore(b, dir), mustPack(b, withNew(b), 2, private))
	b.ReportAllocs()
	for b.Loop() {
		openStore(b, dir)
	}
}

func BenchmarkEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded(); err != nil {
			b.Fatal(err)
		}
	}
}

// A file that came out empty must not pass for a catalogue.
func TestEmbedded_isWhole(t *testing.T) {
	c := mustEmbedded(t)
	domains, sections := 0, map[Section]int{}
	for _, s := range c.Services {
		domains += len(s.Domains)
	}
	for _, r := range c.Reachable {
		sections[r.Section]++
	}
	for _, tt := range []struct {
		what      string
		got, want int
	}{
		{"services", len(c.Services), 500},
		{"domains", domains, 1000},
		{"groups", len(c.Groups), 4},
		{"help", sections[SectionHelp], 300},
		{"broad", sections[SectionBroad], 9},
		{"technical", sections[SectionTechnical], 160},
		{"shared hosts", len(c.Shared), 70},
		{"quiet names", len(c.Quiet), 25},
		{"gateways", len(c.Gateways), 2},
		{"edition", c.Edition.Version, 1},
	} {
		if tt.got < tt.want {
			t.Errorf("%d %s, want at least %d", tt.got, tt.what, tt.want)
		}
	}
}

func TestEmbedded_services(t *testing.T) {
	c := mustEmbedded(t)
	form := regexp.MustCompile(`^[a-z0-9-]+$`)
	if !slices.IsSortedFunc(c.Services, func(a, b Service) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("services are not sorted by id")
	}
	ids, owner := map[string]bool{}, map[Name]string{}
	for _, s := range c.Services {
		if ids[s.ID] || !form.MatchString(s.ID) || s.Name == "" || len(s.Domains) == 0 {
			t.Errorf("service %q, named %q, with %d domains: want a unique plain id, a name, domains", s.ID, s.Name, len(s.Domains))
		}
		ids[s.ID] = true
		if s.MinAge != 0 && s.MinAgeSource == "" {
			t.Errorf("%s is for %d and older, but no source says so", s.ID, s.MinAge)
		}
		if checkDate(s.Checked) != nil {
			t.Errorf("%s has no date of its evidence", s.ID)
		}
		if about := c.About(&s); !strings.HasSuffix(about, ".") || !strings.Contains(about, strings.TrimSuffix(strings.Fields(s.Name)[0], "'s")) {
			t.Errorf("%s: About = %q, want a sentence that names it", s.ID, about)
		}
		if s.Closed && !regexp.MustCompile("closed|seized|ended|taken out").MatchString(c.About(&s)) {
			t.Errorf("%s has ended: About = %q does not say so", s.ID, c.About(&s))
		}
		if s.Strength != NotVerified && s.StrengthSource == "" {
			t.Errorf("%s %s, but no source says so", s.ID, s.Strength)
		}
		if got, ok := c.Service(s.ID); !ok || got.ID != s.ID {
			t.Errorf("Service(%q) = %v, %t", s.ID, got, ok)
		}
		for _, d := range s.Domains {
			if o, ok := owner[d.Name]; ok {
				t.Errorf("%s belongs to %s and %s", d.Name, o, s.ID)
			}
			owner[d.Name] = s.ID
			if len(d.Sources) == 0 && d.Confidence != ConfidenceLow {
				t.Errorf("%s of %s has no source", d.Name, s.ID)
			}
			suffix, icann := publicsuffix.PublicSuffix(d.Name.String())
			if suffix == d.Name.String() && (icann || !d.PrivateSuffix) {
				t.Errorf("%s of %s is a public suffix", d.Name, s.ID)
			}
		}
	}
	if s, ok := c.Service("no-such-service"); ok {
		t.Errorf("Service(no-such-service) = %v", s)
	}
	for id, want := range map[string]string{"tictok": "tiktok", "omeg": "omegle", "nope": "", "n": "", "": ""} {
		if got := c.NearService(id); got != want {
			t.Errorf("NearService(%q) = %q, want %q", id, got, want)
		}
	}
}

// The apps of the mission have to be blocked by the mark known-risk wherever a
// preset blocks it, so each needs the mark and names that can be blocked.
func TestEmbedded_missionApps(t *testing.T) {
	c := mustEmbedded(t)
	for id, domain := range map[string]string{
		"omegle": "omegle.com", "chatroulette": "chatroulette.com", "meetme": "meetme.com", "bumble": "bumble.com",
		"liveme": "liveme.com", "grindr": "grindr.com", "tiktok": "tiktok.com", "holla": "holla.world",
		"skout": "skout.com", "kik": "kik.com", "hotornot": "hotornot.com", "snapchat": "snapchat.com",
	} {
		s, ok := c.Service(id)
		if !ok || !strings.Contains(s.KnownRisk, "parents' guide") {
			t.Errorf("Service(%q) = %+v, want it with the mark and the guide as evidence", id, s)
			continue
		}
		if !slices.ContainsFunc(s.Domains, func(d Domain) bool { return d.Name == MustName(domain) && d.Match == MatchSuffix }) {
			t.Errorf("%s does not block %s and what lies below", id, domain)
		}
	}
	for id, want := range map[string]string{
		"azar": "not verified", "livu": "not verified", "mocospace": "not verified", "whisper": "not verified",
		"hoop": "net-aware.org.uk", "monkey": "internetmatters.org", "ngl": "Federal Trade Commission", "ometv": "elternguide.online",
		"tellonym": "breckfoundation.org", "wizz": "Welsh Government", "yubo": "elternguide.online",
	} {
		if s, ok := c.Service(id); !ok || !strings.Contains(s.KnownRisk, want) {
			t.Errorf("Service(%q) = %+v, want it with the mark, and %q in its evidence", id, s, want)
		}
	}
}

// What no source says is not claimed.
func TestEmbedded_strengthsAreTheSourcedOnes(t *testing.T) {
	got := map[string]Strength{}
	for _, s := range mustEmbedded(t).Services {
		if s.Strength != NotVerified {
			got[s.ID] = s.Strength
		}
	}
	if want := map[string]Strength{"telegram": BlocksWebsite, "whatsapp": BlocksWebsite}; !maps.Equal(got, want) {
		t.Errorf("strengths %v, want %v", got, want)
	}
}

func TestStrength_String(t *testing.T) {
	for s, want := range map[Strength]string{
		NotVerified: "not verified", BlocksApp: "blocks the app", BlocksWebsite: "blocks the website", SignalOnly: "signal only",
	} {
		if got := s.String(); got != want {
			t.Errorf("Strength(%d) = %q, want %q", s, got, want)
		}
	}
}

func TestEmbedded_groups(t *testing.T) {
	c := mustEmbedded(t)
	for id, want := range map[string]struct {
		members  string
		complete bool
	}{
		"bytedance": {"lemon8 tiktok", false}, // CapCut is not catalogued
		"meta":      {"facebook instagram messenger threads whatsapp", true},
		"ok":        {"ok vk", true},
		"vk":        {"vk", true},
	} {
		g, ok := c.Group(id)
		if !ok || strings.Join(g.Members, " ") != want.members || g.Complete() != want.complete {
			t.Errorf("Group(%q) = %+v, want members %s, complete %t", id, g, want.members, want.complete)
		}
	}
	if g, ok := c.Group("nobody"); ok {
		t.Errorf("Group(nobody) = %v", g)
	}
}

// Guards and quiet names change what parents see, so each says who says so.
func TestEmbedded_protectedNamesHaveReasonSourceAndDate(t *testing.T) {
	c := mustEmbedded(t)
	row := func(n Name, reason, source, date string) {
		if !strings.HasSuffix(reason, ".") || source == "" || source == "-" || checkDate(date) != nil {
			t.Errorf("%s: reason %q, source %q, date %q", n, reason, source, date)
		}
	}
	for _, r := range c.Reachable {
		row(r.Name, r.Reason, r.Source, r.Date)
	}
	for _, h := range c.Shared {
		row(h.Name, h.Reason, h.Source, h.Date)
		if h.Source == notVerified {
			t.Errorf("nothing shows that %s is shared", h.Name)
		}
	}
	for _, q := range c.Quiet {
		row(q.Name, q.Why, q.Source, q.Date)
	}
}

func TestCatalogue_About(t *testing.T) {
	c := mustEmbedded(t)
	for _, tt := range []struct {
		name, id, want string
	}{
		{"composed of name and category", "chatrandom", `Chatrandom is listed as "Chat with strangers": brings your child into text or video chat with unknown adults, mostly without checking anybody's age.`},
		{"an adjective in front", "tinder", `Tinder is listed as "Dating & hook-ups": made for adults who want to meet in person; nearly all of them require an age of 18.`},
		{"a sentence with a source of its own", "liveme", "LiveMe is live video for adults, with private chats, gifts for money and gambling; nobody checks the age."},
		{"a sentence of its own", "icq", "ICQ was a messenger; it closed in June 2024."},
		{"closed, without one", "periscope", `Periscope is listed as "Live video by anyone": strangers go live, and viewers can write to a child, send gifts and invite. The service has ended; its names are kept to explain old records, and in case somebody uses them again.`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := c.Service(tt.id)
			if got := c.About(s); got != tt.want {
				t.Errorf("About(%s) =\n%s\nwant\n%s", tt.id, got, tt.want)
			}
		})
	}
	if got := lowerFirst("AI friends."); got != "AI friends." {
		t.Errorf("lowerFirst = %q, want the abbreviation as it is", got)
	}
}

// What no source says is not claimed, and a source is dated. An age is added
// here when its source is checked.
func TestEmbedded_minimumAgesAreTheSourcedOnes(t *testing.T) {
	got := map[string]int{}
	dated := regexp.MustCompile(`\b20[0-9]{2}-[0-9]{2}`)
	for _, s := range mustEmbedded(t).Services {
		if s.MinAge != 0 {
			got[s.ID] = s.MinAge
		}
		for _, source := range []string{s.MinAgeSource, s.AboutSource} {
			if source != "" && !dated.MatchString(source) {
				t.Errorf("%s: source %q has no date", s.ID, source)
			}
		}
	}
	if want := map[string]int{
		"bumble": 18, "chatroulette": 18, "grindr": 18, "hoop": 13, "hotornot": 18, "kik": 13, "liveme": 18, "meetme": 18,
		"monkey": 18, "ngl": 18, "ometv": 18, "snapchat": 13, "tiktok": 13, "whisper": 13, "wizz": 13, "yubo": 13,
	}; !maps.Equal(got, want) {
		t.Errorf("minimum ages %v, want %v", got, want)
	}
}

func TestEmbedded_protectedNames(t *testing.T) {
	c := mustEmbedded(t)
	domains := map[Name]Domain{}
	for _, s := range c.Services {
		for _, d := range s.Domains {
			domains[d.Name] = d
		}
	}
	seen := map[Name]bool{}
	for _, r := range c.Reachable {
		if seen[r.Name] {
			t.Errorf("%s is reachable twice", r.Name)
		}
		seen[r.Name] = true
		if r.Section != SectionHelp {
			continue
		}
		if r.Exact || r.Organisation == "" || r.Source == "" || r.Confidence == ConfidenceLow {
			t.Errorf("help %+v: want a suffix, an organisation and a source", r)
		}
		for p := r.Name; p != ""; p = p.Parent() {
			if d, ok := domains[p]; ok {
				t.Errorf("the catalogue blocks %s at %s", r.Name, d.Name)
			}
		}
	}
	for _, h := range c.Shared {
		for p := h.Name; p != ""; p = p.Parent() {
			if d, ok := domains[p]; ok && d.Match != MatchExact && d.Match != MatchGroup && !d.AboveShared {
				t.Errorf("%s takes the shared host %s along", p, h.Name)
			}
		}
	}
	for _, name := range []string{"metric.gstatic.com", "captive.apple.com", "pub.3gppnetwork.org"} {
		if !seen[MustName(name)] {
			t.Errorf("%s is not reachable", name)
		}
	}
}

// tree is a small catalogue that loads.
func tree(t testing.TB) fstest.MapFS {
	t.Helper()
	categories, err := fs.ReadFile(embedded, "data/categories.tsv")
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"categories.tsv":       {Data: categories},
		"sources.tsv":          {Data: []byte("citizenlab\tone\nut1\ttwo\n")},
		"reachable.tsv":        {Data: []byte("help\tsuffix\thelp.example.org\tchild-helpline\tGB\tHelp\tHelps.\tsomebody\t2026-11-23\thigh\n")},
		"shared-hosts.tsv":     {Data: []byte("cdn.example.net\ta CDN\tnever\tShared.\ta ranking\t2026-11\n")},
		"quiet.tsv":            {Data: []byte("pixel.example.com\tsuffix\tOn every page.\ta crawl\t2026-11\n")},
		"gateways.tsv":         {Data: []byte("translate.example\ttranslations\tgoogle-translate\tits owner\t2026-11\n")},
		"groups.txt":           {Data: []byte("group g\n  why They share.\n  member b\n")},
		"catalogue/dating.txt": {Data: []byte(goodService + "  domain a.com suffix high ut1\n  checked 2026-11\n")},
		"catalogue/social.txt": {Data: []byte("service b\n  name B\n  domain b.com group:g low -\n  checked 2026-11\n")},
	}
}

const goodService = "service a\n  name A\n"

func TestLoadCatalogue_readsWhatIsThere(t *testing.T) {
	files := tree(t)
	files["catalogue/dating.txt"].Data = []byte(`# Comment.
checked 2026-10

service a
  name A b
  about A brings b together.
  about-source its help pages
  min-age 18
  min-age-source its terms
  known-risk said so
  strength signal
  strength-source a paper
  status closed
  note ended
  domain a.com exact high ut1,citizenlab
    note why
  domain github.io optional medium ut1
    private-suffix
    note why not
  domain example.net suffix low -
    above-shared
    note on purpose

service a2
  name A2
  checked 2026-12-01
  domain a2.com suffix low -
`)
	c, err := readCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := c.Service("a")
	if s.Name != "A b" || s.Category != Dating || s.KnownRisk != "said so" || s.Strength != SignalOnly ||
		s.StrengthSource != "a paper" || !s.Closed || s.Note != "ended" || len(s.Domains) != 3 ||
		s.About != "A brings b together." || s.AboutSource != "its help pages" || s.MinAge != 18 || s.MinAgeSource != "its terms" || s.Checked != "2026-10" {
		t.Errorf("service %+v", s)
	}
	if s2, _ := c.Service("a2"); s2.Checked != "2026-12-01" || s2.MinAge != 0 || s2.About != "" {
		t.Errorf("service %+v", s2)
	}
	if d := s.Domains[0]; d.Name != MustName("a.com") || d.Match != MatchExact || d.Confidence != ConfidenceHigh ||
		!slices.Equal(d.Sources, []string{"ut1", "citizenlab"}) || d.Note != "why" || d.PrivateSuffix || d.AboveShared {
		t.Errorf("first domain %+v", d)
	}
	if d := s.Domains[1]; d.Match != MatchOptional || !d.PrivateSuffix || d.Confidence != ConfidenceMedium {
		t.Errorf("second domain %+v", d)
	}
	if d := s.Domains[2]; d.Match != MatchSuffix || !d.AboveShared || len(d.Sources) != 0 {
		t.Errorf("third domain %+v", d)
	}
	if b, _ := c.Service("b"); b.Category != Social || b.Domains[0].Match != MatchGroup || b.Domains[0].Group != "g" {
		t.Errorf("service %+v", b)
	}
	want := Reachable{SectionHelp, false, MustName("help.example.org"), "child-helpline", "GB", "Help", "Helps.", "somebody", "2026-11-23", ConfidenceHigh}
	if c.Reachable[0] != want {
		t.Errorf("reachable %+v, want %+v", c.Reachable[0], want)
	}
	if h := (SharedHost{MustName("cdn.example.net"), "a CDN", SharedNever, "Shared.", "a ranking", "2026-11"}); c.Shared[0] != h {
		t.Errorf("shared %+v, want %+v", c.Shared[0], h)
	}
	if q := (QuietName{MustName("pixel.example.com"), false, "On every page.", "a crawl", "2026-11"}); c.Quiet[0] != q {
		t.Errorf("quiet %+v, want %+v", c.Quiet[0], q)
	}
	if g := (Gateway{MustName("translate.example"), "translations", EncodingTranslate, "its owner", "2026-11"}); c.Gateways[0] != g {
		t.Errorf("gateway %+v, want %+v", c.Gateways[0], g)
	}
}

func TestLoadCatalogue_errorsSayWhere(t *testing.T) {
	const dating = "catalogue/dating.txt"
	for _, tt := range []struct{ name, file, data, want string }{
		{"unknown key of a service", dating, goodService + "  domian a.com suffix high ut1\n", `reading catalogue/dating.txt line 3: a service has no "domian"; the nearest is "domain"`},
		{"unknown key of a domain", dating, goodService + "  domain a.com suffix high ut1\n    notes x\n", `line 4: a domain has no "notes"`},
		{"unknown key at the left", dating, "servise a\n", `line 1: "servise" with 0 blanks`},
		{"part without a service", dating, "  name A\n", `line 1: "name" with 2 blanks`},
		{"part of a domain without a domain", dating, goodService + "    note x\n", `line 3: note belongs to a domain`},
		{"odd indent", dating, "service a\n   name A\n", `line 2: "name" with 3 blanks`},
		{"tab", dating, "service a\n  name\tA\n", `line 2: more than one blank, or a tab`},
		{"two blanks", dating, "service a\n  name  A\n", `line 2: more than one blank`},
		{"blank at the end", dating, "service a \n", `line 1: blanks at the end`},
		{"carriage return", dating, "service a\r\n", `line 1: blanks at the end`},
		{"not UTF-8", dating, "service a\n  name \xff\n", `line 2: the line is not UTF-8`},
		{"key twice", dating, goodService + "  name B\n", `line 3: name is given twice`},
		{"key without a value", dating, "service a\n  name\n", `line 2: name has no value`},
		{"flag twice", dating, goodService + "  status closed\n  status closed\n", `line 4: status stands alone and once`},
		{"upper-case id", dating, "service A\n", `line 1: id "A"`},
		{"no id", dating, "service\n", `line 1: id ""`},
		{"ids out of order", dating, "service d\nservice c\n", `line 2: c has to stand before d`},
		{"id in two files", "catalogue/forums.txt", "service b\n", `reading catalogue/social.txt line 1: service b stands in catalogue/forums.txt line 1`},
		{"no name", dating, "service a\n  domain a.com suffix high ut1\n", `line 1: service a has no name`},
		{"no domain", dating, goodService, `line 1: service a has no domain`},
		{"bad match", dating, goodService + "  domain a.com sufix high ut1\n", `line 3: match "sufix" is none of suffix, exact`},
		{"group without a name", dating, goodService + "  domain a.com group high ut1\n", `line 3: match "group"`},
		{"bad confidence", dating, goodService + "  domain a.com suffix sure ut1\n", `line 3: confidence "sure"`},
		{"unknown source", dating, goodService + "  domain a.com suffix high utl\n", `line 3: source "utl"`},
		{"source twice", dating, goodService + "  domain a.com suffix high ut1,ut1\n", `line 3: source "ut1"`},
		{"no source but sure", dating, goodService + "  domain a.com suffix medium -\n", `line 3: a.com has no source`},
		{"word missing", dating, goodService + "  domain a.com suffix high\n", `line 3: domain has 3 words`},
		{"bad domain", dating, goodService + "  domain a..com suffix high ut1\n", `line 3: reading name "a..com"`},
		{"another spelling", dating, goodService + "  domain A.com suffix high ut1\n", `line 3: name "A.com" has to be written "a.com"`},
		{"domain twice", dating, goodService + "  domain a.com suffix high ut1\n  domain a.com exact high ut1\n", `line 4: a.com stands in catalogue/dating.txt line 3`},
		{"domain in two services", dating, goodService + "  domain b.com suffix high ut1\n", `reading catalogue/social.txt line 3: b.com stands in catalogue/dating.txt line 3`},
		{"covered by its own service", dating, goodService + "  domain a.com suffix high ut1\n  domain x.a.com exact high ut1\n", `line 4: x.a.com: a.com in line 3 covers it already`},
		{"covered by another service", dating, goodService + "  domain x.b.com suffix high ut1\n", `line 3: x.b.com: b.com of b covers it too`},
		{"ICANN suffix", dating, goodService + "  domain co.uk suffix high ut1\n", `line 3: co.uk: everybody registers`},
		{"top level", dating, goodService + "  domain example suffix high ut1\n", `line 3: example: everybody registers`},
		{"private suffix", dating, goodService + "  domain github.io suffix high ut1\n", `line 3: github.io: private-suffix must`},
		{"private suffix that is none", dating, goodService + "  domain a.com suffix high ut1\n    private-suffix\n", `line 3: a.com: private-suffix must`},
		{"private suffix without a note", dating, goodService + "  domain github.io suffix high ut1\n    private-suffix\n", `line 3: github.io: private-suffix and above-shared need a note`},
		{"shared host", dating, goodService + "  domain cdn.example.net suffix high ut1\n", `line 3: cdn.example.net takes the shared host`},
		{"above a shared host", dating, goodService + "  domain example.net optional high ut1\n", `line 3: example.net takes the shared host`},
		{"above-shared without cause", dating, goodService + "  domain cdn.example.net suffix high ut1\n    above-shared\n    note x\n", `line 3: cdn.example.net: above-shared, but`},
		{"help", dating, goodService + "  domain help.example.org exact high ut1\n", `line 3: help.example.org: it must stay reachable (reachable.tsv line 1)`},
		{"below help", dating, goodService + "  domain a.help.example.org exact high ut1\n", `line 3: a.help.example.org: help.example.org above it is help`},
		{"above help", dating, goodService + "  domain example.org suffix high ut1\n", `line 3: example.org blocks the help at help.example.org`},
		{"strength without a source", dating, goodService + "  strength app\n  domain a.com suffix high ut1\n", `line 1: service a: strength and strength-source`},
		{"source without a strength", dating, goodService + "  strength-source x\n  domain a.com suffix high ut1\n", `line 1: service a: strength and strength-source`},
		{"bad strength", dating, goodService + "  strength strong\n", `line 3: strength "strong" is none of app, website, signal`},
		{"bad status", dating, goodService + "  status open\n", `line 3: status "open"`},
		{"group of others", dating, goodService + "  domain a.com group:g high ut1\n", `line 3: a.com: no group "g" with the member a`},
		{"group of nobody", dating, goodService + "  domain a.com group:h high ut1\n", `line 3: a.com: no group "h"`},
		{"unknown category file", "catalogue/datng.txt", goodService, `reading catalogue/datng.txt: no category is called "datng"; the nearest is "dating"`},
		{"mark as a file", "catalogue/known-risk.txt", "", `reading catalogue/known-risk.txt: known-risk is a mark`},
		{"other file", "catalogue/dating.yaml", "", `reading catalogue/dating.yaml: want a file`},
		{"unknown key of a group", "groups.txt", "group g\n  members b\n", `reading groups.txt line 2: a group has no "members"`},
		{"group member that is no service", "groups.txt", "group g\n  why x\n  member b\n  member c\n", `reading groups.txt line 1: group g has a member "c"`},
		{"group without members", "groups.txt", "group f\n  why x\ngroup g\n  why x\n  member b\n", `reading groups.txt line 1: group f needs`},
		{"group without a reason", "groups.txt", "group g\n  member b\n", `reading groups.txt line 1: group g needs`},
		{"group members out of order", "groups.txt", "group g\n  member b\n  member a\n", `line 3: member a has to stand before b`},
		{"group part without a group", "groups.txt", "  why x\n", `line 1: "why" with 2 blanks`},
		{"categories incomplete", "categories.tsv", "dating\tDating\tWhy.\t1\n", `reading categories.tsv: no row for anonymous-chat`},
		{"unknown category", "categories.tsv", "datng\tDating\tWhy.\t1\n", `reading categories.tsv line 1: no category is called "datng"`},
		{"rank taken", "categories.tsv", "dating\tDating\tWhy.\t1\nadult\tAdult\tWhy.\t1\n", `reading categories.tsv line 2: adult and dating`},
		{"category twice", "categories.tsv", "dating\tDating\tWhy.\t1\ndating\tDating\tWhy.\t2\n", `reading categories.tsv line 2: dating and dating`},
		{"bad rank", "categories.tsv", "dating\tDating\tWhy.\t26\n", `reading categories.tsv line 1: rank "26"`},
		{"column missing", "quiet.tsv", "# head\nx.com\tsuffix\twhy\n", `reading quiet.tsv line 2: 3 columns, want 5`},
		{"column empty", "quiet.tsv", "x.com\tsuffix\t\ts\t2026-11\n", `reading quiet.tsv line 1: column 3 is empty`},
		{"quiet match", "quiet.tsv", "x.com\toptional\twhy\ts\t2026-11\n", `reading quiet.tsv line 1: match "optional"`},
		{"quiet twice", "quiet.tsv", "x.com\tsuffix\twhy\ts\t2026-11\nx.com\tsuffix\twhy\ts\t2026-11\n", `reading quiet.tsv line 2: x.com stands in line 1`},
		{"bad date", "quiet.tsv", "x.com\tsuffix\twhy\ts\t2026-13\n", `reading quiet.tsv line 1: date "2026-13"`},
		{"shared rule", "shared-hosts.tsv", "x.com\ta\tsometimes\tb\ts\t2026-11\n", `reading shared-hosts.tsv line 1: rule "sometimes"`},
		{"shared host without a source", "shared-hosts.tsv", "x.com\ta\tnever\tb\t2026-11\n", `reading shared-hosts.tsv line 1: 5 columns, want 6`},
		{"gateway encoding", "gateways.tsv", "x.com\ta\trot13\ts\t2026-11\n", `reading gateways.tsv line 1: encoding "rot13"`},
		{"gateway without a source", "gateways.tsv", "x.com\ta\tamp\tnot verified\t2026-11\n", `reading gateways.tsv line 1: gateway x.com needs`},
		{"gateway that is a top-level domain", "gateways.tsv", "com\ta\tamp\ts\t2026-11\n", `reading gateways.tsv line 1: gateway com needs`},
		{"gateway twice", "gateways.tsv", "x.com\ta\tamp\ts\t2026-11\nx.com\ta\tamp\ts\t2026-11\n", `reading gateways.tsv line 2: x.com stands in line 1`},
		{"no date of the evidence", dating, goodService + "  domain a.com suffix high ut1\n", `line 1: service a has no date of its evidence`},
		{"date of the evidence in the middle", dating, goodService + "checked 2026-11\n", `line 3: "checked" with 0 blanks`},
		{"date of the evidence twice", dating, "checked 2026-11\nchecked 2026-11\n", `line 2: checked is given twice`},
		{"date of the evidence that is none", dating, goodService + "  checked soon\n", `line 3: date "soon"`},
		{"about that is no sentence", dating, goodService + "  about a chat\n  domain a.com suffix high ut1\n", `line 1: service a: about has to be a sentence`},
		{"source without a sentence", dating, goodService + "  about-source x\n  domain a.com suffix high ut1\n", `line 1: service a: about-source needs about`},
		{"age without a source", dating, goodService + "  min-age 18\n  domain a.com suffix high ut1\n", `line 1: service a: min-age and min-age-source`},
		{"source without an age", dating, goodService + "  min-age-source x\n  domain a.com suffix high ut1\n", `line 1: service a: min-age and min-age-source`},
		{"age that is none", dating, goodService + "  min-age adult\n", `line 3: min-age "adult"`},
		{"age twice", dating, goodService + "  min-age 18\n  min-age 18\n", `line 4: min-age "18"`},
		{"source ids out of order", "sources.tsv", "b\tx\na\tx\n", `reading sources.tsv line 2: a has to stand before b`},
		{"reachable section", "reachable.tsv", "helps\tsuffix\tx.org\tchild-helpline\tGB\to\tr\ts\t2026-11\thigh\n", `reading reachable.tsv line 1: section "helps"`},
		{"reachable kind of another section", "reachable.tsv", "help\tsuffix\tx.org\tos-update\tGB\to\tr\ts\t2026-11\thigh\n", `line 1: kind "os-update"`},
		{"reachable country", "reachable.tsv", "help\tsuffix\tx.org\tchild-helpline\tgb\to\tr\ts\t2026-11\thigh\n", `line 1: country "gb"`},
		{"reachable twice", "reachable.tsv", strings.Repeat("help\tsuffix\tx.org\tchild-helpline\t-\to\tr\ts\t2026-11\thigh\n", 2), `line 2: x.org stands in line 1`},
		{"help without an organisation", "reachable.tsv", "help\tsuffix\tx.org\tchild-helpline\t-\t-\tr\ts\t2026-11\thigh\n", `reading reachable.tsv line 1: x.org: help needs`},
		{"help without a source", "reachable.tsv", "help\tsuffix\tx.org\tchild-helpline\t-\to\tr\tnot verified\t2026-11\tlow\n", `reading reachable.tsv line 1: x.org: help needs`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tree(t)
			files[tt.file] = &fstest.MapFile{Data: []byte(tt.data)}
			c, err := readCatalogue(files)
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("readCatalogue = %v, %v\nwant an error with %s", c, err, tt.want)
			}
		})
	}
	for file := range tree(t) {
		files := tree(t)
		delete(files, file)
		if _, err := readCatalogue(files); strings.HasPrefix(file, "catalogue/d") != (err == nil) {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

func FuzzLoadCatalogue(f *testing.F) {
	names, err := fs.Glob(embedded, "data/catalogue/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names[:3] {
		data, err := fs.ReadFile(embedded, name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data[:2000]))
	}
	f.Add(goodService + "  domain a.com suffix low -\n    note x\n")
	f.Add("service a\n name A\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := tree(t)
		files["catalogue/dating.txt"].Data = []byte(text)
		c, err := readCatalogue(files)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "reading catalogue/") && !strings.HasPrefix(err.Error(), "reading groups.txt line") {
				t.Errorf("%q: error %v does not say where", text, err)
			}
			return
		}
		for _, s := range c.Services {
			if s.Name == "" || len(s.Domains) == 0 {
				t.Errorf("%q: accepted %+v", text, s)
			}
		}
	})
}

// A DNS service with a name for each customer is left open by its own name alone:
// a phone's private DNS is set to the customer's.
func TestEmbedded_customersOfDNSServices(t *testing.T) {
	suffixes := map[string]bool{}
	for _, s := range mustEmbedded(t).Services {
		for _, d := range s.Domains {
			suffixes[d.Name.String()] = suffixes[d.Name.String()] || d.Match == MatchSuffix
		}
	}
	for _, name := range []string{"dns.nextdns.io", "adguard-dns.com", "dns.controld.com", "freedns.controld.com"} {
		if !suffixes[name] {
			t.Errorf("%s is listed without the names below it", name)
		}
	}
}
