package alerts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

// makeDigest makes one of what happened from a time until before another. wanted
// tells of each event whether it belongs in it.
func makeDigest(h Home, period When, from, until time.Time, events []Event, counts []journal.Count, wanted func(Event) bool) Digest {
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
		d.Chart = chart(h, period, told, d.From, d.Until)
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
		if e.Incident.Verdict == policy.Watch.String() {
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
			name = h.Names.Text("something without a category")
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
func chart(h Home, period When, events []Event, from, until time.Time) []Bar {
	zone := zone(h)
	var starts []time.Time
	var labels []string
	switch period {
	case Weekly:
		for d := 0; ; d++ {
			at := time.Date(from.Year(), from.Month(), from.Day()+d, 0, 0, 0, 0, zone)
			if !at.Before(until) {
				break
			}
			starts, labels = append(starts, at), append(labels, h.Names.Time(at, "Mon 2 Jan"))
		}
	case Daily:
		first := from.Hour() - from.Hour()%3
		for k := 0; ; k++ {
			at := time.Date(from.Year(), from.Month(), from.Day(), first+3*k, 0, 0, 0, zone)
			if !at.Before(until) {
				break
			}
			starts, labels = append(starts, at), append(labels, h.Names.Time(at, "Mon 15:04"))
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

// subjects are those of digests, with the day on which they end.
var subjects = map[When]string{Hourly: "Kinward: your hour, %s", Daily: "Kinward: your day, %s", Weekly: "Kinward: your week, %s"}

// subject is the digest's, without any name that was asked for.
func (d Digest) subject(h Home) string {
	s := h.Names.Textf(subjects[d.Period], h.Names.Time(d.Until, "Mon 2 Jan"))
	if d.Calm() {
		return s + h.Names.Text(": all calm")
	}
	return s
}

// headline says it in a sentence.
func (d Digest) headline(h Home) string {
	if d.Calm() {
		return h.Names.Text("All calm: nothing was recorded that you asked to hear of.")
	}
	recorded := one(h, d.Total, "1 incident was recorded", "%d incidents were recorded")
	switch s := len(d.Signals); {
	case d.Total == 0 && s == 0:
		return h.Names.Text("Nothing was recorded by name.")
	case s == 0:
		return recorded + "."
	default:
		return h.Names.Textf("%s, and %s.", recorded, one(h, s, "1 thing was noticed", "%d things were noticed"))
	}
}

// one counts something, in the words for one or in those for several.
func one(h Home, n int, single, several string) string {
	if n == 1 {
		return h.Names.Text(single)
	}
	return h.Names.Textf(several, n)
}

func (d Digest) span(h Home) string {
	const layout = "Mon 2 Jan 15:04"
	return h.Names.Textf("Family %s, %s – %s", d.Family, h.Names.Time(d.From, layout), h.Names.Time(d.Until, layout))
}

// line says a category's part, without the count.
func (c CategoryDigest) line(h Home) string {
	s := c.Name
	if len(c.Services) > 0 {
		s += ": " + someOf(h, c.Services)
	}
	s += " (" + someOf(h, c.Devices)
	if c.Watched > 0 {
		s += h.Names.Textf("; %d allowed and recorded", c.Watched)
	}
	return s + ")"
}

// someOf joins the first few of a list and counts the others.
func someOf(h Home, list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return h.Names.Textf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// text writes the digest as plain text, with its chart as bars.
func (d Digest) text(h Home, link string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", d.span(h), d.headline(h))
	for _, p := range d.Profiles {
		fmt.Fprintf(&b, "\n%s\n", h.Names.Textf("Profile %s", p.Name))
		for _, c := range p.Categories {
			fmt.Fprintf(&b, "%5d  %s\n", c.Total, c.line(h))
		}
	}
	if len(d.Signals) > 0 {
		fmt.Fprintf(&b, "\n%s\n", h.Names.Text("Noticed"))
		for _, s := range d.Signals[:min(len(d.Signals), mostSignals)] {
			fmt.Fprintf(&b, "  %s\n", s)
		}
		if n := len(d.Signals) - mostSignals; n > 0 {
			fmt.Fprintf(&b, "  %s\n", h.Names.Textf("and %d more", n))
		}
	}
	for _, s := range d.asides(h) {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	if len(d.Chart) > 0 {
		fmt.Fprintf(&b, "\n%s\n", h.Names.Text("When"))
		width := d.labelWidth()
		for _, bar := range d.Chart {
			line := fmt.Sprintf("  %-*s  %s", width, bar.Label, strings.Repeat("█", d.scaled(bar.N, 30)))
			if bar.N > 0 {
				line += fmt.Sprintf(" %d", bar.N)
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n", d.note(h))
	if link != "" {
		fmt.Fprintf(&b, "%s\n", h.Names.Textf("See more in Kinward: %s", link))
	}
	return b.String()
}

// note is what stands below every digest.
func (d Digest) note(h Home) string {
	return h.Names.Textf("Times are of %s.", d.Zone) + " " + h.Names.Text(lookUp)
}

const mostSignals = 10

// asides are what is said besides: that has no names.
func (d Digest) asides(h Home) []string {
	var out []string
	for _, c := range d.Counted {
		out = append(out, h.Names.Textf("Profile %s: %s was looked up %s; it is counted, not named.", c.Profile, c.Name, one(h, int(c.Tries), "once", "%d times")))
	}
	if d.Offline > 0 {
		out = append(out, h.Names.Textf("Names were looked up while everything was blocked (%s). Devices also do so by themselves.", one(h, d.Offline, "1 time span", "%d time spans")))
	}
	if d.More {
		out = append(out, h.Names.Text("There were more than this sums up."))
	}
	return out
}

func (d Digest) labelWidth() (w int) {
	for _, b := range d.Chart {
		w = max(w, utf8.RuneCountInString(b.Label))
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

// html writes the digest as a page. The chart is a table that can be read aloud.
func (d Digest) html(h Home, link string) string {
	type bar struct {
		Bar
		Percent int
	}
	type part struct {
		N    int
		Line string
	}
	type profile struct {
		Title string
		Parts []part
	}
	data := struct {
		Span, Headline, Noticed, Caption, Note, Link, See string
		Profiles                                          []profile
		Signals, Asides                                   []string
		Bars                                              []bar
	}{
		Span: d.span(h), Headline: d.headline(h), Noticed: h.Names.Text("Noticed"), Caption: h.Names.Text("When: incidents by time"),
		Note: d.note(h), Link: link, See: h.Names.Text("See more in Kinward"),
		Signals: slices.Clone(d.Signals[:min(len(d.Signals), mostSignals)]), Asides: d.asides(h),
	}
	if n := len(d.Signals) - mostSignals; n > 0 {
		data.Signals = append(data.Signals, h.Names.Textf("and %d more", n))
	}
	for _, p := range d.Profiles {
		parts := []part{}
		for _, c := range p.Categories {
			parts = append(parts, part{c.Total, c.line(h)})
		}
		data.Profiles = append(data.Profiles, profile{h.Names.Textf("Profile %s", p.Name), parts})
	}
	for _, b := range d.Chart {
		data.Bars = append(data.Bars, bar{b, d.scaled(b.N, 100)})
	}
	return page(h, d.subject(h), data, digestPage())
}

var digestPage = pageOf("digest", `{{with .Data}}<p>{{.Span}}</p>
<p><strong>{{.Headline}}</strong></p>
{{range .Profiles}}<h2 style="font-size:1rem">{{.Title}}</h2>
<ul>{{range .Parts}}<li><strong>{{.N}}</strong> {{.Line}}</li>{{end}}</ul>
{{end}}{{if .Signals}}<h2 style="font-size:1rem">{{.Noticed}}</h2>
<ul>{{range .Signals}}<li>{{.}}</li>{{end}}</ul>
{{end}}{{range .Asides}}<p>{{.}}</p>
{{end}}{{if .Bars}}<table style="border-collapse:collapse;width:100%"><caption style="text-align:left;font-weight:bold">{{.Caption}}</caption>
{{range .Bars}}<tr><th scope="row" style="text-align:left;font-weight:normal;white-space:nowrap;padding-right:.5rem">{{.Label}}</th><td style="width:100%">{{if .N}}<div aria-hidden="true" style="background:#2a6f97;height:1em;width:{{.Percent}}%"></div>{{end}}</td><td style="text-align:right;padding-left:.5rem">{{.N}}</td></tr>
{{end}}</table>
{{end}}<p style="font-size:.875rem">{{.Note}}</p>
{{if .Link}}<p><a href="{{.Link}}">{{.See}}</a></p>
{{end}}{{end}}`)

// letter makes a message of the digest for whom h is made for.
func (d Digest) letter(h Home, link string) Letter {
	return Letter{
		Lang: h.Lang, Subject: d.subject(h), Short: d.headline(h), Text: d.text(h, link), HTML: d.html(h, link),
		Fields: struct {
			Type   string `json:"type"`
			Digest Digest `json:"digest"`
			Link   string `json:"link,omitempty"`
		}{"digest", d, link},
	}
}
