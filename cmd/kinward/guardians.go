package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

type guardianRequest struct {
	Name string `json:"name"`
	Role string `json:"role,omitempty"`
	To   string `json:"to,omitempty"`
}

type guardiansReply struct {
	Guardians []guardianView `json:"guardians"`
}

// guardianView is a guardian with how they come in.
type guardianView struct {
	policy.Guardian
	Account bool       `json:"account"`           // they can sign in
	Invited *time.Time `json:"invited,omitempty"` // an invitation waits until then
}

var (
	opGuardians      = operation[about, guardiansReply]{"guardians", guardians}
	opGuardianAdd    = changing("guardians-add", guardianAdd)
	opGuardianRole   = changing("guardians-role", guardianRole)
	opGuardianRename = changing("guardians-rename", func(e *edit, r guardianRequest) (string, error) { return e.f.RenameGuardian(r.Name, r.To) })
	opGuardianRemove = changing("guardians-remove", func(e *edit, r guardianRequest) (string, error) { return e.f.RemoveGuardian(r.Name) })
)

func (c *cli) guardiansCommand() *cobra.Command {
	group := showCommand(c, opGuardians, &cobra.Command{
		Use:   "guardians",
		Short: "Show the adults who decide for the family",
		Long: `A guardian is an adult who decides (owner, guardian) or looks on (viewer). An owner
also names guardians; a family with guardians has one at least. Roles count where
people sign in; who may run this command may do all.

They sign in once somebody gave them a link: "kinward guardians invite". That is also
how the first owner of a further family comes in.`,
		Example: `  kinward guardians
  kinward guardians add Eva --role owner
  kinward guardians invite Mia --family Berger --role owner
  kinward guardians role Grandpa guardian`,
	}, printGuardians)
	role := ""
	add := changeCommand(c, opGuardianAdd, &cobra.Command{
		Use: "add NAME", Short: "Add a guardian",
		Example: `  kinward guardians add Eva --role owner
  kinward guardians add Grandpa --role viewer`,
		Args: exactArgs("a NAME"),
	}, func(args []string) guardianRequest { return guardianRequest{Name: args[0], Role: role} })
	add.Flags().StringVar(&role, "role", "guardian", "owner, guardian or viewer")
	return c.aboutFamily(group, add,
		changeCommand(c, opGuardianRole, &cobra.Command{
			Use: "role NAME ROLE", Short: "Give a guardian another role",
			Example: `  kinward guardians role Grandpa guardian`,
			Args:    exactArgs("the NAME of a guardian", "a ROLE: owner, guardian or viewer"),
		}, func(args []string) guardianRequest { return guardianRequest{Name: args[0], Role: args[1]} }),
		changeCommand(c, opGuardianRename, &cobra.Command{
			Use: "rename NAME NEW", Short: "Give a guardian another name",
			Example: `  kinward guardians rename Grandpa Karl`,
			Args:    exactArgs("the NAME of a guardian", "the NEW name"),
		}, func(args []string) guardianRequest { return guardianRequest{Name: args[0], To: args[1]} }),
		changeCommand(c, opGuardianRemove, &cobra.Command{
			Use: "remove NAME", Short: "Remove a guardian",
			Example: `  kinward guardians remove Grandpa`,
			Args:    exactArgs("the NAME of a guardian"),
		}, func(args []string) guardianRequest { return guardianRequest{Name: args[0]} }),
		c.guardianInviteCommand(), c.guardianUninviteCommand(),
	)
}

func guardians(ctx context.Context, n *node, who about, _ progress) (guardiansReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return guardiansReply{}, err
	}
	passes, err := n.db.Accounts().Invitations(ctx, f.ID)
	if err != nil {
		return guardiansReply{}, err
	}
	r := guardiansReply{Guardians: []guardianView{}}
	for _, g := range f.Guardians {
		v := guardianView{Guardian: g}
		switch _, err := n.db.Accounts().OfGuardian(ctx, f.ID, g.ID); {
		case err == nil:
			v.Account = true
		case !errors.Is(err, store.ErrNotFound):
			return guardiansReply{}, err
		}
		for _, p := range passes {
			if p.Guardian == g.ID && p.Until.After(time.Now()) {
				v.Invited = untilIn(p.Until, zoneOf(f))
			}
		}
		r.Guardians = append(r.Guardians, v)
	}
	return r, nil
}

func printGuardians(w io.Writer, r guardiansReply) {
	if len(r.Guardians) == 0 {
		fmt.Fprintln(w, "Nobody is named yet. Add somebody with: {kinward} guardians add NAME --role owner")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range r.Guardians {
		in := "cannot sign in yet"
		switch {
		case g.Account:
			in = "can sign in"
		case g.Invited != nil:
			in = "invited; the link holds until " + shown(*g.Invited, g.Invited.Location())
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", g.Name, g.Role, in)
	}
	t.Flush()
}

func parseRole(s string) (r policy.Role, err error) {
	if err := r.UnmarshalText([]byte(s)); err != nil {
		return r, usageError(err)
	}
	return r, nil
}

func guardianAdd(e *edit, r guardianRequest) (string, error) {
	role, err := parseRole(r.Role)
	if err != nil {
		return "", err
	}
	if len(e.f.Guardians) == 0 && role != policy.Owner {
		e.note("The first guardian is an owner; give the role again once there is another owner.")
	}
	_, what, err := e.f.AddGuardian(r.Name, role)
	return what, err
}

func guardianRole(e *edit, r guardianRequest) (string, error) {
	role, err := parseRole(r.Role)
	if err != nil {
		return "", err
	}
	return e.f.SetRole(r.Name, role)
}
