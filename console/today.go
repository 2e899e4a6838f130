package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var todayRoutes = []route{
	{"GET /{$}", viewers, today},
}

type todayRequest struct {
	Since string `json:"since"`
}

type todayView struct {
	Family   string         `json:"family"`
	Zone     string         `json:"zone"`
	Now      time.Time      `json:"now"`
	Since    time.Time      `json:"since"`
	Spans    []time.Time    `json:"spans"`
	Profiles []todayProfile `json:"profiles"`
	Signals  []signalView   `json:"signals"`
	Unknown  int            `json:"unknown"`
	Lost     []lossView     `json:"lost"`
	Waiting  string         `json:"waiting"`
	More     bool           `json:"more"`
}

type todayProfile struct {
	ID         int64           `json:"id"`
	Name       string          `json:"name"`
	Default    bool            `json:"default"`
	Paused     string          `json:"paused"`
	Devices    int             `json:"devices"`
	Incidents  int             `json:"incidents"`
	Fresh      int             `json:"fresh"`
	Urgent     int             `json:"urgent"`
	Blocked    int             `json:"blocked"`
	Closed     int             `json:"closed"`
	Counted    uint64          `json:"counted"`
	Categories []todayCategory `json:"categories"`
	Bars       []int           `json:"bars"`
	Worth      []incidentView  `json:"worth"`
}

type todayCategory struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Incidents int      `json:"incidents"`
	Services  []string `json:"services"`
	Urgent    bool     `json:"urgent"`
}

// waitingRequest asks for what children ask for, of which the number that waits
// suffices.
type waitingRequest struct {
	Limit int `json:"limit"`
}

type waitingRequests struct {
	Waiting int `json:"waiting"`
}

var (
	callToday         = call[todayRequest, todayView]("today")
	callTodayRequests = call[waitingRequest, waitingRequests]("requests")

	todayCalls = []anyCall{callToday, callTodayRequests}
)

// todayPage is what the page shows.
type todayPage struct {
	todayView
	Span      string // of the address: "day" or "week"
	Tabs      []tab
	Lead      string // all in one sentence
	Calm      bool   // nothing happened that anybody has to know
	Children  []todayChild
	Noticed   []signalView // the newest few
	MoreSigns int
	Waits     []todayWait
}

// todayWait is something that waits for the guardian.
type todayWait struct{ Icon, Href, Text string }

// todayChild is a profile's card.
type todayChild struct {
	todayProfile
	Says  []string // in sentences
	Chart *chart
	All   string // where all of its incidents are
}

// noticedOnToday is how many signals stand on the page.
const noticedOnToday = 3

var todaySpans = map[string]string{"day": "24h", "week": "7d"}

func today(v *visit) error {
	p := todayPage{Span: "day"}
	if v.request.URL.Query().Get("span") == "week" {
		p.Span = "week"
	}
	var err error
	if p.todayView, err = callToday.do(v, todayRequest{Since: todaySpans[p.Span]}); err != nil {
		return err
	}
	v.inZone(p.Zone)
	p.Tabs = []tab{
		{"/", v.lang.text("today.span.day"), p.Span == "day"},
		{"/?span=week", v.lang.text("today.span.week"), p.Span == "week"},
	}
	total, fresh, urgent, devices := 0, 0, 0, 0
	for _, profile := range p.Profiles {
		total, fresh, urgent, devices = total+profile.Incidents, fresh+profile.Fresh, urgent+profile.Urgent, devices+profile.Devices
		p.Children = append(p.Children, v.todayChild(&p, profile))
	}
	// What is to be read first comes first, and who has a device before who has none;
	// otherwise the order stays.
	slices.SortStableFunc(p.Children, func(a, b todayChild) int {
		return cmp.Or(b.Urgent-a.Urgent, b.Fresh-a.Fresh, b.Incidents-a.Incidents, min(b.Devices, 1)-min(a.Devices, 1))
	})
	p.Noticed = p.Signals[:min(len(p.Signals), noticedOnToday)]
	p.MoreSigns = len(p.Signals) - len(p.Noticed)
	p.Calm = total == 0 && len(p.Signals) == 0
	p.Lead = v.todayLead(p.Since, total, fresh, urgent, len(p.Signals))
	if p.Waits, err = v.todayWaits(p.Unknown); err != nil {
		return err
	}
	if devices == 0 && v.CanChange() {
		p.Waits = append(p.Waits, todayWait{"children", "/children", v.lang.text("today.begin")})
	}
	return v.page(http.StatusOK, "today", p)
}

