package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

type checkRequest struct {
	about
	Device string        `json:"device"`
	For    time.Duration `json:"for"`
}

// checkReply is what was seen of a device that was to ask for a name.
type checkReply struct {
	Device  string      `json:"device"`
	Name    string      `json:"name"`    // that it was to ask for
	Private bool        `json:"private"` // it has a private-DNS name, so it should ask encrypted
	Seen    []checkSeen `json:"seen"`
}

// checkSeen is one question for the name.
type checkSeen struct {
	Time      time.Time `json:"time"`
	Device    string    `json:"device"` // "" is no device of the family
	Address   string    `json:"address,omitempty"`
	Transport string    `json:"transport"`
	Encrypted bool      `json:"encrypted"`
	Profile   string    `json:"profile,omitempty"`
	Filtered  bool      `json:"filtered"` // its profile blocks what every child's does
}

var opDeviceCheck = operation[checkRequest, checkReply]{"devices-check", deviceCheck}

// deviceCheck waits until a device asks for a name that only it was told.
func deviceCheck(ctx context.Context, n *node, req checkRequest, say progress) (checkReply, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return checkReply{}, err
	}
	d, err := f.Device(req.Device)
	if err != nil {
		return checkReply{}, coded(about1("checking device", req.Device, err))
	}
	if n.serving == nil {
		return checkReply{}, errors.New("nothing answers now, so nothing can be seen; start it first with: {kinward} serve")
	}
	token := policy.NewToken()
	seen, stop, err := n.serving.server.Check(token)
	if err != nil {
		return checkReply{}, err
	}
	defer stop()
	r := checkReply{Device: d.Name, Name: resolver.CheckName(token), Private: len(d.Tokens) > 0, Seen: []checkSeen{}}
	say(fmt.Sprintf("On %q, open this address in a browser (no page will come; that is right):\n  http://%s/\nWaiting for it, %s at most.", d.Name, r.Name, req.For))
	ctx, cancel := context.WithTimeout(ctx, req.For)
	defer cancel()
	for len(r.Seen) < 100 {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return r, err
			}
			return r, nil
		case x := <-seen:
			r.Seen = append(r.Seen, n.sawCheck(f, x))
			if x.Asker.Family == f.ID && x.Asker.Device == d.ID {
				return r, nil
			}
		}
	}
	return r, nil
}

// sawCheck tells of a question what the family may know. Of another family's it
// is only that it came.
func (n *node) sawCheck(f *policy.Family, x resolver.Checked) checkSeen {
	s := checkSeen{Time: x.Time.UTC(), Transport: x.Transport, Encrypted: x.Encrypted}
	if x.Asker.Family != f.ID {
		return s
	}
	s.Device, s.Address, s.Profile = deviceName(f, x.Asker.Device), x.From.String(), profileNames(f)[x.Asker.Profile]
	if st := n.current.Load(); st != nil && x.Asker.Policy != nil {
		v := policy.Decide(x.Asker.Policy, policy.Ask(st.Index, blocklists.MustName(mustBlock), policy.TypeA, x.Time))
		s.Filtered = v.Action == policy.Block
	}
	return s
}

func (c *cli) deviceCheckCommand() *cobra.Command {
	wait := 2 * time.Minute
	cmd := &cobra.Command{
		Use:   "check NAME",
		Short: "Wait for a device to ask for a name of its own, and say what was seen",
		Long: `Makes a name that nobody else knows and waits until the device asks for it. That shows
whether it asks here, as which device, over which transport, and with which profile.
Exits with 1 if the device was not seen, or not as it should be.`,
		Example: `  kinward devices check Phone
  kinward devices check Phone --for 5m`,
		Args: exactArgs("the NAME of a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait <= 0 || wait > time.Hour {
				return usageError(fmt.Errorf("--for: %s is not between a second and an hour", wait))
			}
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			say := func(text string) { fmt.Fprintln(c.err, text) } // several lines, to stay
			r, err := opDeviceCheck.call(cmd.Context(), cfg, checkRequest{c.about, args[0], wait}, say)
			if err != nil {
				return c.calledError(err)
			}
			well := false
			if err := c.print(r, func(w io.Writer) { printCheck(w, r) }); err != nil {
				return err
			}
			if s, ok := r.own(); ok {
				well = s.Encrypted || !r.Private
			}
			if !well {
				return &codedError{exitFailed, nil}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "for", wait, "how long to wait")
	return c.addJSON(cmd)
}

// own returns the question that the device itself asked.
func (r checkReply) own() (checkSeen, bool) {
	for _, s := range r.Seen {
		if s.Device == r.Device {
			return s, true
		}
	}
	return checkSeen{}, false
}

// transportWord returns a transport as people write it.
func transportWord(t string) string {
	switch t {
	case "dot":
		return "DoT"
	case "doh":
		return "DoH"
	case "doq":
		return "DoQ"
	}
	return t
}

func printCheck(w io.Writer, r checkReply) {
	s, ok := r.own()
	if !ok {
		fmt.Fprintf(w, "%s was not seen.\n", r.Device)
		for _, o := range r.Seen {
			if o.Profile == "" {
				fmt.Fprintf(w, "The name was asked for by somebody who is not of this family (%s).\n", o.Transport)
				continue
			}
			who := o.Device
			if who == "" {
				who = "a device that is not listed"
			}
			fmt.Fprintf(w, "The name was asked for by %s at %s (%s, profile %s). If that was %s, see: {kinward} devices clue add %s %s\n",
				who, o.Address, o.Transport, o.Profile, r.Device, shellQuote(r.Device), o.Address)
		}
		if len(r.Seen) == 0 {
			fmt.Fprintln(w, "Nobody asked for the name: it asks another DNS server, or none. Look at its private DNS, its VPN, and the browser's own \"secure DNS\".")
			fmt.Fprintln(w, "What a phone away from home needs: {kinward} doctor")
		}
		return
	}
	fmt.Fprintf(w, "This device:  yes, %s, at %s\n", s.Device, s.Address)
	switch {
	case s.Encrypted:
		fmt.Fprintf(w, "Encrypted:    yes (%s)\n", transportWord(s.Transport))
	case r.Private:
		fmt.Fprintf(w, "Encrypted:    NO (%s). It has a private-DNS name but does not use it: {kinward} devices setup %s --for android\n", s.Transport, shellQuote(r.Device))
	default:
		fmt.Fprintf(w, "Encrypted:    no (%s), as at home; away from home it would not be seen\n", s.Transport)
	}
	if s.Filtered {
		fmt.Fprintf(w, "Filtered:     yes, by the profile %s, which blocks %s\n", s.Profile, mustBlock)
	} else {
		fmt.Fprintf(w, "Filtered:     the profile %s does not block %s; if that is not meant, see: {kinward} profiles\n", s.Profile, mustBlock)
	}
}
