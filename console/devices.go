package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/policy"
)

type (
	// devicesFamily is what the pages of devices show of a family.
	devicesFamily struct {
		Unknown  string `json:"unknown"` // the profile of devices without a name, or "refuse"
		Zone     string `json:"zone"`
		Profiles []struct {
			Name    string `json:"name"`
			Preset  string `json:"preset"`
			Default bool   `json:"default"`
			Guests  bool   `json:"guests"`
		} `json:"profiles"`
		Devices []deviceView `json:"devices"`
	}
	deviceView struct {
		ID       int64      `json:"id"`
		Name     string     `json:"name"`
		Profile  string     `json:"profile"`
		Networks []string   `json:"networks"`
		MACs     []string   `json:"macs"`
		Private  bool       `json:"private"` // it has a private-DNS name
		Tokens   []string   `json:"tokens"`  // none for who may not know them
		Until    *time.Time `json:"until"`
		Then     string     `json:"then"`
		Seen     *time.Time `json:"seen"`
	}
	devicesSeen struct {
		Devices []unknownDevice `json:"devices"`
	}
	unknownDevice struct {
		Address string    `json:"address"`
		MAC     string    `json:"mac"`
		Name    string    `json:"name"`
		Last    time.Time `json:"last"`
	}
	deviceRequest struct {
		Device  string `json:"device"`
		Name    string `json:"name,omitempty"`
		Profile string `json:"profile,omitempty"`
		For     string `json:"for,omitempty"`
		Clue    string `json:"clue,omitempty"`
	}
)

var (
	callDevices          = call[struct{}, devicesFamily]("family")
	callDevicesSeen      = call[struct{}, devicesSeen]("devices-seen")
	callDeviceAdd        = call[change[deviceRequest], changed]("devices-add")
	callDeviceExempt     = call[change[deviceRequest], changed]("devices-exempt")
	callDeviceUnexempt   = call[change[deviceRequest], changed]("devices-unexempt")
	callDeviceProfile    = call[change[deviceRequest], changed]("devices-profile")
	callDeviceRename     = call[change[deviceRequest], changed]("devices-rename")
	callDeviceRemove     = call[change[deviceRequest], changed]("devices-remove")
	callDeviceClueAdd    = call[change[deviceRequest], changed]("devices-clue-add")
	callDeviceClueRemove = call[change[deviceRequest], changed]("devices-clue-remove")

	deviceCalls = []anyCall{
		callDevices, callDevicesSeen, callDeviceAdd, callDeviceExempt, callDeviceUnexempt, callDeviceProfile,
		callDeviceRename, callDeviceRemove, callDeviceClueAdd, callDeviceClueRemove,
	}
)

var deviceRoutes = []route{
	{"GET /devices", viewers, devicesPage},
	{"POST /devices", carers, deviceAdd},
	{"GET /devices/{id}", viewers, devicePage},
	{"POST /devices/{id}", carers, deviceSet},
}

// privateDNS stands before the label of a device's private-DNS name.
const privateDNS = "dns:"

// devicesView is the list of devices.
type devicesView struct {
	devicesFamily
	Unnamed []unknownDevice
	Serving bool // somebody can be seen
	// What was wrong in which form: a clue's, or "" for the one of new devices.
	Wrong, WrongAt, Name, Clue, Whose string

	OfClue bool // it is what the device is recognised by that is wrong
}

// devicesPage shows the devices. From a child's page the forms begin with that child.
func devicesPage(v *visit) error {
	return v.devicesPage(devicesView{Whose: v.request.URL.Query().Get("profile")})
}

// For is the profile that the form of an unnamed device begins with; "" is the form
// of new devices. What was chosen in one form is not chosen in the others.
func (d devicesView) For(clue string) string {
	if d.Wrong != "" && d.WrongAt != clue {
		return d.Unknown
	}
	return cmp.Or(d.Whose, d.Unknown)
}

func (v *visit) devicesPage(d devicesView) error {
	var err error
	if d.devicesFamily, err = callDevices.do(v, struct{}{}); err != nil {
		return err
	}
	seen, err := callDevicesSeen.do(v, struct{}{})
	d.Serving = err == nil
	if err != nil && refused(err) == nil {
		return err
	}
	d.Unnamed = seen.Devices
	v.inZone(d.Zone)
	slices.SortStableFunc(d.Devices, func(a, b deviceView) int { return cmp.Compare(a.Profile, b.Profile) })
	return v.page(status(d.Wrong), "devices", d)
}

// Options are the profiles to choose from.
func (f devicesFamily) Options() []option {
	var out []option
	for _, p := range f.Profiles {
		out = append(out, option{p.Name, p.Name})
	}
	return out
}

