package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// asking says who asks: a guardian, or whoever runs the command.
type asking struct {
	As   string `json:"as,omitempty"` // a guardian's name
	User string `json:"user,omitempty"`
}

// askingFlags gives a command the flag that says which guardian runs it. What
// user of the machine does is told to the owner of the data folder without it.
func (c *cli) askingFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.query.As, "as", "", "the guardian who asks (default: the command line, as the user that you are)")
	c.query.User = userName()
}

// userName is who runs this program, as the machine calls them.
func userName() string {
	name := "an unknown user"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		name += " (by sudo: " + by + ")"
	}
	return name
}

// reader finds who asks. Where a guardian acts it is them.
func (a asking) reader(ctx context.Context, f *policy.Family) (journal.Reader, error) {
	if g := guardian(ctx); g != nil {
		return journal.Reader{Guardian: g.Guardian, Who: g.Name}, nil
	}
	if a.As == "" {
		who, err := policy.CleanName("command line as " + a.User)
		if err != nil {
			who = "command line"
		}
		return journal.Reader{Who: who}, nil
	}
	g, err := f.Guardian(a.As)
	if err != nil {
		return journal.Reader{}, fmt.Errorf("--as: %w", coded(err))
	}
	return journal.Reader{Guardian: g.ID, Who: g.Name}, nil
}

// reading is a look at a family's incidents on behalf of somebody.
type reading struct {
	n       *node
	f       *policy.Family
	by      journal.Reader
	zone    *time.Location
	now     time.Time
	names   journal.Names
	filter  journal.Filter              // what all filters have in common
	filters []journal.Filter            // any of them
	reviews map[string][]journal.Review // of the incidents that were found
	mutes   []journal.Mute              // those of by that are not over
	waiting string                      // why the newest attempts may be missing
}

