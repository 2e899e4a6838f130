package console

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kinward/policy"
)

// What a child sees: the portal with "my page", why something is closed, and how
// to ask for it. Nobody signs in here. A device is known by its address, by the
// same rules as when it asks for a name, and sees what is about itself alone.

// portalHost is where a family's devices reach the portal.
var portalHost = policy.Portal.String()

type (
	portalNameRequest struct {
		Name string `json:"name"`
	}
	portalName struct {
		Name     string     `json:"name"`
		Blocked  bool       `json:"blocked"`
		Reason   string     `json:"reason"`
		Category string     `json:"category"`
		Service  string     `json:"service"`
		Until    *time.Time `json:"until"`
		Askable  bool       `json:"askable"`
		Band     string     `json:"band"`
		Guests   bool       `json:"guests"`
		Zone     string     `json:"zone"`
		Known    bool       `json:"known"`
		Who      []string   `json:"who"`
		Lag      int        `json:"lag"`
	}
	portalMine struct {
		Profile string        `json:"profile"`
		Device  string        `json:"device"`
		Known   bool          `json:"known"`
		Band    string        `json:"band"`
		Guests  bool          `json:"guests"`
		Zone    string        `json:"zone"`
		Blocked []string      `json:"blocked"`
		Named   []string      `json:"named"`
		Counted []string      `json:"counted"`
		Closed  []string      `json:"closed"`
		Open    []string      `json:"open"`
		Times   []portalTime  `json:"times"`
		Paused  *time.Time    `json:"paused"`
		Forever bool          `json:"forever"`
		Grants  []portalGrant `json:"grants"`
		Days    int           `json:"days"`
		Longer  []portalKept  `json:"longer"`
		Who     []string      `json:"who"`
		Looks   []portalLook  `json:"looks"`
		Lag     int           `json:"lag"`
	}
	portalTime struct {
		Name    string          `json:"name"`
		About   string          `json:"about"`
		Kind    string          `json:"kind"`
		Effect  string          `json:"effect"`
		Windows []policy.Window `json:"windows"`
	}
	portalGrant struct {
		About string    `json:"about"`
		Kind  string    `json:"kind"`
		Until time.Time `json:"until"`
	}
	portalKept struct {
		Category string `json:"category"`
		Days     int    `json:"days"`
	}
	portalLook struct {
		Time   time.Time `json:"time"`
		Who    string    `json:"who"`
		Action string    `json:"action"`
	}
)

var (
	callPortalName = call[portalNameRequest, portalName]("portal-name")
	callPortalMine = call[nothing, portalMine]("portal-mine")

	portalCalls = []anyCall{callPortalName, callPortalMine, callRequestAdd, callRequestsMine}
)

// portalRoutes are the portal, as the block page's listener serves it; childRoutes
// are the same at the console, under the portal's name alone: under another it may
// be a proxy from elsewhere that asks.
var (
	portalRoutes = []route{
		{"GET /my", anyone, myPage},
		{"GET /ask", anyone, askPage},
		{"POST /ask", anyone, ask},
		{"GET /asked/{id}", anyone, asked},
	}
	childRoutes = atPortal(portalRoutes)
)

func atPortal(routes []route) (out []route) {
	for _, r := range routes {
		serve := r.serve
		r.serve = func(v *visit) error {
			if hostOf(v.request) != portalHost {
				return &Refusal{Kind: NotFound, Text: v.lang.text("portal.elsewhere", "Name", portalHost)}
			}
			return serve(v)
		}
		out = append(out, r)
	}
	return out
}

// tone is how somebody is spoken to: as is right for their age.
func tone(band string) string {
	switch band {
	case "A", "B", "C":
		return "small"
	case "D", "E":
		return "teen"
	}
	return "adult"
}

// grownUp are the categories that are not named to a small child.
var grownUp = []string{"adult", "adult-creators", "sex-ads", "dating", "violence", "drugs", "gambling", "self-harm"}

// what says in words what a category is.
func (l *textLanguage) what(band, category string) string {
	if tone(band) == "small" && slices.Contains(grownUp, category) {
		category = "grown-up"
	}
	return l.text("portal.what." + category)
}

// asDevice makes the visit the device's that has the address it came from. A
// session that the browser has besides does not count.
func (v *visit) asDevice() error {
	from, err := netip.ParseAddrPort(v.request.RemoteAddr)
	if err == nil && v.server.device != nil && !v.throughProxy(from.Addr()) {
		if a, ok := v.server.device(from.Addr()); ok && a.Child != nil {
			a.Lang = v.lang.tag
			v.actor = a
			return nil
		}
	}
	return &Refusal{Kind: Forbidden, Text: v.lang.text("portal.stranger")}
}

// forwarded are the headers by which a proxy shows itself.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"}

// throughProxy reports whether a request may have come through a proxy. Then the
// connection's address is the proxy's, and what it says of the device's does not
// count: whoever reaches the proxy from the internet would be a device of the home.
func (v *visit) throughProxy(from netip.Addr) bool {
	return v.server.isProxy(from.Unmap().WithZone("")) ||
		slices.ContainsFunc(forwarded, func(h string) bool { return v.request.Header.Get(h) != "" })
}

// myView is what "my page" shows.
type myView struct {
	portalMine
	Times []string
	Lines []helpLine
	Asked []askedView
	Tone  string
}

