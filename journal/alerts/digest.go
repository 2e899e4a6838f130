package alerts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// Digest sums up a family's incidents and signals of a span of time. It depends
// on its input alone, in whatever order that comes. It holds no domain.
type Digest struct {
	Family   string          `json:"family"`
	Period   When            `json:"period"`
	Zone     string          `json:"zone"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
	Total    int             `json:"total"` // incidents
	Profiles []ProfileDigest `json:"profiles"`
	Signals  []string        `json:"signals"` // a sentence each, oldest first
	Chart    []Bar           `json:"chart"`   // incidents by time; empty where all is calm
	Offline  int             `json:"offline"` // of names while everything was blocked; not in Total
	Counted  []CountDigest   `json:"counted"` // what is counted and not named
	More     bool            `json:"more"`    // there were more than were read
}

// ProfileDigest is a profile's part of a digest.
type ProfileDigest struct {
	Name       string           `json:"name"`
	Total      int              `json:"total"`
	Categories []CategoryDigest `json:"categories"` // most incidents first
}

// CategoryDigest is a category's part of a profile's.
type CategoryDigest struct {
	Name     string   `json:"name"`
	Total    int      `json:"total"`
	Services []string `json:"services"` // in order of names
	Devices  []string `json:"devices"`
	Watched  int      `json:"watched"` // of Total: allowed and recorded
}

// CountDigest is how often a category was looked up that is not named.
type CountDigest struct {
	Profile string `json:"profile"`
	Name    string `json:"name"`
	Tries   uint64 `json:"tries"`
}

// Bar is one bar of a chart.
type Bar struct {
	Label string `json:"label"`
	N     int    `json:"n"`
}

// MakeDigest makes one of what happened from a time until before another. wanted
// tells of each event whether it belongs in it.
func MakeDigest(h Home, period When, from, until time.Time, events []Event, counts []journal.Count, wanted func(Event) bool) Digest {
	d := Digest{
		Family: h.Name, Period: period, Zone: zone(h).String(), From: from.In(zone(h)), Until: until.In(zone(h)),
		Profiles: []ProfileDigest{}, Signals: []string{}, Chart: []Bar{}, Counted: []CountDigest{},
	}
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	var told []Event
	for _, e := range events {
		switch {
		case e.Kind == "" && isOffline(e.Incident):
			d.Offline++
		case !wanted(e):
		case e.Kind != "":
			d.Signals = append(d.Signals, sentence(e, h))
		default:
			told = append(told, e)
		}
	}
	d.Total = len(told)
	d.Profiles = byProfile(h, told)
	d.Counted = counted(h, counts)
	if len(told) > 0 {
		d.Chart = chart(period, told, d.From, d.Until, zone(h))
	}
	return d
}

// Calm reports whether there is nothing to tell.
func (d Digest) Calm() bool {
	return d.Total == 0 && len(d.Signals) == 0 && d.Offline == 0 && len(d.Counted) == 0
}

func byProfile(h Home, events []Event) []ProfileDigest {
	type key struct{ profile, category string }
	parts := map[key]*CategoryDigest{}
	profiles := map[string]*ProfileDigest{}
	for _, e := range events {
		k := key{profileName(e, h), categoryName(e, h)}
		p := profiles[k.profile]
		if p == nil {
			p = &ProfileDigest{Name: k.profile, Categories: []CategoryDigest{}}
			profiles[k.profile] = p
		}
		c := parts[k]
		if c == nil {
			c = &CategoryDigest{Name: k.category, Services: []string{}, Devices: []string{}}
			parts[k] = c
		}
		p.Total++
		c.Total++
		if outcome(e) == "allowed and recorded" {
			c.Watched++
		}
		if s := named(h.Names.Service, e.Service); s != "" {
			c.Services = insert(c.Services, s)
		}
		c.Devices = insert(c.Devices, deviceName(e, h))
	}
	for k, c := range parts {
		profiles[k.profile].Categories = append(profiles[k.profile].Categories, *c)
	}
	out := []ProfileDigest{}
	for _, p := range profiles {
		slices.SortFunc(p.Categories, func(a, b CategoryDigest) int { return cmp.Or(b.Total-a.Total, cmp.Compare(a.Name, b.Name)) })
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b ProfileDigest) int { return cmp.Or(b.Total-a.Total, cmp.Compare(a.Name, b.Name)) })
	return out
}

func categoryName(e Event, h Home) string {
	return strings.Trim(topic(e, h), `"`)
}

func insert(list []string, s string) []string {
	i, found := slices.BinarySearch(list, s)
	if found {
		return list
	}
	return slices.Insert(list, i, s)
}

