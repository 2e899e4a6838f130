package console

import (
	"cmp"
	"strings"
)

var singleIncidentRoutes = []route{
	{"GET /incidents/{id}", viewers, incident},
	{"POST /incidents/{id}/allow", carers, incidentAllow},
	{"POST /incidents/{id}/block", carers, incidentBlock},
	{"POST /incidents/{id}/keep", carers, incidentKeep},
	{"POST /incidents/{id}/note", carers, incidentNote},
	{"POST /incidents/{id}/unreview", carers, incidentUnreview},
	{"POST /incidents/{id}/mute", carers, incidentMute},
	{"POST /incidents/{id}/unmute", carers, incidentUnmute},
}

// incidentRequest is about single incidents; Mute is the number of a mute.
type incidentRequest struct {
	IDs   []string `json:"ids,omitempty"`
	Note  string   `json:"note,omitempty"`
	For   string   `json:"for,omitempty"`
	Until string   `json:"until,omitempty"`
	Mute  int64    `json:"mute,omitempty"`
}

// incidentShow is an incident with what an adult may want to know and do.
type incidentShow struct {
	incidentView
	Zone           string       `json:"zone"`
	About          string       `json:"about"`
	Guidance       guidanceView `json:"guidance"`
	Country        string       `json:"country"`
	Strength       string       `json:"strength"`
	StrengthSource string       `json:"strength_source"`
	KnownRisk      string       `json:"known_risk"`
	ToOpen         string       `json:"to_open"`
	ToClose        string       `json:"to_close"`
	Now            *nowView     `json:"now"`
	Looks          []lookView   `json:"looks"`
}

type guidanceView struct {
	What   string     `json:"what"`
	Why    string     `json:"why"`
	Talk   string     `json:"talk"`
	Done   string     `json:"done"`
	Report []helpLine `json:"report"`
}

// helpLine is a place to report something to, or to get help from.
type helpLine struct {
	Country      string `json:"country"`
	Organisation string `json:"organisation"`
	For          string `json:"for"`
	Contact      string `json:"contact"`
	Web          string `json:"web"`
	Hours        string `json:"hours"`
	Source       string `json:"source"`
	Date         string `json:"date"`
	Verified     bool   `json:"verified"`
}

// nowView is what happens to the incident's name now.
type nowView struct {
	Verdict  string `json:"verdict"`
	Reason   string `json:"reason"`
	Grant    int64  `json:"grant"`
	Sentence string `json:"sentence"`
}

type mutesView struct {
	Mutes []struct {
		ID       int64  `json:"id"`
		Guardian int64  `json:"guardian"`
		Profile  int64  `json:"profile"`
		Service  string `json:"service"`
		Domain   string `json:"domain"`
		Over     bool   `json:"over"`
	} `json:"mutes"`
}

var (
	callIncident     = call[incidentRequest, incidentShow]("incidents-show")
	callUnreview     = call[incidentRequest, saying]("incidents-unreview")
	callMute         = call[incidentRequest, saying]("incidents-mute")
	callMutes        = call[nothing, mutesView]("incidents-mutes")
	callUnmute       = call[incidentRequest, saying]("incidents-unmute")
	oneIncidentCalls = []anyCall{callIncident, callUnreview, callMute, callMutes, callUnmute}
)

// incidentPage is what the page shows.
type incidentPage struct {
	incidentShow
	Title       string
	StrengthKey string
	Reviewed    *reviewView // by the visitor
	Allowed     bool        // it is open now, as something was chosen meanwhile
	Granted     int64       // the grant that opens it now
}

func incident(v *visit) error {
	return v.incidentPage("")
}

// incidentPage shows an incident, with what was wrong in a form.
func (v *visit) incidentPage(wrong string) error {
	p := incidentPage{}
	var err error
	if p.incidentShow, err = callIncident.do(v, incidentRequest{IDs: []string{v.request.PathValue("id")}}); err != nil {
		return err
	}
	v.inZone(p.Zone)
	p.Title = p.Thing()
	if p.Title == "" {
		p.Title = v.lang.text("incident.unnamed")
	}
	if p.Strength != "" {
		p.StrengthKey = "incident.strength." + strengths[p.Strength]
	}
	for i := range p.Reviews {
		if p.Reviews[i].Guardian == int64(v.actor.Guardian) {
			p.Reviewed = &p.Reviews[i]
		}
	}
	if p.Now != nil && p.Verdict == "block" {
		p.Allowed = p.Now.Verdict != "block"
		if p.Allowed {
			p.Granted = p.Now.Grant
		}
	}
	return v.page(status(wrong), "incident", p)
}

// show reads the incident that a form is about, and its address.
func (v *visit) show() (i incidentShow, path string, err error) {
	i, err = callIncident.do(v, incidentRequest{IDs: []string{v.request.PathValue("id")}})
	return i, "/incidents/" + i.ID, err
}

// allowSpans are how long something can be opened for.
var allowSpans = map[string]string{"15": "15m", "60": "60m", "today": "today"}

