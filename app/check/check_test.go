package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// night is a database after some days of schedules with all that they leave behind.
type night struct {
	*automation.Service
	DB    *db.DB // that of the service
	t     *testing.T
	now   atomic.Int64 // seconds
	actor account.Actor
	in    automation.Input
}

func newNight(t *testing.T) *night {
	t.Helper()
	t.Parallel()
	n := &night{t: t, DB: dbtest.New(t)}
	n.now.Store(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).Unix())
	n.Service = apptest.NewRules(n.DB, n.at)
	apptest.Prepare(t, n.DB, n.Service)
	n.actor = apptest.NewPerson(t, n.DB, n.Service, "Mira", account.RoleAdministrator)
	list, err := n.Workspaces.List(t.Context(), n.actor)
	must(t, err)
	n.in = automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Hourly",
		Workspace:      list[0].ID.String(),
		Trigger:        "recurring",
		Cron:           "0 * * * *",
		TimeZone:       "Europe/Berlin",
		SessionType:    "develop",
		Prompt:         "true",
		Provider:       "shell",
		Retries:        2,
	}}
	return n
}

func (n *night) at() time.Time { return time.Unix(n.now.Load(), 0).UTC() }

func (n *night) create(change func(*automation.Input)) *db.Automation {
	n.t.Helper()
	in := n.in
	if change != nil {
		change(&in)
	}
	a, _, err := n.Definitions().Create(n.t.Context(), n.actor, in)
	must(n.t, err)
	return a
}

// hour lets an hour pass, at whose end what is due begins.
func (n *night) hour() {
	n.t.Helper()
	n.now.Store(n.at().Truncate(time.Hour).Add(time.Hour + time.Second).Unix())
	for more := 1; more > 0; {
		var err error
		more, err = n.Schedules().StartDue(n.t.Context())
		must(n.t, err)
	}
}

// end ends all runs that can be claimed.
func (n *night) end(o automation.Outcome) {
	n.t.Helper()
	for _, s := range n.claim() {
		must(n.t, n.Runs().Finish(n.t.Context(), db.Lease{Session: s.ID, Worker: s.Worker, Fence: s.Fence}, o))
	}
}

func (n *night) claim() (list []db.Session) {
	n.t.Helper()
	must(n.t, n.DB.RunInTx(n.t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 100, n.at(), n.at().Add(time.Minute))
		return err
	}))
	return list
}

func (n *night) exec(query string, args ...any) {
	n.t.Helper()
	_, err := n.DB.NewRaw(query, args...).Exec(n.t.Context())
	must(n.t, err)
}

// look looks at all promises, and returns what broke, by promise.
func (n *night) look() map[string][]string {
	n.t.Helper()
	broken := map[string][]string{}
	seen := 0
	c := Check{DB: n.DB, Now: n.at, Since: n.at().AddDate(0, 0, -30), For: time.Hour}
	must(n.t, c.Run(n.t.Context(), func(r Result) {
		seen++
		if r.Unseen != "" {
			n.t.Errorf("%s was not looked at: %s", r.Promise, r.Unseen)
		}
		for _, b := range r.Breaches {
			broken[r.Promise] = append(broken[r.Promise], b.What)
		}
	}))
	if seen != Promises {
		n.t.Errorf("%d promises were looked at; want all %d", seen, Promises)
	}
	return broken
}

// days are some days of schedules with runs that succeed, fail, block the next one and are missed.
func (n *night) days() *db.Automation {
	n.t.Helper()
	a := n.create(nil)
	n.create(func(in *automation.Input) { in.Name, in.CatchUp = "Caught up", true })
	n.create(func(in *automation.Input) {
		in.Name = "Loop"
		in.Trigger = "loop"
		in.Cron = ""
		in.TimeZone = ""
	})
	for i := range 24 {
		n.hour()
		switch {
		case i%11 == 5: // it stays in the way of the next
		case i%11 == 8:
			n.end(automation.Outcome{Status: db.Failed, Reason: "exit 1", Class: "agent"})
		default:
			n.end(automation.Outcome{Status: db.Succeeded})
		}
		if i == 12 { // the server is down
			n.now.Add(int64(5 * time.Hour / time.Second))
		}
	}
	n.end(automation.Outcome{Status: db.Succeeded})
	return a
}

