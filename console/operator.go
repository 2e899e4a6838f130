package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The pages of whoever runs the server. They show what the server is and does, and
// of a family that it is there: the desk gives an operator nothing else.

var operatorRoutes = []route{
	{"GET /operator", operator, operatorNode},
	{"GET /operator/families", operator, operatorFamilies},
	{"POST /operator/families", operator, addFamily},
	{"POST /operator/families/{family}/remove", operator, confirmed(removeFamily)},
	{"GET /operator/lists", operator, operatorLists},
	{"POST /operator/lists", operator, addList},
	{"POST /operator/lists/{list}", operator, changeList},
	{"GET /operator/catalogue", operator, operatorCatalogue},
	{"POST /operator/catalogue", operator, changeCatalogue},
	{"GET /operator/upstreams", operator, operatorUpstreams},
	{"GET /operator/health", operator, operatorHealth},
	{"GET /operator/certificates", operator, operatorCertificates},
}

type serverStatus struct {
	Version     string           `json:"version"`
	Started     time.Time        `json:"started"`
	Addresses   []string         `json:"addresses"`
	Upstreams   []upstreamHealth `json:"upstreams"`
	Database    string           `json:"database"`
	Lost        float64          `json:"lost"`
	Certificate *certificate     `json:"certificate"`
	Alerts      messageFigures   `json:"alerts"`
	Load        serverLoad       `json:"load"`
}

type upstreamHealth struct {
	Upstream    string    `json:"upstream"`
	Domain      string    `json:"domain"`
	Usable      bool      `json:"usable"`
	Looping     bool      `json:"looping"`
	Failures    int       `json:"failures"`
	LastAnswer  time.Time `json:"last_answer"`
	LastFailure string    `json:"last_failure"`
}

type certificate struct {
	Source   string    `json:"source"`
	Names    []string  `json:"names"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	Next     time.Time `json:"next"`
	Problem  string    `json:"problem"`
}

type messageFigures struct {
	Channels int `json:"channels"`
	Failing  int `json:"failing"`
	Waiting  int `json:"waiting"`
}

type serverLoad struct {
	Memory    uint64 `json:"memory"`
	Questions uint64 `json:"questions"`
	Forwarded uint64 `json:"forwarded"`
	Failures  uint64 `json:"failures"`
	Recorded  uint64 `json:"recorded"`
}

type cacheFigures struct {
	Entries int    `json:"entries"`
	Bytes   int    `json:"bytes"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
}

type familiesAsk struct {
	After int64 `json:"after"`
	Limit int   `json:"limit"`
}

type familiesView struct {
	Families []familyLine `json:"families"`
	More     bool         `json:"more"`
}

type familyLine struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Devices int    `json:"devices"`
}

type familyEdit struct {
	Name   string `json:"name,omitempty"`
	Zone   string `json:"zone,omitempty"`
	Preset string `json:"preset,omitempty"`
	Yes    bool   `json:"yes,omitempty"`
}

type findings struct {
	Findings []struct {
		What   string `json:"what"`
		State  string `json:"state"`
		Detail string `json:"detail"`
		Do     string `json:"do"`
	} `json:"findings"`
}

var (
	callStatus            = call[struct{}, serverStatus]("status")
	callDoctor            = call[struct{}, findings]("doctor")
	callCache             = call[struct{}, cacheFigures]("cache")
	callFamilies          = call[familiesAsk, familiesView]("families")
	callFamilyAdd         = call[change[familyEdit], changed]("families-add")
	callFamilyRemove      = call[change[familyEdit], saying]("families-remove")
	callServerLists       = call[struct{}, serverLists]("lists")
	callListAdd           = call[listAdd, serverLists]("lists-add")
	callListUpdate        = call[listIDs, serverLists]("lists-update")
	callListAccept        = call[listIDs, struct{}]("lists-accept")
	callListRollback      = call[listIDs, struct{}]("lists-rollback")
	callListRemove        = call[listIDs, saying]("lists-remove")
	callCatalogue         = call[struct{}, catalogueInForce]("catalogue")
	callCatalogueUpdate   = call[catalogueUpdate, catalogueUpdated]("catalogue-update")
	callCatalogueRollback = call[struct{}, catalogueUpdated]("catalogue-rollback")
)

var operatorCalls = []anyCall{
	callStatus, callDoctor, callCache, callFamilies, callFamilyAdd, callFamilyRemove, callServerLists, callListAdd, callListUpdate,
	callListAccept, callListRollback, callListRemove, callCatalogue, callCatalogueUpdate, callCatalogueRollback,
}

