package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/journal/guidance"
	"kinward/policy"
)

// incidentRequest is about single incidents, by the beginnings of their IDs.
type incidentRequest struct {
	Family string   `json:"family,omitempty"`
	IDs    []string `json:"ids,omitempty"`
	Note   string   `json:"note,omitempty"`
	For    string   `json:"for,omitempty"`
	Until  string   `json:"until,omitempty"`
	Mute   int64    `json:"mute,omitempty"`
	Since  string   `json:"since,omitempty"`
	asking
}

func (r incidentRequest) query() incidentsQuery {
	return incidentsQuery{Family: r.Family, asking: r.asking}
}

// incidentShow is an incident with what an adult may want to know and do.
type incidentShow struct {
	incidentView
	Zone     string        `json:"zone"`
	About    string        `json:"about,omitempty"` // what the service is, by the catalogue
	Guidance guidance.Text `json:"guidance"`
	Country  string        `json:"country"` // whose help lines are shown; "" is not known
	// Strength is what blocking the service's names achieves, by StrengthSource; ""
	// where it belongs to no service.
	Strength       string `json:"strength,omitempty"`
	StrengthSource string `json:"strength_source,omitempty"`
	KnownRisk      string `json:"known_risk,omitempty"` // who names the service as one with a record of harm
	ToOpen         string `json:"to_open,omitempty"`    // see [toOpen]
	ToClose        string `json:"to_close,omitempty"`   // see [toClose]
	// Now is what happens to the name now; nil where that cannot be told.
	Now   *policy.Explanation `json:"now,omitempty"`
	Looks []lookAtView        `json:"looks"` // of adults at this incident, before this one, newest first
}

var (
	opIncidentShow     = operation[incidentRequest, incidentShow]{"incidents-show", showIncident}
	opIncidentReview   = operation[incidentRequest, done]{"incidents-review", reviewIncidents}
	opIncidentUnreview = operation[incidentRequest, done]{"incidents-unreview", unreviewIncidents}
	opIncidentMute     = operation[incidentRequest, done]{"incidents-mute", muteIncident}
	opIncidentMutes    = operation[incidentRequest, mutesReply]{"incidents-mutes", mutes}
	opIncidentUnmute   = operation[incidentRequest, done]{"incidents-unmute", unmute}
	opIncidentViews    = operation[incidentRequest, viewsReply]{"incidents-views", views}
)

// incidentCommand makes a command about single incidents.
func incidentCommand[Rep any](c *cli, op operation[incidentRequest, Rep], req *incidentRequest, cmd *cobra.Command, text func(io.Writer, Rep)) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req.IDs, req.Family, req.asking = args, c.query.Family, c.query.asking
		return do(cmd.Context(), c, cmd, op, *req, text)
	}
	cmd.Flags().StringVar(&c.query.Family, "family", "", "of this family (default: the home's own)")
	c.askingFlags(cmd)
	return c.addJSON(cmd)
}

func (c *cli) incidentShowCommand() *cobra.Command {
	return incidentCommand(c, opIncidentShow, &incidentRequest{}, &cobra.Command{
		Use: "show ID", Short: "Tell all about one incident: what it is, why it was blocked, what to do",
		Example: `  kinward incidents show 0199aa9c7f01`,
		Args:    exactArgs("the ID of an incident"),
	}, printIncident)
}

func (c *cli) incidentReviewCommand() *cobra.Command {
	req := &incidentRequest{}
	cmd := incidentCommand(c, opIncidentReview, req, &cobra.Command{
		Use: "review ID...", Short: "Say that you have dealt with incidents, with a note if you like",
		Example: `  kinward incidents review 0199aa9c7f01 --note "we talked about it"
  kinward incidents review 0199aa9c7f01 0199aa9d1200 --as Eva`,
		Args: atLeastArgs("the ID of an incident"),
	}, printDone)
	cmd.Flags().StringVar(&req.Note, "note", "", "what you want to remember")
	return cmd
}

func (c *cli) incidentUnreviewCommand() *cobra.Command {
	return incidentCommand(c, opIncidentUnreview, &incidentRequest{}, &cobra.Command{
		Use: "unreview ID...", Short: "Take your review of incidents back, with its note",
		Example: `  kinward incidents unreview 0199aa9c7f01`,
		Args:    atLeastArgs("the ID of an incident"),
	}, printDone)
}