// counted adds up counts by profile and category.
func counted(h Home, counts []journal.Count) []CountDigest {
	out := []CountDigest{}
	for _, c := range counts {
		name := named(h.Names.Category, c.Category)
		if c.Category == "none" {
			name = "something without a category"
		}
		profile := profileName(Event{Profile: c.Profile}, h)
		i := slices.IndexFunc(out, func(d CountDigest) bool { return d.Profile == profile && d.Name == name })
		if i < 0 {
			out = append(out, CountDigest{profile, name, c.Tries})
			continue
		}
		out[i].Tries += c.Tries
	}
	slices.SortFunc(out, func(a, b CountDigest) int {
		return cmp.Or(cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// isOffline reports whether i is of any name while everything was blocked.
func isOffline(i journal.Incident) bool {
	return i.Domain == "" && (i.Reason == policy.ByPause.String() || i.Reason == policy.BySchedule.String())
}

// chart counts events by day, by three hours or by ten minutes.
func chart(period When, events []Event, from, until time.Time, zone *time.Location) []Bar {
	var starts []time.Time
	var labels []string
	switch period {
	case Weekly:
		for d := 0; ; d++ {
			at := time.Date(from.Year(), from.Month(), from.Day()+d, 0, 0, 0, 0, zone)
			if !at.Before(until) {
				break
			}
			starts, labels = append(starts, at), append(labels, at.Format("Mon 2 Jan"))
		}
	case Daily:
		first := from.Hour() - from.Hour()%3
		for k := 0; ; k++ {
			at := time.Date(from.Year(), from.Month(), from.Day(), first+3*k, 0, 0, 0, zone)
			if !at.Before(until) {
				break
			}
			starts, labels = append(starts, at), append(labels, at.Format("Mon 15:04"))
		}
	default:
		for at := from; at.Before(until); at = at.Add(10 * time.Minute) {
			starts, labels = append(starts, at), append(labels, at.In(zone).Format("15:04"))
		}
	}
	bars := make([]Bar, len(starts))
	for i := range bars {
		bars[i].Label = labels[i]
	}
	for _, e := range events {
		i := len(starts) - 1
		for i > 0 && e.At.Before(starts[i]) {
			i--
		}
		if i >= 0 { // one that began before the span counts where the span begins
			bars[i].N++
		}
	}
	return bars
}

var periodWords = map[When]string{Hourly: "hour", Daily: "day", Weekly: "week"}

// Subject is the digest's, without any name that was asked for.
func (d Digest) Subject() string {
	s := fmt.Sprintf("Kinward: your %s, %s", periodWords[d.Period], d.Until.Format("Mon 2 Jan"))
	if d.Calm() {
		return s + ": all calm"
	}
	return s
}

// headline says it in a sentence.
func (d Digest) headline() string {
	if d.Calm() {
		return "All calm: nothing was recorded that you asked to hear of."
	}
	switch s := len(d.Signals); {
	case d.Total == 0 && s == 0:
		return "Nothing was recorded by name."
	case s == 0:
		return plural(d.Total, "incident was", "incidents were") + " recorded."
	default:
		return fmt.Sprintf("%s recorded, and %s noticed.", plural(d.Total, "incident was", "incidents were"), plural(s, "thing was", "things were"))
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (d Digest) spanText() string {
	const layout = "Mon 2 Jan 15:04"
	return d.From.Format(layout) + " – " + d.Until.Format(layout)
}

// line says a category's part, without the count.
func (c CategoryDigest) line() string {
	s := c.Name
	if len(c.Services) > 0 {
		s += ": " + someOf(c.Services)
	}
	s += " (" + someOf(c.Devices)
	if c.Watched > 0 {
		s += fmt.Sprintf("; %d allowed and recorded", c.Watched)
	}
	return s + ")"
}

// someOf joins the first few of a list and counts the others.
func someOf(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// Text writes the digest as plain text, with its chart as bars.
func (d Digest) Text(link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Family %s, %s\n%s\n", d.Family, d.spanText(), d.headline())
	for _, p := range d.Profiles {
		fmt.Fprintf(&b, "\nProfile %s\n", p.Name)
		for _, c := range p.Categories {
			fmt.Fprintf(&b, "%5d  %s\n", c.Total, c.line())
		}
	}
	if len(d.Signals) > 0 {
		b.WriteString("\nNoticed\n")
		for _, s := range d.Signals[:min(len(d.Signals), mostSignals)] {
			fmt.Fprintf(&b, "  %s\n", s)
		}
		if n := len(d.Signals) - mostSignals; n > 0 {
			fmt.Fprintf(&b, "  and %d more\n", n)
		}
	}
	for _, s := range d.asides() {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	if len(d.Chart) > 0 {
		b.WriteString("\nWhen\n")
		width := d.labelWidth()
		for _, bar := range d.Chart {
			line := fmt.Sprintf("  %-*s  %s", width, bar.Label, strings.Repeat("█", d.scaled(bar.N, 30)))
			if bar.N > 0 {
				line += fmt.Sprintf(" %d", bar.N)
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	fmt.Fprintf(&b, "\nTimes are of %s. %s\n", d.Zone, lookUp)
	if link != "" {
		fmt.Fprintf(&b, "See more in Kinward: %s\n", link)
	}
	return b.String()
}

const mostSignals = 10

// asides are what is said besides: that has no names.
func (d Digest) asides() []string {
	var out []string
	for _, c := range d.Counted {
		out = append(out, fmt.Sprintf("Profile %s: %s was looked up %s; it is counted, not named.", c.Profile, c.Name, plural(int(c.Tries), "time", "times")))
	}
	if d.Offline > 0 {
		out = append(out, fmt.Sprintf("Names were looked up while everything was blocked (%s). Devices also do so by themselves.", plural(d.Offline, "time span", "time spans")))
	}
	if d.More {
		out = append(out, "There were more than this sums up.")
	}
	return out
}

func (d Digest) labelWidth() (w int) {
	for _, b := range d.Chart {
		w = max(w, len(b.Label))
	}
	return w
}

// scaled returns how long a bar of n is where the longest has a length; none that
// counts something is invisible.
func (d Digest) scaled(n, longest int) int {
	if n == 0 {
		return 0
	}
	most := 0
	for _, b := range d.Chart {
		most = max(most, b.N)
	}
	return max(1, n*longest/most)
}

// HTML writes the digest as a page. The chart is a table that can be read aloud.
func (d Digest) HTML(link string) string {
	type bar struct {
		Bar
		Percent int
	}
	type part struct {
		N    int
		Line string
	}
	type profile struct {
		Name  string
		Parts []part
	}
	data := struct {
		Span, Headline, Zone, Note, Link, Summary string
		Profiles                                  []profile
		Signals, Asides                           []string
		MoreSignals                               int
		Bars                                      []bar
	}{
		Span: "Family " + d.Family + ", " + d.spanText(), Headline: d.headline(), Zone: d.Zone, Note: lookUp, Link: link,
		Signals: d.Signals[:min(len(d.Signals), mostSignals)], MoreSignals: max(len(d.Signals)-mostSignals, 0), Asides: d.asides(),
	}
	for _, p := range d.Profiles {
		parts := []part{}
		for _, c := range p.Categories {
			parts = append(parts, part{c.Total, c.line()})
		}
		data.Profiles = append(data.Profiles, profile{p.Name, parts})
	}
	for _, b := range d.Chart {
		data.Bars = append(data.Bars, bar{b, d.scaled(b.N, 100)})
	}
	return page(d.Subject(), data, digestPage())
}

var digestPage = pageOf("digest", `{{with .Data}}<p>{{.Span}}</p>
<p><strong>{{.Headline}}</strong></p>
{{range .Profiles}}<h2 style="font-size:1rem">Profile {{.Name}}</h2>
<ul>{{range .Parts}}<li><strong>{{.N}}</strong> {{.Line}}</li>{{end}}</ul>
{{end}}{{if .Signals}}<h2 style="font-size:1rem">Noticed</h2>
<ul>{{range .Signals}}<li>{{.}}</li>{{end}}{{if .MoreSignals}}<li>and {{.MoreSignals}} more</li>{{end}}</ul>
{{end}}{{range .Asides}}<p>{{.}}</p>
{{end}}{{if .Bars}}<table style="border-collapse:collapse;width:100%"><caption style="text-align:left;font-weight:bold">When: incidents by time</caption>
{{range .Bars}}<tr><th scope="row" style="text-align:left;font-weight:normal;white-space:nowrap;padding-right:.5rem">{{.Label}}</th><td style="width:100%">{{if .N}}<div aria-hidden="true" style="background:#2a6f97;height:1em;width:{{.Percent}}%"></div>{{end}}</td><td style="text-align:right;padding-left:.5rem">{{.N}}</td></tr>
{{end}}</table>
{{end}}<p style="font-size:.875rem">Times are of {{.Zone}}. {{.Note}}</p>
{{with .Link}}<p><a href="{{.}}">See more in Kinward</a></p>
{{end}}{{end}}`)

// letter makes a message of the digest.
func (d Digest) letter(link string) Letter {
	return Letter{
		Subject: d.Subject(), Short: d.headline(), Text: d.Text(link), HTML: d.HTML(link),
		Fields: struct {
			Type   string `json:"type"`
			Digest Digest `json:"digest"`
			Link   string `json:"link,omitempty"`
		}{"digest", d, link},
	}
}
