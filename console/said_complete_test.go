package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// spoken are the files whose sentences reach pages, with what in them never does.
var spoken = map[string]string{
	"../journal/sentence.go":      `^(%s  %s %s|%s %s|%s – %s|%s MST.*|.* MST)$`,
	"../journal/signal.go":        `^%s  %s$|reading signal|not the details`,
	"../journal/alerts/words.go":  `[<{]|^(%s, %s: %s|%s %s\n)$`,
	"../journal/alerts/digest.go": `[<{]|^( %d|  %s\n|\n%s\n|%5d  %s\n|%s\n|%s\n%s\n|  %-\*s  %s|\. %s|Mon 2 Jan 15:04|%s %s)$`,
	"../policy/edit.go":           `^(rule %d \(%s\)|category %s|service %s)$`,
	"../policy/edit_device.go":    `^Device %s$`,
	"../policy/edit_profile.go":   `^%s %s(%s)?$`,
	"../policy/edit_schedule.go":  `^(%s %s %s| %s-%s)$`,
	"../policy/retention.go":      `^category %s$`,
	"../policy/weakens.go":        `^search engines? $`,
	"../policy/weakens_time.go":   `^$`,
	"../policy/warnings.go":       `^$`,
	"../policy/explain_words.go":  `^(%s |: %s|; |%q \(%s\)|schedule %d \(%s\)|Mon 2 Jan 15:04)$`,
}

// formats are the English formats that a language's file has, with their marks.
func formats(t *testing.T, name string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for key := range languageFile(t, filepath.Base(name)) {
		if english, ok := strings.CutPrefix(key, saidKey); ok {
			bare := strings.TrimLeft(english, saidMarks)
			if _, twice := all[bare]; twice {
				t.Errorf("%s says %q twice", name, bare)
			}
			all[bare] = strings.TrimSuffix(english, bare)
		}
	}
	return all
}

