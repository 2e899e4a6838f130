package alerts

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// Home is what is needed of a family to write to its guardians.
type Home struct {
	Name      string
	Zone      *time.Location // of its clock
	Lang      string         // BCP 47: that its reader is written to; "" is English
	Names     journal.Names  // in that language
	Guardians map[policy.GuardianID]string
}

// Letter is a message in all the forms that channels take.
type Letter struct {
	Lang    string // BCP 47; "" is English
	Subject string // of an e-mail, and the title of a push: never a domain
	Short   string // of a push or ntfy: never a domain
	Text    string
	HTML    string
	Fields  any // of a webhook, as JSON
}

// mostTold is how many events a message tells one by one; the others are counted.
const mostTold = 5

// lookUp is said with everything that tells of attempts.
const lookUp = "A look-up is not a visit and says nothing about intent: pages and apps ask for names by themselves, and somebody else may have held the device."

// alertFields are what a webhook gets. The keys are stable. There is no domain
// among them: kinward incidents tells those.
type alertFields struct {
	Type   string        `json:"type"` // "alert"
	Family string        `json:"family"`
	Events []eventFields `json:"events"`
	More   int           `json:"more"` // so many others are not told one by one
	Link   string        `json:"link,omitempty"`
}

type eventFields struct {
	ID           string    `json:"id"`
	Kind         string    `json:"kind"` // "incident", or the signal's
	Profile      string    `json:"profile"`
	Device       string    `json:"device"` // "" where it is of no single one
	Category     string    `json:"category,omitempty"`
	CategoryName string    `json:"category_name,omitempty"`
	Service      string    `json:"service,omitempty"`
	ServiceName  string    `json:"service_name,omitempty"`
	Verdict      string    `json:"verdict,omitempty"`
	Tries        uint64    `json:"tries,omitempty"`
	At           time.Time `json:"at"`
	Text         string    `json:"text"`
}

// alertLetter writes what tells of events, the oldest first. total counts them
// all, those that are not among events included.
func alertLetter(h Home, events []Event, total int, link string) Letter {
	more := total - len(events)
	fields := alertFields{Type: "alert", Family: h.Name, Events: []eventFields{}, More: more, Link: link}
	var lines, short []string
	for i, e := range events {
		line := sentence(e, h)
		lines = append(lines, line)
		if i < 2 {
			short = append(short, shortLine(e, h))
		}
		fields.Events = append(fields.Events, eventFields{
			ID: e.ID, Kind: kindWord(e), Profile: profileName(e, h), Device: deviceName(e, h),
			Category: e.Category, CategoryName: named(h.Names.Category, e.Category),
			Service: e.Service, ServiceName: named(h.Names.Service, e.Service),
			Verdict: e.Incident.Verdict, Tries: e.Incident.Tries, At: e.At.UTC(), Text: line,
		})
	}
	if n := total - len(short); n > 0 {
		short = append(short, h.Names.Textf("and %d more", n))
	}
	l := Letter{Lang: h.Lang, Subject: alertSubject(h, events, total), Short: strings.Join(short, "\n"), Fields: fields}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n\n")
	}
	moreText, note := "", ""
	if more > 0 {
		moreText = h.Names.Textf("And %d more.", more)
		b.WriteString(moreText + "\n\n")
	}
	if slices.ContainsFunc(events, attempted) {
		note = h.Names.Text(lookUp)
		b.WriteString(note + "\n\n")
	}
	do := whatToDo(h, events, link)
	b.WriteString(do)
	if link != "" {
		b.WriteByte('\n')
		b.WriteString(h.Names.Textf("See it in Kinward: %s", link))
	}
	l.Text = b.String()
	l.HTML = page(h, l.Subject, struct{ Lines, More, Note, Do, Link, See any }{
		lines, moreText, note, do, link, h.Names.Text("See it in Kinward"),
	}, alertPage())
	return l
}

// somethingNew is the subject of what does not say what it is about.
const somethingNew = "Kinward: something to know"

