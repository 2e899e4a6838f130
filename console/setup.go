package console

import (
	"html/template"
	"net/http"
	"slices"
	"time"

	"kinward/setup"
)

// How a device is set up: the steps for its kind with the family's own values, a
// code that brings the device itself to its steps, and a check that it works.

type (
	setupRequest struct {
		Device   string `json:"device,omitempty"`
		Platform string `json:"platform,omitempty"`
		Renew    bool   `json:"renew,omitempty"`
		Look     bool   `json:"look,omitempty"`
	}
	setupReply struct {
		Values  setup.Values `json:"values"`
		Missing bool         `json:"missing"`
		Changed *changed     `json:"changed"` // a name or a secret was made
	}
	appleRequest struct {
		Device string `json:"device"`
	}
	appleProfile struct {
		Profile []byte `json:"profile"`
	}
	watchRequest struct {
		Device string `json:"device"`
		Token  string `json:"token,omitempty"`
	}
	watchReply struct {
		Token string    `json:"token"`
		Until time.Time `json:"until"`
		Over  bool      `json:"over"`
		Check struct {
			Device  string      `json:"device"`
			Name    string      `json:"name"`
			Private bool        `json:"private"`
			Seen    []watchSeen `json:"seen"`
		} `json:"check"`
	}
	watchSeen struct {
		Time      time.Time `json:"time"`
		Device    string    `json:"device"`
		Address   string    `json:"address"`
		Encrypted bool      `json:"encrypted"`
		Profile   string    `json:"profile"`
		Filtered  bool      `json:"filtered"`
	}
)

var (
	callSetup   = call[change[setupRequest], setupReply]("devices-setup")
	callApple   = call[appleRequest, appleProfile]("devices-apple")
	callWatch   = call[watchRequest, watchReply]("devices-watch")
	callWatched = call[watchRequest, watchReply]("devices-watched")

	setupCalls = []anyCall{callSetup, callApple, callWatch, callWatched}
)

var setupRoutes = []route{
	{"GET /devices/{id}/setup/{platform}", carers, setupPage},
	{"POST /devices/{id}/setup/{platform}", carers, setupMake},
	{"GET /devices/{id}/profile", carers, deviceProfile},
	{"POST /devices/{id}/check", carers, checkBegin},
	{"GET /devices/{id}/check/{token}", carers, checkPage},
	{"GET /router", carers, routerPage},
	{"GET /router/{platform}", carers, setupPage},
	{"POST /router/{platform}", carers, setupMake},
	{"GET /setup/{ticket}", anyone, ticketPage},
	{"GET /setup/{ticket}/profile", anyone, ticketProfile},
}

// platform is a kind of device to choose.
type platform struct{ Href, Key string }

// ofDevices and ofRouters are the platforms of the wizard, in the order of how
// often they are meant.
var (
	ofDevices = []string{"android", "iphone", "mac", "windows", "chromebook", "gameconsole", "linux", "firefox", "chrome"}
	ofRouters = []string{"router", "fritzbox", "openwrt", "unifi", "mikrotik"}
)

func (v *visit) platforms(device int64) (out []platform) {
	for _, p := range ofDevices {
		out = append(out, platform{devicePath(device) + "/setup/" + p, "setup.platform." + p})
	}
	return out
}

func routerPage(v *visit) error {
	var all []platform
	for _, p := range ofRouters {
		all = append(all, platform{"/router/" + p, "setup.platform." + p})
	}
	return v.page(http.StatusOK, "router", all)
}

// setupView is a guide with what goes with it.
type setupView struct {
	Device   *deviceView // nil: a router
	Platform string
	Self     string // the path of the page
	Missing  bool   // something has to be made first
	NoName   string // why it cannot work: the server has no public name
	Guide    setup.Guide
	Host     string
	Code     template.HTML // of the device's name
	Ticket   *ticketView   // nil: none is out
	Local    bool          // the console is reached where no other device does
	Only     bool          // the device itself looks
	Portal   string
}

// Unknown reports whether Kinward can recognise the device nowhere, the server having
// no public name.
func (s setupView) Unknown() bool {
	return s.NoName != "" && s.Device != nil && len(s.Device.Networks)+len(s.Device.MACs) == 0
}

// ticketView is a ticket as its code shows it.
type ticketView struct {
	URL   string
	Code  template.HTML
	Until time.Time
}

