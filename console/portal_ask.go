package console

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

type (
	requestAdd struct {
		What    string `json:"what"` // a name, or everything
		Message string `json:"message,omitempty"`
	}
	requestAdded struct {
		Request  requestMine `json:"request"`
		Remember int         `json:"remember"`
	}
	requestsMineRequest struct {
		Limit int `json:"limit"`
	}
	requestsMine struct {
		Zone     string        `json:"zone"`
		Requests []requestMine `json:"requests"`
		Remember int           `json:"remember"` // for how many seconds a device goes by an old answer
	}
	requestMine struct {
		ID      int64      `json:"id"`
		What    string     `json:"what"`
		Name    string     `json:"name"`
		Message string     `json:"message"`
		At      time.Time  `json:"at"`
		State   string     `json:"state"` // open, expired, allowed, over or refused
		Until   *time.Time `json:"until"`
		Who     string     `json:"who"`
	}
)

var (
	callRequestAdd   = call[requestAdd, requestAdded]("requests-add")
	callRequestsMine = call[requestsMineRequest, requestsMine]("requests-my")
)

// requestsShown is how many of its requests a child is shown.
const requestsShown = 10

// maxMessage bounds what a child may write, in characters.
const maxMessage = 200

// askView is the form with which a child asks.
type askView struct {
	Name, Message string
	Wrong         string
	Block         *blockView
}

// askPage shows the form. A GET asks for nothing yet.
func askPage(v *visit) error {
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	return v.askForm(http.StatusOK, askView{Name: v.request.URL.Query().Get("name")})
}

func (v *visit) askForm(status int, a askView) error {
	if len(a.Name) > 300 {
		a.Name = ""
	}
	if name := nameIn(a.Name); name != "" {
		p, err := callPortalName.do(v, portalNameRequest{name})
		if err == nil {
			b, err := v.block(p, "")
			if err != nil {
				return v.portalFail(err)
			}
			a.Name, a.Block = p.Name, &b
		}
	}
	return v.portalPage(status, "portal-ask", a)
}

// ask sends what a child asks for to its guardians.
func ask(v *visit) error {
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	f, err := v.form()
	if err != nil {
		return v.portalFail(err)
	}
	a := askView{Name: f.Get("name"), Message: strings.TrimSpace(f.Get("message"))}
	name := nameIn(a.Name)
	if name == "" {
		a.Wrong = v.lang.text("portal.ask.no-name")
		return v.askForm(http.StatusUnprocessableEntity, a)
	}
	if r := []rune(a.Message); len(r) > maxMessage {
		a.Message = string(r[:maxMessage])
	}
	if _, err := netip.ParseAddr(name); err == nil {
		a.Wrong = v.lang.text("portal.ask.no-name")
		return v.askForm(http.StatusUnprocessableEntity, a)
	}
	if !v.server.asks.may(v.asker(), v.now) {
		return v.portalFail(&Refusal{Kind: Conflict, Text: v.lang.text("portal.ask.often")})
	}
	p, err := callPortalName.do(v, portalNameRequest{name})
	if err != nil {
		return v.portalFail(err)
	}
	if !p.Blocked || !p.Askable { // the form says why
		return v.askForm(http.StatusUnprocessableEntity, a)
	}
	what := p.Name
	if f.Get("what") == everything && p.closesAll() {
		what = everything
	}
	r, err := callRequestAdd.do(v, requestAdd{what, a.Message})
	if err != nil {
		return v.portalFail(err)
	}
	return v.see("/asked/" + strconv.FormatInt(r.Request.ID, 10))
}

// closesAll reports whether everything is closed at the moment.
func (p portalName) closesAll() bool { return p.Reason == "pause" || p.Reason == "schedule" }

// ClosesAll is closesAll for the pages.
func (b blockView) ClosesAll() bool { return b.closesAll() }

// askedView is what became of what was asked.
type askedView struct {
	requestMine
	When     string // until when it is allowed
	Remember int
}

// asked shows what became of it, and looks again by itself while nobody has
// answered.
func asked(v *visit) error {
	if err := v.asDevice(); err != nil {
		return v.portalFail(err)
	}
	all, remember, err := v.asked(keptChanges)
	if err != nil {
		return v.portalFail(err)
	}
	for _, r := range all {
		if strconv.FormatInt(r.ID, 10) != v.request.PathValue("id") {
			continue
		}
		if r.State == "open" {
			v.w.Header().Set("Refresh", "10")
		}
		r.Remember = remember
		return v.portalPage(http.StatusOK, "portal-asked", r)
	}
	return v.portalFail(&Refusal{Kind: NotFound})
}

// asked returns what the device's profile asked for, the newest first; to a device
// that nobody named what devices without a name did, and not who answered.
func (v *visit) asked(limit int) (out []askedView, remember int, err error) {
	list, err := callRequestsMine.do(v, requestsMineRequest{limit})
	if err != nil {
		return nil, 0, err
	}
	v.inZone(list.Zone)
	known := v.actor.Child.Device != 0
	for _, r := range list.Requests {
		if !known {
			r.Who = ""
		}
		a := askedView{requestMine: r}
		if r.Until != nil {
			a.When = v.moment(*r.Until)
		}
		out = append(out, a)
	}
	return out, list.Remember, nil
}

// asks bounds how often a device may ask, whatever it asks for.
type asks struct {
	mu    sync.Mutex
	since time.Time
	count map[string]int
}

const (
	asksWindow = 10 * time.Minute
	asksEach   = 10
	asksKept   = 4096 // devices that are remembered in a window
)

// may reports whether who may ask once more, and counts it.
func (a *asks) may(who string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count == nil || now.Sub(a.since) >= asksWindow || now.Before(a.since) {
		a.count, a.since = map[string]int{}, now
	}
	if a.count[who] >= asksEach || a.count[who] == 0 && len(a.count) >= asksKept {
		return false
	}
	a.count[who]++
	return true
}

// asker names the device that asks, for bounding it.
func (v *visit) asker() string {
	from, _ := netip.ParseAddrPort(v.request.RemoteAddr)
	return from.Addr().Unmap().String()
}
