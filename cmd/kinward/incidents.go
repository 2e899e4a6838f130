package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// incidentsQuery says which incidents a command is about, and who asks.
type incidentsQuery struct {
	Family     string `json:"family,omitempty"`
	Since      string `json:"since,omitempty"`
	Until      string `json:"until,omitempty"`
	Device     string `json:"device,omitempty"`
	Profile    string `json:"profile,omitempty"`
	Category   string `json:"category,omitempty"`
	Service    string `json:"service,omitempty"`
	Verdict    string `json:"verdict,omitempty"`
	Routine    bool   `json:"routine,omitempty"`
	Unreviewed bool   `json:"unreviewed,omitempty"` // not reviewed nor muted by whoever asks
	ID         string `json:"id,omitempty"`         // only the incident whose ID begins so, whenever it was
	asking
}

type incidentsRequest struct {
	incidentsQuery
	Limit int    `json:"limit"`
	After string `json:"after,omitempty"` // the next of an earlier reply: what comes after that
	// Look bounds how many stored incidents are looked at; 0 is all.
	Look int `json:"look,omitempty"`
}

// incidentView is an incident with the words for it.
type incidentView struct {
	journal.Incident
	ProfileName  string           `json:"profile_name"`
	DeviceName   string           `json:"device_name"`
	ServiceName  string           `json:"service_name,omitempty"`
	CategoryName string           `json:"category_name,omitempty"`
	Why          string           `json:"why"`
	Sentence     string           `json:"sentence"`
	Reviews      []journal.Review `json:"reviews"`
	Muted        *mutedView       `json:"muted,omitempty"` // by whoever asks
}

// mutedView says until when something is muted.
type mutedView struct {
	Until *time.Time `json:"until,omitempty"` // nil: for good
}

type incidentsReply struct {
	Zone      string         `json:"zone"`
	Since     time.Time      `json:"since"`
	Incidents []incidentView `json:"incidents"`         // newest first
	Counted   []countView    `json:"counted"`           // what is only counted
	Lost      []journal.Loss `json:"lost"`              // when attempts of whatever family could not be kept
	More      bool           `json:"more"`              // there may be older ones: the limit cut the list, or the look did
	Next      string         `json:"next,omitempty"`    // where more is set: for the request's after
	Waiting   string         `json:"waiting,omitempty"` // why the newest attempts are not among them yet
}

// countView is a day's count with the words for it.
type countView struct {
	journal.Count
	ProfileName  string `json:"profile_name"`
	CategoryName string `json:"category_name"`
}

var opIncidents = operation[incidentsRequest, incidentsReply]{"incidents", incidents}

const maxIncidents = journal.MaxLimit - 1 // in one reply; one more tells whether there are more

func (c *cli) incidentsCommand() *cobra.Command {
	var req incidentsRequest
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "Tell what was attempted",
		Long: `Tells what was attempted, the newest first: when, from which device, at which
service, how often, and what Kinward did. Retries and the several questions of one
attempt are one. A look-up is not a visit: pages and apps ask for names by
themselves, and a device may have been in other hands. What browsers and systems
ask for by themselves and could lead past the filter is left out without --routine.`,
		Example: `  kinward incidents
  kinward incidents --since 2h
  kinward incidents --unreviewed --category dating
  kinward incidents --since "2026-11-23 18:00" --device Tablet --json
  kinward incidents show 0199aa9c7f01
  kinward incidents export --format bundle --out incidents.zip`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.incidentsQuery = c.query
			return do(cmd.Context(), c, cmd, opIncidents, req, printIncidents)
		},
	}
	c.queryFlags(cmd)
	cmd.Flags().IntVar(&req.Limit, "limit", 100, "at most so many")
	cmd.Flags().StringVar(&req.After, "after", "", "go on where an earlier list ended: its next, with --json")
	cmd.AddCommand(c.incidentShowCommand(), c.incidentReviewCommand(), c.incidentUnreviewCommand(), c.incidentMuteCommand(), c.incidentMutesCommand(),
		c.incidentViewsCommand(), c.incidentFollowCommand(), c.incidentExportCommand())
	return c.addJSON(cmd)
}

