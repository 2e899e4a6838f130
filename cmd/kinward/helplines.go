package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kinward/journal/guidance"
)

type helpLinesRequest struct {
	Family  string `json:"family,omitempty"`
	Country string `json:"country,omitempty"`
}

type helpLinesReply struct {
	Country   string          `json:"country"` // "": not known
	Lines     []guidance.Line `json:"lines"`
	Countries []string        `json:"countries"` // that lines are known of
}

var (
	opHelpLines     = operation[helpLinesRequest, helpLinesReply]{"help-lines", helpLines}
	opFamilyCountry = changing("families-country", familyCountry)
)

func (c *cli) helpLinesCommand() *cobra.Command {
	req := helpLinesRequest{}
	cmd := c.addJSON(&cobra.Command{
		Use:   "help-lines [COUNTRY]",
		Short: "Show where to report something or get help, by country",
		Long: `Shows where to report something or get help in a country, or in the family's where none
is given, and everywhere. Each line says who says so and when; what nobody verified is
marked. Look-ups of help lines are never blocked and never recorded.`,
		Example: `  kinward help-lines
  kinward help-lines GB
  kinward families country GB`,
		Args: rangeArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Country = strings.ToUpper(strings.Join(args, ""))
			return do(cmd.Context(), c, cmd, opHelpLines, req, printHelpLines)
		},
	})
	cmd.Flags().StringVar(&req.Family, "family", "", "in the country of this family (default: the home's own)")
	return cmd
}

// countryCommand says where a family lives.
func (c *cli) countryCommand() *cobra.Command {
	return changeCommand(c, opFamilyCountry, &cobra.Command{
		Use: "country CODE|none", Short: "Say in which country the family lives, for its help lines",
		Example: `  kinward families country DE
  kinward families country none`,
		Args: exactArgs("a CODE of two letters, for example DE, or none"),
	}, func(args []string) familyRequest {
		if args[0] == "none" {
			return familyRequest{}
		}
		return familyRequest{Country: args[0]}
	})
}

func familyCountry(e *edit, r familyRequest) (string, error) {
	what, err := e.f.SetCountry(r.Country)
	if err != nil || e.f.Country == "" {
		return what, err
	}
	book, err := guidance.Embedded(guidanceLanguage(e.ctx))
	if err == nil && !slices.Contains(book.Countries(), e.f.Country) {
		e.note("Kinward knows no help line of %s; those for everywhere are shown: {kinward} help-lines", e.f.Country)
	}
	return what, err
}

func helpLines(ctx context.Context, n *node, req helpLinesRequest, _ progress) (helpLinesReply, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return helpLinesReply{}, err
	}
	book, err := guidance.Embedded(guidanceLanguage(ctx))
	if err != nil {
		return helpLinesReply{}, err
	}
	rep := helpLinesReply{Country: f.Country, Countries: book.Countries()}
	if req.Country != "" {
		rep.Country = req.Country
	}
	rep.Lines = book.Lines(rep.Country)
	return rep, nil
}

func printHelpLines(w io.Writer, r helpLinesReply) {
	if r.Country == "" {
		fmt.Fprintf(w, "Kinward does not know in which country you live: {kinward} families country DE (or %s)\n", strings.Join(r.Countries, ", "))
	}
	printLines(w, r.Country, r.Lines)
	fmt.Fprintln(w, "\nNumbers change. If one does not answer, look for it at the organisation itself.")
}

// printLines shows where to report or get help.
func printLines(w io.Writer, country string, lines []guidance.Line) {
	known := false
	for i, l := range lines {
		switch {
		case l.Country == guidance.Everywhere && (i == 0 || lines[i-1].Country != l.Country):
			fmt.Fprintln(w, "\nEverywhere")
		case i == 0:
			fmt.Fprintf(w, "\nWhere to report or get help in %s\n", l.Country)
		}
		known = known || l.Country == country
		fmt.Fprintf(w, "  %s: %s\n", l.Organisation, l.For)
		var how []string
		for _, s := range []string{l.Contact, l.Web, l.Hours} {
			if s != "" {
				how = append(how, s)
			}
		}
		mark := ""
		if !l.Verified {
			mark = "; not verified"
		}
		fmt.Fprintf(w, "      %s  (%s, %s%s)\n", strings.Join(how, ", "), l.Source, l.Date, mark)
	}
	if country != "" && !known && len(lines) > 0 && lines[0].Country == guidance.Everywhere {
		fmt.Fprintf(w, "\nNothing is known of %s.\n", country)
	}
}
