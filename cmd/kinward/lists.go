package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

func (c *cli) listsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lists",
		Short: "Show the lists in force",
		Long: `Kinward comes with its own catalogue. Lists from elsewhere can be added: those of
the directory by their ID, and any others from a URL or a file: hosts files, plain
lists of domains, and adblock-style lists made for DNS. Every list has a category,
which profiles choose about. No list is added by itself.

While serve runs, lists are looked for again by themselves (the setting lists: refresh).
A new version that lost most of its names, or has many times as many, is held: the last
good one stays in force until you accept the new one, or for good.`,
		Example: `  kinward lists
  kinward lists directory
  kinward lists add sw-dating
  kinward lists add https://example.org/dating.txt --category dating
  kinward lists update
  kinward lists accept dating
  kinward lists rollback dating
  kinward lists remove dating
  kinward lists services --category dating
  kinward lists catalogue`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opLists, struct{}{}, printLists)
		},
	}
	c.addJSON(cmd)

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
	cmd.AddCommand(
		c.listsDirectoryCommand(), c.listsAddCommand(), update, c.listsAcceptCommand(), c.listsRollbackCommand(), remove,
		c.listsVerifyCommand(), c.servicesCommand(), c.catalogueCommand(),
	)
	return cmd
}

func (c *cli) listsAddCommand() *cobra.Command {
	var req listsAddRequest
	add := c.addJSON(&cobra.Command{
		Use:   "add ID|URL|FILE",
		Short: "Fetch a list, check it, and put it in force",
		Long: `Fetches a list, checks it and puts it in force. Lists of the directory are added by
their ID, and need nothing else (see: kinward lists directory); any other needs its
category. A file whose name is also such an ID is written ./ID.

What is not understood is skipped and counted; a list that is a web page, empty, cut
short, or blocks a whole top-level domain is refused. Compressed lists (gzip) and
archives (tar) are unpacked.

A list of the category own does nothing until a profile chooses it.

Categories: ` + strings.Join(categoryIDs(), ", ") + `.`,
		Example: `  kinward lists add sw-dating
  kinward lists add https://example.org/dating.txt --category dating
  kinward lists add https://example.org/dating.txt --category dating --mirror https://example.net/dating.txt
  kinward lists add https://example.org/all.tar.gz --member gambling --category gambling
  kinward lists add /srv/lists/hosts --category adult --format hosts --match suffix
  kinward lists add ours.txt --category own`,
		Args: exactArgs("the ID of a list of the directory, a URL or a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := req.place(args[0]); err != nil {
				return err
			}
			return do(cmd.Context(), c, cmd, opListsAdd, req, printListAdded)
		},
	})
	f := add.Flags()
	f.StringVar(&req.Category, "category", "", "what the list is about (required, but for lists of the directory)")
	f.StringVar(&req.ID, "id", "", "short name for commands (default: from the file's name)")
	f.StringVar(&req.Name, "name", "", "name for people (default: the short name)")
	f.StringArrayVar(&req.Mirrors, "mirror", nil, "another place of the same list, tried if the first fails; repeatable")
	f.StringVar(&req.Member, "member", "", "in a tar archive: the file wanted, or the folder whose file \"domains\" it is")
	f.StringVar(&req.Format, "format", "", wordList(blocklists.FormatKeys())+" (default auto)")
	f.BoolVar(&req.Patterns, "patterns", false, "also take wildcards inside names and regular expressions; for lists you trust with it")
	f.StringVar(&req.Match, "match", "", "what a line covers: exact (the name alone), suffix (and all below), or auto (default auto)")
	return add
}

// place says where the list of a request is: what the directory says, if arg is
// one of its IDs, but for what the flags say otherwise.
func (req *listsAddRequest) place(arg string) error {
	if offer, err := blocklists.FindOffer(arg); err == nil {
		req.Location = offer.Location
		req.Mirrors = append(slices.Clone(offer.Mirrors), req.Mirrors...)
		for _, field := range []struct {
			flag *string
			says string
		}{
			{&req.ID, offer.ID},
			{&req.Name, offer.Name},
			{&req.Category, offer.Category.String()},
			{&req.Member, offer.Member},
			{&req.Format, offer.Format.String()},
			{&req.Match, offer.Match.String()},
		} {
			if *field.flag == "" {
				*field.flag = field.says
			}
		}
		return nil
	} else if req.Category == "" && !strings.ContainsAny(arg, `/\.`) { // no URL, and hardly a file
		return &codedError{exitNothing, fmt.Errorf("%w; see: {kinward} lists directory", err)}
	}
	var err error
	if req.Location, err = fullLocation(arg); err != nil {
		return err
	}
	for i, m := range req.Mirrors {
		if req.Mirrors[i], err = fullLocation(m); err != nil {
			return err
		}
	}
	if req.Category == "" {
		return usageError(errors.New("say what the list is about, with --category; see: {kinward} lists add --help"))
	}
	return nil
}