func TestEveryPromiseHoldsAfterDaysOfSchedules(t *testing.T) {
	n := newNight(t)
	n.days()
	n.exec(`INSERT INTO session_events (session_id, seq, turn_id, at, kind, body)
		SELECT session_id, e.seq, id, finished_at + e.after, e.kind, '{}' FROM (SELECT * FROM turns WHERE finished_at IS NOT NULL LIMIT 1) t
		CROSS JOIN (VALUES (1, interval '5 minutes', 'output'), (2, interval '0', 'turn_end')) AS e(seq, after, kind)`) // the clock was set back
	if broken := n.look(); len(broken) > 0 {
		t.Errorf("broken are %v; want none", broken)
	}
	var statuses []string
	must(t, n.DB.NewRaw("SELECT DISTINCT status FROM executions WHERE source = 'schedule' ORDER BY 1").
		Scan(t.Context(), &statuses))
	if want := []string{"failed", "missed", "skipped", "succeeded"}; !slices.Equal(statuses, want) {
		t.Errorf("the days had runs that were %v; want %v", statuses, want)
	}
}

func TestEachPromiseThatIsBrokenOnPurposeIsFound(t *testing.T) {
	for promise, breaks := range map[string]func(n *night, a *db.Automation){
		"lost-run": func(n *night, a *db.Automation) {
			n.hour()
			n.exec("UPDATE sessions SET status = 'done', queued_at = NULL, closed_at = now() WHERE status = 'queued' "+
				"AND automation_id = ?", a.ID)
			n.exec("UPDATE turns SET status = 'canceled', finished_at = now() WHERE status = 'queued'")
		},
		"endless-run": func(n *night, _ *db.Automation) {
			n.hour()
			n.claim()
			n.now.Add(3600 / 2)
		},
		"endless-turn": func(n *night, a *db.Automation) {
			n.exec("UPDATE turns SET status = 'queued', finished_at = NULL WHERE id = (SELECT id FROM turns WHERE " +
				"finished_at IS NOT NULL ORDER BY id LIMIT 1)")
		},
		"guard": func(n *night, a *db.Automation) {
			n.hour()
			n.exec("DROP INDEX executions_one_in_flight")
			n.exec(`UPDATE executions SET status = 'queued', finished_at = NULL, session_id = NULL WHERE id = (
				SELECT id FROM executions WHERE automation_id = ? AND status = 'succeeded' ORDER BY id DESC LIMIT 1)`,
				a.ID)
		},
		"guard, of parallel sessions": func(n *night, _ *db.Automation) {
			hook := n.create(func(in *automation.Input) {
				in.Name = "Called"
				in.Trigger = "http"
				in.Cron = ""
				in.TimeZone = ""
				in.AllowParallel = true
				in.MaxParallel = 2
			})
			n.now.Add(3600)
			for range 2 {
				_, err := n.Runs().Start(n.t.Context(), hook.ID,
					automation.Trigger{Source: db.ByHand, UserID: n.actor.ID})
				must(n.t, err)
			}
			if broken := n.look(); len(broken) > 0 {
				n.t.Errorf("with as many runs as it may have broken are %v; want none", broken)
			}
			n.exec("UPDATE automations SET max_parallel = 1 WHERE id = ?", hook.ID)
		},
		"endless-turn, of a session that waits for a person": func(n *night, _ *db.Automation) {
			n.exec("UPDATE turns SET status = 'queued', finished_at = NULL, execution_id = NULL WHERE id = (SELECT " +
				"id FROM turns WHERE finished_at IS NOT NULL ORDER BY id LIMIT 1)")
			n.exec("UPDATE sessions SET status = 'waiting', closed_at = NULL WHERE id = (SELECT session_id FROM " +
				"turns WHERE status = 'queued' LIMIT 1)")
		},
		"told-usage": func(n *night, _ *db.Automation) {
			n.exec(`INSERT INTO session_events (session_id, seq, turn_id, at, kind, body)
				SELECT session_id, 100000, id, finished_at, 'turn_end', '{"usage": {"input": 1, "cacheRead": 2, "cacheWrite": 3, "output": 4, "costUSD": 0.5}}'
				FROM turns WHERE finished_at IS NOT NULL LIMIT 1`)
			n.exec("UPDATE turns SET started_at = finished_at, tokens_in = 4, tokens_cached = 2, tokens_out = 4, " +
				"cost_usd = 0.5 WHERE id = (SELECT turn_id FROM session_events)")
			n.exec("UPDATE executions SET tokens_in = 4, tokens_cached = 2, tokens_out = 4, cost_usd = 0.5 WHERE id " +
				"= (SELECT execution_id FROM turns WHERE cost_usd > 0)")
			if broken := n.look(); len(broken) > 0 {
				n.t.Errorf("with the usage that was told broken are %v; want none", broken)
			}
			for _, table := range []string{"turns", "executions"} {
				n.exec("UPDATE ? SET tokens_out = 3 WHERE tokens_out = 4", bun.Ident(table))
			}
		},
		"one-time": func(n *night, _ *db.Automation) {
			n.create(func(in *automation.Input) {
				in.Name = "Once"
				in.Trigger = "one_time"
				in.Cron = ""
				in.RunAt = n.at().Add(30 * time.Minute).
					Format("2006-01-02T15:04")
				in.TimeZone = "UTC"
			})
			n.hour()
			n.end(automation.Outcome{Status: db.Succeeded})
			if broken := n.look(); len(broken) > 0 {
				n.t.Errorf("with its run broken are %v; want none", broken)
			}
			n.exec("DELETE FROM executions WHERE automation_id IN (SELECT id FROM automations WHERE trigger = " +
				"'one_time')")
		},
		"twice": func(n *night, a *db.Automation) {
			n.exec("DROP INDEX executions_once")
			n.exec(`UPDATE executions SET scheduled_for = (SELECT scheduled_for FROM executions WHERE automation_id = ?0 AND status = 'succeeded' ORDER BY id DESC LIMIT 1 OFFSET 1)
				WHERE id = (SELECT id FROM executions WHERE automation_id = ?0 AND status = 'succeeded' ORDER BY id DESC LIMIT 1)`, a.ID)
		},
		"at-rest": func(n *night, a *db.Automation) {
			n.exec("UPDATE automations SET next_run_at = NULL WHERE id = ?", a.ID)
		},
		"usage": func(n *night, a *db.Automation) {
			n.exec("UPDATE executions SET tokens_out = tokens_out + 1 WHERE id = (SELECT id FROM executions WHERE "+
				"automation_id = ? AND status = 'succeeded' LIMIT 1)", a.ID)
		},
		"late-words": func(n *night, a *db.Automation) {
			n.exec(`INSERT INTO session_events (session_id, seq, turn_id, at, kind, body)
				SELECT session_id, 100000, id, finished_at + interval '5 minutes', 'output', '{}' FROM turns WHERE finished_at IS NOT NULL LIMIT 1`)
		},
		"notice-twice": func(n *night, _ *db.Automation) {
			n.exec("DROP INDEX notifications_once")
			n.exec(`INSERT INTO notifications (id, user_id, kind, title, dedup_key, created_at)
				SELECT gen_random_uuid(), ?, 'skipped', 'Twice', 'the same', ? FROM generate_series(1, 2)`, n.actor.ID,
				n.at())
		},
		"disabled-untold": func(n *night, a *db.Automation) {
			n.exec("UPDATE automations SET enabled = false, next_run_at = NULL, disabled_kind = 'failures', "+
				"disabled_at = ? WHERE id = ?", n.at(), a.ID)
			n.exec("DELETE FROM notifications")
		},
		"index": func(n *night, _ *db.Automation) {
			n.exec("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'executions_in_flight'::regclass")
		},
		"due": func(n *night, a *db.Automation) {
			n.exec("DELETE FROM executions WHERE id = (SELECT id FROM executions WHERE automation_id = ? AND status "+
				"= 'succeeded' ORDER BY id DESC LIMIT 1 OFFSET 2)", a.ID)
		},
	} {
		t.Run(promise, func(t *testing.T) {
			n := newNight(t)
			a := n.days()
			breaks(n, a)
			broken := n.look()
			promise, _, _ := strings.Cut(promise, ",")
			if len(broken[promise]) == 0 {
				t.Errorf("broken are %v; want %s", broken, promise)
			}
			for other, what := range broken {
				if other != promise && !(promise == "guard" && other == "lost-run") &&
					!(promise == "twice" && other == "due") {
					t.Errorf("broken is %s too: %v", other, what)
				}
			}
		})
	}
}

