package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAPIReference: docs/api.md is made of the document (OpenAPI) that a running
// server serves.
func TestAPIReference(t *testing.T) {
	h := startHome(t, startUpstream(t))
	a := (&apiClient{t: t, base: h.signIn().base}).ask("GET", "/openapi.json", nil)
	if a.status != http.StatusOK {
		t.Fatalf("the document: %d %s", a.status, a.body)
	}
	holdDocument(t, "docs/api.md", apiReference(t, a.body))
}

// The parts of the document that the reference shows.
type (
	openAPI struct {
		Info       struct{ Description string }
		Servers    []struct{ URL string }
		Tags       []struct{ Name string }
		Paths      map[string]map[string]openOperation
		Components struct{ Schemas map[string]openSchema }
	}
	openOperation struct {
		OperationID string `json:"operationId"`
		Tags        []string
		Summary     string
		Scopes      []string `json:"x-scopes"`
		Parameters  []struct {
			Name, In, Description string
			Required              bool
			Schema                openSchema
		}
		RequestBody struct {
			Content map[string]openContent
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string
			Content     map[string]openContent
		}
	}
	openContent struct {
		Schema  openSchema
		Example json.RawMessage
	}
	openSchema struct {
		Ref         string          `json:"$ref"`
		Type        json.RawMessage // a word, or several
		Format      string
		Description string
		Enum        []any
		Properties  map[string]openSchema
		Required    []string
		Items       *openSchema
		Values      json.RawMessage `json:"additionalProperties"` // a schema, or whether there may be more
		Minimum     *float64
		Maximum     *float64
		AllOf       []openSchema
		AnyOf       []openSchema
		OneOf       []openSchema
	}
)

func apiReference(t *testing.T, document []byte) string {
	var doc openAPI
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	prefix := doc.Servers[0].URL
	var b strings.Builder
	fmt.Fprintf(&b, `# The API

%s

%s

Every address begins with `+"`%s`"+`. A token goes along as `+"`Authorization: Bearer kw_…`"+`. Bodies and answers are JSON. A list answers
`+"`items`, and `next`"+` where there is more: send that as `+"`cursor`"+`. What goes wrong is answered as `+"`application/problem+json`"+`
(RFC 9457, [Problem](#problem-object)), whose `+"`type`"+` leads to an explanation at `+"`/api`"+` of the server. The document itself (OpenAPI 3.1) is at
`+"`%s/openapi.json`"+`, for tools that make a client of it; [deploy/programs](../deploy/programs/kinward-api.sh) has a script.
A test sends the example of every route to a running server.

`, strings.Replace(madeBy, "its source", "console/api_table*.go and console/api_fields.txt", 1), doc.Info.Description, prefix, prefix)
	for _, tag := range doc.Tags {
		fmt.Fprintf(&b, "- [%s](#%s)\n", tag.Name, anchor(tag.Name))
	}
	b.WriteString("- [What is answered](#what-is-answered)\n")
	for _, tag := range doc.Tags {
		fmt.Fprintf(&b, "\n## %s\n", tag.Name)
		for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
			for _, method := range []string{"get", "post", "put", "patch", "delete"} {
				if o, ok := doc.Paths[path][method]; ok && o.Tags[0] == tag.Name {
					o.write(&b, strings.ToUpper(method), path)
				}
			}
		}
	}
	b.WriteString("\n## What is answered\n\nFields that are not marked with * may be missing.\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		fmt.Fprintf(&b, "\n### %s object\n\n", name)
		s := doc.Components.Schemas[name]
		if s.Description != "" {
			b.WriteString(s.Description + "\n\n")
		}
		s.writeFields(&b)
	}
	return b.String()
}

