package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/publicsuffix"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/store"
)

// familyView is the family as commands print it.
type familyView struct {
	Name     string        `json:"name"`
	Zone     string        `json:"zone"`
	Revision uint64        `json:"revision"`
	Profiles []profileView `json:"profiles"`
	Devices  []deviceView  `json:"devices"`
}

type profileView struct {
	Name    string            `json:"name"`
	Preset  string            `json:"preset"`
	Ages    string            `json:"ages"`
	Default bool              `json:"default"` // applies to every device that is not listed
	Choices map[string]string `json:"choices"` // category or service → choice, where it differs from the preset
	Rules   []ruleView        `json:"rules"`
}

type ruleView struct {
	ID     int64      `json:"id"`
	Action string     `json:"action"`
	Name   string     `json:"name"`
	Exact  bool       `json:"exact"`
	Until  *time.Time `json:"until,omitempty"`
}

type deviceView struct {
	Name     string     `json:"name"`
	Profile  string     `json:"profile"`
	Networks []string   `json:"networks"`
	Until    *time.Time `json:"until,omitempty"`
}

var opFamily = operation[struct{}, familyView]{"family", family}

func family(ctx context.Context, n *node, _ struct{}, _ progress) (familyView, error) {
	f, revision, err := n.db.Family(ctx)
	if err != nil {
		return familyView{}, err
	}
	zone := n.zone(f)
	v := familyView{Name: f.Name, Zone: zone.String(), Revision: revision, Profiles: []profileView{}, Devices: []deviceView{}}
	until := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.In(zone)
		return &t
	}
	names := profileNames(f)
	for _, p := range f.Profiles {
		pv := profileView{
			Name: p.Name, Preset: p.Preset.String(), Ages: p.Preset.Ages(), Default: p.ID == f.Default,
			Choices: map[string]string{}, Rules: []ruleView{},
		}
		for c, choice := range p.Categories {
			pv.Choices[c.String()] = choice.String()
		}
		for s, choice := range p.Services {
			pv.Choices[s] = choice.String()
		}
		for _, r := range p.Rules {
			rv := ruleView{ID: int64(r.ID), Action: "deny", Name: r.Name.String(), Exact: r.Exact, Until: until(r.Until)}
			if r.Allow {
				rv.Action = "allow"
			}
			pv.Rules = append(pv.Rules, rv)
		}
		v.Profiles = append(v.Profiles, pv)
	}
	for _, d := range f.Devices {
		dv := deviceView{Name: d.Name, Profile: names[d.Profile], Until: until(d.Until), Networks: []string{}}
		for _, net := range d.Networks {
			dv.Networks = append(dv.Networks, networkText(net))
		}
		v.Devices = append(v.Devices, dv)
	}
	return v, nil
}

// networkText writes a single address without its length.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// done is the reply of an operation that changed something: a sentence.
type done struct {
	Done string `json:"done"`
}

func printDone(w io.Writer, d done) { fmt.Fprintln(w, d.Done) }

// lag is said with every change: what was asked before the change lives on at
// the device for as long as the answer may be kept there.
const lag = "A device may go by an answer that it has already for up to a minute."

func untilText(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "until you change it"
	}
	return "until " + t.In(zone).Format("Mon 2 Jan 15:04")
}

// Devices.

type deviceRequest struct {
	Device  string `json:"device"` // name or address; for add the network
	Name    string `json:"name"`
	Profile string `json:"profile"`
	For     string `json:"for"`
}

var (
	opDeviceExempt   = operation[deviceRequest, done]{"devices-exempt", deviceExempt}
	opDeviceAdd      = operation[deviceRequest, done]{"devices-add", deviceAdd}
	opDeviceRemove   = operation[deviceRequest, done]{"devices-remove", deviceRemove}
	opDeviceUnexempt = operation[deviceRequest, done]{"devices-unexempt", deviceUnexempt}
	opDeviceProfile  = operation[deviceRequest, done]{"devices-profile", deviceProfile}
)

