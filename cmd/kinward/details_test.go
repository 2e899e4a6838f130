package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDetailsHaveOnePlace: what an incident is about is made and read in
// journal/details.go alone, so that it can one day be sealed to a family's key. A
// file that opens it by itself would go on reading in the clear.
func TestDetailsHaveOnePlace(t *testing.T) {
	const place = "journal/details.go"
	// Who passes a row's details on without looking, and who opens an incident.
	carries := []string{place, "journal/merge.go", "store/incidents.go", "store/signals.go"}
	opens := []string{place, "journal/merge.go"}
	found := map[string]bool{}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, _ := filepath.Rel(top, path)
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		of := rowNames(parsed)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if (n.Name == "decodeDetails" || n.Name == "detailsVersion") && !slices.Contains(opens, file) {
					t.Errorf("%s uses %s; only %s opens details", file, n.Name, place)
				}
				found[n.Name] = true
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && n.Sel.Name == "Details" && of[x.Name] && !slices.Contains(carries, file) {
					t.Errorf("%s takes a row's Details; use Row.Incident of %s", file, place)
				}
			case *ast.BasicLit:
				// SQL that names both the table and the column.
				if n.Kind == token.STRING && strings.Contains(n.Value, "details") && strings.Contains(n.Value, "incidents") && !slices.Contains(carries, file) {
					t.Errorf("%s reads the details of incidents by SQL: %s", file, n.Value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || !found["decodeDetails"] || !found["detailsVersion"] {
		t.Errorf("walking the tree: %v, found %v", err, len(found))
	}
}

// rowNames returns the names that a file gives to journal.Row values.
func rowNames(f *ast.File) map[string]bool {
	names := map[string]bool{}
	isRow := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return e.Name == "Row"
		case *ast.SelectorExpr:
			return e.Sel.Name == "Row"
		case *ast.StarExpr:
			if s, ok := e.X.(*ast.SelectorExpr); ok {
				return s.Sel.Name == "Row" && s.X.(*ast.Ident).Name == "journal"
			}
		}
		return false
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				if isRow(n.Type) {
					names[name.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if n.Type != nil && isRow(n.Type) {
					names[name.Name] = true
				}
			}
		case *ast.RangeStmt: // over rows, however they are called
			x, ok := n.X.(*ast.SelectorExpr)
			if v, is := n.Value.(*ast.Ident); is && ok && x.Sel.Name == "Rows" {
				names[v.Name] = true
			}
		}
		return true
	})
	return names
}
