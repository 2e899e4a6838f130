package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

// listView is a list as commands print it.
type listView struct {
	ID       string             `json:"id"`
	Name     string             `json:"name"`
	Location string             `json:"location,omitempty"` // without credentials; "" for the catalogue
	Category string             `json:"category,omitempty"`
	Format   string             `json:"format,omitempty"`
	Entries  int                `json:"entries"` // in force now
	Fetched  time.Time          `json:"fetched,omitzero"`
	Checked  time.Time          `json:"checked,omitzero"`
	SHA256   string             `json:"sha256,omitempty"`
	Report   *blocklists.Report `json:"report,omitempty"`
	Problem  string             `json:"problem,omitempty"`
}

type listsReply struct {
	Lists []listView `json:"lists"`
}

type listsAddRequest struct {
	Location string `json:"location"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Category string `json:"category"`
	Format   string `json:"format"`
	Match    string `json:"match"`
}

type listsIDs struct {
	IDs []string `json:"ids"` // none: all
}

var (
	opLists       = operation[struct{}, listsReply]{"lists", listsShow}
	opListsAdd    = operation[listsAddRequest, listsReply]{"lists-add", listsAdd}
	opListsUpdate = operation[listsIDs, listsReply]{"lists-update", listsUpdate}
	opListsRemove = operation[listsIDs, done]{"lists-remove", listsRemove}
)

func (c *cli) listsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "Show the lists in force",
		Long: `Kinward comes with its own catalogue. Lists from elsewhere can be added: hosts
files, plain lists of domains, and adblock-style lists made for DNS, from a URL or a
file. Every list has a category, which profiles choose about.`,
		Example: `  kinward lists
  kinward lists add https://example.org/dating.txt --category dating
  kinward lists add /srv/lists/our-school.txt --category games-chat --name "Our school's list"
  kinward lists update
  kinward lists remove dating
  kinward lists services --category dating
  kinward lists catalogue`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opLists, struct{}{}, printLists)
		},
	}
	c.addJSON(cmd)

	var req listsAddRequest
	add := c.addJSON(&cobra.Command{
		Use:   "add URL|FILE --category CATEGORY",
		Short: "Fetch a list, check it, and put it in force",
		Long: `Fetches a list, checks it and puts it in force. What is not understood is skipped
and counted; a list that is a web page, empty, cut short, or blocks a whole top-level
domain is refused.

Categories: ` + strings.Join(categoryIDs(), ", ") + `.`,
		Example: `  kinward lists add https://example.org/dating.txt --category dating
  kinward lists add /srv/lists/hosts --category adult --format hosts --match suffix`,
		Args: exactArgs("a URL or a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Location = args[0]
			if !strings.Contains(args[0], "://") { // the owner of the data folder may run elsewhere
				abs, err := filepath.Abs(args[0])
				if err != nil {
					return err
				}
				req.Location = abs
			}
			if req.Category == "" {
				return usageError(errors.New("say what the list is about, with --category; see: kinward lists add --help"))
			}
			return do(cmd.Context(), c, cmd, opListsAdd, req, printListReports)
		},
	})
	add.Flags().StringVar(&req.Category, "category", "", "what the list is about (required)")
	add.Flags().StringVar(&req.ID, "id", "", "short name for commands (default: from the file's name)")
	add.Flags().StringVar(&req.Name, "name", "", "name for people (default: the short name)")
	add.Flags().StringVar(&req.Format, "format", "auto", "auto, hosts, domains or adblock")
	add.Flags().StringVar(&req.Match, "match", "auto", "what a line covers: exact (the name alone), suffix (and all below), or auto")

	update := c.addJSON(&cobra.Command{
		Use:   "update [ID…]",
		Short: "Fetch lists again; one that fails keeps its last good copy",
		Example: `  kinward lists update
  kinward lists update dating`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.listsUpdate(cmd, args)
		},
	})

	remove := c.addJSON(&cobra.Command{
		Use:     "remove ID",
		Short:   "Take a list out of force and delete its copy",
		Example: `  kinward lists remove dating`,
		Args:    exactArgs("the ID of a list; see: kinward lists"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opListsRemove, listsIDs{args}, printDone)
		},
	})
	cmd.AddCommand(add, update, remove, c.listsVerifyCommand(), c.servicesCommand(), c.catalogueCommand())
	return cmd
}

// listsUpdate fails if any list kept its last good copy, after showing all.
func (c *cli) listsUpdate(cmd *cobra.Command, ids []string) error {
	failed := false
	err := do(cmd.Context(), c, cmd, opListsUpdate, listsIDs{ids}, func(w io.Writer, r listsReply) {
		printListReports(w, r)
		for _, l := range r.Lists {
			failed = failed || l.Problem != ""
		}
	})
	if err == nil && failed {
		return &codedError{exitFailed, nil}
	}
	return err
}

func categoryIDs() (ids []string) {
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		if c != blocklists.KnownRiskCategory { // a mark of services, not a subject
			ids = append(ids, c.String())
		}
	}
	return ids
}

// listViews returns the catalogue and every list, with what the index x took
// from each.
func (n *node) listViews(x *blocklists.Index) []listView {
	taken := map[string]int{}
	for _, l := range x.Lists() {
		taken[l.ID] = l.Entries
	}
	first := x.List(0)
	views := []listView{{ID: first.ID, Name: first.Name, Entries: first.Entries, Problem: n.catalogueProblem()}}
	broken := map[string]string{}
	if b := n.broken.Load(); b != nil {
		broken = *b
	}
	for _, l := range n.lists.Lists() {
		v := listView{
			ID: l.ID, Name: l.Name, Location: maskURL(l.Location), Category: l.Category.String(), Format: l.Report.Format.String(),
			Entries: taken[l.ID], Fetched: l.FetchedAt, Checked: l.CheckedAt, SHA256: l.SHA256, Report: &l.Report, Problem: l.Problem,
		}
		if why := broken[l.ID]; why != "" {
			v.Problem = why
		}
		views = append(views, v)
	}
	return views
}

func listsShow(ctx context.Context, n *node, _ struct{}, _ progress) (listsReply, error) {
	s, err := n.state(ctx)
	if err != nil {
		return listsReply{}, err
	}
	return listsReply{n.listViews(s.Index)}, nil
}

// fetchProgress turns the bytes of a download into a line a second at most.
func fetchProgress(p progress) blocklists.Progress {
	var last time.Time
	return func(id string, got, total int64) {
		if p == nil || time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		text := fmt.Sprintf("fetching %s: %.1f MB", id, float64(got)/1e6)
		if total > 0 {
			text += fmt.Sprintf(" of %.1f MB", float64(total)/1e6)
		}
		p(text)
	}
}

func listsAdd(ctx context.Context, n *node, req listsAddRequest, p progress) (listsReply, error) {
	src := blocklists.ListSource{ID: req.ID, Name: req.Name, Location: req.Location}
	var err error
	if src.Category, err = blocklists.ParseCategory(req.Category); err != nil {
		return listsReply{}, usageError(err)
	}
	if src.Category == blocklists.KnownRiskCategory {
		return listsReply{}, usageError(fmt.Errorf("known-risk marks services of the catalogue; a list needs a subject, one of: %s", strings.Join(categoryIDs(), ", ")))
	}
	if src.Format, err = blocklists.ParseFormat(req.Format); err != nil {
		return listsReply{}, usageError(err)
	}
	if src.Match, err = blocklists.ParseMatchMode(req.Match); err != nil {
		return listsReply{}, usageError(err)
	}
	added, err := n.lists.Add(ctx, src, fetchProgress(p))
	if err != nil {
		return listsReply{}, err
	}
	return n.listsInForce(ctx, p, added.ID)
}

// listsInForce compiles the lists as they are now and returns the named ones.
func (n *node) listsInForce(ctx context.Context, p progress, ids ...string) (listsReply, error) {
	if p != nil {
		p("compiling")
	}
	if err := n.recompile(ctx); err != nil {
		return listsReply{}, err
	}
	rep := listsReply{Lists: []listView{}}
	for _, v := range n.listViews(n.current.Load().Index) {
		for _, id := range ids {
			if v.ID == id {
				rep.Lists = append(rep.Lists, v)
			}
		}
	}
	return rep, nil
}

func listsUpdate(ctx context.Context, n *node, req listsIDs, p progress) (listsReply, error) {
	if len(req.IDs) == 0 {
		req.IDs = nil // all of them
	}
	updated, err := n.lists.Update(ctx, req.IDs, fetchProgress(p))
	if err := noSuchList(err); err != nil {
		return listsReply{}, err
	}
	var ids []string
	for _, l := range updated {
		ids = append(ids, l.ID)
		if l.Problem != "" {
			n.log.Warn("keeping the last good copy of a list", "list", l.ID, "problem", l.Problem)
		}
	}
	return n.listsInForce(ctx, p, ids...)
}

func noSuchList(err error) error {
	if errors.Is(err, blocklists.ErrNoSuchList) {
		return &codedError{exitNothing, err}
	}
	return err
}

func listsRemove(ctx context.Context, n *node, req listsIDs, p progress) (done, error) {
	if len(req.IDs) != 1 {
		return done{}, usageError(errors.New("name one list"))
	}
	id := req.IDs[0]
	if id == blocklists.CatalogueID {
		return done{}, usageError(errors.New("the catalogue is part of Kinward and cannot be removed; a profile may choose otherwise about its categories and services"))
	}
	if err := noSuchList(n.lists.Remove(id)); err != nil {
		return done{}, err
	}
	if _, err := n.listsInForce(ctx, p); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("List %s is out of force, and its copy is deleted. %s", id, lag)}, nil
}

func printLists(w io.Writer, r listsReply) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LIST\tCATEGORY\tENTRIES\tCHECKED\tFROM")
	for _, l := range r.Lists {
		checked, from, category := "with the program", "Kinward", "all"
		if l.Category != "" {
			checked, from, category = "never", l.Location, l.Category
		}
		if !l.Checked.IsZero() {
			checked = l.Checked.Local().Format("2 Jan 15:04")
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", l.ID, category, l.Entries, checked, from)
	}
	t.Flush()
	for _, l := range r.Lists {
		if l.Problem != "" {
			fmt.Fprintf(w, "\n%s: %s\n", l.ID, l.Problem)
		}
	}
}

func printListReports(w io.Writer, r listsReply) {
	if len(r.Lists) == 0 {
		fmt.Fprintln(w, "There are no lists to update; the catalogue comes with the program. Add one with: kinward lists add URL --category CATEGORY")
	}
	for _, l := range r.Lists {
		if l.Problem != "" {
			fmt.Fprintf(w, "%s: the last good copy stays in force (%d entries): %s\n", l.ID, l.Entries, l.Problem)
			continue
		}
		fmt.Fprintf(w, "%s (%s, category %s): %s\n", l.ID, l.Format, l.Category, l.Report)
	}
}
