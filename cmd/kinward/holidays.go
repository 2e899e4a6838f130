package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
)

type holidayRequest struct {
	Name  string `json:"name"`
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

var (
	opHolidayAdd    = changing("holidays-add", holidayAdd)
	opHolidayRemove = changing("holidays-remove", holidayRemove)
)

func (c *cli) holidaysCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "holidays",
		Short: "Show the family's holidays",
		Long: `On a holiday a schedule does what was chosen for it: as usual, nothing, or what it does
on Saturdays or Sundays. See: kinward schedules holidays --help`,
		Example: `  kinward holidays
  kinward holidays add "Christmas holidays" 2026-12-21 2027-01-06
  kinward schedules holidays Lea Bedtime saturday`,
	}, printHolidays)
	request := func(args []string) holidayRequest {
		args = append(args, "", "")
		return holidayRequest{args[0], args[1], args[2]}
	}
	return c.aboutFamily(group,
		changeCommand(c, opHolidayAdd, &cobra.Command{
			Use: "add NAME FIRST [LAST]", Short: "Add a holiday, or a span of them",
			Example: `  kinward holidays add "Christmas holidays" 2026-12-21 2027-01-06
  kinward holidays add "Lea's birthday" 2027-03-05`,
			Args: rangeArgs(3, "a NAME", "the FIRST day, for example 2026-12-21"),
		}, request),
		changeCommand(c, opHolidayRemove, &cobra.Command{
			Use: "remove NAME [FIRST]", Short: "Remove holidays; FIRST says which, where a name stands more than once",
			Example: `  kinward holidays remove "Christmas holidays"`,
			Args:    rangeArgs(2, "a NAME"),
		}, request))
}

func printHolidays(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range f.Holidays {
		fmt.Fprintf(t, "%s\t%s\n", h.Name, spanText(h))
	}
	t.Flush()
	if len(f.Holidays) == 0 {
		fmt.Fprintln(w, `The family has no holidays. Add some with: {kinward} holidays add "Christmas holidays" 2026-12-21 2027-01-06`)
	}
}

func holidayAdd(e *edit, r holidayRequest) (string, error) {
	h := policy.Holiday{Name: r.Name}
	var err error
	if h.First, err = readWord[policy.Date](r.First); err != nil {
		return "", usageError(err)
	}
	h.Last = h.First
	if r.Last != "" {
		if h.Last, err = readWord[policy.Date](r.Last); err != nil {
			return "", usageError(err)
		}
	}
	return e.f.AddHoliday(h)
}

func holidayRemove(e *edit, r holidayRequest) (string, error) {
	var first policy.Date
	if r.First != "" {
		var err error
		if first, err = readWord[policy.Date](r.First); err != nil {
			return "", usageError(err)
		}
	}
	return e.f.RemoveHoliday(r.Name, first)
}
