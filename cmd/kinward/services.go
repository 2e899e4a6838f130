package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
)

// serviceLine is a service as the list of them prints it.
type serviceLine struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Category     string `json:"category"`
	KnownRisk    bool   `json:"knownRisk"`
	Strength     string `json:"strength"` // "not verified" where no source says
	Closed       bool   `json:"closed"`
	Domains      int    `json:"domains"`
	CategoryName string `json:"categoryName"`
	About        string `json:"about"`  // what it is, in a sentence or two
	MinAge       *int   `json:"minAge"` // null: not verified
	// Where a profile was named: what it does about the service while no schedule
	// says otherwise, and whether that was chosen for the service itself.
	Choice string `json:"choice,omitempty"`
	Own    bool   `json:"own,omitempty"`
}

type servicesReply struct {
	Services []serviceLine `json:"services"`
}

type servicesRequest struct {
	about
	Category  string `json:"category"` // "": all
	KnownRisk bool   `json:"knownRisk"`
	Search    string `json:"search"` // in id, name and domains; "": all
	// For profiles-services: whose, and only those that it chose about itself.
	Profile string `json:"profile,omitempty"`
	Own     bool   `json:"own,omitempty"`
}

// serviceView is all that the catalogue says of a service.
type serviceView struct {
	ID             string              `json:"id"`
	Name           string              `json:"name"`
	Category       string              `json:"category"`
	CategoryName   string              `json:"categoryName"`
	About          string              `json:"about"`
	AboutSource    string              `json:"aboutSource,omitempty"`
	MinAge         *int                `json:"minAge"` // null: not verified
	MinAgeSource   string              `json:"minAgeSource,omitempty"`
	KnownRisk      string              `json:"knownRisk,omitempty"` // the evidence
	Strength       string              `json:"strength"`
	StrengthSource string              `json:"strengthSource,omitempty"`
	Closed         bool                `json:"closed"`
	Checked        string              `json:"checked"` // date of the evidence
	Note           string              `json:"note,omitempty"`
	Domains        []serviceDomainView `json:"domains"`
	Edition        blocklists.Edition  `json:"edition"`
}

type serviceDomainView struct {
	Name       string   `json:"name"`
	Match      string   `json:"match"`
	Group      string   `json:"group,omitempty"`
	Confidence string   `json:"confidence"`
	Sources    []string `json:"sources"`
	Note       string   `json:"note,omitempty"`
}

type serviceRequest struct {
	ID string `json:"id"`
}

var (
	opServices = operation[servicesRequest, servicesReply]{"services", services}
	// Apart from the catalogue's, since what a family chose is its own business.
	opProfileServices = operation[servicesRequest, servicesReply]{"profiles-services", profileServices}
	opService         = operation[serviceRequest, serviceView]{"service", service}
)

func (c *cli) servicesCommand() *cobra.Command {
	var req servicesRequest
	cmd := c.addJSON(&cobra.Command{
		Use:   "services [SEARCH]",
		Short: "Show the services of the catalogue",
		Long: `Shows the services that Kinward knows by name. SEARCH finds a part of an id, a name
or a domain. What no source says is "not verified".

Categories: ` + strings.Join(categoryIDs(), ", ") + `.`,
		Example: `  kinward lists services
  kinward lists services --category dating
  kinward lists services --known-risk
  kinward lists services omegle
  kinward lists services --profile Lea --own
  kinward lists services show omegle`,
		Args: rangeArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Search = ""
			if len(args) == 1 {
				req.Search = args[0]
			}
			op := opServices
			if req.Profile != "" || req.Own {
				op = opProfileServices
			}
			return do(cmd.Context(), c, cmd, op, req, printServices)
		},
	})
	cmd.Flags().StringVar(&req.Category, "category", "", "only services of this category")
	cmd.Flags().StringVar(&req.Profile, "profile", "", "also what this profile does about each")
	cmd.Flags().BoolVar(&req.Own, "own", false, "only those that the profile chose about itself")
	cmd.Flags().StringVar(&req.Family, "family", "", "the family of the profile (default: the home's own)")
	cmd.Flags().BoolVar(&req.KnownRisk, "known-risk", false, "only services that child-protection sources name")
	cmd.AddCommand(c.addJSON(&cobra.Command{
		Use:   "show ID",
		Short: "Show all that the catalogue says of a service, with the evidence",
		Example: `  kinward lists services show omegle
  kinward lists services show tiktok --json`,
		Args: exactArgs("the ID of a service; see: kinward lists services"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opService, serviceRequest{args[0]}, printService)
		},
	}))
	return cmd
}