func TestManagersToldInThePlaceOfACreatorThatIsGoneAreEnough(t *testing.T) {
	n := newNight(t)
	r, err := db.RoleByKey(t.Context(), n.DB, account.RoleMember)
	must(t, err)
	ada := &db.User{
		ID: db.NewID(), Email: "ada@example.com", Name: "Ada", TimeZone: "UTC", CreatedAt: n.at(), UpdatedAt: n.at(),
	}
	must(t, n.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, ada, r.ID), n.Workspaces.JoinScratch(ctx, tx, ada.ID))
	}))
	a := n.create(func(in *automation.Input) {
		in.Trigger, in.RunAt = "one_time", n.at().Add(10*time.Minute).Format(time.RFC3339)
	})
	if _, err := n.Transfers().Transfer(t.Context(), n.actor, a.ID, ada.ID); err != nil {
		t.Fatal(err)
	}
	must(t, db.SetDeactivated(t.Context(), n.DB, ada.ID, n.at(), n.at()))
	n.now.Store(n.at().Add(10 * time.Minute).Unix())
	_, err = n.Schedules().StartDue(t.Context())
	must(t, err)
	if a, err = db.AutomationByID(t.Context(), n.DB, a.ID); err != nil || a.DisabledKind != db.ByFailures {
		t.Fatalf("it is off for %q: %v", a.DisabledKind, err)
	}
	if broken := n.look(); len(broken) > 0 {
		t.Errorf("broken are %v", broken)
	}
}

