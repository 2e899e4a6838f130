package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

// listVerdict is what lists verify found.
type listVerdict struct {
	File   string            `json:"file"`
	OK     bool              `json:"ok"`
	Error  string            `json:"error,omitempty"` // why the list would be refused
	Report blocklists.Report `json:"report"`
}

type verifyFlags struct {
	format, match string
	patterns      bool
}

func (c *cli) listsVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Read a list and say what would be taken of it, and why not the rest",
		Long: `Reads a list from a file, or from standard input, as "lists add" would, and shows
its format, how many names would be taken, and of what is skipped, why, with examples.
Nothing is added, and no data folder is needed. It fails if the list would be refused.

What Kinward's catalogue keeps reachable counts as skipped, as for a list in force.
Compressed files (gzip) are read too.`,
		Example: `  kinward lists verify /srv/lists/our-school.txt
  kinward lists verify zone.txt --format rpz --json
  kinward lists verify - --patterns`,
		Args: exactArgs("a FILE, or - for standard input"),
		RunE: func(_ *cobra.Command, args []string) error { return c.verifyList(args[0], f) },
	}
	cmd.Flags().StringVar(&f.format, "format", "auto", wordList(blocklists.FormatKeys()))
	cmd.Flags().StringVar(&f.match, "match", "auto", "what a line covers: exact (the name alone), suffix (and all below), or auto")
	cmd.Flags().BoolVar(&f.patterns, "patterns", false, "take wildcards inside names and regular expressions")
	return c.addJSON(cmd)
}

// wordList writes "a, b or c".
func wordList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func (c *cli) verifyList(file string, f verifyFlags) error {
	o := blocklists.ParseOptions{Patterns: f.patterns}
	var err error
	if o.Format, err = blocklists.ParseFormat(f.format); err != nil {
		return usageError(err)
	}
	if o.Match, err = blocklists.ParseMatchMode(f.match); err != nil {
		return usageError(err)
	}
	catalogue, err := blocklists.Embedded()
	if err != nil {
		return err
	}
	o.Guard = catalogue.Guard
	in := os.Stdin
	if file != "-" {
		if in, err = os.Open(file); err != nil {
			return namedFile(fmt.Errorf("opening the list: %w", err))
		}
		defer in.Close()
	}
	text, err := unzip(in)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	v := listVerdict{File: file, OK: true}
	v.Report, err = blocklists.Parse(text, o, func(blocklists.Entry) error { return nil })
	if err != nil {
		v.OK, v.Error = false, err.Error()
	}
	if err := c.print(v, func(w io.Writer) { printVerdict(w, v) }); err != nil {
		return err
	}
	if !v.OK {
		return &codedError{exitFailed, nil}
	}
	return nil
}

// unzip undoes gzip where the text begins with its mark.
func unzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(head) != "\x1f\x8b" {
		return b, nil
	}
	return gzip.NewReader(b)
}

func printVerdict(w io.Writer, v listVerdict) {
	if v.OK {
		fmt.Fprintf(w, "%s can be added.\n\n", v.File)
	} else {
		fmt.Fprintf(w, "%s would be refused: %s\n\n", v.File, v.Error)
	}
	r := v.Report
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  format\t%s\n  lines\t%d\n  taken\t%d\n", r.Format, r.Lines, r.Taken)
	for _, row := range []struct {
		name string
		n    int
	}{{"taken back", r.TakenBack}, {"patterns among these", r.Patterns}, {"more than once", r.Duplicates}, {"skipped", r.NumSkipped()}} {
		if row.n > 0 {
			fmt.Fprintf(t, "  %s\t%d\n", row.name, row.n)
		}
	}
	t.Flush()
	if len(r.Skipped) == 0 {
		return
	}
	fmt.Fprintf(w, "\nSkipped, and why:\n")
	whys := make([]blocklists.SkipReason, 0, len(r.Skipped))
	for why := range r.Skipped {
		whys = append(whys, why)
	}
	slices.SortFunc(whys, func(a, b blocklists.SkipReason) int {
		if d := r.Skipped[b] - r.Skipped[a]; d != 0 {
			return d
		}
		return int(a) - int(b)
	})
	for _, why := range whys {
		guard := ""
		switch why {
		case blocklists.SkipPublicSuffix, blocklists.SkipSharedHost, blocklists.SkipReachable:
			guard = " (a guard against blocking too much)"
		}
		fmt.Fprintf(w, "  %d  %s%s\n", r.Skipped[why], why, guard)
		for _, s := range r.Examples {
			if s.Reason == why {
				fmt.Fprintf(w, "       line %d: %s\n", s.Line, s.Text)
			}
		}
	}
}