// Known is what guardians gave a device to be recognised by.
func (d deviceView) Known() []string {
	out := slices.Concat(d.Networks, d.MACs)
	for _, t := range d.Tokens {
		out = append(out, privateDNS+t)
	}
	return out
}

// Clue is what an unnamed device is recognised by: its hardware address, which
// stays when the router gives it another one.
func (u unknownDevice) Clue() string { return cmp.Or(u.MAC, u.Address) }

// deviceAdd names a device: one that was seen, or a new one, which may have
// nothing to be recognised by yet but the private-DNS name that it will be given.
func deviceAdd(v *visit) error {
	f, err := v.form()
	if err != nil {
		return err
	}
	d := devicesView{Name: strings.TrimSpace(f.Get("name")), Clue: strings.TrimSpace(f.Get("clue")), Whose: f.Get("profile"), WrongAt: f.Get("at")}
	if d.Name == "" {
		d.Wrong = v.lang.text("devices.no-name")
		return v.devicesPage(d)
	}
	clue := d.Clue
	if clue == "" {
		clue = privateDNS + policy.NewToken()
	}
	c, err := callDeviceAdd.do(v, change[deviceRequest]{Do: deviceRequest{Device: clue, Name: d.Name, Profile: f.Get("profile")}})
	if r := refused(err); r != nil && (r.Kind == Invalid || r.Kind == Conflict) {
		d.Wrong, d.OfClue = r.Text, d.Clue != "" && strings.Contains(r.Text, d.Clue) // refusals quote what they do not like
		return v.devicesPage(d)
	}
	path := "/devices"
	if id, ok := v.deviceByName(d.Name); err == nil && ok {
		path = devicePath(id)
	}
	return v.made(c, err, path, nil)
}

func devicePath(id int64) string { return "/devices/" + strconv.FormatInt(id, 10) }

// deviceByName finds a device that was just named.
func (v *visit) deviceByName(name string) (int64, bool) {
	f, err := callDevices.do(v, struct{}{})
	if err != nil {
		return 0, false
	}
	for _, d := range f.Devices {
		if policy.NameKey(d.Name) == policy.NameKey(name) {
			return d.ID, true
		}
	}
	return 0, false
}

// device returns the device that the path names, and its family.
func (v *visit) device() (deviceView, devicesFamily, error) {
	f, err := callDevices.do(v, struct{}{})
	if err != nil {
		return deviceView{}, f, err
	}
	v.inZone(f.Zone)
	for _, d := range f.Devices {
		if strconv.FormatInt(d.ID, 10) == v.request.PathValue("id") {
			return d, f, nil
		}
	}
	return deviceView{}, f, &Refusal{Kind: NotFound}
}

// oneDevice is the page of a device.
type oneDevice struct {
	deviceView
	Family    devicesFamily
	Platforms []platform
	Adult     bool // it is exempt
	Wrong     string
}

func devicePage(v *visit) error { return v.devicePage("") }

func (v *visit) devicePage(wrong string) error {
	d, f, err := v.device()
	if err != nil {
		return err
	}
	o := oneDevice{deviceView: d, Family: f, Platforms: v.platforms(d.ID), Wrong: wrong}
	for _, p := range f.Profiles {
		o.Adult = o.Adult || p.Name == d.Profile && p.Preset == policy.Adult.String()
	}
	return v.page(status(wrong), "device", o)
}

// deviceSet changes one thing about a device.
func deviceSet(v *visit) error {
	f, err := v.form()
	if err != nil {
		return err
	}
	d, _, err := v.device()
	if err != nil {
		return err
	}
	req, to := deviceRequest{Device: d.Name}, devicePath(d.ID)
	var do call[change[deviceRequest], changed]
	switch f.Get("do") {
	case "rename":
		do, req.Name = callDeviceRename, strings.TrimSpace(f.Get("name"))
	case "profile":
		do, req.Profile = callDeviceProfile, f.Get("profile")
	case "clue-add":
		do, req.Clue = callDeviceClueAdd, strings.TrimSpace(f.Get("clue"))
	case "clue-remove":
		do, req.Clue = callDeviceClueRemove, f.Get("clue")
	case "exempt":
		do, req.For = callDeviceExempt, f.Get("for")
	case "unexempt":
		do = callDeviceUnexempt
	case "remove":
		do, to = callDeviceRemove, "/devices"
	default:
		return &Refusal{Kind: Invalid}
	}
	c, err := do.do(v, change[deviceRequest]{Do: req})
	if r := refused(err); r != nil && (r.Kind == Invalid || r.Kind == Conflict) {
		return v.devicePage(r.Text)
	}
	return v.made(c, err, to, nil)
}
