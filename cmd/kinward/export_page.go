package main

import (
	"html/template"
	"io"
	"sync"
	"time"
)

// writePage writes an export as one page that needs nothing else: no script, and
// nothing from anywhere.
func writePage(w io.Writer, x exportData) error { return page().Execute(w, x) }

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"reviews": reviewsText,
	}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Incidents of {{.Family}}</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
li { margin: 0 0 1rem } small, dt { color: #444 } dt { font-weight: bold } code { overflow-wrap: anywhere }
@media print { body { margin: 0 } }
</style>
<h1>Incidents of family {{.Family}}</h1>
<p>Made on {{utc .Made}} by {{.By}} with Kinward {{.Kinward}}. From {{utc .Since}} to {{utc .Until}}. All times are UTC; the
family's clock is {{.Zone}}.</p>
<p>This shows what devices looked up. A look-up is not a visit and says nothing about intent: pages and apps also ask by
themselves, and a device may have been in other hands. It is no forensic proof.</p>
<h2>{{len .Incidents}} incidents, the newest first</h2>
<ol>
{{- range .Incidents}}
<li>{{.Sentence}}<br>
<small>{{utc .First}} to {{utc .Last}}; {{.Tries}} tries, {{.Queries}} look-ups; {{.Verdict}}: {{.Why}}; choices of revision {{.Revision}};
incident <code>{{.ID}}</code>{{with .TopName}}; asked most: <code>{{.}}</code>{{end}}{{with reviews .Reviews}}<br>reviewed: {{.}}{{end}}</small></li>
{{- else}}
<li>None.</li>
{{- end}}
</ol>
{{- with .Counted}}
<h2>Counted, not named</h2>
<ul>{{range .}}<li>{{.Day}}, profile {{.ProfileName}}: {{.CategoryName}}, {{.Tries}} times</li>{{end}}</ul>
{{- end}}
{{- with .Lost}}
<h2>Not whole</h2>
<ul>{{range .}}<li>{{utc .From}} to {{utc .Until}}: up to {{.Count}} attempts of whatever family could not be kept</li>{{end}}</ul>
{{- end}}
<h2>What was in force at the export</h2>
<dl>
<dt>Family's choices</dt><dd>revision {{.Policy}}</dd>
<dt>Catalogue</dt><dd>edition {{.Catalogue.Version}} of {{.Catalogue.Date}}{{with .Catalogue.SHA256}}, SHA-256 <code>{{.}}</code>{{end}}</dd>
{{- range .Lists}}
<dt>List {{.ID}}</dt><dd>{{.Name}}, {{.Entries}} entries, SHA-256 <code>{{.SHA256}}</code></dd>
{{- end}}
</dl>
<h2>How to check this bundle</h2>
<p>In the folder that it was unpacked to: <code>sha256sum -c SHA256SUMS</code>. The sums were made at the export; the sum of the
whole zip was printed then.</p>
</html>
`))
})
