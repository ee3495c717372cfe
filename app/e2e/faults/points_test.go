package faults

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"

	"carillon/app/crash"
)

// A point that no test lets a process die at proves nothing. This looks at the tests, so that it holds without the
// build tag.
func TestAProcessDiesAtEveryPoint(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	read := func(path string, visit func(n ast.Node) bool) {
		t.Helper()
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, visit)
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tests {
		read(path, func(n ast.Node) bool {
			if field, ok := n.(*ast.KeyValueExpr); ok {
				key, isName := field.Key.(*ast.Ident)
				if point, ok := field.Value.(*ast.SelectorExpr); ok && isName && key.Name == "point" {
					named[point.Sel.Name] = true
				}
			}
			return true
		})
	}
	points := 0
	read("../../crash/crash.go", func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "Point" {
				if points++; !named[v.Names[0].Name] {
					t.Errorf("no test lets a process die at %s", v.Names[0].Name)
				}
			}
		}
		return true
	})
	if points != len(crash.Points) {
		t.Errorf("%d points were found; want %d", points, len(crash.Points))
	}
}
