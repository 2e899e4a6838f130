package blocklists

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkPattern is what every entry with a pattern must hold to.
func checkPattern(t *testing.T, e Entry) {
	t.Helper()
	again, err := parsePattern(e.Pattern.String())
	if err != nil {
		t.Errorf("%s does not read back: %v", e.Pattern, err)
		return
	}
	if again.Pattern.String() != e.Pattern.String() || again.Name != e.Name || again.Exact != e.Exact ||
		again.Except != e.Except || again.Important != e.Important {
		t.Errorf("%s reads back as %s", e.Pattern, again.Pattern)
	}
	if (e.Name == "") != (e.Pattern.glob != nil || e.Pattern.re != nil) {
		t.Errorf("%s: name %q", e.Pattern, e.Name)
	}
}

func mustPatterns(t testing.TB, rules ...string) []Entry {
	t.Helper()
	var all []Entry
	for _, r := range rules {
		e, err := parsePattern(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func mustCompile(t testing.TB, rules ...string) *patternSet {
	t.Helper()
	s, err := compilePatterns(mustPatterns(t, rules...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28
)

func TestPatternSet_match(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		yes, no    string
	}{
		{"wildcard in the middle", "||ads.*.example.com^", "ads.a.example.com ads.a.b.example.com x.ads.a.example.com", "ads.example.com bads.a.example.com ads.a.example.com.org"},
		{"wildcard within a label", "||p16-tiktok-*.cdn.example^", "p16-tiktok-va.cdn.example p16-tiktok-.cdn.example x.p16-tiktok-1.cdn.example", "p16-tiktok.cdn.example xp16-tiktok-1.cdn.example p16-tiktok-1.xcdn.example"},
		{"open top-level domain", "||search-engine.*^", "search-engine.com search-engine.co.uk www.search-engine.fr search-engine.evil.com", "search-engine mysearch-engine.com"},
		{"open end", "||snapkit.co", "snapkit.co snapkit.com a.snapkit.corp.example", "xsnapkit.co snapkit.c"},
		{"open end at a dot", "||get-me-wow.", "get-me-wow.com a.get-me-wow.de", "get-me-wow x.get-me-wow"},
		{"start of the name", "|start*.example^", "start.example start9.example start.a.example", "x.start9.example"},
		{"anywhere", "*outlet-uk.com^", "my-outlet-uk.com outlet-uk.com a.outlet-uk.com", "outlet-uk.com.de"},
		{"anywhere with a real dot", ".com-id*.info^", "a.com-id7.info", "com-id7.info"},
		{"two pieces that would share letters", "||abcab*cabx.example^", "abcabcabx.example abcab.cabx.example", "abcabx.example"},
		{"letters in upper case", "||ADS-x*.example^", "ads-x1.example", "ads.example"},
		{"expression", `/^ads?[0-9]+\./`, "ad1.example ads22.example", "ads.example xad1.example"},
		{"expression without case", `/^TRACKER[A-C]x/`, "trackerbx.example trackeraxe", "trackerdx.example"},
		{"expression with alternatives", `/^(.*[.])?disc(ord|ort)[a-z0-9-]+\.gifts?$/`, "discord-a.gift a.discorta.gifts", "discord.gift xdiscorda.gift"},
		{"expression about an address", `/^142\.91\.159\.[12]?\d?\d$/`, "", "142.91.159.1.example"},
		{"condition on a suffix", "||typed.example^$dnstype=A", "typed.example a.typed.example", "xtyped.example example"},
		{"condition on a name", "|exact.example^$dnstype=A", "exact.example", "a.exact.example"},
		{"names it does not hold for", "||deny.example^$denyallow=ok.deny.example|b.a.deny.example", "deny.example a.deny.example xok.deny.example", "ok.deny.example x.ok.deny.example b.a.deny.example"},
		{"glob and condition", "||steam*.example^$denyallow=steam-ok.example", "steam1.example a.steam1.example", "steam-ok.example a.steam-ok.example"},
	} {
		s := mustCompile(t, tt.rule)
		for want, names := range map[int]string{1: tt.yes, 0: tt.no} {
			for name := range strings.FieldsSeq(names) {
				hits := 0
				s.match(MustName(name), typeA, func(int) { hits++ })
				if hits != want {
					t.Errorf("%s: %s on %s: %d hits, want %d", tt.name, tt.rule, name, hits, want)
				}
			}
		}
	}
}

func TestPatternSet_types(t *testing.T) {
	for _, tt := range []struct {
		types string
		want  string // of A, AAAA, CNAME and HTTPS
	}{
		{"A", "1"},
		{"a|AaAa", "1 28"},
		{"TYPE65", "65"},
		{"~CNAME", "1 28 65"},
		{"~A|~CNAME", "28 65"},
		{"~A|AAAA", "28"}, // what is excluded says nothing more
	} {
		s := mustCompile(t, "||x.example^$dnstype="+tt.types)
		var got []string
		for _, qtype := range []uint16{typeA, typeAAAA, typeCNAME, 65} {
			s.match(MustName("a.x.example"), qtype, func(int) { got = append(got, fmt.Sprint(qtype)) })
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %s, want %s", tt.types, g, tt.want)
		}
	}
}

// TestPatternSet_strangeNames: a dot within a label is no boundary.
func TestPatternSet_strangeNames(t *testing.T) {
	s := mustCompile(t, "||ads*.example^", `/^ads\.x/`, "||ads.example^$dnstype=A")
	for _, name := range []string{`x\.ads1.example`, `ads\.x.example`, `x\.ads.example`, `.`, `a`, `\000`} {
		n, err := ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		s.match(n, typeA, func(i int) {
			if name != `ads\.x.example` || i != 0 { // which does begin with ads
				t.Errorf("%s meets rule %d", name, i)
			}
		})
	}
	mustCompile(t, `/^ads?[0z9]c\B/`).match("", typeA, func(int) { t.Error("the root meets a rule") })
	(*patternSet)(nil).match(MustName("a.example"), typeA, func(int) { t.Error("the empty set has a rule") })
}

func TestRuleLevels(t *testing.T) {
	const b, x, i, ix = levelBlock, levelExcept, levelImportant, levelImportantExcept
	for _, tt := range []struct {
		name string
		of   ruleLevels
		want bool
	}{
		{"nothing", 0, false},
		{"block", b, true},
		{"exception over block", b | x, false},
		{"exception alone", x, false},
		{"important over exception", i | x, true},
		{"important over all plain", b | i | x, true},
		{"important exception over important", i | ix, false},
		{"important exception over all", b | i | x | ix, false},
	} {
		if got := tt.of.blocks(); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	for level, e := range map[ruleLevels]Entry{b: {}, x: {Except: true}, i: {Important: true}, ix: {Except: true, Important: true}} {
		if e.level() != level {
			t.Errorf("%+v has level %d, want %d", e, e.level(), level)
		}
	}
}

func TestParsePattern_refuses(t *testing.T) {
	for rule, want := range map[string]string{
		"||plain.example^":                     "no pattern",
		"":                                     "no pattern",
		"! comment":                            "no pattern",
		"||com.*^":                             "too wide",
		"/(a/":                                 "regular expression",
		"||x.example^$client=a":                "modifier",
		"||com^$dnstype=A":                     "top-level domain",
		"||xyz*.example^$badfilter":            "no pattern",
		"||" + strings.Repeat("a", 300) + "*^": "not a domain name",
	} {
		if _, err := parsePattern(rule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error about %q", rule, err, want)
		}
	}
}

func TestParse_patternLimits(t *testing.T) {
	long := "/^" + strings.Repeat("a", maxRegexpLen) + "/\n"
	large := "/^(abc[a-z]{90}){9}/\n"
	var many strings.Builder
	for i := range maxPatterns + 2 {
		fmt.Fprintf(&many, "||name%d*.example^\n", i)
	}
	for _, tt := range []struct {
		name, text string
		skipped    int
	}{{"long", long, 1}, {"large", large, 1}, {"many", many.String(), 2}, {"one behind too many that are large", strings.Repeat("/a{1000}/\n", 60) + "/^abcdef[0-9]/\n", 61}} {
		_, r, err := parseAll("||a.example^\n"+tt.text, ParseOptions{Patterns: true})
		if err != nil || r.Skipped[SkipPatternLimit] != tt.skipped || r.NumSkipped() != tt.skipped {
			t.Errorf("%s: got %v, %v", tt.name, r, err)
		}
	}
}

func TestCompilePatterns_limits(t *testing.T) {
	plain := mustPatterns(t, "||ads*.example^")[0]
	loose := mustPatterns(t, "/^ad[0-9]x/")[0]
	large := mustPatterns(t, "/^(abc[a-z]{40}){3}/")[0]
	if len(loose.Pattern.re.needs) != 0 {
		t.Fatalf("needs %q of %s", loose.Pattern.re.needs, loose.Pattern)
	}
	for _, tt := range []struct {
		name string
		rule Entry
		most int
	}{
		{"patterns", plain, maxPatterns},
		{"expressions without literals", loose, maxUnfiltered},
		{"instructions", large, maxRegexpTotal / large.Pattern.re.size},
	} {
		if _, err := compilePatterns(slices.Repeat([]Entry{tt.rule}, tt.most)); err != nil {
			t.Errorf("%s: %d: %v", tt.name, tt.most, err)
		}
		_, err := compilePatterns(slices.Repeat([]Entry{tt.rule}, tt.most+1))
		var over *patternLimitError
		if !errors.As(err, &over) || over.rule != tt.most {
			t.Errorf("%s: %d: got %v, want an error about rule %d", tt.name, tt.most+1, err, tt.most)
		}
	}
}

// naive matches a rule the slow way, by what its text says.
func naive(rule, name string) bool {
	rule, deny, _ := strings.Cut(rule, "$denyallow=")
	for d := range strings.SplitSeq(deny, "|") {
		if d != "" && (name == d || strings.HasSuffix(name, "."+d)) {
			return false
		}
	}
	if strings.HasPrefix(rule, "/") {
		return regexp.MustCompile("(?i)" + rule[1:len(rule)-1]).MatchString(name)
	}
	re := regexp.QuoteMeta(strings.TrimLeft(rule, "|"))
	re = strings.ReplaceAll(strings.ReplaceAll(re, `\*`, ".*"), `\^`, "$")
	switch {
	case strings.HasPrefix(rule, "||"):
		re = `(^|\.)` + re
	case strings.HasPrefix(rule, "|"):
		re = "^" + re
	}
	return regexp.MustCompile(re).MatchString(name)
}

// TestPatternSet_agreesWithNaive: many rules together find what each finds
// alone, each once.
func TestPatternSet_agreesWithNaive(t *testing.T) {
	word := rapid.SampledFrom([]string{"ads", "track", "foo-bar", "abcabc", "cab", "x", "9", "ad", "example", "test-1", "ing", "com"})
	glue := rapid.SampledFrom([]string{"", ".", "*", "*.", ".*", "-"})
	rule := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			part := rapid.SampledFrom([]string{`ads`, `[a-c]+`, `\.`, `(foo|track)`, `x?`, `cab`, `.*`, `[0-9]`, `EXAMPLE`, `-bar`, `(ads|cab|com)?`})
			return "/" + rapid.SampledFrom([]string{"", "^"}).Draw(t, "begin") + strings.Join(rapid.SliceOfN(part, 1, 5).Draw(t, "parts"), "") +
				rapid.SampledFrom([]string{"", "$"}).Draw(t, "end") + "/"
		}
		var b strings.Builder
		b.WriteString(rapid.SampledFrom([]string{"||", "|", "", "*"}).Draw(t, "start"))
		for range rapid.IntRange(1, 4).Draw(t, "words") {
			b.WriteString(word.Draw(t, "word") + glue.Draw(t, "glue"))
		}
		b.WriteString(rapid.SampledFrom([]string{"^", "", "*"}).Draw(t, "end"))
		if rapid.IntRange(0, 4).Draw(t, "conditional") == 0 {
			b.WriteString("$denyallow=ads.example|x.ads.example|cab.com")
		}
		return b.String()
	})
	label := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(word, 1, 3).Draw(t, "words"), rapid.SampledFrom([]string{"", "-"}).Draw(t, "glue"))
	})
	used := 0
	rapid.Check(t, func(t *rapid.T) {
		var rules []Entry
		for _, r := range rapid.SliceOfN(rule, 1, 20).Draw(t, "rules") {
			if e, err := parsePattern(r); err == nil {
				rules = append(rules, e)
			}
		}
		s, err := compilePatterns(rules)
		if err != nil {
			return
		}
		for range 10 {
			name := strings.Join(rapid.SliceOfN(label, 1, 4).Draw(t, "labels"), ".")
			got := make([]int, len(rules))
			s.match(MustName(name), typeA, func(i int) { got[i]++ })
			for i, e := range rules {
				want := 0
				if naive(e.Pattern.String(), name) {
					want, used = 1, used+1
				}
				if got[i] != want {
					t.Fatalf("%s on %s: %d hits, want %d", e.Pattern, name, got[i], want)
				}
			}
		}
	})
	if used == 0 {
		t.Error("nothing matched")
	}
}

