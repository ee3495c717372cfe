package automation_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/db"
)

// Starting writes the columns that it decides by name, so a field that comes to be decided must be added there.
func TestARunIsWrittenAsItWasPrepared(t *testing.T) {
	k := setup(t)
	bot := uuid.New()
	k.Exec("INSERT INTO bots (id, name, created_at, updated_at) VALUES (?, 'Bot', now(), now())", bot)
	a := k.Make(func(in *automation.Input) {
		in.Trigger, in.AllowParallel = "http", true
		in.Prompt, in.BaseBranch, in.Model = `Look at {{what}} of {{"}} and {{who}}.`, "main", "large"
	})
	k.Exec("UPDATE automations SET session_type = 'bot', bot_id = ?, skip_id = ? WHERE id = ?", bot, uuid.New(), a.ID)
	for _, by := range []automation.Trigger{
		{
			Source: db.ByHand, UserID: k.Mira.ID, Mark: db.ReplayMark,
			Parameters: map[string]string{"what": `a "quoted" \ {value}, 'so'`, "x": "NULL"},
		},
		{Source: db.ByWebhook, Fingerprint: "01234567"},
	} {
		run, err := k.Runs().Start(t.Context(), a.ID, by)
		check(t, err)
		var e db.Execution
		check(t, k.DB.NewSelect().Model(&e).Where("e.id = ?", run.Execution.ID).Scan(t.Context()))
		e.Snapshot.Toggles = run.Execution.Snapshot.Toggles // none, written as nothing
		wantSame(t, e, run.Execution)
		var s db.Session
		check(t, k.DB.NewSelect().Model(&s).Where("s.id = ?", run.Session.ID).Scan(t.Context()))
		wantSame(t, s, run.Session)
	}
	// What no start by hand has: due times, iterations, several turns, and values that an array's text must quote.
	var startable *db.Startable
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		startable, err = db.StartableByID(ctx, tx, a.ID)
		return err
	}))
	var runs []db.Run
	for range 3 {
		run, err := k.Runs().Prepare(startable, automation.Trigger{Source: db.BySchedule, Mark: db.CatchUpMark},
			k.Now())
		check(t, err)
		run.Execution.ScheduledFor, run.Execution.LastSkippedFor, run.Execution.Iteration = k.Now(),
			k.Now().Add(time.Hour), 7
		run.Execution.Unresolved = []string{"", "NULL", `a"b`, `c\d`, "e,f", "{g}", " h "}
		turn := run.Turns[0]
		turn.ID, turn.Position, turn.Kind, turn.Label, turn.AuthorID = db.NewID(), 2, db.StepTurn, "Second", k.Mira.ID
		run.Turns = append(run.Turns, turn)
		runs = append(runs, *run)
	}
	runs[1].Execution.Unresolved, runs[1].Execution.ScheduledFor = nil, k.Now().Add(time.Minute)
	runs[2].Execution.ScheduledFor = runs[0].Execution.ScheduledFor // answered already
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		inserted, err := db.InsertRuns(ctx, tx, runs)
		if len(inserted) != 2 || !inserted[runs[0].Execution.ID] || !inserted[runs[1].Execution.ID] {
			t.Errorf("inserted %v; want the first two", inserted)
		}
		return err
	}))
	for _, run := range runs[:2] {
		var e db.Execution
		check(t, k.DB.NewSelect().Model(&e).Where("e.id = ?", run.Execution.ID).Scan(t.Context()))
		e.Snapshot.Toggles = run.Execution.Snapshot.Toggles // none, written as nothing
		wantSame(t, e, run.Execution)
		turns, err := db.TurnsOf(t.Context(), k.DB, run.Session.ID)
		check(t, err)
		for i := range turns {
			turns[i].Author = nil
			wantSame(t, turns[i], run.Turns[i])
		}
	}
	if n, err := k.DB.NewSelect().Model((*db.Session)(nil)).Where("s.id = ?", runs[2].Session.ID).
		Count(t.Context()); err != nil || n != 0 {
		t.Errorf("there are %d sessions (%v) of a run that was left out; want none", n, err)
	}
}

// wantSame compares two rows field by field; times by their instant.
func wantSame[T any](t *testing.T, got, want T) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		a, b := g.Field(i).Interface(), w.Field(i).Interface()
		if at, ok := a.(time.Time); ok && at.Equal(b.(time.Time)) {
			continue
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s of the row is %#v; want %#v", g.Type().Field(i).Name, a, b)
		}
	}
}

func TestParallelSessionsStopAtTheirCapHoweverManyStartAtOnce(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.Trigger, in.AllowParallel = "http", true })
	var connections int
	check(t, k.DB.NewRaw("SELECT current_setting('max_connections')::int").Scan(t.Context(), &connections))
	// so that the first go side by side, and the last one after the other
	most := connections + 20
	// a server may have more connections
	k.Exec("ALTER TABLE automations DROP CONSTRAINT automations_max_parallel_check")
	k.Exec("UPDATE automations SET max_parallel = ? WHERE id = ?", most, a.ID)
	var started, busy atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range most / 8 {
				var full *automation.Busy
				switch _, err := k.Runs().Start(t.Context(), a.ID, automation.Trigger{Source: db.ByWebhook}); {
				case err == nil:
					started.Add(1)
				case errors.As(err, &full):
					busy.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if started.Load() != int64(most) || busy.Load() == 0 {
		t.Errorf("%d runs were started and %d refused; want %d started and the others refused", started.Load(),
			busy.Load(), most)
	}
}