// readCategory reads the ID of a category. Its error names the category that
// is shown under such a name, or else the nearest, and all of them.
func readCategory(c *blocklists.Catalogue, id string) (blocklists.Category, error) {
	found, err := blocklists.ParseCategory(id)
	if err == nil {
		return found, nil
	}
	for i := blocklists.AnonymousChat; i < blocklists.NumCategories && len(id) > 2; i++ {
		if name := c.Categories[i].Name; strings.Contains(strings.ToLower(name), strings.ToLower(id)) {
			return found, fmt.Errorf("no category is called %q; did you mean %q (%s)?", id, i, name)
		}
	}
	return found, fmt.Errorf("%w; there are: %s", err, strings.Join(categoryIDs(), ", "))
}

func services(_ context.Context, n *node, req servicesRequest, _ progress) (servicesReply, error) {
	return n.services(req, nil)
}

func profileServices(ctx context.Context, n *node, req servicesRequest, _ progress) (servicesReply, error) {
	if req.Profile == "" {
		return servicesReply{}, usageError(errors.New("--own: say whose choices, with --profile"))
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return servicesReply{}, err
	}
	p, err := f.Profile(req.Profile)
	if err != nil {
		return servicesReply{}, coded(err)
	}
	return n.services(req, p)
}

// services returns the services that are asked for, with what p does about each
// where p is not nil.
func (n *node) services(req servicesRequest, p *policy.Profile) (servicesReply, error) {
	category := blocklists.NoCategory
	if req.Category != "" {
		var err error
		if category, err = readCategory(n.catalogue.Load(), req.Category); err != nil {
			return servicesReply{}, unknownThing(err.Error())
		}
		if category == blocklists.KnownRiskCategory { // a mark, and asked for like a category
			category, req.KnownRisk = blocklists.NoCategory, true
		}
	}
	catalogue := n.catalogue.Load()
	rep := servicesReply{Services: []serviceLine{}}
	for i := range catalogue.Services {
		s := &catalogue.Services[i]
		if category != blocklists.NoCategory && s.Category != category || req.KnownRisk && s.KnownRisk == "" || !matches(s, req.Search) {
			continue
		}
		line := serviceLine{
			ID: s.ID, Name: s.Name, Category: s.Category.String(), KnownRisk: s.KnownRisk != "", Strength: s.Strength.String(),
			Closed: s.Closed, Domains: len(s.Domains), CategoryName: catalogue.Categories[s.Category].Name, About: catalogue.About(s),
		}
		if s.MinAge != 0 {
			line.MinAge = &s.MinAge
		}
		if p != nil {
			choice, own := p.ChoiceOfService(s, n.presets)
			if line.Choice, line.Own = choice.String(), own; req.Own && !own {
				continue
			}
		}
		rep.Services = append(rep.Services, line)
	}
	switch {
	case len(rep.Services) > 0, req.Own:
		return rep, nil
	case req.Search == "":
		return rep, &codedError{exitNothing, errors.New("the catalogue names no such service; lists you add may still hold names of that category")}
	}
	return rep, noSuchService(catalogue, req.Search)
}

func noSuchService(c *blocklists.Catalogue, id string) error {
	return &codedError{exitNothing, fmt.Errorf("the catalogue holds no service like %q%s; see: {kinward} lists services", id, didYouMean(c.NearService(id)))}
}

