package main

import (
	"fmt"
	"html/template"
	"io"
	"sync"
	"time"

	"kinward/console"
	"kinward/journal"
)

// writePage writes an export as one page that needs nothing else: no script, and
// nothing from anywhere. It is in the language of whoever saved it.
func writePage(w io.Writer, x exportData) error {
	return page().Execute(w, exportPage{x, journal.Names{Say: console.Says(x.Lang)}})
}

// exportPage is an export with the words for it.
type exportPage struct {
	exportData
	names journal.Names
}

// Language is the page's (BCP 47).
func (p exportPage) Language() string {
	if p.names.Say == nil {
		return "en"
	}
	return p.Lang
}

// T says an English format in the page's language. What is put in is escaped, unless
// it is HTML.
func (p exportPage) T(english string, args ...any) template.HTML {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = template.HTMLEscapeString(s)
		}
	}
	return template.HTML(fmt.Sprintf(template.HTMLEscapeString(p.names.Text(english)), args...)) // escaped, part by part
}

// Said says a recorded sentence in the page's language.
func (p exportPage) Said(english string) string { return console.Said(p.Lang, english) }

// Times says how often something was.
func (p exportPage) Times(n uint64) string {
	if n == 1 {
		return p.names.Text("once")
	}
	return p.names.Textf("%d times", n)
}

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"reviews": reviewsText,
		"code": func(s string) template.HTML {
			return template.HTML("<code>" + template.HTMLEscapeString(s) + "</code>")
		},
	}).Parse(`<!doctype html>
<html lang="{{.Language}}">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{{.T "Incidents of family %s" .Family}}</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
li { margin: 0 0 1rem } small, dt { color: #444 } dt { font-weight: bold } code { overflow-wrap: anywhere }
@media print { body { margin: 0 } }
</style>
<h1>{{.T "Incidents of family %s" .Family}}</h1>
<p>{{.T "Made on %s by %s with Kinward %s. From %s to %s. All times are UTC; the family's clock is %s." (utc .Made) .By .Kinward (utc .Since) (utc .Until) .Zone}}</p>
<p>{{.T "This shows what devices looked up. A look-up is not a visit and says nothing about intent: pages and apps also ask by themselves, and a device may have been in other hands. It is no forensic proof."}}</p>
<h2>{{.T "Incidents, the newest first: %d" (len .Incidents)}}</h2>
<ol>
{{- range .Incidents}}
<li>{{.Sentence}}<br>
<small>{{$.T "%s to %s; tries: %d, look-ups: %d; %s: %s; choices of revision %d; incident %s" (utc .First) (utc .Last) .Tries .Queries (code .Verdict) ($.Said .Why) .Revision (code .ID)}}
{{- with .TopName}}{{$.T "; asked most: %s" (code .)}}{{end}}{{with reviews .Reviews}}<br>{{$.T "reviewed: %s" .}}{{end}}</small></li>
{{- else}}
<li>{{.T "None."}}</li>
{{- end}}
</ol>
{{- with .Counted}}
<h2>{{$.T "Counted, not named"}}</h2>
<ul>{{range .}}<li>{{$.T "%s, profile %s: %s, %s" .Day .ProfileName .CategoryName ($.Times .Tries)}}</li>{{end}}</ul>
{{- end}}
{{- with .Lost}}
<h2>{{$.T "Not whole"}}</h2>
<ul>{{range .}}<li>{{$.T "%s to %s: up to %d attempts of whatever family could not be kept" (utc .From) (utc .Until) .Count}}</li>{{end}}</ul>
{{- end}}
<h2>{{.T "What was in force at the export"}}</h2>
<dl>
<dt>{{.T "Family's choices"}}</dt><dd>{{.T "revision %d" .Policy}}</dd>
<dt>{{.T "Catalogue"}}</dt><dd>{{.T "edition %d of %s" .Catalogue.Version .Catalogue.Date}}{{with .Catalogue.SHA256}}, SHA-256 <code>{{.}}</code>{{end}}</dd>
{{- range .Lists}}
<dt>{{$.T "List %s" .ID}}</dt><dd>{{$.T "%s, entries: %d" .Name .Entries}}, SHA-256 <code>{{.SHA256}}</code></dd>
{{- end}}
</dl>
<h2>{{.T "How to check this bundle"}}</h2>
<p>{{.T "In the folder that it was unpacked to: %s. The sums were made at the export; the sum of the whole zip was printed then." (code "sha256sum -c SHA256SUMS")}}</p>
</html>
`))
})