func myPage(v *visit) error {
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	mine, err := callPortalMine.do(v, nothing{})
	if err != nil {
		return v.portalFail(err)
	}
	view, err := v.mine(mine)
	if err != nil {
		return v.portalFail(err)
	}
	if mine.Known {
		if view.Asked, _, err = v.asked(requestsShown); err != nil {
			return v.portalFail(err)
		}
	}
	return v.portalPage(http.StatusOK, "portal-my", view)
}

// mine puts what the desk told in words.
func (v *visit) mine(m portalMine) (myView, error) {
	v.inZone(m.Zone)
	view := myView{portalMine: m, Tone: tone(m.Band)}
	for _, t := range m.Times {
		view.Times = append(view.Times, v.lang.scheduleWords(m.Band, t))
	}
	lines, err := v.helpLines(m.Band)
	view.Lines = lines
	return view, err
}

// helpLines are those of the family's country, but what is for adults alone only for
// them: to others it would be a dead end.
func (v *visit) helpLines(band string) ([]helpLine, error) {
	r, err := callHelp.do(v, helpAsked{})
	return slices.DeleteFunc(r.Lines, func(l helpLine) bool {
		return band != policy.Adult.String() && strings.HasSuffix(l.For, "(adults)")
	}), err
}

// about names what a schedule or a grant is about.
func (l *textLanguage) about(band, kind, about string) string {
	switch kind {
	case "all":
		return l.text("portal.everything")
	case "category":
		return l.what(band, about)
	}
	return about
}

// scheduleWords says a schedule in a sentence.
func (l *textLanguage) scheduleWords(band string, t portalTime) string {
	var spans []string
	for _, w := range t.Windows {
		key := "portal.span"
		if w.Whole() {
			key = "portal.span.whole"
		}
		spans = append(spans, l.text(key, "Days", l.days(w.Days), "From", minutes(w.From), "To", minutes(w.To%1440)))
	}
	key := "portal.time.closed"
	if t.Effect == policy.Frees.String() {
		key = "portal.time.free"
	}
	return l.text(key, "Name", t.Name, "What", l.about(band, t.Kind, t.About), "When", strings.Join(spans, "; "))
}

func minutes(m policy.Minutes) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

// blockView is what the block page shows.
type blockView struct {
	portalName
	Tone    string
	Why     string
	Opens   string // when it opens by itself, in words
	Support bool   // it may be about somebody who feels low
	Lines   []helpLine
	Portal  string // address of the portal
}

// why says why a name is closed.
func (v *visit) why(p portalName) string {
	key := "portal.why." + p.Reason
	switch p.Reason {
	case "category", "known-risk":
		if p.Category == "" {
			key = "portal.why.other"
		}
	case "security", "rule", "service", "list", "pause", "schedule":
	default:
		key = "portal.why.other"
	}
	if t := tone(p.Band); t == "small" && v.lang.has(key+".small") {
		key += ".small"
	}
	return v.lang.text(key, "Service", p.Service, "What", v.lang.what(p.Band, p.Category))
}

// block makes the view of a name.
func (v *visit) block(p portalName, portal string) (blockView, error) {
	v.inZone(p.Zone)
	b := blockView{portalName: p, Tone: tone(p.Band), Portal: portal, Support: p.Category == "self-harm"}
	b.Service = ""
	if p.Reason == "service" {
		b.Service = p.Service
	}
	if p.Blocked {
		b.Why = v.why(p)
	}
	if p.Until != nil {
		b.Opens = v.moment(*p.Until)
	}
	lines, err := v.helpLines(p.Band)
	b.Lines = lines
	return b, err
}

// What is textLanguage.what for the pages.
func (v *visit) What(band, category string) string { return v.lang.what(band, category) }

// About is textLanguage.about for the pages.
func (v *visit) About(band, kind, about string) string { return v.lang.about(band, kind, about) }

// Kinds names categories, each word once.
func (v *visit) Kinds(band string, categories []string) (out []string) {
	for _, c := range categories {
		if w := v.lang.what(band, c); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

// All lists people in a sentence that is about all of them, Names in one that is about
// any of them.
func (v *visit) All(names []string) string { return strings.Join(names, ", ") }

// Names lists people; see All.
func (v *visit) Names(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return v.lang.text("portal.or", "Some", strings.Join(names[:last], ", "), "Last", names[last])
}

// portalCSS is written into the pages, so that they need nothing else: a page that
// stands in the place of another has no files of its own.
var portalCSS, portalCSP = readPortalCSS()

func readPortalCSS() (template.CSS, string) {
	b, err := files.ReadFile("static/portal.css")
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(b)
	return template.CSS(b), fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; form-action 'self'%%s; base-uri 'none'; frame-ancestors 'none'", base64.StdEncoding.EncodeToString(sum[:]))
}

// portalPage answers with a page that is whole in itself. Forms may go to the hosts
// that are given, besides its own.
func (v *visit) portalPage(status int, name string, data any, forms ...string) error {
	more := ""
	for _, f := range forms {
		more += " " + f
	}
	h := v.w.Header()
	h.Set("Content-Security-Policy", fmt.Sprintf(portalCSP, more))
	h.Set("X-Robots-Tag", "noindex, nofollow")
	return v.render(status, name, "portal", data)
}

// portalFail answers with what went wrong, as portalPage does. A child is not told
// what owners and operators can do about it.
func (v *visit) portalFail(err error) error {
	status, text := v.fault(err)
	switch r := refused(err); {
	case r == nil && status == http.StatusInternalServerError:
		text = v.lang.text("portal.fail.fault")
	case r != nil && r.Kind == Forbidden && r.Text == "":
		text = v.lang.text("portal.fail.forbidden")
	}
	return v.portalPage(status, "portal-fail", text)
}
