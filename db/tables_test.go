package db_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/db/dbtest"
)

var (
	modelOf = regexp.MustCompile("`bun:\"table:(\\w+)")
	writes  = regexp.MustCompile(`\b(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)`)
)

// across are the files whose statements write several tables, since what they write must be true together.
var across = map[string]string{
	"executions_insert.go": "a run is an execution with its session and turns",
	"clock_set_back.go":    "a clock that was set back concerns every instant that is stored",
	"usage.go":             "the sums of an execution are those of its turns",
	"sessions_queue.go":    "a claim of a session starts its run, notes its move, and tries a paused provider",
}

// Of a table that has many statements, files named by the table and a concept hold some: sessions_queue.go.
func TestEachTableHasAFileWithItsModelAndTheStatementsThatWriteIt(t *testing.T) {
	t.Parallel()
	all := tables(t, dbtest.New(t))
	for _, table := range all {
		if _, err := os.Stat(table + ".go"); err != nil {
			t.Errorf("table %s has no file: %v", table, err)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range modelOf.FindAllStringSubmatch(string(text), -1) {
			if file != found[1]+".go" {
				t.Errorf("%s has the model of %s", file, found[1])
			}
		}
		for _, found := range writes.FindAllStringSubmatch(string(text), -1) {
			own := regexp.MustCompile(`^` + found[1] + `(_\w+)?\.go$`)
			if slices.Contains(all, found[1]) && !own.MatchString(file) && across[file] == "" {
				t.Errorf("%s writes %s", file, found[1])
			}
		}
	}
}
