package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/journal"
	"kinward/policy"
)

type signalsRequest struct {
	Family  string `json:"family,omitempty"`
	Since   string `json:"since"`
	Profile string `json:"profile"`
	Kind    string `json:"kind"`
	Limit   int    `json:"limit"`
	After   string `json:"after,omitempty"` // the next of an earlier reply: what comes after that
}

// signalView is a signal with the words for it.
type signalView struct {
	journal.Signal
	ProfileName string `json:"profile_name"`
	DeviceName  string `json:"device_name"`
	Sentence    string `json:"sentence"`
}

type signalsReply struct {
	Zone    string       `json:"zone"`
	Since   time.Time    `json:"since"`
	Signals []signalView `json:"signals"`        // newest first
	More    bool         `json:"more"`           // the limit cut the list
	Next    string       `json:"next,omitempty"` // where more is set: for the request's after
	Off     []string     `json:"off"`            // the kinds that the family does not want
	Night   policy.Hours `json:"night"`
}

type signalRequest struct {
	Kind  string `json:"kind,omitempty"`
	On    bool   `json:"on,omitempty"`
	Hours string `json:"hours,omitempty"`
}

var (
	opSignals      = operation[signalsRequest, signalsReply]{"signals", signalList}
	opSignalSwitch = changing("signals-switch", func(e *edit, r signalRequest) (string, error) { return e.f.SwitchSignal(r.Kind, r.On) })
	opSignalNight  = changing("signals-night", signalNight)
)

func (c *cli) signalsCommand() *cobra.Command {
	var req signalsRequest
	follow := false
	group := c.addJSON(&cobra.Command{
		Use: "signals", Short: "Tell what the record shows when it is looked at as a whole",
		Long: `Tells what single incidents do not, the newest first. The kinds, each of which can be
switched off:

  first-time              a profile tried a service that it never tried before
                          (once it has been known for a week)
  several-stranger-chats  three or more services to chat with strangers within a week
  unknown-device          a device without a name here, in a home where others have one
  tunnel                  a device asks as if it sent data inside its questions
  night                   dating or stranger chat in the hours that the family calls night
  new-then-vpn            a new service, and a VPN or proxy within the hour
  bypass                  a VPN's or proxy's own names
  silent                  a device that usually asks by now does not

They are hints for a talk, and never findings. A look-up is not a visit: pages and apps
ask for names by themselves, and a device may have been in other hands.`,
		Example: `  kinward signals
  kinward signals --since 30d --profile Lea --kind night
  kinward signals --follow
  kinward signals off bypass
  kinward signals night 21:00-06:30`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.Family = c.about.Family
			if follow {
				return c.followSignals(cmd, req)
			}
			return do(cmd.Context(), c, cmd, opSignals, req, printSignals)
		},
	})
	group.Flags().StringVar(&req.Since, "since", "7d", "how far back: a span (2h, 7d) or a time of the family's clock")
	group.Flags().StringVar(&req.Profile, "profile", "", "only this profile")
	group.Flags().StringVar(&req.Kind, "kind", "", "only this kind")
	group.Flags().IntVar(&req.Limit, "limit", 100, "at most so many")
	group.Flags().StringVar(&req.After, "after", "", "go on where an earlier list ended: its next, with --json")
	group.Flags().BoolVar(&follow, "follow", false, "go on with what comes, until Ctrl-C; with --json a line each")

	turn := func(word, short string, on bool) *cobra.Command {
		return changeCommand(c, opSignalSwitch, &cobra.Command{
			Use: word + " KIND", Short: short,
			Example:   "  kinward signals " + word + " bypass\n  kinward signals " + word + " silent --family Miller",
			Args:      exactArgs("a KIND, for example night"),
			ValidArgs: policy.SignalKinds(),
		}, func(args []string) signalRequest { return signalRequest{Kind: args[0], On: on} })
	}
	return c.aboutFamily(group,
		turn("on", "Tell of a kind of signal", true),
		turn("off", "Tell of a kind of signal no longer", false),
		changeCommand(c, opSignalNight, &cobra.Command{
			Use: "night HOURS|default", Short: "Say which hours are night to the signal of that kind",
			Example: `  kinward signals night 21:00-06:30
  kinward signals night default`,
			Args: exactArgs("HOURS, for example 21:00-06:30, or default"),
		}, func(args []string) signalRequest { return signalRequest{Hours: args[0]} }))
}

