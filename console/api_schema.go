package console

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// OperationTypes says what an operation of the desk takes and replies.
type OperationTypes struct{ Request, Reply reflect.Type }

var (
	timeType      = reflect.TypeFor[time.Time]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
	writerType    = reflect.TypeFor[encoding.TextMarshaler]()
	readerType    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// member is a field of a Go struct as its JSON has it.
type member struct {
	json string // as the operations call it
	name string // as the API does
	kind reflect.Type
	must bool // it is always there
}

// members returns the fields that the JSON of a struct has, those of embedded
// structs among them (where one hides another, the outer).
func members(t reflect.Type) (all []member) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case f.Anonymous && tag == "" && indirect(f.Type).Kind() == reflect.Struct:
			for _, m := range members(indirect(f.Type)) {
				if !slices.ContainsFunc(all, func(o member) bool { return o.json == m.json }) {
					all = append(all, m)
				}
			}
		case f.IsExported():
			m := member{tag, "", f.Type, !strings.Contains(options, "omit")}
			if tag == "" {
				m.json = f.Name
			}
			m.name = snake(m.json)
			all = slices.DeleteFunc(all, func(o member) bool { return o.json == m.json })
			all = append(all, m)
		}
	}
	return all
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// snake returns the name that the API gives a field: all of them are written
// alike, whatever the operations do.
func snake(name string) string {
	var b strings.Builder
	before := ' '
	for i, r := range name {
		if unicode.IsUpper(r) {
			next := rune(' ')
			if i+1 < len(name) {
				next = rune(name[i+1])
			}
			if i > 0 && before != '_' && (!unicode.IsUpper(before) || unicode.IsLower(next)) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// memberAt follows a dotted path of JSON names into a type.
func memberAt(t reflect.Type, parts []string) (member, error) {
	var m member
	for _, part := range parts {
		t = indirect(t)
		if t.Kind() != reflect.Struct {
			return m, fmt.Errorf("%s has no field %q", t, part)
		}
		all := members(t)
		i := slices.IndexFunc(all, func(m member) bool { return m.json == part })
		if i < 0 {
			return m, fmt.Errorf("%s has no field %q", t, part)
		}
		m, t = all[i], all[i].kind
	}
	return m, nil
}

// isText reports whether a type is a string in JSON, though it may be none in Go.
func isText(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Implements(writerType) || t.Implements(marshalerType)
}

// isOpen reports whether nothing is known of what a type holds.
func isOpen(t reflect.Type) bool { return t.Kind() == reflect.Interface || t == rawType }

// schemas makes the schemas of Go types, those of structs by name.
type schemas struct {
	named map[string]object
	names map[reflect.Type]string
	types map[string]reflect.Type
	says  map[string]string // of [FieldTexts]
}

func newSchemas() *schemas {
	return &schemas{map[string]object{}, map[reflect.Type]string{}, map[string]reflect.Type{}, FieldTexts()}
}

// of returns the schema of what a type is in JSON.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case isOpen(t):
		return object{}
	case isText(t):
		schema := object{"type": "string"}
		if words := wordsOf(t); words != nil {
			schema["enum"] = words
		}
		return schema
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && !isText(t.Elem()) {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Struct:
		return s.refer(t)
	}
	panic(fmt.Sprintf("the API cannot say what %s is", t)) // found when the console is made, by every test
}

// refer returns a reference to the schema of a struct, which it makes at the
// first time.
func (s *schemas) refer(t reflect.Type) object {
	name, known := s.names[t]
	if !known {
		name = s.nameFor(t)
		s.names[t], s.types[name] = name, t
		s.named[name] = s.structure(name, members(t))
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// structure is the schema of an object of some fields; name is what its own texts
// of [FieldTexts] stand under.
func (s *schemas) structure(name string, all []member) object {
	properties, required := object{}, []string{}
	for _, m := range all {
		schema := s.of(m.kind)
		if m.must {
			required = append(required, m.name)
			if m.kind.Kind() == reflect.Pointer { // it may be null
				schema = object{"anyOf": []any{schema, object{"type": "null"}}}
			}
		}
		properties[m.name] = s.described(name, m.name, schema)
	}
	return object{"type": "object", "properties": properties, "required": required}
}

// described is a schema with what a field of its means, where that is written down.
func (s *schemas) described(name, field string, schema object) object {
	if says := cmp.Or(s.says[name+"."+field], s.says[field]); says != "" {
		schema["description"] = says
	}
	return schema
}

// nameFor names a struct in the document: without what only the code means.
func (s *schemas) nameFor(t reflect.Type) string {
	name := strings.TrimSuffix(strings.TrimSuffix(t.Name(), "View"), "Reply")
	if name == "" {
		panic(fmt.Sprintf("the API needs a name for %s", t))
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i]
	}
	if _, taken := s.types[name]; taken {
		pkg := path.Base(t.PkgPath())
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// maxWords: a type with more values is no choice among words.
const maxWords = 40

// wordsOf returns the words that a type of words allows, nil for other types. It
// asks the type itself, so that the document says what the program does.
func wordsOf(t reflect.Type) (words []string) {
	if !t.Implements(writerType) || !reflect.PointerTo(t).Implements(readerType) || t.Kind() < reflect.Int || t.Kind() > reflect.Uint64 {
		return nil
	}
	for i := range maxWords + 1 {
		v := reflect.New(t).Elem()
		if v.CanInt() {
			v.SetInt(int64(i))
		} else {
			v.SetUint(uint64(i))
		}
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		again := reflect.New(t)
		if err != nil || again.Interface().(encoding.TextUnmarshaler).UnmarshalText(text) != nil || !again.Elem().Equal(v) {
			if i == 0 { // the zero value is no word
				continue
			}
			break
		}
		words = append(words, string(text))
	}
	if len(words) > maxWords || len(words) == 0 {
		return nil
	}
	return words
}

// reshape gives the JSON of a type the API's names, and lists that are empty where
// the program has none at all.
func reshape(t reflect.Type, v any) any {
	if t = indirect(t); isOpen(t) || isText(t) || t == timeType {
		return v
	}
	switch t.Kind() {
	case reflect.Struct:
		in, ok := v.(object)
		if !ok {
			return v
		}
		out := make(object, len(in))
		for _, m := range members(t) {
			if x, ok := in[m.json]; ok {
				out[m.name] = reshape(m.kind, x)
			}
		}
		return out
	case reflect.Slice, reflect.Array:
		if v == nil && (t.Elem().Kind() != reflect.Uint8 || isText(t.Elem())) {
			return []any{}
		}
		list, _ := v.([]any)
		for i := range list {
			list[i] = reshape(t.Elem(), list[i])
		}
	case reflect.Map:
		if v == nil {
			return object{}
		}
		m, _ := v.(object)
		for k := range m {
			m[k] = reshape(t.Elem(), m[k])
		}
	}
	return v
}
