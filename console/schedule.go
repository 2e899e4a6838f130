package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kinward/policy"
)

// schedule is a profile's schedule as the desk tells it.
type schedule struct {
	ID         int64              `json:"id"`
	Name       string             `json:"name"`
	What       policy.Target      `json:"what"`
	About      string             `json:"about"`
	Effect     policy.Effect      `json:"effect"`
	Windows    []policy.Window    `json:"windows"`
	Holidays   policy.Holidays    `json:"holidays"`
	Exceptions []policy.Exception `json:"exceptions"`
	Off        bool               `json:"off"`
}

type scheduleRequest struct {
	Profile  string   `json:"profile"`
	Name     string   `json:"name"`
	To       string   `json:"to,omitempty"`
	Effect   string   `json:"effect,omitempty"`
	Target   string   `json:"target,omitempty"`
	Windows  []string `json:"windows,omitempty"`
	Holidays string   `json:"holidays,omitempty"`
	Day      string   `json:"day,omitempty"`
	Usual    bool     `json:"usual,omitempty"`
	On       bool     `json:"on,omitempty"`
	Was      string   `json:"was,omitempty"` // its version, which a change of it was decided on
}

var (
	callScheduleAdd    = call[change[scheduleRequest], changed]("schedules-add")
	callScheduleSet    = call[change[scheduleRequest], changed]("schedules-set")
	callScheduleExcept = call[change[scheduleRequest], changed]("schedules-except")
	callScheduleSwitch = call[change[scheduleRequest], changed]("schedules-switch")
	callScheduleRemove = call[change[scheduleRequest], changed]("schedules-remove")
)

// timesPage shows a child's week.
type timesPage struct {
	childPage
	Schedules []scheduleView
}

// scheduleView is a schedule as it is drawn and read out.
type scheduleView struct {
	schedule
	Words []string // its windows
	Week  week
	Path  string
}

// Key is the end of the keys of the texts for what a schedule does.
func (s schedule) Key() string {
	if s.What.Kind == policy.ForEverything {
		return s.Effect.String() + "-everything"
	}
	return s.Effect.String()
}

func (p childPage) scheduleView(s schedule) scheduleView {
	l := p.visit.lang
	view := scheduleView{schedule: s, Path: fmt.Sprintf("%s/times/%d", p.Base, s.ID)}
	for _, w := range s.Windows {
		view.Words = append(view.Words, l.window(w))
	}
	view.Week = l.week(s)
	return view
}

// window writes a window as the language does: "Monday to Friday, 20:30 to 06:30
// (next day)".
func (l *textLanguage) window(w policy.Window) string {
	return l.text("times.window", "Days", l.days(w.Days), "Hours", l.hours(w))
}

// hours writes a window without its days.
func (l *textLanguage) hours(w policy.Window) string {
	key := "times.hours"
	switch {
	case w.To == w.From:
		key = "times.hours-whole"
	case w.To < w.From:
		key = "times.hours-next"
	}
	return l.text(key, "From", w.From, "To", w.To)
}

// calendar are the days in the order of the calendar, by their bit in
// [policy.Days], with the end of their texts' keys.
var calendar = []struct {
	bit int
	key string
}{{1, "mon"}, {2, "tue"}, {3, "wed"}, {4, "thu"}, {5, "fri"}, {6, "sat"}, {0, "sun"}}

func (l *textLanguage) days(d policy.Days) string {
	if d&127 == 127 {
		return l.text("times.daily")
	}
	var parts []string
	for i := 0; i < len(calendar); i++ {
		first := i
		for i < len(calendar) && d&(1<<calendar[i].bit) != 0 {
			i++
		}
		name := func(i int) string { return l.text("date.weekday." + calendar[i].key) }
		switch i - first {
		case 0:
		case 1:
			parts = append(parts, name(first))
		case 2:
			parts = append(parts, name(first), name(i-1))
		default:
			parts = append(parts, l.text("times.span", "First", name(first), "Last", name(i-1)))
		}
	}
	return strings.Join(parts, ", ")
}

