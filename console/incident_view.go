package console

import (
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
