package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kinward/journal"
	"kinward/journal/alerts"
	"kinward/policy"
)

type todayRequest struct {
	Family string `json:"family,omitempty"`
	Since  string `json:"since,omitempty"` // "" is 24h
	asking
}

// todayReply is what a family's guardian wants to know first.
type todayReply struct {
	Family   string         `json:"family"`
	Zone     string         `json:"zone"`
	Now      time.Time      `json:"now"`
	Since    time.Time      `json:"since"`
	Spans    []time.Time    `json:"spans"` // where each bar of the profiles' charts begins
	Profiles []todayProfile `json:"profiles"`
	Signals  []signalView   `json:"signals"` // newest first
	Unknown  int            `json:"unknown"` // devices without a name that asked
	Lost     []journal.Loss `json:"lost"`
	Waiting  string         `json:"waiting,omitempty"` // why the newest attempts are not among them yet
	More     bool           `json:"more"`              // there was more than was read
}

// todayProfile is a profile's part. What browsers and systems ask for by
// themselves does not count, and what is asked while everything is closed counts
// as Closed alone.
type todayProfile struct {
	ID         policy.ProfileID `json:"id"` // 0: of profiles that were removed
	Name       string           `json:"name"`
	Default    bool             `json:"default"`          // it applies to whatever device is not listed
	Paused     string           `json:"paused,omitempty"` // until when, in words
	Devices    int              `json:"devices"`
	Incidents  int              `json:"incidents"`
	Fresh      int              `json:"fresh"`   // of them, what whoever asks neither reviewed nor muted
	Urgent     int              `json:"urgent"`  // of the fresh, what guardians hear of at once
	Blocked    int              `json:"blocked"` // of the incidents
	Tries      uint64           `json:"tries"`
	Closed     int              `json:"closed"`
	Counted    uint64           `json:"counted"` // of the days since, looked up and never named
	Categories []todayCategory  `json:"categories"`
	Bars       []int            `json:"bars"`  // incidents by when they began
	Worth      []incidentView   `json:"worth"` // the fresh ones to read first: urgent before others, then the newest
}

// todayCategory is what a profile tried of a category; "" is of none.
type todayCategory struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Incidents int      `json:"incidents"`
	Services  []string `json:"services"`
	Urgent    bool     `json:"urgent"`
}

var opToday = operation[todayRequest, todayReply]{"today", today}

// worthReading is how many incidents of a profile are told one by one.
const worthReading = 3