func FuzzPatterns(f *testing.F) {
	f.Add("||ads.*.example^\n/^ads?[0-9]+\\./\n||x.example^$dnstype=A", "ads.x.example")
	f.Add("/^ads?[0z9]c\\B/", "") // the root
	f.Add("|a*b*c*d\n*abc*^\n.abc.\n/((a|b|abc)+){3,9}x/", strings.Repeat("abc.", 60)+"example")
	f.Add("/[^a]{3}\xff\\pL(?i:K)\\bfoo\\b/$dnstype=~TYPE65535", `\000\.foo.bar`)
	f.Fuzz(func(t *testing.T, list, name string) {
		var rules []Entry
		for line := range strings.Lines(list) {
			if e, err := parsePattern(strings.TrimSpace(line)); err == nil {
				checkPattern(t, e)
				rules = append(rules, e)
			}
		}
		n, err := ParseName(name)
		s, limit := compilePatterns(rules)
		if err != nil || limit != nil || n == "" {
			return
		}
		got := make([]int, len(rules))
		s.match(n, typeA, func(i int) { got[i]++ })
		var buf [maxText]byte
		text := appendText(buf[:0], n)
		for i, e := range rules {
			want := 0
			one := filedPattern{Pattern: e.Pattern, name: e.Name, exact: e.Exact}
			if one.match(n, text, typeA) || e.Pattern.re != nil && e.Pattern.re.match(text) && e.Pattern.holdForName(n) && e.Pattern.holdForType(typeA) {
				want = 1
			}
			if got[i] != want {
				t.Errorf("%s on %s: %d hits, want %d", e.Pattern, n, got[i], want)
			}
		}
	})
}

