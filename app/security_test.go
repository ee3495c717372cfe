package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// SECURITY.md says where each defence is tested. A test that was renamed or removed must not stay in it.
func TestSecurityNamesTestsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		var code strings.Builder
		for _, m := range regexp.MustCompile("`([a-z_/]+_test\\.go)`").FindAllStringSubmatch(line, -1) {
			source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(m[1])))
			if err != nil {
				t.Error(err)
			}
			code.Write(source)
		}
		for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(line, -1) {
			found++
			if !strings.Contains(code.String(), "func "+m[1]+"(") {
				t.Errorf("%s is in none of the files named beside it", m[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("SECURITY.md names %d tests; want those of every attack", found)
	}
}
