package console

import (
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

// texts holds all that the console says, one file a language: texts/TAG.yaml, a
// line a text, "key: words", with {{.Name}} for what is put in. A text that
// counts something has a line with its plural forms, by the categories of CLDR:
//
//	incidents: {one: "{{.N}} attempt", other: "{{.N}} attempts"}
type texts struct {
	bundle    *i18n.Bundle
	languages []*textLanguage
	matcher   language.Matcher
}

// textLanguage is one language of the console.
type textLanguage struct {
	tag       string // BCP 47, such as "de"
	localizer *i18n.Localizer
	sayings   *sayings // what the rest of the program says, see said.go
}

func loadTexts() (*texts, error) {
	t := &texts{bundle: i18n.NewBundle(language.English)}
	var said *sayings // of the file that was read last
	t.bundle.RegisterUnmarshalFunc("yaml", func(b []byte, into any) error {
		file := map[string]any{}
		err := yaml.Unmarshal(b, &file)
		if err == nil {
			said, err = newSayings(file)
		}
		*into.(*any) = file
		return err
	})
	names, err := fs.Glob(files, "texts/*.yaml")
	if err != nil {
		return nil, err
	}
	tags := []language.Tag{language.English} // first: what is meant where nothing matches
	all := map[string]*sayings{}
	for _, name := range names {
		if _, err := t.bundle.LoadMessageFileFS(files, name); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		tag := strings.TrimSuffix(path.Base(name), ".yaml")
		if all[tag] = said; tag != "en" {
			parsed, err := language.Parse(tag)
			if err != nil {
				return nil, fmt.Errorf("reading %s: its name is no language: %w", name, err)
			}
			tags = append(tags, parsed)
		}
	}
	for _, tag := range tags {
		t.languages = append(t.languages, &textLanguage{tag.String(), i18n.NewLocalizer(t.bundle, tag.String()), all[tag.String()]})
	}
	t.matcher = language.NewMatcher(tags)
	return t, nil
}

// choose returns the language that fits a list of wishes best (RFC 9110 §12.5.4).
func (t *texts) choose(wishes string) *textLanguage {
	tags, _, _ := language.ParseAcceptLanguage(wishes) // what cannot be read is no wish
	_, i, _ := t.matcher.Match(tags...)
	return t.languages[i]
}

// text returns a text in l; pairs are names and values to put in. A text that is
// not there is its own key, in brackets: a test holds that there is none.
func (l *textLanguage) text(key string, pairs ...any) string {
	return l.localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: dict(pairs)})
}

// count is text with the plural form for n, which is put in as N.
func (l *textLanguage) count(key string, n int, pairs ...any) string {
	data := dict(pairs)
	data["N"] = n
	return l.localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: data, PluralCount: n})
}

func (l *textLanguage) localize(c *i18n.LocalizeConfig) string {
	s, err := l.localizer.Localize(c)
	if err != nil {
		return "[" + c.MessageID + "]"
	}
	return s
}

// has reports whether there is a text of a key in l.
func (l *textLanguage) has(key string) bool {
	_, err := l.localizer.Localize(&i18n.LocalizeConfig{MessageID: key})
	return err == nil
}

func dict(pairs []any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

// clock writes a time of day as the language does, day a day with its name.
func (l *textLanguage) clock(t time.Time) string { return t.Format("15:04") }

func (l *textLanguage) day(t time.Time) string {
	return l.text("date.day", "Weekday", l.weekday(t), "Day", t.Day(),
		"Month", l.text("date.month."+strings.ToLower(t.Format("Jan"))))
}

func (l *textLanguage) weekday(t time.Time) string {
	return l.text("date.weekday." + strings.ToLower(t.Format("Mon")))
}

// some names the first few of a list and counts the others.
func (l *textLanguage) some(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return l.count("list.more", len(list)-most, "List", strings.Join(list[:most], ", "))
}

// who names whoever did something, as the record has it. Who did it at the server
// stands there as a command line and its user, which tells a child nothing.
func (l *textLanguage) who(recorded string) string {
	if recorded == "command line" || strings.HasPrefix(recorded, "command line as ") {
		return l.text("frame.server")
	}
	if agreed.MatchString(recorded) {
		return l.said(recorded)
	}
	return recorded
}

// agreed is who made a change that waited for a second guardian.
var agreed = regexp.MustCompile(`^[^()]+ (agreed|\([^()]+ agreed\))$`)

// funcs are the functions of the pages.
func (l *textLanguage) funcs() template.FuncMap {
	return template.FuncMap{
		"px": px, "some": l.some,
		"T": l.text, "N": l.count, "said": l.said, "say": l.say, "sentence": sentence, "told": l.told, "why": l.why, "who": l.who, "clock": l.clock, "day": l.day,
		"portalCSS": func() template.CSS { return portalCSS },
		"dict":      func(pairs ...any) map[string]any { return dict(pairs) },
	}
}
