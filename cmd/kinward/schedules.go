package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
)

type scheduleRequest struct {
	Profile  string   `json:"profile"`
	Name     string   `json:"name"`
	To       string   `json:"to,omitempty"` // another name
	Effect   string   `json:"effect,omitempty"`
	Target   string   `json:"target,omitempty"`
	Windows  []string `json:"windows,omitempty"`
	Holidays string   `json:"holidays,omitempty"`
	Day      string   `json:"day,omitempty"`
	Usual    bool     `json:"usual,omitempty"`
	On       bool     `json:"on,omitempty"`
	// Was is the version that a set was decided on, see [policy.Schedule.Version];
	// "" is whichever.
	Was string `json:"was,omitempty"`
}

// bedtimeName is what "schedules bedtime" calls its schedule.
const bedtimeName = "Bedtime"

var (
	opScheduleAdd      = changing("schedules-add", scheduleAdd)
	opScheduleBedtime  = changing("schedules-bedtime", scheduleBedtime)
	opScheduleSet      = changing("schedules-set", scheduleSet)
	opScheduleExcept   = changing("schedules-except", scheduleExcept)
	opScheduleHolidays = changing("schedules-holidays", scheduleHolidays)
	opScheduleSwitch   = changing("schedules-switch", scheduleSwitch)
	opScheduleRemove   = changing("schedules-remove", scheduleRemove)
)

func (c *cli) schedulesCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "schedules",
		Short: "Show when something is blocked or free",
		Long: `A schedule blocks something in its windows, or frees it in its windows alone. What it
is about is everything, a category, a service (by their IDs or names) or a rule of the
profile (rule:NUMBER). Windows go by the clock on the family's wall, also on the days
when it is changed; one that ends before or when it begins ends on the day after. Help
lines, and what devices need in order to work, are never blocked by a schedule. A rule whose
schedules are all off or removed holds at all times.`,
		Example: `  kinward schedules
  kinward schedules bedtime Lea "Sun-Thu 20:30-06:30" "Fri,Sat 22:00-08:00"
  kinward schedules add Lea Games free games-chat "Mon-Fri 16:00-17:30"
  kinward schedules except Lea Bedtime 2026-12-31`,
	}, printSchedules)
	holidays := ""
	add := changeCommand(c, opScheduleAdd, &cobra.Command{
		Use: "add PROFILE NAME block|free TARGET WINDOW...", Short: "Add a schedule",
		Example: `  kinward schedules add Lea Homework block tiktok "Mon-Fri 14:00-16:00"
  kinward schedules add Lea Games free games-chat "Mon-Fri 16:00-17:30" "Sat,Sun 10:00-12:00"
  kinward schedules add Lea Weekend block everything "Sat,Sun 12:00-14:00" --holidays sunday`,
		Args: atLeastArgs("a PROFILE", "a NAME for the schedule", "block or free", "what it is about: everything, a category, a service, or rule:NUMBER", `a WINDOW, for example "Mon-Fri 21:30-06:30"`),
	}, func(args []string) scheduleRequest {
		return scheduleRequest{Profile: args[0], Name: args[1], Effect: args[2], Target: args[3], Windows: args[4:], Holidays: holidays}
	})
	bedtime := changeCommand(c, opScheduleBedtime, &cobra.Command{
		Use: "bedtime PROFILE WINDOW...", Short: "Set when everything is blocked at night",
		Long: `Makes the schedule "Bedtime", which blocks everything but help lines and what devices
need, or gives it other windows.`,
		Example: `  kinward schedules bedtime Lea 20:30-06:30
  kinward schedules bedtime Lea "Sun-Thu 20:30-06:30" "Fri,Sat 22:00-08:00" --holidays saturday`,
		Args: atLeastArgs("a PROFILE", "a WINDOW, for example 20:30-06:30"),
	}, func(args []string) scheduleRequest {
		return scheduleRequest{Profile: args[0], Windows: args[1:], Holidays: holidays}
	})
	for _, cmd := range []*cobra.Command{add, bedtime} {
		cmd.Flags().StringVar(&holidays, "holidays", "", "on holidays: usual, off, saturday (as on Saturdays) or sunday")
	}
	usual := false
	except := changeCommand(c, opScheduleExcept, &cobra.Command{
		Use: "except PROFILE NAME DAY [WINDOW...]", Short: "Give a single day other windows, or none",
		Example: `  kinward schedules except Lea Bedtime 2026-12-31
  kinward schedules except Lea Bedtime 2026-12-31 23:30-08:00
  kinward schedules except Lea Bedtime 2026-12-31 --usual`,
		Args: atLeastArgs("a PROFILE", "the NAME of a schedule", "a DAY, for example 2026-12-31"),
	}, func(args []string) scheduleRequest {
		return scheduleRequest{Profile: args[0], Name: args[1], Day: args[2], Windows: args[3:], Usual: usual}
	})
	except.Flags().BoolVar(&usual, "usual", false, "take the exception back")
	two := []string{"a PROFILE", "the NAME of a schedule"}
	return c.aboutFamily(group, add, bedtime, c.scheduleSetCommand(), except,
		changeCommand(c, opScheduleSwitch, &cobra.Command{
			Use: "off PROFILE NAME", Short: "Put a schedule out of force, and keep it",
			Example: `  kinward schedules off Lea Bedtime`, Args: exactArgs(two...),
		}, func(args []string) scheduleRequest { return scheduleRequest{Profile: args[0], Name: args[1]} }),
		changeCommand(c, opScheduleSwitch, &cobra.Command{
			Use: "on PROFILE NAME", Short: "Put a schedule in force again",
			Example: `  kinward schedules on Lea Bedtime`, Args: exactArgs(two...),
		}, func(args []string) scheduleRequest { return scheduleRequest{Profile: args[0], Name: args[1], On: true} }),
		changeCommand(c, opScheduleHolidays, &cobra.Command{
			Use: "holidays PROFILE NAME usual|off|saturday|sunday", Short: "Choose what a schedule does on holidays",
			Example: `  kinward schedules holidays Lea Bedtime saturday`,
			Args:    exactArgs(append(two, "usual, off, saturday or sunday")...),
		}, func(args []string) scheduleRequest {
			return scheduleRequest{Profile: args[0], Name: args[1], Holidays: args[2]}
		}),
		changeCommand(c, opScheduleRemove, &cobra.Command{
			Use: "remove PROFILE NAME", Short: "Remove a schedule",
			Example: `  kinward schedules remove Lea Bedtime`, Args: exactArgs(two...),
		}, func(args []string) scheduleRequest { return scheduleRequest{Profile: args[0], Name: args[1]} }),
	)
}

