package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/policy"
)

var childrenRoutes = []route{
	{"GET /children", viewers, children},
	{"POST /children", carers, childAdd},
	{"GET /children/{child}", viewers, showChild},
	{"POST /children/{child}", carers, changeChild},
	{"GET /children/{child}/categories", viewers, showCategories},
	{"POST /children/{child}/categories", carers, changeCategory},
	{"GET /children/{child}/services", viewers, showServices},
	{"POST /children/{child}/services", carers, changeService},
	{"GET /children/{child}/rules", viewers, showRules},
	{"POST /children/{child}/rules", carers, changeRule},
	{"GET /children/{child}/search", viewers, showSearch},
	{"POST /children/{child}/search", carers, changeSearch},
	{"GET /children/{child}/kept", viewers, showKept},
	{"POST /children/{child}/kept", carers, changeKept},
	{"GET /children/{child}/times", viewers, showTimes},
	{"GET /children/{child}/times/{schedule}", viewers, showSchedule},
	{"POST /children/{child}/times/{schedule}", carers, changeSchedule},
}

// household is what the pages about children need of the family.
type household struct {
	Zone     string         `json:"zone"`
	Unknown  string         `json:"unknown"`
	Profiles []childProfile `json:"profiles"`
	Devices  []childDevice  `json:"devices"`
	Holidays []holiday      `json:"holidays"`
	Grants   []childGrant   `json:"grants"`
}

type childProfile struct {
	ID          int64             `json:"id"`
	Name        string            `json:"name"`
	Preset      string            `json:"preset"`
	Default     bool              `json:"default"`
	Guests      bool              `json:"guests"`
	PausedUntil *time.Time        `json:"pausedUntil"`
	Choices     map[string]string `json:"choices"`
	ListChoices map[string]string `json:"listChoices"`
	Rules       []childRule       `json:"rules"`
	Schedules   []schedule        `json:"schedules"`
}

type childDevice struct {
	Name    string     `json:"name"`
	Profile string     `json:"profile"`
	Seen    *time.Time `json:"seen"`
}

type childGrant struct {
	ID      int64     `json:"id"`
	Profile string    `json:"profile"`
	What    string    `json:"what"`
	About   string    `json:"about"`
	Until   time.Time `json:"until"`
	Over    bool      `json:"over"`
	By      string    `json:"by"`
	Why     string    `json:"why"`
}

// childShow is a profile with all that it chooses.
type childShow struct {
	Categories []categoryChoice `json:"categories"`
	Response   string           `json:"response"`
	Bypass     string           `json:"bypass"`
	Guarded    bool             `json:"guarded"`
	Search     []engineChoice   `json:"search"`
	Rules      []childRule      `json:"rules"`
}

type categoryChoice struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	Choice   string `json:"choice"`
	Preset   string `json:"preset"`
	Own      bool   `json:"own"`
	Log      string `json:"log"`
	Why      string `json:"why"`
	About    string `json:"about"`
	Rank     int    `json:"rank"`
}

type engineChoice struct {
	Engine string `json:"engine"`
	Name   string `json:"name"`
	Mode   string `json:"mode"`
	Preset string `json:"preset"`
	Own    bool   `json:"own"`
	Why    string `json:"why"`
	Limits string `json:"limits"`
}

type profileRequest struct {
	Profile string `json:"profile"`
	To      string `json:"to,omitempty"`
	Preset  string `json:"preset,omitempty"`
	Thing   string `json:"thing,omitempty"`
	Choice  string `json:"choice,omitempty"`
}

type profileShowRequest struct {
	Profile string `json:"profile"`
}

var (
	callHousehold     = call[nothing, household]("family")
	callProfileShow   = call[profileShowRequest, childShow]("profiles-show")
	callProfileAdd    = call[change[profileRequest], changed]("profiles-add")
	callProfileRename = call[change[profileRequest], changed]("profiles-rename")
	callProfileRemove = call[change[profileRequest], changed]("profiles-remove")
	callProfilePreset = call[change[profileRequest], changed]("profiles-preset")
	callProfileGuests = call[change[profileRequest], changed]("profiles-guests")
	callProfileBypass = call[change[profileRequest], changed]("profiles-bypass")
	callProfileAnswer = call[change[profileRequest], changed]("profiles-response")
)

// childrenCalls are the operations of the pages about children.
var childrenCalls = []anyCall{
	callHousehold, callProfileShow, callProfileAdd, callProfileRename, callProfileRemove, callProfilePreset, callProfileGuests, callProfileBypass, callProfileAnswer,
	callPause, callResume, callGrantAdd, callGrantRevoke, callChoose, callLog, callSearchSet, callProfileServices, callChildRule, callChildRuleRemove,
	callScheduleAdd, callScheduleSet, callScheduleExcept, callScheduleSwitch, callScheduleRemove,
	callHolidayAdd, callHolidayRemove, callLists, callListChoose, callExplain, callChangeShow, callChangesOf,
}

