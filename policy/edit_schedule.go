package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Schedule finds a profile's schedule by name. What it returns belongs to the
// family.
func (p *Profile) Schedule(name string) (*Schedule, error) {
	var known []string
	for i := range p.Schedules {
		if NameKey(p.Schedules[i].Name) == NameKey(name) {
			return &p.Schedules[i], nil
		}
		known = append(known, p.Schedules[i].Name)
	}
	return nil, notThere("schedule", name, known)
}

// schedule finds a profile and its schedule.
func (f *Family) schedule(profile, name string) (*Profile, *Schedule, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return nil, nil, err
	}
	s, err := p.Schedule(name)
	return p, s, err
}

// AddSchedule adds a schedule to a profile; s.ID is not looked at.
func (f *Family) AddSchedule(profile string, s Schedule) (ScheduleID, string, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return 0, "", err
	}
	if s.Name, err = CleanName(s.Name); err != nil {
		return 0, "", err
	}
	if o, err := p.Schedule(s.Name); err == nil {
		return 0, "", refuse(ErrConflict, "profile %q has a schedule %q already; choose another name", p.Name, o.Name)
	}
	s.ID = ScheduleID(f.nextID())
	p.Schedules = append(p.Schedules, s)
	return s.ID, fmt.Sprintf("added schedule %s to profile %s: %s", s.Name, p.Name, f.scheduleText(s)), nil
}

func (f *Family) scheduleText(s Schedule) string {
	windows := make([]string, len(s.Windows))
	for i, w := range s.Windows {
		windows[i] = w.Text()
	}
	if len(windows) == 0 {
		windows = []string{"on single days"}
	}
	return fmt.Sprintf("%s %s %s", s.Effect, f.targetText(s.What), strings.Join(windows, ", "))
}

// SetSchedule replaces a schedule of a profile by another, which keeps its ID.
func (f *Family) SetSchedule(profile, name string, s Schedule) (string, error) {
	p, old, err := f.schedule(profile, name)
	if err != nil {
		return "", err
	}
	if s.Name, err = CleanName(s.Name); err != nil {
		return "", err
	}
	if o, err := p.Schedule(s.Name); err == nil && o != old {
		return "", refuse(ErrConflict, "profile %q has a schedule %q already; choose another name", p.Name, o.Name)
	}
	s.ID = old.ID
	was := old.Name
	*old = s
	return fmt.Sprintf("changed schedule %s of profile %s to %s: %s", was, p.Name, s.Name, f.scheduleText(s)), nil
}

// SwitchSchedule puts a schedule in force or out of it.
func (f *Family) SwitchSchedule(profile, name string, on bool) (string, error) {
	p, s, err := f.schedule(profile, name)
	if err != nil {
		return "", err
	}
	if s.Off == !on {
		return "", ErrSame
	}
	s.Off = !on
	return fmt.Sprintf("switched schedule %s of profile %s %s", s.Name, p.Name, map[bool]string{true: "on", false: "off"}[on]), nil
}

// RemoveSchedule removes a schedule of a profile.
func (f *Family) RemoveSchedule(profile, name string) (string, error) {
	p, s, err := f.schedule(profile, name)
	if err != nil {
		return "", err
	}
	id, name := s.ID, s.Name
	p.Schedules = slices.DeleteFunc(p.Schedules, func(s Schedule) bool { return s.ID == id })
	return fmt.Sprintf("removed schedule %s from profile %s", name, p.Name), nil
}

// AddException gives a day other windows in a schedule, or none. One that the
// day has is replaced.
func (f *Family) AddException(profile, name string, e Exception) (string, error) {
	p, s, err := f.schedule(profile, name)
	if err != nil {
		return "", err
	}
	what := "rests"
	for i, w := range e.Windows {
		if i == 0 {
			what = "holds"
		}
		what += " " + w.HoursText()
	}
	s.Exceptions = slices.DeleteFunc(s.Exceptions, func(o Exception) bool { return o.Day == e.Day })
	s.Exceptions = append(s.Exceptions, e)
	return fmt.Sprintf("schedule %s of profile %s %s on %s", s.Name, p.Name, what, e.Day), nil
}

// RemoveException lets a schedule hold on a day as usual.
func (f *Family) RemoveException(profile, name string, day Date) (string, error) {
	p, s, err := f.schedule(profile, name)
	if err != nil {
		return "", err
	}
	n := len(s.Exceptions)
	s.Exceptions = slices.DeleteFunc(s.Exceptions, func(o Exception) bool { return o.Day == day })
	if len(s.Exceptions) == n {
		return "", refuse(ErrNotFound, "schedule %q has no exception on %s", s.Name, day)
	}
	return fmt.Sprintf("schedule %s of profile %s holds as usual on %s", s.Name, p.Name, day), nil
}