// manyRules returns rules as lists have them: nine globs to each expression.
func manyRules(t testing.TB, n int) *patternSet {
	r := rand.New(rand.NewPCG(1, 2))
	syllables := strings.Fields("ad track pix el met ric stat count bet slot win luck cam chat date meet gift coin pay log")
	word := func() string {
		return syllables[r.IntN(len(syllables))] + syllables[r.IntN(len(syllables))] + fmt.Sprint(r.IntN(100))
	}
	var rules []string
	for i := range n {
		switch {
		case i%10 == 0 && i < 2000: // as many as the bound on their size lets in
			rules = append(rules, fmt.Sprintf(`/^(.*\.)?%s\d{1,3}\.(com|net)$/`, word()))
		case i%10 < 4:
			rules = append(rules, fmt.Sprintf("||%s-*.%s.com^", word(), word()))
		case i%10 < 7:
			rules = append(rules, fmt.Sprintf("||%s*.net^", word()))
		default:
			rules = append(rules, fmt.Sprintf("||%s.%s.org^$dnstype=A", word(), word()))
		}
	}
	return mustCompile(t, rules...)
}

var benchNames = []Name{
	MustName("www.google.com"), MustName("e1329.g.akamaiedge.net"), MustName("api-16-eu.tracking.example.org"),
	MustName("metrics.icloud.com"), MustName("d3ag4hukkh62yn.cloudfront.net"), MustName("time.apple.com"),
}