// incidentAllow opens what an incident was about, for a while or for good.
func incidentAllow(v *visit) error {
	i, path, err := v.show()
	if err != nil {
		return err
	}
	span, why := v.request.PostFormValue("for"), v.lang.text("incident.allow.why")
	if i.ToOpen == "" {
		return &Refusal{Kind: Invalid, Text: v.lang.text("incident.allow.never")}
	}
	if d, timed := allowSpans[span]; timed {
		c, err := callGrantAdd.do(v, change[grantRequest]{why, grantRequest{What: i.ToOpen, Profile: i.ProfileName, For: d, By: v.actor.Name}})
		return v.made(c, err, path, nil)
	}
	if span != "always" || i.ToOpen == everything {
		return &Refusal{Kind: Invalid}
	}
	c, err := v.choose(i, i.ToOpen, true)
	return v.made(c, err, path, nil)
}

// everything is what is opened where all was closed.
const everything = "everything"

// choose lets the incident's profile have a service or a name for good, or not.
func (v *visit) choose(i incidentShow, thing string, allow bool) (changed, error) {
	why := v.lang.text("incident.allow.why")
	if thing != i.Service {
		return callChildRule.do(v, change[ruleRequest]{why, ruleRequest{Profile: i.ProfileName, Name: thing, Allow: allow}})
	}
	choice := map[bool]string{true: "allow", false: "block"}[allow]
	return callChoose.do(v, change[profileRequest]{why, profileRequest{Profile: i.ProfileName, Thing: thing, Choice: choice}})
}

// incidentBlock blocks from now on what was allowed and recorded.
func incidentBlock(v *visit) error {
	i, path, err := v.show()
	switch {
	case err != nil:
		return err
	case i.ToClose == "" && i.Verdict == "block": // it was opened meanwhile
		i.ToClose = i.ToOpen
	}
	if i.ToClose == "" || i.ToClose == everything {
		return &Refusal{Kind: Invalid}
	}
	c, err := v.choose(i, i.ToClose, false)
	return v.made(c, err, path, nil)
}

// incidentKeep leaves things as they are and says so: the incident is dealt with.
// A grant that opened it meanwhile ends.
func incidentKeep(v *visit) error {
	i, path, err := v.show()
	if err != nil {
		return err
	}
	if i.Now != nil && i.Now.Grant != 0 && i.Verdict == "block" {
		if _, err := callGrantRevoke.do(v, change[grantRequest]{v.lang.text("incident.allow.why"), grantRequest{ID: i.Now.Grant}}); err != nil {
			return err
		}
	}
	note := ""
	for _, r := range i.Reviews { // what was written stays
		if r.Guardian == int64(v.actor.Guardian) {
			note = r.Note
		}
	}
	_, err = callReview.do(v, reviewRequest{[]string{i.ID}, note})
	return v.noted(err, path, "incident.kept")
}

// incidentNote keeps that the visitor has dealt with an incident, and a note.
func incidentNote(v *visit) error {
	id := v.request.PathValue("id")
	note := strings.Join(strings.Fields(v.request.PostFormValue("note")), " ")
	_, err := callReview.do(v, reviewRequest{[]string{id}, note})
	return v.noted(err, "/incidents/"+id, "incident.reviewed")
}

func incidentUnreview(v *visit) error {
	id := v.request.PathValue("id")
	_, err := callUnreview.do(v, incidentRequest{IDs: []string{id}})
	return v.noted(err, "/incidents/"+id, "incident.unreviewed")
}

// incidentMute has the visitor hear no more of what is like this incident.
func incidentMute(v *visit) error {
	id, span := v.request.PathValue("id"), v.request.PostFormValue("for")
	if span != "7d" && span != "30d" && span != "" {
		return &Refusal{Kind: Invalid}
	}
	_, err := callMute.do(v, incidentRequest{IDs: []string{id}, For: span})
	return v.noted(err, "/incidents/"+id, "incident.now-muted")
}

// incidentUnmute ends the visitor's mutes of what is like this incident.
func incidentUnmute(v *visit) error {
	i, path, err := v.show()
	if err != nil {
		return err
	}
	list, err := callMutes.do(v, nothing{})
	if err != nil {
		return err
	}
	for _, m := range list.Mutes {
		like := m.Service == i.Service && (i.Service != "" || m.Domain == i.Domain)
		if m.Guardian != int64(v.actor.Guardian) || m.Profile != i.Profile || !like || m.Over {
			continue
		}
		if _, err := callUnmute.do(v, incidentRequest{Mute: m.ID}); err != nil {
			return err
		}
	}
	return v.noted(nil, path, "incident.unmuted")
}

// WhyText is the reason as a sentence.
func (i incidentShow) WhyText() string {
	if i.Why == "" {
		return ""
	}
	return sentence(strings.TrimSuffix(i.Why, "."))
}

// OpenName is what would be opened or closed, as people call it.
func (i incidentShow) OpenName() string {
	thing := cmp.Or(i.ToOpen, i.ToClose)
	if thing == i.Service && i.ServiceName != "" {
		return i.ServiceName
	}
	return thing
}

// MyNote is what the visitor wrote down.
func (p incidentPage) MyNote() string {
	if p.Reviewed == nil {
		return ""
	}
	return p.Reviewed.Note
}
