package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// tokenView is what a token says of itself.
type tokenView struct {
	Name   string     `json:"name"`
	Scopes []string   `json:"scopes"`
	Role   string     `json:"role,omitempty"` // of the person in their family; none where they run the server alone
	Until  *time.Time `json:"until,omitempty"`
}

func showToken(v *visit) error {
	if err := v.admitProgram(^scope(0)); err != nil {
		return err
	}
	k := tokenView{Name: v.token.Name, Scopes: scopesOf(v.token.Scopes).words()}
	if v.actor.Guardian != 0 {
		k.Role = v.actor.Role.String()
	}
	if !v.token.Until.IsZero() {
		until := v.token.Until.UTC()
		k.Until = &until
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	v.cached("", b)
	return nil
}

// describe makes the document of the API (OpenAPI 3.1) of the table and the
// operations' types.
func (a *api) describe() (err error) {
	s := newSchemas()
	paths := object{}
	at := func(path string) object {
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		return item
	}
	for _, o := range a.routes {
		at(o.path)[strings.ToLower(o.method)] = o.describe(s)
	}
	at("/token")["get"] = described("getToken", "This API", "What the token is for.", ^scope(0), nil, answers(
		"200", answerOf("What the token is for.", "application/json", s.of(reflect.TypeFor[tokenView]()), true)), false)
	at("/events")["get"] = described("listen", "This API", `Tells when something of the family may have changed, as server-sent events: "change", which says nothing of what. Eight may listen in a person's name; "end" is the last where another takes the place, or the token is over.`,
		scopeRead|scopeRequests, nil, answers("200", answerOf("A stream that goes on.", "text/event-stream", object{"type": "string"}, false)), false)
	document := described("getDocument", "This API", "This document.", 0, nil, object{
		"200": answerOf("This document.", "application/json", object{"type": "object"}, false),
	}, false)
	document["security"] = []any{}
	at("/openapi.json")["get"] = document
	s.refer(reflect.TypeFor[problem]())
	s.refer(reflect.TypeFor[waitingChange]())
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Kinward", "version": "1",
			"description": "What the pages of Kinward show and do, for programs. A token is made by a person on the page \"access for programs\"; it can never do more than that person. The family is the person's: it is never named. What is answered only ever gets more fields: leave aside those that you do not know.",
		},
		"servers":  []any{object{"url": apiPrefix}},
		"security": []any{object{"token": []any{}}},
		"tags":     topics(a.routes),
		"paths":    paths,
		"components": object{
			"schemas":         s.named,
			"responses":       object{"problem": object{"description": "What was wrong (RFC 9457). Its type leads to an explanation.", "content": object{"application/problem+json": object{"schema": ref("schemas", "Problem")}}}},
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "A token of Kinward: kw_…"}},
			"headers": object{
				"ETag": object{"description": "For If-None-Match, and that of the family's choices for If-Match.", "schema": object{"type": "string"}},
				"Link": object{"description": "The next page (RFC 8288), where there is one.", "schema": object{"type": "string"}},
			},
		},
	}
	if a.doc, err = json.Marshal(doc); err != nil {
		return err
	}
	sum := sha256.Sum256(a.doc)
	a.docTag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return nil
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

func topics(routes []*apiOperation) (tags []any) {
	var seen []string
	for _, o := range routes {
		if !slices.Contains(seen, o.topic) {
			seen = append(seen, o.topic)
			tags = append(tags, object{"name": o.topic})
		}
	}
	return append(tags, object{"name": "This API"})
}

// describe says what a row takes and answers.
func (o *apiOperation) describe(s *schemas) object {
	var parameters []any
	properties, required, example := object{}, []string{}, object{}
	for _, i := range o.allInputs(o.types) {
		schema := o.schemaOf(s, i)
		if i.place == inBody {
			properties[i.name] = schema
			if i.must {
				required = append(required, i.name)
			}
			if i.example != nil {
				example[i.name] = i.example
			}
			continue
		}
		p := object{"name": i.name, "in": map[inputPlace]string{inPath: "path", inQuery: "query"}[i.place], "required": i.must, "schema": schema}
		if i.example != nil && i.example != "" {
			p["example"] = i.example
		}
		parameters = append(parameters, p)
	}
	if _, err := memberAt(o.types.Request, []string{"do"}); err == nil && o.changes() {
		parameters = append(parameters, object{
			"name": "If-Match", "in": "header", "required": false, "schema": object{"type": "string"},
			"description": "Make the change only where the family's choices are still at this revision: the ETag of " + apiPrefix + "/family, or a revision in quotes.",
		})
	}
	good := answerOf("Done.", "application/json", o.answerSchema(s), !o.changes())
	all := answers("200", good)
	if o.changes() {
		all["202"] = answerOf("It weakens protection, and waits for its time or for another guardian.", "application/json", ref("schemas", "WaitingChange"), false)
	}
	d := described(o.id, o.topic, o.says, o.scopes, parameters, all, o.list != "")
	if len(properties) > 0 {
		content := object{"schema": object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}}
		if len(example) > 0 {
			content["example"] = example
		}
		d["requestBody"] = object{"required": len(required) > 0, "content": object{"application/json": content}}
	}
	return d
}