// queryFlags gives a command the flags that say which incidents it is about.
func (c *cli) queryFlags(cmd *cobra.Command) {
	q := &c.query
	f := cmd.Flags()
	f.StringVar(&q.Family, "family", "", "of this family (default: the home's own)")
	f.StringVar(&q.Since, "since", "7d", "how far back: a span (2h, 7d) or a time of the family's clock")
	f.StringVar(&q.Until, "until", "", "only what began before: a span back, or a time")
	f.StringVar(&q.Device, "device", "", "only this device: its name, or the address of one without a name")
	f.StringVar(&q.Profile, "profile", "", "only this profile")
	f.StringVar(&q.Category, "category", "", "only this category")
	f.StringVar(&q.Service, "service", "", "only this service, or this domain where it belongs to none")
	f.StringVar(&q.Verdict, "verdict", "", "only what was: block, watch or rewrite")
	f.BoolVar(&q.Routine, "routine", false, "also what browsers and systems ask for by themselves")
	f.BoolVar(&q.Unreviewed, "unreviewed", false, "only what you have neither reviewed nor muted")
	c.askingFlags(cmd)
}

func incidents(ctx context.Context, n *node, req incidentsRequest, _ progress) (incidentsReply, error) {
	if req.Limit < 1 || req.Limit > maxIncidents {
		return incidentsReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and %d", req.Limit, maxIncidents))
	}
	r, err := n.read(ctx, req.incidentsQuery)
	if err != nil {
		return incidentsReply{}, err
	}
	after, err := journal.ParseCursor(req.After)
	if err != nil {
		return incidentsReply{}, usageError(fmt.Errorf("--after: %w", err))
	}
	r.filter.After = after
	for i := range r.filters {
		r.filters[i].After, r.filters[i].Look = after, max(req.Look, 0)
	}
	rep := incidentsReply{Zone: r.zone.String(), Since: r.filter.Since.In(r.zone), Incidents: []incidentView{}, Waiting: r.waiting}
	found, next, err := r.incidents(ctx, req.Limit)
	if err != nil {
		return incidentsReply{}, err
	}
	rep.More, rep.Next = next != (journal.Cursor{}), next.String()
	if rep.Lost, err = n.db.Losses(ctx, r.filter.Since); err != nil {
		return incidentsReply{}, err
	}
	for _, i := range found {
		rep.Incidents = append(rep.Incidents, r.view(i))
	}
	if rep.Counted, err = r.counts(ctx); err != nil {
		return incidentsReply{}, err
	}
	return rep, r.viewed(ctx, "list", len(found)+len(rep.Counted))
}

func viewIncident(i journal.Incident, names journal.Names, zone *time.Location) incidentView {
	i.First, i.Last = i.First.In(zone), i.Last.In(zone)
	v := incidentView{
		Incident: i, ProfileName: names.Profile(i.Profile), DeviceName: names.Device(i.Device),
		Why: why(i), Sentence: journal.Sentence(i, names, zone), Reviews: []journal.Review{},
	}
	if v.DeviceName == "" && i.Client != "" {
		v.DeviceName = names.DeviceAt(i.Client)
	}
	if i.Service != "" {
		v.ServiceName = names.Service(i.Service)
	}
	if i.Category != "" {
		v.CategoryName = names.Category(i.Category)
	}
	return v
}

// why says in a few words what settled an incident's verdict.
func why(i journal.Incident) string {
	switch i.Reason {
	case policy.ByRule.String():
		return fmt.Sprintf("the family's own rule %d for %s", i.Rule, i.Entry)
	case policy.ByKnownRisk.String():
		return fmt.Sprintf("marked as an app with a record of harm; entry %s of list %s", i.Entry, i.List)
	case policy.ByService.String():
		return fmt.Sprintf("the profile's choice about the service; entry %s of list %s", i.Entry, i.List)
	case policy.ByList.String():
		return fmt.Sprintf("the profile's choice about the list; entry %s of list %s", i.Entry, i.List)
	case policy.ByPause.String():
		return "everything was paused"
	case policy.BySchedule.String():
		return fmt.Sprintf("schedule %d", i.Schedule)
	case policy.ByCanary.String():
		return "programs learn from the answer that the network filters"
	case policy.BySafeSearch.String():
		return "the profile's choice about the search engine"
	case policy.BySecurity.String():
		return fmt.Sprintf("dangerous to everybody; entry %s of list %s", i.Entry, i.List)
	}
	return fmt.Sprintf("the profile's choice about the category; entry %s of list %s", i.Entry, i.List)
}

