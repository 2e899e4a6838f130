package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

var incidentRoutes = []route{
	{"GET /incidents", viewers, incidents},
	{"GET /incidents/looks", viewers, incidentLooks},
	{"POST /incidents/review", carers, incidentsReview},
	{"POST /incidents/export", carers, incidentsExport},
}

// nothing is the request of an operation that needs none.
type nothing struct{}

// incidentsQuery says which incidents are meant.
type incidentsQuery struct {
	Since      string `json:"since,omitempty"`
	Until      string `json:"until,omitempty"`
	Device     string `json:"device,omitempty"`
	Profile    string `json:"profile,omitempty"`
	Category   string `json:"category,omitempty"`
	Service    string `json:"service,omitempty"`
	Verdict    string `json:"verdict,omitempty"`
	Routine    bool   `json:"routine,omitempty"`
	Unreviewed bool   `json:"unreviewed,omitempty"`
	ID         string `json:"id,omitempty"`
}

type incidentsRequest struct {
	incidentsQuery
	Limit int    `json:"limit"`
	After string `json:"after,omitempty"`
	Look  int    `json:"look,omitempty"`
}

type incidentsView struct {
	Zone      string         `json:"zone"`
	Since     time.Time      `json:"since"`
	Incidents []incidentView `json:"incidents"`
	Counted   []countView    `json:"counted"`
	Lost      []lossView     `json:"lost"`
	More      bool           `json:"more"`
	Next      string         `json:"next"`
	Waiting   string         `json:"waiting"`
}

// countView is how often something was tried on a day that must not be named.
type countView struct {
	Category     string `json:"category"`
	Day          string `json:"day"`
	Tries        int    `json:"tries"`
	ProfileName  string `json:"profile_name"`
	CategoryName string `json:"category_name"`
}

// filterFamily is what of a family its lists can be narrowed to.
type filterFamily struct {
	Zone     string `json:"zone"`
	Profiles []struct {
		Name string `json:"name"`
	} `json:"profiles"`
	Devices []struct {
		Name string `json:"name"`
	} `json:"devices"`
}

type categoriesView struct {
	Categories []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"categories"`
}

type looksRequest struct {
	Since string `json:"since"`
}

type looksView struct {
	Zone  string     `json:"zone"`
	Since time.Time  `json:"since"`
	Views []lookView `json:"views"`
}

// lookView is that an adult looked.
type lookView struct {
	Who         string    `json:"who"`
	Action      string    `json:"action"`
	Incident    string    `json:"incident"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Times       int       `json:"times"`
	Incidents   int       `json:"incidents"`
	ProfileName string    `json:"profile_name"`
}

// saying is a reply that is a sentence.
type saying struct {
	Done string `json:"done"`
}

type reviewRequest struct {
	IDs  []string `json:"ids"`
	Note string   `json:"note,omitempty"`
}

type fileRequest struct {
	incidentsQuery
	Format string `json:"format"`
}

type fileView struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Content   []byte `json:"content"`
	SHA256    string `json:"sha256"`
	Incidents int    `json:"incidents"`
}

var (
	callIncidents    = call[incidentsRequest, incidentsView]("incidents")
	callFilterFamily = call[nothing, filterFamily]("family")
	callCategories   = call[nothing, categoriesView]("categories")
	callLooks        = call[looksRequest, looksView]("incidents-views")
	callReview       = call[reviewRequest, saying]("incidents-review")
	callFile         = call[fileRequest, fileView]("incidents-file")

	incidentCalls = []anyCall{callIncidents, callFilterFamily, callCategories, callLooks, callReview, callFile}
)

// sinces are how far back lists go.
var sinces = []string{"24h", "7d", "30d", "90d", "400d"}

// sinceOf returns a wish for how far back where it is one of those.
func sinceOf(wish, otherwise string) string {
	if slices.Contains(sinces, wish) {
		return wish
	}
	return otherwise
}

func (v *visit) sinceOptions() []option {
	var out []option
	for _, s := range sinces {
		out = append(out, option{s, v.lang.text("filter.since." + s)})
	}
	return out
}

func (v *visit) profileOptions(f filterFamily) []option {
	out := []option{{"", v.lang.text("filter.all")}}
	for _, p := range f.Profiles {
		out = append(out, option{p.Name, p.Name})
	}
	return out
}

// lookAtMost is how many stored incidents one page looks at: a category that is
// rare could otherwise have it read a whole year. It goes on from there.
const lookAtMost = 2000

// incidentsPage is what the page shows.
type incidentsPage struct {
	incidentsView
	Filter                                          incidentsQuery
	Profiles, Devices, Categories, Verdicts, Sinces []option
	Narrowed                                        bool // to more than a time
	Older, Newest                                   string
	Fresh                                           []string // IDs of those that the visitor has not reviewed
	Here                                            string   // the address of this page
	MoreCounted                                     int
}

