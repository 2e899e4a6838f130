package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

type applyRequest struct {
	about
	File   string `json:"file"` // what it is called, for errors
	Text   string `json:"text"`
	DryRun bool   `json:"dryRun"`
}

type applyReply struct {
	changed
	DryRun      bool     `json:"dryRun"`
	Differences []string `json:"differences"` // what the file changes, in sentences
}

type exportReply struct {
	YAML string `json:"yaml"`
}

var (
	opFamilyApply  = operation[applyRequest, applyReply]{"families-apply", familyApply}
	opFamilyExport = operation[about, exportReply]{"families-export", familyExport}
)

func (c *cli) applyCommand() *cobra.Command {
	req := applyRequest{}
	cmd := c.addJSON(&cobra.Command{
		Use:   "apply FILE",
		Short: "Make a family what a file says, all of it or nothing",
		Long: `Reads a file that declares a family ("-" is the standard input), prints in words what
differs from the family that is there, and changes it. If anything in the file is
wrong, every fault is named and nothing is changed. What the file does not name goes,
but for pauses and grants. Without --family the file's own name says which family; with
it, the family gets the file's name.`,
		Example: `  kinward families apply family.yaml --dry-run
  kinward families apply family.yaml --why "new school year"`,
		Args: exactArgs("a FILE, or - for the standard input"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			req.File, req.about = args[0], c.about
			if req.Text, err = readDeclared(args[0]); err != nil {
				return err
			}
			if d, bad := readFamily(req.File, []byte(req.Text)); bad == nil && c.about.Family == "" {
				c.about.Family = d.Family // so that what is named next is about it, too
			}
			return do(cmd.Context(), c, cmd, opFamilyApply, req, printApplied)
		},
	})
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would change, and change nothing")
	return cmd
}

// maxDeclared bounds a family's file, so that a request stays below maxRequest.
const maxDeclared = maxRequest / 2

func readDeclared(path string) (string, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", namedFile(fmt.Errorf("reading family: %w", err))
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDeclared+1))
	if err == nil && len(text) > maxDeclared {
		err = fmt.Errorf("%s is larger than %d kB; it cannot be one family", path, maxDeclared>>10)
	}
	if err != nil {
		return "", fmt.Errorf("reading family: %w", err)
	}
	return string(text), nil
}

func (c *cli) exportCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "export",
		Short: "Print the family as a file that \"apply\" reads",
		Example: `  kinward families export > family.yaml
  kinward families export --family Miller`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opFamilyExport, c.about, func(w io.Writer, r exportReply) { io.WriteString(w, r.YAML) })
		},
	})
}

func familyExport(ctx context.Context, n *node, who about, _ progress) (exportReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return exportReply{}, err
	}
	text, err := writeFamily(f)
	return exportReply{string(text)}, err
}

func familyApply(ctx context.Context, n *node, req applyRequest, _ progress) (applyReply, error) {
	r := applyReply{DryRun: req.DryRun, Differences: []string{}}
	d, err := readFamily(req.File, []byte(req.Text))
	if err != nil {
		return r, usageError(err)
	}
	if req.Family == "" {
		req.Family = d.Family
	}
	before, revision, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	if _, err := n.state(ctx); err != nil {
		return r, err
	}
	e := &edit{ctx: ctx, n: n, f: before, before: before, now: time.Now(), zone: zoneOf(before)}
	now := revision
	run := n.db.Together
	tried := ctx
	if req.DryRun {
		run, tried = n.db.DryRun, with(ctx, func(a *acting) { a.trying = true })
	}
	err = run(tried, func(t *store.Tx) (err error) {
		now, err = t.Change(store.Edit{Family: before.ID, Why: req.Why}, func(f *policy.Family) (string, error) {
			after, err := d.onto(f)
			if err != nil {
				return "", usageError(fmt.Errorf("reading family %s: %w", req.File, err))
			}
			r.Differences = append(r.Differences, differences(f, after)...)
			if len(r.Differences) == 0 {
				return "", policy.ErrSame
			}
			*f = *after
			e.f, e.zone = f, zoneOf(f)
			what := "applied a file: " + withoutTokens(strings.Join(r.Differences[:min(len(r.Differences), 3)], "; ")) + more(len(r.Differences)-3)
			return what, n.compiles(f)
		})
		if err != nil || !req.DryRun || now == revision {
			return err
		}
		newest, err := t.Changes(before.ID, 1)
		for _, c := range newest {
			r.Weakens = append(r.Weakens, c.Weakens...)
		}
		return err
	})
	if err != nil {
		return r, coded(err)
	}
	e.say = fmt.Sprintf("family %s is as %s says", e.f.Name, req.File)
	if !req.DryRun {
		r.changed, err = n.enforce(ctx, e, revision, now)
		return r, err
	}
	r.changed = changed{
		Done: "Nothing was changed: this was a dry run.", Family: e.f.Name, Revision: revision, Unchanged: true,
		InForce: "It is not in force.", Weakens: append([]policy.Weakening{}, r.Weakens...), Notes: append([]string{}, waits(ctx, before, r.Weakens)...),
	}
	return r, nil
}

// more says how many are left out.
func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("; and %d more", n)
}

func printApplied(w io.Writer, r applyReply) {
	for _, d := range r.Differences {
		fmt.Fprintln(w, d)
	}
	if len(r.Differences) == 0 {
		fmt.Fprintln(w, "The family is as the file says.")
		return
	}
	printChanged(w, r.changed)
}
