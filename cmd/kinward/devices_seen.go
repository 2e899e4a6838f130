package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
)

type unknownDevice struct {
	Address string    `json:"address,omitempty"`
	MAC     string    `json:"mac,omitempty"`
	Name    string    `json:"name,omitempty"` // what it calls itself to the DHCP server
	Last    time.Time `json:"last"`           // to the minute
}

type seenReply struct {
	Family  string          `json:"family"`
	Devices []unknownDevice `json:"devices"`
	Leases  bool            `json:"leases"` // a file of leases is configured
}

var opDevicesSeen = operation[about, seenReply]{"devices-seen", devicesSeen}

func (c *cli) seenCommand() *cobra.Command {
	return showCommand(c, opDevicesSeen, &cobra.Command{
		Use:   "seen",
		Short: "Show devices that use Kinward and that nobody has named yet",
		Long: `Shows the devices that asked Kinward since it started and that you have not named: a
visitor's, or a new one of yours. Until you name one it has the household's profile.
It is found by its address, by its hardware address (MAC) where the network tells it, and
by what it calls itself, where Kinward reads the router's list of addresses (the setting
leases: file). This machine itself is not among them. The list is forgotten when Kinward
ends, and holds nothing of what was looked up.`,
		Example: `  kinward devices seen
  kinward devices add 192.168.1.31 --name Tablet`,
	}, printSeen)
}

func devicesSeen(ctx context.Context, n *node, who about, _ progress) (seenReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return seenReply{}, err
	}
	if n.serving == nil {
		return seenReply{}, errNoneSeen
	}
	leases := n.leasesOf(ctx, f.ID)
	r := seenReply{Family: f.Name, Devices: []unknownDevice{}, Leases: n.cfg.Leases.File != ""}
	for _, u := range n.serving.server.Unknown(f.ID) {
		d := unknownDevice{Last: u.Last.In(zoneOf(f))}
		l := leases[u.Addr]
		if u.Addr.IsValid() {
			d.Address = u.Addr.String()
		} else {
			for _, other := range leases {
				if other.mac == u.MAC {
					l = other
				}
			}
		}
		d.Name = l.name
		if u.MAC == (policy.MAC{}) {
			u.MAC = l.mac
		}
		if u.MAC != (policy.MAC{}) {
			d.MAC = u.MAC.String()
		}
		r.Devices = append(r.Devices, d)
	}
	return r, nil
}

func printSeen(w io.Writer, r seenReply) {
	if len(r.Devices) == 0 {
		fmt.Fprintf(w, "No unknown device: whatever asked since Kinward started has a name in family %s, or nothing but this machine asked yet.\n", r.Family)
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ADDRESS\tHARDWARE ADDRESS\tCALLS ITSELF\tLAST ASKED")
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	for _, d := range r.Devices {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", dash(d.Address), dash(d.MAC), dash(d.Name), shown(d.Last, d.Last.Location()))
	}
	t.Flush()
	fmt.Fprintln(w, "Nobody has named these. Give one a name and a profile, by its hardware address or its address:")
	d := r.Devices[0]
	fmt.Fprintf(w, "  {kinward} devices add %s --name NAME --profile PROFILE\n", cmp.Or(d.MAC, d.Address))
}

var errNoneSeen = errors.New("kinward serve does not run, so no device is seen")
