package console

import (
	"net/http"
	"strings"
)

// navEntry is a place that the frame of every page leads to.
type navEntry struct {
	path string
	icon string // of pages/_icons.html; its text is nav.ICON
	who  access
	main bool // in the bar of a phone; the others stand on /more there
}

// nav is what leads to the themes, in the order of a parent's questions. The bar
// of a phone has room for four and "more".
var nav = []navEntry{
	{"/", "today", viewers, true},
	{"/children", "children", viewers, true},
	{"/requests", "requests", viewers, false},
	{"/explain", "explain", viewers, false},
	{"/lists", "lists", viewers, false},
	{"/incidents", "incidents", viewers, true},
	{"/devices", "devices", viewers, true},
	{"/signals", "signals", viewers, false},
	{"/alerts", "alerts", viewers, false},
	{"/family", "family", viewers, false},
	{"/history", "history", viewers, false},
	{"/data", "data", viewers, false},
	{"/programs", "programs", anyone, false},
	{"/help", "help", anyone, false},
	{"/account", "account", signed, false},
}

// navOperator is the same for whoever runs the server.
var navOperator = []navEntry{
	{"/operator", "nodes", operator, false},
	{"/operator/families", "families", operator, false},
	{"/operator/health", "health", operator, false},
	{"/operator/upstreams", "upstreams", operator, false},
	{"/operator/lists", "lists", operator, false},
	{"/operator/catalogue", "catalogue", operator, false},
	{"/operator/certificates", "certificates", operator, false},
}

var moreRoutes = []route{
	{"GET /more", anyone, more},
}

// navItem is an entry as the pages show it. An item with Group alone begins a
// group.
type navItem struct {
	Path, Key, Icon, Class, Group string
	Here                          bool
}

// Nav is what the visitor may go to; nothing where nobody is signed in.
func (v *visit) Nav() []navItem {
	if !v.SignedIn() {
		return nil
	}
	first, rest := v.nav(true), v.nav(false)
	here := "/more"
	for _, e := range append(first, rest...) {
		if p := v.request.URL.Path; p == e.Path || e.Path != "/" && strings.HasPrefix(p, e.Path+"/") {
			here = e.Path
		}
	}
	if len(rest) > 0 {
		first = append(first, navItem{Path: "/more", Key: "nav.more", Icon: "more", Class: "more"}, navItem{Group: "nav.rest"})
	}
	all := append(first, rest...)
	for i := range all {
		all[i].Here = all[i].Path == here && (here != "/more" || v.request.URL.Path == here)
	}
	return all
}

// nav returns the entries that the visitor may use, those of the bar or the
// others.
func (v *visit) nav(main bool) []navItem {
	var items []navItem
	for _, table := range [][]navEntry{nav, navOperator} {
		for _, e := range table {
			if e.main == main && e.who.allows(v.actor) {
				items = append(items, navItem{Path: e.path, Key: "nav." + e.icon, Icon: e.icon})
			}
		}
	}
	return items
}

// more shows what the bar of a phone has no room for.
func more(v *visit) error {
	return v.page(http.StatusOK, "more", v.nav(false))
}

// SignedIn is whether somebody of a family, or an operator, is signed in.
func (v *visit) SignedIn() bool { return v.actor.Guardian != 0 || v.actor.Operator }

// Who is the name of whoever is signed in.
func (v *visit) Who() string {
	if !v.SignedIn() {
		return ""
	}
	return v.actor.Name
}

// Frame is the kind of page, for the body element.
func (v *visit) Frame() string {
	switch {
	case v.actor.Child != nil:
		return "child"
	case v.SignedIn():
		return "signed"
	}
	return "guest"
}

// Path is where the visitor is, to come back to.
func (v *visit) Path() string {
	if v.request.Method != http.MethodGet { // what only takes a form may show nothing
		return "/"
	}
	return v.request.URL.RequestURI()
}
