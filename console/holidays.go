package console

import (
	"net/http"
	"strings"

	"kinward/policy"
)

var holidayRoutes = []route{
	{"GET /holidays", viewers, showHolidays},
	{"POST /holidays", carers, changeHolidays},
}

// holiday is a span of days.
type holiday struct {
	Name  string      `json:"name"`
	First policy.Date `json:"first"`
	Last  policy.Date `json:"last"`
}

type holidayRequest struct {
	Name  string `json:"name"`
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

var (
	callHolidayAdd    = call[change[holidayRequest], changed]("holidays-add")
	callHolidayRemove = call[change[holidayRequest], changed]("holidays-remove")
)

// holidaysPage lists the family's holidays, and which schedules mind them.
type holidaysPage struct {
	formPage
	household
}

// Minding are the schedules that do something else on holidays.
func (p holidaysPage) Minding() (all []struct{ Child, Schedule, Mode string }) {
	for _, c := range p.Profiles {
		for _, s := range c.Schedules {
			if s.Holidays != policy.HolidaysAsUsual {
				all = append(all, struct{ Child, Schedule, Mode string }{c.Name, s.Name, s.Holidays.String()})
			}
		}
	}
	return all
}

func showHolidays(v *visit) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "holidays", holidaysPage{household: h})
}

func changeHolidays(v *visit) error {
	h, err := v.household()
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	again := func(w wrong) func(string, int) error {
		return func(text string, status int) error {
			if text != "" {
				w["name"] = text
			}
			return v.page(status, "holidays", holidaysPage{formPage{form, w}, h})
		}
	}
	r := holidayRequest{strings.TrimSpace(form.Get("name")), form.Get("first"), form.Get("last")}
	if form.Get("do") == "remove" {
		c, err := callHolidayRemove.do(v, change[holidayRequest]{Do: holidayRequest{Name: r.Name, First: r.First}})
		return v.made(c, err, "/holidays", nil)
	}
	bad := wrong{}
	var first, last policy.Date
	if r.Name == "" {
		bad["name"] = v.lang.text("times.name-missing")
	}
	if first.UnmarshalText([]byte(r.First)) != nil {
		bad["first"] = v.lang.text("times.day-wrong")
	}
	if r.Last != "" && last.UnmarshalText([]byte(r.Last)) != nil {
		bad["last"] = v.lang.text("times.day-wrong")
	} else if r.Last != "" && bad["first"] == "" && last.Before(first) {
		bad["last"] = v.lang.text("holidays.ends-first")
	}
	if len(bad) > 0 {
		return again(bad)("", http.StatusUnprocessableEntity)
	}
	c, err := callHolidayAdd.do(v, change[holidayRequest]{Do: r})
	return v.made(c, err, "/holidays", again(wrong{}))
}
