package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

type explainRequest struct {
	Family string `json:"family,omitempty"`
	Name   string `json:"name"`
	Device string `json:"device"` // name or address; "" is anyone without a device of their own
	// Profile is asked about whatever the device; only where Device is "".
	Profile string `json:"profile,omitempty"`
	At      string `json:"at"`   // wall-clock time of the family; "" is now
	Type    string `json:"type"` // of the question; "" is A
}

var opExplain = operation[explainRequest, explainReply]{"explain", explain}

func (c *cli) explainCommand() *cobra.Command {
	var req explainRequest
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Tell what happens to a name, and why",
		Long: `Decides about a name exactly as the resolver does, and shows the path that led to
the verdict: what is known of the name, which list and which entry of it says so,
and which step of the order of decision settled the matter.`,
		Example: `  kinward explain omegle.com
  kinward explain omegle.com --device 192.168.1.20 --at "2026-11-23 21:30"
  kinward explain roblox.com --profile Lea --at 21:00
  kinward explain tiktok.com --device "Mum's laptop" --json`,
		Args: exactArgs("a NAME, for example omegle.com"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name, req.Family = args[0], c.about.Family
			return do(cmd.Context(), c, cmd, opExplain, req, printExplanation)
		},
	}
	cmd.Flags().StringVar(&c.about.Family, "family", "", "for this family (default: the home's own)")
	cmd.Flags().StringVar(&req.Device, "device", "", "for this device: its name or its address")
	cmd.Flags().StringVar(&req.Profile, "profile", "", "for this profile, from whichever device")
	cmd.Flags().StringVar(&req.Type, "type", "A", "for a question of this type: A, AAAA, HTTPS …")
	cmd.Flags().StringVar(&req.At, "at", "", `at this time of the family's clock, for example "2026-11-23 21:30" (default now)`)
	return c.addJSON(cmd)
}

func explain(ctx context.Context, n *node, req explainRequest, _ progress) (explainReply, error) {
	name, err := n.parseHost(req.Name)
	if err != nil {
		return explainReply{}, usageError(err)
	}
	s, err := n.state(ctx)
	if err != nil {
		return explainReply{}, err
	}
	family, _, err := n.family(ctx, req.Family)
	if err != nil {
		return explainReply{}, err
	}
	at := time.Now().In(zoneOf(family))
	if req.At != "" {
		if at, err = parseTime(req.At, zoneOf(family)); err != nil {
			return explainReply{}, usageError(fmt.Errorf("--at: %w", err))
		}
	}
	var asker policy.Asker
	switch {
	case req.Profile == "":
		asker, err = findAsker(s.Directory, family, req.Device, at)
	case req.Device != "":
		err = usageError(errors.New("give either --device or --profile: a device has its profile"))
	default:
		asker, err = profileAsker(s.Directory, family, req.Profile)
	}
	if err != nil {
		return explainReply{}, err
	}
	if req.Type == "" {
		req.Type = "A"
	}
	qtype, ok := dns.StringToType[strings.ToUpper(req.Type)]
	if !ok {
		return explainReply{}, usageError(fmt.Errorf("--type: %q is no type of question; write A, AAAA or HTTPS", req.Type))
	}
	rep := explainReply{Explanation: policy.Explain(s, asker, family, name, qtype, at)}
	for _, other := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS} {
		e := policy.Explain(s, asker, family, name, other, at)
		if e.Verdict != rep.Verdict {
			rep.Notes = append(rep.Notes, fmt.Sprintf("For questions of type %s it is otherwise: %s", dns.TypeToString[other], e.Sentence))
		}
	}
	for _, hidden := range s.Index.Unwrap(name) {
		rep.Notes = append(rep.Notes, fmt.Sprintf("Behind this name is %s; the strictest verdict of both holds. See: {kinward} explain %[1]s", hidden))
	}
	rep.Notes = append(n.notes(rep, name, req.Device), rep.Notes...)
	return rep, nil
}

// explainReply is an explanation with what else decides about a real question.
type explainReply struct {
	policy.Explanation
	Notes []string `json:"notes"`
}