func signalNight(e *edit, r signalRequest) (string, error) {
	var h policy.Hours
	if r.Hours != "default" {
		if err := h.UnmarshalText([]byte(r.Hours)); err != nil {
			return "", usageError(err)
		}
	}
	return e.f.SetNight(h)
}

func signalList(ctx context.Context, n *node, req signalsRequest, _ progress) (signalsReply, error) {
	if req.Limit < 1 || req.Limit > maxIncidents {
		return signalsReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and %d", req.Limit, maxIncidents))
	}
	if req.Kind != "" {
		if err := policy.CheckSignal(req.Kind); err != nil {
			return signalsReply{}, usageError(fmt.Errorf("--kind: %w", err))
		}
	}
	s, err := n.state(ctx)
	if err != nil {
		return signalsReply{}, err
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return signalsReply{}, err
	}
	zone := zoneOf(f)
	since, err := sinceText(req.Since, time.Now(), zone)
	if err != nil {
		return signalsReply{}, usageError(fmt.Errorf("--since: %w", err))
	}
	filter := journal.SignalFilter{Family: f.ID, Since: since, Kind: req.Kind, Limit: req.Limit + 1}
	if filter.After, err = journal.ParseCursor(req.After); err != nil {
		return signalsReply{}, usageError(fmt.Errorf("--after: %w", err))
	}
	if req.Profile != "" {
		if filter.Profile, err = findProfile(f, req.Profile); err != nil {
			return signalsReply{}, err
		}
	}
	found, err := n.db.Signals(ctx, filter)
	if err != nil {
		return signalsReply{}, err
	}
	rep := signalsReply{
		Zone: zone.String(), Since: since.In(zone), Signals: []signalView{}, Off: append([]string{}, f.SignalsOff...), Night: f.NightHours(),
	}
	if len(found) > req.Limit {
		found, rep.More = found[:req.Limit], true
		last := found[req.Limit-1]
		rep.Next = journal.Cursor{At: last.At, ID: last.ID}.String()
	}
	names := n.names(ctx, s.Index, f)
	for _, g := range found {
		rep.Signals = append(rep.Signals, viewSignal(g, names, zone))
	}
	return rep, nil
}

func viewSignal(g journal.Signal, names journal.Names, zone *time.Location) signalView {
	v := signalView{Signal: g, ProfileName: names.Profile(g.Profile), DeviceName: names.Device(g.Device), Sentence: g.Sentence(names, zone)}
	if v.DeviceName == "" && g.Details.Client != "" {
		v.DeviceName = names.DeviceAt(g.Details.Client)
	}
	return v
}

func printSignals(w io.Writer, r signalsReply) {
	if len(r.Signals) == 0 {
		fmt.Fprintf(w, "All calm: nothing stood out since %s.\n", r.Since.Format("Mon 2 Jan 15:04"))
	}
	for _, s := range r.Signals {
		fmt.Fprintln(w, s.Sentence)
	}
	if r.More {
		fmt.Fprintf(w, "There are older ones; see more with --limit.\n")
	}
	if len(r.Off) > 0 {
		fmt.Fprintf(w, "Switched off: %s.\n", strings.Join(r.Off, ", "))
	}
	if len(r.Signals) > 0 {
		fmt.Fprintf(w, "\nTimes are of %s. A signal is a hint for a talk and never a finding: a look-up is not a visit.\n", r.Zone)
	}
}

// followSignals prints signals as they come, the oldest first, each once.
func (c *cli) followSignals(cmd *cobra.Command, req signalsRequest) error {
	ctx := cmd.Context()
	shown := map[string]string{}
	for {
		cfg, err := c.config(cmd)
		if err != nil {
			return err
		}
		rep, err := opSignals.call(ctx, cfg, req, func(string) {})
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return c.calledError(err)
		}
		for k := len(rep.Signals) - 1; k >= 0; k-- {
			s := rep.Signals[k]
			if shown[s.ID] == s.Sentence {
				continue
			}
			shown[s.ID] = s.Sentence // a silence comes again when it ends
			if err := c.printSignal(s); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

func (c *cli) printSignal(s signalView) error {
	line := s.Sentence
	if c.json {
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		line = string(b)
	}
	_, err := fmt.Fprintln(c.out, line)
	return err
}
