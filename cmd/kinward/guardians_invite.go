package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kinward/console"
	"kinward/policy"
	"kinward/store"
)

// inviteRequest is about the guardian who is invited.
type inviteRequest struct {
	Name string `json:"name"`
	Role string `json:"role,omitempty"` // of who is not named yet: the command line names them, too
	// ID stands in an invitation that waited: whom it is about, however they are
	// called by then.
	ID policy.GuardianID `json:"id,omitempty"`
}

// inviteReply is an invitation. Whoever has its link becomes the guardian.
type inviteReply struct {
	Name   string      `json:"name"`
	Role   policy.Role `json:"role"`
	Family string      `json:"family"`
	Path   string      `json:"path"`          // on the console; told once
	URL    string      `json:"url,omitempty"` // to the command line
	Until  time.Time   `json:"until"`
}

const opGuardianInviteName = "guardians-invite"

var (
	opGuardianInvite   = operation[change[inviteRequest], inviteReply]{opGuardianInviteName, guardianInvite}
	opGuardianUninvite = operation[change[guardianRequest], done]{"guardians-uninvite", guardianUninvite}
)

func (c *cli) guardianInviteCommand() *cobra.Command {
	role := ""
	cmd := c.addJSON(&cobra.Command{
		Use:   "invite NAME",
		Short: "Make the link by which a guardian gets into the console",
		Long: fmt.Sprintf(`Makes a link that works once, for %d days: whoever opens it chooses a password and signs
in to the console as this guardian, and sees this family alone. A link that was made for
them before is worth nothing then. Who is not named yet is, with --role; the first
guardian of a family is an owner. That it was done stands in the family's history.`, int(inviteLife.Hours())/24),
		Example: `  kinward guardians invite Grandpa
  kinward guardians invite Mia --family Berger --role owner
  kinward guardians revoke Mia --family Berger`,
		Args: exactArgs("the NAME of a guardian"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := change[inviteRequest]{c.about, inviteRequest{Name: args[0], Role: role}}
			return do(cmd.Context(), c, cmd, opGuardianInvite, req, c.printInvitation)
		},
	})
	cmd.Flags().StringVar(&role, "role", "", "owner, guardian or viewer, for somebody who is not named yet")
	return cmd
}

func (c *cli) guardianUninviteCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use: "revoke NAME", Short: "Take an invitation back that was not used yet",
		Example: `  kinward guardians revoke Grandpa`,
		Args:    exactArgs("the NAME of a guardian"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opGuardianUninvite, change[guardianRequest]{c.about, guardianRequest{Name: args[0]}}, printDone)
		},
	})
}

func (c *cli) printInvitation(w io.Writer, r inviteReply) {
	fmt.Fprintf(w, "%s (%s) gets into the console of family %s by this link. It works once, until %s:\n  %s\n",
		r.Name, r.Role, r.Family, shown(r.Until, r.Until.Location()), r.URL)
	c.linkCode(w, r.URL)
	if u, err := url.Parse(r.URL); err == nil && isLoopbackHost(u.Hostname()) {
		fmt.Fprintln(w, "It opens on this machine alone. For theirs, start the server with a --console address of the home, or with\na public name (tls: name), and invite again.")
	}
	fmt.Fprintln(w, "Whoever has it becomes this guardian: hand it to nobody else.")
}

// inviteLife is for how long an invitation holds: a weekend at the grandparents'.
// What another guardian agreed to holds as long.
const inviteLife = 7 * 24 * time.Hour