func (c *cli) incidentMuteCommand() *cobra.Command {
	req := &incidentRequest{}
	cmd := incidentCommand(c, opIncidentMute, req, &cobra.Command{
		Use: "mute ID", Short: "Hear no more of this profile's attempts at this service",
		Long: `Takes an incident (the ID stands with each of "kinward incidents"), and mutes what its
profile tries at the same service, or at the same domain where it belongs to none. You
get no alerts of that, and it is not among the unreviewed; other guardians still hear
of it. It changes nothing of what is blocked, and nothing of what is recorded.

Say for how long with --for or --until; without, it is for good. "kinward incidents
mutes" shows what is muted and ends it.`,
		Example: `  kinward incidents mute 0199aa9c7f01 --for 7d
  kinward incidents mute 0199aa9c7f01 --as Eva`,
		Args: exactArgs("the ID of an incident, as {kinward} incidents shows it: its profile's attempts at its service are then muted for you"),
	}, printDone)
	cmd.Flags().StringVar(&req.For, "for", "", "for how long: 7d, 12h, or today (default: for good)")
	cmd.Flags().StringVar(&req.Until, "until", "", "until when, by the family's clock")
	return cmd
}

func (c *cli) incidentMutesCommand() *cobra.Command {
	group := incidentCommand(c, opIncidentMutes, &incidentRequest{}, &cobra.Command{
		Use: "mutes", Short: "Show what is muted, for whom and until when",
		Example: "  kinward incidents mutes\n  kinward incidents mutes end 3", Args: exactArgs(),
	}, printMutes)
	end := c.numbered("end NUMBER", "Hear of it again", `  kinward incidents mutes end 3`, func(cmd *cobra.Command, id int64) error {
		return do(cmd.Context(), c, cmd, opIncidentUnmute, incidentRequest{Family: c.query.Family, Mute: id, asking: c.query.asking}, printDone)
	})
	end.Flags().StringVar(&c.query.Family, "family", "", "of this family (default: the home's own)")
	group.AddCommand(end)
	return group
}

func (c *cli) incidentViewsCommand() *cobra.Command {
	req := &incidentRequest{}
	cmd := incidentCommand(c, opIncidentViews, req, &cobra.Command{
		Use: "views", Short: "Show who looked at incidents, and when",
		Example: "  kinward incidents views\n  kinward incidents views --since 90d --json", Args: exactArgs(),
	}, printViews)
	cmd.Flags().StringVar(&req.Since, "since", "30d", "how far back: a span (2h, 7d) or a time of the family's clock")
	return cmd
}

func showIncident(ctx context.Context, n *node, req incidentRequest, _ progress) (incidentShow, error) {
	r, err := n.readFamily(ctx, req.query())
	if err != nil {
		return incidentShow{}, err
	}
	i, err := r.one(ctx, req.IDs[0])
	if err != nil {
		return incidentShow{}, err
	}
	book, err := guidance.Embedded(guidanceLanguage(ctx))
	if err != nil {
		return incidentShow{}, err
	}
	band := policy.BandC
	if p := r.f.ProfileByID(i.Profile); p != nil {
		band = p.Preset
	}
	category, err := blocklists.ParseCategory(i.Category)
	if err != nil {
		category = blocklists.NoCategory
	}
	rep := incidentShow{incidentView: r.view(i), Zone: r.zone.String(), Guidance: book.For(category, i.Service, r.f.Country, band), Country: r.f.Country, ToOpen: toOpen(i), ToClose: toClose(i)}
	if s, ok := n.catalogue.Load().Service(i.Service); ok {
		rep.About = n.catalogue.Load().About(s)
		rep.Strength, rep.StrengthSource, rep.KnownRisk = s.Strength.String(), s.StrengthSource, s.KnownRisk
	}
	if rep.Now, err = r.happensNow(ctx, i); err != nil {
		return incidentShow{}, err
	}
	looks, err := r.viewsReply(ctx, 0, i.ID)
	if err != nil {
		return incidentShow{}, err
	}
	rep.Looks = looks.Views
	return rep, r.viewed(ctx, "show", 1)
}

