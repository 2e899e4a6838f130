package console

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
)

//go:embed all:pages static texts
var files embed.FS

// pages holds the templates of all pages, in each language. A page NAME is the
// file pages/NAME.html, which defines "title" and "main"; pages/_layout.html
// frames it, and other files that begin with _ hold what several pages show.
type pages struct {
	of map[string]map[string]*template.Template // by language, by name
}

// framed is what the layout shows.
type framed struct {
	V    *visit
	Name string // of the page
	Data any
}

func loadPages(t *texts) (*pages, error) {
	p := &pages{of: map[string]map[string]*template.Template{}}
	names, err := fs.Glob(files, "pages/[a-z]*.html")
	if err != nil {
		return nil, err
	}
	for _, l := range t.languages {
		base, err := template.New("").Option("missingkey=error").Funcs(l.funcs()).ParseFS(files, "pages/_*.html")
		if err != nil {
			return nil, fmt.Errorf("reading the frame of the pages: %w", err)
		}
		p.of[l.tag] = map[string]*template.Template{}
		for _, file := range names {
			own, err := base.Clone()
			if err == nil {
				own, err = own.ParseFS(files, file)
			}
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			p.of[l.tag][strings.TrimSuffix(path.Base(file), ".html")] = own
		}
	}
	return p, nil
}

func (p *pages) render(w io.Writer, v *visit, name, frame string, data any) error {
	t := p.of[v.lang.tag][name]
	if t == nil {
		return fmt.Errorf("there is no page %q", name)
	}
	return t.ExecuteTemplate(w, frame, framed{v, name, data})
}

// option is what a select offers.
type option struct{ Value, Label string }

// tab leads to one of the parts of a page; see the partial.
type tab struct {
	Href, Label string
	Here        bool
}
