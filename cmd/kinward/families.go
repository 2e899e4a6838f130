package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

type familiesRequest struct {
	After int64 `json:"after"`
	Limit int   `json:"limit"`
}

type familiesReply struct {
	Families []familyLine `json:"families"`
	More     bool         `json:"more"` // there are others after these
}

// familyLine is a family as the list of them prints it: that it is there, and how
// big it is.
type familyLine struct {
	store.FamilyInfo
	Devices int `json:"devices"` // that have a name
}

// familyRequest is what is changed of a family itself.
type familyRequest struct {
	Name    string `json:"name,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Country string `json:"country,omitempty"`
	Preset  string `json:"preset,omitempty"`
	Profile string `json:"profile,omitempty"`
	Network string `json:"network,omitempty"`
	Add     bool   `json:"add,omitempty"`
	Yes     bool   `json:"yes,omitempty"`
	Delay   string `json:"delay,omitempty"`
	Second  *bool  `json:"second,omitempty"`
}

var (
	opFamilies        = operation[familiesRequest, familiesReply]{"families", families}
	opFamilyAdd       = operation[change[familyRequest], changed]{"families-add", familyAdd}
	opFamilyRemove    = operation[change[familyRequest], done]{"families-remove", familyRemove}
	opFamilyRename    = changing("families-rename", func(e *edit, r familyRequest) (string, error) { return e.f.Rename(r.Name) })
	opFamilyZone      = changing("families-zone", familyZone)
	opFamilyUnknown   = changing("families-unknown", familyUnknown)
	opFamilyNetwork   = changing("families-network", familyNetwork)
	opFamilyLoosening = changing("families-loosening", familyLoosening)
)

func (c *cli) familiesCommand() *cobra.Command {
	list := familiesRequest{}
	group := c.addJSON(&cobra.Command{
		Use:   "families",
		Short: "Show the families that this server serves",
		Long: `A family is whose choices, time zone and record they are. The first one is the
home's own: it has every device that nothing else is known of, and every command is
about it unless --family names another. Where one server serves several families,
each is recognised by the public addresses that it asks from, or by its devices'
private-DNS names.`,
		Example: `  kinward families
  kinward families add Miller --zone Europe/London --preset D
  kinward families network add 203.0.113.7 --family Miller
  kinward families zone Europe/Berlin
  kinward families unknown Guests
  kinward families export > family.yaml
  kinward families apply family.yaml --dry-run`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamilies, list, printFamilies)
		},
	})
	group.Flags().Int64Var(&list.After, "after", 0, "only those after this number")
	group.Flags().IntVar(&list.Limit, "limit", 100, "at most so many")

	req := familyRequest{}
	add := changeCommand(c, opFamilyAdd, &cobra.Command{
		Use: "add NAME", Short: "Make a family, with the profiles Everyone and Adults",
		Example: `  kinward families add Miller --zone Europe/London --preset D`,
		Args:    exactArgs("a NAME"),
	}, func(args []string) familyRequest { req.Name = args[0]; return req })
	add.Flags().StringVar(&req.Zone, "zone", "", "its time zone, for example Europe/London (default: the server's)")
	add.Flags().StringVar(&req.Preset, "preset", "C", "of its profile Everyone: A, B, C, D, E or adult")

	yes := false
	remove := c.addJSON(&cobra.Command{
		Use: "remove NAME", Short: "Remove a family, and all that was kept of it, for good",
		Example: `  kinward families remove Miller --yes`,
		Args:    exactArgs("the NAME of a family"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opFamilyRemove, change[familyRequest]{c.about, familyRequest{Name: args[0], Yes: yes}}, printDone)
		},
	})
	remove.Flags().BoolVar(&yes, "yes", false, "yes, its choices and its record are to be deleted")

	var second bool
	loosening := changeCommand(c, opFamilyLoosening, &cobra.Command{
		Use: "loosening", Short: "Say what changes that weaken protection have to wait for",
		Long: `Tightening is always at once. A change that weakens protection can be made to wait, or
to need another guardian, where people sign in; the command line may do all. What waits
is shown by "kinward changes pending".`,
		Example: `  kinward families loosening --delay 24h
  kinward families loosening --second
  kinward families loosening --delay 0 --second=false`,
		Args: exactArgs(),
	}, func([]string) familyRequest { return req })
	loosening.Flags().StringVar(&req.Delay, "delay", "", "how long such a change waits, for example 24h; 0 not at all")
	loosening.Flags().BoolVar(&second, "second", false, "another guardian has to agree")
	loosening.PreRun = func(cmd *cobra.Command, _ []string) {
		if cmd.Flags().Changed("second") {
			req.Second = &second
		}
	}

	networkCommand := func(verb, short string, adds bool) *cobra.Command {
		return changeCommand(c, opFamilyNetwork, &cobra.Command{
			Use: verb + " ADDRESS|NETWORK", Short: short,
			Example: "  kinward families network " + verb + " 203.0.113.7 --family Miller",
			Args:    exactArgs("a public ADDRESS, for example 203.0.113.7"),
		}, func(args []string) familyRequest { return familyRequest{Network: args[0], Add: adds} })
	}
	network := &cobra.Command{
		Use: "network", Short: "Say from which public addresses a family asks",
		Example: `  kinward families network add 203.0.113.7 --family Miller
  kinward families network remove 203.0.113.7 --family Miller`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	network.AddCommand(
		networkCommand("add", "Recognise the family by one more address or network", true),
		networkCommand("remove", "Recognise the family by an address or network no longer", false))

	return c.aboutFamily(group, add, remove, loosening, network, c.countryCommand(), c.linkCommand(), c.applyCommand(), c.exportCommand(),
		changeCommand(c, opFamilyRename, &cobra.Command{
			Use: "rename NEW", Short: "Give the family another name",
			Example: `  kinward families rename Miller
  kinward families rename Smith --family Miller`,
			Args: exactArgs("the NEW name"),
		}, func(args []string) familyRequest { return familyRequest{Name: args[0]} }),
		changeCommand(c, opFamilyZone, &cobra.Command{
			Use: "zone ZONE", Short: "Set the time zone by which schedules go",
			Example: `  kinward families zone Europe/Berlin
  kinward families zone server`,
			Args: exactArgs("a ZONE, for example Europe/Berlin, or server"),
		}, func(args []string) familyRequest { return familyRequest{Zone: args[0]} }),
		changeCommand(c, opFamilyUnknown, &cobra.Command{
			Use: "unknown PROFILE|refuse", Short: "Choose the profile of devices that are not known, or refuse them",
			Example: `  kinward families unknown Guests
  kinward families unknown refuse`,
			Args: exactArgs("a PROFILE, or refuse"),
		}, func(args []string) familyRequest { return familyRequest{Profile: args[0]} }),
	)
}

func families(ctx context.Context, n *node, req familiesRequest, _ progress) (familiesReply, error) {
	if req.Limit < 1 || req.Limit > 10000 {
		return familiesReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and 10000", req.Limit))
	}
	list, err := n.db.FamilyList(ctx, policy.FamilyID(req.After), req.Limit+1)
	if err != nil {
		return familiesReply{}, err
	}
	r := familiesReply{Families: []familyLine{}, More: len(list) > req.Limit}
	for _, info := range list[:min(len(list), req.Limit)] {
		f, _, err := n.db.Family(ctx, info.ID)
		if errors.Is(err, store.ErrNotFound) { // removed this moment
			continue
		} else if err != nil {
			return familiesReply{}, err
		}
		r.Families = append(r.Families, familyLine{info, len(f.Devices)})
	}
	return r, nil
}

func printFamilies(w io.Writer, r familiesReply) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tNAME\tREVISION")
	for _, f := range r.Families {
		fmt.Fprintf(t, "%d\t%s\t%d\n", f.ID, f.Name, f.Revision)
	}
	t.Flush()
	if r.More {
		fmt.Fprintf(w, "There are more: {kinward} families --after %d\n", r.Families[len(r.Families)-1].ID)
	}
}

func familyAdd(ctx context.Context, n *node, req change[familyRequest], _ progress) (changed, error) {
	preset, err := policy.ParsePreset(req.Do.Preset)
	if err != nil {
		return changed{}, usageError(fmt.Errorf("--preset: %w", err))
	}
	name, err := policy.CleanName(req.Do.Name)
	if err != nil {
		return changed{}, usageError(err)
	}
	if id, err := n.db.FindFamily(ctx, name); err == nil || errors.Is(err, store.ErrConflict) {
		return changed{}, usageError(fmt.Errorf("there is a family %q already (number %d); choose another name", name, id))
	}
	f := policy.NewFamily(name, req.Do.Zone, preset)
	if _, err := n.db.AddFamily(ctx, f, req.Why); err != nil {
		return changed{}, coded(err)
	}
	e := &edit{ctx: ctx, n: n, f: f, zone: zoneOf(f)}
	e.say = fmt.Sprintf("made the family %s, with preset %s (%s) for its devices", f.Name, preset, preset.Ages())
	e.note("Say where it asks from with: {kinward} families network add ADDRESS --family %s", shellQuote(f.Name))
	return n.enforce(ctx, e, 0, 1)
}

func familyRemove(ctx context.Context, n *node, req change[familyRequest], _ progress) (done, error) {
	f, _, err := n.family(ctx, req.Do.Name)
	if err != nil {
		return done{}, err
	}
	if !req.Do.Yes {
		return done{}, usageError(fmt.Errorf("family %q would be deleted with its %d profiles, %d devices and all that was recorded, for good; if that is meant, add --yes",
			f.Name, len(f.Profiles), len(f.Devices)))
	}
	if err := n.db.RemoveFamily(ctx, f.ID); err != nil {
		return done{}, coded(err)
	}
	if err := n.withdraw(ctx, f.ID); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("The family %s is removed, with all that was kept of it. Backups may still hold it.", f.Name)}, nil
}

func familyZone(e *edit, r familyRequest) (string, error) {
	if r.Zone == "server" {
		r.Zone = ""
	}
	what, err := e.f.SetZone(r.Zone)
	e.zone = zoneOf(e.f)
	return what, err
}

func familyUnknown(e *edit, r familyRequest) (string, error) {
	if r.Profile == refused {
		r.Profile = ""
	}
	return e.f.SetDefault(r.Profile)
}

func familyNetwork(e *edit, r familyRequest) (string, error) {
	p, err := policy.ParseNetwork(r.Network)
	if err != nil {
		return "", usageError(err)
	}
	if r.Add {
		return e.f.SetNetworks(append(slices.Clone(e.f.Networks), p))
	}
	rest := slices.DeleteFunc(slices.Clone(e.f.Networks), func(o netip.Prefix) bool { return o == p })
	if len(rest) == len(e.f.Networks) {
		return "", &codedError{exitNothing, fmt.Errorf("family %q is not recognised by %s", e.f.Name, networkText(p))}
	}
	return e.f.SetNetworks(rest)
}

func familyLoosening(e *edit, r familyRequest) (string, error) {
	l := e.f.Loosening
	if r.Delay == "" && r.Second == nil {
		return "", usageError(errors.New("say what is to change: --delay 24h, or --second"))
	}
	if r.Delay != "" {
		d, err := parseSpan(r.Delay)
		if err != nil || d.Minutes() > policy.MaxDelay {
			return "", usageError(fmt.Errorf("--delay: %q is not a span of time up to 7 days; write it like 24h or 2d, or 0", r.Delay))
		}
		l.Delay = policy.Minutes(d.Minutes())
	}
	if r.Second != nil {
		l.Second = *r.Second
	}
	if actor(e.ctx) == nil {
		e.note("It holds where people sign in; the command line may do all.")
	}
	return e.f.SetLoosening(l)
}
