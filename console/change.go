package console

import (
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kinward/blocklists"
	"kinward/policy"
)

// change asks the desk to change something of the family.
type change[Req any] struct {
	Why string `json:"why,omitempty"` // for the record of changes
	Do  Req    `json:"do"`
}

// changed is what the desk says of a change that was made.
type changed struct {
	Revision  uint64 `json:"revision"`
	Unchanged bool   `json:"unchanged"` // it was so already
}

// weakening is one way in which a change lowers protection.
type weakening struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// did is what a change that led to a page did, or that it waits.
type did struct {
	Revision uint64      `json:"revision"`
	What     string      `json:"what"`
	Weakens  []weakening `json:"weakens"`
	CanUndo  bool        `json:"canUndo"`
	Waits    int64       `json:"-"` // the number of the change that waits
}

// Sentence is what the change did, as a sentence.
func (d did) Sentence() string { return sentence(d.What) }

// toldIDs are the IDs that a record of changes holds, where they stand in it.
var toldIDs = regexp.MustCompile(`\b(service|category) ([a-z0-9]+(?:-[a-z0-9]+)*)\b|\(preset ([A-E]|adult)\)|\bthe preset of (profile .* from) ([A-E]|adult) to ([A-E]|adult)\b|\bless is recorded \((none|count|item), not (none|count|item)\)`)

// keptWords are the words of what is recorded.
var keptWords = map[string]string{"none": "nothing", "count": "numbers", "item": "names and times"}

// told says what stands in the record of changes, by the names that its readers know:
// of services, and in English of kinds and ages, which other languages have words for.
func (l *textLanguage) told(recorded string) template.HTML { return l.say(l.named(recorded)) }

func (l *textLanguage) named(recorded string) string {
	catalogue, err := ownCatalogue()
	if err != nil {
		return recorded
	}
	english := len(l.sayings.exact) == 0
	return toldIDs.ReplaceAllStringFunc(recorded, func(found string) string {
		m := toldIDs.FindStringSubmatch(found)
		switch {
		case m[1] == "service":
			if s, ok := catalogue.Service(m[2]); ok {
				return strings.TrimSuffix(found, m[2]) + s.Name
			}
		case !english:
		case m[1] == "category":
			if c, err := blocklists.ParseCategory(m[2]); err == nil {
				return strconv.Quote(catalogue.Categories[c].Name)
			}
		case m[3] != "":
			return "(" + l.text("preset."+m[3]) + ")"
		case m[7] != "":
			return "less is recorded (" + keptWords[m[7]] + ", not " + keptWords[m[8]] + ")"
		case m[4] != "":
			return "the age of " + m[4] + " " + l.text("preset."+m[5]) + " to " + l.text("preset."+m[6])
		}
		return found
	})
}

// wish is the reason of an answer to a child, which the program gives by itself.
var wish = regexp.MustCompile(`^.+ asked$`)

// why says why something was changed: what somebody wrote as it is.
func (l *textLanguage) why(recorded string) string {
	if wish.MatchString(recorded) {
		return l.said(recorded)
	}
	return recorded
}

// sentence makes a sentence of what stands in the record of changes.
func sentence(s string) string { return capital(s) + "." }

// capital makes the first letter of s a capital.
func capital(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

type changeShowRequest struct {
	Revision uint64 `json:"revision"`
}

type changesView struct {
	Changes []did `json:"changes"`
}

var callChangeShow = call[changeShowRequest, changesView]("changes-show")

// made ends a POST that changes something: where it was made, or waits, the
// browser goes to the page at to, which says so; see [visit.Did]. Where something
// that was written is wrong, again shows the form with what is in it; nil is the
// page of errors.
func (v *visit) made(c changed, err error, to string, again func(wrong string, status int) error) error {
	if err == nil && c.Unchanged {
		v.note("did.same")
		return v.see(to)
	}
	to, err = telling(to, c, err)
	if err == nil {
		return v.see(to)
	}
	if r := refused(err); r != nil && r.Kind != Forbidden && again != nil {
		return again(r.Text, statusOf[r.Kind])
	}
	return err
}

// telling adds to an address what the page there is to say: that a change was made,
// or that it waits. Why it was not made is returned.
func telling(to string, c changed, err error) (string, error) {
	if err == nil {
		return withMore(to, "changed", strconv.FormatUint(c.Revision, 10)), nil
	}
	if r := refused(err); r != nil && r.Kind == Waits {
		return withMore(to, "waits", strconv.FormatInt(r.Pending, 10)), nil
	}
	return to, err
}

// with returns a local address with a value in its query, in the place of one that
// stood there; withMore one with another value.
func with(path, key, value string) string {
	return asking(path, func(q url.Values) { q.Set(key, value) })
}

func withMore(path, key, value string) string {
	return asking(path, func(q url.Values) { q.Add(key, value) })
}

func asking(path string, edit func(url.Values)) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	q := u.Query()
	edit(q)
	u.RawQuery = q.Encode()
	return u.String()
}

// Did is what the changes did that led to this page, as the record of changes has
// it, and that others wait. What it says of weakening, pages show before all else.
func (v *visit) Did() (all []did) {
	q := v.request.URL.Query()
	if v.request.Method != http.MethodGet {
		return nil
	}
	most := len(policy.SignalKinds()) // so many changes one form makes at most: see signalSwitches
	for _, text := range q["changed"][:min(len(q["changed"]), most)] {
		revision, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			continue
		}
		r, err := callChangeShow.do(v, changeShowRequest{revision})
		if err == nil && len(r.Changes) == 1 { // else it is too old to be kept: the page shows what is
			all = append(all, r.Changes[0])
		}
	}
	if n, err := strconv.ParseInt(q.Get("waits"), 10, 64); err == nil && n > 0 {
		all = append(all, did{Waits: n}) // the page of what waits shows them all
	}
	return all
}

// noted ends a POST that changes none of the family's choices: with what went wrong,
// or with a note on the page at path.
func (v *visit) noted(err error, path, note string, pairs ...any) error {
	if err != nil {
		return err
	}
	v.note(note, pairs...)
	return v.see(path)
}