func (c *cli) devicesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "Show the devices that have a profile of their own",
		Long: `A device is recognised by the address it asks from. Every device that is not
listed here has the household's profile, adults' devices too. Give a device a fixed
address in the router (often called "DHCP reservation"), or its address may go to
another device one day; phones that change their address for privacy need that
switched off for the home network.`,
		Example: `  kinward devices
  kinward devices exempt 192.168.1.20 --name "Mum's laptop"
  kinward devices add 192.168.1.31 --name Tablet --profile Everyone
  kinward devices remove "Mum's laptop"`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamily, struct{}{}, printDevices)
		},
	}
	c.addJSON(cmd)

	var req deviceRequest
	exempt := c.addJSON(&cobra.Command{
		Use:   "exempt ADDRESS|NAME",
		Short: "Let an adult's device ask for everything but what is dangerous to everybody",
		Long: `Gives a device the profile "Adults": nothing is blocked but phishing, malware and
the like, and nothing is recorded.`,
		Example: `  kinward devices exempt 192.168.1.20
  kinward devices exempt 192.168.1.20 --name "Mum's laptop"
  kinward devices exempt "Mum's laptop" --for 2h`,
		Args: exactArgs("an ADDRESS, for example 192.168.1.20, or the NAME of a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Device = args[0]
			return do(cmd.Context(), c, cmd, opDeviceExempt, req, printDone)
		},
	})
	exempt.Flags().StringVar(&req.Name, "name", "", "what to call the device")
	exempt.Flags().StringVar(&req.For, "for", "", "only for this long, for example 2h or 7d (default: for good)")

	add := c.addJSON(&cobra.Command{
		Use:   "add ADDRESS|NETWORK",
		Short: "Give a device a name and a profile",
		Example: `  kinward devices add 192.168.1.31 --name Tablet
  kinward devices add 192.168.1.64/27 --name "Guests" --profile Everyone`,
		Args: exactArgs("an ADDRESS, for example 192.168.1.31"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Device = args[0]
			return do(cmd.Context(), c, cmd, opDeviceAdd, req, printDone)
		},
	})
	add.Flags().StringVar(&req.Name, "name", "", "what to call the device (required)")
	add.Flags().StringVar(&req.Profile, "profile", "", "its profile (default: the household's)")

	unexempt := c.addJSON(&cobra.Command{
		Use:     "unexempt ADDRESS|NAME",
		Short:   "End an exemption; the device goes back to the profile that it had",
		Example: `  kinward devices unexempt 192.168.1.20`,
		Args:    exactArgs("an ADDRESS or the NAME of a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Device = args[0]
			return do(cmd.Context(), c, cmd, opDeviceUnexempt, req, printDone)
		},
	})
	profile := c.addJSON(&cobra.Command{
		Use:     "profile ADDRESS|NAME PROFILE",
		Short:   "Give a device another profile",
		Example: `  kinward devices profile Tablet Lea`,
		Args:    exactArgs("an ADDRESS or the NAME of a device", "the name of a PROFILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Device, req.Profile = args[0], args[1]
			return do(cmd.Context(), c, cmd, opDeviceProfile, req, printDone)
		},
	})

	remove := c.addJSON(&cobra.Command{
		Use:     "remove ADDRESS|NAME",
		Short:   "Forget a device; the household's profile applies to it again",
		Example: `  kinward devices remove 192.168.1.20`,
		Args:    exactArgs("an ADDRESS or the NAME of a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Device = args[0]
			return do(cmd.Context(), c, cmd, opDeviceRemove, req, printDone)
		},
	})
	cmd.AddCommand(exempt, unexempt, add, profile, remove)
	return cmd
}

func printDevices(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range f.Devices {
		until := ""
		if d.Until != nil {
			until = "until " + d.Until.Format("Mon 2 Jan 15:04")
		}
		fmt.Fprintf(t, "%s\t%s\tprofile %s\t%s\n", d.Name, strings.Join(d.Networks, ", "), d.Profile, until)
	}
	t.Flush()
	for _, p := range f.Profiles {
		if p.Default {
			fmt.Fprintf(w, "Every other device has the profile %s (preset %s, %s).\n", p.Name, p.Preset, p.Ages)
		}
	}
}

func deviceExempt(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	var until time.Time
	if req.For != "" {
		d, err := parseSpan(req.For)
		if err != nil {
			return done{}, usageError(fmt.Errorf("--for: %w", err))
		}
		until = time.Now().Add(d)
	}
	dev, err := n.db.ExemptDevice(ctx, req.Device, req.Name, until)
	if err := n.changed(ctx, err); err != nil {
		return done{}, err
	}
	f, _, err := n.db.Family(ctx)
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("%s now has the profile Adults %s: nothing is blocked but what is dangerous, and nothing is recorded. %s\n"+
		"Undo it with: {kinward} devices unexempt %s", dev.Name, untilText(until, n.zone(f)), lag, strconv.Quote(dev.Name))}, nil
}

func deviceAdd(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	network, err := parseNetwork(req.Device)
	if err != nil {
		return done{}, usageError(err)
	}
	if req.Name == "" {
		return done{}, usageError(fmt.Errorf("give the device a name, for example --name Tablet"))
	}
	profile, err := n.profileOr(ctx, req.Profile)
	if err != nil {
		return done{}, err
	}
	_, err = n.db.AddDevice(ctx, req.Name, profile, []netip.Prefix{network}, time.Time{})
	if err := n.changed(ctx, err); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("%s (%s) now has the profile %s. %s", req.Name, networkText(network), profile, lag)}, nil
}