// guardianInvite makes the link by which a guardian gets an account. One that was
// made before is worth nothing then. Whoever has the link may agree to changes
// that wait, so where the family wants weakening to be slow it waits itself, see
// inviteWaits. The command line also names who is not named yet.
func guardianInvite(ctx context.Context, n *node, req change[inviteRequest], _ progress) (r inviteReply, err error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	if a := guardian(ctx); a != nil {
		if a.pending != nil {
			return r, n.allowInvitation(ctx, a, f, req.Do.ID)
		}
		g, err := f.Guardian(req.Do.Name)
		if err != nil {
			return r, coded(err)
		}
		if err := n.inviteWaits(ctx, a, f, *g, req); err != nil {
			return r, err
		}
		req.Do.ID = g.ID
	} else if r.URL, err = n.consoleRunning(); err != nil {
		return r, err
	}
	secret, until := console.NewPassSecret(), time.Now().Add(inviteLife).Truncate(time.Second)
	err = n.db.Together(ctx, func(t *store.Tx) error {
		g, err := n.invited(ctx, t, f.ID, req)
		if err != nil {
			return err
		}
		if _, err := t.Invite(store.Pass{Family: f.ID, Guardian: g.ID, Who: whoActs(ctx), Until: until}, secret); err != nil {
			return err
		}
		r.Name, r.Role = g.Name, g.Role
		_, err = t.Note(f.ID, fmt.Sprintf("invited %s to sign in", g.Name), req.Why)
		return err
	})
	if err != nil {
		return r, coded(err)
	}
	r.Family, r.Path, r.Until = f.Name, console.PassPath(store.PassJoin, secret), until.In(zoneOf(f))
	if r.URL != "" {
		r.URL += r.Path
	}
	if err := n.atDoor(ctx, f.ID, store.DoorInvited, r.Name); err != nil {
		return r, err
	}
	return r, n.refresh(ctx, f.ID)
}

// atDoor keeps what the command line did at the door of a family. The console keeps
// what was done there, as it knows from where.
func (n *node) atDoor(ctx context.Context, family policy.FamilyID, what, whom string) error {
	if actor(ctx) != nil {
		return nil
	}
	return n.db.Accounts().Happened(ctx, store.Event{Family: family, Who: "command line", What: what, Detail: whom})
}

// invited finds who is invited; the command line names somebody new.
func (n *node) invited(ctx context.Context, t *store.Tx, family policy.FamilyID, req change[inviteRequest]) (policy.Guardian, error) {
	f, _, err := t.Family(family)
	if err != nil {
		return policy.Guardian{}, err
	}
	g, err := f.Guardian(req.Do.Name)
	switch {
	case err == nil && req.Do.ID != 0 && req.Do.ID != g.ID: // renamed since it was looked at
		return policy.Guardian{}, errNotInvited
	case err == nil && req.Do.Role != "" && req.Do.Role != g.Role.String():
		return policy.Guardian{}, usageError(fmt.Errorf("--role: %s is %s already; to change that: {kinward} guardians role", g.Name, g.Role))
	case err == nil:
		return *g, nil
	case !errors.Is(err, store.ErrNotFound) || guardian(ctx) != nil:
		return policy.Guardian{}, err
	case req.Do.Role == "":
		return policy.Guardian{}, fmt.Errorf("%w; to name somebody new, say with --role what they may do", err)
	}
	role, err := parseRole(req.Do.Role)
	if err != nil {
		return policy.Guardian{}, err
	}
	var id policy.GuardianID
	if _, err = t.Change(store.Edit{Family: family, Why: req.Why, If: req.If}, func(f *policy.Family) (what string, err error) {
		id, what, err = f.AddGuardian(req.Do.Name, role)
		return what, err
	}); err != nil {
		return policy.Guardian{}, err
	}
	if f, _, err = t.Family(family); err != nil {
		return policy.Guardian{}, err
	}
	i := slices.IndexFunc(f.Guardians, func(g policy.Guardian) bool { return g.ID == id })
	return f.Guardians[i], nil
}

func guardianUninvite(ctx context.Context, n *node, req change[guardianRequest], _ progress) (done, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return done{}, err
	}
	g, err := f.Guardian(req.Do.Name)
	if err != nil {
		return done{}, coded(err)
	}
	err = n.db.Together(ctx, func(t *store.Tx) error {
		if err := t.Uninvite(f.ID, *g); err != nil {
			return err
		}
		_, err := t.Note(f.ID, fmt.Sprintf("took the invitation of %s back", g.Name), req.Why)
		return err
	})
	if err != nil {
		return done{}, coded(err)
	}
	if err := n.atDoor(ctx, f.ID, store.DoorUninvited, g.Name); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("The link of %s opens nothing any more.", g.Name)}, n.refresh(ctx, f.ID)
}