func alertSubject(h Home, events []Event, total int) string {
	if len(events) == 0 {
		return h.Names.Text(somethingNew)
	}
	if events[0].Feed == Waits && total == 1 {
		return h.Names.Text("Kinward: a change that waits")
	}
	who := profileName(events[0], h)
	for _, e := range events {
		if e.Profile != events[0].Profile {
			return h.Names.Textf("Kinward: %d things to know", total)
		}
	}
	if total == 1 {
		return h.Names.Textf("Kinward: profile %s, %s", who, topic(events[0], h))
	}
	return h.Names.Textf("Kinward: profile %s, %d things to know", who, total)
}

// whatToDo says where to read more, without frightening anybody: by commands only
// where no page can be named.
func whatToDo(h Home, events []Event, link string) string {
	s := "What to do: nothing has to be done at once. Talk about it when there is a calm moment."
	if len(events) > 0 && !slices.ContainsFunc(events, attempted) {
		s = "What to do: answer it in Kinward, under requests or history."
	}
	lines := []string{h.Names.Text(s)}
	if len(events) > 0 && link == "" {
		lines = append(lines, h.Names.Text("On the server: kinward incidents --profile, --since. How messages come: kinward alerts"))
	}
	return strings.Join(lines, "\n")
}

// attempted reports whether e is of something that a device tried.
func attempted(e Event) bool { return e.Feed != Requests && e.Feed != Waits }

// topic says what an event is about, in plain words without any name.
func topic(e Event, h Home) string {
	if e.Kind != "" {
		return h.Names.Text(signalTopic(e.Kind))
	}
	if name := named(h.Names.Category, e.Category); name != "" {
		return h.Names.Textf("%q", name)
	}
	return categoryName(e, h)
}

// categoryName names the kind of thing that an incident is about.
func categoryName(e Event, h Home) string {
	if name := named(h.Names.Category, e.Category); name != "" {
		return name
	}
	switch e.Incident.Reason {
	case policy.ByRule.String():
		return h.Names.Text("one of the family's own rules")
	case policy.ByList.String():
		return h.Names.Text("one of the family's lists")
	}
	return h.Names.Text("something that was recorded")
}

// signalTopic says what a signal is, in a few calm words.
func signalTopic(kind string) string {
	switch kind {
	case policy.SignalFirstTime:
		return "something that is new for this profile"
	case policy.SignalSeveral:
		return "several services of chat with strangers"
	case policy.SignalUnknown:
		return "a device that is not known"
	case policy.SignalTunnel:
		return "much traffic through DNS"
	case policy.SignalNight:
		return "something at night"
	case policy.SignalNewVPN:
		return "something new, and then a VPN"
	case policy.SignalBypass:
		return "ways past the filter"
	case policy.SignalSilent:
		return "a device that has gone quiet"
	case AskedKind:
		return "a request to answer"
	case WaitsKind:
		return "a change that waits"
	}
	return "something out of the ordinary"
}

func shortLine(e Event, h Home) string {
	at := h.Names.Time(e.At.In(zone(h)), "Mon 15:04")
	if e.Feed == Waits {
		return at + ": " + topic(e, h)
	}
	if e.Kind != "" {
		about := deviceName(e, h)
		if about == "" {
			about = h.Names.Textf("profile %s", profileName(e, h))
		}
		return fmt.Sprintf("%s, %s: %s", at, about, topic(e, h))
	}
	return h.Names.Textf("%s, %s: %s was looked up; %s", at, deviceName(e, h), topic(e, h), h.Names.Text(outcome(e)))
}

func outcome(e Event) string {
	switch e.Incident.Verdict {
	case policy.Watch.String():
		return "it was allowed and recorded"
	case policy.Rewrite.String():
		return "it was answered with its safe mode"
	}
	return "it was blocked"
}

// aName stands in messages where an incident has a domain.
const aName = "something"