// countedOnPage is how many days with counts stand on a page.
const countedOnPage = 20

// readIncidentsQuery takes the filters out of an address or a form.
func readIncidentsQuery(q url.Values) incidentsQuery {
	text := func(name string) string {
		s := strings.TrimSpace(q.Get(name))
		return s[:min(len(s), 300)]
	}
	return incidentsQuery{
		Since: sinceOf(q.Get("since"), "7d"), Device: text("device"), Profile: text("profile"), Category: text("category"), Service: text("service"),
		Verdict: text("verdict"), Routine: q.Get("routine") != "", Unreviewed: q.Get("unreviewed") != "",
	}
}

// address is where the page of q is.
func (q incidentsQuery) address(after string) string {
	on := map[bool]string{true: "1"}
	return query("/incidents", "since", q.Since, "profile", q.Profile, "device", q.Device, "category", q.Category, "service", q.Service,
		"verdict", q.Verdict, "routine", on[q.Routine], "unreviewed", on[q.Unreviewed], "after", after)
}

func incidents(v *visit) error {
	after := v.request.URL.Query().Get("after")
	p := incidentsPage{Filter: readIncidentsQuery(v.request.URL.Query())}
	var err error
	if p.incidentsView, err = callIncidents.do(v, incidentsRequest{p.Filter, perPage, after, lookAtMost}); err != nil {
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
	all := option{"", v.lang.text("filter.all")}
	p.Profiles, p.Devices, p.Categories, p.Verdicts, p.Sinces = v.profileOptions(family), []option{all}, []option{all}, []option{all}, v.sinceOptions()
	for _, d := range family.Devices {
		p.Devices = append(p.Devices, option{d.Name, d.Name})
	}
	for _, c := range categories.Categories {
		p.Categories = append(p.Categories, option{c.ID, c.Name})
	}
	for _, verdict := range []string{"block", "watch", "rewrite"} {
		p.Verdicts = append(p.Verdicts, option{verdict, v.lang.text("filter.verdict." + verdict)})
	}
	if d := p.Filter.Device; d != "" && !slices.ContainsFunc(p.Devices, func(o option) bool { return strings.EqualFold(o.Value, d) }) {
		p.Devices = append(p.Devices, option{d, d}) // an address of a device without a name
	}
	f := p.Filter
	f.Since = ""
	p.Narrowed = f != incidentsQuery{}
	p.Here = p.Filter.address(after)
	if p.More {
		p.Older = p.Filter.address(p.Next)
	}
	if after != "" {
		p.Newest = p.Filter.address("")
	}
	for _, i := range p.Incidents {
		if !i.reviewedBy(v.actor) {
			p.Fresh = append(p.Fresh, i.ID)
		}
	}
	if n := len(p.Counted); n > countedOnPage {
		p.Counted, p.MoreCounted = p.Counted[:countedOnPage], n-countedOnPage
	}
	return v.page(http.StatusOK, "incidents", p)
}

func (i incidentView) reviewedBy(a Actor) bool {
	return slices.ContainsFunc(i.Reviews, func(r reviewView) bool { return r.Guardian == int64(a.Guardian) })
}

// incidentLooks shows who looked at incidents: those who watch are seen, too.
func incidentLooks(v *visit) error {
	looks, err := callLooks.do(v, looksRequest{"30d"})
	if err != nil {
		return err
	}
	v.inZone(looks.Zone)
	return v.page(http.StatusOK, "looks", looks)
}

// incidentsReview marks all incidents of a page as dealt with.
func incidentsReview(v *visit) error {
	if err := v.request.ParseForm(); err != nil {
		return err
	}
	ids := v.request.PostForm["id"]
	if len(ids) == 0 || len(ids) > perPage {
		return &Refusal{Kind: Invalid}
	}
	_, err := callReview.do(v, reviewRequest{IDs: ids})
	return v.noted(err, localPath(v.request.PostFormValue("back")), "incidents.reviewed")
}

// incidentsExport has the browser save a file. It is a POST since it costs the
// server something, and since a link that is followed ahead should export nothing.
func incidentsExport(v *visit) error {
	if err := v.request.ParseForm(); err != nil {
		return err
	}
	form := v.request.PostForm
	q := readIncidentsQuery(form)
	if id := form.Get("id"); id != "" {
		q = incidentsQuery{ID: id}
	}
	f, err := callFile.do(v, fileRequest{q, form.Get("format")})
	if err != nil {
		return err
	}
	v.note("incidents.exported", "Name", f.Name, "SHA256", f.SHA256) // who changes the file could change sums in it, too
	h := v.w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", f.Name))
	h.Set("Content-Length", strconv.Itoa(len(f.Content)))
	_, _ = v.w.Write(f.Content) // the browser may be gone
	return nil
}