// nodeView is the page of this server.
type nodeView struct {
	serverStatus
	Cache   cacheFigures
	Up      string
	HitRate int // per cent
}

func operatorNode(v *visit) error {
	s, err := callStatus.do(v, struct{}{})
	if err != nil {
		return err
	}
	view := nodeView{serverStatus: s, Up: upFor(v, s.Started)}
	if view.Cache, err = callCache.do(v, struct{}{}); err != nil && refused(err) == nil {
		return err
	}
	if all := view.Cache.Hits + view.Cache.Misses; all > 0 {
		view.HitRate = int(100 * view.Cache.Hits / all)
	}
	return v.page(http.StatusOK, "operator-node", view)
}

// upFor says for how long the server has been running, in its largest unit.
func upFor(v *visit, since time.Time) string {
	d := v.now.Sub(since)
	switch {
	case since.IsZero():
		return "–"
	case d >= 48*time.Hour:
		return v.lang.count("operator.days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return v.lang.count("operator.hours", int(d.Hours()))
	}
	return v.lang.count("operator.minutes", int(d.Minutes()))
}

// MB writes bytes in millions of them.
func (nodeView) MB(bytes any) string {
	n, err := strconv.ParseFloat(fmt.Sprint(bytes), 64)
	if err != nil {
		return "–"
	}
	return fmt.Sprintf("%.0f MB", n/1e6)
}

const familiesPerPage = 50

type operatorFamiliesView struct {
	familiesView
	After   int64
	Next    int64
	Name    string
	Zone    string
	Preset  string
	Problem string
	Presets []option
}

func (v *visit) operatorFamilies() (operatorFamiliesView, error) {
	after, _ := strconv.ParseInt(v.request.URL.Query().Get("after"), 10, 64) // what is no number begins at the first
	view := operatorFamiliesView{After: after, Preset: "C"}
	for _, p := range presetWords {
		view.Presets = append(view.Presets, option{p, v.lang.text("preset." + p)})
	}
	var err error
	if view.familiesView, err = callFamilies.do(v, familiesAsk{after, familiesPerPage}); err != nil {
		return view, err
	}
	if view.More && len(view.Families) > 0 {
		view.Next = view.Families[len(view.Families)-1].ID
	}
	return view, nil
}

func operatorFamilies(v *visit) error {
	view, err := v.operatorFamilies()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "operator-families", view)
}

func addFamily(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	_, err = callFamilyAdd.do(v, change[familyEdit]{Do: familyEdit{Name: name, Zone: strings.TrimSpace(form.Get("zone")), Preset: form.Get("preset")}})
	if r := refused(err); r != nil && (r.Kind == Invalid || r.Kind == Conflict) {
		view, err := v.operatorFamilies()
		if err != nil {
			return err
		}
		view.Name, view.Zone, view.Preset, view.Problem = name, form.Get("zone"), form.Get("preset"), r.Text
		return v.page(statusOf[r.Kind], "operator-families", view)
	}
	if err != nil {
		return err
	}
	v.note("operator.family-added", "Name", name)
	return v.see("/operator/families")
}

// removeFamily removes a family for good. The page asks once more, and confirmed who
// sits there.
func removeFamily(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	done, err := callFamilyRemove.do(v, change[familyEdit]{Do: familyEdit{Name: v.request.PathValue("family"), Yes: form.Get("yes") == "yes"}})
	if err != nil {
		return err
	}
	v.note("operator.said", "Text", v.lang.said(done.Done))
	return v.see("/operator/families")
}

func operatorUpstreams(v *visit) error {
	s, err := callStatus.do(v, struct{}{})
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "operator-upstreams", s)
}

// healthView is the page that says what works. The doctor asks others and takes
// some seconds, so it is called when somebody wants it.
type healthView struct {
	serverStatus
	Findings findings
	Looked   bool
}

func operatorHealth(v *visit) (err error) {
	view := healthView{Looked: v.request.URL.Query().Has("look")}
	if view.serverStatus, err = callStatus.do(v, struct{}{}); err != nil {
		return err
	}
	if view.Looked {
		if view.Findings, err = callDoctor.do(v, struct{}{}); err != nil {
			return err
		}
	}
	return v.page(http.StatusOK, "operator-health", view)
}

func operatorCertificates(v *visit) error {
	s, err := callStatus.do(v, struct{}{})
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "operator-certificates", s)
}
