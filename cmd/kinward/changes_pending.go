package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

// pendingRequest is about a change that waits, or about all of them.
type pendingRequest struct {
	about
	ID    int64 `json:"id,omitempty"`
	Limit int   `json:"limit,omitempty"`
}

// pendingView is a change that waits or waited.
type pendingView struct {
	ID      int64              `json:"id"`
	Who     string             `json:"who"`
	At      time.Time          `json:"at"`
	Due     *time.Time         `json:"due,omitempty"` // nil: no time brings it
	Second  bool               `json:"second"`        // another guardian has to agree
	What    string             `json:"what"`
	Why     string             `json:"why,omitempty"`
	Weakens []policy.Weakening `json:"weakens"`
	State   store.PendingState `json:"state"`
	Waits   string             `json:"waits,omitempty"` // for what, in words
	Agreed  string             `json:"agreed,omitempty"`
	Settled *time.Time         `json:"settled,omitempty"`
	By      string             `json:"by,omitempty"`   // who settled it, or that its time had come
	Note    string             `json:"note,omitempty"` // why it failed
	// Revision is the change that it led to.
	Revision uint64 `json:"revision,omitempty"`
	Mine     bool   `json:"mine"`     // whoever asks wanted it, and may take it back
	MayAgree bool   `json:"mayAgree"` // whoever asks may agree to it
}

type pendingReply struct {
	Zone    string        `json:"zone"`
	Pending []pendingView `json:"pending"` // newest first
}

// settledReply is what became of a change that waited.
type settledReply struct {
	Done    string      `json:"done"`
	Pending pendingView `json:"pending"`
}

var (
	opPending        = operation[pendingRequest, pendingReply]{"changes-pending", pendingShow}
	opPendingApprove = operation[pendingRequest, settledReply]{"changes-approve", pendingApprove}
	opPendingReject  = operation[pendingRequest, settledReply]{"changes-reject", pendingReject}
)

// pendingCommands are the commands about changes that wait.
func (c *cli) pendingCommands() []*cobra.Command {
	limit := 20
	list := c.addJSON(&cobra.Command{
		Use: "pending", Short: "Show changes that wait for their time or for another guardian",
		Long: `Where a family wants weakening to be slow ("kinward families loosening") a guardian's
change that weakens protection waits: until its time, or until another guardian agrees.
With both it waits for both. Who waits for nobody's word for 14 days waits no longer.`,
		Example: `  kinward changes pending
  kinward changes approve 3
  kinward changes reject 3`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opPending, pendingRequest{about: c.about, Limit: limit}, printPending)
		},
	})
	list.Flags().IntVar(&limit, "limit", 20, "at most so many, newest first")
	one := func(op operation[pendingRequest, settledReply]) func(*cobra.Command, int64) error {
		return func(cmd *cobra.Command, id int64) error {
			return do(cmd.Context(), c, cmd, op, pendingRequest{about: c.about, ID: id}, func(w io.Writer, r settledReply) { fmt.Fprintln(w, r.Done) })
		}
	}
	return []*cobra.Command{
		list,
		c.numbered("approve NUMBER", "Agree to a change that waits", "  kinward changes approve 3", one(opPendingApprove)),
		c.numbered("reject NUMBER", "Reject a change that waits", "  kinward changes reject 3", one(opPendingReject)),
	}
}

func pendingShow(ctx context.Context, n *node, req pendingRequest, _ progress) (pendingReply, error) {
	if req.Limit < 1 || req.Limit > store.KeptChanges {
		return pendingReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and %d", req.Limit, store.KeptChanges))
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return pendingReply{}, err
	}
	list, err := n.db.Pendings(ctx, f.ID, req.Limit)
	if err != nil {
		return pendingReply{}, err
	}
	r := pendingReply{zoneOf(f).String(), []pendingView{}}
	for _, p := range list {
		r.Pending = append(r.Pending, viewPending(ctx, p, zoneOf(f)))
	}
	return r, nil
}

