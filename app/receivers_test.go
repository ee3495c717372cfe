package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// maxMethods is the most methods that the types of this project have. A type with more does several things: give each
// a type of its own, as the pages of app/web have one for each resource.
const maxMethods = 120

// maxPackageLines is the most lines of code of a package, without its tests and without what templ generates. Empty
// lines and comments do not count: no package is to save on them.
const maxPackageLines = 7000

// TestNoTypeHasTooManyMethods counts the methods of each type, without those that it has from what it embeds.
func TestNoTypeHasTooManyMethods(t *testing.T) {
	t.Parallel()
	methods := map[string]int{}
	for name, text := range productionCode(t) {
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
				methods[path.Dir(name)+"."+receiverType(f)]++
			}
		}
	}
	checkBound(t, "methods", methods, maxMethods)
}

// TestNoPackageIsTooLong counts lines of code.
func TestNoPackageIsTooLong(t *testing.T) {
	t.Parallel()
	lines := map[string]int{}
	for name, text := range productionCode(t) {
		lines[path.Dir(name)] += codeLines(text)
	}
	checkBound(t, "lines", lines, maxPackageLines)
}

// codeLines counts the lines that are neither empty nor a comment alone.
func codeLines(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
			n++
		}
	}
	return n
}

// checkBound holds counts to a bound.
func checkBound(t *testing.T, what string, counts map[string]int, most int) {
	for name, n := range counts {
		if n > most {
			t.Errorf("%s has %d %s; the most is %d", name, n, what, most)
		}
	}
}

// receiverType is the name of the type that a method belongs to, without its parameters.
func receiverType(f *ast.FuncDecl) string {
	kind := f.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.Name
		default:
			return ""
		}
	}
}

// productionCode reads the Go files of a clone that people write and that are part of the program, by their paths.
func productionCode(t *testing.T) map[string][]byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "-z", "-co", "--exclude-standard",
		"*.go").Output()
	if err != nil {
		t.Skip("this is no clone: ", err)
	}
	files := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_templ.go") {
			continue
		}
		text, err := os.ReadFile("../" + name)
		if os.IsNotExist(err) { // it is removed, and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	return files
}
