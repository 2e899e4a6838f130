package console

import (
	"net/http"
	"time"

	"kinward/policy"
)

var signalRoutes = []route{
	{"GET /signals", viewers, signals},
}

// signalView is a signal with the desk's words for it.
type signalView struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	At          time.Time `json:"at"`
	Incident    string    `json:"incident"`
	ProfileName string    `json:"profile_name"`
	DeviceName  string    `json:"device_name"`
	Sentence    string    `json:"sentence"`
}

// When is the time at the head of the sentence, What the rest of it.
func (s signalView) When() string { when, _ := halves(s.Sentence); return when }

// What is the sentence without its time.
func (s signalView) What() string { _, what := halves(s.Sentence); return what }

type signalsRequest struct {
	Since   string `json:"since"`
	Profile string `json:"profile"`
	Kind    string `json:"kind"`
	Limit   int    `json:"limit"`
	After   string `json:"after,omitempty"`
}

type signalsView struct {
	Zone    string       `json:"zone"`
	Since   time.Time    `json:"since"`
	Signals []signalView `json:"signals"`
	More    bool         `json:"more"`
	Next    string       `json:"next"`
	Off     []string     `json:"off"`
	Night   string       `json:"night"` // "21:00-06:30"
}

var callSignals = call[signalsRequest, signalsView]("signals")

var signalCalls = []anyCall{callSignals}

// signalsPage is what the page shows.
type signalsPage struct {
	signalsView
	Filter   signalsRequest
	Profiles []option
	Kinds    []option
	Sinces   []option
	Older    string
	Newest   string
	Filtered bool
}

// perPage is how many incidents or signals a page lists.
const perPage = 40

func signals(v *visit) error {
	q := v.request.URL.Query()
	p := signalsPage{Filter: signalsRequest{
		Since: sinceOf(q.Get("since"), "30d"), Profile: q.Get("profile"), Kind: q.Get("kind"), Limit: perPage, After: q.Get("after"),
	}}
	var err error
	if p.signalsView, err = callSignals.do(v, p.Filter); err != nil {
		return err
	}
	family, err := callFilterFamily.do(v, nothing{})
	if err != nil {
		return err
	}
	v.inZone(p.Zone)
	p.Profiles = v.profileOptions(family)
	p.Kinds = []option{{"", v.lang.text("filter.all")}}
	for _, k := range policy.SignalKinds() {
		p.Kinds = append(p.Kinds, option{k, v.lang.text("signal." + k)})
	}
	p.Sinces = v.sinceOptions()
	p.Filtered = p.Filter.Profile != "" || p.Filter.Kind != ""
	address := func(after string) string {
		return query("/signals", "since", p.Filter.Since, "profile", p.Filter.Profile, "kind", p.Filter.Kind, "after", after)
	}
	if p.More {
		p.Older = address(p.Next)
	}
	if p.Filter.After != "" {
		p.Newest = address("")
	}
	return v.page(http.StatusOK, "signals", p)
}