// findProfile is the ID of the profile that a request or a file names.
func findProfile(f *policy.Family, name string) (policy.ProfileID, error) {
	p, err := f.Profile(name)
	if err != nil {
		return 0, coded(err)
	}
	return p.ID, nil
}

// deviceFilters returns what to look for to find a device's incidents: the
// device, and those of its addresses from before it had a name. A device that is
// not known is given by its address.
func deviceFilters(f *policy.Family, like journal.Filter, ref string) ([]journal.Filter, error) {
	addr, notAddr := netip.ParseAddr(ref)
	if notAddr == nil {
		ref = addr.Unmap().WithZone("").String()
	}
	at := func(client string) journal.Filter {
		filter := like
		filter.Client = client
		return filter
	}
	var names []string
	for _, d := range f.Devices {
		names = append(names, d.Name)
		mine := sameName(d.Name, ref)
		for _, net := range d.Networks {
			mine = mine || networkText(net) == ref
		}
		if !mine {
			continue
		}
		filter := like
		filter.Device = d.ID
		filters := []journal.Filter{filter}
		for _, net := range d.Networks {
			if net.IsSingleIP() {
				filters = append(filters, at(net.Addr().String()))
			}
		}
		return filters, nil
	}
	if notAddr == nil {
		return []journal.Filter{at(ref)}, nil
	}
	return nil, &codedError{exitNothing, fmt.Errorf("no device is called %q%s; otherwise give its address", ref, didYouMean(blocklists.Near(ref, names)))}
}

// countedThing says what a count is of. Not all has a category: a guest's attempt
// at what a rule or a list blocks has none.
func countedThing(c countView) string {
	if c.Category == blocklists.NoCategory.String() {
		return "something without a category"
	}
	return fmt.Sprintf("%q", c.CategoryName)
}

// lossSentence says when attempts could not be kept.
func lossSentence(l journal.Loss, zone string) string {
	z, err := time.LoadLocation(zone)
	if err != nil {
		z = time.Local
	}
	from, until := l.From.In(z), l.Until.In(z)
	when := "between " + from.Format("Mon 2 Jan 15:04") + " and " + until.Format("15:04")
	switch {
	case from.Format(time.DateOnly) != until.Format(time.DateOnly):
		when = "between " + from.Format("Mon 2 Jan 15:04") + " and " + until.Format("Mon 2 Jan 15:04")
	case from.Truncate(time.Minute).Equal(until.Truncate(time.Minute)):
		when = "at " + from.Format("Mon 2 Jan 15:04")
	}
	return fmt.Sprintf("Not complete: %s up to %d attempts of this server could not be kept.", when, l.Count)
}

func printIncidents(w io.Writer, r incidentsReply) {
	if r.Waiting != "" {
		fmt.Fprintf(w, "The newest attempts are kept but not stored yet, so they are missing here: %s\n", r.Waiting)
	}
	for _, l := range r.Lost {
		fmt.Fprintln(w, lossSentence(l, r.Zone))
	}
	if len(r.Incidents) == 0 && len(r.Counted) == 0 && len(r.Lost) == 0 {
		fmt.Fprintf(w, "All calm: nothing was recorded since %s.\n", r.Since.Format("Mon 2 Jan 15:04"))
		return
	}
	for _, i := range r.Incidents {
		fmt.Fprintf(w, "%s\n    why: %s\n    %s\n", i.Sentence, i.Why, strings.Join(append([]string{"see: {kinward} incidents show " + shortID(i.ID)}, stateTexts(i)...), "; "))
	}
	for _, c := range r.Counted {
		fmt.Fprintf(w, "On %s (UTC), profile %s: %s was looked up %d times; it is counted, not named.\n",
			c.Day, c.ProfileName, countedThing(c), c.Tries)
	}
	if r.More {
		fmt.Fprintf(w, "There are older ones; see more with --limit.\n")
	}
	fmt.Fprintf(w, "\nTimes are of %s. A look-up is not a visit: pages and apps also ask by themselves.\n", r.Zone)
}
