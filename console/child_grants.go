package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

type pauseRequest struct {
	Profile string `json:"profile"`
	For     string `json:"for,omitempty"`
}

type grantRequest struct {
	ID      int64  `json:"id,omitempty"`
	What    string `json:"what,omitempty"`
	Profile string `json:"profile,omitempty"`
	For     string `json:"for,omitempty"`
	By      string `json:"by,omitempty"`
	Why     string `json:"why,omitempty"`
}

var (
	callPause       = call[change[pauseRequest], changed]("pause")
	callResume      = call[change[pauseRequest], changed]("resume")
	callGrantAdd    = call[change[grantRequest], changed]("grants-add")
	callGrantRevoke = call[change[grantRequest], changed]("grants-revoke")
)

// The spans that pages offer for what ends by itself; "" is for good.
var (
	childGrantSpans = []string{"15m", "60m", "2h", "today", "7d"}
	pauseSpans      = []string{"30m", "1h", "2h", "today", ""}
	ruleSpans       = []string{"", "60m", "today", "7d", "30d"}
)

func (v *visit) spans(list []string) (all []option) {
	for _, s := range list {
		label := "span." + s
		if s == "" {
			label = "span.good"
		}
		all = append(all, option{s, v.lang.text(label)})
	}
	return all
}

// GrantSpans are how long something can be allowed for.
func (p childPage) GrantSpans() []option { return p.visit.spans(childGrantSpans) }

// PauseSpans are how long a pause can last.
func (p childPage) PauseSpans() []option { return p.visit.spans(pauseSpans) }

// Grantables is what can be allowed for a while without writing its name.
func (p childPage) Grantables() []option {
	all := []option{{"everything", p.visit.lang.text("grant.everything")}}
	for _, c := range p.Show.Categories {
		if c.Category != "security" { // stays blocked whatever is granted
			all = append(all, option{"category:" + c.Category, p.visit.lang.said(c.Name)})
		}
	}
	return all
}

func (p childPage) grant(form url.Values) error {
	v := p.visit
	again := p.again("child", "what")
	// What somebody wrote is meant rather than what stood in the list.
	what := strings.TrimSpace(form.Get("name"))
	if what == "" {
		what = form.Get("what")
	}
	if what == "" {
		return again(v.lang.text("grant.what-missing"), http.StatusUnprocessableEntity)
	}
	if !slices.Contains(childGrantSpans, form.Get("for")) {
		return p.again("child", "for")(v.lang.text("grant.for-missing"), http.StatusUnprocessableEntity)
	}
	why := strings.TrimSpace(form.Get("why"))
	c, err := callGrantAdd.do(v, change[grantRequest]{why, grantRequest{
		What: what, Profile: p.Child.Name, For: form.Get("for"), By: v.actor.Name, Why: why,
	}})
	return v.made(c, err, p.at(), again)
}

func (p childPage) revoke(number string) error {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !slices.ContainsFunc(p.Grants, func(g childGrant) bool { return g.ID == id && g.Profile == p.Child.Name }) {
		return &Refusal{Kind: NotFound}
	}
	c, err := callGrantRevoke.do(p.visit, change[grantRequest]{Do: grantRequest{ID: id}})
	return p.visit.made(c, err, p.at(), nil)
}
