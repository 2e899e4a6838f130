package console

import (
	"html/template"
	"net/http"
	"strings"
	"time"

	"kinward/store"
)

var familyRoutes = []route{
	{"GET /family", viewers, familyPage},
	{"POST /family/name", owners, familyChange(callFamilyRename)},
	{"POST /family/zone", owners, familyChange(callFamilyZone)},
	{"POST /family/country", carers, familyChange(callFamilyCountry)},
	{"POST /family/loosening", owners, familyLoosening},
	{"POST /family/guardians", owners, confirmed(guardianAdd)},
	{"POST /family/guardians/role", owners, guardianChange(callGuardianRole)},
	{"POST /family/guardians/rename", owners, guardianChange(callGuardianRename)},
	{"POST /family/guardians/remove", owners, guardianChange(callGuardianRemove)},
	{"POST /family/guardians/invite", owners, confirmed(guardianInvite)},
	{"POST /family/guardians/uninvite", owners, guardianUninvite},
}

// ownFamily is what the page tells of the family itself.
type ownFamily struct {
	Name    string `json:"name"`
	Zone    string `json:"zone"`
	Country string `json:"country"`
	Delay   int    `json:"delay"` // minutes
	Second  bool   `json:"second"`
}

type guardianView struct {
	ID      int64      `json:"id"`
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Account bool       `json:"account"`
	Invited *time.Time `json:"invited"`
}

type guardiansView struct {
	Guardians []guardianView `json:"guardians"`
}

type guardianRequest struct {
	Name string `json:"name"`
	Role string `json:"role,omitempty"`
	To   string `json:"to,omitempty"`
}

type namedRequest struct {
	Name string `json:"name"`
}

