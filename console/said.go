package console

import (
	"cmp"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// What the program says elsewhere, in the journal's sentences, in refusals and in
// the record of changes, is English. A language's file has it, too: a line whose
// key is the English format (see package fmt) behind "= ".
//
// Sentences that are made now ask for their format before it is filled in, see
// [Says]. What was written earlier, such as the record of changes, is recognised
// by its format, see [sayings.say]. There a verb may be %t, or %[1]t: what stands
// there is said in the language, too; %T is the same where the whole has no words
// without it; and %l is a list of such, with commas. Times and days need no line:
// they are written as "= Mon 2 Jan 2006 15:04" and its like are.
//
// A format that begins with "= ~" stands in no single place of the program: it is
// made of several, or is a word that is kept as data. One that begins with "= !" is
// asked for and never recognised, since many sentences look like it. One that
// begins with "= +" stands in the data that come with the program, the catalogue
// above all. An edition that comes later may say something else: that has no words
// then, and pages show it as what it is, English; see [textLanguage.say].

const saidKey = "= "

// saidMarks are the marks of formats.
const saidMarks = "~!+"

// sayings is what one language has for English sentences. It is immutable.
type sayings struct {
	exact    map[string]string
	patterns []phrase // the most telling first
}

type phrase struct {
	prefix string // what a sentence begins with; "": with something that is put in
	part   string // what it holds for sure, so that most others need no match
	match  *regexp.Regexp
	words  string
	weight int
}

var (
	englishVerb = regexp.MustCompile(`%(\[\d+\])?[sdqvwU]`)
	saidVerb    = regexp.MustCompile(`%(?:\[(\d+)\])?([sdqvwtTl])`)
)

// newSayings takes the lines of said texts out of a language's file.
func newSayings(file map[string]any) (*sayings, error) {
	s := &sayings{exact: map[string]string{}}
	for key, value := range file {
		english, ok := strings.CutPrefix(key, saidKey)
		if !ok {
			continue
		}
		delete(file, key)
		mark := english[:len(english)-len(strings.TrimLeft(english, saidMarks))]
		english = english[len(mark):]
		words, ok := value.(string)
		if !ok || words == "" {
			return nil, fmt.Errorf("%q says nothing", key)
		}
		s.exact[english] = words
		verbs := englishVerb.FindAllStringIndex(english, -1)
		if len(verbs) == 0 || mark == "!" {
			continue
		}
		pattern, at := "", 0
		for _, v := range verbs {
			pattern += regexp.QuoteMeta(english[at:v[0]])
			switch english[v[1]-1] {
			case 'd':
				pattern += `(-?\d+)`
			case 'q':
				pattern += `"((?:[^"\\]|\\.)*)"`
			default:
				pattern += `(.*?)`
				if v[1] < len(english) && english[v[1]] == '%' { // the second is mostly an end that may be missing
					pattern = strings.TrimSuffix(pattern, `?)`) + `)`
				}
			}
			at = v[1]
		}
		pattern += regexp.QuoteMeta(english[at:])
		match, err := regexp.Compile(`(?s)^` + pattern + `$`)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		parts := englishVerb.Split(english, -1)
		longest := slices.MaxFunc(parts, func(a, b string) int { return len(a) - len(b) })
		s.patterns = append(s.patterns, phrase{parts[0], longest, match, words, len(strings.Join(parts, ""))})
	}
	slices.SortFunc(s.patterns, func(a, b phrase) int {
		if (a.prefix == "") != (b.prefix == "") {
			return len(b.prefix) - len(a.prefix)
		}
		if a.weight != b.weight {
			return b.weight - a.weight
		}
		return strings.Compare(a.match.String(), b.match.String())
	})
	return s, nil
}

// say returns an English text of the program in the language, and whether there
// are words for it; otherwise it is as it was.
func (s *sayings) say(english string) (string, bool) {
	return s.sayBy(english, []func(string) (string, bool){s.known, s.begun, s.ended})
}

// sayBy is say, by some ways to find the words alone, one after the other.
func (s *sayings) sayBy(english string, finds []func(string) (string, bool)) (string, bool) {
	// Pages begin sentences with a capital and end them with a full stop; others take
	// both away, to put a sentence into another. What begins as a format does is that;
	// formats that begin with something that is put in fit much.
	first, size := utf8.DecodeRuneInString(english)
	for _, find := range finds {
		if words, ok := find(english); ok && !strings.HasSuffix(english, ".") {
			return words, true
		}
		for _, stop := range []string{".", ""} {
			rest, stopped := strings.CutSuffix(english[size:], stop)
			if !stopped {
				continue
			}
			for _, try := range []rune{first, unicode.ToLower(first), unicode.ToUpper(first)} {
				words, ok := find(string(try) + rest)
				if !ok {
					continue
				}
				if unicode.IsUpper(first) {
					words = capital(words)
				}
				return words + stop, true
			}
		}
	}
	return english, false
}

// known says what has words as it is.
func (s *sayings) known(english string) (string, bool) {
	if words, ok := s.exact[english]; ok && !strings.Contains(words, "%") {
		return words, true
	}
	if words, ok := s.exact[english+"."]; ok && !strings.Contains(words, "%") { // a sentence within another
		return strings.TrimSuffix(words, "."), true
	}
	return s.when(english)
}

// begun says what begins as a format does, ended what only goes on as one does.
func (s *sayings) begun(english string) (string, bool) { return s.match(english, true) }

func (s *sayings) ended(english string) (string, bool) { return s.match(english, false) }

func (s *sayings) match(english string, begun bool) (string, bool) {
	for _, p := range s.patterns {
		if (p.prefix != "") != begun || !strings.HasPrefix(english, p.prefix) || !strings.Contains(english, p.part) {
			continue
		}
		if args := p.match.FindStringSubmatch(english); args != nil {
			if words, ok := s.fill(p.words, args[1:]); ok {
				return words, true
			}
		}
	}
	return "", false
}

// whenLayouts are those of times in sentences, and spanWords what spans of days
// and hours are made of, such as "Sun-Thu 20:30-06:30; Fri,Sat 15:00 for 24 hours".
var (
	whenLayouts = []string{"Mon 2 Jan 2006 15:04", "Mon 2 Jan 15:04", "Mon 2 Jan 2006", "Mon 2 Jan"}
	spanWords   = regexp.MustCompile(`^[-,;: \d]*(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|daily|for 24 hours)\b[-,;: \d]*)+$`)
	spanWord    = regexp.MustCompile(`for 24 hours|[A-Za-z]+`)
)

// when says a time, or a span of days and hours.
func (s *sayings) when(english string) (string, bool) {
	word := func(w string) string { return cmp.Or(s.exact[w], w) }
	for _, layout := range whenLayouts {
		t, err := time.Parse(layout, english)
		if err != nil {
			continue
		}
		month, day := t.Format("Jan"), english[:3] // without a year the parsed one is of another weekday
		text := t.Format(strings.NewReplacer("Mon", "\x00", "Jan", "\x01").Replace(word(layout)))
		return strings.NewReplacer("\x00", word(day), "\x01", word(month)).Replace(text), true
	}
	if !spanWords.MatchString(english) {
		return "", false
	}
	return spanWord.ReplaceAllStringFunc(english, word), true
}

// fill puts the parts of an English sentence into the words for it; false where
// one that has to have words has none.
func (s *sayings) fill(words string, args []string) (string, bool) {
	next, complete := 0, true
	filled := saidVerb.ReplaceAllStringFunc(words, func(verb string) string {
		m := saidVerb.FindStringSubmatch(verb)
		if m[1] != "" {
			next, _ = strconv.Atoi(m[1])
			next--
		}
		if next < 0 || next >= len(args) {
			return verb
		}
		arg := args[next]
		next++
		switch m[2] {
		case "t", "T":
			said, ok := s.say(unquote(arg))
			complete = complete && (ok || m[2] == "t")
			arg = said
		case "q":
			arg = "„" + unquote(arg) + "“"
		case "l":
			parts := strings.Split(arg, ", ")
			for i := range parts {
				parts[i], _ = s.say(parts[i])
			}
			arg = strings.Join(parts, ", ")
		}
		return arg
	})
	return filled, complete
}

func unquote(s string) string {
	if u, err := strconv.Unquote(`"` + s + `"`); err == nil {
		return u
	}
	return s
}

// said returns an English text of the program in l.
func (l *textLanguage) said(english string) string {
	words, _ := l.sayings.say(english)
	return words
}

// say is said for a page: what l has no words for is marked as the English that it
// is, so that it is read aloud as that.
func (l *textLanguage) say(english string) template.HTML {
	words, ok := l.sayings.say(english)
	words = template.HTMLEscapeString(words)
	if ok || len(l.sayings.exact) == 0 || !strings.ContainsFunc(english, unicode.IsLetter) {
		return template.HTML(words) // escaped above
	}
	return template.HTML(`<span lang="en">` + words + `</span>`)
}

// beingDone is what stands before a refusal's reason: adding device "Tablet": …
var beingDone = regexp.MustCompile(`^(?i:[a-z]+ing)\b(?:"(?:[^"\\]|\\.)*"|[^":])*: `)

// refusal says why something was not done. What l has no words for it quotes.
func (l *textLanguage) refusal(english string) string {
	if len(l.sayings.exact) == 0 || english == "" {
		return english
	}
	for rest := english; rest != ""; {
		doing := beingDone.FindString(rest)
		find := []func(string) (string, bool){l.sayings.known, l.sayings.begun, l.sayings.ended}
		if doing != "" { // unless the format itself says what was being done
			find = find[:2]
		}
		if words, ok := l.sayings.sayBy(rest, find); ok {
			return capital(words)
		}
		if doing == "" {
			_, rest, _ = strings.Cut(rest, ": ")
		}
		rest = rest[len(doing):]
	}
	return l.text("error.untranslated", "Text", english)
}

// Said returns a recorded English sentence of the program in a language (BCP 47), as
// it is where there are no words for it.
func Said(lang, english string) string {
	t, err := loaded()
	if err != nil || lang == "" {
		return english
	}
	return t.choose(lang).said(english)
}

var loaded = sync.OnceValues(loadTexts)

// Says returns the function by which sentences of the program are made in a
// language (BCP 47): it is given an English text or format and returns the
// language's, or "" where it has none. For English, and for what is no language
// of the console, it is nil.
func Says(lang string) func(english string) string {
	t, err := loaded()
	if err != nil || lang == "" {
		return nil
	}
	l := t.choose(lang)
	if len(l.sayings.exact) == 0 {
		return nil
	}
	return func(english string) string { return l.sayings.exact[english] }
}