func showTimes(v *visit) error {
	child, err := v.child("times")
	if err != nil {
		return err
	}
	p := timesPage{childPage: child}
	for _, s := range child.Child.Schedules {
		p.Schedules = append(p.Schedules, child.scheduleView(s))
	}
	return v.page(http.StatusOK, "child-times", p)
}

// schedulePage is the form of one schedule, new or not.
type schedulePage struct {
	childPage
	Schedule scheduleView
	Fresh    bool // it is not kept yet
	Rows     []windowRow
	// Meanwhile is what somebody else changed since the form was filled; nil: nothing.
	Meanwhile *meanwhile
}

// Version is that of the schedule that the form was filled with.
func (p schedulePage) Version() string {
	s := p.Schedule
	return p.Value("version", policy.Schedule{Name: s.Name, What: s.What, Effect: s.Effect, Windows: s.Windows, Holidays: s.Holidays}.Version())
}

// windowRow is a window as the form has it.
type windowRow struct {
	N        int
	Days     policy.Days
	From, To string
	Wrong    string
}

// On is whether a day, by its bit, is in the row.
func (r windowRow) On(bit int) bool { return r.Days&(1<<bit) != 0 }

// blankRows are how many more windows the form has room for without script.
const blankRows = 2

// bedtimes is what the form of a new bedtime holds at first.
var bedtimes = []policy.Window{
	{Days: 0b0011111, From: 20*60 + 30, To: 6*60 + 30},
	{Days: 0b1100000, From: 22 * 60, To: 8 * 60},
}

func (v *visit) schedulePage() (schedulePage, error) {
	child, err := v.child("times")
	if err != nil {
		return schedulePage{}, err
	}
	p := schedulePage{childPage: child}
	word := v.request.PathValue("schedule")
	switch word {
	case "new":
		p.Fresh = true
	case "bedtime": // a new one, with what most families begin with
		p.Fresh = true
		p.Schedule = child.scheduleView(schedule{Name: v.lang.text("times.bedtime"), Windows: bedtimes})
	default:
		at := slices.IndexFunc(child.Child.Schedules, func(s schedule) bool { return strconv.FormatInt(s.ID, 10) == word })
		if at < 0 {
			return p, &Refusal{Kind: NotFound}
		}
		p.Schedule = child.scheduleView(child.Child.Schedules[at])
	}
	if p.Fresh {
		p.Schedule.Path = p.Base + "/times/" + word
	}
	p.setRows(p.Schedule.Windows)
	return p, nil
}

// setRows puts windows into the form, with room for more.
func (p *schedulePage) setRows(windows []policy.Window) {
	p.Rows = nil
	for _, w := range windows {
		to := w.To
		if to == 24*60 {
			to = 0 // as a form writes it
		}
		p.Rows = append(p.Rows, windowRow{N: len(p.Rows), Days: w.Days, From: w.From.String(), To: to.String()})
	}
	for range blankRows {
		p.Rows = append(p.Rows, windowRow{N: len(p.Rows)})
	}
}

// Blank is the row that a script makes further rows of.
func (p schedulePage) Blank() windowRow { return windowRow{N: -1} }

// Weekdays are the days in the order of the calendar.
func (p schedulePage) Weekdays() (all []struct {
	Bit          int
	Short, Whole string
},
) {
	for _, d := range calendar {
		all = append(all, struct {
			Bit          int
			Short, Whole string
		}{d.bit, p.visit.lang.text("times.short-" + d.key), p.visit.lang.text("date.weekday." + d.key)})
	}
	return all
}

// Targets are what a schedule can be about, services aside.
func (p schedulePage) Targets() []option {
	l := p.visit.lang
	all := []option{{"everything", l.text("times.everything")}}
	for _, c := range p.Show.Categories {
		all = append(all, option{"category:" + c.Category, l.said(c.Name)})
	}
	for _, r := range p.Child.Rules {
		all = append(all, option{"rule:" + strconv.FormatInt(r.ID, 10), l.text("times.rule", "Name", r.Name)})
	}
	return all
}

