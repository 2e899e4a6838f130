package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A page of a list.
const (
	defaultLimit = 50
	maxLimit     = 200
	maxCursor    = 512
)

// allInputs are the inputs of a route, those among them that many routes have.
func (r *apiRoute) allInputs(types OperationTypes) []input {
	all := slices.Clone(r.inputs)
	if r.list != "" {
		all = append(all,
			queryInput("limit", "", defaultLimit).means(fmt.Sprintf("At most so many, up to %d.", maxLimit)),
			queryInput("cursor", "", nil).means("Where to go on: next of the page before."))
	}
	if _, err := memberAt(types.Request, []string{"why"}); err == nil && r.changes() {
		why := bodyInput("why", "why", nil)
		if r.method == "DELETE" {
			why.place = inQuery
		}
		all = append(all, why.means("The reason, for the history."))
	}
	return all
}

// ofList reports whether an input is about the page of a list, which the API
// answers by itself.
func (i input) ofList() bool { return i.to == "" }

// kind returns what an input is in Go.
func (i input) kind(types OperationTypes) (reflect.Type, error) {
	switch {
	case i.ofList() && i.name == "limit":
		return reflect.TypeFor[int](), nil
	case i.ofList():
		return reflect.TypeFor[string](), nil
	}
	m, err := memberAt(types.Request, i.parts())
	if err != nil {
		return nil, err
	}
	t := indirect(m.kind)
	if i.place != inBody && t.Kind() == reflect.Slice && !isText(t) {
		t = t.Elem() // one of several
	}
	return t, nil
}

// apiRequest is a request as it was read.
type apiRequest struct {
	request object // of the operation
	given   map[string]string
	limit   int
	cursor  string
}

// read makes the operation's request of what a program sent. What is wrong with it
// is said of all inputs at once.
func (r *apiRoute) read(v *visit, types OperationTypes) (*apiRequest, error) {
	a := &apiRequest{request: object{}, given: map[string]string{}, limit: defaultLimit}
	for _, to := range slices.Sorted(maps.Keys(r.fixed)) {
		put(a.request, strings.Split(to, "."), r.fixed[to])
	}
	values, err := url.ParseQuery(v.request.URL.RawQuery)
	if err != nil {
		return nil, badRequest.because("The query cannot be read.")
	}
	body, err := v.body()
	if err != nil {
		return nil, err
	}
	var wrong []problemField
	fail := func(i input, format string, args ...any) {
		wrong = append(wrong, problemField{i.name, fmt.Sprintf(format, args...)})
	}
	for _, i := range r.allInputs(types) {
		kind, err := i.kind(types)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.id, err)
		}
		var raw json.RawMessage
		switch i.place {
		case inPath:
			raw, err = textual(kind, v.request.PathValue(i.name))
		case inQuery:
			given := values[i.name]
			delete(values, i.name)
			if len(given) > 1 {
				fail(i, "it stands %d times", len(given))
				continue
			}
			if len(given) == 1 && (given[0] != "" || i.must) {
				raw, err = textual(kind, given[0])
			}
		case inBody:
			raw = body[i.name]
			delete(body, i.name)
			if string(raw) == "null" {
				raw = nil
			}
		}
		switch {
		case err != nil:
			fail(i, "%v", err)
		case raw == nil && i.must:
			fail(i, "it is missing")
		case raw != nil:
			if err := a.take(i, kind, raw); err != nil {
				fail(i, "%v", err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		wrong = append(wrong, problemField{name, "there is no such parameter"})
	}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		wrong = append(wrong, problemField{name, "there is no such field"})
	}
	if len(wrong) > 0 {
		return nil, invalid.because("Some of the inputs are wrong.", wrong...)
	}
	return a, nil
}

// take puts an input where it belongs.
func (a *apiRequest) take(i input, kind reflect.Type, raw json.RawMessage) error {
	value := reflect.New(kind)
	if err := json.Unmarshal(raw, value.Interface()); err != nil {
		var unfit *json.UnmarshalTypeError
		if errors.As(err, &unfit) || kind.Kind() != reflect.Struct {
			return fmt.Errorf("it has to be %s", words(kind))
		}
		return errors.New("it cannot be read")
	}
	if text, ok := value.Elem().Interface().(string); ok {
		a.given[i.name] = text
		if i.words != nil && !slices.Contains(i.words, text) {
			return fmt.Errorf("%q is none of %s", text, strings.Join(i.words, ", "))
		}
	}
	switch {
	case i.ofList() && i.name == "limit":
		a.limit = int(value.Elem().Int())
		if a.limit < 1 || a.limit > maxLimit {
			return fmt.Errorf("it has to be between 1 and %d", maxLimit)
		}
	case i.ofList():
		cursor, err := base64.RawURLEncoding.DecodeString(value.Elem().String())
		if err != nil || len(cursor) > maxCursor || !utf8.Valid(cursor) {
			return errors.New("it is none that this list gave")
		}
		a.cursor = string(cursor)
	default:
		put(a.request, i.parts(), value.Elem().Interface())
	}
	return nil
}

