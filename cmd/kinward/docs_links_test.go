package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentLinks: what a document links to is there, and so is the heading.
func TestDocumentLinks(t *testing.T) {
	docs := append(written(t), made...)
	found, err := filepath.Glob(filepath.Join(top, "*", "DESIGN.md"))
	must(t, err)
	for _, path := range found {
		name, err := filepath.Rel(top, path)
		must(t, err)
		docs = append(docs, name)
	}
	links := 0
	for _, doc := range docs {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)|src="([^"]+)"`).FindAllStringSubmatch(readFile(t, doc), -1) {
			to, heading, _ := strings.Cut(m[1]+m[2], "#")
			if strings.Contains(to, "://") {
				continue
			}
			links++
			path := doc
			if to != "" {
				path = filepath.Join(filepath.Dir(doc), to)
			}
			if _, err := os.Stat(filepath.Join(top, path)); err != nil {
				t.Errorf("%s: %v", doc, err)
				continue
			}
			if heading != "" && !slices.Contains(headings(readFile(t, path)), heading) {
				t.Errorf("%s: %s has no heading %q", doc, path, heading)
			}
		}
	}
	if links < 100 {
		t.Errorf("the documents have %d links", links)
	}
}

func headings(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, anchor(m[1]))
	}
	return all
}

// TestPagesAreNamedAsInTheConsole: what the guide for parents writes in bold stands
// on a page of the console.
func TestPagesAreNamedAsInTheConsole(t *testing.T) {
	texts := readFile(t, "console/texts/en.yaml")
	named := 0
	for _, m := range regexp.MustCompile(`\*\*([^*]+)\*\*`).FindAllStringSubmatch(readFile(t, "docs/parents.md"), -1) {
		name := strings.Join(strings.Fields(m[1]), " ")
		if !strings.Contains(texts, `: "`+name+`"`) && !slices.Contains(emphasis, name) {
			t.Errorf("no page has a text %q", name)
		}
		named++
	}
	if named < 50 {
		t.Errorf("the guide names %d pages", named)
	}
}

// emphasis is what is bold in the guide without being on a page.
var emphasis = []string{"bold", "only", "What, who, when.", "Talk first.", "If there was contact with a stranger", "Decide."}

// moduleRow is a line of the table of dependencies.
var moduleRow = regexp.MustCompile(`(?m)^\| ([a-z.]+\.[a-zA-Z0-9._/-]+/[a-zA-Z0-9._/-]+) \| ([^|]+) \| ([^|]+) \|$`)

// TestDependenciesAreJustified: each direct dependency has its line in
// CONTRIBUTING.md, with a reason and a licence, and each line its dependency.
func TestDependenciesAreJustified(t *testing.T) {
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(readFile(t, "go.mod"), -1) {
		direct[m[1]] = true
	}
	if len(direct) < 20 {
		t.Fatalf("go.mod has %d direct dependencies", len(direct))
	}
	for _, m := range moduleRow.FindAllStringSubmatch(readFile(t, "CONTRIBUTING.md"), -1) {
		if !direct[m[1]] {
			t.Errorf("%s has a line, and is no direct dependency (or has two lines)", m[1])
		}
		delete(direct, m[1])
		if !regexp.MustCompile(`^(MIT|Apache-2\.0|BSD-[23]-Clause|MPL-2\.0)( and (MIT|Apache-2\.0))?$`).MatchString(m[3]) {
			t.Errorf("%s has the licence %q", m[1], m[3])
		}
	}
	for name := range direct {
		t.Errorf("%s has no line in CONTRIBUTING.md", name)
	}
}