func TestPatternSet_matchDoesNotAllocate(t *testing.T) {
	s := manyRules(t, 1000)
	names := append(slices.Clone(benchNames), hostileName(s))
	hits := 0
	if got := testing.AllocsPerRun(1000, func() {
		for _, n := range names {
			s.match(n, typeA, func(int) { hits++ })
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// hostileName holds as many of the set's keys as fit, in labels.
func hostileName(s *patternSet) Name {
	var b strings.Builder
	room := 60
	keys := make([]trigram, 0, len(s.buckets))
	for k := range s.buckets {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b trigram) int { return len(s.buckets[b]) - len(s.buckets[a]) })
	for _, k := range keys {
		piece := string([]byte{byte(k >> 16), byte(k >> 8), byte(k)})
		if strings.Contains(piece, ".") || b.Len() > 245 {
			continue
		}
		if room -= 3; room < 3 {
			b.WriteByte('.')
			room = 60
		}
		b.WriteString(piece)
	}
	return MustName(b.String() + ".com")
}

// BenchmarkPatternSet_worst: all the expressions an index may hold, made to try
// long, on a name made to meet them all.
func BenchmarkPatternSet_worst(b *testing.B) {
	var rules []Entry
	for size := 0; ; {
		e := mustPatterns(b, fmt.Sprintf("/aaa.*([a-c]|b9|ab){1,20}z{%d}$/", len(rules)%20+1))[0]
		if size += e.Pattern.re.size; size > maxRegexpTotal {
			break
		}
		rules = append(rules, e)
	}
	s, err := compilePatterns(rules)
	if err != nil {
		b.Fatal(err)
	}
	name := MustName(strings.Repeat(strings.Repeat("a", 62)+".", 4))
	b.ReportMetric(float64(len(rules)), "rules")
	for b.Loop() {
		s.match(name, typeA, func(int) {})
	}
}

func BenchmarkPatternSet(b *testing.B) {
	for _, n := range []int{0, 100, 1000, 10_000} {
		s := manyRules(b, n)
		for _, bb := range []struct {
			name  string
			names []Name
		}{{"common", benchNames}, {"hostile", []Name{MustName(strings.Repeat(strings.Repeat("a1-", 20)+".", 4) + "com")}}} {
			if bb.name == "hostile" && s != nil {
				bb.names = []Name{hostileName(s)}
			}
			b.Run(fmt.Sprintf("rules=%d/%s", n, bb.name), func(b *testing.B) {
				b.ReportAllocs()
				hits, i := 0, 0
				for b.Loop() {
					s.match(bb.names[i%len(bb.names)], typeA, func(int) { hits++ })
					i++
				}
			})
		}
	}
}
