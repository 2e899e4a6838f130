package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/store"
)

type profileRequest struct {
	Profile string `json:"profile"`
	To      string `json:"to,omitempty"`
	Preset  string `json:"preset,omitempty"`
	Thing   string `json:"thing,omitempty"`  // category, service or list
	Choice  string `json:"choice,omitempty"` // or what else is set
}

var (
	opProfileAdd    = changing("profiles-add", profileAdd)
	opProfileSet    = changing("profiles-preset", profileSet)
	opProfileRename = changing("profiles-rename", func(e *edit, r profileRequest) (string, error) { return e.f.RenameProfile(r.Profile, r.To) })
	opProfileRemove = changing("profiles-remove", profileRemove)
)

func profileRemove(e *edit, r profileRequest) (string, error) {
	var id policy.ProfileID
	if p, err := e.f.Profile(r.Profile); err == nil {
		id = p.ID
	}
	what, err := e.f.RemoveProfile(r.Profile)
	if err == nil {
		e.note("What was kept of it stays until its time is over. To delete it now: {kinward} erase %d", id)
	}
	return what, about1("removing profile", r.Profile, err)
}

func (c *cli) profilesCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "profiles",
		Short: "Show the profiles and what they choose",
		Long: `A profile is what applies to a person, or to everyone without a profile of their
own. It starts from the preset of an age band: A (0–7), B (8–10), C (11–12),
D (13–15), E (16–17) or adult.`,
		Example: `  kinward profiles
  kinward profiles add Lea D
  kinward profiles show Lea
  kinward profiles choose Lea roblox block
  kinward profiles choose Lea social preset`,
	}, printProfiles)
	return c.aboutFamily(group, append(c.profileSettings(), c.profileShowCommand(), c.profileMyCommand(),
		changeCommand(c, opProfileAdd, &cobra.Command{
			Use: "add NAME PRESET", Short: "Make a profile",
			Example: `  kinward profiles add Lea D`,
			Args:    exactArgs("a NAME", "a PRESET: A, B, C, D, E or adult"),
		}, func(args []string) profileRequest { return profileRequest{Profile: args[0], Preset: args[1]} }),
		changeCommand(c, opProfileSet, &cobra.Command{
			Use: "preset PROFILE PRESET", Short: "Choose the age band that a profile starts from",
			Example: `  kinward profiles preset Everyone B`,
			Args:    exactArgs("a PROFILE", "a PRESET: A, B, C, D, E or adult"),
		}, func(args []string) profileRequest { return profileRequest{Profile: args[0], Preset: args[1]} }),
		changeCommand(c, opProfileRename, &cobra.Command{
			Use: "rename PROFILE NEW", Short: "Give a profile another name",
			Example: `  kinward profiles rename Everyone Children`,
			Args:    exactArgs("a PROFILE", "the NEW name"),
		}, func(args []string) profileRequest { return profileRequest{Profile: args[0], To: args[1]} }),
		changeCommand(c, opProfileRemove, &cobra.Command{
			Use: "remove PROFILE", Short: "Remove a profile with its choices, rules and schedules",
			Example: `  kinward profiles remove Lea`,
			Args:    exactArgs("a PROFILE"),
		}, func(args []string) profileRequest { return profileRequest{Profile: args[0]} }),
	)...)
}

func printProfiles(w io.Writer, f familyView) {
	for _, p := range f.Profiles {
		whom := ""
		if p.Default {
			whom = ", for every device without one of its own"
		}
		preset := "preset " + p.Preset
		if p.Ages != p.Preset {
			preset += ", " + p.Ages
		}
		fmt.Fprintf(w, "%s: %s%s\n", p.Name, preset, whom)
		var things []string
		for t := range p.Choices {
			things = append(things, t)
		}
		slices.Sort(things)
		for _, t := range things {
			fmt.Fprintf(w, "  %s: %s\n", t, p.Choices[t])
		}
		if p.Guests {
			fmt.Fprintln(w, "  for guests: what they try is counted, not named")
		}
		if p.Paused != "" {
			fmt.Fprintf(w, "  paused %s\n", p.Paused)
		}
		if len(p.Rules) > 0 {
			fmt.Fprintf(w, "  rules: %d (see: {kinward} rules)\n", len(p.Rules))
		}
		for _, s := range p.Schedules {
			fmt.Fprintf(w, "  schedule %s\n", s.Text)
		}
	}
}

func profileAdd(e *edit, r profileRequest) (string, error) {
	preset, err := policy.ParsePreset(r.Preset)
	if err != nil {
		return "", usageError(err)
	}
	_, what, err := e.f.AddProfile(r.Profile, preset)
	if err != nil {
		return "", err
	}
	e.say = fmt.Sprintf("%s, %s", what, preset.Ages())
	e.note("Give it a device with: {kinward} devices add ADDRESS --name NAME --profile %s", shellQuote(r.Profile))
	return what, nil
}

func profileSet(e *edit, r profileRequest) (string, error) {
	preset, err := policy.ParsePreset(r.Preset)
	if err != nil {
		return "", usageError(err)
	}
	return e.f.SetPreset(r.Profile, preset)
}

// unknownThing says that no category, or none and no service, is called so. For a
// command that is nothing there; for pages, whose addresses name it not, a word
// that is not valid.
func unknownThing(text string) error { return &codedError{exitNothing, notKnown(text)} }

type notKnown string

func (e notKnown) Error() string        { return string(e) }
func (e notKnown) Is(target error) bool { return target == store.ErrInvalid }

// didYouMean goes on an error about a word that is unknown, where one is near.
func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", near)
}

// findThing finds the category or the service that a person means, by its ID or
// by the name that they are shown.
func findThing(c *blocklists.Catalogue, thing string) (blocklists.Category, string, error) {
	var words []string
	for category := blocklists.AnonymousChat; category < blocklists.NumCategories; category++ {
		if strings.EqualFold(thing, category.String()) || strings.EqualFold(thing, c.Categories[category].Name) {
			return category, "", nil
		}
		words = append(words, category.String(), c.Categories[category].Name)
	}
	for _, s := range c.Services {
		if strings.EqualFold(thing, s.ID) || strings.EqualFold(thing, s.Name) {
			return blocklists.NoCategory, s.ID, nil
		}
		words = append(words, s.ID)
	}
	return blocklists.NoCategory, "", unknownThing(fmt.Sprintf("%q is neither a category nor a service%s; see: {kinward} lists services", thing, didYouMean(blocklists.Near(thing, words))))
}

// findCategory is findThing where a service will not do.
func findCategory(c *blocklists.Catalogue, text string) (blocklists.Category, error) {
	category, service, err := findThing(c, text)
	if err != nil || service != "" {
		return blocklists.NoCategory, &codedError{exitNothing, fmt.Errorf("there is no category %q; see: {kinward} profiles show", text)}
	}
	return category, nil
}