// schemaOf is the schema of an input.
func (o *apiOperation) schemaOf(s *schemas, i input) object {
	kind, err := i.kind(o.types)
	if err != nil {
		panic(err) // check has been here
	}
	schema := object{}
	for k, v := range s.of(kind) {
		schema[k] = v
	}
	switch {
	case i.words != nil:
		schema["enum"] = i.words
	case i.ofList() && i.name == "limit":
		schema["minimum"], schema["maximum"], schema["default"] = 1, maxLimit, defaultLimit
	}
	if i.says != "" {
		schema["description"] = i.says
	}
	return schema
}

// answerSchema is the schema of what a row answers.
func (o *apiOperation) answerSchema(s *schemas) object {
	if o.list == "" {
		if len(o.without) == 0 {
			return s.of(o.answer)
		}
		return s.structure(o.id, slices.DeleteFunc(members(o.answer), func(m member) bool { return slices.Contains(o.without, m.json) }))
	}
	items := member{}
	var rest []member
	for _, m := range members(o.types.Reply) {
		switch {
		case m.json == o.list:
			items = m
		case o.only == "" && m.json != "more" && m.json != "next":
			rest = append(rest, m)
		}
	}
	schema := s.structure(o.id, rest)
	properties := schema["properties"].(object)
	properties["items"] = s.described(o.id, "items", s.of(items.kind))
	properties["next"] = object{"type": "string", "description": "The cursor of the next page; missing on the last."}
	schema["required"] = append(schema["required"].([]string), "items")
	return schema
}

func described(id, topic, says string, scopes scope, parameters []any, answers object, list bool) object {
	d := object{"operationId": id, "tags": []any{topic}, "summary": says, "responses": answers}
	if scopes != 0 {
		d["x-scopes"] = scopes.words()
		d["description"] = "Takes a token for: " + strings.Join(scopes.words(), " or ") + "."
	}
	if len(parameters) > 0 {
		d["parameters"] = parameters
	}
	if list {
		d["responses"].(object)["200"].(object)["headers"].(object)["Link"] = ref("headers", "Link")
	}
	return d
}

func answers(status string, good object) object {
	return object{status: good, "default": ref("responses", "problem")}
}

func answerOf(text, kind string, schema object, tagged bool) object {
	a := object{"description": text, "content": object{kind: object{"schema": schema}}, "headers": object{}}
	if tagged {
		a["headers"] = object{"ETag": ref("headers", "ETag")}
	}
	return a
}

// apiTopic is a part of the page that explains the API.
type apiTopic struct {
	Name   string
	Routes []apiLine
}

// apiLine is a row of the table as people read it.
type apiLine struct {
	ID, Method, Path, Says, Scopes string
	Inputs                         []apiInputLine
	Example                        string // of the body, as JSON
}

type apiInputLine struct {
	Name, Place, Kind, Says string
	Must                    bool
}

// apiView is the page that explains the API. It stands in English alone, as what
// it explains does.
type apiView struct {
	Prefix   string
	Topics   []apiTopic
	Problems []apiProblem
	Burst    int
	Pace     int
}

type apiProblem struct {
	Name   string
	Status int
	Title  string
	Says   string
}

func explainAPI(v *visit) error {
	view := apiView{Prefix: apiPrefix, Burst: rateBurst, Pace: ratePerMinute}
	for _, o := range v.server.api.routes {
		i := slices.IndexFunc(view.Topics, func(t apiTopic) bool { return t.Name == o.topic })
		if i < 0 {
			i, view.Topics = len(view.Topics), append(view.Topics, apiTopic{Name: o.topic})
		}
		view.Topics[i].Routes = append(view.Topics[i].Routes, o.line())
	}
	for _, k := range problemKinds {
		view.Problems = append(view.Problems, apiProblem{k.name, k.status, k.title, k.says})
	}
	return v.page(200, "api", view)
}

func (o *apiOperation) line() apiLine {
	l := apiLine{ID: o.id, Method: o.method, Path: apiPrefix + o.path, Says: o.says, Scopes: strings.Join(o.scopes.words(), ", ")}
	example := object{}
	for _, i := range o.allInputs(o.types) {
		kind, err := i.kind(o.types)
		if err != nil {
			panic(err) // check has been here
		}
		says := i.says
		if i.words != nil {
			says = strings.TrimSpace(says + " One of: " + strings.Join(i.words, ", ") + ".")
		}
		l.Inputs = append(l.Inputs, apiInputLine{i.name, [...]string{"path", "query", "body"}[i.place], words(kind), says, i.must})
		if i.place == inBody && i.example != nil {
			example[i.name] = i.example
		}
	}
	if len(example) > 0 {
		b, err := json.Marshal(example)
		if err != nil {
			panic(fmt.Sprintf("the example of %s is no JSON: %v", o.id, err))
		}
		l.Example = string(b)
	}
	return l
}