func printSchedules(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	none := true
	for _, p := range f.Profiles {
		for _, s := range p.Schedules {
			none = false
			fmt.Fprintf(t, "%s\t%s\n", p.Name, s.Text)
		}
	}
	t.Flush()
	if none {
		fmt.Fprintln(w, "There are no schedules. Make a bedtime with: {kinward} schedules bedtime PROFILE 20:30-06:30")
		return
	}
	fmt.Fprintf(w, "By the clock of %s.\n", f.Zone)
}

// scheduleText says what a schedule does: "blocks everything Mon-Fri 20:30-06:30".
func scheduleText(p *policy.Profile, s policy.Schedule) string {
	text := "blocks "
	if s.Effect == policy.Frees {
		text = "frees "
	}
	text += targetText(p, s.What) + " " + windowsText(s.Windows, policy.Window.Text)
	if s.Holidays != policy.HolidaysAsUsual {
		text += ", holidays: " + s.Holidays.String()
	}
	for _, e := range s.Exceptions {
		text += fmt.Sprintf(", on %s: %s", e.Day, windowsText(e.Windows, policy.Window.HoursText))
	}
	if s.Off {
		text += ", switched off"
	}
	return text
}

func parseWindows(list []string) ([]policy.Window, error) {
	var out []policy.Window
	for _, s := range list {
		w, err := readWord[policy.Window](s)
		if err != nil {
			return nil, usageError(err)
		}
		out = append(out, w)
	}
	return out, nil
}

// target reads what a schedule or a grant is about, as people write it.
func (e *edit) target(p *policy.Profile, text string) (policy.Target, error) {
	if text == "everything" || strings.Contains(text, ":") {
		t, err := parseTarget(p, text)
		if err != nil {
			return t, usageError(err)
		}
		return t, nil
	}
	category, service, err := findThing(e.n.catalogue.Load(), text)
	if err != nil {
		return policy.Target{}, err
	}
	if service != "" {
		return policy.Target{Kind: policy.ForService, Service: service}, nil
	}
	return policy.Target{Kind: policy.ForCategory, Category: category}, nil
}

func scheduleAdd(e *edit, r scheduleRequest) (string, error) {
	p, err := e.f.Profile(r.Profile)
	if err != nil {
		return "", err
	}
	s := policy.Schedule{Name: r.Name}
	if s.Effect, err = readWord[policy.Effect](r.Effect); err != nil {
		return "", usageError(err)
	}
	if s.What, err = e.target(p, r.Target); err != nil {
		return "", err
	}
	if s.Windows, err = parseWindows(r.Windows); err != nil {
		return "", err
	}
	if s.Holidays, err = parseHolidays(r.Holidays); err != nil {
		return "", err
	}
	e.clock()
	_, what, err := e.f.AddSchedule(r.Profile, s)
	return what, err
}

