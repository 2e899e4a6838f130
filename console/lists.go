package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

var listRoutes = []route{
	{"GET /lists", viewers, showLists},
	{"POST /lists", carers, changeLists},
}

// listInForce is a list that this server has for all families.
type listInForce struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Entries  int       `json:"entries"`
	Checked  time.Time `json:"checked"`
	Problem  string    `json:"problem"`
}

type listsView struct {
	Lists []listInForce `json:"lists"`
}

var (
	callLists      = call[nothing, listsView]("lists")
	callListChoose = call[change[profileRequest], changed]("profiles-list")
)

// listsPage shows each list with what every child's profile does about it.
type listsPage struct {
	formPage
	household
	Lists []listRow
}

type listRow struct {
	listInForce
	CategoryName, CategoryAbout string
	For                         []listFor
}

// listFor is what a profile does about a list.
type listFor struct {
	Child  childProfile
	Choice string // what it comes to
	Usual  string // the choice for the list's category
	Own    bool
	Field  string // names the form of it
}

// Chosen is what stands in the form.
func (f listFor) Chosen() string {
	if f.Own {
		return f.Choice
	}
	return "preset"
}

func (v *visit) lists() (p listsPage, err error) {
	if p.household, err = v.household(); err != nil {
		return p, err
	}
	r, err := callLists.do(v, nothing{})
	if err != nil {
		return p, err
	}
	shows := map[int64]childShow{}
	for _, child := range p.Profiles {
		if shows[child.ID], err = callProfileShow.do(v, profileShowRequest{child.Name}); err != nil {
			return p, err
		}
	}
	for _, l := range r.Lists {
		row := listRow{listInForce: l}
		for _, child := range p.Children() {
			i := slices.IndexFunc(shows[child.ID].Categories, func(c categoryChoice) bool { return c.Category == l.Category })
			if i < 0 {
				break // the catalogue, which is about all categories
			}
			category := shows[child.ID].Categories[i]
			row.CategoryName, row.CategoryAbout = category.Name, category.About
			own, has := child.ListChoices[l.ID]
			row.For = append(row.For, listFor{child, cmp.Or(own, category.Choice), category.Choice, has, "list-" + strconv.FormatInt(child.ID, 10) + "-" + l.ID})
		}
		p.Lists = append(p.Lists, row)
	}
	return p, nil
}

// ListOptions are what can be chosen about a list.
func (v *visit) ListOptions(f listFor) []option {
	return v.choicesFor("choice.list-category", f.Usual, nil)
}

func showLists(v *visit) error {
	p, err := v.lists()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "lists", p)
}

func changeLists(v *visit) error {
	p, err := v.lists()
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	for _, child := range p.Profiles {
		if strconv.FormatInt(child.ID, 10) != form.Get("child") {
			continue
		}
		thing := form.Get("thing")
		c, err := callListChoose.do(v, change[profileRequest]{Do: profileRequest{Profile: child.Name, Thing: thing, Choice: form.Get("choice")}})
		return v.made(c, err, "/lists", func(text string, status int) error {
			p.Form, p.Wrong = form, wrong{"list-" + form.Get("child") + "-" + thing: text}
			return v.page(status, "lists", p)
		})
	}
	return &Refusal{Kind: NotFound}
}
