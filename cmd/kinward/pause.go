package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"kinward/policy"
)

type pauseRequest struct {
	Profile string `json:"profile"` // or "all"
	For     string `json:"for,omitempty"`
	Until   string `json:"until,omitempty"`
}

var (
	opPause  = changing("pause", pause)
	opResume = changing("resume", resume)
)

// everyProfile stands for all profiles but adults'.
const everyProfile = "all"

func (c *cli) pauseCommand() *cobra.Command {
	var req pauseRequest
	cmd := changeCommand(c, opPause, &cobra.Command{
		Use:   "pause PROFILE|all",
		Short: "Block everything for a profile, now",
		Long: `Blocks everything but help lines and what devices need in order to work, until a time
or until "resume". "all" pauses every profile but those with the preset adult.`,
		Example: `  kinward pause Lea --for 1h
  kinward pause all --until 19:30
  kinward resume all`,
		Args: exactArgs("a PROFILE, or all"),
	}, func(args []string) pauseRequest { r := req; r.Profile = args[0]; return r })
	cmd.Flags().StringVar(&req.For, "for", "", "for how long, for example 30m, 2h or today (default: until resume)")
	cmd.Flags().StringVar(&req.Until, "until", "", "until this time of the family's clock, for example 19:30: the next one")
	return c.aboutFamily(cmd)
}

func (c *cli) resumeCommand() *cobra.Command {
	return c.aboutFamily(changeCommand(c, opResume, &cobra.Command{
		Use: "resume PROFILE|all", Short: "End a pause",
		Example: `  kinward resume Lea
  kinward resume all`,
		Args: exactArgs("a PROFILE, or all"),
	}, func(args []string) pauseRequest { return pauseRequest{Profile: args[0]} }))
}

func pause(e *edit, r pauseRequest) (string, error) {
	until, err := e.ending(r.For, r.Until)
	if err != nil {
		return "", err
	}
	return e.each(r.Profile, func(name string) (string, error) { return e.f.Pause(name, until, e.now) })
}

func resume(e *edit, r pauseRequest) (string, error) { return e.each(r.Profile, e.f.EndPause) }

// each does something to one profile, or to all but adults'. A profile that is
// called "all" is meant itself.
func (e *edit) each(profile string, f func(name string) (string, error)) (string, error) {
	if _, err := e.f.Profile(profile); err == nil || !strings.EqualFold(profile, everyProfile) {
		return f(profile)
	}
	var did []string
	for _, p := range e.f.Profiles {
		if p.Preset == policy.Adult {
			continue
		}
		what, err := f(p.Name)
		switch {
		case errors.Is(err, policy.ErrSame):
		case err != nil:
			return "", err
		default:
			did = append(did, what)
		}
	}
	if len(did) == 0 {
		return "", policy.ErrSame
	}
	return strings.Join(did, "; "), nil
}
