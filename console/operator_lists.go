package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"kinward/blocklists"
)

// serverList is a list as an operator sees it.
type serverList struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Location string    `json:"location"`
	Category string    `json:"category"`
	Entries  int       `json:"entries"`
	Checked  time.Time `json:"checked"`
	Problem  string    `json:"problem"`
	Held     *heldList `json:"held"`
	Previous *struct {
		Entries int `json:"entries"`
	} `json:"previous"`
	Outcome string             `json:"outcome"`
	Report  *blocklists.Report `json:"report"` // nil for the catalogue
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