func TestWhatAClockThatWasAheadWroteBeforeTheEndIsNotLate(t *testing.T) {
	n := newNight(t)
	n.days()
	ahead := `INSERT INTO session_events (session_id, seq, turn_id, at, kind, body)
		SELECT session_id, ended_seq + ?, id, finished_at + interval '5 minutes', 'output', '{}' FROM turns
		WHERE finished_at IS NOT NULL ORDER BY id LIMIT 1 ON CONFLICT (session_id, seq) DO UPDATE SET at = excluded.at`
	n.exec("DELETE FROM session_events WHERE turn_id = (SELECT id FROM turns WHERE finished_at IS NOT NULL ORDER BY " +
		"id LIMIT 1)")
	n.exec(ahead, 0)
	if broken := n.look(); len(broken["late-words"]) > 0 {
		t.Errorf("broken are %v", broken)
	}
	n.exec(ahead, 1)
	if broken := n.look(); len(broken["late-words"]) == 0 {
		t.Errorf("broken are %v; want what was written after the end", broken)
	}
}

func TestAStreakOfSkipsGoesOnAcrossAnEditOfTheSchedule(t *testing.T) {
	n := newNight(t)
	a := n.create(nil)
	for i := range 8 {
		n.hour()
		if i == 2 {
			in := n.in
			in.Cron, in.Version = "0 */2 * * *", a.Version
			_, _, err := n.Definitions().Update(t.Context(), n.actor, a.ID, in)
			must(t, err)
		}
	}
	n.end(automation.Outcome{Status: db.Succeeded})
	n.hour()
	n.hour()
	var skips int
	must(t, n.DB.NewRaw("SELECT max(skip_count) FROM executions").Scan(t.Context(), &skips))
	if broken := n.look(); skips < 4 || len(broken) > 0 {
		t.Errorf("a streak has %d skips, and broken are %v; want 4 and none", skips, broken)
	}
}

