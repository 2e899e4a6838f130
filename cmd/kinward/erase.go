package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kinward/journal/spool"
	"kinward/policy"
	"kinward/store"
)

type eraseRequest struct {
	about
	Profile string `json:"profile,omitempty"` // its name, or the number of one that was removed; "": all of the family
	DryRun  bool   `json:"dryRun,omitempty"`
}

type eraseReply struct {
	Family string       `json:"family"`
	Whose  string       `json:"whose"` // in words
	DryRun bool         `json:"dryRun"`
	Rows   store.Erased `json:"rows"` // what is, or would be, deleted
	// Removed are the profiles that the family has no more and that something is
	// kept of, when all would be erased.
	Removed []policy.ProfileID `json:"removed,omitempty"`
	Aside   []string           `json:"aside,omitempty"` // databases that a restore put aside, which still have it
}

var opErase = operation[eraseRequest, eraseReply]{"erase", erase}

func (c *cli) eraseCommand() *cobra.Command {
	req, yes := eraseRequest{}, false
	cmd := c.addJSON(&cobra.Command{
		Use:   "erase PROFILE|all",
		Short: "Delete what was kept of a profile, or of all, for good",
		Long: `Deletes incidents, counts, reviews, notes, mutes, and who looked: from memory, the
disk and the database down to its free space. A profile that was removed is told by its
number, which "erase all --dry-run" shows. Choices, rules and devices stay. The
history keeps that it was done, not what was there. It cannot be undone. Backups and
exports that were made before are elsewhere: delete them yourself.`,
		Example: `  kinward erase Lea --dry-run
  kinward erase Lea
  kinward erase all --yes`,
		Args: exactArgs("a PROFILE, or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.about = c.about; args[0] != "all" {
				req.Profile = args[0]
			}
			if req.DryRun || yes {
				return do(cmd.Context(), c, cmd, opErase, req, printErased)
			}
			return c.eraseAsking(cmd, req)
		},
	})
	cmd.Flags().StringVar(&c.about.Family, "family", "", "of this family (default: the home's own)")
	cmd.Flags().StringVar(&c.about.Why, "why", "", "why, for the record")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say how much would be deleted, and delete nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

var errNobodyAsked = usageError(errors.New("deleting for good needs a word: add --yes, or see with --dry-run what would be deleted"))

// eraseAsking shows what would be deleted, and does it when the person says so.
func (c *cli) eraseAsking(cmd *cobra.Command, req eraseRequest) error {
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	if !isTerminal(os.Stdin) {
		return errNobodyAsked
	}
	dry := req
	dry.DryRun = true
	rep, err := opErase.call(cmd.Context(), cfg, dry, nil)
	if err != nil {
		return c.calledError(err)
	}
	printErased(c.err, rep)
	fmt.Fprint(c.err, "Delete it for good? Type yes: ")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	switch {
	case errors.Is(err, io.EOF) && answer == "": // /dev/null looks like a terminal
		fmt.Fprintln(c.err)
		return errNobodyAsked
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(strings.ToLower(answer)) != "yes" {
		return &codedError{exitFailed, errors.New("nothing was deleted")}
	}
	return do(cmd.Context(), c, cmd, opErase, req, printErased)
}

func erase(ctx context.Context, n *node, req eraseRequest, _ progress) (eraseReply, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return eraseReply{}, err
	}
	rep := eraseReply{Family: f.Name, Whose: "all profiles", DryRun: req.DryRun}
	var profile policy.ProfileID
	if req.Profile != "" {
		p, err := f.Profile(req.Profile)
		switch gone := removedProfile(f, req.Profile); {
		case err == nil:
			profile, rep.Whose = p.ID, "profile "+p.Name
		case gone != 0:
			profile, rep.Whose = gone, fmt.Sprintf("profile %d, which was removed", gone)
		default:
			return rep, coded(err)
		}
	}
	if n.serving != nil {
		if err := n.serving.journal.Flush(ctx); req.DryRun && err != nil {
			return rep, err // it would count too little
		}
	}
	if rep.Rows, err = n.db.Erasable(ctx, f, profile); err != nil {
		return rep, err
	}
	if req.DryRun {
		if profile == 0 {
			rep.Removed, err = n.db.KeptProfiles(ctx, f.ID)
			rep.Removed = slices.DeleteFunc(rep.Removed, func(id policy.ProfileID) bool { return f.ProfileByID(id) != nil })
		}
		return rep, err
	}
	// What is begun is finished, also when the command has gone away.
	ctx = context.WithoutCancel(ctx)
	if n.serving != nil {
		if err := n.serving.journal.Erase(ctx, f.ID, profile); err != nil {
			return rep, err
		}
	}
	if n.serving == nil {
		if err := n.eraseSpool(ctx, f.ID, profile); err != nil {
			return rep, err
		}
	}
	what := fmt.Sprintf("erased what was kept of %s", rep.Whose)
	if _, err := n.db.Erase(ctx, f, profile, what, req.Why); err != nil {
		return rep, err
	}
	if rep.Aside, err = filepath.Glob(filepath.Join(n.cfg.Data, databaseFile+".before-restore-*")); err != nil {
		return rep, err
	}
	return rep, n.refresh(ctx, f.ID)
}

// removedProfile reads the number of a profile that f had and has no more, 0 where it
// is none.
func removedProfile(f *policy.Family, number string) policy.ProfileID {
	id, err := strconv.ParseUint(number, 10, 32)
	if err != nil || int64(id) > f.LastID || f.ProfileByID(policy.ProfileID(id)) != nil {
		return 0
	}
	return policy.ProfileID(id)
}

// eraseSpool forgets what a serve that was killed left unread.
func (n *node) eraseSpool(ctx context.Context, family policy.FamilyID, profile policy.ProfileID) (err error) {
	set, err := n.cfg.resolve()
	if err != nil {
		return usageError(err)
	}
	if _, err := os.Stat(set.spool.Folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if set.spool.Position, err = n.db.Position(ctx); err != nil {
		return err
	}
	s, err := spool.Open(set.spool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Erase(ctx, func(f policy.FamilyID, p policy.ProfileID) bool { return f == family && (profile == 0 || p == profile) })
}

func printErased(w io.Writer, r eraseReply) {
	verb := "Erased"
	if r.DryRun {
		verb = "Would be erased"
	}
	fmt.Fprintf(w, "%s, of %s in family %s:\n", verb, r.Whose, r.Family)
	for _, what := range slices.Sorted(maps.Keys(r.Rows)) {
		fmt.Fprintf(w, "  %s: %d\n", what, r.Rows[what])
	}
	for _, id := range r.Removed {
		fmt.Fprintf(w, "Some of it is of profile %d, which was removed; of that alone: {kinward} erase %d\n", id, id)
	}
	switch {
	case r.DryRun:
	case len(r.Aside) > 0:
		fmt.Fprintf(w, "What a restore put aside may still have it; delete it when you need it no more:\n  %s\nBackups and exports that were made before have it, too.\n", strings.Join(r.Aside, "\n  "))
	default:
		fmt.Fprintln(w, "Nothing of it is left in the data folder. Backups and exports that were made before still have it.")
	}
}