// read begins a reading: everything that was recorded so far is in it.
func (n *node) read(ctx context.Context, q incidentsQuery) (*reading, error) {
	r, err := n.readFamily(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.ID != "" {
		i, err := r.one(ctx, q.ID)
		r.filter.Routine, r.filter.Since = true, i.First
		r.filters = []journal.Filter{r.filter}
		return r, err
	}
	if err := r.setTimes(q); err != nil {
		return nil, err
	}
	r.filter.Routine = q.Routine
	if q.Profile != "" {
		if r.filter.Profile, err = findProfile(r.f, q.Profile); err != nil {
			return nil, err
		}
	}
	if err := r.setThings(q); err != nil {
		return nil, err
	}
	if q.Unreviewed {
		r.filter.Unreviewed = &r.by.Guardian
		r.filter.Only = func(i journal.Incident) bool { return r.mute(i) == nil }
	}
	r.filters = []journal.Filter{r.filter}
	if q.Device != "" {
		if r.filters, err = deviceFilters(r.f, r.filter, q.Device); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readFamily begins a reading that no condition narrows yet.
func (n *node) readFamily(ctx context.Context, q incidentsQuery) (*reading, error) {
	r := &reading{n: n, now: time.Now()}
	if n.serving != nil {
		if err := n.serving.journal.Flush(ctx); err != nil {
			r.waiting = err.Error() // what is stored can be read all the same
		}
	}
	s, err := n.state(ctx)
	if err != nil {
		return nil, err
	}
	if r.f, _, err = n.family(ctx, q.Family); err != nil {
		return nil, err
	}
	if r.by, err = q.reader(ctx, r.f); err != nil {
		return nil, err
	}
	r.zone, r.names = zoneOf(r.f), n.names(ctx, s.Index, r.f)
	r.filter.Family = r.f.ID
	mutes, err := n.db.Mutes(ctx, r.f.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range mutes {
		if m.Guardian == r.by.Guardian && (m.Until.IsZero() || r.now.Before(m.Until)) {
			r.mutes = append(r.mutes, m)
		}
	}
	return r, nil
}

func (r *reading) setTimes(q incidentsQuery) (err error) {
	if r.filter.Since, err = sinceText(q.Since, r.now, r.zone); err != nil {
		return usageError(fmt.Errorf("--since: %w", err))
	}
	if r.filter.Since.After(r.now) {
		return usageError(fmt.Errorf("--since: %s is still to come", r.filter.Since.Format(timeLayout)))
	}
	if q.Until == "" {
		return nil
	}
	if r.filter.Until, err = sinceText(q.Until, r.now, r.zone); err != nil {
		return usageError(fmt.Errorf("--until: %w", err))
	}
	if !r.filter.Since.Before(r.filter.Until) {
		return usageError(fmt.Errorf("--until: %s is not after --since, %s", shown(r.filter.Until, r.zone), shown(r.filter.Since, r.zone)))
	}
	return nil
}

// setThings reads what the incidents are to be about.
func (r *reading) setThings(q incidentsQuery) error {
	catalogue := r.n.catalogue.Load()
	if q.Category != "" {
		c, err := findCategory(catalogue, q.Category)
		if err != nil {
			return err
		}
		r.filter.Category = c.String()
	}
	if q.Service != "" {
		_, service, err := findThing(catalogue, q.Service)
		if r.filter.Service = service; service == "" {
			name, bad := blocklists.ParseName(q.Service)
			if bad != nil || !strings.Contains(q.Service, ".") {
				return &codedError{exitNothing, fmt.Errorf("--service: %w", cmp.Or(err, errors.New("it is a category; see --category")))}
			}
			r.filter.Service = name.String()
		}
	}
	switch q.Verdict {
	case "", policy.Block.String(), policy.Watch.String(), policy.Rewrite.String():
		r.filter.Verdict = q.Verdict
	default:
		return usageError(fmt.Errorf("--verdict: %q is none; give %s, %s or %s", q.Verdict, policy.Block, policy.Watch, policy.Rewrite))
	}
	return nil
}

// incidents returns what is read, newest first, at most limit, and from where to
// read on: the zero place where nothing older is left.
func (r *reading) incidents(ctx context.Context, limit int) (found []journal.Incident, next journal.Cursor, err error) {
	for _, f := range r.filters {
		n := 0
		end, err := r.n.db.EachIncident(ctx, f, func(i journal.Incident) bool {
			found = append(found, i)
			n++
			return n <= limit // one more tells whether there are more
		})
		if err != nil {
			return nil, next, err
		}
		if end != (journal.Cursor{}) && (next == (journal.Cursor{}) || end.Compare(next) < 0) {
			next = end
		}
	}
	slices.SortFunc(found, func(a, b journal.Incident) int { return journal.CursorOf(a).Compare(journal.CursorOf(b)) })
	if next != (journal.Cursor{}) { // what one filter found beyond, another may not have looked at yet
		found = slices.DeleteFunc(found, func(i journal.Incident) bool { return journal.CursorOf(i).Compare(next) > 0 })
	}
	if len(found) > limit {
		found = found[:limit]
		next = journal.CursorOf(found[limit-1])
	}
	ids := make([]string, len(found))
	for k, i := range found {
		ids[k] = i.ID
	}
	r.reviews, err = r.n.db.Reviews(ctx, r.f.ID, ids...)
	return found, next, err
}

// counts returns what is only counted, where no condition leaves it out: a count
// has no device, service or verdict.
func (r *reading) counts(ctx context.Context) ([]countView, error) {
	out := []countView{}
	if f := r.filter; f.ID != "" || f.Service != "" || f.Verdict != "" || f.Unreviewed != nil || f.After != (journal.Cursor{}) {
		return out, nil
	}
	list, err := r.n.db.Counts(ctx, journal.Filter{Family: r.f.ID, Since: r.filter.Since, Until: r.filter.Until, Profile: r.filter.Profile, Limit: maxIncidents})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if r.filter.Category == "" || r.filter.Category == c.Category {
			out = append(out, countView{c, r.names.Profile(c.Profile), r.names.Category(c.Category)})
		}
	}
	return out, nil
}

// view puts words to an incident.
func (r *reading) view(i journal.Incident) incidentView {
	v := viewIncident(i, r.names, r.zone)
	for _, review := range r.reviews[i.ID] {
		review.At = review.At.In(r.zone)
		v.Reviews = append(v.Reviews, review)
	}
	if m := r.mute(i); m != nil {
		v.Muted = &mutedView{untilIn(m.Until, r.zone)}
	}
	return v
}

func (r *reading) reviewed(id string) bool {
	return slices.ContainsFunc(r.reviews[id], func(v journal.Review) bool { return v.Guardian == r.by.Guardian })
}

// mute returns what mutes an incident for whoever asks, nil for nothing.
func (r *reading) mute(i journal.Incident) *journal.Mute {
	for k := range r.mutes {
		if r.mutes[k].Mutes(i, r.now) {
			return &r.mutes[k]
		}
	}
	return nil
}

// viewed keeps that somebody looked, before they see it.
func (r *reading) viewed(ctx context.Context, action string, incidents int) error {
	return r.n.db.Viewed(ctx, journal.View{
		Family: r.f.ID, Reader: r.by, Action: action, Profile: r.filter.Profile, Incident: r.filter.ID, Last: r.now, Incidents: incidents,
	})
}

// one finds the incident whose ID begins as given. It narrows r to that.
func (r *reading) one(ctx context.Context, id string) (journal.Incident, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) < 8 || strings.Trim(id, "0123456789abcdef") != "" {
		return journal.Incident{}, usageError(fmt.Errorf("%q is no incident's ID; give at least its first 8 digits, as {kinward} incidents shows them", id))
	}
	f := journal.Filter{Family: r.f.ID, ID: id, Routine: true, Limit: 2}
	found, err := r.n.db.Incidents(ctx, f)
	switch {
	case err != nil:
		return journal.Incident{}, err
	case len(found) == 0:
		return journal.Incident{}, &codedError{exitNothing, fmt.Errorf("there is no incident %s; see: {kinward} incidents", id)}
	case len(found) > 1:
		return journal.Incident{}, usageError(fmt.Errorf("several incidents begin with %s; give more of the ID: %s or %s", id, found[0].ID, found[1].ID))
	}
	r.filter.ID, r.filter.Profile = found[0].ID, found[0].Profile
	r.reviews, err = r.n.db.Reviews(ctx, r.f.ID, found[0].ID)
	return found[0], err
}

// shortID is as much of an incident's ID as tells it apart in a home: the
// millisecond of its beginning and some chance.
func shortID(id string) string { return id[:min(len(id), 14)] }

// stateTexts says what was made of an incident.
func stateTexts(i incidentView) (out []string) {
	for _, r := range i.Reviews {
		text := "reviewed by " + r.Who
		if r.Note != "" {
			text += fmt.Sprintf(": %q", r.Note)
		}
		out = append(out, text)
	}
	if i.Muted != nil {
		text := "muted for good"
		if i.Muted.Until != nil {
			text = "muted until " + i.Muted.Until.Format(timeLayout)
		}
		out = append(out, text)
	}
	return out
}
