package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kinward/journal/alerts"
)

func (c *cli) alertsCommand() *cobra.Command {
	group := showCommand(c, opAlerts, &cobra.Command{
		Use:   "alerts",
		Short: "Show who is told what, how, and whether it arrives",
		Long: `Kinward tells guardians of incidents and signals: at once, or summed up by hour, day or
week; by e-mail, in a browser (web push), by a webhook or ntfy. No subject and no push
holds a domain. Of a guardian who chose nothing: chat with strangers, dating, escort
adverts, self-harm, apps with a record of harm and signals are told at once, the rest at
19:00, and nothing between 22:00 and 7:00. At most 6 alerts an hour; more come in one.

A message that cannot be delivered is tried again for three days.`,
		Example: `  kinward alerts
  kinward alerts add email eva@example.org --guardian Eva
  kinward alerts set --guardian Eva --category social --when weekly
  kinward alerts test`,
	}, printAlerts)
	return c.aboutFamily(group, c.alertAddCommand(), c.alertSetCommand(), c.alertRemoveCommand(), c.alertTestCommand())
}

func (c *cli) alertAddCommand() *cobra.Command {
	var req alertAddRequest
	var file string
	group := &cobra.Command{
		Use: "add", Short: "Add a way to a guardian",
		Example: `  kinward alerts add email eva@example.org
  kinward alerts add webhook https://alerts.example.org/kinward`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError(fmt.Errorf("say which way: email, push, webhook or ntfy; see: kinward alerts add --help"))
		},
	}
	group.PersistentFlags().StringVar(&req.Guardian, "guardian", "", "whose it is (needed where there are several)")
	group.PersistentFlags().StringVar(&req.Only, "only", "", "alerts or digests; both without it")
	group.PersistentFlags().BoolVar(&req.Brief, "brief", false, "say only that there is something, not what: for lock screens and servers of others")
	sub := func(kind alerts.Kind, cmd *cobra.Command, read func(arg string) error) *cobra.Command {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			req.about, req.Kind = c.about, kind
			var own *codedError
			if err := read(args[0]); errors.As(err, &own) {
				return err
			} else if err != nil {
				return usageError(err)
			}
			return do(cmd.Context(), c, cmd, opAlertAdd, req, printAlertAdd)
		}
		return c.addJSON(cmd)
	}
	plain := func(arg string) error {
		req.To = arg
		return nil
	}
	email := sub(alerts.Email, &cobra.Command{
		Use: "email ADDRESS", Short: "Send e-mail",
		Example: `  kinward alerts add email eva@example.org --guardian Eva`,
		Args:    exactArgs("an ADDRESS"),
	}, plain)
	webhook := sub(alerts.Webhook, &cobra.Command{
		Use: "webhook URL", Short: "Send JSON to a program of yours, signed",
		Long: `Sends JSON by POST to an https address on the internet (into your own network only where
the operator set alerts: allow-private). The header Kinward-Signature is "v1=" and the
HMAC-SHA256, in hexadecimal digits, of Kinward-Timestamp, a dot and the body, by the key
that is shown once. Idempotency-Key is the same when a message is tried again.`,
		Example: `  kinward alerts add webhook https://alerts.example.org/kinward`,
		Args:    exactArgs("a URL"),
	}, plain)
	ntfy := sub(alerts.Ntfy, &cobra.Command{
		Use: "ntfy URL", Short: "Publish to a topic of an ntfy server",
		Long: `Publishes to a topic of an ntfy server, on the internet (in your own network only where
the operator set alerts: allow-private). Who runs the server can read it, and on an open
one also who guesses the topic: have a server of your own, or give --brief.`,
		Example: `  kinward alerts add ntfy https://ntfy.example.org/a-topic-that-nobody-guesses --priority 4
  kinward alerts add ntfy https://ntfy.example.org/family --token-file token.txt`,
		Args: exactArgs("the URL of a server with its topic"),
	}, func(arg string) (err error) {
		req.To = arg
		if file != "" {
			req.Token, err = readSecret(file)
		}
		return err
	})
	ntfy.Flags().StringVar(&file, "token-file", "", "file that holds an access token; - is the standard input")
	ntfy.Flags().IntVar(&req.Priority, "priority", 0, "1 (least) to 5; without it the server's own")
	push := sub(alerts.Push, &cobra.Command{
		Use: "push FILE", Short: "Show notes in a browser (web push)",
		Long: `Takes a browser's subscription: the JSON of its PushSubscription, made with the key that
kinward alerts --json tells as push_key. Pages that make one come with Kinward's own.`,
		Example: `  kinward alerts add push subscription.json --guardian Eva`,
		Args:    exactArgs("the FILE with a subscription; - is the standard input"),
	}, func(arg string) (err error) {
		req.To, err = readSecret(arg)
		return err
	})
	group.AddCommand(email, webhook, ntfy, push)
	return group
}

