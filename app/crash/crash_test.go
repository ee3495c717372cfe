package crash_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/app/crash"
)

// A point that is declared and nowhere in the code would be a promise that nobody tests.
func TestEveryPointIsInTheCodeAndInTheList(t *testing.T) {
	t.Parallel()
	declared := map[string]crash.Point{}
	var listed []string
	eachFile(t, func(path string, f *ast.File) {
		if f.Name.Name != "crash" {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "Point" {
					value := v.Values[0].(*ast.BasicLit).Value
					declared[v.Names[0].Name] = crash.Point(strings.Trim(value, `"`))
				}
				if list, ok := values(v).(*ast.CompositeLit); ok && v.Names[0].Name == "Points" {
					for _, e := range list.Elts {
						listed = append(listed, e.(*ast.Ident).Name)
					}
				}
			}
			return true
		})
	})
	called := map[string]bool{}
	eachFile(t, func(path string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || !isCrash(c.Fun, "Here") {
				return true
			}
			if p, ok := c.Args[0].(*ast.SelectorExpr); ok && declared[p.Sel.Name] != "" {
				called[p.Sel.Name] = true
			} else {
				t.Errorf("%s calls crash.Here with what is no point by its name", path)
			}
			return true
		})
	})
	for name := range declared {
		if !called[name] {
			t.Errorf("%s is nowhere in the code", name)
		}
		if !slices.Contains(listed, name) {
			t.Errorf("%s is not in Points", name)
		}
	}
	if len(listed) != len(declared) || len(crash.Points) != len(declared) {
		t.Errorf("Points has %d of %d points", len(listed), len(declared))
	}
	for i, p := range crash.Points {
		if slices.Contains(crash.Points[:i], p) {
			t.Errorf("two points have the name %s", p)
		}
	}
}

// values is the one value of a declaration, or nil.
func values(v *ast.ValueSpec) ast.Expr {
	if len(v.Values) != 1 {
		return nil
	}
	return v.Values[0]
}

// isCrash reports whether an expression is a name of this package.
func isCrash(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	p, ok := s.X.(*ast.Ident)
	return ok && p.Name == "crash"
}

// eachFile reads the code of the program.
func eachFile(t *testing.T, read func(path string, f *ast.File)) {
	t.Helper()
	for _, root := range []string{"../../app", "../../db", "../../jobs"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err == nil {
				read(path, f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
