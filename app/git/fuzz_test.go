package git

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReadFiles reads what Git lists of changed files, whose names agents choose. What is read is text that can be
// shown and kept.
func FuzzReadFiles(f *testing.F) {
	for _, out := range []string{
		":100644 100644 a b M\x00main.go\x003\t1\tmain.go\x00",
		":100644 100644 a b R087\x00old\x00new\x000\t0\t\x00old\x00new\x00",
		":000000 100644 0 b A\x00:odd \xff\n\tname\x00-\t-\t:odd \xff\n\tname\x00",
		":100644 000000 a 0 D\x00x\x00", "1\t2\t\x00", ":", "\x00\x00", "9999999999999999999\t-\tx\x00",
	} {
		f.Add([]byte(out), "main.go")
	}
	f.Fuzz(func(t *testing.T, out []byte, conflict string) {
		list, more := parseRawDiff(out, map[string]bool{conflict: true})
		if len(list) > maxFiles || more < 0 {
			t.Errorf("there are %d files and %d more", len(list), more)
		}
		for _, file := range list {
			if !utf8.ValidString(file.Path+file.Old) || strings.ContainsRune(file.Path+file.Old, 0) ||
				file.Status == "" || file.Additions < 0 || file.Deletions < 0 {
				t.Errorf("%q has %+v", out, file)
			}
		}
	})
}
