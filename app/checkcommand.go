package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/check"
	"carillon/app/runas"
	"carillon/db"
	"carillon/db/embedded"
)

// checkCommand is the command check.
func checkCommand() command {
	return command{
		name: "check", help: "Look for runs that break what is promised; 0 when nothing is wrong",
		run: (*program).check,
		about: "It reads a database that may be in use, each promise on a snapshot of its own, and changes nothing. " +
			"It warns where that writes\n" +
			"values of statements into its own log. Where a worker keeps\n" +
			"its files in CARILLON_DATA it looks there too. What it finds is a fault of Carillon's, or of who " +
			"changed rows by hand.",
		flags: func(f *flag.FlagSet) {
			f.Duration("since", 30*24*time.Hour, "look at runs of this `time`")
			f.Duration("for", time.Minute, "look at each promise for this `time` at most, and say what was left out")
			f.Bool("json", false, "print a line of JSON for each promise")
		},
	}
}

// checkedPromise is the JSON of a result.
type checkedPromise struct {
	Promise  string        `json:"promise"`
	Sentence string        `json:"sentence"`
	Holds    bool          `json:"holds"`
	Breaches []foundBreach `json:"breaches"`
	More     bool          `json:"more"`             // there are more than these
	Unseen   string        `json:"unseen,omitempty"` // what was not checked
}

type foundBreach struct {
	Kind string    `json:"kind"`
	ID   uuid.UUID `json:"id,omitzero"`
	What string    `json:"what"`
}

func (p *program) check(ctx context.Context, flags *flag.FlagSet) error {
	get := func(name string) any { return flags.Lookup(name).Value.(flag.Getter).Get() }
	since, within := get("since").(time.Duration), get("for").(time.Duration)
	if since <= 0 || within <= 0 {
		return fmt.Errorf("%w: -since and -for are times above zero", errUsage)
	}
	c, err := readConfig(p.getenv)
	if err != nil {
		return err
	}
	if _, running := embedded.Running(filepath.Join(c.Data, "postgres")); c.DatabaseURL == "" && !running {
		return errors.New(
			"the embedded database does not run, and a check starts none: start Carillon, or set DATABASE_URL")
	}
	opened, err := joinDatabase(ctx, c, newLog(c, p.stderr))
	if err != nil {
		return err
	}
	defer opened.close()
	if current, err := db.Migrated(ctx, opened.DB); err != nil {
		return err
	} else if !current {
		return errors.New(
			"the database is of another version than this program: run carillon migrate, or the program of its version")
	}
	warnings := p.stdout
	if get("json").(bool) {
		warnings = p.stderr
	}
	if err := warnOfLog(ctx, opened.DB, warnings); err != nil {
		return err
	}
	clock := &db.Clock{}
	if err := clock.Sync(ctx, opened.DB); err != nil {
		return err
	}
	print := p.printResult
	if get("json").(bool) {
		print = p.encodeResult
	}
	broken := 0
	looks := check.Check{DB: opened.DB, Now: clock.Now, Since: clock.Now().Add(-since), For: within}
	if looks.Folder, err = check.WorkerOf(c.Data); err != nil {
		return err
	}
	if looks.Folder != nil && c.AgentUser != "" {
		if looks.Folder.User, err = runas.LookUp(c.AgentUser); err != nil {
			return fmt.Errorf("CARILLON_AGENT_USER: %w", err)
		}
	}
	if looks.Folder != nil {
		looks.Folder.Settled = time.Now().Add(-check.LeftoverAge)
	}
	err = looks.Run(ctx, func(r check.Result) {
		if len(r.Breaches) > 0 {
			broken++
		}
		print(r)
	})
	if err == nil && broken > 0 {
		err = fmt.Errorf("promises that are broken: %d", broken)
	}
	return err
}

// warnOfLog prints a warning if the database writes values of statements into its log.
func warnOfLog(ctx context.Context, database *db.DB, w io.Writer) error {
	list, err := db.LoggedValues(ctx, database)
	if err == nil && len(list) > 0 {
		fmt.Fprintf(w,
			"warns   %-16s The database writes values of statements, such as prompts, into its own log: %s.\n", "log",
			strings.Join(list, ", "))
		fmt.Fprintln(w,
			"          Set log_min_error_statement = panic for Carillon's role or its database, and the others off: "+
				"see /help/operating.")
	}
	return err
}

func (p *program) printResult(r check.Result) {
	word := "holds "
	if len(r.Breaches) > 0 {
		word = "BROKEN"
	}
	fmt.Fprintf(p.stdout, "%s  %-16s %s\n", word, r.Promise, r.Sentence)
	for _, b := range r.Breaches {
		id := ""
		if b.ID != uuid.Nil {
			id = b.ID.String() + " "
		}
		fmt.Fprintf(p.stdout, "          %s %s%s\n", b.Kind, id, b.What)
	}
	if r.More {
		fmt.Fprintln(p.stdout, "          and more")
	}
	if r.Unseen != "" {
		fmt.Fprintf(p.stdout, "          not looked at in full: %s\n", r.Unseen)
	}
}

func (p *program) encodeResult(r check.Result) {
	t := checkedPromise{
		Promise: r.Promise, Sentence: r.Sentence, Holds: len(r.Breaches) == 0, Breaches: []foundBreach{}, More: r.More,
		Unseen: r.Unseen,
	}
	for _, b := range r.Breaches {
		t.Breaches = append(t.Breaches, foundBreach(b))
	}
	_ = json.NewEncoder(p.stdout).Encode(t) // a broken pipe ends the program
}