func printIncident(w io.Writer, i incidentShow) {
	fmt.Fprintf(w, "%s\n\nIncident %s, from %s to %s.\n", i.Sentence, i.ID, i.First.Format("2006-01-02 15:04:05"), i.Last.Format("2006-01-02 15:04:05 MST"))
	for _, s := range stateTexts(i.incidentView) {
		fmt.Fprintf(w, "%s.\n", sentenceCase(s))
	}
	part := func(title, text string) {
		if text != "" {
			fmt.Fprintf(w, "\n%s\n%s", title, paragraph(text))
		}
	}
	part("Why it was blocked or recorded", sentenceCase(i.Why))
	if i.About != "" {
		part("What it is", i.About)
		part("What blocking its names achieves", sentenceCase(i.Strength))
	}
	if i.Now != nil {
		part("What happens to the name now", i.Now.Sentence)
	}
	part("What this kind is", i.Guidance.What)
	part("Why it matters", i.Guidance.Why)
	part("How to talk about it", i.Guidance.Talk)
	part("If there was contact", i.Guidance.Done)
	printLines(w, i.Country, i.Guidance.Report)
	if i.Country == "" {
		fmt.Fprintln(w, "\nFor those of your country, say once where you live: {kinward} families country CODE")
	}
	fmt.Fprintln(w, "\nA look-up is not a visit: pages and apps also ask by themselves.")
}

func reviewIncidents(ctx context.Context, n *node, req incidentRequest, _ progress) (done, error) {
	if _, err := cleanNote(req.Note); err != nil {
		return done{}, usageError(fmt.Errorf("--note: %w", err))
	}
	r, list, err := n.pick(ctx, req)
	if err != nil {
		return done{}, err
	}
	var reviews []journal.Review
	for _, i := range list {
		reviews = append(reviews, journal.Review{Family: r.f.ID, Incident: i.ID, Reader: r.by, At: r.now, Note: req.Note})
	}
	if err := n.db.Review(ctx, reviews...); err != nil {
		return done{}, coded(err)
	}
	n.bells.ring(r.f.ID)
	return done{fmt.Sprintf("Reviewed: %s.", plural(len(list), "incident"))}, nil
}

func unreviewIncidents(ctx context.Context, n *node, req incidentRequest, _ progress) (done, error) {
	r, list, err := n.pick(ctx, req)
	if err != nil {
		return done{}, err
	}
	undone := 0
	for _, i := range list {
		was, err := n.db.Unreview(ctx, r.f.ID, i.ID, r.by.Guardian)
		if err != nil {
			return done{}, err
		}
		if was {
			undone++
		}
	}
	n.bells.ring(r.f.ID)
	return done{fmt.Sprintf("Taken back: the review of %s.", plural(undone, "incident"))}, nil
}

// pick finds all incidents of a request before any is touched.
func (n *node) pick(ctx context.Context, req incidentRequest) (*reading, []journal.Incident, error) {
	r, err := n.readFamily(ctx, req.query())
	if err != nil {
		return nil, nil, err
	}
	var list []journal.Incident
	for _, id := range req.IDs {
		i, err := r.one(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, i)
	}
	return r, list, nil
}

// cleanNote checks what a guardian writes down.
func cleanNote(s string) (string, error) {
	if len([]rune(s)) > policy.MaxText {
		return "", fmt.Errorf("it is longer than %d characters", policy.MaxText)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return "", fmt.Errorf("it holds the character %U, which cannot be shown; leave it out", r)
		}
	}
	return s, nil
}

func muteIncident(ctx context.Context, n *node, req incidentRequest, _ progress) (done, error) {
	r, list, err := n.pick(ctx, req)
	if err != nil {
		return done{}, err
	}
	e := &edit{now: r.now, zone: r.zone}
	until, err := e.ending(req.For, req.Until)
	if err != nil {
		return done{}, err
	}
	if !until.IsZero() && !until.After(r.now) {
		return done{}, usageError(errors.New("--until: that is over already"))
	}
	m := journal.MuteOf(list[0], r.by, r.now, until)
	if m.Service == "" && m.Domain == "" {
		return done{}, usageError(errors.New("this incident is of no service and no domain; there is nothing to mute"))
	}
	id, err := n.db.AddMute(ctx, m)
	if err != nil {
		return done{}, coded(err)
	}
	v := r.muteView(m)
	return done{fmt.Sprintf("Muted for %s: %s of profile %s, %s. It goes on being blocked and recorded. To end it: {kinward} incidents mutes end %d",
		v.Who, v.What, v.ProfileName, v.End, id)}, nil
}

type mutesReply struct {
	Mutes []muteView `json:"mutes"`
}

type muteView struct {
	journal.Mute
	ProfileName string `json:"profile_name"`
	What        string `json:"what"`
	End         string `json:"end"`
	Over        bool   `json:"over"`
}