func (c *cli) todayCommand() *cobra.Command {
	var req todayRequest
	cmd := c.addJSON(&cobra.Command{
		Use: "today", Short: "Tell in a few lines what happened since yesterday",
		Long: `Tells what a parent wants to know first: for each profile whether all was calm, and
otherwise how much was attempted, of what kind, and what is worth reading. That you look
is kept, as for every reading.`,
		Example: `  kinward today
  kinward today --since 7d --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.Family, req.asking = c.query.Family, c.query.asking
			return do(cmd.Context(), c, cmd, opToday, req, printToday)
		},
	})
	cmd.Flags().StringVar(&c.query.Family, "family", "", "of this family (default: the home's own)")
	cmd.Flags().StringVar(&req.Since, "since", "24h", "how far back: a span (2h, 7d) or a time of the family's clock")
	c.askingFlags(cmd)
	return cmd
}

func today(ctx context.Context, n *node, req todayRequest, _ progress) (todayReply, error) {
	r, err := n.read(ctx, incidentsQuery{Family: req.Family, Since: cmp.Or(req.Since, "24h"), asking: req.asking})
	if err != nil {
		return todayReply{}, err
	}
	rep := todayReply{
		Family: r.f.Name, Zone: r.zone.String(), Now: r.now.In(r.zone), Since: r.filter.Since.In(r.zone), Signals: []signalView{}, Waiting: r.waiting,
	}
	rep.Spans = todaySpans(rep.Since, rep.Now)
	found, next, err := r.incidents(ctx, maxIncidents)
	if err != nil {
		return todayReply{}, err
	}
	rep.More = next != (journal.Cursor{})
	counts, err := r.counts(ctx)
	if err != nil {
		return todayReply{}, err
	}
	rep.Profiles = r.todayProfiles(found, counts, rep.Spans)
	if rep.Lost, err = n.db.Losses(ctx, r.filter.Since); err != nil {
		return todayReply{}, err
	}
	noticed, err := n.db.Signals(ctx, journal.SignalFilter{Family: r.f.ID, Since: r.filter.Since})
	if err != nil {
		return todayReply{}, err
	}
	for _, g := range noticed {
		rep.Signals = append(rep.Signals, viewSignal(g, r.names, r.zone))
	}
	if n.serving != nil {
		for _, u := range n.serving.server.Unknown(r.f.ID) {
			if !u.Last.Before(r.filter.Since) {
				rep.Unknown++
			}
		}
	}
	return rep, r.viewed(ctx, "list", len(found)+len(counts))
}

// todaySpans divides a time into hours of the clock, or into days where it is long.
func todaySpans(since, now time.Time) []time.Time {
	spans := []time.Time{}
	if now.Sub(since) <= 49*time.Hour {
		// A zone may be off by 30 or 45 minutes, so hours are counted on the wall.
		into := time.Duration(since.Minute())*time.Minute + time.Duration(since.Second())*time.Second + time.Duration(since.Nanosecond())
		for at := since.Add(-into); !at.After(now); at = at.Add(time.Hour) {
			spans = append(spans, at)
		}
		return spans
	}
	for d := 0; len(spans) < 400; d++ {
		at := time.Date(since.Year(), since.Month(), since.Day()+d, 0, 0, 0, 0, since.Location())
		if at.After(now) {
			break
		}
		spans = append(spans, at)
	}
	return spans
}

// todayProfiles sums up: a part for each profile of the family in its order, and
// one for those that were removed meanwhile, where they tried something.
func (r *reading) todayProfiles(found []journal.Incident, counts []countView, spans []time.Time) []todayProfile {
	out := []todayProfile{}
	at := map[policy.ProfileID]int{}
	for _, p := range r.f.Profiles {
		t := todayProfile{ID: p.ID, Name: p.Name, Default: p.ID == r.f.Default, Categories: []todayCategory{}, Bars: make([]int, len(spans)), Worth: []incidentView{}}
		if r.now.Before(p.Paused) {
			t.Paused = untilText(p.Paused, r.zone)
		}
		for _, d := range r.f.Devices {
			if d.Profile == p.ID {
				t.Devices++
			}
		}
		at[p.ID] = len(out)
		out = append(out, t)
	}
	of := func(id policy.ProfileID) *todayProfile {
		k, known := at[id]
		if !known {
			if k, known = at[0]; !known {
				k = len(out)
				out, at[0] = append(out, todayProfile{Categories: []todayCategory{}, Bars: make([]int, len(spans)), Worth: []incidentView{}}), k
			}
		}
		return &out[k]
	}
	for _, first := range []bool{true, false} { // of what is worth reading, urgent things come first
		for _, i := range found {
			e := alerts.FromIncident(i)
			p := of(i.Profile)
			if e.Routine {
				p.Closed += number(first)
				continue
			}
			if first {
				r.todayAdd(p, i, e.Urgent(), spans)
			}
			if e.Urgent() == first && len(p.Worth) < worthReading && r.fresh(i) {
				p.Worth = append(p.Worth, r.view(i))
			}
		}
	}
	for _, c := range counts {
		of(c.Profile).Counted += c.Tries
	}
	for k := range out {
		slices.SortStableFunc(out[k].Categories, func(a, b todayCategory) int {
			return cmp.Or(number(b.Urgent)-number(a.Urgent), b.Incidents-a.Incidents)
		})
	}
	return out
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fresh reports whether whoever asks neither reviewed nor muted i.
func (r *reading) fresh(i journal.Incident) bool { return !r.reviewed(i.ID) && r.mute(i) == nil }

// todayAdd counts an incident.
func (r *reading) todayAdd(p *todayProfile, i journal.Incident, urgent bool, spans []time.Time) {
	p.Incidents++
	p.Tries += i.Tries
	p.Blocked += number(i.Verdict == policy.Block.String())
	if r.fresh(i) {
		p.Fresh++
		p.Urgent += number(urgent)
	}
	k, known := slices.BinarySearchFunc(spans, i.First, time.Time.Compare)
	if !known {
		k = max(k-1, 0) // one that began before counts where the time begins
	}
	p.Bars[k]++
	c := slices.IndexFunc(p.Categories, func(c todayCategory) bool { return c.ID == i.Category })
	if c < 0 {
		c = len(p.Categories)
		p.Categories = append(p.Categories, todayCategory{ID: i.Category, Services: []string{}})
		if i.Category != "" {
			p.Categories[c].Name = r.names.Category(i.Category)
		}
	}
	of := &p.Categories[c]
	of.Incidents++
	of.Urgent = of.Urgent || urgent
	if i.Service != "" {
		if name := r.names.Service(i.Service); !slices.Contains(of.Services, name) {
			of.Services = append(of.Services, name)
		}
	}
}

// incidentsWords says how many incidents there are, and of how many of them the
// attempt was blocked, as the console's page does.
func incidentsWords(incidents, blocked int) string {
	words := plural(incidents, "incident") + ", "
	if incidents > 1 && (blocked == 0 || blocked == incidents) {
		words += "all "
	}
	switch blocked {
	case 0:
		return words + "allowed and recorded"
	case incidents:
		return words + "blocked"
	}
	return words + fmt.Sprintf("%d of them blocked", blocked)
}

func printToday(w io.Writer, t todayReply) {
	fmt.Fprintf(w, "Family %s, since %s\n", t.Family, t.Since.Format("Mon 2 Jan 15:04"))
	if t.Waiting != "" {
		fmt.Fprintf(w, "The newest attempts are kept but not stored yet, so they are missing here: %s\n", t.Waiting)
	}
	for _, l := range t.Lost {
		fmt.Fprintln(w, lossSentence(l, t.Zone))
	}
	for _, p := range t.Profiles {
		name := cmp.Or(p.Name, "Removed profiles")
		if p.Incidents == 0 {
			fmt.Fprintf(w, "%s: all calm.\n", name)
			continue
		}
		fmt.Fprintf(w, "%s: %s; %d that you have not reviewed.\n", name, incidentsWords(p.Incidents, p.Blocked), p.Fresh)
		for _, i := range p.Worth {
			fmt.Fprintf(w, "  %s  [%s]\n", i.Sentence, shortID(i.ID))
		}
	}
	for _, s := range t.Signals {
		fmt.Fprintf(w, "Noticed: %s\n", s.Sentence)
	}
	if t.Unknown > 0 {
		fmt.Fprintf(w, "Devices without a name asked (%d): {kinward} devices seen\n", t.Unknown)
	}
	fmt.Fprintf(w, "\nSee more with: {kinward} incidents. Times are of %s. A look-up is not a visit: pages and apps also ask by themselves.\n", t.Zone)
}
