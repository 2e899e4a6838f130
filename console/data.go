package console

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var dataRoutes = []route{
	{"GET /data", viewers, dataPage},
	{"POST /data/retention", owners, setRetention},
	{"POST /data/choices", owners, exportChoices},
	{"GET /data/erase", owners, erasePage},
	{"POST /data/erase", owners, erase},
}

type retentionView struct {
	Days       int                 `json:"days"`
	Categories []retentionCategory `json:"categories"`
}

type retentionCategory struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	Days     int    `json:"days"`
}

type retentionRequest struct {
	Days     string `json:"days"`
	Category string `json:"category,omitempty"`
}

type eraseRequest struct {
	Profile string `json:"profile,omitempty"` // "": all
	DryRun  bool   `json:"dryRun,omitempty"`
	Why     string `json:"why,omitempty"`
}

type erasedView struct {
	Family  string         `json:"family"`
	Rows    map[string]int `json:"rows"`
	Removed []int64        `json:"removed,omitempty"` // profiles that are gone while something is kept of them
}

type choicesView struct {
	YAML string `json:"yaml"`
}

var (
	callRetention    = call[nothing, retentionView]("retention")
	callRetentionSet = call[change[retentionRequest], changed]("retention-set")
	callErase        = call[eraseRequest, erasedView]("erase")
	callChoices      = call[nothing, choicesView]("families-export")

	dataCalls = []anyCall{callRetention, callRetentionSet, callErase, callChoices}
)

// dataView is what the page shows.
type dataView struct {
	retentionView
	Categories []option // that can be kept otherwise
	Own        []retentionCategory
	Profiles   []childProfile
	Removed    []int64 // profiles that are gone while something is kept of them, for an owner
	Owner      bool
	Wrong      string
}

func dataPage(v *visit) error { return v.dataPage("", http.StatusOK) }

func (v *visit) dataPage(wrong string, status int) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	r, err := callRetention.do(v, nothing{})
	if err != nil {
		return err
	}
	all, err := callCategories.do(v, nothing{})
	if err != nil {
		return err
	}
	p := dataView{retentionView: r, Own: r.Categories, Profiles: h.Profiles, Owner: owners.allows(v.actor), Wrong: wrong}
	if p.Owner {
		kept, err := callErase.do(v, eraseRequest{DryRun: true})
		if err != nil {
			return err
		}
		p.Removed = kept.Removed
	}
	p.Categories = []option{{"", v.lang.text("data.all-categories")}}
	for _, c := range all.Categories {
		p.Categories = append(p.Categories, option{c.ID, c.Name})
	}
	return v.page(status, "data", p)
}

func setRetention(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	c, err := callRetentionSet.do(v, change[retentionRequest]{Do: retentionRequest{cmp.Or(strings.TrimSpace(form.Get("days")), "default"), form.Get("category")}})
	return v.made(c, err, "/data", v.dataPage)
}

// exportChoices has the browser save what the family chose, as a file that the
// command line reads. It holds the secrets by which devices are recognised.
func exportChoices(v *visit) error {
	r, err := callChoices.do(v, nothing{})
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/yaml")
	h.Set("Content-Disposition", `attachment; filename="kinward-family.yaml"`)
	h.Set("Content-Length", strconv.Itoa(len(r.YAML)))
	_, _ = v.w.Write([]byte(r.YAML)) // the browser may be gone
	return nil
}

// eraseView asks for the name of what is to be erased: a thing that cannot be
// undone should not be a slip of the thumb.
type eraseView struct {
	Profile string // "": all
	Number  bool   // Profile is the number of one that was removed
	Type    string // what has to be typed
	Rows    []erasedRow
	Total   int
	Wrong   string
}

type erasedRow struct {
	Name string
	N    int
}

func erasePage(v *visit) error {
	return v.erasePage(v.request.URL.Query().Get("profile"), "", http.StatusOK)
}

func (v *visit) erasePage(profile, wrong string, status int) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	r, err := callErase.do(v, eraseRequest{Profile: profile, DryRun: true})
	if err != nil {
		return err
	}
	p := eraseView{Profile: profile, Type: cmp.Or(profile, r.Family), Wrong: wrong}
	if _, err := strconv.ParseUint(profile, 10, 32); err == nil { // a child may be called so, too
		p.Number = !slices.ContainsFunc(h.Profiles, func(c childProfile) bool { return c.Name == profile })
	}
	for _, name := range slices.Sorted(maps.Keys(r.Rows)) {
		p.Rows = append(p.Rows, erasedRow{strings.ReplaceAll(name, " ", "-"), r.Rows[name]})
		p.Total += r.Rows[name]
	}
	return v.page(status, "erase", p)
}

func erase(v *visit) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	profile := form.Get("profile")
	r, err := callErase.do(v, eraseRequest{Profile: profile, DryRun: true})
	if err != nil {
		return err
	}
	if strings.TrimSpace(form.Get("typed")) != cmp.Or(profile, r.Family) {
		return v.erasePage(profile, v.lang.text("erase.typed-wrong"), http.StatusUnprocessableEntity)
	}
	if _, err = callErase.do(v, eraseRequest{Profile: profile}); err != nil {
		return err
	}
	v.note("erase.done")
	return v.see("/data")
}
