package console

import (
	"net/http"
	"slices"
	"strings"
)

// navEntry is a place that the frame of every page leads to.
type navEntry struct {
	path string
	icon string // of pages/_icons.html; its text is nav.ICON
	who  access
	main bool // in the bar of a phone, see navOf; the others stand on /more there
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

// navOperator is the same for whoever runs the server. Who belongs to no family has
// the first ones in the bar.
var navOperator = []navEntry{
	{"/operator", "nodes", operator, true},
	{"/operator/families", "families", operator, true},
	{"/operator/health", "health", operator, true},
	{"/operator/lists", "server-lists", operator, true},
	{"/operator/upstreams", "upstreams", operator, false},
	{"/operator/catalogue", "catalogue", operator, false},
	{"/operator/certificates", "certificates", operator, false},
}

// navUnder says where pages belong whose address does not.
var navUnder = map[string]string{"/router": "/devices", "/holidays": "/children"}

var moreRoutes = []route{
	{"GET /more", anyone, more},
}

// navItem is an entry as the pages show it. An item with Group alone begins a
// group.
type navItem struct {
	Path, Key, Icon, Class, Group string
	Here                          string // aria-current: where the visitor is
}

// Nav is what the visitor may go to; nothing where nobody is signed in.
func (v *visit) Nav() []navItem {
	if !v.SignedIn() {
		return nil
	}
	first := v.navOf(true)
	all := append(first, navItem{Path: "/more", Key: "nav.more", Icon: "more", Class: "more"})
	for _, g := range v.navRest() {
		all = append(append(all, navItem{Group: g.Key}), g.Items...)
	}
	path := v.request.URL.Path
	for from, to := range navUnder {
		if path == from || strings.HasPrefix(path, from+"/") {
			path = to
		}
	}
	here, longest := -1, 0
	for i, e := range all {
		if (path == e.Path || len(e.Path) > 1 && strings.HasPrefix(path, e.Path+"/")) && len(e.Path) > longest {
			here, longest = i, len(e.Path)
		}
	}
	if here >= 0 {
		all[here].Here = "page"
	}
	if here > len(first) {
		all[len(first)].Here = "true" // a phone shows nothing but "more" of it
	}
	return all
}

// navGroup is a part of what the bar of a phone has no room for.
type navGroup struct {
	Key   string // of its heading
	Items []navItem
}

// navRest returns what the visitor may use besides the bar: what is the family's,
// and what is the server's.
func (v *visit) navRest() []navGroup {
	groups := []navGroup{{Key: "nav.rest"}, {Key: "nav.server"}}
	for _, item := range v.navOf(false) {
		at := 0
		if item.Path == "/operator" || strings.HasPrefix(item.Path, "/operator/") {
			at = 1
		}
		groups[at].Items = append(groups[at].Items, item)
	}
	return slices.DeleteFunc(groups, func(g navGroup) bool { return len(g.Items) == 0 })
}

// navOf returns the entries that the visitor may use, those of the bar or the
// others.
func (v *visit) navOf(bar bool) []navItem {
	var items []navItem
	for _, e := range slices.Concat(nav, navOperator) {
		inBar := e.main && (e.who != operator || v.actor.Guardian == 0)
		if inBar == bar && e.who.allows(v.actor) {
			items = append(items, navItem{Path: e.path, Key: "nav." + e.icon, Icon: e.icon})
		}
	}
	return items
}

// more shows what the bar of a phone has no room for.
func more(v *visit) error {
	return v.page(http.StatusOK, "more", v.navRest())
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
