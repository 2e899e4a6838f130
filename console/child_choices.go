package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

type servicesRequest struct {
	Category  string `json:"category"`
	KnownRisk bool   `json:"knownRisk"`
	Search    string `json:"search"`
	Profile   string `json:"profile"`
	Own       bool   `json:"own"`
}

type servicesView struct {
	Services []serviceChoice `json:"services"`
}

type serviceChoice struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Category     string `json:"category"`
	CategoryName string `json:"categoryName"`
	KnownRisk    bool   `json:"knownRisk"`
	Strength     string `json:"strength"`
	Closed       bool   `json:"closed"`
	About        string `json:"about"`
	MinAge       *int   `json:"minAge"`
	Choice       string `json:"choice"`
	Own          bool   `json:"own"`
}

var (
	callChoose          = call[change[profileRequest], changed]("profiles-choose")
	callLog             = call[change[profileRequest], changed]("profiles-log")
	callSearchSet       = call[change[profileRequest], changed]("search-set")
	callProfileServices = call[servicesRequest, servicesView]("profiles-services")
)

// choices are the words for what is done about a category, a service or a list,
// in the order of a form.
var choices = []string{"block", "digest", "count", "hide", "watch", "tally", "allow"}

// blocks reports whether a choice blocks.
func blocks(choice string) bool { return slices.Index(choices, choice) < 4 }

// Blocks is whether a choice blocks, for pages.
func (v *visit) Blocks(choice string) bool { return blocks(choice) }

// choicesFor are what a form offers; first is what "preset" comes to.
func (v *visit) choicesFor(key, first string, only func(string) bool) []option {
	all := []option{{"preset", v.lang.text(key, "Choice", v.lang.text("choice."+first))}}
	for _, c := range choices {
		if only == nil || only(c) {
			all = append(all, option{c, v.lang.text("choice." + c)})
		}
	}
	return all
}

// Options are what can be chosen about a category.
func (p childPage) Options(c categoryChoice) []option {
	if c.Category == "security" { // what is dangerous to everybody stays blocked
		return p.visit.choicesFor("choice.preset", c.Preset, blocks)
	}
	return p.visit.choicesFor("choice.preset", c.Preset, nil)
}

// Chosen is what stands in the form of a category.
func (c categoryChoice) Chosen() string {
	if c.Own {
		return c.Choice
	}
	return "preset"
}

// BySeriousness are the categories, the most serious first.
func (p childPage) BySeriousness() []categoryChoice {
	all := slices.Clone(p.Show.Categories)
	slices.SortStableFunc(all, func(a, b categoryChoice) int { return cmp.Compare(a.Rank, b.Rank) })
	return all
}

func showCategories(v *visit) error {
	p, err := v.child("categories")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child-categories", p)
}

// changeThing makes the choice that a part's form sent about one thing.
func (v *visit) changeThing(part string, op call[change[profileRequest], changed]) error {
	p, err := v.child(part)
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	thing := form.Get("thing")
	c, err := op.do(v, p.ask(thing, form.Get("choice")))
	return v.made(c, err, p.at(), p.again("child-"+part, thing))
}

func changeCategory(v *visit) error { return v.changeThing("categories", callChoose) }

// servicesPage is what is done about services, a page of those that fit a search.
type servicesPage struct {
	childPage
	Query        url.Values
	Found        int
	From, To     int
	Services     []serviceChoice
	Nothing      string // why there is none
	Newer, Older string // addresses
}

// servicesPerPage keeps a page short enough for a phone.
const servicesPerPage = 30

// strengths are the words of the catalogue for what blocking achieves, with the
// end of the keys of their texts.
var strengths = map[string]string{"blocks the app": "app", "blocks the website": "website", "signal only": "signal", "not verified": "unknown"}

// StrengthKey is the key of the text that says what blocking the service's names
// achieves.
func (s serviceChoice) StrengthKey() string {
	return "strength." + cmp.Or(strengths[s.Strength], "unknown")
}

// Chosen is what stands in the form of a service.
func (s serviceChoice) Chosen() string {
	if s.Own {
		return s.Choice
	}
	return "preset"
}

// ServiceOptions are what can be chosen about a service.
func (p servicesPage) ServiceOptions(s serviceChoice) []option {
	if s.Own {
		all := p.visit.choicesFor("choice.category", "allow", nil)
		all[0].Label = p.visit.lang.text("choice.back", "Category", p.visit.lang.said(s.CategoryName))
		return all
	}
	return p.visit.choicesFor("choice.category", s.Choice, nil)
}

// Filters are the values of the search's selects.
func (p servicesPage) Filters(name string) []option {
	l := p.visit.lang
	all := []option{{"", l.text("services.any-" + name)}}
	switch name {
	case "category":
		for _, c := range p.BySeriousness() {
			all = append(all, option{c.Category, l.said(c.Name)})
		}
	case "strength":
		for _, s := range []string{"app", "website", "signal", "unknown"} {
			all = append(all, option{s, l.text("strength." + s)})
		}
	case "state":
		for _, s := range []string{"own", "blocked", "open"} {
			all = append(all, option{s, l.text("services.state-" + s)})
		}
	}
	return all
}

