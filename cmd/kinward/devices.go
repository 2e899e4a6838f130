package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
)

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
	var dev policy.Device
	err := n.edit(ctx, fmt.Sprintf("exempting device %q", req.Device), func(f *policy.Family) (what string, err error) {
		dev, what, err = f.ExemptDevice(req.Device, req.Name, until, time.Now())
		return what, err
	})
	if err != nil {
		return done{}, err
	}
	f, _, err := n.db.Family(ctx, 0)
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
	err = n.edit(ctx, fmt.Sprintf("adding device %q", req.Name), func(f *policy.Family) (string, error) {
		_, what, err := f.AddDevice(profile, policy.Device{Name: req.Name, Networks: []netip.Prefix{network}}, time.Now())
		return what, err
	})
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("%s (%s) now has the profile %s. %s", req.Name, networkText(network), profile, lag)}, nil
}

// profileOr returns a profile's name as it is spelled, the household's profile
// where none is given.
func (n *node) profileOr(ctx context.Context, name string) (string, error) {
	f, _, err := n.db.Family(ctx, 0)
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

// deviceName returns what guardians call a device, "" for one that is not there.
func deviceName(f *policy.Family, id policy.DeviceID) string {
	for _, d := range f.Devices {
		if d.ID == id {
			return d.Name
		}
	}
	return ""
}

func deviceUnexempt(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	err := n.edit(ctx, fmt.Sprintf("ending the exemption of device %q", req.Device), func(f *policy.Family) (string, error) {
		return f.UnexemptDevice(req.Device)
	})
	if err != nil {
		return done{}, err
	}
	return n.deviceNow(ctx, req.Device)
}

func deviceProfile(ctx context.Context, n *node, req deviceRequest, _ progress) (done, error) {
	err := n.edit(ctx, fmt.Sprintf("changing device %q", req.Device), func(f *policy.Family) (string, error) {
		return f.UpdateDevice(req.Device, policy.DeviceChange{Profile: &req.Profile}, time.Now())
	})
	if err != nil {
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
	err := n.edit(ctx, fmt.Sprintf("removing device %q", req.Device), func(f *policy.Family) (string, error) {
		return f.RemoveDevice(req.Device)
	})
	if err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("%s is forgotten; the household's profile applies to it again. %s", req.Device, lag)}, nil
}