// wrong says what is wrong with a field of a form, by its name.
type wrong map[string]string

// formPage is what every page of a form shows: what was written, and what of it
// was wrong.
type formPage struct {
	Form  url.Values
	Wrong wrong
}

// Value is what was written into a field, or what stands in it at first.
func (p formPage) Value(field, first string) string {
	if p.Form == nil || !p.Form.Has(field) {
		return first
	}
	return p.Form.Get(field)
}

func (v *visit) household() (household, error) {
	h, err := callHousehold.do(v, nothing{})
	if err == nil {
		v.inZone(h.Zone)
	}
	return h, err
}

// childrenPage lists the children, and holds the form for one more.
type childrenPage struct {
	formPage
	household
}

// Presets are the age bands as a form offers them.
func (childrenPage) Presets() []string { return presetWords }

// DevicesOf returns the devices that have a profile.
func (h household) DevicesOf(profile string) (of []childDevice) {
	for _, d := range h.Devices {
		if d.Profile == profile {
			of = append(of, d)
		}
	}
	return of
}

// Children are the profiles, those of people before the one for all others.
func (h household) Children() []childProfile {
	all := slices.Clone(h.Profiles)
	slices.SortStableFunc(all, func(a, b childProfile) int {
		rank := func(p childProfile) int { return slices.Index(presetWords, p.Preset) }
		if a.Default != b.Default {
			return map[bool]int{false: -1, true: 1}[a.Default]
		}
		return cmp.Compare(rank(a), rank(b))
	})
	return all
}

func children(v *visit) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	// Other pages know a child's name, and come by it.
	if name := v.request.URL.Query().Get("name"); name != "" {
		for _, p := range h.Profiles {
			if p.Name == name {
				return v.see(childPath(p.ID))
			}
		}
		return &Refusal{Kind: NotFound}
	}
	return v.page(http.StatusOK, "children", childrenPage{household: h})
}

func childPath(id int64) string { return "/children/" + strconv.FormatInt(id, 10) }

func childAdd(v *visit) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	again := func(w wrong, status int) error {
		return v.page(status, "children", childrenPage{formPage{form, w}, h})
	}
	name, preset, bad := form.Get("name"), form.Get("preset"), wrong{}
	if text := v.nameWrong(name, h, 0); text != "" {
		bad["name"] = text
	}
	if !slices.Contains(presetWords, preset) {
		bad["preset"] = v.lang.text("children.preset-missing")
	}
	if len(bad) > 0 {
		return again(bad, http.StatusUnprocessableEntity)
	}
	c, err := callProfileAdd.do(v, change[profileRequest]{Do: profileRequest{Profile: name, Preset: preset}})
	if err != nil {
		return v.made(c, err, "/children", func(text string, status int) error { return again(wrong{"name": text}, status) })
	}
	if h, err = v.household(); err != nil {
		return err
	}
	for _, p := range h.Profiles {
		if policy.NameKey(p.Name) == policy.NameKey(name) {
			return v.made(c, nil, childPath(p.ID)+"?new=1", nil)
		}
	}
	return v.made(c, nil, "/children", nil)
}

// nameWrong says what is wrong with a name for the profile self, "" for nothing.
func (v *visit) nameWrong(name string, h household, self int64) string {
	switch clean, err := policy.CleanName(name); {
	case strings.TrimSpace(name) == "":
		return v.lang.text("children.name-missing")
	case len([]rune(clean)) == 0 && len([]rune(name)) > policy.MaxName:
		return v.lang.text("children.name-long", "Max", policy.MaxName)
	case err != nil:
		return v.lang.text("children.name-unfit")
	}
	for _, p := range h.Profiles {
		if p.ID != self && policy.NameKey(p.Name) == policy.NameKey(name) {
			return v.lang.text("children.name-taken", "Name", p.Name)
		}
	}
	return ""
}

// childPage is a page about one child.
type childPage struct {
	formPage
	household
	Child childProfile
	Show  childShow
	Part  string
	Base  string // the path of the child's pages
	visit *visit
}

// AddDevice leads to where the child gets a device.
func (p childPage) AddDevice() string {
	return "/devices?" + url.Values{"profile": {p.Child.Name}}.Encode()
}

// childParts are the pages about a child, in the order of a parent's questions.
var childParts = []string{"", "times", "categories", "services", "rules", "search", "kept"}

