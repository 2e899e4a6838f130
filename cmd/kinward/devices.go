package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

type deviceRequest struct {
	Device  string `json:"device"` // name or clue; for add the clue
	Name    string `json:"name,omitempty"`
	Profile string `json:"profile,omitempty"`
	For     string `json:"for,omitempty"`
	Clue    string `json:"clue,omitempty"`
}

var (
	opDeviceAdd        = changing("devices-add", deviceAdd)
	opDeviceExempt     = changing("devices-exempt", deviceExempt)
	opDeviceUnexempt   = changing("devices-unexempt", deviceUnexempt)
	opDeviceGuest      = changing("devices-guest", deviceGuest)
	opDeviceProfile    = changing("devices-profile", deviceProfile)
	opDeviceRename     = changing("devices-rename", deviceRename)
	opDeviceRemove     = changing("devices-remove", deviceRemove)
	opDeviceClueAdd    = changing("devices-clue-add", deviceClueAdd)
	opDeviceClueRemove = changing("devices-clue-remove", deviceClueRemove)
)

// privateDNS stands before the label of a device's private-DNS name.
const privateDNS = "dns:"

func (c *cli) devicesCommand() *cobra.Command {
	group := showCommand(c, opFamily, &cobra.Command{
		Use:   "devices",
		Short: "Show the devices that have a profile of their own",
		Long: `A device is recognised by its clues: the address that it asks from, its hardware
address (MAC), or outside the home the label of its private-DNS name. Every device that
is not listed here has the household's profile, adults' devices too. Give a device a
fixed address in the router (often called "DHCP reservation"), or its address may go to
another device one day; phones that change their address for privacy need that switched
off for the home network.`,
		Example: `  kinward devices
  kinward devices exempt 192.168.1.20 --name "Mum's laptop"
  kinward devices add 192.168.1.31 --name Tablet --profile Everyone
  kinward devices clue add Tablet 02:00:5e:10:00:31
  kinward devices remove "Mum's laptop"`,
	}, printDevices)

	var req, visit deviceRequest // a flag's default is written to where it is kept
	device := func(args []string) deviceRequest { r := req; r.Device = args[0]; return r }
	exempt := changeCommand(c, opDeviceExempt, &cobra.Command{
		Use:   "exempt ADDRESS|NAME",
		Short: "Let an adult's device ask for everything but what is dangerous to everybody",
		Long: `Gives a device the profile "Adults": nothing is blocked but phishing, malware and
the like, and nothing is recorded.`,
		Example: `  kinward devices exempt 192.168.1.20
  kinward devices exempt 192.168.1.20 --name "Mum's laptop"
  kinward devices exempt "Mum's laptop" --for 2h`,
		Args: exactArgs("an ADDRESS, for example 192.168.1.20, or the NAME of a device"),
	}, device)
	exempt.Flags().StringVar(&req.Name, "name", "", "what to call the device")
	exempt.Flags().StringVar(&req.For, "for", "", "only for this long, for example 2h, 7d or today (default: for good)")

	add := changeCommand(c, opDeviceAdd, &cobra.Command{
		Use: "add CLUE", Short: "Give a device a name and a profile",
		Long: `CLUE is an address, a network, a hardware address, or dns: with the label of the
device's private-DNS name.`,
		Example: `  kinward devices add 192.168.1.31 --name Tablet
  kinward devices add 02:00:5e:10:00:31 --name Phone --profile Lea
  kinward devices add 192.168.1.64/27 --name "Guests" --profile Everyone`,
		Args: exactArgs("a CLUE, for example the address 192.168.1.31"),
	}, device)
	add.Flags().StringVar(&req.Name, "name", "", "what to call the device (required)")
	add.Flags().StringVar(&req.Profile, "profile", "", "its profile (default: the household's)")

	guest := changeCommand(c, opDeviceGuest, &cobra.Command{
		Use: "guest CLUE", Short: "Give a visitor's device a profile for guests, for some days",
		Long: `Gives a device the family's first profile for guests, or that of --profile, until its
time is over; then the device has the household's profile. See: kinward profiles guests`,
		Example: `  kinward devices guest 192.168.1.77 --for 3d
  kinward devices guest 192.168.1.77 --for 3d --name "Tom's phone"`,
		Args: exactArgs("a CLUE, for example the address 192.168.1.77"),
	}, func(args []string) deviceRequest { visit.Device = args[0]; return visit })
	guest.Flags().StringVar(&visit.Name, "name", "", "what to call the device (default: \"Guest 192.168.1.77\")")
	guest.Flags().StringVar(&visit.Profile, "profile", "", "its profile (default: the first for guests)")
	guest.Flags().StringVar(&visit.For, "for", "3d", "for how long, for example 3d or today")

	clue := &cobra.Command{
		Use: "clue", Short: "Say what a device is recognised by",
		Example: `  kinward devices clue add Tablet 02:00:5e:10:00:31
  kinward devices clue remove Tablet 192.168.1.31`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	clueArgs := exactArgs("the NAME of a device", "a CLUE: an address, a network, a hardware address, or dns: with a label")
	both := func(args []string) deviceRequest { return deviceRequest{Device: args[0], Clue: args[1]} }
	clue.AddCommand(
		changeCommand(c, opDeviceClueAdd, &cobra.Command{
			Use: "add NAME CLUE", Short: "Recognise a device by one more clue",
			Example: `  kinward devices clue add Tablet 192.168.1.31
  kinward devices clue add Tablet 02:00:5e:10:00:31
  kinward devices clue add Tablet dns:tablet-7f3k2m9q`,
			Args: clueArgs,
		}, both),
		changeCommand(c, opDeviceClueRemove, &cobra.Command{
			Use: "remove NAME CLUE", Short: "Recognise a device by a clue no longer",
			Example: `  kinward devices clue remove Tablet 192.168.1.31`,
			Args:    clueArgs,
		}, both))
	return c.aboutFamily(group, exempt, add, guest, clue, c.seenCommand(), c.deviceSetupCommand(), c.deviceCheckCommand(),
		changeCommand(c, opDeviceUnexempt, &cobra.Command{
			Use: "unexempt ADDRESS|NAME", Short: "End an exemption; the device goes back to the profile that it had",
			Example: `  kinward devices unexempt 192.168.1.20`,
			Args:    exactArgs("an ADDRESS or the NAME of a device"),
		}, device),
		changeCommand(c, opDeviceProfile, &cobra.Command{
			Use: "profile ADDRESS|NAME PROFILE", Short: "Give a device another profile",
			Example: `  kinward devices profile Tablet Lea`,
			Args:    exactArgs("an ADDRESS or the NAME of a device", "the name of a PROFILE"),
		}, func(args []string) deviceRequest { return deviceRequest{Device: args[0], Profile: args[1]} }),
		changeCommand(c, opDeviceRename, &cobra.Command{
			Use: "rename ADDRESS|NAME NEW", Short: "Give a device another name",
			Example: `  kinward devices rename Tablet "Lea's tablet"`,
			Args:    exactArgs("an ADDRESS or the NAME of a device", "the NEW name"),
		}, func(args []string) deviceRequest { return deviceRequest{Device: args[0], Name: args[1]} }),
		changeCommand(c, opDeviceRemove, &cobra.Command{
			Use: "remove ADDRESS|NAME", Short: "Forget a device; the household's profile applies to it again",
			Example: `  kinward devices remove 192.168.1.20`,
			Args:    exactArgs("an ADDRESS or the NAME of a device"),
		}, device))
}

func printDevices(w io.Writer, f familyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range f.Devices {
		clues := slices.Concat(d.Networks, d.MACs)
		for _, token := range d.Tokens {
			clues = append(clues, privateDNS+token)
		}
		last := "never seen"
		if d.Seen != nil {
			last = "last seen " + d.Seen.Format("Mon 2 Jan 15:04")
		}
		if d.Until != nil {
			last += fmt.Sprintf("\tuntil %s, then %s", d.Until.Format(timeLayout), d.Then)
		}
		fmt.Fprintf(t, "%s\t%s\tprofile %s\t%s\n", d.Name, strings.Join(clues, ", "), d.Profile, last)
	}
	t.Flush()
	for _, p := range f.Profiles {
		if p.Default {
			fmt.Fprintf(w, "Every other device has the profile %s (preset %s, %s).\n", p.Name, p.Preset, p.Ages)
		}
	}
	if f.Unknown == refused {
		fmt.Fprintln(w, "Every other device is refused.")
	}
}

// clue adds what a device is recognised by, as people write it, to d.
func clue(d *policy.Device, text string) error {
	if label, ok := strings.CutPrefix(text, privateDNS); ok {
		d.Tokens = append(d.Tokens, strings.ToLower(label))
		return nil
	}
	if mac, err := readWord[policy.MAC](text); err == nil {
		d.MACs = append(d.MACs, mac)
		return nil
	}
	p, err := policy.ParseNetwork(text)
	if err != nil {
		return usageError(fmt.Errorf("%w; or a hardware address like 02:00:5e:10:00:31, or dns: with the label of a private-DNS name", err))
	}
	d.Networks = append(d.Networks, p)
	return nil
}

// noteElsewhere says where nothing tells that a device's questions are this
// family's: what is chosen for the device has no effect on them then.
func (e *edit) noteElsewhere(d policy.Device) {
	s := e.n.current.Load()
	if s == nil || len(d.Tokens)+len(e.f.Networks)+len(e.f.Tokens) > 0 {
		return
	}
	if _, err := e.n.db.LinkOf(e.ctx, e.f.ID); !errors.Is(err, store.ErrNotFound) {
		return // a router reports its address, or it is not known whether one does
	}
	dir, err := s.Directory.With(e.f, 0)
	if err != nil {
		return // compiles says it
	}
	clue := texts(d.MACs)
	at := netip.IPv4Unspecified() // nobody's own address: whoever is not told by it
	for _, p := range d.Networks {
		at, clue = p.Addr(), append(clue, networkText(p))
	}
	if who, _ := dir.Identify(policy.Clues{Addr: at}, e.now); who.Family != e.f.ID {
		e.note("Nothing tells that questions from %s are of family %s, which has no network of its own, so this has no effect on them. If the home is meant, take it back and leave --family out; else say where the family asks from: {kinward} families network add ADDRESS --family %s",
			strings.Join(clue, ", "), e.f.Name, shellQuote(e.f.Name))
	}
}

func deviceAdd(e *edit, r deviceRequest) (string, error) {
	d := policy.Device{Name: r.Name}
	if err := clue(&d, r.Device); err != nil {
		return "", err
	}
	if r.Name == "" {
		return "", usageError(errors.New("give the device a name, for example --name Tablet"))
	}
	profile, err := e.orDefault(r.Profile)
	if err != nil {
		return "", err
	}
	_, what, err := e.f.AddDevice(profile, d, e.now)
	e.noteElsewhere(d)
	return what, about1("adding device", r.Name, err)
}

func deviceExempt(e *edit, r deviceRequest) (string, error) {
	until, err := e.ending(r.For, "")
	if err != nil {
		return "", err
	}
	d, what, err := e.f.ExemptDevice(r.Device, r.Name, until, e.now)
	if err != nil {
		return "", about1("exempting device", r.Device, err)
	}
	e.say = fmt.Sprintf("%s: nothing is blocked but what is dangerous, and nothing is recorded", what)
	e.note("To end it: {kinward} devices unexempt %s", shellQuote(d.Name))
	e.noteElsewhere(d)
	return what, nil
}

func deviceUnexempt(e *edit, r deviceRequest) (string, error) {
	what, err := e.f.UnexemptDevice(r.Device)
	return what, about1("ending the exemption of device", r.Device, err)
}

func deviceGuest(e *edit, r deviceRequest) (string, error) {
	until, err := e.ending(r.For, "")
	if err != nil {
		return "", err
	}
	if r.Profile == "" {
		i := slices.IndexFunc(e.f.Profiles, func(p policy.Profile) bool { return p.Guests })
		if i < 0 {
			return "", usageError(errors.New("the family has no profile for guests; make one with: {kinward} profiles add Guests C, and: {kinward} profiles guests Guests on"))
		}
		r.Profile = e.f.Profiles[i].Name
	}
	if r.Name == "" {
		if strings.HasPrefix(r.Device, privateDNS) {
			return "", usageError(errors.New("give the device a name, for example --name \"Tom's phone\": what it is recognised by is a secret"))
		}
		r.Name = "Guest " + r.Device
	}
	d := policy.Device{Name: r.Name, Until: until}
	if err := clue(&d, r.Device); err != nil {
		return "", err
	}
	_, what, err := e.f.AddDevice(r.Profile, d, e.now)
	e.noteElsewhere(d)
	return what, about1("adding device", r.Name, err)
}

func (e *edit) update(ref string, c policy.DeviceChange) (string, error) {
	what, err := e.f.UpdateDevice(ref, c, e.now)
	return what, about1("changing device", ref, err)
}

func deviceProfile(e *edit, r deviceRequest) (string, error) {
	return e.update(r.Device, policy.DeviceChange{Profile: &r.Profile})
}

func deviceRename(e *edit, r deviceRequest) (string, error) {
	return e.update(r.Device, policy.DeviceChange{Name: &r.Name})
}

func deviceRemove(e *edit, r deviceRequest) (string, error) {
	what, err := e.f.RemoveDevice(r.Device)
	if err != nil {
		return "", about1("removing device", r.Device, err)
	}
	e.say = what + "; the household's profile applies to it again"
	return what, nil
}

func deviceClueAdd(e *edit, r deviceRequest) (string, error) {
	d, err := e.f.Device(r.Device)
	if err != nil {
		return "", about1("changing device", r.Device, err)
	}
	next := policy.Device{Networks: slices.Clone(d.Networks), MACs: slices.Clone(d.MACs), Tokens: slices.Clone(d.Tokens)}
	if err := clue(&next, r.Clue); err != nil {
		return "", err
	}
	if hasAll(d, &next) {
		return "", policy.ErrSame
	}
	did, err := e.update(r.Device, policy.DeviceChange{Networks: next.Networks, MACs: next.MACs, Tokens: next.Tokens})
	if err == nil {
		e.noteElsewhere(next)
	}
	return did, err
}

// hasAll reports whether a device has all clues of another.
func hasAll(d, other *policy.Device) bool {
	return !slices.ContainsFunc(other.Networks, func(p netip.Prefix) bool { return !slices.Contains(d.Networks, p) }) &&
		!slices.ContainsFunc(other.MACs, func(m policy.MAC) bool { return !slices.Contains(d.MACs, m) }) &&
		!slices.ContainsFunc(other.Tokens, func(t string) bool { return !slices.Contains(d.Tokens, t) })
}

func deviceClueRemove(e *edit, r deviceRequest) (string, error) {
	d, err := e.f.Device(r.Device)
	if err != nil {
		return "", about1("changing device", r.Device, err)
	}
	var gone policy.Device
	if err := clue(&gone, r.Clue); err != nil {
		return "", err
	}
	if !hasAll(d, &gone) {
		return "", &codedError{exitNothing, fmt.Errorf("device %q is not recognised by %s; see: {kinward} devices", d.Name, r.Clue)}
	}
	return e.update(d.Name, policy.DeviceChange{
		Networks: less(d.Networks, gone.Networks), MACs: less(d.MACs, gone.MACs), Tokens: less(d.Tokens, gone.Tokens),
	})
}

// less returns a new list, never nil, of what is in a and not in b.
func less[T comparable](a, b []T) []T {
	return slices.DeleteFunc(append([]T{}, a...), func(v T) bool { return slices.Contains(b, v) })
}

// deviceName returns what guardians call a device, "" for one that is not there.
func deviceName(f *policy.Family, id policy.DeviceID) string {
	for _, d := range f.Devices {
		if d.ID == id {
			return d.Name
		}
	}
	return ""
}
