package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

type profileRequest struct {
	Profile string `json:"profile"`
	Preset  string `json:"preset"`
	Thing   string `json:"thing"`
	Choice  string `json:"choice"`
}

var (
	opProfileAdd    = operation[profileRequest, done]{"profiles-add", profileAdd}
	opProfileSet    = operation[profileRequest, done]{"profiles-preset", profileSet}
	opProfileChoose = operation[profileRequest, done]{"profiles-choose", profileChoose}
)

func (c *cli) profilesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "Show the profiles and what they choose",
		Long: `A profile is what applies to a person, or to everyone without a profile of their
own. It starts from the preset of an age band: A (0–7), B (8–10), C (11–12),
D (13–15), E (16–17) or adult.`,
		Example: `  kinward profiles
  kinward profiles add Lea D
  kinward profiles preset Everyone B
  kinward profiles choose Everyone roblox block
  kinward profiles choose Everyone social preset`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamily, struct{}{}, printProfiles)
		},
	}
	c.addJSON(cmd)
	cmd.AddCommand(
		c.addJSON(&cobra.Command{
			Use:     "add NAME PRESET",
			Short:   "Make a profile",
			Example: `  kinward profiles add Lea D`,
			Args:    exactArgs("a NAME", "a PRESET: A, B, C, D, E or adult"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return do(cmd.Context(), c, cmd, opProfileAdd, profileRequest{Profile: args[0], Preset: args[1]}, printDone)
			},
		}),
		c.addJSON(&cobra.Command{
			Use:     "preset PROFILE PRESET",
			Short:   "Choose the age band that a profile starts from",
			Example: `  kinward profiles preset Everyone B`,
			Args:    exactArgs("a PROFILE", "a PRESET: A, B, C, D, E or adult"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return do(cmd.Context(), c, cmd, opProfileSet, profileRequest{Profile: args[0], Preset: args[1]}, printDone)
			},
		}),
		c.addJSON(&cobra.Command{
			Use:   "choose PROFILE CATEGORY|SERVICE CHOICE",
			Short: "Choose about a category or a service",
			Long: `CHOICE is one of: allow; watch (allow and record); block (and record); digest
(block and record, nobody is told at once); count (block, count, never name); hide
(block, keep nothing); preset (what the age band says).`,
			Example: `  kinward profiles choose Everyone roblox block
  kinward profiles choose Everyone messaging allow
  kinward profiles choose Everyone roblox preset`,
			Args: exactArgs("a PROFILE", "a CATEGORY or a SERVICE", "a CHOICE"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return do(cmd.Context(), c, cmd, opProfileChoose, profileRequest{Profile: args[0], Thing: args[1], Choice: args[2]}, printDone)
			},
		}),
	)
	return cmd
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
		if len(p.Rules) > 0 {
			fmt.Fprintf(w, "  rules: %d (see: kinward rules)\n", len(p.Rules))
		}
	}
}

func profileAdd(ctx context.Context, n *node, req profileRequest, _ progress) (done, error) {
	preset, err := policy.ParsePreset(req.Preset)
	if err != nil {
		return done{}, usageError(err)
	}
	err = n.edit(ctx, fmt.Sprintf("adding profile %q", req.Profile), func(f *policy.Family) (string, error) {
		_, what, err := f.AddProfile(req.Profile, preset)
		return what, err
	})
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("Profile %s is made, with preset %s (%s). Give it a device with: {kinward} devices add ADDRESS --name NAME --profile %s",
		req.Profile, preset, preset.Ages(), strconv.Quote(req.Profile))}, nil
}

func profileSet(ctx context.Context, n *node, req profileRequest, _ progress) (done, error) {
	preset, err := policy.ParsePreset(req.Preset)
	if err != nil {
		return done{}, usageError(err)
	}
	err = n.edit(ctx, fmt.Sprintf("changing the preset of profile %q", req.Profile), func(f *policy.Family) (string, error) {
		return f.SetPreset(req.Profile, preset)
	})
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("Profile %s now starts from preset %s (%s). %s", req.Profile, preset, preset.Ages(), lag)}, nil
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
	return blocklists.NoCategory, "", fmt.Errorf("%q is neither a category nor a service; did you mean %q? See: {kinward} lists services", thing, blocklists.Nearest(thing, words))
}

func profileChoose(ctx context.Context, n *node, req profileRequest, _ progress) (done, error) {
	var choice *policy.Choice
	if req.Choice != "preset" {
		c, err := policy.ParseChoice(req.Choice)
		if err != nil {
			return done{}, usageError(fmt.Errorf("%w, or preset", err))
		}
		choice = &c
	}
	category, service, err := findThing(n.catalogue.Load(), req.Thing)
	if err != nil {
		return done{}, usageError(err)
	}
	profile, err := n.profileOr(ctx, req.Profile)
	if err != nil {
		return done{}, err
	}
	if category == blocklists.Security && choice != nil && choice.Action() != policy.Block {
		return done{}, usageError(errors.New("what is dangerous to everybody (security) stays blocked; for one name see: {kinward} explain NAME"))
	}
	word := service
	if category != blocklists.NoCategory {
		word = category.String()
	}
	err = n.edit(ctx, fmt.Sprintf("choosing %s for profile %q", word, profile), func(f *policy.Family) (string, error) {
		if category != blocklists.NoCategory {
			return f.SetCategory(profile, category, choice)
		}
		return f.SetService(profile, service, choice)
	})
	if err != nil {
		return done{}, err
	}
	req.Profile, req.Thing = profile, word
	return done{fmt.Sprintf("Profile %s: %s is now %q. %s", req.Profile, req.Thing, req.Choice, lag)}, nil
}