// readSecret reads what is better not on a command line, where others see it.
func readSecret(file string) (string, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", namedFile(err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 16<<10))
	return strings.TrimSpace(string(text)), err
}

func (c *cli) alertSetCommand() *cobra.Command {
	var req alertSetRequest
	var quiet, at, day string
	var urgent bool
	var perHour int
	cmd := &cobra.Command{
		Use: "set", Short: "Choose how a guardian hears of what",
		Long: `Chooses how soon a guardian hears of something: of one profile, of one category or signal
(first-time, several-stranger-chats, unknown-device, tunnel, night, new-then-vpn, bypass,
silent, or signals for all of them), of both together, or of everything. What is said of
both goes before what is said of a category, and that before what is said of a profile.
Times are of the family's clock.`,
		Example: `  kinward alerts set --category social --when weekly
  kinward alerts set --profile Lea --category games-chat --when never
  kinward alerts set --guardian Eva --when daily --digest-at 20:00
  kinward alerts set --quiet 21:30-07:00 --urgent-passes
  kinward alerts set --quiet none --per-hour 10`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.about = c.about
			changed := cmd.Flags().Changed
			if changed("quiet") {
				req.Quiet = &quiet
			}
			if changed("urgent-passes") {
				req.Urgent = &urgent
			}
			if changed("digest-at") {
				req.DigestAt = &at
			}
			if changed("digest-day") {
				req.DigestDay = &day
			}
			if changed("per-hour") {
				req.PerHour = &perHour
			}
			return do(cmd.Context(), c, cmd, opAlertSet, req, printDone)
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Guardian, "guardian", "", "who (needed where there are several)")
	f.StringVar(&req.Profile, "profile", "", "only of this profile")
	f.StringVar(&req.Category, "category", "", "only of this category or signal")
	f.StringVar(&req.When, "when", "", "immediate, hourly, daily, weekly or never")
	f.StringVar(&quiet, "quiet", "", "quiet hours, as 22:00-07:00; none for none")
	f.BoolVar(&urgent, "urgent-passes", false, "let urgent things through quiet hours")
	f.StringVar(&at, "digest-at", "", "when digests of a day or week come, as 19:00")
	f.StringVar(&day, "digest-day", "", "on which day that of a week comes, as Sunday")
	f.IntVar(&perHour, "per-hour", 0, "most alerts an hour on each channel; what is above comes in one")
	for name, words := range map[string][]string{
		"when": {"immediate", "hourly", "daily", "weekly", "never"}, "digest-day": {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // it fails only for a flag that is not there
	}
	return c.addJSON(cmd)
}

// channelArg reads a channel's number.
func channelArg(s string) (alerts.ChannelID, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, usageError(fmt.Errorf("%q is not the number of a channel; see: kinward alerts", s))
	}
	return alerts.ChannelID(n), nil
}

func (c *cli) alertRemoveCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use: "remove CHANNEL", Short: "Remove a way to a guardian, by its number",
		Example: `  kinward alerts remove 2`,
		Args:    exactArgs("the number of a CHANNEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := channelArg(args[0])
			if err != nil {
				return err
			}
			return do(cmd.Context(), c, cmd, opAlertRemove, alertRequest{c.about, id}, printDone)
		},
	})
}

func (c *cli) alertTestCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use: "test [CHANNEL]", Short: "Send a test now, and print what the other side says",
		Long:    `Sends a test to a channel, or to all of the family's, and exits with 1 if one fails.`,
		Example: "  kinward alerts test\n  kinward alerts test 2",
		Args:    rangeArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			req := alertRequest{about: c.about}
			if len(args) > 0 {
				if req.Channel, err = channelArg(args[0]); err != nil {
					return err
				}
			}
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			p, end := c.progress()
			r, err := opAlertTest.call(cmd.Context(), cfg, req, p)
			end()
			if err != nil {
				return c.calledError(err)
			}
			if err := c.print(r, func(w io.Writer) { printAlertTest(w, r) }); err != nil {
				return err
			}
			for _, t := range r.Tests {
				if !t.OK {
					return &codedError{exitFailed, nil} // it is printed already
				}
			}
			return nil
		},
	})
}
