package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/policy"
)

var alertRoutes = []route{
	{"GET /alerts", viewers, alerts},
	{"POST /alerts/add", viewers, alertAdd},
	{"POST /alerts/test", viewers, alertTest},
	{"POST /alerts/remove", viewers, alertRemove},
	{"POST /alerts/set", viewers, alertSet},
	{"POST /alerts/rule", viewers, alertRule},
	{"GET /alerts/digest", viewers, digest},
	{"POST /alerts/signals", carers, signalSwitches},
	{"POST /alerts/night", carers, signalNight},
}

type alertsView struct {
	Zone        string            `json:"zone"`
	Channels    []channelView     `json:"channels"`
	Preferences []preferencesView `json:"preferences"`
	Messages    []messageView     `json:"messages"`
	PushKey     string            `json:"push_key"`
	Mail        bool              `json:"mail"`
}

// channelView is a way to a guardian.
type channelView struct {
	ID        int64      `json:"id"`
	Guardian  string     `json:"guardian"`
	Kind      string     `json:"kind"`
	To        string     `json:"to"`
	Only      string     `json:"only"`
	Brief     bool       `json:"brief"`
	Priority  int        `json:"priority"`
	State     string     `json:"state"`
	Made      time.Time  `json:"made"`
	LastSent  *time.Time `json:"last_sent"`
	LastError string     `json:"last_error"`
	Problem   string     `json:"problem"`
}

// preferencesView is how a guardian hears of things.
type preferencesView struct {
	Guardian     string      `json:"guardian"`
	Rules        []alertWhen `json:"rules"`
	Quiet        string      `json:"quiet"` // "22:00-07:00"
	UrgentPasses bool        `json:"urgent_passes"`
	DigestAt     string      `json:"digest_at"`
	DigestDay    string      `json:"digest_day"`
	PerHour      int         `json:"per_hour"`
}

// alertWhen is how soon a guardian hears of something.
type alertWhen struct {
	Profile string `json:"profile"`
	About   string `json:"about"`
	When    string `json:"when"`
}

type messageView struct {
	What  string     `json:"what"`
	Made  time.Time  `json:"made"`
	Tries int        `json:"tries"`
	Next  *time.Time `json:"next"`
	Error string     `json:"error"`
}