// matches reports whether a part of the service's id, name or domains is text.
func matches(s *blocklists.Service, text string) bool {
	text = strings.ToLower(text)
	if strings.Contains(s.ID, text) || strings.Contains(strings.ToLower(s.Name), text) {
		return true
	}
	for _, d := range s.Domains {
		if strings.Contains(d.Name.String(), text) {
			return true
		}
	}
	return false
}

func service(_ context.Context, n *node, req serviceRequest, _ progress) (serviceView, error) {
	c := n.catalogue.Load()
	s, ok := c.Service(req.ID)
	if !ok {
		return serviceView{}, noSuchService(c, req.ID)
	}
	v := serviceView{
		ID: s.ID, Name: s.Name, Category: s.Category.String(), CategoryName: c.Categories[s.Category].Name,
		About: c.About(s), AboutSource: s.AboutSource, MinAgeSource: s.MinAgeSource, KnownRisk: s.KnownRisk,
		Strength: s.Strength.String(), StrengthSource: s.StrengthSource, Closed: s.Closed,
		Checked: s.Checked, Note: s.Note, Edition: c.Edition,
	}
	if s.MinAge != 0 {
		v.MinAge = &s.MinAge
	}
	for _, d := range s.Domains {
		dv := serviceDomainView{
			Name: d.Name.String(), Match: d.Match.String(), Group: d.Group,
			Confidence: d.Confidence.String(), Sources: []string{}, Note: d.Note,
		}
		dv.Sources = append(dv.Sources, d.Sources...)
		v.Domains = append(v.Domains, dv)
	}
	return v, nil
}

func printServices(w io.Writer, r servicesReply) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	ofProfile := len(r.Services) > 0 && r.Services[0].Choice != ""
	fmt.Fprint(t, "ID\tNAME\tCATEGORY\tMARK\tBLOCKING\tSTATUS\tDOMAINS")
	if ofProfile {
		fmt.Fprint(t, "\tCHOICE")
	}
	fmt.Fprintln(t)
	for _, s := range r.Services {
		mark, status := "-", "-"
		if s.KnownRisk {
			mark = "known risk"
		}
		if s.Closed {
			status = "closed"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d", s.ID, s.Name, s.Category, mark, s.Strength, status, s.Domains)
		if ofProfile {
			fmt.Fprintf(t, "\t%s", s.Choice)
			if s.Own {
				fmt.Fprint(t, " (own)")
			}
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	if len(r.Services) == 0 {
		fmt.Fprintln(w, "The profile chose about no such service itself.")
	}
}

func printService(w io.Writer, s serviceView) {
	fmt.Fprintf(w, "%s (%s), %q\n%s\n\n", s.Name, s.ID, s.CategoryName, s.About)
	field := func(name, value, source string) {
		if source != "" {
			value += ", says " + source
		}
		if value != "" {
			fmt.Fprintf(w, "  %-12s %s\n", name, value)
		}
	}
	age := "not verified"
	if s.MinAge != nil {
		age = fmt.Sprint(*s.MinAge)
	}
	field("said by", s.AboutSource, "")
	field("minimum age", age, s.MinAgeSource)
	field("known risk", s.KnownRisk, "")
	field("blocking", s.Strength, s.StrengthSource)
	if s.Closed {
		field("status", "closed", "")
	}
	field("evidence of", s.Checked, "")
	field("note", s.Note, "")
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DOMAIN\tMATCH\tCONFIDENCE\tSOURCES")
	for _, d := range s.Domains {
		sources := "none"
		if len(d.Sources) > 0 {
			sources = strings.Join(d.Sources, ", ")
		}
		match := d.Match
		if d.Group != "" {
			match += " " + d.Group
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", d.Name, match, d.Confidence, sources)
	}
	t.Flush()
	for _, d := range s.Domains {
		if d.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", d.Name, d.Note)
		}
	}
}
