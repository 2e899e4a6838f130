package console

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
)

//go:embed all:pages static texts
var files embed.FS

// pages holds the templates of all pages, in each language. A page NAME is the
// file pages/NAME.html, which defines "title" and "main"; pages/_layout.html
// frames it, and other files that begin with _ hold what several pages show.
//
// Each is read when it is first shown: the first answer to a question of DNS does
// not wait for a hundred templates.
type pages struct {
	of map[string]map[string]func() (*template.Template, error) // by language, by name
}

// framed is what the layout shows.
type framed struct {
	V    *visit
	Name string // of the page
	Data any
}

func loadPages(t *texts) (*pages, error) {
	p := &pages{of: map[string]map[string]func() (*template.Template, error){}}
	names, err := fs.Glob(files, "pages/[a-z]*.html")
	if err != nil {
		return nil, err
	}
	for _, l := range t.languages {
		base := sync.OnceValues(func() (*template.Template, error) {
			return template.New("").Option("missingkey=error").Funcs(l.funcs()).ParseFS(files, "pages/_*.html")
		})
		p.of[l.tag] = map[string]func() (*template.Template, error){}
		for _, file := range names {
			p.of[l.tag][strings.TrimSuffix(path.Base(file), ".html")] = sync.OnceValues(func() (*template.Template, error) {
				own, err := base()
				if err == nil {
					own, err = own.Clone()
				}
				if err == nil {
					own, err = own.ParseFS(files, file)
				}
				if err != nil {
					return nil, fmt.Errorf("reading %s: %w", file, err)
				}
				return own, nil
			})
		}
	}
	return p, nil
}

func (p *pages) render(w io.Writer, v *visit, name, frame string, data any) error {
	read := p.of[v.lang.tag][name]
	if read == nil {
		return fmt.Errorf("there is no page %q", name)
	}
	t, err := read()
	if err != nil {
		return err
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

// query writes an address with the values that are not empty.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// status is that of a page which may say that something was wrong.
func status(wrong string) int {
	if wrong != "" {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}
