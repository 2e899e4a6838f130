package main

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"kinward/blocklists"
)

// strictYAML checks a document against the struct that it is to be read into.
// It reports the first unknown key, key given twice (in any spelling) or value
// of a wrong type, with its line and what would be right. Fields that read
// themselves from text ([encoding.TextUnmarshaler]) are asked. what names the
// document in errors.
func strictYAML(text []byte, t reflect.Type, what string) error {
	var doc, more yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return noYAML(err)
	}
	if err := documents.Decode(&more); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d: a second document begins with ---; put all keys into one", max(more.Line, 1))
	}
	if len(doc.Content) == 0 { // empty, or comments alone
		return nil
	}
	return checkMapping(doc.Content[0], t, what)
}

// noYAML says what to do about what cannot be read; the line that the reader names
// can be one after the mistake.
func noYAML(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if !strings.HasPrefix(text, "line ") {
		text = "line 1: " + text
	}
	return fmt.Errorf("%s; look there and at the line before: write \"key: value\", indent with spaces and not tabs, close each [, { and quote, and put a text with \": \" or \" #\" in it, or with one of *&!|>%%@` at its beginning, into quotes", text)
}

func checkMapping(n *yaml.Node, t reflect.Type, what string) error {
	valid := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		valid[name] = t.Field(i).Type
		names = append(names, name)
	}
	return eachKey(n, what, func(key, value *yaml.Node) error {
		want, ok := valid[key.Value]
		if !ok {
			return fmt.Errorf("line %d: there is no key %q in %s; did you mean %q?",
				key.Line, key.Value, what, blocklists.Nearest(key.Value, names))
		}
		return checkValue(value, want, key.Value)
	})
}

// eachKey calls f for every pair of a mapping, in which no key stands twice.
func eachKey(n *yaml.Node, what string, f func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s must be a list of keys with values", n.Line, what)
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, twice := seen[strings.ToLower(key.Value)]; twice {
			return fmt.Errorf("line %d: key %q stands already on line %d; give it once", key.Line, key.Value, line)
		}
		seen[strings.ToLower(key.Value)] = key.Line
		if err := f(key, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(n *yaml.Node, t reflect.Type, key string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reads := reflect.New(t).Interface(); isText(reads) {
		if n.Tag == "!!null" {
			return noValue(n, key)
		}
		if n.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: %s: %q is not a text", n.Line, key, n.Value)
		}
		if r, ok := reads.(encoding.TextUnmarshaler); ok {
			if err := r.UnmarshalText([]byte(n.Value)); err != nil {
				return fmt.Errorf("line %d: %s: %w", n.Line, key, err)
			}
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return checkMapping(n, t, strconv.Quote(key))
	case reflect.Map:
		return eachKey(n, strconv.Quote(key), func(k, v *yaml.Node) error {
			if err := checkValue(k, t.Key(), key); err != nil {
				return err
			}
			return checkValue(v, t.Elem(), key+" "+k.Value)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return fmt.Errorf("line %d: %s must be a list, for example [a, b]", n.Line, key)
		}
		for _, item := range n.Content {
			if err := checkValue(item, t.Elem(), key); err != nil {
				return err
			}
		}
		return nil
	}
	if n.Tag == "!!null" {
		return noValue(n, key)
	}
	want := map[reflect.Kind]string{reflect.String: "!!str", reflect.Int: "!!int", reflect.Uint16: "!!int", reflect.Bool: "!!bool"}[t.Kind()]
	if n.Kind != yaml.ScalarNode || n.Tag != want {
		words := map[string]string{"!!str": "a text (in quotes, if it looks like a number)", "!!int": "a whole number", "!!bool": "true or false"}
		return fmt.Errorf("line %d: %s: %q is not %s", n.Line, key, n.Value, words[want])
	}
	return nil
}

// isText reports whether v reads itself from a scalar.
func isText(v any) bool {
	switch v.(type) {
	case encoding.TextUnmarshaler, *ref:
		return true
	}
	return false
}

func noValue(n *yaml.Node, key string) error {
	return fmt.Errorf("line %d: %s has no value; give one, or remove the line", n.Line, key)
}