// Got is what was searched for.
func (p servicesPage) Got(name string) string { return p.Query.Get(name) }

func (v *visit) services() (servicesPage, error) {
	child, err := v.child("services")
	p := servicesPage{childPage: child, Query: v.request.URL.Query()}
	if err != nil {
		return p, err
	}
	q := p.Query
	r, err := callProfileServices.do(v, servicesRequest{
		Category: q.Get("category"), Search: q.Get("q"), Profile: p.Child.Name, Own: q.Get("state") == "own",
	})
	if refusal := refused(err); refusal != nil && refusal.Kind == NotFound {
		p.Nothing = refusal.Text
	} else if err != nil {
		return p, err
	}
	all := slices.DeleteFunc(r.Services, func(s serviceChoice) bool {
		state, strength := q.Get("state"), q.Get("strength")
		return strength != "" && s.StrengthKey() != "strength."+strength || state == "blocked" && !blocks(s.Choice) || state == "open" && blocks(s.Choice)
	})
	slices.SortStableFunc(all, func(a, b serviceChoice) int { // what has ended, last
		return cmp.Compare(fmt.Sprint(a.Closed), fmt.Sprint(b.Closed))
	})
	p.Found = len(all)
	page, _ := strconv.Atoi(q.Get("page"))
	page = max(0, min(page, (len(all)-1)/servicesPerPage))
	first := page * servicesPerPage
	p.Services = all[min(first, len(all)):min(first+servicesPerPage, len(all))]
	p.From, p.To = first+1, first+len(p.Services)
	here := p.at() + "?" + q.Encode()
	if page > 0 {
		p.Newer = without(with(here, "page", strconv.Itoa(page-1)), "changed")
	}
	if p.To < len(all) {
		p.Older = without(with(here, "page", strconv.Itoa(page+1)), "changed")
	}
	return p, nil
}

func without(path, key string) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	q := u.Query()
	q.Del(key)
	u.RawQuery = q.Encode()
	return u.String()
}

// Here is the address of this search, to come back to.
func (p servicesPage) Here() string {
	return without(without(p.at()+"?"+p.Query.Encode(), "changed"), "waits")
}

func showServices(v *visit) error {
	p, err := v.services()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child-services", p)
}

func changeService(v *visit) error {
	p, err := v.services()
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	thing := form.Get("thing")
	c, err := callChoose.do(v, p.ask(thing, form.Get("choice")))
	return v.made(c, err, p.Here(), func(text string, status int) error {
		p.Form, p.Wrong = form, wrong{thing: text}
		return v.page(status, "child-services", p)
	})
}

// SearchOptions are the modes of a search engine.
func (p childPage) SearchOptions(e engineChoice) []option {
	l := p.visit.lang
	all := []option{{"preset", l.text("choice.preset", "Choice", l.text("search."+e.Preset))}}
	for _, mode := range []string{"safe", "moderate", "off"} {
		if mode != "moderate" || e.Engine == "youtube" {
			all = append(all, option{mode, l.text("search." + mode)})
		}
	}
	return all
}

// Chosen is what stands in the form of a search engine.
func (e engineChoice) Chosen() string {
	if e.Own {
		return e.Mode
	}
	return "preset"
}

func showSearch(v *visit) error {
	p, err := v.child("search")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child-search", p)
}

func changeSearch(v *visit) error { return v.changeThing("search", callSearchSet) }

// kept says what is kept of attempts under a choice.
func kept(choice string) string {
	switch choice {
	case "block", "digest", "watch":
		return "item"
	case "count", "tally":
		return "count"
	}
	return "none"
}

// Kept is what is kept of attempts at a category.
func (c categoryChoice) Kept() string { return kept(c.Choice) }

// KeptChosen is what stands in the form of a category.
func (c categoryChoice) KeptChosen() string { return cmp.Or(c.Log, "preset") }

// KeptOptions are what can be kept of attempts at a category.
func (p childPage) KeptOptions() (all []option) {
	for _, k := range []string{"preset", "item", "count", "none"} {
		all = append(all, option{k, p.visit.lang.text("kept." + k)})
	}
	return all
}

func showKept(v *visit) error {
	p, err := v.child("kept")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child-kept", p)
}

func changeKept(v *visit) error {
	p, err := v.child("kept")
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if form.Get("do") == "guests" {
		c, err := callProfileGuests.do(v, p.ask("", form.Get("value")))
		return v.made(c, err, p.at(), p.again("child-kept", "guests"))
	}
	thing := form.Get("thing")
	c, err := callLog.do(v, p.ask(thing, form.Get("choice")))
	return v.made(c, err, p.at(), p.again("child-kept", thing))
}