// profileOr returns a profile's name as it is spelled, the household's profile
// where none is given.
func (n *node) profileOr(ctx context.Context, name string) (string, error) {
	f, _, err := n.db.Family(ctx)
	if err != nil {
		return "", err
	}
	if name == "" {
		name = profileNames(f)[f.Default]
	}
	id, err := findProfile(f, name)
	return profileNames(f)[id], err
}

func profileNames(f *policy.Family) map[policy.ProfileID]string {
	names := map[policy.ProfileID]string{}
	for _, p := range f.Profiles {
		names[p.ID] = p.Name
	}
	return names
}

func deviceUnexempt(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	if err := n.changed(ctx, n.db.UnexemptDevice(ctx, req.Device)); err != nil {
		return done{}, err
	}
	return n.deviceNow(ctx, req.Device)
}

func deviceProfile(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	err := n.db.UpdateDevice(ctx, req.Device, store.DeviceChange{Profile: &req.Profile})
	if err := n.changed(ctx, err); err != nil {
		return done{}, err
	}
	return n.deviceNow(ctx, req.Device)
}

// deviceNow says which profile a device has after a change.
func (n *node) deviceNow(ctx context.Context, ref string) (done, error) {
	v, err := family(ctx, n, struct{}{}, nil)
	if err != nil {
		return done{}, err
	}
	for _, d := range v.Devices {
		if strings.EqualFold(d.Name, ref) || slices.Contains(d.Networks, ref) {
			return done{fmt.Sprintf("%s now has the profile %s. %s", d.Name, d.Profile, lag)}, nil
		}
	}
	return done{fmt.Sprintf("%s is changed. %s", ref, lag)}, nil
}

func deviceRemove(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	if err := n.changed(ctx, n.db.RemoveDevice(ctx, req.Device)); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("%s is forgotten; the household's profile applies to it again. %s", req.Device, lag)}, nil
}

// Rules.

type ruleRequest struct {
	Profile string `json:"profile"`
	Name    string `json:"name"`
	Allow   bool   `json:"allow"`
	Exact   bool   `json:"exact"`
	For     string `json:"for"`
	ID      int64  `json:"id"`
}

var (
	opRuleAdd    = operation[ruleRequest, done]{"rules-add", ruleAdd}
	opRuleRemove = operation[ruleRequest, done]{"rules-remove", ruleRemove}
)

func (c *cli) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Show the family's own allow and deny rules",
		Example: `  kinward rules
  kinward rules allow forum.example.org
  kinward rules deny example.com --profile Everyone
  kinward rules remove 3`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamily, struct{}{}, printRules)
		},
	}
	c.addJSON(cmd)
	for _, verb := range []struct {
		word, short string
		allow       bool
	}{
		{"allow", "Allow a name and the names below it, whatever lists say", true},
		{"deny", "Block a name and the names below it", false},
	} {
		req := ruleRequest{Allow: verb.allow}
		sub := c.addJSON(&cobra.Command{
			Use:   verb.word + " NAME",
			Short: verb.short,
			Example: fmt.Sprintf(`  kinward rules %[1]s example.com
  kinward rules %[1]s www.example.com --exact --for 2h`, verb.word),
			Args: exactArgs("a NAME, for example example.com"),
			RunE: func(cmd *cobra.Command, args []string) error {
				req.Name = args[0]
				return do(cmd.Context(), c, cmd, opRuleAdd, req, printDone)
			},
		})
		sub.Flags().StringVar(&req.Profile, "profile", "", "for this profile (default: the household's)")
		sub.Flags().BoolVar(&req.Exact, "exact", false, "this name alone, not the names below it")
		sub.Flags().StringVar(&req.For, "for", "", "only for this long, for example 2h or 7d (default: for good)")
		cmd.AddCommand(sub)
	}
	cmd.AddCommand(c.addJSON(&cobra.Command{
		Use:     "remove NUMBER",
		Short:   "Remove a rule; \"kinward rules\" shows the numbers",
		Example: `  kinward rules remove 3`,
		Args:    exactArgs("the NUMBER of a rule"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usageError(fmt.Errorf("%q is not the number of a rule; see: kinward rules", args[0]))
			}
			return do(cmd.Context(), c, cmd, opRuleRemove, ruleRequest{ID: id}, printDone)
		},
	}))
	return cmd
}