func (r *reading) muteView(m journal.Mute) muteView {
	what := m.Domain
	if m.Service != "" {
		what = r.names.Service(m.Service)
	}
	v := muteView{Mute: m, ProfileName: r.names.Profile(m.Profile), What: what, End: "for good"}
	if !m.Until.IsZero() {
		v.End, v.Over = "until "+shown(m.Until, r.zone), !r.now.Before(m.Until)
	}
	return v
}

// mutes shows everybody's.
func mutes(ctx context.Context, n *node, req incidentRequest, _ progress) (mutesReply, error) {
	r, err := n.readFamily(ctx, req.query())
	if err != nil {
		return mutesReply{}, err
	}
	list, err := n.db.Mutes(ctx, r.f.ID)
	if err != nil {
		return mutesReply{}, err
	}
	rep := mutesReply{Mutes: []muteView{}}
	for _, m := range list {
		rep.Mutes = append(rep.Mutes, r.muteView(m))
	}
	return rep, nil
}

func printMutes(w io.Writer, r mutesReply) {
	if len(r.Mutes) == 0 {
		fmt.Fprintln(w, "Nothing is muted.")
	}
	for _, m := range r.Mutes {
		over := ""
		if m.Over {
			over = " (over)"
		}
		fmt.Fprintf(w, "%d  %s of profile %s, for %s, %s%s\n", m.ID, m.What, m.ProfileName, m.Who, m.End, over)
	}
}

func unmute(ctx context.Context, n *node, req incidentRequest, _ progress) (done, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return done{}, err
	}
	list, err := n.db.Mutes(ctx, f.ID)
	if err != nil {
		return done{}, err
	}
	if g := guardian(ctx); g != nil && slices.ContainsFunc(list, func(m journal.Mute) bool { return m.ID == req.Mute && m.Guardian != g.Guardian && m.Guardian != 0 }) {
		return done{}, errForbidden
	}
	was, err := n.db.RemoveMute(ctx, f.ID, req.Mute)
	if err == nil && !was {
		err = &codedError{exitNothing, fmt.Errorf("there is no mute %d; see: {kinward} incidents mutes", req.Mute)}
	}
	return done{fmt.Sprintf("Mute %d is over.", req.Mute)}, err
}

type viewsReply struct {
	Zone  string       `json:"zone"`
	Since time.Time    `json:"since"`
	Views []lookAtView `json:"views"` // newest first
}

// lookAtView is a look with the words for it.
type lookAtView struct {
	journal.View
	ProfileName string `json:"profile_name"`
}

// maxViews is how many looks are shown: more than somebody reads.
const maxViews = 1000

func views(ctx context.Context, n *node, req incidentRequest, _ progress) (viewsReply, error) {
	r, err := n.readFamily(ctx, req.query())
	if err != nil {
		return viewsReply{}, err
	}
	if err := r.setTimes(incidentsQuery{Since: req.Since}); err != nil {
		return viewsReply{}, err
	}
	return r.viewsReply(ctx, 0, "")
}

func (r *reading) viewsReply(ctx context.Context, profile policy.ProfileID, incident string) (viewsReply, error) {
	rep := viewsReply{Zone: r.zone.String(), Since: r.filter.Since.In(r.zone), Views: []lookAtView{}}
	list, err := r.n.db.Views(ctx, r.f.ID, profile, incident, r.filter.Since, maxViews)
	for _, v := range list {
		v.First, v.Last = v.First.In(r.zone), v.Last.In(r.zone)
		rep.Views = append(rep.Views, lookAtView{v, r.names.Profile(v.Profile)})
	}
	return rep, err
}

var viewWords = map[string]string{"list": "read the list", "show": "read one incident", "follow": "watched live", "export": "exported"}

func printViews(w io.Writer, r viewsReply) {
	if len(r.Views) == 0 {
		fmt.Fprintf(w, "Nobody looked since %s.\n", r.Since.Format("Mon 2 Jan 15:04"))
	}
	for _, v := range r.Views {
		whose := "all profiles"
		if v.ProfileName != "" {
			whose = "profile " + v.ProfileName
		}
		more := ""
		if v.Times > 1 {
			more = fmt.Sprintf(", %d times until %s", v.Times, v.Last.Format("15:04"))
		}
		fmt.Fprintf(w, "%s  %s %s of %s (%s)%s\n", v.First.Format("Mon 2 Jan 15:04"), v.Who, viewWords[v.Action], whose, plural(v.Incidents, "incident"), more)
	}
}
