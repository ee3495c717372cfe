package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"carillon/app/check"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestCheckTellsOfEachPromiseAndFailsWhereOneIsBroken(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	e := local(t, environment{"DATABASE_URL": url})
	o := call(t, e, "", "check")
	if n := strings.Count(o.stdout, "holds "); o.status != exitOK || n != check.Promises ||
		strings.Contains(o.stdout, "BROKEN") {
		t.Fatalf("status %d, %d promises hold; want 0 and all %d:\n%s%s", o.status, n, check.Promises, o.stdout,
			o.stderr)
	}
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.NewRaw("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'executions_in_flight'::regclass").
		Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	o = call(t, e, "", "check")
	oneLine(t, o, "promises that are broken: 1")
	if !strings.Contains(o.stdout, "BROKEN  index") ||
		!strings.Contains(o.stdout, "executions_in_flight is not valid") {
		t.Errorf("it tells\n%s\nwant the index that is not valid", o.stdout)
	}
	o = call(t, e, "", "check", "-json")
	broken := 0
	for line := range strings.Lines(o.stdout) {
		var got struct {
			Promise  string
			Holds    bool
			Breaches []struct{ Kind, What string }
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !got.Holds {
			broken++
			if got.Promise != "index" || len(got.Breaches) != 1 || got.Breaches[0].Kind != "index" {
				t.Errorf("broken is %+v; want the index", got)
			}
		}
	}
	if broken != 1 || o.status != exitError {
		t.Errorf("status %d, %d are broken; want %d and one", o.status, broken, exitError)
	}
}

func TestCheckLeavesADatabaseOfAnotherVersionAsItIs(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t)
	oneLine(t, call(t, local(t, environment{"DATABASE_URL": url}), "", "check"), "the database is of another version")
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var tables int
	if err := d.NewRaw("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").
		Scan(t.Context(), &tables); err != nil || tables != 0 {
		t.Errorf("it made %d tables, %v; want none", tables, err)
	}
}

func TestCheckMakesNoDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	e := local(t)
	oneLine(t, call(t, e, "", "check"), "the embedded database does not run")
	if list, err := os.ReadDir(e["CARILLON_DATA"]); err != nil || len(list) != 0 {
		t.Errorf("it left %v, %v; want nothing", list, err)
	}
}

func TestCheckWarnsOfADatabaseThatLogsValuesOfStatements(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	set := func(name, value string) {
		t.Helper()
		if _, err := d.NewRaw("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET " + name + " = " + value +
			"', current_database()); END $$").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	e := local(t, environment{"DATABASE_URL": url})
	set("log_min_error_statement", "panic")
	set("log_min_duration_statement", "-1")
	if o := call(t, e, "", "check"); o.status != exitOK || strings.Contains(o.stdout, "into its own log") {
		t.Errorf("status %d of a database that logs no values:\n%s%s", o.status, o.stdout, o.stderr)
	}
	set("log_min_error_statement", "error")
	set("log_min_duration_statement", "1000")
	if o := call(t, e, "", "check"); o.status != exitOK ||
		!strings.Contains(o.stdout, "log_min_duration_statement = 1000, log_min_error_statement = error") {
		t.Errorf("status %d of a database that logs values:\n%s%s", o.status, o.stdout, o.stderr)
	}
	o := call(t, e, "", "check", "-json")
	if !strings.Contains(o.stderr, "log_min_error_statement = error") ||
		strings.Contains(o.stdout, "log_min_error_statement") {
		t.Errorf("of a program that reads the results:\n%s%s", o.stdout, o.stderr)
	}
}