// Target is what stands in the form for what the schedule is about; Service is
// the service, where it is one.
func (p schedulePage) Target() string {
	if p.Schedule.What.Kind == policy.ForService {
		return p.Value("target", "everything")
	}
	return p.Value("target", p.Schedule.What.String())
}

// Service is the name of the service that the schedule is about.
func (p schedulePage) Service() string {
	if p.Schedule.What.Kind == policy.ForService {
		return p.Value("service", p.Schedule.About)
	}
	return p.Value("service", "")
}

// HolidayModes are what a schedule can do on holidays.
func (p schedulePage) HolidayModes() (all []option) {
	for _, m := range []string{"usual", "off", "saturday", "sunday"} {
		all = append(all, option{m, p.visit.lang.text("times.holidays-" + m)})
	}
	return all
}

// Exceptions are the days that are otherwise, with what holds then.
func (p schedulePage) Exceptions() (all []struct{ Day, Hours string }) {
	for _, e := range p.Schedule.Exceptions {
		var hours []string
		for _, w := range e.Windows {
			hours = append(hours, p.visit.lang.hours(w))
		}
		all = append(all, struct{ Day, Hours string }{e.Day.String(), cmp.Or(strings.Join(hours, ", "), p.visit.lang.text("times.rests"))})
	}
	return all
}

func showSchedule(v *visit) error {
	p, err := v.schedulePage()
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "schedule", p)
}

func changeSchedule(v *visit) error {
	p, missing := v.schedulePage()
	form, err := v.form()
	if err != nil {
		return err
	}
	if missing != nil {
		if r := refused(missing); r != nil && r.Kind == NotFound && p.Child.ID != 0 && form.Has("version") {
			return p.overtaken(form)
		}
		return missing
	}
	ask := change[scheduleRequest]{Do: scheduleRequest{Profile: p.Child.Name, Name: p.Schedule.Name}}
	times := p.Base + "/times"
	again := func(field string) func(string, int) error {
		return func(text string, status int) error {
			p.Form, p.Wrong = form, wrong{field: text}
			return v.page(status, "schedule", p)
		}
	}
	switch form.Get("do") {
	case "save":
		return p.save(form)
	case "on", "off":
		ask.Do.On = form.Get("do") == "on"
		c, err := callScheduleSwitch.do(v, ask)
		return v.made(c, err, p.Schedule.Path, again("switch"))
	case "remove":
		c, err := callScheduleRemove.do(v, ask)
		return v.made(c, err, times, again("remove"))
	case "except":
		ask.Do.Day = form.Get("day")
		if from, to := form.Get("day-from"), form.Get("day-to"); from != "" || to != "" {
			ask.Do.Windows = []string{from + "-" + to}
			var w policy.Window
			if err := w.UnmarshalText([]byte(from + "-" + to)); err != nil {
				return again("day-from")(v.lang.text("times.hours-wrong"), http.StatusUnprocessableEntity)
			}
		}
		var day policy.Date
		if err := day.UnmarshalText([]byte(ask.Do.Day)); err != nil {
			return again("day")(v.lang.text("times.day-wrong"), http.StatusUnprocessableEntity)
		}
		c, err := callScheduleExcept.do(v, ask)
		return v.made(c, err, p.Schedule.Path, again("day"))
	case "usual":
		ask.Do.Day, ask.Do.Usual = form.Get("day"), true
		c, err := callScheduleExcept.do(v, ask)
		return v.made(c, err, p.Schedule.Path, again("day"))
	}
	return &Refusal{Kind: Invalid}
}