// Tabs lead to the parts.
func (p childPage) Tabs() []tab {
	var all []tab
	for _, part := range childParts {
		href := p.Base
		if part != "" {
			href += "/" + part
		}
		all = append(all, tab{href, p.visit.lang.text("child.part-" + cmp.Or(part, "overview")), part == p.Part})
	}
	return all
}

// child loads the page about the child that the address names.
func (v *visit) child(part string) (childPage, error) {
	h, err := v.household()
	if err != nil {
		return childPage{}, err
	}
	id, bad := strconv.ParseInt(v.request.PathValue("child"), 10, 64)
	at := slices.IndexFunc(h.Profiles, func(p childProfile) bool { return p.ID == id })
	if bad != nil || at < 0 {
		return childPage{}, &Refusal{Kind: NotFound}
	}
	p := childPage{household: h, Child: h.Profiles[at], Part: part, Base: childPath(id), visit: v}
	p.Show, err = callProfileShow.do(v, profileShowRequest{p.Child.Name})
	return p, err
}

// again returns how a page of a child is shown once more with what was wrong in a
// field.
func (p childPage) again(name, field string) func(string, int) error {
	return func(text string, status int) error {
		p.Form, p.Wrong = p.visit.request.PostForm, wrong{field: text}
		return p.visit.page(status, name, p)
	}
}

// at is the address of the part that a form of the page goes back to.
func (p childPage) at() string {
	if p.Part == "" {
		return p.Base
	}
	return p.Base + "/" + p.Part
}

// ask is a change about this child.
func (p childPage) ask(thing, choice string) change[profileRequest] {
	return change[profileRequest]{Do: profileRequest{Profile: p.Child.Name, Thing: thing, Choice: choice}}
}

// Presets are the age bands.
func (childPage) Presets() []string { return presetWords }

// New is whether the child was added just now.
func (p childPage) New() bool { return p.visit.request.URL.Query().Has("new") }

// Own is the device list of the child.
func (p childPage) Own() []childDevice { return p.DevicesOf(p.Child.Name) }

// PausedForGood is whether the pause ends only when somebody ends it.
func (p childPage) PausedForGood() bool {
	return p.Child.PausedUntil != nil && p.Child.PausedUntil.Year() == policy.Forever.Year()
}

// Paused is whether everything is paused now.
func (p childPage) Paused() bool {
	return p.Child.PausedUntil != nil && p.Child.PausedUntil.After(p.visit.now)
}

// ActiveGrants are those of the child that are not over.
func (p childPage) ActiveGrants() (active []childGrant) {
	for _, g := range p.Grants {
		if g.Profile == p.Child.Name && !g.Over {
			active = append(active, g)
		}
	}
	return active
}

func showChild(v *visit) error {
	p, err := v.child("")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child", p)
}

// changeChild does what a form of a child's first page asks for.
func changeChild(v *visit) error {
	p, err := v.child("")
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	value := form.Get("value")
	switch form.Get("do") {
	case "rename":
		if text := v.nameWrong(value, p.household, p.Child.ID); text != "" {
			return p.again("child", "rename")(text, http.StatusUnprocessableEntity)
		}
		c, err := callProfileRename.do(v, change[profileRequest]{Do: profileRequest{Profile: p.Child.Name, To: value}})
		return v.made(c, err, p.at(), p.again("child", "rename"))
	case "preset":
		if !slices.Contains(presetWords, value) {
			return p.again("child", "preset")(v.lang.text("children.preset-missing"), http.StatusUnprocessableEntity)
		}
		c, err := callProfilePreset.do(v, change[profileRequest]{Do: profileRequest{Profile: p.Child.Name, Preset: value}})
		return v.made(c, err, p.at(), p.again("child", "preset"))
	case "guests":
		c, err := callProfileGuests.do(v, p.ask("", value))
		return v.made(c, err, p.at(), p.again("child", "guests"))
	case "bypass":
		c, err := callProfileBypass.do(v, p.ask("", value))
		return v.made(c, err, p.at(), p.again("child", "bypass"))
	case "response":
		c, err := callProfileAnswer.do(v, p.ask("", value))
		return v.made(c, err, p.at(), p.again("child", "response"))
	case "remove":
		c, err := callProfileRemove.do(v, p.ask("", ""))
		return v.made(c, err, "/children", p.again("child", "remove"))
	case "pause":
		c, err := callPause.do(v, change[pauseRequest]{Do: pauseRequest{p.Child.Name, value}})
		return v.made(c, err, p.at(), p.again("child", "pause"))
	case "resume":
		c, err := callResume.do(v, change[pauseRequest]{Do: pauseRequest{Profile: p.Child.Name}})
		return v.made(c, err, p.at(), p.again("child", "pause"))
	case "grant":
		return p.grant(form)
	case "revoke":
		return p.revoke(form.Get("id"))
	}
	return &Refusal{Kind: Invalid}
}
