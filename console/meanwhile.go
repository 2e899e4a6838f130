package console

import (
	"net/http"
	"net/url"
	"time"
)

// A form of a whole thing holds the version of the thing that it was filled with.
// Where the thing is another by the time that the form comes back, nothing is
// saved: the page says who changed it, shows what is there now, and keeps what was
// entered. Saving that again is then meant.

// meanwhile is what somebody changed of a thing while its form was open.
type meanwhile struct {
	Who  string // "": nobody knows
	What string // as the record of changes has it
	At   time.Time
	Gone bool // the thing was removed
}

type changesOfRequest struct {
	Limit int    `json:"limit"`
	Path  string `json:"path"`
}

var callChangesOf = call[changesOfRequest, historyView]("changes")

// overtaken tells of the newest change of a part of the family, by its path in the
// record of changes.
func (v *visit) overtaken(path string, gone bool) (*meanwhile, error) {
	r, err := callChangesOf.do(v, changesOfRequest{1, path})
	if err != nil {
		return nil, err
	}
	m := &meanwhile{Gone: gone}
	if len(r.Changes) > 0 {
		c := r.Changes[0]
		m.Who, m.What, m.At = c.Who, c.What, c.At
	}
	return m, nil
}

// overtaken shows the form of a schedule again with what was entered, beside what
// the schedule is by now. Where it is gone, the form makes a new one.
func (p schedulePage) overtaken(form url.Values) error {
	v := p.visit
	now, err := v.schedulePage()
	gone := false
	if r := refused(err); r != nil && r.Kind == NotFound && now.Child.ID != 0 {
		gone = true
		now.Fresh, now.Schedule = true, now.scheduleView(schedule{})
		now.Schedule.Path = now.Base + "/times/new"
	} else if err != nil {
		return err
	}
	now.Form, now.Wrong = form, wrong{}
	now.readRows(form)
	form.Del("version") // what is saved now is decided on what is shown now
	if now.Meanwhile, err = v.overtaken("profile/"+v.request.PathValue("child")+"/schedule/"+v.request.PathValue("schedule"), gone); err != nil {
		return err
	}
	return v.page(http.StatusConflict, "schedule", now)
}
