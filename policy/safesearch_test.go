package policy

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"

	"kinward/blocklists"
)

func mustSafeSearch(tb testing.TB) *SafeSearch {
	tb.Helper()
	s, err := EmbeddedSafeSearch()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mustIndex returns the index of the catalogue that comes with the program.
func mustIndex(tb testing.TB) *blocklists.Index {
	tb.Helper()
	c, err := blocklists.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	x, err := blocklists.Compile(c, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// all returns modes that ask for the same of every engine.
func (s *SafeSearch) all(m Search) *SearchModes {
	var modes SearchModes
	for i := range s.engines {
		modes[i+1] = m
	}
	return &modes
}

// What the engines' makers and peers publish, written down a second time: a slip
// in the table shows here.
func TestSafeSearch_targets(t *testing.T) {
	s := mustSafeSearch(t)
	const cname, flat = false, true
	for _, tt := range []struct {
		engine, host, strict, moderate string
		flatten                        bool
	}{
		{"google", "www.google.com", "forcesafesearch.google.com", "", cname},
		{"google", "www.google.co.uk", "forcesafesearch.google.com", "", cname},
		{"google", "www.google.de", "forcesafesearch.google.com", "", cname},
		{"google", "www.google.com.au", "forcesafesearch.google.com", "", cname},
		{"google", "www.google.cat", "forcesafesearch.google.com", "", cname},
		{"google", "www.google.co.zw", "forcesafesearch.google.com", "", cname},
		{"youtube", "www.youtube.com", "restrict.youtube.com", "restrictmoderate.youtube.com", cname},
		{"youtube", "m.youtube.com", "restrict.youtube.com", "restrictmoderate.youtube.com", cname},
		{"youtube", "youtubei.googleapis.com", "restrict.youtube.com", "restrictmoderate.youtube.com", cname},
		{"youtube", "youtube.googleapis.com", "restrict.youtube.com", "restrictmoderate.youtube.com", cname},
		{"youtube", "www.youtube-nocookie.com", "restrict.youtube.com", "restrictmoderate.youtube.com", cname},
		{"bing", "www.bing.com", "strict.bing.com", "", cname},
		{"bing", "edgeservices.bing.com", "strict.bing.com", "", cname},
		{"duckduckgo", "duckduckgo.com", "safe.duckduckgo.com", "", cname},
		{"duckduckgo", "www.duckduckgo.com", "safe.duckduckgo.com", "", cname},
		{"duckduckgo", "start.duckduckgo.com", "safe.duckduckgo.com", "", cname},
		{"ecosia", "www.ecosia.org", "strict-safe-search.ecosia.org", "", cname},
		{"pixabay", "pixabay.com", "safesearch.pixabay.com", "", cname},
		{"yandex", "yandex.com", "familysearch.yandex.ru", "", flat},
		{"yandex", "yandex.ru", "familysearch.yandex.ru", "", flat},
		{"yandex", "ya.ru", "familysearch.yandex.ru", "", flat},
		{"yandex", "www.yandex.com", "familysearch.yandex.ru", "", cname},
		{"yandex", "www.ya.ru", "familysearch.yandex.ru", "", cname},
		{"brave", "search.brave.com", "forcesafe.search.brave.com", "", cname},
		{"qwant", "api.qwant.com", "safeapi.qwant.com", "", cname},
		{"startpage", "startpage.com", "safe.startpage.com", "", cname},
		{"startpage", "www.startpage.com", "safe.startpage.com", "", cname},
	} {
		t.Run(tt.host, func(t *testing.T) {
			n := blocklists.MustName(tt.host)
			target, engine, flatten, ok := s.Target(n, s.all(SearchSafe))
			if !ok || target.String() != tt.strict || flatten != tt.flatten || s.Engine(engine).ID != tt.engine {
				t.Errorf("safe: %s of engine %d, flatten %t, %t; want %s of %s, flatten %t", target, engine, flatten, ok, tt.strict, tt.engine, tt.flatten)
			}
			if tt.moderate == "" {
				tt.moderate = tt.strict // an engine without a milder mode has no weaker one either
			}
			if target, _, _, ok := s.Target(n, s.all(SearchModerate)); !ok || target.String() != tt.moderate {
				t.Errorf("moderate: %s, %t; want %s", target, ok, tt.moderate)
			}
		})
	}
}

func TestSafeSearch_leavesOthersAlone(t *testing.T) {
	s := mustSafeSearch(t)
	for _, host := range []string{
		"google.com", "images.google.com", "maps.google.com", "mail.google.com", "forcesafesearch.google.com",
		"x.www.google.com", "youtube.com", "i.ytimg.com", "googlevideo.com", "music.youtube.com", "www.youtubekids.com",
		"bing.com", "brave.com", "qwant.com", "www.qwant.com", "mail.yandex.ru", "ecosia.org", "www.example.com",
	} {
		if target, _, _, ok := s.Target(blocklists.MustName(host), s.all(SearchSafe)); ok {
			t.Errorf("%s is answered with %s", host, target)
		}
	}
}

func TestSafeSearch_onlyTheChosenEngine(t *testing.T) {
	s := mustSafeSearch(t)
	var modes SearchModes
	modes[s.Number("bing")] = SearchSafe
	if _, _, _, ok := s.Target(blocklists.MustName("www.google.com"), &modes); ok {
		t.Error("Google is rewritten for a profile that chose Bing")
	}
	if _, _, _, ok := s.Target(blocklists.MustName("www.bing.com"), &modes); !ok {
		t.Error("Bing is not rewritten for a profile that chose Bing")
	}
	if _, _, _, ok := s.Target(blocklists.MustName("www.bing.com"), &SearchModes{}); ok {
		t.Error("Bing is rewritten for a profile that chose nothing")
	}
}

// The table as a whole: complete, sourced, and free of circles.
func TestSafeSearch_table(t *testing.T) {
	s := mustSafeSearch(t)
	perEngine := map[string]int{}
	for i, h := range s.Hosts() {
		id := s.Engine(h.Engine).ID
		perEngine[id]++
		if i > 0 && s.Hosts()[i-1].Name == h.Name {
			t.Errorf("%s stands twice", h.Name)
		}
		if len(h.Source) < 5 || len(h.Date) < len("2006-01") {
			t.Errorf("%s has no source or no date", h.Name)
		}
		apex, err := publicsuffix.EffectiveTLDPlusOne(h.Name.String())
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
		// People have mail addresses at Yandex's apexes, at no other engine's.
		if want := id == "yandex" && apex == h.Name.String(); h.Flatten != want {
			t.Errorf("%s: flatten is %t, want %t", h.Name, h.Flatten, want)
		}
		for _, target := range []blocklists.Name{h.Strict, h.Moderate} {
			if _, _, _, ok := s.Target(target, s.all(SearchSafe)); ok {
				t.Errorf("%s leads to %s, which is rewritten too", h.Name, target)
			}
		}
		if id == "google" && !strings.HasPrefix(h.Name.String(), "www.google.") {
			t.Errorf("%s is no host of Google Search", h.Name)
		}
	}
	for id, want := range map[string]int{
		"bing": 2, "brave": 1, "duckduckgo": 3, "ecosia": 1, "google": 194, "pixabay": 1,
		"qwant": 1, "startpage": 2, "yandex": 54, "youtube": 5,
	} {
		if perEngine[id] != want {
			t.Errorf("%s has %d hosts, want %d", id, perEngine[id], want)
		}
	}
	if len(s.Engines()) != len(perEngine) {
		t.Errorf("%d engines, want %d", len(s.Engines()), len(perEngine))
	}
}

func TestSafeSearch_presets(t *testing.T) {
	s := mustSafeSearch(t)
	// The strength of a mode: a stronger one hides more.
	strength := map[Search]int{SearchAny: 0, SearchModerate: 1, SearchSafe: 2}
	for i := range s.Engines() {
		e := &s.Engines()[i]
		if e.Why == "" || e.Name == "" {
			t.Errorf("%s has no name or no reason", e.ID)
		}
		for band := BandA; band < Adult; band++ {
			if younger, older := e.Default(band), e.Default(band+1); strength[older] > strength[younger] {
				t.Errorf("%s: %s at %s and %s at %s", e.ID, younger, band.Ages(), older, (band + 1).Ages())
			}
		}
		if e.ID != "youtube" && e.Default(BandE) != SearchSafe {
			t.Errorf("%s is %s for %s, want safe", e.ID, e.Default(BandE), BandE.Ages())
		}
	}
	if s.Modes(Adult, nil) != (SearchModes{}) {
		t.Error("an adult's searches are rewritten")
	}
	want := [numPresets]Search{SearchSafe, SearchSafe, SearchModerate, SearchModerate, SearchAny, SearchAny}
	for p, w := range want {
		if got := s.Modes(Preset(p), nil)[s.Number("youtube")]; got != w {
			t.Errorf("YouTube is %s for %s, want %s", got, Preset(p).Ages(), w)
		}
	}
}

func TestSafeSearch_ownModes(t *testing.T) {
	s := mustSafeSearch(t)
	m := s.Modes(BandC, map[string]Search{"youtube": SearchAny, "google": SearchSafe, "altavista": SearchSafe})
	if m[s.Number("youtube")] != SearchAny || m[s.Number("google")] != SearchSafe || m[s.Number("bing")] != SearchSafe || m[0] != SearchAny {
		t.Errorf("modes are %v", m)
	}
	for _, tt := range []struct {
		engine string
		mode   Search
		want   string
	}{
		{"youtube", SearchModerate, ""},
		{"google", SearchSafe, ""},
		{"google", SearchAny, ""},
		{"google", SearchModerate, `google has no mode "moderate"; choose one of ["off" "safe"]`},
		{"gogle", SearchSafe, `called "gogle"; the nearest is "google"`},
		{"youtube", Search(9), "has no mode"},
	} {
		err := s.Check(tt.engine, tt.mode)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check(%q, %s) = %v, want an error with %q", tt.engine, tt.mode, err, tt.want)
		}
	}
	if s.Engine(0) != nil || s.Engine(MaxEngines) != nil {
		t.Error("Engine returns one for numbers that are none")
	}
}

func TestSafeSearch_doesNotAllocate(t *testing.T) {
	s := mustSafeSearch(t)
	modes := s.Modes(BandC, nil)
	names := []blocklists.Name{blocklists.MustName("www.google.com"), blocklists.MustName("yandex.ru"), blocklists.MustName("www.example.com")}
	if n := testing.AllocsPerRun(1000, func() {
		for _, name := range names {
			s.Target(name, &modes)
			s.Target(name, &SearchModes{})
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestParseSafeSearch_refuses(t *testing.T) {
	const (
		engine  = "bing\tBing\tsafe\tsafe\tsafe\tsafe\tsafe\tsafe\toff\twhy\t-\n"
		youtube = "youtube\tYouTube\tsafe,moderate\tsafe\tsafe\tsafe\tsafe\tsafe\toff\twhy\t-\n"
		host    = "bing\twww.bing.com\tstrict.bing.com\t-\t-\twho\t2026-11\n"
		tube    = "youtube\tm.youtube.com\ta.example\tb.example\t-\twho\t2026-11\n"
	)
	if _, err := parseSafeSearch(engine+youtube, host+tube); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, engines, hosts, want string }{
		{"a host twice", engine, host + host, "safesearch.tsv line 2: www.bing.com stands twice"},
		{"a target that is a host", engine, host + "bing\tstrict.bing.com\tx.bing.com\t-\t-\twho\t2026-11\n", "strict.bing.com is a target and a host"},
		{"an engine without a host", engine + youtube, host, "engine youtube has no host"},
		{"a host without an engine", engine, host + tube, `engine "youtube" is not in search-engines.tsv`},
		{"engines out of order", youtube + engine, host + tube, "bing has to stand before youtube"},
		{"a moderate target too much", engine, strings.Replace(host, "\t-\t-", "\tm.bing.com\t-", 1), "moderate"},
		{"a moderate target too few", youtube, strings.Replace(tube, "b.example", "-", 1), "moderate"},
		{"a default that the engine has not", strings.Replace(engine, "\toff", "\tmoderate", 1), host, `no mode "moderate"`},
		{"another spelling", engine, strings.Replace(host, "www.bing", "WWW.bing", 1), `has to be written "www.bing.com"`},
		{"a word for flatten", engine, strings.Replace(host, "\t-\twho", "\tyes\twho", 1), `flatten "yes"`},
		{"a column too few", engine, "bing\twww.bing.com\n", "want 7 columns, have 2"},
		{"no source", engine, strings.Replace(host, "who", "", 1), "column 6 is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseSafeSearch(tt.engines, tt.hosts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseSafeSearch = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// A rewritten name must reach the step that rewrites it, so neither the catalogue
// nor what must stay reachable may have a say in it, nor in its target.
func TestSafeSearch_catalogueHasNoSay(t *testing.T) {
	x := mustIndex(t)
	for _, h := range mustSafeSearch(t).Hosts() {
		for _, n := range []blocklists.Name{h.Name, h.Strict, h.Moderate} {
			if n == "" {
				continue
			}
			labels := slices.DeleteFunc(slices.Clone(x.Known(n, TypeA)), func(l blocklists.Label) bool { return l.Marks&blocklists.Above != 0 }) // those are about names below
			if len(labels) != 0 {
				t.Errorf("%s: the catalogue knows it: %v", n, labels)
			}
		}
	}
}
