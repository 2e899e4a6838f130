package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/store"
)

type retentionRequest struct {
	Days     string `json:"days"`
	Category string `json:"category,omitempty"`
}

type retentionReply struct {
	Days       int                 `json:"days"`
	Categories []retentionCategory `json:"categories"` // that are kept otherwise
}

type retentionCategory struct {
	Category string `json:"category"`
	Name     string `json:"name"`
	Days     int    `json:"days"`
}

var (
	opRetention    = operation[about, retentionReply]{"retention", retention}
	opRetentionSet = operation[change[retentionRequest], changed]{"retention-set", setRetention}
)

func (c *cli) retentionCommand() *cobra.Command {
	group := showCommand(c, opRetention, &cobra.Command{
		Use:   "retention",
		Short: "Show and set for how long incidents are kept",
		Long: fmt.Sprintf(`Incidents and day counts are forgotten %s after their last attempt, or when the family
says, for all or category by category. What was said of them and who looked goes with
them. A shorter time holds at once. Backups that were made before still have them.`, policy.DefaultRetention),
		Example: `  kinward retention
  kinward retention set 30
  kinward retention set 14 security
  kinward retention set default security`,
	}, printRetention)
	return c.aboutFamily(group, changeCommand(c, opRetentionSet, &cobra.Command{
		Use: "set DAYS|default [CATEGORY]", Short: "Set for how many days incidents are kept, all or those of a category",
		Example: `  kinward retention set 30
  kinward retention set 14 security
  kinward retention set default`,
		Args: func(cmd *cobra.Command, args []string) error {
			return rangeArgs(2, "the DAYS, or default")(cmd, args)
		},
	}, func(args []string) retentionRequest {
		return retentionRequest{Days: args[0], Category: strings.Join(args[1:], "")}
	}))
}

func retention(ctx context.Context, n *node, who about, _ progress) (retentionReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return retentionReply{}, err
	}
	r := retentionReply{Days: int(f.Retention.Default()), Categories: []retentionCategory{}}
	for c, d := range f.Retention.Categories {
		r.Categories = append(r.Categories, retentionCategory{c.String(), n.catalogue.Load().Categories[c].Name, int(d)})
	}
	slices.SortFunc(r.Categories, func(a, b retentionCategory) int { return strings.Compare(a.Category, b.Category) })
	return r, nil
}

func printRetention(w io.Writer, r retentionReply) {
	fmt.Fprintf(w, "Incidents are kept for %s after their last attempt.\n", policy.KeptDays(r.Days))
	for _, c := range r.Categories {
		fmt.Fprintf(w, "  %s (%s): %s\n", c.Category, c.Name, policy.KeptDays(c.Days))
	}
}

// setRetention changes how long something is kept, and forgets at once what is
// older.
func setRetention(ctx context.Context, n *node, req change[retentionRequest], _ progress) (changed, error) {
	var f *policy.Family
	r, err := n.change(ctx, req.about, func(e *edit) (string, error) {
		f = e.f
		c := blocklists.NoCategory
		if req.Do.Category != "" {
			var err error
			if c, err = findCategory(n.catalogue.Load(), req.Do.Category); err != nil {
				return "", err
			}
		}
		if req.Do.Days == "default" {
			return e.f.SetRetention(c, 0)
		}
		days, err := strconv.Atoi(strings.TrimSuffix(req.Do.Days, "d"))
		if err != nil || days < 1 || days > int(policy.MaxRetention) {
			return "", usageError(fmt.Errorf("%q is no number of days from 1 to %d; write 30, or default", req.Do.Days, policy.MaxRetention))
		}
		return e.f.SetRetention(c, policy.KeptDays(days))
	})
	if err != nil || r.Unchanged {
		return r, err
	}
	gone, err := n.db.Expire(ctx, f, time.Now())
	if gone.Incidents > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Forgotten now: %s that were older.", plural(gone.Incidents, "incident")))
	}
	return r, err
}

// forgetEvery is how often families' records are looked through for what is old
// enough: what is kept for days may be kept for an hour more.
const forgetEvery = time.Hour

// forgetter forgets what families have kept for long enough, at its start and
// every hour.
type forgetter struct {
	db    *store.DB
	log   *slog.Logger
	now   func() time.Time
	every <-chan time.Time
}

// run goes on until ctx ends. A failure is logged, and tried again at the next
// time.
func (x *forgetter) run(ctx context.Context) error {
	for {
		if err := x.forget(ctx); err != nil && ctx.Err() == nil {
			x.log.Warn("what is old enough cannot be forgotten; it is tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-x.every:
		}
	}
}

func (x *forgetter) forget(ctx context.Context) error {
	var gone store.Expired
	var errs []error
	for id := policy.FamilyID(0); ; {
		var err error
		if id, err = x.db.NextKeeping(ctx, id); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if id == 0 {
			break
		}
		f, _, err := x.db.Family(ctx, id)
		if err != nil {
			if !errors.Is(err, policy.ErrNotFound) { // otherwise it was removed meanwhile
				errs = append(errs, err)
			}
			continue
		}
		e, err := x.db.Expire(ctx, f, x.now())
		gone.Incidents += e.Incidents
		gone.Counts += e.Counts
		errs = append(errs, err)
	}
	errs = append(errs, x.db.Accounts().Expire(ctx))
	if gone != (store.Expired{}) {
		x.log.Info("forgot what was kept for long enough", "incidents", gone.Incidents, "counts", gone.Counts)
	}
	return errors.Join(errs...)
}
