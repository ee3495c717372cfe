package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nothingAwaited marks a line with a short limit on whose end a test waits: nothing has to happen before it.
const nothingAwaited = "nothing is awaited before"

// A test that waits for something by a clock fails on a machine that is slower or busier than its author's. Each such
// limit is at least that of longest; only one that is awaited itself may be shorter, and says so with the words of
// nothingAwaited.
func TestNoTestWaitsByAShortClock(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "node_modules" || name == "tmp" || name == "data" ||
			strings.HasPrefix(name, ".") && name != ".."):
			return filepath.SkipDir
		case strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".mjs"):
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found++
			limits := shortInScript
			if strings.HasSuffix(name, ".go") {
				limits = shortInGo
			}
			for _, line := range limits(t, string(source)) {
				t.Errorf("%s:%d waits by a clock for less than %s", strings.TrimPrefix(path, "../"), line, longest)
			}
		}
		return nil
	})
	if err != nil || found < 100 {
		t.Fatalf("looked at %d files: %v", found, err)
	}
}

func TestShortWaitsAreFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"context.WithTimeout(ctx, time.Minute)":                                    1,
		"context.WithTimeout(ctx, 10*time.Minute)":                                 0,
		"context.WithTimeout(ctx, patience)":                                       0,
		"context.WithTimeout(ctx, time.Second) // nothing is awaited before":       0,
		"time.After(20 * time.Second)":                                             1,
		"time.NewTicker(20 * time.Millisecond)":                                    0,
		"c.SetDeadline(time.Now().Add(20 * time.Second))":                          1,
		"for end := time.Now().Add(time.Second); ; {}":                             1,
		"deadline := time.Now().Add(time.Second); _ = deadline":                    1,
		"_ = http.Client{Timeout: 5 * time.Second}":                                1,
		"if time.Since(begun) > time.Second {}":                                    1,
		"if took := time.Since(begun) / 3; took > time.Second {}":                  1,
		"const patience = time.Minute":                                             1,
		"turn.Timeout = 400 * time.Millisecond":                                    1,
		"turn.Idle = 400 * time.Millisecond":                                       1,
		"_ = clock.Add(time.Minute)":                                               0,
		"if time.Since(begun) < lockPatience {}":                                   0,
		"if server.ReadHeaderTimeout > 30*time.Second {}; time.Sleep(time.Second)": 0,
	} {
		if got := shortInGo(t, "package x\nfunc f() {\n"+text+"\n}\n"); len(got) != want {
			t.Errorf("%s: found %v; want %d", text, got, want)
		}
	}
	for text, want := range map[string]int{
		"locator.waitFor({ timeout: 5000 })": 1, "locator.waitFor({ timeout: 60_000 })": 1,
		"locator.waitFor({ timeout: 600_000 })": 0, "context.setDefaultTimeout(30_000)": 1,
		"page.waitForTimeout(100)": 1, "const patience = 600_000": 0, "const patience = 30_000": 1,
		"setTimeout(done, 25)": 0, "within = 500": 0,
	} {
		if got := shortInScript(t, text); len(got) != want {
			t.Errorf("%s: found %v; want %d", text, got, want)
		}
	}
}

// shortInGo are the lines of a source in Go with a short limit.
func shortInGo(t *testing.T, source string) (found []int) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(source, "\n")
	note := func(n ast.Node, limit ast.Expr) {
		if d, ok := duration(limit); !ok || d == 0 || d >= longest {
			return
		}
		if line := set.Position(n.Pos()).Line; !strings.Contains(lines[line-1], nothingAwaited) {
			found = append(found, line)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			switch name := called(n); name {
			case "context.WithTimeout", "context.WithTimeoutCause":
				note(n, n.Args[1])
			case "time.After", "time.NewTimer", "time.AfterFunc":
				note(n, n.Args[0])
			default:
				if _, method, _ := strings.Cut(name, "."); strings.HasPrefix(method, "Set") &&
					strings.HasSuffix(method, "Deadline") && len(n.Args) == 1 {
					note(n, fromNow(n.Args[0]))
				}
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if i >= len(n.Rhs) {
					break
				}
				switch name := lastName(left); name {
				case "end", "deadline", "until", "limit":
					note(n, fromNow(n.Rhs[i]))
				case "Timeout", "Idle":
					note(n, n.Rhs[i])
				}
			}
		case *ast.KeyValueExpr:
			if name := lastName(n.Key); name == "Timeout" || name == "Idle" {
				note(n, n.Value)
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if (name.Name == "patience" || name.Name == "longest") && i < len(n.Values) {
					note(n, n.Values[i])
				}
			}
		case *ast.BinaryExpr:
			if n.Op == token.GTR || n.Op == token.GEQ {
				if call, ok := n.X.(*ast.CallExpr); ok && called(call) == "time.Since" || lastName(n.X) == "took" ||
					lastName(n.X) == "elapsed" {
					note(n, n.Y)
				}
			}
		}
		return true
	})
	return found
}

// called is the name of what a call calls, with that before its dot.
func called(n *ast.CallExpr) string {
	f, ok := n.Fun.(*ast.SelectorExpr)
	if !ok {
		return lastName(n.Fun)
	}
	return lastName(f.X) + "." + f.Sel.Name
}

// lastName is the last name of an expression such as a.b.
func lastName(n ast.Expr) string {
	switch n := n.(type) {
	case *ast.Ident:
		return n.Name
	case *ast.SelectorExpr:
		return n.Sel.Name
	}
	return ""
}

// fromNow is the duration in time.Now().Add(duration), nil in anything else.
func fromNow(n ast.Expr) ast.Expr {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return nil
	}
	add, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || add.Sel.Name != "Add" {
		return nil
	}
	if now, ok := add.X.(*ast.CallExpr); !ok || called(now) != "time.Now" {
		return nil
	}
	return call.Args[0]
}

// duration is what an expression such as 5*time.Second is.
func duration(n ast.Expr) (time.Duration, bool) {
	switch n := n.(type) {
	case *ast.ParenExpr:
		return duration(n.X)
	case *ast.BasicLit:
		value, err := strconv.ParseInt(n.Value, 0, 64)
		return time.Duration(value), err == nil
	case *ast.SelectorExpr:
		unit, ok := map[string]time.Duration{
			"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
			"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
		}[n.Sel.Name]
		return unit, ok && lastName(n.X) == "time"
	case *ast.BinaryExpr:
		x, isX := duration(n.X)
		y, isY := duration(n.Y)
		return x * y, n.Op == token.MUL && isX && isY
	}
	return 0, false
}

var scriptLimit = regexp.MustCompile(
	`(?:timeout:|setDefaultTimeout\(|setDefaultNavigationTimeout\(|patience =)\s*([0-9_]+)|waitForTimeout\(`)

// shortInScript are the lines of a script with a short limit, and those that wait for a time to pass.
func shortInScript(_ *testing.T, source string) (found []int) {
	for i, line := range strings.Split(source, "\n") {
		for _, m := range scriptLimit.FindAllStringSubmatch(line, -1) {
			ms, err := strconv.Atoi(strings.ReplaceAll(m[1], "_", ""))
			if (err != nil || time.Duration(ms)*time.Millisecond < longest) && !strings.Contains(line, nothingAwaited) {
				found = append(found, i+1)
			}
		}
	}
	return found
}
