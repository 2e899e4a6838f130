package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// incidentView is an incident as the pages show it. Its words come from the desk.
type incidentView struct {
	ID           string       `json:"id"`
	Profile      int64        `json:"profile"`
	First        time.Time    `json:"first"`
	Last         time.Time    `json:"last"`
	Open         bool         `json:"open"`
	Verdict      string       `json:"verdict"`
	Reason       string       `json:"reason"`
	Service      string       `json:"service"`
	Category     string       `json:"category"`
	List         string       `json:"list"`
	Entry        string       `json:"entry"`
	Bypass       string       `json:"bypass"`
	Domain       string       `json:"domain"`
	TopName      string       `json:"top_name"`
	Hidden       string       `json:"hidden"`
	Types        []string     `json:"types"`
	Tries        uint64       `json:"tries"`
	Queries      uint64       `json:"queries"`
	Embedded     uint64       `json:"embedded"`
	Revision     uint64       `json:"revision"`
	ProfileName  string       `json:"profile_name"`
	DeviceName   string       `json:"device_name"`
	ServiceName  string       `json:"service_name"`
	CategoryName string       `json:"category_name"`
	Why          string       `json:"why"`
	Sentence     string       `json:"sentence"`
	Reviews      []reviewView `json:"reviews"`
	Muted        *mutedView   `json:"muted"`
}

type reviewView struct {
	Guardian int64     `json:"guardian"`
	Who      string    `json:"who"`
	At       time.Time `json:"at"`
	Note     string    `json:"note"`
}

type mutedView struct {
	Until *time.Time `json:"until"`
}

// lossView is a time in which attempts could not be kept.
type lossView struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Count int       `json:"count"`
}

// When is the time at the head of the sentence, What the rest of it.
func (i incidentView) When() string { when, _ := halves(i.Sentence); return when }

// What is the sentence without its time.
func (i incidentView) What() string { _, what := halves(i.Sentence); return what }

// Thing names what an incident is about, as briefly as can be; "" is of no name.
func (i incidentView) Thing() string {
	switch {
	case i.ServiceName != "":
		return i.ServiceName
	case i.Domain == "":
		return ""
	case strings.HasSuffix(i.Entry, "."+i.Domain) && i.Hidden == "":
		return i.TopName
	}
	return i.Domain
}

// halves cuts a sentence of the journal behind its time, which two spaces end.
func halves(sentence string) (when, what string) {
	when, what, found := strings.Cut(sentence, "  ")
	if !found {
		return "", capital(sentence)
	}
	return when, capital(what)
}

// query writes an address with the values that are not empty.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// at writes a day and a time of the family's clock.
func (v *visit) at(t time.Time) string {
	t = t.In(v.zone)
	return v.lang.text("date.at", "Day", v.lang.day(t), "Clock", v.lang.clock(t))
}

// At is at, for pages.
func (v *visit) At(t time.Time) string { return v.at(t) }

// Carer is whether the visitor may change something of the family.
func (v *visit) Carer() bool { return carers.allows(v.actor) }

// zoned takes the family's clock from a reply.
func (v *visit) zoned(name string) {
	if z, err := time.LoadLocation(name); err == nil {
		v.zone = z
	}
}

// changed ends a POST: with what went wrong, or with a note on the page that shows
// the change. What waits for its time or for somebody is no failure.
func (v *visit) changed(err error, path, note string, pairs ...any) error {
	if r := refused(err); r != nil && r.Kind == Waits {
		v.note("changes.waits")
		return v.see(path)
	}
	if err != nil {
		return err
	}
	v.note(note, pairs...)
	return v.see(path)
}

// status is that of a page which may say that something was wrong.
func status(wrong string) int {
	if wrong != "" {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}
