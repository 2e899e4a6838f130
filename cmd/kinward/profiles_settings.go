package main

import (
	"encoding"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

var (
	opProfileChoose   = changing("profiles-choose", profileChoose)
	opProfileList     = changing("profiles-list", profileList)
	opProfileLog      = changing("profiles-log", profileLog)
	opProfileResponse = changing("profiles-response", profileResponse)
	opProfileBypass   = changing("profiles-bypass", profileBypass)
	opProfileGuests   = changing("profiles-guests", profileGuests)
)

// presetWord takes a choice of a profile's own back.
const presetWord = "preset"

// profileSettings are the commands that set one thing of a profile.
func (c *cli) profileSettings() []*cobra.Command {
	three := func(args []string) profileRequest {
		return profileRequest{Profile: args[0], Thing: args[1], Choice: args[2]}
	}
	two := func(args []string) profileRequest { return profileRequest{Profile: args[0], Choice: args[1]} }
	return []*cobra.Command{
		changeCommand(c, opProfileChoose, &cobra.Command{
			Use: "choose PROFILE CATEGORY|SERVICE CHOICE", Short: "Choose about a category or a service",
			Long: `CHOICE is one of: allow; watch (allow and record); tally (allow and count); block (and
record); digest (block and record, nobody is told at once); count (block, count, never
name); hide (block, keep nothing); preset (what the age band says). About one of the
lists that were added: profiles list.`,
			Example: `  kinward profiles choose Everyone roblox block
  kinward profiles choose Everyone messaging allow
  kinward profiles choose Everyone roblox preset`,
			Args: exactArgs("a PROFILE", "a CATEGORY or a SERVICE", "a CHOICE"),
		}, three),
		changeCommand(c, opProfileList, &cobra.Command{
			Use: "list PROFILE LIST CHOICE", Short: "Choose about a list, whatever its category",
			Long: `CHOICE is one of those of "choose"; preset goes back to what is chosen for the list's
category.`,
			Example: `  kinward profiles list Lea school block
  kinward profiles list Lea school preset`,
			Args: exactArgs("a PROFILE", "the ID of a LIST; see: kinward lists", "a CHOICE"),
		}, three),
		changeCommand(c, opProfileLog, &cobra.Command{
			Use: "log PROFILE CATEGORY item|count|none|preset", Short: "Choose what is kept of attempts at a category",
			Long: `item keeps each attempt, count only how many, none nothing; preset goes back to what
the choice for the category says. Of what is open nothing is kept, unless item or count
is chosen for it.`,
			Example: `  kinward profiles log Lea dating count
  kinward profiles log Lea dating preset`,
			Args: exactArgs("a PROFILE", "a CATEGORY", "item, count, none or preset"),
		}, three),
		changeCommand(c, opProfileResponse, &cobra.Command{
			Use: "response PROFILE nxdomain|zero|ADDRESS|preset", Short: "Choose how blocked questions are answered",
			Long: `nxdomain: there is no such name. zero: 0.0.0.0 and ::. ADDRESS: an IPv4 address, an
IPv6 address, or both with a comma. preset: as the server does.`,
			Example: `  kinward profiles response Lea zero
  kinward profiles response Lea 192.168.1.10,fd00::10
  kinward profiles response Lea preset`,
			Args: exactArgs("a PROFILE", "nxdomain, zero, an ADDRESS or preset"),
		}, two),
		changeCommand(c, opProfileBypass, &cobra.Command{
			Use: "bypass PROFILE on|off|preset", Short: "Choose whether names that lead past the filter are blocked",
			Long: `VPNs, proxies, other DNS services, and the names by which browsers and phones ask
whether the network filters. On for every preset but adult.`,
			Example: `  kinward profiles bypass Lea on
  kinward profiles bypass Lea preset`,
			Args: exactArgs("a PROFILE", "on, off or preset"),
		}, two),
		changeCommand(c, opProfileGuests, &cobra.Command{
			Use: "guests PROFILE on|off", Short: "Say whether a profile is for visitors",
			Long: `What guests try is counted and never named: other people's children are not this
family's to watch.`,
			Example: `  kinward profiles guests Guests on`,
			Args:    exactArgs("a PROFILE", "on or off"),
		}, two),
	}
}

// ownChoice reads a word as parse does, nil for "preset".
func ownChoice[T any](word string, parse func(string) (T, error)) (*T, error) {
	if word == presetWord {
		return nil, nil
	}
	v, err := parse(word)
	if err != nil {
		return nil, usageError(fmt.Errorf("%w, or preset", err))
	}
	return &v, nil
}

func profileChoose(e *edit, r profileRequest) (string, error) {
	choice, err := ownChoice(r.Choice, policy.ParseChoice)
	if err != nil {
		return "", err
	}
	category, service, err := findThing(e.n.catalogue.Load(), r.Thing)
	switch {
	case err != nil:
		return "", err
	case category == blocklists.Security && choice != nil && choice.Action() != policy.Block:
		return "", usageError(errors.New("what is dangerous to everybody (security) stays blocked; for one name see: {kinward} explain NAME"))
	case category != blocklists.NoCategory:
		return e.f.SetCategory(r.Profile, category, choice)
	}
	return e.f.SetService(r.Profile, service, choice)
}

func profileList(e *edit, r profileRequest) (string, error) {
	choice, err := ownChoice(r.Choice, policy.ParseChoice)
	if err != nil {
		return "", err
	}
	if choice != nil { // a choice about a list that is gone can be taken back
		if err := e.n.knowsList(r.Thing); err != nil {
			return "", err
		}
	}
	return e.f.SetList(r.Profile, r.Thing, choice)
}

func (n *node) knowsList(id string) error {
	ids := []string{blocklists.CatalogueID}
	for _, l := range n.lists.Lists() {
		ids = append(ids, l.ID)
	}
	for _, have := range ids {
		if have == id {
			return nil
		}
	}
	return &codedError{exitNothing, fmt.Errorf("there is no list %q%s; see: {kinward} lists", id, didYouMean(blocklists.Near(id, ids)))}
}

func profileLog(e *edit, r profileRequest) (string, error) {
	keep, err := ownChoice(r.Choice, readWord[policy.Keep])
	if err != nil {
		return "", err
	}
	category, service, err := findThing(e.n.catalogue.Load(), r.Thing)
	if err == nil && service != "" {
		err = usageError(fmt.Errorf("%q is a service; what is kept is chosen for a category", r.Thing))
	}
	if err != nil {
		return "", err
	}
	return e.f.SetLog(r.Profile, category, keep)
}

func profileResponse(e *edit, r profileRequest) (string, error) {
	mode, err := ownChoice(r.Choice, policy.ParseBlockMode)
	if err != nil {
		return "", err
	}
	return e.f.SetResponse(r.Profile, mode)
}

func parseOnOff(s string) (bool, error) {
	if s != "on" && s != "off" {
		return false, fmt.Errorf("%q is neither on nor off", s)
	}
	return s == "on", nil
}

func profileBypass(e *edit, r profileRequest) (string, error) {
	on, err := ownChoice(r.Choice, parseOnOff)
	if err != nil {
		return "", err
	}
	return e.f.SetBypass(r.Profile, on)
}

func profileGuests(e *edit, r profileRequest) (string, error) {
	on, err := parseOnOff(r.Choice)
	if err != nil {
		return "", usageError(err)
	}
	return e.f.SetGuests(r.Profile, on)
}

// about1 says which thing a refusal is about.
func about1(doing, name string, err error) error {
	if err == nil || errors.Is(err, policy.ErrSame) {
		return err
	}
	return fmt.Errorf("%s %q: %w", doing, name, err)
}

// readWord reads a value from the word for it.
func readWord[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](s string) (v T, err error) {
	err = P(&v).UnmarshalText([]byte(s))
	return v, err
}
