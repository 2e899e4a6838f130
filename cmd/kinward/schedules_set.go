package main

import (
	"fmt"
	"reflect"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

func (c *cli) scheduleSetCommand() *cobra.Command {
	var req scheduleRequest
	cmd := changeCommand(c, opScheduleSet, &cobra.Command{
		Use: "set PROFILE NAME [WINDOW...]", Short: "Change what a schedule does, and when",
		Long: `Gives a schedule the windows that are named instead of those that it has, or what the
flags say; the rest stays, its exceptions too.`,
		Example: `  kinward schedules set Lea Bedtime "Sun-Thu 21:00-06:30" "Fri,Sat 22:30-08:00"
  kinward schedules set Lea Games --about roblox --to Roblox`,
		Args: atLeastArgs("a PROFILE", "the NAME of a schedule"),
	}, func(args []string) scheduleRequest {
		r := req
		r.Profile, r.Name, r.Windows = args[0], args[1], args[2:]
		return r
	})
	cmd.Flags().StringVar(&req.To, "to", "", "another name for it")
	cmd.Flags().StringVar(&req.Effect, "effect", "", "block or free")
	cmd.Flags().StringVar(&req.Target, "about", "", "what it is about: everything, a category, a service, or rule:NUMBER")
	cmd.Flags().StringVar(&req.Holidays, "holidays", "", "on holidays: usual, off, saturday (as on Saturdays) or sunday")
	return cmd
}

func scheduleSet(e *edit, r scheduleRequest) (string, error) {
	p, err := e.f.Profile(r.Profile)
	if err != nil {
		return "", err
	}
	old, err := p.Schedule(r.Name)
	if err != nil {
		return "", err
	}
	if by := actor(e.ctx); r.Was != "" && r.Was != old.Version() && (by == nil || by.pending == nil) { // see onlyIf
		return "", fmt.Errorf("%w: schedule %q of profile %s is another by now; look at it again", store.ErrStale, old.Name, p.Name)
	}
	next := *old
	if r.To != "" {
		next.Name = r.To
	}
	if r.Effect != "" {
		if next.Effect, err = readWord[policy.Effect](r.Effect); err != nil {
			return "", usageError(err)
		}
	}
	if r.Target != "" {
		if next.What, err = e.target(p, r.Target); err != nil {
			return "", err
		}
	}
	if len(r.Windows) > 0 {
		if next.Windows, err = parseWindows(r.Windows); err != nil {
			return "", err
		}
	}
	if r.Holidays != "" {
		if next.Holidays, err = parseHolidays(r.Holidays); err != nil {
			return "", err
		}
	}
	if reflect.DeepEqual(next, *old) {
		return "", policy.ErrSame
	}
	e.clock()
	return e.f.SetSchedule(r.Profile, r.Name, next)
}