type alertAddRequest struct {
	Guardian string `json:"guardian"`
	Kind     string `json:"kind"`
	To       string `json:"to"`
	Token    string `json:"token,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Only     string `json:"only,omitempty"`
	Brief    bool   `json:"brief,omitempty"`
}

type alertAddView struct {
	Channel int64  `json:"channel"`
	Key     string `json:"key"` // that signs a webhook; told once
	Problem string `json:"problem"`
}

type channelRequest struct {
	Channel int64 `json:"channel"`
}

type alertTestView struct {
	Tests []struct {
		OK    bool   `json:"ok"`
		To    string `json:"to"`
		Said  string `json:"said"`
		Error string `json:"error"`
	} `json:"tests"`
}

type alertSetRequest struct {
	Guardian  string  `json:"guardian"`
	Profile   string  `json:"profile,omitempty"`
	Category  string  `json:"category,omitempty"`
	When      string  `json:"when,omitempty"`
	Quiet     *string `json:"quiet,omitempty"`
	Urgent    *bool   `json:"urgent,omitempty"`
	DigestAt  *string `json:"digest_at,omitempty"`
	DigestDay *string `json:"digest_day,omitempty"`
	PerHour   *int    `json:"per_hour,omitempty"`
}

type digestRequest struct {
	Guardian string `json:"guardian"`
	Period   string `json:"period"`
}

// digestView is a digest as it would be sent now.
type digestView struct {
	Zone     string    `json:"zone"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Total    int       `json:"total"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	Profiles []struct {
		Name       string `json:"name"`
		Total      int    `json:"total"`
		Categories []struct {
			Name     string   `json:"name"`
			Total    int      `json:"total"`
			Services []string `json:"services"`
			Devices  []string `json:"devices"`
			Watched  int      `json:"watched"`
		} `json:"categories"`
	} `json:"profiles"`
	Signals []string `json:"signals"`
	Chart   []struct {
		Label string `json:"label"`
		N     int    `json:"n"`
	} `json:"chart"`
	Offline int `json:"offline"`
	Counted []struct {
		Profile string `json:"profile"`
		Name    string `json:"name"`
		Tries   int    `json:"tries"`
	} `json:"counted"`
	More bool `json:"more"`
}

type signalSwitch struct {
	Kind  string `json:"kind,omitempty"`
	On    bool   `json:"on,omitempty"`
	Hours string `json:"hours,omitempty"`
}

var (
	callAlerts       = call[nothing, alertsView]("alerts")
	callAlertAdd     = call[alertAddRequest, alertAddView]("alerts-add")
	callAlertSet     = call[alertSetRequest, saying]("alerts-set")
	callAlertRemove  = call[channelRequest, saying]("alerts-remove")
	callAlertTest    = call[channelRequest, alertTestView]("alerts-test")
	callDigest       = call[digestRequest, digestView]("digest")
	callSignalSwitch = call[change[signalSwitch], changed]("signals-switch")
	callSignalNight  = call[change[signalSwitch], changed]("signals-night")

	alertCalls = []anyCall{callAlerts, callAlertAdd, callAlertSet, callAlertRemove, callAlertTest, callDigest, callSignalSwitch, callSignalNight}
)

// alertsPage is what the page shows.
type alertsPage struct {
	alertsView
	Mine                     []channelView
	Others                   []channelView // of other guardians, to read
	Own                      preferencesView
	Profiles, Abouts, Whens  []option
	Days                     []option
	QuietFrom, QuietUntil    string
	Signals                  []signalChoice
	NightFrom, NightUntil    string
	Add                      alertAddRequest // what was filled in
	Wrong, WrongOf, SigningK string
}

// signalChoice is a kind of signal and whether the family hears of it.
type signalChoice struct {
	Kind string
	On   bool
}

var dayWords = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

func alerts(v *visit) error { return v.alertsPage(alertsPage{}) }

// alertsPage shows the page; p says what was wrong in which form, if anything.
func (v *visit) alertsPage(p alertsPage) error {
	var err error
	if p.alertsView, err = callAlerts.do(v, nothing{}); err != nil {
		return err
	}
	told, err := callSignals.do(v, signalsRequest{Since: "24h", Limit: 1})
	if err != nil {
		return err
	}
	family, err := callFilterFamily.do(v, nothing{})
	if err != nil {
		return err
	}
	categories, err := callCategories.do(v, nothing{})
	if err != nil {
		return err
	}
	v.inZone(p.Zone)
	for _, c := range p.Channels {
		if strings.EqualFold(c.Guardian, v.actor.Name) {
			p.Mine = append(p.Mine, c)
		} else {
			p.Others = append(p.Others, c)
		}
	}
	for _, of := range p.Preferences { // the desk tells the defaults of who chose nothing
		if strings.EqualFold(of.Guardian, v.actor.Name) {
			p.Own = of
		}
	}
	p.QuietFrom, p.QuietUntil, _ = strings.Cut(p.Own.Quiet, "-")
	p.NightFrom, p.NightUntil, _ = strings.Cut(told.Night, "-")
	for _, k := range policy.SignalKinds() {
		p.Signals = append(p.Signals, signalChoice{k, !slices.Contains(told.Off, k)})
	}
	p.Profiles = append([]option{{"", v.lang.text("alerts.everybody")}}, v.profileOptions(family)[1:]...)
	p.Abouts = []option{{"", v.lang.text("alerts.everything")}, {"signals", v.lang.text("alerts.all-signals")}}
	for _, c := range categories.Categories {
		p.Abouts = append(p.Abouts, option{c.ID, c.Name})
	}
	for _, k := range policy.SignalKinds() {
		p.Abouts = append(p.Abouts, option{k, v.lang.text("alerts.signal", "Name", v.lang.text("signal."+k))})
	}
	for _, w := range whenWords {
		p.Whens = append(p.Whens, option{w, v.lang.text("alerts.when." + w)})
	}
	for _, d := range dayWords {
		p.Days = append(p.Days, option{d, v.lang.text("date.weekday." + strings.ToLower(d[:3]))})
	}
	return v.page(status(p.Wrong), "alerts", p)
}

// AboutName is what a rule is about, in words.
func (p alertsPage) AboutName(about string) string {
	for _, o := range p.Abouts {
		if o.Value == about {
			return o.Label
		}
	}
	return about
}

// invalid shows the page again where what was filled into a form was wrong.
func (v *visit) invalid(err error, form string, add alertAddRequest) error {
	if r := refused(err); r != nil && r.Kind == Invalid {
		return v.alertsPage(alertsPage{Wrong: r.Text, WrongOf: form, Add: add})
	}
	return err
}

func alertAdd(v *visit) error {
	form := v.request.PostFormValue
	req := alertAddRequest{
		Guardian: v.actor.Name, Kind: form("kind"), To: strings.TrimSpace(form("to")), Token: strings.TrimSpace(form("token")),
		Only: form("only"), Brief: form("brief") != "",
	}
	if p := form("priority"); p != "" {
		var err error
		if req.Priority, err = strconv.Atoi(p); err != nil {
			return &Refusal{Kind: Invalid}
		}
	}
	if req.Kind == "push" { // the browser's own part, as JSON; see push.js
		req.To = form("to")
	}
	rep, err := callAlertAdd.do(v, req)
	if err != nil {
		return v.invalid(err, req.Kind, req)
	}
	if rep.Key != "" { // it is shown this once, so there is nothing to come back to
		return v.alertsPage(alertsPage{SigningK: rep.Key})
	}
	return v.noted(nil, "/alerts", "alerts.added")
}

// channel reads the number of a form's channel.
func (v *visit) channel() (channelRequest, error) {
	id, err := strconv.ParseInt(v.request.PostFormValue("channel"), 10, 64)
	if err != nil || id < 1 {
		return channelRequest{}, &Refusal{Kind: Invalid}
	}
	return channelRequest{id}, nil
}

func alertTest(v *visit) error {
	req, err := v.channel()
	if err != nil {
		return err
	}
	rep, err := callAlertTest.do(v, req)
	if err != nil {
		return err
	}
	for _, t := range rep.Tests {
		if !t.OK {
			return v.alertsPage(alertsPage{Wrong: v.lang.text("alerts.test.failed", "To", t.To, "Error", t.Error), WrongOf: "test"})
		}
		v.note("alerts.test.sent", "To", t.To)
	}
	return v.see("/alerts")
}

func alertRemove(v *visit) error {
	req, err := v.channel()
	if err != nil {
		return err
	}
	_, err = callAlertRemove.do(v, req)
	return v.noted(err, "/alerts", "alerts.removed")
}

// alertSet keeps quiet hours, the time of digests and how many alerts may come.
func alertSet(v *visit) error {
	form := v.request.PostFormValue
	quiet := "none"
	if from, until := form("quiet-from"), form("quiet-until"); form("quiet") != "" && from != until {
		quiet = from + "-" + until
	}
	perHour, err := strconv.Atoi(form("per-hour"))
	if err != nil {
		return &Refusal{Kind: Invalid}
	}
	urgent, at, day := form("urgent") != "", form("digest-at"), form("digest-day")
	_, err = callAlertSet.do(v, alertSetRequest{Guardian: v.actor.Name, Quiet: &quiet, Urgent: &urgent, DigestAt: &at, DigestDay: &day, PerHour: &perHour})
	if err != nil {
		return v.invalid(err, "set", alertAddRequest{})
	}
	return v.noted(nil, "/alerts#when", "alerts.saved")
}

// alertRule keeps how soon the visitor hears of something.
func alertRule(v *visit) error {
	form := v.request.PostFormValue
	_, err := callAlertSet.do(v, alertSetRequest{Guardian: v.actor.Name, Profile: form("profile"), Category: form("about"), When: form("when")})
	if err != nil {
		return v.invalid(err, "rule", alertAddRequest{})
	}
	return v.noted(nil, "/alerts#when", "alerts.saved")
}

// signalSwitches turns kinds of signals on and off: those alone that were switched
// on the page, and not what somebody else switched while it was open.
func signalSwitches(v *visit) error {
	if err := v.request.ParseForm(); err != nil {
		return err
	}
	wanted, shown := v.request.PostForm["kind"], v.request.PostForm["was"]
	told, err := callSignals.do(v, signalsRequest{Since: "24h", Limit: 1})
	if err != nil {
		return err
	}
	to := "/alerts"
	for _, k := range policy.SignalKinds() {
		on := slices.Contains(wanted, k)
		if on == slices.Contains(shown, k) || on == !slices.Contains(told.Off, k) {
			continue
		}
		c, err := callSignalSwitch.do(v, change[signalSwitch]{Do: signalSwitch{Kind: k, On: on}})
		if err == nil && c.Unchanged { // somebody else was faster
			continue
		}
		if to, err = telling(to, c, err); err != nil {
			return err
		}
	}
	if to == "/alerts" {
		v.note("did.same")
	}
	return v.see(to)
}

// signalNight keeps which hours are night to the family.
func signalNight(v *visit) error {
	form := v.request.PostFormValue
	c, err := callSignalNight.do(v, change[signalSwitch]{Do: signalSwitch{Hours: form("from") + "-" + form("until")}})
	if r := refused(err); r != nil && r.Kind == Invalid {
		return v.invalid(err, "night", alertAddRequest{})
	}
	return v.made(c, err, "/alerts", nil)
}

// digestPage is what the page shows.
type digestPage struct {
	digestView
	Tabs  []tab
	Chart *chart
	Calm  bool
}

// digest shows what the visitor's digest would say that ended now.
func digest(v *visit) error {
	period := v.request.URL.Query().Get("period")
	if !slices.Contains([]string{"hour", "week"}, period) {
		period = "day"
	}
	d, err := callDigest.do(v, digestRequest{v.actor.Name, period})
	if err != nil {
		return err
	}
	v.inZone(d.Zone)
	p := digestPage{digestView: d, Calm: d.Total == 0 && len(d.Signals) == 0 && d.Offline == 0 && len(d.Counted) == 0}
	for _, one := range []string{"hour", "day", "week"} {
		p.Tabs = append(p.Tabs, tab{query("/alerts/digest", "period", one), v.lang.text("digest." + one), one == period})
	}
	if len(d.Chart) > 0 {
		p.Chart = &chart{ID: "chart", Title: v.lang.count("digest.chart", d.Total), Of: v.lang.text("chart.of.time"), Unit: v.lang.text("chart.unit.incidents")}
		for i, b := range d.Chart {
			one := bar{Label: b.Label, N: b.N}
			if i == 0 || i == len(d.Chart)-1 {
				one.Tick = b.Label
			}
			p.Chart.Bars = append(p.Chart.Bars, one)
		}
	}
	return v.page(http.StatusOK, "digest", p)
}