// clock says by which clock schedules go, where nobody has chosen.
func (e *edit) clock() {
	if e.f.Zone == "" {
		e.note("It goes by this machine's clock (%s); to choose another: {kinward} families zone Europe/Berlin", e.zone)
	}
}

func scheduleSwitch(e *edit, r scheduleRequest) (string, error) {
	return e.endSchedule(r, func() (string, error) { return e.f.SwitchSchedule(r.Profile, r.Name, r.On) })
}

func scheduleRemove(e *edit, r scheduleRequest) (string, error) {
	return e.endSchedule(r, func() (string, error) { return e.f.RemoveSchedule(r.Profile, r.Name) })
}

// endSchedule does something to a schedule, and says what is left of a rule that
// has no hours any more: a schedule narrows it, so without one it always holds.
func (e *edit) endSchedule(r scheduleRequest, f func() (string, error)) (string, error) {
	p, err := e.f.Profile(r.Profile)
	if err != nil {
		return "", err
	}
	s, err := p.Schedule(r.Name)
	if err != nil {
		return "", err
	}
	about := s.What
	what, err := f()
	if err != nil || about.Kind != policy.ForRule || slices.ContainsFunc(p.Schedules, func(s policy.Schedule) bool { return s.What == about && !s.Off }) {
		return what, err
	}
	for _, rule := range p.Rules {
		if rule.ID == about.Rule {
			e.note("Rule %d, %s, has no hours now and holds at all times. If it is to hold at none: {kinward} rules remove %[1]d", rule.ID, policy.RuleText(rule))
		}
	}
	return what, nil
}

func parseHolidays(s string) (policy.Holidays, error) {
	if s == "" {
		return policy.HolidaysAsUsual, nil
	}
	h, err := readWord[policy.Holidays](s)
	if err != nil {
		return h, usageError(err)
	}
	return h, nil
}

func scheduleBedtime(e *edit, r scheduleRequest) (string, error) {
	p, err := e.f.Profile(r.Profile)
	if err != nil {
		return "", err
	}
	windows, err := parseWindows(r.Windows)
	if err != nil {
		return "", err
	}
	holidays, err := parseHolidays(r.Holidays)
	if err != nil {
		return "", err
	}
	e.clock()
	old, err := p.Schedule(bedtimeName)
	if err != nil {
		_, what, err := e.f.AddSchedule(r.Profile, policy.Schedule{Name: bedtimeName, Windows: windows, Holidays: holidays})
		return what, err
	}
	s := *old
	if s.What.Kind != policy.ForEverything || s.Effect != policy.Blocks {
		return "", usageError(fmt.Errorf("schedule %q of profile %q is about something else; use: {kinward} schedules add", old.Name, p.Name))
	}
	s.Windows, s.Off = windows, false
	if r.Holidays != "" {
		s.Holidays = holidays
	}
	return e.f.SetSchedule(r.Profile, bedtimeName, s)
}

func scheduleExcept(e *edit, r scheduleRequest) (string, error) {
	day, err := readWord[policy.Date](r.Day)
	if err != nil {
		return "", usageError(err)
	}
	var windows []policy.Window
	for _, s := range r.Windows {
		w, err := readWord[hours](s)
		if err != nil {
			return "", usageError(err)
		}
		windows = append(windows, policy.Window(w))
	}
	switch {
	case r.Usual && len(windows) > 0:
		return "", usageError(errors.New("give either windows or --usual"))
	case r.Usual:
		return e.f.RemoveException(r.Profile, r.Name, day)
	}
	return e.f.AddException(r.Profile, r.Name, policy.Exception{Day: day, Windows: windows})
}

func scheduleHolidays(e *edit, r scheduleRequest) (string, error) {
	p, err := e.f.Profile(r.Profile)
	if err != nil {
		return "", err
	}
	s, err := p.Schedule(r.Name)
	if err != nil {
		return "", err
	}
	next := *s
	if next.Holidays, err = parseHolidays(r.Holidays); err != nil {
		return "", err
	}
	if next.Holidays == s.Holidays {
		return "", policy.ErrSame
	}
	if len(e.f.Holidays) == 0 {
		e.note(`The family has no holidays yet; add some with: {kinward} holidays add "Christmas holidays" 2026-12-21 2027-01-06`)
	}
	if _, err := e.f.SetSchedule(r.Profile, r.Name, next); err != nil {
		return "", err
	}
	return fmt.Sprintf("schedule %s of profile %s is on holidays: %s", s.Name, p.Name, next.Holidays), nil
}
