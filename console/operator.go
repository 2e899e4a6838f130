package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kinward/blocklists"
)

// The pages of whoever runs the server. They show what the server is and does, and
// of a family that it is there: the desk gives an operator nothing else.

var operatorRoutes = []route{
	{"GET /operator", operator, operatorNode},
	{"GET /operator/families", operator, operatorFamilies},
	{"POST /operator/families", operator, addFamily},
	{"POST /operator/families/{family}/remove", operator, removeFamily},
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

type doneView struct {
	Done string `json:"done"`
}

// serverList is a list as an operator sees it.
type serverList struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Location string    `json:"location"`
	Category string    `json:"category"`
	Entries  int       `json:"entries"`
	Fetched  time.Time `json:"fetched"`
	Checked  time.Time `json:"checked"`
	Problem  string    `json:"problem"`
	Held     *heldList `json:"held"`
	Previous *struct {
		Entries int `json:"entries"`
	} `json:"previous"`
	Outcome string `json:"outcome"`
}

type heldList struct {
	Entries int    `json:"entries"`
	Why     string `json:"why"`
}

type serverLists struct {
	Lists []serverList `json:"lists"`
}

type listAdd struct {
	Location string   `json:"location"`
	Mirrors  []string `json:"mirrors,omitempty"`
	Member   string   `json:"member,omitempty"`
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Category string   `json:"category"`
	Format   string   `json:"format"`
	Match    string   `json:"match"`
}

type listIDs struct {
	IDs []string `json:"ids"`
}

type catalogueInForce struct {
	Version     int    `json:"version"`
	Date        string `json:"date"`
	FromProgram bool   `json:"fromProgram"`
	Services    int    `json:"services"`
	Domains     int    `json:"domains"`
	Help        int    `json:"help"`
	Source      string `json:"source"`
	Problem     string `json:"problem"`
	Previous    *struct {
		Version int `json:"version"`
	} `json:"previous"`
}

type catalogueUpdate struct {
	Location string `json:"location"`
	Accept   bool   `json:"accept"`
}

type catalogueUpdated struct {
	Catalogue catalogueInForce `json:"catalogue"`
	Same      bool             `json:"same"`
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
	callFamilyRemove      = call[change[familyEdit], doneView]("families-remove")
	callServerLists       = call[struct{}, serverLists]("lists")
	callListAdd           = call[listAdd, serverLists]("lists-add")
	callListUpdate        = call[listIDs, serverLists]("lists-update")
	callListAccept        = call[listIDs, struct{}]("lists-accept")
	callListRollback      = call[listIDs, struct{}]("lists-rollback")
	callListRemove        = call[listIDs, doneView]("lists-remove")
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

// removeFamily removes a family for good: its name has to be typed.
func removeFamily(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	if !v.Proved() {
		return v.see("/confirm?next=/operator/families")
	}
	done, err := callFamilyRemove.do(v, change[familyEdit]{Do: familyEdit{Name: v.request.PathValue("family"), Yes: form.Get("yes") == "yes"}})
	if err != nil {
		return err
	}
	v.note("operator.said", "Text", v.lang.said(done.Done))
	return v.see("/operator/families")
}

type operatorListsView struct {
	serverLists
	Offers     []blocklists.Offer
	Categories []option
	Names      map[string]string // of the categories, in words
	Location   string
	Category   string
	Problem    string
}

// ownCatalogue is read for what categories are called, which no edition changes.
var ownCatalogue = sync.OnceValues(blocklists.Embedded)

func (v *visit) operatorLists() (view operatorListsView, err error) {
	if view.serverLists, err = callServerLists.do(v, struct{}{}); err != nil {
		return view, err
	}
	offers, err := blocklists.Directory()
	if err != nil {
		return view, err
	}
	for _, o := range offers {
		if !slices.ContainsFunc(view.Lists, func(l serverList) bool { return l.ID == o.ID }) {
			view.Offers = append(view.Offers, o)
		}
	}
	catalogue, err := ownCatalogue()
	if err != nil {
		return view, err
	}
	view.Names = map[string]string{}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		view.Names[c.String()] = v.lang.said(catalogue.Categories[c].Name)
		view.Categories = append(view.Categories, option{c.String(), view.Names[c.String()]})
	}
	return view, nil
}

func operatorLists(v *visit) error {
	view, err := v.operatorLists()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "operator-lists", view)
}

// addList takes a list of the directory by its ID, or any other from its place.
func addList(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	req := listAdd{Location: strings.TrimSpace(form.Get("location")), Category: form.Get("category")}
	if id := form.Get("offer"); id != "" {
		o, err := blocklists.FindOffer(id)
		if err != nil {
			return &Refusal{Kind: NotFound}
		}
		req = listAdd{o.Location, o.Mirrors, o.Member, o.ID, o.Name, o.Category.String(), o.Format.String(), o.Match.String()}
	}
	added, err := callListAdd.do(v, req)
	if r := refused(err); r != nil && (r.Kind == Invalid || r.Kind == Conflict) {
		view, err := v.operatorLists()
		if err != nil {
			return err
		}
		view.Location, view.Category, view.Problem = req.Location, req.Category, r.Text
		return v.page(statusOf[r.Kind], "operator-lists", view)
	}
	if err != nil {
		return err
	}
	return v.listsDone(added)
}

func (v *visit) listsDone(l serverLists) error {
	var said []string
	for _, l := range l.Lists {
		if text := cmp.Or(l.Problem, l.Outcome); text != "" {
			said = append(said, l.Name+": "+v.lang.said(text))
		}
	}
	if len(said) > 0 {
		v.note("operator.said", "Text", strings.Join(said, ". "))
	} else {
		v.note("operator.lists-done")
	}
	return v.see("/operator/lists")
}

func changeList(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	req := listIDs{[]string{v.request.PathValue("list")}}
	switch form.Get("do") {
	case "update":
		updated, err := callListUpdate.do(v, req)
		if err != nil {
			return err
		}
		return v.listsDone(updated)
	case "accept":
		_, err = callListAccept.do(v, req)
	case "rollback":
		_, err = callListRollback.do(v, req)
	case "remove":
		_, err = callListRemove.do(v, req)
	default:
		return &Refusal{Kind: Invalid}
	}
	if err != nil {
		return err
	}
	return v.listsDone(serverLists{})
}

func operatorCatalogue(v *visit) error {
	view, err := callCatalogue.do(v, struct{}{})
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "operator-catalogue", view)
}

func changeCatalogue(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	var r catalogueUpdated
	switch form.Get("do") {
	case "update":
		r, err = callCatalogueUpdate.do(v, catalogueUpdate{Accept: form.Get("accept") == "yes"})
	case "rollback":
		r, err = callCatalogueRollback.do(v, struct{}{})
	default:
		return &Refusal{Kind: Invalid}
	}
	if err != nil {
		return err
	}
	key := "operator.catalogue-done"
	if r.Same {
		key = "operator.catalogue-same"
	}
	v.note(key, "Version", r.Catalogue.Version)
	return v.see("/operator/catalogue")
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
