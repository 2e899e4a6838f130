package console

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
// there is said in the language, too; and %l is a list of such, with commas.
//
// A format that begins with "= ~" stands in no single place of the program: it is
// made of several, or is a word that is kept as data.

const saidKey = "= "

// sayings is what one language has for English sentences. It is immutable.
type sayings struct {
	exact    map[string]string
	patterns []phrase // the most telling first
}

type phrase struct {
	prefix string
	match  *regexp.Regexp
	words  string
	weight int
}

var (
	englishVerb = regexp.MustCompile(`%(\[\d+\])?[sdqvwU]`)
	saidVerb    = regexp.MustCompile(`%(?:\[(\d+)\])?([sdqvwtl])`)
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
		english = strings.TrimPrefix(english, "~")
		words, ok := value.(string)
		if !ok || words == "" {
			return nil, fmt.Errorf("%q says nothing", key)
		}
		s.exact[english] = words
		verbs := englishVerb.FindAllStringIndex(english, -1)
		if len(verbs) == 0 {
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
		s.patterns = append(s.patterns, phrase{english[:verbs[0][0]], match, words, len(englishVerb.ReplaceAllString(english, ""))})
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
	if words, ok := s.find(english); ok {
		return words, true
	}
	// Pages begin sentences with a capital and end them with a full stop.
	first, size := utf8.DecodeRuneInString(english)
	body, stop := strings.CutSuffix(english[size:], ".")
	// In the middle of others they begin with none.
	if words, ok := s.find(string(unicode.ToUpper(first)) + english[size:]); ok {
		return words, true
	}
	for _, try := range []string{string(unicode.ToLower(first)) + body, string(first) + body} {
		if words, ok := s.find(try); ok {
			if unicode.IsUpper(first) {
				f, n := utf8.DecodeRuneInString(words)
				words = string(unicode.ToUpper(f)) + words[n:]
			}
			if stop {
				words += "."
			}
			return words, true
		}
	}
	return english, false
}

func (s *sayings) find(english string) (string, bool) {
	if words, ok := s.exact[english]; ok && !strings.Contains(words, "%") {
		return words, true
	}
	for _, p := range s.patterns {
		if !strings.HasPrefix(english, p.prefix) {
			continue
		}
		if args := p.match.FindStringSubmatch(english); args != nil {
			return s.fill(p.words, args[1:]), true
		}
	}
	return "", false
}

func (s *sayings) fill(words string, args []string) string {
	next := 0
	return saidVerb.ReplaceAllStringFunc(words, func(verb string) string {
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
		case "t":
			arg, _ = s.say(arg)
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
