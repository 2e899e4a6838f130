package setup

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// Guide is how to set something up, with a family's values in it.
type Guide struct {
	Platform string  `json:"platform"` // as it was asked for
	Title    string  `json:"title"`
	Away     bool    `json:"away"`    // it works away from home, and needs the public name
	Profile  bool    `json:"profile"` // it needs the file of [MobileConfig]
	Steps    []Point `json:"steps"`
	Notes    []Point `json:"notes"`
}

// Point is a step or a note. Without a source nobody has verified it.
type Point struct {
	Text   string   `json:"text"`
	Lines  []string `json:"lines,omitempty"` // to be typed or copied as they are
	Source string   `json:"source,omitempty"`
	Date   string   `json:"date,omitempty"` // when the source was read, as 2026-11
}

//go:embed guides/*.txt guides/*/*.txt
var guideFiles embed.FS

// platforms are in the order in which they are listed; each has a file in guides,
// beside shared.txt, which is part of all.
var platforms = []string{
	"android", "iphone", "mac", "windows", "chromebook", "gameconsole", "linux", "firefox", "chrome",
	"openwrt", "fritzbox", "unifi", "mikrotik", "router",
}

// Platforms lists what there are guides for.
func Platforms() []string { return slices.Clone(platforms) }

// For returns the guide for a platform. The error wraps [ErrNoPlatform], or
// [ErrNoPublicName] where the platform needs one and v has none.
func For(platform string, v Values) (Guide, error) { return ForIn("en", platform, v) }

// ForIn is [For] in a language (BCP 47); in English where there are no guides in it.
func ForIn(language, platform string, v Values) (Guide, error) {
	folder := "guides/"
	if _, err := guideFiles.Open(folder + language + "/shared.txt"); err == nil {
		folder += language + "/"
	}
	if !slices.Contains(platforms, platform) {
		return Guide{}, fmt.Errorf("making instructions for %q: %w; there are: %s", platform, ErrNoPlatform, strings.Join(platforms, ", "))
	}
	if err := v.check(); err != nil {
		return Guide{}, err
	}
	t, err := template.ParseFS(guideFiles, folder+"shared.txt", folder+platform+".txt")
	if err != nil {
		return Guide{}, fmt.Errorf("reading the guide for %s: %w", platform, err)
	}
	var text strings.Builder
	if err := t.ExecuteTemplate(&text, platform+".txt", v); err != nil {
		return Guide{}, fmt.Errorf("making instructions for %s: %w", platform, err)
	}
	g, err := parseGuide(platform, text.String())
	if err == nil && g.Away && v.Host() == "" {
		return Guide{}, fmt.Errorf("making instructions for %s: %w", platform, ErrNoPublicName)
	}
	return g, err
}

// parseGuide reads a guide: a line a thing, which its first word names. Lines to
// be copied and the source belong to the step or note above them.
func parseGuide(platform, text string) (Guide, error) {
	g := Guide{Platform: platform, Steps: []Point{}, Notes: []Point{}}
	var last *Point
	n := 0
	for line := range strings.Lines(text) {
		n++
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "":
		case word == "title":
			g.Title = rest
		case word == "away":
			g.Away = true
		case word == "home":
		case word == "file" && rest == "profile":
			g.Profile = true
		case word == "step":
			g.Steps = append(g.Steps, Point{Text: rest})
			last = &g.Steps[len(g.Steps)-1]
		case word == "note":
			g.Notes = append(g.Notes, Point{Text: rest})
			last = &g.Notes[len(g.Notes)-1]
		case word == "|" && last != nil:
			last.Lines = append(last.Lines, rest)
		case word == "source" && last != nil:
			i := strings.LastIndexByte(rest, ' ')
			if i < 0 {
				return g, fmt.Errorf("reading the guide for %s, line %d: %q has no date", platform, n, rest)
			}
			last.Source, last.Date = rest[:i], rest[i+1:]
		default:
			return g, fmt.Errorf("reading the guide for %s, line %d: %q is not understood", platform, n, line)
		}
	}
	return g, nil
}

// Text returns the guide for a terminal or a printer. What nobody verified says
// so; the sources stand at the end.
func (g Guide) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", g.Title)
	var sources []string
	mark := func(p Point) string {
		if p.Source == "" {
			return "(not verified)"
		}
		s := p.Source + ", read in " + p.Date
		i := slices.Index(sources, s)
		if i < 0 {
			i, sources = len(sources), append(sources, s)
		}
		return fmt.Sprintf("[%d]", i+1)
	}
	for i, p := range g.Steps {
		fmt.Fprintf(&b, "\n%d. %s %s\n", i+1, p.Text, mark(p))
		for _, l := range p.Lines {
			fmt.Fprintf(&b, "     %s\n", l)
		}
	}
	for _, p := range g.Notes {
		fmt.Fprintf(&b, "\nNote: %s %s\n", p.Text, mark(p))
	}
	if len(sources) > 0 {
		fmt.Fprintln(&b)
	}
	for i, s := range sources {
		fmt.Fprintf(&b, "[%d] %s\n", i+1, s)
	}
	return b.String()
}