// fullLocation makes a file's path absolute, since the owner of the data folder
// may run elsewhere.
func fullLocation(arg string) (string, error) {
	if strings.Contains(arg, "://") {
		return arg, nil
	}
	return filepath.Abs(arg)
}

// listsUpdate fails if any list kept its last good copy, after showing all.
func (c *cli) listsUpdate(cmd *cobra.Command, ids []string) error {
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	p, done := c.progress()
	r, err := opListsUpdate.call(cmd.Context(), cfg, listsIDs{ids}, p)
	done()
	if err != nil {
		return c.calledError(err)
	}
	if err := c.print(r, func(w io.Writer) { printListReports(w, r) }); err != nil {
		return err
	}
	for _, l := range r.Lists {
		if l.Problem != "" || l.Held != nil && !l.Held.RolledBack {
			return &codedError{exitFailed, nil}
		}
	}
	return nil
}

func categoryIDs() (ids []string) {
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		if c != blocklists.KnownRiskCategory { // a mark of services, not a subject
			ids = append(ids, c.String())
		}
	}
	return ids
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
	fmt.Fprintln(w, "\nAn entry is what a list says of one name; two can be of the same. Those of the catalogue are")
	fmt.Fprintln(w, "the domains of its services, names that have to stay open, and others that it knows.")
	for _, l := range r.Lists {
		printListTrouble(w, l)
	}
	if len(r.Lists) == 1 {
		fmt.Fprintln(w, "\nOther lists can be added: {kinward} lists directory")
	}
}

// printListTrouble says what a person should know or decide about a list.
func printListTrouble(w io.Writer, l listView) {
	if l.Problem != "" {
		fmt.Fprintf(w, "\n%s: %s\n", l.ID, l.Problem)
	}
	if h := l.Held; h != nil {
		what := "A new version is held"
		if h.RolledBack {
			what = "The version that you rolled back from is kept"
		}
		fmt.Fprintf(w, "\n%s: %s, of %s, with %s%s.\n  Put it in force:  {kinward} lists accept %s\n",
			l.ID, what, h.FetchedAt.Local().Format("2 Jan 15:04"), plural(h.Entries, "name"), changesText(h.Changes), l.ID)
		if !h.RolledBack {
			fmt.Fprintf(w, "  Or leave it: the version in force stays, and later ones are looked at anew.\n")
		}
	}
}

// changesText tells changes in a few words, to go on a sentence.
func changesText(ch blocklists.Changes) string {
	if ch.Added == 0 && ch.Removed == 0 {
		return ""
	}
	part := func(n int, names []string) string {
		text := fmt.Sprint(n)
		if len(names) == 0 {
			return text
		}
		text += " (" + strings.Join(names, ", ")
		if n > len(names) {
			text += " …"
		}
		return text + ")"
	}
	return fmt.Sprintf("; added: %s, removed: %s", part(ch.Added, ch.AddedNames), part(ch.Removed, ch.RemovedNames))
}

func printListAdded(w io.Writer, r listsReply) {
	printListReports(w, r)
	for _, l := range r.Lists {
		if l.Category == blocklists.OwnLists.String() {
			fmt.Fprintf(w, "It does nothing until a profile chooses it: {kinward} profiles list PROFILE %s block\n", l.ID)
		}
	}
}

func printListReports(w io.Writer, r listsReply) {
	if len(r.Lists) == 0 {
		fmt.Fprintln(w, "There are no lists to update; the catalogue comes with the program. Add one with: {kinward} lists add URL --category CATEGORY")
	}
	for _, l := range r.Lists {
		if l.Problem != "" {
			fmt.Fprintf(w, "%s: the last good copy stays in force (%d entries): %s\n", l.ID, l.Entries, l.Problem)
			if l.Held != nil {
				printListTrouble(w, listView{ID: l.ID, Held: l.Held})
			}
			continue
		}
		outcome := ""
		if l.Outcome != "" && l.Outcome != blocklists.Taken.String() {
			outcome = l.Outcome + "; "
		}
		fmt.Fprintf(w, "%s (%s, category %s): %s%s\n", l.ID, l.Format, l.Category, outcome, l.Report)
	}
}