// setupPage shows the steps. It makes nothing: where something is missing there is
// a button.
func setupPage(v *visit) error {
	s, d, err := v.setupOf()
	if err != nil {
		return err
	}
	if d != nil {
		id := ticketFor{v.actor.Family, d.ID, s.Platform}
		if secret, until, ok := v.server.tickets.of(id, v.now); ok {
			url := v.base() + "/setup/" + secret
			s.Ticket = &ticketView{url, code(url, v.lang.text("setup.ticket.alt")), until.In(v.zone)}
		}
	}
	s.Local = v.loopback()
	return v.page(http.StatusOK, "setup", s)
}

// setupOf makes the view of the page that the path names.
func (v *visit) setupOf() (s setupView, d *deviceView, err error) {
	s.Platform, s.Self = v.request.PathValue("platform"), v.request.URL.Path
	req := setupRequest{Platform: s.Platform, Look: true}
	list := ofRouters
	if v.request.PathValue("id") != "" {
		list = ofDevices
		one, _, err := v.device()
		if err != nil {
			return s, nil, err
		}
		d, s.Device, req.Device = &one, &one, one.Name
		if s.Platform == "gameconsole" { // it takes no name of its own
			req.Device = ""
		}
	}
	if !slices.Contains(list, s.Platform) {
		return s, d, &Refusal{Kind: NotFound}
	}
	err = v.guide(&s, req)
	return s, d, err
}

// guide puts the steps into a view.
func (v *visit) guide(s *setupView, req setupRequest) error {
	r, err := callSetup.do(v, change[setupRequest]{Do: req})
	if f := refused(err); f != nil && f.Kind == Invalid { // it needs a public name
		s.NoName = f.Text
		return nil
	}
	if err != nil {
		return err
	}
	if s.Missing = r.Missing; s.Missing {
		return nil
	}
	if s.Guide, err = setup.ForIn(v.lang.tag, s.Platform, r.Values); err != nil {
		return err
	}
	if s.Host = r.Values.Host(); s.Host != "" && s.Platform == "android" {
		s.Code = code(s.Host, v.lang.text("setup.host.alt"))
	}
	return nil
}

// setupMake makes what is missing, and a ticket with which the device itself comes
// to its steps.
func setupMake(v *visit) error {
	f, err := v.form()
	if err != nil {
		return err
	}
	s, d, err := v.setupOf()
	if err != nil {
		return err
	}
	renew, to := f.Get("do") == "renew", s.Self
	if s.Missing || renew {
		req := setupRequest{Platform: s.Platform, Renew: renew}
		if d != nil {
			req.Device = d.Name
		}
		r, err := callSetup.do(v, change[setupRequest]{Do: req})
		if err != nil {
			return v.made(changed{}, err, s.Self, nil)
		}
		if r.Changed != nil {
			to, _ = telling(to, *r.Changed, nil)
		}
	}
	if d != nil {
		v.server.tickets.make(ticketFor{v.actor.Family, d.ID, s.Platform}, v.actor, d.Name, v.now)
	}
	return v.see(to)
}

// deviceProfile gives the Apple profile of a device.
func deviceProfile(v *visit) error {
	d, _, err := v.device()
	if err != nil {
		return err
	}
	return v.profile(d.Name)
}

func (v *visit) profile(device string) error {
	made, err := callApple.do(v, appleRequest{device})
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/x-apple-aspen-config")
	h.Set("Content-Disposition", `attachment; filename="kinward.mobileconfig"`)
	_, _ = v.w.Write(made.Profile) // the browser may be gone
	return nil
}

// checkView is a check that goes on.
type checkView struct {
	Device deviceView
	watchReply
	Address string // to open on the device
	Code    template.HTML
	Own     *watchSeen
	Others  []watchSeen
}

func checkBegin(v *visit) error {
	d, _, err := v.device()
	if err != nil {
		return err
	}
	w, err := callWatch.do(v, watchRequest{Device: d.Name})
	if err != nil {
		return err
	}
	return v.see(devicePath(d.ID) + "/check/" + w.Token)
}

// checkPage shows what was seen until now. A script asks for it again and again;
// without one the page loads itself.
func checkPage(v *visit) error {
	d, _, err := v.device()
	if err != nil {
		return err
	}
	w, err := callWatched.do(v, watchRequest{Device: d.Name, Token: v.request.PathValue("token")})
	if err != nil {
		return err
	}
	c := checkView{Device: d, watchReply: w, Address: "http://" + w.Check.Name + "/"}
	c.Code = code(c.Address, v.lang.text("setup.check.alt"))
	for _, s := range w.Check.Seen {
		if s.Device == w.Check.Device {
			c.Own = &s
		} else {
			c.Others = append(c.Others, s)
		}
	}
	return v.page(http.StatusOK, "check", c)
}

// Wrong is whether the device asked, but not as it should.
func (c checkView) Wrong() bool { return c.Own != nil && c.Check.Private && !c.Own.Encrypted }