func (o openOperation) write(b *strings.Builder, method, path string) {
	fmt.Fprintf(b, "\n### %s\n\n`%s %s`\n\n%s", o.OperationID, method, path, o.Summary)
	if len(o.Scopes) > 0 {
		fmt.Fprintf(b, " A token for: %s.", strings.Join(o.Scopes, " or "))
	}
	b.WriteString("\n")
	var rows []string
	row := func(name, in string, must bool, s openSchema, says string) {
		rows = append(rows, fmt.Sprintf("| `%s`%s | %s | %s | %s |\n", name, map[bool]string{true: " *"}[must], in, s.kind(), inCell(cmp.Or(says, s.words()))))
	}
	for _, p := range o.Parameters {
		row(p.Name, p.In, p.Required, p.Schema, cmp.Or(p.Description, p.Schema.words()))
	}
	body := o.RequestBody.Content["application/json"]
	for _, name := range slices.Sorted(maps.Keys(body.Schema.Properties)) {
		row(name, "body", slices.Contains(body.Schema.Required, name), body.Schema.Properties[name], "")
	}
	if len(rows) > 0 {
		b.WriteString("\n| input | where | kind | |\n|---|---|---|---|\n" + strings.Join(rows, ""))
	}
	if len(body.Example) > 0 {
		fmt.Fprintf(b, "\n```json\n%s\n```\n", body.Example)
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if status == "default" {
			continue
		}
		r := o.Responses[status]
		for _, kind := range slices.Sorted(maps.Keys(r.Content)) {
			s := r.Content[kind].Schema
			said := s.kind()
			if kind != "application/json" {
				said = "`" + kind + "`"
			}
			switch {
			case len(s.Properties) > 0:
				fmt.Fprintf(b, "\nAnswers %s:\n\n", status)
				s.writeFields(b)
			case status == "202":
				fmt.Fprintf(b, "\nAnswers 202 where it has to wait: %s.\n", said)
			default:
				fmt.Fprintf(b, "\nAnswers %s: %s.\n", status, said)
			}
		}
	}
}

func (s openSchema) writeFields(b *strings.Builder) {
	if len(s.Properties) == 0 {
		b.WriteString(strings.ToUpper(s.kind()[:1]) + s.kind()[1:] + ".\n")
		return
	}
	b.WriteString("| field | kind | |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		f := s.Properties[name]
		fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", name, map[bool]string{true: " *"}[slices.Contains(s.Required, name)], f.kind(), inCell(f.words()))
	}
}

// kind says in a word or two what a value is.
func (s openSchema) kind() string {
	for _, several := range [][]openSchema{s.AllOf, s.AnyOf, s.OneOf} {
		var kinds []string
		for _, one := range several {
			kinds = append(kinds, one.kind())
		}
		if len(kinds) > 0 {
			return strings.Join(kinds, " or ")
		}
	}
	if _, name, ok := strings.Cut(s.Ref, "#/components/schemas/"); ok {
		return fmt.Sprintf("[%s](#%s)", name, anchor(name+" object"))
	}
	if s.Items != nil {
		return "list of " + s.Items.kind()
	}
	var values openSchema
	if json.Unmarshal(s.Values, &values) == nil && (values.Ref != "" || values.Type != nil) {
		return "map of " + values.kind()
	}
	word := strings.Join(strings.FieldsFunc(string(s.Type), func(r rune) bool { return strings.ContainsRune(`[]", `, r) }), " or ")
	if s.Format != "" {
		word += " (" + s.Format + ")"
	}
	return cmp.Or(word, "anything")
}

// words is what is said of a value, and which words or numbers it may be.
func (s openSchema) words() string {
	text := s.Description
	if len(s.Enum) > 0 {
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		text += " One of: " + strings.Join(words, ", ") + "."
	}
	if s.Minimum != nil && s.Maximum != nil {
		text += fmt.Sprintf(" From %v to %v.", *s.Minimum, *s.Maximum)
	}
	return strings.TrimSpace(text)
}

func inCell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`) }

// anchor is how Markdown's readers name a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune("?!.,()", r) {
			return -1
		}
		return r
	}, heading)), " ", "-")
}

// What the reference makes of a small document.
func TestAPIReferenceReads(t *testing.T) {
	got := apiReference(t, []byte(`{"info": {"description": "About."}, "servers": [{"url": "/api/v1"}], "tags": [{"name": "Children"}],
		"paths": {"/grants": {"post": {"operationId": "addGrant", "tags": ["Children"], "summary": "Allows it.", "x-scopes": ["write"],
			"parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}}],
			"requestBody": {"content": {"application/json": {"example": {"what": "roblox"}, "schema": {"required": ["what"], "properties": {"what": {"type": "string", "enum": ["a", "b"]}}}}}},
			"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Changed"}}}}, "default": {}}}}},
		"components": {"schemas": {"Changed": {"required": ["done"], "properties": {"done": {"type": ["string", "null"], "description": "What | was done."}, "at": {"type": "array", "items": {"type": "string", "format": "date-time"}}}}}}}`))
	wantAll(t, "the reference", got,
		"### addGrant\n\n`POST /grants`\n\nAllows it. A token for: write.\n",
		"| `limit` | query | integer | From 1 to 200. |\n| `what` * | body | string | One of: `a`, `b`. |\n",
		"```json\n{\"what\": \"roblox\"}\n```\n\nAnswers 200: [Changed](#changed-object).\n",
		"### Changed object\n\n| field | kind | |\n|---|---|---|\n| `at` | list of string (date-time) |  |\n| `done` * | string or null | What \\| was done. |\n")
}
