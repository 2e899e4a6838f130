package console

import (
	"net/http"
	"slices"
	"strings"

	"kinward/policy"
)

// access says who may come to a route at all. The desk decides again, for each
// operation.
type access uint8

const (
	anyone   access = iota // also who is not signed in
	viewers                // whoever belongs to a family
	carers                 // who may change choices
	owners                 // who names guardians
	operator               // who runs this server
	signed                 // whoever is signed in
)

// allows reports whether a, signed in or not, may come in.
func (a access) allows(by Actor) bool {
	switch {
	case a == anyone:
		return true
	case a == signed:
		return by.Guardian != 0 || by.Operator
	case a == operator:
		return by.Operator
	case by.Guardian == 0:
		return false
	}
	return by.Role >= [...]policy.Role{viewers: policy.Viewer, carers: policy.Carer, owners: policy.Owner}[a]
}

// route is one address of the console. A GET changes nothing, ever; what changes
// something is a POST (pages) or a POST, PUT, PATCH or DELETE (API).
type route struct {
	pattern string // of [http.ServeMux]
	who     access
	serve   func(*visit) error // what it returns becomes a page, or a problem document
}

// routes is the table of all that the console answers. Each theme has a table of
// its own in its file.
func (s *Server) routes() []route {
	return slices.Concat(
		s.staticRoutes(),
		todayRoutes,
		signinRoutes,
		passRoutes,
		incidentRoutes,
		singleIncidentRoutes,
		signalRoutes,
		alertRoutes,
		liveRoutes,
		passkeyRoutes,
		accountRoutes,
		requestRoutes,
		historyRoutes,
		familyRoutes,
		dataRoutes,
		moreRoutes,
		languageRoutes,
		helpRoutes,
		childRoutes,
		deviceRoutes,
		installRoutes,
		setupRoutes,
		s.api.table(),
		programRoutes,
		operatorRoutes,
		childrenRoutes,
		holidayRoutes,
		listRoutes,
		explainRoutes,
	)
}

// Patterns returns the patterns of all routes, for tests that walk them.
func (s *Server) Patterns() (out []string) {
	for _, r := range s.routes() {
		out = append(out, r.pattern)
	}
	return out
}

// PagePatterns returns the addresses of all pages, as patterns of [http.ServeMux],
// for tests that look at each.
func PagePatterns() (patterns []string) {
	for _, r := range (&Server{api: &api{}}).routes() {
		if path, ok := strings.CutPrefix(r.pattern, "GET /"); ok && !strings.HasPrefix(path, "static/") && !strings.HasPrefix("/"+path, apiPrefix) {
			patterns = append(patterns, r.pattern)
		}
	}
	return patterns
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { s.visit(w, q, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		s.visit(w, q, route{serve: func(*visit) error { return &Refusal{Kind: NotFound} }})
	})
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.visit(w, q, route{serve: func(v *visit) error { return &Refusal{Kind: Forbidden, Text: v.lang.text("error.origin")} }})
	}))
	return origin.Handler(mux)
}
