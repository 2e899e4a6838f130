package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

type changesRequest struct {
	about
	Limit    int    `json:"limit,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	Path     string `json:"path,omitempty"` // those alone that changed this part, see [policy.Delta]
}

type changesReply struct {
	Family  string         `json:"family"`
	Zone    string         `json:"zone"`
	Changes []store.Change `json:"changes"` // newest first
}

var (
	opChanges    = operation[changesRequest, changesReply]{"changes", changes}
	opChangeShow = operation[changesRequest, changesReply]{"changes-show", changeShow}
	opChangeUndo = operation[changesRequest, changed]{"changes-undo", changeUndo}
)

func (c *cli) changesCommand() *cobra.Command {
	limit := 20
	list := func(cmd *cobra.Command, _ []string) error {
		return do(cmd.Context(), c, cmd, opChanges, changesRequest{about: c.about, Limit: limit}, printChanges)
	}
	group := c.addJSON(&cobra.Command{
		Use:   "changes",
		Short: "Show who changed what, when and why",
		Long: fmt.Sprintf(`Every change of a family has a number. The newest %d are kept, and each can be undone:
what it changed is put back, and what was changed since stays.`, store.KeptChanges),
		Example: `  kinward changes
  kinward changes show 12
  kinward changes undo 12 --why "a mistake"`,
		Args: exactArgs(),
		RunE: list,
	})
	sub := c.addJSON(&cobra.Command{
		Use: "list", Short: "Show who changed what, when and why",
		Example: `  kinward changes list --limit 100`, Args: exactArgs(), RunE: list,
	})
	for _, cmd := range []*cobra.Command{group, sub} {
		cmd.Flags().IntVar(&limit, "limit", 20, "at most so many, newest first")
	}
	return c.aboutFamily(group, append(c.pendingCommands(), sub,
		c.numbered("show NUMBER", "Show all that is known of a change", "  kinward changes show 12", func(cmd *cobra.Command, id int64) error {
			return do(cmd.Context(), c, cmd, opChangeShow, changesRequest{about: c.about, Revision: uint64(id)}, printChange)
		}),
		c.numbered("undo NUMBER", "Take a change back; later changes stay", "  kinward changes undo 12", func(cmd *cobra.Command, id int64) error {
			return do(cmd.Context(), c, cmd, opChangeUndo, changesRequest{about: c.about, Revision: uint64(id)}, printChanged)
		}))...)
}

func changes(ctx context.Context, n *node, req changesRequest, _ progress) (changesReply, error) {
	if req.Limit < 1 || req.Limit > store.KeptChanges {
		return changesReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and %d", req.Limit, store.KeptChanges))
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return changesReply{}, err
	}
	var list []store.Change
	if req.Path == "" {
		list, err = n.db.Changes(ctx, f.ID, req.Limit)
	} else {
		list, err = n.db.ChangesOf(ctx, f.ID, func(path string) bool { return path == req.Path }, req.Limit)
	}
	if err != nil {
		return changesReply{}, err
	}
	if a := actor(ctx); a != nil && !a.operating && a.Role < policy.Owner {
		others, err := n.db.ChangesOf(ctx, f.ID, ownersPart, store.KeptChanges)
		if err != nil {
			return changesReply{}, err
		}
		for i := range list {
			if slices.ContainsFunc(others, func(c store.Change) bool { return c.Revision == list[i].Revision }) {
				list[i].CanUndo = false
			}
		}
	}
	zone := zoneOf(f)
	for i := range list {
		list[i].At, list[i].What = list[i].At.In(zone), inZone(list[i].What, zone)
		list[i].Weakens = weakensIn(list[i].Weakens, zone)
	}
	return changesReply{f.Name, zone.String(), list}, nil
}

func changeShow(ctx context.Context, n *node, req changesRequest, p progress) (changesReply, error) {
	req.Limit = store.KeptChanges
	r, err := changes(ctx, n, req, p)
	for _, c := range r.Changes {
		if c.Revision == req.Revision {
			r.Changes = []store.Change{c}
			return r, nil
		}
	}
	if err == nil {
		err = &codedError{exitNothing, fmt.Errorf("family %q has no change %d, or it is older than the %d that are kept; see: {kinward} changes", r.Family, req.Revision, store.KeptChanges)}
	}
	return r, err
}

func changeUndo(ctx context.Context, n *node, req changesRequest, _ progress) (changed, error) {
	f, before, err := n.family(ctx, req.Family)
	if err != nil {
		return changed{}, err
	}
	now, err := n.db.Undo(ctx, f.ID, req.Revision, req.Why)
	if err != nil {
		return changed{}, coded(err)
	}
	newest, err := n.db.Changes(ctx, f.ID, 1)
	if err != nil || len(newest) == 0 {
		return changed{}, errors.Join(err, errors.New("the record of changes is empty"))
	}
	after, _, err := n.db.Family(ctx, f.ID)
	if err != nil {
		return changed{}, err
	}
	e := &edit{ctx: ctx, n: n, f: after, before: f, now: time.Now(), zone: zoneOf(after), say: newest[0].What}
	e.pausesNow(f)
	return n.enforce(ctx, e, before, now)
}

// pausesNow says of each profile whose pause began or ended since before whether
// it is paused: that is not clear from what was taken back.
func (e *edit) pausesNow(before *policy.Family) {
	for i := range e.f.Profiles {
		p := &e.f.Profiles[i]
		was := before.ProfileByID(p.ID)
		switch {
		case was == nil, was.Paused.Equal(p.Paused):
		case !p.Paused.After(e.now):
			e.note("Profile %s is not paused now.", p.Name)
		case p.Paused.Equal(policy.Forever):
			e.note("Profile %s is paused now, until somebody resumes it.", p.Name)
		default:
			e.note("Profile %s is paused now, until %s.", p.Name, shown(p.Paused, e.zone))
		}
	}
}

func printChanges(w io.Writer, r changesReply) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Changes {
		mark := ""
		if len(c.Weakens) > 0 {
			mark = " (weakens protection)"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s%s\n", c.Revision, c.At.Format(timeLayout), c.Who, c.What, mark)
	}
	t.Flush()
}

func printChange(w io.Writer, r changesReply) {
	for _, c := range r.Changes {
		fmt.Fprintf(w, "Change %d of family %s, %s, by %s:\n  %s\n", c.Revision, r.Family, c.At.Format(timeLayout), c.Who, sentenceCase(c.What))
		if c.Why != "" {
			fmt.Fprintf(w, "  why: %s\n", c.Why)
		}
		printWeakens(w, c.Weakens)
		if c.Undoes != 0 {
			fmt.Fprintf(w, "It takes back change %d.\n", c.Undoes)
		}
		if c.CanUndo {
			fmt.Fprintf(w, "To undo it: {kinward} changes undo %d\n", c.Revision)
		}
	}
}
