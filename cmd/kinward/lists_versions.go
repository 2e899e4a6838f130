package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

func (c *cli) listsAcceptCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "accept ID",
		Short: "Put the held version of a list in force",
		Long: `Puts the version of a list in force that is held, and says what that changed. The
version before is kept: kinward lists rollback goes back to it.`,
		Example: `  kinward lists accept blp-porn`,
		Args:    exactArgs("the ID of a list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opListsAccept, listsIDs{args}, printSwap)
		},
	})
}

func (c *cli) listsRollbackCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "rollback ID",
		Short: "Go back to the version of a list before this one",
		Long: `Puts the version of a list in force that was in force before, and says what that
changed. The version you leave is held, and updates do not bring it back; kinward lists
accept does. A newer version, when there is one, is taken as usual.`,
		Example: `  kinward lists rollback blp-porn`,
		Args:    exactArgs("the ID of a list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opListsRollback, listsIDs{args}, printSwap)
		},
	})
}

func printSwap(w io.Writer, r swapReply) {
	text := changesText(r.Changes)
	if text == "" {
		text = "; no name changed"
	}
	fmt.Fprintf(w, "%s: the version of %s is in force, with %s%s. %s\n",
		r.List.ID, r.List.Fetched.Local().Format("2 Jan 15:04"), plural(r.List.Entries, "name"), text, lag)
	printListTrouble(w, r.List)
}

// directoryReply is what "lists directory" prints.
type directoryReply struct {
	Lists []blocklists.Offer `json:"lists"`
}

func (c *cli) listsDirectoryCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "directory [CATEGORY]",
		Short: "Show lists worth adding",
		Long: `Shows the lists from elsewhere that are worth adding, and what is good and bad about
each. Those marked with * are a good choice to begin with. None is added by itself;
lists that block what their name does not say are left out.`,
		Example: `  kinward lists directory
  kinward lists directory dating
  kinward lists add sw-dating`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("")(cmd, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			rep := directoryReply{Lists: []blocklists.Offer{}}
			all, err := blocklists.Directory()
			if err != nil {
				return err
			}
			only := blocklists.NoCategory
			if len(args) == 1 {
				if only, err = blocklists.ParseCategory(args[0]); err != nil {
					return unknownThing(err.Error())
				}
			}
			for _, o := range all {
				if only == blocklists.NoCategory || o.Category == only {
					rep.Lists = append(rep.Lists, o)
				}
			}
			return c.print(rep, func(w io.Writer) { printDirectory(w, rep) })
		},
	})
}

func printDirectory(w io.Writer, r directoryReply) {
	if len(r.Lists) == 0 {
		fmt.Fprintln(w, "No list of this category is worth adding; the catalogue has names of its own.")
		return
	}
	byCategory := map[blocklists.Category][]blocklists.Offer{}
	for _, o := range r.Lists {
		byCategory[o.Category] = append(byCategory[o.Category], o)
	}
	for cat := blocklists.AnonymousChat; cat < blocklists.NumCategories; cat++ {
		offers := byCategory[cat]
		if len(offers) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s\n", cat)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, o := range offers {
			mark := " "
			if o.First {
				mark = "*"
			}
			fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\n", mark, o.ID, o.Size, o.Cadence, o.Licence)
		}
		t.Flush()
		for _, o := range offers {
			fmt.Fprintf(w, "    %s: %s\n", o.ID, o.Verdict)
		}
	}
	var first []string
	for _, o := range r.Lists {
		if o.First {
			first = append(first, o.ID)
		}
	}
	fmt.Fprintf(w, "\nSizes are names when they were measured; (doc) is what the makers say.\nTo add one: {kinward} lists add ID\n")
	if len(first) > 0 {
		fmt.Fprintf(w, "To begin with (*): %s\n", strings.Join(first, ", "))
	}
}
