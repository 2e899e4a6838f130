package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// file returns a language's file, line by line, and fails where a key stands
// twice.
func languageFile(t *testing.T, name string) map[string]any {
	t.Helper()
	b, err := files.ReadFile("texts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := yaml.Unmarshal(b, &m); err != nil { // which refuses a key that stands twice
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// used returns the keys of texts that templates and Go name, and what those look
// like that they put together.
func used(t *testing.T, english map[string]any) (keys map[string]string, patterns []*regexp.Regexp) {
	t.Helper()
	themes := map[string]bool{}
	for key := range english {
		theme, _, _ := strings.Cut(key, ".")
		themes[theme] = true
	}
	keys = map[string]string{}
	key := regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]*[A-Za-z0-9])+$`)
	part := regexp.MustCompile(`^[a-z][a-z0-9-]*\.([A-Za-z0-9_.-]|%s)*$`)
	take := func(s, where string) {
		theme, _, _ := strings.Cut(s, ".")
		switch {
		case !themes[theme] || strings.HasSuffix(s, ".arpa"):
		case key.MatchString(s):
			keys[s] = where
		case part.MatchString(s):
			pattern := strings.ReplaceAll(regexp.QuoteMeta(s), "%s", ".+")
			if !strings.Contains(s, "%s") {
				pattern += ".+"
			}
			patterns = append(patterns, regexp.MustCompile("^"+pattern+"$"))
		}
	}
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range regexp.MustCompile(`(?s)\{\{.*?\}\}`).FindAllString(string(b), -1) {
			for _, quoted := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).FindAllString(action, -1) {
				s, _ := strconv.Unquote(quoted)
				take(s, name)
			}
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for s := range literals(t, name, true) {
			take(s, name)
		}
	}
	for _, e := range slices.Concat(nav, navOperator) {
		keys["nav."+e.icon] = "nav.go"
	}
	return keys, patterns
}

// literals yields the string literals of a Go file, with what is added to them as
// a verb: "removed " + name is "removed %s"; with their parts, where wanted.
func literals(t *testing.T, name string, parts bool) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			return n.Tag == nil
		case *ast.BinaryExpr:
			if s, ok := sum(n); ok {
				found[s] = true
				return parts
			}
		case *ast.BasicLit:
			if s, ok := sum(n); ok {
				found[s] = true
			}
		}
		return true
	})
	return found
}

func sum(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.ParenExpr:
		return sum(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, isA := sum(e.X)
		b, isB := sum(e.Y)
		if !isA && !isB {
			return "", false
		}
		if !isA {
			a = "%s"
		}
		if !isB {
			b = "%s"
		}
		return a + b, true
	}
	return "", false
}

// TestTexts: each language has each text, with the same things put in, and each
// text is used.
func TestTexts(t *testing.T) {
	english := languageFile(t, "en.yaml")
	keys, patterns := used(t, english)
	for key, where := range keys {
		if _, ok := english[key]; !ok {
			t.Errorf("%s names the text %q, which texts/en.yaml does not have", where, key)
		}
	}
	for key := range english {
		if _, ok := keys[key]; !ok && !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(key) }) {
			t.Errorf("no page uses the text %q", key)
		}
	}
	names, err := fs.Glob(files, "texts/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		other := languageFile(t, filepath.Base(name))
		for key, text := range english {
			if said := other[key]; said == nil {
				t.Errorf("%s lacks %s (%v)", name, key, text)
			} else if want, got := holes(text), holes(said); !slices.Equal(want, got) {
				t.Errorf("%s: %s has %q put in, in English %q", name, key, got, want)
			}
		}
		for key, text := range other {
			if _, ok := english[key]; !ok && !strings.HasPrefix(key, saidKey) {
				t.Errorf("%s has %s, which English does not have", name, key)
			}
			for _, form := range forms(text) {
				if strings.TrimSpace(form) == "" {
					t.Errorf("%s: %s says nothing", name, key)
				}
			}
		}
	}
}

// forms are a text's plural forms, or the text itself.
func forms(text any) []string {
	switch text := text.(type) {
	case string:
		return []string{text}
	case map[string]any:
		var all []string
		for _, form := range text {
			if s, ok := form.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return []string{""}
}

// holes are the names of what is put into a text.
func holes(text any) []string {
	var all []string
	for _, form := range forms(text) {
		for _, m := range regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}`).FindAllStringSubmatch(form, -1) {
			if m[1] != "N" { // one may say "a" for 1
				all = append(all, m[1])
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