// inviteWaits returns that an invitation has to wait, nil where it does not.
// Whoever opens the link of somebody who decides can agree to what weakens
// protection, or come in the second guardian's place; that the owner who makes the
// link is that somebody, nobody sees. So what the family wants for weakening holds
// for the link, unless the naming itself waited for that, or the link did, within
// inviteLife. Where there is nobody yet who could agree, nobody is got round.
func (n *node) inviteWaits(ctx context.Context, a *acting, f *policy.Family, g policy.Guardian, req change[inviteRequest]) error {
	l := f.Loosening
	if l == (policy.Loosening{}) || g.Role < policy.Carer {
		return nil
	}
	if l.Second {
		other, err := n.mayAgreeBeside(ctx, a, f)
		if err != nil {
			return err
		}
		if l.Second = other; l == (policy.Loosening{}) {
			return nil
		}
	}
	agreed, err := n.invitationAllowed(ctx, f.ID, g)
	if err != nil || agreed {
		return err
	}
	raw, err := json.Marshal(change[inviteRequest]{about{Why: req.Why}, inviteRequest{Name: g.Name, ID: g.ID}})
	if err != nil {
		return err
	}
	return &waiting{
		loosening: l, zone: zoneOf(f), what: fmt.Sprintf("invite %s to sign in", g.Name), request: raw, why: req.Why,
		weakens: []policy.Weakening{{Where: fmt.Sprintf("guardian %q", g.Name), What: fmt.Sprintf("whoever gets the link may change choices and agree to changes (%s)", g.Role)}},
	}
}

// mayAgreeBeside reports whether another guardian than a could agree to something
// now: one who decides and can sign in.
func (n *node) mayAgreeBeside(ctx context.Context, a *acting, f *policy.Family) (bool, error) {
	for _, g := range f.Guardians {
		if g.ID == a.Guardian || g.Role < policy.Carer {
			continue
		}
		switch _, err := n.db.Accounts().OfGuardian(ctx, f.ID, g.ID); {
		case err == nil:
			return true, nil
		case !errors.Is(err, store.ErrNotFound):
			return false, err
		}
	}
	return false, nil
}

// invitationAllowed reports whether it has waited lately, for a time or for another
// guardian, that a guardian is named, decides, or is invited.
func (n *node) invitationAllowed(ctx context.Context, family policy.FamilyID, g policy.Guardian) (bool, error) {
	list, err := n.db.Pendings(ctx, family, store.KeptChanges)
	if err != nil {
		return false, err
	}
	guardian := fmt.Sprintf("guardian/%d", g.ID)
	own, err := n.db.ChangesOf(ctx, family, func(path string) bool { return path == guardian }, store.KeptChanges)
	if err != nil {
		return false, err
	}
	for _, p := range list {
		if p.State != store.PendingDone || time.Since(p.Settled) > inviteLife {
			continue
		}
		switch p.Operation {
		case opGuardianInviteName:
			var req change[inviteRequest]
			if err := json.Unmarshal(p.Request, &req); err != nil {
				return false, fmt.Errorf("reading change %d that waited: %w", p.ID, err)
			}
			if req.Do.ID == g.ID {
				return true, nil
			}
		case opGuardianAdd.name, opGuardianRole.name:
			if slices.ContainsFunc(own, func(c store.Change) bool { return c.Revision == p.Revision }) {
				return true, nil
			}
		}
	}
	return false, nil
}

// errNotInvited says that who is invited is not there any more.
var errNotInvited = &codedError{exitNothing, errors.New("this guardian was removed meanwhile")}

// allowInvitation notes that an invitation waited long enough: whoever wanted it
// may make the link, which is shown once and so cannot be made before.
func (n *node) allowInvitation(ctx context.Context, a *acting, f *policy.Family, id policy.GuardianID) error {
	i := slices.IndexFunc(f.Guardians, func(g policy.Guardian) bool { return g.ID == id })
	if i < 0 {
		return errNotInvited
	}
	err := n.db.Together(ctx, func(t *store.Tx) error {
		revision, err := t.Note(f.ID, fmt.Sprintf("may invite %s to sign in, within %d days", f.Guardians[i].Name, int(inviteLife.Hours())/24), a.pending.Why)
		if err != nil {
			return err
		}
		return t.Settle(f.ID, a.pending.ID, store.PendingDone, a.agreed, "", revision)
	})
	if err != nil {
		return coded(err)
	}
	return n.refresh(ctx, f.ID)
}