// translations are the files of all languages but English.
func translations(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(files, "texts/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "texts/en.yaml" })
}

// TestSaidComplete: what the journal, letters and the record of changes say in
// English, each language says, too; and a language says nothing that nobody says.
func TestSaidComplete(t *testing.T) {
	everywhere, data := program(t), data(t)
	for _, name := range translations(t) {
		said := formats(t, name)
		has := func(s string) bool {
			_, is := said[s]
			_, before := said["%s"+s]
			return is || before
		}
		for file, not := range spoken {
			never := regexp.MustCompile(not)
			for s := range literals(t, file, false) {
				if !strings.Contains(strings.TrimSpace(s), " ") || s == ", " || never.MatchString(s) || has(s) {
					continue
				}
				t.Errorf("%s does not say %q of %s", name, s, file)
			}
		}
		for english, mark := range said {
			switch {
			case mark == "~":
			case mark == "+" && !data[english]:
				t.Errorf("%s says %q, which no data say any more: see what stands in its place", name, english)
			case mark != "+" && !strings.Contains(everywhere, english) && !strings.Contains(everywhere, strings.ReplaceAll(strings.TrimPrefix(english, "%s"), "%s", "")):
				t.Errorf("%s says %q, which nobody says", name, english)
			}
		}
	}
}

// TestSaidData: every sentence of the data that come with the program and reach
// pages has words in each language.
func TestSaidData(t *testing.T) {
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range translations(t) {
		l := texts.choose(strings.TrimSuffix(filepath.Base(name), ".yaml"))
		needs := func(s, where string) {
			found++
			if _, ok := l.sayings.say(s); !ok && strings.ContainsFunc(s, unicode.IsLetter) {
				t.Errorf("%s does not say %q of %s", name, s, where)
			}
		}
		for file, columns := range map[string][]int{
			"../blocklists/data/categories.tsv": {1, 2}, "../policy/presets.tsv": {7}, "../policy/search-engines.tsv": {9, 10},
			"../policy/canaries.tsv": {4}, "../journal/guidance/data/help.tsv": {2, 3, 5, 6},
		} {
			for _, row := range rows(t, file) {
				for _, c := range columns {
					if row[c] != "-" {
						needs(row[c], file)
					}
				}
			}
		}
		catalogue, err := filepath.Glob("../blocklists/data/catalogue/*.txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range catalogue {
			for line := range strings.Lines(readText(t, file)) {
				if m := catalogueSays.FindStringSubmatch(line); m != nil {
					needs(m[1], file)
				}
			}
		}
	}
	if found < 400 {
		t.Errorf("only %d sentences were looked at", found)
	}
}

// catalogueSays are the lines of a service that guardians read.
var catalogueSays = regexp.MustCompile(`^  (?:about|note|known-risk) (.*)\n`)

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rows are the cells of a file of data.
func rows(t *testing.T, file string) (all [][]string) {
	t.Helper()
	for line := range strings.Lines(readText(t, file)) {
		if !strings.HasPrefix(line, "#") {
			all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	return all
}

// data are the texts of all data that come with the program: cells, and what
// stands behind the first word of a line.
func data(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, pattern := range []string{"../blocklists/data/*", "../blocklists/data/catalogue/*", "../policy/*.tsv", "../journal/guidance/data/help.tsv"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.IsDir() {
				continue
			}
			for _, row := range rows(t, name) {
				for _, cell := range row {
					all[cell] = true
					_, rest, _ := strings.Cut(strings.TrimLeft(cell, " "), " ")
					all[rest] = true
				}
			}
		}
	}
	return all
}

// program is the text of what may say something, with the quotes of its literals
// taken off.
func program(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"../policy/*.go", "../journal/*.go", "../journal/alerts/*.go", "../store/*.go", "../blocklists/*.go", "../cmd/kinward/*.go"} {
		for _, name := range sources(t, pattern) {
			for s := range literals(t, name, false) {
				all.WriteString(s + "\n")
			}
		}
	}
	return all.String()
}

// sources are the Go files of a pattern without tests.
func sources(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// commandsOnly are refusals that no page leads to: of commands, and of what a page
// always gives.
// A page names the guardian, its number, one way of two, and a file to save to.
var commandsOnly = regexp.MustCompile(`^(%w|.* takes %s, and does not understand|--[a-z-]+: %w$|--(limit|after|own|type|period|format|address|verdict|role): |.*/(root|backup|restore|bench|catalogue|catalogue_pack|console_commands|links|families_apply|cache|control|lists_verify)\.go$` +
	`|say whose with --guardian|%q is not the number of a channel|a device away from home|kinward devices setup needs|give either --device|an Apple profile is a device's|give either windows` +
	`|reading configuration %s|a bundle is a file|%s exists already|%q is not a number|account %d is of no guardian)`)

// TestRefusalsSaid: what is refused has words in each language, as far as a page
// can be told it.
func TestRefusalsSaid(t *testing.T) {
	for _, name := range translations(t) {
		said := formats(t, name)
		for _, file := range append(sources(t, "../cmd/kinward/*.go"), sources(t, "../store/*.go")...) {
			if commandsOnly.MatchString(file) {
				continue
			}
			for _, s := range refusals(t, file) {
				if commandsOnly.MatchString(s) || !strings.Contains(s, " ") {
					continue
				}
				if !slices.ContainsFunc(beginnings(s), func(part string) bool { _, ok := said[part]; return ok }) {
					t.Errorf("%s does not say %q of %s", name, s, file)
				}
			}
		}
	}
}

// beginnings are a refusal and what is left of it where its hints at commands are
// taken away.
func beginnings(s string) []string {
	s = regexp.MustCompile(`^--[a-z-]+: `).ReplaceAllString(s, "")
	all := []string{s}
	for i := range s {
		for _, cut := range []string{"; ", ": ", ", ", "? ", "(", " --", " with --"} {
			if strings.HasPrefix(s[i:], cut) {
				all = append(all, s[:i], s[:i]+strings.TrimRight(cut, " ;:,(-"))
			}
		}
	}
	return all
}

// refusals are the formats of what a file refuses.
func refusals(t *testing.T, name string) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := func(n ast.Node) {
		done := false
		ast.Inspect(n, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && !done {
				s, _ := strconv.Unquote(lit.Value)
				all, done = append(all, s), true
			}
			return !done
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "refuse" || f.Name == "usageError") {
				first(n)
				return false
			}
		case *ast.CompositeLit:
			if f, ok := n.Type.(*ast.Ident); ok && f.Name == "codedError" {
				first(n)
				return false
			}
		}
		return true
	})
	return all
}