// familyChangeRequest is what is changed of the family itself.
type familyChangeRequest struct {
	Name    string `json:"name,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Country string `json:"country,omitempty"`
	Delay   string `json:"delay,omitempty"`
	Second  *bool  `json:"second,omitempty"`
}

// invitation is the link that a guardian joins by.
type invitation struct {
	Name  string    `json:"name"`
	Path  string    `json:"path"`
	Until time.Time `json:"until"`
}

var (
	callOwnFamily       = call[nothing, ownFamily]("family")
	callFamilyRename    = call[change[familyChangeRequest], changed]("families-rename")
	callFamilyZone      = call[change[familyChangeRequest], changed]("families-zone")
	callFamilyCountry   = call[change[familyChangeRequest], changed]("families-country")
	callFamilyLoosening = call[change[familyChangeRequest], changed]("families-loosening")
	callGuardians       = call[nothing, guardiansView]("guardians")
	callGuardianAdd     = call[change[guardianRequest], changed]("guardians-add")
	callGuardianRole    = call[change[guardianRequest], changed]("guardians-role")
	callGuardianRename  = call[change[guardianRequest], changed]("guardians-rename")
	callGuardianRemove  = call[change[guardianRequest], changed]("guardians-remove")
	callGuardianInvite  = call[change[namedRequest], invitation]("guardians-invite")
	callGuardianRevoke  = call[change[guardianRequest], nothing]("guardians-uninvite")

	familyCalls = []anyCall{
		callOwnFamily, callFamilyRename, callFamilyZone, callFamilyCountry, callFamilyLoosening, callGuardians, callGuardianAdd, callGuardianRole,
		callGuardianRename, callGuardianRemove, callGuardianInvite, callGuardianRevoke,
	}
)

// familyView is what the page shows.
type familyView struct {
	ownFamily
	Guardians []guardianView
	Roles     []option
	Delays    []option
	Delayed   string
	Owner     bool
	Wrong     string // what was refused, in words
}

// delays are the spans by which weakening can be made to wait.
var delays = []string{"0", "1h", "12h", "24h", "48h", "168h"}

func familyPage(v *visit) error { return v.familyPage("", http.StatusOK) }

func (v *visit) familyPage(wrong string, status int) error {
	f, err := callOwnFamily.do(v, nothing{})
	if err != nil {
		return err
	}
	g, err := callGuardians.do(v, nothing{})
	if err != nil {
		return err
	}
	v.inZone(f.Zone)
	if f.Zone == "Local" { // as Go calls the server's own
		f.Zone = "server"
	}
	p := familyView{ownFamily: f, Guardians: g.Guardians, Owner: owners.allows(v.actor), Wrong: wrong, Delayed: "other"}
	for _, role := range []string{"owner", "guardian", "viewer"} {
		p.Roles = append(p.Roles, option{role, v.lang.text("family.role." + role)})
	}
	for _, d := range delays {
		if span, err := time.ParseDuration(d); err == nil && span == time.Duration(f.Delay)*time.Minute {
			p.Delayed = d
		}
		p.Delays = append(p.Delays, option{d, v.lang.text("family.delay." + d)})
	}
	if p.Delayed == "other" {
		p.Delayed = (time.Duration(f.Delay) * time.Minute).String()
		p.Delays = append(p.Delays, option{p.Delayed, v.lang.text("family.delay.other", "Span", p.Delayed)})
	}
	return v.page(status, "family", p)
}

// familyChange takes a form about the family itself.
func familyChange(do call[change[familyChangeRequest], changed]) func(*visit) error {
	return func(v *visit) error {
		form, err := v.form()
		if err != nil {
			return err
		}
		c, err := do.do(v, change[familyChangeRequest]{Do: familyChangeRequest{
			Name: form.Get("name"), Zone: form.Get("zone"), Country: strings.ToUpper(strings.TrimSpace(form.Get("country"))),
		}})
		return v.made(c, err, "/family", v.familyPage)
	}
}

// familyLoosening keeps what was changed on the page of the two wishes, and leaves
// the other as it is by now.
func familyLoosening(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	var do familyChangeRequest
	if delay := form.Get("delay"); delay != form.Get("was-delay") {
		do.Delay = delay
	}
	if second := form.Get("second") != ""; !form.Has("was-second") || second != (form.Get("was-second") == "true") {
		do.Second = &second
	}
	if do == (familyChangeRequest{}) {
		return v.made(changed{Unchanged: true}, nil, "/family", nil)
	}
	c, err := callFamilyLoosening.do(v, change[familyChangeRequest]{Do: do})
	return v.made(c, err, "/family", v.familyPage)
}

// guardianChange takes a form about one guardian.
func guardianChange(do call[change[guardianRequest], changed]) func(*visit) error {
	return func(v *visit) error {
		form, err := v.form()
		if err != nil {
			return err
		}
		c, err := do.do(v, change[guardianRequest]{Do: guardianRequest{Name: form.Get("name"), Role: form.Get("role"), To: form.Get("to")}})
		return v.made(c, err, "/family", v.familyPage)
	}
}

// guardianAdd names a guardian and, unless that has to wait, shows the link by
// which they join.
func guardianAdd(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	c, err := callGuardianAdd.do(v, change[guardianRequest]{Do: guardianRequest{Name: name, Role: form.Get("role")}})
	if err != nil {
		return v.made(c, err, "/family", v.familyPage)
	}
	return v.invite(name)
}

func guardianInvite(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	return v.invite(form.Get("name"))
}

func guardianUninvite(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	if _, err := callGuardianRevoke.do(v, change[guardianRequest]{Do: guardianRequest{Name: form.Get("name")}}); err != nil {
		return v.made(changed{}, err, "/family", v.familyPage)
	}
	v.keep(store.Event{Family: v.actor.Family, Account: v.account.ID, Who: v.account.Name, What: store.DoorUninvited, Detail: form.Get("name")})
	v.note("family.uninvited", "Name", form.Get("name"))
	return v.see("/family")
}

// invitedPage shows a link once: nobody can read it again.
type invitedPage struct {
	invitation
	Link string
	QR   template.HTML
}

func (v *visit) invite(name string) error {
	i, err := callGuardianInvite.do(v, change[namedRequest]{Do: namedRequest{name}})
	if err != nil {
		return v.made(changed{}, err, "/family", v.familyPage)
	}
	v.keep(store.Event{Family: v.actor.Family, Account: v.account.ID, Who: v.account.Name, What: store.DoorInvited, Detail: i.Name})
	link := v.base() + i.Path
	return v.page(http.StatusOK, "invited", invitedPage{i, link, code(link, v.lang.text("family.invited.code"))})
}
