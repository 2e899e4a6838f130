package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// apiClient is something that speaks the API with a token.
type apiClient struct {
	t     *testing.T
	base  string
	token string
}

// token has who is signed in let a program in, for some scopes.
func (b *visitor) token(name string, scopes ...string) *apiClient {
	b.t.Helper()
	form := []string{"name", name, "days", "30"}
	for _, s := range scopes {
		form = append(form, "scope", s)
	}
	page := b.post("/programs", http.StatusOK, form...)
	token := regexp.MustCompile(`kw_[A-Za-z0-9_-]{43}`).FindString(page)
	if token == "" {
		b.t.Fatalf("no token was made:\n%s", page)
	}
	return &apiClient{b.t, b.base, token}
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(a.body, &o); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return o
}

// ask sends a request; body is what is sent as JSON, nil nothing. headers are
// names and values.
func (p *apiClient) ask(method, path string, body any, headers ...string) answer {
	p.t.Helper()
	var sent io.Reader
	if body != nil {
		sent = bytes.NewReader(encode(p.t, body))
	}
	q, err := http.NewRequestWithContext(p.t.Context(), method, p.base+"/api/v1"+path, sent)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		q.Header.Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, b}
}

// must asks for something that has to work.
func (p *apiClient) must(method, path string, body any) map[string]any {
	p.t.Helper()
	a := p.ask(method, path, body)
	if a.status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a.object(p.t)
}

// apiDocument is the document of the API as a test reads it.
type apiDocument struct {
	t       *testing.T
	raw     any
	schemas *jsonschema.Compiler
	routes  map[string]apiRouteDocument // by operationId
}

type apiRouteDocument struct {
	Method, Path string
	OperationID  string           `json:"operationId"`
	Scopes       []string         `json:"x-scopes"`
	Security     *json.RawMessage `json:"security"`
	Parameters   []struct {
		Name, In string
		Required bool
		Example  any
	}
	RequestBody struct {
		Content map[string]struct{ Example map[string]any }
	} `json:"requestBody"`
	Responses map[string]json.RawMessage
}

// fetchDocument reads the document from a running server, and holds it against
// the schema of OpenAPI 3.1.
func fetchDocument(t *testing.T, base string) *apiDocument {
	t.Helper()
	a := (&apiClient{t: t, base: base}).ask("GET", "/openapi.json", nil)
	if a.status != http.StatusOK {
		t.Fatalf("the document: %d %s", a.status, a.body)
	}
	d := &apiDocument{t: t, schemas: jsonschema.NewCompiler(), routes: map[string]apiRouteDocument{}}
	var err error
	if d.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(a.body)); err != nil {
		t.Fatal(err)
	}
	d.schemas.AssertFormat()
	d.schemas.AssertContent()
	must(t, d.schemas.AddResource("api.json", d.raw))
	file, err := os.Open(filepath.Join("testdata", "openapi-3.1.schema.json"))
	must(t, err)
	defer file.Close()
	meta, err := jsonschema.UnmarshalJSON(file)
	must(t, err)
	must(t, d.schemas.AddResource("https://spec.openapis.org/oas/3.1/schema/2022-10-07", meta))
	schema, err := d.schemas.Compile("https://spec.openapis.org/oas/3.1/schema/2022-10-07")
	must(t, err)
	if err := schema.Validate(d.raw); err != nil {
		t.Errorf("the document is none of OpenAPI 3.1: %v", err)
	}
	var doc struct {
		Paths map[string]map[string]apiRouteDocument
	}
	must(t, json.Unmarshal(a.body, &doc))
	for path, methods := range doc.Paths {
		for method, r := range methods {
			r.Method, r.Path = strings.ToUpper(method), path
			if _, twice := d.routes[r.OperationID]; twice {
				t.Errorf("two routes are called %s", r.OperationID)
			}
			d.routes[r.OperationID] = r
		}
	}
	return d
}

// hold holds an answer against what the document says of its route.
func (d *apiDocument) hold(r apiRouteDocument, a answer) {
	d.t.Helper()
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	at := fmt.Sprintf("api.json#/paths/%s/%s/responses/%d/content/%s/schema", escape(r.Path), strings.ToLower(r.Method), a.status, escape(kind))
	if _, documented := r.Responses[fmt.Sprint(a.status)]; !documented {
		if kind != "application/problem+json" {
			d.t.Errorf("%s answers %d with %s, of which the document says nothing", r.OperationID, a.status, kind)
		}
		at = "api.json#/components/schemas/Problem"
	}
	schema, err := d.schemas.Compile(at)
	if err != nil {
		d.t.Errorf("%s: %v", r.OperationID, err)
		return
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		d.t.Errorf("%s: %v: %s", r.OperationID, err, a.body)
		return
	}
	if err := schema.Validate(body); err != nil {
		d.t.Errorf("%s: the answer is not what the document says: %v\n%s", r.OperationID, err, a.body)
	}
	d.unsaid(r, body, at)
}

// unsaid reports what is answered and stands in no schema: a schema allows more
// than it names, so that programs go on when there is more one day.
func (d *apiDocument) unsaid(r apiRouteDocument, body any, at string) {
	named := d.properties(d.find(at))
	o, ok := body.(map[string]any)
	if !ok || len(named) == 0 {
		return
	}
	for _, field := range slices.Sorted(maps.Keys(o)) {
		if _, ok := named[field]; !ok {
			d.t.Errorf("%s answers %q, of which the document says nothing", r.OperationID, field)
		}
		if strings.ToLower(field) != field {
			d.t.Errorf("%s answers %q, which is not written as the others are", r.OperationID, field)
		}
	}
}

// find follows a JSON pointer into the document.
func (d *apiDocument) find(at string) map[string]any {
	_, pointer, _ := strings.Cut(at, "#/")
	x := d.raw
	for _, part := range strings.Split(pointer, "/") {
		o, _ := x.(map[string]any)
		part, _ = url.PathUnescape(part)
		x = o[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	o, _ := x.(map[string]any)
	if to, ok := o["$ref"].(string); ok {
		return d.find(to)
	}
	return o
}

func (d *apiDocument) properties(schema map[string]any) map[string]any {
	p, _ := schema["properties"].(map[string]any)
	return p
}

func escape(part string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
}

// example makes the request of a route's own example, but for what is set.
func (r apiRouteDocument) example(set map[string]any) (path string, body map[string]any) {
	path = r.Path
	values := url.Values{}
	for _, p := range r.Parameters {
		value := p.Example
		if own, ok := set[p.Name]; ok {
			value = own
		}
		switch {
		case value == nil:
		case p.In == "path":
			path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(value)), 1)
		case p.In == "query":
			values.Set(p.Name, fmt.Sprint(value))
		}
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	body = maps.Clone(r.RequestBody.Content["application/json"].Example)
	for name, value := range set {
		if _, ours := body[name]; ours {
			body[name] = value
		}
	}
	return path, body
}
