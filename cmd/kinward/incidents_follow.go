package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kinward/journal"
)

// opIncidentFollow tells incidents as they come, each as the JSON of an
// [incidentView] in a progress line. It ends with its client.
var opIncidentFollow = operation[incidentsQuery, done]{"incidents-follow", followIncidents}

func (c *cli) incidentFollowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "follow", Short: "Tell incidents as they come, until you press Ctrl-C",
		Long: `Tells every new incident within seconds, and again when it goes on. That you look is
kept, as for every reading. It needs a kinward serve that runs.`,
		Example: `  kinward incidents follow
  kinward incidents follow --profile Lea --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			_, err = opIncidentFollow.call(cmd.Context(), cfg, c.query, c.printFollowed)
			if cmd.Context().Err() != nil { // Ctrl-C is how it ends
				return nil
			}
			return c.calledError(err)
		},
	}
	c.queryFlags(cmd)
	for _, name := range []string{"since", "until"} {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return c.addJSON(cmd)
}

func (c *cli) printFollowed(text string) {
	var v incidentView
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return
	}
	if c.json {
		fmt.Fprintln(c.out, text)
		return
	}
	fmt.Fprintf(c.out, "%s  [%s]\n", v.Sentence, shortID(v.ID))
}

// followEvery is how often who follows incidents or signals looks: one look at the newest few of a
// family, found by an index.
const followEvery = time.Second

func followIncidents(ctx context.Context, n *node, q incidentsQuery, p progress) (done, error) {
	if n.serving == nil {
		return done{}, errors.New("nothing can come while no kinward serve runs; see what came with: {kinward} incidents")
	}
	q.Since, q.Until = "0s", ""
	r, err := n.read(ctx, q)
	if err != nil {
		return done{}, err
	}
	if err := r.viewed(ctx, "follow", 0); err != nil {
		return done{}, err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	told := map[string]uint64{} // tries by incident
	for begun := r.now; ; {
		r, err := n.read(ctx, q) // names, mutes and reviews may have changed
		if err != nil {
			return done{}, err
		}
		for i := range r.filters {
			// What is still open may go on; what has ended cannot.
			r.filters[i].Since = later(begun, r.now.Add(-2*journal.Gap))
		}
		news, _, err := r.incidents(ctx, journal.MaxLimit)
		if err != nil {
			return done{}, err
		}
		for k := len(news) - 1; k >= 0; k-- { // the oldest first
			i := news[k]
			if told[i.ID] == i.Tries {
				continue
			}
			told[i.ID] = i.Tries
			b, err := json.Marshal(r.view(i))
			if err != nil {
				return done{}, err
			}
			p(string(b))
		}
		if len(told) > 4*journal.MaxLimit {
			clear(told) // at worst something open is told again
		}
		select {
		case <-ctx.Done():
			return done{}, ctx.Err()
		case <-tick.C:
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