func viewPending(ctx context.Context, p store.Pending, zone *time.Location) pendingView {
	v := pendingView{
		ID: p.ID, Who: p.Who, At: p.At.In(zone), Due: untilIn(p.Due, zone), Second: p.Second, What: inZone(p.What, zone), Why: p.Why,
		Weakens: append([]policy.Weakening{}, weakensIn(p.Weakens, zone)...), State: p.State, Agreed: p.AgreedWho, Settled: untilIn(p.Settled, zone),
		By: p.SettledWho, Note: p.Note, Revision: p.Revision,
	}
	if p.State != store.PendingWaits {
		return v
	}
	v.Waits = waitsFor(p, zone)
	v.MayAgree = p.AgreedWho == ""
	if g := guardian(ctx); g != nil {
		v.Mine = g.Guardian == p.Guardian
		v.MayAgree = v.MayAgree && !v.Mine && g.Role >= policy.Carer
	}
	return v
}

// pendingOf finds a change that waits.
func (n *node) pendingOf(ctx context.Context, req pendingRequest) (*policy.Family, store.Pending, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return nil, store.Pending{}, err
	}
	p, err := n.db.Pending(ctx, f.ID, req.ID)
	if err != nil {
		return nil, p, coded(err)
	}
	if p.State != store.PendingWaits {
		return nil, p, fmt.Errorf("change %d: %w", req.ID, errSettled)
	}
	return f, p, nil
}

// errSettled says that a change does not wait any more.
var errSettled = usageError(fmt.Errorf("%w: it does not wait any more; see: {kinward} changes pending", store.ErrConflict))

// deciding says who agrees or rejects.
func deciding(ctx context.Context) (policy.GuardianID, string) {
	if g := guardian(ctx); g != nil {
		return g.Guardian, g.Name
	}
	return 0, "command line"
}

func pendingApprove(ctx context.Context, n *node, req pendingRequest, _ progress) (settledReply, error) {
	f, p, err := n.pendingOf(ctx, req)
	if err != nil {
		return settledReply{}, err
	}
	id, who := deciding(ctx)
	if id == p.Guardian {
		return settledReply{}, usageError(errors.New("who wants a change cannot agree to it as well; another guardian has to"))
	}
	if err := n.db.Agree(ctx, f.ID, p.ID, id, who); err != nil {
		return settledReply{}, coded(err)
	}
	defer n.bells.ring(f.ID)
	p.Agreed, p.AgreedWho = id, who
	said := "Agreed. It " + waitsFor(p, zoneOf(f)) + "."
	if p.Ripe(time.Now()) {
		if p, err = n.carryOut(ctx, p); err != nil {
			return settledReply{}, coded(err)
		}
		if said = "Agreed and done: " + p.What + "."; p.State == store.PendingFailed {
			said = "Agreed, but it cannot be done any more: " + sentenceCase(p.Note)
		}
	}
	return settledReply{inZone(said, zoneOf(f)), viewPending(ctx, p, zoneOf(f))}, nil
}

func pendingReject(ctx context.Context, n *node, req pendingRequest, _ progress) (settledReply, error) {
	f, p, err := n.pendingOf(ctx, req)
	if err != nil {
		return settledReply{}, err
	}
	id, who := deciding(ctx)
	state, said := store.PendingRejected, "Rejected: "
	if id == p.Guardian {
		state, said = store.PendingWithdrawn, "Taken back: "
	}
	if p, err = n.settle(ctx, p, state, who, ""); err != nil {
		return settledReply{}, coded(err)
	}
	return settledReply{inZone(said+p.What+".", zoneOf(f)), viewPending(ctx, p, zoneOf(f))}, nil
}

func printPending(w io.Writer, r pendingReply) {
	if len(r.Pending) == 0 {
		fmt.Fprintln(w, "Nothing waits.")
	}
	for _, p := range r.Pending {
		fmt.Fprintf(w, "%d  %s, %s: %s\n", p.ID, p.At.Format(timeLayout), p.Who, p.What)
		for _, x := range p.Weakens {
			fmt.Fprintf(w, "      %s: %s\n", x.Where, x.What)
		}
		switch {
		case p.State == store.PendingWaits:
			fmt.Fprintf(w, "    It %s.\n", p.Waits)
		case p.Note != "":
			fmt.Fprintf(w, "    %s: %s\n", p.State, p.Note)
		default:
			fmt.Fprintf(w, "    %s (%s)\n", p.State, p.By)
		}
	}
}