// words says what a type is to whoever writes JSON.
func words(t reflect.Type) string {
	switch {
	case isText(t):
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "a list of texts"
	case t.Kind() == reflect.Struct:
		return "an object"
	}
	return "a whole number"
}

// textual makes JSON of a value of a path or a query.
func textual(kind reflect.Type, text string) (json.RawMessage, error) {
	if isText(kind) || kind == timeType {
		return json.Marshal(text)
	}
	if kind.Kind() == reflect.Bool {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("it has to be true or false")
		}
		return json.Marshal(on)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, errors.New("it has to be a whole number")
	}
	return json.Marshal(n)
}

// put sets a value in an object of objects. A list of the operation's that one
// thing is named for holds just that.
func put(o object, path []string, value any) {
	for _, part := range path[:len(path)-1] {
		inner, ok := o[part].(object)
		if !ok {
			inner = object{}
			o[part] = inner
		}
		o = inner
	}
	last := path[len(path)-1]
	if last == "ids" {
		value = []any{value}
	}
	o[last] = value
}

// body reads the JSON object that a program sent, nil where it sent nothing.
func (v *visit) body() (map[string]json.RawMessage, error) {
	b, err := io.ReadAll(v.request.Body)
	var more *http.MaxBytesError
	switch {
	case errors.As(err, &more):
		return nil, err
	case err != nil: // it was cut off, or did not come in time
		return nil, badRequest.because("The body did not arrive whole.")
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(v.request.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, wrongType.because(wrongType.says)
	}
	if !utf8.Valid(b) { // RFC 8259 section 8.1; a name would be kept with other letters than were meant
		return nil, badRequest.because("The body has to be in UTF-8.")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil || fields == nil {
		return nil, badRequest.because("The body has to be a JSON object.")
	}
	if halfLetter(b) {
		return nil, badRequest.because("The body has half a character: a surrogate alone.")
	}
	if name, twice := repeated(b); twice {
		return nil, badRequest.because(fmt.Sprintf("The body has %q twice.", name))
	}
	return fields, nil
}

// halfLetter reports whether valid JSON writes half of a character, a surrogate without
// the other, of which every reader makes something else (RFC 8259 section 8.2).
func halfLetter(b []byte) bool {
	unit := func(i int) uint64 { // that is written at i, as \u and four digits; 0 where none is
		if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(b[i+2:i+6]), 16, 16) // no error: it is valid
		return n
	}
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		switch n := unit(i); {
		case n >= 0xd800 && n < 0xdc00:
			if low := unit(i + 6); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case n >= 0xdc00 && n <= 0xdfff:
			return true
		default:
			i++ // what it stands before is no beginning
		}
	}
	return false
}

// repeated returns a name that stands twice in an object of valid JSON, however
// deep. Which of the values is meant nobody can know (RFC 8259 section 4).
func repeated(b []byte) (name string, twice bool) {
	type level struct {
		names map[string]bool // nil in a list
		value bool            // a name was read, its value is next
	}
	var open []level
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		t, err := d.Token()
		if err != nil {
			return "", false
		}
		if t == json.Delim('}') || t == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 && open[len(open)-1].names != nil {
			in := &open[len(open)-1]
			if !in.value {
				name := t.(string)
				if in.names[name] {
					return name, true
				}
				in.names[name] = true
			}
			in.value = !in.value
		}
		switch t {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}

// blame says which input a refusal is about: the program's texts quote what they
// do not like.
func (a *apiRequest) blame(text string) (wrong []problemField) {
	for _, name := range slices.Sorted(maps.Keys(a.given)) {
		if given := a.given[name]; given != "" && strings.Contains(text, strconv.Quote(given)) {
			wrong = append(wrong, problemField{name, text})
		}
	}
	if len(wrong) != 1 { // a text that quotes several is about none of them in particular
		return nil
	}
	return wrong
}