// todayLead says in a sentence or two how it was.
func (v *visit) todayLead(since time.Time, total, fresh, urgent, signals int) string {
	at := v.at(since)
	switch {
	case total == 0 && signals == 0:
		return v.lang.text("today.lead.calm", "Since", at)
	case total == 0:
		return v.lang.count("today.lead.signals", signals, "Since", at)
	case fresh == 0:
		return v.lang.count("today.lead.seen", total, "Since", at)
	case urgent > 0 && urgent < fresh: // of all of them none is the first
		return v.lang.count("today.lead.fresh", fresh, "Since", at) + " " + v.lang.count("today.lead.urgent", urgent)
	}
	return v.lang.count("today.lead.fresh", fresh, "Since", at)
}

// todayWaits are the things that wait for somebody, each with its page.
func (v *visit) todayWaits(unknown int) ([]todayWait, error) {
	var out []todayWait
	asked, err := callTodayRequests.do(v, waitingRequest{1})
	if err != nil {
		return nil, err
	}
	if asked.Waiting > 0 {
		out = append(out, todayWait{"requests", "/requests", v.lang.count("today.requests", asked.Waiting)})
	}
	held, err := v.waiting()
	if err != nil {
		return nil, err
	}
	if held > 0 {
		out = append(out, todayWait{"history", "/history/waiting", v.lang.count("today.pending", held)})
	}
	if unknown > 0 {
		out = append(out, todayWait{"devices", "/devices", v.lang.count("today.unknown", unknown)})
	}
	return out, nil
}

func (v *visit) todayChild(p *todayPage, profile todayProfile) todayChild {
	c := todayChild{todayProfile: profile}
	if c.Name == "" {
		c.Name = v.lang.text("today.removed")
	}
	switch n := profile.Incidents; {
	case n == 0:
		c.Says = append(c.Says, v.lang.text("today.child.calm"))
	case profile.Blocked == n:
		c.Says = append(c.Says, v.lang.count("today.child.blocked", n))
	case profile.Blocked == 0:
		c.Says = append(c.Says, v.lang.count("today.child.watched", n))
	default:
		c.Says = append(c.Says, v.lang.count("today.child.some", n, "Blocked", profile.Blocked))
	}
	if profile.Closed > 0 {
		c.Says = append(c.Says, v.lang.count("today.child.closed", profile.Closed))
	}
	if profile.Counted > 0 {
		c.Says = append(c.Says, v.lang.count("today.child.counted", int(min(profile.Counted, 1<<30))))
	}
	if profile.Incidents > 0 {
		c.Chart = v.todayChart(p, c)
	}
	if profile.Name != "" {
		c.All = query("/incidents", "profile", profile.Name, "since", todaySpans[p.Span])
	}
	return c
}

// todayChart draws a profile's incidents over the page's time.
func (v *visit) todayChart(p *todayPage, c todayChild) *chart {
	daily := p.Span == "week"
	out := &chart{ID: "chart-" + p.Span + "-" + strconv.FormatInt(c.ID, 10), Of: v.lang.text("chart.of.hour"), Unit: v.lang.text("chart.unit.incidents")}
	if daily {
		out.Of = v.lang.text("chart.of.day")
	}
	most := 0
	for k, at := range p.Spans[:min(len(p.Spans), len(c.Bars))] {
		at = at.In(v.zone)
		b := bar{Label: v.at(at), N: c.Bars[k]}
		switch {
		case daily:
			b.Label, b.Tick = v.lang.day(at), v.lang.text("times.short-"+strings.ToLower(at.Format("Mon")))
		case at.Hour()%6 == 0:
			b.Tick = v.lang.clock(at)
		}
		out.Bars = append(out.Bars, b)
		if b.N > out.Bars[most].N {
			most = k
		}
	}
	if len(out.Bars) == 0 {
		return nil
	}
	out.Title = v.lang.count("chart.today", c.Incidents, "Name", c.Name, "Most", out.Bars[most].N, "At", out.Bars[most].Label)
	return out
}