// save keeps the form of a schedule.
func (p schedulePage) save(form url.Values) error {
	v := p.visit
	p.Form, p.Wrong = form, wrong{}
	name := strings.TrimSpace(form.Get("name"))
	switch _, err := policy.CleanName(name); {
	case name == "":
		p.Wrong["name"] = v.lang.text("times.name-missing")
	case err != nil:
		p.Wrong["name"] = v.lang.text("children.name-unfit")
	}
	for _, s := range p.Child.Schedules {
		if policy.NameKey(s.Name) == policy.NameKey(name) && s.ID != p.Schedule.ID {
			p.Wrong["name"] = v.lang.text("times.name-taken", "Name", s.Name)
		}
	}
	windows := p.readRows(form)
	if len(windows) == 0 && len(p.Schedule.Exceptions) == 0 && p.Wrong["windows"] == "" {
		p.Wrong["windows"] = v.lang.text("times.windows-missing")
	}
	r := scheduleRequest{Profile: p.Child.Name, Name: p.Schedule.Name, Was: form.Get("version"), Effect: form.Get("effect"), Target: form.Get("target"), Windows: windows, Holidays: form.Get("holidays")}
	if s := strings.TrimSpace(form.Get("service")); s != "" {
		r.Target = s
		if p.Schedule.What.Kind == policy.ForService && s == p.Schedule.About {
			r.Target = p.Schedule.What.String()
		}
	}
	if r.Effect != "block" && r.Effect != "free" {
		p.Wrong["effect"] = v.lang.text("times.effect-missing")
	}
	if len(p.Wrong) > 0 {
		return v.page(http.StatusUnprocessableEntity, "schedule", p)
	}
	do := callScheduleSet
	if p.Fresh {
		do, r.Name, r.Was = callScheduleAdd, name, ""
	} else if name != p.Schedule.Name {
		r.To = name
	}
	c, err := do.do(v, change[scheduleRequest]{strings.TrimSpace(form.Get("why")), r})
	if r := refused(err); r != nil && r.Kind == Stale {
		return p.overtaken(form)
	}
	field := "windows"
	if s := form.Get("service"); s != "" && refused(err) != nil && strings.Contains(refused(err).Text, strconv.Quote(s)) {
		field = "service"
	}
	return v.made(c, err, p.Base+"/times", func(text string, status int) error {
		p.Wrong[field] = text
		return v.page(status, "schedule", p)
	})
}

// readRows reads the windows of a form, and puts them back into the rows with
// what is wrong with each.
func (p *schedulePage) readRows(form url.Values) (windows []string) {
	l := p.visit.lang
	p.Rows = nil
	var sound []policy.Window
	for i, n := range form["row"] {
		if i >= policy.MaxWindows+blankRows {
			break
		}
		row := windowRow{N: i, From: form.Get("from" + n), To: form.Get("to" + n)}
		for _, word := range form["days"+n] {
			if bit, err := strconv.Atoi(word); err == nil && bit >= 0 && bit < 7 {
				row.Days |= 1 << bit
			}
		}
		if row.Days == 0 && row.From == "" && row.To == "" {
			continue
		}
		var w policy.Window
		err := w.UnmarshalText([]byte(row.From + "-" + row.To))
		w.Days = row.Days
		switch {
		case row.From == "" || row.To == "" || err != nil:
			row.Wrong = l.text("times.hours-wrong")
		case row.Days == 0:
			row.Wrong = l.text("times.days-missing")
		default:
			for _, other := range sound {
				if at, twice := policy.Overlap(w, other); twice {
					row.Wrong = l.text("times.overlap", "Day", l.text("date.weekday."+calendar[(int(at.Weekday)+6)%7].key), "Time", at.Time)
				}
			}
			sound = append(sound, w)
		}
		if row.Wrong != "" {
			p.Wrong["windows"] = l.text("times.windows-wrong")
		}
		row.N = len(p.Rows)
		p.Rows = append(p.Rows, row)
		windows = append(windows, w.String())
	}
	for range blankRows {
		p.Rows = append(p.Rows, windowRow{N: len(p.Rows)})
	}
	return windows
}
