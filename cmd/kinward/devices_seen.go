package main

import (
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
	zone    *time.Location
}

var opDevicesSeen = operation[about, seenReply]{"devices-seen", devicesSeen}

func (c *cli) seenCommand() *cobra.Command {
	return showCommand(c, opDevicesSeen, &cobra.Command{
		Use:   "seen",
		Short: "Show devices that asked and have no name yet",
		Long: `Shows the devices of the home that asked since kinward serve started and that nobody
has named: their address, their hardware address as far as the network tells it, and
what they call themselves where the file of DHCP leases is configured. A name is what
the device says of itself. It is kept in memory alone, and tells nothing of what was asked.`,
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
		return seenReply{}, errors.New("kinward serve does not run, so no device is seen")
	}
	leases := n.leasesOf(ctx, f.ID)
	r := seenReply{Family: f.Name, Devices: []unknownDevice{}, Leases: n.cfg.Leases.File != "", zone: zoneOf(f)}
	for _, u := range n.serving.server.Unknown(f.ID) {
		d := unknownDevice{Last: u.Last}
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
		fmt.Fprintf(w, "Every device that asked for family %s has a name.\n", r.Family)
		return
	}
	zone := r.zone
	if zone == nil {
		zone = time.Local
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ADDRESS\tHARDWARE ADDRESS\tCALLS ITSELF\tLAST SEEN")
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	for _, d := range r.Devices {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", dash(d.Address), dash(d.MAC), dash(d.Name), shown(d.Last, zone))
	}
	t.Flush()
	fmt.Fprintln(w, "To name one: {kinward} devices add CLUE --name NAME")
}
