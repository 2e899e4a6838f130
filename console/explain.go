package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var explainRoutes = []route{
	{"GET /explain", viewers, showExplain},
}

type explainRequest struct {
	Name    string `json:"name"`
	Device  string `json:"device"`
	Profile string `json:"profile,omitempty"`
	At      string `json:"at"`
	Type    string `json:"type"`
}

// explained is why something is blocked or not.
type explained struct {
	Name     string     `json:"name"`
	At       time.Time  `json:"at"`
	Profile  string     `json:"profile"`
	Verdict  string     `json:"verdict"`
	Reason   string     `json:"reason"`
	Recorded string     `json:"recorded"`
	Category string     `json:"category"`
	Service  string     `json:"service"`
	Strength string     `json:"strength"`
	List     string     `json:"list"`
	Entry    string     `json:"entry"`
	Schedule string     `json:"schedule"`
	Changes  *time.Time `json:"changes"`
	Sentence string     `json:"sentence"`
	Labels   []struct {
		Category string   `json:"category"`
		Service  string   `json:"service"`
		List     string   `json:"list"`
		Entry    string   `json:"entry"`
		Match    string   `json:"match"`
		Marks    []string `json:"marks"`
	} `json:"labels"`
	Steps []struct {
		Step    string `json:"step"`
		Found   string `json:"found"`
		Settled bool   `json:"settled"`
	} `json:"steps"`
	Notes []string `json:"notes"`
}

var callExplain = call[explainRequest, explained]("explain")

// explainPage asks about a name, and shows the answer.
type explainPage struct {
	formPage
	household
	Answer *explained
	Child  int64 // whose pages the answer leads to; 0: none
	visit  *visit
}

// Who are the children and devices that can be asked about.
func (p explainPage) Who() (all []option) {
	for _, c := range p.Children() {
		all = append(all, option{"child:" + strconv.FormatInt(c.ID, 10), c.Name})
	}
	for _, d := range p.Devices {
		all = append(all, option{"device:" + d.Name, p.visit.lang.text("explain.device", "Device", d.Name, "Child", d.Profile)})
	}
	return all
}

// Base is where the pages of the child of the answer are.
func (p explainPage) Base() string { return childPath(p.Child) }

// StrengthKey is the key of the text that says what blocking the service achieves.
func (e explained) StrengthKey() string { return serviceChoice{Strength: e.Strength}.StrengthKey() }

func showExplain(v *visit) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	q := v.request.URL.Query()
	p := explainPage{formPage: formPage{q, wrong{}}, household: h, visit: v}
	if !q.Has("name") {
		return v.page(http.StatusOK, "explain", p)
	}
	r := explainRequest{Name: strings.TrimSpace(q.Get("name")), At: q.Get("at")}
	kind, who, _ := strings.Cut(q.Get("who"), ":")
	for _, c := range h.Profiles {
		if kind == "child" && who == strconv.FormatInt(c.ID, 10) || kind == "profile" && c.Name == who || kind == "" && c.Name == h.Unknown {
			r.Profile = c.Name
			q.Set("who", "child:"+strconv.FormatInt(c.ID, 10)) // the form says whom the answer is about
		}
	}
	if kind == "device" {
		r.Device = who
	}
	switch {
	case r.Name == "":
		p.Wrong["name"] = v.lang.text("explain.name-missing")
	case r.Profile == "" && r.Device == "":
		p.Wrong["who"] = v.lang.text("explain.who-missing")
	default:
		e, err := callExplain.do(v, r)
		refusal := refused(err)
		switch {
		case err == nil:
			p.Answer = &e
		case refusal == nil || refusal.Kind == Forbidden:
			return err
		case badTime(r.At):
			p.Wrong["at"] = v.lang.text("explain.at-wrong")
		default:
			p.Wrong["name"] = refusal.Text
		}
	}
	if p.Answer == nil {
		return v.page(http.StatusUnprocessableEntity, "explain", p)
	}
	for _, c := range h.Profiles {
		if c.Name == p.Answer.Profile {
			p.Child = c.ID
		}
	}
	return v.page(http.StatusOK, "explain", p)
}

// badTime reports whether a form's time is none.
func badTime(s string) bool {
	if s == "" {
		return false
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil {
			return false
		}
	}
	return true
}

// ServiceLink leads to where something is chosen about the service of the answer.
func (p explainPage) ServiceLink() string {
	return p.Base() + "/services?" + url.Values{"q": {p.Answer.Service}}.Encode()
}
