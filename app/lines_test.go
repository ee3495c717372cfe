package main

import (
	"bytes"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// lineWidth is the most columns of a line of code or comment. A tab counts as four.
const lineWidth = 120

// TestLinesOfCodeAreNotTooLong measures every file of Go, templ, JavaScript and CSS that a person writes. The parts of
// a raw string of Go are exempt: a tag of a struct, a regular expression, and a script or SQL that reads better as it
// is.
func TestLinesOfCodeAreNotTooLong(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "-z", "-co", "--exclude-standard",
		"*.go", "*.templ", "*.js", "*.mjs", "*.css").Output()
	if err != nil {
		t.Skip("this is no clone: ", err)
	}
	for path := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(path, "_templ.go") || path == "static/htmx.js" { // both are made by a program
			continue
		}
		text, err := os.ReadFile("../" + path)
		if os.IsNotExist(err) { // it is removed, and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		raw := map[int]bool{}
		if filepath.Ext(path) == ".go" {
			raw = rawLines(text)
		}
		for _, line := range longLines(text, raw) {
			t.Errorf("%s:%d is longer than %d columns", path, line, lineWidth)
		}
	}
}

// longLines returns the numbers of the lines that are too long, without those that are exempt.
func longLines(text []byte, exempt map[int]bool) []int {
	var long []int
	number := 0
	for line := range bytes.Lines(text) {
		number++
		shown := bytes.ReplaceAll(bytes.TrimRight(line, "\n"), []byte("\t"), []byte("    "))
		if utf8.RuneCount(shown) > lineWidth && !exempt[number] {
			long = append(long, number)
		}
	}
	return long
}

// rawLines returns the lines that hold a part of a raw string.
func rawLines(text []byte) map[int]bool {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	raw := map[int]bool{}
	for {
		pos, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return raw
		case kind == token.STRING && literal[0] == '`':
			first := file.Line(pos)
			for n := range strings.Count(literal, "\n") + 1 {
				raw[first+n] = true
			}
		}
	}
}

func TestLongLinesAreFoundOutsideOfRawStrings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", lineWidth-len("	// ")-3)
	text := "package x\n\t// " + long + "\n\t// " + long + "é\nconst y = `\n" + long + long + "\n`\n"
	if got := longLines([]byte(text), rawLines([]byte(text))); len(got) != 1 || got[0] != 3 {
		t.Errorf("the lines %v are too long; want the third alone", got)
	}
}