func printRules(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	none := true
	for _, p := range f.Profiles {
		for _, r := range p.Rules {
			none = false
			scope := "and all below it"
			if r.Exact {
				scope = "alone"
			}
			until := ""
			if r.Until != nil {
				until = "until " + r.Until.Format("Mon 2 Jan 15:04")
			}
			fmt.Fprintf(t, "%d\t%s\t%s %s\tprofile %s\t%s\n", r.ID, r.Action, r.Name, scope, p.Name, until)
		}
	}
	t.Flush()
	if none {
		fmt.Fprintln(w, "The family has no rules of its own. Make one with: kinward rules allow NAME, or: kinward rules deny NAME")
	}
}

func ruleAdd(ctx context.Context, n *node, req ruleRequest, _ progress) (done, error) {
	name, err := n.parseHost(req.Name)
	if err != nil {
		return done{}, usageError(err)
	}
	r := policy.Rule{Name: name, Exact: req.Exact, Allow: req.Allow}
	if req.For != "" {
		d, err := parseSpan(req.For)
		if err != nil {
			return done{}, usageError(fmt.Errorf("--for: %w", err))
		}
		r.Until = time.Now().Add(d)
	}
	s, err := n.state(ctx)
	if err != nil {
		return done{}, err
	}
	warning, err := checkRule(n.catalogue.Load(), s.Index, r)
	if err != nil {
		return done{}, usageError(err)
	}
	profile, err := n.profileOr(ctx, req.Profile)
	if err != nil {
		return done{}, err
	}
	r.ID, err = n.db.AddRule(ctx, profile, r)
	if err := n.changed(ctx, err); err != nil {
		return done{}, err
	}
	f, _, err := n.db.Family(ctx)
	if err != nil {
		return done{}, err
	}
	verb := "denied"
	if r.Allow {
		verb = "allowed"
	}
	scope := " and every name below it"
	if r.Exact {
		scope = " alone"
	}
	text := fmt.Sprintf("%s%s is %s for profile %s %s (rule %d). %s", name, scope, verb, profile, untilText(r.Until, n.zone(f)), r.ID, lag)
	if warning != "" {
		text += "\n" + warning
	}
	return done{text}, nil
}

// checkRule refuses a rule that must not be, and warns of one that may do more
// than is meant.
func checkRule(c *blocklists.Catalogue, x *blocklists.Index, r policy.Rule) (warning string, err error) {
	if r.Name == "" {
		return "", fmt.Errorf("a rule for the root would decide about every name; name a domain")
	}
	for _, l := range x.Known(r.Name, policy.TypeA) {
		if l.Category == blocklists.Help && !r.Allow {
			return "", fmt.Errorf("%s is a help line or the like, which Kinward never blocks", r.Name)
		}
		if l.Category == blocklists.Plumbing && !r.Allow {
			warning = "Be aware that devices need this name in order to work."
		}
		if l.Category == blocklists.Security && r.Allow {
			warning = "Be aware that a list calls this name dangerous; it stays blocked for everybody."
		}
	}
	if hosts := c.SharedHosts(r.Name, r.Exact); len(hosts) > 0 && !r.Allow {
		h := hosts[0]
		warning = fmt.Sprintf("Be aware that unrelated apps and sites share %s (%s), and that they may stop working: %s\n"+
			"To undo it, see: {kinward} rules remove", h.Name, h.What, h.Reason)
	}
	if suffix, _ := publicsuffix.PublicSuffix(r.Name.String()); suffix == r.Name.String() && !r.Exact {
		warning = fmt.Sprintf("Be aware that this decides about every site whose name ends in .%s; they belong to many owners.", r.Name)
	}
	return warning, nil
}

func ruleRemove(ctx context.Context, n *node, req ruleRequest, _ progress) (done, error) {
	if err := n.changed(ctx, n.db.RemoveRule(ctx, policy.RuleID(req.ID))); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("Rule %d is removed. %s", req.ID, lag)}, nil
}

// Profiles.

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
	_, err = n.db.AddProfile(ctx, req.Profile, preset)
	if err := n.changed(ctx, err); err != nil {
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
	err = n.db.SetPreset(ctx, req.Profile, preset)
	if err := n.changed(ctx, err); err != nil {
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
	word := service
	switch {
	case category == blocklists.Security && choice != nil && choice.Action() != policy.Block:
		err = usageError(errors.New("what is dangerous to everybody (security) stays blocked; for one name see: {kinward} explain NAME"))
	case category != blocklists.NoCategory:
		word = category.String()
		err = n.db.SetCategory(ctx, profile, category, choice)
	default:
		err = n.db.SetService(ctx, profile, service, choice)
	}
	if err := n.changed(ctx, err); err != nil {
		return done{}, err
	}
	req.Profile, req.Thing = profile, word
	return done{fmt.Sprintf("Profile %s: %s is now %q. %s", req.Profile, req.Thing, req.Choice, lag)}, nil
}
