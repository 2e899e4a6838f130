package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kinward/journal/alerts"
)

type digestRequest struct {
	about
	Guardian string `json:"guardian"`
	Period   string `json:"period"`
}

type digestReply struct {
	alerts.Digest
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
}

var opDigest = operation[digestRequest, digestReply]{"digest", digest}

func (c *cli) digestCommand() *cobra.Command {
	group := &cobra.Command{
		Use: "digest", Short: "See what a digest says",
		Example: `  kinward digest preview`,
		Args:    exactArgs(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var req digestRequest
	html := false
	preview := &cobra.Command{
		Use: "preview", Short: "Print the digest of the time until now; nothing is sent",
		Long: `Prints what a guardian's digest would say that ended now: of the last hour, day or week.
It sums up what the guardian hears of at least as often (see: kinward alerts set), so
that it never says that all is calm where it was not; what they muted is not counted.`,
		Example: `  kinward digest preview
  kinward digest preview --period week --guardian Eva
  kinward digest preview --html > digest.html`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.about = c.about
			return do(cmd.Context(), c, cmd, opDigest, req, func(w io.Writer, r digestReply) {
				if html {
					fmt.Fprint(w, r.HTML)
					return
				}
				fmt.Fprintf(w, "Subject: %s\n\n%s", r.Subject, r.Text)
			})
		},
	}
	preview.Flags().StringVar(&req.Period, "period", "day", "hour, day or week")
	preview.Flags().StringVar(&req.Guardian, "guardian", "", "whose (needed where there are several)")
	preview.Flags().BoolVar(&html, "html", false, "the page of an e-mail, not its plain text")
	_ = preview.RegisterFlagCompletionFunc("period", cobra.FixedCompletions([]string{"hour", "day", "week"}, cobra.ShellCompDirectiveNoFileComp))
	return c.aboutFamily(group, c.addJSON(preview))
}

func digest(ctx context.Context, n *node, req digestRequest, _ progress) (r digestReply, err error) {
	if n.serving != nil { // what was tried a moment ago belongs in it; what is stored can be told all the same
		_ = n.serving.journal.Flush(ctx)
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	guardian, err := recipient(ctx, f, req.Guardian)
	if err != nil {
		return r, err
	}
	engine, err := n.alertEngine()
	if err != nil {
		return r, err
	}
	now := time.Now()
	local := now.In(zoneOf(f))
	var period alerts.When
	var from time.Time
	switch req.Period {
	case "hour":
		period, from = alerts.Hourly, now.Add(-time.Hour)
	case "day":
		period, from = alerts.Daily, local.AddDate(0, 0, -1)
	case "week":
		period, from = alerts.Weekly, local.AddDate(0, 0, -7)
	default:
		return r, usageError(fmt.Errorf("--period: %q is not hour, day or week", req.Period))
	}
	d, l, err := engine.Digest(ctx, f.ID, guardian, period, from, now)
	if err != nil {
		return r, err
	}
	return digestReply{d, l.Subject, l.Text, l.HTML}, nil
}