// notes tells what a decision about a name alone cannot.
func (n *node) notes(e explainReply, name blocklists.Name, device string) []string {
	notes := []string{}
	if name == policy.Portal {
		notes = append(notes, "This is the family's own Kinward, which answers with its own address.")
	}
	if resolver.AnswersItself(name) {
		notes = append(notes, "Kinward answers this name by itself, whatever the verdict: it means the same everywhere.")
	}
	if e.Verdict != policy.Block.String() && e.Reason != policy.ByHelp.String() {
		notes = append(notes, "The names that its answer leads to (aliases, HTTPS targets) are decided too, when they are known.")
	}
	if addr, err := netip.ParseAddr(device); err == nil {
		if now, err := n.inForce(); err == nil && !slices.ContainsFunc(now.AllowNets, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) }) {
			notes = append(notes, addr.String()+" is in no network of allow-net, so it is refused whatever it asks.")
		}
	}
	return notes
}

// errRefused says that an asker gets no answer at all.
var errRefused = &codedError{exitNothing, errors.New("whoever is no known device is refused, whatever they ask: the family has no default profile")}

// findAsker returns who asks from a device, given by its name or an address; ""
// is whoever is no known device.
func findAsker(d *policy.Directory, f *policy.Family, device string, at time.Time) (policy.Asker, error) {
	known := func(a policy.Asker, ok bool) (policy.Asker, error) {
		if !ok {
			return a, errRefused
		}
		return a, nil
	}
	if device == "" {
		return known(d.Device(f.ID, 0, at))
	}
	if addr, err := netip.ParseAddr(device); err == nil {
		return known(d.IdentifyIn(f.ID, policy.Clues{Addr: addr}, at))
	}
	var names []string
	for _, dev := range f.Devices {
		names = append(names, dev.Name)
		if sameName(dev.Name, device) {
			return known(d.Device(f.ID, dev.ID, at))
		}
	}
	if len(names) == 0 {
		return policy.Asker{}, &codedError{exitNothing, fmt.Errorf("no device is called %q, and none is known yet; give an address, or add one with: {kinward} devices add", device)}
	}
	return policy.Asker{}, &codedError{exitNothing, fmt.Errorf("no device is called %q%s; otherwise give an address", device, didYouMean(blocklists.Near(device, names)))}
}

// profileAsker returns an asker to whom a profile applies.
func profileAsker(d *policy.Directory, f *policy.Family, profile string) (policy.Asker, error) {
	p, err := f.Profile(profile)
	if err != nil {
		return policy.Asker{}, coded(err)
	}
	a, ok := d.Profile(f.ID, p.ID)
	if !ok { // the change that made it is not in force yet
		return a, &codedError{exitNothing, fmt.Errorf("profile %q is not in force yet; ask again", p.Name)}
	}
	return a, nil
}

func printExplanation(w io.Writer, e explainReply) {
	fmt.Fprintf(w, "%s\n\n", e.Sentence)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, value)
		}
	}
	field("verdict", e.Verdict+" ("+e.Reason+")")
	field("profile", e.Profile+", preset "+e.Preset)
	field("device", e.Device)
	field("at", e.At.Format(timeLayout+" MST"))
	if e.Service != "" {
		field("service", fmt.Sprintf("%s (what blocking its names achieves: %s)", e.Service, e.Strength))
	}
	field("category", e.Category)
	field("list", e.List)
	field("entry", e.Entry)
	field("recorded", e.Recorded)
	fmt.Fprintf(w, "\nWhat is known of the name:\n")
	if len(e.Labels) == 0 {
		fmt.Fprintf(w, "  nothing\n")
	}
	for _, l := range e.Labels {
		parts := []string{}
		for _, s := range []string{l.Category, l.Service} {
			if s != "" {
				parts = append(parts, s)
			}
		}
		parts = append(parts, l.Marks...)
		fmt.Fprintf(w, "  %s: entry %s of list %s (%s); the profile says %q\n",
			strings.Join(parts, ", "), l.Entry, l.List, l.Match, l.Choice)
	}
	fmt.Fprintf(w, "\nHow it was decided, first match wins:\n")
	for i, s := range e.Steps {
		mark := " "
		if s.Settled {
			mark = "→"
		}
		fmt.Fprintf(w, "%s %d. %s: %s\n", mark, i+1, s.Step, s.Found)
	}
	if len(e.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range e.Notes {
		fmt.Fprintln(w, note)
	}
}