func TestAnAnswerIsJudgedByTheScheduleThatItHad(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		must(t, err)
		return when
	}
	answer := func(first, last string, count int) db.Answer {
		return db.Answer{
			ID: uuid.Nil, Name: "Nightly", For: at(first), Last: at(last), Count: count, Cron: "30 2 * * *",
			TimeZone: "Europe/Berlin",
		}
	}
	before := answer("2026-03-27T01:30:00Z", "2026-03-27T01:30:00Z", 0)
	edited := answer("2026-03-30T00:30:00Z", "2026-03-30T00:30:00Z", 0)
	edited.Edited = true
	for _, tt := range []struct {
		name   string
		before *db.Answer
		answer db.Answer
		want   string
	}{
		{"the next one", &before, answer("2026-03-28T01:30:00Z", "2026-03-28T01:30:00Z", 0), ""},
		{"a skip over the night whose clocks go forward", &before,
			answer("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", 3), ""},
		{"one is not counted", &before, answer("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", 2),
			"counts 2 due times"},
		{"one is passed by", &before, answer("2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", 0),
			"nothing answers 2026-03-28T01:30:00Z"},
		{"a time that was not due", &before, answer("2026-03-28T01:31:00Z", "2026-03-28T01:31:00Z", 0), "was not due"},
		{"up to a time that was not due", &before, answer("2026-03-28T01:30:00Z", "2026-03-30T00:31:00Z", 3),
			"up to 2026-03-30T00:31:00Z"},
		{"one within the span of another", &edited, answer("2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", 0),
			"stands already"},
		{"after an edit", &before, edited, ""},
		{"the first one", nil, answer("2026-03-28T01:30:00Z", "2026-03-28T01:30:00Z", 0), ""},
	} {
		if got := judge(tt.before, tt.answer, at("2026-03-28T01:00:00Z")); strings.Contains(got, "nothing answers") {
			t.Errorf("%s: before it is due, %q", tt.name, got)
		}
		if got := judge(tt.before, tt.answer, at("2026-04-01T00:00:00Z")); (got == "") != (tt.want == "") ||
			!strings.Contains(got, tt.want) {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestWhatTakesTooLongIsToldAndKeepsNoOtherPromiseFromBeingLookedAt(t *testing.T) {
	n := newNight(t)
	n.days()
	var unseen []string
	c := Check{DB: n.DB, Now: n.at, Since: n.at().AddDate(0, 0, -30), For: time.Millisecond}
	n.exec("CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN true; END'")
	n.exec("ALTER TABLE notifications RENAME TO many")
	n.exec("CREATE VIEW notifications AS SELECT * FROM many WHERE slow()")
	n.exec("INSERT INTO many (id, user_id, kind, title, dedup_key, created_at) VALUES (gen_random_uuid(), ?, "+
		"'skipped', 'One', 'one', ?)", n.actor.ID, n.at())
	seen := 0
	must(t, c.Run(t.Context(), func(r Result) {
		if seen++; r.Unseen != "" {
			unseen = append(unseen, r.Promise)
		}
	}))
	if !slices.Contains(unseen, "notice-twice") || seen != Promises {
		t.Errorf("%d were looked at, of which too long took %v; want all looked at, and notice-twice among them", seen,
			unseen)
	}
}