// sentence tells an event in a line without a domain; a service is named.
func sentence(e Event, h Home) string {
	at, aName := h.Names.Time(e.At.In(zone(h)), "Mon 2 Jan 15:04"), h.Names.Text(aName)
	switch e.Feed {
	case Requests: // what a child writes with it may be anything, and is read in Kinward
		thing := aName
		if e.Service != "" {
			thing = named(h.Names.Service, e.Service)
		}
		return h.Names.Textf("%s, %s (profile %s): asks for %s.", at, deviceName(e, h), profileName(e, h), thing)
	case Waits:
		return h.Names.Textf("%s: %s wants a change that weakens protection. It waits.", at, e.Who)
	}
	if e.Kind != "" {
		s := e.Signal
		if s.Domain != "" {
			s.Domain = aName
		}
		s.Details.Others = slices.Clone(s.Details.Others)
		for i, other := range s.Details.Others {
			if strings.Contains(other, ".") { // a domain: no service's ID has a dot
				s.Details.Others[i] = aName
			}
		}
		return s.Sentence(h.Names, zone(h))
	}
	i := e.Incident
	i.Domain, i.TopName, i.Hidden, i.Entry = aName, aName, "", ""
	return journal.Sentence(i, h.Names, zone(h))
}

func kindWord(e Event) string {
	if e.Kind == "" {
		return "incident"
	}
	return e.Kind
}

func profileName(e Event, h Home) string {
	if h.Names.Profile != nil {
		if s := h.Names.Profile(e.Profile); s != "" {
			return s
		}
	}
	return h.Names.Text("(removed)")
}

// deviceName is "" for what a profile did, on whichever of its devices.
func deviceName(e Event, h Home) string {
	if e.Kind == policy.SignalSeveral && e.Device == 0 {
		return ""
	}
	if e.Device == 0 {
		return h.Names.Text("an unknown device")
	}
	if h.Names.Device != nil {
		if s := h.Names.Device(e.Device); s != "" {
			return s
		}
	}
	return h.Names.Text("a removed device")
}

func named(f func(string) string, id string) string {
	if id == "" || f == nil {
		return id
	}
	return f(id)
}

func zone(h Home) *time.Location {
	if h.Zone == nil {
		return time.UTC
	}
	return h.Zone
}

// testLetter is what alerts test sends.
func testLetter(h Home, now time.Time, link string) Letter {
	subject, text := h.Names.Text("Kinward: a test"), h.Names.Text("This is a test: messages of Kinward arrive here.")
	sent := h.Names.Textf("It was sent on %s.", h.Names.Time(now.In(zone(h)), "Mon 2 Jan 15:04"))
	body := text + " " + sent + "\n"
	return Letter{
		Lang: h.Lang, Subject: subject, Short: text, Text: body,
		HTML: page(h, subject, struct{ Lines []string }{[]string{body}}, testPage()),
		Fields: struct {
			Type   string    `json:"type"`
			Family string    `json:"family"`
			At     time.Time `json:"at"`
			Link   string    `json:"link,omitempty"`
		}{"test", h.Name, now.UTC(), link},
	}
}

// brief takes from a letter what it is about.
func (l Letter) brief(h Home) Letter {
	l.Subject, l.Short = h.Names.Text(somethingNew), h.Names.Text("There is something new. Open Kinward to read it.")
	return l
}

// page writes an HTML page that needs nothing from elsewhere: mail programs load
// nothing, and nobody is told that it was opened.
func page(h Home, title string, data any, body *template.Template) string {
	var b bytes.Buffer
	err := body.Execute(&b, struct {
		Lang, Title string
		Data        any
	}{cmp.Or(h.Lang, "en"), title, data})
	if err != nil { // of a template that tests run
		return ""
	}
	return b.String()
}

const (
	pageHead = `<!DOCTYPE html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>{{.Title}}</title></head>
<body style="font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:1rem">
<h1 style="font-size:1.25rem">{{.Title}}</h1>
`
	pageFoot = "</body></html>\n"
)

// The pages are parsed when the first of their kind is sent: a start has better
// things to do.
var (
	alertPage = pageOf("alert", `{{with .Data}}{{range .Lines}}<p>{{.}}</p>
{{end}}{{with .More}}<p>{{.}}</p>
{{end}}<p style="font-size:.875rem">{{.Note}}</p>
<p style="font-size:.875rem;white-space:pre-line">{{.Do}}</p>
{{with .Link}}<p><a href="{{.}}">{{$.Data.See}}</a></p>
{{end}}{{end}}`)

	testPage = pageOf("test", `{{range .Data.Lines}}<p>{{.}}</p>
{{end}}`)
)

func pageOf(name, body string) func() *template.Template {
	return sync.OnceValue(func() *template.Template {
		return template.Must(template.New(name).Parse(pageHead + body + pageFoot))
	})
}
